//! An event stream as the body of an answer: frames when there are some, a comment when it was silent for long.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use folio::{Error, Result};
use futures_core::stream::{BoxStream, Stream};
use http::header::VARY;
use http::{HeaderName, HeaderValue};
use http_body::Frame;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use crate::accept;
use crate::frame::{self, After};
use crate::problem::{Problem, shown};
use crate::reply::{self, PIECE};
use crate::state::App;

/// How long clients stay away that are sent away.
const AWAY: Duration = Duration::from_secs(10);

const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Writes one event; says whether the stream ends with it.
type Write<E> = fn(&mut Vec<u8>, &E) -> After;

/// A place for one more stream, or `None` when there are too many.
pub(crate) fn place(app: &App) -> Option<OwnedSemaphorePermit> {
    app.streams.clone().try_acquire_owned().ok()
}

/// Streams `source`.
pub(crate) fn stream<E: 'static>(
    app: &App,
    source: BoxStream<'static, Result<E>>,
    write: Write<E>,
    place: OwnedSemaphorePermit,
) -> Response {
    response(body(app, source, write, place))
}

/// What every stream begins with.
pub(crate) fn opening(app: &App) -> Vec<u8> {
    let mut out = Vec::new();
    frame::retry(&mut out, jittered(app.config.retry));
    out
}

/// `source` as a body.
pub(crate) fn body<E: 'static>(
    app: &App,
    source: BoxStream<'static, Result<E>>,
    write: Write<E>,
    place: OwnedSemaphorePermit,
) -> Body {
    let mut draining = app.draining.clone();
    let out = opening(app);
    Body::new(Events {
        source,
        write,
        out,
        keep_alive: app.config.keep_alive,
        silence: Box::pin(tokio::time::sleep(app.config.keep_alive)),
        stop: Box::pin(async move {
            let _ = draining.wait_for(|draining| *draining).await;
        }),
        ended: false,
        _place: place,
    })
}

/// Sends the client away for a while. Not with a status: on any but 200 a browser never comes back.
pub(crate) fn shed(why: &str) -> Response {
    let mut out = Vec::new();
    send_away(&mut out, why);
    response(Body::from(out))
}

/// An error that ends a stream. The client comes back with the last id it has, so nothing is lost.
pub(crate) fn farewell(out: &mut Vec<u8>, error: &Error) {
    send_away(out, &shown(error.to_string().as_bytes()));
}

fn send_away(out: &mut Vec<u8>, why: &str) {
    frame::comment(out, why);
    frame::retry(out, AWAY);
}

/// Answers a subscription that failed: for the client to fix, or to try again later.
pub(crate) fn refuse(error: Error) -> Result<Response, Problem> {
    let problem = Problem::from(error);
    let lasting = matches!(problem, Problem::Store(Error::NewerFormat { .. } | Error::Unsupported { .. }));
    if lasting || !problem.status().is_server_error() {
        return Err(problem);
    }
    Ok(shed(&shown(problem.detail().as_bytes())))
}

/// The answer that a stream is the body of.
pub(crate) fn response(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    reply::describe(headers, accept::EVENTS, "no-store");
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
    response
}

/// Up to a half more, so that clients of a restarted server don't come back all at once.
fn jittered(wait: Duration) -> Duration {
    wait + wait.mul_f64(fastrand::f64() / 2.0)
}

/// The body. It holds one piece at most, and takes the next event only when that piece was taken.
struct Events<E> {
    source: BoxStream<'static, Result<E>>,
    write: Write<E>,
    out: Vec<u8>,
    keep_alive: Duration,
    silence: Pin<Box<Sleep>>,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

impl<E> Events<E> {
    /// Takes what is ready, up to a piece.
    fn fill(&mut self, cx: &mut Context<'_>) {
        while !self.ended && self.out.len() < PIECE {
            match Pin::new(&mut self.source).poll_next(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(event))) => self.ended = (self.write)(&mut self.out, &event) == After::Ends,
                Poll::Ready(Some(Err(error))) => {
                    farewell(&mut self.out, &error);
                    self.ended = true;
                }
                Poll::Ready(None) => self.ended = true,
            }
        }
    }
}

impl<E: 'static> http_body::Body for Events<E> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        if !this.ended && this.stop.as_mut().poll(cx).is_ready() {
            this.ended = true;
        }
        this.fill(cx);
        if this.out.is_empty() && !this.ended && this.silence.as_mut().poll(cx).is_ready() {
            this.out.extend_from_slice(frame::KEEP_ALIVE);
        }
        if !this.out.is_empty() {
            let next = Instant::now() + this.keep_alive;
            this.silence.as_mut().reset(next);
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.out).into()))));
        }
        if this.ended { Poll::Ready(None) } else { Poll::Pending }
    }
}
