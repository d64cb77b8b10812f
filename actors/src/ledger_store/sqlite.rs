//! SQLite's fast path: cached statements, run row by row on a connection of the driver itself.
//!
//! SQLite is a library: a statement is a function call, and what costs is everything around it. sqlx gives every
//! statement to a thread of the connection and fetches its answer from there, so it pays only with hundreds of rows a
//! statement; here a row is one call of a statement that is already prepared (decision 0017). Nothing waits inside a
//! call: a locked file is tried again from here, without blocking the thread, and once a transaction has begun only
//! the disk can hold it up. The batch writer has a thread of its own for that.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono_tz::Tz;
use rusqlite::types::FromSql;
use rusqlite::{CachedStatement, Connection, ErrorCode, OpenFlags, RowIndex, ToSql, params};
use sea_orm::DatabaseConnection;
use serde_json::json;

use crate::domain::price::PriceBook;
use crate::domain::record::Record;
use steward_entities::database::{
    SQLITE_BUSY_TIMEOUT, SQLITE_WAL_AUTOCHECKPOINT_PAGES, SQLITE_WAL_KEPT_BYTES,
};
use steward_entities::ledger::rollup::{ROLLUPS, RollupTable, SUMS, adding};

use super::line::{Held, Line, Purpose, Source};
use super::names::{ACCOUNTS, DIM_TABLES, Learned, NAME_TABLES, Wanted};
use super::reprice::{Charged, Recharge};
use super::rollups::{
    Added, Backfill, COUNTED_COLUMNS, Counted, charged, charged_columns, counted, merge_stored,
};
use super::row::{self, Row, WIDTH};
use super::seen::{FORGOTTEN_AT_ONCE, RECENT_FORGOTTEN_AT_ONCE};
use super::totals::{Total, Totals};
use super::write::{Backend, Inserted, Shared, Transaction};
use super::{
    Batch, Breakpoints, DeadLetter, KeptLetter, LedgerStore, Outcome, Prepared, WriteError,
};

/// Every statement of a transaction, with room to spare.
const STATEMENTS_KEPT: usize = 96;
/// First and longest pause before a locked file is tried again.
const LOCKED_FIRST: Duration = Duration::from_millis(1);
const LOCKED_MAX: Duration = Duration::from_millis(25);

/// The ledger in a SQLite file.
pub struct SqliteStore {
    backend: Files,
    shared: Shared,
}

struct Files {
    line: Line<File>,
    texts: Texts,
}

/// A closed connection rolls back by itself: sessions need no name.
struct File(PathBuf);

#[async_trait]
impl Source for File {
    type Connection = Connection;
    type Session = ();

    const NEEDS_ITS_RUNTIME: bool = false;

