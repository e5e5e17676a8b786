//! A store that is killed at any system call, or whose calls fail: what was acknowledged is there, units are whole,
//! nothing is in between.
//!
//! A workload runs in a child process under `strace`, which kills it at the n-th call that writes, syncs, renames or
//! removes, or makes that call fail. Then the root is opened again and checked. Points are drawn at random (the seed is
//! printed); `FOLIO_KILL_POINTS=9999` and `FOLIO_INJECT_POINTS=9999` visit every call, `FOLIO_SEED=…` repeats a sweep.
//!
//! | file | holds |
//! | --- | --- |
//! | `strace` | children that are killed, and which calls they make |
//! | `logs` | logs alone: rotation, compaction, forks, deletion, retries |
//! | `torn` | a torn tail that is set aside |
//! | `ops` | operations on everything else, and what they leave: the model |
//! | `plans` | in which order workloads do them |
//! | `play` | the child: does a plan and notes what it was answered |
//! | `verdict` | whether what is there can be, after what was answered |
//! | `failing` | calls that fail, and files that may not grow |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod failing;
mod logs;
mod ops;
mod plans;
mod play;
mod strace;
mod torn;
mod verdict;

use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use self::strace::{ACKS, CHILD, Tally, WORKLOAD};

/// Calls at which each workload is killed in the usual run.
const POINTS: usize = 12;

type Outcome<T = ()> = Result<T, Failed>;

fn main() -> ExitCode {
    if let Some(root) = std::env::var_os(CHILD) {
        let acks = std::env::var_os(ACKS).expect("where to note what was acknowledged");
        let workload = std::env::var(WORKLOAD).expect("what to do");
        // One thread for all disk work but the journal's, because strace counts the calls of each thread on its own.
        // Without I/O of its own: waking that is a write, too, which may not be made to fail.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().max_blocking_threads(1).build().unwrap();
        match workload.as_str() {
            "logs" => runtime.block_on(logs::work(root.as_ref(), acks.as_ref())),
            "torn" => runtime.block_on(torn::work(root.as_ref())),
            plan => runtime.block_on(play::play(plan, root.as_ref(), acks.as_ref())),
        }
        return ExitCode::SUCCESS;
    }
    let mut tests = vec![
        Trial::ignorable_test("killed_at_any_call", || traced(logs::sweep)),
        Trial::ignorable_test("killed_while_a_torn_tail_is_set_aside", || traced(torn::sweep)),
        Trial::ignorable_test("failing_append_sync", || traced(logs::failing_append_sync)),
    ];
    for plan in plans::NAMES {
        tests.push(Trial::ignorable_test(format!("killed_at_any_call_of::{plan}"), || traced(|| sweep(plan))));
        tests.push(Trial::ignorable_test(format!("failing::any_call_of::{plan}"), || traced(|| failing::calls(plan))));
        tests.push(Trial::ignorable_test(format!("failing::files_that_may_not_grow::{plan}"), || failing::short_writes(plan)));
    }
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, tests).exit_code()
}

fn traced(test: impl FnOnce() -> Outcome) -> Outcome<Completion> {
    match strace::cannot() {
        Some(why) => Ok(Completion::ignored_with(why)),
        None => test().map(|()| Completion::Completed),
    }
}

/// Kills a workload at any of its calls.
fn sweep(plan: &'static str) -> Outcome {
    let whole = tempfile::tempdir()?;
    let calls = strace::calls_of(|strace| strace::child(plan, &whole.path().join("root"), &whole.path().join("acks"), strace))?;
    let mut tally = Tally::new("kill", plan);
    for (name, at) in strace::points(calls, "FOLIO_KILL_POINTS", POINTS) {
        let temp = tempfile::tempdir()?;
        let (root, acks) = (temp.path().join("root"), temp.path().join("acks"));
        let kill = format!("inject={name}:signal=KILL:when={at}");
        let status = strace::child(plan, &root, &acks, &["-o", "/dev/null", "-e", &kill]).status()?;
        tally.point(!status.success());
        judge(plan, &root, &acks, &format!("killed at {name} {at}"), &mut tally)?;
    }
    tally.end()
}

/// Opens what a child left, and compares it with what the child was told.
fn judge(plan: &'static str, root: &Path, acks: &Path, what: &str, tally: &mut Tally) -> Outcome {
    let told = std::fs::read_to_string(acks).unwrap_or_default();
    let root = root.to_owned();
    let (acknowledged, recovered) = strace::after(what, async move { verdict::check(plan, &root, &told).await })?;
    tally.operations(acknowledged, recovered);
    Ok(())
}
