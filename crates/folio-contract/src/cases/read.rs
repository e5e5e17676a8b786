//! Reading pages: bounds, then order, then limits.

use folio::{Cursor, Data, Lines, Order, Position, ReadOptions, Seq};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::{Failure, Outcome};
use crate::make::{append, data, json, numbers, read_all, refused, seqs, since};

cases! { "read":
    bounds_are_exclusive_and_come_before_order_and_limit,
    next_leads_from_page_to_page,
    next_before_leads_from_page_to_page,
    an_empty_log_has_an_empty_page,
    the_default_is_1000_from_the_start,
    a_limit_is_1_to_10000,
    a_page_ends_after_the_entry_that_fills_it,
    a_page_tells_where_the_log_stands,
    entries_are_the_same_in_both_orders,
    lines_tell_what_entries_tell,
    a_read_changes_nothing,
}

/// since, before, limit → seqs ascending, next; seqs descending, next before.
type Row = (Option<Seq>, Option<Seq>, usize, &'static [Seq], Seq, &'static [Seq], Option<Seq>);

const MATRIX: &[Row] = &[
    (None, None, 100, &[1, 2, 3, 4, 5, 6], 6, &[6, 5, 4, 3, 2, 1], None),
    (None, None, 6, &[1, 2, 3, 4, 5, 6], 6, &[6, 5, 4, 3, 2, 1], None),
    (None, None, 2, &[1, 2], 2, &[6, 5], Some(5)),
    (Some(0), None, 100, &[1, 2, 3, 4, 5, 6], 6, &[6, 5, 4, 3, 2, 1], None),
    (Some(2), None, 100, &[3, 4, 5, 6], 6, &[6, 5, 4, 3], None),
    (Some(2), None, 4, &[3, 4, 5, 6], 6, &[6, 5, 4, 3], None),
    (Some(2), None, 3, &[3, 4, 5], 5, &[6, 5, 4], Some(4)),
    (Some(5), None, 100, &[6], 6, &[6], None),
    (Some(6), None, 100, &[], 6, &[], None),
    (None, Some(4), 100, &[1, 2, 3], 3, &[3, 2, 1], None),
    (None, Some(4), 1, &[1], 1, &[3], Some(3)),
    (None, Some(7), 100, &[1, 2, 3, 4, 5, 6], 6, &[6, 5, 4, 3, 2, 1], None),
    (None, Some(900), 1, &[1], 1, &[6], Some(6)),
    (None, Some(1), 100, &[], 0, &[], None),
    (None, Some(0), 100, &[], 0, &[], None),
    (Some(2), Some(5), 100, &[3, 4], 4, &[4, 3], None),
    (Some(2), Some(5), 1, &[3], 3, &[4], Some(4)),
    (Some(2), Some(3), 100, &[], 2, &[], None),
    (Some(2), Some(2), 100, &[], 2, &[], None),
    (Some(4), Some(2), 100, &[], 4, &[], None),
];

async fn bounds_are_exclusive_and_come_before_order_and_limit(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let epoch = append(&log, numbers(1..=6)).await?.cursor.epoch;
    for &(after, before, limit, asc, next, desc, next_before) in MATRIX {
        let bare = after.map(Cursor::bare);
        let full = after.map(|seq| Position { epoch: if seq == 0 { 0 } else { epoch }, seq }.into());
        for since in [bare, full] {
            let row = format!("since {since:?}, before {before:?}, limit {limit}");
            let options = ReadOptions { since, before, limit, ..ReadOptions::default() };
            let page = log.read(options.clone()).await?;
            assert_eq!(seqs(&page.entries), asc, "{row}");
            assert_eq!(page.next.map(|next| next.seq), Some(next), "{row}: next");
            assert_eq!((page.next_before, page.gap), (None, None), "{row}: next before and gap, ascending");
            let page = log.read(ReadOptions { order: Order::Desc, ..options }).await?;
            assert_eq!(seqs(&page.entries), desc, "{row}, descending");
            assert_eq!(page.next_before, next_before, "{row}: next before");
            assert_eq!((page.next, page.gap), (None, None), "{row}: next and gap, descending");
        }
    }
    Ok(())
}

