//! JSON values as text: validated once, kept to the token.
//!
//! No tree is built, because a tree loses what people put in: 20-digit integers, key order, duplicate keys, `1e400`.

mod check;
mod patch;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Deepest nesting of arrays and objects that is accepted.
pub const MAX_DEPTH: usize = 128;

/// A JSON value, as the text of its tokens without insignificant white space; so it is always one line.
///
/// Cheap to clone. Two values are equal when their tokens are.
///
/// ```
/// use folio::Json;
/// let value = Json::parse(b"{ \"b\": 90071992547409931234, \"a\": [1, 2] }")?;
/// assert_eq!(value.as_str(), r#"{"b":90071992547409931234,"a":[1,2]}"#);
/// # Ok::<(), folio::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(Arc<str>);

impl Json {
    /// Checks that `bytes` are one JSON value and keeps its tokens.
    ///
    /// # Errors
    /// [`Error::InvalidJson`] with line and column (both from 1, the column in bytes): not UTF-8, not JSON,
    /// or nested deeper than [`MAX_DEPTH`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        check::compact(bytes, MAX_DEPTH).map(|text| Self(text.into()))
    }

    /// Like [`Json::parse`], at any depth: for values that another program stored.
    ///
    /// # Errors
    /// [`Error::InvalidJson`].
    pub fn parse_stored(bytes: &[u8]) -> Result<Self> {
        check::compact(bytes, usize::MAX).map(|text| Self(text.into()))
    }

    /// Takes text that is known to be compact JSON, because Folio wrote it under a checksum.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(crate) fn trusted(text: &str) -> Self {
        Self(text.into())
    }

    /// From any value that serde can write.
    ///
    /// # Errors
    /// [`Error::InvalidJson`] where the value has no JSON form (a map with keys that are no strings).
    pub fn from_value(value: &(impl Serialize + ?Sized)) -> Result<Self> {
        let bytes = serde_json::to_vec(value).map_err(|e| misfit(&e))?;
        Self::parse(&bytes)
    }

    /// Into any type that serde can read.
    ///
    /// # Errors
    /// [`Error::InvalidJson`] where the value does not fit the type.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.0).map_err(|e| misfit(&e))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The elements of an array, or `None` for any other value.
    #[must_use]
    pub fn elements(&self) -> Option<Vec<Self>> {
        if !self.0.starts_with('[') {
            return None;
        }
        let raw: Vec<&serde_json::value::RawValue> = serde_json::from_str(&self.0).ok()?;
        Some(raw.into_iter().map(|element| Self(element.get().into())).collect())
    }

    /// This value with a JSON Merge Patch (RFC 7396) applied. Members that the patch does not name keep their tokens.
    #[must_use]
    pub fn merge_patch(&self, patch: &Self) -> Self {
        Self(patch::merge(Some(&self.0), &patch.0).into())
    }

    /// What a patch creates where nothing stands: nulls in objects are dropped.
    #[must_use]
    pub fn patch_of_nothing(patch: &Self) -> Self {
        Self(patch::merge(None, &patch.0).into())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What serde says, without the place that it puts behind it: the error has the place already.
fn misfit(error: &serde_json::Error) -> Error {
    let text = error.to_string();
    let why = text.rsplit_once(" at line ").map_or(text.as_str(), |(why, _)| why);
    Error::InvalidJson { line: error.line(), column: error.column(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_does_not_fit_is_told_with_its_place_once() {
        let error = Json::parse(b"[1,true]").unwrap().to::<Vec<u8>>().unwrap_err();
        assert_eq!(error.to_string(), "invalid JSON at line 1, column 7: invalid type: boolean `true`, expected u8");
    }
}
