//! Several operations, one commit: what the request says, and the answer.

mod answer;
mod operations;
mod parts;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use folio::{CommitOutcome, Error, Operation};
use http::{HeaderMap, HeaderValue, Uri};

pub use self::answer::Results;
pub use self::operations::Operations;
use self::parts::Parts;
use crate::append::REPLAYED;
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
    let results = Results::of(&operations);
    // Taken before the write: there is no refusing after it.
    let memory = app.answers.reserve(results.most_bytes(app.config.limits.body)).await?;
    // The store knows only that a body ended badly; why is known here.
    match (project.commit(operations).await, faults.take()) {
        (Err(_), Some(problem)) => Err(problem),
        (Err(error), None) => Err(error.into()),
        (Ok(CommitOutcome::Precondition { at, current }), _) => Err(Problem::operation_differs(at, current)),
        (Ok(CommitOutcome::Committed(done)), _) => Ok(answer::answer(&results.committed(&done)?, memory)),
        (Ok(CommitOutcome::Replayed(first)), _) => {
            let mut response = answer::answer(&results.replayed(first)?, memory);
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            Ok(response)
        }
    }
}

/// Only the command line reads files of its own.
fn refuse_paths(from: &[(usize, String)]) -> Result<(), Problem> {
    match from.first() {
        None => Ok(()),
        Some((at, _)) => {
            let what = "`from` is for the command line; over HTTP, give the file as text or base64, or send it as a part";
            Err(Error::invalid(what).in_operation(*at).into())
        }
    }
}

async fn json(app: &App, body: Body) -> Result<Request, Problem> {
    let Whole { bytes, memory } = body::whole(body, app.config.limits.body, &app.bodies).await?;
    let Operations { operations, parts, from } = body::work(bytes.len(), move || Ok(Operations::read(&bytes)?)).await?;
    refuse_paths(&from)?;
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
    let read = body::work(bytes.len(), move || Ok(Operations::read(&bytes)?)).await?;
    let Operations { mut operations, parts: named, from } = read;
    refuse_paths(&from)?;
    let faults = parts.faults();
    parts.give(&mut operations, named, app.config.max_file).await?;
    Ok(Request { operations, faults, _memory: memory })
}
