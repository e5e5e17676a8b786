//! Reading a file: one version of it, from one open file, whatever is written meanwhile.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::super::content::etag_of;
use super::super::store::{Store, off_runtime};
use super::super::vfs::{BLANK, File, Meta};
use super::place;
use crate::blob::{ByteStream, ETAG_ON_READ_LIMIT, FileInfo, FileRead, FileReadOptions};
use crate::error::{Error, Result};
use crate::etag::Etag;
use crate::name::{FilePath, ProjectId};

const PIECE: u64 = 256 << 10;
// What is written over in place when it is used again may lie in the queue of a socket still, if it was passed on.
const _: () = assert!(BLANK as u64 <= ETAG_ON_READ_LIMIT, "only larger files are passed on");
/// Largest file that is read, and its tag computed, on the caller's own thread.
pub(super) const SMALL: usize = 16 << 10;

/// A small file, where all of it is in memory; `None` where [`open`] has to look. Does not wait for the disk.
pub(super) fn now(store: &Store, id: &ProjectId, path: &FilePath, options: &FileReadOptions) -> Option<FileRead> {
    if !store.reads_now {
        return None;
    }
    let at = format!("{id}/{path}");
    let (meta, bytes) = store.root.read_now(&at, SMALL)?;
    let bytes = Bytes::from(bytes);
    Some(at_once(path, &meta, store.hot.tag(&at, &bytes), bytes, options))
}

/// Opens a file, or `None` where there is none.
pub(super) fn open(store: &Store, id: &ProjectId, path: &FilePath, options: &FileReadOptions) -> Result<Option<FileRead>> {
    let project = place::project(store, id, path)?;
    let Some(file) = place::open(&project, path)? else { return Ok(None) };
    let meta = file.meta()?;
    if meta.size <= ETAG_ON_READ_LIMIT {
        // Read at once, so that tag and body are of the same bytes even if someone edits the file in place.
        let bytes = Bytes::from(file.read_some(0, usize::try_from(ETAG_ON_READ_LIMIT).unwrap_or(usize::MAX))?);
        return Ok(Some(at_once(path, &meta, Etag::of(&bytes), bytes, options)));
    }
    let etag = if options.etag { Some(etag_of(&file)?) } else { None };
    let range = options.range.within(meta.size);
    let info = FileInfo { path: path.clone(), size: meta.size, modified: meta.modified_ms, etag };
    let passed = file.duplicate();
    Ok(Some(FileRead { info, range: range.clone(), body: from_file(file, range), file: passed }))
}

/// A file of which all bytes are here.
fn at_once(path: &FilePath, meta: &Meta, etag: Etag, bytes: Bytes, options: &FileReadOptions) -> FileRead {
    let info = FileInfo { path: path.clone(), size: bytes.len() as u64, modified: meta.modified_ms, etag: Some(etag) };
    let range = options.range.within(info.size);
    FileRead { body: in_memory(bytes, &range), info, range, file: None }
}

/// Size, time, and the tag where it is asked for or the file is small.
pub(super) fn stat(store: &Store, id: &ProjectId, path: &FilePath, etag: bool) -> Result<Option<FileInfo>> {
    let project = place::project(store, id, path)?;
    let Some(file) = place::open(&project, path)? else { return Ok(None) };
    let meta = file.meta()?;
    let etag = if etag || meta.size <= ETAG_ON_READ_LIMIT { Some(etag_of(&file)?) } else { None };
    Ok(Some(FileInfo { path: path.clone(), size: meta.size, modified: meta.modified_ms, etag }))
}

fn in_memory(bytes: Bytes, range: &Range<u64>) -> ByteStream {
    let part = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
    let bytes = part.map_or_else(Bytes::new, |(from, to)| bytes.slice(from..to));
    stream::iter((!bytes.is_empty()).then_some(Ok(bytes))).boxed()
}

fn from_file(file: File, range: Range<u64>) -> ByteStream {
    stream::try_unfold((Arc::new(file), range), |(file, left)| async move {
        if left.is_empty() {
            return Ok(None);
        }
        let source = Arc::clone(&file);
        let (at, wanted) = (left.start, (left.end - left.start).min(PIECE));
        let bytes = off_runtime(move || piece(&source, at, wanted)).await?;
        let next = (file, at + bytes.len() as u64..left.end);
        Ok(Some((bytes, next)))
    })
    .boxed()
}

fn piece(file: &File, at: u64, wanted: u64) -> Result<Bytes> {
    let (mut piece, wanted) = (Vec::new(), usize::try_from(wanted).unwrap_or(0));
    if file.read_onto(&mut piece, wanted, at)? < wanted {
        let what = format!("cannot read {} to its end", file.path().display());
        return Err(Error::Io { what, why: "another program cut it meanwhile".into() });
    }
    Ok(piece.into())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::fs::options::FsOptions;

    /// On file systems that can tell what is in memory, `now` has to be the way that is taken.
    #[tokio::test]
    async fn what_is_in_memory_is_read_at_once_and_the_same() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(temp.path(), FsOptions::default()).unwrap();
        let (id, at) = (ProjectId::new("p").unwrap(), temp.path().join("p"));
        std::fs::create_dir_all(at.join("folder")).unwrap();
        std::fs::write(temp.path().join("outside"), "secret").unwrap();
        std::os::unix::fs::symlink("../outside", at.join("link")).unwrap();
        std::os::unix::fs::symlink("folder", at.join("way")).unwrap();
        let file = std::fs::File::open(temp.path().join("outside")).unwrap();
        let buffer = &mut [0; 6];
        let known = rustix::io::preadv2(&file, &mut [std::io::IoSliceMut::new(buffer)], 0, rustix::io::ReadWriteFlags::NOWAIT);
        let tells = store.reads_now && known.is_ok();
        for (name, size, at_once) in [
            ("empty", Some(0), true),
            ("small", Some(SMALL), true),
            ("folder/small", Some(10), true),
            ("larger", Some(SMALL + 1), false),
            ("none", None, false),
            ("folder", None, false),
            ("link", None, false),
            ("way/small", None, false),
            ("small/none", None, false),
        ] {
            if let Some(size) = size {
                std::fs::write(at.join(name), (0..size).map(|n| (n % 251) as u8).collect::<Vec<_>>()).unwrap();
            }
            let path = FilePath::new(name).unwrap();
            for range in [crate::FileRange::Whole, crate::FileRange::Span(1, 3), crate::FileRange::Last(2)] {
                let options = FileReadOptions { range, etag: true };
                let (now, usual) = (now(&store, &id, &path, &options), open(&store, &id, &path, &options).unwrap());
                assert_eq!(now.is_some(), at_once && tells, "{name}");
                assert_eq!(usual.is_some(), size.is_some(), "{name}");
                let (Some(now), Some(usual)) = (now, usual) else { continue };
                assert_eq!((&now.info, &now.range), (&usual.info, &usual.range), "{name}");
                let bytes = |read: FileRead| read.body.map(Result::unwrap).collect::<Vec<_>>().now_or_never().unwrap().concat();
                assert!(bytes(now) == bytes(usual), "{name}");
            }
        }
    }
}
