//! `folio file …`

mod get;
pub(crate) mod put;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use folio::{FileListOptions, FilePath, ProjectId};

use crate::condition::{DeleteIf, WriteIf};
use crate::connect::Connect;
use crate::failure::Result;
use crate::output::Output;
use crate::stored::{Listing, Thing};
use crate::text;

/// What to do with files.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
Examples:
  folio file put demo assets/logo.svg logo.svg
  folio file get demo assets/logo.svg > logo.svg
  folio file list demo assets")]
pub(crate) enum FileCommand {
    /// Copy a file out of a project
    #[command(after_help = "\
Examples:
  folio file get demo index.html                 # to stdout
  folio file get demo index.html .               # into this folder
  folio file get demo video.mp4 /tmp/out.mp4")]
    Get(Get),
    /// Copy a file into a project
    #[command(after_help = "\
Examples:
  folio file put demo index.html ./index.html
  curl -s https://example.org | folio file put demo pages/example.html -
  folio file put demo index.html ./index.html --if-absent")]
    Put(Put),
    /// Delete a file, and the folders that this leaves empty; fine if there is none
    Delete(Delete),
    /// List the files of a project, or of a folder in it
    #[command(after_help = "Example:\n  folio file list demo assets --etag")]
    List(List),
}

/// One file.
#[derive(Args, Debug)]
pub(crate) struct Named {
    /// Id of the project
    project: String,
    /// Path in the project, such as assets/logo.svg
    path: String,
}

/// A read.
#[derive(Args, Debug)]
pub(crate) struct Get {
    #[command(flatten)]
    named: Named,
    /// A file or folder to write to; `-` or nothing: stdout
    to: Option<PathBuf>,
}

/// A write.
#[derive(Args, Debug)]
pub(crate) struct Put {
    #[command(flatten)]
    named: Named,
    /// The file to read; `-` reads stdin
    from: PathBuf,
    #[command(flatten)]
    write_if: WriteIf,
    /// Create the project if there is none
    #[arg(long)]
    create: bool,
}

/// A delete.
#[derive(Args, Debug)]
pub(crate) struct Delete {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    delete_if: DeleteIf,
}

/// A list.
#[derive(Args, Debug)]
pub(crate) struct List {
    /// Id of the project
    project: String,
    /// Only what lies in this folder
    folder: Option<String>,
    /// Read every file to show its ETag
    #[arg(long)]
    etag: bool,
}

/// Runs a command.
pub(crate) async fn run(command: &FileCommand, connect: &mut Connect, out: &mut Output) -> Result {
    match command {
        FileCommand::Get(args) => get::run(args, connect, out).await,
        FileCommand::Put(args) => put::run(args, connect, out).await,
        FileCommand::Delete(args) => delete(args, connect, out).await,
        FileCommand::List(args) => list(args, connect, out).await,
    }
}

impl Named {
    fn parse(&self) -> Result<(ProjectId, FilePath)> {
        Ok((ProjectId::new(&self.project)?, FilePath::new(&self.path)?))
    }

    fn what(&self) -> String {
        format!("file {} in project {}", text::visible(&self.path), self.project)
    }

    fn thing(&self) -> Thing<'_> {
        Thing { member: "path", name: &self.path, what: self.what() }
    }
}

async fn delete(args: &Delete, connect: &mut Connect, out: &mut Output) -> Result {
    let (project, path) = args.named.parse()?;
    let condition = args.delete_if.condition()?;
    let files = connect.open().await?.project(&project).files();
    let outcome = files.delete(&path, condition).await?;
    args.named.thing().deleted(outcome, out)
}

async fn list(args: &List, connect: &mut Connect, out: &mut Output) -> Result {
    let project = ProjectId::new(&args.project)?;
    let folder = args.folder.as_deref().map(|folder| FilePath::new(folder.strip_suffix('/').unwrap_or(folder))).transpose()?;
    let mut options = FileListOptions { folder, etag: args.etag, ..FileListOptions::default() };
    let files = connect.open().await?.project(&project).files();
    let mut listing = Listing::new("path", "PATH", args.etag);
    loop {
        let page = files.list(options.clone()).await?;
        for file in &page.files {
            listing.line(file.path.as_str(), file.size, file.modified, file.etag, out)?;
        }
        listing.page(out)?;
        options.after = page.next;
        if options.after.is_none() {
            return listing.end("There are no files here. Store one: folio file put PROJECT PATH FILE", out);
        }
    }
}
