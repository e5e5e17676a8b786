use std::io::{Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::blob::{WriteCondition, WriteOutcome};
use crate::docs::JsonKv;
use crate::driver::Durability;
use crate::fs::docs::FsDocs;
use crate::fs::docs::slot::Slot;
use crate::fs::options::FsOptions;
use crate::fs::scope::Scope;
use crate::fs::store::Store;
use crate::fs::txn::{Means, Op, Step, Txn};
use crate::json::Json;
use crate::name::DocKey;

struct Root {
    temp: tempfile::TempDir,
    store: Arc<Store>,
    docs: FsDocs,
}

impl Root {
    fn new(durability: Durability) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(temp.path(), FsOptions { durability, ..FsOptions::default() }).unwrap();
        let docs = FsDocs::new(Arc::clone(&store), Scope::Shared);
        Self { temp, store, docs }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.temp.path().join(".shared").join(format!("{name}.json"))
    }

    /// With its birth: a file system may give the inode of a removed file to a new one.
    fn id(&self, name: &str) -> (u64, u64) {
        self.store.root.stat(format!(".shared/{name}.json")).unwrap().unwrap().id()
    }

    async fn put(&self, name: &str, text: &str) {
        let (key, value) = (DocKey::new(name).unwrap(), Json::parse(text.as_bytes()).unwrap());
        let written = self.docs.put(&key, value, WriteCondition::None).await.unwrap();
        assert!(matches!(written, WriteOutcome::Written { .. }));
    }

    /// Writes other documents until whatever can be used again was: their ids are returned.
    async fn churn(&self) -> Vec<(u64, u64)> {
        let mut ids = Vec::new();
        for n in 0..5 {
            self.store.checkpoint().unwrap();
            for name in ["x", "y", "z"] {
                self.put(name, &n.to_string()).await;
                ids.push(self.id(name));
            }
        }
        ids
    }

    /// The step that makes the document what `text` says; `alone` in its commit, or with others.
    fn step(&self, name: &str, text: &str, alone: bool) -> Step {
        let (key, value) = (DocKey::new(name).unwrap(), Json::parse(text.as_bytes()).unwrap());
        let open = if alone { Slot::alone } else { Slot::new };
        let slot = open(&self.store, &Scope::Shared, &key).unwrap();
        slot.put(&value, WriteCondition::None).unwrap().change.unwrap().0
    }

    /// The document `a` is written, `before` runs, and `a` is written again. Returns whether the first file was used again.
    async fn displace<T>(&self, before: impl FnOnce(PathBuf) -> T) -> (T, bool) {
        self.put("a", "1").await;
        let (id, held) = (self.id("a"), before(self.at("a")));
        self.put("a", "22").await;
        let again = self.churn().await.contains(&id);
        (held, again)
    }
}

/// Whether the file system that these tests run on knows who has a file open.
fn usable(root: &Root) -> bool {
    let here = Spares::new(root.store.tmp.clone()).usable;
    if !here {
        println!("nothing is used again here: leases are not relied on on this file system");
    }
    here
}

