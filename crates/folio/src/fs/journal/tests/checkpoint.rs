//! When records become void.

use std::sync::Arc;

use rustix::io::Errno;

use super::rig::{Rig, commit, threaded, tiny, until};
use crate::driver::Durability;
use crate::fs::journal::{Dirty, Held, Journal, JournalOptions, Weight};
use crate::fs::spares::Displaced;
use crate::fs::vfs::Access;
use crate::fs::vfs::sim::Fault;

fn change(journal: &Journal, record: &[u8], files: Vec<Held>) {
    journal.commit(record.to_vec(), Weight::Data).unwrap().done(Dirty { files, ..Dirty::default() });
}

/// At any moment each change is durable where it was made, or its record is there.
#[test]
fn a_record_is_void_only_once_its_change_is_durable() {
    let seed = fastrand::u64(..);
    for seed in (0..100).map(|n| seed.wrapping_add(n)) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let rig = Rig::new(seed);
        let journal = rig.open(JournalOptions { first_segment: 64 << 10, ..tiny() });
        let (singly, everything) = (rng.usize(1..12), rng.bool());
        let names: Vec<String> = (0..singly).map(|n| format!("file{n}")).collect();
        for name in &names {
            rig.root.create_new(name, Access::Append).unwrap();
        }
        rig.root.sync().unwrap();
        for name in &names {
            let files = vec![rig.changed(name, name.as_bytes())];
            let dirty = Dirty { files, everything, ..Dirty::default() };
            journal.commit(name.as_bytes().to_vec(), Weight::Data).unwrap().done(dirty);
        }
        rig.sim.plan(rng.u64(1..8), Fault::Cut);
        let checkpointed = journal.checkpoint();
        drop(journal);
        let after = rig.cut(&mut rng);
        let found = after.found().unwrap();
        if checkpointed.is_ok() {
            assert!(found.is_empty(), "seed {seed}");
        }
        for name in names.iter().filter(|name| !found.contains(&name.as_bytes().to_vec())) {
            let there = after.root.open(name, Access::Read).unwrap().unwrap().read_some(0, 100).unwrap();
            assert_eq!(there, name.as_bytes(), "seed {seed}");
        }
    }
}

#[test]
fn what_is_being_made_is_not_void() {
    let rig = Rig::new(0);
    let journal = rig.open(tiny());
    commit(&journal, b"made");
    let slow = journal.commit(b"slow".to_vec(), Weight::Data).unwrap();
    commit(&journal, b"made meanwhile");
    journal.checkpoint().unwrap();
    assert!(rig.found().unwrap().contains(&b"slow".to_vec()));
    slow.done(Dirty::default());
    journal.checkpoint().unwrap();
    assert!(rig.found().unwrap().is_empty());
}

#[test]
fn changed_files_stay_open_until_they_are_synced_and_a_lost_error_is_told() {
    let rig = Rig::new(0);
    let journal = rig.open(tiny());
    let held = rig.changed("log", b"line");
    let file = Arc::clone(&held.file);
    change(&journal, b"append", vec![held]);
    assert_eq!(Arc::strong_count(&file), 2, "the journal has it open");
    journal.checkpoint().unwrap();
    assert_eq!(Arc::strong_count(&file), 1);

    change(&journal, b"append", vec![rig.changed("log", b"line")]);
    rig.sim.plan(1, Fault::Fail(Errno::IO));
    assert_eq!(journal.checkpoint().unwrap_err().code(), "outcome_unknown");
    assert_eq!(journal.commit(b"more".to_vec(), Weight::Data).err().map(|error| error.code()), Some("store_failed"));
    let operations = rig.sim.operations();
    assert_eq!(journal.checkpoint().unwrap_err().code(), "store_failed");
    assert_eq!(rig.sim.operations(), operations, "no second sync");
    assert_eq!(rig.found().unwrap(), [b"append"], "its record is still there");
}

