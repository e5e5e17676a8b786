//! Following a log over connections that come and go.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use folio::{Cursor, Error, LogEvent, LogStream, Position, Result, Seq, Start};
use futures_util::{StreamExt, stream};
use tokio::time::timeout;

use crate::events::Events;
use crate::http::Http;
use crate::sse::Frame;
use crate::target::Target;
use crate::wire::{self, Head, Understood};

/// Subscribes; from now on, the subscription stands when this returns.
pub(crate) async fn subscribe(http: Arc<Http>, target: Target, start: Start) -> Result<LogStream> {
    let mut events = Events::new(http, target);
    let mut progress = Progress::new(start);
    events.open(progress.cursor).await?;
    let first = match start {
        Start::Now => Some(standing(&mut events, &mut progress).await?),
        Start::After(_) => None,
    };
    let begun = Some((events, progress));
    let rest = stream::try_unfold(begun, |state| async move {
        let Some((mut events, mut progress)) = state else { return Ok(None) };
        let event = next(&mut events, &mut progress).await?;
        let ended = matches!(event, LogEvent::Closed { .. });
        Ok(Some((event, (!ended).then_some((events, progress)))))
    });
    Ok(match first {
        Some(event @ LogEvent::Closed { .. }) => stream::iter([Ok(event)]).boxed(),
        first => stream::iter(first.map(Ok)).chain(rest).boxed(),
    })
}

/// Waits until the daemon has said from where a subscription "from now" is live.
async fn standing(events: &mut Events, progress: &mut Progress) -> Result<LogEvent> {
    let patience = events.http.options.deadline;
    match timeout(patience, next(events, progress)).await {
        Ok(event) => event,
        Err(_) => Err(Error::Retry {
            what: format!("no subscription stood within {} s: {}", patience.as_secs_f32(), events.last_loss()),
        }),
    }
}

async fn next(events: &mut Events, progress: &mut Progress) -> Result<LogEvent> {
    loop {
        match events.next().await? {
            Some(frame) => {
                if let Some(event) = progress.take(&frame).map_err(|why| events.misunderstood(&why))? {
                    return Ok(event);
                }
            }
            None => events.reopen(progress.cursor).await?,
        }
    }
}

/// How far a subscription has come, whatever connection it is on.
struct Progress {
    /// Everything up to here was delivered; `None` until the daemon has said where "now" is.
    cursor: Option<Cursor>,
    caught_up: bool,
}

impl Progress {
    fn new(start: Start) -> Self {
        let cursor = match start {
            Start::Now => None,
            Start::After(cursor) => Some(cursor),
        };
        Self { cursor, caught_up: false }
    }

    /// What a frame means for the subscriber, if anything. Frames that are not known are passed over.
    fn take(&mut self, frame: &Frame) -> Understood<Option<LogEvent>> {
        match frame.event.as_str() {
            "message" => {
                let entry = wire::entry(&frame.data)?;
                let position = position(frame)?;
                let expected = self.cursor.map(|cursor| cursor.seq + 1);
                if position.seq != entry.seq || expected != Some(entry.seq) {
                    return Err(format!("entry {} came with the id {position} where {} was due", entry.seq, due(expected)));
                }
                self.cursor = Some(position.into());
                Ok(Some(LogEvent::Entry { entry, position }))
            }
            "gap" => {
                let position = position(frame)?;
                let gap = wire::gap(&frame.data, position)?;
                self.cursor = Some(position.into());
                Ok(Some(LogEvent::Gap(gap)))
            }
            "caught-up" => {
                let head = wire::parse::<Head>(frame.data.as_bytes())?.head;
                let reached = self.cursor.get_or_insert(head.into());
                if reached.seq != head.seq {
                    return Err(format!("caught up at {head}, but only {reached} was reached"));
                }
                *reached = head.into();
                let first = !std::mem::replace(&mut self.caught_up, true);
                Ok(first.then_some(LogEvent::CaughtUp { head }))
            }
            "closed" => {
                let head = wire::parse::<Head>(frame.data.as_bytes())?.head;
                match self.cursor {
                    Some(reached) if reached.seq != head.seq => Err(format!("closed at {head}, but only {reached} was reached")),
                    _ => Ok(Some(LogEvent::Closed { head })),
                }
            }
            "deleted" => {
                // The next life is delivered from its first entry, over a new connection too.
                self.cursor = Some(Position::START.into());
                Ok(Some(LogEvent::Deleted))
            }
            "position" => {
                self.cursor = Some(position(frame)?.into());
                Ok(None)
            }
            _ => Ok(None),
        }
    }
}

fn position(frame: &Frame) -> Understood<Position> {
    frame.id.parse().map_err(|_| format!("the id {:?} of an event is no position", frame.id))
}

fn due(expected: Option<Seq>) -> String {
    expected.map_or_else(|| "caught-up".to_owned(), |seq| seq.to_string())
}
