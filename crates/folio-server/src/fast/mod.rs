//! The quick way for the call that is made most: an append.
//!
//! A connection begins here. As long as its requests are appends that are understood completely, they are answered here,
//! from a buffer of the connection's own and without a general representation of head and answer. The first request that
//! is anything else goes to the HTTP stack unchanged, byte by byte, with the connection; it never comes back. So what is
//! answered here is only ever what the stack would answer, which a test compares.
//!
//! | file | holds |
//! | --- | --- |
//! | `head` | which heads are understood |
//! | `append` | the calls, and their answers |

mod append;
mod head;

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, timeout, timeout_at};

use self::append::{Appender, Outcome};
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

/// Serves appends until something else comes.
pub(crate) async fn serve(stream: TcpStream, app: &Arc<App>) -> Next {
    let mut connection = Connection { stream, buffer: Vec::new(), read: 0, deadline: None, idle: None };
    let mut appender = Appender::new(app);
    loop {
        let (head, body) = match head::parse(connection.unread(), LARGEST) {
            Parsed::Append(append) => {
                let whole = append.head + append.length;
                if connection.unread().len() < whole {
                    match connection.rest().await {
                        Read::More => continue,
                        Read::Late => return connection.into_stack(),
                        Read::End => return Next::Closed,
                    }
                }
                (append, whole)
            }
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
        let request = connection.unread().get(..body).unwrap_or_default();
        match appender.answer(&head, request, app).await {
            Outcome::Answer => {}
            Outcome::Stack => return connection.into_stack(),
        }
        (connection.read, connection.deadline) = (connection.read + body, None);
        if !connection.write(appender.text(), app).await {
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

    /// Writes an answer. False: the client takes none.
    async fn write(&mut self, mut text: &[u8], app: &App) -> bool {
        loop {
            match self.stream.try_write(text) {
                Ok(written) => text = text.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !matches!(timeout(app.config.write_timeout, self.stream.writable()).await, Ok(Ok(()))) {
                        return false;
                    }
                }
                Err(_) => return false,
            }
            if text.is_empty() {
                return true;
            }
        }
    }
}

#[cfg(test)]
mod tests;
