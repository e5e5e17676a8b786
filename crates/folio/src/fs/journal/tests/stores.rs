//! Whole stores: what callers are answered, and what is there afterwards, when the journal or the disk fails.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;
use futures_util::FutureExt;
use rustix::io::Errno;

use crate::blob::WriteCondition;
use crate::driver::{Driver, Project};
use crate::error::Error;
use crate::ext::{BlobStoreExt, ProjectExt};
use crate::fs::journal::{Applying, Job, Weight};
use crate::fs::pace::Inline;
use crate::fs::store::Store;
use crate::fs::vfs::Looks;
use crate::fs::vfs::sim::{Fault, Sim};
use crate::fs::{FsDriver, FsOptions};
use crate::json::Json;
use crate::log::{AppendLog, AppendOptions, Data, ReadOptions};
use crate::name::{DocKey, FilePath, LogName, ProjectId};

fn options() -> FsOptions {
    FsOptions { segment_bytes: 900, ..FsOptions::default() }
}

async fn open(sim: &Sim) -> FsDriver {
    FsDriver::open_in(sim.root(), options()).await.unwrap()
}

async fn project(driver: &FsDriver) -> Arc<dyn Project> {
    let id = ProjectId::new("p").unwrap();
    driver.create_project(&id).await.unwrap();
    driver.project(&id)
}

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

fn key() -> DocKey {
    DocKey::new("doc").unwrap()
}

async fn doc(project: &Arc<dyn Project>) -> Option<String> {
    project.docs().get(&key()).await.unwrap().map(|document| document.value.to_string())
}

async fn append(log: &Arc<dyn AppendLog>, text: &str) -> crate::error::Result<()> {
    log.append(vec![Data::Json(json(text))], AppendOptions::default()).await.map(drop)
}

async fn entries(log: &Arc<dyn AppendLog>) -> usize {
    log.read(ReadOptions::default()).await.unwrap().entries.len()
}

