//! The newest entries of a log, shared by all who follow it, so that following live costs no disk read.

use std::collections::VecDeque;

use crate::cursor::Seq;
use crate::log::Entry;

/// Payload bytes that are kept.
const BYTES: usize = 256 << 10;
/// Entries that are kept.
const ENTRIES: usize = 4_096;

/// Consecutive entries up to the head, bounded.
#[derive(Default)]
pub(crate) struct Ring {
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Ring {
    /// Takes entries that were added; `head` is the newest of the log. What does not reach up to it is void.
    pub(crate) fn push(&mut self, added: Vec<Entry>, head: Seq) {
        let expected = self.entries.back().map(|last| last.seq + 1);
        if added.first().is_some_and(|first| expected.is_some_and(|expected| first.seq != expected)) {
            self.clear();
        }
        for entry in added {
            self.bytes += entry.data.len();
            self.entries.push_back(entry);
        }
        if self.entries.back().is_some_and(|last| last.seq != head) {
            self.clear();
        }
        while self.entries.len() > ENTRIES || (self.bytes > BYTES && self.entries.len() > 1) {
            if let Some(oldest) = self.entries.pop_front() {
                self.bytes -= oldest.data.len();
            }
        }
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// Entries after `after`, at most so many and about so many bytes; `None` if the next one is not here.
    pub(crate) fn after(&self, after: Seq, entries: usize, bytes: usize) -> Option<Vec<Entry>> {
        let first = self.entries.front()?.seq;
        let skip = usize::try_from((after + 1).checked_sub(first)?).ok()?;
        if skip >= self.entries.len() {
            return None;
        }
        let mut total = 0;
        let mut taken = Vec::new();
        for entry in self.entries.range(skip..).take(entries) {
            total += entry.data.len();
            taken.push(entry.clone());
            if total >= bytes {
                break;
            }
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Data;

    fn entries(seqs: std::ops::RangeInclusive<Seq>, size: usize) -> Vec<Entry> {
        seqs.map(|seq| Entry { seq, ts: 0, data: Data::Bytes(vec![0; size].into()) }).collect()
    }

    fn seqs(ring: &Ring, after: Seq) -> Option<Vec<Seq>> {
        Some(ring.after(after, 100, usize::MAX)?.iter().map(|entry| entry.seq).collect())
    }

    #[test]
    fn it_answers_only_what_it_holds_without_holes() {
        let mut ring = Ring::default();
        ring.push(entries(5..=7, 1), 7);
        assert_eq!(seqs(&ring, 4), Some(vec![5, 6, 7]));
        assert_eq!(seqs(&ring, 6), Some(vec![7]));
        assert_eq!((seqs(&ring, 3), seqs(&ring, 7)), (None, None));
        ring.push(entries(8..=8, 1), 8);
        assert_eq!(seqs(&ring, 6), Some(vec![7, 8]));
        // entries that nobody followed were not kept, so the older ones are void
        ring.push(Vec::new(), 9);
        assert_eq!(seqs(&ring, 6), None);
        ring.push(entries(10..=10, 1), 10);
        assert_eq!((seqs(&ring, 8), seqs(&ring, 9)), (None, Some(vec![10])));
        ring.push(entries(12..=12, 1), 12);
        assert_eq!((seqs(&ring, 9), seqs(&ring, 11)), (None, Some(vec![12])));
    }

    #[test]
    fn it_is_bounded() {
        let mut ring = Ring::default();
        ring.push(entries(1..=10, BYTES / 4), 10);
        assert_eq!(seqs(&ring, 6), Some(vec![7, 8, 9, 10]));
        assert_eq!(seqs(&ring, 5), None);
        ring.push(entries(11..=11, BYTES * 2), 11);
        assert_eq!(seqs(&ring, 10), Some(vec![11]));
        assert_eq!(ring.after(10, 1, 1).unwrap().len(), 1);
    }
}
