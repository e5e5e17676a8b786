//! A client that sends exactly what it is told to, byte for byte.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a test waits for what must come, before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for what must come.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}

/// A request, with the `Host` header of its target unless one is given.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self { method: method.into(), target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = body.into();
        self
    }

    /// As sent. A `Host` of `-` leaves the header out.
    fn bytes(&self, address: SocketAddr) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.has("host") {
            text += &format!("host: {address}\r\n");
        }
        for (name, value) in &self.headers {
            if !(name == "host" && value == "-") {
                text += &format!("{name}: {value}\r\n");
            }
        }
        if !self.body.is_empty() && !self.has("content-length") && !self.has("transfer-encoding") {
            text += &format!("content-length: {}\r\n", self.body.len());
        }
        text += "\r\n";
        [text.as_bytes(), &self.body].concat()
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(present, _)| present.eq_ignore_ascii_case(name))
    }
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The one value of a header; fails where there are several.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(present, _)| present == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    /// All values of a header that may be there several times.
    pub(crate) fn all(&self, name: &str) -> String {
        let values = self.headers.iter().filter(|(present, _)| present == name);
        values.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", ")
    }

    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The code of a refusal, after checking its shape.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["type"], "about:blank", "{problem}");
        assert_eq!(problem["status"], self.status, "{problem}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem["code"].as_str().unwrap_or_else(|| panic!("{problem}")).to_owned()
    }

    /// Checks a refusal and returns its sentence.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> String {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{}", String::from_utf8_lossy(&self.body));
        self.json()["detail"].as_str().unwrap().to_owned()
    }
}

/// A connection, with what was read of it and not used yet.
pub(crate) struct Connection {
    address: SocketAddr,
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// One call on a connection of its own.
pub(crate) async fn call(address: SocketAddr, request: Request) -> Answer {
    let mut connection = Connection::open(address).await;
    let head = request.method == "HEAD";
    connection.send(&request).await;
    connection.answer_to(head).await
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self { address, stream: TcpStream::connect(address).await.unwrap(), buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, request: &Request) {
        self.send_bytes(&request.bytes(self.address)).await;
    }

    /// Sends; a server that hangs up meanwhile is no failure here.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Reads more; false at the end.
    pub(crate) async fn more(&mut self) -> bool {
        let mut chunk = [0; 16 << 10];
        let read = within("something to read", self.stream.read(&mut chunk)).await.unwrap_or(0);
        self.buffer.extend_from_slice(&chunk[..read]);
        read > 0
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8(self.buffer[..end].to_vec()).unwrap();
                self.buffer.drain(..end + 2);
                return line;
            }
            assert!(self.more().await, "the connection ended in {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    /// Status and headers of the next answer.
    pub(crate) async fn head(&mut self) -> Answer {
        loop {
            let status: u16 = self.line().await.split(' ').nth(1).unwrap().parse().unwrap();
            let mut headers = Vec::new();
            loop {
                let line = self.line().await;
                let Some((name, value)) = line.split_once(": ") else { break };
                headers.push((name.to_ascii_lowercase(), value.to_owned()));
            }
            if status != 100 {
                return Answer { status, headers, body: Vec::new() };
            }
        }
    }

    /// The next answer, to a HEAD request or another.
    pub(crate) async fn answer_to(&mut self, head: bool) -> Answer {
        let mut answer = self.head().await;
        if head || answer.status == 204 || answer.status == 304 {
            return answer;
        }
        match answer.header("content-length") {
            Some(length) => answer.body = self.take(length.parse().unwrap()).await,
            None => {
                while let Some(piece) = self.piece(&answer).await {
                    answer.body.extend(piece);
                }
            }
        }
        answer
    }

    /// The last bytes of what was read, at most so many.
    pub(crate) fn last(&self, count: usize) -> Vec<u8> {
        self.buffer[self.buffer.len().saturating_sub(count)..].to_vec()
    }

    /// Throws away what was read, and says how much that was.
    pub(crate) fn forget(&mut self) -> usize {
        let read = self.buffer.len();
        self.buffer.clear();
        read
    }

    /// False where the connection ends instead.
    pub(crate) async fn answer_begins(&mut self) -> bool {
        !self.buffer.is_empty() || self.more().await
    }

    /// The next bytes.
    pub(crate) async fn take(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            assert!(self.more().await, "the body ended after {} of {length} bytes", self.buffer.len());
        }
        self.buffer.drain(..length).collect()
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        self.answer_to(false).await
    }

    /// The next chunk of a body in chunks, or `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line().await, 16).unwrap();
        while self.buffer.len() < size + 2 {
            assert!(self.more().await, "the connection ended inside a chunk");
        }
        let chunk = self.buffer.drain(..size).collect();
        self.buffer.drain(..2);
        (size > 0).then_some(chunk)
    }

    /// The next bytes of a body without a length, in chunks or up to the end of the connection; `None` at its end.
    pub(crate) async fn piece(&mut self, head: &Answer) -> Option<Vec<u8>> {
        if head.header("transfer-encoding").is_some() {
            return self.chunk().await;
        }
        let there = !self.buffer.is_empty() || self.more().await;
        there.then(|| std::mem::take(&mut self.buffer))
    }

    /// True once the server has hung up and everything was read.
    pub(crate) async fn ended(&mut self) -> bool {
        self.buffer.clear();
        while self.more().await {
            self.buffer.clear();
        }
        true
    }
}
