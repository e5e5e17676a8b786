//! Input that is small enough to be held: arguments, files, stdin.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use bytes::Bytes;
use folio::{Error, Json};

use crate::failure::{Failure, Result};
use crate::output::Output;

/// Most that is held in memory of one input, in bytes. The store's own limits are below.
pub(crate) const MAX_INPUT: u64 = 256 << 20;

/// What most often is wrong with an argument that has no double quote in it.
const QUOTES: &str = "Put JSON in single quotes, or the shell takes its double quotes away: '{\"a\":1}', '\"text\"'";

/// A JSON value from an argument, where `-` means stdin.
pub(crate) async fn json_argument(argument: &str, out: &mut Output) -> Result<Json> {
    if argument == "-" {
        return Ok(Json::parse(&whole(Path::new("-"), out).await?)?);
    }
    Json::parse(argument.as_bytes()).map_err(|error| {
        let failure = Failure::from(error);
        if argument.contains('"') { failure } else { failure.and(QUOTES) }
    })
}

/// A JSON value from an argument or from a file; `-` means stdin in both.
pub(crate) async fn json_of(argument: Option<&str>, file: Option<&Path>, out: &mut Output) -> Result<Json> {
    match (argument, file) {
        (Some(argument), _) => json_argument(argument, out).await,
        (None, Some(file)) => Ok(Json::parse(&whole(file, out).await?)?),
        (None, None) => Err(Failure::usage("give the JSON value as an argument, as `-` for stdin, or with --file FILE")),
    }
}

/// All bytes of a file, or of stdin (`-`).
pub(crate) async fn whole(path: &Path, out: &mut Output) -> Result<Bytes> {
    if is_stdin(path) {
        tell_if_typed(out)?;
    }
    let path = path.to_owned();
    // a thread that waits on a terminal must not hold up the end of the program, as a pool of blocking threads would
    let (send, receive) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || send.send(read_whole(&path)));
    receive.await.unwrap_or_else(|_| Err(Failure::io("reading the input", &io::ErrorKind::Interrupted.into())))
}

/// True for `-`.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Somebody who types sees that the program waits for them.
pub(crate) fn tell_if_typed(out: &mut Output) -> Result {
    if io::stdin().is_terminal() { out.note("Reading from the terminal; end with Ctrl-D on a line of its own.") } else { Ok(()) }
}

/// Opens a file for reading.
pub(crate) fn open(path: &Path) -> Result<File> {
    let what = || format!("opening {}", path.display());
    let file = File::open(path).map_err(|e| Failure::io(what(), &e))?;
    if file.metadata().map_err(|e| Failure::io(what(), &e))?.is_dir() {
        return Err(Failure::usage(format!("{} is a folder; name a file", path.display())));
    }
    Ok(file)
}

fn read_whole(path: &Path) -> Result<Bytes> {
    let mut bytes = Vec::new();
    let mut read = |from: &mut dyn Read| from.take(MAX_INPUT + 1).read_to_end(&mut bytes);
    let done = if is_stdin(path) { read(&mut io::stdin().lock()) } else { read(&mut open(path)?) };
    done.map_err(|e| Failure::io(format!("reading {}", path.display()), &e))?;
    if bytes.len() as u64 > MAX_INPUT {
        return Err(Error::TooLarge { what: "the input".into(), bytes: bytes.len() as u64, limit: MAX_INPUT }.into());
    }
    Ok(bytes.into())
}
