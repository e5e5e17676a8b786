//! The logs of a project, found by their files.

use std::sync::Arc;

use crate::driver::LogList;
use crate::error::Result;
use crate::fs::log::disk::{Disk, Found};
use crate::fs::log::paths::LogPaths;
use crate::fs::select::Smallest;
use crate::fs::vfs::{Dir, Kind};
use crate::name::LogName;

const FOLDER: &str = ".meta/logs";

/// Lists the logs after `after` in byte order of the encoded names; memory grows with `limit`, not with their number.
pub(crate) fn list(project: &Dir, after: Option<&LogName>, limit: usize) -> Result<LogList> {
    let after = after.map(LogName::encoded);
    let mut smallest = Smallest::new(limit + 1);
    let history = LogName::HISTORY.to_owned();
    if after.as_ref().is_none_or(|after| history > *after) {
        smallest.push(history);
    }
    walk(project, &mut |name| {
        let encoded = name.encoded();
        let wanted = after.as_ref().is_none_or(|after| encoded > *after) && smallest.wants(&encoded);
        if wanted && is_there(project, &name)? {
            smallest.push(encoded);
        }
        Ok(())
    })?;
    let mut logs: Vec<LogName> = smallest.finish().iter().filter_map(|encoded| LogName::decode(encoded)).collect();
    let more = logs.len() > limit;
    logs.truncate(limit);
    let next = if more { logs.last().cloned() } else { None };
    Ok(LogList { logs, next })
}

/// Visits the names of all logs that have files, the history left out, each once.
pub(crate) fn walk(project: &Dir, visit: &mut dyn FnMut(LogName) -> Result<()>) -> Result<()> {
    match project.dir(FOLDER) {
        Ok(Some(folder)) => walk_folder(&folder, "", visit),
        Ok(None) => Ok(()),
        Err(error) if error.missing() || error.foreign() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn walk_folder(folder: &Dir, prefix: &str, visit: &mut dyn FnMut(LogName) -> Result<()>) -> Result<()> {
    for listed in folder.list()? {
        let listed = listed?;
        let Some(name) = listed.name.to_str() else { continue };
        let stem = match listed.kind {
            Kind::File => name.strip_suffix(".jsonl"),
            // The newest segment may be missing, or come by itself.
            Kind::Dir => match name.strip_suffix(".d") {
                Some(stem) if folder.stat(format!("{stem}.jsonl"))?.is_some() => continue,
                stem => stem,
            },
            _ => None,
        };
        if let Some(stem) = stem {
            if let Some(log) = LogName::decode(&format!("{prefix}{stem}"))
                && !log.is_history()
            {
                visit(log)?;
            }
        } else if listed.kind == Kind::Dir
            && let Some(below) = folder.dir(name)?
        {
            walk_folder(&below, &format!("{prefix}{name}/"), visit)?;
        }
    }
    Ok(())
}

/// True for a log that is neither absent nor gone. A damaged one is there.
fn is_there(project: &Dir, name: &LogName) -> Result<bool> {
    match Disk::open(project, &Arc::new(LogPaths::of(name)), 0) {
        Ok(Found::There(_)) | Err(crate::error::Error::Damaged { .. } | crate::error::Error::NewerFormat { .. }) => Ok(true),
        Ok(Found::Absent | Found::Gone) => Ok(false),
        Err(error) => Err(error),
    }
}
