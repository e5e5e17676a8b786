//! Documents and files: what lay there, the record, what lies there afterwards.

use super::rig::Rig;
use crate::fs::txn::{Before, Op};

const DOC: &str = "p/.meta/doc.json";
const OLD: &str = "{\"old\":true}\n";
const NEW: &str = "{\"new\":\"and longer\"}\n";

/// What the process had come to, when it died.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Came {
    /// The record is durable, the name is not given.
    Recorded,
    /// The name was given.
    Applied,
    /// The name was given, and the power loss took so much of the bytes.
    Cut(usize),
    /// The name was given, and the power loss left bytes of NUL from there on.
    Nul(usize),
    /// The same, in a file that is used again: what it had before was longer, and was blanked.
    Long(usize),
}

fn ways() -> Vec<Came> {
    let torn = (0..NEW.len()).step_by(3).flat_map(|at| [Came::Cut(at), Came::Nul(at), Came::Long(at)]);
    [Came::Recorded, Came::Applied, Came::Long(NEW.len())].into_iter().chain(torn).collect()
}

/// A document that is replaced, or made where `old` is `None`, as far as it came.
fn put(old: Option<&str>, came: Came) -> Rig {
    let mut rig = Rig::new();
    let before = old.map(|old| {
        rig.write(DOC, old);
        rig.before(DOC)
    });
    let temp = rig.temp(NEW);
    let op = rig.put(DOC, &temp, before, NEW);
    rig.record([op]);
    if came != Came::Recorded {
        rig.rename(&temp, DOC);
    }
    let bytes = NEW.as_bytes();
    match came {
        Came::Recorded | Came::Applied => {}
        Came::Cut(at) => rig.write(DOC, &bytes[..at]),
        Came::Nul(at) => rig.write(DOC, [&bytes[..at], &vec![0; bytes.len() - at]].concat()),
        Came::Long(at) => rig.write(DOC, [&bytes[..at], &vec![0; bytes.len() + 7 - at]].concat()),
    }
    rig
}

#[test]
fn a_value_that_was_recorded_is_there_afterwards_whatever_the_crash_left() {
    for old in [None, Some(OLD)] {
        for came in ways() {
            let rig = put(old, came);
            rig.replay_quietly();
            assert_eq!(rig.text(DOC).as_deref(), Some(NEW), "{old:?}, {came:?}");
        }
    }
}

#[test]
fn what_a_person_wrote_since_stays_and_the_value_is_kept() {
    let edits: [&dyn Fn(&Rig); 3] =
        [&|rig| rig.write(DOC, "{\"edited\":1}\n"), &|rig| rig.swap(DOC, "{\"edited\":1}\n"), &|rig| {
            rig.remove(DOC);
            rig.write(DOC, "{\"edited\":1}\n");
        }];
    for (old, came) in [(None, Came::Applied), (Some(OLD), Came::Applied), (Some(OLD), Came::Recorded)] {
        for edit in edits {
            let rig = put(old, came);
            edit(&rig);
            assert_eq!(rig.replay_told(DOC), [NEW], "{old:?}, {came:?}");
            assert_eq!(rig.text(DOC).as_deref(), Some("{\"edited\":1}\n"));
        }
    }
}

/// Equal bytes say nothing: it is another write, of later than the record.
#[test]
fn what_a_person_edited_back_to_the_old_content_stays_so() {
    for came in [Came::Applied, Came::Recorded] {
        let rig = put(Some(OLD), came);
        rig.swap(DOC, OLD);
        assert_eq!(rig.replay_told(DOC), [NEW], "{came:?}");
        assert_eq!(rig.text(DOC).as_deref(), Some(OLD));
    }
    // In place, with the file as it was but for the time of its change.
    let rig = put(Some(OLD), Came::Recorded);
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    std::fs::File::options().append(true).open(rig.path(DOC)).unwrap().set_modified(later).unwrap();
    assert_eq!(rig.replay_told(DOC), [NEW]);
    assert_eq!(rig.text(DOC).as_deref(), Some(OLD));
}

#[test]
fn what_a_person_removed_since_stays_removed_and_the_value_is_kept() {
    for came in [Came::Recorded, Came::Applied] {
        let rig = put(Some(OLD), came);
        rig.remove(DOC);
        assert_eq!(rig.replay_told(DOC), [NEW], "{came:?}");
        assert_eq!(rig.text(DOC), None);
    }
    for gone in ["p", "p/.meta"] {
        let rig = put(Some(OLD), Came::Applied);
        std::fs::remove_dir_all(rig.path(gone)).unwrap();
        assert_eq!(rig.replay_told(DOC), [NEW], "without {gone}");
        assert_eq!(rig.text(DOC), None);
    }
}

