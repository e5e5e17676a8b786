//! Who waits for news of what: entries are made on demand and swept out once nobody listens.

use std::collections::HashMap;
use std::hash::Hash;

use tokio::sync::watch;

use crate::hub::Hub;

/// Something that knows whether anybody listens to it.
pub(super) trait Listened: Default {
    fn is_listened_to(&self) -> bool;
}

impl Listened for watch::Sender<u64> {
    fn is_listened_to(&self) -> bool {
        self.receiver_count() > 0
    }
}

impl Listened for Hub {
    fn is_listened_to(&self) -> bool {
        self.has_subscribers()
    }
}

/// Senders by what they tell of. Holds at most twice as many as there are listeners, and a few.
#[derive(Debug)]
pub(super) struct Listeners<K, S> {
    senders: HashMap<K, S>,
    /// Sweep before growing beyond this.
    sweep_at: usize,
}

const FEWEST: usize = 16;

impl<K, S> Default for Listeners<K, S> {
    fn default() -> Self {
        Self { senders: HashMap::new(), sweep_at: FEWEST }
    }
}

impl<K: Hash + Eq, S: Listened> Listeners<K, S> {
    /// To listen through; made where it was missing.
    pub(super) fn listen(&mut self, key: K) -> &S {
        if self.senders.len() >= self.sweep_at {
            self.senders.retain(|_, sender| sender.is_listened_to());
            self.sweep_at = FEWEST.max(self.senders.len() * 2);
        }
        self.senders.entry(key).or_default()
    }

    /// To tell through, if anybody may listen.
    pub(super) fn get(&self, key: &K) -> Option<&S> {
        self.senders.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &S)> {
        self.senders.iter()
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.senders.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_nobody_listens_to_any_more_do_not_pile_up() {
        let mut listeners = Listeners::<u32, watch::Sender<u64>>::default();
        let kept: Vec<_> = (0..20).map(|n| listeners.listen(n).subscribe()).collect();
        for n in 20..10_000 {
            drop(listeners.listen(n).subscribe());
        }
        assert!(listeners.iter().count() <= 2 * kept.len() + FEWEST, "{}", listeners.iter().count());
        assert!((0..20).all(|n| listeners.get(&n).is_some_and(|sender| sender.receiver_count() == 1)));
    }
}
