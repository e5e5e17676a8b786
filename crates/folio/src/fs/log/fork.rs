//! Copies of a log up to a seq. The source is not touched but for a marker that says that a fork of it lives.

use std::ops::ControlFlow;

use crate::cursor::Seq;
use crate::error::{Error, Result};
use crate::follow::Item;
use crate::fs::line::{self, Header, UnitEnd};
use crate::fs::log::delete::{clear_remains, put_absent, remove_remains};
use crate::fs::log::disk::{Disk, Found};
use crate::fs::log::marker::mark;
use crate::fs::log::paths::{LogPaths, sealed_name};
use crate::fs::store::Store;
use crate::fs::vfs::{Access, Dir, File};
use crate::lineage::Lineage;
use crate::name::LogName;

/// What a copy is for.
enum Purpose<'a> {
    /// A fork in the same project: open, and known to its source.
    Fork { source: &'a LogName },
    /// Part of a copy of the whole project: closed if the source is.
    Copy,
}

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
    let project = source.project.clone();
    copy(store, source, at, &project, target, Purpose::Fork { source: source.paths.name() })
}

/// Copies the whole log into another project, whose log of that name does not exist.
pub(crate) fn copy_into(store: &Store, source: &Disk, project: &Dir) -> Result<()> {
    if source.newest.is_none() && source.sealed.is_empty() {
        return Ok(());
    }
    copy(store, source, source.head, project, &source.paths, Purpose::Copy)
}

fn copy(store: &Store, source: &Disk, at: Seq, project: &Dir, target: &LogPaths, purpose: Purpose<'_>) -> Result<()> {
    let epoch = store.next_epoch(source.lineage.epoch())?;
    let (fork_of, closed) = match purpose {
        Purpose::Fork { source } => (Some(source.clone()), false),
        Purpose::Copy => (None, source.closed),
    };
    clear_remains(store, project, target)?;
    // An absent header first: until the last rename a crash leaves nothing that counts as a log.
    put_absent(store, project, target, fork_of.clone())?;
    let copied = (|| {
        if let Some(name) = &fork_of {
            mark(store, project, &LogPaths::of(name), target.name())?;
        }
        let base = link_sealed(store, source, at, project, target)?;
        let header = Header {
            lineage: Lineage::clone(&source.lineage).fork(at, epoch).pruned(source.horizon),
            id: (0, 0),
            base,
            horizon: source.horizon,
            closed,
            absent: false,
            fork_of: fork_of.clone(),
            ts: source.ts,
        };
        put_newest(store, source, at, project, target, header)
    })();
    if let Err(error) = &copied
        && !matches!(error, Error::OutcomeUnknown { .. })
    {
        // What can't be tidied up now stays absent, and is by the next attempt.
        let _ = remove_remains(store, project, target, fork_of.as_ref());
    }
    copied
}

/// Gives the sealed segments that hold entries up to `at` a second name. Returns the base of the newest one.
fn link_sealed(store: &Store, source: &Disk, at: Seq, project: &Dir, target: &LogPaths) -> Result<Seq> {
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
    let to = store.folder(project, &target.sealed())?;
    for first in wanted {
        let name = sealed_name(first);
        match from.link(&name, &to, &name) {
            Err(error) if error.no_links() => copy_file(&from, &name, &to)?,
            // A missing segment is a hole in the fork too.
            Err(error) if error.missing() => {}
            linked => linked?,
        }
    }
    to.sync().map_err(|error| store.unknown(&store.shown(project, &target.sealed()), &error))?;
    Ok(base)
}

fn copy_file(from: &Dir, name: &str, to: &Dir) -> Result<()> {
    let Some(source) = from.open(name, Access::Read)? else { return Ok(()) };
    let target: File = to.create_new(name, Access::Append)?;
    target.append_from(&source, 0..u64::MAX)?;
    Ok(target.sync_all()?)
}

/// Writes the newest segment: what it inherits, each entry as a unit of its own and without keys.
fn put_newest(store: &Store, source: &Disk, at: Seq, project: &Dir, target: &LogPaths, mut header: Header) -> Result<()> {
    const PIECE: usize = 1 << 20;
    let temporary = store.temp()?;
    let file = temporary.file();
    header.id = file.identity()?;
    let mut lines = Vec::new();
    header.push(&mut lines);
    let (mut written, mut last) = (Ok(()), header.base);
    source.view().walk(header.base, at, &mut |item| {
        if let Item::Entry(entry) = item {
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
    file.sync_all()?;
    let folder = store.folder(project, target.folder())?;
    drop(temporary.keep_as(&folder, &target.newest_name())?);
    folder.sync().map_err(|error| store.unknown(&store.shown(project, &target.newest()), &error))
}
