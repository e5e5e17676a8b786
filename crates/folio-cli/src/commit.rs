//! `folio project commit`

use std::path::{Path, PathBuf};

use clap::Args;
use folio::{Appended, CommitOutcome, Done, Error, Operation, ProjectId};
use folio_server::{Operations, Results};

use crate::connect::Connect;
use crate::failure::{Failure, Result};
use crate::file::put::body;
use crate::input;
use crate::output::Output;
use crate::style::GOOD;
use crate::text::{plural, visible};

/// A commit.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  folio project commit demo operations.json
  some-program | folio project commit demo

With operations.json such as this:
  {\"operations\":[
    {\"op\":\"put_file\",\"path\":\"site/index.html\",\"from\":\"build/index.html\"},
    {\"op\":\"patch_doc\",\"key\":\"meta\",\"patch\":{\"title\":\"Hi\"}},
    {\"op\":\"append\",\"log\":\"history\",\"entry\":{\"kind\":\"edit\"},\"idempotency_key\":\"edit-1\"}]}

Operations: put_doc (key, value), patch_doc (key, patch), delete_doc (key), put_file (path, and one of text, base64, from: a file of this machine), delete_file (path), append (log, and entry or entries; close, idempotency_key). Conditions: if_match (an ETag or \"*\"; for append a cursor), if_none_match (\"*\").")]
pub(crate) struct Commit {
    /// Id of the project
    project: String,
    /// A file with the operations as JSON; `-` is stdin
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Create the project if there is none
    #[arg(long)]
    create: bool,
}

/// Runs the command.
pub(crate) async fn run(args: &Commit, connect: &mut Connect, out: &mut Output) -> Result {
    let id = ProjectId::new(&args.project)?;
    let operations = read(&args.file, out).await?;
    let targets: Vec<String> = operations.iter().map(target).collect();
    let results = Results::of(&operations);
    let driver = if args.create { connect.with_project(&id).await? } else { connect.open().await? };
    match driver.project(&id).commit(operations).await? {
        CommitOutcome::Committed(done) if out.is_json() => {
            out.line(format_args!("{{\"results\":{},\"replayed\":false}}", results.committed(&done)?))
        }
        CommitOutcome::Replayed(first) if out.is_json() => {
            out.line(format_args!("{{\"results\":{},\"replayed\":true}}", results.replayed(first)?))
        }
        CommitOutcome::Committed(done) => {
            let count = plural(done.len() as u64, "operation", "operations");
            out.line(format_args!("{GOOD}Committed{GOOD:#} {count} to project {id}."))?;
            targets.iter().zip(&done).try_for_each(|(target, done)| out.line(format_args!("  {target}: {}", told(done))))
        }
        CommitOutcome::Replayed(first) => {
            out.line(format_args!("This commit was done before; nothing was changed. Its entries: {}", entries(&first)))
        }
        CommitOutcome::Precondition { at, current } => {
            Err(Failure::operation(at, targets.get(at).map_or("it", String::as_str), current))
        }
    }
}

/// The operations, with the files that they name.
async fn read(file: &Path, out: &mut Output) -> Result<Vec<Operation>> {
    let Operations { mut operations, parts, from } = Operations::read(&input::whole(file, out).await?)?;
    if let Some((at, _)) = parts.first() {
        let what = "`part` is for HTTP; on the command line, name a file with `from`";
        return Err(Error::invalid(what).in_operation(*at).into());
    }
    for (at, path) in from {
        let path = PathBuf::from(path);
        // One that cannot be read is told before anything is asked of the store.
        input::open(&path).map_err(|failure| failure.with("operation", at.into()))?;
        if let Some(Operation::PutFile { body: empty, .. }) = operations.get_mut(at) {
            *empty = body(path);
        }
    }
    Ok(operations)
}

/// What an operation is on, for people.
fn target(operation: &Operation) -> String {
    match operation {
        Operation::PutDoc { key, .. } | Operation::PatchDoc { key, .. } | Operation::DeleteDoc { key, .. } => {
            format!("document {key}")
        }
        Operation::PutFile { path, .. } | Operation::DeleteFile { path, .. } => format!("file {}", visible(path.as_str())),
        Operation::Append { log, .. } => format!("log {}", visible(log.as_str())),
    }
}

fn told(done: &Done) -> String {
    match done {
        Done::Written { etag, created: true } => format!("created, ETag {etag}"),
        Done::Written { etag, created: false } => format!("replaced, ETag {etag}"),
        Done::Patched(document) => format!("patched, ETag {}", document.etag),
        Done::Deleted(true) => "deleted".to_owned(),
        Done::Deleted(false) => "was not there".to_owned(),
        Done::Appended(appended) => entries(appended),
    }
}

fn entries(appended: &Appended) -> String {
    let Appended { first, last, cursor, .. } = appended;
    match last.checked_sub(*first) {
        None => format!("no entries, head {cursor}"),
        Some(0) => format!("entry {first}, head {cursor}"),
        Some(_) => format!("entries {first} to {last}, head {cursor}"),
    }
}
