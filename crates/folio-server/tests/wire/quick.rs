//! The quick way for appends and files answers as the HTTP stack does, and leaves to it what it doesn't understand.

use std::sync::Arc;

use folio::fs::{FsDriver, FsOptions};
use tokio::io::AsyncWriteExt;

use crate::client::Answer;
use crate::server::{TestServer, config};

const HISTORY: &str = "/v1/projects/p/history";
const L: &str = "/v1/projects/p/logs/l";

/// A header that the quick way doesn't know, so that the stack answers.
const SLOWLY: (&str, &str) = ("x-slowly", "1");

/// What of an answer may not differ: all but its date and the numbers in it.
fn gist(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let level = |text: &str| text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect::<String>();
    let mut headers: Vec<_> = answer.headers.iter().filter(|(name, _)| name != "date").cloned().collect();
    headers.sort();
    // Numbers may have another number of digits.
    let body = level(answer.text()).replace("00", "0").replace("00", "0").replace("00", "0").replace("00", "0");
    headers.retain(|(name, _)| name != "content-length");
    (answer.status, headers, body)
}

/// Target, headers, body, and the status that comes.
type Case = (&'static str, Vec<(&'static str, &'static str)>, &'static str, u16);

#[tokio::test]
async fn both_ways_answer_the_same() {
    let server = TestServer::furnished().await;
    assert_eq!(server.send("POST", "/v1/projects/p/logs/ended?close=true", &[], "1").await.status, 200);
    let json = ("content-type", "application/json");
    let cases: Vec<Case> = vec![
        (HISTORY, vec![json], "{\"a\": 1}", 200),
        (HISTORY, vec![], " 7 ", 200),
        (HISTORY, vec![json], "[1,2,3]", 200),
        (HISTORY, vec![json], "[]", 200),
        (HISTORY, vec![("content-type", "application/x-ndjson")], "1\n\n2\n", 200),
        (L, vec![json], "null", 200),
        ("/v1/projects/p/logs/a/new/one", vec![json], "1", 200),
        (HISTORY, vec![json], "{\"a\":}", 400),
        (HISTORY, vec![json], "", 400),
        (HISTORY, vec![json], "[1", 400),
        ("/v1/projects/none/history", vec![json], "1", 404),
        ("/v1/projects/p/logs/ended", vec![json], "1", 409),
        ("/v1/projects/p/logs/.a", vec![json], "1", 200),
        ("/v1/projects/p/logs/.a", vec![json], "1", 200),
        ("/v1/projects/p/logs/", vec![json], "1", 404),
        (HISTORY, vec![("content-type", "text/plain")], "1", 415),
        (HISTORY, vec![("origin", "http://evil.example")], "1", 403),
        (HISTORY, vec![("if-match", "\"9\"")], "1", 412),
        (HISTORY, vec![("idempotency-key", "a b")], "1", 400),
    ];
    for (target, headers, body, status) in cases {
        let quickly = server.send("POST", target, &headers, body).await;
        let slowly = server.send("POST", target, &[headers.as_slice(), &[SLOWLY]].concat(), body).await;
        assert_eq!(quickly.status, status, "{target} {headers:?} {body}: {quickly:?}");
        assert_eq!(gist(&quickly), gist(&slowly), "{target} {headers:?} {body}");
    }
    for (body, status) in [("1", 200), ("1", 200), ("2", 422)] {
        let with = |key| [("idempotency-key", key)];
        let quickly = server.send("POST", L, &with("k1"), body).await;
        let slowly = server.send("POST", L, &[with("k2").as_slice(), &[SLOWLY]].concat(), body).await;
        assert_eq!(quickly.status, status);
        assert_eq!(gist(&quickly), gist(&slowly), "{body}");
    }
}

#[tokio::test]
async fn a_foreign_host_is_refused_on_both_ways() {
    let server = TestServer::furnished().await;
    for host in ["evil.example", "127.0.0.1.evil.example", ""] {
        let mut connection = server.connect().await;
        let text = format!("POST {HISTORY} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 1\r\n\r\n1");
        connection.send_bytes((text).as_bytes()).await;
        connection.answer().await.refused(403, "forbidden_host");
    }
}

