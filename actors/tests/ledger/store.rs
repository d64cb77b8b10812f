//! One transaction at a time, on both databases.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use steward_actors::domain::clock::ManualClock;
use steward_actors::domain::record::Record;
use steward_actors::ledger_store::bisect::settle;
use steward_actors::ledger_store::replay::{Replayed, replay_dead_letters};
use steward_actors::ledger_store::{
    Batch, Breakpoint, LedgerStore, PostgresStore, SqliteStore, WriteError, open,
};
use steward_entities::ledger::request_attempt;
use steward_migration::testing::TestDatabase;

use crate::records::{NODE, NOW_MS, assert_books, entries, execute, number, record};

fn batch(entries: &[(u64, Record)]) -> Batch<'_> {
    Batch {
        node: NODE,
        entries,
        upto_seq: entries.last().map_or(0, |(seq, _)| *seq),
        now_micros: NOW_MS * 1_000,
    }
}

/// Makes each test once per database.
macro_rules! on_both {
    ($($test:ident => $postgres:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $test() {
            checks::$test(TestDatabase::sqlite().await).await;
        }
        #[tokio::test]
        async fn $postgres() {
            checks::$test(TestDatabase::postgres().await).await;
        }
    )*};
}

on_both! {
    writes_once_whatever_is_repeated => writes_once_whatever_is_repeated_postgres,
    rows_there_before_the_cursor_moved_are_not_counted_again => rows_there_before_the_cursor_moved_are_not_counted_again_postgres,
    a_cursor_that_somebody_else_moved_hides_no_record => a_cursor_that_somebody_else_moved_hides_no_record_postgres,
    a_letter_of_another_spool_hides_no_record => a_letter_of_another_spool_hides_no_record_postgres,
    a_taken_rid_with_another_tail_is_a_dead_letter => a_taken_rid_with_another_tail_is_a_dead_letter_postgres,
    a_poison_record_is_found_kept_and_replayed => a_poison_record_is_found_kept_and_replayed_postgres,
    a_missing_table_is_not_the_datas_fault => a_missing_table_is_not_the_datas_fault_postgres,
    a_nul_in_a_name_costs_nothing => a_nul_in_a_name_costs_nothing_postgres,
    names_follow_the_control_plane => names_follow_the_control_plane_postgres,
    attempts_read_back_as_they_were_written => attempts_read_back_as_they_were_written_postgres,
    the_view_computes_the_public_id => the_view_computes_the_public_id_postgres,
    a_cancelled_transaction_leaves_no_name_behind => a_cancelled_transaction_leaves_no_name_behind_postgres,
}

mod checks {
    use super::*;

    pub(super) async fn writes_once_whatever_is_repeated(database: TestDatabase) {
        let store = open(&database.ledger, chrono_tz::Tz::UTC);
        store.prepare(NOW_MS).await.unwrap();
        // Sizes around every chunk boundary and both PostgreSQL paths.
        let mut from = 1;
        for size in [1, 2, 3, 499, 500, 501, 1_000, 1_777] {
            let entries = entries(from..from + size);
            let outcome = store.write(batch(&entries)).await.unwrap();
            assert_eq!((outcome.inserted, outcome.skipped), (size, 0));
            assert_eq!(
                outcome.rids,
                Some((record(from).rid, record(from + size - 1).rid))
            );
            from += size;
        }
        let again = entries(from - 100..from + 100);
        let outcome = store.write(batch(&again)).await.unwrap();
        assert_eq!((outcome.inserted, outcome.skipped), (100, 100));
        assert_books(&database.ledger_read, 1..from + 100).await;
        assert_eq!(store.cursor(NODE).await.unwrap(), from + 99);
        assert_eq!(store.greatest_rid().await.unwrap(), record(from + 99).rid);
    }

    pub(super) async fn rows_there_before_the_cursor_moved_are_not_counted_again(
        database: TestDatabase,
    ) {
        let store = open(&database.ledger, chrono_tz::Tz::UTC);
        for (first, second) in [(1..600, 300..900), (900..3_000, 2_000..4_000)] {
            store.write(batch(&entries(first.clone()))).await.unwrap();
            execute(&database.ledger, "UPDATE spool_cursors SET seq = 0").await;
            let overlap = first.end - second.start;
            let entries = entries(second.clone());
            let outcome = store.write(batch(&entries)).await.unwrap();
            assert_eq!(outcome.skipped, overlap);
            assert_eq!(outcome.inserted, second.end - first.end);
            assert!(outcome.dead_lettered.is_empty());
        }
        assert_books(&database.ledger_read, 1..4_000).await;
    }

