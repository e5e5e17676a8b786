//! The simulator does what a real file system does, and loses what a real one may lose.

use std::path::PathBuf;

use super::*;
use crate::fs::vfs::{Access, File, Kind, VfsResult};

const SEEDS: u64 = 200;

fn read(dir: &Dir, rel: &str) -> Option<Vec<u8>> {
    dir.open(rel, Access::Read).unwrap().map(|file| file.read_some(0, 1 << 20).unwrap())
}

fn new(dir: &Dir, rel: &str, bytes: &[u8]) -> File {
    let file = dir.create_new(rel, Access::Append).unwrap();
    file.append_all(bytes).unwrap();
    file
}

/// What `look` sees after power cuts of every kind, each once.
fn outcomes<T: PartialEq>(prepare: impl Fn(&Dir), look: impl Fn(&Dir) -> T) -> Vec<T> {
    let mut seen = Vec::new();
    for seed in 0..SEEDS {
        let sim = Sim::new(seed);
        prepare(&sim.root());
        let outcome = look(&sim.cut(&mut fastrand::Rng::with_seed(seed)).root());
        if !seen.contains(&outcome) {
            seen.push(outcome);
        }
    }
    seen
}

#[test]
fn without_syncs_a_replaced_file_can_be_lost_and_with_them_never() {
    let old = |dir: &Dir| {
        new(dir, "a", b"old").sync_all().unwrap();
        dir.sync().unwrap();
    };
    let without = outcomes(
        |dir| {
            old(dir);
            new(dir, "tmp", b"new");
            dir.rename("tmp", dir, "a").unwrap();
        },
        |dir| read(dir, "a"),
    );
    assert!([&b"old"[..], b"new", b"", b"\0\0\0"].iter().all(|bytes| without.contains(&Some(bytes.to_vec()))), "{without:?}");
    let with = outcomes(
        |dir| {
            old(dir);
            new(dir, "tmp", b"new").sync_data().unwrap();
            dir.rename("tmp", dir, "a").unwrap();
        },
        |dir| read(dir, "a").unwrap(),
    );
    assert_eq!(with.len(), 2, "{with:?}");
    assert!(with.contains(&b"old".to_vec()) && with.contains(&b"new".to_vec()));
    let whole = outcomes(
        |dir| {
            old(dir);
            new(dir, "tmp", b"new").sync_data().unwrap();
            dir.rename("tmp", dir, "a").unwrap();
            dir.sync().unwrap();
        },
        |dir| read(dir, "a").unwrap(),
    );
    assert_eq!(whole, [b"new"]);
}

#[test]
fn a_synced_file_without_a_synced_name_can_be_missing() {
    let seen = outcomes(|dir| new(dir, "a", b"x").sync_all().unwrap(), |dir| read(dir, "a"));
    assert_eq!(seen.len(), 2);
    let seen = outcomes(
        |dir| {
            let (folder, _) = dir.make_dirs("f").unwrap();
            new(&folder, "a", b"x").sync_all().unwrap();
            folder.sync().unwrap();
        },
        |dir| dir.dir("f").unwrap().map(|folder| read(&folder, "a")),
    );
    assert_eq!(seen.len(), 2, "the folder whole, or not there: {seen:?}");
}

#[test]
fn sectors_of_unsynced_writes_come_in_any_order_and_durable_bytes_stay() {
    let seen = outcomes(
        |dir| {
            let file = new(dir, "a", &[b'1'; 1024]);
            file.sync_all().unwrap();
            dir.sync().unwrap();
            file.append_all(&[b'2'; 1024]).unwrap();
        },
        |dir| {
            let bytes = read(dir, "a").unwrap();
            assert!(bytes[..1024].iter().all(|&b| b == b'1') && [1024, 2048].contains(&bytes.len()), "{}", bytes.len());
            bytes[1024..].chunks(512).map(|sector| sector[0]).collect::<Vec<_>>()
        },
    );
    assert_eq!(seen.len(), 5, "nothing, and each sector new or NUL: {seen:?}");
    assert!(seen.contains(&vec![0, b'2']) && seen.contains(&vec![b'2', 0]));
}

