//! What the contract suite can't see from outside: clocks, and what is kept for whom.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};

use super::{MemoryDriver, MemoryOptions};
use crate::{
    AppendLog, AppendLogExt, AppendOptions, AppendOutcome, Change, ChangeStream, CollectionName, Cursor, Data, DocKey, Driver,
    Error, Json, JsonKvExt, Limits, LogEvent, LogName, LogStream, ManualClock, Position, ProjectExt, ProjectId, ReadOptions,
    Start, WriteCondition,
};

fn id(name: &str) -> ProjectId {
    ProjectId::new(name).unwrap()
}

fn name(name: &str) -> LogName {
    LogName::new(name).unwrap()
}

/// A driver with a clock that stands at 1,000, and a project `p`.
async fn at_1000() -> (MemoryDriver, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(1_000));
    let driver = MemoryDriver::new(MemoryOptions { clock: Arc::<ManualClock>::clone(&clock), limits: Limits::default() });
    assert!(driver.create_project(&id("p")).await.unwrap());
    (driver, clock)
}

async fn times(log: &dyn AppendLog) -> Vec<u64> {
    log.read(ReadOptions::default()).await.unwrap().entries.iter().map(|entry| entry.ts).collect()
}

async fn epochs(log: &dyn AppendLog) -> Vec<u64> {
    log.status().await.unwrap().lineage.iter().map(|piece| piece.epoch).collect()
}

#[tokio::test]
async fn times_never_fall() {
    let (driver, clock) = at_1000().await;
    let history = driver.project(&id("p")).history();
    for now in [1_000, 2_000, 500, 2_500] {
        clock.set(now);
        history.append_value(&now).await.unwrap();
    }
    assert_eq!(times(&*history).await, [1_000, 2_000, 2_000, 2_500]);
    // not even when compaction removed the newest time
    history.truncate(4).await.unwrap();
    clock.set(7);
    history.append_value(&1).await.unwrap();
    assert_eq!(times(&*history).await, [2_500]);
    // nor in a fork
    let project = driver.project(&id("p"));
    history.fork(5, &name("f")).await.unwrap();
    project.log(&name("f")).append_value(&1).await.unwrap();
    assert_eq!(times(&*project.log(&name("f"))).await, [2_500, 2_500]);
}

#[tokio::test]
async fn epochs_rise_whatever_the_clock_does() {
    let (driver, clock) = at_1000().await;
    let project = driver.project(&id("p"));
    let history = project.history();
    assert_eq!(epochs(&*history).await, [0]);
    history.append_value(&1).await.unwrap();
    assert_eq!(epochs(&*history).await, [0, 1_000]);
    clock.set(3);
    history.fork(1, &name("f")).await.unwrap();
    assert_eq!(epochs(&*project.log(&name("f"))).await, [0, 1_000, 1_001]);
    clock.set(u64::MAX);
    let runs = project.log(&name("runs/1"));
    runs.append_value(&1).await.unwrap();
    // a cursor holds 53 bits
    let head = runs.status().await.unwrap().head;
    assert_eq!(head.to_string().parse::<Position>().unwrap(), head);
    driver.fork_project(&id("p"), &id("q")).await.unwrap();
    let copy = driver.project(&id("q")).log(&name("runs/1"));
    assert!(copy.status().await.unwrap().lineage.last().unwrap().epoch > head.epoch);
}

#[tokio::test]
async fn a_second_life_of_a_name_has_another_epoch() {
    let (driver, _) = at_1000().await;
    let log = driver.project(&id("p")).log(&name("a"));
    let first = log.append_value(&1).await.unwrap().cursor;
    log.delete().await.unwrap();
    let second = log.append_value(&1).await.unwrap().cursor;
    assert_eq!((first.seq, second.seq), (1, 1));
    assert!(second.epoch > first.epoch);
}

