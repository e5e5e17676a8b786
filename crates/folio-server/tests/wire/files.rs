//! Files: bytes both ways, ranges, names.

use crate::client::Request;
use crate::server::{TestServer, config};
use folio::fs::{FsDriver, FsOptions};
use serde_json::json;
use std::sync::Arc;

const AT: &str = "/v1/projects/p/files/a.txt";

#[tokio::test]
async fn written_read_listed_and_deleted() {
    let server = TestServer::furnished().await;
    let made = server.send("PUT", "/v1/projects/p/files/dir/index.html", &[], "<h1>hi").await;
    assert_eq!((made.status, &made.json()["path"]), (201, &json!("dir/index.html")));
    let got = server.get("/v1/projects/p/files/dir/index.html").await;
    assert_eq!((got.status, got.text()), (200, "<h1>hi"));
    assert_eq!(got.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(got.header("etag"), made.header("etag"));
    assert_eq!(got.header("accept-ranges"), Some("bytes"));
    assert_eq!(got.header("content-length"), Some("6"));
    assert!(got.header("last-modified").unwrap().ends_with(" GMT"));
    assert_eq!(server.send("PUT", "/v1/projects/p/files/dir/index.html", &[], "").await.status, 200);
    assert_eq!(server.get("/v1/projects/p/files/dir/index.html").await.header("content-length"), Some("0"));

    let paths = |list: serde_json::Value| -> Vec<String> {
        list["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(paths(server.get("/v1/projects/p/files").await.json()), ["a.txt", "dir/index.html"]);
    for prefix in ["dir", "dir/"] {
        assert_eq!(paths(server.get(&format!("/v1/projects/p/files?prefix={prefix}")).await.json()), ["dir/index.html"]);
    }
    assert!(paths(server.get("/v1/projects/p/files?prefix=di").await.json()).is_empty());
    let page = server.get("/v1/projects/p/files?limit=1").await.json();
    assert_eq!(page["next"], "a.txt");
    assert_eq!(paths(server.get("/v1/projects/p/files?limit=1&after=a.txt").await.json()), ["dir/index.html"]);
    assert!(server.get("/v1/projects/p/files?etag=true").await.json()["files"][0]["etag"].is_string());

    for existed in ["true", "false"] {
        let deleted = server.send("DELETE", "/v1/projects/p/files/dir/index.html", &[], "").await;
        assert_eq!((deleted.status, deleted.header("folio-existed")), (204, Some(existed)));
    }
    server.get("/v1/projects/p/files/dir/index.html").await.refused(404, "not_found");
}

#[tokio::test]
async fn ranges() {
    let server = TestServer::furnished().await;
    for (range, status, body, content_range) in [
        ("bytes=0-0", 206, "0", Some("bytes 0-0/10")),
        ("bytes=2-5", 206, "2345", Some("bytes 2-5/10")),
        ("bytes=7-", 206, "789", Some("bytes 7-9/10")),
        ("bytes=7-99", 206, "789", Some("bytes 7-9/10")),
        ("bytes=-3", 206, "789", Some("bytes 7-9/10")),
        ("bytes=-99", 206, "0123456789", Some("bytes 0-9/10")),
        ("bytes=0-99999999999999999999", 206, "0123456789", Some("bytes 0-9/10")),
        ("bytes=10-", 416, "", Some("bytes */10")),
        ("bytes=99-100", 416, "", Some("bytes */10")),
        ("bytes=-0", 416, "", Some("bytes */10")),
        ("bytes=5-2", 200, "0123456789", None),
        ("bytes=0-1,3-4", 200, "0123456789", None),
        ("lines=0-1", 200, "0123456789", None),
        ("junk", 200, "0123456789", None),
    ] {
        let answer = server.send("GET", AT, &[("range", range)], "").await;
        assert_eq!((answer.status, answer.header("content-range")), (status, content_range), "{range}");
        if status == 416 {
            answer.refused(416, "range_not_satisfiable");
        } else {
            assert_eq!(answer.text(), body, "{range}");
            assert_eq!(answer.header("content-length"), Some(body.len().to_string().as_str()));
        }
    }
    server.send("PUT", "/v1/projects/p/files/empty", &[], "").await;
    server.send("GET", "/v1/projects/p/files/empty", &[("range", "bytes=0-")], "").await.refused(416, "range_not_satisfiable");
    // A range of a HEAD request has no meaning (RFC 9110, 14.2).
    assert_eq!(server.send("HEAD", AT, &[("range", "bytes=0-0")], "").await.header("content-length"), Some("10"));
}

#[tokio::test]
async fn if_range() {
    let server = TestServer::furnished().await;
    let tag = server.get(AT).await.header("etag").unwrap().to_owned();
    let modified = server.get(AT).await.header("last-modified").unwrap().to_owned();
    for (value, status) in [
        (tag.as_str(), 206),
        ("\"00000000000000000000000000000000\"", 200),
        (&format!("W/{tag}"), 200),
        (&modified, 200),
        ("junk", 200),
    ] {
        let answer = server.send("GET", AT, &[("range", "bytes=2-3"), ("if-range", value)], "").await;
        assert_eq!(answer.status, status, "{value}");
        assert_eq!(answer.text(), if status == 206 { "23" } else { "0123456789" });
    }
    let answer = server.send("GET", AT, &[("range", "bytes=99-"), ("if-range", "junk")], "").await;
    assert_eq!((answer.status, answer.text()), (200, "0123456789"));
    let answer = server.send("GET", AT, &[("range", "bytes=2-3"), ("if-none-match", &tag)], "").await;
    assert_eq!(answer.status, 304);
}

#[tokio::test]
async fn large_files_stream_both_ways_and_tell_their_tag_when_asked() {
    large_files(&TestServer::furnished().await).await;
    // On disk the tag of a large file isn't known without reading it.
    let folder = tempfile::tempdir().unwrap();
    let driver = FsDriver::open(folder.path().join("root"), FsOptions::default()).await.unwrap();
    let server = TestServer::over(Arc::new(driver), config()).await;
    server.furnish().await;
    large_files(&server).await;
}

async fn large_files(server: &TestServer) {
    let at = "/v1/projects/p/files/large.bin";
    let bytes: Vec<u8> = (0..5_000_000u32).map(|i| ((i * 31) >> 3) as u8).collect();
    let made = server.send("PUT", at, &[], &bytes).await;
    assert_eq!(made.status, 201);
    let got = server.get(at).await;
    assert!(got.body == bytes);
    assert_eq!(got.header("content-length"), Some("5000000"));
    assert_eq!(server.get(&format!("{at}?etag=true")).await.header("etag"), made.header("etag"));
    let tag = made.header("etag").unwrap();
    assert_eq!(server.send("GET", at, &[("if-none-match", tag)], "").await.status, 304);
    assert_eq!(server.send("HEAD", at, &[("if-none-match", tag)], "").await.status, 304);
    let part = server.send("GET", at, &[("range", "bytes=4999990-"), ("if-range", tag)], "").await;
    assert_eq!((part.status, part.body.as_slice()), (206, &bytes[4_999_990..]));
}

#[tokio::test]
async fn an_upload_in_chunks() {
    let server = TestServer::furnished().await;
    let chunked = |body: &str| Request::new("PUT", AT).header("transfer-encoding", "chunked").body(body.as_bytes());
    assert_eq!(server.call(chunked("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")).await.status, 200);
    assert_eq!(server.get(AT).await.text(), "abcde");
    server.call(chunked("3\r\nabc\r\nzz\r\n")).await.refused(400, "invalid");
    assert_eq!(server.get(AT).await.text(), "abcde");
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_the_old_file() {
    let server = TestServer::furnished().await;
    let before = server.snapshot().await;
    for path in [AT, "/v1/projects/p/files/new"] {
        let mut connection = server.connect().await;
        connection.send(&Request::new("PUT", path).header("content-length", "10").body(b"abc")).await;
        drop(connection);
    }
    // The server has noticed once it says so to one that only stops sending.
    let mut connection = server.connect().await;
    connection.send(&Request::new("PUT", AT).header("content-length", "10").body(b"abc")).await;
    tokio::io::AsyncWriteExt::shutdown(&mut connection.stream).await.unwrap();
    connection.ended().await;
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn names_are_decoded_once() {
    let server = TestServer::furnished().await;
    let made = server.send("PUT", "/v1/projects/p/files/a%20b/%C3%BC%2541%3F.txt", &[], "x").await;
    assert_eq!(made.json()["path"], "a b/ü%41?.txt");
    assert_eq!(server.get("/v1/projects/p/files/a%20b/%c3%bc%2541%3f.txt").await.text(), "x");
}

#[tokio::test]
async fn a_folder_where_a_file_should_be() {
    let server = TestServer::furnished().await;
    server.send("PUT", "/v1/projects/p/files/dir/x", &[], "1").await;
    let before = server.snapshot().await;
    let detail = server.send("PUT", "/v1/projects/p/files/dir", &[], "1").await.refused(409, "path_conflict");
    assert!(detail.contains("dir"), "{detail}");
    server.send("PUT", "/v1/projects/p/files/a.txt/x", &[], "1").await.refused(409, "path_conflict");
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn files_can_be_limited() {
    let server = TestServer::with(folio_server::ServerConfig { max_file: Some(10), ..config() }).await;
    server.furnish().await;
    let before = server.snapshot().await;
    let detail = server.send("PUT", AT, &[], "01234567890").await.refused(413, "too_large");
    assert!(detail.contains("11 bytes") && detail.contains("10 bytes"), "{detail}");
    let chunked = Request::new("PUT", AT).header("transfer-encoding", "chunked").body(b"b\r\n01234567890\r\n0\r\n\r\n");
    server.call(chunked).await.refused(413, "too_large");
    assert_eq!(server.snapshot().await, before);
    assert_eq!(server.send("PUT", AT, &[], "9876543210").await.status, 200);
}
