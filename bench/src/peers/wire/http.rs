//! HTTP/1.1, as little of it as the servers here speak.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use memchr::{memchr, memmem};

use super::appender::Reply;
use crate::Result;

/// The head of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Bytes of the head.
    pub(crate) length: usize,
    pub(crate) body: Body,
}

/// How long a body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Body {
    Bytes(usize),
    Chunked,
    /// To the end of the connection.
    Rest,
}

/// The head that `bytes` begin with; nothing where it isn't whole yet.
pub(crate) fn head(bytes: &[u8]) -> Result<Option<Head>> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = &bytes[..end + 2];
    let status = head.strip_prefix(b"HTTP/1.1 ").and_then(|rest| std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok());
    let status = status.ok_or("an answer is not HTTP/1.1")?;
    let body = if status == 204 || status == 304 {
        Body::Bytes(0)
    } else if let Some(length) = header(head, "content-length") {
        Body::Bytes(length.parse()?)
    } else if header(head, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        Body::Chunked
    } else {
        Body::Rest
    };
    Ok(Some(Head { status, length: end + 4, body }))
}

/// The value of a header, by its name in small letters.
pub(crate) fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let mut lines = head;
    while let Some(end) = memchr(b'\n', lines) {
        let line = &lines[..end];
        lines = &lines[end + 1..];
        if line.len() > name.len() && line[name.len()] == b':' && line[..name.len()].eq_ignore_ascii_case(name.as_bytes()) {
            return std::str::from_utf8(&line[name.len() + 1..]).ok().map(str::trim);
        }
    }
    None
}

/// What the answer to an append means.
pub(crate) fn acknowledged(bytes: &[u8]) -> Result<Reply> {
    let Some(head) = head(bytes)? else { return Ok(Reply::Incomplete) };
    let Body::Bytes(body) = head.body else { return Err("an append was answered without a length".into()) };
    let length = head.length + body;
    if bytes.len() < length {
        return Ok(Reply::Incomplete);
    }
    if !(200..300).contains(&head.status) {
        return Err(format!("an append was refused: {}", String::from_utf8_lossy(&bytes[..length])).into());
    }
    Ok(Reply::Acknowledged(length))
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Fails unless the status is 2xx.
    pub(crate) fn ok(self) -> Result<Self> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        Err(format!("{}{}", String::from_utf8_lossy(&self.head), String::from_utf8_lossy(&self.body)).into())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

/// A connection for calls that aren't measured, and for large answers.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    host: String,
}

