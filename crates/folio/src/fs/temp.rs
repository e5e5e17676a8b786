//! Files in the making: in `.folio/tmp` under a name of their own, gone unless they get a real name.

use std::path::Path;

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

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
    /// Bytes that it began with.
    blank: u64,
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
}

impl TempFile {
    /// Makes an empty one in `folder` (`.folio/tmp`), opened for appending.
    pub(crate) fn new(folder: &Dir) -> VfsResult<Self> {
        let name = fresh_name()?;
        let file = folder.create_new(&name, Access::Append)?;
        Ok(Self { file, name: Unnamed { folder: folder.clone(), name, named: false }, blank: 0, made: None })
    }

    /// One of NUL, or whose bytes are known, that has the name `name` in `folder` already, opened for reading and writing.
    pub(crate) fn blank(folder: &Dir, name: String, file: File, meta: Meta) -> Self {
        let name = Unnamed { folder: folder.clone(), name, named: false };
        Self { file, name, blank: meta.size, made: Some(meta.into()) }
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
        let name = Unnamed { folder: folder.clone(), name: second, named: false };
        Ok(folder.open(&name.name, Access::Read)?.map(|file| Self { file, name, blank: 0, made: None }))
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
        if self.blank > len { self.file.truncate(len) } else { Ok(()) }
    }

    /// Writes all that it will hold.
    pub(crate) fn fill(&self, bytes: &[u8]) -> VfsResult<()> {
        let len = bytes.len() as u64;
        if self.blank <= len {
            return self.file.write_all_at(bytes, 0);
        }
        // Beyond its end there must not be what was there before, not even for a moment: a power loss might keep that.
        let mut padded = bytes.to_vec();
        padded.resize(usize::try_from(self.blank).unwrap_or(bytes.len()), 0);
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

impl Drop for Unnamed {
    fn drop(&mut self) {
        if !self.named {
            // What stays behind is removed at the next open.
            let _ = self.folder.unlink(&self.name);
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
