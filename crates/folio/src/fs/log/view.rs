//! A log as readers see it: one consistent moment, shared and cheap to clone.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::cursor::{Position, Seq};
use crate::error::Result;
use crate::follow::{Budget, Item, Snapshot};
use crate::fs::log::paths::{LogPaths, sealed_name};
use crate::fs::log::proofs::{Proof, SETTLED};
use crate::fs::segment::{Before, Kind, Opening, Scanned, Stored, Stretch};
use crate::fs::txn::Id;
use crate::fs::vfs::{Access, Dir, File, Meta};
use crate::lineage::{Bounds, Lineage};
use crate::lines::{FileLines, Lines};
use crate::run::{Form, Runs};

/// Entries that a reader from the back is given a look at first.
const FEW: usize = 64;

/// The newest segment of a view.
#[derive(Clone, Debug)]
pub(crate) struct NewestView {
    /// Held open, so it can be read whatever happens to its name.
    pub(crate) file: Arc<File>,
    pub(crate) kind: Kind,
    /// Offset of the first line after the header.
    pub(crate) start: u64,
    /// Offset where the log ends.
    pub(crate) end: u64,
    /// Length of the file when it was looked at.
    pub(crate) len: u64,
    /// The seq before its first entry.
    pub(crate) base: Seq,
    /// What is known of its first line.
    pub(crate) before: Before,
    pub(crate) id: Id,
}

impl NewestView {
    /// Its lines.
    pub(crate) fn stretch(&self) -> Stretch<'_> {
        Stretch { file: &self.file, kind: self.kind, range: (self.start, self.end), before: self.before }
    }
}

/// Where the entry behind `after` begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    pub(crate) segment: Segment,
    pub(crate) after: Seq,
    /// In the segment, in bytes.
    pub(crate) offset: u64,
}

/// A segment, as a reader found it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    /// Seq of its first entry.
    pub(crate) first: Seq,
    /// The file: another one may get its name.
    file: Id,
    /// If it is sealed, or was at rest. Nobody asks that of one that is written to: it would cost the writer.
    pub(crate) still: Option<Still>,
}

impl Segment {
    fn at_rest(first: Seq, meta: &Meta) -> Self {
        let still = Still { size: meta.size, changed_ns: meta.changed_ns };
        Self { first, file: meta.id(), still: Some(still) }
    }

    /// True for the same file, whatever was written to it.
    fn is_file(&self, other: Self) -> bool {
        (self.first, self.file) == (other.first, other.file)
    }
}

/// What shows that nobody has written to a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Still {
    size: u64,
    pub(crate) changed_ns: u64,
}

/// What an earlier read left for the next one.
#[derive(Clone, Copy, Default)]
pub(crate) struct Hints {
    pub(crate) mark: Option<Mark>,
    pub(crate) proof: Option<Proof>,
    /// When the read began, in unix milliseconds.
    pub(crate) now: u64,
}

/// What a walk comes by.
pub(crate) enum Met<'a> {
    Entry(&'a Stored<'a>),
    /// As [`Item::Hole`].
    Hole {
        first: Seq,
        last: Seq,
    },
}

impl Met<'_> {
    fn item<E>(&self, make: impl FnOnce(&Stored<'_>) -> E) -> Item<E> {
        match *self {
            Self::Entry(entry) => Item::Entry(make(entry)),
            Self::Hole { first, last } => Item::Hole { first, last },
        }
    }

    /// What a budget counts of it, in bytes.
    fn size(&self, form: Form) -> usize {
        if let Self::Entry(entry) = self { entry.size(form) } else { 0 }
    }
}

/// What was taken from a budget.
#[derive(Default)]
struct Spent {
    items: usize,
    bytes: usize,
}