    pub(super) async fn a_cursor_that_somebody_else_moved_hides_no_record(database: TestDatabase) {
        let store = open(&database.ledger, chrono_tz::Tz::UTC);
        store.write(batch(&entries(1..11))).await.unwrap();
        // Another spool with the same node id, some way behind.
        let others: Vec<_> = (5..15).map(|seq| (seq, record(seq + 6))).collect();
        let outcome = store.write(batch(&others)).await.unwrap();
        assert_eq!((outcome.inserted, outcome.skipped), (10, 0));
        let again = store.write(batch(&others)).await.unwrap();
        assert_eq!((again.inserted, again.skipped), (0, 10));
        assert_books(&database.ledger_read, 1..21).await;
        assert_eq!(store.cursor(NODE).await.unwrap(), 14);
    }

    pub(super) async fn a_letter_of_another_spool_hides_no_record(database: TestDatabase) {
        let store = open(&database.ledger, chrono_tz::Tz::UTC);
        refuse_status(&database, 777).await;
        let mut entries = entries(1..11);
        entries[4].1.status_code = 777;
        let settlement = settle(&*store, batch(&entries)).await.unwrap();
        assert_eq!(settlement.refused.len(), 1);
        // Another spool with the same node id gave the letter's number to a record of its own.
        let other = [(5, record(20))];
        let outcome = store.write(batch(&other)).await.unwrap();
        assert_eq!((outcome.inserted, outcome.dead_lettered.len()), (1, 0));
        // The letter's own record is still known as one.
        let again = store.write(batch(&entries)).await.unwrap();
        assert_eq!((again.skipped, again.dead_lettered), (9, vec![5]));
        let books = (1..11).filter(|n| *n != 5).chain([20]);
        assert_books(&database.ledger_read, books).await;
        // A letter of that spool with the same number is kept beside it, once.
        let mut poisoned = record(21);
        poisoned.status_code = 777;
        let other = [(5, poisoned)];
        for _ in 0..2 {
            let settlement = settle(&*store, batch(&other)).await.unwrap();
            let kept = settlement.refused.len() + settlement.outcome.dead_lettered.len();
            assert_eq!(kept, 1);
            assert_eq!(store.dead_letters(0, 10).await.unwrap().len(), 2);
        }
    }

    pub(super) async fn a_taken_rid_with_another_tail_is_a_dead_letter(database: TestDatabase) {
        let store = open(&database.ledger, chrono_tz::Tz::UTC);
        let mut entries = entries(1..50);
        store.write(batch(&entries[..20])).await.unwrap();
        // One clashes with the table, one within its own batch.
        let (mut with_table, mut within) = (record(7), record(30));
        with_table.id_tail ^= 1;
        within.id_tail ^= 1;
        entries.push((50, with_table));
        entries.push((51, within));
        let outcome = store.write(batch(&entries[20..])).await.unwrap();
        assert_eq!((outcome.inserted, outcome.skipped), (29, 0));
        assert_eq!(outcome.dead_lettered, [50, 51]);
        assert_books(&database.ledger_read, 1..50).await;
        let kept = "SELECT count(*) FROM dead_letters WHERE reason = 'rid_conflict'";
        assert_eq!(number(&database.ledger_read, kept).await, 2);
        let clock = ManualClock::at_micros(1);
        let replayed = replay_dead_letters(&*store, &clock).await.unwrap();
        assert_eq!(
            replayed,
            Replayed {
                stored: 0,
                refused: 2
            }
        );
    }

