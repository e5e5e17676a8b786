//! What commits together, and what happens when the sync that it shares fails.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::io::Errno;

use super::rig::{Rig, commit, threaded, tiny};
use crate::driver::Durability;
use crate::error::{Error, Result};
use crate::fs::journal::committer::Answer;
use crate::fs::journal::{Applying, Dirty, Job, Journal, JournalOptions, Weight};
use crate::fs::vfs::Looks;
use crate::fs::vfs::sim::Fault;

/// Keeps the committer's thread busy until it is let go, and records nothing.
struct Busy {
    begun: Sender<()>,
    goes_on: Receiver<()>,
}

impl Job for Busy {
    fn prepare(&mut self, _: &mut Looks) -> Option<(Vec<u8>, Weight)> {
        self.begun.send(()).unwrap();
        // Whoever held it may be gone.
        let _ = self.goes_on.recv();
        None
    }

    fn finish(self: Box<Self>, _outcome: Result<Applying>) {}
}

/// While it is held, whatever is handed to the committer waits.
fn held_up(journal: &Journal) -> Sender<()> {
    let ((begun, begins), (go, goes_on)) = (channel(), channel());
    assert!(journal.has_done(Box::new(Busy { begun, goes_on })));
    begins.recv().unwrap();
    go
}

fn submit(journal: &Journal, record: &[u8], weight: Weight) -> Arc<Answer> {
    let answer = Answer::new();
    journal.shared.submit(record.to_vec(), weight, &answer).unwrap();
    answer
}

/// Hands in so many records at the same moment; what each is answered.
fn together(journal: &Journal, count: u8, weight: Weight) -> Vec<Result<u64>> {
    let go = held_up(journal);
    let answers: Vec<Arc<Answer>> = (0..count).map(|n| submit(journal, &[n; 10], weight)).collect();
    drop(go);
    answers.iter().map(|answer| answer.wait()).collect()
}

#[test]
fn what_waits_at_the_same_time_shares_one_write_and_one_sync() {
    let rig = Rig::new(0);
    let journal = rig.open(threaded());
    let (writes, syncs) = (rig.sim.count("write"), rig.sim.count("sync"));
    let answers = together(&journal, 32, Weight::Data);
    let ends: Vec<u64> = answers.into_iter().map(Result::unwrap).collect();
    assert!(ends.iter().all(|end| *end == ends[0]), "one batch: {ends:?}");
    assert_eq!((rig.sim.count("write") - writes, rig.sim.count("sync") - syncs), (1, 1));
    assert_eq!(rig.found().unwrap(), (0..32).map(|n| vec![n; 10]).collect::<Vec<_>>());
}

#[test]
fn many_threads_get_what_they_committed() {
    let rig = Rig::new(0);
    let journal = rig.open(JournalOptions { first_segment: 1 << 20, ..threaded() });
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let journal = &journal;
            scope.spawn(move || (0..100_u8).for_each(|n| commit(journal, &[thread, n])));
        }
    });
    let found = rig.found().unwrap();
    for thread in 0..8 {
        let own: Vec<u8> = found.iter().filter(|record| record[0] == thread).map(|record| record[1]).collect();
        assert_eq!(own, (0..100).collect::<Vec<_>>(), "in the order in which one thread committed them");
    }
}

