//! The one public error, and its stable codes.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::cursor::{Position, Seq};
use crate::etag::Etag;
use crate::name::{FilePath, LogName, ProjectId};

/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing a name names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameKind {
    /// A project id.
    Project,
    /// A document key.
    Key,
    /// A collection.
    Collection,
    /// A file path.
    Path,
    /// A log name.
    Log,
}

impl fmt::Display for NameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Project => "project id",
            Self::Key => "document key",
            Self::Collection => "collection name",
            Self::Path => "file path",
            Self::Log => "log name",
        })
    }
}

/// Everything that can go wrong, in words for the person who reads them: what, where, what to do.
///
/// [`Error::code`] is the stable word that the library, HTTP and the command line share. Serialized, the word is the
/// member `code` and the fields stand beside it, so an error keeps its shape on its way through HTTP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Error {
    /// A name breaks its rule.
    #[error("the {kind} \"{name}\" is not valid: {why}")]
    InvalidName {
        /// What it should have named.
        kind: NameKind,
        /// The name, shortened.
        name: String,
        /// The rule.
        why: Cow<'static, str>,
    },
    /// Text is no cursor.
    #[error("the cursor \"{text}\" is not valid: expected <epoch>-<seq> or <seq>, in decimal")]
    InvalidCursor {
        /// The text, shortened.
        text: String,
    },
    /// Text is no ETag of ours.
    #[error("the ETag \"{text}\" is not valid: expected 32 lower-case hex digits")]
    InvalidEtag {
        /// The text, shortened.
        text: String,
    },
    /// A value is not JSON (or does not fit the type asked for).
    #[error("invalid JSON at line {line}, column {column}: {why}")]
    InvalidJson {
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
        /// What is wrong there.
        why: String,
    },
    /// Any other argument that cannot be meant.
    #[error("{what}")]
    Invalid {
        /// What is wrong with it, and what to do.
        what: String,
    },
    /// An entry, document or body is larger than the configured limit.
    #[error("{what} of {bytes} bytes is over the limit of {limit} bytes")]
    TooLarge {
        /// `an entry`, `a document`, `a body`.
        what: Cow<'static, str>,
        /// Its size, as far as it was read.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The project does not exist.
    #[error("there is no project {id:?}; create it first")]
    NoProject {
        /// Its id.
        id: String,
    },
    /// The named log does not exist.
    #[error("there is no log {name:?} in project {project:?}; the first append creates it")]
    NoLog {
        /// The project.
        project: String,
        /// The log.
        name: String,
    },
    /// The log was deleted while forks of it live; its name is free again when they are gone.
    #[error("the log {name:?} in project {project:?} was deleted, and forks of it still live")]
    Gone {
        /// The project.
        project: String,
        /// The log.
        name: String,
    },
    /// Something of that name stands there already.
    #[error("{what} exists already")]
    Exists {
        /// What.
        what: String,
    },
    /// A folder stands where a file should, or a file where a folder should.
    #[error("{path:?} cannot be written: {why}")]
    PathConflict {
        /// The path.
        path: String,
        /// What stands in the way.
        why: Cow<'static, str>,
    },
    /// The log has ended.
    #[error("the log {log:?} is closed at {head}; nothing can be appended to it")]
    Closed {
        /// The log.
        log: String,
        /// Its last position.
        head: Position,
    },
    /// The same idempotency key came with another body.
    #[error("the idempotency key {key:?} was used before with another request; use a new key")]
    KeyReused {
        /// The key, shortened.
        key: String,
    },
    /// What lies on disk is damaged; nothing was changed.
    #[error("{what} is damaged: {why}; `folio doctor` tells more")]
    Damaged {
        /// The thing and where it lies.
        what: String,
        /// What is wrong, with line and column or byte offset.
        why: String,
        /// ETag of the damaged bytes, for a document.
        etag: Option<Etag>,
    },
    /// The disk is full (space or inodes). Nothing was changed; it heals when there is room.
    #[error("the disk is full: {what} was not written; free some space and try again")]
    DiskFull {
        /// What was not written.
        what: String,
    },
    /// A write or sync failed after the point of no return: it may or may not have happened.
    #[error("the outcome of writing {what} is unknown ({why}); retry with the same idempotency key after the store was reopened")]
    OutcomeUnknown {
        /// What was being written.
        what: String,
        /// What the operating system said.
        why: String,
    },
    /// An earlier write failed, so writes are refused until the store is reopened.
    #[error("writes to {what} are refused since a write failed ({why}); reads go on; restart to recover")]
    StoreFailed {
        /// What is refused.
        what: String,
        /// The first failure.
        why: String,
    },
    /// Another process owns the root.
    #[error("{root} is in use by {holder}; use that one, or stop it first")]
    Locked {
        /// The folder.
        root: String,
        /// Who, as far as it said: program, pid, address.
        holder: String,
        /// Where the holder can be reached over HTTP, if it said so.
        address: Option<String>,
    },
    /// The root or a log was written by a newer Folio.
    #[error("{what} was written by a newer version of Folio ({why}); update to open it")]
    NewerFormat {
        /// The root or the file.
        what: String,
        /// The format or feature that is not known here.
        why: String,
    },
    /// This driver cannot do that, and says why.
    #[error("{what} is not supported here: {why}")]
    Unsupported {
        /// What.
        what: Cow<'static, str>,
        /// Why.
        why: String,
    },
    /// The request may be sent again as it is.
    #[error("{what}; try again")]
    Retry {
        /// What happened.
        what: String,
    },
    /// The daemon could not be reached, or said something that is not understood.
    #[error("{what}")]
    Transport {
        /// What happened, with the address.
        what: String,
    },
    /// Any other failure of the operating system. Nothing was acknowledged.
    #[error("{what}: {why}")]
    Io {
        /// What was being done, with the path.
        what: String,
        /// What the operating system said.
        why: String,
    },
    /// One operation of a commit was refused, and so all of it was. The code and the fields are those of `error`.
    #[error("operation {operation} of the commit: {error}")]
    // Read back it is `error` alone: whoever needs the operation reads it beside.
    #[serde(untagged, skip_deserializing)]
    InOperation {
        /// Which operation, counted from 0.
        operation: usize,
        /// Why.
        #[serde(flatten, serialize_with = "members")]
        error: Box<Error>,
    },
}

