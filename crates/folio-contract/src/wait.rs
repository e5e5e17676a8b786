//! Waiting on streams: with a generous deadline that fails naming what was awaited, never by sleeping.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use folio::{Change, ChangeStream, Entry, Gap, LogEvent, LogStream, Position, Seq};
use futures_util::StreamExt;

use crate::failure::{Failure, Outcome, here};

/// How long anything that must come may take. Below [`crate::case::BUDGET`], so that a failure names what was awaited.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The outcome of `future`, or a failure that names `what` was awaited.
///
/// # Errors
/// After [`PATIENCE`].
#[track_caller]
pub fn within<T>(what: impl Display, future: impl Future<Output = T>) -> impl Future<Output = Outcome<T>> {
    here(async move {
        match tokio::time::timeout(PATIENCE, future).await {
            Ok(output) => Ok(output),
            Err(_) => Err(Failure::new(format!("waited {PATIENCE:?} for {what}"))),
        }
    })
}

/// The next event of a log.
///
/// # Errors
/// Where the stream ends, fails, or nothing comes; each names `what` was awaited.
#[track_caller]
pub fn next_event(stream: &mut LogStream, what: impl Display) -> impl Future<Output = Outcome<LogEvent>> {
    here(async move {
        match within(&what, stream.next()).await? {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(Failure::from(error).within(format!("waiting for {what}"))),
            None => Err(Failure::new(format!("the stream ended instead of {what}"))),
        }
    })
}

/// The next event, which must be an entry.
///
/// # Errors
/// As [`next_event`], and for any other event.
#[track_caller]
pub fn next_entry(stream: &mut LogStream, what: impl Display) -> impl Future<Output = Outcome<(Entry, Position)>> {
    here(async move {
        match next_event(stream, &what).await? {
            LogEvent::Entry { entry, position } => Ok((entry, position)),
            other => Err(Failure::new(format!("{other:?} came instead of {what}"))),
        }
    })
}

/// The next event, which must be a gap.
///
/// # Errors
/// As [`next_event`], and for any other event.
#[track_caller]
pub fn next_gap(stream: &mut LogStream, what: impl Display) -> impl Future<Output = Outcome<Gap>> {
    here(async move {
        match next_event(stream, &what).await? {
            LogEvent::Gap(gap) => Ok(gap),
            other => Err(Failure::new(format!("{other:?} came instead of {what}"))),
        }
    })
}

/// The next event, which must be [`LogEvent::CaughtUp`]; its position.
///
/// # Errors
/// As [`next_event`], and for any other event.
#[track_caller]
pub fn caught_up(stream: &mut LogStream) -> impl Future<Output = Outcome<Position>> {
    here(async move {
        match next_event(stream, "caught up").await? {
            LogEvent::CaughtUp { head } => Ok(head),
            other => Err(Failure::new(format!("{other:?} came instead of caught up"))),
        }
    })
}

/// The next event, which must be [`LogEvent::Deleted`].
///
/// # Errors
/// As [`next_event`], and for any other event.
#[track_caller]
pub fn deleted(stream: &mut LogStream) -> impl Future<Output = Outcome> {
    here(async move {
        match next_event(stream, "deleted").await? {
            LogEvent::Deleted => Ok(()),
            other => Err(Failure::new(format!("{other:?} came instead of deleted"))),
        }
    })
}

/// The next event, which must be [`LogEvent::Closed`], and after it the end of the stream; the last position.
///
/// # Errors
/// As [`next_event`], for any other event, and where the stream goes on.
#[track_caller]
pub fn closed_and_ended(stream: &mut LogStream) -> impl Future<Output = Outcome<Position>> {
    here(async move {
        let head = match next_event(stream, "closed").await? {
            LogEvent::Closed { head } => head,
            other => return Err(Failure::new(format!("{other:?} came instead of closed"))),
        };
        match within("the end of the stream of a closed log", stream.next()).await? {
            None => Ok(head),
            Some(event) => Err(Failure::new(format!("{event:?} came after closed"))),
        }
    })
}

/// All events up to [`LogEvent::CaughtUp`], without it, and the position that it tells.
///
/// # Errors
/// As [`next_event`].
#[track_caller]
pub fn collect_until_caught_up(stream: &mut LogStream) -> impl Future<Output = Outcome<(Vec<LogEvent>, Position)>> {
    here(async move {
        let mut events = Vec::new();
        loop {
            match next_event(stream, format!("caught up, after {} events", events.len())).await? {
                LogEvent::CaughtUp { head } => return Ok((events, head)),
                event => events.push(event),
            }
        }
    })
}

/// The entries up to and including `last`; anything but entries and one [`LogEvent::CaughtUp`] is a failure.
///
/// # Errors
/// As [`next_event`], and for any other event.
#[track_caller]
pub fn entries_up_to(stream: &mut LogStream, last: Seq) -> impl Future<Output = Outcome<Vec<Entry>>> {
    here(async move {
        let mut entries = Vec::new();
        let mut told = false;
        while entries.last().is_none_or(|entry: &Entry| entry.seq < last) {
            match next_event(stream, format!("the entries up to {last}, after {}", entries.len())).await? {
                LogEvent::Entry { entry, .. } => entries.push(entry),
                LogEvent::CaughtUp { .. } if !told => told = true,
                other => return Err(Failure::new(format!("{other:?} came before the entry {last}"))),
            }
        }
        Ok(entries)
    })
}

/// The next change.
///
/// # Errors
/// Where the stream ends, fails, or nothing comes; each names `what` was awaited.
#[track_caller]
pub fn next_change(stream: &mut ChangeStream, what: impl Display) -> impl Future<Output = Outcome<Change>> {
    here(async move {
        match within(&what, stream.next()).await? {
            Some(Ok(change)) => Ok(change),
            Some(Err(error)) => Err(Failure::from(error).within(format!("waiting for {what}"))),
            None => Err(Failure::new(format!("the stream ended instead of {what}"))),
        }
    })
}

/// The next change, which must be [`Change::Ready`].
///
/// # Errors
/// As [`next_change`], and for any other change.
#[track_caller]
pub fn ready(stream: &mut ChangeStream) -> impl Future<Output = Outcome> {
    here(async move {
        match next_change(stream, "ready").await? {
            Change::Ready => Ok(()),
            other => Err(Failure::new(format!("{other:?} came before ready"))),
        }
    })
}

/// All changes up to the first for which `enough` is true, that one included.
///
/// # Errors
/// As [`next_change`].
#[track_caller]
pub fn changes_until(
    stream: &mut ChangeStream,
    what: impl Display,
    mut enough: impl FnMut(&Change) -> bool,
) -> impl Future<Output = Outcome<Vec<Change>>> {
    here(async move {
        let mut changes = Vec::new();
        loop {
            let change = next_change(stream, format!("{what}, after {changes:?}")).await?;
            let last = enough(&change);
            changes.push(change);
            if last {
                return Ok(changes);
            }
        }
    })
}
