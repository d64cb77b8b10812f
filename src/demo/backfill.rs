//! Writes the history through the ledger's own door, batch by batch, as a node of its own; what was said before the rows
//! it belongs to.
//!
//! The records have a node number that no Steward of the demonstration runs under, so that this node's cursor
//! tells exactly how far the history has come: each batch moves it in the transaction of its rows. A start that
//! finds it half-way makes the same records again, skips those below the cursor and goes on.

use std::time::Instant;

use chrono::{DateTime, Datelike as _};
use sea_orm::DbErr;
use steward_actors::contents::store::{ContentStore, StoreError};
use steward_actors::domain::price::PriceBook;
use steward_actors::domain::record::Record;
use steward_actors::ledger_store::{Batch, LedgerStore, WriteError};
use steward_actors::snapshot_source::price_row;
use steward_entities::database::{Databases, begin_write};
use steward_entities::{instance, price};

use super::history::Past;
use super::stock::Stocked;
use super::talks;

/// Rows of `instance`: which history it is, and that it is complete.
const PLAN: &str = "demo_history";
const DONE: &str = "demo_history_done";
/// Records of one transaction.
const BATCH: usize = 5_000;

/// Why the history is not complete.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    #[error("the history's place in the database cannot be used: {0}")]
    Database(#[from] DbErr),
    #[error("the history cannot be written: {0}")]
    Ledger(#[from] WriteError),
    #[error("the history's conversations cannot be written: {0}")]
    Contents(#[from] StoreError),
    #[error(
        "the database remembers no history that this version can go on with; delete it and start anew"
    )]
    Plan,
}

/// How far the history has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Of `hours`.
    pub hour: u64,
    pub hours: u64,
    /// Records on the books.
    pub records: u64,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Filled {
    /// Written now; 0 when the history was complete.
    pub written: u64,
    pub seconds: f64,
}

/// Completes the history. `wanted` holds for the first start; a later one goes on with what was begun then.
///
/// # Errors
/// The database does not take it; the next start goes on where this one stopped.
pub async fn fill(
    databases: &Databases,
    store: &dyn LedgerStore,
    contents: &ContentStore,
    stocked: &Stocked,
    wanted: Past,
    mut tell: impl FnMut(Progress),
) -> Result<Filled, BackfillError> {
    let began = Instant::now();
    let txn = begin_write(&databases.control).await?;
    let text = instance::insert_if_absent(&txn, PLAN, &written(&wanted)).await?;
    let done = instance::get(&txn, DONE).await?.is_some();
    txn.commit().await?;
    let past = read(&text).ok_or(BackfillError::Plan)?;
    let mut filled = Filled {
        written: 0,
        seconds: 0.0,
    };
    if done {
        return Ok(filled);
    }
    prepare_months(store, &past).await?;
    let rows = price::all(&databases.control_read).await?;
    let prices = PriceBook::new(rows.into_iter().filter_map(price_row));
    let cursor = store.cursor(past.node).await?;
    let mut seq = 0;
    let mut batch: Vec<(u64, Record)> = Vec::with_capacity(2 * BATCH);
    let mut said = Vec::new();
    for hour in 0..past.hours() {
        let records = past.hour(hour, stocked);
        if seq + records.len() as u64 > cursor {
            said.extend(talks::of_hour(past.seed, &records, stocked));
        }
        for mut record in records {
            seq += 1;
            if seq > cursor {
                prices.price(&mut record);
                batch.push((seq, record));
            }
        }
        if batch.len() < BATCH && hour + 1 < past.hours() {
            continue;
        }
        // Before their rows: a history that stops in between writes both again, and a content is stored once.
        contents.write(&said).await?;
        said.clear();
        for part in batch.chunks(BATCH) {
            let Some((upto_seq, last)) = part.last() else {
                continue;
            };
            let outcome = store
                .write(Batch {
                    node: past.node,
                    entries: part,
                    upto_seq: *upto_seq,
                    now_micros: last.response_at,
                })
                .await?;
            filled.written += outcome.inserted;
        }
        batch.clear();
        tell(Progress {
            hour: hour + 1,
            hours: past.hours(),
            records: seq,
        });
    }
    let txn = begin_write(&databases.control).await?;
    instance::put(&txn, DONE, "true").await?;
    txn.commit().await?;
    filled.seconds = began.elapsed().as_secs_f64();
    Ok(filled)
}

/// Partitions of the months gone by: the ledger itself only makes those to come.
async fn prepare_months(store: &dyn LedgerStore, past: &Past) -> Result<(), BackfillError> {
    const DAY_MS: i64 = 86_400_000;
    let mut prepared = None;
    for day in 0..=i64::from(past.days) {
        let at_ms = past.begin_ms() + day * DAY_MS;
        let month = DateTime::from_timestamp_millis(at_ms).map(|at| (at.year(), at.month()));
        if month != prepared {
            store.prepare(at_ms).await?;
            prepared = month;
        }
    }
    Ok(())
}

