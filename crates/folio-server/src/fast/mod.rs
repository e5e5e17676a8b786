//! The quick way for the calls that are made most: an append, the reading of a file, and the writing of a document.
//!
//! A connection begins here. As long as its requests are such that are understood completely, they are answered here, from
//! a buffer of the connection's own and without a general representation of the request. The first one that is anything
//! else goes to the HTTP stack unchanged, byte by byte, with the connection, which stays there (but for one that left the
//! stack, too, for its answer). So what is answered here is only ever what the stack would answer, which a test compares.
//!
//! Connections that append move to the thread that commits, where the driver has one.
//!
//! | file | holds |
//! | --- | --- |
//! | `connection` | a socket, and what was read from it |
//! | `head` | which heads are understood |
//! | `append`, `file`, `doc` | the calls |
//! | `answer` | what is answered |

mod answer;
mod append;
#[cfg(any(test, fuzzing))]
pub(crate) mod compare;
mod connection;
mod doc;
mod file;
mod head;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use self::answer::Answer;
use self::connection::{Connection, Read};
use self::file::Body;
use self::head::{Call, Parsed};
use crate::state::{App, Seat};

/// Most bytes of a request; larger ones are the stack's, whose bounds on memory know of them. These are so few that they are
/// taken also where the stack would have no room.
const LARGEST: usize = 16 << 10;
/// Requests until a connection without a seat there asks for one again.
const MORE: u64 = 1_000;
/// A connection on the thread that commits from which nothing came for so long goes back.
const QUIET: Duration = Duration::from_secs(1);

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

/// What the last call of a kind on a connection was for, under its name: most connections stay with it.
struct Last<T: ?Sized>(Option<(String, Arc<T>)>);

impl<T: ?Sized> Default for Last<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: ?Sized> Last<T> {
    /// What has this name; made where it is another one than the last.
    fn get(&mut self, name: &str, make: impl FnOnce() -> Option<Arc<T>>) -> Option<Arc<T>> {
        if let Some((last, known)) = &self.0
            && last == name
        {
            return Some(Arc::clone(known));
        }
        let made = make()?;
        self.0 = Some((name.to_owned(), Arc::clone(&made)));
        Some(made)
    }
}

/// Where a connection is served.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On the server's runtime, until an append comes.
    Server,
    /// On the thread that commits, as long as appends come.
    Committer,
    /// On the server's runtime, where there was no room on that thread: for some more appends.
    Waiting,
    /// On the server's runtime, whatever comes.
    Last,
}

/// Why a connection is no longer served where it was.
enum End {
    /// Its next request is one for the other place.
    Moves,
    /// Nothing came for [`QUIET`]: its seat is for others.
    Quiet,
    Stack,
    Closed,
}

/// Serves what it understands until something else comes.
pub(crate) async fn serve(stream: TcpStream, app: &Arc<App>) -> Next {
    let mut connection = Connection::new(stream);
    let mut place = Place::Server;
    loop {
        let mut end = run(&mut connection, place, app).await;
        if matches!(end, End::Moves) {
            let Some(seat) = app.committing() else {
                place = Place::Waiting;
                continue;
            };
            match beside(connection, seat, app).await {
                Some(back) => (connection, end) = back,
                None => return Next::Closed,
            }
        }
        place = match end {
            End::Moves => Place::Last,
            End::Quiet => Place::Server,
            End::Stack => return connection.into_stack(),
            End::Closed => return Next::Closed,
        };
    }
}

/// Serves a connection on the thread that commits: an append needs no other thread then. `None`: it is closed.
async fn beside(connection: Connection, seat: Seat, app: &Arc<App>) -> Option<(Connection, End)> {
    let (Seat { runtime, permit }, app) = (seat, Arc::clone(app));
    let moving = connection.leave()?;
    // It ends with this call.
    let mut there = JoinSet::new();
    let serving = async move {
        let mut connection = moving.arrive()?;
        let end = run(&mut connection, Place::Committer, &app).await;
        drop(permit);
        match end {
            End::Closed => None,
            end => Some((connection.leave()?, end)),
        }
    };
    there.spawn_on(Box::pin(serving), &runtime);
    match there.join_next().await {
        Some(Ok(Some((moving, end)))) => Some((moving.arrive()?, end)),
        _ => None,
    }
}

/// Serves a connection in one place.
async fn run(connection: &mut Connection, place: Place, app: &Arc<App>) -> End {
    let (mut logs, mut docs, mut answer) = (Last::default(), Last::default(), Answer::default());
    let largest = LARGEST.min(app.config.max_head);
    let idle = app.config.idle_timeout;
    let patience = if place == Place::Committer { QUIET.min(idle) } else { idle };
    let mut done = 0;
    loop {
        if *app.draining.borrow() && !connection.unread().is_empty() {
            // It answers this one, says that it was the last, and ends the connection.
            return End::Stack;
        }
        let request = match head::parse(connection.unread(), largest) {
            Parsed::Request(request) => request,
            Parsed::Part if connection.unread().is_empty() => match connection.next(app, patience).await {
                Read::More => continue,
                Read::Late if place == Place::Committer => return End::Quiet,
                Read::Late | Read::End => return End::Closed,
            },
            Parsed::Part => match connection.rest().await {
                Read::More => continue,
                // Also what the client sent before it hung up: the stack knows what to say.
                Read::Late | Read::End => return End::Stack,
            },
            Parsed::Other => return End::Stack,
        };
        match (&request.call, place) {
            (Call::Append(_), Place::Server) => return End::Moves,
            (Call::Append(_), Place::Waiting) if done >= MORE => return End::Moves,
            (Call::File(_) | Call::Doc(_), Place::Committer) => return End::Moves,
            _ => {}
        }
        let whole = request.whole();
        let Some(body) = connection.unread().get(request.head..whole) else {
            match connection.rest().await {
                Read::More => continue,
                Read::Late | Read::End => return End::Stack,
            }
        };
        if !app.guard.serves(request.host) || body.len() > app.config.limits.body {
            return End::Stack;
        }
        let outcome = match &request.call {
            Call::Append(append) => append::answer(append, body, &mut logs, &mut answer, app).await,
            Call::File(get) => file::answer(get, &mut answer, app).await,
            Call::Doc(put) => doc::answer(put, body, &mut docs, &mut answer, app).await,
        };
        let body = match outcome {
            Outcome::Answer => None,
            Outcome::Body(body) => Some(body),
            Outcome::Stack => return End::Stack,
        };
        connection.done(whole);
        done += 1;
        if !connection.send(answer.text(), body, app).await {
            return End::Closed;
        }
    }
}

#[cfg(test)]
mod tests;
