//! A follower in the model: what may come next, given everything that happened to the log.

use folio::{AppendLog, Cursor, Gap, GapReason, LogEvent, LogStream, Seq, Start};
use futures_util::StreamExt;

use super::reference::{Life, Lives};
use crate::failure::{Failure, Outcome};
use crate::wait::{next_event, within};

/// A subscription, and where it stands.
pub(super) struct Follower {
    stream: LogStream,
    /// What the next gap must tell as asked for.
    pub(super) cursor: Cursor,
    /// The life that the cursor is in; `None` while the follower waits for one.
    life: Option<usize>,
    /// Lives before this one are over for the follower.
    next_life: usize,
    /// The gap that must come first, where the cursor could not be met.
    first: Option<Gap>,
    /// The head at the start, until the follower was told that it is caught up.
    behind: Option<Seq>,
    /// True once the stream told the end of the log.
    ended: bool,
}

impl Follower {
    pub(super) async fn new(log: &dyn AppendLog, start: Start, lives: &Lives) -> Outcome<Self> {
        let stream = log.subscribe(start).await?;
        let empty = Life::default();
        let now = lives.present().unwrap_or(&empty);
        let (cursor, first) = match start {
            Start::Now => (now.position(now.head()).into(), None),
            Start::After(cursor) => (cursor, now.judge(cursor).1.filter(|gap| gap.reason != GapReason::Truncated)),
        };
        let life = lives.present().map(|_| lives.dead());
        Ok(Self { stream, cursor, life, next_life: lives.dead(), first, behind: Some(now.head()), ended: false })
    }

    /// Takes events until the follower is where the log is; each must be allowed.
    pub(super) async fn drain(&mut self, lives: &mut Lives) -> Outcome {
        while !self.is_where_the_log_is(lives) {
            let event = next_event(&mut self.stream, format!("news after {}", self.cursor)).await?;
            self.take(event, lives)?;
        }
        if self.ended
            && let Some(event) = within("the end of the stream", self.stream.next()).await?
        {
            crate::fail!("{event:?} came after closed");
        }
        Ok(())
    }

    /// True once nothing more can come: the log is closed and all was told.
    pub(super) fn is_over(&self) -> bool {
        self.ended
    }

    fn is_where_the_log_is(&self, lives: &Lives) -> bool {
        if self.ended {
            return true;
        }
        if self.behind.is_some() || self.first.is_some() {
            return false;
        }
        match (lives.present(), self.life) {
            (None, life) => life.is_none(),
            // a life without entries gives no sign of itself
            (Some(now), None) => now.head() == 0 && !now.closed,
            (Some(now), Some(life)) => life == lives.dead() && self.cursor.seq == now.head() && !now.closed,
        }
    }

    fn take(&mut self, event: LogEvent, lives: &mut Lives) -> Outcome {
        match event {
            LogEvent::Gap(gap) => self.gap(gap, lives),
            LogEvent::Entry { entry, position } => {
                let life = self.enter(position.epoch, lives)?;
                let life = lives.all.get_mut(life).ok_or_else(|| Failure::new("no such life"))?;
                let expected = life.entries.get(self.cursor.seq as usize);
                if self.first.is_some() || entry.seq != self.cursor.seq + 1 || expected != Some(&entry.data) {
                    crate::fail!("{entry:?} came after {} instead of {expected:?}, first {:?}", self.cursor, self.first);
                }
                if position != life.position(entry.seq) || !life.tell_time(entry.seq, entry.ts) {
                    crate::fail!("{entry:?} came at {position}, with a position or a time that does not fit");
                }
                if self.behind.is_some_and(|head| entry.seq > head) {
                    crate::fail!("{entry:?} came before caught up at {:?}", self.behind);
                }
                self.cursor = position.into();
                Ok(())
            }
            LogEvent::CaughtUp { head } => {
                let Some(target) = self.behind.take() else { crate::fail!("caught up at {head}, for the second time") };
                if head.seq != self.cursor.seq || head.seq < target || self.first.is_some() {
                    crate::fail!("caught up at {head} came after {}; the head was {target}", self.cursor);
                }
                Ok(())
            }
            LogEvent::Deleted => {
                let dead = self.life.unwrap_or(self.next_life);
                if dead >= lives.dead() {
                    crate::fail!("deleted came after {} although no life ended", self.cursor);
                }
                (self.life, self.next_life, self.first) = (None, dead + 1, None);
                self.cursor = Cursor::START;
                // the head that was to be reached is gone
                self.behind = self.behind.map(|_| 0);
                Ok(())
            }
            LogEvent::Closed { head } => {
                let lives = lives.all.get(self.life.unwrap_or(self.next_life)..).unwrap_or_default();
                let there = lives.iter().any(|life| life.closed && life.position(life.head()) == head);
                if !there || self.cursor.seq != head.seq || self.behind.is_some() {
                    crate::fail!("closed at {head} came after {}", self.cursor);
                }
                self.ended = true;
                Ok(())
            }
        }
    }

    fn gap(&mut self, gap: Gap, lives: &Lives) -> Outcome {
        if let Some(first) = self.first.take() {
            if gap != first {
                crate::fail!("{gap:?} came instead of {first:?}");
            }
            self.cursor = gap.resumes_after.into();
            return Ok(());
        }
        let life = self.enter(gap.resumes_after.epoch, lives)?;
        let life = lives.all.get(life).ok_or_else(|| Failure::new("no such life"))?;
        let (from, to) = (self.cursor.seq, gap.resumes_after.seq);
        let asked = gap.requested == self.cursor || (from == 0 && gap.requested.seq == 0);
        let accounted = match gap.reason {
            GapReason::Truncated => to > from && gap.lost == Some(to - from),
            GapReason::Epoch => to > from && gap.lost.is_none() && life.has_dropped(self.cursor),
            GapReason::Ahead | GapReason::Corrupt => false,
        };
        if !asked || !accounted || to > life.horizon || life.position(to) != gap.resumes_after {
            crate::fail!("{gap:?} came after {}; the horizon is {}", self.cursor, life.horizon);
        }
        self.cursor = gap.resumes_after.into();
        Ok(())
    }

    /// The life that an event is of: the one the follower is in, or a later one that it waits for.
    fn enter(&mut self, epoch: u64, lives: &Lives) -> Outcome<usize> {
        if let Some(life) = self.life {
            return Ok(life);
        }
        let has = |life: &Life| {
            let pieces = life.pieces().unwrap_or_default();
            pieces.iter().any(|piece| piece.epoch == epoch && piece.last > 0)
        };
        let found = (self.next_life..lives.all.len()).find(|life| lives.all.get(*life).is_some_and(has));
        let Some(life) = found else { crate::fail!("an event of the epoch {epoch} came while no life has it") };
        self.life = Some(life);
        Ok(life)
    }
}
