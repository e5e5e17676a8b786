//! Files that nobody means well with, and edits that no tool should make.

use super::rig::{Rig, append, append_with, entry, header, json, keyed, page, summed, texts, told};
use crate::fs::FsOptions;
use crate::log::{AppendLog, AppendOptions, Order, ReadOptions};
use crate::name::LogName;

#[tokio::test]
async fn nonsense_with_good_sums_never_crashes_anything_and_seqs_go_on() {
    const END: u64 = 1 << 53;
    let mut rig = Rig::new();
    let cases: Vec<(&str, Vec<String>)> = vec![
        ("base above everything", vec![header(9, "[[0,0]]", END - 1, 0)]),
        ("base beyond what there is", vec![header(9, "[[0,0]]", 100, 0), entry(1, "", "1")]),
        ("horizon above the head", vec![header(9, "[[0,0]]", 0, 50), entry(1, "", "1")]),
        ("prev above the head", vec![header(9, "[[0,0],[5,1000]]", 0, 0), entry(1, "", "1")]),
        ("prev falls", vec![header(9, "[[0,7],[5,3]]", 0, 0), entry(1, "", "1")]),
        ("prev does not rise", vec![header(9, "[[9,7]]", 0, 0), entry(1, "", "1")]),
        ("no prev at all", vec![header(9, "[]", 0, 0), entry(1, "", "1")]),
        ("the last epoch there is", vec![header(END - 1, "[[0,0]]", 0, 0), entry(1, "", "1")]),
        ("the last seq there is", vec![header(9, "[[0,0]]", END - 2, 0), entry(END - 1, "", "1")]),
        ("seq 0", vec![header(9, "[[0,0]]", 0, 0), entry(0, "", "1")]),
        ("seq 0 without a header", vec![entry(0, "", "1"), entry(1, "", "1")]),
        ("a step", vec![header(9, "[[0,0]]", 0, 0), entry(1, "", "1"), entry(1 << 50, "", "2")]),
        ("more than there are", vec![header(9, "[[0,0]]", 0, 0), entry(1, ",\"more\":18446744073709551615", "1")]),
        (
            "a unit larger than its seq",
            vec![
                header(9, "[[0,0]]", 0, 0),
                entry(1, ",\"n\":18446744073709551615,\"key\":[\"0000000000000001\",\"0000000000000001\"]", "1"),
            ],
        ),
        ("only a header", vec![header(9, "[[0,0]]", 0, 0)]),
    ];
    for (what, lines) in cases {
        rig.write("history.jsonl", lines.join("\n") + "\n");
        rig.reopen().await;
        let log = rig.history();
        let before = page(&log, None).await;
        let order = Order::Desc;
        let descending = log.read(ReadOptions { order, ..ReadOptions::default() }).await.unwrap();
        assert_eq!(before.head, descending.head, "{what}");
        for since in ["0", "3", "9-1", "9-1001", "9007199254740991"] {
            let _ = page(&log, Some(since)).await;
        }
        for options in [AppendOptions::default(), keyed("k")] {
            match log.append(vec![json("1"), json("2")], options).await {
                Ok(_) => {}
                Err(error) => assert!(["damaged", "invalid"].contains(&error.code()), "{what}: {error}"),
            }
        }
        let after = page(&log, None).await;
        assert!(after.head.seq >= before.head.seq, "{what}");
        rig.reopen().await;
        let log = rig.history();
        let again = page(&log, None).await;
        assert_eq!((again.head, &again.lineage), (after.head, &after.lineage), "{what}");
        let _ = log.truncate(before.head.seq).await;
        let _ = log.fork(after.head.seq, &LogName::new("fork").unwrap()).await;
        let _ = rig.log("fork").delete().await;
        rig.reopen().await;
        assert_eq!(page(&rig.history(), None).await.head.seq, after.head.seq, "{what}");
        let _ = std::fs::remove_dir_all(rig.path("history.d"));
    }
}

/// Where the first line of the newest segment is damaged, the sealed ones are all that tells of the epochs.
#[tokio::test]
async fn a_compaction_that_changes_nothing_keeps_what_tells_of_the_epochs() {
    let mut rig = Rig::new();
    rig.write("history.d/00000000000000000001.jsonl", format!("{}\n{}\n", header(12, "[[0,0]]", 0, 1), entry(1, "", "1")));
    rig.write("history.jsonl", format!("{}\n{}\n", header(12, "[[0,0]]", 1, 1).replace("id", "di"), entry(2, "", "2")));
    rig.reopen().await;
    let before = page(&rig.history(), None).await;
    assert_eq!((before.head.epoch, before.head.seq), (12, 2));
    assert_eq!(rig.history().truncate(1).await.unwrap().removed, 0);
    rig.reopen().await;
    let after = page(&rig.history(), None).await;
    assert_eq!((after.head, after.entries), (before.head, before.entries));
}

