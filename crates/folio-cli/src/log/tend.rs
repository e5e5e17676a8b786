//! Tending logs: truncate, status, list, close, delete, fork.

use clap::Args;
use folio::{LogName, LogStatus, Piece, ProjectId, Seq};
use serde_json::{Value, json};

use crate::connect::Connect;
use crate::failure::Result;
use crate::log::Which;
use crate::output::Output;
use crate::progress::spin;
use crate::style::{DIM, GOOD, NAME};
use crate::text::{self, plural, visible};

/// Logs asked for at once.
const PAGE: usize = 1_000;

/// A compaction.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  folio log truncate demo 1000         # remove entries 1 to 1000
  folio log truncate demo --keep 500   # remove all but the newest 500

Seqs go on as before. A reader that had not seen a removed entry is told of the gap.")]
pub(crate) struct Truncate {
    #[command(flatten)]
    which: Which,
    /// Remove the entries up to and including this seq
    #[arg(value_name = "SEQ", required_unless_present = "keep", conflicts_with = "keep")]
    up_to: Option<Seq>,
    /// Keep so many of the newest entries and remove the rest
    #[arg(long, value_name = "COUNT")]
    keep: Option<u64>,
}

/// A list.
#[derive(Args, Debug)]
pub(crate) struct List {
    /// Id of the project
    project: String,
}

/// A delete.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  folio log delete demo --log runs/42\n\nThe history goes only with its project.")]
pub(crate) struct Delete {
    /// Id of the project
    project: String,
    /// Name of the log
    #[arg(long, value_name = "NAME")]
    log: String,
}

/// A fork.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  folio log fork demo what-if                        # the history up to its head, as the log what-if
  folio log fork demo --log runs/42 runs/43 --at 17  # runs/43 begins with entries 1 to 17 of runs/42")]
pub(crate) struct Fork {
    #[command(flatten)]
    which: Which,
    /// Name of the new log
    new: String,
    /// The last entry that it inherits; the newest one unless given
    #[arg(long, value_name = "SEQ")]
    at: Option<Seq>,
}

/// `folio log truncate`.
pub(crate) async fn truncate(args: &Truncate, connect: &mut Connect, out: &mut Output) -> Result {
    let named = args.which.parse()?;
    let log = named.open(&*connect.open().await?);
    let up_to = match (args.up_to, args.keep) {
        (_, Some(keep)) => log.status().await?.head.seq.saturating_sub(keep),
        (up_to, None) => up_to.unwrap_or(0),
    };
    let done = spin(out, "compacting", log.truncate(up_to)).await?;
    let removed = plural(done.removed, "entry", "entries");
    let text = format!("{GOOD}Removed{GOOD:#} {removed} from {}; the horizon is {}.", named.what(), done.horizon);
    out.answer(|| json!({ "removed": done.removed, "horizon": done.horizon }), text)
}

/// `folio log status`.
pub(crate) async fn status(which: &Which, connect: &mut Connect, out: &mut Output) -> Result {
    let named = which.parse()?;
    let status = named.open(&*connect.open().await?).status().await?;
    if out.is_json() {
        return out.line(status_json(&status));
    }
    let entries = match status.entries() {
        0 => "none".to_owned(),
        count => format!("{} (seq {} to {})", text::count(count), status.horizon + 1, status.head.seq),
    };
    let rows = [
        ("log", visible(named.log.as_str()).into_owned()),
        ("project", named.project.to_string()),
        ("head", format!("{NAME}{}{NAME:#}", status.head)),
        ("entries", entries),
        ("horizon", if status.horizon == 0 { "0 (nothing removed)".to_owned() } else { status.horizon.to_string() }),
        ("closed", if status.closed { "yes".to_owned() } else { "no".to_owned() }),
        ("size", text::size(status.bytes)),
        ("lineage", lives(&status.lineage)),
    ];
    rows.iter().try_for_each(|(name, value)| out.line(format_args!("{DIM}{name:<8}{DIM:#} {value}")))
}

/// The lives that have entries, and the newest.
fn lives(lineage: &[Piece]) -> String {
    let before = std::iter::once(0).chain(lineage.iter().map(|piece| piece.last));
    let told =
        lineage.iter().zip(before).enumerate().filter(|(i, (piece, before))| piece.last > *before || i + 1 == lineage.len());
    let words: Vec<String> = told.map(|(_, (piece, _))| format!("epoch {} to seq {}", piece.epoch, piece.last)).collect();
    words.join(", then ")
}

/// As HTTP answers it.
fn status_json(status: &LogStatus) -> Value {
    let lineage: Vec<[u64; 2]> = status.lineage.iter().map(|piece| [piece.epoch, piece.last]).collect();
    json!({
        "head": status.head,
        "horizon": status.horizon,
        "first": status.horizon + 1,
        "lineage": lineage,
        "closed": status.closed,
        "bytes": status.bytes,
        "entries": status.entries(),
    })
}

/// `folio log list`.
pub(crate) async fn list(args: &List, connect: &mut Connect, out: &mut Output) -> Result {
    let project = connect_project(&args.project, connect).await?;
    let mut after = None;
    loop {
        let page = project.list_logs(after.as_ref(), PAGE).await?;
        for name in &page.logs {
            out.answer(|| json!({ "name": name }), format_args!("{NAME}{}{NAME:#}", visible(name.as_str())))?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn connect_project(id: &str, connect: &mut Connect) -> Result<std::sync::Arc<dyn folio::Project>> {
    let id = ProjectId::new(id)?;
    Ok(connect.open().await?.project(&id))
}

/// `folio log close`.
pub(crate) async fn close(which: &Which, connect: &mut Connect, out: &mut Output) -> Result {
    let named = which.parse()?;
    let head = named.open(&*connect.open().await?).close().await?;
    let text = format!("{GOOD}Closed{GOOD:#} {} at {head}.", named.what());
    out.answer(|| json!({ "head": head, "closed": true }), text)
}

/// `folio log delete`.
pub(crate) async fn delete(args: &Delete, connect: &mut Connect, out: &mut Output) -> Result {
    let which = Which { project: args.project.clone(), log: args.log.clone() };
    let named = which.parse()?;
    named.open(&*connect.open().await?).delete().await?;
    let text = format!("{GOOD}Deleted{GOOD:#} {}, or there was none.", named.what());
    out.answer(|| json!({ "name": named.log, "deleted": true }), text)
}

/// `folio log fork`.
pub(crate) async fn fork(args: &Fork, connect: &mut Connect, out: &mut Output) -> Result {
    let named = args.which.parse()?;
    let new = LogName::new(&args.new)?;
    let log = named.open(&*connect.open().await?);
    let at = match args.at {
        Some(at) => at,
        None => log.status().await?.head.seq,
    };
    spin(out, "forking", log.fork(at, &new)).await?;
    let text = format!("{GOOD}Forked{GOOD:#} {} at {at} as the log {}.", named.what(), visible(new.as_str()));
    out.answer(|| json!({ "name": new, "source": named.log, "at": at }), text)
}