/// The members of an error, beside those that stand there already.
fn members<S: Serializer>(error: &Error, serializer: S) -> Result<S::Ok, S::Error> {
    // By way of a value, so that the types of nested errors don't nest.
    serde_json::to_value(error).map_err(serde::ser::Error::custom)?.serialize(serializer)
}

impl Error {
    /// An argument that cannot be meant.
    pub fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid { what: what.into() }
    }

    /// This error, as that of the operation `at` of a commit, counted from 0. One that names its operation keeps it.
    #[must_use]
    pub fn in_operation(self, at: usize) -> Self {
        match self {
            Self::InOperation { .. } => self,
            error => Self::InOperation { operation: at, error: Box::new(error) },
        }
    }

    /// The operation of a commit that was refused, counted from 0, where it is known.
    #[must_use]
    pub fn operation(&self) -> Option<usize> {
        match self {
            Self::InOperation { operation, .. } => Some(*operation),
            _ => None,
        }
    }

    /// The error itself, without the operation of a commit that it belongs to.
    #[must_use]
    pub fn cause(&self) -> &Self {
        match self {
            Self::InOperation { error, .. } => error.cause(),
            error => error,
        }
    }

    /// For a driver: the project does not exist.
    pub(crate) fn no_project(id: &ProjectId) -> Self {
        Self::NoProject { id: id.to_string() }
    }

    /// For a driver: the named log does not exist.
    pub(crate) fn no_log(project: &ProjectId, name: &LogName) -> Self {
        Self::NoLog { project: project.to_string(), name: name.to_string() }
    }

    /// For a driver: the log was deleted and has living forks.
    pub(crate) fn gone(project: &ProjectId, name: &LogName) -> Self {
        Self::Gone { project: project.to_string(), name: name.to_string() }
    }

    /// For a driver: the target of a copy stands there already.
    pub(crate) fn project_exists(id: &ProjectId) -> Self {
        Self::Exists { what: format!("the project {id:?}") }
    }

    /// For a driver: the target of a fork stands there already, or was deleted and has living forks.
    pub(crate) fn log_exists(name: &LogName) -> Self {
        Self::Exists { what: format!("the log {name:?}") }
    }

    /// For a driver: the key came with another request before.
    pub(crate) fn key_reused(key: &str) -> Self {
        Self::KeyReused { key: key.chars().take(80).flat_map(char::escape_debug).collect() }
    }

    /// For a driver: nothing can be appended any more.
    pub(crate) fn closed(name: &LogName, head: Position) -> Self {
        Self::Closed { log: name.to_string(), head }
    }

    /// For a driver: a fork at a place that the log does not have.
    pub(crate) fn no_fork_at(at: Seq, horizon: Seq, head: Seq) -> Self {
        Self::invalid(format!("a log can be forked at {horizon} to {head}, not at {at}"))
    }

    /// For a driver: the history goes only with its project.
    pub(crate) fn history_stays() -> Self {
        Self::invalid("the history cannot be deleted: it goes with its project")
    }

    /// For a driver: a folder stands at the path of a file.
    pub(crate) fn folder_at(path: &FilePath) -> Self {
        Self::PathConflict { path: path.to_string(), why: "a folder stands there".into() }
    }

    /// For a driver: one of the folders of a path is a file.
    pub(crate) fn no_folder_at(path: &FilePath, folder: &str) -> Self {
        Self::PathConflict { path: path.to_string(), why: format!("{folder:?} is no folder").into() }
    }

    /// The stable word for this error: the same in the library, over HTTP and on the command line.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidName { .. } => "invalid_name",
            Self::InvalidCursor { .. } => "invalid_cursor",
            Self::InvalidEtag { .. } => "invalid_etag",
            Self::InvalidJson { .. } => "invalid_json",
            Self::Invalid { .. } => "invalid",
            Self::TooLarge { .. } => "too_large",
            Self::NoProject { .. } => "no_project",
            Self::NoLog { .. } => "no_log",
            Self::Gone { .. } => "gone",
            Self::Exists { .. } => "exists",
            Self::PathConflict { .. } => "path_conflict",
            Self::Closed { .. } => "closed",
            Self::KeyReused { .. } => "key_reused",
            Self::Damaged { .. } => "damaged",
            Self::DiskFull { .. } => "disk_full",
            Self::OutcomeUnknown { .. } => "outcome_unknown",
            Self::StoreFailed { .. } => "store_failed",
            Self::Locked { .. } => "locked",
            Self::NewerFormat { .. } => "newer_format",
            Self::Unsupported { .. } => "unsupported",
            Self::Retry { .. } => "retry",
            Self::Transport { .. } => "transport",
            Self::Io { .. } => "io",
            Self::InOperation { error, .. } => error.code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_keep_their_shape_and_code_when_serialized() {
        let errors = [
            crate::ProjectId::new("a b").unwrap_err(),
            "x".parse::<crate::Cursor>().unwrap_err(),
            crate::Json::parse(b"{").unwrap_err(),
            Error::Closed { log: "history".into(), head: Position { epoch: 7, seq: 3 } },
            Error::Damaged { what: "a".into(), why: "b".into(), etag: Some(Etag::of(b"x")) },
            Error::Unsupported { what: "a".into(), why: "b".into() },
        ];
        for error in errors {
            let text = serde_json::to_string(&error).unwrap();
            assert!(text.contains(&format!("\"code\":\"{}\"", error.code())), "{text}");
            assert_eq!(serde_json::from_str::<Error>(&text).unwrap(), error);
            let of_a_commit = error.clone().in_operation(2).in_operation(3);
            assert_eq!((of_a_commit.code(), of_a_commit.operation(), of_a_commit.cause()), (error.code(), Some(2), &error));
            let text = serde_json::to_value(&of_a_commit).unwrap();
            assert_eq!((&text["code"], &text["operation"]), (&error.code().into(), &2.into()));
        }
    }
}
