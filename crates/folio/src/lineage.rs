//! The lives of a log, and what a cursor from one of them means now.
//!
//! A lineage is a list of pieces `(epoch, last seq)`; the newest one is open and ends at the head. A new piece begins
//! when entries that somebody may have seen were lost, so a cursor of the old piece can be told apart from one that
//! merely waits. Rules: `docs/design.md`, "Lineage and cursors".

use crate::cursor::{Cursor, Epoch, Position, Seq};
use crate::error::{Error, Result};

/// A piece of a log that has ended: its epoch, and the seq of the last entry that belongs to it (inclusive).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// The epoch of this life.
    pub epoch: Epoch,
    /// The last seq of this life, inclusive; 0 when it never had an entry.
    pub last: Seq,
}

/// The lives of a log: ended pieces with rising epochs, then the open one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lineage {
    ended: Vec<Piece>,
    open: Epoch,
}

/// Why delivery cannot simply go on from a cursor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum GapReason {
    /// Compaction removed entries that the cursor had not seen.
    Truncated,
    /// The cursor comes from a life of the log that ended before that seq, or from none that is known.
    Epoch,
    /// The cursor lies beyond the head.
    Ahead,
    /// Entries are damaged on disk.
    Corrupt,
}

impl GapReason {
    /// The word used in every format: `truncated`, `epoch`, `ahead`, `corrupt`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Epoch => "epoch",
            Self::Ahead => "ahead",
            Self::Corrupt => "corrupt",
        }
    }

    /// The reverse of [`GapReason::as_str`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Truncated, Self::Epoch, Self::Ahead, Self::Corrupt].into_iter().find(|reason| reason.as_str() == word)
    }
}

/// A hole in what a reader gets, told before delivery goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// The cursor that was asked for, or the position that the reader had reached.
    pub requested: Cursor,
    /// How many entries are missing; told for `truncated` and `corrupt`.
    pub lost: Option<u64>,
    /// The next entry delivered is the one after this.
    pub resumes_after: Position,
}

/// Where reading starts for a cursor, and the gap to tell first, if any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resolved {
    /// Exclusive: the first entry to deliver is the one after.
    pub after: Seq,
    /// What must be told before it.
    pub gap: Option<Gap>,
}

/// The bounds of a log that a cursor is judged against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Seq of the newest entry that compaction removed; 0: none.
    pub horizon: Seq,
    /// Seq of the newest entry.
    pub head: Seq,
    /// True when the open piece counts as ended at the head, because the next write will begin a new one.
    pub ended: bool,
}

impl Default for Lineage {
    fn default() -> Self {
        Self::adopted()
    }
}

impl Lineage {
    /// Epoch 0 open: an empty log, or one that another tool wrote.
    #[must_use]
    pub fn adopted() -> Self {
        Self { ended: Vec::new(), open: 0 }
    }

    /// From what a header holds.
    ///
    /// # Errors
    /// [`Error::Invalid`] where epochs do not rise or last seqs fall.
    pub fn from_parts(ended: Vec<Piece>, open: Epoch) -> Result<Self> {
        let epochs = ended.iter().map(|piece| piece.epoch).chain([open]);
        let rising = epochs.clone().zip(epochs.skip(1)).all(|(a, b)| a < b);
        let ordered = ended.iter().zip(ended.iter().skip(1)).all(|(a, b)| a.last <= b.last);
        if rising && ordered {
            Ok(Self { ended, open })
        } else {
            Err(Error::invalid("a lineage needs rising epochs and last seqs that do not fall"))
        }
    }

