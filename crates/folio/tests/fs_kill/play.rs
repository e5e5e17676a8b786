//! The child: does a plan, and notes what it was answered.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use folio::fs::{FsDriver, FsOptions};
use folio::{
    AppendOptions, AppendOutcome, BlobStoreExt, CommitOutcome, Data, DocKey, Done, Driver, Error, Etag, FilePath, Json, LogName,
    Operation, Project, Result, WriteCondition,
};
use futures_util::future::join_all;

use super::logs::{note, project};
use super::ops::{self, Op, Step};
use super::plans;

/// Set where no file may grow beyond so many bytes, once the store is open.
pub(super) const FILE_LIMIT: &str = "FOLIO_KILL_FILE_LIMIT";

pub(super) fn options() -> FsOptions {
    FsOptions { segment_bytes: 1_500, ..FsOptions::default() }
}

/// What became of an operation.
enum Answer {
    /// Of an append, the first seq.
    Done(Option<u64>),
    Precondition,
    Failed(Error),
}

pub(super) async fn play(plan: &str, root: &Path, acks: &Path) {
    let mut acks = OpenOptions::new().create(true).append(true).open(acks).unwrap();
    let Ok(mut driver) = FsDriver::open(root, options()).await else { return note(&mut acks, "not opened") };
    if driver.create_project(&project()).await.is_err() {
        return note(&mut acks, "no project");
    }
    note(&mut acks, "project");
    limit_files();
    let mut n = 0;
    for step in plans::plan(plan) {
        match step {
            Step::Together(ops) => {
                for at in 0..ops.len() as u64 {
                    note(&mut acks, &format!("try {}", n + at));
                }
                let project = driver.project(&project());
                let answers = join_all((n..).zip(&ops).map(|(n, op)| carry_out(&project, n, op))).await;
                for (n, answer) in (n..).zip(answers) {
                    note(&mut acks, &told(n, &answer));
                }
                n += ops.len() as u64;
                continue;
            }
            Step::Close => drop(driver.close().await),
            Step::Leave => {}
        }
        drop(driver);
        driver = match FsDriver::open(root, options()).await {
            Ok(driver) => driver,
            Err(error) => return note(&mut acks, &format!("not opened again: {error}")),
        };
    }
    let _ = driver.close().await;
}

fn told(n: u64, answer: &Answer) -> String {
    match answer {
        Answer::Done(None) => format!("done {n}"),
        Answer::Done(Some(first)) => format!("done {n} {first}"),
        Answer::Precondition => format!("refused {n}"),
        Answer::Failed(error) => match error.code() {
            "outcome_unknown" | "retry" => format!("unknown {n}"),
            _ => format!("failed {n} {error}"),
        },
    }
}

fn limit_files() {
    let Ok(limit) = std::env::var(FILE_LIMIT) else { return };
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--pid", &std::process::id().to_string(), &format!("--fsize={limit}:{limit}")]);
    assert!(prlimit.stdout(Stdio::null()).status().unwrap().success(), "files can be limited");
}

async fn carry_out(project: &Arc<dyn Project>, n: u64, op: &Op) -> Answer {
    match try_to(project, n, op).await {
        Ok(answer) => answer,
        Err(error) => Answer::Failed(error),
    }
}

fn key(name: &str) -> DocKey {
    DocKey::new(name).unwrap()
}

fn path(name: &str) -> FilePath {
    FilePath::new(name).unwrap()
}

fn log(name: &str) -> LogName {
    LogName::new(name).unwrap()
}

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

fn document(n: u64, size: usize) -> Json {
    json(&ops::doc_text(&(Some((n, size)), None)))
}

fn entries(n: u64, count: u64) -> Vec<Data> {
    (0..count).map(|at| Data::Json(json(&ops::entry(n, at, count)))).collect()
}

fn keyed(n: u64) -> AppendOptions {
    AppendOptions { idempotency_key: Some(format!("op{n}")), ..AppendOptions::default() }
}

