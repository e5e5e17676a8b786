//! `folio doc …`

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use folio::{CollectionName, DocKey, DocListOptions, Driver, Json, JsonKv, PatchOutcome, ProjectId, WriteCondition};

use crate::condition::{DeleteIf, WriteIf};
use crate::connect::Connect;
use crate::failure::{Failure, Result};
use crate::input::json_of;
use crate::output::Output;
use crate::pretty::pretty;
use crate::stored::{Listing, Thing};
use crate::style::{DIM, GOOD};
use crate::text;

/// What to do with documents.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
PLACE is a project, `@shared` for the documents that all projects share, or `@collection/NAME`.

Examples:
  folio doc put demo settings '{\"theme\":\"dark\"}'
  folio doc patch demo settings '{\"size\":12}'
  folio doc get demo settings
  folio doc list @collection/design_systems")]
pub(crate) enum DocCommand {
    /// Print a document
    #[command(after_help = "\
Example:
  folio doc get demo settings --json       # {\"key\":…,\"etag\":…,\"value\":…} on one line")]
    Get(Named),
    /// Store a document
    #[command(after_help = "\
Examples:
  folio doc put demo settings '{\"theme\":\"dark\"}'
  jq .x big.json | folio doc put demo x -
  folio doc put demo settings --file settings.json --if-match 44136fa355b3678a1146ad16f7e8649e")]
    Put(Put),
    /// Change members of a document (JSON Merge Patch; null removes a member), or create it
    #[command(after_help = "Example:\n  folio doc patch demo settings '{\"size\":12,\"old\":null}'")]
    Patch(Put),
    /// Delete a document; fine if there is none
    Delete(Delete),
    /// List documents by key
    #[command(after_help = "Example:\n  folio doc list demo --prefix snapshot_ --etag")]
    List(List),
}

/// One document.
#[derive(Args, Debug)]
pub(crate) struct Named {
    /// A project, `@shared` or `@collection/NAME`
    place: String,
    /// Key of the document: 1 to 128 of A-Z a-z 0-9 _ -
    key: String,
}

/// A write.
#[derive(Args, Debug)]
pub(crate) struct Put {
    #[command(flatten)]
    named: Named,
    /// The JSON value; `-` reads it from stdin
    #[arg(required_unless_present = "file", conflicts_with = "file", allow_negative_numbers = true)]
    value: Option<String>,
    /// Read the value from a file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
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
    /// A project, `@shared` or `@collection/NAME`
    place: String,
    /// Only keys that begin with this
    #[arg(long, default_value = "")]
    prefix: String,
    /// Read every document to show its ETag
    #[arg(long)]
    etag: bool,
}

/// Where documents live.
enum Place {
    Project(ProjectId),
    Shared,
    Collection(CollectionName),
}

impl Place {
    fn parse(text: &str) -> Result<Self> {
        match text.strip_prefix('@') {
            None => Ok(Self::Project(ProjectId::new(text)?)),
            Some("shared") => Ok(Self::Shared),
            Some(rest) => match rest.strip_prefix("collection/") {
                Some(name) => Ok(Self::Collection(CollectionName::new(name)?)),
                None => Err(Failure::usage(format!(
                    "\"{}\" is no place: a project, @shared or @collection/NAME",
                    text::visible(text)
                ))),
            },
        }
    }

    fn docs(&self, driver: &dyn Driver) -> Arc<dyn JsonKv> {
        match self {
            Self::Project(id) => driver.project(id).docs(),
            Self::Shared => driver.shared(),
            Self::Collection(name) => driver.collection(name),
        }
    }
}

/// Runs a command.
pub(crate) async fn run(command: &DocCommand, connect: &mut Connect, out: &mut Output) -> Result {
    match command {
        DocCommand::Get(named) => get(named, connect, out).await,
        DocCommand::Put(args) => put(args, connect, out).await,
        DocCommand::Patch(args) => patch(args, connect, out).await,
        DocCommand::Delete(args) => delete(args, connect, out).await,
        DocCommand::List(args) => list(args, connect, out).await,
    }
}

