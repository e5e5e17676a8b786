//! Cursors that can't be met are told as gaps, by reads and subscriptions alike.

use std::sync::Arc;

use folio::{AppendLog, Cursor, Gap, GapReason, Order, Position, ReadOptions, Seq, Start};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::make::{append, log_name, numbers, read_all, seqs, since};
use crate::wait::{caught_up, entries_up_to, next_gap};

cases! { "gap":
    a_compacted_cursor_tells_what_is_lost,
    a_cursor_at_the_horizon_has_no_gap,
    a_cursor_beyond_the_head_is_ahead,
    an_unknown_epoch_resumes_after_the_horizon,
    epoch_0_of_a_log_that_folio_began_has_no_entries,
    an_ended_epoch_resumes_after_its_end,
    a_reason_stands_where_the_place_was_compacted_too,
    every_position_is_a_good_cursor,
    the_start_has_no_gap_in_a_whole_log,
    an_emptied_log_tells_all_as_lost,
    a_cursor_of_an_earlier_life_is_told,
    a_read_without_since_has_no_gap,
    descending_a_gap_comes_last,
}

/// What both doors must answer for a cursor: the gap, then the entries after `after`.
async fn both_doors(log: &Arc<dyn AppendLog>, cursor: Cursor, gap: Option<Gap>, after: Seq) -> Outcome {
    let head = log.status().await?.head;
    let page = log.read(since(cursor)).await?;
    assert_eq!(page.gap, gap, "read since {cursor}");
    assert_eq!(seqs(&page.entries), (after + 1..=head.seq).collect::<Vec<_>>(), "read since {cursor}");
    assert_eq!(page.next, Some(head), "read since {cursor}: next");

    let mut stream = log.subscribe(Start::After(cursor)).await?;
    if let Some(gap) = gap {
        assert_eq!(next_gap(&mut stream, format!("the gap after {cursor}")).await?, gap, "subscribe after {cursor}");
    }
    if after < head.seq {
        let entries = entries_up_to(&mut stream, head.seq).await?;
        assert_eq!(entries, page.entries, "subscribe after {cursor}");
    }
    assert_eq!(caught_up(&mut stream).await?, head, "subscribe after {cursor}");
    Ok(())
}

fn gap(reason: GapReason, requested: impl Into<Cursor>, lost: Option<u64>, resumes_after: Position) -> Option<Gap> {
    Some(Gap { reason, requested: requested.into(), lost, resumes_after })
}

async fn a_compacted_cursor_tells_what_is_lost(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let head = append(&log, numbers(1..=6)).await?.cursor;
    log.truncate(4).await?;
    let at = |seq| Position { seq, ..head };
    for seq in 1..4 {
        for cursor in [Cursor::bare(seq), at(seq).into()] {
            both_doors(&log, cursor, gap(GapReason::Truncated, cursor, Some(4 - seq), at(4)), 4).await?;
        }
    }
    for start in [Cursor::START, Position::START.into()] {
        both_doors(&log, start, gap(GapReason::Truncated, start, Some(4), at(4)), 4).await?;
    }
    Ok(())
}

async fn a_cursor_at_the_horizon_has_no_gap(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let head = append(&log, numbers(1..=6)).await?.cursor;
    log.truncate(4).await?;
    for seq in 4..=6 {
        both_doors(&log, Cursor::bare(seq), None, seq).await?;
        both_doors(&log, Position { seq, ..head }.into(), None, seq).await?;
    }
    Ok(())
}

async fn a_cursor_beyond_the_head_is_ahead(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let empty = Cursor::bare(3);
    both_doors(&log, empty, gap(GapReason::Ahead, empty, None, Position::START), 0).await?;
    let head = append(&log, numbers(1..=3)).await?.cursor;
    for seq in [4, 1_000] {
        for cursor in [Cursor::bare(seq), Position { seq, ..head }.into()] {
            both_doors(&log, cursor, gap(GapReason::Ahead, cursor, None, head), 3).await?;
        }
    }
    Ok(())
}

async fn an_unknown_epoch_resumes_after_the_horizon(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let head = append(&log, numbers(1..=6)).await?.cursor;
    for seq in [1, 3, 6, 9] {
        let stranger = Position { epoch: head.epoch + 7, seq };
        both_doors(&log, stranger.into(), gap(GapReason::Epoch, stranger, None, Position::START), 0).await?;
    }
    log.truncate(2).await?;
    for seq in [1, 3, 6, 9] {
        let stranger = Position { epoch: head.epoch + 7, seq };
        both_doors(&log, stranger.into(), gap(GapReason::Epoch, stranger, None, Position { seq: 2, ..head }), 2).await?;
    }
    Ok(())
}

async fn epoch_0_of_a_log_that_folio_began_has_no_entries(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=3)).await?;
    let adopted = Position { epoch: 0, seq: 2 };
    both_doors(&log, adopted.into(), gap(GapReason::Epoch, adopted, None, Position::START), 0).await
}

