//! Documents: of a project, shared, or in a collection.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;

use super::store::{State, Store};
use crate::blob::{WriteCondition, WriteOutcome};
use crate::change::{Change, ChangeStream, Target};
use crate::docs::{DeleteOutcome, DocInfo, DocList, DocListOptions, Document, JsonKv, PatchOutcome};
use crate::error::Result;
use crate::etag::{Etag, EtagHasher};
use crate::hub::Filter;
use crate::json::Json;
use crate::limits::Limits;
use crate::name::{CollectionName, DocKey, ProjectId};

/// Whose documents.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Scope {
    Project(ProjectId),
    Shared,
    Collection(CollectionName),
}

pub(super) type DocTable = BTreeMap<DocKey, Doc>;

#[derive(Clone, Debug)]
pub(super) struct Doc {
    pub(super) document: Document,
    modified: u64,
}

/// Of the text as it would stand in a file: with a newline at its end.
pub(super) fn tag(value: &Json) -> Etag {
    let mut hasher = EtagHasher::default();
    hasher.update(value.as_str().as_bytes());
    hasher.update(b"\n");
    hasher.finish()
}

/// What a merge patch makes of what is there.
pub(super) fn patched(base: Option<&Document>, patch: &Json) -> Document {
    let value = match base {
        Some(document) => document.value.merge_patch(patch),
        None => Json::patch_of_nothing(patch),
    };
    Document { etag: tag(&value), value }
}

pub(super) struct MemoryDocs {
    store: Arc<Store>,
    scope: Scope,
}

impl State {
    /// `None` where a collection has no documents.
    fn docs(&self, scope: &Scope) -> Result<Option<&DocTable>> {
        match scope {
            Scope::Project(id) => self.project(id).map(|project| Some(&project.docs)),
            outside => Ok(self.outside.get(outside)),
        }
    }

    fn docs_mut(&mut self, scope: &Scope) -> Result<&mut DocTable> {
        match scope {
            Scope::Project(id) => self.project_mut(id).map(|project| &mut project.docs),
            outside => Ok(self.outside.entry(outside.clone()).or_default()),
        }
    }

    fn tell(&self, scope: &Scope, change: Change) {
        if let Some(hub) = self.hubs.get(scope) {
            hub.publish(change);
        }
    }
}

impl MemoryDocs {
    pub(super) fn new(store: Arc<Store>, scope: Scope) -> Self {
        Self { store, scope }
    }

    /// What is there, if the condition holds for it; else what the caller is to be told.
    fn check(table: &DocTable, key: &DocKey, condition: WriteCondition) -> Result<bool, Option<Etag>> {
        let current = table.get(key).map(|doc| doc.document.etag);
        if condition.holds(current) { Ok(current.is_some()) } else { Err(current) }
    }

    pub(super) fn store(&self, state: &mut State, key: &DocKey, document: Document) -> Result<()> {
        let etag = document.etag;
        let doc = Doc { document, modified: self.store.now() };
        state.docs_mut(&self.scope)?.insert(key.clone(), doc);
        state.tell(&self.scope, Change::Put { target: Target::Doc(key.clone()), etag: Some(etag) });
        Ok(())
    }

    /// Removes what is there.
    pub(super) fn remove(&self, state: &mut State, key: &DocKey) -> Result<()> {
        state.docs_mut(&self.scope)?.remove(key);
        if state.outside.get(&self.scope).is_some_and(BTreeMap::is_empty) {
            state.outside.remove(&self.scope);
        }
        state.tell(&self.scope, Change::Delete { target: Target::Doc(key.clone()) });
        Ok(())
    }
}

#[async_trait]
impl JsonKv for MemoryDocs {
    async fn list(&self, options: DocListOptions) -> Result<DocList> {
        Limits::check_page(options.limit)?;
        let state = self.store.lock();
        let mut list = DocList { docs: Vec::new(), next: None };
        let Some(table) = state.docs(&self.scope)? else { return Ok(list) };
        let from = options.after.map_or(Bound::Unbounded, Bound::Excluded);
        let found = table.range((from, Bound::Unbounded)).filter(|(key, _)| key.as_str().starts_with(&options.prefix));
        for (key, doc) in found.take(options.limit + 1) {
            if list.docs.len() == options.limit {
                list.next = list.docs.last().map(|last| last.key.clone());
                break;
            }
            list.docs.push(DocInfo {
                key: key.clone(),
                size: doc.document.value.as_str().len() as u64 + 1,
                modified: doc.modified,
                etag: options.etag.then_some(doc.document.etag),
            });
        }
        Ok(list)
    }

    async fn get(&self, key: &DocKey) -> Result<Option<Document>> {
        let state = self.store.lock();
        let table = state.docs(&self.scope)?;
        Ok(table.and_then(|table| table.get(key)).map(|doc| doc.document.clone()))
    }

    async fn put(&self, key: &DocKey, value: Json, condition: WriteCondition) -> Result<WriteOutcome> {
        self.store.options.limits.check_document(value.as_str().len())?;
        let etag = tag(&value);
        let mut state = self.store.lock();
        let nothing = DocTable::new();
        match Self::check(state.docs(&self.scope)?.unwrap_or(&nothing), key, condition) {
            Err(current) => Ok(WriteOutcome::Precondition { current }),
            Ok(existed) => {
                self.store(&mut state, key, Document { value, etag })?;
                Ok(WriteOutcome::Written { etag, created: !existed })
            }
        }
    }

    async fn patch(&self, key: &DocKey, patch: Json, condition: WriteCondition) -> Result<PatchOutcome> {
        let nothing = DocTable::new();
        loop {
            // Merging and hashing can take long, so they happen without the lock, and again if another write came first.
            let base = self.get(key).await?;
            let written = patched(base.as_ref(), &patch);
            let mut state = self.store.lock();
            let table = state.docs(&self.scope)?.unwrap_or(&nothing);
            if let Err(current) = Self::check(table, key, condition) {
                return Ok(PatchOutcome::Precondition { current });
            }
            if table.get(key).map(|doc| doc.document.etag) == base.map(|base| base.etag) {
                self.store.options.limits.check_document(written.value.as_str().len())?;
                self.store(&mut state, key, written.clone())?;
                return Ok(PatchOutcome::Written(written));
            }
        }
    }

    async fn delete(&self, key: &DocKey, condition: WriteCondition) -> Result<DeleteOutcome> {
        let mut state = self.store.lock();
        let nothing = DocTable::new();
        match Self::check(state.docs(&self.scope)?.unwrap_or(&nothing), key, condition) {
            Err(current) => return Ok(DeleteOutcome::Precondition { current }),
            Ok(false) => return Ok(DeleteOutcome::Deleted(false)),
            Ok(true) => {}
        }
        self.remove(&mut state, key)?;
        Ok(DeleteOutcome::Deleted(true))
    }

    async fn subscribe(&self) -> Result<ChangeStream> {
        let mut state = self.store.lock();
        state.docs(&self.scope)?;
        Ok(state.hubs.listen(self.scope.clone()).subscribe(Filter::Docs))
    }
}
