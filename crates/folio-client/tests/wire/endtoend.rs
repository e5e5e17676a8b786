//! The client and the server together, with connections that are cut at random.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use folio::memory::MemoryDriver;
use folio::{
    AppendLog, AppendLogExt, AppendOptions, AppendOutcome, BlobStoreExt, Change, Cursor, Data, DocKey, DocListOptions, Driver,
    Etag, FileListOptions, FilePath, FileReadOptions, GapReason, Json, JsonKvExt, LogEvent, LogStream, Project, ProjectExt,
    ProjectId, ReadOptions, Seq, Start, Target, WriteCondition, WriteOutcome,
};
use folio_client::{ClientOptions, HttpDriver};
use futures_util::{StreamExt, stream};

use crate::daemon::Daemon;
use crate::proxy::{Cuts, Proxy};
use crate::scripted::quick;

fn id() -> ProjectId {
    ProjectId::new("p").unwrap()
}

fn seeded() -> fastrand::Rng {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    fastrand::Rng::with_seed(seed)
}

async fn store() -> MemoryDriver {
    let store = MemoryDriver::default();
    store.create_project(&id()).await.unwrap();
    store
}

/// A server, and the same project through connections that are cut before `most` bytes came back.
async fn cutting(rng: &mut fastrand::Rng, most: usize) -> (Daemon, Proxy, Arc<dyn Project>) {
    let store = store().await;
    loop {
        let daemon = Daemon::start_behind(&store).await;
        let Some(proxy) = Proxy::start(daemon.address, rng.u64(..), most).await else {
            daemon.stop().await;
            continue;
        };
        let options = ClientOptions { attempts: u32::MAX, seed: Some(rng.u64(..)), ..quick() };
        let project = HttpDriver::with_options(&proxy.url, options).unwrap().project(&id());
        return (daemon, proxy, project);
    }
}

/// Appends batches, `entries` entries or more; each holds its writer, its number and some ballast.
async fn write(log: Arc<dyn AppendLog>, mut rng: fastrand::Rng, cuts: Cuts, writer: usize, entries: usize) {
    let mut number = 0;
    while number < entries || cuts.are_few() {
        let batch = (0..rng.usize(1..6)).map(|at| {
            let ballast = "x".repeat(rng.usize(..300));
            Data::Json(Json::from_value(&(writer, number + at, ballast)).unwrap())
        });
        let batch: Vec<_> = batch.collect();
        number += batch.len();
        let outcome = log.append(batch, AppendOptions::default()).await.unwrap();
        assert!(matches!(outcome, AppendOutcome::Appended(_)));
        tokio::task::yield_now().await;
    }
}

/// What a subscriber got: entries by seq, and the ranges that gaps told, both ends inclusive.
#[derive(Default)]
struct Got {
    entries: Vec<(Seq, Data)>,
    holes: Vec<(Seq, Seq)>,
    caught_up: usize,
}

