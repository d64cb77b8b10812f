//! What the gateway counts for `/metrics`: plain atomics, read by whoever draws them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one process since its start.
#[derive(Debug, Default)]
pub struct Counters {
    requests: [AtomicU64; 5],
    in_flight: AtomicU64,
    unknown_credentials: AtomicU64,
    upstream_errors: AtomicU64,
    retries: AtomicU64,
    refused_unrecorded: AtomicU64,
    append_failures: AtomicU64,
}

/// A moment's reading.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Reading {
    /// Calls ended, by what the caller saw: 1xx, 2xx, 3xx, 4xx (499 included), 5xx.
    pub requests_by_class: [u64; 5],
    /// Calls of known tokens not yet ended.
    pub in_flight: u64,
    /// Requests with no credential or one that opens nothing; they are not on the books.
    pub unknown_credentials: u64,
    /// Attempts that failed: no connection, time-out, 429 or 5xx, cut.
    pub upstream_errors: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Calls not made because the books could not take their record.
    pub refused_unrecorded: u64,
    /// Records the spool would not take at a call's end.
    pub append_failures: u64,
}

impl Counters {
    pub(super) fn opened(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn closed(&self, status: u16) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.requests[class].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn unknown_credential(&self) {
        self.unknown_credentials.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn upstream_error(&self) {
        self.upstream_errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused_unrecorded.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn append_failure(&self) {
        self.append_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// The numbers now.
    pub fn read(&self) -> Reading {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Reading {
            requests_by_class: [0, 1, 2, 3, 4].map(|class| get(&self.requests[class])),
            in_flight: get(&self.in_flight),
            unknown_credentials: get(&self.unknown_credentials),
            upstream_errors: get(&self.upstream_errors),
            retries: get(&self.retries),
            refused_unrecorded: get(&self.refused_unrecorded),
            append_failures: get(&self.append_failures),
        }
    }
}
