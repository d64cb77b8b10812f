//! PostgreSQL's fast path: `UNNEST` arrays for ordinary batches, binary `COPY` into a temporary staging table
//! above [`COPY_FROM`] rows (a small `COPY` stalls; none knows `ON CONFLICT`).
//!
//! Also makes the monthly partitions: the writer lives long enough to see the month change, a migration
//! does not. Rows no month claims land in the default partition and are reported.

mod columns;
mod partitions;
mod session;

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use chrono_tz::Tz;
use sea_orm::DatabaseConnection;
use sea_orm::sqlx::{self, AssertSqlSafe, Executor as _, Row as _};

use crate::domain::price::PriceBook;
use crate::domain::record::Record;
use steward_entities::ledger::rollup::{SUMS, adding};

use super::line::{Held, Line, Purpose};
use super::names::{ACCOUNTS, DIM_TABLES, Learned, NAME_TABLES, Wanted};
use super::reprice::{Charged, Recharge};
use super::rollups::{
    Added, Backfill, COUNTED_COLUMNS, Counted, charged, charged_columns, counted, merge_stored,
};
use super::row::{self, Row};
use super::seen::{FORGOTTEN_AT_ONCE, RECENT_FORGOTTEN_AT_ONCE};
use super::totals::{Total, Totals};
use super::write::{Backend, Inserted, Shared, Transaction};
use super::{
    Batch, Breakpoints, DeadLetter, KeptLetter, LedgerStore, Outcome, Prepared, WriteError,
};

use session::Sessions;

/// From so many rows on, `COPY` is faster than `UNNEST`.
const COPY_FROM: usize = 1_500;
/// Class of the advisory locks on nodes' rollups. Any number that nobody else uses.
pub(super) const ROLLUPS_LOCK: i32 = 0x5374_526c;
/// Of the advisory lock on which tenants tell from outside.
const TELLERS_LOCK: i32 = 0x5374_546c;

/// The ledger in a PostgreSQL schema.
pub struct PostgresStore {
    backend: Server,
    shared: Shared,
}

struct Server {
    line: Line<Sessions>,
}

