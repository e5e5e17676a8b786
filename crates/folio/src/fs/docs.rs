//! Documents: one file each, replaced whole.

mod list;
pub(in crate::fs) mod slot;
pub(in crate::fs) mod stored;

use std::sync::Arc;

use async_trait::async_trait;

use self::slot::Slot;
use super::scope::Scope;
use super::store::Store;
use crate::blob::{WriteCondition, WriteOutcome};
use crate::change::ChangeStream;
use crate::docs::{DeleteOutcome, DocList, DocListOptions, Document, JsonKv, PatchOutcome};
use crate::error::Result;
use crate::hub::Filter;
use crate::json::Json;
use crate::limits::Limits;
use crate::name::DocKey;

/// The documents of a scope.
#[derive(Debug)]
pub(crate) struct FsDocs {
    store: Arc<Store>,
    scope: Scope,
}

impl FsDocs {
    /// Checks nothing: each call does.
    pub(crate) fn new(store: Arc<Store>, scope: Scope) -> Self {
        Self { store, scope }
    }

    /// Runs `work` on one document, alone among the writers of that document.
    async fn alone<T: Send + 'static>(
        &self,
        key: &DocKey,
        work: impl FnOnce(&Slot<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let running = self.store.enter().await?;
        let gate = match self.scope.project() {
            Some(id) => Some(self.store.gates.shared(id).await),
            None => None,
        };
        let lock = self.store.gates.path(&(&self.scope, key)).await;
        let (scope, key) = (self.scope.clone(), key.clone());
        let work = move |store: &Arc<Store>| {
            let _held = (lock, gate);
            store.writable()?;
            work(&Slot::new(store, &scope, &key)?)
        };
        self.store.run_on(running, work).await
    }
}

#[async_trait]
impl JsonKv for FsDocs {
    async fn list(&self, options: DocListOptions) -> Result<DocList> {
        Limits::check_page(options.limit)?;
        let scope = self.scope.clone();
        self.store.run(move |store| list::list(store, &scope, &options)).await
    }

    async fn get(&self, key: &DocKey) -> Result<Option<Document>> {
        let (scope, key) = (self.scope.clone(), key.clone());
        let work = move |store: &Arc<Store>| match Slot::new(store, &scope, &key)?.read()? {
            Some(stored) => stored.document().map(Some),
            None => Ok(None),
        };
        self.store.run(work).await
    }

    async fn put(&self, key: &DocKey, value: Json, condition: WriteCondition) -> Result<WriteOutcome> {
        let work = move |slot: &Slot<'_>| {
            let current = slot.read()?;
            let tag = current.as_ref().map(|current| current.etag);
            if !condition.holds(tag) {
                return Ok(WriteOutcome::Precondition { current: tag });
            }
            if let (WriteCondition::None, Some(current)) = (condition, &current) {
                // Nobody has seen what is damaged there, so nobody overwrites it.
                current.document()?;
            }
            let written = slot.write(current.as_ref(), value)?;
            Ok(WriteOutcome::Written { etag: written.etag, created: current.is_none() })
        };
        self.alone(key, work).await
    }

    async fn patch(&self, key: &DocKey, patch: Json, condition: WriteCondition) -> Result<PatchOutcome> {
        let work = move |slot: &Slot<'_>| {
            let current = slot.read()?;
            let tag = current.as_ref().map(|current| current.etag);
            if !condition.holds(tag) {
                return Ok(PatchOutcome::Precondition { current: tag });
            }
            let value = match &current {
                Some(current) => current.document()?.value.merge_patch(&patch),
                None => Json::patch_of_nothing(&patch),
            };
            slot.write(current.as_ref(), value).map(PatchOutcome::Written)
        };
        self.alone(key, work).await
    }

    async fn delete(&self, key: &DocKey, condition: WriteCondition) -> Result<DeleteOutcome> {
        let work = move |slot: &Slot<'_>| {
            let current = slot.read()?;
            let tag = current.as_ref().map(|current| current.etag);
            if !condition.holds(tag) {
                return Ok(DeleteOutcome::Precondition { current: tag });
            }
            Ok(DeleteOutcome::Deleted(match &current {
                Some(current) => slot.remove(current)?,
                None => false,
            }))
        };
        self.alone(key, work).await
    }

    async fn subscribe(&self) -> Result<ChangeStream> {
        self.store.subscribe(&self.scope, Filter::Docs).await
    }
}

#[cfg(test)]
mod tests;
