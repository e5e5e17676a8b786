//! Times, counted in buckets that are at most 1/128 of their value wide, as HDR histograms do.

/// Buckets of one power of two: 2^7.
const BITS: u32 = 7;
const STEPS: u64 = 1 << BITS;

/// How often which time was seen, in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; bucket(u64::MAX) + 1], count: 0, max: 0 }
    }
}

/// Values below 2^BITS have a bucket each; above, every power of two has 2^BITS of them.
fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(BITS + 1);
    // at most 57 * 128 + 255
    usize::try_from(u64::from(shift) * STEPS + (value >> shift)).unwrap_or(0)
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / STEPS).saturating_sub(1);
    let step = bucket - shift * STEPS;
    (step << shift) | ((1 << shift) - 1)
}

impl Histogram {
    /// Counts a time.
    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.buckets[bucket(nanoseconds)] += 1;
        self.count += 1;
        self.max = self.max.max(nanoseconds);
    }

    /// Adds what another one counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (into, from) in self.buckets.iter_mut().zip(&other.buckets) {
            *into += from;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// The time that this part (0 to 1) of all stays at or below, in milliseconds; not a number where none was seen.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "figures for people"
    )]
    pub(crate) fn milliseconds(&self, part: f64) -> f64 {
        if self.count == 0 {
            return f64::NAN;
        }
        let wanted = ((self.count as f64 * part).ceil() as u64).clamp(1, self.count);
        let mut seen = 0;
        let found = self.buckets.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        found.map_or(self.max, upper).min(self.max) as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_in_order() {
        let mut before = 0;
        for power in 0..64 {
            for value in [(1_u64 << power) - 1, 1 << power, (1 << power) + (1 << power) / 3] {
                let bucket = bucket(value);
                assert!(bucket >= before, "{value}");
                before = bucket;
                assert!(upper(bucket) >= value && upper(bucket) - value <= value / 64, "{value} in {}", upper(bucket));
            }
        }
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut histogram = Histogram::default();
        (1..=1_000).for_each(|n| histogram.record(n * 1_000_000));
        for (part, wanted) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1_000.0), (0.0, 1.0)] {
            let got = histogram.milliseconds(part);
            assert!((got - wanted).abs() <= wanted / 64.0, "{part}: {got}");
        }
        let mut both = histogram.clone();
        both.merge(&histogram);
        assert_eq!((both.count, both.max), (2_000, 1_000_000_000));
    }
}
