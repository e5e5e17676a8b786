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
    /// Something that a record knows: from before, or between.
    Known,
    /// Something that another program put there.
    Foreign,
    /// Something that another program put on the way there.
    NoWay,
}

impl Replay<'_> {
    pub(super) fn value(&mut self, at: usize, op: &Op) -> Result<()> {
        let Some(chain) = self.index.last(op.path(), at) else { return Ok(()) };
        let found = self.find(chain, op)?;
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
            return Ok(if self.is_ours(chain, path, &meta, *after, body)? { Found::Last } else { Found::Foreign });
        }
        if chain.found_before(&meta) {
            return Ok(Found::Known);
        }
        if let Op::Put { after, body: Body::Inline(bytes), .. } = op
            && meta.size == bytes.len() as u64
            && self.has_bytes(path, *after)?
        {
            // An earlier replay wrote it.
            return Ok(Found::Last);
        }
        let between = chain.given(meta.id()).next().is_some() && self.is_between(chain, path, &meta)?;
        Ok(if between { Found::Known } else { Found::Foreign })
    }

    fn has_bytes(&self, path: &str, etag: Etag) -> VfsResult<bool> {
        self.file(path, Access::Read)?.map_or(Ok(false), |file| Ok(etag_of(&file)? == etag))
    }

    /// True where the file of the last change has its bytes, or a part of them.
    fn is_ours(&self, chain: &Chain, path: &str, meta: &Meta, after: Etag, body: &Body) -> Result<bool> {
        let Some(file) = self.file(path, Access::Read)? else { return Ok(false) };
        match body {
            Body::Inline(bytes) => {
                let most = bytes.len().max(BLANK);
                if meta.size > most as u64 {
                    return Ok(false);
                }
                let found = file.read_some(0, most)?;
                Ok(torn(&found, &[bytes.as_slice()]) || self.is_of_earlier(chain, meta.id(), &found)?)
            }
            // Its bytes were durable before the record was.
            Body::Temp { len, .. } => Ok(meta.size == *len && etag_of(&file)? == after),
        }
    }

    /// True where the file of an earlier change has its bytes, or nothing that anybody wrote.
    fn is_between(&self, chain: &Chain, path: &str, meta: &Meta) -> Result<bool> {
        let Some(file) = self.file(path, Access::Read)? else { return Ok(false) };
        let (found, mut given) = (etag_of(&file)?, chain.given(meta.id()));
        if given.clone().any(|(etag, _)| etag == found) {
            return Ok(true);
        }
        // A power loss leaves fewer bytes, or bytes of NUL, where nothing was written.
        if given.all(|(_, len)| meta.size < len) {
            return Ok(true);
        }
        if meta.size > BLANK as u64 {
            return Ok(false);
        }
        let found = file.read_some(0, BLANK)?;
        Ok(found.contains(&0) || self.is_of_earlier(chain, meta.id(), &found)?)
    }

    /// True where the file had several contents, and a power loss may have left these bytes of them.
    fn is_of_earlier(&self, chain: &Chain, id: Id, found: &[u8]) -> Result<bool> {
        if !chain.had_several(id) {
            return Ok(false);
        }
        let contents = match self.contents.get() {
            Some(contents) => contents,
            None => {
                let read = self.read_contents()?;
                self.contents.get_or_init(|| read)
            }
        };
        let had: Vec<&[u8]> = contents.get(&id).into_iter().flatten().map(Vec::as_slice).collect();
        Ok(torn(found, &had))
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
            Found::Nothing | Found::Known => self.tell(path, format!("{} bytes are written", bytes.len()), false),
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
            Found::Nothing | Found::Known => {}
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
            Found::Last | Found::Known => {
                self.tell(path, "it is deleted", false);
                if let Some(ground) = self.ground {
                    self.root.rename(path, &ground.tmp, fresh_name()?)?;
                }
            }
        }
        Ok(())
    }
}
