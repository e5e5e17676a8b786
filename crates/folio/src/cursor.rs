//! Positions in a log, and the cursors that clients hand back.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};

/// Sequence number of an entry. Entries count from 1; 0 means "before the first".
pub type Seq = u64;

/// The largest seq and epoch, exclusive: 2^53, so that JSON readers with 53 bits agree.
pub(crate) const END: u64 = 1 << 53;

/// A life of a log: unix milliseconds, rising. 0 is everything before Folio's own first line.
pub type Epoch = u64;

/// "Everything up to and including `seq` was seen", with the epoch of the piece that holds `seq`.
///
/// Written `<epoch>-<seq>`. Seq 0 is always `0-0`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub struct Position {
    /// Epoch of the piece of the log that holds `seq`.
    pub epoch: Epoch,
    /// Inclusive: the entry with this seq was seen.
    pub seq: Seq,
}

impl Position {
    /// Before the first entry of any log.
    pub const START: Self = Self { epoch: 0, seq: 0 };
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.seq)
    }
}

impl FromStr for Position {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text.parse::<Cursor>()? {
            Cursor { epoch: Some(epoch), seq } => Ok(Self { epoch, seq }),
            Cursor { epoch: None, .. } => Err(malformed(text)),
        }
    }
}

/// What a client says it has seen: a position, or a bare seq that is taken without an epoch check.
///
/// ```
/// use folio::Cursor;
/// assert_eq!("1763900000000-41".parse::<Cursor>()?.seq, 41);
/// assert_eq!("41".parse::<Cursor>()?.epoch, None);
/// assert!("041".parse::<Cursor>().is_err());
/// # Ok::<(), folio::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Cursor {
    /// The epoch, unless the cursor is a bare seq.
    pub epoch: Option<Epoch>,
    /// Inclusive: everything up to this seq was seen.
    pub seq: Seq,
}

impl Cursor {
    /// From before the first entry.
    pub const START: Self = Self { epoch: None, seq: 0 };

    /// A cursor without an epoch check.
    #[must_use]
    pub fn bare(seq: Seq) -> Self {
        Self { epoch: None, seq }
    }
}

impl From<Position> for Cursor {
    fn from(position: Position) -> Self {
        Self { epoch: Some(position.epoch), seq: position.seq }
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch {
            Some(epoch) => write!(f, "{epoch}-{}", self.seq),
            None => write!(f, "{}", self.seq),
        }
    }
}

fn malformed(text: &str) -> Error {
    Error::InvalidCursor { text: text.chars().take(60).flat_map(char::escape_debug).collect() }
}

/// Strict decimal: digits only, no leading zero, fits into 53 bits (so that JSON readers agree).
fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    let value = (plain && canonical).then(|| text.parse::<u64>().ok())??;
    (value < END).then_some(value)
}

impl FromStr for Cursor {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let parsed = match text.split_once('-') {
            Some((epoch, seq)) => number(epoch).zip(number(seq)).map(|(epoch, seq)| Self { epoch: Some(epoch), seq }),
            None => number(text).map(Self::bare),
        };
        parsed.ok_or_else(|| malformed(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for text in ["0", "41", "0-0", "1763900000000-41", "9007199254740991-9007199254740991"] {
            assert_eq!(text.parse::<Cursor>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn junk_is_refused() {
        for text in [
            "",
            "-",
            "1-",
            "-1",
            "1-2-3",
            "+1",
            " 1",
            "1 ",
            "01",
            "1-01",
            "a",
            "1_2",
            "9007199254740992",
            "18446744073709551616",
            "1.0",
            "١",
        ] {
            assert!(text.parse::<Cursor>().is_err(), "{text:?}");
        }
        assert!("41".parse::<Position>().is_err());
    }
}
