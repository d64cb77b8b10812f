//! The [`Ring`] as others read it: a handle that any thread may ask at any time, without a mailbox.
//!
//! Who fills it is `root/ledger/aggregator`. Until that has read the log again after a start, what lies before it is
//! not known: [`Recent::complete_since`] says from when on windows tell everything.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::RwLock;
use steward_entities::ledger::rollup::Measures;

use super::clock::SharedClock;
use super::ring::{Call, Dimension, KEPT_US, Ring};

/// Nothing is complete yet.
const NEVER: i64 = i64::MAX;

/// See the module. One per process.
pub struct Recent {
    clock: SharedClock,
    ring: RwLock<Ring>,
    complete_since: AtomicI64,
    readings: AtomicU64,
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent")
            .field("complete_since", &self.complete_since())
            .finish_non_exhaustive()
    }
}

impl Recent {
    /// Knows nothing yet.
    pub fn new(clock: SharedClock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            ring: RwLock::default(),
            complete_since: AtomicI64::new(NEVER),
            readings: AtomicU64::new(0),
        })
    }

    /// What calls came to in the last `length_us` (at most [`KEPT_US`]), the ten seconds under way included.
    pub fn last(&self, dimension: Dimension, name: &str, length_us: i64) -> Measures {
        let now = self.clock.now_micros();
        self.ring.read().last(now, dimension, name, length_us)
    }

    /// What calls came to that ended in `[from, to)`, microseconds since the Unix epoch; see [`Ring::between`].
    pub fn between(&self, dimension: Dimension, name: &str, from: i64, to: i64) -> Measures {
        let now = self.clock.now_micros();
        self.ring.read().between(now, dimension, name, from, to)
    }

    /// The names that had calls lately, sorted.
    pub fn names(&self, dimension: Dimension) -> Vec<Arc<str>> {
        self.ring.read().names(dimension)
    }

    /// From when on windows tell every call, microseconds since the Unix epoch; `None` before the log was read.
    pub fn complete_since(&self) -> Option<i64> {
        let since = self.complete_since.load(Ordering::Acquire);
        let kept = self.clock.now_micros() - KEPT_US;
        (since != NEVER).then_some(since.max(kept))
    }

    /// How often the log has been read: once after a start, and whenever announcements were missed.
    pub fn readings(&self) -> u64 {
        self.readings.load(Ordering::Acquire)
    }

    /// Counts what was committed.
    pub(crate) fn add<'a>(&self, calls: impl IntoIterator<Item = Call<'a>>) {
        let now = self.clock.now_micros();
        self.ring.write().add(now, calls);
    }

    /// Forgets what is too old.
    pub(crate) fn advance(&self) {
        let now = self.clock.now_micros();
        self.ring.write().advance(now);
    }

    /// Puts what was read from the log in the place of everything.
    pub(crate) fn replace(&self, ring: Ring, complete_since: i64) {
        *self.ring.write() = ring;
        self.complete_since.store(complete_since, Ordering::Release);
        self.readings.fetch_add(1, Ordering::AcqRel);
    }

    /// Announcements were missed: what the ring holds is not everything.
    pub(crate) fn doubt(&self) {
        self.complete_since.store(NEVER, Ordering::Release);
    }
}
