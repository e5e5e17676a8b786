//! The smallest of many names, in order, in memory that does not grow with their number.

use std::collections::BTreeSet;

/// Keeps the `limit` smallest of what it is shown, each once.
#[derive(Debug)]
pub(crate) struct Smallest<T> {
    limit: usize,
    kept: BTreeSet<T>,
}

impl<T: Ord> Smallest<T> {
    /// Keeps at most `limit`.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, kept: BTreeSet::new() }
    }

    /// True where `item` would be kept as things stand.
    pub(crate) fn wants(&self, item: &T) -> bool {
        self.kept.len() < self.limit || self.kept.last().is_some_and(|largest| item < largest)
    }

    /// Takes `item` if it is among the smallest so far.
    pub(crate) fn push(&mut self, item: T) {
        self.kept.insert(item);
        if self.kept.len() > self.limit {
            self.kept.pop_last();
        }
    }

    /// What was kept, in order.
    pub(crate) fn finish(self) -> Vec<T> {
        self.kept.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_stay_whatever_the_order() {
        for (items, kept) in [
            (vec![], vec![]),
            (vec![3, 1], vec![1, 3]),
            (vec![9, 3, 1, 2, 8], vec![1, 2, 3]),
            (vec![1, 2, 3, 4], vec![1, 2, 3]),
            (vec![2, 1, 2, 1], vec![1, 2]),
        ] {
            let mut smallest = Smallest::new(3);
            for item in items {
                let (wanted, before) = (smallest.wants(&item), smallest.kept.len());
                smallest.push(item);
                assert!(wanted || smallest.kept.len() == before);
            }
            assert_eq!(smallest.finish(), kept);
        }
    }
}
