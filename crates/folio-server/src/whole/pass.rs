//! A whole log on a connection of its own: lines that were read go out as they are, those that are known to be good are passed
//! on by the system from their file to the socket.

use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use folio::{AppendLog, FileLines, Lines, Page, ReadOptions, Result, Seq};
use tokio::net::TcpStream;

use super::{Reading, Whole, behind};
use crate::page;
use crate::reply::PIECE;
use crate::send::pass::{self, Passed};
use crate::send::write;

impl Whole {
    /// Sends all of it behind `head`, in chunks. A client may take nothing for `patience`. False: it is not whole, and nothing
    /// else can come on this connection.
    pub(crate) async fn pass(self, stream: &TcpStream, head: Vec<u8>, patience: Duration) -> bool {
        let Self { log, options, last, first, part: most, mut memory } = self;
        let mut out = Chunks { stream, patience, before: head };
        let mut part = Part::Read(first);
        loop {
            let next = match part.behind(last, &options) {
                None => None,
                Some(Ok(options)) => Some(Reading::begin(read(Arc::clone(&log), options))),
                Some(Err(_)) => return false,
            };
            if next.is_none() {
                memory.shrink(most);
            }
            if !out.part(part).await {
                return false;
            }
            part = match next {
                None => return out.end().await,
                Some(reading) => match reading.part.clone().await {
                    Ok(part) => part,
                    Err(_) => return false,
                },
            };
        }
    }
}

/// A part of a log.
#[derive(Clone)]
enum Part {
    Read(Page<Lines>),
    InFile(Page<FileLines>),
}

impl Part {
    fn behind(&self, last: Seq, options: &ReadOptions) -> Option<Result<ReadOptions>> {
        match self {
            Self::Read(page) => behind(page, last, options),
            Self::InFile(page) => behind(page, last, options),
        }
    }
}

/// The next part.
async fn read(log: Arc<dyn AppendLog>, options: ReadOptions) -> Result<Part> {
    if let Some(since) = options.since
        && let Some(page) = log.read_in_place(since, options.before).await?
    {
        return Ok(Part::InFile(page));
    }
    Ok(Part::Read(log.read_stored(options).await?))
}

/// A body in chunks (RFC 9112, 7.1).
struct Chunks<'a> {
    stream: &'a TcpStream,
    patience: Duration,
    /// What has to be sent before the next one.
    before: Vec<u8>,
}

impl Chunks<'_> {
    async fn part(&mut self, part: Part) -> bool {
        match part {
            Part::Read(page) => {
                for piece in page::lines(page) {
                    if !self.chunk(piece.len() as u64, &piece).await {
                        return false;
                    }
                }
            }
            Part::InFile(page) => {
                for lines in page.entries {
                    if !self.file(&lines).await {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// Begins a chunk of so many bytes, of which these are the first.
    async fn chunk(&mut self, length: u64, bytes: &[u8]) -> bool {
        // One of no length would be the last.
        if length == 0 {
            return true;
        }
        self.before.extend_from_slice(format!("{length:x}\r\n").as_bytes());
        let written = write(self.stream, &self.before, bytes, self.patience).await;
        self.before = b"\r\n".to_vec();
        written
    }

    async fn file(&mut self, lines: &FileLines) -> bool {
        let range = lines.range();
        if !self.chunk(range.end - range.start, &[]).await {
            return false;
        }
        match pass::on(self.stream, Arc::clone(lines.file()), range, (), self.patience).await {
            Passed::All => true,
            Passed::Unable(()) => self.copied(lines).await,
            Passed::Failed => false,
        }
    }

    /// For file systems that can't pass on.
    async fn copied(&mut self, lines: &FileLines) -> bool {
        let range = lines.range();
        for at in range.clone().step_by(PIECE) {
            let (file, size) = (Arc::clone(lines.file()), (range.end - at).min(PIECE as u64));
            let read = move || {
                let mut piece = vec![0; usize::try_from(size).unwrap_or(PIECE)];
                file.read_exact_at(&mut piece, at).map(|()| piece)
            };
            let Ok(Ok(piece)) = tokio::task::spawn_blocking(read).await else { return false };
            if !write(self.stream, &piece, &[], self.patience).await {
                return false;
            }
        }
        true
    }

    async fn end(mut self) -> bool {
        self.before.extend_from_slice(b"0\r\n\r\n");
        write(self.stream, &self.before, &[], self.patience).await
    }
}
