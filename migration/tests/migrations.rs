//! Every change goes up on both databases, leaves nothing pending and can be asked for twice.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use sea_orm_migration::sea_orm::{
    self, ConnectionTrait, DatabaseConnection, DbBackend, FromQueryResult, Statement,
};
use steward_entities::database::{DatabaseKind, Databases};
use steward_entities::ledger::histogram::Histogram;
use steward_entities::ledger::rollup::{self, TOTAL_DAILY, TOTAL_HOURLY};
use steward_migration::testing::TestDatabase;

#[derive(FromQueryResult)]
struct Text {
    value: String,
}

async fn texts(connection: &DatabaseConnection, sql: &str) -> Vec<String> {
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    Text::find_by_statement(statement)
        .all(connection)
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.value)
        .collect()
}

async fn pending(databases: &Databases) -> steward_migration::Pending {
    steward_migration::pending(
        &databases.control_read,
        &databases.ledger_read,
        &databases.events_read,
    )
    .await
    .unwrap()
}

async fn tables_are_there(databases: &Databases) {
    for (table, columns) in [
        ("instance", "key, value"),
        (
            "tenants",
            "id, public_id, name, status, suspended_at, suspended_reason",
        ),
        ("tokens", "id, hash, previous_hash, allowed_models, version"),
        (
            "accounts",
            "id, secret_sealed, secret_key_id, models, aliases",
        ),
        ("operators", "id, username, epoch, tenant_id"),
        ("sessions", "id, operator_id, refresh_hash, family"),
        ("operator_keys", "id, operator_id, hash"),
        ("roles", "id, name, permissions"),
        ("ops_logs", "id, at, action, details"),
        ("jobs", "id, kind, state, progress, cancel_requested"),
        ("exchange_rates", "id, cny_per_usd_nano, valid_from"),
        ("dashboard_stats", "stat_date, ai_requests, synced_at"),
        ("idempotency_keys", "key, operator_id, body_hash, response"),
        (
            "prices",
            "id, public_id, provider, model, valid_from, from_list, source",
        ),
    ] {
        databases
            .control_read
            .execute_unprepared(&format!("SELECT {columns} FROM {table}"))
            .await
            .unwrap_or_else(|error| panic!("{table}: {error}"));
    }
    for (table, columns) in [
        ("metrics_snapshots", "id, at, metric, value, dimensions"),
        (
            "system_logs",
            "id, line, at, level, target, message, fields",
        ),
        ("health_checks", "id, at, component, status, latency_ms"),
        ("deliveries", "id, at, message_id, channel_id, outcome"),
    ] {
        databases
            .events_read
            .execute_unprepared(&format!("SELECT {columns} FROM {table}"))
            .await
            .unwrap_or_else(|error| panic!("{table}: {error}"));
    }
}

async fn nothing_is_pending_and_again_changes_nothing(databases: &Databases) {
    for _ in 0..2 {
        assert_eq!(
            pending(databases).await,
            steward_migration::Pending::default()
        );
        steward_migration::migrate_control(&databases.control)
            .await
            .unwrap();
        steward_migration::migrate_ledger(&databases.ledger)
            .await
            .unwrap();
        steward_migration::migrate_events(&databases.events)
            .await
            .unwrap();
    }
}

async fn roles_are_seeded(databases: &Databases) {
    let permissions =
        "SELECT name || ' ' || CAST(permissions AS TEXT) AS value FROM roles ORDER BY name";
    assert_eq!(
        texts(&databases.control_read, permissions).await,
        [
            r#"ops_admin ["*"]"#,
            r#"ops_viewer ["read:*", "!read:conversations"]"#,
            concat!(
                r#"tenant_admin ["read:tenants", "read:tokens", "write:tokens", "read:logs", "read:stats", "#,
                r#""read:conversations", "write:conversations", "read:feedback", "write:feedback", "read:knowledge", "#,
                r#""write:knowledge", "read:operators", "write:operators", "read:roles"]"#
            ),
            concat!(
                r#"tenant_staff ["read:tenants", "read:logs", "read:stats", "read:feedback", "write:feedback", "#,
                r#""read:knowledge", "write:knowledge"]"#
            ),
        ]
    );
}

async fn readers_refuse_to_write(databases: &Databases) {
    for reader in [
        &databases.control_read,
        &databases.ledger_read,
        &databases.events_read,
    ] {
        let refused = reader
            .execute_unprepared("CREATE TABLE intruder (id BIGINT)")
            .await;
        assert!(refused.is_err());
    }
}

async fn all(databases: &Databases) {
    tables_are_there(databases).await;
    nothing_is_pending_and_again_changes_nothing(databases).await;
    roles_are_seeded(databases).await;
    readers_refuse_to_write(databases).await;
}

#[tokio::test]
async fn migrations_on_sqlite() {
    let database = TestDatabase::sqlite().await;
    all(&database).await;
}

#[tokio::test]
async fn migrations_on_postgres() {
    let database = TestDatabase::postgres().await;
    all(&database).await;
}

