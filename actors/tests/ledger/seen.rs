//! Calls told of twice, on both databases: stored once, whoever tells first within 48 hours.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use steward_actors::domain::record::{Record, Source};
use steward_actors::ledger_store::{
    Batch, Breakpoint, LedgerStore, PostgresStore, SqliteStore, open,
};
use steward_migration::testing::TestDatabase;

use crate::records::{NODE, NOW_MS, number, record};

const HOUR_MICROS: i64 = 3_600_000_000;

fn told(n: u64, source: Source, keys: &[i64]) -> (u64, Record) {
    let record = Record {
        source: source.into(),
        seen_keys: keys.to_vec(),
        ..record(n)
    };
    (n, record)
}

fn at(entries: &[(u64, Record)], hours: i64) -> Batch<'_> {
    Batch {
        node: NODE,
        entries,
        upto_seq: entries.last().map_or(0, |(seq, _)| *seq),
        now_micros: NOW_MS * 1_000 + hours * HOUR_MICROS,
    }
}

async fn told_twice(database: TestDatabase) {
    use Source::{Gateway, Ingest, Otlp};
    let store = open(&database.ledger, chrono_tz::Tz::UTC);
    // Within one batch: the gateway's own goes first wherever it stands; of two spans the first.
    let entries = [
        told(1, Otlp, &[10, 100]),
        told(2, Gateway, &[100]),
        told(3, Otlp, &[11, 101]),
        told(4, Otlp, &[12, 101]),
        told(5, Ingest, &[13]),
        told(6, Gateway, &[]),
    ];
    let outcome = store.write(at(&entries, 0)).await.unwrap();
    assert_eq!((outcome.inserted, outcome.duplicates), (4, vec![1, 4]));
    // Delivered again, as after a crash before the ack: nothing moves.
    let again = store.write(at(&entries, 0)).await.unwrap();
    assert_eq!(
        (again.inserted, again.skipped, again.duplicates),
        (0, 4, vec![1, 4])
    );
    // Across batches, by any of its keys, also those of one that was left out; the gateway's own never.
    let entries = [
        told(7, Otlp, &[10]),
        told(8, Otlp, &[12]),
        told(9, Ingest, &[13]),
        told(10, Gateway, &[101]),
        told(11, Otlp, &[14, 104]),
    ];
    let outcome = store.write(at(&entries, 47)).await.unwrap();
    assert_eq!((outcome.inserted, outcome.duplicates), (2, vec![7, 8, 9]));
    // Later than 48 hours and a bucket nothing is known any more, and the old keys are gone.
    let entries = [told(12, Otlp, &[11])];
    let outcome = store.write(at(&entries, 56)).await.unwrap();
    assert_eq!(outcome.inserted, 1);
    let rows = number(&database.ledger_read, "SELECT count(*) FROM request_logs").await;
    let totals = "SELECT CAST(sum(total_requests) AS BIGINT) FROM token_totals";
    assert_eq!((rows, number(&database.ledger_read, totals).await), (7, 7));
    let keys = number(&database.ledger_read, "SELECT count(*) FROM seen_ids").await;
    assert_eq!(
        keys,
        6 + 1,
        "those told at hour 47, again or for the first time, and at hour 56"
    );
}

#[tokio::test]
async fn a_call_told_twice_is_stored_once() {
    told_twice(TestDatabase::sqlite().await).await;
}

#[tokio::test]
async fn a_call_told_twice_is_stored_once_postgres() {
    told_twice(TestDatabase::postgres().await).await;
}

