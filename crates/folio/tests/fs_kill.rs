//! A store that is killed at any system call: what was acknowledged is there, units are whole, nothing is in between.
//!
//! The workload runs in a child process under `strace`, which kills it at the n-th call that writes, syncs, renames or
//! removes. Then the root is opened again and checked. Points are drawn at random (the seed is printed);
//! `FOLIO_KILL_POINTS=9999` visits every call, `FOLIO_SEED=…` repeats a sweep.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use folio::fs::{FsDriver, FsOptions, doctor};
use folio::{
    AppendLog, AppendOptions, AppendOutcome, Cursor, Data, Driver, GapReason, Json, LogEvent, LogName, Position, ProjectId,
    ReadOptions, Start,
};
use futures_util::StreamExt;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

const CHILD: &str = "FOLIO_KILL_ROOT";
const ACKS: &str = "FOLIO_KILL_ACKS";
/// What the child does: any value for the first write behind a torn tail, else the workload.
const TORN: &str = "FOLIO_KILL_TORN";
const CALLS: &str = "write,pwrite64,fdatasync,fsync,renameat2,unlinkat,linkat,mkdirat,ftruncate";
const POINTS: usize = 60;
const TORN_POINTS: usize = 15;
const STEPS: u64 = 40;

type Outcome<T = ()> = Result<T, Failed>;

fn main() -> ExitCode {
    if let Some(root) = std::env::var_os(CHILD) {
        let acks = std::env::var_os(ACKS).expect("where to note what was acknowledged");
        // One thread for all disk work, because strace counts the calls of each thread on its own.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
        match std::env::var_os(TORN) {
            Some(_) => runtime.block_on(write_behind_torn_tail(root.as_ref())),
            None => runtime.block_on(work(root.as_ref(), acks.as_ref())),
        }
        return ExitCode::SUCCESS;
    }
    let tests = vec![
        Trial::ignorable_test("killed_at_any_call", || traced(sweep)),
        Trial::ignorable_test("killed_while_a_torn_tail_is_set_aside", || traced(torn_tail)),
        Trial::ignorable_test("failing_append_sync", || traced(failing_append_sync)),
    ];
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, tests).exit_code()
}

fn traced(test: fn() -> Outcome) -> Outcome<Completion> {
    match Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).status() {
        Err(error) => return Ok(Completion::ignored_with(format!("strace can't be run: {error}"))),
        Ok(status) if !status.success() => return Ok(Completion::ignored_with("this process may not trace others")),
        Ok(_) => {}
    }
    test().map(|()| Completion::Completed)
}

fn options() -> FsOptions {
    FsOptions { segment_bytes: 900, ..FsOptions::default() }
}

fn project() -> ProjectId {
    ProjectId::new("p").unwrap()
}

fn log(driver: &FsDriver, name: &str) -> Arc<dyn AppendLog> {
    driver.project(&project()).log(&LogName::new(name).unwrap())
}

/// Unit `step` has `step % 3 + 1` entries; each names its place.
fn unit(step: u64) -> Vec<Data> {
    let size = step % 3 + 1;
    (0..size).map(|at| Data::Json(Json::from_value(&[step, at, size]).unwrap())).collect()
}

/// Appends, rotates, compacts, forks and deletes; notes what it begins and what was acknowledged.
async fn work(root: &Path, acks: &Path) {
    let mut acks = OpenOptions::new().create(true).append(true).open(acks).unwrap();
    let mut note = |what: String| acks.write_all(format!("{what}\n").as_bytes()).unwrap();
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

/// The child's command, with these arguments for strace.
fn child(root: &Path, acks: &Path, strace: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command.arg("-f").args(strace).arg("--").arg(std::env::current_exe().unwrap());
    command.env(CHILD, root).env(ACKS, acks).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The calls of a run by the thread that makes most of them: `(name, how many of that name so far)`, in order.
fn calls_of(command: impl FnOnce(&[&str]) -> Command) -> Outcome<Vec<(String, u64)>> {
    let trace = tempfile::NamedTempFile::new()?;
    let shown = trace.path().display().to_string();
    let done = command(&["-o", &shown, "-e", &format!("trace={CALLS}")]).status()?;
    if !done.success() {
        return Err("the workload fails by itself".into());
    }
    let mut threads: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
    for line in std::fs::read_to_string(trace.path())?.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let Some((name, _)) = call.trim_start().split_once('(') else { continue };
        let calls = threads.entry(thread.to_owned()).or_default();
        let before = calls.iter().filter(|(known, _)| known == name).count() as u64;
        calls.push((name.to_owned(), before + 1));
    }
    threads.into_values().max_by_key(Vec::len).ok_or_else(|| "no calls were seen".into())
}

/// The points where a run that makes these calls is killed: drawn at random, or all of them where so many are wanted.
fn points(mut calls: Vec<(String, u64)>, usual: usize) -> Vec<(String, u64)> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("FOLIO_SEED").unwrap_or_else(|| fastrand::u64(..));
    let wanted = number("FOLIO_KILL_POINTS").and_then(|wanted| usize::try_from(wanted).ok()).unwrap_or(usual);
    println!("FOLIO_SEED={seed} FOLIO_KILL_POINTS={wanted}, of {} calls", calls.len());
    fastrand::Rng::with_seed(seed).shuffle(&mut calls);
    calls.truncate(wanted);
    calls
}

