//! What is recovered from damage is decided by the good lines around it: the same way whoever reads, and whatever is
//! written afterwards.

use fastrand::Rng;

use super::rig::{Rig, append, append_with, entry, header, json, keyed, page, read, texts, told};
use crate::cursor::Seq;
use crate::fs::doctor;
use crate::fs::log::FsLog;
use crate::log::{AppendLog, ReadOptions};
use crate::name::LogName;

/// A log with these lines behind a header, the newest segment of a store that was opened just now.
async fn log_of(lines: &[String]) -> Rig {
    let mut rig = Rig::new();
    rig.write("history.jsonl", format!("{}\n{}\n", header(9, "[[0,0]]", 0, 0), lines.join("\n")));
    rig.reopen().await;
    rig
}

/// Entries, and lost ones, of all logs.
async fn counted(rig: &Rig) -> (u64, u64) {
    let report = doctor::check(rig.root(), |_| {}).await.unwrap();
    (report.entries, report.lost)
}

/// A damaged line of at least two entries' length that ends with this one.
fn behind_damage(line: &str) -> String {
    format!("{}{line}", "-".repeat(90))
}

/// An entry that the line behind it refutes is no entry, also when the table that it was glued to is written anew.
#[tokio::test]
async fn what_was_glued_to_a_damaged_table_counts_no_more_than_before() {
    let table = "{\"seq\":0,\"ts\":1,\"crc\":\"00000000\",\"state\":{\"keys\":[[\"";
    let glued = format!("{table}{}", entry(2, "", "\"glued\""));
    let mut rig = log_of(&[glued, entry(1, "", "1"), entry(2, "", "2")]).await;
    let log = rig.history();
    assert_eq!(told(&log, "0").await, "1 2");
    assert_eq!(log.append(vec![json("3")], keyed("k")).await.unwrap_err().code(), "damaged");
    append(&log, &["3"]).await;
    for _ in 0..2 {
        let log = rig.history();
        let wanted: Vec<_> = (1..=3).map(|n| (n, n.to_string())).collect();
        assert_eq!(texts(&page(&log, None).await.entries), wanted);
        assert_eq!(log.append(vec![json("3")], keyed("k")).await.unwrap_err().code(), "damaged");
        rig.reopen().await;
    }
}

/// Several recovered lines in a row are all judged by the next good one.
#[tokio::test]
async fn recovered_lines_do_not_vouch_for_each_other() {
    let glued = |seq| behind_damage(&entry(seq, "", "\"glued\""));
    let mut rig = log_of(&[entry(1, "", "1"), glued(2), glued(3), entry(2, "", "2"), entry(3, "", "3")]).await;
    for _ in 0..2 {
        let log = rig.history();
        assert_eq!(texts(&page(&log, None).await.entries)[..3], [(1, "1".into()), (2, "2".into()), (3, "3".into())]);
        append(&log, &["4"]).await;
        rig.reopen().await;
    }
}

/// Whoever copies an old line behind a damaged one can't turn the log back.
#[tokio::test]
async fn an_old_line_behind_a_recovered_one_is_no_part_of_the_log() {
    let good: Vec<String> = (1..=4).map(|n| entry(n, "", &n.to_string())).collect();
    let pasted = [behind_damage(&entry(5, "", "5")), good[1].clone()];
    let mut rig = log_of(&[good, pasted.to_vec()].concat()).await;
    let log = rig.history();
    assert_eq!(told(&log, "0").await, "1 2 3 4");
    assert_eq!(append(&log, &["5"]).await.first, 5);
    rig.reopen().await;
    assert_eq!(told(&rig.history(), "0").await, "1 2 3 4 5");
}

/// The head is above every line of the log: one of an unfinished unit would hide all entries up to its seq.
#[tokio::test]
async fn nothing_counts_behind_a_higher_line_that_ends_no_unit() {
    let mut rig = log_of(&[entry(1, "", "1"), entry(8, ",\"more\":1", "8"), entry(2, "", "2")]).await;
    let log = rig.history();
    assert_eq!(told(&log, "0").await, "1");
    for n in 2..=9 {
        append(&log, &[&n.to_string()]).await;
    }
    rig.reopen().await;
    assert_eq!(told(&rig.history(), "0").await, "1 2 3 4 5 6 7 8 9");
}

