//! Subscriptions over connections that break anywhere.

use std::time::Duration;

use crate::scripted::{End, Play, Scripted, quick};
use folio::{
    AppendLog, Change, Data, DocKey, Driver, Entry, Error, Etag, FilePath, Gap, GapReason, Json, LogEvent, LogStream, Position,
    ProjectExt, ProjectId, Start, Target,
};
use folio_client::ClientOptions;
use futures_util::StreamExt;

const NO_PROJECT: &str = r#"{"code":"no_project","id":"p"}"#;

fn history(server: &Scripted, options: ClientOptions) -> std::sync::Arc<dyn AppendLog> {
    server.driver_with(options).project(&ProjectId::new("p").unwrap()).history()
}

async fn follow(server: &Scripted, start: &str) -> LogStream {
    history(server, quick()).subscribe(Start::After(start.parse().unwrap())).await.unwrap()
}

/// The head of an answer that is an event stream and ends with its connection.
const HEAD: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\n";

fn stream_of(frames: &str, end: End) -> Play {
    Play::raw(format!("{HEAD}{frames}"), end)
}

/// The same in chunks of HTTP, so that a break can be told from an end.
fn chunked(frames: &str, end: End) -> Play {
    let head = HEAD.replace("connection: close", "transfer-encoding: chunked");
    let chunks: String = frames
        .as_bytes()
        .chunks(50)
        .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk)))
        .collect();
    Play::raw(format!("{head}{chunks}0\r\n\r\n"), end)
}

fn entry_frame(id: &str) -> String {
    let seq = id.split_once('-').unwrap().1;
    format!("id: {id}\ndata: {{\"seq\":{seq},\"ts\":5,\"data\":{{\"n\":{seq}}}}}\n\n")
}

fn caught_up(id: &str) -> String {
    format!("event: caught-up\nid: {id}\ndata: {{\"head\":\"{id}\"}}\n\n")
}

fn closed(id: &str) -> String {
    format!("event: closed\nid: {id}-end\ndata: {{\"head\":\"{id}\"}}\n\n")
}

fn at(text: &str) -> Position {
    text.parse().unwrap()
}

fn entry(id: &str) -> LogEvent {
    let position = at(id);
    let data = Data::Json(Json::parse(format!("{{\"n\":{}}}", position.seq).as_bytes()).unwrap());
    LogEvent::Entry { entry: Entry { seq: position.seq, ts: 5, data }, position }
}

fn last_event_id(request: &str) -> Option<&str> {
    request.lines().find_map(|line| line.strip_prefix("last-event-id: "))
}

async fn all(stream: LogStream) -> Vec<Result<LogEvent, Error>> {
    stream.collect().await
}

/// What a daemon sends from a cursor into a log with entries 3 to 6, of two lives, that has ended.
fn frames_after(cursor: &str) -> String {
    let mut frames = "retry: 0\n\n: keep-alive\n\n".to_owned();
    let mut seq: u64 = cursor.split_once('-').map_or(cursor, |(_, seq)| seq).parse().unwrap();
    if seq < 2 {
        let lost = 2 - seq;
        frames += &format!(
            "event: gap\nid: 7-2\ndata: {{\"reason\":\"truncated\",\"requested\":\"{cursor}\",\"lost\":{lost},\"resumes_after\":2}}\n\n"
        );
        seq = 2;
    }
    for id in ["7-3", "7-4", "8-5", "8-6"].into_iter().filter(|id| at(id).seq > seq) {
        frames += &entry_frame(id);
        if id == "7-4" {
            frames += "event: news\ndata: nothing that is known\n\n";
        }
    }
    frames + &caught_up("8-6") + &closed("8-6")
}

#[tokio::test]
async fn a_stream_that_breaks_at_any_byte_goes_on_without_a_gap_or_a_duplicate() {
    let gap = Gap { reason: GapReason::Truncated, requested: "0-0".parse().unwrap(), lost: Some(2), resumes_after: at("7-2") };
    let head = at("8-6");
    let expected = [
        LogEvent::Gap(gap),
        entry("7-3"),
        entry("7-4"),
        entry("8-5"),
        entry("8-6"),
        LogEvent::CaughtUp { head },
        LogEvent::Closed { head },
    ];
    let expected: Vec<_> = expected.into_iter().map(Ok).collect();
    let length = frames_after("0-0").len();
    for (end, whole) in [(End::Close, stream_of as fn(&str, End) -> Play), (End::Reset, stream_of), (End::Close, chunked)] {
        for cut in (0..length).rev() {
            let server = Scripted::start(move |count, request| {
                let play = whole(&frames_after(last_event_id(request).unwrap()), end);
                if count == 0 { play.short(cut, end) } else { play }
            });
            let server = server.await;
            assert_eq!(all(follow(&server, "0-0").await).await, expected, "without the last {cut} bytes, {end:?}");
        }
    }
}

