//! `retention`: what has outlived its use goes, what has not stays, and it comes back after a bad hour.

use std::sync::Arc;

use arc_swap::ArcSwap;
use sea_orm::ConnectionTrait;
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::json;
use steward_actors::contents::store::{ContentStore, Month, Place};
use steward_actors::contents::{Content, Said};
use steward_actors::domain::clock::ManualClock;
use steward_actors::domain::rid::Rid;
use steward_actors::domain::setting::{Retention, Settings};
use steward_actors::retention::{HELD_MAX, Kind, Parts, Report, due, pass};
use steward_actors::supervision::ActorRef;
use steward_actors::tree::upkeep::retention::spec;
use steward_entities::archive::{self, NewArchive};
use steward_entities::column::HiddenText;
use steward_entities::operator::{self, NewOperator};
use steward_entities::session::{self, NewSession};
use steward_entities::{archive_late, idempotency_key, role};
use steward_migration::testing::TestDatabase;

use crate::{committed, eventually, on_both, supervised};

on_both!(
    what_expired_is_forgotten_and_nothing_else,
    it_looks_when_it_starts,
    each_kind_has_its_own_days,
    bodies_go_apart_from_calls,
    a_month_that_is_to_be_archived_stays_until_it_is,
    a_pass_can_be_stopped_and_there_is_only_one,
    steps_hold_the_writer_for_a_moment_only,
);

const HOUR: i64 = 3_600_000_000;
const NOW: i64 = 1_000 * HOUR;

async fn furnish(database: &TestDatabase) {
    committed(database, async |txn| {
        let operator = operator::insert(
            txn,
            NewOperator {
                username: "ada".into(),
                password_hash: HiddenText("none".into()),
                role: role::OPS_VIEWER.into(),
                display_name: String::new(),
                enabled: true,
                must_change_password: false,
                tenant_id: None,
            },
            NOW,
        )
        .await
        .unwrap();
        for (name, expires_at) in [(1, NOW - 8 * 24 * HOUR), (2, NOW - HOUR), (3, NOW + HOUR)] {
            let new = NewSession {
                operator_id: operator.id,
                refresh_hash: vec![name; 32],
                ip: String::new(),
                user_agent: String::new(),
                expires_at,
            };
            session::insert(txn, new, NOW - 30 * 24 * HOUR)
                .await
                .unwrap();
        }
        for (key, created_at) in [("old", NOW - 25 * HOUR), ("young", NOW - 23 * HOUR)] {
            let answer = idempotency_key::Model {
                key: key.into(),
                operator_id: operator.id,
                method_path: "POST /x".into(),
                body_hash: vec![0; 32],
                status: 201,
                response: json!({}),
                created_at,
            };
            idempotency_key::insert(txn, answer).await.unwrap();
        }
        Ok::<(), sea_orm::DbErr>(())
    })
    .await;
    // More than one step's worth that is due, and one that is not.
    let days = |many: i64| NOW - many * 24 * HOUR;
    for (first, many, bucket) in [(1, 1_500, days(36)), (5_000, 1, days(34))] {
        let values: Vec<String> = (first..first + many)
            .map(|token| format!("({bucket}, {token}, 1)"))
            .collect();
        let sql = format!(
            "INSERT INTO usage_stats_hourly (bucket, token_id, request_count) VALUES {}",
            values.join(", ")
        );
        database.ledger.execute_unprepared(&sql).await.unwrap();
    }
}

/// With these days for what has a setting.
pub(crate) fn parts(database: &TestDatabase, settings: Settings) -> Parts {
    // Files on either database: what PostgreSQL does differently is tested where the store is.
    let contents = ContentStore::new(
        Place::Files(database.dir().join("contents")),
        database.control_read.clone(),
        Arc::new(|connection| {
            Box::pin(async move { steward_migration::migrate_contents(&connection).await })
        }),
    );
    Parts {
        databases: (**database).clone(),
        contents,
        settings: Arc::new(ArcSwap::from_pointee(settings)),
        board: Arc::default(),
        clock: Arc::new(ManualClock::at_micros(NOW)),
    }
}

fn keeping(retention: Retention) -> Settings {
    Settings {
        retention,
        ..Settings::default()
    }
}

async fn passed(parts: &Parts) -> Report {
    pass(parts, NOW, &|_| {}, &|| false).await.unwrap().unwrap()
}

async fn run(connection: &impl ConnectionTrait, sql: &str) {
    connection.execute_unprepared(sql).await.unwrap();
}