/// Only a named log can be absent: waiting for a history to come would have no end.
#[tokio::test]
async fn a_history_that_says_it_is_absent_is_read() {
    let mut rig = Rig::new();
    let absent =
        summed("{\"folio\":1,\"epoch\":9,\"id\":[1,1],\"prev\":[[0,0]],\"base\":0,\"horizon\":0,\"absent\":true,\"ts\":1", "}");
    rig.write("history.jsonl", format!("{absent}\n{}\n", entry(1, "", "1")));
    assert_eq!(told(&rig.history(), "0").await, "1");
    append(&rig.history(), &["2"]).await;
    rig.reopen().await;
    assert_eq!(told(&rig.history(), "0").await, "1 2");
}

/// A hole that is wider than a page, of ten entries or of nearly all seqs there are, is one hole in both orders.
#[tokio::test]
async fn a_wide_hole_is_told_once_in_both_orders() {
    let mut rig = Rig::new();
    for last in [14, (1 << 53) - 9] {
        let lines = [header(9, "[[0,0]]", 0, 0), entry(1, "", "1"), entry(2, "", "2"), entry(last, "", "3")];
        rig.write("history.jsonl", lines.join("\n") + "\n");
        rig.reopen().await;
        let log = rig.history();
        let gap = page(&log, Some("9-2")).await.gap.unwrap();
        assert_eq!((gap.lost, gap.resumes_after.seq), (Some(last - 3), last - 1));
        let down = |before| ReadOptions { before, order: Order::Desc, limit: 2, ..ReadOptions::default() };
        let top = log.read(down(None)).await.unwrap();
        assert_eq!((texts(&top.entries), top.gap, top.next_before), (vec![(last, "3".to_owned())], None, Some(last)));
        let below = log.read(down(top.next_before)).await.unwrap();
        assert_eq!((below.gap, below.entries.first().map(|entry| entry.seq)), (Some(gap), Some(2)));
        assert_eq!(told(&log, "0").await, format!("1 2 corrupt:{}>{} {last}", last - 3, last - 1));
    }
}

/// Seqs of another tool that do not rise: what can't be shown is at least kept as it was.
#[tokio::test]
async fn another_tools_log_is_never_thrown_away() {
    for old in [
        "{\"seq\":5,\"ts\":1,\"data\":1}\n{\"seq\":3,\"ts\":1,\"data\":1}\n{\"seq\":4,\"ts\":1,\"data\":1}\n",
        "{\"seq\":2,\"ts\":1,\"data\":1}\n{\"seq\":1,\"ts\":1,\"data\":1}\n",
        "{\"seq\":1,\"ts\":1,\"data\":1}\n{\"seq\":1,\"ts\":1,\"data\":2}\n",
        "{\"seq\":1,\"ts\":1,\"data\":1}\r\n{\"seq\":3,\"ts\":1,\"data\":1}\r\n",
        "{\"seq\":1,\"ts\":\"today\",\"data\":1}\n",
    ] {
        let mut rig = Rig::new();
        rig.write("history.jsonl", old);
        let log = rig.history();
        let before = page(&log, None).await;
        assert_eq!(append(&log, &["\"new\""]).await.first, before.head.seq + 1);
        let kept: Vec<Vec<u8>> =
            rig.sealed().iter().map(|name| std::fs::read(rig.path("history.d").join(name)).unwrap()).collect();
        assert!(kept.iter().chain(&rig.quarantined()).any(|bytes| bytes == old.as_bytes()), "{old}");
        rig.reopen().await;
        let after = page(&rig.history(), None).await;
        assert_eq!(after.entries[..before.entries.len()], before.entries, "{old}");
        assert_eq!(after.head.seq, before.head.seq + 1, "{old}");
    }
}