#[tokio::test]
async fn a_closed_log_is_not_asked_again() {
    let server = Scripted::of(vec![stream_of(&frames_after("8-6"), End::Hold)]).await;
    let head = at("8-6");
    let mut stream = follow(&server, "8-6").await;
    assert_eq!(stream.next().await, Some(Ok(LogEvent::CaughtUp { head })));
    assert_eq!(stream.next().await, Some(Ok(LogEvent::Closed { head })));
    assert_eq!(stream.next().await, None);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn from_now_stands_when_subscribe_returns_and_resumes_from_there() {
    let server = Scripted::of(vec![
        // Shed: the daemon has no room. Then a break before it is live.
        stream_of("retry: 1\n\n", End::Close),
        Play::raw("", End::Reset),
        stream_of(&caught_up("7-3"), End::Reset),
        stream_of(&(entry_frame("7-4") + &caught_up("7-4")), End::Close),
        stream_of(&(entry_frame("7-5") + &closed("7-5")), End::Close),
    ]);
    let server = server.await;
    let stream = history(&server, quick()).subscribe(Start::Now).await.unwrap();
    assert_eq!(server.requests().len(), 3, "it stands already");
    let events: Vec<_> = all(stream).await.into_iter().map(Result::unwrap).collect();
    let told = [LogEvent::CaughtUp { head: at("7-3") }, entry("7-4"), entry("7-5"), LogEvent::Closed { head: at("7-5") }];
    assert_eq!(events, told);
    let requests = server.requests();
    let asked: Vec<_> = requests.iter().map(|request| last_event_id(request)).collect();
    assert_eq!(asked, [None, None, None, Some("7-3"), Some("7-4")]);
    assert!(
        requests[0].contains("GET /v1/projects/p/logs/history HTTP/1.1") && requests[0].contains("accept: text/event-stream")
    );
}

#[tokio::test]
async fn a_subscription_from_now_that_never_stands_says_so() {
    let server = Scripted::start(|_, _| stream_of(": no room\n\nretry: 1\n\n", End::Close)).await;
    let options = ClientOptions { deadline: Duration::from_millis(50), ..quick() };
    let error = history(&server, options).subscribe(Start::Now).await.err().unwrap();
    assert!(
        error.code() == "retry" && error.to_string().contains("the daemon ended the stream and said last: no room"),
        "{error}"
    );
}

#[tokio::test]
async fn a_deleted_log_begins_again_over_a_new_connection() {
    let deleted = "event: deleted\ndata: {}\n\n";
    let server = Scripted::of(vec![
        stream_of(&(entry_frame("7-4") + deleted), End::Reset),
        stream_of(&(caught_up("0-0") + &entry_frame("9-1")), End::Reset),
        stream_of(&(deleted.to_owned() + &entry_frame("10-1") + &closed("10-1")), End::Close),
    ]);
    let server = server.await;
    let events: Vec<_> = all(follow(&server, "7-3").await).await.into_iter().map(Result::unwrap).collect();
    let expected = [
        entry("7-4"),
        LogEvent::Deleted,
        LogEvent::CaughtUp { head: Position::START },
        entry("9-1"),
        LogEvent::Deleted,
        entry("10-1"),
        LogEvent::Closed { head: at("10-1") },
    ];
    assert_eq!(events, expected);
    let requests = server.requests();
    let asked: Vec<_> = requests.iter().map(|request| last_event_id(request)).collect();
    assert_eq!(asked, [Some("7-3"), Some("0-0"), Some("9-1")]);
}

#[tokio::test]
async fn a_project_that_is_gone_ends_its_subscriptions() {
    let gone = || Play::problem("404 Not Found", "", NO_PROJECT);
    let server = Scripted::of(vec![stream_of(&entry_frame("7-4"), End::Reset), gone()]).await;
    let events = all(follow(&server, "7-3").await).await;
    assert_eq!(events, [Ok(entry("7-4")), Err(Error::NoProject { id: "p".into() })]);

    let server = Scripted::of(vec![gone(), gone(), gone()]).await;
    for start in [Start::Now, Start::After("0".parse().unwrap())] {
        let error = history(&server, quick()).subscribe(start).await.err().unwrap();
        assert_eq!(error, Error::NoProject { id: "p".into() });
    }
}

#[tokio::test]
async fn a_daemon_that_restarts_is_waited_for() {
    let server = Scripted::of(vec![
        stream_of(&entry_frame("7-4"), End::Reset),
        Play::raw("", End::Close),
        Play::answer("503 Service Unavailable", "", "<html>starting"),
        Play::problem("503 Service Unavailable", "retry-after: 0\r\n", r#"{"code":"retry","what":"busy"}"#),
        Play::raw("HTTP/1.1 200 OK\r\ncontent-", End::Close),
        stream_of(&(entry_frame("7-5") + &closed("7-5")), End::Close),
    ]);
    let server = server.await;
    let events = all(follow(&server, "7-3").await).await;
    assert_eq!(events, [Ok(entry("7-4")), Ok(entry("7-5")), Ok(LogEvent::Closed { head: at("7-5") })]);
    assert!(server.requests()[2..].iter().all(|request| last_event_id(request) == Some("7-4")));
}

#[tokio::test]
async fn a_silent_stream_counts_as_lost() {
    let server = Scripted::start(|_, request| match last_event_id(request) {
        Some("7-3") => stream_of(&entry_frame("7-4"), End::Hold),
        _ => stream_of(&(entry_frame("7-5") + &closed("7-5")), End::Hold),
    });
    let server = server.await;
    let options = ClientOptions { stream_idle: Duration::from_millis(30), ..quick() };
    let stream = history(&server, options).subscribe(Start::After("7-3".parse().unwrap())).await.unwrap();
    let events = all(stream).await;
    assert_eq!(events, [Ok(entry("7-4")), Ok(entry("7-5")), Ok(LogEvent::Closed { head: at("7-5") })]);
}

#[tokio::test]
async fn giving_up_is_an_error_that_says_why() {
    let server = Scripted::start(|count, _| match count {
        0 => stream_of(&entry_frame("7-4"), End::Reset),
        _ => Play::answer("502 Bad Gateway", "", ""),
    });
    let server = server.await;
    let options = ClientOptions { give_up_after: Some(Duration::from_millis(50)), ..quick() };
    let stream = history(&server, options).subscribe(Start::After("7-3".parse().unwrap())).await.unwrap();
    let mut events = all(stream).await.into_iter();
    assert_eq!(events.next(), Some(Ok(entry("7-4"))));
    let message = events.next().unwrap().unwrap_err().to_string();
    assert!(message.contains(&server.url) && message.contains("502"), "{message}");
    assert_eq!(events.next(), None);
}

#[tokio::test]
async fn what_makes_no_sense_is_an_error_and_the_end() {
    let long = format!("data: {}\n\n", "x".repeat(200));
    for (frames, told) in [
        (entry_frame("7-5"), "where 4 was due"),
        (entry_frame("7-3"), "where 4 was due"),
        ("data: {}\n\n".into(), "missing field"),
        (caught_up("7-4"), "only 7-3 was reached"),
        (closed("7-4"), "only 7-3 was reached"),
        ("event: gap\nid: 7-9\ndata: {\"reason\":\"new\",\"requested\":\"3\",\"resumes_after\":9}\n\n".into(), "unknown reason"),
        (long, "max_event"),
    ] {
        let server = Scripted::of(vec![stream_of(&frames, End::Close)]).await;
        let options = ClientOptions { max_event: 100, ..quick() };
        let stream = history(&server, options).subscribe(Start::After("7-3".parse().unwrap())).await.unwrap();
        let events = all(stream).await;
        let [Err(error)] = events.as_slice() else { panic!("{frames:?}: {events:?}") };
        let message = error.to_string();
        assert!(error.code() == "transport" && message.contains(&server.url) && message.contains(told), "{message}");
    }
}

#[tokio::test]
async fn changes_are_ready_once_and_then_rescan() {
    let tag = Etag::of(b"x");
    let put = format!("event: put\ndata: {{\"doc\":\"k\",\"etag\":\"{tag}\"}}\n\n");
    let server = Scripted::of(vec![
        stream_of("retry: 0\n\n", End::Close),
        stream_of(&format!(": hello\n\nevent: ready\ndata: {{}}\n\n{put}event: new\ndata: 1\n\n"), End::Reset),
        stream_of("event: ready\ndata: {}\n\nevent: delete\ndata: {\"file\":\"a/b\"}\n\nevent: rescan\ndata: {}\n\n", End::Close),
        Play::problem("404 Not Found", "", NO_PROJECT),
    ]);
    let server = server.await;
    let stream = server.driver().project(&ProjectId::new("p").unwrap()).docs().subscribe().await.unwrap();
    assert_eq!(server.requests().len(), 2, "it stands already");
    let changes: Vec<_> = stream.map(Result::unwrap).collect().await;
    let expected = [
        Change::Ready,
        Change::Put { target: Target::Doc(DocKey::new("k").unwrap()), etag: Some(tag) },
        Change::Rescan,
        Change::Delete { target: Target::File(FilePath::new("a/b").unwrap()) },
        Change::Rescan,
    ];
    assert_eq!(changes, expected);
    assert!(server.requests()[0].starts_with("GET /v1/projects/p/changes?only=docs HTTP/1.1"));
    assert!(server.requests().iter().all(|request| last_event_id(request).is_none()));
}
