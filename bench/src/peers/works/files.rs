//! Files: small ones by many, a large one by one, and durable writes.

use std::fs::File;
use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

use super::Subject::{Raw, Server};
use super::load::{self, Caller};
use super::{Scene, Work};
use crate::Result;
use crate::peers::histogram::Histogram;
use crate::peers::results::{Figures, Metric, Usage};
use crate::peers::servers::Kind;
use crate::peers::wire;
use crate::peers::wire::http::{self, Body, Client};
use crate::peers::wire::payload;

const SMALL: usize = 4 << 10;
const LARGE: usize = 100_000_000;
const WRITTEN: usize = 1_000_000;
const CONNECTIONS: usize = 32;

pub(super) fn works() -> Vec<Work> {
    let (folio, nginx) = (Server(Kind::Folio), Server(Kind::Nginx));
    let kind = |subject| if let Server(kind) = subject { Ok(kind) } else { Err("the machine alone serves no files") };
    vec![
        Work::new("files-small", "GET of a file of 4 KiB, 32 connections", "file", &[folio, nginx], move |scene, subject| {
            small(scene, kind(subject)?)
        }),
        Work::new("files-large", "GET of a file of 100 MB", "file", &[folio, nginx], move |scene, subject| {
            large(scene, kind(subject)?)
        }),
        Work::new("files-put", "durable PUT of a file of 1 MB; raw: write and fsync", "file", &[folio, Raw], |scene, subject| {
            if subject == Raw { raw_writes(scene) } else { writes(scene) }
        }),
    ]
}

/// Bytes that are different everywhere: a wrong piece in a wrong place is seen.
fn content(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn small(scene: &Scene, kind: Kind) -> Result<Figures> {
    let mut server = scene.start(kind)?;
    server.make_logs(0)?;
    let content = content(SMALL, 1);
    server.put_file("small", &content)?;
    let (port, path) = (server.process().port(), server.file("small"));
    let getter = || {
        let request = http::request(port, "GET", &path, &[], None);
        Ok(Getter { stream: http::connect(port)?, request, input: Vec::new(), content: &content })
    };
    let getters: Result<Vec<_>> = (0..CONNECTIONS).map(|_| getter()).collect();
    let driven = load::drive(scene, server.process(), getters?)?;
    server.process_mut().stop()?;
    Ok(driven.figures)
}

/// Gets the same file again and again.
struct Getter<'a> {
    stream: TcpStream,
    request: Vec<u8>,
    input: Vec<u8>,
    content: &'a [u8],
}

impl Caller for Getter<'_> {
    fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn send(&mut self) -> Result<u64> {
        let time = payload::now();
        self.stream.write_all(&self.request)?;
        Ok(time)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<bool> {
        let received = wire::received(&self.stream, buffer)?;
        let whole = if self.input.is_empty() {
            answered(received, self.content)?
        } else {
            self.input.extend_from_slice(received);
            answered(&self.input, self.content)?
        };
        if whole {
            self.input.clear();
        } else if self.input.is_empty() {
            self.input.extend_from_slice(received);
        }
        Ok(whole)
    }
}

/// True where the whole answer came; an error where it isn't this content.
fn answered(bytes: &[u8], content: &[u8]) -> Result<bool> {
    let Some(head) = http::head(bytes)? else { return Ok(false) };
    if head.status != 200 || head.body != Body::Bytes(content.len()) {
        return Err(format!("a file was answered with {}", String::from_utf8_lossy(&bytes[..head.length])).into());
    }
    let body = &bytes[head.length..];
    if body.len() < content.len() {
        return Ok(false);
    }
    if body == content { Ok(true) } else { Err("a file came with other bytes".into()) }
}

/// Once with every byte compared; then as often as there is time, where the same number of bytes must come.
fn large(scene: &Scene, kind: Kind) -> Result<Figures> {
    let mut server = scene.start(kind)?;
    server.make_logs(0)?;
    let content = content(LARGE, 2);
    server.put_file("large", &content)?;
    let (mut client, path) = (Client::new(server.process().port())?, server.file("large"));
    let mut at = 0;
    client.get(&path, &[], |piece| {
        let same = content.get(at..at + piece.len()) == Some(piece);
        at += piece.len();
        if same { Ok(()) } else { Err("a file came with other bytes".into()) }
    })?;
    if at != LARGE {
        return Err(format!("{at} bytes of {LARGE} came").into());
    }
    let (begin, start, mut times) = (Usage::begin(server.process(), 0), Instant::now(), 0);
    while times == 0 || start.elapsed() < scene.time() {
        let mut length = 0;
        client.get(&path, &[], |piece| {
            length += piece.len();
            Ok(())
        })?;
        if length != LARGE {
            return Err(format!("{length} bytes of {LARGE} came").into());
        }
        times += 1;
    }
    let usage = begin.end(server.process(), times);
    server.process_mut().stop()?;
    Ok(usage.figures().set(Metric::Megabytes, super::megabytes(times * LARGE as u64, usage.time())))
}

fn writes(scene: &Scene) -> Result<Figures> {
    let mut server = scene.start(Kind::Folio)?;
    server.make_logs(0)?;
    let content = content(WRITTEN, 3);
    let mut client = Client::new(server.process().port())?;
    let (begin, start, mut count, mut times) = (Usage::begin(server.process(), 0), Instant::now(), 0, Histogram::default());
    while count == 0 || start.elapsed() < scene.time() {
        let time = payload::now();
        client.send("PUT", &server.file(&format!("written-{count}")), &[], &content)?.ok()?;
        times.record(payload::now() - time);
        count += 1;
    }
    let usage = begin.end(server.process(), count);
    for n in 0..count {
        if client.send("GET", &server.file(&format!("written-{n}")), &[], b"")?.ok()?.body != content {
            return Err(format!("file {n} is not what was written").into());
        }
    }
    server.process_mut().stop()?;
    Ok(usage.figures().times(&times))
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn raw_writes(scene: &Scene) -> Result<Figures> {
    let folder = tempfile::tempdir_in(&scene.place)?;
    let content = content(WRITTEN, 3);
    let (start, mut count, mut times) = (Instant::now(), 0_u64, Histogram::default());
    while count == 0 || start.elapsed() < scene.time() / 2 {
        let time = payload::now();
        let mut file = File::create(folder.path().join(format!("written-{count}")))?;
        file.write_all(&content)?;
        file.sync_all()?;
        times.record(payload::now() - time);
        count += 1;
    }
    Ok(Figures::default().rate(count as f64 / start.elapsed().as_secs_f64()).times(&times))
}
