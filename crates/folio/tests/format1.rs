//! Frozen roots of format 1: every later version opens them and reads what this one read.
//!
//! `tests/fixtures/format1/<name>/root` is a root, `expected.txt` beside it what is found in a copy of it: as it is opened,
//! after a write to every log, and opened again. A copy's files are not those that the headers name, so the first write
//! begins a new life in each log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod format1 {
    pub(crate) mod make;
    pub(crate) mod tell;
}

use std::path::{Path, PathBuf};

use format1::{make, tell};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format1")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, to) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::write(to, std::fs::read(path).unwrap()).unwrap();
        }
    }
}

async fn found_in_a_copy(name: &str) -> String {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("root");
    copy(&fixtures().join(name).join("root"), &root);
    tell::all(&root).await
}

async fn check(name: &str) {
    let expected = std::fs::read_to_string(fixtures().join(name).join("expected.txt")).unwrap();
    let found = found_in_a_copy(name).await;
    assert_eq!(found, expected, "{name} reads as\n{found}\nand not as\n{expected}");
}

#[tokio::test]
async fn good() {
    check("good").await;
}

#[tokio::test]
async fn torn() {
    check("torn").await;
}

#[tokio::test]
async fn corrupt() {
    check("corrupt").await;
}

#[tokio::test]
async fn adopted() {
    check("adopted").await;
}

/// A copy's files are not those that records speak of, so what they hold is set aside and not written over them.
#[tokio::test]
async fn journal() {
    check("journal").await;
}

#[tokio::test]
async fn journal_torn() {
    check("journal_torn").await;
}

#[tokio::test]
async fn journal_damaged() {
    check("journal_damaged").await;
}

/// Makes a fixture that is not there yet, with what is found in it: look at that before it is committed. One that is
/// there is never made again, since it is what people have.
#[tokio::test]
#[ignore = "it writes fixtures into the source tree; run it to add one"]
async fn make_what_is_missing() {
    for name in ["good", "torn", "corrupt", "adopted", "journal", "journal_torn", "journal_damaged"] {
        let folder = fixtures().join(name);
        if folder.exists() {
            continue;
        }
        let temp = tempfile::tempdir().unwrap();
        make::root(name, temp.path()).await;
        copy(temp.path(), &folder.join("root"));
        let expected = found_in_a_copy(name).await;
        std::fs::write(folder.join("expected.txt"), expected).unwrap();
    }
}