#[tokio::test]
async fn pending_changes_are_named_without_making_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let config = steward_entities::database::DatabaseConfig::Sqlite {
        dir: dir.path().to_path_buf(),
    };
    let databases = Databases::open(&config).await.unwrap();
    let pending = pending(&databases).await;
    assert_eq!(pending.control.first().unwrap(), "control/m0001_instance");
    assert_eq!(
        pending.events,
        ["events/m0001_events", "events/m0002_lines"]
    );
    let tables = "SELECT name AS value FROM sqlite_schema";
    assert!(texts(&databases.control_read, tables).await.is_empty());
}

/// What was counted by model before there were totals: two models and two nodes in one hour, one in the next.
async fn totals_begin_with_what_was_counted(databases: &Databases) {
    let of = |values: &[i64]| {
        let mut histogram = Histogram::default();
        values.iter().for_each(|value| histogram.add(*value));
        histogram
    };
    let ledger = &databases.ledger;
    for undo in [
        "DROP TABLE total_hourly",
        "DROP TABLE total_daily",
        "DELETE FROM seaql_migrations WHERE version = 'm0058_totals'",
    ] {
        ledger.execute_unprepared(undo).await.unwrap();
    }
    for (hour, model, node, durations, ttfts) in [
        (1_i64, 1_i64, 0_i64, vec![10, 500, 70_000], vec![5]),
        (1, 2, 0, vec![10, 900], vec![]),
        (1, 1, 1, vec![20], vec![7, 7]),
        (2, 1, 0, vec![30], vec![9]),
    ] {
        for table in ["model_hourly", "model_daily"] {
            let insert = Statement::from_sql_and_values(
                ledger.get_database_backend(),
                format!(
                    "INSERT INTO {table} (bucket, model_id, provider_id, node, request_count, cost_usd_nano, \
                     duration_histogram, ttft_histogram) VALUES ($1, $2, 1, $3, $4, 7, $5, $6)"
                ),
                [
                    hour.into(),
                    model.into(),
                    node.into(),
                    (durations.len() as i64).into(),
                    of(&durations).encode().into(),
                    of(&ttfts).encode().into(),
                ],
            );
            ledger.execute_raw(insert).await.unwrap();
        }
    }
    steward_migration::migrate_ledger(ledger).await.unwrap();
    for table in [&TOTAL_HOURLY, &TOTAL_DAILY] {
        let rows = rollup::rows(&databases.ledger_read, table, (0, 9), &[]).await;
        let mut found: Vec<_> = rows
            .unwrap()
            .into_iter()
            .map(|row| {
                let sum = |column| row.measures.sum(column);
                let sums = (row.bucket, sum("request_count"), sum("cost_usd_nano"));
                (sums, row.measures.duration, row.measures.ttft)
            })
            .collect();
        found.sort_by_key(|(sums, ..)| *sums);
        let expected = [
            ((1, 1, 7), of(&[20]), of(&[7, 7])),
            ((1, 5, 14), of(&[10, 500, 70_000, 10, 900]), of(&[5])),
            ((2, 1, 7), of(&[30]), of(&[9])),
        ];
        assert_eq!(found, expected, "{}", table.name);
    }
}

#[tokio::test]
async fn totals_begin_with_what_was_counted_on_sqlite() {
    let database = TestDatabase::sqlite().await;
    totals_begin_with_what_was_counted(&database).await;
}

#[tokio::test]
async fn totals_begin_with_what_was_counted_on_postgres() {
    let database = TestDatabase::postgres().await;
    totals_begin_with_what_was_counted(&database).await;
}

/// Two processes that start together: the second waits, then finds nothing to do.
#[tokio::test]
async fn two_processes_may_migrate_at_once_on_postgres() {
    let database = TestDatabase::postgres().await;
    database
        .control
        .execute_unprepared("DROP SCHEMA steward CASCADE")
        .await
        .unwrap();
    let other = Databases::open(database.config()).await.unwrap();
    let (first, second) = tokio::join!(
        steward_migration::migrate_control(&database.control),
        steward_migration::migrate_control(&other.control),
    );
    first.unwrap();
    second.unwrap();
    roles_are_seeded(&database).await;
}

#[tokio::test]
async fn sqlite_files_are_set_up_as_the_storage_page_asks() {
    let database = TestDatabase::sqlite().await;
    assert_eq!(database.kind, DatabaseKind::Sqlite);
    for (connection, synchronous) in [
        (&database.control, 1),
        (&database.ledger, 2),
        (&database.events, 1),
    ] {
        for (pragma, expected) in [
            ("journal_mode", "wal".to_owned()),
            ("auto_vacuum", "2".to_owned()),
            ("synchronous", synchronous.to_string()),
            ("busy_timeout", "5000".to_owned()),
            ("wal_autocheckpoint", "4000".to_owned()),
            ("foreign_keys", "1".to_owned()),
        ] {
            let sql = format!("PRAGMA {pragma}");
            let row = connection
                .query_one_raw(Statement::from_string(DbBackend::Sqlite, sql))
                .await
                .unwrap()
                .unwrap();
            let found = row
                .try_get_by_index::<String>(0)
                .or_else(|_| {
                    row.try_get_by_index::<i64>(0)
                        .map(|number| number.to_string())
                })
                .unwrap();
            assert_eq!(found, expected, "{pragma}");
        }
    }
}
