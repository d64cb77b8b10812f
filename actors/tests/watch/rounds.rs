//! What becomes of series over rounds that are minutes apart. Every round is that of a process that just started: what
//! it knows, it read.

use std::time::Duration;

use sea_orm::ActiveValue::Set;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use steward_actors::alert_book;
use steward_actors::domain::clock::Clock;
use steward_entities::alert_silence::{self, NewSilence};
use steward_entities::database::begin_write;
use steward_entities::metrics_snapshot::{self, Measured};
use steward_entities::scope::Page;
use steward_entities::{alert, alert_rule, alert_series, alert_transition, channel};
use steward_migration::testing::TestDatabase;

use crate::world::{MINUTE, NODE, START, World};

macro_rules! on_both {
    ($($sqlite:ident $postgres:ident $test:ident;)*) => {$(
        #[tokio::test]
        async fn $sqlite() {
            $test(World::on(TestDatabase::sqlite().await).await).await;
        }

        #[tokio::test]
        async fn $postgres() {
            $test(World::on(TestDatabase::postgres().await).await).await;
        }
    )*};
}
pub(crate) use on_both;

on_both! {
    a_restart_goes_on_where_it_stood a_restart_goes_on_where_it_stood_postgres holds;
    an_unchanged_state_is_never_told_again an_unchanged_state_is_never_told_again_postgres edits;
    the_end_of_a_silence_tells_what_changed the_end_of_a_silence_tells_what_changed_postgres silences;
    reminders_come_until_somebody_looks_after_it reminders_come_until_somebody_looks_after_it_postgres reminders;
    by_hand_it_ends_and_begins_anew by_hand_it_ends_and_begins_anew_postgres by_hand;
    a_rule_that_goes_takes_its_incident_along a_rule_that_goes_takes_its_incident_along_postgres retires;
    flapping_is_told_once flapping_is_told_once_postgres flaps;
    what_the_tables_would_not_take_is_told what_the_tables_would_not_take_is_told_postgres set_aside;
    what_stands_on_something_down_is_not_told what_stands_on_something_down_is_not_told_postgres inhibited;
    a_gauge_is_compared_with_what_it_was_a_window_ago a_gauge_is_compared_with_what_it_was_a_window_ago_postgres grows;
    certificates_and_users_are_measured certificates_and_users_are_measured_postgres certificates;
    what_is_not_looked_at_yet_stands_and_what_is_gone_ends what_is_not_looked_at_yet_stands_and_what_is_gone_ends_postgres roll;
    every_loss_is_told_and_none_for_ever every_loss_is_told_and_none_for_ever_postgres losses;
    where_nobody_is_told_it_says_so_and_a_later_channel_hears where_nobody_is_told_it_says_so_and_a_later_channel_hears_postgres unheard;
    restarts_count_in_their_window_only restarts_count_in_their_window_only_postgres restarts;
    who_asks_for_what_is_not_known_is_told who_asks_for_what_is_not_known_is_told_postgres unknown;
}

async fn incidents(world: &World) -> Vec<alert::Model> {
    let all = Page {
        after: None,
        limit: 100,
    };
    alert::list(&world.database.control_read, &alert::Filter::default(), all)
        .await
        .unwrap()
}

async fn holds(world: World) {
    world
        .rule(|rule| {
            rule.hold_for_s = 180;
            rule.keep_firing_for_s = 120;
        })
        .await;
    world
        .trace(
            "0  up   |
             1  down |
             2  down |
             3  down |
             4  down | fired
             5  up   |
             6  down |
             7  up   |
             8  up   |
             9  up   | resolved
             10 down |
             11 up   |",
        )
        .await;
    let all = incidents(&world).await;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].active_at, START + MINUTE);
    assert_eq!(all[0].fired_at, START + 4 * MINUTE);
    assert_eq!(all[0].resolved_at, Some(START + 9 * MINUTE));
    assert_eq!(all[0].value, "unhealthy");
    let steps = alert_transition::of_alert(&world.database.control_read, all[0].id)
        .await
        .unwrap();
    let steps: Vec<&str> = steps.iter().map(|step| step.event.as_str()).collect();
    assert_eq!(steps, ["fired", "resolved"]);
}

