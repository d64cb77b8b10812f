//! The journal on disk that makes the promise: what was appended is not lost, whatever process crashes.
//!
//! A caller appends a finished call's record on its own thread, with one `pwrite(2)` under one mutex, and may
//! then let the last byte of the answer go. The writer leases entries in order, commits them, acks; whole
//! segments are deleted once acked. Delivery is at least once: whoever consumes must be idempotent by
//! sequence number or key.
//!
//! The loss ledger, `accepted = stored + spooled + dead_lettered + dropped`, holds at every instant and
//! across restarts: `accepted` is the last number given out, `spooled` the size of the index of unacked
//! entries, the others what consumers and overflow reported.
//!
//! One concept a file: `core` (what they share), `format` (bytes), `scan` (reading past damage), `journal` (segments), `book` (who has
//! which entry), `cursor`, `recovery`, `append`, `sync` (group commit), `unsynced`, `lease`, `upkeep`, `dead`;
//! `storage` is the seam to the operating system. What is *not* here: the meaning of payloads, the lock on
//! the data directory, a rhythm (the request logger calls [`Spool::sync_in_time`] and [`Spool::maintain`]).

mod append;
mod book;
mod config;
mod core;
mod cursor;
mod dead;
mod error;
mod format;
mod journal;
mod lease;
mod ranges;
mod recovery;
mod scan;
mod stats;
mod storage;
mod sync;
mod unsynced;
mod upkeep;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

pub use config::{FsyncPolicy, Overflow, SEGMENT_BYTES, SpoolConfig};
pub use dead::DeadLetter;
pub use error::{Admission, AppendError, Fenced, OpenError, ReadError, RefuseReason};
pub use lease::{Lease, Settled};
pub use stats::{DropReason, LossLedger, Recovery, SpoolStats};

use self::core::{Core, State};
use storage::{Disk, Storage};

/// One entry of the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Ascending from 1, never given out twice.
    pub seq: u64,
    /// What the payload is; the spool does not look at it.
    pub kind: u8,
    pub payload: Bytes,
}

/// The number an entry was accepted under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub seq: u64,
    /// False only under [`Overflow::ServeUnrecorded`]: numbered and counted, but not kept.
    pub recorded: bool,
}

/// A journal on disk; usable from any thread. Dropping it is like a crash: nothing is lost, but
/// [`Spool::flush`] first spares the next start a second delivery.
pub struct Spool {
    core: Arc<Core>,
}

impl Spool {
    /// Opens or creates the spool of a directory and reads back what is unacked. Blocking; the directory's
    /// lock (`flock`) must be held by the caller.
    ///
    /// # Errors
    /// A newer version or another node wrote the directory, the configuration contradicts itself, or the disk
    /// cannot be read. A full disk is no error.
    pub fn open(config: SpoolConfig) -> Result<(Arc<Spool>, Recovery), OpenError> {
        Self::open_on(Arc::new(Disk), config)
    }

    fn open_on(
        storage: Arc<dyn Storage>,
        config: SpoolConfig,
    ) -> Result<(Arc<Spool>, Recovery), OpenError> {
        let (spool, recovery) = Core::open(storage, config)?;
        Ok((Arc::new(Spool { core: spool }), recovery))
    }

    /// Accepts an entry: when this returns, it survives a crash of the process. One `pwrite(2)` on the
    /// caller's thread, no other wait. Works while [`Spool::admits`] refuses: calls already made are recorded
    /// as long as the disk takes them.
    ///
    /// # Errors
    /// The payload does not fit a segment, or the disk is full or failing. The entry is then not accepted.
    pub fn append(&self, kind: u8, payload: &[u8]) -> Result<Appended, AppendError> {
        self.core.append(kind, payload)
    }

    /// Waits until an entry survives a power failure, under [`FsyncPolicy::Always`]; returns at once under
    /// the others. Many waiters share one sync, which runs off the async threads.
    ///
    /// # Errors
    /// The disk refused to sync several segments in a row.
    pub async fn durable(&self, seq: u64) -> Result<(), AppendError> {
        if self.core.config.fsync != FsyncPolicy::Always {
            return Ok(());
        }
        sync::wait_durable(&self.core, seq).await
    }

    /// Whether a call may be made, as far as its record is concerned. One atomic load.
    #[must_use]
    pub fn admits(&self) -> Admission {
        upkeep::decode_admission(self.core.admission.load(Ordering::Relaxed))
    }

    /// Keeps so many unacked entries in memory from now on; more are read from disk when their turn comes.
    pub fn keep_in_memory(&self, entries: usize) {
        self.core.state.lock().book.set_capacity(entries);
    }

