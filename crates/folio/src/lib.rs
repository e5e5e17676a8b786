//! Folio keeps what a tool that works on projects has to keep: **files**, **JSON documents** and an **append-only
//! history**, per project, on plain files that people can read with `cat` and `jq`.
//!
//! [`Driver`] is the contract; drivers implement it. Everything is behind object-safe traits: [`Driver`] hands out
//! [`Project`]s, a project hands out a [`BlobStore`] (files), a [`JsonKv`] (documents) and [`AppendLog`]s.
//! [`memory::MemoryDriver`] keeps everything in memory.

pub mod blob;
pub mod change;
pub mod clock;
pub mod commit;
pub mod cursor;
pub mod docs;
pub mod driver;
pub mod error;
pub mod etag;
pub mod ext;
mod follow;
#[cfg(target_os = "linux")]
pub mod fs;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod hub;
pub mod json;
pub mod limits;
pub mod lineage;
mod lines;
pub mod log;
pub mod memory;
pub mod name;
mod page;
mod request;
mod run;

pub use blob::{
    BlobStore, ByteStream, FileInfo, FileList, FileListOptions, FileRange, FileRead, FileReadOptions, WriteCondition,
    WriteOutcome,
};
pub use change::{Change, ChangeStream, Target};
pub use clock::{Clock, ManualClock, SystemClock};
pub use commit::{CommitOutcome, Current, Done, MAX_OPERATIONS, Operation};
pub use cursor::{Cursor, Epoch, Position, Seq};
pub use docs::{DeleteOutcome, DocInfo, DocList, DocListOptions, Document, JsonKv, PatchOutcome};
pub use driver::{Driver, DriverInfo, Durability, LogList, Project, ProjectList};
pub use error::{Error, NameKind, Result};
pub use etag::{Etag, EtagHasher};
pub use ext::{AppendLogExt, BlobStoreExt, JsonKvExt, ProjectExt};
pub use json::Json;
pub use limits::Limits;
pub use lineage::{Bounds, Gap, GapReason, Lineage, Piece, Resolved};
pub use lines::{FileLines, Lines};
pub use log::{
    AppendLog, AppendOptions, AppendOutcome, Appended, Data, Entry, LogEvent, LogStatus, LogStream, Order, Page, ReadOptions,
    Start, Truncated,
};
pub use name::{CollectionName, DocKey, FilePath, LogName, ProjectId};
