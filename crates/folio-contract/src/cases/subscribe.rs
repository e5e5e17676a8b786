//! Following a log: replay, catching up, live.

use folio::{AppendOptions, Cursor, LogEvent, LogName, Position, Start};
use futures_util::future::join_all;

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::make::{append, data, log_name, numbers, read_all, seqs};
use crate::wait::{caught_up, collect_until_caught_up, entries_up_to, next_entry, next_gap};

cases! { "subscribe":
    from_now_begins_caught_up,
    from_now_tells_only_what_comes,
    from_now_follows_from_the_call_not_from_the_first_look,
    after_a_cursor_replays_then_goes_live,
    caught_up_stands_at_the_head_of_the_beginning,
    caught_up_comes_once,
    an_event_tells_the_position_to_go_on_from,
    the_entries_are_those_that_a_read_gives,
    all_subscribers_get_all,
    a_slow_reader_loses_nothing,
    a_dropped_subscription_disturbs_nobody,
    every_cursor_goes_on_where_it_stands,
    a_cursor_survives_reopening [Reopen],
}

async fn from_now_begins_caught_up(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let mut stream = log.subscribe(Start::Now).await?;
    assert_eq!(caught_up(&mut stream).await?, Position::START);
    let head = append(&log, numbers(1..=3)).await?.cursor;
    let mut stream = log.subscribe(Start::Now).await?;
    assert_eq!(caught_up(&mut stream).await?, head);
    Ok(())
}

async fn from_now_tells_only_what_comes(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=3)).await?;
    let mut stream = log.subscribe(Start::Now).await?;
    caught_up(&mut stream).await?;
    append(&log, numbers(4..=5)).await?;
    append(&log, numbers([6])).await?;
    let entries = entries_up_to(&mut stream, 6).await?;
    assert_eq!((seqs(&entries), data(&entries)), (vec![4, 5, 6], numbers(4..=6)));
    Ok(())
}

async fn from_now_follows_from_the_call_not_from_the_first_look(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let head = append(&log, numbers(1..=3)).await?.cursor;
    let mut stream = log.subscribe(Start::Now).await?;
    append(&log, numbers(4..=5)).await?;
    assert_eq!(caught_up(&mut stream).await?, head);
    assert_eq!(seqs(&entries_up_to(&mut stream, 5).await?), [4, 5]);
    Ok(())
}

async fn after_a_cursor_replays_then_goes_live(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let head = append(&log, numbers(1..=5)).await?.cursor;
    for cursor in [Cursor::bare(2), Position { seq: 2, ..head }.into()] {
        let mut stream = log.subscribe(Start::After(cursor)).await?;
        let before = log.status().await?.head;
        let replayed = entries_up_to(&mut stream, before.seq).await?;
        assert_eq!(seqs(&replayed), (3..=before.seq).collect::<Vec<_>>());
        assert_eq!(caught_up(&mut stream).await?, before);
        append(&log, numbers([6])).await?;
        let (entry, position) = next_entry(&mut stream, "the live entry").await?;
        assert_eq!((entry.seq, position), (before.seq + 1, Position { seq: before.seq + 1, ..head }));
    }
    Ok(())
}

async fn caught_up_stands_at_the_head_of_the_beginning(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let head = append(&log, numbers(1..=3)).await?.cursor;
    let mut stream = log.subscribe(Start::After(Cursor::bare(1))).await?;
    append(&log, numbers(4..=5)).await?;
    let (events, reached) = collect_until_caught_up(&mut stream).await?;
    assert_eq!((events.len(), reached), (2, head), "{events:?}");
    assert_eq!(seqs(&entries_up_to(&mut stream, 5).await?), [4, 5]);
    Ok(())
}

async fn caught_up_comes_once(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=3)).await?;
    for start in [Start::Now, Start::After(Cursor::START), Start::After(Cursor::bare(900))] {
        let head = log.status().await?.head.seq;
        let mut stream = log.subscribe(start).await?;
        collect_until_caught_up(&mut stream).await?;
        for n in head + 1..head + 4 {
            append(&log, numbers([n])).await?;
            assert_eq!(next_entry(&mut stream, "the live entry").await?.0.seq, n);
        }
    }
    Ok(())
}

async fn an_event_tells_the_position_to_go_on_from(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let head = append(&log, numbers(1..=4)).await?.cursor;
    let mut stream = log.subscribe(Start::After(Cursor::START)).await?;
    for n in 1..=4 {
        let (entry, position) = next_entry(&mut stream, "a replayed entry").await?;
        assert_eq!((entry.seq, position), (n, Position { seq: n, ..head }));
        let mut other = log.subscribe(Start::After(position.into())).await?;
        if n < 4 {
            assert_eq!(next_entry(&mut other, "the entry after").await?.0.seq, n + 1);
        } else {
            assert_eq!(caught_up(&mut other).await?, head);
        }
    }
    Ok(())
}

