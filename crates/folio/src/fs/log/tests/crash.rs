//! States that a crash or a refused write leaves, made by hand.

use super::rig::{Rig, append, append_with, json, keyed, page, texts, told};
use crate::fs::FsOptions;
use crate::log::{AppendLog, AppendOptions};
use crate::name::LogName;

fn small_segments() -> Rig {
    Rig::with(FsOptions { segment_bytes: 300, ..FsOptions::default() })
}

/// A log that is sealed up to its head, as a kill between the two renames of a rotation leaves it.
async fn killed_while_sealing(rig: &mut Rig) {
    let text = rig.text("history.jsonl");
    let header: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let first = header["base"].as_u64().unwrap() + 1;
    std::fs::create_dir_all(rig.path("history.d")).unwrap();
    std::fs::rename(rig.path("history.jsonl"), rig.path(&format!("history.d/{first:020}.jsonl"))).unwrap();
    rig.reopen().await;
}

#[tokio::test]
async fn a_kill_while_sealing_forgets_no_key_and_keeps_the_log_closed() {
    let mut rig = Rig::new();
    let log = rig.history();
    append_with(&log, &["1"], keyed("a")).await;
    log.truncate(1).await.unwrap();
    append_with(&log, &["2", "3"], keyed("b")).await;
    log.close().await.unwrap();
    killed_while_sealing(&mut rig).await;
    let log = rig.history();
    assert!(log.status().await.unwrap().closed);
    assert_eq!(log.append(vec![json("4")], AppendOptions::default()).await.unwrap_err().code(), "closed");
    assert!(append_with(&log, &["1"], keyed("a")).await.replayed, "a key of the table");
    let again = append_with(&log, &["2", "3"], keyed("b")).await;
    assert_eq!((again.first, again.last, again.replayed), (2, 3, true), "a key of a line");
    log.truncate(2).await.unwrap();
    rig.reopen().await;
    let log = rig.history();
    assert!(log.status().await.unwrap().closed);
    assert!(append_with(&log, &["1"], keyed("a")).await.replayed);
}

/// The newest segment was emptied, or its header damaged: what is sealed goes on to count.
#[tokio::test]
async fn an_empty_newest_segment_takes_nothing_from_the_sealed_ones() {
    let mut rig = small_segments();
    let log = rig.history();
    for n in 1..=12 {
        append(&log, &[&format!("\"entry number {n}\"")]).await;
    }
    let head = page(&log, None).await.head;
    let newest = rig.text("history.jsonl").lines().count() as u64 - 1;
    let sealed = head.seq - newest;
    rig.write("history.jsonl", "");
    rig.reopen().await;
    let log = rig.history();
    assert_eq!(page(&log, None).await.entries.len() as u64, sealed);
    assert_eq!(told(&log, &head.to_string()).await, format!("epoch:0>{sealed}"));
    assert_eq!(append(&log, &["1"]).await.first, sealed + 1);
    rig.reopen().await;
    assert_eq!(page(&rig.history(), None).await.entries.len() as u64, sealed + 1);
}

/// A compaction that a kill ended before it removed what it hid.
#[tokio::test]
async fn hidden_segments_go_when_the_compaction_is_asked_for_again() {
    let mut rig = small_segments();
    let log = rig.history();
    for n in 1..=12 {
        append(&log, &[&format!("\"entry number {n}\"")]).await;
    }
    let name = rig.sealed()[0].clone();
    let first = std::fs::read(rig.path("history.d").join(&name)).unwrap();
    log.truncate(9).await.unwrap();
    rig.write(&format!("history.d/{name}"), first);
    rig.reopen().await;
    let log = rig.history();
    assert_eq!(log.truncate(9).await.unwrap().removed, 0);
    assert!(!rig.sealed().contains(&name));
    assert_eq!(told(&log, "9").await, "10 11 12");
}

