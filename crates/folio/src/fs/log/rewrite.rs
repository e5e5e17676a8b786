//! The one primitive behind adoption, rotation, compaction and new pieces: **a new header**.
//!
//! If what is kept of the newest segment is small, one rename replaces it (header, table, kept lines as they lie).
//! Else it is sealed, and an empty one follows. The rename of the new file is the commit point; everything before it
//! is prepared and synced under temporary names, so a crash leaves the old log or the new one.

use std::sync::Arc;

use crate::cursor::Seq;
use crate::error::{Error, Result};
use crate::fs::line::{self, Header};
use crate::fs::log::disk::{Disk, NewPiece, Newest, sealed_firsts};
use crate::fs::log::keys::{self, Keys};
use crate::fs::log::paths::sealed_name;
use crate::fs::segment::{self, Kind};
use crate::fs::store::Store;
use crate::fs::vfs::{Dir, File, VfsError};
use crate::lineage::Lineage;
use crate::request::KeyTable;

/// Up to so many bytes are copied into the new file; more is sealed.
const KEPT_LIMIT: u64 = 1 << 20;

/// What the new header says that the old one did not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Change {
    /// The new horizon, if it rises.
    pub(crate) horizon: Option<Seq>,
    /// Seal the newest segment even if little would be kept: it is full.
    pub(crate) seal: bool,
}

impl Disk {
    /// Makes the newest segment anew from its good lines, under a good header and in a new piece. For doctor, who has
    /// set the old file aside.
    pub(crate) fn remake(&mut self, store: &Store) -> Result<()> {
        self.trouble = None;
        self.new_piece = Some(NewPiece::Broken);
        self.read_keys()?;
        if matches!(self.keys, Keys::Damaged { .. }) {
            self.keys = Keys::Table(KeyTable::default());
        }
        let mut lines = Vec::new();
        if let Some(newest) = &mut self.newest {
            segment::copy_good(&newest.file, newest.start, newest.end, newest.base, &mut lines)?;
            newest.len = newest.end;
        }
        // Where no entry is left, the table of keys may have told how far the log had reached.
        let base = self.newest.as_ref().filter(|_| !lines.is_empty()).map_or(self.head, |newest| newest.base);
        let header = self.next_header(store, self.horizon, base)?;
        self.install(store, header, Kept::Lines { lines })
    }

    /// True when the next write needs a new header first.
    pub(crate) fn needs_header(&self) -> bool {
        self.new_piece.is_some() || self.newest.is_none()
    }

    /// Writes a new header. Nothing has changed on an error, unless it is [`Error::OutcomeUnknown`].
    pub(crate) fn new_header(&mut self, store: &Store, change: Change) -> Result<()> {
        self.refuse_in_trouble()?;
        self.read_keys()?;
        let horizon = change.horizon.unwrap_or(self.horizon).max(self.horizon).min(self.head);
        self.quarantine_tail(store)?;
        let kept = self.kept(horizon, change.seal)?;
        let base = match &kept {
            Kept::Lines { .. } => self.newest.as_ref().map_or(self.head, |newest| newest.base.max(horizon)),
            Kept::Sealed { .. } | Kept::Nothing => self.head,
        };
        let header = self.next_header(store, horizon, base)?;
        self.install(store, header, kept)
    }

    /// The header that follows: of a new piece, where one is due.
    fn next_header(&self, store: &Store, horizon: Seq, base: Seq) -> Result<Header> {
        let lineage = match self.new_piece {
            Some(_) => self.lineage.begin(store.next_epoch(self.lineage.epoch())?, self.head),
            None => Lineage::clone(&self.lineage),
        };
        Ok(Header {
            lineage: lineage.pruned(horizon),
            id: (0, 0),
            base,
            horizon,
            closed: self.closed,
            absent: false,
            fork_of: self.fork_of.clone(),
            ts: store.now_ms().max(self.ts),
        })
    }

    fn install(&mut self, store: &Store, mut header: Header, kept: Kept) -> Result<()> {
        let newest = self.put(store, &mut header, kept)?;
        self.horizon = header.horizon;
        self.lineage = Arc::new(header.lineage);
        self.newest = Some(newest);
        self.new_piece = None;
        Ok(())
    }

    /// Hides the entries up to and including `to`. [`Disk::unlink_hidden`] then frees what it can.
    pub(crate) fn compact(&mut self, store: &Store, to: Seq) -> Result<()> {
        self.new_header(store, Change { horizon: Some(to), seal: false })
    }

