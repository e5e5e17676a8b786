use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::fs::{CWD, FileType, Mode};
use rustix::io::Errno;

use super::*;
use crate::error::Error;

fn folder() -> (tempfile::TempDir, Dir) {
    let temp = tempfile::tempdir().unwrap();
    let dir = Dir::open_root(temp.path()).unwrap();
    (temp, dir)
}

fn put(dir: &Dir, rel: &str, bytes: &[u8]) {
    dir.create_new(rel, Access::Append).unwrap().append_all(bytes).unwrap();
}

fn read(dir: &Dir, rel: &str) -> VfsResult<Option<Vec<u8>>> {
    dir.open(rel, Access::Read)?.map(|file| file.read_some(0, 1 << 20)).transpose()
}

fn exchange(a: &Path, b: &Path) {
    rustix::fs::renameat_with(CWD, a, CWD, b, rustix::fs::RenameFlags::EXCHANGE).unwrap();
}

fn names(dir: &Dir) -> Vec<(String, Kind)> {
    let mut names: Vec<_> =
        dir.list().unwrap().map(|entry| entry.map(|e| (e.name.into_string().unwrap(), e.kind)).unwrap()).collect();
    names.sort_by(|a, b| a.0.cmp(&b.0));
    names
}

#[test]
fn a_file_is_written_read_and_known_again() {
    let (_temp, dir) = folder();
    let file = dir.create_new("a", Access::ReadWrite).unwrap();
    file.append_all(b"hello ").unwrap();
    file.append_all(b"world").unwrap();
    file.write_all_at(b"W", 6).unwrap();
    file.sync_data().unwrap();
    assert_eq!(file.len().unwrap(), 11);
    let mut buf = [0; 20];
    assert_eq!(file.read_at(&mut buf, 6).unwrap(), 5);
    assert_eq!(&buf[..5], b"World");
    file.truncate(5).unwrap();
    assert_eq!(read(&dir, "a").unwrap().unwrap(), b"hello");

    let again = dir.open("a", Access::Append).unwrap().unwrap();
    assert_eq!(again.identity().unwrap(), file.identity().unwrap());
    again.append_all(b"!").unwrap();
    assert_eq!(read(&dir, "a").unwrap().unwrap(), b"hello!");
    put(&dir, "copy", b"hello!");
    dir.rename("copy", &dir, "a").unwrap();
    let replaced = dir.open("a", Access::Read).unwrap().unwrap();
    assert_ne!(replaced.identity().unwrap(), file.identity().unwrap());
    assert!(file.meta().unwrap().modified_ms > 1_600_000_000_000);
}

#[test]
fn folders_are_made_once_and_tell_which_need_a_sync() {
    let (_temp, dir) = folder();
    assert!(dir.make_dir("a", 0o777).unwrap());
    assert!(!dir.make_dir("a", 0o777).unwrap());
    let (made, grown) = dir.make_dirs("a/b/c").unwrap();
    assert_eq!(made.path(), dir.path().join("a/b/c"));
    assert_eq!(grown.iter().map(|d| d.path().to_owned()).collect::<Vec<_>>(), [dir.path().join("a"), dir.path().join("a/b")]);
    grown.iter().for_each(|folder| folder.sync().unwrap());
    assert!(dir.make_dirs("a/b/c").unwrap().1.is_empty());
    put(&dir, "file", b"");
    assert!(dir.make_dirs("file/x").unwrap_err().missing());
    assert_eq!(dir.make_dir("file", 0o777).unwrap_err().reason, Reason::Stands(Kind::File));
}

#[test]
fn names_move_only_as_told() {
    let (_temp, dir) = folder();
    put(&dir, "a", b"a");
    put(&dir, "b", b"b");
    assert!(!dir.rename_noreplace("a", &dir, "b").unwrap());
    assert!(dir.link("a", &dir, "b").unwrap_err().exists());
    dir.link("a", &dir, "c").unwrap();
    let sub = dir.make_dirs("sub").unwrap().0;
    assert!(dir.rename_noreplace("c", &sub, "c").unwrap());
    assert_eq!(names(&dir), [("a".into(), Kind::File), ("b".into(), Kind::File), ("sub".into(), Kind::Dir)]);
    assert!(!dir.rmdir("sub").unwrap(), "not empty");
    assert!(dir.unlink("sub/c").unwrap());
    assert!(!dir.unlink("sub/c").unwrap());
    assert!(dir.rmdir("sub").unwrap());
    assert!(!dir.rmdir("sub").unwrap());
}

