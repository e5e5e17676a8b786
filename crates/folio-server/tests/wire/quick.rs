//! The quick way for appends answers as the HTTP stack does, and leaves to it what it doesn't understand.

use crate::client::Answer;
use crate::server::TestServer;

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
    let append = |n: u64| format!("POST {L} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 2\r\n\r\n{n:02}").replace("00", " 0");
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
