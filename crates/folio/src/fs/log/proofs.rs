//! What was found good in segments at rest: sealed ones, and the newest where nothing came for a while. Bytes that were judged
//! once need no second look before they are sent as they lie, while the kernel says that the file has not changed.
//!
//! Its time of change tells another program's write, except within one step of the kernel's clock: what changed just now is
//! not proven yet. A medium that goes bad says nothing, so proofs are not believed for long. Every line still carries its
//! sum, for who receives it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cursor::Seq;
use crate::error::Result;
use crate::follow::Budget;
use crate::fs::line;
use crate::fs::log::view::{Mark, Still};
use crate::fs::vfs::File;
use crate::lines::Lines;
use crate::run::PIECE;

/// Proofs that are kept of a log, each of one segment.
const KEPT: usize = 64;
/// How long ago a file must have changed, in milliseconds: well above the step of any kernel's clock.
pub(crate) const SETTLED: u64 = 2_000;
/// For how long a proof is believed, in milliseconds.
const BELIEVED: u64 = 10 * 60 * 1_000;

/// Fewer bytes are read as well as passed on.
const WORTH: u64 = 64 << 10;
/// How often it is tried to find the end of a line.
const TRIES: usize = 8;
/// Most bytes that are passed on between two looks at a file.
const STRETCH: u64 = 8 << 20;

/// A stretch of a segment at rest that is nothing but usual lines of entries, whose seqs rise by 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Proof {
    /// Where the first of the lines begins.
    from: Mark,
    /// Where the last line ends, in bytes.
    to: u64,
    /// When the oldest part of it was found, in unix milliseconds.
    since: u64,
}

impl Proof {
    /// Of the lines between two marks in a segment, which are `bytes` long together: they prove something only if there is
    /// nothing else, and if the file was the same at both.
    pub(crate) fn between(from: Mark, to: Mark, bytes: u64, now: u64) -> Option<Self> {
        let whole = from.segment == to.segment && from.offset + bytes == to.offset;
        whole.then_some(Self { from, to: to.offset, since: now })
    }

    /// True where it speaks of what begins at `mark`.
    pub(crate) fn covers(&self, mark: &Mark) -> bool {
        mark.segment == self.from.segment && (self.from.offset..self.to).contains(&mark.offset)
    }

    /// The lines of `file`, which is still what it was, from `mark` on, up to the entry `last` and within the budget, which
    /// counts bytes of lines; where they end, and what is left of the budget. They end before one that is longer than a piece.
    pub(crate) fn read(&self, file: &File, mark: Mark, last: Seq, budget: Budget) -> Result<(Vec<Lines>, Mark, Budget)> {
        let (mut runs, mut at, mut left) = (Vec::new(), mark, budget);
        while at.offset < self.to && at.after < last && left.entries > 0 && left.bytes > 0 {
            let mut text = Vec::new();
            file.read_onto(&mut text, PIECE.min(usize::try_from(self.to - at.offset).unwrap_or(PIECE)), at.offset)?;
            let wanted = left.entries.min(usize::try_from(last - at.after).unwrap_or(usize::MAX));
            let Some((end, seq)) = cut(&text, at.after, wanted, left.bytes) else { break };
            text.truncate(end);
            left.entries -= usize::try_from(seq - at.after).unwrap_or(left.entries);
            left.bytes = left.bytes.saturating_sub(end);
            runs.push(Lines::new(at.after + 1, seq, text.into()));
            at = Mark { after: seq, offset: at.offset + end as u64, ..at };
        }
        Ok((runs, at, left))
    }

    /// How far the lines of `file`, which is still what it was, reach from `mark` on, up to the entry `last` or a little less
    /// far: only their ends are read. `None` where that tells nothing, or there are few.
    pub(crate) fn reaches(&self, file: &File, mark: Mark, last: Seq) -> Result<Option<Mark>> {
        let (mut wanted, most) = ((self.to - mark.offset).min(STRETCH), last.saturating_sub(mark.after));
        let mut tries = 0;
        while wanted >= WORTH && tries < TRIES {
            tries += 1;
            let size = wanted.min(PIECE as u64);
            let (mut text, begin) = (Vec::new(), mark.offset + wanted - size);
            file.read_onto(&mut text, usize::try_from(size).unwrap_or(PIECE), begin)?;
            let end = memchr::memrchr(b'\n', &text).map_or(0, |newline| newline + 1);
            let Some(seq) = text.get(..end).and_then(|text| last_seq(text, begin == mark.offset)) else {
                // No line lies there whole.
                wanted -= size / 2;
                continue;
            };
            let Some(count) = seq.checked_sub(mark.after).filter(|&count| count > 0) else { return Ok(None) };
            if count <= most {
                return Ok(Some(Mark { after: seq, offset: begin + end as u64, ..mark }));
            }
            // Most lines of a log are of about one length.
            let share = u128::from(wanted) * u128::from(most) * 15 / 16 / u128::from(count);
            wanted = u64::try_from(share).unwrap_or(0);
        }
        Ok(None)
    }
}

