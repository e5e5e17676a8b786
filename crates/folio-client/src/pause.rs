//! How long to wait before trying again, with jitter so that many clients don't come back at the same moment.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::options::ClientOptions;

/// Longest pause that a daemon can ask for, whatever it says.
const LONGEST: Duration = Duration::from_secs(300);

/// Draws pauses.
#[derive(Debug)]
pub(crate) struct Pauses(Mutex<fastrand::Rng>);

impl Pauses {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self(Mutex::new(seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed)))
    }

    /// Before a call is tried again, after `failures` (1 or more) tries: the backoff, or what the daemon asked for.
    pub(crate) fn retry(&self, options: &ClientOptions, failures: u32, asked: Option<Duration>) -> Duration {
        match asked {
            Some(asked) => self.longer(asked.min(LONGEST)),
            None => doubled(options.backoff, failures - 1).min(options.backoff_cap).mul_f64(1.0 - self.draw() / 2.0),
        }
    }

    /// Before a stream is opened again, after `failures` (0 or more) tries that gave nothing.
    pub(crate) fn reconnect(&self, options: &ClientOptions, failures: u32, asked: Option<Duration>) -> Duration {
        let first = asked.unwrap_or(options.reconnect).min(LONGEST);
        // A daemon that asks for no pause and then is gone must not be asked without one.
        let step = if failures == 0 { first } else { first.max(options.backoff) };
        self.longer(doubled(step, failures).min(options.reconnect_cap.max(step)))
    }

    /// At least `pause`, because the daemon asked for that.
    fn longer(&self, pause: Duration) -> Duration {
        pause.mul_f64(1.0 + self.draw() / 2.0)
    }

    fn draw(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).f64()
    }
}

fn doubled(pause: Duration, times: u32) -> Duration {
    pause.saturating_mul(2_u32.saturating_pow(times))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn retries_back_off_to_the_cap_and_are_shortened_by_at_most_half() {
        let options = ClientOptions { backoff: MS * 100, backoff_cap: MS * 1_000, ..Default::default() };
        let pauses = Pauses::new(Some(7));
        for (failures, whole) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1_000), (60, 1_000)] {
            for _ in 0..200 {
                let pause = pauses.retry(&options, failures, None);
                assert!(pause >= MS * whole / 2 && pause <= MS * whole, "{failures}: {pause:?}");
            }
        }
    }

    #[test]
    fn what_the_daemon_asks_for_is_the_least() {
        let options = ClientOptions { reconnect: MS * 10, reconnect_cap: MS * 50, backoff: MS * 5, ..Default::default() };
        let pauses = Pauses::new(Some(7));
        let within = |pause: Duration, ms: u32| assert!(pause >= MS * ms && pause <= MS * ms * 3 / 2, "{ms}: {pause:?}");
        for _ in 0..200 {
            within(pauses.retry(&options, 3, Some(MS * 900)), 900);
            within(pauses.reconnect(&options, 0, None), 10);
            within(pauses.reconnect(&options, 1, None), 20);
            within(pauses.reconnect(&options, 40, None), 50);
            within(pauses.reconnect(&options, 1, Some(MS * 20)), 40);
            within(pauses.reconnect(&options, 9, Some(MS * 2_000)), 2_000);
            within(pauses.reconnect(&options, 0, Some(Duration::MAX)), 300_000);
            within(pauses.reconnect(&options, 0, Some(Duration::ZERO)), 0);
            within(pauses.reconnect(&options, 1, Some(Duration::ZERO)), 10);
        }
    }

    #[test]
    fn a_seed_repeats_the_pauses() {
        let options = ClientOptions::default();
        let draw = |seed| {
            let pauses = Pauses::new(Some(seed));
            (0..20).map(|_| pauses.reconnect(&options, 0, None)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
