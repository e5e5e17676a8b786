//! A case: one guarantee, under a name that says it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::harness::Need;

type Run = fn(Ctx) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// How long a case may take before it counts as hung.
pub const BUDGET: Duration = Duration::from_secs(60);

/// A case of the contract.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What it is about: `append`, `read`, `docs`.
    pub area: &'static str,
    /// The guarantee that it holds, in snake case.
    pub name: &'static str,
    /// What it needs beyond the contract.
    pub needs: &'static [Need],
    /// After this long it counts as hung.
    pub budget: Duration,
    run: Run,
}

impl Case {
    pub(crate) const fn new(area: &'static str, name: &'static str, needs: &'static [Need], run: Run) -> Self {
        Self { area, name, needs, budget: BUDGET, run }
    }

    /// The same case with another budget.
    pub(crate) fn within(self, budget: Duration) -> Self {
        Self { budget, ..self }
    }

    /// Runs it.
    ///
    /// # Errors
    /// A [`crate::Failure`] that says how the driver does not hold the contract. Failed assertions panic.
    pub async fn run(&self, ctx: Ctx) -> Outcome {
        (self.run)(ctx).await
    }
}

/// Makes `cases()` of a module from the names of its functions, each with what it needs in brackets.
macro_rules! cases {
    ($area:literal: $($name:ident $([$($need:ident),+])?),+ $(,)?) => {
        pub(crate) fn cases() -> Vec<$crate::Case> {
            vec![$($crate::Case::new(
                $area,
                stringify!($name),
                &[$($($crate::Need::$need),+)?],
                |ctx| Box::pin($name(ctx)),
            )),+]
        }
    };
}

pub(crate) use cases;
