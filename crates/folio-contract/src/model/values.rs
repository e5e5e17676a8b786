//! The documents and files of a project against plain maps, step by step.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use fastrand::Rng;
use folio::{
    BlobStoreExt, Change, ChangeStream, DeleteOutcome, DocListOptions, Document, Etag, FileListOptions, FileRange,
    FileReadOptions, Json, PatchOutcome, Project, Target, WriteCondition, WriteOutcome,
};
use futures_util::StreamExt;

use super::Trail;
use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::harness::Need;
use crate::make::{doc_etag, json, key, path, refused};
use crate::wait::{changes_until, next_change, ready};

pub(super) const KEYS: &[&str] = &["a", "a-", "a1", "b", "history"];
pub(super) const PATHS: &[&str] = &["a", "a-b", "a.txt", "a/b", "a/b/c", "a/b.d", "a0", "x/y/z", "x/y", "é"];
pub(super) const VALUES: &[&str] = &["null", "1", "1.0", r#"{"a":1,"b":{"c":2}}"#, r#"{"a":[1e400,-0]}"#, r#""ü""#, "[]"];
pub(super) const PATCHES: &[&str] =
    &["{}", r#"{"a":null}"#, r#"{"b":{"c":3,"d":null}}"#, r#"{"z":"new"}"#, "7", r#"{"a":{"x":1}}"#];

/// A project with its documents and files, what they should be, and what a subscriber must have been told.
pub(super) struct Values {
    ctx: Ctx,
    pub(super) project: Arc<dyn Project>,
    pub(super) random: Rng,
    pub(super) trail: Trail,
    pub(super) docs: BTreeMap<&'static str, Json>,
    pub(super) files: BTreeMap<&'static str, Bytes>,
    /// Entries of the history: one for each commit.
    pub(super) commits: u64,
    /// Tags that were once right.
    old_tags: Vec<Etag>,
    changes: ChangeStream,
    /// Document changes to be told, in order.
    pub(super) untold_docs: Vec<Change>,
    /// Files that changed since the subscriber was looked at.
    pub(super) untold_files: BTreeMap<&'static str, Vec<Change>>,
}

impl Values {
    pub(super) async fn new(ctx: &Ctx, random: Rng, trail: Trail) -> Outcome<Self> {
        let project = ctx.project().await?;
        let mut changes = project.changes().await?;
        ready(&mut changes).await?;
        Ok(Self {
            ctx: ctx.clone(),
            project,
            random,
            trail,
            docs: BTreeMap::new(),
            files: BTreeMap::new(),
            commits: 0,
            old_tags: vec![Etag::of(b"never stored")],
            changes,
            untold_docs: Vec::new(),
            untold_files: BTreeMap::new(),
        })
    }

    /// Does one random thing and compares.
    pub(super) async fn step(&mut self) -> Outcome {
        let key = self.random.choice(KEYS).copied().unwrap_or("a");
        let path = self.random.choice(PATHS).copied().unwrap_or("a");
        self.trail.begin(String::new());
        match self.random.u32(0..115) {
            0..15 => self.put(key).await,
            15..25 => self.patch(key).await,
            25..35 => self.delete_doc(key).await,
            35..42 => self.get(key).await,
            42..65 => self.write(path).await,
            65..75 => self.delete_file(path).await,
            75..82 => self.read(path).await,
            82..87 => self.list_docs().await,
            87..92 => self.list_files().await,
            92..98 => self.told().await,
            98..100 => self.reopen().await,
            _ => self.commit().await,
        }
    }

    pub(super) async fn finish(&mut self) -> Outcome {
        self.told().await?;
        for key in KEYS {
            self.get(key).await?;
        }
        for path in PATHS {
            self.read(path).await?;
        }
        self.list_docs().await?;
        self.list_files().await
    }

    pub(super) fn condition(&mut self, current: Option<Etag>) -> (WriteCondition, bool) {
        let tag = match self.random.u32(0..3) {
            0 => self.random.choice(&self.old_tags).copied(),
            _ => current,
        };
        let condition = match (self.random.u32(0..8), tag) {
            (0, _) => WriteCondition::Exists,
            (1, _) => WriteCondition::Absent,
            (2 | 3, Some(tag)) => WriteCondition::Match(tag),
            _ => WriteCondition::None,
        };
        self.old_tags.extend(current);
        let holds = match condition {
            WriteCondition::None => true,
            WriteCondition::Match(tag) => current == Some(tag),
            WriteCondition::Exists => current.is_some(),
            WriteCondition::Absent => current.is_none(),
        };
        (condition, holds)
    }

    pub(super) fn doc_tag(&self, name: &str) -> Option<Etag> {
        self.docs.get(name).map(doc_etag)
    }

    async fn put(&mut self, name: &'static str) -> Outcome {
        let current = self.doc_tag(name);
        let (condition, holds) = self.condition(current);
        let value = json(self.random.choice(VALUES).copied().unwrap_or("0"));
        self.trail.say(format!("put {name} {value} {condition:?}"));
        let outcome = self.project.docs().put(&key(name), value.clone(), condition).await?;
        if !holds {
            assert_eq!(outcome, WriteOutcome::Precondition { current });
            return Ok(());
        }
        let etag = doc_etag(&value);
        assert_eq!(outcome, WriteOutcome::Written { etag, created: current.is_none() });
        self.untold_docs.push(Change::Put { target: Target::Doc(key(name)), etag: Some(etag) });
        self.docs.insert(name, value);
        Ok(())
    }

    async fn patch(&mut self, name: &'static str) -> Outcome {
        let current = self.doc_tag(name);
        let (condition, holds) = self.condition(current);
        let change = json(self.random.choice(PATCHES).copied().unwrap_or("{}"));
        self.trail.say(format!("patch {name} {change} {condition:?}"));
        let outcome = self.project.docs().patch(&key(name), change.clone(), condition).await?;
        if !holds {
            assert_eq!(outcome, PatchOutcome::Precondition { current });
            return Ok(());
        }
        // that merging itself is right is held by a table of its own
        let value = self.docs.get(name).map_or_else(|| Json::patch_of_nothing(&change), |value| value.merge_patch(&change));
        let etag = doc_etag(&value);
        assert_eq!(outcome, PatchOutcome::Written(Document { value: value.clone(), etag }));
        self.untold_docs.push(Change::Put { target: Target::Doc(key(name)), etag: Some(etag) });
        self.docs.insert(name, value);
        Ok(())
    }

    async fn delete_doc(&mut self, name: &'static str) -> Outcome {
        let current = self.doc_tag(name);
        let (condition, holds) = self.condition(current);
        self.trail.say(format!("delete {name} {condition:?}"));
        let outcome = self.project.docs().delete(&key(name), condition).await?;
        if !holds {
            assert_eq!(outcome, DeleteOutcome::Precondition { current });
            return Ok(());
        }
        assert_eq!(outcome, DeleteOutcome::Deleted(current.is_some()));
        if self.docs.remove(name).is_some() {
            self.untold_docs.push(Change::Delete { target: Target::Doc(key(name)) });
        }
        Ok(())
    }

    async fn get(&mut self, name: &'static str) -> Outcome {
        self.trail.say(format!("get {name}"));
        let expected = self.docs.get(name).map(|value| Document { value: value.clone(), etag: doc_etag(value) });
        assert_eq!(self.project.docs().get(&key(name)).await?, expected);
        Ok(())
    }

    /// True where a folder stands at the path, or a file where a folder of it should.
    pub(super) fn is_in_the_way(&self, name: &str) -> bool {
        let below = format!("{name}/");
        self.files.keys().any(|other| other.starts_with(&below) || name.starts_with(&format!("{other}/")))
    }

    async fn write(&mut self, name: &'static str) -> Outcome {
        let current = self.files.get(name).map(|bytes| Etag::of(bytes));
        let (condition, holds) = self.condition(current);
        let bytes: Bytes = vec![self.random.u8(..); self.random.usize(0..3_000)].into();
        self.trail.say(format!("write {name} {} bytes {condition:?}", bytes.len()));
        let outcome = self.project.files().write_bytes(&path(name), bytes.clone(), condition).await;
        if self.is_in_the_way(name) {
            // which of two refusals comes first is not said
            match outcome {
                Ok(WriteOutcome::Precondition { current: None }) if !holds => {}
                outcome => drop(refused(outcome, "path_conflict")?),
            }
            return Ok(());
        }
        if !holds {
            assert_eq!(outcome?, WriteOutcome::Precondition { current });
            return Ok(());
        }
        let etag = Etag::of(&bytes);
        assert_eq!(outcome?, WriteOutcome::Written { etag, created: current.is_none() });
        let change = Change::Put { target: Target::File(path(name)), etag: Some(etag) };
        self.untold_files.entry(name).or_default().push(change);
        self.files.insert(name, bytes);
        Ok(())
    }

    async fn delete_file(&mut self, name: &'static str) -> Outcome {
        let current = self.files.get(name).map(|bytes| Etag::of(bytes));
        let (condition, holds) = self.condition(current);
        self.trail.say(format!("delete {name} {condition:?}"));
        let outcome = self.project.files().delete(&path(name), condition).await?;
        if !holds {
            assert_eq!(outcome, DeleteOutcome::Precondition { current });
            return Ok(());
        }
        assert_eq!(outcome, DeleteOutcome::Deleted(current.is_some()));
        if self.files.remove(name).is_some() {
            let change = Change::Delete { target: Target::File(path(name)) };
            self.untold_files.entry(name).or_default().push(change);
        }
        Ok(())
    }

    async fn read(&mut self, name: &'static str) -> Outcome {
        let (from, to) = (self.random.u64(0..3_000), self.random.u64(0..3_000));
        let range = match self.random.u32(0..4) {
            0 => FileRange::Span(from, to),
            1 => FileRange::From(from),
            2 => FileRange::Last(to),
            _ => FileRange::Whole,
        };
        self.trail.say(format!("read {name} {range:?}"));
        let read = self.project.files().read(&path(name), FileReadOptions { range, etag: true }).await?;
        let (Some(mut read), Some(bytes)) = (read, self.files.get(name)) else {
            assert!(!self.files.contains_key(name), "the file {name} is not there");
            assert_eq!(self.project.files().stat(&path(name), true).await?, None);
            return Ok(());
        };
        let mut got = Vec::new();
        while let Some(piece) = read.body.next().await {
            got.extend(piece?);
        }
        let meant = range.within(bytes.len() as u64);
        let part: Vec<u8> = bytes.iter().copied().skip(meant.start as usize).take((meant.end - meant.start) as usize).collect();
        assert_eq!((read.info.size, read.info.etag, read.range), (bytes.len() as u64, Some(Etag::of(bytes)), meant));
        assert!(got == part, "the bytes of {name} differ");
        Ok(())
    }

    async fn list_docs(&mut self) -> Outcome {
        let limit = self.random.usize(1..7);
        self.trail.say(format!("list documents by {limit}"));
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let list = self.project.docs().list(DocListOptions { limit, after, etag: true, ..Default::default() }).await?;
            listed.extend(list.docs.into_iter().map(|doc| (doc.key.to_string(), doc.size, doc.etag)));
            after = list.next;
            if after.is_none() {
                break;
            }
        }
        let expected: Vec<_> = self
            .docs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_str().len() as u64 + 1, Some(doc_etag(value))))
            .collect();
        assert_eq!(listed, expected);
        Ok(())
    }

    async fn list_files(&mut self) -> Outcome {
        let limit = self.random.usize(1..7);
        let folder = self.random.choice([None, Some("a"), Some("x"), Some("x/y"), Some("nothing")]).flatten();
        self.trail.say(format!("list files below {folder:?} by {limit}"));
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let options = FileListOptions { limit, after, folder: folder.map(path), etag: true };
            let list = self.project.files().list(options).await?;
            listed.extend(list.files.into_iter().map(|file| (file.path.to_string(), file.size, file.etag)));
            after = list.next;
            if after.is_none() {
                break;
            }
        }
        let below = folder.map(|folder| format!("{folder}/")).unwrap_or_default();
        let expected: Vec<_> = self
            .files
            .iter()
            .filter(|(name, _)| name.starts_with(&below))
            .map(|(name, bytes)| ((*name).to_owned(), bytes.len() as u64, Some(Etag::of(bytes))))
            .collect();
        assert_eq!(listed, expected);
        Ok(())
    }

    /// Looks at the subscriber: every document write once, in order; of every file at least its final state, and
    /// nothing that never was.
    async fn told(&mut self) -> Outcome {
        self.trail.say("look at the subscriber");
        let marker = key("the-last-one");
        let value = json(&self.random.u64(..).to_string());
        let outcome = self.project.docs().put(&marker, value.clone(), WriteCondition::None).await?;
        let WriteOutcome::Written { etag, .. } = outcome else { crate::fail!("{outcome:?} of a plain put") };
        let last = Change::Put { target: Target::Doc(marker.clone()), etag: Some(etag) };
        let mut told = changes_until(&mut self.changes, "the last document", |change| *change == last).await?;
        told.pop();
        let (docs, mut files): (Vec<_>, Vec<_>) =
            told.into_iter().partition(|change| matches!(change.target(), Some(Target::Doc(_))));
        assert_eq!(docs, std::mem::take(&mut self.untold_docs));
        for (name, changes) in std::mem::take(&mut self.untold_files) {
            let target = Target::File(path(name));
            let mut seen = 0;
            // documents and files are told in the order they were noticed, so that of a file may come later
            while files.iter().rfind(|change| change.target() == Some(&target)) != changes.last() {
                files.push(next_change(&mut self.changes, format!("the last of {changes:?}, after {files:?}")).await?);
            }
            for change in files.iter().filter(|change| change.target() == Some(&target)) {
                let rest = changes.get(seen..).unwrap_or_default();
                let Some(at) = rest.iter().position(|expected| expected == change) else {
                    crate::fail!("{change:?} was told, of {changes:?}")
                };
                seen += at + 1;
            }
            files.retain(|change| change.target() != Some(&target));
        }
        if !files.is_empty() {
            crate::fail!("{files:?} was told although nothing of it changed");
        }
        let gone = self.project.docs().delete(&marker, WriteCondition::None).await?;
        assert_eq!(gone, DeleteOutcome::Deleted(true));
        let told = next_change(&mut self.changes, "the end of the last document").await?;
        assert_eq!(told, Change::Delete { target: Target::Doc(marker) });
        Ok(())
    }

    async fn reopen(&mut self) -> Outcome {
        if !self.ctx.has(Need::Reopen) {
            return Ok(());
        }
        self.trail.say("reopen");
        self.told().await?;
        self.ctx.reopen().await?;
        self.project = self.ctx.again(&self.project);
        self.changes = self.project.changes().await?;
        ready(&mut self.changes).await
    }
}
