//! The journal of a root: what commits at the same moment, in whatever logs, documents and projects, shares one sync.
//!
//! It knows records as bytes and not what they mean. [`Journal::commit`] returns when a record is durable: that is the
//! commit point. The caller then makes the changes it tells of, and says so by [`Applying::done`]. A checkpoint, off the
//! acknowledging path, makes those changes durable where they were made; the records before it are void then, and their
//! room is used again.
//!
//! | file | holds |
//! | --- | --- |
//! | `batch` | how batches and heads of segments lie in the file |
//! | `writer` | the segment that is written, and the next ones |
//! | `memory` | what it writes from |
//! | `committer` | the one thread that writes and syncs for everybody |
//! | `checkpoint` | what was changed since the last one, and the thread that syncs it |
//! | `pending` | what a journal holds, read at the open and by doctor |
//!
//! What is assumed of the medium: a sector of 512 bytes is written whole or not at all, a sync that succeeds means what
//! it says, and a failed one is final. Bytes that were written and not synced may be there in any part and order.

mod batch;
mod checkpoint;
mod committer;
mod memory;
mod pending;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;

pub(crate) use self::batch::Lsn;
use self::checkpoint::Orphan;
pub(crate) use self::checkpoint::{Dirty, Held};
pub(crate) use self::committer::Job;
use self::committer::{Answer, Request};
pub(crate) use self::pending::Pending;
use self::writer::Writer;
use super::failure::Failure;
use super::spares::Spares;
use super::vfs::{Dir, VfsError};
use crate::driver::Durability;
use crate::error::{Error, Result};

/// Most bytes of one record.
pub(crate) const MAX_RECORD: usize = 4 << 20;

/// What kind of change a record tells of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Weight {
    /// The weaker modes don't wait for the medium.
    Data,
    /// Names of segments and projects: waits for the medium in every mode.
    Structure,
}

/// How a journal is kept.
#[derive(Clone, Debug)]
pub(crate) struct JournalOptions {
    pub(crate) durability: Durability,
    /// Bytes of the first segment. The next ones double.
    pub(crate) first_segment: u64,
    /// Bytes of the largest segments.
    pub(crate) segment: u64,
    /// Bytes of all segments together.
    pub(crate) most: u64,
    /// Changed files that are held open until a checkpoint.
    pub(crate) files: usize,
    /// Temporary files that wait to be removed.
    pub(crate) garbage: usize,
    /// From a change to the checkpoint that makes its record void, if nothing else asks for one.
    pub(crate) age: Duration,
    /// The committer's thread runs tasks of others, too.
    pub(crate) tasks: bool,
    /// Everything is done by who calls, one step after the other, without threads.
    pub(crate) inline: bool,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Sync,
            first_segment: 256 << 10,
            segment: 16 << 20,
            most: 64 << 20,
            files: 128,
            garbage: 256,
            age: Duration::from_secs(2),
            tasks: false,
            inline: false,
        }
    }
}

impl JournalOptions {
    /// On a small file system the journal takes little of it.
    fn fit(self, capacity: u64) -> Self {
        let most = self.most.min(capacity / 16).max(4 * self.first_segment);
        Self { most, segment: self.segment.min(most / 4).max(self.first_segment), ..self }
    }
}

/// A journal that is open for writing.
pub(crate) struct Journal {
    shared: Arc<Shared>,
    /// Of the committer's thread, where it runs tasks of others.
    runtime: Option<Handle>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("end", &self.shared.held().end).finish_non_exhaustive()
    }
}

/// What committers, checkpoints and callers share.
struct Shared {
    options: JournalOptions,
    failure: Arc<Failure>,
    /// Never held over a write or a sync.
    state: Mutex<State>,
    /// For the committer: there is something to write.
    work: Notify,
    /// For the checkpoint thread: there is something to do.
    due: Condvar,
    /// For who waits for room in the queue, for a free segment, or for changes to be done.
    moved: Condvar,
    /// Who writes holds it, and nobody waits for it but who writes next.
    writer: Mutex<Writer>,
    checkpoint: Mutex<checkpoint::Medium>,
    folder: Dir,
}

