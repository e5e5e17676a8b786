//! What holds on every route: walked by the table that the server publishes.

use folio_server::{ROUTES, Route};

use crate::client::Request;
use crate::server::TestServer;

pub(crate) const METHODS: [&str; 6] = ["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"];

/// The path of a route, in the furnished server.
pub(crate) fn target(route: &Route) -> String {
    let names = [
        ("{id}", "p"),
        ("{collection}", "k"),
        ("{*path}", "a.txt"),
        ("{*name}", "l"),
        ("/v1/shared/docs/{key}", "/v1/shared/docs/s"),
        ("k/docs/{key}", "k/docs/c"),
        ("{key}", "d"),
    ];
    names.iter().fold(route.path.to_owned(), |path, (name, value)| path.replace(name, value))
}

/// True where answers go on for ever.
pub(crate) fn is_stream(route: &Route) -> bool {
    route.path.ends_with("/changes")
}

#[tokio::test]
async fn every_route_takes_its_methods_and_no_others() {
    let server = TestServer::furnished().await;
    for route in ROUTES {
        for method in METHODS {
            if is_stream(route) && method == "GET" {
                continue;
            }
            // A parameter that is unknown everywhere: a call that is routed says so before it does anything.
            let answer = server.send(method, &format!("{}?bogus=1", target(route)), &[], "").await;
            if route.methods.contains(&method) {
                let detail = answer.refused(400, "unknown_parameter");
                assert!(detail.contains("\"bogus\""), "{method} {}: {detail}", route.path);
                continue;
            }
            answer.refused(405, "method_not_allowed");
            let mut allowed: Vec<&str> = answer.header("allow").unwrap().split(',').collect();
            allowed.retain(|method| *method != "HEAD");
            allowed.sort_unstable();
            let mut expected = route.methods.to_vec();
            expected.sort_unstable();
            assert_eq!(allowed, expected, "{}", route.path);
        }
    }
}

#[tokio::test]
async fn what_is_no_route_is_said_to_be_none() {
    let server = TestServer::furnished().await;
    let paths =
        ["/v2", "/v1/", "/v1/projects/", "/v1//projects", "/V1", "/v1/projects/p/files/", "/v1/%70rojects", "/favicon.ico"];
    for path in paths {
        for method in METHODS {
            let detail = server.send(method, path, &[], "").await.refused(404, "not_found");
            assert!(detail.contains(path), "{detail}");
        }
    }
}

#[tokio::test]
async fn odd_methods_and_targets_are_refused_like_others() {
    let server = TestServer::furnished().await;
    let before = server.snapshot().await;
    let authority = server.address.to_string();
    for (method, target, status, code) in [
        ("OPTIONS", "*", 404, "not_found"),
        ("GET", "*", 404, "not_found"),
        ("CONNECT", authority.as_str(), 404, "not_found"),
        ("CONNECT", "evil.example:80", 403, "forbidden_host"),
        ("TRACE", "/v1", 405, "method_not_allowed"),
        ("PROPFIND", "/v1", 405, "method_not_allowed"),
        ("get", "/v1", 405, "method_not_allowed"),
        ("PURGE", "/nowhere", 404, "not_found"),
    ] {
        server.send(method, target, &[], "").await.refused(status, code);
    }
    assert_eq!(server.snapshot().await, before);
}

/// Bytes of users must never run in a browser as if they were ours.
#[tokio::test]
async fn every_answer_is_inert_in_a_browser() {
    let server = TestServer::furnished().await;
    let page = r#"<script>alert(1)</script>"#;
    server.send("PUT", "/v1/projects/p/files/a.txt.html", &[], page).await;
    let mut targets: Vec<String> = ROUTES.iter().map(target).collect();
    targets.extend(["/v1/projects/p/files/a.txt.html", "/v1/projects/p/files/none", "/nowhere"].map(String::from));
    for accept in ["*/*", "application/x-ndjson", "text/event-stream"] {
        for target in &targets {
            for method in ["GET", "HEAD", "POST"] {
                let mut connection = server.connect().await;
                connection.send(&Request::new(method, target).header("accept", accept)).await;
                let answer = connection.head().await;
                assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{method} {target}");
                assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{method} {target}");
                let policy = answer.header("content-security-policy").unwrap();
                if target == "/" && answer.status == 200 {
                    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
                } else {
                    assert_eq!(policy, "sandbox", "{method} {target}");
                }
                assert!(answer.header("cache-control").is_some(), "{method} {target}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn heads_are_answered_like_gets_without_the_body() {
    let server = TestServer::furnished().await;
    for route in ROUTES.iter().filter(|route| route.methods.contains(&"GET") && !is_stream(route)) {
        let target = target(route);
        let (get, head) = (server.get(&target).await, server.send("HEAD", &target, &[], "").await);
        assert_eq!(head.status, get.status, "{target}");
        assert!(head.body.is_empty());
        for name in ["content-type", "etag", "content-length", "cache-control", "vary", "accept-ranges", "last-modified"] {
            assert_eq!(head.all(name), get.all(name), "{target}: {name}");
        }
    }
}

#[tokio::test]
async fn health_and_the_page_at_the_root() {
    let server = TestServer::start().await;
    assert_eq!(server.get("/healthz").await.json()["status"], "ok");
    assert_eq!(server.get("/readyz").await.json()["status"], "ready");
    let page = server.get("/").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains(&format!("http://{}/v1", server.address)));
}
