//! `retention` keeps SQLite's files in shape: long logs are cut, the planner has statistics, and no writer waits for it.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use sea_orm::{ConnectionTrait, Statement};
use steward_actors::domain::setting::Settings;
use steward_actors::retention::files::{self, DatabaseFile, LONG_BYTES};
use steward_actors::supervision::ActorRef;
use steward_actors::tree::upkeep::retention::spec;
use steward_entities::database::LEDGER_FILE;
use steward_migration::testing::TestDatabase;

use crate::{eventually, retention};

/// A hundred rows of 64 KiB.
async fn write(database: &TestDatabase, part: i64) {
    let sql = format!(
        "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 100) \
         INSERT INTO dead_letters (node, seq, reason, payload, created_at) \
         SELECT 1, {part} * 100 + n, 'large', zeroblob(65536), n FROM s"
    );
    database.ledger.execute_unprepared(&sql).await.unwrap();
}

async fn number(database: &TestDatabase, sql: &str) -> i64 {
    let reader = &database.ledger_read;
    let statement = Statement::from_string(reader.get_database_backend(), sql);
    let row = reader.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

fn ledger(database: &TestDatabase) -> DatabaseFile {
    let mut all = files::of(database).into_iter();
    all.find(|file| file.name() == LEDGER_FILE).unwrap()
}

/// Somebody who reads for long; until it is dropped.
fn reader(database: &TestDatabase) -> Connection {
    let connection = Connection::open(database.dir().join(LEDGER_FILE)).unwrap();
    connection.execute_batch("BEGIN").unwrap();
    let count = "SELECT count(*) FROM dead_letters";
    let _: i64 = connection.query_row(count, [], |row| row.get(0)).unwrap();
    connection
}

#[actix::test]
async fn a_log_is_cut_once_nobody_reads_from_it_and_no_writer_waits() {
    let database = TestDatabase::sqlite().await;
    let file = ledger(&database);
    write(&database, 0).await;
    let reading = reader(&database);
    write(&database, 1).await;
    let long = file.log_bytes();
    assert!(long > 6 << 20, "{long} bytes");
    let begun = Instant::now();
    assert!(!file.fold().unwrap(), "somebody reads from it");
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(file.log_bytes(), long);
    drop(reading);
    assert!(file.fold().unwrap());
    assert_eq!(file.log_bytes(), 0);
    write(&database, 2).await;
    let rows = "SELECT count(*) FROM dead_letters";
    assert_eq!(number(&database, rows).await, 300);
}

#[actix::test]
async fn the_actor_cuts_what_readers_have_let_grow() {
    let database = TestDatabase::sqlite().await;
    let file = ledger(&database);
    write(&database, 0).await;
    let reading = reader(&database);
    let mut part = 1;
    while file.log_bytes() < LONG_BYTES {
        write(&database, part).await;
        part += 1;
    }
    drop(reading);
    let parts = retention::parts(&database, Settings::default());
    let tree = crate::supervised(spec(&ActorRef::new(4), parts));
    eventually("the log to be cut", async || {
        (file.log_bytes() < LONG_BYTES).then_some(())
    })
    .await;
    tree.shutdown(Duration::from_secs(5)).await;
}

#[actix::test]
async fn the_planner_gets_statistics() {
    let database = TestDatabase::sqlite().await;
    write(&database, 0).await;
    let analyzed = "SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat1'";
    let known = "SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'dead_letters'";
    // Files that were closed before have the table already, and nothing in it about a table that was empty.
    if number(&database, analyzed).await > 0 {
        assert_eq!(number(&database, known).await, 0);
    }
    files::optimize(&files::of(&database));
    assert!(number(&database, known).await > 0);
}

#[actix::test]
async fn there_are_no_files_to_care_for_on_postgres() {
    let database = TestDatabase::postgres().await;
    assert!(files::of(&database).is_empty());
}
