//! What comes for a month whose archive was begun: it stays until it is in a further part, once, whatever happens between.

use std::cell::Cell;
use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono_tz::Tz;
use sea_orm::{ConnectionTrait, TransactionTrait};
use steward_actors::archive::{Found, Parts, find, waiting, write_all};
use steward_actors::contents::store::{ContentStore, Month, Place};
use steward_actors::domain::clock::ManualClock;
use steward_actors::domain::record::Record;
use steward_actors::domain::setting::{Retention, Settings};
use steward_actors::ledger_store::{self, Batch, DeadLetter};
use steward_actors::retention::{self, Kind, due, pass};
use steward_entities::database::{DatabaseConfig, open_contents_schema};
use steward_entities::{archive_late, expiry};
use steward_migration::testing::TestDatabase;

use crate::archive::{
    Bucket, DAY_MS, FEBRUARY_MS, NOW_MS, archived, back, calls, choose_bucket, dump, furnish, kept,
    parts_by, rid, run, said, tries,
};
use crate::{committed, on_both};

on_both!(
    what_comes_late_stays_until_it_is_in_a_further_part,
    a_part_that_was_interrupted_is_written_once,
    a_month_that_nobody_sealed_is_compared_with_its_files,
    a_month_of_several_parts_is_found_as_a_whole,
    letters_that_are_replayed_come_late_too,
    retention_spares_a_row_that_comes_while_it_is_at_work,
    without_an_archive_late_rows_go_like_others,
);

/// Conversations where this database has them, a month's archive `days` after the time of the other tests.
async fn parts_after(database: &TestDatabase, bucket: &Arc<Bucket>, days: i64) -> Parts {
    let files = parts_by(database, Arc::clone(bucket));
    let contents = match database.config() {
        DatabaseConfig::Postgres { url } => {
            let (write, read) = open_contents_schema(url).await.unwrap();
            steward_migration::migrate_contents(&write).await.unwrap();
            ContentStore::new(
                Place::Schema { write, read },
                database.control_read.clone(),
                Arc::new(|_| Box::pin(async { Ok(()) })),
            )
        }
        DatabaseConfig::Sqlite { .. } => Arc::clone(&files.contents),
    };
    let settings = Settings {
        archives: true,
        retention: Retention {
            request_logs_days: 1,
            contents_days: 1,
            ..Retention::default()
        },
        ..Settings::default()
    };
    Parts {
        contents,
        settings: Arc::new(ArcSwap::from_pointee(settings)),
        ..files
    }
    .at(days)
}

trait At {
    fn at(&self, days: i64) -> Self;
}

impl At for Parts {
    /// The same, so many days later.
    fn at(&self, days: i64) -> Self {
        let clock = ManualClock::at_micros((NOW_MS + days * DAY_MS) * 1_000);
        Self {
            clock: Arc::new(clock),
            ..self.clone()
        }
    }
}

fn call(n: i64) -> Record {
    let at = (FEBRUARY_MS + n) * 1_000;
    Record {
        rid: rid(FEBRUARY_MS, n),
        id_tail: 9,
        token_id: 7,
        token_public_id: "tok_7".into(),
        token_name: "billing".into(),
        request_at: at,
        response_at: at,
        model: "gpt-4o".into(),
        provider: "openai".into(),
        status_code: 200,
        success: true,
        ..Record::default()
    }
}

/// The spool of a node that was away is told, from call `first` on.
async fn told_late(database: &TestDatabase, parts: &Parts, numbers: &[i64]) {
    let store = ledger_store::open(&database.ledger, Tz::UTC);
    let numbered = numbers.iter().map(|n| (n.unsigned_abs(), call(*n)));
    let entries: Vec<(u64, Record)> = numbered.collect();
    let batch = Batch {
        node: 3,
        entries: &entries,
        upto_seq: entries.last().unwrap().0,
        now_micros: NOW_MS * 1_000,
    };
    let outcome = store.write(batch).await.unwrap();
    assert_eq!(outcome.inserted, numbers.len() as u64);
    let contents: Vec<_> = numbers.iter().map(|n| said(*n)).collect();
    let written = parts.contents.write(&contents).await.unwrap();
    assert_eq!(written.stored, numbers.len() as u64);
}

