//! Documents that are written again and again: two files take turns.
//!
//! What a write displaced goes through two checkpoints before it holds another content, because a power loss may leave any
//! part of what it held. Not so where the journal knows all of that: then it can hold the next content of the same document
//! at once, and replay tells whatever is left of it from what another program wrote. Two things make that true:
//!
//! - A content goes into such a file once its record is durable, not before.
//! - All records of its contents, since it was new or blank, are of one round: the time from the begin of one checkpoint to
//!   that of the next. A checkpoint makes the records of earlier rounds void; so its begin ends all turns.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Displaced;
use crate::fs::txn::Id;

/// Which files take turns. One per root.
#[derive(Debug, Default)]
pub(super) struct Turns {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    round: u64,
    /// By the path of the document.
    pairs: BTreeMap<String, Pair>,
}

/// The files of one document, all of whose contents are of this round.
#[derive(Debug)]
struct Pair {
    /// The one that has the name.
    live: Id,
    /// The one that it displaced.
    idle: Option<(Displaced, Id)>,
}

impl Turns {
    fn held(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of this round.
    pub(super) fn round(&self) -> u64 {
        self.held().round
    }

    /// Begins a round: none of the files that are returned is used at once any more.
    pub(super) fn begin(&self) -> Vec<Displaced> {
        let mut state = self.held();
        state.round += 1;
        std::mem::take(&mut state.pairs).into_values().filter_map(|pair| pair.idle).map(|(displaced, _)| displaced).collect()
    }

    /// The file that the document at `path` may have next, and the round.
    pub(super) fn take(&self, path: &str) -> Option<(Displaced, Id, u64)> {
        let mut state = self.held();
        let round = state.round;
        let (displaced, id) = state.pairs.get_mut(path)?.idle.take()?;
        Some((displaced, id, round))
    }

    /// A file that was new or blank in `round`, or taken then, has the name `path` now, and displaced another one. That is
    /// returned where it may not be used at once.
    pub(super) fn placed(&self, path: &str, round: u64, live: Id, displaced: Option<(Displaced, Id)>) -> Option<Displaced> {
        let mut state = self.held();
        if state.round != round {
            return displaced.map(|(displaced, _)| displaced);
        }
        let Some(pair) = state.pairs.get_mut(path) else {
            state.pairs.insert(path.to_owned(), Pair { live, idle: None });
            return displaced.map(|(displaced, _)| displaced);
        };
        let before = std::mem::replace(&mut pair.live, live);
        match displaced {
            Some((displaced, id)) if id == before && pair.idle.is_none() => {
                pair.idle = Some((displaced, id));
                None
            }
            other => other.map(|(displaced, _)| displaced),
        }
    }

    /// The folder `path` has another name: what follows under its name is another document.
    pub(super) fn forget(&self, path: &str) -> Vec<Displaced> {
        let below = |at: &str| at.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        let gone = self.held().pairs.extract_if(.., |at, _| below(at)).filter_map(|(_, pair)| pair.idle).collect::<Vec<_>>();
        gone.into_iter().map(|(displaced, _)| displaced).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn displaced(name: &str) -> Displaced {
        Displaced { name: name.into(), bytes: 1, again: true }
    }

    #[test]
    fn only_a_file_whose_contents_are_all_of_this_round_is_taken() {
        let (a, b, c) = ((1, 1), (2, 2), (3, 3));
        let turns = Turns::default();
        let name = |left: Option<Displaced>| left.map(|displaced| displaced.name);
        // What stood there before this round.
        assert_eq!(name(turns.placed("p/d", 0, b, Some((displaced("a"), a)))).as_deref(), Some("a"));
        assert!(turns.take("p/d").is_none());
        assert_eq!(name(turns.placed("p/d", 0, c, Some((displaced("b"), b)))), None);
        assert!(turns.take("p/e").is_none(), "that is another document");
        let (taken, id, round) = turns.take("p/d").unwrap();
        assert_eq!((taken.name.as_str(), id, round), ("b", b, 0));
        assert!(turns.take("p/d").is_none());
        // Another program had given the name to another file.
        assert_eq!(name(turns.placed("p/d", 0, b, Some((displaced("x"), (9, 9))))).as_deref(), Some("x"));
        assert_eq!(name(turns.placed("p/d", 0, c, Some((displaced("b"), b)))), None);
        assert_eq!(turns.begin().into_iter().map(|displaced| displaced.name).collect::<Vec<_>>(), ["b"]);
        assert_eq!(turns.round(), 1);
        // It was taken in the round before.
        assert_eq!(name(turns.placed("p/d", 0, b, Some((displaced("c"), c)))).as_deref(), Some("c"));
        assert_eq!(name(turns.placed("p/d", 1, c, Some((displaced("b"), b)))).as_deref(), Some("b"));
    }

    #[test]
    fn a_document_of_another_project_of_that_name_is_another_one() {
        let turns = Turns::default();
        for path in ["p/d", "pp/d"] {
            assert!(turns.placed(path, 0, (1, 1), None).is_none());
            assert!(turns.placed(path, 0, (2, 2), Some((displaced(path), (1, 1)))).is_none());
        }
        assert_eq!(turns.forget("p").len(), 1);
        assert!(turns.take("p/d").is_none());
        assert!(turns.take("pp/d").is_some());
    }
}
