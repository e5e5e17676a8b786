//! Following a log by cursor: one engine for every local driver.
//!
//! A subscription is a place in the log, not a queue. Each round judges that place against the log as it stands now
//! ([`Lineage::resolve`]), reads a batch from storage, looks again, and delivers what both looks agree on. Only a reader
//! that is caught up waits, on a watch that is a hint and nothing more. So there is no hand-off between replay and live,
//! and a slow reader holds one batch.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::sync::watch;

use crate::cursor::{Cursor, Position, Seq};
use crate::error::Result;
use crate::lineage::{Bounds, Gap, GapReason, Lineage};
use crate::lines::{FileLines, Lines};
use crate::log::{Entry, LogEvent, LogStream, Start};
use crate::run::{self, Form, Run};

/// What following needs of a log.
#[async_trait]
pub(crate) trait Source: Send + Sync + 'static {
    /// Bumped (`send_modify`) after every change that readers can see: append, truncation, close, delete, creation,
    /// reload. It only wakes; what happened is asked of [`Source::snapshot`]. Dropping the sender ends the streams.
    fn watch(&self) -> watch::Receiver<u64>;

    /// The log as it stands now. Costs nothing much: it is asked twice a batch.
    async fn snapshot(&self) -> Result<Presence>;

    /// What lies after `after` (exclusive), in order: at least one item if the head is beyond `after`.
    ///
    /// May begin later if compaction runs, but only once a snapshot would tell the new horizon: entries may become
    /// unreadable after their removal was published, not before. Items at or before `after`, or beyond the head of the
    /// next snapshot, are passed over.
    async fn read_after(&self, after: Seq, budget: Budget) -> Result<Vec<Item>>;

    /// [`Source::read_after`], as runs of lines. Where nothing is stored as lines, they hold what is told.
    async fn read_lines_after(&self, after: Seq, budget: Budget, _: Form) -> Result<Vec<Item<Lines>>> {
        Ok(run::lines(self.read_after(after, budget).await?))
    }

    /// What lies right after `after`, in its file: the next entry and more, up to `last` (inclusive) or the head at most.
    /// `None` where that is not known. As for the rest like [`Source::read_after`].
    async fn find_after(&self, _after: Seq, _last: Seq) -> Result<Option<FileLines>> {
        Ok(None)
    }

    /// What lies before `before` (exclusive), newest first: at least one item if there is any. As for the rest like
    /// [`Source::read_after`].
    async fn read_before(&self, before: Seq, budget: Budget) -> Result<Vec<Item>>;

    /// [`Source::read_before`], each as a line. Where nothing is stored as lines, they hold what is told.
    async fn read_lines_before(&self, before: Seq, budget: Budget, _: Form) -> Result<Vec<Item<Lines>>> {
        Ok(self.read_before(before, budget).await?.into_iter().map(|item| item.map(|entry| Lines::from(&entry))).collect())
    }
}

/// How much one read may bring: it stops after the item that reaches either bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Entries and holes, at least 1.
    pub(crate) entries: usize,
    /// Payload bytes.
    pub(crate) bytes: usize,
}

/// A log, or none.
#[derive(Clone, Debug)]
pub(crate) enum Presence {
    /// Never made, or deleted, or its project was.
    Missing,
    /// There.
    Live(Snapshot),
}

/// A log at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Another number after the log was deleted and made again.
    pub(crate) life: u64,
    /// Changes when a new piece begins, and must not change otherwise but for dropping old pieces.
    pub(crate) lineage: Arc<Lineage>,
    /// Horizon and head.
    pub(crate) bounds: Bounds,
    /// True once the log has ended.
    pub(crate) closed: bool,
}

impl Snapshot {
    /// The newest position.
    pub(crate) fn head(&self) -> Position {
        self.lineage.position(self.bounds.head)
    }

    /// True where a seq means the same entry at both moments.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        self.life == other.life && self.bounds.ended == other.bounds.ended && same(&self.lineage, &other.lineage)
    }
}

fn same(a: &Arc<Lineage>, b: &Arc<Lineage>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

/// A piece of a log as read from storage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Item<E = Entry> {
    /// Good entries: one, or several in a row.
    Entry(E),
    /// The entries from `first` to `last`, both inclusive, are damaged.
    Hole {
        /// Seq of the first one.
        first: Seq,
        /// Seq of the last one.
        last: Seq,
    },
}

