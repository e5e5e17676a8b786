//! What is understood here means the same to the HTTP stack. For tests and fuzzing alone.
#![expect(clippy::unwrap_used, clippy::panic, reason = "it tells where the two differ")]

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

/// The first request, as the stack understands it; `None` where it refuses it.
async fn by_the_stack(text: &[u8]) -> Option<(Request<()>, Bytes)> {
    let (mut client, server) = tokio::io::duplex(text.len() + (64 << 10));
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
    // Where the stack waits for more, it refuses.
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

/// False where it is left to the stack. Panics where the two differ.
pub(crate) async fn is_understood_the_same(text: &[u8]) -> bool {
    let parsed = head::parse(text, LARGEST);
    let Parsed::Request(head::Request { host, head, length, call }) = parsed else { return false };
    let Some(body) = text.get(head..head + length) else { return false };
    let shown = String::from_utf8_lossy(text).into_owned();
    let (request, whole) = by_the_stack(text).await.unwrap_or_else(|| panic!("the stack refuses {shown:?}"));
    assert_eq!(request.version(), http::Version::HTTP_11, "{shown:?}");
    assert_eq!(whole, body, "{shown:?}");
    let headers = request.headers();
    for other in TELLING {
        assert!(!headers.contains_key(other), "{shown:?}");
    }
    let condition = conditions::of_write(headers).ok();
    match call {
        Call::Doc(put) => {
            assert_eq!(request.method(), "PUT", "{shown:?}");
            assert_eq!(*request.uri(), *format!("/v1/projects/{}/docs/{}", put.project, put.key), "{shown:?}");
            assert_eq!(condition, Some(put.condition), "{shown:?}");
            assert_eq!(only(headers, "idempotency-key"), None, "{shown:?}");
            let content_type = only(headers, CONTENT_TYPE.as_str()).unwrap_or(accept::JSON.as_bytes());
            assert_eq!(content_type, accept::JSON.as_bytes(), "{shown:?}");
        }
        _ if condition != Some(WriteCondition::None) => panic!("{shown:?}"),
        Call::Append(append) => {
            assert_eq!(request.method(), "POST", "{shown:?}");
            assert_eq!(request.uri(), append.path, "{shown:?}");
            assert_eq!(only(headers, "idempotency-key"), append.key.map(str::as_bytes), "{shown:?}");
            let content_type = only(headers, CONTENT_TYPE.as_str()).unwrap_or(accept::JSON.as_bytes());
            assert_eq!(content_type, append.content_type.as_bytes(), "{shown:?}");
        }
        Call::File(get) => {
            assert_eq!(request.method(), "GET", "{shown:?}");
            let target = format!("/v1/projects/{}/files/{}", get.project, get.path);
            assert_eq!(*request.uri(), *target, "{shown:?}");
        }
    }
    assert_eq!(only(headers, HOST.as_str()), Some(host), "{shown:?}");
    true
}
