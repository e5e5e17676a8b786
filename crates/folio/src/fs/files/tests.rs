use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use bytes::Bytes;
use futures_util::{StreamExt, future, stream};

use super::*;
use crate::blob::FileRange;
use crate::ext::BlobStoreExt;
use crate::fs::options::FsOptions;
use crate::{Durability, Error};

struct Root {
    temp: tempfile::TempDir,
    store: Arc<Store>,
    files: Arc<FsFiles>,
}

impl Root {
    fn new() -> Self {
        Self::with(Durability::Sync)
    }

    fn with(durability: Durability) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(temp.path(), FsOptions { durability, ..FsOptions::default() }).unwrap();
        std::fs::create_dir(temp.path().join("p")).unwrap();
        let files = Arc::new(FsFiles::new(Arc::clone(&store), ProjectId::new("p").unwrap()));
        Self { temp, store, files }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.temp.path().join("p").join(path)
    }

    fn place(&self, path: &str, bytes: impl AsRef<[u8]>) {
        std::fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        std::fs::write(self.at(path), bytes).unwrap();
    }

    fn assert_tmp_has_spares_only(&self) {
        self.store.checkpoint().unwrap();
        let left = std::fs::read_dir(self.temp.path().join(".folio/tmp")).unwrap().count();
        assert_eq!(left, self.store.spares_kept());
    }

    async fn list(&self, options: FileListOptions) -> (Vec<String>, Option<FilePath>) {
        let list = self.files.list(options).await.unwrap();
        (list.files.iter().map(|file| file.path.to_string()).collect(), list.next)
    }

    async fn pages(&self, folder: Option<&str>, limit: usize) -> Vec<String> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let options = FileListOptions { folder: folder.map(path), after, limit, etag: false };
            let (page, next) = self.list(options).await;
            assert!(page.len() <= limit && (next.is_none() || page.len() == limit));
            all.extend(page);
            let Some(next) = next else { return all };
            after = Some(next);
        }
    }
}

fn path(path: &str) -> FilePath {
    FilePath::new(path).unwrap()
}

async fn body(read: FileRead) -> Result<Vec<u8>> {
    let pieces: Vec<Result<Bytes>> = read.body.collect().await;
    pieces.into_iter().try_fold(Vec::new(), |mut all, piece| {
        all.extend_from_slice(&piece?);
        Ok(all)
    })
}

fn whole() -> FileReadOptions {
    FileReadOptions::default()
}

#[tokio::test]
async fn a_file_is_a_plain_file_and_its_folders_come_and_go() {
    for durability in [Durability::Sync, Durability::Interval, Durability::Os] {
        let root = Root::with(durability);
        let files = &root.files;
        let at = path("a/b/notes ünï.txt");
        let written = files.write_bytes(&at, "hello", WriteCondition::Absent).await.unwrap();
        let etag = Etag::of(b"hello");
        assert_eq!(written, WriteOutcome::Written { etag, created: true });
        assert_eq!(std::fs::read(root.at("a/b/notes ünï.txt")).unwrap(), b"hello");
        let stat = files.stat(&at, false).await.unwrap().unwrap();
        assert_eq!((stat.size, stat.etag), (5, Some(etag)));
        let again = files.write_bytes(&at, "", WriteCondition::Match(etag)).await.unwrap();
        assert_eq!(again, WriteOutcome::Written { etag: Etag::of(b""), created: false });
        assert_eq!(files.read_bytes(&at).await.unwrap().unwrap(), Bytes::new());

        root.place("a/.keep", "");
        assert_eq!(files.delete(&at, WriteCondition::Exists).await.unwrap(), DeleteOutcome::Deleted(true));
        assert!(!root.at("a/b").exists() && root.at("a/.keep").exists(), "only what is empty goes");
        assert_eq!(files.delete(&at, WriteCondition::None).await.unwrap(), DeleteOutcome::Deleted(false));
        let missing = files.delete(&at, WriteCondition::Exists).await.unwrap();
        assert_eq!(missing, DeleteOutcome::Precondition { current: None });
        root.assert_tmp_has_spares_only();
        root.store.close().await.unwrap();
    }
}

