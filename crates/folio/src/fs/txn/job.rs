//! A commit whose changes the committer's own thread makes: nobody's thread waits for it, and changes in the same folder,
//! where one waits for the other anyway, don't get in each other's way.

use std::sync::Arc;

use super::{Effect, Step, Txn};
use crate::error::{Error, Result};
use crate::fs::journal::{Applying, Job, Weight};
use crate::fs::store::Store;

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
    fn prepare(&mut self) -> Option<(Vec<u8>, Weight)> {
        match self.store.may_commit(&self.record) {
            Ok(()) => Some((std::mem::take(&mut self.record), self.weight)),
            Err(error) => {
                self.tell(Err(error));
                None
            }
        }
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