#[test]
fn an_unsynced_truncation_may_not_have_happened_and_never_shows_what_it_cut() {
    let seen = outcomes(
        |dir| {
            let file = new(dir, "a", &[b'1'; 600]);
            file.sync_all().unwrap();
            dir.sync().unwrap();
            file.truncate(10).unwrap();
            file.append_all(b"2").unwrap();
        },
        |dir| read(dir, "a").unwrap(),
    );
    for bytes in &seen {
        let fine = match bytes.len() {
            600 => bytes.iter().filter(|&&b| b != b'1').count() <= 1,
            10 => bytes.iter().all(|&b| b == b'1'),
            11 => [b'2', 0].contains(&bytes[10]),
            _ => false,
        };
        assert!(fine, "{bytes:?}");
    }
    assert!([600, 10, 11].iter().all(|len| seen.iter().any(|bytes| bytes.len() == *len)));
}

#[test]
fn a_failed_sync_loses_what_the_next_one_calls_durable() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let sim = Sim::new(seed);
        let root = sim.root();
        let file = new(&root, "a", b"");
        file.sync_all().unwrap();
        root.sync().unwrap();
        file.append_all(b"acknowledged").unwrap();
        sim.plan(1, Fault::Fail(Errno::IO));
        assert!(file.sync_data().unwrap_err().is(&[Errno::IO]));
        assert_eq!(read(&root, "a").unwrap(), b"acknowledged", "the page cache keeps showing it");
        file.sync_data().unwrap();
        let after = sim.cut(&mut fastrand::Rng::with_seed(seed));
        lost += u64::from(read(&after.root(), "a").unwrap() != b"acknowledged");
        // Written again it is durable.
        let again = after.root().open("a", Access::ReadWrite).unwrap().unwrap();
        again.write_all_at(b"acknowledged", 0).unwrap();
        again.sync_data().unwrap();
        assert_eq!(read(&after.cut(&mut fastrand::Rng::with_seed(seed)).root(), "a").unwrap(), b"acknowledged");
    }
    assert!(lost > 0 && lost < SEEDS, "{lost}");
}

#[test]
fn a_rename_across_folders_and_an_exchange_never_lose_a_name() {
    let seen = outcomes(
        |dir| {
            let (one, two) = (dir.make_dirs("1").unwrap().0, dir.make_dirs("2").unwrap().0);
            new(&one, "a", b"a").sync_all().unwrap();
            new(&two, "b", b"b").sync_all().unwrap();
            dir.sync_file_system().unwrap();
            assert!(one.exchange("a", &two, "b").unwrap());
            one.rename("a", &two, "c").unwrap();
            one.make_dirs("later").unwrap();
        },
        |dir| ["1/a", "2/b", "2/c"].map(|rel| read(dir, rel).map(|bytes| String::from_utf8(bytes).unwrap()).unwrap_or_default()),
    );
    assert_eq!(seen.len(), 3, "{seen:?}");
    for outcome in [["a", "b", ""], ["b", "a", ""], ["", "a", "b"]] {
        assert!(seen.contains(&outcome.map(String::from)), "{seen:?}");
    }
}

#[test]
fn a_removed_folder_never_takes_along_what_was_moved_out_of_it() {
    let seen = outcomes(
        |dir| {
            let folder = dir.make_dirs("f").unwrap().0;
            new(&folder, "a", b"a").sync_all().unwrap();
            dir.sync_file_system().unwrap();
            folder.rename("a", dir, "a").unwrap();
            assert!(dir.rmdir("f").unwrap());
        },
        |dir| (read(dir, "f/a").is_some(), read(dir, "a").is_some(), dir.dir("f").unwrap().is_some()),
    );
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen.iter().all(|(inside, out, _)| inside != out), "{seen:?}");
}

#[test]
fn the_sync_of_a_folder_keeps_its_names_and_of_no_other() {
    let seen = outcomes(
        |dir| {
            let (one, two) = (dir.make_dirs("1").unwrap().0, dir.make_dirs("2").unwrap().0);
            dir.sync().unwrap();
            new(&one, "a", b"");
            new(&two, "b", b"");
            one.sync().unwrap();
        },
        |dir| (read(dir, "1/a").is_some(), read(dir, "2/b").is_some()),
    );
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen.iter().all(|(one, _)| *one));
}

