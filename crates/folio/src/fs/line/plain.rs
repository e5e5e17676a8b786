//! Lines of entries as Folio writes them: read by slicing alone, and little to hand around. [`super::parse`] knows these
//! and all others.

use super::{CRC_LEN, CRC_OPEN, START, UnitEnd, verifies};
use crate::cursor::{END, Seq};
use crate::json::Json;
use crate::log::{Data, Entry};
use crate::request::{Digest, Keyed};

/// A verified line of an entry that is a JSON value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Plain<'a> {
    pub(crate) seq: Seq,
    pub(crate) ts: u64,
    /// All of it, without its newline.
    pub(crate) line: &'a [u8],
    /// Bytes up to the end of `ts`.
    head: usize,
    /// What follows the sum: the payload with its name, and the last brace.
    tail: &'a str,
}

impl<'a> Plain<'a> {
    /// The payload.
    pub(crate) fn text(&self) -> &'a str {
        self.tail.strip_prefix(DATA).and_then(|rest| rest.strip_suffix('}')).unwrap_or_default()
    }

    /// The line without what stands between `ts` and the payload: what readers are told, in two parts.
    pub(crate) fn told(&self) -> [&'a [u8]; 2] {
        [self.line.get(..self.head).unwrap_or_default(), self.tail.as_bytes()]
    }

    pub(crate) fn entry(&self) -> Entry {
        Entry { seq: self.seq, ts: self.ts, data: Data::Json(Json::trusted(self.text())) }
    }
}

const DATA: &str = ",\"data\":";

/// Verifies a line, and tells what stands between `ts` and the sum. `None`: damaged, or another kind of line.
#[inline]
pub(super) fn read(line: &[u8]) -> Option<(Plain<'_>, u64, UnitEnd)> {
    let mut rest = line;
    let (seq, ts) = beginning(&mut rest)?;
    let head = line.len() - rest.len();
    let (more, end) = members(&mut rest)?;
    let crc = line.len() - rest.len();
    let tail = rest.get(CRC_LEN..)?;
    // Last of all the sum: who reads other lines has to look at it, too.
    let usual = rest.starts_with(CRC_OPEN) && tail.starts_with(DATA.as_bytes()) && tail.ends_with(b"}");
    if !usual || !(1..END).contains(&seq) || ts >= END || !verifies(line, crc) {
        return None;
    }
    let tail = std::str::from_utf8(tail).ok()?;
    Some((Plain { seq, ts, line, head, tail }, more, end))
}

/// As [`super::parse`], for who needs no more than the entry of a usual line.
pub(crate) fn plain(line: &[u8]) -> Option<Plain<'_>> {
    read(line).map(|(plain, ..)| plain)
}

/// Takes `{"seq":…,"ts":…` from the front.
#[inline]
pub(super) fn beginning(line: &mut &[u8]) -> Option<(Seq, u64)> {
    let mut rest = line.strip_prefix(START)?;
    let seq = number(&mut rest)?;
    rest = rest.strip_prefix(b",\"ts\":")?;
    let ts = number(&mut rest)?;
    *line = rest;
    Some((seq, ts))
}

/// Takes the members that Folio writes there, in their order.
#[inline]
fn members(rest: &mut &[u8]) -> Option<(u64, UnitEnd)> {
    let (mut more, mut end) = (0, UnitEnd::default());
    if let Some(digits) = rest.strip_prefix(b",\"more\":") {
        *rest = digits;
        more = number(rest)?;
    }
    if let Some(digits) = rest.strip_prefix(b",\"n\":") {
        *rest = digits;
        end.entries = Some(number(rest)?);
    }
    if let Some(digests) = rest.strip_prefix(b",\"key\":[") {
        *rest = digests;
        let key = digest(rest)?;
        *rest = rest.strip_prefix(b",")?;
        let request = digest(rest)?;
        *rest = rest.strip_prefix(b"]")?;
        end.key = Some(Keyed { key, request });
    }
    Some((more, end))
}

fn digest(rest: &mut &[u8]) -> Option<Digest> {
    let (digits, after) = rest.strip_prefix(b"\"")?.split_at_checked(16)?;
    *rest = after.strip_prefix(b"\"")?;
    Digest::parse(std::str::from_utf8(digits).ok()?)
}

/// Takes decimal digits from the front, without a 0 before others; at most 19, so that they always fit.
#[inline]
pub(super) fn number(text: &mut &[u8]) -> Option<u64> {
    let (mut value, mut digits, mut rest) = (0_u64, 0, *text);
    loop {
        let (part, count) = eight(rest);
        digits += count;
        if digits > 19 {
            return None;
        }
        value = value * TENS.get(count)? + part;
        rest = rest.get(count..)?;
        if count < 8 {
            break;
        }
    }
    let good = digits == 1 || (digits > 1 && !text.starts_with(b"0"));
    *text = rest;
    good.then_some(value)
}

const TENS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The value of the decimal digits at the front, at most eight, and how many they are: all of them at once, in the bytes of
/// one word ("SIMD within a register").
#[inline]
fn eight(text: &[u8]) -> (u64, usize) {
    let word = match text.first_chunk() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => text.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    };
    // Digits become 0 to 9; what is above 9 sets the high bit of its byte, and at most those of later bytes wrongly.
    let values = word ^ 0x3030_3030_3030_3030;
    let other = (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080;
    let count = other.trailing_zeros() as usize / 8;
    if count == 0 {
        return (0, 0);
    }
    // The digits move to the end, with zeros before them; then neighbours join: two, four, eight.
    let ones = values << (64 - 8 * count);
    let twos = (ones.wrapping_mul(10) + (ones >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos.wrapping_mul(100) + (twos >> 16)) & 0x0000_ffff_0000_ffff;
    let eights = fours.wrapping_mul(10_000) + (fours >> 32);
    (eights & 0xffff_ffff, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let read = |text: &str| {
            let mut rest = text.as_bytes();
            number(&mut rest).map(|value| (value, rest.len()))
        };
        for value in [0, 1, 9, 10, 99_999_999, 100_000_000, 1_763_900_000_123, 9_999_999_999_999_999, 9_999_999_999_999_999_999] {
            for after in ["", ",", "}", ",\"ts\":17", "/", ":", "\u{fe}"] {
                assert_eq!(read(&format!("{value}{after}")), Some((value, after.len())), "{value}{after}");
            }
        }
        for power in 0..19 {
            for value in [10_u64.pow(power) - 1, 10_u64.pow(power), 10_u64.pow(power) + 7] {
                assert_eq!(read(&value.to_string()), Some((value, 0)));
            }
        }
        for bad in ["", "x", "-1", "00", "01", "10000000000000000000", "99999999999999999999999999"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
