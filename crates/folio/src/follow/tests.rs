use futures_util::FutureExt;
use tokio::task::unconstrained;

use super::script::Moment::{AfterRead, BeforeRead, Look};
use super::script::{Script, any, entry, read};
use super::*;

async fn from(source: &Arc<Script>, start: &str) -> LogStream {
    let start = if start == "now" { Start::Now } else { Start::After(start.parse().unwrap()) };
    follow(Arc::clone(source) as Arc<dyn Source>, start).await.unwrap()
}

/// The events of a subscription to lines, entry by entry.
fn flat(event: Result<LogEvent<Lines>>) -> Vec<Result<LogEvent>> {
    let one = match event {
        Ok(LogEvent::Entry { entry: lines, position }) => {
            assert_eq!(position.seq, lines.last());
            let told = |line: &[u8]| {
                let entry = read(line);
                let position = Position { seq: entry.seq, ..position };
                Ok(LogEvent::Entry { entry, position })
            };
            return lines.iter().map(told).collect();
        }
        Ok(LogEvent::CaughtUp { head }) => Ok(LogEvent::CaughtUp { head }),
        Ok(LogEvent::Gap(gap)) => Ok(LogEvent::Gap(gap)),
        Ok(LogEvent::Closed { head }) => Ok(LogEvent::Closed { head }),
        Ok(LogEvent::Deleted) => Ok(LogEvent::Deleted),
        Err(error) => Err(error),
    };
    vec![one]
}

/// Everything that is told before the stream would wait, in short: `=` caught up, `|` ended.
fn told(stream: &mut LogStream) -> String {
    let mut out = Vec::new();
    loop {
        out.push(match unconstrained(stream.next()).now_or_never() {
            None => break,
            Some(None) => "|".to_owned(),
            Some(Some(Err(error))) => error.code().to_owned(),
            Some(Some(Ok(LogEvent::Entry { entry, position }))) => {
                assert_eq!(entry.seq, position.seq);
                position.to_string()
            }
            Some(Some(Ok(LogEvent::CaughtUp { head }))) => format!("={head}"),
            Some(Some(Ok(LogEvent::Closed { head }))) => format!("closed:{head}"),
            Some(Some(Ok(LogEvent::Deleted))) => "deleted".to_owned(),
            Some(Some(Ok(LogEvent::Gap(Gap { reason, requested, lost, resumes_after })))) => {
                let lost = lost.map_or(String::new(), |lost| format!("({lost})"));
                format!("{}{lost}:{requested}..{resumes_after}", reason.as_str())
            }
        });
        if out.last().is_some_and(|last| last == "|") {
            break;
        }
    }
    out.join(" ")
}

#[tokio::test]
async fn now_is_the_moment_of_the_call() {
    let log = Script::new(3);
    let mut stream = from(&log, "now").await;
    log.append(2);
    assert_eq!(told(&mut stream), "=100-3 100-4 100-5");
    assert_eq!(told(&mut stream), "");
    log.append(1);
    assert_eq!(told(&mut stream), "100-6");
}

#[tokio::test]
async fn caught_up_is_told_once_at_the_head_of_the_moment_of_the_call() {
    let log = Script::new(3);
    let mut stream = from(&log, "100-1").await;
    log.append(2);
    assert_eq!(told(&mut stream), "100-2 100-3 =100-3 100-4 100-5");
    assert_eq!(told(&mut from(&log, "5").await), "=100-5");
    assert_eq!(told(&mut from(&Script::new(0), "0").await), "=0-0");
}

#[tokio::test]
async fn batches_join_without_a_seam() {
    let log = Script::new(1_000);
    log.change(|log| log.per_read = 7);
    let seqs: Vec<String> = (1..=1_000).map(|seq| format!("100-{seq}")).collect();
    assert_eq!(told(&mut from(&log, "0").await), format!("{} =100-1000", seqs.join(" ")));
}

