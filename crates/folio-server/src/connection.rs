//! One connection: its requests one after another, from the guard to the router and back.

use std::convert::Infallible;
use std::fmt::Write;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Method, Request, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tower::Service;

use crate::body::TimedBody;
use crate::problem::{Problem, Refusal};
use crate::socket::{HeadFault, Phase, Socket};
use crate::state::App;
use crate::stream::{self, Open};
use crate::whole::Whole;
use crate::{cors, date, fast, frame, reply, send, sse};

/// Most that is held of what a client sends or does not read, in bytes.
const BUFFER: usize = 128 << 10;

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Serves one client until it leaves, or the server stops. What is returned is an event stream that goes on, on a
/// connection that is not one any more.
pub(crate) async fn serve(mut stream: TcpStream, app: Arc<App>, router: Router) -> Option<impl Future<Output = ()> + use<>> {
    // Without this, small frames of a live stream would wait for the acknowledgement of the last one.
    let _ = stream.set_nodelay(true);
    loop {
        let first;
        (stream, first) = match fast::serve(stream, &app).await {
            fast::Next::Stack(stream, first) => (stream, first),
            fast::Next::Closed => return None,
        };
        let (socket, Leaving { mut head, leave, keeps }) = by_the_stack(stream, first, &app, &router).await?;
        match leave {
            Leave::Events(open) => {
                head.push_str("connection: close\r\n\r\n");
                let head = [head.into_bytes(), sse::opening(&app)].concat();
                if *app.draining.borrow() {
                    // Nobody serves it any more: it ends as the others did.
                    if send::write(&socket, &head, &[], app.config.write_timeout).await {
                        send::close(socket).await;
                    }
                    return None;
                }
                return Some(stream::serve(app, socket, head, open));
            }
            Leave::Lines(whole) => {
                head.push_str("transfer-encoding: chunked\r\n");
                head.push_str(if keeps { "\r\n" } else { "connection: close\r\n\r\n" });
                if !whole.pass(&socket, head.into_bytes(), app.config.write_timeout).await {
                    return None;
                }
                if !keeps {
                    send::close(socket).await;
                    return None;
                }
                stream = socket;
            }
        }
    }
}

/// Serves a connection by the HTTP stack, until it ends or leaves.
async fn by_the_stack(stream: TcpStream, first: Bytes, app: &Arc<App>, router: &Router) -> Option<(TcpStream, Leaving)> {
    let phase = Arc::new(Phase::default());
    let (leave, mut left) = mpsc::channel(1);
    let mut socket = Socket::new(stream, first, Arc::clone(&phase), &app.config);
    let leaving = {
        let service = service_fn(|request| {
            // At once, not when the future is polled: the socket is read before that.
            phase.begin();
            answer(request, Arc::clone(app), router.clone(), Arc::clone(&phase), leave.clone())
        });
        let mut http = http1::Builder::new();
        // The socket has timers of its own, which tell a slow head from an idle connection.
        http.header_read_timeout(None)
            .max_header_size(app.config.max_head.saturating_mul(2))
            .max_buf_size(BUFFER.max(app.config.max_head.saturating_mul(2)));
        let mut connection = pin!(http.serve_connection(TokioIo::new(&mut socket), service));
        let mut draining = app.draining.clone();
        let ended = tokio::select! {
            // Before the stack reads on for a connection that has left.
            biased;
            Some(leaving) = left.recv() => Ended::Left(leaving),
            _ = connection.as_mut() => Ended::Served,
            _ = draining.wait_for(|draining| *draining) => Ended::Draining,
        };
        match ended {
            Ended::Served => None,
            Ended::Left(leaving) => Some(leaving),
            Ended::Draining => {
                connection.as_mut().graceful_shutdown();
                // What is being answered may still leave.
                tokio::select! {
                    biased;
                    Some(leaving) = left.recv() => Some(Leaving { keeps: false, ..leaving }),
                    _ = connection => None,
                }
            }
        }
    };
    if let Some(leaving) = leaving {
        // Something may have been read while it left.
        let keeps = leaving.keeps && phase.is_free();
        return Some((socket.into_inner(), Leaving { keeps, ..leaving }));
    }
    if let Some(fault) = socket.fault() {
        refuse_head(&mut socket, fault, app).await;
    }
    None
}

