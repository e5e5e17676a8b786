//! One bound on the memory that bodies and answers take, over all connections.

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

/// The memory there is.
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

fn exhausted() -> Error {
    Error::Retry { what: "the memory for bodies and answers is all in use by other calls".into() }
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
        let acquire = Arc::clone(&self.0).acquire_many_owned(units(bytes));
        match tokio::time::timeout(PATIENCE, acquire).await {
            Ok(Ok(permit)) => Ok(Reservation { budget: Arc::clone(&self.0), permit }),
            _ => Err(exhausted()),
        }
    }

    /// Nothing yet, to [`Reservation::grow`].
    pub(crate) fn nothing(&self) -> Result<Reservation> {
        let permit = Arc::clone(&self.0).try_acquire_many_owned(0).map_err(|_| exhausted())?;
        Ok(Reservation { budget: Arc::clone(&self.0), permit })
    }
}

impl Reservation {
    /// Raises it to `bytes` without waiting: who holds some must not wait for more, or all could wait for each other.
    ///
    /// # Errors
    /// [`Error::Retry`].
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<()> {
        let held = u32::try_from(self.permit.num_permits()).unwrap_or(u32::MAX);
        let missing = units(bytes).saturating_sub(held);
        let more = Arc::clone(&self.budget).try_acquire_many_owned(missing).map_err(|_| exhausted())?;
        self.permit.merge(more);
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
        assert_eq!(other.grow(70 * UNIT).unwrap_err().code(), "retry");
        drop(held);
        other.grow(70 * UNIT).unwrap();
        other.grow(10).unwrap();
        drop(other);
        drop(budget.reserve(100 * UNIT).await.unwrap());
        let mut small = budget.nothing().unwrap();
        small.grow(1).unwrap();
        assert_eq!(budget.0.available_permits(), 99);
    }
}