    /// Epoch of the open piece.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.open
    }

    /// The ended pieces, oldest first.
    #[must_use]
    pub fn ended(&self) -> &[Piece] {
        &self.ended
    }

    /// All pieces as told to clients: the open one ends at the head.
    #[must_use]
    pub fn pieces(&self, head: Seq) -> Vec<Piece> {
        let open = Piece { epoch: self.open, last: head };
        self.ended.iter().copied().chain([open]).collect()
    }

    /// Ends the open piece at `head` and opens one under `epoch`, which must be above [`Lineage::epoch`].
    #[must_use]
    pub fn begin(&self, epoch: Epoch, head: Seq) -> Self {
        debug_assert!(epoch > self.open);
        let mut ended = self.ended.clone();
        ended.push(Piece { epoch: self.open, last: head });
        Self { ended, open: epoch }
    }

    /// The lineage of a log whose entries after `head` are lost: no ended piece reaches beyond it.
    #[must_use]
    pub fn cut(&self, head: Seq) -> Self {
        let ended = self.ended.iter().map(|piece| Piece { last: piece.last.min(head), ..*piece }).collect();
        Self { ended, open: self.open }
    }

    /// What a fork at `at` inherits, under its own `epoch`: the pieces up to the one that holds `at`, which ends there.
    #[must_use]
    pub fn fork(&self, at: Seq, epoch: Epoch) -> Self {
        let mut ended: Vec<Piece> = self.ended.iter().copied().take_while(|piece| piece.last < at).collect();
        let holder = self.ended.get(ended.len()).map_or(self.open, |piece| piece.epoch);
        ended.push(Piece { epoch: holder, last: at });
        Self { ended, open: epoch }
    }

    /// Drops pieces that end below the horizon, except the first.
    #[must_use]
    pub fn pruned(mut self, horizon: Seq) -> Self {
        let mut first = true;
        self.ended.retain(|piece| std::mem::take(&mut first) || piece.last >= horizon);
        self
    }

    /// The position that means "seq was seen": seq with the epoch of the piece that holds it.
    #[must_use]
    pub fn position(&self, seq: Seq) -> Position {
        if seq == 0 {
            return Position::START;
        }
        let holder = self.ended.iter().find(|piece| piece.last >= seq);
        Position { epoch: holder.map_or(self.open, |piece| piece.epoch), seq }
    }

    /// The last seq of the piece that holds `seq`; the open one has no end.
    pub(crate) fn end_of_piece(&self, seq: Seq) -> Seq {
        self.ended.iter().find(|piece| piece.last >= seq).map_or(Seq::MAX, |piece| piece.last)
    }

    /// Judges a cursor: where to go on, and what must be told first.
    ///
    /// | cursor | place | gap |
    /// | --- | --- | --- |
    /// | known ended epoch, seq at or before its end | seq | |
    /// | known ended epoch, seq beyond its end | its end | `epoch` |
    /// | open epoch or bare, seq at or before the head | seq | |
    /// | open epoch or bare, seq beyond the head | the head | `ahead` |
    /// | unknown epoch | the horizon | `epoch` |
    /// | then: place below the horizon | the horizon | `truncated`, unless a reason stands |
    #[must_use]
    pub fn resolve(&self, cursor: Cursor, bounds: Bounds) -> Resolved {
        let Bounds { horizon, head, ended } = bounds;
        let end_of = |epoch: Epoch| self.ended.iter().find(|piece| piece.epoch == epoch).map(|piece| piece.last);
        let (place, reason) = match cursor.epoch {
            Some(epoch) if epoch == self.open && ended => past(cursor.seq, head, GapReason::Epoch),
            Some(epoch) if epoch == self.open => past(cursor.seq, head, GapReason::Ahead),
            None => past(cursor.seq, head, GapReason::Ahead),
            Some(epoch) => match end_of(epoch) {
                Some(end) => past(cursor.seq, end, GapReason::Epoch),
                None => (horizon, Some(GapReason::Epoch)),
            },
        };
        let after = place.max(horizon);
        let reason = reason.or_else(|| (place < horizon).then_some(GapReason::Truncated));
        let gap = reason.map(|reason| Gap {
            reason,
            requested: cursor,
            lost: (reason == GapReason::Truncated).then_some(after - place),
            resumes_after: self.position(after),
        });
        Resolved { after, gap }
    }
}

