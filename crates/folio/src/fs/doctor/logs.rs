//! Checks logs, line by line.

use std::sync::Arc;

use super::report::{Collector, Finding, Remedy};
use crate::cursor::Seq;
use crate::error::{Error, Result};
use crate::fs::line;
use crate::fs::log::{self, Disk, Found, LogPaths, NewPiece, sealed_name};
use crate::fs::segment::{Content, First, Judged, Kind, Opening, Stretch};
use crate::fs::vfs::{Access, Dir};
use crate::name::LogName;

/// Looks at every log of a project, which people know as `shown`.
pub(super) fn examine(project: &Dir, shown: &str, collector: &mut Collector) -> Result<()> {
    log(project, shown, &LogName::history(), collector)?;
    log::walk(project, &mut |name| log(project, shown, &name, collector))
}

fn log(project: &Dir, shown: &str, name: &LogName, collector: &mut Collector) -> Result<()> {
    let paths = Arc::new(LogPaths::of(name));
    let newest = format!("{shown}/{}", paths.newest());
    let mut disk = match Disk::open(project, &paths, 0) {
        Ok(Found::There(disk)) => disk,
        Ok(Found::Absent | Found::Gone) => return Ok(()),
        Err(error @ (Error::Damaged { .. } | Error::NewerFormat { .. })) => {
            collector.note(Finding::damage(&newest, error.to_string()));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    collector.report.logs += 1;
    let mut seen = Seen { last: disk.horizon, bound: disk.head };
    for (at, &first) in disk.sealed.iter().enumerate() {
        let path = format!("{shown}/{}/{}", paths.sealed(), sealed_name(first));
        let bound = disk.bound_of_sealed(at);
        if bound <= disk.horizon {
            continue;
        }
        let Some(file) = project.open(format!("{}/{}", paths.sealed(), sealed_name(first)), Access::Read)? else { continue };
        let opening = Opening::read(&file)?;
        if opening.first == First::Bad {
            collector.note(Finding::damage(&path, "its header is damaged; its entries are read by their own sums"));
        }
        // Lower entries in it are no part of the log.
        seen.hole(first.saturating_sub(1), &path, collector);
        seen.segment(&opening.sealed(&file, first), bound, &path, collector)?;
    }
    if let Some(segment) = &disk.newest {
        seen.hole(segment.base, &newest, collector);
        seen.segment(&segment.stretch(), disk.head, &newest, collector)?;
    }
    seen.hole(disk.head, &newest, collector);
    if disk.lost_keys()? {
        collector.note(Finding::damage(&newest, "the table of idempotency keys is damaged: appends with a key are refused"));
    }
    state(&disk, &newest, collector);
    Ok(())
}

/// What the log as a whole needs.
fn state(disk: &Disk, newest: &str, collector: &mut Collector) {
    if let Some(trouble) = &disk.trouble {
        let finding = Finding::damage(newest, format!("writes are refused: {trouble}"));
        let how = "make the file anew with a good header and its good lines, in a new piece; the old one goes to quarantine";
        collector.note(finding.with(Remedy::Remake, how));
        return;
    }
    match &disk.newest {
        Some(segment) if segment.end < segment.len => {
            let (from, bytes, busy) = (segment.end, segment.len - segment.end, collector.maybe_in_progress());
            let what = format!("its last {bytes} bytes, from byte {from}, are no whole append and no part of the log{busy}");
            let how = "move them to quarantine and begin a new piece, as the next write would";
            collector.note(Finding::damage(newest, what).with(Remedy::NewHeader, how));
        }
        Some(_) if disk.new_piece == Some(NewPiece::Broken) => {
            let what = "it is not the file that its header names: it was copied, restored or replaced; the next write begins a new piece";
            collector.note(Finding::remark(newest, what));
        }
        None if !disk.sealed.is_empty() => {
            let what = format!("the newest segment is missing, so the log ends at {}", disk.head);
            collector.note(Finding::damage(newest, what).with(Remedy::NewHeader, "make an empty one, in a new piece"));
        }
        _ => {}
    }
}

/// What was seen of a log so far.
struct Seen {
    last: Seq,
    /// Up to which seq the segment that is looked at has entries.
    bound: Seq,
}

impl Seen {
    /// Goes through the lines of a segment. Its entries end where one is above `bound`.
    fn segment(&mut self, stretch: &Stretch<'_>, bound: Seq, path: &str, collector: &mut Collector) -> Result<()> {
        self.bound = bound;
        let mut lines = stretch.lines();
        while let Some(judged) = lines.next()? {
            let Judged { raw, at, content } = &judged;
            let (bytes, place, damage) = (raw.next - raw.start, raw.start, judged.damage().len());
            match content {
                Content::Adopted(entry) => self.entry(entry.seq, path, collector),
                // Behind the end of an adopted log lies what was torn before the next segment began.
                Content::Damaged if stretch.kind == Kind::Adopted && self.last >= self.bound => {}
                Content::Line(line) if *at > 0 => self.damaged(damage, Some(line), place, path, collector),
                Content::Line(line) if !line.is_entry() => {}
                Content::Line(line) if line.entry().is_some() => self.entry(line.seq, path, collector),
                _ => self.damaged(raw.bytes.len(), None, place, path, collector),
            }
            collector.read(path, bytes);
        }
        Ok(())
    }

    fn entry(&mut self, seq: Seq, path: &str, collector: &mut Collector) {
        if seq > self.bound {
            self.bound = self.last;
        } else if seq > self.last {
            self.hole(seq - 1, path, collector);
            self.last = seq;
            collector.report.entries += 1;
        }
    }

    /// So many bytes at a place are no good line; behind them may stand one.
    fn damaged(&mut self, bytes: usize, behind: Option<&line::Line<'_>>, place: u64, path: &str, collector: &mut Collector) {
        let what = format!("{bytes} bytes at byte {place} are no good line");
        let what = match behind {
            Some(line) => format!("{what}; entry {} behind them is recovered", line.seq),
            None => what,
        };
        collector.note(Finding::damage(path, what));
        if let Some(line) = behind.filter(|line| line.is_entry()) {
            self.entry(line.seq, path, collector);
        }
    }

    /// Entries up to `to` that no line holds.
    fn hole(&mut self, to: Seq, path: &str, collector: &mut Collector) {
        if to > self.last {
            let (from, count) = (self.last + 1, to - self.last);
            collector.report.lost += count;
            let which = if count == 1 { format!("entry {from} is lost") } else { format!("entries {from} to {to} are lost") };
            collector.note(Finding::damage(path, format!("{which}; readers are told so by a gap")));
            self.last = to;
        }
    }
}
