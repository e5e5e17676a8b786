//! What goes out on a socket beside the HTTP stack: bytes, and stretches of files.

pub(crate) mod pass;

use std::io::{self, IoSlice};
use std::time::Duration;

use tokio::io::{AsyncWriteExt, copy, sink};
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

/// Ends a connection whose client may still be sending: it has a moment to read what was said last, which its system would throw
/// away otherwise.
pub(crate) async fn close(mut stream: TcpStream) {
    if stream.shutdown().await.is_ok() {
        let _ = timeout(LINGER, copy(&mut stream, &mut sink())).await;
    }
}
