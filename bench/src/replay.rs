//! How fast a journal is replayed.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Instant;

use folio::Durability;
use tempfile::TempDir;

use crate::Result;
use crate::workload::{Payloads, Store, append, verify};

const LOGS: usize = 32;
const BATCH: u64 = 100;
/// Batches to each log: together less than a journal holds at most.
const BATCHES: u64 = 40;

/// A root as a power cut leaves it that took all changes and spared the journal.
pub(crate) struct Crashed {
    root: TempDir,
    /// Bytes of the lines that replay has to write.
    bytes: u64,
}

impl Crashed {
    pub(crate) async fn new(dir: &Path) -> Result<Self> {
        let (root, payloads) = (tempfile::tempdir_in(dir)?, Payloads::new(0)?);
        let store = Store::open(root.path(), Durability::Sync).await?;
        for log in 0..LOGS {
            append(&*store.log_number(log)?, vec![payloads.get(0)]).await?;
        }
        store.close().await?;
        let before = files_of(root.path())?;

        let store = Store::open(root.path(), Durability::Os).await?;
        for batch in 0..BATCHES {
            for log in 0..LOGS {
                let from = 1 + batch * BATCH;
                append(&*store.log_number(log)?, (from..from + BATCH).map(|n| payloads.get(n)).collect()).await?;
            }
        }
        store.abandon();
        let mut bytes = 0;
        for (path, length) in before {
            let file = OpenOptions::new().write(true).open(path)?;
            bytes += file.metadata()?.len() - length;
            file.set_len(length)?;
        }
        Ok(Self { root, bytes })
    }

    /// Opens it: megabytes of journal a second until everything is in its place and durable. Fails where anything is
    /// missing then.
    #[expect(clippy::cast_precision_loss, reason = "a rate is rounded anyway")]
    pub(crate) async fn open(self) -> Result<f64> {
        let begin = Instant::now();
        let store = Store::open(self.root.path(), Durability::Sync).await?;
        let rate = self.bytes as f64 / 1e6 / begin.elapsed().as_secs_f64();
        for log in 0..LOGS {
            verify(&*store.log_number(log)?, &[1 + BATCHES * BATCH]).await?;
        }
        store.close().await?;
        Ok(rate)
    }
}

/// The logs of the root, each with its length.
fn files_of(root: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join("bench/.meta/logs"))? {
        let path = entry?.path();
        let length = fs::metadata(&path)?.len();
        files.push((path, length));
    }
    Ok(files)
}
