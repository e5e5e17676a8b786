//! A segment file: its lines in order, its first and last ones, and where a seq stands in it. No index is kept.

mod judge;
mod lines;
mod scan;
mod tail;

use self::judge::sure;
pub(crate) use self::judge::{Before, Content, Judged, Kind, Reader};
use self::lines::Lines;
pub(crate) use self::scan::{Scanned, Stored};
use crate::cursor::Seq;
use crate::error::Result;
use crate::fs::line::{self, Header};
use crate::fs::vfs::File;

/// Bisection stops at this distance, in bytes, and reading goes on line by line.
const NEAR: u64 = 64 << 10;

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

    /// What is known of the first line; `named`, where the header does not tell.
    pub(crate) fn before(&self, named: Before) -> Before {
        match &self.first {
            First::Header(header) => Before::Seq(header.base),
            First::Adopted | First::Bad => named,
        }
    }

    /// The lines of a sealed segment, whose name says what its `first` seq is.
    pub(crate) fn sealed<'f>(&self, file: &'f File, first: Seq) -> Stretch<'f> {
        let before = self.before(Before::Seq(first.saturating_sub(1)));
        Stretch { file, kind: self.kind(), range: (self.start, self.len), before }
    }

    /// The lines of a newest segment, of which it is not known yet where they end.
    pub(crate) fn newest<'f>(&self, file: &'f File) -> Stretch<'f> {
        // At the very beginning no header was good enough to tell.
        let before = self.before(Before::Any);
        Stretch { file, kind: self.kind(), range: (self.start, self.len), before }
    }
}

/// Lines of a segment that follow each other.
#[derive(Clone, Copy)]
pub(crate) struct Stretch<'f> {
    pub(crate) file: &'f File,
    pub(crate) kind: Kind,
    /// Offsets of its first line and of its end.
    pub(crate) range: (u64, u64),
    /// What is known of the first line.
    pub(crate) before: Before,
}

impl<'f> Stretch<'f> {
    /// Its lines.
    pub(crate) fn lines(&self) -> Reader<'f> {
        self.lines_from(self.range.0, self.before)
    }

    /// Its lines from the byte `from` on, which begins one; `before` tells of that.
    fn lines_from(&self, from: u64, before: Before) -> Reader<'f> {
        Reader::new(self, Lines::new(self.file, from, self.range.1), before)
    }

    /// The first entry that is whole.
    pub(crate) fn first_entry(&self) -> Result<Option<Seq>> {
        let mut lines = self.lines();
        while let Some(Judged { content, .. }) = lines.next()? {
            match content {
                Content::Line(line) if line.is_entry() => return Ok(Some(line.seq)),
                Content::Adopted(entry) => return Ok(Some(entry.seq)),
                _ => {}
            }
        }
        Ok(None)
    }

    /// An offset near the entry `seq`, and what is known of the seq before it: every good line before it has a lower seq,
    /// and only a little lies between.
    fn near(&self, seq: Seq) -> Result<(u64, Before)> {
        let ((mut low, mut high), mut before) = (self.range, self.before);
        while high - low > NEAR {
            let middle = low + (high - low) / 2;
            match self.first_good_after(middle, high)? {
                Some((found, next)) if found < seq => (low, before) = (next, Before::Seq(found)),
                _ => high = middle,
            }
        }
        Ok((low, before))
    }

    /// Seq of the first good line that begins after `from` and before `end`, and the offset after that line.
    fn first_good_after(&self, from: u64, end: u64) -> Result<Option<(Seq, u64)>> {
        let mut lines = Lines::few(self.file, from, end).skip()?;
        while let Some(raw) = lines.next()? {
            if let Some(seq) = sure(self.kind, &raw) {
                return Ok(Some((seq, raw.next)));
            }
        }
        Ok(None)
    }

    /// The offset after the last good line whose seq is below `seq`, and what is known there of the seq before; what
    /// damaged lines stand there come after it.
    pub(crate) fn cut_before(&self, seq: Seq) -> Result<(u64, Before)> {
        let (mut cut, mut before) = self.near(seq)?;
        let mut lines = Lines::new(self.file, cut, self.range.1);
        while let Some(raw) = lines.next()? {
            match sure(self.kind, &raw) {
                Some(found) if found >= seq => break,
                Some(found) => (cut, before) = (raw.next, Before::Seq(found)),
                None => {}
            }
        }
        Ok((cut, before))
    }

    /// Copies the good lines behind entry `base` as they lie, those that follow damage on the same line included. The
    /// table of keys is left out: whoever makes a segment writes it anew.
    pub(crate) fn copy_good(&self, base: Seq, out: &mut Vec<u8>) -> Result<()> {
        let mut lines = self.lines();
        while let Some(Judged { raw, at, content }) = lines.next()? {
            let Content::Line(found) = content else { continue };
            let wanted = found.seq > base || (found.seq == base && found.body == line::Body::Closed);
            if wanted && !matches!(found.body, line::Body::State(_)) {
                out.extend_from_slice(raw.bytes.get(at..).unwrap_or_default());
                out.push(b'\n');
            }
        }
        Ok(())
    }
}
