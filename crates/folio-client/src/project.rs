//! One project of a daemon.

use std::sync::Arc;

use async_trait::async_trait;
use folio::{AppendLog, BlobStore, ChangeStream, CommitOutcome, JsonKv, LogList, LogName, Operation, Project, ProjectId, Result};

use crate::call::Call;
use crate::changes;
use crate::commit::commit;
use crate::docs::HttpDocs;
use crate::files::HttpFiles;
use crate::http::Http;
use crate::log::HttpLog;
use crate::target::Target;
use crate::wire;

pub(crate) struct HttpProject {
    http: Arc<Http>,
    id: ProjectId,
    target: Target,
}

impl HttpProject {
    pub(crate) fn new(http: Arc<Http>, id: ProjectId, target: Target) -> Self {
        Self { http, id, target }
    }

    fn at(&self, segment: &str) -> Target {
        self.target.clone().segment(segment)
    }
}

#[async_trait]
impl Project for HttpProject {
    fn id(&self) -> &ProjectId {
        &self.id
    }

    fn files(&self) -> Arc<dyn BlobStore> {
        Arc::new(HttpFiles::new(Arc::clone(&self.http), self.at("files"), self.at("changes").query("only", "files")))
    }

    fn docs(&self) -> Arc<dyn JsonKv> {
        Arc::new(HttpDocs::new(Arc::clone(&self.http), self.at("docs"), self.at("changes").query("only", "docs")))
    }

    fn log(&self, name: &LogName) -> Arc<dyn AppendLog> {
        Arc::new(HttpLog::new(Arc::clone(&self.http), name.clone(), self.at("logs")))
    }

    async fn list_logs(&self, after: Option<&LogName>, limit: usize) -> Result<LogList> {
        let target = self.at("logs").query_if("after", after).query("limit", &limit.to_string());
        let wire::Logs { logs, next } = self.http.json(&Call::get(target)).await?;
        Ok(LogList { logs: logs.into_iter().map(|log| log.name).collect(), next })
    }

    async fn changes(&self) -> Result<ChangeStream> {
        changes::subscribe(Arc::clone(&self.http), self.at("changes")).await
    }

    async fn commit(&self, operations: Vec<Operation>) -> Result<CommitOutcome> {
        commit(&self.http, self.at("commit"), operations).await
    }
}
