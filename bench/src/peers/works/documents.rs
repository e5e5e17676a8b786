//! Documents that are written again and again, each time on the condition that they are as they were left.

use std::io::Write;
use std::net::TcpStream;

use super::Subject::{Raw, Server};
use super::load::{self, Caller};
use super::{Scene, Work, appends};
use crate::Result;
use crate::peers::results::Figures;
use crate::peers::servers::Kind;
use crate::peers::wire;
use crate::peers::wire::appender::Reply;
use crate::peers::wire::http::{self, Client};
use crate::peers::wire::payload::{self, LENGTH};

const COUNT: usize = 32;
/// Bytes of an ETag with its quotes.
const ETAG: usize = 34;

pub(super) fn works() -> Vec<Work> {
    let subjects = [Server(Kind::Folio), Raw];
    let title = "durable PUT of 32 documents with If-Match, 32 connections; raw: append and fdatasync";
    vec![Work::new("documents", title, "document", &subjects, |scene, subject| {
        if subject == Raw { appends::raw_appends(scene) } else { measure(scene) }
    })]
}

fn measure(scene: &Scene) -> Result<Figures> {
    let mut server = scene.start(Kind::Folio)?;
    server.make_logs(0)?;
    let port = server.process().port();
    let writers: Result<Vec<_>> = (0..COUNT).map(|document| Writer::new(port, document)).collect();
    let driven = load::drive(scene, server.process(), writers?)?;
    let mut client = Client::new(port)?;
    for writer in &driven.callers {
        let found = client.send("GET", &writer.path, &[], b"")?.ok()?.body;
        let said = payload::read(&found).ok_or("a document is not what was written")?;
        if said.n != writer.written || said.writer != writer.document || found.trim_ascii_end().len() != LENGTH {
            return Err(format!("{} has write {} and not {}", writer.path, said.n, writer.written).into());
        }
    }
    server.process_mut().stop()?;
    Ok(driven.figures)
}

/// A connection that writes a document of its own.
struct Writer {
    stream: TcpStream,
    path: String,
    document: u64,
    /// A whole request; the ETag and the value are written into it.
    request: Vec<u8>,
    etag_at: usize,
    input: Vec<u8>,
    /// The number of the write that stands, or is under way.
    written: u64,
}

impl Writer {
    /// Makes the document.
    fn new(port: u16, document: usize) -> Result<Self> {
        let (path, value) = (format!("/v1/projects/bench/docs/doc-{document}"), payload::new(document as u64, 0));
        let json = ("Content-Type", "application/json");
        let made = Client::new(port)?.send("PUT", &path, &[json], &value)?.ok()?;
        let etag = made.header("etag").ok_or("a document was written without an ETag")?;
        if etag.len() != ETAG {
            return Err(format!("the ETag {etag} has not {ETAG} bytes").into());
        }
        let mut request = http::request(port, "PUT", &path, &[json, ("If-Match", etag)], Some(LENGTH));
        let etag_at = memchr::memmem::find(&request, etag.as_bytes()).ok_or("a request without its ETag")?;
        request.extend(value);
        Ok(Self {
            stream: http::connect(port)?,
            path,
            document: document as u64,
            request,
            etag_at,
            input: Vec::new(),
            written: 0,
        })
    }
}

impl Caller for Writer {
    fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn send(&mut self) -> Result<u64> {
        let time = payload::now();
        self.written += 1;
        let value = self.request.len() - LENGTH;
        payload::stamp(&mut self.request[value..], self.written, time);
        self.stream.write_all(&self.request)?;
        Ok(time)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<bool> {
        let received = wire::received(&self.stream, buffer)?;
        self.input.extend_from_slice(received);
        let Reply::Acknowledged(length) = http::acknowledged(&self.input)? else { return Ok(false) };
        let etag = http::header(&self.input[..length], "etag").ok_or("a document was written without an ETag")?;
        let place = self.request.get_mut(self.etag_at..self.etag_at + ETAG).ok_or("a request without its ETag")?;
        if etag.len() != ETAG {
            return Err(format!("the ETag {etag} has not {ETAG} bytes").into());
        }
        place.copy_from_slice(etag.as_bytes());
        self.input.drain(..length);
        Ok(true)
    }
}
