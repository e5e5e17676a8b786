//! A segment file: its lines in order, its first and last ones, and where a seq stands in it. No index is kept.

mod lines;
mod scan;

use self::lines::CHUNK;
pub(crate) use self::lines::Lines;
pub(crate) use self::scan::{Scanned, Stored, Stretch};
use crate::cursor::Seq;
use crate::error::Result;
use crate::fs::line::{self, Header};
use crate::fs::vfs::File;
use crate::log::Entry;

/// Bisection stops at this distance, in bytes, and reading goes on line by line.
const NEAR: u64 = 64 << 10;
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
        let mut lines = Lines::few(file, 0, len);
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

/// What is known of the seq before a line. A line that is recovered from damage has to fit it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Before {
    /// Nothing stands before, or it has lost its header: any seq is taken.
    Any,
    /// A place in the middle: none is taken.
    Unknown,
    /// This one.
    Seq(Seq),
}

impl Before {
    /// Of the newest segment of a log, whose lines begin at `start`.
    pub(crate) fn of_newest(start: u64, base: Seq) -> Self {
        // At the very beginning no header was good enough to tell.
        if start == 0 { Self::Any } else { Self::Seq(base) }
    }
}

/// Judges the lines of a segment that Folio made, one after the other.
pub(crate) struct Judge {
    before: Before,
    /// Bytes of damaged lines since then.
    damaged: usize,
}

impl Judge {
    pub(crate) fn new(before: Before) -> Self {
        Self { before, damaged: 0 }
    }

    /// The good line that the next raw one is or, behind some bytes of damage, ends with; and how many bytes those are.
    pub(crate) fn line<'a>(&mut self, bytes: &'a [u8]) -> Option<(usize, line::Line<'a>)> {
        let found = line::parse(bytes).map(|line| (0, line)).or_else(|| line::recover(bytes, |at, seq| self.fits(at, seq)));
        match &found {
            Some((_, line)) => {
                self.damaged = 0;
                self.before = Before::Seq(match self.before {
                    Before::Seq(before) => before.max(line.seq),
                    _ => line.seq,
                });
            }
            None => self.damaged += bytes.len() + 1,
        }
        found
    }

    /// Not more entries can have been lost than had room in the damaged bytes.
    fn fits(&self, at: usize, seq: Seq) -> bool {
        let lost = (self.damaged + at).div_ceil(line::SHORTEST) as u64;
        match self.before {
            Before::Any => true,
            Before::Unknown => false,
            Before::Seq(before) => (before..=before.saturating_add(lost + 1)).contains(&seq),
        }
    }
}

/// What a line is to a reader of the log.
enum Judged<'a> {
    Good(line::Line<'a>),
    /// The end of a damaged line. It counts unless a good line behind it has the same seq or an earlier one.
    Recovered(line::Line<'a>),
    Adopted(Entry),
    Damaged,
}

impl Judge {
    fn judge<'a>(&mut self, kind: Kind, bytes: &'a [u8]) -> Judged<'a> {
        match kind {
            Kind::Adopted => line::parse_adopted(bytes).map_or(Judged::Damaged, Judged::Adopted),
            Kind::Ours => match self.line(bytes) {
                Some((0, line)) => Judged::Good(line),
                Some((_, line)) => Judged::Recovered(line),
                None => Judged::Damaged,
            },
        }
    }
}

