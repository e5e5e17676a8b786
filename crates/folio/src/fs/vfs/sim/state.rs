//! Everything that a simulated file system is.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};

use rustix::io::Errno;

use super::Fault;
use super::bytes::Bytes;
use super::changes::{Change, Changes, Ino};
use crate::fs::vfs::{Kind, Meta};

pub(super) const ROOT: Ino = 1;
/// Room that a file or folder takes besides its bytes.
const NODE: u64 = 256;
/// Begun in 2025.
const BEGIN_NS: u64 = 1_750_000_000_000_000_000;

pub(super) type Entries = BTreeMap<OsString, Ino>;

#[derive(Clone, Debug)]
pub(super) enum Body {
    File {
        bytes: Bytes,
        /// There is room up to here.
        reserved: u64,
    },
    Folder {
        seen: Entries,
        durable: Entries,
        /// It has lost its name: nothing comes into it any more.
        removed: bool,
    },
}

/// A file or folder.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) body: Body,
    pub(super) mode: u32,
    /// Names of a file.
    pub(super) links: u32,
    /// How often it is open.
    pub(super) opens: u32,
    /// The handle that has the lock.
    pub(super) locked_by: Option<u64>,
    birth_ns: u64,
    pub(super) modified_ns: u64,
    pub(super) changed_ns: u64,
}

impl Node {
    pub(super) fn is_folder(&self) -> bool {
        matches!(self.body, Body::Folder { .. })
    }

    fn room(&self) -> u64 {
        match &self.body {
            Body::File { bytes, reserved } => NODE + reserved.max(&(bytes.len() as u64)),
            Body::Folder { .. } => NODE,
        }
    }
}

/// Everything that a simulated file system is.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) nodes: BTreeMap<Ino, Node>,
    pub(super) changes: Changes,
    next_ino: Ino,
    next_handle: u64,
    now_ns: u64,
    pub(super) rng: fastrand::Rng,
    pub(super) operations: u64,
    /// How many there were of each kind.
    pub(super) kinds: BTreeMap<&'static str, u64>,
    pub(super) plan: BTreeMap<u64, Fault>,
    pub(super) room: Option<u64>,
    pub(super) dead: bool,
    pub(super) fingerprint: u64,
    pub(super) shown: bool,
    /// Files can be written past the system's memory.
    pub(super) through: bool,
}