async fn try_to(project: &Arc<dyn Project>, n: u64, op: &Op) -> Result<Answer> {
    let (docs, files) = (project.docs(), project.files());
    match op {
        Op::PutDoc(name, size) => drop(docs.put(&key(name), document(n, *size), WriteCondition::None).await?),
        Op::PatchDoc(name) => drop(docs.patch(&key(name), patch(n), WriteCondition::None).await?),
        Op::DeleteDoc(name) => drop(docs.delete(&key(name), WriteCondition::None).await?),
        Op::PutFile(name, size) => {
            let _ = files.write_bytes(&path(name), ops::file_bytes(n, *size), WriteCondition::None).await?;
        }
        Op::DeleteFile(name) => drop(files.delete(&path(name), WriteCondition::None).await?),
        Op::Append(name, count) => match project.log(&log(name)).append(entries(n, *count), keyed(n)).await? {
            AppendOutcome::Appended(done) => return Ok(Answer::Done(Some(done.first))),
            AppendOutcome::Precondition { .. } => return Ok(Answer::Precondition),
        },
        Op::Truncate(name, left) => {
            let log = project.log(&log(name));
            let status = log.status().await?;
            log.truncate(status.head.seq.saturating_sub(*left)).await?;
        }
        Op::DeleteLog(name) => project.log(&log(name)).delete().await?,
        Op::Commit(_) | Op::Refused(_) => {
            return Ok(match project.commit(operations(n, op)).await? {
                CommitOutcome::Committed(done) => Answer::Done(done.iter().find_map(|done| match done {
                    Done::Appended(appended) => Some(appended.first),
                    _ => None,
                })),
                CommitOutcome::Replayed(appended) => Answer::Done(Some(appended.first)),
                CommitOutcome::Precondition { .. } => Answer::Precondition,
            });
        }
    }
    Ok(Answer::Done(None))
}

fn patch(n: u64) -> Json {
    json(&format!("{{\"p\":{n}}}"))
}

/// The operations of a commit. Its key is that of the append to the history.
pub(super) fn operations(n: u64, op: &Op) -> Vec<Operation> {
    let (ops, refused) = match op {
        Op::Commit(ops) => (ops, false),
        Op::Refused(ops) => (ops, true),
        _ => return Vec::new(),
    };
    let last = ops.iter().rposition(|op| matches!(op, Op::PutDoc(..)));
    (0..)
        .zip(ops)
        .filter_map(|(at, op)| {
            let none = WriteCondition::None;
            let stale = WriteCondition::Match(Etag::of(b"nothing ever had these bytes"));
            let condition = if refused && Some(at) == last { stale } else { none };
            Some(match op {
                Op::PutDoc(name, size) => Operation::PutDoc { key: key(name), value: document(n, *size), condition },
                Op::DeleteDoc(name) => Operation::DeleteDoc { key: key(name), condition: none },
                Op::PutFile(name, size) => Operation::put_bytes(&path(name), ops::file_bytes(n, *size), none),
                Op::DeleteFile(name) => Operation::DeleteFile { path: path(name), condition: none },
                Op::Append(name, count) => {
                    let options = if *name == "history" { keyed(n) } else { AppendOptions::default() };
                    Operation::Append { log: log(name), entries: entries(n, *count), options }
                }
                _ => return None,
            })
        })
        .collect()
}

/// Does it once more, with the key that it had: whether it was there already. `None` where it has no key.
pub(super) async fn retry(project: &Arc<dyn Project>, n: u64, op: &Op) -> Result<Option<bool>> {
    Ok(match op {
        Op::Append(name, count) => match project.log(&log(name)).append(entries(n, *count), keyed(n)).await? {
            AppendOutcome::Appended(done) => Some(done.replayed),
            AppendOutcome::Precondition { .. } => None,
        },
        Op::Commit(_) => Some(matches!(project.commit(operations(n, op)).await?, CommitOutcome::Replayed(_))),
        _ => None,
    })
}
