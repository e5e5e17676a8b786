//! Segments of logs, and projects: files and folders that are known by their ids.

use std::collections::HashMap;

use super::{NO_WAY, Replay, in_tmp, torn};
use crate::cursor::Seq;
use crate::error::Result;
use crate::fs::txn::op::{Body, Id, Place};
use crate::fs::vfs::{Access, File, VfsResult};

/// Open segments at most.
const OPEN: usize = 64;
/// Bytes that are compared and written at once.
const PIECE: usize = 1 << 20;

/// Segments that are open for writing.
#[derive(Debug, Default)]
pub(super) struct Segments {
    open: HashMap<Id, File>,
}

impl Replay<'_> {
    /// The name in the root that leads to a file or folder now.
    fn name_of(&self, path: &str, id: Id) -> VfsResult<Option<String>> {
        for name in std::iter::once(path.to_owned()).chain(self.index.names.of(id)) {
            if self.stat(&name)?.is_some_and(|meta| meta.id() == id) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Opens a segment for writing, wherever it is; false where it is nowhere.
    fn open(&mut self, path: &str, id: Id) -> VfsResult<bool> {
        if self.segments.open.contains_key(&id) {
            return Ok(true);
        }
        let Some(name) = self.name_of(path, id)? else { return Ok(false) };
        let access = if self.ground.is_some() { Access::ReadWrite } else { Access::Read };
        let Some(file) = self.file(&name, access)? else { return Ok(false) };
        if self.segments.open.len() >= OPEN {
            self.segments.open.clear();
        }
        self.segments.open.insert(id, file);
        Ok(true)
    }

    pub(super) fn append(&mut self, path: &str, id: Id, offset: u64, body: &Body, seqs: (Seq, Seq)) -> Result<()> {
        if self.index.names.is_dead(id) {
            return Ok(());
        }
        let entries = entries(seqs);
        if !self.open(path, id)? {
            let why = format!("another program removed or replaced the log's file after {entries} {}", were_written(seqs));
            return self.keep_body(path, body, &why);
        }
        let Some(file) = self.segments.open.get(&id) else { return Ok(()) };
        let len = self.planned.len(id, file.len()?);
        if len < offset || !self.fits(file, len, offset, body)? {
            let why = format!("another program changed the log's file where {entries} {}", were_written(seqs));
            return self.keep_body(path, body, &why);
        }
        self.notes.push(super::Note {
            path: path.to_owned(),
            what: format!("{entries} {} again", are_written(seqs)),
            notable: false,
        });
        if self.ground.is_none() {
            self.planned.sized(id, len.max(offset + body.len()));
            return Ok(());
        }
        let mut at = offset;
        self.pieces(body, |piece| {
            file.write_all_at(piece, at)?;
            at += piece.len() as u64;
            Ok(true)
        })?;
        Ok(())
    }

    /// True where nothing else was written where the bytes belong, in a file of `len` bytes.
    fn fits(&self, file: &File, len: u64, offset: u64, body: &Body) -> VfsResult<bool> {
        let (mut at, mut fits) = (offset, true);
        self.pieces(body, |piece| {
            let left = usize::try_from(len.saturating_sub(at)).unwrap_or(usize::MAX);
            let found = file.read_some(at, piece.len().min(left))?;
            fits = torn(&found, &[piece]);
            at += piece.len() as u64;
            Ok(fits && found.len() == piece.len())
        })?;
        Ok(fits)
    }

    /// Visits the bytes of a body in pieces, until `visit` says no.
    fn pieces(&self, body: &Body, mut visit: impl FnMut(&[u8]) -> VfsResult<bool>) -> VfsResult<()> {
        match body {
            Body::Inline(bytes) => {
                for piece in bytes.chunks(PIECE) {
                    if !visit(piece)? {
                        break;
                    }
                }
            }
            Body::Temp { name, len } => {
                let Some(file) = self.tmp.map_or(Ok(None), |tmp| tmp.open(name, Access::Read))? else { return Ok(()) };
                let mut at = 0;
                while at < *len {
                    let piece = file.read_some(at, PIECE)?;
                    if piece.is_empty() || !visit(&piece)? {
                        break;
                    }
                    at += piece.len() as u64;
                }
            }
        }
        Ok(())
    }

    fn keep_body(&mut self, path: &str, body: &Body, why: &str) -> Result<()> {
        match body {
            Body::Inline(bytes) => self.keep_bytes(path, bytes, why),
            Body::Temp { name, .. } => self.keep_temp(path, name, why),
        }
    }

    pub(super) fn install(&mut self, path: &str, temp: &str, id: Id, replaces: Option<Id>) -> Result<()> {
        let there = self.stat(path)?.map(|meta| meta.id());
        // A file may have several names, of which each is given by a record of its own.
        if there == Some(id) || self.index.names.is_dead(id) {
            return Ok(());
        }
        if self.stat_temp(temp)?.is_none_or(|meta| meta.id() != id) {
            if self.name_of(path, id)?.is_none() {
                self.tell(path, "another program removed the file", true);
            }
            return Ok(());
        }
        match there {
            // Its own next name is the one to give.
            Some(other) if self.index.names.is_later(other, id) => return Ok(()),
            // Nor is one that records replaced before anybody else's.
            Some(other) if Some(other) != replaces && !self.index.names.is_dead(other) => {
                return self.keep_temp(path, temp, "another program put its own file here");
            }
            _ => {}
        }
        if !self.has_home(path)? {
            return self.keep_temp(path, temp, "another program removed the project");
        }
        if !self.has_way(path)? {
            return self.keep_temp(path, temp, NO_WAY);
        }
        self.tell(path, "the file gets its name", false);
        match self.ground {
            Some(ground) => {
                let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
                ground.tmp.rename(temp, &ground.folder(folder)?, name)?;
            }
            None => self.planned.moved(&in_tmp(temp), path),
        }
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Place, to: &Place, id: Id) -> Result<()> {
        match (from, to) {
            (Place::Path(path), Place::Temp(name)) => {
                if self.stat(path)?.is_some_and(|meta| meta.id() == id) {
                    self.tell(path, "it is deleted", false);
                    match self.ground {
                        Some(ground) => {
                            self.segments.open.clear();
                            self.root.rename(path, &ground.tmp, name)?;
                        }
                        None => self.planned.moved(path, &in_tmp(name)),
                    }
                }
            }
            (Place::Temp(name), Place::Path(path)) => {
                let there = self.stat(path)?;
                let made = self.stat_temp(name)?.is_some_and(|meta| meta.id() == id);
                if made && there.is_none() {
                    self.tell(path, "it gets its name", false);
                    match self.ground {
                        Some(ground) => ground.tmp.rename(name, &ground.root, path)?,
                        None => self.planned.moved(&in_tmp(name), path),
                    }
                }
            }
            (Place::Path(old), Place::Path(new)) => self.rename_segment(old, new, id)?,
            (Place::Temp(_), Place::Temp(_)) => {}
        }
        Ok(())
    }

    fn rename_segment(&mut self, from: &str, to: &str, id: Id) -> Result<()> {
        if self.index.names.is_dead(id) || self.stat(to)?.is_some_and(|meta| meta.id() == id) {
            return Ok(());
        }
        let named = self.stat(from)?.is_some_and(|meta| meta.id() == id);
        let temp = self.index.names.temp(id).map(str::to_owned);
        let unnamed = match &temp {
            Some(temp) => self.stat_temp(temp)?.is_some_and(|meta| meta.id() == id),
            None => false,
        };
        if !named && !unnamed {
            if self.name_of(from, id)?.is_none() {
                self.tell(from, "another program removed or replaced the log's file", true);
            }
            return Ok(());
        }
        if !self.has_way(to)? {
            match &temp {
                Some(temp) if !named => self.keep_temp(to, temp, NO_WAY)?,
                // It has a name, and is read there.
                _ => self.tell(to, NO_WAY, true),
            }
            return Ok(());
        }
        self.tell(to, "the segment gets its name", false);
        let Some(ground) = self.ground else {
            self.planned.moved(&temp.filter(|_| !named).map_or(from.to_owned(), |temp| in_tmp(&temp)), to);
            return Ok(());
        };
        let (folder, name) = to.rsplit_once('/').unwrap_or(("", to));
        let folder = ground.folder(folder)?;
        if folder.stat(name)?.is_some() {
            ground.quarantine.take(to, "it stood where a segment of a log belongs", &folder, name.as_ref())?;
        }
        match temp {
            Some(temp) if !named => ground.tmp.rename(temp, &folder, name)?,
            _ => self.root.rename(from, &folder, name)?,
        }
        Ok(())
    }

    pub(super) fn cut(&mut self, path: &str, id: Id, len: u64) -> Result<()> {
        if !self.index.names.is_dead(id)
            && self.open(path, id)?
            && let Some(file) = self.segments.open.get(&id)
        {
            let there = self.planned.len(id, file.len()?);
            match self.ground {
                // Also where it looks cut: after a failed sync the medium may have another length than memory.
                Some(_) if there >= len => file.truncate(len)?,
                None if there > len => self.planned.sized(id, len),
                _ => {}
            }
            if there > len {
                self.tell(path, "it loses what follows its last whole append", false);
            }
        }
        Ok(())
    }
}

fn entries((first, last): (Seq, Seq)) -> String {
    match last.checked_sub(first) {
        Some(0) => format!("entry {first}"),
        Some(_) => format!("entries {first} to {last}"),
        None => "a line".into(),
    }
}

fn are_written(seqs: (Seq, Seq)) -> &'static str {
    if seqs.0 < seqs.1 { "are written" } else { "is written" }
}

fn were_written(seqs: (Seq, Seq)) -> &'static str {
    if seqs.0 < seqs.1 { "were written" } else { "was written" }
}
