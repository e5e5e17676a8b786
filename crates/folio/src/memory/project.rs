//! A handle to a project.

use std::sync::Arc;

use async_trait::async_trait;

use super::commit::commit;
use super::docs::{MemoryDocs, Scope};
use super::files::MemoryFiles;
use super::history::MemoryLog;
use super::store::Store;
use crate::blob::BlobStore;
use crate::change::ChangeStream;
use crate::commit::{CommitOutcome, Operation};
use crate::docs::JsonKv;
use crate::driver::{LogList, Project};
use crate::error::Result;
use crate::hub::Filter;
use crate::limits::Limits;
use crate::log::AppendLog;
use crate::name::{LogName, ProjectId};

pub(super) struct MemoryProject {
    store: Arc<Store>,
    id: ProjectId,
}

impl MemoryProject {
    pub(super) fn new(store: Arc<Store>, id: ProjectId) -> Self {
        Self { store, id }
    }
}

#[async_trait]
impl Project for MemoryProject {
    fn id(&self) -> &ProjectId {
        &self.id
    }

    fn files(&self) -> Arc<dyn BlobStore> {
        Arc::new(MemoryFiles::new(Arc::clone(&self.store), self.id.clone()))
    }

    fn docs(&self) -> Arc<dyn JsonKv> {
        Arc::new(MemoryDocs::new(Arc::clone(&self.store), Scope::Project(self.id.clone())))
    }

    fn log(&self, name: &LogName) -> Arc<dyn AppendLog> {
        Arc::new(MemoryLog::new(Arc::clone(&self.store), self.id.clone(), name.clone()))
    }

    async fn list_logs(&self, after: Option<&LogName>, limit: usize) -> Result<LogList> {
        Limits::check_page(limit)?;
        let state = self.store.lock();
        let mut found = state.project(&self.id)?.logs.names_after(after);
        let logs: Vec<LogName> = found.by_ref().take(limit).cloned().collect();
        let next = found.next().and(logs.last().cloned());
        Ok(LogList { logs, next })
    }

    async fn changes(&self) -> Result<ChangeStream> {
        let mut state = self.store.lock();
        state.project(&self.id)?;
        Ok(state.hubs.listen(Scope::Project(self.id.clone())).subscribe(Filter::All))
    }

    async fn commit(&self, operations: Vec<Operation>) -> Result<CommitOutcome> {
        commit(&self.store, &self.id, operations).await
    }
}
