//! A file system in memory that forgets what was not synced, and fails when told to.
//!
//! It promises what POSIX promises, and less than ext4 keeps: the sync of a file makes its bytes and length durable but
//! none of its names; the sync of a folder makes the names in it durable; nothing else does. A power cut leaves of each
//! file what was durable and any of the unsynced writes, by sectors of 512 bytes; of the names any of the unsynced
//! changes, but those of one name in order, a rename whole, and no folder removed before what was in it.
//!
//! | file | holds |
//! | --- | --- |
//! | `bytes` | one file: what is seen, what is durable, what came between |
//! | `changes` | changes of names that are not durable yet |
//! | `state` | everything: files, folders, room, faults |
//! | `fd` | the system calls |

#![allow(dead_code, reason = "each test uses a part of it")]

mod bytes;
mod changes;
mod fd;
mod state;
mod tests;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

pub(in crate::fs::vfs) use self::fd::Fd;
use self::state::State;
use super::Dir;
use super::handle::Handle;

/// What happens instead of a mutating operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The power fails: every operation from here on answers EIO and changes nothing. The operation itself may have
    /// happened.
    Cut,
    /// The operation fails. A part of a write may have happened. After a failed sync the data counts as synced although
    /// nobody knows what of it is durable.
    Fail(Errno),
    /// A write writes a part only, and says so.
    Short,
    /// From here on there is only as much room as is used now, until [`Sim::set_room`].
    Full,
}

/// A simulated file system. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Sim(Arc<Mutex<State>>);

impl Sim {
    /// An empty one. What is left to chance follows from the seed, and whether files can be written past the system's memory.
    pub(crate) fn new(seed: u64) -> Self {
        Self::of(State::new(seed))
    }

    fn of(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its root folder.
    pub(crate) fn root(&self) -> Dir {
        Dir::new(Handle::Sim(Fd::root(self)), Path::new("/sim"), super::blanking::Begun::default())
    }

    /// How many mutating operations were begun, syncs included.
    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// How many of one kind were begun: `sync` (of a file or folder), `syncfs`, `write`, `unlink` … A write past the system's
    /// memory is a sync, too.
    pub(crate) fn count(&self, kind: &str) -> u64 {
        self.state().kinds.get(kind).copied().unwrap_or(0)
    }

    /// Lets the `n`-th mutating operation from now fail; 1 is the next one.
    pub(crate) fn plan(&self, n: u64, fault: Fault) {
        let mut state = self.state();
        let at = state.operations + n;
        state.plan.insert(at, fault);
    }

    /// Takes back what was planned and has not happened yet.
    pub(crate) fn plan_nothing(&self) {
        self.state().plan.clear();
    }

    /// True once the power has failed.
    pub(crate) fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// Leaves room for so many more bytes; any number with `None`.
    pub(crate) fn set_room(&self, bytes: Option<u64>) {
        let mut state = self.state();
        state.room = bytes.map(|bytes| state.used() + bytes);
    }

    /// Whether files can be written past the system's memory ([`Access::Through`](super::Access)).
    pub(crate) fn set_through(&self, can: bool) {
        self.state().through = can;
    }

    /// A number that differs where the mutating operations so far differ in kind, size or outcome.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.state().fingerprint
    }

    /// Shows every mutating operation on the terminal, for a run that is to be looked at.
    pub(crate) fn show_operations(&self) {
        self.state().shown = true;
    }

    /// What a power cut at this moment leaves. Whoever still works on this file system has lost it.
    pub(crate) fn cut(&self, rng: &mut fastrand::Rng) -> Self {
        let mut state = self.state();
        state.dead = true;
        Self::of(state.after_cut(rng))
    }

    /// What the death of the process at this moment leaves: everything, without open files and locks.
    pub(crate) fn kill(&self) -> Self {
        let mut state = self.state();
        state.dead = true;
        Self::of(state.after_kill())
    }
}
