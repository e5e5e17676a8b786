//! A store that is killed at any system call: what was acknowledged is there, units are whole, nothing is in between.
//!
//! The workload runs in a child process under `strace`, which kills it at the n-th call that writes, syncs, renames or
//! removes. Then the root is opened again and checked. Points are drawn at random (the seed is printed);
//! `FOLIO_KILL_POINTS=500` makes a long sweep, `FOLIO_SEED=…` repeats one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use folio::fs::{FsDriver, FsOptions, doctor};
use folio::{
    AppendLog, AppendOptions, AppendOutcome, Cursor, Data, Driver, Json, LogEvent, LogName, ProjectId, ReadOptions, Start,
};
use futures_util::StreamExt;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

const CHILD: &str = "FOLIO_KILL_ROOT";
const ACKS: &str = "FOLIO_KILL_ACKS";
const CALLS: &str = "write,pwrite64,fdatasync,fsync,renameat2,unlinkat,linkat,mkdirat,ftruncate";
const POINTS: u64 = 60;
const STEPS: u64 = 40;

type Outcome<T = ()> = Result<T, Failed>;

fn main() -> ExitCode {
    if let Some(root) = std::env::var_os(CHILD) {
        let acks = std::env::var_os(ACKS).expect("where to note what was acknowledged");
        // One thread for all disk work, because strace counts the calls of each thread on its own.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
        runtime.block_on(work(root.as_ref(), acks.as_ref()));
        return ExitCode::SUCCESS;
    }
    let tests = vec![
        Trial::ignorable_test("killed_at_any_call", || traced(sweep)),
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

/// The child's command, with these arguments for strace.
fn child(root: &Path, acks: &Path, strace: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command.arg("-f").args(strace).arg("--").arg(std::env::current_exe().unwrap());
    command.env(CHILD, root).env(ACKS, acks).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The calls of a whole run by the thread that makes most of them: `(name, how many of that name so far)`, in order.
fn count_calls() -> Outcome<Vec<(String, u64)>> {
    let temp = tempfile::tempdir()?;
    let (trace, acks) = (temp.path().join("trace"), temp.path().join("acks"));
    let shown = trace.display().to_string();
    let done = child(&temp.path().join("root"), &acks, &["-o", &shown, "-e", &format!("trace={CALLS}")]).status()?;
    if !done.success() {
        return Err("the workload fails by itself".into());
    }
    let mut threads: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
    for line in std::fs::read_to_string(trace)?.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let Some((name, _)) = call.trim_start().split_once('(') else { continue };
        let calls = threads.entry(thread.to_owned()).or_default();
        let before = calls.iter().filter(|(known, _)| known == name).count() as u64;
        calls.push((name.to_owned(), before + 1));
    }
    threads.into_values().max_by_key(Vec::len).ok_or_else(|| "no calls were seen".into())
}

fn sweep() -> Outcome {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("FOLIO_SEED").unwrap_or_else(|| fastrand::u64(..));
    let points = number("FOLIO_KILL_POINTS").unwrap_or(POINTS);
    println!("FOLIO_SEED={seed} FOLIO_KILL_POINTS={points}");
    let mut random = fastrand::Rng::with_seed(seed);
    let calls = count_calls()?;
    let (mut killed, mut acknowledged) = (0, 0);
    for _ in 0..points {
        let (name, at) = calls.get(random.usize(..calls.len())).ok_or("no calls were seen")?;
        let temp = tempfile::tempdir()?;
        let (root, acks) = (temp.path().join("root"), temp.path().join("acks"));
        let kill = format!("inject={name}:signal=KILL:when={at}");
        let status = child(&root, &acks, &["-o", "/dev/null", "-e", &kill]).status()?;
        killed += u64::from(!status.success());
        let told = std::fs::read_to_string(&acks).unwrap_or_default();
        acknowledged += told.lines().filter(|line| line.starts_with("append ")).count();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let checked = runtime.block_on(async { tokio::spawn(async move { check(&root, &told).await }).await });
        match checked {
            Ok(Ok(())) => {}
            Ok(Err(failed)) => return Err(format!("killed at {name} {at}: {}", failed.message().unwrap_or_default()).into()),
            Err(panic) => return Err(format!("killed at {name} {at}: {panic}").into()),
        }
    }
    println!(
        "{points} points, {killed} killed, {acknowledged} acknowledged appends, all recovered; a run makes {} calls",
        calls.len()
    );
    if killed * 2 < points { Err("hardly anything was killed: the sweep proves nothing".into()) } else { Ok(()) }
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
            "fork" => drop(forks.insert(words[1].into(), "there")),
            "delete" => drop(forks.insert(words[1].into(), "gone")),
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
    driver.close().await?;
    let report = doctor::check(root, |_| {}).await?;
    if report.is_damaged() || report.lost > 0 {
        return Err(format!("doctor after recovery: {:?}", report.findings).into());
    }
    Ok(())
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
    if let Some(step) = told.trying {
        // the retry finds out by itself
        let options = AppendOptions { idempotency_key: Some(format!("step{step}")), ..AppendOptions::default() };
        let AppendOutcome::Appended(again) = log.append(unit(step), options).await? else { return Err("a precondition".into()) };
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
