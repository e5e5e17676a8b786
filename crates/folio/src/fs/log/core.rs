//! One log in use: its operations one after the other, and what readers see.
//!
//! Operations wait in a queue. Whoever finds nobody at work starts a worker on a thread that may block; it owns the
//! log's files until the queue is empty. So appends that wait at the same time share one write and one sync, and no
//! lock is held meanwhile. Readers never wait for it: they see the last published view.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{RwLock, oneshot, watch};

use crate::cursor::{Position, Seq};
use crate::error::{Error, NameKind, Result};
use crate::fs::gates;
use crate::fs::log::append::{Batch, Request};
use crate::fs::log::disk::{Disk, Found, NewPiece};
use crate::fs::log::last_use::LastUse;
use crate::fs::log::lease::Lease;
use crate::fs::log::marks::Marks;
use crate::fs::log::paths::LogPaths;
use crate::fs::log::proofs::Proofs;
use crate::fs::log::quick::Quick;
use crate::fs::log::ring::Ring;
use crate::fs::log::view::View;
use crate::fs::pace::Pace;
use crate::fs::store::{Running, Store};
use crate::log::{AppendOutcome, Appended, Entry, Truncated};
use crate::name::{LogName, ProjectId};

/// What a writer holds for the moment of its write: the store stays open, and the project is not forked or deleted.
#[expect(dead_code, reason = "holding them is what they are for")]
pub(crate) struct Hold {
    pub(crate) running: Running,
    pub(crate) gate: gates::Shared,
}

pub(crate) type Reply<T> = oneshot::Sender<Result<T>>;

/// What can be asked of a log's worker.
pub(crate) enum Op {
    /// Look at the files and publish what they say, if that is not known, or if they may have been changed by others.
    Load {
        gate: gates::Shared,
        reply: Reply<()>,
    },
    Append {
        request: Request,
        hold: Hold,
        reply: Reply<AppendOutcome>,
    },
    Truncate {
        up_to: Seq,
        hold: Hold,
        reply: Reply<Truncated>,
    },
    Close {
        hold: Hold,
        reply: Reply<Position>,
    },
    Delete {
        hold: Hold,
        reply: Reply<()>,
    },
    /// Nobody works on the log until the lease ends.
    Lease {
        runtime: Handle,
        granted: oneshot::Sender<Lease>,
    },
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) waiting: VecDeque<Op>,
    pub(super) working: bool,
}

#[derive(Default)]
struct Published {
    /// `None`: not loaded, or not there.
    view: Option<View>,
    /// Rises when the log is deleted or made again.
    life: u64,
    ring: Ring,
}

