//! Commits of several operations against the same plain maps: all of it, or the first refusal and nothing.

use bytes::Bytes;
use folio::{AppendOptions, Change, CommitOutcome, Current, Done, Etag, Operation, ProjectExt, Target, WriteCondition};

use super::values::{KEYS, PATCHES, PATHS, VALUES, Values};
use crate::failure::Outcome;
use crate::make::{doc_etag, json, key, numbers, on_log, path, put_file, refused};

/// What one operation should come to.
struct Expected {
    /// Its condition holds.
    holds: bool,
    /// What it would be told otherwise.
    current: Option<Etag>,
    /// Its path cannot be written.
    in_the_way: bool,
    becomes: Becomes,
}

enum Becomes {
    Doc(&'static str, Option<folio::Json>),
    File(&'static str, Option<Bytes>),
}

impl Values {
    /// One document, some files, and an entry that counts the commits.
    pub(super) async fn commit(&mut self) -> Outcome {
        let mut paths = PATHS.to_vec();
        self.random.shuffle(&mut paths);
        paths.truncate(self.random.usize(0..4));
        let name = self.random.choice(KEYS).copied().unwrap_or("a");
        let (mut operations, mut expected) = (Vec::new(), Vec::new());
        let (operation, becomes) = self.on_doc(name);
        operations.push(operation);
        expected.push(becomes);
        for name in paths {
            let (operation, becomes) = self.on_file(name);
            operations.push(operation);
            expected.push(becomes);
        }
        self.trail.say(format!("commit {operations:?}"));
        let entry = on_log("history", numbers([self.commits]), AppendOptions::default());
        operations.push(entry);
        let outcome = self.project.commit(operations).await;

        let put: Vec<&str> = expected.iter().filter_map(put_path).collect();
        if put.iter().any(|path| put.iter().any(|other| other.starts_with(&format!("{path}/")))) {
            refused(outcome, "invalid")?;
            return self.expect_commits().await;
        }
        if let Some(at) = expected.iter().position(|one| !one.holds || one.in_the_way) {
            let Some(one) = expected.get(at) else { return Ok(()) };
            match outcome {
                // which of two refusals of one operation comes first is not said
                Ok(outcome) if !one.holds => {
                    assert_eq!(outcome, CommitOutcome::Precondition { at, current: Current::Tag(one.current) });
                }
                outcome => assert_eq!(refused(outcome, "path_conflict")?.operation(), Some(at)),
            }
            return self.expect_commits().await;
        }
        let CommitOutcome::Committed(done) = outcome? else { crate::fail!("refused, although all conditions hold") };
        assert_eq!(done.len(), expected.len() + 1);
        self.commits += 1;
        for (one, done) in expected.into_iter().zip(done) {
            self.take(one, done);
        }
        self.expect_commits().await
    }

    async fn expect_commits(&mut self) -> Outcome {
        assert_eq!(self.project.history().status().await?.head.seq, self.commits);
        Ok(())
    }

    fn on_doc(&mut self, name: &'static str) -> (Operation, Expected) {
        let current = self.doc_tag(name);
        let (condition, holds) = self.condition(current);
        let value = json(self.random.choice(VALUES).copied().unwrap_or("0"));
        let patch = json(self.random.choice(PATCHES).copied().unwrap_or("{}"));
        let key = key(name);
        let (operation, becomes) = match self.random.u32(0..3) {
            0 => (Operation::PutDoc { key, value: value.clone(), condition }, Some(value)),
            1 => {
                let made =
                    self.docs.get(name).map_or_else(|| folio::Json::patch_of_nothing(&patch), |old| old.merge_patch(&patch));
                (Operation::PatchDoc { key, patch, condition }, Some(made))
            }
            _ => (Operation::DeleteDoc { key, condition }, None),
        };
        (operation, Expected { holds, current, in_the_way: false, becomes: Becomes::Doc(name, becomes) })
    }

    fn on_file(&mut self, name: &'static str) -> (Operation, Expected) {
        let current = self.files.get(name).map(|bytes| Etag::of(bytes));
        let (condition, holds) = if self.random.bool() { self.condition(current) } else { (WriteCondition::None, true) };
        if self.random.u32(0..3) == 0 {
            let operation = Operation::DeleteFile { path: path(name), condition };
            return (operation, Expected { holds, current, in_the_way: false, becomes: Becomes::File(name, None) });
        }
        let bytes: Bytes = vec![self.random.u8(..); self.random.usize(0..3_000)].into();
        let operation = put_file(name, [bytes.clone()], condition);
        let in_the_way = self.is_in_the_way(name);
        (operation, Expected { holds, current, in_the_way, becomes: Becomes::File(name, Some(bytes)) })
    }

    /// Compares what was done, and takes it over.
    fn take(&mut self, one: Expected, done: Done) {
        let created = one.current.is_none();
        match one.becomes {
            Becomes::Doc(name, Some(value)) => {
                let etag = doc_etag(&value);
                match done {
                    Done::Patched(document) => assert_eq!((&document.value, document.etag), (&value, etag)),
                    done => assert_eq!(done, Done::Written { etag, created }),
                }
                self.untold_docs.push(Change::Put { target: Target::Doc(key(name)), etag: Some(etag) });
                self.docs.insert(name, value);
            }
            Becomes::Doc(name, None) => {
                assert_eq!(done, Done::Deleted(!created));
                if self.docs.remove(name).is_some() {
                    self.untold_docs.push(Change::Delete { target: Target::Doc(key(name)) });
                }
            }
            Becomes::File(name, Some(bytes)) => {
                let etag = Etag::of(&bytes);
                assert_eq!(done, Done::Written { etag, created });
                let change = Change::Put { target: Target::File(path(name)), etag: Some(etag) };
                self.untold_files.entry(name).or_default().push(change);
                self.files.insert(name, bytes);
            }
            Becomes::File(name, None) => {
                assert_eq!(done, Done::Deleted(!created));
                if self.files.remove(name).is_some() {
                    let change = Change::Delete { target: Target::File(path(name)) };
                    self.untold_files.entry(name).or_default().push(change);
                }
            }
        }
    }
}

fn put_path(one: &Expected) -> Option<&'static str> {
    match one.becomes {
        Becomes::File(name, Some(_)) => Some(name),
        _ => None,
    }
}
