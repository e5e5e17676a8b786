//! Checkpoints: what records tell of is made durable where it was changed, so that the records are void.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, MutexGuard, PoisonError};

use super::batch::Lsn;
use super::{Shared, State, writer};
use crate::driver::Durability;
use crate::error::Result;
use crate::fs::spares::{Displaced, Spares};
use crate::fs::vfs::{Dir, File, VfsResult};

/// Changed files up to this number are synced one by one; more, or changed names, with their whole file system.
const SINGLY: usize = 8;

/// A file that was changed. It stays open until the checkpoint: a closed one can lose the error of its sync.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) file: Arc<File>,
    pub(crate) inode: u64,
    /// The first byte that was appended since the last checkpoint. Where the file has lost its name by then, what
    /// follows is told as an orphan.
    pub(crate) since: Option<u64>,
}

/// What has to be synced before a record is void.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    pub(crate) files: Vec<Held>,
    /// Names were changed, too.
    pub(crate) everything: bool,
    /// Temporary files that nobody needs any more.
    pub(crate) garbage: Vec<Displaced>,
    /// Inodes of files that were removed, or whose content lies elsewhere now: no orphans.
    pub(crate) released: Vec<u64>,
}

/// Told of a changed file that has no name any more.
pub(crate) type Orphan = Box<dyn Fn(&Held) -> VfsResult<()> + Send + Sync>;

/// Where changes are synced.
pub(super) struct Medium {
    pub(super) root: Dir,
    pub(super) orphan: Orphan,
    pub(super) spares: Arc<Spares>,
}

impl Dirty {
    fn add(&mut self, more: Self) {
        for held in more.files {
            match self.files.iter_mut().find(|known| known.inode == held.inode) {
                Some(known) => known.since = known.since.min(held.since).or(known.since).or(held.since),
                None => self.files.push(held),
            }
        }
        self.everything |= more.everything;
        self.garbage.extend(more.garbage);
        self.released.extend(more.released);
    }

    /// It takes a sync of the whole file system.
    fn whole(&self) -> bool {
        self.everything || self.files.len() > SINGLY
    }

    fn is_empty(&self) -> bool {
        self.files.is_empty() && !self.everything && self.garbage.is_empty()
    }
}

impl Shared {
    /// A change is made; `None`: nobody knows.
    pub(super) fn done(&self, end: Lsn, dirty: Option<Dirty>) {
        let mut state = self.held();
        if let Some(count) = state.applying.get_mut(&end) {
            *count -= 1;
            if *count == 0 {
                state.applying.remove(&end);
            }
        }
        if let Some(dirty) = dirty {
            state.dirty.add(dirty);
        }
        let over = state.dirty.files.len() >= self.options.files || state.dirty.garbage.len() >= self.options.garbage;
        let waited_for = state.wanted;
        state.wanted |= over;
        let awaited = state.waiting > 0;
        drop(state);
        if self.options.inline {
            if over {
                // A failure is told by the next write.
                let _ = self.make_checkpoint();
            }
            return;
        }
        if over && !waited_for {
            self.due.notify_one();
        }
        if awaited {
            self.moved.notify_all();
        }
    }

