//! Makes the roots. Run once for each: what is committed is what this wrote then.

use std::path::Path;
use std::sync::Arc;

use folio::fs::{FsDriver, FsOptions};
use folio::{
    AppendLog, AppendOptions, BlobStoreExt, CollectionName, Data, DocKey, Driver, FilePath, Json, JsonKv, LogName, ManualClock,
    ProjectId, WriteCondition,
};

/// Seals after a few entries, so that a small root has many segments.
async fn open(root: &Path) -> FsDriver {
    let clock = Arc::new(ManualClock::new(1_763_900_000_000));
    FsDriver::open(root, FsOptions { segment_bytes: 600, clock, ..FsOptions::default() }).await.unwrap()
}

async fn project(driver: &FsDriver, id: &str) -> Arc<dyn folio::Project> {
    let id = ProjectId::new(id).unwrap();
    driver.create_project(&id).await.unwrap();
    driver.project(&id)
}

fn name(name: &str) -> LogName {
    LogName::new(name).unwrap()
}

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

async fn append(log: &dyn AppendLog, values: &[&str], key: Option<&str>) {
    let entries = values.iter().map(|text| Data::Json(json(text))).collect();
    let options = AppendOptions { idempotency_key: key.map(Into::into), ..AppendOptions::default() };
    let _ = log.append(entries, options).await.unwrap();
}

async fn put(docs: &dyn JsonKv, key: &str, value: &str) {
    let _ = docs.put(&DocKey::new(key).unwrap(), json(value), WriteCondition::None).await.unwrap();
}

/// A log with a unit of several entries and one with a key.
async fn filled(driver: &FsDriver, id: &str) {
    let log = project(driver, id).await.log(&LogName::history());
    append(&*log, &["1"], None).await;
    append(&*log, &["2", "3"], None).await;
    append(&*log, &["\"known\""], Some("known")).await;
    append(&*log, &["5"], None).await;
}

