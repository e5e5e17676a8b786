//! Operations on documents, files, logs and several of them at once, and what they leave: the model.

use std::collections::{BTreeMap, BTreeSet};

use folio::Etag;

/// One operation. What it writes follows from its number.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// A document of so many bytes or a few more.
    PutDoc(&'static str, usize),
    PatchDoc(&'static str),
    DeleteDoc(&'static str),
    /// A file of so many bytes.
    PutFile(&'static str, usize),
    DeleteFile(&'static str),
    /// So many entries, under a key of its own.
    Append(&'static str, u64),
    /// Removes all but so many.
    Truncate(&'static str, u64),
    DeleteLog(&'static str),
    /// All of these or none.
    Commit(Vec<Op>),
    /// A commit with a condition that does not hold.
    Refused(Vec<Op>),
}

/// One step of a plan.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// At the same time. Each has other targets.
    Together(Vec<Op>),
    /// Closes the store and opens it again: a checkpoint.
    Close,
    /// Lets go of the store and opens it again: a replay.
    Leave,
}

/// What a document holds: the number and size of the last put, and the number of the last patch since.
type Doc = (Option<(u64, usize)>, Option<u64>);

pub(super) fn doc_text((put, patch): &Doc) -> String {
    let put = put.as_ref().map(|(n, size)| format!("\"n\":{n},\"pad\":\"{}\"", "x".repeat(*size)));
    let members: Vec<String> = put.into_iter().chain(patch.map(|n| format!("\"p\":{n}"))).collect();
    format!("{{{}}}", members.join(","))
}

/// Bytes of which no part is like another's.
pub(super) fn file_bytes(n: u64, size: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(n);
    std::iter::repeat_with(|| rng.u8(..)).take(size).collect()
}

pub(super) fn entry(n: u64, at: u64, of: u64) -> String {
    format!("[{n},{at},{of}]")
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Log {
    pub(super) horizon: u64,
    pub(super) entries: Vec<String>,
}

/// What is there, as it is read.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct View {
    pub(super) docs: BTreeMap<String, String>,
    pub(super) files: BTreeMap<String, (usize, Etag)>,
    pub(super) logs: BTreeMap<String, Log>,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let docs: Vec<String> = self.docs.iter().map(|(key, text)| format!("{key}={text:.30}({})", text.len())).collect();
        let files: Vec<String> = self.files.iter().map(|(path, (size, etag))| format!("{path}={etag}({size})")).collect();
        write!(f, "{} {} {:?}", docs.join(" "), files.join(" "), self.logs)
    }
}

/// What may be there.
#[derive(Clone, PartialEq, Default, Debug)]
pub(super) struct World {
    docs: BTreeMap<&'static str, Doc>,
    files: BTreeMap<&'static str, (u64, usize)>,
    pub(super) logs: BTreeMap<&'static str, Log>,
    /// Numbers of the operations that were done.
    pub(super) done: BTreeSet<u64>,
}

impl World {
    /// Does it. The first seq of an append, its own or that of a commit.
    pub(super) fn apply(&mut self, n: u64, op: &Op) -> Option<u64> {
        self.done.insert(n);
        match op {
            Op::PutDoc(key, size) => drop(self.docs.insert(key, (Some((n, *size)), None))),
            Op::PatchDoc(key) => self.docs.entry(key).or_default().1 = Some(n),
            Op::DeleteDoc(key) => drop(self.docs.remove(key)),
            Op::PutFile(path, size) => drop(self.files.insert(path, (n, *size))),
            Op::DeleteFile(path) => drop(self.files.remove(path)),
            Op::Append(name, count) => {
                let log = self.logs.entry(name).or_default();
                let first = log.horizon + log.entries.len() as u64 + 1;
                log.entries.extend((0..*count).map(|at| entry(n, at, *count)));
                return Some(first);
            }
            Op::Truncate(name, left) => {
                let log = self.logs.entry(name).or_default();
                let removed = log.entries.len().saturating_sub(usize::try_from(*left).unwrap());
                log.entries.drain(..removed);
                log.horizon += removed as u64;
            }
            Op::DeleteLog(name) => drop(self.logs.remove(name)),
            Op::Commit(ops) => return ops.iter().fold(None, |first, op| first.or(self.apply(n, op))),
            Op::Refused(_) => {}
        }
        None
    }

    pub(super) fn view(&self) -> View {
        // A new log whose first append was refused may be left without entries.
        let logs = self.logs.iter().filter(|(_, log)| **log != Log::default());
        View {
            docs: self.docs.iter().map(|(key, doc)| ((*key).to_owned(), doc_text(doc))).collect(),
            files: self.files.iter().map(|(path, (n, size))| ((*path).to_owned(), digest(*n, *size))).collect(),
            logs: logs.map(|(name, log)| ((*name).to_owned(), log.clone())).collect(),
        }
    }
}

fn digest(n: u64, size: usize) -> (usize, Etag) {
    (size, Etag::of(&file_bytes(n, size)))
}
