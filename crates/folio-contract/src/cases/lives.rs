//! Following a log over the ends of its lives: missing, deleted, made again, with its project or alone.

use folio::{Cursor, GapReason, LogName, Position, ProjectExt, Start};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::make::{append, data, log_name, numbers, read_all, refused, seqs};
use crate::wait::{caught_up, deleted, entries_up_to, next_entry, next_gap};

cases! { "lives":
    a_log_that_is_not_there_is_waited_for,
    a_cursor_into_a_log_that_is_not_there_is_a_gap,
    a_deleted_log_is_told_and_its_next_life_followed,
    several_lives_are_followed,
    a_deleted_log_that_comes_back_is_told_to_who_was_behind,
    a_deleted_project_is_told_and_its_next_life_followed,
    a_deleted_log_begins_anew,
    deleting_what_is_not_there_is_fine,
    the_history_goes_only_with_its_project,
    a_deleted_log_is_not_there,
    a_deleted_log_stays_deleted_over_reopening [Reopen],
    a_new_life_lies_above_the_last_over_reopening [Reopen],
}

async fn a_log_that_is_not_there_is_waited_for(ctx: Ctx) -> Outcome {
    let log = ctx.project().await?.log(&log_name("runs/1"));
    let mut streams = [
        log.subscribe(Start::Now).await?,
        log.subscribe(Start::After(Cursor::START)).await?,
        log.subscribe(Start::After(Position::START.into())).await?,
    ];
    for stream in &mut streams {
        assert_eq!(caught_up(stream).await?, Position::START);
    }
    refused(log.status().await, "no_log")?;
    append(&log, numbers(1..=3)).await?;
    for stream in &mut streams {
        assert_eq!(seqs(&entries_up_to(stream, 3).await?), [1, 2, 3]);
    }
    Ok(())
}

async fn a_cursor_into_a_log_that_is_not_there_is_a_gap(ctx: Ctx) -> Outcome {
    let log = ctx.project().await?.log(&log_name("runs/1"));
    let stranger = Position { epoch: 7, seq: 3 };
    for (cursor, reason) in [(Cursor::bare(3), GapReason::Ahead), (stranger.into(), GapReason::Epoch)] {
        let mut stream = log.subscribe(Start::After(cursor)).await?;
        let gap = next_gap(&mut stream, format!("the gap after {cursor}")).await?;
        assert_eq!((gap.reason, gap.requested, gap.resumes_after), (reason, cursor, Position::START));
        assert_eq!(caught_up(&mut stream).await?, Position::START);
    }
    Ok(())
}

async fn a_deleted_log_is_told_and_its_next_life_followed(ctx: Ctx) -> Outcome {
    let log = ctx.project().await?.log(&log_name("runs/1"));
    let old = append(&log, numbers(1..=3)).await?.cursor;
    let mut streams = [log.subscribe(Start::Now).await?, log.subscribe(Start::After(old.into())).await?];
    for stream in &mut streams {
        caught_up(stream).await?;
    }
    log.delete().await?;
    for stream in &mut streams {
        deleted(stream).await?;
    }
    let new = append(&log, numbers(7..=8)).await?.cursor;
    for stream in &mut streams {
        let (entry, position) = next_entry(stream, "the first entry of the next life").await?;
        assert_eq!((entry.seq, position), (1, Position { seq: 1, ..new }));
        assert_eq!(data(&entries_up_to(stream, 2).await?), numbers([8]));
    }
    Ok(())
}

async fn several_lives_are_followed(ctx: Ctx) -> Outcome {
    let log = ctx.project().await?.log(&log_name("runs/1"));
    let mut stream = log.subscribe(Start::Now).await?;
    caught_up(&mut stream).await?;
    for life in 1..=5 {
        append(&log, numbers([life * 10, life * 10 + 1])).await?;
        assert_eq!(data(&entries_up_to(&mut stream, 2).await?), numbers([life * 10, life * 10 + 1]));
        log.delete().await?;
        deleted(&mut stream).await?;
    }
    Ok(())
}

async fn a_deleted_log_that_comes_back_is_told_to_who_was_behind(ctx: Ctx) -> Outcome {
    let log = ctx.project().await?.log(&log_name("runs/1"));
    append(&log, numbers(1..=3)).await?;
    let mut stream = log.subscribe(Start::Now).await?;
    caught_up(&mut stream).await?;
    // the next life is there, and longer than the last one, before the stream is looked at
    log.delete().await?;
    let new = append(&log, numbers(1..=9)).await?.cursor;
    deleted(&mut stream).await?;
    let (entry, position) = next_entry(&mut stream, "the first entry of the next life").await?;
    assert_eq!((entry.seq, position), (1, Position { seq: 1, ..new }));
    assert_eq!(seqs(&entries_up_to(&mut stream, 9).await?), (2..=9).collect::<Vec<_>>());
    Ok(())
}

