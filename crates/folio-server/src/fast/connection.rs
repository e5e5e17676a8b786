//! A connection that is served the quick way: its socket, and what was read from it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, timeout_at};

use super::Next;
use super::file::Body;
use crate::send::pass::{self, Passed};
use crate::send::write;
use crate::state::App;

/// Room for at least so many bytes is there when something is read.
const LEAST: usize = 1 << 10;
/// How long the rest of a request that has begun is waited for. The stack has more patience.
const PATIENCE: Duration = Duration::from_millis(200);

/// A socket and what was read from it.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of the buffer that are done with.
    read: usize,
    /// When the stack has the request that has begun, if it is not there whole by then.
    deadline: Option<Instant>,
    idle: Option<Idle>,
}

/// What ends the wait for a request that does not come.
struct Idle {
    sleep: Pin<Box<Sleep>>,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Idle {
    fn new(app: &App, most: Duration) -> Self {
        let mut draining = app.draining.clone();
        let stopped = async move {
            let _ = draining.wait_for(|draining| *draining).await;
        };
        Self { sleep: Box::pin(tokio::time::sleep(most)), stopped: Box::pin(stopped) }
    }
}

/// Reads what is there.
fn poll_read(stream: &mut TcpStream, buffer: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<Read> {
    if buffer.capacity() - buffer.len() < LEAST {
        buffer.reserve(LEAST);
    }
    let mut reading = pin!(stream.read_buf(buffer));
    reading.as_mut().poll(cx).map(|read| match read {
        Ok(read) if read > 0 => Read::More,
        _ => Read::End,
    })
}

/// What became of waiting for more.
pub(super) enum Read {
    More,
    Late,
    End,
}

/// A connection on its way to another runtime.
pub(super) struct Moving {
    stream: std::net::TcpStream,
    buffer: Vec<u8>,
    deadline: Option<Instant>,
}

impl Moving {
    /// Goes on with it on the runtime this is called on.
    pub(super) fn arrive(self) -> Option<Connection> {
        let stream = TcpStream::from_std(self.stream).ok()?;
        Some(Connection { buffer: self.buffer, deadline: self.deadline, ..Connection::new(stream) })
    }
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new(), read: 0, deadline: None, idle: None }
    }

    /// Leaves the runtime.
    pub(super) fn leave(mut self) -> Option<Moving> {
        self.forget();
        Some(Moving { stream: self.stream.into_std().ok()?, buffer: self.buffer, deadline: self.deadline })
    }

    /// So many bytes of what was read are done with.
    pub(super) fn done(&mut self, whole: usize) {
        (self.read, self.deadline) = (self.read + whole, None);
    }

    /// Lets go of what is done with.
    fn forget(&mut self) {
        self.buffer.drain(..self.read);
        self.read = 0;
    }

    pub(super) fn unread(&self) -> &[u8] {
        self.buffer.get(self.read..).unwrap_or_default()
    }

    pub(super) fn into_stack(mut self) -> Next {
        self.forget();
        Next::Stack(self.stream, self.buffer.into())
    }

    /// Waits for the next request, for so long at most. [`Read::End`] also where the server stops.
    pub(super) async fn next(&mut self, app: &App, most: Duration) -> Read {
        self.buffer.clear();
        self.read = 0;
        if *app.draining.borrow() {
            return Read::End;
        }
        let begin = Instant::now();
        let Self { stream, buffer, idle, .. } = self;
        poll_fn(|cx| {
            if let Poll::Ready(read) = poll_read(stream, buffer, cx) {
                return Poll::Ready(read);
            }
            // Nothing is held for a client that only waits.
            *buffer = Vec::new();
            let idle = idle.get_or_insert_with(|| Idle::new(app, most));
            if idle.stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Read::End);
            }
            // Set anew only when it ends: most of the time that is for a wait that is long over.
            while idle.sleep.as_mut().poll(cx).is_ready() {
                if begin.elapsed() >= most {
                    return Poll::Ready(Read::Late);
                }
                idle.sleep.as_mut().reset(begin + most);
            }
            Poll::Pending
        })
        .await
    }

    /// Waits for more of a request.
    pub(super) async fn rest(&mut self) -> Read {
        self.forget();
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
        if Instant::now() >= deadline {
            return Read::Late;
        }
        let Self { stream, buffer, .. } = self;
        timeout_at(deadline, poll_fn(|cx| poll_read(stream, buffer, cx))).await.unwrap_or(Read::Late)
    }

    /// Writes an answer. False: the client takes none, or what follows its head does not come.
    pub(super) async fn send(&mut self, text: &[u8], body: Option<Body>, app: &App) -> bool {
        let patience = app.config.write_timeout;
        let mut rest = match body {
            None => return write(&self.stream, text, &[], patience).await,
            Some(Body::Read(first, rest)) => {
                if !write(&self.stream, text, &first, patience).await {
                    return false;
                }
                rest
            }
            Some(Body::Passed(file, size, rest)) => {
                if !write(&self.stream, text, &[], patience).await {
                    return false;
                }
                match pass::on(&self.stream, Arc::new(file), 0..size, rest, patience).await {
                    Passed::All => return true,
                    Passed::Unable(rest) => rest,
                    Passed::Failed => return false,
                }
            }
        };
        while let Some(piece) = rest.next().await {
            let Ok(piece) = piece else { return false };
            if !write(&self.stream, &piece, &[], patience).await {
                return false;
            }
        }
        true
    }
}
