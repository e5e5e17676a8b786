//! Random calls on a driver, and reading all that it holds.

use bytes::Bytes;

use super::history::Answer;
use super::world::{Call, Filled, Insist, LogView, ProjectView, Reply, View};
use crate::blob::{FileListOptions, WriteCondition, WriteOutcome};
use crate::commit::{CommitOutcome, Done, Operation};
use crate::docs::{DeleteOutcome, DocListOptions, PatchOutcome};
use crate::driver::{Driver, Project};
use crate::error::Result;
use crate::etag::Etag;
use crate::ext::{BlobStoreExt, ProjectExt};
use crate::fs::FsDriver;
use crate::json::Json;
use crate::log::{AppendLog, AppendOptions, AppendOutcome, Appended, Data, ReadOptions};
use crate::name::{DocKey, FilePath, LogName, ProjectId};

const PROJECTS: [&str; 3] = ["a", "b", "c"];
const LOGS: [&str; 4] = ["history", "runs/1", "runs/2", "forks/1"];
const FILES: [&str; 3] = ["f", "d/g", "d/e/h"];
const DOCS: [&str; 2] = ["x", "y"];

/// Draws calls. Remembers keyed appends, to draw them again.
#[derive(Default)]
pub(super) struct Drawing {
    drawn: u64,
    keyed: Vec<(String, Call)>,
    mostly_documents: bool,
}

impl Drawing {
    /// Whether most calls write the same two documents again and again.
    pub(super) fn mostly_documents(&mut self, mostly: bool) {
        self.mostly_documents = mostly;
    }

    pub(super) fn next(&mut self, rng: &mut fastrand::Rng) -> (String, Call) {
        self.drawn += 1;
        let n = self.drawn;
        let one = |rng: &mut fastrand::Rng, of: &[&str]| of[rng.usize(0..of.len())].to_owned();
        let project = if rng.u8(0..3) > 0 { "a".to_owned() } else { one(rng, &PROJECTS) };
        let log = if rng.bool() { "history".to_owned() } else { one(rng, &LOGS) };
        let insist = [Insist::Nothing, Insist::Nothing, Insist::Current, Insist::Stale, Insist::Absent][rng.usize(0..5)];
        let json = |text: String| Json::parse(text.as_bytes()).unwrap();
        let kind = match self.mostly_documents && rng.u8(0..4) > 0 {
            true => rng.u8(7..=13),
            false => rng.u8(0..45),
        };
        let project = if self.mostly_documents && kind >= 7 { "a".to_owned() } else { project };
        let call = match kind {
            0..=4 => Call::CreateProject,
            5 => Call::DeleteProject,
            6 => Call::ForkProject(one(rng, &PROJECTS)),
            7..=10 => {
                let value = json(format!("{{\"n\":{n},\"t\":\"{}\"}}", "x".repeat(rng.usize(0..1_200))));
                Call::PutDoc(one(rng, &DOCS), value, insist)
            }
            11..=12 => Call::PatchDoc(one(rng, &DOCS), json(format!("{{\"p{}\":{n}}}", n % 3)), insist),
            13 => Call::DeleteDoc(one(rng, &DOCS), insist),
            14..=16 => {
                let size = if rng.u8(0..12) == 0 { rng.usize(65_000..80_000) } else { rng.usize(0..2_000) };
                Call::PutFile(one(rng, &FILES), Filled(u8::try_from(n % 251).unwrap(), size), insist)
            }
            17 => Call::DeleteFile(one(rng, &FILES), insist),
            18..=20 => Call::Truncate(log, rng.u64(0..n + 2)),
            21 if rng.bool() => Call::CloseLog(log),
            22..=23 => Call::ForkLog(log, rng.u64(0..n / 2 + 2), "forks/1".into()),
            24..=25 => Call::DeleteLog(log),
            26..=28 if !self.keyed.is_empty() => return self.keyed[rng.usize(0..self.keyed.len())].clone(),
            40..=44 => {
                let call = commit(n, rng);
                self.keyed.push((project.clone(), call.clone()));
                call
            }
            _ => {
                let pad = "y".repeat(rng.usize(0..200));
                let entries = (0..rng.u64(1..4)).map(|at| json(format!("[{n},{at},\"{pad}\"]"))).collect();
                let call = Call::Append(log, entries, rng.bool().then(|| format!("key{n}")));
                if matches!(call, Call::Append(_, _, Some(_))) {
                    self.keyed.push((project.clone(), call.clone()));
                }
                call
            }
        };
        (project, call)
    }
}

