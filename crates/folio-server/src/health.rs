//! Whether the server lives and serves, for those who watch over it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use folio::Error;
use http::{StatusCode, Uri};
use serde::Serialize;

use crate::problem::{Answer, Problem};
use crate::query::Query;
use crate::reply;
use crate::state::App;

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// `GET /healthz`: the process lives.
pub(crate) async fn alive(uri: Uri) -> Answer {
    Query::none(&uri)?;
    reply::json(StatusCode::OK, &Health { status: "ok" })
}

/// `GET /readyz`: it takes new work, writes too. After a failed write it does not, until it is started again.
pub(crate) async fn ready(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    Query::none(&uri)?;
    if *app.draining.borrow() {
        return Ok(Problem::from(Error::Retry { what: "the server is stopping".into() }).into_response());
    }
    app.driver.ready().await?;
    reply::json(StatusCode::OK, &Health { status: "ready" })
}
