//! What a commit did, as JSON text, written by hand: the values of users are copied, never taken apart.

use std::fmt::Write;

use axum::response::Response;
use bytes::Bytes;
use folio::{Appended, Done, Operation};
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, StatusCode};

use crate::append::REPLAYED;
use crate::budget::Reservation;
use crate::problem::Answer;
use crate::reply::{self, PIECE};
use crate::{accept, append};

/// What must be known of a commit to tell what it did.
pub(super) struct Shape {
    /// The target of each operation, as a member: `"key":"meta"`.
    targets: Vec<String>,
    /// The append with the idempotency key.
    keyed: Option<usize>,
    patches: bool,
}

impl Shape {
    pub(super) fn of(operations: &[Operation]) -> Self {
        let mut shape = Self { targets: Vec::with_capacity(operations.len()), keyed: None, patches: false };
        for (at, operation) in operations.iter().enumerate() {
            let (member, name) = match operation {
                Operation::PutDoc { key, .. } | Operation::PatchDoc { key, .. } | Operation::DeleteDoc { key, .. } => {
                    ("key", key.as_str())
                }
                Operation::PutFile { path, .. } | Operation::DeleteFile { path, .. } => ("path", path.as_str()),
                Operation::Append { log, .. } => ("log", log.as_str()),
            };
            shape.targets.push(format!("\"{member}\":{}", serde_json::Value::from(name)));
            shape.patches |= matches!(operation, Operation::PatchDoc { .. });
            if matches!(operation, Operation::Append { options, .. } if options.idempotency_key.is_some()) {
                shape.keyed = Some(at);
            }
        }
        shape
    }

    /// What the answer may take: documents that were patched are in it, which together are no more than one body.
    pub(super) fn most_bytes(&self, body: usize) -> usize {
        if self.patches { body } else { 0 }
    }

    /// `{"results":[…]}`, one for each operation.
    pub(super) fn committed(&self, done: Vec<Done>, memory: Reservation) -> Answer {
        let mut text = String::from("{\"results\":[");
        for (at, (target, done)) in self.targets.iter().zip(done).enumerate() {
            text.push_str(if at == 0 { "{" } else { ",{" });
            text.push_str(target);
            push(&mut text, &done)?;
            text.push('}');
        }
        text.push_str("]}\n");
        Ok(answer(text, memory))
    }

    /// `{"results":[null,{…}]}`: only the answer to the append with the key is remembered.
    pub(super) fn replayed(&self, first: Appended, memory: Reservation) -> Answer {
        let mut text = String::from("{\"results\":[");
        for (at, target) in self.targets.iter().enumerate() {
            text.push_str(if at == 0 { "" } else { "," });
            if self.keyed == Some(at) {
                text.push('{');
                text.push_str(target);
                push(&mut text, &Done::Appended(first))?;
                text.push('}');
            } else {
                text.push_str("null");
            }
        }
        text.push_str("]}\n");
        let mut response = answer(text, memory);
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        Ok(response)
    }
}

/// The members that say what was done.
fn push(out: &mut String, done: &Done) -> folio::Result<()> {
    // Writing to a string cannot fail.
    let _ = match done {
        Done::Written { etag, created } => write!(out, ",\"etag\":\"{etag}\",\"created\":{created}"),
        Done::Patched(document) => write!(out, ",\"etag\":\"{}\",\"value\":{}", document.etag, document.value),
        Done::Deleted(existed) => write!(out, ",\"existed\":{existed}"),
        Done::Appended(appended) => {
            let members = folio::Json::from_value(&append::Appended::from(*appended))?;
            write!(out, ",{}", members.as_str().trim_start_matches('{').trim_end_matches('}'))
        }
    };
    Ok(())
}

fn answer(text: String, memory: Reservation) -> Response {
    let text = Bytes::from(text);
    let length = text.len();
    let piece = move |at: usize| text.slice(at..length.min(at + PIECE));
    let mut response = Response::new(reply::pieces((0..length).step_by(PIECE).map(piece), memory));
    *response.status_mut() = StatusCode::OK;
    reply::describe(response.headers_mut(), accept::JSON, "no-store");
    reply::set(response.headers_mut(), CONTENT_LENGTH, &length.to_string());
    response
}
