//! One line of a log segment: write, verify, slice. Byte layout: `docs/design.md`, "On disk".
//!
//! A line is JSON with its members in a fixed order and the payload last, so that reading is slicing. `crc` is CRC-32C
//! over the line without the member `crc` itself and without the newline.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cursor::{END, Epoch, Seq};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::lineage::{Lineage, Piece};
use crate::log::{Data, Entry};
use crate::name::LogName;
use crate::request::{Digest, Keyed};

/// The format this code writes, and the newest it reads.
pub(crate) const FORMAT: u64 = 1;

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

fn push_number(out: &mut Vec<u8>, number: u64) {
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

/// Begins a line and returns where it begins.
fn open(out: &mut Vec<u8>, seq: Seq, ts: u64, more: u64, end: UnitEnd) -> usize {
    let start = out.len();
    out.extend_from_slice(b"{\"seq\":");
    push_number(out, seq);
    out.extend_from_slice(b",\"ts\":");
    push_number(out, ts);
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
    if let Some(digits) = out.get_mut(place..place + 8) {
        digits.copy_from_slice(format!("{sum:08x}").as_bytes());
    }
    out.push(b'\n');
}

/// Appends the line of an entry.
pub(crate) fn push_entry(out: &mut Vec<u8>, seq: Seq, ts: u64, more: u64, end: UnitEnd, data: &Data) {
    let start = open(out, seq, ts, more, end);
    finish(out, start, |out| match data {
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
    });
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
    text.windows(needle.len()).position(|window| window == needle)
}

/// Where the member `crc` stands in a line whose sum is right.
fn verified_crc(line: &[u8]) -> Option<usize> {
    let at = find(line, CRC_OPEN)?;
    let digits = line.get(at + CRC_OPEN.len()..at + CRC_OPEN.len() + 8)?;
    let lower_hex = digits.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b));
    if !lower_hex || line.get(at + CRC_LEN - 1) != Some(&b'"') {
        return None;
    }
    let told = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    let sum = crc32c::crc32c_append(crc32c::crc32c(line.get(..at)?), line.get(at + CRC_LEN..)?);
    (sum == told).then_some(at)
}

/// Takes decimal digits from the front.
fn number(text: &mut &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (head, rest) = text.split_at_checked(digits)?;
    *text = rest;
    std::str::from_utf8(head).ok()?.parse().ok()
}

/// Verifies one line (without its newline) of a segment that Folio made. `None`: damaged.
pub(crate) fn parse(line: &[u8]) -> Option<Line<'_>> {
    let mut rest = line.strip_prefix(b"{\"seq\":")?;
    let crc_at = verified_crc(line)?;
    let seq = number(&mut rest)?;
    rest = rest.strip_prefix(b",\"ts\":")?;
    let ts = number(&mut rest)?;
    if seq >= END || ts >= END {
        return None;
    }
    let members = rest.get(..rest.len().checked_sub(line.len() - crc_at)?)?;
    let extras = if members.is_empty() { Extras::default() } else { parse_extras(members)? };
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
    Some(Line { seq, ts, more: extras.more, end: UnitEnd { entries: extras.n, key }, body })
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

