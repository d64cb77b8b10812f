//! Months as files: everything of a month comes back as it was, what is there stays, what was changed is refused.

use std::sync::Arc;

use sea_orm::{ConnectionTrait, Statement};
use steward_actors::archive::{Parts, bring_back, waiting, write_all};
use steward_actors::contents::store::{ContentFilter, ContentStore, Place};
use steward_actors::contents::{Content, Said};
use steward_actors::domain::clock::ManualClock;
use steward_actors::domain::rid::Rid;
use steward_entities::archive;
use steward_entities::tombstone::{self, Selection};
use steward_migration::testing::TestDatabase;

use crate::{committed, on_both};

on_both!(
    a_month_goes_and_comes_back_as_it_was,
    what_was_deleted_does_not_come_back,
    files_that_were_changed_are_refused,
);

const DAY_MS: i64 = 86_400_000;
/// 2026-03-15T18:30:00Z: February is over, and so is its time for being told late.
const NOW_MS: i64 = 1_773_599_400_000;
const FEBRUARY_MS: i64 = NOW_MS - 40 * DAY_MS;

fn parts(database: &TestDatabase) -> Parts {
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
        settings: Arc::default(),
        dir: database.dir().join("archive"),
        busy: Arc::default(),
        clock: Arc::new(ManualClock::at_micros(NOW_MS * 1_000)),
    }
}

fn rid(ms: i64, n: i64) -> i64 {
    Rid::floor_of_ms(ms).0 + n
}

async fn run(connection: &impl ConnectionTrait, sql: &str) {
    connection.execute_unprepared(sql).await.unwrap();
}

/// Everything of the table as text, in order.
async fn dump(connection: &impl ConnectionTrait, sql: &str) -> Vec<String> {
    let asked = Statement::from_string(connection.get_database_backend(), sql);
    let rows = connection.query_all_raw(asked).await.unwrap();
    rows.iter()
        .map(|row| row.try_get_by_index(0).unwrap())
        .collect()
}

/// The log spelt out: every column of every call, with the names behind its ids.
async fn calls(database: &TestDatabase) -> Vec<String> {
    let columns = [
        "id",
        "token_id",
        "token_name",
        "account_name",
        "tenant_name",
        "app",
        "user_name",
        "mode",
        "provider",
        "model",
        "upstream_model",
        "operation",
        "stream",
        "duration_ms",
        "ttft_ms",
        "prompt_tokens",
        "total_tokens",
        "cost",
        "currency",
        "priced",
        "price_id",
        "status_code",
        "success",
        "error_code",
        "error_message",
        "conversation_id",
        "node",
        "source",
        "attempts",
        "client_ip",
        "upstream_request_id",
    ];
    let each = columns.map(|column| format!("COALESCE(CAST({column} AS TEXT), '-')"));
    let sql = format!(
        "SELECT {} FROM request_log_view ORDER BY rid",
        each.join(" || '|' || ")
    );
    dump(&database.ledger_read, &sql).await
}

async fn tries(database: &TestDatabase) -> Vec<String> {
    let sql = "SELECT CAST(rid AS TEXT) || '|' || CAST(ordinal AS TEXT) || '|' || CAST(status_code AS TEXT) || '|' || \
        COALESCE(error_code, '-') FROM request_attempt_view ORDER BY rid, ordinal";
    dump(&database.ledger_read, sql).await
}

async fn furnish(database: &TestDatabase, parts: &Parts) {
    let ledger = &database.ledger;
    run(
        ledger,
        "INSERT INTO apps (name) VALUES ('shop'); INSERT INTO end_users (name) VALUES ('ada'); \
        INSERT INTO models (name) VALUES ('gpt-4o'), ('gpt-4o-2024-08-06')",
    )
    .await;
    run(
        ledger,
        "INSERT INTO dim_tokens (id, public_id, name) VALUES (7, 'tok_7', 'billing'); \
        INSERT INTO dim_accounts (id, public_id, name) VALUES (3, 'acc_3', 'openai'); \
        INSERT INTO dim_tenants (id, public_id, name) VALUES (2, 'ten_2', 'acme')",
    )
    .await;
    for (n, ms) in [
        (0, FEBRUARY_MS),
        (1, FEBRUARY_MS),
        (2, FEBRUARY_MS + DAY_MS),
        (3, NOW_MS),
    ] {
        let at = ms * 1_000;
        run(ledger, &format!(
            "INSERT INTO request_logs (rid, id_tail, request_at, response_at, token_id, account_id, tenant_id, app_id, \
             end_user_id, model_id, upstream_model_id, price_id, duration_ms, ttft_ms, prompt_tokens, completion_tokens, \
             total_tokens, cost_nano, status_code, operation, node, attempts, stream, priced, success, provider, currency, \
             error_message, conversation_id, attempt_offset_us, attempt_ms) \
             VALUES ({}, 9, {at}, {at}, 7, 3, 2, 1, 1, 1, 2, 5, 12, NULL, 1, 2, 3, 123456789, 200, 1, 0, 1, TRUE, TRUE, \
             {}, 'openai', 'USD', 'it''s 完成', 'c{n}', 10, 11)",
            rid(ms, n), if n == 1 { "FALSE" } else { "TRUE" },
        )).await;
        run(ledger, &format!(
            "INSERT INTO request_attempts (rid, started_at, duration_ms, account_id, status_code, ordinal, error_code) \
             VALUES ({0}, {at}, 1, 3, 500, 2, 'upstream_error'), ({0}, {at}, 1, 3, 200, 3, NULL)", rid(ms, n)
        )).await;
    }
    let contents: Vec<Content> = (0..3).map(said).collect();
    parts.contents.write(&contents).await.unwrap();
}

