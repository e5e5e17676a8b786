//! Calls that fail, and files that may not grow: refused or unknown, as it was answered, and never half.

use std::path::Path;
use std::process::Command;

use libtest_mimic::Completion;

use super::strace::{self, Tally};
use super::{Outcome, judge, play};

const ERRORS: [&str; 3] = ["EIO", "ENOSPC", "EINTR"];
/// Of each workload, in the usual run.
const POINTS: usize = 9;
const LIMITS: usize = 3;

/// Lets any of a workload's calls fail once in each thread, with any of the errors.
pub(super) fn calls(plan: &'static str) -> Outcome {
    let whole = tempfile::tempdir()?;
    let calls = strace::calls_of(|strace| strace::child(plan, &whole.path().join("root"), &whole.path().join("acks"), strace))?;
    let each = ERRORS.iter().flat_map(|error| calls.iter().map(move |(name, at)| (name.clone(), *at, *error))).collect();
    let mut tally = Tally::new("fault", plan);
    for (name, at, error) in strace::points(each, "FOLIO_INJECT_POINTS", POINTS) {
        let temp = tempfile::tempdir()?;
        let (root, acks) = (temp.path().join("root"), temp.path().join("acks"));
        let inject = format!("inject={name}:error={error}:when={at}");
        let what = format!("{name} {at} failed with {error}");
        if !strace::child(plan, &root, &acks, &["-o", "/dev/null", "-e", &inject]).status()?.success() {
            return Err(format!("{what}: the child did not end well").into());
        }
        tally.point(true);
        judge(plan, &root, &acks, &what, &mut tally)?;
    }
    tally.end()
}

/// A write that would go beyond the limit ends short there, and the next one fails.
pub(super) fn short_writes(plan: &'static str) -> Outcome<Completion> {
    if let Err(error) = Command::new("prlimit").arg("--version").output() {
        return Ok(Completion::ignored_with(format!("prlimit can't be run: {error}")));
    }
    let mut tally = Tally::new("fault", plan);
    for limit in strace::points((1..150).map(|n| n * 613).collect(), "FOLIO_LIMIT_POINTS", LIMITS) {
        let temp = tempfile::tempdir()?;
        let (root, acks) = (temp.path().join("root"), temp.path().join("acks"));
        // Without it the signal that comes with the failure would end the child.
        // What it notes goes through a pipe, which has no limit.
        let program = strace::plain(plan, &root, Path::new("/dev/stdout"));
        let mut child = Command::new("sh");
        child.args(["-c", "trap '' XFSZ; exec \"$0\""]).arg(program.get_program());
        child.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        child.env(play::FILE_LIMIT, u64::to_string(&limit));
        let what = format!("no file beyond {limit} bytes");
        let output = child.output()?;
        if !output.status.success() {
            return Err(format!("{what}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        std::fs::write(&acks, output.stdout)?;
        tally.point(true);
        judge(plan, &root, &acks, &what, &mut tally)?;
    }
    tally.end().map(|()| Completion::Completed)
}
