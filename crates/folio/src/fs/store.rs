//! What everything in an open root shares.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock as StdRwLock};

use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use super::changes::Changes;
use super::epochs::Epochs;
use super::failure::Failure;
use super::flush::Flusher;
use super::fold::Folding;
use super::gates::Gates;
use super::lock::RootLock;
use super::options::FsOptions;
use super::pace::Pace;
use super::quarantine::Quarantine;
use super::replace::Making;
use super::root::RootFile;
use super::scope::Scope;
use super::temp::TempFile;
use super::tree;
use super::vfs::{Dir, File, VfsError, VfsResult};
use super::watch::Watcher;
use crate::change::ChangeStream;
use crate::cursor::Epoch;
use crate::driver::Durability;
use crate::error::{Error, NameKind, Result};
use crate::hub::Filter;
use crate::name::ProjectId;

/// Folio's own folder in a root.
const FOLDER: &str = ".folio";
const JOURNAL: &str = "journal";
const TMP: &str = "tmp";
const QUARANTINE: &str = "quarantine";

/// An open root.
#[derive(Debug)]
pub(crate) struct Store {
    /// The root folder.
    pub(crate) root: Dir,
    /// `.folio/tmp`: what has no real name yet. Emptied at every open.
    pub(crate) tmp: Dir,
    /// `.folio/quarantine`.
    pub(crate) quarantine: Quarantine,
    /// As it was opened.
    pub(crate) options: FsOptions,
    /// Gives out epochs.
    pub(crate) epochs: Epochs,
    /// Who waits for whom.
    pub(crate) gates: Gates,
    /// Folders in the making.
    pub(crate) making: Making,
    /// Who is told of changes.
    pub(crate) changes: Arc<Changes>,
    /// Whether names fold here.
    pub(crate) folding: Folding,
    watcher: Watcher,
    failure: Arc<Failure>,
    file: Arc<RootFile>,
    /// Calls hold it shared while they run; true once the store is closed.
    closed: Arc<RwLock<bool>>,
    flusher: StdRwLock<Option<Flusher>>,
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

    /// As [`Store::open`], in a folder that is open.
    pub(crate) fn open_in(root: Dir, options: FsOptions) -> Result<Arc<Self>> {
        let folder = own_folder(&root, FOLDER)?;
        let lock = RootLock::take(&folder, root.path(), &options.holder)?;
        own_folder(&folder, JOURNAL)?;
        let (tmp, quarantine) = (own_folder(&folder, TMP)?, own_folder(&folder, QUARANTINE)?);
        let file = Arc::new(RootFile::open(&folder, &tmp)?);
        tree::clear(&tmp)?;
        let folding = Folding::probe(&tmp)?;
        let epochs = Epochs::new(Arc::clone(&file));
        begin_life(&file, &epochs, &options)?;
        let failure = Arc::new(Failure::none(root.path().display().to_string()));
        let flusher = match options.durability {
            Durability::Interval => Some(start_flusher(&root, &failure)?),
            _ => None,
        };
        let changes = Arc::<Changes>::default();
        let watcher = Watcher::new(root.clone(), Arc::clone(&changes));
        Ok(Arc::new(Self {
            quarantine: Quarantine::new(quarantine, Arc::clone(&options.clock)),
            root,
            tmp,
            options,
            epochs,
            gates: Gates::new(),
            making: Making::default(),
            watcher,
            changes,
            folding,
            failure,
            file,
            closed: Arc::default(),
            flusher: StdRwLock::new(flusher),
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

    /// Makes a folder below `base`, with those on its way, and opens it. They are durable on return, in every mode.
    pub(crate) fn folder(&self, base: &Dir, rel: &str) -> Result<Dir> {
        let (folder, grown) = base.make_dirs(rel)?;
        grown.iter().try_for_each(Dir::sync).map_err(|error| self.unknown(&self.shown(base, rel), &error))?;
        Ok(folder)
    }

    /// Before every write.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] after a write whose outcome is unknown.
    pub(crate) fn writable(&self) -> Result<()> {
        self.failure.check()
    }

    /// A write of `what` failed when it may have happened already: stops all writes, and says so.
    pub(crate) fn unknown(&self, what: &str, error: &VfsError) -> Error {
        self.failure.unknown(what, error)
    }

    /// A file in the making.
    pub(crate) fn temp(&self) -> VfsResult<TempFile> {
        TempFile::new(&self.tmp)
    }

    /// Makes what was written to `file` as durable as an acknowledgement promises: now, soon, or whenever.
    pub(crate) fn sync_file(&self, file: &Arc<File>) -> VfsResult<()> {
        match self.options.durability {
            Durability::Sync => file.sync_data(),
            _ => self.later(|flusher| flusher.file(file)),
        }
    }

    /// Makes changed names in `folder` as durable as an acknowledgement promises.
    pub(crate) fn sync_folder(&self, folder: &Dir) -> VfsResult<()> {
        match self.options.durability {
            Durability::Sync => folder.sync(),
            _ => self.later(|flusher| flusher.folder(folder)),
        }
    }

    fn later(&self, note: impl FnOnce(&Flusher)) -> VfsResult<()> {
        if let Some(flusher) = &*self.flusher.read().unwrap_or_else(PoisonError::into_inner) {
            note(flusher);
        }
        Ok(())
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
            store.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(closed);
            outcome
        })
        .await
    }

    fn settle(&self) -> Result<()> {
        self.watcher.stop();
        self.changes.end_all();
        let flusher = self.flusher.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(flusher) = flusher {
            flusher.finish();
        }
        if self.options.durability != Durability::Sync {
            // After a failure the mark stays, and the next open begins a new life.
            self.failure.check()?;
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

fn start_flusher(root: &Dir, failure: &Arc<Failure>) -> Result<Flusher> {
    Flusher::start(root.clone(), Arc::clone(failure))
        .map_err(|error| Error::Io { what: "cannot start a thread".into(), why: error.to_string() })
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
