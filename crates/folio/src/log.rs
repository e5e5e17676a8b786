//! The contract of an append-only log.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};

use crate::cursor::{Cursor, Position, Seq};
use crate::error::Result;
use crate::json::Json;
use crate::lineage::{Gap, Piece};
use crate::lines::{FileLines, Lines};
use crate::name::LogName;

/// What an entry holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Data {
    /// A JSON value, kept to the token.
    Json(Json),
    /// Bytes that are not JSON; `b64` in every text format.
    Bytes(Bytes),
}

impl From<Json> for Data {
    fn from(value: Json) -> Self {
        Self::Json(value)
    }
}

impl Data {
    /// Size of the payload in bytes, as the limit on entries counts it.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Json(value) => value.as_str().len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// True for empty bytes; JSON is never empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One entry of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// From 1, rising by 1.
    pub seq: Seq,
    /// Unix milliseconds at the append; never falls within what Folio wrote.
    pub ts: u64,
    /// The payload.
    pub data: Data,
}

/// How to append.
#[derive(Clone, Debug, Default)]
pub struct AppendOptions {
    /// Append only if this is the head. A cursor with an epoch also needs that epoch to be the head's.
    pub expected_head: Option<Cursor>,
    /// Makes a retry safe: the same key with the same entries gets the first answer again, also after a restart and
    /// a compaction, for at least the last 10,000 keyed appends of the log. 1 to 256 visible ASCII characters, without
    /// spaces.
    pub idempotency_key: Option<String>,
    /// End the log with this append, in the same unit.
    pub close: bool,
}

/// Where an append landed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// Seq of the first entry (inclusive). After an append of nothing: one above `last`.
    pub first: Seq,
    /// Seq of the last entry (inclusive); for an append of nothing, the head.
    pub last: Seq,
    /// The position of `last`.
    pub cursor: Position,
    /// True when this is the answer of an earlier append with the same idempotency key.
    pub replayed: bool,
}

/// What became of an append that was not refused with an error.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AppendOutcome {
    /// It is in the log.
    Appended(Appended),
    /// The head was not the expected one; nothing was written.
    Precondition {
        /// The head now.
        head: Position,
    },
}

/// Direction of a read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// Oldest first.
    #[default]
    Asc,
    /// Newest first.
    Desc,
}

/// What to read. `since` and `before` are exclusive and applied first, then the order, then the limits.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// Only entries after this cursor. Judged by the lineage, so a stale one is told as a gap. `None`: from the oldest
    /// entry there is, without a gap.
    pub since: Option<Cursor>,
    /// Only entries before this seq.
    pub before: Option<Seq>,
    /// Direction.
    pub order: Order,
    /// At most so many entries, from 1 to [`MAX_PAGE_ENTRIES`].
    pub limit: usize,
    /// Stop after the entry that brings the page to so many payload bytes.
    pub max_bytes: usize,
}

/// Most entries of one page.
pub const MAX_PAGE_ENTRIES: usize = 10_000;
/// Default for [`ReadOptions::max_bytes`]: 8 MiB.
pub const MAX_PAGE_BYTES: usize = 8 << 20;

impl Default for ReadOptions {
    fn default() -> Self {
        Self { since: None, before: None, order: Order::Asc, limit: 1_000, max_bytes: MAX_PAGE_BYTES }
    }
}

/// A page of entries, and where the log stood when it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<E = Entry> {
    /// In the order asked for. A page ends before a hole.
    pub entries: Vec<E>,
    /// Stands before the first entry in page order: what is missing there. One of damage reaches in both orders from
    /// `requested` to `resumes_after`. One of `since` stands below all entries, so descending it comes last: on a page
    /// without entries.
    pub gap: Option<Gap>,
    /// The oldest seq there is; head + 1 when there is none.
    pub first: Seq,
    /// The newest position.
    pub head: Position,
    /// All pieces, the open one ending at the head.
    pub lineage: Vec<Piece>,
    /// Ascending: goes into `since`, always given. Descending: `None`.
    pub next: Option<Position>,
    /// Descending: goes into `before`; `None` at the end. Ascending: `None`.
    pub next_before: Option<Seq>,
}

