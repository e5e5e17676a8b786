//! The entries that are sent: JSON of one length that says who wrote it, as which, and when.

use std::sync::LazyLock;
use std::time::Instant;

use memchr::memmem::Finder;

use crate::Result;

/// Bytes of an entry's JSON.
pub(crate) const LENGTH: usize = 256;

/// Bytes of the entries that logs are filled with for a replay.
pub(crate) const SHORT: usize = 157;

const WRITER: std::ops::Range<usize> = 6..10;
const NUMBER: std::ops::Range<usize> = 17..27;
const TIME: std::ops::Range<usize> = 34..52;

/// Digits are in these ranges, everything else is the same in every payload.
static TEMPLATE: LazyLock<[u8; LENGTH]> = LazyLock::new(|| {
    let start = format!("{{\"c\":\"{:04}\",\"n\":\"{:010}\",\"t\":\"{:018}\",\"pad\":\"", 0, 0, 0);
    let mut bytes = [b'x'; LENGTH];
    bytes[..start.len()].copy_from_slice(start.as_bytes());
    bytes[LENGTH - 2..].copy_from_slice(b"\"}");
    bytes
});

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds on the clock that payloads are stamped with.
pub(crate) fn now() -> u64 {
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Payload number `n` (from 0) of a writer, without a time.
pub(crate) fn new(writer: u64, n: u64) -> [u8; LENGTH] {
    let mut bytes = *TEMPLATE;
    digits(&mut bytes[WRITER], writer);
    stamp(&mut bytes, n, 0);
    bytes
}

/// Makes a payload of `bytes`, which hold one, the `n`th, sent at `time`.
pub(crate) fn stamp(bytes: &mut [u8], n: u64, time: u64) {
    digits(&mut bytes[NUMBER], n);
    digits(&mut bytes[TIME], time);
}

fn digits(into: &mut [u8], mut value: u64) {
    for byte in into.iter_mut().rev() {
        *byte = b'0' + u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
    }
}

/// What a payload says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Said {
    pub(crate) writer: u64,
    pub(crate) n: u64,
    pub(crate) time: u64,
}

/// How long the payload is that `bytes` begin with.
fn length(bytes: &[u8]) -> usize {
    if bytes.get(SHORT - 1) == Some(&b'}') { SHORT } else { LENGTH }
}

/// Payload number `n` of writer 0, as short ones are.
pub(crate) fn short(n: u64) -> [u8; SHORT] {
    let long = new(0, n);
    let mut bytes = [0; SHORT];
    bytes.copy_from_slice(&long[..SHORT]);
    bytes[SHORT - 2..].copy_from_slice(&long[LENGTH - 2..]);
    bytes
}

/// Reads the payload that `bytes` begin with; nothing where they aren't one to the last byte.
pub(crate) fn read(bytes: &[u8]) -> Option<Said> {
    let template = &*TEMPLATE;
    let length = length(bytes);
    let bytes = bytes.get(..length)?;
    let same = |range: std::ops::Range<usize>| bytes[range.clone()] == template[range];
    let whole = same(0..WRITER.start)
        && same(WRITER.end..NUMBER.start)
        && same(NUMBER.end..TIME.start)
        && same(TIME.end..length - 2)
        && bytes.ends_with(b"\"}");
    if !whole {
        return None;
    }
    Some(Said { writer: value(&bytes[WRITER])?, n: value(&bytes[NUMBER])?, time: value(&bytes[TIME])? })
}

fn value(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u64::from(byte - b'0')))
}

static BEGIN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"{\"c\":\""));

/// Calls `each` for every payload in `bytes`; what looks like the beginning of one and isn't one is an error. Returns how
/// many of the bytes are done: what is left may be the beginning of a payload.
pub(crate) fn scan(bytes: &[u8], mut each: impl FnMut(Said) -> Result<()>) -> Result<usize> {
    let mut at = 0;
    while let Some(found) = BEGIN.find(&bytes[at..]) {
        let begin = at + found;
        let length = length(&bytes[begin..]);
        if bytes.len() - begin < length {
            return Ok(begin);
        }
        each(read(&bytes[begin..]).ok_or("an entry came back that is not what was sent")?)?;
        at = begin + length;
    }
    // the beginning itself may be cut
    Ok(at.max(bytes.len().saturating_sub(5)))
}

