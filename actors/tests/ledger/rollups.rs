//! Rollups are what a recount of the log gives, whatever was repeated, rolled back or there before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono_tz::Tz;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use steward_actors::domain::calendar::{day_of, hour_of};
use steward_actors::domain::record::Record;
use steward_actors::domain::rid::Rid;
use steward_actors::ledger_store::whole::make_whole;
use steward_actors::ledger_store::{
    Batch, Breakpoint, LedgerStore, PostgresStore, SqliteStore, open,
};
use steward_entities::database::begin_write;
use steward_entities::ledger::rollup::{
    Fact, Grain, Measures, ROLLUPS, RollupTable, TOTAL_DAILY, TOTAL_HOURLY, rows, rows_by,
};
use steward_entities::ledger::{backfill, daily};
use steward_migration::testing::TestDatabase;

use crate::records::execute;

/// An hour before Berlin's clocks go back on 2026-10-25.
const START_MS: i64 = 1_792_886_400_000;

fn call(random: &mut StdRng, n: u64) -> Record {
    // Around two changes of the day and the repeated hour.
    let at = START_MS * 1_000 + random.random_range(0..30 * 3_600_000_000_i64);
    let success = random.random_bool(0.8);
    let currency = [None, Some("USD"), Some("CNY")][random.random_range(0..3)];
    Record {
        rid: Rid::floor_of_ms(at / 1_000).0 + n as i64,
        id_tail: n,
        token_id: random.random_range(1..4),
        token_public_id: "tok_1".into(),
        account_id: if success {
            random.random_range(1..3)
        } else {
            0
        },
        account_public_id: "acc_1".into(),
        tenant_id: random.random_range(0..2),
        tenant_public_id: "ten_1".into(),
        prompt_version_id: random.random_range(0..3),
        prompt_public_id: "prm_1".into(),
        prompt: "p@1".into(),
        app: ["", "shop"][random.random_range(0..2)].into(),
        provider: if success { "openai" } else { "" }.into(),
        model: ["a", "b"][random.random_range(0..2)].into(),
        request_at: at,
        response_at: at + 1_000,
        duration_ms: random.random_range(0..100_000),
        ttft_ms: success.then(|| random.random_range(0..5_000)),
        prompt_tokens: random.random_range(0..1_000),
        completion_tokens: 3,
        total_tokens: random.random_range(0..2_000),
        status_code: [499, 429, 404, 502][random.random_range(0..4)],
        success,
        mode: random.random_range(0..2),
        end_user: ["", "ann", "bob"][random.random_range(0..3)].into(),
        priced: currency.is_some(),
        cost_nano: currency.map_or(0, |_| random.random_range(0..1_000_000_000)),
        currency: currency.unwrap_or_default().to_owned(),
        ..Record::default()
    }
}

fn key(record: &Record, column: &str) -> Option<i64> {
    Some(match column {
        "token_id" => record.token_id,
        "account_id" => record.account_id,
        "tenant_id" => record.tenant_id,
        "prompt_version_id" => record.prompt_version_id,
        // Ids the ledger gave: told apart by their order below.
        _ => return None,
    })
}

fn first_key(record: &Record, table: &RollupTable) -> Option<i64> {
    table.keys.first().and_then(|first| key(record, first))
}

fn measures<'a>(records: impl Iterator<Item = &'a Record>) -> Measures {
    let mut measures = Measures::default();
    for record in records {
        measures.add(&Fact {
            duration_ms: record.duration_ms,
            ttft_ms: record.ttft_ms,
            tokens: [
                record.prompt_tokens,
                record.completion_tokens,
                record.total_tokens,
                record.cached_tokens,
                record.cache_write_tokens,
                record.reasoning_tokens,
            ],
            status_code: record.status_code,
            success: record.success,
            usage_estimated: record.usage_estimated,
            priced: record.priced,
            cost_nano: Fact::charge(record.cost_nano, &record.currency),
        });
    }
    measures
}

/// Whether a table counts this record at all.
fn is_counted(table: &RollupTable, record: &Record) -> bool {
    first_key(record, table).is_none_or(|first| table.counts(first))
}

/// How many groups the records make by bucket and all keys of a table.
fn kinds(table: &RollupTable, zone: Tz, records: &[Record]) -> usize {
    let mut kinds = BTreeSet::new();
    for record in records.iter().filter(|record| is_counted(table, record)) {
        let bucket = match table.grain {
            Grain::Hour => hour_of(zone, record.request_at),
            Grain::Day => day_of(zone, record.request_at),
        };
        let name = |column: &&str| match *column {
            "app_id" => record.app.clone(),
            "model_id" => record.model.clone(),
            "provider_id" => record.provider.clone(),
            "end_user_id" => record.end_user.clone(),
            "mode" => record.mode.to_string(),
            column => key(record, column).unwrap_or_default().to_string(),
        };
        kinds.insert((bucket, table.keys.iter().map(name).collect::<Vec<_>>()));
    }
    kinds.len()
}

