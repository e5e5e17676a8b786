//! An incremental reader of event streams, by the rules of the HTML standard ("Interpreting an event stream").

#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::{Buf, Bytes};

/// Bytes of a comment that are kept.
const COMMENT: usize = 300;

/// One event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Frame {
    /// Its type; `message` where the stream names none.
    pub(crate) event: String,
    /// The data lines, joined by line feeds.
    pub(crate) data: String,
    /// The last event id of the stream, which stays until another one comes; empty before the first.
    pub(crate) id: String,
}

/// A line or an event is larger than the bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooLong;

/// Reads events from chunks that may be cut anywhere. Holds at most one chunk and one event.
#[derive(Debug)]
pub(crate) struct Parser {
    limit: usize,
    chunk: Bytes,
    /// The beginning of a line whose end is in no chunk yet.
    line: Vec<u8>,
    /// A CR ended the last line, so a LF that follows belongs to it.
    after_cr: bool,
    first_line: bool,
    event: String,
    data: String,
    id: String,
    retry: Option<Duration>,
    comment: String,
}

impl Parser {
    /// Accepts lines and events of up to `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            chunk: Bytes::new(),
            line: Vec::new(),
            after_cr: false,
            first_line: true,
            event: String::new(),
            data: String::new(),
            id: String::new(),
            retry: None,
            comment: String::new(),
        }
    }

    /// Takes the next chunk, once [`Parser::next`] has said that it needs one.
    pub(crate) fn feed(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty());
        self.chunk = chunk;
    }

    /// The reconnection time that the stream asked for last.
    pub(crate) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// The last comment since the last event, shortened: why a stream ends, where the other side says it.
    pub(crate) fn comment(&self) -> &str {
        &self.comment
    }

    /// The next event, or `None` when the next chunk is needed for it. What stands before the end of a stream without
    /// an empty line after it is no event.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, TooLong> {
        loop {
            if self.after_cr && !self.chunk.is_empty() {
                self.after_cr = false;
                if self.chunk.starts_with(b"\n") {
                    self.chunk.advance(1);
                }
            }
            let end = self.chunk.iter().position(|&byte| byte == b'\n' || byte == b'\r');
            let piece = self.chunk.split_to(end.unwrap_or(self.chunk.len()));
            if self.line.len() + piece.len() > self.limit {
                return Err(TooLong);
            }
            if end.is_none() {
                self.line.extend_from_slice(&piece);
                return Ok(None);
            }
            self.after_cr = self.chunk.starts_with(b"\r");
            self.chunk.advance(1);
            let frame = if self.line.is_empty() {
                self.take(&piece)?
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(&piece);
                self.take(&line)?
            };
            if frame.is_some() {
                return Ok(frame);
            }
        }
    }

    fn take(&mut self, line: &[u8]) -> Result<Option<Frame>, TooLong> {
        let first = std::mem::take(&mut self.first_line);
        let line = if first { line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line) } else { line };
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        let (name, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => {
                let value = line.get(colon + 1..).unwrap_or_default();
                (line.get(..colon).unwrap_or_default(), value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        match name {
            b"event" => self.event = text(value),
            b"data" => {
                self.data.push_str(&String::from_utf8_lossy(value));
                self.data.push('\n');
                if self.data.len() > self.limit + 1 {
                    return Err(TooLong);
                }
            }
            b"id" if !value.contains(&0) => self.id = text(value),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                self.retry = Some(Duration::from_millis(text(value).parse().unwrap_or(u64::MAX)));
            }
            b"" => self.comment = text(value.get(..COMMENT).unwrap_or(value)),
            _ => {}
        }
        Ok(None)
    }

    fn dispatch(&mut self) -> Option<Frame> {
        let mut data = std::mem::take(&mut self.data);
        let mut event = std::mem::take(&mut self.event);
        // The line feed that every data line left; without one there was no data, and so no event.
        data.pop()?;
        self.comment.clear();
        if event.is_empty() {
            event.push_str("message");
        }
        Some(Frame { event, data, id: self.id.clone() })
    }
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}
