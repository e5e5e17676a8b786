//! `durability = interval`: what was written is synced in the background within a second.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::failure::Failure;
use super::vfs::{Dir, File, VfsResult};

/// From the first write until its sync begins.
const DELAY: Duration = Duration::from_millis(200);
/// More open files and folders than this are not remembered one by one; then the whole file system is synced.
const MOST: usize = 128;

#[derive(Debug, Default)]
struct Dirty {
    files: HashMap<usize, Arc<File>>,
    folders: HashMap<PathBuf, Dir>,
    everything: bool,
    stop: bool,
}

impl Dirty {
    fn any(&self) -> bool {
        self.everything || !self.files.is_empty() || !self.folders.is_empty()
    }

    /// Keeps the number of open files bounded.
    fn bound(&mut self) {
        if self.files.len() + self.folders.len() > MOST {
            self.files.clear();
            self.folders.clear();
            self.everything = true;
        }
    }
}

#[derive(Debug)]
struct Shared {
    dirty: Mutex<Dirty>,
    wake: Condvar,
    root: Dir,
    failure: Arc<Failure>,
}

/// The background flusher of one store.
#[derive(Debug)]
pub(crate) struct Flusher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    /// Starts its thread.
    ///
    /// # Errors
    /// Where the system has no thread left.
    pub(crate) fn start(root: Dir, failure: Arc<Failure>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { dirty: Mutex::default(), wake: Condvar::new(), root, failure });
        let thread = std::thread::Builder::new().name("folio-flush".into());
        let thread = thread.spawn({
            let shared = Arc::clone(&shared);
            move || shared.run()
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// This file was written. It stays open until it is synced, because a closed one can lose its error.
    pub(crate) fn file(&self, file: &Arc<File>) {
        let mut dirty = self.shared.held();
        if !dirty.everything {
            dirty.files.insert(Arc::as_ptr(file).addr(), Arc::clone(file));
            dirty.bound();
        }
        self.shared.wake.notify_one();
    }

    /// Names in this folder were changed.
    pub(crate) fn folder(&self, folder: &Dir) {
        let mut dirty = self.shared.held();
        if !dirty.everything {
            dirty.folders.insert(folder.path().to_owned(), folder.clone());
            dirty.bound();
        }
        self.shared.wake.notify_one();
    }
}

impl Flusher {
    /// Syncs what is left and waits for the end of the thread.
    pub(crate) fn finish(mut self) {
        let thread = self.thread.take();
        drop(self);
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Flusher {
    /// Ends the thread, without waiting: it syncs what is left first.
    fn drop(&mut self) {
        self.shared.held().stop = true;
        self.shared.wake.notify_one();
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Dirty> {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        loop {
            let mut dirty = self.held();
            while !dirty.any() && !dirty.stop {
                dirty = self.wake.wait(dirty).unwrap_or_else(PoisonError::into_inner);
            }
            let stop = dirty.stop;
            if !stop {
                let waited = self.wake.wait_timeout_while(dirty, DELAY, |dirty| !dirty.stop);
                dirty = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            let batch = Dirty { stop: dirty.stop, ..std::mem::take(&mut *dirty) };
            dirty.stop = batch.stop;
            drop(dirty);
            if let Err(error) = self.sync(&batch) {
                self.failure.set(&error);
            }
            if stop {
                return;
            }
        }
    }

    fn sync(&self, batch: &Dirty) -> VfsResult<()> {
        if batch.everything {
            return self.root.sync_file_system();
        }
        batch.files.values().try_for_each(|file| file.sync_data())?;
        batch.folders.values().try_for_each(Dir::sync)
    }
}

#[cfg(test)]
mod tests {
    use super::super::vfs::Access;
    use super::*;

    fn start(root: &Dir) -> (Flusher, Arc<Failure>) {
        let failure = Arc::new(Failure::none("root".into()));
        (Flusher::start(root.clone(), Arc::clone(&failure)).unwrap(), failure)
    }

    #[test]
    fn open_files_stay_bounded_and_are_let_go() {
        let temp = tempfile::tempdir().unwrap();
        let root = Dir::open_root(temp.path()).unwrap();
        let (flusher, failure) = start(&root);
        let files: Vec<_> = (0..4 * MOST)
            .map(|n| {
                let file = Arc::new(root.create_new(n.to_string(), Access::Append).unwrap());
                flusher.file(&file);
                flusher.file(&file);
                file
            })
            .collect();
        flusher.folder(&root);
        let held = files.iter().filter(|file| Arc::strong_count(file) > 1).count();
        assert!(held <= MOST, "{held}");
        flusher.finish();
        assert!(files.iter().all(|file| Arc::strong_count(file) == 1));
        failure.check().unwrap();
    }

    /// A sync that fails in the background is told with the next write: folders of `/proc` can't be synced.
    #[test]
    fn a_failed_sync_stops_the_writes() {
        let temp = tempfile::tempdir().unwrap();
        let root = Dir::open_root(temp.path()).unwrap();
        let (flusher, failure) = start(&root);
        let proc = Dir::open_root(std::path::Path::new("/proc")).unwrap();
        flusher.folder(&proc);
        flusher.finish();
        assert_eq!(failure.check().unwrap_err().code(), "store_failed");
    }
}
