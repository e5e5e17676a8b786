//! Making changes again after a crash, as far as the files don't show them.
//!
//! A record says what stood there before and what stands there afterwards, so every case can be decided:
//!
//! | found at the name | then |
//! | --- | --- |
//! | what stood there before | the change is made |
//! | what the change put there, whole or torn | it is written again: after a failed sync the system's memory lies |
//! | something else | another program put it there later, and it stays; the journalled value goes to quarantine |
//! | nothing, though no record removes it | another program removed it, and it stays so; the value goes to quarantine |
//! | no way to it: a link or a file where a folder was | the value goes to quarantine, and the others are made |
//!
//! Which file is which is told by its id, wherever records moved it to. Of several values of one document only the last
//! is written. Whoever calls syncs everything afterwards, before anything is read or the journal goes on; until then
//! doing all of it again changes nothing more.

mod index;
mod names;
mod planned;
mod segments;
#[cfg(test)]
mod tests;
mod values;

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fmt;

use self::index::Index;
use self::planned::Planned;
use self::segments::Segments;
use super::apply::Ground;
use super::op::{self, Id, Op};
use crate::error::{Error, Result};
use crate::fs::journal::Pending;
use crate::fs::store;
use crate::fs::vfs::{Access, Dir, File, Kind, Meta, VfsResult};

/// What was found about one file that a record tells of, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Note {
    /// Relative to the root.
    pub(crate) path: String,
    pub(crate) what: String,
    /// Another program was here, or something is missing: a person should know.
    pub(crate) notable: bool,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

/// Makes the changes of all records again, and syncs everything. Tells what a person should know.
///
/// # Errors
/// Where the disk can't be read or written: nothing is lost then, and it can be tried again. [`Error::Damaged`] for a
/// record that can't be read.
pub(crate) fn replay(ground: &Ground, pending: &Pending) -> Result<Vec<Note>> {
    let mut replay = Replay::new(&ground.root, Some(&ground.tmp), Some(ground), pending)?;
    replay.run()?;
    ground.root.sync_file_system()?;
    replay.notes.retain(|note| note.notable);
    Ok(replay.notes)
}

/// Tells what [`replay`] would do, and changes nothing.
pub(crate) fn explain(root: &Dir, tmp: Option<&Dir>, pending: &Pending) -> Result<Vec<Note>> {
    let mut replay = Replay::new(root, tmp, None, pending)?;
    replay.run()?;
    Ok(replay.notes)
}

/// Why what belongs behind something that is no folder of ours goes to quarantine.
const NO_WAY: &str = "another program put something else where a folder on the way to it was";

struct Replay<'a> {
    root: &'a Dir,
    tmp: Option<&'a Dir>,
    /// `None`: only told, not done.
    ground: Option<&'a Ground>,
    pending: &'a Pending,
    index: Index,
    /// Of files that had several contents, once that matters.
    contents: OnceCell<HashMap<Id, Vec<Vec<u8>>>>,
    segments: Segments,
    planned: Planned,
    notes: Vec<Note>,
}

impl<'a> Replay<'a> {
    fn new(root: &'a Dir, tmp: Option<&'a Dir>, ground: Option<&'a Ground>, pending: &'a Pending) -> Result<Self> {
        let mut index = Index::default();
        for stored in pending.records() {
            let stored = stored?;
            index.add(&ops(&stored.bytes, stored.position)?);
        }
        Ok(Self {
            root,
            tmp,
            ground,
            pending,
            index,
            contents: OnceCell::new(),
            segments: Segments::default(),
            planned: Planned::default(),
            notes: Vec::new(),
        })
    }

    fn run(&mut self) -> Result<()> {
        let mut at = 0;
        for stored in self.pending.records() {
            let stored = stored?;
            for op in ops(&stored.bytes, stored.position)? {
                self.op(at, &op)?;
                at += 1;
            }
        }
        Ok(())
    }

