//! Which entry is where: waiting, leased, given back, settled; and the totals. Pure.
//!
//! The index of unacked entries (`pending`) is kept apart from the totals, so that the loss ledger compares
//! two independent counts. It holds payloads only of a bounded cache and of what is out on lease; reading
//! the rest from disk is `reader`'s work.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::error::{Fenced, ReadError};
use super::ranges::Ranges;
use super::stats::{DropReason, LossLedger};
use super::{Entry, Settled};

struct Held {
    epoch: u64,
    entries: Vec<Entry>,
}

/// What the cursor file keeps of a book.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Settlement {
    pub(super) last_seq: u64,
    /// Everything up to here is settled…
    pub(super) acked: u64,
    /// …and these beyond it.
    pub(super) beyond: Ranges,
    pub(super) stored: u64,
    pub(super) dead_lettered: u64,
    pub(super) dropped: u64,
}

pub(super) struct Book {
    pub(super) next_seq: u64,
    /// Unacked entries, leased ones included.
    pub(super) pending: Ranges,
    /// The leased part of `pending`.
    leased: Ranges,
    /// Unleased entries in seq order; every pending, never leased one below `cache_end` is here.
    cache: VecDeque<Entry>,
    cache_end: u64,
    cache_capacity: usize,
    /// Leased once and given back; all of them older than the cache.
    returned: BTreeMap<u64, Entry>,
    leases: HashMap<u64, Held>,
    next_lease: u64,
    first_epoch: u64,
    stored: u64,
    dead_lettered: u64,
    dropped: u64,
    /// Since start, by [`DropReason`].
    pub(super) dropped_by: [u64; DropReason::COUNT],
    /// Entries the recovery missed: `reconcile` may find them stored after all.
    lost: Ranges,
    /// Somebody wants to hear when this many are leasable.
    pub(super) wake_at: u64,
    /// The totals changed since the cursor file was written.
    pub(super) dirty: bool,
}

impl Book {
    pub(super) fn new(
        settled: Settlement,
        pending: Ranges,
        lost: Ranges,
        cache_capacity: usize,
    ) -> Self {
        let first = pending.first().unwrap_or(settled.last_seq + 1);
        Self {
            next_seq: settled.last_seq + 1,
            pending,
            leased: Ranges::default(),
            cache: VecDeque::new(),
            cache_end: first,
            cache_capacity: cache_capacity.max(1),
            returned: BTreeMap::new(),
            leases: HashMap::new(),
            next_lease: 1,
            first_epoch: 0,
            stored: settled.stored,
            dead_lettered: settled.dead_lettered,
            dropped: settled.dropped,
            dropped_by: [0; DropReason::COUNT],
            lost,
            wake_at: u64::MAX,
            dirty: true,
        }
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.next_seq - 1
    }

    /// Everything up to here is settled.
    pub(super) fn acked(&self) -> u64 {
        self.pending
            .first()
            .map_or(self.last_seq(), |first| first - 1)
    }

    pub(super) fn leasable(&self) -> u64 {
        self.pending.len() - self.leased.len()
    }

    pub(super) fn leased(&self) -> u64 {
        self.leased.len()
    }

    pub(super) fn cached(&self) -> usize {
        self.cache.len()
    }

    pub(super) fn ledger(&self) -> LossLedger {
        LossLedger {
            accepted: self.last_seq(),
            stored: self.stored,
            spooled: self.pending.len(),
            dead_lettered: self.dead_lettered,
            dropped: self.dropped,
        }
    }

    pub(super) fn settlement(&self) -> Settlement {
        let acked = self.acked();
        let mut beyond = Ranges::default();
        beyond.insert(acked + 1, self.last_seq());
        beyond.remove_all(&self.pending);
        Settlement {
            last_seq: self.last_seq(),
            acked,
            beyond,
            stored: self.stored,
            dead_lettered: self.dead_lettered,
            dropped: self.dropped,
        }
    }

