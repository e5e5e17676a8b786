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

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use self::append::{Appender, Outcome};
use self::head::Parsed;
use crate::state::App;

/// Most bytes of a request; larger ones are the stack's, whose bounds on memory know of them.
const LARGEST: usize = 16 << 10;
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
    let mut connection = Connection { stream, buffer: Vec::new(), read: 0, deadline: None };
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
        if let Some(read) = self.try_read() {
            return read;
        }
        // Nothing is held for a client that only waits.
        self.buffer = Vec::new();
        let mut draining = app.draining.clone();
        tokio::select! {
            read = timeout(app.config.idle_timeout, self.wait()) => read.unwrap_or(Read::Late),
            _ = draining.wait_for(|draining| *draining) => Read::Late,
        }
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
        match self.try_read() {
            Some(read) => read,
            None => timeout_at(deadline, self.wait()).await.unwrap_or(Read::Late),
        }
    }

    async fn wait(&mut self) -> Read {
        loop {
            if self.stream.readable().await.is_err() {
                return Read::End;
            }
            if let Some(read) = self.try_read() {
                return read;
            }
        }
    }

    /// Reads what is there; `None` where nothing is.
    fn try_read(&mut self) -> Option<Read> {
        if self.buffer.capacity() == self.buffer.len() {
            self.buffer.reserve(2 << 10);
        }
        match self.stream.try_read_buf(&mut self.buffer) {
            Ok(0) => Some(Read::End),
            Ok(_) => Some(Read::More),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => Some(Read::End),
        }
    }

    /// Writes an answer. False: the client takes none.
    async fn write(&self, mut text: &[u8], app: &App) -> bool {
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
