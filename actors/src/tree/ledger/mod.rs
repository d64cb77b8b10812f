//! The books: from the spool into the database.
//!
//! `request_logger` owns the spool after acceptance (syncing, segments, bounds); `batch_writer` leases entries,
//! commits them and acks; `aggregator` counts what was committed. Accepting a record is neither's work: the caller appends on its own thread. A batch
//! writer that keeps crashing is restarted with growing pauses for as long as it takes: what it does not write
//! waits in the spool, and a process that gave up could accept nothing at all. `content_writer` does for
//! conversations what the batch writer does for records; `compressor` packs those that have grown old.

pub mod aggregator;
pub mod batch_writer;
pub mod compressor;
pub mod content_writer;
pub mod request_logger;

use std::sync::Arc;
use std::time::Duration;

use crate::supervision::{ActorRef, Backoff, Group, Intensity};

use batch_writer::{BatchWriter, delivery};
use request_logger::RequestLogger;

/// How the group waits and gives up. Boot-time values; the defaults are the product's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerSettings {
    /// A transaction that takes longer is rolled back and tried again on another connection; the second and
    /// third try have twice and four times as long.
    pub commit_within: Duration,
    /// First and longest pause before an unavailable database is tried again.
    pub retry_first: Duration,
    /// See `retry_first`.
    pub retry_max: Duration,
    /// First and longest pause before a crashed actor of the group is restarted.
    pub restart_first: Duration,
    /// See `restart_first`.
    pub restart_max: Duration,
    /// How long the writer may empty the spool at shutdown; the rest is safe on disk.
    pub drain_within: Duration,
    /// How long an actor may leave a sign of life unanswered.
    pub hang_after: Duration,
    /// How often the spool is tidied up while anything happens in it …
    pub maintain_every: Duration,
    /// … and while nothing does: only the free disk can have changed.
    pub maintain_idle: Duration,
}

impl Default for LedgerSettings {
    fn default() -> Self {
        Self {
            commit_within: Duration::from_secs(30),
            retry_first: Duration::from_millis(100),
            retry_max: Duration::from_secs(5),
            restart_first: Duration::from_millis(50),
            restart_max: Duration::from_secs(5),
            drain_within: Duration::from_secs(20),
            hang_after: Duration::from_secs(10),
            maintain_every: Duration::from_millis(250),
            maintain_idle: Duration::from_secs(5),
        }
    }
}

/// Messages that may wait for an actor that nobody writes to.
const QUEUE: usize = 8;

/// More failures than the pauses between restarts leave room for: the group never escalates on its own.
const INTENSITY: Intensity = Intensity {
    max: 10_000,
    within: Duration::from_secs(60),
};

/// The group `root/ledger`; `aggregator` joins it in the tree.
pub fn group(
    request_logger: &ActorRef<RequestLogger>,
    batch_writer: &ActorRef<BatchWriter>,
    logger: request_logger::Parts,
    writer: Arc<delivery::Parts>,
) -> Group {
    Group::new("ledger")
        .intensity(INTENSITY)
        .backoff(Backoff {
            first: writer.settings.restart_first,
            max: writer.settings.restart_max,
            ..Backoff::default()
        })
        .child(request_logger::spec(request_logger, logger))
        .child(batch_writer::spec(batch_writer, writer))
}

/// The processes of kept conversations, added to the group.
pub fn with_contents(group: Group, contents: content_writer::Parts) -> Group {
    let compressor = compressor::Parts {
        store: Arc::clone(&contents.store),
        clock: Arc::clone(&contents.clock),
        settings: Arc::clone(&contents.settings),
    };
    group
        .child(content_writer::spec(&ActorRef::new(QUEUE), contents))
        .child(compressor::spec(&ActorRef::new(QUEUE), compressor))
}