fn said(n: i64) -> Content {
    Content {
        rid: rid(FEBRUARY_MS, n),
        id_tail: 9,
        token_id: 7,
        token_public_id: "tok_7".into(),
        end_user: format!("user {n}"),
        created_at: FEBRUARY_MS * 1_000,
        redaction: "none".into(),
        said: Some(Said {
            messages_json: "[{\"role\":\"user\"}]".into(),
            prompt: format!("问题 {n}"),
            completion: "answer".into(),
            ..Said::default()
        }),
        ..Content::default()
    }
}

async fn kept(parts: &Parts) -> Vec<(String, Said)> {
    let (hits, _) = parts
        .contents
        .list(&ContentFilter::default(), None, 99)
        .await
        .unwrap();
    hits.into_iter()
        .map(|hit| (hit.row.end_user, hit.said))
        .collect()
}

async fn archived(database: &TestDatabase, kind: &str) -> archive::Model {
    let all = archive::all(&database.control_read).await.unwrap();
    all.into_iter().find(|row| row.kind == kind).unwrap()
}

async fn back(parts: &Parts, row: &archive::Model) -> Result<(u64, u64), String> {
    let back = bring_back(parts, &row.public_id, &|_| {}, &|| false).await;
    back.map_err(|error| error.to_string())
}

async fn a_month_goes_and_comes_back_as_it_was(database: &TestDatabase) {
    let parts = parts(database);
    furnish(database, &parts).await;
    let names: Vec<String> = waiting(&parts)
        .await
        .unwrap()
        .into_iter()
        .map(|(kind, month)| format!("{} {}", kind.name(), month.name()))
        .collect();
    assert_eq!(names, ["request_logs 2026-02", "contents 2026-02"]);
    let before = (
        calls(database).await,
        tries(database).await,
        kept(&parts).await,
    );
    let written = write_all(&parts, &|_| {}, &|| false).await.unwrap();
    assert_eq!(written, Some(names));
    assert_eq!(waiting(&parts).await.unwrap(), []);
    let (log, bodies) = (
        archived(database, "request_logs").await,
        archived(database, "contents").await,
    );
    assert_eq!((log.rows, bodies.rows), (3, 3));
    // Nothing is missing: nothing is put in.
    assert_eq!(back(&parts, &log).await, Ok((3, 0)));
    assert_eq!(back(&parts, &bodies).await, Ok((3, 0)));

    // The month goes, its names too; another model got the first id meanwhile.
    let end = rid(NOW_MS - 10 * DAY_MS, 0);
    for table in ["request_logs", "request_attempts"] {
        run(
            &database.ledger,
            &format!("DELETE FROM {table} WHERE rid < {end}"),
        )
        .await;
    }
    run(
        &database.ledger,
        "UPDATE models SET name = 'other' WHERE name = 'gpt-4o'; DELETE FROM dim_tokens",
    )
    .await;
    std::fs::remove_file(database.dir().join("contents/2026-02.db")).unwrap();
    let empty = self::parts(database);
    assert_eq!(kept(&empty).await, []);
    assert_eq!(back(&empty, &log).await, Ok((3, 3)));
    assert_eq!(back(&empty, &bodies).await, Ok((3, 3)));
    assert_eq!(
        back(&empty, &log).await,
        Ok((3, 0)),
        "again changes nothing"
    );
    assert_eq!(back(&empty, &bodies).await, Ok((3, 0)));
    let after = (
        calls(database).await,
        tries(database).await,
        kept(&empty).await,
    );
    assert_eq!(after.0[..3], before.0[..3]);
    assert_eq!((after.1, after.2), (before.1, before.2));
}

async fn what_was_deleted_does_not_come_back(database: &TestDatabase) {
    let parts = parts(database);
    furnish(database, &parts).await;
    write_all(&parts, &|_| {}, &|| false).await.unwrap();
    let gone = Selection {
        rid_from: 0,
        rid_to: i64::MAX,
        end_user: Some("user 1".into()),
        ..Selection::default()
    };
    committed(database, async |txn| {
        tombstone::insert(txn, gone.clone(), "job_1".into(), NOW_MS * 1_000).await
    })
    .await;
    while parts.contents.delete_some(&gone).await.unwrap() > 0 {}
    let row = archived(database, "contents").await;
    assert_eq!(back(&parts, &row).await, Ok((3, 0)));
    assert_eq!(kept(&parts).await.len(), 2);
}

async fn files_that_were_changed_are_refused(database: &TestDatabase) {
    let parts = parts(database);
    furnish(database, &parts).await;
    write_all(&parts, &|_| {}, &|| false).await.unwrap();
    let row = archived(database, "request_logs").await;
    let dir = parts.dir.join("request_logs/2026-02");
    let file = dir.join("request_attempts.parquet");
    let whole = std::fs::read(&file).unwrap();
    let mut changed = whole.clone();
    changed[10] ^= 1;
    std::fs::write(&file, &changed).unwrap();
    let refused = back(&parts, &row).await.unwrap_err();
    assert!(
        refused.contains("request_attempts.parquet is not the one"),
        "{refused}"
    );
    std::fs::write(&file, &whole).unwrap();
    assert_eq!(back(&parts, &row).await, Ok((3, 0)));
    let manifest = dir.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("\"rows\": 3", "\"rows\": 4")).unwrap();
    let refused = back(&parts, &row).await.unwrap_err();
    assert!(
        refused.contains("manifest.json is not the one"),
        "{refused}"
    );
    std::fs::remove_dir_all(&dir).unwrap();
    let refused = back(&parts, &row).await.unwrap_err();
    assert!(refused.contains("cannot be read"), "{refused}");
}