#[test]
fn few_files_are_synced_one_by_one_and_names_with_everything() {
    let rig = Rig::new(0);
    let journal = rig.open(JournalOptions { files: 1_000, first_segment: 64 << 10, ..tiny() });
    let counted = |files: usize, everything: bool| {
        let (syncs, all) = (rig.sim.count("sync"), rig.sim.count("syncfs"));
        let changed = (0..files).flat_map(|n| [0, 1].map(|_| rig.changed(&format!("f{n}"), b"x"))).collect();
        let dirty = Dirty { files: changed, everything, ..Dirty::default() };
        journal.commit(b"x".to_vec(), Weight::Data).unwrap().done(dirty);
        journal.checkpoint().unwrap();
        // The record's own, and that of the mark.
        (rig.sim.count("sync") - syncs - 2, rig.sim.count("syncfs") - all)
    };
    assert_eq!(counted(1, false), (1, 0), "a file once, whatever number of times it was changed");
    assert_eq!(counted(8, false), (8, 0));
    assert_eq!(counted(9, false), (0, 1));
    assert_eq!(counted(1, true), (0, 1));
    assert_eq!(counted(0, false), (0, 0));
}

#[test]
fn the_number_of_open_files_is_bounded() {
    for options in [JournalOptions { files: 4, ..tiny() }, JournalOptions { files: 4, ..threaded() }] {
        let (rig, inline) = (Rig::new(0), options.inline);
        let journal = rig.open(options);
        let files: Vec<_> = (0..40)
            .map(|n| {
                let held = rig.changed(&format!("file{n}"), b"x");
                let file = Arc::clone(&held.file);
                change(&journal, b"append", vec![held]);
                let open = journal.shared.held().dirty.files.len();
                assert!(!inline || open < 4, "{open} files are open");
                file
            })
            .collect();
        // The thread was asked for one, and makes it.
        until(|| files.iter().take(36).all(|file| Arc::strong_count(file) == 1));
    }
}

#[test]
fn a_checkpoint_comes_by_itself_after_a_while() {
    let rig = Rig::new(0);
    let journal = rig.open(JournalOptions { age: std::time::Duration::from_millis(1), first_segment: 256 << 10, ..threaded() });
    // More than once: the thread may not have come to wait yet when the first change comes.
    for _ in 0..100 {
        commit(&journal, b"x");
        until(|| rig.found().unwrap().is_empty());
    }
}

#[test]
fn what_was_appended_to_a_file_that_lost_its_name_is_told_unless_it_was_removed_by_a_record() {
    let rig = Rig::new(0);
    let journal = rig.open(tiny());
    let [named, replaced, removed] = ["named", "replaced", "removed"].map(|name| rig.changed(name, b"line"));
    let orphan = replaced.inode;
    let released = vec![removed.inode];
    rig.root.unlink("replaced").unwrap();
    rig.root.create_new("replaced", Access::Append).unwrap();
    rig.root.unlink("removed").unwrap();
    let dirty = Dirty { files: vec![named, replaced, removed], released, ..Dirty::default() };
    journal.commit(b"x".to_vec(), Weight::Data).unwrap().done(dirty);
    journal.checkpoint().unwrap();
    assert_eq!(*rig.orphans.lock().unwrap(), [orphan]);
    journal.checkpoint().unwrap();
    assert_eq!(rig.orphans.lock().unwrap().len(), 1, "told once");
}

#[test]
fn what_nobody_needs_any_more_is_removed_by_the_checkpoint_and_bounded_before() {
    let rig = Rig::new(0);
    let journal = rig.open(JournalOptions { garbage: 3, ..tiny() });
    let left = || rig.root.list().unwrap().count() - 1;
    for n in 0..10 {
        let name = format!("temp{n}");
        rig.root.create_new(&name, Access::Append).unwrap();
        let dirty = Dirty { garbage: vec![Displaced { name, bytes: 0, again: true }], ..Dirty::default() };
        journal.commit(b"x".to_vec(), Weight::Data).unwrap().done(dirty);
        assert!(left() < 3, "{} are left", left());
    }
    journal.checkpoint().unwrap();
    assert_eq!(left(), 0);
}

/// In the mode `os` nobody syncs, but for names of segments and projects.
#[test]
fn the_weakest_mode_syncs_names_alone() {
    let rig = Rig::new(0);
    let journal = rig.open(JournalOptions { durability: Durability::Os, ..tiny() });
    let syncs = || rig.sim.count("sync") + rig.sim.count("syncfs");
    let before = syncs();
    change(&journal, b"x", vec![rig.changed("f", b"x")]);
    journal.checkpoint().unwrap();
    assert_eq!(syncs(), before);
    let dirty = Dirty { everything: true, ..Dirty::default() };
    journal.commit(b"x".to_vec(), Weight::Structure).unwrap().done(dirty);
    journal.checkpoint().unwrap();
    assert_eq!(rig.sim.count("syncfs"), 1);
}
