//! SQLite's fast path: cached multi-row `VALUES` statements on the one writing connection.
//!
//! Chunks have few sizes ([`CHUNK`] rows, then powers of two), so that the statement cache holds them all.
//! The first try only counts the new rows; only when some rid was there already, which is rare, is the
//! transaction done again with `RETURNING`. Names and totals are few: they travel as
//! one JSON array each.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use chrono_tz::Tz;
use sea_orm::DatabaseConnection;
use sea_orm::sqlx::sqlite::{SqliteArguments, SqliteConnection, SqlitePool};
use sea_orm::sqlx::{self, Arguments, AssertSqlSafe, Connection as _, Executor as _, Row as _};
use serde_json::json;

use crate::domain::price::PriceBook;
use crate::domain::record::Record;
use steward_entities::ledger::rollup::{ROLLUPS, SUMS};

use super::line::{Held, Line, Purpose, Source};
use super::names::{ACCOUNTS, DIM_TABLES, Learned, NAME_TABLES, Wanted};
use super::reprice::{Charged, Recharge};
use super::rollups::{
    Added, Backfill, COUNTED_COLUMNS, Counted, charged, charged_columns, counted, merge_stored,
};
use super::row::{self, Row, TEXTS_NOT_NULL, WIDTH};
use super::seen::FORGOTTEN_AT_ONCE;
use super::totals::{Total, Totals};
use super::write::{Backend, Inserted, Shared, Transaction};
use super::{
    Batch, Breakpoints, DeadLetter, KeptLetter, LedgerStore, Outcome, Prepared, WriteError,
};

/// Rows of a full statement: 500 × 40 binds stay below SQLite's 32,766.
const CHUNK: usize = 500;
const ATTEMPT_WIDTH: usize = 7;

/// The ledger in a SQLite file.
pub struct SqliteStore {
    backend: Files,
    shared: Shared,
}

struct Files {
    line: Line<File>,
    statements: Arc<Statements>,
}

/// A closed connection rolls back by itself: sessions need no name.
struct File(SqlitePool);

#[async_trait]
impl Source for File {
    type Connection = SqliteConnection;
    type Session = ();

    async fn connect(&self) -> Result<(SqliteConnection, ()), WriteError> {
        let connection = SqliteConnection::connect_with(&self.0.connect_options()).await?;
        Ok((connection, ()))
    }

    async fn end(&self, _: &mut SqliteConnection, _: &[()]) {}
}

/// The texts of the multi-row statements, made once.
struct Statements {
    rows: HashMap<usize, Arc<str>>,
    rows_returning: HashMap<usize, Arc<str>>,
    attempts: HashMap<usize, Arc<str>>,
    /// By table and number of rows.
    rollups: HashMap<(&'static str, usize), Arc<str>>,
}

impl Statements {
    fn new() -> Self {
        let columns = row::columns();
        let rows = |suffix: &str| {
            sizes()
                .map(|size| {
                    let values = values(size, WIDTH);
                    let sql = format!(
                        "INSERT INTO request_logs ({columns}) VALUES {values} ON CONFLICT DO NOTHING{suffix}"
                    );
                    (size, Arc::from(sql))
                })
                .collect()
        };
        let attempts = sizes()
            .map(|size| {
                let values = values(size, ATTEMPT_WIDTH);
                let sql = format!(
                    "INSERT INTO request_attempts (rid, ordinal, started_at, duration_ms, account_id, status_code, error_code) \
                     VALUES {values} ON CONFLICT DO NOTHING"
                );
                (size, Arc::from(sql))
            })
            .collect();
        Self {
            rows: rows(""),
            rows_returning: rows(" RETURNING rid"),
            attempts,
            rollups: rollups(),
        }
    }
}

fn rollups() -> HashMap<(&'static str, usize), Arc<str>> {
    let sums: Vec<String> = SUMS
        .iter()
        .map(|sum| format!("{sum} = {sum} + excluded.{sum}"))
        .collect();
    let mut statements = HashMap::new();
    for table in ROLLUPS {
        let columns = [&["bucket", "node"][..], table.keys, &SUMS].concat();
        let (histograms, replaced) = match table.has_histograms {
            true => (
                &["duration_histogram", "ttft_histogram"][..],
                ", duration_histogram = excluded.duration_histogram, ttft_histogram = excluded.ttft_histogram",
            ),
            false => (&[][..], ""),
        };
        let columns = [&columns[..], histograms].concat();
        for size in sizes() {
            let sql = format!(
                "INSERT INTO {} ({}) VALUES {} ON CONFLICT DO UPDATE SET {}{replaced}",
                table.name,
                columns.join(", "),
                values(size, columns.len()),
                sums.join(", ")
            );
            statements.insert((table.name, size), Arc::from(sql));
        }
    }
    statements
}

fn sizes() -> impl Iterator<Item = usize> {
    (0..9).map(|power| 1 << power).chain([CHUNK])
}

fn values(rows: usize, width: usize) -> String {
    let one = format!("({})", vec!["?"; width].join(","));
    vec![one; rows].join(",")
}

/// Cuts `items` into slices whose lengths are all among [`sizes`].
fn chunks<T>(mut items: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = match items.len() {
            0 => return None,
            many if many >= CHUNK => CHUNK,
            few => 1 << few.ilog2(),
        };
        let (chunk, rest) = items.split_at(size);
        items = rest;
        Some(chunk)
    })
}