async fn next_leads_from_page_to_page(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let head = append(&log, numbers(1..=10)).await?.cursor;
    let (mut seen, mut cursor) = (Vec::new(), None);
    for pages in [3, 3, 3, 1, 0, 0] {
        let page = log.read(ReadOptions { since: cursor, limit: 3, ..ReadOptions::default() }).await?;
        assert_eq!(page.entries.len(), pages, "after {cursor:?}");
        seen.extend(seqs(&page.entries));
        let next = page.next.ok_or_else(|| Failure::new("next is always given, ascending"))?;
        assert_eq!(next, Position { epoch: head.epoch, seq: seen.len() as Seq });
        cursor = Some(next.into());
    }
    assert_eq!(seen, (1..=10).collect::<Vec<_>>());
    let more = append(&log, numbers([11])).await?.cursor;
    let page = log.read(ReadOptions { since: cursor, ..ReadOptions::default() }).await?;
    assert_eq!((seqs(&page.entries), page.next), (vec![11], Some(more)), "next goes on once there is more");
    Ok(())
}

async fn next_before_leads_from_page_to_page(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=10)).await?;
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = log.read(ReadOptions { before, order: Order::Desc, limit: 3, ..ReadOptions::default() }).await?;
        seen.push(seqs(&page.entries));
        before = page.next_before;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, [vec![10, 9, 8], vec![7, 6, 5], vec![4, 3, 2], vec![1]]);
    Ok(())
}

async fn an_empty_log_has_an_empty_page(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    for order in [Order::Asc, Order::Desc] {
        for since in [None, Some(Cursor::START), Some(Position::START.into())] {
            let page = log.read(ReadOptions { since, order, ..ReadOptions::default() }).await?;
            assert_eq!((page.entries.len(), page.gap, page.first, page.head), (0, None, 1, Position::START));
            assert_eq!(page.next, (order == Order::Asc).then_some(Position::START));
            assert_eq!(page.next_before, None);
        }
    }
    Ok(())
}

async fn the_default_is_1000_from_the_start(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=1_001)).await?;
    let page = log.read(ReadOptions::default()).await?;
    assert_eq!(seqs(&page.entries), (1..=1_000).collect::<Vec<_>>());
    Ok(())
}

async fn a_limit_is_1_to_10000(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=10_001)).await?;
    for limit in [0, 10_001, 1 << 40] {
        for order in [Order::Asc, Order::Desc] {
            refused(log.read(ReadOptions { limit, order, ..ReadOptions::default() }).await, "invalid")?;
        }
    }
    let page = log.read(ReadOptions { limit: 10_000, ..ReadOptions::default() }).await?;
    assert_eq!(page.entries.len(), 10_000);
    let page = log.read(ReadOptions { limit: 1, order: Order::Desc, ..ReadOptions::default() }).await?;
    assert_eq!((seqs(&page.entries), page.next_before), (vec![10_001], Some(10_001)));
    Ok(())
}

async fn a_page_ends_after_the_entry_that_fills_it(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let entries = [40, 10, 50, 1, 100].map(|bytes| Data::Bytes(vec![b'x'; bytes].into()));
    append(&log, entries.to_vec()).await?;
    let table: &[(usize, &[Seq], &[Seq])] = &[
        (0, &[1], &[5]),
        (1, &[1], &[5]),
        (40, &[1], &[5]),
        (41, &[1, 2], &[5]),
        (50, &[1, 2], &[5]),
        (51, &[1, 2, 3], &[5]),
        (100, &[1, 2, 3], &[5]),
        (101, &[1, 2, 3, 4], &[5, 4]),
        (102, &[1, 2, 3, 4, 5], &[5, 4, 3]),
        (1_000, &[1, 2, 3, 4, 5], &[5, 4, 3, 2, 1]),
    ];
    for &(max_bytes, asc, desc) in table {
        let page = log.read(ReadOptions { max_bytes, ..ReadOptions::default() }).await?;
        assert_eq!(seqs(&page.entries), asc, "max_bytes {max_bytes}");
        assert_eq!(page.next.map(|next| next.seq), asc.last().copied(), "max_bytes {max_bytes}: next");
        let page = log.read(ReadOptions { max_bytes, order: Order::Desc, ..ReadOptions::default() }).await?;
        assert_eq!(seqs(&page.entries), desc, "max_bytes {max_bytes}, descending");
        let last = desc.last().copied().filter(|&seq| seq > 1);
        assert_eq!(page.next_before, last, "max_bytes {max_bytes}: next before");
    }
    Ok(())
}

