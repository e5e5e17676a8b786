//! What everything in an open root shares.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use super::changes::Changes;
use super::crew::Crew;
use super::epochs::Epochs;
use super::failure::Failure;
use super::files::hot::Hot;
use super::fold::Folding;
use super::gates::Gates;
use super::journal::{Applying, Dirty, Held, Job, Journal, JournalOptions, Pending};
use super::lock::RootLock;
use super::options::FsOptions;
use super::pace::Pace;
use super::quarantine::Quarantine;
use super::root::RootFile;
use super::scope::Scope;
use super::spares::Spares;
use super::temp::TempFile;
use super::tree;
use super::txn::{Change, Effect, Ground, Note, Room, Txn, replay};
use super::vfs::{Dir, VfsError, VfsResult};
use super::watch::Watcher;
use crate::change::ChangeStream;
use crate::cursor::Epoch;
use crate::driver::Durability;
use crate::error::{Error, NameKind, Result};
use crate::hub::Filter;
use crate::name::ProjectId;

/// Folio's own folder in a root.
pub(crate) const FOLDER: &str = ".folio";
const JOURNAL: &str = "journal";
/// In [`FOLDER`]: what has no real name yet.
pub(crate) const TMP: &str = "tmp";
const QUARANTINE: &str = "quarantine";

/// Threads for short work: one that waits for the disk must not keep all others waiting.
const CREW: usize = 4;

/// An open root.
#[derive(Debug)]
pub(crate) struct Store {
    /// The root folder.
    pub(crate) root: Dir,
    /// `.folio/tmp`: what has no real name yet. Emptied at every open.
    pub(crate) tmp: Dir,
    /// Where committed changes are made; has the quarantine.
    pub(crate) ground: Arc<Ground>,
    /// What commits goes through it.
    journal: Arc<Journal>,
    /// Files for the next contents.
    spares: Arc<Spares>,
    /// What a person should know of what the journal made again at the open.
    pub(crate) recovered: Vec<Note>,
    /// As it was opened.
    pub(crate) options: FsOptions,
    /// Gives out epochs.
    pub(crate) epochs: Epochs,
    /// Who waits for whom.
    pub(crate) gates: Gates,
    /// For what is short, and often many at a time.
    pub(crate) crew: Arc<Crew>,
    /// Who is told of changes.
    pub(crate) changes: Arc<Changes>,
    /// Whether names fold here.
    pub(crate) folding: Folding,
    /// What is in memory can be read without a thread that may block: names don't fold, and no other machine is asked.
    pub(crate) reads_now: bool,
    /// Small files that are read often.
    pub(super) hot: Hot,
    watcher: Watcher,
    failure: Arc<Failure>,
    file: Arc<RootFile>,
    /// Calls hold it shared while they run; true once the store is closed.
    closed: Arc<RwLock<bool>>,
    lock: Mutex<Option<RootLock>>,
}

/// A call that is running: the store stays open until it is dropped.
pub(crate) type Running = OwnedRwLockReadGuard<bool>;

impl Store {
    /// Opens the root at `path`, or makes it. Blocks.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::NewerFormat`], [`Error::Damaged`] (root.json), [`Error::Invalid`] (options).
    pub(crate) fn open(path: &Path, options: FsOptions) -> Result<Arc<Self>> {
        if options.durability == Durability::Memory {
            return Err(Error::invalid("the durability of files is sync, interval or os; for memory use the memory driver"));
        }
        let path = std::path::absolute(path)
            .map_err(|error| Error::Io { what: format!("cannot open {}", path.display()), why: error.to_string() })?;
        Self::open_in(Dir::make_root(&path)?, options)
    }

    /// As [`Store::open`], for doctor: a damaged journal is set aside once its good records are made again.
    pub(crate) fn open_repairing(path: &Path, options: FsOptions) -> Result<Arc<Self>> {
        Self::open_with(Dir::open_root(path)?, options, true)
    }

    /// As [`Store::open`], in a folder that is open.
    pub(crate) fn open_in(root: Dir, options: FsOptions) -> Result<Arc<Self>> {
        Self::open_with(root, options, false)
    }

