//! Clients that are slow, silent, greedy or never read.

use crate::client::{Request, within};
use crate::event_source::Stream;
use crate::server::{TestServer, config};
use folio_server::ServerConfig;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(60);

/// Writes one byte after the other, for ever, until the server hangs up.
async fn dribble(stream: tokio::net::tcp::OwnedWriteHalf, byte: u8) {
    let mut stream = stream;
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    while stream.write_all(&[byte]).await.is_ok() {
        pace.tick().await;
    }
}

/// Everything that the server says to a client that begins with `start` and then dribbles.
async fn answer_to_dribble(server: &TestServer, start: &str, byte: u8) -> String {
    let (mut read, mut write) = tokio::net::TcpStream::connect(server.address).await.unwrap().into_split();
    write.write_all(start.as_bytes()).await.unwrap();
    let dribbling = tokio::spawn(dribble(write, byte));
    let mut said = Vec::new();
    // A reset after the answer is as good an end as any.
    let _ = within("the server hangs up", tokio::io::AsyncReadExt::read_to_end(&mut read, &mut said)).await;
    dribbling.abort();
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn a_slow_head_is_cut_off() {
    let server = TestServer::with(ServerConfig { head_timeout: SHORT, idle_timeout: LONG, ..config() }).await;
    for start in ["G", "GET /v1 HTTP/1.1\r\n", "GET /v1 HTTP/1.1\r\nhost: localhost\r\nx: "] {
        let said = answer_to_dribble(&server, start, b'a').await;
        assert!(said.starts_with("HTTP/1.1 408 Request Timeout\r\n") && said.contains("\"code\":\"request_timeout\""), "{said}");
    }
    // Also after requests that were fine.
    let first = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\nGET /", server.address);
    let said = answer_to_dribble(&server, &first, b'a').await;
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.contains("HTTP/1.1 408 "), "{said}");
}

