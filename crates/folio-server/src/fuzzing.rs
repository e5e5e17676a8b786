//! For the targets in `fuzz/` alone.

use crate::fast::compare::is_understood_the_same;

/// Heads that are answered beside the HTTP stack mean the same to it. `runtime`: with time.
///
/// # Panics
/// Where they don't.
pub fn head(runtime: &tokio::runtime::Runtime, bytes: &[u8]) {
    runtime.block_on(is_understood_the_same(bytes));
}