#[tokio::test]
async fn requests_come_together_in_pieces_and_of_both_kinds() {
    let server = TestServer::furnished().await;
    let host = server.address;
    let append = |n: u64| format!("POST {L} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 2\r\n\r\n{n}");
    let get = format!("GET {L}?since=0 HTTP/1.1\r\nhost: {host}\r\n\r\n");
    // Several in one piece, then another call, then an append on the connection that the stack has now.
    let mut connection = server.connect().await;
    connection.send_bytes((append(11) + &append(12) + &append(13) + &get + &append(14)).as_bytes()).await;
    for seq in 2..=4 {
        assert_eq!(connection.answer().await.json()["last_seq"], seq);
    }
    assert_eq!(connection.answer().await.json()["entries"].as_array().unwrap().len(), 4);
    assert_eq!(connection.answer().await.json()["last_seq"], 5);
    // Cut in two at every place.
    let text = append(15);
    for cut in 1..text.len() {
        let mut connection = server.connect().await;
        connection.send_bytes(&text.as_bytes()[..cut]).await;
        tokio::task::yield_now().await;
        connection.send_bytes(&text.as_bytes()[cut..]).await;
        assert_eq!(connection.answer().await.json()["last_seq"], 5 + cut as u64, "{cut}");
    }
}

/// All of an answer but the time of its making, header by header in their order.
fn all_but_date(answer: &Answer) -> (u16, Vec<(String, String)>, &[u8]) {
    let mut headers = answer.headers.clone();
    for (_, value) in headers.iter_mut().filter(|(name, _)| name == "date") {
        assert!(value.ends_with(" GMT"), "{value}");
        value.clear();
    }
    (answer.status, headers, &answer.body)
}

/// Also to a client that has hung up one way only.
#[tokio::test]
async fn half_a_body_and_no_more_is_refused_on_both_ways() {
    let server = TestServer::furnished().await;
    for call in ["POST /v1/projects/p/history", "PUT /v1/projects/p/docs/d"] {
        for slowly in ["", "x-slowly: 1\r\n"] {
            let mut connection = server.connect().await;
            let text = format!("{call} HTTP/1.1\r\nhost: {}\r\n{slowly}content-length: 100\r\n\r\n[1,2", server.address);
            connection.send_bytes(text.as_bytes()).await;
            connection.stream.shutdown().await.unwrap();
            let detail = connection.answer().await.refused(400, "invalid");
            assert!(detail.contains("broke off"), "{call} {slowly}: {detail}");
        }
    }
    assert_eq!(server.get("/v1/projects/p/docs/d").await.json()["n"], 1);
}

