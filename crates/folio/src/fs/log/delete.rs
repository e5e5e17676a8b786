//! Deleting a log so that a crash leaves it whole or gone.

use crate::error::{Error, Result};
use crate::fs::line::Header;
use crate::fs::log::disk::{Disk, sealed_firsts};
use crate::fs::log::marker::unmark;
use crate::fs::log::paths::{LogPaths, sealed_name};
use crate::fs::segment::{First, Opening};
use crate::fs::store::Store;
use crate::fs::vfs::{Access, Dir};
use crate::name::LogName;

impl Disk {
    /// Removes the log's files. What forks of it left behind stays, and says that the name is not free yet.
    ///
    /// # Errors
    /// The log is still there, unless the outcome is unknown.
    pub(crate) fn delete(self: Box<Self>, store: &Store) -> Result<()> {
        let remove = || remove_remains(store, &self.project, &self.paths, self.fork_of.as_ref());
        if self.sealed.is_empty() && self.fork_of.is_none() {
            return remove();
        }
        // One rename makes several files absent at once.
        put_absent(store, &self.project, &self.paths, self.fork_of.clone())?;
        match remove() {
            Err(unknown @ Error::OutcomeUnknown { .. }) => Err(unknown),
            // What can't be tidied up now is by the next one who deletes the log or makes it anew.
            _ => Ok(()),
        }
    }
}

/// Puts a header that says "absent" in the place of the newest segment.
pub(crate) fn put_absent(store: &Store, project: &Dir, paths: &LogPaths, fork_of: Option<LogName>) -> Result<()> {
    let folder = store.folder(project, paths.folder())?;
    let temporary = store.temp()?;
    let header = Header {
        lineage: crate::lineage::Lineage::adopted(),
        id: temporary.file().identity()?,
        base: 0,
        horizon: 0,
        closed: false,
        absent: true,
        fork_of,
        ts: store.now_ms(),
    };
    let mut line = Vec::new();
    header.push(&mut line);
    temporary.file().append_all(&line)?;
    temporary.file().sync_all()?;
    drop(temporary.keep_as(&folder, &paths.newest_name())?);
    folder.sync().map_err(|error| store.unknown(&store.shown(project, &paths.newest()), &error))
}

/// Removes what a deletion or a fork that a crash ended left of a log that counts as absent.
pub(crate) fn clear_remains(store: &Store, project: &Dir, paths: &LogPaths) -> Result<()> {
    let Some(file) =
        project.open(paths.newest(), Access::Read).or_else(|error| if error.missing() { Ok(None) } else { Err(error) })?
    else {
        return Ok(());
    };
    match Opening::read(&file)?.first {
        First::Header(header) if header.absent => remove_remains(store, project, paths, header.fork_of.as_ref()),
        _ => Ok(()),
    }
}

/// Removes the files of a log that counts as absent, and its marker at the log it was forked from.
pub(crate) fn remove_remains(store: &Store, project: &Dir, paths: &LogPaths, fork_of: Option<&LogName>) -> Result<()> {
    if let Some(sealed) = project.dir(paths.sealed())? {
        for first in sealed_firsts(project, paths)? {
            sealed.unlink(sealed_name(first))?;
        }
        sealed.sync()?;
    }
    if let Some(source) = fork_of {
        unmark(store, project, &LogPaths::of(source), paths.name())?;
    }
    if let Some(folder) = project.dir(paths.folder())? {
        folder.unlink(paths.newest_name())?;
        // Markers of forks that live keep their folders.
        project.rmdir(paths.forks())?;
        project.rmdir(paths.sealed())?;
        folder.sync().map_err(|error| store.unknown(&store.shown(project, &paths.newest()), &error))?;
    }
    Ok(())
}
