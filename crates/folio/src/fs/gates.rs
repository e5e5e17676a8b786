//! Who waits for whom among the writers of one process.
//!
//! Order, so that nobody waits in a circle: first [`Store::enter`](super::store::Store::enter), then the project's gate,
//! then the lock of one path. They go along into the blocking work, so that a caller who gives up does not let the next
//! one in too early.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex as StdMutex, PoisonError, Weak};

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::name::ProjectId;

const STRIPES: usize = 256;

/// Held by a writer in a project for the moment of its write.
pub(crate) type Shared = OwnedRwLockReadGuard<()>;
/// Held by who needs the project to stand still: a fork, a deletion.
pub(crate) type Alone = OwnedRwLockWriteGuard<()>;

/// The gates of projects and the locks of paths.
#[derive(Debug)]
pub(crate) struct Gates {
    projects: StdMutex<HashMap<ProjectId, Weak<RwLock<()>>>>,
    paths: Vec<Arc<Mutex<()>>>,
}

impl Gates {
    pub(crate) fn new() -> Self {
        Self { projects: StdMutex::default(), paths: (0..STRIPES).map(|_| Arc::default()).collect() }
    }

    /// The gate of a project, the same one as long as somebody holds it.
    pub(crate) fn gate(&self, id: &ProjectId) -> Arc<RwLock<()>> {
        let mut projects = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = projects.get(id).and_then(Weak::upgrade) {
            return gate;
        }
        if projects.len() == projects.capacity() {
            // Before it grows: only gates that someone holds or waits for are needed.
            projects.retain(|_, gate| gate.strong_count() > 0);
        }
        let gate = Arc::default();
        projects.insert(id.clone(), Arc::downgrade(&gate));
        gate
    }

    /// Waits until nobody needs the project to stand still.
    pub(crate) async fn shared(&self, id: &ProjectId) -> Shared {
        self.gate(id).read_owned().await
    }

    /// Waits until no writer is in the project, and keeps them out.
    pub(crate) async fn alone(&self, id: &ProjectId) -> Alone {
        self.gate(id).write_owned().await
    }

    /// As [`Gates::alone`], for two projects, in the order of their names, so that nobody waits in a circle. One gate is
    /// enough where they are the same.
    pub(crate) async fn both(&self, one: &ProjectId, other: &ProjectId) -> (Alone, Option<Alone>) {
        match one.cmp(other) {
            Ordering::Equal => (self.alone(one).await, None),
            Ordering::Less => {
                let first = self.alone(one).await;
                (first, Some(self.alone(other).await))
            }
            Ordering::Greater => {
                let first = self.alone(other).await;
                (self.alone(one).await, Some(first))
            }
        }
    }

    /// Which lock a path has.
    pub(crate) fn stripe(path: &impl Hash) -> usize {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        usize::try_from(hasher.finish() % STRIPES as u64).unwrap_or(0)
    }

    /// Waits for the lock of a path. Paths share locks: never take a second one.
    pub(crate) async fn path(&self, path: &impl Hash) -> OwnedMutexGuard<()> {
        self.lock(Self::stripe(path)).await
    }

    /// Waits for several locks, in their order, so that nobody waits in a circle.
    pub(crate) async fn paths(&self, mut stripes: Vec<usize>) -> Vec<OwnedMutexGuard<()>> {
        stripes.sort_unstable();
        stripes.dedup();
        let mut held = Vec::with_capacity(stripes.len());
        for stripe in stripes {
            held.push(self.lock(stripe).await);
        }
        held
    }

    async fn lock(&self, stripe: usize) -> OwnedMutexGuard<()> {
        match self.paths.get(stripe) {
            Some(lock) => Arc::clone(lock).lock_owned().await,
            None => Arc::<Mutex<()>>::default().lock_owned().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn writers_share_and_who_stands_alone_waits_for_them() {
        let gates = Gates::new();
        let (a, b) = (ProjectId::new("a").unwrap(), ProjectId::new("b").unwrap());
        let (one, two) = (gates.shared(&a).await, gates.shared(&a).await);
        assert!(gates.alone(&a).now_or_never().is_none());
        drop(gates.alone(&b).await);
        drop((one, two));
        let alone = gates.alone(&a).await;
        assert!(gates.shared(&a).now_or_never().is_none());
        drop(alone);
        assert!(gates.shared(&a).now_or_never().is_some());
    }

    #[tokio::test]
    async fn unused_gates_take_no_memory() {
        let gates = Gates::new();
        for n in 0..10_000 {
            drop(gates.shared(&ProjectId::new(n.to_string()).unwrap()).await);
        }
        assert!(gates.projects.lock().unwrap().capacity() < 100);
    }

    #[tokio::test]
    async fn one_path_has_one_lock() {
        let gates = Gates::new();
        let held = gates.path(&"a/b").await;
        assert!(gates.path(&"a/b").now_or_never().is_none());
        drop(held);
        assert!(gates.path(&"a/b").now_or_never().is_some());
    }
}