fn bound(error: sqlx::error::BoxDynError) -> WriteError {
    WriteError::Data(error.to_string())
}

impl SqliteStore {
    /// `ledger` tells how to connect.
    pub fn new(ledger: &DatabaseConnection) -> Self {
        Self {
            backend: Files {
                line: Line::new(File(ledger.get_sqlite_connection_pool().clone())),
                statements: Arc::new(Statements::new()),
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
    type Transaction = SqliteTransaction;

    async fn begin(&self, purpose: Purpose) -> Result<SqliteTransaction, WriteError> {
        let held = self.line.acquire(purpose).await?;
        let begun = held.connection().await?.execute("BEGIN IMMEDIATE").await;
        if let Err(error) = begun {
            if matches!(error, sqlx::Error::Database(_)) {
                // Busy: nothing was begun.
                held.finish();
            }
            return Err(error.into());
        }
        Ok(SqliteTransaction {
            held,
            statements: Arc::clone(&self.statements),
        })
    }
}

struct SqliteTransaction {
    held: Held<File>,
    statements: Arc<Statements>,
}

impl SqliteTransaction {
    async fn with_json(&mut self, sql: String, array: serde_json::Value) -> Result<(), WriteError> {
        sqlx::query(AssertSqlSafe(sql))
            .bind(array.to_string())
            .execute(&mut *self.held.connection().await?)
            .await?;
        Ok(())
    }

    async fn add(
        &mut self,
        table: &str,
        key: &str,
        last: &str,
        node: u8,
        totals: impl Iterator<Item = (&i64, &Total)> + Send,
    ) -> Result<(), WriteError> {
        let rows: Vec<_> = totals
            .map(|(id, total)| json!([id, node, total.requests, total.tokens, total.last_at]))
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "INSERT INTO {table} ({key}, node, total_requests, total_tokens, {last}) \
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?) WHERE TRUE \
             ON CONFLICT DO UPDATE SET total_requests = total_requests + excluded.total_requests, \
             total_tokens = total_tokens + excluded.total_tokens, {last} = max({last}, excluded.{last})"
        );
        self.with_json(sql, rows.into()).await
    }
}

#[async_trait]
impl Transaction for SqliteTransaction {
    async fn cursor(&mut self, node: u8) -> Result<u64, WriteError> {
        let seq: Option<i64> = sqlx::query_scalar("SELECT seq FROM spool_cursors WHERE node = ?")
            .bind(i64::from(node))
            .fetch_optional(&mut *self.held.connection().await?)
            .await?;
        Ok(seq.unwrap_or_default() as u64)
    }

    async fn resolve(&mut self, wanted: Wanted) -> Result<Learned, WriteError> {
        let mut learned = Learned::default();
        for (index, names) in wanted.names.iter().enumerate() {
            if names.is_empty() {
                continue;
            }
            let table = NAME_TABLES[index];
            self.with_json(
                format!("INSERT INTO {table} (name) SELECT value FROM json_each(?) WHERE TRUE ON CONFLICT DO NOTHING"),
                json!(names),
            )
            .await?;
            let sql = format!(
                "SELECT id, name FROM {table} WHERE name IN (SELECT value FROM json_each(?))"
            );
            let rows = sqlx::query(AssertSqlSafe(sql))
                .bind(json!(names).to_string())
                .fetch_all(&mut *self.held.connection().await?)
                .await?;
            for row in rows {
                learned.names[index].insert(row.try_get(1)?, row.try_get(0)?);
            }
        }
        for (index, dims) in wanted.dims.into_iter().enumerate() {
            if dims.is_empty() {
                continue;
            }
            let table = DIM_TABLES[index];
            let rows: Vec<_> = dims
                .iter()
                .map(|(id, dim)| json!([id, dim.public_id, dim.name, dim.provider]))
                .collect();
            let sql = if index == ACCOUNTS {
                format!(
                    "INSERT INTO {table} (id, public_id, name, provider) \
                     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?) WHERE TRUE \
                     ON CONFLICT DO UPDATE SET public_id = excluded.public_id, name = excluded.name, \
                     provider = CASE excluded.provider WHEN '' THEN provider ELSE excluded.provider END"
                )
            } else {
                format!(
                    "INSERT INTO {table} (id, public_id, name) \
                     SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?) WHERE TRUE \
                     ON CONFLICT DO UPDATE SET public_id = excluded.public_id, name = excluded.name"
                )
            };
            self.with_json(sql, rows.into()).await?;
            learned.dims[index] = dims;
        }
        Ok(learned)
    }

    async fn insert(&mut self, rows: &[Row<'_>], exact: bool) -> Result<Inserted, WriteError> {
        let statements = Arc::clone(&self.statements);
        let mut taken = HashSet::new();
        let mut count = 0;
        for chunk in chunks(rows) {
            let arguments = bind_rows(chunk)?;
            if exact {
                let sql = Arc::clone(&statements.rows_returning[&chunk.len()]);
                let rids: Vec<i64> = sqlx::query_scalar_with(AssertSqlSafe(sql), arguments)
                    .fetch_all(&mut *self.held.connection().await?)
                    .await?;
                taken.extend(rids);
            } else {
                let sql = Arc::clone(&statements.rows[&chunk.len()]);
                count += sqlx::query_with(AssertSqlSafe(sql), arguments)
                    .execute(&mut *self.held.connection().await?)
                    .await?
                    .rows_affected() as usize;
            }
        }
        Ok(if exact {
            Inserted::Only(taken)
        } else if count == rows.len() {
            Inserted::All
        } else {
            Inserted::Unclear
        })
    }

    async fn insert_attempts(&mut self, rows: &[&Row<'_>]) -> Result<(), WriteError> {
        let statements = Arc::clone(&self.statements);
        let attempts: Vec<(i64, i64, &crate::domain::record::Attempt)> = rows
            .iter()
            .flat_map(|row| {
                let rid = row.bigs[0];
                (1..)
                    .zip(row.attempts())
                    .map(move |(ordinal, attempt)| (rid, ordinal, attempt))
            })
            .collect();
        for chunk in chunks(&attempts) {
            let mut arguments = SqliteArguments::default();
            arguments.reserve(chunk.len() * ATTEMPT_WIDTH, 0);
            for (rid, ordinal, attempt) in chunk {
                for value in [
                    *rid,
                    *ordinal,
                    attempt.started_at,
                    attempt.duration_ms,
                    attempt.account_id,
                ] {
                    arguments.add(value).map_err(bound)?;
                }
                arguments.add(attempt.status_code).map_err(bound)?;
                let code = row::clean(&attempt.error_code);
                arguments
                    .add((!code.is_empty()).then_some(code))
                    .map_err(bound)?;
            }
            let sql = Arc::clone(&statements.attempts[&chunk.len()]);
            sqlx::query_with(AssertSqlSafe(sql), arguments)
                .execute(&mut *self.held.connection().await?)
                .await?;
        }
        Ok(())
    }

    async fn tails(&mut self, rids: &[i64]) -> Result<HashMap<i64, i64>, WriteError> {
        let rows = sqlx::query(
            "SELECT rid, id_tail FROM request_logs WHERE rid IN (SELECT value FROM json_each(?))",
        )
        .bind(json!(rids).to_string())
        .fetch_all(&mut *self.held.connection().await?)
        .await?;
        let mut tails = HashMap::new();
        for row in rows {
            tails.insert(row.try_get(0)?, row.try_get(1)?);
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
        let Added { table, mut rows } = added;
        if rows.is_empty() {
            return Ok(());
        }
        if table.has_histograms {
            let wanted: Vec<_> = rows
                .iter()
                .map(|((bucket, keys), _)| json!([bucket, keys]))
                .collect();
            let on: String = (0..)
                .zip(table.keys)
                .map(|(at, key)| format!(" AND t.{key} = w.value ->> '$[1][{at}]'"))
                .collect();
            let sql = format!(
                "SELECT w.key, t.duration_histogram, t.ttft_histogram FROM json_each(?) w CROSS JOIN {} t \
                 ON t.bucket = w.value ->> '$[0]'{on} AND t.node = ?",
                table.name
            );
            let stored = sqlx::query(AssertSqlSafe(sql))
                .bind(json!(wanted).to_string())
                .bind(i64::from(node))
                .fetch_all(&mut *self.held.connection().await?)
                .await?;
            for stored in stored {
                let (_, measures) = &mut rows[stored.try_get::<i64, _>(0)? as usize];
                merge_stored(&mut measures.duration, stored.try_get(1)?, table);
                merge_stored(&mut measures.ttft, stored.try_get(2)?, table);
            }
        }
        let statements = Arc::clone(&self.statements);
        for chunk in chunks(&rows) {
            let mut arguments = SqliteArguments::default();
            for ((bucket, keys), measures) in chunk {
                arguments.add(*bucket).map_err(bound)?;
                arguments.add(i64::from(node)).map_err(bound)?;
                for key in &keys[..table.keys.len()] {
                    arguments.add(*key).map_err(bound)?;
                }
                for sum in measures.sums {
                    arguments.add(sum).map_err(bound)?;
                }
                if table.has_histograms {
                    arguments.add(measures.duration.encode()).map_err(bound)?;
                    arguments.add(measures.ttft.encode()).map_err(bound)?;
                }
            }
            let sql = Arc::clone(&statements.rollups[&(table.name, chunk.len())]);
            sqlx::query_with(AssertSqlSafe(sql), arguments)
                .execute(&mut *self.held.connection().await?)
                .await?;
        }
        Ok(())
    }

    async fn backfill(&mut self, _exclusive: bool) -> Result<Backfill, WriteError> {
        let row = sqlx::query("SELECT next_rid, below_rid FROM rollup_backfill WHERE id = 1")
            .fetch_one(&mut *self.held.connection().await?)
            .await?;
        Ok(Backfill {
            next: row.try_get(0)?,
            below: row.try_get(1)?,
        })
    }

    async fn uncounted(&mut self, part: Backfill, limit: i64) -> Result<Vec<Counted>, WriteError> {
        let sql = format!(
            "SELECT {COUNTED_COLUMNS} WHERE l.rid >= ? AND l.rid < ? ORDER BY l.rid LIMIT ?"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(part.next)
            .bind(part.below)
            .bind(limit)
            .fetch_all(&mut *self.held.connection().await?)
            .await?;
        rows.iter().map(|row| Ok(counted!(row))).collect()
    }

    async fn charged(&mut self, rids: &[i64]) -> Result<Vec<Charged>, WriteError> {
        let columns = charged_columns();
        let sql = format!(
            "SELECT {columns} WHERE l.rid IN (SELECT value FROM json_each(?)) ORDER BY l.rid"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(json!(rids).to_string())
            .fetch_all(&mut *self.held.connection().await?)
            .await?;
        rows.iter().map(|row| Ok(charged!(row))).collect()
    }

    async fn recharge(&mut self, rows: &[Recharge]) -> Result<(), WriteError> {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| {
                json!([
                    row.rid,
                    row.cost_nano,
                    row.currency,
                    row.priced,
                    row.price_id
                ])
            })
            .collect();
        self.with_json(
            "UPDATE request_logs SET cost_nano = x.value ->> 1, currency = x.value ->> 2, \
             priced = x.value ->> 3, price_id = x.value ->> 4 FROM json_each(?) x \
             WHERE request_logs.rid = x.value ->> 0"
                .to_owned(),
            rows.into(),
        )
        .await
    }

    async fn set_backfill(&mut self, next: i64) -> Result<(), WriteError> {
        sqlx::query("UPDATE rollup_backfill SET next_rid = ? WHERE id = 1")
            .bind(next)
            .execute(&mut *self.held.connection().await?)
            .await?;
        Ok(())
    }

    async fn keep_letters(
        &mut self,
        node: u8,
        letters: &[DeadLetter],
        now_micros: i64,
    ) -> Result<(), WriteError> {
        for letter in letters {
            sqlx::query(
                "INSERT INTO dead_letters (node, seq, rid, reason, payload, created_at) \
                 VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            )
            .bind(i64::from(node))
            .bind(letter.seq as i64)
            .bind(letter.rid)
            .bind(row::clean(&letter.reason).into_owned())
            .bind(letter.payload.clone())
            .bind(now_micros)
            .execute(&mut *self.held.connection().await?)
            .await?;
        }
        Ok(())
    }

    async fn letters_within(
        &mut self,
        node: u8,
        from: u64,
        to: u64,
    ) -> Result<HashSet<u64>, WriteError> {
        let seqs: Vec<i64> = sqlx::query_scalar(
            "SELECT seq FROM dead_letters WHERE node = ? AND seq BETWEEN ? AND ?",
        )
        .bind(i64::from(node))
        .bind(from as i64)
        .bind(to as i64)
        .fetch_all(&mut *self.held.connection().await?)
        .await?;
        Ok(seqs.into_iter().map(|seq| seq as u64).collect())
    }

    async fn seen(&mut self, buckets: &[i64], keys: &[i64]) -> Result<HashSet<i64>, WriteError> {
        let keys: Vec<i64> = sqlx::query_scalar(
            "SELECT s.key FROM json_each(?) b CROSS JOIN json_each(?) k CROSS JOIN seen_ids s \
             ON s.bucket = b.value AND s.key = k.value",
        )
        .bind(json!(buckets).to_string())
        .bind(json!(keys).to_string())
        .fetch_all(&mut *self.held.connection().await?)
        .await?;
        Ok(HashSet::from_iter(keys))
    }

    async fn see(&mut self, bucket: i64, keys: &[i64]) -> Result<HashSet<i64>, WriteError> {
        let new: Vec<i64> = sqlx::query_scalar(
            "INSERT INTO seen_ids (bucket, key) SELECT ?, value FROM json_each(?) WHERE TRUE \
             ON CONFLICT DO NOTHING RETURNING key",
        )
        .bind(bucket)
        .bind(json!(keys).to_string())
        .fetch_all(&mut *self.held.connection().await?)
        .await?;
        Ok(HashSet::from_iter(new))
    }

    async fn forget_seen(&mut self, before: i64) -> Result<(), WriteError> {
        sqlx::query(
            "DELETE FROM seen_ids WHERE (bucket, key) IN \
             (SELECT bucket, key FROM seen_ids WHERE bucket < ? LIMIT ?)",
        )
        .bind(before)
        .bind(FORGOTTEN_AT_ONCE)
        .execute(&mut *self.held.connection().await?)
        .await?;
        Ok(())
    }

    async fn mark_replayed(&mut self, id: i64, now_micros: i64) -> Result<(), WriteError> {
        sqlx::query("UPDATE dead_letters SET replayed_at = ? WHERE id = ? AND replayed_at IS NULL")
            .bind(now_micros)
            .bind(id)
            .execute(&mut *self.held.connection().await?)
            .await?;
        Ok(())
    }

    async fn advance(&mut self, node: u8, seq: u64) -> Result<(), WriteError> {
        sqlx::query(
            "INSERT INTO spool_cursors (node, seq) VALUES (?, ?) \
             ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)",
        )
        .bind(i64::from(node))
        .bind(seq as i64)
        .execute(&mut *self.held.connection().await?)
        .await?;
        Ok(())
    }

    async fn commit(self) -> Result<(), WriteError> {
        self.held.connection().await?.execute("COMMIT").await?;
        self.held.finish();
        Ok(())
    }
}

fn bind_rows(rows: &[Row<'_>]) -> Result<SqliteArguments, WriteError> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(rows.len() * WIDTH, 0);
    for row in rows {
        for index in 0..row.bigs.len() {
            arguments.add(row.big(index)).map_err(bound)?;
        }
        arguments.add(row.status_code).map_err(bound)?;
        for small in row.smalls {
            arguments.add(i32::from(small)).map_err(bound)?;
        }
        for flag in row.flags {
            arguments.add(flag).map_err(bound)?;
        }
        for index in 0..row.texts.len() {
            let text = row.text(index);
            debug_assert!(index >= TEXTS_NOT_NULL || text.is_some());
            arguments.add(text).map_err(bound)?;
        }
    }
    Ok(arguments)
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
        let rid: Option<i64> = sqlx::query_scalar("SELECT max(rid) FROM request_logs")
            .fetch_one(&mut *held.connection().await?)
            .await?;
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
        let rows = sqlx::query(
            "SELECT id, node, payload FROM dead_letters WHERE replayed_at IS NULL AND id > ? ORDER BY id LIMIT ?",
        )
        .bind(after_id)
        .bind(i64::from(limit))
        .fetch_all(&mut *held.connection().await?)
        .await?;
        held.finish();
        rows.iter()
            .map(|row| {
                Ok(KeptLetter {
                    id: row.try_get(0)?,
                    node: row.try_get::<i64, _>(1)? as u8,
                    payload: row.try_get(2)?,
                })
            })
            .collect()
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
