//! Group commit: one `fsync` for everything written before it, and what happens when it fails.
//!
//! After a failed `fsync` the kernel may have marked the pages clean without writing them, so a second one on
//! the same file would lie. The segment is abandoned: what it held beyond its last good sync is written
//! again, under the same numbers, to a fresh segment, and that one is synced. Nothing here is async but the
//! waiting.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::error::AppendError;
use super::journal::Segment;
use super::scan::Scanner;
use super::stats::DropReason;
use super::{Core, FsyncPolicy, State};

/// Segments in a row that may fail to sync before the waiters are told.
const ATTEMPTS: usize = 3;
/// Under [`FsyncPolicy::Always`]: what an entry nobody waits for (its caller hung up) waits for its sync.
const STRAGGLER: Duration = Duration::from_millis(5);

/// How soon a sync that gave up is tried again where nobody else would.
const RETRY_EVERY: Duration = Duration::from_millis(100);

/// What waiters watch.
#[derive(Debug, Clone, Default)]
pub(super) struct Synced {
    pub(super) durable_seq: u64,
    /// Syncs that gave up, and why the last did.
    failures: u64,
    reason: String,
}

struct Target {
    id: u64,
    segment: Arc<Segment>,
    written: u64,
    last_seq: u64,
}

pub(super) async fn wait_durable(core: &Arc<Core>, seq: u64) -> Result<(), AppendError> {
    let mut synced = core.synced.subscribe();
    let failures_before = synced.borrow().failures;
    loop {
        {
            let seen = synced.borrow_and_update();
            if seen.durable_seq >= seq {
                return Ok(());
            }
            if seen.failures > failures_before {
                return Err(AppendError::NotDurable {
                    seq,
                    reason: seen.reason.clone(),
                });
            }
        }
        if let Some(leading) = Leading::begin(core) {
            // If this waiter is dropped meanwhile, the sync still runs to its end and tells the others.
            let _ = tokio::task::spawn_blocking(move || leading.run()).await;
        } else if synced.changed().await.is_err() {
            // Somebody else leads; the end of that sync changes what we watch.
            return Err(AppendError::NotDurable {
                seq,
                reason: "the spool is gone".to_owned(),
            });
        }
    }
}

/// How long an entry may wait for its sync to begin; the rest of the interval is the disk's.
fn patience(core: &Core) -> Option<Duration> {
    if core.sync_failing.load(Ordering::Relaxed) {
        // Nobody is admitted meanwhile, so there may be no waiter to try again.
        return Some(RETRY_EVERY);
    }
    match core.config.fsync {
        FsyncPolicy::Interval(interval) => Some(interval / 2),
        FsyncPolicy::Always => Some(STRAGGLER),
        FsyncPolicy::Never => None,
    }
}

/// Waits until an entry is unsynced.
pub(super) async fn unsynced(core: &Core) {
    core.unsynced.wait(patience(core)).await;
}

pub(super) async fn sync_in_time(core: &Arc<Core>) -> bool {
    let Some(patience) = patience(core) else {
        return false;
    };
    let Some(due) = core.unsynced.due(patience) else {
        return true;
    };
    tokio::time::sleep_until(due).await;
    let mut synced = core.synced.subscribe();
    if core.unsynced.due(patience).is_none_or(|now| now != due) {
        return true; // Somebody else began a sync meanwhile.
    }
    if let Some(leading) = Leading::begin(core) {
        let _ = tokio::task::spawn_blocking(move || leading.run()).await;
    } else {
        // The end of the sync that runs changes what we watch.
        let _ = synced.changed().await;
    }
    true
}

pub(super) fn sync_if_due(core: &Arc<Core>) {
    let due = patience(core)
        .zip(core.unsynced.since())
        .is_some_and(|(patience, since)| since.elapsed() >= patience);
    if !due {
        return;
    }
    let Some(leading) = Leading::begin(core) else {
        return;
    };
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(move || leading.run())),
        Err(_) => leading.run(),
    }
}

/// The right and the duty to run the next sync, however it ends: also when the runtime that was to run it
/// goes away first.
struct Leading(Arc<Core>);

impl Leading {
    fn begin(core: &Arc<Core>) -> Option<Self> {
        (!core.sync_running.swap(true, Ordering::AcqRel)).then(|| Self(core.clone()))
    }

    fn run(&self) {
        if let Err(error) = self.0.sync_now() {
            tracing::error!(%error, "the spool cannot sync");
        }
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        self.0.sync_running.store(false, Ordering::Release);
        // Whoever came too late for this sync may lead the next.
        self.0.synced.send_modify(|_| ());
    }
}

