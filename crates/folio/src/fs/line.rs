//! One line of a log segment: write, verify, slice. Byte layout: `docs/design.md`, "On disk".
//!
//! A line is JSON with its members in a fixed order and the payload last, so that reading is slicing. `crc` is CRC-32C
//! over the line without the member `crc` itself and without the newline.

mod header;
mod plain;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::value::RawValue;

pub(crate) use self::header::Header;
use self::plain::beginning;
pub(crate) use self::plain::{Plain, plain};
use crate::cursor::{END, Seq};
use crate::json::Json;
use crate::lines::{push_beginning, push_number, push_payload};
use crate::log::{Data, Entry};
use crate::request::{Digest, Keyed};

/// The format this code writes, and the newest it reads.
pub(crate) const FORMAT: u64 = 1;

/// How the line of an entry, or a control line, begins.
const START: &[u8] = b"{\"seq\":";
/// A line's members before its sum take no more bytes than this.
const LONGEST_HEAD: usize = 4 << 10;
/// The shortest line, with its newline, in bytes.
pub(crate) const SHORTEST: usize = r#"{"seq":1,"ts":0,"crc":"00000000","data":1}"#.len() + 1;

const CRC_OPEN: &[u8] = b",\"crc\":\"";
/// `,"crc":"xxxxxxxx"`
const CRC_LEN: usize = CRC_OPEN.len() + 8 + 1;

/// What stands on the last line of a unit of several lines, or of a keyed one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct UnitEnd {
    /// Entries in the unit; `None` on a unit of one line.
    pub(crate) entries: Option<u64>,
    pub(crate) key: Option<Keyed>,
}

/// The payload of a verified line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Body<'a> {
    Json(&'a str),
    Base64(&'a str),
    Closed,
    State(&'a str),
    /// A control line of a later version; it uses no seq.
    Other,
}

/// A verified line of a segment that Folio made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Line<'a> {
    pub(crate) seq: Seq,
    pub(crate) ts: u64,
    /// Lines still to come in the unit.
    pub(crate) more: u64,
    pub(crate) end: UnitEnd,
    pub(crate) body: Body<'a>,
    /// All of it, without its newline.
    pub(crate) text: &'a [u8],
}

impl Line<'_> {
    /// True for a line that carries an entry; control lines use no seq.
    pub(crate) fn is_entry(&self) -> bool {
        matches!(self.body, Body::Json(_) | Body::Base64(_))
    }

    /// The entry, or `None` for a control line or undecodable bytes.
    pub(crate) fn entry(&self) -> Option<Entry> {
        let data = match self.body {
            Body::Json(text) => Data::Json(Json::trusted(text)),
            Body::Base64(text) => Data::Bytes(BASE64.decode(text).ok()?.into()),
            _ => return None,
        };
        Some(Entry { seq: self.seq, ts: self.ts, data })
    }

    /// False where the payload is not what it should be, although the sum is right: nobody made it so in good faith.
    fn is_sound(&self) -> bool {
        match self.body {
            Body::Json(text) => Json::parse_stored(text.as_bytes()).is_ok(),
            Body::Base64(_) => self.entry().is_some(),
            _ => true,
        }
    }

    /// Entries of the unit that this line ends.
    pub(crate) fn unit_entries(&self) -> u64 {
        self.end.entries.unwrap_or(u64::from(self.is_entry()))
    }
}

/// The head of the members that follow `ts` on some lines.
#[derive(Deserialize, Default)]
struct Extras<'a> {
    #[serde(default)]
    more: u64,
    n: Option<u64>,
    #[serde(borrow)]
    key: Option<(&'a str, &'a str)>,
}

