//! The contract of a project's files.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;

use crate::change::ChangeStream;
use crate::docs::DeleteOutcome;
use crate::error::Result;
use crate::etag::Etag;
use crate::name::FilePath;

/// When a write or delete may happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WriteCondition {
    /// Always.
    #[default]
    None,
    /// Only if the stored bytes have this tag (`If-Match: "…"`).
    Match(Etag),
    /// Only if something is there (`If-Match: *`).
    Exists,
    /// Only if nothing is there (`If-None-Match: *`).
    Absent,
}

impl WriteCondition {
    /// True when the condition holds for what is there.
    #[must_use]
    pub fn holds(self, current: Option<Etag>) -> bool {
        match self {
            Self::None => true,
            Self::Match(wanted) => current == Some(wanted),
            Self::Exists => current.is_some(),
            Self::Absent => current.is_none(),
        }
    }
}

/// What became of a write.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteOutcome {
    /// Stored.
    Written {
        /// Of the stored bytes.
        etag: Etag,
        /// True if nothing was there before.
        created: bool,
    },
    /// The condition did not hold; nothing was written.
    Precondition {
        /// The tag of what is there, or `None` when nothing is.
        current: Option<Etag>,
    },
}

/// What is known of a file without reading it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileInfo {
    /// Its path.
    pub path: FilePath,
    /// Bytes.
    pub size: u64,
    /// Unix milliseconds of the last write.
    pub modified: u64,
    /// Told where it is known or was asked for.
    pub etag: Option<Etag>,
}

/// A body in pieces.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// A file being read. The body is of one version of the file, whole, whatever is written meanwhile.
pub struct FileRead {
    /// Size of the whole file, modification time, and the ETag where it was asked for or the file is at most 1 MiB.
    pub info: FileInfo,
    /// The bytes of the body: what was asked for, cut to the size of the file.
    pub range: Range<u64>,
    /// The body.
    pub body: ByteStream,
    /// The open file, of which `range` is the body, where it is a large one in a file of its own: for who can have the
    /// system pass its bytes on (`sendfile`).
    pub file: Option<std::fs::File>,
}

impl std::fmt::Debug for FileRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileRead").field("info", &self.info).field("range", &self.range).finish_non_exhaustive()
    }
}

/// How to read a file.
#[derive(Clone, Debug, Default)]
pub struct FileReadOptions {
    /// Which bytes.
    pub range: FileRange,
    /// Tell the ETag, also where the whole file must be read for it.
    pub etag: bool,
}

/// Which bytes of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FileRange {
    /// All.
    #[default]
    Whole,
    /// From the first offset up to but not including the second; cut at the end of the file.
    Span(u64, u64),
    /// From an offset to the end.
    From(u64),
    /// The last so many bytes.
    Last(u64),
}

impl FileRange {
    /// The bytes meant, in a file of `size` bytes; empty where the range begins at or beyond the end.
    #[must_use]
    pub fn within(self, size: u64) -> Range<u64> {
        match self {
            Self::Whole => 0..size,
            Self::Span(from, to) => from.min(size)..to.min(size).max(from.min(size)),
            Self::From(from) => from.min(size)..size,
            Self::Last(count) => size.saturating_sub(count)..size,
        }
    }
}

/// What to list.
#[derive(Clone, Debug)]
pub struct FileListOptions {
    /// Only files below this folder; `None`: all.
    pub folder: Option<FilePath>,
    /// Only paths after this one (exclusive, by the bytes of the whole path).
    pub after: Option<FilePath>,
    /// At most so many, from 1 to 10,000.
    pub limit: usize,
    /// Read every file to tell its ETag.
    pub etag: bool,
}

impl Default for FileListOptions {
    fn default() -> Self {
        Self { folder: None, after: None, limit: 1_000, etag: false }
    }
}

/// A page of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileList {
    /// Ordered by the bytes of the whole path.
    pub files: Vec<FileInfo>,
    /// Goes into `after`; `None` at the end.
    pub next: Option<FilePath>,
}

/// Largest file whose ETag is told on every read, in bytes; a larger one would have to be read twice.
pub const ETAG_ON_READ_LIMIT: u64 = 1 << 20;

/// The files of a project.
///
/// # Contract
/// - A write is atomic and durable when acknowledged; a reader sees the old or the new bytes whole.
/// - Conditions are race-free among all who write through Folio: of n writers with the same ETag one wins.
/// - Paths are resolved inside the project by the system that stores them: no link leads out, none is followed.
/// - Only regular files are files. Hidden names, links, devices and pipes are neither listed nor read.
/// - [`NoProject`](crate::Error::NoProject) where the project does not exist.
#[async_trait]
pub trait BlobStore: Send + Sync {
    /// Size, time and ETag (where asked for or the file is small), or `None`.
    async fn stat(&self, path: &FilePath, etag: bool) -> Result<Option<FileInfo>>;

    /// Opens a file for reading, or `None` where there is none.
    async fn read(&self, path: &FilePath, options: FileReadOptions) -> Result<Option<FileRead>>;

    /// Writes a file from a stream, making the folders on its way. If the stream ends with an error nothing changed.
    ///
    /// # Errors
    /// [`PathConflict`](crate::Error::PathConflict) where a folder stands at the path, or a file where a folder is needed.
    async fn write(&self, path: &FilePath, body: ByteStream, condition: WriteCondition) -> Result<WriteOutcome>;

    /// Deletes a file, and the folders that this leaves empty. Deleting what isn't there is fine, unless a condition
    /// asks for it.
    async fn delete(&self, path: &FilePath, condition: WriteCondition) -> Result<DeleteOutcome>;

    /// Lists files in pages, in byte order of the whole path.
    async fn list(&self, options: FileListOptions) -> Result<FileList>;

    /// Follows writes and deletes of files, by Folio and by other programs, beginning with
    /// [`Ready`](crate::change::Change::Ready).
    async fn subscribe(&self) -> Result<ChangeStream>;
}
