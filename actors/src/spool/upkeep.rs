//! Keeping house: the next segment ahead of need, the cursor in force, acked segments deleted, bounds watched.
//!
//! Idempotent: reads the state, acts, and says what it could not do; the next round tries again. Nothing here
//! holds the append mutex while it waits for the disk.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::error::{Admission, RefuseReason};
use super::journal::create_segment;
use super::stats::DropReason;
use super::{Core, FsyncPolicy, Overflow, State};

const OPEN: u8 = 0;
const DISK_LOW: u8 = 1;
const SIZE_REACHED: u8 = 2;
const WRITE_FAILING: u8 = 3;

pub(super) fn decode_admission(code: u8) -> Admission {
    match code {
        DISK_LOW => Admission::Refuse(RefuseReason::DiskLow),
        SIZE_REACHED => Admission::Refuse(RefuseReason::SizeReached),
        WRITE_FAILING => Admission::Refuse(RefuseReason::WriteFailing),
        _ => Admission::Open,
    }
}

/// Clears the flag however the round ends, also when the runtime that was to run it goes away first.
struct Round(Arc<Core>);

impl Drop for Round {
    fn drop(&mut self) {
        self.0.upkeep_running.store(false, Ordering::Release);
    }
}

pub(super) fn maintain(core: &Arc<Core>) {
    if core.config.fsync == FsyncPolicy::Never && !core.sync_failing.load(Ordering::Relaxed) {
        core.unsynced.clear();
    }
    if core.upkeep_running.swap(true, Ordering::AcqRel) {
        return;
    }
    let round = Round(core.clone());
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(move || round.0.maintain_now())),
        Err(_) => round.0.maintain_now(),
    }
}

impl Core {
    pub(super) fn maintain_now(&self) {
        self.look_at_free_disk();
        if self.config.overflow == Overflow::DropOldest && (self.over_size() || self.disk_low()) {
            self.make_room(false);
        }
        self.trim_left_segments();
        self.delete_settled(&BTreeSet::new());
        self.look_at_free_disk();
        self.create_ahead();
        self.publish_admission(&self.state.lock());
    }

    fn look_at_free_disk(&self) {
        match self.storage.free_bytes(&self.config.dir) {
            Ok(free) => self.free_bytes.store(free, Ordering::Relaxed),
            Err(error) => {
                tracing::warn!(%error, "cannot tell how much disk is free under the spool")
            }
        }
    }

    fn disk_low(&self) -> bool {
        self.free_bytes.load(Ordering::Relaxed) < self.config.min_free_bytes
    }

    pub(super) fn size_reached(&self, state: &State) -> bool {
        self.config
            .max_bytes
            .is_some_and(|max_bytes| state.journal.used_bytes >= max_bytes)
    }

    pub(super) fn over_size(&self) -> bool {
        self.config.max_bytes.is_some() && self.size_reached(&self.state.lock())
    }

    pub(super) fn is_full_now(&self, state: &State) -> bool {
        self.disk_low() || self.size_reached(state)
    }

    /// Recomputes what `admits` answers. Only `Refuse` ever refuses.
    pub(super) fn publish_admission(&self, state: &State) {
        let code = if self.config.overflow != Overflow::Refuse {
            OPEN
        } else if self.write_failing.load(Ordering::Relaxed)
            || self.sync_failing.load(Ordering::Relaxed)
        {
            WRITE_FAILING
        } else if self.disk_low() {
            DISK_LOW
        } else if self.size_reached(state) {
            SIZE_REACHED
        } else {
            OPEN
        };
        self.admission.store(code, Ordering::Relaxed);
    }

    /// Gives the preallocated rest of segments that are written no more back to the disk.
    fn trim_left_segments(&self) {
        let left: Vec<_> = {
            let mut state = self.state.lock();
            let active = state.journal.active;
            state
                .journal
                .segments
                .iter_mut()
                .filter(|(id, of)| Some(**id) != active && !of.trimmed)
                .map(|(_, of)| {
                    of.trimmed = true;
                    (of.segment.clone(), of.written)
                })
                .collect()
        };
        for (segment, written) in left {
            if let Err(error) = segment.file.set_len(written) {
                tracing::warn!(path = %segment.path.display(), %error, "cannot trim a spool segment");
            }
        }
    }

