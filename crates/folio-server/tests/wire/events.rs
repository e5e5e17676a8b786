//! Event streams of logs: where they start, what each frame carries, how they end.

use crate::event_source::{Event, Stream};
use crate::server::{TestServer, config};
use folio_server::ServerConfig;
use serde_json::{Value, json};
use std::time::Duration;

const HISTORY: &str = "/v1/projects/p/history";
const L: &str = "/v1/projects/p/logs/l";

/// Epoch of the log's open piece.
async fn epoch(server: &TestServer, log: &str) -> u64 {
    let status = server.get(&format!("{log}?view=status")).await.json();
    status["lineage"].as_array().unwrap().last().unwrap()[0].as_u64().unwrap()
}

async fn append(server: &TestServer, log: &str, body: &str) {
    assert_eq!(server.send("POST", log, &[], body).await.status, 200);
}

fn data(event: &Event) -> Value {
    serde_json::from_str(&event.data).unwrap()
}

#[tokio::test]
async fn live_from_now() {
    let server = TestServer::furnished().await;
    let e = epoch(&server, HISTORY).await;
    for headers in [&[][..], &[("last-event-id", "")]] {
        let mut stream = Stream::open(&server, HISTORY, headers).await;
        assert_eq!(stream.head.status, 200);
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("cache-control", "no-store"),
            ("x-accel-buffering", "no"),
            ("vary", "Accept"),
        ] {
            assert!(stream.head.all(name).contains(value), "{name}: {:?}", stream.head);
        }
        let head = server.get("/v1/projects/p").await.json()["history"]["head"].as_str().unwrap().to_owned();
        assert_eq!(stream.short().await, format!("caught-up {head} {{\"head\":\"{head}\"}}"));
        let retry = stream.parser.retry.unwrap();
        assert!((2_000..=3_000).contains(&retry), "{retry}");
        assert!(stream.raw.starts_with(b"retry: "));
        append(&server, HISTORY, r#"{"live":true}"#).await;
        let entry = stream.next().await.unwrap();
        let seq = data(&entry)["seq"].as_u64().unwrap();
        assert_eq!((entry.name.as_str(), entry.last_event_id), ("message", format!("{e}-{seq}")));
        let retries = String::from_utf8_lossy(&stream.raw).matches("retry:").count();
        assert_eq!(retries, 1, "once");
    }
}

