//! Who is told of which changes, and what they were told last.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;

use super::scope::Scope;
use super::watch::Waker;
use crate::change::{Change, ChangeStream, Target};
use crate::etag::Etag;
use crate::hub::{Filter, Hub};

/// Targets per scope whose last told state is remembered. Forgetting one costs at most an event too many.
const REMEMBERED: usize = 4_096;

/// The state of a target, as far as it is told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    /// Nothing is there.
    Absent,
    /// A file of these bytes.
    Bytes(Etag),
    /// A file too large to be read for its tag.
    Large {
        /// Its inode.
        inode: u64,
        /// Its size in bytes.
        size: u64,
        /// Unix nanoseconds of its last change.
        changed_ns: u64,
    },
}

/// The subscribers of all scopes. A scope that nobody listens to takes no memory.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    scopes: HashMap<Scope, Told>,
    /// Numbers that were given to lives and own writes.
    count: u64,
    /// Targets of writes of our own that are on their way, and how many.
    writing: HashMap<(Scope, Target), usize>,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct Told {
    hub: Hub,
    listeners: usize,
    /// Tells this entry from the next one of the scope, for listeners that leave late.
    life: u64,
    last: HashMap<Target, Last>,
    /// The keys of `last`, oldest first.
    order: VecDeque<Target>,
}

/// What was told last of a target, and the number of the last write of our own.
#[derive(Clone, Copy, Debug)]
struct Last {
    seen: Seen,
    own: u64,
}

/// A target that is about to be looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    own: u64,
    /// Nothing was there before.
    new: bool,
}

impl Told {
    fn own(&self, target: &Target) -> u64 {
        self.last.get(target).map_or(0, |last| last.own)
    }

    /// Returns what was told before.
    fn remember(&mut self, target: &Target, seen: Seen, own: u64) -> Option<Seen> {
        let before = self.last.insert(target.clone(), Last { seen, own });
        if before.is_none() {
            self.order.push_back(target.clone());
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.last.remove(&oldest);
            }
        }
        before.map(|last| last.seen)
    }

    fn publish(&self, target: Target, seen: Seen, etag: Option<Etag>) {
        self.hub.publish(match seen {
            Seen::Absent => Change::Delete { target },
            Seen::Bytes(_) | Seen::Large { .. } => Change::Put { target, etag },
        });
    }
}

impl Changes {
    fn held(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A write of our own begins: until it ends nobody looks at its target, for it tells by itself.
    pub(crate) fn begin(self: &Arc<Self>, scope: &Scope, target: Target) -> Writing {
        let key = (scope.clone(), target);
        *self.held().writing.entry(key.clone()).or_default() += 1;
        Writing { changes: Arc::clone(self), key }
    }

    /// Tells of a write of our own, always.
    pub(crate) fn own(&self, scope: &Scope, target: Target, seen: Seen, etag: Option<Etag>) {
        let mut state = self.held();
        state.count += 1;
        let own = state.count;
        if let Some(told) = state.scopes.get_mut(scope) {
            told.remember(&target, seen, own);
            told.publish(target, seen, etag);
        }
    }

    /// Tells that a write of our own displaced what another program had put there.
    pub(crate) fn conflict(&self, scope: &Scope, target: Target) {
        if let Some(told) = self.held().scopes.get(scope) {
            told.hub.publish(Change::Conflict { target });
        }
    }

    /// Before looking at a target that someone changed (`new`: where nothing was before). `None` while a write of our own
    /// is on its way there.
    pub(crate) fn look(&self, scope: &Scope, target: &Target, new: bool) -> Option<Look> {
        let state = self.held();
        let writing = state.writing.contains_key(&(scope.clone(), target.clone()));
        let own = state.scopes.get(scope).map_or(0, |told| told.own(target));
        (!writing).then_some(Look { own, new })
    }

    /// Tells what was found at a target, unless that was told last: then it is an echo. Nor is told that nothing is there,
    /// where it came and went unseen. `false` where a write of our own came in between: look again.
    pub(crate) fn found(&self, scope: &Scope, target: &Target, look: Look, seen: Seen, etag: Option<Etag>) -> bool {
        let mut state = self.held();
        let writing = state.writing.contains_key(&(scope.clone(), target.clone()));
        let Some(told) = state.scopes.get_mut(scope) else { return true };
        if writing || told.own(target) != look.own {
            return false;
        }
        let before = told.remember(target, seen, look.own);
        let unseen = look.new && before.is_none() && seen == Seen::Absent;
        if before != Some(seen) && !unseen {
            told.publish(target.clone(), seen, etag);
        }
        true
    }

    /// Tells that something may have been missed.
    pub(crate) fn rescan(&self, scope: &Scope) {
        if let Some(told) = self.held().scopes.get_mut(scope) {
            // Whoever lists again now may find other things than were told.
            told.last.clear();
            told.order.clear();
            told.hub.publish(Change::Rescan);
        }
    }

    /// Ends the streams of a scope that is no more.
    pub(crate) fn end(&self, scope: &Scope) {
        let mut state = self.held();
        state.scopes.remove(scope);
        state.waker.iter().for_each(Waker::wake);
    }

    /// Ends the streams of all scopes.
    pub(crate) fn end_all(&self) {
        self.held().scopes.clear();
    }

    /// Joins those who are told of a scope.
    pub(crate) fn listen(self: &Arc<Self>, scope: &Scope) -> Listener {
        let mut state = self.held();
        state.count += 1;
        let life = state.count;
        let told = state.scopes.entry(scope.clone()).or_insert_with(|| Told { life, ..Told::default() });
        told.listeners += 1;
        Listener { changes: Arc::clone(self), scope: scope.clone(), life: told.life }
    }

    /// Ends the streams of a scope, unless these listeners are gone and others came.
    pub(crate) fn end_life(&self, scope: &Scope, life: u64) {
        let mut state = self.held();
        if state.scopes.get(scope).is_some_and(|told| told.life == life) {
            state.scopes.remove(scope);
        }
    }

    /// Which listeners a scope has, by a number; `None` for none.
    pub(crate) fn life(&self, scope: &Scope) -> Option<u64> {
        self.held().scopes.get(scope).map(|told| told.life)
    }

    /// Whom to wake when the last listener of a scope leaves.
    pub(crate) fn set_waker(&self, waker: Waker) {
        self.held().waker = Some(waker);
    }
}

/// One who is told of a scope; leaves when dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    changes: Arc<Changes>,
    scope: Scope,
    life: u64,
}

