//! Logs on files.
//!
//! | file | holds |
//! | --- | --- |
//! | `paths` | where a log lies |
//! | `disk` | what its first and last lines say |
//! | `keys` | its table of idempotency keys |
//! | `view`, `ring` | what readers see |
//! | `marks`, `proofs` | where readers stopped, and what they found good |
//! | `append`, `rewrite`, `delete`, `fork`, `marker` | what writers do |
//! | `quick` | appends that only make a segment longer, done on the committer's thread |
//! | `lease` | a log held for a commit of several targets |
//! | `core` | one log in use: one writer at a time, readers that never wait for it |
//! | `set`, `last_use`, `list` | all logs of a root in use; all logs of a project |

pub(in crate::fs) mod append;
pub(in crate::fs) mod core;
mod delete;
mod disk;
mod fork;
mod keys;
mod last_use;
pub(in crate::fs) mod lease;
mod list;
mod marker;
mod marks;
pub(crate) mod paths;
mod proofs;
mod quick;
pub(in crate::fs) mod rewrite;
mod ring;
mod set;
#[cfg(test)]
mod tests;
mod view;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use tokio::sync::watch;

use self::append::Request;
use self::core::{Hold, LogCore, Op};
pub(crate) use self::disk::{Disk, Found, NewPiece};
pub(crate) use self::list::walk;
pub(crate) use self::paths::{LogPaths, sealed_name};
pub(crate) use self::rewrite::Change;
pub(crate) use self::set::Logs;
use self::view::{Hints, View};
use crate::cursor::{Cursor, Position, Seq};
use crate::driver::LogList;
use crate::error::{Error, NameKind, Result};
use crate::follow::{Budget, Item, Presence, Source, follow};
use crate::fs::segment::Stored;
use crate::fs::store::{Store, off_runtime};
use crate::fs::vfs::Dir;
use crate::lines::{FileLines, Lines};
use crate::log::{AppendLog, AppendOptions, AppendOutcome, Data, LogStatus, LogStream, Page, ReadOptions, Start, Truncated};
use crate::name::{LogName, ProjectId};
use crate::page::{self, page};
use crate::request::Keyed;
use crate::run::{self, Form, Kept, Run};

/// A handle to a log of a project.
#[derive(Clone, Debug)]
pub(crate) struct FsLog {
    logs: Arc<Logs>,
    project: ProjectId,
    name: LogName,
    /// Its core, while that is kept.
    known: Arc<Mutex<Weak<LogCore>>>,
}

impl FsLog {
    pub(crate) fn new(logs: Arc<Logs>, project: ProjectId, name: LogName) -> Self {
        Self { logs, project, name, known: Arc::default() }
    }

    fn core(&self) -> Arc<LogCore> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(core) = known.upgrade() {
            core.used.touch();
            return core;
        }
        let core = self.logs.core(&self.project, &self.name);
        *known = Arc::downgrade(&core);
        core
    }

    fn store(&self) -> &Arc<Store> {
        self.logs.store()
    }

    async fn page<E: Run>(&self, options: &ReadOptions) -> Result<Page<E>> {
        let _running = self.store().enter().await?;
        let core = self.core();
        // Another program's changes are noticed before the page is begun.
        core.read(|_| Ok(())).await?;
        match page(&Following(Arc::clone(&core)), options).await? {
            Some(page) => Ok(page),
            // It was deleted meanwhile; looking again tells what is there now.
            None => Err(core.look().await.err().unwrap_or_else(|| Error::no_log(&self.project, &self.name))),
        }
    }

    async fn follow<E: Run>(&self, start: Start) -> Result<LogStream<E>> {
        let _running = self.store().enter().await?;
        let core = self.core();
        match core.look().await {
            Ok(_) | Err(Error::NoLog { .. } | Error::Gone { .. }) => {}
            Err(error) => return Err(error),
        }
        follow(Arc::new(Following(core)), start).await
    }

    async fn hold(&self, core: &LogCore) -> Result<Hold> {
        Ok(Hold { running: self.store().enter().await?, gate: core.shared().await })
    }
}

/// Lists the logs of a project. Blocks.
pub(crate) fn list_logs(project: &Dir, after: Option<&LogName>, limit: usize) -> Result<LogList> {
    list::list(project, after, limit)
}

