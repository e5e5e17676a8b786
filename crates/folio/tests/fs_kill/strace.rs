//! Children under `strace`, which calls they make, and where they are to be struck.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::process::{Command, Stdio};

use libtest_mimic::Failed;

use super::Outcome;

/// Set for a child, to its root.
pub(super) const CHILD: &str = "FOLIO_KILL_ROOT";
/// … to the file where it notes what was acknowledged.
pub(super) const ACKS: &str = "FOLIO_KILL_ACKS";
/// … to what it does.
pub(super) const WORKLOAD: &str = "FOLIO_KILL_WORKLOAD";

/// Calls that change or sync something. What a child notes goes by another one.
const CALLS: &str = "write,pwrite64,pwritev2,fdatasync,fsync,syncfs,renameat2,unlinkat,linkat,mkdirat,ftruncate,fallocate";

/// Why nothing can be struck here.
pub(super) fn cannot() -> Option<String> {
    match Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).status() {
        Err(error) => Some(format!("strace can't be run: {error}")),
        Ok(status) if !status.success() => Some("this process may not trace others".into()),
        Ok(_) => None,
    }
}

/// The command of a child, without strace.
pub(super) fn plain(workload: &str, root: &Path, acks: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    set(&mut command, workload, root, acks);
    command
}

/// The command of a child, with these arguments for strace.
pub(super) fn child(workload: &str, root: &Path, acks: &Path, strace: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command.arg("-f").args(strace).arg("--").arg(std::env::current_exe().unwrap());
    set(&mut command, workload, root, acks);
    command
}

fn set(command: &mut Command, workload: &str, root: &Path, acks: &Path) {
    command.env(CHILD, root).env(ACKS, acks).env(WORKLOAD, workload).stdout(Stdio::null()).stderr(Stdio::null());
}

/// The calls of a run: `(name, n)` for every n that a thread reaches with calls of that name. To strike at it is to strike
/// the first thread that reaches it, so each is another moment.
pub(super) fn calls_of(command: impl FnOnce(&[&str]) -> Command) -> Outcome<Vec<(String, u64)>> {
    let trace = tempfile::NamedTempFile::new()?;
    let shown = trace.path().display().to_string();
    let done = command(&["-o", &shown, "-e", &format!("trace={CALLS}")]).status()?;
    if !done.success() {
        return Err("the workload fails by itself".into());
    }
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    for line in std::fs::read_to_string(trace.path())?.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        // Where two threads call at once, the end of a call is shown on a line of its own.
        let Some((name, _)) = call.trim_start().split_once('(') else { continue };
        if CALLS.split(',').any(|known| known == name) {
            *counts.entry((name.to_owned(), thread.to_owned())).or_default() += 1;
        }
    }
    let mut most: BTreeMap<String, u64> = BTreeMap::new();
    for ((name, _), count) in counts {
        let known = most.entry(name).or_default();
        *known = count.max(*known);
    }
    Ok(most.into_iter().flat_map(|(name, count)| (1..=count).map(move |at| (name.clone(), at))).collect())
}

/// The points where a run that makes these calls is struck: drawn at random, or all of them where so many are wanted.
pub(super) fn points<T>(mut calls: Vec<T>, variable: &str, usual: usize) -> Vec<T> {
    let wanted = number(variable).and_then(|wanted| usize::try_from(wanted).ok()).unwrap_or(usual);
    let seed = number("FOLIO_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("FOLIO_SEED={seed} {variable}={wanted}, of {} calls", calls.len());
    fastrand::Rng::with_seed(seed).shuffle(&mut calls);
    calls.truncate(wanted);
    calls
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok())
}

/// Runs the check after `what`, and says after what it was.
pub(super) fn after<T: Send + 'static>(what: &str, check: impl Future<Output = Outcome<T>> + Send + 'static) -> Outcome<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    match runtime.block_on(async { tokio::spawn(check).await }) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(failed)) => Err(format!("{what}: {}", failed.message().unwrap_or_default()).into()),
        Err(panic) => Err(format!("{what}: {panic}").into()),
    }
}

/// What a sweep saw. Its last line is added up by `./sweep`.
#[derive(Debug)]
pub(super) struct Tally {
    kind: &'static str,
    of: &'static str,
    points: usize,
    struck: usize,
    acknowledged: usize,
    recovered: usize,
}

impl Tally {
    pub(super) fn new(kind: &'static str, of: &'static str) -> Self {
        Self { kind, of, points: 0, struck: 0, acknowledged: 0, recovered: 0 }
    }

    /// One more point; whether the child felt it.
    pub(super) fn point(&mut self, struck: bool) {
        self.points += 1;
        self.struck += usize::from(struck);
    }

    pub(super) fn operations(&mut self, acknowledged: usize, recovered: usize) {
        self.acknowledged += acknowledged;
        self.recovered += recovered;
    }

    /// # Errors
    /// Where most points struck nothing.
    pub(super) fn end(self) -> Outcome {
        let Self { kind, of, points, struck, acknowledged, recovered } = self;
        println!("SWEEP kind={kind} of={of} points={struck} acknowledged={acknowledged} recovered={recovered}");
        if struck * 2 < points {
            return Err(Failed::from(format!("{struck} of {points} points struck: the sweep proves little")));
        }
        Ok(())
    }
}