    fn open_with(root: Dir, options: FsOptions, repairing: bool) -> Result<Arc<Self>> {
        let folder = own_folder(&root, FOLDER)?;
        let lock = RootLock::take(&folder, root.path(), &options.holder)?;
        let journal = own_folder(&folder, JOURNAL)?;
        let (tmp, quarantine) = (own_folder(&folder, TMP)?, own_folder(&folder, QUARANTINE)?);
        let file = Arc::new(RootFile::open(&folder, &tmp)?);
        let spares = Arc::new(Spares::new(tmp.clone()));
        let ground = Arc::new(Ground {
            root: root.clone(),
            tmp: tmp.clone(),
            quarantine: Quarantine::new(quarantine, Arc::clone(&options.clock)),
            room: Room::open(&folder)?,
            turns: Arc::clone(spares.turns()),
        });
        let mut pending = Pending::read(&journal, file.content().root_id())?;
        if !repairing {
            pending.check()?;
        }
        if !lock.was_closed() {
            // A name that an earlier run did not come to sync must not be built upon.
            root.sync_file_system()?;
        }
        let recovered = if pending.is_empty() {
            Vec::new()
        } else {
            pending.settle()?;
            replay::replay(&ground, &pending)?
        };
        if pending.damage().is_some() {
            set_journal_aside(&ground, &journal)?;
            pending = Pending::read(&journal, file.content().root_id())?;
        }
        tree::clear(&tmp)?;
        let folding = Folding::probe(&tmp)?;
        let epochs = Epochs::new(Arc::clone(&file));
        let reads_now = !folding.folds() && root.is_local().unwrap_or(false);
        begin_life(&file, &epochs, &options)?;
        let failure = Arc::new(Failure::none(root.path().display().to_string()));
        let journal = start_journal(journal, pending, &ground, &options, &failure, &spares)?;
        let changes = Arc::<Changes>::default();
        let watcher = Watcher::new(root.clone(), Arc::clone(&changes));
        Ok(Arc::new(Self {
            ground,
            journal,
            spares,
            recovered,
            root,
            tmp,
            options,
            epochs,
            gates: Gates::new(),
            crew: Crew::new(CREW),
            watcher,
            changes,
            folding,
            reads_now,
            hot: Hot::default(),
            failure,
            file,
            closed: Arc::default(),
            lock: Mutex::new(Some(lock)),
        }))
    }

    /// Unix milliseconds.
    pub(crate) fn now_ms(&self) -> u64 {
        self.options.clock.now_ms()
    }

    /// A new epoch, above the clock, `above` and all that this root gave out. Blocks.
    pub(crate) fn next_epoch(&self, above: Epoch) -> Result<Epoch> {
        self.epochs.next(self.now_ms(), above)
    }

    /// A log whose newest epoch is below this begins a new piece with its next write.
    pub(crate) fn life(&self) -> Epoch {
        self.file.content().life
    }

    /// The folder of a project.
    ///
    /// # Errors
    /// [`Error::NoProject`], also where a link, a file or another file system stands at the name.
    pub(crate) fn project_dir(&self, id: &ProjectId) -> Result<Dir> {
        self.folding.check(&self.root, id.as_str(), NameKind::Project)?;
        match self.root.dir(id.as_str()) {
            Ok(Some(dir)) => Ok(dir),
            Ok(None) => Err(Error::no_project(id)),
            Err(error) if error.foreign() || error.missing() => Err(Error::no_project(id)),
            Err(error) => Err(error.into()),
        }
    }

    /// A path as people are told of it: relative to the root.
    pub(crate) fn shown(&self, base: &Dir, rel: &str) -> String {
        let path = base.path().join(rel);
        path.strip_prefix(self.root.path()).unwrap_or(&path).display().to_string()
    }

    /// Makes a folder below `base`, with those on its way, durably, and opens it: a synced file that gets its name there
    /// must not be lost with its folder.
    pub(crate) fn folder(&self, base: &Dir, rel: &str) -> Result<Dir> {
        tree::make(base, rel).map_err(|error| {
            let shown = self.shown(base, rel);
            // Whoever finds a folder takes it for durable.
            if error.doing == "sync" { self.unknown(&shown, &error) } else { error.writing(&shown) }
        })
    }

    /// Before every write.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] after a write whose outcome is unknown, [`Error::DiskFull`].
    pub(crate) fn writable(&self) -> Result<()> {
        self.failure.check()?;
        self.ground.room.keep()
    }

    /// Commits what was made ready: records it, then makes the changes. What each showed is returned.
    ///
    /// # Errors
    /// Before the commit point nothing has changed: [`Error::StoreFailed`], [`Error::DiskFull`], [`Error::Io`]. After it
    /// [`Error::OutcomeUnknown`], and the store refuses writes: only opening it again decides.
    pub(crate) fn commit(&self, txn: Txn) -> Result<Vec<Effect>> {
        if txn.steps.is_empty() {
            return Ok(Vec::new());
        }
        let txn = txn.fit(self)?;
        match self.journal.commit(txn.record(), txn.weight()) {
            Ok(applying) => self.apply(txn, applying),
            Err(error) => Err(txn.refused(error)),
        }
    }

    /// As [`Store::commit`], on the committer's thread, which calls `then` with the outcome: no thread waits for it. Where
    /// there is no such thread, on this one. `then` must not take long.
    pub(crate) fn commit_then(self: &Arc<Self>, txn: Txn, then: impl FnOnce(Result<Vec<Effect>>) + Send + 'static) {
        match txn.fit(self) {
            Ok(txn) => self.journal.runs(Box::new(Change::new(Arc::clone(self), txn, Box::new(then)))),
            Err(error) => then(Err(error)),
        }
    }

