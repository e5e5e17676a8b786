//! The newest frames of one followed log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use folio::{AppendLog, Lines, LogEvent, LogStream, Position, Result, Start};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{Notify, oneshot, watch};

use super::fan::{MAX_FANS, Team};
use super::{Feeds, Place};
use crate::frame::{self, After};
use crate::reply::PIECE;
use crate::sse;

/// Bytes of frames that are kept for readers that lag. While a fan has not taken what is there, nothing is added.
const KEPT: usize = 512 << 10;

/// Frames that were made at one time.
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    /// Where a reader is that has all before it.
    after: Position,
    /// Where it is after each frame, and the offset of the frame's end in bytes.
    marks: Vec<(Position, u32)>,
    /// The stream ends with it.
    pub(super) last: bool,
}

impl Chunk {
    /// The first frame that ends at or after `offset`: the position it leads to, and its end.
    pub(super) fn frame_at(&self, offset: usize) -> (Position, usize) {
        let at = self.marks.partition_point(|&(_, end)| (end as usize) < offset);
        self.marks.get(at).map_or((self.end(), self.bytes.len()), |&(position, end)| (position, end as usize))
    }

    /// Where a reader is that has nothing of it.
    pub(super) fn start(&self) -> Position {
        self.after
    }

    /// Where a reader is that has all of it.
    pub(super) fn end(&self) -> Position {
        self.marks.last().map_or(self.after, |&(position, _)| position)
    }
}

/// A place between two frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Spot {
    /// Number of the chunk.
    pub(super) chunk: u64,
    /// Bytes of it that are done.
    pub(super) offset: usize,
    /// Where a reader is that has all before.
    pub(super) position: Position,
}

/// The frames from some spot on.
pub(super) enum Since {
    Chunks {
        chunks: Vec<Arc<Chunk>>,
        next: u64,
    },
    /// They are not kept any more.
    Gone,
}

/// A followed log.
pub(super) struct Feed {
    pub(super) number: u64,
    place: Place,
    pub(super) log: Arc<dyn AppendLog>,
    ring: Mutex<Ring>,
    /// Number of the next chunk: moves after every change.
    moved: watch::Sender<u64>,
    /// A fan has taken what there was.
    room: Notify,
    feeds: Arc<Feeds>,
    /// Dropped with the feed, which ends its pump.
    _pumped: oneshot::Sender<()>,
}

#[derive(Default)]
struct Ring {
    chunks: VecDeque<Arc<Chunk>>,
    /// Number of the first of them.
    first: u64,
    bytes: usize,
    /// Where the frames lead to; `None` while that is not known yet.
    head: Option<Position>,
    ended: bool,
    fans: [AtFan; MAX_FANS],
}

/// What one fan has to do with a feed.
#[derive(Clone, Copy, Default)]
struct AtFan {
    readers: usize,
    /// Chunks before this one were taken.
    taken: u64,
    /// It was told that there is something.
    told: bool,
}

impl Ring {
    fn next(&self) -> u64 {
        self.first + self.chunks.len() as u64
    }

    fn get(&self, number: u64) -> Option<&Arc<Chunk>> {
        self.chunks.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Where a reader goes on that has all up to `position`. `None`: not here, or not yet, or not any more.
    fn find(&self, position: Position) -> Option<Spot> {
        if self.ended {
            return None;
        }
        if self.head? == position {
            return Some(Spot { chunk: self.next(), offset: 0, position });
        }
        for (index, chunk) in self.chunks.iter().enumerate().rev() {
            let number = self.first + index as u64;
            if let Some((_, end)) = chunk.marks.iter().rev().find(|(at, _)| *at == position) {
                return Some(Spot { chunk: number, offset: *end as usize, position });
            }
            if chunk.after == position {
                return Some(Spot { chunk: number, offset: 0, position });
            }
        }
        None
    }

    /// A chunk that some fan has to take yet is not dropped.
    fn is_needed(&self, number: u64) -> bool {
        self.fans.iter().any(|fan| fan.readers > 0 && fan.taken <= number)
    }

    fn trim(&mut self, kept: usize) {
        while self.bytes > kept && !self.is_needed(self.first) {
            let Some(chunk) = self.chunks.pop_front() else { return };
            self.bytes -= chunk.bytes.len();
            self.first += 1;
        }
    }

    /// The oldest chunk is still to be taken, and there are enough.
    fn is_full(&self) -> bool {
        self.bytes >= KEPT && self.is_needed(self.first)
    }
}

impl Feed {
    pub(super) fn start(number: u64, place: Place, log: Arc<dyn AppendLog>, feeds: Arc<Feeds>, team: &Team) -> Arc<Self> {
        let (pumped, dropped) = oneshot::channel();
        let feed = Arc::new(Self {
            number,
            place,
            log,
            ring: Mutex::default(),
            moved: watch::Sender::new(0),
            room: Notify::new(),
            feeds,
            _pumped: pumped,
        });
        let pump = Pump { feed: Arc::downgrade(&feed), team: team.clone() };
        let log = Arc::clone(&feed.log);
        tokio::spawn(async move {
            tokio::select! {
                _ = dropped => {}
                () = pump.run(log) => {}
            }
        });
        feed
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ring().ended
    }

