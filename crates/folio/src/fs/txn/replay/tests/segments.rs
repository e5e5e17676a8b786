//! Segments of logs: what lay there, the records, what lies there afterwards.

use super::rig::{Rig, moved, name, remove};
use crate::fs::txn::Op;

const LOG: &str = "p/.meta/history.jsonl";
const SEALED: &str = "p/.meta/history.d/00000000000000000001.jsonl";
const HEAD: &str = "{\"folio\":1}\n";
const LINES: [&str; 3] = ["{\"seq\":1}\n", "{\"seq\":2,\"data\":\"two\"}\n", "{\"seq\":3}\n"];

fn whole() -> String {
    format!("{HEAD}{}", LINES.concat())
}

/// A log of three appended lines, each with its record.
fn log() -> Rig {
    let mut rig = Rig::new();
    rig.write(LOG, HEAD);
    let mut offset = HEAD.len() as u64;
    for (seq, line) in (1..).zip(LINES) {
        let op = rig.append(LOG, offset, (seq, seq), line);
        rig.record([op]);
        offset += line.len() as u64;
    }
    rig
}

#[test]
fn lines_are_there_afterwards_whatever_the_crash_left_of_them() {
    let whole = whole();
    for cut in HEAD.len()..=whole.len() {
        let rig = log();
        rig.write(LOG, &whole[..cut]);
        rig.replay_quietly();
        assert_eq!(rig.text(LOG).unwrap(), whole, "cut at {cut}");
        // The length was kept, and bytes of NUL stand where nothing was written.
        if cut % 3 == 0 {
            let rig = log();
            rig.write(LOG, [&whole.as_bytes()[..cut], &vec![0; whole.len() - cut]].concat());
            rig.replay_quietly();
            assert_eq!(rig.text(LOG).unwrap(), whole, "NUL from {cut}");
        }
    }
}

/// Sectors come in any order: the later line may be there without the earlier one.
#[test]
fn a_line_that_a_power_loss_tore_out_of_the_middle_is_written_again() {
    let rig = log();
    let mut bytes = whole().into_bytes();
    let from = HEAD.len() + LINES[0].len();
    bytes[from..from + LINES[1].len()].fill(0);
    rig.write(LOG, &bytes);
    rig.replay_quietly();
    assert_eq!(rig.text(LOG).unwrap(), whole());
}

#[test]
fn what_a_person_wrote_into_the_log_stays_and_the_lines_are_kept() {
    let edited = whole().replace("two", "TWO");
    let rig = log();
    rig.write(LOG, &edited);
    assert_eq!(rig.replay_told(LOG), [LINES[1]]);
    assert_eq!(rig.text(LOG).unwrap(), edited);
    // Cut below the place where the second belongs: a power loss never does that to what was there before.
    let rig = log();
    rig.write(LOG, &HEAD[..5]);
    assert_eq!(rig.replay_told(LOG).concat(), LINES.concat());
    assert_eq!(rig.text(LOG).unwrap(), HEAD[..5]);
}

#[test]
fn a_log_that_a_person_removed_or_replaced_stays_so_and_the_lines_are_kept() {
    type Edit<'a> = (&'a dyn Fn(&Rig), Option<&'a str>);
    let edits: [Edit<'_>; 4] = [
        (&|rig| rig.remove(LOG), None),
        (&|rig| rig.swap(LOG, HEAD), Some(HEAD)),
        // An editor's copy of the same bytes is another file.
        (&|rig| rig.swap(LOG, whole()), Some("whole")),
        (&|rig| std::fs::remove_dir_all(rig.path("p")).unwrap(), None),
    ];
    for (edit, left) in edits {
        let rig = log();
        rig.write(LOG, whole());
        edit(&rig);
        assert_eq!(rig.replay_told(LOG).concat(), LINES.concat());
        let left = left.map(|left| if left == "whole" { whole() } else { left.to_owned() });
        assert_eq!(rig.text(LOG), left);
    }
}