/// Who waits for nobody: each commit is durable when it is answered.
#[test]
fn an_answer_comes_after_the_sync() {
    let seed = fastrand::u64(..);
    for seed in (0..60).map(|n| seed.wrapping_add(n)) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let rig = Rig::new(seed);
        let options = if rng.bool() { tiny() } else { threaded() };
        let journal = rig.open(options);
        let written = rng.u8(1..12);
        for n in 0..written {
            std::mem::forget(journal.commit(vec![n; rng.usize(1..2000)], Weight::Data).unwrap());
        }
        let after = rig.cut(&mut rng);
        let found: Vec<u8> = after.found().unwrap().iter().map(|record| record[0]).collect();
        assert_eq!(found, (0..written).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn the_weaker_modes_write_the_same_and_wait_for_names_alone() {
    for durability in [Durability::Interval, Durability::Os] {
        let rig = Rig::new(0);
        let journal = rig.open(JournalOptions { durability, ..tiny() });
        let syncs = rig.sim.count("sync");
        commit(&journal, b"data");
        assert_eq!(rig.sim.count("sync"), syncs, "{durability:?}");
        journal.commit(b"a name".to_vec(), Weight::Structure).unwrap().done(Dirty::default());
        assert_eq!(rig.sim.count("sync"), syncs + 1, "{durability:?}");
        assert_eq!(rig.found().unwrap(), [b"data".to_vec(), b"a name".to_vec()]);
        let after = rig.cut(&mut fastrand::Rng::with_seed(1));
        assert_eq!(after.found().unwrap().len(), 2, "one sync makes all before it durable");
    }
}

/// The write is the next operation, the sync the same one or the one after.
#[test]
fn a_failed_write_or_sync_stops_everything_and_those_in_flight_are_told_that_nobody_knows() {
    let apart = [(1, Errno::IO), (2, Errno::IO), (2, Errno::NOSPC), (2, Errno::DQUOT)].map(|case| (false, case));
    let at_once = [(1, Errno::IO), (1, Errno::NOSPC)].map(|case| (true, case));
    for (through, (operation, errno)) in apart.into_iter().chain(at_once) {
        let rig = Rig::new(0);
        rig.sim.set_through(through);
        let journal = rig.open(threaded());
        commit(&journal, b"before");
        rig.sim.plan(operation, Fault::Fail(errno));
        for answer in together(&journal, 8, Weight::Data) {
            assert!(matches!(answer, Err(Error::OutcomeUnknown { .. })), "operation {operation}: {answer:?}");
        }
        let operations = rig.sim.operations();
        for _ in 0..3 {
            let error = journal.commit(b"after".to_vec(), Weight::Data).err().map(|error| error.code());
            assert_eq!(error, Some("store_failed"));
        }
        assert_eq!(journal.checkpoint().unwrap_err().code(), "store_failed");
        assert_eq!(journal.close().unwrap_err().code(), "store_failed");
        assert_eq!(rig.sim.operations(), operations, "a sync that succeeds now would prove nothing");
        // Opening it again decides: the batch is there whole or not at all, and new ones are taken.
        let again = rig.kill();
        let found = again.found().unwrap();
        assert_eq!(found[0], b"before");
        assert!([1, 9].contains(&found.len()), "{found:?}");
        commit(&again.open(tiny()), b"after");
        assert_eq!(again.found().unwrap(), [b"after"]);
    }
}

/// Who is refused before the commit point was never in doubt.
#[test]
fn who_comes_after_the_failure_is_refused_and_not_in_doubt() {
    let rig = Rig::new(0);
    let journal = rig.open(threaded());
    let go = held_up(&journal);
    rig.sim.plan(2, Fault::Fail(Errno::IO));
    // Two batches: the second is not begun.
    let large = vec![1; 4 << 20];
    let answers = [submit(&journal, &large, Weight::Data), submit(&journal, &large, Weight::Data)];
    drop(go);
    let [first, second] = answers.map(|answer| answer.wait().unwrap_err().code());
    assert_eq!((first, second), ("outcome_unknown", "store_failed"));
}

#[test]
fn a_change_that_nobody_finished_stops_the_writes() {
    let rig = Rig::new(0);
    let journal = rig.open(tiny());
    drop(journal.commit(b"begun".to_vec(), Weight::Data).unwrap());
    assert_eq!(journal.commit(b"more".to_vec(), Weight::Data).err().map(|error| error.code()), Some("store_failed"));
    assert_eq!(rig.found().unwrap(), [b"begun"]);
}

/// A job that records and makes its change on the committer's thread, or panics.
struct Small {
    record: Option<&'static [u8]>,
    panics: bool,
    finished: Sender<bool>,
}

impl Job for Small {
    fn prepare(&mut self, _: &mut Looks) -> Option<(Vec<u8>, Weight)> {
        let record = self.record.take()?;
        assert!(!record.is_empty(), "a job that can't be prepared");
        Some((record.to_vec(), Weight::Data))
    }

    fn finish(self: Box<Self>, outcome: Result<Applying>) {
        assert!(!self.panics, "a job that can't be finished");
        let told = outcome.map(|applying| applying.done(Dirty::default()));
        // Nobody may listen any more.
        let _ = self.finished.send(told.is_ok());
    }
}

#[test]
fn jobs_share_the_batch_and_are_done_whoever_listens() {
    let rig = Rig::new(0);
    let journal = rig.open(threaded());
    let go = held_up(&journal);
    let (finished, told) = channel();
    let job = |record, panics| Box::new(Small { record, panics, finished: finished.clone() });
    assert!(journal.has_done(job(Some(b"one"), false)));
    let answer = submit(&journal, b"two", Weight::Data);
    assert!(journal.has_done(job(Some(b""), false)), "it panics while it is prepared");
    assert!(journal.has_done(job(None, false)), "it has nothing to record");
    assert!(journal.has_done(job(Some(b"three"), false)));
    let syncs = rig.sim.count("sync");
    drop(go);
    assert!(answer.wait().is_ok());
    assert!(told.recv().unwrap() && told.recv().unwrap());
    assert_eq!(rig.sim.count("sync") - syncs, 1);
    assert_eq!(rig.found().unwrap(), [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
    drop(told);
    assert!(journal.has_done(job(Some(b"four"), false)));
    journal.end();
    assert_eq!(rig.found().unwrap().len(), 4, "nobody listened");
    assert!(!journal.has_done(job(Some(b"late"), false)));
    assert_eq!(journal.commit(b"late".to_vec(), Weight::Data).err().map(|error| error.code()), Some("invalid"));
}

/// The record is durable and its change was not made: nobody knows what of it was.
#[test]
fn a_job_that_panics_over_its_change_stops_the_writes_and_no_other_job() {
    let rig = Rig::new(0);
    let journal = rig.open(threaded());
    let go = held_up(&journal);
    let (finished, told) = channel();
    let job = |panics| Box::new(Small { record: Some(b"x"), panics, finished: Sender::clone(&finished) });
    assert!(journal.has_done(job(true)) && journal.has_done(job(false)));
    drop(finished);
    drop(go);
    assert_eq!(told.recv(), Ok(true), "the other one is done");
    assert_eq!(journal.commit(b"more".to_vec(), Weight::Data).err().map(|error| error.code()), Some("store_failed"));
}

#[test]
fn a_record_that_is_too_large_is_refused() {
    let rig = Rig::new(0);
    let journal = rig.open(tiny());
    let error = journal.commit(vec![0; (4 << 20) + 1], Weight::Data).err().map(|error| error.code());
    assert_eq!(error, Some("invalid"));
    commit(&journal, b"fine");
}