/// Runs the check after a kill, and says where that was.
fn after_kill(name: &str, at: u64, check: impl Future<Output = Outcome> + Send + 'static) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    match runtime.block_on(async { tokio::spawn(check).await }) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failed)) => Err(format!("killed at {name} {at}: {}", failed.message().unwrap_or_default()).into()),
        Err(panic) => Err(format!("killed at {name} {at}: {panic}").into()),
    }
}

fn sweep() -> Outcome {
    let whole = tempfile::tempdir()?;
    let calls = calls_of(|strace| child(&whole.path().join("root"), &whole.path().join("acks"), strace))?;
    let points = points(calls, POINTS);
    let (mut killed, mut acknowledged) = (0, 0);
    for (name, at) in &points {
        let temp = tempfile::tempdir()?;
        let (root, acks) = (temp.path().join("root"), temp.path().join("acks"));
        let kill = format!("inject={name}:signal=KILL:when={at}");
        let status = child(&root, &acks, &["-o", "/dev/null", "-e", &kill]).status()?;
        killed += usize::from(!status.success());
        let told = std::fs::read_to_string(&acks).unwrap_or_default();
        acknowledged += told.lines().filter(|line| line.starts_with("append ")).count();
        after_kill(name, *at, async move { check(&root, &told).await })?;
    }
    println!("{} points, {killed} killed, {acknowledged} acknowledged appends, all recovered", points.len());
    if killed * 2 < points.len() { Err("hardly anything was killed: the sweep proves nothing".into()) } else { Ok(()) }
}

/// A log too large to be written anew, whose last entry was lost: until a new piece has begun, that must show.
fn torn_tail() -> Outcome {
    let torn = |strace: &[&str], root: &Path| {
        let mut command = child(root, Path::new("/dev/null"), strace);
        command.env(TORN, "yes");
        command
    };
    let whole = tempfile::tempdir()?;
    make_torn_tail(whole.path())?;
    let calls = calls_of(|strace| torn(strace, whole.path()))?;
    for (name, at) in points(calls, TORN_POINTS) {
        let temp = tempfile::tempdir()?;
        let lost = make_torn_tail(temp.path())?;
        let kill = format!("inject={name}:signal=KILL:when={at}");
        torn(&["-o", "/dev/null", "-e", &kill], temp.path()).status()?;
        let root = temp.path().to_owned();
        after_kill(&name, at, async move {
            for _ in 0..2 {
                let driver = FsDriver::open(&root, FsOptions::default()).await?;
                let log = log(&driver, "history");
                expect_lost(&*log, lost).await?;
                let AppendOutcome::Appended(_) = log.append(unit(1), AppendOptions::default()).await? else { return Ok(()) };
                expect_lost(&*log, lost).await?;
                driver.close().await?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Returns the position of the entry whose line is torn.
fn make_torn_tail(root: &Path) -> Outcome<Position> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let head = runtime.block_on(async {
        let driver = FsDriver::open(root, FsOptions::default()).await?;
        driver.create_project(&project()).await?;
        let large = Json::from_value(&"x".repeat(600_000))?;
        let entries = vec![Data::Json(large.clone()), Data::Json(large)];
        let log = log(&driver, "history");
        let _ = log.append(entries, AppendOptions::default()).await?;
        let _ = log.append(unit(0), AppendOptions::default()).await?;
        let head = log.status().await?.head;
        driver.close().await?;
        Ok::<_, Failed>(head)
    })?;
    let file = OpenOptions::new().write(true).open(root.join("p/.meta/history.jsonl"))?;
    file.set_len(file.metadata()?.len() - 5)?;
    Ok(head)
}

async fn write_behind_torn_tail(root: &Path) {
    let driver = FsDriver::open(root, FsOptions::default()).await.unwrap();
    let _ = log(&driver, "history").append(unit(0), AppendOptions::default()).await.unwrap();
    driver.close().await.unwrap();
}

/// A reader that has seen the entry at `lost` is told that it is not there any more, before anything else.
async fn expect_lost(log: &dyn AppendLog, lost: Position) -> Outcome {
    let page = log.read(ReadOptions { since: Some(lost.into()), ..ReadOptions::default() }).await?;
    match page.gap {
        Some(gap) if gap.reason == GapReason::Epoch && gap.resumes_after.seq == lost.seq - 1 => Ok(()),
        gap => Err(format!("a reader at {lost} is told {gap:?}, and {} entries", page.entries.len()).into()),
    }
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

async fn check(root: &Path, told: &str) -> Outcome {
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
    for (name, told) in &logs {
        check_log(&driver, name, told).await.map_err(|e| format!("{name}: {}", e.message().unwrap_or_default()))?;
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
    Ok(())
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

async fn check_log(driver: &FsDriver, name: &str, told: &Told) -> Outcome {
    let log = log(driver, name);
    let status = match log.status().await {
        Ok(status) => status,
        Err(_) if told.units.is_empty() => return Ok(()),
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
    Ok(())
}

/// The sync of an append fails once: the outcome is unknown, nothing is retried, and reopening decides.
fn failing_append_sync() -> Outcome {
    let temp = tempfile::tempdir()?;
    let (root, acks) = (temp.path().join("root"), temp.path().join("acks"));
    let inject = "inject=fdatasync:error=EIO:when=3";
    let status = child(&root, &acks, &["-o", "/dev/null", "-e", inject]).status()?;
    if status.success() {
        return Err("the workload did not notice the failed sync".into());
    }
    let told = std::fs::read_to_string(&acks)?;
    let last = told.lines().last().unwrap_or_default();
    if !last.starts_with("try append") {
        return Err(format!("it ended after {last:?}").into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async { check(&root, &told).await })
}
