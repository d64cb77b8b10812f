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
}

/// Seven yuan, `days` ago.
fn call(days: i64) -> Record {
    let at = START - days * DAY;
    Record {
        rid: Rid::floor_of_ms(at / 1_000).0,
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
