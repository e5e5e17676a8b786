//! The contract of the library, held over HTTP: the suite talks to a client, the client to a server, the server to the
//! filesystem driver. Opening again restarts the server on the same root.

mod daemon;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use folio::fs::{FsDriver, FsOptions};
use folio::{Driver, Error, ManualClock, Result};
use folio_contract::{Harness, Need};
use tempfile::TempDir;

use crate::daemon::{Daemon, Place};

struct OverFiles {
    folder: TempDir,
    clock: Arc<ManualClock>,
    options: FsOptions,
    /// The driver in use, after those that crashed: a killed process closes nothing, so they stay as they are.
    drivers: Mutex<Vec<Arc<FsDriver>>>,
    daemon: Place,
}

fn io(what: &str, error: std::io::Error) -> Error {
    Error::Io { what: what.into(), why: error.to_string() }
}

impl OverFiles {
    async fn start() -> Result<Self> {
        let folder = TempDir::new().map_err(|e| io("making a temporary folder", e))?;
        let clock = Arc::new(ManualClock::new(1_763_900_000_000));
        let options =
            FsOptions { clock: clock.clone(), holder: "the contract suite".into(), tasks: true, ..FsOptions::default() };
        let started = Self { folder, clock, options, drivers: Mutex::default(), daemon: Place::default() };
        started.next().await?;
        Ok(started)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    async fn next(&self) -> Result<Arc<dyn Driver>> {
        let driver = Arc::new(FsDriver::open(self.path(), self.options.clone()).await?);
        self.drivers.lock().unwrap_or_else(PoisonError::into_inner).push(driver.clone());
        Ok(self.daemon.put(Daemon::start(driver).await?))
    }
}

#[async_trait]
impl Harness for OverFiles {
    fn driver(&self) -> Arc<dyn Driver> {
        self.daemon.client()
    }

    fn lacks(&self, need: Need) -> Option<&'static str> {
        match need {
            Need::Clock | Need::Reopen | Need::Crash | Need::PlainFiles => None,
        }
    }

    async fn reopen(&self) -> Result<Arc<dyn Driver>> {
        if let Some(daemon) = self.daemon.take() {
            daemon.stop().await?;
        }
        let driver = self.drivers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(driver) = driver {
            driver.close().await?;
        }
        self.next().await
    }

    /// The server is cut off in the middle of whatever it does, and its driver loses its lock and is never closed: as if
    /// the process had been killed.
    async fn crash(&self) -> Result<Arc<dyn Driver>> {
        if let Some(daemon) = self.daemon.take() {
            daemon.cut_off().await;
        }
        tokio::fs::remove_file(self.path().join(".folio/lock")).await.map_err(|e| io("taking the lock away", e))?;
        self.next().await
    }

    fn clock(&self) -> Option<Arc<ManualClock>> {
        Some(self.clock.clone())
    }

    fn root(&self) -> Option<PathBuf> {
        Some(self.path())
    }
}

fn main() -> ExitCode {
    folio_contract::main("http_fs", OverFiles::start)
}
