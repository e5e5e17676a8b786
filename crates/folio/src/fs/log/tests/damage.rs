use super::rig::{Rig, append, append_with, json, keyed, page, texts, told};
use crate::fs::FsOptions;
use crate::log::{AppendLog, AppendOptions};

/// A log of units 1, 2–4 and 5, and where each of its lines ends.
async fn small() -> (Rig, Vec<u8>, Vec<usize>) {
    let rig = Rig::new();
    let log = rig.history();
    append(&log, &["\"one\""]).await;
    append_with(&log, &["2", "3", "4"], keyed("k")).await;
    append(&log, &["{\"five\":5}"]).await;
    let bytes = std::fs::read(rig.path("history.jsonl")).unwrap();
    let ends = (0..bytes.len()).filter(|&at| bytes[at] == b'\n').map(|at| at + 1).collect();
    (rig, bytes, ends)
}

#[tokio::test]
async fn a_log_cut_at_any_byte_ends_with_its_last_whole_unit() {
    let (mut rig, bytes, ends) = small().await;
    let header = ends[0];
    // by lines: header, 1, 2, 3, 4, 5
    for cut in header..bytes.len() {
        for torn in [&b""[..], &[0; 20]] {
            rig.write("history.jsonl", [&bytes[..cut], torn].concat());
            rig.reopen().await;
            let log = rig.history();
            // a whole line counts without its newline
            let whole = |end: usize| cut >= end || (cut == end - 1 && torn.is_empty());
            let head = if whole(ends[5]) {
                5
            } else if whole(ends[4]) {
                4
            } else if whole(ends[1]) {
                1
            } else {
                0
            };
            let read = page(&log, None).await;
            assert_eq!(read.head.seq, head, "cut at {cut}");
            assert_eq!(read.entries.len() as u64, head);
            assert_eq!(read.gap, None);
            let appended = append(&log, &["\"next\""]).await;
            assert_eq!(appended.first, head + 1, "cut at {cut}");
            rig.reopen().await;
            let read = page(&rig.history(), None).await;
            assert_eq!(read.entries.len() as u64, head + 1, "cut at {cut}");
            assert_eq!(texts(&read.entries).last().unwrap().1, "\"next\"");
        }
    }
}

#[tokio::test]
async fn a_cut_tail_begins_a_new_piece_and_is_kept() {
    let (mut rig, bytes, ends) = small().await;
    let before = page(&rig.history(), None).await;
    rig.write("history.jsonl", &bytes[..ends[5] - 3]);
    rig.reopen().await;
    let log = rig.history();
    assert_eq!(told(&log, &before.head.to_string()).await, "epoch:0>4");
    append(&log, &["\"other\""]).await;
    assert_eq!(rig.quarantined(), [bytes[ends[4]..ends[5] - 3].to_vec()]);
    assert_eq!(told(&log, &before.head.to_string()).await, "epoch:0>4 5");
    assert_eq!(told(&log, &format!("{}-4", before.head.epoch)).await, "5");
}

#[tokio::test]
async fn a_flipped_bit_anywhere_is_told_and_nothing_behind_it_is_lost() {
    let (mut rig, bytes, ends) = small().await;
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x04;
        rig.write("history.jsonl", &flipped);
        rig.reopen().await;
        let log = rig.history();
        let line = ends.iter().filter(|&&end| end <= at).count();
        let wanted = match line {
            0 => "1 2 3 4 5",
            // a newline that became another byte glues two lines; the second one is recovered
            1 => "corrupt:1>1 2 3 4 5",
            2 => "1 corrupt:1>2 3 4 5",
            3 => "1 2 corrupt:1>3 4 5",
            4 => "1 2 3 corrupt:1>4 5",
            _ => "1 2 3 4",
        };
        let wanted = if line == 5 && at == bytes.len() - 1 { "1 2 3 4" } else { wanted };
        assert_eq!(told(&log, "0").await, wanted, "byte {at} of line {line}");
        let next = log.append(vec![json("6")], AppendOptions::default()).await;
        match line {
            0 => assert_eq!(next.unwrap_err().code(), "damaged", "byte {at}"),
            _ => drop(next.unwrap()),
        }
    }
}

