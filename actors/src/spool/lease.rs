//! Handing entries out, from memory and, past the cache, from disk.
//!
//! A lease is a promise to say what became of its entries; dropped, they go back in their place. What its
//! holder did may happen again after a crash or a revocation.

use std::sync::Arc;

use super::book::Book;
use super::error::{Fenced, ReadError};
use super::journal::{Extent, Segment};
use super::ranges::Ranges;
use super::scan::Scanner;
use super::{Core, Entry};

/// Failed reads of one place before its unreadable pages are given up.
const PATIENCE: u32 = 3;

/// What became of a lease's entries; the two must add up to them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    /// In the database, whether by this delivery or an earlier one.
    pub stored: u64,
    pub dead_lettered: u64,
}

/// Entries that are this holder's until it acks, drops or loses them.
#[must_use = "a dropped lease gives its entries back"]
pub struct Lease {
    core: Arc<Core>,
    id: u64,
    /// In ascending order.
    pub entries: Vec<Entry>,
}

impl Lease {
    /// Settles every entry of the lease.
    ///
    /// # Errors
    /// The lease was revoked; its entries will be delivered again.
    pub fn ack(self, settled: Settled) -> Result<(), Fenced> {
        self.core.state.lock().book.settle(self.id, settled)
    }

    /// Gives the entries back, to be delivered again first. The same as dropping.
    pub fn give_back(self) {}
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.core.state.lock().book.give_back(self.id);
        self.core.wake_waiters();
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease")
            .field("entries", &self.entries.len())
            .field("first_seq", &self.entries.first().map(|entry| entry.seq))
            .finish_non_exhaustive()
    }
}

/// Where the last reading stopped, so that the next one need not search.
#[derive(Debug, Default)]
pub(super) struct ReadHint {
    segment: u64,
    /// No entry from here on stands before `offset`.
    seq: u64,
    offset: u64,
    failures: u32,
}

/// A run on disk, as of a moment.
struct Run {
    first: u64,
    extent: Extent,
    segment: Arc<Segment>,
    end: u64,
}

pub(super) fn lease(core: &Arc<Core>, epoch: u64, max: usize) -> Result<Option<Lease>, ReadError> {
    loop {
        {
            let mut state = core.state.lock();
            state.book.check_epoch(epoch)?;
            if max == 0 {
                return Ok(None);
            }
            if state.book.wants_refill(max).is_none() {
                let leased = state.book.take(epoch, max);
                return Ok(leased.map(|(id, entries)| Lease {
                    core: core.clone(),
                    id,
                    entries,
                }));
            }
        }
        core.refill(max)?;
    }
}

pub(super) async fn ready(core: &Arc<Core>, at_least: usize) {
    let at_least = at_least.max(1) as u64;
    loop {
        let woken = core.leasable.notified();
        tokio::pin!(woken);
        // Registered before looking, so that nothing is missed between the two.
        woken.as_mut().enable();
        {
            let book: &mut Book = &mut core.state.lock().book;
            if book.leasable() >= at_least {
                return;
            }
            book.wake_at = book.wake_at.min(at_least);
        }
        woken.await;
    }
}

impl Core {
    /// Brings the next entries from disk into the cache. The mutex is not held while reading.
    fn refill(&self, max: usize) -> Result<(), ReadError> {
        let mut hint = self.reading.lock();
        let (from, count, last, pending, runs) = {
            let state = self.state.lock();
            let Some((from, count, last)) = state.book.wants_refill(max) else {
                return Ok(());
            };
            let pending = state.book.pending.within(from, last);
            (from, count, last, pending, self.runs(&state, from, last))
        };
        let lenient = hint.failures >= PATIENCE;
        let mut entries = Vec::new();
        let mut upto = last;
        let read = read_runs(&runs, from, &pending, lenient, Some(&mut hint), |entry| {
            let seq = entry.seq;
            entries.push(entry);
            let enough = entries.len() >= count;
            if enough {
                upto = seq;
            }
            !enough
        });
        match read {
            Ok(()) => hint.failures = 0,
            Err(error) => {
                hint.failures += 1;
                return Err(error);
            }
        }
        let missing = self.state.lock().book.refill(from, entries, upto);
        if missing > 0 {
            tracing::error!(
                missing,
                from,
                upto,
                "spool entries are damaged on disk and count as dropped"
            );
        }
        Ok(())
    }

    fn runs(&self, state: &super::State, first: u64, last: u64) -> Vec<Run> {
        state
            .journal
            .extents_within(first, last)
            .into_iter()
            .filter_map(|(first, extent)| {
                let of = state.journal.segments.get(&extent.segment)?;
                Some(Run {
                    first,
                    extent,
                    segment: of.segment.clone(),
                    end: of.written,
                })
            })
            .collect()
    }

    pub(super) fn replay_unacked(&self, mut f: impl FnMut(&Entry)) -> Result<u64, ReadError> {
        let (pending, runs) = {
            let state = self.state.lock();
            let last = state.book.last_seq();
            (state.book.pending.clone(), self.runs(&state, 1, last))
        };
        let mut count = 0;
        read_runs(&runs, 1, &pending, true, None, |entry| {
            f(&entry);
            count += 1;
            true
        })?;
        Ok(count)
    }
}

/// Feeds every wanted entry from `from` on to `take`, in order, until that has enough.
fn read_runs(
    runs: &[Run],
    from: u64,
    wanted: &Ranges,
    lenient: bool,
    mut hint: Option<&mut ReadHint>,
    mut take: impl FnMut(Entry) -> bool,
) -> Result<(), ReadError> {
    for run in runs {
        let first = run.first.max(from);
        let last = run.extent.last_seq;
        if !wanted.intersects(first, last) {
            continue;
        }
        let start = match &hint {
            Some(hint)
                if hint.segment == run.extent.segment
                    && hint.seq <= first
                    && hint.seq > run.first =>
            {
                hint.offset
            }
            _ => run.extent.offset,
        };
        let mut scanner = Scanner::new(&*run.segment.file, &run.segment.layout, start, run.end);
        if lenient {
            scanner = scanner.lenient();
        }
        loop {
            let found = match scanner.next() {
                Ok(Some(found)) => found,
                Ok(None) => break,
                Err(source) => {
                    return Err(ReadError::Io {
                        path: run.segment.path.clone(),
                        source,
                    });
                }
            };
            let seq = found.header.seq;
            if seq > last {
                break;
            }
            if seq >= first && wanted.contains(seq) {
                let enough = !take(Entry {
                    seq,
                    kind: found.header.kind,
                    payload: found.payload,
                });
                if let Some(hint) = hint.as_deref_mut() {
                    hint.segment = run.extent.segment;
                    hint.seq = seq + 1;
                    hint.offset = scanner.position();
                }
                if enough {
                    return Ok(());
                }
            }
            if seq == last {
                break;
            }
        }
    }
    Ok(())
}
