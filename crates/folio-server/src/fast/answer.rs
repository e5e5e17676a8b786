//! The head of an answer, or a whole one, as text of the connection's own.

use std::fmt::Write;
use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Response};
use folio::FileInfo;

use crate::guard::Caller;
use crate::problem::Problem;
use crate::{connection, cors, date, media, reply};

/// What [`connection::harden`] adds to answers that are data.
pub(super) const HARDENED: &str = "x-content-type-options: nosniff\r\ncross-origin-resource-policy: same-origin\r\n\
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

    /// One whose head is ready-made but for its end, up to which it is `head`. The body is text and numbers in turn.
    pub(super) fn ready_made<const N: usize>(&mut self, head: [&str; 3], body: [(&str, u64); N], last: &str) {
        let mut digits = itoa::Buffer::new();
        self.body.clear();
        for (text, number) in body {
            self.body.push_str(text);
            self.body.push_str(digits.format(number));
        }
        self.body.push_str(last);
        self.text.clear();
        head.into_iter().for_each(|part| self.text.push_str(part));
        let body = std::mem::take(&mut self.body);
        self.end(Some(body.len()), &body);
        self.body = body;
    }

    /// A refusal, whole.
    pub(super) fn refused(&mut self, problem: &Problem) {
        let body = problem.body();
        self.head(problem.clone().into_response());
        self.end(Some(body.len()), &String::from_utf8_lossy(&body));
    }

    /// The head alone, of a whole file.
    pub(super) fn file(&mut self, info: &FileInfo) {
        let (mut size, mut modified) = (itoa::Buffer::new(), itoa::Buffer::new());
        self.text.clear();
        let to_etag = [
            "HTTP/1.1 200 OK\r\ncontent-type: ",
            media::type_of(&info.path),
            "\r\ncache-control: no-cache\r\naccept-ranges: bytes\r\nlast-modified: ",
            &date::http_date(info.modified),
            "\r\nfolio-modified: ",
            modified.format(info.modified),
        ];
        to_etag.into_iter().for_each(|part| self.text.push_str(part));
        if let Some(etag) = info.etag {
            let _ = write!(self.text, "\r\netag: \"{etag}\"");
        }
        let from_size = ["\r\ncontent-length: ", size.format(info.size), "\r\nvary: Origin\r\n", HARDENED];
        from_size.into_iter().for_each(|part| self.text.push_str(part));
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
        if let Some(length) = length {
            self.text.push_str("content-length: ");
            self.text.push_str(itoa::Buffer::new().format(length));
            self.text.push_str("\r\n");
        }
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
