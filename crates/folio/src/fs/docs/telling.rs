//! Telling subscribers of a change of a document that is made here.

use std::sync::Arc;

use super::super::changes::{Seen, Writing};
use super::super::replace::Replaced;
use super::super::scope::Scope;
use super::super::store::Store;
use super::super::txn::Effect;
use crate::change::Target;
use crate::error::Result;
use crate::etag::Etag;
use crate::name::DocKey;

/// A change on its way. Until it ends, what the folder shows of it is not told as somebody else's.
pub(in crate::fs) struct Telling {
    store: Arc<Store>,
    scope: Scope,
    target: Target,
    _writing: Writing,
}

impl Telling {
    pub(in crate::fs) fn begin(store: &Arc<Store>, scope: Scope, key: DocKey) -> Self {
        let target = Target::Doc(key);
        let writing = store.changes.begin(&scope, target.clone());
        Self { store: Arc::clone(store), scope, target, _writing: writing }
    }

    /// Tells, where the change was made, that the document has that tag now, or is gone.
    pub(in crate::fs) fn told(self, etag: Option<Etag>, effects: Result<Vec<Effect>>) -> Result<()> {
        let effects = effects?;
        self.store.changes.own(&self.scope, self.target.clone(), etag.map_or(Seen::Absent, Seen::Bytes), etag);
        if effects.first().is_some_and(|effect| Replaced::of(effect).conflict) {
            self.store.changes.conflict(&self.scope, self.target);
        }
        Ok(())
    }
}