/// Rows with the times `NOW` minus so many days, by one statement.
fn aged(insert: &str, ages_days: &[i64]) -> String {
    let values: Vec<String> = ages_days
        .iter()
        .enumerate()
        .map(|(n, age)| {
            insert
                .replace("$AT", &(NOW - age * 24 * HOUR).to_string())
                .replace("$N", &n.to_string())
        })
        .collect();
    values.join("; ")
}

fn rid(age_days: i64, n: i64) -> i64 {
    Rid::floor_of_ms((NOW - age_days * 24 * HOUR) / 1_000).0 + n
}

/// Calls of these ages, so many of each, with a try.
async fn calls(database: &TestDatabase, ages_days: &[i64], many: i64) {
    for age in ages_days {
        let values: Vec<String> = (0..many)
            .map(|n| {
                format!(
                    "({}, 1, {at}, {at}, 1, 200, 0, TRUE)",
                    rid(*age, n),
                    at = NOW - age * 24 * HOUR
                )
            })
            .collect();
        let sql = format!(
            "INSERT INTO request_logs (rid, id_tail, request_at, response_at, token_id, status_code, node, success) VALUES {}",
            values.join(", ")
        );
        run(&database.ledger, &sql).await;
        let values: Vec<String> = (0..many)
            .map(|n| format!("({}, 1, 1, 1, 200, 1)", rid(*age, n)))
            .collect();
        let sql = format!(
            "INSERT INTO request_attempts (rid, started_at, duration_ms, account_id, status_code, ordinal) VALUES {}",
            values.join(", ")
        );
        run(&database.ledger, &sql).await;
    }
}