    /// Takes in the entry that has just been written as `next_seq`.
    pub(super) fn accept(&mut self, entry: Entry) {
        let seq = entry.seq;
        self.pending.insert(seq, seq);
        self.next_seq = seq + 1;
        if self.cache_end == seq && self.cache.len() < self.cache_capacity {
            self.cache.push_back(entry);
            self.cache_end = seq + 1;
        }
    }

    /// Numbers a call that is served without a record.
    pub(super) fn accept_unrecorded(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        if self.cache_end == seq {
            self.cache_end = self.next_seq;
        }
        self.count_dropped(1, DropReason::Unrecorded);
        seq
    }

    fn count_dropped(&mut self, count: u64, reason: DropReason) {
        self.dropped += count;
        self.dropped_by[reason as usize] += count;
        self.dirty |= count > 0;
    }

    /// Gives up every pending entry in `first..=last` that is not out on lease.
    pub(super) fn drop_range(&mut self, first: u64, last: u64, reason: DropReason) -> u64 {
        let mut gone = self.pending.within(first, last);
        gone.remove_all(&self.leased);
        let count = self.pending.remove_all(&gone);
        for (from, to) in gone.iter() {
            let held: Vec<u64> = self
                .returned
                .range(from..=to)
                .map(|(seq, _)| *seq)
                .collect();
            for seq in held {
                self.returned.remove(&seq);
            }
        }
        let pending = &self.pending;
        if count > 0 {
            self.cache.retain(|entry| pending.contains(entry.seq));
        }
        self.count_dropped(count, reason);
        count
    }

    /// What the database has settled of this node: no number up to there is given out again, and what is not on this disk
    /// counts as stored. What is pending stays so: only a look at its row tells whether it is on the books, since another
    /// spool of this node may have had the same numbers. Answers how many entries are the database's alone.
    pub(super) fn reconcile(&mut self, settled_through: u64) -> u64 {
        // Counted as lost when the spool was opened, but the database had them.
        let found = self.lost.within(1, settled_through);
        let found_count = self.lost.remove_all(&found);
        self.dropped -= found_count;
        self.dropped_by[DropReason::Damaged as usize] =
            self.dropped_by[DropReason::Damaged as usize].saturating_sub(found_count);
        self.stored += found_count;
        let ahead = settled_through.saturating_sub(self.last_seq());
        if ahead > 0 {
            let is_read = !self.pending.intersects(self.cache_end, self.last_seq());
            self.stored += ahead;
            self.next_seq = settled_through + 1;
            if is_read {
                self.cache_end = self.next_seq;
            }
        }
        self.dirty = true;
        found_count + ahead
    }

    pub(super) fn check_epoch(&self, epoch: u64) -> Result<(), ReadError> {
        if epoch < self.first_epoch {
            return Err(ReadError::Fenced {
                epoch,
                current: self.first_epoch,
            });
        }
        Ok(())
    }

    /// So many entries are kept in memory from now on. Fewer than before: those that are there stay until they are leased.
    pub(super) fn set_capacity(&mut self, entries: usize) {
        self.cache_capacity = entries.max(1);
    }

    /// If a lease of `max` needs entries from disk: the first number wanted, how many, and the last there is.
    pub(super) fn wants_refill(&self, max: usize) -> Option<(u64, usize, u64)> {
        let held = self.returned.len() + self.cache.len();
        if held >= max || self.cache_end >= self.next_seq || self.cache.len() >= self.cache_capacity
        {
            return None;
        }
        if !self.pending.intersects(self.cache_end, self.last_seq()) {
            return None;
        }
        let room = self.cache_capacity - self.cache.len();
        Some((self.cache_end, room.min(max.max(256)), self.last_seq()))
    }

