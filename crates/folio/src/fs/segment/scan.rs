//! Going through the entries of a segment.

use super::{Before, Judge, Judged, Kind, Lines, above, near};
use crate::cursor::Seq;
use crate::error::Result;
use crate::fs::line;
use crate::fs::vfs::File;
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

/// Lines of a segment that follow each other.
pub(crate) struct Stretch<'f> {
    pub(crate) file: &'f File,
    pub(crate) kind: Kind,
    /// Offsets of its first line and of its end.
    pub(crate) range: (u64, u64),
    /// What is known of the first line.
    pub(crate) before: Before,
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
        let (mut lines, mut judge) = self.begin(after, mark)?;
        let mut seen = after;
        let mut recovered: Option<Entry> = None;
        while seen < last
            && let Some(raw) = lines.next()?
        {
            let next = raw.next;
            // And the seq that entries before this line are below.
            let (above, sure, entry) = match judge.judge(self.kind, raw.bytes) {
                Judged::Good(line) => (above(&line), true, Stored::of(&line, seen)),
                Judged::Recovered(line) => (above(&line), false, Stored::of(&line, seen)),
                Judged::Adopted(entry) => (entry.seq, true, Some(Stored::Entry(entry))),
                Judged::Damaged => continue,
            };
            let confirmed = recovered.take().filter(|entry| entry.seq < above).map(Stored::Entry);
            let good =
                if sure { entry } else { std::mem::replace(&mut recovered, entry.map(Stored::into_entry)).map(Stored::Entry) };
            for (entry, next) in confirmed.map(|entry| (entry, None)).into_iter().chain(good.map(|entry| (entry, Some(next)))) {
                if entry.seq() <= seen {
                    continue;
                }
                if entry.seq() > last {
                    return Ok(Scanned::All);
                }
                seen = entry.seq();
                if !visit(entry) {
                    return Ok(Scanned::Stopped { next: next.filter(|_| sure) });
                }
            }
        }
        let more = recovered.is_none_or(|entry| entry.seq <= seen || entry.seq > last || visit(Stored::Entry(entry)));
        Ok(if more { Scanned::All } else { Scanned::Stopped { next: None } })
    }

    /// Lines from the entry behind `after` on, or from a little before it.
    fn begin(&self, after: Seq, mark: Option<u64>) -> Result<(Lines<'_>, Judge)> {
        if let Some(at) = mark.filter(|&at| self.kind == Kind::Ours && self.range.0 <= at && at < self.range.1) {
            let mut lines = Lines::new(self.file, at, self.range.1);
            // Whoever wrote the file since, what stands there is the entry that is wanted.
            let wanted = |bytes| line::parse(bytes).is_some_and(|line| line.is_entry() && line.seq == after + 1);
            if lines.next()?.is_some_and(|raw| wanted(raw.bytes)) {
                lines.again();
                return Ok((lines, Judge::new(Before::Seq(after))));
            }
        }
        let (from, before) = near(self.file, self.kind, self.range, self.before, after.saturating_add(1))?;
        Ok((Lines::new(self.file, from, self.range.1), Judge::new(before)))
    }
}
