//! Stretches of files whose bytes the system passes on from its memory to the socket (`sendfile`), without a copy in between.
//!
//! What was passed on and is not sent yet still lies in the file's pages. That is safe here: only Folio's small files are ever
//! written over in place, once they lost their name; what it appends to a segment, or cuts off again, lies behind what was
//! acknowledged. And what other programs write into a file while it is read is anybody's guess on every way.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Most bytes of one call to the system.
const PIECE: u64 = 2 << 20;
/// Most bytes of one turn on a thread that may block: others wait for one, too, and a server that ends is not held up.
const TURN: u64 = 8 << 20;
/// How long a thread waits for a client that is only a little behind.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// What became of it.
pub(crate) enum Passed<F> {
    All,
    /// Nothing was, and never will be: here is what was to be done then.
    Unable(F),
    /// The client takes no more, or the file ended before its time.
    Failed,
}

/// Passes on the bytes of a file in `range`; where that can't be done, `otherwise` is. A client may take nothing for `patience`.
pub(crate) async fn on<F>(stream: &TcpStream, file: Arc<File>, range: Range<u64>, otherwise: F, patience: Duration) -> Passed<F> {
    let Ok(socket) = stream.as_fd().try_clone_to_owned() else { return Passed::Unable(otherwise) };
    let (socket, mut otherwise) = (Arc::new(socket), Some(otherwise));
    let Range { start: mut at, end } = range;
    loop {
        let (to, from) = (Arc::clone(&socket), Arc::clone(&file));
        // The file may have to be read from the disk.
        at = match tokio::task::spawn_blocking(move || some(&to, &from, at, end)).await {
            Ok(Ok(at)) if at == end => return Passed::All,
            Ok(Ok(at)) => at,
            Ok(Err(Errno::OPNOTSUPP)) => return otherwise.map_or(Passed::Failed, Passed::Unable),
            Ok(Err(_)) | Err(_) => return Passed::Failed,
        };
        // It may hold a descriptor.
        otherwise = None;
        // Asked again by who waits, so that no moment between is missed.
        let takes = || if is_ready(&socket, Timespec::default()) { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) };
        if !matches!(timeout(patience, stream.async_io(Interest::WRITABLE, takes)).await, Ok(Ok(()))) {
            return Passed::Failed;
        }
    }
}

/// Passes on what the socket takes, from the byte `from` up to `to`. Returns where it stopped. `OPNOTSUPP`: nothing was passed on, and
/// never will be. Blocks.
fn some(socket: &OwnedFd, file: &File, from: u64, to: u64) -> Result<u64, Errno> {
    let (mut at, end) = (from, to.min(from + TURN));
    while at < end {
        let wanted = usize::try_from((end - at).min(PIECE)).unwrap_or(usize::MAX);
        match rustix::fs::sendfile(socket, file, Some(&mut at), wanted) {
            // Another program cut it.
            Ok(0) => return Err(Errno::IO),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if is_ready(socket, PATIENCE) => {}
            Err(Errno::AGAIN) => break,
            Err(Errno::INVAL | Errno::SPIPE | Errno::NOSYS | Errno::OPNOTSUPP) if at == from => return Err(Errno::OPNOTSUPP),
            Err(errno) => return Err(errno),
        }
    }
    Ok(at)
}

fn is_ready(socket: &OwnedFd, patience: Timespec) -> bool {
    let mut polled = [PollFd::new(socket, PollFlags::OUT)];
    // An error of the socket shows when it is written to.
    poll(&mut polled, Some(&patience)).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    const PATIENT: Duration = Duration::from_secs(30);

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, client)
    }

    fn file(size: usize) -> (Vec<u8>, File) {
        let bytes: Vec<u8> = (0..size).map(|n| ((n * 31) >> 3) as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        (bytes, File::open(file.path()).unwrap())
    }

    /// Much more than the buffers of a socket hold, to a client that stops in between for longer than a thread waits.
    #[tokio::test]
    async fn a_slow_client_gets_all_of_it() {
        let (bytes, file) = file(40_000_000);
        let ((server, mut client), size) = (pair().await, bytes.len() as u64);
        let sending = tokio::spawn(async move { (on(&server, Arc::new(file), 0..size, (), PATIENT).await, server) });
        let (mut got, mut piece) = (Vec::new(), vec![0; 700_000]);
        while got.len() < bytes.len() {
            // Nothing is read until the socket is full and the thread has given up.
            if got.len() % 5 == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let count = client.read(&mut piece).await.unwrap();
            assert!(count > 0, "it ended after {} bytes", got.len());
            got.extend_from_slice(&piece[..count]);
        }
        assert!(got == bytes);
        assert!(matches!(sending.await.unwrap().0, Passed::All));
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_or_leaves_ends_it() {
        for leaves in [false, true] {
            let (bytes, file) = file(40_000_000);
            let (server, client) = pair().await;
            let client = (!leaves).then_some(client);
            let sent = on(&server, Arc::new(file), 0..bytes.len() as u64, (), Duration::from_millis(50)).await;
            assert!(matches!(sent, Passed::Failed), "leaves: {leaves}");
            drop(client);
        }
    }

    #[tokio::test]
    async fn a_file_that_was_cut_is_not_said_to_be_whole() {
        let (_, file) = file(100_000);
        let (server, _client) = pair().await;
        assert!(matches!(on(&server, Arc::new(file), 0..100_001, (), PATIENT).await, Passed::Failed));
    }

    #[tokio::test]
    async fn what_cannot_be_passed_on_is_left_to_be_read() {
        let (server, _client) = pair().await;
        let (pipe, _end) = std::io::pipe().unwrap();
        let pipe = File::from(OwnedFd::from(pipe));
        assert!(matches!(on(&server, Arc::new(pipe), 0..10, (), PATIENT).await, Passed::Unable(_)));
    }
}