#[tokio::test]
async fn ranges_of_small_and_large_files() {
    let root = Root::new();
    for size in [10_u64, ETAG_LIMIT, ETAG_LIMIT + 700_000] {
        let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let at = path(&format!("f{size}"));
        let pieces: Vec<Result<Bytes>> = bytes.chunks(100_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let written = root.files.write(&at, stream::iter(pieces).boxed(), WriteCondition::None).await.unwrap();
        assert_eq!(written, WriteOutcome::Written { etag: Etag::of(&bytes), created: true });
        for range in [
            FileRange::Whole,
            FileRange::Span(3, 7),
            FileRange::Span(size - 1, size + 9),
            FileRange::From(size / 2),
            FileRange::From(size + 1),
            FileRange::Last(4),
            FileRange::Span(5, 2),
        ] {
            let read = root.files.read(&at, FileReadOptions { range, etag: false }).await.unwrap().unwrap();
            let (from, to) = (read.range.start as usize, read.range.end as usize);
            assert_eq!(read.info.size, size);
            assert_eq!(read.info.etag.is_some(), size <= ETAG_LIMIT);
            assert!(body(read).await.unwrap() == bytes[from..to], "{size} {range:?}");
        }
        let asked = root.files.read(&at, FileReadOptions { etag: true, ..whole() }).await.unwrap().unwrap();
        assert_eq!(asked.info.etag, Some(Etag::of(&bytes)));
    }
}

const ETAG_LIMIT: u64 = crate::blob::ETAG_ON_READ_LIMIT;

#[tokio::test]
async fn a_reader_gets_one_version_whole_or_an_error() {
    let root = Root::new();
    let at = path("big");
    let old = vec![1; 3 << 20];
    root.place("big", &old);
    let (first, second) =
        (root.files.read(&at, whole()).await.unwrap().unwrap(), root.files.read(&at, whole()).await.unwrap().unwrap());
    let _ = root.files.write_bytes(&at, vec![2; 3 << 20], WriteCondition::None).await.unwrap();
    assert!(body(first).await.unwrap() == old, "replaced");
    let _ = root.files.delete(&at, WriteCondition::None).await.unwrap();
    assert!(body(second).await.unwrap() == old, "deleted");

    root.place("big", &old);
    let cut = root.files.read(&at, whole()).await.unwrap().unwrap();
    std::fs::OpenOptions::new().write(true).open(root.at("big")).unwrap().set_len(5).unwrap();
    assert_eq!(body(cut).await.unwrap_err().code(), "io", "cut in place by another program");
}

#[tokio::test]
async fn a_body_that_fails_changes_nothing() {
    let root = Root::new();
    let _ = root.files.write_bytes(&path("a"), "old", WriteCondition::None).await.unwrap();
    let failing = || {
        let pieces = [Ok(Bytes::from(vec![1; 600_000])), Err(Error::invalid("the sender went away"))];
        stream::iter(pieces).boxed()
    };
    for at in ["a", "new/b"] {
        let error = root.files.write(&path(at), failing(), WriteCondition::None).await.unwrap_err();
        assert_eq!(error, Error::invalid("the sender went away"));
    }
    assert_eq!(root.list(FileListOptions::default()).await.0, ["a"]);
    assert!(!root.at("new").exists());
    assert_eq!(root.files.read_text(&path("a")).await.unwrap().unwrap(), "old");
    root.assert_tmp_has_spares_only();
}

#[tokio::test]
async fn a_writer_who_gives_up_leaves_nothing() {
    let root = Root::new();
    let (started, mut has_started) = tokio::sync::mpsc::channel(1);
    let endless = stream::unfold(started, |started| async move {
        let _ = started.send(()).await;
        Some((Ok(Bytes::from(vec![1; 600_000])), started))
    });
    let files = Arc::clone(&root.files);
    let writing = tokio::spawn(async move { files.write(&path("a"), endless.boxed(), WriteCondition::None).await });
    for _ in 0..4 {
        has_started.recv().await.unwrap();
    }
    writing.abort();
    drop(has_started);
    assert!(writing.await.unwrap_err().is_cancelled());
    let gone = async {
        while std::fs::read_dir(root.temp.path().join(".folio/tmp")).unwrap().count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), gone).await.expect("the temporary file goes");
    assert!(!root.at("a").exists());
}