impl Spent {
    /// Breaks with the item that reaches the budget; it takes so many bytes.
    fn on(&mut self, bytes: usize, budget: Budget) -> ControlFlow<()> {
        self.items += 1;
        self.bytes += bytes;
        let reached = self.items >= budget.entries || self.bytes >= budget.bytes;
        if reached { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// A log at one moment.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) project: Dir,
    pub(crate) paths: Arc<LogPaths>,
    /// First seqs of the sealed segments, rising.
    pub(crate) sealed: Arc<Vec<Seq>>,
    pub(crate) newest: Option<NewestView>,
    pub(crate) lineage: Arc<Lineage>,
    pub(crate) bounds: Bounds,
    pub(crate) closed: bool,
    /// When the newest entry came, in unix milliseconds.
    pub(crate) ts: u64,
}

impl View {
    pub(crate) fn head(&self) -> Position {
        self.lineage.position(self.bounds.head)
    }

    pub(crate) fn snapshot(&self, life: u64) -> Snapshot {
        Snapshot { life, lineage: self.lineage.clone(), bounds: self.bounds, closed: self.closed }
    }

    /// False when another program replaced or cut the newest segment since. `place` is where it lies below the root, so
    /// that it shows too when the folder of the project was replaced.
    pub(crate) fn is_current(&self, root: &Dir, place: &str) -> Result<bool> {
        let there = match root.spot(place) {
            Err(error) if error.missing() => None,
            there => there?,
        };
        Ok(match (&self.newest, there) {
            // Another tool may still be writing to its own log.
            (Some(newest), Some(there)) if newest.kind == Kind::Adopted => there.id == newest.id && there.size == newest.len,
            (Some(newest), Some(there)) => there.id == newest.id && there.size >= newest.end,
            (None, None) => true,
            _ => false,
        })
    }

    /// Bytes of all its files.
    pub(crate) fn bytes(&self) -> Result<u64> {
        let mut total = self.newest.as_ref().map_or(0, |newest| newest.end);
        if let Some(folder) = self.sealed_folder()? {
            for &first in self.sealed.iter() {
                total += folder.stat(sealed_name(first))?.map_or(0, |meta| meta.size);
            }
        }
        Ok(total)
    }

    fn sealed_folder(&self) -> Result<Option<Dir>> {
        if self.sealed.is_empty() { Ok(None) } else { Ok(self.project.dir(self.paths.sealed())?) }
    }

    /// Visits entries after `after` up to `last`, both judged by seq, and the holes between them, in order. `mark` may tell
    /// where the first one begins; where the visitor stops, the mark of the next one is told, if it is sure. At `now`, if
    /// that is given, it also tells whether the newest segment is at rest.
    pub(crate) fn walk(
        &self,
        (after, last): (Seq, Seq),
        mark: Option<Mark>,
        now: Option<u64>,
        visit: &mut dyn FnMut(Met<'_>) -> ControlFlow<()>,
    ) -> Result<Option<Mark>> {
        let mut seen = after;
        let (mut stopped, mut at_hole) = (false, false);
        let mut on_entry = |entry: &Stored<'_>| {
            let seq = entry.seq();
            if seq > seen + 1 && visit(Met::Hole { first: seen + 1, last: seq - 1 }).is_break() {
                (stopped, at_hole) = (true, true);
                return false;
            }
            seen = seq;
            stopped = visit(Met::Entry(entry)).is_break();
            !stopped
        };
        // In which segment it stopped, and where.
        let mut end = None;
        let known = |it: Segment| mark.filter(|mark| mark.segment.is_file(it)).map(|mark| mark.offset);
        let newest_base = self.newest.as_ref().map_or(self.bounds.head, |newest| newest.base);
        if after < newest_base
            && let Some(folder) = self.sealed_folder()?
        {
            // The last sealed segment that begins at or before the entry that is looked for.
            let begin = self.sealed.partition_point(|&first| first <= after + 1).saturating_sub(1);
            for (at, &first) in self.sealed.iter().enumerate().skip(begin) {
                let bound = self.sealed.get(at + 1).map_or(newest_base, |next| next - 1);
                if first > bound.min(last) {
                    continue;
                }
                // A missing file shows as a hole.
                let Some((file, meta)) = folder.open_with_meta(sealed_name(first), Access::Read)? else { continue };
                let opening = Opening::read(&file)?;
                let stretch = opening.sealed(&file, first);
                let wanted = (after.max(first - 1), bound.min(last));
                let segment = Segment::at_rest(first, &meta);
                if let Scanned::Stopped { next } = stretch.scan(wanted, known(segment), &mut on_entry)? {
                    end = Some((segment, next));
                    break;
                }
            }
        }
        if let Some(newest) = &self.newest
            && end.is_none()
            && last > newest.base
        {
            // Before it is read, so that what changes meanwhile shows later.
            let at_rest = now.map(|now| self.newest_at_rest(now)).transpose()?.flatten();
            let written = Segment { first: newest.base + 1, file: newest.id, still: None };
            let segment = at_rest.map_or(written, |(_, segment)| segment);
            let wanted = (after.max(newest.base), last);
            if let Scanned::Stopped { next } = newest.stretch().scan(wanted, known(segment), &mut on_entry)? {
                end = Some((segment, next));
            }
        }
        if !stopped && seen < last {
            let _ = visit(Met::Hole { first: seen + 1, last });
        }
        // Before a hole it stopped short of an entry, and another may lie behind that.
        let end = end.filter(|_| !at_hole);
        Ok(end.and_then(|(segment, next)| Some(Mark { segment, after: seen, offset: next? })))
    }

    /// What lies after `after` up to `last`, within a budget: at least one item if there is one.
    pub(crate) fn items(&self, after: Seq, last: Seq, budget: Budget) -> Result<Vec<Item>> {
        let (mut items, mut spent) = (Vec::new(), Spent::default());
        if after < last {
            self.walk((after, last), None, None, &mut |met| {
                let flow = spent.on(met.size(Form::Told), budget);
                items.push(met.item(|entry| entry.entry()));
                flow
            })?;
        }
        Ok(items)
    }

    /// As [`View::items`], as runs of lines; as they are stored, the budget counts all of their bytes. And what is of use to who
    /// goes on from there.
    pub(crate) fn lines(
        &self,
        (after, last): (Seq, Seq),
        budget: Budget,
        form: Form,
        hints: Hints,
    ) -> Result<(Vec<Item<Lines>>, Hints)> {
        if after >= last {
            return Ok(Default::default());
        }
        let mark = hints.mark.filter(|mark| mark.after == after);
        if let (Some(mark), Some(proof)) = (mark, hints.proof)
            && let Some((runs, next, left)) = self.proven(mark, proof, (last, budget), hints.now)?
        {
            let mut items: Vec<_> = runs.into_iter().map(Item::Entry).collect();
            let mut hints = Hints { mark: Some(next), proof: None, now: hints.now };
            if left.entries > 0 && left.bytes > 0 {
                let (more, after) = self.lines((next.after, last), left, form, hints)?;
                items.extend(more);
                hints = after;
            }
            return Ok((items, hints));
        }
        let now = (form == Form::Stored).then_some(hints.now);
        let (mut runs, mut spent) = (Runs::default(), Spent::default());
        // Bytes of usual lines, while nothing else was met.
        let mut usual = Some(0);
        let next = self.walk((after, last), mark, now, &mut |met| {
            let bytes = met.size(form);
            match met {
                Met::Entry(entry) => entry.write(&mut runs, form),
                Met::Hole { first, last } => runs.hole(first, last),
            }
            usual = usual.filter(|_| matches!(met, Met::Entry(Stored::Plain(_)))).map(|all| all + bytes as u64);
            spent.on(bytes, budget)
        })?;
        let proof = match (form, mark, next, usual) {
            (Form::Stored, Some(from), Some(to), Some(bytes)) => Proof::between(from, to, bytes, hints.now),
            _ => None,
        };
        Ok((runs.finish(), Hints { mark: next, proof, now: hints.now }))
    }

    /// What lies behind `mark`, as far as it is proven, with where it ends and what is left of the budget then; `None` where
    /// it has to be looked at.
    fn proven(
        &self,
        mark: Mark,
        proof: Proof,
        (last, budget): (Seq, Budget),
        now: u64,
    ) -> Result<Option<(Vec<Lines>, Mark, Budget)>> {
        let Some(file) = self.proven_file(mark, proof, now)? else { return Ok(None) };
        let (runs, next, left) = proof.read(&file, mark, last, budget)?;
        Ok((!runs.is_empty()).then_some((runs, next, left)))
    }

    /// What lies behind `mark`, as far as it is proven, and where it ends; `None` where it has to be looked at.
    pub(crate) fn in_place(&self, mark: Mark, proof: Proof, last: Seq, now: u64) -> Result<Option<(FileLines, Mark)>> {
        let Some(file) = self.proven_file(mark, proof, now)? else { return Ok(None) };
        let Some(next) = proof.reaches(&file, mark, last)? else { return Ok(None) };
        let Some(file) = file.duplicate() else { return Ok(None) };
        let (first, last, range) = (mark.after + 1, next.after, mark.offset..next.offset);
        Ok(Some((FileLines { first, last, file: Arc::new(file), range }, next)))
    }

    /// The file that a proof is of, if it is still what it was and `mark` stands in what is proven.
    fn proven_file(&self, mark: Mark, proof: Proof, now: u64) -> Result<Option<Arc<File>>> {
        if !proof.covers(&mark) || !self.project.is_local()? {
            return Ok(None);
        }
        if self.sealed.binary_search(&mark.segment.first).is_err() {
            let newest = self.newest_at_rest(now)?;
            return Ok(newest.filter(|(_, segment)| *segment == mark.segment).map(|(file, _)| file));
        }
        let Some(folder) = self.sealed_folder()? else { return Ok(None) };
        let Some((file, meta)) = folder.open_with_meta(sealed_name(mark.segment.first), Access::Read)? else { return Ok(None) };
        Ok((Segment::at_rest(mark.segment.first, &meta) == mark.segment).then(|| Arc::new(file)))
    }

    /// The newest segment as it is now, where nothing came for a while: before that, its times would prove nothing, and are not
    /// asked for.
    fn newest_at_rest(&self, now: u64) -> Result<Option<(Arc<File>, Segment)>> {
        let Some(newest) = self.newest.as_ref().filter(|newest| newest.kind != Kind::Adopted) else { return Ok(None) };
        if self.ts.saturating_add(SETTLED) > now {
            return Ok(None);
        }
        let meta = newest.file.meta()?;
        let is_known = meta.size == newest.len && meta.id() == newest.id;
        Ok(is_known.then(|| (Arc::clone(&newest.file), Segment::at_rest(newest.base + 1, &meta))))
    }

    /// The last items from `after` up to `last`, in rising order, within a budget counted from the back; `make` makes what
    /// is given of an entry.
    pub(crate) fn last_items<E>(
        &self,
        (after, last): (Seq, Seq),
        budget: Budget,
        make: impl Fn(&Stored<'_>) -> E + Copy,
    ) -> Result<Vec<Item<E>>> {
        // Large entries fill a page long before their number does, so what lies far back is not read without need.
        let mut count = FEW.min(budget.entries);
        loop {
            let begin = after.max(last.saturating_sub(count as u64));
            let (items, full) = self.last_of((begin, last), budget, make)?;
            // A hole is told whole, however far down it reaches.
            let cut_hole = matches!(items.as_slice(), [Item::Hole { .. }]);
            if full || begin == after || (count >= budget.entries && !cut_hole) {
                return Ok(items);
            }
            let more = count.saturating_mul(8);
            count = if cut_hole { more } else { more.min(budget.entries) };
        }
    }

    /// The last items that fit into the budget, and whether they fill its bytes.
    fn last_of<E>(
        &self,
        (after, last): (Seq, Seq),
        budget: Budget,
        make: impl Fn(&Stored<'_>) -> E,
    ) -> Result<(Vec<Item<E>>, bool)> {
        // Each with the bytes of its payload.
        let mut items = VecDeque::new();
        let mut bytes = 0;
        if after < last {
            self.walk((after, last), None, None, &mut |met| {
                let size = met.size(Form::Told);
                bytes += size;
                items.push_back((met.item(&make), size));
                // An item may go when those behind it fill the budget by themselves.
                while items.len() > budget.entries
                    || (items.len() > 1 && items.front().is_some_and(|(_, first)| bytes - first >= budget.bytes))
                {
                    bytes -= items.pop_front().map_or(0, |(_, size)| size);
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok((items.into_iter().map(|(item, _)| item).collect(), bytes >= budget.bytes))
    }
}
