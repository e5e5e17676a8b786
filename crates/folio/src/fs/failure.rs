//! Fail stop: after a write of unknown outcome everything that writes is refused until the root is opened again.

use std::sync::OnceLock;

use super::vfs::VfsError;
use crate::error::{Error, Result};

/// The first failure of a store, if there was one.
#[derive(Debug)]
pub(crate) struct Failure {
    root: String,
    first: OnceLock<String>,
}

impl Failure {
    /// None yet, for the store at `root`.
    pub(crate) fn none(root: String) -> Self {
        Self { root, first: OnceLock::new() }
    }

    /// Remembers the first failure; from now on [`Failure::check`] refuses.
    pub(crate) fn set(&self, error: &VfsError) {
        let _ = self.first.set(error.to_string());
    }

    /// Remembers the failure and tells it as what it means for the caller: the write of `what` may have happened.
    pub(crate) fn unknown(&self, what: &str, error: &VfsError) -> Error {
        self.set(error);
        Error::OutcomeUnknown { what: what.to_owned(), why: error.to_string() }
    }

    /// Before every write.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] after a failure.
    pub(crate) fn check(&self) -> Result<()> {
        match self.first.get() {
            None => Ok(()),
            Some(why) => Err(Error::StoreFailed { what: self.root.clone(), why: why.clone() }),
        }
    }
}
