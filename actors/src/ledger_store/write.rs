//! One ledger transaction, told on one page, over the steps a database supplies.
//!
//! Exactly once: records at or below the node's cursor are skipped, if they are there (two nodes of one id
//! would otherwise lose each other's); of the rest only rows that were really inserted count (attempts,
//! totals, rollups); the cursor moves in the same transaction. A cancelled or failed transaction leaves nothing behind,
//! neither in the database nor in the remembered names.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use chrono_tz::Tz;
use parking_lot::Mutex;
use prost::Message;

use crate::domain::record::Record;
use crate::domain::seen::is_told;

use super::line::Purpose;
use super::names::{Learned, Names, Wanted};
use super::reprice::{Charged, Recharge};
use super::rollups::{self, Added, BACKFILL_ROWS, Backfill, Counted};
use super::row::Row;
use super::seen;
use super::totals::Totals;
use super::{Batch, DeadLetter, KeptLetter, Outcome, RID_CONFLICT, WriteError};

/// Where a transaction stands; fault plans strike there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Breakpoint {
    /// Begun, nothing written.
    Begun,
    /// Rows are in, totals and cursor are not.
    RowsInserted,
    /// Everything is in.
    BeforeCommit,
    /// Committed, and nobody knows yet.
    Committed,
}

/// Called at every [`Breakpoint`]; for tests that crash, block or cancel there.
pub type Breakpoints = Arc<dyn Fn(Breakpoint) + Send + Sync>;

/// Which rows an insert took.
pub(super) enum Inserted {
    /// Every one.
    All,
    /// These rids.
    Only(HashSet<i64>),
    /// Not every one, and not known which: do it again with `exact`.
    Unclear,
}

