//! What a rule would have read over the last day.

use steward_actors::alert_book::rule_of;
use steward_actors::domain::alert::condition::Reading;
use steward_actors::domain::clock::Clock;
use steward_actors::domain::record::Record;
use steward_actors::domain::rid::Rid;
use steward_actors::ledger_store::{Batch, open};
use steward_migration::testing::TestDatabase;

use crate::rounds::on_both;
use crate::world::{MINUTE, START, World};

const HOUR: i64 = 60 * MINUTE;
/// The world begins at half past.
const LAST_HOUR: i64 = START - HOUR / 2;

on_both! {
    hours_are_read_by_the_share_of_the_window hours_are_read_by_the_share_of_the_window_postgres shares;
    what_is_written_down_every_minute_is_shown what_is_written_down_every_minute_is_shown_postgres samples;
}

/// What the rule would have read, by hours or minutes before the world began.
async fn history(world: &World, condition: &str, window_s: i64) -> Vec<(i64, f64)> {
    let row = world
        .rule(|rule| {
            rule.name = format!("{condition} {window_s}");
            rule.condition = condition.into();
            rule.window_s = window_s;
        })
        .await;
    let rule = rule_of(&row).unwrap();
    let now = world.clock.now_micros();
    let history = world.evaluator().gauges.history(&rule, now).await.unwrap();
    let numbers = history
        .into_iter()
        .filter_map(|(at, reading)| match reading {
            Reading::Number(value) => Some((at, value)),
            _ => None,
        });
    numbers.filter(|(_, value)| *value != 0.0).collect()
}

async fn shares(world: World) {
    let store = open(&world.database.ledger, chrono_tz::Tz::UTC);
    store.prepare(START / 1_000).await.unwrap();
    let calls = |at: i64, many: i64| {
        (0..many).map(move |number| Record {
            rid: Rid::floor_of_ms(at / 1_000).0 + number,
            id_tail: 1,
            provider: "openai".into(),
            model: "gpt-4o".into(),
            request_at: at,
            response_at: at,
            status_code: if number % 4 == 0 { 502 } else { 200 },
            success: number % 4 != 0,
            ..Record::default()
        })
    };
    let all =
        calls(LAST_HOUR - 5 * HOUR - MINUTE, 120).chain(calls(LAST_HOUR - 4 * HOUR - MINUTE, 60));
    let entries: Vec<(u64, Record)> = (1..).zip(all).collect();
    let batch = Batch {
        node: 1,
        entries: &entries,
        upto_seq: entries.len() as u64,
        now_micros: START,
    };
    store.write(batch).await.unwrap();
    let (fifth, fourth) = (LAST_HOUR - 5 * HOUR, LAST_HOUR - 4 * HOUR);
    // Five minutes have a twelfth of the hour, two hours have both.
    assert_eq!(
        history(&world, "request_count > 5", 300).await,
        [(fifth, 10.0), (fourth, 5.0)]
    );
    assert_eq!(
        history(&world, "request_count > 5", 7_200).await,
        [(fifth, 120.0), (fourth, 180.0), (fourth + HOUR, 60.0)]
    );
    // A share of calls is the same in each part of an hour.
    assert_eq!(
        history(&world, "error_rate > 0.1", 300).await,
        [(fifth, 0.25), (fourth, 0.25)]
    );
    assert_eq!(
        history(&world, "change(request_count) > 0.1", 300).await,
        [(fourth, -0.5), (fourth + HOUR, -1.0)]
    );
}

async fn samples(world: World) {
    for stray in [3, 3, 1] {
        world.writer.send_modify(|writer| writer.stray_rows = stray);
        let now = world.clock.now_micros();
        world.evaluator().gauges.sample(2, now).await.unwrap();
        world.minutes(1);
    }
    assert_eq!(
        history(&world, "stray_rows > 0", 300).await,
        [
            (START, 3.0),
            (START + MINUTE, 3.0),
            (START + 2 * MINUTE, 1.0)
        ]
    );
    let failed = history(&world, "evaluation_failed > 0", 300).await;
    assert_eq!(failed.len(), 3, "{failed:?}");
    // Against a minute ago.
    let change = history(&world, "change(stray_rows) < 0", 60).await;
    assert_eq!(change.len(), 1, "{change:?}");
    assert_eq!(change[0].0, START + 2 * MINUTE);
    assert!((change[0].1 + 2.0 / 3.0).abs() < 1e-9, "{change:?}");
    // What is told apart is not written down.
    assert_eq!(history(&world, "status = unhealthy", 300).await, []);
}
