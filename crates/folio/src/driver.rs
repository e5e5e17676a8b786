//! The contract of a driver: where projects live.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::runtime::Handle;

use crate::blob::BlobStore;
use crate::change::ChangeStream;
use crate::commit::{CommitOutcome, Operation};
use crate::docs::JsonKv;
use crate::error::Result;
use crate::log::AppendLog;
use crate::name::{CollectionName, LogName, ProjectId};

/// Version of the contract in this module tree; rises when a guarantee changes.
pub const CONTRACT_VERSION: u32 = 1;

/// When an acknowledged write survives what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// Synced to the medium before the acknowledgement: survives power loss.
    #[default]
    Sync,
    /// Synced a moment later: a power loss or a crash of the system can take the last second of acknowledged
    /// writes; a crash of Folio alone takes nothing.
    Interval,
    /// Handed to the operating system: a power loss or a crash of the system can take what the system had not written
    /// yet, often the last 30 seconds; a crash of Folio alone takes nothing.
    Os,
    /// Kept in memory: gone with the process.
    Memory,
}

impl Durability {
    /// The word used in every format: `sync`, `interval`, `os`, `memory`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Interval => "interval",
            Self::Os => "os",
            Self::Memory => "memory",
        }
    }

    /// The reverse of [`Durability::as_str`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Sync, Self::Interval, Self::Os, Self::Memory].into_iter().find(|durability| durability.as_str() == word)
    }
}

/// What a driver says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DriverInfo {
    /// `memory`, `fs`.
    pub name: String,
    /// See [`CONTRACT_VERSION`].
    pub contract: u32,
    /// What an acknowledgement means here.
    pub durability: Durability,
}

/// A page of the list of projects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProjectList {
    /// In byte order.
    pub projects: Vec<ProjectId>,
    /// Goes into `after`; `None` at the end.
    pub next: Option<ProjectId>,
}

/// A page of the list of a project's logs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogList {
    /// In byte order of the encoded names; `history` is among them.
    pub logs: Vec<LogName>,
    /// Goes into `after`; `None` at the end.
    pub next: Option<LogName>,
}

/// A store of projects.
///
/// Handles ([`Driver::project`] and what it hands out) cost nothing and check nothing; each call on them answers
/// [`NoProject`](crate::Error::NoProject) where the project does not exist.
#[async_trait]
pub trait Driver: Send + Sync {
    /// Name, contract version, durability.
    async fn info(&self) -> Result<DriverInfo>;

    /// Makes a project; `false` where it was there already.
    async fn create_project(&self, id: &ProjectId) -> Result<bool>;

    /// True where the project exists.
    async fn has_project(&self, id: &ProjectId) -> Result<bool>;

    /// Deletes a project with everything in it; `false` where there was none. Streams on its logs say `Deleted`, streams
    /// of its changes end.
    async fn delete_project(&self, id: &ProjectId) -> Result<bool>;

    /// Lists projects after `after` (exclusive), at most `limit` (1 to 10,000).
    async fn list_projects(&self, after: Option<&ProjectId>, limit: usize) -> Result<ProjectList>;

    /// Copies a project: logs and documents as of one moment, each file whole. The source is not touched. The copy's
    /// logs have their own epoch and know no keys; closed ones stay closed, and none is a fork of another.
    ///
    /// # Errors
    /// [`NoProject`](crate::Error::NoProject) for the source, [`Exists`](crate::Error::Exists) for the target.
    async fn fork_project(&self, source: &ProjectId, target: &ProjectId) -> Result<()>;

    /// A handle to a project.
    fn project(&self, id: &ProjectId) -> Arc<dyn Project>;

    /// Documents that belong to no project.
    fn shared(&self) -> Arc<dyn JsonKv>;

    /// A named collection of documents outside projects.
    fn collection(&self, name: &CollectionName) -> Arc<dyn JsonKv>;

    /// A runtime for tasks that mostly append, and wait for it: where it can, the driver runs them on the very thread that
    /// commits, which saves two changes of threads for each append. Tasks there stand still while something is synced, so
    /// what they do beside must be short, and never block; they end when the driver is closed. `None`: it has none, or was
    /// not asked for one.
    fn committing(&self) -> Option<Handle> {
        None
    }

    /// Whether it takes writes. Asks what is known already; touches no storage.
    ///
    /// # Errors
    /// [`StoreFailed`](crate::Error::StoreFailed) with the first failure, where writes are refused until the store is
    /// opened again.
    async fn ready(&self) -> Result<()> {
        Ok(())
    }

    /// Ends background work and releases the store (a lock, open files) once running calls are done. What was
    /// acknowledged is kept as the durability says, and made durable here where it was not yet.
    async fn close(&self) -> Result<()>;
}

/// A project: files, documents, a history and named logs.
#[async_trait]
pub trait Project: Send + Sync {
    /// Its id.
    fn id(&self) -> &ProjectId;

    /// Its files.
    fn files(&self) -> Arc<dyn BlobStore>;

    /// Its documents.
    fn docs(&self) -> Arc<dyn JsonKv>;

    /// A log: `history` or a named one.
    fn log(&self, name: &LogName) -> Arc<dyn AppendLog>;

    /// Lists the logs after `after` (exclusive), at most `limit` (1 to 10,000). `history` is always there.
    async fn list_logs(&self, after: Option<&LogName>, limit: usize) -> Result<LogList>;

    /// Changes of files and documents together, in the order they were noticed.
    async fn changes(&self) -> Result<ChangeStream>;

    /// Does all `operations`, on any targets in the project, or none of them; durable when acknowledged.
    ///
    /// - Every condition (also an expected head) and every path is judged on what is there before the commit. The
    ///   operations are judged in their order, and the first that cannot be done is the answer. What is wrong with them
    ///   whatever the store holds comes before that.
    /// - Each target comes at most once. No operations do nothing.
    /// - After a crash all of it is there or nothing.
    /// - Among those who write through Folio, a commit is atomic and isolated: none sees its targets change in between.
    /// - Readers read one thing at a time, and may find one target changed a moment before another. Once the commit is
    ///   acknowledged, all of it is read. Who has read an entry of it reads its documents and files, too.
    /// - Changes are told after all is in, one event for each document and file.
    /// - Bodies of files are taken one after the other, in the order of the operations; one that fails leaves everything
    ///   as it was.
    ///
    /// One append may carry an idempotency key, which then belongs to the whole commit: a retry with the same operations
    /// (conditions aside) changes nothing and answers [`Replayed`](CommitOutcome::Replayed). The key is looked up before
    /// anything else is judged.
    ///
    /// # Errors
    /// What the single calls answer; all are [of an operation](crate::Error::operation) where one is to blame.
    /// [`Invalid`](crate::Error::Invalid) for a target that comes twice, more than
    /// [`MAX_OPERATIONS`](crate::MAX_OPERATIONS), or a second key; [`TooLarge`](crate::Error::TooLarge) also where all
    /// values and entries together, or all documents as they would be stored, are over the limit for one body;
    /// [`KeyReused`](crate::Error::KeyReused) where the key came with another commit or append.
    async fn commit(&self, operations: Vec<Operation>) -> Result<CommitOutcome>;
}
