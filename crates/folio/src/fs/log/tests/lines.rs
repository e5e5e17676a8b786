//! Reading as lines tells what reading entry by entry tells, on logs of any kind and in any state.

use bytes::Bytes;
use fastrand::Rng;

use super::rig::{Rig, append, append_with, json, keyed, read, told};
use crate::clock::ManualClock;
use crate::cursor::Cursor;
use crate::fs::FsOptions;
use crate::log::{AppendLog, AppendOptions, Data, MAX_PAGE_BYTES, Order, ReadOptions};

/// A log of a few segments: units, keys, bytes, compaction, several pieces; and perhaps another tool's to begin with.
async fn made(random: &mut Rng) -> Rig {
    // Before the files were made, or so long after that what is found in them is remembered.
    let clock = std::sync::Arc::new(ManualClock::new(if random.bool() { 1_763_900_000_000 } else { 4_000_000_000_000 }));
    let mut rig = Rig::with(FsOptions { clock, segment_bytes: random.u64(300..4_000), ..FsOptions::default() });
    if random.bool() {
        let first = random.u64(1..5);
        let line = |seq| format!("{{\"seq\": {seq}, \"ts\":7, \"data\":{{\"other\": {seq}}}}}\n");
        rig.write("history.jsonl", (first..first + random.u64(1..30)).map(line).collect::<String>());
        rig.reopen().await;
    }
    for n in 0..random.u32(5..40) {
        let log = rig.history();
        match random.u32(0..12) {
            0 => {
                let head = log.status().await.unwrap().head.seq;
                let _ = log.truncate(random.u64(0..=head)).await.unwrap();
            }
            1 => rig.reopen().await,
            2 => drop(log.append(vec![Data::Bytes(Bytes::from(vec![7; random.usize(0..50)]))], AppendOptions::default()).await),
            3 => drop(append_with(&log, &["1", "{\"crc\":\"x\",\"seq\":9}"], keyed(&format!("key-{n}"))).await),
            4 => {
                let texts: Vec<_> = (0..random.usize(2..30)).map(|n| format!("\"{}\"", "é".repeat(n))).collect();
                let _ = log.append(texts.iter().map(|text| json(text)).collect(), AppendOptions::default()).await.unwrap();
            }
            _ => drop(append(&log, &["{\"plain\":[1,2,3]}"]).await),
        }
    }
    rig
}

fn damage(rig: &Rig, random: &mut Rng) {
    let sealed = rig.sealed().into_iter().map(|name| format!("history.d/{name}"));
    let files: Vec<_> = sealed.chain(["history.jsonl".to_owned()]).collect();
    let Some(file) = random.choice(&files) else { return };
    let Ok(mut bytes) = std::fs::read(rig.path(file)) else { return };
    for _ in 0..random.usize(1..4) {
        if bytes.len() < 2 {
            break;
        }
        let at = random.usize(0..bytes.len());
        match random.u32(0..5) {
            0 => bytes[at] ^= 1 << random.u32(0..8),
            1 => drop(bytes.splice(at..at, *b"\n")),
            2 => {
                let newline = bytes[at..].iter().position(|byte| *byte == b'\n').map(|found| at + found);
                if let Some(found) = newline {
                    bytes.remove(found);
                }
            }
            3 => {
                let to = (at + random.usize(0..200)).min(bytes.len());
                // lines that come twice, or in another order
                let piece = bytes[at..to].to_vec();
                let place = random.usize(0..bytes.len());
                drop(bytes.splice(place..place, piece));
            }
            _ => bytes.truncate(at),
        }
    }
    rig.write(file, bytes);
}

async fn compare(rig: &Rig, random: &mut Rng) {
    let log = rig.history();
    let head = log.status().await.unwrap().head;
    let mut since = None;
    for _ in 0..200 {
        let limit = random.usize(1..9);
        let max_bytes = if random.bool() { random.usize(1..100) } else { MAX_PAGE_BYTES };
        let page = read(&log, ReadOptions { since, limit, max_bytes, ..ReadOptions::default() }).await;
        since = page.next.map(Into::into);
        if page.next == Some(head) {
            break;
        }
    }
    let before = Some(random.u64(0..head.seq + 3));
    drop(read(&log, ReadOptions { before, order: Order::Desc, limit: random.usize(1..30), ..ReadOptions::default() }).await);
    drop(read(&log, ReadOptions { before, since: Some(Cursor::bare(0)), ..ReadOptions::default() }).await);
    for seq in [0, head.seq / 2, head.seq] {
        drop(told(&log, &seq.to_string()).await);
    }
}

#[tokio::test]
async fn whole_and_damaged_logs_read_the_same_both_ways() {
    for seed in 0..60 {
        let mut random = Rng::with_seed(seed);
        let mut rig = made(&mut random).await;
        compare(&rig, &mut random).await;
        for _ in 0..3 {
            damage(&rig, &mut random);
            // half of the time while it is in use
            if random.bool() {
                rig.reopen().await;
            }
            compare(&rig, &mut random).await;
        }
    }
}
