//! Refusals: what a daemon answered instead of what was asked for.

use std::time::Duration;

use folio::{Current, Error, Etag, Position};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;

/// A refusal, and the call it answers.
#[derive(Debug)]
pub(crate) struct Problem {
    /// Method and address, for messages.
    call: String,
    status: StatusCode,
    retry_after: Option<Duration>,
    /// Where the body is one of the library's own errors.
    error: Option<Error>,
    body: Body,
}

/// The members of a refusal that only HTTP knows.
#[derive(Debug, Default, Deserialize)]
struct Body {
    #[serde(default)]
    code: String,
    #[serde(default)]
    detail: String,
    current_etag: Option<Etag>,
    head: Option<Position>,
    /// Of a commit: which of its operations was refused.
    operation: Option<usize>,
}

impl Problem {
    /// Reads a refusal; a body that is not understood leaves only the status.
    pub(crate) fn new(call: String, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Self {
            call,
            status,
            retry_after: seconds.map(Duration::from_secs),
            error: serde_json::from_slice(body).ok(),
            body: serde_json::from_slice(body).unwrap_or_default(),
        }
    }

    /// The status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// How long the daemon asked to wait, if it said so.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The daemon did nothing and asks to send the call again.
    pub(crate) fn asks_again(&self) -> bool {
        matches!(self.error, Some(Error::Retry { .. }))
    }

