//! One document of an open scope.

use super::super::replace;
use super::super::scope::Scope;
use super::super::store::Store;
use super::super::txn::{Prepared, Step};
use super::super::vfs::{Dir, VfsResult};
use super::stored::Stored;
use crate::error::{NameKind, Result};
use crate::etag::Etag;
use crate::json::Json;
use crate::name::DocKey;

/// One document of an open scope. For writing, hold the lock of its path.
pub(in crate::fs) struct Slot<'a> {
    store: &'a Store,
    base: Dir,
    rel: String,
}

impl<'a> Slot<'a> {
    pub(in crate::fs) fn new(store: &'a Store, scope: &Scope, key: &DocKey) -> Result<Self> {
        let (base, rel) = (scope.base(store)?, scope.doc(key));
        store.folding.check(&base, &rel, NameKind::Key)?;
        Ok(Self { store, base, rel })
    }

    /// What is there.
    pub(in crate::fs) fn read(&self) -> Result<Option<Stored>> {
        // One byte more than a document may have: the newline.
        Ok(Stored::read(&self.base, &self.rel, self.store.options.limits.body.saturating_add(1))?)
    }

    /// The step that replaces what is there, and the tag of what will be.
    pub(in crate::fs) fn prepare_write(&self, current: Option<&Stored>, value: &Json) -> Result<(Step, Etag)> {
        self.store.options.limits.check_document(value.as_str().len())?;
        let bytes = [value.as_str().as_bytes(), b"\n"].concat();
        let etag = Etag::of(&bytes);
        let prepared = self.prepare(current, bytes, etag).map_err(|error| error.writing(&self.shown()))?;
        let before = current.map(Stored::before);
        Ok((replace::prepare_put(self.store, &self.base, &self.rel, prepared, before)?, etag))
    }

    fn prepare(&self, current: Option<&Stored>, bytes: Vec<u8>, etag: Etag) -> VfsResult<Prepared> {
        if let Some((file, why)) = current.and_then(Stored::damage) {
            let why = format!("overwritten when it was damaged: {why}");
            self.store.ground.quarantine.keep_range(&self.shown(), &why, file, 0..file.len()?)?;
        }
        let mut prepared = Prepared::of(self.store, bytes, etag)?;
        if let Some(current) = current {
            prepared.set_mode(current.mode())?;
        }
        Ok(prepared)
    }

    /// The step that removes what is there, which was read as `current`.
    pub(in crate::fs) fn prepare_remove(&self, current: &Stored) -> Result<Option<Step>> {
        replace::prepare_remove(self.store, &self.base, &self.rel, current.before())
    }

    fn shown(&self) -> String {
        self.store.shown(&self.base, &self.rel)
    }
}
