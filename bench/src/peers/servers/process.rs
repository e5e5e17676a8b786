//! A server's process: started on a free port, watched, ended by its id.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::Result;

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long one that was asked to end may take, before it is killed.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A running server. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    port: u16,
    folder: TempDir,
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

impl Process {
    /// Starts a server that is to listen on `port`, and waits until it does. What it says goes to a file in `folder`.
    pub(crate) fn start(mut command: Command, port: u16, folder: TempDir) -> Result<Self> {
        let said = File::create(folder.path().join("said"))?;
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().map_err(|e| format!("{name} does not start: {e}"))?;
        let mut process = Self { child, port, folder };
        let begin = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if process.child.try_wait()?.is_some() || begin.elapsed() > PATIENCE {
                return Err(format!("{name} does not listen: {}", process.said()).into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(process)
    }

    /// The last of what it said.
    pub(crate) fn said(&self) -> String {
        let said = fs::read(self.folder.path().join("said")).unwrap_or_default();
        String::from_utf8_lossy(&said[said.len().saturating_sub(1_000)..]).into_owned()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where its data lie.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its id and those of its children.
    fn family(&self) -> Vec<u32> {
        let mut family = vec![self.child.id()];
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if stat(id).and_then(|fields| fields.get(1)?.parse().ok()) == Some(self.child.id()) {
                family.push(id);
            }
        }
        family
    }

    /// Processor time that it and its children took so far.
    pub(crate) fn cpu(&self) -> Duration {
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let used = self.family().into_iter().filter_map(|id| {
            let fields = stat(id)?;
            // utime and stime, counted from the state
            Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
        });
        Duration::from_nanos(used.sum::<u64>() * 1_000_000_000 / ticks)
    }

    /// Resident memory of it and its children, in bytes; what they share counts once.
    pub(crate) fn memory(&self) -> u64 {
        let (mut own, mut shared) = (0, 0);
        for id in self.family() {
            let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
            let held = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
                line.trim().strip_suffix(" kB").and_then(|text| text.parse::<u64>().ok()).unwrap_or_default()
            };
            own += held("RssAnon:");
            shared = shared.max(held("RssFile:") + held("RssShmem:"));
        }
        (own + shared) * 1_024
    }

    /// Ends it, and waits until it has. Nobody needs its data any more, so only one with children is asked first: it
    /// ends them.
    pub(crate) fn stop(&mut self) -> Result<()> {
        if self.family().len() == 1 {
            self.child.kill()?;
        } else if let Some(id) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(id, Signal::TERM)?;
        }
        let begin = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begin.elapsed() > LAST_WORDS {
                self.child.kill()?;
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) && self.stop().is_err() {
            // nothing is left to do about it
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The fields of `/proc/ID/stat` from the state on.
fn stat(id: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // the name may hold anything, also spaces and parentheses
    Some(text.rsplit_once(") ")?.1.split_ascii_whitespace().map(str::to_owned).collect())
}
