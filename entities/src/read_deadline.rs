//! Reads of SQLite files are given up after a while, as a PostgreSQL server gives up those that are sent to it.
//!
//! A file has a handful of readers. One that looks through ten million rows for a caller who left long ago would be
//! missing to everybody else. SQLite asks its progress handler now and then while it works; the handler knows when the
//! connection was handed out, so that a question that is one statement has its time to itself. Whoever keeps a connection
//! for as long as it takes says so ([`unhurried`]).

use std::time::{Duration, Instant};

use sea_orm::sqlx::pool::PoolOptions;
use sea_orm::sqlx::sqlite::SqliteConnection;
use sea_orm::sqlx::{Error, Sqlite};
use sea_orm::{DbErr, RuntimeErr};

/// Instructions of SQLite's machine between two looks at the clock: well below a millisecond.
const OPERATIONS: i32 = 10_000;

tokio::task_local! {
    static UNHURRIED: ();
}

/// Connections that `work` is handed out on SQLite have no deadline: for a transaction that reads everything.
pub async fn unhurried<F: Future>(work: F) -> F::Output {
    UNHURRIED.scope((), work).await
}

/// Reads through this pool end `deadline` after their connection was handed out.
pub(crate) fn bounded(options: PoolOptions<Sqlite>, deadline: Duration) -> PoolOptions<Sqlite> {
    options
        .after_connect(move |connection, _| Box::pin(begin(connection, deadline)))
        .before_acquire(move |connection, _| {
            Box::pin(async move {
                begin(connection, deadline).await?;
                Ok(true)
            })
        })
}

async fn begin(connection: &mut SqliteConnection, deadline: Duration) -> Result<(), Error> {
    let is_unhurried = UNHURRIED.try_with(|()| ()).is_ok();
    let mut handle = connection.lock_handle().await?;
    if is_unhurried {
        handle.remove_progress_handler();
    } else {
        let begun = Instant::now();
        handle.set_progress_handler(OPERATIONS, move || begun.elapsed() < deadline);
    }
    Ok(())
}

/// Whether a read was given up because it took too long.
pub fn is_overdue(error: &DbErr) -> bool {
    const SQLITE_INTERRUPT: &str = "9";
    const POSTGRES_QUERY_CANCELED: &str = "57014";
    let (DbErr::Query(RuntimeErr::SqlxError(error)) | DbErr::Exec(RuntimeErr::SqlxError(error))) =
        error
    else {
        return false;
    };
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == SQLITE_INTERRUPT || code == POSTGRES_QUERY_CANCELED)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

    use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement, TransactionTrait};
    use steward_migration::testing::TestDatabase;

    use super::*;
    use crate::database::sqlite_readers_within;

    /// Some millions of the machine's instructions.
    const LONG: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) \
                        SELECT count(*) FROM n";

    async fn readers(deadline: Duration) -> (tempfile::TempDir, DatabaseConnection) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("read.db");
        std::fs::File::create(&file).unwrap();
        let read = sqlite_readers_within(&file, 1, deadline).await.unwrap();
        (directory, read)
    }

    async fn ask(connection: &impl ConnectionTrait, sql: &str) -> Result<i64, DbErr> {
        let statement = Statement::from_string(connection.get_database_backend(), sql);
        let row = connection.query_one_raw(statement).await?;
        row.unwrap().try_get_by_index(0)
    }

    #[tokio::test]
    async fn a_read_that_takes_too_long_is_given_up_and_the_next_is_not() {
        let (_directory, read) = readers(Duration::ZERO).await;
        for _ in 0..3 {
            let error = ask(&read, LONG).await.unwrap_err();
            assert!(is_overdue(&error), "{error:?}");
            assert_eq!(ask(&read, "SELECT 7").await.unwrap(), 7);
        }
        let (_directory, read) = readers(Duration::from_secs(600)).await;
        assert_eq!(ask(&read, LONG).await.unwrap(), 300_000);
    }

    #[tokio::test]
    async fn the_time_begins_when_the_connection_is_handed_out() {
        let deadline = Duration::from_millis(1_500);
        let (_directory, read) = readers(deadline).await;
        assert_eq!(ask(&read, "SELECT 7").await.unwrap(), 7);
        // Longer ago than the deadline, on the same connection.
        tokio::time::sleep(deadline + Duration::from_millis(100)).await;
        assert_eq!(
            ask(&read, &LONG.replace("300000", "20000")).await.unwrap(),
            20_000
        );
    }

    #[tokio::test]
    async fn who_reads_everything_is_not_hurried() {
        let (_directory, read) = readers(Duration::ZERO).await;
        let txn = unhurried(read.begin()).await.unwrap();
        assert_eq!(ask(&txn, LONG).await.unwrap(), 300_000);
        assert_eq!(ask(&txn, LONG).await.unwrap(), 300_000);
        txn.rollback().await.unwrap();
        let error = ask(&read, LONG).await.unwrap_err();
        assert!(is_overdue(&error), "{error:?}");
    }

    #[tokio::test]
    async fn what_the_server_gives_up_is_told_alike_postgres() {
        let database = TestDatabase::postgres().await;
        let txn = database.control_read.begin().await.unwrap();
        txn.execute_unprepared("SET LOCAL statement_timeout = 50")
            .await
            .unwrap();
        let sql = "SELECT CAST(1 AS BIGINT) FROM (SELECT pg_sleep(20)) AS nap";
        let nap = Statement::from_string(DbBackend::Postgres, sql);
        let error = txn.query_one_raw(nap).await.unwrap_err();
        assert!(is_overdue(&error), "{error:?}");
        let nothing = Statement::from_string(DbBackend::Postgres, "SELECT nothing");
        let other = database.control_read.query_one_raw(nothing).await;
        assert!(!is_overdue(&other.unwrap_err()));
    }
}