fn on_one_thread<T>(work: impl Future<Output = T>) -> T {
    let _inline = Inline::begin();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// How many files the journal has.
fn segments(sim: &Sim) -> usize {
    sim.root().dir(".folio/journal").unwrap().unwrap().list().unwrap().count()
}

/// A log of several segments, and where it is asked for a fork of it. The journal has room for one record more before it
/// goes on in another segment, or, where `roomy`, for many.
async fn log_to_delete(sim: &Sim, fork: bool, roomy: bool) -> (FsDriver, Arc<dyn AppendLog>) {
    let driver = open(sim).await;
    let project = project(&driver).await;
    let mut log = project.log(&LogName::new("runs/1").unwrap());
    for n in 0..12 {
        append(&log, &format!("\"a line of some length, number {n}\"")).await.unwrap();
    }
    if fork {
        let name = LogName::new("forks/1").unwrap();
        log.fork(9, &name).await.unwrap();
        log = project.log(&name);
    }
    if !roomy {
        let (large, small) = FILL.get();
        for size in std::iter::repeat_n(LARGE, large).chain(std::iter::repeat_n(1, small)) {
            fill(&driver, size).await;
        }
    }
    (driver, log)
}

/// Digits of a document that takes some sectors of the journal.
const LARGE: usize = 20_000;

thread_local! {
    /// So many large records, and then small ones, leave no room in the first segment of the journal.
    static FILL: std::cell::Cell<(usize, usize)> = const { std::cell::Cell::new((0, 0)) };
}

async fn fill(driver: &FsDriver, size: usize) {
    let docs = driver.project(&ProjectId::new("p").unwrap()).docs();
    let _ = docs.put(&key(), json(&"1".repeat(size)), WriteCondition::None).await.unwrap();
}

async fn measure(fork: bool) {
    FILL.set((0, 0));
    for size in [LARGE, 1] {
        let sim = Sim::new(0);
        let (driver, _log) = log_to_delete(&sim, fork, false).await;
        let mut count = 0;
        loop {
            fill(&driver, size).await;
            if segments(&sim) > 1 {
                break;
            }
            count += 1;
        }
        let (large, _) = FILL.get();
        FILL.set(if size == LARGE { (count, 0) } else { (large, count) });
    }
}

/// Any one operation of a deletion fails, or finds the disk full: the answer is true.
#[test]
fn a_deletion_that_was_refused_has_not_happened() {
    on_one_thread(async {
        let mut seen = std::collections::BTreeMap::<&str, u32>::new();
        for case in 0..8 {
            let [fork, roomy, cuts] = [1, 2, 4].map(|bit| case & bit != 0);
            measure(fork).await;
            for fault in [Fault::Full, Fault::Fail(Errno::NOSPC), Fault::Fail(Errno::IO)] {
                for operation in 1_u64.. {
                    let (sim, name) = (Sim::new(operation), if fork { "forks/1" } else { "runs/1" });
                    let (driver, log) = log_to_delete(&sim, fork, roomy).await;
                    let (there, before, files) = (entries(&log).await, sim.operations(), segments(&sim));
                    sim.plan(operation, fault);
                    let code = log.delete().await.err().map_or("done", |error| error.code());
                    let past = sim.operations() - before < operation;
                    assert!(roomy || !past || segments(&sim) > files, "the journal had to go on in another segment");
                    sim.plan_nothing();
                    sim.set_room(None);
                    *seen.entry(code).or_default() += 1;
                    let what = format!("fork: {fork}, roomy: {roomy}, {fault:?} at operation {operation}: {code}");
                    let read = async |log: &Arc<dyn AppendLog>| log.read(ReadOptions::default()).await;
                    let live = read(&log).await.map(|page| page.entries.len()).map_err(|error| error.code());
                    drop((log, driver));
                    let after = if cuts { sim.cut(&mut fastrand::Rng::with_seed(operation)) } else { sim.kill() };
                    let driver = open(&after).await;
                    let log = driver.project(&ProjectId::new("p").unwrap()).log(&LogName::new(name).unwrap());
                    let reopened = read(&log).await.map(|page| page.entries.len()).map_err(|error| error.code());
                    match code {
                        "done" => assert_eq!((live, reopened), (Err("no_log"), Err("no_log")), "{what}"),
                        "outcome_unknown" => assert!([Ok(there), Err("no_log")].contains(&reopened), "{what}"),
                        _ => assert_eq!((live, reopened), (Ok(there), Ok(there)), "{what}"),
                    }
                    if past {
                        break;
                    }
                }
            }
        }
        assert!(["done", "outcome_unknown", "disk_full"].iter().all(|code| seen.contains_key(code)), "{seen:?}");
    });
}

/// A store in which a write of a large file failed at one operation, with what that was answered.
async fn failed(seed: u64, through: bool, operation: u64) -> (Sim, FsDriver, Option<Error>) {
    let sim = Sim::new(seed);
    sim.set_through(through);
    let driver = open(&sim).await;
    let p = project(&driver).await;
    fill(&driver, 1).await;
    let syncs = sim.count("sync");
    sim.plan(operation, Fault::Fail(Errno::IO));
    let large = Bytes::from(vec![7; 100_000]);
    let outcome = p.files().write_bytes(&FilePath::new("large").unwrap(), large, WriteCondition::None).await;
    sim.plan_nothing();
    // The body and its name are synced first; the third is the journal's.
    let by_sync = sim.count("sync") - syncs == 3;
    let error = outcome.err().filter(|error| error.code() == "outcome_unknown" && by_sync);
    (sim, driver, error)
}

/// The sync that a write waits for fails: the caller is told that nobody knows, writes are refused, reads go on. Opening
/// the store again decides, and heals it; a large body is there with its record, or removed with it.
#[test]
fn a_failed_sync_stops_the_writes_and_reopening_heals() {
    let first = fastrand::u64(..);
    on_one_thread(async {
        for through in [false, true] {
            let mut operation = 1;
            while failed(first, through, operation).await.2.is_none() {
                operation += 1;
                assert!(operation < 100, "no sync that a write waits for failed");
            }
            let (mut came, mut gone) = (0, 0);
            for seed in (0..60).map(|n| first.wrapping_add(n)) {
                let (sim, driver, error) = failed(seed, through, operation).await;
                assert!(error.is_some_and(|error| error.to_string().contains("journal")), "seed {seed}");
                let p = driver.project(&ProjectId::new("p").unwrap());
                let refused = p.docs().put(&key(), json("2"), WriteCondition::None).await.unwrap_err();
                assert_eq!((refused.code(), driver.ready().await.unwrap_err().code()), ("store_failed", "store_failed"));
                assert_eq!(doc(&p).await.as_deref(), Some("1"), "reads go on");
                drop((p, driver));
                let killed = seed % 4 == 0;
                let after = if killed { sim.kill() } else { sim.cut(&mut fastrand::Rng::with_seed(seed)) };
                let driver = open(&after).await;
                let p = driver.project(&ProjectId::new("p").unwrap());
                match p.files().read_bytes(&FilePath::new("large").unwrap()).await.unwrap() {
                    Some(bytes) => {
                        assert!(bytes == vec![7; 100_000], "seed {seed}: whole or not at all");
                        came += 1;
                    }
                    None => {
                        // Where the write is the sync, a part of the record may be all there is.
                        assert!(through || !killed, "seed {seed}: the record is seen, so its body must be there for it");
                        gone += 1;
                    }
                }
                assert!(driver.recovered().is_empty(), "seed {seed}: {:?}", driver.recovered());
                assert_eq!(after.root().dir(".folio/tmp").unwrap().unwrap().list().unwrap().count(), 0, "no body is left over");
                fill(&driver, 3).await;
                assert_eq!(doc(&p).await.as_deref(), Some("111"));
            }
            assert!(came > 0 && gone > 0, "seed {first}, through: {through}: {came} came, {gone} are gone");
        }
    });
}

/// Keeps the committer's thread busy until it is let go, and records nothing.
struct Busy(Sender<()>, Receiver<()>);

impl Job for Busy {
    fn prepare(&mut self, _: &mut Looks) -> Option<(Vec<u8>, Weight)> {
        self.0.send(()).unwrap();
        // Whoever held it may be gone.
        let _ = self.1.recv();
        None
    }

    fn finish(self: Box<Self>, _outcome: crate::error::Result<Applying>) {}
}

fn held_up(store: &Store) -> Sender<()> {
    let ((begun, begins), (go, goes_on)) = (channel(), channel());
    assert!(store.does(Box::new(Busy(begun, goes_on))));
    begins.recv().unwrap();
    go
}

/// Whoever gives up waiting has written all the same, once the write began.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_began_is_done_also_when_it_gave_up_waiting() {
    let sim = Sim::new(0);
    let driver = open(&sim).await;
    let p = project(&driver).await;
    let (docs, log, other) = (p.docs(), p.history(), p.log(&LogName::new("new").unwrap()));
    append(&log, "1").await.unwrap();
    let go = held_up(driver.store());
    let document = key();
    // Each is asked once, and then given up.
    assert!(docs.put(&document, json("1"), WriteCondition::None).now_or_never().is_none());
    assert!(append(&log, "2").now_or_never().is_none());
    assert!(append(&other, "1").now_or_never().is_none());
    drop(go);
    driver.close().await.unwrap();
    let driver = open(&sim.kill()).await;
    let p = driver.project(&ProjectId::new("p").unwrap());
    assert_eq!(doc(&p).await.as_deref(), Some("1"));
    assert_eq!(entries(&p.history()).await, 2);
    assert_eq!(entries(&p.log(&LogName::new("new").unwrap())).await, 1);
}

