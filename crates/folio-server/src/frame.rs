//! The frames of event streams.
//!
//! Every value in a frame is one line: JSON of ours, which escapes control characters, or a number. So nothing that a
//! user stored can end a frame early or begin another.

use std::io::Write;
use std::time::Duration;

use folio::{Change, Epoch, Gap, Lines, LogEvent, Position, Target};
use serde::Serialize;

use crate::cursor::END;
use crate::gap;

/// What a frame means for the stream it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    GoesOn,
    Ends,
}

/// How long to wait before connecting again.
pub(crate) fn retry(out: &mut Vec<u8>, wait: Duration) {
    let _ = write!(out, "retry: {}\n\n", wait.as_millis());
}

/// What breaks a silence.
pub(crate) const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// A line that clients pass over. `text` must be one line.
pub(crate) fn comment(out: &mut Vec<u8>, text: &str) {
    let _ = write!(out, ": {text}\n\n");
}

/// One event of a log.
pub(crate) fn log_event(out: &mut Vec<u8>, event: &LogEvent<Lines>) -> After {
    match event {
        LogEvent::CaughtUp { head } => {
            let _ = write!(out, "event: caught-up\nid: {head}\ndata: {{\"head\":\"{head}\"}}\n\n");
        }
        LogEvent::Entry { entry, position } => entries(out, entry, position.epoch, |_, _| {}),
        LogEvent::Gap(gap) => write_gap(out, gap),
        LogEvent::Closed { head } => {
            write_closed(out, *head);
            return After::Ends;
        }
        LogEvent::Deleted => out.extend_from_slice(b"event: deleted\ndata: {}\n\n"),
    }
    After::GoesOn
}

/// A frame for each of the lines. `ended` is told the position that it leads to, and where it ends in `out`.
pub(crate) fn entries(out: &mut Vec<u8>, lines: &Lines, epoch: Epoch, mut ended: impl FnMut(Position, usize)) {
    const LONGEST_SEQ: usize = 20;
    let (id, data) = (format!("id: {epoch}-").into_bytes(), b"\ndata: ");
    let count = usize::try_from(lines.last() - lines.first() + 1).unwrap_or_default();
    out.reserve(lines.text().len() + count * (id.len() + LONGEST_SEQ + data.len() + 1));
    for (seq, line) in (lines.first()..).zip(lines.iter()) {
        // A line begins with its seq.
        let digits = line.strip_prefix(b"{\"seq\":").unwrap_or_default();
        let digits = digits.split(|byte| *byte == b',').next().unwrap_or_default();
        for part in [&id, digits, data, line, b"\n\n"] {
            out.extend_from_slice(part);
        }
        ended(Position { epoch, seq }, out.len());
    }
}

fn write_gap(out: &mut Vec<u8>, gap: &Gap) {
    let _ = write!(out, "event: gap\nid: {}\ndata: ", gap.resumes_after);
    gap::write(out, gap);
    out.extend_from_slice(b"\n\n");
}

fn write_closed(out: &mut Vec<u8>, head: Position) {
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
pub(crate) fn change(out: &mut Vec<u8>, change: &Change) -> After {
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