#[tokio::test]
async fn a_lost_newline_costs_only_what_was_torn() {
    let (mut rig, bytes, ends) = small().await;
    let mut glued = bytes[..ends[1] - 10].to_vec();
    glued.extend_from_slice(&bytes[ends[1]..]);
    rig.write("history.jsonl", &glued);
    rig.reopen().await;
    assert_eq!(told(&rig.history(), "0").await, "corrupt:1>1 2 3 4 5");
}

#[tokio::test]
async fn damage_outlives_compaction_and_is_never_skipped_in_silence() {
    let (mut rig, mut bytes, ends) = small().await;
    bytes[ends[2] + 9] ^= 1;
    rig.write("history.jsonl", &bytes);
    rig.reopen().await;
    let log = rig.history();
    log.truncate(1).await.unwrap();
    assert_eq!(told(&log, "1").await, "2 corrupt:1>3 4 5");
    log.truncate(2).await.unwrap();
    assert_eq!(told(&log, "2").await, "corrupt:1>3 4 5");
    rig.reopen().await;
    assert_eq!(told(&rig.history(), "2").await, "corrupt:1>3 4 5");
    let read = page(&rig.history(), Some("2")).await;
    assert_eq!((read.gap.unwrap().lost, read.entries[0].seq), (Some(1), 4));
}

#[tokio::test]
async fn a_damaged_table_of_keys_stops_only_keyed_appends() {
    let mut rig = Rig::new();
    let log = rig.history();
    append_with(&log, &["1"], keyed("k")).await;
    append(&log, &["2"]).await;
    log.truncate(1).await.unwrap();
    let text = rig.text("history.jsonl");
    assert!(text.contains("\"state\":{\"keys\":"), "{text}");
    rig.write("history.jsonl", text.replacen("\"keys\":[[\"", "\"keys\":[[\"0", 1));
    rig.reopen().await;
    let log = rig.history();
    assert_eq!(log.append(vec![json("1")], keyed("k")).await.unwrap_err().code(), "damaged");
    append(&log, &["3"]).await;
    log.truncate(2).await.unwrap();
    rig.reopen().await;
    let log = rig.history();
    assert_eq!(log.append(vec![json("1")], keyed("k")).await.unwrap_err().code(), "damaged");
    assert_eq!(told(&log, "2").await, "3");
}

#[tokio::test]
async fn a_copied_or_replaced_file_begins_a_new_piece() {
    let (mut rig, bytes, _) = small().await;
    let head = page(&rig.history(), None).await.head;
    std::fs::remove_file(rig.path("history.jsonl")).unwrap();
    std::fs::write(rig.path("placeholder"), "takes the old inode").unwrap();
    rig.write("history.jsonl", &bytes);
    rig.reopen().await;
    let log = rig.history();
    assert_eq!(told(&log, &head.to_string()).await, "");
    assert_eq!(told(&log, &format!("{}-6", head.epoch)).await, "epoch:0>5");
    append(&log, &["6"]).await;
    let lineage = page(&log, None).await.lineage;
    assert_eq!((lineage[1].epoch, lineage[1].last, lineage.len()), (head.epoch, 5, 3));
}

#[tokio::test]
async fn a_missing_newest_segment_is_noticed() {
    let mut rig = Rig::with(FsOptions { segment_bytes: 300, ..FsOptions::default() });
    let log = rig.history();
    for n in 1..=12 {
        append(&log, &[&format!("\"entry number {n}\"")]).await;
    }
    let head = page(&log, None).await.head;
    let last_sealed: u64 = rig.text(&format!("history.d/{}", rig.sealed().last().unwrap())).lines().count() as u64 - 1
        + rig.sealed().last().unwrap()[..20].parse::<u64>().unwrap()
        - 1;
    std::fs::remove_file(rig.path("history.jsonl")).unwrap();
    rig.reopen().await;
    let log = rig.history();
    assert_eq!(page(&log, None).await.head.seq, last_sealed);
    assert_eq!(told(&log, &head.to_string()).await, format!("epoch:0>{last_sealed}"));
    assert_eq!(append(&log, &["1"]).await.first, last_sealed + 1);
    assert_eq!(told(&log, &head.to_string()).await, format!("epoch:0>{last_sealed} {}", last_sealed + 1));
}

