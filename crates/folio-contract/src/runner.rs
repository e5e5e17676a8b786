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
