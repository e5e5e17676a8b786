//! The server itself and its projects.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use folio::{Error, LogName, ProjectId};
use http::header::LOCATION;
use http::{HeaderMap, StatusCode, Uri};
use serde::{Deserialize, Serialize};

use crate::log::Status;
use crate::path::{self, AtProject};
use crate::problem::Answer;
use crate::query::Query;
use crate::state::App;
use crate::{body, reply};

#[derive(Serialize)]
struct Info {
    name: &'static str,
    version: &'static str,
    driver: String,
    contract: u32,
    durability: &'static str,
}

#[derive(Serialize)]
struct Listed {
    id: ProjectId,
}

#[derive(Serialize)]
struct Projects {
    projects: Vec<Listed>,
    next: Option<ProjectId>,
}

#[derive(Serialize)]
struct Summary {
    id: ProjectId,
    history: Status,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Fork {
    id: Option<ProjectId>,
}

/// `GET /v1`.
pub(crate) async fn info(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    Query::none(&uri)?;
    let info = app.driver.info().await?;
    reply::json(
        StatusCode::OK,
        &Info {
            name: "folio",
            version: env!("CARGO_PKG_VERSION"),
            driver: info.name,
            contract: info.contract,
            durability: info.durability.as_str(),
        },
    )
}

/// `GET /v1/projects`.
pub(crate) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    let query = Query::parse(&uri, &["after", "limit"])?;
    let list = app.driver.list_projects(query.parsed("after")?.as_ref(), query.limit()?).await?;
    let projects = list.projects.into_iter().map(|id| Listed { id }).collect();
    reply::json(StatusCode::OK, &Projects { projects, next: list.next })
}

/// `PUT /v1/projects/{id}`.
pub(crate) async fn create(State(app): State<Arc<App>>, AtProject(id): AtProject, uri: Uri, body: Body) -> Answer {
    Query::none(&uri)?;
    body::none(body).await?;
    let created = app.driver.create_project(&id).await?;
    reply::json(if created { StatusCode::CREATED } else { StatusCode::OK }, &Listed { id })
}

/// `GET /v1/projects/{id}`.
pub(crate) async fn get(State(app): State<Arc<App>>, AtProject(id): AtProject, uri: Uri) -> Answer {
    Query::none(&uri)?;
    let history = app.driver.project(&id).log(&LogName::history()).status().await?;
    reply::json(StatusCode::OK, &Summary { id, history: history.into() })
}

/// `DELETE /v1/projects/{id}`.
pub(crate) async fn delete(State(app): State<Arc<App>>, AtProject(id): AtProject, uri: Uri, body: Body) -> Answer {
    Query::none(&uri)?;
    body::none(body).await?;
    Ok(reply::deleted(app.driver.delete_project(&id).await?))
}

/// `POST /v1/projects/{id}/fork`.
pub(crate) async fn fork(
    State(app): State<Arc<App>>,
    AtProject(source): AtProject,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    Query::none(&uri)?;
    let asked: Fork = body::optional_object(&headers, body, &app.bodies).await?;
    let id = match asked.id {
        Some(id) => id,
        None => name_for_copy(&source)?,
    };
    app.driver.fork_project(&source, &id).await?;
    let location = path::of_project(&id);
    let mut response = reply::json(StatusCode::CREATED, &Listed { id })?;
    reply::set(response.headers_mut(), LOCATION, &location);
    Ok(response)
}

/// `<source>-<8 random characters>`, with the source cut so that it fits.
fn name_for_copy(source: &ProjectId) -> Result<ProjectId, Error> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let kept = source.as_str().get(..folio::name::MAX_TOKEN - 9).unwrap_or(source.as_str());
    let suffix: String = (0..8).map(|_| fastrand::choice(ALPHABET).copied().map_or('a', char::from)).collect();
    ProjectId::new(format!("{kept}-{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_get_a_name_that_fits() {
        let short = name_for_copy(&ProjectId::new("site").unwrap()).unwrap();
        assert!(short.as_str().starts_with("site-") && short.as_str().len() == 13, "{short}");
        let long = name_for_copy(&ProjectId::new("x".repeat(128)).unwrap()).unwrap();
        assert_eq!(long.as_str().len(), 128);
    }
}
