//! Folio.

use std::path::Path;
use std::process::Command;

use super::{Each, Process, Server, process};
use crate::Result;
use crate::peers::wire::appender::Appender;
use crate::peers::wire::http::{self, Client};
use crate::peers::wire::payload::LENGTH;

pub(super) struct Folio(Process);

impl Folio {
    pub(super) fn start(program: &Path, place: &Path) -> Result<Self> {
        let (folder, port) = (tempfile::tempdir_in(place)?, process::free_port()?);
        let mut command = Command::new(program);
        command.arg("serve").arg(folder.path().join("data")).arg("--listen").arg(format!("127.0.0.1:{port}"));
        command.args(["--durability", "sync"]);
        Ok(Self(Process::start(command, port, folder)?))
    }
}

fn path(log: usize) -> String {
    format!("/v1/projects/bench/logs/log-{log}")
}

impl Server for Folio {
    fn process(&self) -> &Process {
        &self.0
    }

    fn process_mut(&mut self) -> &mut Process {
        &mut self.0
    }

    fn make_logs(&mut self, _: usize) -> Result<()> {
        Client::new(self.0.port())?.send("PUT", "/v1/projects/bench", &[], b"")?.ok()?;
        Ok(())
    }

    fn appender(&self, log: usize, writer: usize) -> Result<Appender> {
        let json = [("Content-Type", "application/json")];
        let before = http::request(self.0.port(), "POST", &path(log), &json, Some(LENGTH));
        Appender::new(http::connect(self.0.port())?, &before, writer as u64, b"", http::acknowledged)
    }

    fn follow(&self, log: usize) -> Result<Vec<u8>> {
        let events = [("Accept", "text/event-stream")];
        Ok(http::request(self.0.port(), "GET", &format!("{}?since=0", path(log)), &events, None))
    }

    fn catch_up(&self, log: usize, each: &mut Each<'_>) -> Result<()> {
        let lines = [("Accept", "application/x-ndjson")];
        let (status, _) = Client::new(self.0.port())?.get(&format!("{}?since=0&limit=all", path(log)), &lines, each)?;
        if status == 200 { Ok(()) } else { Err(format!("log {log} is not told: status {status}").into()) }
    }

    fn append_many(&self, log: usize, entries: &[&[u8]]) -> Result<()> {
        let lines = [("Content-Type", "application/x-ndjson")];
        Client::new(self.0.port())?.send("POST", &path(log), &lines, &entries.join(&b'\n'))?.ok()?;
        Ok(())
    }

    fn put_file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        Client::new(self.0.port())?.send("PUT", &self.file(name), &[], bytes)?.ok()?;
        Ok(())
    }

    fn file(&self, name: &str) -> String {
        format!("/v1/projects/bench/files/{name}")
    }
}