#[tokio::test]
async fn resumes() {
    let server = TestServer::furnished().await;
    let e = epoch(&server, HISTORY).await;
    server.send("PATCH", HISTORY, &[], r#"{"horizon":1}"#).await;
    let caught_up = format!("caught-up {e}-3 {{\"head\":\"{e}-3\"}}");
    let entry = |seq: u64| format!("message {e}-{seq}");
    let gap = |reason: &str, requested: &str, lost: Option<u64>, after: u64| {
        let lost = lost.map_or(String::new(), |lost| format!("\"lost\":{lost},"));
        let data = format!("{{\"reason\":\"{reason}\",\"requested\":\"{requested}\",{lost}\"resumes_after\":{after}}}");
        format!("gap {e}-{after} {data}")
    };
    let at = |seq: u64| format!("{e}-{seq}");
    // (since, Last-Event-ID, events)
    let rows: Vec<(Option<String>, Option<String>, Vec<String>)> = vec![
        (None, None, vec![caught_up.clone()]),
        (Some("1".into()), None, vec![entry(2), entry(3), caught_up.clone()]),
        (Some(at(2)), None, vec![entry(3), caught_up.clone()]),
        (Some(at(3)), None, vec![caught_up.clone()]),
        (Some("0".into()), None, vec![gap("truncated", "0", Some(1), 1), entry(2), entry(3), caught_up.clone()]),
        (Some("0-0".into()), None, vec![gap("truncated", "0-0", Some(1), 1), entry(2), entry(3), caught_up.clone()]),
        (Some("9".into()), None, vec![gap("ahead", "9", None, 3), caught_up.clone()]),
        (Some(at(9)), None, vec![gap("ahead", &at(9), None, 3), caught_up.clone()]),
        (Some("5-2".into()), None, vec![gap("epoch", "5-2", None, 1), entry(2), entry(3), caught_up.clone()]),
        // The header wins; empty, it isn't there.
        (Some("1".into()), Some(at(2)), vec![entry(3), caught_up.clone()]),
        (Some("1".into()), Some("3".into()), vec![caught_up.clone()]),
        (Some(at(2)), Some(String::new()), vec![entry(3), caught_up.clone()]),
        (None, Some(at(2)), vec![entry(3), caught_up.clone()]),
        // The end of something that has not ended is a place like any other.
        (None, Some(format!("{}-end", at(2))), vec![entry(3), caught_up.clone()]),
        (None, Some(format!("{}-end", at(3))), vec![caught_up.clone()]),
        (Some(format!("{}-end", at(2))), None, vec![entry(3), caught_up.clone()]),
    ];
    for (since, last, events) in rows {
        let target = since.as_ref().map_or(HISTORY.to_owned(), |since| format!("{HISTORY}?since={since}"));
        let header = last.as_ref().map(|last| [("last-event-id", last.as_str())]);
        let mut stream = Stream::open(&server, &target, header.as_ref().map_or(&[], |header| &header[..])).await;
        for expected in events {
            let got = stream.short().await;
            assert!(got.starts_with(&expected), "since {since:?}, Last-Event-ID {last:?}: {got} instead of {expected}");
        }
    }
}

#[tokio::test]
async fn cursors_that_are_none() {
    let server = TestServer::furnished().await;
    for bad in ["x", "-1", "1-", "01", "1-2-3", "1-2-End", "3-end", "1%202", "9007199254740992", "", "1,2"] {
        let target = format!("{HISTORY}?since={bad}");
        let detail = server.send("GET", &target, &[("accept", "text/event-stream")], "").await.refused(400, "invalid_cursor");
        assert!(detail.contains("since"), "{detail}");
        server.get(&target).await.refused(400, "invalid_cursor");
    }
    for bad in ["x", "1-", "01", "3-end", "1-2-end-end", "1 2", "ü"] {
        for target in [HISTORY.to_owned(), format!("{HISTORY}?since=1")] {
            let headers = [("accept", "text/event-stream"), ("last-event-id", bad)];
            let detail = server.send("GET", &target, &headers, "").await.refused(400, "invalid_cursor");
            assert!(detail.contains("Last-Event-ID"), "{detail}");
        }
    }
    for twice in [["1", "1"], ["", "1"]] {
        let headers = [("accept", "text/event-stream"), ("last-event-id", twice[0]), ("last-event-id", twice[1])];
        server.send("GET", HISTORY, &headers, "").await.refused(400, "invalid_cursor");
    }
    let events = [("accept", "text/event-stream")];
    server.send("GET", &format!("{HISTORY}?since=1&since=1"), &events, "").await.refused(400, "invalid");
    for parameter in ["limit=1", "before=2", "order=desc", "since=1&limit=5"] {
        server.send("GET", &format!("{HISTORY}?{parameter}"), &events, "").await.refused(400, "unknown_parameter");
    }
    server.send("GET", HISTORY, &[("accept", "text/html")], "").await.refused(406, "not_acceptable");
}

#[tokio::test]
async fn the_end() {
    let server = TestServer::furnished().await;
    let e = epoch(&server, HISTORY).await;
    let mut stream = Stream::open(&server, &format!("{HISTORY}?since=2"), &[]).await;
    assert!(stream.short().await.starts_with(&format!("message {e}-3")));
    assert!(stream.short().await.starts_with("caught-up"));
    append(&server, &format!("{HISTORY}?close=true"), "4").await;
    assert!(stream.short().await.starts_with(&format!("message {e}-4")));
    let end = format!("{e}-4-end");
    assert_eq!(stream.short().await, format!("closed {end} {{\"head\":\"{e}-4\"}}"));
    assert_eq!(stream.short().await, "end");

    let again = [("accept", "text/event-stream"), ("last-event-id", end.as_str())];
    let answer = server.send("GET", HISTORY, &again, "").await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    // Anything else sees the end once more.
    for (target, last) in [
        (HISTORY.to_owned(), format!("{e}-4")),
        (HISTORY.to_owned(), format!("{e}-3-end")),
        (HISTORY.to_owned(), String::new()),
        (format!("{HISTORY}?since={end}"), String::new()),
        (format!("{HISTORY}?since=0"), String::new()),
    ] {
        let mut stream = Stream::open(&server, &target, &[("last-event-id", &last)]).await;
        assert_eq!(stream.head.status, 200);
        let events = stream.rest().await;
        let last_event = events.last().unwrap();
        assert_eq!((last_event.name.as_str(), &last_event.last_event_id), ("closed", &end), "{target} {last}");
    }
    // Of another log it is no end.
    let mut other = Stream::open(&server, L, &[("last-event-id", &end)]).await;
    assert!(other.short().await.starts_with("gap "));
}

#[tokio::test]
async fn a_log_that_is_deleted_and_comes_back() {
    let server = TestServer::furnished().await;
    let mut stream = Stream::open(&server, L, &[]).await;
    let caught_up = stream.next().await.unwrap();
    server.send("DELETE", L, &[], "").await;
    assert_eq!(stream.short().await, format!("deleted {} {{}}", caught_up.last_event_id), "without an id of its own");
    append(&server, L, r#""again""#).await;
    let entry = stream.next().await.unwrap();
    assert_eq!((entry.name.as_str(), &data(&entry)["data"], &data(&entry)["seq"]), ("message", &json!("again"), &json!(1)));
}

#[tokio::test]
async fn a_log_that_does_not_exist_is_waited_for() {
    let server = TestServer::furnished().await;
    let mut stream = Stream::open(&server, "/v1/projects/p/logs/later", &[]).await;
    assert_eq!(stream.short().await, "caught-up 0-0 {\"head\":\"0-0\"}");
    append(&server, "/v1/projects/p/logs/later", "7").await;
    let entry = stream.next().await.unwrap();
    assert_eq!(data(&entry)["data"], 7);
    let events = [("accept", "text/event-stream")];
    server.send("GET", "/v1/projects/none/history", &events, "").await.refused(404, "no_project");
    server.send("GET", "/v1/projects/none/logs/l", &events, "").await.refused(404, "no_project");
}

#[tokio::test]
async fn silence_is_broken_by_comments_without_ids() {
    let server = TestServer::with(ServerConfig { keep_alive: Duration::from_millis(20), ..config() }).await;
    server.furnish().await;
    for target in [HISTORY, "/v1/projects/p/changes"] {
        let mut stream = Stream::open(&server, target, &[]).await;
        while stream.parser.comments.len() < 3 {
            assert!(stream.chunk().await);
        }
        assert!(stream.parser.comments.iter().all(|comment| comment == "keep-alive"));
        assert!(String::from_utf8_lossy(&stream.raw).contains("\n\n: keep-alive\n\n"));
    }
}

#[tokio::test]
async fn too_many_streams_are_sent_away_in_a_way_that_browsers_survive() {
    let server = TestServer::with(ServerConfig { max_streams: 1, ..config() }).await;
    server.furnish().await;
    let mut first = Stream::open(&server, HISTORY, &[]).await;
    assert!(first.short().await.starts_with("caught-up"));
    for target in [HISTORY, L, "/v1/projects/p/changes", "/v1/shared/changes"] {
        let mut second = Stream::open(&server, target, &[]).await;
        assert_eq!((second.head.status, second.head.header("content-type")), (200, Some("text/event-stream")));
        let length: usize = second.head.header("content-length").unwrap().parse().unwrap();
        let body = second.body(length).await;
        assert!(body.ends_with("retry: 10000\n\n") && body.starts_with(": "), "{body}");
    }
    assert_eq!(server.get(HISTORY).await.status, 200, "other calls go on");
    drop(first);
    // Room comes back as soon as the server notices that the first one left.
    loop {
        let mut next = Stream::open(&server, HISTORY, &[]).await;
        if next.head.header("content-length").is_none() {
            assert!(next.short().await.starts_with("caught-up"));
            break;
        }
    }
}

#[tokio::test]
async fn entries_that_are_ready_leave_together() {
    let server = TestServer::furnished().await;
    let many = format!("[{}]", vec!["1"; 2_000].join(","));
    append(&server, L, &many).await;
    let mut stream = Stream::open(&server, &format!("{L}?since=0"), &[]).await;
    let (mut chunks, mut events) = (0, 0);
    while events < 2_002 {
        assert!(stream.chunk().await);
        chunks += 1;
        while stream.ready_now().is_some() {
            events += 1;
        }
    }
    assert!(chunks <= 20, "{chunks} pieces for 2,001 entries");
}

#[tokio::test]
async fn changes() {
    let server = TestServer::furnished().await;
    let mut all = Stream::open(&server, "/v1/projects/p/changes", &[]).await;
    let mut files = Stream::open(&server, "/v1/projects/p/changes?only=files", &[]).await;
    let mut docs = Stream::open(&server, "/v1/projects/p/changes?only=docs", &[]).await;
    let mut shared = Stream::open(&server, "/v1/shared/changes", &[]).await;
    let mut collection = Stream::open(&server, "/v1/collections/k/changes", &[]).await;
    for stream in [&mut all, &mut files, &mut docs, &mut shared, &mut collection] {
        assert_eq!(stream.head.header("content-type"), Some("text/event-stream"));
        assert_eq!(stream.short().await, "ready  {}");
    }
    let tag =
        async |path: &str, body: &str| server.send("PUT", path, &[], body).await.json()["etag"].as_str().unwrap().to_owned();
    let doc = tag("/v1/projects/p/docs/d", "2").await;
    let doc = format!("put  {{\"doc\":\"d\",\"etag\":\"{doc}\"}}");
    assert_eq!(all.short().await, doc);
    assert_eq!(docs.short().await, doc);
    append(&server, HISTORY, "1").await;
    let file = tag("/v1/projects/p/files/x%0Ay", "2").await;
    let file = format!("put  {{\"file\":\"x\\ny\",\"etag\":\"{file}\"}}");
    assert_eq!(all.short().await, file);
    assert_eq!(files.short().await, file);
    server.send("DELETE", "/v1/projects/p/files/x%0Ay", &[], "").await;
    assert_eq!(files.short().await, "delete  {\"file\":\"x\\ny\"}");
    server.send("DELETE", "/v1/projects/p/docs/d", &[], "").await;
    assert_eq!(docs.short().await, "delete  {\"doc\":\"d\"}");
    let s = tag("/v1/shared/docs/s", "2").await;
    assert_eq!(shared.short().await, format!("put  {{\"doc\":\"s\",\"etag\":\"{s}\"}}"));
    let c = tag("/v1/collections/k/docs/new", "2").await;
    assert_eq!(collection.short().await, format!("put  {{\"doc\":\"new\",\"etag\":\"{c}\"}}"));

    server.get("/v1/projects/none/changes").await.refused(404, "no_project");
    server.get("/v1/projects/p/changes?only=logs").await.refused(400, "invalid");
    server.send("GET", "/v1/projects/p/changes", &[("accept", "application/json")], "").await.refused(406, "not_acceptable");
    for stream in [&mut all, &mut files, &mut docs] {
        assert!(!String::from_utf8_lossy(&stream.raw).contains("\nid:"));
    }
}
