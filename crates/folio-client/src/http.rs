//! Sending calls: timeouts, retries, and failures in words.

#[cfg(test)]
mod tests;

use std::error::Error as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use folio::{Error, Result};
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};
use tokio::time::{Instant, sleep, timeout};

use crate::call::{Call, Repeat};
use crate::options::ClientOptions;
use crate::pause::Pauses;
use crate::problem::Problem;
use crate::target;

/// Largest refusal that is read, in bytes.
const MAX_PROBLEM: usize = 64 << 10;

/// What came back: what was asked for, or a refusal.
pub(crate) type Reply<T> = Result<T, Problem>;

/// An answer with its whole body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The connection to a daemon, shared by everything that the driver hands out.
#[derive(Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    base: String,
    pub(crate) options: ClientOptions,
    pub(crate) pauses: Pauses,
}

/// Why a call has no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It never left: no connection.
    Unsent(String),
    /// The connection broke before the whole answer was there.
    Lost(String),
    /// Trying again doesn't help.
    Final(Error),
}

impl Http {
    /// Does no I/O.
    pub(crate) fn new(address: &str, options: ClientOptions) -> Result<Self> {
        let base = target::base(address)?;
        let client = reqwest::Client::builder()
            .user_agent(concat!("folio-client/", env!("CARGO_PKG_VERSION")))
            // The daemon listens on this machine: a proxy of the environment would not reach it.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(options.connect_timeout)
            // Below the idle time of servers, so that a pooled connection is seldom one that the other side just closed.
            .pool_idle_timeout(Duration::from_secs(15))
            .tcp_nodelay(true)
            .build()
            .map_err(|e| Error::Transport { what: format!("the HTTP client for {base} could not be made: {}", cause(&e)) })?;
        let pauses = Pauses::new(options.seed);
        Ok(Self { client, base, options, pauses })
    }

    /// A call as it stands in messages.
    pub(crate) fn shown(&self, call: &Call) -> String {
        format!("{} {}{}", call.method, self.base, call.target.as_str())
    }

    /// Sends a call and reads the whole answer.
    pub(crate) async fn fetch(&self, call: &Call) -> Result<Reply<Answer>> {
        let mut tries = Tries::new(self, call);
        loop {
            let outcome = match self.send(call).await {
                Ok(Ok(response)) => self.whole(call, response, self.options.max_answer).await.map(Ok),
                Ok(Err(problem)) => Ok(Err(problem)),
                Err(failure) => Err(failure),
            };
            if let Some(done) = tries.judge(outcome).await {
                return done;
            }
        }
    }

    /// Sends a call; the body of the answer is left to be read.
    pub(crate) async fn open(&self, call: &Call) -> Result<Reply<Response>> {
        let mut tries = Tries::new(self, call);
        loop {
            let outcome = self.send(call).await;
            if let Some(done) = tries.judge(outcome).await {
                return done;
            }
        }
    }

