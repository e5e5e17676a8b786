//! Several operations, one commit: what the request says, and the answer.

mod answer;
mod operations;
mod parts;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use folio::{CommitOutcome, Error, Operation};
use http::{HeaderMap, Uri};

use self::operations::Asked;
use self::parts::Parts;
use crate::body::Whole;
use crate::budget::Reservation;
use crate::path::InProject;
use crate::problem::{Answer, Problem};
use crate::query::Query;
use crate::state::App;
use crate::upload::Faults;
use crate::{accept, body};

/// Operations as a first part, and the bodies of files in the others.
const MULTIPART: &str = "multipart/form-data";

/// A request that was read, up to the bodies of its files.
struct Request {
    operations: Vec<Operation>,
    /// Why a body ended badly.
    faults: Faults,
    /// What the operations take.
    _memory: Reservation,
}

/// `POST /v1/projects/{id}/commit`.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    InProject(project): InProject,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    Query::none(&uri)?;
    let request = match body::expect(&headers, &[accept::JSON, MULTIPART])? {
        MULTIPART => multipart(&app, &headers, body).await?,
        _ => json(&app, body).await?,
    };
    let Request { operations, faults, _memory } = request;
    let shape = answer::Shape::of(&operations);
    // Taken before the write: there is no refusing after it.
    let memory = app.answers.reserve(shape.most_bytes(app.config.limits.body)).await?;
    // The store knows only that a body ended badly; why is known here.
    match (project.commit(operations).await, faults.take()) {
        (Err(_), Some(problem)) => Err(problem),
        (Err(error), None) => Err(error.into()),
        (Ok(CommitOutcome::Precondition { at, current }), _) => Err(Problem::operation_differs(at, current)),
        (Ok(CommitOutcome::Committed(done)), _) => shape.committed(done, memory),
        (Ok(CommitOutcome::Replayed(first)), _) => shape.replayed(first, memory),
    }
}

async fn json(app: &App, body: Body) -> Result<Request, Problem> {
    let Whole { bytes, memory } = body::whole(body, app.config.limits.body, &app.bodies).await?;
    let Asked { operations, parts } = body::work(bytes.len(), move || Ok(operations::read(&bytes)?)).await?;
    if let Some((at, part)) = parts.first() {
        let what =
            format!("the part \"{part}\" can only be named in a body of type {MULTIPART}; here, give the file as text or base64");
        return Err(Error::invalid(what).in_operation(*at).into());
    }
    Ok(Request { operations, faults: Faults::default(), _memory: memory })
}

async fn multipart(app: &App, headers: &HeaderMap, body: Body) -> Result<Request, Problem> {
    let mut parts = Parts::new(headers, body)?;
    let (bytes, memory) = parts.operations(app.config.limits.body, &app.bodies).await?;
    let Asked { mut operations, parts: named } = body::work(bytes.len(), move || Ok(operations::read(&bytes)?)).await?;
    let faults = parts.faults();
    parts.give(&mut operations, named, app.config.max_file).await?;
    Ok(Request { operations, faults, _memory: memory })
}
