//! Logs: append, read, compact, end, fork.

use std::sync::Arc;

use folio::clock::ManualClock;
use folio::fs::{FsDriver, FsOptions};
use serde_json::{Value, json};

use crate::client::{Answer, Request};
use crate::server::{TestServer, config};

const HISTORY: &str = "/v1/projects/p/history";

fn seqs(page: &Value) -> Vec<u64> {
    page["entries"].as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()).collect()
}

async fn append(server: &TestServer, path: &str, media_type: &str, body: impl AsRef<[u8]>) -> Answer {
    server.send("POST", path, &[("content-type", media_type)], body).await
}

#[tokio::test]
async fn every_kind_of_body() {
    let server = TestServer::furnished().await;
    let log = "/v1/projects/p/logs/runs/4%202";
    for (media_type, body, first, last) in [
        ("application/json", r#"{"a": 1}"#, 1, 1),
        ("application/json; charset=utf-8", r#"[1, [2, 3]]"#, 2, 3),
        ("application/x-ndjson", "{\"n\": 90071992547409931234}\n\n[4]\n", 4, 5),
        ("application/octet-stream", "\0\u{1}", 6, 6),
        ("application/vnd.folio.entries+json", r#"[{"data":null},{"b64":"AP8="}]"#, 7, 8),
    ] {
        let answer = append(&server, log, media_type, body).await;
        let (told, cursor) = (answer.json(), answer.json()["cursor"].as_str().unwrap().to_owned());
        assert_eq!((&told["first_seq"], &told["last_seq"]), (&json!(first), &json!(last)), "{media_type}");
        assert!(cursor.ends_with(&format!("-{last}")), "{cursor}");
    }
    let page = server.get(log).await;
    let text = page.text();
    for entry in [
        r#""data":{"a":1}}"#,
        r#""data":[2,3]}"#,
        r#""data":{"n":90071992547409931234}}"#,
        r#""b64":"AAE="}"#,
        r#""data":null}"#,
        r#""b64":"AP8="}"#,
    ] {
        assert!(text.contains(entry), "{entry}: {text}");
    }
    assert_eq!(seqs(&page.json()), [1, 2, 3, 4, 5, 6, 7, 8]);
    let nothing = append(&server, log, "application/json", "[]").await.json();
    assert_eq!((&nothing["first_seq"], &nothing["last_seq"]), (&json!(9), &json!(8)));
    assert_eq!(server.get(HISTORY).await.json()["entries"][0]["data"], json!({"i": 1}));
    assert_eq!(server.get("/v1/projects/p/logs/history").await.text(), server.get(HISTORY).await.text());
}

#[tokio::test]
async fn a_form_cannot_append_and_is_told_how() {
    let server = TestServer::furnished().await;
    let before = server.snapshot().await;
    for media_type in ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", ""] {
        let detail = append(&server, HISTORY, media_type, r#"{"a":1}"#).await.refused(415, "unsupported_media_type");
        assert!(detail.contains("-H 'content-type: application/json'"), "{detail}");
    }
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn a_key_makes_a_retry_safe() {
    let server = TestServer::furnished().await;
    let keyed = async |body: &str| server.send("POST", HISTORY, &[("idempotency-key", "k-1")], body).await;
    let first = keyed("[1,2]").await;
    assert_eq!(first.header("idempotency-replayed"), None);
    let again = keyed("[1,2]").await;
    assert_eq!((again.json(), again.header("idempotency-replayed")), (first.json(), Some("true")));
    keyed("[1,3]").await.refused(422, "key_reused");
    assert_eq!(server.get("/v1/projects/p").await.json()["history"]["entries"], 5);
    for bad in ["", "a b", "ü", &"x".repeat(257)] {
        server.send("POST", HISTORY, &[("idempotency-key", bad)], "1").await.refused(400, "invalid");
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "a")];
    server.send("POST", HISTORY, &twice, "1").await.refused(400, "invalid");
}

#[tokio::test]
async fn pages() {
    let server = TestServer::furnished().await;
    let head = server.get("/v1/projects/p").await.json()["history"]["head"].clone();
    let page = server.get(HISTORY).await.json();
    let members: Vec<&String> = page.as_object().unwrap().keys().collect();
    assert_eq!(members, ["entries", "first", "head", "lineage", "next"]);
    assert_eq!((&page["first"], &page["head"], &page["next"]), (&json!(1), &head, &head));
    assert!(page["entries"][0]["ts"].is_u64());
    for (query, seqs_read, next) in [
        ("limit=2", &[1, 2][..], None),
        ("since=1", &[2, 3], None),
        ("since=0-0&before=3", &[1, 2], None),
        ("since=3", &[], None),
        ("order=asc&limit=1", &[1], None),
        ("order=desc&limit=2", &[3, 2], Some(json!(2))),
        ("order=desc&before=2", &[1], Some(json!(null))),
        ("order=desc&since=1", &[3, 2], Some(json!(null))),
    ] {
        let answer = server.get(&format!("{HISTORY}?{query}")).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.all("vary").contains("Accept"));
        let page = answer.json();
        assert_eq!(seqs(&page), seqs_read, "{query}");
        match next {
            Some(next) => assert_eq!(page["next"], next, "{query}"),
            None => {
                let last = seqs_read.last().copied().unwrap_or(3);
                assert!(page["next"].as_str().unwrap().ends_with(&format!("-{last}")), "{query}: {page}");
            }
        }
    }
    let next = server.get(&format!("{HISTORY}?limit=2")).await.json()["next"].as_str().unwrap().to_owned();
    assert_eq!(seqs(&server.get(&format!("{HISTORY}?since={next}")).await.json()), [3]);
}

#[tokio::test]
async fn lines() {
    let server = TestServer::furnished().await;
    let ndjson = [("accept", "application/x-ndjson")];
    let answer = server.send("GET", HISTORY, &ndjson, "").await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[2]["seq"], &lines[2]["data"]), (&json!(3), &json!({"i": 3})));
    let page = server.get(HISTORY).await.json();
    assert_eq!(answer.header("folio-head"), page["head"].as_str());
    assert_eq!(answer.header("folio-next"), page["next"].as_str());
    let desc = server.send("GET", &format!("{HISTORY}?order=desc&limit=2"), &ndjson, "").await;
    assert_eq!(desc.header("folio-next"), Some("2"));
    assert_eq!(server.send("GET", &format!("{HISTORY}?order=desc"), &ndjson, "").await.header("folio-next"), None);

    server.send("PATCH", HISTORY, &[], r#"{"horizon":2}"#).await;
    let answer = server.send("GET", &format!("{HISTORY}?since=1"), &ndjson, "").await;
    let first: Value = serde_json::from_str(answer.text().lines().next().unwrap()).unwrap();
    assert_eq!(first["gap"], json!({"reason": "truncated", "requested": "1", "lost": 1, "resumes_after": 2}));
    assert_eq!(answer.text().lines().count(), 2);
}

#[tokio::test]
async fn a_whole_log_as_lines() {
    let server = TestServer::furnished().await;
    let log = "/v1/projects/p/logs/long";
    let ndjson = [("accept", "application/x-ndjson")];
    for n in 0..6 {
        let lines: String = (0..5_000).map(|i| format!("{{\"n\":{},\"pad\":\"{}\"}}\n", n * 5_000 + i, "x".repeat(80))).collect();
        assert_eq!(append(&server, log, "application/x-ndjson", &lines).await.status, 200);
    }
    let all = async |query: &str| {
        let answer = server.send("GET", &format!("{log}?limit=all{query}"), &ndjson, "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
        assert_eq!((answer.header("content-length"), answer.header("folio-next")), (None, None));
        assert!(answer.header("folio-head").unwrap().ends_with("-30000"));
        let lines: Vec<Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines
    };
    let lines = all("").await;
    assert_eq!(lines.len(), 30_000);
    for (at, line) in lines.iter().enumerate() {
        assert_eq!((&line["seq"], &line["data"]["n"]), (&json!(at + 1), &json!(at)));
    }
    let some = all("&since=7&before=22000").await;
    assert_eq!((some.len(), &some[0]["seq"], &some[21_991]["seq"]), (21_992, &json!(8), &json!(21_999)));
    assert_eq!(all("&since=30000").await, Vec::<Value>::new());
    assert_eq!(all("&since=5&before=3").await, Vec::<Value>::new());
    assert_eq!(all("&since=30001").await, [json!({"gap": {"reason": "ahead", "requested": "30001", "resumes_after": 30000}})]);
    server.send("PATCH", log, &[], r#"{"horizon":29998}"#).await;
    let last = all("&since=2").await;
    assert_eq!(last[0]["gap"], json!({"reason": "truncated", "requested": "2", "lost": 29996, "resumes_after": 29998}));
    assert_eq!((last.len(), &last[2]["seq"]), (3, &json!(30_000)));

    let json = server.get(&format!("{log}?limit=all")).await.refused(400, "invalid");
    assert!(json.contains("application/x-ndjson"), "{json}");
    let desc = server.send("GET", &format!("{log}?limit=all&order=desc"), &ndjson, "").await.refused(400, "invalid");
    assert!(desc.contains("order=desc"), "{desc}");
    server.send("GET", "/v1/projects/p/logs/none?limit=all", &ndjson, "").await.refused(404, "no_log");
}

/// Long stretches are passed on from their files, which shows by the size of chunks; the bytes are the same on every way, and
/// other requests may follow on the connection.
#[tokio::test]
async fn a_whole_log_is_passed_on_from_its_files() {
    let folder = tempfile::tempdir().unwrap();
    // Long after the files were written.
    let clock = Arc::new(ManualClock::new(4_000_000_000_000));
    let options = FsOptions { clock: clock.clone(), segment_bytes: 2 << 20, ..FsOptions::default() };
    let driver = FsDriver::open(folder.path().join("root"), options).await.unwrap();
    let server = TestServer::over(Arc::new(driver), config()).await;
    server.furnish().await;
    let log = "/v1/projects/p/logs/long";
    for n in 0..7 {
        let lines: String = (0..5_000).map(|i| format!("{{\"n\":{},\"pad\":\"{}\"}}\n", n * 5_000 + i, "x".repeat(80))).collect();
        assert_eq!(append(&server, log, "application/x-ndjson", &lines).await.status, 200);
    }
    clock.set(4_000_000_060_000);
    let request = Request::new("GET", &format!("{log}?limit=all")).header("accept", "application/x-ndjson");
    let mut connection = server.connect().await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        connection.send(&request).await;
        let head = connection.head().await;
        assert_eq!((head.status, head.header("transfer-encoding")), (200, Some("chunked")), "{head:?}");
        let (mut text, mut largest) = (Vec::new(), 0);
        while let Some(chunk) = connection.chunk().await {
            largest = largest.max(chunk.len());
            text.extend(chunk);
        }
        answers.push((text, largest));
        connection.send(&Request::new("GET", &format!("{log}?view=status"))).await;
        assert!(connection.answer().await.json()["head"].as_str().unwrap().ends_with("-35000"));
    }
    let (text, sizes): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
    let lines: Vec<Value> = text[0].split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!(lines.len(), 35_000);
    for (at, line) in lines.iter().enumerate() {
        assert_eq!((&line["seq"], &line["data"]["n"]), (&json!(at + 1), &json!(at)));
    }
    assert!(text[1] == text[0] && text[2] == text[0]);
    assert!(sizes[0] <= 70_000 && sizes[1] > 500_000 && sizes[2] > 500_000, "{sizes:?}");

    // By the HTTP stack, where the client says something of the connection.
    for (name, value) in [("connection", "close"), ("connection", "keep-alive")] {
        let answer = server.call(request.clone().header(name, value)).await;
        assert!(answer.body == text[0], "{name}: {value}");
    }
    let old = format!("GET {log}?limit=all HTTP/1.0\r\nhost: {}\r\naccept: application/x-ndjson\r\n\r\n", server.address);
    let mut connection = server.connect().await;
    connection.send_bytes(old.as_bytes()).await;
    let answer = connection.answer().await;
    assert!(answer.header("transfer-encoding").is_none() && answer.body == text[0]);

    // Several requests at once are all answered, or the connection ends after an answer.
    let one = format!("GET {log}?limit=all HTTP/1.1\r\nhost: {}\r\naccept: application/x-ndjson\r\n\r\n", server.address);
    let mut connection = server.connect().await;
    connection.send_bytes(one.repeat(3).as_bytes()).await;
    let mut whole = 0;
    while connection.answer_begins().await {
        assert!(connection.answer().await.body == text[0]);
        whole += 1;
        if whole == 3 {
            break;
        }
    }
    assert!(whole > 0);
    let head = server.send("HEAD", &format!("{log}?limit=all"), &[("accept", "application/x-ndjson")], "").await;
    assert_eq!((head.status, head.header("content-length")), (200, None));
}

/// What is cut short can be told from what is whole: the last chunk is missing.
#[tokio::test]
async fn a_log_that_goes_while_it_is_sent_breaks_the_answer_off() {
    let server = TestServer::furnished().await;
    let log = "/v1/projects/p/logs/long";
    let value = format!("\"{}\"", "x".repeat(900_000));
    for _ in 0..40 {
        assert_eq!(append(&server, log, "application/json", &value).await.status, 200);
    }
    let mut connection = server.connect().await;
    connection.send(&Request::new("GET", &format!("{log}?limit=all")).header("accept", "application/x-ndjson")).await;
    assert_eq!(connection.head().await.status, 200);
    assert_eq!(server.send("DELETE", log, &[], "").await.status, 204);
    let (mut bytes, mut end) = (0, Vec::new());
    while connection.more().await {
        end = connection.last(5);
        bytes += connection.forget();
    }
    assert!(bytes > 0 && bytes < 30_000_000, "{bytes}");
    assert_ne!(end, b"0\r\n\r\n");
}

#[tokio::test]
async fn compaction_and_gaps() {
    let server = TestServer::furnished().await;
    let horizon = async |n: u64| server.send("PATCH", HISTORY, &[], format!("{{\"horizon\":{n}}}")).await.json();
    assert_eq!(horizon(2).await, json!({"removed": 2, "horizon": 2}));
    assert_eq!(horizon(2).await, json!({"removed": 0, "horizon": 2}));
    let page = server.get(&format!("{HISTORY}?since=0-0")).await.json();
    assert_eq!(seqs(&page), [3]);
    assert_eq!(page["first"], 3);
    assert_eq!(page["gap"], json!({"reason": "truncated", "requested": "0-0", "lost": 2, "resumes_after": 2}));
    assert!(server.get(HISTORY).await.json().get("gap").is_none());
    let page = server.get(&format!("{HISTORY}?since=99")).await.json();
    assert_eq!(page["gap"], json!({"reason": "ahead", "requested": "99", "resumes_after": 3}));
    let page = server.get(&format!("{HISTORY}?since=77-1")).await.json();
    assert_eq!(page["gap"]["reason"], "epoch");
    assert_eq!(horizon(99).await, json!({"removed": 1, "horizon": 3}));
    let status = server.get(&format!("{HISTORY}?view=status")).await.json();
    assert_eq!((&status["entries"], &status["first"], &status["horizon"]), (&json!(0), &json!(4), &json!(3)));
}

#[tokio::test]
async fn the_end_of_a_log() {
    let server = TestServer::furnished().await;
    let last = server.send("POST", &format!("{HISTORY}?close=true"), &[], "4").await;
    assert_eq!(last.json()["last_seq"], 4);
    let detail = server.send("POST", HISTORY, &[], "5").await.refused(409, "closed");
    assert!(detail.contains("history"), "{detail}");
    let head = last.json()["cursor"].clone();
    for _ in 0..2 {
        let closed = server.send("PATCH", HISTORY, &[], r#"{"closed":true}"#).await;
        assert_eq!(closed.json(), json!({"head": head, "closed": true}));
    }
    let l = "/v1/projects/p/logs/l";
    let closed = server.send("POST", &format!("{l}?close=true"), &[], "").await;
    assert_eq!((closed.status, &closed.json()["last_seq"]), (200, &json!(1)));
    assert_eq!(server.get(&format!("{l}?view=status")).await.json()["closed"], true);
}

#[tokio::test]
async fn named_logs_and_forks() {
    let server = TestServer::furnished().await;
    server.get("/v1/projects/p/logs/none").await.refused(404, "no_log");
    server.get("/v1/projects/none/logs/l").await.refused(404, "no_project");
    let fork = server.send("PUT", "/v1/projects/p/logs/runs/fork%20ed", &[], r#"{"fork":"history","at":2}"#).await;
    assert_eq!(fork.header("location"), Some("/v1/projects/p/logs/runs/fork%20ed"));
    assert_eq!((fork.status, &fork.json()["entries"]), (201, &json!(2)));
    assert_eq!(seqs(&server.get(fork.header("location").unwrap()).await.json()), [1, 2]);
    let list = server.get("/v1/projects/p/logs").await.json();
    assert_eq!(list, json!({"logs": [{"name": "history"}, {"name": "l"}, {"name": "runs/fork ed"}], "next": null}));
    let list = server.get("/v1/projects/p/logs?limit=1&after=history").await.json();
    assert_eq!(list, json!({"logs": [{"name": "l"}], "next": "l"}));
    server.send("PUT", "/v1/projects/p/logs/l", &[], r#"{"fork":"history","at":2}"#).await.refused(409, "exists");
    server.send("PUT", "/v1/projects/p/logs/x", &[], r#"{"fork":"history","at":9}"#).await.refused(400, "invalid");
    server.send("PUT", "/v1/projects/p/logs/x", &[], r#"{"fork":"none","at":0}"#).await.refused(404, "no_log");

    server.send("PUT", "/v1/projects/p/logs/m", &[], r#"{"fork":"l","at":1}"#).await;
    for _ in 0..2 {
        assert_eq!(server.send("DELETE", "/v1/projects/p/logs/l", &[], "").await.status, 204);
    }
    server.get("/v1/projects/p/logs/l").await.refused(410, "gone");
    server.send("DELETE", "/v1/projects/p/logs/history", &[], "").await.refused(400, "invalid");
}

#[tokio::test]
async fn a_page_ends_with_the_entry_that_brings_it_to_8_mib() {
    let server = TestServer::furnished().await;
    let value = format!("\"{}\"", "x".repeat(900_000));
    for _ in 0..12 {
        assert_eq!(append(&server, "/v1/projects/p/logs/large", "application/json", &value).await.status, 200);
    }
    let page = server.get("/v1/projects/p/logs/large").await.json();
    assert_eq!(seqs(&page), (1..=10).collect::<Vec<_>>());
    assert!(page["next"].as_str().unwrap().ends_with("-10"));
}