/// Copies all logs of a project into another one that has none. Nobody writes in the source meanwhile. Blocks.
pub(crate) fn copy_logs(store: &Store, source: &Dir, target: &Dir) -> Result<()> {
    let mut copy = |name: LogName| match Disk::open(source, &Arc::new(LogPaths::of(&name)), store.life())? {
        Found::There(disk) => fork::copy_into(store, &disk, target),
        Found::Absent | Found::Gone => Ok(()),
    };
    copy(LogName::history())?;
    list::walk(source, &mut copy)
}

#[async_trait]
impl AppendLog for FsLog {
    async fn append(&self, entries: Vec<Data>, options: AppendOptions) -> Result<AppendOutcome> {
        self.store().options.limits.check_entries(&entries)?;
        let core = self.core();
        if entries.is_empty() && !options.close {
            let _running = self.store().enter().await?;
            return core.nothing().await.map(AppendOutcome::Appended);
        }
        let keyed = Keyed::of(&entries, &options)?;
        let hold = self.hold(&core).await?;
        let request = Request { entries, options, keyed };
        core.ask(|reply| Op::Append { request, hold, reply }).await
    }

    async fn read(&self, options: ReadOptions) -> Result<Page> {
        self.page(&options).await
    }

    async fn read_lines(&self, options: ReadOptions) -> Result<Page<Lines>> {
        self.page(&options).await
    }

    async fn read_stored(&self, options: ReadOptions) -> Result<Page<Lines>> {
        Ok(self.page::<Kept>(&options).await?.map(|Kept(lines)| lines))
    }

    async fn read_in_place(&self, since: Cursor, before: Option<Seq>) -> Result<Option<Page<FileLines>>> {
        let _running = self.store().enter().await?;
        page::in_place(&Following(self.core()), since, before).await
    }

    async fn subscribe(&self, start: Start) -> Result<LogStream> {
        self.follow(start).await
    }

    async fn subscribe_lines(&self, start: Start) -> Result<LogStream<Lines>> {
        self.follow(start).await
    }

    async fn truncate(&self, up_to: Seq) -> Result<Truncated> {
        let core = self.core();
        let hold = self.hold(&core).await?;
        core.ask(|reply| Op::Truncate { up_to, hold, reply }).await
    }

    async fn status(&self) -> Result<LogStatus> {
        let _running = self.store().enter().await?;
        let core = self.core();
        let (view, bytes) = core.read(|view| view.bytes()).await?;
        Ok(LogStatus {
            head: view.head(),
            horizon: view.bounds.horizon,
            lineage: view.lineage.pieces(view.bounds.head),
            closed: view.closed,
            bytes,
        })
    }

    async fn close(&self) -> Result<Position> {
        let core = self.core();
        let hold = self.hold(&core).await?;
        core.ask(|reply| Op::Close { hold, reply }).await
    }

    async fn fork(&self, at: Seq, target: &LogName) -> Result<()> {
        let running = self.store().enter().await?;
        let gate = self.store().gates.alone(&self.project).await;
        let (source, target) = (self.core(), self.logs.core(&self.project, target));
        off_runtime(move || {
            let outcome = source.fork(at, &target);
            drop((gate, running));
            outcome
        })
        .await
    }

    async fn delete(&self) -> Result<()> {
        if self.name.is_history() {
            let project = self.project.clone();
            self.store().run(move |store| store.project_dir(&project).map(drop)).await?;
            return Err(Error::history_stays());
        }
        let core = self.core();
        let hold = self.hold(&core).await?;
        core.ask(|reply| Op::Delete { hold, reply }).await
    }
}