#[test]
fn nothing_there_is_a_value() {
    let (_temp, dir) = folder();
    assert!(dir.open("x", Access::Read).unwrap().is_none());
    assert!(dir.open("x/y", Access::Append).unwrap().is_none());
    assert!(dir.dir("x").unwrap().is_none());
    assert!(dir.stat("x/y").unwrap().is_none());
    put(&dir, "file", b"");
    assert!(dir.open("file/y", Access::Read).unwrap_err().missing());
    assert!(dir.create_new("file", Access::Append).unwrap_err().exists());
}

#[test]
fn no_path_leads_out() {
    let (temp, outer) = folder();
    put(&outer, "secret", b"secret");
    let dir = outer.make_dirs("in").unwrap().0;
    let absolute = temp.path().join("secret");
    for path in ["..", "../secret", "", "/", ".", "./a", "a/", "a//b", "a/../../secret", absolute.to_str().unwrap()] {
        let refused = |error: VfsError| assert_eq!(error.reason, Reason::BadPath, "{path:?}");
        refused(dir.open(path, Access::Read).unwrap_err());
        refused(dir.create_new(path, Access::Append).unwrap_err());
        refused(dir.dir(path).unwrap_err());
        refused(dir.stat(path).unwrap_err());
        refused(dir.make_dir(path, 0o777).unwrap_err());
        refused(dir.make_dirs(path).unwrap_err());
        refused(dir.unlink(path).unwrap_err());
        refused(dir.rmdir(path).unwrap_err());
        refused(dir.rename(path, &dir, "x").unwrap_err());
        refused(dir.rename("x", &dir, path).unwrap_err());
        refused(dir.link("x", &dir, path).unwrap_err());
    }
    assert_eq!(read(&outer, "secret").unwrap().unwrap(), b"secret");
}

#[test]
fn links_pipes_and_folders_are_told_and_never_waited_on() {
    let (temp, dir) = folder();
    put(&dir, "file", b"x");
    dir.make_dirs("sub").unwrap();
    symlink("file", temp.path().join("link")).unwrap();
    symlink("sub", temp.path().join("dirlink")).unwrap();
    rustix::fs::mknodat(CWD, temp.path().join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    drop(std::os::unix::net::UnixListener::bind(temp.path().join("socket")).unwrap());

    for access in [Access::Read, Access::ReadWrite, Access::Append] {
        for name in ["link", "pipe", "socket", "sub", "dirlink/x"] {
            let error = dir.open(name, access).unwrap_err();
            assert!(error.foreign() && !error.missing(), "{name}: {error}");
            assert!(matches!(Error::from(error), Error::Io { what, .. } if what.contains(name)));
        }
    }
    assert!(dir.dir("dirlink").unwrap_err().foreign());
    assert!(dir.make_dir("dirlink", 0o777).unwrap_err().foreign());
    assert!(dir.unlink("dirlink/x").unwrap_err().foreign());
    assert_eq!(dir.stat("link").unwrap().unwrap().kind, Kind::Link);
    assert_eq!(dir.stat("pipe").unwrap().unwrap().kind, Kind::Other);
    let kinds: Vec<Kind> = names(&dir).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(kinds, [Kind::Link, Kind::File, Kind::Link, Kind::Other, Kind::Other, Kind::Dir]);
}

/// Raises a flag when dropped, also by a panic.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// While someone swaps a folder for a link that leads outside, no operation reaches what lies outside.
#[test]
fn a_swapped_link_never_leads_out() {
    let (temp, outer) = folder();
    let inside = outer.make_dirs("in").unwrap().0;
    outer.make_dirs("out").unwrap();
    put(&outer, "out/f", b"outside");
    put(&outer, "out/victim", b"outside");
    inside.make_dirs("real").unwrap();
    put(&inside, "real/f", b"inside");
    symlink(temp.path().join("out"), temp.path().join("in/sub")).unwrap();

    let (done, swaps) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                exchange(&temp.path().join("in/sub"), &temp.path().join("in/real"));
                swaps.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _end = Raise(&done);
        let (mut hits, mut round) = (0, 0);
        // On a busy machine the swapper may get its turn late: the race is run until both sides took part.
        while round < 20_000 || hits <= 100 || swaps.load(Ordering::Relaxed) <= 100 {
            round += 1;
            match read(&inside, "sub/f") {
                Ok(Some(bytes)) => {
                    assert_eq!(bytes, b"inside");
                    hits += 1;
                }
                Ok(None) => panic!("round {round}: the file is always there"),
                Err(error) => assert!(error.foreign(), "{error}"),
            }
            let _ = inside.unlink("sub/victim");
            let _ = inside.make_dir("sub/dir", 0o777);
            if let Ok(file) = inside.create_new("sub/new", Access::Append) {
                file.append_all(b"x").unwrap();
            }
            let _ = inside.unlink("sub/new");
        }
    });
    let out = outer.dir("out").unwrap().unwrap();
    assert_eq!(names(&out), [("f".into(), Kind::File), ("victim".into(), Kind::File)]);
}

