//! Calls charged anew: rows and rollups say the same afterwards, whatever was interrupted or repeated.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use chrono_tz::Tz;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sea_orm::{ConnectionTrait, Statement};
use steward_actors::domain::calendar::{day_of, next_day};
use steward_actors::domain::clock::{ManualClock, SharedClock};
use steward_actors::domain::price::{Currency, Price, PriceBook, PriceRow, Tier};
use steward_actors::domain::record::{Operation, Record};
use steward_actors::domain::rid::Rid;
use steward_actors::ledger_store::days::derive_day;
use steward_actors::ledger_store::recount::recount;
use steward_actors::ledger_store::reprice::{Books, Hears, Recharged, Scope, reprice};
use steward_actors::ledger_store::{Batch, open};
use steward_entities::database::begin_write;
use steward_entities::ledger::rollup::{Fact, MODEL_DAILY, ROLLUPS, rows};
use steward_entities::{dashboard_stats, exchange_rate};
use steward_migration::testing::TestDatabase;

use crate::records::execute;

const ZONE: Tz = Tz::Asia__Shanghai;
/// 2026-10-24T17:00:00Z: an hour after midnight in Shanghai.
const START: i64 = 1_792_861_200_000_000;
const HOUR: i64 = 3_600_000_000;
const NOW: i64 = START + 40 * HOUR;

fn price(id: i64, provider: &str, model: &str, currency: Currency, valid_from: i64) -> PriceRow {
    PriceRow {
        provider: provider.into(),
        model: model.into(),
        valid_from,
        from_list: true,
        removed: false,
        price: Price {
            id,
            currency,
            input_nano: 1_000_003 * id,
            output_nano: 7_000_001 * id,
            cached_nano: Some(99_999),
            cache_write_nano: None,
            cache_write_1h_nano: Some(3_000_000_017 * id),
            reasoning_nano: None,
            per_call_nano: id,
            per_unit_nano: 13 * id,
            tiers: vec![Tier {
                above: 2_500,
                input_nano: 2_000_000_011 * id,
                output_nano: 9_000_001 * id,
                cache_write_1h_nano: Some(5_000_000_003 * id),
                ..Tier::default()
            }],
        },
    }
}

fn call(random: &mut StdRng, n: u64, before: &PriceBook) -> Record {
    let at = START + random.random_range(0..36 * HOUR);
    let success = random.random_bool(0.8);
    let (prompt, completion) = match success {
        true => (random.random_range(0..5_000), random.random_range(0..900)),
        false => (0, 0),
    };
    let mut record = Record {
        rid: Rid::floor_of_ms(at / 1_000).0 + n as i64,
        id_tail: n,
        token_id: random.random_range(1..4),
        tenant_id: random.random_range(0..2),
        provider: ["openai", "azure"][random.random_range(0..2)].into(),
        model: ["a", "b", "org/c"][random.random_range(0..3)].into(),
        upstream_model: ["", "a-2024-08-06", "unheard-of"][random.random_range(0..3)].into(),
        operation: [Operation::Chat, Operation::CountTokens][usize::from(n.is_multiple_of(9))]
            .into(),
        request_at: at,
        response_at: at,
        duration_ms: random.random_range(0..9_000),
        ttft_ms: success.then_some(70),
        prompt_tokens: prompt,
        cached_tokens: prompt / 3,
        cache_write_tokens: prompt / 4,
        cache_write_1h_tokens: prompt / 5,
        units: prompt % 7,
        completion_tokens: completion,
        total_tokens: prompt + completion,
        status_code: [502, 200][usize::from(success)],
        success,
        ..Record::default()
    };
    if n.is_multiple_of(11) {
        // It brought its own cost.
        record.priced = true;
        record.cost_nano = 4_242;
        record.currency = "CNY".into();
    }
    before.price(&mut record);
    record
}