impl<E> Page<E> {
    /// The same page with its entries in another form.
    pub(crate) fn map<T>(self, make: impl FnMut(E) -> T) -> Page<T> {
        let Self { entries, gap, first, head, lineage, next, next_before } = self;
        Page { entries: entries.into_iter().map(make).collect(), gap, first, head, lineage, next, next_before }
    }
}

/// Where a log stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogStatus {
    /// The newest position; `0-0` when there never was an entry.
    pub head: Position,
    /// Seq of the newest entry that compaction removed; 0: none.
    pub horizon: Seq,
    /// All pieces, the open one ending at the head.
    pub lineage: Vec<Piece>,
    /// True once the log has ended.
    pub closed: bool,
    /// Bytes that the log takes in storage.
    pub bytes: u64,
}

impl LogStatus {
    /// Number of entries between horizon and head.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.head.seq.saturating_sub(self.horizon)
    }
}

/// What a compaction did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Truncated {
    /// How many entries this call removed.
    pub removed: u64,
    /// The horizon now.
    pub horizon: Seq,
}

/// Where a subscription starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// Only what comes from now on.
    Now,
    /// Every entry after this cursor, then what comes.
    After(Cursor),
}

/// One event of a subscription, to entries or to [`Lines`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogEvent<E = Entry> {
    /// The subscription is live: the first event from [`Start::Now`]; else told once, when delivery reaches the head
    /// as it was when the subscription began (or the head there is, where that one was lost).
    CaughtUp {
        /// The position reached.
        head: Position,
    },
    /// The next entry; as [`Lines`], one or more in a row, all of one epoch.
    Entry {
        /// The entry.
        entry: E,
        /// Its position (as lines: that of the last one); a cursor to go on from.
        position: Position,
    },
    /// A hole, before delivery goes on past it.
    Gap(Gap),
    /// The log has ended and every entry was delivered. The stream ends after this.
    Closed {
        /// The last position.
        head: Position,
    },
    /// The log was deleted (or its project). The stream stays and goes on with the next life from its first entry.
    Deleted,
}

impl LogEvent {
    fn into_lines(self) -> LogEvent<Lines> {
        match self {
            Self::CaughtUp { head } => LogEvent::CaughtUp { head },
            Self::Entry { entry, position } => LogEvent::Entry { entry: Lines::from(&entry), position },
            Self::Gap(gap) => LogEvent::Gap(gap),
            Self::Closed { head } => LogEvent::Closed { head },
            Self::Deleted => LogEvent::Deleted,
        }
    }
}

/// A subscription: a cursor over the log, not a queue, so a slow reader costs no memory. Drop it to end it.
pub type LogStream<E = Entry> = BoxStream<'static, Result<LogEvent<E>>>;

/// How long a driver that is shared by several daemons may wait for news of a newer cursor.
pub const SETTLE_TIME: Duration = Duration::from_secs(2);

/// An append-only log: `history`, or a named one.
///
/// # Contract
/// - Seqs start at 1 and rise by 1 without holes, also after a restart and after a compaction that removed everything.
/// - A unit (the entries of one append) survives a crash whole or not at all; no other append lands inside it.
/// - An acknowledged append is durable as the driver's durability says. Readers see only what is durable.
/// - What a reader saw disappears only by compaction, or under a new epoch.
/// - `history` exists (empty) as long as its project does. A named log is made by its first append (or fork);
///   until then every other call but `append` and `subscribe` answers [`NoLog`](crate::Error::NoLog).
/// - Every call answers [`NoProject`](crate::Error::NoProject) where the project does not exist.
#[async_trait]
pub trait AppendLog: Send + Sync {
    /// Appends `entries` as one unit and returns when they are durable.
    ///
    /// Checks, in this order: key known (the first answer again, or [`KeyReused`](crate::Error::KeyReused) for another
    /// request), closed ([`Closed`](crate::Error::Closed)), expected head ([`AppendOutcome::Precondition`]).
    /// An append of nothing without `close` checks nothing, writes nothing, creates nothing and returns the head.
    ///
    /// # Errors
    /// [`TooLarge`](crate::Error::TooLarge) for an entry over the limit; [`Damaged`](crate::Error::Damaged);
    /// [`DiskFull`](crate::Error::DiskFull), with nothing written; [`OutcomeUnknown`](crate::Error::OutcomeUnknown).
    async fn append(&self, entries: Vec<Data>, options: AppendOptions) -> Result<AppendOutcome>;

