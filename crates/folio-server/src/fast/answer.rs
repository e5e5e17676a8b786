//! The head of an answer, or a whole one, as text of the connection's own.

use std::fmt::Write;
use std::time::{Duration, Instant};

use axum::response::IntoResponse;
use folio::{DocKey, Etag, FileInfo};
use http::header::CONTENT_LENGTH;

use crate::guard::Caller;
use crate::problem::Problem;
use crate::{connection, cors, date, media, reply};

/// What [`cors::allow`] and [`connection::harden`] add to answers that are data.
const ALWAYS: &str = "vary: Origin\r\nx-content-type-options: nosniff\r\ncross-origin-resource-policy: same-origin\r\n\
    content-security-policy: sandbox\r\n";

/// The last answer of a connection.
#[derive(Default)]
pub(super) struct Answer {
    text: String,
    /// What follows the head of one that is ready-made.
    body: String,
    date: Date,
}

impl Answer {
    /// What is sent: the head, and the body where it is text.
    pub(super) fn text(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// One whose head begins with `head`. The body is text and numbers in turn.
    pub(super) fn numbers<const N: usize>(&mut self, head: [&str; 2], body: [(&str, u64); N], last: &str) {
        let mut digits = itoa::Buffer::new();
        self.body.clear();
        for (text, number) in body {
            self.body.push_str(text);
            self.body.push_str(digits.format(number));
        }
        self.body.push_str(last);
        self.begin(head);
        self.end_with_body();
    }

    /// What is told of a document that was written. Its key is of plain characters.
    pub(super) fn written(&mut self, key: &DocKey, etag: Etag, created: bool) {
        self.body.clear();
        let _ = writeln!(self.body, "{{\"key\":\"{key}\",\"etag\":\"{etag}\"}}");
        let status = if created { "201 Created" } else { "200 OK" };
        self.begin(["HTTP/1.1 ", status, "\r\ncontent-type: application/json\r\ncache-control: no-store\r\n"]);
        self.tag(etag);
        self.end_with_body();
    }

    /// The head alone, of a whole file.
    pub(super) fn file(&mut self, info: &FileInfo) {
        self.begin([
            "HTTP/1.1 200 OK\r\ncontent-type: ",
            media::type_of(&info.path),
            "\r\ncache-control: no-cache\r\naccept-ranges: bytes\r\nlast-modified: ",
            &date::http_date(info.modified),
            "\r\nfolio-modified: ",
            itoa::Buffer::new().format(info.modified),
            "\r\n",
        ]);
        if let Some(etag) = info.etag {
            self.tag(etag);
        }
        self.end_of_length(info.size);
        self.end("");
    }

    /// A refusal, whole, as the stack makes it of what a call answers.
    pub(super) fn refused(&mut self, problem: &Problem) {
        let (mut response, body) = (problem.clone().into_response(), problem.body());
        let headers = response.headers_mut();
        reply::set(headers, CONTENT_LENGTH, &body.len().to_string());
        cors::allow(headers, &Caller::Own);
        connection::harden(&mut response);
        self.text.clear();
        reply::write_head(&mut self.text, response.status(), response.headers());
        self.end(&String::from_utf8_lossy(&body));
    }

    fn begin<const N: usize>(&mut self, parts: [&str; N]) {
        self.text.clear();
        parts.into_iter().for_each(|part| self.text.push_str(part));
    }

    fn tag(&mut self, etag: Etag) {
        let _ = write!(self.text, "etag: \"{etag}\"\r\n");
    }

    /// What every answer that is data has behind its own headers.
    fn end_of_length(&mut self, length: u64) {
        for part in ["content-length: ", itoa::Buffer::new().format(length), "\r\n", ALWAYS] {
            self.text.push_str(part);
        }
    }

    fn end_with_body(&mut self) {
        let body = std::mem::take(&mut self.body);
        self.end_of_length(body.len() as u64);
        self.end(&body);
        self.body = body;
    }

    fn end(&mut self, body: &str) {
        ["date: ", self.date.text(), "\r\n\r\n", body].into_iter().for_each(|part| self.text.push_str(part));
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
