//! A root as a crash left it: what lies there, what records tell of it, and what the next open makes of both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::ManualClock;
use crate::cursor::Seq;
use crate::etag::Etag;
use crate::fs::failure::Failure;
use crate::fs::journal::{Dirty, Journal, JournalOptions, Pending, Weight};
use crate::fs::quarantine::Quarantine;
use crate::fs::spares::Spares;
use crate::fs::txn::replay::{Note, explain, replay};
use crate::fs::txn::{Before, Body, Ground, Id, Op, Place, Room, op};
use crate::fs::vfs::Dir;

const ROOT: [u8; 16] = *b"0123456789abcdef";

/// Path and bytes of every file, folders with a slash and without bytes.
type Tree = BTreeMap<String, Vec<u8>>;

pub(super) struct Rig {
    folder: tempfile::TempDir,
    ground: Ground,
    records: Vec<Vec<Op>>,
    temps: u64,
}

impl Rig {
    /// The project `p`, with an empty `.meta`.
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for path in ["p/.meta", ".folio/tmp", ".folio/quarantine", ".folio/journal"] {
            std::fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        let root = Dir::open_root(folder.path()).unwrap();
        let own = |name: &str| root.dir(format!(".folio/{name}")).unwrap().unwrap();
        let ground = Ground {
            tmp: own("tmp"),
            quarantine: Quarantine::new(own("quarantine"), Arc::new(ManualClock::new(1_763_900_000_000))),
            room: Room::open(&root.dir(".folio").unwrap().unwrap()).unwrap(),
            turns: Arc::default(),
            root,
        };
        Self { folder, ground, records: Vec::new(), temps: 0 }
    }

    pub(super) fn path(&self, rel: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(rel)
    }

    pub(super) fn write(&self, rel: &str, bytes: impl AsRef<[u8]>) {
        std::fs::create_dir_all(self.path(rel).parent().unwrap()).unwrap();
        std::fs::write(self.path(rel), bytes).unwrap();
    }

    /// What an editor does that writes a new file and renames it over the old one.
    pub(super) fn swap(&self, rel: &str, bytes: impl AsRef<[u8]>) {
        self.write("editor", bytes);
        std::fs::rename(self.path("editor"), self.path(rel)).unwrap();
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        std::fs::create_dir_all(self.path(to).parent().unwrap()).unwrap();
        std::fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(super) fn exchange(&self, one: &str, other: &str) {
        let at = |rel| (rustix::fs::CWD, self.path(rel));
        let ((one_at, one), (other_at, other)) = (at(one), at(other));
        rustix::fs::renameat_with(one_at, one, other_at, other, rustix::fs::RenameFlags::EXCHANGE).unwrap();
    }

    pub(super) fn remove(&self, rel: &str) {
        std::fs::remove_file(self.path(rel)).unwrap();
    }

    /// The text of a file; `None` where there is none.
    pub(super) fn text(&self, rel: &str) -> Option<String> {
        std::fs::read(self.path(rel)).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(super) fn id(&self, rel: &str) -> Id {
        self.ground.root.stat(rel).unwrap().unwrap().id()
    }

    pub(super) fn before(&self, rel: &str) -> Before {
        Before::of(&self.ground.root.stat(rel).unwrap().unwrap(), None)
    }

    /// A temporary file with these bytes; its path below the root.
    pub(super) fn temp(&mut self, bytes: impl AsRef<[u8]>) -> String {
        self.temps += 1;
        let path = format!(".folio/tmp/{:032x}", self.temps);
        self.write(&path, bytes);
        path
    }

    pub(super) fn record(&mut self, ops: impl IntoIterator<Item = Op>) {
        self.records.push(ops.into_iter().collect());
    }

    /// The journal as the crash left it.
    fn pending(&self) -> Pending {
        let folder = self.ground.root.dir(".folio/journal").unwrap().unwrap();
        let read = || Pending::read(&folder, ROOT).unwrap();
        if read().is_empty() {
            let options = JournalOptions { inline: true, ..JournalOptions::default() };
            let failure = Arc::new(Failure::none(String::new()));
            let (root, orphan) = (self.ground.root.clone(), Box::new(|_: &_| Ok(())));
            let spares = Arc::new(Spares::new(self.ground.tmp.clone()));
            let journal = Journal::start(folder.clone(), root, read(), options, failure, orphan, spares).unwrap();
            for ops in &self.records {
                journal.commit(op::encode(ops.iter()), Weight::Structure).unwrap().done(Dirty::default());
            }
        }
        read()
    }

    /// Replays all records, and checks that explaining it before changed nothing and told the same, and that doing it
    /// once more changes nothing.
    pub(super) fn replay(&self) -> Vec<Note> {
        let (pending, before) = (self.pending(), self.tree());
        let mut explained = explain(&self.ground.root, Some(&self.ground.tmp), &pending).unwrap();
        assert_eq!(self.tree(), before, "explaining changes nothing");
        let notes = replay(&self.ground, &pending).unwrap();
        explained.retain(|note| note.notable);
        assert_eq!(explained, notes);
        let after = self.tree();
        replay(&self.ground, &pending).unwrap();
        assert_eq!(self.tree(), after, "doing it once more changes nothing");
        notes
    }

    /// Replays, where nobody else was at work.
    pub(super) fn replay_quietly(&self) {
        assert_eq!(self.replay(), [], "there is nothing that a person should know");
        assert!(self.kept().is_empty(), "{:?}", self.kept());
    }

    /// Replays, where another program had been at work on one path, and returns what was set aside.
    pub(super) fn replay_told(&self, path: &str) -> Vec<String> {
        let notes = self.replay();
        assert!(notes.iter().all(|note| note.path == path) && !notes.is_empty(), "{notes:?}");
        self.kept()
    }

    /// What lies in quarantine, each once, its index left out.
    pub(super) fn kept(&self) -> Vec<String> {
        let folder = std::fs::read_dir(self.path(".folio/quarantine")).unwrap();
        let paths = folder.map(|entry| entry.unwrap().path()).filter(|path| !path.ends_with("index.jsonl"));
        let mut kept: Vec<String> = paths.map(|path| String::from_utf8(std::fs::read(path).unwrap()).unwrap()).collect();
        kept.sort();
        kept.dedup();
        kept
    }

    /// Everything but the journal and the quarantine.
    fn tree(&self) -> Tree {
        let (mut tree, mut left) = (Tree::new(), vec![self.folder.path().to_owned()]);
        while let Some(folder) = left.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let name = entry.path().strip_prefix(self.folder.path()).unwrap().display().to_string();
                if name == ".folio/journal" || name == ".folio/quarantine" {
                    continue;
                }
                if entry.file_type().unwrap().is_dir() {
                    left.push(entry.path());
                    tree.insert(format!("{name}/"), Vec::new());
                } else {
                    tree.insert(name, std::fs::read(entry.path()).unwrap_or_default());
                }
            }
        }
        tree
    }