impl LogCore {
    /// Runs `work` on what lies on disk now, off the runtime. Another program's changes are noticed here.
    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Fn(&View) -> Result<T> + Send + Sync + 'static,
    ) -> Result<(View, T)> {
        let work = Arc::new(work);
        loop {
            let (view, _) = self.look().await?;
            let work = Arc::clone(&work);
            let core = Arc::clone(self);
            let read = off_runtime(move || {
                if view.is_current(&core.store.root, &core.place)? {
                    let outcome = work(&view)?;
                    Ok(Some((view, outcome)))
                } else {
                    Ok(None)
                }
            })
            .await?;
            match read {
                Some(read) => return Ok(read),
                None => self.reload().await?,
            }
        }
    }

    /// What lies before `before`, newest first; `make` makes what is given of an entry.
    async fn read_before<E: Send + 'static>(
        self: &Arc<Self>,
        before: Seq,
        budget: Budget,
        make: impl Fn(&Stored<'_>) -> E + Copy + Send + Sync + 'static,
    ) -> Result<Vec<Item<E>>> {
        let range = move |view: &View| (view.bounds.horizon, view.bounds.head.min(before - 1));
        let mut items = missing_is_nothing(self.read(move |view| view.last_items(range(view), budget, make)).await)?;
        items.reverse();
        Ok(items)
    }

    /// Makes `target` of this log. Nobody writes in the project meanwhile.
    fn fork(&self, at: Seq, target: &Self) -> Result<()> {
        self.store.writable()?;
        match self.obtain()? {
            Found::There(disk) => self.with(disk, |disk| {
                self.store.folding.check(&disk.project, &target.paths.newest(), NameKind::Log)?;
                fork::fork(&self.store, disk, at, &target.paths)?;
                target.forget();
                Ok(())
            }),
            Found::Absent => Err(Error::no_log(&self.project, &self.name)),
            Found::Gone => Err(Error::gone(&self.project, &self.name)),
        }
    }
}

/// A log as following and paging see it.
struct Following(Arc<LogCore>);

#[async_trait]
impl Source for Following {
    fn watch(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    async fn snapshot(&self) -> Result<Presence> {
        match self.0.look().await {
            Ok((view, life)) => Ok(Presence::Live(view.snapshot(life))),
            Err(Error::NoLog { .. } | Error::Gone { .. } | Error::NoProject { .. }) => Ok(Presence::Missing),
            Err(error) => Err(error),
        }
    }

    async fn read_after(&self, after: Seq, budget: Budget) -> Result<Vec<Item>> {
        if let Some(entries) = self.0.recent(after, budget.entries, budget.bytes) {
            return Ok(entries.into_iter().map(Item::Entry).collect());
        }
        let read = self.0.read(move |view| view.items(after.max(view.bounds.horizon), view.bounds.head, budget)).await;
        missing_is_nothing(read)
    }

    async fn read_lines_after(&self, after: Seq, budget: Budget, form: Form) -> Result<Vec<Item<Lines>>> {
        if form == Form::Told
            && let Some(entries) = self.0.recent(after, budget.entries, budget.bytes)
        {
            return Ok(run::lines(entries.into_iter().map(Item::Entry).collect()));
        }
        let mark = self.0.marks.find(after);
        let now = self.0.store.now_ms();
        let proof = mark.filter(|_| form == Form::Stored).and_then(|mark| self.0.proofs.find(&mark, now));
        let hints = Hints { mark, proof, now };
        let read =
            self.0.read(move |view| view.lines((after.max(view.bounds.horizon), view.bounds.head), budget, form, hints)).await;
        let (items, Hints { mark, proof, .. }) = missing_is_nothing(read)?;
        #[cfg(test)]
        if hints.proof.is_some() && items.iter().any(|item| matches!(item, Item::Entry(lines) if lines.first() == after + 1)) {
            self.0.proofs.used.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
        self.0.marks.add(mark);
        if let Some(proof) = proof {
            self.0.proofs.add(proof);
        }
        Ok(items)
    }

    async fn find_after(&self, after: Seq, last: Seq) -> Result<Option<FileLines>> {
        let now = self.0.store.now_ms();
        let Some(mark) = self.0.marks.find(after) else { return Ok(None) };
        let Some(proof) = self.0.proofs.find(&mark, now) else { return Ok(None) };
        let found = self.0.read(move |view| view.in_place(mark, proof, last, now)).await;
        let Some((lines, next)) = missing_is_nothing(found)? else { return Ok(None) };
        self.0.marks.add(Some(next));
        Ok(Some(lines))
    }

    async fn read_before(&self, before: Seq, budget: Budget) -> Result<Vec<Item>> {
        self.0.read_before(before, budget, |entry| entry.entry()).await
    }

    async fn read_lines_before(&self, before: Seq, budget: Budget, form: Form) -> Result<Vec<Item<Lines>>> {
        self.0.read_before(before, budget, move |entry| entry.run(form)).await
    }
}

/// A log that went away while it was read: the next look tells.
fn missing_is_nothing<T: Default>(read: Result<(View, T)>) -> Result<T> {
    match read {
        Ok((_, read)) => Ok(read),
        Err(Error::NoLog { .. } | Error::Gone { .. } | Error::NoProject { .. }) => Ok(T::default()),
        Err(error) => Err(error),
    }
}