/// What the log says of each call, in the order of ids.
async fn charges(database: &TestDatabase) -> Vec<(i64, String, bool, i64)> {
    let backend = database.ledger_read.get_database_backend();
    let sql = "SELECT cost_nano, currency, priced, price_id FROM request_logs ORDER BY rid";
    let found = database
        .ledger_read
        .query_all_raw(Statement::from_string(backend, sql));
    let rows = found.await.unwrap();
    rows.iter()
        .map(|row| {
            (
                row.try_get_by_index(0).unwrap(),
                row.try_get_by_index(1).unwrap(),
                row.try_get_by_index(2).unwrap(),
                row.try_get_by_index(3).unwrap(),
            )
        })
        .collect()
}

fn as_charged(records: &[Record]) -> Vec<(i64, String, bool, i64)> {
    let mut sorted: Vec<&Record> = records.iter().collect();
    sorted.sort_by_key(|record| record.rid);
    let each = sorted.into_iter().map(|record| {
        (
            record.cost_nano,
            record.currency.clone(),
            record.priced,
            record.price_id,
        )
    });
    each.collect()
}

type Heard = BTreeMap<(i64, i64, i64), [i64; 2]>;

/// Adds up by token, tenant and time what is told of charges that became others.
fn listener() -> (Arc<Mutex<Heard>>, Hears) {
    let heard = Arc::<Mutex<Heard>>::default();
    let kept = Arc::clone(&heard);
    let hears = move |call: Recharged| {
        add(
            &mut kept.lock().unwrap(),
            (call.token_id, call.tenant_id, call.request_at),
            call.difference,
        );
    };
    (heard, Arc::new(hears))
}

fn add(sums: &mut Heard, key: (i64, i64, i64), difference: [i64; 2]) {
    if difference != [0, 0] {
        let sum = sums.entry(key).or_default();
        *sum = [sum[0] + difference[0], sum[1] + difference[1]];
    }
}

/// What should have been told.
fn told(now: &[Record], then: &[Record]) -> Heard {
    let charge = |record: &Record| Fact::charge(record.cost_nano, &record.currency);
    let mut sums = Heard::new();
    for (now, then) in now.iter().zip(then) {
        let (after, before) = (charge(now), charge(then));
        add(
            &mut sums,
            (now.token_id, now.tenant_id, now.request_at),
            [after[0] - before[0], after[1] - before[1]],
        );
    }
    sums
}

/// The nightly recount finds every rollup to be what the log says.
async fn assert_recounts(database: &TestDatabase) {
    let mut day = day_of(ZONE, START);
    let mut calls = 0;
    while day < NOW {
        let found = recount(&database.ledger_read, ZONE, day, NOW, |_| {});
        let found = found.await.unwrap();
        assert_eq!(found.difference_count, 0, "{:?}", found.differences);
        calls += found.calls;
        day = next_day(ZONE, day);
    }
    assert_eq!(calls, 400);
}