    /// As [`Journal::may_commit`].
    pub(crate) fn may_commit(&self, record: &[u8]) -> Result<()> {
        self.journal.may_commit(record)
    }

    /// Has a job done on the committer's thread; `false` where there is none.
    pub(crate) fn does(&self, job: Box<dyn Job>) -> bool {
        self.journal.has_done(job)
    }

    /// As [`Journal::runtime`].
    pub(crate) fn committing(&self) -> Option<Handle> {
        self.journal.runtime().cloned()
    }

    /// Makes changes that are recorded.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`], and the store refuses writes.
    pub(crate) fn apply(&self, txn: Txn, applying: Applying) -> Result<Vec<Effect>> {
        let (mut dirty, mut effects) = (Dirty::default(), Vec::with_capacity(txn.steps.len()));
        let mut steps = txn.steps.into_iter();
        while let Some(step) = steps.next() {
            let what = step.op.path().to_owned();
            match self.ground.apply(step, &mut dirty) {
                Ok(effect) => effects.push(effect),
                Err(error) => {
                    Txn::abandon(steps);
                    return Err(self.unknown(&what, &error));
                }
            }
        }
        applying.done(dirty);
        Ok(effects)
    }

    /// Makes changes in a project that has no name yet, so that nobody needs a record of them.
    pub(crate) fn make(&self, txn: Txn) -> Result<()> {
        let mut dirty = Dirty::default();
        for step in txn.steps {
            self.ground.apply(step, &mut dirty)?;
        }
        Ok(())
    }

    /// A write of `what` failed when it may have happened already: stops all writes, and says so.
    pub(crate) fn unknown(&self, what: &str, error: &VfsError) -> Error {
        self.failure.unknown(what, error)
    }

    /// A file in the making.
    pub(crate) fn temp(&self) -> VfsResult<TempFile> {
        TempFile::new(&self.tmp)
    }

    /// A file in the making for the content of a document or file.
    pub(crate) fn content_temp(&self) -> VfsResult<TempFile> {
        self.spares.temp()
    }

    /// The spares, where what a document displaced may hold its next content at once: the journal must be as durable as they are.
    pub(crate) fn in_turns(&self) -> Option<&Spares> {
        (self.options.durability == Durability::Sync && self.spares.takes_turns()).then_some(&*self.spares)
    }

    /// Files in `.folio/tmp` that are kept for the next contents.
    #[cfg(test)]
    pub(crate) fn spares_kept(&self) -> usize {
        self.spares.count()
    }

    /// How often one of them was used.
    #[cfg(test)]
    pub(crate) fn spares_used(&self) -> u64 {
        self.spares.used()
    }

    /// How often a file that a document displaced was used again at once.
    #[cfg(test)]
    pub(crate) fn used_at_once(&self) -> u64 {
        self.spares.used_at_once()
    }

    /// Makes everything durable that was changed by now, so that the journal need not tell of it.
    #[cfg(test)]
    pub(crate) fn checkpoint(&self) -> Result<()> {
        self.journal.checkpoint()
    }

    /// Makes a temporary file and its name durable: a record will tell of it.
    pub(crate) fn settle_temp(&self, temp: &TempFile) -> VfsResult<()> {
        temp.file().sync_all()?;
        self.tmp.sync()
    }

    /// Makes the content of a document or file durable before it gets its name, where the journal does not hold it durably:
    /// because it is not `inline`, or in a weak mode.
    pub(crate) fn settle_content(&self, temp: &TempFile, inline: bool) -> VfsResult<()> {
        self.settle_bytes(temp, inline)?;
        if inline { Ok(()) } else { self.tmp.sync() }
    }

    /// As [`Store::settle_content`], but for its temporary name, which has to be made durable by itself.
    pub(crate) fn settle_bytes(&self, temp: &TempFile, inline: bool) -> VfsResult<()> {
        if inline && self.options.durability == Durability::Sync { Ok(()) } else { temp.file().sync_all() }
    }

