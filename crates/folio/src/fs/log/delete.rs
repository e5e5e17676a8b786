//! Deleting a log: all its files in one commit.

use crate::error::Result;
use crate::fs::log::disk::{Disk, sealed_firsts};
use crate::fs::log::marker::{prune_markers, unmark};
use crate::fs::log::paths::LogPaths;
use crate::fs::log::rewrite::remove_sealed;
use crate::fs::store::Store;
use crate::fs::txn::{Step, Txn};

impl Disk {
    /// Removes the log's files. What forks of it left behind stays, and says that the name is not free yet.
    ///
    /// # Errors
    /// The log is still there, unless the outcome is unknown.
    pub(crate) fn delete(self: Box<Self>, store: &Store) -> Result<()> {
        let firsts = sealed_firsts(&self.project, &self.paths)?;
        let mut steps = remove_sealed(store, &self.project, &self.paths, firsts)?;
        if let Some(newest) = &self.newest {
            steps.push(Step::remove(self.place(store), newest.id));
        }
        if let Some(source) = &self.fork_of {
            steps.extend(unmark(store, &self.project, &LogPaths::of(source), self.paths.name())?);
        }
        store.commit(Txn { steps })?;
        // Empty folders do no harm where they stay. Markers of forks that live keep theirs.
        let _ = self.project.rmdir(self.paths.forks());
        let _ = self.project.rmdir(self.paths.sealed());
        if let Some(source) = &self.fork_of {
            prune_markers(&self.project, &LogPaths::of(source), self.paths.name());
        }
        Ok(())
    }
}
