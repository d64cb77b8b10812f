//! The database goes away and comes back: nothing is lost, nothing crashes, and the condition says so.

use std::time::Duration;

use sea_orm::Database;
use steward_actors::supervision::FaultPlan;
use steward_entities::database::DatabaseConfig;
use steward_migration::testing::{POSTGRES_URL_VARIABLE, TestDatabase};

use crate::life::{Life, Rhythm, live, quick};
use crate::records::{assert_books, execute};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// A disk that takes its time over a commit is no hang here.
fn patient() -> Rhythm {
    let mut settings = quick();
    settings.ledger.hang_after = Duration::from_secs(10);
    settings
}

async fn recovers(mut process: Life, calm: impl AsyncFnOnce()) {
    let starts = restarts(&process);
    process.append(1..300).await;
    process
        .condition
        .wait_for(|condition| condition.unavailable_since.is_some() && condition.tries >= 3)
        .await
        .unwrap();
    process.append(300..600).await;
    assert!(process.spool.ledger().spooled > 0);
    calm().await;
    process
        .until("the spool is empty", |ledger| ledger.spooled == 0)
        .await;
    process
        .condition
        .wait_for(|condition| condition.unavailable_since.is_none() && condition.reason.is_none())
        .await
        .unwrap();
    assert_eq!(restarts(&process), starts, "an outage is no crash");
    assert_books(&process.databases.ledger_read, 1..600).await;
    assert_eq!(process.spool.ledger().stored, 599);
    process.end().await;
}

fn restarts(process: &Life) -> u64 {
    let tree = process.supervisor.tree_now();
    tree.walk().iter().map(|node| node.restarts).sum()
}

#[test]
fn a_locked_file_is_waited_for_sqlite() {
    let database = runtime().block_on(TestDatabase::sqlite());
    let file = database.dir().join("ledger.db");
    let spool = database.dir().join("spool");
    let mut settings = patient();
    // Shorter than the busy time-out: the tries are cut.
    settings.ledger.commit_within = Duration::from_millis(100);
    live(
        database.config(),
        &spool,
        settings,
        &FaultPlan::none(),
        async |process| {
            let other = rusqlite::Connection::open(file).unwrap();
            other.execute_batch("BEGIN EXCLUSIVE").unwrap();
            recovers(process, async || other.execute_batch("COMMIT").unwrap()).await;
        },
    );
}

#[test]
fn cut_connections_are_made_again_postgres() {
    let database = runtime().block_on(TestDatabase::postgres());
    let config = database.config().clone();
    let spool = database.dir().join("spool");
    let mut settings = patient();
    settings.ledger.commit_within = Duration::from_secs(10);
    live(
        database.config(),
        &spool,
        settings,
        &FaultPlan::none(),
        async |process| {
            // Whoever is connected is thrown out, and nobody may connect.
            let server = std::env::var(POSTGRES_URL_VARIABLE).unwrap();
            let server = Database::connect(server).await.unwrap();
            let DatabaseConfig::Postgres { url } = &config else {
                unreachable!("a PostgreSQL test database")
            };
            let path = url.split('?').next().unwrap_or_default();
            let name = path.rsplit('/').next().unwrap_or_default();
            execute(
                &server,
                &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
            )
            .await;
            let terminate = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            );
            execute(&server, &terminate).await;
            recovers(process, async || {
                execute(
                    &server,
                    &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"),
                )
                .await;
            })
            .await;
        },
    );
}
