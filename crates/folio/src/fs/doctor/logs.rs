//! Checks logs, line by line.

use std::sync::Arc;

use super::report::{Collector, Finding, Remedy};
use crate::cursor::Seq;
use crate::error::{Error, Result};
use crate::fs::line;
use crate::fs::log::{self, Disk, Found, LogPaths, NewPiece, sealed_name};
use crate::fs::segment::{Before, First, Judge, Kind, Lines, Opening};
use crate::fs::vfs::{Access, Dir, File};
use crate::name::LogName;

/// Looks at every log of a project, which people know as `shown`.
pub(super) fn examine(project: &Dir, shown: &str, collector: &mut Collector) -> Result<()> {
    log(project, shown, &LogName::history(), collector)?;
    log::walk(project, &mut |name| log(project, shown, &name, collector))
}

fn log(project: &Dir, shown: &str, name: &LogName, collector: &mut Collector) -> Result<()> {
    let paths = Arc::new(LogPaths::of(name));
    let newest = format!("{shown}/{}", paths.newest());
    let disk = match Disk::open(project, &paths, 0) {
        Ok(Found::There(disk)) => disk,
        Ok(Found::Absent | Found::Gone) => return Ok(()),
        Err(error @ (Error::Damaged { .. } | Error::NewerFormat { .. })) => {
            collector.note(Finding::damage(&newest, error.to_string()));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    collector.report.logs += 1;
    let mut seen = Seen { last: disk.horizon };
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
        let judge = Judge::new(Before::Seq(first - 1));
        seen.segment(&file, opening.kind(), (opening.start, opening.len), judge, bound, &path, collector)?;
    }
    if let Some(segment) = &disk.newest {
        let judge = Judge::new(segment.before());
        seen.segment(&segment.file, segment.kind, (segment.start, segment.end), judge, disk.head, &newest, collector)?;
    }
    seen.hole(disk.head, &newest, collector);
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
}

impl Seen {
    #[expect(clippy::too_many_arguments, reason = "the segment's place and how it is judged")]
    fn segment(
        &mut self,
        file: &File,
        kind: Kind,
        (start, end): (u64, u64),
        mut judge: Judge,
        bound: Seq,
        path: &str,
        collector: &mut Collector,
    ) -> Result<()> {
        let mut lines = Lines::new(file, start, end);
        while let Some(raw) = lines.next()? {
            let (bytes, place, second) = (raw.next - raw.start, raw.start, raw.start == start);
            match kind {
                Kind::Adopted => match line::parse_adopted(raw.bytes) {
                    Some(entry) => self.entry(entry.seq, bound, path, collector),
                    // Behind the end of an adopted log lies what was torn before the next segment began.
                    None if self.last >= bound => {}
                    None => self.damaged(raw.bytes.len(), None, (place, second), bound, path, collector),
                },
                Kind::Ours => match judge.line(raw.bytes) {
                    Some((0, line)) if !line.is_entry() => {}
                    Some((0, line)) if line.entry().is_some() => self.entry(line.seq, bound, path, collector),
                    Some((at, line)) if at > 0 => self.damaged(at, Some(&line), (place, second), bound, path, collector),
                    _ => self.damaged(raw.bytes.len(), None, (place, second), bound, path, collector),
                },
            }
            collector.read(path, bytes);
        }
        Ok(())
    }

    fn entry(&mut self, seq: Seq, bound: Seq, path: &str, collector: &mut Collector) {
        if seq > self.last && seq <= bound {
            self.hole(seq - 1, path, collector);
            self.last = seq;
            collector.report.entries += 1;
        }
    }

    /// So many bytes at a place are no good line; behind them may stand one.
    fn damaged(
        &mut self,
        bytes: usize,
        behind: Option<&line::Line<'_>>,
        (place, second): (u64, bool),
        bound: Seq,
        path: &str,
        collector: &mut Collector,
    ) {
        let what = format!("{bytes} bytes at byte {place} are no good line");
        let what = match behind {
            Some(line) => format!("{what}; entry {} behind them is recovered", line.seq),
            None if second => format!("{what}; if they were the table of keys, keyed appends are refused"),
            None => what,
        };
        collector.note(Finding::damage(path, what));
        if let Some(line) = behind.filter(|line| line.is_entry()) {
            self.entry(line.seq, bound, path, collector);
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
