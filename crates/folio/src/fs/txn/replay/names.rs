//! The names that segments had, wherever records moved them.

use std::collections::HashMap;

use crate::fs::txn::op::{Id, Op, Place};

#[derive(Debug)]
struct Name {
    path: String,
    /// No record took it away later.
    lasts: bool,
}

#[derive(Debug, Default)]
struct Known {
    names: Vec<Name>,
    /// Its name among the temporary files.
    temp: Option<String>,
    /// The last record that gives it a name in the place of another, by its place among those.
    installed: usize,
}

/// The names of all segments that records tell of.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: HashMap<Id, Known>,
    installs: usize,
}

impl Known {
    fn name(&mut self, path: &str) {
        match self.names.iter_mut().find(|name| name.path == path) {
            Some(name) => name.lasts = true,
            None => self.names.push(Name { path: path.to_owned(), lasts: true }),
        }
    }

    fn unname(&mut self, path: &str) {
        self.names.iter_mut().filter(|name| name.path == path).for_each(|name| name.lasts = false);
    }
}

impl Names {
    pub(super) fn add(&mut self, op: &Op) {
        match op {
            Op::Append { path, id, .. } => self.known.entry(*id).or_default().name(path),
            Op::Install { path, temp, id, replaces } => {
                if let Some(replaced) = replaces {
                    self.taken(*replaced, path);
                }
                self.installs += 1;
                let known = self.known.entry(*id).or_default();
                known.installed = self.installs;
                known.temp = Some(temp.clone());
                known.name(path);
            }
            Op::Move { from: Place::Path(from), to: Place::Path(to), id } => {
                self.taken(*id, from);
                self.known.entry(*id).or_default().name(to);
            }
            Op::Move { from: Place::Path(folder), to: Place::Temp(_), .. } => {
                let below = format!("{folder}/");
                let names = self.known.values_mut().flat_map(|known| &mut known.names);
                names.filter(|name| name.path.starts_with(&below)).for_each(|name| name.lasts = false);
            }
            Op::Remove { path, id } => self.taken(*id, path),
            Op::Move { .. } | Op::Put { .. } | Op::Delete { .. } | Op::Cut { .. } => {}
        }
    }

    /// A segment loses a name, which it may have had since before the first record.
    fn taken(&mut self, id: Id, path: &str) {
        let known = self.known.entry(id).or_default();
        known.name(path);
        known.unname(path);
    }

    /// True for a segment that records removed in the end, under each of its names.
    pub(super) fn is_dead(&self, id: Id) -> bool {
        self.known.get(&id).is_some_and(|known| !known.names.is_empty() && known.names.iter().all(|name| !name.lasts))
    }

    /// True where no later record takes the name away from it.
    pub(super) fn keeps(&self, id: Id, path: &str) -> bool {
        self.known.get(&id).is_some_and(|known| known.names.iter().any(|name| name.path == path && name.lasts))
    }

    /// Every name that it had.
    pub(super) fn of(&self, id: Id) -> Vec<String> {
        self.known.get(&id).map(|known| known.names.iter().map(|name| name.path.clone()).collect()).unwrap_or_default()
    }

    /// Its name among the temporary files.
    pub(super) fn temp(&self, id: Id) -> Option<&str> {
        self.known.get(&id)?.temp.as_deref()
    }

    /// True where a record gave `other` its name later than `id`.
    pub(super) fn is_later(&self, other: Id, id: Id) -> bool {
        match (self.known.get(&other), self.known.get(&id)) {
            (Some(other), Some(known)) => other.installed > known.installed,
            _ => false,
        }
    }
}
