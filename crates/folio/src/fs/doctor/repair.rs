//! Does what a report says can be done.

use std::collections::HashSet;
use std::sync::Arc;

use super::Repairing;
use super::report::{Remedy, Report};
use crate::error::{Error, Result};
use crate::fs::log::{Change, Disk, Found, LogPaths};
use crate::fs::vfs::Dir;
use crate::name::LogName;

const WHY: &str = "doctor took it out";

pub(super) fn repair(store: &Repairing, report: &mut Report) -> Result<()> {
    let mut remade = HashSet::new();
    for finding in &mut report.findings {
        finding.repaired = match finding.remedy {
            Remedy::None => false,
            Remedy::Reopen => finding.repaired,
            Remedy::SetAside => set_aside(store, &finding.path)?,
            Remedy::NewHeader | Remedy::Remake => {
                let remake = finding.remedy == Remedy::Remake;
                !remade.insert(finding.path.clone()) || log(store, &finding.path, remake)?
            }
        };
    }
    Ok(())
}

/// Moves a file to quarantine.
fn set_aside(store: &Repairing, path: &str) -> Result<bool> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let Some(folder) = store.root.dir(folder)? else { return Ok(false) };
    store.ground.quarantine.take(path, WHY, &folder, name.as_ref())?;
    folder.sync()?;
    Ok(true)
}

/// Gives the log whose newest segment is at `path` a new header.
fn log(store: &Repairing, path: &str, remake: bool) -> Result<bool> {
    let Some((project, rest)) = path.split_once('/') else { return Ok(false) };
    let Some(name) = log_name(rest) else { return Ok(false) };
    let Some(project) = store.root.dir(project)? else { return Ok(false) };
    let paths = Arc::new(LogPaths::of(&name));
    let Found::There(mut disk) = Disk::open(&project, &paths, store.life())? else { return Ok(false) };
    if remake {
        keep_newest(store, &project, &disk)?;
        disk.remake(store)?;
    } else {
        disk.new_header(store, Change::default())?;
    }
    Ok(true)
}

fn log_name(path: &str) -> Option<LogName> {
    let stem = path.strip_suffix(".jsonl")?;
    if stem == ".meta/history" { Some(LogName::history()) } else { LogName::decode(stem.strip_prefix(".meta/logs/")?) }
}

/// Copies the whole newest segment to quarantine.
fn keep_newest(store: &Repairing, project: &Dir, disk: &Disk) -> Result<()> {
    let Some(newest) = &disk.newest else { return Err(Error::invalid("there is no newest segment to make anew")) };
    let from = store.shown(project, &disk.paths.newest());
    store.ground.quarantine.keep_range(&from, WHY, &newest.file, 0..newest.len)?;
    Ok(())
}
