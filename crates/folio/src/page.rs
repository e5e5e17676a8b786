//! Reading a page of a log: one engine for every local driver.
//!
//! A page shows the log as of one moment. Like following, reading looks at the log before and after, and what the two
//! looks don't agree on is read again.

use crate::cursor::{Cursor, Position, Seq};
use crate::error::Result;
use crate::follow::{Budget, Item, Presence, Snapshot, Source};
use crate::limits::Limits;
use crate::lineage::{Gap, GapReason};
use crate::lines::FileLines;
use crate::log::{Order, Page, ReadOptions};
use crate::run::Run;

/// Reads a page; `None` where the log does not exist.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) for a bad limit; what the source answers.
pub(crate) async fn page<E: Run>(source: &dyn Source, options: &ReadOptions) -> Result<Option<Page<E>>> {
    Limits::check_page(options.limit)?;
    let mut presence = source.snapshot().await?;
    loop {
        let Presence::Live(log) = presence else { return Ok(None) };
        let plan = Plan::new(&log, options);
        let budget =
            Budget { entries: options.limit.min(usize::try_from(plan.width()).unwrap_or(usize::MAX)), bytes: options.max_bytes };
        let items = match options.order {
            _ if plan.width() == 0 => Vec::new(),
            Order::Asc => E::read_after(source, plan.floor, budget).await?,
            Order::Desc => E::read_before(source, plan.top + 1, budget).await?,
        };
        presence = source.snapshot().await?;
        let Presence::Live(fresh) = &presence else { continue };
        if !fresh.agrees(&log) {
            continue;
        }
        let moved = fresh.bounds.horizon > log.bounds.horizon;
        let page = match options.order {
            Order::Asc => plan.ascending(items, moved),
            Order::Desc => plan.descending(items, moved),
        };
        if let Some(page) = page {
            return Ok(Some(page));
        }
    }
}

/// As [`page`], of lines that stay in their file; `None` where they have to be read, or there are none.
pub(crate) async fn in_place(source: &dyn Source, since: Cursor, before: Option<Seq>) -> Result<Option<Page<FileLines>>> {
    let Presence::Live(log) = source.snapshot().await? else { return Ok(None) };
    let options = ReadOptions { since: Some(since), before, ..ReadOptions::default() };
    let plan = Plan::new(&log, &options);
    if plan.floor_gap.is_some() || plan.width() == 0 {
        return Ok(None);
    }
    let Some(lines) = source.find_after(plan.floor, plan.top).await? else { return Ok(None) };
    let Presence::Live(fresh) = source.snapshot().await? else { return Ok(None) };
    let is_next = lines.first == plan.floor + 1 && lines.last <= plan.top && fresh.bounds.horizon <= plan.floor;
    let position = log.lineage.position(lines.last);
    Ok((is_next && fresh.agrees(&log)).then(|| plan.page(vec![lines], None, Some(position), None)))
}

/// What a page may hold: the entries after `floor` up to and including `top`.
struct Plan<'a> {
    log: &'a Snapshot,
    options: &'a ReadOptions,
    floor: Seq,
    top: Seq,
    /// What `since` makes of the entries up to `floor`.
    floor_gap: Option<Gap>,
}

impl<'a> Plan<'a> {
    fn new(log: &'a Snapshot, options: &'a ReadOptions) -> Self {
        // Without `since` a reader asks for what there is, so nothing is missing below it.
        let resolved = options.since.map(|since| log.lineage.resolve(since, log.bounds));
        let floor = resolved.map_or(log.bounds.horizon, |resolved| resolved.after);
        let before = options.before.map_or(Seq::MAX, |before| before.saturating_sub(1));
        Self { log, options, floor, top: log.bounds.head.min(before), floor_gap: resolved.and_then(|resolved| resolved.gap) }
    }

    fn width(&self) -> u64 {
        self.top.saturating_sub(self.floor)
    }

