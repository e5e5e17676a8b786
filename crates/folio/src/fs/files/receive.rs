//! A body on its way into a temporary file.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{Either, join3, select, try_join};

use super::super::pace::Pace;
use super::super::store::{Store, off_runtime};
use super::super::temp::TempFile;
use super::super::txn::{INLINE, Prepared, Written};
use super::super::vfs::VfsResult;
use crate::blob::ByteStream;
use crate::error::{Error, Result};
use crate::etag::EtagHasher;

/// Gathered before it is written: so many bytes, or so many pieces.
const BYTES: usize = 256 << 10;
const PIECES: usize = 256;

/// Pieces of a body.
struct Gathered {
    pieces: Vec<Bytes>,
    /// Nothing follows.
    last: bool,
}

async fn gather(body: &mut ByteStream) -> Result<Gathered> {
    let (mut pieces, mut bytes) = (Vec::new(), 0);
    while bytes < BYTES && pieces.len() < PIECES {
        let Some(piece) = body.next().await.transpose()? else { return Ok(Gathered { pieces, last: true }) };
        bytes += piece.len();
        pieces.push(piece);
    }
    Ok(Gathered { pieces, last: false })
}

struct Growing {
    temp: TempFile,
    /// The bytes, as long as they are few.
    inline: Option<Vec<u8>>,
    len: u64,
}

impl Growing {
    fn start(store: &Store) -> VfsResult<Loose<Self>> {
        Ok(Loose::new(Self { temp: store.content_temp()?, inline: Some(Vec::new()), len: 0 }))
    }

    fn add(&mut self, pieces: &[Bytes]) -> VfsResult<()> {
        for piece in pieces {
            self.temp.file().append_all(piece)?;
            self.len += piece.len() as u64;
            self.inline = self.inline.take().filter(|bytes| bytes.len() + piece.len() <= INLINE);
            if let Some(bytes) = &mut self.inline {
                bytes.extend_from_slice(piece);
            }
        }
        Ok(())
    }

    /// These are some of many.
    fn add_and_go_on(&mut self, pieces: &[Bytes]) -> VfsResult<()> {
        let from = self.len;
        self.add(pieces)?;
        // Few bytes are in the record, and are not synced.
        if self.inline.is_none() {
            self.temp.file().begin_write_back(from..self.len);
        }
        Ok(())
    }

    /// These are the last ones.
    fn end(&mut self, pieces: &[Bytes]) -> VfsResult<()> {
        self.add(pieces)?;
        match self.len {
            // A spare is older; this says that it was written now.
            0 => self.temp.file().truncate(0),
            len => self.temp.ends_at(len),
        }
    }
}

/// A file in the making, from its first pieces on.
type Begun = Option<Loose<Growing>>;

fn begun(store: &Store, growing: Begun) -> VfsResult<Loose<Growing>> {
    growing.map_or_else(|| Growing::start(store), Ok)
}

fn hash(mut hasher: EtagHasher, pieces: &[Bytes]) -> EtagHasher {
    pieces.iter().for_each(|piece| hasher.update(piece));
    hasher
}

/// Writes a body into a temporary file as it comes. If it ends with an error or the disk is full, nothing is left.
///
/// Pieces are written, hashed, and the next ones taken, all at the same time; the disk begins with each as soon as it is written.
pub(in crate::fs) async fn receive(store: &Arc<Store>, what: &str, mut body: ByteStream) -> Result<Loose<Prepared>> {
    let (mut growing, mut hasher) = (None, EtagHasher::default());
    let mut gathered = gather(&mut body).await?;
    while !gathered.last {
        let pieces: Arc<[Bytes]> = gathered.pieces.into();
        let hashed = Arc::clone(&pieces);
        let write = move |store: &Store| begun(store, growing)?.change(|growing| growing.add_and_go_on(&pieces));
        let written = step(store, what, write);
        let hashed = off_runtime(move || Ok(hash(hasher, &hashed)));
        let (grown, next) = match select(pin!(try_join(written, hashed)), pin!(gather(&mut body))).await {
            // Where writing fails, the rest is not waited for.
            Either::Left((grown, next)) => (grown?, next.await),
            Either::Right((next, grown)) => (grown.await?, next),
        };
        match next {
            Ok(next) => gathered = next,
            Err(error) => {
                // Gone before the caller knows, so that a failed write leaves nothing.
                let gone = move |_: &Store| grown.0.take().map(drop);
                store.run(|store| gone(store)).await?;
                return Err(error);
            }
        }
        (growing, hasher) = (Some(grown.0), grown.1);
    }
    let pieces: Arc<[Bytes]> = gathered.pieces.into();
    let Some(growing) = growing else {
        let finish = move |store: &Store| {
            let etag = hash(hasher, &pieces).finish();
            let whole = Growing::start(store)?.change(|growing| {
                growing.end(&pieces)?;
                store.settle_content(&growing.temp, growing.inline.is_some())
            })?;
            whole.try_map(|whole| Ok(Written::of(whole.temp, whole.inline, whole.len)?.tagged(etag)))
        };
        return step(store, what, finish).await;
    };
    // A large one: the last bytes are hashed, and the name synced, while it is synced.
    let hashed = Arc::clone(&pieces);
    let hashed = off_runtime(move || Ok(hash(hasher, &hashed).finish()));
    let named = step(store, what, |store| store.tmp.sync());
    let written = step(store, what, move |store| {
        let whole = growing.change(|growing| {
            growing.end(&pieces)?;
            store.settle_bytes(&growing.temp, growing.inline.is_some())
        })?;
        whole.try_map(|whole| Written::of(whole.temp, whole.inline, whole.len))
    });
    let (written, named, etag) = join3(written, named, hashed).await;
    let (written, (), etag) = (written?, named?, etag?);
    written.try_map(|written| Ok(written.tagged(etag))).map_err(|error| error.writing(what))
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
