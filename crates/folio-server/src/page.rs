//! Pages of a log, as one JSON object, or as lines as they are stored. Sent in pieces, made when the client takes them.

use std::io::Write;
use std::iter::Peekable;
use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use folio::{AppendLog, Error, Lines, Order, Page, Position, ReadOptions, Result};
use http::header::{CONTENT_LENGTH, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::problem::{Answer, shown};
use crate::query::Query;
use crate::reply::PIECE;
use crate::state::App;
use crate::{accept, cursor, gap, reply, whole};

const NEXT: HeaderName = HeaderName::from_static("folio-next");
/// What a line has besides the payload, in bytes: more than any line of ours.
const AROUND: usize = 256;
/// A run of lines that is no shorter, in bytes, goes out as it is; shorter ones are joined.
const LONG: usize = 16 << 10;

const HEAD: HeaderName = HeaderName::from_static("folio-head");

/// Reads a page and sends it as `content_type`.
pub(crate) async fn get(app: &App, log: &Arc<dyn AppendLog>, query: &Query, content_type: &'static str) -> Answer {
    let as_lines = content_type == accept::NDJSON;
    let options = ReadOptions {
        since: cursor::since(query)?.map(|since| since.cursor),
        before: query.number("before")?,
        order: order(query)?,
        ..ReadOptions::default()
    };
    if query.get("limit") == Some(whole::ALL) {
        return match (as_lines, options.order) {
            (true, Order::Asc) => Ok(whole::get(app, log, options).await?),
            (false, _) => {
                Err(Error::invalid("limit=all is for Accept: application/x-ndjson; a page of JSON has a number").into())
            }
            (true, Order::Desc) => Err(Error::invalid("limit=all goes from the oldest entry on, without order=desc").into()),
        };
    }
    let options = ReadOptions { limit: query.limit()?, ..options };
    let mut memory = app.answers.reserve(most_bytes(app, &options)).await?;
    let page = if as_lines { log.read_stored(options).await? } else { log.read_lines(options).await? };
    let length: usize = page.entries.iter().map(|lines| lines.text().len()).sum();
    memory.shrink(length);
    let next = next(&page);
    if !as_lines {
        let mut response = Response::new(reply::pieces(Object::new(page, next.as_deref()), memory));
        describe(response.headers_mut(), content_type);
        return Ok(response);
    }
    let (head, lines) = (page.head, lines(page));
    let length = length + lines.opening.as_ref().map_or(0, Vec::len);
    let mut response = Response::new(reply::pieces(lines, memory));
    let headers = response.headers_mut();
    describe_lines(headers, head);
    reply::set(headers, CONTENT_LENGTH, &length.to_string());
    if let Some(next) = next {
        reply::set(headers, NEXT, next.trim_matches('"'));
    }
    Ok(response)
}

/// What the lines of a page take at most, in bytes.
pub(crate) fn most_bytes(app: &App, options: &ReadOptions) -> usize {
    let entry = app.config.limits.entry;
    let most = options.limit.saturating_mul(entry).min(options.max_bytes + entry);
    // Bytes are told in base64.
    most.div_ceil(3) * 4 + options.limit.saturating_mul(AROUND)
}

/// Sets the headers of lines that end at `head` at most.
pub(crate) fn describe_lines(headers: &mut HeaderMap, head: Position) {
    describe(headers, accept::NDJSON);
    reply::set(headers, HEAD, &head.to_string());
}

fn describe(headers: &mut HeaderMap, content_type: &'static str) {
    reply::describe(headers, content_type, "no-store");
    headers.insert(VARY, HeaderValue::from_static("Accept"));
}

fn order(query: &Query) -> Result<Order> {
    match query.get("order") {
        None | Some("asc") => Ok(Order::Asc),
        Some("desc") => Ok(Order::Desc),
        Some(other) => Err(Error::invalid(format!("order must be asc or desc, not \"{}\"", shown(other.as_bytes())))),
    }
}

/// Where to go on, as JSON: a position in ascending order, a seq in descending.
fn next(page: &Page<Lines>) -> Option<String> {
    match (page.next, page.next_before) {
        (Some(position), _) => Some(format!("\"{position}\"")),
        (None, before) => before.map(|seq| seq.to_string()),
    }
}

/// What comes before the lines of a page.
fn gap_line(page: &Page<Lines>) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(gap) = &page.gap {
        out.extend_from_slice(b"{\"gap\":");
        gap::write(&mut out, gap);
        out.extend_from_slice(b"}\n");
    }
    out
}

/// A page as lines, in pieces.
pub(crate) fn lines(page: Page<Lines>) -> Text {
    Text { opening: Some(gap_line(&page)), runs: page.entries.into_iter().peekable() }
}