    pub(super) async fn a_poison_record_is_found_kept_and_replayed(database: TestDatabase) {
        let store = open(&database.ledger, chrono_tz::Tz::UTC);
        refuse_status(&database, 777).await;
        let mut entries = entries(1..101);
        for poisoned in [13, 77] {
            entries[poisoned].1.status_code = 777;
        }
        let settlement = settle(&*store, batch(&entries)).await.unwrap();
        assert_eq!(settlement.outcome.inserted, 98);
        let seqs: Vec<u64> = settlement.refused.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(seqs, [14, 78]);
        assert_eq!(store.cursor(NODE).await.unwrap(), 100);
        assert_eq!(store.dead_letters(0, 10).await.unwrap().len(), 2);
        // The same lease again, as after a crash before the ack.
        let again = settle(&*store, batch(&entries)).await.unwrap();
        assert_eq!((again.outcome.inserted, again.outcome.skipped), (0, 98));
        assert_eq!(again.outcome.dead_lettered, [14, 78]);
        let clock = ManualClock::at_micros(1);
        let refused = replay_dead_letters(&*store, &clock).await.unwrap();
        assert_eq!(
            refused,
            Replayed {
                stored: 0,
                refused: 2
            }
        );
        accept_all(&database).await;
        let mended = replay_dead_letters(&*store, &clock).await.unwrap();
        assert_eq!(
            mended,
            Replayed {
                stored: 2,
                refused: 0
            }
        );
        let idle = replay_dead_letters(&*store, &clock).await.unwrap();
        assert_eq!(idle, Replayed::default());
        assert_books(&database.ledger_read, 1..101).await;
    }

    pub(super) async fn a_missing_table_is_not_the_datas_fault(database: TestDatabase) {
        let store = open(&database.ledger, chrono_tz::Tz::UTC);
        execute(&database.ledger, "ALTER TABLE token_totals RENAME TO away").await;
        let entries = entries(1..10);
        let error = settle(&*store, batch(&entries)).await.unwrap_err();
        assert!(matches!(error, WriteError::Unavailable(_)), "{error}");
        execute(&database.ledger, "ALTER TABLE away RENAME TO token_totals").await;
        settle(&*store, batch(&entries)).await.unwrap();
        assert_books(&database.ledger_read, 1..10).await;
    }

    pub(super) async fn a_nul_in_a_name_costs_nothing(database: TestDatabase) {
        let store = open(&database.ledger, chrono_tz::Tz::UTC);
        let mut entries = entries(1..4);
        for (_, record) in &mut entries {
            record.end_user = "nul\0nul".into();
            record.error_message = "\0".into();
            record.token_name = "a\0b".into();
        }
        let settlement = settle(&*store, batch(&entries)).await.unwrap();
        assert_eq!(settlement.outcome.inserted, 3);
        assert_books(&database.ledger_read, 1..4).await;
    }

    pub(super) async fn names_follow_the_control_plane(database: TestDatabase) {
        let store = open(&database.ledger, chrono_tz::Tz::UTC);
        let mut entries = entries(1..8);
        store.write(batch(&entries[..3])).await.unwrap();
        for (_, record) in &mut entries[3..] {
            record.account_id = 1;
            record.account_name = "renamed".into();
            // An attempt elsewhere does not know that account's provider and must not erase it.
            record.attempts[0].account_id = 2;
            record.attempts[0].account_name = "renamed too".into();
        }
        store.write(batch(&entries[3..])).await.unwrap();
        let sql = "SELECT count(*) FROM dim_accounts WHERE provider = 'openai' AND \
                   ((id = 1 AND name = 'renamed') OR (id = 2 AND name = 'renamed too'))";
        assert_eq!(number(&database.ledger_read, sql).await, 2);
    }

    pub(super) async fn attempts_read_back_as_they_were_written(database: TestDatabase) {
        let store = open(&database.ledger, chrono_tz::Tz::UTC);
        let mut entries = entries(1..2_000);
        let mut other = |n: usize, change: fn(&mut Record)| change(&mut entries[n - 1].1);
        other(1, |record| record.attempts[0].account_id = 5);
        other(2, |record| record.attempts[0].status_code = 206);
        other(3, |record| record.attempts[0].error_code = "cut".into());
        other(4, |record| {
            record.attempts[0].started_at = record.request_at - 9
        });
        other(5, |record| record.attempts.push(record.attempts[0].clone()));
        other(6, |record| record.attempts.clear());
        other(7, |record| record.attempts[0].duration_ms = 0);
        // Both PostgreSQL paths.
        store.write(batch(&entries[..100])).await.unwrap();
        store.write(batch(&entries[100..])).await.unwrap();
        for (_, record) in entries[..70].iter().chain(&entries[1_900..]) {
            let found = request_attempt::of(&database.ledger_read, record.rid)
                .await
                .unwrap();
            assert_eq!(found.len(), record.attempts.len());
            for (ordinal, (found, written)) in (1..).zip(found.iter().zip(&record.attempts)) {
                let code = found.error_code.as_deref().unwrap_or_default();
                assert_eq!(
                    (found.ordinal, found.account_id, found.started_at),
                    (ordinal, written.account_id, written.started_at)
                );
                assert_eq!(
                    (found.duration_ms, found.status_code, code),
                    (
                        written.duration_ms,
                        written.status_code,
                        written.error_code.as_str()
                    )
                );
                assert!(found.account_name.is_some());
            }
        }
        let rows = number(
            &database.ledger_read,
            "SELECT count(*) FROM request_attempts",
        )
        .await;
        // The failures, and those made special above that still need rows.
        assert_eq!(rows, 1_999 / 33 + 5);
    }

