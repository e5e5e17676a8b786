//! Following changes of files and documents.

use std::sync::Arc;

use axum::extract::State;
use folio::{ChangeStream, Error, Result};
use http::{HeaderMap, Uri};

use crate::path::{InDocs, InProject};
use crate::problem::{Answer, shown};
use crate::query::Query;
use crate::state::App;
use crate::{accept, frame, sse};

/// `GET /v1/projects/{id}/changes`.
pub(crate) async fn of_project(
    State(app): State<Arc<App>>,
    InProject(project): InProject,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    let query = Query::parse(&uri, &["only"])?;
    let only = query.get("only").map(str::to_owned);
    let subscribe = async move {
        match only.as_deref() {
            None => project.changes().await,
            Some("files") => project.files().subscribe().await,
            Some("docs") => project.docs().subscribe().await,
            Some(other) => Err(Error::invalid(format!("only must be files or docs, not \"{}\"", shown(other.as_bytes())))),
        }
    };
    follow(&app, &headers, subscribe).await
}

/// `GET /v1/shared/changes` and `GET /v1/collections/{collection}/changes`.
pub(crate) async fn of_docs(State(app): State<Arc<App>>, InDocs(docs): InDocs, uri: Uri, headers: HeaderMap) -> Answer {
    Query::none(&uri)?;
    follow(&app, &headers, async move { docs.subscribe().await }).await
}

async fn follow(app: &App, headers: &HeaderMap, subscribe: impl Future<Output = Result<ChangeStream>>) -> Answer {
    accept::preferred(headers, &[accept::EVENTS])?;
    let Some(place) = sse::place(app) else { return Ok(sse::shed("too many event streams are open")) };
    match subscribe.await {
        Ok(changes) => Ok(sse::stream(app, changes, frame::change, place)),
        Err(error) => sse::refuse(error),
    }
}
