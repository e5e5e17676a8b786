//! Calls whose connections break, and answers that are none.

use std::time::Duration;

use crate::scripted::{End, Play, Scripted, quick};
use bytes::Bytes;
use folio::{
    AppendLog, AppendOptions, AppendOutcome, BlobStore, BlobStoreExt, Data, DeleteOutcome, DocKey, Driver, Error, Etag, FilePath,
    FileRange, FileReadOptions, Json, JsonKv, LogName, Position, ProjectExt, ProjectId, ReadOptions, WriteCondition,
    WriteOutcome,
};
use folio_client::ClientOptions;
use futures_util::{StreamExt, stream};

fn project() -> ProjectId {
    ProjectId::new("p").unwrap()
}

fn key() -> DocKey {
    DocKey::new("k").unwrap()
}

fn docs(server: &Scripted) -> std::sync::Arc<dyn JsonKv> {
    server.driver().project(&project()).docs()
}

fn files(server: &Scripted) -> std::sync::Arc<dyn BlobStore> {
    server.driver().project(&project()).files()
}

fn history(server: &Scripted) -> std::sync::Arc<dyn AppendLog> {
    server.driver().project(&project()).history()
}

fn path() -> FilePath {
    FilePath::new("a b/ü.txt").unwrap()
}

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

fn document() -> Play {
    Play::answer("200 OK", &format!("content-type: application/json\r\netag: \"{}\"\r\n", Etag::of(b"1")), "{\"a\":1}")
}

fn written() -> Play {
    Play::json("201 Created", &format!("{{\"key\":\"k\",\"etag\":\"{}\"}}", Etag::of(b"1")))
}

fn appended() -> Play {
    Play::json("200 OK", r#"{"first_seq":1,"last_seq":2,"cursor":"7-2"}"#)
}

fn broken() -> Play {
    Play::raw("", End::Reset)
}

fn two() -> Vec<Data> {
    vec![Data::Json(json("{\"a\": 1}")), Data::Bytes(Bytes::from_static(&[0, 255]))]
}

#[tokio::test]
async fn an_answer_that_breaks_at_any_byte_is_fetched_again() {
    let whole =
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 7\r\netag: \"{}\"\r\n\r\n{{\"a\":1}}", Etag::of(b"1"));
    for end in [End::Close, End::Reset] {
        for cut in 0..whole.len() {
            let broken = Play::raw(whole.as_bytes(), end).cut(cut, end);
            let server = Scripted::of(vec![broken, document()]).await;
            let got = docs(&server).get(&key()).await.unwrap().unwrap();
            assert_eq!(got.value, json("{\"a\":1}"), "cut at {cut}, {end:?}");
            assert_eq!(server.requests().len(), 2, "cut at {cut}, {end:?}");
        }
    }
}

#[tokio::test]
async fn a_plain_write_is_repeated_with_the_same_body() {
    let server = Scripted::of(vec![broken(), broken(), written()]).await;
    let outcome = docs(&server).put(&key(), json("{\"a\":1}"), WriteCondition::None).await.unwrap();
    assert_eq!(outcome, WriteOutcome::Written { etag: Etag::of(b"1"), created: true });
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests[0].starts_with("PUT /v1/projects/p/docs/k HTTP/1.1\r\n") && requests[0].ends_with("\r\n\r\n{\"a\":1}"));
    assert!(requests.iter().all(|request| *request == requests[0]), "{requests:?}");

    let server = Scripted::of(vec![broken(), Play::answer("204 No Content", "folio-existed: false\r\n", "")]).await;
    let outcome = docs(&server).delete(&key(), WriteCondition::None).await.unwrap();
    assert_eq!(outcome, DeleteOutcome::Deleted(false));
}

#[tokio::test]
async fn a_conditional_write_is_never_repeated_once_it_may_have_arrived() {
    let tag = Etag::of(b"0");
    for (condition, header) in [
        (WriteCondition::Match(tag), format!("if-match: \"{tag}\"")),
        (WriteCondition::Exists, "if-match: *".into()),
        (WriteCondition::Absent, "if-none-match: *".into()),
    ] {
        let server = Scripted::of(vec![broken()]).await;
        let error = docs(&server).put(&key(), json("1"), condition).await.unwrap_err();
        assert_eq!(error.code(), "transport");
        let message = error.to_string();
        assert!(message.contains(&server.url) && message.contains("may have been done"), "{message}");
        assert!(server.requests()[0].contains(&header), "{:?}", server.requests());

        let server = Scripted::of(vec![broken()]).await;
        assert!(docs(&server).delete(&key(), condition).await.is_err());
        let server = Scripted::of(vec![broken()]).await;
        assert!(files(&server).write_bytes(&path(), "x", condition).await.is_err());
    }
    for (log, call) in [("truncate", 0), ("patch", 1), ("fork of a project", 2), ("fork of a log", 3)] {
        let server = Scripted::of(vec![broken()]).await;
        let failed = match call {
            0 => history(&server).truncate(1).await.is_err(),
            1 => docs(&server).patch(&key(), json("{}"), WriteCondition::None).await.is_err(),
            2 => server.driver().fork_project(&project(), &ProjectId::new("q").unwrap()).await.is_err(),
            _ => history(&server).fork(1, &LogName::new("f").unwrap()).await.is_err(),
        };
        assert!(failed && server.requests().len() == 1, "{log}");
    }
}

