//! Times of entries: taken from the clock, and never falling.

use std::sync::Arc;

use folio::{AppendLog, LogName};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::{Failure, Outcome};
use crate::make::{append, numbers, read_all};

cases! { "time":
    an_entry_has_the_time_of_its_append [Clock],
    ts_never_falls_when_the_clock_does [Clock],
    ts_never_falls_when_the_clock_does_after_compaction [Clock],
    ts_never_falls_when_the_clock_does_while_closed [Clock, Reopen],
    ts_never_falls_after_everything_was_removed_and_reopened [Clock, Reopen],
    positions_do_not_care_when_the_clock_falls [Clock],
}

const NOON: u64 = 1_763_900_000_000;

async fn append_and_tell_ts(log: &Arc<dyn AppendLog>) -> Outcome<u64> {
    append(log, numbers([1])).await?;
    let newest = log.read(folio::ReadOptions { order: folio::Order::Desc, limit: 1, ..Default::default() }).await?;
    newest.entries.first().map(|entry| entry.ts).ok_or_else(|| Failure::new("the entry just appended is not there"))
}

async fn an_entry_has_the_time_of_its_append(ctx: Ctx) -> Outcome {
    let (log, clock) = (ctx.history().await?, ctx.clock()?);
    for now in [NOON, NOON + 1, NOON + 1, NOON + 86_400_000] {
        clock.set(now);
        assert_eq!(append_and_tell_ts(&log).await?, now);
    }
    clock.set(NOON + 90_000_000);
    append(&log, numbers(1..=3)).await?;
    let times: Vec<u64> = read_all(&log).await?.iter().skip(4).map(|entry| entry.ts).collect();
    assert_eq!(times, [NOON + 90_000_000; 3]);
    Ok(())
}

async fn ts_never_falls_when_the_clock_does(ctx: Ctx) -> Outcome {
    let (log, clock) = (ctx.history().await?, ctx.clock()?);
    let mut told = Vec::new();
    for now in [NOON + 5_000, NOON, 0, NOON + 4_999, NOON + 6_000] {
        clock.set(now);
        told.push(append_and_tell_ts(&log).await? - NOON);
    }
    assert_eq!(told, [5_000, 5_000, 5_000, 5_000, 6_000]);
    Ok(())
}

async fn ts_never_falls_when_the_clock_does_after_compaction(ctx: Ctx) -> Outcome {
    let (log, clock) = (ctx.history().await?, ctx.clock()?);
    clock.set(NOON);
    append(&log, numbers([1])).await?;
    log.truncate(1).await?;
    clock.set(NOON - 1_000);
    assert_eq!(append_and_tell_ts(&log).await?, NOON);
    Ok(())
}

async fn ts_never_falls_when_the_clock_does_while_closed(ctx: Ctx) -> Outcome {
    let (project, clock) = (ctx.project().await?, ctx.clock()?);
    clock.set(NOON);
    append(&project.log(&LogName::history()), numbers([1])).await?;
    clock.set(NOON - 1_000);
    ctx.reopen().await?;
    assert_eq!(append_and_tell_ts(&ctx.again(&project).log(&LogName::history())).await?, NOON);
    Ok(())
}

async fn ts_never_falls_after_everything_was_removed_and_reopened(ctx: Ctx) -> Outcome {
    let (project, clock) = (ctx.project().await?, ctx.clock()?);
    let log = project.log(&LogName::history());
    clock.set(NOON);
    append(&log, numbers(1..=3)).await?;
    log.truncate(3).await?;
    clock.set(NOON - 1_000);
    ctx.reopen().await?;
    assert_eq!(append_and_tell_ts(&ctx.again(&project).log(&LogName::history())).await?, NOON);
    Ok(())
}

async fn positions_do_not_care_when_the_clock_falls(ctx: Ctx) -> Outcome {
    let (project, clock) = (ctx.project().await?, ctx.clock()?);
    clock.set(NOON);
    let name = crate::make::log_name("runs/1");
    let log = project.log(&name);
    let before = append(&log, numbers([1])).await?.cursor;
    log.delete().await?;
    clock.set(NOON - 86_400_000);
    let after = append(&log, numbers([1])).await?.cursor;
    assert!(after.epoch > before.epoch, "the next life {after} must lie above the one before, {before}");
    Ok(())
}
