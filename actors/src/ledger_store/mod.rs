//! The ledger as its one writer sees it: batches of records in, exactly-once rows out.
//!
//! [`LedgerStore`] hides the two databases' fast paths (the driver's own connection on SQLite; `UNNEST` or `COPY` into
//! a staging table on PostgreSQL). What one transaction does is told once, in [`write`], over the steps that
//! [`sqlite`] and [`postgres`] supply. [`bisect`] finds the record that spoils a batch, [`replay`] gives dead
//! letters another try, [`reprice`] charges calls anew, [`days`] tells the figures of a day, [`whole`] puts right what an
//! earlier version left out. Reading for the API is not here (`steward-entities`), nor is the spool.

pub mod bisect;
mod classify;
pub mod days;
mod line;
mod names;
mod postgres;
pub mod rebuild;
pub mod recount;
pub mod replay;
pub mod reprice;
mod rollups;
mod row;
mod seen;
mod sqlite;
mod totals;
pub mod whole;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use chrono_tz::Tz;
use sea_orm::{DatabaseConnection, DbBackend};

use crate::domain::price::PriceBook;
use crate::domain::record::Record;

pub use classify::WriteError;
pub use postgres::PostgresStore;
pub use sqlite::SqliteStore;
pub use write::{Breakpoint, Breakpoints};

/// Reason of a dead letter: its rid is taken by a record with another random tail, which is never a replay.
pub const RID_CONFLICT: &str = "rid_conflict";

/// Records of one node, in the order of the spool.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    /// Whose spool they come from.
    pub node: u8,
    /// Spool sequence number and record, rising.
    pub entries: &'a [(u64, Record)],
    /// The cursor afterwards: everything up to here is settled (entries that could not be read included).
    pub upto_seq: u64,
    /// Microseconds since the Unix epoch; stamps dead letters.
    pub now_micros: i64,
}

/// What became of a batch. Every entry is in exactly one of the first four.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Outcome {
    /// Rows that are new.
    pub inserted: u64,
    /// Rows that were there already: at or below the cursor, or the same rid and tail.
    pub skipped: u64,
    /// Sequence numbers of records that are in `dead_letters`: put there now as [`RID_CONFLICT`], or by an
    /// earlier delivery that was not acked.
    pub dead_lettered: Vec<u64>,
    /// Sequence numbers of records told from outside of calls that are on the books already.
    pub duplicates: Vec<u64>,
    /// Least and greatest rid inserted.
    pub rids: Option<(i64, i64)>,
}

impl Outcome {
    /// Adds what became of another part of the same lease.
    pub fn absorb(&mut self, other: Self) {
        self.inserted += other.inserted;
        self.skipped += other.skipped;
        self.dead_lettered.extend(other.dead_lettered);
        self.duplicates.extend(other.duplicates);
        self.rids = match (self.rids, other.rids) {
            (Some((low, high)), Some((other_low, other_high))) => {
                Some((low.min(other_low), high.max(other_high)))
            }
            (mine, theirs) => mine.or(theirs),
        };
    }
}

/// A record no table would take.
#[derive(Clone, Eq, PartialEq)]
pub struct DeadLetter {
    /// Spool sequence number.
    pub seq: u64,
    /// `None` when the payload could not be read.
    pub rid: Option<i64>,
    /// Why, in words; holds nothing of the payload.
    pub reason: String,
    /// As it lay in the spool.
    pub payload: Vec<u8>,
}

/// A row of `dead_letters` that has not been replayed yet.
#[derive(Clone, Eq, PartialEq)]
pub struct KeptLetter {
    /// Key of the row.
    pub id: i64,
    /// Node whose spool it came from.
    pub node: u8,
    /// The record as it lay in the spool.
    pub payload: Vec<u8>,
}

/// What [`LedgerStore::prepare`] found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Prepared {
    /// Rows that no month's partition claimed (PostgreSQL; at most 1,000 are counted). Worth an alert.
    pub stray_rows: u64,
}

/// Writes the books. One writer per node; every method is one transaction or a single read. Writing ends
/// whatever an earlier write left open: a writer that hangs is superseded by the next.
///
/// # Errors
/// All methods tell apart [`WriteError::Data`] (this data will never be taken: bisect) from
/// [`WriteError::Unavailable`] (try again later, unchanged).
#[async_trait]
pub trait LedgerStore: Send + Sync + 'static {
    /// Makes room for what is coming (monthly partitions, this month and two ahead). At start and whenever
    /// the month changes.
    async fn prepare(&self, now_ms: i64) -> Result<Prepared, WriteError>;

    /// The last settled sequence number of a node; 0 when it has none.
    async fn cursor(&self, node: u8) -> Result<u64, WriteError>;

    /// The greatest rid on the books, 0 when there is none; seeds the allocator.
    async fn greatest_rid(&self) -> Result<i64, WriteError>;

    /// One bounded step of counting rows from before there were rollups, in a transaction that other writers
    /// wait for; `true` when every row is counted.
    async fn backfill(&self) -> Result<bool, WriteError>;

    /// Rows, attempts, totals, rollups, names and cursor in one transaction; doing it twice changes nothing.
    async fn write(&self, batch: Batch<'_>) -> Result<Outcome, WriteError>;

    /// Keeps letters and advances the cursor, in one transaction.
    async fn dead_letter(
        &self,
        node: u8,
        letters: &[DeadLetter],
        upto_seq: u64,
        now_micros: i64,
    ) -> Result<(), WriteError>;

    /// Letters not yet replayed with an id above `after_id`, rising, at most `limit`.
    async fn dead_letters(&self, after_id: i64, limit: u32) -> Result<Vec<KeptLetter>, WriteError>;

    /// Puts a letter's record on the books and marks the letter, in one transaction; `false` when its rid is
    /// taken by another record (the letter stays).
    async fn replay(
        &self,
        letter: &KeptLetter,
        record: &Record,
        now_micros: i64,
    ) -> Result<bool, WriteError>;

    /// Charges the calls of `rids` anew by `prices`, rows and rollups in one transaction that other writers wait for;
    /// how many changed.
    async fn reprice(
        &self,
        rids: &[i64],
        prices: &PriceBook,
        now_micros: i64,
    ) -> Result<u64, WriteError>;
}

/// The store for whichever database `ledger` (the writing connection) leads to; hours and days are those of `zone`.
pub fn open(ledger: &DatabaseConnection, zone: Tz) -> Arc<dyn LedgerStore> {
    match ledger.get_database_backend() {
        DbBackend::Postgres => Arc::new(PostgresStore::new(ledger).in_zone(zone)),
        _ => Arc::new(SqliteStore::new(ledger).in_zone(zone)),
    }
}
