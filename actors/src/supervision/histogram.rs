//! Handling times of one actor, cheap enough to be written for every message.
//!
//! Log-linear buckets: four per doubling, so a percentile is within about 12 % of the truth.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const STEPS: usize = 4;
const BUCKETS: usize = 44 * STEPS;

/// Counts per bucket of nanoseconds; never reset.
pub(crate) struct Histogram([AtomicU64; BUCKETS]);

impl Histogram {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    pub(crate) fn record(&self, elapsed: Duration) {
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.0[bucket_of(nanos)].fetch_add(1, Relaxed);
    }

    /// Values at `shares` (each `0.0..=1.0`, ascending or not), in whole microseconds, rounded up; 0 without data.
    pub(crate) fn percentiles_us<const N: usize>(&self, shares: [f64; N]) -> [u64; N] {
        let counts: Vec<u64> = self.0.iter().map(|count| count.load(Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        shares.map(|share| {
            if total == 0 {
                return 0;
            }
            let wanted = ((total as f64 * share).ceil() as u64).max(1);
            let mut seen = 0;
            let bucket = counts.iter().position(|count| {
                seen += count;
                seen >= wanted
            });
            bucket.map_or(0, |bucket| upper_bound(bucket).div_ceil(1_000))
        })
    }
}

fn bucket_of(nanos: u64) -> usize {
    let nanos = nanos.max(STEPS as u64);
    let octave = nanos.ilog2() as usize;
    let step = (nanos >> (octave - 2)) as usize & (STEPS - 1);
    ((octave - 2) * STEPS + step).min(BUCKETS - 1)
}

fn upper_bound(bucket: usize) -> u64 {
    let octave = bucket / STEPS + 2;
    let step = (bucket % STEPS) as u64;
    ((STEPS as u64 + step + 1) << (octave - 2)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_within_its_bucket() {
        for nanos in [0, 3, 4, 7, 8, 1_000, 1_023, 1_024, 5_000_000, 77_777_777] {
            let bucket = bucket_of(nanos);
            assert!(nanos <= upper_bound(bucket), "{nanos}");
            assert!(bucket == 0 || nanos > upper_bound(bucket - 1), "{nanos}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_close() {
        let histogram = Histogram::new();
        assert_eq!(histogram.percentiles_us([0.5]), [0]);
        for micros in 1..=1_000 {
            histogram.record(Duration::from_micros(micros));
        }
        let [p50, p99] = histogram.percentiles_us([0.5, 0.99]);
        assert!((500..=640).contains(&p50), "{p50}");
        assert!((990..=1_250).contains(&p99), "{p99}");
    }
}