#[tokio::test]
async fn cursors_are_judged_by_the_lineage() {
    let log = Script::new(5);
    log.cut(3, 200);
    log.append(2);
    assert_eq!(told(&mut from(&log, "100-5").await), "epoch:100-5..100-3 200-4 200-5 =200-5");
    assert_eq!(told(&mut from(&log, "77-5").await), "epoch:77-5..0-0 100-1 100-2 100-3 200-4 200-5 =200-5");
    assert_eq!(told(&mut from(&log, "200-9").await), "ahead:200-9..200-5 =200-5");
    log.truncate(4);
    assert_eq!(told(&mut from(&log, "1").await), "truncated(3):1..200-4 200-5 =200-5");
}

#[tokio::test]
async fn a_live_reader_is_told_of_what_it_missed() {
    let log = Script::new(2);
    let mut stream = from(&log, "now").await;
    assert_eq!(told(&mut stream), "=100-2");
    log.append(5);
    log.truncate(4);
    assert_eq!(told(&mut stream), "truncated(2):100-2..100-4 100-5 100-6 100-7");
    log.cut(6, 200);
    log.append(3);
    assert_eq!(told(&mut stream), "epoch:100-7..100-6 200-7 200-8 200-9");
}

#[tokio::test]
async fn truncation_between_the_look_and_the_read() {
    let log = Script::new(9);
    let mut stream = from(&log, "2").await;
    log.once(BeforeRead, |log| log.truncate(5));
    assert_eq!(told(&mut stream), "truncated(3):2..100-5 100-6 100-7 100-8 100-9 =100-9");

    // of everything
    let mut stream = from(&log, "100-7").await;
    log.once(BeforeRead, |log| log.truncate(9));
    assert_eq!(told(&mut stream), "truncated(2):100-7..100-9 =100-9");
}

/// Compaction takes the files of a segment away while it is read: that is no damage.
#[tokio::test]
async fn what_went_by_truncation_during_the_read_is_not_told_as_damage() {
    let log = Script::new(9);
    let mut stream = from(&log, "2").await;
    log.once(BeforeRead, |log| log.lose(5));
    log.once(AfterRead, |log| log.truncate(5));
    assert_eq!(told(&mut stream), "truncated(3):2..100-5 100-6 100-7 100-8 100-9 =100-9");
}

#[tokio::test]
async fn a_new_piece_between_the_look_and_the_read_keeps_the_epochs_right() {
    let log = Script::new(9);
    let mut stream = from(&log, "100-2").await;
    log.once(BeforeRead, |log| {
        log.cut(4, 200);
        log.append(2);
    });
    // the head of the moment of the call, 9, was lost with the cut, so the head that there is will do
    assert_eq!(told(&mut stream), "100-3 100-4 200-5 200-6 =200-6");
}

#[tokio::test]
async fn a_cut_below_the_head_of_the_start_does_not_hide_that_the_reader_is_live() {
    let log = Script::new(9);
    let mut stream = from(&log, "100-9").await;
    log.cut(4, 200);
    assert_eq!(told(&mut stream), "=100-9 epoch:100-9..100-4");

    let log = Script::new(9);
    let mut stream = from(&log, "100-2").await;
    log.once(BeforeRead, |log| log.cut(4, 200));
    assert_eq!(told(&mut stream), "100-3 100-4 =100-4");
}

#[tokio::test]
async fn another_life_between_the_look_and_the_read() {
    let log = Script::new(9);
    let mut stream = from(&log, "100-7").await;
    log.once(BeforeRead, |log| log.replace(Some(2), 300, 2));
    assert_eq!(told(&mut stream), "deleted =0-0 300-1 300-2");
}

#[tokio::test]
async fn what_was_read_before_the_log_changed_its_life_or_lineage_is_read_again() {
    let log = Script::new(9);
    let mut stream = from(&log, "100-2").await;
    log.once(AfterRead, |log| {
        log.cut(4, 200);
        log.append(3);
    });
    assert_eq!(told(&mut stream), "100-3 100-4 200-5 200-6 200-7 =200-7");

    let mut stream = from(&log, "200-6").await;
    log.once(AfterRead, |log| log.replace(Some(2), 300, 8));
    let told = told(&mut stream);
    assert!(told.starts_with("deleted =0-0 300-1 300-2") && told.ends_with("300-8"), "{told}");
}