fn written(past: &Past) -> String {
    format!(
        "1 {} {} {} {} {}",
        past.seed, past.end_ms, past.days, past.live_per_1000s, past.node
    )
}

fn read(text: &str) -> Option<Past> {
    let mut words = text.split(' ');
    if words.next() != Some("1") {
        return None;
    }
    Some(Past {
        seed: words.next()?.parse().ok()?,
        end_ms: words.next()?.parse().ok()?,
        days: words.next()?.parse().ok()?,
        live_per_1000s: words.next()?.parse().ok()?,
        node: words.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use sea_orm::{ConnectionTrait as _, Statement};
    use steward_actors::ledger_store::{Breakpoint, Breakpoints, PostgresStore, SqliteStore, open};
    use steward_migration::testing::TestDatabase;

    use super::*;
    use crate::demo::history::tests::{PAST, stocked};
    use crate::testing::contents_store;

    const SHORT: Past = Past {
        days: 3,
        live_per_1000s: 50,
        ..PAST
    };

    /// Rows, the tokens' totals, and the cursor.
    async fn books(database: &TestDatabase) -> (i64, i64, i64) {
        let ask = async |sql: &str| {
            let backend = database.ledger.get_database_backend();
            let row = database
                .ledger
                .query_one_raw(Statement::from_string(backend, sql));
            row.await
                .unwrap()
                .unwrap()
                .try_get_by_index::<i64>(0)
                .unwrap()
        };
        (
            ask("SELECT count(*) FROM request_logs").await,
            ask("SELECT CAST(sum(total_requests) AS BIGINT) FROM token_totals").await,
            ask("SELECT seq FROM spool_cursors WHERE node = 255").await,
        )
    }

    async fn an_interrupted_history_goes_on(
        database: TestDatabase,
        failing: impl Fn(&TestDatabase, Breakpoints) -> Arc<dyn LedgerStore>,
    ) {
        let stocked = stocked(&database).await;
        let due: u64 = (0..SHORT.hours())
            .map(|hour| SHORT.hour(hour, &stocked).len() as u64)
            .sum();
        assert!(due > 2 * BATCH as u64, "{due}");
        // It breaks in the middle of the second batch.
        let begun = Arc::new(AtomicU32::new(0));
        let breakpoints: Breakpoints = {
            let begun = Arc::clone(&begun);
            Arc::new(move |point| {
                if point == Breakpoint::RowsInserted && begun.fetch_add(1, Ordering::SeqCst) == 1 {
                    panic!("killed here");
                }
            })
        };
        let contents = contents_store(&database);
        let store = failing(&database, breakpoints);
        let killed = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(fill(
            &database,
            store.as_ref(),
            &contents,
            &stocked,
            SHORT,
            |_| {},
        )));
        assert!(killed.await.is_err());
        drop(store);

        let store = open(&database.ledger, chrono_tz::Tz::UTC);
        // What is asked for now does not matter: the history was begun.
        let later = Past {
            end_ms: SHORT.end_ms + 3_600_000,
            days: 4,
            ..SHORT
        };
        let mut told = Vec::new();
        let tell = |progress| told.push(progress);
        let filled = fill(&database, store.as_ref(), &contents, &stocked, later, tell)
            .await
            .unwrap();
        assert_eq!(filled.written, due - BATCH as u64);
        assert_eq!(told.last().unwrap().records, due);
        let due = due as i64;
        assert_eq!(books(&database).await, (due, due, due));
        // What was said is there once, too.
        let kept = contents.totals().await.unwrap().contents;
        let expected: usize = (0..SHORT.hours())
            .map(|hour| talks::of_hour(SHORT.seed, &SHORT.hour(hour, &stocked), &stocked).len())
            .sum();
        assert!(expected > 10, "{expected}");
        assert_eq!(kept, expected as i64);
        let again = fill(
            &database,
            store.as_ref(),
            &contents,
            &stocked,
            SHORT,
            |_| {},
        )
        .await;
        assert_eq!(again.unwrap().written, 0);
        assert_eq!(books(&database).await, (due, due, due));
    }

    #[actix_web::test]
    async fn an_interrupted_history_goes_on_where_it_stopped() {
        an_interrupted_history_goes_on(TestDatabase::sqlite().await, |database, breakpoints| {
            Arc::new(SqliteStore::new(&database.ledger).with_breakpoints(breakpoints))
        })
        .await;
    }

    #[actix_web::test]
    async fn an_interrupted_history_goes_on_where_it_stopped_postgres() {
        an_interrupted_history_goes_on(TestDatabase::postgres().await, |database, breakpoints| {
            Arc::new(PostgresStore::new(&database.ledger).with_breakpoints(breakpoints))
        })
        .await;
    }
}