    /// Refuses a write to a log whose header is damaged.
    pub(crate) fn refuse_in_trouble(&self) -> Result<()> {
        match &self.trouble {
            None => Ok(()),
            Some(why) => Err(Error::Damaged { what: format!("the log at {}", self.file_name()), why: why.clone(), etag: None }),
        }
    }

    /// Copies what follows the last whole unit to quarantine, and an adopted file without any, which itself stays
    /// untouched as long as it has entries.
    fn quarantine_tail(&mut self, store: &Store) -> Result<()> {
        let from = store.shown(&self.project, &self.paths.newest());
        let Some(newest) = &mut self.newest else { return Ok(()) };
        let start = if newest.kind == Kind::Adopted && newest.base == self.head { 0 } else { newest.end };
        if start < newest.len && !newest.set_aside {
            store.quarantine.keep_range(&from, "it follows the last whole append of the log", &newest.file, start..newest.len)?;
            newest.set_aside = true;
        }
        Ok(())
    }

    fn kept(&self, horizon: Seq, seal: bool) -> Result<Kept> {
        let Some(newest) = &self.newest else { return Ok(Kept::Nothing) };
        if newest.base == self.head {
            return Ok(Kept::Nothing);
        }
        let sealed = Kept::Sealed { first: newest.base + 1 };
        if newest.kind == Kind::Adopted || seal {
            return Ok(sealed);
        }
        let base = newest.base.max(horizon);
        if base == self.head {
            return Ok(Kept::Nothing);
        }
        // A damaged table is written anew, as it lies.
        let table = if let Keys::Damaged { line } = &self.keys { line.len() as u64 + 1 } else { 0 };
        let range = ((newest.start + table).min(newest.end), newest.end);
        // Damaged lines before the first kept one may hold more of the log than they show: they are kept too.
        let from = segment::cut_before(&newest.file, newest.kind, range, base + 1)?;
        if newest.end - from > KEPT_LIMIT {
            return Ok(sealed);
        }
        let wanted = usize::try_from(newest.end - from).unwrap_or_default();
        let mut lines = vec![0; wanted];
        if newest.file.read_at(&mut lines, from)? < wanted {
            return Err(Error::Retry { what: format!("{} was cut while it was read", self.file_name()) });
        }
        if lines.last().is_some_and(|&last| last != b'\n') {
            lines.push(b'\n');
        }
        Ok(Kept::Lines { lines })
    }

    /// Writes the new newest segment under a temporary name, then puts it (and the sealed one) under the real name.
    fn put(&mut self, store: &Store, header: &mut Header, kept: Kept) -> Result<Newest> {
        let folder = store.folder(&self.project, self.paths.folder())?;
        let sealing = match kept {
            Kept::Sealed { first } => Some((first, self.prepare_sealed(store)?)),
            _ => None,
        };
        let lines = if let Kept::Lines { lines } = &kept { lines.as_slice() } else { &[] };
        let temporary = store.temp()?;
        let (start, end) = self.write_new(temporary.file(), header, lines)?;
        self.set_aside_up_to(store, header.base)?;
        let name = self.paths.newest_name();
        if let Some((first, sealed_folder)) = &sealing {
            self.seal(store, &folder, sealed_folder, &sealed_name(*first))?;
        }
        let file = match temporary.keep_as(&folder, &name) {
            Ok(file) => Arc::new(file),
            Err(error) => {
                if let Some((first, sealed_folder)) = &sealing {
                    sealed_folder.rename(sealed_name(*first), &folder, &name).map_err(|e| self.unknown(store, &e))?;
                }
                return Err(error.into());
            }
        };
        folder.sync().map_err(|e| self.unknown(store, &e))?;
        if let Some((first, _)) = &sealing {
            Arc::make_mut(&mut self.sealed).push(*first);
            self.cut_sealed(store)?;
        }
        Ok(Newest {
            writer: Some(file.clone()),
            file,
            kind: Kind::Ours,
            start,
            end,
            len: end,
            set_aside: false,
            ended: true,
            base: header.base,
            inode: header.id.0,
        })
    }

    /// Moves sealed segments to quarantine that are of an end that this log no longer has: behind a newest segment that
    /// begins after them they would be part of it again.
    fn set_aside_up_to(&self, store: &Store, base: Seq) -> Result<()> {
        let beyond: Vec<Seq> = sealed_firsts(&self.project, &self.paths)?
            .into_iter()
            .filter(|&first| first <= base && !self.sealed.contains(&first))
            .collect();
        let Some(folder) = (if beyond.is_empty() { None } else { self.project.dir(self.paths.sealed())? }) else { return Ok(()) };
        for name in beyond.into_iter().map(sealed_name) {
            let from = store.shown(&self.project, &format!("{}/{name}", self.paths.sealed()));
            store.quarantine.take(&from, "the log had no entries from there on any more", &folder, name.as_ref())?;
        }
        folder.sync().map_err(|e| self.unknown(store, &e))
    }

