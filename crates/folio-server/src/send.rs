//! What goes out on a socket beside the HTTP stack: bytes, and stretches of files.

pub(crate) mod pass;

use std::io::{self, IoSlice};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::socket::LINGER;

/// Writes these bytes, and then those. False: the client takes none for so long, or is gone.
pub(crate) async fn write(stream: &TcpStream, mut these: &[u8], mut those: &[u8], patience: Duration) -> bool {
    loop {
        let written = match those {
            [] => stream.try_write(these),
            _ => stream.try_write_vectored(&[IoSlice::new(these), IoSlice::new(those)]),
        };
        match written {
            Ok(written) => {
                let of_these = written.min(these.len());
                these = these.get(of_these..).unwrap_or_default();
                those = those.get(written - of_these..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !matches!(timeout(patience, stream.writable()).await, Ok(Ok(()))) {
                    return false;
                }
            }
            Err(_) => return false,
        }
        if these.is_empty() && those.is_empty() {
            return true;
        }
    }
}

/// Ends a connection on which everything was sent: the client has a moment to read it and to hang up. What it still sends would
/// have its system throw away what was said.
pub(crate) async fn close(mut stream: TcpStream) {
    if stream.shutdown().await.is_ok() {
        let _ = timeout(LINGER, gone(&stream)).await;
    }
}

/// Returns once the client has hung up. What it sends is not looked at.
pub(crate) async fn gone(stream: &TcpStream) {
    let mut scrap = [0; 1 << 10];
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        match stream.try_read(&mut scrap) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
