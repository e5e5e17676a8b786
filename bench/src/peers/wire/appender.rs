//! One connection that appends an entry after the other.

use std::io::Write;
use std::net::TcpStream;

use super::payload::{self, LENGTH};
use crate::Result;

/// What the bytes that came so far mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    /// More must come.
    Incomplete,
    /// The entry is acknowledged; so many bytes said it.
    Acknowledged(usize),
    /// So many bytes say something else, which wants this answer.
    Other(usize, &'static [u8]),
}

/// Tells what bytes of a server mean; a refusal is an error.
pub(crate) type Parse = fn(&[u8]) -> Result<Reply>;

/// A connection to a server, ready to append.
#[derive(Debug)]
pub(crate) struct Appender {
    stream: TcpStream,
    /// A whole request, with a payload at `at`.
    request: Vec<u8>,
    at: usize,
    parse: Parse,
    input: Vec<u8>,
    sent: u64,
    acknowledged: u64,
}

impl Appender {
    /// Takes a connection on which nothing is under way. A request is `before`, the payload, `after`.
    pub(crate) fn new(stream: TcpStream, before: &[u8], writer: u64, after: &[u8], parse: Parse) -> Result<Self> {
        stream.set_nodelay(true)?;
        let mut request = before.to_vec();
        request.extend(payload::new(writer, 0));
        request.extend(after);
        Ok(Self { stream, request, at: before.len(), parse, input: Vec::new(), sent: 0, acknowledged: 0 })
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// How many entries were acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Sends the next entry. The time it bears is returned.
    pub(crate) fn send(&mut self) -> Result<u64> {
        let time = payload::now();
        payload::stamp(&mut self.request[self.at..self.at + LENGTH], self.sent, time);
        self.sent += 1;
        self.stream.write_all(&self.request)?;
        Ok(time)
    }

    /// Reads what came, waiting for it where nothing did. True where the entry that was sent is acknowledged.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Result<bool> {
        let received = super::received(&self.stream, buffer)?;
        if self.input.is_empty() && (self.parse)(received)? == Reply::Acknowledged(received.len()) {
            return self.acknowledge();
        }
        self.input.extend_from_slice(received);
        let mut done = false;
        loop {
            match (self.parse)(&self.input)? {
                Reply::Incomplete => return Ok(done),
                Reply::Acknowledged(length) => {
                    self.input.drain(..length);
                    done = self.acknowledge()?;
                }
                Reply::Other(length, answer) => {
                    self.input.drain(..length);
                    self.stream.write_all(answer)?;
                }
            }
        }
    }

    fn acknowledge(&mut self) -> Result<bool> {
        self.acknowledged += 1;
        if self.acknowledged > self.sent { Err("the server acknowledged more than was sent".into()) } else { Ok(true) }
    }

    /// Sends an entry and waits for its acknowledgement.
    pub(crate) fn append(&mut self, buffer: &mut [u8]) -> Result<u64> {
        let time = self.send()?;
        while !self.receive(buffer)? {}
        Ok(time)
    }
}
