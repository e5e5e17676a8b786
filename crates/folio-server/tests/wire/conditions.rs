//! Conditions, on everything that has an ETag or a head.

use crate::server::TestServer;
use serde_json::json;

const ZERO: &str = "\"00000000000000000000000000000000\"";

/// A document and a file, each with the ETag that is there.
async fn things(server: &TestServer) -> Vec<(&'static str, String)> {
    let mut things = Vec::new();
    for at in ["/v1/projects/p/docs/d", "/v1/projects/p/files/a.txt", "/v1/shared/docs/s", "/v1/collections/k/docs/c"] {
        things.push((at, server.get(at).await.header("etag").unwrap().to_owned()));
    }
    things
}

#[tokio::test]
async fn reads() {
    let server = TestServer::furnished().await;
    for (at, tag) in things(&server).await {
        for method in ["GET", "HEAD"] {
            for (header, value, status) in [
                ("if-none-match", tag.as_str(), 304),
                ("if-none-match", "*", 304),
                ("if-none-match", &format!("W/{tag}"), 304),
                ("if-none-match", &format!("{ZERO}, {tag}"), 304),
                ("if-none-match", ZERO, 200),
                ("if-match", &tag, 200),
                ("if-match", "*", 200),
                ("if-match", ZERO, 412),
                ("if-modified-since", "Fri, 31 Dec 9999 23:59:59 GMT", 200),
            ] {
                let answer = server.send(method, at, &[(header, value)], "").await;
                assert_eq!(answer.status, status, "{method} {at} {header}: {value}");
                if status < 400 {
                    assert_eq!(answer.header("etag"), Some(tag.as_str()));
                }
                if status == 304 {
                    assert!(answer.body.is_empty());
                }
            }
        }
    }
}

#[tokio::test]
async fn writes_that_fail_say_what_is_there_and_change_nothing() {
    let server = TestServer::furnished().await;
    let before = server.snapshot().await;
    for (at, tag) in things(&server).await {
        let current = json!(tag.trim_matches('"'));
        for method in ["PUT", "DELETE", "PATCH"] {
            if method == "PATCH" && at.contains("/files/") {
                continue;
            }
            let body = if method == "DELETE" { "" } else { "2" };
            for (header, value) in [("if-match", ZERO), ("if-none-match", "*")] {
                let answer = server.send(method, at, &[(header, value)], body).await;
                answer.refused(412, "precondition_failed");
                assert_eq!(answer.json()["current_etag"], current, "{method} {at}");
            }
            let nowhere = format!("{at}x");
            for value in ["*", ZERO] {
                let answer = server.send(method, &nowhere, &[("if-match", value)], body).await;
                answer.refused(412, "precondition_failed");
                assert_eq!(answer.json()["current_etag"], json!(null), "{method} {nowhere}");
            }
        }
    }
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn writes_that_hold() {
    let server = TestServer::furnished().await;
    for (at, tag) in things(&server).await {
        assert_eq!(server.send("PUT", &format!("{at}x"), &[("if-none-match", "*")], "2").await.status, 201);
        let put = server.send("PUT", at, &[("if-match", &tag)], "2").await;
        assert_eq!(put.status, 200);
        assert_eq!(server.send("PUT", at, &[("if-match", "*")], "3").await.status, 200);
        server.send("PUT", at, &[("if-match", &tag)], "4").await.refused(412, "precondition_failed");
        let tag = server.get(at).await.header("etag").unwrap().to_owned();
        assert_eq!(server.send("DELETE", at, &[("if-match", &tag)], "").await.status, 204);
    }
}

#[tokio::test]
async fn tags_that_cannot_be_meant_are_refused() {
    let server = TestServer::furnished().await;
    let before = server.snapshot().await;
    for (at, tag) in things(&server).await {
        let list = format!("{tag}, {ZERO}");
        let weak = format!("W/{tag}");
        let bare = tag.trim_matches('"').to_owned();
        for method in ["PUT", "DELETE"] {
            for headers in [
                &[("if-match", list.as_str())][..],
                &[("if-match", &weak)],
                &[("if-match", &bare)],
                &[("if-match", "\"abc\"")],
                &[("if-match", "")],
                &[("if-match", &tag), ("if-match", &tag)],
                &[("if-match", &tag), ("if-none-match", "*")],
                &[("if-none-match", &tag)],
                &[("if-unmodified-since", "Fri, 31 Dec 9999 23:59:59 GMT")],
            ] {
                let body = if method == "DELETE" { "" } else { "2" };
                let answer = server.send(method, at, headers, body).await;
                assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_etag"), "{method} {at} {headers:?}");
            }
        }
        for headers in [&[("if-none-match", bare.as_str())][..], &[("if-none-match", &tag), ("if-none-match", &tag)]] {
            server.send("GET", at, headers, "").await.refused(400, "invalid_etag");
        }
    }
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn appends() {
    let server = TestServer::furnished().await;
    let history = "/v1/projects/p/history";
    let head = server.get("/v1/projects/p").await.json()["history"]["head"].as_str().unwrap().to_owned();
    let wrong = server.send("POST", history, &[("if-match", "\"0-0\"")], "4").await;
    wrong.refused(412, "precondition_failed");
    assert_eq!(wrong.json()["head"], json!(head));
    let right = server.send("POST", history, &[("if-match", &format!("\"{head}\""))], "4").await;
    assert_eq!((right.status, &right.json()["last_seq"]), (200, &json!(4)));
    assert_eq!(server.send("POST", history, &[("if-match", "\"4\"")], "5").await.status, 200);
    for bad in ["5", "\"x\"", "*", "\"5\", \"6\"", ""] {
        server.send("POST", history, &[("if-match", bad)], "6").await.refused(400, "invalid_cursor");
    }
    server.send("POST", history, &[("if-match", "\"5\""), ("if-match", "\"5\"")], "6").await.refused(400, "invalid_cursor");
}
