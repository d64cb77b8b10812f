//! The pipeline in calm weather: batches, announcements, drain, entries nobody can read.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, TransactionTrait};
use steward_actors::domain::record::RECORD_KIND;
use steward_actors::supervision::{FaultPlan, GroupExit};
use steward_migration::testing::TestDatabase;

use crate::life::{live, quick};
use crate::records::{assert_books, execute, number, record};

fn database() -> TestDatabase {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(TestDatabase::sqlite())
}

#[test]
fn few_records_wait_for_the_flush_time_many_do_not() {
    let database = database();
    let mut settings = quick();
    settings.batch_records = 100;
    settings.flush_after = Duration::from_millis(400);
    let spool = database.dir().join("spool");
    live(
        database.config(),
        &spool,
        settings,
        &FaultPlan::none(),
        async |mut process| {
            process.append(1..11).await;
            let waited = Instant::now();
            let first = process.committed.recv().await.unwrap();
            assert_eq!(first.count, 10);
            let numbers: Vec<i64> = first.records.iter().map(|record| record.rid).collect();
            let expected: Vec<i64> = (1..11).map(|n| record(n).rid).collect();
            assert_eq!(numbers, expected);
            assert!(
                waited.elapsed() >= Duration::from_millis(300),
                "{:?}",
                waited.elapsed()
            );
            let hurried = Instant::now();
            process.append(11..111).await;
            let second = process.committed.recv().await.unwrap();
            assert_eq!(second.count, 100);
            assert!(
                hurried.elapsed() < Duration::from_millis(380),
                "{:?}",
                hurried.elapsed()
            );
            assert!(first.rids.1 < second.rids.0);
            process.end().await;
        },
    );
}

#[test]
fn a_shutdown_empties_the_spool_first() {
    let database = database();
    let mut settings = quick();
    settings.flush_after = Duration::from_secs(1);
    let spool = database.dir().join("spool");
    let config = database.config().clone();
    live(
        &config,
        &spool,
        settings.clone(),
        &FaultPlan::none(),
        async |process| {
            process.append(1..777).await;
            let kept = std::sync::Arc::clone(&process.spool);
            let exit = process.end().await;
            assert_eq!(exit, GroupExit::Shutdown { unclean: vec![] });
            assert_eq!(kept.ledger().stored, 776);
            // As the process does when its tree has ended; without it the last of them are looked for again.
            kept.flush().unwrap();
        },
    );
    live(
        &config,
        &spool,
        settings,
        &FaultPlan::none(),
        async |process| {
            assert_eq!(process.spool.ledger().stored, 776);
            assert_books(&process.databases.ledger_read, 1..777).await;
            process.end().await;
        },
    );
}

#[test]
fn what_cannot_be_read_is_a_dead_letter_and_the_rest_is_stored() {
    let database = database();
    let spool = database.dir().join("spool");
    live(
        database.config(),
        &spool,
        quick(),
        &FaultPlan::none(),
        async |mut process| {
            process.append(1..20).await;
            process
                .spool
                .append(RECORD_KIND, b"\xff\xff no protobuf")
                .unwrap();
            process.spool.append(99, b"from the future").unwrap();
            process.append(20..40).await;
            process
                .until("the spool is empty", |ledger| ledger.spooled == 0)
                .await;
            let ledger = process.spool.ledger();
            assert_eq!((ledger.stored, ledger.dead_lettered), (39, 2));
            assert_eq!(process.spool.dead_letters().count(), 2);
            let kept = "SELECT count(*) FROM dead_letters WHERE rid IS NULL";
            assert_eq!(number(&process.databases.ledger_read, kept).await, 2);
            assert_books(&process.databases.ledger_read, 1..40).await;
            let expected: BTreeSet<i64> = (1..40).map(|n| record(n).rid).collect();
            assert_eq!(process.announced(), expected);
            process.end().await;
        },
    );
}

#[test]
fn the_turn_of_a_month_brings_a_partition_and_does_not_hold_up_the_writer_postgres() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let database = runtime.block_on(TestDatabase::postgres());
    let mut settings = quick();
    settings.ledger.commit_within = Duration::from_secs(10);
    settings.ledger.hang_after = Duration::from_secs(5);
    let spool = database.dir().join("spool");
    let month = Duration::from_secs(31 * 86_400).as_micros() as i64;
    live(
        database.config(),
        &spool,
        settings,
        &FaultPlan::none(),
        async |process| {
            let partitions = async |table: &str| {
                let sql = format!(
                    "SELECT count(*) FROM pg_inherits WHERE inhparent = '{table}'::regclass"
                );
                number(&process.databases.ledger_read, &sql).await
            };
            let empty = "the spool is empty";
            process.append(1..20).await;
            process.until(empty, |ledger| ledger.spooled == 0).await;
            assert_eq!(partitions("request_logs").await, 4);

            process.clock.advance_micros(month);
            process.append(20..41).await;
            process.until(empty, |ledger| ledger.spooled == 0).await;
            let deadline = Instant::now() + Duration::from_secs(10);
            while partitions("request_attempts").await < 5 {
                assert!(Instant::now() < deadline, "no partition was made");
                process.append(40..41).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(partitions("request_logs").await, 5);

            // What no month claims is counted within the hour in which something is written.
            assert_eq!(process.condition.borrow().stray_rows, 0);
            let stray = "INSERT INTO request_logs_default (rid, id_tail, request_at, response_at, token_id, status_code, \
                node, success) VALUES (1, 1, 1, 1, 1, 200, 0, TRUE)";
            execute(&process.databases.ledger, stray).await;
            process.clock.advance_micros(3_600_000_000);
            process.append(40..41).await;
            let mut condition = process.condition.clone();
            let counted = condition.wait_for(|condition| condition.stray_rows == 1);
            tokio::time::timeout(Duration::from_secs(10), counted)
                .await
                .expect("counted in time")
                .unwrap();
            execute(
                &process.databases.ledger,
                "DELETE FROM request_logs_default",
            )
            .await;

            // A reader of the whole log that does not end: no partition yet, but the books go on.
            let reader = process.databases.ledger_read.begin().await.unwrap();
            reader
                .execute_unprepared("SELECT count(*) FROM request_logs")
                .await
                .unwrap();
            process.clock.advance_micros(month);
            process.append(41..60).await;
            process.until(empty, |ledger| ledger.spooled == 0).await;
            process.append(60..80).await;
            process.until(empty, |ledger| ledger.spooled == 0).await;
            assert!(process.condition.borrow().unavailable_since.is_none());
            reader.rollback().await.unwrap();
            assert_books(&process.databases.ledger_read, 1..80).await;
            process.end().await;
        },
    );
}
