//! A segment file: its lines in order, its first and last ones, and where a seq stands in it. No index is kept.

use crate::cursor::Seq;
use crate::error::Result;
use crate::fs::line::{self, Header};
use crate::fs::vfs::File;
use crate::log::Entry;

/// Longest line that is read whole, in bytes: well above the largest entry in base64. A longer one is damage.
const MAX_LINE: usize = 64 << 20;
/// Bisection stops at this distance, in bytes, and reading goes on line by line.
const NEAR: u64 = 64 << 10;
/// How much is read at once, in bytes.
const CHUNK: usize = 64 << 10;

/// Who wrote a segment, and so how its lines are judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Folio: every line has a sum.
    Ours,
    /// Another tool: a line is good when it parses.
    Adopted,
}

/// What the first line of a segment says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum First {
    /// A good header.
    Header(Box<Header>),
    /// Another tool's log. An empty file is one without entries.
    Adopted,
    /// Neither.
    Bad,
}

/// What a segment's first line tells.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) first: First,
    /// Offset of the first line after the header, in bytes.
    pub(crate) start: u64,
    /// Length of the file, in bytes.
    pub(crate) len: u64,
}

impl Opening {
    /// Reads the first line of `file`.
    pub(crate) fn read(file: &File) -> Result<Self> {
        let len = file.len()?;
        let mut lines = Lines::new(file, 0, len);
        let Some(line) = lines.next()? else { return Ok(Self { first: First::Adopted, start: 0, len }) };
        if let Some(header) = Header::parse(line.bytes)? {
            return Ok(Self { first: First::Header(Box::new(header)), start: line.next, len });
        }
        if line::looks_adopted(line.bytes) {
            return Ok(Self { first: First::Adopted, start: 0, len });
        }
        // It is read on: a lost newline may have glued the first entry to it.
        Ok(Self { first: First::Bad, start: 0, len })
    }

    pub(crate) fn kind(&self) -> Kind {
        if self.first == First::Adopted { Kind::Adopted } else { Kind::Ours }
    }
}

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

/// The lines of a range of a file, one at a time, with bounded memory.
pub(crate) struct Lines<'f> {
    file: &'f File,
    buffer: Vec<u8>,
    /// Offset in the file of the first byte of `buffer`.
    offset: u64,
    /// Where the next line begins in `buffer`.
    at: usize,
    end: u64,
}

impl<'f> Lines<'f> {
    /// Lines from the byte `from`, which must begin one, up to `end`.
    pub(crate) fn new(file: &'f File, from: u64, end: u64) -> Self {
        Self { file, buffer: Vec::new(), offset: from, at: 0, end }
    }

    /// Lines that begin after the byte `from`.
    fn after(file: &'f File, from: u64, end: u64) -> Result<Self> {
        let mut lines = Self::new(file, from, end);
        lines.next()?;
        Ok(lines)
    }

    /// The next line, or `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<RawLine<'_>>> {
        let start = self.offset + self.at as u64;
        if start >= self.end {
            return Ok(None);
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
                self.buffer.drain(self.at + CHUNK..);
                searched = self.buffer.len();
            }
            if !self.fill(&mut searched)? {
                break None;
            }
        };
        let stop = newline.unwrap_or(self.buffer.len());
        let begin = self.at;
        self.at = newline.map_or(stop, |at| at + 1);
        let next = self.offset + self.at as u64;
        debug_assert!(cut == 0 || next > start);
        Ok(Some(RawLine { start, next, bytes: self.buffer.get(begin..stop).unwrap_or_default(), ended: newline.is_some() }))
    }

    /// Reads more; false at the end. `searched` moves with the buffer.
    fn fill(&mut self, searched: &mut usize) -> Result<bool> {
        if self.at > 0 {
            self.buffer.drain(..self.at);
            self.offset += self.at as u64;
            *searched -= self.at;
            self.at = 0;
        }
        let have = self.buffer.len();
        let from = self.offset + have as u64;
        // A long line is read in growing steps.
        let want = CHUNK.max(have).min(usize::try_from(self.end.saturating_sub(from)).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(false);
        }
        self.buffer.resize(have + want, 0);
        let got = self.file.read_at(self.buffer.get_mut(have..).unwrap_or_default(), from)?;
        self.buffer.truncate(have + got);
        Ok(got > 0)
    }
}

/// What a line is to a reader of the log.
enum Judged<'a> {
    Good(line::Line<'a>),
    Adopted(Entry),
    Damaged,
}

fn judge(kind: Kind, bytes: &[u8]) -> Judged<'_> {
    match kind {
        Kind::Adopted => line::parse_adopted(bytes).map_or(Judged::Damaged, Judged::Adopted),
        Kind::Ours => match line::parse(bytes).or_else(|| line::recover(bytes).map(|(_, inner)| inner)) {
            Some(line) => Judged::Good(line),
            None => Judged::Damaged,
        },
    }
}

/// The last line that belongs to a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LastLine {
    pub(crate) seq: Seq,
    pub(crate) ts: u64,
    /// It is the line that ends the log.
    pub(crate) closed: bool,
}

/// Where the log ends in a segment; what follows is no part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tail {
    /// Offset after the last line that ends a unit.
    pub(crate) end: u64,
    /// False when that line lacks only its newline.
    pub(crate) ended: bool,
    /// `None`: there is no such line.
    pub(crate) last: Option<LastLine>,
}

