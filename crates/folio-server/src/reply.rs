//! Answers: JSON of ours, and text that is sent in pieces.

use std::convert::Infallible;
use std::fmt::Write;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use folio::{Error, Etag};
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use crate::accept;
use crate::budget::Reservation;
use crate::problem::Answer;

/// Says whether a delete found anything.
pub(crate) const EXISTED: HeaderName = HeaderName::from_static("folio-existed");

/// When a file was last written, in unix milliseconds like in lists; Last-Modified knows only seconds.
pub(crate) const MODIFIED: HeaderName = HeaderName::from_static("folio-modified");

/// Bytes of one piece of an answer: enough for the network to be busy, little enough to be held for a slow reader.
pub(crate) const PIECE: usize = 64 << 10;

/// A value of ours as JSON. Not for the values of users: those are never taken apart.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let mut text = serde_json::to_vec(value).map_err(|e| Error::Io { what: "writing the answer".into(), why: e.to_string() })?;
    text.push(b'\n');
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    describe(response.headers_mut(), accept::JSON, "no-store");
    Ok(response)
}

/// Status and headers as text, without the blank line at their end.
pub(crate) fn write_head(out: &mut String, status: StatusCode, headers: &HeaderMap) {
    let _ = write!(out, "HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default());
    for (name, value) in headers {
        // What we send is ASCII.
        [name.as_str(), ": ", value.to_str().unwrap_or_default(), "\r\n"].into_iter().for_each(|part| out.push_str(part));
    }
}

/// In place of a body that goes out another way: of no length that is known.
pub(crate) fn unknown_length() -> Body {
    Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// The answer to every delete.
pub(crate) fn deleted(existed: bool) -> Response {
    let mut response = empty(StatusCode::NO_CONTENT);
    response.headers_mut().insert(EXISTED, HeaderValue::from_static(if existed { "true" } else { "false" }));
    response
}

/// Sets type and caching.
pub(crate) fn describe(headers: &mut HeaderMap, content_type: &'static str, caching: &'static str) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
}

/// Sets a header whose value is made of what we know to be plain text.
pub(crate) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Sets ETag.
pub(crate) fn tag(headers: &mut HeaderMap, etag: Etag) {
    set(headers, ETAG, &format!("\"{etag}\""));
}

/// A body in pieces that are made when the client takes them. `memory` is what they are made from.
pub(crate) fn pieces(pieces: impl Iterator<Item = Bytes> + Send + 'static, memory: Reservation) -> Body {
    Body::from_stream(stream::iter(pieces.map(move |piece| {
        let _ = &memory;
        Ok::<_, Infallible>(piece)
    })))
}

/// A value as it is stored, with the newline at its end, in pieces.
pub(crate) fn value(value: folio::Json, memory: Reservation) -> Response {
    let length = value.as_str().len();
    let piece = move |at| {
        let end = length.min(at + PIECE);
        let bytes = value.as_str().as_bytes().get(at..end).unwrap_or_default();
        if end == length { [bytes, b"\n"].concat().into() } else { Bytes::copy_from_slice(bytes) }
    };
    let mut response = Response::new(pieces((0..length).step_by(PIECE).map(piece), memory));
    set(response.headers_mut(), CONTENT_LENGTH, &(length + 1).to_string());
    response
}