/// What is known at the moment.
#[derive(Default)]
struct State {
    queue: Vec<Request>,
    queued: usize,
    /// A batch is about to be written: its records had their last look.
    writing: bool,
    /// A checkpoint waits for that: no other batch comes before it.
    beginning: bool,
    /// LSN after the last batch.
    end: Lsn,
    /// Changes that are being made, by the LSN after their batch.
    applying: std::collections::BTreeMap<Lsn, usize>,
    dirty: Dirty,
    /// The last change that is not checkpointed was noted.
    unmarked: bool,
    /// Records of [`Weight::Structure`] since the last checkpoint.
    structure: bool,
    /// Everything before was made and synced.
    checkpoint: Lsn,
    /// A checkpoint that is asked for.
    wanted: bool,
    /// Checkpoints that were made, failed ones too.
    checkpoints: u64,
    /// Full segments, with the LSN after each.
    full: Vec<(writer::Segment, Lsn)>,
    /// Segments that can be used.
    free: Vec<writer::Segment>,
    /// Bytes of all segments.
    bytes: u64,
    /// Bytes of the one that is written.
    current: u64,
    /// Who waits for `moved`: a call to the system is saved where nobody does.
    waiting: usize,
    closing: bool,
    committer_ended: bool,
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something has moved.
    fn wait_moved<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.waiting += 1;
        let mut state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state
    }

    fn unknown(&self, error: &VfsError) -> Error {
        self.failure.unknown("the journal", error)
    }
}

impl Journal {
    /// Begins to write. Whoever calls has made the changes of all pending records and synced them: they are void now.
    ///
    /// `medium` is a folder on the file system of the root; `orphan` is told of a changed file that has lost its name;
    /// `spares` gets those that nobody needs any more.
    ///
    /// # Errors
    /// Where the journal can't be written.
    pub(crate) fn start(
        folder: Dir,
        medium: Dir,
        pending: Pending,
        options: JournalOptions,
        failure: Arc<Failure>,
        orphan: Orphan,
        spares: Arc<Spares>,
    ) -> Result<Arc<Self>> {
        let (inline, tasks, mut runtime, mut state) = (options.inline, options.tasks, None, State::default());
        let options = options.fit(medium.room()?.all);
        let writer = Writer::start(folder.clone(), pending, &options, &mut state)?;
        let shared = Arc::new(Shared {
            options,
            failure,
            state: Mutex::new(state),
            work: Notify::new(),
            due: Condvar::new(),
            moved: Condvar::new(),
            writer: Mutex::new(writer),
            checkpoint: Mutex::new(checkpoint::Medium { root: medium, orphan, spares }),
            folder,
        });
        let mut threads = Vec::new();
        if !inline {
            let mut builder = Builder::new_current_thread();
            // Without sockets it is woken by cheaper means.
            let builder = if tasks { builder.enable_all() } else { builder.enable_time() };
            let committer = builder.build().map_err(no_thread)?;
            runtime = tasks.then(|| committer.handle().clone());
            let commits = Arc::clone(&shared);
            threads.push(spawn("folio-journal", move || {
                let _ = committer.block_on(async { tokio::spawn(commits.commits()).await });
                committer.shutdown_background();
            })?);
            let checkpoints = Arc::clone(&shared);
            threads.push(spawn("folio-checkpoint", move || checkpoints.run_checkpoints())?);
        }
        Ok(Arc::new(Self { shared, runtime, threads: Mutex::new(threads) }))
    }

