//! Making a step: everything that may still be refused happens here.

use super::op::{Before, Body, Op, Place};
use super::{Means, Step, Turn};
use crate::etag::Etag;
use crate::fs::store::Store;
use crate::fs::temp::{Made, TempFile, fresh_name};
use crate::fs::vfs::{Dir, VfsResult};

/// Up to so many bytes of a document or file go into the journal itself; more lie in a synced temporary file.
pub(crate) const INLINE: usize = 64 << 10;
/// The same for the lines of an append.
const INLINE_LINES: usize = 1 << 20;

/// The content of a document or file in a temporary file, whole.
#[derive(Debug)]
pub(crate) struct Prepared {
    temp: TempFile,
    /// The bytes, where they are few; else the file is synced.
    inline: Option<Vec<u8>>,
    pub(crate) etag: Etag,
    made: Made,
    len: u64,
    turn: Option<Turn>,
}

/// A temporary file that is written, and synced where its bytes are not `inline`.
pub(crate) struct Written {
    temp: TempFile,
    inline: Option<Vec<u8>>,
    made: Made,
    len: u64,
}

impl Written {
    /// It holds `len` bytes.
    pub(crate) fn of(temp: TempFile, inline: Option<Vec<u8>>, len: u64) -> VfsResult<Self> {
        let made = temp.made()?;
        Ok(Self { temp, inline, made, len })
    }

    /// `etag`: of its bytes.
    pub(crate) fn tagged(self, etag: Etag) -> Prepared {
        let Self { temp, inline, made, len } = self;
        Prepared { temp, inline, etag, made, len, turn: None }
    }
}

impl Prepared {
    /// Writes `bytes` into a temporary file.
    pub(crate) fn of(store: &Store, bytes: Vec<u8>, etag: Etag) -> VfsResult<Self> {
        let temp = store.content_temp()?;
        let len = bytes.len() as u64;
        temp.fill(&bytes)?;
        let inline = (bytes.len() <= INLINE).then_some(bytes);
        store.settle_content(&temp, inline.is_some())?;
        Ok(Written::of(temp, inline, len)?.tagged(etag))
    }

    /// As [`Prepared::of`], for the document at `path` in the root, which may be written again soon. `alone`: it is the only
    /// change of its commit, which asks [`Step::look_again`]; then it may be unwritten.
    pub(crate) fn of_document(store: &Store, path: &str, bytes: Vec<u8>, etag: Etag, alone: bool) -> VfsResult<Self> {
        let Some(spares) = store.in_turns().filter(|_| bytes.len() <= INLINE) else { return Self::of(store, bytes, etag) };
        let len = bytes.len() as u64;
        if alone && let Some((temp, round)) = spares.again(path, len)? {
            let made = temp.made()?;
            return Ok(Self { temp, inline: Some(bytes), etag, made, len, turn: Some(Turn { round, unwritten: true }) });
        }
        let turn = Some(Turn { round: spares.turns().round(), unwritten: false });
        Ok(Self { turn, ..Self::of(store, bytes, etag)? })
    }

    /// Sets the permission bits.
    pub(crate) fn set_mode(&mut self, mode: u32) -> VfsResult<()> {
        if self.made.mode != mode {
            self.temp.file().set_mode(mode)?;
            self.made.mode = mode;
        }
        Ok(())
    }

    /// The step that gives it the name `name` in `folder`, which is `path` in the root. `before` stands there now.
    pub(crate) fn put(self, path: String, folder: Dir, before: Option<Before>) -> Step {
        let Made { id, mode } = self.made;
        let name = self.temp.name().to_owned();
        let body = match self.inline {
            Some(bytes) => Body::Inline(bytes),
            None => Body::Temp { name: name.clone(), len: self.len },
        };
        let op = Op::Put { path, temp: name, id, mode, after: self.etag, before, body };
        Step { op, means: Means::Placed { temp: self.temp, folder, turn: self.turn } }
    }
}

impl Step {
    /// The last look before it is recorded: an unwritten file whose round is over gives way to another one. True: the record
    /// is another one now, of the same length.
    ///
    /// # Errors
    /// Where there is no other file.
    pub(crate) fn look_again(&mut self, store: &Store) -> VfsResult<bool> {
        let (Op::Put { temp: name, id, mode, body, .. }, Means::Placed { temp, turn: Some(turn), .. }) =
            (&mut self.op, &mut self.means)
        else {
            return Ok(false);
        };
        let round = store.ground.turns.round();
        if !turn.unwritten || turn.round == round {
            return Ok(false);
        }
        let other = store.content_temp()?;
        other.reserve(body.len())?;
        let made = other.made()?;
        if made.mode != *mode {
            other.file().set_mode(*mode)?;
        }
        (*name, *id, turn.round) = (other.name().to_owned(), made.id, round);
        *temp = other;
        Ok(true)
    }

    /// Removes the document or file at `path` in the root, which lies in `folder`.
    pub(crate) fn delete(path: String, folder: Dir, before: Before) -> VfsResult<Self> {
        Ok(Self { op: Op::Delete { path, temp: fresh_name()?, before }, means: Means::Folder(folder) })
    }

    /// Gives a synced temporary file the name of a segment.
    pub(crate) fn install(path: String, temp: TempFile, replaces: Option<super::Id>) -> VfsResult<Self> {
        let id = temp.file().identity()?;
        let op = Op::Install { path, temp: temp.name().to_owned(), id, replaces };
        Ok(Self { op, means: Means::Temp(temp) })
    }

    /// Removes a file, if it is that one.
    pub(crate) fn remove(path: String, id: super::Id) -> Self {
        Self { op: Op::Remove { path, id }, means: Means::Nothing }
    }

    /// Gives a file or folder another name.
    pub(crate) fn rename(from: Place, to: Place, id: super::Id) -> Self {
        Self { op: Op::Move { from, to, id }, means: Means::Nothing }
    }
}

/// Lines for the journal: in the record, or in a synced temporary file where they are many.
pub(crate) fn lines(store: &Store, lines: Vec<u8>) -> VfsResult<(Body, Option<TempFile>)> {
    if lines.len() <= INLINE_LINES {
        return Ok((Body::Inline(lines), None));
    }
    let temp = store.temp()?;
    temp.file().append_all(&lines)?;
    store.settle_temp(&temp)?;
    Ok((Body::Temp { name: temp.name().to_owned(), len: lines.len() as u64 }, Some(temp)))
}
