//! Rules that watch costs: what was spent in two currencies is one sum by the exchange rates of its days.

use std::sync::Arc;

use steward_actors::domain::price::{Rate, Rates};
use steward_actors::domain::record::Record;
use steward_actors::domain::rid::Rid;
use steward_actors::domain::setting::Settings;
use steward_actors::ledger_store::{Batch, open};
use steward_migration::testing::TestDatabase;

use crate::rounds::on_both;
use crate::world::{START, World};

const DAY: i64 = 86_400_000_000;

on_both! {
    every_day_has_its_own_rate every_day_has_its_own_rate_postgres rates_of_days;
    a_cost_changes_against_the_same_stretch a_cost_changes_against_the_same_stretch_postgres changes;
}

/// Seven yuan, `days` ago.
fn call(days: i64) -> Record {
    call_at(START - days * DAY, 0)
}

fn call_at(at: i64, number: i64) -> Record {
    Record {
        rid: Rid::floor_of_ms(at / 1_000).0 + number,
        id_tail: 1,
        token_id: 1,
        token_public_id: "tok_1".into(),
        provider: "dashscope".into(),
        model: "qwen-plus".into(),
        request_at: at,
        response_at: at,
        total_tokens: 1,
        status_code: 200,
        success: true,
        priced: true,
        cost_nano: 7_000_000_000,
        currency: "CNY".into(),
        ..Record::default()
    }
}

async fn rates_of_days(world: World) {
    let store = open(&world.database.ledger, chrono_tz::Tz::UTC);
    store.prepare(START / 1_000).await.unwrap();
    let entries = [(1, call(5)), (2, call(0))];
    let batch = Batch {
        node: 1,
        entries: &entries,
        upto_seq: 2,
        now_micros: START,
    };
    store.write(batch).await.unwrap();
    let rate = |yuan: i64| Rate::new(yuan * 1_000_000_000).unwrap();
    world.settings.store(Arc::new(Settings {
        rate: rate(14),
        rates: Rates::new(vec![(0, rate(7)), (START - DAY, rate(14))]),
        ..Settings::default()
    }));
    // A dollar then and half of one today: neither rate alone makes a dollar and a half of it.
    for (condition, outcome) in [
        ("cost_month > 1.6", ""),
        ("cost_month > 1.4", "fired"),
        ("cost_today > 0.6", ""),
        ("cost_today > 0.4", "fired"),
    ] {
        world
            .rule(|rule| {
                rule.name = condition.into();
                rule.condition = condition.into();
            })
            .await;
        assert_eq!(world.round("healthy").await, outcome, "{condition}");
    }
}

/// It is half past six in the evening of the fifteenth of March.
async fn changes(world: World) {
    let store = open(&world.database.ledger, chrono_tz::Tz::UTC);
    store.prepare(START / 1_000).await.unwrap();
    let hour = DAY / 24;
    let mut entries = Vec::new();
    for (at, many) in [
        (START - 8 * hour, 2),
        (START - 10 * 60_000_000, 9), // In the hour that is not over.
        (START - DAY - 8 * hour, 1),
        (START - DAY + hour, 5), // Later yesterday than it is today.
        (START - 33 * DAY, 12),
        (START - 23 * DAY, 50), // The month before was further then.
    ] {
        for number in 0..many {
            entries.push((entries.len() as u64 + 1, call_at(at, number)));
        }
    }
    let batch = Batch {
        node: 1,
        entries: &entries,
        upto_seq: entries.len() as u64,
        now_micros: START,
    };
    store.write(batch).await.unwrap();
    for (condition, outcome) in [
        ("change(cost_today) > 1.01", ""),
        ("change(cost_today) > 0.99", "fired"),
        ("change(cost_month) < -0.51", ""),
        ("change(cost_month) < -0.49", "fired"),
    ] {
        world
            .rule(|rule| {
                rule.name = condition.into();
                rule.condition = condition.into();
            })
            .await;
        assert_eq!(world.round("healthy").await, outcome, "{condition}");
    }
}