#[tokio::test]
async fn a_displaced_file_is_used_again_after_two_checkpoints() {
    {
        let root = Root::new(Durability::Sync);
        root.put("a", "\"first\"").await;
        let first = root.id("a");
        root.put("a", "2").await;
        root.put("x", "1").await;
        assert_ne!(root.id("x"), first, "before a checkpoint");
        root.store.checkpoint().unwrap();
        root.put("x", "2").await;
        assert_ne!(root.id("x"), first, "after one checkpoint");
        if usable(&root) {
            assert!(root.churn().await.contains(&first));
            let (tmp, kept) = (std::fs::read_dir(root.temp.path().join(".folio/tmp")).unwrap().count(), root.store.spares_kept());
            assert!(kept > 0 && tmp >= kept, "{tmp} {kept}");
        }
        assert_eq!(std::fs::read(root.at("a")).unwrap(), b"2\n");
        assert_eq!(std::fs::read(root.at("x")).unwrap(), b"4\n");
        root.store.close().await.unwrap();
        assert_eq!(std::fs::read_dir(root.temp.path().join(".folio/tmp")).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn nothing_is_used_again_where_a_record_may_be_lost() {
    for durability in [Durability::Interval, Durability::Os] {
        let root = Root::new(durability);
        // The folder is made durable, and with it all that was there.
        root.put("x", "0").await;
        root.store.checkpoint().unwrap();
        let before = root.store.spares_kept();
        root.put("a", "1").await;
        root.put("a", "2").await;
        root.store.checkpoint().unwrap();
        assert_eq!(root.store.spares_kept(), before);
    }
}

#[tokio::test]
async fn a_hard_linked_version_keeps_its_bytes() {
    let root = Root::new(Durability::Sync);
    let copy = root.temp.path().join("copy");
    let ((), again) = root.displace(|at| std::fs::hard_link(at, &copy).unwrap()).await;
    assert!(!again);
    assert_eq!(std::fs::read(copy).unwrap(), b"1\n");
}

#[tokio::test]
async fn whoever_has_an_old_version_open_goes_on_reading_it() {
    let root = Root::new(Durability::Sync);
    let (mut file, again) = root.displace(|at| std::fs::File::open(at).unwrap()).await;
    assert!(!again);
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "1\n");
    root.churn().await;
    (text, _) = (String::new(), file.rewind().unwrap());
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "1\n");
}

#[tokio::test]
async fn a_reader_in_this_process_counts_too() {
    let root = Root::new(Durability::Sync);
    let open = |_| root.store.root.open(".shared/a.json", Access::Read).unwrap().unwrap();
    let (file, again) = root.displace(open).await;
    assert!(!again);
    assert_eq!(file.read_some(0, 10).unwrap(), b"1\n");
}

#[tokio::test]
async fn what_a_file_carries_is_not_carried_over() {
    let root = Root::new(Durability::Sync);
    let mode = |at: PathBuf| std::fs::set_permissions(at, std::fs::Permissions::from_mode(0o600)).unwrap();
    let ((), again) = root.displace(mode).await;
    assert!(!again, "its permissions are others");

    let root = Root::new(Durability::Sync);
    let attribute = |at: PathBuf| rustix::fs::setxattr(at, "user.note", b"x", rustix::fs::XattrFlags::empty());
    match root.displace(attribute).await {
        (Ok(()), again) => assert!(!again, "it has an attribute"),
        (Err(errno), _) => println!("no attributes here: {errno}"),
    }
}

#[tokio::test]
async fn a_spare_that_got_another_name_or_content_is_not_used() {
    let root = Root::new(Durability::Sync);
    if !usable(&root) {
        return;
    }
    for n in 0..3 {
        root.put("a", &n.to_string()).await;
        root.store.checkpoint().unwrap();
    }
    let spares: Vec<PathBuf> =
        std::fs::read_dir(root.temp.path().join(".folio/tmp")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!spares.is_empty());
    let stat = |path: &PathBuf| root.store.tmp.stat(path.file_name().unwrap()).unwrap().unwrap().id();
    let spoiled: Vec<(u64, u64)> = spares.iter().map(stat).collect();
    for (n, path) in spares.iter().enumerate() {
        if n % 2 == 0 {
            std::fs::hard_link(path, root.temp.path().join(n.to_string())).unwrap();
        } else {
            std::fs::write(path, "theirs").unwrap();
        }
    }
    for _ in 0..4 {
        root.put("b", "1").await;
        assert!(!spoiled.contains(&root.id("b")));
    }
}

#[tokio::test]
async fn the_time_of_a_file_is_that_of_its_writing() {
    let root = Root::new(Durability::Sync);
    let spares = Spares::new(root.store.tmp.clone());
    let name = spares.temp().unwrap().leave().1;
    let bytes = 0;
    spares.rest(vec![Displaced { name, bytes, again: true }], true);
    let blanked = spares.blank();
    spares.blanked(blanked);
    if !usable(&root) {
        return;
    }
    assert_eq!(spares.count(), 1);
    let temp = spares.temp().unwrap();
    assert_eq!(spares.count(), 0);
    let old = rustix::fs::Timespec { tv_sec: 1, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: old, last_modification: old };
    let at = root.store.tmp.path().join(temp.name());
    rustix::fs::utimensat(rustix::fs::CWD, &at, &times, rustix::fs::AtFlags::empty()).unwrap();
    assert_eq!(temp.file().meta().unwrap().modified_ns, 1_000_000_000);
    // Cutting an empty file is what an empty body does.
    temp.file().truncate(0).unwrap();
    assert!(temp.file().meta().unwrap().modified_ns > 1_000_000_000);
}

#[test]
fn they_are_bounded() {
    let temp = tempfile::tempdir().unwrap();
    let spares = Spares::new(Dir::open_root(temp.path()).unwrap());
    drop(spares.temp().unwrap());
    if !spares.usable {
        return;
    }
    let displaced = |bytes| {
        let name = spares.temp().unwrap().leave().1;
        spares.rest(vec![Displaced { name, bytes, again: true }], true);
    };
    displaced(BYTES + 1);
    displaced(BYTES);
    displaced(1);
    assert_eq!(spares.count(), 1);
    let of = |n: usize| Displaced { name: format!("{n:032x}"), bytes: 0, again: true };
    spares.rest((0..FILES + 10).map(of).collect(), true);
    assert_eq!(spares.count(), FILES);
    spares.clear();
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn room_is_scarce_where_little_of_much_or_a_part_of_little_is_free() {
    assert!(!scarce(64 << 20, 1 << 40) && scarce((64 << 20) - 1, 1 << 40));
    assert!(!scarce(1 << 20, 16 << 20) && scarce((1 << 20) - 1, 16 << 20));
}

#[test]
fn what_is_no_content_is_only_removed() {
    let temp = tempfile::tempdir().unwrap();
    let spares = Spares::new(Dir::open_root(temp.path()).unwrap());
    drop(spares.temp().unwrap());
    std::fs::write(temp.path().join("segment"), "1").unwrap();
    spares.rest(vec![Displaced { name: "segment".into(), bytes: 1, again: false }], true);
    assert_eq!((spares.count(), std::fs::read_dir(temp.path()).unwrap().count()), (0, 0));
}

/// The lease is held until the file is closed; whoever opens the file then waits, and the signal that tells of it ends nobody.
#[test]
fn a_lease_that_somebody_waits_for_does_no_harm() {
    let temp = tempfile::tempdir().unwrap();
    let dir = Dir::open_root(temp.path()).unwrap();
    if !dir.is_local().unwrap() {
        return;
    }
    let stamp = dir.create_new("f", Access::Append).unwrap().stamp().unwrap();
    std::thread::scope(|scope| {
        let opener = scope.spawn(|| {
            for _ in 0..20_000 {
                drop(std::fs::File::open(temp.path().join("f")).unwrap());
            }
        });
        let since = dir.begin_blanking();
        let (mut blanked, mut refused) = (0, 0);
        while !opener.is_finished() {
            match dir.open_unseen("f", &since, &stamp) {
                Ok((file, meta)) => {
                    file.blank(&meta).unwrap();
                    blanked += 1;
                }
                Err(_) => refused += 1,
            }
        }
        println!("{blanked} blanked, {refused} refused");
    });
}

#[tokio::test]
async fn a_document_that_is_written_again_and_again_has_two_files_until_a_checkpoint() {
    let root = Root::new(Durability::Sync);
    if !usable(&root) {
        return;
    }
    root.put("a", "\"before\"").await;
    root.store.checkpoint().unwrap();
    let ids = async |from: usize| {
        let mut ids = Vec::new();
        for n in from..from + 8 {
            // Longer and shorter ones.
            let text = n.to_string().repeat(1 + 300 * (n % 3));
            root.put("a", &format!("\"{text}\"")).await;
            assert_eq!(std::fs::read_to_string(root.at("a")).unwrap(), format!("\"{text}\"\n"));
            ids.push(root.id("a"));
        }
        ids
    };
    let (used, first) = (root.store.used_at_once(), ids(10).await);
    assert_eq!(root.store.used_at_once() - used, 6);
    assert!(first.iter().enumerate().all(|(n, id)| *id == first[n % 2]) && first[0] != first[1]);
    root.store.checkpoint().unwrap();
    let second = ids(20).await;
    assert!(second.iter().all(|id| !first.contains(id)), "what they hold is on the disk, and no record tells of it");
    assert!(second.iter().enumerate().all(|(n, id)| *id == second[n % 2]));
}

#[tokio::test]
async fn what_others_hold_of_a_document_is_not_used_at_once() {
    let root = Root::new(Durability::Sync);
    let again = async |hold: &dyn Fn(&PathBuf) -> Option<std::fs::File>| {
        root.put("a", "\"first\"").await;
        root.put("a", "\"held\"").await;
        let (used, mut held) = (root.store.used_at_once(), hold(&root.at("a")));
        root.put("a", "\"next\"").await;
        let used_before = root.store.used_at_once() - used;
        root.put("a", "\"last\"").await;
        if let Some(file) = &mut held {
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, "\"held\"\n");
        }
        root.store.used_at_once() - used - used_before
    };
    if usable(&root) {
        assert_eq!(again(&|_| None).await, 1);
    }
    assert_eq!(again(&|at| Some(std::fs::File::open(at).unwrap())).await, 0);
    let copy = root.temp.path().join("copy");
    let link = |at: &PathBuf| {
        std::fs::hard_link(at, &copy).unwrap();
        None
    };
    assert_eq!(again(&link).await, 0);
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), "\"held\"\n");
    let attribute = |at: &PathBuf| {
        let _ = rustix::fs::setxattr(at, "user.note", b"x", rustix::fs::XattrFlags::CREATE);
        rustix::fs::getxattr(at, "user.note", &mut [0; 8]).is_err().then(|| std::fs::File::open(at).unwrap())
    };
    assert_eq!(again(&attribute).await, 0);
    let mode = |at: &PathBuf| {
        std::fs::set_permissions(at, std::fs::Permissions::from_mode(0o600)).unwrap();
        None
    };
    assert_eq!(again(&mode).await, 0);
    assert_eq!(std::fs::metadata(root.at("a")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(root.at("a")).unwrap(), "\"last\"\n");
}

