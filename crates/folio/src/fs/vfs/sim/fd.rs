//! The system calls of a simulated file system.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{FallocateFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::Sim;
use super::bytes::Bytes;
use super::changes::{Change, Ino};
use super::state::{Body, Entries, ROOT, State, Turn};
use crate::fs::vfs::{Kind, Meta, Stamp};

/// An open file or folder.
#[derive(Debug)]
pub(in crate::fs::vfs) struct Fd {
    sim: Sim,
    ino: Ino,
    id: u64,
    flags: OFlags,
    at: AtomicUsize,
}

impl Drop for Fd {
    fn drop(&mut self) {
        let mut state = self.sim.state();
        if let Ok(node) = state.node(self.ino) {
            node.opens = node.opens.saturating_sub(1);
            if node.locked_by == Some(self.id) {
                node.locked_by = None;
            }
        }
    }
}

impl Fd {
    pub(super) fn root(sim: &Sim) -> Self {
        Self::to(sim, &mut sim.state(), ROOT, OFlags::empty())
    }

    fn to(sim: &Sim, state: &mut State, ino: Ino, flags: OFlags) -> Self {
        if let Ok(node) = state.node(ino) {
            node.opens += 1;
        }
        Self { sim: sim.clone(), ino, id: state.handle(), flags, at: AtomicUsize::new(0) }
    }

    fn writes(&self) -> Result<(), Errno> {
        if self.flags.contains(OFlags::RDWR) { Ok(()) } else { Err(Errno::BADF) }
    }

    fn look<T>(&self, look: impl FnOnce(&mut State) -> Result<T, Errno>) -> Result<T, Errno> {
        let mut state = self.sim.state();
        if state.dead { Err(Errno::IO) } else { look(&mut state) }
    }

    /// Runs a mutating operation that happens or does not.
    fn act<T>(&self, doing: &'static str, act: impl FnOnce(&mut State) -> Result<T, Errno>) -> Result<T, Errno> {
        let mut state = self.sim.state();
        match state.turn(doing, 0)? {
            Turn::Fail(errno) if errno != Errno::INTR => Err(errno),
            Turn::Last => {
                let outcome = act(&mut state);
                state.dead = true;
                // A file that was opened is closed, which needs the lock.
                drop(state);
                drop(outcome);
                Err(Errno::IO)
            }
            _ => act(&mut state),
        }
    }

    pub(in crate::fs::vfs) fn open(&self, rel: &Path, flags: OFlags, mode: Mode) -> Result<Self, Errno> {
        let create = flags.contains(OFlags::CREATE);
        let open = |state: &mut State| {
            if flags.contains(OFlags::DIRECT) && !state.through {
                return Err(Errno::INVAL);
            }
            let (folder, name) = walk(state, self.ino, rel)?;
            let ino = match state.lookup(folder, name)? {
                Some(_) if create => return Err(Errno::EXIST),
                Some(ino) => ino,
                None if create => {
                    make(state, folder, name, Body::File { bytes: Bytes::default(), reserved: 0 }, mode.as_raw_mode())?
                }
                None => return Err(Errno::NOENT),
            };
            match state.node(ino)?.is_folder() {
                false if flags.contains(OFlags::DIRECTORY) => Err(Errno::NOTDIR),
                true if flags.contains(OFlags::RDWR) => Err(Errno::ISDIR),
                _ => Ok(Self::to(&self.sim, state, ino, flags)),
            }
        };
        if create { self.act("create", open) } else { self.look(open) }
    }

    pub(in crate::fs::vfs) fn mkdir(&self, name: &OsStr, mode: u32) -> Result<(), Errno> {
        self.act("mkdir", |state| {
            if state.lookup(self.ino, name)?.is_some() {
                return Err(Errno::EXIST);
            }
            let folder = Body::Folder { seen: Entries::new(), durable: Entries::new(), removed: false };
            make(state, self.ino, name, folder, mode & !0o022).map(drop)
        })
    }

