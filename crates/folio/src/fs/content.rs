//! What a file holds, as far as tags and change events care.

use super::changes::Seen;
use super::vfs::{File, Meta, VfsResult};
use crate::etag::{Etag, EtagHasher};

const PIECE: usize = 256 << 10;
/// A file above this is not read only to tell that it was changed.
pub(crate) const READ_TO_TELL: u64 = 16 << 20;

/// The tag of a file's bytes, read in pieces.
pub(crate) fn etag_of(file: &File) -> VfsResult<Etag> {
    let mut hasher = EtagHasher::default();
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    loop {
        let count = file.read_at(&mut piece, at)?;
        hasher.update(piece.get(..count).unwrap_or_default());
        at += count as u64;
        if count < piece.len() {
            return Ok(hasher.finish());
        }
    }
}

/// How a file is told apart, with its tag where it is small enough to be read for that.
pub(crate) fn look(file: &File) -> VfsResult<(Seen, Option<Etag>)> {
    let meta = file.meta()?;
    if meta.size > READ_TO_TELL {
        return Ok((large(&meta), None));
    }
    let etag = etag_of(file)?;
    Ok((Seen::Bytes(etag), Some(etag)))
}

/// How a file is told apart that is not read for that.
pub(crate) fn large(meta: &Meta) -> Seen {
    Seen::Large { inode: meta.inode, size: meta.size, changed_ns: meta.changed_ns }
}