fn past(seq: Seq, end: Seq, reason: GapReason) -> (Seq, Option<GapReason>) {
    if seq <= end { (seq, None) } else { (end, Some(reason)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(ended: &[(Epoch, Seq)], open: Epoch) -> Lineage {
        let ended = ended.iter().map(|&(epoch, last)| Piece { epoch, last }).collect();
        Lineage::from_parts(ended, open).unwrap()
    }

    /// pieces 0: 1–10, 100: 11–20, 200: 21–(head 30)
    fn three() -> Lineage {
        lineage(&[(0, 10), (100, 20)], 200)
    }

    #[test]
    fn what_is_lost_ends_every_piece() {
        let cut = three().cut(15);
        assert_eq!(cut, lineage(&[(0, 10), (100, 15)], 200));
        assert_eq!(cut.begin(300, 15), lineage(&[(0, 10), (100, 15), (200, 15)], 300));
        assert_eq!(three().cut(7), lineage(&[(0, 7), (100, 7)], 200));
    }

    #[test]
    fn resolve_table() {
        use GapReason::*;
        // (cursor, horizon, ended) -> (after, reason, lost)
        type Row = (&'static str, Seq, bool, Seq, Option<GapReason>, Option<u64>);
        let rows: &[Row] = &[
            ("0-0", 0, false, 0, None, None),
            ("0", 0, false, 0, None, None),
            ("0-10", 0, false, 10, None, None),
            ("0-11", 0, false, 10, Some(Epoch), None),
            ("100-15", 0, false, 15, None, None),
            ("100-20", 0, false, 20, None, None),
            ("100-21", 0, false, 20, Some(Epoch), None),
            ("100-5", 0, false, 5, None, None),
            ("200-25", 0, false, 25, None, None),
            ("200-30", 0, false, 30, None, None),
            ("200-31", 0, false, 30, Some(Ahead), None),
            ("200-31", 0, true, 30, Some(Epoch), None),
            ("200-30", 0, true, 30, None, None),
            ("25", 0, false, 25, None, None),
            ("31", 0, false, 30, Some(Ahead), None),
            ("31", 0, true, 30, Some(Ahead), None),
            ("150-15", 0, false, 0, Some(Epoch), None),
            ("150-15", 12, false, 12, Some(Epoch), None),
            ("0-0", 12, false, 12, Some(Truncated), Some(12)),
            ("5", 12, false, 12, Some(Truncated), Some(7)),
            ("12", 12, false, 12, None, None),
            ("0-11", 15, false, 15, Some(Epoch), None),
            ("200-31", 30, false, 30, Some(Ahead), None),
            ("200-7", 30, false, 30, Some(Truncated), Some(23)),
        ];
        for &(text, horizon, ended, after, reason, lost) in rows {
            let cursor: Cursor = text.parse().unwrap();
            let got = three().resolve(cursor, Bounds { horizon, head: 30, ended });
            assert_eq!(got.after, after, "{text} horizon {horizon}");
            assert_eq!(got.gap.map(|gap| gap.reason), reason, "{text} horizon {horizon}");
            if let Some(gap) = got.gap {
                assert_eq!(gap.lost, lost, "{text} horizon {horizon}");
                assert_eq!(gap.requested, cursor);
                assert_eq!(gap.resumes_after, three().position(after));
            }
        }
    }

    #[test]
    fn an_empty_log() {
        let empty = Lineage::adopted();
        let bounds = Bounds { horizon: 0, head: 0, ended: false };
        assert_eq!(empty.resolve("0-0".parse().unwrap(), bounds).gap, None);
        let ahead = empty.resolve("0-3".parse().unwrap(), bounds).gap.unwrap();
        assert_eq!((ahead.reason, ahead.resumes_after), (GapReason::Ahead, Position::START));
        let other_life = empty.resolve("77-3".parse().unwrap(), bounds).gap.unwrap();
        assert_eq!((other_life.reason, other_life.resumes_after), (GapReason::Epoch, Position::START));
    }

    #[test]
    fn positions_name_the_piece_that_holds_the_seq() {
        let text = |seq| three().position(seq).to_string();
        assert_eq!(
            [text(0), text(1), text(10), text(11), text(20), text(21), text(30)],
            ["0-0", "0-1", "0-10", "100-11", "100-20", "200-21", "200-30"]
        );
        // a piece that never had an entry holds nothing
        assert_eq!(lineage(&[(0, 0), (5, 7), (6, 7)], 9).position(7).to_string(), "5-7");
    }

    #[test]
    fn every_position_of_a_log_is_a_good_cursor() {
        for seq in 0..=30 {
            let bounds = Bounds { horizon: 0, head: 30, ended: false };
            let got = three().resolve(three().position(seq).into(), bounds);
            assert_eq!(got, Resolved { after: seq, gap: None });
        }
    }

    #[test]
    fn forks_cut_the_lineage() {
        let at = |n| three().fork(n, 900).pieces(n).iter().map(|p| (p.epoch, p.last)).collect::<Vec<_>>();
        assert_eq!(at(30), [(0, 10), (100, 20), (200, 30), (900, 30)]);
        assert_eq!(at(20), [(0, 10), (100, 20), (900, 20)]);
        assert_eq!(at(15), [(0, 10), (100, 15), (900, 15)]);
        assert_eq!(at(10), [(0, 10), (900, 10)]);
        assert_eq!(at(0), [(0, 0), (900, 0)]);
    }

    #[test]
    fn pruning_keeps_the_first_piece() {
        let pruned = lineage(&[(0, 10), (100, 20), (200, 30)], 300).pruned(25);
        assert_eq!(pruned, lineage(&[(0, 10), (200, 30)], 300));
        // positions at or above the horizon are unchanged
        assert_eq!(pruned.position(25).to_string(), "200-25");
    }

    #[test]
    fn bad_parts_are_refused() {
        let piece = |epoch, last| Piece { epoch, last };
        assert!(Lineage::from_parts(vec![piece(5, 1)], 5).is_err());
        assert!(Lineage::from_parts(vec![piece(0, 9), piece(4, 8)], 5).is_err());
    }
}
