//! The quick way for the calls that are made most: an append, and the reading of a file.
//!
//! A connection begins here. As long as its requests are such that are understood completely, they are answered here, from
//! a buffer of the connection's own and without a general representation of the request. The first one that is anything
//! else goes to the HTTP stack unchanged, byte by byte, with the connection; it never comes back. So what is
//! answered here is only ever what the stack would answer, which a test compares.
//!
//! | file | holds |
//! | --- | --- |
//! | `head` | which heads are understood |
//! | `append`, `file` | the calls |
//! | `answer` | what is answered |

mod answer;
mod append;
mod file;
mod head;

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, timeout, timeout_at};

use self::answer::Answer;
use self::append::Appender;
use self::file::Body;
use self::head::Parsed;
use crate::state::App;

/// Most bytes of a request; larger ones are the stack's, whose bounds on memory know of them.
const LARGEST: usize = 16 << 10;
/// Room for at least so many bytes is there when something is read.
const LEAST: usize = 1 << 10;
/// How long the rest of a request that has begun is waited for. The stack has more patience.
const PATIENCE: Duration = Duration::from_millis(200);

/// What becomes of a connection that was served here.
pub(crate) enum Next {
    /// The stack goes on with it: these bytes were read and belong to the next request.
    Stack(TcpStream, Bytes),
    Closed,
}

/// What became of a request.
enum Outcome {
    /// There is an answer.
    Answer,
    /// There is one, and this follows it.
    Body(Body),
    /// Nothing was done: the stack answers it.
    Stack,
}

/// Serves what it understands until something else comes.
pub(crate) async fn serve(stream: TcpStream, app: &Arc<App>) -> Next {
    let mut connection = Connection { stream, buffer: Vec::new(), read: 0, deadline: None, idle: None };
    let (mut appender, mut answer) = (Appender::new(app), Answer::default());
    let largest = LARGEST.min(app.config.max_head);
    loop {
        let (whole, outcome) = match head::parse(connection.unread(), largest) {
            Parsed::Append(append) => {
                let whole = append.head + append.length;
                let Some(request) = connection.unread().get(..whole) else {
                    match connection.rest().await {
                        Read::More => continue,
                        Read::Late => return connection.into_stack(),
                        Read::End => return Next::Closed,
                    }
                };
                (whole, appender.answer(&append, request, &mut answer, app).await)
            }
            Parsed::File(get) => (get.head, file::answer(&get, &mut answer, app).await),
            Parsed::Part if connection.unread().is_empty() => match connection.next(app).await {
                Read::More => continue,
                Read::Late | Read::End => return Next::Closed,
            },
            Parsed::Part => match connection.rest().await {
                Read::More => continue,
                // Also what the client sent before it hung up: the stack knows what to say.
                Read::Late | Read::End => return connection.into_stack(),
            },
            Parsed::Other => return connection.into_stack(),
        };
        let body = match outcome {
            Outcome::Answer => None,
            Outcome::Body(body) => Some(body),
            Outcome::Stack => return connection.into_stack(),
        };
        (connection.read, connection.deadline) = (connection.read + whole, None);
        if !connection.send(answer.text(), body, app).await {
            return Next::Closed;
        }
    }
}

/// A socket and what was read from it.
struct Connection {
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
    fn new(app: &App) -> Self {
        let mut draining = app.draining.clone();
        let stopped = async move {
            let _ = draining.wait_for(|draining| *draining).await;
        };
        Self { sleep: Box::pin(tokio::time::sleep(app.config.idle_timeout)), stopped: Box::pin(stopped) }
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

enum Read {
    More,
    Late,
    End,
}

impl Connection {
    fn unread(&self) -> &[u8] {
        self.buffer.get(self.read..).unwrap_or_default()
    }

    fn into_stack(mut self) -> Next {
        self.buffer.drain(..self.read);
        Next::Stack(self.stream, self.buffer.into())
    }

    /// Waits for the next request. [`Read::Late`] where none comes, or the server stops.
    async fn next(&mut self, app: &App) -> Read {
        self.buffer.clear();
        self.read = 0;
        if *app.draining.borrow() {
            return Read::Late;
        }
        let begin = Instant::now();
        let Self { stream, buffer, idle, .. } = self;
        poll_fn(|cx| {
            if let Poll::Ready(read) = poll_read(stream, buffer, cx) {
                return Poll::Ready(read);
            }
            // Nothing is held for a client that only waits.
            *buffer = Vec::new();
            let idle = idle.get_or_insert_with(|| Idle::new(app));
            if idle.stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Read::Late);
            }
            // Set anew only when it ends: most of the time that is for a wait that is long over.
            while idle.sleep.as_mut().poll(cx).is_ready() {
                if begin.elapsed() >= app.config.idle_timeout {
                    return Poll::Ready(Read::Late);
                }
                idle.sleep.as_mut().reset(begin + app.config.idle_timeout);
            }
            Poll::Pending
        })
        .await
    }

    /// Waits for more of a request.
    async fn rest(&mut self) -> Read {
        if self.read > 0 {
            self.buffer.drain(..self.read);
            self.read = 0;
        }
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
        if Instant::now() >= deadline {
            return Read::Late;
        }
        let Self { stream, buffer, .. } = self;
        timeout_at(deadline, poll_fn(|cx| poll_read(stream, buffer, cx))).await.unwrap_or(Read::Late)
    }

    /// Writes an answer. False: the client takes none, or what follows its head does not come.
    async fn send(&mut self, text: &[u8], body: Option<Body>, app: &App) -> bool {
        let Some(Body { first, mut rest }) = body else { return self.write(text, &[], app).await };
        if !self.write(text, &first, app).await {
            return false;
        }
        drop(first);
        while let Some(piece) = rest.next().await {
            let Ok(piece) = piece else { return false };
            if !self.write(&piece, &[], app).await {
                return false;
            }
        }
        true
    }

    /// Writes these bytes, and then those.
    async fn write(&mut self, mut these: &[u8], mut those: &[u8], app: &App) -> bool {
        loop {
            match self.stream.try_write_vectored(&[IoSlice::new(these), IoSlice::new(those)]) {
                Ok(written) => {
                    let of_these = written.min(these.len());
                    these = these.get(of_these..).unwrap_or_default();
                    those = those.get(written - of_these..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !matches!(timeout(app.config.write_timeout, self.stream.writable()).await, Ok(Ok(()))) {
                        return false;
                    }
                }
                Err(_) => return false,
            }
            if these.is_empty() && those.is_empty() {
                return true;
            }
        }
    }
}

#[cfg(test)]
mod tests;
