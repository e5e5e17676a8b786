use std::sync::Arc;

use super::*;
use crate::cursor::Cursor;
use crate::error::Error;
use crate::follow::script::Moment::{AfterRead, BeforeRead};
use crate::follow::script::{Script, any, entry};
use crate::lines::Lines;
use crate::log::Entry;

/// A page in short: entries, gap, where it goes on.
async fn read(log: &Script, options: ReadOptions) -> String {
    short(page(log, &options).await.unwrap().unwrap())
}

fn short(page: Page) -> String {
    let gap = page.gap.map(|gap| {
        let lost = gap.lost.map_or(String::new(), |lost| format!("({lost})"));
        format!("{}{lost}:{}..{}", gap.reason.as_str(), gap.requested, gap.resumes_after)
    });
    let entries = page.entries.iter().map(|entry| entry.seq.to_string()).collect::<Vec<_>>().join(" ");
    let next = page.next.map(|next| format!(">{next}")).or(page.next_before.map(|before| format!("<{before}")));
    [gap, Some(entries), next].into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn asc(since: &str, limit: usize) -> ReadOptions {
    let since = (!since.is_empty()).then(|| since.parse::<Cursor>().unwrap());
    ReadOptions { since, limit, ..ReadOptions::default() }
}

fn desc(since: &str, before: Option<Seq>, limit: usize) -> ReadOptions {
    ReadOptions { order: Order::Desc, before, ..asc(since, limit) }
}

#[tokio::test]
async fn since_and_before_come_first_then_order_then_limit() {
    let log = Script::new(9);
    assert_eq!(read(&log, asc("", 100)).await, "1 2 3 4 5 6 7 8 9 >100-9");
    assert_eq!(read(&log, asc("", 3)).await, "1 2 3 >100-3");
    assert_eq!(read(&log, asc("100-7", 3)).await, "8 9 >100-9");
    assert_eq!(read(&log, asc("9", 3)).await, ">100-9");
    assert_eq!(read(&log, ReadOptions { before: Some(6), ..asc("2", 100) }).await, "3 4 5 >100-5");
    assert_eq!(read(&log, ReadOptions { before: Some(2), ..asc("4", 100) }).await, ">100-4");
    assert_eq!(read(&log, ReadOptions { before: Some(0), ..asc("", 100) }).await, ">0-0");
    assert_eq!(read(&log, desc("", None, 3)).await, "9 8 7 <7");
    assert_eq!(read(&log, desc("", Some(7), 3)).await, "6 5 4 <4");
    assert_eq!(read(&log, desc("", Some(4), 3)).await, "3 2 1");
    assert_eq!(read(&log, desc("6", None, 100)).await, "9 8 7");
    assert_eq!(read(&log, desc("4", Some(7), 1)).await, "6 <6");
    assert_eq!(read(&log, desc("", Some(100), 1)).await, "9 <9");
    assert_eq!(read(&log, desc("", Some(1), 1)).await, "");
    assert_eq!(read(&log, desc("", Some(0), 1)).await, "");
    assert_eq!(read(&Script::new(0), asc("", 1)).await, ">0-0");
    assert_eq!(read(&Script::new(0), desc("", None, 1)).await, "");
}

#[tokio::test]
async fn a_page_tells_where_the_log_stood() {
    let log = Script::new(9);
    log.cut(7, 200);
    log.append(1);
    log.truncate(3);
    let page: Page = page(&*log, &asc("5", 1)).await.unwrap().unwrap();
    assert_eq!((page.first, page.head.to_string().as_str()), (4, "200-8"));
    let pieces: Vec<_> = page.lineage.iter().map(|piece| (piece.epoch, piece.last)).collect();
    assert_eq!(pieces, [(0, 0), (100, 7), (200, 8)]);
}

#[tokio::test]
async fn a_stale_cursor_is_a_gap_below_the_entries() {
    let log = Script::new(9);
    log.truncate(5);
    assert_eq!(read(&log, asc("2", 2)).await, "truncated(3):2..100-5 6 7 >100-7");
    assert_eq!(read(&log, asc("", 2)).await, "6 7 >100-7");
    assert_eq!(read(&log, asc("100-20", 2)).await, "ahead:100-20..100-9 >100-9");
    // newest first, it stands behind the last entry: on a page of its own, unless there is no entry at all
    assert_eq!(read(&log, desc("2", None, 3)).await, "9 8 7 <7");
    assert_eq!(read(&log, desc("2", Some(7), 3)).await, "6 <6");
    assert_eq!(read(&log, desc("2", Some(6), 3)).await, "truncated(3):2..100-5");
    assert_eq!(read(&log, desc("100-20", None, 3)).await, "ahead:100-20..100-9");
    assert_eq!(read(&log, desc("", None, 3)).await, "9 8 7 <7");
    assert_eq!(read(&log, desc("", Some(7), 3)).await, "6");
}

fn damaged() -> Arc<Script> {
    let log = Script::new(3);
    log.change(|log| log.items.extend([crate::follow::Item::Hole { first: 4, last: 6 }, entry(7), entry(8)]));
    log
}

#[tokio::test]
async fn a_page_ends_before_a_hole_and_the_next_begins_with_its_gap() {
    let log = damaged();
    assert_eq!(read(&log, asc("1", 100)).await, "2 3 >100-3");
    assert_eq!(read(&log, asc("100-3", 100)).await, "corrupt(3):100-3..100-6 7 8 >100-8");
    assert_eq!(read(&log, asc("5", 100)).await, "corrupt(1):5..100-6 7 8 >100-8");
    assert_eq!(read(&log, desc("", None, 100)).await, "8 7 <7");
    assert_eq!(read(&log, desc("", Some(7), 100)).await, "corrupt(3):100-3..100-6 3 2 1");
    // cut to what was asked for
    assert_eq!(read(&log, ReadOptions { before: Some(6), ..asc("3", 100) }).await, "corrupt(2):3..100-5 >100-5");
    assert_eq!(read(&log, desc("4", Some(6), 100)).await, "corrupt(1):4..100-5");
}

#[tokio::test]
async fn two_holes_in_a_row_take_two_pages() {
    let log = damaged();
    log.truncate(3);
    assert_eq!(read(&log, asc("1", 100)).await, "truncated(2):1..100-3 >100-3");
    assert_eq!(read(&log, asc("100-3", 100)).await, "corrupt(3):100-3..100-6 7 8 >100-8");
    assert_eq!(read(&log, desc("1", Some(7), 100)).await, "corrupt(3):100-3..100-6 <4");
    assert_eq!(read(&log, desc("1", Some(4), 100)).await, "truncated(2):1..100-3");
}

#[tokio::test]
async fn what_a_log_claims_and_storage_does_not_give_is_damage_too() {
    let log = Script::new(9);
    log.change(|log| log.items.retain(|item| !(4..7).contains(&item.first())));
    assert_eq!(read(&log, asc("", 100)).await, "1 2 3 >100-3");
    assert_eq!(read(&log, asc("3", 100)).await, "corrupt(3):3..100-6 7 8 9 >100-9");
    assert_eq!(read(&log, ReadOptions { before: Some(6), ..asc("3", 100) }).await, "corrupt(2):3..100-5 >100-5");
    assert_eq!(read(&log, desc("", Some(7), 100)).await, "corrupt(3):100-3..100-6 3 2 1");
    log.change(|log| log.per_read = 0);
    assert_eq!(read(&log, asc("1", 100)).await, "corrupt(8):1..100-9 >100-9");
}

#[tokio::test]
async fn compaction_between_the_look_and_the_read() {
    let log = Script::new(9);
    log.once(BeforeRead, |log| log.truncate(5));
    assert_eq!(read(&log, asc("2", 2)).await, "truncated(3):2..100-5 6 7 >100-7");
    log.once(BeforeRead, |log| log.truncate(7));
    assert_eq!(read(&log, desc("", Some(8), 100)).await, "");
    log.once(BeforeRead, |log| log.truncate(9));
    assert_eq!(read(&log, asc("7", 100)).await, "truncated(2):7..100-9 >100-9");
}

/// Compaction takes the files of a segment away while it is read: that is no damage.
#[tokio::test]
async fn what_went_by_compaction_during_the_read_is_not_told_as_damage() {
    for (options, wanted) in [(asc("2", 2), "truncated(3):2..100-5 6 7 >100-7"), (desc("", Some(8), 100), "7 6")] {
        let log = Script::new(9);
        log.once(BeforeRead, |log| log.lose(5));
        log.once(AfterRead, |log| log.truncate(5));
        assert_eq!(read(&log, options).await, wanted);
    }
}

#[tokio::test]
async fn another_life_between_the_look_and_the_read() {
    let log = Script::new(9);
    log.once(BeforeRead, |log| log.replace(Some(2), 300, 2));
    assert_eq!(read(&log, asc("100-1", 9)).await, "epoch:100-1..0-0 1 2 >300-2");
    log.once(BeforeRead, |log| {
        log.cut(1, 400);
        log.append(3);
    });
    assert_eq!(read(&log, asc("300-1", 9)).await, "2 3 4 >400-4");
    log.once(BeforeRead, |log| log.replace(None, 300, 0));
    assert_eq!(page::<Entry>(&*log, &asc("", 9)).await.unwrap(), None);
}

#[tokio::test]
async fn what_was_read_before_the_log_changed_its_lineage_is_read_again() {
    let log = Script::new(9);
    let change = |log: &Script| {
        log.cut(4, 200);
        log.append(1);
    };
    log.once(AfterRead, change);
    assert_eq!(read(&log, asc("3", 100)).await, "4 5 >200-5");
    let log = Script::new(9);
    log.once(AfterRead, change);
    assert_eq!(read(&log, desc("", None, 100)).await, "5 4 3 2 1");
}

#[tokio::test]
async fn only_what_is_published_and_asked_for() {
    let log = Script::new(9);
    log.change(|log| log.unpublished = 4);
    assert_eq!(read(&log, asc("3", 100)).await, "4 5 >100-5");
    assert_eq!(read(&log, ReadOptions { before: Some(4), ..asc("1", 100) }).await, "2 3 >100-3");
    assert_eq!(read(&log, desc("3", Some(7), 100)).await, "5 4");
}

#[tokio::test]
async fn limits_are_checked() {
    let log = Script::new(1);
    for limit in [0, 10_001] {
        assert!(matches!(page::<Entry>(&*log, &asc("", limit)).await, Err(Error::Invalid { .. })));
    }
}

#[tokio::test]
async fn lines_tell_what_entries_tell() {
    for seed in 0..40 {
        let log = any(seed);
        for limit in 1..12 {
            for since in ["", "0", "100-3", "7", "200-9", "50-1", "99"] {
                for options in [asc(since, limit), desc(since, None, limit), desc(since, Some(8), limit)] {
                    let Page { entries, gap, first, head, lineage, next, next_before } =
                        page::<Lines>(&*log, &options).await.unwrap().unwrap();
                    assert!(entries.iter().all(|lines| lines.first() + lines.iter().count() as u64 == lines.last() + 1));
                    let one = |line: &[u8]| crate::follow::script::read(line);
                    let entries = entries.iter().flat_map(|lines| lines.iter().map(one)).collect();
                    let flat = Page { entries, gap, first, head, lineage, next, next_before };
                    assert_eq!(Some(flat), page(&*log, &options).await.unwrap(), "{seed} {options:?}");
                }
            }
        }
    }
}
