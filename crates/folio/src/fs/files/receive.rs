//! A body on its way into a temporary file.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;

use super::super::pace::Pace;
use super::super::store::Store;
use super::super::temp::TempFile;
use super::super::txn::{INLINE, Prepared};
use super::super::vfs::VfsResult;
use crate::blob::ByteStream;
use crate::error::{Error, Result};
use crate::etag::EtagHasher;

/// Gathered before it is written: so many bytes, or so many pieces.
const BYTES: usize = 256 << 10;
const PIECES: usize = 256;

struct Growing {
    temp: TempFile,
    hasher: EtagHasher,
    /// The bytes, as long as they are few.
    inline: Option<Vec<u8>>,
    len: u64,
}

impl Growing {
    fn start(store: &Store) -> VfsResult<Loose<Self>> {
        let (temp, hasher) = (store.content_temp()?, EtagHasher::default());
        Ok(Loose::new(Self { temp, hasher, inline: Some(Vec::new()), len: 0 }))
    }

    fn add(&mut self, pieces: &[Bytes]) -> VfsResult<()> {
        for piece in pieces {
            self.hasher.update(piece);
            self.temp.file().append_all(piece)?;
            self.len += piece.len() as u64;
            self.inline = self.inline.take().filter(|bytes| bytes.len() + piece.len() <= INLINE);
            if let Some(bytes) = &mut self.inline {
                bytes.extend_from_slice(piece);
            }
        }
        Ok(())
    }

    /// Many bytes are synced here; few go into the journal.
    fn finish(&mut self, store: &Store, pieces: &[Bytes]) -> VfsResult<()> {
        self.add(pieces)?;
        match self.len {
            // A spare is older; this says that it was written now.
            0 => self.temp.file().truncate(0)?,
            len => self.temp.ends_at(len)?,
        }
        store.settle_content(&self.temp, self.inline.is_some())
    }
}

/// Writes a body into a temporary file as it comes. If it ends with an error or the disk is full, nothing is left.
pub(in crate::fs) async fn receive(store: &Arc<Store>, what: &str, mut body: ByteStream) -> Result<Loose<Prepared>> {
    let mut growing = step(store, what, Growing::start).await?;
    let (mut pieces, mut bytes) = (Vec::new(), 0);
    while let Some(piece) = body.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => {
                // Gone before the caller knows, so that a failed write leaves nothing.
                let gone = move |_: &Store| growing.take().map(drop);
                store.run(|store| gone(store)).await?;
                return Err(error);
            }
        };
        bytes += piece.len();
        pieces.push(piece);
        if bytes >= BYTES || pieces.len() >= PIECES {
            bytes = 0;
            let gathered = std::mem::take(&mut pieces);
            let grow = move |_: &Store| growing.change(|growing| growing.add(&gathered));
            growing = step(store, what, grow).await?;
        }
    }
    let finish = move |store: &Store| {
        let whole = growing.change(|growing| growing.finish(store, &pieces))?;
        whole.try_map(|whole| Prepared::written(whole.temp, whole.inline, whole.hasher.finish()))
    };
    step(store, what, finish).await
}

async fn step<T: Send + 'static>(
    store: &Arc<Store>,
    what: &str,
    work: impl FnOnce(&Store) -> VfsResult<T> + Send + 'static,
) -> Result<T> {
    let what = what.to_owned();
    store.run(move |store| work(store).map_err(|error| error.writing(&what))).await
}

/// Something whose end needs the disk, so that it must not end on the async runtime's threads: when a caller gives up
/// in the middle of a call, it is dropped elsewhere.
#[derive(Debug)]
pub(in crate::fs) struct Loose<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Loose<T> {
    fn new(held: T) -> Self {
        Self(Some(held))
    }

    /// A look at it.
    pub(in crate::fs) fn see<U>(&self, look: impl FnOnce(&T) -> U) -> Option<U> {
        self.0.as_ref().map(look)
    }

    /// For a thread that may block.
    pub(in crate::fs) fn take(mut self) -> Result<T> {
        self.0.take().ok_or_else(|| Error::invalid("what was received is used once"))
    }

    fn change(mut self, change: impl FnOnce(&mut T) -> VfsResult<()>) -> VfsResult<Self> {
        if let Some(held) = &mut self.0 {
            change(held)?;
        }
        Ok(self)
    }

    fn try_map<U: Send + 'static>(self, map: impl FnOnce(T) -> VfsResult<U>) -> VfsResult<Loose<U>> {
        self.take().ok().map(map).transpose().map(Loose)
    }
}

impl<T: Send + 'static> Drop for Loose<T> {
    fn drop(&mut self) {
        let Some(held) = self.0.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(_) => drop(Pace::here().start(move || drop(held))),
            Err(_) => drop(held),
        }
    }
}