    /// `None`: entries went by compaction while they were read.
    fn ascending<E: Run>(&self, items: Vec<Item<E>>, moved: bool) -> Option<Page<E>> {
        let mut entries = Vec::with_capacity(items.len());
        let mut gap = self.floor_gap;
        let mut place = self.floor;
        for item in fill(items, self.floor, self.top, Order::Asc, moved)? {
            match item {
                Item::Entry(run) => {
                    place = run.last();
                    entries.push(run);
                }
                Item::Hole { first, last } if entries.is_empty() && gap.is_none() => {
                    gap = Some(self.corrupt(first, last));
                    place = last;
                }
                Item::Hole { .. } => break,
            }
        }
        Some(self.page(entries, gap, Some(self.log.lineage.position(place)), None))
    }

    /// `None`: entries went by compaction while they were read.
    fn descending<E: Run>(&self, items: Vec<Item<E>>, moved: bool) -> Option<Page<E>> {
        let mut entries = Vec::with_capacity(items.len());
        let mut gap = None;
        let mut lowest = self.top.max(self.floor) + 1;
        for item in fill(items, self.floor, self.top, Order::Desc, moved)? {
            match item {
                Item::Entry(run) => {
                    lowest = run.first();
                    entries.push(run);
                }
                Item::Hole { first, last } if entries.is_empty() && gap.is_none() => {
                    gap = Some(self.corrupt(first, last));
                    lowest = first;
                }
                Item::Hole { .. } => break,
            }
        }
        let at_floor = lowest <= self.floor + 1;
        let mut next_before = (!at_floor).then_some(lowest);
        if at_floor && self.floor_gap.is_some() {
            // The hole below the floor comes after every entry in this order, so it may need a page of its own.
            if entries.is_empty() && gap.is_none() {
                gap = self.floor_gap;
            } else {
                next_before = Some(self.floor + 1);
            }
        }
        Some(self.page(entries, gap, None, next_before))
    }

    /// A hole is described the same way in both orders: from the position before it to the last seq in it.
    fn corrupt(&self, first: Seq, last: Seq) -> Gap {
        let place = first - 1;
        let asked = self.options.since.filter(|_| place == self.floor && self.floor_gap.is_none());
        Gap {
            reason: GapReason::Corrupt,
            requested: asked.unwrap_or_else(|| self.log.lineage.position(place).into()),
            lost: Some(last - place),
            resumes_after: self.log.lineage.position(last),
        }
    }

    fn page<E>(&self, entries: Vec<E>, gap: Option<Gap>, next: Option<Position>, next_before: Option<Seq>) -> Page<E> {
        Page {
            entries,
            gap,
            first: self.log.bounds.horizon + 1,
            head: self.log.head(),
            lineage: self.log.lineage.pieces(self.log.bounds.head),
            next,
            next_before,
        }
    }
}

/// Cuts `items` to the seqs after `floor` up to `top`, and makes holes of what is missing between them or at their
/// beginning. `None` where it may be missing because the horizon moved.
fn fill<E: Run>(items: Vec<Item<E>>, floor: Seq, top: Seq, order: Order, moved: bool) -> Option<Vec<Item<E>>> {
    let mut filled = Vec::with_capacity(items.len());
    // What is left to be told of: after `low`, up to and including `high`.
    let (mut low, mut high) = (floor, top);
    for item in items {
        let (first, last) = (item.first().max(low + 1), item.last().min(high));
        if first > last {
            continue;
        }
        if moved && matches!(item, Item::Hole { .. }) {
            return None;
        }
        let missing = match order {
            Order::Asc => (low + 1, first - 1),
            Order::Desc => (last + 1, high),
        };
        if missing.0 <= missing.1 {
            if moved {
                return None;
            }
            filled.push(Item::Hole { first: missing.0, last: missing.1 });
        }
        match order {
            Order::Asc => low = last,
            Order::Desc => high = first - 1,
        }
        filled.extend(match item {
            Item::Entry(run) => part(run, first, last).map(Item::Entry),
            Item::Hole { .. } => Some(Item::Hole { first, last }),
        });
    }
    if filled.is_empty() && low < high {
        if moved {
            return None;
        }
        filled.push(Item::Hole { first: low + 1, last: high });
    }
    Some(filled)
}

/// What of a run lies from `first` to `last`, both in it.
fn part<E: Run>(run: E, first: Seq, last: Seq) -> Option<E> {
    let run = if run.first() < first { run.split(first - 1).1? } else { run };
    Some(run.split(last).0)
}

#[cfg(test)]
mod tests;