    /// Takes in entries read from disk: all there are in `from..=upto`. Answers how many pending ones were
    /// missing, which are given up.
    pub(super) fn refill(&mut self, from: u64, entries: Vec<Entry>, upto: u64) -> u64 {
        if from != self.cache_end {
            return 0; // Something was dropped or settled meanwhile; the next attempt reads afresh.
        }
        let mut missing = self.pending.within(from, upto);
        for entry in entries {
            if missing.remove(entry.seq, entry.seq) == 1 {
                self.cache.push_back(entry);
            }
        }
        self.cache_end = upto + 1;
        let ranges: Vec<_> = missing.iter().collect();
        ranges
            .into_iter()
            .map(|(first, last)| self.drop_range(first, last, DropReason::Damaged))
            .sum()
    }

    /// Leases up to `max` entries that are in memory, the oldest first.
    pub(super) fn take(&mut self, epoch: u64, max: usize) -> Option<(u64, Vec<Entry>)> {
        let mut entries = Vec::with_capacity(max.min(self.returned.len() + self.cache.len()));
        while entries.len() < max {
            match self.returned.pop_first() {
                Some((_, entry)) => entries.push(entry),
                None => break,
            }
        }
        while entries.len() < max {
            match self.cache.pop_front() {
                Some(entry) => entries.push(entry),
                None => break,
            }
        }
        entries.retain(|entry| self.pending.contains(entry.seq));
        if entries.is_empty() {
            return None;
        }
        for entry in &entries {
            self.leased.insert(entry.seq, entry.seq);
        }
        let id = self.next_lease;
        self.next_lease += 1;
        self.leases.insert(
            id,
            Held {
                epoch,
                entries: entries.clone(),
            },
        );
        Some((id, entries))
    }

    /// Ends a lease with what became of its entries.
    pub(super) fn settle(&mut self, id: u64, settled: Settled) -> Result<(), Fenced> {
        let held = self.leases.remove(&id).ok_or(Fenced)?;
        let mut count = 0;
        for entry in &held.entries {
            self.leased.remove(entry.seq, entry.seq);
            count += self.pending.remove(entry.seq, entry.seq);
        }
        let dead = settled.dead_lettered.min(count);
        let stored = settled.stored.min(count - dead);
        let unaccounted = count - dead - stored;
        if stored != settled.stored || dead != settled.dead_lettered || unaccounted != 0 {
            tracing::error!(
                entries = count,
                stored = settled.stored,
                dead_lettered = settled.dead_lettered,
                "a lease was acked with numbers that do not add up to its entries; the rest counts as dropped"
            );
        }
        self.stored += stored;
        self.dead_lettered += dead;
        self.count_dropped(unaccounted, DropReason::Unaccounted);
        self.dirty = true;
        Ok(())
    }

    /// Puts a lease's entries back in their place; nothing if it is over already.
    pub(super) fn give_back(&mut self, id: u64) {
        if let Some(held) = self.leases.remove(&id) {
            for entry in held.entries {
                self.leased.remove(entry.seq, entry.seq);
                self.returned.insert(entry.seq, entry);
            }
        }
    }

    pub(super) fn revoke_before(&mut self, epoch: u64) {
        self.first_epoch = self.first_epoch.max(epoch);
        let over: Vec<u64> = self
            .leases
            .iter()
            .filter(|(_, held)| held.epoch < epoch)
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            self.give_back(id);
        }
    }

    /// A pending entry that is in memory, wherever.
    pub(super) fn in_memory(&self, seq: u64) -> Option<&Entry> {
        if let Ok(at) = self.cache.binary_search_by_key(&seq, |entry| entry.seq) {
            return self.cache.get(at);
        }
        self.returned.get(&seq).or_else(|| {
            self.leases
                .values()
                .flat_map(|held| &held.entries)
                .find(|entry| entry.seq == seq)
        })
    }

    /// Whether somebody who waits for entries should be woken now.
    pub(super) fn take_wake(&mut self) -> bool {
        let wake = self.leasable() >= self.wake_at;
        if wake {
            self.wake_at = u64::MAX;
        }
        wake
    }
}
