//! Values of users inside the JSON of a request: copied, never taken apart; faults are told by their place in the body.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use folio::{Data, Error, Json, Result};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Reads `text`, which is `body` or lies in it.
pub(crate) fn read<'a, T: Deserialize<'a>>(body: &[u8], text: &'a [u8]) -> Result<T> {
    serde_json::from_slice(text).map_err(|e| {
        // What is no JSON at all is told in the same words and with the same place as everywhere.
        let why = Json::parse_stored(text).err();
        let error = why.unwrap_or_else(|| Error::InvalidJson { line: e.line(), column: e.column(), why: reason(&e) });
        placed(error, body, text)
    })
}

/// A value in the body.
pub(crate) fn value(body: &[u8], value: &RawValue) -> Result<Json> {
    let text = value.get().as_bytes();
    Json::parse(text).map_err(|error| placed(error, body, text))
}

/// What serde says, without the place that it puts behind it.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(reason, _)| reason.to_owned())
}

/// Moves the place of a fault in `text` to where that lies in `body`.
fn placed(error: Error, body: &[u8], text: &[u8]) -> Error {
    let offset = (text.as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
    let before = body.get(..offset).unwrap_or_default();
    let lines = before.iter().filter(|&&byte| byte == b'\n').count();
    let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count();
    moved(error, lines, column)
}

/// Moves the place of a fault down by `lines`, and right by `columns` if it is in the first line.
pub(crate) fn moved(error: Error, lines: usize, columns: usize) -> Error {
    match error {
        Error::InvalidJson { line, column, why } => {
            let column = if line == 1 { column + columns } else { column };
            Error::InvalidJson { line: line + lines, column, why }
        }
        other => other,
    }
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
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// `[{"data":…},{"b64":"…"}]`, in `body`.
pub(crate) fn mixed(body: &[u8], text: &[u8]) -> Result<Vec<Data>> {
    let members: Vec<Mixed<'_>> = read(body, text)?;
    let one = |(index, member): (usize, Mixed<'_>)| match (member.data, member.b64) {
        (Some(data), None) => Ok(Data::Json(value(body, data)?)),
        (None, Some(b64)) => match STANDARD.decode(b64.as_bytes()) {
            Ok(bytes) => Ok(Data::Bytes(bytes.into())),
            Err(e) => Err(Error::invalid(format!("b64 of entry {} is not base64: {e}", index + 1))),
        },
        _ => Err(Error::invalid(format!("entry {} needs either data or b64", index + 1))),
    };
    members.into_iter().enumerate().map(one).collect()
}
