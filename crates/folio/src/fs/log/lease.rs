//! A log that somebody holds for a commit of several targets: its own operations wait until the lease ends.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::fs::log::core::LogCore;

/// Nobody else works on the log while it lives.
pub(crate) struct Lease {
    core: Arc<LogCore>,
    runtime: Handle,
}

impl Lease {
    pub(crate) fn new(core: Arc<LogCore>, runtime: Handle) -> Self {
        Self { core, runtime }
    }

    pub(crate) fn core(&self) -> &Arc<LogCore> {
        &self.core
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.core.has_more() {
            let core = Arc::clone(&self.core);
            drop(crate::fs::pace::Pace::here().start_on(&self.runtime, move || core.work()));
        }
    }
}
