//! One reader that has caught up, or nearly.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use folio::Position;
use mio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use crate::stream::feed::{Chunk, Feed, Since};

/// What a client may send on a stream before it is cut off, in bytes: it has nothing to say.
const CHATTER: usize = 16 << 10;
/// Chunks that go out in one write.
const SLICES: usize = 32;
/// What is left of a frame is copied up to this size; of a larger one the chunk is held, which others may share.
const COPIED: usize = 4 << 10;

/// A reader. What most of them don't need is boxed: there are many.
pub(super) struct Member {
    pub(super) stream: TcpStream,
    /// For as long as it is there.
    pub(super) permit: OwnedSemaphorePermit,
    /// Number of its feed.
    pub(super) feed: u64,
    /// The next chunk to send.
    pub(super) next: u64,
    /// Its place in the list of those who have caught up.
    pub(super) place: Option<u32>,
    pub(super) lag: Option<Box<Lag>>,
}

/// A reader whose socket takes no more at the moment.
pub(super) struct Lag {
    /// Bytes of the next chunk that are done.
    offset: usize,
    /// The rest of a frame.
    rest: Bytes,
    /// Where it is after that.
    at: Position,
    /// When it is cut off, if it takes nothing until then.
    pub(super) deadline: Instant,
    /// Everything was sent, and the client is to hang up.
    pub(super) closing: bool,
}

/// What became of a write.
pub(super) enum Wrote {
    /// It has all there is.
    All,
    /// The socket takes no more now.
    Part,
    /// The stream has ended, and it has the last frame.
    Ended,
    /// The frames it goes on with are not kept any more.
    Late(Position),
    /// The connection is broken.
    Broken,
}

impl Lag {
    pub(super) fn new(offset: usize, at: Position, deadline: Instant) -> Box<Self> {
        Box::new(Self { offset, rest: Bytes::new(), at, deadline, closing: false })
    }
}

impl Member {
    /// Sends chunks to a reader that has all before them. `next` is the number after the last.
    pub(super) fn send(&mut self, chunks: &[Arc<Chunk>], next: u64, deadline: Instant) -> Wrote {
        for (batch, first) in chunks.chunks(SLICES).zip((self.next..).step_by(SLICES)) {
            let wanted: usize = batch.iter().map(|chunk| chunk.bytes.len()).sum();
            let written = match self.write(batch) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(_) => return Wrote::Broken,
            };
            if written < wanted {
                self.stop_at(batch, first, written, deadline);
                return Wrote::Part;
            }
        }
        self.next = next;
        if chunks.last().is_some_and(|chunk| chunk.last) { Wrote::Ended } else { Wrote::All }
    }

    fn write(&mut self, batch: &[Arc<Chunk>]) -> io::Result<usize> {
        if let [chunk] = batch {
            return retried(|| self.stream.write(&chunk.bytes));
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        for (slice, chunk) in slices.iter_mut().zip(batch) {
            *slice = IoSlice::new(&chunk.bytes);
        }
        let slices = slices.get(..batch.len()).unwrap_or_default();
        retried(|| self.stream.write_vectored(slices))
    }

    /// Notes where to go on after `written` bytes of `batch`: at the end of the frame that was begun.
    fn stop_at(&mut self, batch: &[Arc<Chunk>], first: u64, written: usize, deadline: Instant) {
        let (mut left, mut number) = (written, first);
        for chunk in batch {
            if left < chunk.bytes.len() {
                let (at, end) = if left == 0 { (chunk.start(), 0) } else { chunk.frame_at(left) };
                let rest = chunk.bytes.slice(left.min(end)..end);
                let rest = if rest.len() <= COPIED { Bytes::copy_from_slice(&rest) } else { rest };
                self.next = number;
                self.lag = Some(Box::new(Lag { offset: end, rest, at, deadline, closing: false }));
                return;
            }
            left -= chunk.bytes.len();
            number += 1;
        }
    }

    /// The socket takes more again: sends what there is since.
    pub(super) fn catch_up(&mut self, feed: &Feed, deadline: Instant) -> Wrote {
        loop {
            let Some(lag) = &mut self.lag else { return Wrote::All };
            if !lag.rest.is_empty() {
                match retried(|| self.stream.write(&lag.rest)) {
                    Ok(0) => return Wrote::Broken,
                    Ok(written) => {
                        lag.rest = lag.rest.slice(written..);
                        lag.deadline = deadline;
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Wrote::Part,
                    Err(_) => return Wrote::Broken,
                }
            }
            let (chunks, next) = match feed.peek(self.next) {
                Since::Gone => return Wrote::Late(lag.at),
                Since::Chunks { chunks, next } => (chunks, next),
            };
            let offset = std::mem::take(&mut lag.offset);
            let Some((first, others)) = chunks.split_first() else {
                self.lag = None;
                return Wrote::All;
            };
            if offset < first.bytes.len() {
                // The whole rest of the chunk: what of it doesn't go out now is told by its frames again.
                match retried(|| self.stream.write(first.bytes.get(offset..).unwrap_or_default())) {
                    Ok(written) if offset + written == first.bytes.len() => {}
                    Ok(written) => {
                        let number = self.next;
                        self.stop_at(std::slice::from_ref(first), number, offset + written, deadline);
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        lag.offset = offset;
                        return Wrote::Part;
                    }
                    Err(_) => return Wrote::Broken,
                }
            }
            self.next += 1;
            self.lag = None;
            if first.last {
                return Wrote::Ended;
            }
            return self.send(others, next, deadline);
        }
    }

    /// Sends a comment, or nothing where there is no room for it. False: the connection is broken.
    pub(super) fn comment(&mut self, text: &[u8]) -> bool {
        match retried(|| self.stream.write(text)) {
            Ok(written) => written == text.len(),
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Reads what the client sends, which nobody wants. False: it has hung up, or talks too much.
    pub(super) fn is_there(&mut self) -> bool {
        let (mut scrap, mut read) = ([0; 1 << 10], 0);
        while read < CHATTER {
            match retried(|| self.stream.read(&mut scrap)) {
                Ok(0) => return false,
                Ok(more) => read += more,
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        false
    }

    /// Everything was sent: the client is told so, and may hang up.
    pub(super) fn close(&mut self, deadline: Instant) {
        let _ = self.stream.shutdown(Shutdown::Write);
        let lag = Lag { offset: 0, rest: Bytes::new(), at: Position::START, deadline, closing: true };
        self.lag = Some(Box::new(lag));
    }
}

fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
