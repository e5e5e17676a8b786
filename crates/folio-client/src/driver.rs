//! The driver: a daemon's projects.

use std::sync::Arc;

use async_trait::async_trait;
use folio::{CollectionName, Driver, DriverInfo, Durability, JsonKv, Project, ProjectId, ProjectList, Result};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::docs::HttpDocs;
use crate::http::{Answer, Http};
use crate::options::ClientOptions;
use crate::project::HttpProject;
use crate::target::Target;
use crate::wire;

/// A [`Driver`] that speaks to a Folio daemon over HTTP. Cheap to clone; clones share their connections.
///
/// It keeps the whole contract of the daemon's own driver. Arguments are not judged here: the daemon's answer is what
/// the caller gets, in the same words and with the same [`code`](folio::Error::code). A daemon that cannot be reached, or
/// says something that is not understood, is [`Error::Transport`](folio::Error::Transport).
///
/// # Retries
/// A call is tried up to [`ClientOptions::attempts`] times, with growing pauses, and never later than
/// [`ClientOptions::deadline`] after the first try:
/// - when no connection could be made, so nothing was sent: every call;
/// - when the daemon answers `retry`, so nothing was done: every call, after the time that it names;
/// - when the connection broke before the whole answer was there, so it may have been done: only what can be done twice:
///   reading, writing and deleting *without a condition*, closing a log, and appending or committing *with an idempotency
///   key*.
///
/// After a break a condition would be judged against what the lost try wrote, and an append would land twice; so those,
/// merge patches, compactions and forks are not repeated: the error says that they may have been done. A file (or a
/// commit with files) that is written from a stream is repeated only while nothing of the stream was taken, or the stream was short (1 MiB).
/// Silence ([`ClientOptions::answer_timeout`]) is an error without a retry.
///
/// What was retried is told as the last try found it: a project that a lost try created is "there already", a
/// document that a lost try deleted was "not there", and an append that a lost try did is "replayed".
///
/// # Subscriptions
/// A lost event stream is opened again for as long as the subscription lives
/// (or [`ClientOptions::give_up_after`]), from the last position that was delivered, so that no entry is missed or told
/// twice; a hole that the daemon tells comes as [`LogEvent::Gap`](folio::LogEvent::Gap). A subscription from
/// [`Start::Now`](folio::Start::Now) stands when `subscribe` returns, and resumes from that position, not from a later
/// "now". Changes of files and documents have no positions: after a break comes [`Change::Rescan`](folio::Change::Rescan).
/// A project that is gone when its stream is opened again ends a subscription to a log with
/// [`Error::NoProject`](folio::Error::NoProject), and one to changes without an error.
#[derive(Clone, Debug)]
pub struct HttpDriver {
    http: Arc<Http>,
}

impl HttpDriver {
    /// For the daemon at `url`, such as `http://127.0.0.1:7460`. Does no I/O: the first call connects.
    ///
    /// # Errors
    /// [`Error::Invalid`](folio::Error::Invalid) for an address that cannot be meant.
    pub fn connect(url: &str) -> Result<Self> {
        Self::with_options(url, ClientOptions::default())
    }

    /// Like [`HttpDriver::connect`], with bounds of your own.
    ///
    /// # Errors
    /// As [`HttpDriver::connect`].
    pub fn with_options(url: &str, options: ClientOptions) -> Result<Self> {
        Ok(Self { http: Arc::new(Http::new(url, options)?) })
    }
}

impl Http {
    /// Sends a call that is answered with JSON of this shape; a refusal is an error.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T> {
        let answer = self.done(call).await?;
        self.understand(call, wire::parse(&answer.body))
    }

    /// Sends a call; a refusal is an error.
    pub(crate) async fn done(&self, call: &Call) -> Result<Answer> {
        self.fetch(call).await?.map_err(crate::problem::Problem::into_error)
    }

    pub(crate) fn understand<T>(&self, call: &Call, understood: wire::Understood<T>) -> Result<T> {
        understood.map_err(|why| self.misunderstood(call, &why))
    }

    /// What the daemon says was there before a delete.
    pub(crate) fn existed(&self, call: &Call, answer: &Answer) -> Result<bool> {
        match answer.headers.get("folio-existed").map(reqwest::header::HeaderValue::as_bytes) {
            Some(b"true") => Ok(true),
            Some(b"false") => Ok(false),
            _ => Err(self.misunderstood(call, "the header Folio-Existed is missing")),
        }
    }
}

fn projects() -> Target {
    Target::root().segment("projects")
}

#[async_trait]
impl Driver for HttpDriver {
    async fn info(&self) -> Result<DriverInfo> {
        let call = Call::get(Target::root());
        let wire::Info { driver, contract, durability } = self.http.json(&call).await?;
        let durability = Durability::parse(&durability).ok_or_else(|| format!("unknown durability {durability:?}"));
        Ok(DriverInfo { name: driver, contract, durability: self.http.understand(&call, durability)? })
    }

    async fn create_project(&self, id: &ProjectId) -> Result<bool> {
        let call = Call::new(Method::PUT, projects().segment(id.as_str()));
        Ok(self.http.done(&call).await?.status == StatusCode::CREATED)
    }

    async fn has_project(&self, id: &ProjectId) -> Result<bool> {
        let call = Call::get(projects().segment(id.as_str()));
        match self.http.fetch(&call).await? {
            Ok(answer) => self.http.understand(&call, wire::parse::<wire::Id>(&answer.body)).map(|_| true),
            Err(problem) if problem.is_no_project() => Ok(false),
            Err(problem) => Err(problem.into_error()),
        }
    }

    async fn delete_project(&self, id: &ProjectId) -> Result<bool> {
        let call = Call::new(Method::DELETE, projects().segment(id.as_str()));
        let answer = self.http.done(&call).await?;
        self.http.existed(&call, &answer)
    }

    async fn list_projects(&self, after: Option<&ProjectId>, limit: usize) -> Result<ProjectList> {
        let target = projects().query_if("after", after).query("limit", &limit.to_string());
        let wire::Projects { projects, next } = self.http.json(&Call::get(target)).await?;
        Ok(ProjectList { projects: projects.into_iter().map(|project| project.id).collect(), next })
    }

    async fn fork_project(&self, source: &ProjectId, target: &ProjectId) -> Result<()> {
        let body = format!("{{\"id\":\"{target}\"}}");
        let call = Call::new(Method::POST, projects().segment(source.as_str()).segment("fork")).json(body);
        self.http.done(&call).await.map(drop)
    }

    fn project(&self, id: &ProjectId) -> Arc<dyn Project> {
        let target = projects().segment(id.as_str());
        Arc::new(HttpProject::new(Arc::clone(&self.http), id.clone(), target))
    }

    fn shared(&self) -> Arc<dyn JsonKv> {
        let target = Target::root().segment("shared");
        let changes = target.clone().segment("changes");
        Arc::new(HttpDocs::new(Arc::clone(&self.http), target.segment("docs"), changes))
    }

    fn collection(&self, name: &CollectionName) -> Arc<dyn JsonKv> {
        let target = Target::root().segment("collections").segment(name.as_str());
        let changes = target.clone().segment("changes");
        Arc::new(HttpDocs::new(Arc::clone(&self.http), target.segment("docs"), changes))
    }

    async fn ready(&self) -> Result<()> {
        self.http.done(&Call::get(Target::readiness())).await.map(drop)
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
