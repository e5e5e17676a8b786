//! Refusals: each says the status, the code and the thing, and changes nothing.

use crate::client::Request;
use crate::server::{TestServer, config};
use folio_server::ServerConfig;

const HISTORY: &str = "/v1/projects/p/history";

/// Method, target, body, status, code, and what the sentence must name.
type Row<'a> = (&'a str, &'a str, &'a str, u16, &'a str, &'a str);

async fn refuse(server: &TestServer, rows: &[Row<'_>]) {
    let before = server.snapshot().await;
    for &(method, target, body, status, code, names) in rows {
        let answer = server.send(method, target, &[], body).await;
        assert_eq!(answer.status, status, "{method} {target} {body}: {}", String::from_utf8_lossy(&answer.body));
        let detail = answer.refused(status, code);
        assert!(detail.contains(names), "{method} {target} {body}: {detail} does not name {names}");
    }
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn names() {
    let server = TestServer::furnished().await;
    let long = "x".repeat(129);
    let long_project = format!("/v1/projects/{long}");
    let long_path = format!("/v1/projects/p/files/{}", "x".repeat(256));
    let longer_path = format!("/v1/projects/p/files/{}y", "x/".repeat(1_600));
    let long_log = format!("/v1/projects/p/logs/{}", "x".repeat(201));
    refuse(
        &server,
        &[
            ("PUT", "/v1/projects/a%20b", "", 400, "invalid_name", "a b"),
            ("PUT", "/v1/projects/..", "", 400, "invalid_name", ".."),
            ("PUT", "/v1/projects/.meta", "", 400, "invalid_name", ".meta"),
            ("PUT", "/v1/projects/%C3%BC", "", 400, "invalid_name", "ü"),
            ("PUT", &long_project, "", 400, "invalid_name", "128"),
            ("PUT", "/v1/projects/a%2Fb", "", 400, "invalid", "a%2Fb"),
            ("PUT", "/v1/projects/a%00b", "", 400, "invalid", "NUL"),
            ("PUT", "/v1/projects/a%FF", "", 400, "invalid", "a%FF"),
            ("PUT", "/v1/projects/a%2", "", 400, "invalid", "a%2"),
            ("PUT", "/v1/projects/p/docs/a.b", "1", 400, "invalid_name", "a.b"),
            ("PUT", "/v1/shared/docs/a%20b", "1", 400, "invalid_name", "a b"),
            ("PUT", "/v1/collections/a.b/docs/x", "1", 400, "invalid_name", "a.b"),
            ("PUT", "/v1/projects/p/files/../x", "1", 400, "invalid_name", "../x"),
            ("PUT", "/v1/projects/p/files/a/%2e%2e/x", "1", 400, "invalid_name", "a/../x"),
            ("PUT", "/v1/projects/p/files/.meta/d.json", "1", 400, "invalid_name", ".meta"),
            ("PUT", "/v1/projects/p/files/a//b", "1", 400, "invalid_name", "a//b"),
            ("PUT", "/v1/projects/p/files//etc/passwd", "1", 400, "invalid_name", "/etc/passwd"),
            ("PUT", "/v1/projects/p/files/a/", "1", 400, "invalid_name", "a/"),
            ("PUT", "/v1/projects/p/files/a%2Fb", "1", 400, "invalid", "a%2Fb"),
            ("PUT", "/v1/projects/p/files/a%00", "1", 400, "invalid", "NUL"),
            ("PUT", &long_path, "1", 400, "invalid_name", "255"),
            ("PUT", &longer_path, "1", 400, "invalid_name", "3,072"),
            ("POST", "/v1/projects/p/logs/a//b", "1", 400, "invalid_name", "a//b"),
            ("POST", "/v1/projects/p/logs/..", "1", 400, "invalid_name", ".."),
            ("POST", &long_log, "1", 400, "invalid_name", "200"),
            ("POST", "/v1/projects/p/fork", r#"{"id":"a b"}"#, 400, "invalid_json", "a b"),
            ("GET", "/v1/projects?after=a%20b", "", 400, "invalid_name", "a b"),
            ("GET", "/v1/projects/p/docs?after=a.b", "", 400, "invalid_name", "a.b"),
            ("GET", "/v1/projects/p/files?after=a//b", "", 400, "invalid_name", "a//b"),
            ("GET", "/v1/projects/p/files?prefix=../x", "", 400, "invalid_name", "../x"),
            ("GET", "/v1/projects/p/logs?after=", "", 400, "invalid_name", "empty"),
        ],
    )
    .await;
}

#[tokio::test]
async fn parameters() {
    let server = TestServer::furnished().await;
    refuse(
        &server,
        &[
            ("GET", "/v1/projects?limit=0", "", 400, "invalid", "limit"),
            ("GET", "/v1/projects?limit=10001", "", 400, "invalid", "10001"),
            ("GET", "/v1/projects?limit=x", "", 400, "invalid", "\"x\""),
            ("GET", "/v1/projects?limit=1&limit=2", "", 400, "invalid", "\"limit\""),
            ("GET", "/v1/projects?li%6Dit=1&limit=2", "", 400, "invalid", "\"limit\""),
            ("GET", "/v1/projects?Limit=1", "", 400, "unknown_parameter", "\"Limit\""),
            ("GET", "/v1/projects?after=%zz", "", 400, "invalid", "%zz"),
            ("GET", "/v1/projects?after=%ff", "", 400, "invalid", "UTF-8"),
            ("GET", "/v1/projects/p/docs?etag=1", "", 400, "invalid", "etag"),
            ("GET", "/v1/projects/p/files/a.txt?etag=yes", "", 400, "invalid", "\"yes\""),
            ("GET", "/v1/projects/p/history?order=up", "", 400, "invalid", "\"up\""),
            ("GET", "/v1/projects/p/history?before=1-2", "", 400, "invalid", "\"1-2\""),
            ("GET", "/v1/projects/p/history?view=all", "", 400, "invalid", "\"all\""),
            ("GET", "/v1/projects/p/history?view=status&since=1", "", 400, "unknown_parameter", "\"since\""),
            ("POST", "/v1/projects/p/history?close=yes", "1", 400, "invalid", "\"yes\""),
            ("POST", "/v1/projects/p/history?clos=true", "1", 400, "unknown_parameter", "\"clos\""),
            ("PUT", "/v1/projects/p/files/a.txt?x", "1", 400, "unknown_parameter", "\"x\""),
        ],
    )
    .await;
}

#[tokio::test]
async fn bodies() {
    let server = TestServer::furnished().await;
    let deep = "[".repeat(129) + &"]".repeat(129);
    let deep_entry = format!("[1,{deep}]");
    refuse(
        &server,
        &[
            ("PUT", "/v1/projects/p/docs/d", "{\"a\":\n}", 400, "invalid_json", "line 2, column 1"),
            ("PUT", "/v1/projects/p/docs/d", "", 400, "invalid_json", "line 1, column 1"),
            ("PUT", "/v1/projects/p/docs/d", "{} {}", 400, "invalid_json", "line 1, column 4"),
            ("PUT", "/v1/projects/p/docs/d", &deep, 400, "invalid_json", "128"),
            ("PATCH", "/v1/projects/p/docs/d", "{", 400, "invalid_json", "line 1, column 2"),
            ("POST", HISTORY, "", 400, "invalid", "empty"),
            ("POST", HISTORY, "[1,{\"a\":}]", 400, "invalid_json", "column 9"),
            ("POST", HISTORY, &deep_entry, 400, "invalid_json", "128"),
            ("PATCH", HISTORY, "{}", 400, "invalid", "horizon"),
            ("PATCH", HISTORY, r#"{"horizon":1,"closed":true}"#, 400, "invalid", "exactly one"),
            ("PATCH", HISTORY, r#"{"closed":false}"#, 400, "invalid", "true"),
            ("PATCH", HISTORY, r#"{"horizon":-1}"#, 400, "invalid_json", "-1"),
            ("PATCH", HISTORY, r#"{"horizon":"1"}"#, 400, "invalid_json", "u64"),
            ("PATCH", HISTORY, r#"{"reopen":true}"#, 400, "invalid_json", "reopen"),
            ("PATCH", HISTORY, "", 400, "invalid_json", "line 1"),
            ("PUT", "/v1/projects/p/logs/x", r#"{"fork":"history"}"#, 400, "invalid_json", "at"),
            ("PUT", "/v1/projects/p/logs/x", r#"{"at":1}"#, 400, "invalid_json", "fork"),
            ("PUT", "/v1/projects/p/logs/x", r#"{"fork":"../x","at":1}"#, 400, "invalid_json", "../x"),
            ("POST", "/v1/projects/p/fork", r#"{"name":"q"}"#, 400, "invalid_json", "name"),
            ("PUT", "/v1/projects/q", "{}", 400, "invalid", "no body"),
            ("DELETE", "/v1/projects/p", "{}", 400, "invalid", "no body"),
            ("DELETE", "/v1/projects/p/docs/d", "1", 400, "invalid", "no body"),
            ("DELETE", "/v1/projects/p/files/a.txt", "1", 400, "invalid", "no body"),
            ("DELETE", "/v1/projects/p/logs/l", "1", 400, "invalid", "no body"),
        ],
    )
    .await;
    let before = server.snapshot().await;
    let patch = [("content-type", "application/json-patch+json")];
    server.send("PATCH", "/v1/projects/p/docs/d", &patch, "[]").await.refused(415, "unsupported_media_type");
    server
        .send("PUT", "/v1/projects/p/docs/d", &[("content-type", "text/plain")], "1")
        .await
        .refused(415, "unsupported_media_type");
    let twice = [("content-type", "application/json"), ("content-type", "text/plain")];
    server.send("PUT", "/v1/projects/p/docs/d", &twice, "1").await.refused(400, "invalid");
    server.send("PUT", "/v1/projects/p/docs/d", &[], b"\"\xff\"").await.refused(400, "invalid_json");
    let lines = [("content-type", "application/x-ndjson")];
    let detail = server.send("POST", HISTORY, &lines, "1\n2\n{\"a\" 1}\n").await.refused(400, "invalid_json");
    assert!(detail.contains("line 3, column 6"), "{detail}");
    assert_eq!(server.snapshot().await, before, "no entry of a bad body was appended");
}

#[tokio::test]
async fn what_is_missing() {
    let server = TestServer::furnished().await;
    refuse(
        &server,
        &[
            ("GET", "/v1/projects/none", "", 404, "no_project", "\"none\""),
            ("GET", "/v1/projects/none/docs", "", 404, "no_project", "\"none\""),
            ("GET", "/v1/projects/none/docs/d", "", 404, "no_project", "\"none\""),
            ("PUT", "/v1/projects/none/docs/d", "1", 404, "no_project", "\"none\""),
            ("PATCH", "/v1/projects/none/docs/d", "1", 404, "no_project", "\"none\""),
            ("DELETE", "/v1/projects/none/docs/d", "", 404, "no_project", "\"none\""),
            ("GET", "/v1/projects/none/files", "", 404, "no_project", "\"none\""),
            ("GET", "/v1/projects/none/files/a.txt", "", 404, "no_project", "\"none\""),
            ("PUT", "/v1/projects/none/files/a.txt", "1", 404, "no_project", "\"none\""),
            ("DELETE", "/v1/projects/none/files/a.txt", "", 404, "no_project", "\"none\""),
            ("GET", "/v1/projects/none/history", "", 404, "no_project", "\"none\""),
            ("POST", "/v1/projects/none/history", "1", 404, "no_project", "\"none\""),
            ("PATCH", "/v1/projects/none/history", r#"{"horizon":1}"#, 404, "no_project", "\"none\""),
            ("GET", "/v1/projects/none/logs", "", 404, "no_project", "\"none\""),
            ("DELETE", "/v1/projects/none/logs/l", "", 404, "no_project", "\"none\""),
            ("GET", "/v1/projects/none/changes", "", 404, "no_project", "\"none\""),
            ("GET", "/v1/projects/p/logs/none", "", 404, "no_log", "\"none\""),
            ("GET", "/v1/projects/p/logs/none?view=status", "", 404, "no_log", "\"none\""),
            ("PATCH", "/v1/projects/p/logs/none", r#"{"closed":true}"#, 404, "no_log", "\"none\""),
            ("GET", "/v1/projects/p/docs/none", "", 404, "not_found", "\"none\""),
            ("GET", "/v1/projects/p/files/none", "", 404, "not_found", "\"none\""),
        ],
    )
    .await;
}

#[tokio::test]
async fn sizes() {
    let limits = folio::Limits { entry: 100, body: 1_000 };
    let driver = folio::memory::MemoryDriver::new(folio::memory::MemoryOptions { limits, ..Default::default() });
    let server = TestServer::over(std::sync::Arc::new(driver), ServerConfig { limits, ..config() }).await;
    server.furnish().await;
    let entry = format!("\"{}\"", "x".repeat(100));
    let body = format!("\"{}\"", "x".repeat(1_000));
    refuse(
        &server,
        &[
            ("POST", HISTORY, &entry, 413, "too_large", "102 bytes"),
            ("POST", HISTORY, &format!("[1,{entry}]"), 413, "too_large", "100 bytes"),
            ("POST", HISTORY, &body, 413, "too_large", "1002 bytes"),
            ("PUT", "/v1/projects/p/docs/d", &body, 413, "too_large", "1002 bytes"),
            ("PATCH", "/v1/projects/p/docs/d", &body, 413, "too_large", "1000 bytes"),
        ],
    )
    .await;
    let before = server.snapshot().await;
    let chunked = |method: &str, target: &str| {
        let body = format!("3ea\r\n{body}\r\n0\r\n\r\n");
        Request::new(method, target).header("transfer-encoding", "chunked").body(body.as_bytes())
    };
    server.call(chunked("PUT", "/v1/projects/p/docs/d")).await.refused(413, "too_large");
    server.call(chunked("POST", HISTORY)).await.refused(413, "too_large");
    assert_eq!(server.snapshot().await, before);
    // A file is no body in memory, and has its own limit.
    assert_eq!(server.send("PUT", "/v1/projects/p/files/a.txt", &[], &body).await.status, 200);
}

/// A client that sends its whole body before it reads must still get to read why it was refused.
#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let server = TestServer::furnished().await;
    let body = vec![b'1'; 16 << 20];
    let mut connection = server.connect().await;
    connection.send(&Request::new("PUT", "/v1/projects/a%20b/files/x").header("content-length", "16777216")).await;
    tokio::io::AsyncWriteExt::write_all(&mut connection.stream, &body).await.unwrap();
    connection.answer().await.refused(400, "invalid_name");
    // And one that asks first does not send it at all.
    let mut connection = server.connect().await;
    let ask = Request::new("PUT", "/v1/projects/p/docs/d").header("content-length", "41943040").header("expect", "100-continue");
    connection.send(&ask).await;
    connection.answer().await.refused(413, "too_large");
}
