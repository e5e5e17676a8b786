//! Bodies of requests: how long they may take, how large they may be, and what is said otherwise.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use folio::{Error, Json};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, Sleep};

use crate::accept;
use crate::budget::{Budget, Reservation};
use crate::config::ServerConfig;
use crate::problem::{Problem, Refusal, shown};

/// Largest body of a call that takes only a few words, in bytes.
const SMALL: usize = 16 << 10;

/// Why a body did not arrive whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyFault {
    /// The sender was too slow.
    #[error("the body took too long")]
    Slow { seconds: u64 },
    /// The connection broke off, or the chunks are malformed.
    #[error("the body broke off: {0}")]
    Broken(String),
}

impl From<BodyFault> for Problem {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::Slow { seconds } => Refusal::RequestTimeout { what: "the body of the request", seconds }.into(),
            BodyFault::Broken(why) => Error::invalid(format!("the body of the request broke off: {why}")).into(),
        }
    }
}

/// Finds out why reading a body failed, below the layers that it passed through.
pub(crate) fn fault(error: axum::Error) -> BodyFault {
    match error.into_inner().downcast::<BodyFault>() {
        Ok(fault) => *fault,
        Err(other) => BodyFault::Broken(other.to_string()),
    }
}

/// A body that must arrive in time. Only waiting for the sender counts, never the time that we take.
pub(crate) struct TimedBody {
    inner: Incoming,
    grace: Duration,
    /// Bytes that earn one more second.
    rate: u64,
    received: u64,
    waited: Duration,
    waiting_since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Set while some of the body was not read.
    unread: Arc<AtomicBool>,
}

impl TimedBody {
    pub(crate) fn new(inner: Incoming, config: &ServerConfig, unread: Arc<AtomicBool>) -> Self {
        unread.store(!inner.is_end_stream(), Ordering::Relaxed);
        Self {
            inner,
            grace: config.body_timeout,
            rate: config.body_rate,
            received: 0,
            waited: Duration::ZERO,
            waiting_since: None,
            sleep: None,
            unread,
        }
    }

    fn allowance(&self) -> Duration {
        self.grace + Duration::from_secs(self.received / self.rate.max(1))
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let since = *self.waiting_since.get_or_insert(now);
        let deadline = since + self.allowance().saturating_sub(self.waited);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx)
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
            return match self.poll_late(cx) {
                Poll::Ready(()) => Poll::Ready(Some(Err(BodyFault::Slow { seconds: self.allowance().as_secs() }))),
                Poll::Pending => Poll::Pending,
            };
        };
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
        if let Some(Ok(frame)) = &frame {
            self.received += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        if frame.is_none() || self.inner.is_end_stream() {
            self.unread.store(false, Ordering::Relaxed);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| BodyFault::Broken(error.to_string()))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A body in memory, and the memory it takes.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) bytes: Bytes,
    /// Twice the body: it is held once more in its parsed form. To be kept as long as that.
    pub(crate) memory: Reservation,
}

/// Reads a body whole.
pub(crate) async fn whole(mut body: Body, limit: usize, memory: &Budget) -> Result<Whole, Problem> {
    let too_large = |bytes: u64| Error::TooLarge { what: "a body".into(), bytes, limit: limit as u64 };
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(too_large(announced).into());
    }
    let mut held = memory.reserve(0).await?;
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Problem::from(fault(error)))?;
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > limit {
            return Err(too_large((bytes.len() + data.len()) as u64).into());
        }
        held.grow((bytes.len() + data.len()).saturating_mul(2)).await?;
        bytes.extend_from_slice(data);
    }
    Ok(Whole { bytes: bytes.into(), memory: held })
}

/// For calls that take no body.
pub(crate) async fn none(mut body: Body) -> Result<(), Problem> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Problem::from(fault(error)))?;
        if frame.data_ref().is_some_and(|data| !data.is_empty()) {
            return Err(Error::invalid("this call takes no body").into());
        }
    }
    Ok(())
}

/// Work on a body that is short enough for this thread.
const SHORT: usize = 64 << 10;

/// Works on `bytes` bytes, on a thread for it where that takes long: other calls must not wait.
pub(crate) async fn work<T: Send + 'static>(
    bytes: usize,
    task: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    if bytes <= SHORT {
        return task();
    }
    let failed = |e: tokio::task::JoinError| Error::Io { what: "reading the body of the request".into(), why: e.to_string() };
    tokio::task::spawn_blocking(task).await.map_err(failed)?
}

/// The media type of the body without parameters, in lower case.
fn media_type(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = value.to_str().unwrap_or_default();
            Ok(Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()))
        }
        (Some(_), Some(_)) => Err(Error::invalid("the header Content-Type is given twice").into()),
    }
}

/// Refuses any type but those `taken`, the first of which is recommended. None at all counts as that one.
pub(crate) fn expect(headers: &HeaderMap, taken: &[&'static str]) -> Result<&'static str, Problem> {
    let recommended = taken.first().copied().unwrap_or_default();
    let Some(sent) = media_type(headers)? else { return Ok(recommended) };
    match taken.iter().find(|candidate| **candidate == sent) {
        Some(found) => Ok(found),
        None => Err(Refusal::UnsupportedMediaType { content_type: shown(sent.as_bytes()), wanted: recommended }.into()),
    }
}

/// A small JSON object of ours, such as `{"horizon":7}`.
pub(crate) async fn object<T: DeserializeOwned>(headers: &HeaderMap, body: Body, memory: &Budget) -> Result<T, Problem> {
    expect(headers, &[accept::JSON])?;
    let whole = whole(body, SMALL, memory).await?;
    Ok(Json::parse(&whole.bytes)?.to()?)
}

/// Like [`object`], where no body at all means the default.
pub(crate) async fn optional_object<T: DeserializeOwned + Default>(
    headers: &HeaderMap,
    body: Body,
    memory: &Budget,
) -> Result<T, Problem> {
    let whole = whole(body, SMALL, memory).await?;
    if whole.bytes.is_empty() {
        return Ok(T::default());
    }
    expect(headers, &[accept::JSON])?;
    Ok(Json::parse(&whole.bytes)?.to()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, StreamExt, future, stream};

    const KIB: usize = 1 << 10;

    /// A body of so many bytes whose end never comes.
    fn endless(bytes: usize) -> Body {
        let begin = stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from(vec![b'1'; bytes]))]);
        Body::from_stream(begin.chain(stream::pending()))
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_share_one_bound_and_give_it_back() {
        let memory = Budget::new(400 * KIB);
        let mut held: Vec<_> = (0..2).map(|_| Box::pin(whole(endless(90 * KIB), 100 * KIB, &memory))).collect();
        for body in &mut held {
            assert!(body.as_mut().now_or_never().is_none());
        }
        let refused = whole(endless(90 * KIB), 100 * KIB, &memory).await.unwrap_err();
        assert_eq!(refused.status(), 503);
        let small = whole(Body::from("1"), 100 * KIB, &memory).await.unwrap();
        drop((small, held));
        let four = (0..2).map(|_| whole(Body::from(vec![b'1'; 100 * KIB]), 100 * KIB, &memory));
        assert!(future::try_join_all(four).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_by_its_announcement_or_when_it_gets_there() {
        let memory = Budget::new(400 * KIB);
        for body in [Body::from(vec![b'1'; 101]), endless(101)] {
            let refused = whole(body, 100, &memory).await.unwrap_err();
            assert_eq!(refused, Error::TooLarge { what: "a body".into(), bytes: 101, limit: 100 }.into());
        }
    }
}
