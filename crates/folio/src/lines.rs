//! Entries as text, for those who pass them on: lines that go out as they are.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

use crate::cursor::Seq;
use crate::log::{Data, Entry};

/// One or more entries in a row, as text in UTF-8: a line `{"seq":…,"ts":…,"data":…}` for each, with its newline, and
/// `b64` in place of `data` for bytes. Cheap to clone.
///
/// Lines as they are stored ([`AppendLog::read_stored`](crate::AppendLog::read_stored)) may have more members before the
/// payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lines {
    first: Seq,
    last: Seq,
    text: Bytes,
}

impl Lines {
    /// The lines of the entries from `first` to `last`.
    pub(crate) fn new(first: Seq, last: Seq, text: Bytes) -> Self {
        Self { first, last, text }
    }

    /// Seq of the first entry.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.first
    }

    /// Seq of the last entry.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.last
    }

    /// All lines.
    #[must_use]
    pub fn text(&self) -> &Bytes {
        &self.text
    }

    /// The lines, without their newlines.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.text.as_ref();
        std::iter::from_fn(move || {
            let (line, after) = rest.split_at_checked(memchr::memchr(b'\n', rest)?)?;
            rest = after.get(1..).unwrap_or_default();
            Some(line)
        })
    }

    /// The entries up to `last`, which is not below the first one, and those behind.
    pub(crate) fn split(mut self, last: Seq) -> (Self, Option<Self>) {
        if last >= self.last {
            return (self, None);
        }
        let kept = usize::try_from(last - self.first + 1).unwrap_or(usize::MAX);
        let end = self.iter().take(kept).map(|line| line.len() + 1).sum();
        let behind = Self { first: last + 1, last: self.last, text: self.text.split_off(end) };
        (Self { last, ..self }, Some(behind))
    }
}

/// Lines as they are stored, in their file: they were good when they were read before, and nobody changes them; behind them,
/// more may be written at any time ([`AppendLog::read_in_place`](crate::AppendLog::read_in_place)). Cheap to clone.
#[derive(Clone, Debug)]
pub struct FileLines {
    pub(crate) first: Seq,
    pub(crate) last: Seq,
    pub(crate) file: Arc<File>,
    pub(crate) range: Range<u64>,
}

impl FileLines {
    /// Seq of the first entry.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.first
    }

    /// Seq of the last entry.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.last
    }

    /// The file, opened for reading. Read at offsets: others may share where it stands.
    #[must_use]
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Where the lines lie in it, in bytes: whole ones, each with its newline, and nothing else.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }
}

impl From<&Entry> for Lines {
    fn from(entry: &Entry) -> Self {
        let mut text = Vec::new();
        push_entry(&mut text, entry);
        Self { first: entry.seq, last: entry.seq, text: text.into() }
    }
}

/// A number as decimal digits.
pub(crate) fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        }
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// How a line of an entry begins, up to its payload or what is stored before that: `{"seq":…,"ts":…`.
pub(crate) fn push_beginning(out: &mut Vec<u8>, seq: Seq, ts: u64) {
    out.extend_from_slice(b"{\"seq\":");
    push_number(out, seq);
    out.extend_from_slice(b",\"ts\":");
    push_number(out, ts);
}

/// How it ends: `,"data":…}`, or `b64` in place of `data` for bytes.
pub(crate) fn push_payload(out: &mut Vec<u8>, data: &Data) {
    match data {
        Data::Json(value) => {
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(value.as_str().as_bytes());
            out.push(b'}');
        }
        Data::Bytes(bytes) => {
            out.extend_from_slice(b",\"b64\":\"");
            out.extend_from_slice(BASE64.encode(bytes).as_bytes());
            out.extend_from_slice(b"\"}");
        }
    }
}

/// The line of an entry.
pub(crate) fn push_entry(out: &mut Vec<u8>, entry: &Entry) {
    push_beginning(out, entry.seq, entry.ts);
    push_payload(out, &entry.data);
    out.push(b'\n');
}
