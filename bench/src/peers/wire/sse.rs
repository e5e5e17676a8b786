//! A reader of an event stream: one of thousands, so it holds little and copies nothing that came whole.

use std::io::{Read, Write};
use std::net::TcpStream;

use memchr::memchr;

use super::http::{self, Pieces};
use super::payload;
use crate::Result;
use crate::peers::histogram::Histogram;

/// A connection that follows a log.
#[derive(Debug)]
pub(crate) struct Reader {
    stream: TcpStream,
    /// Nothing before the head of the answer came whole.
    pieces: Option<Pieces>,
    head: Vec<u8>,
    frames: Frames,
}

impl Reader {
    /// Connects and asks for the stream.
    pub(crate) fn new(port: u16, request: &[u8]) -> Result<Self> {
        let mut stream = http::connect(port)?;
        stream.write_all(request)?;
        Ok(Self { stream, pieces: None, head: Vec::new(), frames: Frames::default() })
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The stream was granted.
    pub(crate) fn is_open(&self) -> bool {
        self.pieces.is_some()
    }

    /// How many entries came, in order from the first one, each once and in a whole frame.
    pub(crate) fn entries(&self) -> u64 {
        self.frames.entries
    }

    /// Nothing of a frame is left over.
    pub(crate) fn between_frames(&self) -> bool {
        self.frames.pending == 0 && self.frames.carry.is_empty()
    }

    /// Reads once what came; waits where nothing did. How long each entry took goes to `times`.
    pub(crate) fn receive(&mut self, buffer: &mut [u8], times: &mut Histogram) -> Result<()> {
        let count = self.stream.read(buffer)?;
        if count == 0 {
            return Err(format!("a reader was cut off after {} entries", self.frames.entries).into());
        }
        let now = payload::now();
        let (frames, bytes) = (&mut self.frames, &buffer[..count]);
        if let Some(pieces) = &mut self.pieces {
            return pieces.feed(bytes, |piece| frames.feed(piece, now, times));
        }
        self.head.extend_from_slice(bytes);
        let Some(head) = http::head(&self.head)? else { return Ok(()) };
        if head.status != 200 {
            return Err(format!("a reader was refused: {}", String::from_utf8_lossy(&self.head)).into());
        }
        let mut pieces = Pieces::new(head.body);
        pieces.feed(&self.head[head.length..], |piece| frames.feed(piece, now, times))?;
        self.pieces = Some(pieces);
        self.head = Vec::new();
        Ok(())
    }
}

/// The frames of one stream, line by line.
#[derive(Default, Debug)]
pub(crate) struct Frames {
    /// The line that is not whole yet.
    carry: Vec<u8>,
    /// Entries of the frame that has not ended yet.
    pending: u64,
    entries: u64,
}

impl Frames {
    /// Takes bytes that came at `now`.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], now: u64, times: &mut Histogram) -> Result<()> {
        if !self.carry.is_empty() {
            let Some(end) = memchr(b'\n', bytes) else {
                self.carry.extend_from_slice(bytes);
                return Ok(());
            };
            self.carry.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            let mut line = std::mem::take(&mut self.carry);
            self.line(&line, now, times)?;
            line.clear();
            // a line of usual length leaves its room for the next one
            if line.capacity() <= 1_024 {
                self.carry = line;
            }
        }
        while let Some(end) = memchr(b'\n', bytes) {
            self.line(&bytes[..end], now, times)?;
            bytes = &bytes[end + 1..];
        }
        self.carry.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, line: &[u8], now: u64, times: &mut Histogram) -> Result<()> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            self.entries += std::mem::take(&mut self.pending);
        } else if let Some(data) = line.strip_prefix(b"data:") {
            let (mut next, first) = (self.entries + self.pending, self.entries);
            let done = payload::scan(data, |said| {
                if said.n != next {
                    return Err(format!("a reader got entry {} where {next} was due", said.n).into());
                }
                next += 1;
                times.record(now.saturating_sub(said.time));
                Ok(())
            })?;
            if data.len() - done >= 6 {
                return Err(format!("the frame of entry {next} holds a cut entry").into());
            }
            self.pending = next - first;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(n: u64) -> Vec<u8> {
        let payload = payload::new(0, n);
        [b"id: 7\r\ndata: {\"seq\":1,\"data\":".as_slice(), &payload, b"}\n\n"].concat()
    }

    fn read(parts: &[&[u8]]) -> Result<u64> {
        let (mut frames, mut times) = (Frames::default(), Histogram::default());
        parts.iter().try_for_each(|part| frames.feed(part, 5, &mut times))?;
        Ok(frames.entries)
    }

    #[test]
    fn frames_are_read_however_they_come() {
        let stream = [b"retry: 2000\n\n: hi\n\n".to_vec(), frame(0), frame(1), b"event: control\ndata: {}\n\n".to_vec()].concat();
        for cut in 0..stream.len() {
            assert_eq!(read(&[&stream[..cut], &stream[cut..]]).unwrap(), 2, "{cut}");
        }
    }

    #[test]
    fn several_entries_in_one_frame_count() {
        let both = [b"data:[".as_slice(), &payload::new(0, 0), b",", &payload::new(0, 1), b"]\n"].concat();
        assert_eq!(read(&[&both]).unwrap(), 0, "the frame has not ended");
        assert_eq!(read(&[&both, b"\n"]).unwrap(), 2);
    }

    #[test]
    fn missing_doubled_and_cut_entries_are_found() {
        read(&[&frame(0), &frame(2)]).unwrap_err();
        read(&[&frame(0), &frame(0)]).unwrap_err();
        read(&[&frame(1)]).unwrap_err();
        read(&[b"data: {\"c\":\"0000\",\"n\"\n\n"]).unwrap_err();
    }
}
