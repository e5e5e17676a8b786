//! Appending: seqs, units, positions, and the append of nothing.

use folio::{AppendOptions, Cursor, Data, LogName, Piece, Position};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::make::{append, append_keyed, appended, closing, data, entry, expecting, log_name, numbers, read_all, refused, seqs};

cases! { "append":
    the_first_entry_has_seq_1,
    the_entries_of_a_unit_have_consecutive_seqs,
    what_was_appended_is_read_back_in_order,
    a_large_unit_stays_together,
    the_cursor_is_the_position_of_the_last_entry,
    a_lineage_begins_with_epoch_0,
    an_acknowledged_append_is_read_at_once,
    a_log_tells_the_bytes_that_it_takes,
    nothing_appended_returns_the_head,
    nothing_appended_checks_nothing,
    nothing_appended_creates_no_log,
    the_first_append_makes_a_named_log,
    logs_count_for_themselves,
    seqs_and_positions_go_on_after_reopening [Reopen],
}

async fn the_first_entry_has_seq_1(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let first = append(&log, entry("true")).await?;
    assert_eq!((first.first, first.last, first.replayed), (1, 1, false));
    let second = append(&log, entry("true")).await?;
    assert_eq!((second.first, second.last), (2, 2));
    Ok(())
}

async fn the_entries_of_a_unit_have_consecutive_seqs(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=2)).await?;
    let unit = append(&log, numbers(3..=7)).await?;
    assert_eq!((unit.first, unit.last), (3, 7));
    assert_eq!(seqs(&read_all(&log).await?), [1, 2, 3, 4, 5, 6, 7]);
    Ok(())
}

async fn what_was_appended_is_read_back_in_order(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let mut sent = Vec::new();
    for unit in [numbers(1..=1), numbers(2..=40), numbers(41..=41), numbers(42..=43)] {
        sent.extend(unit.clone());
        append(&log, unit).await?;
    }
    let entries = read_all(&log).await?;
    assert_eq!(data(&entries), sent);
    assert_eq!(seqs(&entries), (1..=43).collect::<Vec<_>>());
    Ok(())
}

async fn a_large_unit_stays_together(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, entry("0")).await?;
    let unit = append(&log, numbers(0..12_000)).await?;
    assert_eq!((unit.first, unit.last), (2, 12_001));
    let entries = read_all(&log).await?;
    assert_eq!(entries.len(), 12_001);
    assert_eq!(data(entries.get(1..).unwrap_or_default()), numbers(0..12_000));
    Ok(())
}

async fn the_cursor_is_the_position_of_the_last_entry(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let first = append(&log, numbers(1..=3)).await?;
    assert_eq!(first.cursor.seq, 3);
    assert_eq!(log.status().await?.head, first.cursor);
    let second = append(&log, numbers(4..=4)).await?;
    assert_eq!(second.cursor, Position { epoch: first.cursor.epoch, seq: 4 });
    assert_eq!(log.status().await?.head, second.cursor);
    Ok(())
}

async fn a_lineage_begins_with_epoch_0(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let empty = log.status().await?;
    assert_eq!(empty.head, Position::START);
    assert_eq!(empty.lineage, [Piece { epoch: 0, last: 0 }]);
    let head = append(&log, numbers(1..=2)).await?.cursor;
    assert!(head.epoch > 0, "epoch 0 is everything before Folio's own first line, so {head} is not in it");
    let lineage = [Piece { epoch: 0, last: 0 }, Piece { epoch: head.epoch, last: 2 }];
    assert_eq!(log.status().await?.lineage, lineage);
    Ok(())
}

async fn an_acknowledged_append_is_read_at_once(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let log = project.log(&LogName::history());
    for n in 1..=30 {
        append(&log, numbers([n])).await?;
        // another handle, as another request would have
        let page = ctx.again(&project).log(&LogName::history()).read(crate::make::since(Cursor::bare(n - 1))).await?;
        assert_eq!((seqs(&page.entries), page.head.seq), (vec![n], n));
    }
    Ok(())
}

