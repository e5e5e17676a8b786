use std::path::PathBuf;

use super::*;
use crate::etag::Etag;
use crate::fs::options::FsOptions;
use crate::name::{CollectionName, ProjectId};
use crate::{Durability, Error, Limits as LimitsOf};

struct Root {
    temp: tempfile::TempDir,
    store: Arc<Store>,
}

impl Root {
    /// With a project `p` that has no `.meta` yet.
    fn new() -> Self {
        Self::with(FsOptions::default())
    }

    fn with(options: FsOptions) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(temp.path(), options).unwrap();
        std::fs::create_dir(temp.path().join("p")).unwrap();
        Self { temp, store }
    }

    fn scope(&self) -> Scope {
        Scope::Project(ProjectId::new("p").unwrap())
    }

    fn docs(&self) -> Arc<FsDocs> {
        Arc::new(FsDocs::new(Arc::clone(&self.store), self.scope()))
    }

    fn meta(&self, name: &str) -> PathBuf {
        self.temp.path().join("p/.meta").join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::create_dir_all(self.meta("")).unwrap();
        std::fs::write(self.meta(name), bytes).unwrap();
    }

    fn assert_tmp_has_spares_only(&self) {
        self.store.checkpoint().unwrap();
        let left = std::fs::read_dir(self.temp.path().join(".folio/tmp")).unwrap().count();
        assert_eq!(left, self.store.spares_kept());
    }

    fn quarantined(&self) -> Vec<Vec<u8>> {
        let kept = std::fs::read_dir(self.temp.path().join(".folio/quarantine")).unwrap();
        let kept = kept.map(|entry| entry.unwrap().path()).filter(|path| !path.ends_with("index.jsonl"));
        kept.map(|path| std::fs::read(path).unwrap()).collect()
    }
}

fn key(key: &str) -> DocKey {
    DocKey::new(key).unwrap()
}

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

async fn put(docs: &FsDocs, name: &str, text: &str) -> Etag {
    match docs.put(&key(name), json(text), WriteCondition::None).await.unwrap() {
        WriteOutcome::Written { etag, .. } => etag,
        WriteOutcome::Precondition { .. } => panic!("no condition was given"),
    }
}

async fn keys(docs: &FsDocs, options: DocListOptions) -> (Vec<String>, Option<String>) {
    let list = docs.list(options).await.unwrap();
    (list.docs.iter().map(|doc| doc.key.to_string()).collect(), list.next.map(|next| next.to_string()))
}

