//! Appending on the condition that the head is the expected one.

use folio::{AppendOutcome, Cursor, LogName, Position};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::make::{append, appended, expecting, log_name, numbers, read_all, refused};

cases! { "expected_head":
    a_position_is_met,
    a_bare_seq_is_met,
    an_empty_log_stands_at_0,
    a_log_that_is_not_there_stands_at_0,
    an_older_head_is_refused,
    a_head_to_come_is_refused,
    another_epoch_is_refused,
    a_refusal_writes_nothing,
    a_refusal_makes_no_log,
}

async fn a_position_is_met(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let head = append(&log, numbers(1..=3)).await?.cursor;
    assert_eq!(appended(log.append(numbers([4]), expecting(head)).await?)?.first, 4);
    Ok(())
}

async fn a_bare_seq_is_met(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=3)).await?;
    assert_eq!(appended(log.append(numbers([4]), expecting(Cursor::bare(3))).await?)?.first, 4);
    Ok(())
}

async fn an_empty_log_stands_at_0(ctx: Ctx) -> Outcome {
    for start in [Cursor::START, Position::START.into()] {
        let log = ctx.history().await?;
        assert_eq!(appended(log.append(numbers([1]), expecting(start)).await?)?.first, 1, "{start}");
        let outcome = log.append(numbers([2]), expecting(start)).await?;
        assert!(matches!(outcome, AppendOutcome::Precondition { .. }), "{start} is no longer the head: {outcome:?}");
    }
    Ok(())
}

async fn a_log_that_is_not_there_stands_at_0(ctx: Ctx) -> Outcome {
    let log = ctx.project().await?.log(&log_name("runs/1"));
    assert_eq!(appended(log.append(numbers([1]), expecting(Position::START)).await?)?.first, 1);
    Ok(())
}

async fn an_older_head_is_refused(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let old = append(&log, numbers(1..=3)).await?.cursor;
    let head = append(&log, numbers([4])).await?.cursor;
    for expected in [Cursor::from(old), Cursor::bare(3), Cursor::START] {
        let outcome = log.append(numbers([5]), expecting(expected)).await?;
        assert_eq!(outcome, AppendOutcome::Precondition { head }, "expecting {expected}");
    }
    Ok(())
}

async fn a_head_to_come_is_refused(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let head = append(&log, numbers(1..=3)).await?.cursor;
    for expected in [Cursor::bare(4), Position { seq: 4, ..head }.into()] {
        let outcome = log.append(numbers([5]), expecting(expected)).await?;
        assert_eq!(outcome, AppendOutcome::Precondition { head }, "expecting {expected}");
    }
    Ok(())
}

async fn another_epoch_is_refused(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let head = append(&log, numbers(1..=3)).await?.cursor;
    for epoch in [0, head.epoch - 1, head.epoch + 1] {
        let outcome = log.append(numbers([5]), expecting(Position { epoch, ..head })).await?;
        assert_eq!(outcome, AppendOutcome::Precondition { head }, "expecting epoch {epoch}");
    }
    Ok(())
}

async fn a_refusal_writes_nothing(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=3)).await?;
    let (before, status) = (read_all(&log).await?, log.status().await?);
    let options = folio::AppendOptions { close: true, ..expecting(Cursor::bare(2)) };
    let outcome = log.append(numbers(4..=9), options).await?;
    assert_eq!(outcome, AppendOutcome::Precondition { head: status.head });
    assert_eq!(log.status().await?, status, "not closed either");
    assert_eq!(read_all(&log).await?, before);
    Ok(())
}

async fn a_refusal_makes_no_log(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let log = project.log(&log_name("runs/1"));
    let outcome = log.append(numbers([1]), expecting(Cursor::bare(1))).await?;
    assert_eq!(outcome, AppendOutcome::Precondition { head: Position::START });
    refused(log.status().await, "no_log")?;
    assert_eq!(project.list_logs(None, 10).await?.logs, [LogName::history()]);
    Ok(())
}
