//! The page at `/`: what this is, and what to try.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_SECURITY_POLICY;
use http::{HeaderValue, Uri};

use crate::problem::Answer;
use crate::query::Query;
use crate::reply;
use crate::state::App;

const PAGE: &str = include_str!("home.html");

/// The page runs nothing and loads nothing; its own style is allowed by its hash, which a test holds to the page.
const POLICY: &str = "default-src 'none'; style-src 'sha256-j4r764ExSG0kUKzpocHdJbWLKA04+bGlXu8RoIbkHHY='; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page of a server at `address`.
pub(crate) fn page(address: SocketAddr) -> Bytes {
    PAGE.replace("{address}", &address.to_string()).replace("{version}", env!("CARGO_PKG_VERSION")).into()
}

/// `GET /`.
pub(crate) async fn get(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    Query::none(&uri)?;
    let mut response = Response::new(Body::from(app.home.clone()));
    let headers = response.headers_mut();
    reply::describe(headers, "text/html; charset=utf-8", "no-cache");
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_policy_allows_the_style_of_the_page_and_nothing_else() {
        let style = PAGE.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
        let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(style));
        assert!(POLICY.contains(&format!("'sha256-{hash}'")), "sha256-{hash}");
        for loaded in ["<script", "<link", "<img", "src=", "url(", "@import", " style="] {
            assert!(!PAGE.contains(loaded), "{loaded}");
        }
    }

    #[test]
    fn the_page_names_its_own_address() {
        let page = page("127.0.0.1:4711".parse().unwrap());
        let page = std::str::from_utf8(&page).unwrap();
        assert!(page.contains("http://127.0.0.1:4711/v1"));
        assert!(!page.contains("{address}") && !page.contains("{version}"));
    }
}