/// Answers a head that did not come whole, in place of the protocol machine, which would only hang up.
async fn refuse_head(socket: &mut Socket, fault: HeadFault, app: &App) {
    let problem: Problem = match fault {
        HeadFault::Slow => {
            Refusal::RequestTimeout { what: "the head of the request", seconds: app.config.head_timeout.as_secs() }.into()
        }
        HeadFault::Large => Refusal::HeaderTooLarge { limit: app.config.max_head }.into(),
    };
    let (status, body) = (problem.status(), problem.body());
    let head = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         x-content-type-options: nosniff\r\nconnection: close\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        body.len()
    );
    socket.linger();
    if socket.write_all(head.as_bytes()).await.is_ok() && socket.write_all(&body).await.is_ok() {
        let _ = socket.shutdown().await;
    }
}

/// One request.
async fn answer(
    request: Request<Incoming>,
    app: Arc<App>,
    mut router: Router,
    phase: Arc<Phase>,
    leave: mpsc::Sender<Leaving>,
) -> Result<Response<Counted>, Infallible> {
    let (head, body) = request.into_parts();
    let method = head.method.clone();
    // Or it has something else to say of the connection.
    let keeps = head.version == Version::HTTP_11 && !head.headers.contains_key(CONNECTION);
    let body = TimedBody::new(body, &app.config, Arc::clone(&phase.unread));
    let mut response = match app.guard.check(&head) {
        Err(problem) => problem.into_response(),
        Ok(caller) => {
            let mut response = match cors::preflight(&head, &caller) {
                Some(response) => response,
                None => {
                    let Ok(response) = router.call(Request::from_parts(head, Body::new(body))).await;
                    response
                }
            };
            cors::allow(response.headers_mut(), &caller);
            response
        }
    };
    harden(&mut response);
    if phase.unread.load(Ordering::Relaxed) {
        // What is left of the body is not waited for, so nothing can come after it.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(leaves) = response.extensions_mut().remove::<Handover>().and_then(Handover::take)
        && method == Method::GET
    {
        // Lines come in chunks, and leave the rest to who asks for more.
        if (keeps || matches!(leaves, Leave::Events(_))) && phase.is_free() {
            let _ = leave.try_send(Leaving { head: head_of(&response), leave: leaves, keeps });
            // Nobody asks for the answer any more.
            return std::future::pending().await;
        }
        *response.body_mut() = match leaves {
            Leave::Events(open) => sse::body(&app, open.events, frame::log_event, open.permit),
            Leave::Lines(whole) => whole.body(),
        };
    }
    if *app.draining.borrow() {
        // This request was the last, also where it came before the stack was told.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Counted { inner: body, phase }))
}

/// The head of an answer as text, but for what tells where its body ends.
fn head_of(response: &Response) -> String {
    let mut text = String::new();
    reply::write_head(&mut text, response.status(), response.headers());
    let _ = write!(text, "date: {}\r\n", date::now());
    text
}

/// A connection that leaves the HTTP stack.
struct Leaving {
    /// The head of the answer, but for its end.
    head: String,
    leave: Leave,
    /// More requests may come when it has been sent.
    keeps: bool,
}

/// What follows the head.
pub(crate) enum Leave {
    Events(Open),
    Lines(Box<Whole>),
}

/// How a connection was served by the HTTP stack.
enum Ended {
    Served,
    Left(Leaving),
    Draining,
}

/// A body on its way from the call that opened it, past what cares for every answer, to the connection.
#[derive(Clone)]
pub(crate) struct Handover(Arc<Mutex<Option<Leave>>>);

impl Handover {
    pub(crate) fn new(leave: Leave) -> Self {
        Self(Arc::new(Mutex::new(Some(leave))))
    }

    fn take(self) -> Option<Leave> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Whatever users stored is only ever data to a browser that comes here: it runs nothing of it under this origin, and
/// hands none of it to other pages.
pub(crate) fn harden(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static("sandbox"));
}

/// The body of an answer; when it goes, the request is over.
struct Counted {
    inner: Body,
    phase: Arc<Phase>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.phase.end();
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        std::pin::Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