/// A compaction up to an entry that is damaged: what comes next is judged by the last good one, as before.
#[tokio::test]
async fn a_compaction_recovers_nothing_that_was_not_there() {
    let mut rig = log_of(&[entry(1, "", "1"), entry(2, "", "2"), format!("-{}", entry(5, "", "5")), entry(7, "", "7")]).await;
    assert_eq!(told(&rig.history(), "0").await, "1 2 corrupt:4>6 7");
    for horizon in [3, 4] {
        rig.history().truncate(horizon).await.unwrap();
        for _ in 0..2 {
            let log = rig.history();
            assert_eq!(page(&log, None).await.first, horizon + 1);
            assert_eq!(told(&log, &horizon.to_string()).await, format!("corrupt:{}>6 7", 6 - horizon));
            rig.reopen().await;
        }
    }
}

/// A table with no entry behind it lies where nothing is part of the log any more.
#[tokio::test]
async fn a_damaged_table_alone_is_not_forgotten() {
    let mut rig = Rig::new();
    let log = rig.history();
    append_with(&log, &["1"], keyed("k")).await;
    log.truncate(1).await.unwrap();
    let text = rig.text("history.jsonl");
    rig.write("history.jsonl", text.replacen("\"keys\":[[\"", "\"keys\":[[\"0", 1));
    rig.reopen().await;
    for n in 2..4 {
        let log = rig.history();
        assert_eq!(log.append(vec![json("1")], keyed("k")).await.unwrap_err().code(), "damaged");
        assert_eq!(append(&log, &["2"]).await.first, n);
        rig.reopen().await;
    }
    assert_eq!(rig.quarantined().len(), 1);
}

/// A new header takes the place of the table, too.
#[tokio::test]
async fn tables_do_not_pile_up() {
    let mut rig = Rig::new();
    append_with(&rig.history(), &["1", "2"], keyed("k")).await;
    rig.history().truncate(1).await.unwrap();
    for n in 3..6 {
        // A copy: the next write begins a new piece.
        rig.store.close().await.unwrap();
        std::fs::copy(rig.path("history.jsonl"), rig.path("copy")).unwrap();
        std::fs::rename(rig.path("copy"), rig.path("history.jsonl")).unwrap();
        rig.reopen().await;
        append(&rig.history(), &[&n.to_string()]).await;
        assert_eq!(rig.text("history.jsonl").matches("\"state\":").count(), 1, "{n}");
    }
    assert!(append_with(&rig.history(), &["1", "2"], keyed("k")).await.replayed);
}

/// Reading goes on where it stopped; before a hole that is not where the next line begins.
#[tokio::test]
async fn a_page_that_ends_at_a_hole_does_not_hide_what_is_behind_it() {
    let rig = log_of(&["-".repeat(60), entry(2, "", "2"), entry(1, "", "1"), entry(2, "", "2")]).await;
    let log = rig.history();
    let first = || log.read_lines(ReadOptions { limit: 1, ..ReadOptions::default() });
    let page = first().await.unwrap();
    assert_eq!(page.gap.map(|gap| gap.resumes_after.seq), Some(1));
    assert_eq!(first().await.unwrap(), page);
}

/// What judges a recovered line may be no part of the log itself. Where another would count without it, neither does.
#[tokio::test]
async fn the_tail_does_not_decide_what_counts_before_it() {
    // With the last line 2 fits and 4 does not, without it 4 fits and 2 does not.
    let lines = [entry(1, "", "1"), behind_damage(&entry(4, "", "4")), behind_damage(&entry(2, "", "2"))];
    let mut rig = log_of(&[&lines[..], &[entry(3, ",\"more\":1", "3")]].concat()).await;
    let before = told(&rig.history(), "0").await;
    let head = page(&rig.history(), None).await.head.seq;
    assert_eq!(append(&rig.history(), &["\"new\""]).await.first, head + 1);
    rig.reopen().await;
    assert_eq!(told(&rig.history(), "0").await, format!("{before} {}", head + 1));
    assert_eq!(before, "1");
}

