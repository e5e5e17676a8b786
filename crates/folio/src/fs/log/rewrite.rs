//! The one primitive behind adoption, rotation, compaction and new pieces: **a new header**.
//!
//! If what is kept of the newest segment is small, one rename replaces it (header, table, kept lines as they lie).
//! Else it is sealed, and an empty one follows. The rename of the new file is the commit point; everything before it
//! is prepared and synced under temporary names, so a crash leaves the old log or the new one.

use std::sync::Arc;

use crate::cursor::Seq;
use crate::error::{Error, Result};
use crate::fs::line::{self, Header};
use crate::fs::log::disk::{Disk, NewPiece, Newest};
use crate::fs::log::keys::{self, Keys};
use crate::fs::log::paths::sealed_name;
use crate::fs::segment::{self, Kind};
use crate::fs::store::Store;
use crate::fs::vfs::{Access, Dir, File, VfsError};
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
        let header = self.next_header(store, self.horizon, self.newest.as_ref().map_or(self.head, |newest| newest.base))?;
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

    /// Copies what follows the last whole unit to quarantine. The adopted file itself stays untouched.
    fn quarantine_tail(&mut self, store: &Store) -> Result<()> {
        let Some(newest) = &self.newest else { return Ok(()) };
        if newest.end < newest.len {
            let from = store.shown(&self.project, &self.paths.newest());
            store.quarantine.keep_range(
                &from,
                "it follows the last whole append of the log",
                &newest.file,
                newest.end..newest.len,
            )?;
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
        // Damaged lines before the first kept one may hold more of the log than they show: they are kept too.
        let from = segment::cut_before(&newest.file, newest.kind, newest.start, newest.end, base + 1)?;
        if newest.end - from > KEPT_LIMIT {
            return Ok(sealed);
        }
        let wanted = usize::try_from(newest.end - from).unwrap_or_default();
        let mut lines = vec![0; wanted];
        let got = newest.file.read_at(&mut lines, from)?;
        lines.truncate(got);
        if lines.last().is_some_and(|&last| last != b'\n') {
            lines.push(b'\n');
        }
        Ok(Kept::Lines { lines })
    }

    /// Writes the new newest segment under a temporary name, then puts it (and the sealed one) under the real name.
    fn put(&mut self, store: &Store, header: &mut Header, kept: Kept) -> Result<Newest> {
        let (folder, grown) = self.project.make_dirs(self.paths.folder())?;
        for parent in grown {
            parent.sync()?;
        }
        let sealing = match kept {
            Kept::Sealed { first } => Some((first, self.prepare_sealed(&folder)?)),
            _ => None,
        };
        let lines = if let Kept::Lines { lines } = &kept { lines.as_slice() } else { &[] };
        let temporary = store.temp()?;
        let (start, end) = self.write_new(temporary.file(), header, lines)?;
        let name = self.paths.newest_name();
        if let Some((first, sealed_folder)) = &sealing {
            folder.rename(&name, sealed_folder, sealed_name(*first))?;
        }
        if let Err(error) = temporary.keep_as(&folder, &name) {
            if let Some((first, sealed_folder)) = &sealing {
                sealed_folder.rename(sealed_name(*first), &folder, &name).map_err(|e| self.unknown(store, &e))?;
            }
            return Err(error.into());
        }
        let synced = match &sealing {
            Some((first, sealed_folder)) => {
                Arc::make_mut(&mut self.sealed).push(*first);
                sealed_folder.sync().and_then(|()| folder.sync())
            }
            None => folder.sync(),
        };
        synced.map_err(|e| self.unknown(store, &e))?;
        let Some(file) = folder.open(&name, Access::Append)?.map(Arc::new) else {
            return Err(Error::Retry { what: format!("{} was removed while it was written", self.file_name()) });
        };
        let meta = file.meta()?;
        Ok(Newest {
            writer: Some(file.clone()),
            file,
            kind: Kind::Ours,
            start,
            end,
            len: end,
            ended: true,
            base: header.base,
            inode: meta.inode,
        })
    }

    /// Cuts and syncs the newest segment, so that it can be sealed, and makes the folder for it.
    fn prepare_sealed(&mut self, folder: &Dir) -> Result<Dir> {
        let name = self.paths.newest_name();
        if let Some(newest) = &mut self.newest
            && newest.kind == Kind::Ours
        {
            let Some(file) = folder.open(&name, Access::Append)? else {
                return Err(Error::Retry { what: format!("the file {name} went away while it was sealed") });
            };
            if newest.end < newest.len {
                file.truncate(newest.end)?;
                newest.len = newest.end;
            }
            if !newest.ended {
                file.append_all(b"\n")?;
                newest.end += 1;
                newest.len = newest.end;
                newest.ended = true;
            }
            file.sync_all()?;
        }
        let (sealed_folder, grown) = self.project.make_dirs(self.paths.sealed())?;
        for parent in grown {
            parent.sync()?;
        }
        Ok(sealed_folder)
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
        if hidden == 0 {
            return Ok(());
        }
        let gone: Vec<Seq> = Arc::make_mut(&mut self.sealed).drain(..hidden).collect();
        if let Some(folder) = self.project.dir(self.paths.sealed())? {
            for first in gone {
                folder.unlink(sealed_name(first))?;
            }
            folder.sync()?;
        }
        Ok(())
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