    /// The record of a document or file that gets these bytes, which lie at `temp` or, where it was applied, at `path`.
    pub(super) fn put(&self, path: &str, temp: &str, before: Option<Before>, bytes: &str) -> Op {
        let id = self.id(if self.path(temp).exists() { temp } else { path });
        let (after, body) = (Etag::of(bytes.as_bytes()), Body::Inline(bytes.into()));
        Op::Put { path: path.into(), temp: name(temp), id, mode: 0o644, after, before, body }
    }

    /// As [`Rig::put`], of a body that is too large for the journal.
    pub(super) fn put_large(&self, path: &str, temp: &str, before: Option<Before>, bytes: &str) -> Op {
        match self.put(path, temp, before, bytes) {
            Op::Put { path, temp, id, mode, after, before, .. } => {
                let body = Body::Temp { name: temp.clone(), len: bytes.len() as u64 };
                Op::Put { path, temp, id, mode, after, before, body }
            }
            other => other,
        }
    }

    /// The record of lines at an offset of the segment that lies at `path` now.
    pub(super) fn append(&self, path: &str, offset: u64, seqs: (Seq, Seq), lines: &str) -> Op {
        let (first, last) = seqs;
        Op::Append { path: path.into(), id: self.id(path), offset, epoch: 1, first, last, body: Body::Inline(lines.into()) }
    }

    /// The record of a segment that comes from `temp`.
    pub(super) fn install(&self, path: &str, temp: &str, replaces: Option<Id>) -> Op {
        let id = self.id(if self.path(temp).exists() { temp } else { path });
        Op::Install { path: path.into(), temp: name(temp), id, replaces }
    }
}

/// The name of a temporary file.
pub(super) fn name(temp: &str) -> String {
    temp.rsplit('/').next().unwrap().to_owned()
}

pub(super) fn remove(path: &str, id: Id) -> Op {
    Op::Remove { path: path.into(), id }
}

pub(super) fn moved(from: &str, to: &str, id: Id) -> Op {
    let place = |path: &str| match path.strip_prefix(".folio/tmp/") {
        Some(name) => Place::Temp(name.into()),
        None => Place::Path(path.into()),
    };
    Op::Move { from: place(from), to: place(to), id }
}