async fn number(connection: &impl ConnectionTrait, sql: &str) -> i64 {
    let asked = sea_orm::Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(asked).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

async fn calls_left(database: &TestDatabase) -> (i64, i64) {
    let read = &database.ledger_read;
    (
        number(read, "SELECT COUNT(*) FROM request_logs").await,
        number(read, "SELECT COUNT(*) FROM request_attempts").await,
    )
}

async fn left(database: &TestDatabase) -> (u64, u64) {
    let read = &database.control_read;
    (
        session::Entity::find().count(read).await.unwrap(),
        idempotency_key::Entity::find().count(read).await.unwrap(),
    )
}

async fn what_expired_is_forgotten_and_nothing_else(database: &TestDatabase) {
    furnish(database).await;
    let parts = parts(database, Settings::default());
    let expected = due(&parts, Kind::HourlyCounts, NOW, 10_000).await.unwrap();
    assert_eq!(expected.rows, 1_500);
    let report = passed(&parts).await;
    assert_eq!(
        report.removed,
        [
            ("idempotency_keys", 1),
            ("sessions", 1),
            ("usage_stats_hourly", 1_500)
        ]
        .into()
    );
    assert_eq!(left(database).await, (2, 1));
    assert_eq!(passed(&parts).await.rows(), 0);
    let standing = parts.board.standing();
    assert_eq!((standing.running, standing.last.unwrap().0), (None, NOW));
}

async fn it_looks_when_it_starts(database: &TestDatabase) {
    furnish(database).await;
    let parts = parts(database, Settings::default());
    let tree = supervised(spec(&ActorRef::new(4), parts));
    eventually("the expired to go", async || {
        (left(database).await == (2, 1)).then_some(())
    })
    .await;
    tree.shutdown(std::time::Duration::from_secs(5)).await;
}

async fn each_kind_has_its_own_days(database: &TestDatabase) {
    let ages = [1, 20, 50];
    let events = &database.events;
    for (table, columns, values) in [
        (
            "system_logs",
            "line, at, level, target, message, fields",
            "$AT, $AT, 'WARN', 't', 'm', '{}'",
        ),
        (
            "health_checks",
            "at, component, status, details",
            "$AT, 'c', 'healthy', '{}'",
        ),
        (
            "metrics_snapshots",
            "at, metric, value, dimensions",
            "$AT, 'm', 1, '{}'",
        ),
        (
            "deliveries",
            "at, message_id, channel_id, attempt, outcome",
            "$AT, 'm', 'c', 1, 'delivered'",
        ),
    ] {
        let insert = format!("INSERT INTO {table} ({columns}) VALUES ({values})");
        run(events, &aged(&insert, &ages)).await;
    }
    let control = &database.control;
    run(control, "INSERT INTO channels (id, public_id, name, kind, shown, recipients, sealed, sealed_key_id, takes_all, \
        enabled, created_by, created_at, updated_at, version) \
        VALUES (1, 'c', 'c', 'webhook', '', '[]', '', '', TRUE, TRUE, 'x', 1, 1, 1)").await;
    let alert = "INSERT INTO alerts (id, public_id, rule_id, rule, severity, labels, condition, value, channels, active_at, \
        fired_at, resolved_at) VALUES (10 + $N, 'a$N', 'r', 'r', 'error', '{}', 'c', '1', '[]', 1, 1, $AT)";
    run(control, &aged(alert, &ages)).await;
    run(control, "INSERT INTO alerts (id, public_id, rule_id, rule, severity, labels, condition, value, channels, active_at, \
        fired_at) VALUES (20, 'open', 'r', 'r', 'error', '{}', 'c', '1', '[]', 1, 1)").await;
    run(control, "INSERT INTO alert_transitions (alert_id, event, at, value, told) SELECT id, 'fired', 1, '1', TRUE FROM alerts").await;
    let notice = "INSERT INTO outbox (public_id, transition_id, channel_id, incident, notice, state, attempts, next_at, \
        created_at, done_at) VALUES ('m$N', $N, 1, 'i', '{}', 'delivered', 1, 1, 1, $AT)";
    run(control, &aged(notice, &ages)).await;
    run(control, "INSERT INTO outbox (public_id, transition_id, channel_id, incident, notice, state, attempts, next_at, \
        created_at) VALUES ('w', 9, 1, 'i', '{}', 'waiting', 1, 1, 1)").await;
    // Nobody got these; of one somebody decided that it is not needed.
    for (step, state) in [(10, "given_up"), (11, "quarantined"), (12, "discarded")] {
        run(control, &format!("INSERT INTO outbox (public_id, transition_id, channel_id, incident, notice, state, attempts, \
            next_at, created_at, done_at) VALUES ('m{step}', {step}, 1, 'i', '{{}}', '{state}', 1, 1, 1, 1)")).await;
    }
    let parts = parts(
        database,
        keeping(Retention {
            system_logs_days: 10,
            health_checks_days: 40,
            metrics_snapshots_days: 0,
            deliveries_days: 40,
            alerts_days: 10,
            ..Retention::default()
        }),
    );
    let report = passed(&parts).await;
    assert_eq!(
        report.removed,
        [
            ("alerts", 2),
            ("deliveries", 1),
            ("health_checks", 1),
            ("outbox", 2),
            ("system_logs", 2),
        ]
        .into()
    );
    let read = &database.control_read;
    assert_eq!(
        number(read, "SELECT COUNT(*) FROM alert_transitions").await,
        2,
        "with their incidents"
    );
    assert_eq!(
        number(
            read,
            "SELECT COUNT(*) FROM alerts WHERE resolved_at IS NULL"
        )
        .await,
        1
    );
    assert_eq!(
        number(
            read,
            "SELECT COUNT(*) FROM outbox WHERE state IN ('waiting', 'given_up', 'quarantined')"
        )
        .await,
        3
    );
    assert_eq!(
        number(
            &database.events_read,
            "SELECT COUNT(*) FROM metrics_snapshots"
        )
        .await,
        3
    );
}

fn said(age_days: i64, n: i64) -> Content {
    Content {
        rid: rid(age_days, n),
        id_tail: 1,
        created_at: NOW - age_days * 24 * HOUR,
        said: Some(Said {
            prompt: format!("question {n}"),
            ..Said::default()
        }),
        ..Content::default()
    }
}

async fn bodies_go_apart_from_calls(database: &TestDatabase) {
    // NOW is 1970-02-11: the month before is whole, this one is not.
    calls(database, &[2, 9, 30], 3).await;
    let parts = parts(
        database,
        keeping(Retention {
            contents_days: 5,
            ..Retention::default()
        }),
    );
    let mut contents = Vec::new();
    for age in [2, 9, 30] {
        contents.extend((0..3).map(|n| said(age, n)));
    }
    parts.contents.write(&contents).await.unwrap();
    assert_eq!(
        due(&parts, Kind::Contents, NOW, 1_000).await.unwrap().rows,
        6
    );
    let report = passed(&parts).await;
    assert_eq!(report.removed, [("contents", 6)].into());
    assert_eq!(parts.contents.totals().await.unwrap().contents, 3);
    assert_eq!(
        parts.contents.census((0, i64::MAX), 99).await.unwrap().rows,
        3
    );
    assert!(
        !database.dir().join("contents/1970-01.db").exists(),
        "a whole month goes with its file"
    );
    assert_eq!(calls_left(database).await, (9, 9), "calls stay");

    let settings = keeping(Retention {
        request_logs_days: 8,
        ..Retention::default()
    });
    parts.settings.store(Arc::new(settings));
    let report = passed(&parts).await;
    assert_eq!(report.removed, [("request_logs", 6)].into());
    assert_eq!(calls_left(database).await, (3, 3), "with their tries");
}

async fn a_month_that_is_to_be_archived_stays_until_it_is(database: &TestDatabase) {
    calls(database, &[2, 9, 30], 2).await;
    let settings = Settings {
        archives: true,
        ..keeping(Retention {
            request_logs_days: 8,
            ..Retention::default()
        })
    };
    let parts = parts(database, settings);
    assert_eq!(passed(&parts).await.rows(), 0);
    let january = Month::of(rid(30, 0));
    let archived = NewArchive {
        kind: "request_logs",
        month: january.name(),
        rows: 2,
        bytes: 1,
        manifest: "m".into(),
        sha256: "s".into(),
        place_id: None,
        parts: 1,
    };
    let row = committed(database, async |txn| {
        archive::insert(txn, archived.clone(), NOW).await
    })
    .await;
    let again = committed(database, async |txn| {
        archive::insert(txn, archived, NOW).await
    })
    .await;
    assert_eq!(again, None, "a month is archived once");
    let row = row.unwrap();
    let hold = async |until: i64| {
        committed(database, async |txn| {
            archive::mark_imported(txn, row.id, NOW, until).await
        })
        .await;
    };
    assert_eq!(
        passed(&parts).await.rows(),
        0,
        "what its files have is not known"
    );
    committed(database, async |_| {
        let rids = (january.from(), january.to());
        archive_late::seal(&database.ledger, rids).await?;
        archive_late::settle(&database.ledger, rids.0).await
    })
    .await;
    hold(NOW + 1).await;
    assert_eq!(
        passed(&parts).await.rows(),
        0,
        "it was brought back to be looked at"
    );
    hold(NOW).await;
    // Of this month nothing is archived, so what is old of it stays.
    assert_eq!(passed(&parts).await.removed, [("request_logs", 2)].into());
    assert_eq!(calls_left(database).await, (4, 4));
}

async fn a_pass_can_be_stopped_and_there_is_only_one(database: &TestDatabase) {
    calls(database, &[30], 300).await;
    let settings = keeping(Retention {
        request_logs_days: 8,
        ..Retention::default()
    });
    let parts = parts(database, settings);
    let within = std::sync::atomic::AtomicBool::new(false);
    let seen = parking_lot::Mutex::new(Vec::new());
    let stopped = pass(
        &parts,
        NOW,
        &|per_cent| seen.lock().push(per_cent),
        // Asked before each step.
        &|| within.swap(true, std::sync::atomic::Ordering::Relaxed),
    )
    .await
    .unwrap()
    .unwrap();
    assert!(stopped.is_stopped);
    assert_eq!((stopped.steps, stopped.rows()), (1, 50));
    assert_eq!(*seen.lock(), [16]);
    assert_eq!(calls_left(database).await.0, 250);

    let watching = || {
        let running = parts.board.standing().running.unwrap();
        assert_eq!((running.kind, running.due), (Kind::RequestLogs, 250));
        false
    };
    let (first, second) = tokio::join!(
        pass(&parts, NOW, &|_| {}, &watching),
        pass(&parts, NOW, &|_| {}, &|| false)
    );
    assert_eq!(first.unwrap().unwrap().rows(), 250);
    assert_eq!(second.unwrap(), None, "one at a time");
}

async fn steps_hold_the_writer_for_a_moment_only(database: &TestDatabase) {
    for age in [20, 21, 22, 23] {
        calls(database, &[age], 1_500).await;
    }
    let settings = keeping(Retention {
        request_logs_days: 8,
        ..Retention::default()
    });
    let parts = parts(database, settings);
    let report = passed(&parts).await;
    assert_eq!(report.rows(), 6_000);
    assert!(report.steps > 5, "{report:?}");
    // A machine that does something else for a moment is not the loop's doing; that it goes on so would be.
    assert!(
        report.slow_steps * 5 < report.steps,
        "{HELD_MAX:?} is held mostly: {report:?}"
    );
}