    pub(in crate::fs::vfs) fn rename(&self, name: &OsStr, to: &Self, new: &OsStr, flags: RenameFlags) -> Result<(), Errno> {
        self.act("rename", |state| {
            let source = state.lookup(self.ino, name)?.ok_or(Errno::NOENT)?;
            let target = state.lookup(to.ino, new)?;
            let exchange = flags.contains(RenameFlags::EXCHANGE);
            match target {
                Some(_) if flags.contains(RenameFlags::NOREPLACE) => return Err(Errno::EXIST),
                None if exchange => return Err(Errno::NOENT),
                _ => {}
            }
            if self.ino != to.ino && inside(state, source, to.ino)? {
                return Err(Errno::INVAL);
            }
            if let Some(target) = target
                && self.ino != to.ino
                && inside(state, target, self.ino)?
            {
                return Err(if exchange { Errno::INVAL } else { Errno::NOTEMPTY });
            }
            if target == Some(source) {
                return Ok(());
            }
            let source_is_folder = state.node(source)?.is_folder();
            let mut empties = None;
            if let Some(target) = target
                && !exchange
            {
                match (source_is_folder, state.node(target)?.is_folder()) {
                    (true, false) => return Err(Errno::NOTDIR),
                    (false, true) => return Err(Errno::ISDIR),
                    (true, true) => {
                        close_empty(state, target)?;
                        empties = Some(target);
                    }
                    (false, false) => {}
                }
            }
            alive(state, to.ino)?;
            let back = if exchange { target } else { None };
            let moves_folder = source_is_folder || back.is_some_and(|ino| state.node(ino).is_ok_and(|node| node.is_folder()));
            let sets = vec![((self.ino, name.to_owned()), back), ((to.ino, new.to_owned()), Some(source))];
            state.change(Change { sets, empties, moves_folder });
            Ok(())
        })
    }

    pub(in crate::fs::vfs) fn link(&self, name: &OsStr, to: &Self, new: &OsStr) -> Result<(), Errno> {
        self.act("link", |state| {
            let source = state.lookup(self.ino, name)?.ok_or(Errno::NOENT)?;
            if state.lookup(to.ino, new)?.is_some() {
                return Err(Errno::EXIST);
            }
            alive(state, to.ino)?;
            if state.node(source)?.is_folder() {
                return Err(Errno::PERM);
            }
            let sets = vec![((to.ino, new.to_owned()), Some(source))];
            state.change(Change { sets, empties: None, moves_folder: false });
            Ok(())
        })
    }

    pub(in crate::fs::vfs) fn unlink(&self, name: &OsStr, folder: bool) -> Result<(), Errno> {
        self.act(if folder { "rmdir" } else { "unlink" }, |state| {
            let ino = state.lookup(self.ino, name)?.ok_or(Errno::NOENT)?;
            match (folder, state.node(ino)?.is_folder()) {
                (true, false) => return Err(Errno::NOTDIR),
                (false, true) => return Err(Errno::ISDIR),
                (true, true) => close_empty(state, ino)?,
                (false, false) => {}
            }
            let sets = vec![((self.ino, name.to_owned()), None)];
            state.change(Change { sets, empties: folder.then_some(ino), moves_folder: false });
            Ok(())
        })
    }

