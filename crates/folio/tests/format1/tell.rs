//! What stands in a root, as text.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use folio::fs::{FsDriver, FsOptions, doctor};
use folio::{
    AppendLog, AppendOptions, AppendOutcome, Data, DocListOptions, Driver, FileListOptions, Json, JsonKv, ManualClock, Position,
    Project, ReadOptions,
};

/// As it is opened, after a write to every log, and opened again.
pub(crate) async fn all(root: &Path) -> String {
    let mut out = String::new();
    let report = doctor::check(root, |_| {}).await.unwrap();
    let mut findings: Vec<String> =
        report.findings.iter().map(|finding| format!("doctor {:?} {}\n", finding.severity, finding.path)).collect();
    findings.sort();
    out.push_str(&findings.concat());
    let driver = match try_open(root).await {
        Ok(driver) => driver,
        Err(error) => {
            writeln!(out, "\n== not opened: {}", error.code()).unwrap();
            return out;
        }
    };
    writeln!(out, "\n== as it is\n{}", contents(&driver, root).await).unwrap();
    writeln!(out, "== a write to every log\n{}", write(&driver).await).unwrap();
    let written = contents(&driver, root).await;
    driver.close().await.unwrap();
    drop(driver);
    let driver = open(root).await;
    let reopened = contents(&driver, root).await;
    assert_eq!(reopened, written, "opened again");
    writeln!(out, "== then\n{reopened}").unwrap();
    driver.close().await.unwrap();
    out
}

async fn open(root: &Path) -> FsDriver {
    try_open(root).await.unwrap()
}

async fn try_open(root: &Path) -> folio::Result<FsDriver> {
    let clock = Arc::new(ManualClock::new(1_763_900_500_000));
    FsDriver::open(root, FsOptions { clock, ..FsOptions::default() }).await
}

async fn projects(driver: &FsDriver) -> Vec<Arc<dyn Project>> {
    let listed = driver.list_projects(None, 100).await.unwrap();
    listed.projects.iter().map(|id| driver.project(id)).collect()
}

async fn contents(driver: &FsDriver, root: &Path) -> String {
    let mut out = String::new();
    docs(&mut out, "shared", &*driver.shared()).await;
    docs(&mut out, "collection c", &*driver.collection(&folio::CollectionName::new("c").unwrap())).await;
    for project in projects(driver).await {
        writeln!(out, "project {}", project.id()).unwrap();
        for name in project.list_logs(None, 100).await.unwrap().logs {
            writeln!(out, "log {name}").unwrap();
            log(&mut out, &*project.log(&name)).await;
        }
        docs(&mut out, "documents", &*project.docs()).await;
        let options = FileListOptions { etag: true, ..FileListOptions::default() };
        for file in project.files().list(options).await.unwrap().files {
            writeln!(out, "file {} {} {}", file.path, file.size, file.etag.unwrap()).unwrap();
        }
    }
    let mut aside: Vec<_> = std::fs::read_dir(root.join(".folio/quarantine")).unwrap().map(|entry| entry.unwrap()).collect();
    aside.retain(|entry| entry.file_name() != "index.jsonl");
    aside.sort_by_key(std::fs::DirEntry::file_name);
    for entry in aside {
        writeln!(out, "quarantine {} {}", entry.file_name().display(), entry.metadata().unwrap().len()).unwrap();
    }
    out
}

async fn log(out: &mut String, log: &dyn AppendLog) {
    let status = match log.status().await {
        Ok(status) => status,
        Err(error) => return writeln!(out, "  {}", error.code()).unwrap(),
    };
    let lives: Vec<String> = status.lineage.iter().map(|piece| format!("{}-{}", piece.epoch, piece.last)).collect();
    writeln!(out, "  head {} horizon {} closed {} lives {}", status.head, status.horizon, status.closed, lives.join(" "))
        .unwrap();
    let mut since = Position::START;
    loop {
        let page = log.read(ReadOptions { since: Some(since.into()), limit: 3, ..ReadOptions::default() }).await.unwrap();
        if let Some(gap) = page.gap {
            writeln!(out, "  gap {} {:?} {}", gap.reason.as_str(), gap.lost, gap.resumes_after).unwrap();
        }
        for entry in &page.entries {
            let data = match &entry.data {
                Data::Json(value) => value.to_string(),
                Data::Bytes(bytes) => format!("bytes {bytes:?}"),
            };
            writeln!(out, "  {} {} {data}", entry.seq, entry.ts).unwrap();
        }
        let next = page.next.unwrap();
        if next == since && page.entries.is_empty() {
            return;
        }
        since = next;
    }
}

async fn docs(out: &mut String, what: &str, docs: &dyn JsonKv) {
    for listed in docs.list(DocListOptions::default()).await.unwrap().docs {
        match docs.get(&listed.key).await {
            Ok(document) => {
                let document = document.unwrap();
                writeln!(out, "{what} {} {} {}", listed.key, document.etag, document.value).unwrap();
            }
            Err(error) => writeln!(out, "{what} {} {}", listed.key, error.code()).unwrap(),
        }
    }
}

/// With a key that some of the logs know, and without.
async fn write(driver: &FsDriver) -> String {
    let mut out = String::new();
    for project in projects(driver).await {
        for name in project.list_logs(None, 100).await.unwrap().logs {
            for key in [Some("known".to_owned()), None] {
                let entries = vec![Data::Json(Json::parse(b"\"known\"").unwrap())];
                let options = AppendOptions { idempotency_key: key.clone(), ..AppendOptions::default() };
                let outcome = match project.log(&name).append(entries, options).await {
                    Ok(AppendOutcome::Appended(appended)) if appended.replayed => format!("{} replayed", appended.cursor),
                    Ok(AppendOutcome::Appended(appended)) => appended.cursor.to_string(),
                    Ok(AppendOutcome::Precondition { .. }) => panic!("there was no condition"),
                    Err(error) => error.code().to_owned(),
                };
                writeln!(out, "{} {name} {}: {outcome}", project.id(), key.as_deref().unwrap_or("no key")).unwrap();
            }
        }
    }
    out
}
