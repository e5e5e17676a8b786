//! What commits together: changes of files that happen all or not at all.
//!
//! ```text
//! prepare    temporary files are written, or room for them is reserved; a full disk shows here
//! record     the changes go into the journal, and are durable: the commit point
//! apply      the changes are made under the real names
//! ```
//!
//! After a crash [`replay`] makes those changes again that a record tells of and the files don't show.
//!
//! | file | holds |
//! | --- | --- |
//! | `op` | one change of one file, and its form in the journal |
//! | `prepare` | making a step: a temporary file, reserved room |
//! | `apply` | making a change under the real name |
//! | `job` | a commit whose changes the committer's thread makes |
//! | `room` | a little room on the disk that is kept for changes which have begun |
//! | `replay` | making changes again after a crash |

mod apply;
mod job;
mod op;
mod prepare;
pub(crate) mod replay;
mod room;

use std::sync::Arc;

pub(crate) use self::apply::{Effect, Ground};
pub(crate) use self::job::Change;
pub(crate) use self::op::{Before, Body, Id, Op, Place};
pub(crate) use self::prepare::{INLINE, Prepared, Written, lines};
pub(crate) use self::replay::Note;
pub(crate) use self::room::Room;
use super::journal::{MAX_RECORD, Weight};
use super::store::Store;
use super::temp::TempFile;
use super::vfs::{Dir, File};
use crate::error::{Error, Result};

/// One change, with what is needed to make it.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) op: Op,
    pub(crate) means: Means,
}

/// What a change is made with.
#[derive(Debug)]
pub(crate) enum Means {
    Nothing,
    /// Opened for appending, and the file of lines that are too many for the journal.
    Writer(Arc<File>, Option<TempFile>),
    /// Gets the name.
    Temp(TempFile),
    /// Gets the name, in this folder.
    Placed {
        temp: TempFile,
        folder: Dir,
        turn: Option<Turn>,
    },
    /// The folder in which something changes.
    Folder(Dir),
}

/// For a file that may hold another content of the same document soon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// The round of its first content since it was new or blank.
    pub(crate) round: u64,
    /// It holds an earlier content, and gets the new one once that is recorded.
    pub(crate) unwritten: bool,
}

/// Steps that commit together, in the order in which they are made.
#[derive(Debug, Default)]
pub(crate) struct Txn {
    pub(crate) steps: Vec<Step>,
}

impl Txn {
    pub(crate) fn of(step: Step) -> Self {
        Self { steps: vec![step] }
    }

    /// Changes of names of segments and projects wait for the medium in every mode.
    pub(crate) fn weight(&self) -> Weight {
        let data = |step: &Step| matches!(step.op, Op::Append { .. } | Op::Put { .. } | Op::Delete { .. });
        if self.steps.iter().all(data) { Weight::Data } else { Weight::Structure }
    }

    /// Moves contents into synced temporary files where the record would be too large for the journal.
    ///
    /// # Errors
    /// Where they can't be synced.
    pub(crate) fn fit(mut self, store: &Store) -> Result<Self> {
        let size = |steps: &[Step]| steps.iter().map(|step| step.op.size()).sum::<usize>();
        if size(&self.steps) <= MAX_RECORD {
            return Ok(self);
        }
        for step in &mut self.steps {
            if let (Op::Put { path, temp: name, body, .. }, Means::Placed { temp, turn, .. }) = (&mut step.op, &mut step.means)
                && matches!(body, Body::Inline(_))
            {
                temp.file().sync_all().map_err(|error| error.writing(path))?;
                *body = Body::Temp { name: name.clone(), len: body.len() };
                // The journal does not hold this content.
                *turn = None;
            }
        }
        store.tmp.sync().map_err(|error| error.writing("a commit"))?;
        Ok(self)
    }

    /// The record for the journal.
    pub(crate) fn record(&self) -> Vec<u8> {
        op::encode(self.steps.iter().map(|step| &step.op))
    }

    /// It was not done because of `error`, which is returned. What is prepared goes, unless it may be recorded.
    pub(crate) fn refused(self, error: Error) -> Error {
        if matches!(error, Error::OutcomeUnknown { .. }) {
            Self::abandon(self.steps);
        }
        error
    }

    /// Leaves the temporary files where they are: a record that may be durable needs them.
    pub(crate) fn abandon(steps: impl IntoIterator<Item = Step>) {
        for step in steps {
            match step.means {
                Means::Temp(temp) | Means::Placed { temp, .. } | Means::Writer(_, Some(temp)) => drop(temp.leave()),
                Means::Nothing | Means::Writer(_, None) | Means::Folder(_) => {}
            }
        }
    }
}
