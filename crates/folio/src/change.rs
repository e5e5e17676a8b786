//! Changes of files and documents, as they are told to subscribers.

use futures_core::stream::BoxStream;

use crate::error::Result;
use crate::etag::Etag;
use crate::name::{DocKey, FilePath};

/// What changed.
#[derive(Clone, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Target {
    /// A file of the project.
    File(FilePath),
    /// A document.
    Doc(DocKey),
}

/// One event of a change subscription.
///
/// Events are hints about the final state: own document writes give one event each, in order, at once; other changes
/// of one path may be merged. After the last change of a path at least one event tells its final state, or a
/// [`Change::Rescan`] says that something was missed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// The subscription stands: what changes from now on is told. List again to know what was before.
    Ready,
    /// Written.
    Put {
        /// What.
        target: Target,
        /// Of the bytes written; `None` where the file is too large to be read for it.
        etag: Option<Etag>,
    },
    /// Deleted.
    Delete {
        /// What.
        target: Target,
    },
    /// Something was missed: list again.
    Rescan,
    /// A write displaced what another program had put there meanwhile; that was kept in quarantine.
    Conflict {
        /// What.
        target: Target,
    },
}

impl Change {
    /// What the event is about, if it is about one thing.
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Put { target, .. } | Self::Delete { target } | Self::Conflict { target } => Some(target),
            Self::Ready | Self::Rescan => None,
        }
    }
}

/// A change subscription. Bounded: a reader that falls behind gets [`Change::Rescan`]. Drop it to end it.
pub type ChangeStream = BoxStream<'static, Result<Change>>;