    /// Wakes when [`Feed::join`] may answer another way.
    pub(super) fn moves(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    /// Counts a reader that has all up to `position` among those of the fan, if the frames go on from there. Where they
    /// don't, [`Feed::moves`] wakes before that changes; a stream that has ended stays closed to it.
    pub(super) fn join(&self, position: Position, fan: usize) -> Option<Spot> {
        let mut ring = self.ring();
        let spot = ring.find(position)?;
        let fan = ring.fans.get_mut(fan)?;
        if fan.readers == 0 {
            fan.taken = spot.chunk;
        }
        fan.readers += 1;
        Some(spot)
    }

    /// A reader of the fan has gone.
    pub(super) fn leave(&self, fan: usize) {
        let mut ring = self.ring();
        if let Some(fan) = ring.fans.get_mut(fan) {
            fan.readers = fan.readers.saturating_sub(1);
        }
        drop(ring);
        self.room.notify_one();
    }

    /// What there is from chunk `from` on, which the fan has taken then for all its readers that have caught up.
    pub(super) fn take(&self, from: u64, fan: usize) -> Since {
        let mut ring = self.ring();
        let next = ring.next();
        if let Some(fan) = ring.fans.get_mut(fan) {
            (fan.told, fan.taken) = (false, next);
        }
        let since = Self::since(&ring, from);
        let full = ring.bytes >= KEPT;
        drop(ring);
        if full {
            self.room.notify_one();
        }
        since
    }

    /// What there is from chunk `from` on, for a single reader.
    pub(super) fn peek(&self, from: u64) -> Since {
        Self::since(&self.ring(), from)
    }

    fn since(ring: &Ring, from: u64) -> Since {
        let next = ring.next();
        if from < ring.first {
            return Since::Gone;
        }
        Since::Chunks { chunks: (from..next).filter_map(|number| ring.get(number).cloned()).collect(), next }
    }

    /// Nothing happened for a while: what was kept for those who lag goes.
    pub(super) fn rest(&self) {
        self.ring().trim(0);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.feeds.forget(&self.place);
    }
}

/// Follows the log for a feed, for as long as that is there.
struct Pump {
    feed: Weak<Feed>,
    team: Team,
}

impl Pump {
    async fn run(self, log: Arc<dyn AppendLog>) {
        // A log that can't be followed has no feed: whoever wants to join it learns why from a subscription of its own.
        if let Ok(mut events) = log.subscribe_lines(Start::Now).await {
            drop(log);
            let mut at = Position::START;
            while let Some(event) = events.next().await {
                let chunk = Frames::new(at).fill(event, &mut events);
                at = chunk.end();
                let Some(feed) = self.feed.upgrade() else { return };
                feed.push(chunk, &self.team).await;
            }
        }
        if let Some(feed) = self.feed.upgrade() {
            feed.ring().ended = true;
            feed.moved.send_modify(|moved| *moved += 1);
        }
    }
}

impl Feed {
    /// Adds frames and tells the fans that have readers, once there is room.
    async fn push(&self, chunk: Chunk, team: &Team) {
        loop {
            let room = self.room.notified();
            if !self.ring().is_full() {
                break;
            }
            room.await;
        }
        let mut told = [false; MAX_FANS];
        let mut ring = self.ring();
        (ring.head, ring.ended) = (Some(chunk.end()), ring.ended || chunk.last);
        if !chunk.bytes.is_empty() {
            ring.bytes += chunk.bytes.len();
            ring.chunks.push_back(Arc::new(chunk));
            for (fan, told) in ring.fans.iter_mut().zip(&mut told) {
                *told = fan.readers > 0 && !std::mem::replace(&mut fan.told, fan.readers > 0);
            }
            ring.trim(KEPT);
        }
        drop(ring);
        for (fan, _) in told.iter().enumerate().filter(|(_, told)| **told) {
            team.tell(fan, self.number);
        }
        self.moved.send_modify(|moved| *moved += 1);
    }
}

/// A chunk in the making.
struct Frames {
    text: Vec<u8>,
    after: Position,
    at: Position,
    marks: Vec<(Position, u32)>,
    last: bool,
}

impl Frames {
    fn new(after: Position) -> Self {
        Self { text: Vec::new(), after, at: after, marks: Vec::new(), last: false }
    }

