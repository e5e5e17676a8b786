//! A write of our own on its way, and how subscribers are told of it.

use std::sync::Arc;

use super::changes::{Seen, Writing};
use super::content::large;
use super::files::place;
use super::replace::Replaced;
use super::scope::Scope;
use super::store::Store;
use crate::change::Target;
use crate::etag::Etag;

/// A document or file that is being written or removed. Until that ends, what its folder shows of it is not told as
/// somebody else's.
pub(in crate::fs) struct Telling {
    store: Arc<Store>,
    scope: Scope,
    target: Target,
    _writing: Writing,
}

impl Telling {
    pub(in crate::fs) fn begin(store: &Arc<Store>, scope: Scope, target: Target) -> Self {
        let writing = store.changes.begin(&scope, target.clone());
        Self { store: Arc::clone(store), scope, target, _writing: writing }
    }

    /// It is done: what is there has that tag now, or is gone.
    pub(in crate::fs) fn told(self, etag: Option<Etag>, replaced: Replaced) {
        let seen = match (etag, &replaced.large) {
            (Some(etag), None) => Seen::Bytes(etag),
            (Some(_), Some(meta)) => large(meta),
            (None, _) => Seen::Absent,
        };
        if etag.is_none() {
            self.prune();
        }
        self.store.changes.own(&self.scope, self.target.clone(), seen, etag);
        if replaced.conflict {
            self.store.changes.conflict(&self.scope, self.target);
        }
    }

    /// It is not written after all.
    pub(in crate::fs) fn give_up(self) {
        self.prune();
    }

    /// Folders of a project that hold nothing any more go with the file.
    fn prune(&self) {
        if let Target::File(path) = &self.target
            && let Ok(project) = self.scope.base(&self.store)
        {
            place::prune(&project, path);
        }
    }
}
