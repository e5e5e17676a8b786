//! A history of calls and answers, and whether a store that keeps its promises could have given them.

use super::world::{Call, Reply, View, World};

/// What became of a call.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Answer {
    /// It was answered.
    Given(Reply),
    /// It failed, with the promise that nothing was changed.
    Failed,
    /// It failed without that promise, or there was no answer.
    Unknown,
}

/// One thing that happened.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Event {
    /// Calls on projects that were under way at the same time, and what became of each.
    Calls(Vec<(String, Call, Answer)>),
    /// Everything was read.
    Saw(View),
}

/// Looks for a lost acknowledgement, a gap, a duplicate, a changed order, seqs that begin again, half a change, or the
/// success of what should have been refused.
///
/// What has several possible outcomes leaves several worlds; what is seen later rules out the others.
///
/// # Errors
/// What cannot be, in words.
pub(super) fn check(history: &[Event]) -> Result<(), String> {
    let mut worlds = vec![World::default()];
    for (at, event) in history.iter().enumerate() {
        let before = worlds.clone();
        worlds = match event {
            Event::Calls(calls) => after_calls(worlds, calls),
            Event::Saw(view) => worlds.into_iter().filter(|world| world.view == *view).collect(),
        };
        if worlds.is_empty() {
            return Err(explain(&before, at, event));
        }
    }
    Ok(())
}

/// After calls in any order that could have given their answers.
fn after_calls(worlds: Vec<World>, calls: &[(String, Call, Answer)]) -> Vec<World> {
    let mut after: Vec<World> = Vec::new();
    if calls.is_empty() {
        return worlds;
    }
    for (at, (project, call, answer)) in calls.iter().enumerate() {
        let rest = [&calls[..at], &calls[at + 1..]].concat();
        for world in after_calls(after_call(worlds.clone(), project, call, answer), &rest) {
            if !after.contains(&world) {
                after.push(world);
            }
        }
    }
    after
}

fn after_call(worlds: Vec<World>, project: &str, call: &Call, answer: &Answer) -> Vec<World> {
    let mut after: Vec<World> = Vec::new();
    for world in worlds {
        let mut next = world.clone();
        let expected = next.apply(project, call);
        match answer {
            Answer::Given(reply) if reply.is(&expected) => {
                next.learn(project, call, reply);
                after.push(next);
            }
            Answer::Given(_) => {}
            Answer::Failed | Answer::Unknown => {
                let mut begun = world.clone();
                begun.apply_begun(project, call);
                after.extend([world, begun]);
                if *answer == Answer::Unknown {
                    after.push(next);
                }
            }
        }
    }
    after.dedup();
    after
}

fn explain(worlds: &[World], at: usize, event: &Event) -> String {
    let what = match event {
        Event::Calls(_) => brief(&format!("{event:?}")),
        Event::Saw(_) => "what was seen".into(),
    };
    let mut text = format!("event {at} can't be: {what}\n");
    for world in worlds {
        match event {
            Event::Calls(calls) => {
                for (project, call, _) in calls {
                    text += &brief(&format!("  expected, if it comes first, {:?}\n", world.clone().apply(project, call)));
                }
            }
            Event::Saw(view) => text += &difference(&world.view, view),
        }
    }
    text
}

fn difference(expected: &View, seen: &View) -> String {
    let mut text = String::from("  against one possible world:\n");
    for id in expected.keys().chain(seen.keys().filter(|id| !expected.contains_key(*id))) {
        let (one, two) = (expected.get(id), seen.get(id));
        let (Some(one), Some(two)) = (one, two) else {
            text += &format!("    project {id}: expected {}, seen {}\n", one.is_some(), two.is_some());
            continue;
        };
        if one.docs != two.docs {
            text += &brief(&format!("    docs of {id}: expected {:?}, seen {:?}\n", one.docs, two.docs));
        }
        if one.files != two.files {
            let sizes = |files: &std::collections::BTreeMap<String, Vec<u8>>| {
                files.iter().map(|(path, bytes)| format!("{path}:{}x{:?}", bytes.len(), bytes.first())).collect::<Vec<_>>()
            };
            text += &format!("    files of {id}: expected {:?}, seen {:?}\n", sizes(&one.files), sizes(&two.files));
        }
        for name in one.logs.keys().chain(two.logs.keys().filter(|name| !one.logs.contains_key(*name))) {
            let (one, two) = (one.logs.get(name), two.logs.get(name));
            if one != two {
                text += &brief(&format!("    log {name} of {id}: expected {one:?}, seen {two:?}\n"));
            }
        }
    }
    text
}

