//! A log as it lies on disk: what its first and last lines say, read without writing anything.

use std::cell::OnceCell;
use std::sync::Arc;

use crate::cursor::{Epoch, Seq};
use crate::error::{Error, Result};
use crate::fs::line::Header;
use crate::fs::log::keys::Keys;
use crate::fs::log::marker;
use crate::fs::log::paths::{LogPaths, parse_sealed, sealed_name};
use crate::fs::log::view::{NewestView, View};
use crate::fs::segment::{Before, First, Kind, Opening, Stretch};
use crate::fs::store::Store;
use crate::fs::txn::Id;
use crate::fs::vfs::{Access, Dir, File, Spot, VfsResult};
use crate::lineage::{Bounds, Lineage};
use crate::name::LogName;
use crate::request::KeyTable;

/// Why the next write must begin a new piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NewPiece {
    /// There is no header yet: a new log, or one that another tool wrote.
    First,
    /// Entries that somebody saw may be missing: the old piece counts as ended at the head.
    Broken,
}

/// The newest segment, open for reading.
#[derive(Debug)]
pub(crate) struct Newest {
    pub(crate) file: Arc<File>,
    /// Opened by the first write.
    pub(crate) writer: Option<Arc<File>>,
    pub(crate) kind: Kind,
    /// Offset of the first line after the header.
    pub(crate) start: u64,
    /// Offset where the log ends.
    pub(crate) end: u64,
    /// Length of the file; what lies between `end` and `len` is no part of the log.
    pub(crate) len: u64,
    /// True when that lies in quarantine.
    pub(crate) set_aside: bool,
    /// False when the last line lacks its newline.
    pub(crate) ended: bool,
    /// The seq before its first entry that is not compacted.
    pub(crate) base: Seq,
    /// What is known of its first line.
    pub(crate) before: Before,
    pub(crate) id: Id,
    /// Where the room ends that is reserved for it.
    pub(crate) reserved: u64,
}

/// Room is reserved for as much again as there is, within these bounds in bytes: so seldom, and not much in vain.
const LEAST_ROOM: u64 = 4 << 10;
const MOST_ROOM: u64 = 1 << 20;

impl Newest {
    /// Makes sure that there is room for `added` bytes more: a full disk shows here.
    pub(crate) fn reserve(&mut self, writer: &File, added: u64) -> Result<()> {
        if self.end + added > self.reserved {
            let ahead = added.max(self.end.clamp(LEAST_ROOM, MOST_ROOM));
            match writer.reserve(self.end..self.end + ahead) {
                Err(error) if error.disk_full() && ahead > added => writer.reserve(self.end..self.end + added)?,
                other => other?,
            }
            self.reserved = self.end + ahead;
        }
        Ok(())
    }

    /// Its lines.
    pub(crate) fn stretch(&self) -> Stretch<'_> {
        Stretch { file: &self.file, kind: self.kind, range: (self.start, self.end), before: self.before }
    }
}

/// A log that is there, as whoever runs its writes holds it.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) project: Dir,
    pub(crate) paths: Arc<LogPaths>,
    /// Of the newest segment in the root, once it was needed.
    place: OnceCell<String>,
    pub(crate) newest: Option<Newest>,
    /// First seqs of the sealed segments, rising.
    pub(crate) sealed: Arc<Vec<Seq>>,
    pub(crate) lineage: Arc<Lineage>,
    pub(crate) horizon: Seq,
    pub(crate) head: Seq,
    /// Time of the newest entry.
    pub(crate) ts: u64,
    pub(crate) closed: bool,
    /// The log that this one was forked from.
    pub(crate) fork_of: Option<LogName>,
    pub(crate) keys: Keys,
    pub(crate) new_piece: Option<NewPiece>,
    /// Why writes are refused until doctor was here.
    pub(crate) trouble: Option<String>,
}

/// What was found of a log.
#[derive(Debug)]
pub(crate) enum Found {
    There(Box<Disk>),
    Absent,
    /// Deleted, while forks of it live.
    Gone,
}

impl Disk {
    /// Reads the log at `paths`. `life` is the root's: a log whose newest epoch is below it goes on in a new piece.
    pub(crate) fn open(project: &Dir, paths: &Arc<LogPaths>, life: Epoch) -> Result<Found> {
        let sealed = sealed_firsts(project, paths)?;
        let file = match project.open(paths.newest(), Access::Read) {
            Err(error) if error.missing() => None,
            Err(error) if error.foreign() => {
                let what = format!("the log at {}", project.path().join(paths.newest()).display());
                return Err(Error::Damaged { what, why: error.why(), etag: None });
            }
            other => other?,
        };
        let mut disk = Self { sealed: Arc::new(sealed), keys: Keys::Unread, new_piece: None, ..Self::empty(project, paths) };
        match file {
            Some(file) => {
                disk.read_newest(file)?;
            }
            None if disk.sealed.is_empty() => return disk.absent(),
            None => disk.without_newest()?,
        }
        if disk.lineage.ended().last().is_some_and(|piece| piece.last > disk.head) {
            // What is lost reaches into an earlier piece.
            disk.lineage = Arc::new(disk.lineage.cut(disk.head));
            disk.new_piece = Some(NewPiece::Broken);
        }
        if disk.lineage.epoch() > 0 && disk.lineage.epoch() < life {
            disk.new_piece = Some(NewPiece::Broken);
        }
        Ok(Found::There(Box::new(disk)))
    }