#[test]
fn lines_that_are_too_many_for_the_journal_come_from_their_file() {
    let many = "{\"seq\":1,\"data\":\"xxxxxxxxxx\"}\n".repeat(50_000);
    for (cut, gone) in [(0, false), (1_234_567, false), (many.len(), false), (0, true)] {
        let mut rig = Rig::new();
        rig.write(LOG, HEAD);
        let temp = rig.temp(&many);
        let op = match rig.append(LOG, HEAD.len() as u64, (1, 50_000), "") {
            Op::Append { path, id, offset, epoch, first, last, .. } => {
                let body = crate::fs::txn::Body::Temp { name: name(&temp), len: many.len() as u64 };
                Op::Append { path, id, offset, epoch, first, last, body }
            }
            other => other,
        };
        rig.record([op]);
        if gone {
            rig.remove(LOG);
            assert_eq!(rig.replay_told(LOG), [many.as_str()]);
        } else {
            rig.write(LOG, format!("{HEAD}{}", &many[..cut]));
            rig.replay_quietly();
            assert!(rig.text(LOG).unwrap() == format!("{HEAD}{many}"), "cut at {cut}");
        }
    }
}

/// A compaction: lines, then another file takes the log's name with what is kept, then more lines.
fn compacted(applied: usize) -> (Rig, String) {
    let mut rig = log();
    rig.write(LOG, whole());
    let kept = format!("{{\"folio\":1,\"horizon\":2}}\n{}", LINES[2]);
    let (old, temp) = (rig.id(LOG), rig.temp(&kept));
    let install = rig.install(LOG, &temp, Some(old));
    let (path, more) = (rig.path(&temp), "{\"seq\":4}\n");
    let append = match (&install, rig.append(&temp, kept.len() as u64, (4, 4), more)) {
        (Op::Install { path, .. }, Op::Append { id, offset, epoch, first, last, body, .. }) => {
            Op::Append { path: path.clone(), id, offset, epoch, first, last, body }
        }
        other => panic!("{other:?}"),
    };
    rig.record([install]);
    rig.record([append]);
    if applied > 0 {
        std::fs::rename(&path, rig.path(LOG)).unwrap();
    }
    if applied > 1 {
        rig.write(LOG, format!("{kept}{more}"));
    }
    (rig, format!("{kept}{more}"))
}

#[test]
fn a_log_that_compaction_moved_is_the_new_file_with_what_came_after() {
    for applied in 0..3 {
        let (rig, after) = compacted(applied);
        rig.replay_quietly();
        assert_eq!(rig.text(LOG).unwrap(), after, "{applied} steps were made");
        // The old file came back with a power loss, torn.
        if applied == 0 {
            let (rig, after) = compacted(0);
            rig.write(LOG, &whole()[..20]);
            rig.replay_quietly();
            assert_eq!(rig.text(LOG).unwrap(), after);
        }
    }
}

#[test]
fn a_log_that_was_replaced_before_a_compaction_got_its_name_stays_and_both_are_kept() {
    let (rig, after) = compacted(0);
    rig.swap(LOG, "theirs\n");
    let kept = rig.replay_told(LOG);
    assert_eq!(rig.text(LOG).unwrap(), "theirs\n");
    let (compacted, more) = after.split_at(after.len() - "{\"seq\":4}\n".len());
    assert!(kept.iter().any(|kept| kept == compacted) && kept.iter().any(|kept| kept == more), "{kept:?}");
}

/// A rotation: the newest segment is sealed and an empty one follows, in one record; then lines.
fn rotated(applied: usize) -> (Rig, String) {
    let mut rig = log();
    rig.write(LOG, whole());
    let (sealed, next) = (rig.id(LOG), "{\"folio\":1,\"base\":3}\n");
    let (temp, more) = (rig.temp(next), "{\"seq\":4}\n");
    let append = match rig.append(&temp, next.len() as u64, (4, 4), more) {
        Op::Append { id, offset, epoch, first, last, body, .. } => {
            Op::Append { path: LOG.into(), id, offset, epoch, first, last, body }
        }
        other => other,
    };
    let install = rig.install(LOG, &temp, None);
    rig.record([moved(LOG, SEALED, sealed), install]);
    rig.record([append]);
    if applied > 0 {
        rig.rename(LOG, SEALED);
    }
    if applied > 1 {
        rig.rename(&temp, LOG);
    }
    if applied > 2 {
        rig.write(LOG, format!("{next}{more}"));
    }
    (rig, format!("{next}{more}"))
}