    pub(super) async fn the_view_computes_the_public_id(database: TestDatabase) {
        let store = open(&database.ledger, chrono_tz::Tz::UTC);
        let entries = entries(1..40);
        store.write(batch(&entries)).await.unwrap();
        for (_, record) in &entries {
            let sql = format!(
                "SELECT count(*) FROM request_log_view WHERE id = '{}' AND rid = {}",
                record.id(),
                record.rid
            );
            assert_eq!(
                number(&database.ledger_read, &sql).await,
                1,
                "{}",
                record.id()
            );
        }
    }

    pub(super) async fn a_cancelled_transaction_leaves_no_name_behind(database: TestDatabase) {
        let strike = Arc::new(AtomicBool::new(true));
        let armed = Arc::clone(&strike);
        let hook = Arc::new(move |breakpoint| {
            if breakpoint == Breakpoint::BeforeCommit && armed.swap(false, Ordering::SeqCst) {
                panic!("struck before commit");
            }
        });
        let store: Arc<dyn LedgerStore> = match database.kind {
            steward_entities::database::DatabaseKind::Sqlite => {
                Arc::new(SqliteStore::new(&database.ledger).with_breakpoints(hook))
            }
            steward_entities::database::DatabaseKind::Postgres => {
                Arc::new(PostgresStore::new(&database.ledger).with_breakpoints(hook))
            }
        };
        let entries = entries(1..600);
        let writer = Arc::clone(&store);
        let mine = entries.clone();
        let struck = tokio::spawn(async move { writer.write(batch(&mine)).await.map(drop) }).await;
        assert!(struck.is_err());
        assert_eq!(
            number(&database.ledger_read, "SELECT count(*) FROM end_users").await,
            0
        );
        store.write(batch(&entries)).await.unwrap();
        assert_books(&database.ledger_read, 1..600).await;
    }
}

async fn refuse_status(database: &TestDatabase, status: i32) {
    let sql = match database.kind {
        steward_entities::database::DatabaseKind::Sqlite => format!(
            "CREATE TRIGGER poison BEFORE INSERT ON request_logs WHEN NEW.status_code = {status} \
             BEGIN SELECT RAISE(ABORT, 'poison'); END"
        ),
        steward_entities::database::DatabaseKind::Postgres => {
            format!(
                "ALTER TABLE request_logs ADD CONSTRAINT poison CHECK (status_code <> {status})"
            )
        }
    };
    execute(&database.ledger, &sql).await;
}

async fn accept_all(database: &TestDatabase) {
    let sql = match database.kind {
        steward_entities::database::DatabaseKind::Sqlite => "DROP TRIGGER poison",
        steward_entities::database::DatabaseKind::Postgres => {
            "ALTER TABLE request_logs DROP CONSTRAINT poison"
        }
    };
    execute(&database.ledger, sql).await;
}

#[tokio::test]
async fn months_have_partitions_and_strays_are_counted_postgres() {
    let database = TestDatabase::postgres().await;
    let store = open(&database.ledger, chrono_tz::Tz::UTC);
    let prepared = store.prepare(NOW_MS).await.unwrap();
    assert_eq!(prepared.stray_rows, 0);
    assert_eq!(store.prepare(NOW_MS).await.unwrap(), prepared);
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'request_logs'::regclass";
    assert_eq!(number(&database.ledger, partitions).await, 4);
    let mut entries = entries(1..10);
    entries[4].1.rid = 1 << 40;
    store.write(batch(&entries)).await.unwrap();
    assert_eq!(store.prepare(NOW_MS).await.unwrap().stray_rows, 1);
    let in_month = "SELECT count(*) FROM request_logs_y2026m11";
    assert_eq!(number(&database.ledger, in_month).await, 8);
    // A month whose rows lie in the default partition cannot get one; that is told, not fatal.
    assert_eq!(store.prepare(0).await.unwrap().stray_rows, 1);
}