async fn a_page_tells_where_the_log_stands(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=6)).await?;
    log.truncate(2).await?;
    let status = log.status().await?;
    for order in [Order::Asc, Order::Desc] {
        // also where nothing of the page is near
        for options in [ReadOptions::default(), since(Cursor::bare(6)), ReadOptions { before: Some(4), ..since(Cursor::bare(3)) }]
        {
            let page = log.read(ReadOptions { order, ..options }).await?;
            assert_eq!((page.first, page.head, &page.lineage), (3, status.head, &status.lineage));
        }
    }
    log.truncate(6).await?;
    let page = log.read(ReadOptions::default()).await?;
    assert_eq!((page.first, page.head, page.entries.len()), (7, status.head, 0), "head + 1 when there is no entry");
    Ok(())
}

async fn entries_are_the_same_in_both_orders(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=3)).await?;
    append(&log, numbers(4..=5)).await?;
    let forward = read_all(&log).await?;
    let mut backward = log.read(ReadOptions { order: Order::Desc, ..ReadOptions::default() }).await?.entries;
    backward.reverse();
    assert_eq!(forward, backward);
    assert_eq!(data(&forward), numbers(1..=5));
    Ok(())
}

/// As lines for readers, and as the driver keeps them.
async fn lines_tell_what_entries_tell(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=4)).await?;
    append(&log, vec![json(r#"{"seq":9,"ts":"é"}"#).into(), Data::Bytes(vec![0, 255].into())]).await?;
    for (order, before) in [(Order::Asc, None), (Order::Asc, Some(6)), (Order::Desc, None)] {
        let options = ReadOptions { before, order, limit: 4, ..since(Cursor::bare(1)) };
        let page = log.read(options.clone()).await?;
        for (kept, lines) in [(false, log.read_lines(options.clone()).await?), (true, log.read_stored(options).await?)] {
            let told: Vec<&[u8]> = lines.entries.iter().flat_map(Lines::iter).collect();
            assert_eq!(told.len(), page.entries.len(), "{order:?}");
            for (line, entry) in told.into_iter().zip(&page.entries) {
                let value: serde_json::Value = serde_json::from_slice(line).map_err(|e| Failure::new(e.to_string()))?;
                assert_eq!((value["seq"].as_u64(), value["ts"].as_u64()), (Some(entry.seq), Some(entry.ts)));
                let text = Lines::from(entry);
                let text = text.text().strip_suffix(b"\n").unwrap_or_default();
                let payload = text.windows(8).position(|at| at == b",\"data\":" || at == b",\"b64\":\"").unwrap_or_default();
                assert!(
                    line.ends_with(&text[payload..]) && (kept || line == text),
                    "{order:?}: {}",
                    String::from_utf8_lossy(line)
                );
            }
            assert_eq!((lines.next, lines.next_before, lines.head), (page.next, page.next_before, page.head), "{order:?}");
        }
    }
    Ok(())
}

async fn a_read_changes_nothing(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=6)).await?;
    let status = log.status().await?;
    let one = log.read(since(Cursor::bare(2))).await?;
    let other = log.read(since(Cursor::bare(2))).await?;
    assert_eq!(one, other);
    assert_eq!(log.status().await?, status);
    Ok(())
}
