//! Going through the entries of a segment.

use super::{Before, Content, Judged, Kind, Lines, Reader, Stretch};
use crate::cursor::Seq;
use crate::error::Result;
use crate::fs::line;
use crate::lines::Lines as Run;
use crate::log::Entry;
use crate::run::{Form, Runs};

/// A good entry, as it is stored.
pub(crate) enum Stored<'a> {
    /// On a usual line.
    Plain(line::Plain<'a>),
    /// Read another way; and its line, if that is under a sum.
    Entry(Entry, Option<&'a [u8]>),
}

impl<'a> Stored<'a> {
    pub(crate) fn seq(&self) -> Seq {
        match self {
            Self::Plain(line) => line.seq,
            Self::Entry(entry, _) => entry.seq,
        }
    }

    /// Its line, where that is wanted. What another tool wrote has no form of ours.
    fn kept(&self, form: Form) -> Option<&'a [u8]> {
        match (self, form) {
            (_, Form::Told) => None,
            (Self::Plain(line), Form::Stored) => Some(line.line),
            (Self::Entry(_, line), Form::Stored) => *line,
        }
    }

    /// What a budget counts of it, in bytes: its payload, or its whole line.
    pub(crate) fn size(&self, form: Form) -> usize {
        match (self.kept(form), self) {
            (Some(line), _) => line.len() + 1,
            (None, Self::Plain(line)) => line.text().len(),
            (None, Self::Entry(entry, _)) => entry.data.len(),
        }
    }

    pub(crate) fn entry(&self) -> Entry {
        match self {
            Self::Plain(line) => line.entry(),
            Self::Entry(entry, _) => entry.clone(),
        }
    }

    /// Adds it to `runs`.
    pub(crate) fn write(&self, runs: &mut Runs, form: Form) {
        match (self.kept(form), self) {
            (Some(line), _) => runs.line(self.seq(), [line, b""]),
            (None, Self::Plain(line)) => runs.line(line.seq, line.told()),
            (None, Self::Entry(entry, _)) => runs.entry(entry),
        }
    }

    /// A run of it alone.
    pub(crate) fn run(&self, form: Form) -> Run {
        match self.kept(form) {
            Some(line) => Run::new(self.seq(), self.seq(), [line, b"\n"].concat().into()),
            None => Run::from(&self.entry()),
        }
    }

    /// What a line of another kind holds, if that is an entry.
    fn of(content: Content<'a>) -> Option<Self> {
        match content {
            Content::Line(line) => line.entry().map(|entry| Self::Entry(entry, Some(line.text))),
            Content::Adopted(entry) => Some(Self::Entry(entry, None)),
            Content::Damaged => None,
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
        visit: &mut dyn FnMut(&Stored<'_>) -> bool,
    ) -> Result<Scanned> {
        let mut lines = self.begin(after, mark)?;
        let mut seen = after;
        let mut wanted = |entry: &Stored<'_>| {
            if entry.seq() <= seen {
                return None;
            }
            seen = entry.seq();
            Some(seen <= last && visit(entry))
        };
        loop {
            // What follows an entry begins where it ends, unless that stood behind damage.
            let (outcome, seq, next) = if let Some((line, next)) = lines.next_plain()? {
                (wanted(&Stored::Plain(line)), line.seq, Some(next))
            } else {
                let Some(Judged { raw, at, content }) = lines.next()? else { return Ok(Scanned::All) };
                let Some(entry) = Stored::of(content) else { continue };
                (wanted(&entry), entry.seq(), (at == 0).then_some(raw.next))
            };
            match outcome {
                _ if seq > last => return Ok(Scanned::All),
                Some(false) => return Ok(Scanned::Stopped { next }),
                Some(true) if seq == last => return Ok(Scanned::All),
                Some(true) | None => {}
            }
        }
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