    /// The daemon, or something in front of it, cannot serve just now.
    pub(crate) fn is_passing(&self) -> bool {
        let unavailable = [
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        self.asks_again() || self.error.is_none() && unavailable.contains(&self.status)
    }

    /// There is no such document or file.
    pub(crate) fn is_missing(&self) -> bool {
        self.status == StatusCode::NOT_FOUND && self.body.code == "not_found"
    }

    /// There is no such project.
    pub(crate) fn is_no_project(&self) -> bool {
        matches!(self.error, Some(Error::NoProject { .. }))
    }

    /// A condition did not hold; what is there instead, if anything is.
    pub(crate) fn unmet_condition(&self) -> Option<Option<Etag>> {
        (self.body.code == "precondition_failed").then_some(self.body.current_etag)
    }

    /// The expected head was not the head; where that is.
    pub(crate) fn unmet_head(&self) -> Option<Position> {
        self.body.head.filter(|_| self.body.code == "precondition_failed")
    }

    /// The condition of an operation of a commit did not hold: which, and what is there.
    pub(crate) fn unmet_operation(&self) -> Option<(usize, Current)> {
        let at = self.body.operation.filter(|_| self.body.code == "precondition_failed")?;
        Some((at, self.body.head.map_or(Current::Tag(self.body.current_etag), Current::Head)))
    }

    /// The refusal as an error of the library.
    pub(crate) fn into_error(self) -> Error {
        let Self { call, status, error, body: Body { code, detail, operation, .. }, .. } = self;
        if let Some(error) = error {
            return match operation {
                Some(at) => error.in_operation(at),
                None => error,
            };
        }
        let said = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        match code.as_str() {
            "unknown_parameter" | "range_not_satisfiable" | "header_too_large" if !detail.is_empty() => {
                Error::Invalid { what: detail }
            }
            "request_timeout" => Error::Retry { what: format!("{call} took too long to arrive{said}") },
            "forbidden_host" | "forbidden_origin" => Error::Transport {
                what: format!("{call} was refused ({code}){said}; use the address that the daemon listens on"),
            },
            "" => Error::Transport {
                what: format!("{call} was answered with {status}, and not in Folio's form; is that a Folio daemon?"),
            },
            _ => Error::Transport {
                what: format!(
                    "{call} was answered with {status}, {code}{said}; are the daemon and this client of the same version?"
                ),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, body: &str) -> Problem {
        let status = StatusCode::from_u16(status).unwrap();
        Problem::new("GET http://127.0.0.1:1/v1".into(), status, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn the_librarys_errors_come_through_whole() {
        let etag = Etag::of(b"x");
        for error in [
            Error::NoProject { id: "a".into() },
            Error::Damaged { what: "a".into(), why: "b".into(), etag: Some(etag) },
            Error::Closed { log: "history".into(), head: Position { epoch: 7, seq: 3 } },
            folio::ProjectId::new("a b").unwrap_err(),
            Error::Retry { what: "busy".into() },
        ] {
            let mut body = serde_json::to_value(&error).unwrap();
            let members = [("type", "about:blank"), ("title", "x"), ("detail", "y")];
            for (name, value) in members {
                body[name] = value.into();
            }
            body["status"] = 404.into();
            assert_eq!(problem(404, &body.to_string()).into_error(), error);
            body["operation"] = 2.into();
            assert_eq!(problem(404, &body.to_string()).into_error(), error.in_operation(2));
        }
    }

    #[test]
    fn refusals_that_only_http_knows() {
        let code = |status, code: &str| {
            problem(status, &format!(r#"{{"type":"about:blank","status":{status},"code":"{code}","detail":"because"}}"#))
                .into_error()
        };
        assert_eq!(code(400, "unknown_parameter"), Error::Invalid { what: "because".into() });
        assert_eq!(code(416, "range_not_satisfiable"), Error::Invalid { what: "because".into() });
        assert_eq!(code(431, "header_too_large"), Error::Invalid { what: "because".into() });
        assert_eq!(code(408, "request_timeout").code(), "retry");
        for (status, word) in [(403, "forbidden_host"), (404, "not_found"), (405, "method_not_allowed"), (418, "new_code")] {
            let error = code(status, word);
            assert_eq!(error.code(), "transport");
            let message = error.to_string();
            assert!(
                message.contains("http://127.0.0.1:1/v1") && message.contains(word) && message.contains("because"),
                "{message}"
            );
        }
    }

    #[test]
    fn what_is_no_answer_of_folio_says_so() {
        for body in ["", "<html>", "null", "[]", "{}", "{\"code\":5}"] {
            let error = problem(404, body).into_error();
            let message = error.to_string();
            assert!(message.contains("404") && message.contains("is that a Folio daemon?"), "{message}");
            assert!(!problem(404, body).is_missing());
        }
    }

    #[test]
    fn conditions() {
        let tag = Etag::of(b"x");
        let body = format!(r#"{{"code":"precondition_failed","current_etag":"{tag}"}}"#);
        assert_eq!(problem(412, &body).unmet_condition(), Some(Some(tag)));
        assert_eq!(problem(412, r#"{"code":"precondition_failed","current_etag":null}"#).unmet_condition(), Some(None));
        assert_eq!(problem(412, r#"{"code":"other"}"#).unmet_condition(), None);
        let head = Position { epoch: 5, seq: 9 };
        assert_eq!(problem(412, r#"{"code":"precondition_failed","head":"5-9"}"#).unmet_head(), Some(head));
        assert_eq!(problem(409, r#"{"code":"closed","log":"history","head":"5-9"}"#).unmet_head(), None);
        let of_a_commit =
            |members: &str| problem(412, &format!(r#"{{"code":"precondition_failed",{members}}}"#)).unmet_operation();
        assert_eq!(of_a_commit(r#""operation":3,"head":"5-9""#), Some((3, Current::Head(head))));
        assert_eq!(of_a_commit(r#""operation":0,"current_etag":null"#), Some((0, Current::Tag(None))));
        assert_eq!(of_a_commit(r#""current_etag":null"#), None);
    }

    #[test]
    fn what_passes() {
        assert!(problem(503, r#"{"code":"retry","what":"busy"}"#).is_passing());
        assert!(problem(502, "<html>").is_passing());
        assert!(problem(503, "").is_passing());
        assert!(!problem(503, r#"{"code":"store_failed","what":"a","why":"b"}"#).is_passing());
        assert!(!problem(404, r#"{"code":"no_project","id":"a"}"#).is_passing());
        assert!(!problem(500, "").is_passing());
    }
}