/// Seq of the last line in `text`, which ends with it; where the text does not begin a line, it must not be its first.
fn last_seq(text: &[u8], begins: bool) -> Option<Seq> {
    let line = text.strip_suffix(b"\n")?;
    // The end of a line may look like one.
    let start = memchr::memrchr(b'\n', line).map(|newline| newline + 1).or(begins.then_some(0))?;
    Some(line::plain(line.get(start..)?)?.seq)
}

/// Where the lines that are wanted end in `text`, which begins with the entry after `after`, and the seq of the last: those
/// that are whole, at most so many, and none behind the one that reaches so many bytes.
fn cut(text: &[u8], after: Seq, entries: usize, bytes: usize) -> Option<(usize, Seq)> {
    let whole = memchr::memrchr(b'\n', text)? + 1;
    let reached = text.get(bytes.saturating_sub(1)..whole).and_then(|rest| memchr::memchr(b'\n', rest));
    let end = reached.map_or(whole, |newline| bytes.saturating_sub(1) + newline + 1);
    let last = last_seq(text.get(..end)?, true)?;
    if last.checked_sub(after).filter(|&count| count > 0)? <= entries as u64 {
        return Some((end, last));
    }
    let newline = memchr::memchr_iter(b'\n', text).nth(entries.checked_sub(1)?)?;
    Some((newline + 1, after + entries as u64))
}

#[derive(Default)]
pub(crate) struct Proofs {
    kept: Mutex<VecDeque<Proof>>,
    /// Reads that went by one.
    #[cfg(test)]
    pub(crate) used: std::sync::atomic::AtomicUsize,
}

impl Proofs {
    fn held(&self) -> MutexGuard<'_, VecDeque<Proof>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is proven of that which begins at `mark`, and is believed at `now`.
    pub(crate) fn find(&self, mark: &Mark, now: u64) -> Option<Proof> {
        let mut proofs = self.held();
        proofs.retain(|proof| (proof.since..proof.since.saturating_add(BELIEVED)).contains(&now));
        proofs.iter().find(|proof| proof.covers(mark)).copied()
    }

    /// Adds what was found. A proof that ends where it begins becomes longer; another one of the same segment goes, unless it
    /// says as much.
    pub(crate) fn add(&self, found: Proof) {
        let settled = |still: Still| still.changed_ns / 1_000_000 + SETTLED <= found.since;
        if !found.from.segment.still.is_some_and(settled) {
            return;
        }
        let mut proofs = self.held();
        if proofs.iter().any(|proof| proof.covers(&found.from) && proof.to >= found.to) {
            return;
        }
        let ends_there = |proof: &&mut Proof| proof.from.segment == found.from.segment && proof.to == found.from.offset;
        if let Some(proof) = proofs.iter_mut().find(ends_there) {
            proof.to = found.to;
            return;
        }
        proofs.retain(|proof| proof.from.segment.first != found.from.segment.first);
        if proofs.len() == KEPT {
            proofs.pop_front();
        }
        proofs.push_back(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::line::{UnitEnd, push_entry};
    use crate::log::Data;

    #[test]
    fn lines_are_cut_where_they_are_wanted() {
        let mut text = Vec::new();
        let ends: Vec<usize> = (5..=8)
            .map(|seq| {
                push_entry(&mut text, seq, 1, 0, UnitEnd::default(), &Data::Json(crate::json::Json::parse(b"1").unwrap()));
                text.len()
            })
            .collect();
        let all = (ends[3], 8);
        assert_eq!(cut(&text, 4, 100, 10_000), Some(all));
        assert_eq!(cut(&text, 4, 4, ends[3]), Some(all));
        assert_eq!(cut(&text, 4, 3, 10_000), Some((ends[2], 7)));
        // The one that reaches the bytes is the last.
        assert_eq!(cut(&text, 4, 100, ends[2] + 1), Some(all));
        assert_eq!(cut(&text, 4, 100, ends[2]), Some((ends[2], 7)));
        assert_eq!(cut(&text, 4, 100, 1), Some((ends[0], 5)));
        assert_eq!(cut(&text, 4, 1, ends[1]), Some((ends[0], 5)));
        // What comes last may not be whole.
        assert_eq!(cut(&text[..ends[1] + 3], 4, 100, 10_000), Some((ends[1], 6)));
        assert_eq!(cut(&text[..ends[0] - 1], 4, 100, 10_000), None);
        assert_eq!(cut(&text[..ends[0] - 1], 4, 100, 1), None);
        assert_eq!(cut(&text, 8, 100, 10_000), None, "they are not those behind 8");
    }
}
