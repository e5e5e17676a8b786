//! `folio log tail`: the newest entries, and what comes.

use std::time::Duration;

use clap::Args;
use folio::{AppendLog, Cursor, Error, LogEvent, LogStream, Position, ReadOptions, Start};
use futures_util::{FutureExt, StreamExt};
use serde_json::json;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::log::{Named, Which, read, show};
use crate::output::{Output, reader_gone};

/// First and longest pause before a lost connection is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// A tail.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  folio log tail demo                          # the newest 10
  folio log tail -f demo                       # and what comes, until Ctrl-C
  folio log tail -f -n 0 demo                  # only what comes
  folio log tail -f demo --since 1763900000000-41 --json

With -f, every entry after the first one shown comes once and in order, also when the daemon is restarted meanwhile. What can't be delivered any more is told as a gap: on stderr, or with --json as a line {\"gap\":…}.

Following needs a daemon (`folio serve`): while a command has the folder for itself, nobody could append.")]
pub(crate) struct Tail {
    #[command(flatten)]
    which: Which,
    /// Go on with every entry as it comes; a log that doesn't exist yet is waited for
    #[arg(long, short)]
    follow: bool,
    /// Begin with so many of the newest entries
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 10)]
    lines: u64,
    /// Begin after this cursor instead: <epoch>-<seq>, or a bare seq
    #[arg(long, value_name = "CURSOR", conflicts_with = "lines")]
    since: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(args: &Tail, connect: &mut Connect, out: &mut Output) -> Result {
    let named = args.which.parse()?;
    let since = show::cursor(args.since.as_deref())?;
    let log = named.open(&*connect.open().await?);
    if args.follow && !connect.through_daemon() {
        return Err(no_daemon(connect));
    }
    let start = match since {
        Some(cursor) => cursor,
        None => newest(&*log, args, &named, out).await?,
    };
    if args.follow {
        let address = connect.shown();
        let mut follower = Follower { named: &named, address, reached: start, stood: false, lost: false, live: false };
        tokio::select! {
            done = follower.run(&*log, out) => done,
            // `folio log tail -f demo | grep -m 1 done` ends with grep, not with the next entry
            () = reader_gone() => Err(Failure::broken_pipe()),
        }
    } else {
        let options = ReadOptions { since: Some(start), ..ReadOptions::default() };
        read::pages(&*log, options, u64::MAX, out).await?;
        Ok(())
    }
}

/// The cursor before the newest entries.
async fn newest(log: &dyn AppendLog, args: &Tail, named: &Named, out: &mut Output) -> Result<Cursor> {
    match log.status().await {
        Ok(status) => {
            let seq = status.head.seq.saturating_sub(args.lines).max(status.horizon);
            Ok(show::position(&status.lineage, seq).into())
        }
        Err(Error::NoLog { .. } | Error::Gone { .. }) if args.follow => {
            out.note(format_args!("Waiting for {}: it does not exist yet.", named.what()))?;
            Ok(Position::START.into())
        }
        Err(error) => Err(error.into()),
    }
}

fn no_daemon(connect: &Connect) -> Failure {
    let root = connect.shown();
    let detail = format!(
        "no daemon serves {root}, so nothing could be appended while this follows it; start one (folio serve {root}) and try again"
    );
    Failure::new(Exit::Unavailable, "no_daemon", detail).with("root", root.into())
}

/// A tail that goes on, and how far it came.
struct Follower<'a> {
    named: &'a Named,
    /// Of the daemon.
    address: String,
    /// Everything up to here was shown.
    reached: Cursor,
    /// Something came on the first connection: from now on a lost one is made again.
    stood: bool,
    /// The connection is lost, and that was told.
    lost: bool,
    /// That it is live was told.
    live: bool,
}

impl Follower<'_> {
    /// Follows until the log ends; a lost connection is made again for as long as it takes.
    async fn run(&mut self, log: &dyn AppendLog, out: &mut Output) -> Result {
        let mut pause = PAUSE.0;
        loop {
            let before = self.reached;
            let error = match log.subscribe(Start::After(self.reached)).await {
                Ok(mut stream) => match self.connection(&mut stream, out).await? {
                    None => return Ok(()),
                    Some(error) => error,
                },
                Err(error) => error,
            };
            if !self.stood || !matches!(error, Error::Transport { .. } | Error::Retry { .. }) {
                return Err(error.into());
            }
            if !std::mem::replace(&mut self.lost, true) {
                let address = &self.address;
                out.note(format_args!("Lost the connection to {address}; trying again until it is back."))?;
            }
            pause = if self.reached == before { pause.min(PAUSE.1) } else { PAUSE.0 };
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    /// Shows what comes on one connection; `None` when the log has ended, else why the connection did.
    async fn connection(&mut self, stream: &mut LogStream, out: &mut Output) -> Result<Option<Error>> {
        loop {
            match next(stream, out).await? {
                Some(Ok(event)) => {
                    self.stood = true;
                    if std::mem::take(&mut self.lost) {
                        out.note(format_args!("Connected again to {}.", self.address))?;
                    }
                    self.show(&event, out)?;
                    if matches!(event, LogEvent::Closed { .. }) {
                        return Ok(None);
                    }
                }
                Some(Err(error)) => return Ok(Some(error)),
                None => return Ok(Some(Error::Transport { what: "the stream ended".into() })),
            }
        }
    }

    /// Shows an event and notes how far that is.
    fn show(&mut self, event: &LogEvent, out: &mut Output) -> Result {
        let what = self.named.what();
        match event {
            LogEvent::Entry { entry, position } => {
                self.reached = (*position).into();
                show::entry(entry, *position, out)
            }
            LogEvent::Gap(gap) => {
                self.reached = gap.resumes_after.into();
                show::gap(gap, out)
            }
            LogEvent::CaughtUp { head } => {
                self.reached = (*head).into();
                // of interest once, not after every lost connection
                let first = !std::mem::replace(&mut self.live, true);
                if first && out.is_json() { out.line(json!({ "caught_up": { "head": head } })) } else { Ok(()) }
            }
            LogEvent::Deleted => {
                self.reached = Position::START.into();
                let text = format_args!("Deleted: {what}. Waiting for its next life.");
                if out.is_json() { out.line(json!({ "deleted": {} })) } else { out.note(text) }
            }
            LogEvent::Closed { head } => {
                let text = format_args!("Closed at {head}: {what}. Nothing comes any more.");
                if out.is_json() { out.line(json!({ "closed": { "head": head } })) } else { out.note(text) }
            }
        }
    }
}

/// The next event. What was printed is written out before waiting, and only then: many events at once make one write.
async fn next(stream: &mut LogStream, out: &mut Output) -> Result<Option<folio::Result<LogEvent>>> {
    if let Some(event) = stream.next().now_or_never() {
        return Ok(event);
    }
    out.flush()?;
    Ok(stream.next().await)
}
