//! How long it takes until a long log can be appended to.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use folio::Durability;
use tempfile::TempDir;

use crate::Result;
use crate::workload::{Payloads, Store, append, verify_history};

const BATCH: u64 = 1_000;

/// A root with one long log.
pub(crate) struct Prepared {
    root: TempDir,
    payloads: Payloads,
    entries: AtomicU64,
}

impl Prepared {
    /// Writes a log of `entries` entries, which must be a multiple of 1,000, and checks it.
    pub(crate) async fn new(dir: &Path, entries: u64) -> Result<Self> {
        let (root, payloads) = (tempfile::tempdir_in(dir)?, Payloads::new(0)?);
        let store = Store::open(root.path(), Durability::Os).await?;
        let log = store.log();
        for from in (0..entries).step_by(usize::try_from(BATCH)?) {
            append(&*log, (from..from + BATCH).map(|n| payloads.get(n)).collect()).await?;
        }
        store.close().await?;
        verify_history(root.path(), &[entries]).await?;
        Ok(Self { root, payloads, entries: AtomicU64::new(entries) })
    }

    /// Opens the root anew and appends one entry under `sync`. Milliseconds until it is acknowledged.
    pub(crate) async fn open_and_append(&self) -> Result<f64> {
        let before = self.entries.fetch_add(1, Ordering::Relaxed);
        let entry = vec![self.payloads.get(before)];
        let begin = Instant::now();
        let store = Store::open(self.root.path(), Durability::Sync).await?;
        let last = append(&*store.log(), entry).await?;
        let took = begin.elapsed().as_secs_f64() * 1_000.0;
        store.close().await?;
        if last == before + 1 { Ok(took) } else { Err(format!("entry {} became {last}", before + 1).into()) }
    }
}