#[test]
fn a_log_that_was_rotated_is_both_segments() {
    for applied in 0..4 {
        for cut in [HEAD.len(), HEAD.len() + 20, whole().len()] {
            let (rig, after) = rotated(applied);
            // What was appended before, torn, lies under whichever name it had come to.
            rig.write(if applied > 0 { SEALED } else { LOG }, &whole()[..cut]);
            rig.replay_quietly();
            assert_eq!(rig.text(SEALED).unwrap(), whole(), "{applied} steps were made");
            assert_eq!(rig.text(LOG).unwrap(), after, "{applied} steps were made");
        }
    }
}

#[test]
fn something_else_where_segments_are_sealed_is_told_and_the_rest_is_made() {
    let (mut rig, _) = rotated(0);
    let temp = rig.temp("other");
    let other = rig.put("p/other", &temp, None, "other");
    rig.record([other]);
    std::fs::create_dir(rig.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(rig.path("elsewhere"), rig.path("p/.meta/history.d")).unwrap();
    let notes = rig.replay();
    assert!(notes.iter().any(|note| note.path == SEALED) && notes.iter().any(|note| note.path == LOG), "{notes:?}");
    assert_eq!(rig.text(LOG).unwrap(), whole(), "what was not sealed is read where it is");
    assert_eq!(rig.text("p/other").as_deref(), Some("other"));
    assert_eq!(std::fs::read_dir(rig.path("elsewhere")).unwrap().count(), 0);
    assert_eq!(rig.kept(), ["{\"folio\":1,\"base\":3}\n", "{\"seq\":4}\n"]);
}

/// A new log, under whose folder somebody put a link.
#[test]
fn something_else_on_the_way_to_a_new_log_is_told() {
    for link in ["p", "p/.meta", "p/.meta/logs"] {
        let mut rig = Rig::new();
        let path = "p/.meta/logs/new.jsonl";
        let temp = rig.temp(HEAD);
        let install = rig.install(path, &temp, None);
        rig.record([install]);
        let _ = std::fs::remove_dir_all(rig.path(link));
        std::fs::create_dir_all(rig.path("elsewhere/.meta/logs")).unwrap();
        std::os::unix::fs::symlink(rig.path("elsewhere"), rig.path(link)).unwrap();
        assert_eq!(rig.replay_told(path), [HEAD], "{link}");
        assert!(!rig.path("elsewhere/.meta/logs/new.jsonl").exists());
    }
}

/// Appended to, deleted, made again under the same name, appended to. The power loss may bring back the first file.
#[test]
fn a_log_that_was_deleted_and_made_again_is_the_new_one() {
    for left in ["old", "nothing", "new", "the new one with its line"] {
        let mut rig = log();
        rig.write(LOG, whole());
        let (old, next) = (rig.id(LOG), "{\"folio\":1,\"epoch\":2}\n");
        rig.record([remove(LOG, old)]);
        let temp = rig.temp(next);
        let install = rig.install(LOG, &temp, None);
        let line = "{\"seq\":1,\"data\":\"again\"}\n";
        let append = match rig.append(&temp, next.len() as u64, (1, 1), line) {
            Op::Append { id, offset, epoch, first, last, body, .. } => {
                Op::Append { path: LOG.into(), id, offset, epoch, first, last, body }
            }
            other => other,
        };
        rig.record([install]);
        rig.record([append]);
        match left {
            "old" => {}
            "nothing" => rig.remove(LOG),
            _ => rig.rename(&temp, LOG),
        }
        if left == "the new one with its line" {
            rig.write(LOG, format!("{next}{line}"));
        }
        rig.replay_quietly();
        assert_eq!(rig.text(LOG).unwrap(), format!("{next}{line}"), "{left} was left");
    }
}

#[test]
fn a_log_that_was_deleted_is_gone_and_one_that_a_person_put_there_since_stays() {
    for left in ["old", "nothing", "theirs"] {
        let mut rig = log();
        rig.write(LOG, whole());
        let old = rig.id(LOG);
        rig.record([remove(LOG, old)]);
        match left {
            "old" => {}
            "nothing" => rig.remove(LOG),
            _ => rig.swap(LOG, "theirs\n"),
        }
        rig.replay_quietly();
        assert_eq!(rig.text(LOG).as_deref(), Some("theirs\n").filter(|_| left == "theirs"));
    }
}

/// A fork: a second name for a sealed segment, and a newest segment of its own. The source never changes.
#[test]
fn a_fork_gets_all_its_names_and_its_source_keeps_its_own() {
    let (fork, fork_sealed) = ("p/.meta/logs/fork.jsonl", "p/.meta/logs/fork.d/00000000000000000001.jsonl");
    for applied in 0..3 {
        for deleted in [false, true] {
            let mut rig = Rig::new();
            rig.write(SEALED, whole());
            rig.write(LOG, HEAD);
            let link = format!(".folio/tmp/{:032x}", 900);
            std::fs::hard_link(rig.path(SEALED), rig.path(&link)).unwrap();
            let newest = rig.temp("{\"folio\":1,\"fork\":\"history\"}\n");
            let ops = [rig.install(fork_sealed, &link, None), rig.install(fork, &newest, None)];
            let (own, newest_id) = (rig.id(SEALED), rig.id(&newest));
            rig.record(ops);
            if applied > 0 {
                rig.rename(&link, fork_sealed);
            }
            if applied > 1 {
                rig.rename(&newest, fork);
            }
            if deleted {
                rig.record([remove(fork_sealed, own), remove(fork, newest_id)]);
            }
            rig.replay_quietly();
            assert_eq!(rig.text(SEALED).unwrap(), whole(), "the source keeps its segment");
            assert_eq!(rig.text(LOG).unwrap(), HEAD);
            assert_eq!(rig.text(fork_sealed).is_some(), !deleted, "{applied} steps were made");
            assert_eq!(rig.text(fork).is_some(), !deleted, "{applied} steps were made");
        }
    }
}

#[test]
fn a_torn_tail_that_was_cut_off_is_cut_off_again_but_nothing_of_another_file() {
    let kept = HEAD.len() as u64;
    for other in [false, true] {
        let mut rig = Rig::new();
        rig.write(LOG, format!("{HEAD}torn"));
        let id = rig.id(LOG);
        rig.record([Op::Cut { path: LOG.into(), id, len: kept }]);
        if other {
            rig.swap(LOG, whole());
        }
        rig.replay_quietly();
        assert_eq!(rig.text(LOG).unwrap(), if other { whole() } else { HEAD.into() });
    }
}

/// Made, written to and deleted as a whole: what records tell of it before is void.
#[test]
fn a_project_that_was_deleted_is_gone_with_all_that_was_written_to_it() {
    for applied in [false, true] {
        let mut rig = log();
        rig.write(LOG, whole());
        let temp = rig.temp("{}\n");
        let put = rig.put("p/.meta/doc.json", &temp, None, "{}\n");
        rig.record([put]);
        let (project, gone) = (rig.id("p"), format!(".folio/tmp/{:032x}", 901));
        rig.record([moved("p", &gone, project)]);
        if applied {
            rig.rename("p", &gone);
        }
        rig.replay_quietly();
        assert!(!rig.path("p").exists(), "applied: {applied}");
    }
    // One that a person put in its place stays.
    let mut rig = Rig::new();
    let project = rig.id("p");
    rig.record([moved("p", &format!(".folio/tmp/{:032x}", 902), project)]);
    std::fs::rename(rig.path("p"), rig.path("away")).unwrap();
    rig.write("p/theirs", "theirs");
    rig.replay_quietly();
    assert_eq!(rig.text("p/theirs").as_deref(), Some("theirs"));
}

#[test]
fn a_project_that_was_made_gets_its_name_unless_a_person_took_it() {
    for taken in [false, true] {
        let mut rig = Rig::new();
        let draft = format!(".folio/tmp/{:032x}", 903);
        rig.write(&format!("{draft}/.meta/history.jsonl"), HEAD);
        let id = rig.id(&draft);
        rig.record([moved(&draft, "new", id)]);
        if taken {
            rig.write("new/theirs", "theirs");
        }
        rig.replay_quietly();
        assert_eq!(rig.text("new/.meta/history.jsonl").is_some(), !taken);
        assert_eq!(rig.text("new/theirs").is_some(), taken);
    }
}