impl Listener {
    /// From now on; ends when the scope does.
    pub(crate) fn stream(self, filter: Filter) -> ChangeStream {
        let stream = {
            let state = self.changes.held();
            let told = state.scopes.get(&self.scope).filter(|told| told.life == self.life);
            // Ended meanwhile: a hub that is dropped here ends its stream.
            told.map_or_else(|| Hub::default().subscribe(filter), |told| told.hub.subscribe(filter))
        };
        stream
            .map(move |change| {
                let _listening = &self;
                change
            })
            .boxed()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut state = self.changes.held();
        if let Some(told) = state.scopes.get_mut(&self.scope).filter(|told| told.life == self.life) {
            told.listeners -= 1;
            if told.listeners == 0 {
                state.scopes.remove(&self.scope);
                state.waker.iter().for_each(Waker::wake);
            }
        }
    }
}

/// A write of our own that is on its way; over when dropped.
#[derive(Debug)]
pub(crate) struct Writing {
    changes: Arc<Changes>,
    key: (Scope, Target),
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut state = self.changes.held();
        if let Some(count) = state.writing.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                state.writing.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::name::DocKey;

    fn doc(key: &str) -> Target {
        Target::Doc(DocKey::new(key).unwrap())
    }

    fn bytes(text: &str) -> (Seen, Option<Etag>) {
        let etag = Etag::of(text.as_bytes());
        (Seen::Bytes(etag), Some(etag))
    }

    /// Looks and tells at once.
    fn found(changes: &Changes, key: &str, new: bool, (seen, etag): (Seen, Option<Etag>)) -> bool {
        let look = changes.look(&Scope::Shared, &doc(key), new);
        look.is_some_and(|look| changes.found(&Scope::Shared, &doc(key), look, seen, etag))
    }

    const NOTHING: (Seen, Option<Etag>) = (Seen::Absent, None);

    fn next(stream: &mut ChangeStream) -> Option<Change> {
        stream.next().now_or_never().map(|change| change.unwrap().unwrap())
    }

    #[test]
    fn echoes_are_dropped_and_own_writes_are_not() {
        let changes = Arc::new(Changes::default());
        let mut stream = changes.listen(&Scope::Shared).stream(Filter::All);
        assert_eq!(next(&mut stream), Some(Change::Ready));
        let (one, etag) = bytes("one");
        let put = Change::Put { target: doc("a"), etag };
        for _ in 0..2 {
            changes.own(&Scope::Shared, doc("a"), one, etag);
            assert_eq!(next(&mut stream), Some(put.clone()), "one event for each own write");
        }
        assert!(found(&changes, "a", false, (one, etag)));
        assert_eq!(next(&mut stream), None, "an echo");
        let (two, other) = bytes("two");
        assert!(found(&changes, "a", false, (two, other)));
        assert!(found(&changes, "a", false, (one, etag)));
        assert_eq!(next(&mut stream), Some(Change::Put { target: doc("a"), etag: other }));
        assert_eq!(next(&mut stream), Some(put), "back again is a change");
        changes.own(&Scope::Shared, doc("a"), Seen::Absent, None);
        assert!(found(&changes, "a", false, NOTHING));
        assert_eq!(next(&mut stream), Some(Change::Delete { target: doc("a") }));
        assert_eq!(next(&mut stream), None);
    }