#[tokio::test]
async fn a_slow_body_is_cut_off_and_changes_nothing() {
    let server = TestServer::with(ServerConfig { body_timeout: SHORT, ..config() }).await;
    server.furnish().await;
    let before = server.snapshot().await;
    for (method, path) in [
        ("PUT", "/v1/projects/p/docs/d"),
        ("PATCH", "/v1/projects/p/docs/d"),
        ("PUT", "/v1/projects/p/files/a.txt"),
        ("POST", "/v1/projects/p/history"),
        ("PATCH", "/v1/projects/p/history"),
        ("DELETE", "/v1/projects/p"),
        ("PUT", "/v1/projects/p"),
    ] {
        let start = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: 9000\r\n\r\n", server.address);
        let said = answer_to_dribble(&server, &start, b'1').await;
        // A call without a body refuses its first byte, however slowly the others would come.
        let expected = if said.contains("takes no body") { "HTTP/1.1 400 " } else { "HTTP/1.1 408 " };
        assert!(said.starts_with(expected) && said.contains("\r\nconnection: close\r\n"), "{method} {path}: {said}");
        let start = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\ntransfer-encoding: chunked\r\n\r\n", server.address);
        let said = answer_to_dribble(&server, &start, b'0').await;
        assert!(said.starts_with("HTTP/1.1 408 ") || said.starts_with("HTTP/1.1 400 "), "{method} {path}: {said}");
    }
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn a_long_upload_that_keeps_coming_is_not_cut_off() {
    let server = TestServer::with(ServerConfig { body_timeout: SHORT, body_rate: 100, ..config() }).await;
    server.furnish().await;
    let mut connection = server.connect().await;
    connection.send(&Request::new("PUT", "/v1/projects/p/files/a.txt").header("content-length", "5000")).await;
    // Longer than the body timeout in all, and every piece earns ten seconds.
    let mut pace = tokio::time::interval(SHORT / 2);
    for _ in 0..5 {
        connection.send_bytes(&[b'x'; 1_000]).await;
        pace.tick().await;
    }
    assert_eq!(connection.answer().await.status, 200);
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let server = TestServer::with(ServerConfig { idle_timeout: SHORT, head_timeout: LONG, ..config() }).await;
    let mut silent = server.connect().await;
    assert!(!silent.more().await);
    let mut connection = server.connect().await;
    for _ in 0..3 {
        connection.send(&Request::new("GET", "/healthz")).await;
        assert_eq!(connection.answer().await.status, 200);
    }
    assert!(!connection.more().await);
}

#[tokio::test]
async fn an_event_stream_is_not_idle() {
    let server = TestServer::with(ServerConfig {
        idle_timeout: SHORT,
        head_timeout: SHORT,
        body_timeout: SHORT,
        write_timeout: SHORT,
        keep_alive: SHORT,
        ..config()
    })
    .await;
    server.furnish().await;
    let mut stream = Stream::open(&server, "/v1/projects/p/history", &[]).await;
    while stream.parser.comments.len() < 6 {
        assert!(stream.chunk().await, "it ended");
    }
}

/// Asks for much, reads nothing: the server must let go. What the client finds afterwards is less than there was.
const EVENTS: &str = "text/event-stream";

async fn never_reads(server: &TestServer, target: &str, accept: &str, whole: usize) {
    let mut connection = server.connect().await;
    connection.send(&Request::new("GET", target).header("accept", accept)).await;
    let slots = async {
        if accept == EVENTS {
            // With one stream allowed, the next one is let in when this one is gone.
            while Stream::open(server, target, &[]).await.head.header("content-length").is_some() {}
        } else {
            // With one connection allowed, the next one is served when this one is gone.
            assert_eq!(server.get("/healthz").await.status, 200);
        }
    };
    within("the server lets go", slots).await;
    let mut read = 0;
    while connection.more().await {
        read += connection.forget();
    }
    assert!(read < whole, "{target}: all {read} bytes were sent to a client that did not read");
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut_off() {
    let server = TestServer::with(ServerConfig { write_timeout: SHORT, max_connections: 1, max_streams: 1, ..config() }).await;
    server.furnish().await;
    let (size, count) = (900_000, 60);
    let value = format!("\"{}\"", "x".repeat(size));
    for _ in 0..count {
        assert_eq!(server.send("POST", "/v1/projects/p/logs/large", &[], &value).await.status, 200);
    }
    let file = vec![b'x'; size * count];
    assert_eq!(server.send("PUT", "/v1/projects/p/files/large", &[], &file).await.status, 201);
    let document = vec![b'1'; 30 << 20];
    assert_eq!(server.send("PUT", "/v1/projects/p/docs/large", &[], &document).await.status, 201);
    never_reads(&server, "/v1/projects/p/files/large", "*/*", file.len()).await;
    never_reads(&server, "/v1/projects/p/docs/large", "*/*", document.len()).await;
    never_reads(&server, "/v1/projects/p/logs/large", "*/*", 9 * size).await;
    never_reads(&server, "/v1/projects/p/logs/large", "application/x-ndjson", 9 * size).await;
    never_reads(&server, "/v1/projects/p/logs/large?since=0", EVENTS, size * count).await;
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let server = TestServer::furnished().await;
    let large = "x".repeat(40 << 10);
    let long_target = format!("/v1/projects/{large}");
    for request in [
        Request::new("GET", "/v1").header("x-large", &large),
        Request::new("GET", &long_target),
        (0..90).fold(Request::new("GET", "/v1"), |request, n| request.header(&format!("x-{n}"), &large[..400])),
    ] {
        let detail = server.call(request).await.refused(431, "header_too_large");
        assert!(detail.contains("32768"), "{detail}");
    }
    let fits = Request::new("GET", "/v1").header("x-large", &large[..30_000]);
    assert_eq!(server.call(fits).await.status, 200);
    // An endless head is not read to its end.
    let mut connection = server.connect().await;
    connection.send_bytes(format!("GET /v1 HTTP/1.1\r\nhost: {}\r\nx: {}", server.address, "x".repeat(1 << 20)).as_bytes()).await;
    connection.answer().await.refused(431, "header_too_large");
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_order() {
    let server = TestServer::furnished().await;
    let mut connection = server.connect().await;
    let one = |head: &str, body: &str| {
        format!("{head} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n{body}", server.address, body.len())
    };
    let row = [
        one("PUT /v1/projects/p/docs/x", "1"),
        one("GET /v1/projects/p/docs/x", ""),
        one("PUT /v1/projects/p/docs/x", "{"),
        one("GET /nowhere", ""),
        one("DELETE /v1/projects/p/docs/x", ""),
        one("GET /v1/projects/p/docs/x", ""),
    ];
    connection.send_bytes(row.concat().as_bytes()).await;
    let mut statuses = Vec::new();
    for _ in 0..row.len() {
        statuses.push(connection.answer().await.status);
    }
    assert_eq!(statuses, [201, 200, 400, 404, 204, 404]);
}

#[tokio::test]
async fn what_is_no_http_ends_the_connection() {
    let server = TestServer::furnished().await;
    for junk in ["\u{16}\u{3}\u{1}\r\n\r\n", "hello\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n", "GET / HTTP/9\r\n\r\n"] {
        let mut connection = server.connect().await;
        connection.send_bytes(junk.as_bytes()).await;
        assert_eq!(connection.head().await.status, 400, "{junk:?}");
        assert!(connection.ended().await);
    }
}

#[tokio::test]
async fn two_lengths_are_never_guessed_about() {
    let server = TestServer::furnished().await;
    let before = server.snapshot().await;
    for headers in [
        "content-length: 1\r\ncontent-length: 2\r\n",
        "content-length: x\r\n",
        "content-length: +1\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, gzip\r\n",
    ] {
        let mut connection = server.connect().await;
        let request = format!("PUT /v1/projects/p/docs/d HTTP/1.1\r\nhost: {}\r\n{headers}\r\n22", server.address);
        connection.send_bytes(request.as_bytes()).await;
        assert_eq!(connection.head().await.status, 400, "{headers}");
        assert!(connection.ended().await);
    }
    assert_eq!(server.snapshot().await, before);
}