/// Changes a project's file.
fn edit(root: &Path, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = root.join(path);
    let mut bytes = std::fs::read(&path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

fn place(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap()
}

/// A file that Folio did not write.
fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

pub(crate) async fn root(which: &str, root: &Path) {
    match which {
        "good" => good(root).await,
        "torn" => torn(root).await,
        "corrupt" => corrupt(root).await,
        "adopted" => adopted(root),
        "journal" | "journal_torn" | "journal_damaged" => journal(which, root).await,
        other => panic!("{other}"),
    }
    let _ = std::fs::remove_file(root.join(".folio/lock"));
}

async fn good(root: &Path) {
    let driver = open(root).await;
    let studio = project(&driver, "studio").await;
    let history = studio.log(&LogName::history());
    for n in 0..12 {
        append(&*history, &[&format!("{{\"n\":{n},\"big\":90071992547409931234}}"), "1e400"], None).await;
    }
    append(&*history, &["\"known\""], Some("known")).await;
    history.truncate(7).await.unwrap();
    history.fork(18, &name("runs/ünï 4.2%")).await.unwrap();
    append(&*history, &["\"after the fork\""], None).await;
    let bytes = AppendOptions { close: true, ..AppendOptions::default() };
    let _ = studio.log(&name("runs/closed")).append(vec![Data::Bytes(vec![0, 10, 255].into())], bytes).await.unwrap();
    append(&*studio.log(&name("...")), &["null"], None).await;
    // One whose entries were all removed.
    let emptied = studio.log(&name("emptied"));
    append(&*emptied, &["\"known\"", "2"], Some("k")).await;
    emptied.truncate(2).await.unwrap();
    put(&*studio.docs(), "notes", r#"{"z":1,"a":[0.10,"ü"]}"#).await;
    put(&*driver.shared(), "assets", "[]").await;
    put(&*driver.collection(&CollectionName::new("c").unwrap()), "ink", "{\"ink\":true}").await;
    let _ = studio
        .files()
        .write_bytes(&FilePath::new("uploads/notes ünï.txt").unwrap(), "text\n", WriteCondition::None)
        .await
        .unwrap();
    let _ = studio.files().write_bytes(&FilePath::new("empty").unwrap(), "", WriteCondition::None).await.unwrap();
    filled(&driver, "lives").await;
    driver.close().await.unwrap();
    // A torn tail that was set aside: the log has two lives.
    edit(root, "lives/.meta/history.jsonl", |bytes| bytes.truncate(bytes.len() - 9));
    let driver = open(root).await;
    append(&*driver.project(&ProjectId::new("lives").unwrap()).log(&LogName::history()), &["\"again\""], None).await;
    driver.close().await.unwrap();
}

async fn torn(root: &Path) {
    let driver = open(root).await;
    for id in ["cut", "nul", "unit", "glued"] {
        filled(&driver, id).await;
    }
    driver.close().await.unwrap();
    edit(root, "cut/.meta/history.jsonl", |bytes| bytes.truncate(bytes.len() - 9));
    edit(root, "nul/.meta/history.jsonl", |bytes| bytes.extend_from_slice(&[0; 64]));
    // The first line of a unit of two, without the second.
    edit(root, "unit/.meta/history.jsonl", |bytes| bytes.truncate(place(bytes, "{\"seq\":3,")));
    // Half a line, and the next one right behind it.
    edit(root, "glued/.meta/history.jsonl", |bytes| {
        let (third, fourth) = (place(bytes, "{\"seq\":3,"), place(bytes, "{\"seq\":4,"));
        bytes.drain(third + 20..fourth);
    });
}

async fn corrupt(root: &Path) {
    let driver = open(root).await;
    for id in ["bit", "header", "table", "document", "middle"] {
        filled(&driver, id).await;
    }
    // So that a table follows the header.
    driver.project(&ProjectId::new("table").unwrap()).log(&LogName::history()).truncate(1).await.unwrap();
    let middle = driver.project(&ProjectId::new("middle").unwrap());
    for n in 6..30 {
        append(&*middle.log(&LogName::history()), &[&n.to_string()], None).await;
    }
    driver.close().await.unwrap();
    edit(root, "bit/.meta/history.jsonl", |bytes| {
        let at = place(bytes, "{\"seq\":2,") + 20;
        bytes[at] ^= 4;
    });
    edit(root, "header/.meta/history.jsonl", |bytes| bytes[12] ^= 4);
    edit(root, "table/.meta/history.jsonl", |bytes| {
        let at = place(bytes, "\"keys\":[[") + 12;
        bytes[at] ^= 4;
    });
    write(root, "document/.meta/broken.json", "{\n  \"a\": 1,\n}\n");
    // A whole sealed segment is missing.
    let sealed = root.join("middle/.meta/history.d");
    let mut names: Vec<_> = std::fs::read_dir(&sealed).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    std::fs::remove_file(&names[1]).unwrap();
}

fn adopted(root: &Path) {
    write(
        root,
        "other/.meta/history.jsonl",
        "{\"seq\":51,\"ts\":5,\"data\":9007199254740993}\n{ \"ts\": 6, \"seq\": 52, \"data\": [1, 2] }\n{\"seq\":53,\"ts\":7,\"data\":\"\\ud83d\"}\n",
    );
    write(root, "other/.meta/doc.json", "{\n  \"big\": 12345678901234567890\n}\n");
    write(root, "unended/.meta/history.jsonl", "{\"seq\":1,\"ts\":5,\"data\":1}\n{\"seq\":2,\"ts\":6,\"data\":2}");
    write(root, "half/.meta/history.jsonl", "{\"seq\":1,\"ts\":5,\"data\":1}\n{\"seq\":2,\"ts\":6,\"da");
    write(root, "bad-line/.meta/history.jsonl", "{\"seq\":1,\"ts\":5,\"data\":1}\nnonsense\n{\"seq\":3,\"ts\":6,\"data\":3}\n");
    write(root, "empty/.meta/history.jsonl", "");
    write(root, "files/index.html", "<p>\n");
}

/// As a crash leaves it: everything stands in the journal, and the files lack the last entry, the document and the file.
async fn journal(which: &str, root: &Path) {
    let temp = tempfile::tempdir().unwrap();
    let driver = open(temp.path()).await;
    filled(&driver, "p").await;
    let project = driver.project(&ProjectId::new("p").unwrap());
    put(&*project.docs(), "notes", "{\"a\":1}").await;
    let path = FilePath::new("file.txt").unwrap();
    let _ = project.files().write_bytes(&path, "text\n", WriteCondition::None).await.unwrap();
    super::super::copy(temp.path(), root);
    driver.close().await.unwrap();
    edit(root, "p/.meta/history.jsonl", |bytes| bytes.truncate(place(bytes, "{\"seq\":5,")));
    std::fs::remove_file(root.join("p/.meta/notes.json")).unwrap();
    std::fs::remove_file(root.join("p/file.txt")).unwrap();
    let batches =
        |bytes: &[u8]| -> Vec<usize> { (0..bytes.len()).step_by(512).filter(|&at| bytes[at..].starts_with(b"FJB1")).collect() };
    for entry in std::fs::read_dir(root.join(".folio/journal")).unwrap() {
        let name = format!(".folio/journal/{}", entry.unwrap().file_name().display());
        edit(root, &name, |bytes| match (which, batches(bytes).as_slice()) {
            ("journal_torn", [.., last]) => bytes[last + 40..last + 60].fill(0),
            ("journal_damaged", [_, second, ..]) => bytes[second + 40] ^= 4,
            _ => {}
        });
    }
}