#[tokio::test]
async fn limits_are_those_of_the_options() {
    let driver = MemoryDriver::new(MemoryOptions { limits: Limits { entry: 4, body: 6 }, ..MemoryOptions::default() });
    driver.create_project(&id("p")).await.unwrap();
    let project = driver.project(&id("p"));
    let history = project.history();
    let append = |entries: &[&str]| {
        let entries = entries.iter().map(|text| Data::Json(Json::parse(text.as_bytes()).unwrap())).collect();
        history.append(entries, AppendOptions::default())
    };
    assert!(matches!(append(&["12345"]).await, Err(Error::TooLarge { bytes: 5, limit: 4, .. })));
    assert!(matches!(append(&["123", "456", "7"]).await, Err(Error::TooLarge { bytes: 7, limit: 6, .. })));
    assert!(matches!(append(&["1234", "56"]).await, Ok(AppendOutcome::Appended(_))));
    let (docs, key) = (project.docs(), DocKey::new("k").unwrap());
    assert!(matches!(docs.put_value(&key, "12345", WriteCondition::None).await, Err(Error::TooLarge { .. })));
    let _ = docs.put_value(&key, &[1, 2], WriteCondition::None).await.unwrap();
    let before = docs.get(&key).await.unwrap();
    let patch = Json::parse(b"{\"a\":1}").unwrap();
    assert!(matches!(docs.patch(&key, patch, WriteCondition::None).await, Err(Error::TooLarge { .. })));
    assert_eq!(docs.get(&key).await.unwrap(), before);
}

/// What is told before the stream would wait.
fn told(stream: &mut LogStream) -> Vec<LogEvent> {
    std::iter::from_fn(|| stream.next().now_or_never().flatten()).map(Result::unwrap).collect()
}

#[tokio::test]
async fn a_stream_outlives_its_project() {
    let (driver, _) = at_1000().await;
    let history = driver.project(&id("p")).history();
    history.append_value(&1).await.unwrap();
    let mut stream = history.subscribe(Start::After(Cursor::START)).await.unwrap();
    assert_eq!(told(&mut stream).len(), 2);
    assert!(driver.delete_project(&id("p")).await.unwrap());
    assert_eq!(told(&mut stream), [LogEvent::Deleted]);
    driver.create_project(&id("p")).await.unwrap();
    assert_eq!(told(&mut stream), []);
    let cursor = history.append_value(&2).await.unwrap().cursor;
    assert!(matches!(told(&mut stream)[..], [LogEvent::Entry { position, .. }] if position == cursor));
    // and is woken for what comes by copying
    driver.delete_project(&id("p")).await.unwrap();
    driver.create_project(&id("q")).await.unwrap();
    driver.project(&id("q")).history().append_value(&3).await.unwrap();
    assert_eq!(told(&mut stream), [LogEvent::Deleted]);
    driver.fork_project(&id("q"), &id("p")).await.unwrap();
    assert!(matches!(told(&mut stream)[..], [LogEvent::Entry { .. }]));
}

/// Empty collections and their subscribers leave nothing behind.
#[tokio::test]
async fn collections_come_and_go() {
    let (driver, _) = at_1000().await;
    let collection = driver.collection(&CollectionName::new("c").unwrap());
    let key = DocKey::new("k").unwrap();
    let _ = collection.delete(&key, WriteCondition::None).await.unwrap();
    let _ = collection.put_value(&key, &1, WriteCondition::Exists).await.unwrap();
    assert!(driver.store.lock().outside.is_empty());
    let mut changes: ChangeStream = collection.subscribe().await.unwrap();
    let _ = collection.put_value(&key, &1, WriteCondition::Absent).await.unwrap();
    assert_eq!(driver.store.lock().outside.len(), 1);
    let _ = collection.delete(&key, WriteCondition::None).await.unwrap();
    assert!(driver.store.lock().outside.is_empty());
    let events: Vec<Change> = std::iter::from_fn(|| changes.next().now_or_never().flatten()).map(Result::unwrap).collect();
    assert!(matches!(events[..], [Change::Ready, Change::Put { .. }, Change::Delete { .. }]), "{events:?}");
}

#[tokio::test]
async fn what_compaction_removes_is_not_counted_any_more() {
    let (driver, _) = at_1000().await;
    let history = driver.project(&id("p")).history();
    for n in 0..10 {
        history.append_value(&n).await.unwrap();
    }
    let full = history.status().await.unwrap().bytes;
    history.truncate(5).await.unwrap();
    assert_eq!(history.status().await.unwrap().bytes, full / 2);
    history.truncate(u64::MAX).await.unwrap();
    assert_eq!(history.status().await.unwrap().bytes, 0);
}
