//! Changes that wait for a quiet moment before they are looked at.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::super::scope::Scope;
use crate::change::Target;

/// A target is looked at once it was left alone for so long.
const QUIET: Duration = Duration::from_millis(100);
/// But at the latest so long after its first change.
const LATEST: Duration = Duration::from_secs(1);
/// More targets than this are not remembered one by one; then everything is to be listed again.
const MOST: usize = 8_192;

/// What is to be looked at.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Key {
    /// One target.
    Target(Scope, Target),
    /// Everything: tell to list again.
    Everything(Scope),
}

impl Key {
    fn scope(&self) -> &Scope {
        match self {
            Self::Target(scope, _) | Self::Everything(scope) => scope,
        }
    }
}

/// Moments are told apart by a number, in the order of the last changes.
type Due = (Instant, u64);

#[derive(Clone, Copy, Debug)]
struct Times {
    first: Instant,
    due: Due,
    new: bool,
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Pending {
    times: HashMap<Key, Times>,
    queue: BTreeMap<Due, Key>,
    count: u64,
}

impl Pending {
    /// A target changed. `new`: nothing was there before.
    pub(super) fn target(&mut self, scope: &Scope, target: Target, new: bool, now: Instant) {
        if self.times.contains_key(&Key::Everything(scope.clone())) {
            return;
        }
        let key = Key::Target(scope.clone(), target);
        if self.times.len() >= MOST && !self.times.contains_key(&key) {
            self.everything(scope, now);
        } else {
            self.put(key, new, now);
        }
    }

    /// Something that is not known changed.
    pub(super) fn everything(&mut self, scope: &Scope, now: Instant) {
        // Whoever lists again then sees every change before that.
        self.forget(scope);
        self.put(Key::Everything(scope.clone()), false, now);
    }

    fn put(&mut self, key: Key, new: bool, now: Instant) {
        self.count += 1;
        let (first, new) = match self.times.remove(&key) {
            Some(times) => {
                self.queue.remove(&times.due);
                (times.first, times.new)
            }
            None => (now, new),
        };
        let due = ((now + QUIET).min(first + LATEST), self.count);
        self.queue.insert(due, key.clone());
        self.times.insert(key, Times { first, due, new });
    }

    /// Nobody wants to know of this scope any more.
    pub(super) fn forget(&mut self, scope: &Scope) {
        self.times.retain(|key, _| key.scope() != scope);
        self.queue.retain(|_, key| key.scope() != scope);
    }

    /// When something is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// What is due, and whether nothing was there before.
    pub(super) fn due(&mut self, now: Instant) -> Option<(Key, bool)> {
        let first = self.queue.first_entry().filter(|first| first.key().0 <= now)?;
        let key = first.remove();
        let new = self.times.remove(&key).is_some_and(|times| times.new);
        Some((key, new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::FilePath;

    fn file(path: &str) -> Target {
        Target::File(FilePath::new(path).unwrap())
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_target_waits_for_quiet_but_not_for_ever() {
        let start = Instant::now();
        let scope = Scope::Shared;
        let mut pending = Pending::default();
        assert_eq!(pending.next(), None);
        pending.target(&scope, file("a"), true, start);
        pending.target(&scope, file("b"), false, start + ms(50));
        pending.target(&scope, file("a"), false, start + ms(80));
        assert_eq!(pending.next(), Some(start + ms(150)));
        assert_eq!(pending.due(start + ms(149)), None);
        assert_eq!(pending.due(start + ms(179)), Some((Key::Target(scope.clone(), file("b")), false)));
        assert_eq!(pending.due(start + ms(179)), None);
        assert_eq!(pending.due(start + ms(180)), Some((Key::Target(scope.clone(), file("a")), true)));
        assert_eq!(pending.next(), None);

        for at in (0..40).map(|n| start + ms(n * 50)) {
            pending.target(&scope, file("busy"), false, at);
            if pending.due(at).is_some() {
                assert_eq!(at, start + ms(1_000), "a target that never rests is told once a second");
                return;
            }
        }
        panic!("it was never told");
    }

    #[test]
    fn too_many_become_one() {
        let now = Instant::now();
        let (scope, other) = (Scope::Shared, Scope::Project(crate::ProjectId::new("p").unwrap()));
        let mut pending = Pending::default();
        pending.target(&other, file("x"), false, now);
        for n in 0..3 * MOST {
            pending.target(&scope, file(&n.to_string()), false, now);
        }
        assert!(pending.times.len() <= MOST && pending.queue.len() == pending.times.len());
        let mut due: Vec<Key> = std::iter::from_fn(|| pending.due(now + ms(100)).map(|(key, _)| key)).collect();
        assert_eq!(due.remove(0), Key::Target(other, file("x")), "others don't suffer");
        assert_eq!(due, [Key::Everything(scope)]);
    }

    #[test]
    fn a_scope_can_be_forgotten() {
        let now = Instant::now();
        let mut pending = Pending::default();
        pending.target(&Scope::Shared, file("a"), false, now);
        pending.everything(&Scope::Shared, now);
        pending.forget(&Scope::Shared);
        assert_eq!((pending.next(), pending.due(now + ms(5_000))), (None, None));
    }
}
