//! What would be so by now, where changes are only told: later records build upon earlier ones.

use std::collections::HashMap;

use crate::fs::txn::op::Id;

/// Changes that were told and not made. Empty where they are made.
#[derive(Debug, Default)]
pub(super) struct Planned {
    /// Old and new place below the root; `None`: it is away.
    moves: Vec<(String, Option<String>)>,
    lens: HashMap<Id, u64>,
}

impl Planned {
    /// What stands at one place would stand at another, instead of what is there.
    pub(super) fn moved(&mut self, from: &str, to: &str) {
        self.moves.push((from.to_owned(), Some(to.to_owned())));
    }

    /// What stands there would be away.
    pub(super) fn away(&mut self, path: &str) {
        self.moves.push((path.to_owned(), None));
    }

    /// A file would have so many bytes.
    pub(super) fn sized(&mut self, id: Id, len: u64) {
        self.lens.insert(id, len);
    }

    /// How many bytes a file of `len` bytes would have.
    pub(super) fn len(&self, id: Id, len: u64) -> u64 {
        self.lens.get(&id).copied().unwrap_or(len)
    }

    /// Where that stands now which would stand at `path`; `None`: nothing would.
    pub(super) fn source(&self, path: &str) -> Option<String> {
        let mut path = path.to_owned();
        for (from, to) in self.moves.iter().rev() {
            if let Some(rest) = to.as_ref().and_then(|to| below(&path, to)) {
                path = format!("{from}{rest}");
            } else if below(&path, from).is_some() {
                return None;
            }
        }
        Some(path)
    }
}

/// The rest of a path that is `folder`, or lies in it.
fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    path.strip_prefix(folder).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}
