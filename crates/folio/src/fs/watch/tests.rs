use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};

use super::*;
use crate::blob::{BlobStore, WriteCondition};
use crate::change::{Change, ChangeStream, Target};
use crate::docs::JsonKv;
use crate::etag::Etag;
use crate::ext::BlobStoreExt;
use crate::fs::docs::FsDocs;
use crate::fs::files::FsFiles;
use crate::fs::options::FsOptions;
use crate::fs::store::Store;
use crate::hub::Filter;
use crate::name::{CollectionName, DocKey, FilePath, ProjectId};
use crate::{Durability, Json};

struct Root {
    temp: tempfile::TempDir,
    store: Arc<Store>,
}

impl Root {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(temp.path(), FsOptions { durability: Durability::Os, ..FsOptions::default() }).unwrap();
        std::fs::create_dir(temp.path().join("p")).unwrap();
        Self { temp, store }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.temp.path().join(path)
    }

    fn write(&self, path: &str, bytes: &str) {
        std::fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        std::fs::write(self.at(path), bytes).unwrap();
    }

    fn files(&self) -> FsFiles {
        FsFiles::new(Arc::clone(&self.store), id())
    }

    async fn listen(&self, scope: &Scope) -> Events {
        let mut events = Events(self.store.subscribe(scope, Filter::All).await.unwrap());
        assert_eq!(events.next().await, Some(Change::Ready));
        events
    }
}

struct Events(ChangeStream);

impl Events {
    async fn next(&mut self) -> Option<Change> {
        let next = tokio::time::timeout(Duration::from_secs(20), self.0.next()).await;
        next.expect("an event within 20 seconds").map(Result::unwrap)
    }

    async fn take(&mut self, count: usize) -> Vec<Change> {
        let mut taken = Vec::new();
        for _ in 0..count {
            taken.push(self.next().await.expect("the stream goes on"));
        }
        taken.sort_by_key(|change| format!("{change:?}"));
        taken
    }

    /// Changes `marker` and expects that nothing else is told before.
    async fn nothing_until(&mut self, root: &Root, marker: &str) {
        root.write(&format!("p/{marker}"), marker);
        assert_eq!(self.next().await, Some(put(marker, marker)));
    }
}

fn id() -> ProjectId {
    ProjectId::new("p").unwrap()
}

fn project() -> Scope {
    Scope::Project(id())
}

fn file(path: &str) -> Target {
    Target::File(FilePath::new(path).unwrap())
}

fn doc(key: &str) -> Target {
    Target::Doc(DocKey::new(key).unwrap())
}

fn put(path: &str, text: &str) -> Change {
    Change::Put { target: file(path), etag: Some(Etag::of(text.as_bytes())) }
}

fn put_doc(key: &str, text: &str) -> Change {
    Change::Put { target: doc(key), etag: Some(Etag::of(text.as_bytes())) }
}

fn delete(path: &str) -> Change {
    Change::Delete { target: file(path) }
}

#[tokio::test]
async fn edits_of_other_programs_are_told_with_their_tag() {
    let root = Root::new();
    root.write("p/old.txt", "old");
    let mut events = root.listen(&project()).await;
    root.write("p/a.txt", "one");
    assert_eq!(events.next().await, Some(put("a.txt", "one")));
    root.write("p/a.txt", "two");
    assert_eq!(events.next().await, Some(put("a.txt", "two")));
    std::fs::remove_file(root.at("p/a.txt")).unwrap();
    assert_eq!(events.next().await, Some(delete("a.txt")));
    std::fs::rename(root.at("p/old.txt"), root.at("p/new.txt")).unwrap();
    assert_eq!(events.take(2).await, [delete("old.txt"), put("new.txt", "old")]);
    root.write("p/.meta/d.json", "[1");
    assert_eq!(events.next().await, Some(put_doc("d", "[1")), "also of a folder of documents that came later, and damaged");
    std::fs::remove_file(root.at("p/.meta/d.json")).unwrap();
    assert_eq!(events.next().await, Some(Change::Delete { target: doc("d") }));
}

#[tokio::test]
async fn a_program_that_keeps_its_file_open_is_heard() {
    let root = Root::new();
    let mut open = std::fs::File::create(root.at("p/a")).unwrap();
    let mut events = root.listen(&project()).await;
    for text in ["one", "onetwo"] {
        open.write_all(&text.as_bytes()[text.len() - 3..]).unwrap();
        assert_eq!(events.next().await, Some(put("a", text)));
    }
}

