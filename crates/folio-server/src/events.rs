//! Following a log over HTTP.

use std::sync::Arc;

use folio::{AppendLog, Start};
use http::{HeaderMap, StatusCode};

use crate::connection::{Handover, Leave};
use crate::cursor::{self, Place};
use crate::problem::Answer;
use crate::query::Query;
use crate::state::App;
use crate::stream::{Open, Place as Followed};
use crate::{reply, sse};

/// Opens an event stream where Last-Event-ID says, else where `since` does, else at the head.
///
/// The header wins because a browser that connects again sends it with the same URL as the first time.
pub(crate) async fn open(app: &App, place: Followed, log: &Arc<dyn AppendLog>, query: &Query, headers: &HeaderMap) -> Answer {
    let since = cursor::since(query)?;
    let last = cursor::last_event_id(headers)?;
    if let Some(Place { end: Some(end), .. }) = last {
        // The client saw the log end. Without a word to the contrary a browser would connect for ever.
        let ended = log.status().await.is_ok_and(|status| status.closed && status.head == end);
        if ended {
            return Ok(reply::empty(StatusCode::NO_CONTENT));
        }
    }
    let Some(permit) = sse::place(app) else { return Ok(sse::shed("too many event streams are open")) };
    let start = last.or(since).map_or(Start::Now, |place| Start::After(place.cursor));
    match log.subscribe_lines(start).await {
        Ok(events) => {
            let mut response = sse::response(reply::unknown_length());
            let open = Open { place, log: Arc::clone(log), events, permit };
            response.extensions_mut().insert(Handover::new(Leave::Events(open)));
            Ok(response)
        }
        Err(error) => sse::refuse(error),
    }
}
