//! One document of an open scope.

use super::super::replace;
use super::super::scope::{Scope, doc_name};
use super::super::store::Store;
use super::super::txn::{Prepared, Step};
use super::super::vfs::{Dir, VfsResult};
use super::stored::Stored;
use crate::blob::{WriteCondition, WriteOutcome};
use crate::docs::{DeleteOutcome, Document, PatchOutcome};
use crate::error::{NameKind, Result};
use crate::etag::Etag;
use crate::json::Json;
use crate::name::DocKey;

/// One document of an open scope. For writing, hold the lock of its path.
pub(in crate::fs) struct Slot<'a> {
    store: &'a Store,
    scope: &'a Scope,
    /// The folder of the documents, if it is there.
    folder: Option<Dir>,
    name: String,
    /// A change of it is committed by itself.
    alone: bool,
}

/// What a call on a document comes to, for who carries it out.
pub(in crate::fs) struct Decided<T> {
    /// The step to make, and the tag that the document has then; `None` where it is gone.
    pub(in crate::fs) change: Option<(Step, Option<Etag>)>,
    /// The answer, once it is made.
    pub(in crate::fs) outcome: T,
}

impl<T> Decided<T> {
    fn nothing(outcome: T) -> Self {
        Self { change: None, outcome }
    }
}

impl<'a> Slot<'a> {
    pub(in crate::fs) fn new(store: &'a Store, scope: &'a Scope, key: &DocKey) -> Result<Self> {
        let folder = match store.root.dir(scope.place()) {
            Err(error) if error.foreign() || error.missing() => None,
            folder => folder?,
        };
        if folder.is_none() || store.folding.folds() {
            store.folding.check(&scope.base(store)?, &scope.doc(key), NameKind::Key)?;
        }
        Ok(Self { store, scope, folder, name: doc_name(key), alone: false })
    }

    /// As [`Slot::new`], for a change that is committed by itself, by [`Store::commit_then`].
    pub(in crate::fs) fn alone(store: &'a Store, scope: &'a Scope, key: &DocKey) -> Result<Self> {
        Ok(Self { alone: true, ..Self::new(store, scope, key)? })
    }

    /// What is there.
    pub(in crate::fs) fn read(&self) -> Result<Option<Stored>> {
        let Some(folder) = &self.folder else { return Ok(None) };
        // One byte more than a document may have: the newline.
        Ok(Stored::read(folder, &self.name, self.store.options.limits.body.saturating_add(1))?)
    }

    /// Makes ready that it becomes `value`, if it is as `condition` says. Changes nothing.
    pub(in crate::fs) fn put(&self, value: &Json, condition: WriteCondition) -> Result<Decided<WriteOutcome>> {
        let current = self.read()?;
        let tag = current.as_ref().map(|current| current.etag);
        if !condition.holds(tag) {
            return Ok(Decided::nothing(WriteOutcome::Precondition { current: tag }));
        }
        if let (WriteCondition::None, Some(current)) = (condition, &current) {
            // Nobody has seen what is damaged there, so nobody overwrites it.
            current.document()?;
        }
        let (step, etag) = self.prepare_write(current.as_ref(), value)?;
        let outcome = WriteOutcome::Written { etag, created: current.is_none() };
        Ok(Decided { change: Some((step, Some(etag))), outcome })
    }

    /// As [`Slot::put`], with a merge patch.
    pub(in crate::fs) fn patch(&self, patch: &Json, condition: WriteCondition) -> Result<Decided<PatchOutcome>> {
        let current = self.read()?;
        let tag = current.as_ref().map(|current| current.etag);
        if !condition.holds(tag) {
            return Ok(Decided::nothing(PatchOutcome::Precondition { current: tag }));
        }
        let value = match &current {
            Some(current) => current.document()?.value.merge_patch(patch),
            None => Json::patch_of_nothing(patch),
        };
        let (step, etag) = self.prepare_write(current.as_ref(), &value)?;
        Ok(Decided { change: Some((step, Some(etag))), outcome: PatchOutcome::Written(Document { value, etag }) })
    }

    /// Makes ready that it is removed, if it is as `condition` says. Changes nothing.
    pub(in crate::fs) fn delete(&self, condition: WriteCondition) -> Result<Decided<DeleteOutcome>> {
        let current = self.read()?;
        let tag = current.as_ref().map(|current| current.etag);
        if !condition.holds(tag) {
            return Ok(Decided::nothing(DeleteOutcome::Precondition { current: tag }));
        }
        let step = match (&current, &self.folder) {
            (Some(current), Some(folder)) => {
                let step = Step::delete(self.shown(), folder.clone(), current.before());
                Some(step.map_err(|error| error.writing(&self.shown()))?)
            }
            _ => None,
        };
        let outcome = DeleteOutcome::Deleted(step.is_some());
        Ok(Decided { change: step.map(|step| (step, None)), outcome })
    }

    /// The step that replaces what is there, and the tag of what will be.
    fn prepare_write(&self, current: Option<&Stored>, value: &Json) -> Result<(Step, Etag)> {
        self.store.options.limits.check_document(value.as_str().len())?;
        let bytes = [value.as_str().as_bytes(), b"\n"].concat();
        let etag = Etag::of(&bytes);
        let prepared = self.prepare(current, bytes, etag).map_err(|error| error.writing(&self.shown()))?;
        let (before, what) = (current.map(Stored::before), self.shown());
        let folder = match &self.folder {
            Some(folder) => folder.clone(),
            None => self.store.folder(&self.scope.base(self.store)?, &self.scope.docs())?,
        };
        // What was read there was a file.
        if before.is_none() {
            replace::refuse_what_is_no_file(&folder, &self.name, &what)?;
        }
        Ok((prepared.put(what, folder, before), etag))
    }

    fn prepare(&self, current: Option<&Stored>, bytes: Vec<u8>, etag: Etag) -> VfsResult<Prepared> {
        if let Some((file, why)) = current.and_then(Stored::damage) {
            let why = format!("overwritten when it was damaged: {why}");
            self.store.ground.quarantine.keep_range(&self.shown(), &why, file, 0..file.len()?)?;
        }
        let mut prepared = Prepared::of_document(self.store, &self.shown(), bytes, etag, self.alone)?;
        if let Some(current) = current {
            prepared.set_mode(current.mode())?;
        }
        Ok(prepared)
    }

    /// Its path in the root.
    fn shown(&self) -> String {
        format!("{}/{}", self.scope.place(), self.name)
    }
}