#[tokio::test]
async fn appends_are_repeated_only_with_a_key() {
    let server = Scripted::of(vec![broken()]).await;
    let error = history(&server).append(two(), AppendOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("idempotency key"), "{error}");
    assert_eq!(server.requests().len(), 1);

    let server = Scripted::of(vec![broken(), appended()]).await;
    let options = AppendOptions { idempotency_key: Some("k/1".into()), expected_head: Some("6-0".parse().unwrap()), close: true };
    let AppendOutcome::Appended(appended) = history(&server).append(two(), options).await.unwrap() else { panic!() };
    assert_eq!((appended.first, appended.last, appended.cursor), (1, 2, Position { epoch: 7, seq: 2 }));
    let requests = server.requests();
    assert_eq!(requests[0], requests[1]);
    for part in [
        "POST /v1/projects/p/logs/history?close=true HTTP/1.1\r\n",
        "\r\nif-match: \"6-0\"\r\n",
        "\r\nidempotency-key: k/1\r\n",
        "\r\ncontent-type: application/vnd.folio.entries+json\r\n",
        "\r\n\r\n[{\"data\":{\"a\":1}},{\"b64\":\"AP8=\"}]",
    ] {
        assert!(requests[0].contains(part), "{part} in {}", requests[0]);
    }
}

