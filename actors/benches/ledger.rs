//! Rows per CPU-second of the ledger beside a raw prepared insert of the same rows, in one run.
//!
//! `cargo bench -p steward-actors --bench ledger [rows]`; PostgreSQL (client CPU only, and wall-clock) when
//! `STEWARD_BENCH_POSTGRES_URL` names a server whose user may create databases. The raw loop binds a cached
//! statement row by row on the driver itself, one transaction a batch, with the same durability settings.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program for people"
)]

use std::time::{Duration, Instant};

use rusqlite::types::Value;
use sea_orm::ConnectionTrait;
use sea_orm::sqlx::{self, AssertSqlSafe};
use steward_actors::domain::record::Record;
use steward_actors::ledger_store::{Batch, LedgerStore, open};
use steward_migration::testing::{POSTGRES_URL_VARIABLE, TestDatabase};

#[path = "../tests/ledger/records.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod records;

use records::{NODE, NOW_MS, record};

/// CPU time of this process.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

struct Measured {
    cpu: Duration,
    wall: Duration,
}

impl Measured {
    fn rows_per_cpu_second(&self, rows: u64) -> f64 {
        rows as f64 / self.cpu.as_secs_f64()
    }
}

fn entries(rows: u64) -> Vec<(u64, Record)> {
    (1..=rows).map(|n| (n, record(n))).collect()
}

/// Which tables the raw loop fills.
#[derive(Clone, Copy, PartialEq)]
enum Raw {
    Rows,
    RowsAndAttempts,
}

/// The values of a row in the order of the table, as the store writes them (references by hand).
fn row(record: &Record) -> Vec<Value> {
    let text = |text: &str| {
        if text.is_empty() {
            Value::Null
        } else {
            Value::Text(text.to_owned())
        }
    };
    let mut values: Vec<Value> = [
        record.rid,
        record.id_tail as i64,
        record.request_at,
        record.response_at,
        record.token_id,
        record.account_id,
        record.tenant_id,
        record.rid % 3,
        record.rid % 200,
        1,
        2,
        record.price_id,
        record.duration_ms,
    ]
    .map(Value::Integer)
    .to_vec();
    values.push(record.ttft_ms.map_or(Value::Null, Value::Integer));
    values.extend(
        [
            record.prompt_tokens,
            record.completion_tokens,
            record.total_tokens,
            record.cached_tokens,
            record.cache_write_tokens,
            record.reasoning_tokens,
            record.cost_nano,
            i64::from(record.status_code),
            i64::from(record.mode),
            i64::from(record.operation),
            i64::from(record.source),
            i64::from(NODE),
            record.attempts.len() as i64,
            i64::from(record.stream),
            i64::from(record.usage_estimated),
            i64::from(record.priced),
            i64::from(record.success),
        ]
        .map(Value::Integer),
    );
    values.push(Value::Text(record.provider.clone()));
    values.push(Value::Text(record.currency.clone()));
    values.extend([
        text(&record.error_code),
        text(&record.error_message),
        text(&record.conversation_id),
        text(&record.client_ip),
        text(&record.upstream_request_id),
    ]);
    values
}

