//! Files in the making: in `.folio/tmp` under a name of their own, gone unless they get a real name.

use std::path::Path;

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::vfs::{Access, Dir, File, VfsError, VfsResult};

/// A name that nothing has: 128 random bits in hex.
pub(crate) fn fresh_name() -> VfsResult<String> {
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
        Ok(Self { file, name: Unnamed { folder: folder.clone(), name, named: false } })
    }

    /// The file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives it its real name, replacing what stands there, and returns it. Sync the file before, and `to_dir` after.
    pub(crate) fn keep_as(mut self, to_dir: &Dir, name: &str) -> VfsResult<File> {
        self.try_keep_as(to_dir, name)?;
        Ok(self.file.known_as(to_dir.path().join(name)))
    }

    /// Like [`TempFile::keep_as`], but after an error it is still there to try again.
    pub(crate) fn try_keep_as(&mut self, to_dir: &Dir, name: &str) -> VfsResult<()> {
        self.name.folder.rename(&self.name.name, to_dir, name)?;
        self.name.named = true;
        Ok(())
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
