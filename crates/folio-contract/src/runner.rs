//! Runs the cases as tests of their own, `driver::area::case`.

use std::any::Any;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::case::Case;
use crate::ctx::Ctx;
use crate::harness::Harness;
use crate::settings;

/// How long what a case left running may take to end.
const WIND_DOWN: Duration = Duration::from_secs(5);

/// Runs all cases on `driver`, with a harness made anew by `harness` for each, and takes the arguments of `cargo test`.
///
/// Each case has a runtime of its own. One that hangs fails with its name after its budget, whatever it waits for.
#[expect(clippy::print_stderr, reason = "a test runner speaks to the person who started it")]
pub fn main<F, Making, H>(driver: &str, harness: F) -> ExitCode
where
    F: Fn() -> Making + Send + Sync + 'static,
    Making: Future<Output = folio::Result<H>> + Send + 'static,
    H: Harness + 'static,
{
    if let Err(complaint) = settings::check() {
        eprintln!("{complaint}");
        return ExitCode::FAILURE;
    }
    let harness = Arc::new(harness);
    let trials = crate::cases().into_iter().map(|case| {
        let name = format!("{driver}::{}::{}", case.area, case.name);
        let harness = Arc::clone(&harness);
        Trial::ignorable_test(name.clone(), move || run(case, &name, move || harness()))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Runs a case on a thread of its own, so that one that blocks its runtime can be given up.
fn run<Making, H>(case: Case, name: &str, harness: impl FnOnce() -> Making + Send + 'static) -> Result<Completion, Failed>
where
    Making: Future<Output = folio::Result<H>> + Send + 'static,
    H: Harness + 'static,
{
    let (done, outcome) = mpsc::channel();
    let full_name = name.to_owned();
    let started = thread::Builder::new().name(full_name.clone()).spawn(move || {
        // Nobody listens any more once the budget is spent.
        let _ = done.send(on_a_runtime(case, &full_name, harness));
    });
    started.map_err(|e| format!("no thread for the case: {e}"))?;
    match outcome.recv_timeout(case.budget) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Timeout) => Err(format!("{name} hangs: not done after {:?}", case.budget).into()),
        Err(RecvTimeoutError::Disconnected) => Err(format!("{name} ended without an outcome").into()),
    }
}

fn on_a_runtime<Making, H>(case: Case, name: &str, harness: impl FnOnce() -> Making) -> Result<Completion, Failed>
where
    Making: Future<Output = folio::Result<H>> + Send + 'static,
    H: Harness + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let making = harness();
    let outcome = runtime.block_on(async {
        let harness = tokio::spawn(making).await.map_err(|e| panicked("making the harness", e))?;
        let ctx = Ctx::new(Box::new(harness.map_err(|e| format!("making the harness: {e}"))?));
        if let Some(reason) = ctx.lacks(case.needs) {
            return Ok(Completion::ignored_with(reason));
        }
        let running = tokio::spawn({
            let ctx = ctx.clone();
            async move { case.run(ctx).await }
        });
        let outcome = match running.await {
            Ok(outcome) => outcome.map_err(|failure| failure.to_string()),
            Err(e) => Err(panicked("the case", e)),
        };
        outcome.map_err(|message| with_repetition(&message, &ctx, name))?;
        ctx.driver().close().await.map_err(|e| format!("closing after the case: {e}"))?;
        Ok(Completion::Completed)
    });
    runtime.shutdown_timeout(WIND_DOWN);
    outcome
}

pub(crate) fn panicked(what: &str, error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(payload) => format!("{what} panicked: {}", payload_text(payload.as_ref())),
        Err(cancelled) => format!("{what} was cancelled: {cancelled}"),
    }
}

fn payload_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

/// Adds the one line that runs the case again with the same random choices.
fn with_repetition(message: &str, ctx: &Ctx, name: &str) -> String {
    let Some(variables) = ctx.repeat() else { return message.to_owned() };
    let package = std::env::var("CARGO_PKG_NAME").map(|package| format!(" -p {package}")).unwrap_or_default();
    let target = test_target().map(|target| format!(" --test {target}")).unwrap_or_default();
    format!("{message}\nrepeat: {variables} cargo test{package}{target} -- --exact {name}")
}