/// Reads to the end and holds the stream to: every entry once, in order, or an explicit gap.
async fn follow(mut stream: LogStream, mut reached: Option<Seq>, pause: bool) -> Got {
    let mut got = Got::default();
    while let Some(event) = stream.next().await {
        match event.unwrap() {
            LogEvent::CaughtUp { head } => {
                assert_eq!(*reached.get_or_insert(head.seq), head.seq);
                got.caught_up += 1;
            }
            LogEvent::Entry { entry, position } => {
                let last = reached.expect("a subscription from now begins with caught-up");
                assert_eq!((entry.seq, position.seq), (last + 1, last + 1));
                reached = Some(entry.seq);
                got.entries.push((entry.seq, entry.data));
            }
            LogEvent::Gap(gap) => {
                let last = reached.expect("a subscription from now begins with caught-up");
                assert_eq!((gap.reason, gap.requested.seq), (GapReason::Truncated, last));
                assert_eq!(gap.lost, Some(gap.resumes_after.seq - last));
                got.holes.push((last + 1, gap.resumes_after.seq));
                reached = Some(gap.resumes_after.seq);
            }
            LogEvent::Closed { head } => {
                assert_eq!(reached, Some(head.seq));
                assert!(stream.next().await.is_none());
                return got;
            }
            LogEvent::Deleted => panic!("nobody deleted it"),
        }
        if pause {
            tokio::task::yield_now().await;
        }
    }
    panic!("the stream ended before the log was closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(target_os = "linux"), ignore = "needs the loopback address 127.0.0.2")]
async fn long_subscriptions_over_connections_that_are_cut() {
    const WRITERS: usize = 3;
    const ENTRIES: usize = 700;
    let mut rng = seeded();
    let (daemon, proxy, through) = cutting(&mut rng, 8_000).await;
    let history = daemon.driver().project(&id()).history();

    let mut followers = Vec::new();
    for follower in 0..6 {
        let (start, reached) = if follower < 4 { (Start::After(Cursor::START), Some(0)) } else { (Start::Now, None) };
        let stream = through.history().subscribe(start).await.unwrap();
        followers.push(tokio::spawn(follow(stream, reached, follower % 2 == 0)));
    }
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write(Arc::clone(&history), rng.fork(), proxy.cuts(), writer, ENTRIES))).collect();
    let compactor = {
        let (history, mut rng) = (Arc::clone(&history), rng.fork());
        tokio::spawn(async move {
            let mut truncated = 0;
            // Up to a bit below the head, so that some followers are overtaken and some aren't.
            while truncated < (WRITERS * ENTRIES / 2) as u64 {
                let head = history.status().await.unwrap().head.seq;
                truncated = history.truncate(head.saturating_sub(rng.u64(..200))).await.unwrap().horizon;
            }
        })
    };
    for writer in writers {
        writer.await.unwrap();
    }
    compactor.await.unwrap();
    let closed = history.close().await.unwrap();
    let horizon = history.status().await.unwrap().horizon;

    let mut by_seq: BTreeMap<Seq, Data> = BTreeMap::new();
    for follower in followers {
        let got = follower.await.unwrap();
        assert_eq!(got.caught_up, 1);
        for hole in got.holes {
            assert!(hole.1 <= horizon, "a gap over {hole:?}, but compaction went only to {horizon}");
        }
        for (seq, data) in got.entries {
            assert_eq!(by_seq.entry(seq).or_insert_with(|| data.clone()), &data, "two followers disagree on {seq}");
        }
    }
    let mut cursor = Some(Cursor::bare(horizon));
    let mut kept = 0;
    while let Some(since) = cursor {
        let page = history.read(ReadOptions { since: Some(since), ..Default::default() }).await.unwrap();
        for entry in &page.entries {
            assert_eq!(by_seq.get(&entry.seq), Some(&entry.data), "entry {}", entry.seq);
        }
        kept += page.entries.len() as u64;
        cursor = page.next.filter(|_| !page.entries.is_empty()).map(Cursor::from);
    }
    assert_eq!(kept, closed.seq - horizon);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(target_os = "linux"), ignore = "needs the loopback address 127.0.0.2")]
async fn keyed_appends_land_once_over_connections_that_are_cut() {
    let mut rng = seeded();
    let (daemon, proxy, through) = cutting(&mut rng, 900).await;
    let mut number = 0;
    while number < 200 || proxy.cuts().are_few() {
        let options = AppendOptions { idempotency_key: Some(format!("k{number}")), ..Default::default() };
        let data = vec![Data::Json(Json::from_value(&number).unwrap())];
        let AppendOutcome::Appended(appended) = through.history().append(data, options).await.unwrap() else { panic!() };
        number += 1;
        assert_eq!((appended.first, appended.last), (number, number));
    }
    assert_eq!(daemon.driver().project(&id()).history().status().await.unwrap().head.seq, number);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(target_os = "linux"), ignore = "needs the loopback address 127.0.0.2")]
async fn reads_and_plain_writes_over_connections_that_are_cut() {
    let mut rng = seeded();
    let (_daemon, proxy, through) = cutting(&mut rng, 9_000).await;
    let path = FilePath::new("a b/ü.bin").unwrap();
    let (mut round, mut whole) = (0_u64, 0);
    while whole < 10 || proxy.cuts().are_few() {
        round += 1;
        let content: Vec<u8> = (0..5_000).map(|_| rng.u8(..)).collect();
        let _ = through.files().write_bytes(&path, content.clone(), WriteCondition::None).await.unwrap();
        // A body that was begun is not begun again: the file is whole, or the error says that it isn't.
        match through.files().read_bytes(&path).await {
            Ok(read) => {
                assert!(read.unwrap() == content);
                whole += 1;
            }
            Err(error) => assert!(error.code() == "transport" && error.to_string().contains("middle of the file"), "{error}"),
        }
        let key = DocKey::new("k").unwrap();
        let _ = through.docs().put_value(&key, &round, WriteCondition::None).await.unwrap();
        assert_eq!(through.docs().get_as::<u64>(&key).await.unwrap().unwrap().0, round);
    }
}