/// Between record and crash nobody can tell a removal from a name that was never given: what was acknowledged wins.
#[test]
fn a_new_document_that_is_not_there_is_made() {
    let rig = put(None, Came::Applied);
    rig.remove(DOC);
    rig.replay_quietly();
    assert_eq!(rig.text(DOC).as_deref(), Some(NEW));
    let rig = put(None, Came::Applied);
    std::fs::remove_dir_all(rig.path("p/.meta")).unwrap();
    rig.replay_quietly();
    assert_eq!(rig.text(DOC).as_deref(), Some(NEW), "its folder is made");
}

#[test]
fn a_folder_or_link_at_the_name_stays() {
    for link in [true, false] {
        let rig = put(Some(OLD), Came::Applied);
        rig.remove(DOC);
        match link {
            true => std::os::unix::fs::symlink("elsewhere", rig.path(DOC)).unwrap(),
            false => std::fs::create_dir(rig.path(DOC)).unwrap(),
        }
        assert_eq!(rig.replay_told(DOC), [NEW]);
        assert_eq!((rig.path(DOC).is_symlink(), rig.path(DOC).is_dir()), (link, !link));
    }
}

/// Puts of one document one after the other; the process or the power left any of the values.
#[test]
fn of_several_values_the_last_one_is_there_afterwards() {
    let values = ["1\n", "22\n", "333\n", "4444\n"];
    for left in 0..values.len() {
        let mut rig = Rig::new();
        rig.write(DOC, values[0]);
        let files: Vec<String> = (0..values.len()).map(|n| format!("left{n}")).collect();
        std::fs::hard_link(rig.path(DOC), rig.path(&files[0])).unwrap();
        for n in 1..values.len() {
            let before = rig.before(DOC);
            let temp = rig.temp(values[n]);
            let op = rig.put(DOC, &temp, Some(before), values[n]);
            rig.record([op]);
            rig.rename(&temp, DOC);
            std::fs::hard_link(rig.path(DOC), rig.path(&files[n])).unwrap();
        }
        rig.rename(&files[left], DOC);
        rig.replay_quietly();
        assert_eq!(rig.text(DOC).as_deref(), Some("4444\n"), "value {left} was left");
    }
}

#[test]
fn a_large_value_comes_from_its_synced_file() {
    let large = "x".repeat(100_000);
    let prepared = |came| {
        let mut rig = Rig::new();
        rig.write("p/big", OLD);
        let (before, temp) = (rig.before("p/big"), rig.temp(&large));
        let op = rig.put_large("p/big", &temp, Some(before), &large);
        rig.record([op]);
        if came == Came::Applied {
            rig.rename(&temp, "p/big");
        }
        (rig, temp)
    };
    for came in [Came::Recorded, Came::Applied] {
        let (rig, temp) = prepared(came);
        rig.replay_quietly();
        assert_eq!(rig.text("p/big").as_deref(), Some(&large[..]), "{came:?}");
        assert!(!rig.path(temp).exists());
    }
    // Edited, removed: what is journalled of it is kept, where it has not its name yet.
    let (rig, _) = prepared(Came::Recorded);
    rig.swap("p/big", "edited");
    assert_eq!(rig.replay_told("p/big"), [large.as_str()]);
    assert_eq!(rig.text("p/big").as_deref(), Some("edited"));
    let (rig, _) = prepared(Came::Recorded);
    rig.remove("p/big");
    assert_eq!(rig.replay_told("p/big"), [large.as_str()]);
    assert_eq!(rig.text("p/big"), None);
    // Its own file is missing: the old value stays, and that is told.
    let (rig, temp) = prepared(Came::Recorded);
    rig.remove(&temp);
    assert!(rig.replay_told("p/big").is_empty());
    assert_eq!(rig.text("p/big").as_deref(), Some(OLD));
}

fn delete(applied: bool) -> (Rig, Before) {
    let mut rig = Rig::new();
    rig.write(DOC, OLD);
    let (before, temp) = (rig.before(DOC), format!("{:032x}", 77));
    rig.record([Op::Delete { path: DOC.into(), temp: temp.clone(), before }]);
    if applied {
        rig.rename(DOC, &format!(".folio/tmp/{temp}"));
    }
    (rig, before)
}

#[test]
fn what_was_deleted_is_gone_and_what_was_written_since_stays() {
    for applied in [false, true] {
        let (rig, _) = delete(applied);
        rig.replay_quietly();
        assert_eq!(rig.text(DOC), None, "applied: {applied}");
        let (rig, _) = delete(applied);
        if applied {
            rig.write(DOC, NEW)
        } else {
            rig.swap(DOC, NEW)
        }
        assert!(rig.replay_told(DOC).is_empty());
        assert_eq!(rig.text(DOC).as_deref(), Some(NEW), "applied: {applied}");
    }
}

/// Deleted and made again: a crash may have left any of it.
#[test]
fn a_document_that_was_deleted_and_made_again_is_there() {
    for (deleted, made) in [(false, false), (true, false), (true, true)] {
        let (mut rig, _) = delete(deleted);
        let temp = rig.temp(NEW);
        let op = rig.put(DOC, &temp, None, NEW);
        rig.record([op]);
        if made {
            rig.rename(&temp, DOC);
        }
        rig.replay_quietly();
        assert_eq!(rig.text(DOC).as_deref(), Some(NEW), "deleted: {deleted}, made: {made}");
    }
}

