use super::rig::{Rig, append, append_with, json, keyed, page, texts, told};
use crate::cursor::Cursor;
use crate::fs::FsOptions;
use crate::log::{AppendLog, AppendOptions, AppendOutcome, Data};
use crate::name::LogName;

/// The shape of a line, without its sum and without what depends on the machine.
fn shape(line: &str) -> String {
    let (head, tail) = line.split_once(",\"crc\":\"").unwrap();
    let head = match head.split_once(",\"id\":[") {
        Some((before, after)) => format!("{before}{}", &after[after.find(']').unwrap() + 1..]),
        None => head.to_owned(),
    };
    format!("{head}{}", &tail[9..])
}

fn shapes(text: &str) -> Vec<String> {
    assert!(text.ends_with('\n'));
    text.lines().map(shape).collect()
}

#[tokio::test]
async fn a_new_log_looks_as_the_format_says() {
    let rig = Rig::new();
    let log = rig.history();
    append(&log, &["{ \"kind\" : \"tweak\" }"]).await;
    append_with(&log, &["1", "2"], keyed("k")).await;
    let _ =
        log.append(vec![Data::Bytes("\0\u{1}".into())], AppendOptions { close: true, ..AppendOptions::default() }).await.unwrap();
    let lines = shapes(&rig.text("history.jsonl"));
    assert_eq!(
        lines,
        [
            r#"{"folio":1,"epoch":1763900000000,"prev":[[0,0]],"base":0,"horizon":0,"ts":1763900000000}"#,
            r#"{"seq":1,"ts":1763900000000,"data":{"kind":"tweak"}}"#,
            r#"{"seq":2,"ts":1763900000000,"more":1,"data":1}"#,
            &lines[3],
            r#"{"seq":4,"ts":1763900000000,"more":1,"b64":"AAE="}"#,
            r#"{"seq":4,"ts":1763900000000,"n":1,"closed":true}"#,
        ]
    );
    assert!(lines[3].starts_with(r#"{"seq":3,"ts":1763900000000,"n":2,"key":["8254c329a92850f6",""#), "{}", lines[3]);
    assert!(log.status().await.unwrap().closed);
}

#[tokio::test]
async fn rotation_and_compaction_move_whole_files() {
    let mut rig = Rig::with(FsOptions { segment_bytes: 1_000, ..FsOptions::default() });
    let log = rig.history();
    for n in 1..=40 {
        append(&log, &[&n.to_string(), &format!("\"{}\"", "x".repeat(100))]).await;
    }
    let sealed = rig.sealed();
    assert!(sealed.len() > 5, "{sealed:?}");
    let before: Vec<Vec<u8>> = sealed.iter().map(|name| std::fs::read(rig.path("history.d").join(name)).unwrap()).collect();
    let all = page(&log, None).await;
    assert_eq!(all.entries.len(), 80);
    let epochs = rig.store.epochs.last_given();
    let truncated = log.truncate(41).await.unwrap();
    assert_eq!((truncated.removed, truncated.horizon), (41, 41));
    let left = rig.sealed();
    assert!(left.len() < sealed.len() && !left.is_empty());
    for (name, bytes) in sealed.iter().zip(before) {
        if left.contains(name) {
            assert_eq!(std::fs::read(rig.path("history.d").join(name)).unwrap(), bytes, "{name} is immutable");
        }
    }
    rig.reopen().await;
    let log = rig.history();
    assert_eq!(page(&log, None).await.entries, all.entries[41..]);
    assert_eq!(told(&log, "0").await.split(' ').next(), Some("truncated:41>41"));
    assert_eq!(epochs, rig.store.epochs.last_given().or(epochs), "no new piece began");
    // everything goes, the numbers go on, and the sealed files are gone
    assert_eq!(log.truncate(1_000).await.unwrap().removed, 39);
    assert_eq!(rig.sealed(), Vec::<String>::new());
    rig.reopen().await;
    assert_eq!(append(&rig.history(), &["1"]).await.first, 81);
}

#[tokio::test]
async fn keys_go_on_in_the_table() {
    let mut rig = Rig::with(FsOptions { segment_bytes: 500, ..FsOptions::default() });
    let log = rig.history();
    let mut answers = Vec::new();
    for n in 0..20 {
        answers.push(append_with(&log, &[&n.to_string(), "0"], keyed(&format!("key{n}"))).await);
    }
    log.truncate(u64::MAX).await.unwrap();
    rig.reopen().await;
    let log = rig.history();
    for (n, first) in answers.iter().enumerate() {
        let again = append_with(&log, &[&n.to_string(), "0"], keyed(&format!("key{n}"))).await;
        assert_eq!((again.first, again.last, again.cursor, again.replayed), (first.first, first.last, first.cursor, true));
    }
    assert_eq!(append(&log, &["1"]).await.first, 41);
}

#[tokio::test]
async fn another_tools_log_is_sealed_untouched() {
    let mut rig = Rig::new();
    let old = "{\"seq\":51,\"ts\":5,\"data\":9007199254740993}\n{ \"data\":{\"a\": 1}, \"seq\":52, \"ts\":6 }\n{\"seq\":53,\"ts\":7,\"data\":null}";
    rig.write("history.jsonl", old);
    let log = rig.history();
    let read = page(&log, None).await;
    assert_eq!(texts(&read.entries), [(51, "9007199254740993".into()), (52, "{\"a\":1}".into()), (53, "null".into())]);
    assert_eq!((read.head.to_string(), read.first), ("0-53".into(), 51));
    assert_eq!(rig.text("history.jsonl"), old);
    assert_eq!(told(&log, "0-60").await, "ahead:0>53");
    append(&log, &["true"]).await;
    assert_eq!(rig.text("history.d/00000000000000000051.jsonl"), old);
    rig.reopen().await;
    let log = rig.history();
    assert_eq!(told(&log, "0-51").await, "52 53 54");
    assert_eq!(told(&log, "7").await, "truncated:43>50 51 52 53 54");
    assert_eq!(told(&log, "0-54").await, "epoch:0>53 54");
    let lineage = page(&log, None).await.lineage;
    assert_eq!((lineage[0].epoch, lineage[0].last, lineage.len()), (0, 53, 2));
}

#[tokio::test]
async fn a_torn_end_of_another_tools_log_goes_to_quarantine_once() {
    let rig = Rig::new();
    let old = "{\"seq\":1,\"ts\":5,\"data\":1}\n{\"seq\":2,\"ts\":6,\"da";
    rig.write("history.jsonl", old);
    let log = rig.history();
    assert_eq!(page(&log, None).await.head.to_string(), "0-1");
    assert_eq!(append(&log, &["2"]).await.first, 2);
    append(&log, &["3"]).await;
    assert_eq!(rig.text("history.d/00000000000000000001.jsonl"), old);
    assert_eq!(rig.quarantined(), [b"{\"seq\":2,\"ts\":6,\"da".to_vec()]);
    assert_eq!(told(&log, "0-0").await, "1 2 3");
}

#[tokio::test]
async fn a_fork_shares_sealed_segments_and_takes_its_marker_along() {
    let mut rig = Rig::with(FsOptions { segment_bytes: 600, ..FsOptions::default() });
    let log = rig.log("runs/4.2");
    for n in 1..=30 {
        append_with(&log, &[&n.to_string(), "{\"x\":[1,2,3]}"], keyed(&format!("k{n}"))).await;
    }
    let fork_name = LogName::new("runs/fork").unwrap();
    log.fork(31, &fork_name).await.unwrap();
    assert!(rig.path("logs/runs/4%2E2.d/forks/runs/fork.fork").exists());
    rig.reopen().await;
    let (log, fork) = (rig.log("runs/4.2"), rig.log("runs/fork"));
    assert_eq!(page(&fork, None).await.entries, page(&log, None).await.entries[..31]);
    // its keys are its own
    let appended = append_with(&fork, &["1"], keyed("k1")).await;
    assert_eq!((appended.first, appended.replayed), (32, false));
    log.delete().await.unwrap();
    assert_eq!(log.status().await.unwrap_err().code(), "gone");
    assert_eq!(log.append(vec![json("1")], AppendOptions::default()).await.unwrap_err().code(), "gone");
    rig.reopen().await;
    let (log, fork) = (rig.log("runs/4.2"), rig.log("runs/fork"));
    assert_eq!(page(&fork, None).await.entries.len(), 32);
    fork.delete().await.unwrap();
    assert_eq!(log.status().await.unwrap_err().code(), "no_log");
    assert_eq!(append(&log, &["1"]).await.first, 1);
}

#[tokio::test]
async fn waiting_appends_share_one_write() {
    let rig = Rig::new();
    let log = rig.history();
    append(&log, &["0"]).await;
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let log = log.clone();
            async move { append(&log, &[&n.to_string(), "\"second\""]).await }
        })
        .collect();
    let landed = futures_util::future::join_all(tasks).await;
    let mut firsts: Vec<u64> = landed.iter().map(|appended| appended.first).collect();
    firsts.sort_unstable();
    assert_eq!(firsts, (0..200).map(|n| 2 + 2 * n).collect::<Vec<_>>());
    let read = page(&log, None).await;
    for appended in landed {
        let second = &read.entries[usize::try_from(appended.last).unwrap() - 1];
        assert_eq!(second.data, json("\"second\""));
    }
}

