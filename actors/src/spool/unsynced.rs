//! Since when something is unsynced, and the call to whoever waits for that. It syncs nothing itself.
//!
//! An append that is not the first pays one relaxed load; only the first one tells the time and signals. A signal
//! wakes another thread before the caller's answer goes out, which costs the call time where both share a
//! processor. So whoever waits looks by itself for a while after each sync, and is signalled only after a rest.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// How many looks find nothing before an append must signal again.
const LOOKS: u32 = 20;

pub(super) struct Unsynced {
    start: Instant,
    /// Nanoseconds from `start` to the first unsynced entry, plus one; 0 when there is none.
    since: AtomicU64,
    /// Nanoseconds from `start` to when the last sync began.
    cleared: AtomicU64,
    first: Notify,
}

impl Unsynced {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            since: AtomicU64::new(0),
            cleared: AtomicU64::new(0),
            first: Notify::new(),
        }
    }

    /// Notes an unsynced entry; answers whether it is the first, so that [`Self::signal`] is called.
    #[must_use]
    pub(super) fn note(&self) -> bool {
        if self.since.load(Ordering::Relaxed) != 0 {
            return false;
        }
        self.since.store(self.nanos() + 1, Ordering::SeqCst);
        true
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX - 1)
    }

    pub(super) fn signal(&self) {
        self.first.notify_waiters();
    }

    /// Everything noted so far is about to be synced. To be called under the mutex that covers writing.
    pub(super) fn clear(&self) {
        self.cleared.store(self.nanos(), Ordering::SeqCst);
        self.since.store(0, Ordering::SeqCst);
    }

    pub(super) fn since(&self) -> Option<Instant> {
        let nanos = self.since.load(Ordering::SeqCst).checked_sub(1)?;
        Some(self.start + Duration::from_nanos(nanos))
    }

    /// When the next sync is due, if something is unsynced: `patience` after the first entry, or after the last sync
    /// began where that was less before it, so that a stream of entries is synced at an even pace.
    pub(super) fn due(&self, patience: Duration) -> Option<Instant> {
        let since = self.since()?;
        let paced = self.last_cleared() + patience;
        Some(if paced > since {
            paced
        } else {
            since + patience
        })
    }

    fn last_cleared(&self) -> Instant {
        self.start + Duration::from_nanos(self.cleared.load(Ordering::SeqCst))
    }

    /// Waits until there is something unsynced, looking every `look_every` for a while after a sync. Safe to drop.
    pub(super) async fn wait(&self, look_every: Option<Duration>) {
        if let Some(every) = look_every {
            let last = self.last_cleared() + every * LOOKS;
            let mut next = self.last_cleared() + every;
            while self.since().is_none() && next <= last {
                sleep_until(next).await;
                next = next.max(Instant::now()) + every;
            }
        }
        loop {
            let signalled = self.first.notified();
            tokio::pin!(signalled);
            // Registered before looking, so that nothing is missed between the two.
            signalled.as_mut().enable();
            if self.since().is_some() {
                return;
            }
            signalled.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::time::{advance, timeout};

    use super::*;

    const EVERY: Duration = Duration::from_millis(5);

    #[tokio::test(start_paused = true)]
    async fn after_a_sync_an_entry_is_found_without_a_signal() {
        let unsynced = Unsynced::new();
        unsynced.clear();
        for quiet in [0, 1, 4, 5, 6, 50, 94] {
            advance(Duration::from_millis(quiet)).await;
            let mut found = pin!(unsynced.wait(Some(EVERY)));
            assert!(timeout(Duration::ZERO, &mut found).await.is_err());
            assert!(unsynced.note());
            timeout(EVERY, found).await.expect("looks by itself");
            unsynced.clear();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_rest_it_is_signalled() {
        let unsynced = Unsynced::new();
        unsynced.clear();
        let mut found = pin!(unsynced.wait(Some(EVERY)));
        assert!(timeout(EVERY * (LOOKS + 1), &mut found).await.is_err());
        assert!(unsynced.note());
        assert!(timeout(EVERY * LOOKS, &mut found).await.is_err());
        unsynced.signal();
        timeout(Duration::ZERO, found).await.expect("signalled");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_entries_is_synced_at_an_even_pace() {
        let unsynced = Unsynced::new();
        let start = Instant::now();
        advance(Duration::from_secs(1)).await;
        let _ = unsynced.note();
        let due = |at_ms| Some(start + Duration::from_millis(at_ms));
        assert_eq!(unsynced.due(EVERY), due(1_005), "after a rest");
        advance(EVERY).await;
        unsynced.clear();
        assert_eq!(unsynced.due(EVERY), None);
        advance(Duration::from_millis(4)).await;
        let _ = unsynced.note();
        assert_eq!(unsynced.due(EVERY), due(1_010), "the last began at 1,005");
        unsynced.clear();
        advance(EVERY).await;
        let _ = unsynced.note();
        assert_eq!(unsynced.due(EVERY), due(1_019), "the last began at 1,009");
    }
}