    /// One try, up to the head of the answer; a refusal is read whole.
    pub(crate) async fn send(&self, call: &Call) -> Result<Reply<Response>, Failure> {
        let mut request = self.client.request(call.method.clone(), format!("{}{}", self.base, call.target.as_str()));
        request = request.headers(call.headers.clone());
        if let Some(body) = call.payload.body() {
            request = request.body(body);
        }
        let sending = request.send();
        tokio::pin!(sending);
        let patience = self.options.answer_timeout + Duration::from_secs(call.payload.len() as u64 >> 20);
        let response = loop {
            let progress = call.payload.progress();
            match timeout(patience, &mut sending).await {
                Ok(Ok(response)) => break response,
                Ok(Err(e)) => {
                    return Err(match call.payload.failure() {
                        Some(error) => Failure::Final(error),
                        None if e.is_connect() => Failure::Unsent(cause(&e)),
                        None => Failure::Lost(cause(&e)),
                    });
                }
                Err(_) if call.payload.progress() > progress => {}
                Err(_) => return Err(self.silent(call)),
            }
        };
        if response.status().is_success() {
            return Ok(Ok(response));
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = match self.whole(call, response, MAX_PROBLEM).await {
            Ok(answer) => answer.body,
            Err(Failure::Final(_)) => Bytes::new(),
            Err(failure) => return Err(failure),
        };
        Ok(Err(Problem::new(self.shown(call), status, &headers, &body)))
    }

    async fn whole(&self, call: &Call, mut response: Response, limit: usize) -> Result<Answer, Failure> {
        let mut body = BytesMut::new();
        loop {
            let piece = match timeout(self.options.answer_timeout, response.chunk()).await {
                Ok(Ok(piece)) => piece,
                Ok(Err(e)) => return Err(Failure::Lost(cause(&e))),
                Err(_) => return Err(self.silent(call)),
            };
            let Some(piece) = piece else { break };
            if body.len() + piece.len() > limit {
                let what = format!(
                    "{} was answered with more than {limit} bytes; ask for less, or raise ClientOptions::max_answer",
                    self.shown(call)
                );
                return Err(Failure::Final(Error::Transport { what }));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer { status: response.status(), headers: std::mem::take(response.headers_mut()), body: body.freeze() })
    }

    /// Silence is not repeated: it would take as long again.
    fn silent(&self, call: &Call) -> Failure {
        let waited = self.options.answer_timeout.as_secs_f32();
        let what = format!("no answer to {} within {waited} s{}", self.shown(call), afterwards(call));
        Failure::Final(Error::Transport { what })
    }

    /// The last failure of a call as an error.
    pub(crate) fn gave_up(&self, call: &Call, failure: Failure) -> Error {
        match failure {
            Failure::Unsent(why) => Error::Transport {
                what: format!(
                    "cannot reach a Folio daemon at {} ({why}); is one running there? `folio serve` starts one",
                    self.base
                ),
            },
            Failure::Lost(why) => {
                Error::Transport { what: format!("the connection broke during {} ({why}){}", self.shown(call), afterwards(call)) }
            }
            Failure::Final(error) => error,
        }
    }

    /// An answer that is not what this client understands.
    pub(crate) fn misunderstood(&self, call: &Call, why: &str) -> Error {
        Error::Transport {
            what: format!("the answer to {} is not understood: {why}; is that a Folio daemon of this version?", self.shown(call)),
        }
    }
}

/// What to do when the answer to a call was lost.
fn afterwards(call: &Call) -> &'static str {
    match call.repeat {
        Repeat::Safe => "; try again",
        Repeat::Unsent => {
            "; it may have been done or not: look before doing it again (an append with an idempotency key can simply be repeated)"
        }
    }
}

/// The innermost cause, which is what the operating system said.
pub(crate) fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    let mut source = error.source();
    while let Some(inner) = source {
        innermost = inner;
        source = inner.source();
    }
    innermost.to_string()
}

/// The tries of one call.
struct Tries<'a> {
    http: &'a Http,
    call: &'a Call,
    begun: Instant,
    failures: u32,
}

impl<'a> Tries<'a> {
    fn new(http: &'a Http, call: &'a Call) -> Self {
        Self { http, call, begun: Instant::now(), failures: 0 }
    }

    /// What a try came to, or `None` when it is time for the next one.
    async fn judge<T>(&mut self, outcome: Result<Reply<T>, Failure>) -> Option<Result<Reply<T>>> {
        let (again, asked) = match &outcome {
            Ok(Ok(_)) | Err(Failure::Final(_)) => (false, None),
            Ok(Err(problem)) => (problem.asks_again(), problem.retry_after()),
            Err(Failure::Unsent(_)) => (true, None),
            Err(Failure::Lost(_)) => (self.call.repeat == Repeat::Safe, None),
        };
        self.failures += 1;
        if again && self.failures < self.http.options.attempts && self.call.payload.is_whole() {
            let pause = self.http.pauses.retry(&self.http.options, self.failures, asked);
            if self.begun.elapsed() + pause <= self.http.options.deadline {
                sleep(pause).await;
                return None;
            }
        }
        Some(outcome.map_err(|failure| self.http.gave_up(self.call, failure)))
    }
}
