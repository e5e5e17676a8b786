use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::*;
use crate::blob::{FileListOptions, FileReadOptions, WriteCondition};
use crate::docs::DocListOptions;
use crate::ext::{AppendLogExt, BlobStoreExt, JsonKvExt, ProjectExt};
use crate::name::{DocKey, FilePath, LogName};
use crate::{Cursor, Durability, ReadOptions, Start};

async fn open(root: &Path) -> FsDriver {
    FsDriver::open(root, FsOptions::default()).await.unwrap()
}

fn id(name: &str) -> ProjectId {
    ProjectId::new(name).unwrap()
}

fn key(name: &str) -> DocKey {
    DocKey::new(name).unwrap()
}

fn path(name: &str) -> FilePath {
    FilePath::new(name).unwrap()
}

async fn ids(driver: &FsDriver) -> Vec<String> {
    driver.list_projects(None, 10_000).await.unwrap().projects.iter().map(ToString::to_string).collect()
}

/// Everything below a folder: bytes, inode, times and links, so that any touch shows. Folio's own folder left out.
fn everything(root: &Path) -> BTreeMap<PathBuf, (u64, i64, i64, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            if path == root.join(".folio") {
                continue;
            }
            let bytes = if meta.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
            if meta.is_dir() {
                left.push(path.clone());
            }
            all.insert(path, (meta.ino(), meta.mtime_nsec(), meta.ctime_nsec(), bytes));
        }
    }
    all
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_folder_of_projects_of_another_tool_is_read_without_a_touch() {
    let temp = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/fixtures/studio");
    copy_folder(&fixture, temp.path());
    let before = everything(temp.path());
    let driver = open(temp.path()).await;
    let projects = ids(&driver).await;
    assert_eq!(projects, ["empty-project", "log-server", "odd-values", "streams-site", "torn-tail"]);
    assert!(!driver.create_project(&id("empty-project")).await.unwrap(), "it is a project, also without .meta");
    for project in &projects {
        let project = driver.project(&id(project));
        let list = project.files().list(FileListOptions { etag: true, ..FileListOptions::default() }).await.unwrap();
        for file in list.files {
            assert!(project.files().read(&file.path, FileReadOptions::default()).await.unwrap().is_some());
        }
        let docs = project.docs().list(DocListOptions { etag: true, ..DocListOptions::default() }).await.unwrap();
        for doc in docs.docs {
            match project.docs().get(&doc.key).await {
                Ok(found) => assert_eq!(found.map(|found| found.etag), doc.etag),
                Err(error) => assert_eq!((error.code(), doc.key.as_str()), ("damaged", "broken")),
            }
        }
        project.history().read(ReadOptions::default()).await.unwrap();
        drop(project.history().subscribe(Start::After(Cursor::START)).await.unwrap());
        drop(project.changes().await.unwrap());
        assert_eq!(project.list_logs(None, 10).await.unwrap().logs, [LogName::history()]);
    }
    let site = driver.project(&id("streams-site"));
    assert!(site.files().exists(&path("uploads/notes ünï.txt")).await.unwrap());
    assert!(driver.shared().get(&key("assets")).await.unwrap().is_some());
    let ink = CollectionName::new("design_systems").unwrap();
    assert!(driver.collection(&ink).get(&key("ink")).await.unwrap().is_some());
    driver.close().await.unwrap();
    assert_eq!(everything(temp.path()), before);
}

