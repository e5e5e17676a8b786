//! A body on its way into a temporary file.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;

use super::super::pace::Pace;
use super::super::store::Store;
use super::super::temp::TempFile;
use super::super::vfs::VfsResult;
use crate::blob::ByteStream;
use crate::error::{Error, Result};
use crate::etag::{Etag, EtagHasher};

/// Gathered before it is written: so many bytes, or so many pieces.
const BYTES: usize = 256 << 10;
const PIECES: usize = 256;

/// A body, whole and synced, without a name yet.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) temp: TempFile,
    pub(super) etag: Etag,
}

struct Growing {
    temp: TempFile,
    hasher: EtagHasher,
}

impl Growing {
    fn start(store: &Store) -> VfsResult<Loose<Self>> {
        Ok(Loose::new(Self { temp: store.temp()?, hasher: EtagHasher::default() }))
    }

    fn add(&mut self, pieces: &[Bytes]) -> VfsResult<()> {
        for piece in pieces {
            self.hasher.update(piece);
            self.temp.file().append_all(piece)?;
        }
        Ok(())
    }
}

/// Writes a body into a temporary file as it comes. If it ends with an error or the disk is full, nothing is left.
pub(super) async fn receive(store: &Arc<Store>, what: &str, mut body: ByteStream) -> Result<Loose<Received>> {
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
    let finish = move |_: &Store| {
        let whole = growing.change(|growing| growing.add(&pieces).and_then(|()| growing.temp.file().sync_all()))?;
        Ok(whole.map(|whole| Received { temp: whole.temp, etag: whole.hasher.finish() }))
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
pub(super) struct Loose<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Loose<T> {
    fn new(held: T) -> Self {
        Self(Some(held))
    }

    /// For a thread that may block.
    pub(super) fn take(mut self) -> Result<T> {
        self.0.take().ok_or_else(|| Error::invalid("what was received is used once"))
    }

    fn change(mut self, change: impl FnOnce(&mut T) -> VfsResult<()>) -> VfsResult<Self> {
        if let Some(held) = &mut self.0 {
            change(held)?;
        }
        Ok(self)
    }

    fn map<U: Send + 'static>(self, map: impl FnOnce(T) -> U) -> Loose<U> {
        Loose(self.take().ok().map(map))
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