/// A suffix of a damaged line that is itself a whole line, as a lost newline leaves it.
pub(crate) fn recover(line: &[u8]) -> Option<(usize, Line<'_>)> {
    const START: &[u8] = b"{\"seq\":";
    let mut at = 1;
    while let Some(found) = find(line.get(at..)?, START) {
        at += found;
        if let Some(inner) = line.get(at..).and_then(parse) {
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
    first_line.starts_with(b"{\"seq\":")
        && find(first_line, CRC_OPEN).is_none_or(|at| find(first_line, b"\"data\":").is_some_and(|data| data < at))
}

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
    /// The log is being deleted, or a fork is being made: it counts as absent.
    pub(crate) absent: bool,
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
    absent: bool,
    #[serde(default)]
    fork: Option<String>,
    #[serde(default)]
    needs: Vec<String>,
    ts: u64,
}

impl Header {
    /// Appends the header line.
    pub(crate) fn push(&self, out: &mut Vec<u8>) {
        let prev: Vec<String> = self.lineage.ended().iter().map(|piece| format!("[{},{}]", piece.epoch, piece.last)).collect();
        let closed = if self.closed { ",\"closed\":true" } else { "" };
        let absent = if self.absent { ",\"absent\":true" } else { "" };
        let fork = self.fork_of.as_ref().map_or(String::new(), |source| format!(",\"fork\":\"{}\"", source.encoded()));
        let start = out.len();
        out.extend_from_slice(
            format!(
                "{{\"folio\":{FORMAT},\"epoch\":{},\"id\":[{},{}],\"prev\":[{}],\"base\":{},\"horizon\":{}{closed}{absent}{fork},\"ts\":{}",
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
        if !line.starts_with(b"{\"folio\":") || verified_crc(line).is_none() {
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
            absent: raw.absent,
            fork_of: raw.fork.as_deref().and_then(LogName::decode),
            ts: raw.ts,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seq: Seq, more: u64, end: UnitEnd, json: &str) -> String {
        let mut out = Vec::new();
        push_entry(&mut out, seq, 1_763_900_000_123, more, end, &Data::Json(Json::parse(json.as_bytes()).unwrap()));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_test_vector_of_the_format() {
        assert_eq!(
            line(1, 0, UnitEnd::default(), r#"{"kind":"tweak"}"#),
            "{\"seq\":1,\"ts\":1763900000123,\"crc\":\"e5e8f62d\",\"data\":{\"kind\":\"tweak\"}}\n"
        );
    }

    #[test]
    fn what_was_written_is_read() {
        let key = Keyed { key: Digest(0xab), request: Digest(u64::MAX) };
        for (more, end) in [
            (0, UnitEnd::default()),
            (7, UnitEnd::default()),
            (0, UnitEnd { entries: Some(3), key: Some(key) }),
            (0, UnitEnd { entries: None, key: Some(Keyed { key: Digest(5), request: Digest(5) }) }),
        ] {
            let text = line(42, more, end, r#"{"x":",\"crc\":\"00000000\"","seq":1}"#);
            let parsed = parse(text.trim_end().as_bytes()).unwrap();
            assert_eq!((parsed.seq, parsed.more, parsed.end), (42, more, end));
            assert_eq!(parsed.body, Body::Json(r#"{"x":",\"crc\":\"00000000\"","seq":1}"#));
        }
        let mut out = Vec::new();
        push_entry(&mut out, 1, 2, 0, UnitEnd::default(), &Data::Bytes(vec![0, 255].into()));
        assert_eq!(parse(out.trim_ascii_end()).unwrap().entry().unwrap().data, Data::Bytes(vec![0, 255].into()));
        out.clear();
        push_closed(&mut out, 3, 9, UnitEnd { entries: Some(2), key: None });
        assert_eq!(parse(out.trim_ascii_end()).unwrap().body, Body::Closed);
        out.clear();
        push_state(&mut out, 3, 9, "{\"keys\":[]}");
        assert_eq!(parse(out.trim_ascii_end()).unwrap().body, Body::State("{\"keys\":[]}"));
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let text = line(9, 0, UnitEnd { entries: Some(2), key: Some(Keyed { key: Digest(1), request: Digest(2) }) }, "[1,2,3]");
        let whole = text.trim_end().as_bytes();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.to_vec();
                flipped[at] ^= 1 << bit;
                assert!(parse(&flipped).is_none(), "byte {at} bit {bit}: {}", String::from_utf8_lossy(&flipped));
            }
        }
        for cut in 0..whole.len() {
            assert!(parse(&whole[..cut]).is_none());
        }
    }

    #[test]
    fn a_glued_line_is_recovered() {
        let torn = r#"{"seq":8,"ts":1763900000000,"crc":"aaaaaaaa","data":{"a":"{\"seq\":"#;
        let glued = format!("{torn}{}", line(9, 0, UnitEnd::default(), "1").trim_end());
        let (at, inner) = recover(glued.as_bytes()).unwrap();
        assert_eq!((at, inner.seq), (torn.len(), 9));
        assert!(recover(torn.as_bytes()).is_none());
    }

    #[test]
    fn headers() {
        let ended = vec![Piece { epoch: 0, last: 0 }, Piece { epoch: 5, last: 9 }];
        let lineage = Lineage::from_parts(ended, 1_763_900_000_000).unwrap();
        let header = Header {
            lineage,
            id: (8123, 17),
            base: 9,
            horizon: 4,
            closed: true,
            absent: false,
            fork_of: Some(LogName::new("a/b.c").unwrap()),
            ts: 1,
        };
        let mut out = Vec::new();
        header.push(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("{\"folio\":1,\"epoch\":1763900000000,\"id\":[8123,17],\"prev\":[[0,0],[5,9]],\"base\":9,\"horizon\":4,\"closed\":true,\"fork\":\"a/b%2Ec\",\"ts\":1,\"crc\":\""));
        assert_eq!(Header::parse(text.trim_end().as_bytes()).unwrap(), Some(header));
        assert_eq!(Header::parse(text.trim_end().replace("\"base\":9", "\"base\":8").as_bytes()).unwrap(), None);
        let signed = |body: &str| {
            let mut out = body.as_bytes().to_vec();
            finish(&mut out, 0, |out| out.push(b'}'));
            out.trim_ascii_end().to_vec()
        };
        let known = r#"{"folio":1,"epoch":1,"id":[1,1],"prev":[],"base":0,"horizon":0,"ts":1"#;
        assert!(Header::parse(&signed(&format!("{known},\"unknown\":[1]"))).unwrap().is_some());
        assert!(matches!(Header::parse(&signed(&format!("{known},\"needs\":[\"zstd\"]"))), Err(Error::NewerFormat { .. })));
        assert!(matches!(Header::parse(&signed(&known.replace("folio\":1", "folio\":2"))), Err(Error::NewerFormat { .. })));
        assert!(matches!(Header::parse(&signed(r#"{"folio":9,"other":1"#)), Err(Error::NewerFormat { .. })));
    }

    #[test]
    fn adopted_lines_in_any_spelling() {
        let entry = parse_adopted(br#"{ "ts": 7, "data": { "n": 12345678901234567890 }, "seq": 3, "by": "x" }"#).unwrap();
        assert_eq!((entry.seq, entry.ts), (3, 7));
        assert_eq!(entry.data, Data::Json(Json::parse(br#"{"n":12345678901234567890}"#).unwrap()));
        for bad in [
            r#"{"seq":0,"ts":1,"data":1}"#,
            r#"{"seq":9007199254740992,"ts":1,"data":1}"#,
            r#"{"seq":1,"ts":1}"#,
            r#"{"seq":1,"ts":1,"data":{"#,
            "",
            "null",
        ] {
            assert!(parse_adopted(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(looks_adopted(br#"{"seq":1,"ts":1,"data":{"a":1,"crc":"x"}}"#));
        assert!(!looks_adopted(line(1, 0, UnitEnd::default(), "1").as_bytes()));
        assert!(!looks_adopted(b"{\"folio\":1"));
    }
}
