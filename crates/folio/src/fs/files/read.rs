//! Reading a file: one version of it, from one open file, whatever is written meanwhile.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::super::content::etag_of;
use super::super::store::{Store, off_runtime};
use super::super::vfs::File;
use super::place;
use crate::blob::{ByteStream, ETAG_ON_READ_LIMIT, FileInfo, FileRead, FileReadOptions};
use crate::error::{Error, Result};
use crate::etag::Etag;
use crate::name::{FilePath, ProjectId};

const PIECE: u64 = 256 << 10;

/// Opens a file, or `None` where there is none.
pub(super) fn open(store: &Store, id: &ProjectId, path: &FilePath, options: &FileReadOptions) -> Result<Option<FileRead>> {
    let project = place::project(store, id, path)?;
    let Some(file) = place::open(&project, path)? else { return Ok(None) };
    let meta = file.meta()?;
    let info = |size, etag| FileInfo { path: path.clone(), size, modified: meta.modified_ms, etag };
    if meta.size <= ETAG_ON_READ_LIMIT {
        // Read at once, so that tag and body are of the same bytes even if someone edits the file in place.
        let bytes = Bytes::from(file.read_some(0, usize::try_from(ETAG_ON_READ_LIMIT).unwrap_or(usize::MAX))?);
        let info = info(bytes.len() as u64, Some(Etag::of(&bytes)));
        let range = options.range.within(info.size);
        return Ok(Some(FileRead { body: in_memory(bytes, &range), info, range }));
    }
    let etag = if options.etag { Some(etag_of(&file)?) } else { None };
    let range = options.range.within(meta.size);
    Ok(Some(FileRead { info: info(meta.size, etag), range: range.clone(), body: from_file(file, range) }))
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
    let mut piece = vec![0; usize::try_from(wanted).unwrap_or(0)];
    let count = file.read_at(&mut piece, at)?;
    if count < piece.len() {
        let what = format!("cannot read {} to its end", file.path().display());
        return Err(Error::Io { what, why: "another program cut it meanwhile".into() });
    }
    Ok(piece.into())
}
