//! Logs alone: appends, rotation, compaction, forks, deletion, and retries of all of them.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{IoSlice, Write};
use std::path::Path;
use std::sync::Arc;

use folio::fs::{FsDriver, FsOptions, doctor};
use folio::{
    AppendLog, AppendOptions, AppendOutcome, Cursor, Data, Driver, Json, LogEvent, LogName, ProjectId, ReadOptions, Start,
};
use futures_util::StreamExt;
use libtest_mimic::Failed;

use super::Outcome;
use super::strace::{self, Tally};

const POINTS: usize = 40;
const STEPS: u64 = 40;

fn options() -> FsOptions {
    FsOptions { segment_bytes: 900, ..FsOptions::default() }
}

pub(super) fn project() -> ProjectId {
    ProjectId::new("p").unwrap()
}

pub(super) fn log(driver: &FsDriver, name: &str) -> Arc<dyn AppendLog> {
    driver.project(&project()).log(&LogName::new(name).unwrap())
}

/// Unit `step` has `step % 3 + 1` entries; each names its place.
pub(super) fn unit(step: u64) -> Vec<Data> {
    let size = step % 3 + 1;
    (0..size).map(|at| Data::Json(Json::from_value(&[step, at, size]).unwrap())).collect()
}

/// Appends, rotates, compacts, forks and deletes; notes what it begins and what was acknowledged.
pub(super) async fn work(root: &Path, acks: &Path) {
    let mut acks = OpenOptions::new().create(true).append(true).open(acks).unwrap();
    let mut note = |what: String| note(&mut acks, &what);
    let driver = FsDriver::open(root, options()).await.unwrap();
    driver.create_project(&project()).await.unwrap();
    for step in 0..STEPS {
        let name = if step % 4 == 3 { "runs/a" } else { "history" };
        let options = AppendOptions { idempotency_key: Some(format!("step{step}")), ..AppendOptions::default() };
        note(format!("try append {name} {step}"));
        let AppendOutcome::Appended(appended) = log(&driver, name).append(unit(step), options).await.unwrap() else { panic!() };
        note(format!("append {name} {step} {}", appended.first));
        if step % 9 == 8 {
            let to = appended.last - 3;
            note(format!("try truncate {name} {to}"));
            log(&driver, name).truncate(to).await.unwrap();
            note(format!("truncate {name} {to}"));
        }
        if step % 16 == 15 {
            short_lived(&driver, &mut note).await;
        }
        if step % 13 == 12 {
            let target = LogName::new(format!("fork{step}")).unwrap();
            log(&driver, "history").fork(log(&driver, "history").status().await.unwrap().head.seq - 1, &target).await.unwrap();
            note(format!("fork {target}"));
            if step > 20 {
                note(format!("try delete {target}"));
                log(&driver, target.as_str()).delete().await.unwrap();
                note(format!("delete {target}"));
            }
        }
    }
    driver.close().await.unwrap();
}

/// By a call that none is struck at.
pub(super) fn note(acks: &mut std::fs::File, what: &str) {
    let line = format!("{what}\n");
    assert_eq!(acks.write_vectored(&[IoSlice::new(line.as_bytes())]).unwrap(), line.len());
}

/// A log of several segments, and its fork: made, and deleted in that order. The name is free again in the end.
async fn short_lived(driver: &FsDriver, note: &mut impl FnMut(String)) {
    let (source, fork) = (log(driver, "short"), LogName::new("lived/fork").unwrap());
    note("try short".into());
    for at in 1..=5 {
        append_large(&*source, at).await.unwrap();
    }
    note("short 5".into());
    source.fork(4, &fork).await.unwrap();
    note("short forked".into());
    source.delete().await.unwrap();
    note("short deleted".into());
    log(driver, fork.as_str()).delete().await.unwrap();
    append_large(&*source, 1).await.unwrap();
    source.delete().await.unwrap();
    note("short gone".into());
}

/// The `at`-th append to a new log, of one entry of which a few fill a segment.
async fn append_large(log: &dyn AppendLog, at: u64) -> Outcome {
    let data = vec![Data::Json(Json::from_value(&"x".repeat(300))?)];
    match log.append(data, AppendOptions::default()).await? {
        AppendOutcome::Appended(appended) if appended.first == at => Ok(()),
        other => Err(format!("{other:?} instead of entry {at}").into()),
    }
}

