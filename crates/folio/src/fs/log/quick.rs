//! Appends that only make a segment longer: decided, committed and answered on the committer's own thread. What takes
//! longer, or needs more than that, goes to a thread of its own.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::error::Result;
use crate::fs::journal::{Applying, Job, Weight};
use crate::fs::log::append::{Batch, Decided, Request};
use crate::fs::log::core::{Hold, LogCore, Op, Reply, Worker, answer, locked};
use crate::fs::log::disk::Disk;
use crate::fs::log::keys::Keys;
use crate::fs::log::rewrite::Planned;
use crate::fs::txn::Txn;
use crate::fs::vfs::Looks;
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
    fn decide(&self, looks: &mut Looks) -> Option<Waiting> {
        let core = &self.core;
        let Some(mut disk) = core.take_ready(looks) else {
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

/// What a quick worker asks of its log.
impl LogCore {
    /// The log's files, if they are as they are known.
    fn take_ready(&self, looks: &mut Looks) -> Option<Box<Disk>> {
        let known = locked(&self.idle).take()?;
        let is_current = |looks: &mut Looks| matches!(known.is_at(looks.spot(&self.store.root, &self.place)), Ok(true));
        let ready = self.store.writable().is_ok() && is_current(looks);
        if ready {
            return Some(known);
        }
        self.put_back(known);
        None
    }

    /// What waits, if it is nothing but a few appends (with keys only where `keyed`). An empty list: nothing waits, and the work is
    /// over.
    fn take_appends(&self, most_bytes: usize, keyed: bool) -> Option<Vec<(Request, Hold, Reply<AppendOutcome>)>> {
        let mut queue = locked(&self.queue);
        let mut bytes = 0;
        let few = queue.waiting.iter().all(|op| match op {
            Op::Append { request, .. } => {
                bytes += request.entries.iter().map(crate::log::Data::len).sum::<usize>();
                bytes <= most_bytes && (keyed || request.keyed.is_none())
            }
            _ => false,
        });
        if !few {
            return None;
        }
        if queue.waiting.is_empty() {
            queue.working = false;
        }
        let append = |op| match op {
            Op::Append { request, hold, reply } => Some((request, hold, reply)),
            _ => None,
        };
        Some(std::mem::take(&mut queue.waiting).into_iter().filter_map(append).collect())
    }

    /// Writes what it has decided, which takes longer than it may.
    fn finish(self: &Arc<Self>, disk: Box<Disk>, decided: Decided, replies: Vec<(Hold, Reply<AppendOutcome>)>) {
        let _worker = Worker::on(self);
        let outcome = self.with(disk, |disk| {
            let done = decided.commit(disk, &self.store)?;
            if done.wrote {
                self.publish(disk, done.entries);
            }
            Ok(done.answers)
        });
        answer(replies, outcome);
        self.work();
    }
}

impl Job for Quick {
    fn prepare(&mut self, looks: &mut Looks) -> Option<(Vec<u8>, Weight)> {
        let _worker = Worker::on(&self.core);
        let mut waiting = self.decide(looks)?;
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
