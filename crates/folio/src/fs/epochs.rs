//! Gives out epochs: unix milliseconds, raised above all that this root gave out before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::root::RootFile;
use crate::cursor::Epoch;
use crate::error::{Error, Result};

/// Epochs that are written down ahead, so that not each one costs a sync.
const STEP: u64 = 10_000;
/// Positions are read by JSON readers that keep 53 bits.
const END: Epoch = 1 << 53;
/// A clock beyond this is not followed, so that epochs can go on rising.
const LATEST: u64 = 1 << 52;

#[derive(Debug)]
struct Given {
    /// The newest epoch given out, or that may have been before this open.
    last: Epoch,
    /// Durable: nothing above was given out.
    reserve: Epoch,
    /// Some epoch was given out since the open.
    any: bool,
}

/// Gives out epochs, never one twice, also after a restart.
#[derive(Debug)]
pub(crate) struct Epochs {
    root: Arc<RootFile>,
    given: Mutex<Given>,
}

impl Epochs {
    /// Goes on after what `root` wrote down.
    pub(crate) fn new(root: Arc<RootFile>) -> Self {
        let reserve = root.content().epoch_reserve;
        Self { root, given: Mutex::new(Given { last: reserve, reserve, any: false }) }
    }

    fn held(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next epoch: `now_ms`, or more where that is not above `above` and all that was given out. Blocks, and
    /// syncs one file now and then.
    ///
    /// # Errors
    /// Where the file can't be written (nothing was given out then); [`Error::Invalid`] at the end of 53 bits.
    pub(crate) fn next(&self, now_ms: u64, above: Epoch) -> Result<Epoch> {
        loop {
            let reserve = {
                let mut given = self.held();
                let next = now_ms.min(LATEST).max(given.last.saturating_add(1)).max(above.saturating_add(1));
                if next >= END {
                    let newest = next.saturating_sub(1);
                    return Err(Error::invalid(format!("no epoch can be given out above {newest}, the newest that stands")));
                }
                if next <= given.reserve {
                    (given.last, given.any) = (next, true);
                    return Ok(next);
                }
                next.saturating_add(STEP)
            };
            self.root.update(|content| content.epoch_reserve = content.epoch_reserve.max(reserve))?;
            let mut given = self.held();
            given.reserve = given.reserve.max(reserve);
        }
    }

    /// The newest epoch given out since the open, if any: at a clean end it is the reserve to write down.
    pub(crate) fn last_given(&self) -> Option<Epoch> {
        let given = self.held();
        given.any.then_some(given.last)
    }
}

#[cfg(test)]
mod tests {
    use super::super::vfs::Dir;
    use super::*;

    fn open(temp: &tempfile::TempDir) -> Epochs {
        let dir = Dir::open_root(temp.path()).unwrap();
        Epochs::new(Arc::new(RootFile::open(&dir, &dir).unwrap()))
    }

    #[test]
    fn they_rise_above_the_clock_the_log_and_what_was_given() {
        let temp = tempfile::tempdir().unwrap();
        let epochs = open(&temp);
        assert_eq!(epochs.next(1_000, 0).unwrap(), 1_000);
        assert_eq!(epochs.next(1_000, 0).unwrap(), 1_001);
        assert_eq!(epochs.next(500, 0).unwrap(), 1_002, "the clock went backwards");
        assert_eq!(epochs.next(500, 5_000).unwrap(), 5_001);
        assert_eq!(epochs.next(90_000, 5_000).unwrap(), 90_000);
        assert!(epochs.next(0, (1 << 53) - 1).is_err());
        assert_eq!(epochs.next(0, 0).unwrap(), 90_001, "a refusal gives nothing out");
        assert_eq!(epochs.next(u64::MAX, 0).unwrap(), LATEST);
        assert_eq!(epochs.next(u64::MAX, 0).unwrap(), LATEST + 1);
    }

    #[test]
    fn a_restart_never_repeats_one() {
        let temp = tempfile::tempdir().unwrap();
        let mut last = 0;
        for restart in 0..5 {
            let epochs = open(&temp);
            for _ in 0..3 {
                let next = epochs.next(1_000, 0).unwrap();
                assert!(next > last, "restart {restart}: {next} after {last}");
                last = next;
            }
        }
    }

    #[test]
    fn few_cost_a_write() {
        let temp = tempfile::tempdir().unwrap();
        let epochs = open(&temp);
        epochs.next(1_000, 0).unwrap();
        let before = std::fs::read(temp.path().join("root.json")).unwrap();
        for _ in 0..STEP {
            epochs.next(1_000, 0).unwrap();
        }
        assert_eq!(std::fs::read(temp.path().join("root.json")).unwrap(), before);
        epochs.next(1_000, 0).unwrap();
        assert_ne!(std::fs::read(temp.path().join("root.json")).unwrap(), before);
    }
}
