//! Putting a whole file in the place of another, and taking one away: atomic, and durable as promised.

use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;

use super::store::Store;
use super::temp::TempFile;
use super::vfs::{Dir, Kind, Meta, VfsError, VfsResult};
use crate::error::{Error, Result};

/// How often a folder that is removed as empty, just when a file is to come into it, is made again.
const ATTEMPTS: usize = 100;

/// Counts who is making folders that are not durable yet.
#[derive(Debug, Default)]
pub(crate) struct Making(AtomicUsize);

struct Maker<'a>(&'a Making);

impl Making {
    fn begin(&self) -> Maker<'_> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Maker(self)
    }

    fn others(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 1
    }
}

impl Drop for Maker<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Gives `temp`, written and synced, the name `rel` below `base`, with the folders on its way. What stood there is gone.
/// Returns what is known of the file now.
///
/// # Errors
/// Before the name is given nothing has changed (but for new, empty folders): [`Error::DiskFull`], [`Error::Io`],
/// [`Error::PathConflict`] where something else than a file stands there.
/// After that [`Error::OutcomeUnknown`], and the store refuses writes.
pub(crate) fn put(store: &Store, base: &Dir, rel: &str, mut temp: TempFile) -> Result<Meta> {
    let what = store.shown(base, rel);
    if let Ok(Some(meta)) = base.stat(rel)
        && meta.kind != Kind::File
    {
        return Err(Error::PathConflict { path: what, why: format!("a {} stands there", meta.kind).into() });
    }
    let (folder, name) = rel.rsplit_once('/').map_or((None, rel), |(folder, name)| (Some(folder), name));
    let making = store.making.begin();
    let mut attempt = 0;
    let changed = loop {
        match place(store, base, folder, attempt > 0, name, &mut temp) {
            Ok(changed) => break changed,
            Err(error) if error.is(&[Errno::NOENT]) && attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error.writing(&what)),
        }
    };
    let synced = changed.iter().rev().try_for_each(|folder| store.sync_folder(folder));
    drop(making);
    synced.and_then(|()| temp.file().meta()).map_err(|error| store.unknown(&what, &error))
}

/// Renames, and returns the folders that need a sync now.
fn place(store: &Store, base: &Dir, rel: Option<&str>, again: bool, name: &str, temp: &mut TempFile) -> VfsResult<Vec<Dir>> {
    let mut changed = folders(base, rel)?;
    // A folder on the way may be new and not synced yet: made by someone else just now, or by the attempt before.
    if again || store.making.others() {
        changed = chain(base, rel)?;
    }
    let folder = changed.last().ok_or_else(|| vanished(base, name))?;
    temp.try_keep_as(folder, name)?;
    Ok(changed)
}

/// Removes the file `rel` below `base`; `false` where there was none. Folders stay.
///
/// # Errors
/// As [`put`].
pub(crate) fn remove(store: &Store, base: &Dir, rel: &str) -> Result<bool> {
    let (folder, name) = match rel.rsplit_once('/') {
        Some((folder, name)) => (base.dir(folder)?, name),
        None => (Some(base.clone()), rel),
    };
    let Some(folder) = folder else { return Ok(false) };
    if !folder.unlink(name)? {
        return Ok(false);
    }
    store.sync_folder(&folder).map_err(|error| store.unknown(&store.shown(base, rel), &error))?;
    Ok(true)
}

/// Makes the folder, and returns the ones that need a sync once a file is in it: the last is the folder itself.
fn folders(base: &Dir, rel: Option<&str>) -> VfsResult<Vec<Dir>> {
    let Some(rel) = rel else { return Ok(vec![base.clone()]) };
    let (folder, mut changed) = base.make_dirs(rel)?;
    changed.push(folder);
    Ok(changed)
}

/// Every folder from `base` to `rel`.
fn chain(base: &Dir, rel: Option<&str>) -> VfsResult<Vec<Dir>> {
    let mut folders = vec![base.clone()];
    let rel = rel.unwrap_or_default();
    let ends = rel.match_indices('/').map(|(at, _)| at).chain((!rel.is_empty()).then_some(rel.len()));
    for end in ends {
        let part = rel.get(..end).unwrap_or(rel);
        folders.push(base.dir(part)?.ok_or_else(|| vanished(base, part))?);
    }
    Ok(folders)
}

fn vanished(base: &Dir, rel: &str) -> VfsError {
    VfsError::os("open", &base.path().join(rel), Errno::NOENT)
}