#[tokio::test]
async fn own_writes_are_told_at_once_and_not_echoed() {
    let root = Root::new();
    let mut events = root.listen(&project()).await;
    let (files, docs) = (root.files(), FsDocs::new(Arc::clone(&root.store), project()));
    let _ = files.write_bytes(&FilePath::new("a/b").unwrap(), "x", WriteCondition::None).await.unwrap();
    assert_eq!(events.0.next().now_or_never().unwrap().unwrap().unwrap(), put("a/b", "x"), "without waiting");
    for n in 0..3 {
        let _ = docs.put(&DocKey::new("d").unwrap(), Json::parse(b"1").unwrap(), WriteCondition::None).await.unwrap();
        let told = events.0.next().now_or_never().unwrap().unwrap().unwrap();
        assert_eq!(told, put_doc("d", "1\n"), "write {n}");
    }
    let _ = files.write_bytes(&FilePath::new("gone").unwrap(), "x", WriteCondition::None).await.unwrap();
    let _ = files.delete(&FilePath::new("gone").unwrap(), WriteCondition::None).await.unwrap();
    assert_eq!(events.take(2).await, [delete("gone"), put("gone", "x")]);
    events.nothing_until(&root, "marker").await;
    // The same bytes again are no change, whoever wrote them.
    root.write("p/a/b", "x");
    events.nothing_until(&root, "marker2").await;
}

#[tokio::test]
async fn what_is_left_out_is_not_told() {
    let root = Root::new();
    root.write("p/node_modules/x/index.js", "");
    let mut events = root.listen(&project()).await;
    for path in [
        "p/node_modules/x/index.js",
        "p/sub/node_modules/y",
        "p/.git/HEAD",
        "p/.hidden",
        "p/sub/.hidden/z",
        "p/.meta/history.jsonl",
        "p/.meta/history.d/00000000000000000001.jsonl",
        "p/.meta/logs/runs/42.jsonl",
        "p/.meta/odd name.json",
        "q/other",
    ] {
        root.write(path, "x");
    }
    std::os::unix::fs::symlink("../q", root.at("p/link")).unwrap();
    root.write("q/behind-the-link", "x");
    events.nothing_until(&root, "marker").await;
}

#[tokio::test]
async fn new_folders_are_included_with_what_is_in_them() {
    let root = Root::new();
    let mut events = root.listen(&project()).await;
    root.write("p/a/b/c/deep", "1");
    assert_eq!(events.next().await, Some(put("a/b/c/deep", "1")));
    root.write("p/a/b/c/deep", "2");
    assert_eq!(events.next().await, Some(put("a/b/c/deep", "2")));
    root.write("elsewhere/t/one", "1");
    root.write("elsewhere/t/u/two", "2");
    std::fs::rename(root.at("elsewhere/t"), root.at("p/t")).unwrap();
    assert_eq!(events.take(2).await, [put("t/one", "1"), put("t/u/two", "2")]);
}

#[tokio::test]
async fn a_moved_folder_is_told_as_a_rescan_and_followed() {
    let root = Root::new();
    root.write("p/a/b/f", "1");
    let mut events = root.listen(&project()).await;
    std::fs::rename(root.at("p/a"), root.at("p/moved")).unwrap();
    assert_eq!(events.next().await, Some(Change::Rescan));
    root.write("p/moved/b/f", "2");
    assert_eq!(events.next().await, Some(put("moved/b/f", "2")));
    std::fs::rename(root.at("p/moved"), root.at("away")).unwrap();
    assert_eq!(events.next().await, Some(Change::Rescan));
    root.write("away/b/f", "3");
    events.nothing_until(&root, "marker").await;
    std::fs::remove_dir_all(root.at("away")).unwrap();
}

#[tokio::test]
async fn a_folder_that_is_removed_tells_of_its_files() {
    let root = Root::new();
    root.write("p/a/one", "1");
    root.write("p/a/b/two", "2");
    let mut events = root.listen(&project()).await;
    std::fs::remove_dir_all(root.at("p/a")).unwrap();
    assert_eq!(events.take(2).await, [delete("a/b/two"), delete("a/one")]);
    std::fs::remove_dir_all(root.at("p")).unwrap();
    assert_eq!(events.next().await, None, "a project that is gone ends its streams");
}

#[tokio::test]
async fn documents_outside_projects_are_told_from_their_first_folder_on() {
    let root = Root::new();
    let (one, two) = (CollectionName::new("one").unwrap(), CollectionName::new("two").unwrap());
    let mut shared = root.listen(&Scope::Shared).await;
    let mut first = root.listen(&Scope::Collection(one)).await;
    let mut second = root.listen(&Scope::Collection(two)).await;
    for (at, events) in
        [(".shared/a.json", &mut shared), (".collections/one/a.json", &mut first), (".collections/two/a.json", &mut second)]
    {
        root.write(at, "1");
        assert_eq!(events.next().await, Some(put_doc("a", "1")), "{at}");
        root.write(at, "2");
        assert_eq!(events.next().await, Some(put_doc("a", "2")), "{at}");
    }
    std::fs::rename(root.at(".collections"), root.at("moved")).unwrap();
    assert_eq!(first.next().await, Some(Change::Rescan));
    std::fs::rename(root.at(".shared"), root.at("moved/shared")).unwrap();
    assert_eq!(shared.next().await, Some(Change::Rescan));
    std::fs::rename(root.at("moved/shared"), root.at(".shared")).unwrap();
    root.write(".shared/b.json", "1");
    assert_eq!(shared.take(2).await, [put_doc("a", "2"), put_doc("b", "1")]);
}

