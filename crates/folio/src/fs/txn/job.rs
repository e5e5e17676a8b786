//! A commit whose changes the committer's own thread makes: nobody's thread waits for it, and changes in the same folder,
//! where one waits for the other anyway, don't get in each other's way.

use std::sync::Arc;

use super::{Effect, Step, Txn, op};
use crate::error::{Error, Result};
use crate::fs::journal::{Applying, Job, Weight};
use crate::fs::store::Store;
use crate::fs::vfs::Looks;

type Then = Box<dyn FnOnce(Result<Vec<Effect>>) + Send>;

/// A commit on its way.
pub(crate) struct Change {
    store: Arc<Store>,
    record: Vec<u8>,
    weight: Weight,
    steps: Vec<Step>,
    recorded: bool,
    /// Told once, whatever happens.
    then: Option<Then>,
}

impl Change {
    /// `then` is told what became of it.
    pub(crate) fn new(store: Arc<Store>, txn: Txn, then: Then) -> Self {
        Self { store, record: txn.record(), weight: txn.weight(), steps: txn.steps, recorded: false, then: Some(then) }
    }

    fn tell(&mut self, outcome: Result<Vec<Effect>>) {
        if let Some(then) = self.then.take() {
            then(outcome);
        }
    }
}

impl Job for Change {
    fn prepare(&mut self, _: &mut Looks) -> Option<(Vec<u8>, Weight)> {
        match self.store.may_commit(&self.record) {
            Ok(()) => Some((std::mem::take(&mut self.record), self.weight)),
            Err(error) => {
                self.tell(Err(error));
                None
            }
        }
    }

    fn look_again(&mut self) -> Result<Option<Vec<u8>>> {
        let mut other = false;
        for step in &mut self.steps {
            other |= step.look_again(&self.store).map_err(|error| error.writing(step.op.path()))?;
        }
        Ok(other.then(|| op::encode(self.steps.iter().map(|step| &step.op))))
    }

    fn finish(mut self: Box<Self>, outcome: Result<Applying>) {
        let steps = std::mem::take(&mut self.steps);
        let outcome = match outcome {
            Ok(applying) => {
                self.recorded = true;
                self.store.apply(Txn { steps }, applying)
            }
            Err(error) => Err(Txn { steps }.refused(error)),
        };
        self.tell(outcome);
    }
}

impl Drop for Change {
    /// Nobody took it, or making it ended in a panic.
    fn drop(&mut self) {
        if self.then.is_none() {
            return;
        }
        let error = if self.recorded {
            Error::OutcomeUnknown { what: "a change".into(), why: "the thread that made it panicked".into() }
        } else {
            let closed = || Error::invalid("the store was closed; open it again");
            self.store.may_commit(&[]).err().unwrap_or_else(closed)
        };
        self.tell(Err(error));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::fs::options::FsOptions;

    /// What the one who waits is told when a change goes that was `recorded` or not.
    fn told(store: &Arc<Store>, recorded: bool) -> Error {
        let (tell, told) = mpsc::channel();
        let mut change = Change::new(Arc::clone(store), Txn::default(), Box::new(move |outcome| tell.send(outcome).unwrap()));
        change.recorded = recorded;
        drop(change);
        let outcomes: Vec<_> = told.iter().collect();
        assert_eq!(outcomes.len(), 1);
        outcomes.into_iter().next().unwrap().unwrap_err()
    }

    #[tokio::test]
    async fn whoever_waits_is_told_also_when_nobody_makes_the_change() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(temp.path(), FsOptions::default()).unwrap();
        assert_eq!(told(&store, false).code(), "invalid");
        // It may have been made, and the next open makes it: not one of the errors after which nothing has changed.
        assert_eq!(told(&store, true).code(), "outcome_unknown");
        store.close().await.unwrap();
        let (tell, told) = mpsc::channel();
        store.commit_then(Txn::default(), move |outcome| tell.send(outcome.map(drop)).unwrap());
        assert_eq!(told.recv().unwrap().unwrap_err().code(), "invalid");
    }
}
