//! Thirty days of one component in steps of ten minutes: how long it was up, and how fast it answered.
//!
//! A status holds from the look that gave it until the next one, but never longer than a bound: time in which nobody
//! looked (the process was down, the machine asleep) is neither up nor down, and neither is time of which nobody can
//! say. Availability is up time by known time.

use std::collections::VecDeque;

use super::Status;

/// One step, in microseconds.
pub const STEP_US: i64 = 600_000_000;
/// Steps that are kept.
pub const STEPS: usize = 30 * 24 * 6;

/// Ten minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Step {
    /// Of which it is known how it was, in microseconds; so is the next.
    pub known_us: i64,
    pub up_us: i64,
    /// Sum of the latencies seen, and how many.
    pub latency_sum_ms: u64,
    pub latency_count: u32,
}

impl Step {
    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.known_us += other.known_us;
        self.up_us += other.up_us;
        self.latency_sum_ms += other.latency_sum_ms;
        self.latency_count += other.latency_count;
    }

    /// Up time by known time; `None` when nothing is known.
    pub fn uptime(&self) -> Option<f64> {
        (self.known_us > 0).then(|| self.up_us as f64 / self.known_us as f64)
    }

    /// Mean latency; `None` without one.
    pub fn latency_ms(&self) -> Option<f64> {
        (self.latency_count > 0).then(|| self.latency_sum_ms as f64 / f64::from(self.latency_count))
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Number of the first step since the Unix epoch.
    first: i64,
    steps: VecDeque<Step>,
    last: Option<Last>,
}

/// The latest look.
#[derive(Clone, Copy, Debug)]
struct Last {
    seen_at: i64,
    status: Status,
    /// Since when it is so, as far as looks tell.
    since: i64,
    /// Until when it is in the steps.
    settled: i64,
}

impl History {
    /// Takes a look at `at` into account; looks must come in order, an earlier one is left out. The status before it
    /// held until now, but at most for `hold_us`.
    pub fn see(&mut self, at: i64, status: Status, latency_ms: Option<u64>, hold_us: i64) {
        if self.last.is_some_and(|last| at < last.seen_at) {
            return;
        }
        self.settle(at, hold_us);
        let same = self.last.filter(|last| last.status == status);
        self.last = Some(Last {
            seen_at: at,
            status,
            since: same.map_or(at, |last| last.since),
            settled: at,
        });
        if let Some(ms) = latency_ms
            && let Some(step) = self.step(at.div_euclid(STEP_US))
        {
            step.latency_sum_ms += ms;
            step.latency_count += 1;
        }
    }

    /// Brings what is known up to `now`.
    pub fn settle(&mut self, now: i64, hold_us: i64) {
        let Some(last) = &mut self.last else {
            return;
        };
        let until = now.min(last.seen_at.saturating_add(hold_us));
        let (since, status) = (last.settled, last.status);
        if until <= since {
            return;
        }
        last.settled = until;
        if status == Status::Unknown {
            return;
        }
        let mut from = since;
        while from < until {
            let number = from.div_euclid(STEP_US);
            let to = until.min((number + 1) * STEP_US);
            if let Some(step) = self.step(number) {
                step.known_us += to - from;
                if status.is_up() {
                    step.up_us += to - from;
                }
            }
            from = to;
        }
    }

    /// When it was looked at last, and the status from then on.
    pub fn last(&self) -> Option<(i64, Status)> {
        self.last.map(|last| (last.seen_at, last.status))
    }

    /// Since when the status of the latest look has been what it is.
    pub fn since(&self) -> Option<i64> {
        self.last.map(|last| last.since)
    }

    /// Everything in `[from, to)` together, to the step.
    pub fn sum(&self, from: i64, to: i64) -> Step {
        let mut sum = Step::default();
        let (first, end) = (
            from.div_euclid(STEP_US),
            (to + STEP_US - 1).div_euclid(STEP_US),
        );
        for (number, step) in (self.first..).zip(&self.steps) {
            if (first..end).contains(&number) {
                sum.add(step);
            }
        }
        sum
    }

    /// `count` equal stretches that end with the step `now` is in, oldest first.
    pub fn stretches(&self, now: i64, count: usize, steps_each: usize) -> Vec<(i64, Step)> {
        let each = i64::try_from(steps_each).unwrap_or(1).max(1);
        let end = now.div_euclid(STEP_US) + 1;
        (0..i64::try_from(count).unwrap_or(0))
            .rev()
            .map(|back| {
                let from = (end - (back + 1) * each) * STEP_US;
                (from, self.sum(from, from + each * STEP_US))
            })
            .collect()
    }

