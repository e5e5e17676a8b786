//! Long logs, in the library: opening one and appending to it, and removing its beginning.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use folio::fs::{FsDriver, FsOptions};
use folio::{AppendLog, AppendOptions, AppendOutcome, Data, Driver, Durability, Json, ProjectExt, ProjectId, ReadOptions};

use super::{Scene, Subject, Work};
use crate::Result;
use crate::peers::results::{Figures, Metric};
use crate::peers::servers::Kind;

/// Entries of one append.
const BATCH: u64 = 10_000;
/// How often a store is opened in a round; the median counts.
const OPENED: usize = 5;

pub(super) fn works() -> Vec<Work> {
    vec![
        work("long-log-1m", "a log of 1,000,000 entries", 1_000_000, 1_000_000),
        work("long-log-10m", "a log of 10,000,000 entries", 10_000_000, 2_000_000),
    ]
}

fn work(id: &'static str, title: &'static str, entries: u64, quick: u64) -> Work {
    Work::new(id, title, "log", &[Subject::Server(Kind::Folio)], move |scene, _| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(measure(scene, if scene.quick { quick } else { entries }))
    })
}

async fn open(root: &Path, durability: Durability) -> Result<(FsDriver, Arc<dyn AppendLog>)> {
    let driver = FsDriver::open(root, FsOptions { durability, ..FsOptions::default() }).await?;
    let project = ProjectId::new("bench")?;
    driver.create_project(&project).await?;
    let log = driver.project(&project).history();
    Ok((driver, log))
}

fn entry(n: u64) -> Result<Data> {
    let text = format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(80));
    Ok(Data::Json(Json::parse(text.as_bytes())?))
}

/// Appends and returns the last seq.
async fn append(log: &dyn AppendLog, entries: Vec<Data>) -> Result<u64> {
    match log.append(entries, AppendOptions::default()).await? {
        AppendOutcome::Appended(appended) => Ok(appended.last),
        AppendOutcome::Precondition { .. } => Err("an append without a condition was refused for one".into()),
    }
}

async fn measure(scene: &Scene, entries: u64) -> Result<Figures> {
    let root = tempfile::tempdir_in(&scene.place)?;
    let (driver, log) = open(root.path(), Durability::Os).await?;
    for from in (0..entries).step_by(usize::try_from(BATCH)?) {
        append(&*log, (from..from + BATCH).map(entry).collect::<Result<_>>()?).await?;
    }
    let bytes = log.status().await?.bytes;
    driver.close().await?;
    drop((log, driver));
    let mut opened = crate::samples::Samples::default();
    for n in 0..OPENED as u64 {
        let next = vec![entry(entries + n)?];
        let begin = Instant::now();
        let (driver, log) = open(root.path(), Durability::Sync).await?;
        let last = append(&*log, next).await?;
        opened.add(begin.elapsed().as_secs_f64() * 1e3);
        if last != entries + n + 1 {
            return Err(format!("entry {} became {last}", entries + n + 1).into());
        }
        driver.close().await?;
    }
    let (driver, log) = open(root.path(), Durability::Sync).await?;
    // as many entries as the first segment holds, by their average length
    let segment = FsOptions::default().segment_bytes * entries / bytes.max(1);
    let begin = Instant::now();
    log.truncate(segment).await?;
    let truncated = begin.elapsed().as_secs_f64() * 1e3;
    let horizon = log.status().await?.horizon;
    let first = log.read(ReadOptions { limit: 1, ..ReadOptions::default() }).await?.entries.first().map(|entry| entry.seq);
    if horizon != segment || first != Some(segment + 1) {
        return Err(format!("the log begins with {first:?} after {segment} entries were removed, up to {horizon}").into());
    }
    driver.close().await?;
    Ok(Figures::default().set(Metric::Open, opened.spread().1).set(Metric::Truncate, truncated))
}
