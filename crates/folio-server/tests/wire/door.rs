//! Who gets in: hosts, origins and preflights, on every route and on none.

use folio_server::ROUTES;

use crate::client::{Answer, Request};
use crate::routes::{METHODS, is_stream, target};
use crate::server::{FRIEND, TestServer};

fn targets() -> Vec<String> {
    ROUTES.iter().map(target).chain(["/nowhere".into(), "/v1/projects/a%2Fb".into()]).collect()
}

/// Sends every method to every target with these headers and hands the answers on; nothing may have changed by it.
async fn everywhere(headers: &[(&str, &str)], check: impl Fn(&str, &str, Answer)) {
    let server = TestServer::furnished().await;
    let before = server.snapshot().await;
    for target in targets() {
        for method in METHODS {
            check(method, &target, server.send(method, &target, headers, "1").await);
        }
    }
    assert_eq!(server.snapshot().await, before);
}

fn readable_by_pages(answer: &Answer) -> bool {
    answer.headers.iter().any(|(name, _)| name.starts_with("access-control"))
}

#[tokio::test]
async fn a_foreign_host_is_refused_everywhere() {
    for host in ["evil.example", "localhost:1", "localhost.evil.example", ""] {
        everywhere(&[("host", host)], |method, target, answer| {
            let detail = answer.refused(403, "forbidden_host");
            assert!(detail.contains(&format!("\"{host}\"")) && detail.contains("localhost"), "{method} {target}: {detail}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_request_needs_exactly_one_host() {
    everywhere(&[("host", "-")], |_, _, answer| {
        answer.refused(400, "invalid_host");
    })
    .await;
    everywhere(&[("host", "localhost"), ("host", "localhost")], |_, _, answer| {
        answer.refused(400, "invalid_host");
    })
    .await;
}

#[tokio::test]
async fn a_foreign_page_is_refused_everywhere_and_told_nothing() {
    for origin in ["null", "https://evil.example", "http://localhost:1", "https://studio.example.evil.example"] {
        everywhere(&[("origin", origin)], |method, target, answer| {
            let detail = answer.refused(403, "forbidden_origin");
            assert!(detail.contains(origin), "{method} {target}: {detail}");
            assert!(!readable_by_pages(&answer), "{answer:?}");
        })
        .await;
    }
    let embedding = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")];
    everywhere(&embedding, |_, _, answer| {
        answer.refused(403, "forbidden_origin");
    })
    .await;
}

#[tokio::test]
async fn an_allowed_page_reads_every_answer() {
    let server = TestServer::furnished().await;
    for target in targets() {
        for method in METHODS {
            let mut connection = server.connect().await;
            connection.send(&Request::new(method, &target).header("origin", FRIEND)).await;
            let answer = connection.head().await;
            assert_eq!(answer.header("access-control-allow-origin"), Some(FRIEND), "{method} {target}: {answer:?}");
            assert!(answer.header("access-control-expose-headers").unwrap().contains("ETag"));
            assert!(answer.all("vary").contains("Origin"));
            assert_eq!(answer.header("access-control-allow-credentials"), None);
        }
    }
}

#[tokio::test]
async fn preflights_of_allowed_pages_are_answered_and_do_nothing() {
    let server = TestServer::furnished().await;
    let before = server.snapshot().await;
    for target in targets() {
        for method in ["PUT", "DELETE", "GET"] {
            let preflight = [("origin", FRIEND), ("access-control-request-method", method)];
            let answer = server.send("OPTIONS", &target, &preflight, "").await;
            assert_eq!(answer.status, 204, "{target}");
            assert_eq!(answer.header("access-control-allow-origin"), Some(FRIEND));
            assert!(answer.header("access-control-allow-methods").unwrap().split(", ").any(|allowed| allowed == method));
            let allowed = answer.header("access-control-allow-headers").unwrap();
            for name in ["Content-Type", "If-Match", "If-None-Match", "Last-Event-ID", "Idempotency-Key", "Range"] {
                assert!(allowed.split(", ").any(|allowed| allowed == name), "{name}");
            }
        }
    }
    assert_eq!(server.snapshot().await, before);
    let foreign = [("origin", "https://evil.example"), ("access-control-request-method", "PUT")];
    let answer = server.send("OPTIONS", "/v1/projects/p", &foreign, "").await;
    answer.refused(403, "forbidden_origin");
    assert!(!readable_by_pages(&answer));
}

#[tokio::test]
async fn the_own_page_and_links_get_in() {
    let server = TestServer::furnished().await;
    let own = format!("http://{}", server.address);
    assert_eq!(server.send("PUT", "/v1/projects/q", &[("origin", &own)], "").await.status, 201);
    let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    assert_eq!(server.send("GET", "/v1/projects/p/files/a.txt", &link, "").await.status, 200);
    server.send("PUT", "/v1/projects/r", &link, "").await.refused(403, "forbidden_origin");
    for host in ["localhost", "127.0.0.1", "[::1]", &format!("LocalHost:{}", server.address.port())] {
        assert_eq!(server.send("GET", "/v1", &[("host", host)], "").await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_target_in_absolute_form_names_a_host_too() {
    let server = TestServer::furnished().await;
    server.get("http://evil.example/v1").await.refused(403, "forbidden_host");
    assert_eq!(server.get(&format!("http://{}/v1", server.address)).await.status, 200);
}

#[tokio::test]
async fn event_streams_of_foreign_pages_do_not_open() {
    let server = TestServer::furnished().await;
    for route in ROUTES.iter().filter(|route| is_stream(route)) {
        let headers = [("origin", "null"), ("accept", "text/event-stream")];
        server.send("GET", &target(route), &headers, "").await.refused(403, "forbidden_origin");
    }
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let config = folio_server::ServerConfig { listen: listen.parse().unwrap(), ..crate::server::config() };
        let driver = std::sync::Arc::new(folio::memory::MemoryDriver::default());
        let refusal = folio_server::Server::bind(driver, config).await.unwrap_err();
        assert_eq!(refusal.code(), "invalid");
        assert!(refusal.to_string().contains(listen), "{refusal}");
    }
}
