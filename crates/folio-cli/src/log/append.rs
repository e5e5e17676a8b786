//! `folio log append`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use folio::{AppendLog, AppendOptions, AppendOutcome, Cursor, Data, Position, Seq};
use serde_json::json;

use crate::connect::Connect;
use crate::failure::{Failure, Result};
use crate::input;
use crate::log::ndjson::Batches;
use crate::log::{Named, Which, show};
use crate::output::Output;
use crate::progress::Progress;
use crate::signals::Signals;
use crate::style::{DIM, GOOD};
use crate::text::{count, plural};

/// Most batches of an import with a key: as many keys as a log remembers for sure. Beyond that, running it again could
/// append the first ones twice.
const MAX_KEYED_BATCHES: u64 = 10_000;

/// An append.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  folio log append demo '{\"kind\":\"hello\"}'
  folio log append demo '{\"step\":1}' '{\"step\":2}'     # two entries, together or not at all
  echo '{\"kind\":\"hello\"}' | folio log append demo -
  folio log append demo --ndjson old-history.ndjson --key import-1
  some-program | folio log append demo --log runs/42 --ndjson - --close

Each JSON argument is one entry, also an array.

With --ndjson, batches of up to 1,000 lines or 1 MiB are appended, each together or not at all. A bad line ends it; the lines before it are in the log. With --key, every batch has a key of its own (KEY#1, KEY#2, …), so running the same import again appends only what is missing (at most 10,000 batches).")]
pub(crate) struct Append {
    #[command(flatten)]
    which: Which,
    /// Entries as JSON; `-` reads one from stdin
    #[arg(value_name = "JSON", conflicts_with_all = ["ndjson", "bytes"], allow_negative_numbers = true)]
    entries: Vec<String>,
    /// Append every line of a file; `-` is stdin
    #[arg(long, value_name = "FILE", conflicts_with = "bytes")]
    ndjson: Option<PathBuf>,
    /// Append the bytes of a file as one entry that is not JSON; `-` is stdin
    #[arg(long, value_name = "FILE")]
    bytes: Option<PathBuf>,
    /// Makes it safe to run this again: the same key appends once. 1 to 256 visible ASCII characters
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only if this is the head: <epoch>-<seq>, or a bare seq
    #[arg(long, value_name = "CURSOR")]
    if_head: Option<String>,
    /// End the log with these entries (or without any)
    #[arg(long)]
    close: bool,
    /// Create the project if there is none
    #[arg(long)]
    create: bool,
}

impl Append {
    /// True for an append of many batches.
    pub(crate) fn is_long(&self) -> bool {
        self.ndjson.is_some()
    }
}

/// Runs the command.
pub(crate) async fn run(args: &Append, connect: &mut Connect, signals: Signals, out: &mut Output) -> Result {
    let named = args.which.parse()?;
    let expected_head = show::cursor(args.if_head.as_deref())?;
    if let Some(path) = &args.ndjson {
        return Import::new(args, named, expected_head).run(path, connect, signals, out).await;
    }
    let entries = entries(args, out).await?;
    let log = open(args, &named, connect).await?;
    let options = AppendOptions { expected_head, idempotency_key: args.key.clone(), close: args.close };
    let mut done = Done::default();
    done.append(&*log, &named, entries, options).await?;
    done.report(&named, args.close, out)
}

async fn open(args: &Append, named: &Named, connect: &mut Connect) -> Result<Arc<dyn AppendLog>> {
    let driver = if args.create { connect.with_project(&named.project).await? } else { connect.open().await? };
    Ok(named.open(&*driver))
}

async fn entries(args: &Append, out: &mut Output) -> Result<Vec<Data>> {
    if let Some(path) = &args.bytes {
        return Ok(vec![Data::Bytes(input::whole(path, out).await?)]);
    }
    if args.entries.is_empty() && !args.close {
        return Err(Failure::usage("nothing to append: give JSON as arguments, `-` for stdin, --ndjson FILE or --bytes FILE"));
    }
    if args.entries.iter().filter(|argument| *argument == "-").count() > 1 {
        return Err(Failure::usage("`-` reads stdin to its end, so it can be given once"));
    }
    let mut entries = Vec::with_capacity(args.entries.len());
    for (index, argument) in args.entries.iter().enumerate() {
        let value = input::json_argument(argument, out).await;
        let nth = |failure: Failure| failure.and(format_args!("(entry {} of {})", index + 1, args.entries.len()));
        entries.push(value.map_err(|failure| if args.entries.len() > 1 { nth(failure) } else { failure })?.into());
    }
    Ok(entries)
}

/// What was appended so far.
#[derive(Default)]
struct Done {
    entries: u64,
    /// Of these, what an earlier append with the same key had appended.
    replayed: u64,
    first: Option<Seq>,
    head: Option<Position>,
}

impl Done {
    async fn append(&mut self, log: &dyn AppendLog, named: &Named, entries: Vec<Data>, options: AppendOptions) -> Result {
        let sent = entries.len() as u64;
        match log.append(entries, options).await? {
            AppendOutcome::Appended(appended) => {
                self.entries += sent;
                self.replayed += if appended.replayed { sent } else { 0 };
                if sent > 0 {
                    self.first.get_or_insert(appended.first);
                }
                self.head = Some(appended.cursor);
                Ok(())
            }
            AppendOutcome::Precondition { head } => Err(Failure::moved(named.what(), head)),
        }
    }

    fn report(&self, named: &Named, closed: bool, out: &mut Output) -> Result {
        let last = self.head.map(|head| head.seq);
        let json = || {
            json!({
                "entries": self.entries,
                "first_seq": self.first,
                "last_seq": last,
                "cursor": self.head,
                "replayed": self.replayed,
            })
        };
        out.answer(json, self.text(named, closed))
    }

    fn text(&self, named: &Named, closed: bool) -> String {
        let what = named.what();
        let Some(head) = self.head else { return format!("Nothing to append to {what}.") };
        let end = if closed { ", and closed it" } else { "" };
        let cursor = format!("{DIM}(cursor {head}){DIM:#}");
        let Some(first) = self.first else { return format!("{GOOD}Closed{GOOD:#} {what} {cursor}") };
        let seqs = match self.entries {
            1 => format!("as seq {first}"),
            // other appends may lie between the batches
            _ => format!("as seq {first} to {}", head.seq),
        };
        let entries = plural(self.entries, "entry", "entries");
        match self.replayed {
            0 => format!("{GOOD}Appended{GOOD:#} {entries} to {what} {seqs}{end} {cursor}"),
            all if all == self.entries => format!("{entries} had been appended to {what} with this key before, {seqs} {cursor}"),
            some => format!(
                "{GOOD}Appended{GOOD:#} {} to {what}{end}; {} had been appended with this key before {cursor}",
                plural(self.entries - some, "entry", "entries"),
                count(some)
            ),
        }
    }
}

/// An append of many batches.
struct Import<'a> {
    args: &'a Append,
    named: Named,
    expected_head: Option<Cursor>,
    done: Done,
    batch: u64,
}

