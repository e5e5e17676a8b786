//! A client's socket with a patience of its own: for the next head, for a reader that reads nothing, for the last bytes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::config::ServerConfig;

/// How long a client that was told all may take to hang up, and one that was told to stop sending may go on: so that it
/// can read why.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// What the connection is doing; the socket looks, the calls tell.
#[derive(Debug, Default)]
pub(crate) struct Phase {
    /// A request is being answered.
    busy: AtomicBool,
    /// How many requests there were.
    requests: AtomicU64,
    /// Whoever reads meanwhile: between two requests it reads on other terms.
    reader: AtomicWaker,
    /// Some of a request's body was not read.
    pub(crate) unread: Arc<AtomicBool>,
    /// More was read than the head of the request, or less was written than the answers to those before.
    entangled: AtomicBool,
}

impl Phase {
    pub(crate) fn begin(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.busy.store(true, Ordering::Relaxed);
    }

    /// True where nothing is on its way but the answer to the request whose head was read last: then the connection can be
    /// taken out of the HTTP stack.
    pub(crate) fn is_free(&self) -> bool {
        !self.entangled.load(Ordering::Relaxed) && !self.unread.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.busy.store(false, Ordering::Relaxed);
        self.reader.wake();
    }
}

/// Why a connection ended before it brought a whole head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadFault {
    Slow,
    Large,
}

/// How much of a head has come.
#[derive(Debug, Default, PartialEq, Eq)]
struct Head {
    /// 0: nothing has, the connection is idle.
    bytes: usize,
    /// Line feeds at the end, with nothing between them.
    blank: u8,
    /// The blank line at its end was there; what follows is somebody else's.
    whole: bool,
}

impl Head {
    /// Takes the next bytes. True: some of them are no part of it.
    fn feed(&mut self, data: &[u8]) -> bool {
        for &byte in data {
            if self.whole {
                return true;
            }
            self.bytes += 1;
            match byte {
                b'\n' => self.blank = self.blank.saturating_add(1),
                b'\r' => {}
                _ => self.blank = 0,
            }
            // Empty lines before the request line are no head yet.
            self.whole = self.blank == 2 && self.bytes > 4;
        }
        false
    }
}

/// The socket. Its timers run only while something is waited for.
pub(crate) struct Socket {
    inner: TcpStream,
    /// Was read before, and comes first.
    first: Bytes,
    phase: Arc<Phase>,
    idle_timeout: Duration,
    head_timeout: Duration,
    write_timeout: Duration,
    max_head: usize,
    /// The request that `head` comes after.
    after: u64,
    head: Head,
    fault: Option<HeadFault>,
    reading: Timer,
    writing: Timer,
    closing: Timer,
    shut: bool,
}

impl Socket {
    /// `first` was read from `inner` before.
    pub(crate) fn new(inner: TcpStream, first: Bytes, phase: Arc<Phase>, config: &ServerConfig) -> Self {
        Self {
            inner,
            first,
            phase,
            idle_timeout: config.idle_timeout,
            head_timeout: config.head_timeout,
            write_timeout: config.write_timeout,
            max_head: config.max_head,
            after: 0,
            head: Head::default(),
            fault: None,
            reading: Timer::default(),
            writing: Timer::default(),
            closing: Timer::default(),
            shut: false,
        }
    }

    /// Why the last head did not come whole, if that is how the connection ended.
    pub(crate) fn fault(&self) -> Option<HeadFault> {
        self.fault
    }

    /// The client was told to go while it still sends: listen on for a moment, or its system throws our answer away.
    pub(crate) fn linger(&self) {
        self.phase.unread.store(true, Ordering::Relaxed);
    }

    /// The connection itself, for whoever goes on with it.
    pub(crate) fn into_inner(self) -> TcpStream {
        self.inner
    }

