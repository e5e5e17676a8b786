//! A journal on a simulated file system, and what another open would find in it.

use std::sync::{Arc, Mutex};

use crate::driver::Durability;
use crate::error::Error;
use crate::fs::failure::Failure;
use crate::fs::journal::{Dirty, Held, Journal, JournalOptions, Pending, Weight};
use crate::fs::spares::Spares;
use crate::fs::vfs::sim::Sim;
use crate::fs::vfs::{Access, Dir, File};

pub(super) const ROOT: [u8; 16] = *b"0123456789abcdef";

pub(super) struct Rig {
    pub(super) sim: Sim,
    pub(super) root: Dir,
    pub(super) folder: Dir,
    /// Inodes that were told as orphans.
    pub(super) orphans: Arc<Mutex<Vec<u64>>>,
}

/// A few sectors a segment, everything in the caller's thread.
pub(super) fn tiny() -> JournalOptions {
    JournalOptions {
        first_segment: 4 << 10,
        segment: 8 << 10,
        most: 32 << 10,
        age: std::time::Duration::from_secs(3600),
        inline: true,
        ..JournalOptions::default()
    }
}

/// As [`tiny`], with its threads.
pub(super) fn threaded() -> JournalOptions {
    JournalOptions { inline: false, ..tiny() }
}

/// As [`tiny`], in the mode that syncs nothing.
pub(super) fn unsynced() -> JournalOptions {
    JournalOptions { durability: Durability::Os, ..tiny() }
}

impl Rig {
    pub(super) fn new(seed: u64) -> Self {
        Self::of(Sim::new(seed))
    }

    pub(super) fn of(sim: Sim) -> Self {
        let root = sim.root();
        if root.make_dir("journal", 0o700).unwrap() {
            root.sync().unwrap();
        }
        let folder = root.dir("journal").unwrap().unwrap();
        Self { sim, root, folder, orphans: Arc::default() }
    }

    /// The same after a power cut.
    pub(super) fn cut(&self, rng: &mut fastrand::Rng) -> Self {
        Self::of(self.sim.cut(rng))
    }

    /// The same after the death of the process.
    pub(super) fn kill(&self) -> Self {
        Self::of(self.sim.kill())
    }

    pub(super) fn open(&self, options: JournalOptions) -> Arc<Journal> {
        let orphans = Arc::clone(&self.orphans);
        let orphan = move |held: &Held| {
            orphans.lock().unwrap().push(held.inode);
            Ok(())
        };
        let (folder, medium) = (self.folder.clone(), self.root.clone());
        let failure = Arc::new(Failure::none("/sim".into()));
        // None of its files is the first new one, so it keeps none.
        let spares = Arc::new(Spares::new(medium.clone()));
        Journal::start(folder, medium, self.pending(), options, failure, Box::new(orphan), spares).unwrap()
    }

    pub(super) fn pending(&self) -> Pending {
        Pending::read(&self.folder, ROOT).unwrap()
    }

    /// What the next open would make again, or that it would be refused.
    pub(super) fn found(&self) -> Result<Vec<Vec<u8>>, Error> {
        let pending = self.pending();
        pending.check()?;
        Ok(pending.records().map(|record| record.unwrap().bytes).collect())
    }

    /// The names of all files of the journal.
    pub(super) fn names(&self) -> Vec<String> {
        let names = self.folder.list().unwrap().map(|listed| listed.unwrap().name.into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort_by_key(|name| (name.len(), name.clone()));
        names
    }

    pub(super) fn file(&self, name: &str) -> File {
        self.folder.open(name, Access::ReadWrite).unwrap().unwrap()
    }

    pub(super) fn bytes(&self, name: &str) -> Vec<u8> {
        self.file(name).read_some(0, 1 << 24).unwrap()
    }

    /// Bytes of all files of the journal.
    pub(super) fn size(&self) -> u64 {
        self.names().iter().map(|name| self.file(name).len().unwrap()).sum()
    }

    /// A file outside the journal, with bytes that are not synced.
    pub(super) fn changed(&self, name: &str, bytes: &[u8]) -> Held {
        let file = match self.root.open(name, Access::Append).unwrap() {
            Some(file) => file,
            None => self.root.create_new(name, Access::Append).unwrap(),
        };
        let since = file.len().unwrap();
        file.append_all(bytes).unwrap();
        Held { inode: file.meta().unwrap().inode, file: Arc::new(file), since: Some(since) }
    }
}

/// Commits a record, and says that its change is made.
pub(super) fn commit(journal: &Journal, record: &[u8]) {
    journal.commit(record.to_vec(), Weight::Data).unwrap().done(Dirty::default());
}

/// Commits records in one batch.
pub(super) fn commit_together(journal: &Journal, records: &[&[u8]]) {
    let end = journal.shared.commit_inline(records.iter().map(|record| (record.to_vec(), Weight::Data)).collect()).unwrap();
    records.iter().for_each(|_| journal.shared.done(end, Some(Dirty::default())));
}

/// Waits for what another thread does. Ends the test where that never happens.
pub(super) fn until(mut holds: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(120), "it never happens");
        std::thread::yield_now();
    }
}