pub(super) fn sweep() -> Outcome {
    let whole = tempfile::tempdir()?;
    let calls = strace::calls_of(|strace| strace::child("logs", &whole.path().join("root"), &whole.path().join("acks"), strace))?;
    let mut tally = Tally::new("kill", "logs");
    for (name, at) in strace::points(calls, "FOLIO_KILL_POINTS", POINTS) {
        let temp = tempfile::tempdir()?;
        let (root, acks) = (temp.path().join("root"), temp.path().join("acks"));
        let kill = format!("inject={name}:signal=KILL:when={at}");
        tally.point(!strace::child("logs", &root, &acks, &["-o", "/dev/null", "-e", &kill]).status()?.success());
        let told = std::fs::read_to_string(&acks).unwrap_or_default();
        let acknowledged = told.lines().filter(|line| line.starts_with("append ")).count();
        let recovered = strace::after(&format!("killed at {name} {at}"), async move { check(&root, &told).await })?;
        tally.operations(acknowledged, recovered);
    }
    tally.end()
}

/// What the child told of one log.
#[derive(Default)]
struct Told {
    /// First seq of each acknowledged unit, by step.
    units: BTreeMap<u64, u64>,
    /// The unit that was on its way.
    trying: Option<u64>,
    truncated: u64,
    truncating: u64,
}

/// How many acknowledged appends were found.
async fn check(root: &Path, told: &str) -> Outcome<usize> {
    let mut logs: BTreeMap<String, Told> = BTreeMap::new();
    let mut forks: BTreeMap<String, &str> = BTreeMap::new();
    let mut short = "none";
    for line in told.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        match words[0] {
            "append" => {
                let log = logs.entry(words[1].into()).or_default();
                log.units.insert(number(2), number(3));
                log.trying = None;
            }
            "truncate" => logs.entry(words[1].into()).or_default().truncated = number(2),
            "short" => short = words[1],
            "fork" => drop(forks.insert(words[1].into(), "there")),
            "delete" => drop(forks.insert(words[1].into(), "gone")),
            "try" if words[1] == "short" => short = "begun",
            "try" if words[1] == "append" => logs.entry(words[2].into()).or_default().trying = Some(number(3)),
            "try" if words[1] == "truncate" => logs.entry(words[2].into()).or_default().truncating = number(3),
            "try" => drop(forks.insert(words[2].into(), "either")),
            _ => {}
        }
    }
    let driver = FsDriver::open(root, options()).await?;
    let mut found = 0;
    for (name, told) in &logs {
        found += check_log(&driver, name, told).await.map_err(|e| format!("{name}: {}", e.message().unwrap_or_default()))?;
    }
    for (name, wanted) in forks {
        let there = log(&driver, &name).read(ReadOptions::default()).await;
        let right = match wanted {
            "there" => there.is_ok_and(|page| !page.entries.is_empty()),
            "gone" => there.is_err_and(|error| error.code() == "no_log"),
            _ => there.is_ok() || there.is_err_and(|error| error.code() == "no_log"),
        };
        if !right {
            return Err(format!("the fork {name} should be {wanted}").into());
        }
    }
    if driver.has_project(&project()).await? {
        check_short(&driver, short).await.map_err(|e| format!("short, {short}: {}", e.message().unwrap_or_default()))?;
    }
    driver.close().await?;
    let report = doctor::check(root, |_| {}).await?;
    if report.is_damaged() || report.lost > 0 {
        return Err(format!("doctor after recovery: {:?}", report.findings).into());
    }
    Ok(found)
}

/// Whatever a kill left of the short-lived logs: they are whole or not there, and can be deleted and made anew.
async fn check_short(driver: &FsDriver, told: &str) -> Outcome {
    let (source, fork) = (log(driver, "short"), log(driver, "lived/fork"));
    let count = |there: folio::Result<folio::Page>| match there {
        Ok(page) if page.gap.is_none() => Ok(page.entries.len().to_string()),
        Ok(page) => Err(Failed::from(format!("{:?}", page.gap))),
        Err(error) => Ok(error.code().to_owned()),
    };
    let found = (count(source.read(ReadOptions::default()).await)?, count(fork.read(ReadOptions::default()).await)?);
    let one_of = |found: &str, wanted: &[&str]| wanted.contains(&found);
    let right = match told {
        "begun" => one_of(&found.0, &["no_log", "0", "1", "2", "3", "4", "5"]) && found.1 == "no_log",
        "5" => found.0 == "5" && one_of(&found.1, &["no_log", "4"]),
        "forked" => one_of(&found.0, &["5", "gone"]) && found.1 == "4",
        "deleted" => one_of(&found.0, &["gone", "no_log", "0", "1"]) && one_of(&found.1, &["4", "no_log"]),
        _ => found == ("no_log".into(), "no_log".into()),
    };
    if !right {
        return Err(format!("found {found:?}").into());
    }
    source.delete().await?;
    fork.delete().await?;
    append_large(&*source, 1).await?;
    Ok(source.delete().await?)
}

