//! What is read before a replay: durable before anything is built upon it.

use rustix::io::Errno;

use super::rig::{Rig, commit, tiny, unsynced};
use crate::fs::journal::Weight;
use crate::fs::vfs::sim::Fault;

/// After a failed sync the system shows records that the medium may not hold, and no later sync writes them.
#[test]
fn a_record_whose_sync_failed_is_made_durable_before_its_replay() {
    let mut lost = 0;
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let rig = Rig::new(seed);
        let through = rng.bool();
        rig.sim.set_through(through);
        let journal = rig.open(tiny());
        commit(&journal, b"one");
        rig.sim.plan(if through { 1 } else { 2 }, Fault::Fail(Errno::IO));
        assert_eq!(journal.commit(vec![b'2'; 1_500], Weight::Data).err().map(|error| error.code()), Some("outcome_unknown"));
        drop(journal);
        let after = rig.kill();
        let found = after.found().unwrap();
        after.root.sync_file_system().unwrap();
        lost += usize::from(after.cut(&mut rng).found().unwrap() != found);
        let after = rig.kill();
        after.pending().settle().unwrap();
        assert_eq!(after.cut(&mut rng).found().unwrap(), found, "seed {seed}");
    }
    assert!(lost > 5, "{lost} were lost without it: this proves nothing");
}

/// A mode that never syncs: all of it goes on from segment to segment.
#[test]
fn what_was_never_synced_is_made_durable_whole() {
    for seed in 0..20 {
        let rig = Rig::new(seed);
        let journal = rig.open(unsynced());
        for number in 0..8 {
            commit(&journal, &[number; 1_000]);
        }
        drop(journal);
        let after = rig.kill();
        let found = after.found().unwrap();
        assert_eq!(found.len(), 8);
        after.pending().settle().unwrap();
        after.folder.sync().unwrap();
        assert_eq!(after.cut(&mut fastrand::Rng::with_seed(seed)).found().unwrap(), found, "seed {seed}");
    }
}

/// A crash while the same bytes are written again leaves what was acknowledged.
#[test]
fn a_crash_in_the_middle_takes_nothing() {
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let rig = Rig::new(seed);
        let journal = rig.open(tiny());
        for number in 0..5 {
            commit(&journal, &[number; 700]);
        }
        drop(journal);
        let found = rig.found().unwrap();
        let after = rig.cut(&mut rng);
        after.sim.plan(rng.u64(1..5), Fault::Cut);
        let _ = after.pending().settle();
        assert_eq!(after.cut(&mut rng).found().unwrap(), found, "seed {seed}");
    }
}