/// A fork has part of a segment: what counts in that does not change with its end.
#[tokio::test]
async fn a_fork_in_the_middle_of_a_segment_tells_what_its_source_tells() {
    let sealed = [header(9, "[[0,0]]", 0, 0), entry(2, "", "2"), entry(1, "", "1"), entry(3, "", "3")];
    let mut rig = log_of(&[]).await;
    rig.write("history.d/00000000000000000001.jsonl", sealed.join("\n") + "\n");
    rig.write("history.jsonl", format!("{}\n{}\n", header(9, "[[0,0]]", 3, 0), entry(4, "", "4")));
    rig.reopen().await;
    assert_eq!(told(&rig.history(), "0").await, "corrupt:1>1 2 3 4");
    assert_eq!(counted(&rig).await, (3, 1));
    rig.history().fork(1, &LogName::new("fork").unwrap()).await.unwrap();
    assert_eq!(told(&rig.log("fork"), "0").await, "corrupt:1>1");
    assert_eq!(counted(&rig).await, (3, 2));
}

/// What the sealed segments say that the newest begins with, where that does not say it itself.
#[tokio::test]
async fn doctor_counts_what_readers_are_told() {
    let mut rig = log_of(&[]).await;
    rig.write("history.d/00000000000000000001.jsonl", "{\"folio\":1}\n");
    rig.write("history.d/00000000000000000005.jsonl", "{\"folio\":1}\n");
    rig.write("history.jsonl", format!("{}\n{{\"folio\":1}}\n{}\n", entry(1, "", "1"), entry(2, "", "2")));
    rig.reopen().await;
    assert_eq!(told(&rig.history(), "0").await, "corrupt:4>4");
    assert_eq!(counted(&rig).await, (0, 4));
}

/// As many entries as had room in all the damaged bytes can be missing.
#[tokio::test]
async fn what_stands_behind_several_damaged_lines_is_recovered() {
    let lost = || "-".repeat(43);
    let rig = log_of(&[entry(1, "", "1"), lost(), lost(), lost(), format!("-{}", entry(5, "", "5")), entry(6, "", "6")]).await;
    assert_eq!(told(&rig.history(), "0").await, "1 corrupt:3>4 5 6");
}

/// A search that ends right before damage knows what stands before that.
#[tokio::test]
async fn what_a_search_ends_at_is_recovered() {
    let large = format!("\"{}\"", "x".repeat(200 << 10));
    let rig = log_of(&[entry(1, "", &large), entry(2, "", "2"), format!("-{}", entry(3, "", "3")), entry(4, "", "4")]).await;
    assert_eq!(told(&rig.history(), "2").await, "3 4");
}

/// A reader goes on where it stopped only if an entry begins there: what another program put into the file since may look
/// like one, as a part of another one's data.
#[tokio::test]
async fn a_reader_does_not_go_on_in_the_middle_of_a_line() {
    const SEALED: &str = "history.d/00000000000000000001.jsonl";
    let first = header(9, "[[0,0]]", 0, 0);
    let sealed = |one: &str| format!("{first}\n{one}\n{}\n{}\n", entry(2, "", "2"), entry(3, "", "3"));
    let one = entry(1, "", &format!("\"{}\"", "x".repeat(300)));
    // With the two braces that close what it lies in, its sum is right.
    let forged = entry(2, "", "\"forged\"}}");
    let around =
        |pad: usize| entry(1, "", &format!("{{\"pad\":\"{}\",\"in\":{}}}", "x".repeat(pad), &forged[..forged.len() - 2]));
    let other = around(one.len() + 1 + forged.len() - around(0).len());
    assert_eq!(other.find(&forged), Some(one.len() + 1));
    for replaced in [false, true] {
        let mut rig = log_of(&[]).await;
        rig.write(SEALED, sealed(&one));
        rig.write("history.jsonl", format!("{}\n{}\n", header(9, "[[0,0]]", 3, 0), entry(4, "", "4")));
        rig.reopen().await;
        let log = rig.history();
        let options =
            |since: u64| ReadOptions { since: Some(since.to_string().parse().unwrap()), limit: 1, ..ReadOptions::default() };
        assert_eq!(read(&log, options(0)).await.entries[0].seq, 1);
        if replaced {
            rig.write("aside", sealed(&other));
            std::fs::rename(rig.path("aside"), rig.path(SEALED)).unwrap();
        } else {
            rig.write(SEALED, sealed(&other));
        }
        assert_eq!(texts(&read(&log, options(1)).await.entries), [(2, "2".to_owned())], "{replaced}");
    }
}