async fn charged_anew(database: TestDatabase) {
    let mut random = StdRng::seed_from_u64(11);
    let before = PriceBook::new([
        price(1, "openai", "a", Currency::Usd, 0),
        price(2, "openai", "b", Currency::Usd, 0),
        price(3, "azure", "a", Currency::Cny, 0),
    ]);
    // One is dearer from noon on, one in another currency, one new, one gone.
    let after = PriceBook::new([
        price(1, "openai", "a", Currency::Usd, 0),
        price(4, "openai", "a", Currency::Usd, START + 11 * HOUR),
        price(5, "openai", "b", Currency::Cny, 0),
        price(6, "openai", "org/c", Currency::Usd, 0),
    ]);
    let records: Vec<Record> = (0..400).map(|n| call(&mut random, n, &before)).collect();
    let store = open(&database.ledger, ZONE);
    store.prepare(START / 1_000).await.unwrap();
    for (node, half) in [0_u8, 1].into_iter().zip(records.chunks(200)) {
        let entries: Vec<(u64, Record)> = (1..).zip(half.iter().cloned()).collect();
        let batch = Batch {
            node,
            entries: &entries,
            upto_seq: 200,
            now_micros: NOW,
        };
        store.write(batch).await.unwrap();
    }
    assert_eq!(charges(&database).await, as_charged(&records));
    assert_recounts(&database).await;

    let (heard, hears) = listener();
    let books = Books {
        read: database.ledger_read.clone(),
        store: Arc::clone(&store),
        zone: ZONE,
        clock: Arc::new(ManualClock::at_micros(NOW)),
        hears,
    };
    // A part of it first: that part only.
    let (from, to) = (START + 3 * HOUR, START + 20 * HOUR);
    let mut expected = records.clone();
    let mut in_part = 0;
    for record in &mut expected {
        if (from..to).contains(&record.request_at) && record.provider == "openai" {
            in_part += 1;
            after.price(record);
        }
    }
    let part = Scope {
        from,
        to,
        provider: Some("openai".into()),
        model: None,
    };
    let done = reprice(&books, &part, &after, |_| true).await.unwrap();
    let differ = |now: &[Record], then: &[Record]| {
        let pairs = as_charged(now).into_iter().zip(as_charged(then));
        pairs.filter(|(now, then)| now != then).count() as u64
    };
    assert_eq!(
        (done.calls, done.changed),
        (in_part, differ(&expected, &records))
    );
    assert!(done.changed > 20, "{done:?}");
    assert_eq!(charges(&database).await, as_charged(&expected));
    assert_eq!(
        std::mem::take(&mut *heard.lock().unwrap()),
        told(&expected, &records)
    );
    assert_recounts(&database).await;

    // All of it; again; and back.
    let all = Scope {
        from: START - HOUR,
        to: NOW,
        ..Scope::default()
    };
    for prices in [&after, &after, &before] {
        let then = expected.clone();
        expected.iter_mut().for_each(|record| prices.price(record));
        let unpriced = |record: &&Record| !record.priced && record.total_tokens > 0;
        let done = reprice(&books, &all, prices, |_| true).await.unwrap();
        assert_eq!((done.calls, done.changed), (400, differ(&expected, &then)));
        assert_eq!(
            done.unpriced,
            expected.iter().filter(unpriced).count() as u64
        );
        assert_eq!(charges(&database).await, as_charged(&expected));
        assert_eq!(
            std::mem::take(&mut *heard.lock().unwrap()),
            told(&expected, &then)
        );
        assert_recounts(&database).await;
    }
    assert_eq!(expected, records);
}

#[tokio::test]
async fn rows_and_rollups_are_charged_anew_together() {
    charged_anew(TestDatabase::sqlite().await).await;
}

#[tokio::test]
async fn rows_and_rollups_are_charged_anew_together_postgres() {
    charged_anew(TestDatabase::postgres().await).await;
}

