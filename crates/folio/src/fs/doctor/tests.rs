use std::path::Path;

use super::{Report, Severity, check, repair};
use crate::driver::Driver;
use crate::fs::{FsDriver, FsOptions};
use crate::json::Json;
use crate::log::{AppendOptions, Data, ReadOptions};
use crate::name::{DocKey, LogName, ProjectId};

/// A root with two logs of three units each, of which one is sealed, and a document.
async fn root() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let driver = FsDriver::open(folder.path(), FsOptions { segment_bytes: 400, ..FsOptions::default() }).await.unwrap();
    let id = ProjectId::new("p").unwrap();
    driver.create_project(&id).await.unwrap();
    let project = driver.project(&id);
    for name in ["history", "runs/4.2"] {
        let log = project.log(&LogName::new(name).unwrap());
        for n in 0..3 {
            let text = format!("\"{}\"", "x".repeat(150));
            let entries = vec![Data::Json(Json::parse(b"1").unwrap()), Data::Json(Json::parse(text.as_bytes()).unwrap())];
            let options = AppendOptions { idempotency_key: Some(format!("k{n}")), ..AppendOptions::default() };
            let _ = log.append(entries, options).await.unwrap();
        }
    }
    let written = project.docs().put(&DocKey::new("d").unwrap(), Json::parse(b"{}").unwrap(), Default::default()).await;
    let _ = written.unwrap();
    driver.close().await.unwrap();
    folder
}

async fn checked(root: &Path) -> Report {
    check(root, |_| {}).await.unwrap()
}

async fn repaired(root: &Path) -> Report {
    repair(root, FsOptions::default(), |_| {}).await.unwrap()
}

fn tell(report: &Report) -> Vec<String> {
    report.findings.iter().map(ToString::to_string).collect()
}