#[tokio::test]
async fn a_document_is_one_plain_file() {
    for durability in [Durability::Sync, Durability::Interval, Durability::Os] {
        let root = Root::with(FsOptions { durability, ..FsOptions::default() });
        let docs = root.docs();
        let etag = put(&docs, "a", r#"{ "n": 90071992547409931234 }"#).await;
        let bytes = std::fs::read(root.meta("a.json")).unwrap();
        assert_eq!(bytes, b"{\"n\":90071992547409931234}\n");
        assert_eq!(etag, Etag::of(&bytes));
        let listed = docs.list(DocListOptions { etag: true, ..DocListOptions::default() }).await.unwrap().docs;
        assert_eq!((listed.len(), listed[0].size, listed[0].etag), (1, bytes.len() as u64, Some(etag)));
        assert_eq!(docs.delete(&key("a"), WriteCondition::Match(etag)).await.unwrap(), DeleteOutcome::Deleted(true));
        assert!(!root.meta("a.json").exists());
        root.assert_tmp_has_spares_only();
        root.store.close().await.unwrap();
    }
}

#[tokio::test]
async fn hand_made_documents_keep_their_tokens_and_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let root = Root::new();
    let text = "{\n  \"big\": 12345678901234567890,\n  \"a\": 1\n}";
    root.write("hand.json", text);
    std::fs::set_permissions(root.meta("hand.json"), std::fs::Permissions::from_mode(0o640)).unwrap();
    let docs = root.docs();
    let read = docs.get(&key("hand")).await.unwrap().unwrap();
    assert_eq!(read.etag, Etag::of(text.as_bytes()));
    let PatchOutcome::Written(patched) =
        docs.patch(&key("hand"), json(r#"{"a":2}"#), WriteCondition::Match(read.etag)).await.unwrap()
    else {
        panic!("the tag is of the bytes")
    };
    assert_eq!(patched.value.as_str(), r#"{"big":12345678901234567890,"a":2}"#);
    assert_eq!(std::fs::metadata(root.meta("hand.json")).unwrap().permissions().mode() & 0o777, 0o640);
}

#[tokio::test]
async fn a_damaged_document_is_told_and_never_overwritten_unseen() {
    let root = Root::new();
    let docs = root.docs();
    let text = "{\n  \"a\": 1,\n}\n";
    let tag = Etag::of(text.as_bytes());
    root.write("bad.json", text);
    let Error::Damaged { what, why, etag } = docs.get(&key("bad")).await.unwrap_err() else { panic!("it is damaged") };
    assert!(what.ends_with("p/.meta/bad.json") && why.contains("line 3, column 1"), "{what}: {why}");
    assert_eq!(etag, Some(tag));

    assert_eq!(docs.put(&key("bad"), json("1"), WriteCondition::None).await.unwrap_err().code(), "damaged");
    for condition in [WriteCondition::None, WriteCondition::Exists, WriteCondition::Match(tag)] {
        assert_eq!(docs.patch(&key("bad"), json("{}"), condition).await.unwrap_err().code(), "damaged");
    }
    let refused = docs.put(&key("bad"), json("1"), WriteCondition::Absent).await.unwrap();
    assert_eq!(refused, WriteOutcome::Precondition { current: Some(tag) });
    assert_eq!(std::fs::read_to_string(root.meta("bad.json")).unwrap(), text);
    assert!(root.quarantined().is_empty());

    for (count, condition) in [WriteCondition::Match(tag), WriteCondition::Exists].into_iter().enumerate() {
        root.write("bad.json", text);
        let written = docs.put(&key("bad"), json("1"), condition).await.unwrap();
        assert_eq!(written, WriteOutcome::Written { etag: Etag::of(b"1\n"), created: false });
        assert_eq!(root.quarantined(), vec![text.as_bytes(); count + 1], "what was overwritten is kept");
    }
}

#[tokio::test]
async fn odd_bytes_on_disk_are_errors_and_no_crash() {
    let root = Root::with(FsOptions { limits: LimitsOf { body: 1_000, ..LimitsOf::default() }, ..FsOptions::default() });
    let docs = root.docs();
    let deep = "[".repeat(400) + &"]".repeat(400);
    root.write("deep.json", &deep);
    assert_eq!(docs.get(&key("deep")).await.unwrap().unwrap().value.as_str(), deep);
    let large = format!("\"{}\"", "x".repeat(1_001));
    for (name, bytes) in
        [("empty", &b""[..]), ("nul", b"\0\0\0"), ("binary", b"\xff\xfe"), ("half", b"{\"a\":"), ("large", large.as_bytes())]
    {
        root.write(&format!("{name}.json"), bytes);
        let Error::Damaged { etag, .. } = docs.get(&key(name)).await.unwrap_err() else { panic!("{name}") };
        assert_eq!(etag, Some(Etag::of(bytes)), "{name}");
        assert_eq!(docs.put(&key(name), json("1"), WriteCondition::None).await.unwrap_err().code(), "damaged", "{name}");
    }
    assert_eq!(keys(&docs, DocListOptions::default()).await.0.len(), 6, "they are listed");
    let fits = format!("\"{}\"", "x".repeat(998));
    put(&docs, "fits", &fits).await;
    assert_eq!(docs.get(&key("fits")).await.unwrap().unwrap().value.as_str(), fits);
    let too_large = docs.put(&key("fits"), json(&format!("{fits} ").replace("xx", "xxx")), WriteCondition::None).await;
    assert_eq!(too_large.unwrap_err().code(), "too_large");
}

#[tokio::test]
async fn only_regular_files_named_after_a_key_are_documents() {
    let root = Root::new();
    for name in ["good.json", "history.jsonl", "b.txt", "x y.json", ".json", ".hidden.json", "ü.json"] {
        root.write(name, "{}");
    }
    std::fs::create_dir(root.meta("folder.json")).unwrap();
    std::fs::write(root.temp.path().join("outside"), "1").unwrap();
    std::os::unix::fs::symlink("../../outside", root.meta("link.json")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.meta("pipe.json"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let docs = root.docs();
    assert_eq!(keys(&docs, DocListOptions::default()).await.0, ["good"]);
    for name in ["folder", "link", "pipe"] {
        assert_eq!(docs.get(&key(name)).await.unwrap(), None, "{name}");
        let error = docs.put(&key(name), json("2"), WriteCondition::None).await.unwrap_err();
        assert_eq!(error.code(), "path_conflict", "{name}: {error}");
        assert_eq!(docs.delete(&key(name), WriteCondition::None).await.unwrap(), DeleteOutcome::Deleted(false));
    }
    assert_eq!(std::fs::read(root.temp.path().join("outside")).unwrap(), b"1");
    root.assert_tmp_has_spares_only();
}

#[tokio::test]
async fn pages_go_by_key_whatever_the_order_on_disk() {
    let root = Root::new();
    let docs = root.docs();
    // As file names these would be ordered otherwise: '-' stands before '.', which ends the shorter key.
    let all = ["a", "a-b", "a_b", "aa", "b"];
    for name in all.iter().rev() {
        put(&docs, name, "1").await;
    }
    for limit in 1..=6 {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let (page, next) = keys(&docs, DocListOptions { after, limit, ..DocListOptions::default() }).await;
            assert!(page.len() <= limit);
            seen.extend(page);
            let Some(next) = next else { break };
            after = Some(key(&next));
        }
        assert_eq!(seen, all, "pages of {limit}");
    }
    let prefix = |prefix: &str| DocListOptions { prefix: prefix.into(), ..DocListOptions::default() };
    assert_eq!(keys(&docs, prefix("a")).await.0, ["a", "a-b", "a_b", "aa"]);
    assert_eq!(keys(&docs, prefix("x")).await.0.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_writers_with_one_tag_one_wins_and_no_patch_is_lost() {
    let root = Root::new();
    let docs = root.docs();
    let tag = put(&docs, "a", "{}").await;
    let writers = (0..32).map(|n| {
        let docs = Arc::clone(&docs);
        tokio::spawn(async move { docs.put(&key("a"), json(&format!("[{n}]")), WriteCondition::Match(tag)).await.unwrap() })
    });
    let outcomes = futures_util::future::join_all(writers.collect::<Vec<_>>()).await;
    let won = outcomes.iter().filter(|outcome| matches!(outcome.as_ref().unwrap(), WriteOutcome::Written { .. })).count();
    assert_eq!(won, 1);
    put(&docs, "a", "{}").await;
    let patches = (0..32).map(|n| {
        let docs = Arc::clone(&docs);
        tokio::spawn(async move { docs.patch(&key("a"), json(&format!("{{\"k{n}\":1}}")), WriteCondition::None).await })
    });
    for patch in futures_util::future::join_all(patches.collect::<Vec<_>>()).await {
        assert!(matches!(patch.unwrap().unwrap(), PatchOutcome::Written(_)));
    }
    let all: std::collections::BTreeMap<String, u8> = docs.get(&key("a")).await.unwrap().unwrap().value.to().unwrap();
    assert_eq!(all.len(), 32);
}

#[tokio::test]
async fn documents_outside_projects_come_into_being_by_a_write() {
    let root = Root::new();
    for scope in [Scope::Shared, Scope::Collection(CollectionName::new("ink").unwrap())] {
        let docs = FsDocs::new(Arc::clone(&root.store), scope.clone());
        assert_eq!(docs.get(&key("a")).await.unwrap(), None);
        assert_eq!(docs.delete(&key("a"), WriteCondition::None).await.unwrap(), DeleteOutcome::Deleted(false));
        assert!(keys(&docs, DocListOptions::default()).await.0.is_empty());
        assert!(!root.temp.path().join(scope.docs()).exists(), "reading makes nothing");
        put(&docs, "a", "1").await;
        assert!(root.temp.path().join(scope.docs()).join("a.json").exists());
    }
    let none = FsDocs::new(Arc::clone(&root.store), Scope::Project(ProjectId::new("none").unwrap()));
    for error in [
        none.get(&key("a")).await.unwrap_err(),
        none.put(&key("a"), json("1"), WriteCondition::None).await.unwrap_err(),
        none.list(DocListOptions::default()).await.unwrap_err(),
        none.subscribe().await.err().unwrap(),
    ] {
        assert_eq!(error.code(), "no_project");
    }
}

#[tokio::test]
async fn after_a_write_of_unknown_outcome_only_reads_go_on() {
    let root = Root::new();
    let docs = root.docs();
    put(&docs, "a", "1").await;
    let failed = crate::fs::vfs::VfsError::os("sync", root.temp.path(), rustix::io::Errno::IO);
    assert_eq!(root.store.unknown("p/.meta/a.json", &failed).code(), "outcome_unknown");
    assert_eq!(docs.put(&key("a"), json("2"), WriteCondition::None).await.unwrap_err().code(), "store_failed");
    assert_eq!(docs.delete(&key("a"), WriteCondition::None).await.unwrap_err().code(), "store_failed");
    assert_eq!(docs.get(&key("a")).await.unwrap().unwrap().value, json("1"));
    assert_eq!(keys(&docs, DocListOptions::default()).await.0, ["a"]);
}
