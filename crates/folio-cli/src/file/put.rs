//! `folio file put`: streamed from a file or stdin.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use folio::{ByteStream, Error};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;

use crate::connect::Connect;
use crate::failure::Result;
use crate::file::Put;
use crate::input;
use crate::output::Output;
use crate::progress::Progress;
use crate::text;

/// Bytes read at once. A few such pieces are under way at a time.
const PIECE: usize = 256 << 10;

/// Runs the command.
pub(crate) async fn run(args: &Put, connect: &mut Connect, out: &mut Output) -> Result {
    let (project, path) = args.named.parse()?;
    let condition = args.write_if.condition()?;
    let source = Source::open(&args.from, out)?;
    let mut progress = Progress::new(out, "storing", source.size);
    let (pieces, mut done) = source.into_stream().await?;
    let driver = if args.create { connect.with_project(&project).await? } else { connect.open().await? };
    let files = driver.project(&project).files();
    let mut write = std::pin::pin!(files.write(&path, pieces, condition));
    let outcome = loop {
        tokio::select! {
            outcome = &mut write => break outcome?,
            Some(bytes) = done.recv() => progress.add(bytes),
        }
    };
    drop(progress);
    args.named.thing().written(outcome, out)
}

/// What is stored.
struct Source {
    from: PathBuf,
    /// `None`: stdin.
    file: Option<File>,
    /// Bytes, where they are known.
    size: Option<u64>,
}

impl Source {
    fn open(from: &Path, out: &mut Output) -> Result<Self> {
        if input::is_stdin(from) {
            input::tell_if_typed(out)?;
            return Ok(Self { from: from.to_owned(), file: None, size: None });
        }
        let file = input::open(from)?;
        // a device or pipe says 0 and means "unknown"
        let size = file.metadata().ok().filter(|meta| meta.is_file()).map(|meta| meta.len());
        Ok(Self { from: from.to_owned(), file: Some(file), size })
    }

    /// The bytes, and how many were taken each time. Waits for the first piece, so that the store is not held while
    /// the other end of a pipe is still at work before its first output.
    async fn into_stream(self) -> Result<(ByteStream, mpsc::UnboundedReceiver<u64>)> {
        let (send, receive) = mpsc::channel(2);
        // not on the pool of blocking threads: a read that waits on a terminal would hold up the end of the program
        std::thread::spawn(move || {
            let what = format!("reading {}", text::visible(&self.from.to_string_lossy()));
            match self.file {
                Some(mut file) => read(&mut file, &what, &send),
                None => read(&mut io::stdin().lock(), &what, &send),
            }
        });
        let (count, counted) = mpsc::unbounded_channel();
        let pieces = stream::unfold(receive, |mut receive| async { Some((receive.recv().await?, receive)) });
        let mut pieces = pieces.fuse().boxed();
        let first = pieces.next().await;
        let pieces = stream::iter(first).chain(pieces).inspect(move |piece| {
            if let Ok(piece) = piece {
                let _ = count.send(piece.len() as u64);
            }
        });
        Ok((pieces.boxed(), counted))
    }
}

/// The bytes of a file, which is opened when the first of them is asked for.
pub(crate) fn body(from: PathBuf) -> ByteStream {
    let open = async move {
        let what = format!("reading {}", text::visible(&from.to_string_lossy()));
        let mut file = File::open(&from).map_err(|e| Error::Io { what: what.clone(), why: e.to_string() })?;
        let (send, receive) = mpsc::channel(2);
        std::thread::spawn(move || read(&mut file, &what, &send));
        Ok::<_, Error>(stream::unfold(receive, |mut receive| async { Some((receive.recv().await?, receive)) }))
    };
    stream::once(open).try_flatten().boxed()
}

fn read(from: &mut dyn Read, what: &str, send: &mpsc::Sender<folio::Result<Bytes>>) {
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let got = from.take(PIECE as u64).read_to_end(&mut piece);
        let piece = match got {
            Ok(0) => return,
            Ok(_) => Ok(Bytes::from(piece)),
            Err(e) => Err(Error::Io { what: what.to_owned(), why: e.to_string() }),
        };
        let failed = piece.is_err();
        // nobody takes more: the write has ended, with an error of its own
        if send.blocking_send(piece).is_err() || failed {
            return;
        }
    }
}