/// What came back, held against what was acknowledged.
#[derive(Debug)]
pub(crate) struct Tally(Vec<u64>);

impl Tally {
    /// For payloads of the writers below `writers`.
    pub(crate) fn new(writers: usize) -> Self {
        Self(vec![0; writers])
    }

    /// Takes the next entry of a log: it must be its writer's next.
    pub(crate) fn see(&mut self, said: Said) -> Result<()> {
        let next = usize::try_from(said.writer).ok().and_then(|writer| self.0.get_mut(writer)).ok_or("an unknown writer")?;
        if said.n != *next {
            return Err(format!("entry {} of writer {} came where {next} was due", said.n, said.writer).into());
        }
        *next += 1;
        Ok(())
    }

    /// Takes all payloads of a body that comes in pieces; `rest` holds what was cut.
    pub(crate) fn see_piece(&mut self, piece: &[u8], rest: &mut Vec<u8>) -> Result<()> {
        if rest.is_empty() {
            let done = self.see_all(piece)?;
            rest.extend_from_slice(&piece[done..]);
            return Ok(());
        }
        rest.extend_from_slice(piece);
        let done = self.see_all(rest)?;
        rest.drain(..done);
        Ok(())
    }

    /// Takes all payloads of `bytes`; returns how many bytes are done.
    pub(crate) fn see_all(&mut self, bytes: &[u8]) -> Result<usize> {
        scan(bytes, |said| self.see(said))
    }

    /// Fails unless exactly the acknowledged entries came.
    pub(crate) fn check(&self, acknowledged: &[u64]) -> Result<()> {
        if self.0 == acknowledged {
            return Ok(());
        }
        let wrong = self.0.iter().zip(acknowledged).position(|(came, acknowledged)| came != acknowledged);
        let wrong = wrong.ok_or("entries of other writers came")?;
        Err(format!("{} entries of writer {wrong} were acknowledged, {} are there", acknowledged[wrong], self.0[wrong]).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = new(17, 3);
        assert_eq!(read(&bytes), Some(Said { writer: 17, n: 3, time: 0 }));
        stamp(&mut bytes, 1_234_567_890, 98_765_432_101);
        assert_eq!(read(&bytes), Some(Said { writer: 17, n: 1_234_567_890, time: 98_765_432_101 }));
        assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
    }

    #[test]
    fn any_other_byte_is_found() {
        for bytes in [new(0, 2).to_vec(), short(2).to_vec()] {
            assert_eq!(read(&bytes), Some(Said { writer: 0, n: 2, time: 0 }));
            for at in 0..bytes.len() {
                let mut other = bytes.clone();
                other[at] ^= 0x40;
                assert_eq!(read(&other), None, "byte {at}");
            }
        }
    }

    #[test]
    fn cut_entries_are_left_for_later() {
        let stream = [new(0, 0), new(0, 1), new(0, 2)].join(&b", "[..]);
        for cut in 0..stream.len() {
            let mut tally = Tally::new(1);
            let done = tally.see_all(&stream[..cut]).unwrap();
            tally.see_all(&stream[done..]).unwrap();
            tally.check(&[3]).unwrap();
        }
    }

    #[test]
    fn missing_doubled_and_exchanged_entries_are_found() {
        let tally = |numbers: &[u64]| {
            let mut tally = Tally::new(1);
            numbers.iter().try_for_each(|&n| tally.see(Said { writer: 0, n, time: 0 }))?;
            tally.check(&[3])
        };
        tally(&[0, 1, 2]).unwrap();
        for wrong in [&[0, 1][..], &[0, 2], &[0, 1, 1, 2], &[1, 0, 2], &[0, 1, 2, 3]] {
            tally(wrong).unwrap_err();
        }
    }
}
