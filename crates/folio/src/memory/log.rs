//! One log: its entries and what stands in a header on disk. No locks, no names.

use std::collections::VecDeque;
use std::sync::Arc;

use super::store::Counters;
use crate::cursor::{Cursor, Epoch, Position, Seq};
use crate::follow::{Budget, Item, Snapshot};
use crate::lineage::{Bounds, Lineage};
use crate::log::{Data, Entry, LogStatus, Truncated};
use crate::request::KeyTable;

#[derive(Clone, Debug)]
pub(super) struct Log {
    life: u64,
    lineage: Arc<Lineage>,
    horizon: Seq,
    /// The entries after the horizon.
    entries: VecDeque<Entry>,
    closed: bool,
    /// Time of the newest entry, also where compaction removed it.
    ts: u64,
    /// What the entries take.
    bytes: u64,
    pub(super) keys: KeyTable,
}

impl Log {
    /// Empty, in the `life`-th life of any log.
    pub(super) fn new(life: u64) -> Self {
        Self {
            life,
            lineage: Arc::new(Lineage::adopted()),
            horizon: 0,
            entries: VecDeque::new(),
            closed: false,
            ts: 0,
            bytes: 0,
            keys: KeyTable::default(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn horizon(&self) -> Seq {
        self.horizon
    }

    pub(super) fn head(&self) -> Seq {
        self.horizon + self.entries.len() as u64
    }

    pub(super) fn position(&self) -> Position {
        self.lineage.position(self.head())
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let bounds = Bounds { horizon: self.horizon, head: self.head(), ended: false };
        Snapshot { life: self.life, lineage: Arc::clone(&self.lineage), bounds, closed: self.closed }
    }

    pub(super) fn status(&self) -> LogStatus {
        LogStatus {
            head: self.position(),
            horizon: self.horizon,
            lineage: self.lineage.pieces(self.head()),
            closed: self.closed,
            bytes: self.bytes,
        }
    }

    /// Appends a unit, which may be empty if it closes. The first write begins a piece of its own.
    pub(super) fn append(&mut self, unit: Vec<Data>, close: bool, now: u64, counters: &mut Counters) {
        if self.lineage.ended().is_empty() {
            self.lineage = Arc::new(self.lineage.begin(counters.epoch(now), self.head()));
        }
        if !unit.is_empty() {
            self.ts = self.ts.max(now);
        }
        for (seq, data) in (self.head() + 1..).zip(unit) {
            let entry = Entry { seq, ts: self.ts, data };
            self.bytes += weight(&entry);
            self.entries.push_back(entry);
        }
        self.closed |= close;
    }

    pub(super) fn truncate(&mut self, up_to: Seq) -> Truncated {
        let removed = up_to.min(self.head()).saturating_sub(self.horizon);
        let count = index(removed).min(self.entries.len());
        let kept = self.entries.split_off(count);
        let gone = std::mem::replace(&mut self.entries, kept);
        self.bytes -= gone.iter().map(weight).sum::<u64>();
        self.horizon += removed;
        Truncated { removed, horizon: self.horizon }
    }

    /// The same entries up to `at`, which is not below the horizon: open, without keys, in a piece of its own.
    pub(super) fn fork(&self, at: Seq, life: u64, epoch: Epoch) -> Self {
        let kept = index(at.saturating_sub(self.horizon));
        let entries: VecDeque<Entry> = self.entries.iter().take(kept).cloned().collect();
        Self {
            life,
            lineage: Arc::new(self.lineage.fork(at, epoch)),
            horizon: self.horizon,
            bytes: entries.iter().map(weight).sum(),
            entries,
            closed: false,
            ts: self.ts,
            keys: KeyTable::default(),
        }
    }

    /// As it stands, for a copy of its project: it stays closed, and empty if it never was written.
    pub(super) fn copy(&self, life: u64, epoch: Epoch) -> Self {
        if self.lineage.ended().is_empty() {
            return Self::new(life);
        }
        Self { closed: self.closed, ..self.fork(self.head(), life, epoch) }
    }

    pub(super) fn after(&self, after: Seq, budget: Budget) -> Vec<Item> {
        let from = index(after.saturating_sub(self.horizon)).min(self.entries.len());
        take(self.entries.range(from..), budget)
    }

    pub(super) fn before(&self, before: Seq, budget: Budget) -> Vec<Item> {
        let to = index(before.saturating_sub(self.horizon + 1)).min(self.entries.len());
        take(self.entries.range(..to).rev(), budget)
    }
}

/// True where a log whose head is `head` stands as an append expects it.
pub(super) fn expects(expected: Cursor, head: Position) -> bool {
    expected.seq == head.seq && expected.epoch.is_none_or(|epoch| epoch == head.epoch)
}

fn take<'a>(entries: impl Iterator<Item = &'a Entry>, budget: Budget) -> Vec<Item> {
    let mut bytes = 0;
    let mut items = Vec::new();
    for entry in entries.take(budget.entries) {
        items.push(Item::Entry(entry.clone()));
        bytes += entry.data.len();
        if bytes >= budget.bytes {
            break;
        }
    }
    items
}

fn weight(entry: &Entry) -> u64 {
    (size_of::<Entry>() + entry.data.len()) as u64
}

/// A count of entries that may be held in memory; more than that is as good as all.
fn index(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