    async fn connect(&self) -> Result<(Connection, ()), WriteError> {
        let connection = Connection::open_with_flags(
            &self.0,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        // Waiting for a locked file is done where it blocks nobody.
        connection.busy_timeout(Duration::ZERO)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "wal_autocheckpoint", SQLITE_WAL_AUTOCHECKPOINT_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", SQLITE_WAL_KEPT_BYTES)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        Ok((connection, ()))
    }

    async fn end(&self, _: &mut Connection, _: &[()]) {}
}

/// The texts of the wide statements, made once.
struct Texts {
    row: String,
    /// By table: what reads a row's histograms, if it has any, and what adds to a row.
    rollups: HashMap<&'static str, (Option<String>, String)>,
}

impl Texts {
    fn new() -> Self {
        Self {
            row: format!(
                "INSERT INTO request_logs ({}) VALUES ({}) ON CONFLICT DO NOTHING",
                row::columns(),
                places(WIDTH)
            ),
            rollups: ROLLUPS
                .iter()
                .map(|table| (table.name, (stored(table), upsert(table))))
                .collect(),
        }
    }
}

fn places(many: usize) -> String {
    vec!["?"; many].join(", ")
}

fn stored(table: &RollupTable) -> Option<String> {
    let keys: String = table
        .keys
        .iter()
        .map(|key| format!(" AND {key} = ?"))
        .collect();
    table.has_histograms.then(|| {
        format!(
            "SELECT duration_histogram, ttft_histogram FROM {} WHERE bucket = ? AND node = ?{keys}",
            table.name
        )
    })
}

fn upsert(table: &RollupTable) -> String {
    let sums = SUMS.map(|sum| adding(sum, ""));
    let (histograms, replaced) = match table.has_histograms {
        true => (
            &["duration_histogram", "ttft_histogram"][..],
            ", duration_histogram = excluded.duration_histogram, ttft_histogram = excluded.ttft_histogram",
        ),
        false => (&[][..], ""),
    };
    let columns = [&["bucket", "node"], table.keys, &SUMS, histograms].concat();
    format!(
        "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO UPDATE SET {}{replaced}",
        table.name,
        columns.join(", "),
        places(columns.len()),
        sums.join(", ")
    )
}

/// Binds a statement's values one after another.
struct Binder<'s, 'c> {
    statement: &'s mut CachedStatement<'c>,
    bound: usize,
}

impl<'s, 'c> Binder<'s, 'c> {
    fn new(statement: &'s mut CachedStatement<'c>) -> Self {
        Self {
            statement,
            bound: 0,
        }
    }

    fn bind(&mut self, value: impl ToSql) -> rusqlite::Result<()> {
        self.bound += 1;
        self.statement.raw_bind_parameter(self.bound, value)
    }

    fn bind_all(&mut self, values: &[i64]) -> rusqlite::Result<()> {
        values.iter().try_for_each(|value| self.bind(value))
    }

    /// Rows changed.
    fn execute(self) -> rusqlite::Result<usize> {
        self.statement.raw_execute()
    }
}

/// A row whose cells are asked for as those of the other drivers are.
struct Cells<'r>(&'r rusqlite::Row<'r>);

impl Cells<'_> {
    fn try_get<T: FromSql, I: RowIndex>(&self, index: I) -> Result<T, rusqlite::Error> {
        self.0.get(index)
    }
}

impl SqliteStore {
    /// `ledger` tells where the file is.
    pub fn new(ledger: &DatabaseConnection) -> Self {
        let options = ledger.get_sqlite_connection_pool().connect_options();
        Self {
            backend: Files {
                line: Line::new(File(options.get_filename().to_path_buf())),
                texts: Texts::new(),
            },
            shared: Shared::default(),
        }
    }

    /// Counts by the hours and days of `zone`; without it those of UTC.
    #[must_use]
    pub fn in_zone(mut self, zone: Tz) -> Self {
        self.shared.set_zone(zone);
        self
    }

    /// Calls `breakpoints` at every step of a transaction. For tests.
    #[must_use]
    pub fn with_breakpoints(mut self, breakpoints: Breakpoints) -> Self {
        self.shared.set_breakpoints(breakpoints);
        self
    }
}

#[async_trait]
impl Backend for Files {
    type Transaction<'b> = SqliteTransaction<'b>;

    async fn begin(&self, purpose: Purpose) -> Result<SqliteTransaction<'_>, WriteError> {
        let held = self.line.acquire(purpose).await?;
        let (since, mut pause) = (Instant::now(), LOCKED_FIRST);
        loop {
            let begun = held.connection().await?.execute_batch("BEGIN IMMEDIATE");
            match begun {
                Ok(()) => break,
                Err(error)
                    if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                        && since.elapsed() < SQLITE_BUSY_TIMEOUT => {}
                Err(error) => {
                    // Nothing was begun.
                    held.finish();
                    return Err(error.into());
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOCKED_MAX);
        }
        Ok(SqliteTransaction {
            held,
            texts: &self.texts,
        })
    }
}

