//! Event streams, parsed as the HTML standard says.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::{Response, StatusCode, header};
use serde_json::Value;

use crate::Result;

/// How long a frame may take before a test is called stuck. Keep-alives come far more often.
const PATIENCE: Duration = Duration::from_secs(60);

/// A dispatched event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// `message` where the stream named none.
    pub event: String,
    /// The last event id, also where an earlier frame set it.
    pub id: String,
    /// Lines joined by line feeds.
    pub data: String,
}

impl Frame {
    /// The data as JSON.
    ///
    /// # Errors
    /// Where it is not.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.data).map_err(|e| format!("{e} in {self:?}").into())
    }
}

/// A stream being read.
#[derive(Debug)]
pub struct EventStream {
    response: Response,
    parser: Parser,
    ready: VecDeque<Frame>,
}

impl EventStream {
    pub(crate) fn new(response: Response) -> Result<Self> {
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if response.status() != StatusCode::OK || !kind.starts_with("text/event-stream") {
            return Err(format!("no event stream: {} {kind}", response.status()).into());
        }
        Ok(Self { response, parser: Parser::default(), ready: VecDeque::new() })
    }

    /// The next frame; `None` once the stream ended or the connection broke.
    ///
    /// # Errors
    /// When nothing at all comes for a minute.
    pub async fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Ok(Some(frame));
            }
            match tokio::time::timeout(PATIENCE, self.response.chunk()).await {
                Err(_) => return Err("the event stream fell silent".into()),
                Ok(Ok(Some(bytes))) => self.ready.extend(self.parser.feed(&bytes)),
                Ok(Ok(None) | Err(_)) => return Ok(None),
            }
        }
    }

    /// The next frame, which must come.
    ///
    /// # Errors
    /// As [`EventStream::next`], and at the end.
    pub async fn expect(&mut self) -> Result<Frame> {
        Ok(self.next().await?.ok_or("the event stream ended")?)
    }

    /// What the server asked for as the delay before reconnecting, in milliseconds.
    #[must_use]
    pub fn retry(&self) -> Option<u64> {
        self.parser.retry
    }
}

/// The parser of the standard: section "Interpreting an event stream".
#[derive(Debug, Default)]
struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    begun: bool,
    event: String,
    data: String,
    id: String,
    retry: Option<u64>,
}

impl Parser {
    fn feed(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        for &byte in bytes {
            let follows_cr = std::mem::take(&mut self.after_cr);
            match byte {
                b'\n' if follows_cr => {}
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    frames.extend(self.take_line(&String::from_utf8_lossy(&line)));
                }
                _ => self.line.push(byte),
            }
        }
        frames
    }

    fn take_line(&mut self, line: &str) -> Option<Frame> {
        let first = !std::mem::replace(&mut self.begun, true);
        let line = if first { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event = value.to_owned(),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.id = value.to_owned(),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => self.retry = value.parse().ok().or(self.retry),
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Frame> {
        let event = std::mem::take(&mut self.event);
        let mut data = std::mem::take(&mut self.data);
        data.pop()?;
        let event = if event.is_empty() { "message".to_owned() } else { event };
        Some(Frame { event, id: self.id.clone(), data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Vec<(String, String, String)> {
        // One byte at a time, so that no boundary is special.
        let mut parser = Parser::default();
        let frames = text.bytes().flat_map(|byte| parser.feed(&[byte]));
        frames.map(|frame| (frame.event, frame.id, frame.data)).collect()
    }

    fn frame(event: &str, id: &str, data: &str) -> (String, String, String) {
        (event.into(), id.into(), data.into())
    }

    #[test]
    fn the_examples_of_the_standard() {
        assert_eq!(parse("data: YHOO\ndata: +2\ndata: 10\n\n"), [frame("message", "", "YHOO\n+2\n10")]);
        assert_eq!(
            parse(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"),
            [frame("message", "1", "first event"), frame("message", "", "second event"), frame("message", "", " third event")]
        );
        assert_eq!(parse("data\n\ndata\ndata\n\ndata:"), [frame("message", "", ""), frame("message", "", "\n")]);
    }

    #[test]
    fn line_ends_ids_and_names() {
        assert_eq!(parse("\u{feff}event: a\r\nid: 5\rdata: x\n\r\n"), [frame("a", "5", "x")]);
        assert_eq!(parse("event: a\n\ndata: x\n\n"), [frame("message", "", "x")], "an event without data resets its name");
        assert_eq!(parse("id: 5\n\ndata: x\n\n"), [frame("message", "5", "x")], "an id without data stays");
    }
}