fn brief(text: &str) -> String {
    if text.len() > 600 { format!("{}…\n", text.chars().take(600).collect::<String>()) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;

    fn append(text: &str, answer: Answer) -> Event {
        let entries = vec![Json::parse(text.as_bytes()).unwrap()];
        Event::Calls(vec![("p".into(), Call::Append("history".into(), entries, Some(format!("key{text}"))), answer)])
    }

    fn one(call: Call, answer: Answer) -> Event {
        Event::Calls(vec![("p".into(), call, answer)])
    }

    fn landed(seq: u64, replayed: bool) -> Answer {
        Answer::Given(Reply::Appended { first: seq, last: seq, replayed, cursor: None })
    }

    fn saw(entries: &[&str]) -> Event {
        let mut world = World::default();
        world.apply("p", &Call::CreateProject);
        let log = world.view.get_mut("p").unwrap().logs.get_mut("history").unwrap();
        log.entries = entries.iter().map(|entry| (*entry).to_owned()).collect();
        Event::Saw(world.view)
    }

    /// Histories that follow the making of the project and `1`, acknowledged.
    fn holds(rest: &[Event]) -> bool {
        let made = one(Call::CreateProject, Answer::Given(Reply::Done(true)));
        check(&[&[made, append("1", landed(1, false))], rest].concat()).is_ok()
    }

    #[test]
    fn what_cannot_be_is_found_and_what_can_is_not() {
        assert!(holds(&[saw(&["1"])]));
        assert!(!holds(&[saw(&[])]), "a lost acknowledgement");
        assert!(!holds(&[saw(&["1", "1"])]), "a duplicate");
        for entries in [&["1"][..], &["1", "2"]] {
            assert!(holds(&[append("2", Answer::Unknown), saw(entries)]));
        }
        assert!(!holds(&[append("2", Answer::Failed), saw(&["1", "2"])]), "a refusal that changed something");
        assert!(!holds(&[append("2", Answer::Unknown), saw(&["1"]), saw(&["1", "2"])]), "what was lost comes back");
        assert!(!holds(&[append("2", landed(2, false)), saw(&["2", "1"])]), "another order");
        assert!(!holds(&[append("2", landed(1, false))]), "seqs begin again");
        assert!(!holds(&[append("2", landed(3, false))]), "a gap");
        assert!(holds(&[append("1", landed(1, true))]));
        assert!(!holds(&[append("1", landed(2, false))]), "a retry lands twice");
        for (reply, fine) in [(Reply::Precondition, true), (Reply::Done(true), false)] {
            let put = Call::PutDoc("d".into(), Json::parse(b"1").unwrap(), super::super::world::Insist::Stale);
            assert_eq!(holds(&[one(put, Answer::Given(reply))]), fine, "a stale If-Match");
        }
    }

    #[test]
    fn half_a_commit_is_found() {
        let value = || Json::parse(b"7").unwrap();
        let commit = || {
            let append = Call::Append("history".into(), vec![value()], None);
            Call::Commit(vec![Call::PutDoc("d".into(), value(), super::super::world::Insist::Nothing), append])
        };
        let saw = |entries: &[&str], document: bool| {
            let Event::Saw(mut view) = saw(entries) else { unreachable!() };
            if document {
                view.get_mut("p").unwrap().docs.insert("d".into(), "7".into());
            }
            Event::Saw(view)
        };
        for (entries, document, fine) in
            [(&["1"][..], false, true), (&["1", "7"], true, true), (&["1", "7"], false, false), (&["1"], true, false)]
        {
            assert_eq!(holds(&[one(commit(), Answer::Unknown), saw(entries, document)]), fine, "{entries:?} {document}");
        }
        assert!(!holds(&[one(commit(), Answer::Failed), saw(&["1", "7"], true)]), "a refusal that changed something");
    }

    #[test]
    fn calls_at_the_same_time_come_in_any_order_and_in_one() {
        let calls = |first: u64, second: u64| {
            let Event::Calls(mut calls) = append("2", landed(first, false)) else { unreachable!() };
            let Event::Calls(more) = append("3", landed(second, false)) else { unreachable!() };
            calls.extend(more);
            Event::Calls(calls)
        };
        assert!(holds(&[calls(2, 3), saw(&["1", "2", "3"])]));
        assert!(holds(&[calls(3, 2), saw(&["1", "3", "2"])]));
        assert!(!holds(&[calls(3, 2), saw(&["1", "2", "3"])]));
        assert!(!holds(&[calls(2, 2)]));
    }
}
