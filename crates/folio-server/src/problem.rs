//! Every refusal on its way out: one table from error to status, one body, one place.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use folio::{Error, Etag, Position};
use http::header::{CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

/// What a handler answers, or why not.
pub(crate) type Answer<T = Response> = Result<T, Problem>;

/// A refusal: the store's, or one that only HTTP knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Problem {
    /// Said by the store; the same words in the library and on the command line.
    Store(Error),
    /// Said here.
    Http(Refusal),
}

/// Refusals that only HTTP knows. Like [`Error`], the code is the name of the variant and the fields stand beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub(crate) enum Refusal {
    /// No such document, file or route.
    #[error("there is no {what}")]
    NotFound { what: String },
    #[error("{method} is not possible here; the header Allow says what is")]
    MethodNotAllowed { method: String },
    /// If-Match or If-None-Match did not hold; nothing was changed.
    #[error("the precondition{} did not hold: {current}", of_operation(*operation))]
    PreconditionFailed {
        #[serde(flatten)]
        current: Current,
        /// Of a commit: which of its operations, counted from 0.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation: Option<usize>,
    },
    /// The same code as the store's, with the header and the rule that was broken.
    #[error("{header} \"{text}\" is not valid: {why}")]
    InvalidEtag { header: &'static str, text: String, why: &'static str },
    #[error("{header} \"{text}\" is not valid: {why}")]
    InvalidCursor { header: &'static str, text: String, why: &'static str },
    #[error("a body of type \"{content_type}\" is not taken here; send it with -H 'content-type: {wanted}'")]
    UnsupportedMediaType { content_type: String, wanted: &'static str },
    #[error("none of the types in Accept can be given here; there are {offers}")]
    NotAcceptable { offers: String },
    #[error("the request has {why}; exactly one Host header is needed")]
    InvalidHost { why: &'static str },
    #[error("the host \"{host}\" is not served here; call this server by one of: {served}")]
    ForbiddenHost { host: String, served: String },
    #[error("{who} may not call this server; allow its origin in the configuration if it should")]
    ForbiddenOrigin { who: String },
    #[error("the range lies beyond the end of the file ({size} bytes)")]
    RangeNotSatisfiable { size: u64 },
    #[error("{what} took longer than {seconds} s to arrive")]
    RequestTimeout { what: &'static str, seconds: u64 },
    #[error("the query parameter \"{name}\" is not known; {}", takes(known))]
    UnknownParameter { name: String, known: String },
    #[error("the head of the request is larger than {limit} bytes")]
    HeaderTooLarge { limit: usize },
}

fn takes(known: &str) -> String {
    if known.is_empty() { "this call takes none".to_owned() } else { format!("this call takes {known}") }
}

fn of_operation(operation: Option<usize>) -> String {
    operation.map(|at| format!(" of operation {at}")).unwrap_or_default()
}

/// What stands where a condition did not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Current {
    /// Of a document or file; `None` where there is none.
    Tag { current_etag: Option<Etag> },
    /// Of a log.
    Head { head: Position },
}

impl std::fmt::Display for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag { current_etag: Some(etag) } => write!(f, "what is there has the ETag \"{etag}\""),
            Self::Tag { current_etag: None } => f.write_str("nothing is there"),
            Self::Head { head } => write!(f, "the head of the log is \"{head}\""),
        }
    }
}

