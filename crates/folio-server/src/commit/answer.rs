//! What a commit did, as JSON text, written by hand: the values of users are copied, never taken apart.

use std::fmt::Write;

use axum::response::Response;
use bytes::Bytes;
use folio::{Appended, Done, Operation, Result};
use http::StatusCode;
use http::header::CONTENT_LENGTH;

use crate::budget::Reservation;
use crate::reply::{self, PIECE};
use crate::{accept, append};

/// What must be known of a commit to tell as JSON what it did.
#[derive(Debug)]
pub struct Results {
    /// The target of each operation, as a member: `"key":"meta"`.
    targets: Vec<String>,
    /// The append with the idempotency key.
    keyed: Option<usize>,
    patches: bool,
}

impl Results {
    /// Of a commit that does these operations.
    #[must_use]
    pub fn of(operations: &[Operation]) -> Self {
        let mut results = Self { targets: Vec::with_capacity(operations.len()), keyed: None, patches: false };
        for (at, operation) in operations.iter().enumerate() {
            let (member, name) = match operation {
                Operation::PutDoc { key, .. } | Operation::PatchDoc { key, .. } | Operation::DeleteDoc { key, .. } => {
                    ("key", key.as_str())
                }
                Operation::PutFile { path, .. } | Operation::DeleteFile { path, .. } => ("path", path.as_str()),
                Operation::Append { log, .. } => ("log", log.as_str()),
            };
            results.targets.push(format!("\"{member}\":{}", serde_json::Value::from(name)));
            results.patches |= matches!(operation, Operation::PatchDoc { .. });
            if matches!(operation, Operation::Append { options, .. } if options.idempotency_key.is_some()) {
                results.keyed = Some(at);
            }
        }
        results
    }

    /// What the answer may take: documents that were patched are in it, which together are no more than one body.
    pub(super) fn most_bytes(&self, body: usize) -> usize {
        if self.patches { body } else { 0 }
    }

    /// An array with one result for each operation.
    ///
    /// # Errors
    /// None in practice.
    pub fn committed(&self, done: &[Done]) -> Result<String> {
        let mut text = String::from("[");
        for (at, (target, done)) in self.targets.iter().zip(done).enumerate() {
            text.push_str(if at == 0 { "{" } else { ",{" });
            text.push_str(target);
            push(&mut text, done)?;
            text.push('}');
        }
        text.push(']');
        Ok(text)
    }

    /// The same for a commit that was done before: only the answer to the append with the key is remembered, the others
    /// are `null`.
    ///
    /// # Errors
    /// None in practice.
    pub fn replayed(&self, first: Appended) -> Result<String> {
        let mut text = String::from("[");
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
        text.push(']');
        Ok(text)
    }
}

/// The members that say what was done.
fn push(out: &mut String, done: &Done) -> Result<()> {
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

/// `{"results":[…]}`, in pieces.
pub(super) fn answer(results: &str, memory: Reservation) -> Response {
    let text = Bytes::from(format!("{{\"results\":{results}}}\n"));
    let length = text.len();
    let piece = move |at: usize| text.slice(at..length.min(at + PIECE));
    let mut response = Response::new(reply::pieces((0..length).step_by(PIECE).map(piece), memory));
    *response.status_mut() = StatusCode::OK;
    reply::describe(response.headers_mut(), accept::JSON, "no-store");
    reply::set(response.headers_mut(), CONTENT_LENGTH, &length.to_string());
    response
}
