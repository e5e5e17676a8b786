//! One reader until it has caught up with its log.

use std::os::fd::AsRawFd;
use std::sync::Arc;

use folio::{Cursor, Lines, LogEvent, LogStream, Position, Start};
use futures_util::{FutureExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::timeout;

use super::Open;
use super::fan::Joining;
use super::feed::{Feed, reached};
use crate::frame::{self, After};
use crate::reply::PIECE;
use crate::state::App;
use crate::{send, sse};

/// Serves an event stream on a connection that is nobody else's any more; `head` begins the answer.
pub(crate) async fn serve(app: Arc<App>, stream: TcpStream, head: Vec<u8>, open: Open) {
    let Open { place, log, events, permit } = open;
    let Ok(team) = app.fanout.start(&app) else { return };
    let feed = app.fanout.feed(&place, &log, team);
    let mut reader = Reader { stream, out: head, events, at: None, caught_up: false, last: false };
    if app.catching_up.available_permits() == 0 && !reader.write(&app).await {
        return;
    }
    let Ok(_turn) = app.catching_up.acquire().await else { return };
    reader.run(&app, feed, permit).await;
}

/// Goes on with a reader that was too slow for the feed: it has all up to `at`.
pub(super) async fn resume(
    app: Arc<App>,
    stream: std::net::TcpStream,
    feed: Arc<Feed>,
    at: Position,
    permit: OwnedSemaphorePermit,
) {
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    // Nothing is read from the log before there is room for it.
    if !matches!(timeout(app.config.write_timeout, stream.writable()).await, Ok(Ok(()))) {
        return;
    }
    let Ok(_turn) = app.catching_up.acquire().await else { return };
    let mut out = Vec::new();
    let events = match feed.log.subscribe_lines(Start::After(Cursor::from(at))).await {
        Ok(events) => events,
        Err(error) => {
            sse::farewell(&mut out, &error);
            futures_util::stream::empty().boxed()
        }
    };
    let reader = Reader { stream, last: !out.is_empty(), out, events, at: Some(at), caught_up: true };
    reader.run(&app, feed, permit).await;
}

struct Reader {
    stream: TcpStream,
    /// Frames that are not written yet.
    out: Vec<u8>,
    events: LogStream<Lines>,
    /// What it has been told of, with what is in `out`.
    at: Option<Position>,
    /// It was told that it has caught up.
    caught_up: bool,
    /// The stream ends with what is in `out`.
    last: bool,
}

/// What there is to do next.
enum Next {
    Event(Option<folio::Result<LogEvent<Lines>>>),
    /// The feed may let it in now.
    Try,
    Silence,
    Over,
}

impl Reader {
    async fn run(mut self, app: &Arc<App>, feed: Arc<Feed>, permit: OwnedSemaphorePermit) {
        let Ok(team) = app.fanout.start(app) else { return };
        // The readers of one log are spread over the threads.
        let fan = usize::try_from(self.stream.as_raw_fd()).unwrap_or_default() % team.size().max(1);
        loop {
            let mut moves = feed.moves();
            while !self.last && self.out.len() < PIECE {
                let Some(event) = self.events.next().now_or_never() else { break };
                self.take(event);
            }
            if !self.out.is_empty() {
                if !self.write(app).await {
                    return;
                }
                if !self.last {
                    continue;
                }
            }
            if self.last {
                return send::close(self.stream).await;
            }
            // Nothing is left to read, so the log is where the feed is, or will be. Where that has ended, it goes on alone.
            if let Some(spot) = self.at.filter(|_| self.caught_up).and_then(|at| feed.join(at, fan)) {
                return match self.stream.into_std() {
                    Ok(stream) => team.join(fan, Joining { stream, feed, spot, permit }),
                    Err(_) => feed.leave(fan),
                };
            }
            match self.wait(app, &mut moves).await {
                Next::Event(event) => self.take(event),
                Next::Try => {}
                Next::Silence => self.out.extend_from_slice(frame::KEEP_ALIVE),
                Next::Over => return,
            }
        }
    }

    /// Writes what there is. False: the client takes it too slowly, or the server stops.
    async fn write(&mut self, app: &App) -> bool {
        let mut draining = app.draining.clone();
        let mut left = self.out.as_slice();
        while !left.is_empty() {
            let written = tokio::select! {
                written = timeout(app.config.write_timeout, self.stream.write(left)) => written,
                _ = draining.wait_for(|draining| *draining) => return false,
            };
            match written {
                Ok(Ok(written)) if written > 0 => left = left.get(written..).unwrap_or_default(),
                _ => return false,
            }
        }
        self.out.clear();
        true
    }

    async fn wait(&mut self, app: &App, moves: &mut watch::Receiver<u64>) -> Next {
        // Who waits holds no buffer.
        self.out = Vec::new();
        let mut draining = app.draining.clone();
        tokio::select! {
            event = self.events.next() => Next::Event(event),
            _ = moves.changed() => Next::Try,
            () = tokio::time::sleep(app.config.keep_alive) => Next::Silence,
            () = send::gone(&self.stream) => Next::Over,
            _ = draining.wait_for(|draining| *draining) => Next::Over,
        }
    }

    fn take(&mut self, event: Option<folio::Result<LogEvent<Lines>>>) {
        match event {
            Some(Ok(event)) => {
                self.at = reached(&event).or(self.at);
                let told = matches!(event, LogEvent::CaughtUp { .. }) && std::mem::replace(&mut self.caught_up, true);
                if !told {
                    self.last = frame::log_event(&mut self.out, &event) == After::Ends;
                }
            }
            Some(Err(error)) => {
                sse::farewell(&mut self.out, &error);
                self.last = true;
            }
            None => self.last = true,
        }
    }
}
