//! What is read without waiting for the disk: on the async runtime's own threads, too.
//!
//! The kernel looks the path up among the names it has in memory (`RESOLVE_CACHED`) and reads what it has in memory of the
//! file (`RWF_NOWAIT`); else it says so at once, and the usual way is taken. Only for file systems of this machine
//! ([`Dir::is_local`]): others may ask a server in the calls between.

use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::file::{Kind, Meta, Wanted};
use super::{Access, Dir};

impl Dir {
    /// A regular file of at most `most` bytes, whole, with what is known of it. `None`: this can't be told without waiting,
    /// or it is something else; [`Dir::open`] knows.
    pub(crate) fn read_now(&self, rel: impl AsRef<Path>, most: usize) -> Option<(Meta, Vec<u8>)> {
        let rel = rel.as_ref();
        self.checked("open", rel).ok()?;
        let flags = Access::Read.flags() | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let handle = self.begun.opened(|| self.handle.open_now(rel, flags)).ok()?;
        let meta = handle.meta(Wanted::All).ok().filter(|meta| meta.kind == Kind::File)?;
        let size = usize::try_from(meta.size).ok().filter(|&size| size <= most)?;
        let mut bytes = vec![0; size];
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match handle.pread_now(rest, done as u64) {
                // It was cut just now, or the rest is not in memory.
                Ok(0) => return None,
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        }
        Some((meta, bytes))
    }
}