    /// Syncs the newest segment, so that it can be sealed, and makes the folder for it.
    fn prepare_sealed(&mut self, store: &Store) -> Result<Dir> {
        if self.newest.as_ref().is_some_and(|newest| newest.kind == Kind::Ours) {
            self.open_writer()?;
        }
        if let Some(newest) = &mut self.newest
            && let Some(writer) = &newest.writer
            && !newest.ended
            && newest.end == newest.len
        {
            writer.append_all(b"\n")?;
            newest.end += 1;
            newest.len = newest.end;
            newest.ended = true;
        }
        if let Some(newest) = &self.newest {
            newest.file.sync_all().map_err(|e| self.unknown(store, &e))?;
        }
        store.folder(&self.project, &self.paths.sealed())
    }

    /// Moves the newest segment to its place among the sealed ones, durably.
    fn seal(&self, store: &Store, folder: &Dir, sealed_folder: &Dir, name: &str) -> Result<()> {
        let newest = self.paths.newest_name();
        if !folder.rename_noreplace(&newest, sealed_folder, name)? {
            // It is of an end that this log no longer has.
            let from = store.shown(&self.project, &format!("{}/{name}", self.paths.sealed()));
            let why = "a segment that is sealed now begins at the same entry";
            store.quarantine.take(&from, why, sealed_folder, name.as_ref())?;
            if !folder.rename_noreplace(&newest, sealed_folder, name)? {
                return Err(Error::Retry { what: format!("{from} came back while it was set aside") });
            }
        }
        sealed_folder.sync().map_err(|e| self.unknown(store, &e))
    }

    /// Takes from a segment of ours that is sealed now what is no part of the log. Not before: until the new header is
    /// there, it is what tells that a new piece must begin.
    fn cut_sealed(&self, store: &Store) -> Result<()> {
        if let Some(newest) = &self.newest
            && let Some(writer) = &newest.writer
            && newest.end < newest.len
        {
            let cut = writer.truncate(newest.end).and_then(|()| writer.sync_all());
            cut.map_err(|e| self.unknown(store, &e))?;
        }
        Ok(())
    }

    fn write_new(&mut self, file: &File, header: &mut Header, lines: &[u8]) -> Result<(u64, u64)> {
        header.id = file.identity()?;
        let mut bytes = Vec::with_capacity(lines.len() + 512);
        header.push(&mut bytes);
        let start = bytes.len() as u64;
        match &self.keys {
            Keys::Table(table) => {
                if let Some(state) = keys::encode(table) {
                    line::push_state(&mut bytes, header.base, header.ts, &state);
                }
            }
            Keys::Damaged { line } => {
                bytes.extend_from_slice(line);
                bytes.push(b'\n');
            }
            Keys::Unread => {}
        }
        bytes.extend_from_slice(lines);
        file.append_all(&bytes)?;
        file.sync_all()?;
        Ok((start, bytes.len() as u64))
    }

    /// A failure after the point of no return: stops all writes.
    pub(crate) fn unknown(&self, store: &Store, error: &VfsError) -> Error {
        store.unknown(&format!("the log at {}", store.shown(&self.project, &self.paths.newest())), error)
    }

    /// Removes the sealed segments that lie wholly at or below the horizon. The header that hides them is durable, so
    /// a failure only leaves them for the next time.
    pub(crate) fn unlink_hidden(&mut self) -> Result<()> {
        let hidden = (0..self.sealed.len()).take_while(|&at| self.bound_of_sealed(at) <= self.horizon).count();
        let Some(folder) = (if hidden == 0 { None } else { self.project.dir(self.paths.sealed())? }) else { return Ok(()) };
        for _ in 0..hidden {
            if let Some(&first) = self.sealed.first() {
                folder.unlink(sealed_name(first))?;
                Arc::make_mut(&mut self.sealed).remove(0);
            }
        }
        Ok(folder.sync()?)
    }
}

/// What the new newest segment takes from the old one.
enum Kept {
    /// Nothing to keep, and nothing worth sealing.
    Nothing,
    /// Its last lines, as they lie.
    Lines { lines: Vec<u8> },
    /// It is sealed under its first seq.
    Sealed { first: Seq },
}
