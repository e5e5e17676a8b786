//! Documents and files: each has its last value.

use std::collections::HashMap;

use super::index::Chain;
use super::{NO_WAY, Replay, ops, torn};
use crate::error::Result;
use crate::etag::Etag;
use crate::fs::content::etag_of;
use crate::fs::temp::{TempFile, fresh_name};
use crate::fs::txn::op::{Body, Id, Op};
use crate::fs::vfs::{Access, BLANK, Kind, Meta, VfsResult};

/// What stands where a record put something.
enum Found {
    /// Nothing, as before the change.
    Nothing,
    /// Nothing, although no record removed it.
    Missing,
    /// The file of the last change, whole or torn.
    Last,
    /// Something that records know: from before, or between. These bytes, where they are parts of several contents.
    Known(Option<Vec<u8>>),
    /// Something that another program put there.
    Foreign,
    /// Something that another program put on the way there.
    NoWay,
}

impl Replay<'_> {
    pub(super) fn value(&mut self, at: usize, op: &Op) -> Result<()> {
        let Some(chain) = self.index.last(op.path(), at) else { return Ok(()) };
        let found = self.find(chain, op)?;
        if let Found::Known(Some(bytes)) = &found {
            // Who can tell that nobody wrote just that?
            let why = "parts of several contents stood there, as a power loss may leave them";
            self.tell(op.path(), format!("{why}; they go to quarantine"), true);
            if let Some(ground) = self.ground {
                ground.quarantine.keep_bytes(op.path(), why, bytes)?;
            }
        }
        match op {
            Op::Put { path, temp, id, mode, body, .. } => match body {
                Body::Inline(bytes) => self.put_bytes(path, bytes, *mode, &found),
                Body::Temp { .. } => self.put_temp(path, temp, *id, &found),
            },
            Op::Delete { path, .. } => self.delete(path, &found),
            _ => Ok(()),
        }
    }

    fn find(&self, chain: &Chain, op: &Op) -> Result<Found> {
        let path = op.path();
        let meta = self.stat(path)?;
        if !self.has_home(path)? {
            return Ok(Found::Missing);
        }
        if !self.has_way(path)? {
            return Ok(Found::NoWay);
        }
        let Some(meta) = meta else { return Ok(if chain.absent { Found::Nothing } else { Found::Missing }) };
        if meta.kind != Kind::File {
            return Ok(Found::Foreign);
        }
        if let Op::Put { id, after, body, .. } = op
            && *id == meta.id()
        {
            return self.last_file(chain, path, &meta, *after, body);
        }
        if chain.found_before(&meta) {
            return Ok(Found::Known(None));
        }
        if let Op::Put { after, body: Body::Inline(bytes), .. } = op
            && meta.size == bytes.len() as u64
            && self.has_bytes(path, *after)?
        {
            // An earlier replay wrote it.
            return Ok(Found::Last);
        }
        if chain.given(meta.id()).next().is_some() { self.between(chain, path, &meta) } else { Ok(Found::Foreign) }
    }

    fn has_bytes(&self, path: &str, etag: Etag) -> VfsResult<bool> {
        self.file(path, Access::Read)?.map_or(Ok(false), |file| Ok(etag_of(&file)? == etag))
    }

    /// What the file of the last change holds.
    fn last_file(&self, chain: &Chain, path: &str, meta: &Meta, after: Etag, body: &Body) -> Result<Found> {
        let Some(file) = self.file(path, Access::Read)? else { return Ok(Found::Foreign) };
        match body {
            Body::Inline(bytes) => {
                let most = bytes.len().max(BLANK);
                if meta.size > most as u64 {
                    return Ok(Found::Foreign);
                }
                let found = file.read_some(0, most)?;
                if torn(&found, &[bytes.as_slice()]) { Ok(Found::Last) } else { self.earlier(chain, meta.id(), found) }
            }
            // Its bytes were durable before the record was.
            Body::Temp { len, .. } => {
                Ok(if meta.size == *len && etag_of(&file)? == after { Found::Last } else { Found::Foreign })
            }
        }
    }

    /// What the file of an earlier change holds: its bytes, or nothing that anybody wrote.
    fn between(&self, chain: &Chain, path: &str, meta: &Meta) -> Result<Found> {
        let Some(file) = self.file(path, Access::Read)? else { return Ok(Found::Foreign) };
        let (found, mut given) = (etag_of(&file)?, chain.given(meta.id()));
        if given.clone().any(|(etag, _)| etag == found) {
            return Ok(Found::Known(None));
        }
        // A power loss leaves fewer bytes, or bytes of NUL, where nothing was written.
        if given.all(|(_, len)| meta.size < len) {
            return Ok(Found::Known(None));
        }
        if meta.size > BLANK as u64 {
            return Ok(Found::Foreign);
        }
        let found = file.read_some(0, BLANK)?;
        if found.contains(&0) { Ok(Found::Known(None)) } else { self.earlier(chain, meta.id(), found) }
    }

    /// What bytes are that a file shows which may have had several contents.
    fn earlier(&self, chain: &Chain, id: Id, found: Vec<u8>) -> Result<Found> {
        if !chain.had_several(id) {
            return Ok(Found::Foreign);
        }
        let contents = match self.contents.get() {
            Some(contents) => contents,
            None => {
                let read = self.read_contents()?;
                self.contents.get_or_init(|| read)
            }
        };
        let had: Vec<&[u8]> = contents.get(&id).into_iter().flatten().map(Vec::as_slice).collect();
        Ok(match torn(&found, &had) {
            true if had.iter().any(|content| torn(&found, &[content])) => Found::Known(None),
            true => Found::Known(Some(found)),
            false => Found::Foreign,
        })
    }

    /// The contents of all files that had several.
    fn read_contents(&self) -> Result<HashMap<Id, Vec<Vec<u8>>>> {
        let mut contents: HashMap<Id, Vec<Vec<u8>>> = HashMap::new();
        for stored in self.pending.records() {
            let stored = stored?;
            for op in ops(&stored.bytes, stored.position)? {
                if let Op::Put { path, id, body: Body::Inline(bytes), .. } = op
                    && self.index.chain(&path).is_some_and(|chain| chain.had_several(id))
                {
                    contents.entry(id).or_default().push(bytes);
                }
            }
        }
        Ok(contents)
    }

    fn put_bytes(&mut self, path: &str, bytes: &[u8], mode: u32, found: &Found) -> Result<()> {
        match found {
            Found::Missing => return self.keep_bytes(path, bytes, "another program removed it after it was written"),
            Found::Foreign => return self.keep_bytes(path, bytes, "another program changed it after it was written"),
            Found::NoWay => return self.keep_bytes(path, bytes, NO_WAY),
            Found::Last => self.tell(path, format!("its {} bytes are written again", bytes.len()), false),
            Found::Nothing | Found::Known(_) => self.tell(path, format!("{} bytes are written", bytes.len()), false),
        }
        let Some(ground) = self.ground else { return Ok(()) };
        if let (Found::Last, Some(file)) = (found, self.file(path, Access::ReadWrite)?) {
            file.write_all_at(bytes, 0)?;
            // Its length is written again, too: after a failed sync the medium may have another one than memory.
            file.truncate(bytes.len() as u64)?;
            return Ok(file.set_mode(mode)?);
        }
        let temp = TempFile::new(&ground.tmp)?;
        temp.file().append_all(bytes)?;
        temp.file().set_mode(mode)?;
        // No record knows this file: cut off from its bytes, another replay would take it for somebody else's.
        temp.file().sync_all()?;
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        drop(temp.keep_as(&ground.folder(folder)?, name)?);
        Ok(())
    }

    fn put_temp(&mut self, path: &str, temp: &str, id: Id, found: &Found) -> Result<()> {
        match found {
            Found::Last => return Ok(()),
            Found::Missing => return self.keep_temp(path, temp, "another program removed it after it was written"),
            Found::Foreign => return self.keep_temp(path, temp, "another program changed it after it was written"),
            Found::NoWay => return self.keep_temp(path, temp, NO_WAY),
            Found::Nothing | Found::Known(_) => {}
        }
        if self.stat_temp(temp)?.is_none_or(|meta| meta.id() != id) {
            self.tell(path, "its new content is missing among the temporary files, so it stays as it is", true);
            return Ok(());
        }
        self.tell(path, "it gets its new content", false);
        if let Some(ground) = self.ground {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            ground.tmp.rename(temp, &ground.folder(folder)?, name)?;
        }
        Ok(())
    }

    fn delete(&mut self, path: &str, found: &Found) -> Result<()> {
        match found {
            Found::Nothing | Found::Missing | Found::NoWay => {}
            Found::Foreign => self.tell(path, "another program wrote it after it was deleted, so it stays", true),
            Found::Last | Found::Known(_) => {
                self.tell(path, "it is deleted", false);
                if let Some(ground) = self.ground {
                    self.root.rename(path, &ground.tmp, fresh_name()?)?;
                }
            }
        }
        Ok(())
    }
}
