//! Pages of a log, as one JSON object or as one line per entry. Sent in pieces, made when the client takes them.

use std::fmt::Write;
use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use folio::log::MAX_PAGE_BYTES;
use folio::{AppendLog, Entry, Error, Order, Page, ReadOptions, Result};
use http::header::VARY;
use http::{HeaderName, HeaderValue};

use crate::problem::{Answer, shown};
use crate::query::Query;
use crate::reply::PIECE;
use crate::state::App;
use crate::{accept, cursor, entry, reply};

const NEXT: HeaderName = HeaderName::from_static("folio-next");
const HEAD: HeaderName = HeaderName::from_static("folio-head");

/// Reads a page and sends it as `content_type`.
pub(crate) async fn get(app: &App, log: &Arc<dyn AppendLog>, query: &Query, content_type: &'static str) -> Answer {
    let options = ReadOptions {
        since: cursor::since(query)?.map(|since| since.cursor),
        before: query.number("before")?,
        order: order(query)?,
        limit: query.limit()?,
        max_bytes: MAX_PAGE_BYTES,
    };
    let most = options.limit.saturating_mul(app.config.limits.entry).min(MAX_PAGE_BYTES + app.config.limits.entry);
    let mut memory = app.answers.reserve(most).await?;
    let page = log.read(options).await?;
    memory.shrink(page.entries.iter().map(|entry| entry.data.len()).sum());
    let next = next(&page);
    let head = page.head.to_string();
    let lines = content_type == accept::NDJSON;
    let pieces = if lines { Pieces::lines(page) } else { Pieces::object(page, next.as_deref()) };
    let mut response = Response::new(reply::pieces(pieces, memory));
    let headers = response.headers_mut();
    reply::describe(headers, content_type, "no-store");
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    if lines {
        reply::set(headers, HEAD, &head);
        if let Some(next) = next {
            reply::set(headers, NEXT, next.trim_matches('"'));
        }
    }
    Ok(response)
}

fn order(query: &Query) -> Result<Order> {
    match query.get("order") {
        None | Some("asc") => Ok(Order::Asc),
        Some("desc") => Ok(Order::Desc),
        Some(other) => Err(Error::invalid(format!("order must be asc or desc, not \"{}\"", shown(other.as_bytes())))),
    }
}

/// Where to go on, as JSON: a position in ascending order, a seq in descending.
fn next(page: &Page) -> Option<String> {
    match (page.next, page.next_before) {
        (Some(position), _) => Some(format!("\"{position}\"")),
        (None, before) => before.map(|seq| seq.to_string()),
    }
}

/// A page on its way out.
struct Pieces {
    opening: String,
    between: &'static str,
    after: &'static str,
    entries: std::vec::IntoIter<Entry>,
    first: bool,
    closing: Option<String>,
}

impl Pieces {
    fn object(page: Page, next: Option<&str>) -> Self {
        let mut closing = String::from("]");
        let _ = write!(closing, ",\"first\":{},\"head\":\"{}\",\"lineage\":[", page.first, page.head);
        for (index, piece) in page.lineage.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(closing, "{comma}[{},{}]", piece.epoch, piece.last);
        }
        let _ = write!(closing, "],\"next\":{}", next.unwrap_or("null"));
        if let Some(gap) = &page.gap {
            closing.push_str(",\"gap\":");
            entry::write_gap(&mut closing, gap);
        }
        closing.push_str("}\n");
        Self::new("{\"entries\":[".into(), ",", "", page.entries, closing)
    }

    fn lines(page: Page) -> Self {
        let mut opening = String::new();
        if let Some(gap) = &page.gap {
            opening.push_str("{\"gap\":");
            entry::write_gap(&mut opening, gap);
            opening.push_str("}\n");
        }
        Self::new(opening, "", "\n", page.entries, String::new())
    }

    fn new(opening: String, between: &'static str, after: &'static str, entries: Vec<Entry>, closing: String) -> Self {
        Self { opening, between, after, entries: entries.into_iter(), first: true, closing: Some(closing) }
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.closing.as_ref()?;
        let mut out = std::mem::take(&mut self.opening);
        while out.len() < PIECE {
            let Some(entry) = self.entries.next() else {
                out.push_str(&self.closing.take().unwrap_or_default());
                break;
            };
            if !std::mem::take(&mut self.first) {
                out.push_str(self.between);
            }
            entry::write(&mut out, &entry);
            out.push_str(self.after);
        }
        Some(out.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use folio::{Cursor, Data, Gap, GapReason, Json, Piece, Position};

    fn page(entries: usize, size: usize) -> Page {
        let value = format!("\"{}\"", "x".repeat(size));
        let entry = |seq| Entry { seq, ts: 1, data: Data::Json(Json::parse(value.as_bytes()).unwrap()) };
        let head = Position { epoch: 5, seq: 9 };
        Page {
            entries: (1..=entries as u64).map(entry).collect(),
            gap: None,
            first: 1,
            head,
            lineage: vec![Piece { epoch: 0, last: 3 }, Piece { epoch: 5, last: 9 }],
            next: Some(head),
            next_before: None,
        }
    }

    fn whole(pieces: Pieces) -> String {
        pieces.map(|piece| String::from_utf8(piece.to_vec()).unwrap()).collect()
    }

    #[test]
    fn objects_and_lines() {
        let object = |page: Page| {
            let next = next(&page);
            whole(Pieces::object(page, next.as_deref()))
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
        assert_eq!(whole(Pieces::lines(last)), "{\"gap\":{\"reason\":\"epoch\",\"requested\":\"4\",\"resumes_after\":3}}\n");
        assert_eq!(whole(Pieces::lines(page(2, 0))), "{\"seq\":1,\"ts\":1,\"data\":\"\"}\n{\"seq\":2,\"ts\":1,\"data\":\"\"}\n");
        assert_eq!(whole(Pieces::lines(page(0, 0))), "");
    }

    #[test]
    fn pieces_are_small_and_join_to_valid_json() {
        let pieces = Pieces::object(page(9, 30_000), None);
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
