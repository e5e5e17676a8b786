//! Where readers stopped, so that going on there costs no search. A mark is a hint: who goes by it looks whether the entry
//! that is wanted stands there, or, with a proof, whether the file is still what it was.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cursor::Seq;
use crate::fs::log::view::Mark;

/// Marks that are kept of a log: with more readers that go through all of it at the same time, some search.
const KEPT: usize = 64;

#[derive(Default)]
pub(crate) struct Marks(Mutex<VecDeque<Mark>>);

impl Marks {
    fn held(&self) -> MutexGuard<'_, VecDeque<Mark>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a reader stopped that had all up to `after`.
    pub(crate) fn find(&self, after: Seq) -> Option<Mark> {
        self.held().iter().rev().find(|mark| mark.after == after).copied()
    }

    pub(crate) fn add(&self, mark: Option<Mark>) {
        let Some(mark) = mark else { return };
        let mut marks = self.held();
        if marks.contains(&mark) {
            return;
        }
        if marks.len() == KEPT {
            marks.pop_front();
        }
        marks.push_back(mark);
    }
}
