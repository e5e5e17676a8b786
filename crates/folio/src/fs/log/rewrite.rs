//! The one primitive behind adoption, rotation, compaction and new pieces: **a new header**.
//!
//! If what is kept of the newest segment is small, one rename replaces it (header, table, kept lines as they lie).
//! Else it is sealed, and one without entries follows. The new file is written and synced under a temporary name; its
//! rename, and that of the sealed one, are one commit, so a crash leaves the old log or the new one.

use std::sync::Arc;

use crate::cursor::Seq;
use crate::error::{Error, Result};
use crate::fs::line::{self, Header};
use crate::fs::log::disk::{Disk, NewPiece, Newest, sealed_firsts};
use crate::fs::log::keys::{self, Keys};
use crate::fs::log::paths::{LogPaths, sealed_name};
use crate::fs::segment::{Before, Kind};
use crate::fs::store::Store;
use crate::fs::txn::{Body, Effect, Means, Op, Place, Step, Txn};
use crate::fs::vfs::{Dir, File};
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
        if self.lost_keys()? {
            self.keys = Keys::Table(KeyTable::default());
        }
        let mut lines = Vec::new();
        if let Some(newest) = &mut self.newest {
            newest.stretch().copy_good(newest.base, &mut lines)?;
            newest.len = newest.end;
        }
        // Where no entry is left, the table of keys may have told how far the log had reached.
        let base = self.newest.as_ref().filter(|_| !lines.is_empty()).map_or(self.head, |newest| newest.base);
        let header = self.next_header(store, self.horizon, base)?;
        let planned = self.plan_segment(store, header, Kept::Lines { lines, base }, &[])?;
        self.commit(store, planned)
    }

    /// True when the next write needs a new header first.
    pub(crate) fn needs_header(&self) -> bool {
        self.new_piece.is_some() || self.newest.is_none()
    }

    /// Writes a new header. Nothing has changed on an error, unless it is [`Error::OutcomeUnknown`].
    pub(crate) fn new_header(&mut self, store: &Store, change: Change) -> Result<()> {
        let planned = self.plan_header(store, change, Vec::new())?;
        self.commit(store, planned)
    }

    /// Makes a new header ready, with `lines` of new units behind what is kept.
    pub(crate) fn plan_header(&mut self, store: &Store, change: Change, lines: Vec<u8>) -> Result<Planned> {
        self.refuse_in_trouble()?;
        self.read_keys()?;
        let horizon = change.horizon.unwrap_or(self.horizon).max(self.horizon).min(self.head);
        self.quarantine_tail(store)?;
        self.quarantine_table(store)?;
        let kept = self.kept(horizon, change.seal)?;
        let base = match &kept {
            Kept::Lines { base, .. } => *base,
            Kept::Sealed { .. } | Kept::Nothing => self.head,
        };
        let header = self.next_header(store, horizon, base)?;
        self.plan_segment(store, header, kept, &lines)
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
            fork_of: self.fork_of.clone(),
            ts: store.now_ms().max(self.ts),
        })
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
        let from = self.place(store);
        let Some(newest) = &mut self.newest else { return Ok(()) };
        let start = if newest.kind == Kind::Adopted && newest.base == self.head { 0 } else { newest.end };
        if start < newest.len && !newest.set_aside {
            store.ground.quarantine.keep_range(
                &from,
                "it follows the last whole append of the log",
                &newest.file,
                start..newest.len,
            )?;
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
        if horizon >= self.head {
            return Ok(Kept::Nothing);
        }
        let stretch = newest.stretch();
        // Damaged lines before the first kept one may hold more of the log than they show: they are kept too.
        let (from, before) = if horizon <= newest.base {
            (keys::end_of_table(&stretch)?, stretch.before)
        } else {
            stretch.cut_before(horizon + 1)?
        };
        if newest.end - from > KEPT_LIMIT {
            return Ok(sealed);
        }
        let (mut lines, wanted) = (Vec::new(), usize::try_from(newest.end - from).unwrap_or_default());
        if newest.file.read_onto(&mut lines, wanted, from)? < wanted {
            return Err(Error::Retry { what: format!("{} was cut while it was read", self.file_name()) });
        }
        if lines.last().is_some_and(|&last| last != b'\n') {
            lines.push(b'\n');
        }
        // What lies there is judged as it was.
        let base = if let Before::Seq(before) = before { before } else { horizon };
        Ok(Kept::Lines { lines, base })
    }

    /// Copies a damaged table to quarantine. One that is no part of the log is there already.
    fn quarantine_table(&mut self, store: &Store) -> Result<()> {
        if let (Some(newest), Keys::Damaged { range: Some((start, end)) }) = (&self.newest, &self.keys)
            && *start < newest.end
        {
            let from = self.place(store);
            let why = "it was the table of idempotency keys, and does not verify";
            store.ground.quarantine.keep_range(&from, why, &newest.file, *start..*end)?;
            self.keys = Keys::Damaged { range: None };
        }
        Ok(())
    }

    /// Makes ready that a new segment comes in the place of the newest, with what is kept of that and with `lines`.
    fn plan_segment(&mut self, store: &Store, mut header: Header, kept: Kept, lines: &[u8]) -> Result<Planned> {
        let path = self.place(store);
        store.folder(&self.project, self.paths.folder())?;
        let mut steps = Vec::new();
        let (kept, sealed) = match kept {
            Kept::Sealed { first } => (Vec::new(), Some(first)),
            Kept::Lines { lines, .. } => (lines, None),
            Kept::Nothing => (Vec::new(), None),
        };
        let temporary = store.temp()?;
        let (start, end) = self.write_new(temporary.file(), &mut header, &kept, lines)?;
        store.settle_temp(&temporary)?;
        self.set_aside_up_to(store, header.floor())?;
        let old = self.newest.as_ref().map(|newest| newest.id);
        if let (Some(first), Some(id)) = (sealed, old) {
            self.end_line(&path, &mut steps)?;
            let to = store.shown(&self.project, &format!("{}/{}", self.paths.sealed(), sealed_name(first)));
            steps.push(Step::rename(Place::Path(path.clone()), Place::Path(to), id));
        }
        let replaces = if sealed.is_some() { None } else { old };
        steps.push(Step::install(path.clone(), temporary, replaces)?);
        if sealed.is_some() {
            self.cut_sealed(path, &mut steps)?;
        }
        Ok(Planned { steps, after: After::New(Box::new(New { header, sealed, start, end })) })
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
            store.ground.quarantine.take(&from, "the log had no entries from there on any more", &folder, name.as_ref())?;
        }
        Ok(folder.sync()?)
    }

    /// A segment of ours ends with a newline when it is sealed.
    fn end_line(&mut self, path: &str, steps: &mut Vec<Step>) -> Result<()> {
        if !self.newest.as_ref().is_some_and(|newest| newest.kind == Kind::Ours && !newest.ended && newest.end == newest.len) {
            return Ok(());
        }
        self.open_writer()?;
        let (head, epoch) = (self.head, self.lineage.epoch());
        if let Some(newest) = &mut self.newest
            && let Some(writer) = newest.writer.clone()
        {
            newest.reserve(&writer, 1)?;
            let body = Body::Inline(b"\n".to_vec());
            let op =
                Op::Append { path: path.into(), id: newest.id, offset: newest.end, epoch, first: head + 1, last: head, body };
            steps.push(Step { op, means: Means::Writer(writer, None) });
        }
        Ok(())
    }

    /// Takes from a segment of ours that is sealed now what is no part of the log. Not before: until the new header is
    /// there, it is what tells that a new piece must begin.
    fn cut_sealed(&mut self, path: String, steps: &mut Vec<Step>) -> Result<()> {
        if !self.newest.as_ref().is_some_and(|newest| newest.kind == Kind::Ours && newest.end < newest.len) {
            return Ok(());
        }
        self.open_writer()?;
        if let Some(newest) = &self.newest
            && let Some(writer) = &newest.writer
        {
            let op = Op::Cut { path, id: newest.id, len: newest.end };
            steps.push(Step { op, means: Means::Writer(writer.clone(), None) });
        }
        Ok(())
    }

    /// Takes note of a segment that has come.
    pub(crate) fn take_new(&mut self, new: New, effects: Vec<Effect>) -> Result<()> {
        let New { header, sealed, start, end } = new;
        let installed = effects.into_iter().find_map(|effect| match effect {
            Effect::Installed(file) => Some(file),
            _ => None,
        });
        let Some(file) = installed else { return Err(Error::Retry { what: format!("{} was not made", self.file_name()) }) };
        if let Some(first) = sealed {
            Arc::make_mut(&mut self.sealed).push(first);
            self.free_room();
        }
        self.newest = Some(Newest {
            writer: Some(file.clone()),
            file,
            kind: Kind::Ours,
            start,
            end,
            len: end,
            set_aside: false,
            ended: true,
            base: header.floor(),
            before: Before::Seq(header.base),
            id: header.id,
            reserved: 0,
        });
        self.horizon = header.horizon;
        self.lineage = Arc::new(header.lineage);
        self.new_piece = None;
        Ok(())
    }

    /// What was reserved for a segment and is not needed any more goes back to the disk.
    fn free_room(&self) {
        if let Some(newest) = &self.newest
            && let Some(writer) = &newest.writer
            && newest.reserved > newest.end
        {
            // Its length stays. Where that fails, some room is taken in vain.
            let _ = writer.len().and_then(|len| writer.truncate(len));
        }
    }

    fn write_new(&mut self, file: &File, header: &mut Header, kept: &[u8], lines: &[u8]) -> Result<(u64, u64)> {
        header.id = file.identity()?;
        let mut bytes = Vec::with_capacity(kept.len() + lines.len() + 512);
        header.push(&mut bytes);
        let start = bytes.len() as u64;
        let table = match &self.keys {
            Keys::Table(table) => keys::encode(table),
            Keys::Damaged { .. } => Some(keys::DAMAGED.to_owned()),
            Keys::Unread => None,
        };
        if let Some(table) = table {
            line::push_state(&mut bytes, header.base, header.ts, &table);
        }
        bytes.extend_from_slice(kept);
        bytes.extend_from_slice(lines);
        file.append_all(&bytes)?;
        Ok((start, bytes.len() as u64))
    }

    /// Removes the sealed segments that lie wholly at or below the horizon. The header that hides them is durable, so
    /// a failure only leaves them for the next time. Nothing where the newest segment has no good header: then they are
    /// all that tells of the log's epochs.
    pub(crate) fn unlink_hidden(&mut self, store: &Store) -> Result<()> {
        if self.trouble.is_some() || self.needs_header() {
            return Ok(());
        }
        let hidden = (0..self.sealed.len()).take_while(|&at| self.bound_of_sealed(at) <= self.horizon).count();
        if hidden == 0 {
            return Ok(());
        }
        let firsts: Vec<Seq> = self.sealed.iter().take(hidden).copied().collect();
        store.commit(Txn { steps: remove_sealed(store, &self.project, &self.paths, firsts)? })?;
        Arc::make_mut(&mut self.sealed).drain(..hidden);
        Ok(())
    }
}

