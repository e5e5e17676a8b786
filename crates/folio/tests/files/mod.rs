//! The filesystem driver in a folder of its own.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use folio::fs::{FsDriver, FsOptions};
use folio::{Driver, Error, ManualClock, Result};
use folio_contract::{Harness, Need};
use tempfile::TempDir;

pub(crate) struct Files {
    folder: TempDir,
    clock: Arc<ManualClock>,
    options: FsOptions,
    driver: Mutex<Arc<FsDriver>>,
}

fn io(what: &str, error: std::io::Error) -> Error {
    Error::Io { what: what.into(), why: error.to_string() }
}

impl Files {
    /// An empty root, opened with `options` and a clock that can be set.
    pub(crate) async fn new(options: FsOptions) -> Result<Self> {
        let folder = TempDir::new().map_err(|e| io("making a temporary folder", e))?;
        let clock = Arc::new(ManualClock::new(1_763_900_000_000));
        let options = FsOptions { clock: clock.clone(), holder: "the contract suite".into(), ..options };
        let driver = FsDriver::open(folder.path().join("root"), options.clone()).await?;
        Ok(Self { folder, clock, options, driver: Mutex::new(Arc::new(driver)) })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    async fn open(&self) -> Result<Arc<dyn Driver>> {
        let driver = Arc::new(FsDriver::open(self.path(), self.options.clone()).await?);
        *self.driver.lock().unwrap_or_else(PoisonError::into_inner) = driver.clone();
        Ok(driver)
    }
}

#[async_trait]
impl Harness for Files {
    fn driver(&self) -> Arc<dyn Driver> {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lacks(&self, need: Need) -> Option<&'static str> {
        match need {
            Need::Reopen | Need::Crash | Need::Clock | Need::PlainFiles => None,
        }
    }

    async fn reopen(&self) -> Result<Arc<dyn Driver>> {
        self.driver().close().await?;
        self.open().await
    }

    /// The one in use loses its lock and is never closed: as if its process had been killed.
    async fn crash(&self) -> Result<Arc<dyn Driver>> {
        let lock = self.path().join(".folio/lock");
        tokio::fs::remove_file(lock).await.map_err(|e| io("taking the lock away", e))?;
        self.open().await
    }

    fn clock(&self) -> Option<Arc<ManualClock>> {
        Some(self.clock.clone())
    }

    fn root(&self) -> Option<PathBuf> {
        Some(self.path())
    }
}