#[tokio::test]
async fn a_missing_sealed_segment_is_a_hole() {
    let rig = Rig::with(FsOptions { segment_bytes: 300, ..FsOptions::default() });
    let log = rig.history();
    for n in 1..=12 {
        append(&log, &[&format!("\"entry number {n}\"")]).await;
    }
    let sealed = rig.sealed();
    let (gone, next): (u64, u64) = (sealed[1][..20].parse().unwrap(), sealed[2][..20].parse().unwrap());
    std::fs::remove_file(rig.path("history.d").join(&sealed[1])).unwrap();
    let before: Vec<String> = (1..gone).map(|n| n.to_string()).collect();
    let after: Vec<String> = (next..=12).map(|n| n.to_string()).collect();
    let wanted = format!("{} corrupt:{}>{} {}", before.join(" "), next - gone, next - 1, after.join(" "));
    assert_eq!(told(&log, "0").await, wanted);
}

/// Fault 17: other programs at work on the file under an open store.
#[tokio::test]
async fn edits_under_an_open_store_are_noticed() {
    let (rig, bytes, ends) = small().await;
    let log = rig.history();
    let head = page(&log, None).await.head;
    // cut at a line, in place
    std::fs::OpenOptions::new().write(true).open(rig.path("history.jsonl")).unwrap().set_len(ends[4] as u64).unwrap();
    assert_eq!(page(&log, None).await.head.seq, 4);
    assert_eq!(append(&log, &["\"new five\""]).await.first, 5);
    assert_eq!(told(&log, &head.to_string()).await, "epoch:0>4 5");
    // a line added by hand
    let mut text = rig.text("history.jsonl");
    text.push_str("{\"seq\":6,\"ts\":1,\"data\":\"by hand\"}\n");
    rig.write("history.jsonl", text);
    let appended = append(&log, &["\"six\""]).await;
    assert_eq!(appended.first, 6);
    assert_eq!(texts(&page(&log, None).await.entries).last().unwrap().1, "\"six\"");
    assert_eq!(rig.quarantined().len(), 1);
    // replaced by an editor, with the old content
    std::fs::write(rig.path("other"), &bytes).unwrap();
    std::fs::rename(rig.path("other"), rig.path("history.jsonl")).unwrap();
    assert_eq!(page(&log, None).await.head.seq, 5);
    assert_eq!(append(&log, &["\"again\""]).await.first, 6);
    // removed
    std::fs::remove_file(rig.path("history.jsonl")).unwrap();
    assert_eq!(page(&log, None).await.head.seq, 0);
    let reborn = append(&log, &["1"]).await;
    assert_eq!(reborn.first, 1);
    assert!(reborn.cursor.epoch > appended.cursor.epoch);
}

/// A tool that still writes its own log is followed by readers; only a write of ours ends that.
#[tokio::test]
async fn another_tools_log_may_grow() {
    let rig = Rig::new();
    rig.write("history.jsonl", "");
    let log = rig.history();
    assert_eq!(page(&log, None).await.head.seq, 0);
    rig.write("history.jsonl", "{\"seq\":1,\"ts\":1,\"data\":1}\n");
    assert_eq!(page(&log, None).await.head.to_string(), "0-1");
    rig.write("history.jsonl", "{\"seq\":1,\"ts\":1,\"data\":1}\n{\"seq\":2,\"ts\":1,\"data\":2}\n");
    assert_eq!(page(&log, Some("0-1")).await.entries.len(), 1);
    assert_eq!(told(&log, "0-9").await, "ahead:0>2");
    assert_eq!(append(&log, &["3"]).await.first, 3);
}

