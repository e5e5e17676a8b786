//! Documents: one file each, replaced whole.

mod list;
pub(in crate::fs) mod slot;
pub(in crate::fs) mod stored;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::oneshot;

use self::slot::{Decided, Slot};
use super::replace::Replaced;
use super::scope::Scope;
use super::store::Store;
use super::telling::Telling;
use super::txn::Txn;
use crate::blob::{WriteCondition, WriteOutcome};
use crate::change::{ChangeStream, Target};
use crate::docs::{DeleteOutcome, DocList, DocListOptions, Document, JsonKv, PatchOutcome};
use crate::error::{Error, Result};
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
    async fn change<T: Send + 'static>(
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
            let decided = store.writable().and_then(|()| decide(&Slot::alone(&store, &scope, &key)?));
            let answer = move |outcome| {
                drop(held);
                // The caller may have given up.
                let _ = answer.send(outcome);
            };
            match decided {
                Ok(Decided { change: Some((step, etag)), outcome }) => {
                    let telling = Telling::begin(&store, scope, Target::Doc(key));
                    let told = move |effects: Vec<_>| {
                        telling.told(etag, Replaced::of(&effects));
                        outcome
                    };
                    store.commit_then(Txn::of(step), move |effects| answer(effects.map(told)));
                }
                Ok(Decided { change: None, outcome }) => answer(Ok(outcome)),
                Err(error) => answer(Err(error)),
            }
        };
        self.store.crew.take(work);
        self.store.crew.wait(answered).await.unwrap_or_else(|_| {
            let why = "the thread that changed it ended".into();
            Err(Error::OutcomeUnknown { what: "a document".into(), why })
        })
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
        self.change(key, move |slot| slot.put(&value, condition)).await
    }

    async fn patch(&self, key: &DocKey, patch: Json, condition: WriteCondition) -> Result<PatchOutcome> {
        self.change(key, move |slot| slot.patch(&patch, condition)).await
    }

    async fn delete(&self, key: &DocKey, condition: WriteCondition) -> Result<DeleteOutcome> {
        self.change(key, move |slot| slot.delete(condition)).await
    }

    async fn subscribe(&self) -> Result<ChangeStream> {
        self.store.subscribe(&self.scope, Filter::Docs).await
    }
}

#[cfg(test)]
mod tests;