    #[test]
    fn what_came_and_went_unseen_is_not_told_and_a_rescan_forgets() {
        let changes = Arc::new(Changes::default());
        let mut stream = changes.listen(&Scope::Shared).stream(Filter::All);
        assert_eq!(next(&mut stream), Some(Change::Ready));
        let (one, etag) = bytes("one");
        assert!(found(&changes, "a", true, NOTHING));
        assert!(found(&changes, "a", true, (one, etag)));
        assert_eq!(next(&mut stream), Some(Change::Put { target: doc("a"), etag }));
        assert!(found(&changes, "a", true, NOTHING));
        assert_eq!(next(&mut stream), Some(Change::Delete { target: doc("a") }));
        for _ in 0..2 {
            changes.rescan(&Scope::Shared);
            assert!(found(&changes, "a", true, (one, etag)));
            assert_eq!(next(&mut stream), Some(Change::Rescan));
            assert_eq!(next(&mut stream), Some(Change::Put { target: doc("a"), etag }));
        }
    }

    #[test]
    fn what_is_found_while_a_write_is_on_its_way_waits() {
        let changes = Arc::new(Changes::default());
        let mut stream = changes.listen(&Scope::Shared).stream(Filter::All);
        assert_eq!(next(&mut stream), Some(Change::Ready));
        let (one, etag) = bytes("one");
        let (first, second) = (changes.begin(&Scope::Shared, doc("a")), changes.begin(&Scope::Shared, doc("a")));
        drop(first);
        assert!(!found(&changes, "a", false, (one, etag)));
        assert!(found(&changes, "b", false, NOTHING), "others don't wait");
        assert_eq!(next(&mut stream), Some(Change::Delete { target: doc("b") }));
        changes.own(&Scope::Shared, doc("a"), one, etag);
        drop(second);
        assert!(found(&changes, "a", false, (one, etag)));
        assert_eq!(next(&mut stream), Some(Change::Put { target: doc("a"), etag }));
        assert_eq!(next(&mut stream), None, "told once");
        assert!(changes.held().writing.is_empty());
    }

    /// What was read before a write of our own is not told after it.
    #[test]
    fn what_was_found_before_an_own_write_is_looked_at_again() {
        let changes = Arc::new(Changes::default());
        let mut stream = changes.listen(&Scope::Shared).stream(Filter::All);
        assert_eq!(next(&mut stream), Some(Change::Ready));
        let ((one, etag), (two, other)) = (bytes("one"), bytes("two"));
        let look = changes.look(&Scope::Shared, &doc("a"), false).unwrap();
        let writing = changes.begin(&Scope::Shared, doc("a"));
        assert!(changes.look(&Scope::Shared, &doc("a"), false).is_none());
        changes.own(&Scope::Shared, doc("a"), two, other);
        drop(writing);
        assert!(!changes.found(&Scope::Shared, &doc("a"), look, one, etag));
        assert!(found(&changes, "a", false, (two, other)));
        assert_eq!(next(&mut stream), Some(Change::Put { target: doc("a"), etag: other }));
        assert_eq!(next(&mut stream), None);
    }

    #[test]
    fn memory_is_bounded_and_let_go_with_the_last_listener() {
        let changes = Arc::new(Changes::default());
        let (seen, etag) = bytes("x");
        changes.own(&Scope::Shared, doc("a"), seen, etag);
        assert!(changes.life(&Scope::Shared).is_none());
        let (first, second) = (changes.listen(&Scope::Shared), changes.listen(&Scope::Shared).stream(Filter::Docs));
        for n in 0..2 * REMEMBERED {
            changes.own(&Scope::Shared, doc(&n.to_string()), seen, etag);
        }
        let state = changes.held();
        let told = &state.scopes[&Scope::Shared];
        assert_eq!((told.last.len(), told.order.len()), (REMEMBERED, REMEMBERED));
        drop(state);
        drop(first);
        assert!(changes.life(&Scope::Shared).is_some());
        drop(second);
        assert!(changes.life(&Scope::Shared).is_none());
    }

    #[test]
    fn the_end_of_a_scope_ends_its_streams_and_not_the_next_ones() {
        let changes = Arc::new(Changes::default());
        let late = changes.listen(&Scope::Shared);
        let mut old = changes.listen(&Scope::Shared).stream(Filter::All);
        changes.end(&Scope::Shared);
        assert_eq!(next(&mut old), Some(Change::Ready));
        assert_eq!(old.next().now_or_never().unwrap(), None);
        let mut new = changes.listen(&Scope::Shared).stream(Filter::All);
        drop(old);
        let mut late = late.stream(Filter::All);
        assert_eq!(next(&mut late), Some(Change::Ready));
        assert_eq!(late.next().now_or_never().unwrap(), None);
        drop(late);
        assert_eq!(next(&mut new), Some(Change::Ready));
        changes.rescan(&Scope::Shared);
        assert_eq!(next(&mut new), Some(Change::Rescan));
    }
}
