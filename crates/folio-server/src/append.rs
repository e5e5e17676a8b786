//! Appending: what the types of body mean, and the answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use folio::{AppendOptions, AppendOutcome, Data, Error, Json, Position, Result, Seq};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::body::Whole;
use crate::path::AtLog;
use crate::problem::{Answer, Problem};
use crate::query::Query;
use crate::state::App;
use crate::{accept, body, conditions, reply, values};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

const BYTES: &str = "application/octet-stream";
/// An array whose members say of themselves whether they are JSON or bytes.
const MIXED: &str = "application/vnd.folio.entries+json";

/// Where an append landed.
#[derive(Serialize)]
pub(crate) struct Appended {
    first_seq: Seq,
    last_seq: Seq,
    cursor: Position,
}

impl From<folio::Appended> for Appended {
    fn from(appended: folio::Appended) -> Self {
        let folio::Appended { first, last, cursor, replayed: _ } = appended;
        Self { first_seq: first, last_seq: last, cursor }
    }
}

/// `POST …/history` and `POST …/logs/{name}`.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    AtLog { log, .. }: AtLog,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let close = Query::parse(&uri, &["close"])?.flag("close")?;
    let expected_head = conditions::expected_head(&headers)?;
    let idempotency_key = key(&headers)?;
    let media_type = body::expect(&headers, &[accept::JSON, accept::NDJSON, BYTES, MIXED])?;
    let Whole { bytes, memory: _memory } = body::whole(body, app.config.limits.body, &app.bodies).await?;
    let entries = match bytes.is_empty() && close {
        true => Vec::new(),
        false => body::work(bytes.len(), move || entries(media_type, &bytes)).await?,
    };
    match log.append(entries, AppendOptions { expected_head, idempotency_key, close }).await? {
        AppendOutcome::Appended(appended) => {
            let mut response = reply::json(StatusCode::OK, &Appended::from(appended))?;
            if appended.replayed {
                response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            }
            Ok(response)
        }
        AppendOutcome::Precondition { head } => Err(Problem::head_differs(head)),
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>> {
    let mut values = headers.get_all(KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::invalid("the header Idempotency-Key is given twice"));
    }
    let key = String::from_utf8_lossy(value.as_bytes()).into_owned();
    folio::Limits::check_key(&key)?;
    Ok(Some(key))
}

/// The entries of a body.
pub(crate) fn entries(media_type: &str, body: &Bytes) -> Result<Vec<Data>, Problem> {
    match media_type {
        BYTES => Ok(vec![Data::Bytes(body.clone())]),
        accept::NDJSON => Ok(lines(body)?),
        MIXED => Ok(values::mixed(body, body)?),
        _ => Ok(one_or_many(body)?),
    }
}

/// One value, or the elements of one array.
fn one_or_many(body: &Bytes) -> Result<Vec<Data>> {
    let first = body.iter().copied().find(|byte| !byte.is_ascii_whitespace());
    match first {
        None => Err(Error::invalid("the body is empty; send a JSON value (or an array of them) to append")),
        Some(b'[') => {
            let elements: Vec<&RawValue> = values::read(body, body)?;
            elements.into_iter().map(|element| Ok(Data::Json(values::value(body, element)?))).collect()
        }
        Some(_) => Ok(vec![Data::Json(Json::parse(body)?)]),
    }
}

/// One value a line; empty lines are passed over.
fn lines(body: &Bytes) -> Result<Vec<Data>> {
    let mut entries = Vec::new();
    for (index, line) in body.split(|&byte| byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let value = Json::parse(line).map_err(|error| values::moved(error, index, 0))?;
        entries.push(Data::Json(value));
    }
    if entries.is_empty() {
        return Err(Error::invalid("the body is empty; send one JSON value a line to append"));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(media_type: &str, body: &str) -> Result<Vec<String>, String> {
        let text = |data: Data| match data {
            Data::Json(value) => value.to_string(),
            Data::Bytes(bytes) => format!("{bytes:?}"),
        };
        match entries(media_type, &Bytes::from(body.to_owned())) {
            Ok(entries) => Ok(entries.into_iter().map(text).collect()),
            Err(problem) => Err(problem.detail()),
        }
    }

    #[test]
    fn what_bodies_mean() {
        let json = |body| read(accept::JSON, body).unwrap();
        assert_eq!(json(" {\"a\": 1} "), ["{\"a\":1}"]);
        assert_eq!(json("1e400"), ["1e400"]);
        assert_eq!(json("[1, [2], {\"a\" :3}, null]"), ["1", "[2]", "{\"a\":3}", "null"]);
        assert_eq!(json("[]"), [""; 0]);
        assert_eq!(read(accept::NDJSON, "1\n\r\n [2, 3]\r\n  \n{}").unwrap(), ["1", "[2,3]", "{}"]);
        assert_eq!(read(BYTES, "a\nb").unwrap(), ["b\"a\\nb\""]);
        assert_eq!(read(BYTES, "").unwrap(), ["b\"\""]);
        let mixed = r#"[{"data":null},{"b64":"AP8="},{"data":{"a": 1}},{"b64":""}]"#;
        assert_eq!(read(MIXED, mixed).unwrap(), ["null", "b\"\\0\\xff\"", "{\"a\":1}", "b\"\""]);
    }

    #[test]
    fn faults_are_told_by_their_place() {
        let place = |media_type, body| read(media_type, body).unwrap_err();
        assert!(place(accept::JSON, "[1,\n {\"a\":}]").contains("line 2, column 7"));
        assert!(place(accept::JSON, "[1] x").contains("line 1, column 5"));
        assert!(place(accept::NDJSON, "1\n\n{\"a\":}\n").contains("line 3, column 6"));
        assert!(place(MIXED, "[{\"data\":1},\n{\"b64\":\"?\"}]").contains("entry 2"));
        assert!(place(MIXED, "[{\"data\":1,\"b64\":\"\"}]").contains("entry 1"));
        assert!(place(MIXED, "[{}]").contains("entry 1"));
        assert!(place(MIXED, "[{\"dato\":1}]").contains("`dato`"));
        assert!(place(MIXED, "{\"data\":1}").contains("line 1"));
        assert!(place(MIXED, "[{\"data\":01}]").contains("column 11"));
        for empty in ["", " \n"] {
            assert!(place(accept::JSON, empty).contains("empty"));
            assert!(place(accept::NDJSON, empty).contains("empty"));
        }
    }

    #[test]
    fn depth_counts_from_the_entry() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        for depth in [128, 129, 10_000] {
            let fits = depth == 128;
            assert_eq!(read(accept::NDJSON, &nested(depth)).is_ok(), fits, "{depth}");
            assert_eq!(read(accept::JSON, &format!("[{}]", nested(depth))).is_ok(), fits, "{depth}");
            assert_eq!(read(MIXED, &format!("[{{\"data\":{}}}]", nested(depth))).is_ok(), fits, "{depth}");
        }
        let deep = read(accept::JSON, &format!("[1,\n{}]", nested(129))).unwrap_err();
        assert!(deep.contains("line 2, column 129"), "{deep}");
    }
}