/// An older newest segment was put back: the sealed ones beyond it are no part of the log, and are not overwritten.
#[tokio::test]
async fn sealed_segments_beyond_the_newest_are_set_aside() {
    let mut rig = small_segments();
    let log = rig.history();
    append(&log, &["\"entry number 1\""]).await;
    let old = rig.text("history.jsonl");
    for n in 2..=12 {
        append(&log, &[&format!("\"entry number {n}\"")]).await;
    }
    let head = page(&log, None).await.head;
    let stale: Vec<Vec<u8>> = rig.sealed().iter().map(|name| std::fs::read(rig.path("history.d").join(name)).unwrap()).collect();
    rig.write("history.jsonl", old);
    rig.reopen().await;
    let log = rig.history();
    assert_eq!(told(&log, &head.to_string()).await, "epoch:0>1");
    for n in 2..=12 {
        append(&log, &[&format!("\"other number {n}\"")]).await;
    }
    rig.reopen().await;
    let log = rig.history();
    let read = texts(&page(&log, None).await.entries);
    assert_eq!(read.len(), 12);
    assert!(read.iter().skip(1).all(|(seq, text)| text == &format!("\"other number {seq}\"")), "{read:?}");
    let kept = rig.quarantined();
    assert!(stale.iter().all(|bytes| kept.contains(bytes)), "nothing was overwritten");
}

/// A new piece began, then lines from before it were lost too.
#[tokio::test]
async fn a_log_that_is_cut_below_an_earlier_piece_can_still_be_written() {
    let mut rig = Rig::new();
    let log = rig.history();
    let first = append(&log, &["1", "2", "3", "4", "5"]).await.cursor;
    let ends: Vec<usize> = rig.text("history.jsonl").match_indices('\n').map(|(at, _)| at + 1).collect();
    for n in 6..=8 {
        append(&log, &[&n.to_string()]).await;
    }
    let copy = rig.text("history.jsonl");
    std::fs::remove_file(rig.path("history.jsonl")).unwrap();
    std::fs::write(rig.path("placeholder"), "takes the old inode").unwrap();
    rig.write("history.jsonl", copy);
    rig.reopen().await;
    let log = rig.history();
    let second = append(&log, &["9"]).await.cursor;
    assert!(second.epoch > first.epoch);
    // between two whole lines, so that nothing but the lineage tells
    let text = rig.text("history.jsonl");
    let header = text.find('\n').unwrap() + 1;
    let cut = header + ends[5] - ends[0];
    std::fs::OpenOptions::new().write(true).open(rig.path("history.jsonl")).unwrap().set_len(cut as u64).unwrap();
    rig.reopen().await;
    let log = rig.history();
    assert_eq!(told(&log, &format!("{}-7", first.epoch)).await, "epoch:0>5");
    assert_eq!(told(&log, &second.to_string()).await, "epoch:0>5");
    append(&log, &["\"six\""]).await;
    rig.reopen().await;
    let log = rig.history();
    append(&log, &["\"seven\""]).await;
    assert_eq!(told(&log, &first.to_string()).await, "6 7");
    assert_eq!(told(&log, &format!("{}-6", first.epoch)).await, "epoch:0>5 6 7");
    assert_eq!(told(&log, &second.to_string()).await, "epoch:0>5 6 7");
}

/// A kill in the middle of a fork leaves a marker of a fork that does not live.
#[tokio::test]
async fn a_fork_that_never_came_to_be_does_not_hold_its_source() {
    let mut rig = Rig::new();
    let source = rig.log("source");
    append(&source, &["1", "2"]).await;
    source.fork(1, &LogName::new("fork").unwrap()).await.unwrap();
    std::fs::remove_file(rig.path("logs/fork.jsonl")).unwrap();
    rig.reopen().await;
    let source = rig.log("source");
    source.delete().await.unwrap();
    assert_eq!(source.status().await.unwrap_err().code(), "no_log");
    assert_eq!(append(&source, &["1"]).await.first, 1);
}

#[tokio::test]
async fn a_refused_write_sets_a_torn_tail_aside_only_once() {
    let mut rig = Rig::new();
    let log = rig.history();
    append(&log, &["1"]).await;
    let mut text = rig.text("history.jsonl");
    text.push_str("{\"seq\":2,\"ts\":1,\"cr");
    rig.write("history.jsonl", text);
    rig.reopen().await;
    let log = rig.history();
    // no epoch can be had, so no header can be written
    let tmp = rig.root().join(".folio/tmp");
    std::fs::rename(&tmp, rig.root().join(".folio/away")).unwrap();
    std::fs::remove_dir(rig.root().join(".folio/away")).unwrap();
    for _ in 0..3 {
        drop(log.append(vec![json("2")], AppendOptions::default()).await.unwrap_err());
    }
    assert!(rig.quarantined().len() <= 1, "{:?}", rig.quarantined());
}
