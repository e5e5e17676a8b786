//! Compaction: entries go from the old end, seqs go on.

use folio::{Cursor, Gap, GapReason, LogName, Position, Start, Truncated};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::make::{append, data, log_name, numbers, read_all, refused, seqs};
use crate::wait::{caught_up, entries_up_to, next_entry, next_event};

cases! { "truncate":
    it_removes_up_to_the_seq_and_says_how_many,
    it_is_clamped_to_the_head,
    it_never_goes_back,
    seqs_go_on_after_everything_was_removed,
    what_stays_is_untouched,
    a_log_without_entries_has_nothing_to_remove,
    a_reader_at_the_head_does_not_notice,
    a_reader_that_is_behind_gets_a_gap,
    a_closed_log_can_be_compacted,
    a_log_that_is_not_there_cannot_be_compacted,
    the_lineage_and_head_stay,
    it_survives_reopening [Reopen],
    seqs_go_on_after_everything_was_removed_and_reopened [Reopen],
}

async fn it_removes_up_to_the_seq_and_says_how_many(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=6)).await?;
    assert_eq!(log.truncate(2).await?, Truncated { removed: 2, horizon: 2 });
    assert_eq!(seqs(&read_all(&log).await?), [3, 4, 5, 6]);
    // also in the middle of a unit, and one at a time
    assert_eq!(log.truncate(3).await?, Truncated { removed: 1, horizon: 3 });
    let status = log.status().await?;
    assert_eq!((status.horizon, status.entries(), status.head.seq), (3, 3, 6));
    Ok(())
}

async fn it_is_clamped_to_the_head(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=6)).await?;
    assert_eq!(log.truncate(1_000).await?, Truncated { removed: 6, horizon: 6 });
    assert_eq!(log.truncate(1_000).await?, Truncated { removed: 0, horizon: 6 });
    Ok(())
}

async fn it_never_goes_back(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=6)).await?;
    assert_eq!(log.truncate(0).await?, Truncated { removed: 0, horizon: 0 });
    log.truncate(4).await?;
    for lower in [0, 1, 4] {
        assert_eq!(log.truncate(lower).await?, Truncated { removed: 0, horizon: 4 });
    }
    assert_eq!(seqs(&read_all(&log).await?), [5, 6]);
    Ok(())
}

async fn seqs_go_on_after_everything_was_removed(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let mut head = append(&log, numbers(1..=6)).await?.cursor;
    for n in 7..=9 {
        log.truncate(head.seq).await?;
        assert_eq!(log.status().await?.head, head, "an emptied log keeps its head");
        let next = append(&log, numbers([n])).await?;
        assert_eq!((next.first, next.cursor), (n, Position { seq: n, ..head }));
        head = next.cursor;
        assert_eq!(data(&read_all(&log).await?), numbers([n]));
    }
    Ok(())
}

async fn what_stays_is_untouched(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    for n in 1..=10 {
        append(&log, numbers([n, n])).await?;
    }
    let before = read_all(&log).await?;
    log.truncate(7).await?;
    assert_eq!(Some(&read_all(&log).await?[..]), before.get(7..));
    Ok(())
}

async fn a_log_without_entries_has_nothing_to_remove(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    assert_eq!(log.truncate(5).await?, Truncated { removed: 0, horizon: 0 });
    assert_eq!(append(&log, numbers([1])).await?.first, 1);
    Ok(())
}

async fn a_reader_at_the_head_does_not_notice(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=6)).await?;
    let mut stream = log.subscribe(Start::Now).await?;
    caught_up(&mut stream).await?;
    for n in 7..=12 {
        log.truncate(n - 1).await?;
        append(&log, numbers([n])).await?;
        assert_eq!(next_entry(&mut stream, "the next entry, without a gap").await?.0.seq, n);
    }
    Ok(())
}

async fn a_reader_that_is_behind_gets_a_gap(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let head = append(&log, numbers(1..=6)).await?.cursor;
    let mut stream = log.subscribe(Start::After(Cursor::bare(2))).await?;
    log.truncate(5).await?;
    // what was on its way before may still come; then the gap tells the rest
    let mut seen = 2;
    loop {
        match next_event(&mut stream, "entries, or the gap").await? {
            folio::LogEvent::Entry { entry, .. } => {
                assert_eq!(entry.seq, seen + 1);
                seen = entry.seq;
            }
            folio::LogEvent::Gap(gap) => {
                let requested = if seen == 2 { Cursor::bare(2) } else { Position { seq: seen, ..head }.into() };
                let resumes_after = Position { seq: 5, ..head };
                assert_eq!(gap, Gap { reason: GapReason::Truncated, requested, lost: Some(5 - seen), resumes_after });
                seen = 5;
            }
            folio::LogEvent::CaughtUp { head: reached } => {
                assert_eq!((seen, reached), (6, head));
                return Ok(());
            }
            other => crate::fail!("{other:?} came while catching up"),
        }
    }
}

async fn a_closed_log_can_be_compacted(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=6)).await?;
    log.close().await?;
    assert_eq!(log.truncate(4).await?, Truncated { removed: 4, horizon: 4 });
    assert!(log.status().await?.closed);
    assert_eq!(seqs(&read_all(&log).await?), [5, 6]);
    Ok(())
}

async fn a_log_that_is_not_there_cannot_be_compacted(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    refused(project.log(&log_name("runs/1")).truncate(3).await, "no_log")?;
    assert_eq!(project.list_logs(None, 10).await?.logs, [LogName::history()]);
    Ok(())
}

async fn the_lineage_and_head_stay(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=6)).await?;
    let before = log.status().await?;
    for up_to in [3, 6] {
        log.truncate(up_to).await?;
        let after = log.status().await?;
        assert_eq!((after.head, &after.lineage, after.closed), (before.head, &before.lineage, false));
    }
    Ok(())
}

async fn it_survives_reopening(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let log = project.log(&LogName::history());
    append(&log, numbers(1..=6)).await?;
    log.truncate(4).await?;
    let (before, entries) = (log.status().await?, read_all(&log).await?);
    ctx.reopen().await?;
    let log = ctx.again(&project).log(&LogName::history());
    let after = log.status().await?;
    assert_eq!((after.head, after.horizon, after.lineage), (before.head, 4, before.lineage));
    assert_eq!(read_all(&log).await?, entries);
    Ok(())
}

async fn seqs_go_on_after_everything_was_removed_and_reopened(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let log = project.log(&LogName::history());
    let head = append(&log, numbers(1..=6)).await?.cursor;
    log.truncate(6).await?;
    ctx.reopen().await?;
    let log = ctx.again(&project).log(&LogName::history());
    let status = log.status().await?;
    assert_eq!((status.head, status.horizon), (head, 6));
    let mut stream = log.subscribe(Start::After(head.into())).await?;
    assert_eq!(append(&log, numbers([7])).await?.cursor, Position { seq: 7, ..head });
    assert_eq!(seqs(&entries_up_to(&mut stream, 7).await?), [7], "no gap: nothing was missed");
    Ok(())
}