/// Makes ready that sealed segments are removed.
pub(crate) fn remove_sealed(
    store: &Store,
    project: &Dir,
    paths: &LogPaths,
    firsts: impl IntoIterator<Item = Seq>,
) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for first in firsts {
        let rel = format!("{}/{}", paths.sealed(), sealed_name(first));
        if let Some(meta) = project.stat(&rel)? {
            steps.push(Step::remove(store.shown(project, &rel), meta.id()));
        }
    }
    Ok(steps)
}

/// A write that is made ready: its steps, and what the log is once they are made.
pub(crate) struct Planned {
    pub(crate) steps: Vec<Step>,
    pub(crate) after: After,
}

/// What a log is after a write.
pub(crate) enum After {
    /// Its newest segment has grown by so many bytes.
    Grown { added: u64 },
    /// It has a new newest segment.
    New(Box<New>),
}

/// A new newest segment.
pub(crate) struct New {
    header: Header,
    /// The first seq of the segment that is sealed for it.
    sealed: Option<Seq>,
    start: u64,
    end: u64,
}

/// What the new newest segment takes from the old one.
enum Kept {
    /// Nothing to keep, and nothing worth sealing.
    Nothing,
    /// Its last lines, as they lie, and the seq that stands before them.
    Lines { lines: Vec<u8>, base: Seq },
    /// It is sealed under its first seq.
    Sealed { first: Seq },
}
