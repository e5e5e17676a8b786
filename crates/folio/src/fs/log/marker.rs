//! Markers of living forks: empty files `<source>.d/forks/<fork>.fork`. While a fork lives, its deleted source is gone,
//! not absent.

use crate::error::Result;
use crate::fs::log::disk::sealed_firsts;
use crate::fs::log::paths::LogPaths;
use crate::fs::segment::{First, Opening};
use crate::fs::store::Store;
use crate::fs::vfs::{Access, Dir, Kind};
use crate::name::LogName;

/// Says that `fork` of `source` lives, or is about to.
pub(crate) fn mark(store: &Store, project: &Dir, source: &LogPaths, fork: &LogName) -> Result<()> {
    let marker = source.marker(fork);
    let (folder, name) = marker.rsplit_once('/').unwrap_or_default();
    let folder = store.folder(project, folder)?;
    match folder.create_new(name, Access::Append) {
        Ok(_) => {}
        // Left by an attempt that a crash ended.
        Err(error) if error.exists() => {}
        Err(error) => return Err(error.into()),
    }
    folder.sync().map_err(|error| store.unknown(&store.shown(project, &marker), &error))
}

/// Removes the marker of a fork that is gone, and the folders that this leaves empty.
pub(crate) fn unmark(store: &Store, project: &Dir, source: &LogPaths, fork: &LogName) -> Result<()> {
    let marker = source.marker(fork);
    if !project.unlink(&marker)? {
        return Ok(());
    }
    let mut left = marker.as_str();
    while let Some((parent, _)) = left.rsplit_once('/') {
        left = parent;
        let goes = parent.starts_with(&source.forks()) || (parent == source.sealed() && project.stat(source.newest())?.is_none());
        if !goes || !project.rmdir(parent)? {
            break;
        }
    }
    let synced = project.dir(left)?.map_or(Ok(()), |folder| folder.sync());
    synced.map_err(|error| store.unknown(&store.shown(project, &marker), &error))
}

/// True where a fork of the log at `source` lives. A marker that a crash left behind does not count.
pub(crate) fn any_fork_lives(project: &Dir, source: &LogPaths) -> Result<bool> {
    match project.dir(source.forks())? {
        Some(folder) => any_below(project, source, &folder, ""),
        None => Ok(false),
    }
}

fn any_below(project: &Dir, source: &LogPaths, folder: &Dir, prefix: &str) -> Result<bool> {
    for listed in folder.list()? {
        let listed = listed?;
        let Some(name) = listed.name.to_str() else { continue };
        let lives = match listed.kind {
            Kind::File => match name.strip_suffix(".fork").and_then(|stem| LogName::decode(&format!("{prefix}{stem}"))) {
                Some(fork) => lives(project, source, &LogPaths::of(&fork))?,
                None => false,
            },
            Kind::Dir => match folder.dir(name)? {
                Some(below) => any_below(project, source, &below, &format!("{prefix}{name}/"))?,
                None => false,
            },
            _ => false,
        };
        if lives {
            return Ok(true);
        }
    }
    Ok(false)
}

/// True where a log is there that was forked from `source`, or may have been.
fn lives(project: &Dir, source: &LogPaths, fork: &LogPaths) -> Result<bool> {
    let newest = match project.open(fork.newest(), Access::Read) {
        Err(error) if error.missing() => None,
        Err(error) if error.foreign() => return Ok(true),
        newest => newest?,
    };
    let Some(newest) = newest else { return Ok(!sealed_firsts(project, fork)?.is_empty()) };
    Ok(match Opening::read(&newest).map(|opening| opening.first) {
        Ok(First::Header(header)) => !header.absent && header.fork_of.as_ref() == Some(source.name()),
        _ => true,
    })
}