    fn give_up(&mut self, fault: HeadFault) -> io::Error {
        self.fault = Some(fault);
        io::Error::new(io::ErrorKind::TimedOut, "the head of the request did not come whole")
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let some = self.first.split_to(self.first.len().min(buf.remaining()));
        buf.put_slice(&some);
        Poll::Ready(Ok(()))
    }

    /// Between two requests.
    fn poll_read_head(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if self.poll_bytes(cx, buf)?.is_ready() {
            let data = buf.filled().get(before..).unwrap_or_default();
            if data.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if self.head.bytes == 0 {
                self.reading.stop();
            }
            if self.head.feed(data) {
                self.phase.entangled.store(true, Ordering::Relaxed);
            }
            if self.head.bytes > self.max_head {
                buf.set_filled(before);
                return Poll::Ready(Err(self.give_up(HeadFault::Large)));
            }
            return Poll::Ready(Ok(()));
        }
        if self.head.bytes == 0 {
            ready!(self.reading.poll(cx, self.idle_timeout));
            // As if the client had hung up: there is nothing to tell it.
            return Poll::Ready(Ok(()));
        }
        ready!(self.reading.poll(cx, self.head_timeout));
        Poll::Ready(Err(self.give_up(HeadFault::Slow)))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let requests = self.phase.requests.load(Ordering::Relaxed);
        if requests != self.after {
            self.after = requests;
            self.head = Head::default();
            self.reading.stop();
        }
        if self.phase.busy.load(Ordering::Relaxed) {
            self.phase.reader.register(cx.waker());
            let before = buf.filled().len();
            let read = self.poll_bytes(cx, buf);
            if buf.filled().len() > before {
                self.phase.entangled.store(true, Ordering::Relaxed);
            }
            return read;
        }
        self.poll_read_head(cx, buf)
    }
}

impl Socket {
    fn poll_stalled<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.writing.stop();
            return written;
        }
        self.phase.entangled.store(true, Ordering::Relaxed);
        ready!(self.writing.poll(cx, self.write_timeout));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, data);
        self.poll_stalled(cx, written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, data);
        self.poll_stalled(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
            self.shut = true;
        }
        if !self.phase.unread.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let mut scrap = [0; 16 << 10];
        loop {
            if self.closing.poll(cx, LINGER).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut scrap);
            match ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buf)) {
                Ok(()) if buf.filled().is_empty() => return Poll::Ready(Ok(())),
                Ok(()) => {}
                Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// A timer that starts when it is first polled.
#[derive(Default)]
struct Timer(Option<Running>);

struct Running {
    sleep: Pin<Box<Sleep>>,
    on: bool,
}

impl Timer {
    /// Ready when it has run for `time`.
    fn poll(&mut self, cx: &mut Context<'_>, time: Duration) -> Poll<()> {
        let running = self.0.get_or_insert_with(|| Running { sleep: Box::pin(tokio::time::sleep(time)), on: true });
        if !running.on {
            running.sleep.as_mut().reset(Instant::now() + time);
            running.on = true;
        }
        running.sleep.as_mut().poll(cx)
    }

    fn stop(&mut self) {
        if let Some(running) = &mut self.0 {
            running.on = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_at_its_blank_line() {
        for (text, whole) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("GET / HTTP/1.1\nHost: a\n\n", true),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\nbody", true),
            ("GET / HTTP/1.1\r\nHost: a\r\n", false),
            ("\r\n\r\n", false),
            ("G", false),
        ] {
            let mut at_once = Head::default();
            at_once.feed(text.as_bytes());
            assert_eq!(at_once.whole, whole, "{text:?}");
            let mut bytewise = Head::default();
            for byte in text.bytes() {
                bytewise.feed(&[byte]);
            }
            assert_eq!(bytewise, at_once, "{text:?}");
        }
        let mut head = Head::default();
        head.feed(b"GET / HTTP/1.1\n\nbody");
        assert_eq!(head.bytes, 16);
    }
}
