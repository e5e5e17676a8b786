//! Copies of a log up to a seq. The source is not touched but for a marker that says that a fork of it lives.

use std::ops::ControlFlow;

use crate::cursor::Seq;
use crate::error::{Error, Result};
use crate::fs::line::{self, Header, UnitEnd};
use crate::fs::log::disk::{Disk, Found};
use crate::fs::log::marker::mark;
use crate::fs::log::paths::{LogPaths, sealed_name};
use crate::fs::log::view::Met;
use crate::fs::store::Store;
use crate::fs::temp::TempFile;
use crate::fs::txn::{Step, Txn};
use crate::fs::vfs::{Access, Dir};
use crate::lineage::Lineage;
use crate::name::LogName;

/// Makes the log at `target` of `source` up to `at`. Nobody writes in the project meanwhile.
///
/// # Errors
/// [`Error::Invalid`] for a bad `at`, [`Error::Exists`] for a target that is there; nothing is left then.
pub(crate) fn fork(store: &Store, source: &Disk, at: Seq, target: &std::sync::Arc<LogPaths>) -> Result<()> {
    if at < source.horizon || at > source.head {
        return Err(Error::no_fork_at(at, source.horizon, source.head));
    }
    let taken = target.name().is_history() || !matches!(Disk::open(&source.project, target, store.life())?, Found::Absent);
    if taken {
        return Err(Error::log_exists(target.name()));
    }
    source.refuse_in_trouble()?;
    let steps = copy(store, source, at, &source.project, target, Some(source.paths.name()))?;
    let mut txn = Txn { steps };
    txn.steps.extend(mark(store, &source.project, &source.paths, target.name())?);
    store.commit(txn).map(drop)
}

/// Copies the whole log into a project in the making, whose log of that name does not exist. It is synced and gets its
/// name with the project.
pub(crate) fn copy_into(store: &Store, source: &Disk, project: &Dir) -> Result<()> {
    if source.newest.is_none() && source.sealed.is_empty() {
        return Ok(());
    }
    let steps = copy(store, source, source.head, project, &source.paths, None)?;
    store.make(Txn { steps })
}

/// Makes ready a copy up to `at`: a fork of `fork_of`, open and known to it; or, without that, part of a copy of the
/// whole project, closed if the source is.
fn copy(store: &Store, source: &Disk, at: Seq, project: &Dir, target: &LogPaths, fork_of: Option<&LogName>) -> Result<Vec<Step>> {
    let epoch = store.next_epoch(source.lineage.epoch())?;
    let mut steps = Vec::new();
    let base = link_sealed(store, source, at, project, target, &mut steps)?;
    let header = Header {
        lineage: Lineage::clone(&source.lineage).fork(at, epoch).pruned(source.horizon),
        id: (0, 0),
        base,
        horizon: source.horizon,
        closed: fork_of.is_none() && source.closed,
        fork_of: fork_of.cloned(),
        ts: source.ts,
    };
    let newest = newest(store, source, at, header)?;
    store.folder(project, target.folder())?;
    steps.push(Step::install(store.shown(project, &target.newest()), newest, None)?);
    Ok(steps)
}

/// Makes ready that the sealed segments which hold entries up to `at` get a second name. Returns the base of the newest
/// one.
fn link_sealed(store: &Store, source: &Disk, at: Seq, project: &Dir, target: &LogPaths, steps: &mut Vec<Step>) -> Result<Seq> {
    let base = source.newest.as_ref().map_or(source.head, |newest| newest.base).min(at);
    let wanted: Vec<Seq> = (0..)
        .zip(source.sealed.iter())
        .filter(|&(place, &first)| first <= at && source.bound_of_sealed(place) > source.horizon)
        .map(|(_, &first)| first)
        .collect();
    if wanted.is_empty() {
        return Ok(base);
    }
    let Some(from) = source.project.dir(source.paths.sealed())? else { return Ok(base) };
    store.folder(project, &target.sealed())?;
    for first in wanted {
        let name = sealed_name(first);
        // A missing segment is a hole in the fork too.
        if let Some(second) = second_name(store, &from, &name)? {
            steps.push(Step::install(store.shown(project, &format!("{}/{name}", target.sealed())), second, None)?);
        }
    }
    store.tmp.sync()?;
    Ok(base)
}

/// A second name for a file, among the temporary ones; a copy where links don't work.
fn second_name(store: &Store, from: &Dir, name: &str) -> Result<Option<TempFile>> {
    match TempFile::link(&store.tmp, from, name) {
        Err(error) if error.no_links() => {
            let Some(source) = from.open(name, Access::Read)? else { return Ok(None) };
            let copy = store.temp()?;
            copy.file().append_from(&source, 0..u64::MAX)?;
            store.settle_temp(&copy)?;
            Ok(Some(copy))
        }
        linked => Ok(linked?),
    }
}

/// The newest segment in a temporary file: what it inherits, each entry as a unit of its own and without keys.
fn newest(store: &Store, source: &Disk, at: Seq, mut header: Header) -> Result<TempFile> {
    const PIECE: usize = 1 << 20;
    let temporary = store.temp()?;
    let file = temporary.file();
    header.id = file.identity()?;
    let mut lines = Vec::new();
    header.push(&mut lines);
    let (mut written, mut last) = (Ok(()), header.base);
    source.view().walk((header.base, at), None, None, &mut |met| {
        if let Met::Entry(stored) = met {
            let entry = stored.entry();
            last = entry.seq;
            line::push_entry(&mut lines, entry.seq, entry.ts, 0, UnitEnd::default(), &entry.data);
            if lines.len() >= PIECE {
                written = file.append_all(&lines);
                lines.clear();
            }
        }
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written?;
    if last < at {
        // Where the last entries are damaged, a line of no entry says that the log reaches so far.
        line::push_state(&mut lines, at, source.ts, "{}");
    }
    file.append_all(&lines)?;
    store.settle_temp(&temporary)?;
    Ok(temporary)
}
