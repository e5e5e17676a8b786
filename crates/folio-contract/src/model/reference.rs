//! The reference: a log as a plain vector, written to be obviously right.

use std::collections::HashMap;

use folio::{Cursor, Data, Epoch, Gap, GapReason, Order, Piece, Position, ReadOptions, Seq};

use crate::failure::Outcome;

/// One life of a log.
#[derive(Clone, Debug, Default)]
pub(super) struct Life {
    /// Every entry there ever was, also those that compaction removed.
    pub(super) entries: Vec<Data>,
    /// When each was appended, as far as it was told.
    times: Vec<Option<u64>>,
    pub(super) horizon: Seq,
    pub(super) closed: bool,
    /// All pieces there ever were, the open one last, whose end is the head. Empty until it is known.
    epochs: Vec<(Epoch, Seq)>,
    /// Epochs of pieces that the log dropped, because they ended below the horizon.
    dropped: Vec<Epoch>,
    /// What keyed appends brought, and where it landed.
    pub(super) keys: HashMap<String, (Vec<Data>, Seq, Seq)>,
}

/// A page as the contract wants it.
#[derive(Debug, PartialEq)]
pub(super) struct Expected {
    pub(super) entries: Vec<(Seq, Data)>,
    pub(super) gap: Option<Gap>,
    pub(super) first: Seq,
    pub(super) head: Position,
    pub(super) next: Option<Position>,
    pub(super) next_before: Option<Seq>,
}

impl Life {
    pub(super) fn head(&self) -> Seq {
        self.entries.len() as Seq
    }

