//! Work that belongs to nobody's incarnation: lease, commit, acknowledge.
//!
//! What is pushed stays here until it is acknowledged. A lease that is dropped (panic, kill) or revoked (its holder
//! was fenced) puts its items back in their old order. In memory only: the same protocol over a journal is what
//! survives the process.

use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::{Notify, Semaphore};

/// No room; the item comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work queue is full")]
pub struct QueueFull<T>(pub T);

/// The holder's incarnation is over; what it leased has gone to its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this incarnation is fenced")]
pub struct Fenced;

/// Bounded queue of work with one consumer at a time, told apart by epoch. Capacity counts waiting and leased items:
/// room is given back on acknowledgement only.
pub struct WorkQueue<T> {
    inner: Mutex<Inner<T>>,
    room: Semaphore,
    pushed: Notify,
    redelivered: AtomicU64,
    acknowledged: AtomicU64,
}

struct Inner<T> {
    next_item: u64,
    next_lease: u64,
    /// Epochs below it get and acknowledge nothing.
    fence: u64,
    waiting: BTreeMap<u64, Arc<T>>,
    leased: HashMap<u64, Leased<T>>,
}

struct Leased<T> {
    epoch: u64,
    items: Vec<(u64, Arc<T>)>,
}

impl<T> fmt::Debug for WorkQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (waiting, leased) = self.depth();
        f.debug_struct("WorkQueue")
            .field("waiting", &waiting)
            .field("leased", &leased)
            .finish_non_exhaustive()
    }
}

impl<T> WorkQueue<T> {
    /// A queue for `capacity` items.
    pub fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Inner {
                next_item: 0,
                next_lease: 0,
                fence: 0,
                waiting: BTreeMap::new(),
                leased: HashMap::new(),
            }),
            room: Semaphore::new(capacity.min(Semaphore::MAX_PERMITS)),
            pushed: Notify::new(),
            redelivered: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
        })
    }

    /// Adds an item; its number in the queue.
    ///
    /// # Errors
    /// The queue is full.
    pub fn try_push(&self, item: T) -> Result<u64, QueueFull<T>> {
        match self.room.try_acquire() {
            Ok(room) => {
                room.forget();
                Ok(self.put(item))
            }
            Err(_) => Err(QueueFull(item)),
        }
    }

    /// Adds an item once there is room; its number in the queue.
    pub async fn push(&self, item: T) -> u64 {
        // The semaphore is never closed.
        if let Ok(room) = self.room.acquire().await {
            room.forget();
        }
        self.put(item)
    }

    fn put(&self, item: T) -> u64 {
        let mut inner = self.inner.lock();
        let number = inner.next_item;
        inner.next_item += 1;
        inner.waiting.insert(number, Arc::new(item));
        drop(inner);
        self.pushed.notify_one();
        number
    }

    /// Waits until something may be there to lease. May return without cause: lease and see.
    pub async fn ready(&self) {
        self.pushed.notified().await;
    }

    /// Items waiting, items leased.
    pub fn depth(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        let leased = inner.leased.values().map(|lease| lease.items.len()).sum();
        (inner.waiting.len(), leased)
    }

    /// Nothing waits and nothing is leased.
    pub fn is_empty(&self) -> bool {
        self.depth() == (0, 0)
    }

    /// Items that were handed out and came back.
    pub fn redelivered(&self) -> u64 {
        self.redelivered.load(Relaxed)
    }

    /// Items that were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Relaxed)
    }

    /// The oldest items, at most `max`, for the incarnation `epoch`; none when nothing waits.
    ///
    /// # Errors
    /// `epoch` has been revoked.
    pub fn lease(self: &Arc<Self>, epoch: u64, max: usize) -> Result<Option<Lease<T>>, Fenced> {
        let mut inner = self.inner.lock();
        if epoch < inner.fence {
            return Err(Fenced);
        }
        let mut items = Vec::with_capacity(max.min(inner.waiting.len()));
        while items.len() < max
            && let Some(item) = inner.waiting.pop_first()
        {
            items.push(item);
        }
        if items.is_empty() {
            return Ok(None);
        }
        let id = inner.next_lease;
        inner.next_lease += 1;
        let kept = Leased {
            epoch,
            items: items.clone(),
        };
        inner.leased.insert(id, kept);
        Ok(Some(Lease {
            queue: Arc::clone(self),
            id,
            items,
        }))
    }

    /// Leases of epochs below `epoch` come back, and those epochs get nothing more. For a spec's `on_fence`.
    pub fn revoke_before(&self, epoch: u64) {
        let mut inner = self.inner.lock();
        inner.fence = inner.fence.max(epoch);
        let stale: Vec<u64> = inner
            .leased
            .iter()
            .filter(|(_, lease)| lease.epoch < epoch)
            .map(|(id, _)| *id)
            .collect();
        for id in stale {
            self.give_back(&mut inner, id);
        }
        drop(inner);
        self.pushed.notify_one();
    }

    fn give_back(&self, inner: &mut Inner<T>, id: u64) {
        if let Some(lease) = inner.leased.remove(&id) {
            self.redelivered
                .fetch_add(lease.items.len() as u64, Relaxed);
            inner.waiting.extend(lease.items);
        }
    }
}

/// Items in an incarnation's hands. Dropping it gives them back.
#[must_use = "dropping a lease gives its items back"]
pub struct Lease<T> {
    queue: Arc<WorkQueue<T>>,
    id: u64,
    items: Vec<(u64, Arc<T>)>,
}

impl<T> Lease<T> {
    /// The items with their numbers, in order.
    pub fn items(&self) -> &[(u64, Arc<T>)] {
        &self.items
    }

    /// The work is committed: forget the items.
    ///
    /// # Errors
    /// The lease was revoked meanwhile; whoever holds the items now will do them again.
    pub fn ack(self) -> Result<(), Fenced> {
        let done = self.queue.inner.lock().leased.remove(&self.id);
        let Some(done) = done else {
            return Err(Fenced);
        };
        self.queue.room.add_permits(done.items.len());
        self.queue
            .acknowledged
            .fetch_add(done.items.len() as u64, Relaxed);
        Ok(())
    }
}

impl<T> Drop for Lease<T> {
    /// Without effect after `ack` or a revocation: the queue does not know the lease any more.
    fn drop(&mut self) {
        let mut inner = self.queue.inner.lock();
        if inner.leased.contains_key(&self.id) {
            self.queue.give_back(&mut inner, self.id);
            drop(inner);
            self.queue.pushed.notify_one();
        }
    }
}

impl<T> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("id", &self.id)
            .field("items", &self.items.len())
            .finish_non_exhaustive()
    }
}
