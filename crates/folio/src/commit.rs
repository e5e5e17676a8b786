//! The contract of a commit: several operations on one project, all of them or none.

mod check;

use std::fmt;

use crate::blob::{ByteStream, WriteCondition};
use crate::cursor::Position;
use crate::docs::Document;
use crate::etag::Etag;
use crate::json::Json;
use crate::log::{AppendOptions, Appended, Data};
use crate::name::{DocKey, FilePath, LogName};

pub(crate) use check::check;

/// Most operations of one commit.
pub const MAX_OPERATIONS: usize = 1_000;

/// One operation of a [commit](crate::Project::commit). Each does what the single call of its name does.
pub enum Operation {
    /// As [`JsonKv::put`](crate::JsonKv::put).
    PutDoc {
        /// Which document.
        key: DocKey,
        /// What it becomes.
        value: Json,
        /// When the commit may happen.
        condition: WriteCondition,
    },
    /// As [`JsonKv::patch`](crate::JsonKv::patch).
    PatchDoc {
        /// Which document.
        key: DocKey,
        /// A JSON Merge Patch.
        patch: Json,
        /// When the commit may happen.
        condition: WriteCondition,
    },
    /// As [`JsonKv::delete`](crate::JsonKv::delete).
    DeleteDoc {
        /// Which document.
        key: DocKey,
        /// When the commit may happen.
        condition: WriteCondition,
    },
    /// As [`BlobStore::write`](crate::BlobStore::write).
    PutFile {
        /// Which file.
        path: FilePath,
        /// What it becomes. An error in the stream refuses the commit.
        body: ByteStream,
        /// When the commit may happen.
        condition: WriteCondition,
    },
    /// As [`BlobStore::delete`](crate::BlobStore::delete).
    DeleteFile {
        /// Which file.
        path: FilePath,
        /// When the commit may happen.
        condition: WriteCondition,
    },
    /// As [`AppendLog::append`](crate::AppendLog::append).
    Append {
        /// Which log.
        log: LogName,
        /// What is appended, as one unit.
        entries: Vec<Data>,
        /// How. The key of one append makes a retry of the whole commit safe.
        options: AppendOptions,
    },
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, condition) = match self {
            Self::PutDoc { condition, .. } => ("PutDoc", Some(condition)),
            Self::PatchDoc { condition, .. } => ("PatchDoc", Some(condition)),
            Self::DeleteDoc { condition, .. } => ("DeleteDoc", Some(condition)),
            Self::PutFile { condition, .. } => ("PutFile", Some(condition)),
            Self::DeleteFile { condition, .. } => ("DeleteFile", Some(condition)),
            Self::Append { .. } => ("Append", None),
        };
        let mut shown = f.debug_struct(name);
        shown.field("target", &format_args!("{}", self.target()));
        match (self, condition) {
            (Self::Append { entries, options, .. }, _) => shown.field("entries", &entries.len()).field("options", options),
            (_, condition) => shown.field("condition", &condition),
        };
        shown.finish_non_exhaustive()
    }
}

/// What an operation is on. Written as it stands in messages: `the document "meta"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum On<'a> {
    Doc(&'a DocKey),
    File(&'a FilePath),
    Log(&'a LogName),
}

impl fmt::Display for On<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Doc(key) => write!(f, "the document {key:?}"),
            Self::File(path) => write!(f, "the file {path:?}"),
            Self::Log(name) => write!(f, "the log {name:?}"),
        }
    }
}

impl Operation {
    pub(crate) fn target(&self) -> On<'_> {
        match self {
            Self::PutDoc { key, .. } | Self::PatchDoc { key, .. } | Self::DeleteDoc { key, .. } => On::Doc(key),
            Self::PutFile { path, .. } | Self::DeleteFile { path, .. } => On::File(path),
            Self::Append { log, .. } => On::Log(log),
        }
    }

    /// For a driver that takes the body now: the file's path and the body, which leaves an empty one behind.
    pub(crate) fn take_body(&mut self) -> Option<(&FilePath, ByteStream)> {
        let Self::PutFile { path, body, .. } = self else { return None };
        Some((path, std::mem::replace(body, Box::pin(futures_util::stream::empty()))))
    }

    /// The idempotency key, of an append that has one.
    pub(crate) fn idempotency_key(&self) -> Option<&str> {
        match self {
            Self::Append { options, .. } => options.idempotency_key.as_deref(),
            _ => None,
        }
    }
}

/// What one operation of a commit did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Done {
    /// A document or file was put.
    Written {
        /// Of the stored bytes.
        etag: Etag,
        /// True if nothing was there before.
        created: bool,
    },
    /// A document was patched: what is stored now.
    Patched(Document),
    /// A document or file was deleted; `true` if it was there.
    Deleted(bool),
    /// Entries were appended.
    Appended(Appended),
}

/// What stands where the condition of an operation did not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Current {
    /// The tag of the document or file, or `None` when nothing is there.
    Tag(Option<Etag>),
    /// The head of the log.
    Head(Position),
}

/// What became of a commit that was not refused with an error.
#[must_use]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommitOutcome {
    /// All of it is done: what each operation did, in their order.
    Committed(Vec<Done>),
    /// The commit was done before, as its idempotency key says; nothing was changed. The answer is what the append with
    /// the key was told then; what the other operations did is not remembered.
    Replayed(Appended),
    /// A condition did not hold; nothing was changed.
    Precondition {
        /// The first operation whose condition did not hold, counted from 0.
        at: usize,
        /// What is there.
        current: Current,
    },
}