#[tokio::test]
async fn foreign_files_never_crash_anything() {
    let mut rig = Rig::new();
    let long = format!("{{\"seq\":1,\"ts\":1,\"data\":\"{}", "x".repeat(300_000));
    let cases: &[&[u8]] = &[
        b"",
        b"\n",
        b"\n\n\n",
        b"\0\0\0\0",
        b"{",
        b"{\"seq\":",
        b"{\"seq\":1}",
        b"{\"folio\":1}\n",
        b"{\"folio\":",
        b"\xff\xfe\n\xff",
        b"[1,2,3]\n",
        b"{\"seq\":18446744073709551615,\"ts\":1,\"data\":1}\n",
        b"{\"seq\":0,\"ts\":0,\"data\":0}\n",
        long.as_bytes(),
        b"{\"seq\":5,\"ts\":1,\"data\":1}\n{\"seq\":3,\"ts\":1,\"data\":1}\n{\"seq\":4,\"ts\":1,\"data\":1}\n",
    ];
    for case in cases {
        rig.write("history.jsonl", case);
        rig.reopen().await;
        let log = rig.history();
        let _ = page(&log, None).await;
        let _ = page(&log, Some("3")).await;
        let _ = log.status().await.unwrap();
        for options in [AppendOptions::default(), keyed("k")] {
            let appended = log.append(vec![json("1")], options).await;
            assert!(
                !appended.is_err_and(|error| error.code() == "outcome_unknown"),
                "{}",
                String::from_utf8_lossy(&case[..case.len().min(80)])
            );
        }
        let _ = log.truncate(2).await;
        let _ = page(&log, None).await;
        let _ = std::fs::remove_dir_all(rig.path("history.d"));
    }
    std::fs::remove_file(rig.path("history.jsonl")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", rig.path("history.jsonl")).unwrap();
    rig.reopen().await;
    assert_eq!(rig.history().status().await.unwrap_err().code(), "damaged");
}

/// An older file was put in the place of the newest segment: what was sealed since stays no part of the log, also when the
/// log has grown past it.
#[tokio::test]
async fn segments_beyond_a_restored_file_never_come_back() {
    let mut rig = Rig::with(FsOptions { segment_bytes: 400, ..FsOptions::default() });
    let log = rig.history();
    append(&log, &["1"]).await;
    let old = rig.text("history.jsonl");
    for n in 2..=20 {
        append(&log, &[&n.to_string()]).await;
    }
    assert!(rig.sealed().len() > 2);
    rig.write("history.jsonl", old);
    for name in &rig.sealed()[..1] {
        std::fs::remove_file(rig.path("history.d").join(name)).unwrap();
    }
    rig.reopen().await;
    let log = rig.history();
    assert_eq!(told(&log, "0").await, "1");
    let mut expected = String::from("1");
    for n in 2..=20 {
        // Longer, so that other entries begin the segments.
        append(&log, &[&(n + 1_000_000_000_000_u64).to_string()]).await;
        expected += &format!(" {n}");
    }
    rig.reopen().await;
    let log = rig.history();
    assert_eq!(told(&log, "0").await, expected);
    let entries = texts(&page(&log, Some("1")).await.entries);
    assert!(entries.iter().all(|(seq, text)| *text == (seq + 1_000_000_000_000).to_string()), "{entries:?}");
}

/// What is no part of the log stays out of it when the segment is sealed by the first write of a store.
#[tokio::test]
async fn a_torn_tail_is_cut_from_a_segment_that_is_sealed() {
    let mut rig = Rig::new();
    let log = rig.history();
    let large = format!("\"{}\"", "x".repeat(600 << 10));
    append(&log, &[&large, &large]).await;
    let whole = rig.text("history.jsonl");
    rig.write("history.jsonl", format!("{whole}{{\"seq\":3,\"ts\""));
    rig.reopen().await;
    let log = rig.history();
    assert_eq!(append(&log, &["3"]).await.first, 3);
    let sealed = rig.sealed();
    assert_eq!(sealed.len(), 1);
    assert!(rig.text(&format!("history.d/{}", sealed[0])) == whole);
    assert_eq!(told(&log, "0").await, "1 2 3");
}
