//! Cursors as clients hand them back: in `since`, and in Last-Event-ID.

use folio::{Cursor, Position};
use http::{HeaderMap, HeaderName};

use crate::problem::{Problem, Refusal, shown};
use crate::query::Query;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What the id of a `closed` frame ends with.
pub(crate) const END: &str = "-end";

/// Where a client wants to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) cursor: Cursor,
    /// Set where the client was told that the log ended there.
    pub(crate) end: Option<Position>,
}

fn parse(text: &str) -> Option<Place> {
    match text.strip_suffix(END) {
        Some(text) => {
            let position: Position = text.parse().ok()?;
            Some(Place { cursor: position.into(), end: Some(position) })
        }
        None => Some(Place { cursor: text.parse().ok()?, end: None }),
    }
}

fn bad(header: &'static str, text: &[u8], why: &'static str) -> Problem {
    Refusal::InvalidCursor { header, text: shown(text), why }.into()
}

const EXPECTED: &str = "expected <epoch>-<seq> or <seq>, in decimal";

/// `?since=`.
pub(crate) fn since(query: &Query) -> Result<Option<Place>, Problem> {
    let Some(text) = query.get("since") else { return Ok(None) };
    parse(text).map(Some).ok_or_else(|| bad("since", text.as_bytes(), EXPECTED))
}

/// `Last-Event-ID`. Empty counts as absent: that is how a browser says that it has none.
pub(crate) fn last_event_id(headers: &HeaderMap) -> Result<Option<Place>, Problem> {
    let mut values = headers.get_all(LAST_EVENT_ID).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(bad("Last-Event-ID", value.as_bytes(), "it is given twice"));
    }
    if value.is_empty() {
        return Ok(None);
    }
    let place = value.to_str().ok().and_then(parse);
    place.map(Some).ok_or_else(|| bad("Last-Event-ID", value.as_bytes(), EXPECTED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn header(values: &[&str]) -> Result<Option<Place>, u16> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(LAST_EVENT_ID, HeaderValue::from_str(value).unwrap());
        }
        last_event_id(&headers).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn table() {
        let at = Position { epoch: 7, seq: 3 };
        assert_eq!(header(&[]), Ok(None));
        assert_eq!(header(&[""]), Ok(None));
        assert_eq!(header(&["3"]), Ok(Some(Place { cursor: Cursor::bare(3), end: None })));
        assert_eq!(header(&["7-3"]), Ok(Some(Place { cursor: at.into(), end: None })));
        assert_eq!(header(&["7-3-end"]), Ok(Some(Place { cursor: at.into(), end: Some(at) })));
        for bad in ["x", "7-", "-3", "7-3-", "7-3-End", "3-end", "-end", "7-3-end-end", "07-3", "7-3, 7-4", "ü"] {
            assert_eq!(header(&[bad]), Err(400), "{bad}");
        }
        assert_eq!(header(&["7-3", "7-3"]), Err(400));
        assert_eq!(header(&["", "7-3"]), Err(400));
    }
}
