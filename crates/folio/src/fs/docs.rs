//! Documents: one file each, replaced whole.

mod list;
pub(in crate::fs) mod slot;
pub(in crate::fs) mod stored;
pub(in crate::fs) mod telling;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::oneshot;

use self::slot::Slot;
use self::telling::Telling;
use super::scope::Scope;
use super::store::Store;
use super::txn::{Step, Txn};
use crate::blob::{WriteCondition, WriteOutcome};
use crate::change::ChangeStream;
use crate::docs::{DeleteOutcome, DocList, DocListOptions, Document, JsonKv, PatchOutcome};
use crate::error::{Error, Result};
use crate::etag::Etag;
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

    /// Decides on one document, alone among the writers of that document, and carries it out. Goes on to its end, also
    /// when the caller gives up waiting.
    async fn alone<T: Send + 'static>(
        &self,
        key: &DocKey,
        decide: impl FnOnce(&Slot<'_>) -> Result<Decided<T>> + Send + 'static,
    ) -> Result<T> {
        let running = self.store.enter().await?;
        let gate = match self.scope.project() {
            Some(id) => Some(self.store.gates.shared(id).await),
            None => None,
        };
        let lock = self.store.gates.path(&(&self.scope, key)).await;
        let (store, scope, key) = (Arc::clone(&self.store), self.scope.clone(), key.clone());
        let (answer, answered) = oneshot::channel();
        let work = move || {
            let held = (lock, gate, running);
            let decided = store.writable().and_then(|()| decide(&Slot::new(&store, &scope, &key)?));
            let answer = move |outcome| {
                drop(held);
                // The caller may have given up.
                let _ = answer.send(outcome);
            };
            match decided {
                Ok(Decided { change: Some((step, etag)), outcome }) => {
                    let telling = Telling::begin(&store, scope, key);
                    store.commit_then(Txn::of(step), move |effects| answer(telling.told(etag, effects).map(|()| outcome)));
                }
                Ok(Decided { change: None, outcome }) => answer(Ok(outcome)),
                Err(error) => answer(Err(error)),
            }
        };
        self.store.crew.take(work);
        answered.await.unwrap_or_else(|_| {
            let why = "the thread that changed it ended".into();
            Err(Error::OutcomeUnknown { what: "a document".into(), why })
        })
    }
}

/// What a call on a document comes to.
struct Decided<T> {
    /// The step to make, and the tag that the document has then; `None` where it is gone.
    change: Option<(Step, Option<Etag>)>,
    outcome: T,
}

impl<T> Decided<T> {
    fn nothing(outcome: T) -> Self {
        Self { change: None, outcome }
    }

    fn change(step: Step, etag: Option<Etag>, outcome: T) -> Self {
        Self { change: Some((step, etag)), outcome }
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
                return Ok(Decided::nothing(WriteOutcome::Precondition { current: tag }));
            }
            if let (WriteCondition::None, Some(current)) = (condition, &current) {
                // Nobody has seen what is damaged there, so nobody overwrites it.
                current.document()?;
            }
            let (step, etag) = slot.prepare_write(current.as_ref(), &value)?;
            let outcome = WriteOutcome::Written { etag, created: current.is_none() };
            Ok(Decided::change(step, Some(etag), outcome))
        };
        self.alone(key, work).await
    }

    async fn patch(&self, key: &DocKey, patch: Json, condition: WriteCondition) -> Result<PatchOutcome> {
        let work = move |slot: &Slot<'_>| {
            let current = slot.read()?;
            let tag = current.as_ref().map(|current| current.etag);
            if !condition.holds(tag) {
                return Ok(Decided::nothing(PatchOutcome::Precondition { current: tag }));
            }
            let value = match &current {
                Some(current) => current.document()?.value.merge_patch(&patch),
                None => Json::patch_of_nothing(&patch),
            };
            let (step, etag) = slot.prepare_write(current.as_ref(), &value)?;
            Ok(Decided::change(step, Some(etag), PatchOutcome::Written(Document { value, etag })))
        };
        self.alone(key, work).await
    }

    async fn delete(&self, key: &DocKey, condition: WriteCondition) -> Result<DeleteOutcome> {
        let work = move |slot: &Slot<'_>| {
            let current = slot.read()?;
            let tag = current.as_ref().map(|current| current.etag);
            if !condition.holds(tag) {
                return Ok(Decided::nothing(DeleteOutcome::Precondition { current: tag }));
            }
            let step = match &current {
                Some(current) => slot.prepare_remove(current)?,
                None => None,
            };
            Ok(match step {
                Some(step) => Decided::change(step, None, DeleteOutcome::Deleted(true)),
                None => Decided::nothing(DeleteOutcome::Deleted(false)),
            })
        };
        self.alone(key, work).await
    }

    async fn subscribe(&self) -> Result<ChangeStream> {
        self.store.subscribe(&self.scope, Filter::Docs).await
    }
}

#[cfg(test)]
mod tests;