#[tokio::test]
async fn a_request_to_try_again_is_followed_also_for_conditional_writes() {
    let retry = || Play::problem("503 Service Unavailable", "retry-after: 0\r\n", r#"{"code":"retry","what":"settling"}"#);
    let server = Scripted::of(vec![retry(), retry(), written()]).await;
    let outcome = docs(&server).put(&key(), json("1"), WriteCondition::Absent).await.unwrap();
    assert!(matches!(outcome, WriteOutcome::Written { created: true, .. }));
    assert_eq!(server.requests().len(), 3);

    let server = Scripted::of(vec![retry(), retry(), retry(), retry()]).await;
    let error = docs(&server).get(&key()).await.unwrap_err();
    assert_eq!(error, Error::Retry { what: "settling".into() }, "the number of tries is bounded");
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn failures_that_need_a_decision_are_not_repeated() {
    let unknown = r#"{"code":"outcome_unknown","what":"the log","why":"EIO"}"#;
    let server = Scripted::of(vec![Play::problem("503 Service Unavailable", "retry-after: 0\r\n", unknown)]).await;
    let options = AppendOptions { idempotency_key: Some("k".into()), ..Default::default() };
    let error = history(&server).append(two(), options).await.unwrap_err();
    assert_eq!(error, Error::OutcomeUnknown { what: "the log".into(), why: "EIO".into() });
}

#[tokio::test]
async fn outcomes_that_are_no_errors() {
    let tag = Etag::of(b"x");
    let unmet = format!(r#"{{"code":"precondition_failed","detail":"x","current_etag":"{tag}"}}"#);
    let server = Scripted::start(move |_, _| Play::problem("412 Precondition Failed", "", &unmet)).await;
    let current = Some(tag);
    let put = docs(&server).put(&key(), json("1"), WriteCondition::Absent).await.unwrap();
    assert_eq!(put, WriteOutcome::Precondition { current });
    let delete = files(&server).delete(&path(), WriteCondition::Match(Etag::of(b""))).await.unwrap();
    assert_eq!(delete, DeleteOutcome::Precondition { current });

    let body = r#"{"code":"precondition_failed","head":"7-9"}"#;
    let server = Scripted::start(move |_, _| Play::problem("412 Precondition Failed", "", body)).await;
    let append = history(&server).append(two(), AppendOptions::default()).await.unwrap();
    assert_eq!(append, AppendOutcome::Precondition { head: Position { epoch: 7, seq: 9 } });

    let missing = Play::problem("404 Not Found", "", r#"{"code":"not_found","detail":"x"}"#);
    let server = Scripted::of(vec![missing]).await;
    assert_eq!(docs(&server).get(&key()).await.unwrap(), None);
    let no_project = || Play::problem("404 Not Found", "", r#"{"code":"no_project","id":"p"}"#);
    let server = Scripted::of(vec![no_project(), no_project()]).await;
    assert_eq!(docs(&server).get(&key()).await.unwrap_err(), Error::NoProject { id: "p".into() });
    assert!(!server.driver().has_project(&project()).await.unwrap());
}

#[tokio::test]
async fn what_does_not_speak_folio_is_named() {
    let html = || Play::answer("200 OK", "content-type: text/html\r\n", "<html>hello");
    let server = Scripted::start(move |_, _| html()).await;
    let errors = [
        server.driver().info().await.unwrap_err(),
        docs(&server).get(&key()).await.unwrap_err(),
        docs(&server).subscribe().await.err().unwrap(),
        docs(&server).delete(&key(), WriteCondition::None).await.unwrap_err(),
        files(&server).read(&path(), FileReadOptions::default()).await.unwrap_err(),
        history(&server).read(ReadOptions::default()).await.unwrap_err(),
        history(&server).subscribe(folio::Start::Now).await.err().unwrap(),
    ];
    for error in errors {
        let message = error.to_string();
        assert!(error.code() == "transport" && message.contains(&server.url), "{message}");
        assert!(message.contains("is that a Folio daemon"), "{message}");
    }
    let server = Scripted::start(|_, _| Play::answer("404 Not Found", "content-type: text/html\r\n", "<html>")).await;
    let message = docs(&server).get(&key()).await.unwrap_err().to_string();
    assert!(message.contains("404") && message.contains("is that a Folio daemon"), "{message}");
}

#[tokio::test]
async fn silence_and_floods_are_bounded() {
    let silent = || Play::raw("", End::Hold);
    let server = Scripted::start(move |_, _| silent()).await;
    let options = || ClientOptions { answer_timeout: Duration::from_millis(30), ..quick() };
    let docs = server.driver_with(options()).shared();
    let message = docs.get(&key()).await.unwrap_err().to_string();
    assert!(message.contains("no answer to GET") && message.contains("try again"), "{message}");
    let message = docs.put(&key(), json("1"), WriteCondition::Absent).await.unwrap_err().to_string();
    assert!(message.contains("may have been done"), "{message}");
    assert!(server.requests().len() <= 2, "silence is not repeated");

    let half = || Play::answer("200 OK", "", "{\"a\":1}").short(3, End::Hold);
    let server = Scripted::start(move |_, _| half()).await;
    let message = server.driver_with(options()).shared().get(&key()).await.unwrap_err().to_string();
    assert!(message.contains("no answer"), "{message}");

    let server = Scripted::start(|_, _| Play::json("200 OK", &"1".repeat(101))).await;
    let docs = server.driver_with(ClientOptions { max_answer: 100, ..quick() }).shared();
    let message = docs.get(&key()).await.unwrap_err().to_string();
    assert!(message.contains("max_answer"), "{message}");
}

#[tokio::test]
async fn a_file_that_breaks_off_is_an_error_not_a_short_file() {
    let headers = "accept-ranges: bytes\r\nfolio-modified: 1500\r\n";
    let whole = Play::answer("200 OK", headers, "0123456789");
    let server = Scripted::of(vec![whole]).await;
    let read = files(&server).read(&path(), FileReadOptions::default()).await.unwrap().unwrap();
    assert_eq!((read.info.size, read.info.modified, read.range), (10, 1_500, 0..10));
    assert!(server.requests()[0].starts_with("GET /v1/projects/p/files/a%20b/%C3%BC.txt HTTP/1.1\r\n"));

    for end in [End::Close, End::Reset] {
        let whole = Play::answer("200 OK", headers, "0123456789");
        let server = Scripted::of(vec![whole.short(3, end)]).await;
        let mut body = files(&server).read(&path(), FileReadOptions::default()).await.unwrap().unwrap().body;
        let mut failed = None;
        while let Some(piece) = body.next().await {
            failed = piece.err();
        }
        let message = failed.expect("the body must not just end").to_string();
        assert!(message.contains("middle of the file") && message.contains(&server.url), "{message}");
    }
}

#[tokio::test]
async fn ranges() {
    let part = |range: &str, body: &str| {
        let headers =
            format!("accept-ranges: bytes\r\nlast-modified: Thu, 01 Jan 1970 00:00:01 GMT\r\ncontent-range: bytes {range}\r\n");
        Play::answer("206 Partial Content", &headers, body)
    };
    let read = async |server: &Scripted, range| {
        let read = files(server).read(&path(), FileReadOptions { range, etag: false }).await?.unwrap();
        Ok::<_, Error>((read.range.clone(), read.info.size, read.info.modified))
    };
    for (range, header, content) in [
        (FileRange::Span(2, 5), "bytes=2-4", "2-4/10"),
        (FileRange::Span(2, 50), "bytes=2-49", "2-9/10"),
        (FileRange::From(7), "bytes=7-", "7-9/10"),
        (FileRange::Last(4), "bytes=-4", "6-9/10"),
    ] {
        let server = Scripted::of(vec![part(content, "")]).await;
        assert_eq!(read(&server, range).await.unwrap(), (range.within(10), 10, 1_000));
        assert!(server.requests()[0].contains(&format!("\r\nrange: {header}\r\n")), "{:?}", server.requests());
    }
    let server = Scripted::of(vec![part("0-3/10", "")]).await;
    assert!(read(&server, FileRange::From(7)).await.is_err(), "another range than the one that was asked for");

    let size =
        || Play::raw("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 10\r\nfolio-modified: 1\r\n\r\n", End::Close);
    let beyond =
        || Play::problem("416 Range Not Satisfiable", "content-range: bytes */10\r\n", r#"{"code":"range_not_satisfiable"}"#);
    let server = Scripted::of(vec![beyond(), size()]).await;
    assert_eq!(read(&server, FileRange::From(12)).await.unwrap(), (10..10, 10, 1));
    for empty in [FileRange::Span(3, 3), FileRange::Span(5, 3), FileRange::Last(0)] {
        let server = Scripted::of(vec![size()]).await;
        assert_eq!(read(&server, empty).await.unwrap(), (empty.within(10), 10, 1));
    }
    let server = Scripted::start(move |_, request| if request.starts_with("HEAD") { size() } else { beyond() }).await;
    let error = read(&server, FileRange::From(7)).await.unwrap_err();
    assert_eq!(error.code(), "retry", "a file that is never the same: {error}");
}

#[tokio::test]
async fn a_refused_head_is_asked_for_its_reason() {
    let refused = || Play::raw("HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 50\r\n\r\n", End::Close);
    let why = |code: &str| Play::problem("404 Not Found", "", &format!(r#"{{"code":"{code}","id":"p"}}"#));
    let server = Scripted::of(vec![refused(), why("not_found"), refused(), why("no_project")]).await;
    assert_eq!(files(&server).stat(&path(), true).await.unwrap(), None);
    assert_eq!(files(&server).stat(&path(), true).await.unwrap_err(), Error::NoProject { id: "p".into() });
}

fn mib(value: u8) -> folio::Result<Bytes> {
    Ok(Bytes::from(vec![value; 1 << 20]))
}

#[tokio::test]
async fn a_long_stream_is_sent_once() {
    let server = Scripted::of(vec![broken()]).await;
    let body = stream::iter([mib(b'a'), mib(b'b'), mib(b'c')]).boxed();
    let error = files(&server).write(&path(), body, WriteCondition::None).await.unwrap_err();
    assert_eq!(error.code(), "transport");
    assert_eq!(server.requests().len(), 1);

    let server = Scripted::of(vec![written()]).await;
    let body = stream::iter([mib(b'a'), mib(b'b'), mib(b'c')]).boxed();
    let outcome = files(&server).write(&path(), body, WriteCondition::None).await.unwrap();
    assert!(matches!(outcome, WriteOutcome::Written { created: true, .. }));
    let sent = &server.requests()[0];
    let count = |letter| sent.split_once("\r\n\r\n").unwrap().1.matches(letter).count();
    assert!(count("a") >= 1 << 20 && count("b") >= 1 << 20 && count("c") >= 1 << 20);
}

#[tokio::test]
async fn the_error_of_the_callers_stream_is_the_error_of_the_write() {
    let server = Scripted::of(vec![written()]).await;
    let broken = Error::invalid("the source broke");
    let body = stream::iter([mib(1), mib(2), mib(3), Err(broken.clone())]).boxed();
    assert_eq!(files(&server).write(&path(), body, WriteCondition::None).await.unwrap_err(), broken);
    assert!(server.requests().iter().all(|request| !request.ends_with("\r\n0\r\n\r\n")), "the body must not look whole");
}

/// A daemon may refuse a body before it has read it; the reason must come through.
#[tokio::test]
async fn an_early_refusal_of_a_long_body_is_understood() {
    let refusal = Play::problem("413 Payload Too Large", "", r#"{"code":"too_large","what":"a body","bytes":9,"limit":5}"#);
    let server = Scripted::of(vec![refusal.early().short(0, End::Hold)]).await;
    let body = stream::iter((0..64).map(|_| mib(1))).boxed();
    let error = files(&server).write(&path(), body, WriteCondition::None).await.unwrap_err();
    assert_eq!(error, Error::TooLarge { what: "a body".into(), bytes: 9, limit: 5 });
}
