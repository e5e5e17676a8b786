//! Markers of living forks: empty files `<source>.d/forks/<fork>.fork`. While a fork lives, its deleted source is gone,
//! not absent.

use crate::error::Result;
use crate::etag::Etag;
use crate::fs::log::disk::sealed_firsts;
use crate::fs::log::paths::LogPaths;
use crate::fs::replace;
use crate::fs::segment::{First, Opening};
use crate::fs::store::Store;
use crate::fs::txn::{Prepared, Step};
use crate::fs::vfs::{Access, Dir, Kind};
use crate::name::LogName;

/// Makes ready a marker which says that `fork` of `source` lives. One that a crash left behind does not count.
pub(crate) fn mark(store: &Store, project: &Dir, source: &LogPaths, fork: &LogName) -> Result<Option<Step>> {
    let marker = source.marker(fork);
    if project.stat(&marker)?.is_some() {
        return Ok(None);
    }
    let prepared = Prepared::of(store, Vec::new(), Etag::of(b"")).map_err(|error| error.writing(&marker))?;
    replace::prepare_put(store, project, &marker, prepared, None).map(Some)
}

/// Makes ready that the marker of a fork is removed with it.
pub(crate) fn unmark(store: &Store, project: &Dir, source: &LogPaths, fork: &LogName) -> Result<Option<Step>> {
    let marker = source.marker(fork);
    let there = match project.stat(&marker) {
        Err(error) if error.missing() => None,
        there => there?,
    };
    Ok(there.map(|meta| Step::remove(store.shown(project, &marker), meta.id())))
}

/// Removes the folders that are empty without the marker of a fork that is gone. Where they stay they do no harm.
pub(crate) fn prune_markers(project: &Dir, source: &LogPaths, fork: &LogName) {
    let marker = source.marker(fork);
    let mut left = marker.as_str();
    while let Some((parent, _)) = left.rsplit_once('/') {
        left = parent;
        let without_source = || matches!(project.stat(source.newest()), Ok(None));
        let goes = parent.starts_with(&source.forks()) || (parent == source.sealed() && without_source());
        if !goes || !matches!(project.rmdir(parent), Ok(true)) {
            return;
        }
    }
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
        Ok(First::Header(header)) => header.fork_of.as_ref() == Some(source.name()),
        _ => true,
    })
}
