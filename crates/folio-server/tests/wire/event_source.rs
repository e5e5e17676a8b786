//! Reads event streams by the letter of the HTML standard (9.2.6, "Interpreting an event stream").

use crate::client::{Answer, Connection, Request};
use crate::server::TestServer;

/// What `EventSource` dispatches.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Event {
    /// `message` where the stream names none.
    pub(crate) name: String,
    pub(crate) data: String,
    pub(crate) last_event_id: String,
}

/// The parser.
#[derive(Default)]
pub(crate) struct Parser {
    text: Vec<u8>,
    begun: bool,
    name: String,
    data: String,
    last_event_id: String,
    id_buffer: String,
    pub(crate) retry: Option<u64>,
    pub(crate) comments: Vec<String>,
}

impl Parser {
    /// Takes bytes; gives the events that they complete.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.text.extend_from_slice(bytes);
        if !self.begun && self.text.len() >= 3 {
            self.begun = true;
            if self.text.starts_with("\u{feff}".as_bytes()) {
                self.text.drain(..3);
            }
        }
        let mut events = Vec::new();
        while let Some(line) = self.line() {
            events.extend(self.take(&line));
        }
        events
    }

    /// A line ends with CR LF, LF or CR; a CR at the very end may be half of a CR LF.
    fn line(&mut self) -> Option<String> {
        let end = self.text.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
        let width = match &self.text[end..] {
            [b'\r', b'\n', ..] => 2,
            [b'\r'] => return None,
            _ => 1,
        };
        let line = String::from_utf8_lossy(&self.text[..end]).into_owned();
        self.text.drain(..end + width);
        Some(line)
    }

    fn take(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            return self.dispatch();
        }
        if let Some(comment) = line.strip_prefix(':') {
            self.comments.push(comment.trim().to_owned());
            return None;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = value.to_owned(),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.id_buffer = value.to_owned(),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => self.retry = value.parse().ok(),
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        self.last_event_id = self.id_buffer.clone();
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        let data = data.strip_suffix('\n')?.to_owned();
        let name = if name.is_empty() { "message".into() } else { name };
        Some(Event { name, data, last_event_id: self.last_event_id.clone() })
    }
}

/// An open event stream.
pub(crate) struct Stream {
    connection: Connection,
    pub(crate) head: Answer,
    pub(crate) parser: Parser,
    ready: std::collections::VecDeque<Event>,
    ended: bool,
    /// Everything that came.
    pub(crate) raw: Vec<u8>,
}

impl Stream {
    /// Opens one; the status is for the caller to judge.
    pub(crate) async fn open(server: &TestServer, target: &str, headers: &[(&str, &str)]) -> Self {
        let mut request = Request::new("GET", target).header("accept", "text/event-stream");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut connection = server.connect().await;
        connection.send(&request).await;
        let head = connection.head().await;
        Self { connection, head, parser: Parser::default(), ready: [].into(), ended: false, raw: Vec::new() }
    }

    /// One more piece of the body; false at its end.
    pub(crate) async fn chunk(&mut self) -> bool {
        if self.ended {
            return false;
        }
        match self.connection.piece(&self.head).await {
            Some(bytes) => {
                self.raw.extend_from_slice(&bytes);
                self.ready.extend(self.parser.feed(&bytes));
                true
            }
            None => {
                self.ended = true;
                false
            }
        }
    }

    /// The next event, or `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if !self.chunk().await {
                return None;
            }
        }
    }

    /// An event that has come already.
    pub(crate) fn ready_now(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    /// The body of an answer that was no stream.
    pub(crate) async fn body(&mut self, length: usize) -> String {
        String::from_utf8(self.connection.take(length).await).unwrap()
    }

    /// The next event in short: `name id data`.
    pub(crate) async fn short(&mut self) -> String {
        match self.next().await {
            Some(event) => format!("{} {} {}", event.name, event.last_event_id, event.data),
            None => "end".into(),
        }
    }

    /// Events up to the end.
    pub(crate) async fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

#[test]
fn the_parser_keeps_to_the_standard() {
    let mut parser = Parser::default();
    let mut events = Vec::new();
    let text = "\u{feff}: hello\r\rdata: a\rdata:b\r\n\nid: 1\nevent: x\ndata\ndata\n\nevent: y\n\nid: 2\0\ndata:  c\n\nid\ndata: d\n\nretry: 5x\nretry: 7\nfoo: bar\ndata: cut off";
    for byte in text.as_bytes() {
        events.extend(parser.feed(&[*byte]));
    }
    let event = |name: &str, data: &str, id: &str| Event { name: name.into(), data: data.into(), last_event_id: id.into() };
    assert_eq!(
        events,
        [event("message", "a\nb", ""), event("x", "\n", "1"), event("message", " c", "1"), event("message", "d", "")]
    );
    assert_eq!((parser.retry, parser.comments), (Some(7), vec!["hello".to_owned()]));
}