#[tokio::test]
async fn what_stands_in_the_way_is_told_and_untouched() {
    let root = Root::new();
    root.place("file", "x");
    root.place("folder/inside", "x");
    std::fs::write(root.temp.path().join("outside"), "secret").unwrap();
    symlink("../outside", root.at("link")).unwrap();
    symlink("..", root.at("up")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, root.at("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0)
        .unwrap();
    for (at, why) in [
        ("folder", "a folder stands there"),
        ("file/x", "\"file\" is no folder"),
        ("file/x/y", "\"file\" is no folder"),
        ("link", "a symbolic link stands there"),
        ("link/x", "\"link\" is no folder"),
        ("up/outside", "\"up\" is no folder"),
        ("pipe", "a pipe, socket or device stands there"),
        ("pipe/x", "\"pipe\" is no folder"),
    ] {
        let error = root.files.write_bytes(&path(at), "y", WriteCondition::None).await.unwrap_err();
        assert_eq!(error, Error::PathConflict { path: at.into(), why: why.into() });
        assert!(root.files.read(&path(at), whole()).await.unwrap().is_none(), "{at}");
        assert!(root.files.stat(&path(at), true).await.unwrap().is_none(), "{at}");
        assert_eq!(root.files.delete(&path(at), WriteCondition::None).await.unwrap(), DeleteOutcome::Deleted(false), "{at}");
    }
    assert_eq!(root.list(FileListOptions::default()).await.0, ["file", "folder/inside"]);
    assert_eq!(std::fs::read(root.temp.path().join("outside")).unwrap(), b"secret");
    assert!(root.at("link").is_symlink());
    root.assert_tmp_has_spares_only();
    let body = stream::once(async { panic!("a hopeless body is not taken") }).boxed();
    root.files.write(&path("folder"), body, WriteCondition::None).await.unwrap_err();
}

#[tokio::test]
async fn permissions_stay_when_a_file_is_replaced() {
    let root = Root::new();
    root.place("run.sh", "old");
    std::fs::set_permissions(root.at("run.sh"), std::fs::Permissions::from_mode(0o750)).unwrap();
    let _ = root.files.write_bytes(&path("run.sh"), "new", WriteCondition::None).await.unwrap();
    assert_eq!(std::fs::metadata(root.at("run.sh")).unwrap().permissions().mode() & 0o777, 0o750);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_writers_one_wins() {
    let root = Root::new();
    let outcomes = |condition| {
        let writers = (0..24).map(|n: u32| {
            let files = Arc::clone(&root.files);
            tokio::spawn(async move { files.write_bytes(&path("x/a"), n.to_string(), condition).await.unwrap() })
        });
        let writers: Vec<_> = writers.collect();
        async move { future::join_all(writers).await.into_iter().map(Result::unwrap).collect::<Vec<_>>() }
    };
    for _ in 0..5 {
        let made = outcomes(WriteCondition::Absent).await;
        let created = |outcome: &WriteOutcome| match outcome {
            WriteOutcome::Written { etag, created: true } => Some(*etag),
            _ => None,
        };
        let won: Vec<Etag> = made.iter().filter_map(created).collect();
        let [first] = won[..] else { panic!("{made:?}") };
        for outcome in &made {
            assert!(
                matches!(outcome, WriteOutcome::Written { .. })
                    || *outcome == WriteOutcome::Precondition { current: Some(first) }
            );
        }
        let changed = outcomes(WriteCondition::Match(first)).await;
        // The one that writes the same bytes again leaves the tag as it is.
        let different = changed.iter().filter(|o| matches!(o, WriteOutcome::Written { etag, .. } if *etag != first)).count();
        assert_eq!(different, 1, "{changed:?}");
        let _ = root.files.delete(&path("x/a"), WriteCondition::Exists).await.unwrap();
    }
}

/// A folder that is removed as empty while a file comes into it is made again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writing_and_deleting_in_one_folder_at_the_same_time() {
    let root = Root::new();
    let tasks = (0..4).map(|n| {
        let files = Arc::clone(&root.files);
        tokio::spawn(async move {
            let at = path(&format!("a/b/{n}"));
            for _ in 0..60 {
                let _ = files.write_bytes(&at, "x", WriteCondition::Absent).await.unwrap();
                assert_eq!(files.read_bytes(&at).await.unwrap().unwrap(), "x");
                assert_eq!(files.delete(&at, WriteCondition::None).await.unwrap(), DeleteOutcome::Deleted(true));
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(std::fs::read_dir(root.at("")).unwrap().count(), 0);
}

#[tokio::test]
async fn pages_come_in_the_byte_order_of_whole_paths() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let root = Root::new();
    let mut all = BTreeSet::new();
    let segments = ["a", "a-", "a.b", "a0", "b", "ü", "a b", "node_modules"];
    for _ in 0..300 {
        let depth = random.usize(1..5);
        let at = (0..depth).map(|_| random.choice(segments).unwrap()).collect::<Vec<_>>().join("/");
        if std::fs::create_dir_all(root.at(&at).parent().unwrap()).is_ok() && std::fs::write(root.at(&at), "x").is_ok() {
            all.insert(at);
        }
    }
    for n in 0..BATCHES {
        let at = format!("wide/{:x}", n * 7_919 % BATCHES);
        root.place(&at, "x");
        all.insert(at);
    }
    let deep = "d/".repeat(200) + "end";
    root.place(&deep, "x");
    all.insert(deep);
    root.place(".hidden/x", "x");
    root.place("wide/.x", "x");
    std::fs::create_dir_all(root.at("empty/empty")).unwrap();
    let all: Vec<String> = all.into_iter().collect();
    for limit in [97, 1_000, 10_000] {
        assert!(root.pages(None, limit).await == all, "pages of {limit}");
    }
    for folder in ["a", "a-", "wide", "d/d", "a/a.b", "empty", "none", "wide/0"] {
        let below: Vec<String> = all.iter().filter(|at| at.starts_with(&format!("{folder}/"))).cloned().collect();
        assert_eq!(root.pages(Some(folder), 500).await, below, "{folder}");
    }
    let few: Vec<String> = all.iter().filter(|at| at.starts_with("a/")).cloned().collect();
    assert_eq!(root.pages(Some("a"), 1).await, few);
    for _ in 0..20 {
        // Any path will do as a place to go on from, also one that is not there.
        let after = path(&(random.choice(&all).unwrap().to_owned() + random.choice(["", "0", "/x"]).unwrap()));
        let options = FileListOptions { after: Some(after.clone()), limit: 10_000, ..FileListOptions::default() };
        let rest: Vec<String> = all.iter().filter(|at| at.as_str() > after.as_str()).cloned().collect();
        assert!(root.list(options).await.0 == rest, "after {after}");
    }
}

/// More than two batches of one folder.
const BATCHES: usize = 2_500;

#[tokio::test]
async fn lists_tell_tags_where_asked() {
    let root = Root::new();
    root.place("a", "hello");
    let list = |etag| root.files.list(FileListOptions { etag, ..FileListOptions::default() });
    assert_eq!(list(true).await.unwrap().files[0].etag, Some(Etag::of(b"hello")));
    assert_eq!(list(false).await.unwrap().files[0].size, 5);
}