    /// Writes into the lock where this process can be reached.
    pub(crate) fn announce(&self, address: &str) -> Result<()> {
        match &*self.lock.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(lock) => lock.announce(address),
            None => Err(self.is_closed()),
        }
    }

    /// Begins a call.
    ///
    /// # Errors
    /// [`Error::Invalid`] once the store is closed.
    pub(crate) async fn enter(&self) -> Result<Running> {
        let running = Arc::clone(&self.closed).read_owned().await;
        if *running { Err(self.is_closed()) } else { Ok(running) }
    }

    fn is_closed(&self) -> Error {
        Error::invalid(format!("the store at {} was closed; open it again", self.root.path().display()))
    }

    /// Runs `work` on a thread that may block. It goes on to its end, and keeps the store open, also when the caller
    /// gives up waiting.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run_on(self.enter().await?, work).await
    }

    /// As [`Store::run`], for a call that has begun and waited for others meanwhile.
    pub(crate) async fn run_on<T: Send + 'static>(
        self: &Arc<Self>,
        running: Running,
        work: impl FnOnce(&Arc<Self>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = Arc::clone(self);
        off_runtime(move || {
            let outcome = work(&store);
            drop(running);
            outcome
        })
        .await
    }

    /// Follows the changes of a scope.
    ///
    /// # Errors
    /// [`Error::NoProject`].
    pub(crate) async fn subscribe(self: &Arc<Self>, scope: &Scope, filter: Filter) -> Result<ChangeStream> {
        let stream = self.changes.listen(scope).stream(filter);
        let base = scope.clone();
        self.run(move |store| base.base(store).map(drop)).await?;
        self.watcher.watch(scope).await?;
        Ok(stream)
    }

    /// Waits for running calls, makes durable what is not yet, and lets others open the root.
    pub(crate) async fn close(self: &Arc<Self>) -> Result<()> {
        let mut closed = Arc::clone(&self.closed).write_owned().await;
        if std::mem::replace(&mut *closed, true) {
            return Ok(());
        }
        let store = Arc::clone(self);
        off_runtime(move || {
            let outcome = store.settle();
            let lock = store.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(lock) = lock
                && outcome.is_ok()
                && store.failure.check().is_ok()
            {
                lock.close();
            }
            drop(closed);
            outcome
        })
        .await
    }

    fn settle(&self) -> Result<()> {
        self.watcher.stop();
        self.changes.end_all();
        let closed = self.failure.check().and_then(|()| self.journal.close());
        // After a failure the next open decides; the mark of a weak mode stays, so that it begins a new life.
        self.journal.end();
        self.spares.clear();
        if self.options.durability != Durability::Sync || self.failure.check().is_ok() {
            closed?;
        }
        if self.options.durability != Durability::Sync {
            self.root.sync_file_system()?;
        }
        let last = self.epochs.last_given();
        self.file.update(|content| {
            content.epoch_reserve = last.unwrap_or(content.epoch_reserve);
            content.weak = None;
        })
    }
}

/// A folder of Folio's own: only the owner may look into it.
fn own_folder(parent: &Dir, name: &str) -> Result<Dir> {
    if parent.make_dir(name, 0o700)? {
        parent.sync()?;
    }
    match parent.dir(name)? {
        Some(dir) => Ok(dir),
        None => Err(VfsError::os("open", &parent.path().join(name), rustix::io::Errno::NOENT).into()),
    }
}

/// After an unclean end of a weak mode, what readers saw may be gone: every log begins a new piece. And marks a weak
/// mode that begins now.
fn begin_life(file: &RootFile, epochs: &Epochs, options: &FsOptions) -> Result<()> {
    let weak = (options.durability != Durability::Sync).then(|| options.durability.as_str().to_owned());
    let life = match file.content().weak {
        Some(_) => Some(epochs.next(options.clock.now_ms(), file.content().life)?),
        None => None,
    };
    file.update(|content| {
        content.life = life.unwrap_or(content.life);
        content.weak = weak;
    })
}

/// Moves all files of a damaged journal to quarantine.
fn set_journal_aside(ground: &Ground, journal: &Dir) -> Result<()> {
    for listed in journal.list()? {
        let name = listed?.name;
        let from = format!("{FOLDER}/{JOURNAL}/{}", name.to_string_lossy());
        ground.quarantine.take(&from, "the journal was damaged", journal, &name)?;
    }
    Ok(journal.sync()?)
}

fn start_journal(
    folder: Dir,
    pending: Pending,
    ground: &Arc<Ground>,
    options: &FsOptions,
    failure: &Arc<Failure>,
    spares: &Arc<Spares>,
) -> Result<Arc<Journal>> {
    let rescue = Arc::clone(ground);
    let orphan = move |held: &Held| rescue.rescue(held);
    let inline = Pace::here() != Pace::Thread;
    let (durability, tasks) = (options.durability, options.tasks);
    let options = JournalOptions { durability, tasks, inline, ..JournalOptions::default() };
    let (medium, failure, spares) = (ground.root.clone(), Arc::clone(failure), Arc::clone(spares));
    Journal::start(folder, medium, pending, options, failure, Box::new(orphan), spares)
}

/// Runs blocking work off the async runtime.
pub(crate) async fn off_runtime<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match Pace::here().start(work).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Io { what: "the call was not run".into(), why: "the program is ending".into() }),
        },
    }
}

#[cfg(test)]
mod tests;
