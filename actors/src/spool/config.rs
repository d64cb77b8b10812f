//! What a spool is told when it is opened. No parsing and no defaults file: those are the front's.

use std::path::PathBuf;
use std::time::Duration;

/// Smallest and largest preallocated segment, in bytes, that a configuration may ask for.
pub const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = (8 << 20)..=(64 << 20);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Directory of the segments, the cursor and `dead/`; created when missing. Its lock is start-up's.
    pub dir: PathBuf,
    /// The node the entries are numbered for; a directory of another node is refused.
    pub node: u8,
    /// Size of one preallocated segment, in bytes. [`SEGMENT_BYTES`] is what production should use;
    /// anything from 8 KiB works, so that tests may roll often.
    pub segment_bytes: u64,
    pub fsync: FsyncPolicy,
    pub overflow: Overflow,
    /// Free disk to leave to others, in bytes; below it the spool counts as full.
    pub min_free_bytes: u64,
    /// Bound on the spool's own bytes, if any; at least two segments. One segment above it may be allocated.
    pub max_bytes: Option<u64>,
    /// Unacked entries kept in memory; what lies beyond is read back from disk.
    pub cache_capacity: usize,
}

impl SpoolConfig {
    /// The documented defaults for a directory: 16 MiB segments, 10 ms group commit, refuse when full,
    /// 1 GiB left free, 10,000 entries in memory.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, node: u8) -> Self {
        Self {
            dir: dir.into(),
            node,
            segment_bytes: 16 << 20,
            fsync: FsyncPolicy::Interval(Duration::from_millis(10)),
            overflow: Overflow::Refuse,
            min_free_bytes: 1 << 30,
            max_bytes: None,
            cache_capacity: 10_000,
        }
    }
}

/// When written entries are forced to the platter. A killed *process* loses nothing under any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsyncPolicy {
    /// At most this much is lost on power loss.
    Interval(Duration),
    /// `durable` waits for a group commit.
    Always,
    /// The operating system decides.
    Never,
}

/// What a full spool does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// `admits` says no, so that the call is not made; calls already made are still recorded.
    Refuse,
    /// The oldest segment goes, counted.
    DropOldest,
    /// The call goes on without a record, counted.
    ServeUnrecorded,
}