#[tokio::test]
async fn another_life_that_is_longer_is_not_mistaken_for_the_rest_of_this_one() {
    // 100: the lineage alone does not tell the lives apart
    for epoch in [300, 100] {
        let log = Script::new(9);
        let mut stream = from(&log, "100-7").await;
        log.once(BeforeRead, move |log| log.replace(Some(2), epoch, 9));
        assert!(told(&mut stream).starts_with(&format!("deleted =0-0 {epoch}-1 ")));
    }
}

/// A change after the look must wake the reader, though the look was not answered yet when it came.
#[tokio::test]
async fn a_change_during_the_look_is_not_slept_through() {
    let log = Script::new(2);
    log.once(Look, |log| log.append(1));
    let mut stream = from(&log, "now").await;
    assert_eq!(told(&mut stream), "=100-2 100-3");
    log.once(Look, |log| log.append(1));
    log.change(|_| {});
    assert_eq!(told(&mut stream), "100-4");
}

#[tokio::test]
async fn what_is_not_published_is_not_delivered() {
    let log = Script::new(9);
    log.change(|log| log.unpublished = 4);
    let mut stream = from(&log, "3").await;
    assert_eq!(told(&mut stream), "100-4 100-5 =100-5");
    log.change(|log| log.unpublished = 0);
    assert_eq!(told(&mut stream), "100-6 100-7 100-8 100-9");
}

#[tokio::test]
async fn items_from_before_the_place_are_passed_over() {
    let log = Script::new(9);
    log.change(|log| log.early = true);
    assert_eq!(told(&mut from(&log, "7").await), "100-8 100-9 =100-9");
}

#[tokio::test]
async fn deleted_while_waiting_and_made_again() {
    let log = Script::new(2);
    let mut stream = from(&log, "now").await;
    assert_eq!(told(&mut stream), "=100-2");
    log.replace(None, 100, 0);
    assert_eq!(told(&mut stream), "deleted");
    log.replace(Some(2), 300, 0);
    assert_eq!(told(&mut stream), "");
    log.append(1);
    assert_eq!(told(&mut stream), "300-1");
    // nobody looked in between: told once
    log.replace(None, 300, 0);
    log.replace(Some(3), 400, 2);
    assert_eq!(told(&mut stream), "deleted 400-1 400-2");
}

#[tokio::test]
async fn a_missing_log_is_waited_for() {
    for start in ["now", "0", "0-0"] {
        let log = Script::missing();
        let mut stream = from(&log, start).await;
        assert_eq!(told(&mut stream), "=0-0");
        log.replace(Some(1), 100, 2);
        assert_eq!(told(&mut stream), "100-1 100-2", "{start}");
    }
}

#[tokio::test]
async fn a_cursor_into_a_missing_log_is_a_gap() {
    let log = Script::missing();
    assert_eq!(told(&mut from(&log, "100-2").await), "epoch:100-2..0-0 =0-0");
    let mut stream = from(&log, "2").await;
    assert_eq!(told(&mut stream), "ahead:2..0-0 =0-0");
    log.replace(Some(1), 100, 3);
    assert_eq!(told(&mut stream), "100-1 100-2 100-3");
}

#[tokio::test]
async fn a_closed_log_ends_the_stream() {
    let log = Script::new(2);
    let mut live = from(&log, "now").await;
    assert_eq!(told(&mut live), "=100-2");
    log.change(|log| {
        log.items.push(entry(3));
        log.closed = true;
    });
    assert_eq!(told(&mut live), "100-3 closed:100-3 |");
    assert_eq!(told(&mut from(&log, "now").await), "=100-3 closed:100-3 |");
    assert_eq!(told(&mut from(&log, "2").await), "100-3 =100-3 closed:100-3 |");
    assert_eq!(told(&mut from(&log, "100-8").await), "ahead:100-8..100-3 =100-3 closed:100-3 |");
}

#[tokio::test]
async fn damage_is_a_gap() {
    let log = Script::new(3);
    log.change(|log| log.items.extend([Item::Hole { first: 4, last: 6 }, entry(7), Item::Hole { first: 8, last: 8 }]));
    assert_eq!(told(&mut from(&log, "100-2").await), "100-3 corrupt(3):100-3..100-6 100-7 corrupt(1):100-7..100-8 =100-8");
    // from inside the hole: only what is still missing
    assert_eq!(told(&mut from(&log, "5").await), "corrupt(1):5..100-6 100-7 corrupt(1):100-7..100-8 =100-8");
}