#[test]
fn reserved_room_is_there_on_a_full_disk() {
    let sim = Sim::new(1);
    let root = sim.root();
    let (reserved, other) = (new(&root, "a", b"1"), new(&root, "b", b""));
    sim.set_room(Some(1_000));
    assert!(reserved.reserve(1..1_002).unwrap_err().disk_full());
    reserved.reserve(1..901).unwrap();
    assert_eq!(reserved.len().unwrap(), 1);
    assert!(other.append_all(&[b'x'; 300]).unwrap_err().disk_full());
    assert_eq!(other.len().unwrap(), 100, "a part is written");
    assert!(root.create_new("c", Access::Append).unwrap_err().disk_full());
    assert!(root.make_dir("d", 0o777).unwrap_err().disk_full());
    reserved.append_all(&[b'x'; 900]).unwrap();
    assert!(reserved.append_all(b"x").unwrap_err().disk_full());
    drop(other);
    root.unlink("b").unwrap();
    reserved.append_all(b"x").unwrap();
    sim.set_room(None);
    reserved.append_all(&[b'x'; 10_000]).unwrap();
}

#[test]
fn short_and_interrupted_writes_are_gone_on_with() {
    for seed in 0..SEEDS {
        let sim = Sim::new(seed);
        let file = new(&sim.root(), "a", b"");
        sim.plan(1, Fault::Short);
        sim.plan(2, Fault::Fail(Errno::INTR));
        sim.plan(3, Fault::Short);
        file.append_all(b"0123456789").unwrap();
        assert_eq!(file.read_some(0, 20).unwrap(), b"0123456789");
    }
}

#[test]
fn after_a_cut_or_a_kill_the_old_one_is_lost_and_locks_are_free() {
    let sim = Sim::new(1);
    let root = sim.root();
    let lock = new(&root, "lock", b"");
    assert!(lock.try_lock().unwrap());
    let killed = sim.kill();
    let again = || killed.root().open("lock", Access::ReadWrite).unwrap().unwrap();
    let first = again();
    assert!(first.try_lock().unwrap() && !again().try_lock().unwrap());
    drop(first);
    assert!(again().try_lock().unwrap());
    for result in [lock.append_all(b"x"), lock.sync_all(), root.sync(), root.unlink("lock").map(drop), lock.meta().map(drop)] {
        assert!(result.unwrap_err().is(&[Errno::IO]));
    }
    assert_eq!(killed.root().stat("lock").unwrap().unwrap().inode, again().identity().unwrap().0);

    killed.plan(2, Fault::Cut);
    assert!(!killed.is_dead());
    killed.root().make_dir("a", 0o777).unwrap();
    assert!(killed.root().make_dir("b", 0o777).unwrap_err().is(&[Errno::IO]));
    assert!(killed.is_dead() && killed.root().stat("a").unwrap_err().is(&[Errno::IO]));
}

#[test]
fn each_file_has_an_identity_of_its_own() {
    let sim = Sim::new(1);
    let root = sim.root();
    let mut known = std::collections::HashSet::new();
    for _ in 0..200 {
        assert!(known.insert(new(&root, "a", b"").identity().unwrap()));
        root.unlink("a").unwrap();
        root.sync().unwrap();
    }
    assert!(sim.0.lock().unwrap().nodes.len() < 100, "what is gone takes no memory");
}

/// Files and folders with their bytes, by path.
fn tree(dir: &Dir) -> Vec<(PathBuf, Kind, Vec<u8>, u32)> {
    fn walk(dir: &Dir, at: &Path, found: &mut Vec<(PathBuf, Kind, Vec<u8>, u32)>) {
        for listed in dir.list().unwrap() {
            let listed = listed.unwrap();
            let path = at.join(&listed.name);
            let mode = dir.stat(&listed.name).unwrap().unwrap().mode;
            match listed.kind {
                Kind::Dir => {
                    found.push((path.clone(), Kind::Dir, Vec::new(), 0));
                    walk(&dir.dir(&listed.name).unwrap().unwrap(), &path, found);
                }
                kind => {
                    let file = dir.open(&listed.name, Access::Read).unwrap().unwrap();
                    found.push((path, kind, file.read_some(0, 1 << 20).unwrap(), mode));
                }
            }
        }
    }
    let mut found: Vec<(PathBuf, Kind, Vec<u8>, u32)> = Vec::new();
    walk(dir, Path::new(""), &mut found);
    found.sort_by_key(|(path, ..)| path.clone());
    found
}

