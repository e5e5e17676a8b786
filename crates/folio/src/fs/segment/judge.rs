//! What the lines of a segment are. One rule decides it for all who read, append, write a segment anew or check it.
//!
//! A line whose sum is right counts. In a damaged line a suffix counts that is a whole line, if its seq fits between the
//! good lines around it. What is decided after a good line depends on nothing before that line: so it is the same for who
//! begins there and for who read the whole segment, and a copy of the lines from there on says what they said.

use super::Stretch;
use super::lines::{Lines, RawLine};
use crate::cursor::Seq;
use crate::error::Result;
use crate::fs::line;
use crate::fs::vfs::File;
use crate::log::Entry;

/// Who wrote a segment, and so how its lines are judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Folio: every line has a sum.
    Ours,
    /// Another tool: a line is good when it parses.
    Adopted,
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

/// What a line is to a reader of the log.
pub(crate) enum Content<'a> {
    /// A good line, whole or the end of a damaged one.
    Line(line::Line<'a>),
    Adopted(Entry),
    Damaged,
}

/// A line that was judged.
pub(crate) struct Judged<'a> {
    pub(crate) raw: RawLine<'a>,
    /// Where in it the good line begins, in bytes: 0, or behind damage.
    pub(crate) at: usize,
    pub(crate) content: Content<'a>,
}

impl Judged<'_> {
    /// The bytes of it that are damaged.
    pub(crate) fn damage(&self) -> &[u8] {
        match self.content {
            Content::Damaged => self.raw.bytes,
            _ => self.raw.bytes.get(..self.at).unwrap_or_default(),
        }
    }
}

/// Goes through the lines of a stretch and judges them, one after the other.
pub(crate) struct Reader<'f> {
    lines: Lines<'f>,
    judge: Judge<'f>,
}

impl<'f> Reader<'f> {
    /// Judges `lines`, which lie in `stretch`; `before` tells of the first one.
    pub(super) fn new(stretch: &Stretch<'f>, lines: Lines<'f>, before: Before) -> Self {
        let Stretch { file, kind, range: (_, end), .. } = *stretch;
        Self { lines, judge: Judge { file, kind, end, before, damaged: 0, below: None } }
    }

    /// The next line, if it is a usual one, and where the one behind it begins; else [`Reader::next`] gives what is next.
    pub(super) fn next_plain(&mut self) -> Result<Option<(line::Plain<'_>, u64)>> {
        if self.judge.kind != Kind::Ours || !self.lines.go_on()? {
            return Ok(None);
        }
        let raw = self.lines.given();
        let plain = if raw.is_cut() { None } else { line::plain(raw.bytes) };
        let Some(plain) = plain else {
            self.lines.again();
            return Ok(None);
        };
        self.judge.saw_whole(plain.seq);
        Ok(Some((plain, raw.next)))
    }

    /// The next line, or `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Judged<'_>>> {
        let Some(raw) = self.lines.next()? else { return Ok(None) };
        let (at, content) = self.judge.judge(&raw)?;
        Ok(Some(Judged { raw, at, content }))
    }
}

struct Judge<'f> {
    file: &'f File,
    kind: Kind,
    end: u64,
    before: Before,
    /// Bytes of damaged lines since then.
    damaged: u64,
    /// The seq that lines before the next whole one are below, if it was looked for.
    below: Option<Seq>,
}

impl Judge<'_> {
    /// A line was met that is good as a whole.
    fn saw_whole(&mut self, seq: Seq) {
        (self.before, self.damaged, self.below) = (Before::Seq(seq), 0, None);
    }

    fn judge<'a>(&mut self, raw: &RawLine<'a>) -> Result<(usize, Content<'a>)> {
        if self.kind == Kind::Adopted {
            return Ok((0, line::parse_adopted(raw.bytes).map_or(Content::Damaged, Content::Adopted)));
        }
        if let Some(line) = whole(raw) {
            self.saw_whole(line.seq);
            return Ok((0, Content::Line(line)));
        }
        Ok(match self.recovered(raw)? {
            Some((at, line)) => {
                (self.before, self.damaged) = (Before::Seq(line.seq), 0);
                (at, Content::Line(line))
            }
            None => {
                self.damaged += raw.next - raw.start;
                (0, Content::Damaged)
            }
        })
    }

    /// The good line that a damaged one ends with, and where it begins.
    fn recovered<'a>(&mut self, raw: &RawLine<'a>) -> Result<Option<(usize, line::Line<'a>)>> {
        if self.before == Before::Unknown || raw.is_cut() || !line::may_hold_another(raw.bytes) {
            return Ok(None);
        }
        let below = match self.below {
            Some(below) => below,
            None => self.next_whole(raw.next)?.unwrap_or(Seq::MAX),
        };
        self.below = Some(below);
        let fits = |at: usize, seq: Seq| {
            // Not more entries can have been lost than had room in the damaged bytes.
            let lost = (self.damaged + at as u64).div_ceil(line::SHORTEST as u64);
            let follows = match self.before {
                Before::Any => true,
                Before::Unknown => false,
                Before::Seq(before) => (before..=before.saturating_add(lost + 1)).contains(&seq),
            };
            follows && seq < below
        };
        Ok(line::recover(raw.bytes, fits))
    }

    /// The seq that lines before the next whole one, from the byte `from` on, are below.
    fn next_whole(&self, from: u64) -> Result<Option<Seq>> {
        let mut lines = Lines::new(self.file, from, self.end);
        while let Some(raw) = lines.next()? {
            if let Some(line) = whole(&raw) {
                return Ok(Some(if line.is_entry() { line.seq } else { line.seq + 1 }));
            }
        }
        Ok(None)
    }
}

fn whole<'a>(raw: &RawLine<'a>) -> Option<line::Line<'a>> {
    if raw.is_cut() { None } else { line::parse(raw.bytes) }
}

/// The seq of a line that needs no other to be known as good.
pub(super) fn sure(kind: Kind, raw: &RawLine<'_>) -> Option<Seq> {
    match kind {
        Kind::Adopted => line::parse_adopted(raw.bytes).map(|entry| entry.seq),
        Kind::Ours => whole(raw).map(|line| line.seq),
    }
}