/// A line that needs no other to be known as good.
fn sure(kind: Kind, bytes: &[u8]) -> Option<Seq> {
    match kind {
        Kind::Adopted => line::parse_adopted(bytes).map(|entry| entry.seq),
        Kind::Ours => line::parse(bytes).map(|line| line.seq),
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

impl LastLine {
    fn of(line: &line::Line<'_>) -> Self {
        Self { seq: line.seq, ts: line.ts, closed: line.body == line::Body::Closed }
    }
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

/// Finds the last good line that ends a unit, from the back, without reading the whole file. `before` tells of the first
/// line.
pub(crate) fn tail(file: &File, kind: Kind, start: u64, len: u64, before: Before) -> Result<Tail> {
    let mut window = CHUNK as u64;
    loop {
        let from = len.saturating_sub(window).max(start);
        let whole = from == start;
        let mut lines = if whole { Lines::new(file, start, len) } else { Lines::after(file, from - 1, len)? };
        let mut judge = Judge::new(if whole { before } else { Before::Unknown });
        // And whether it is sure.
        let mut found: Option<(Tail, LastLine, bool)> = None;
        while let Some(raw) = lines.next()? {
            let (last, sure) = match judge.judge(kind, raw.bytes) {
                Judged::Good(line) if line.more == 0 => (LastLine::of(&line), true),
                Judged::Recovered(line) if line.more == 0 => (LastLine::of(&line), false),
                Judged::Adopted(entry) => (LastLine { seq: entry.seq, ts: entry.ts, closed: false }, true),
                _ => continue,
            };
            // Seqs never fall: a line that has a lower one was put there by somebody.
            if found.is_none_or(|(_, known, was_sure)| last.seq >= known.seq || (sure && !was_sure)) {
                found = Some((Tail { end: raw.next, ended: raw.ended, last: Some(last) }, last, sure));
            }
        }
        match found {
            Some((tail, ..)) => return Ok(tail),
            None if whole => return Ok(Tail { end: start, ended: true, last: None }),
            None => window = window.saturating_mul(8),
        }
    }
}

/// The first entry of a segment that is whole.
pub(crate) fn first_entry(file: &File, kind: Kind, start: u64, end: u64) -> Result<Option<Seq>> {
    let mut lines = Lines::new(file, start, end);
    let mut judge = Judge::new(Before::Any);
    while let Some(raw) = lines.next()? {
        match judge.judge(kind, raw.bytes) {
            Judged::Good(line) | Judged::Recovered(line) if line.is_entry() => return Ok(Some(line.seq)),
            Judged::Adopted(entry) => return Ok(Some(entry.seq)),
            _ => {}
        }
    }
    Ok(None)
}

/// An offset near the entry `seq`, and what is known of the seq before it: every good line before it has a lower seq, and
/// only a little lies between.
fn near(file: &File, kind: Kind, (start, end): (u64, u64), before: Before, seq: Seq) -> Result<(u64, Before)> {
    let (mut low, mut high, mut before) = (start, end, before);
    while high - low > NEAR {
        let middle = low + (high - low) / 2;
        match first_good_after(file, kind, middle, high)? {
            Some((found, next)) if found < seq => (low, before) = (next, Before::Seq(found)),
            _ => high = middle,
        }
    }
    Ok((low, before))
}

/// Seq of the first good line that begins after `from` and before `end`, and the offset after that line.
fn first_good_after(file: &File, kind: Kind, from: u64, end: u64) -> Result<Option<(Seq, u64)>> {
    let mut lines = Lines::few_after(file, from, end)?;
    while let Some(raw) = lines.next()? {
        if let Some(seq) = sure(kind, raw.bytes) {
            return Ok(Some((seq, raw.next)));
        }
    }
    Ok(None)
}

/// The offset after the last good line whose seq is below `seq`; what damaged lines stand there come after it.
pub(crate) fn cut_before(file: &File, kind: Kind, (start, end): (u64, u64), seq: Seq) -> Result<u64> {
    let (mut cut, _) = near(file, kind, (start, end), Before::Any, seq)?;
    let mut lines = Lines::new(file, cut, end);
    while let Some(raw) = lines.next()? {
        match sure(kind, raw.bytes) {
            Some(found) if found >= seq => break,
            Some(_) => cut = raw.next,
            None => {}
        }
    }
    Ok(cut)
}

/// Entries before this line have lower seqs.
fn above(line: &line::Line<'_>) -> Seq {
    if line.is_entry() { line.seq } else { line.seq + 1 }
}

/// Copies the good lines behind entry `base` as they lie, those that follow damage on the same line included. The table
/// of keys is left out: whoever makes a segment writes it anew.
pub(crate) fn copy_good(file: &File, start: u64, end: u64, base: Seq, out: &mut Vec<u8>) -> Result<()> {
    let mut lines = Lines::new(file, start, end);
    let mut judge = Judge::new(Before::Any);
    // Where a recovered line begins in `out`, and its seq.
    let mut recovered: Option<(usize, Seq)> = None;
    while let Some(raw) = lines.next()? {
        let Some((at, found)) = judge.line(raw.bytes) else { continue };
        if let Some((place, seq)) = recovered.take()
            && seq >= above(&found)
        {
            out.truncate(place);
        }
        let wanted = found.seq > base || (found.seq == base && found.body == line::Body::Closed);
        if wanted && !matches!(found.body, line::Body::State(_)) {
            recovered = (at > 0 && found.is_entry()).then_some((out.len(), found.seq));
            out.extend_from_slice(raw.bytes.get(at..).unwrap_or_default());
            out.push(b'\n');
        }
    }
    Ok(())
}