    /// Leases up to `max` of the oldest entries nobody holds, in ascending order; `None` if there is none.
    /// May be fewer than are there. Reads from disk on this thread when the cache does not reach.
    ///
    /// # Errors
    /// The holder's epoch was revoked, or a segment cannot be read.
    pub fn lease(&self, holder_epoch: u64, max: usize) -> Result<Option<Lease>, ReadError> {
        lease::lease(&self.core, holder_epoch, max)
    }

    /// Takes back every lease of an older epoch and leases to none of them any more.
    pub fn revoke_before(&self, epoch: u64) {
        self.core.state.lock().book.revoke_before(epoch);
        self.core.wake_waiters();
    }

    /// Waits until at least this many entries (and at least one) can be leased. Safe to drop.
    pub async fn ready(&self, at_least: usize) {
        lease::ready(&self.core, at_least).await;
    }

    /// Waits until an entry was appended that no sync has begun to cover; under [`FsyncPolicy::Never`], until
    /// one was appended since the last [`Spool::maintain`]. After a sync it looks every half interval for a while, so
    /// that appends in a row signal nobody. Safe to drop.
    pub async fn unsynced(&self) {
        sync::unsynced(&self.core).await;
    }

    /// Syncs early enough for the oldest unsynced entry to be on the platter within the policy's interval:
    /// begins half an interval after it was appended, or after the last sync began, and waits for the end. Under [`FsyncPolicy::Always`]
    /// this is for entries nobody waits for. A sync that gave up is tried again a little later, whatever the policy.
    /// Answers false, at once, when the policy never syncs. Safe to drop.
    pub async fn sync_in_time(&self) -> bool {
        sync::sync_in_time(&self.core).await
    }

    /// Begins the same sync if it is due; for callers that poll. Never
    /// blocks inside a tokio runtime: the work goes to its blocking threads.
    pub fn sync_if_due(&self) {
        sync::sync_if_due(&self.core);
    }

    /// Syncs what is written, whatever the policy. Blocking.
    ///
    /// # Errors
    /// As [`Spool::durable`].
    pub fn sync_now(&self) -> Result<(), AppendError> {
        self.core.sync_now().map(|_| ())
    }

    /// Creates the next segment ahead of need, trims and deletes segments, puts the cursor in force, looks at
    /// free disk. Never blocks inside a tokio runtime: the work goes to its blocking threads. To be called
    /// several times a second.
    pub fn maintain(&self) {
        upkeep::maintain(&self.core);
    }

    /// [`Spool::maintain`] on this thread. Blocking.
    pub fn maintain_now(&self) {
        self.core.maintain_now();
    }

    /// Syncs and tidies up before the process ends. Blocking; the spool stays usable.
    ///
    /// # Errors
    /// As [`Spool::durable`].
    pub fn flush(&self) -> Result<(), AppendError> {
        let synced = self.core.sync_now().map(|_| ());
        self.core.maintain_now();
        synced
    }

    #[must_use]
    pub fn ledger(&self) -> LossLedger {
        self.core.state.lock().book.ledger()
    }

    #[must_use]
    pub fn stats(&self) -> SpoolStats {
        self.core.stats()
    }

    /// Keeps an entry that a table refused, synced, with the reason. Idempotent by sequence number. The entry
    /// counts as dead-lettered once its lease is acked so. Blocking.
    ///
    /// # Errors
    /// The disk is full or failing: the entry must then not be acked.
    pub fn dead_letter(&self, entry: &Entry, reason: &str) -> Result<(), AppendError> {
        self.core
            .dead
            .lock()
            .append(&*self.core.storage, entry, reason)
    }

    /// Every dead letter kept, oldest first. Reads a segment at a time.
    pub fn dead_letters(&self) -> impl Iterator<Item = Result<DeadLetter, ReadError>> + use<> {
        let segments = self.core.dead.lock().segments();
        segments
            .into_iter()
            .flat_map(|segment| dead::read_letters(&segment))
    }

    /// Shows every unacked entry that is on disk, in order, leaving all as it is; answers how many. For
    /// seeding ids and quotas at start.
    ///
    /// # Errors
    /// A segment cannot be read; `f` has seen the entries before.
    pub fn replay_unacked(&self, f: impl FnMut(&Entry)) -> Result<u64, ReadError> {
        self.core.replay_unacked(f)
    }

    /// To be called at start, before the first append or lease, with the last sequence number of this node
    /// that the database has settled: no number at or below it is given out again. Without this a spool that
    /// lost its tail (power loss, a new directory) would reuse numbers that the database has a cursor for. Entries
    /// that are here stay to be delivered, whatever their numbers: the node may have run on another directory
    /// meanwhile, and its numbers be other records. Answers how many entries are settled that are not here.
    pub fn reconcile(&self, settled_through: u64) -> u64 {
        self.core.state.lock().book.reconcile(settled_through)
    }
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool")
            .field("dir", &self.core.config.dir)
            .field("ledger", &self.ledger())
            .finish_non_exhaustive()
    }
}
