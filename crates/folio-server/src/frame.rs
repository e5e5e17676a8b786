//! The frames of event streams.
//!
//! Every value in a frame is one line: JSON of ours, which escapes control characters, or a number. So nothing that a
//! user stored can end a frame early or begin another.

use std::fmt::Write;
use std::time::Duration;

use folio::{Change, Gap, LogEvent, Position, Target};
use serde::Serialize;

use crate::cursor::END;
use crate::entry;

/// What a frame means for the stream it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    GoesOn,
    Ends,
}

/// How long to wait before connecting again.
pub(crate) fn retry(out: &mut String, wait: Duration) {
    let _ = write!(out, "retry: {}\n\n", wait.as_millis());
}

/// What breaks a silence.
pub(crate) const KEEP_ALIVE: &str = ": keep-alive\n\n";

/// A line that clients pass over. `text` must be one line.
pub(crate) fn comment(out: &mut String, text: &str) {
    let _ = write!(out, ": {text}\n\n");
}

/// One event of a log.
pub(crate) fn log_event(out: &mut String, event: &LogEvent) -> After {
    match event {
        LogEvent::CaughtUp { head } => {
            let _ = write!(out, "event: caught-up\nid: {head}\ndata: {{\"head\":\"{head}\"}}\n\n");
        }
        LogEvent::Entry { entry, position } => {
            let _ = write!(out, "id: {position}\ndata: ");
            entry::write(out, entry);
            out.push_str("\n\n");
        }
        LogEvent::Gap(gap) => write_gap(out, gap),
        LogEvent::Closed { head } => {
            write_closed(out, *head);
            return After::Ends;
        }
        LogEvent::Deleted => out.push_str("event: deleted\ndata: {}\n\n"),
    }
    After::GoesOn
}

fn write_gap(out: &mut String, gap: &Gap) {
    let _ = write!(out, "event: gap\nid: {}\ndata: ", gap.resumes_after);
    entry::write_gap(out, gap);
    out.push_str("\n\n");
}

fn write_closed(out: &mut String, head: Position) {
    let _ = write!(out, "event: closed\nid: {head}{END}\ndata: {{\"head\":\"{head}\"}}\n\n");
}

#[derive(Serialize, Default)]
struct Changed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<folio::Etag>,
}

/// One change of a file or document.
pub(crate) fn change(out: &mut String, change: &Change) -> After {
    let name = match change {
        Change::Ready => "ready",
        Change::Put { .. } => "put",
        Change::Delete { .. } => "delete",
        Change::Rescan => "rescan",
        Change::Conflict { .. } => "conflict",
    };
    let mut changed = Changed::default();
    match change.target() {
        Some(Target::File(path)) => changed.file = Some(path.as_str()),
        Some(Target::Doc(key)) => changed.doc = Some(key.as_str()),
        None => {}
    }
    if let Change::Put { etag, .. } = change {
        changed.etag = *etag;
    }
    let data = serde_json::to_string(&changed).unwrap_or_else(|_| "{}".into());
    let _ = write!(out, "event: {name}\ndata: {data}\n\n");
    After::GoesOn
}