/// Of one to five calls. One in four has a condition that seldom holds.
fn commit(n: u64, rng: &mut fastrand::Rng) -> Call {
    let json = |text: String| Json::parse(text.as_bytes()).unwrap();
    let mut insist = || match rng.u8(0..20) {
        0 => Insist::Stale,
        1..=2 => Insist::Absent,
        3..=5 => Insist::Current,
        _ => Insist::Nothing,
    };
    let byte = u8::try_from(n % 251).unwrap();
    let mut calls = vec![
        Call::PutDoc(DOCS[0].into(), json(format!("[{n}]")), insist()),
        Call::DeleteDoc(DOCS[1].into(), insist()),
        Call::PutFile(FILES[0].into(), Filled(byte, 700), insist()),
        Call::PutFile(FILES[1].into(), Filled(byte, 66_000), insist()),
        Call::PatchDoc(DOCS[1].into(), json(format!("{{\"p\":{n}}}")), insist()),
        Call::DeleteFile(FILES[2].into(), insist()),
        Call::Append(LOGS[1].into(), vec![json(format!("[{n},\"commit\"]"))], None),
    ];
    calls.remove(if rng.bool() { 1 } else { 4 });
    while calls.len() > 1 && rng.u8(0..4) > 0 {
        calls.remove(rng.usize(0..calls.len()));
    }
    let entries = (0..rng.u64(1..4)).map(|at| json(format!("[{n},{at},\"commit\"]"))).collect();
    let append = Call::Append(LOGS[0].into(), entries, rng.bool().then(|| format!("commit{n}")));
    calls.insert(rng.usize(0..=calls.len()), append);
    Call::Commit(calls)
}

/// Makes a call. `dead`: whether the machine is gone by now, so that an error means nothing.
pub(super) async fn make(driver: &FsDriver, project: &str, call: &Call, dead: impl Fn() -> bool) -> Answer {
    match try_to(driver, project, call).await {
        Ok(reply) => Answer::Given(reply),
        Err(_) if dead() => Answer::Unknown,
        Err(error) => match error.code() {
            "outcome_unknown" | "retry" => Answer::Unknown,
            "io" | "disk_full" | "store_failed" => Answer::Failed,
            _ => Answer::Given(Reply::Refused),
        },
    }
}

fn condition(insist: Insist, current: Option<Etag>) -> WriteCondition {
    match (insist, current) {
        (Insist::Nothing, _) => WriteCondition::None,
        (Insist::Absent, _) => WriteCondition::Absent,
        (Insist::Current, Some(etag)) => WriteCondition::Match(etag),
        (Insist::Stale | Insist::Current, _) => WriteCondition::Match(Etag::of(b"nothing ever had these bytes")),
    }
}

fn written(outcome: WriteOutcome) -> Reply {
    match outcome {
        WriteOutcome::Written { created, .. } => Reply::Done(created),
        WriteOutcome::Precondition { .. } => Reply::Precondition,
    }
}

fn deleted(outcome: DeleteOutcome) -> Reply {
    match outcome {
        DeleteOutcome::Deleted(there) => Reply::Done(there),
        DeleteOutcome::Precondition { .. } => Reply::Precondition,
    }
}