    /// The open epoch, once it is known.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.epochs.last().map(|(epoch, _)| *epoch)
    }

    /// All pieces there ever were. Not known of a log without entries, whose first piece may have ended or not.
    pub(super) fn pieces(&self) -> Option<Vec<Piece>> {
        let (open, ended) = self.epochs.split_last()?;
        let open = Piece { epoch: open.0, last: self.head() };
        Some(ended.iter().map(|&(epoch, last)| Piece { epoch, last }).chain([open]).collect())
    }

    /// Appends; the first append tells the epoch of the life.
    pub(super) fn append(&mut self, entries: Vec<Data>, epoch: Epoch) {
        if self.epochs.is_empty() {
            self.epochs = vec![(0, 0), (epoch, 0)];
        }
        self.times.extend(entries.iter().map(|_| None));
        self.entries.extend(entries);
    }

    /// Compares with the pieces that the log tells, and takes from them what only the log can know: whether a write
    /// without entries began the first piece, and which pieces below the horizon it dropped.
    ///
    /// # Errors
    /// Where it tells another lineage.
    pub(super) fn learn(&mut self, told: &[Piece]) -> Outcome {
        if self.epochs.is_empty() && told.len() == 2 {
            self.epochs = told.iter().map(|piece| (piece.epoch, piece.last)).collect();
        }
        let all = self.pieces().unwrap_or_else(|| vec![Piece { epoch: 0, last: 0 }]);
        let may_go = |piece: &Piece| piece.last < self.horizon && Some(piece) != all.first() && Some(piece) != all.last();
        let gone: Vec<_> = all.iter().filter(|piece| !told.contains(piece)).copied().collect();
        let kept: Vec<_> = all.iter().filter(|piece| told.contains(piece)).copied().collect();
        if kept != told || !gone.iter().all(may_go) || self.dropped.iter().any(|epoch| kept.iter().any(|p| p.epoch == *epoch)) {
            crate::fail!("the log tells the lineage {told:?} instead of {all:?}, with the horizon {}", self.horizon);
        }
        self.dropped = gone.iter().map(|piece| piece.epoch).collect();
        Ok(())
    }

    /// The life of a fork at `at`, under its own epoch.
    pub(super) fn fork(&self, at: Seq, epoch: Epoch) -> Self {
        let mut epochs = Vec::new();
        for piece in self.pieces().unwrap_or_else(|| vec![Piece { epoch: 0, last: 0 }]) {
            epochs.push((piece.epoch, piece.last.min(at)));
            if piece.last >= at {
                break;
            }
        }
        epochs.push((epoch, at));
        let kept = at as usize;
        Self {
            entries: self.entries.iter().take(kept).cloned().collect(),
            times: self.times.iter().take(kept).copied().collect(),
            horizon: self.horizon,
            dropped: self.dropped.iter().copied().filter(|gone| epochs.iter().any(|(epoch, _)| epoch == gone)).collect(),
            epochs,
            ..Self::default()
        }
    }

    /// True for a cursor in a piece that the log dropped, of which it only knows that it is none of its own now.
    pub(super) fn has_dropped(&self, cursor: Cursor) -> bool {
        cursor.epoch.is_some_and(|epoch| self.dropped.contains(&epoch))
    }

    pub(super) fn position(&self, seq: Seq) -> Position {
        if seq == 0 {
            return Position::START;
        }
        let (open, ended) = self.epochs.split_last().unwrap_or((&(0, 0), &[]));
        let holder = ended.iter().find(|(_, last)| *last >= seq).unwrap_or(open);
        Position { epoch: holder.0, seq }
    }

    /// Where a cursor stands, and the gap to tell: the table of the contract, case by case.
    pub(super) fn judge(&self, cursor: Cursor) -> (Seq, Option<Gap>) {
        let head = self.head();
        let is_known = |epoch: &Epoch| Some(*epoch) == cursor.epoch && !self.dropped.contains(epoch);
        let known = self.epochs.iter().position(|(epoch, _)| is_known(epoch));
        let open = known.is_some_and(|at| at + 1 == self.epochs.len()) || (self.epochs.is_empty() && cursor.epoch == Some(0));
        let (place, mut reason) = if cursor.epoch.is_none() || open {
            if cursor.seq > head { (head, Some(GapReason::Ahead)) } else { (cursor.seq, None) }
        } else if let Some((_, last)) = known.and_then(|at| self.epochs.get(at)) {
            if cursor.seq > *last { (*last, Some(GapReason::Epoch)) } else { (cursor.seq, None) }
        } else {
            (self.horizon, Some(GapReason::Epoch))
        };
        let mut lost = None;
        if reason.is_none() && place < self.horizon {
            reason = Some(GapReason::Truncated);
            lost = Some(self.horizon - place);
        }
        let after = place.max(self.horizon);
        (after, reason.map(|reason| Gap { reason, requested: cursor, lost, resumes_after: self.position(after) }))
    }

    pub(super) fn page(&self, options: &ReadOptions) -> Expected {
        let (floor, floor_gap) = options.since.map_or((self.horizon, None), |since| self.judge(since));
        let below = |seq: &Seq| *seq > floor && options.before.is_none_or(|before| *seq < before);
        let mut wanted: Vec<Seq> = (1..=self.head()).filter(below).collect();
        if options.order == Order::Desc {
            wanted.reverse();
        }
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for seq in wanted.iter().copied() {
            if entries.len() == options.limit || (bytes >= options.max_bytes && !entries.is_empty()) {
                break;
            }
            let Some(data) = self.entries.get(seq as usize - 1) else { break };
            bytes += data.len();
            entries.push((seq, data.clone()));
        }
        let last = entries.last().map(|(seq, _)| *seq);
        let (mut gap, mut next, mut next_before) = (floor_gap, None, None);
        match options.order {
            Order::Asc => next = Some(self.position(last.unwrap_or(floor))),
            Order::Desc => {
                // the gap below the floor comes last, on a page of its own
                if entries.len() < wanted.len() {
                    next_before = last;
                } else if gap.is_some() && !entries.is_empty() {
                    next_before = Some(floor + 1);
                }
                gap = gap.filter(|_| entries.is_empty());
            }
        }
        Expected { entries, gap, first: self.horizon + 1, head: self.position(self.head()), next, next_before }
    }

    /// Remembers when an entry was appended; false where it was told otherwise before, or times fall.
    pub(super) fn tell_time(&mut self, seq: Seq, ts: u64) -> bool {
        let at = seq as usize - 1;
        let (before, after) = self.times.split_at(at.min(self.times.len()));
        let earlier = before.iter().rev().flatten().next().is_none_or(|earlier| *earlier <= ts);
        let later = after.iter().skip(1).flatten().next().is_none_or(|later| *later >= ts);
        let Some(own) = self.times.get_mut(at) else { return false };
        earlier && later && *own.get_or_insert(ts) == ts
    }
}

/// The lives of one log name.
#[derive(Debug, Default)]
pub(super) struct Lives {
    /// All there were, the newest last.
    pub(super) all: Vec<Life>,
    /// True while the newest one goes on.
    pub(super) is_present: bool,
}

impl Lives {
    pub(super) fn present(&self) -> Option<&Life> {
        self.all.last().filter(|_| self.is_present)
    }

    pub(super) fn present_mut(&mut self) -> Option<&mut Life> {
        self.all.last_mut().filter(|_| self.is_present)
    }

    /// The life there is, or one that begins now.
    pub(super) fn present_or_new(&mut self) -> &mut Life {
        if !self.is_present || self.all.is_empty() {
            self.all.push(Life::default());
            self.is_present = true;
        }
        let newest = self.all.len() - 1;
        &mut self.all[newest]
    }

    /// How many have ended.
    pub(super) fn dead(&self) -> usize {
        self.all.len() - usize::from(self.is_present)
    }

    /// All epochs that any life of this name had.
    pub(super) fn newest_epoch(&self) -> Epoch {
        self.all.iter().filter_map(Life::epoch).max().unwrap_or(0)
    }
}