impl<E> Item<E> {
    /// The same with another form of entry.
    pub(crate) fn map<T>(self, make: impl FnOnce(E) -> T) -> Item<T> {
        match self {
            Self::Entry(run) => Item::Entry(make(run)),
            Self::Hole { first, last } => Item::Hole { first, last },
        }
    }
}

impl<E: Run> Item<E> {
    /// Seq of the first entry that this is about.
    pub(crate) fn first(&self) -> Seq {
        match self {
            Self::Entry(run) => run.first(),
            Self::Hole { first, .. } => *first,
        }
    }

    /// Seq of the last entry that this is about.
    pub(crate) fn last(&self) -> Seq {
        match self {
            Self::Entry(run) => run.last(),
            Self::Hole { last, .. } => *last,
        }
    }
}

/// Follows `source` from `start`; the place is fixed when this returns. The caller has checked that the project exists.
///
/// A log that does not exist counts as an empty one, so a cursor into it is told as a gap at once.
pub(crate) async fn follow<E: Run>(source: Arc<dyn Source>, start: Start) -> Result<LogStream<E>> {
    let watch = source.watch();
    let mut follower = Follower {
        source,
        watch,
        view: View::missing(),
        life: None,
        cursor: Cursor::START,
        caught_up_at: None,
        ready: VecDeque::new(),
        ended: false,
    };
    follower.view = follower.look().await?;
    follower.life = follower.view.life;
    follower.caught_up_at = Some(follower.view.bounds.head);
    follower.cursor = match start {
        Start::Now => follower.view.position(follower.view.bounds.head).into(),
        Start::After(cursor) => cursor,
    };
    let events = stream::unfold(follower, |mut follower: Follower<E>| async {
        let event = follower.next().await?;
        Some((event, follower))
    });
    Ok(events.boxed())
}

/// A [`Presence`] with one shape for both cases.
struct View {
    life: Option<u64>,
    lineage: Arc<Lineage>,
    bounds: Bounds,
    closed: bool,
}

impl View {
    fn missing() -> Self {
        let bounds = Bounds { horizon: 0, head: 0, ended: false };
        Self { life: None, lineage: Arc::new(Lineage::adopted()), bounds, closed: false }
    }

    fn position(&self, seq: Seq) -> Position {
        self.lineage.position(seq)
    }

    /// True where a seq means the same entry in both views.
    fn agrees(&self, other: &Self) -> bool {
        self.life == other.life && self.bounds.ended == other.bounds.ended && same(&self.lineage, &other.lineage)
    }
}

impl From<Presence> for View {
    fn from(presence: Presence) -> Self {
        match presence {
            Presence::Missing => Self::missing(),
            Presence::Live(Snapshot { life, lineage, bounds, closed }) => Self { life: Some(life), lineage, bounds, closed },
        }
    }
}

struct Follower<E> {
    source: Arc<dyn Source>,
    watch: watch::Receiver<u64>,
    /// The newest look at the log.
    view: View,
    /// The life that `cursor` belongs to; `None` while the log is missing.
    life: Option<u64>,
    /// The client's cursor at first, then the position reached.
    cursor: Cursor,
    /// The head at the start, until [`LogEvent::CaughtUp`] was told.
    caught_up_at: Option<Seq>,
    /// Events not handed out yet: those of one batch.
    ready: VecDeque<LogEvent<E>>,
    ended: bool,
}

impl<E: Run> Follower<E> {
    async fn next(&mut self) -> Option<Result<LogEvent<E>>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.round().await {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }

    /// One step: tell what the newest look demands, else read, else wait.
    async fn round(&mut self) -> Result<()> {
        let after = self.judge();
        let view = &self.view;
        let at_head = after >= view.bounds.head;
        if at_head && view.closed {
            self.ready.push_back(LogEvent::Closed { head: view.position(view.bounds.head) });
            self.ended = true;
        }
        if !self.ready.is_empty() {
            return Ok(());
        }
        if at_head {
            if self.watch.changed().await.is_err() {
                self.ended = true;
                return Ok(());
            }
            self.view = self.look().await?;
            return Ok(());
        }
        // A replay that never has to wait for storage must still let other tasks run.
        tokio::task::consume_budget().await;
        let items = E::read_after(&*self.source, after, E::BATCH).await?;
        let fresh = self.look().await?;
        if fresh.agrees(&self.view) {
            self.deliver(after, items, &fresh);
        }
        self.view = fresh;
        Ok(())
    }