/// The gateway's calls of a tenant that tells nothing cost no key each; what they leave is found when it begins to tell.
async fn begins_to_tell(database: TestDatabase) {
    use Source::{Gateway, Otlp};
    const NONE: [u64; 0] = [];
    const MINUTE_MICROS: i64 = HOUR_MICROS / 60;
    let store = open(&database.ledger, chrono_tz::Tz::UTC);
    let of = |tenant_id: i64, (seq, record): (u64, Record)| {
        (
            seq,
            Record {
                tenant_id,
                ..record
            },
        )
    };
    let write = async |entries: &[(u64, Record)], minutes: i64| {
        let mut batch = at(entries, 0);
        batch.now_micros += minutes * MINUTE_MICROS;
        store.write(batch).await.unwrap().duplicates
    };
    let count = async |table: &str| {
        number(
            &database.ledger_read,
            &format!("SELECT count(*) FROM {table}"),
        )
        .await
    };

    let calls = [
        of(1, told(1, Gateway, &[100])),
        of(1, told(2, Gateway, &[101])),
        of(2, told(3, Gateway, &[200])),
    ];
    assert_eq!(write(&calls, 0).await, NONE);
    assert_eq!(write(&[of(1, told(4, Gateway, &[102]))], 30).await, NONE);
    assert_eq!((count("seen_ids").await, count("recent_ids").await), (0, 2));

    // The first of one tenant: its own calls of the last hour are known, those of the other stay where they are.
    assert_eq!(write(&[of(1, told(5, Otlp, &[50, 101]))], 59).await, [5]);
    assert_eq!(count("seen_ids").await, 3 + 1);
    assert_eq!(count("telling_tenants").await, 1);
    // From then on its calls are looked up for 48 hours, wherever they were kept before.
    assert_eq!(write(&[of(1, told(6, Gateway, &[103]))], 61).await, NONE);
    assert_eq!(
        count("recent_ids").await,
        2,
        "no more of a tenant that tells"
    );
    let later = [
        of(1, told(7, Otlp, &[51, 100])),
        of(1, told(8, Otlp, &[52, 103])),
    ];
    assert_eq!(write(&later, 47 * 60).await, [7, 8]);

    // The other begins too late: what was not asked for within the hour is forgotten.
    assert_eq!(write(&[of(2, told(9, Otlp, &[53, 200]))], 61).await, NONE);
    assert_eq!(write(&[of(3, told(10, Gateway, &[300]))], 200).await, NONE);
    assert_eq!(count("recent_ids").await, 1);
    assert_eq!(count("request_logs").await, 4 + 1 + 1 + 1);
}

#[tokio::test]
async fn what_a_tenant_did_before_it_told_anything_is_known_for_an_hour() {
    begins_to_tell(TestDatabase::sqlite().await).await;
}

#[tokio::test]
async fn what_a_tenant_did_before_it_told_anything_is_known_for_an_hour_postgres() {
    begins_to_tell(TestDatabase::postgres().await).await;
}

/// A transaction that does not commit remembers no key: its records are not taken for told when they come again.
async fn rolled_back(open: impl Fn(Arc<AtomicBool>) -> Arc<dyn LedgerStore>) {
    let fail = Arc::new(AtomicBool::new(true));
    let store = open(Arc::clone(&fail));
    let entries = [told(1, Source::Otlp, &[10])];
    let write = {
        let store = Arc::clone(&store);
        let entries = entries.clone();
        tokio::spawn(async move { store.write(at(&entries, 0)).await.map(|_| ()) })
    };
    assert!(write.await.unwrap_err().is_panic());
    fail.store(false, Ordering::SeqCst);
    let outcome = store.write(at(&entries, 0)).await.unwrap();
    assert_eq!((outcome.inserted, outcome.duplicates), (1, vec![]));
}

fn strike(fail: Arc<AtomicBool>) -> Arc<dyn Fn(Breakpoint) + Send + Sync> {
    Arc::new(move |at| {
        assert!(at != Breakpoint::BeforeCommit || !fail.load(Ordering::SeqCst));
    })
}

#[tokio::test]
async fn a_key_is_remembered_with_its_row_or_not_at_all() {
    let database = TestDatabase::sqlite().await;
    rolled_back(|fail| Arc::new(SqliteStore::new(&database.ledger).with_breakpoints(strike(fail))))
        .await;
}

#[tokio::test]
async fn a_key_is_remembered_with_its_row_or_not_at_all_postgres() {
    let database = TestDatabase::postgres().await;
    rolled_back(|fail| {
        Arc::new(PostgresStore::new(&database.ledger).with_breakpoints(strike(fail)))
    })
    .await;
}