async fn edits(world: World) {
    let rule = world.rule(|_| {}).await;
    world.trace("0 down | fired\n 1 down |").await;
    world
        .edit(&rule, |said| said.severity = "error".into())
        .await;
    world.trace("2 down |\n 3 down |").await;
    // Waiting anew, but what was told still holds.
    world.edit(&rule, |said| said.hold_for_s = 120).await;
    world
        .trace("4 down |\n 5 down |\n 6 down |\n 7 down |\n 8 up | resolved")
        .await;
    assert_eq!(incidents(&world).await.len(), 1);
    world.edit(&rule, |said| said.hold_for_s = 0).await;
    world.trace("9 down | fired").await;
    // After the edit it is over: that is told.
    world
        .edit(&rule, |said| said.condition = "status == unknown".into())
        .await;
    world.trace("10 down | resolved\n 11 down |").await;
    assert!(
        incidents(&world)
            .await
            .iter()
            .all(|row| row.resolved_at.is_some())
    );
}

async fn silence(world: &World, minutes: (i64, i64)) {
    let txn = begin_write(&world.database.control).await.unwrap();
    let new = NewSilence {
        matchers: vec!["rule=component_down".into()],
        from_at: START + minutes.0 * MINUTE,
        to_at: START + minutes.1 * MINUTE,
        reason: "maintenance".into(),
        created_by: "ada".into(),
    };
    alert_silence::insert(&txn, new, START).await.unwrap();
    txn.commit().await.unwrap();
}

async fn silences(world: World) {
    world.rule(|_| {}).await;
    silence(&world, (1, 5)).await;
    silence(&world, (7, 10)).await;
    silence(&world, (12, 14)).await;
    world
        .trace(
            "0  up   |
             1  down | fired (quiet)
             2  up   | resolved (quiet)
             3  down | fired (quiet)
             4  down |
             5  down | fired
             6  down |
             7  down |
             8  up   | resolved (quiet)
             10 up   | resolved
             11 down | fired
             12 down |
             13 down |
             14 down |",
        )
        .await;
}

async fn reminders(world: World) {
    world.rule(|_| {}).await;
    world
        .trace("0 down | fired\n 239 down |\n 240 down | repeated\n 241 down |")
        .await;
    let open = incidents(&world).await.remove(0);
    let txn = begin_write(&world.database.control).await.unwrap();
    let now = START + 242 * MINUTE;
    let (row, settled) = alert_book::acknowledge(&txn, &open, "ada", "", now)
        .await
        .unwrap();
    txn.commit().await.unwrap();
    assert_eq!(row.acknowledged_by.as_deref(), Some("ada"));
    assert_eq!(settled.notices, 1);
    world
        .trace("480 down |\n 900 down |\n 901 up | resolved\n 902 down | fired")
        .await;
    let latest = incidents(&world).await.remove(0);
    assert_eq!(latest.acknowledged_at, None);
}

async fn by_hand(world: World) {
    world.rule(|_| {}).await;
    world.trace("0 down | fired").await;
    let open = incidents(&world).await.remove(0);
    let txn = begin_write(&world.database.control).await.unwrap();
    let settled = alert_book::resolve(&txn, &open, "ada", "", START + 1)
        .await
        .unwrap();
    txn.commit().await.unwrap();
    let steps: Vec<&str> = settled.steps.iter().map(|step| step.event).collect();
    assert_eq!((steps, settled.notices), (vec!["resolved"], 1));
    world.trace("1 down | fired").await;
    let all = incidents(&world).await;
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].resolved_by.as_deref(), Some("ada"));
    assert_ne!(all[0].public_id, all[1].public_id);
}

