//! A whole log, or the rest of one, as lines: sent as it is read, one part ahead of the client, so that neither waits for
//! the other and a log of any length takes the memory of two parts.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use folio::{AppendLog, Error, Lines, Page, ReadOptions, Result, Seq};
use futures_util::future::{BoxFuture, Shared};
use futures_util::{FutureExt, Stream};
use tokio::task::AbortHandle;

use crate::budget::Reservation;
use crate::page::{self, Text};
use crate::state::App;

/// What `limit` says where the whole log is wanted.
pub(crate) const ALL: &str = "all";

/// Bytes of the lines of one part, but for the entry that exceeds it.
const PART: usize = 1 << 20;
/// Entries of one part.
const ENTRIES: usize = 5_000;

/// Sends all that lies after `options.since` and before `options.before`, up to the head of this moment, with a line for
/// every hole. Where the log can't be read on, the answer breaks off: its last chunk never comes.
pub(crate) async fn get(app: &App, log: &Arc<dyn AppendLog>, options: ReadOptions) -> Result<Response> {
    let options = ReadOptions { limit: ENTRIES, max_bytes: PART, ..options };
    // The part that is sent, and the one that is read; at most all that there is.
    let part = page::most_bytes(app, &options);
    let memory = app.answers.reserve((2 * part).min(app.config.memory / 2)).await?;
    let first = log.read_stored(options.clone()).await?;
    let head = first.head;
    // What comes meanwhile is not sent.
    let last = head.seq.min(options.before.map_or(Seq::MAX, |before| before.saturating_sub(1)));
    let options = ReadOptions { before: Some(last + 1), ..options };
    let mut whole = Whole { log: Arc::clone(log), options, last, sending: None, next: None, part, memory };
    whole.send(first);
    let mut response = Response::new(Body::from_stream(whole));
    page::describe_lines(response.headers_mut(), head);
    Ok(response)
}

/// A log on its way out.
struct Whole {
    log: Arc<dyn AppendLog>,
    options: ReadOptions,
    /// Seq of the last entry that is sent.
    last: Seq,
    /// What is left of a part.
    sending: Option<Text>,
    /// The part behind it, if there is one.
    next: Option<Next>,
    /// Bytes of a part, at most.
    part: usize,
    memory: Reservation,
}

/// What comes behind a part.
enum Next {
    Read(Reading),
    Part(Page<Lines>),
    /// Why nothing does.
    Failed(Error),
}

/// A part that is being read. Driven on with each piece that is sent, which is at once; and by a task, so that it gets to
/// its end also where the client takes nothing: others may wait for what it holds.
struct Reading {
    page: Shared<BoxFuture<'static, Result<Page<Lines>>>>,
    driver: AbortHandle,
}

impl Reading {
    fn begin(log: &Arc<dyn AppendLog>, options: ReadOptions) -> Self {
        let log = Arc::clone(log);
        let page = async move { log.read_stored(options).await }.boxed().shared();
        Self { driver: tokio::spawn(page.clone().map(drop)).abort_handle(), page }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Whole {
    /// Sends `page` next, and reads what comes behind it meanwhile.
    fn send(&mut self, page: Page<Lines>) {
        let moved = page.gap.is_some() || !page.entries.is_empty();
        self.next = page.next.filter(|place| place.seq < self.last).map(|place| {
            if moved {
                Next::Read(Reading::begin(&self.log, ReadOptions { since: Some(place.into()), ..self.options.clone() }))
            } else {
                Next::Failed(Error::Retry { what: "the log was cut while it was sent".into() })
            }
        });
        if self.next.is_none() {
            self.memory.shrink(self.part);
        }
        self.sending = Some(page::lines(page));
    }
}

impl Stream for Whole {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            // With each piece that is sent the reading is driven on.
            if let Some(Next::Read(reading)) = &mut self.next
                && let Poll::Ready(read) = reading.page.poll_unpin(context)
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