/// The defect was: one link on the way, and the whole root could not be opened.
#[test]
fn something_else_on_the_way_to_a_value_is_told_and_the_rest_is_made() {
    for large in [false, true] {
        for (n, way) in ["p", "p/sub", "p/sub/deep"].into_iter().enumerate() {
            for file in [false, true] {
                let mut rig = Rig::new();
                rig.write("elsewhere/sub/deep/theirs", "theirs");
                let (first, second) = (rig.temp("made"), rig.temp("other"));
                let path = "p/sub/deep/file";
                let op = if large { rig.put_large(path, &first, None, "made") } else { rig.put(path, &first, None, "made") };
                let other = rig.put("q/file", &second, None, "other");
                std::fs::create_dir(rig.path("q")).unwrap();
                rig.record([op, other]);
                let _ = std::fs::remove_dir_all(rig.path(way));
                std::fs::create_dir_all(rig.path(way).parent().unwrap()).unwrap();
                let target = rig.path(["elsewhere", "elsewhere/sub", "elsewhere/sub/deep"][n]);
                match file {
                    true => rig.write(way, "a file"),
                    false => std::os::unix::fs::symlink(target, rig.path(way)).unwrap(),
                }
                assert_eq!(rig.replay_told(path), ["made"], "{way}");
                assert_eq!(rig.text("q/file").as_deref(), Some("other"));
                assert!(!rig.path("elsewhere/sub/deep/file").exists(), "nothing is written behind a link");
            }
        }
    }
}

/// A document that was written five times, in two files that took turns; the second of them has the name, and the record of
/// that may be the last thing that happened.
fn turns(named: bool) -> (Rig, [String; 5]) {
    let mut rig = Rig::new();
    let contents = [1, 22, 333, 44, 5].map(|n: u32| format!("{{\"n\":{n},\"pad\":\"{}\"}}\n", n.to_string().repeat(400)));
    rig.write(DOC, OLD);
    let mut last = rig.before(DOC);
    let files = [rig.temp(""), rig.temp("")];
    for (n, content) in contents.iter().enumerate() {
        // The first has what stood there before from then on; the second what the last write displaced.
        let temp = &files[n.min(1)];
        rig.write(temp, content);
        let op = rig.put(DOC, temp, Some(last), content);
        rig.record([op]);
        if n + 1 < contents.len() || named {
            rig.exchange(temp, DOC);
            last = rig.before(DOC);
        }
    }
    (rig, contents)
}

#[test]
fn whatever_a_crash_left_of_contents_in_files_that_took_turns_is_written_over() {
    for named in [true, false] {
        // The contents of the file that has the name: the first, the third, the fifth; or else the second and the fourth.
        let had = |contents: &[String; 5]| match named {
            true => vec![contents[0].clone(), contents[2].clone(), contents[4].clone()],
            false => vec![contents[1].clone(), contents[3].clone()],
        };
        let (rig, contents) = turns(named);
        rig.replay_quietly();
        assert_eq!(rig.text(DOC).as_ref(), contents.last());
        for left in had(&contents) {
            let (rig, contents) = turns(named);
            rig.write(DOC, &left);
            rig.replay_quietly();
            assert_eq!(rig.text(DOC).as_ref(), contents.last());
        }
        // Sectors of each, with the length of any, and one that was never written.
        let had = had(&contents);
        let mut mixed = Vec::new();
        for at in 0..3 {
            mixed.extend(had[at % had.len()].bytes().skip(at * 512).take(512));
            mixed.resize((at + 1) * 512, 0);
        }
        for len in had.iter().map(String::len).chain([700, 1_536]) {
            let (rig, contents) = turns(named);
            let mixed = &mixed[..len];
            rig.write(DOC, mixed);
            let of_one =
                |content: &String| mixed.iter().zip(content.bytes().chain(std::iter::repeat(0))).all(|(a, b)| [0, b].contains(a));
            let cut_short = !named && (mixed.contains(&0) || had.iter().all(|content| len < content.len()));
            if cut_short || had.iter().any(of_one) {
                rig.replay_quietly();
            } else {
                assert_eq!(rig.replay_told(DOC), [String::from_utf8_lossy(mixed)], "{named}, {len}");
            }
            assert_eq!(rig.text(DOC).as_ref(), contents.last(), "{named}, {len}");
        }
    }
}

#[test]
fn what_a_person_wrote_into_one_of_two_files_that_took_turns_stays() {
    for named in [true, false] {
        let (rig, contents) = turns(named);
        let edited = rig.text(DOC).unwrap().replace("pad", "PAD");
        rig.write(DOC, &edited);
        assert_eq!(rig.replay_told(DOC), [contents.last().unwrap().as_str()], "{named}");
        assert_eq!(rig.text(DOC), Some(edited));
    }
}
