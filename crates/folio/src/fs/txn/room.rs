//! A little room on the disk that is kept for changes which have passed their commit point: they may need a block for a
//! folder that grows. While it is used up, new writes are refused as on a full disk.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::fs::vfs::{Access, Dir, File, VfsResult};

const NAME: &str = "room";
const BYTES: u64 = 256 << 10;

/// The room that is kept, as a file of no content in `.folio`.
#[derive(Debug)]
pub(crate) struct Room {
    file: File,
    given: AtomicBool,
}

impl Room {
    /// Opens the file in `folder`, or makes it. Where the disk is full, it is filled later.
    pub(crate) fn open(folder: &Dir) -> VfsResult<Self> {
        let file = match folder.open(NAME, Access::ReadWrite)? {
            Some(file) => file,
            None => folder.create_new(NAME, Access::ReadWrite)?,
        };
        let given = file.reserve(0..BYTES).is_err();
        Ok(Self { file, given: AtomicBool::new(given) })
    }

    /// Gives the room away; `false` where that has happened before.
    pub(crate) fn give(&self) -> bool {
        !self.given.swap(true, Ordering::SeqCst) && self.file.truncate(0).is_ok()
    }

    /// Before every write: takes the room back, if it was given.
    ///
    /// # Errors
    /// [`Error::DiskFull`] while there is none.
    pub(crate) fn keep(&self) -> Result<()> {
        if self.given.load(Ordering::SeqCst) {
            self.file.reserve(0..BYTES).map_err(Error::from)?;
            self.given.store(false, Ordering::SeqCst);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_given_once_and_taken_back() {
        let temp = tempfile::tempdir().unwrap();
        let room = Room::open(&Dir::open_root(temp.path()).unwrap()).unwrap();
        let blocks = || std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(temp.path().join(NAME)).unwrap());
        assert_eq!(blocks() * 512, BYTES);
        assert!(room.give() && !room.give());
        assert_eq!(blocks(), 0);
        room.keep().unwrap();
        assert_eq!(blocks() * 512, BYTES);
        assert!(room.give());
    }
}
