//! A project in the making: built under `.folio/tmp`, then given its name, so that it is there whole or not at all.

use std::ffi::OsStr;

use super::scope::META;
use super::store::Store;
use super::temp::fresh_name;
use super::tree;
use super::txn::{Place, Step, Txn};
use super::vfs::{Dir, VfsError, VfsResult};
use crate::error::{Error, Result};
use crate::name::ProjectId;

/// A project without a name. Dropped without [`Draft::publish`] it is removed; so keep it on threads that may block.
#[derive(Debug)]
pub(super) struct Draft {
    tmp: Dir,
    name: String,
    dir: Dir,
    named: bool,
}

impl Draft {
    /// An empty one, with the folder of its documents.
    pub(super) fn new(store: &Store) -> VfsResult<Self> {
        let (tmp, name) = (store.tmp.clone(), fresh_name()?);
        let (dir, _) = tmp.make_dirs(&name)?;
        let draft = Self { tmp, name, dir, named: false };
        draft.dir.make_dir(META, 0o777)?;
        Ok(draft)
    }

    /// Its folder.
    pub(super) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Makes everything in it durable and gives it its name; `false` where a project has that name.
    ///
    /// # Errors
    /// [`Error::PathConflict`] where something else has the name. [`Error::OutcomeUnknown`].
    pub(super) fn publish(mut self, store: &Store, id: &ProjectId) -> Result<bool> {
        let what = format!("project {id}");
        tree::sync(&self.dir).map_err(|error| error.writing(&what))?;
        self.tmp.sync().map_err(|error| error.writing(&what))?;
        let meta = self.tmp.stat(&self.name).map_err(|error| error.writing(&what))?;
        let draft = meta.ok_or_else(|| Error::Retry { what: format!("{what} went away while it was made") })?.id();
        if store.root.stat(id.as_str())?.is_some() {
            return match store.project_dir(id) {
                Ok(_) => Ok(false),
                Err(Error::NoProject { .. }) => Err(in_the_way(store, id)),
                Err(error) => Err(error),
            };
        }
        let (from, to) = (Place::Temp(self.name.clone()), Place::Path(id.to_string()));
        let committed = store.commit(Txn::of(Step::rename(from, to, draft)));
        // Where the outcome is unknown, the record may be durable, and needs it.
        self.named = matches!(committed, Ok(_) | Err(Error::OutcomeUnknown { .. }));
        committed.map(|_| true)
    }
}

fn in_the_way(store: &Store, id: &ProjectId) -> Error {
    let stands = store.root.stat(id.as_str());
    let why = match stands {
        Ok(Some(meta)) => format!("a {} stands there", meta.kind),
        Ok(None) => "something else was there a moment ago; try again".into(),
        Err(error) => VfsError::why(&error),
    };
    Error::PathConflict { path: id.to_string(), why: why.into() }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.named {
            // What stays behind is removed at the next open.
            let _ = tree::remove(&self.tmp, OsStr::new(&self.name));
        }
    }
}
