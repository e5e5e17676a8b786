//! What all records together say of a file: every value that a document was given, every name that a segment had.

use std::collections::HashMap;

use super::names::Names;
use crate::etag::Etag;
use crate::fs::txn::op::{Before, Id, Op, Place};
use crate::fs::vfs::Meta;

/// The values of one document or file that records tell of.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// What was found before each change.
    befores: Vec<Before>,
    /// Nothing was there at some time.
    pub(super) absent: bool,
    /// Files that records put there, with the tags of their bytes and how many those are.
    given: Vec<(Id, Etag, u64)>,
    /// The last change, by its place among all.
    last: usize,
    /// Its project was deleted later.
    dead: bool,
}

impl Chain {
    /// True for a file that was found there before some change, and that nobody wrote since.
    pub(super) fn found_before(&self, meta: &Meta) -> bool {
        self.befores.iter().any(|before| before.is(meta))
    }

    /// The tags of all bytes that records put there as this file, and how many those are.
    pub(super) fn given(&self, id: Id) -> impl Iterator<Item = (Etag, u64)> + Clone {
        self.given.iter().filter(move |(given, ..)| *given == id).map(|(_, etag, len)| (*etag, *len))
    }

    /// True for a file that records gave several contents.
    pub(super) fn had_several(&self, id: Id) -> bool {
        self.given(id).nth(1).is_some()
    }
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The newest chain of each path.
    chains: HashMap<String, Chain>,
    pub(super) names: Names,
    count: usize,
}

impl Index {
    pub(super) fn add(&mut self, ops: &[Op]) {
        for op in ops {
            self.add_one(op);
            self.names.add(op);
            self.count += 1;
        }
    }

    fn add_one(&mut self, op: &Op) {
        match op {
            Op::Put { path, id, after, before, body, .. } => {
                let chain = self.change(path);
                chain.given.push((*id, *after, body.len()));
                match before {
                    Some(before) => chain.befores.push(*before),
                    None => chain.absent = true,
                }
            }
            Op::Delete { path, before, .. } => {
                let chain = self.change(path);
                chain.befores.push(*before);
                chain.absent = true;
            }
            Op::Move { from: Place::Path(path), .. } => {
                let below = format!("{path}/");
                self.chains.iter_mut().filter(|(path, _)| path.starts_with(&below)).for_each(|(_, chain)| chain.dead = true);
            }
            _ => {}
        }
    }

    fn change(&mut self, path: &str) -> &mut Chain {
        let chain = self.chains.entry(path.to_owned()).or_default();
        if chain.dead {
            *chain = Chain::default();
        }
        chain.last = self.count;
        chain
    }

    /// What is known of a path.
    pub(super) fn chain(&self, path: &str) -> Option<&Chain> {
        self.chains.get(path)
    }

    /// What is known of a path, where the change at that place is the last one, and counts.
    pub(super) fn last(&self, path: &str, at: usize) -> Option<&Chain> {
        self.chains.get(path).filter(|chain| chain.last == at && !chain.dead)
    }
}