/// A connection to a local port.
pub(crate) fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The head of a request with a body of this length (none: no body), to the empty line.
pub(crate) fn request(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: Option<usize>) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n");
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    if let Some(length) = body {
        text.push_str(&format!("Content-Length: {length}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

impl Client {
    pub(crate) fn new(port: u16) -> Result<Self> {
        Ok(Self { stream: connect(port)?, host: port.to_string() })
    }

    /// Sends a request and reads the answer.
    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        let length = (!body.is_empty() || method != "GET").then_some(body.len());
        let mut bytes = request(self.host.parse()?, method, path, headers, length);
        bytes.extend(body);
        self.stream.write_all(&bytes)?;
        let mut whole = Vec::new();
        let (status, head) = self.receive(|bytes| {
            whole.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(Answer { status, head, body: whole })
    }

    /// Sends a `GET` and hands out the body as it comes. The status and the head.
    pub(crate) fn get(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<(u16, Vec<u8>)> {
        self.stream.write_all(&request(self.host.parse()?, "GET", path, headers, None))?;
        self.receive(each)
    }

    fn receive(&mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<(u16, Vec<u8>)> {
        let mut buffer = vec![0; 256 << 10];
        let mut input = Vec::new();
        let head = loop {
            let count = self.stream.read(&mut buffer)?;
            if count == 0 {
                return Err("the connection ended before an answer came".into());
            }
            input.extend_from_slice(&buffer[..count]);
            if let Some(head) = head(&input)? {
                break head;
            }
        };
        let mut pieces = Pieces::new(head.body);
        let mut rest = &input[head.length..];
        loop {
            pieces.feed(rest, &mut each)?;
            if pieces.finished() {
                return Ok((head.status, input[..head.length].to_vec()));
            }
            let count = self.stream.read(&mut buffer)?;
            if count == 0 {
                return if head.body == Body::Rest {
                    Ok((head.status, input[..head.length].to_vec()))
                } else {
                    Err("an answer broke off".into())
                };
            }
            rest = &buffer[..count];
        }
    }
}

/// Takes a body out of its framing.
#[derive(Debug)]
pub(crate) struct Pieces {
    body: Body,
    /// Bytes that are left of the body or the chunk.
    left: usize,
    /// The line of a chunk's size, as far as it came.
    line: Vec<u8>,
    state: Chunk,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Chunk {
    Size,
    Data,
    /// The line end after the data.
    End,
    Finished,
}

impl Pieces {
    pub(crate) fn new(body: Body) -> Self {
        let left = if let Body::Bytes(length) = body { length } else { 0 };
        Self { body, left, line: Vec::new(), state: Chunk::Size }
    }

    /// The whole body came.
    pub(crate) fn finished(&self) -> bool {
        match self.body {
            Body::Bytes(_) => self.left == 0,
            Body::Chunked => self.state == Chunk::Finished,
            Body::Rest => false,
        }
    }

    /// Hands out what `bytes` hold of the body.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match self.body {
            Body::Rest => return if bytes.is_empty() { Ok(()) } else { each(bytes) },
            Body::Bytes(_) => {
                self.left = self.left.checked_sub(bytes.len()).ok_or("more came than an answer's length")?;
                return if bytes.is_empty() { Ok(()) } else { each(bytes) };
            }
            Body::Chunked => {}
        }
        while !bytes.is_empty() {
            if self.state == Chunk::Data {
                let (data, rest) = bytes.split_at(self.left.min(bytes.len()));
                each(data)?;
                self.left -= data.len();
                bytes = rest;
                if self.left == 0 {
                    self.state = Chunk::End;
                }
                continue;
            }
            if self.state == Chunk::Finished {
                return Err("more came than an answer's last chunk".into());
            }
            let Some(end) = memchr(b'\n', bytes) else {
                self.line.extend_from_slice(bytes);
                return Ok(());
            };
            self.line.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.take_line()?;
        }
        Ok(())
    }

    fn take_line(&mut self) -> Result<()> {
        let line = std::str::from_utf8(&self.line)?.trim_end();
        if self.state == Chunk::End {
            self.state = if line.is_empty() { Chunk::Size } else { return Err("a chunk has no end".into()) };
        } else if self.left == usize::MAX {
            // the line after the last chunk; nobody here sends trailers
            self.state = Chunk::Finished;
        } else {
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16)?;
            (self.left, self.state) = if size == 0 { (usize::MAX, Chunk::Size) } else { (size, Chunk::Data) };
        }
        self.line.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_is_whole_or_not_one() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nContent-Length: 4\r\n\r\n{\"a\"";
        for cut in 0..answer.len() {
            assert_eq!(acknowledged(&answer[..cut]).unwrap(), Reply::Incomplete, "{cut}");
        }
        assert_eq!(acknowledged(answer).unwrap(), Reply::Acknowledged(answer.len()));
        assert!(acknowledged(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n").is_err());
        let empty = b"HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(acknowledged(empty).unwrap(), Reply::Acknowledged(empty.len()));
    }

    #[test]
    fn chunks_are_joined_however_they_come() {
        let sent = b"5\r\nhello\r\n1;x\r\n!\r\n0\r\n\r\n";
        for cut in 0..sent.len() {
            let (mut pieces, mut got) = (Pieces::new(Body::Chunked), Vec::new());
            for part in [&sent[..cut], &sent[cut..]] {
                assert!(!pieces.finished());
                pieces
                    .feed(part, |bytes| {
                        got.extend_from_slice(bytes);
                        Ok(())
                    })
                    .unwrap();
            }
            assert!(pieces.finished());
            assert_eq!(got, b"hello!");
        }
    }
}
