//! Changes of names that are not durable yet.

use std::collections::HashSet;
use std::ffi::OsString;

use super::bytes::Mercy;

/// Inode number.
pub(super) type Ino = u64;

/// A name in a folder.
pub(super) type Slot = (Ino, OsString);

/// One change, which becomes durable whole.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// What each name names after it.
    pub(super) sets: Vec<(Slot, Option<Ino>)>,
    /// The folder that it removes: what was in it goes first.
    pub(super) empties: Option<Ino>,
    /// It moves a folder: these keep their order, so that none ends up inside itself.
    pub(super) moves_folder: bool,
}

/// The changes since the last syncs, in order.
#[derive(Clone, Default, Debug)]
pub(super) struct Changes(Vec<Change>);

/// What some of the changes touch.
#[derive(Default)]
struct Touched {
    slots: HashSet<Slot>,
    folders: HashSet<Ino>,
    moves_folder: bool,
}

impl Touched {
    fn add(&mut self, change: &Change) {
        self.slots.extend(change.sets.iter().map(|(slot, _)| slot.clone()));
        self.moves_folder |= change.moves_folder;
    }

    fn has(&self, change: &Change) -> bool {
        self.moves_folder && change.moves_folder
            || change.sets.iter().any(|(slot, _)| self.folders.contains(&slot.0) || self.slots.contains(slot))
    }
}

impl Changes {
    pub(super) fn push(&mut self, change: Change) {
        self.0.push(change);
    }

    /// Takes those that the sync of a folder makes durable, and the earlier ones that these need.
    pub(super) fn take(&mut self, folder: Ino) -> Vec<Change> {
        let mut needed = Touched { folders: HashSet::from([folder]), ..Touched::default() };
        let mut taken = Vec::new();
        for change in std::mem::take(&mut self.0).into_iter().rev() {
            if needed.has(&change) {
                needed.add(&change);
                needed.folders.extend(change.empties);
                taken.push(change);
            } else {
                self.0.push(change);
            }
        }
        self.0.reverse();
        taken.reverse();
        taken
    }

    pub(super) fn take_all(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.0)
    }

    /// Puts back what was taken last.
    pub(super) fn put_back(&mut self, taken: Vec<Change>) {
        let later = std::mem::replace(&mut self.0, taken);
        self.0.extend(later);
    }

    /// Those that happened to become durable before a power cut.
    pub(super) fn survivors(&self, rng: &mut fastrand::Rng) -> Vec<&Change> {
        let mercy = Mercy::any(rng);
        let odds = rng.u8(1..10);
        let mut lost = Touched::default();
        let mut survivors = Vec::new();
        for change in &self.0 {
            let lucky = match mercy {
                Mercy::Nothing => false,
                Mercy::Everything => true,
                Mercy::Chance => rng.u8(0..10) < odds,
            };
            let full = change.empties.is_some_and(|folder| lost.folders.contains(&folder));
            if lucky && !full && !lost.has_slot(change) {
                survivors.push(change);
            } else {
                lost.add(change);
                lost.folders.extend(change.sets.iter().map(|((folder, _), _)| *folder));
            }
        }
        survivors
    }

    /// True where a change names this one.
    pub(super) fn name(&self, ino: Ino) -> bool {
        self.0.iter().any(|change| change.sets.iter().any(|((folder, _), named)| *folder == ino || *named == Some(ino)))
    }
}

impl Touched {
    fn has_slot(&self, change: &Change) -> bool {
        self.moves_folder && change.moves_folder || change.sets.iter().any(|(slot, _)| self.slots.contains(slot))
    }
}
