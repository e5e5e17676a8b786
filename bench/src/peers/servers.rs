//! The servers: how each is started, spoken to and asked what it has.

mod durable_streams;
mod folio;
mod nats;
mod nginx;
mod process;
mod redis;

use std::path::{Path, PathBuf};

pub(crate) use process::Process;

use crate::Result;
use crate::peers::wire::appender::Appender;
use crate::peers::wire::payload::Tally;

/// A server that is measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Folio,
    DurableStreams,
    Redis,
    Nats,
    Nginx,
}

impl Kind {
    /// Its name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Folio => "Folio",
            Self::DurableStreams => "durable-streams",
            Self::Redis => "Redis",
            Self::Nats => "NATS",
            Self::Nginx => "nginx",
        }
    }

    /// What it is started with that matters here.
    pub(crate) fn setting(self) -> &'static str {
        match self {
            Self::Folio => "`folio serve`, durability `sync`",
            Self::DurableStreams => "durable-streams-server, durability `wal`",
            Self::Redis => "streams, `--appendonly yes --appendfsync always`",
            Self::Nats => "JetStream, `sync_interval: always`",
            Self::Nginx => "static files with `sendfile`; event streams by Nchan, in memory",
        }
    }
}

/// Takes bytes as they come.
pub(crate) type Each<'a> = dyn FnMut(&[u8]) -> Result<()> + 'a;

/// A server that runs.
pub(crate) trait Server {
    /// Its process.
    fn process(&self) -> &Process;

    /// Its process, to be stopped.
    fn process_mut(&mut self) -> &mut Process;

    /// Makes the logs with the numbers below `count`, where they have to be made.
    fn make_logs(&mut self, count: usize) -> Result<()>;

    /// A connection that appends to a log as this writer.
    fn appender(&self, log: usize, writer: usize) -> Result<Appender>;

    /// A request that follows a log from its beginning as an event stream.
    fn follow(&self, log: usize) -> Result<Vec<u8>>;

    /// Reads a log from its beginning, not as an event stream; hands out the bytes of the bodies as they come.
    fn catch_up(&self, log: usize, each: &mut Each<'_>) -> Result<()>;

    /// Reads a log from its beginning.
    fn read_back(&self, log: usize, tally: &mut Tally) -> Result<()> {
        let mut rest = Vec::new();
        self.catch_up(log, &mut |piece| tally.see_piece(piece, &mut rest))
    }

    /// Appends these entries, in one call.
    fn append_many(&self, log: usize, entries: &[&[u8]]) -> Result<()> {
        Err(format!("{} entries are not appended to log {log} at once here", entries.len()).into())
    }

    /// Stores a file to be read.
    fn put_file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        Err(format!("{name} with {} bytes: files are not served here", bytes.len()).into())
    }

    /// The path of a file in URLs.
    fn file(&self, name: &str) -> String {
        format!("/{name}")
    }
}

/// Where the servers' programs are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    folio: PathBuf,
    peers: PathBuf,
}

impl Programs {
    /// `folio` beside this program; the peers where `bench/peers` installs them.
    pub(crate) fn find(peers: &Path) -> Result<Self> {
        let folio = std::env::current_exe()?.with_file_name("folio");
        if !folio.exists() {
            return Err(format!("{} is missing: build it with `cargo build --release`", folio.display()).into());
        }
        Ok(Self { folio, peers: peers.to_owned() })
    }

    /// The program of a server; where it can't be installed, why.
    pub(crate) fn program(&self, kind: Kind) -> std::result::Result<PathBuf, String> {
        let (path, package) = match kind {
            Kind::Folio => (self.folio.clone(), "folio"),
            Kind::DurableStreams => (self.peers.join("durable-streams/bin/durable-streams-server"), "durable-streams"),
            Kind::Redis => (PathBuf::from("/usr/bin/redis-server"), "redis"),
            Kind::Nats => (self.peers.join("nats/bin/nats-server"), "nats"),
            Kind::Nginx => (PathBuf::from("/usr/sbin/nginx"), "nginx"),
        };
        if path.exists() {
            return Ok(path);
        }
        // the script that installs leaves the reason here
        let reason = std::fs::read_to_string(self.peers.join(format!("{package}.missing")));
        Err(reason
            .map_or_else(|_| format!("{} is not there; bench/peers installs it", path.display()), |text| text.trim().to_owned()))
    }

    /// Starts a server in a fresh folder below `place`.
    pub(crate) fn start(&self, kind: Kind, place: &Path) -> Result<Box<dyn Server>> {
        let program = self.program(kind)?;
        let server: Box<dyn Server> = match kind {
            Kind::Folio => Box::new(folio::Folio::start(&program, place)?),
            Kind::DurableStreams => Box::new(durable_streams::DurableStreams::start(&program, place)?),
            Kind::Redis => Box::new(redis::Redis::start(&program, place)?),
            Kind::Nats => Box::new(nats::Nats::start(&program, place)?),
            Kind::Nginx => Box::new(nginx::Nginx::start(&program, place)?),
        };
        Ok(server)
    }
}
