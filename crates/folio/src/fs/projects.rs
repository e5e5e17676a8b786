//! The projects of a root: made, listed, deleted.

use std::ffi::OsStr;

use super::draft::Draft;
use super::scope::Scope;
use super::select::Smallest;
use super::store::Store;
use super::temp::fresh_name;
use super::tree;
use super::txn::{Place, Step, Txn};
use super::vfs::Kind;
use crate::driver::ProjectList;
use crate::error::{Error, Result};
use crate::name::ProjectId;

/// True where the project exists: any real folder of that name, whoever made it.
pub(super) fn exists(store: &Store, id: &ProjectId) -> Result<bool> {
    match store.project_dir(id) {
        Ok(_) => Ok(true),
        Err(Error::NoProject { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a project; `false` where it was there already.
pub(super) fn create(store: &Store, id: &ProjectId) -> Result<bool> {
    store.writable()?;
    if exists(store, id)? {
        return Ok(false);
    }
    let draft = Draft::new(store).map_err(|error| error.writing(&format!("project {id}")))?;
    draft.publish(store, id)
}

/// A project that has lost its name.
#[derive(Debug)]
pub(super) struct Removed(String);

impl Removed {
    /// Removes what was in it. What can't be removed now is removed at the next open; nobody sees it either way.
    pub(super) fn clear(self, store: &Store) {
        let _ = tree::remove(&store.tmp, OsStr::new(&self.0));
    }
}

/// Takes a project's name away, durably, and ends the streams of its changes; `None` where there was no project.
/// Needs the project's gate alone.
pub(super) fn remove(store: &Store, id: &ProjectId) -> Result<Option<Removed>> {
    store.writable()?;
    if !exists(store, id)? {
        return Ok(None);
    }
    let Some(meta) = store.root.stat(id.as_str())? else { return Ok(None) };
    let name = fresh_name()?;
    let (from, to) = (Place::Path(id.to_string()), Place::Temp(name.clone()));
    store.commit(Txn::of(Step::rename(from, to, meta.id())))?;
    store.changes.end(&Scope::Project(id.clone()));
    Ok(Some(Removed(name)))
}

/// Lists projects. Memory grows with the page, not with their number.
pub(super) fn list(store: &Store, after: Option<&ProjectId>, limit: usize) -> Result<ProjectList> {
    let mut found = Smallest::new(limit.saturating_add(1));
    for entry in store.root.list()? {
        let entry = entry?;
        if entry.kind != Kind::Dir {
            continue;
        }
        let Some(id) = entry.name.to_str().and_then(|name| ProjectId::new(name).ok()) else { continue };
        // A folder that another file system is mounted on is no project.
        if after.is_none_or(|after| id > *after) && found.wants(&id) && is_ours(store, &id) {
            found.push(id);
        }
    }
    let mut projects = found.finish();
    let more = projects.len() > limit;
    projects.truncate(limit);
    let next = projects.last().filter(|_| more).cloned();
    Ok(ProjectList { projects, next })
}

fn is_ours(store: &Store, id: &ProjectId) -> bool {
    matches!(store.root.stat(id.as_str()), Ok(Some(meta)) if meta.kind == Kind::Dir)
}
