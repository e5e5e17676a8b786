//! Appends that only make a segment longer: decided, committed and answered on the committer's own thread. What takes
//! longer, or needs more than that, goes to a thread of its own.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::error::Result;
use crate::fs::journal::{Applying, Job, Weight};
use crate::fs::log::append::{Batch, Decided};
use crate::fs::log::core::{Hold, LogCore, Reply, Worker, answer};
use crate::fs::log::disk::Disk;
use crate::fs::log::keys::Keys;
use crate::fs::log::rewrite::Planned;
use crate::fs::txn::Txn;
use crate::log::AppendOutcome;

/// More bytes than this are not encoded on the committer's thread.
const FEW: usize = 256 << 10;

/// The work on one log.
pub(crate) struct Quick {
    core: Arc<LogCore>,
    /// For what takes longer.
    runtime: Handle,
    waiting: Option<Waiting>,
}

/// Appends that wait for their commit.
struct Waiting {
    disk: Box<Disk>,
    decided: Decided,
    replies: Vec<(Hold, Reply<AppendOutcome>)>,
    planned: Planned,
}

impl Quick {
    pub(crate) fn new(core: Arc<LogCore>, runtime: Handle) -> Self {
        Self { core, runtime, waiting: None }
    }

    fn slowly(&self) {
        let core = Arc::clone(&self.core);
        drop(self.runtime.spawn_blocking(move || core.work()));
    }

    /// Decides what waits and makes the write ready. `None`: there is nothing to write, or it is done elsewhere.
    fn decide(&self) -> Option<Waiting> {
        let core = &self.core;
        let Some(mut disk) = core.take_ready() else {
            self.slowly();
            return None;
        };
        // A table of keys that is not read yet may take long.
        let keyed = !matches!(disk.keys, Keys::Unread);
        let Some(group) = core.take_appends(FEW, keyed) else {
            core.put_back(disk);
            self.slowly();
            return None;
        };
        if group.is_empty() {
            core.put_back(disk);
            return None;
        }
        let mut batch = Batch::new(&mut disk, core.store.now_ms(), core.has_listeners());
        let mut replies = Vec::with_capacity(group.len());
        for (request, hold, reply) in group {
            batch.add(request);
            replies.push((hold, reply));
        }
        let mut decided = batch.decided();
        if !decided.writes() || !disk.only_grows(&core.store, decided.bytes() as u64) {
            let core = Arc::clone(core);
            drop(self.runtime.spawn_blocking(move || core.finish(disk, decided, replies)));
            return None;
        }
        match decided.plan(&mut disk, &core.store) {
            Ok(planned) => Some(Waiting { disk, decided, replies, planned }),
            Err(error) => {
                core.put_back(disk);
                answer(replies, Err(error));
                if core.has_more() {
                    self.slowly();
                }
                None
            }
        }
    }
}

impl Job for Quick {
    fn prepare(&mut self) -> Option<(Vec<u8>, Weight)> {
        let _worker = Worker::on(&self.core);
        let mut waiting = self.decide()?;
        let txn = Txn { steps: std::mem::take(&mut waiting.planned.steps) };
        let record = (txn.record(), txn.weight());
        waiting.planned.steps = txn.steps;
        self.waiting = Some(waiting);
        Some(record)
    }

    fn finish(mut self: Box<Self>, outcome: Result<Applying>) {
        let Some(Waiting { disk, decided, replies, planned }) = self.waiting.take() else { return };
        let core = Arc::clone(&self.core);
        let _worker = Worker::on(&core);
        let Planned { steps, after } = planned;
        let outcome = core.with(disk, |disk| {
            let effects = core.store.apply(Txn { steps }, outcome?)?;
            disk.take(after, effects)?;
            let done = decided.done(disk, true);
            core.publish(disk, done.entries);
            Ok(done.answers)
        });
        answer(replies, outcome);
        if core.has_more() {
            let runtime = self.runtime.clone();
            if !core.store.does(self) {
                let core = Arc::clone(&core);
                drop(runtime.spawn_blocking(move || core.work()));
            }
        }
    }

    fn lost(self: Box<Self>) {
        self.core.give_up();
    }
}