    /// A log that was never written to.
    pub(crate) fn empty(project: &Dir, paths: &Arc<LogPaths>) -> Self {
        Self {
            project: project.clone(),
            paths: paths.clone(),
            place: OnceCell::new(),
            newest: None,
            sealed: Arc::default(),
            lineage: Arc::new(Lineage::adopted()),
            horizon: 0,
            head: 0,
            ts: 0,
            closed: false,
            fork_of: None,
            keys: Keys::Table(KeyTable::default()),
            new_piece: Some(NewPiece::First),
            trouble: None,
        }
    }

    /// Where the newest segment lies in the root.
    pub(crate) fn place(&self, store: &Store) -> String {
        self.place.get_or_init(|| store.shown(&self.project, &self.paths.newest())).clone()
    }

    fn absent(&self) -> Result<Found> {
        Ok(if marker::any_fork_lives(&self.project, &self.paths)? { Found::Gone } else { Found::Absent })
    }

    fn read_newest(&mut self, file: File) -> Result<()> {
        let opening = Opening::read(&file).map_err(|e| self.named(e))?;
        let id = file.identity()?;
        match opening.first.clone() {
            First::Header(header) => self.take_header(id, *header),
            First::Adopted => self.take_adopted(&file, &opening)?,
            First::Bad => self.take_bad(&file, &opening)?,
        }
        let (base, first) = self.base_of_newest(&file, &opening)?;
        // Sealed segments beyond it are no part of the log: an older file was put in the place of the newest.
        if self.sealed.last().is_some_and(|&first| first > base) {
            Arc::make_mut(&mut self.sealed).retain(|&first| first <= base);
        }
        let lines = opening.newest(&file);
        let (before, tail) = (lines.before, lines.tail()?);
        // Where another tool's seqs do not rise, the last is not the highest.
        self.head = base.max(first.unwrap_or(0));
        if let Some(last) = tail.last {
            self.head = self.head.max(last.seq);
            self.ts = self.ts.max(last.ts);
            self.closed |= last.closed;
        }
        self.newest = Some(Newest {
            file: Arc::new(file),
            writer: None,
            kind: opening.kind(),
            start: opening.start,
            end: tail.end,
            len: opening.len,
            set_aside: false,
            ended: tail.ended,
            base,
            before,
            id,
            reserved: 0,
        });
        if tail.end < opening.len && opening.kind() == Kind::Ours {
            self.new_piece = Some(NewPiece::Broken);
        }
        self.horizon = self.horizon.min(self.head);
        Ok(())
    }

    fn take_header(&mut self, id: (u64, u64), header: Header) {
        self.horizon = header.horizon;
        self.closed = header.closed;
        self.ts = header.ts;
        if header.id != id {
            self.new_piece = Some(NewPiece::Broken);
        }
        self.fork_of = header.fork_of;
        self.lineage = Arc::new(header.lineage);
    }

    fn take_adopted(&mut self, file: &File, opening: &Opening) -> Result<()> {
        self.new_piece = Some(NewPiece::First);
        if self.sealed.is_empty() {
            let first = opening.newest(file).first_entry()?;
            self.horizon = first.map_or(0, |first| first - 1);
            return Ok(());
        }
        // Another tool's file where ours was: what the sealed segments say goes on.
        self.new_piece = Some(NewPiece::Broken);
        self.take_last_sealed()
    }

    fn take_bad(&mut self, file: &File, opening: &Opening) -> Result<()> {
        let path = file.path().display();
        self.trouble = Some(format!("the first line of {path} is neither a good header nor an entry of another tool"));
        if self.sealed.is_empty() {
            let first = opening.newest(file).first_entry()?;
            self.horizon = first.map_or(0, |first| first - 1);
            return Ok(());
        }
        self.take_last_sealed()
    }

    /// The seq before the newest segment's first entry, and that entry's where it had to be looked for.
    fn base_of_newest(&self, file: &File, opening: &Opening) -> Result<(Seq, Option<Seq>)> {
        if let First::Header(header) = &opening.first {
            return Ok((header.floor(), None));
        }
        let first = opening.newest(file).first_entry()?;
        // What the sealed segments end with, if there are any.
        let before = self.head.max(self.horizon);
        Ok((first.map_or(before, |first| first - 1).max(before), first))
    }