impl Problem {
    /// The table. `docs/http.md` shows it to users, and a test compares the two.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Store(error) => match error.cause() {
                Error::InvalidName { .. }
                | Error::InvalidCursor { .. }
                | Error::InvalidEtag { .. }
                | Error::InvalidJson { .. }
                | Error::Invalid { .. } => StatusCode::BAD_REQUEST,
                Error::NoProject { .. } | Error::NoLog { .. } => StatusCode::NOT_FOUND,
                Error::Exists { .. } | Error::PathConflict { .. } | Error::Closed { .. } | Error::Damaged { .. } => {
                    StatusCode::CONFLICT
                }
                Error::Gone { .. } => StatusCode::GONE,
                Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                Error::KeyReused { .. } => StatusCode::UNPROCESSABLE_ENTITY,
                Error::Unsupported { .. } => StatusCode::NOT_IMPLEMENTED,
                Error::Transport { .. } => StatusCode::BAD_GATEWAY,
                Error::OutcomeUnknown { .. } | Error::StoreFailed { .. } | Error::Locked { .. } | Error::Retry { .. } => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                Error::DiskFull { .. } => StatusCode::INSUFFICIENT_STORAGE,
                Error::NewerFormat { .. } | Error::Io { .. } => StatusCode::INTERNAL_SERVER_ERROR,
                // The enum may grow; until it is given a status here, the fault is ours.
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Self::Http(refusal) => match refusal {
                Refusal::InvalidEtag { .. }
                | Refusal::InvalidCursor { .. }
                | Refusal::InvalidHost { .. }
                | Refusal::UnknownParameter { .. } => StatusCode::BAD_REQUEST,
                Refusal::ForbiddenHost { .. } | Refusal::ForbiddenOrigin { .. } => StatusCode::FORBIDDEN,
                Refusal::NotFound { .. } => StatusCode::NOT_FOUND,
                Refusal::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
                Refusal::NotAcceptable { .. } => StatusCode::NOT_ACCEPTABLE,
                Refusal::RequestTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
                Refusal::PreconditionFailed { .. } => StatusCode::PRECONDITION_FAILED,
                Refusal::UnsupportedMediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Refusal::RangeNotSatisfiable { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
                Refusal::HeaderTooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            },
        }
    }

    /// Where there is no document or file, or nothing at all.
    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::Http(Refusal::NotFound { what: what.into() })
    }

    /// A condition on a document or file that did not hold.
    pub(crate) fn tag_differs(current_etag: Option<Etag>) -> Self {
        Self::Http(Refusal::PreconditionFailed { current: Current::Tag { current_etag }, operation: None })
    }

    /// A head that was not the expected one.
    pub(crate) fn head_differs(head: Position) -> Self {
        Self::Http(Refusal::PreconditionFailed { current: Current::Head { head }, operation: None })
    }

    /// A condition of the operation `at` of a commit that did not hold.
    pub(crate) fn operation_differs(at: usize, current: folio::Current) -> Self {
        let current = match current {
            folio::Current::Tag(current_etag) => Current::Tag { current_etag },
            folio::Current::Head(head) => Current::Head { head },
        };
        Self::Http(Refusal::PreconditionFailed { current, operation: Some(at) })
    }

    /// The sentence for people.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::Store(error) => error.to_string(),
            Self::Http(refusal) => refusal.to_string(),
        }
    }

    /// The body, whole.
    pub(crate) fn body(&self) -> Vec<u8> {
        let status = self.status();
        let problem = ProblemBody {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: self.detail(),
            problem: self,
        };
        let mut body = serde_json::to_vec(&problem).unwrap_or_default();
        body.push(b'\n');
        body
    }
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(flatten)]
    problem: &'a Problem,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::Http(refusal)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match &self {
            Self::Store(error) if matches!(error.cause(), Error::Retry { .. }) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Http(Refusal::RangeNotSatisfiable { size }) => {
                if let Ok(value) = HeaderValue::try_from(format!("bytes */{size}")) {
                    headers.insert(CONTENT_RANGE, value);
                }
            }
            _ => {}
        }
        response
    }
}