struct SqliteTransaction<'b> {
    held: Held<File>,
    texts: &'b Texts,
}

impl SqliteTransaction<'_> {
    async fn add(
        &mut self,
        table: &str,
        key: &str,
        last: &str,
        node: u8,
        totals: impl Iterator<Item = (&i64, &Total)> + Send,
    ) -> Result<(), WriteError> {
        let connection = self.held.connection().await?;
        let mut statement = connection.prepare_cached(&format!(
            "INSERT INTO {table} ({key}, node, total_requests, total_tokens, {last}) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT DO UPDATE SET total_requests = total_requests + excluded.total_requests, \
             total_tokens = total_tokens + excluded.total_tokens, {last} = max({last}, excluded.{last})"
        ))?;
        for (id, total) in totals {
            statement.execute(params![
                id,
                node,
                total.requests,
                total.tokens,
                total.last_at
            ])?;
        }
        Ok(())
    }
}

#[async_trait]
impl Transaction for SqliteTransaction<'_> {
    async fn cursor(&mut self, node: u8) -> Result<u64, WriteError> {
        let connection = self.held.connection().await?;
        let mut statement =
            connection.prepare_cached("SELECT seq FROM spool_cursors WHERE node = ?")?;
        let mut rows = statement.query([node])?;
        let seq: Option<i64> = rows.next()?.map(|row| row.get(0)).transpose()?;
        Ok(seq.unwrap_or_default() as u64)
    }

    async fn resolve(&mut self, wanted: Wanted) -> Result<Learned, WriteError> {
        let mut learned = Learned::default();
        let connection = self.held.connection().await?;
        for (index, names) in wanted.names.into_iter().enumerate() {
            if names.is_empty() {
                continue;
            }
            let table = NAME_TABLES[index];
            let mut insert = connection.prepare_cached(&format!(
                "INSERT INTO {table} (name) VALUES (?) ON CONFLICT DO NOTHING"
            ))?;
            let mut find =
                connection.prepare_cached(&format!("SELECT id FROM {table} WHERE name = ?"))?;
            for name in names {
                insert.execute([&name])?;
                let id = find.query_row([&name], |row| row.get(0))?;
                learned.names[index].insert(name, id);
            }
        }
        for (index, dims) in wanted.dims.into_iter().enumerate() {
            let table = DIM_TABLES[index];
            let sql = if index == ACCOUNTS {
                format!(
                    "INSERT INTO {table} (id, public_id, name, provider) VALUES (?1, ?2, ?3, ?4) \
                     ON CONFLICT DO UPDATE SET public_id = excluded.public_id, name = excluded.name, \
                     provider = CASE excluded.provider WHEN '' THEN provider ELSE excluded.provider END"
                )
            } else {
                format!(
                    "INSERT INTO {table} (id, public_id, name) VALUES (?, ?, ?) \
                     ON CONFLICT DO UPDATE SET public_id = excluded.public_id, name = excluded.name"
                )
            };
            let mut statement = connection.prepare_cached(&sql)?;
            for (id, dim) in &dims {
                if index == ACCOUNTS {
                    statement.execute(params![id, dim.public_id, dim.name, dim.provider])?;
                } else {
                    statement.execute(params![id, dim.public_id, dim.name])?;
                }
            }
            drop(statement);
            learned.dims[index] = dims;
        }
        Ok(learned)
    }

    /// A row's own answer tells whether it is new: `exact` costs nothing here.
    async fn insert(&mut self, rows: &[Row<'_>], _exact: bool) -> Result<Inserted, WriteError> {
        let connection = self.held.connection().await?;
        let mut statement = connection.prepare_cached(&self.texts.row)?;
        let mut taken = Vec::new();
        for row in rows {
            if insert_row(&mut statement, row)? == 0 {
                taken.push(row.bigs[0]);
            }
        }
        if taken.is_empty() {
            return Ok(Inserted::All);
        }
        let mut new: HashSet<i64> = rows.iter().map(|row| row.bigs[0]).collect();
        for rid in taken {
            new.remove(&rid);
        }
        Ok(Inserted::Only(new))
    }

    async fn insert_attempts(&mut self, rows: &[&Row<'_>]) -> Result<(), WriteError> {
        let connection = self.held.connection().await?;
        let mut statement = connection.prepare_cached(
            "INSERT INTO request_attempts (rid, ordinal, started_at, duration_ms, account_id, status_code, error_code) \
             VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?;
        for row in rows {
            for (ordinal, attempt) in (1_i64..).zip(row.attempts()) {
                let code = row::clean(&attempt.error_code);
                statement.execute(params![
                    row.bigs[0],
                    ordinal,
                    attempt.started_at,
                    attempt.duration_ms,
                    attempt.account_id,
                    attempt.status_code,
                    (!code.is_empty()).then_some(code.as_ref()),
                ])?;
            }
        }
        Ok(())
    }

    async fn tails(&mut self, rids: &[i64]) -> Result<HashMap<i64, i64>, WriteError> {
        let connection = self.held.connection().await?;
        let mut statement =
            connection.prepare_cached("SELECT id_tail FROM request_logs WHERE rid = ?")?;
        let mut tails = HashMap::new();
        for rid in rids {
            if let Some(row) = statement.query([rid])?.next()? {
                tails.insert(*rid, row.get(0)?);
            }
        }
        Ok(tails)
    }

    async fn add_totals(&mut self, node: u8, totals: &Totals) -> Result<(), WriteError> {
        self.add(
            "token_totals",
            "token_id",
            "last_used_at",
            node,
            totals.tokens.iter(),
        )
        .await?;
        self.add(
            "tenant_totals",
            "tenant_id",
            "last_active_at",
            node,
            totals.tenants.iter(),
        )
        .await
    }

    async fn lock_rollups(&mut self, _node: u8) -> Result<(), WriteError> {
        // There is one writing transaction at a time.
        Ok(())
    }

    async fn add_rollup(&mut self, node: u8, added: Added) -> Result<(), WriteError> {
        let Added { table, rows } = added;
        let connection = self.held.connection().await?;
        let Some((stored, upsert)) = self.texts.rollups.get(table.name) else {
            return Ok(());
        };
        let mut stored = stored
            .as_ref()
            .map(|sql| connection.prepare_cached(sql))
            .transpose()?;
        let mut upsert = connection.prepare_cached(upsert)?;
        for ((bucket, keys), mut measures) in rows {
            let keys = &keys[..table.keys.len()];
            if let Some(stored) = &mut stored {
                let mut binder = Binder::new(stored);
                binder.bind(bucket)?;
                binder.bind(node)?;
                binder.bind_all(keys)?;
                let mut found = stored.raw_query();
                if let Some(row) = found.next()? {
                    let bytes =
                        |index| row.get_ref(index)?.as_blob().map_err(rusqlite::Error::from);
                    merge_stored(&mut measures.duration, bytes(0)?, table);
                    merge_stored(&mut measures.ttft, bytes(1)?, table);
                }
            }
            let mut binder = Binder::new(&mut upsert);
            binder.bind(bucket)?;
            binder.bind(node)?;
            binder.bind_all(keys)?;
            binder.bind_all(&measures.sums)?;
            if table.has_histograms {
                binder.bind(measures.duration.encode())?;
                binder.bind(measures.ttft.encode())?;
            }
            binder.execute()?;
        }
        Ok(())
    }

    async fn backfill(&mut self, _exclusive: bool) -> Result<Backfill, WriteError> {
        let connection = self.held.connection().await?;
        let part = connection.query_row(
            "SELECT next_rid, below_rid FROM rollup_backfill WHERE id = 1",
            [],
            |row| {
                Ok(Backfill {
                    next: row.get(0)?,
                    below: row.get(1)?,
                })
            },
        )?;
        Ok(part)
    }

    async fn uncounted(&mut self, part: Backfill, limit: i64) -> Result<Vec<Counted>, WriteError> {
        let connection = self.held.connection().await?;
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {COUNTED_COLUMNS} WHERE l.rid >= ? AND l.rid < ? ORDER BY l.rid LIMIT ?"
        ))?;
        let rows = statement.query_map([part.next, part.below, limit], |row| {
            Ok(counted!(&Cells(row)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    async fn charged(&mut self, rids: &[i64]) -> Result<Vec<Charged>, WriteError> {
        let columns = charged_columns();
        let connection = self.held.connection().await?;
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {columns} WHERE l.rid IN (SELECT value FROM json_each(?)) ORDER BY l.rid"
        ))?;
        let rows =
            statement.query_map([json!(rids).to_string()], |row| Ok(charged!(&Cells(row))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    async fn recharge(&mut self, rows: &[Recharge]) -> Result<(), WriteError> {
        let connection = self.held.connection().await?;
        let mut statement = connection.prepare_cached(
            "UPDATE request_logs SET cost_nano = ?, currency = ?, priced = ?, price_id = ? WHERE rid = ?",
        )?;
        for row in rows {
            statement.execute(params![
                row.cost_nano,
                row.currency,
                row.priced,
                row.price_id,
                row.rid
            ])?;
        }
        Ok(())
    }

    async fn set_backfill(&mut self, next: i64) -> Result<(), WriteError> {
        self.held.connection().await?.execute(
            "UPDATE rollup_backfill SET next_rid = ? WHERE id = 1",
            [next],
        )?;
        Ok(())
    }

    async fn keep_letters(
        &mut self,
        node: u8,
        letters: &[DeadLetter],
        now_micros: i64,
    ) -> Result<(), WriteError> {
        if letters.is_empty() {
            return Ok(());
        }
        let connection = self.held.connection().await?;
        let mut statement = connection.prepare_cached(
            "INSERT INTO dead_letters (node, seq, rid, reason, payload, created_at) \
             VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?;
        for letter in letters {
            statement.execute(params![
                node,
                letter.seq as i64,
                letter.rid,
                row::clean(&letter.reason),
                letter.payload,
                now_micros
            ])?;
        }
        Ok(())
    }

    async fn letters_within(
        &mut self,
        node: u8,
        from: u64,
        to: u64,
    ) -> Result<HashSet<(u64, Option<i64>)>, WriteError> {
        let connection = self.held.connection().await?;
        let mut statement = connection.prepare_cached(
            "SELECT seq, rid FROM dead_letters WHERE node = ? AND seq BETWEEN ? AND ?",
        )?;
        let letters = statement.query_map(params![node, from as i64, to as i64], |row| {
            Ok((row.get::<_, i64>(0)? as u64, row.get(1)?))
        })?;
        Ok(letters.collect::<Result<_, _>>()?)
    }

    async fn seen(&mut self, buckets: &[i64], keys: &[i64]) -> Result<HashSet<i64>, WriteError> {
        let connection = self.held.connection().await?;
        let mut statement =
            connection.prepare_cached("SELECT 1 FROM seen_ids WHERE bucket = ? AND key = ?")?;
        let mut seen = HashSet::new();
        for key in keys {
            for bucket in buckets {
                if statement.exists([bucket, key])? {
                    seen.insert(*key);
                    break;
                }
            }
        }
        Ok(seen)
    }

    async fn see(&mut self, bucket: i64, keys: &[i64]) -> Result<HashSet<i64>, WriteError> {
        let connection = self.held.connection().await?;
        let mut statement = connection.prepare_cached(
            "INSERT INTO seen_ids (bucket, key) VALUES (?, ?) ON CONFLICT DO NOTHING",
        )?;
        let mut new = HashSet::new();
        for key in keys {
            if statement.execute([bucket, *key])? > 0 {
                new.insert(*key);
            }
        }
        Ok(new)
    }

    async fn forget_seen(&mut self, before: i64) -> Result<(), WriteError> {
        let connection = self.held.connection().await?;
        let mut statement = connection.prepare_cached(
            "DELETE FROM seen_ids WHERE (bucket, key) IN \
             (SELECT bucket, key FROM seen_ids WHERE bucket < ? LIMIT ?)",
        )?;
        statement.execute([before, FORGOTTEN_AT_ONCE])?;
        Ok(())
    }

    async fn tellers(&mut self, since: i64) -> Result<HashMap<i64, i64>, WriteError> {
        let connection = self.held.connection().await?;
        let mut statement = connection
            .prepare_cached("SELECT tenant_id, bucket FROM telling_tenants WHERE bucket >= ?")?;
        let tellers = statement.query_map([since], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(tellers.collect::<Result<_, _>>()?)
    }

    async fn lock_tellers(&mut self, _exclusive: bool) -> Result<(), WriteError> {
        // There is one writing transaction at a time.
        Ok(())
    }

    async fn set_teller(&mut self, tenant_id: i64, bucket: i64) -> Result<(), WriteError> {
        self.held.connection().await?.execute(
            "INSERT INTO telling_tenants (tenant_id, bucket) VALUES (?, ?) \
             ON CONFLICT (tenant_id) DO UPDATE SET bucket = max(bucket, excluded.bucket)",
            [tenant_id, bucket],
        )?;
        Ok(())
    }

    async fn keep_recent(&mut self, keys: &[u8], now_micros: i64) -> Result<(), WriteError> {
        let connection = self.held.connection().await?;
        let mut statement =
            connection.prepare_cached("INSERT INTO recent_ids (written_at, keys) VALUES (?, ?)")?;
        statement.execute(params![now_micros, keys])?;
        Ok(())
    }

    async fn recent(
        &mut self,
        since_micros: i64,
        before_id: i64,
        limit: i64,
    ) -> Result<Vec<(i64, Vec<u8>)>, WriteError> {
        let connection = self.held.connection().await?;
        let mut statement = connection.prepare_cached(
            "SELECT id, keys FROM recent_ids WHERE id < ? AND written_at >= ? ORDER BY id DESC LIMIT ?",
        )?;
        let kept = statement.query_map([before_id, since_micros, limit], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        Ok(kept.collect::<Result<_, _>>()?)
    }

    async fn forget_recent(&mut self, before_micros: i64) -> Result<(), WriteError> {
        let connection = self.held.connection().await?;
        let mut statement = connection.prepare_cached(
            "DELETE FROM recent_ids WHERE id IN \
             (SELECT id FROM recent_ids WHERE written_at < ? LIMIT ?)",
        )?;
        statement.execute([before_micros, RECENT_FORGOTTEN_AT_ONCE])?;
        Ok(())
    }

    async fn sealed(&mut self, least: i64, greatest: i64) -> Result<Vec<(i64, i64)>, WriteError> {
        let connection = self.held.connection().await?;
        let mut statement = connection.prepare_cached(
            "SELECT rid_from, rid_to FROM archive_seals WHERE rid_to > ? AND rid_from <= ?",
        )?;
        let months =
            statement.query_map([least, greatest], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(months.collect::<Result<_, _>>()?)
    }

    async fn mark_late(&mut self, rids: &[i64]) -> Result<(), WriteError> {
        let connection = self.held.connection().await?;
        let mut statement = connection
            .prepare_cached("INSERT INTO archive_late (rid) VALUES (?) ON CONFLICT DO NOTHING")?;
        for rid in rids {
            statement.execute([rid])?;
        }
        Ok(())
    }

    async fn mark_replayed(&mut self, id: i64, now_micros: i64) -> Result<(), WriteError> {
        self.held.connection().await?.execute(
            "UPDATE dead_letters SET replayed_at = ? WHERE id = ? AND replayed_at IS NULL",
            [now_micros, id],
        )?;
        Ok(())
    }

    async fn advance(&mut self, node: u8, seq: u64) -> Result<(), WriteError> {
        let connection = self.held.connection().await?;
        let mut statement = connection.prepare_cached(
            "INSERT INTO spool_cursors (node, seq) VALUES (?, ?) \
             ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)",
        )?;
        statement.execute([i64::from(node), seq as i64])?;
        Ok(())
    }

    async fn commit(self) -> Result<(), WriteError> {
        self.held.connection().await?.execute_batch("COMMIT")?;
        self.held.finish();
        Ok(())
    }
}

fn insert_row(statement: &mut CachedStatement<'_>, row: &Row<'_>) -> rusqlite::Result<usize> {
    let mut binder = Binder::new(statement);
    for index in 0..row.bigs.len() {
        binder.bind(row.big(index))?;
    }
    binder.bind(row.status_code)?;
    for small in row.smalls {
        binder.bind(small)?;
    }
    for flag in row.flags {
        binder.bind(flag)?;
    }
    for index in 0..row.texts.len() {
        binder.bind(row.text(index))?;
    }
    binder.execute()
}

#[async_trait]
impl LedgerStore for SqliteStore {
    async fn prepare(&self, _now_ms: i64) -> Result<Prepared, WriteError> {
        Ok(Prepared::default())
    }

    async fn cursor(&self, node: u8) -> Result<u64, WriteError> {
        let mut transaction = self.backend.begin(Purpose::Aside).await?;
        let seq = transaction.cursor(node).await?;
        transaction.commit().await?;
        Ok(seq)
    }

    async fn greatest_rid(&self) -> Result<i64, WriteError> {
        let held = self.backend.line.acquire(Purpose::Aside).await?;
        let rid: Option<i64> =
            held.connection()
                .await?
                .query_row("SELECT max(rid) FROM request_logs", [], |row| row.get(0))?;
        held.finish();
        Ok(rid.unwrap_or_default())
    }

    async fn write(&self, batch: Batch<'_>) -> Result<Outcome, WriteError> {
        self.shared.write(&self.backend, batch).await
    }

    async fn backfill(&self) -> Result<bool, WriteError> {
        self.shared.backfill(&self.backend).await
    }

    async fn dead_letter(
        &self,
        node: u8,
        letters: &[DeadLetter],
        upto_seq: u64,
        now_micros: i64,
    ) -> Result<(), WriteError> {
        self.shared
            .dead_letter(&self.backend, node, letters, upto_seq, now_micros)
            .await
    }

    async fn dead_letters(&self, after_id: i64, limit: u32) -> Result<Vec<KeptLetter>, WriteError> {
        let held = self.backend.line.acquire(Purpose::Aside).await?;
        let letters = {
            let connection = held.connection().await?;
            let mut statement = connection.prepare_cached(
                "SELECT id, node, payload FROM dead_letters WHERE replayed_at IS NULL AND id > ? ORDER BY id LIMIT ?",
            )?;
            let letters = statement.query_map([after_id, i64::from(limit)], |row| {
                Ok(KeptLetter {
                    id: row.get(0)?,
                    node: row.get(1)?,
                    payload: row.get(2)?,
                })
            })?;
            letters.collect::<Result<_, _>>()?
        };
        held.finish();
        Ok(letters)
    }

    async fn replay(
        &self,
        letter: &KeptLetter,
        record: &Record,
        now_micros: i64,
    ) -> Result<bool, WriteError> {
        self.shared
            .replay(&self.backend, letter, record, now_micros)
            .await
    }

    async fn reprice(
        &self,
        rids: &[i64],
        prices: &PriceBook,
        now_micros: i64,
    ) -> Result<u64, WriteError> {
        self.shared
            .reprice(&self.backend, rids, prices, now_micros)
            .await
    }
}