/// Finds the last good line that ends a unit, from the back, without reading the whole file.
pub(crate) fn tail(file: &File, kind: Kind, start: u64, len: u64) -> Result<Tail> {
    let mut window = CHUNK as u64;
    loop {
        let from = len.saturating_sub(window).max(start);
        let mut lines = if from > start { Lines::after(file, from - 1, len)? } else { Lines::new(file, start, len) };
        let mut found = None;
        while let Some(raw) = lines.next()? {
            let last = match judge(kind, raw.bytes) {
                Judged::Good(line) if line.more == 0 => {
                    LastLine { seq: line.seq, ts: line.ts, closed: line.body == line::Body::Closed }
                }
                Judged::Adopted(entry) => LastLine { seq: entry.seq, ts: entry.ts, closed: false },
                _ => continue,
            };
            found = Some(Tail { end: raw.next, ended: raw.ended, last: Some(last) });
        }
        match found {
            Some(tail) => return Ok(tail),
            None if from == start => return Ok(Tail { end: start, ended: true, last: None }),
            None => window = window.saturating_mul(8),
        }
    }
}

/// The first entry of a segment that is whole.
pub(crate) fn first_entry(file: &File, kind: Kind, start: u64, end: u64) -> Result<Option<Seq>> {
    let mut lines = Lines::new(file, start, end);
    while let Some(raw) = lines.next()? {
        match judge(kind, raw.bytes) {
            Judged::Good(line) if line.is_entry() => return Ok(Some(line.seq)),
            Judged::Adopted(entry) => return Ok(Some(entry.seq)),
            _ => {}
        }
    }
    Ok(None)
}

/// An offset near the entry `seq`: every good line before it has a lower seq, and only a little lies between.
pub(crate) fn near(file: &File, kind: Kind, start: u64, end: u64, seq: Seq) -> Result<u64> {
    let (mut low, mut high) = (start, end);
    while high - low > NEAR {
        let middle = low + (high - low) / 2;
        match first_good_after(file, kind, middle, high)? {
            Some((found, next)) if found < seq => low = next,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// Seq of the first good line that begins after `from` and before `end`, and the offset after that line.
fn first_good_after(file: &File, kind: Kind, from: u64, end: u64) -> Result<Option<(Seq, u64)>> {
    let mut lines = Lines::after(file, from, end)?;
    while let Some(raw) = lines.next()? {
        let seq = match judge(kind, raw.bytes) {
            Judged::Good(line) => line.seq,
            Judged::Adopted(entry) => entry.seq,
            Judged::Damaged => continue,
        };
        return Ok(Some((seq, raw.next)));
    }
    Ok(None)
}

/// The offset after the last good line whose seq is below `seq`; what damaged lines stand there come after it.
pub(crate) fn cut_before(file: &File, kind: Kind, start: u64, end: u64, seq: Seq) -> Result<u64> {
    let mut cut = near(file, kind, start, end, seq)?;
    let mut lines = Lines::new(file, cut, end);
    while let Some(raw) = lines.next()? {
        let found = match judge(kind, raw.bytes) {
            Judged::Good(line) => line.seq,
            Judged::Adopted(entry) => entry.seq,
            Judged::Damaged => continue,
        };
        if found >= seq {
            break;
        }
        cut = raw.next;
    }
    Ok(cut)
}

/// Visits the good entries after `after` up to `last` (inclusive) in rising order, until `visit` says false.
///
/// Returns false if `visit` did. A hole shows as a step in the seqs of more than one.
pub(crate) fn scan(
    file: &File,
    kind: Kind,
    (start, end): (u64, u64),
    after: Seq,
    last: Seq,
    visit: &mut dyn FnMut(Entry) -> bool,
) -> Result<bool> {
    let mut seen = after;
    let mut lines = Lines::new(file, near(file, kind, start, end, after.saturating_add(1))?, end);
    while let Some(raw) = lines.next()? {
        let entry = match judge(kind, raw.bytes) {
            Judged::Good(line) if line.seq > seen && line.is_entry() => line.entry(),
            Judged::Adopted(entry) if entry.seq > seen => Some(entry),
            _ => None,
        };
        let Some(entry) = entry else { continue };
        if entry.seq > last {
            break;
        }
        seen = entry.seq;
        if !visit(entry) {
            return Ok(false);
        }
        if seen == last {
            break;
        }
    }
    Ok(true)
}

/// Copies the good lines behind entry `base` as they lie, those that follow damage on the same line included. The table
/// of keys is left out: whoever makes a segment writes it anew.
pub(crate) fn copy_good(file: &File, start: u64, end: u64, base: Seq, out: &mut Vec<u8>) -> Result<()> {
    let mut lines = Lines::new(file, start, end);
    while let Some(raw) = lines.next()? {
        let whole = line::parse(raw.bytes).map(|found| (0, found));
        let Some((at, found)) = whole.or_else(|| line::recover(raw.bytes)) else { continue };
        let wanted = found.seq > base || (found.seq == base && found.body == line::Body::Closed);
        if wanted && !matches!(found.body, line::Body::State(_)) {
            out.extend_from_slice(raw.bytes.get(at..).unwrap_or_default());
            out.push(b'\n');
        }
    }
    Ok(())
}
