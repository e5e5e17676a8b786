//! A handle to a project.

use std::sync::Arc;

use async_trait::async_trait;

use super::commit;
use super::docs::FsDocs;
use super::files::FsFiles;
use super::log::{FsLog, Logs, list_logs};
use super::scope::Scope;
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

/// A project. Checks nothing: each call on what it hands out does.
#[derive(Debug)]
pub(super) struct FsProject {
    logs: Arc<Logs>,
    id: ProjectId,
}

impl FsProject {
    pub(super) fn new(logs: Arc<Logs>, id: ProjectId) -> Self {
        Self { logs, id }
    }

    fn store(&self) -> &Arc<Store> {
        self.logs.store()
    }
}

#[async_trait]
impl Project for FsProject {
    fn id(&self) -> &ProjectId {
        &self.id
    }

    fn files(&self) -> Arc<dyn BlobStore> {
        Arc::new(FsFiles::new(Arc::clone(self.store()), self.id.clone()))
    }

    fn docs(&self) -> Arc<dyn JsonKv> {
        Arc::new(FsDocs::new(Arc::clone(self.store()), Scope::Project(self.id.clone())))
    }

    fn log(&self, name: &LogName) -> Arc<dyn AppendLog> {
        Arc::new(FsLog::new(Arc::clone(&self.logs), self.id.clone(), name.clone()))
    }

    async fn list_logs(&self, after: Option<&LogName>, limit: usize) -> Result<LogList> {
        Limits::check_page(limit)?;
        let (id, after) = (self.id.clone(), after.cloned());
        self.store().run(move |store| list_logs(&store.project_dir(&id)?, after.as_ref(), limit)).await
    }

    async fn changes(&self) -> Result<ChangeStream> {
        self.store().subscribe(&Scope::Project(self.id.clone()), Filter::All).await
    }

    async fn commit(&self, operations: Vec<Operation>) -> Result<CommitOutcome> {
        commit::commit(&self.logs, &self.id, operations).await
    }
}