impl PostgresStore {
    /// `ledger` tells how to connect.
    pub fn new(ledger: &DatabaseConnection) -> Self {
        Self {
            backend: Server {
                line: Line::new(Sessions(ledger.get_postgres_connection_pool().clone())),
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
impl Backend for Server {
    type Transaction<'b> = PostgresTransaction;

    async fn begin(&self, purpose: Purpose) -> Result<PostgresTransaction, WriteError> {
        let held = self.line.acquire(purpose).await?;
        held.connection().await?.execute("BEGIN").await?;
        Ok(PostgresTransaction { held })
    }
}

struct PostgresTransaction {
    held: Held<Sessions>,
}

impl PostgresTransaction {
    async fn add(
        &mut self,
        table: &str,
        key: &str,
        last: &str,
        node: u8,
        totals: &std::collections::BTreeMap<i64, Total>,
    ) -> Result<(), WriteError> {
        if totals.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "INSERT INTO {table} AS t ({key}, node, total_requests, total_tokens, {last}) \
             SELECT k, $2, r, n, l FROM UNNEST($1::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS x(k, r, n, l) \
             ON CONFLICT ({key}, node) DO UPDATE SET total_requests = t.total_requests + excluded.total_requests, \
             total_tokens = t.total_tokens + excluded.total_tokens, {last} = greatest(t.{last}, excluded.{last})"
        );
        let each = |field: fn(&Total) -> i64| totals.values().map(field).collect::<Vec<i64>>();
        sqlx::query(AssertSqlSafe(sql))
            .bind(totals.keys().copied().collect::<Vec<i64>>())
            .bind(i32::from(node))
            .bind(each(|total| total.requests))
            .bind(each(|total| total.tokens))
            .bind(each(|total| total.last_at))
            .execute(&mut *self.held.connection().await?)
            .await?;
        Ok(())
    }
}

#[async_trait]
impl Transaction for PostgresTransaction {
    async fn cursor(&mut self, node: u8) -> Result<u64, WriteError> {
        let seq: Option<i64> =
            sqlx::query_scalar("SELECT seq FROM spool_cursors WHERE node = $1 FOR UPDATE")
                .bind(i32::from(node))
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
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            sqlx::query(AssertSqlSafe(format!(
                "INSERT INTO {table} (name) SELECT UNNEST($1::text[]) ON CONFLICT DO NOTHING"
            )))
            .bind(&names)
            .execute(&mut *self.held.connection().await?)
            .await?;
            let rows = sqlx::query(AssertSqlSafe(format!(
                "SELECT id, name FROM {table} WHERE name = ANY($1::text[])"
            )))
            .bind(&names)
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
            let (provider, unnest, update) = if index == ACCOUNTS {
                (
                    ", provider",
                    ", $4::text[]",
                    ", provider = CASE excluded.provider WHEN '' THEN d.provider ELSE excluded.provider END",
                )
            } else {
                ("", "", "")
            };
            let sql = format!(
                "INSERT INTO {table} AS d (id, public_id, name{provider}) \
                 SELECT * FROM UNNEST($1::bigint[], $2::text[], $3::text[]{unnest}) \
                 ON CONFLICT (id) DO UPDATE SET public_id = excluded.public_id, name = excluded.name{update}"
            );
            let mut query = sqlx::query(AssertSqlSafe(sql))
                .bind(dims.keys().copied().collect::<Vec<i64>>())
                .bind(
                    dims.values()
                        .map(|dim| dim.public_id.clone())
                        .collect::<Vec<_>>(),
                )
                .bind(
                    dims.values()
                        .map(|dim| dim.name.clone())
                        .collect::<Vec<_>>(),
                );
            if index == ACCOUNTS {
                query = query.bind(
                    dims.values()
                        .map(|dim| dim.provider.clone())
                        .collect::<Vec<_>>(),
                );
            }
            query.execute(&mut *self.held.connection().await?).await?;
            learned.dims[index] = dims;
        }
        Ok(learned)
    }

    async fn insert(&mut self, rows: &[Row<'_>], exact: bool) -> Result<Inserted, WriteError> {
        if rows.is_empty() {
            return Ok(Inserted::All);
        }
        let into = if rows.len() >= COPY_FROM {
            columns::copy_into_stage(&mut *self.held.connection().await?, rows).await?;
            columns::insert_from_stage()
        } else {
            columns::insert_from_arrays()
        };
        let returning = if exact { " RETURNING rid" } else { "" };
        let sql = AssertSqlSafe(format!("{into} ON CONFLICT DO NOTHING{returning}"));
        let arguments = if rows.len() >= COPY_FROM {
            sqlx::postgres::PgArguments::default()
        } else {
            columns::arrays(rows)?
        };
        if exact {
            let rids: Vec<i64> = sqlx::query_scalar_with(sql, arguments)
                .fetch_all(&mut *self.held.connection().await?)
                .await?;
            return Ok(Inserted::Only(HashSet::from_iter(rids)));
        }
        let count = sqlx::query_with(sql, arguments)
            .execute(&mut *self.held.connection().await?)
            .await?
            .rows_affected();
        Ok(if count == rows.len() as u64 {
            Inserted::All
        } else {
            Inserted::Unclear
        })
    }

    async fn insert_attempts(&mut self, rows: &[&Row<'_>]) -> Result<(), WriteError> {
        let mut attempts = columns::Attempts::default();
        for row in rows {
            for (ordinal, attempt) in (1_i16..).zip(row.attempts()) {
                attempts.push(row.bigs[0], ordinal, attempt);
            }
        }
        if attempts.is_empty() {
            return Ok(());
        }
        Ok(attempts.insert(&mut *self.held.connection().await?).await?)
    }

    async fn tails(&mut self, rids: &[i64]) -> Result<HashMap<i64, i64>, WriteError> {
        let rows =
            sqlx::query("SELECT rid, id_tail FROM request_logs WHERE rid = ANY($1::bigint[])")
                .bind(rids)
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
            &totals.tokens,
        )
        .await?;
        self.add(
            "tenant_totals",
            "tenant_id",
            "last_active_at",
            node,
            &totals.tenants,
        )
        .await
    }

    async fn lock_rollups(&mut self, node: u8) -> Result<(), WriteError> {
        sqlx::query("SELECT pg_advisory_xact_lock($1, $2)")
            .bind(ROLLUPS_LOCK)
            .bind(i32::from(node))
            .execute(&mut *self.held.connection().await?)
            .await?;
        Ok(())
    }

    async fn add_rollup(&mut self, node: u8, added: Added) -> Result<(), WriteError> {
        let Added { table, mut rows } = added;
        if rows.is_empty() {
            return Ok(());
        }
        let column = |at: usize| -> Vec<i64> {
            rows.iter()
                .map(|((bucket, keys), _)| if at == 0 { *bucket } else { keys[at - 1] })
                .collect()
        };
        let keys: Vec<Vec<i64>> = (0..=table.keys.len()).map(column).collect();
        let names: Vec<&str> = std::iter::once("bucket")
            .chain(table.keys.iter().copied())
            .collect();
        let arrays = |from: usize, count: usize| -> String {
            let arrays: Vec<String> = (from..from + count)
                .map(|at| format!("${at}::bigint[]"))
                .collect();
            arrays.join(", ")
        };
        if table.has_histograms {
            let sql = format!(
                "SELECT w.at, t.duration_histogram, t.ttft_histogram FROM UNNEST({}) WITH ORDINALITY AS w ({}, at) \
                 JOIN {} t USING ({}) WHERE t.node = $1",
                arrays(2, names.len()),
                names.join(", "),
                table.name,
                names.join(", ")
            );
            let mut query = sqlx::query(AssertSqlSafe(sql)).bind(i64::from(node));
            for values in &keys {
                query = query.bind(values);
            }
            let stored = query.fetch_all(&mut *self.held.connection().await?).await?;
            for stored in stored {
                let (_, measures) = &mut rows[stored.try_get::<i64, _>(0)? as usize - 1];
                merge_stored(&mut measures.duration, stored.try_get(1)?, table);
                merge_stored(&mut measures.ttft, stored.try_get(2)?, table);
            }
        }
        let numbers = [&names[..], &SUMS].concat();
        let sums = SUMS.map(|sum| adding(sum, "t."));
        let (blobs, blob_arrays, replaced) = match table.has_histograms {
            true => (
                ", duration_histogram, ttft_histogram",
                format!(
                    ", ${}::bytea[], ${}::bytea[]",
                    numbers.len() + 2,
                    numbers.len() + 3
                ),
                ", duration_histogram = excluded.duration_histogram, ttft_histogram = excluded.ttft_histogram",
            ),
            false => ("", String::new(), ""),
        };
        let sql = format!(
            "INSERT INTO {table} AS t (node, {numbers}{blobs}) \
             SELECT $1, x.* FROM UNNEST({arrays}{blob_arrays}) AS x ({numbers}{blobs}) \
             ON CONFLICT ({keys}, node) DO UPDATE SET {sums}{replaced}",
            table = table.name,
            arrays = arrays(2, numbers.len()),
            numbers = numbers.join(", "),
            keys = names.join(", "),
            sums = sums.join(", ")
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(i64::from(node));
        for values in keys {
            query = query.bind(values);
        }
        for at in 0..SUMS.len() {
            let sums: Vec<i64> = rows.iter().map(|(_, measures)| measures.sums[at]).collect();
            query = query.bind(sums);
        }
        if table.has_histograms {
            let durations: Vec<Vec<u8>> = rows.iter().map(|(_, m)| m.duration.encode()).collect();
            let ttfts: Vec<Vec<u8>> = rows.iter().map(|(_, m)| m.ttft.encode()).collect();
            query = query.bind(durations).bind(ttfts);
        }
        query.execute(&mut *self.held.connection().await?).await?;
        Ok(())
    }

    async fn backfill(&mut self, exclusive: bool) -> Result<Backfill, WriteError> {
        let lock = if exclusive { "UPDATE" } else { "SHARE" };
        let row = sqlx::query(AssertSqlSafe(format!(
            "SELECT next_rid, below_rid FROM rollup_backfill WHERE id = 1 FOR {lock}"
        )))
        .fetch_one(&mut *self.held.connection().await?)
        .await?;
        Ok(Backfill {
            next: row.try_get(0)?,
            below: row.try_get(1)?,
        })
    }

    async fn uncounted(&mut self, part: Backfill, limit: i64) -> Result<Vec<Counted>, WriteError> {
        let sql = format!(
            "SELECT {COUNTED_COLUMNS} WHERE l.rid >= $1 AND l.rid < $2 ORDER BY l.rid LIMIT $3"
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
            "SELECT {columns} WHERE l.rid = ANY($1::bigint[]) ORDER BY l.rid FOR UPDATE OF l"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(rids)
            .fetch_all(&mut *self.held.connection().await?)
            .await?;
        rows.iter().map(|row| Ok(charged!(row))).collect()
    }

    async fn recharge(&mut self, rows: &[Recharge]) -> Result<(), WriteError> {
        let each = |field: fn(&Recharge) -> i64| rows.iter().map(field).collect::<Vec<i64>>();
        let currencies: Vec<&str> = rows.iter().map(|row| row.currency).collect();
        let priced: Vec<bool> = rows.iter().map(|row| row.priced).collect();
        sqlx::query(
            "UPDATE request_logs l SET cost_nano = x.cost, currency = x.currency, priced = x.priced, \
             price_id = x.price FROM UNNEST($1::bigint[], $2::bigint[], $3::text[], $4::boolean[], $5::bigint[]) \
             AS x (rid, cost, currency, priced, price) WHERE l.rid = x.rid",
        )
        .bind(each(|row| row.rid))
        .bind(each(|row| row.cost_nano))
        .bind(currencies)
        .bind(priced)
        .bind(each(|row| row.price_id))
        .execute(&mut *self.held.connection().await?)
        .await?;
        Ok(())
    }

    async fn set_backfill(&mut self, next: i64) -> Result<(), WriteError> {
        sqlx::query("UPDATE rollup_backfill SET next_rid = $1 WHERE id = 1")
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
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            )
            .bind(i32::from(node))
            .bind(letter.seq as i64)
            .bind(letter.rid)
            .bind(row::clean(&letter.reason).into_owned())
            .bind(&letter.payload)
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
    ) -> Result<HashSet<(u64, Option<i64>)>, WriteError> {
        let letters: Vec<(i64, Option<i64>)> = sqlx::query_as(
            "SELECT seq, rid FROM dead_letters WHERE node = $1 AND seq BETWEEN $2 AND $3",
        )
        .bind(i32::from(node))
        .bind(from as i64)
        .bind(to as i64)
        .fetch_all(&mut *self.held.connection().await?)
        .await?;
        let letters = letters.into_iter();
        Ok(letters.map(|(seq, rid)| (seq as u64, rid)).collect())
    }

    async fn seen(&mut self, buckets: &[i64], keys: &[i64]) -> Result<HashSet<i64>, WriteError> {
        let keys: Vec<i64> = sqlx::query_scalar(
            "SELECT key FROM seen_ids WHERE bucket = ANY($1::bigint[]) AND key = ANY($2::bigint[])",
        )
        .bind(buckets)
        .bind(keys)
        .fetch_all(&mut *self.held.connection().await?)
        .await?;
        Ok(HashSet::from_iter(keys))
    }

    async fn see(&mut self, bucket: i64, keys: &[i64]) -> Result<HashSet<i64>, WriteError> {
        let new: Vec<i64> = sqlx::query_scalar(
            "INSERT INTO seen_ids (bucket, key) SELECT $1, UNNEST($2::bigint[]) \
             ON CONFLICT DO NOTHING RETURNING key",
        )
        .bind(bucket)
        .bind(keys)
        .fetch_all(&mut *self.held.connection().await?)
        .await?;
        Ok(HashSet::from_iter(new))
    }

    async fn forget_seen(&mut self, before: i64) -> Result<(), WriteError> {
        // Skipping what another node is taking away, so that nobody waits.
        sqlx::query(
            "DELETE FROM seen_ids WHERE (bucket, key) IN \
             (SELECT bucket, key FROM seen_ids WHERE bucket < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
        )
        .bind(before)
        .bind(FORGOTTEN_AT_ONCE)
        .execute(&mut *self.held.connection().await?)
        .await?;
        Ok(())
    }

    async fn tellers(&mut self, since: i64) -> Result<HashMap<i64, i64>, WriteError> {
        let tellers: Vec<(i64, i64)> =
            sqlx::query_as("SELECT tenant_id, bucket FROM telling_tenants WHERE bucket >= $1")
                .bind(since)
                .fetch_all(&mut *self.held.connection().await?)
                .await?;
        Ok(tellers.into_iter().collect())
    }

    async fn lock_tellers(&mut self, exclusive: bool) -> Result<(), WriteError> {
        let sql = if exclusive {
            "SELECT pg_advisory_xact_lock($1, 0)"
        } else {
            "SELECT pg_advisory_xact_lock_shared($1, 0)"
        };
        sqlx::query(sql)
            .bind(TELLERS_LOCK)
            .execute(&mut *self.held.connection().await?)
            .await?;
        Ok(())
    }

    async fn set_teller(&mut self, tenant_id: i64, bucket: i64) -> Result<(), WriteError> {
        sqlx::query(
            "INSERT INTO telling_tenants AS t (tenant_id, bucket) VALUES ($1, $2) \
             ON CONFLICT (tenant_id) DO UPDATE SET bucket = greatest(t.bucket, excluded.bucket)",
        )
        .bind(tenant_id)
        .bind(bucket)
        .execute(&mut *self.held.connection().await?)
        .await?;
        Ok(())
    }

    async fn keep_recent(&mut self, keys: &[u8], now_micros: i64) -> Result<(), WriteError> {
        sqlx::query("INSERT INTO recent_ids (written_at, keys) VALUES ($1, $2)")
            .bind(now_micros)
            .bind(keys)
            .execute(&mut *self.held.connection().await?)
            .await?;
        Ok(())
    }

    async fn recent(
        &mut self,
        since_micros: i64,
        before_id: i64,
        limit: i64,
    ) -> Result<Vec<(i64, Vec<u8>)>, WriteError> {
        let kept = sqlx::query_as(
            "SELECT id, keys FROM recent_ids WHERE id < $1 AND written_at >= $2 ORDER BY id DESC LIMIT $3",
        )
        .bind(before_id)
        .bind(since_micros)
        .bind(limit)
        .fetch_all(&mut *self.held.connection().await?)
        .await?;
        Ok(kept)
    }

    async fn forget_recent(&mut self, before_micros: i64) -> Result<(), WriteError> {
        sqlx::query(
            "DELETE FROM recent_ids WHERE id IN \
             (SELECT id FROM recent_ids WHERE written_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
        )
        .bind(before_micros)
        .bind(RECENT_FORGOTTEN_AT_ONCE)
        .execute(&mut *self.held.connection().await?)
        .await?;
        Ok(())
    }

    async fn sealed(&mut self, least: i64, greatest: i64) -> Result<Vec<(i64, i64)>, WriteError> {
        let months = sqlx::query_as(
            "SELECT rid_from, rid_to FROM archive_seals WHERE rid_to > $1 AND rid_from <= $2",
        )
        .bind(least)
        .bind(greatest)
        .fetch_all(&mut *self.held.connection().await?)
        .await?;
        Ok(months)
    }

    async fn mark_late(&mut self, rids: &[i64]) -> Result<(), WriteError> {
        sqlx::query(
            "INSERT INTO archive_late (rid) SELECT UNNEST($1::bigint[]) ON CONFLICT DO NOTHING",
        )
        .bind(rids)
        .execute(&mut *self.held.connection().await?)
        .await?;
        Ok(())
    }

    async fn mark_replayed(&mut self, id: i64, now_micros: i64) -> Result<(), WriteError> {
        sqlx::query(
            "UPDATE dead_letters SET replayed_at = $1 WHERE id = $2 AND replayed_at IS NULL",
        )
        .bind(now_micros)
        .bind(id)
        .execute(&mut *self.held.connection().await?)
        .await?;
        Ok(())
    }

    async fn advance(&mut self, node: u8, seq: u64) -> Result<(), WriteError> {
        sqlx::query(
            "INSERT INTO spool_cursors AS c (node, seq) VALUES ($1, $2) \
             ON CONFLICT (node) DO UPDATE SET seq = greatest(c.seq, excluded.seq)",
        )
        .bind(i32::from(node))
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

#[async_trait]
impl LedgerStore for PostgresStore {
    async fn prepare(&self, now_ms: i64) -> Result<Prepared, WriteError> {
        let held = self.backend.line.acquire(Purpose::Write).await?;
        let prepared = partitions::ensure(&mut *held.connection().await?, now_ms).await?;
        held.finish();
        Ok(prepared)
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
            "SELECT id, node, payload FROM dead_letters WHERE replayed_at IS NULL AND id > $1 ORDER BY id LIMIT $2",
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
                    node: row.try_get::<i32, _>(1)? as u8,
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