#[test]
fn names_in_any_bytes_are_listed() {
    use std::os::unix::ffi::OsStrExt;
    let (temp, dir) = folder();
    let odd = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    std::fs::write(temp.path().join(odd), b"x").unwrap();
    let listed: Vec<_> = dir.list().unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(listed, [Listed { name: odd.to_owned(), kind: Kind::File }]);
    assert!(dir.open(Path::new(odd), Access::Read).unwrap().is_some());
}

#[test]
fn a_lock_is_held_until_the_file_is_closed() {
    let (_temp, dir) = folder();
    put(&dir, "lock", b"");
    let open = || dir.open("lock", Access::ReadWrite).unwrap().unwrap();
    let (first, second) = (open(), open());
    assert!(first.try_lock().unwrap());
    assert!(!second.try_lock().unwrap());
    drop(first);
    assert!(second.try_lock().unwrap());
}

#[test]
fn a_full_disk_has_its_own_error() {
    for errno in [Errno::NOSPC, Errno::DQUOT] {
        let error = VfsError::os("write", Path::new("/x"), errno);
        assert!(error.disk_full());
        assert_eq!(Error::from(error), Error::DiskFull { what: "/x".into() });
    }
}

#[test]
fn two_names_swap_what_they_name() {
    let temp = tempfile::tempdir().unwrap();
    let dir = Dir::open_root(temp.path()).unwrap();
    for name in ["a", "b"] {
        dir.create_new(name, Access::Append).unwrap().append_all(name.as_bytes()).unwrap();
    }
    assert!(dir.exchange("a", &dir, "b").unwrap());
    assert_eq!(std::fs::read(temp.path().join("a")).unwrap(), b"b");
    assert!(!dir.exchange("a", &dir, "c").unwrap(), "nothing stands there");
    assert!(!temp.path().join("c").exists());
}

#[test]
fn reserved_room_does_not_change_the_length_and_a_removed_file_has_no_links() {
    let temp = tempfile::tempdir().unwrap();
    let dir = Dir::open_root(temp.path()).unwrap();
    let file = dir.create_new("a", Access::Append).unwrap();
    file.append_all(b"1").unwrap();
    file.reserve(1..100_000).unwrap();
    assert_eq!((file.len().unwrap(), file.meta().unwrap().links), (1, 1));
    file.append_all(b"2").unwrap();
    assert_eq!(std::fs::read(temp.path().join("a")).unwrap(), b"12");
    dir.unlink("a").unwrap();
    assert_eq!(file.meta().unwrap().links, 0);
}

/// A file that is swapped out of its folder is outside by the time that its way is checked.
#[test]
fn a_name_whose_file_is_swapped_leads_to_one_of_the_two() {
    let temp = tempfile::tempdir().unwrap();
    let outer = Dir::open_root(temp.path()).unwrap();
    let (inside, other) = (outer.make_dirs("in").unwrap().0, outer.make_dirs("tmp").unwrap().0);
    inside.create_new("a", Access::Append).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::SeqCst) {
                        assert!(inside.open("a", Access::Read).unwrap().is_some());
                        assert!(inside.stat("a").unwrap().is_some());
                    }
                })
            })
            .collect();
        for n in 0..5_000 {
            let name = n.to_string();
            other.create_new(&name, Access::Append).unwrap();
            assert!(other.exchange(&name, &inside, "a").unwrap());
            other.unlink(&name).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}
