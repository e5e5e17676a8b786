//! The contract of the library, held over HTTP: the suite talks to a client, the client to a server, the server to a
//! driver in memory. Opening again means another server on the same driver.

mod daemon;

use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use folio::memory::{MemoryDriver, MemoryOptions};
use folio::{Driver, Limits, ManualClock, Result};
use folio_contract::{Harness, Need};

use crate::daemon::{Daemon, Place};

struct OverMemory {
    memory: Arc<MemoryDriver>,
    clock: Arc<ManualClock>,
    daemon: Place,
}

impl OverMemory {
    async fn start() -> Result<Self> {
        let clock = Arc::new(ManualClock::new(1_763_900_000_000));
        let options = MemoryOptions { limits: Limits::default(), clock: clock.clone() };
        let started = Self { memory: Arc::new(MemoryDriver::new(options)), clock, daemon: Place::default() };
        started.next().await?;
        Ok(started)
    }

    async fn next(&self) -> Result<Arc<dyn Driver>> {
        Ok(self.daemon.put(Daemon::start(self.memory.clone()).await?))
    }
}

#[async_trait]
impl Harness for OverMemory {
    fn driver(&self) -> Arc<dyn Driver> {
        self.daemon.client()
    }

    fn lacks(&self, need: Need) -> Option<&'static str> {
        match need {
            Need::Clock | Need::Reopen => None,
            Need::Crash => Some("a crash takes along what is kept in memory"),
            Need::PlainFiles => Some("nothing is kept on disk"),
        }
    }

    async fn reopen(&self) -> Result<Arc<dyn Driver>> {
        if let Some(daemon) = self.daemon.take() {
            daemon.stop().await?;
        }
        self.next().await
    }

    fn clock(&self) -> Option<Arc<ManualClock>> {
        Some(self.clock.clone())
    }
}

fn main() -> ExitCode {
    folio_contract::main("http_memory", OverMemory::start)
}