#[tokio::test]
async fn documents_are_written_and_answered_byte_for_byte_as_by_the_stack() {
    let folder = tempfile::tempdir().unwrap();
    let driver = FsDriver::open(folder.path().join("root"), FsOptions { tasks: true, ..FsOptions::default() }).await.unwrap();
    for server in [TestServer::furnished().await, TestServer::over(Arc::new(driver), config()).await] {
        server.furnish().await;
        let tag = |value: &str| format!("\"{}\"", folio::Etag::of(format!("{value}\n").as_bytes()));
        let (one, other) = (tag("{\"n\":1}"), tag("{\"n\":2}"));
        let large = format!("\"{}\"", "x".repeat(20_000));
        let too_deep = "[".repeat(200) + &"]".repeat(200);
        let cases = vec![
            ("p/docs/new", vec![], "{\"n\": 1}", 201),
            ("p/docs/new-x_1", vec![("content-type", "application/json")], " [1, \"\u{fc}\"] ", 201),
            ("p/docs/new.x", vec![], "1", 400),
            ("p/docs/d", vec![], "{\"n\":1}", 200),
            ("p/docs/d", vec![("if-match", "*")], "{\"n\":1}", 200),
            ("p/docs/none", vec![("if-match", "*")], "1", 412),
            ("p/docs/d", vec![("if-match", &one)], "{\"n\":1}", 200),
            ("p/docs/d", vec![("if-match", &other)], "{\"n\":1}", 412),
            ("p/docs/none", vec![("if-match", &other)], "1", 412),
            ("p/docs/d", vec![("if-none-match", "*")], "{\"n\":1}", 412),
            ("p/docs/d", vec![("if-none-match", &one)], "{\"n\":1}", 400),
            ("p/docs/d", vec![("if-match", &one), ("if-none-match", "*")], "1", 400),
            ("p/docs/d", vec![("if-match", "a")], "1", 400),
            ("p/docs/d", vec![("content-type", "text/plain")], "1", 415),
            ("p/docs/d", vec![("origin", "http://evil.example")], "1", 403),
            ("p/docs/d", vec![("host", "evil.example")], "1", 403),
            ("p/docs/d", vec![], "", 400),
            ("p/docs/d", vec![], "{\"n\":}", 400),
            ("p/docs/d", vec![], "\u{feff}1", 400),
            ("p/docs/d", vec![], &too_deep, 400),
            ("p/docs/large", vec![], &large, 201),
            ("p/docs/.hidden", vec![], "1", 400),
            ("p/docs/", vec![], "1", 404),
            ("p/docs/a/b", vec![], "1", 404),
            ("none/docs/d", vec![], "1", 404),
            ("-/docs/d", vec![], "1", 404),
        ];
        for (path, headers, body, status) in cases {
            let target = format!("/v1/projects/{path}");
            let quickly = server.send("PUT", &target, &headers, body).await;
            let stored = server.get(&target).await;
            if quickly.status == 201 {
                server.send("DELETE", &target, &[], "").await;
            }
            let slowly = server.send("PUT", &target, &[headers.as_slice(), &[SLOWLY]].concat(), body).await;
            assert_eq!(quickly.status, status, "{path} {headers:?} {quickly:?}");
            assert_eq!(all_but_date(&quickly), all_but_date(&slowly), "{path} {headers:?}");
            let again = server.get(&target).await;
            assert_eq!(all_but_date(&stored), all_but_date(&again), "{path} {headers:?}");
            if status < 300 {
                assert_eq!(quickly.header("etag"), stored.header("etag"));
                server.send("DELETE", &format!("/v1/projects/{path}"), &[], "").await;
                server.send("PUT", "/v1/projects/p/docs/d", &[], "{\"n\":1}").await;
            }
        }
        // In turn with the others, all on one connection, in pieces of any size.
        let text: String = (0..40)
            .map(|n| {
                let put =
                    format!("PUT /v1/projects/p/docs/t HTTP/1.1\r\nhost: {}\r\ncontent-length: 2\r\n\r\n{n:02}", server.address);
                let put = put.replace("\r\n\r\n0", "\r\n\r\n ");
                let append = format!("POST {L} HTTP/1.1\r\nhost: {}\r\ncontent-length: 1\r\n\r\n1", server.address);
                let get = format!("GET /v1/projects/p/files/a.txt HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
                put + &append + &get
            })
            .collect();
        let mut connection = server.connect().await;
        for piece in text.as_bytes().chunks(37) {
            connection.send_bytes(piece).await;
        }
        for n in 0..40 {
            assert_eq!(connection.answer().await.json()["etag"], folio::Etag::of(format!("{n}\n").as_bytes()).to_string());
            assert_eq!(connection.answer().await.status, 200);
            assert_eq!(connection.answer().await.text(), "0123456789");
        }
    }
}

#[tokio::test]
async fn files_are_answered_byte_for_byte_as_by_the_stack() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let driver = FsDriver::open(&root, FsOptions { tasks: true, ..FsOptions::default() }).await.unwrap();
    for server in [TestServer::furnished().await, TestServer::over(Arc::new(driver), config()).await] {
        server.furnish().await;
        for (path, size) in [("empty.css", 0), ("dir/small.html", 4_096), ("seam.bin", 16 << 10), ("over.js", (16 << 10) + 1)] {
            put(&server, path, size).await;
        }
        put(&server, "mib.png", 1 << 20).await;
        put(&server, "large", 3_000_000).await;
        for (path, status) in [
            ("p/files/a.txt", 200),
            ("p/files/empty.css", 200),
            ("p/files/dir/small.html", 200),
            ("p/files/seam.bin", 200),
            ("p/files/over.js", 200),
            ("p/files/mib.png", 200),
            ("p/files/large", 200),
            ("p/files/none", 404),
            ("none/files/a.txt", 404),
            ("p/files/dir", 404),
            ("p/files/a.txt/b", 404),
            ("p/files/", 404),
            ("p/files/dir/", 400),
            ("p/files/dir//small.html", 400),
            ("p/files/dir/../a.txt", 400),
            ("p/files/.meta/d.json", 400),
            ("./files/a.txt", 400),
            ("../files/a.txt", 400),
        ] {
            let at = format!("/v1/projects/{path}");
            let (quickly, slowly) = (server.get(&at).await, server.send("GET", &at, &[SLOWLY], "").await);
            assert_eq!(quickly.status, status, "{path}: {quickly:?}");
            assert!(all_but_date(&quickly) == all_but_date(&slowly), "{path}: {quickly:?} {slowly:?}");
        }
        for (headers, status) in [
            (("host", "evil.example"), 403),
            (("host", ""), 403),
            (("host", "-"), 400),
            (("host", "LOCALHOST"), 200),
            (("origin", "http://evil.example"), 403),
            (("sec-fetch-site", "cross-site"), 403),
        ] {
            let at = "/v1/projects/p/files/a.txt";
            let quickly = server.send("GET", at, &[headers], "").await;
            let slowly = server.send("GET", at, &[headers, SLOWLY], "").await;
            assert_eq!(quickly.status, status, "{headers:?}: {quickly:?}");
            assert!(all_but_date(&quickly) == all_but_date(&slowly), "{headers:?}: {quickly:?} {slowly:?}");
        }
    }
}

