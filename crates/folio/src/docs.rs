//! The contract of a store of JSON documents.

use async_trait::async_trait;

use crate::blob::{WriteCondition, WriteOutcome};
use crate::change::ChangeStream;
use crate::error::Result;
use crate::etag::Etag;
use crate::json::Json;
use crate::name::DocKey;

/// A document and its tag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Document {
    /// The value.
    pub value: Json,
    /// Of the stored bytes.
    pub etag: Etag,
}

/// A line of a list of documents.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DocInfo {
    /// The key.
    pub key: DocKey,
    /// Stored bytes.
    pub size: u64,
    /// Unix milliseconds of the last write.
    pub modified: u64,
    /// Told when asked for.
    pub etag: Option<Etag>,
}

/// What to list.
#[derive(Clone, Debug)]
pub struct DocListOptions {
    /// Only keys that begin with this.
    pub prefix: String,
    /// Only keys after this one (exclusive, in byte order).
    pub after: Option<DocKey>,
    /// At most so many, from 1 to 10,000.
    pub limit: usize,
    /// Read every document to tell its ETag.
    pub etag: bool,
}

impl Default for DocListOptions {
    fn default() -> Self {
        Self { prefix: String::new(), after: None, limit: 1_000, etag: false }
    }
}

/// A page of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DocList {
    /// In byte order of the keys.
    pub docs: Vec<DocInfo>,
    /// Goes into `after`; `None` at the end.
    pub next: Option<DocKey>,
}

/// JSON documents under keys: of a project, shared, or in a collection.
///
/// # Contract
/// - A write is atomic and durable when acknowledged; a reader sees the old or the new value whole.
/// - Conditions are race-free among all who write through Folio: of n writers with the same ETag one wins.
/// - ETags come from the stored bytes: compact JSON and a newline, for what Folio wrote.
/// - A stored file that is not valid JSON is [`Damaged`](crate::Error::Damaged) with its place and the ETag of its bytes. `put` without a
///   condition refuses to overwrite it; with that ETag (or [`WriteCondition::Exists`]) it does.
/// - Writes to a log never show up here.
/// - In a project: [`NoProject`](crate::Error::NoProject) where it does not exist. Collections and `shared` come into being by a write.
#[async_trait]
pub trait JsonKv: Send + Sync {
    /// Lists documents by prefix, in byte order, in pages.
    async fn list(&self, options: DocListOptions) -> Result<DocList>;

    /// The document, or `None`.
    async fn get(&self, key: &DocKey) -> Result<Option<Document>>;

    /// Writes a document.
    async fn put(&self, key: &DocKey, value: Json, condition: WriteCondition) -> Result<WriteOutcome>;

    /// Applies a JSON Merge Patch (RFC 7396), and creates the document where there is none. Atomic: patches that run
    /// at the same time all take effect. Returns what is stored now.
    async fn patch(&self, key: &DocKey, patch: Json, condition: WriteCondition) -> Result<PatchOutcome>;

    /// Deletes a document. Deleting what isn't there is fine, unless a condition asks for it.
    async fn delete(&self, key: &DocKey, condition: WriteCondition) -> Result<DeleteOutcome>;

    /// Follows writes and deletes of these documents, beginning with [`Ready`](crate::change::Change::Ready).
    async fn subscribe(&self) -> Result<ChangeStream>;
}

/// What became of a merge patch.
#[must_use]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PatchOutcome {
    /// Stored.
    Written(Document),
    /// The condition did not hold; nothing was written.
    Precondition {
        /// The tag of what is there, or `None` when nothing is.
        current: Option<Etag>,
    },
}

/// What became of a delete.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeleteOutcome {
    /// It is gone now; `true` if it was there.
    Deleted(bool),
    /// The condition did not hold; nothing was deleted.
    Precondition {
        /// The tag of what is there, or `None` when nothing is.
        current: Option<Etag>,
    },
}
