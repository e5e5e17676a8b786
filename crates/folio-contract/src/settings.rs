//! What the environment says about a run.

use std::sync::OnceLock;

const SEED: &str = "FOLIO_SEED";
const SEQUENCES: &str = "FOLIO_SEQUENCES";

/// Sequences of each model case where nothing is said.
pub(crate) const DEFAULT_SEQUENCES: u32 = 20;

/// The seed of all random choices: the variable `FOLIO_SEED`, else another one for each run.
#[must_use]
pub fn seed() -> u64 {
    static CHOSEN: OnceLock<u64> = OnceLock::new();
    *CHOSEN.get_or_init(|| given(SEED).ok().flatten().unwrap_or_else(|| u64::from(fastrand::u32(..))))
}

/// How many sequences each model case runs: the variable `FOLIO_SEQUENCES`, else [`DEFAULT_SEQUENCES`].
pub(crate) fn sequences() -> u32 {
    let given = given(SEQUENCES).ok().flatten().and_then(|count| u32::try_from(count).ok());
    given.unwrap_or(DEFAULT_SEQUENCES).max(1)
}

/// The variables that make the random choices of `seed` again, in `sequences` sequences.
pub(crate) fn repeat(seed: u64, sequences: Option<u32>) -> String {
    let sequences = sequences.map(|count| format!(" {SEQUENCES}={count}")).unwrap_or_default();
    format!("{SEED}={seed}{sequences}")
}

/// Complains about a variable that can't be read, so that nobody repeats something else without knowing.
pub(crate) fn check() -> Result<(), String> {
    given(SEED)?;
    given(SEQUENCES).map(|_| ())
}

fn given(name: &str) -> Result<Option<u64>, String> {
    match std::env::var(name) {
        Ok(text) => text.parse().map(Some).map_err(|_| format!("{name} must be a whole number, not {text:?}")),
        Err(_) => Ok(None),
    }
}
