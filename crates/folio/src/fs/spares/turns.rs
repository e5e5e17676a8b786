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
use crate::etag::Etag;
use crate::fs::txn::{Before, Id};

/// Which files take turns. One per root.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    round: u64,
    /// By the path of the document.
    pairs: BTreeMap<String, Pair>,
    /// Files that took turns and do so no more. That they were displaced may not be durable yet.
    left: Vec<Displaced>,
}

/// The files of one document, all of whose contents are of this round.
#[derive(Debug)]
struct Pair {
    /// The one that has the name, and the tag of the content that it was given.
    live: (Id, Etag),
    /// The one that it displaced.
    idle: Option<Idle>,
}

/// A displaced file that may hold the next content.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) displaced: Displaced,
    /// What it was like when it was displaced.
    pub(super) was: Before,
}

impl Turns {
    fn held(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of this round.
    pub(crate) fn round(&self) -> u64 {
        self.held().round
    }

    /// Begins a round: none of the files that are returned is used at once any more.
    pub(crate) fn begin(&self) -> Vec<Displaced> {
        let mut state = self.held();
        state.round += 1;
        let idle = std::mem::take(&mut state.pairs).into_values().filter_map(|pair| pair.idle);
        let mut all = std::mem::take(&mut state.left);
        all.extend(idle.map(|idle| idle.displaced));
        all
    }

    /// The file that the document at `path` may have next, and the round.
    pub(super) fn take(&self, path: &str) -> Option<(Idle, u64)> {
        let mut state = self.held();
        let round = state.round;
        let idle = state.pairs.get_mut(path)?.idle.take()?;
        Some((idle, round))
    }

    /// A file takes no turns any more.
    pub(crate) fn leave(&self, displaced: Displaced) {
        self.held().left.push(displaced);
    }

    /// A file that was new or blank in `round`, or taken then, has the name `path` now, and displaced another one, which was as
    /// it says. That is returned where it may not be used at once: its last content, too, must be one that it was given here.
    pub(crate) fn placed(
        &self,
        path: &str,
        round: u64,
        live: (Id, Etag),
        displaced: Option<(Displaced, Before)>,
    ) -> Option<Displaced> {
        let mut state = self.held();
        if state.round != round {
            return displaced.map(|(displaced, _)| displaced);
        }
        let Some(pair) = state.pairs.get_mut(path) else {
            state.pairs.insert(path.to_owned(), Pair { live, idle: None });
            return displaced.map(|(displaced, _)| displaced);
        };
        let (id, etag) = std::mem::replace(&mut pair.live, live);
        match displaced {
            Some((displaced, was)) if was.id == id && was.etag == Some(etag) && pair.idle.is_none() => {
                pair.idle = Some(Idle { displaced, was });
                None
            }
            other => other.map(|(displaced, _)| displaced),
        }
    }

    /// The folder `path` has another name: what follows under its name is another document.
    pub(crate) fn forget(&self, path: &str) {
        let below = format!("{path}/");
        let mut state = self.held();
        let gone = state.pairs.range(below.clone()..).map(|(at, _)| at).take_while(|at| at.starts_with(&below));
        for path in gone.cloned().collect::<Vec<_>>() {
            let idle = state.pairs.remove(&path).and_then(|pair| pair.idle);
            state.left.extend(idle.map(|idle| idle.displaced));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(id: u64) -> (Id, Etag) {
        ((id, id), Etag::of(&[u8::try_from(id).unwrap()]))
    }

    fn displaced(id: u64) -> Option<(Displaced, Before)> {
        let (id, etag) = live(id);
        let displaced = Displaced { name: id.0.to_string(), bytes: 1, again: true };
        Some((displaced, Before { id, size: 1, modified_ns: 1, etag: Some(etag) }))
    }

    fn name(left: Option<Displaced>) -> Option<u64> {
        left.map(|displaced| displaced.name.parse().unwrap())
    }

    #[test]
    fn only_a_file_whose_contents_are_all_of_this_round_is_taken() {
        let (a, b, c) = (1, 2, 3);
        let turns = Turns::default();
        // What stood there before this round.
        assert_eq!(name(turns.placed("p/d", 0, live(b), displaced(a))), Some(a));
        assert!(turns.take("p/d").is_none());
        assert_eq!(name(turns.placed("p/d", 0, live(c), displaced(b))), None);
        assert!(turns.take("p/e").is_none(), "that is another document");
        let (taken, round) = turns.take("p/d").unwrap();
        assert_eq!((taken.was.id, round), ((b, b), 0));
        assert!(turns.take("p/d").is_none());
        // Another program had given the name to another file.
        assert_eq!(name(turns.placed("p/d", 0, live(b), displaced(9))), Some(9));
        assert_eq!(name(turns.placed("p/d", 0, live(c), displaced(b))), None);
        turns.leave(displaced(7).unwrap().0);
        assert_eq!(turns.begin().into_iter().map(|left| name(Some(left)).unwrap()).collect::<Vec<_>>(), [7, b]);
        assert_eq!(turns.round(), 1);
        // It was taken in the round before.
        assert_eq!(name(turns.placed("p/d", 0, live(b), displaced(c))), Some(c));
        assert_eq!(name(turns.placed("p/d", 1, live(c), displaced(b))), Some(b));
    }

    #[test]
    fn a_file_into_which_another_program_wrote_is_not_taken() {
        let turns = Turns::default();
        turns.placed("p/d", 0, live(1), None);
        let edited = displaced(1).map(|(displaced, was)| (displaced, Before { etag: Some(Etag::of(b"edited")), ..was }));
        assert_eq!(name(turns.placed("p/d", 0, live(2), edited)), Some(1));
        assert!(turns.take("p/d").is_none());
    }

    #[test]
    fn a_document_of_another_project_of_that_name_is_another_one() {
        let turns = Turns::default();
        for path in ["p/d", "pp/d"] {
            assert!(turns.placed(path, 0, live(1), None).is_none());
            assert!(turns.placed(path, 0, live(2), displaced(1)).is_none());
        }
        turns.forget("p");
        assert!(turns.take("p/d").is_none());
        assert!(turns.take("pp/d").is_some());
        assert_eq!(turns.begin().len(), 1);
    }
}