async fn the_entries_are_those_that_a_read_gives(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=700)).await?;
    let mut early = log.subscribe(Start::Now).await?;
    caught_up(&mut early).await?;
    append(&log, numbers(701..=1_500)).await?;
    let live = entries_up_to(&mut early, 1_500).await?;
    let mut late = log.subscribe(Start::After(Cursor::START)).await?;
    let replayed = entries_up_to(&mut late, 1_500).await?;
    let read = read_all(&log).await?;
    assert_eq!(replayed, read);
    assert_eq!(Some(&live[..]), read.get(700..));
    Ok(())
}

async fn all_subscribers_get_all(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=20)).await?;
    let mut streams = Vec::new();
    for seq in 0..=20 {
        streams.push((seq, log.subscribe(Start::After(Cursor::bare(seq))).await?));
    }
    for n in 21..=25 {
        append(&log, numbers([n])).await?;
    }
    let read = join_all(
        streams.iter_mut().map(|(seq, stream)| async move { Outcome::Ok((*seq, seqs(&entries_up_to(stream, 25).await?))) }),
    );
    for outcome in read.await {
        let (seq, got) = outcome?;
        assert_eq!(got, (seq + 1..=25).collect::<Vec<_>>(), "after {seq}");
    }
    Ok(())
}

async fn a_slow_reader_loses_nothing(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let mut stream = log.subscribe(Start::Now).await?;
    // far more than any buffer on the way holds, while nobody looks at the stream
    let sent: Vec<_> = (0..40).flat_map(|_| vec![folio::Data::Bytes(vec![7; 4 << 10].into()); 100]).collect();
    for unit in sent.chunks(100) {
        append(&log, unit.to_vec()).await?;
    }
    caught_up(&mut stream).await?;
    let entries = entries_up_to(&mut stream, sent.len() as u64).await?;
    assert!(seqs(&entries) == (1..=sent.len() as u64).collect::<Vec<_>>(), "a hole, or an entry told twice");
    Ok(())
}

async fn a_dropped_subscription_disturbs_nobody(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let mut kept = log.subscribe(Start::Now).await?;
    caught_up(&mut kept).await?;
    for n in 1..=20 {
        let mut dropped = log.subscribe(Start::Now).await?;
        caught_up(&mut dropped).await?;
        append(&log, numbers([n])).await?;
        drop(dropped);
        assert_eq!(next_entry(&mut kept, "an entry while others leave").await?.0.seq, n);
    }
    Ok(())
}

async fn every_cursor_goes_on_where_it_stands(ctx: Ctx) -> Outcome {
    let log = ctx.project().await?.log(&log_name("runs/1"));
    let mut cursor = Cursor::START;
    for n in 1..=12 {
        append(&log, numbers([n])).await?;
        if n % 3 != 0 {
            continue;
        }
        // a client that loses its connection after every second entry
        let mut stream = log.subscribe(Start::After(cursor)).await?;
        for _ in 0..2 {
            let (entry, position) = next_entry(&mut stream, "an entry after reconnecting").await?;
            assert_eq!(entry.seq, cursor.seq + 1);
            cursor = position.into();
        }
    }
    let mut stream = log.subscribe(Start::After(cursor)).await?;
    assert_eq!(seqs(&entries_up_to(&mut stream, 12).await?), [9, 10, 11, 12]);
    Ok(())
}

async fn a_cursor_survives_reopening(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let log = project.log(&LogName::history());
    let head = append(&log, numbers(1..=4)).await?.cursor;
    let emptied = project.log(&log_name("emptied"));
    let emptied_head = append(&emptied, numbers(1..=4)).await?.cursor;
    emptied.truncate(4).await?;
    drop((log, emptied));
    ctx.reopen().await?;
    let project = ctx.again(&project);
    let log = project.log(&LogName::history());
    let mut stream = log.subscribe(Start::After(Position { seq: 2, ..head }.into())).await?;
    let (events, reached) = collect_until_caught_up(&mut stream).await?;
    assert!(matches!(events[..], [LogEvent::Entry { .. }, LogEvent::Entry { .. }]), "{events:?}");
    assert_eq!(reached, head);
    log.append(numbers([5]), AppendOptions::default()).await.map(|_| ())?;
    assert_eq!(next_entry(&mut stream, "an entry after reopening").await?.1, Position { seq: 5, ..head });

    let emptied = project.log(&log_name("emptied"));
    let mut stream = emptied.subscribe(Start::After(emptied_head.into())).await?;
    assert_eq!(caught_up(&mut stream).await?, emptied_head);
    let mut stream = emptied.subscribe(Start::After(Cursor::bare(1))).await?;
    assert_eq!(next_gap(&mut stream, "the gap of an emptied log").await?.lost, Some(3));
    Ok(())
}