/// After a failed sync the system shows bytes that the medium does not hold. Replay writes them again, and does not stop
/// at finding them equal: what is read after the next open survives a power cut.
#[test]
fn equal_bytes_are_written_again_because_memory_lies() {
    let seed = fastrand::u64(..);
    on_one_thread(async {
        for seed in (0..60).map(|n| seed.wrapping_add(n)) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let sim = Sim::new(seed);
            let driver = open(&sim).await;
            let p = project(&driver).await;
            let (history, docs) = (p.history(), p.docs());
            append(&history, "\"first\"").await.unwrap();
            let _ = docs.put(&key(), json("\"first\""), WriteCondition::None).await.unwrap();
            driver.store().checkpoint().unwrap();
            append(&history, "\"second\"").await.unwrap();
            let _ = docs.put(&key(), json("\"second\""), WriteCondition::None).await.unwrap();
            // The checkpoint's sync fails, and calls what is lost synced.
            (1..5).for_each(|operation| sim.plan(operation, Fault::Fail(Errno::IO)));
            assert_eq!(driver.store().checkpoint().unwrap_err().code(), "outcome_unknown", "seed {seed}");
            drop((p, history, docs, driver));
            let again = sim.kill();
            let driver = open(&again).await;
            drop(driver);
            let last = again.cut(&mut rng);
            let driver = open(&last).await;
            let p = driver.project(&ProjectId::new("p").unwrap());
            assert_eq!(entries(&p.history()).await, 2, "seed {seed}");
            assert_eq!(doc(&p).await.as_deref(), Some("\"second\""), "seed {seed}");
        }
    });
}

