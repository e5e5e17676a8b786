//! Documents: of a project, shared, and in collections.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use folio::{DeleteOutcome, DocKey, DocListOptions, Etag, Json, PatchOutcome, WriteOutcome};
use http::{HeaderMap, StatusCode, Uri};
use serde::Serialize;

use crate::body::Whole;
use crate::budget::Reservation;
use crate::conditions::{self, ReadConditions, Verdict};
use crate::path::{AtDoc, InDocs};
use crate::problem::{Answer, Problem};
use crate::query::Query;
use crate::state::App;
use crate::{accept, body, reply};

/// The media type of RFC 7396.
const MERGE_PATCH: &str = "application/merge-patch+json";

#[derive(Serialize)]
struct Listed {
    key: DocKey,
    size: u64,
    modified: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<Etag>,
}

#[derive(Serialize)]
struct List {
    docs: Vec<Listed>,
    next: Option<DocKey>,
}

#[derive(Serialize)]
struct Written {
    key: DocKey,
    etag: Etag,
}

/// `GET …/docs`.
pub(crate) async fn list(InDocs(docs): InDocs, uri: Uri) -> Answer {
    let query = Query::parse(&uri, &["prefix", "after", "limit", "etag"])?;
    let options = DocListOptions {
        prefix: query.get("prefix").unwrap_or_default().to_owned(),
        after: query.parsed("after")?,
        limit: query.limit()?,
        etag: query.flag("etag")?,
    };
    let list = docs.list(options).await?;
    let docs = list.docs.into_iter().map(|doc| Listed { key: doc.key, size: doc.size, modified: doc.modified, etag: doc.etag });
    reply::json(StatusCode::OK, &List { docs: docs.collect(), next: list.next })
}

/// `GET …/docs/{key}`.
pub(crate) async fn get(State(app): State<Arc<App>>, AtDoc { docs, key }: AtDoc, uri: Uri, headers: HeaderMap) -> Answer {
    Query::none(&uri)?;
    let conditions = ReadConditions::parse(&headers)?;
    let mut memory = app.answers.reserve(app.config.limits.body).await?;
    let Some(document) = docs.get(&key).await? else {
        return Err(Problem::not_found(format!("document \"{key}\"")));
    };
    memory.shrink(document.value.as_str().len());
    let mut response = match conditions.judge(Some(document.etag)) {
        Verdict::Failed => return Err(Problem::tag_differs(Some(document.etag))),
        Verdict::NotModified => reply::empty(StatusCode::NOT_MODIFIED),
        Verdict::Send => reply::value(document.value, memory),
    };
    describe(&mut response, document.etag);
    Ok(response)
}

fn describe(response: &mut Response, etag: Etag) {
    // Kept by browsers, but asked about each time: the ETag makes that cheap.
    reply::describe(response.headers_mut(), accept::JSON, "no-cache");
    reply::tag(response.headers_mut(), etag);
}

/// The value in a body, and the memory it takes.
async fn value(app: &App, headers: &HeaderMap, body: Body, taken: &[&'static str]) -> Result<(Json, Reservation), Problem> {
    body::expect(headers, taken)?;
    let Whole { bytes, memory } = body::whole(body, app.config.limits.body, &app.bodies).await?;
    let value = body::work(bytes.len(), move || Ok(Json::parse(&bytes)?)).await?;
    Ok((value, memory))
}

/// `PUT …/docs/{key}`.
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    AtDoc { docs, key }: AtDoc,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    Query::none(&uri)?;
    let condition = conditions::of_write(&headers)?;
    let (value, _memory) = value(&app, &headers, body, &[accept::JSON]).await?;
    match docs.put(&key, value, condition).await? {
        WriteOutcome::Written { etag, created } => {
            let status = if created { StatusCode::CREATED } else { StatusCode::OK };
            let mut response = reply::json(status, &Written { key, etag })?;
            reply::tag(response.headers_mut(), etag);
            Ok(response)
        }
        WriteOutcome::Precondition { current } => Err(Problem::tag_differs(current)),
    }
}

/// `PATCH …/docs/{key}`.
pub(crate) async fn patch(
    State(app): State<Arc<App>>,
    AtDoc { docs, key }: AtDoc,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    Query::none(&uri)?;
    let condition = conditions::of_write(&headers)?;
    let (patch, _memory) = value(&app, &headers, body, &[MERGE_PATCH, accept::JSON]).await?;
    // Taken before the write: there is no refusing after it.
    let mut memory = app.answers.reserve(app.config.limits.body).await?;
    match docs.patch(&key, patch, condition).await? {
        PatchOutcome::Written(document) => {
            memory.shrink(document.value.as_str().len());
            let mut response = reply::value(document.value, memory);
            describe(&mut response, document.etag);
            Ok(response)
        }
        PatchOutcome::Precondition { current } => Err(Problem::tag_differs(current)),
    }
}

/// `DELETE …/docs/{key}`.
pub(crate) async fn delete(AtDoc { docs, key }: AtDoc, uri: Uri, headers: HeaderMap, body: Body) -> Answer {
    Query::none(&uri)?;
    let condition = conditions::of_write(&headers)?;
    body::none(body).await?;
    match docs.delete(&key, condition).await? {
        DeleteOutcome::Deleted(existed) => Ok(reply::deleted(existed)),
        DeleteOutcome::Precondition { current } => Err(Problem::tag_differs(current)),
    }
}