/// The state of the thread, turned by hand.
struct Turned {
    watching: Watching,
    changes: Arc<Changes>,
    temp: tempfile::TempDir,
}

impl Turned {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("p")).unwrap();
        let changes = Arc::<Changes>::default();
        let root = Dir::open_root(temp.path()).unwrap();
        let watching = Watching::new(root, Arc::clone(&changes), Inotify::new(Waker::new().unwrap()));
        Self { watching, changes, temp }
    }

    fn listen(&mut self) -> ChangeStream {
        let mut stream = self.changes.listen(&project()).stream(Filter::All);
        self.watching.watch(&project(), Instant::now());
        assert_eq!(next(&mut stream), Some(Change::Ready));
        stream
    }

    /// Reads all there is, and goes on to a time when everything was quiet.
    fn turn(&mut self) {
        let now = Instant::now();
        loop {
            let events = self.watching.inotify.read();
            if events.is_empty() {
                break;
            }
            events.iter().for_each(|event| self.watching.handle(event, now));
        }
        self.watching.tell(now + Duration::from_secs(1));
    }
}

fn next(stream: &mut ChangeStream) -> Option<Change> {
    stream.next().now_or_never().flatten().map(Result::unwrap)
}

#[test]
fn an_overflow_of_the_kernels_queue_is_told_and_nothing_is_missed_afterwards() {
    let mut turned = Turned::new();
    let mut stream = turned.listen();
    let most: usize = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    // Two names by turns, because the kernel merges equal notifications that follow each other.
    for n in 0..most / 2 + 100 {
        std::fs::write(turned.temp.path().join(format!("p/{}", n % 2)), "x").unwrap();
    }
    std::fs::create_dir_all(turned.temp.path().join("p/new/folder")).unwrap();
    turned.turn();
    assert_eq!(next(&mut stream), Some(Change::Rescan));
    assert_eq!(next(&mut stream), None);
    std::fs::write(turned.temp.path().join("p/new/folder/f"), "x").unwrap();
    turned.turn();
    assert_eq!(next(&mut stream), Some(put("new/folder/f", "x")));
}

#[test]
fn many_changes_at_once_are_one_rescan() {
    let mut turned = Turned::new();
    let mut stream = turned.listen();
    let now = Instant::now();
    for n in 0..10_000 {
        std::fs::write(turned.temp.path().join(format!("p/{n}")), "x").unwrap();
        if n % 1_000 == 0 {
            turned.watching.inotify.read().iter().for_each(|event| turned.watching.handle(event, now));
        }
    }
    turned.turn();
    assert_eq!((next(&mut stream), next(&mut stream)), (Some(Change::Rescan), None));
}

#[test]
fn folders_are_watched_only_while_someone_listens() {
    let mut turned = Turned::new();
    std::fs::create_dir_all(turned.temp.path().join("p/a/b")).unwrap();
    let (first, second) = (turned.listen(), turned.changes.listen(&project()));
    assert_eq!(turned.watching.watched(), 3);
    drop(first);
    turned.watching.sweep();
    assert_eq!(turned.watching.watched(), 3);
    drop(second);
    turned.watching.sweep();
    assert_eq!(turned.watching.watched(), 0);
    turned.turn();
    assert_eq!(turned.watching.next(), None, "nothing is left to do");
}

/// A project that was deleted and made again is another: the end of the first is not taken for that of the second.
#[test]
fn the_next_project_of_a_name_is_watched_anew() {
    let mut turned = Turned::new();
    let old = turned.listen();
    std::fs::rename(turned.temp.path().join("p"), turned.temp.path().join("old")).unwrap();
    turned.changes.end(&project());
    std::fs::create_dir(turned.temp.path().join("p")).unwrap();
    let mut new = turned.listen();
    turned.turn();
    drop(old);
    turned.watching.sweep();
    std::fs::write(turned.temp.path().join("p/f"), "x").unwrap();
    std::fs::write(turned.temp.path().join("old/g"), "x").unwrap();
    turned.turn();
    assert_eq!((next(&mut new), next(&mut new)), (Some(put("f", "x")), None));
}