    fn step(&mut self, number: i64) -> Option<&mut Step> {
        if self.steps.is_empty() {
            self.first = number;
        }
        let offset = number - self.first;
        let kept = i64::try_from(STEPS).unwrap_or(i64::MAX);
        if offset >= kept.saturating_mul(2) {
            self.steps.clear();
            self.first = number;
        }
        let offset = usize::try_from(number - self.first).ok()?;
        while self.steps.len() <= offset {
            self.steps.push_back(Step::default());
        }
        while self.steps.len() > STEPS {
            self.steps.pop_front();
            self.first += 1;
        }
        let offset = usize::try_from(number - self.first).ok()?;
        self.steps.get_mut(offset)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 60_000_000;
    const HOUR: i64 = 60 * MINUTE;
    const HOLD: i64 = 3 * MINUTE;
    const START: i64 = 2_000_000 * STEP_US;

    #[test]
    fn an_hour_with_six_minutes_down_is_nine_tenths() {
        let mut history = History::default();
        for minute in 0..60 {
            let status = if (20..26).contains(&minute) {
                Status::Unhealthy
            } else {
                Status::Healthy
            };
            history.see(
                START + minute * MINUTE,
                status,
                Some(10 + minute as u64),
                HOLD,
            );
        }
        history.settle(START + HOUR, HOLD);
        let hour = history.sum(START, START + HOUR);
        assert_eq!((hour.known_us, hour.up_us), (HOUR, HOUR - 6 * MINUTE));
        assert_eq!(hour.uptime(), Some(0.9));
        assert_eq!(hour.latency_ms(), Some(39.5));
        let bars = history.stretches(START + HOUR - 1, 6, 1);
        let shown: Vec<_> = bars
            .iter()
            .map(|(_, step)| step.uptime().unwrap())
            .collect();
        assert_eq!(shown, [1.0, 1.0, 0.4, 1.0, 1.0, 1.0]);
        assert_eq!(bars[0].0, START);
    }

    #[test]
    fn nobody_looked_is_neither_up_nor_down() {
        let mut history = History::default();
        history.see(START, Status::Healthy, None, HOLD);
        history.see(START + 5 * HOUR, Status::Unhealthy, None, HOLD);
        history.settle(START + 5 * HOUR + MINUTE, HOLD);
        let all = history.sum(START, START + 6 * HOUR);
        assert_eq!((all.known_us, all.up_us), (4 * MINUTE, 3 * MINUTE));
        // Asking does not make it known for longer.
        for minute in 0..10 {
            history.settle(START + 5 * HOUR + minute * MINUTE, HOLD);
        }
        let all = history.sum(START, START + 6 * HOUR);
        assert_eq!((all.known_us, all.up_us), (6 * MINUTE, 3 * MINUTE));
        history.see(START + 6 * HOUR, Status::Unknown, None, HOLD);
        history.settle(START + 7 * HOUR, HOLD);
        assert_eq!(history.sum(START, START + 8 * HOUR).known_us, 6 * MINUTE);
        assert_eq!(
            history.sum(START + 7 * HOUR, START + 8 * HOUR).uptime(),
            None
        );
    }

    #[test]
    fn a_status_is_so_old_as_its_first_look() {
        let mut history = History::default();
        for (minute, status, since) in [
            (0, Status::Healthy, 0),
            (1, Status::Healthy, 0),
            (2, Status::Unhealthy, 2),
            (3, Status::Unhealthy, 2),
            (300, Status::Unhealthy, 2),
            (301, Status::Healthy, 301),
        ] {
            history.see(START + minute * MINUTE, status, None, HOLD);
            assert_eq!(history.since(), Some(START + since * MINUTE), "{minute}");
        }
    }

    #[test]
    fn thirty_days_are_kept_however_long_it_runs() {
        let mut history = History::default();
        for day in 0..100 {
            history.see(START + day * 24 * HOUR, Status::Healthy, Some(1), HOLD);
        }
        assert!(history.steps.len() <= STEPS);
        let now = START + 99 * 24 * HOUR;
        assert_eq!(history.sum(now - 30 * 24 * HOUR, now + 1).latency_count, 30);
        // A clock that jumps years ahead does not take the memory for them.
        history.see(now + 9_000 * 24 * HOUR, Status::Healthy, Some(1), HOLD);
        assert!(history.steps.len() <= STEPS);
        // Nor does one that goes back change what was.
        history.see(START, Status::Unhealthy, Some(1), HOLD);
        assert_eq!(history.last().unwrap().0, now + 9_000 * 24 * HOUR);
    }

    proptest! {
        #[test]
        fn it_is_the_integral_of_the_statuses(looks in prop::collection::vec((0i64..20, 0u8..4), 1..60)) {
            let statuses = [Status::Healthy, Status::Degraded, Status::Unhealthy, Status::Unknown];
            let mut history = History::default();
            let mut at = START;
            let mut seen = Vec::new();
            for (wait, status) in looks {
                at += wait * MINUTE / 2;
                let status = statuses[usize::from(status)];
                history.see(at, status, None, HOLD);
                seen.push((at, status));
            }
            let end = at + 2 * MINUTE;
            history.settle(end, HOLD);
            let (mut known, mut up) = (0, 0);
            for (index, (from, status)) in seen.iter().enumerate() {
                let until = seen.get(index + 1).map_or(end, |next| next.0).min(from + HOLD);
                if *status != Status::Unknown {
                    known += until - from;
                    up += if status.is_up() { until - from } else { 0 };
                }
            }
            let sum = history.sum(START, end);
            prop_assert_eq!((sum.known_us, sum.up_us), (known, up));
            prop_assert!(sum.uptime().is_none_or(|share| (0.0..=1.0).contains(&share)));
            // However it is cut, the pieces add up.
            let pieces: i64 = history.stretches(end - 1, 40, 3).iter().map(|(_, step)| step.known_us).sum();
            prop_assert_eq!(pieces, known);
        }
    }
}