/// Recorded in another round than its earlier contents, it could hold something that no record tells of.
#[tokio::test]
async fn a_content_is_written_after_its_record_and_elsewhere_where_a_checkpoint_began_meanwhile() {
    let root = Root::new(Durability::Sync);
    if !usable(&root) {
        return;
    }
    root.put("a", "0").await;
    for begins in [false, true] {
        root.put("a", "\"one, and longer\"").await;
        root.put("a", "2").await;
        let text = if begins { "\"new round\"" } else { "\"same\"" };
        let step = root.step("a", text, true);
        let (Op::Put { id, .. }, Means::Placed { temp, .. }) = (&step.op, &step.means) else { panic!("{step:?}") };
        assert_eq!(temp.file().read_some(0, 100).unwrap(), b"\"one, and longer\"\n");
        let id = *id;
        if begins {
            root.store.checkpoint().unwrap();
        }
        let (told, outcome) = std::sync::mpsc::channel();
        root.store.commit_then(Txn::of(step), move |effects| told.send(effects.is_ok()).unwrap());
        assert!(outcome.recv().unwrap());
        assert_eq!(std::fs::read_to_string(root.at("a")).unwrap(), format!("{text}\n"));
        assert_eq!(root.id("a") != id, begins);
    }
}

#[tokio::test]
async fn a_commit_of_several_leaves_the_turns_as_they_are() {
    let root = Root::new(Durability::Sync);
    root.put("a", "1").await;
    root.put("a", "2").await;
    let used = root.store.used_at_once();
    root.store.commit(Txn::of(root.step("a", "3", false))).unwrap();
    assert_eq!(root.store.used_at_once(), used);
    root.put("a", "4").await;
    root.put("a", "5").await;
    assert_eq!(std::fs::read(root.at("a")).unwrap(), b"5\n");
}