async fn write(parts: &Parts) -> Vec<String> {
    let written = write_all(parts, &|_| {}, &|| false).await.unwrap();
    written.unwrap()
}

fn retention_of(parts: &Parts) -> retention::Parts {
    retention::Parts {
        databases: parts.databases.clone(),
        contents: Arc::clone(&parts.contents),
        settings: Arc::clone(&parts.settings),
        board: Arc::default(),
        clock: Arc::clone(&parts.clock),
    }
}

/// What may go of calls and of conversations.
async fn may_go(parts: &Parts) -> (u64, u64) {
    let (of, now) = (retention_of(parts), parts.clock.now_micros());
    (
        due(&of, Kind::RequestLogs, now, 99).await.unwrap().rows,
        due(&of, Kind::Contents, now, 99).await.unwrap().rows,
    )
}

async fn let_go(parts: &Parts) {
    let now = parts.clock.now_micros();
    let report = pass(&retention_of(parts), now, &|_| {}, &|| false).await;
    report.unwrap().unwrap();
}

const BOTH: [&str; 2] = ["request_logs 2026-02", "contents 2026-02"];

async fn what_comes_late_stays_until_it_is_in_a_further_part(database: &TestDatabase) {
    let bucket = Arc::new(Bucket::default());
    let parts = parts_after(database, &bucket, 0).await;
    furnish(database, &parts).await;
    choose_bucket(database, &parts).await;
    assert_eq!(may_go(&parts).await, (0, 0), "it is in no file");
    assert_eq!(write(&parts).await, BOTH);
    assert_eq!(may_go(&parts).await, (3, 3));

    told_late(database, &parts, &[10, 11]).await;
    assert_eq!(may_go(&parts).await, (0, 0), "two of each are in no file");
    let_go(&parts).await;
    assert_eq!(kept(&parts).await.len(), 5);
    // What came late may be followed by more, so it waits for a day.
    assert_eq!(waiting(&parts).await.unwrap(), []);
    assert_eq!(write(&parts).await, Vec::<String>::new());
    let later = parts.at(1);
    assert_eq!(waiting(&later).await.unwrap().len(), 2);
    let before = (
        calls(database).await,
        tries(database).await,
        kept(&parts).await,
    );
    assert_eq!(write(&later).await, BOTH);
    assert_eq!(waiting(&later).await.unwrap(), []);
    let names = bucket.names();
    for name in [
        "request_logs/2026-02/manifest-0002.json",
        "request_logs/2026-02/request_logs-part-0002.parquet",
        "request_logs/2026-02/request_attempts-part-0002.parquet",
        "contents/2026-02/conversation_contents-part-0002.parquet",
    ] {
        assert!(names.contains(&format!("steward/{name}")), "{names:?}");
    }
    let log = archived(database, "request_logs").await;
    let bodies = archived(database, "contents").await;
    assert_eq!((log.rows, log.parts), (5, 2));
    assert_eq!((bodies.rows, bodies.parts), (5, 2));

    // A third part, and all of it goes and comes back.
    told_late(database, &parts, &[12]).await;
    let third = parts.at(2);
    assert_eq!(may_go(&third).await, (0, 0));
    assert_eq!(write(&third).await, BOTH);
    let log = archived(database, "request_logs").await;
    assert_eq!((log.rows, log.parts), (6, 3));
    assert_eq!(may_go(&third).await, (6, 6));
    let whole = (
        calls(database).await,
        tries(database).await,
        kept(&parts).await,
    );
    assert_eq!(before.1, whole.1);
    let_go(&third).await;
    assert_eq!(kept(&parts).await, []);
    assert_eq!(calls(database).await.len(), 1, "of March");
    let bodies = archived(database, "contents").await;
    assert_eq!(back(&third, &log).await, Ok((6, 6)));
    assert_eq!(back(&third, &bodies).await, Ok((6, 6)));
    let after = (
        calls(database).await,
        tries(database).await,
        kept(&parts).await,
    );
    assert_eq!(after, whole);
    assert_eq!(back(&third, &log).await, Ok((6, 0)));
    assert_eq!(back(&third, &bodies).await, Ok((6, 0)));
    // What came back is in the files: it makes no further part.
    let fourth = parts.at(4);
    assert_eq!(write(&fourth).await, Vec::<String>::new());
    assert_eq!(may_go(&fourth).await, (6, 6));
}