async fn a_log_tells_the_bytes_that_it_takes(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let mut before = log.status().await?.bytes;
    for _ in 0..3 {
        append(&log, vec![Data::Bytes(vec![0xff; 10_000].into())]).await?;
        let after = log.status().await?.bytes;
        assert!(after >= before + 10_000, "{after} bytes after 10,000 more than {before}");
        before = after;
    }
    Ok(())
}

async fn nothing_appended_returns_the_head(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let nothing = append(&log, Vec::new()).await?;
    assert_eq!((nothing.first, nothing.last, nothing.cursor), (1, 0, Position::START));
    let head = append(&log, numbers(1..=3)).await?.cursor;
    let nothing = append(&log, Vec::new()).await?;
    assert_eq!((nothing.first, nothing.last, nothing.cursor, nothing.replayed), (4, 3, head, false));
    assert_eq!(log.status().await?.head, head);
    assert_eq!(append(&log, numbers([4])).await?.first, 4);
    Ok(())
}

async fn nothing_appended_checks_nothing(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let head = append(&log, numbers(1..=3)).await?.cursor;
    let nothing = appended(log.append(Vec::new(), expecting(Cursor::bare(1))).await?)?;
    assert_eq!(nothing.cursor, head);
    // it writes nothing, so it doesn't take the key either
    append_keyed(&log, "k", Vec::new()).await?;
    let head = append_keyed(&log, "k", numbers([4])).await?;
    assert_eq!((head.first, head.replayed), (4, false));
    log.close().await?;
    assert_eq!(append(&log, Vec::new()).await?.cursor, head.cursor);
    Ok(())
}

async fn nothing_appended_creates_no_log(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let log = project.log(&log_name("runs/1"));
    let nothing = append(&log, Vec::new()).await?;
    assert_eq!((nothing.first, nothing.last, nothing.cursor), (1, 0, Position::START));
    refused(log.status().await, "no_log")?;
    assert_eq!(project.list_logs(None, 10).await?.logs, [LogName::history()]);
    Ok(())
}

async fn the_first_append_makes_a_named_log(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let name = log_name("runs/1");
    let log = project.log(&name);
    refused(log.status().await, "no_log")?;
    let unit = append(&log, numbers(1..=2)).await?;
    assert_eq!((unit.first, unit.last), (1, 2));
    assert_eq!(log.status().await?.head, unit.cursor);
    assert_eq!(project.list_logs(None, 10).await?.logs, [LogName::history(), name]);
    // also one that closes at once
    let short = project.log(&log_name("runs/2"));
    let only = appended(short.append(entry("null"), closing()).await?)?;
    assert_eq!((only.last, short.status().await?.closed), (1, true));
    Ok(())
}

async fn logs_count_for_themselves(ctx: Ctx) -> Outcome {
    let (one, other) = (ctx.project().await?, ctx.project().await?);
    append(&one.log(&LogName::history()), numbers(1..=5)).await?;
    assert_eq!(append(&one.log(&log_name("runs/1")), numbers([9])).await?.first, 1);
    assert_eq!(append(&other.log(&LogName::history()), numbers([9])).await?.first, 1);
    assert_eq!(read_all(&one.log(&LogName::history())).await?.len(), 5);
    Ok(())
}

async fn seqs_and_positions_go_on_after_reopening(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let name = log_name("runs/1");
    let sent = numbers(1..=5);
    append(&project.log(&name), sent.clone()).await?;
    append(&project.log(&LogName::history()), sent.clone()).await?;
    let before = project.log(&name).status().await?;
    let entries = read_all(&project.log(&name)).await?;
    ctx.reopen().await?;
    let project = ctx.again(&project);
    let log = project.log(&name);
    let status = log.status().await?;
    assert_eq!((status.head, status.lineage, status.horizon), (before.head, before.lineage, 0));
    assert_eq!(read_all(&log).await?, entries, "the same seqs, times and payloads");
    let next = appended(log.append(numbers([6]), expecting(before.head)).await?)?;
    assert_eq!((next.first, next.cursor.epoch), (6, before.head.epoch), "a clean end begins no new life");
    assert_eq!(append(&project.log(&LogName::history()), numbers([6])).await?.first, 6);
    appended(log.append(numbers([7]), AppendOptions::default()).await?)?;
    assert_eq!(data(&read_all(&log).await?), numbers(1..=7));
    Ok(())
}
