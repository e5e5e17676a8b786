//! What a driver's test gives to the suite.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use folio::{Driver, Error, ManualClock, Result};

/// What a case asks for beyond the contract itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Need {
    /// [`Harness::reopen`].
    Reopen,
    /// [`Harness::crash`].
    Crash,
    /// [`Harness::clock`].
    Clock,
    /// [`Harness::root`].
    PlainFiles,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reopen => "closing and opening again on the same storage",
            Self::Crash => "opening again without having closed",
            Self::Clock => "a clock that can be set",
            Self::PlainFiles => "a folder of plain files",
        })
    }
}

/// A driver under test, on storage of its own, and what can be done to it from outside.
///
/// Made once per case and dropped after it. Cases use projects, shared documents and collections under fresh names, so
/// harnesses may share storage. The driver must run with [`folio::Limits::default`].
#[async_trait]
pub trait Harness: Send + Sync {
    /// The driver, as of the last [`Harness::reopen`] or [`Harness::crash`].
    fn driver(&self) -> Arc<dyn Driver>;

    /// Why `need` is not met here, for the person who reads the report; `None` where it is met. Cases with a need that
    /// is not met are reported as ignored with this reason.
    fn lacks(&self, need: Need) -> Option<&'static str>;

    /// Closes the driver and opens another one on the same storage.
    ///
    /// # Errors
    /// Whatever closing and opening answer; [`Error::Unsupported`] by default.
    async fn reopen(&self) -> Result<Arc<dyn Driver>> {
        Err(not_met(Need::Reopen))
    }

    /// Opens another driver on the same storage without closing the one in use, as after a crash of the process.
    ///
    /// # Errors
    /// Whatever opening answers; [`Error::Unsupported`] by default.
    async fn crash(&self) -> Result<Arc<dyn Driver>> {
        Err(not_met(Need::Crash))
    }

    /// The clock that the driver uses, also after [`Harness::reopen`].
    fn clock(&self) -> Option<Arc<ManualClock>> {
        None
    }

    /// The folder that holds the project folders, as other programs see it.
    fn root(&self) -> Option<PathBuf> {
        None
    }
}

pub(crate) fn not_met(need: Need) -> Error {
    Error::Unsupported { what: need.to_string().into(), why: "the harness says that it can, but does not".into() }
}
