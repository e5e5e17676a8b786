//! The first line of a segment: what holds for the whole log.

use serde::Deserialize;

use super::{FORMAT, finish, verified_crc};
use crate::cursor::{END, Epoch, Seq};
use crate::error::{Error, Result};
use crate::lineage::{Lineage, Piece};
use crate::name::LogName;

/// The first line of a segment that Folio made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) lineage: Lineage,
    /// Inode and birth time (nanoseconds) of the file that this header was written into.
    pub(crate) id: (u64, u64),
    /// The seq before the first entry of this segment.
    pub(crate) base: Seq,
    pub(crate) horizon: Seq,
    pub(crate) closed: bool,
    /// The log that this one was forked from, whose marker goes with it.
    pub(crate) fork_of: Option<LogName>,
    pub(crate) ts: u64,
}

#[derive(Deserialize)]
struct RawHeader {
    folio: u64,
    epoch: Epoch,
    id: (u64, u64),
    prev: Vec<(Epoch, Seq)>,
    base: Seq,
    horizon: Seq,
    #[serde(default)]
    closed: bool,
    #[serde(default)]
    fork: Option<String>,
    #[serde(default)]
    needs: Vec<String>,
    ts: u64,
}

impl Header {
    /// The seq before the first entry of this segment that is not compacted.
    pub(crate) fn floor(&self) -> Seq {
        self.base.max(self.horizon)
    }

    /// Appends the header line.
    pub(crate) fn push(&self, out: &mut Vec<u8>) {
        let prev: Vec<String> = self.lineage.ended().iter().map(|piece| format!("[{},{}]", piece.epoch, piece.last)).collect();
        let closed = if self.closed { ",\"closed\":true" } else { "" };
        let fork = self.fork_of.as_ref().map_or(String::new(), |source| format!(",\"fork\":\"{}\"", source.encoded()));
        let start = out.len();
        out.extend_from_slice(
            format!(
                "{{\"folio\":{FORMAT},\"epoch\":{},\"id\":[{},{}],\"prev\":[{}],\"base\":{},\"horizon\":{}{closed}{fork},\"ts\":{}",
                self.lineage.epoch(),
                self.id.0,
                self.id.1,
                prev.join(","),
                self.base,
                self.horizon,
                self.ts
            )
            .as_bytes(),
        );
        finish(out, start, |out| out.push(b'}'));
    }

    /// From the first line of a segment. `Ok(None)`: no header of ours, or a damaged one.
    ///
    /// # Errors
    /// [`Error::NewerFormat`] for a verified header of a format, or with a need, that this code does not know.
    pub(crate) fn parse(line: &[u8]) -> Result<Option<Self>> {
        if !line.starts_with(b"{\"folio\":") || verified_crc(line, usize::MAX).is_none() {
            return Ok(None);
        }
        let newer = |why: String| Error::NewerFormat { what: "the log".to_owned(), why };
        let Ok(text) = std::str::from_utf8(line) else { return Ok(None) };
        let Ok(raw) = serde_json::from_str::<RawHeader>(text) else {
            let version = serde_json::from_str::<serde_json::Value>(text).ok().and_then(|value| value.get("folio")?.as_u64());
            return match version {
                Some(version) if version > FORMAT => Err(newer(format!("format {version}"))),
                _ => Ok(None),
            };
        };
        if raw.folio > FORMAT {
            return Err(newer(format!("format {}", raw.folio)));
        }
        if let Some(need) = raw.needs.first() {
            return Err(newer(format!("it needs {need:?}")));
        }
        let numbers = [raw.epoch, raw.base, raw.horizon, raw.ts]
            .into_iter()
            .chain(raw.prev.iter().flat_map(|&(epoch, last)| [epoch, last]));
        if numbers.max().is_some_and(|largest| largest >= END) {
            return Ok(None);
        }
        let ended = raw.prev.into_iter().map(|(epoch, last)| Piece { epoch, last }).collect();
        let Ok(lineage) = Lineage::from_parts(ended, raw.epoch) else { return Ok(None) };
        Ok(Some(Self {
            lineage,
            id: raw.id,
            base: raw.base,
            horizon: raw.horizon,
            closed: raw.closed,
            fork_of: raw.fork.as_deref().and_then(LogName::decode),
            ts: raw.ts,
        }))
    }
}
