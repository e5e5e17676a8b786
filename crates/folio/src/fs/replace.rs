//! Putting a whole file in the place of another, and taking one away: atomic, and durable as promised.

use super::store::Store;
use super::txn::{Before, Effect, Prepared, Step, Txn};
use super::vfs::{Dir, Kind, Meta};
use crate::error::{Error, Result};

/// What became of a file that was put or removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Replaced {
    /// Of the file now, where its bytes alone don't tell it apart; `None` once it is removed.
    pub(crate) large: Option<Meta>,
    /// Another program had changed it meanwhile: what it put there lies in quarantine.
    pub(crate) conflict: bool,
}

/// Makes ready that `prepared` gets the name `rel` below `base`, with the folders on its way. `before` stands there now.
///
/// # Errors
/// [`Error::PathConflict`] where something else than a file stands there, [`Error::DiskFull`], [`Error::Io`]. Nothing
/// has changed (but for new, empty folders).
pub(crate) fn prepare_put(store: &Store, base: &Dir, rel: &str, prepared: Prepared, before: Option<Before>) -> Result<Step> {
    let what = store.shown(base, rel);
    // What was read there was a file.
    if before.is_none() {
        refuse_what_is_no_file(base, rel, &what)?;
    }
    let folder = match rel.rsplit_once('/') {
        Some((folder, _)) => store.folder(base, folder)?,
        None => base.clone(),
    };
    Ok(prepared.put(what, folder, before))
}

/// Refuses to put a file where something else stands: at `rel` below `base`, which is `what` in the root.
///
/// # Errors
/// [`Error::PathConflict`].
pub(crate) fn refuse_what_is_no_file(base: &Dir, rel: &str, what: &str) -> Result<()> {
    match base.stat(rel) {
        Ok(Some(meta)) if meta.kind != Kind::File => {
            Err(Error::PathConflict { path: what.to_owned(), why: format!("a {} stands there", meta.kind).into() })
        }
        _ => Ok(()),
    }
}

/// Makes ready that the file `rel` below `base`, which is `before`, is removed. Folders stay.
pub(crate) fn prepare_remove(store: &Store, base: &Dir, rel: &str, before: Before) -> Result<Option<Step>> {
    let folder = match rel.rsplit_once('/') {
        Some((folder, _)) => base.dir(folder)?,
        None => Some(base.clone()),
    };
    let Some(folder) = folder else { return Ok(None) };
    let what = store.shown(base, rel);
    Step::delete(what.clone(), folder, before).map(Some).map_err(|error| error.writing(&what))
}

/// Commits one of those steps.
///
/// # Errors
/// As [`Store::commit`].
pub(crate) fn commit(store: &Store, step: Step) -> Result<Replaced> {
    Ok(Replaced::of(&store.commit(Txn::of(step))?))
}

impl Replaced {
    /// What the effect of such a step, the first of `effects`, tells.
    pub(crate) fn of(effects: &[Effect]) -> Self {
        match effects.first() {
            Some(Effect::Placed { large, conflict }) => Self { large: *large, conflict: *conflict },
            Some(Effect::Gone { conflict }) => Self { large: None, conflict: *conflict },
            Some(Effect::Done | Effect::Installed(_) | Effect::Replaced) | None => Self { large: None, conflict: false },
        }
    }
}