async fn retires(world: World) {
    let rule = world.rule(|_| {}).await;
    world.trace("0 down | fired").await;
    world.edit(&rule, |said| said.enabled = false).await;
    world.trace("1 down | resolved\n 2 down |").await;
    world.edit(&rule, |said| said.enabled = true).await;
    world.trace("3 down | fired").await;
    let txn = begin_write(&world.database.control).await.unwrap();
    let row = alert_rule::hold(&txn, rule.id).await.unwrap().unwrap();
    let now = START + 4 * MINUTE;
    let settled = alert_book::retire(&txn, &row, Some("ada"), "", now)
        .await
        .unwrap();
    alert_rule::remove(&txn, &row).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(settled.notices, 1);
    let all = incidents(&world).await;
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|row| row.resolved_at.is_some()));
    let left = alert_series::active(&world.database.control_read)
        .await
        .unwrap();
    assert_eq!(left, []);
}

/// On SQLite nobody else writes meanwhile.
#[tokio::test]
async fn a_rule_is_removed_while_it_is_evaluated() {
    let world = World::on(TestDatabase::postgres().await).await;
    let rule = world.rule(|_| {}).await;
    world.trace("0 down | fired").await;
    let database = &world.database;
    let round = begin_write(&database.control).await.unwrap();
    alert_rule::hold(&round, rule.id).await.unwrap().unwrap();
    let removal = async {
        let txn = begin_write(&database.control).await.unwrap();
        let settled = alert_book::retire(&txn, &rule, Some("ada"), "", START)
            .await
            .unwrap();
        alert_rule::remove(&txn, &rule).await.unwrap();
        txn.commit().await.unwrap();
        settled
    };
    let evaluation = async {
        let waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let waits = async || {
            let waiting = Statement::from_string(DbBackend::Postgres, waiting);
            let row = database.control_read.query_one_raw(waiting).await;
            row.unwrap().is_some()
        };
        while !waits().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let kept = alert_series::of_rule(&round, rule.id).await.unwrap();
        for series in kept {
            alert_series::put(&round, series).await.unwrap();
        }
        round.commit().await.unwrap();
    };
    let both = Box::pin(async { tokio::join!(removal, evaluation) });
    let both = tokio::time::timeout(Duration::from_secs(30), both).await;
    let (settled, ()) = both.unwrap();
    assert_eq!(settled.notices, 1);
}

async fn flaps(world: World) {
    world.rule(|_| {}).await;
    world
        .trace(
            "0 down | fired
             1 up   | resolved
             2 down | fired
             3 up   | resolved
             4 down | fired
             5 up   | resolved (quiet), flapping
             6 down | fired (quiet)
             7 up   | resolved (quiet)
             90 up  | resolved",
        )
        .await;
}

#[tokio::test]
async fn what_cannot_be_measured_is_an_alert_of_its_own() {
    let world = World::on(TestDatabase::sqlite().await).await;
    world
        .rule(|rule| {
            rule.name = "broken".into();
            // Split by two labels: written by hand, since the API refuses it.
            rule.condition = "error_rate > 0.1".into();
            rule.split_by = vec!["model".into(), "token".into()];
        })
        .await;
    world
        .rule(|rule| {
            rule.name = "rule_broken".into();
            rule.condition = "evaluation_failed > 0".into();
        })
        .await;
    world.trace("0 up | fired\n 1 up |").await;
    let rules = alert_rule::all(&world.database.control_read).await.unwrap();
    assert!(rules[0].error.as_deref().unwrap().contains("one label"));
    assert_eq!(rules[1].error, None);
    world.edit(&rules[0], |rule| rule.enabled = false).await;
    world.trace("2 up | resolved").await;
}

async fn set_aside(world: World) {
    for metric in ["dead_letters", "stray_rows"] {
        world
            .rule(|rule| {
                rule.name = metric.into();
                rule.condition = format!("{metric} > 0");
            })
            .await;
    }
    assert_eq!(world.round("healthy").await, "");
    world.minutes(1);
    world.writer.send_modify(|writer| writer.stray_rows = 3);
    assert_eq!(world.round("healthy").await, "fired");
    world.minutes(1);
    let ledger = &world.database.ledger;
    let kept = "INSERT INTO dead_letters (node, seq, reason, payload, created_at) VALUES (1, 1, 'unreadable', '', 1)";
    ledger.execute_unprepared(kept).await.unwrap();
    assert_eq!(world.round("healthy").await, "fired");
    world.minutes(1);
    let replayed = "UPDATE dead_letters SET replayed_at = 2";
    ledger.execute_unprepared(replayed).await.unwrap();
    assert_eq!(world.round("healthy").await, "resolved");
    let mut values: Vec<_> = incidents(&world)
        .await
        .into_iter()
        .map(|a| a.value)
        .collect();
    values.sort_unstable();
    assert_eq!(values, ["1", "3"]);
}