    /// In an order that has nothing to do with the names.
    pub(in crate::fs::vfs) fn names(&self) -> Result<std::vec::IntoIter<(OsString, Kind)>, Errno> {
        self.look(|state| {
            let mut names: Vec<(Ino, OsString)> =
                state.entries(self.ino)?.iter().map(|(name, ino)| (*ino, name.clone())).collect();
            names.sort_by_key(|(ino, _)| ino.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let kind = |ino| state.meta(ino).map_or(Kind::Other, |meta| meta.kind);
            Ok(names.into_iter().map(|(ino, name)| (name, kind(ino))).collect::<Vec<_>>().into_iter())
        })
    }

    pub(in crate::fs::vfs) fn meta(&self) -> Result<Meta, Errno> {
        self.look(|state| state.meta(self.ino))
    }

    pub(in crate::fs::vfs) fn pread(&self, buf: &mut [u8], at: u64) -> Result<usize, Errno> {
        self.look(|state| match &state.node(self.ino)?.body {
            Body::File { bytes, .. } => Ok(bytes.read(buf, place(at)?)),
            Body::Folder { .. } => Err(Errno::ISDIR),
        })
    }

    /// Writes at an offset, durably and by whole sectors.
    pub(in crate::fs::vfs) fn write_through(&self, bytes: &[u8], at: u64) -> Result<usize, Errno> {
        let whole = at.is_multiple_of(512) && bytes.len().is_multiple_of(512) && bytes.as_ptr().align_offset(512) == 0;
        if whole && self.flags.contains(OFlags::DIRECT) { self.put(bytes, Some(at), true) } else { Err(Errno::INVAL) }
    }

    /// Writes at an offset, or where the handle stands.
    pub(in crate::fs::vfs) fn write(&self, bytes: &[u8], at: Option<u64>) -> Result<usize, Errno> {
        if self.flags.contains(OFlags::DIRECT) { Err(Errno::INVAL) } else { self.put(bytes, at, false) }
    }

    fn put(&self, bytes: &[u8], at: Option<u64>, through: bool) -> Result<usize, Errno> {
        self.writes()?;
        let mut state = self.sim.state();
        let part = |state: &mut State, least: usize| state.rng.usize(least.min(bytes.len())..=bytes.len());
        if through {
            *state.kinds.entry("sync").or_default() += 1;
        }
        let turn = state.turn("write", bytes.len())?;
        let count = match turn {
            Turn::Go => bytes.len(),
            Turn::Fail(errno) if errno == Errno::INTR => return Err(errno),
            Turn::Short if through => state.rng.usize(1.min(bytes.len())..=bytes.len() / 512) * 512,
            Turn::Fail(_) | Turn::Last if through => state.rng.usize(0..=bytes.len() / 512) * 512,
            Turn::Short => part(&mut state, 1),
            // The system copies pages, and the medium whole sectors: no failure ends within one.
            Turn::Fail(_) | Turn::Last => part(&mut state, 0) / 512 * 512,
        };
        let written = self.lay(&mut state, &bytes[..count], at);
        match turn {
            Turn::Go | Turn::Short if through => state.sync(self.ino)?,
            Turn::Fail(_) if through => state.sync_badly(self.ino)?,
            _ => {}
        }
        match turn {
            Turn::Fail(errno) => Err(errno),
            Turn::Last => {
                state.dead = true;
                Err(Errno::IO)
            }
            Turn::Go | Turn::Short => written,
        }
    }

    fn lay(&self, state: &mut State, bytes: &[u8], at: Option<u64>) -> Result<usize, Errno> {
        let now = state.tick();
        let Body::File { bytes: there, reserved } = &state.node(self.ino)?.body else { return Err(Errno::ISDIR) };
        let (len, room) = (there.len(), there.len().max(place(*reserved)?));
        let at = match at {
            _ if self.flags.contains(OFlags::APPEND) => len,
            Some(at) => place(at)?,
            None => self.at.load(Ordering::Relaxed),
        };
        let missing = (at + bytes.len()).saturating_sub(room);
        let granted = place(state.grant(missing as u64))?;
        let bytes = &bytes[..bytes.len().saturating_sub(missing - granted)];
        if missing > 0 && bytes.is_empty() {
            return Err(Errno::NOSPC);
        }
        if let Body::File { bytes: there, .. } = &mut state.node(self.ino)?.body
            && !bytes.is_empty()
        {
            there.write(at, bytes);
        }
        self.at.store(at + bytes.len(), Ordering::Relaxed);
        let node = state.node(self.ino)?;
        (node.modified_ns, node.changed_ns) = (now, now);
        Ok(bytes.len())
    }

    /// `fsync` and `fdatasync`.
    pub(in crate::fs::vfs) fn sync(&self) -> Result<(), Errno> {
        let mut state = self.sim.state();
        match state.turn("sync", self.ino)? {
            Turn::Go | Turn::Short => state.sync(self.ino),
            Turn::Fail(errno) => state.sync_badly(self.ino).and(Err(errno)),
            Turn::Last => {
                let _ = state.sync(self.ino);
                state.dead = true;
                Err(Errno::IO)
            }
        }
    }

    pub(in crate::fs::vfs) fn syncfs(&self) -> Result<(), Errno> {
        let mut state = self.sim.state();
        match state.turn("syncfs", 0)? {
            Turn::Go | Turn::Short => state.sync_all(),
            Turn::Fail(errno) => {
                state.sync_all_badly();
                return Err(errno);
            }
            Turn::Last => {
                state.sync_all();
                state.dead = true;
                return Err(Errno::IO);
            }
        }
        Ok(())
    }

    pub(in crate::fs::vfs) fn reserve(&self, flags: FallocateFlags, at: u64, len: u64) -> Result<(), Errno> {
        self.writes()?;
        if flags != FallocateFlags::KEEP_SIZE {
            return Err(Errno::OPNOTSUPP);
        }
        let mut state = self.sim.state();
        match state.turn("reserve", len)? {
            Turn::Fail(errno) => return Err(errno),
            Turn::Last => {
                state.dead = true;
                return Err(Errno::IO);
            }
            Turn::Go | Turn::Short => {}
        }
        let Body::File { bytes, reserved } = &state.node(self.ino)?.body else { return Err(Errno::ISDIR) };
        let missing = (at + len).saturating_sub((bytes.len() as u64).max(*reserved));
        if state.grant(missing) < missing {
            return Err(Errno::NOSPC);
        }
        if let Body::File { reserved, .. } = &mut state.node(self.ino)?.body {
            *reserved = (*reserved).max(at + len);
        }
        Ok(())
    }

    pub(in crate::fs::vfs) fn truncate(&self, len: u64) -> Result<(), Errno> {
        self.writes().map_err(|_| Errno::INVAL)?;
        self.act("truncate", |state| {
            let now = state.tick();
            let node = state.node(self.ino)?;
            let Body::File { bytes, reserved } = &mut node.body else { return Err(Errno::ISDIR) };
            bytes.truncate(place(len)?);
            *reserved = (*reserved).min(len);
            (node.modified_ns, node.changed_ns) = (now, now);
            Ok(())
        })
    }

    pub(in crate::fs::vfs) fn chmod(&self, mode: u32) -> Result<(), Errno> {
        self.act("chmod", |state| {
            let now = state.tick();
            let node = state.node(self.ino)?;
            (node.mode, node.changed_ns) = (mode & 0o777, now);
            Ok(())
        })
    }

    pub(in crate::fs::vfs) fn stamp(&self) -> Result<Stamp, Errno> {
        self.look(|state| Ok(Stamp { mode: state.node(self.ino)?.mode, ..Stamp::default() }))
    }

    /// A write lease can be had.
    pub(in crate::fs::vfs) fn is_alone(&self) -> Result<(), Errno> {
        self.look(|state| if state.node(self.ino)?.opens == 1 { Ok(()) } else { Err(Errno::AGAIN) })
    }

    pub(in crate::fs::vfs) fn lock_alone(&self) -> Result<(), Errno> {
        self.look(|state| {
            let node = state.node(self.ino)?;
            if node.locked_by.is_some_and(|holder| holder != self.id) {
                return Err(Errno::WOULDBLOCK);
            }
            node.locked_by = Some(self.id);
            Ok(())
        })
    }
}

fn place(at: u64) -> Result<usize, Errno> {
    usize::try_from(at).map_err(|_| Errno::INVAL)
}

/// The folder in which the last name of `rel` is looked for, and that name.
fn walk<'a>(state: &mut State, from: Ino, rel: &'a Path) -> Result<(Ino, &'a OsStr), Errno> {
    let mut names = rel.components().map(|part| match part {
        Component::Normal(name) => Ok(name),
        _ => Err(Errno::XDEV),
    });
    let (mut folder, mut name) = (from, names.next().ok_or(Errno::NOENT)??);
    for next in names {
        folder = state.lookup(folder, name)?.ok_or(Errno::NOENT)?;
        name = next?;
    }
    state.entries(folder)?;
    Ok((folder, name))
}

