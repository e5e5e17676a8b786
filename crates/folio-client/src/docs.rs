//! Documents over HTTP.

use std::sync::Arc;

use async_trait::async_trait;
use folio::{
    ChangeStream, DeleteOutcome, DocKey, DocList, DocListOptions, Document, Etag, Json, JsonKv, PatchOutcome, Result,
    WriteCondition, WriteOutcome,
};
use reqwest::header::{ETAG, HeaderMap};
use reqwest::{Method, StatusCode};

use crate::call::Call;
use crate::changes;
use crate::http::{Answer, Http};
use crate::target::Target;
use crate::upload::Payload;
use crate::wire::{self, Understood};

pub(crate) struct HttpDocs {
    http: Arc<Http>,
    target: Target,
    changes: Target,
}

impl HttpDocs {
    pub(crate) fn new(http: Arc<Http>, target: Target, changes: Target) -> Self {
        Self { http, target, changes }
    }

    fn call(&self, method: Method, key: &DocKey) -> Call {
        Call::new(method, self.target.clone().segment(key.as_str()))
    }
}

/// The ETag of an answer, where there is one.
pub(crate) fn etag(headers: &HeaderMap) -> Understood<Option<Etag>> {
    let Some(value) = headers.get(ETAG) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default();
    bare.parse().map(Some).map_err(|_| format!("the ETag {text:?} is none of Folio's"))
}

fn document(answer: &Answer) -> Understood<Document> {
    let etag = etag(&answer.headers)?.ok_or("a document without an ETag")?;
    let value = Json::parse_stored(&answer.body).map_err(|e| e.to_string())?;
    Ok(Document { value, etag })
}

#[async_trait]
impl JsonKv for HttpDocs {
    async fn list(&self, options: DocListOptions) -> Result<DocList> {
        let DocListOptions { prefix, after, limit, etag } = options;
        let prefix = Some(prefix).filter(|prefix| !prefix.is_empty());
        let target = self.target.clone().query_if("prefix", prefix).query_if("after", after).query("limit", &limit.to_string());
        let target = target.query_if("etag", etag.then_some("true"));
        let (docs, next) = self.http.json::<wire::Docs>(&Call::get(target)).await?.infos();
        Ok(DocList { docs, next })
    }

    async fn get(&self, key: &DocKey) -> Result<Option<Document>> {
        let call = self.call(Method::GET, key);
        match self.http.fetch(&call).await? {
            Ok(answer) => self.http.understand(&call, document(&answer)).map(Some),
            Err(problem) if problem.is_missing() => Ok(None),
            Err(problem) => Err(problem.into_error()),
        }
    }

    async fn put(&self, key: &DocKey, value: Json, condition: WriteCondition) -> Result<WriteOutcome> {
        let call = self.call(Method::PUT, key).json(value.as_str().to_owned()).condition(condition);
        write(&self.http, &call).await
    }

    async fn patch(&self, key: &DocKey, patch: Json, condition: WriteCondition) -> Result<PatchOutcome> {
        let body = Payload::Bytes(patch.as_str().to_owned().into());
        let call = self.call(Method::PATCH, key).body("application/merge-patch+json", body).condition(condition);
        match self.http.fetch(&call).await? {
            Ok(answer) => self.http.understand(&call, document(&answer)).map(PatchOutcome::Written),
            Err(problem) => match problem.unmet_condition() {
                Some(current) => Ok(PatchOutcome::Precondition { current }),
                None => Err(problem.into_error()),
            },
        }
    }

    async fn delete(&self, key: &DocKey, condition: WriteCondition) -> Result<DeleteOutcome> {
        delete(&self.http, &self.call(Method::DELETE, key).condition(condition)).await
    }

    async fn subscribe(&self) -> Result<ChangeStream> {
        changes::subscribe(Arc::clone(&self.http), self.changes.clone()).await
    }
}

/// Sends a write of a document or file.
pub(crate) async fn write(http: &Http, call: &Call) -> Result<WriteOutcome> {
    match http.fetch(call).await? {
        Ok(answer) => {
            let wire::Written { etag } = http.understand(call, wire::parse(&answer.body))?;
            Ok(WriteOutcome::Written { etag, created: answer.status == StatusCode::CREATED })
        }
        Err(problem) => match problem.unmet_condition() {
            Some(current) => Ok(WriteOutcome::Precondition { current }),
            None => Err(problem.into_error()),
        },
    }
}

/// Sends a delete of a document or file.
pub(crate) async fn delete(http: &Http, call: &Call) -> Result<DeleteOutcome> {
    match http.fetch(call).await? {
        Ok(answer) => http.existed(call, &answer).map(DeleteOutcome::Deleted),
        Err(problem) => match problem.unmet_condition() {
            Some(current) => Ok(DeleteOutcome::Precondition { current }),
            None => Err(problem.into_error()),
        },
    }
}
