//! What the threads of a spool share, and in which order it is locked. The work itself is in the files named
//! after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::book::Book;
use super::cursor::CursorFile;
use super::dead::DeadLetters;
use super::journal::Journal;
use super::storage::Storage;
use super::sync::Synced;
use super::unsynced::Unsynced;
use super::{OpenError, Recovery, SpoolConfig, SpoolStats, lease, recovery};

/// What append, lease and upkeep share under the one mutex.
pub(super) struct State {
    pub(super) journal: Journal,
    pub(super) book: Book,
}

pub(super) struct Core {
    pub(super) config: SpoolConfig,
    pub(super) storage: Arc<dyn Storage>,
    /// Covers numbering and writing an entry, so that the order on disk is the order of the numbers.
    pub(super) state: Mutex<State>,
    /// Held by whoever tidies up. Taken before `state`, never while holding it.
    pub(super) cursor: Mutex<CursorFile>,
    /// One sync at a time. Taken before `state`.
    pub(super) syncing: Mutex<()>,
    /// One reader from disk at a time, with the place it stopped at. Taken before `state`.
    pub(super) reading: Mutex<lease::ReadHint>,
    pub(super) dead: Mutex<DeadLetters>,
    /// An [`Admission`], as `upkeep` encodes it.
    pub(super) admission: AtomicU8,
    pub(super) free_bytes: AtomicU64,
    pub(super) append_errors: AtomicU64,
    pub(super) sync_errors: AtomicU64,
    pub(super) abandoned_segments: AtomicU64,
    /// The last write failed; cleared by the next that does not.
    pub(super) write_failing: AtomicBool,
    /// The last sync gave up; cleared by the next that does not.
    pub(super) sync_failing: AtomicBool,
    /// Woken when as many entries are leasable as the waiters asked for.
    pub(super) leasable: Notify,
    pub(super) synced: watch::Sender<Synced>,
    /// A sync runs or is about to.
    pub(super) sync_running: AtomicBool,
    pub(super) upkeep_running: AtomicBool,
    pub(super) unsynced: Unsynced,
}

impl Core {
    pub(super) fn open(
        storage: Arc<dyn Storage>,
        config: SpoolConfig,
    ) -> Result<(Arc<Core>, Recovery), OpenError> {
        if config.segment_bytes < 8 << 10 || config.segment_bytes > 1 << 30 {
            return Err(OpenError::Config(format!(
                "segment_bytes = {} must lie between 8 KiB and 1 GiB",
                config.segment_bytes
            )));
        }
        if let Some(max_bytes) = config.max_bytes
            && max_bytes < 2 * config.segment_bytes
        {
            return Err(OpenError::Config(format!(
                "max_bytes = {max_bytes} must be at least two segments of {} bytes",
                config.segment_bytes
            )));
        }
        storage
            .create_dir(&config.dir)
            .map_err(|error| recovery::io_error(&config.dir, error))?;
        let dead = DeadLetters::open(
            &*storage,
            config.dir.join("dead"),
            config.node,
            config.segment_bytes,
        )?;
        let found = recovery::recover(&*storage, &config, &dead.seqs)?;
        let core = Arc::new(Core {
            state: Mutex::new(State {
                journal: found.journal,
                book: found.book,
            }),
            cursor: Mutex::new(found.cursor),
            syncing: Mutex::new(()),
            reading: Mutex::new(lease::ReadHint::default()),
            dead: Mutex::new(dead),
            admission: AtomicU8::new(0),
            free_bytes: AtomicU64::new(u64::MAX),
            append_errors: AtomicU64::new(0),
            sync_errors: AtomicU64::new(0),
            abandoned_segments: AtomicU64::new(0),
            write_failing: AtomicBool::new(false),
            sync_failing: AtomicBool::new(false),
            leasable: Notify::new(),
            synced: watch::Sender::new(Synced::default()),
            sync_running: AtomicBool::new(false),
            upkeep_running: AtomicBool::new(false),
            unsynced: Unsynced::new(),
            config,
            storage,
        });
        core.maintain_now();
        if core.state.lock().book.last_seq() > 0 {
            // What was found may never have reached the platter. Nobody waits yet.
            let _ = core.unsynced.note();
        }
        Ok((core, found.recovery))
    }

    /// Wakes the waiters of `ready` if there is enough for the most modest of them.
    pub(super) fn wake_waiters(&self) {
        let wake = self.state.lock().book.take_wake();
        if wake {
            self.leasable.notify_waiters();
        }
    }

    pub(super) fn stats(&self) -> SpoolStats {
        let durable_seq = self.synced.borrow().durable_seq;
        let state = self.state.lock();
        SpoolStats {
            last_seq: state.book.last_seq(),
            acked_seq: state.book.acked(),
            durable_seq,
            spooled: state.book.pending.len(),
            leasable: state.book.leasable(),
            leased: state.book.leased(),
            cached: state.book.cached() as u64,
            segments: state.journal.segments.len() as u64,
            used_bytes: state.journal.used_bytes,
            free_bytes: self.free_bytes.load(Ordering::Relaxed),
            append_errors: self.append_errors.load(Ordering::Relaxed),
            sync_errors: self.sync_errors.load(Ordering::Relaxed),
            abandoned_segments: self.abandoned_segments.load(Ordering::Relaxed),
            dropped_since_start: state.book.dropped_by,
        }
    }
}