/// A part's number of rows is right only if none of them is in another.
async fn rows_of_both(database: &TestDatabase) -> (i64, i64) {
    (
        archived(database, "request_logs").await.rows,
        archived(database, "contents").await.rows,
    )
}

async fn a_part_that_was_interrupted_is_written_once(database: &TestDatabase) {
    let bucket = Arc::new(Bucket::default());
    let parts = parts_after(database, &bucket, 0).await;
    furnish(database, &parts).await;
    choose_bucket(database, &parts).await;
    write(&parts).await;
    told_late(database, &parts, &[10]).await;
    // The bucket is gone after every number of files; more comes while it is.
    let later = parts.at(1);
    for takes in 0..3 {
        *bucket.takes.lock() = Some(takes);
        let refused = write_all(&later, &|_| {}, &|| false).await.unwrap_err();
        assert!(refused.to_string().contains("AccessDenied"), "{refused}");
        told_late(database, &parts, &[11 + takes as i64]).await;
        assert_eq!(may_go(&later).await.0, 0);
        assert_eq!(archived(database, "request_logs").await.parts, 1);
    }
    *bucket.takes.lock() = None;
    // All that came later is in it too, conversations of which the first try was whole included.
    write(&later).await;
    write(&parts.at(2)).await;
    assert_eq!(rows_of_both(database).await, (7, 7));
    assert_eq!(may_go(&later).await, (7, 7));

    // The process ended between the table and the marks: what has arrived is known to have.
    let last = archived(database, "request_logs").await.parts;
    let (_, contents_last) = (last, archived(database, "contents").await.parts);
    committed(database, async |_| {
        archive_late::mark(&database.ledger, &[rid(FEBRUARY_MS, 10)]).await?;
        let month = Month::of(rid(FEBRUARY_MS, 0));
        archive_late::assign(&database.ledger, (month.from(), month.to()), last).await
    })
    .await;
    assert_eq!(may_go(&later).await.0, 0);
    assert_eq!(write(&parts.at(5)).await, Vec::<String>::new());
    assert_eq!(rows_of_both(database).await, (7, 7));
    assert_eq!(may_go(&later).await, (7, 7));
    assert_eq!(archived(database, "request_logs").await.parts, last);
    assert_eq!(archived(database, "contents").await.parts, contents_last);
}

async fn a_month_that_nobody_sealed_is_compared_with_its_files(database: &TestDatabase) {
    let bucket = Arc::new(Bucket::default());
    let parts = parts_after(database, &bucket, 0).await;
    furnish(database, &parts).await;
    choose_bucket(database, &parts).await;
    write(&parts).await;
    told_late(database, &parts, &[10]).await;
    // An earlier release wrote it, and knew nothing of marks.
    for table in ["archive_seals", "archive_late"] {
        run(&database.ledger, &format!("DELETE FROM {table}")).await;
    }
    assert_eq!(
        may_go(&parts).await.0,
        0,
        "what its files have is not known"
    );
    assert_eq!(
        waiting(&parts).await.unwrap(),
        [],
        "nothing is to be written"
    );
    // As long as its files are out of reach it stays so, and says why.
    *bucket.is_away.lock() = true;
    let refused = write_all(&parts, &|_| {}, &|| false).await.unwrap_err();
    assert!(refused.to_string().contains("AccessDenied"), "{refused}");
    assert_eq!(may_go(&parts).await.0, 0);
    *bucket.is_away.lock() = false;
    assert_eq!(write(&parts).await, Vec::<String>::new());
    assert_eq!(may_go(&parts).await, (0, 0), "one came late");
    assert_eq!(write(&parts.at(1)).await, BOTH);
    assert_eq!(rows_of_both(database).await, (4, 4));
    assert_eq!(may_go(&parts).await, (4, 4));
}

