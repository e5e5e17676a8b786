//! What an open store makes of other programs' edits, and of calls that run at the same time.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::runtime::Handle;

use super::rig::{Rig, append, json, page, texts, told};
use crate::driver::Driver;
use crate::fs::journal::Job;
use crate::fs::log::core::Worker;
use crate::fs::log::quick::Quick;
use crate::log::{AppendLog, AppendOptions};
use crate::name::{LogName, ProjectId};

/// Replaces the history by one with the same seqs and other entries.
async fn swap_history(rig: &Rig) {
    let text = rig.text("history.jsonl");
    let other = Rig::new();
    let log = other.history();
    for n in 1..=text.lines().count() - 1 {
        append(&log, &[&format!("\"other {n}\"")]).await;
    }
    std::fs::write(rig.path("other"), other.text("history.jsonl")).unwrap();
    std::fs::rename(rig.path("other"), rig.path("history.jsonl")).unwrap();
}

#[tokio::test]
async fn a_swapped_file_is_not_mixed_with_what_was_followed() {
    let rig = Rig::new();
    let log = rig.history();
    let following = log.subscribe(crate::log::Start::Now).await.unwrap();
    for n in 1..=3 {
        append(&log, &[&n.to_string()]).await;
    }
    swap_history(&rig).await;
    assert_eq!(texts(&page(&log, None).await.entries)[0].1, "\"other 1\"");
    append(&log, &["4"]).await;
    let mut seen = Vec::new();
    let mut stream = log.subscribe(crate::log::Start::After("0".parse().unwrap())).await.unwrap();
    use futures_util::StreamExt;
    while let Some(Ok(event)) = stream.next().await {
        match event {
            crate::log::LogEvent::Entry { entry, .. } => seen.push(entry),
            crate::log::LogEvent::CaughtUp { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(texts(&seen), texts(&page(&log, None).await.entries));
    drop(following);
}

/// What a fork notices is not forgotten by the next write.
#[tokio::test]
async fn a_cut_that_a_fork_notices_begins_a_new_piece() {
    let rig = Rig::new();
    let log = rig.history();
    for n in 1..=3 {
        append(&log, &[&n.to_string()]).await;
    }
    let head = page(&log, None).await.head;
    let text = rig.text("history.jsonl");
    let cut = text.find("{\"seq\":3,").unwrap();
    std::fs::OpenOptions::new().write(true).open(rig.path("history.jsonl")).unwrap().set_len(cut as u64).unwrap();
    log.fork(2, &LogName::new("fork").unwrap()).await.unwrap();
    assert!(append(&log, &["\"other 3\""]).await.cursor.epoch > head.epoch);
    assert_eq!(told(&log, &head.to_string()).await, "epoch:0>2 3");
}

/// The folder of a project that is in use was given another name.
#[tokio::test]
async fn a_project_that_was_moved_away_is_gone() {
    let rig = Rig::new();
    let log = rig.history();
    append(&log, &["1"]).await;
    std::fs::rename(rig.root().join("p"), rig.root().join("q")).unwrap();
    assert_eq!(log.append(vec![json("2")], AppendOptions::default()).await.unwrap_err().code(), "no_project");
    assert_eq!(log.status().await.unwrap_err().code(), "no_project");
    std::fs::create_dir_all(rig.path("")).unwrap();
    assert_eq!(append(&log, &["\"new\""]).await.first, 1);
    assert_eq!(std::fs::read_to_string(rig.root().join("q/.meta/history.jsonl")).unwrap().lines().count(), 2);
}

#[tokio::test]
async fn a_history_that_appears_is_read() {
    let rig = Rig::new();
    let log = rig.history();
    assert_eq!(page(&log, None).await.head.seq, 0);
    rig.write("history.jsonl", "{\"seq\":1,\"ts\":1,\"data\":1}\n");
    assert_eq!(page(&log, None).await.head.seq, 1);
}

/// A log must not be looked at while its project is taken away, or what was seen of the old one would be kept.
#[tokio::test]
async fn looking_at_a_log_waits_for_the_deletion_of_its_project() {
    let rig = Rig::new();
    append(&rig.log("other"), &["1"]).await;
    let alone = rig.store.gates.alone(&ProjectId::new("p").unwrap()).await;
    let log = rig.history();
    let looking = tokio::spawn(async move { log.status().await });
    // time enough for a look that does not wait
    for _ in 0..20 {
        rig.store.run(|_| Ok(())).await.unwrap();
    }
    assert!(!looking.is_finished());
    drop(alone);
    looking.await.unwrap().unwrap();
}

/// Making a project voids what is known of its logs, so nobody may be at work on them.
#[tokio::test]
async fn a_project_is_made_when_nobody_writes_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let driver = crate::fs::FsDriver::open(folder.path(), crate::fs::FsOptions::default()).await.unwrap();
    let (id, copy) = (ProjectId::new("p").unwrap(), ProjectId::new("copy").unwrap());
    let store = driver.store().clone();
    let writer = store.gates.shared(&id).await;
    let making = tokio::spawn({
        let (driver, id) = (driver.clone(), id.clone());
        async move { driver.create_project(&id).await }
    });
    for _ in 0..20 {
        store.run(|_| Ok(())).await.unwrap();
    }
    assert!(!making.is_finished());
    drop(writer);
    assert!(making.await.unwrap().unwrap());
    // the target of a fork, too
    let writer = store.gates.shared(&copy).await;
    let forking = tokio::spawn({
        let (driver, id, copy) = (driver.clone(), id.clone(), copy.clone());
        async move { driver.fork_project(&id, &copy).await }
    });
    for _ in 0..20 {
        store.run(|_| Ok(())).await.unwrap();
    }
    assert!(!forking.is_finished());
    drop(writer);
    forking.await.unwrap().unwrap();
    assert!(driver.fork_project(&id, &id).now_or_never().is_none_or(|forked| forked.is_err()));
    assert_eq!(driver.fork_project(&id, &id).await.unwrap_err().code(), "exists");
}

/// The folder of a project in use, or one in it, is replaced by a link to where it was moved: the same file is found, but
/// links are not followed, for writing no more than for reading.
#[tokio::test]
async fn a_link_that_comes_on_the_way_is_not_followed_to_the_same_file() {
    for folder in ["p", "p/.meta", "p/.meta/logs"] {
        let rig = Rig::new();
        let log = rig.log("runs/1");
        append(&log, &["1"]).await;
        append(&log, &["2"]).await;
        let (at, moved) = (rig.root().join(folder), rig.root().join("moved"));
        std::fs::rename(&at, &moved).unwrap();
        std::os::unix::fs::symlink(&moved, &at).unwrap();
        let refused = log.append(vec![json("3")], AppendOptions::default()).await.unwrap_err();
        assert!(refused.to_string().contains("symbolic link stands on the way"), "{folder}: {refused}");
        std::fs::remove_file(&at).unwrap();
        std::fs::rename(&moved, &at).unwrap();
        assert_eq!(append(&log, &["3"]).await.last, 3, "{folder}");
    }
}

/// Whoever waits for a worker that panics, or is lost with its thread, is told so, and the next call finds nobody at work.
#[tokio::test]
async fn a_worker_that_is_gone_leaves_nobody_waiting() {
    for panics in [true, false] {
        let rig = Rig::new();
        let log = rig.history();
        append(&log, &["1"]).await;
        let core = rig.logs.core(&ProjectId::new("p").unwrap(), &LogName::history());
        // In the place of the worker, so that none begins.
        let lease = core.lease().await.unwrap();
        let mut waiting = log.append(vec![json("2")], AppendOptions::default());
        assert!((&mut waiting).now_or_never().is_none());
        if panics {
            let work = || -> () {
                let _worker = Worker::on(&core);
                panic!("as work may");
            };
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
        } else {
            Box::new(Quick::new(Arc::clone(&core), Handle::current())).lost();
        }
        assert_eq!(waiting.now_or_never().expect("it is told").unwrap_err().code(), "outcome_unknown");
        drop(lease);
        assert_eq!(append(&log, &["3"]).await.last, 2);
    }
}