/// A copy of the documents that is kept by following their changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(target_os = "linux"), ignore = "needs the loopback address 127.0.0.2")]
async fn a_copy_kept_by_changes_becomes_right_over_connections_that_are_cut() {
    let mut rng = seeded();
    let (daemon, proxy, through) = cutting(&mut rng, 2_000).await;
    let docs = daemon.driver().project(&id()).docs();
    let mut changes = through.docs().subscribe().await.unwrap();

    let writer = {
        let (docs, mut rng, cuts) = (Arc::clone(&docs), rng.fork(), proxy.cuts());
        tokio::spawn(async move {
            let mut round = 0;
            while round < 300 || cuts.are_few() {
                round += 1;
                let key = DocKey::new(format!("k{}", rng.u8(..8))).unwrap();
                if rng.u8(..4) == 0 {
                    let _ = docs.delete(&key, WriteCondition::None).await.unwrap();
                } else {
                    let _ = docs.put_value(&key, &round, WriteCondition::None).await.unwrap();
                }
            }
            let last = DocKey::new("last").unwrap();
            let _ = docs.put_value(&last, &"done", WriteCondition::None).await.unwrap();
        })
    };
    let listed = async || {
        let options = DocListOptions { etag: true, ..Default::default() };
        let list = docs.list(options).await.unwrap().docs;
        list.into_iter().map(|doc| (doc.key, doc.etag.unwrap())).collect::<BTreeMap<DocKey, Etag>>()
    };
    let last = DocKey::new("last").unwrap();
    let mut copy = BTreeMap::new();
    while !copy.contains_key(&last) {
        match changes.next().await.unwrap().unwrap() {
            Change::Ready | Change::Rescan => copy = listed().await,
            Change::Put { target: Target::Doc(key), etag } => drop(copy.insert(key, etag.unwrap())),
            Change::Delete { target: Target::Doc(key) } => drop(copy.remove(&key)),
            other => panic!("{other:?}"),
        }
    }
    writer.await.unwrap();
    assert_eq!(copy, listed().await);
}

#[tokio::test]
async fn a_file_has_one_time_through_every_door() {
    let store = store().await;
    let daemon = Daemon::start(&store).await;
    let files = daemon.driver().project(&id()).files();
    let path = FilePath::new("a.txt").unwrap();
    let _ = files.write_bytes(&path, "abc", WriteCondition::None).await.unwrap();
    let own = store.project(&id()).files().stat(&path, true).await.unwrap().unwrap();
    assert_eq!(files.stat(&path, true).await.unwrap(), Some(own.clone()));
    assert_eq!(files.read(&path, FileReadOptions::default()).await.unwrap().unwrap().info, own);
    let options = FileListOptions { etag: true, ..Default::default() };
    assert_eq!(files.list(options).await.unwrap().files, [own]);
}

#[tokio::test]
async fn a_subscription_outlives_the_daemon() {
    let store = store().await;
    let daemon = Daemon::start(&store).await;
    let (address, history) = (daemon.address, daemon.driver().project(&id()).history());
    let mut stream = history.subscribe(Start::Now).await.unwrap();
    assert!(matches!(stream.next().await, Some(Ok(LogEvent::CaughtUp { .. }))));
    daemon.stop().await;

    // While the daemon is away.
    store.project(&id()).history().append_value(&1).await.unwrap();
    let daemon = Daemon::start_at(&store, address).await;
    history.append_value(&2).await.unwrap();
    for seq in 1..=2 {
        let Some(Ok(LogEvent::Entry { entry, .. })) = stream.next().await else { panic!() };
        assert_eq!(entry.seq, seq);
    }
    daemon.stop().await;
}

/// The server refuses before it has read the body; the reason must come through all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_body_that_is_refused_early_gets_its_reason() {
    let daemon = Daemon::start(&store().await).await;
    let files = daemon.driver().project(&id()).files();
    let path = FilePath::new("a.bin").unwrap();
    let WriteOutcome::Written { etag, .. } = files.write_bytes(&path, "abc", WriteCondition::None).await.unwrap() else {
        panic!()
    };
    for _ in 0..20 {
        let piece = || Ok(Bytes::from(vec![7; 1 << 20]));
        let body = stream::iter((0..8).map(move |_| piece())).boxed();
        let outcome = files.write(&path, body, WriteCondition::Absent).await.unwrap();
        assert_eq!(outcome, WriteOutcome::Precondition { current: Some(etag) });
        let missing = daemon.driver().project(&ProjectId::new("missing").unwrap()).files();
        let body = stream::iter((0..8).map(move |_| piece())).boxed();
        assert_eq!(missing.write(&path, body, WriteCondition::None).await.unwrap_err().code(), "no_project");
    }
}
