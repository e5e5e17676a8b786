//! Where a file of a project lies, and what may stand in its way.

use rustix::io::Errno;

use super::super::store::Store;
use super::super::vfs::{Access, Dir, File, Kind, Meta, VfsResult};
use crate::error::{Error, NameKind, Result};
use crate::name::{FilePath, ProjectId};

/// The folder of a project, in which a path is known to be spelled as it is stored.
pub(in crate::fs) fn project(store: &Store, id: &ProjectId, path: &FilePath) -> Result<Dir> {
    let project = store.project_dir(id)?;
    store.folding.check(&project, path.as_str(), NameKind::Path)?;
    Ok(project)
}

/// Opens the file for reading; `None` where no regular file stands there.
pub(in crate::fs) fn open(project: &Dir, path: &FilePath) -> VfsResult<Option<File>> {
    match project.open(path.as_str(), Access::Read) {
        Err(error) if error.foreign() || error.missing() => Ok(None),
        outcome => outcome,
    }
}

/// What is known of the file without opening it; `None` where no regular file stands there.
pub(in crate::fs) fn stat(project: &Dir, path: &str) -> VfsResult<Option<Meta>> {
    match project.stat(path) {
        Ok(meta) => Ok(meta.filter(|meta| meta.kind == Kind::File)),
        Err(error) if error.foreign() || error.missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Refuses a path where something else than a file stands, or that leads through something else than folders.
///
/// # Errors
/// [`Error::PathConflict`].
pub(in crate::fs) fn check_free(project: &Dir, path: &FilePath) -> Result<()> {
    let conflict = |why: String| Err(Error::PathConflict { path: path.to_string(), why: why.into() });
    match project.stat(path.as_str()) {
        Ok(None | Some(Meta { kind: Kind::File, .. })) => Ok(()),
        Ok(Some(Meta { kind: Kind::Dir, .. })) => Err(Error::folder_at(path)),
        Ok(Some(meta)) => conflict(format!("a {} stands there", meta.kind)),
        Err(error) if error.is(&[Errno::NAMETOOLONG]) => conflict("the name is too long for this file system".into()),
        Err(error) if error.foreign() || error.missing() => match first_no_folder(project, path)? {
            Some(folder) => Err(Error::no_folder_at(path, folder)),
            None => conflict(error.why()),
        },
        Err(error) => Err(error.into()),
    }
}

/// The first part of the path that should be a folder and is not.
fn first_no_folder<'a>(project: &Dir, path: &'a FilePath) -> VfsResult<Option<&'a str>> {
    for (end, _) in path.as_str().match_indices('/') {
        let folder = path.as_str().get(..end).unwrap_or_default();
        if project.stat(folder)?.is_some_and(|meta| meta.kind != Kind::Dir) {
            return Ok(Some(folder));
        }
    }
    Ok(None)
}

/// Removes the folders on the path that are empty now. What is not removed stays, as an empty folder does no harm.
pub(in crate::fs) fn prune(project: &Dir, path: &FilePath) {
    let mut folder = path.as_str();
    while let Some((parent, _)) = folder.rsplit_once('/') {
        folder = parent;
        if !matches!(project.rmdir(folder), Ok(true)) {
            return;
        }
    }
}
