//! Validated names: projects, keys, collections, file paths and log names.
//!
//! A value of one of these types is always valid, so code below the edge never checks again.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, NameKind, Result};

/// Longest project id, document key or collection name, in bytes.
pub const MAX_TOKEN: usize = 128;
/// Longest segment of a file path, in bytes (the limit of the common file systems).
pub const MAX_PATH_SEGMENT: usize = 255;
/// Longest file path, in bytes; leaves room below the kernel's own limit of 4,096.
pub const MAX_PATH: usize = 3_072;
/// Longest segment of a log name after encoding for the disk, in bytes.
pub const MAX_LOG_SEGMENT: usize = 200;
/// Longest log name after encoding for the disk, in bytes.
pub const MAX_LOG_NAME: usize = 1_000;

fn refuse(kind: NameKind, name: &str, why: &'static str) -> Error {
    Error::InvalidName { kind, name: shown(name), why: why.into() }
}

/// A name as it is put into a message: at most 80 characters, control characters escaped.
fn shown(name: &str) -> String {
    let mut out: String = name.chars().take(80).flat_map(char::escape_debug).collect();
    if name.chars().nth(80).is_some() {
        out.push('…');
    }
    out
}

fn check_token(kind: NameKind, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(refuse(kind, name, "it is empty"));
    }
    if name.len() > MAX_TOKEN {
        return Err(refuse(kind, name, "it is longer than 128 bytes"));
    }
    if !name.bytes().all(is_token_byte) {
        return Err(refuse(kind, name, "only A-Z, a-z, 0-9, '_' and '-' are allowed"));
    }
    Ok(())
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $kind:expr, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks `name` and takes it.
            ///
            /// # Errors
            /// [`Error::InvalidName`], which names the thing and the rule it breaks.
            pub fn new(name: impl AsRef<str>) -> Result<Self> {
                let name = name.as_ref();
                let check: fn(NameKind, &str) -> Result<()> = $check;
                check($kind, name)?;
                Ok(Self(name.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(name: &str) -> Result<Self> {
                Self::new(name)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(Cow::<'de, str>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type!(
    /// Id of a project: 1 to 128 of `A-Z a-z 0-9 _ -`.
    ///
    /// ```
    /// use folio::ProjectId;
    /// assert!(ProjectId::new("streams-site").is_ok());
    /// assert!(ProjectId::new("../etc").is_err());
    /// ```
    ProjectId, NameKind::Project, check_token
);
name_type!(
    /// Key of a document: 1 to 128 of `A-Z a-z 0-9 _ -`.
    DocKey, NameKind::Key, check_token
);
name_type!(
    /// Name of a collection of documents outside projects: 1 to 128 of `A-Z a-z 0-9 _ -`.
    CollectionName, NameKind::Collection, check_token
);
name_type!(
    /// Relative path of a file in a project, with `/` between segments.
    ///
    /// No segment is empty or starts with a dot, so `..`, absolute paths and hidden folders such as `.meta`
    /// cannot be expressed. At most 255 bytes a segment and 3,072 in all; NUL is refused.
    ///
    /// ```
    /// use folio::FilePath;
    /// assert!(FilePath::new("uploads/notes ünï.txt").is_ok());
    /// assert!(FilePath::new("a/../b").is_err());
    /// assert!(FilePath::new(".meta/x.json").is_err());
    /// ```
    FilePath, NameKind::Path, check_path
);
name_type!(
    /// Name of a log in a project, with `/` between segments: `history`, `runs/42`.
    ///
    /// Any text but NUL and the segments `.` and `..`; see [`LogName::encoded`] for how it stands on disk.
    LogName, NameKind::Log, check_log
);

fn check_path(kind: NameKind, path: &str) -> Result<()> {
    if path.is_empty() {
        return Err(refuse(kind, path, "it is empty"));
    }
    if path.len() > MAX_PATH {
        return Err(refuse(kind, path, "it is longer than 3,072 bytes"));
    }
    if path.contains('\0') {
        return Err(refuse(kind, path, "it contains a NUL byte"));
    }
    for segment in path.split('/') {
        if segment.is_empty() {
            return Err(refuse(kind, path, "it has an empty segment (a path is relative, without '//' or '/' at the ends)"));
        }
        if segment.starts_with('.') {
            return Err(refuse(kind, path, "a segment starts with a dot"));
        }
        if segment.len() > MAX_PATH_SEGMENT {
            return Err(refuse(kind, path, "a segment is longer than 255 bytes"));
        }
    }
    Ok(())
}

fn check_log(kind: NameKind, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(refuse(kind, name, "it is empty"));
    }
    if name.contains('\0') {
        return Err(refuse(kind, name, "it contains a NUL byte"));
    }
    let mut total = 0;
    for segment in name.split('/') {
        if segment.is_empty() {
            return Err(refuse(kind, name, "it has an empty segment"));
        }
        if segment == "." || segment == ".." {
            return Err(refuse(kind, name, "'.' and '..' cannot be segments"));
        }
        let encoded = encode_segment(segment).len();
        if encoded > MAX_LOG_SEGMENT {
            return Err(refuse(kind, name, "a segment is longer than 200 bytes once encoded"));
        }
        total += encoded + 1;
    }
    if total - 1 > MAX_LOG_NAME {
        return Err(refuse(kind, name, "it is longer than 1,000 bytes once encoded"));
    }
    Ok(())
}

impl LogName {
    /// The log that every project has.
    pub const HISTORY: &'static str = "history";

    /// The log `history`.
    #[must_use]
    pub fn history() -> Self {
        Self(Self::HISTORY.into())
    }

    /// True for the log that every project has.
    #[must_use]
    pub fn is_history(&self) -> bool {
        &*self.0 == Self::HISTORY
    }

    /// The name as it stands on disk and in URLs: every byte outside `[A-Za-z0-9_-]` becomes `%XX` (upper case),
    /// segments stay separated by `/`.
    ///
    /// ```
    /// use folio::LogName;
    /// assert_eq!(LogName::new("runs/4.2")?.encoded(), "runs/4%2E2");
    /// # Ok::<(), folio::Error>(())
    /// ```
    #[must_use]
    pub fn encoded(&self) -> String {
        self.0.split('/').map(encode_segment).collect::<Vec<_>>().join("/")
    }

    /// The reverse of [`LogName::encoded`]; `None` where `encoded` is not exactly what `encoded()` writes.
    #[must_use]
    pub fn decode(encoded: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(encoded.len());
        let mut rest = encoded.as_bytes();
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            if byte != b'%' {
                bytes.push(byte);
                continue;
            }
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = rest.get(2..)?;
        }
        let name = Self::new(String::from_utf8(bytes).ok()?).ok()?;
        (name.encoded() == encoded).then_some(name)
    }
}

fn encode_segment(segment: &str) -> String {
    let mut out = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if is_token_byte(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        for good in ["a", "A-1_b", &"x".repeat(128)] {
            assert!(ProjectId::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "ü", "a\0", ".meta", &"x".repeat(129)] {
            assert!(ProjectId::new(bad).is_err(), "{bad}");
            assert!(DocKey::new(bad).is_err(), "{bad}");
            assert!(CollectionName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths() {
        for good in ["a", "a/b.txt", "uploads/notes ünï.txt", "a..b", "~", "a\\b", &"x".repeat(255)] {
            assert!(FilePath::new(good).is_ok(), "{good}");
        }
        let long = format!("a/{}", "b/".repeat(1600)) + "c";
        for bad in
            ["", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", ".meta/x", "a/.git/x", "a\0b", &"x".repeat(256), &long]
        {
            assert!(FilePath::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn log_names_encode_and_decode() {
        for name in ["history", "runs/42", "a.b", "ünï", "a b/c%d", "..."] {
            let log = LogName::new(name).unwrap();
            assert_eq!(LogName::decode(&log.encoded()), Some(log.clone()), "{name}");
            assert!(log.encoded().bytes().all(|b| is_token_byte(b) || b == b'%' || b == b'/'));
        }
        for bad in ["", "/a", "a/", "a//b", ".", "a/..", "\0", &"ü".repeat(34), &"abcd/".repeat(300)] {
            assert!(LogName::new(bad).is_err(), "{bad}");
        }
        for not_ours in ["a.b", "%2e", "%", "%2", "%41", "%FF"] {
            assert_eq!(LogName::decode(not_ours), None, "{not_ours}");
        }
    }

    #[test]
    fn messages_name_the_thing_and_stay_short() {
        let message = ProjectId::new("x\n".repeat(500)).unwrap_err().to_string();
        assert!(message.len() < 400 && message.contains("x\\nx"), "{message}");
    }
}
