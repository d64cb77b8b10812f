//! How long to wait before a restart, and how many failures are too many.
//!
//! Two independent rules: [`Backoff`] spaces the restarts of one child, [`Intensity`] bounds the failures of a
//! whole group. Both are pure; time and chance are passed in.

use super::seeded::Seeded;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Delay before the n-th restart in a row: `first`, doubled each time, at most `max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// Delay after the first failure.
    pub first: Duration,
    /// Longest delay.
    pub max: Duration,
    /// Share of the delay that is left to chance, `0.0..=1.0`: 0.2 means 80 to 100 % of it.
    pub jitter: f64,
    /// An incarnation that was up for longer than this starts the series anew.
    pub reset_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            max: Duration::from_secs(30),
            jitter: 0.2,
            reset_after: Duration::from_secs(60),
        }
    }
}

impl Backoff {
    /// Delay after `failures` earlier failures in a row (0 for the first).
    pub(crate) fn delay(&self, failures: u32, chance: &mut Seeded) -> Duration {
        let factor = 1u32 << failures.min(30);
        let full = self.first.saturating_mul(factor).min(self.max);
        let jitter = self.jitter.clamp(0.0, 1.0);
        full.mul_f64(1.0 - jitter * chance.next_unit())
    }
}

/// At most `max` failures within `within` are met with a restart; one more escalates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intensity {
    /// Failures tolerated in the window; 0 escalates the first one.
    pub max: usize,
    /// Length of the sliding window. A failure exactly this old still counts.
    pub within: Duration,
}

impl Default for Intensity {
    fn default() -> Self {
        Self {
            max: 5,
            within: Duration::from_secs(60),
        }
    }
}

/// The failures of one group that still count.
#[derive(Debug, Default)]
pub(crate) struct FailureWindow(VecDeque<Instant>);

impl FailureWindow {
    /// Counts a failure at `now`; returns how many lie in the window, itself included.
    pub(crate) fn count(&mut self, now: Instant, intensity: &Intensity) -> usize {
        self.0.push_back(now);
        while let Some(oldest) = self.0.front() {
            if now.duration_since(*oldest) <= intensity.within {
                break;
            }
            self.0.pop_front();
        }
        // More than this never changes the answer, and a generous limit must not grow the window for ever.
        while self.0.len() > intensity.max.saturating_add(1) {
            self.0.pop_front();
        }
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_maximum() {
        let backoff = Backoff {
            first: Duration::from_millis(100),
            max: Duration::from_millis(500),
            jitter: 0.0,
            reset_after: Duration::from_secs(1),
        };
        let mut chance = Seeded::new(1);
        let delays: Vec<u128> = (0..5)
            .map(|n| backoff.delay(n, &mut chance).as_millis())
            .collect();
        assert_eq!(delays, [100, 200, 400, 500, 500]);
        assert_eq!(backoff.delay(u32::MAX, &mut chance).as_millis(), 500);
    }

    #[test]
    fn jitter_shortens_within_its_share_and_repeats_for_a_seed() {
        let backoff = Backoff {
            first: Duration::from_millis(1000),
            max: Duration::from_secs(1),
            jitter: 0.25,
            reset_after: Duration::from_secs(1),
        };
        let series = |seed| {
            let mut chance = Seeded::new(seed);
            (0..50)
                .map(|_| backoff.delay(0, &mut chance))
                .collect::<Vec<_>>()
        };
        assert_eq!(series(7), series(7));
        assert_ne!(series(7), series(8));
        for delay in series(7) {
            assert!((750..=1000).contains(&delay.as_millis()), "{delay:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_exactly_as_old_as_the_window_still_counts() {
        let intensity = Intensity {
            max: 2,
            within: Duration::from_secs(10),
        };
        let start = Instant::now();
        let mut window = FailureWindow::default();
        assert_eq!(window.count(start, &intensity), 1);
        assert_eq!(window.count(start + Duration::from_secs(5), &intensity), 2);
        assert_eq!(window.count(start + Duration::from_secs(10), &intensity), 3);
        let mut later = FailureWindow::default();
        later.count(start, &intensity);
        later.count(start + Duration::from_secs(5), &intensity);
        let past = start + Duration::from_secs(10) + Duration::from_nanos(1);
        assert_eq!(later.count(past, &intensity), 2);
    }
}