/// Begins a line and returns where it begins.
fn open(out: &mut Vec<u8>, seq: Seq, ts: u64, more: u64, end: UnitEnd) -> usize {
    let start = out.len();
    push_beginning(out, seq, ts);
    if more > 0 {
        out.extend_from_slice(b",\"more\":");
        push_number(out, more);
    }
    if let Some(entries) = end.entries {
        out.extend_from_slice(b",\"n\":");
        push_number(out, entries);
    }
    if let Some(Keyed { key, request }) = end.key {
        out.extend_from_slice(format!(",\"key\":[\"{key}\",\"{request}\"]").as_bytes());
    }
    start
}

/// Puts the sum at the end of the head, so that `body` can follow; then ends the line.
fn finish(out: &mut Vec<u8>, start: usize, body: impl FnOnce(&mut Vec<u8>)) {
    let head_end = out.len();
    out.extend_from_slice(CRC_OPEN);
    out.extend_from_slice(b"00000000\"");
    let body_start = out.len();
    body(out);
    let head = out.get(start..head_end).unwrap_or_default();
    let sum = crc32c::crc32c_append(crc32c::crc32c(head), out.get(body_start..).unwrap_or_default());
    let place = head_end + CRC_OPEN.len();
    if let Some(written) = out.get_mut(place..place + 8) {
        written.copy_from_slice(&digits(sum));
    }
    out.push(b'\n');
}

/// Appends the line of an entry.
pub(crate) fn push_entry(out: &mut Vec<u8>, seq: Seq, ts: u64, more: u64, end: UnitEnd, data: &Data) {
    let start = open(out, seq, ts, more, end);
    finish(out, start, |out| push_payload(out, data));
}

/// Appends the control line that ends a log.
pub(crate) fn push_closed(out: &mut Vec<u8>, seq: Seq, ts: u64, end: UnitEnd) {
    let start = open(out, seq, ts, 0, end);
    finish(out, start, |out| out.extend_from_slice(b",\"closed\":true}"));
}

/// Appends the control line with the tables, as JSON.
pub(crate) fn push_state(out: &mut Vec<u8>, seq: Seq, ts: u64, state: &str) {
    let start = open(out, seq, ts, 0, UnitEnd::default());
    finish(out, start, |out| {
        out.extend_from_slice(b",\"state\":");
        out.extend_from_slice(state.as_bytes());
        out.push(b'}');
    });
}

fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, needle)
}

/// Where the member `crc` stands in a line whose sum is right; it is looked for in the first `head` bytes.
fn verified_crc(line: &[u8], head: usize) -> Option<usize> {
    let at = find(line.get(..head.min(line.len()))?, CRC_OPEN)?;
    verifies(line, at).then_some(at)
}

/// True where the member `crc` stands at `at` and tells the sum of the line.
fn verifies(line: &[u8], at: usize) -> bool {
    let Some((head, rest)) = line.split_at_checked(at) else { return false };
    let Some((member, tail)) = rest.split_at_checked(CRC_LEN) else { return false };
    let sum = crc32c::crc32c_append(crc32c::crc32c(head), tail);
    member.strip_prefix(CRC_OPEN).and_then(|told| told.strip_suffix(b"\"")) == Some(&digits(sum)[..])
}

/// A sum as it is written.
fn digits(sum: u32) -> [u8; 8] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|place| HEX.get((sum >> (28 - 4 * place)) as usize & 15).copied().unwrap_or_default())
}

/// Verifies one line (without its newline) of a segment that Folio made. `None`: damaged.
pub(crate) fn parse(line: &[u8]) -> Option<Line<'_>> {
    if let Some((plain, more, end)) = plain::read(line) {
        return Some(Line { seq: plain.seq, ts: plain.ts, more, end, body: Body::Json(plain.text()), text: line });
    }
    parse_any(line)
}