async fn a_month_of_several_parts_is_found_as_a_whole(database: &TestDatabase) {
    let bucket = Arc::new(Bucket::default());
    let parts = parts_after(database, &bucket, 0).await;
    furnish(database, &parts).await;
    choose_bucket(database, &parts).await;
    write(&parts).await;
    told_late(database, &parts, &[10]).await;
    write(&parts.at(1)).await;
    run(&database.control, "DELETE FROM archives").await;
    // It is taken up with its newest manifest, or written over by none that has less.
    let found = find(&parts, &|_| {}, &|| false).await.unwrap();
    let both = ["contents 2026-02", "request_logs 2026-02"];
    let all = Found {
        found: both.map(str::to_owned).to_vec(),
        left_out: Vec::new(),
    };
    assert_eq!(found, all);
    let log = archived(database, "request_logs").await;
    assert_eq!((log.rows, log.parts), (4, 2));
    assert!(
        log.manifest.ends_with("/manifest-0002.json"),
        "{}",
        log.manifest
    );
    run(&database.control, "DELETE FROM archives").await;
    let names = bucket.names();
    assert_eq!(write(&parts).await, BOTH);
    assert_eq!(bucket.names(), names);
    let log = archived(database, "request_logs").await;
    assert_eq!((log.rows, log.parts), (4, 2));
    assert_eq!(back(&parts, &log).await, Ok((4, 0)));
}

async fn letters_that_are_replayed_come_late_too(database: &TestDatabase) {
    let bucket = Arc::new(Bucket::default());
    let parts = parts_after(database, &bucket, 0).await;
    furnish(database, &parts).await;
    choose_bucket(database, &parts).await;
    write(&parts).await;
    let store = ledger_store::open(&database.ledger, Tz::UTC);
    let letter = DeadLetter {
        seq: 1,
        rid: Some(call(10).rid),
        reason: "spoilt".into(),
        payload: Vec::new(),
    };
    let now = NOW_MS * 1_000;
    store.dead_letter(3, &[letter], 1, now).await.unwrap();
    let kept = store.dead_letters(0, 9).await.unwrap();
    assert_eq!(may_go(&parts).await.0, 3);
    assert!(store.replay(&kept[0], &call(10), now).await.unwrap());
    assert_eq!(may_go(&parts).await.0, 0);
    assert_eq!(write(&parts.at(1)).await, ["request_logs 2026-02"]);
    assert_eq!(may_go(&parts).await.0, 4);
}

async fn retention_spares_a_row_that_comes_while_it_is_at_work(database: &TestDatabase) {
    let bucket = Arc::new(Bucket::default());
    let parts = parts_after(database, &bucket, 0).await;
    furnish(database, &parts).await;
    write(&parts).await;
    // It has been decided that the month may go; then this comes.
    told_late(database, &parts, &[10]).await;
    let month = Month::of(rid(FEBRUARY_MS, 0));
    let ages = (month.from(), month.to());
    committed(database, async |_| {
        expiry::remove_calls(&database.ledger, ages, 99, true).await
    })
    .await;
    let left = "SELECT CAST(rid AS TEXT) FROM request_logs ORDER BY rid";
    assert_eq!(
        dump(&database.ledger_read, left).await[0],
        rid(FEBRUARY_MS, 10).to_string()
    );
    assert_eq!(calls(database).await.len(), 2, "this, and one of March");
}

