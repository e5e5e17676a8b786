//! When something was used last: cheap to note, from any thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

pub(crate) struct LastUse {
    begun: Instant,
    /// Milliseconds from then on.
    passed: AtomicU64,
}

impl LastUse {
    /// It is used now.
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), passed: AtomicU64::new(0) }
    }

    /// It is used now.
    pub(crate) fn touch(&self) {
        let passed = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.passed.store(passed, Ordering::Relaxed);
    }

    /// When that was, to the millisecond.
    pub(crate) fn at(&self) -> Instant {
        self.begun + Duration::from_millis(self.passed.load(Ordering::Relaxed))
    }
}