async fn try_to(driver: &FsDriver, project: &str, call: &Call) -> Result<Reply> {
    let id = ProjectId::new(project)?;
    let handle = driver.project(&id);
    let (docs, files) = (handle.docs(), handle.files());
    let log = |name: &str| LogName::new(name).map(|name| handle.log(&name));
    Ok(match call {
        Call::CreateProject => Reply::Done(driver.create_project(&id).await?),
        Call::DeleteProject => Reply::Done(driver.delete_project(&id).await?),
        Call::ForkProject(target) => {
            driver.fork_project(&id, &ProjectId::new(target)?).await?;
            Reply::Done(true)
        }
        Call::PutDoc(key, value, insist) => {
            let key = DocKey::new(key)?;
            let current = docs.get(&key).await?.map(|document| document.etag);
            written(docs.put(&key, value.clone(), condition(*insist, current)).await?)
        }
        Call::PatchDoc(key, patch, insist) => {
            let key = DocKey::new(key)?;
            let current = docs.get(&key).await?.map(|document| document.etag);
            match docs.patch(&key, patch.clone(), condition(*insist, current)).await? {
                PatchOutcome::Written(_) => Reply::Done(true),
                PatchOutcome::Precondition { .. } => Reply::Precondition,
            }
        }
        Call::DeleteDoc(key, insist) => {
            let key = DocKey::new(key)?;
            let current = docs.get(&key).await?.map(|document| document.etag);
            deleted(docs.delete(&key, condition(*insist, current)).await?)
        }
        Call::PutFile(path, bytes, insist) => {
            let path = FilePath::new(path)?;
            let current = files.stat(&path, true).await?.and_then(|info| info.etag);
            written(files.write_bytes(&path, Bytes::from(bytes.all()), condition(*insist, current)).await?)
        }
        Call::DeleteFile(path, insist) => {
            let path = FilePath::new(path)?;
            let current = files.stat(&path, true).await?.and_then(|info| info.etag);
            deleted(files.delete(&path, condition(*insist, current)).await?)
        }
        Call::Append(name, entries, key) => {
            let options = AppendOptions { idempotency_key: key.clone(), ..AppendOptions::default() };
            match log(name)?.append(entries.iter().cloned().map(Data::Json).collect(), options).await? {
                AppendOutcome::Appended(done) => {
                    let (first, last, replayed) = (done.first, done.last, done.replayed);
                    Reply::Appended { first, last, replayed, cursor: Some(done.cursor) }
                }
                AppendOutcome::Precondition { .. } => Reply::Precondition,
            }
        }
        Call::Truncate(name, up_to) => {
            let done = log(name)?.truncate(*up_to).await?;
            Reply::Truncated { removed: done.removed, horizon: done.horizon }
        }
        Call::CloseLog(name) => {
            log(name)?.close().await?;
            Reply::Done(true)
        }
        Call::ForkLog(name, at, target) => {
            log(name)?.fork(*at, &LogName::new(target)?).await?;
            Reply::Done(true)
        }
        Call::DeleteLog(name) => {
            log(name)?.delete().await?;
            Reply::Done(true)
        }
        Call::Commit(calls) => {
            let mut operations = Vec::new();
            for call in calls {
                operations.push(operation(&*handle, call).await?);
            }
            match handle.commit(operations).await? {
                CommitOutcome::Committed(done) => Reply::Committed(done.into_iter().map(reply).collect()),
                CommitOutcome::Replayed(appended) => Reply::Replayed(Box::new(reply(Done::Appended(appended)))),
                CommitOutcome::Precondition { .. } => Reply::Precondition,
            }
        }
    })
}

fn reply(done: Done) -> Reply {
    match done {
        Done::Written { created, .. } => Reply::Done(created),
        Done::Patched(_) => Reply::Done(true),
        Done::Deleted(there) => Reply::Done(there),
        Done::Appended(Appended { first, last, cursor, replayed }) => {
            Reply::Appended { first, last, replayed, cursor: Some(cursor) }
        }
    }
}