async fn without_an_archive_late_rows_go_like_others(database: &TestDatabase) {
    let bucket = Arc::new(Bucket::default());
    let parts = parts_after(database, &bucket, 0).await;
    furnish(database, &parts).await;
    write(&parts).await;
    told_late(database, &parts, &[10]).await;
    let mut settings = (**parts.settings.load()).clone();
    settings.archives = false;
    parts.settings.store(Arc::new(settings));
    assert_eq!(may_go(&parts).await, (4, 4));
    let_go(&parts).await;
    assert_eq!(calls(database).await.len(), 1);
    assert_eq!(kept(&parts).await, []);
    let marks = "SELECT CAST(rid AS TEXT) FROM archive_late";
    assert_eq!(
        dump(&database.ledger_read, marks).await,
        Vec::<String>::new()
    );
}

#[actix::test]
async fn a_file_that_was_about_to_be_removed_takes_nothing_in() {
    let database = TestDatabase::sqlite().await;
    let parts = parts_after(&database, &Arc::default(), 0).await;
    parts.contents.write(&[said(1)]).await.unwrap();
    let path = database.dir().join("contents/2026-02.db");
    let (writing, reading) = steward_entities::database::open_contents_file(&path)
        .await
        .unwrap();
    run(
        &writing,
        "INSERT INTO content_farewell (rid_from) VALUES (0)",
    )
    .await;
    writing.close().await.unwrap();
    reading.close().await.unwrap();
    parts.contents.close().await;
    // The process ended there. The next one finishes it before it stores anything.
    let next = parts_after(&database, &Arc::default(), 0).await;
    let written = next.contents.write(&[said(2)]).await.unwrap();
    assert_eq!(written.stored, 1);
    let left: Vec<String> = kept(&next)
        .await
        .into_iter()
        .map(|(user, _)| user)
        .collect();
    assert_eq!(left, ["user 2"]);
}

/// A row that was put in before the month was sealed and is committed after it is in the first part: the archive waits.
#[actix::test]
async fn the_archive_waits_for_rows_that_are_about_to_be_committed() {
    let database = TestDatabase::postgres().await;
    let bucket = Arc::new(Bucket::default());
    let parts = parts_after(&database, &bucket, 0).await;
    furnish(&database, &parts).await;
    let DatabaseConfig::Postgres { url } = database.config() else {
        panic!("not on PostgreSQL");
    };
    let another = sea_orm::Database::connect(url).await.unwrap();
    let late = another.begin().await.unwrap();
    let at = FEBRUARY_MS * 1_000;
    let insert = format!(
        "INSERT INTO ledger.request_logs (rid, id_tail, request_at, response_at, token_id, status_code, node, success) \
         VALUES ({}, 1, {at}, {at}, 1, 200, 0, TRUE)",
        rid(FEBRUARY_MS, 10)
    );
    late.execute_unprepared(&insert).await.unwrap();
    let waits = "SELECT CAST(pid AS TEXT) FROM pg_locks WHERE NOT granted AND mode = 'ShareLock' \
        AND relation = 'ledger.request_logs'::regclass";
    let is_written = Cell::new(false);
    let writing = async {
        let written = write(&parts).await;
        is_written.set(true);
        written
    };
    let committing = async {
        while dump(&database.control_read, waits).await.is_empty() {
            assert!(!is_written.get(), "it did not wait");
        }
        late.commit().await.unwrap();
    };
    let (written, ()) = tokio::join!(writing, committing);
    assert_eq!(written, BOTH);
    assert_eq!(archived(&database, "request_logs").await.rows, 4);
    let marks = "SELECT CAST(rid AS TEXT) FROM archive_late";
    assert_eq!(
        dump(&database.ledger_read, marks).await,
        Vec::<String>::new()
    );
}