impl Named {
    fn parse(&self) -> Result<(Place, DocKey)> {
        Ok((Place::parse(&self.place)?, DocKey::new(&self.key)?))
    }

    fn what(&self) -> String {
        format!("document {} in {}", self.key, self.place)
    }

    fn thing(&self) -> Thing<'_> {
        Thing { member: "key", name: &self.key, what: self.what() }
    }
}

async fn get(named: &Named, connect: &mut Connect, out: &mut Output) -> Result {
    let (place, key) = named.parse()?;
    let docs = place.docs(&*connect.open().await?);
    let document = docs.get(&key).await?.ok_or_else(|| Failure::not_found(named.what()))?;
    if out.is_json() {
        // put together by hand, so that the value keeps its tokens
        out.line(format_args!("{{\"key\":\"{key}\",\"etag\":\"{}\",\"value\":{}}}", document.etag, document.value))
    } else {
        out.line(pretty(document.value.as_str()))
    }
}

async fn put(args: &Put, connect: &mut Connect, out: &mut Output) -> Result {
    let Write { docs, key, value, condition } = args.prepare(connect, out).await?;
    let outcome = docs.put(&key, value, condition).await?;
    args.named.thing().written(outcome, out)
}

async fn patch(args: &Put, connect: &mut Connect, out: &mut Output) -> Result {
    let Write { docs, key, value, condition } = args.prepare(connect, out).await?;
    match docs.patch(&key, value, condition).await? {
        PatchOutcome::Written(document) if out.is_json() => {
            out.line(format_args!("{{\"key\":\"{key}\",\"etag\":\"{}\",\"value\":{}}}", document.etag, document.value))
        }
        PatchOutcome::Written(document) => {
            let what = args.named.what();
            out.line(format_args!("{GOOD}Patched{GOOD:#} {what} {DIM}(ETag {}){DIM:#}", document.etag))
        }
        PatchOutcome::Precondition { current } => Err(Failure::precondition(args.named.what(), current)),
    }
}

/// A write that is ready to be made.
struct Write {
    docs: Arc<dyn JsonKv>,
    key: DocKey,
    value: Json,
    condition: WriteCondition,
}

impl Put {
    /// Everything that can be wrong with the arguments and the input is told before the store is opened or changed.
    async fn prepare(&self, connect: &mut Connect, out: &mut Output) -> Result<Write> {
        let (place, key) = self.named.parse()?;
        let condition = self.write_if.condition()?;
        let value = json_of(self.value.as_deref(), self.file.as_deref(), out).await?;
        let driver = match &place {
            Place::Project(id) if self.create => connect.with_project(id).await?,
            _ => connect.open().await?,
        };
        Ok(Write { docs: place.docs(&*driver), key, value, condition })
    }
}

async fn delete(args: &Delete, connect: &mut Connect, out: &mut Output) -> Result {
    let (place, key) = args.named.parse()?;
    let condition = args.delete_if.condition()?;
    let docs = place.docs(&*connect.open().await?);
    let outcome = docs.delete(&key, condition).await?;
    args.named.thing().deleted(outcome, out)
}

async fn list(args: &List, connect: &mut Connect, out: &mut Output) -> Result {
    let place = Place::parse(&args.place)?;
    let docs = place.docs(&*connect.open().await?);
    let mut options = DocListOptions { prefix: args.prefix.clone(), etag: args.etag, ..DocListOptions::default() };
    let mut listing = Listing::new("key", "KEY", args.etag);
    loop {
        let page = docs.list(options.clone()).await?;
        for doc in &page.docs {
            listing.line(doc.key.as_str(), doc.size, doc.modified, doc.etag, out)?;
        }
        listing.page(out)?;
        options.after = page.next;
        if options.after.is_none() {
            return listing.end("There are no documents. Store one: folio doc put PLACE KEY JSON", out);
        }
    }
}