/// Every rollup, merged over nodes, against the records.
async fn assert_rollups(database: &TestDatabase, zone: Tz, records: &[Record]) {
    for table in ROLLUPS {
        let mut expected: BTreeMap<(i64, i64), Vec<&Record>> = BTreeMap::new();
        for record in records.iter().filter(|record| is_counted(table, record)) {
            let bucket = match table.grain {
                Grain::Hour => hour_of(zone, record.request_at),
                Grain::Day => day_of(zone, record.request_at),
            };
            let id = first_key(record, table).unwrap_or_default();
            expected.entry((bucket, id)).or_default().push(record);
        }
        let mut found: BTreeMap<(i64, i64), Measures> = BTreeMap::new();
        let stored = rows(&database.ledger_read, table, (0, i64::MAX), &[])
            .await
            .unwrap();
        let keys: BTreeSet<_> = stored.iter().map(|row| (row.bucket, row.keys)).collect();
        assert_eq!(
            keys.len(),
            kinds(table, zone, records),
            "{} in {zone}",
            table.name
        );
        for row in stored {
            let known = first_key(&records[0], table).is_some();
            let id = if known { row.keys[0] } else { 0 };
            let group = found.entry((row.bucket, id)).or_default();
            group.merge(&row.measures);
        }
        let expected: BTreeMap<_, _> = expected
            .into_iter()
            .map(|(key, records)| {
                let mut measures = measures(records.into_iter());
                if !table.has_histograms {
                    (measures.duration, measures.ttft) = Default::default();
                }
                (key, measures)
            })
            .collect();
        assert_eq!(found, expected, "{} in {zone}", table.name);
    }
}

/// Told apart by any of their keys, rows are what all rows come to when they are put together.
async fn assert_groups(database: &TestDatabase) {
    type Groups = BTreeMap<(i64, Vec<i64>), Measures>;
    let range = (0, i64::MAX);
    for table in ROLLUPS {
        let all = rows(&database.ledger_read, table, range, &[])
            .await
            .unwrap();
        assert!(!all.is_empty(), "{}", table.name);
        let last: Vec<&str> = table.keys.iter().rev().copied().take(1).collect();
        let firsts = (0..=table.keys.len()).map(|many| &table.keys[..many]);
        for by in firsts.chain([&last[..]]) {
            let mut expected = Groups::new();
            for row in &all {
                let places = by
                    .iter()
                    .map(|key| table.keys.iter().position(|known| known == key));
                let keys = places.map(|at| row.keys[at.unwrap()]).collect();
                let group = expected.entry((row.bucket, keys)).or_default();
                group.merge(&row.measures);
            }
            let mut found = Groups::new();
            let told = rows_by(&database.ledger_read, table, by, range, &[]).await;
            for row in told.unwrap() {
                let keys = row.keys[..by.len()].to_vec();
                let group = found.entry((row.bucket, keys)).or_default();
                group.merge(&row.measures);
            }
            assert_eq!(found, expected, "{} by {by:?}", table.name);
        }
    }
}

fn batch(node: u8, entries: &[(u64, Record)]) -> Batch<'_> {
    Batch {
        node,
        entries,
        upto_seq: entries.last().map_or(0, |(seq, _)| *seq),
        now_micros: START_MS * 1_000,
    }
}

fn crashing(database: &TestDatabase, zone: Tz, crash: Arc<AtomicBool>) -> Arc<dyn LedgerStore> {
    let hook = Arc::new(move |breakpoint| {
        if breakpoint == Breakpoint::BeforeCommit && crash.swap(false, Ordering::SeqCst) {
            panic!("a crash before the commit");
        }
    });
    if database.ledger.get_database_backend() == sea_orm::DbBackend::Postgres {
        let store = PostgresStore::new(&database.ledger).in_zone(zone);
        Arc::new(store.with_breakpoints(hook))
    } else {
        let store = SqliteStore::new(&database.ledger).in_zone(zone);
        Arc::new(store.with_breakpoints(hook))
    }
}

