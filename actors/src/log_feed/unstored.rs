//! Lines on their way into the table: bounded in number and in pace, and counted when they do not fit.
//!
//! Whoever stores takes a batch, writes it and says so; a batch that was taken and never told of is taken again by the
//! next. A storm is let through at first and then thinned: nobody reads a hundred thousand lines of one fault, and the
//! table is meant to hold weeks.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Line;

/// Lines that may wait to be stored.
const WAITING_MAX: usize = 4_096;
/// Lines that are let through at once …
const BURST: i64 = 2_000;
/// … and how long it takes until one more is: five a second.
const REFILL_MICROS: i64 = 200_000;
/// Lines of several threads are in order but for less than this.
const CLOCK_STEP_MICROS: i64 = 10_000_000;

/// See the module.
#[derive(Default)]
pub(crate) struct Unstored {
    inner: Mutex<Inner>,
    came: Notify,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Arc<Line>>,
    /// Being written.
    taken: Vec<Arc<Line>>,
    /// Up to when what has been let through is made up for, by the lines' own times.
    paid_until: i64,
    lost: u64,
    /// Of those, not told of yet.
    untold: u64,
    /// The last batch could not be written.
    stuck: bool,
}

impl Inner {
    fn lose(&mut self) {
        self.lost += 1;
        self.untold += 1;
    }

    /// Whether a line of this time may pass.
    fn allows(&mut self, at: i64) -> bool {
        if self.paid_until > at + CLOCK_STEP_MICROS {
            // The clock was set back: what was let through then is nobody's debt now.
            self.paid_until = at;
        }
        let from = self.paid_until.max(at - BURST * REFILL_MICROS);
        let allowed = from + REFILL_MICROS <= at;
        if allowed {
            self.paid_until = from + REFILL_MICROS;
        }
        allowed
    }
}

impl Unstored {
    /// Takes lines, oldest first, or counts them as lost.
    pub(crate) fn push(&self, lines: impl IntoIterator<Item = Arc<Line>>) {
        let mut inner = self.inner.lock();
        for line in lines {
            if !inner.allows(line.at) {
                inner.lose();
                continue;
            }
            if inner.waiting.len() == WAITING_MAX {
                inner.waiting.pop_front();
                inner.lose();
            }
            inner.waiting.push_back(line);
        }
        let any = !inner.waiting.is_empty();
        drop(inner);
        if any {
            self.came.notify_one();
        }
    }

    /// Resolves once something came since the last time it did.
    pub(crate) async fn came(&self) {
        self.came.notified().await;
    }

    /// A batch to write; the one before it, if nobody said that it is stored.
    pub(crate) fn take(&self, most: usize) -> Vec<Arc<Line>> {
        let mut inner = self.inner.lock();
        if inner.taken.is_empty() {
            let many = inner.waiting.len().min(most);
            inner.taken = inner.waiting.drain(..many).collect();
        }
        inner.taken.clone()
    }

    /// What was taken is in the table.
    pub(crate) fn stored(&self) {
        let mut inner = self.inner.lock();
        inner.taken.clear();
        inner.stuck = false;
    }

    /// What was taken could not be written; whether that is news.
    pub(crate) fn is_stuck(&self) -> bool {
        !std::mem::replace(&mut self.inner.lock().stuck, true)
    }

    /// Whether lines wait for a table that takes them.
    pub(crate) fn has_work(&self) -> bool {
        let inner = self.inner.lock();
        let is_idle = inner.waiting.is_empty() && inner.taken.is_empty();
        !inner.stuck && !is_idle
    }

    /// How many lines were lost since the process began.
    pub(crate) fn lost(&self) -> u64 {
        self.inner.lock().lost
    }

    /// How many were lost since this was asked last.
    pub(crate) fn untold(&self) -> u64 {
        std::mem::take(&mut self.inner.lock().untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_feed::Level;

    const SECOND: i64 = 1_000_000;
    const NOW: i64 = 1_773_599_400 * SECOND;

    fn lines(many: usize, at: i64) -> Vec<Arc<Line>> {
        let line = |n: usize| Line {
            id: n as i64,
            node: 0,
            at,
            level: Level::Warn,
            target: "steward".into(),
            message: "again".into(),
            user: None,
            request_id: None,
            fields: Vec::new(),
        };
        (0..many).map(|n| Arc::new(line(n))).collect()
    }

    #[test]
    fn a_storm_is_thinned_and_counted() {
        let unstored = Unstored::default();
        unstored.push(lines(2_500, NOW));
        assert_eq!((unstored.lost(), unstored.untold()), (500, 500));
        unstored.push(lines(20, NOW + 2 * SECOND));
        assert_eq!(unstored.take(9_999).len(), 2_010, "five more a second");
        unstored.stored();
        unstored.push(lines(9_999, NOW + 3_600 * SECOND));
        assert_eq!(unstored.take(9_999).len(), 2_000, "calm makes room again");
        assert_eq!(unstored.lost(), 500 + 10 + 7_999);
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nothing() {
        let unstored = Unstored::default();
        unstored.push(lines(2_000, NOW));
        unstored.push(lines(1, NOW - 3_600 * SECOND));
        unstored.push(lines(1, NOW - 3_599 * SECOND));
        assert_eq!(unstored.take(9_999).len(), 2_001);
    }

    #[test]
    fn what_waits_is_bounded() {
        let unstored = Unstored::default();
        for hour in 0..3 {
            unstored.push(lines(2_000, NOW + hour * 3_600 * SECOND));
        }
        assert_eq!(unstored.lost(), 6_000 - WAITING_MAX as u64);
        assert_eq!(unstored.take(1)[0].at, NOW, "some of the oldest are left");
    }

    #[test]
    fn a_batch_is_taken_until_somebody_stored_it() {
        let unstored = Unstored::default();
        assert!(!unstored.has_work());
        unstored.push(lines(3, NOW));
        let first = unstored.take(2);
        assert_eq!(first.len(), 2);
        assert_eq!(unstored.take(2), first);
        assert!(unstored.is_stuck() && !unstored.is_stuck());
        assert!(!unstored.has_work(), "the table takes nothing");
        unstored.stored();
        assert!(unstored.has_work());
        assert_eq!(unstored.take(2).len(), 1);
        unstored.stored();
        assert!(!unstored.has_work());
    }
}