async fn an_ended_epoch_resumes_after_its_end(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (source, fork) = (project.log(&log_name("source")), project.log(&log_name("fork")));
    let old = append(&source, numbers(1..=6)).await?.cursor;
    source.fork(4, &log_name("fork")).await?;
    let new = append(&fork, numbers(5..=8)).await?.cursor;
    let end = Position { seq: 4, ..old };
    for seq in [5, 6, 9] {
        let beyond = Position { seq, ..old };
        both_doors(&fork, beyond.into(), gap(GapReason::Epoch, beyond, None, end), 4).await?;
    }
    for seq in 1..=4 {
        both_doors(&fork, Position { seq, ..old }.into(), None, seq).await?;
    }
    for seq in 5..=8 {
        both_doors(&fork, Position { seq, ..new }.into(), None, seq).await?;
        both_doors(&fork, Cursor::bare(seq), None, seq).await?;
    }
    let ahead = Position { seq: 9, ..new };
    both_doors(&fork, ahead.into(), gap(GapReason::Ahead, ahead, None, new), 8).await
}

async fn a_reason_stands_where_the_place_was_compacted_too(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (source, fork) = (project.log(&log_name("source")), project.log(&log_name("fork")));
    let old = append(&source, numbers(1..=6)).await?.cursor;
    source.fork(4, &log_name("fork")).await?;
    let new = append(&fork, numbers(5..=8)).await?.cursor;
    fork.truncate(6).await?;
    let beyond = Position { seq: 5, ..old };
    both_doors(&fork, beyond.into(), gap(GapReason::Epoch, beyond, None, Position { seq: 6, ..new }), 6).await
}

async fn every_position_is_a_good_cursor(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let mut told = vec![log.status().await?.head];
    for n in 1..=4 {
        told.push(append(&log, numbers([n])).await?.cursor);
    }
    let page = log.read(ReadOptions { limit: 2, ..ReadOptions::default() }).await?;
    told.extend(page.next);
    told.push(page.head);
    for position in told {
        both_doors(&log, position.into(), None, position.seq).await?;
    }
    Ok(())
}

async fn the_start_has_no_gap_in_a_whole_log(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    for start in [Cursor::START, Position::START.into()] {
        both_doors(&log, start, None, 0).await?;
        append(&log, numbers([1])).await?;
        both_doors(&log, start, None, 0).await?;
    }
    Ok(())
}

async fn an_emptied_log_tells_all_as_lost(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let head = append(&log, numbers(1..=6)).await?.cursor;
    log.truncate(6).await?;
    let start = Cursor::START;
    both_doors(&log, start, gap(GapReason::Truncated, start, Some(6), head), 6).await?;
    let middle = Position { seq: 5, ..head };
    both_doors(&log, middle.into(), gap(GapReason::Truncated, middle, Some(1), head), 6).await?;
    both_doors(&log, head.into(), None, 6).await
}

async fn a_cursor_of_an_earlier_life_is_told(ctx: Ctx) -> Outcome {
    let log = ctx.project().await?.log(&log_name("runs/1"));
    let old = append(&log, numbers(1..=3)).await?.cursor;
    log.delete().await?;
    let new = append(&log, numbers(4..=9)).await?.cursor;
    assert!(new.epoch > old.epoch, "epochs rise: {old}, then {new}");
    both_doors(&log, old.into(), gap(GapReason::Epoch, old, None, Position::START), 0).await?;
    // a bare seq is taken without a check of its life
    both_doors(&log, Cursor::bare(3), None, 3).await
}

async fn a_read_without_since_has_no_gap(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=6)).await?;
    log.truncate(4).await?;
    let page = log.read(ReadOptions::default()).await?;
    assert_eq!((page.gap, seqs(&page.entries), page.first), (None, vec![5, 6], 5), "first tells where it begins");
    assert_eq!(read_all(&log).await?.len(), 2);
    Ok(())
}

async fn descending_a_gap_comes_last(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let head = append(&log, numbers(1..=6)).await?.cursor;
    log.truncate(2).await?;
    let horizon = Position { seq: 2, ..head };
    let stranger = Position { epoch: head.epoch + 7, seq: 4 };
    let ahead = Position { seq: 9, ..head };
    let told = [
        (Cursor::bare(1), gap(GapReason::Truncated, Cursor::bare(1), Some(1), horizon), 4),
        (stranger.into(), gap(GapReason::Epoch, stranger, None, horizon), 4),
        (ahead.into(), gap(GapReason::Ahead, ahead, None, head), 0),
    ];
    for (cursor, gap, count) in told {
        for limit in [1, 2, 3, 4, 100] {
            let (mut seen, mut before, mut last) = (Vec::new(), None, None);
            for page in 0.. {
                let options = ReadOptions { since: Some(cursor), before, limit, order: Order::Desc, ..ReadOptions::default() };
                let read = log.read(options).await?;
                assert!(read.gap.is_none() || read.entries.is_empty(), "since {cursor}: a gap before entries: {read:?}");
                seen.extend(seqs(&read.entries));
                (before, last) = (read.next_before, read.gap);
                if before.is_none() {
                    break;
                }
                assert!(page < 9, "since {cursor}, limit {limit}: the pages do not end");
            }
            assert_eq!(seen, (3..=6).rev().take(count).collect::<Vec<_>>(), "since {cursor}, limit {limit}");
            assert_eq!(last, gap, "since {cursor}, limit {limit}");
        }
    }
    Ok(())
}
