//! Segments that are used again, and how many there are.

use super::rig::{Rig, commit, threaded, tiny, unsynced, until};
use crate::fs::journal::batch::SECTOR;
use crate::fs::journal::{Dirty, Journal, State, Weight};

/// Records as `0`, `1`, `2` …, padded to a length.
fn numbered(number: usize, bytes: usize) -> Vec<u8> {
    format!("{number:bytes$}").into_bytes()
}

fn number(record: &[u8]) -> usize {
    std::str::from_utf8(record).unwrap().trim().parse().unwrap()
}

/// What is found are the newest records without a hole, and all that no checkpoint covers.
fn assert_newest(rig: &Rig, journal: &Journal, written: usize, ends: &[u64], seed: u64) {
    let found: Vec<usize> = rig.found().unwrap().iter().map(|record| number(record)).collect();
    let checkpoint = journal.shared.held().checkpoint;
    let void = ends.iter().take_while(|end| **end <= checkpoint).count();
    assert!(found.iter().copied().eq(written - found.len()..written), "seed {seed}, {written} written: {found:?}");
    assert!(found.len() >= written - void, "seed {seed}: {void} are void, {found:?}");
}

/// Batches of one size come to lie exactly where batches of an earlier use lay, so what follows the newest is an old one.
#[test]
fn old_batches_are_never_read_as_new() {
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    for same_size in [true, false] {
        let rig = Rig::new(seed);
        let (mut journal, mut ends, mut reused) = (rig.open(tiny()), Vec::new(), 0);
        for written in 0..400 {
            let before = rig.names();
            commit(&journal, &numbered(written, if same_size { 100 } else { rng.usize(10..3000) }));
            ends.push(journal.shared.held().end);
            assert_newest(&rig, &journal, written + 1, &ends, seed);
            reused += usize::from(rig.names() == before);
            if rng.u8(0..40) == 0 {
                drop(journal);
                journal = rig.open(tiny());
                assert_eq!(rig.found().unwrap().len(), 0, "seed {seed}: who opens it has made everything again");
            }
        }
        assert!(reused > 300 && rig.names().last().is_none_or(|last| last.len() < "100.journal".len()), "{:?}", rig.names());
    }
}

#[test]
fn what_was_closed_holds_nothing_and_what_comes_after_it_is_all_there_is() {
    let rig = Rig::new(0);
    for round in 0..5 {
        let journal = rig.open(tiny());
        (0..30).for_each(|n| commit(&journal, &numbered(n, 100)));
        journal.close().unwrap();
        assert!(rig.pending().is_empty() && rig.found().unwrap().is_empty());
        assert_eq!((rig.names().len(), rig.size()), (1, 4 << 10), "one small segment is left");
        let journal = rig.open(tiny());
        commit(&journal, &numbered(round, 100));
        drop(journal);
        assert_eq!(rig.found().unwrap(), [numbered(round, 100)]);
    }
}

/// A batch that was written and never synced may come back with a power loss. It must not follow one that was written in
/// its place.
#[test]
fn a_batch_that_a_crash_cut_off_never_follows_a_new_one() {
    let rig = Rig::new(0);
    let journal = rig.open(tiny());
    (0..3).for_each(|n| commit(&journal, &numbered(n, 100)));
    drop(journal);
    let old = rig.bytes("1.journal");
    // The second was lost, so the third is not seen: only the first is made again, and the journal goes on.
    rig.file("1.journal").write_all_at(&[0; 1024], 1024).unwrap();
    assert_eq!(rig.found().unwrap().len(), 1);
    let journal = rig.open(tiny());
    commit(&journal, &numbered(7, 100));
    let name = rig.names().pop().unwrap();
    let head = 512;
    rig.file(&name).write_all_at(&old[1024..2048], head + 512).unwrap();
    assert_eq!(rig.found().unwrap(), [numbered(7, 100)]);
}

/// The same where everything before it is void, so that the segment itself is used again.
#[test]
fn a_batch_behind_the_end_never_follows_a_new_one_in_its_own_segment() {
    let rig = Rig::new(0);
    let journal = rig.open(unsynced());
    commit(&journal, &numbered(0, 100));
    journal.checkpoint().unwrap();
    let lost = SECTOR + journal.shared.held().end;
    (1..3).for_each(|n| commit(&journal, &numbered(n, 100)));
    drop(journal);
    rig.file("1.journal").write_all_at(&[0; 512], lost).unwrap();
    assert!(rig.found().unwrap().is_empty(), "the first is lost, so the second does not count");
    let journal = rig.open(unsynced());
    commit(&journal, &numbered(3, 100));
    assert_eq!((rig.names(), rig.found().unwrap()), (vec!["1.journal".into()], vec![numbered(3, 100)]));
}

#[test]
fn the_segments_stay_within_their_bound() {
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    let rig = Rig::new(seed);
    let journal = rig.open(tiny());
    for written in 0..600 {
        commit(&journal, &numbered(written, rng.usize(10..6000)));
        assert!(rig.size() <= tiny().most, "seed {seed}: {} bytes in {:?}", rig.size(), rig.names());
    }
    // A record that is larger than a segment gets one of its own.
    commit(&journal, &numbered(600, 20_000));
    assert_eq!(rig.found().unwrap().last().map(|record| number(record)), Some(600));
}

/// While a change is being made its record is needed: whoever has no room for another waits, and the journal does not
/// grow.
#[test]
fn who_finds_no_room_waits_for_changes_that_are_being_made() {
    let rig = Rig::new(0);
    let journal = rig.open(threaded());
    let slow = journal.commit(numbered(0, 1000), Weight::Data).unwrap();
    let others = std::thread::spawn({
        let journal = std::sync::Arc::clone(&journal);
        move || (1..200).for_each(|n| commit(&journal, &numbered(n, 1000)))
    });
    // No other segment may be made, and this one has no room for another record.
    let stuck = |state: &State| {
        let full = |first| state.end - first + SECTOR + 1536 > state.current;
        state.bytes + threaded().segment > threaded().most && state.full.last().is_some_and(|(_, first)| full(first))
    };
    // A segment that is just being begun can't be read yet.
    let mut found = Vec::new();
    until(|| {
        let read = stuck(&journal.shared.held()).then(|| rig.found().ok()).flatten();
        let there = read.is_some();
        found = read.unwrap_or_default();
        there || others.is_finished()
    });
    assert!(!others.is_finished());
    assert!(rig.size() <= threaded().most);
    assert_eq!(number(&found[0]), 0, "it is not made yet");
    slow.done(Dirty::default());
    others.join().unwrap();
    assert!(rig.size() <= threaded().most);
    assert_eq!(rig.found().unwrap().last().map(|record| number(record)), Some(199));
}

/// A full disk is told before anything is written, and once there is room the same journal goes on.
#[test]
fn a_disk_that_is_full_refuses_and_heals() {
    let rig = Rig::new(0);
    let journal = rig.open(tiny());
    let slow = journal.commit(numbered(0, 1000), Weight::Data).unwrap();
    rig.sim.set_room(Some(0));
    let (mut written, error) = (
        1,
        loop {
            match journal.commit(numbered(1, 1000), Weight::Data) {
                Ok(applying) => applying.done(Dirty::default()),
                Err(error) => break error,
            }
        },
    );
    assert_eq!(error.code(), "disk_full");
    let found = rig.found().unwrap();
    assert!(found.len() < 4, "the first segment has room for no more");
    written += found.len();
    rig.sim.set_room(None);
    slow.done(Dirty::default());
    commit(&journal, &numbered(written, 1000));
    assert_eq!(rig.found().unwrap().last().map(|record| number(record)), Some(written));
}
