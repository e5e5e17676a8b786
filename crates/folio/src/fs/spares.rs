//! Files that a write displaced, kept blank for the next ones.
//!
//! Making a file is the dearest step of a small write: some file systems look long for an inode, ext4 without a journal
//! past all that were removed within minutes; and giving back its room waits for the disk where that is told what is free.
//! So a displaced file is blanked and used again, where nobody can see that:
//!
//! ```text
//! displaced   a write has put another file in its place
//! resting     a checkpoint has synced that; the file has its bytes still, for who looked its name up just before
//! blanked     the next such checkpoint begins: nobody else has it open, it has one name, and nothing of its own; its bytes
//!             become NUL, or are cut off where they are many
//! ready       that checkpoint has synced that
//! ```
//!
//! A document that is written again soon need not wait for that: see `turns`.
//!
//! So a spare holds, in memory and on the medium, nothing but bytes of NUL, as a power loss leaves a new file. No record that
//! replay may still read names it, because whatever is recorded after such a checkpoint says that all before it is void.

mod turns;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::turns::Idle;
pub(crate) use self::turns::Turns;
use super::temp::TempFile;
use super::txn::Before;
use super::vfs::{Access, Blank, Blanking, Dir, File, Meta, Stamp, VfsResult};

/// Most files that rest or are ready: what two checkpoints may leave, with what is written while they run.
const FILES: usize = 4_096;
/// Most bytes of them.
const BYTES: u64 = 16 << 20;

/// A file among the temporary ones that nobody needs any more.
#[derive(Debug)]
pub(crate) struct Displaced {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// It was a document or file, and can be one again; else it is only removed.
    pub(crate) again: bool,
}

/// A blank file among the temporary ones.
#[derive(Debug)]
pub(crate) struct Spare {
    name: String,
    blank: Blank,
}

/// The spares of a root. `.folio/tmp` is cleared at each open, so they end with the process at the latest.
#[derive(Debug)]
pub(crate) struct Spares {
    folder: Dir,
    /// The kernel knows who has files open here.
    usable: bool,
    state: Mutex<State>,
    /// Files are written in place here, so that what has its room needs no other.
    in_place: bool,
    turns: Arc<Turns>,
}

#[derive(Debug, Default)]
struct State {
    /// What a new file carries, from the first one on.
    new: Option<Stamp>,
    resting: Vec<Displaced>,
    ready: Vec<Spare>,
    #[cfg(test)]
    used: u64,
    #[cfg(test)]
    used_at_once: u64,
}

impl Spares {
    /// None yet, in `.folio/tmp`.
    pub(crate) fn new(folder: Dir) -> Self {
        let usable = folder.is_local().unwrap_or(false);
        let in_place = usable && folder.writes_in_place().unwrap_or(false);
        Self { folder, usable, state: Mutex::default(), in_place, turns: Arc::default() }
    }