    fn op(&mut self, at: usize, op: &Op) -> Result<()> {
        match op {
            Op::Append { path, id, offset, body, first, last, .. } => {
                self.append(path, *id, *offset, body, (*first, *last))?;
            }
            Op::Put { .. } | Op::Delete { .. } => self.value(at, op)?,
            Op::Install { path, temp, id, replaces } => self.install(path, temp, *id, *replaces)?,
            Op::Move { from, to, id } => self.rename(from, to, *id)?,
            Op::Remove { path, id } => {
                // A power loss may have brought back what records had replaced there before; and a later record may have
                // given the same file this name again.
                let names = &self.index.names;
                let goes = |there| (there == *id || names.is_dead(there)) && !names.keeps(there, path);
                if self.stat(path)?.is_some_and(|meta| goes(meta.id())) {
                    self.tell(path, "it is removed", false);
                    match self.ground {
                        Some(_) => drop(self.root.unlink(path)?),
                        None => self.planned.away(path),
                    }
                }
            }
            Op::Cut { path, id, len } => self.cut(path, *id, *len)?,
        }
        Ok(())
    }

    fn tell(&mut self, path: &str, what: impl Into<String>, notable: bool) {
        self.notes.push(Note { path: path.to_owned(), what: what.into(), notable });
    }

    fn stat(&self, path: &str) -> VfsResult<Option<Meta>> {
        match self.look(path) {
            Err(error) if error.missing() || error.foreign() => Ok(None),
            other => other,
        }
    }

    fn look(&self, path: &str) -> VfsResult<Option<Meta>> {
        self.planned.source(path).map_or(Ok(None), |source| self.root.stat(source))
    }

    fn file(&self, path: &str, access: Access) -> VfsResult<Option<File>> {
        self.planned.source(path).map_or(Ok(None), |source| self.root.open(source, access))
    }

    /// A temporary file or folder of that name.
    fn stat_temp(&self, name: &str) -> VfsResult<Option<Meta>> {
        if self.tmp.is_none() {
            return Ok(None);
        }
        self.look(&in_tmp(name))
    }

    /// True where the folder that a path begins with is there, or comes by a write.
    fn has_home(&self, path: &str) -> VfsResult<bool> {
        match path.split_once('/') {
            Some((home, _)) if !home.starts_with('.') => Ok(self.stat(home)?.is_some_and(|meta| meta.kind == Kind::Dir)),
            _ => Ok(true),
        }
    }

    /// True where nothing but folders leads to a path, or what is missing of them can be made. Else another program put a
    /// link, a file or another file system on the way: what is behind it is not ours to write to.
    fn has_way(&self, path: &str) -> VfsResult<bool> {
        for (end, _) in path.match_indices('/') {
            match self.look(path.get(..end).unwrap_or(path)) {
                Ok(Some(meta)) if meta.kind == Kind::Dir => {}
                Ok(None) => return Ok(true),
                Ok(Some(_)) => return Ok(false),
                Err(error) if error.missing() || error.foreign() => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Sets bytes aside that have no place any more.
    fn keep_bytes(&mut self, path: &str, bytes: &[u8], why: &str) -> Result<()> {
        self.tell(path, format!("{why}; what the journal has of it goes to quarantine"), true);
        if let Some(ground) = self.ground {
            ground.quarantine.keep_bytes(path, why, bytes)?;
        }
        Ok(())
    }

    /// Sets a temporary file aside that has no place any more.
    fn keep_temp(&mut self, path: &str, temp: &str, why: &str) -> Result<()> {
        self.tell(path, format!("{why}; what the journal has of it goes to quarantine"), true);
        match self.ground {
            Some(ground) if ground.tmp.stat(temp)?.is_some() => {
                ground.quarantine.take(path, why, &ground.tmp, temp.as_ref())?;
            }
            Some(_) => {}
            None => self.planned.away(&in_tmp(temp)),
        }
        Ok(())
    }
}

/// Where a temporary file lies below the root.
fn in_tmp(name: &str) -> String {
    format!("{}/{}/{name}", store::FOLDER, store::TMP)
}

fn ops(record: &[u8], position: u64) -> Result<Vec<Op>> {
    op::decode(record).ok_or_else(|| Error::Damaged {
        what: format!("the journal's record at {position}"),
        why: "its sum is right, but it is no record that this version knows".into(),
        etag: None,
    })
}

/// True where `found` is what a power loss may leave of contents that were written one over the other: cut short, or with
/// bytes of NUL where nothing was written, also behind their ends.
fn torn(found: &[u8], contents: &[&[u8]]) -> bool {
    let written = |at, found| contents.iter().any(|content| content.get(at) == Some(found));
    found.iter().enumerate().all(|(at, found)| *found == 0 || written(at, found))
}
