//! What was found good is sent again without a look, as long as nobody wrote to it.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::rig::{Rig, append, entry_of};
use crate::clock::{Clock, ManualClock};
use crate::cursor::Cursor;
use crate::fs::FsOptions;
use crate::fs::log::FsLog;
use crate::lines::Lines;
use crate::log::{AppendLog, ReadOptions};

/// With some segments, made long before the time that `clock` tells.
async fn rig(clock: Arc<dyn Clock>) -> Rig {
    let rig = Rig::with(FsOptions { clock, segment_bytes: 200_000, ..FsOptions::default() });
    for n in 0..500 {
        let texts: Vec<_> = (0..1 + n % 9).map(|part| format!("[{n},{part},\"{}\"]", "x".repeat(n))).collect();
        append(&rig.history(), &texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    assert!(rig.sealed().len() >= 3, "{:?}", rig.sealed());
    rig
}

fn later() -> Arc<dyn Clock> {
    Arc::new(ManualClock::new(4_000_000_000_000))
}

fn used(log: &FsLog) -> usize {
    log.core().proofs.used.load(Ordering::SeqCst)
}

/// All that readers are sent, and the seqs before which there is a gap. Pages end early only before a gap.
async fn whole(log: &FsLog, limit: usize, max_bytes: usize) -> (Vec<u8>, Vec<u64>) {
    let (mut text, mut gaps, mut since, mut short) = (Vec::new(), Vec::new(), None, 0);
    loop {
        let page = log.read_stored(ReadOptions { since, limit, max_bytes, ..ReadOptions::default() }).await.unwrap();
        let count: usize = page.entries.iter().map(|lines| lines.iter().count()).sum();
        assert!(count <= limit, "{count} of {limit}");
        let bytes: Vec<usize> = page.entries.iter().flat_map(Lines::iter).map(|line| line.len() + 1).collect();
        let full = count == limit || bytes.iter().sum::<usize>() >= max_bytes || page.next == Some(page.head);
        short += usize::from(!full);
        assert!(bytes.iter().rev().skip(1).sum::<usize>() < max_bytes, "{bytes:?} for {max_bytes}");
        for lines in &page.entries {
            let seqs: Vec<_> = lines.iter().map(|line| entry_of(line).seq).collect();
            assert_eq!(seqs, (lines.first()..=lines.last()).collect::<Vec<_>>());
            text.extend_from_slice(lines.text());
        }
        gaps.extend(page.gap.map(|gap| gap.resumes_after.seq));
        if page.next == Some(page.head) {
            assert!(short <= gaps.len(), "{short} pages ended early, {gaps:?}");
            return (text, gaps);
        }
        since = page.next.map(Into::into);
    }
}

/// So that there is a good part of a newest segment.
async fn more(log: &FsLog) {
    let text = format!("\"{}\"", "y".repeat(900));
    append(log, &[text.as_str(); 150]).await;
}

/// What lies before `before`, as it is had by who passes on what may stay in its file; and how much of it did, in bytes.
async fn passed(log: &FsLog, before: Option<u64>) -> (Vec<u8>, usize) {
    let (mut text, mut in_place, mut at) = (Vec::new(), 0, 0);
    let last = log.status().await.unwrap().head.seq.min(before.map_or(u64::MAX, |before| before - 1));
    while at < last {
        let since = Cursor::bare(at);
        let page = if let Some(page) = log.read_in_place(since, before).await.unwrap() {
            assert_eq!((page.entries.len(), page.gap), (1, None));
            let lines = &page.entries[0];
            let range = lines.range();
            let mut bytes = vec![0; (range.end - range.start) as usize];
            lines.file().read_exact_at(&mut bytes, range.start).unwrap();
            let seqs: Vec<_> = bytes.trim_ascii_end().split(|&byte| byte == b'\n').map(|line| entry_of(line).seq).collect();
            assert_eq!(seqs, (lines.first()..=lines.last()).collect::<Vec<_>>());
            assert_eq!((lines.first(), page.next.unwrap().seq), (at + 1, lines.last()));
            text.extend_from_slice(&bytes);
            in_place += bytes.len();
            page.next
        } else {
            let options = ReadOptions { since: Some(since), before, limit: 100, max_bytes: 20_000, ..ReadOptions::default() };
            let page = log.read_stored(options).await.unwrap();
            page.entries.iter().for_each(|lines| text.extend_from_slice(lines.text()));
            page.next
        };
        at = page.unwrap().seq;
    }
    (text, in_place)
}

#[tokio::test]
async fn who_passes_it_on_is_told_where_it_lies() {
    let clock = Arc::new(ManualClock::new(4_000_000_000_000));
    let rig = rig(clock.clone()).await;
    let log = rig.history();
    more(&log).await;
    assert_eq!(passed(&log, None).await.1, 0, "nothing is known yet");
    let (all, gaps) = whole(&log, 100, 20_000).await;
    assert!(gaps.is_empty());
    let (text, sealed) = passed(&log, None).await;
    assert!(text == all && sealed > 300_000 && sealed < all.len(), "{sealed} of {}", all.len());
    // The newest segment, too, once nothing came for a while.
    clock.set(4_000_000_002_000);
    drop(passed(&log, None).await);
    let (text, with_newest) = passed(&log, None).await;
    assert!(text == all && with_newest > sealed + 50_000, "{with_newest}, {sealed} of {}", all.len());
    // As far as it is asked for.
    let lines: Vec<_> = all.split_inclusive(|&byte| byte == b'\n').collect();
    for before in (2..lines.len() as u64).step_by(97) {
        let (text, in_place) = passed(&log, Some(before)).await;
        assert!(text == lines[..before as usize - 1].concat(), "{before}");
        // Some is read to find where to end, and the beginnings of segments.
        assert!(in_place + 200_000 > text.len(), "{before}: {in_place} of {}", text.len());
    }
    append(&log, &["\"one more\""]).await;
    let (text, without) = passed(&log, None).await;
    assert!(text.starts_with(&all) && entry_of(text[all.len()..].trim_ascii_end()).seq == lines.len() as u64 + 1);
    assert!(without + 50_000 < with_newest, "{without}");
}

#[tokio::test]
async fn what_is_no_longer_so_is_not_passed_on() {
    let clock = Arc::new(ManualClock::new(4_000_000_000_000));
    let rig = rig(clock.clone()).await;
    let log = rig.history();
    more(&log).await;
    clock.set(4_000_000_002_000);
    let (all, _) = whole(&log, 100, 20_000).await;
    assert!(passed(&log, None).await.0 == all);
    let marks: Vec<_> = (0..log.status().await.unwrap().head.seq).filter(|&seq| log.core().marks.find(seq).is_some()).collect();
    let in_place = async || {
        let mut count = 0;
        for &seq in &marks {
            count += usize::from(log.read_in_place(Cursor::bare(seq), None).await.unwrap().is_some());
        }
        count
    };
    assert!(in_place().await > 10);
    // Another program edits a line of each segment, in place and to the same length.
    let sealed = rig.sealed().into_iter().map(|name| format!("history.d/{name}"));
    let files: Vec<_> = sealed.chain(["history.jsonl".into()]).collect();
    for file in &files {
        let mut bytes = rig.text(file).into_bytes();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        rig.write(file, &bytes);
    }
    assert_eq!(in_place().await, 0);
    let (text, gaps) = whole(&log, 100, 20_000).await;
    assert!(gaps.len() == files.len() && text.len() < all.len(), "{gaps:?}");
    // What is compacted away is not there for anybody.
    drop(whole(&log, 100, 20_000).await);
    let mark = marks[marks.len() / 2];
    let known = log.read_in_place(Cursor::bare(mark), None).await.unwrap();
    assert!(known.is_some() || log.core().marks.find(mark).is_none());
    log.truncate(log.status().await.unwrap().head.seq - 1).await.unwrap();
    assert_eq!(in_place().await, 0);
}

#[tokio::test]
async fn it_is_sent_as_it_lies_within_every_budget() {
    let rig = rig(later()).await;
    let log = rig.history();
    let (first, gaps) = whole(&log, 100, 20_000).await;
    assert_eq!((used(&log), gaps), (0, vec![]));
    let lies: String = rig.sealed().iter().map(|name| rig.text(&format!("history.d/{name}"))).collect();
    let lies = lies + &rig.text("history.jsonl");
    let entries: String =
        lies.split_inclusive('\n').filter(|line| line.starts_with("{\"seq\"") && line.contains("\"data\"")).collect();
    assert!(first == entries.as_bytes());
    for (limit, max_bytes) in [(100, 20_000), (7, 20_000), (10_000, 150_000), (3, 1_000), (10_000, 64 << 10)] {
        for _ in 0..2 {
            assert!(whole(&log, limit, max_bytes).await == (first.clone(), vec![]), "{limit} {max_bytes}");
        }
    }
    assert!(used(&log) > 100, "{}", used(&log));
}

#[tokio::test]
async fn an_edit_is_seen() {
    let rig = rig(later()).await;
    let log = rig.history();
    let good = whole(&log, 100, 20_000).await;
    assert_eq!(whole(&log, 100, 20_000).await, good);
    let before = used(&log);
    assert!(before > 10);
    let file = format!("history.d/{}", rig.sealed()[1]);
    let mut bytes = rig.text(&file).into_bytes();
    let (at, was) = (bytes.len() / 2, bytes[bytes.len() / 2]);
    bytes[at] ^= 1;
    rig.write(&file, &bytes);
    // By who goes on where others had stopped.
    let marks: Vec<_> = (0..log.status().await.unwrap().head.seq).filter(|&seq| log.core().marks.find(seq).is_some()).collect();
    assert!(marks.len() > 10);
    for &seq in marks.iter().rev() {
        let since = Some(Cursor::bare(seq));
        let page = log.read_stored(ReadOptions { since, limit: 100, max_bytes: 20_000, ..ReadOptions::default() }).await.unwrap();
        page.entries.iter().flat_map(Lines::iter).for_each(|line| drop(entry_of(line)));
    }
    let (text, gaps) = whole(&log, 100, 20_000).await;
    assert!(gaps.len() == 1 && text.len() < good.0.len(), "{gaps:?}");
    // And so it is the next time.
    assert_eq!(whole(&log, 100, 20_000).await, (text, gaps));
    bytes[at] = was;
    rig.write(&file, &bytes);
    assert_eq!(whole(&log, 100, 20_000).await, good);
    assert_eq!(whole(&log, 100, 20_000).await, good);
    assert!(used(&log) > before);
}

/// The kernel's clock may not have gone on since: another write would not show.
#[tokio::test]
async fn what_changed_just_now_is_not_proven() {
    let clock = Arc::new(ManualClock::new(0));
    let rig = rig(clock.clone()).await;
    let log = rig.history();
    let changed = std::fs::metadata(rig.path(&format!("history.d/{}", rig.sealed()[0]))).unwrap();
    let changed = u64::try_from(changed.ctime() * 1_000 + changed.ctime_nsec() / 1_000_000).unwrap();
    for (passed, proven) in [(1_900, false), (600_000, true)] {
        clock.set(changed + passed);
        for _ in 0..2 {
            drop(whole(&log, 100, 20_000).await);
        }
        assert_eq!(used(&log) > 0, proven, "{passed}");
    }
}

/// A line that does not count lies between two that do.
#[tokio::test]
async fn only_lines_that_follow_each_other_are_proven() {
    let mut rig = rig(later()).await;
    let file = format!("history.d/{}", rig.sealed()[0]);
    let text = rig.text(&file);
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    rig.write(&file, [&lines[..9], &lines[8..]].concat().concat());
    rig.reopen().await;
    let log = rig.history();
    for limit in [1, 2, 3, 4] {
        let first = whole(&log, limit, 20_000).await;
        assert_eq!(whole(&log, limit, 20_000).await, first, "{limit}");
    }
    assert!(used(&log) > 100);
}

/// What a medium does to a file is told by nobody.
#[tokio::test]
async fn nothing_is_believed_for_ever() {
    let clock = Arc::new(ManualClock::new(4_000_000_000_000));
    let rig = rig(clock.clone()).await;
    let log = rig.history();
    drop(whole(&log, 100, 20_000).await);
    drop(whole(&log, 100, 20_000).await);
    let before = used(&log);
    assert!(before > 10);
    clock.set(4_000_000_600_001);
    drop(whole(&log, 100, 20_000).await);
    assert_eq!(used(&log), before);
    // Not by a clock that was set back, either.
    clock.set(4_000_000_000_000);
    drop(whole(&log, 100, 20_000).await);
    assert_eq!(used(&log), before);
}

/// The end of a line is no line, whatever it holds.
#[tokio::test]
async fn a_line_in_a_value_is_not_taken_for_one() {
    let clock = Arc::new(ManualClock::new(4_000_000_000_000));
    let rig = Rig::with(FsOptions { clock: clock.clone(), ..FsOptions::default() });
    let log = rig.history();
    append(&log, &[format!("\"{}\"", "a".repeat(90_000)).as_str(); 3]).await;
    // What lies from its brace to the end of the line around it has a right sum, and fills a piece.
    let (head, open) = (r#"{"seq":6,"ts":1"#, r#","crc":""#);
    let tail = format!("\",\"data\":\"{}\"}}}}}}", "b".repeat(65_536 - head.len() - open.len() - 8 - 10 - 4 - 1));
    let tail = &tail[1..];
    let sum = crc32c::crc32c_append(crc32c::crc32c(head.as_bytes()), tail.as_bytes());
    let inner = format!("{head}{open}{sum:08x}\"{tail}");
    assert_eq!(inner.len() + 1, 65_536);
    assert_eq!(crate::fs::line::plain(inner.as_bytes()).map(|line| line.seq), Some(6));
    append(&log, &[&format!("{{\"pad\":\"{}\",\"x\":{}", "c".repeat(30_000), &inner[..inner.len() - 1])]).await;
    assert!(rig.text("history.jsonl").trim_ascii_end().ends_with(&inner), "it stands at the end of its line");
    for _ in 0..6 {
        append(&log, &[r#""d""#]).await;
    }
    clock.set(4_000_000_002_000);
    let text = rig.text("history.jsonl");
    let lines: Vec<_> = text.split_inclusive('\n').filter(|line| line.contains("\"data\"")).collect();
    // What is proven ends behind it at first.
    for before in [Some(5), Some(5), None, Some(6), Some(7), None] {
        let wanted = before.map_or(lines.len(), |before| before as usize - 1);
        let (text, _) = passed(&log, before).await;
        assert!(text == lines[..wanted].concat().as_bytes(), "{before:?}");
    }
}
