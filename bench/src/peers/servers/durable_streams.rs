//! The Rust server of Durable Streams.

use std::path::Path;
use std::process::Command;

use super::{Each, Process, Server, process};
use crate::Result;
use crate::peers::wire::appender::Appender;
use crate::peers::wire::http::{self, Client};
use crate::peers::wire::payload::LENGTH;

pub(super) struct DurableStreams(Process);

const JSON: (&str, &str) = ("Content-Type", "application/json");

impl DurableStreams {
    pub(super) fn start(program: &Path, place: &Path) -> Result<Self> {
        let (folder, port) = (tempfile::tempdir_in(place)?, process::free_port()?);
        let mut command = Command::new(program);
        command.arg("--port").arg(port.to_string()).arg("--data-dir").arg(folder.path().join("data"));
        Ok(Self(Process::start(command, port, folder)?))
    }
}

fn path(log: usize) -> String {
    format!("/log-{log}")
}

impl Server for DurableStreams {
    fn process(&self) -> &Process {
        &self.0
    }

    fn process_mut(&mut self) -> &mut Process {
        &mut self.0
    }

    fn make_logs(&mut self, count: usize) -> Result<()> {
        let mut client = Client::new(self.0.port())?;
        for log in 0..count {
            client.send("PUT", &path(log), &[JSON], b"")?.ok()?;
        }
        Ok(())
    }

    fn appender(&self, log: usize, writer: usize) -> Result<Appender> {
        let before = http::request(self.0.port(), "POST", &path(log), &[JSON], Some(LENGTH));
        Appender::new(http::connect(self.0.port())?, &before, writer as u64, b"", http::acknowledged)
    }

    fn follow(&self, log: usize) -> Result<Vec<u8>> {
        Ok(http::request(self.0.port(), "GET", &format!("{}?offset=-1&live=sse", path(log)), &[], None))
    }

    fn catch_up(&self, log: usize, each: &mut Each<'_>) -> Result<()> {
        let mut client = Client::new(self.0.port())?;
        let mut offset = "-1".to_owned();
        loop {
            let (status, head) = client.get(&format!("{}?offset={offset}", path(log)), &[], &mut *each)?;
            let next = http::header(&head, "stream-next-offset");
            let next = next.ok_or_else(|| format!("status {status}, a page without Stream-Next-Offset"))?;
            if http::header(&head, "stream-up-to-date").is_some() || next == offset {
                return Ok(());
            }
            next.clone_into(&mut offset);
        }
    }

    fn append_many(&self, log: usize, entries: &[&[u8]]) -> Result<()> {
        let body = [b"[".as_slice(), &entries.join(&b','), b"]"].concat();
        Client::new(self.0.port())?.send("POST", &path(log), &[JSON], &body)?.ok()?;
        Ok(())
    }
}