/// A page of lines on its way out.
pub(crate) struct Text {
    opening: Option<Vec<u8>>,
    runs: Peekable<std::vec::IntoIter<Lines>>,
}

impl Iterator for Text {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut out = self.opening.take().unwrap_or_default();
        let fits = |lines: &Lines| lines.text().len() < LONG;
        while out.len() < PIECE
            && let Some(lines) = self.runs.next_if(fits)
        {
            out.extend_from_slice(lines.text());
        }
        if out.is_empty() { self.runs.next().map(|lines| lines.text().clone()) } else { Some(out.into()) }
    }
}

/// A page as a JSON object on its way out.
struct Object {
    out: Vec<u8>,
    runs: std::vec::IntoIter<Lines>,
    first: bool,
    closing: Option<Vec<u8>>,
}

impl Object {
    fn new(page: Page<Lines>, next: Option<&str>) -> Self {
        let mut closing = Vec::from(b"]");
        let _ = write!(closing, ",\"first\":{},\"head\":\"{}\",\"lineage\":[", page.first, page.head);
        for (index, piece) in page.lineage.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(closing, "{comma}[{},{}]", piece.epoch, piece.last);
        }
        let _ = write!(closing, "],\"next\":{}", next.unwrap_or("null"));
        if let Some(gap) = &page.gap {
            closing.extend_from_slice(b",\"gap\":");
            gap::write(&mut closing, gap);
        }
        closing.extend_from_slice(b"}\n");
        Self { out: Vec::from(b"{\"entries\":["), runs: page.entries.into_iter(), first: true, closing: Some(closing) }
    }
}

impl Iterator for Object {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.closing.as_ref()?;
        let mut out = std::mem::take(&mut self.out);
        while out.len() < PIECE {
            let Some(lines) = self.runs.next() else {
                out.extend(self.closing.take().unwrap_or_default());
                break;
            };
            for line in lines.iter() {
                if !std::mem::take(&mut self.first) {
                    out.push(b',');
                }
                out.extend_from_slice(line);
            }
        }
        Some(out.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use folio::{Cursor, Data, Entry, Gap, GapReason, Json, Piece, Position};

    fn page(entries: usize, size: usize) -> Page<Lines> {
        let value = format!("\"{}\"", "x".repeat(size));
        let entry = |seq| Entry { seq, ts: 1, data: Data::Json(Json::parse(value.as_bytes()).unwrap()) };
        let head = Position { epoch: 5, seq: 9 };
        Page {
            entries: (1..=entries as u64).map(|seq| Lines::from(&entry(seq))).collect(),
            gap: None,
            first: 1,
            head,
            lineage: vec![Piece { epoch: 0, last: 3 }, Piece { epoch: 5, last: 9 }],
            next: Some(head),
            next_before: None,
        }
    }

    fn whole(pieces: impl Iterator<Item = Bytes>) -> String {
        pieces.map(|piece| String::from_utf8(piece.to_vec()).unwrap()).collect()
    }

    #[test]
    fn objects_and_lines() {
        let object = |page: Page<Lines>| {
            let next = next(&page);
            whole(Object::new(page, next.as_deref()))
        };
        assert_eq!(
            object(page(2, 0)),
            "{\"entries\":[{\"seq\":1,\"ts\":1,\"data\":\"\"},{\"seq\":2,\"ts\":1,\"data\":\"\"}],\
             \"first\":1,\"head\":\"5-9\",\"lineage\":[[0,3],[5,9]],\"next\":\"5-9\"}\n"
        );
        let mut last = page(0, 0);
        last.next = None;
        let resumes_after = Position { epoch: 0, seq: 3 };
        last.gap = Some(Gap { reason: GapReason::Epoch, requested: Cursor::bare(4), lost: None, resumes_after });
        assert!(
            object(last.clone())
                .ends_with("\"next\":null,\"gap\":{\"reason\":\"epoch\",\"requested\":\"4\",\"resumes_after\":3}}\n")
        );
        assert_eq!(whole(lines(last)), "{\"gap\":{\"reason\":\"epoch\",\"requested\":\"4\",\"resumes_after\":3}}\n");
        assert_eq!(whole(lines(page(2, 0))), "{\"seq\":1,\"ts\":1,\"data\":\"\"}\n{\"seq\":2,\"ts\":1,\"data\":\"\"}\n");
        assert_eq!(whole(lines(page(0, 0))), "");
    }

    #[test]
    fn pieces_are_small_and_join_to_valid_json() {
        let pieces = Object::new(page(9, 30_000), None);
        let (mut count, mut text) = (0, Vec::new());
        for piece in pieces {
            assert!(piece.len() < PIECE + 31_000);
            count += 1;
            text.extend_from_slice(&piece);
        }
        assert!(count > 2);
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["entries"].as_array().unwrap().len(), 9);
    }
}
