//! `folio log read`: pages of entries, one after the other.

use clap::Args;
use folio::{AppendLog, Cursor, Order, Page, ReadOptions, Seq};

use crate::connect::Connect;
use crate::failure::Result;
use crate::log::{Which, show};
use crate::output::Output;

/// Entries asked for at once.
const PAGE: u64 = 1_000;

/// A read.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  folio log read demo                              # all of it, oldest first
  folio log read demo --desc --limit 5             # the newest five, newest first
  folio log read demo --since 40 --before 51       # seqs 41 to 50
  folio log read demo --json | jq .data            # {\"seq\":…,\"ts\":…,\"cursor\":…,\"data\":…} a line

Entries that are missing are told: on stderr, or with --json as a line {\"gap\":…}.")]
pub(crate) struct Read {
    #[command(flatten)]
    which: Which,
    /// Only entries after this cursor: <epoch>-<seq>, or a bare seq
    #[arg(long, value_name = "CURSOR")]
    since: Option<String>,
    /// Only entries before this seq
    #[arg(long, value_name = "SEQ")]
    before: Option<Seq>,
    /// At most so many entries
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Newest first
    #[arg(long)]
    desc: bool,
}

/// Runs the command.
pub(crate) async fn run(args: &Read, connect: &mut Connect, out: &mut Output) -> Result {
    let named = args.which.parse()?;
    let order = if args.desc { Order::Desc } else { Order::Asc };
    let options =
        ReadOptions { since: show::cursor(args.since.as_deref())?, before: args.before, order, ..ReadOptions::default() };
    let log = named.open(&*connect.open().await?);
    let some = pages(&*log, options, args.limit.unwrap_or(u64::MAX), out).await?;
    if some { Ok(()) } else { out.hint(format_args!("No entries in {}.", named.what())) }
}

/// Prints what the options ask for, at most `left` entries, up to the head as it was at the beginning. True if there
/// was any.
pub(crate) async fn pages(log: &dyn AppendLog, mut options: ReadOptions, mut left: u64, out: &mut Output) -> Result<bool> {
    let mut some = false;
    let mut until = None;
    while left > 0 {
        // at most PAGE, so it fits
        options.limit = left.min(PAGE) as usize;
        let page = log.read(options.clone()).await?;
        if let Some(gap) = &page.gap {
            show::gap(gap, out)?;
        }
        for entry in &page.entries {
            show::entry(entry, show::position(&page.lineage, entry.seq), out)?;
        }
        out.flush()?;
        some |= !page.entries.is_empty();
        left = left.saturating_sub(page.entries.len() as u64);
        let until = *until.get_or_insert(page.head.seq);
        if !go_on(&page, until, &mut options) {
            break;
        }
    }
    Ok(some)
}

/// Sets the options for the next page; false where there is none.
fn go_on(page: &Page, until: Seq, options: &mut ReadOptions) -> bool {
    if options.order == Order::Desc {
        options.before = page.next_before;
        return page.next_before.is_some();
    }
    let Some(next) = page.next else { return false };
    options.since = Some(Cursor::from(next));
    let empty = page.entries.is_empty() && page.gap.is_none();
    let end = options.before.map_or(until, |before| until.min(before.saturating_sub(1)));
    !empty && next.seq < end
}
