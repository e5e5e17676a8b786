//! Where a log ends.

use super::lines::{CHUNK, Lines};
use super::{Before, Content, Judged, Reader, Stretch};
use crate::cursor::Seq;
use crate::error::Result;
use crate::fs::line;

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

impl Stretch<'_> {
    /// Finds the last good line that ends a unit and is below none before it, from the back, without reading the whole
    /// file. What counts up to there counts also without the lines behind it.
    pub(crate) fn tail(&self) -> Result<Tail> {
        let tail = self.last_unit(false)?;
        // What a recovered line was judged by may lie behind the end; behind a whole line nothing matters.
        let log = Self { range: (self.range.0, tail.end), ..*self };
        let same = tail.end == self.range.1 || log.last_unit(false)? == tail;
        if same { Ok(tail) } else { self.last_unit(true) }
    }

    /// The end of the last unit in the stretch; of the last that ends with a whole line, if it has to be `sure`.
    fn last_unit(&self, sure: bool) -> Result<Tail> {
        let (start, len) = self.range;
        let mut window = CHUNK as u64;
        loop {
            let from = len.saturating_sub(window).max(start);
            let found = if from == start {
                last_of(self.lines(), sure)?
            } else {
                last_of(Reader::new(self, Lines::new(self.file, from - 1, len).skip()?, Before::Unknown), sure)?
            };
            match found {
                Some(tail) => return Ok(tail),
                None if from == start => return Ok(Tail { end: start, ended: true, last: None }),
                None => window = window.saturating_mul(8),
            }
        }
    }
}

fn last_of(mut lines: Reader<'_>, sure: bool) -> Result<Option<Tail>> {
    let mut highest = 0;
    let mut found = None;
    while let Some(Judged { raw, at, content }) = lines.next()? {
        let (last, more) = match content {
            Content::Line(line) => {
                let closed = line.body == line::Body::Closed;
                (LastLine { seq: line.seq, ts: line.ts, closed }, line.more)
            }
            Content::Adopted(entry) => (LastLine { seq: entry.seq, ts: entry.ts, closed: false }, 0),
            Content::Damaged => continue,
        };
        // Seqs never fall: a line that has a lower one was put there by somebody. So none in a log is above its head.
        if last.seq >= highest && more == 0 && (at == 0 || !sure) {
            found = Some(Tail { end: raw.next, ended: raw.ended, last: Some(last) });
        }
        highest = highest.max(last.seq);
    }
    Ok(found)
}
