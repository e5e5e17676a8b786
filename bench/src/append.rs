//! Rates of the library.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use folio::{AppendLog, Durability};

use crate::Result;
use crate::workload::{Payloads, Rate, Store, append, verify, verify_history};

const BATCH: u64 = 100;

/// Where the tasks append.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logs {
    /// All to the same log.
    One,
    /// Each to a log of its own.
    Own,
}

/// Tasks that append one entry at a time each, and wait for it to be durable.
pub(crate) struct Tasks {
    root: PathBuf,
    store: Store,
    logs: Logs,
    payloads: Vec<Arc<Payloads>>,
    counts: Vec<u64>,
    rate: Rate,
}

impl Tasks {
    /// In a folder below `dir`, which stays.
    pub(crate) async fn new(dir: &Path, tasks: u64, logs: Logs) -> Result<Self> {
        let root = tempfile::tempdir_in(dir)?.keep();
        let store = Store::open(&root, Durability::Sync).await?;
        let writer = |task| if logs == Logs::One { task } else { 0 };
        let payloads = (0..tasks).map(|task| Ok(Arc::new(Payloads::new(writer(task))?))).collect::<Result<Vec<_>>>()?;
        let counts = vec![0; payloads.len()];
        Ok(Self { root, store, logs, payloads, counts, rate: Rate::default() })
    }

    fn log(&self, task: usize) -> Result<Arc<dyn AppendLog>> {
        Ok(if self.logs == Logs::One { self.store.log() } else { self.store.log_number(task)? })
    }

    pub(crate) async fn run(&mut self, time: Duration) -> Result<()> {
        let (mut running, begin) = (Vec::new(), Instant::now());
        for (task, (payloads, count)) in self.payloads.iter().zip(&self.counts).enumerate() {
            let (log, payloads, mut count) = (self.log(task)?, Arc::clone(payloads), *count);
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
        let store = Store::open(&self.root, Durability::Sync).await?;
        match self.logs {
            Logs::One => verify(&*store.log(), &self.counts).await?,
            Logs::Own => {
                for (task, &count) in self.counts.iter().enumerate() {
                    verify(&*store.log_number(task)?, &[count]).await?;
                }
            }
        }
        store.close().await?;
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
    verify_history(root.path(), &[count]).await?;
    Ok(rate.per_second())
}