    /// Takes an event and all that are ready behind it, up to a piece.
    fn fill(mut self, event: Result<LogEvent<Lines>>, events: &mut LogStream<Lines>) -> Chunk {
        let mut next = Some(event);
        while let Some(event) = next {
            self.add(event);
            let more = !self.last && self.text.len() < PIECE;
            next = if more { events.next().now_or_never().flatten() } else { None };
        }
        let after = if self.marks.is_empty() { self.at } else { self.after };
        Chunk { bytes: self.text.into(), after, marks: self.marks, last: self.last }
    }

    fn add(&mut self, event: Result<LogEvent<Lines>>) {
        match event {
            // Each reader is told of its own.
            Ok(LogEvent::CaughtUp { head }) => {
                self.at = head;
                return;
            }
            Ok(LogEvent::Entry { entry, position }) => {
                self.at = position;
                let marks = &mut self.marks;
                frame::entries(&mut self.text, &entry, position.epoch, |at, end| marks.push((at, mark(end))));
                return;
            }
            Ok(event) => {
                self.last = frame::log_event(&mut self.text, &event) == After::Ends;
                self.at = reached(&event).unwrap_or(self.at);
            }
            Err(error) => {
                sse::farewell(&mut self.text, &error);
                self.last = true;
            }
        }
        self.marks.push((self.at, mark(self.text.len())));
    }
}

fn mark(end: usize) -> u32 {
    u32::try_from(end).unwrap_or(u32::MAX)
}

/// Where a reader is after an event.
pub(super) fn reached<E>(event: &LogEvent<E>) -> Option<Position> {
    match event {
        LogEvent::Entry { position, .. } => Some(*position),
        LogEvent::CaughtUp { head } | LogEvent::Closed { head } => Some(*head),
        LogEvent::Gap(gap) => Some(gap.resumes_after),
        LogEvent::Deleted => Some(Position::START),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: u64) -> Position {
        Position { epoch: 7, seq }
    }

    fn chunk(after: u64, ends: &[(u64, u32)]) -> Arc<Chunk> {
        let marks: Vec<_> = ends.iter().map(|&(seq, end)| (at(seq), end)).collect();
        let bytes = vec![b'x'; marks.last().map_or(0, |&(_, end)| end as usize)].into();
        Arc::new(Chunk { bytes, after: at(after), marks, last: false })
    }

    #[test]
    fn a_reader_joins_where_the_frames_go_on_for_it_and_nowhere_else() {
        let place = |ring: &Ring, position| ring.find(position).map(|spot| (spot.chunk, spot.offset));
        let mut ring = Ring::default();
        assert_eq!(place(&ring, at(0)), None, "nothing is known yet");
        ring.head = Some(at(3));
        assert_eq!((place(&ring, at(3)), place(&ring, at(2)), place(&ring, at(4))), (Some((0, 0)), None, None));
        ring.first = 5;
        ring.chunks = [chunk(3, &[(4, 10), (5, 20)]), chunk(5, &[(6, 30)])].into();
        ring.head = Some(at(6));
        let places: Vec<_> = (2..8).map(|seq| place(&ring, at(seq))).collect();
        assert_eq!(places, [None, Some((5, 0)), Some((5, 10)), Some((6, 0)), Some((7, 0)), None]);
        assert_eq!(place(&ring, Position { epoch: 8, seq: 4 }), None, "of another piece");
        ring.ended = true;
        assert_eq!(place(&ring, at(6)), None);
    }

    #[test]
    fn what_a_fan_has_not_taken_is_kept() {
        let mut ring = Ring { chunks: [chunk(0, &[(1, 10)]), chunk(1, &[(2, 10)])].into(), bytes: 20, ..Ring::default() };
        ring.fans[1] = AtFan { readers: 1, taken: 1, told: false };
        ring.trim(0);
        assert_eq!((ring.first, ring.chunks.len(), ring.bytes), (1, 1, 10));
        ring.fans[1].readers = 0;
        ring.trim(0);
        assert_eq!((ring.first, ring.chunks.len(), ring.bytes), (2, 0, 0));
    }

    #[test]
    fn a_cut_frame_is_found_with_the_position_it_leads_to() {
        let chunk = chunk(3, &[(4, 10), (5, 20)]);
        let found: Vec<_> = [1, 10, 11, 20].map(|offset| chunk.frame_at(offset)).into();
        assert_eq!(found, [(at(4), 10), (at(4), 10), (at(5), 20), (at(5), 20)]);
    }
}
