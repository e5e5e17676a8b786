//! A log as readers see it: one consistent moment, shared and cheap to clone.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::cursor::{Position, Seq};
use crate::error::Result;
use crate::follow::{Budget, Item, Snapshot};
use crate::fs::log::paths::{LogPaths, sealed_name};
use crate::fs::segment::{self, Before, Kind, Opening};
use crate::fs::txn::Id;
use crate::fs::vfs::{Access, Dir, File};
use crate::lineage::{Bounds, Lineage};
use crate::log::Entry;

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
    pub(crate) id: Id,
}

impl NewestView {
    /// What is known of its first line.
    fn before(&self) -> Before {
        Before::of_newest(self.start, self.base)
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
        let there = match root.stat(place) {
            Err(error) if error.missing() => None,
            there => there?,
        };
        Ok(match (&self.newest, there) {
            // Another tool may still be writing to its own log.
            (Some(newest), Some(meta)) if newest.kind == Kind::Adopted => meta.id() == newest.id && meta.size == newest.len,
            (Some(newest), Some(meta)) => meta.id() == newest.id && meta.size >= newest.end,
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

    /// Visits entries after `after` up to `last`, both judged by seq, and the holes between them, in order.
    pub(crate) fn walk(&self, after: Seq, last: Seq, visit: &mut dyn FnMut(Item) -> ControlFlow<()>) -> Result<()> {
        let mut seen = after;
        let mut stopped = false;
        let mut on_entry = |entry: Entry| {
            if entry.seq > seen + 1 && visit(Item::Hole { first: seen + 1, last: entry.seq - 1 }).is_break() {
                stopped = true;
                return false;
            }
            seen = entry.seq;
            stopped = visit(Item::Entry(entry)).is_break();
            !stopped
        };
        let newest_base = self.newest.as_ref().map_or(self.bounds.head, |newest| newest.base);
        if after < newest_base
            && let Some(folder) = self.sealed_folder()?
        {
            // The last sealed segment that begins at or before the entry that is looked for.
            let begin = self.sealed.partition_point(|&first| first <= after + 1).saturating_sub(1);
            for (at, &first) in self.sealed.iter().enumerate().skip(begin) {
                let bound = self.sealed.get(at + 1).map_or(newest_base, |next| next - 1).min(last);
                if first > bound {
                    continue;
                }
                // A missing file shows as a hole.
                let Some(file) = folder.open(sealed_name(first), Access::Read)? else { continue };
                let opening = Opening::read(&file)?;
                let (range, before) = ((opening.start, opening.len), Before::Seq(first - 1));
                let wanted = (after.max(first - 1), bound);
                if !segment::scan(&file, opening.kind(), range, before, wanted, &mut on_entry)? {
                    return Ok(());
                }
            }
        }
        if let Some(newest) = &self.newest
            && last > newest.base
        {
            let (range, wanted) = ((newest.start, newest.end), (after.max(newest.base), last));
            if !segment::scan(&newest.file, newest.kind, range, newest.before(), wanted, &mut on_entry)? {
                return Ok(());
            }
        }
        if !stopped && seen < last {
            let _ = visit(Item::Hole { first: seen + 1, last });
        }
        Ok(())
    }

    /// What lies after `after` up to `last`, within a budget: at least one item if there is one.
    pub(crate) fn items(&self, after: Seq, last: Seq, budget: Budget) -> Result<Vec<Item>> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        if after < last {
            self.walk(after, last, &mut |item| {
                if let Item::Entry(entry) = &item {
                    bytes += entry.data.len();
                }
                items.push(item);
                if items.len() >= budget.entries || bytes >= budget.bytes {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
        }
        Ok(items)
    }

    /// The last items from `after` up to `last`, in rising order, within a budget counted from the back.
    pub(crate) fn last_items(&self, after: Seq, last: Seq, budget: Budget) -> Result<Vec<Item>> {
        // Large entries fill a page long before their number does, so what lies far back is not read without need.
        let mut count = FEW.min(budget.entries);
        loop {
            let begin = after.max(last.saturating_sub(count as u64));
            let (items, full) = self.last_of(begin, last, budget)?;
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
    fn last_of(&self, after: Seq, last: Seq, budget: Budget) -> Result<(Vec<Item>, bool)> {
        let mut items = VecDeque::new();
        let mut bytes = 0;
        let weight = |item: &Item| if let Item::Entry(entry) = item { entry.data.len() } else { 0 };
        if after < last {
            self.walk(after, last, &mut |item| {
                bytes += weight(&item);
                items.push_back(item);
                // An item may go when those behind it fill the budget by themselves.
                while items.len() > budget.entries
                    || (items.len() > 1 && items.front().is_some_and(|first| bytes - weight(first) >= budget.bytes))
                {
                    bytes -= items.pop_front().as_ref().map_or(0, weight);
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok((items.into(), bytes >= budget.bytes))
    }
}
