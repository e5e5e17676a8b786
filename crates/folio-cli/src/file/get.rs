//! `folio file get`: streamed to a file or stdout.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use folio::{FileRead, FileReadOptions};
use futures_util::StreamExt;
use serde_json::json;
use tempfile::NamedTempFile;

use crate::connect::Connect;
use crate::failure::{Failure, Result};
use crate::file::Get;
use crate::output::Output;
use crate::progress::Progress;
use crate::style::GOOD;
use crate::text;

/// Runs the command.
pub(crate) async fn run(args: &Get, connect: &mut Connect, out: &mut Output) -> Result {
    let (project, path) = args.named.parse()?;
    let files = connect.open().await?.project(&project).files();
    let found = files.read(&path, FileReadOptions::default()).await?;
    let file = found.ok_or_else(|| Failure::not_found(args.named.what()))?;
    match args.to.as_deref() {
        None => to_stdout(file, false, out).await,
        Some(to) if to.as_os_str() == "-" => to_stdout(file, true, out).await,
        Some(to) => {
            let name = path.as_str().rsplit('/').next().unwrap_or(path.as_str());
            let to = if to.is_dir() { to.join(name) } else { to.to_owned() };
            let size = copy(file, &to, out).await.map_err(|e| e.at(&to))?;
            let shown = to.display();
            let text = format!("{GOOD}Wrote{GOOD:#} {shown} ({}).", text::size(size));
            out.answer(|| json!({ "path": path, "to": shown.to_string(), "size": size }), text)
        }
    }
}

/// `asked`: stdout was named, so binary goes to a terminal too.
async fn to_stdout(mut file: FileRead, asked: bool, out: &mut Output) -> Result {
    let guarded = !asked && io::stdout().is_terminal();
    // a bar would stand in the middle of what is shown on the same terminal
    let mut progress = (!io::stdout().is_terminal()).then(|| Progress::new(out, "reading", Some(file.info.size)));
    while let Some(piece) = file.body.next().await {
        let piece = piece?;
        if guarded && piece.contains(&0) {
            return Err(Failure::usage(
                "this looks like binary, which can confuse a terminal: name a file, or `-` if you mean it",
            ));
        }
        out.bytes(&piece)?;
        if let Some(progress) = &mut progress {
            progress.add(piece.len() as u64);
        }
    }
    Ok(())
}

/// Why a copy failed: the store, or the file written to.
enum CopyError {
    Store(folio::Error),
    Local(io::Error),
}

impl CopyError {
    fn at(self, to: &Path) -> Failure {
        match self {
            Self::Store(error) => error.into(),
            Self::Local(error) => Failure::io(format!("writing {}", to.display()), &error),
        }
    }
}

impl From<folio::Error> for CopyError {
    fn from(error: folio::Error) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for CopyError {
    fn from(error: io::Error) -> Self {
        Self::Local(error)
    }
}

/// Copies to a file and says how many bytes. The old file stays until the new one is whole.
async fn copy(mut file: FileRead, to: &Path, out: &Output) -> Result<u64, CopyError> {
    let mut progress = Progress::new(out, "copying", Some(file.info.size));
    let mut target = Target::open(to)?;
    let mut size = 0;
    while let Some(piece) = file.body.next().await {
        let piece = piece?;
        target.file().write_all(&piece)?;
        size += piece.len() as u64;
        progress.add(piece.len() as u64);
    }
    target.finish()?;
    Ok(size)
}

/// A file being written.
enum Target {
    /// Beside a regular file, to be renamed over it.
    Beside(NamedTempFile, PathBuf),
    /// A device or pipe is written to as it is.
    Direct(File),
}

impl Target {
    fn open(to: &Path) -> io::Result<Self> {
        // through a link, to what it means
        let to = fs::canonicalize(to).unwrap_or_else(|_| to.to_owned());
        let old = fs::metadata(&to).ok();
        if old.as_ref().is_some_and(|meta| !meta.is_file()) {
            return Ok(Self::Direct(File::options().write(true).open(to)?));
        }
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // a new file gets what the umask leaves, an old one keeps what it had
        let temp = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o666)).tempfile_in(folder)?;
        if let Some(old) = old {
            temp.as_file().set_permissions(old.permissions())?;
        }
        Ok(Self::Beside(temp, to))
    }

    fn file(&mut self) -> &mut File {
        match self {
            Self::Beside(temp, _) => temp.as_file_mut(),
            Self::Direct(file) => file,
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Beside(temp, to) => temp.persist(to).map(|_| ()).map_err(|e| e.error),
            Self::Direct(_) => Ok(()),
        }
    }
}
