//! Bodies that are sent from a caller's stream.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use folio::{ByteStream, Error, Result};
use futures_core::Stream;
use futures_util::{StreamExt, stream};

/// A body of up to so many bytes is kept in memory, so that it can be sent again.
const KEPT: usize = 1 << 20;

/// What is sent with a call.
#[derive(Clone)]
pub(crate) enum Payload {
    /// Nothing.
    None,
    /// Bytes in memory.
    Bytes(Bytes),
    /// A stream, which can be sent once.
    Stream(Arc<Upload>),
}

impl Payload {
    /// Takes a caller's stream: into memory where it is short (or came in one piece), else as it is.
    ///
    /// # Errors
    /// The stream's own.
    pub(crate) async fn of_stream(mut body: ByteStream) -> Result<Self> {
        let mut kept: Vec<Bytes> = Vec::new();
        let mut size = 0;
        while let Some(piece) = body.next().await {
            let piece = piece?;
            let enough = size > KEPT;
            size += piece.len();
            kept.push(piece);
            if enough {
                let whole = stream::iter(kept.into_iter().map(Ok)).chain(body).boxed();
                return Ok(Self::Stream(Arc::new(Upload::new(whole))));
            }
        }
        Ok(Self::Bytes(match <[Bytes; 1]>::try_from(kept) {
            Ok([piece]) => piece,
            Err(pieces) => pieces.concat().into(),
        }))
    }

    /// True while the whole body can be sent (again).
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::None | Self::Bytes(_) => true,
            Self::Stream(upload) => upload.pieces() == 0,
        }
    }

    /// A number that changes while a stream is being sent.
    pub(crate) fn progress(&self) -> u64 {
        match self {
            Self::None | Self::Bytes(_) => 0,
            Self::Stream(upload) => upload.pieces(),
        }
    }

    /// Bytes that are sent from memory.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::None | Self::Stream(_) => 0,
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// The error with which the caller's stream ended, if it did.
    pub(crate) fn failure(&self) -> Option<Error> {
        match self {
            Self::None | Self::Bytes(_) => None,
            Self::Stream(upload) => upload.state().failure.take(),
        }
    }

    /// As a body of the HTTP client.
    pub(crate) fn body(&self) -> Option<reqwest::Body> {
        match self {
            Self::None => None,
            Self::Bytes(bytes) => Some(bytes.clone().into()),
            Self::Stream(upload) => Some(reqwest::Body::wrap_stream(Sending(Arc::clone(upload)))),
        }
    }
}

/// A stream that is on its way, shared by the call and the connection that sends it.
pub(crate) struct Upload(Mutex<State>);

struct State {
    body: ByteStream,
    pieces: u64,
    failure: Option<Error>,
}

impl Upload {
    fn new(body: ByteStream) -> Self {
        Self(Mutex::new(State { body, pieces: 0, failure: None }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pieces(&self) -> u64 {
        self.state().pieces
    }
}

struct Sending(Arc<Upload>);

impl Stream for Sending {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.state();
        let polled = state.body.poll_next_unpin(cx);
        if let Poll::Ready(piece) = &polled {
            state.pieces += 1;
            if let Some(Err(error)) = piece {
                state.failure = Some(error.clone());
            }
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(pieces: Vec<Result<Bytes>>) -> Result<Payload> {
        Payload::of_stream(stream::iter(pieces).boxed()).await
    }

    #[tokio::test]
    async fn short_bodies_are_kept_and_long_ones_stream() {
        let kept = |payload: Payload| match payload {
            Payload::Bytes(bytes) => bytes.len(),
            _ => panic!("not kept"),
        };
        let mib = || Ok(Bytes::from(vec![7; 1 << 20]));
        assert_eq!(kept(of(vec![]).await.unwrap()), 0);
        assert_eq!(kept(of(vec![Ok("ab".into()), Ok("".into()), Ok("c".into())]).await.unwrap()), 3);
        assert_eq!(kept(of(vec![Ok(vec![0; 5 << 20].into())]).await.unwrap()), 5 << 20, "in one piece, so in memory already");

        let long = of(vec![mib(), mib(), mib(), mib()]).await.unwrap();
        assert!(matches!(long, Payload::Stream(_)) && long.is_whole());
        let Payload::Stream(upload) = &long else { unreachable!() };
        let sent: Vec<_> = Sending(Arc::clone(upload)).collect().await;
        assert_eq!(sent.into_iter().map(|piece| piece.unwrap().len()).sum::<usize>(), 4 << 20);
        assert!(!long.is_whole());
    }

    #[tokio::test]
    async fn the_callers_error_is_kept() {
        let broken = Error::invalid("broken");
        assert_eq!(of(vec![Err(broken.clone())]).await.err(), Some(broken.clone()));
        let mib = || Ok(Bytes::from(vec![7; 1 << 20]));
        let long = of(vec![mib(), mib(), mib(), Err(broken.clone())]).await.unwrap();
        let Payload::Stream(upload) = &long else { unreachable!() };
        let sent: Vec<_> = Sending(Arc::clone(upload)).collect().await;
        assert_eq!(sent.last().unwrap(), &Err(broken.clone()));
        assert_eq!(long.failure(), Some(broken));
    }
}
