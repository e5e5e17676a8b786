//! Random sequences of operations against a plain reference, compared step by step.

mod choice;
mod commits;
mod follower;
mod logs;
mod reference;
mod values;

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use fastrand::Rng;

use crate::case::{Case, cases};
use crate::ctx::Ctx;
use crate::failure::{Failure, Outcome};
use crate::runner::panicked;
use crate::settings::{DEFAULT_SEQUENCES, repeat, seed, sequences};

cases! { "model":
    logs_do_what_the_reference_does,
    documents_and_files_do_what_the_reference_does,
}

/// The cases, with time for as many sequences as were asked for.
pub(crate) fn all() -> Vec<Case> {
    let times = sequences().div_ceil(DEFAULT_SEQUENCES);
    cases().into_iter().map(|case| case.within(case.budget * times)).collect()
}

/// Steps of one sequence.
const STEPS: usize = 150;

/// Steps that a failure shows.
const SHOWN: usize = 40;

/// What a sequence did so far.
#[derive(Clone, Default)]
struct Trail(Arc<Mutex<Vec<String>>>);

impl Trail {
    fn begin(&self, step: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(step);
    }

    /// Adds to the step that began last.
    fn say(&self, more: impl AsRef<str>) {
        if let Some(last) = self.0.lock().unwrap_or_else(PoisonError::into_inner).last_mut() {
            last.push(' ');
            last.push_str(more.as_ref());
        }
    }

    /// The newest steps, one a line.
    fn tail(&self) -> String {
        let steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = steps.iter().enumerate().skip(steps.len().saturating_sub(SHOWN));
        shown.map(|(n, step)| format!("\n  step {n}: {step}")).collect()
    }
}

/// Runs sequences, each with a seed of its own; a failure tells it, and what the sequence did last.
async fn run<F>(ctx: Ctx, sequence: impl Fn(Ctx, Rng, Trail) -> F) -> Outcome
where
    F: Future<Output = Outcome> + Send + 'static,
{
    for n in 0..sequences() {
        let seed = seed().wrapping_add(u64::from(n));
        ctx.repeat_with(repeat(seed, Some(1)));
        let trail = Trail::default();
        let running = tokio::spawn(sequence(ctx.clone(), Rng::with_seed(seed), trail.clone()));
        let outcome = match running.await {
            Ok(outcome) => outcome,
            Err(error) => Err(Failure::new(panicked("the sequence", error))),
        };
        outcome.map_err(|failure| failure.within(format!("sequence {n}, seed {seed}{}\n", trail.tail())))?;
    }
    Ok(())
}

async fn logs_do_what_the_reference_does(ctx: Ctx) -> Outcome {
    run(ctx, |ctx, random, trail| async move {
        let mut logs = logs::Logs::new(&ctx, random, trail).await?;
        for _ in 0..STEPS {
            logs.step().await?;
        }
        logs.finish().await
    })
    .await
}

async fn documents_and_files_do_what_the_reference_does(ctx: Ctx) -> Outcome {
    run(ctx, |ctx, random, trail| async move {
        let mut values = values::Values::new(&ctx, random, trail).await?;
        for _ in 0..STEPS {
            values.step().await?;
        }
        values.finish().await
    })
    .await
}
