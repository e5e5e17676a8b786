//! Entity tags: what a value is, never when it was written.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// The first 128 bits of SHA-256 over the stored bytes, written as 32 lower-case hex digits.
///
/// ```
/// use folio::Etag;
/// assert_eq!(Etag::of(b"hello").to_string(), "2cf24dba5fb0a30e26e83b2ac5b9e29e");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Etag([u8; 16]);

impl Etag {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = EtagHasher::default();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The 16 bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// From the 16 bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// Builds an [`Etag`] from pieces, for bodies that are streamed.
#[derive(Default, Clone)]
pub struct EtagHasher(Sha256);

impl EtagHasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The tag of all bytes taken.
    #[must_use]
    pub fn finish(self) -> Etag {
        let digest: [u8; 32] = self.0.finalize().into();
        let mut tag = [0; 16];
        tag.copy_from_slice(&digest[..16]);
        Etag(tag)
    }
}

impl fmt::Debug for EtagHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EtagHasher")
    }
}

impl Serialize for Etag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Etag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Etag({self})")
    }
}

impl FromStr for Etag {
    type Err = Error;

    /// From the 32 hex digits, without quotes.
    fn from_str(text: &str) -> Result<Self> {
        let malformed = || Error::InvalidEtag { text: text.chars().take(60).flat_map(char::escape_debug).collect() };
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 32 || !text.bytes().all(lower_hex) {
            return Err(malformed());
        }
        u128::from_str_radix(text, 16).map(|tag| Self(tag.to_be_bytes())).map_err(|_| malformed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form() {
        let tag = Etag::of(b"");
        assert_eq!(tag.to_string(), "e3b0c44298fc1c149afbf4c8996fb924");
        assert_eq!(tag.to_string().parse::<Etag>().unwrap(), tag);
        for bad in ["", "\"\"", "E3B0C44298FC1C149AFBF4C8996FB924", "e3b0", "+3b0c44298fc1c149afbf4c8996fb924"] {
            assert!(bad.parse::<Etag>().is_err(), "{bad}");
        }
    }
}