/// A relay, an account behind it and what stands on that; the last column is told.
async fn inhibited(world: World) {
    world.rule(|_| {}).await;
    let rows = [
        // relay, account behind it, model of the account
        ("healthy", "healthy", "healthy", ""),
        (
            "healthy",
            "unhealthy",
            "unhealthy",
            "fired account, fired model (quiet)",
        ),
        ("unhealthy", "unhealthy", "unhealthy", "fired relay"),
        // What was told of stays told; what ends behind a dead relay is told when that is back.
        (
            "unhealthy",
            "healthy",
            "unhealthy",
            "resolved account (quiet)",
        ),
        (
            "healthy",
            "healthy",
            "unhealthy",
            "resolved account, fired model, resolved relay",
        ),
        // A relay that is merely slow hides nothing.
        (
            "degraded",
            "healthy",
            "healthy",
            "resolved model, fired relay",
        ),
        ("degraded", "unhealthy", "healthy", "fired account"),
        // All at once, and gone before the relay is back: one alert, not three.
        (
            "healthy",
            "healthy",
            "healthy",
            "resolved account, resolved relay",
        ),
        (
            "unhealthy",
            "unhealthy",
            "unhealthy",
            "fired account (quiet), fired model (quiet), fired relay",
        ),
        (
            "healthy",
            "healthy",
            "healthy",
            "resolved account (quiet), resolved model (quiet), resolved relay",
        ),
    ];
    for (row, (relay, account, model, expected)) in rows.into_iter().enumerate() {
        *world.others.lock() = vec![("account", account, "relay"), ("model", model, "account")];
        let told = world.round_by_component(relay).await;
        assert_eq!(told, expected, "in row {row}");
        // So seldom that nothing flaps.
        world.minutes(61);
    }
    // Whoever watches the account alone is told: nothing tells of the relay.
    let rules = alert_rule::all(&world.database.control_read).await.unwrap();
    let filter = vec!["component=account".to_owned()];
    world.edit(&rules[0], |rule| rule.filter = filter).await;
    *world.others.lock() = vec![("account", "unhealthy", "relay")];
    assert_eq!(world.round_by_component("unhealthy").await, "fired account");
}

/// Nothing keeps a series alive here but what is known of its component: without data the rule is clear.
async fn roll(world: World) {
    let know = |names: &[&str]| {
        *world.known.lock() = Some(names.iter().map(|name| (*name).to_owned()).collect());
    };
    world.rule(|_| {}).await;
    world
        .rule(|rule| {
            rule.name = "expiring".into();
            rule.condition = "certificate_days < 14".into();
        })
        .await;
    know(&["relay", "account"]);
    *world.others.lock() = vec![("account", "unhealthy", "")];
    *world.certificates.lock() = vec![("account", START)];
    let told = world.round_by_component("healthy").await;
    assert_eq!(told, "fired account, fired account");
    // The process was restarted and has not looked at the account yet.
    *world.others.lock() = Vec::new();
    world.certificates.lock().clear();
    world.minutes(1);
    assert_eq!(world.round_by_component("healthy").await, "");
    // It has, and there is no news of it.
    *world.others.lock() = vec![("account", "unknown", "")];
    world.minutes(1);
    let told = world.round_by_component("healthy").await;
    assert_eq!(told, "resolved account, resolved account");

    *world.others.lock() = vec![("account", "unhealthy", "")];
    world.minutes(61);
    assert_eq!(world.round_by_component("healthy").await, "fired account");
    // Disabled, or deleted: nobody looks at it, and nobody needs to do anything about it.
    let rules = alert_rule::all(&world.database.control_read).await.unwrap();
    let keeps = rules.iter().find(|rule| rule.name == "component_down");
    world
        .edit(keeps.unwrap(), |rule| rule.no_data = "keep".into())
        .await;
    know(&["relay"]);
    *world.others.lock() = Vec::new();
    world.minutes(1);
    assert_eq!(
        world.round_by_component("healthy").await,
        "resolved account"
    );
}

