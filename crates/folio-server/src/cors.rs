//! What the browser of an allowed page is told.

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::guard::Caller;

const METHODS: &str = "GET, HEAD, PUT, POST, PATCH, DELETE";

/// Request headers that a page may send.
const ALLOWED: &str = "Accept, Content-Type, If-Match, If-None-Match, If-Range, Range, Last-Event-ID, Idempotency-Key, \
    Producer-Id, Producer-Epoch, Producer-Seq, Stream-Seq, Stream-TTL, Stream-Expires-At, Stream-Closed, \
    Stream-Forked-From, Stream-Fork-Offset, Authorization";

/// Response headers that a page may read.
const EXPOSED: &str = "ETag, Location, Last-Modified, Allow, Accept-Ranges, Content-Range, Content-Length, Retry-After, \
    Idempotency-Replayed, Folio-Existed, Folio-Modified, Folio-Next, Folio-Head, Producer-Epoch, Producer-Seq, \
    Producer-Expected-Seq, Producer-Received-Seq, Stream-Next-Offset, Stream-Cursor, Stream-Up-To-Date, Stream-Closed, Stream-TTL, \
    Stream-Expires-At, Stream-SSE-Data-Encoding";

/// The answer to a preflight of an allowed page; `None` where the request isn't one.
pub(crate) fn preflight(head: &Parts, caller: &Caller) -> Option<Response> {
    let asks = head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if !asks || *caller == Caller::Own {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}

/// Lets the calling page read the answer, refusals included.
pub(crate) fn allow(headers: &mut HeaderMap, caller: &Caller) {
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Caller::Page(origin) = caller {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
}