/// No record tells of what another program wrote, so a power loss may leave bytes of it that replay takes for a later edit.
#[tokio::test]
async fn a_version_into_which_another_program_wrote_is_not_used_at_once() {
    let root = Root::new(Durability::Sync);
    root.put("a", "0").await;
    for late in [false, true] {
        root.put("a", "1").await;
        root.put("a", "2").await;
        let edited = root.id("a");
        let mut file = std::fs::File::options().write(true).open(root.at("a")).unwrap();
        if !late {
            file.write_all(b"9\n").unwrap();
            drop(file);
            root.put("a", "3").await;
        } else {
            // Its editor has it open still when it is displaced, and has closed it before the next write.
            root.put("a", "3").await;
            file.write_all(b"9\n").unwrap();
            drop(file);
        }
        root.put("a", "4").await;
        assert_ne!(root.id("a"), edited, "{late}");
    }
}

/// Its body is not in the journal, so replay could not tell what is left of it.
#[tokio::test]
async fn a_content_that_is_too_large_for_the_journal_with_others_takes_no_turn() {
    let root = Root::new(Durability::Sync);
    root.put("a", "0").await;
    let text = format!("\"{}\"", "x".repeat(60_000));
    let steps = (0..80).map(|n| root.step(&if n == 0 { "a".to_owned() } else { format!("a{n}") }, &text, false));
    root.store.commit(Txn { steps: steps.collect() }).unwrap();
    let large = root.id("a");
    for n in 0..4 {
        root.put("a", &n.to_string()).await;
        assert_ne!(root.id("a"), large, "{n}");
    }
}

#[tokio::test]
async fn a_file_that_takes_no_turn_any_more_rests_like_others() {
    let root = Root::new(Durability::Sync);
    if !usable(&root) {
        return;
    }
    root.put("a", "0").await;
    root.store.checkpoint().unwrap();
    root.put("a", "1").await;
    root.put("a", "2").await;
    let step = root.step("a", "3", true);
    let Op::Put { temp, .. } = &step.op else { panic!("{step:?}") };
    let left = root.temp.path().join(".folio/tmp").join(temp);
    drop(step);
    assert!(left.exists(), "the folder on the medium may have it under the name of the document still");
    let kept = root.store.spares_kept();
    root.store.checkpoint().unwrap();
    assert!(root.store.spares_kept() > kept);
}

#[test]
fn a_content_can_be_written_twice() {
    let temp = tempfile::tempdir().unwrap();
    let spares = Spares::new(Dir::open_root(temp.path()).unwrap());
    let file = spares.temp().unwrap();
    for text in ["12345678", "123456789"] {
        file.fill(text.as_bytes()).unwrap();
        assert_eq!(file.file().read_some(0, 100).unwrap(), text.as_bytes());
    }
}