async fn a_deleted_project_is_told_and_its_next_life_followed(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (history, named) = (project.history(), project.log(&log_name("runs/1")));
    let old = append(&history, numbers(1..=3)).await?.cursor;
    append(&named, numbers(1..=3)).await?;
    let mut streams = [history.subscribe(Start::Now).await?, named.subscribe(Start::Now).await?];
    for stream in &mut streams {
        caught_up(stream).await?;
    }
    let driver = ctx.driver();
    assert!(driver.delete_project(project.id()).await?);
    for stream in &mut streams {
        deleted(stream).await?;
    }
    refused(history.subscribe(Start::Now).await.map(|_| ()), "no_project")?;
    assert!(driver.create_project(project.id()).await?);
    let new = append(&history, numbers([7])).await?.cursor;
    append(&named, numbers([8])).await?;
    let [of_history, of_named] = &mut streams;
    let (entry, position) = next_entry(of_history, "the first entry of the next history").await?;
    assert_eq!((entry.seq, data(&[entry]), position), (1, numbers([7]), new));
    assert!(new.epoch > old.epoch, "{new} must lie above {old}");
    assert_eq!(data(&[next_entry(of_named, "the first entry of the next log").await?.0]), numbers([8]));
    Ok(())
}

async fn a_deleted_log_begins_anew(ctx: Ctx) -> Outcome {
    let log = ctx.project().await?.log(&log_name("runs/1"));
    append(&log, numbers(1..=5)).await?;
    log.truncate(2).await?;
    log.close().await?;
    log.delete().await?;
    let unit = append(&log, numbers(1..=2)).await?;
    assert_eq!((unit.first, unit.last), (1, 2));
    let status = log.status().await?;
    assert_eq!((status.closed, status.horizon), (false, 0));
    assert_eq!(seqs(&read_all(&log).await?), [1, 2]);
    Ok(())
}

async fn deleting_what_is_not_there_is_fine(ctx: Ctx) -> Outcome {
    let log = ctx.project().await?.log(&log_name("runs/1"));
    log.delete().await?;
    append(&log, numbers([1])).await?;
    log.delete().await?;
    log.delete().await?;
    Ok(())
}

async fn the_history_goes_only_with_its_project(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    append(&project.history(), numbers(1..=3)).await?;
    refused(project.history().delete().await, "invalid")?;
    assert_eq!(project.history().status().await?.head.seq, 3);
    ctx.driver().delete_project(project.id()).await?;
    ctx.driver().create_project(project.id()).await?;
    assert_eq!(project.history().status().await?.head, Position::START);
    Ok(())
}

async fn a_deleted_log_is_not_there(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let log = project.log(&log_name("runs/1"));
    append(&log, numbers(1..=3)).await?;
    log.delete().await?;
    refused(log.status().await, "no_log")?;
    refused(log.read(folio::ReadOptions::default()).await, "no_log")?;
    assert_eq!(project.list_logs(None, 10).await?.logs, [LogName::history()]);
    Ok(())
}

async fn a_deleted_log_stays_deleted_over_reopening(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let log = project.log(&log_name("runs/1"));
    append(&log, numbers(1..=3)).await?;
    log.delete().await?;
    ctx.reopen().await?;
    let project = ctx.again(&project);
    refused(project.log(&log_name("runs/1")).status().await, "no_log")?;
    assert_eq!(project.list_logs(None, 10).await?.logs, [LogName::history()]);
    Ok(())
}

async fn a_new_life_lies_above_the_last_over_reopening(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let log = project.log(&log_name("runs/1"));
    let old = append(&log, numbers(1..=3)).await?.cursor;
    log.delete().await?;
    ctx.reopen().await?;
    let log = ctx.again(&project).log(&log_name("runs/1"));
    let new = append(&log, numbers(1..=5)).await?.cursor;
    assert!(new.epoch > old.epoch, "{new} must lie above {old}");
    let mut stream = log.subscribe(Start::After(old.into())).await?;
    let gap = next_gap(&mut stream, "the gap of a cursor from the life before").await?;
    assert_eq!((gap.reason, gap.resumes_after), (GapReason::Epoch, Position::START));
    assert_eq!(seqs(&entries_up_to(&mut stream, 5).await?), [1, 2, 3, 4, 5]);
    Ok(())
}