/// Makes a file or folder under a name that is free.
fn make(state: &mut State, folder: Ino, name: &OsStr, body: Body, mode: u32) -> Result<Ino, Errno> {
    alive(state, folder)?;
    state.grant_node()?;
    let umask = if matches!(body, Body::File { .. }) { 0o022 } else { 0 };
    let ino = state.add(body, mode & !umask);
    let sets = vec![((folder, name.to_owned()), Some(ino))];
    state.change(Change { sets, empties: None, moves_folder: false });
    Ok(ino)
}

/// Nothing comes into a folder that was removed.
fn alive(state: &mut State, folder: Ino) -> Result<(), Errno> {
    match &state.node(folder)?.body {
        Body::Folder { removed: true, .. } => Err(Errno::NOENT),
        _ => Ok(()),
    }
}

/// Marks an empty folder as removed.
fn close_empty(state: &mut State, folder: Ino) -> Result<(), Errno> {
    match &mut state.node(folder)?.body {
        Body::Folder { seen, removed, .. } if seen.is_empty() => {
            *removed = true;
            Ok(())
        }
        _ => Err(Errno::NOTEMPTY),
    }
}

/// True where `inner` is `outer` or lies in it.
fn inside(state: &mut State, outer: Ino, inner: Ino) -> Result<bool, Errno> {
    if outer == inner {
        return Ok(true);
    }
    if !state.node(outer)?.is_folder() {
        return Ok(false);
    }
    let children: Vec<Ino> = state.entries(outer)?.values().copied().collect();
    for child in children {
        if inside(state, child, inner)? {
            return Ok(true);
        }
    }
    Ok(false)
}