/// What was lost within five minutes, by this node, counts; a start forgets nothing of it.
async fn losses(world: World) {
    world
        .rule(|rule| {
            rule.name = "records_lost".into();
            rule.condition = "records_dropped > 0".into();
        })
        .await;
    let lose = || {
        let before = world.spool.ledger().dropped;
        while world.spool.ledger().dropped == before {
            world.spool.append(1, &[7; 600]).unwrap();
        }
    };
    // As the aggregator does every minute, on two nodes.
    let measure = async || {
        let events = &world.database.events;
        for (node, value) in [(NODE, world.spool.ledger().dropped), (NODE + 1, 0)] {
            let measured = Measured {
                metric: "records_dropped",
                value: value as f64,
                dimensions: serde_json::json!({}),
            };
            metrics_snapshot::insert(events, vec![measured], world.clock.now_micros(), node)
                .await
                .unwrap();
        }
    };
    measure().await;
    assert_eq!(world.round("healthy").await, "");
    lose();
    world.minutes(1);
    measure().await;
    assert_eq!(world.round("healthy").await, "fired");
    world.minutes(4);
    assert_eq!(world.round("healthy").await, "");
    world.minutes(1);
    assert_eq!(world.round("healthy").await, "resolved");
    lose();
    world.minutes(1);
    assert_eq!(world.round("healthy").await, "fired");
}

/// What is read now, against what was written down a window ago; losses against those of the window before.
async fn grows(world: World) {
    for (name, condition) in [
        ("strays", "change(stray_rows) > 0.5"),
        ("losses", "change(records_dropped) < -0.4"),
    ] {
        world
            .rule(|rule| {
                rule.name = name.into();
                rule.condition = condition.into();
                rule.window_s = 300;
            })
            .await;
    }
    // As the evaluator and the aggregator do every minute.
    let minute = async |stray: u64, dropped: i64| {
        world.writer.send_modify(|writer| writer.stray_rows = stray);
        let now = world.clock.now_micros();
        world.evaluator().gauges.sample(0, now).await.unwrap();
        let measured = Measured {
            metric: "records_dropped",
            value: dropped as f64,
            dimensions: serde_json::json!({}),
        };
        metrics_snapshot::insert(&world.database.events, vec![measured], now, NODE)
            .await
            .unwrap();
        let told = world.round("healthy").await;
        world.minutes(1);
        told
    };
    // Nothing was written down a window ago.
    for _ in 0..5 {
        assert_eq!(minute(10, 0).await, "");
    }
    assert_eq!(minute(15, 0).await, "", "half as many more is not above it");
    assert_eq!(minute(16, 0).await, "fired");
    for _ in 0..3 {
        assert_eq!(minute(16, 0).await, "");
    }
    let told = minute(16, 0).await;
    assert_eq!(told, "resolved", "five minutes ago it was 15");
    // Steward was away: what was written before it tells nothing.
    world.minutes(60);
    assert_eq!(minute(99, 0).await, "");

    // Four were lost in the window before the present one, two in this.
    let dropped = i64::try_from(world.spool.ledger().dropped).unwrap();
    world.minutes(60);
    for written in [dropped - 6, dropped - 2] {
        assert_eq!(minute(99, written).await, "");
        world.minutes(4);
    }
    assert_eq!(world.round("healthy").await, "fired");
}