    /// Marks the watch as seen *before* looking, so that a change after the look wakes the next wait.
    async fn look(&mut self) -> Result<View> {
        self.watch.borrow_and_update();
        Ok(self.source.snapshot().await?.into())
    }

    /// Judges the cursor against the newest look, queues what must be told of it, and returns where to go on.
    fn judge(&mut self) -> Seq {
        if self.life.is_some() && self.life != self.view.life {
            self.ready.push_back(LogEvent::Deleted);
            self.cursor = Position::START.into();
            // The head that was to be reached is gone.
            self.caught_up_at = self.caught_up_at.and(Some(0));
        }
        self.life = self.view.life;
        let resolved = self.view.lineage.resolve(self.cursor, self.view.bounds);
        if let Some(gap) = resolved.gap {
            self.ready.push_back(LogEvent::Gap(gap));
            self.cursor = gap.resumes_after.into();
        }
        // The head can lie lower than at the start when a tail was cut.
        let reached = self.caught_up_at.is_some_and(|target| resolved.after >= target.min(self.view.bounds.head));
        if reached {
            self.tell_caught_up(self.view.position(resolved.after));
        }
        resolved.after
    }

    /// Queues the items that go on from `after` without a hole that nobody declared.
    fn deliver(&mut self, after: Seq, items: Vec<Item<E>>, fresh: &View) {
        let head = fresh.bounds.head;
        let mut place = after;
        let mut beyond = None;
        for item in items {
            if item.last() <= place {
                continue;
            }
            if item.first() > place + 1 || item.first() > head {
                beyond = Some(item.first());
                break;
            }
            match item {
                Item::Entry(run) => place = self.deliver_run(place, run, fresh),
                // Not damaged, but compacted since: the next look tells.
                Item::Hole { .. } if place < fresh.bounds.horizon => return,
                Item::Hole { last, .. } => {
                    let position = fresh.position(last.min(head));
                    self.tell_corrupt(position.seq - place, position);
                    self.advance(position);
                    place = position.seq;
                }
            }
        }
        if place == after && fresh.bounds.horizon <= after && after < head {
            // The log claims entries here and storage has none: never pass that in silence.
            let last = beyond.map_or(self.view.bounds.head, |first| first - 1).min(head);
            self.tell_corrupt(last - after, fresh.position(last));
            self.advance(fresh.position(last));
        }
    }

    /// Queues what lies after `place` up to the head, in parts where something else is to be told between, or where the
    /// epoch changes. Returns the seq reached.
    fn deliver_run(&mut self, mut place: Seq, run: E, fresh: &View) -> Seq {
        let head = fresh.bounds.head;
        let mut rest = if run.first() <= place { run.split(place).1 } else { Some(run) };
        while let Some(run) = rest.filter(|run| run.first() <= head) {
            let last = run.last().min(head).min(fresh.lineage.end_of_piece(run.first()));
            let (run, behind) = match self.caught_up_at.filter(|target| (run.first()..last).contains(target)) {
                Some(target) => run.split(target),
                None => run.split(last),
            };
            place = run.last();
            let position = fresh.position(place);
            self.ready.push_back(LogEvent::Entry { entry: run, position });
            self.advance(position);
            rest = behind;
        }
        place
    }

    fn tell_corrupt(&mut self, lost: u64, resumes_after: Position) {
        let gap = Gap { reason: GapReason::Corrupt, requested: self.cursor, lost: Some(lost), resumes_after };
        self.ready.push_back(LogEvent::Gap(gap));
    }

    fn advance(&mut self, position: Position) {
        self.cursor = position.into();
        if self.caught_up_at.is_some_and(|target| position.seq >= target) {
            self.tell_caught_up(position);
        }
    }

    fn tell_caught_up(&mut self, head: Position) {
        self.caught_up_at = None;
        self.ready.push_back(LogEvent::CaughtUp { head });
    }
}

#[cfg(test)]
pub(crate) mod script;
#[cfg(test)]
mod tests;
