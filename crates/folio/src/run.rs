//! What the engines that read a log are made for: entries one at a time, or in runs of lines. They judge both alike.

use async_trait::async_trait;

use crate::cursor::Seq;
use crate::error::Result;
use crate::follow::{Budget, Item, Source};
use crate::lines::{Lines, Runs};
use crate::log::Entry;

/// One or more entries in a row.
#[async_trait]
pub(crate) trait Run: Sized + Send + 'static {
    /// What a follower holds at most, apart from the one entry that exceeds it.
    const BATCH: Budget;

    /// Seq of the first entry.
    fn first(&self) -> Seq;

    /// Seq of the last entry.
    fn last(&self) -> Seq;

    /// The entries up to `last`, which is not below the first one, and those behind.
    fn split(self, last: Seq) -> (Self, Option<Self>);

    /// [`Source::read_after`] for runs of this kind.
    async fn read_after(source: &dyn Source, after: Seq, budget: Budget) -> Result<Vec<Item<Self>>>;

    /// [`Source::read_before`] for runs of this kind: each of a single entry, since their order is falling.
    async fn read_before(source: &dyn Source, before: Seq, budget: Budget) -> Result<Vec<Item<Self>>>;
}

#[async_trait]
impl Run for Entry {
    const BATCH: Budget = Budget { entries: 256, bytes: 256 << 10 };

    fn first(&self) -> Seq {
        self.seq
    }

    fn last(&self) -> Seq {
        self.seq
    }

    fn split(self, _: Seq) -> (Self, Option<Self>) {
        (self, None)
    }

    async fn read_after(source: &dyn Source, after: Seq, budget: Budget) -> Result<Vec<Item>> {
        source.read_after(after, budget).await
    }

    async fn read_before(source: &dyn Source, before: Seq, budget: Budget) -> Result<Vec<Item>> {
        source.read_before(before, budget).await
    }
}

#[async_trait]
impl Run for Lines {
    /// Lines cost little each, so there may be more of them.
    const BATCH: Budget = Budget { entries: 2_048, bytes: 256 << 10 };

    fn first(&self) -> Seq {
        self.first()
    }

    fn last(&self) -> Seq {
        self.last()
    }

    fn split(self, last: Seq) -> (Self, Option<Self>) {
        self.split(last)
    }

    async fn read_after(source: &dyn Source, after: Seq, budget: Budget) -> Result<Vec<Item<Self>>> {
        source.read_lines_after(after, budget).await
    }

    async fn read_before(source: &dyn Source, before: Seq, budget: Budget) -> Result<Vec<Item<Self>>> {
        let line = |item| match item {
            Item::Entry(entry) => Item::Entry(Lines::from(&entry)),
            Item::Hole { first, last } => Item::Hole { first, last },
        };
        Ok(source.read_before(before, budget).await?.into_iter().map(line).collect())
    }
}

/// The same items with their entries as lines.
pub(crate) fn lines(items: Vec<Item>) -> Vec<Item<Lines>> {
    let mut runs = Runs::default();
    for item in items {
        match item {
            Item::Entry(entry) => runs.entry(&entry),
            Item::Hole { first, last } => runs.hole(first, last),
        }
    }
    runs.finish()
}
