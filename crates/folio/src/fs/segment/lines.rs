//! The lines of a file, as they lie there.

use std::cell::Cell;

use crate::error::Result;
use crate::fs::vfs::File;

/// Longest line that is read whole, in bytes: well above the largest entry in base64. A longer one is damage.
const MAX_LINE: usize = 64 << 20;
/// How much is read at once, in bytes: what stays in the processor's cache until it was judged.
pub(super) const CHUNK: usize = 64 << 10;
/// How much where only a line or two are wanted.
const FEW: usize = 4 << 10;

/// A line as it lies in the file.
pub(crate) struct RawLine<'a> {
    /// Offset of its first byte.
    pub(crate) start: u64,
    /// Offset after its newline, or the end of the file.
    pub(crate) next: u64,
    /// Without the newline; cut short where it is longer than any line can be.
    pub(crate) bytes: &'a [u8],
    /// False for a last line without a newline.
    pub(crate) ended: bool,
}

impl RawLine<'_> {
    /// True where it is longer than any line can be.
    pub(super) fn is_cut(&self) -> bool {
        self.next - self.start > self.bytes.len() as u64 + 1
    }
}

/// The lines of a range of a file, one at a time, with bounded memory.
pub(crate) struct Lines<'f> {
    file: &'f File,
    /// What was read.
    buffer: Vec<u8>,
    /// Offset in the file of the first byte of `buffer`.
    offset: u64,
    /// The line that was given last, and whether it is next once more.
    given: Given,
    again: Cell<bool>,
    /// Where the next line begins in `buffer`.
    at: usize,
    end: u64,
    /// How much is read at once.
    chunk: usize,
}

/// A line that was given.
#[derive(Clone, Copy, Default)]
struct Given {
    start: u64,
    next: u64,
    /// Where it lies in the buffer, without its newline.
    from: usize,
    to: usize,
    ended: bool,
}

impl<'f> Lines<'f> {
    /// Lines from the byte `from`, which must begin one, up to `end`.
    pub(crate) fn new(file: &'f File, from: u64, end: u64) -> Self {
        Self {
            file,
            buffer: Vec::new(),
            offset: from,
            given: Given::default(),
            again: Cell::new(false),
            at: 0,
            end,
            chunk: CHUNK,
        }
    }

    /// As [`Lines::new`], where only a few are wanted.
    pub(super) fn few(file: &'f File, from: u64, end: u64) -> Self {
        Self { chunk: FEW, ..Self::new(file, from, end) }
    }

    /// Without the next line: those that begin after the byte `from`, wherever in a line that lies.
    pub(super) fn skip(mut self) -> Result<Self> {
        self.next()?;
        Ok(self)
    }

    /// The next line, or `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<RawLine<'_>>> {
        Ok(self.go_on()?.then(|| self.given()))
    }

    /// Goes on to the next line, which is [given](Self::given) then; false at the end.
    pub(super) fn go_on(&mut self) -> Result<bool> {
        if self.again.take() {
            return Ok(true);
        }
        let start = self.offset + self.at as u64;
        if start >= self.end {
            return Ok(false);
        }
        let mut searched = self.at;
        let mut cut = 0_u64;
        let newline = loop {
            let unread = self.buffer.get(searched..).unwrap_or_default();
            if let Some(found) = memchr::memchr(b'\n', unread) {
                break Some(searched + found);
            }
            searched = self.buffer.len();
            if searched - self.at > MAX_LINE {
                let excess = searched - self.at - CHUNK;
                cut += excess as u64;
                self.offset += excess as u64;
                searched = self.at + CHUNK;
                self.buffer.truncate(searched);
            }
            if !self.fill(&mut searched)? {
                break None;
            }
        };
        let stop = newline.unwrap_or(self.buffer.len());
        let from = self.at;
        self.at = newline.map_or(stop, |at| at + 1);
        let next = self.offset + self.at as u64;
        debug_assert!(cut == 0 || next > start);
        self.given = Given { start, next, from, to: stop, ended: newline.is_some() };
        Ok(true)
    }

    /// The line that it stands at.
    pub(super) fn given(&self) -> RawLine<'_> {
        let Given { start, next, from, to, ended } = self.given;
        RawLine { start, next, bytes: self.buffer.get(from..to).unwrap_or_default(), ended }
    }

    /// The line that was given last comes again next.
    pub(super) fn again(&self) {
        self.again.set(true);
    }

    /// Reads more; false at the end. `searched` moves with the buffer.
    fn fill(&mut self, searched: &mut usize) -> Result<bool> {
        self.buffer.drain(..self.at);
        self.offset += self.at as u64;
        *searched -= self.at;
        self.at = 0;
        let have = self.buffer.len();
        let from = self.offset + have as u64;
        // A long line is read in growing steps.
        let want = self.chunk.max(have).min(usize::try_from(self.end.saturating_sub(from)).unwrap_or(usize::MAX));
        let got = self.file.read_onto(&mut self.buffer, want, from)?;
        Ok(got > 0)
    }
}
