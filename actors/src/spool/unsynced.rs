//! Since when something is unsynced, and the call to whoever waits for that. It syncs nothing itself.
//!
//! An append that is not the first pays one relaxed load; only the first one tells the time and signals.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

pub(super) struct Unsynced {
    start: Instant,
    /// Nanoseconds from `start` to the first unsynced entry, plus one; 0 when there is none.
    since: AtomicU64,
    first: Notify,
}

impl Unsynced {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            since: AtomicU64::new(0),
            first: Notify::new(),
        }
    }

    /// Notes an unsynced entry; answers whether it is the first, so that [`Self::signal`] is called.
    #[must_use]
    pub(super) fn note(&self) -> bool {
        if self.since.load(Ordering::Relaxed) != 0 {
            return false;
        }
        let nanos = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX - 1);
        self.since.store(nanos + 1, Ordering::SeqCst);
        true
    }

    pub(super) fn signal(&self) {
        self.first.notify_waiters();
    }

    /// Everything noted so far is about to be synced. To be called under the mutex that covers writing.
    pub(super) fn clear(&self) {
        self.since.store(0, Ordering::SeqCst);
    }

    pub(super) fn since(&self) -> Option<Instant> {
        let nanos = self.since.load(Ordering::SeqCst).checked_sub(1)?;
        Some(self.start + Duration::from_nanos(nanos))
    }

    /// Waits until there is something unsynced. Safe to drop.
    pub(super) async fn wait(&self) {
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
