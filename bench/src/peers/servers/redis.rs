//! Redis streams, with an append-only file that is synced before every answer.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

use memchr::memchr;

use super::{Each, Process, Server, process};
use crate::Result;
use crate::peers::wire::appender::{Appender, Reply};
use crate::peers::wire::http;
use crate::peers::wire::payload::LENGTH;

pub(super) struct Redis(Process);

/// Entries of one answer when a log is read back.
const PAGE: usize = 1_000;

impl Redis {
    pub(super) fn start(program: &Path, place: &Path) -> Result<Self> {
        let (folder, port) = (tempfile::tempdir_in(place)?, process::free_port()?);
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]).arg("--dir").arg(folder.path());
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no"]);
        Ok(Self(Process::start(command, port, folder)?))
    }
}

/// `+…` and `$…` acknowledge; anything else is a refusal.
fn acknowledged(bytes: &[u8]) -> Result<Reply> {
    let Some(end) = memchr(b'\n', bytes) else { return Ok(Reply::Incomplete) };
    let Some(length) =
        bytes[..end].strip_prefix(b"$").and_then(|text| std::str::from_utf8(text).ok()?.trim().parse::<usize>().ok())
    else {
        return Err(format!("Redis refused an append: {}", String::from_utf8_lossy(&bytes[..end])).into());
    };
    let whole = end + 1 + length + 2;
    Ok(if bytes.len() < whole { Reply::Incomplete } else { Reply::Acknowledged(whole) })
}

fn command(parts: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", parts.len());
    for part in parts {
        bytes.push_str(&format!("${}\r\n{part}\r\n", part.len()));
    }
    bytes.into_bytes()
}

impl Server for Redis {
    fn process(&self) -> &Process {
        &self.0
    }

    fn process_mut(&mut self) -> &mut Process {
        &mut self.0
    }

    fn make_logs(&mut self, _: usize) -> Result<()> {
        Ok(())
    }

    fn appender(&self, log: usize, writer: usize) -> Result<Appender> {
        let key = format!("log-{log}");
        let before = format!("*5\r\n$4\r\nXADD\r\n${}\r\n{key}\r\n$1\r\n*\r\n$1\r\nd\r\n${LENGTH}\r\n", key.len());
        Appender::new(http::connect(self.0.port())?, before.as_bytes(), writer as u64, b"\r\n", acknowledged)
    }

    fn follow(&self, _: usize) -> Result<Vec<u8>> {
        Err("Redis has no event streams".into())
    }

    fn catch_up(&self, log: usize, each: &mut Each<'_>) -> Result<()> {
        let mut stream = http::connect(self.0.port())?;
        let key = format!("log-{log}");
        let mut after = "-".to_owned();
        let mut buffer = vec![0; 256 << 10];
        loop {
            stream.write_all(&command(&["XRANGE", &key, &after, "+", "COUNT", &PAGE.to_string()]))?;
            let mut page = Page::default();
            while !page.is_whole() {
                let count = stream.read(&mut buffer)?;
                if count == 0 {
                    return Err("Redis ended the connection".into());
                }
                page.feed(&buffer[..count])?;
            }
            each(&page.bytes)?;
            let Some(last) = page.last_id else { return Ok(()) };
            after = format!("({last}");
        }
    }
}

/// The answer to `XRANGE`, as it comes: an array of `[id, [field, value]]`.
#[derive(Default)]
struct Page {
    bytes: Vec<u8>,
    at: usize,
    /// Values still to come; nothing before the first one.
    open: Option<usize>,
    last_id: Option<String>,
}

impl Page {
    fn is_whole(&self) -> bool {
        self.open == Some(0)
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        while !self.is_whole() {
            let Some(end) = memchr(b'\n', &self.bytes[self.at..]) else { return Ok(()) };
            let line = std::str::from_utf8(&self.bytes[self.at..self.at + end])?.trim_end();
            let (kind, count) = line.split_at_checked(1).ok_or("Redis sent an empty line")?;
            let count: usize = count.parse().map_err(|_| format!("Redis said {line}"))?;
            let left = self.open.unwrap_or(1);
            if kind == "*" {
                (self.at, self.open) = (self.at + end + 1, Some(left - 1 + count));
                continue;
            }
            let (begin, next) = (self.at + end + 1, self.at + end + 1 + count + 2);
            if self.bytes.len() < next {
                return Ok(());
            }
            let value = &self.bytes[begin..begin + count];
            // ids are the only strings that begin with a digit
            if value.first().is_some_and(u8::is_ascii_digit) {
                self.last_id = Some(std::str::from_utf8(value)?.to_owned());
            }
            (self.at, self.open) = (next, Some(left - 1));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_end_where_they_end() {
        let sent = b"*2\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nd\r\n$2\r\n{}\r\n*2\r\n$3\r\n2-0\r\n*2\r\n$1\r\nd\r\n$2\r\n{}\r\n";
        for cut in 0..sent.len() {
            let mut page = Page::default();
            page.feed(&sent[..cut]).unwrap();
            assert!(!page.is_whole(), "{cut}");
            page.feed(&sent[cut..]).unwrap();
            assert!(page.is_whole());
            assert_eq!(page.last_id.as_deref(), Some("2-0"));
        }
    }

    #[test]
    fn refusals_are_none_of_the_acknowledgements() {
        assert_eq!(acknowledged(b"$3\r\n1-0\r\n").unwrap(), Reply::Acknowledged(9));
        assert_eq!(acknowledged(b"$3\r\n1-").unwrap(), Reply::Incomplete);
        acknowledged(b"-ERR no\r\n").unwrap_err();
    }
}
