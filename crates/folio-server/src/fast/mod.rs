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
use self::append::Appender;
use self::connection::{Connection, Read};
use self::doc::Writer;
use self::file::Body;
use self::head::{Append, Parsed, PutDoc};
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
    let (mut appender, mut writer, mut answer) = (Appender::new(app), Writer::default(), Answer::default());
    let largest = LARGEST.min(app.config.max_head);
    let idle = app.config.idle_timeout;
    let patience = if place == Place::Committer { QUIET.min(idle) } else { idle };
    let mut done = 0;
    loop {
        if *app.draining.borrow() && !connection.unread().is_empty() {
            // It answers this one, says that it was the last, and ends the connection.
            return End::Stack;
        }
        let (whole, outcome) = match head::parse(connection.unread(), largest) {
            Parsed::Append(_) if place == Place::Server => return End::Moves,
            Parsed::Append(_) if place == Place::Waiting && done >= MORE => return End::Moves,
            Parsed::File(_) | Parsed::Doc(_) if place == Place::Committer => return End::Moves,
            Parsed::Append(Append { head, length, .. }) | Parsed::Doc(PutDoc { head, length, .. })
                if connection.unread().len() < head + length =>
            {
                match connection.rest().await {
                    Read::More => continue,
                    Read::Late | Read::End => return End::Stack,
                }
            }
            Parsed::Append(append) => {
                let whole = append.head + append.length;
                let request = connection.unread().get(..whole).unwrap_or_default();
                (whole, appender.answer(&append, request, &mut answer, app).await)
            }
            Parsed::Doc(put) => {
                let whole = put.head + put.length;
                let request = connection.unread().get(..whole).unwrap_or_default();
                (whole, writer.answer(&put, request, &mut answer, app).await)
            }
            Parsed::File(get) => (get.head, file::answer(&get, &mut answer, app).await),
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
