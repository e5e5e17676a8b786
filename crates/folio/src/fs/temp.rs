//! Files in the making: in `.folio/tmp` under a name of their own, gone unless they get a real name.

use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::spares::{Displaced, Turns};
use super::vfs::{Access, Dir, File, Meta, VfsError, VfsResult};

/// A name that nothing has: 128 random bits in hex.
pub(crate) fn fresh_name() -> VfsResult<String> {
    #[cfg(test)]
    if let Some(count) = super::pace::count() {
        return Ok(format!("{count:032x}"));
    }
    let mut bits = [0_u8; 16];
    let mut filled = 0;
    while let Some(rest) = bits.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match getrandom(rest, GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(VfsError::os("get random bits from", Path::new("the system"), errno)),
        }
    }
    Ok(format!("{:032x}", u128::from_be_bytes(bits)))
}

/// A new file without a real name yet. Dropped without [`TempFile::keep_as`] it is removed.
#[derive(Debug)]
pub(crate) struct TempFile {
    file: File,
    name: Unnamed,
    /// Bytes that it had when it was taken.
    had: u64,
    /// What is known of it without asking.
    made: Option<Made>,
}

/// What a file keeps while its bytes change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Made {
    pub(crate) id: (u64, u64),
    pub(crate) mode: u32,
}

impl From<Meta> for Made {
    fn from(meta: Meta) -> Self {
        Self { id: meta.id(), mode: meta.mode }
    }
}

/// The name that it has meanwhile.
#[derive(Debug)]
struct Unnamed {
    folder: Dir,
    name: String,
    named: bool,
    /// Where it goes if it gets no name, with so many bytes; else it is removed.
    turns: Option<(Arc<Turns>, u64)>,
}

impl TempFile {
    /// Makes an empty one in `folder` (`.folio/tmp`), opened for appending.
    pub(crate) fn new(folder: &Dir) -> VfsResult<Self> {
        Self::make(folder, Access::Append)
    }

    /// As [`TempFile::new`], opened for writing anywhere.
    pub(crate) fn for_content(folder: &Dir) -> VfsResult<Self> {
        Self::make(folder, Access::ReadWrite)
    }

    fn make(folder: &Dir, access: Access) -> VfsResult<Self> {
        let name = fresh_name()?;
        let file = folder.create_new(&name, access)?;
        Ok(Self { file, name: Unnamed::new(folder, name), had: 0, made: None })
    }

    /// One of NUL, or whose bytes are known, that has the name `name` in `folder` already, opened for reading and writing.
    /// `turns` get it where it gets no name.
    pub(crate) fn reused(folder: &Dir, name: String, file: File, meta: Meta, turns: Option<&Arc<Turns>>) -> Self {
        let mut name = Unnamed::new(folder, name);
        name.turns = turns.map(|turns| (Arc::clone(turns), meta.size));
        Self { file, name, had: meta.size, made: Some(meta.into()) }
    }

    /// A second name for the file `name` in `from`; `None` where there is none.
    ///
    /// # Errors
    /// [`VfsError::no_links`] where links don't work.
    pub(crate) fn link(folder: &Dir, from: &Dir, name: &str) -> VfsResult<Option<Self>> {
        let second = fresh_name()?;
        match from.link(name, folder, &second) {
            Err(error) if error.missing() => return Ok(None),
            linked => linked?,
        }
        let name = Unnamed::new(folder, second);
        Ok(folder.open(&name.name, Access::Read)?.map(|file| Self { file, name, had: 0, made: None }))
    }

    /// The file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// What it keeps.
    pub(crate) fn made(&self) -> VfsResult<Made> {
        self.made.map_or_else(|| Ok(self.file.meta()?.into()), Ok)
    }

    /// So many bytes were written from its begin on, and that is all: what it had beyond is cut off.
    pub(crate) fn ends_at(&self, len: u64) -> VfsResult<()> {
        if self.had > len { self.file.truncate(len) } else { Ok(()) }
    }

    /// Makes sure that there is room for so many bytes.
    pub(crate) fn reserve(&self, len: u64) -> VfsResult<()> {
        if self.had < len { self.file.reserve(0..len) } else { Ok(()) }
    }

    /// Writes all that it will hold; not for one that is opened for appending. It can be done again.
    pub(crate) fn fill(&self, bytes: &[u8]) -> VfsResult<()> {
        let len = bytes.len() as u64;
        if self.had <= len {
            return self.file.write_all_at(bytes, 0);
        }
        // Beyond its end there must not be what was there before, not even for a moment: a power loss might keep that.
        let mut padded = bytes.to_vec();
        padded.resize(usize::try_from(self.had).unwrap_or(bytes.len()), 0);
        self.file.write_all_at(&padded, 0)?;
        self.file.truncate(len)
    }

    /// Its name in the folder of temporary files.
    pub(crate) fn name(&self) -> &str {
        &self.name.name
    }

    /// Leaves it where it is: from now on somebody else gives it its name, or removes it.
    pub(crate) fn leave(mut self) -> (File, String) {
        self.name.named = true;
        (self.file, std::mem::take(&mut self.name.name))
    }

    /// Gives it its real name, replacing what stands there, and returns it. Sync the file before, and `to_dir` after.
    pub(crate) fn keep_as(mut self, to_dir: &Dir, name: &str) -> VfsResult<File> {
        self.name.folder.rename(&self.name.name, to_dir, name)?;
        self.name.named = true;
        Ok(self.file.known_as(to_dir.path().join(name)))
    }
}

impl Unnamed {
    fn new(folder: &Dir, name: String) -> Self {
        Self { folder: folder.clone(), name, named: false, turns: None }
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if self.named {
            return;
        }
        match &self.turns {
            // A folder on the medium may have it under its last real name.
            Some((turns, bytes)) => {
                turns.leave(Displaced { name: std::mem::take(&mut self.name), bytes: *bytes, again: true });
            }
            // What stays behind is removed at the next open.
            None => drop(self.folder.unlink(&self.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_gone_unless_it_gets_a_name() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(temp.path()).unwrap();
        let write = |bytes: &[u8]| {
            let temp = TempFile::new(&dir).unwrap();
            temp.file().append_all(bytes).unwrap();
            temp
        };
        drop(write(b"x"));
        assert_eq!(dir.list().unwrap().count(), 0);
        write(b"1").keep_as(&dir, "a").unwrap();
        assert_eq!(std::fs::read(temp.path().join("a")).unwrap(), b"1");
        write(b"3").keep_as(&dir, "a").unwrap();
        assert_eq!(std::fs::read(temp.path().join("a")).unwrap(), b"3");
        assert_eq!(dir.list().unwrap().count(), 1);
    }
}