#[tokio::test]
async fn only_real_folders_of_a_valid_name_are_projects() {
    let temp = tempfile::tempdir().unwrap();
    let (root, outside) = (temp.path().join("root"), temp.path().join("outside"));
    std::fs::create_dir_all(root.join("real")).unwrap();
    std::fs::create_dir_all(root.join("no project")).unwrap();
    std::fs::create_dir_all(root.join(".hidden")).unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(root.join("file"), "x").unwrap();
    symlink(&outside, root.join("link")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    let driver = open(&root).await;
    assert_eq!(ids(&driver).await, ["real"]);
    for name in ["file", "link", "dangling"] {
        assert!(!driver.has_project(&id(name)).await.unwrap());
        assert!(!driver.delete_project(&id(name)).await.unwrap());
        let error = driver.create_project(&id(name)).await.unwrap_err();
        assert_eq!(error.code(), "path_conflict", "{error}");
        let error = driver.fork_project(&id("real"), &id(name)).await.unwrap_err();
        assert_eq!(error.code(), "path_conflict", "{error}");
        let project = driver.project(&id(name));
        assert_eq!(project.history().append_value(&1).await.unwrap_err(), Error::NoProject { id: name.into() });
        let written = project.files().write_bytes(&path("f"), "x", WriteCondition::None).await;
        assert_eq!(written.unwrap_err(), Error::NoProject { id: name.into() });
    }
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(root.join(".folio/tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_deleted_project_takes_no_room_and_nothing_else_goes_with_it() {
    let temp = tempfile::tempdir().unwrap();
    let (root, outside) = (temp.path().join("root"), temp.path().join("outside"));
    std::fs::create_dir_all(root.join("p/a/b/.hidden")).unwrap();
    std::fs::write(&outside, "x").unwrap();
    symlink(&outside, root.join("p/a/link")).unwrap();
    let driver = open(&root).await;
    driver.project(&id("p")).history().append_value(&1).await.unwrap();
    assert!(driver.delete_project(&id("p")).await.unwrap());
    assert!(!driver.delete_project(&id("p")).await.unwrap());
    assert!(!root.join("p").exists() && outside.exists());
    assert_eq!(std::fs::read_dir(root.join(".folio/tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_second_driver_is_told_who_has_the_root() {
    let temp = tempfile::tempdir().unwrap();
    let options = FsOptions { holder: "folio serve".into(), ..FsOptions::default() };
    let first = FsDriver::open(temp.path(), options).await.unwrap();
    first.announce("http://127.0.0.1:7460").await.unwrap();
    let error = FsDriver::open(temp.path(), FsOptions::default()).await.unwrap_err();
    let Error::Locked { holder, address, .. } = &error else { panic!("{error}") };
    assert!(holder.starts_with("folio serve (pid "), "{error}");
    assert_eq!(address.as_deref(), Some("http://127.0.0.1:7460"));
    first.close().await.unwrap();
    let second = open(temp.path()).await;
    assert_eq!(first.has_project(&id("p")).await.unwrap_err().code(), "invalid", "closed");
    drop(second);
    open(temp.path()).await;
}

/// A writer puts the number of its newest entry into a document, after it appended it. A copy that is of one moment never
/// shows a document that is ahead of the log, or more than one behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_copy_is_of_one_moment() {
    let temp = tempfile::tempdir().unwrap();
    let options = FsOptions { durability: Durability::Os, ..FsOptions::default() };
    let driver = FsDriver::open(temp.path(), options).await.unwrap();
    driver.create_project(&id("p")).await.unwrap();
    // So that the copying takes a while.
    (0..300).for_each(|n| std::fs::write(temp.path().join(format!("p/.meta/filler{n}.json")), "1").unwrap());
    let done = Arc::new(tokio::sync::Notify::new());
    let writer = tokio::spawn({
        let (project, done) = (driver.project(&id("p")), Arc::clone(&done));
        async move {
            let mut stop = std::pin::pin!(done.notified());
            for n in 1_u64.. {
                if stop.as_mut().now_or_never().is_some() {
                    return n;
                }
                assert_eq!(project.history().append_value(&n).await.unwrap().last, n);
                for name in ["a", "b"] {
                    let _ = project.docs().put_value(&key(name), &n, WriteCondition::None).await.unwrap();
                }
                let bytes = vec![(n % 256) as u8; 100_000];
                let _ = project.files().write_bytes(&path("whole"), bytes, WriteCondition::None).await.unwrap();
            }
            0
        }
    });
    for n in 0..15 {
        let copy = id(&format!("copy{n}"));
        driver.fork_project(&id("p"), &copy).await.unwrap();
        let copy = driver.project(&copy);
        let head = copy.history().status().await.unwrap().head.seq;
        let mut newest = head;
        for name in ["a", "b"] {
            let doc: u64 = copy.docs().get_as(&key(name)).await.unwrap().map_or(0, |(n, _)| n);
            assert!(doc == newest || doc + 1 == newest, "the log is at {head}, then came {newest}, {name} is at {doc}");
            newest = doc;
        }
        if let Some(bytes) = copy.files().read_bytes(&path("whole")).await.unwrap() {
            assert!(bytes.len() == 100_000 && bytes.iter().all(|byte| *byte == bytes[0]), "a file is whole");
        }
    }
    done.notify_one();
    assert!(writer.await.unwrap() > 1);
}

#[tokio::test]
async fn a_copy_has_what_is_of_folio_byte_for_byte() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path();
    std::fs::create_dir_all(root.join("p/.meta/other")).unwrap();
    std::fs::create_dir_all(root.join("p/bin/empty")).unwrap();
    std::fs::write(root.join("p/bin/run.sh"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(root.join("p/bin/run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(root.join("p/.meta/bad.json"), "{").unwrap();
    std::fs::write(root.join("p/.hidden"), "x").unwrap();
    symlink("bin/run.sh", root.join("p/link")).unwrap();
    let driver = open(root).await;
    let before = everything(&root.join("p"));
    driver.fork_project(&id("p"), &id("q")).await.unwrap();
    assert_eq!(everything(&root.join("p")), before, "the source is not touched");
    let copied: Vec<PathBuf> = everything(&root.join("q")).into_keys().collect();
    let expected = [".meta", ".meta/bad.json", "bin", "bin/run.sh"].map(|at| root.join("q").join(at));
    assert_eq!(copied, expected);
    assert_eq!(std::fs::read(root.join("q/.meta/bad.json")).unwrap(), b"{");
    assert_eq!(std::fs::metadata(root.join("q/bin/run.sh")).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(driver.fork_project(&id("p"), &id("q")).await.unwrap_err().code(), "exists");
    assert_eq!(driver.fork_project(&id("none"), &id("r")).await.unwrap_err().code(), "no_project");
    assert_eq!(std::fs::read_dir(root.join(".folio/tmp")).unwrap().count(), 0);
}

/// Who waits for the store has nothing that others wait for, so calls and closing never wait in a circle.
#[tokio::test]
async fn a_call_that_comes_while_the_driver_closes_holds_up_nobody() {
    let temp = tempfile::tempdir().unwrap();
    let driver = open(temp.path()).await;
    driver.create_project(&id("p")).await.unwrap();
    let store = Arc::clone(driver.store());
    let running = store.enter().await.unwrap();
    let mut closing = driver.close();
    assert!((&mut closing).now_or_never().is_none(), "it waits for what runs");

    let (p, q, one, none) = (id("p"), id("q"), key("a"), WriteCondition::None);
    let (project, at, fork) = (driver.project(&p), path("f"), LogName::new("fork").unwrap());
    let (docs, files, log) = (project.docs(), project.files(), project.history());
    let mut calls: Vec<BoxFuture<'_, Result<()>>> = vec![
        docs.put_value(&one, &1, none).map(|done| done.map(drop)).boxed(),
        docs.patch(&one, crate::Json::parse(b"{}").unwrap(), none).map(|done| done.map(drop)).boxed(),
        docs.delete(&one, none).map(|done| done.map(drop)).boxed(),
        files.write_bytes(&at, "x", none).map(|done| done.map(drop)).boxed(),
        files.delete(&at, none).map(|done| done.map(drop)).boxed(),
        log.append_value(&1).map(|done| done.map(drop)).boxed(),
        log.truncate(1).map(|done| done.map(drop)).boxed(),
        log.fork(0, &fork).boxed(),
        driver.delete_project(&p).map(|done| done.map(drop)).boxed(),
        driver.fork_project(&p, &q).boxed(),
    ];
    for (n, call) in calls.iter_mut().enumerate() {
        assert!(call.now_or_never().is_none(), "call {n} waits");
        assert!(store.gates.alone(&p).now_or_never().is_some(), "call {n} keeps the project meanwhile");
    }
    drop(running);
    closing.await.unwrap();
    for call in calls {
        assert_eq!(call.await.unwrap_err().code(), "invalid", "the store is closed");
    }
    open(temp.path()).await;
}
