//! What is appended, and whether it came back.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use folio::fs::{FsDriver, FsOptions};
use folio::{
    AppendLog, AppendOptions, AppendOutcome, Cursor, Data, Driver, Durability, Json, JsonKv, LogName, ProjectExt, ProjectId,
    ReadOptions,
};

use crate::Result;

/// Bytes of one entry's JSON.
pub(crate) const PAYLOAD: usize = 256;
/// How many payloads differ before they repeat.
const VARIETY: u64 = 1_000;

/// A count over time that was measured in pieces.
#[derive(Default)]
pub(crate) struct Rate {
    count: u64,
    time: Duration,
}

impl Rate {
    /// Adds a piece that ends now.
    pub(crate) fn add(&mut self, count: u64, begin: Instant) {
        self.time += begin.elapsed();
        self.count += count;
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate is rounded anyway")]
    pub(crate) fn per_second(&self) -> f64 {
        self.count as f64 / self.time.as_secs_f64()
    }
}

/// Ready-made payloads, told apart by who appends them and by number; made beforehand so that the log is measured and
/// not the making of JSON.
pub(crate) struct Payloads(Vec<Data>);

impl Payloads {
    pub(crate) fn new(writer: u64) -> Result<Self> {
        let payload = |n: u64| {
            let start = format!("{{\"writer\":{writer},\"n\":{n},\"pad\":\"");
            let pad = "x".repeat(PAYLOAD.saturating_sub(start.len() + 2));
            Json::parse(format!("{start}{pad}\"}}").as_bytes()).map(Data::Json)
        };
        Ok(Self((0..VARIETY).map(payload).collect::<folio::Result<_>>()?))
    }

    /// The payload number `n` (from 0), which repeats in time.
    pub(crate) fn get(&self, n: u64) -> Data {
        // The remainder is always in range.
        usize::try_from(n % VARIETY).ok().and_then(|index| self.0.get(index)).cloned().unwrap_or(Data::Bytes("".into()))
    }

    fn number(data: &Data) -> Option<(u64, u64)> {
        let Data::Json(json) = data else { return None };
        let rest = json.as_str().strip_prefix("{\"writer\":")?;
        let (writer, rest) = rest.split_once(",\"n\":")?;
        let (n, pad) = rest.split_once(",\"pad\":\"")?;
        let whole = json.as_str().len() == PAYLOAD && pad.trim_matches('x') == "\"}";
        whole.then_some((writer.parse().ok()?, n.parse().ok()?))
    }
}

/// A store with one project.
pub(crate) struct Store {
    driver: Arc<dyn Driver>,
    project: ProjectId,
}

impl Store {
    /// Opens a root; makes the project where it isn't there.
    pub(crate) async fn open(root: &Path, durability: Durability) -> Result<Self> {
        let options = FsOptions { durability, ..FsOptions::default() };
        let driver: Arc<dyn Driver> = Arc::new(FsDriver::open(root, options).await?);
        let project = ProjectId::new("bench")?;
        driver.create_project(&project).await?;
        Ok(Self { driver, project })
    }

    /// The log that is measured.
    pub(crate) fn log(&self) -> Arc<dyn AppendLog> {
        self.driver.project(&self.project).history()
    }

    /// One of many logs.
    pub(crate) fn log_number(&self, number: usize) -> Result<Arc<dyn AppendLog>> {
        Ok(self.driver.project(&self.project).log(&LogName::new(format!("log-{number}"))?))
    }

    /// The documents of the project.
    pub(crate) fn docs(&self) -> Arc<dyn JsonKv> {
        self.driver.project(&self.project).docs()
    }

    /// Leaves the store as a process does that is killed.
    pub(crate) fn abandon(self) {
        drop(self);
    }

    /// Closes the store; everything is durable then.
    pub(crate) async fn close(self) -> Result<()> {
        Ok(self.driver.close().await?)
    }
}

/// Appends a unit.
pub(crate) async fn append(log: &dyn AppendLog, entries: Vec<Data>) -> Result<u64> {
    match log.append(entries, AppendOptions::default()).await? {
        AppendOutcome::Appended(appended) => Ok(appended.last),
        AppendOutcome::Precondition { .. } => Err("an append without a condition was refused for one".into()),
    }
}

/// Reopens the root and checks its history as [`verify`] does.
pub(crate) async fn verify_history(root: &Path, counts: &[u64]) -> Result<()> {
    let store = Store::open(root, Durability::Sync).await?;
    verify(&*store.log(), counts).await?;
    store.close().await
}

/// Checks that exactly the acknowledged entries are there: `counts[w]` of writer w, each writer's in its order.
pub(crate) async fn verify(log: &dyn AppendLog, counts: &[u64]) -> Result<()> {
    let mut seen = vec![0_u64; counts.len()];
    let (mut since, mut seq) = (Cursor::START, 0);
    loop {
        let page =
            log.read(ReadOptions { since: Some(since), limit: folio::log::MAX_PAGE_ENTRIES, ..ReadOptions::default() }).await?;
        for entry in &page.entries {
            seq += 1;
            let (writer, n) = Payloads::number(&entry.data).ok_or_else(|| format!("entry {seq} is not what was appended"))?;
            let next = usize::try_from(writer).ok().and_then(|writer| seen.get_mut(writer)).ok_or("an unknown writer")?;
            if entry.seq != seq || n != *next % VARIETY {
                return Err(format!("entry {seq} of writer {writer} is out of order").into());
            }
            *next += 1;
        }
        match page.next {
            Some(next) if !page.entries.is_empty() => since = next.into(),
            _ => break,
        }
    }
    if seen != counts {
        return Err(format!("acknowledged were {counts:?} entries, there are {seen:?}").into());
    }
    Ok(())
}
