//! A reader that follows a log by its cursor, through crashes: nothing is missing that was not told, nothing comes twice,
//! and what it has seen stays.

use std::collections::BTreeMap;

use futures_util::StreamExt;

use super::world::{Call, View};
use crate::cursor::{Cursor, Seq};
use crate::driver::Driver;
use crate::fs::FsDriver;
use crate::lineage::{Gap, GapReason};
use crate::log::{Data, LogEvent, Start};
use crate::name::{LogName, ProjectId};

#[derive(Debug)]
pub(super) struct Follower {
    project: &'static str,
    log: &'static str,
    cursor: Cursor,
    last: Seq,
    /// What was delivered of the life that is followed.
    seen: BTreeMap<Seq, String>,
    /// A call that may have ended this life was begun since everything was compared last.
    disturbed: bool,
    /// A call that may have compacted it was ever begun.
    compacted: bool,
}

impl Follower {
    pub(super) fn new(project: &'static str, log: &'static str) -> Self {
        let (cursor, seen) = (Cursor::bare(0), BTreeMap::new());
        Self { project, log, cursor, last: 0, seen, disturbed: false, compacted: false }
    }

    /// Notes that a call begins.
    pub(super) fn begins(&mut self, project: &str, call: &Call) {
        let here = project == self.project;
        self.disturbed |= match call {
            Call::CreateProject | Call::DeleteProject => here,
            Call::ForkProject(target) => target == self.project,
            Call::DeleteLog(name) | Call::ForkLog(_, _, name) => here && name == self.log,
            _ => false,
        };
        self.compacted |= self.disturbed || here && matches!(call, Call::Truncate(name, _) if name == self.log);
    }

    fn begin_again(&mut self) {
        self.cursor = Cursor::bare(0);
        self.last = 0;
        self.seen.clear();
    }

    /// Reads on until it is told that it has caught up, or until reading fails.
    ///
    /// # Errors
    /// What it must not have been told.
    pub(super) async fn pull(&mut self, driver: &FsDriver) -> Result<(), String> {
        let (Ok(id), Ok(name)) = (ProjectId::new(self.project), LogName::new(self.log)) else { return Ok(()) };
        let Ok(mut stream) = driver.project(&id).log(&name).subscribe(Start::After(self.cursor)).await else { return Ok(()) };
        while let Some(Ok(event)) = stream.next().await {
            match event {
                LogEvent::CaughtUp { .. } | LogEvent::Closed { .. } => break,
                LogEvent::Entry { entry, position } if entry.seq == self.last + 1 => {
                    (self.last, self.cursor) = (entry.seq, position.into());
                    self.seen.insert(entry.seq, text(&entry.data));
                }
                LogEvent::Gap(gap) if self.allows(&gap) => {
                    let disowned = gap.resumes_after.seq <= self.last;
                    (self.last, self.cursor) = (gap.resumes_after.seq, gap.resumes_after.into());
                    if disowned {
                        self.seen.clear();
                    }
                }
                LogEvent::Deleted if self.disturbed => self.begin_again(),
                other => return Err(self.wrong(&format!("is told {other:?}"))),
            }
        }
        Ok(())
    }

    fn allows(&self, gap: &Gap) -> bool {
        match gap.reason {
            GapReason::Truncated => self.compacted,
            GapReason::Corrupt => false,
            // With the entries of an earlier life compaction forgets the life.
            _ => self.disturbed || self.compacted && gap.resumes_after.seq > self.last,
        }
    }

    /// Compares what it has seen with what is there, once it has caught up and nothing goes on.
    ///
    /// # Errors
    /// What is not as it was seen.
    pub(super) fn compare(&mut self, view: &View) -> Result<(), String> {
        let Some(log) = view.get(self.project).and_then(|project| project.logs.get(self.log)) else {
            if self.last > 0 && !self.disturbed {
                return Err(self.wrong("finds no log any more"));
            }
            self.begin_again();
            self.disturbed = false;
            return Ok(());
        };
        let head = log.horizon + log.entries.len() as u64;
        if self.last != head {
            return Err(self.wrong(&format!("has caught up with a log that ends at {head}")));
        }
        for (seq, entry) in (log.horizon + 1..).zip(&log.entries) {
            // What it had not seen before it was removed it was told of as a gap.
            if self.seen.get(&seq).is_some_and(|seen| seen != entry) {
                return Err(self.wrong(&format!("saw another entry {seq} than {entry}")));
            }
        }
        self.disturbed = false;
        Ok(())
    }

    fn wrong(&self, what: &str) -> String {
        format!("a reader of {}/{} at {} ({} seen) {what}", self.project, self.log, self.cursor, self.seen.len())
    }
}

fn text(data: &Data) -> String {
    match data {
        Data::Json(value) => value.as_str().to_owned(),
        Data::Bytes(bytes) => format!("{bytes:?}"),
    }
}
