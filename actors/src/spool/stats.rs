//! The numbers a spool shows. It only names them; counting is the book's and the core's.

/// Where every accepted entry is, summed since this directory's first entry.
///
/// `accepted = stored + spooled + dead_lettered + dropped`, at every instant and across restarts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LossLedger {
    /// Entries numbered so far.
    pub accepted: u64,
    pub stored: u64,
    /// Unacked, counted from the index of unacked entries.
    pub spooled: u64,
    pub dead_lettered: u64,
    pub dropped: u64,
}

impl LossLedger {
    #[must_use]
    pub fn balances(&self) -> bool {
        self.accepted == self.stored + self.spooled + self.dead_lettered + self.dropped
    }
}

/// Why an entry counts as dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum DropReason {
    /// Its bytes on disk are damaged or missing.
    Damaged,
    /// `Overflow::DropOldest` made room.
    Overflow,
    /// `Overflow::ServeUnrecorded` let a call pass.
    Unrecorded,
    /// Its segment could not be synced and it could not be written again.
    Unsynced,
    /// A lease was acked with too small numbers.
    Unaccounted,
}

impl DropReason {
    pub const COUNT: usize = 5;
    pub const ALL: [DropReason; Self::COUNT] = [
        DropReason::Damaged,
        DropReason::Overflow,
        DropReason::Unrecorded,
        DropReason::Unsynced,
        DropReason::Unaccounted,
    ];

    /// The reason as a metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            DropReason::Damaged => "damaged",
            DropReason::Overflow => "overflow",
            DropReason::Unrecorded => "unrecorded",
            DropReason::Unsynced => "unsynced",
            DropReason::Unaccounted => "unaccounted",
        }
    }
}

/// A moment's view of a spool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpoolStats {
    pub last_seq: u64,
    /// Everything up to here is settled.
    pub acked_seq: u64,
    /// Everything up to here is known to be on the platter.
    pub durable_seq: u64,
    pub spooled: u64,
    pub leasable: u64,
    pub leased: u64,
    /// Unleased entries held in memory.
    pub cached: u64,
    pub segments: u64,
    /// Bytes written to the segments that still exist.
    pub used_bytes: u64,
    /// As of the last `maintain`.
    pub free_bytes: u64,
    /// Since start.
    pub append_errors: u64,
    pub sync_errors: u64,
    pub abandoned_segments: u64,
    /// Since start, by [`DropReason`].
    pub dropped_since_start: [u64; DropReason::COUNT],
}

/// What opening a spool found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    pub segments: u64,
    /// Of these, how many an older version wrote.
    pub older_segments: u64,
    pub last_seq: u64,
    /// Entries waiting for delivery.
    pub unacked: u64,
    /// Entries that were accepted and are not there; counted as dropped.
    pub lost: u64,
    /// The first of them, as inclusive ranges.
    pub lost_ranges: Vec<(u64, u64)>,
    /// Bytes stepped over between sound records.
    pub damaged_bytes: u64,
    /// Bytes of half-written records at the end of a segment: normal after a crash.
    pub torn_bytes: u64,
    /// Files whose header is damaged; renamed, never deleted.
    pub set_aside: Vec<String>,
    /// Why the cursor had to be rebuilt from the segments, if it had to: everything still on disk is
    /// delivered again and what is gone is taken for stored.
    pub cursor_rebuilt: Option<String>,
}
