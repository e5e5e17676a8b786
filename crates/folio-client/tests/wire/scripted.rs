//! A server that plays raw answers, one for each connection, and breaks connections where it is told to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use folio_client::{ClientOptions, HttpDriver};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How a connection ends once the answer was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// In order.
    Close,
    /// With a reset.
    Reset,
    /// Not at all.
    Hold,
}

/// What a connection is answered with.
pub(crate) struct Play {
    bytes: Vec<u8>,
    end: End,
    /// Answer once the head of the request is there, and leave its body unread.
    early: bool,
}

impl Play {
    /// These bytes as they are, then the end.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>, end: End) -> Self {
        Self { bytes: bytes.into(), end, early: false }
    }

    /// A whole answer.
    pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        let text = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
        Self::raw(text, End::Close)
    }

    /// A whole answer with a JSON body.
    pub(crate) fn json(status: &str, body: &str) -> Self {
        Self::answer(status, "content-type: application/json\r\n", body)
    }

    /// A refusal.
    pub(crate) fn problem(status: &str, headers: &str, body: &str) -> Self {
        Self::answer(status, &format!("content-type: application/problem+json\r\n{headers}"), body)
    }

    /// Without reading the body of the request.
    pub(crate) fn early(self) -> Self {
        Self { early: true, ..self }
    }

    /// The first `bytes` bytes of it, then `end`.
    pub(crate) fn cut(mut self, bytes: usize, end: End) -> Self {
        self.bytes.truncate(bytes);
        Self { end, ..self }
    }

    /// All but the last `bytes` bytes of it, then `end`.
    pub(crate) fn short(self, bytes: usize, end: End) -> Self {
        let kept = self.bytes.len() - bytes;
        self.cut(kept, end)
    }
}

/// The server. It stops when it is dropped.
pub(crate) struct Scripted {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Scripted {
    /// Asks `script` for the answer to each request, counted from 0.
    pub(crate) async fn start(script: impl Fn(usize, &str) -> Play + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            for count in 0.. {
                let (mut socket, _) = listener.accept().await.unwrap();
                let Some((head, length)) = read_head(&mut socket).await else { continue };
                let play = script(count, &head);
                let body = if play.early { String::new() } else { read_body(&mut socket, length).await };
                seen.lock().unwrap().push(head + &body);
                // The client may be gone already.
                let _ = socket.write_all(&play.bytes).await;
                match play.end {
                    End::Close => drop(socket),
                    End::Reset => socket.set_zero_linger().unwrap(),
                    End::Hold => held.push(socket),
                }
            }
        });
        Self { url, requests, task }
    }

    /// Answers each request with the next of these; a further one would be a fault.
    pub(crate) async fn of(plays: Vec<Play>) -> Self {
        let plays = Mutex::new(plays.into_iter());
        Self::start(move |_, _| plays.lock().unwrap().next().expect("one request more than the script has")).await
    }

    /// The requests so far, as text.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// A driver without long pauses.
    pub(crate) fn driver(&self) -> HttpDriver {
        self.driver_with(quick())
    }

    pub(crate) fn driver_with(&self, options: ClientOptions) -> HttpDriver {
        HttpDriver::with_options(&self.url, options).unwrap()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Options without long pauses.
pub(crate) fn quick() -> ClientOptions {
    let ms = Duration::from_millis;
    ClientOptions {
        backoff: ms(1),
        reconnect: ms(0),
        reconnect_cap: ms(2),
        backoff_cap: ms(2),
        seed: Some(7),
        ..Default::default()
    }
}

/// The head of a request, and the length of its body; `None` for a body in chunks.
async fn read_head(socket: &mut TcpStream) -> Option<(String, Option<usize>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let lower = head.to_lowercase();
    if lower.contains("transfer-encoding: chunked") {
        return Some((head, None));
    }
    let length = lower.split("\r\ncontent-length: ").nth(1).map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
    Some((head, Some(length)))
}

async fn read_body(socket: &mut TcpStream, length: Option<usize>) -> String {
    let mut body = Vec::new();
    match length {
        Some(length) => {
            body.resize(length, 0);
            // The client may break off.
            let _ = socket.read_exact(&mut body).await;
        }
        None => {
            while !body.ends_with(b"\r\n0\r\n\r\n") {
                match socket.read_buf(&mut body).await {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                }
            }
        }
    }
    String::from_utf8_lossy(&body).into_owned()
}
