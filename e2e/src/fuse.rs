//! When to kill: at a chosen acknowledgement, while other requests are under way.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts acknowledgements and tells when the chosen one was reached.
#[derive(Debug)]
pub struct Fuse {
    left: AtomicUsize,
    burnt: Notify,
}

impl Fuse {
    /// Burns down with the given acknowledgement, from 1.
    #[must_use]
    pub fn new(acknowledgements: usize) -> Self {
        Self { left: AtomicUsize::new(acknowledgements), burnt: Notify::new() }
    }

    /// One more.
    pub fn acknowledged(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.burnt.notify_one();
        }
    }

    /// Waits for the chosen one.
    pub async fn burnt(&self) {
        self.burnt.notified().await;
    }
}