/// How a mutating operation is to go.
pub(super) enum Turn {
    Go,
    Short,
    Fail(Errno),
    /// It happens, and then the power fails.
    Last,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        let mut state = Self {
            nodes: BTreeMap::new(),
            changes: Changes::default(),
            next_ino: ROOT,
            next_handle: 0,
            now_ns: BEGIN_NS,
            rng: fastrand::Rng::with_seed(seed),
            operations: 0,
            kinds: BTreeMap::new(),
            plan: BTreeMap::new(),
            room: None,
            dead: false,
            fingerprint: 0,
            shown: false,
            through: seed.is_multiple_of(2),
        };
        state.add(Body::Folder { seen: Entries::new(), durable: Entries::new(), removed: false }, 0o755);
        state
    }

    /// The next moment.
    pub(super) fn tick(&mut self) -> u64 {
        self.now_ns += 1_000;
        self.now_ns
    }

    pub(super) fn handle(&mut self) -> u64 {
        self.next_handle += 1;
        self.next_handle
    }

    pub(super) fn add(&mut self, body: Body, mode: u32) -> Ino {
        let (ino, now) = (self.next_ino, self.tick());
        self.next_ino += 1;
        let node = Node { body, mode, links: 0, opens: 0, locked_by: None, birth_ns: now, modified_ns: now, changed_ns: now };
        self.nodes.insert(ino, node);
        ino
    }

    pub(super) fn node(&mut self, ino: Ino) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&ino).ok_or(Errno::IO)
    }

    /// The names in a folder.
    pub(super) fn entries(&self, folder: Ino) -> Result<&Entries, Errno> {
        match self.nodes.get(&folder).map(|node| &node.body) {
            Some(Body::Folder { seen, .. }) => Ok(seen),
            Some(Body::File { .. }) => Err(Errno::NOTDIR),
            None => Err(Errno::IO),
        }
    }

    pub(super) fn lookup(&self, folder: Ino, name: &std::ffi::OsStr) -> Result<Option<Ino>, Errno> {
        if name.len() > 255 {
            return Err(Errno::NAMETOOLONG);
        }
        self.entries(folder).map(|entries| entries.get(name).copied())
    }

    pub(super) fn meta(&self, ino: Ino) -> Result<Meta, Errno> {
        let node = self.nodes.get(&ino).ok_or(Errno::IO)?;
        let (kind, size) = match &node.body {
            Body::File { bytes, .. } => (Kind::File, bytes.len() as u64),
            Body::Folder { .. } => (Kind::Dir, 4096),
        };
        Ok(Meta {
            kind,
            size,
            modified_ms: node.modified_ns / 1_000_000,
            modified_ns: node.modified_ns,
            changed_ns: node.changed_ns,
            inode: ino,
            birth_ns: node.birth_ns,
            mode: node.mode,
            links: node.links,
        })
    }

    /// Begins a mutating operation.
    pub(super) fn turn(&mut self, doing: &'static str, what: impl Hash) -> Result<Turn, Errno> {
        if self.dead {
            return Err(Errno::IO);
        }
        self.operations += 1;
        *self.kinds.entry(doing).or_default() += 1;
        let fault = self.plan.remove(&self.operations);
        let mut hasher = DefaultHasher::new();
        (self.fingerprint, doing, what, self.operations).hash(&mut hasher);
        self.fingerprint = hasher.finish();
        if self.shown {
            println!("{:6} {doing} {fault:?}", self.operations);
        }
        match fault {
            None => Ok(Turn::Go),
            Some(Fault::Short) => Ok(Turn::Short),
            Some(Fault::Fail(errno)) => Ok(Turn::Fail(errno)),
            Some(Fault::Full) => {
                self.room = Some(self.used());
                Ok(Turn::Go)
            }
            Some(Fault::Cut) if self.rng.bool() => Ok(Turn::Last),
            Some(Fault::Cut) => {
                self.dead = true;
                Err(Errno::IO)
            }
        }
    }

    /// Bytes that are used or reserved.
    pub(super) fn used(&self) -> u64 {
        let kept = |node: &&Node| node.links > 0 || node.opens > 0 || node.is_folder();
        self.nodes.values().filter(kept).map(Node::room).sum()
    }

    /// How much of `wanted` more room there is.
    pub(super) fn grant(&self, wanted: u64) -> u64 {
        self.room.map_or(wanted, |room| room.saturating_sub(self.used()).min(wanted))
    }

    /// Room for a new file or folder.
    pub(super) fn grant_node(&self) -> Result<(), Errno> {
        if self.grant(NODE) == NODE { Ok(()) } else { Err(Errno::NOSPC) }
    }

    /// Carries out a change of names.
    pub(super) fn change(&mut self, change: Change) {
        let now = self.tick();
        for ((folder, name), named) in &change.sets {
            if let Some(Node { body: Body::Folder { seen, .. }, modified_ns, .. }) = self.nodes.get_mut(folder) {
                let before = set(seen, name, *named);
                *modified_ns = now;
                self.count(before, -1, now);
                self.count(*named, 1, now);
            }
        }
        self.changes.push(change);
    }

    fn count(&mut self, ino: Option<Ino>, by: i32, now: u64) {
        if let Some(node) = ino.and_then(|ino| self.nodes.get_mut(&ino)) {
            node.links = node.links.saturating_add_signed(by);
            node.changed_ns = now;
        }
    }

    fn make_durable(&mut self, changes: Vec<Change>) {
        for change in changes {
            for ((folder, name), named) in &change.sets {
                if let Some(Node { body: Body::Folder { durable, .. }, .. }) = self.nodes.get_mut(folder) {
                    set(durable, name, *named);
                }
            }
        }
    }

    /// `fsync`.
    pub(super) fn sync(&mut self, ino: Ino) -> Result<(), Errno> {
        match &mut self.node(ino)?.body {
            Body::File { bytes, .. } => bytes.sync(),
            Body::Folder { .. } => {
                let taken = self.changes.take(ino);
                self.make_durable(taken);
                self.forget_removed();
            }
        }
        Ok(())
    }

    /// An `fsync` that fails: the bytes that it was to make durable count as clean from now on.
    pub(super) fn sync_badly(&mut self, ino: Ino) -> Result<(), Errno> {
        let mut rng = self.rng.fork();
        match &mut self.node(ino)?.body {
            Body::File { bytes, .. } => bytes.sync_badly(&mut rng),
            Body::Folder { .. } => {
                let taken = self.changes.take(ino);
                // Names go through the file system's own journal: none that is seen can be given up for good.
                if rng.bool() { self.make_durable(taken) } else { self.changes.put_back(taken) }
            }
        }
        Ok(())
    }

    /// `syncfs`.
    pub(super) fn sync_all(&mut self) {
        for node in self.nodes.values_mut() {
            if let Body::File { bytes, .. } = &mut node.body {
                bytes.sync();
            }
        }
        let taken = self.changes.take_all();
        self.make_durable(taken);
        self.forget_removed();
    }

    /// A `syncfs` that fails.
    pub(super) fn sync_all_badly(&mut self) {
        let mut rng = self.rng.fork();
        for node in self.nodes.values_mut() {
            if let Body::File { bytes, .. } = &mut node.body {
                bytes.sync_badly(&mut rng);
            }
        }
        if rng.bool() {
            let taken = self.changes.take_all();
            self.make_durable(taken);
        }
    }

    /// Lets go of what has no name, on no side, and is not open.
    fn forget_removed(&mut self) {
        let loose = |node: &Node| node.opens == 0 && node.links == 0;
        if self.nodes.values().filter(|node| loose(node)).count() < 64 {
            return;
        }
        let mut named = BTreeSet::from([ROOT]);
        for node in self.nodes.values() {
            if let Body::Folder { durable, .. } = &node.body {
                named.extend(durable.values());
            }
        }
        let changes = &self.changes;
        self.nodes.retain(|ino, node| !loose(node) || named.contains(ino) || changes.name(*ino));
    }

    /// What a power cut leaves.
    pub(super) fn after_cut(&self, rng: &mut fastrand::Rng) -> Self {
        let mut after = Self { rng: rng.fork(), ..self.clone() };
        let survivors = self.changes.survivors(rng).into_iter().cloned().collect();
        after.make_durable(survivors);
        let mut kept: BTreeMap<Ino, Node> = BTreeMap::new();
        let mut left = vec![ROOT];
        while let Some(ino) = left.pop() {
            let Some(mut node) = after.nodes.remove(&ino) else { continue };
            if let Body::Folder { seen, durable, removed } = &mut node.body {
                left.extend(durable.values());
                (*seen, *removed) = (durable.clone(), false);
            }
            kept.insert(ino, node);
        }
        for node in kept.values_mut() {
            if let Body::File { bytes, reserved } = &mut node.body {
                (*bytes, *reserved) = (bytes.cut(rng), 0);
            }
        }
        after.nodes = kept;
        after.changes = Changes::default();
        after.without_process()
    }

    /// What the death of the process leaves.
    pub(super) fn after_kill(&self) -> Self {
        self.clone().without_process()
    }

    fn without_process(mut self) -> Self {
        let mut links: BTreeMap<Ino, u32> = BTreeMap::new();
        for node in self.nodes.values() {
            if let Body::Folder { seen, .. } = &node.body {
                seen.values().for_each(|ino| *links.entry(*ino).or_default() += 1);
            }
        }
        for (ino, node) in &mut self.nodes {
            (node.opens, node.locked_by) = (0, None);
            node.links = links.get(ino).copied().unwrap_or(0);
        }
        (self.dead, self.plan) = (false, BTreeMap::new());
        self
    }
}

fn set(entries: &mut Entries, name: &OsString, named: Option<Ino>) -> Option<Ino> {
    match named {
        Some(ino) => entries.insert(name.clone(), ino),
        None => entries.remove(name),
    }
}