async fn raw_sqlite(rows: u64, batch: usize, what: Raw) -> Measured {
    let database = TestDatabase::sqlite().await;
    let mut connection = rusqlite::Connection::open(database.dir().join("ledger.db")).unwrap();
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;")
        .unwrap();
    let entries = entries(rows);
    let placeholders = vec!["?"; 38].join(",");
    // The last columns tell a lone attempt and a prompt; this loop writes rows for attempts, as it is told to.
    let insert =
        format!("INSERT INTO request_logs VALUES ({placeholders}, NULL, NULL, NULL, NULL)");
    let (from, started) = (cpu(), Instant::now());
    for batch in entries.chunks(batch) {
        let transaction = connection.transaction().unwrap();
        {
            let mut statement = transaction.prepare_cached(&insert).unwrap();
            for (_, record) in batch {
                statement
                    .execute(rusqlite::params_from_iter(row(record)))
                    .unwrap();
            }
            if what == Raw::RowsAndAttempts {
                let mut statement = transaction
                    .prepare_cached("INSERT INTO request_attempts VALUES (?, ?, ?, ?, ?, ?, ?)")
                    .unwrap();
                for (_, record) in batch {
                    for (ordinal, attempt) in record.attempts.iter().enumerate() {
                        statement
                            .execute(rusqlite::params![
                                record.rid,
                                attempt.started_at,
                                attempt.duration_ms,
                                attempt.account_id,
                                attempt.status_code,
                                ordinal as i64 + 1,
                                (!attempt.error_code.is_empty()).then_some(&attempt.error_code),
                            ])
                            .unwrap();
                    }
                }
            }
        }
        transaction.commit().unwrap();
    }
    Measured {
        cpu: cpu() - from,
        wall: started.elapsed(),
    }
}

/// `attempts`: as the gateway writes them, or left out to measure the rows alone.
async fn store(database: TestDatabase, rows: u64, batch: usize, attempts: bool) -> Measured {
    let store = open(&database.ledger, chrono_tz::Tz::UTC);
    store.prepare(NOW_MS).await.unwrap();
    let mut entries = entries(rows);
    if !attempts {
        for (_, record) in &mut entries {
            record.attempts.clear();
        }
    }
    let (from, started) = (cpu(), Instant::now());
    for part in entries.chunks(batch) {
        write(&*store, part).await;
    }
    Measured {
        cpu: cpu() - from,
        wall: started.elapsed(),
    }
}

async fn write(store: &dyn LedgerStore, entries: &[(u64, Record)]) {
    let outcome = store
        .write(Batch {
            node: NODE,
            entries,
            upto_seq: entries.last().map_or(0, |(seq, _)| *seq),
            now_micros: 0,
        })
        .await
        .unwrap();
    assert_eq!(outcome.inserted, entries.len() as u64);
}

/// The same rows through a single prepared statement, row by row.
async fn raw_postgres(rows: u64, batch: usize) -> Measured {
    let database = TestDatabase::postgres().await;
    open(&database.ledger, chrono_tz::Tz::UTC)
        .prepare(NOW_MS)
        .await
        .unwrap();
    let pool = database.ledger.get_postgres_connection_pool();
    let placeholders: Vec<String> = (1..=4).map(|index| format!("${index}")).collect();
    let sql = format!(
        "INSERT INTO request_logs (rid, id_tail, request_at, response_at, token_id, account_id, tenant_id, app_id, \
         end_user_id, model_id, upstream_model_id, price_id, duration_ms, ttft_ms, prompt_tokens, completion_tokens, \
         total_tokens, cost_nano, status_code, operation, node, attempts, stream, priced, success, provider, currency) \
         VALUES ({}, 1, 1, 1, 1, 1, 1, 1, 4, 1000, 320, 900, 100, 1000, 195000, 200, 1, 3, 1, TRUE, TRUE, TRUE, 'openai', 'USD')",
        placeholders.join(", ")
    );
    let entries = entries(rows);
    let (from, started) = (cpu(), Instant::now());
    for batch in entries.chunks(batch) {
        let mut transaction = pool.begin().await.unwrap();
        for (_, record) in batch {
            sqlx::query(AssertSqlSafe(sql.clone()))
                .bind(record.rid)
                .bind(record.id_tail as i64)
                .bind(record.request_at)
                .bind(record.response_at)
                .execute(&mut *transaction)
                .await
                .unwrap();
        }
        transaction.commit().await.unwrap();
    }
    Measured {
        cpu: cpu() - from,
        wall: started.elapsed(),
    }
}