/// How many acknowledged appends to it were found, by their entries or by their keys.
async fn check_log(driver: &FsDriver, name: &str, told: &Told) -> Outcome<usize> {
    let log = log(driver, name);
    let status = match log.status().await {
        Ok(status) => status,
        Err(_) if told.units.is_empty() => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let horizons = [told.truncated, told.truncating.max(told.truncated)];
    if !horizons.contains(&status.horizon) {
        return Err(format!("the horizon is {}, not one of {horizons:?}", status.horizon).into());
    }
    let mut entries = BTreeMap::new();
    let mut stream = log.subscribe(Start::After(Cursor::bare(status.horizon))).await?;
    loop {
        match stream.next().await.ok_or("the stream ended")?? {
            LogEvent::Entry { entry, .. } => drop(entries.insert(entry.seq, entry.data)),
            LogEvent::CaughtUp { .. } => break,
            other => return Err(format!("told {other:?}").into()),
        }
    }
    let seqs: Vec<u64> = entries.keys().copied().collect();
    if seqs != (status.horizon + 1..=status.head.seq).collect::<Vec<_>>() {
        return Err(format!("seqs {seqs:?} between {} and {}", status.horizon, status.head.seq).into());
    }
    let acknowledged = told.units.iter().flat_map(|(&step, &first)| (first..).zip(unit(step)));
    for (seq, data) in acknowledged.filter(|(seq, _)| *seq > status.horizon) {
        if entries.remove(&seq).as_ref() != Some(&data) {
            return Err(format!("the acknowledged entry {seq} is not there").into());
        }
    }
    // what is left is the unit that was on its way, whole
    let left: Vec<Data> = entries.into_values().collect();
    let whole = told.trying.is_some_and(|step| left == unit(step));
    if !left.is_empty() && !whole {
        return Err(format!("{left:?} was appended by nobody").into());
    }
    let retry = async |step| -> Outcome<_> {
        let options = AppendOptions { idempotency_key: Some(format!("step{step}")), ..AppendOptions::default() };
        match log.append(unit(step), options).await? {
            AppendOutcome::Appended(appended) => Ok(appended),
            AppendOutcome::Precondition { .. } => Err("a precondition".into()),
        }
    };
    for (&step, &first) in &told.units {
        let again = retry(step).await?;
        if !again.replayed || again.first != first {
            return Err(format!("the retry of step {step} was answered {again:?} instead of {first}").into());
        }
    }
    if let Some(step) = told.trying {
        // the retry finds out by itself
        let again = retry(step).await?;
        if again.replayed != whole {
            return Err(format!("the retry was replayed: {}, the unit was there: {whole}", again.replayed).into());
        }
    }
    Ok(told.units.len())
}

/// The durable write of an append fails once: the outcome is unknown, nothing is retried, and reopening decides.
pub(super) fn failing_append_sync() -> Outcome {
    let temp = tempfile::tempdir()?;
    let (root, acks) = (temp.path().join("root"), temp.path().join("acks"));
    let (journal, inject) = (root.join(".folio/journal/1.journal"), "inject=pwritev2:error=EIO:when=3");
    let journal = journal.display().to_string();
    let status = strace::child("logs", &root, &acks, &["-o", "/dev/null", "-P", &journal, "-e", inject]).status()?;
    if status.success() {
        return Err("the workload did not notice the failed sync".into());
    }
    let told = std::fs::read_to_string(&acks)?;
    let last = told.lines().last().unwrap_or_default();
    if !last.starts_with("try append") {
        return Err(format!("it ended after {last:?}").into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async { check(&root, &told).await }).map(drop)
}