/// A log in use.
pub(crate) struct LogCore {
    pub(crate) store: Arc<Store>,
    pub(crate) project: ProjectId,
    pub(crate) name: LogName,
    pub(crate) paths: Arc<LogPaths>,
    /// The newest segment, below the root.
    pub(crate) place: String,
    pub(super) queue: Mutex<Queue>,
    /// The log's files while nobody works on them.
    pub(super) idle: Mutex<Option<Box<Disk>>>,
    published: Mutex<Published>,
    pub(crate) marks: Marks,
    pub(crate) proofs: Proofs,
    watch: watch::Sender<u64>,
    /// Of the project.
    gate: Arc<RwLock<()>>,
    /// When somebody asked for it.
    pub(crate) used: LastUse,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LogCore {
    pub(crate) fn new(store: Arc<Store>, project: ProjectId, name: LogName) -> Self {
        let paths = Arc::new(LogPaths::of(&name));
        let place = format!("{project}/{}", paths.newest());
        let (queue, idle, published) = (Mutex::default(), Mutex::default(), Mutex::default());
        let gate = store.gates.gate(&project);
        Self {
            store,
            project,
            name,
            paths,
            place,
            queue,
            idle,
            published,
            marks: Marks::default(),
            proofs: Proofs::default(),
            watch: watch::Sender::new(0),
            gate,
            used: LastUse::new(),
        }
    }

    /// Waits until nobody needs the project to stand still.
    pub(crate) async fn shared(&self) -> gates::Shared {
        Arc::clone(&self.gate).read_owned().await
    }

    /// Hands an operation to the worker and waits for its answer. It is carried out also if the caller stops waiting.
    pub(crate) async fn ask<T>(self: &Arc<Self>, op: impl FnOnce(Reply<T>) -> Op) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let start = {
            let mut queue = locked(&self.queue);
            queue.waiting.push_back(op(reply));
            !std::mem::replace(&mut queue.working, true)
        };
        if start {
            self.begin();
        }
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(Error::OutcomeUnknown { what: format!("the log {}", self.name), why: "its worker ended".into() }),
        }
    }

    /// Somebody has to work: the committer, where that may be quick; else a thread of its own.
    fn begin(self: &Arc<Self>) {
        let ready = locked(&self.idle).is_some();
        if !ready || !self.store.does(Box::new(Quick::new(Arc::clone(self), Handle::current()))) {
            let core = Arc::clone(self);
            drop(Pace::here().start(move || core.work()));
        }
    }

    /// Keeps the log's files for the next one.
    pub(crate) fn put_back(&self, disk: Box<Disk>) {
        *locked(&self.idle) = Some(disk);
    }

    /// True where somebody waits for entries.
    pub(crate) fn has_listeners(&self) -> bool {
        self.watch.receiver_count() > 0
    }

    /// True where something waits. Else the work is over.
    pub(crate) fn has_more(&self) -> bool {
        let mut queue = locked(&self.queue);
        queue.working = !queue.waiting.is_empty();
        queue.working
    }

    /// Nobody goes on with the work.
    pub(crate) fn give_up(&self) {
        let mut queue = locked(&self.queue);
        queue.working = false;
        queue.waiting.clear();
    }

    pub(crate) fn work(self: &Arc<Self>) {
        let _worker = Worker::on(self);
        loop {
            let ops = {
                let mut queue = locked(&self.queue);
                if queue.waiting.is_empty() {
                    queue.working = false;
                    return;
                }
                std::mem::take(&mut queue.waiting)
            };
            if !self.carry_out(ops) {
                return;
            }
        }
    }

    /// Waits until nobody works on the log.
    pub(crate) async fn lease(self: &Arc<Self>) -> Result<Lease> {
        let (granted, lease) = oneshot::channel();
        let start = {
            let mut queue = locked(&self.queue);
            queue.waiting.push_back(Op::Lease { runtime: Handle::current(), granted });
            !std::mem::replace(&mut queue.working, true)
        };
        if start {
            let core = Arc::clone(self);
            drop(Pace::here().start(move || core.work()));
        }
        lease.await.map_err(|_| Error::Retry { what: format!("the log {} was not to be had", self.name) })
    }

    /// The head for an append of nothing in a commit.
    pub(crate) fn nothing_new(&self) -> Result<Appended> {
        let cursor = match self.obtain()? {
            Found::There(disk) => {
                let head = disk.lineage.position(disk.head);
                self.put_back(disk);
                head
            }
            Found::Gone => return Err(Error::gone(&self.project, &self.name)),
            Found::Absent => Position::START,
        };
        Ok(Appended { first: cursor.seq + 1, last: cursor.seq, cursor, replayed: false })
    }

    /// False where somebody holds the log now, who has the work go on.
    fn carry_out(self: &Arc<Self>, mut ops: VecDeque<Op>) -> bool {
        while let Some(op) = ops.pop_front() {
            match op {
                Op::Append { request, hold, reply } => {
                    let mut group = vec![(request, hold, reply)];
                    while let Some(Op::Append { .. }) = ops.front() {
                        if let Some(Op::Append { request, hold, reply }) = ops.pop_front() {
                            group.push((request, hold, reply));
                        }
                    }
                    self.append(group);
                }
                Op::Load { gate, reply } => {
                    let answer = self.load();
                    drop(gate);
                    drop(reply.send(answer));
                }
                Op::Truncate { up_to, hold, reply } => {
                    let answer = self.truncate(up_to);
                    drop(hold);
                    drop(reply.send(answer));
                }
                Op::Close { hold, reply } => {
                    let answer = self.close();
                    drop(hold);
                    drop(reply.send(answer));
                }
                Op::Delete { hold, reply } => {
                    let answer = self.delete();
                    drop(hold);
                    drop(reply.send(answer));
                }
                Op::Lease { runtime, granted } => {
                    let mut queue = locked(&self.queue);
                    while let Some(op) = ops.pop_back() {
                        queue.waiting.push_front(op);
                    }
                    drop(queue);
                    // Where nobody waits for it any more, the lease ends at once.
                    drop(granted.send(Lease::new(Arc::clone(self), runtime)));
                    return false;
                }
            }
        }
        true
    }

    /// The log's files, checked against what lies there now.
    pub(crate) fn obtain(&self) -> Result<Found> {
        let known = locked(&self.idle).take();
        if let Some(disk) = &known
            && disk.is_current(&self.store.root, &self.place)?
        {
            return Ok(known.map_or(Found::Absent, Found::There));
        }
        let project = self.store.project_dir(&self.project)?;
        self.store.folding.check(&project, &self.paths.newest(), NameKind::Log)?;
        let mut found = Disk::open(&project, &self.paths, self.store.life())?;
        // Only forked, never written: that is what looks like gone in a history.
        if matches!(found, Found::Absent | Found::Gone) && self.name.is_history() {
            found = Found::There(Box::new(Disk::empty(&project, &self.paths)));
        }
        if let Found::There(disk) = &mut found {
            // Another program changed the file, so what readers saw may be gone.
            let broken = known.is_some_and(|known| known.newest.is_some() && !known.grew_into(disk));
            if broken && disk.newest.is_some() {
                disk.new_piece = Some(NewPiece::Broken);
            }
        }
        // Entries in memory may be others than those of the same seqs in the file.
        locked(&self.published).ring = Ring::default();
        Ok(found)
    }

    /// As [`LogCore::obtain`], for what needs the log to be there.
    fn existing(&self) -> Result<Box<Disk>> {
        match self.obtain()? {
            Found::There(disk) => Ok(disk),
            Found::Absent => Err(Error::no_log(&self.project, &self.name)),
            Found::Gone => Err(Error::gone(&self.project, &self.name)),
        }
    }

    /// Runs `work` on the log's files, and keeps them for the next one.
    pub(crate) fn with<T>(&self, mut disk: Box<Disk>, work: impl FnOnce(&mut Disk) -> Result<T>) -> Result<T> {
        let outcome = work(&mut disk);
        // After an unknown outcome only the files can tell.
        if !matches!(outcome, Err(Error::OutcomeUnknown { .. } | Error::Retry { .. })) {
            *locked(&self.idle) = Some(disk);
        }
        outcome
    }

    fn load(&self) -> Result<()> {
        match self.obtain() {
            Ok(Found::There(disk)) => self.with(disk, |disk| {
                self.publish(disk, Vec::new());
                Ok(())
            }),
            Ok(Found::Absent) => {
                self.unpublish();
                Err(Error::no_log(&self.project, &self.name))
            }
            Ok(Found::Gone) => {
                self.unpublish();
                Err(Error::gone(&self.project, &self.name))
            }
            Err(error) => {
                if matches!(error, Error::NoProject { .. }) {
                    self.unpublish();
                }
                Err(error)
            }
        }
    }

    fn append(&self, group: Vec<(Request, Hold, Reply<AppendOutcome>)>) {
        let mut waiting: VecDeque<_> = group.into();
        while !waiting.is_empty() {
            let (mut holds, mut replies) = (Vec::new(), Vec::new());
            let outcome = self.store.writable().and_then(|()| self.for_append()).and_then(|disk| {
                self.with(disk, |disk| {
                    let mut batch = Batch::new(disk, self.store.now_ms(), self.watch.receiver_count() > 0);
                    while !batch.is_full()
                        && let Some((request, hold, reply)) = waiting.pop_front()
                    {
                        batch.add(request);
                        holds.push(hold);
                        replies.push(reply);
                    }
                    let done = batch.decided().commit(disk, &self.store)?;
                    if done.wrote {
                        self.publish(disk, done.entries);
                    }
                    Ok(done.answers)
                })
            });
            drop(holds);
            match outcome {
                Ok(answers) => replies.into_iter().zip(answers).for_each(|(reply, answer)| drop(reply.send(answer))),
                Err(error) => {
                    // Where nothing could be begun, the error is the answer to all.
                    let rest = if replies.is_empty() { std::mem::take(&mut waiting) } else { VecDeque::new() };
                    let refused = replies.into_iter().chain(rest.into_iter().map(|(_, _, reply)| reply));
                    refused.for_each(|reply| drop(reply.send(Err(error.clone()))));
                }
            }
        }
    }

    /// The log's files for an append, which creates a named log.
    pub(crate) fn for_append(&self) -> Result<Box<Disk>> {
        match self.obtain()? {
            Found::There(disk) => Ok(disk),
            Found::Gone => Err(Error::gone(&self.project, &self.name)),
            Found::Absent => {
                let project = self.store.project_dir(&self.project)?;
                Ok(Box::new(Disk::empty(&project, &self.paths)))
            }
        }
    }

    fn truncate(&self, up_to: Seq) -> Result<Truncated> {
        self.store.writable()?;
        let disk = self.existing()?;
        self.with(disk, |disk| {
            let (before, to) = (disk.horizon, up_to.min(disk.head));
            if to <= before {
                // A crash may have left what an earlier call hid.
                let _ = disk.unlink_hidden(&self.store);
                return Ok(Truncated { removed: 0, horizon: before });
            }
            disk.compact(&self.store, to)?;
            // Readers learn the horizon before anything below it goes away.
            self.publish(disk, Vec::new());
            // What can't be removed now is hidden, and goes with the next compaction.
            let _ = disk.unlink_hidden(&self.store);
            self.publish(disk, Vec::new());
            Ok(Truncated { removed: disk.horizon - before, horizon: disk.horizon })
        })
    }

    fn close(&self) -> Result<Position> {
        self.store.writable()?;
        let disk = self.existing()?;
        self.with(disk, |disk| {
            if !disk.closed {
                let options = crate::log::AppendOptions { close: true, ..Default::default() };
                let mut batch = Batch::new(disk, self.store.now_ms(), false);
                batch.add(Request { entries: Vec::new(), options, keyed: None });
                for answer in batch.decided().commit(disk, &self.store)?.answers {
                    let _ = answer?;
                }
                self.publish(disk, Vec::new());
            }
            Ok(disk.lineage.position(disk.head))
        })
    }

    fn delete(&self) -> Result<()> {
        self.store.writable()?;
        match self.obtain()? {
            Found::Absent | Found::Gone => Ok(()),
            Found::There(disk) => {
                disk.delete(&self.store)?;
                self.unpublish();
                Ok(())
            }
        }
    }

    /// Shows readers the log as it is on disk now, with the entries that were just added to it.
    pub(crate) fn publish(&self, disk: &Disk, added: Vec<Entry>) {
        {
            let mut published = locked(&self.published);
            if published.view.is_none() {
                published.life += 1;
            }
            published.ring.push(added, disk.head);
            published.view = Some(disk.view());
        }
        self.watch.send_modify(|version| *version += 1);
    }

    /// The log is not there (any more).
    fn unpublish(&self) {
        {
            let mut published = locked(&self.published);
            if published.view.take().is_none() {
                return;
            }
            published.life += 1;
            published.ring = Ring::default();
        }
        self.watch.send_modify(|version| *version += 1);
    }

    /// The project was made, deleted or changed as a whole: what is known of its log is void. Nobody is at work on it.
    pub(crate) fn forget(&self) {
        *locked(&self.idle) = None;
        self.unpublish();
        self.watch.send_modify(|version| *version += 1);
    }

    /// What readers see, and the life it belongs to; `None` where the log is not loaded or not there.
    pub(crate) fn seen(&self) -> Option<(View, u64)> {
        let published = locked(&self.published);
        published.view.clone().map(|view| (view, published.life))
    }

    /// As [`LogCore::seen`], loaded where it is not yet.
    ///
    /// # Errors
    /// [`Error::NoProject`], [`Error::NoLog`], [`Error::Gone`].
    pub(crate) async fn look(self: &Arc<Self>) -> Result<(View, u64)> {
        loop {
            if let Some(seen) = self.seen() {
                return Ok(seen);
            }
            self.reload().await?;
        }
    }

    /// Looks at the files again. Not while the project is deleted or made: what was seen of it would be void.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<()> {
        let gate = self.shared().await;
        self.ask(|reply| Op::Load { gate, reply }).await
    }

    /// Newest entries from memory, if the one after `after` is among them.
    pub(crate) fn recent(&self, after: Seq, entries: usize, bytes: usize) -> Option<Vec<Entry>> {
        locked(&self.published).ring.after(after, entries, bytes)
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.watch.subscribe()
    }

    /// The head for an append of nothing, which creates nothing.
    pub(crate) async fn nothing(self: &Arc<Self>) -> Result<Appended> {
        let cursor = match self.look().await {
            Ok((view, _)) => view.head(),
            Err(Error::NoLog { .. }) => Position::START,
            Err(error) => return Err(error),
        };
        Ok(Appended { first: cursor.seq + 1, last: cursor.seq, cursor, replayed: false })
    }
}

/// Tells all what became of their appends. Who waits for the project to stand still goes first.
pub(crate) fn answer(replies: Vec<(Hold, Reply<AppendOutcome>)>, outcome: Result<Vec<Result<AppendOutcome>>>) {
    let (holds, replies): (Vec<_>, Vec<_>) = replies.into_iter().unzip();
    drop(holds);
    match outcome {
        Ok(answers) => replies.into_iter().zip(answers).for_each(|(reply, answer)| drop(reply.send(answer))),
        Err(error) => replies.into_iter().for_each(|reply| drop(reply.send(Err(error.clone())))),
    }
}

/// Ends the work also where it panics: what waits is answered by the loss of its reply, and the next one starts anew.
pub(crate) struct Worker<'a> {
    core: &'a LogCore,
}

impl<'a> Worker<'a> {
    pub(crate) fn on(core: &'a LogCore) -> Self {
        Self { core }
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.core.give_up();
        }
    }
}
