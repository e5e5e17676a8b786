use std::sync::Barrier;

use super::*;
use crate::clock::ManualClock;

fn at(now_ms: u64, durability: Durability) -> FsOptions {
    FsOptions { durability, clock: Arc::new(ManualClock::new(now_ms)), ..FsOptions::default() }
}

fn sync() -> FsOptions {
    at(1_000, Durability::Sync)
}

#[tokio::test]
async fn a_root_is_made_and_held_until_it_is_closed() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("new/root");
    let store = Store::open(&path, sync()).unwrap();
    for folder in ["", "/journal", "/tmp", "/quarantine"] {
        use std::os::unix::fs::PermissionsExt;
        let meta = std::fs::metadata(path.join(format!(".folio{folder}"))).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o700);
    }
    store.announce("http://127.0.0.1:1").unwrap();
    let error = Store::open(&path, sync()).unwrap_err();
    assert!(matches!(&error, Error::Locked { address: Some(_), .. }), "{error}");
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert_eq!(store.run(|_| Ok(())).await.unwrap_err().code(), "invalid");
    assert!(store.announce("x").is_err());
    Store::open(&path, sync()).unwrap();
}

#[tokio::test]
async fn closing_waits_for_what_runs_also_when_nobody_waits_for_it() {
    let temp = tempfile::tempdir().unwrap();
    let store = Store::open(temp.path(), sync()).unwrap();
    let gate = Arc::new(Barrier::new(2));
    let (inside, path) = (Arc::clone(&gate), temp.path().join("late"));
    let call = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let work = move |_: &Arc<Store>| {
                inside.wait();
                inside.wait();
                std::fs::write(path, "x").map_err(|e| Error::invalid(e.to_string()))
            };
            store.run(work).await
        }
    });
    let entered = tokio::task::spawn_blocking({
        let gate = Arc::clone(&gate);
        move || gate.wait()
    });
    entered.await.unwrap();
    call.abort();
    let closing = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.close().await }
    });
    tokio::task::yield_now().await;
    assert!(!closing.is_finished());
    tokio::task::spawn_blocking(move || gate.wait()).await.unwrap();
    closing.await.unwrap().unwrap();
    assert!(temp.path().join("late").exists());
}

#[test]
fn leftovers_in_tmp_go_and_a_newer_root_is_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    drop(Store::open(temp.path(), sync()).unwrap());
    let tmp = temp.path().join(".folio/tmp");
    std::fs::create_dir(tmp.join("half")).unwrap();
    std::fs::write(tmp.join("half/file"), "x").unwrap();
    drop(Store::open(temp.path(), sync()).unwrap());
    assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0);

    std::fs::write(tmp.join("theirs"), "x").unwrap();
    std::fs::write(temp.path().join(".folio/root.json"), r#"{"format":2}"#).unwrap();
    assert_eq!(Store::open(temp.path(), sync()).unwrap_err().code(), "newer_format");
    assert!(tmp.join("theirs").exists());
}

#[tokio::test]
async fn an_unclean_end_of_a_weak_mode_begins_a_new_life() {
    for weak in [Durability::Interval, Durability::Os] {
        let temp = tempfile::tempdir().unwrap();
        let open = |now, durability| Store::open(temp.path(), at(now, durability)).unwrap();
        let store = open(1_000, Durability::Sync);
        assert_eq!(store.life(), 0);
        drop(store);
        let store = open(2_000, weak);
        assert_eq!(store.life(), 0, "a sync mode that just ended loses nothing");
        let given = store.next_epoch(0).unwrap();
        store.close().await.unwrap();
        let store = open(500, weak);
        assert_eq!(store.life(), 0, "closed cleanly");
        assert!(store.next_epoch(0).unwrap() > given);
        drop(store);
        let store = open(500, Durability::Sync);
        let life = store.life();
        assert!(life > given, "not closed: {life} after {given}");
        drop(store);
        let store = open(500, weak);
        assert_eq!(store.life(), life, "told once");
        drop(store);
        assert!(open(500, weak).life() > life, "not closed again");
    }
}

#[tokio::test]
async fn a_clean_end_returns_unused_epochs() {
    let temp = tempfile::tempdir().unwrap();
    for _ in 0..20 {
        let store = Store::open(temp.path(), sync()).unwrap();
        store.next_epoch(0).unwrap();
        store.close().await.unwrap();
    }
    let store = Store::open(temp.path(), sync()).unwrap();
    assert_eq!(store.next_epoch(0).unwrap(), 1_020, "20 restarts, 20 epochs");
}

#[test]
fn projects_are_real_folders() {
    let temp = tempfile::tempdir().unwrap();
    let store = Store::open(&temp.path().join("root"), sync()).unwrap();
    let root = temp.path().join("root");
    std::fs::create_dir(temp.path().join("outside")).unwrap();
    std::os::unix::fs::symlink("../outside", root.join("link")).unwrap();
    std::fs::write(root.join("file"), "x").unwrap();
    std::fs::create_dir(root.join("real")).unwrap();
    let dir = |id: &str| store.project_dir(&ProjectId::new(id).unwrap());
    assert_eq!(dir("real").unwrap().path(), root.join("real"));
    for id in ["link", "file", "missing"] {
        assert_eq!(dir(id).unwrap_err(), Error::NoProject { id: id.into() });
    }
}

#[test]
fn memory_is_no_durability_of_files() {
    let temp = tempfile::tempdir().unwrap();
    assert_eq!(Store::open(&temp.path().join("x"), at(0, Durability::Memory)).unwrap_err().code(), "invalid");
    assert!(!temp.path().join("x").exists());
}