async fn recount(database: TestDatabase, zone: Tz, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let crash = Arc::new(AtomicBool::new(false));
    let store = crashing(&database, zone, Arc::clone(&crash));
    store.prepare(START_MS).await.unwrap();
    let mut records = Vec::new();
    let mut seqs = [0_u64; 2];
    let mut last: Option<(u8, Vec<(u64, Record)>)> = None;
    for _ in 0..12 {
        let node = random.random_range(0..2_u8);
        let mut entries: Vec<(u64, Record)> = Vec::new();
        for _ in 0..random.random_range(1..120) {
            let seq = &mut seqs[usize::from(node)];
            *seq += 1;
            let record = call(&mut random, records.len() as u64);
            records.push(record.clone());
            entries.push((*seq, record));
        }
        if random.random_bool(0.4) {
            crash.store(true, Ordering::SeqCst);
            let (store, again) = (Arc::clone(&store), entries.clone());
            let crashed =
                tokio::spawn(async move { store.write(batch(node, &again)).await.is_ok() });
            assert!(crashed.await.is_err(), "it crashed");
        }
        store.write(batch(node, &entries)).await.unwrap();
        if let Some((node, entries)) = last.filter(|_| random.random_bool(0.5)) {
            // A lease that was not acked comes again, once even with a cursor that was lost.
            if random.random_bool(0.5) {
                execute(&database.ledger, "DELETE FROM spool_cursors").await;
            }
            store.write(batch(node, &entries)).await.unwrap();
        }
        last = Some((node, entries));
    }
    assert_rollups(&database, zone, &records).await;

    // What the rollups forgot is counted once, by another zone's days, also when the writer comes in between.
    let txn = begin_write(&database.ledger).await.unwrap();
    let rest = backfill::begin_anew(&txn).await.unwrap();
    txn.commit().await.unwrap();
    assert!(!rest.is_done());
    assert!(daily::is_backfilling(&database.ledger_read).await.unwrap());
    let zone = Tz::Asia__Kathmandu;
    let store = open(&database.ledger, zone);
    let mut late = Vec::new();
    for _ in 0..50 {
        let record = call(&mut random, records.len() as u64);
        records.push(record.clone());
        late.push((seqs[0] + 1_000 + late.len() as u64, record));
    }
    store.write(batch(0, &late[..25])).await.unwrap();
    assert!(store.backfill().await.unwrap());
    store.write(batch(0, &late)).await.unwrap();
    assert!(store.backfill().await.unwrap());
    assert_rollups(&database, zone, &records).await;
    assert!(!daily::is_backfilling(&database.ledger_read).await.unwrap());
    let days = daily::counted(&database.ledger_read).await.unwrap();
    let expected: BTreeSet<i64> = records
        .iter()
        .map(|record| day_of(zone, record.request_at))
        .collect();
    assert_eq!(days, Vec::from_iter(expected));

    assert_groups(&database).await;
    // Sums of more than any integer of the database are the greatest there is.
    for table in ROLLUPS {
        let greatest = format!("UPDATE {} SET cost_usd_nano = {}", table.name, 1_i64 << 60);
        execute(&database.ledger, &greatest).await;
    }
    assert_groups(&database).await;
}

#[tokio::test]
async fn rollups_are_a_recount_of_the_log() {
    for (seed, zone) in [
        (1, Tz::Europe__Berlin),
        (2, Tz::Asia__Kolkata),
        (3, Tz::UTC),
    ] {
        recount(TestDatabase::sqlite().await, zone, seed).await;
    }
}

#[tokio::test]
async fn rollups_are_a_recount_of_the_log_postgres() {
    for (seed, zone) in [(4, Tz::Europe__Berlin), (5, Tz::Asia__Kolkata)] {
        recount(TestDatabase::postgres().await, zone, seed).await;
    }
}

/// A node of the version before counts by model only; the next start counts the rest, of that node and no other.
#[tokio::test]
async fn sums_that_an_earlier_version_left_out_are_made_whole_postgres() {
    let database = TestDatabase::postgres().await;
    let mut random = StdRng::seed_from_u64(11);
    let records: Vec<Record> = (1..=200).map(|n| call(&mut random, n)).collect();
    let store = open(&database.ledger, Tz::UTC);
    store.prepare(START_MS).await.unwrap();
    for (node, some) in [(0, &records[..120]), (1, &records[120..])] {
        let entries: Vec<(u64, Record)> = (1..).zip(some.iter().cloned()).collect();
        store.write(batch(node, &entries)).await.unwrap();
    }
    let totals = async || {
        let mut all = Vec::new();
        for table in [&TOTAL_HOURLY, &TOTAL_DAILY] {
            let read = &database.ledger_read;
            let mut rows = rows(read, table, (0, i64::MAX), &[]).await.unwrap();
            rows.sort_by_key(|row| (row.bucket, row.measures.sums));
            all.extend(rows);
        }
        all
    };
    let whole = totals().await;
    assert_eq!(make_whole(&database, 0).await.unwrap(), Vec::<i64>::new());
    // One was not there yet, one stopped in the middle of an hour.
    for spoil in [
        "DELETE FROM total_hourly WHERE node = 1",
        "DELETE FROM total_daily WHERE node = 1",
        "UPDATE total_daily SET request_count = request_count - 1, duration_histogram = '' WHERE node = 0",
    ] {
        execute(&database.ledger, spoil).await;
    }
    let days: BTreeSet<i64> = records
        .iter()
        .map(|record| day_of(Tz::UTC, record.request_at))
        .collect();
    let made = make_whole(&database, 0).await.unwrap();
    assert_eq!(made, Vec::from_iter(days));
    assert_eq!(totals().await, whole);
    assert_eq!(make_whole(&database, 0).await.unwrap(), Vec::<i64>::new());
}
