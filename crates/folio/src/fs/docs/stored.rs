//! A document as it lies on the disk: valid, damaged, or not there.

use super::super::content::etag_of;
use super::super::txn::Before;
use super::super::vfs::{Access, Dir, File, Meta, VfsResult};
use crate::docs::Document;
use crate::error::{Error, Result};
use crate::etag::Etag;
use crate::json::Json;

/// A document's file, read.
pub(in crate::fs) struct Stored {
    file: File,
    /// Of its bytes, whatever they are.
    pub(in crate::fs) etag: Etag,
    meta: Meta,
    value: Result<Json, String>,
}

impl Stored {
    /// Reads the file `rel` below `base`; `None` where no regular file stands there. One larger than `limit` counts as
    /// damaged: it can't be handed out, and must not be overwritten unseen.
    pub(in crate::fs) fn read(base: &Dir, rel: &str, limit: usize) -> VfsResult<Option<Self>> {
        let (file, meta) = match base.open_with_meta(rel, Access::Read) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(error) if error.foreign() || error.missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        if meta.size > limit as u64 {
            let why = format!("it has {} bytes, over the limit of {limit} bytes for a document", meta.size);
            return Ok(Some(Self { etag: etag_of(&file)?, file, meta, value: Err(why) }));
        }
        let mut bytes = Vec::new();
        file.read_onto(&mut bytes, usize::try_from(meta.size).unwrap_or(limit), 0)?;
        let value = Json::parse_stored(&bytes).map_err(|error| error.to_string());
        Ok(Some(Self { etag: Etag::of(&bytes), file, meta, value }))
    }

    /// The document.
    ///
    /// # Errors
    /// [`Error::Damaged`], with the place of the damage.
    pub(in crate::fs) fn document(&self) -> Result<Document> {
        match &self.value {
            Ok(value) => Ok(Document { value: value.clone(), etag: self.etag }),
            Err(why) => {
                let what = self.file.path().display().to_string();
                Err(Error::Damaged { what, why: why.clone(), etag: Some(self.etag) })
            }
        }
    }

    /// Permission bits.
    pub(in crate::fs) fn mode(&self) -> u32 {
        self.meta.mode
    }

    /// As it was found, for who replaces or removes it.
    pub(in crate::fs) fn before(&self) -> Before {
        Before::of(&self.meta, Some(self.etag))
    }

    /// The damaged file, and what is wrong with it.
    pub(in crate::fs) fn damage(&self) -> Option<(&File, &str)> {
        self.value.as_ref().err().map(|why| (&self.file, why.as_str()))
    }
}
