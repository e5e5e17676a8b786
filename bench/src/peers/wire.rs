//! The sending side: payloads, clients as cheap as can be, and the reader of event streams.

pub(crate) mod appender;
pub(crate) mod http;
pub(crate) mod payload;
pub(crate) mod poll;
pub(crate) mod sse;

use std::io::Read;
use std::net::TcpStream;

use crate::Result;

/// What came, waiting for it where nothing did. Fails where the server has hung up.
pub(crate) fn received<'b>(mut stream: &TcpStream, buffer: &'b mut [u8]) -> Result<&'b [u8]> {
    match stream.read(buffer)? {
        0 => Err("the server closed a connection".into()),
        count => Ok(buffer.get(..count).unwrap_or_default()),
    }
}
