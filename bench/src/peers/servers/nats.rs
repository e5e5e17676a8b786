//! NATS `JetStream`, with every message synced before it is acknowledged.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use memchr::memchr;

use super::{Each, Process, Server, process};
use crate::Result;
use crate::peers::wire::appender::{Appender, Reply};
use crate::peers::wire::http;
use crate::peers::wire::payload::LENGTH;

pub(super) struct Nats(Process);

impl Nats {
    pub(super) fn start(program: &Path, place: &Path) -> Result<Self> {
        let (folder, port) = (tempfile::tempdir_in(place)?, process::free_port()?);
        let store = folder.path().join("data");
        let configuration = format!(
            "listen: 127.0.0.1:{port}\njetstream {{\n  store_dir: \"{}\"\n  sync_interval: always\n}}\n",
            store.display()
        );
        let file = folder.path().join("nats.conf");
        fs::write(&file, configuration)?;
        let mut command = Command::new(program);
        command.arg("--config").arg(&file);
        Ok(Self(Process::start(command, port, folder)?))
    }

    /// A connection that listens for answers on a subject of its own.
    fn connect(&self, inbox: &str) -> Result<TcpStream> {
        let mut stream = http::connect(self.0.port())?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(format!("CONNECT {{\"verbose\":false,\"pedantic\":false}}\r\nSUB {inbox} 1\r\nPING\r\n").as_bytes())?;
        let (mut input, mut buffer) = (Vec::new(), [0; 4_096]);
        while !input.ends_with(b"PONG\r\n") {
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                return Err("NATS ended the connection".into());
            }
            input.extend_from_slice(&buffer[..count]);
        }
        Ok(stream)
    }

    /// Calls `subject` and returns the answer.
    fn call(&self, subject: &str, body: &str) -> Result<Vec<u8>> {
        let mut stream = self.connect("_INBOX.call")?;
        stream.write_all(format!("PUB {subject} _INBOX.call {}\r\n{body}\r\n", body.len()).as_bytes())?;
        let mut answer = Vec::new();
        messages(&mut stream, |message| {
            answer = message.to_vec();
            Ok(true)
        })?;
        if memchr::memmem::find(&answer, b"\"error\"").is_some() {
            return Err(format!("NATS refused {subject}: {}", String::from_utf8_lossy(&answer)).into());
        }
        Ok(answer)
    }
}

/// One protocol message at the beginning of bytes.
enum Message<'a> {
    Incomplete,
    /// The body, and the length of the whole.
    Body(&'a [u8], usize),
    Ping(usize),
    Other(usize),
}

fn message(bytes: &[u8]) -> Result<Message<'_>> {
    let Some(end) = memchr(b'\n', bytes) else { return Ok(Message::Incomplete) };
    let line = &bytes[..end];
    if line.starts_with(b"MSG ") {
        let text = std::str::from_utf8(line)?.trim_end();
        let length: usize = text.rsplit(' ').next().unwrap_or_default().parse()?;
        let whole = end + 1 + length + 2;
        return Ok(bytes
            .get(end + 1..whole - 2)
            .filter(|_| bytes.len() >= whole)
            .map_or(Message::Incomplete, |body| Message::Body(body, whole)));
    }
    if line.starts_with(b"PING") {
        return Ok(Message::Ping(end + 1));
    }
    if line.starts_with(b"-ERR") {
        return Err(format!("NATS said {}", String::from_utf8_lossy(line)).into());
    }
    Ok(Message::Other(end + 1))
}