async fn operation(project: &dyn Project, call: &Call) -> Result<Operation> {
    let (docs, files) = (project.docs(), project.files());
    let doc = async |key: &str, insist: &Insist| -> Result<(DocKey, WriteCondition)> {
        let key = DocKey::new(key)?;
        let current = docs.get(&key).await?.map(|document| document.etag);
        Ok((key, condition(*insist, current)))
    };
    let file = async |path: &str, insist: &Insist| -> Result<(FilePath, WriteCondition)> {
        let path = FilePath::new(path)?;
        let current = files.stat(&path, true).await?.and_then(|info| info.etag);
        Ok((path, condition(*insist, current)))
    };
    Ok(match call {
        Call::PutDoc(key, value, insist) => {
            let (key, condition) = doc(key, insist).await?;
            Operation::PutDoc { key, value: value.clone(), condition }
        }
        Call::PatchDoc(key, patch, insist) => {
            let (key, condition) = doc(key, insist).await?;
            Operation::PatchDoc { key, patch: patch.clone(), condition }
        }
        Call::DeleteDoc(key, insist) => {
            let (key, condition) = doc(key, insist).await?;
            Operation::DeleteDoc { key, condition }
        }
        Call::PutFile(path, bytes, insist) => {
            let (path, condition) = file(path, insist).await?;
            Operation::put_bytes(&path, bytes.all(), condition)
        }
        Call::DeleteFile(path, insist) => {
            let (path, condition) = file(path, insist).await?;
            Operation::DeleteFile { path, condition }
        }
        Call::Append(name, entries, key) => Operation::Append {
            log: LogName::new(name)?,
            entries: entries.iter().cloned().map(Data::Json).collect(),
            options: AppendOptions { idempotency_key: key.clone(), ..AppendOptions::default() },
        },
        other => unreachable!("{other:?} is no operation"),
    })
}

/// Reads everything.
pub(super) async fn look(driver: &FsDriver) -> Result<View> {
    let mut view = View::new();
    for id in driver.list_projects(None, 1_000).await?.projects {
        let handle = driver.project(&id);
        let mut project = ProjectView::default();
        for info in handle.docs().list(DocListOptions::default()).await?.docs {
            let document = handle.docs().get(&info.key).await?;
            project.docs.insert(info.key.to_string(), document.map_or_else(String::new, |it| it.value.as_str().into()));
        }
        for info in handle.files().list(FileListOptions::default()).await?.files {
            let bytes = handle.files().read_bytes(&info.path).await?.unwrap_or_default();
            let etag = handle.files().stat(&info.path, true).await?.and_then(|info| info.etag);
            assert_eq!(etag, Some(Etag::of(&bytes)), "{}", info.path);
            project.files.insert(info.path.to_string(), bytes.to_vec());
        }
        project.logs.insert("history".into(), read_log(&*handle.history()).await?);
        for name in handle.list_logs(None, 1_000).await?.logs {
            project.logs.insert(name.to_string(), read_log(&*handle.log(&name)).await?);
        }
        view.insert(id.to_string(), project);
    }
    Ok(view)
}

async fn read_log(log: &dyn AppendLog) -> Result<LogView> {
    let status = log.status().await?;
    let page = log.read(ReadOptions { limit: 10_000, ..ReadOptions::default() }).await?;
    let seqs: Vec<u64> = page.entries.iter().map(|entry| entry.seq).collect();
    let expected: Vec<u64> = (status.horizon + 1..=status.head.seq).collect();
    assert_eq!(seqs, expected, "seqs without holes: {status:?}, gap {:?}", page.gap);
    let text = |data| match data {
        Data::Json(value) => value.as_str().to_owned(),
        Data::Bytes(bytes) => format!("{bytes:?}"),
    };
    let entries = page.entries.into_iter().map(|entry| text(entry.data)).collect();
    Ok(LogView { horizon: status.horizon, entries, closed: status.closed })
}
