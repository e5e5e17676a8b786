//! Entries as text, for those who pass them on: lines that go out as they are.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

use crate::cursor::Seq;
use crate::follow::Item;
use crate::log::{Data, Entry};

/// Text of one run, in bytes; only a single line may be longer.
const PIECE: usize = 64 << 10;

/// One or more entries in a row, as text in UTF-8: a line `{"seq":…,"ts":…,"data":…}` for each, with its newline, and
/// `b64` in place of `data` for bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lines {
    first: Seq,
    last: Seq,
    text: Bytes,
}

impl Lines {
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

fn push_entry(out: &mut Vec<u8>, entry: &Entry) {
    out.extend_from_slice(b"{\"seq\":");
    push_number(out, entry.seq);
    out.extend_from_slice(b",\"ts\":");
    push_number(out, entry.ts);
    match &entry.data {
        Data::Json(value) => {
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(value.as_str().as_bytes());
            out.extend_from_slice(b"}\n");
        }
        Data::Bytes(bytes) => {
            out.extend_from_slice(b",\"b64\":\"");
            out.extend_from_slice(BASE64.encode(bytes).as_bytes());
            out.extend_from_slice(b"\"}\n");
        }
    }
}

/// Makes runs of lines of the entries and holes that it is given in order.
#[derive(Default)]
pub(crate) struct Runs {
    items: Vec<Item<Lines>>,
    /// Of the run that is being made, if its last seq is not 0.
    text: Vec<u8>,
    first: Seq,
    last: Seq,
}

impl Runs {
    pub(crate) fn entry(&mut self, entry: &Entry) {
        self.begin(entry.seq, entry.data.len());
        push_entry(&mut self.text, entry);
    }

    /// An entry whose line is there already, in two parts and without its newline.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(crate) fn line(&mut self, seq: Seq, [head, tail]: [&[u8]; 2]) {
        self.begin(seq, head.len() + tail.len());
        for part in [head, tail, b"\n"] {
            self.text.extend_from_slice(part);
        }
    }

    pub(crate) fn hole(&mut self, first: Seq, last: Seq) {
        self.end();
        self.items.push(Item::Hole { first, last });
    }

    pub(crate) fn finish(mut self) -> Vec<Item<Lines>> {
        self.end();
        self.items
    }

    fn begin(&mut self, seq: Seq, size: usize) {
        if self.last != 0 && (seq != self.last + 1 || self.text.len() + size >= PIECE) {
            self.end();
        }
        if self.last == 0 {
            self.first = seq;
        }
        self.last = seq;
    }

    fn end(&mut self) {
        if self.last != 0 {
            // A run that is full is seldom the last: the next one will be as long.
            let room = if self.text.len() > PIECE / 2 { PIECE } else { 0 };
            let text = std::mem::replace(&mut self.text, Vec::with_capacity(room));
            self.items.push(Item::Entry(Lines { first: self.first, last: self.last, text: text.into() }));
            self.last = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;

    fn entry(seq: Seq, data: Data) -> Entry {
        Entry { seq, ts: 5, data }
    }

    fn json(seq: Seq, text: &str) -> Entry {
        entry(seq, Data::Json(Json::parse(text.as_bytes()).unwrap()))
    }

    fn runs(entries: &[Entry]) -> Vec<Item<Lines>> {
        let mut runs = Runs::default();
        entries.iter().for_each(|entry| runs.entry(entry));
        runs.finish()
    }

    fn only(items: Vec<Item<Lines>>) -> Lines {
        match items.as_slice() {
            [Item::Entry(lines)] => lines.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn tokens_are_copied() {
        let value = json(7, r#"{"n":12345678901234567890, "n": 1e400}"#);
        let bytes = entry(8, Data::Bytes(vec![0, 255].into()));
        let told =
            "{\"seq\":7,\"ts\":5,\"data\":{\"n\":12345678901234567890,\"n\":1e400}}\n{\"seq\":8,\"ts\":5,\"b64\":\"AP8=\"}\n";
        assert_eq!(only(runs(&[value.clone(), bytes])).text(), told);
        let mut sliced = Runs::default();
        sliced.line(7, [br#"{"seq":7,"ts":5"#, br#","data":{"n":12345678901234567890,"n":1e400}}"#]);
        assert_eq!(only(sliced.finish()), Lines::from(&value));
    }

    #[test]
    fn a_run_is_in_a_row_and_no_longer_than_a_piece() {
        let spans = |items: Vec<Item<Lines>>| items.iter().map(|item| (item.first(), item.last())).collect::<Vec<_>>();
        assert_eq!(spans(runs(&[json(3, "1"), json(4, "2"), json(6, "3")])), [(3, 4), (6, 6)]);
        let mut holed = Runs::default();
        holed.entry(&json(1, "1"));
        holed.hole(2, 5);
        holed.entry(&json(6, "1"));
        assert_eq!(spans(holed.finish()), [(1, 1), (2, 5), (6, 6)]);
        let long = format!("\"{}\"", "x".repeat(PIECE / 2 - 100));
        assert_eq!(spans(runs(&[json(1, &long), json(2, &long), json(3, &long)])), [(1, 2), (3, 3)]);
        assert_eq!(runs(&[]), []);
    }

    #[test]
    fn a_run_is_split_between_its_entries() {
        let lines = only(runs(&[json(9, "1"), json(10, "\"é\""), json(11, "3")]));
        assert_eq!(lines.iter().collect::<Vec<_>>().join(&b'\n'), lines.text().strip_suffix(b"\n").unwrap());
        let (head, tail) = lines.clone().split(10);
        let tail = tail.unwrap();
        assert_eq!((head.first(), head.last(), tail.first(), tail.last()), (9, 10, 11, 11));
        assert_eq!([head.text().as_ref(), tail.text().as_ref()].concat(), lines.text().as_ref());
        assert_eq!(tail, Lines::from(&json(11, "3")));
        assert_eq!(lines.clone().split(11), (lines, None));
    }
}