/// Every file of the root with its bytes, the lock left out.
fn files(root: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("lock") {
                found.push((path.clone(), std::fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_healthy_root_is_read_whole_and_left_alone() {
    let root = root().await;
    let before = files(root.path());
    let report = checked(root.path()).await;
    assert_eq!(tell(&report), Vec::<String>::new());
    assert_eq!((report.projects, report.logs, report.entries, report.documents, report.lost), (1, 2, 12, 1, 0));
    assert!(report.bytes > 1_000);
    assert_eq!(files(root.path()), before);
}

#[tokio::test]
async fn every_flipped_byte_of_a_log_is_found_with_its_place() {
    let root = root().await;
    let newest = root.path().join("p/.meta/history.jsonl");
    let bytes = std::fs::read(&newest).unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        std::fs::write(&newest, &flipped).unwrap();
        let report = checked(root.path()).await;
        assert!(report.is_damaged(), "byte {at}");
        assert!(report.findings.iter().any(|finding| finding.path == "p/.meta/history.jsonl"), "byte {at}: {:?}", tell(&report));
    }
}

#[tokio::test]
async fn a_torn_tail_is_set_aside() {
    let root = root().await;
    let newest = root.path().join("p/.meta/logs/runs/4%2E2.jsonl");
    let mut bytes = std::fs::read(&newest).unwrap();
    bytes.extend_from_slice(b"{\"seq\":7,\"ts\":1,\"cr");
    std::fs::write(&newest, &bytes).unwrap();
    let report = checked(root.path()).await;
    let wanted = format!("its last 19 bytes, from byte {}, are no whole append and no part of the log", bytes.len() - 19);
    assert_eq!((report.findings.len(), &report.findings[0].what), (1, &wanted));
    let report = repaired(root.path()).await;
    assert!(!report.is_damaged() && report.findings[0].repaired, "{:?}", tell(&report));
    assert_eq!(tell(&checked(root.path()).await), Vec::<String>::new());
    let kept = files(&root.path().join(".folio/quarantine"));
    assert!(kept.iter().any(|(_, bytes)| bytes == b"{\"seq\":7,\"ts\":1,\"cr"), "{kept:?}");
}

#[tokio::test]
async fn a_damaged_header_is_made_anew_and_the_entries_and_keys_stay() {
    let root = root().await;
    let newest = root.path().join("p/.meta/history.jsonl");
    let mut bytes = std::fs::read(&newest).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&newest, &bytes).unwrap();
    let report = checked(root.path()).await;
    assert!(report.is_damaged());
    assert_eq!((report.entries, report.lost), (12, 0));
    let report = repaired(root.path()).await;
    assert!(report.findings.iter().any(|finding| finding.repaired), "{:?}", tell(&report));
    let after = checked(root.path()).await;
    assert_eq!((tell(&after), after.entries), (Vec::new(), 12));
    let kept = files(&root.path().join(".folio/quarantine"));
    assert!(kept.iter().any(|(_, kept)| *kept == bytes), "the old file is kept whole");
    let driver = FsDriver::open(root.path(), FsOptions::default()).await.unwrap();
    let log = driver.project(&ProjectId::new("p").unwrap()).log(&LogName::history());
    assert_eq!(log.read(ReadOptions::default()).await.unwrap().entries.len(), 6);
    let lineage = log.status().await.unwrap().lineage;
    assert_eq!(lineage.len(), 3, "a new piece: {lineage:?}");
    driver.close().await.unwrap();
}

#[tokio::test]
async fn lost_entries_are_counted_and_a_damaged_document_makes_room() {
    let root = root().await;
    let sealed = root.path().join("p/.meta/history.d/00000000000000000001.jsonl");
    let text = std::fs::read_to_string(&sealed).unwrap();
    std::fs::write(&sealed, text.replace("\"data\":1", "\"data\":2")).unwrap();
    std::fs::write(root.path().join("p/.meta/d.json"), "{\n  oops\n}").unwrap();
    let report = checked(root.path()).await;
    assert_eq!(report.lost, 1);
    let words = tell(&report);
    assert!(words.iter().any(|word| word.contains("entry 1 is lost")), "{words:?}");
    assert!(words.iter().any(|word| word.contains("p/.meta/d.json: it is not valid JSON: line 2, column 3")), "{words:?}");
    let report = repaired(root.path()).await;
    assert!(report.is_damaged(), "what is lost stays lost");
    assert!(!root.path().join("p/.meta/d.json").exists());
    assert!(report.findings.iter().filter(|finding| finding.severity == Severity::Damage).any(|finding| finding.repaired));
}

#[tokio::test]
async fn a_root_in_use_is_checked_and_not_repaired() {
    let root = root().await;
    let driver = FsDriver::open(root.path(), FsOptions { holder: "the other one".into(), ..FsOptions::default() }).await.unwrap();
    let report = checked(root.path()).await;
    assert!(report.in_use.is_some_and(|holder| holder.contains("the other one")));
    let refused = repair(root.path(), FsOptions::default(), |_| {}).await.unwrap_err();
    assert_eq!(refused.code(), "locked");
    driver.close().await.unwrap();
}

/// A compaction that removed everything left the table of keys, which alone tells how far the log had reached.
#[tokio::test]
async fn seqs_go_on_where_an_empty_log_gets_a_new_header() {
    let root = root().await;
    let open = || FsDriver::open(root.path(), FsOptions::default());
    let driver = open().await.unwrap();
    let id = ProjectId::new("p").unwrap();
    driver.project(&id).log(&LogName::history()).truncate(6).await.unwrap();
    driver.close().await.unwrap();
    let path = root.path().join("p/.meta/history.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 2, "a header and the table");
    std::fs::write(&path, text.replacen("\"base\":", "\"bise\":", 1)).unwrap();
    assert!(repaired(root.path()).await.findings.iter().any(|finding| finding.repaired));
    let driver = open().await.unwrap();
    let log = driver.project(&id).log(&LogName::history());
    assert_eq!(log.status().await.unwrap().head.seq, 6);
    let appended = log.append(vec![Data::Json(Json::parse(b"7").unwrap())], AppendOptions::default()).await.unwrap();
    assert!(matches!(appended, crate::log::AppendOutcome::Appended(appended) if appended.first == 7), "{appended:?}");
}
