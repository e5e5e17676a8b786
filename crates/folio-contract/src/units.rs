//! Units that can be recognised in a log, to check that each is whole and together.

use std::collections::HashSet;
use std::sync::Arc;

use folio::{AppendLog, AppendOptions, Data, Entry};
use futures_util::future::join_all;

use crate::failure::{Failure, Outcome};
use crate::make::entry;

/// A unit that says of itself who appended it and how large it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Unit {
    pub(crate) author: u64,
    pub(crate) number: u64,
    pub(crate) size: u64,
}

impl Unit {
    /// Its entries: `[author, number, size, place]`.
    pub(crate) fn entries(self) -> Vec<Data> {
        (0..self.size).flat_map(|place| entry(&format!("[{},{},{},{place}]", self.author, self.number, self.size))).collect()
    }

    /// The unit that an entry is of, and its place in there.
    pub(crate) fn of(entry: &Entry) -> Outcome<(Self, u64)> {
        let Data::Json(value) = &entry.data else { return Err(Failure::new(format!("{entry:?} is of no unit"))) };
        let [author, number, size, place] = value.to()?;
        Ok((Self { author, number, size }, place))
    }
}

/// Checks that `entries` are whole units, each once, and that all of `acknowledged` are among them.
///
/// # Errors
/// Where they are not.
pub(crate) fn expect_units(entries: &[Entry], acknowledged: &[Unit]) -> Outcome {
    let mut found = HashSet::new();
    let mut rest = entries;
    while let Some(first) = rest.first() {
        let (unit, place) = Unit::of(first)?;
        let whole = rest
            .split_at_checked(unit.size as usize)
            .filter(|(these, _)| place == 0 && these.iter().map(|entry| &entry.data).eq(&unit.entries()));
        let Some((_, others)) = whole else { crate::fail!("{unit:?} is not whole and together at seq {}", first.seq) };
        if !found.insert(unit) {
            crate::fail!("{unit:?} is there twice");
        }
        rest = others;
    }
    match acknowledged.iter().find(|unit| !found.contains(unit)) {
        Some(unit) => Err(Failure::new(format!("{unit:?} was acknowledged and is not there"))),
        None => Ok(()),
    }
}

/// Appends units from many tasks, of which some give up at any moment; the units that were acknowledged.
pub(crate) async fn append_and_give_up(log: &Arc<dyn AppendLog>, random: &mut fastrand::Rng) -> Vec<Unit> {
    let tasks: Vec<_> = (0..32)
        .map(|author| {
            let unit = Unit { author, number: 0, size: random.u64(1..=5) };
            let (log, patience) = (Arc::clone(log), random.usize(0..40));
            tokio::spawn(async move {
                let giving_up = async {
                    for _ in 0..patience {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::select! {
                    outcome = log.append(unit.entries(), AppendOptions::default()) => outcome.is_ok().then_some(unit),
                    () = giving_up => None,
                }
            })
        })
        .collect();
    join_all(tasks).await.into_iter().filter_map(|joined| joined.ok().flatten()).collect()
}
