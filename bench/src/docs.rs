//! How fast documents are written.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use folio::{DocKey, Durability, Etag, Json, JsonKv, WriteCondition, WriteOutcome};

use crate::Result;
use crate::workload::{PAYLOAD, Rate, Store};

/// Tasks that write a document of their own again and again, each time on the condition that it is as they left it, and
/// wait for it to be durable.
pub(crate) struct Writers {
    root: PathBuf,
    store: Store,
    places: Vec<Place>,
    rate: Rate,
}

/// How far one task is.
#[derive(Clone, Copy, Default)]
struct Place {
    writes: u64,
    etag: Option<Etag>,
}

fn key(task: usize) -> Result<DocKey> {
    Ok(DocKey::new(format!("doc-{task}"))?)
}

fn value(task: usize, writes: u64) -> Result<Json> {
    let start = format!("{{\"task\":{task},\"writes\":{writes},\"pad\":\"");
    let pad = "x".repeat(PAYLOAD.saturating_sub(start.len() + 2));
    Ok(Json::parse(format!("{start}{pad}\"}}").as_bytes())?)
}

async fn write(docs: &dyn JsonKv, task: usize, place: &mut Place) -> Result<()> {
    let condition = place.etag.map_or(WriteCondition::Absent, WriteCondition::Match);
    match docs.put(&key(task)?, value(task, place.writes + 1)?, condition).await? {
        WriteOutcome::Written { etag, .. } => {
            *place = Place { writes: place.writes + 1, etag: Some(etag) };
            Ok(())
        }
        WriteOutcome::Precondition { .. } => Err(format!("document {task} is not as it was left").into()),
    }
}

impl Writers {
    /// In a folder below `dir`, which stays.
    pub(crate) async fn new(dir: &Path, tasks: usize) -> Result<Self> {
        let root = tempfile::tempdir_in(dir)?.keep();
        let store = Store::open(&root, Durability::Sync).await?;
        Ok(Self { root, store, places: vec![Place::default(); tasks], rate: Rate::default() })
    }

    pub(crate) async fn run(&mut self, time: Duration) -> Result<()> {
        let before: u64 = self.places.iter().map(|place| place.writes).sum();
        let (mut running, begin) = (Vec::new(), Instant::now());
        for (task, place) in self.places.iter().enumerate() {
            let (docs, mut place): (Arc<dyn JsonKv>, _) = (self.store.docs(), *place);
            running.push(tokio::spawn(async move {
                while begin.elapsed() < time {
                    write(&*docs, task, &mut place).await?;
                }
                Result::Ok(place)
            }));
        }
        for (task, place) in running.into_iter().zip(&mut self.places) {
            *place = task.await??;
        }
        self.rate.add(self.places.iter().map(|place| place.writes).sum::<u64>() - before, begin);
        Ok(())
    }

    /// Writes per second, once the last of each was found again.
    pub(crate) async fn finish(self) -> Result<f64> {
        self.store.close().await?;
        let store = Store::open(&self.root, Durability::Sync).await?;
        for (task, place) in self.places.iter().enumerate() {
            let found = store.docs().get(&key(task)?).await?.map(|document| document.value);
            if found != Some(value(task, place.writes)?) {
                return Err(format!("document {task} is not what was written last").into());
            }
        }
        store.close().await?;
        Ok(self.rate.per_second())
    }
}
