//! What is understood here means the same to the HTTP stack.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use folio::WriteCondition;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

use super::LARGEST;
use super::head::{self, Call, Parsed};
use crate::{accept, conditions};

const TRIES: u64 = 30_000;

const APPEND: &str = "POST /v1/projects/p/logs/a HTTP/1.1\r\nHost: localhost:7460\r\nContent-Type: application/json\r\n\
    User-Agent: x/1\r\nAccept: */*\r\nConnection: keep-alive\r\nIdempotency-Key: k-1\r\nContent-Length: 5\r\n\r\n[1,2]";

const DOC: &str = "PUT /v1/projects/p/docs/a HTTP/1.1\r\nHost: localhost:7460\r\nContent-Type: application/json\r\n\
    User-Agent: x/1\r\nAccept: */*\r\nConnection: keep-alive\r\nIf-Match: \"2cf24dba5fb0a30e26e83b2ac5b9e29e\"\r\n\
    Content-Length: 5\r\n\r\n[1,2]";

const FILE: &str = "GET /v1/projects/p/files/a/b.txt HTTP/1.1\r\nHost: localhost:7460\r\nUser-Agent: x/1\r\nAccept: */*\r\n\
    Accept-Encoding: gzip\r\nConnection: keep-alive\r\n\r\n";

/// Pieces that change what a head means.
const PIECES: [&str; 26] = [
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    ":",
    "\0",
    "Content-Length: 5\r\n",
    "content-length: 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Host: evil.example\r\n",
    "X: y\r\n",
    " folded\r\n",
    "Expect: 100-continue\r\n",
    "Connection: close\r\n",
    "Range: bytes=0-1\r\n",
    "If-None-Match: *\r\n",
    "If-Match: *\r\n",
    "W/",
    "HTTP/1.0",
    "?close=true",
    "%2e",
    "/../",
    "//",
    ",",
    "é",
];

fn mutated(plain: &str, rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut text = plain.as_bytes().to_vec();
    for _ in 0..rng.usize(1..4) {
        let at = rng.usize(0..text.len());
        match rng.u8(0..6) {
            0 => text[at] = rng.u8(..),
            1 => drop(text.remove(at)),
            2 => drop(text.splice(at..at, rng.choice(PIECES).unwrap().bytes())),
            3 => {
                // At the beginning of a line.
                let lines: Vec<_> = (2..text.len()).filter(|&at| text[..at].ends_with(b"\r\n")).collect();
                let at = rng.choice(lines).unwrap_or(at);
                drop(text.splice(at..at, rng.choice(PIECES).unwrap().bytes()));
            }
            4 => text[at] = text[at].to_ascii_uppercase(),
            _ => {
                let end = rng.usize(at..=text.len().min(at + 20));
                let piece = text[at..end].to_vec();
                let at = rng.usize(0..=text.len());
                drop(text.splice(at..at, piece));
            }
        }
    }
    text
}

/// The first request, as the stack understands it; `None` where it refuses it.
async fn by_the_stack(text: &[u8]) -> Option<(Request<()>, Bytes)> {
    let (mut client, server) = tokio::io::duplex(64 << 10);
    client.write_all(text).await.unwrap();
    let seen = Arc::new(Mutex::new(None));
    let service = service_fn(|request: Request<Incoming>| {
        let seen = Arc::clone(&seen);
        async move {
            let (head, body) = request.into_parts();
            if let Ok(body) = body.collect().await {
                seen.lock().unwrap().get_or_insert((Request::from_parts(head, ()), body.to_bytes()));
            }
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let served = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(server), service);
    // On a clock that stands still but for this: where the stack waits for more, it refuses.
    let _ = tokio::time::timeout(Duration::from_secs(1), served).await;
    seen.lock().unwrap().take()
}

fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    assert!(values.next().is_none(), "{name} twice");
    first.map(|value| value.as_bytes())
}

/// Headers that would change what is answered, or to whom.
const TELLING: [&str; 9] =
    ["transfer-encoding", "expect", "origin", "sec-fetch-site", "if-unmodified-since", "range", "if-range", "upgrade", "cookie"];

#[tokio::test(start_paused = true)]
async fn the_stack_understands_it_the_same() {
    for plain in [APPEND, FILE, DOC] {
        let mut understood = 0;
        for seed in 0..TRIES {
            let text = mutated(plain, &mut fastrand::Rng::with_seed(seed));
            understood += u64::from(is_understood_the_same(&text, seed).await);
        }
        assert!(understood > TRIES / 20, "{understood} of {TRIES} were understood");
    }
}

/// False where it is left to the stack.
async fn is_understood_the_same(text: &[u8], seed: u64) -> bool {
    let parsed = head::parse(text, LARGEST);
    let Parsed::Request(head::Request { host, head, length, call }) = parsed else { return false };
    let Some(body) = text.get(head..head + length) else { return false };
    let shown = String::from_utf8_lossy(text).into_owned();
    let (request, whole) = by_the_stack(text).await.unwrap_or_else(|| panic!("seed {seed}: the stack refuses {shown:?}"));
    assert_eq!(request.version(), http::Version::HTTP_11, "seed {seed}: {shown:?}");
    assert_eq!(whole, body, "seed {seed}: {shown:?}");
    let headers = request.headers();
    for other in TELLING {
        assert!(!headers.contains_key(other), "seed {seed}: {shown:?}");
    }
    let condition = conditions::of_write(headers).ok();
    match call {
        Call::Doc(put) => {
            assert_eq!(request.method(), "PUT", "seed {seed}: {shown:?}");
            assert_eq!(*request.uri(), *format!("/v1/projects/{}/docs/{}", put.project, put.key), "seed {seed}: {shown:?}");
            assert_eq!(condition, Some(put.condition), "seed {seed}: {shown:?}");
            assert_eq!(only(headers, "idempotency-key"), None, "seed {seed}: {shown:?}");
            let content_type = only(headers, CONTENT_TYPE.as_str()).unwrap_or(accept::JSON.as_bytes());
            assert_eq!(content_type, accept::JSON.as_bytes(), "seed {seed}: {shown:?}");
        }
        _ if condition != Some(WriteCondition::None) => panic!("seed {seed}: {shown:?}"),
        Call::Append(append) => {
            assert_eq!(request.method(), "POST", "seed {seed}: {shown:?}");
            assert_eq!(request.uri(), append.path, "seed {seed}: {shown:?}");
            assert_eq!(only(headers, "idempotency-key"), append.key.map(str::as_bytes), "seed {seed}: {shown:?}");
            let content_type = only(headers, CONTENT_TYPE.as_str()).unwrap_or(accept::JSON.as_bytes());
            assert_eq!(content_type, append.content_type.as_bytes(), "seed {seed}: {shown:?}");
        }
        Call::File(get) => {
            assert_eq!(request.method(), "GET", "seed {seed}: {shown:?}");
            let target = format!("/v1/projects/{}/files/{}", get.project, get.path);
            assert_eq!(*request.uri(), *target, "seed {seed}: {shown:?}");
        }
    }
    assert_eq!(only(headers, HOST.as_str()), Some(host), "seed {seed}: {shown:?}");
    true
}
