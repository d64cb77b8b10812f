//! How many requests a minute somebody may send: a leaky bucket per key, in memory, one per process.
//!
//! Only counts; who is counted and what a refusal looks like is the caller's business. Limits of the
//! gateway's tokens are not here.

use std::collections::HashMap;
use std::hash::Hash;

use parking_lot::Mutex;
use steward_actors::domain::clock::SharedClock;

const MINUTE_US: i64 = 60_000_000;
/// Above this many keys, those that have recovered are forgotten.
const KEYS_MAX: usize = 10_000;

/// Lets so many requests a minute through for each key, all of them at once after a quiet minute.
pub struct RateLimiter<K> {
    clock: SharedClock,
    /// Key → the moment its bucket will be empty.
    empty_at: Mutex<HashMap<K, i64>>,
}

impl<K: Eq + Hash> RateLimiter<K> {
    /// Nobody has sent anything yet.
    pub fn new(clock: SharedClock) -> Self {
        Self {
            clock,
            empty_at: Mutex::new(HashMap::new()),
        }
    }

    /// Counts one request of `key`, which may send `per_minute` of them; 0 means no limit.
    ///
    /// # Errors
    /// The seconds to wait when it is one too many; it is not counted then.
    pub fn take(&self, key: K, per_minute: u32) -> Result<(), u64> {
        let Some(interval_us) = MINUTE_US.checked_div(i64::from(per_minute)) else {
            return Ok(());
        };
        let now = self.clock.now_micros();
        let mut empty_at = self.empty_at.lock();
        if empty_at.len() >= KEYS_MAX {
            empty_at.retain(|_, at| *at > now);
            if empty_at.len() >= KEYS_MAX {
                // A flood of addresses: forgetting them lets some through, remembering them all fills memory.
                empty_at.clear();
            }
        }
        let slot = empty_at.entry(key).or_insert(now);
        // A clock that was set back must not lock anybody out for longer than a full bucket takes.
        let filled = (*slot).clamp(now, now + MINUTE_US);
        let after = filled + interval_us;
        if after - now > MINUTE_US {
            let wait_us = after - now - MINUTE_US;
            return Err((wait_us as u64).div_ceil(1_000_000).max(1));
        }
        *slot = after;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use steward_actors::domain::clock::ManualClock;

    use super::*;

    #[test]
    fn a_burst_passes_then_one_per_interval() {
        let clock = Arc::new(ManualClock::at_micros(1_000_000_000));
        let limiter = RateLimiter::new(clock.clone());
        for _ in 0..60 {
            limiter.take("a", 60).unwrap();
        }
        assert_eq!(limiter.take("a", 60), Err(1));
        limiter.take("b", 60).unwrap();
        clock.advance_micros(1_000_000);
        limiter.take("a", 60).unwrap();
        assert!(limiter.take("a", 60).is_err());
        clock.advance_micros(-3_600_000_000);
        assert_eq!(limiter.take("a", 60), Err(1));
    }

    #[test]
    fn memory_is_bounded_and_zero_means_no_limit() {
        let clock = Arc::new(ManualClock::at_micros(0));
        let limiter = RateLimiter::new(clock);
        for key in 0..50_000 {
            let _ = limiter.take(key, 1);
        }
        assert!(limiter.empty_at.lock().len() <= KEYS_MAX);
        assert!((0..100_000).all(|_| limiter.take(7, 0).is_ok()));
    }
}
