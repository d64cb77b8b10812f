//! How much goes at once: as much as the writer can spare, and never for longer than it can.
//!
//! Pure. Each step is measured and the next made so large that it takes [`AIM`]; how long a row takes is nobody's to
//! know: it depends on the disk, on what else is written, and on what the rows are.

use std::time::Duration;

/// A step shall not hold the writer longer.
pub const HELD_MAX: Duration = Duration::from_millis(50);
/// How long a step is meant to hold it.
const AIM: Duration = Duration::from_millis(10);
const FIRST: u64 = 50;
const LEAST: u64 = 5;
const MOST: u64 = 2_000;
/// Between steps it rests so many times as long as a step took. On one processor the calls that come during a step wait for
/// it: as few as this leaves, about one in sixty, are meant not to move the slowest hundredth much …
const REST: u32 = 60;
/// … at least so long …
const REST_MIN: Duration = Duration::from_millis(5);
/// … and no longer: a step that was held up for seconds says nothing of the next.
const REST_MAX: Duration = Duration::from_secs(1);

/// One step: how many rows it removed, and how long it held the writer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) rows: u64,
    pub(crate) held: Duration,
}

/// See the module.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pace {
    rows: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { rows: FIRST }
    }
}

impl Pace {
    /// Rows of the next step.
    pub fn rows(self) -> u64 {
        self.rows
    }

    /// The pace after a step that removed `rows` and held the writer for `held`.
    pub fn after(self, rows: u64, held: Duration) -> Self {
        if rows == 0 {
            return self;
        }
        let row_ns = held.as_nanos().max(1) / u128::from(rows);
        let fits = u64::try_from(AIM.as_nanos() / row_ns.max(1)).unwrap_or(u64::MAX);
        // One fast step proves little, a slow one enough.
        let fits = fits.min(self.rows.saturating_mul(2));
        Self {
            rows: fits.clamp(LEAST, MOST),
        }
    }

    /// How long to rest after a step that held the writer for `held`.
    pub fn rest(held: Duration) -> Duration {
        (held * REST).clamp(REST_MIN, REST_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps on a disk where a row takes so long; the longest of them, the first few left out.
    fn longest(row: Duration, overhead: Duration) -> (u64, Duration) {
        let mut pace = Pace::default();
        let mut longest = Duration::ZERO;
        for step in 0..50 {
            let held = overhead + row * u32::try_from(pace.rows()).unwrap();
            if step >= 5 {
                longest = longest.max(held);
            }
            pace = pace.after(pace.rows(), held);
        }
        (pace.rows(), longest)
    }

    #[test]
    fn a_step_takes_what_it_may_whatever_a_row_takes() {
        for micros in [3, 14, 100, 700, 2_000] {
            let (rows, held) = longest(Duration::from_micros(micros), Duration::from_millis(1));
            assert!(held <= HELD_MAX, "{micros} us a row: {rows} rows, {held:?}");
            assert!(
                rows == MOST || held >= AIM / 2,
                "{micros} us a row: {held:?}"
            );
        }
    }

    #[test]
    fn it_grows_with_care_and_shrinks_at_once() {
        let pace = Pace { rows: 1_000 };
        assert_eq!(pace.after(1_000, Duration::from_micros(10)).rows(), 2_000);
        assert_eq!(pace.after(1_000, Duration::from_millis(150)).rows(), 66);
        assert_eq!(pace.after(1_000, Duration::from_secs(60)).rows(), LEAST);
        assert_eq!(Pace::default().after(50, Duration::ZERO).rows(), 100);
        assert_eq!(pace.after(0, Duration::from_secs(60)), pace);
    }

    #[test]
    fn it_leaves_most_of_the_writer_to_others() {
        assert_eq!(
            Pace::rest(Duration::from_millis(10)),
            Duration::from_millis(600)
        );
        assert_eq!(Pace::rest(Duration::from_secs(5)), REST_MAX);
        assert_eq!(Pace::rest(Duration::ZERO), REST_MIN);
    }
}
