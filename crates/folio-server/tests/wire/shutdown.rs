//! The end of the server: nothing acknowledged is lost, nobody waits for ever.

use crate::client::{Connection, Request, within};
use crate::event_source::Stream;
use crate::server::{TestServer, config};
use folio::{LogName, ProjectId, ReadOptions};
use folio_server::ServerConfig;
use std::time::Duration;

#[tokio::test]
async fn event_streams_end_cleanly() {
    let mut server = TestServer::furnished().await;
    let mut streams = Vec::new();
    for target in ["/v1/projects/p/history", "/v1/projects/p/history?since=0", "/v1/projects/p/changes", "/v1/shared/changes"] {
        let mut stream = Stream::open(&server, target, &[]).await;
        assert!(stream.next().await.is_some());
        streams.push(stream);
    }
    server.stop();
    for mut stream in streams {
        // Up to the last chunk, so that a client knows it was no accident.
        stream.rest().await;
    }
    server.stopped().await;
}

#[tokio::test]
async fn a_running_request_finishes_and_others_are_not_accepted() {
    let mut server = TestServer::furnished().await;
    let mut running = server.connect().await;
    running.send(&Request::new("PUT", "/v1/projects/p/docs/d").header("content-length", "4").body(b"12")).await;
    let mut idle = server.connect().await;
    idle.send(&Request::new("GET", "/healthz")).await;
    assert_eq!(idle.answer().await.status, 200);
    // What is sent after this is read after what was sent before it: the first half of the body has arrived.
    let mut watch = Stream::open(&server, "/v1/projects/p/history", &[]).await;
    assert!(watch.next().await.is_some());
    server.stop();
    assert!(idle.ended().await, "an idle connection is closed at once");
    assert!(watch.next().await.is_none());
    running.send_bytes(b"34").await;
    let answer = running.answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    server.stopped().await;
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err());
    let docs = server.driver.project(&ProjectId::new("p").unwrap()).docs();
    assert_eq!(docs.get(&folio::DocKey::new("d").unwrap()).await.unwrap().unwrap().value.as_str(), "1234");
}

/// A whole log leaves the HTTP stack for its answer, also when the end began before it could.
#[tokio::test]
async fn a_whole_log_that_was_asked_for_before_the_end_is_sent() {
    // Room for one such answer at a time.
    let limits = folio::Limits { body: 4 << 20, ..folio::Limits::default() };
    let config = ServerConfig { limits, memory: 16 << 20, drain_timeout: Duration::from_secs(60), ..config() };
    let mut server = TestServer::with(config).await;
    server.furnish().await;
    let value = format!("\"{}\"", "x".repeat(900_000));
    for _ in 0..40 {
        assert_eq!(server.send("POST", "/v1/projects/p/logs/long", &[], &value).await.status, 200);
    }
    let request = Request::new("GET", "/v1/projects/p/logs/long?limit=all").header("accept", "application/x-ndjson");
    let mut holder = server.connect().await;
    holder.send(&request).await;
    assert_eq!(holder.head().await.status, 200);
    let mut waiting = server.connect().await;
    waiting.send(&request).await;
    let mut watch = Stream::open(&server, "/v1/projects/p/history", &[]).await;
    assert!(watch.next().await.is_some());
    server.stop();
    assert!(watch.next().await.is_none());
    drop(holder);
    let answer = waiting.answer().await;
    assert_eq!((answer.status, answer.text().lines().count()), (200, 40), "{:?}", answer.headers);
    assert!(waiting.ended().await);
    server.stopped().await;
}

/// Of requests that are on their way together, the one that has begun is the last.
#[tokio::test]
async fn requests_that_come_without_end_do_not_hold_up_the_end() {
    let mut server = TestServer::furnished().await;
    for (method, target) in [("POST", "/v1/projects/p/logs/l"), ("PUT", "/v1/projects/p/docs/d")] {
        let mut server = TestServer::furnished().await;
        let text = format!("{method} {target} HTTP/1.1\r\nhost: {}\r\ncontent-length: 2\r\n\r\n12", server.address);
        let mut connection = server.connect().await;
        connection.send_bytes(&text.as_bytes()[..text.len() - 1]).await;
        // What is sent after this is read after what was sent before it.
        let mut watch = Stream::open(&server, "/v1/projects/p/history", &[]).await;
        assert!(watch.next().await.is_some());
        server.stop();
        assert!(watch.next().await.is_none());
        connection.send_bytes(b"2").await;
        connection.send_bytes(text.repeat(50).as_bytes()).await;
        let answer = connection.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{answer:?}");
        let mut more = 0;
        while connection.answer_begins().await {
            more += usize::from(connection.answer().await.status == 200);
        }
        assert_eq!(more, 0);
        server.stopped().await;
    }
    server.stop();
    server.stopped().await;
}

#[tokio::test]
async fn a_request_that_never_finishes_does_not_hold_up_the_end() {
    let mut server = TestServer::with(ServerConfig { drain_timeout: Duration::from_millis(100), ..config() }).await;
    server.furnish().await;
    let mut stuck = server.connect().await;
    stuck.send(&Request::new("PUT", "/v1/projects/p/docs/d").header("content-length", "4").body(b"12")).await;
    let mut watch = Stream::open(&server, "/v1/projects/p/history", &[]).await;
    assert!(watch.next().await.is_some());
    server.stop();
    server.stopped().await;
    assert!(stuck.ended().await);
}

/// Appends until the server is gone; returns what it acknowledged.
async fn append_until_the_end(address: std::net::SocketAddr, name: usize) -> Vec<(u64, String)> {
    let mut acknowledged = Vec::new();
    let mut connection = Connection::open(address).await;
    for n in 0.. {
        let value = format!("{}", name * 1_000_000 + n);
        connection.send(&Request::new("POST", "/v1/projects/p/logs/storm").body(value.as_bytes())).await;
        if !connection.answer_begins().await {
            break;
        }
        let answer = connection.answer().await;
        assert_eq!(answer.status, 200);
        acknowledged.push((answer.json()["last_seq"].as_u64().unwrap(), value));
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_acknowledged_is_there() {
    let mut server = TestServer::furnished().await;
    let writers: Vec<_> = (0..4).map(|name| tokio::spawn(append_until_the_end(server.address, name))).collect();
    let mut watch = Stream::open(&server, "/v1/projects/p/logs/storm?since=0", &[]).await;
    while watch.next().await.unwrap().last_event_id.split_once('-').unwrap().1.parse::<u64>().unwrap() < 50 {}
    server.stop();
    server.stopped().await;
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(within("the writer notices", writer).await.unwrap());
    }
    assert!(acknowledged.len() >= 40);
    let log = server.driver.project(&ProjectId::new("p").unwrap()).log(&LogName::new("storm").unwrap());
    let page = log.read(ReadOptions { limit: 10_000, ..Default::default() }).await.unwrap();
    for (seq, value) in acknowledged {
        let entry = &page.entries[usize::try_from(seq).unwrap() - 1];
        let folio::Data::Json(stored) = &entry.data else { panic!("{entry:?}") };
        assert_eq!((entry.seq, stored.as_str()), (seq, value.as_str()));
    }
}