/// A log whose data are lines of a log, as one that mirrors another has.
#[tokio::test]
async fn a_torn_line_that_holds_a_line_is_not_taken_for_it() {
    let mut rig = Rig::new();
    let log = rig.history();
    append(&log, &["1"]).await;
    append(&log, &[&entry(1_000, "", "\"mirrored\"")]).await;
    append(&log, &["3"]).await;
    let bytes = std::fs::read(rig.path("history.jsonl")).unwrap();
    let ends: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] == b'\n').map(|at| at + 1).collect();
    // the last brace is lost
    rig.write("history.jsonl", &bytes[..ends[2] - 2]);
    rig.reopen().await;
    assert_eq!(page(&rig.history(), None).await.head.seq, 1);
    // and in the middle
    rig.write("history.jsonl", [&bytes[..ends[2] - 2], &bytes[ends[2] - 1..]].concat());
    rig.reopen().await;
    assert_eq!(told(&rig.history(), "0").await, "1 corrupt:1>2 3");
    // one that would take the place of the good line behind it
    let inner = format!("{}}}", entry(3, "", "\"instead\"}").strip_suffix('}').unwrap());
    let outer = format!("{{\"seq\":2,\"ts\":1,\"crc\":\"00000000\",\"data\":{inner}\n");
    rig.write("history.jsonl", [&bytes[..ends[1]], outer.as_bytes(), &bytes[ends[2]..]].concat());
    rig.reopen().await;
    let log = rig.history();
    assert_eq!(told(&log, "0").await, "1 corrupt:1>2 3");
    assert_eq!(texts(&page(&log, Some("2")).await.entries), [(3, "3".to_owned())]);
}

/// Whoever copies lines to the end of the file can't turn the log back.
#[tokio::test]
async fn old_lines_pasted_at_the_end_are_no_part_of_the_log() {
    let mut rig = Rig::new();
    let log = rig.history();
    for n in 1..=5 {
        append(&log, &[&n.to_string()]).await;
    }
    let head = page(&log, None).await.head;
    let text = rig.text("history.jsonl");
    let second = text.lines().nth(2).unwrap();
    rig.write("history.jsonl", format!("{text}{second}\n"));
    rig.reopen().await;
    let log = rig.history();
    assert_eq!(page(&log, None).await.head.seq, 5);
    let appended = append(&log, &["6"]).await;
    assert_eq!(appended.first, 6);
    assert!(appended.cursor.epoch > head.epoch);
    assert_eq!(rig.quarantined(), [format!("{second}\n").into_bytes()]);
}

/// Reading a damaged line costs time in proportion to its length, whatever it holds.
#[tokio::test]
async fn a_damaged_line_full_of_beginnings_is_read_quickly() {
    let mut rig = Rig::new();
    let log = rig.history();
    let objects = "{\"seq\":1},".repeat(100_000);
    append(&log, &[&format!("[{}0]", objects)]).await;
    append(&log, &["2"]).await;
    let mut bytes = std::fs::read(rig.path("history.jsonl")).unwrap();
    let at = bytes.windows(7).position(|part| part == b"{\"seq\":").unwrap();
    bytes[at + 10] ^= 1;
    rig.write("history.jsonl", bytes);
    rig.reopen().await;
    let reading = told(&rig.history(), "0").await;
    assert_eq!(reading, "corrupt:1>1 2");
}

#[tokio::test]
async fn a_damaged_table_of_keys_is_kept_once() {
    let mut rig = Rig::with(FsOptions { segment_bytes: 400, ..FsOptions::default() });
    let log = rig.history();
    append_with(&log, &["1"], keyed("k")).await;
    append(&log, &["2"]).await;
    log.truncate(1).await.unwrap();
    let text = rig.text("history.jsonl").replacen("\"keys\":[[\"", "\"keys\":[[\"0", 1);
    rig.write("history.jsonl", &text);
    rig.reopen().await;
    let log = rig.history();
    for n in 3..=20 {
        append(&log, &[&n.to_string()]).await;
        log.truncate(n - 2).await.unwrap();
        assert_eq!(rig.text("history.jsonl").matches("\"state\":{\"keys\":").count(), 1, "{n}");
    }
    let table = format!("{}\n", text.lines().nth(1).unwrap());
    assert_eq!(rig.quarantined(), [table.into_bytes()]);
    rig.reopen().await;
    assert_eq!(rig.history().append(vec![json("1")], keyed("k")).await.unwrap_err().code(), "damaged");
}

/// Not everything that says `state` is the table.
#[tokio::test]
async fn a_damaged_entry_with_a_state_is_not_taken_for_the_table() {
    let mut rig = Rig::new();
    let log = rig.history();
    append(&log, &["{\"state\":{\"keys\":[]}}"]).await;
    append(&log, &["2"]).await;
    let text = rig.text("history.jsonl");
    rig.write("history.jsonl", text.replacen("{\"seq\":1,\"ts\":1", "{\"seq\":1,\"ts\":2", 1));
    rig.reopen().await;
    let log = rig.history();
    assert_eq!(append_with(&log, &["3"], keyed("k")).await.first, 3);
    assert_eq!(told(&log, "0").await, "corrupt:1>1 2 3");
}