/// What is still to be counted is counted as it then stands; hours that are forgotten stay forgotten.
async fn what_is_not_counted(database: TestDatabase) {
    let mut random = StdRng::seed_from_u64(12);
    let none = PriceBook::default();
    let records: Vec<Record> = (0..50).map(|n| call(&mut random, n, &none)).collect();
    let entries: Vec<(u64, Record)> = (1..).zip(records).collect();
    let store = open(&database.ledger, ZONE);
    store.prepare(START / 1_000).await.unwrap();
    let batch = Batch {
        node: 0,
        entries: &entries,
        upto_seq: 50,
        now_micros: NOW,
    };
    store.write(batch).await.unwrap();
    for table in ROLLUPS {
        execute(&database.ledger, &format!("DELETE FROM {}", table.name)).await;
    }
    let to_count = "UPDATE rollup_backfill SET next_rid = (SELECT min(rid) FROM request_logs), \
         below_rid = (SELECT max(rid) + 1 FROM request_logs)";
    execute(&database.ledger, to_count).await;
    let prices = PriceBook::new([price(1, "openai", "a", Currency::Usd, 0)]);
    let books = |now| Books {
        read: database.ledger_read.clone(),
        // Another one, which has not seen how far the counting is.
        store: open(&database.ledger, ZONE),
        zone: ZONE,
        clock: Arc::new(ManualClock::at_micros(now)),
        hears: Arc::new(|_| {}),
    };
    let all = Scope {
        from: START - HOUR,
        to: NOW,
        ..Scope::default()
    };
    let done = reprice(&books(NOW), &all, &prices, |_| true).await.unwrap();
    assert!(done.changed > 0);
    let stored = rows(&database.ledger_read, &MODEL_DAILY, (0, i64::MAX), &[]);
    assert_eq!(stored.await.unwrap(), []);
    let store = open(&database.ledger, ZONE);
    while !store.backfill().await.unwrap() {}
    let days = [day_of(ZONE, START), next_day(ZONE, day_of(ZONE, START))];
    for day in days {
        let found = recount(&database.ledger_read, ZONE, day, NOW, |_| {}).await;
        assert_eq!(found.unwrap().difference_count, 0);
    }
    // Two months later the hours have been thrown away.
    execute(&database.ledger, "DELETE FROM usage_stats_hourly").await;
    let later = NOW + 60 * 24 * HOUR;
    let done = reprice(&books(later), &all, &PriceBook::default(), |_| true).await;
    assert!(done.unwrap().changed > 0);
    for day in days {
        let found = recount(&database.ledger_read, ZONE, day, later, |_| {}).await;
        assert_eq!(found.unwrap().difference_count, 0);
    }
    let sql = "SELECT count(*) FROM usage_stats_hourly";
    let backend = database.ledger_read.get_database_backend();
    let count = database
        .ledger_read
        .query_one_raw(Statement::from_string(backend, sql));
    let count: i64 = count.await.unwrap().unwrap().try_get_by_index(0).unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn calls_still_to_be_counted_are_counted_once() {
    what_is_not_counted(TestDatabase::sqlite().await).await;
}

#[tokio::test]
async fn calls_still_to_be_counted_are_counted_once_postgres() {
    what_is_not_counted(TestDatabase::postgres().await).await;
}

/// A day whose calls were charged in two currencies has one cost: in dollars, by the last rate of that day.
async fn mixed(database: TestDatabase) {
    let control = &database.control;
    for (at, tenths) in [(0, 70), (START + HOUR, 80), (START + 48 * HOUR, 90)] {
        let txn = begin_write(control).await.unwrap();
        let rate = tenths * 100_000_000;
        exchange_rate::note(&txn, rate, at).await.unwrap();
        txn.commit().await.unwrap();
    }
    let charged = |n: u64, cost_nano: i64, currency: &str| Record {
        rid: Rid::floor_of_ms(START / 1_000).0 + n as i64,
        id_tail: n,
        token_id: 1,
        provider: "openai".into(),
        model: "a".into(),
        request_at: START,
        response_at: START,
        total_tokens: 3,
        status_code: 200,
        success: true,
        priced: true,
        cost_nano,
        currency: currency.into(),
        ..Record::default()
    };
    let entries = [
        (1, charged(1, 1_500_000_000, "USD")),
        (2, charged(2, 4_000_000_000, "CNY")),
        (3, charged(3, 12_000_000_000, "CNY")),
    ];
    let store = open(&database.ledger, ZONE);
    store.prepare(START / 1_000).await.unwrap();
    let clock: SharedClock = Arc::new(ManualClock::at_micros(NOW));
    let day = day_of(ZONE, START);
    for (upto, expected) in [
        (1, (Some(1_500_000_000), Some("USD"))),
        // 1.50 + 4 / 8, and 12 / 8 more.
        (2, (Some(2_000_000_000), Some("USD"))),
        (3, (Some(3_500_000_000), Some("USD"))),
    ] {
        let batch = Batch {
            node: 0,
            entries: &entries[upto - 1..upto],
            upto_seq: upto as u64,
            now_micros: NOW,
        };
        store.write(batch).await.unwrap();
        derive_day(&database, ZONE, &clock, day).await.unwrap();
        let shown = dashboard_stats::list(&database.control_read, "", "9999");
        let shown = shown.await.unwrap();
        assert_eq!(
            (shown[0].cost_nano, shown[0].currency.as_deref()),
            expected,
            "{upto}"
        );
    }
}

#[tokio::test]
async fn charges_in_two_currencies_are_one_cost_of_the_day() {
    mixed(TestDatabase::sqlite().await).await;
}

#[tokio::test]
async fn charges_in_two_currencies_are_one_cost_of_the_day_postgres() {
    mixed(TestDatabase::postgres().await).await;
}
