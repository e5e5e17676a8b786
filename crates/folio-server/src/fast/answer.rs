//! The head of an answer, or a whole one, as text of the connection's own.

use std::fmt::Write;
use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Response};

use crate::guard::Caller;
use crate::problem::Problem;
use crate::{connection, cors, date, reply};

/// The last answer of a connection.
#[derive(Default)]
pub(super) struct Answer {
    text: String,
    date: Date,
}

impl Answer {
    /// What is sent: the head, and the body where it is text.
    pub(super) fn text(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Begins one whose head is ready-made but for its end, up to which `head` has to write.
    pub(super) fn ready_made(&mut self, head: std::fmt::Arguments<'_>, body: &str) {
        self.text.clear();
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(head);
        self.end(Some(body.len()), body);
    }

    /// A refusal, whole.
    pub(super) fn refused(&mut self, problem: &Problem) {
        let body = problem.body();
        self.head(problem.clone().into_response());
        self.end(Some(body.len()), &String::from_utf8_lossy(&body));
    }

    /// The head alone, of a response that says how long its body is.
    pub(super) fn described(&mut self, response: Response) {
        self.head(response);
        self.end(None, "");
    }

    /// As the stack makes it of what a call answers.
    fn head(&mut self, mut response: Response) {
        cors::allow(response.headers_mut(), &Caller::Own);
        connection::harden(&mut response);
        self.text.clear();
        reply::write_head(&mut self.text, response.status(), response.headers());
    }

    fn end(&mut self, length: Option<usize>, body: &str) {
        let date = self.date.text();
        if let Some(length) = length {
            let _ = write!(self.text, "content-length: {length}\r\n");
        }
        let _ = write!(self.text, "date: {date}\r\n\r\n{body}");
    }
}

/// The date of answers, written anew once a second.
#[derive(Default)]
struct Date {
    text: String,
    until: Option<Instant>,
}

impl Date {
    fn text(&mut self) -> &str {
        let now = Instant::now();
        if self.until.is_none_or(|until| until <= now) {
            (self.text, self.until) = (date::now(), Some(now + Duration::from_millis(500)));
        }
        &self.text
    }
}