/// The table and the line behind it, with the newline between them lost.
#[tokio::test]
async fn a_table_that_is_glued_to_an_entry_is_damaged() {
    let mut rig = Rig::new();
    let log = rig.history();
    append_with(&log, &["1"], keyed("k")).await;
    log.truncate(1).await.unwrap();
    append(&log, &["2"]).await;
    let text = rig.text("history.jsonl");
    let second = text.find("\n{\"seq\":2,").unwrap();
    // Another file, as editors make one: the next write begins a new segment.
    std::fs::remove_file(rig.path("history.jsonl")).unwrap();
    rig.write("history.jsonl", format!("{}{}", &text[..second], &text[second + 1..]));
    rig.reopen().await;
    let log = rig.history();
    assert_eq!(log.append(vec![json("1")], keyed("k")).await.unwrap_err().code(), "damaged");
    assert_eq!(told(&log, "1").await, "2");
    // The segment is made anew, with the table as it lies and the entry that was glued to it.
    append(&log, &["3"]).await;
    rig.reopen().await;
    assert_eq!(told(&rig.history(), "1").await, "2 3");
}

/// A line with a good sum that looks like a table, among the entries: it is none, and costs none of them.
#[tokio::test]
async fn a_damaged_table_among_the_entries_takes_none_along() {
    let mut rig = Rig::new();
    let state = summed("{\"seq\":1,\"ts\":1", ",\"state\":{\"keys\":[[\"a\"]]}}");
    let lines = [header(9, "[[0,0]]", 0, 0), entry(1, "", "1"), state, entry(2, "", "2")];
    rig.write("history.jsonl", lines.join("\n") + "\n");
    rig.reopen().await;
    let log = rig.history();
    assert_eq!(told(&log, "0").await, "1 2");
    assert_eq!(log.append(vec![json("3")], keyed("k")).await.unwrap_err().code(), "damaged");
    append(&log, &["3"]).await;
    rig.reopen().await;
    assert_eq!(told(&rig.history(), "0").await, "1 2 3");
}

/// A key whose entries were lost with the tail is a new one: its retry must not be told that they are there.
#[tokio::test]
async fn a_key_is_forgotten_with_its_entries() {
    let mut rig = Rig::new();
    let log = rig.history();
    append(&log, &["1"]).await;
    append_with(&log, &["2"], keyed("k")).await;
    append(&log, &["3"]).await;
    log.truncate(1).await.unwrap();
    assert!(rig.text("history.jsonl").contains("\"state\""));
    let text = rig.text("history.jsonl");
    let cut = text.find("{\"seq\":2,").unwrap() + 20;
    rig.write("history.jsonl", &text[..cut]);
    rig.reopen().await;
    let log = rig.history();
    assert_eq!(page(&log, None).await.head.seq, 1);
    let again = append_with(&log, &["2"], keyed("k")).await;
    assert_eq!((again.first, again.replayed), (2, false));
}

/// An entry that lost its newline to a torn one keeps its key.
#[tokio::test]
async fn a_recovered_line_keeps_its_key() {
    let mut rig = Rig::new();
    let log = rig.history();
    append(&log, &["1"]).await;
    append_with(&log, &["2"], keyed("k")).await;
    append(&log, &["3"]).await;
    let text = rig.text("history.jsonl");
    let second = text.find("{\"seq\":2,").unwrap();
    rig.write("history.jsonl", format!("{}{}", &text[..second - 8], &text[second..]));
    rig.reopen().await;
    let log = rig.history();
    assert_eq!(told(&log, "0").await, "corrupt:1>1 2 3");
    assert!(append_with(&log, &["2"], keyed("k")).await.replayed);
}

/// A fork at an entry that is damaged still ends there: the number is not given out again under the source's epoch.
#[tokio::test]
async fn a_fork_at_a_damaged_entry_goes_on_after_it() {
    let mut rig = Rig::new();
    let log = rig.history();
    for n in 1..=5 {
        append(&log, &[&n.to_string()]).await;
    }
    let text = rig.text("history.jsonl");
    let third = text.find("{\"seq\":3,").unwrap();
    let mut bytes = text.into_bytes();
    bytes[third + 8] ^= 1;
    rig.write("history.jsonl", bytes);
    rig.reopen().await;
    let log = rig.history();
    log.fork(3, &LogName::new("fork").unwrap()).await.unwrap();
    for _ in 0..2 {
        let fork = rig.log("fork");
        assert_eq!(page(&fork, None).await.head.seq, 3);
        assert_eq!(told(&fork, "0").await, "1 2 corrupt:1>3");
        rig.reopen().await;
    }
    let fork = rig.log("fork");
    let appended = append(&fork, &["4"]).await;
    assert_eq!(appended.first, 4);
    assert_eq!(told(&fork, "0").await, "1 2 corrupt:1>3 4");
}
