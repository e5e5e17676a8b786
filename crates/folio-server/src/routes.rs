//! The table of calls: every path, its methods, and who answers them.

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, get, post};
use http::{Method, Uri};

use crate::problem::{Problem, Refusal, shown};
use crate::state::App;
use crate::{changes, commit, docs, files, health, home, log, projects};

/// A path of the API and the methods it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// With `{name}` for one segment and `{*name}` for one or more.
    pub path: &'static str,
    /// In upper case; `HEAD` goes wherever `GET` does.
    pub methods: &'static [&'static str],
}

/// Every path there is, for documentation and for tests that walk them all.
pub const ROUTES: &[Route] = &[
    Route { path: "/", methods: &["GET"] },
    Route { path: "/healthz", methods: &["GET"] },
    Route { path: "/readyz", methods: &["GET"] },
    Route { path: "/v1", methods: &["GET"] },
    Route { path: "/v1/projects", methods: &["GET"] },
    Route { path: "/v1/projects/{id}", methods: &["GET", "PUT", "DELETE"] },
    Route { path: "/v1/projects/{id}/fork", methods: &["POST"] },
    Route { path: "/v1/projects/{id}/commit", methods: &["POST"] },
    Route { path: "/v1/projects/{id}/changes", methods: &["GET"] },
    Route { path: "/v1/projects/{id}/docs", methods: &["GET"] },
    Route { path: "/v1/projects/{id}/docs/{key}", methods: &["GET", "PUT", "PATCH", "DELETE"] },
    Route { path: "/v1/projects/{id}/files", methods: &["GET"] },
    Route { path: "/v1/projects/{id}/files/{*path}", methods: &["GET", "PUT", "DELETE"] },
    Route { path: "/v1/projects/{id}/history", methods: &["GET", "POST", "PATCH"] },
    Route { path: "/v1/projects/{id}/logs", methods: &["GET"] },
    Route { path: "/v1/projects/{id}/logs/{*name}", methods: &["GET", "POST", "PATCH", "PUT", "DELETE"] },
    Route { path: "/v1/shared/changes", methods: &["GET"] },
    Route { path: "/v1/shared/docs", methods: &["GET"] },
    Route { path: "/v1/shared/docs/{key}", methods: &["GET", "PUT", "PATCH", "DELETE"] },
    Route { path: "/v1/collections/{collection}/changes", methods: &["GET"] },
    Route { path: "/v1/collections/{collection}/docs", methods: &["GET"] },
    Route { path: "/v1/collections/{collection}/docs/{key}", methods: &["GET", "PUT", "PATCH", "DELETE"] },
];

type Calls = MethodRouter<Arc<App>>;

fn document() -> Calls {
    get(docs::get).put(docs::put).patch(docs::patch).delete(docs::delete)
}

fn history() -> Calls {
    get(log::get).post(crate::append::post).patch(log::patch)
}

/// Who answers at each path of [`ROUTES`]; a test holds the two together.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(home::get))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/v1", get(projects::info))
        .route("/v1/projects", get(projects::list))
        .route("/v1/projects/{id}", get(projects::get).put(projects::create).delete(projects::delete))
        .route("/v1/projects/{id}/fork", post(projects::fork))
        .route("/v1/projects/{id}/commit", post(commit::post))
        .route("/v1/projects/{id}/changes", get(changes::of_project))
        .route("/v1/projects/{id}/docs", get(docs::list))
        .route("/v1/projects/{id}/docs/{key}", document())
        .route("/v1/projects/{id}/files", get(files::list))
        .route("/v1/projects/{id}/files/{*path}", get(files::get).head(files::head).put(files::put).delete(files::delete))
        .route("/v1/projects/{id}/history", history())
        .route("/v1/projects/{id}/logs", get(log::list))
        .route("/v1/projects/{id}/logs/{*name}", history().put(log::fork).delete(log::delete))
        .route("/v1/shared/changes", get(changes::of_docs))
        .route("/v1/shared/docs", get(docs::list))
        .route("/v1/shared/docs/{key}", document())
        .route("/v1/collections/{collection}/changes", get(changes::of_docs))
        .route("/v1/collections/{collection}/docs", get(docs::list))
        .route("/v1/collections/{collection}/docs/{key}", document())
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .with_state(app)
}

async fn no_route(uri: Uri) -> Problem {
    Problem::not_found(format!("route \"{}\"", shown(uri.path().as_bytes())))
}

async fn wrong_method(method: Method) -> Problem {
    Refusal::MethodNotAllowed { method: shown(method.as_str().as_bytes()) }.into()
}