    fn held(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file for the content of a document or file: a spare, or else a new one. Write from its begin on, and say where it
    /// [ends](TempFile::ends_at).
    pub(crate) fn temp(&self) -> VfsResult<TempFile> {
        loop {
            let spare = self.held().ready.pop();
            let Some(spare) = spare else { break };
            match self.open(&spare) {
                Some((file, meta)) => {
                    #[cfg(test)]
                    {
                        self.held().used += 1;
                    }
                    return Ok(TempFile::reused(&self.folder, spare.name, file, meta, None));
                }
                None => self.remove(&spare.name),
            }
        }
        let temp = TempFile::for_content(&self.folder)?;
        if self.usable && self.held().new.is_none() {
            let stamp = temp.file().stamp().ok();
            self.held().new = stamp;
        }
        Ok(temp)
    }

    /// The file that the document at `path` in the root had before the last one, where it may hold its next content at once,
    /// of `len` bytes: [unwritten](TempFile::fill), and with the round in which that must be recorded. For the mode `sync`.
    ///
    /// # Errors
    /// Where there is no room for its content.
    pub(crate) fn again(&self, path: &str, len: u64) -> VfsResult<Option<(TempFile, u64)>> {
        let Some((Idle { displaced, was }, round)) = self.turns.take(path) else { return Ok(None) };
        let Some((file, meta)) = self.reopen(&displaced.name, &was) else {
            self.turns.leave(displaced);
            return Ok(None);
        };
        let temp = TempFile::reused(&self.folder, displaced.name, file, meta, Some(&self.turns));
        temp.reserve(len)?;
        #[cfg(test)]
        {
            self.held().used_at_once += 1;
        }
        Ok(Some((temp, round)))
    }

    /// Opens a displaced file, where nobody can see it, and nobody wrote to it.
    fn reopen(&self, name: &str, was: &Before) -> Option<(File, Meta)> {
        let new = self.held().new.clone()?;
        let since = self.folder.begin_blanking();
        let (file, meta) = self.folder.open_unseen(name, &since, &new).ok()?;
        was.is(&meta).then_some((file, meta))
    }

    /// True where what a document displaced may hold its next content.
    pub(crate) fn takes_turns(&self) -> bool {
        self.in_place && self.held().new.is_some()
    }

    /// Which of them take turns.
    pub(crate) fn turns(&self) -> &Arc<Turns> {
        &self.turns
    }

    /// Opens a spare; `None` where it is not any more what it was.
    fn open(&self, spare: &Spare) -> Option<(File, Meta)> {
        let found = self.folder.open_with_meta(&spare.name, Access::ReadWrite).ok()??;
        let meta = &found.1;
        (Blank { id: meta.id(), size: meta.size } == spare.blank && meta.links == 1).then_some(found)
    }

    /// Blanks what rests, where nobody can see it, and removes the rest. Call it before a sync of the whole file system,
    /// and [`Spares::blanked`] with what it returns once that has succeeded.
    pub(crate) fn blank(&self) -> Vec<Spare> {
        let (resting, new) = {
            let mut state = self.held();
            (std::mem::take(&mut state.resting), state.new.clone())
        };
        let (since, mut spares) = (self.folder.begin_blanking(), Vec::with_capacity(resting.len()));
        for displaced in resting {
            let blank = new.as_ref().and_then(|new| self.blank_one(&displaced.name, &since, new));
            match blank {
                Some(blank) => spares.push(Spare { name: displaced.name, blank }),
                None => self.remove(&displaced.name),
            }
        }
        spares
    }

    fn blank_one(&self, name: &str, since: &Blanking, new: &Stamp) -> Option<Blank> {
        let (file, meta) = self.folder.open_unseen(name, since, new).ok()?;
        file.blank(&meta).ok()
    }

    /// What was blanked is so on the medium, too.
    pub(crate) fn blanked(&self, spares: Vec<Spare>) {
        self.held().ready.extend(spares);
    }

    /// Takes what was displaced. `synced`: that it was is durable, by a sync of the whole file system. What is not kept is
    /// removed.
    pub(crate) fn rest(&self, displaced: Vec<Displaced>, synced: bool) {
        let scarce = self.scarce();
        if scarce {
            self.clear();
        }
        let kept = synced && self.usable && !scarce;
        let mut gone = Vec::new();
        let mut state = self.held();
        let resting = state.resting.iter().map(|resting| resting.bytes);
        let mut bytes: u64 = resting.chain(state.ready.iter().map(|spare| spare.blank.size)).sum();
        for one in displaced {
            let fits = state.resting.len() + state.ready.len() < FILES && bytes.saturating_add(one.bytes) <= BYTES;
            if one.again && kept && state.new.is_some() && fits {
                bytes += one.bytes;
                state.resting.push(one);
            } else {
                gone.push(one);
            }
        }
        drop(state);
        gone.iter().for_each(|one| self.remove(&one.name));
    }

    /// Room on the disk is needed for other things.
    fn scarce(&self) -> bool {
        self.folder.room().map_or(true, |room| scarce(room.free, room.all))
    }

    /// Removes all.
    pub(crate) fn clear(&self) {
        let (resting, ready) = {
            let mut state = self.held();
            (std::mem::take(&mut state.resting), std::mem::take(&mut state.ready))
        };
        let names = resting.iter().map(|one| &one.name).chain(ready.iter().map(|one| &one.name));
        names.for_each(|name| self.remove(name));
    }

    fn remove(&self, name: &str) {
        // What stays is removed at the next open.
        let _ = self.folder.unlink(name);
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> u64 {
        self.held().used
    }

    #[cfg(test)]
    pub(crate) fn used_at_once(&self) -> u64 {
        self.held().used_at_once
    }

    /// Those that rest or are ready.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        let state = self.held();
        state.resting.len() + state.ready.len()
    }
}

/// True where so few bytes are free of all that there are.
fn scarce(free: u64, all: u64) -> bool {
    free < (4 * BYTES).min(all / 16)
}

#[cfg(test)]
mod tests;
