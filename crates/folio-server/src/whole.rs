//! A whole log, or the rest of one, as lines: sent as it is read, one part ahead of the client, so that neither waits for
//! the other and a log of any length takes the memory of two parts.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use folio::log::MAX_PAGE_ENTRIES;
use folio::{AppendLog, Lines, Page, ReadOptions, Result, Seq};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream};

use crate::budget::Reservation;
use crate::page::{self, Text};
use crate::state::App;

/// What `limit` says where the whole log is wanted.
pub(crate) const ALL: &str = "all";

/// Bytes of payloads of one part, but for the entry that exceeds it.
const PART: usize = 1 << 20;

/// Sends all that lies after `options.since` and before `options.before`, up to the head of this moment, with a line for
/// every hole. Where the log can't be read on, the answer breaks off: its last chunk never comes.
pub(crate) async fn get(app: &App, log: &Arc<dyn AppendLog>, options: ReadOptions) -> Result<Response> {
    let options = ReadOptions { limit: MAX_PAGE_ENTRIES, max_bytes: PART, ..options };
    // The part that is sent, and the one that is read.
    let memory = app.answers.reserve(2 * page::most_bytes(app, &options)).await?;
    let first = log.read_stored(options.clone()).await?;
    let head = first.head;
    // What comes meanwhile is not sent.
    let last = head.seq.min(options.before.map_or(Seq::MAX, |before| before.saturating_sub(1)));
    let options = ReadOptions { before: Some(last + 1), ..options };
    let mut whole = Whole { log: Arc::clone(log), options, last, sending: None, next: None, _memory: memory };
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
    next: Option<Reading>,
    _memory: Reservation,
}

/// A part that is being read, or has been.
enum Reading {
    Now(BoxFuture<'static, Result<Page<Lines>>>),
    Done(Page<Lines>),
}

impl Whole {
    /// Sends `page` next, and reads what comes behind it meanwhile.
    fn send(&mut self, page: Page<Lines>) {
        // A log that was cut since ends sooner.
        let moved = page.gap.is_some() || !page.entries.is_empty();
        if let Some(place) = page.next.filter(|place| moved && place.seq < self.last) {
            let (log, options) = (Arc::clone(&self.log), ReadOptions { since: Some(place.into()), ..self.options.clone() });
            self.next = Some(Reading::Now(async move { log.read_stored(options).await }.boxed()));
        }
        self.sending = Some(page::lines(page));
    }
}

impl Stream for Whole {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            // With each piece that is sent the reading is driven on.
            let mut read = Poll::Pending;
            if let Some(Reading::Now(reading)) = &mut self.next {
                read = reading.poll_unpin(context);
            }
            match read {
                Poll::Ready(Ok(page)) => self.next = Some(Reading::Done(page)),
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Pending => {}
            }
            if let Some(piece) = self.sending.as_mut().and_then(Iterator::next) {
                return Poll::Ready(Some(Ok(piece)));
            }
            match self.next.take() {
                Some(Reading::Done(page)) => self.send(page),
                None => return Poll::Ready(None),
                reading => {
                    self.next = reading;
                    return Poll::Pending;
                }
            }
        }
    }
}