/// The same for a line of any kind, usual ones too.
fn parse_any(line: &[u8]) -> Option<Line<'_>> {
    let mut rest = line;
    let (seq, ts) = beginning(&mut rest)?;
    let crc_at = verified_crc(line, LONGEST_HEAD)?;
    let members = rest.get(..rest.len().checked_sub(line.len() - crc_at)?)?;
    let extras = if members.is_empty() { Extras::default() } else { parse_extras(members)? };
    if seq >= END || ts >= END {
        return None;
    }
    let key = match extras.key {
        Some((key, request)) => Some(Keyed { key: Digest::parse(key)?, request: Digest::parse(request)? }),
        None => None,
    };
    let tail = std::str::from_utf8(line.get(crc_at + CRC_LEN..)?).ok()?;
    let member = |name: &str, close: &str| tail.strip_prefix(name).and_then(|rest| rest.strip_suffix(close));
    let body = if let Some(text) = member(",\"data\":", "}") {
        Body::Json(text)
    } else if let Some(text) = member(",\"b64\":\"", "\"}") {
        Body::Base64(text)
    } else if tail == ",\"closed\":true}" {
        Body::Closed
    } else if let Some(text) = member(",\"state\":", "}") {
        Body::State(text)
    } else {
        Body::Other
    };
    let line = Line { seq, ts, more: extras.more, end: UnitEnd { entries: extras.n, key }, body, text: line };
    // Entries count from 1.
    (seq > 0 || !line.is_entry()).then_some(line)
}

fn parse_extras(members: &[u8]) -> Option<Extras<'_>> {
    // `,"more":1,…` becomes an object by its own comma's place; members are short, so the copy costs nothing.
    let text = std::str::from_utf8(members.strip_prefix(b",")?).ok()?;
    let object = format!("{{{text}}}");
    let extras: Extras<'_> = serde_json::from_str(&object).ok()?;
    let key = match extras.key {
        Some((key, request)) => Some((slice_of(text, key)?, slice_of(text, request)?)),
        None => None,
    };
    Some(Extras { more: extras.more, n: extras.n, key })
}

/// The same text, borrowed from the line.
fn slice_of<'a>(text: &'a str, part: &str) -> Option<&'a str> {
    let at = text.find(part)?;
    text.get(at..at + part.len())
}

/// False where [`recover`] can't find anything.
pub(crate) fn may_hold_another(line: &[u8]) -> bool {
    line.get(1..).is_some_and(|line| find(line, START).is_some())
}

/// A suffix of a damaged line that is itself a whole line, as a lost newline leaves it, and where it begins. `fits` says
/// whether a line at that place can have that seq: the data of an entry may look like a line, too.
pub(crate) fn recover(line: &[u8], fits: impl Fn(usize, Seq) -> bool) -> Option<(usize, Line<'_>)> {
    let mut at = 1;
    while let Some(found) = find(line.get(at..)?, START) {
        at += found;
        let inner = line.get(at..)?;
        let looks_right = beginning(&mut &*inner).is_some_and(|(seq, _)| fits(at, seq));
        if looks_right
            && let Some(inner) = parse(inner)
            && inner.is_sound()
        {
            return Some((at, inner));
        }
        at += 1;
    }
    None
}

/// A line of a log that another tool wrote: `seq`, `ts` and `data` in any spelling, without a sum.
pub(crate) fn parse_adopted(line: &[u8]) -> Option<Entry> {
    #[derive(Deserialize)]
    struct Adopted<'a> {
        seq: Seq,
        ts: u64,
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let text = std::str::from_utf8(line).ok()?;
    let adopted: Adopted<'_> = serde_json::from_str(text).ok()?;
    let data = Json::parse_stored(adopted.data.get().as_bytes()).ok()?;
    let sane = (1..END).contains(&adopted.seq) && adopted.ts < END;
    sane.then_some(Entry { seq: adopted.seq, ts: adopted.ts, data: Data::Json(data) })
}

/// True when a segment that begins so was written by another tool.
pub(crate) fn looks_adopted(first_line: &[u8]) -> bool {
    first_line.starts_with(START)
        && find(first_line, CRC_OPEN).is_none_or(|at| find(first_line, b"\"data\":").is_some_and(|data| data < at))
}

#[cfg(test)]
mod tests;
