//! A whole log as the body of an answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use folio::{AppendLog, Error, Lines, Page, ReadOptions, Result, Seq};
use futures_util::{FutureExt, Stream};

use super::{Reading, Whole, behind};
use crate::budget::Reservation;
use crate::page::{self, Text};

impl Whole {
    /// The body, for the HTTP stack.
    pub(crate) fn body(self) -> Body {
        let Self { log, options, last, first, part, memory } = self;
        let mut parts = Parts { log, options, last, sending: None, next: None, part, memory };
        parts.send(first);
        Body::from_stream(parts)
    }
}

/// A log on its way out.
struct Parts {
    log: Arc<dyn AppendLog>,
    options: ReadOptions,
    last: Seq,
    /// What is left of a part.
    sending: Option<Text>,
    /// The part behind it, if there is one.
    next: Option<Next>,
    part: usize,
    memory: Reservation,
}

/// What comes behind a part.
enum Next {
    Read(Reading<Page<Lines>>),
    Part(Page<Lines>),
    /// Why nothing does.
    Failed(Error),
}

impl Parts {
    /// Sends `page` next, and reads what comes behind it meanwhile.
    fn send(&mut self, page: Page<Lines>) {
        self.next = behind(&page, self.last, &self.options).map(|options| match options {
            Ok(options) => {
                let log = Arc::clone(&self.log);
                Next::Read(Reading::begin(async move { log.read_stored(options).await }))
            }
            Err(error) => Next::Failed(error),
        });
        if self.next.is_none() {
            self.memory.shrink(self.part);
        }
        self.sending = Some(page::lines(page));
    }
}

impl Stream for Parts {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            // With each piece that is sent the reading is driven on, which is at once.
            if let Some(Next::Read(reading)) = &mut self.next
                && let Poll::Ready(read) = reading.part.poll_unpin(context)
            {
                self.next = Some(read.map_or_else(Next::Failed, Next::Part));
            }
            if let Some(piece) = self.sending.as_mut().and_then(Iterator::next) {
                return Poll::Ready(Some(Ok(piece)));
            }
            match self.next.take() {
                Some(Next::Part(page)) => self.send(page),
                Some(Next::Failed(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
                reading => {
                    self.next = reading;
                    return Poll::Pending;
                }
            }
        }
    }
}
