//! A connection to an event stream that comes back when it is lost.

use std::sync::Arc;
use std::time::Duration;

use folio::{Cursor, Error, Result};
use reqwest::Response;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use tokio::time::{Instant, sleep, timeout};

use crate::call::{Call, ascii};
use crate::http::{Failure, Http, cause};
use crate::sse::{Frame, Parser};
use crate::target::Target;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const EVENT_STREAM: &str = "text/event-stream";

/// An event stream. Holds one connection, one chunk and one event; reads only when it is asked for the next event.
pub(crate) struct Events {
    pub(crate) http: Arc<Http>,
    call: Call,
    connection: Option<(Response, Parser)>,
    /// The reconnection time that the daemon asked for last.
    retry: Option<Duration>,
    /// Times in a row that the stream was lost or could not be opened, without an event between them.
    failures: u32,
    /// When the stream was lost, until the next event comes.
    lost_at: Option<Instant>,
    why: String,
}

impl Events {
    pub(crate) fn new(http: Arc<Http>, target: Target) -> Self {
        let call = Call::get(target).header(ACCEPT, HeaderValue::from_static(EVENT_STREAM));
        Self { http, call, connection: None, retry: None, failures: 0, lost_at: None, why: String::new() }
    }

    fn call(&self, after: Option<Cursor>) -> Call {
        match after {
            Some(cursor) => self.call.clone().header(LAST_EVENT_ID, ascii(&cursor.to_string())),
            None => self.call.clone(),
        }
    }

    /// Opens the stream for the first time.
    ///
    /// # Errors
    /// Any refusal, and after some tries that nobody answers.
    pub(crate) async fn open(&mut self, after: Option<Cursor>) -> Result<()> {
        let call = self.call(after);
        match self.http.open(&call).await? {
            Ok(response) => self.connected(response),
            Err(problem) => Err(problem.into_error()),
        }
    }

    /// The next event, or `None` when the stream was lost.
    ///
    /// # Errors
    /// An event over the bound, which would come again on the next connection.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>> {
        let Some((response, parser)) = &mut self.connection else { return Ok(None) };
        let why = loop {
            let next = parser.next();
            self.retry = parser.retry().or(self.retry);
            match next {
                Ok(Some(frame)) => {
                    self.failures = 0;
                    self.lost_at = None;
                    return Ok(Some(frame));
                }
                Ok(None) => {}
                Err(_) => return Err(self.too_long()),
            }
            match timeout(self.http.options.stream_idle, response.chunk()).await {
                Ok(Ok(Some(chunk))) => parser.feed(chunk),
                Ok(Ok(None)) if parser.comment().is_empty() => break "the daemon ended the stream".to_owned(),
                Ok(Ok(None)) => break format!("the daemon ended the stream and said last: {}", parser.comment()),
                Ok(Err(e)) => break cause(&e),
                Err(_) => break format!("silent for {} s", self.http.options.stream_idle.as_secs_f32()),
            }
        };
        self.lost(why);
        Ok(None)
    }

    /// Opens the stream again, however often that takes.
    ///
    /// # Errors
    /// A refusal that waiting doesn't change, and [`ClientOptions::give_up_after`](crate::ClientOptions::give_up_after).
    pub(crate) async fn reopen(&mut self, after: Option<Cursor>) -> Result<()> {
        let call = self.call(after);
        loop {
            let mut pause = self.http.pauses.reconnect(&self.http.options, self.failures, self.retry);
            if let (Some(limit), Some(lost_at)) = (self.http.options.give_up_after, self.lost_at) {
                let left = limit.saturating_sub(lost_at.elapsed());
                if left.is_zero() {
                    return Err(self.given_up(limit));
                }
                pause = pause.min(left);
            }
            sleep(pause).await;
            self.failures = self.failures.saturating_add(1);
            match self.http.send(&call).await {
                Ok(Ok(response)) => return self.connected(response),
                Ok(Err(problem)) if problem.is_passing() => {
                    self.retry = problem.retry_after().or(self.retry);
                    self.lost(problem.into_error().to_string());
                }
                Ok(Err(problem)) => return Err(problem.into_error()),
                Err(Failure::Unsent(why) | Failure::Lost(why)) => self.lost(why),
                Err(Failure::Final(error)) => self.lost(error.to_string()),
            }
        }
    }

    fn connected(&mut self, response: Response) -> Result<()> {
        let media = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if media.split(';').next().unwrap_or_default().trim() != EVENT_STREAM {
            return Err(self.misunderstood(&format!("{} with the content type {media:?} is no event stream", response.status())));
        }
        self.connection = Some((response, Parser::new(self.http.options.max_event)));
        Ok(())
    }

    fn lost(&mut self, why: String) {
        self.connection = None;
        self.lost_at.get_or_insert_with(Instant::now);
        self.why = why;
    }

    /// Something came that makes no sense.
    pub(crate) fn misunderstood(&self, why: &str) -> Error {
        self.http.misunderstood(&self.call, why)
    }

    /// Why the stream was lost last, and where.
    pub(crate) fn last_loss(&self) -> String {
        format!("{} ({})", self.http.shown(&self.call), self.why)
    }

    fn too_long(&self) -> Error {
        let limit = self.http.options.max_event;
        Error::Transport {
            what: format!(
                "{} sent an event of more than {limit} bytes; raise ClientOptions::max_event to follow this log",
                self.http.shown(&self.call)
            ),
        }
    }

    fn given_up(&self, limit: Duration) -> Error {
        let seconds = limit.as_secs_f32();
        Error::Transport {
            what: format!("the event stream was lost and did not come back for {seconds} s: {}", self.last_loss()),
        }
    }
}