async fn put(server: &TestServer, path: &str, size: u32) {
    let bytes: Vec<u8> = (0..size).map(|i| ((i * 31) >> 3) as u8).collect();
    let made = server.send("PUT", &format!("/v1/projects/p/files/{path}"), &[], bytes).await;
    assert!(made.status < 300, "{made:?}");
}

#[tokio::test]
async fn files_come_in_turn_with_appends_and_are_read_anew_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let driver = FsDriver::open(&root, FsOptions { tasks: true, ..FsOptions::default() }).await.unwrap();
    let server = TestServer::over(Arc::new(driver), config()).await;
    server.furnish().await;
    let (host, at) = (server.address, root.join("p/a.txt"));
    let get = format!("GET /v1/projects/p/files/a.txt HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let append = format!("POST {L} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 1\r\n\r\n1");
    let mut connection = server.connect().await;
    connection.send_bytes((get.clone() + &append + &get).as_bytes()).await;
    assert_eq!(connection.answer().await.text(), "0123456789");
    assert_eq!(connection.answer().await.json()["last_seq"], 2);
    assert_eq!(connection.answer().await.text(), "0123456789");
    // Other programs write too: in place with the same length, to other lengths, and by another file in its place.
    for (n, text) in ["9876543210", "98", "", "abcdefghij"].into_iter().enumerate() {
        if n < 3 {
            std::fs::write(&at, text).unwrap();
        } else {
            std::fs::write(root.join("new"), text).unwrap();
            std::fs::rename(root.join("new"), &at).unwrap();
        }
        connection.send_bytes(get.as_bytes()).await;
        let answer = connection.answer().await;
        let tag = format!("\"{}\"", folio::Etag::of(text.as_bytes()));
        assert_eq!((answer.text(), answer.header("etag")), (text, Some(&*tag)));
    }
    std::fs::remove_file(&at).unwrap();
    connection.send_bytes(get.as_bytes()).await;
    connection.answer().await.refused(404, "not_found");
}