/// One random operation, and its answer in words; `held` is a file that stays open.
fn step(rng: &mut fastrand::Rng, dir: &Dir, held: &mut Option<File>) -> String {
    fn told<T: std::fmt::Debug>(result: VfsResult<T>) -> String {
        format!("{:?}", result.map_err(|error| error.reason))
    }
    let names = ["a", "b", "a/a", "a/b", "b/a", "a/b/a", "a/b/a/b"];
    let (from, to) = (names[rng.usize(0..names.len())], names[rng.usize(0..names.len())]);
    let (small, access) = (rng.u64(0..2_000), [Access::Read, Access::ReadWrite, Access::Append][rng.usize(0..3)]);
    let bytes = vec![rng.u8(b'a'..=b'z'); rng.usize(0..1_500)];
    let sub = ["a", "b", "a/b"][rng.usize(0..3)];
    let (inner, outer) = (dir.dir(sub), rng.bool());
    let (base, other) = match &inner {
        Ok(Some(inner)) if outer => (dir, inner),
        Ok(Some(inner)) => (inner, dir),
        _ => (dir, dir),
    };
    let doing = rng.u8(0..17);
    let answer = match doing {
        0 | 1 => told(base.create_new(from, access).map(|file| *held = Some(file))),
        2 => told(base.make_dir(from, 0o777)),
        3 => told(base.make_dirs(from).map(|(_, grown)| grown.len())),
        4 => told(base.stat(from).map(|meta| {
            meta.map(|meta| (meta.kind, if meta.kind == Kind::File { (meta.size, meta.links, meta.mode) } else { (0, 0, 0) }))
        })),
        5 => told(base.rename(from, other, to)),
        6 => told(base.rename_noreplace(from, other, to)),
        7 => told(base.exchange(from, other, to)),
        8 => told(base.link(from, other, to)),
        9 => told(base.unlink(from)),
        10 => told(base.rmdir(from)),
        11 => told(base.open(from, access).map(|file| file.map(|file| *held = Some(file)).is_some())),
        12 => told(held.as_ref().map(|file| file.append_all(&bytes)).transpose()),
        13 => told(held.as_ref().map(|file| file.truncate(small)).transpose()),
        14 => told(held.as_ref().map(|file| file.set_mode(0o600 + u32::from(bytes.len() > 700))).transpose()),
        15 => told(held.as_ref().map(|file| file.meta().map(|meta| (meta.size, meta.links, meta.mode))).transpose()),
        _ => {
            let file = held.as_ref().map(|file| file.reserve(0..small).and_then(|()| file.read_some(small / 2, 100)));
            told(file.transpose())
        }
    };
    format!("{doing} {sub} {outer} {from} {to} {:?}: {answer}", inner.map(|dir| dir.is_some()).map_err(|error| error.reason))
}

#[test]
fn it_answers_and_looks_like_the_real_file_system() {
    let base = std::env::var("FOLIO_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..1 << 32));
    for seed in base..base + 60 {
        let temp = tempfile::tempdir().unwrap();
        let (real, sim) = (Dir::open_root(temp.path()).unwrap(), Sim::new(seed).root());
        let (mut on_real, mut on_sim) = (fastrand::Rng::with_seed(seed), fastrand::Rng::with_seed(seed));
        let (mut held, mut simulated) = (None, None);
        for n in 0..150 {
            let (one, two) = (step(&mut on_real, &real, &mut held), step(&mut on_sim, &sim, &mut simulated));
            assert_eq!(two, one, "FOLIO_SEED={seed}, step {n}");
            assert_eq!(tree(&sim), tree(&real), "FOLIO_SEED={seed}, step {n}: {one}");
        }
    }
}