/// Hands out the bodies that come until one says that it was the last.
fn messages(stream: &mut TcpStream, mut each: impl FnMut(&[u8]) -> Result<bool>) -> Result<()> {
    let (mut input, mut buffer) = (Vec::new(), vec![0; 256 << 10]);
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err("NATS ended the connection".into());
        }
        input.extend_from_slice(&buffer[..count]);
        let mut at = 0;
        loop {
            match message(&input[at..])? {
                Message::Incomplete => break,
                Message::Body(body, whole) => {
                    at += whole;
                    if each(body)? {
                        return Ok(());
                    }
                }
                Message::Ping(whole) => {
                    at += whole;
                    stream.write_all(b"PONG\r\n")?;
                }
                Message::Other(whole) => at += whole,
            }
        }
        input.drain(..at);
    }
}

fn acknowledged(bytes: &[u8]) -> Result<Reply> {
    Ok(match message(bytes)? {
        Message::Incomplete => Reply::Incomplete,
        Message::Body(body, whole) if memchr::memmem::find(body, b"\"seq\"").is_some() => Reply::Acknowledged(whole),
        Message::Body(body, _) => return Err(format!("NATS refused an append: {}", String::from_utf8_lossy(body)).into()),
        Message::Ping(whole) => Reply::Other(whole, b"PONG\r\n"),
        Message::Other(whole) => Reply::Other(whole, b""),
    })
}

impl Server for Nats {
    fn process(&self) -> &Process {
        &self.0
    }

    fn process_mut(&mut self) -> &mut Process {
        &mut self.0
    }

    fn make_logs(&mut self, count: usize) -> Result<()> {
        for log in 0..count {
            let stream = format!(
                "{{\"name\":\"log-{log}\",\"subjects\":[\"log.{log}\"],\"storage\":\"file\",\"retention\":\"limits\",\
                 \"max_consumers\":-1,\"max_msgs\":-1,\"max_bytes\":-1,\"num_replicas\":1}}"
            );
            self.call(&format!("$JS.API.STREAM.CREATE.log-{log}"), &stream)?;
        }
        Ok(())
    }

    fn appender(&self, log: usize, writer: usize) -> Result<Appender> {
        let inbox = format!("_INBOX.w{writer}");
        let stream = self.connect(&inbox)?;
        stream.set_read_timeout(None)?;
        let before = format!("PUB log.{log} {inbox} {LENGTH}\r\n");
        Appender::new(stream, before.as_bytes(), writer as u64, b"\r\n", acknowledged)
    }

    fn follow(&self, _: usize) -> Result<Vec<u8>> {
        Err("NATS has no event streams".into())
    }

    fn catch_up(&self, log: usize, each: &mut Each<'_>) -> Result<()> {
        let info = self.call(&format!("$JS.API.STREAM.INFO.log-{log}"), "")?;
        let info: serde_json::Value = serde_json::from_slice(&info)?;
        let wanted = info["state"]["messages"].as_u64().ok_or("NATS tells no number of messages")?;
        if wanted == 0 {
            return Ok(());
        }
        let mut stream = self.connect("_INBOX.back")?;
        let consumer = format!(
            "{{\"stream_name\":\"log-{log}\",\"config\":{{\"deliver_subject\":\"_INBOX.back\",\"deliver_policy\":\"all\",\
             \"ack_policy\":\"none\",\"replay_policy\":\"instant\"}}}}"
        );
        self.call(&format!("$JS.API.CONSUMER.CREATE.log-{log}"), &consumer)?;
        let mut came = 0;
        messages(&mut stream, |body| {
            each(body)?;
            came += 1;
            Ok(came == wanted)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_are_told_from_the_rest() {
        let sent = b"MSG _INBOX.w0 1 11\r\n{\"seq\": 10}\r\n";
        assert_eq!(acknowledged(sent).unwrap(), Reply::Acknowledged(sent.len()));
        for cut in 0..sent.len() {
            assert_eq!(acknowledged(&sent[..cut]).unwrap(), Reply::Incomplete);
        }
        acknowledged(b"MSG _INBOX.w0 1 9\r\n{\"error\"}\r\n").unwrap_err();
        assert_eq!(acknowledged(b"PING\r\n").unwrap(), Reply::Other(6, b"PONG\r\n"));
    }
}