    /// Records what is about to be changed, and returns when the record is as durable as the mode promises. Blocks.
    ///
    /// # Errors
    /// Nothing was recorded: [`Error::StoreFailed`], [`Error::Invalid`] for a record over [`MAX_RECORD`].
    /// [`Error::OutcomeUnknown`]: it may be recorded; opening the root again decides.
    pub(crate) fn commit(&self, record: Vec<u8>, weight: Weight) -> Result<Applying> {
        self.may_commit(&record)?;
        let end = if self.shared.options.inline {
            self.shared.commit_inline(vec![(record, weight)])?
        } else {
            let answer = Answer::new();
            self.shared.submit(record, weight, &answer)?;
            answer.wait()?
        };
        Ok(Applying { shared: Arc::clone(&self.shared), end, done: false })
    }

    /// # Errors
    /// [`Error::StoreFailed`], [`Error::Invalid`] for a record over [`MAX_RECORD`].
    pub(crate) fn may_commit(&self, record: &[u8]) -> Result<()> {
        if record.len() > MAX_RECORD {
            return Err(Error::invalid(format!("a commit of {} bytes is over the limit of {MAX_RECORD}", record.len())));
        }
        self.shared.failure.check()
    }

    /// True where a committer's thread does the work; `false` where who calls does it.
    pub(crate) fn has_thread(&self) -> bool {
        !self.shared.options.inline
    }

    /// Has a job done by the committer's thread. `false`: it is not done here, because there is no such thread (any more).
    pub(crate) fn has_done(&self, job: Box<dyn Job>) -> bool {
        self.has_thread() && self.shared.submit_job(job).is_none()
    }

    /// As [`Journal::has_done`], by who calls where there is no such thread.
    pub(crate) fn runs(&self, job: Box<dyn Job>) {
        if self.has_thread() {
            self.shared.submit_job(job);
        } else {
            self.shared.do_inline(job);
        }
    }

    /// The runtime of the committer's thread: what runs there commits without a change of threads.
    pub(crate) fn runtime(&self) -> Option<&Handle> {
        let ended = |state: MutexGuard<'_, State>| state.closing || state.committer_ended;
        self.runtime.as_ref().filter(|_| !ended(self.shared.held()))
    }

    /// Makes everything durable that is done by now, so that no record of it is needed. Blocks.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        self.shared.checkpoint_now()
    }

    /// A checkpoint, then the end of the threads. The next open finds a journal without records.
    pub(crate) fn close(&self) -> Result<()> {
        let checkpointed = self.checkpoint();
        self.end();
        checkpointed?;
        self.shared.failure.check()?;
        self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner).finish(&self.shared)
    }

    /// Ends the threads and leaves everything as it is.
    pub(crate) fn end(&self) {
        self.shared.held().closing = true;
        self.shared.work.notify_one();
        self.shared.due.notify_all();
        self.shared.moved.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // The last one to hold the store may be a job of the committer. It has nothing more to do then.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Journal {
    /// Ends the threads, before another process may open the root. What is recorded is there for that.
    fn drop(&mut self) {
        self.end();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(run).map_err(no_thread)
}

#[expect(clippy::needless_pass_by_value, reason = "that is how errors come")]
fn no_thread(error: std::io::Error) -> Error {
    Error::Io { what: "cannot start a thread".into(), why: error.to_string() }
}

/// A change that is recorded and being made. Dropped without [`Applying::done`] nobody knows whether it was made, so the
/// store refuses writes from then on.
#[must_use]
pub(crate) struct Applying {
    shared: Arc<Shared>,
    end: Lsn,
    done: bool,
}

impl Applying {
    /// The change is made; `dirty` is what has to be synced before its record is void.
    pub(crate) fn done(mut self, dirty: Dirty) {
        self.done = true;
        self.shared.done(self.end, Some(dirty));
    }
}

impl Drop for Applying {
    fn drop(&mut self) {
        if !self.done {
            let path = std::path::Path::new("what was committed");
            self.shared.failure.set(&VfsError::os("finish", path, rustix::io::Errno::CANCELED));
            self.shared.done(self.end, None);
        }
    }
}