    /// Reads a page. Ascending, a page ends before a hole in the log, and the next page begins with its gap.
    ///
    /// # Errors
    /// [`Invalid`](crate::Error::Invalid) for a limit of 0 or above [`MAX_PAGE_ENTRIES`].
    async fn read(&self, options: ReadOptions) -> Result<Page>;

    /// Follows the log: every entry after the start once and in order, whatever runs at the same time (appends,
    /// compaction, rotation, slow reading), or an explicit [`LogEvent::Gap`] where it can't.
    ///
    /// A named log that does not exist (yet, or any more) is waited for. Until it does it counts as empty, so a cursor
    /// into it is told as a gap at once.
    ///
    /// # Errors
    /// Only [`NoProject`](crate::Error::NoProject) and failures to read; a cursor that can't be met is a gap.
    async fn subscribe(&self, start: Start) -> Result<LogStream>;

    /// As [`read`](Self::read), for those who pass the entries on as text. Descending, each is a run of its own.
    async fn read_lines(&self, options: ReadOptions) -> Result<Page<Lines>> {
        Ok(self.read(options).await?.map(|entry| Lines::from(&entry)))
    }

    /// As [`read_lines`](Self::read_lines), with the lines as the driver keeps them: between `ts` and the payload there may
    /// be members of its own, such as a sum, and [`ReadOptions::max_bytes`] may count whole lines. The cheapest way to pass on
    /// much of a log.
    async fn read_stored(&self, options: ReadOptions) -> Result<Page<Lines>> {
        self.read_lines(options).await
    }

    /// As [`read_stored`](Self::read_stored), without reading: for those who have the system pass the bytes on, which takes no
    /// memory, so there is no other bound than `before`. A page ends where what is known to be good ends. `None` where the lines
    /// after `since` have to be read: they are not known to be good, something is to be told before them, or the driver has no
    /// files.
    async fn read_in_place(&self, _since: Cursor, _before: Option<Seq>) -> Result<Option<Page<FileLines>>> {
        Ok(None)
    }

    /// As [`subscribe`](Self::subscribe), for those who pass the entries on as text.
    async fn subscribe_lines(&self, start: Start) -> Result<LogStream<Lines>> {
        Ok(self.subscribe(start).await?.map_ok(LogEvent::into_lines).boxed())
    }

    /// Compacts: removes the entries up to and including `up_to`, clamped to the head. After a crash the old log or
    /// the new one is there. Works on a closed log too.
    async fn truncate(&self, up_to: Seq) -> Result<Truncated>;

    /// Where the log stands.
    async fn status(&self) -> Result<LogStatus>;

    /// Ends the log. Closing a closed log is fine. Returns the head.
    async fn close(&self) -> Result<Position>;

    /// Makes the named log `target` in the same project, with the entries up to and including `at`.
    ///
    /// The source is not touched. The fork has its own epoch and this lineage cut at `at`, is open, and knows no keys.
    /// While it lives, a deleted source answers [`Gone`](crate::Error::Gone) to every call but `subscribe` (which waits)
    /// and `delete`, and [`Exists`](crate::Error::Exists) as the target of a fork.
    ///
    /// # Errors
    /// [`Invalid`](crate::Error::Invalid) unless horizon ≤ `at` ≤ head; [`Exists`](crate::Error::Exists) where the
    /// target does.
    async fn fork(&self, at: Seq, target: &LogName) -> Result<()>;

    /// Deletes a named log. Deleting what isn't there is fine. `history` goes only with its project
    /// ([`Invalid`](crate::Error::Invalid)).
    async fn delete(&self) -> Result<()>;
}