    pub(super) fn run_checkpoints(self: &Arc<Self>) {
        loop {
            let mut state = self.held();
            while !state.wanted && !state.closing && !state.unmarked {
                state = self.due.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if !state.wanted && !state.closing {
                let age = self.options.age;
                let waited = self.due.wait_timeout_while(state, age, |state| !state.wanted && !state.closing);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            if state.closing && !state.wanted {
                return;
            }
            drop(state);
            // A failure is told by the next write.
            let _ = self.make_checkpoint();
            self.make_next();
        }
    }

    /// Asks for a checkpoint and waits for it.
    pub(super) fn checkpoint_now(&self) -> Result<()> {
        if self.options.inline {
            return self.make_checkpoint();
        }
        // One that runs may have begun before the last change.
        self.wait_for_checkpoint(self.held());
        self.wait_for_checkpoint(self.held());
        self.failure.check()
    }

    /// Asks the checkpoint thread for one, and waits until one has ended or the journal is closed.
    pub(super) fn wait_for_checkpoint(&self, mut state: MutexGuard<'_, State>) {
        state.wanted = true;
        self.due.notify_one();
        let before = state.checkpoints;
        while state.checkpoints == before && !state.closing {
            state = self.wait_moved(state);
        }
    }

    /// Syncs what was changed.
    pub(super) fn make_checkpoint(&self) -> Result<()> {
        let outcome = self.sync_changes();
        let mut state = self.held();
        state.checkpoints += 1;
        drop(state);
        self.moved.notify_all();
        outcome
    }

    fn sync_changes(&self) -> Result<()> {
        // Then who calls is the only one who changes anything.
        let inline = self.options.inline;
        let medium = self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
        let (target, mut dirty, structure) = {
            let mut state = self.held();
            state.wanted = false;
            state.beginning = true;
            while state.writing {
                state = self.wait_moved(state);
            }
            state.beginning = false;
            // Whatever is recorded in this round comes after the target.
            let unused = medium.spares.turns().begin();
            self.moved.notify_all();
            let target = if inline { state.applying.keys().next().map_or(state.end, |_| state.checkpoint) } else { state.end };
            while !inline && state.applying.keys().next().is_some_and(|end| *end <= target) {
                state = self.wait_moved(state);
            }
            state.unmarked = state.end > target;
            state.dirty.garbage.extend(unused);
            (target, std::mem::take(&mut state.dirty), std::mem::take(&mut state.structure))
        };
        self.failure.check()?;
        if target == self.held().checkpoint && dirty.is_empty() {
            return Ok(());
        }
        let garbage = std::mem::take(&mut dirty.garbage);
        let synced = self.options.durability != Durability::Os || structure;
        // Then the sync below reaches every file.
        let whole = synced && dirty.whole();
        let blanked = if whole { medium.spares.blank() } else { Vec::new() };
        if synced {
            sync(&medium.root, &dirty).map_err(|error| self.unknown(&error))?;
        }
        tell_orphans(&medium, &dirty).map_err(|error| self.unknown(&error))?;
        self.free_segments(target);
        self.mark(target)?;
        // Not before: a record of their next use says then that the records which know them are void.
        medium.spares.blanked(blanked);
        // Where a record may be lost that an older one survives, replay would take a file that is used again for what it was.
        medium.spares.rest(garbage, whole && self.options.durability == Durability::Sync);
        Ok(())
    }

    /// Segments whose records are all void can be used again. None is removed before the head of a newer one says so.
    fn free_segments(&self, target: Lsn) {
        let mut state = self.held();
        state.checkpoint = target;
        let (void, full): (Vec<_>, Vec<_>) = std::mem::take(&mut state.full).into_iter().partition(|(_, end)| *end <= target);
        state.full = full;
        state.free.extend(void.into_iter().map(|(segment, _)| segment));
    }

    /// Makes a segment ready before it is needed.
    fn make_next(&self) {
        let Ok(mut writer) = self.writer.try_lock() else { return };
        let Some((number, bytes)) = writer.plan_ahead(self) else { return };
        drop(writer);
        let made = writer::create(&self.folder, number, bytes).and_then(|made| self.folder.sync().map(|()| made));
        let mut state = self.held();
        match made {
            Ok(made) => state.free.push(made),
            // Whoever needs it makes it then, and is told why not.
            Err(_) => state.bytes -= bytes,
        }
        drop(state);
        self.moved.notify_all();
    }
}

fn sync(root: &Dir, dirty: &Dirty) -> VfsResult<()> {
    if dirty.whole() {
        return root.sync_file_system();
    }
    dirty.files.iter().try_for_each(|held| held.file.sync_data())
}

fn tell_orphans(medium: &Medium, dirty: &Dirty) -> VfsResult<()> {
    let released: HashSet<u64> = dirty.released.iter().copied().collect();
    let told: BTreeMap<u64, &Held> = dirty.files.iter().map(|held| (held.inode, held)).collect();
    for (inode, held) in told {
        if held.since.is_some() && !released.contains(&inode) && held.file.meta()?.links == 0 {
            (medium.orphan)(held)?;
        }
    }
    Ok(())
}