    /// Puts the cursor in force, then deletes the segments that hold nothing unacked by it, and `also`.
    fn delete_settled(&self, also: &BTreeSet<u64>) {
        let mut cursor = self.cursor.lock();
        let (settlement, settled) = {
            let mut state = self.state.lock();
            let journal = &state.journal;
            // One pass: a long outage leaves thousands of segments, and appends wait meanwhile.
            let wanted: BTreeSet<u64> = journal
                .extents
                .iter()
                .filter(|(first, run)| state.book.pending.intersects(**first, run.last_seq))
                .map(|(_, run)| run.segment)
                .collect();
            let settled: Vec<u64> = journal
                .segments
                .keys()
                .copied()
                .filter(|id| Some(*id) != journal.active)
                .filter(|id| also.contains(id) || !wanted.contains(id))
                .collect();
            let dirty = std::mem::take(&mut state.book.dirty);
            (dirty.then(|| state.book.settlement()), settled)
        };
        if let Some(settlement) = settlement
            && let Err(error) = cursor.store(&*self.storage, &settlement)
        {
            tracing::error!(%error, "the spool's cursor cannot be written; acked segments stay");
            self.state.lock().book.dirty = true;
            return;
        }
        for id in settled {
            let Some(segment) = self.state.lock().journal.forget(id) else {
                continue;
            };
            if let Err(error) = self.storage.remove(&segment.path) {
                tracing::error!(path = %segment.path.display(), %error, "cannot delete an acked spool segment");
            }
        }
    }

    /// `DropOldest`: gives up the oldest segment, and further ones until the bounds hold; at least one if
    /// `now`. Answers whether any went. Leased entries stay with their holders.
    pub(super) fn make_room(&self, now: bool) -> bool {
        let mut any = false;
        loop {
            if !(now && !any || self.over_size() || self.disk_low()) {
                return any;
            }
            let oldest = {
                let mut state = self.state.lock();
                let active = state.journal.active;
                let oldest = state
                    .journal
                    .extents
                    .values()
                    .map(|extent| extent.segment)
                    .find(|id| Some(*id) != active);
                let Some(oldest) = oldest else {
                    return any;
                };
                let runs: Vec<_> = state.journal.runs_of(oldest).collect();
                let mut dropped = 0;
                for (first, last) in runs {
                    dropped += state.book.drop_range(first, last, DropReason::Overflow);
                }
                tracing::warn!(dropped, "the spool is full and drops its oldest segment");
                oldest
            };
            self.delete_settled(&BTreeSet::from([oldest]));
            if self.state.lock().journal.segments.contains_key(&oldest) {
                return any;
            }
            self.look_at_free_disk();
            any = true;
        }
    }

    fn create_ahead(&self) {
        let plan = {
            let mut state = self.state.lock();
            let journal = &mut state.journal;
            let half_full = journal
                .active
                .and_then(|id| journal.segments.get(&id))
                .is_none_or(|of| of.written >= journal.segment_bytes / 2);
            if journal.spare.is_some() || !half_full || self.disk_low() {
                return;
            }
            journal.plan_segment(&*self.storage)
        };
        let (path, layout) = plan;
        match create_segment(&*self.storage, path, layout, self.config.segment_bytes) {
            Ok(segment) => {
                let refused = self.state.lock().journal.offer_spare(segment).err();
                if let Some(segment) = refused {
                    // Best effort: an empty segment is removed at the next start as well.
                    let _ = self.storage.remove(&segment.path);
                }
                self.write_failing.store(false, Ordering::Relaxed);
            }
            Err(error) => {
                self.write_failing.store(true, Ordering::Relaxed);
                tracing::error!(%error, "the spool's next segment cannot be created");
            }
        }
    }
}
