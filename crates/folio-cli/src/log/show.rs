//! How entries and gaps are shown.

use base64::Engine as _;
use folio::{Cursor, Data, Entry, Gap, GapReason, Piece, Position, Seq};
use serde_json::{Value, json};

use crate::failure::Result;
use crate::output::Output;
use crate::style::{DIM, NAME};
use crate::text;

/// Prints one entry: seq, time and data; with `--json` the cursor too, to go on from.
pub(crate) fn entry(entry: &Entry, position: Position, out: &mut Output) -> Result {
    let Entry { seq, ts, data } = entry;
    if out.is_json() {
        // put together by hand, so that the data keep their tokens
        return match data {
            Data::Json(value) => out.line(format_args!(r#"{{"seq":{seq},"ts":{ts},"cursor":"{position}","data":{value}}}"#)),
            Data::Bytes(bytes) => {
                out.line(format_args!(r#"{{"seq":{seq},"ts":{ts},"cursor":"{position}","b64":"{}"}}"#, base64(bytes)))
            }
        };
    }
    let time = text::time(*ts);
    match data {
        Data::Json(value) => out.line(format_args!("{NAME}{seq}{NAME:#}  {DIM}{time}{DIM:#}  {}", text::visible(value.as_str()))),
        Data::Bytes(bytes) => {
            let size = text::size(bytes.len() as u64);
            out.line(format_args!("{NAME}{seq}{NAME:#}  {DIM}{time}  {size} in base64:{DIM:#} {}", base64(bytes)))
        }
    }
}

/// Tells a gap: on stderr for people, with `--json` as a line among the entries.
pub(crate) fn gap(gap: &Gap, out: &mut Output) -> Result {
    if out.is_json() {
        return out.line(json!({ "gap": gap_json(gap) }));
    }
    let Gap { reason, requested, lost, resumes_after } = gap;
    let lost = lost.map_or_else(|| "entries".to_owned(), |lost| text::plural(lost, "entry", "entries"));
    let why = match reason {
        GapReason::Truncated => format!("{lost} removed by compaction"),
        GapReason::Corrupt => format!("{lost} damaged on disk (`folio doctor` tells more)"),
        GapReason::Epoch => "that position is from another life of the log".to_owned(),
        GapReason::Ahead => "that position lies beyond the newest entry".to_owned(),
    };
    out.note(format_args!("gap after {requested}: {why}; entries go on after {resumes_after}"))
}

fn gap_json(gap: &Gap) -> Value {
    let mut value = json!({ "reason": gap.reason.as_str(), "requested": gap.requested });
    if let Some(lost) = gap.lost {
        value["lost"] = lost.into();
    }
    value["resumes_after"] = json!(gap.resumes_after);
    value
}

/// The position of a seq, by the lineage of the page that it stands on.
pub(crate) fn position(lineage: &[Piece], seq: Seq) -> Position {
    if seq == 0 {
        return Position::START;
    }
    let holder = lineage.iter().find(|piece| piece.last >= seq).or(lineage.last());
    Position { epoch: holder.map_or(0, |piece| piece.epoch), seq }
}

/// A cursor from the command line.
pub(crate) fn cursor(text: Option<&str>) -> Result<Option<Cursor>> {
    Ok(text.map(str::parse).transpose()?)
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_follow_the_lineage() {
        let lineage = [Piece { epoch: 0, last: 3 }, Piece { epoch: 70, last: 3 }, Piece { epoch: 90, last: 8 }];
        let text = |seq| position(&lineage, seq).to_string();
        assert_eq!([text(0), text(1), text(3), text(4), text(8)], ["0-0", "0-1", "0-3", "90-4", "90-8"]);
    }
}