    /// The newest segment is gone: the last sealed one tells how far the log reached.
    fn without_newest(&mut self) -> Result<()> {
        self.new_piece = Some(NewPiece::Broken);
        self.take_last_sealed()
    }

    /// Takes what the last sealed segment tells of the log. A kill just after it was sealed may have left no newer one.
    fn take_last_sealed(&mut self) -> Result<()> {
        let (Some(&oldest), Some(&first)) = (self.sealed.first(), self.sealed.last()) else { return Ok(()) };
        (self.horizon, self.head) = (oldest - 1, first - 1);
        let Some(file) = self.open_sealed(first)? else { return Ok(()) };
        let opening = Opening::read(&file).map_err(|e| self.named(e))?;
        if let First::Header(header) = &opening.first {
            self.lineage = Arc::new(header.lineage.clone());
            self.fork_of.clone_from(&header.fork_of);
            self.horizon = self.horizon.max(header.horizon);
            self.closed = header.closed;
            self.ts = header.ts;
        }
        let tail = opening.sealed(&file, first).tail()?;
        if let Some(last) = tail.last {
            self.head = self.head.max(last.seq);
            self.ts = self.ts.max(last.ts);
            self.closed |= last.closed;
        }
        self.horizon = self.horizon.min(self.head);
        Ok(())
    }

    pub(crate) fn open_sealed(&self, first: Seq) -> Result<Option<File>> {
        let path = format!("{}/{}", self.paths.sealed(), sealed_name(first));
        match self.project.open(path, Access::Read) {
            Err(error) if error.missing() => Ok(None),
            file => Ok(file?),
        }
    }

    fn named(&self, error: Error) -> Error {
        match error {
            Error::NewerFormat { why, .. } => Error::NewerFormat { what: format!("the log at {}", self.file_name()), why },
            other => other,
        }
    }

    /// The whole path of the newest segment, for people.
    pub(crate) fn file_name(&self) -> String {
        self.project.path().join(self.paths.newest()).display().to_string()
    }

    /// True when the name still leads to the file that is held, at the length that is known. `place` is where it lies
    /// below the root, so that it shows too when the folder of the project was replaced.
    pub(crate) fn is_current(&self, root: &Dir, place: &str) -> Result<bool> {
        self.is_at(root.spot(place))
    }

    /// As [`Disk::is_current`], where this was found at the name.
    pub(crate) fn is_at(&self, there: VfsResult<Option<Spot>>) -> Result<bool> {
        // Nothing is held that could be compared: look again.
        let Some(newest) = &self.newest else { return Ok(false) };
        let is_known = |there: Spot| newest.id == there.id && newest.len == there.size;
        match there {
            Err(error) if error.missing() => Ok(false),
            there => Ok(there?.is_some_and(is_known)),
        }
    }

    /// True when `later`, the same log looked at again, only shows what the other tool that writes it added.
    pub(crate) fn grew_into(&self, later: &Self) -> bool {
        let adopted = |disk: &Self| disk.newest.as_ref().filter(|newest| newest.kind == Kind::Adopted).map(|newest| newest.id);
        adopted(self).is_some() && adopted(self) == adopted(later) && later.head >= self.head && later.horizon == self.horizon
    }

    /// The log as readers may see it now.
    pub(crate) fn view(&self) -> View {
        View {
            project: self.project.clone(),
            paths: self.paths.clone(),
            sealed: self.sealed.clone(),
            newest: self.newest.as_ref().map(|newest| NewestView {
                file: newest.file.clone(),
                kind: newest.kind,
                start: newest.start,
                end: newest.end,
                len: newest.len,
                base: newest.base,
                before: newest.before,
                id: newest.id,
            }),
            lineage: self.lineage.clone(),
            bounds: Bounds { horizon: self.horizon, head: self.head, ended: self.new_piece == Some(NewPiece::Broken) },
            closed: self.closed,
            ts: self.ts,
        }
    }

    /// The seq before the first entry of the sealed segment after `at`, or of the newest.
    pub(crate) fn bound_of_sealed(&self, at: usize) -> Seq {
        let newest = self.newest.as_ref().map_or(self.head, |newest| newest.base);
        self.sealed.get(at + 1).map_or(newest, |next| next - 1)
    }
}

/// First seqs of the sealed segments, rising.
pub(crate) fn sealed_firsts(project: &Dir, paths: &LogPaths) -> Result<Vec<Seq>> {
    let Some(folder) = project.dir(paths.sealed())? else { return Ok(Vec::new()) };
    let mut firsts = Vec::new();
    for listed in folder.list()? {
        firsts.extend(listed?.name.to_str().and_then(parse_sealed));
    }
    firsts.sort_unstable();
    Ok(firsts)
}