#[tokio::test]
async fn what_a_log_claims_and_storage_does_not_give_is_damage_too() {
    let log = Script::new(9);
    log.change(|log| log.items.retain(|item| !(3..6).contains(&item.first())));
    assert_eq!(told(&mut from(&log, "1").await), "100-2 corrupt(3):100-2..100-5 100-6 100-7 100-8 100-9 =100-9");
    let log = Script::new(9);
    log.change(|log| log.per_read = 0);
    assert_eq!(told(&mut from(&log, "1").await), "corrupt(8):1..100-9 =100-9");
}

#[tokio::test]
async fn entries_published_after_the_look_wait_for_the_next() {
    let log = Script::new(2);
    let mut stream = from(&log, "0").await;
    log.once(BeforeRead, |log| log.append(2));
    assert_eq!(told(&mut stream), "100-1 100-2 =100-2 100-3 100-4");
}

#[tokio::test]
async fn an_error_is_told_and_ends_the_stream() {
    let log = Script::new(2);
    let mut stream = from(&log, "now").await;
    assert_eq!(told(&mut stream), "=100-2");
    log.change(|log| log.broken = true);
    assert_eq!(told(&mut stream), "retry |");
    assert!(follow::<Entry>(log, Start::Now).await.is_err());
}

#[tokio::test]
async fn waking_without_news_tells_nothing() {
    let log = Script::new(2);
    let mut stream = from(&log, "now").await;
    assert_eq!(told(&mut stream), "=100-2");
    log.change(|_| {});
    assert_eq!(told(&mut stream), "");
}

/// A reader on another thread, which is woken rather than asked, while everything happens at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_entry_once_while_appends_and_compactions_run() {
    let log = Script::new(0);
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(from(&log, "0").await);
    }
    let readers: Vec<_> = streams
        .into_iter()
        .map(|mut stream| {
            tokio::spawn(async move {
                let mut place = 0;
                while let Some(event) = stream.next().await {
                    match event.unwrap() {
                        LogEvent::Entry { entry, .. } => {
                            assert_eq!(entry.seq, place + 1);
                            place += 1;
                        }
                        LogEvent::Gap(gap) => {
                            assert_eq!(gap.reason, GapReason::Truncated);
                            assert_eq!(gap.lost, Some(gap.resumes_after.seq - place));
                            place = gap.resumes_after.seq;
                        }
                        LogEvent::CaughtUp { .. } => {}
                        LogEvent::Closed { head } => assert_eq!(head.seq, place),
                        LogEvent::Deleted => panic!("nobody deleted it"),
                    }
                }
                place
            })
        })
        .collect();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..2_000 {
        log.append(random.u64(1..4));
        if random.u8(..) < 20 {
            let head = log.head();
            log.truncate(head.saturating_sub(random.u64(..5)).max(1));
        }
        tokio::task::yield_now().await;
    }
    log.change(|log| log.closed = true);
    let head = log.head();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), head);
    }
}

#[tokio::test]
async fn lines_tell_what_entries_tell() {
    for seed in 0..200 {
        let log = any(seed);
        for start in ["now", "0", "0-0", "100-3", "7", "200-9", "50-1", "99"] {
            let mut entries = from(&log, start).await;
            let at = if start == "now" { Start::Now } else { Start::After(start.parse().unwrap()) };
            let lines = follow::<Lines>(Arc::clone(&log) as Arc<dyn Source>, at).await.unwrap();
            let mut lines = lines.flat_map(|event| stream::iter(flat(event))).boxed();
            for _ in 0..2 {
                assert_eq!(told(&mut lines), told(&mut entries), "{seed} from {start}");
                log.append(3);
            }
            log.change(|log| log.closed = true);
            assert_eq!(told(&mut lines), told(&mut entries), "{seed} from {start}");
            log.change(|log| log.closed = false);
        }
    }
}
