//! Following changes of files and documents over connections that come and go.

use std::sync::Arc;

use folio::{Change, ChangeStream, Error, Result};
use futures_util::{StreamExt, stream};
use tokio::time::timeout;

use crate::events::Events;
use crate::http::Http;
use crate::target::Target;
use crate::wire;

/// Subscribes; the subscription stands when this returns.
pub(crate) async fn subscribe(http: Arc<Http>, target: Target) -> Result<ChangeStream> {
    let mut events = Events::new(http, target);
    events.open(None).await?;
    let patience = events.http.options.deadline;
    let Ok(ready) = timeout(patience, ready(&mut events)).await else {
        let what = format!("no subscription stood within {} s: {}", patience.as_secs_f32(), events.last_loss());
        return Err(Error::Retry { what });
    };
    ready?;
    let rest = stream::try_unfold(events, |mut events| async move {
        match next(&mut events).await {
            Ok(change) => Ok(Some((change, events))),
            // Deleted: with its project a subscription to changes ends.
            Err(Error::NoProject { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    });
    Ok(stream::iter([Ok(Change::Ready)]).chain(rest).boxed())
}

/// Passes over everything up to the first `ready`.
async fn ready(events: &mut Events) -> Result<()> {
    loop {
        match events.next().await? {
            Some(frame) if frame.event == "ready" => return Ok(()),
            Some(_) => {}
            None => events.reopen(None).await?,
        }
    }
}

async fn next(events: &mut Events) -> Result<Change> {
    loop {
        let Some(frame) = events.next().await? else {
            events.reopen(None).await?;
            continue;
        };
        match frame.event.as_str() {
            // Ready again: what happened while there was no connection was missed.
            "ready" | "rescan" => return Ok(Change::Rescan),
            event => {
                let change = wire::change(event, &frame.data).map_err(|why| events.misunderstood(&why))?;
                if let Some(change) = change {
                    return Ok(change);
                }
            }
        }
    }
}
