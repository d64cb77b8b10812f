//! How many calls are under way on each account, against the limit that is passed in.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use super::SHARDS;

/// Calls under way per account.
#[derive(Debug)]
pub struct Places {
    shards: Vec<Mutex<HashMap<i64, Arc<AtomicU32>>>>,
}

impl Default for Places {
    fn default() -> Self {
        Self::new()
    }
}

/// One call's place on an account; dropping it frees the place.
#[derive(Debug)]
pub struct Place(Arc<AtomicU32>);

impl Places {
    /// All free.
    pub fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    fn shard(&self, id: i64) -> &Mutex<HashMap<i64, Arc<AtomicU32>>> {
        &self.shards[(id.unsigned_abs() % SHARDS as u64) as usize]
    }

    fn counter(&self, id: i64) -> Arc<AtomicU32> {
        Arc::clone(self.shard(id).lock().entry(id).or_default())
    }

    /// Calls under way on an account.
    pub fn taken(&self, account_id: i64) -> u32 {
        self.counter(account_id).load(Ordering::Acquire)
    }

    /// Forgets an account that is gone; calls in flight keep their own hold.
    pub fn forget(&self, account_id: i64) {
        self.shard(account_id).lock().remove(&account_id);
    }

    /// Whether the next call would find no place.
    pub fn is_full(&self, account_id: i64, limit: Option<u32>) -> bool {
        limit.is_some_and(|limit| self.taken(account_id) >= limit)
    }

    /// Takes a place; `None` when `limit` are taken.
    pub fn take(&self, account_id: i64, limit: Option<u32>) -> Option<Place> {
        let counter = self.counter(account_id);
        let room = |taken: u32| match limit {
            Some(limit) if taken >= limit => None,
            _ => taken.checked_add(1),
        };
        counter
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, room)
            .ok()?;
        Some(Place(counter))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
