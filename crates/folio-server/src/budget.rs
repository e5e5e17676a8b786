//! Bounds on the memory that bodies and answers take, over all connections.

use std::sync::Arc;
use std::time::Duration;

use folio::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Largest budget, in bytes.
pub(crate) const MOST: usize = 1 << 40;

/// Permits stand for so many bytes.
const UNIT: usize = 1 << 10;

/// How long a call waits for memory that others hold before it is sent away.
const PATIENCE: Duration = Duration::from_secs(10);

/// The memory there is for one purpose.
#[derive(Debug)]
pub(crate) struct Budget(Arc<Semaphore>);

/// Memory taken; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<Semaphore>,
    permit: OwnedSemaphorePermit,
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

async fn acquire(budget: &Arc<Semaphore>, units: u32) -> Result<OwnedSemaphorePermit> {
    match tokio::time::timeout(PATIENCE, Arc::clone(budget).acquire_many_owned(units)).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(Error::Retry { what: "the memory for bodies and answers is all in use by other calls".into() }),
    }
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(MOST) / UNIT)))
    }

    /// Waits until there are `bytes`.
    ///
    /// # Errors
    /// [`Error::Retry`] after [`PATIENCE`].
    pub(crate) async fn reserve(&self, bytes: usize) -> Result<Reservation> {
        let permit = acquire(&self.0, units(bytes)).await?;
        Ok(Reservation { budget: Arc::clone(&self.0), permit })
    }
}

impl Reservation {
    /// Raises it to `bytes`, as [`Budget::reserve`]. Where calls that hold some wait for each other, patience ends it.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<()> {
        let held = u32::try_from(self.permit.num_permits()).unwrap_or(u32::MAX);
        let missing = units(bytes).saturating_sub(held);
        if missing > 0 {
            self.permit.merge(acquire(&self.budget, missing).await?);
        }
        Ok(())
    }

    /// Gives back what is over `bytes`.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let keep = units(bytes) as usize;
        let over = self.permit.num_permits().saturating_sub(keep);
        drop(self.permit.split(over));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn memory_is_shared_and_given_back() {
        let budget = Budget::new(100 * UNIT);
        let mut held = budget.reserve(60 * UNIT).await.unwrap();
        assert_eq!(budget.reserve(50 * UNIT).await.unwrap_err().code(), "retry");
        held.shrink(40 * UNIT);
        let mut other = budget.reserve(50 * UNIT).await.unwrap();
        assert_eq!(other.grow(70 * UNIT).await.unwrap_err().code(), "retry");
        drop(held);
        other.grow(70 * UNIT).await.unwrap();
        other.grow(10).await.unwrap();
        assert_eq!(budget.0.available_permits(), 30);
        drop(other);
        drop(budget.reserve(100 * UNIT).await.unwrap());
    }
}