async fn bytes_per_row(rows: u64, attempts: bool) -> f64 {
    let database = TestDatabase::sqlite().await;
    let store = open(&database.ledger, chrono_tz::Tz::UTC);
    let before = pages(&database).await;
    let mut entries = entries(rows);
    if !attempts {
        for (_, record) in &mut entries {
            record.attempts.clear();
        }
    }
    for part in entries.chunks(5_000) {
        write(&*store, part).await;
    }
    (pages(&database).await - before) as f64 / rows as f64
}

async fn pages(database: &TestDatabase) -> i64 {
    database
        .ledger
        .execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)")
        .await
        .unwrap();
    let pages = records::number(&database.ledger, "PRAGMA page_count").await;
    pages * records::number(&database.ledger, "PRAGMA page_size").await
}

fn best(mut rounds: Vec<Measured>) -> Measured {
    rounds.sort_by_key(|round| round.cpu);
    rounds.swap_remove(0)
}

fn main() {
    let rows: u64 = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .next()
        .unwrap_or(100_000);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure(rows));
}

async fn measure(rows: u64) {
    const ROUNDS: usize = 3;
    println!(
        "sqlite, bytes a row with indexes: {:.0}; with one attempt each: {:.0}",
        bytes_per_row(rows, false).await,
        bytes_per_row(rows, true).await
    );
    println!("{rows} rows, best of {ROUNDS}, rows per CPU-second (synchronous = FULL)");
    for batch in [1_000, 5_000] {
        let (mut raw, mut raw_all, mut lean, mut full) = (vec![], vec![], vec![], vec![]);
        for _ in 0..ROUNDS {
            raw.push(raw_sqlite(rows, batch, Raw::Rows).await);
            lean.push(store(TestDatabase::sqlite().await, rows, batch, false).await);
            raw_all.push(raw_sqlite(rows, batch, Raw::RowsAndAttempts).await);
            full.push(store(TestDatabase::sqlite().await, rows, batch, true).await);
        }
        let noise = {
            let rates = raw.iter().map(|round| round.rows_per_cpu_second(rows));
            let (low, high) = (
                rates.clone().fold(f64::MAX, f64::min),
                rates.fold(0.0, f64::max),
            );
            (high / low - 1.0) * 100.0
        };
        let rate = |rounds| best(rounds).rows_per_cpu_second(rows);
        let (raw, raw_all, lean, full) = (rate(raw), rate(raw_all), rate(lean), rate(full));
        println!("sqlite, batch {batch} (raw varies by {noise:.0} %)");
        println!("  raw prepared, rows                     {raw:>9.0}");
        println!(
            "  store, rows + totals + names + cursor  {lean:>9.0}  {:.2} of raw",
            lean / raw
        );
        println!("  raw prepared, rows + attempts          {raw_all:>9.0}");
        println!(
            "  store, the same + attempts             {full:>9.0}  {:.2} of raw with attempts, {:.2} of raw rows",
            full / raw_all,
            full / raw
        );
    }
    if std::env::var_os("STEWARD_BENCH_POSTGRES_URL").is_none() {
        println!(
            "postgres: set STEWARD_BENCH_POSTGRES_URL (and {POSTGRES_URL_VARIABLE} to the same) to measure it"
        );
        return;
    }
    let few = (rows / 10).max(1_000);
    let raw = raw_postgres(few, 1_000).await;
    println!(
        "postgres, raw prepared row by row   {:>9.0} rows per client CPU-second, {:>8.0} rows/s",
        raw.rows_per_cpu_second(few),
        few as f64 / raw.wall.as_secs_f64()
    );
    for batch in [1_000, 5_000] {
        for attempts in [false, true] {
            let measured = store(TestDatabase::postgres().await, rows, batch, attempts).await;
            println!(
                "postgres, store, batch {batch}{:<11} {:>9.0} rows per client CPU-second, {:>8.0} rows/s",
                if attempts { " + attempts" } else { "" },
                measured.rows_per_cpu_second(rows),
                rows as f64 / measured.wall.as_secs_f64()
            );
        }
    }
}
