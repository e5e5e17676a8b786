//! Rates of the library.

use std::path::Path;
use std::time::{Duration, Instant};

use folio::Durability;

use crate::Result;
use crate::workload::{Payloads, Store, append, rate, verify};

const TASKS: u64 = 64;
const BATCH: u64 = 100;

/// One task that appends one entry at a time and waits for each to be durable. Appends per second.
pub(crate) async fn one_task(dir: &Path, time: Duration) -> Result<f64> {
    let root = tempfile::tempdir_in(dir)?;
    let store = Store::open(root.path(), Durability::Sync).await?;
    let (log, payloads) = (store.log(), Payloads::new(0)?);
    let (mut count, begin) = (0, Instant::now());
    while begin.elapsed() < time {
        append(&*log, vec![payloads.get(count)]).await?;
        count += 1;
    }
    let rate = rate(count, begin);
    store.close().await?;
    verify(root.path(), &[count]).await?;
    Ok(rate)
}

/// 64 tasks on one log, each as [`one_task`]. Appends per second of all together.
pub(crate) async fn many_tasks(dir: &Path, time: Duration) -> Result<f64> {
    let root = tempfile::tempdir_in(dir)?;
    let store = Store::open(root.path(), Durability::Sync).await?;
    let payloads = (0..TASKS).map(Payloads::new).collect::<Result<Vec<_>>>()?;
    let begin = Instant::now();
    let tasks = payloads.into_iter().map(|payloads| {
        let log = store.log();
        tokio::spawn(async move {
            let mut count = 0;
            while begin.elapsed() < time {
                append(&*log, vec![payloads.get(count)]).await?;
                count += 1;
            }
            Result::Ok(count)
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut counts = Vec::new();
    for task in tasks {
        counts.push(task.await??);
    }
    let rate = rate(counts.iter().sum(), begin);
    store.close().await?;
    verify(root.path(), &counts).await?;
    Ok(rate)
}

/// One task that appends 100 entries at a time, acknowledged once the operating system has them. Entries per second.
pub(crate) async fn batches(dir: &Path, time: Duration) -> Result<f64> {
    let root = tempfile::tempdir_in(dir)?;
    let store = Store::open(root.path(), Durability::Os).await?;
    let (log, payloads) = (store.log(), Payloads::new(0)?);
    let (mut count, begin) = (0, Instant::now());
    while begin.elapsed() < time {
        append(&*log, (count..count + BATCH).map(|n| payloads.get(n)).collect()).await?;
        count += BATCH;
    }
    let rate = rate(count, begin);
    store.close().await?;
    verify(root.path(), &[count]).await?;
    Ok(rate)
}