/// The steps of one open transaction. Dropping it rolls back.
#[async_trait]
pub(super) trait Transaction: Send + Sized {
    async fn cursor(&mut self, node: u8) -> Result<u64, WriteError>;
    async fn resolve(&mut self, wanted: Wanted) -> Result<Learned, WriteError>;
    /// Inserts rows with distinct rids, leaving those whose rid exists. `exact`: tell which.
    async fn insert(&mut self, rows: &[Row<'_>], exact: bool) -> Result<Inserted, WriteError>;
    async fn insert_attempts(&mut self, rows: &[&Row<'_>]) -> Result<(), WriteError>;
    async fn tails(&mut self, rids: &[i64]) -> Result<HashMap<i64, i64>, WriteError>;
    async fn add_totals(&mut self, node: u8, totals: &Totals) -> Result<(), WriteError>;
    /// Until the end of this transaction no other adds to the node's rollups: a letter's replay runs beside the
    /// writer, and stored histograms are read, merged and replaced.
    async fn lock_rollups(&mut self, node: u8) -> Result<(), WriteError>;
    /// Adds to the node's rows of one rollup.
    async fn add_rollup(&mut self, node: u8, added: Added) -> Result<(), WriteError>;
    /// What of the log is still to be counted. Nobody changes it before this transaction ends; `exclusive`:
    /// and nobody else reads it.
    async fn backfill(&mut self, exclusive: bool) -> Result<Backfill, WriteError>;
    /// Rows of that part, rising, at most `limit`.
    async fn uncounted(&mut self, part: Backfill, limit: i64) -> Result<Vec<Counted>, WriteError>;
    /// Calls as they stand, for as long as this transaction lasts.
    async fn charged(&mut self, rids: &[i64]) -> Result<Vec<Charged>, WriteError>;
    /// Writes other charges into rows.
    async fn recharge(&mut self, rows: &[Recharge]) -> Result<(), WriteError>;
    async fn set_backfill(&mut self, next: i64) -> Result<(), WriteError>;
    async fn keep_letters(
        &mut self,
        node: u8,
        letters: &[DeadLetter],
        now_micros: i64,
    ) -> Result<(), WriteError>;
    /// A node's letters within `from..=to`: sequence number and rid. The number alone does not tell whose letter it is:
    /// another spool of the node may have given it out too.
    async fn letters_within(
        &mut self,
        node: u8,
        from: u64,
        to: u64,
    ) -> Result<HashSet<(u64, Option<i64>)>, WriteError>;
    /// Those of `keys` that are in one of `buckets` of `seen_ids`.
    async fn seen(&mut self, buckets: &[i64], keys: &[i64]) -> Result<HashSet<i64>, WriteError>;
    /// Puts distinct keys into a bucket; answers those that were not in it.
    async fn see(&mut self, bucket: i64, keys: &[i64]) -> Result<HashSet<i64>, WriteError>;
    /// Takes away some of what lies before a bucket.
    async fn forget_seen(&mut self, before: i64) -> Result<(), WriteError>;
    /// Tenants that told of calls from outside in this bucket or a later one, and the last bucket of each.
    async fn tellers(&mut self, since: i64) -> Result<HashMap<i64, i64>, WriteError>;
    /// Until the end of this transaction nobody makes a teller of a tenant; `exclusive`: and nobody leaves ids among
    /// the recent ones.
    async fn lock_tellers(&mut self, exclusive: bool) -> Result<(), WriteError>;
    async fn set_teller(&mut self, tenant_id: i64, bucket: i64) -> Result<(), WriteError>;
    /// Keeps keys for a while, all of them together.
    async fn keep_recent(&mut self, keys: &[u8], now_micros: i64) -> Result<(), WriteError>;
    /// What was kept so since then and before that id, the latest first, at most `limit`.
    async fn recent(
        &mut self,
        since_micros: i64,
        before_id: i64,
        limit: i64,
    ) -> Result<Vec<(i64, Vec<u8>)>, WriteError>;
    /// Takes away some of what was kept so before.
    async fn forget_recent(&mut self, before_micros: i64) -> Result<(), WriteError>;
    /// Record ids of the months that reach into `least..=greatest` and whose archive was begun: from the first up to the
    /// second. Asked for after rows were put in: until this transaction ends nobody begins with another month of theirs.
    async fn sealed(&mut self, least: i64, greatest: i64) -> Result<Vec<(i64, i64)>, WriteError>;
    /// Notes that these rows came after their month's archive was begun.
    async fn mark_late(&mut self, rids: &[i64]) -> Result<(), WriteError>;
    async fn mark_replayed(&mut self, id: i64, now_micros: i64) -> Result<(), WriteError>;
    async fn advance(&mut self, node: u8, seq: u64) -> Result<(), WriteError>;
    async fn commit(self) -> Result<(), WriteError>;
}

/// What a database supplies besides the steps.
#[async_trait]
pub(super) trait Backend: Send + Sync + 'static {
    type Transaction<'b>: Transaction
    where
        Self: 'b;
    async fn begin(&self, purpose: Purpose) -> Result<Self::Transaction<'_>, WriteError>;
}

/// What both stores share: the remembered names and the breakpoints.
#[derive(Default)]
pub(super) struct Shared {
    names: Mutex<Names>,
    breakpoints: Option<Breakpoints>,
    /// Where days begin.
    zone: Tz,
    /// Seen to be so in a transaction; it stays so.
    is_backfilled: AtomicBool,
}

impl Shared {
    pub(super) fn set_breakpoints(&mut self, breakpoints: Breakpoints) {
        self.breakpoints = Some(breakpoints);
    }

    pub(super) fn set_zone(&mut self, zone: Tz) {
        self.zone = zone;
    }

    pub(super) fn zone(&self) -> Tz {
        self.zone
    }

    fn pass(&self, breakpoint: Breakpoint) {
        if let Some(strike) = &self.breakpoints {
            strike(breakpoint);
        }
    }

    /// After an outage the database may be another one (a restored backup, a promoted replica).
    fn forget_if_unavailable<T>(&self, result: Result<T, WriteError>) -> Result<T, WriteError> {
        if matches!(result, Err(WriteError::Unavailable(_))) {
            self.names.lock().forget();
            self.is_backfilled.store(false, Ordering::Release);
        }
        result
    }

    pub(super) async fn write<B: Backend>(
        &self,
        backend: &B,
        batch: Batch<'_>,
    ) -> Result<Outcome, WriteError> {
        let quick = self.write_once(backend, batch, false).await;
        let written = match quick {
            Ok(None) => self.write_once(backend, batch, true).await,
            other => other,
        };
        self.forget_if_unavailable(written)?.ok_or_else(|| {
            WriteError::Unavailable("the database does not tell which rows are new".into())
        })
    }

    /// `None`: some rid was there already; do it again with `exact`.
    async fn write_once<B: Backend>(
        &self,
        backend: &B,
        batch: Batch<'_>,
        exact: bool,
    ) -> Result<Option<Outcome>, WriteError> {
        let mut transaction = backend.begin(Purpose::Write).await?;
        self.pass(Breakpoint::Begun);
        let cursor = transaction.cursor(batch.node).await?;
        let (settled, mut fresh): (Vec<_>, Vec<_>) =
            batch.entries.iter().partition(|(seq, _)| *seq <= cursor);
        let mut outcome = Outcome::default();
        if let Some((from, _)) = settled.first() {
            let letters = transaction
                .letters_within(batch.node, *from, cursor)
                .await?;
            let rids: Vec<i64> = settled.iter().map(|(_, record)| record.rid).collect();
            let tails = transaction.tails(&rids).await?;
            let mut missing = 0_u64;
            for entry in settled {
                let (seq, record) = entry;
                if letters.contains(&(*seq, Some(record.rid))) {
                    outcome.dead_lettered.push(*seq);
                } else if tails.get(&record.rid).map(|tail| *tail as u64) == Some(record.id_tail) {
                    outcome.skipped += 1;
                } else {
                    // One that was left out as told twice is no row, and will be left out again.
                    missing += u64::from(!is_told(record));
                    fresh.push(entry);
                }
            }
            if missing > 0 {
                tracing::error!(
                    node = batch.node,
                    missing,
                    "the ledger's cursor is past records that are not there; they are written now. Another Steward has \
                     used this node's id on the same database, or this one another data directory"
                );
            }
        }
        outcome.duplicates =
            seen::leave_out(&mut transaction, &mut fresh, batch.now_micros).await?;
        let records = fresh.iter().map(|(_, record)| record);
        let wanted = self.names.lock().wanted(records);
        let learned = transaction.resolve(wanted).await?;
        let rows = self.rows(&fresh, batch.node, &learned)?;
        let (rows, repeated) = distinct(rows);
        let inserted = match transaction.insert(&rows, exact).await? {
            Inserted::Unclear => return Ok(None),
            Inserted::All => None,
            Inserted::Only(rids) => Some(rids),
        };
        self.pass(Breakpoint::RowsInserted);
        let (new, old): (Vec<_>, Vec<_>) = rows.iter().partition(|row| {
            inserted
                .as_ref()
                .is_none_or(|rids| rids.contains(&row.bigs[0]))
        });
        transaction.insert_attempts(&new).await?;
        mark_late(&mut transaction, &new).await?;
        let totals = Totals::of(new.iter().map(|row| row.record));
        transaction.add_totals(batch.node, &totals).await?;
        self.add_rollups(&mut transaction, batch.node, &new).await?;

        let doubtful: Vec<&Row<'_>> = old.into_iter().chain(&repeated).collect();
        let letters = conflicts(&mut transaction, &fresh, &doubtful).await?;
        transaction
            .keep_letters(batch.node, &letters, batch.now_micros)
            .await?;
        if batch.upto_seq > cursor {
            transaction.advance(batch.node, batch.upto_seq).await?;
        }
        outcome.inserted = new.len() as u64;
        outcome.skipped += (doubtful.len() - letters.len()) as u64;
        outcome
            .dead_lettered
            .extend(letters.iter().map(|letter| letter.seq));
        let rids = || new.iter().map(|row| row.bigs[0]);
        outcome.rids = rids().min().zip(rids().max());
        self.pass(Breakpoint::BeforeCommit);
        transaction.commit().await?;
        self.names.lock().merge(learned);
        self.pass(Breakpoint::Committed);
        Ok(Some(outcome))
    }

    fn rows<'a>(
        &self,
        entries: &[&'a (u64, Record)],
        node: u8,
        learned: &Learned,
    ) -> Result<Vec<Row<'a>>, WriteError> {
        let names = self.names.lock();
        entries
            .iter()
            .map(|(_, record)| {
                let resolved = names.resolve(learned, record).ok_or_else(|| {
                    WriteError::Unavailable("a name was forgotten meanwhile".into())
                })?;
                Row::new(record, node, &resolved)
            })
            .collect()
    }

    /// Counts new rows, except those that the back-fill will come to.
    async fn add_rollups<T: Transaction>(
        &self,
        transaction: &mut T,
        node: u8,
        new: &[&Row<'_>],
    ) -> Result<(), WriteError> {
        let part = if self.is_backfilled.load(Ordering::Acquire) {
            Backfill::default()
        } else {
            let part = transaction.backfill(false).await?;
            if part.is_done() {
                self.is_backfilled.store(true, Ordering::Release);
            }
            part
        };
        let counted: Vec<Counted> = new
            .iter()
            .map(|row| Counted::of(row, node))
            .filter(|row| !part.will_count(row.rid))
            .collect();
        transaction.lock_rollups(node).await?;
        for added in rollups::added(&counted, self.zone) {
            transaction.add_rollup(node, added).await?;
        }
        Ok(())
    }

    /// One step of counting what was on the books before there were rollups; `true` when nothing is left.
    pub(super) async fn backfill<B: Backend>(&self, backend: &B) -> Result<bool, WriteError> {
        let mut transaction = backend.begin(Purpose::Write).await?;
        let part = transaction.backfill(true).await?;
        if part.is_done() {
            transaction.commit().await?;
            return Ok(true);
        }
        let rows = transaction.uncounted(part, BACKFILL_ROWS).await?;
        let full = rows.len() as i64 == BACKFILL_ROWS;
        let next = match rows.last() {
            Some(last) if full => last.rid + 1,
            _ => part.below,
        };
        let mut nodes: BTreeMap<u8, Vec<Counted>> = BTreeMap::new();
        for row in rows {
            nodes.entry(row.node).or_default().push(row);
        }
        for (node, rows) in nodes {
            transaction.lock_rollups(node).await?;
            for added in rollups::added(&rows, self.zone) {
                transaction.add_rollup(node, added).await?;
            }
        }
        transaction.set_backfill(next).await?;
        transaction.commit().await?;
        Ok(next >= part.below)
    }

    pub(super) async fn dead_letter<B: Backend>(
        &self,
        backend: &B,
        node: u8,
        letters: &[DeadLetter],
        upto_seq: u64,
        now_micros: i64,
    ) -> Result<(), WriteError> {
        let mut transaction = backend.begin(Purpose::Write).await?;
        transaction.keep_letters(node, letters, now_micros).await?;
        transaction.advance(node, upto_seq).await?;
        transaction.commit().await
    }

    pub(super) async fn replay<B: Backend>(
        &self,
        backend: &B,
        letter: &KeptLetter,
        record: &Record,
        now_micros: i64,
    ) -> Result<bool, WriteError> {
        let mut transaction = backend.begin(Purpose::Aside).await?;
        let entry = (0, record.clone());
        let mut told = vec![&entry];
        seen::leave_out(&mut transaction, &mut told, now_micros).await?;
        if told.is_empty() {
            transaction.mark_replayed(letter.id, now_micros).await?;
            transaction.commit().await?;
            return Ok(true);
        }
        let wanted = self.names.lock().wanted(std::iter::once(record));
        let learned = transaction.resolve(wanted).await?;
        let rows = self.rows(&[&entry], letter.node, &learned)?;
        match transaction.insert(&rows, true).await? {
            Inserted::All => {}
            Inserted::Only(rids) if rids.contains(&record.rid) => {}
            _ => {
                let tails = transaction.tails(&[record.rid]).await?;
                if tails.get(&record.rid) != Some(&rows[0].bigs[1]) {
                    return Ok(false);
                }
                transaction.mark_replayed(letter.id, now_micros).await?;
                transaction.commit().await?;
                return Ok(true);
            }
        }
        let new: Vec<&Row<'_>> = rows.iter().collect();
        transaction.insert_attempts(&new).await?;
        mark_late(&mut transaction, &new).await?;
        let totals = Totals::of(std::iter::once(record));
        transaction.add_totals(letter.node, &totals).await?;
        self.add_rollups(&mut transaction, letter.node, &new)
            .await?;
        transaction.mark_replayed(letter.id, now_micros).await?;
        transaction.commit().await?;
        self.names.lock().merge(learned);
        Ok(true)
    }
}

/// New rows of a month whose archive was begun are in none of its files yet: a letter replayed after weeks, the spool of a
/// node that was away. They are marked, so that they come into a further file and do not go before.
async fn mark_late<T: Transaction>(
    transaction: &mut T,
    new: &[&Row<'_>],
) -> Result<(), WriteError> {
    let rids = || new.iter().map(|row| row.bigs[0]);
    let Some((least, greatest)) = rids().min().zip(rids().max()) else {
        return Ok(());
    };
    let sealed = transaction.sealed(least, greatest).await?;
    let is_late = |rid: &i64| sealed.iter().any(|(from, to)| (*from..*to).contains(rid));
    let late: Vec<i64> = rids().filter(is_late).collect();
    match late.is_empty() {
        true => Ok(()),
        false => transaction.mark_late(&late).await,
    }
}

/// Rows with distinct rids, and those that repeat one of them.
fn distinct(rows: Vec<Row<'_>>) -> (Vec<Row<'_>>, Vec<Row<'_>>) {
    let mut seen = HashSet::with_capacity(rows.len());
    rows.into_iter().partition(|row| seen.insert(row.bigs[0]))
}

/// Of rows whose rid was taken: dead letters for those that are not replays.
async fn conflicts<T: Transaction>(
    transaction: &mut T,
    entries: &[&(u64, Record)],
    doubtful: &[&Row<'_>],
) -> Result<Vec<DeadLetter>, WriteError> {
    if doubtful.is_empty() {
        return Ok(Vec::new());
    }
    let rids: Vec<i64> = doubtful.iter().map(|row| row.bigs[0]).collect();
    let tails = transaction.tails(&rids).await?;
    let strangers: HashSet<(i64, u64)> = doubtful
        .iter()
        .filter(|row| tails.get(&row.bigs[0]) != Some(&row.bigs[1]))
        .map(|row| (row.record.rid, row.record.id_tail))
        .collect();
    Ok(entries
        .iter()
        .filter(|(_, record)| strangers.contains(&(record.rid, record.id_tail)))
        .map(|(seq, record)| DeadLetter {
            seq: *seq,
            rid: Some(record.rid),
            reason: RID_CONFLICT.into(),
            payload: record.encode_to_vec(),
        })
        .collect())
}