/// Damage as media, crashes and careless hands make it, at `place` or a little behind it.
fn damage(bytes: &mut Vec<u8>, place: usize, random: &mut Rng) {
    let at = (place + random.usize(0..2_000)).min(bytes.len() - 1);
    let to = (at + random.usize(1..700)).min(bytes.len());
    match random.u32(0..5) {
        0 => bytes[at] ^= 1 << random.u32(0..8),
        1 => bytes[at..to].fill(0),
        2 => drop(bytes.drain(at..to)),
        3 => bytes.insert(at, b'\n'),
        _ => {
            if let Some(newline) = bytes[at..].iter().position(|byte| *byte == b'\n') {
                bytes.remove(at + newline);
            }
        }
    }
}

/// In a segment that is large enough for searches in it: whoever begins in the middle is told what others are told there.
#[tokio::test]
async fn a_damaged_log_reads_the_same_from_everywhere() {
    async fn behind(log: &FsLog, mut since: Seq) -> Vec<(Seq, String)> {
        let mut all = Vec::new();
        let head = log.status().await.unwrap().head.seq;
        while since < head {
            let page = page(log, Some(&since.to_string())).await;
            since = page.next.unwrap().seq;
            all.extend(texts(&page.entries));
        }
        all
    }
    let whole = Rig::new();
    for n in 0..600 {
        let texts: Vec<_> = (0..1 + n % 5).map(|part| format!("[{n},{part},\"{}\"]", "x".repeat(n % 400))).collect();
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        append(&whole.history(), &texts).await;
    }
    let written = std::fs::read(whole.path("history.jsonl")).unwrap();
    let original = behind(&whole.history(), 0).await;
    for seed in 0..20 {
        let mut random = Rng::with_seed(seed);
        let mut bytes = written.clone();
        for _ in 0..random.usize(1..5) {
            let place = random.usize(600..bytes.len());
            (0..random.usize(1..8)).for_each(|_| damage(&mut bytes, place, &mut random));
        }
        let mut rig = Rig::new();
        rig.write("history.jsonl", bytes);
        rig.reopen().await;
        let mut all = behind(&rig.history(), 0).await;
        assert!(all.len() > 100 && all.iter().all(|entry| original.contains(entry)), "{seed}");
        for _ in 0..4 {
            let log = rig.history();
            let holes: Vec<_> = (0..all.len() - 1).filter(|&at| all[at].0 + 1 < all[at + 1].0).collect();
            for at in (0..6).map(|_| random.usize(0..all.len())).chain(holes.iter().copied()) {
                assert!(behind(&log, all[at].0).await == all[at + 1..], "{seed}: after {}", all[at].0);
            }
            let head = append(&log, &["\"new\""]).await.last;
            all.push((head, "\"new\"".to_owned()));
            let at = random.choice(holes).unwrap_or(0);
            let horizon = log.truncate(all[at].0 + random.u64(0..2)).await.unwrap().horizon;
            all.retain(|entry| entry.0 > horizon);
            rig.reopen().await;
            assert!(behind(&rig.history(), 0).await == all, "{seed}: above {horizon}");
        }
    }
}