impl<'a> Import<'a> {
    fn new(args: &'a Append, named: Named, expected_head: Option<Cursor>) -> Self {
        Self { args, named, expected_head, done: Done::default(), batch: 0 }
    }

    async fn run(mut self, path: &Path, connect: &mut Connect, signals: Signals, out: &mut Output) -> Result {
        let (mut batches, size) = Batches::open(path, self.args.key.is_some(), out)?;
        match self.all(&mut batches, size, connect, signals, out).await {
            Ok(()) => self.done.report(&self.named, self.args.close, out),
            Err(failure) => Err(self.so_far(failure)),
        }
    }

    async fn all(
        &mut self,
        batches: &mut Batches,
        size: Option<u64>,
        connect: &mut Connect,
        mut signals: Signals,
        out: &mut Output,
    ) -> Result {
        let mut progress = Progress::new(out, "appending", size);
        // the store is opened with the first batch: till then another command may have it
        let mut log = None;
        let mut closed = false;
        loop {
            let next = tokio::select! {
                biased;
                exit = signals.first() => return Err(Failure::interrupted(exit)),
                next = batches.next() => next?,
            };
            let Some(batch) = next else { break };
            let lines = batch.lines;
            let log = match &mut log {
                Some(log) => log,
                none => none.insert(open(self.args, &self.named, connect).await?),
            };
            closed = batch.last && self.args.close;
            self.append(log, batch.entries, closed).await.map_err(|failure| {
                let (first, last) = lines;
                failure.and(format_args!("Of lines {first} to {last} nothing was appended.")).with("lines", json!([first, last]))
            })?;
            progress.at(batch.read);
        }
        if self.args.close && !closed {
            let log = match log {
                Some(log) => log,
                None => open(self.args, &self.named, connect).await?,
            };
            self.append(&log, Vec::new(), true).await?;
        }
        Ok(())
    }

    async fn append(&mut self, log: &Arc<dyn AppendLog>, entries: Vec<Data>, close: bool) -> Result {
        self.batch += 1;
        if self.args.key.is_some() && self.batch > MAX_KEYED_BATCHES {
            return Err(Failure::usage(format!(
                "with --key an import has at most {} batches; go on with the rest under another key",
                count(MAX_KEYED_BATCHES)
            )));
        }
        let options = AppendOptions {
            expected_head: self.expected_head,
            idempotency_key: self.args.key.as_ref().map(|key| format!("{key}#{}", self.batch)),
            close,
        };
        self.done.append(&**log, &self.named, entries, options).await?;
        // with --if-head, nobody else's entries may lie between ours
        self.expected_head = self.expected_head.and(self.done.head.map(Cursor::from));
        Ok(())
    }

    /// The failure, with how far the import had come.
    fn so_far(&self, failure: Failure) -> Failure {
        let Some(head) = self.done.head.filter(|_| self.done.entries > 0) else {
            return failure.with("entries", 0.into());
        };
        let entries = plural(self.done.entries, "entry", "entries");
        failure
            .and(format_args!(
                "Before that, {entries} {} appended; the last one is {head}.",
                if self.done.entries == 1 { "was" } else { "were" }
            ))
            .with("entries", self.done.entries.into())
            .with("cursor", json!(head))
    }
}
