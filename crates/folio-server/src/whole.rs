//! A whole log, or the rest of one, as lines: sent as it is read, one part ahead of the client, so that neither waits for
//! the other and a log of any length takes the memory of two parts.
//!
//! | file | holds |
//! | --- | --- |
//! | `body` | the parts as the body of an answer of the HTTP stack |
//! | `pass` | the same on a connection that left it: lines that are known to be good are passed on by the system |

mod body;
mod pass;

use std::sync::Arc;

use axum::response::Response;
use folio::{AppendLog, Error, Lines, Page, ReadOptions, Result, Seq};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::task::AbortHandle;

use crate::budget::Reservation;
use crate::connection::{Handover, Leave};
use crate::state::App;
use crate::{page, reply};

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
    let whole = Whole { log: Arc::clone(log), options, last, first, part, memory };
    let mut response = Response::new(reply::unknown_length());
    page::describe_lines(response.headers_mut(), head);
    response.extensions_mut().insert(Handover::new(Leave::Lines(Box::new(whole))));
    Ok(response)
}

/// A log that is about to be sent.
pub(crate) struct Whole {
    log: Arc<dyn AppendLog>,
    options: ReadOptions,
    /// Seq of the last entry that is sent.
    last: Seq,
    first: Page<Lines>,
    /// Bytes of a part, at most.
    part: usize,
    memory: Reservation,
}

/// How the part behind `page` is read; `None` where there is none.
fn behind<E>(page: &Page<E>, last: Seq, options: &ReadOptions) -> Option<Result<ReadOptions>> {
    let place = page.next.filter(|place| place.seq < last)?;
    if page.gap.is_none() && page.entries.is_empty() {
        return Some(Err(Error::Retry { what: "the log was cut while it was sent".into() }));
    }
    Some(Ok(ReadOptions { since: Some(place.into()), ..options.clone() }))
}

/// A part that is being read by a task, so that it gets to its end also where the client takes nothing: others may wait for
/// what it holds.
struct Reading<P: Clone> {
    part: Shared<BoxFuture<'static, Result<P>>>,
    driver: AbortHandle,
}

impl<P: Clone + Send + Sync + 'static> Reading<P> {
    fn begin(part: impl Future<Output = Result<P>> + Send + 'static) -> Self {
        let part = part.boxed().shared();
        // The task may have to wait until this one pauses.
        let _ = part.clone().now_or_never();
        Self { driver: tokio::spawn(part.clone().map(drop)).abort_handle(), part }
    }
}

impl<P: Clone> Drop for Reading<P> {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