/// A text editor replaces the log's file while the daemon runs, after a line was acknowledged and before the checkpoint:
/// the line lies in quarantine, and the log goes on with what is there.
#[tokio::test]
async fn a_line_in_a_file_that_an_editor_replaced_is_kept() {
    for edit in ["replaced", "removed"] {
        let temp = tempfile::tempdir().unwrap();
        let driver = FsDriver::open(temp.path(), options()).await.unwrap();
        let p = project(&driver).await;
        append(&p.history(), "\"kept\"").await.unwrap();
        driver.store().checkpoint().unwrap();
        append(&p.history(), "\"lost to the editor\"").await.unwrap();
        let path = temp.path().join("p/.meta/history.jsonl");
        let text = std::fs::read_to_string(&path).unwrap();
        let without: Vec<&str> = text.lines().filter(|line| !line.contains("editor")).collect();
        match edit {
            "replaced" => {
                std::fs::write(temp.path().join("editor"), without.join("\n") + "\n").unwrap();
                std::fs::rename(temp.path().join("editor"), &path).unwrap();
            }
            _ => std::fs::remove_file(&path).unwrap(),
        }
        append(&p.history(), "\"next\"").await.unwrap();
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(written.contains("next") && !written.contains("editor"), "{written}");
        driver.store().checkpoint().unwrap();
        let kept = std::fs::read_dir(temp.path().join(".folio/quarantine")).unwrap().map(|entry| entry.unwrap().path());
        let kept: Vec<String> = kept.map(|path| std::fs::read_to_string(path).unwrap()).collect();
        assert!(kept.iter().any(|text| text.starts_with("{\"seq\":2") && text.contains("editor")), "{edit}: {kept:?}");
        driver.close().await.unwrap();
    }
}

/// One link on the way of one record: the store opens, tells it, and has everything else.
#[tokio::test]
async fn a_link_on_the_way_of_a_record_does_not_hinder_the_open() {
    let temp = tempfile::tempdir().unwrap();
    let driver = FsDriver::open(temp.path(), options()).await.unwrap();
    let p = project(&driver).await;
    let write = async |path: &str| {
        let path = FilePath::new(path).unwrap();
        let _ = p.files().write_bytes(&path, Bytes::from("acknowledged"), WriteCondition::None).await.unwrap();
    };
    write("sub/file").await;
    write("other").await;
    drop((p, driver));
    std::fs::rename(temp.path().join("p/sub"), temp.path().join("elsewhere")).unwrap();
    std::fs::remove_file(temp.path().join("elsewhere/file")).unwrap();
    std::os::unix::fs::symlink("../elsewhere", temp.path().join("p/sub")).unwrap();
    let driver = FsDriver::open(temp.path(), options()).await.unwrap();
    assert!(driver.recovered().iter().any(|note| note.contains("p/sub/file") && note.contains("quarantine")));
    let p = driver.project(&ProjectId::new("p").unwrap());
    let other = p.files().read_bytes(&FilePath::new("other").unwrap()).await.unwrap();
    assert_eq!(other.as_deref(), Some(&b"acknowledged"[..]));
    let kept = std::fs::read_dir(temp.path().join(".folio/quarantine")).unwrap().map(|entry| entry.unwrap().path());
    assert!(kept.map(|path| std::fs::read(path).unwrap()).any(|bytes| bytes == b"acknowledged"));
    assert!(!temp.path().join("elsewhere/file").exists());
}
