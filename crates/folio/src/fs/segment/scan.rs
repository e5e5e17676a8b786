//! Going through the entries of a segment.

use super::{Before, Content, Judged, Kind, Lines, Reader, Stretch};
use crate::cursor::Seq;
use crate::error::Result;
use crate::fs::line;
use crate::json::Json;
use crate::log::{Data, Entry};
use crate::run::Runs;

/// A good entry, as it is stored.
pub(crate) enum Stored<'a> {
    /// A line with a JSON value, under a sum, and the text of the value.
    Line(line::Line<'a>, &'a str),
    /// Bytes, or what had to be read another way.
    Entry(Entry),
}

impl Stored<'_> {
    pub(crate) fn seq(&self) -> Seq {
        match self {
            Self::Line(line, _) => line.seq,
            Self::Entry(entry) => entry.seq,
        }
    }

    /// Bytes of its payload.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Line(_, text) => text.len(),
            Self::Entry(entry) => entry.data.len(),
        }
    }

    pub(crate) fn into_entry(self) -> Entry {
        match self {
            Self::Line(line, text) => Entry { seq: line.seq, ts: line.ts, data: Data::Json(Json::trusted(text)) },
            Self::Entry(entry) => entry,
        }
    }

    /// Adds it to `runs`.
    pub(crate) fn write(&self, runs: &mut Runs) {
        match self {
            Self::Line(line, _) => runs.line(line.seq, line.told),
            Self::Entry(entry) => runs.entry(entry),
        }
    }

    /// The entry of a line, if it has one that was not seen.
    fn of<'a>(line: &line::Line<'a>, seen: Seq) -> Option<Stored<'a>> {
        match line.body {
            _ if line.seq <= seen => None,
            line::Body::Json(text) => Some(Stored::Line(*line, text)),
            _ => line.entry().map(Stored::Entry),
        }
    }
}

/// How a scan ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scanned {
    All,
    /// `visit` wanted no more.
    Stopped {
        /// Where the entry behind the last visited one begins, in bytes, where that is sure.
        next: Option<u64>,
    },
}

impl Stretch<'_> {
    /// Visits the good entries after `after` up to `last` (inclusive) in rising order, until `visit` says false. A hole
    /// shows as a step in the seqs of more than one. `mark` is where an earlier scan says that the first one begins.
    pub(crate) fn scan(
        &self,
        (after, last): (Seq, Seq),
        mark: Option<u64>,
        visit: &mut dyn FnMut(Stored<'_>) -> bool,
    ) -> Result<Scanned> {
        let mut lines = self.begin(after, mark)?;
        let mut seen = after;
        while seen < last
            && let Some(Judged { raw, at, content }) = lines.next()?
        {
            let entry = match content {
                Content::Line(line) => Stored::of(&line, seen),
                Content::Adopted(entry) => Some(Stored::Entry(entry)),
                Content::Damaged => None,
            };
            let Some(entry) = entry.filter(|entry| entry.seq() > seen) else { continue };
            if entry.seq() > last {
                return Ok(Scanned::All);
            }
            seen = entry.seq();
            if !visit(entry) {
                return Ok(Scanned::Stopped { next: (at == 0).then_some(raw.next) });
            }
        }
        Ok(Scanned::All)
    }

    /// Lines from the entry behind `after` on, or from a little before it.
    fn begin(&self, after: Seq, mark: Option<u64>) -> Result<Reader<'_>> {
        if let Some(at) = mark.filter(|&at| self.kind == Kind::Ours && self.range.0 < at && at < self.range.1) {
            let mut lines = Lines::new(self.file, at - 1, self.range.1).skip()?;
            // Whoever wrote the file since, what stands there is the entry that is wanted: a line, not the data of one.
            let wanted = |bytes| line::parse(bytes).is_some_and(|line| line.is_entry() && line.seq == after + 1);
            if lines.next()?.is_some_and(|raw| raw.start == at && wanted(raw.bytes)) {
                lines.again();
                return Ok(Reader::new(self, lines, Before::Seq(after)));
            }
        }
        let (from, before) = self.near(after.saturating_add(1))?;
        Ok(self.lines_from(from, before))
    }
}