/// The name of the running test: the file's, without the hash that cargo puts behind it.
fn test_target() -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let stem = program.file_stem()?.to_str()?;
    Some(stem.rsplit_once('-')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use folio::Driver;
    use folio::memory::MemoryDriver;

    use super::*;
    use crate::harness::Need;

    struct Memory(Arc<MemoryDriver>);

    impl Harness for Memory {
        fn driver(&self) -> Arc<dyn Driver> {
            self.0.clone()
        }

        fn lacks(&self, need: Need) -> Option<&'static str> {
            (need == Need::Reopen).then_some("it is gone")
        }
    }

    async fn memory() -> folio::Result<Memory> {
        Ok(Memory(Arc::default()))
    }

    fn failure(case: Case) -> String {
        match run(case, "it", memory) {
            Err(failed) => failed.message().unwrap_or_default().to_owned(),
            Ok(_) => panic!("the case did not fail"),
        }
    }

    #[test]
    fn a_case_that_holds_is_completed() {
        let case = Case::new("area", "name", &[Need::Clock], |ctx| {
            Box::pin(async move {
                ctx.project().await?;
                Ok(())
            })
        });
        assert!(matches!(run(case, "it", memory), Ok(Completion::Completed)));
    }

    #[test]
    fn a_need_that_is_not_met_is_ignored_with_the_reason_and_never_run() {
        let case = Case::new("area", "name", &[Need::Clock, Need::Reopen], |_| Box::pin(async { panic!("it ran") }));
        let Ok(Completion::Ignored { reason: Some(reason) }) = run(case, "it", memory) else { panic!("not ignored") };
        assert!(reason.contains("opening again") && reason.ends_with("it is gone"), "{reason}");
    }

    #[test]
    fn a_failure_tells_its_place_and_how_to_repeat_it() {
        let case = Case::new("area", "name", &[], |ctx| {
            Box::pin(async move {
                let _ = ctx.random();
                crate::fail!("it does not hold")
            })
        });
        let message = failure(case);
        assert!(message.starts_with("it does not hold\n  at ") && message.contains("runner.rs"), "{message}");
        let repeat = format!("repeat: FOLIO_SEED={} cargo test -p folio-contract", settings::seed());
        assert!(message.contains(&repeat) && message.ends_with("-- --exact it"), "{message}");
    }

    #[test]
    fn a_refusal_that_was_not_expected_tells_the_line_that_got_it() {
        let line = line!() + 3;
        let case = Case::new("area", "name", &[], |ctx| {
            Box::pin(async move {
                ctx.driver().list_projects(None, 0).await?;
                Ok(())
            })
        });
        let message = failure(case);
        assert!(message.contains("invalid") && message.contains(&format!("runner.rs:{line}:")), "{message}");
    }

    #[test]
    fn a_panic_is_a_failure() {
        let case = Case::new("area", "name", &[], |_| Box::pin(async { panic!("it broke at {}", 7) }));
        assert!(failure(case).contains("it broke at 7"));
    }

    #[test]
    fn a_case_that_blocks_its_runtime_fails_with_its_name() {
        let case = Case::new("area", "name", &[], |_| {
            Box::pin(async {
                loop {
                    thread::park();
                }
            })
        });
        let message = failure(case.within(Duration::from_millis(50)));
        assert!(message.starts_with("it hangs"), "{message}");
    }

    #[test]
    fn a_harness_that_cannot_be_made_is_a_failure() {
        let case = Case::new("area", "name", &[], |_| Box::pin(async { Ok(()) }));
        let broken = || async { Err::<Memory, _>(folio::Error::invalid("no room")) };
        assert!(matches!(run(case, "it", broken), Err(failed) if failed.message().is_some_and(|m| m.contains("no room"))));
    }

    #[test]
    fn names_are_unique() {
        let mut seen = HashSet::new();
        for case in crate::cases() {
            assert!(seen.insert((case.area, case.name)), "{}::{} is there twice", case.area, case.name);
        }
    }
}