async fn unheard(world: World) {
    world.without_channels().await;
    world.rule(|_| {}).await;
    world
        .trace(
            "0 down | fired (quiet)\n 1 down |\n 2 up | resolved (quiet)\n 70 down | fired (quiet)",
        )
        .await;
    let open = incidents(&world).await.remove(0);
    let read = &world.database.control_read;
    let steps = alert_transition::of_alert(read, open.id).await.unwrap();
    let steps: Vec<_> = steps.iter().map(|step| (step.told, step.rings)).collect();
    assert_eq!(steps, [(false, true)], "the bell rings, and that is all");
    // One that is off hears nothing either; one that works hears at once what fires.
    let hook = world.channel("late", "webhook").await;
    let set = |enabled| channel::ActiveModel {
        enabled: Set(enabled),
        ..Default::default()
    };
    world.set_channel(hook.id, set(false)).await;
    world.trace("71 down |").await;
    world.set_channel(hook.id, set(true)).await;
    world
        .trace("72 down | fired\n 73 down |\n 74 up | resolved")
        .await;
    assert_eq!(incidents(&world).await.len(), 2);
    assert_eq!(world.drain().await.delivered, 2);
    assert_eq!(world.post.events(), ["fired", "resolved"]);
}

/// Since the process began there were some; of the last five minutes a rule tells.
async fn restarts(world: World) {
    world
        .rule(|rule| {
            rule.name = "restarting".into();
            rule.condition = "actor_restarts > 0".into();
        })
        .await;
    let minute = async |restarts: u64| {
        world.minutes(1);
        *world.restarts.lock() = restarts;
        let told = world.round("healthy").await;
        let now = world.clock.now_micros();
        world.evaluator().gauges.sample(0, now).await.unwrap();
        told
    };
    assert_eq!(minute(0).await, "");
    assert_eq!(minute(2).await, "fired");
    for _ in 0..4 {
        assert_eq!(minute(2).await, "");
    }
    assert_eq!(minute(2).await, "resolved");
    assert_eq!(minute(3).await, "fired");
    assert_eq!(incidents(&world).await[0].value, "1");
    for _ in 0..4 {
        assert_eq!(minute(3).await, "");
    }
    assert_eq!(minute(3).await, "resolved");
    // Another process counts from the beginning.
    assert_eq!(minute(0).await, "");
    assert_eq!(minute(1).await, "fired");
}

async fn unknown(world: World) {
    world.rule(|_| {}).await;
    world
        .rule(|rule| {
            rule.name = "not_known".into();
            rule.condition = "status == unknown".into();
        })
        .await;
    assert_eq!(world.round("healthy").await, "");
    world.minutes(1);
    assert_eq!(world.round("unknown").await, "fired");
    world.minutes(1);
    assert_eq!(world.round("healthy").await, "resolved");
}

async fn certificates(world: World) {
    world
        .rule(|rule| {
            rule.name = "expiring".into();
            rule.condition = "certificate_days < 14".into();
            rule.no_data = "keep".into();
        })
        .await;
    world
        .rule(|rule| {
            rule.name = "users".into();
            rule.condition = "change(dau) < -0.4".into();
        })
        .await;
    assert_eq!(world.round("healthy").await, "", "nobody knows anything");
    let day = 24 * 60 * MINUTE;
    *world.certificates.lock() = vec![
        ("account:one", START + 15 * day),
        ("account:two", START + 13 * day),
    ];
    // Four users the day before yesterday, two yesterday, nobody yet today.
    let midnight = START - START.rem_euclid(day);
    for (days, users) in [(2, 4), (1, 2)] {
        for user in 1..=users {
            let seen = format!(
                "INSERT INTO user_daily (bucket, end_user_id, mode) VALUES ({}, {user}, 0)",
                midnight - days * day
            );
            world
                .database
                .ledger
                .execute_unprepared(&seen)
                .await
                .unwrap();
        }
    }
    world.minutes(1);
    assert_eq!(world.round("healthy").await, "fired, fired");
    let all = incidents(&world).await;
    let told: Vec<_> = all
        .iter()
        .map(|a| (a.rule.as_str(), a.value.as_str()))
        .collect();
    assert_eq!(told, [("users", "-0.5"), ("expiring", "13 d")]);
    assert_eq!(all[1].labels.0["component"], "account:two");
    world.minutes(24 * 60 + 30);
    *world.certificates.lock() = vec![("account:two", START + 90 * day)];
    // The certificate was renewed. Nobody at all yesterday, two the day before: worse still, and a day later.
    assert_eq!(world.round("healthy").await, "resolved, repeated");
}
