//! `retention`: what has outlived its use goes, what has not stays, and it comes back after a bad hour.

use std::sync::Arc;

use sea_orm::ConnectionTrait;
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::json;
use steward_actors::domain::clock::ManualClock;
use steward_actors::supervision::ActorRef;
use steward_actors::tree::upkeep::retention::{Parts, Removed, round, spec};
use steward_entities::column::HiddenText;
use steward_entities::operator::{self, NewOperator};
use steward_entities::session::{self, NewSession};
use steward_entities::{idempotency_key, role};
use steward_migration::testing::TestDatabase;

use crate::{committed, eventually, on_both, supervised};

on_both!(
    what_expired_is_forgotten_and_nothing_else,
    it_looks_when_it_starts,
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

async fn left(database: &TestDatabase) -> (u64, u64) {
    let read = &database.control_read;
    (
        session::Entity::find().count(read).await.unwrap(),
        idempotency_key::Entity::find().count(read).await.unwrap(),
    )
}

async fn what_expired_is_forgotten_and_nothing_else(database: &TestDatabase) {
    furnish(database).await;
    let removed = round(database, NOW).await.unwrap();
    assert_eq!(
        removed,
        Removed {
            sessions: 1,
            answers: 1,
            hourly_counts: 1_500,
            measured: 0,
            looks: 0,
        }
    );
    assert_eq!(left(database).await, (2, 1));
    assert_eq!(round(database, NOW).await.unwrap(), Removed::default());
}

async fn it_looks_when_it_starts(database: &TestDatabase) {
    furnish(database).await;
    let parts = Parts {
        databases: (**database).clone(),
        clock: Arc::new(ManualClock::at_micros(NOW)),
    };
    let tree = supervised(spec(&ActorRef::new(4), parts));
    eventually("the expired to go", async || {
        (left(database).await == (2, 1)).then_some(())
    })
    .await;
    tree.shutdown(std::time::Duration::from_secs(5)).await;
}
