//! The end of a log.

use folio::{Cursor, Error, LogName, Start};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::make::{append, appended, closing, data, entry, expecting, log_name, numbers, read_all, refused};
use crate::wait::{caught_up, closed_and_ended, entries_up_to};

cases! { "close":
    a_closed_log_refuses_appends,
    closing_twice_is_fine,
    an_append_may_close,
    an_append_of_nothing_may_close,
    closed_comes_before_the_expected_head,
    a_closed_log_is_read_as_before,
    streams_end_after_the_last_entry,
    a_stream_of_a_closed_log_replays_and_ends,
    an_empty_log_can_be_closed,
    a_log_that_is_not_there_cannot_be_closed,
    a_closed_log_stays_closed_over_reopening [Reopen],
}

async fn a_closed_log_refuses_appends(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let head = append(&log, numbers(1..=3)).await?.cursor;
    assert_eq!(log.close().await?, head);
    let error = refused(log.append(numbers([4]), folio::AppendOptions::default()).await, "closed")?;
    assert_eq!(error, Error::Closed { log: LogName::HISTORY.into(), head });
    refused(log.append(numbers([4]), closing()).await, "closed")?;
    let status = log.status().await?;
    assert_eq!((status.head, status.closed), (head, true));
    assert_eq!(data(&read_all(&log).await?), numbers(1..=3));
    Ok(())
}

async fn closing_twice_is_fine(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let head = append(&log, numbers(1..=3)).await?.cursor;
    assert_eq!([log.close().await?, log.close().await?], [head, head]);
    Ok(())
}

async fn an_append_may_close(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=3)).await?;
    let unit = appended(log.append(numbers(4..=5), closing()).await?)?;
    assert_eq!((unit.first, unit.last), (4, 5));
    let status = log.status().await?;
    assert_eq!((status.closed, status.head), (true, unit.cursor));
    assert_eq!(data(&read_all(&log).await?), numbers(1..=5));
    Ok(())
}

async fn an_append_of_nothing_may_close(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let head = append(&log, numbers(1..=3)).await?.cursor;
    let nothing = appended(log.append(Vec::new(), closing()).await?)?;
    assert_eq!((nothing.first, nothing.last, nothing.cursor), (4, 3, head));
    let status = log.status().await?;
    assert_eq!((status.closed, status.head), (true, head));
    Ok(())
}

async fn closed_comes_before_the_expected_head(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=3)).await?;
    log.close().await?;
    refused(log.append(numbers([4]), expecting(Cursor::bare(1))).await, "closed")?;
    Ok(())
}

async fn a_closed_log_is_read_as_before(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=3)).await?;
    let before = log.read(folio::ReadOptions::default()).await?;
    log.close().await?;
    assert_eq!(log.read(folio::ReadOptions::default()).await?, before);
    Ok(())
}

async fn streams_end_after_the_last_entry(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (by_call, by_append) = (project.log(&LogName::history()), project.log(&log_name("runs/1")));
    for log in [&by_call, &by_append] {
        append(log, numbers(1..=3)).await?;
    }
    let mut of_call = by_call.subscribe(Start::Now).await?;
    let mut of_append = by_append.subscribe(Start::Now).await?;
    for stream in [&mut of_call, &mut of_append] {
        caught_up(stream).await?;
    }
    append(&by_call, numbers([4])).await?;
    let head = by_call.close().await?;
    assert_eq!(data(&entries_up_to(&mut of_call, 4).await?), numbers([4]));
    assert_eq!(closed_and_ended(&mut of_call).await?, head);

    let head = appended(by_append.append(numbers(4..=6), closing()).await?)?.cursor;
    assert_eq!(data(&entries_up_to(&mut of_append, 6).await?), numbers(4..=6));
    assert_eq!(closed_and_ended(&mut of_append).await?, head);
    Ok(())
}

async fn a_stream_of_a_closed_log_replays_and_ends(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let head = appended(log.append(numbers(1..=3), closing()).await?)?.cursor;
    let mut stream = log.subscribe(Start::After(Cursor::bare(1))).await?;
    assert_eq!(data(&entries_up_to(&mut stream, 3).await?), numbers(2..=3));
    assert_eq!(caught_up(&mut stream).await?, head);
    assert_eq!(closed_and_ended(&mut stream).await?, head);
    for start in [Start::Now, Start::After(head.into())] {
        let mut stream = log.subscribe(start).await?;
        assert_eq!(caught_up(&mut stream).await?, head);
        assert_eq!(closed_and_ended(&mut stream).await?, head);
    }
    Ok(())
}

async fn an_empty_log_can_be_closed(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let mut stream = log.subscribe(Start::Now).await?;
    caught_up(&mut stream).await?;
    let head = log.close().await?;
    assert_eq!(head.seq, 0);
    assert_eq!(closed_and_ended(&mut stream).await?.seq, 0);
    refused(log.append(entry("1"), folio::AppendOptions::default()).await, "closed")?;
    Ok(())
}

async fn a_log_that_is_not_there_cannot_be_closed(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    refused(project.log(&log_name("runs/1")).close().await, "no_log")?;
    assert_eq!(project.list_logs(None, 10).await?.logs, [LogName::history()]);
    Ok(())
}

async fn a_closed_log_stays_closed_over_reopening(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    for name in ["by-call", "by-append", "empty"] {
        let log = project.log(&log_name(name));
        append(&log, numbers(1..=3)).await?;
        match name {
            "by-append" => drop(appended(log.append(numbers([4]), closing()).await?)?),
            "empty" => drop((log.truncate(3).await?, log.close().await?)),
            _ => drop(log.close().await?),
        }
    }
    ctx.reopen().await?;
    for name in ["by-call", "by-append", "empty"] {
        let log = ctx.again(&project).log(&log_name(name));
        assert!(log.status().await?.closed, "{name}");
        refused(log.append(numbers([5]), folio::AppendOptions::default()).await, "closed")?;
        let head = log.status().await?.head;
        let mut stream = log.subscribe(Start::After(head.into())).await?;
        caught_up(&mut stream).await?;
        assert_eq!(closed_and_ended(&mut stream).await?, head, "{name}");
    }
    Ok(())
}
