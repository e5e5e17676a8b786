//! Appending: what the types of body mean, and the answer.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use folio::{AppendOptions, AppendOutcome, Data, Error, Json, Position, Result, Seq};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::body::Whole;
use crate::path::AtLog;
use crate::problem::{Answer, Current, Problem, Refusal};
use crate::query::Query;
use crate::state::App;
use crate::{accept, body, conditions, reply};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

const BYTES: &str = "application/octet-stream";
/// An array whose members say of themselves whether they are JSON or bytes.
const MIXED: &str = "application/vnd.folio.entries+json";

#[derive(Serialize)]
struct Appended {
    first_seq: Seq,
    last_seq: Seq,
    cursor: Position,
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
            let folio::Appended { first, last, cursor, replayed } = appended;
            let mut response = reply::json(StatusCode::OK, &Appended { first_seq: first, last_seq: last, cursor })?;
            if replayed {
                response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            }
            Ok(response)
        }
        AppendOutcome::Precondition { head } => Err(Refusal::PreconditionFailed { current: Current::Head { head } }.into()),
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
fn entries(media_type: &str, body: &Bytes) -> Result<Vec<Data>, Problem> {
    match media_type {
        BYTES => Ok(vec![Data::Bytes(body.clone())]),
        accept::NDJSON => Ok(lines(body)?),
        MIXED => Ok(mixed(body)?),
        _ => Ok(values(body)?),
    }
}

/// One value, or the elements of one array.
fn values(body: &Bytes) -> Result<Vec<Data>> {
    let first = body.iter().copied().find(|byte| !byte.is_ascii_whitespace());
    match first {
        None => Err(Error::invalid("the body is empty; send a JSON value (or an array of them) to append")),
        Some(b'[') => {
            let elements: Vec<&RawValue> = raw(body)?;
            elements.into_iter().map(|element| Ok(Data::Json(part(body, element)?))).collect()
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
        let value = Json::parse(line).map_err(|error| moved(error, index, 0))?;
        entries.push(Data::Json(value));
    }
    if entries.is_empty() {
        return Err(Error::invalid("the body is empty; send one JSON value a line to append"));
    }
    Ok(entries)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mixed<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    b64: Option<Cow<'a, str>>,
}

/// `null` is a value here, not the lack of one.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// `[{"data":…},{"b64":"…"}]`.
fn mixed(body: &Bytes) -> Result<Vec<Data>> {
    let members: Vec<Mixed<'_>> = raw(body)?;
    let one = |(index, member): (usize, Mixed<'_>)| match (member.data, member.b64) {
        (Some(data), None) => Ok(Data::Json(part(body, data)?)),
        (None, Some(b64)) => match STANDARD.decode(b64.as_bytes()) {
            Ok(bytes) => Ok(Data::Bytes(bytes.into())),
            Err(e) => Err(Error::invalid(format!("b64 of entry {} is not base64: {e}", index + 1))),
        },
        _ => Err(Error::invalid(format!("entry {} needs either data or b64", index + 1))),
    };
    members.into_iter().enumerate().map(one).collect()
}

/// The parts of a body that are values of users are left as they are.
fn raw<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|e| {
        // What is no JSON at all is told in the same words and with the same place as everywhere.
        let why = Json::parse_stored(body).err();
        why.unwrap_or_else(|| Error::InvalidJson { line: e.line(), column: e.column(), why: reason(&e) })
    })
}

/// What serde says, without the place that it puts behind it.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(reason, _)| reason.to_owned())
}

/// A value within the body; faults are told by their place in the body.
fn part(body: &[u8], value: &RawValue) -> Result<Json> {
    Json::parse(value.get().as_bytes()).map_err(|error| {
        let offset = (value.get().as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
        let before = body.get(..offset).unwrap_or_default();
        let lines = before.iter().filter(|&&byte| byte == b'\n').count();
        let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count();
        moved(error, lines, column)
    })
}

/// Moves the place of a fault down by `lines`, and right by `columns` if it is in the first line.
fn moved(error: Error, lines: usize, columns: usize) -> Error {
    match error {
        Error::InvalidJson { line, column, why } => {
            let column = if line == 1 { column + columns } else { column };
            Error::InvalidJson { line: line + lines, column, why }
        }
        other => other,
    }
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
