//! Logs: what their calls are, besides appending.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use folio::{Error, LogName, LogStatus, Position, Seq};
use http::header::LOCATION;
use http::{HeaderMap, StatusCode, Uri};
use serde::{Deserialize, Serialize};

use crate::path::{self, AtLog, InProject};
use crate::problem::{Answer, shown};
use crate::query::Query;
use crate::state::App;
use crate::stream::Place;
use crate::{accept, body, events, page, reply};

/// Where a log stands.
#[derive(Serialize)]
pub(crate) struct Status {
    head: Position,
    horizon: Seq,
    first: Seq,
    lineage: Vec<(u64, Seq)>,
    closed: bool,
    bytes: u64,
    entries: u64,
}

impl From<LogStatus> for Status {
    fn from(status: LogStatus) -> Self {
        Self {
            head: status.head,
            horizon: status.horizon,
            first: status.horizon + 1,
            lineage: status.lineage.iter().map(|piece| (piece.epoch, piece.last)).collect(),
            closed: status.closed,
            bytes: status.bytes,
            entries: status.entries(),
        }
    }
}

#[derive(Serialize)]
struct Listed {
    name: LogName,
}

#[derive(Serialize)]
struct List {
    logs: Vec<Listed>,
    next: Option<LogName>,
}

#[derive(Serialize)]
struct Truncated {
    removed: u64,
    horizon: Seq,
}

#[derive(Serialize)]
struct Closed {
    head: Position,
    closed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    horizon: Option<Seq>,
    closed: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fork {
    fork: LogName,
    at: Seq,
}

/// `GET …/logs`.
pub(crate) async fn list(InProject(project): InProject, uri: Uri) -> Answer {
    let query = Query::parse(&uri, &["after", "limit"])?;
    let list = project.list_logs(query.parsed("after")?.as_ref(), query.limit()?).await?;
    let logs = list.logs.into_iter().map(|name| Listed { name }).collect();
    reply::json(StatusCode::OK, &List { logs, next: list.next })
}

/// `GET …/history` and `GET …/logs/{name}`: a page, an event stream, or the status.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    AtLog { project, name, log }: AtLog,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    let query = Query::parse(&uri, &["view", "since", "before", "limit", "order"])?;
    match query.get("view") {
        None => {}
        Some("status") => {
            query.only(&["view"])?;
            return reply::json(StatusCode::OK, &Status::from(log.status().await?));
        }
        Some(other) => return Err(Error::invalid(format!("view must be status, not \"{}\"", shown(other.as_bytes()))).into()),
    }
    match accept::preferred(&headers, &[accept::JSON, accept::NDJSON, accept::EVENTS])? {
        accept::EVENTS => {
            query.only(&["since"])?;
            events::open(&app, Place { project, name }, &log, &query, &headers).await
        }
        content_type => page::get(&app, &log, &query, content_type).await,
    }
}

/// `PATCH …/history` and `PATCH …/logs/{name}`: compaction or the end.
pub(crate) async fn patch(
    State(app): State<Arc<App>>,
    AtLog { log, .. }: AtLog,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    Query::none(&uri)?;
    let change: Change = body::object(&headers, body, &app.bodies).await?;
    match (change.horizon, change.closed) {
        (Some(up_to), None) => {
            let folio::Truncated { removed, horizon } = log.truncate(up_to).await?;
            reply::json(StatusCode::OK, &Truncated { removed, horizon })
        }
        (None, Some(true)) => reply::json(StatusCode::OK, &Closed { head: log.close().await?, closed: true }),
        (None, Some(false)) => Err(Error::invalid("a log cannot be opened again; closed can only be true").into()),
        _ => Err(Error::invalid("exactly one of horizon and closed is needed").into()),
    }
}

/// `PUT …/logs/{name}`: makes the log as a fork of another.
pub(crate) async fn fork(
    State(app): State<Arc<App>>,
    AtLog { project, name, log }: AtLog,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    Query::none(&uri)?;
    let Fork { fork, at } = body::object(&headers, body, &app.bodies).await?;
    app.driver.project(&project).log(&fork).fork(at, &name).await?;
    let mut response = reply::json(StatusCode::CREATED, &Status::from(log.status().await?))?;
    reply::set(response.headers_mut(), LOCATION, &path::of_log(&project, &name));
    Ok(response)
}

/// `DELETE …/logs/{name}`.
pub(crate) async fn delete(AtLog { log, .. }: AtLog, uri: Uri, body: Body) -> Answer {
    Query::none(&uri)?;
    body::none(body).await?;
    log.delete().await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}
