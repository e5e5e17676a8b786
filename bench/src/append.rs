//! Rates of the library.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use folio::Durability;
use tempfile::TempDir;

use crate::Result;
use crate::workload::{Payloads, Rate, Store, append, verify};

const BATCH: u64 = 100;

/// Tasks that append to one log, one entry at a time each, and wait for it to be durable.
pub(crate) struct Tasks {
    root: TempDir,
    store: Store,
    payloads: Vec<Arc<Payloads>>,
    counts: Vec<u64>,
    rate: Rate,
}

impl Tasks {
    pub(crate) async fn new(dir: &Path, tasks: u64) -> Result<Self> {
        let root = tempfile::tempdir_in(dir)?;
        let store = Store::open(root.path(), Durability::Sync).await?;
        let payloads = (0..tasks).map(|task| Ok(Arc::new(Payloads::new(task)?))).collect::<Result<Vec<_>>>()?;
        let counts = vec![0; payloads.len()];
        Ok(Self { root, store, payloads, counts, rate: Rate::default() })
    }

    pub(crate) async fn run(&mut self, time: Duration) -> Result<()> {
        let (mut running, begin) = (Vec::new(), Instant::now());
        for (payloads, count) in self.payloads.iter().zip(&self.counts) {
            let (log, payloads, mut count) = (self.store.log(), Arc::clone(payloads), *count);
            running.push(tokio::spawn(async move {
                while begin.elapsed() < time {
                    append(&*log, vec![payloads.get(count)]).await?;
                    count += 1;
                }
                Result::Ok(count)
            }));
        }
        let before: u64 = self.counts.iter().sum();
        for (task, count) in running.into_iter().zip(&mut self.counts) {
            *count = task.await??;
        }
        self.rate.add(self.counts.iter().sum::<u64>() - before, begin);
        Ok(())
    }

    /// Appends per second, once all of them were found again.
    pub(crate) async fn finish(self) -> Result<f64> {
        self.store.close().await?;
        verify(self.root.path(), &self.counts).await?;
        Ok(self.rate.per_second())
    }
}

/// One task that appends 100 entries at a time, acknowledged once the operating system has them. Entries per second.
pub(crate) async fn batches(dir: &Path, time: Duration) -> Result<f64> {
    let root = tempfile::tempdir_in(dir)?;
    let store = Store::open(root.path(), Durability::Os).await?;
    let (log, payloads) = (store.log(), Payloads::new(0)?);
    let (mut rate, mut count, begin) = (Rate::default(), 0, Instant::now());
    while begin.elapsed() < time {
        append(&*log, (count..count + BATCH).map(|n| payloads.get(n)).collect()).await?;
        count += BATCH;
    }
    rate.add(count, begin);
    store.close().await?;
    verify(root.path(), &[count]).await?;
    Ok(rate.per_second())
}