#[tokio::test]
async fn a_batch_answers_each_by_its_own_conditions() {
    let rig = Rig::new();
    let log = rig.history();
    append(&log, &["0"]).await;
    let expecting = |seq| AppendOptions { expected_head: Some(Cursor::bare(seq)), ..AppendOptions::default() };
    let closing = AppendOptions { close: true, ..AppendOptions::default() };
    let (a, b, c, d, e, f) = tokio::join!(
        log.append(vec![json("1")], expecting(1)),
        log.append(vec![json("2")], expecting(1)),
        log.append(vec![json("3")], keyed("k")),
        log.append(vec![json("3")], keyed("k")),
        log.append(vec![json("4")], closing),
        log.append(vec![json("5")], AppendOptions::default()),
    );
    let landed = |outcome| match outcome {
        Ok(AppendOutcome::Appended(appended)) => (appended.first, appended.replayed, appended.cursor.seq),
        other => panic!("{other:?}"),
    };
    assert_eq!(landed(a), (2, false, 2));
    assert!(matches!(b, Ok(AppendOutcome::Precondition { head }) if head.seq == 2), "{b:?}");
    assert_eq!((landed(c), landed(d.clone())), ((3, false, 3), (3, true, 3)));
    assert!(matches!(d, Ok(AppendOutcome::Appended(appended)) if appended.cursor.epoch > 0));
    assert_eq!(landed(e), (4, false, 4));
    assert_eq!(f.unwrap_err().code(), "closed");
}