impl Core {
    /// Syncs everything written so far; answers the last entry it covers.
    pub(super) fn sync_now(&self) -> Result<u64, AppendError> {
        let _one_at_a_time = self.syncing.lock();
        let mut outcome = Err(io::Error::from(io::ErrorKind::Other));
        for _ in 0..ATTEMPTS {
            outcome = self.sync_once();
            if outcome.is_ok() {
                break;
            }
            self.sync_errors.fetch_add(1, Ordering::Relaxed);
        }
        match outcome {
            Ok(upto) => {
                if self.sync_failing.swap(false, Ordering::Relaxed) {
                    self.publish_admission(&self.state.lock());
                }
                self.synced
                    .send_modify(|synced| synced.durable_seq = synced.durable_seq.max(upto));
                Ok(upto)
            }
            Err(error) => {
                let reason = error.to_string();
                if self.unsynced.note() {
                    self.unsynced.signal();
                }
                self.synced.send_modify(|synced| {
                    synced.failures += 1;
                    synced.reason.clone_from(&reason);
                });
                let state = self.state.lock();
                self.sync_failing.store(true, Ordering::Relaxed);
                self.publish_admission(&state);
                let seq = state.book.last_seq();
                Err(AppendError::NotDurable { seq, reason })
            }
        }
    }

    fn sync_once(&self) -> io::Result<u64> {
        let (targets, upto) = {
            let mut state = self.state.lock();
            self.rescue_abandoned(&mut state)?;
            let targets: Vec<Target> = state
                .journal
                .segments
                .iter()
                .filter(|(_, of)| of.synced < of.written)
                .map(|(id, of)| Target {
                    id: *id,
                    segment: of.segment.clone(),
                    written: of.written,
                    last_seq: of.last_seq,
                })
                .collect();
            self.unsynced.clear();
            (targets, state.book.last_seq())
        };
        for target in targets {
            let result = target.segment.file.sync();
            let mut state = self.state.lock();
            let Some(of) = state.journal.segments.get_mut(&target.id) else {
                continue; // Acked and deleted meanwhile.
            };
            match result {
                Ok(()) => {
                    of.synced = of.synced.max(target.written);
                    of.synced_seq = of.synced_seq.max(target.last_seq);
                }
                Err(error) => {
                    tracing::error!(path = %target.segment.path.display(), %error, "a spool segment failed to sync and is abandoned");
                    self.abandoned_segments.fetch_add(1, Ordering::Relaxed);
                    of.needs_rescue = true;
                    if state.journal.active == Some(target.id) {
                        state.journal.roll();
                    }
                    return Err(error);
                }
            }
        }
        Ok(upto)
    }

    /// Writes the unsynced entries of abandoned segments to a fresh one.
    fn rescue_abandoned(&self, state: &mut State) -> io::Result<()> {
        loop {
            let journal = &state.journal;
            let Some((id, of)) = journal.segments.iter().find(|(_, of)| of.needs_rescue) else {
                return Ok(());
            };
            let (id, from_offset, synced_seq) = (*id, of.synced, of.synced_seq);
            let segment = of.segment.clone();
            let mut wanted = super::ranges::Ranges::default();
            for (first, last) in journal.runs_of(id) {
                wanted.insert_all(&state.book.pending.within(first.max(synced_seq + 1), last));
            }
            let mut entries: BTreeMap<u64, (u8, Bytes)> = BTreeMap::new();
            let mut scanner =
                Scanner::new(&*segment.file, &segment.layout, from_offset, of.written).lenient();
            while let Some(found) = scanner.next()? {
                if wanted.contains(found.header.seq) {
                    entries.insert(found.header.seq, (found.header.kind, found.payload));
                }
            }
            for seq in wanted.iter().flat_map(|(first, last)| first..=last) {
                if let Some(entry) = state.book.in_memory(seq) {
                    entries.insert(seq, (entry.kind, entry.payload.clone()));
                }
            }
            // A segment's entries ascend, and the active one may hold later entries already.
            state.journal.roll();
            let mut gone = wanted;
            for (seq, (kind, payload)) in entries {
                let moved = state.journal.carve(id, seq);
                if let Err(error) = state.journal.write(&*self.storage, seq, kind, &payload) {
                    state.journal.put_back(seq, moved);
                    return Err(error);
                }
                gone.remove(seq, seq);
            }
            for (first, last) in gone.iter() {
                let lost = state.book.drop_range(first, last, DropReason::Unsynced);
                if lost > 0 {
                    tracing::error!(
                        first,
                        last,
                        lost,
                        "spool entries could neither be synced nor read back"
                    );
                }
            }
            state.journal.cut_runs(id, synced_seq + 1);
            if let Some(of) = state.journal.segments.get_mut(&id) {
                of.needs_rescue = false;
                of.synced = of.written;
            }
        }
    }
}