/// A value as it is put into a message: at most 80 characters, control characters escaped.
pub(crate) fn shown(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let mut out: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_reads_its_own_errors_back() {
        let error = folio::ProjectId::new("a b").unwrap_err();
        let body = Problem::from(error.clone()).body();
        assert_eq!(serde_json::from_slice::<Error>(&body).unwrap(), error);
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(value["status"], 400);
        assert_eq!(value["title"], "Bad Request");
        assert_eq!(value["code"], "invalid_name");
        assert_eq!(value["detail"], error.to_string());
    }

    #[test]
    fn refusals_carry_what_the_caller_needs() {
        let body = |problem: Problem| serde_json::from_slice::<serde_json::Value>(&problem.body()).unwrap();
        let differs = body(Problem::tag_differs(None));
        assert_eq!((&differs["code"], &differs["current_etag"]), (&"precondition_failed".into(), &serde_json::Value::Null));
        let head = body(Problem::head_differs(Position { epoch: 7, seq: 3 }));
        assert_eq!(head["head"], "7-3");
        assert!(head.get("current_etag").is_none());
        // Words of its own, and still the error that the library knows.
        let tag = Problem::from(Refusal::InvalidEtag { header: "If-Match", text: "x".into(), why: "no" });
        assert_eq!(serde_json::from_slice::<Error>(&tag.body()).unwrap(), Error::InvalidEtag { text: "x".into() });
    }

    /// One of every kind.
    fn all() -> Vec<Problem> {
        let (what, why, id, name) = (String::new, String::new, String::new, String::new);
        let head = Position::START;
        let etag = Some(Etag::of(b""));
        let text = String::new;
        let store = [
            folio::ProjectId::new("").unwrap_err(),
            Error::InvalidCursor { text: text() },
            Error::InvalidEtag { text: text() },
            Error::InvalidJson { line: 1, column: 1, why: why() },
            Error::Invalid { what: what() },
            Error::TooLarge { what: "".into(), bytes: 2, limit: 1 },
            Error::NoProject { id: id() },
            Error::NoLog { project: id(), name: name() },
            Error::Gone { project: id(), name: name() },
            Error::Exists { what: what() },
            Error::PathConflict { path: name(), why: "".into() },
            Error::Closed { log: name(), head },
            Error::KeyReused { key: name() },
            Error::Damaged { what: what(), why: why(), etag },
            Error::DiskFull { what: what() },
            Error::OutcomeUnknown { what: what(), why: why() },
            Error::StoreFailed { what: what(), why: why() },
            Error::Locked { root: name(), holder: name(), address: None },
            Error::NewerFormat { what: what(), why: why() },
            Error::Unsupported { what: "".into(), why: why() },
            Error::Retry { what: what() },
            Error::Transport { what: what() },
            Error::Io { what: what(), why: why() },
            Error::Retry { what: what() }.in_operation(1),
        ];
        let http = [
            Refusal::NotFound { what: what() },
            Refusal::MethodNotAllowed { method: name() },
            Refusal::PreconditionFailed { current: Current::Tag { current_etag: etag }, operation: Some(1) },
            Refusal::PreconditionFailed { current: Current::Head { head }, operation: None },
            Refusal::InvalidEtag { header: "", text: text(), why: "" },
            Refusal::InvalidCursor { header: "", text: text(), why: "" },
            Refusal::UnsupportedMediaType { content_type: name(), wanted: "" },
            Refusal::NotAcceptable { offers: name() },
            Refusal::InvalidHost { why: "" },
            Refusal::ForbiddenHost { host: name(), served: name() },
            Refusal::ForbiddenOrigin { who: name() },
            Refusal::RangeNotSatisfiable { size: 0 },
            Refusal::RequestTimeout { what: "", seconds: 1 },
            Refusal::UnknownParameter { name: name(), known: String::new() },
            Refusal::HeaderTooLarge { limit: 1 },
        ];
        store.into_iter().map(Problem::from).chain(http.into_iter().map(Problem::from)).collect()
    }

    /// The rows of the manual: code, status, and what stands in the third column.
    fn manual() -> std::collections::BTreeMap<&'static str, (u16, &'static str)> {
        let table = include_str!("../../../docs/http.md").split("| `code` | status |").nth(1).unwrap();
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let row = |line: &'static str| {
            let mut cells = line.splitn(4, " | ");
            let code = cells.next().unwrap().trim_start_matches("| ").trim_matches('`');
            (code, (cells.next().unwrap().parse().unwrap(), cells.next().unwrap()))
        };
        rows.map(row).collect()
    }

    #[test]
    fn the_manual_has_every_code_with_its_status_and_members() {
        let manual = manual();
        let mut codes = std::collections::BTreeSet::new();
        for problem in all() {
            let body: serde_json::Value = serde_json::from_slice(&problem.body()).unwrap();
            let code = body["code"].as_str().unwrap();
            if let Problem::Store(error) = &problem {
                assert_eq!(error.code(), code);
            }
            let (status, meaning) = manual.get(code).unwrap_or_else(|| panic!("{code} is not in the manual"));
            assert_eq!(problem.status().as_u16(), *status, "{code}");
            for member in body.as_object().unwrap().keys() {
                let general =
                    ["type", "title", "status", "detail", "code", "header", "why", "operation"].contains(&member.as_str());
                assert!(general || meaning.contains(&format!("`{member}`")), "{code} has {member}");
            }
            codes.insert(code.to_owned());
        }
        assert!(manual.keys().all(|code| codes.contains(*code)), "{manual:?}");
        assert_eq!(manual.len(), codes.len());
    }

    #[test]
    fn messages_stay_short_and_printable() {
        assert_eq!(shown(b"a\r\nb\xff"), "a\\r\\nb\u{fffd}");
        assert_eq!(shown(&[b'x'; 200]).chars().count(), 81);
    }
}
