//! Which folder each watch is for.

use std::collections::HashMap;

use super::super::scope::Scope;
use super::inotify::Watch;
use crate::name::ProjectId;

/// What a watched folder is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// The root, where `.shared` and `.collections` may come into being.
    Root,
    /// `.collections`.
    Collections,
    /// The documents of a scope.
    Docs(Scope),
    /// A folder of a project's files: empty for the project's own, else with a `/` at its end.
    Files(ProjectId, String),
}

impl Place {
    pub(super) fn belongs_to(&self, scope: &Scope) -> bool {
        match self {
            Self::Root | Self::Collections => false,
            Self::Docs(docs) => docs == scope,
            Self::Files(id, _) => scope.project() == Some(id),
        }
    }

    /// True for a project's folder, which ends with a `/`, and all folders below it.
    pub(super) fn is_below(&self, id: &ProjectId, folder: &str) -> bool {
        matches!(self, Self::Files(of, path) if of == id && path.starts_with(folder))
    }
}

/// The watched folders.
#[derive(Debug, Default)]
pub(super) struct Places(HashMap<Watch, Place>);

impl Places {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, watch: Watch) -> Option<&Place> {
        self.0.get(&watch)
    }

    /// A folder that was moved keeps its watch and gets its new place.
    pub(super) fn insert(&mut self, watch: Watch, place: Place) {
        self.0.insert(watch, place);
    }

    pub(super) fn remove(&mut self, watch: Watch) {
        self.0.remove(&watch);
    }

    /// Takes out the watches of these places.
    pub(super) fn take(&mut self, which: impl FnMut(&Place) -> bool) -> Vec<Watch> {
        let mut which = which;
        self.0.extract_if(|_, place| which(place)).map(|(watch, _)| watch).collect()
    }
}
