//! Months as files: everything of a month comes back as it was, what is there stays, what was changed is refused.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use sea_orm::{ConnectionTrait, Statement};
use steward_actors::archive::{
    Found, Parts, are_there, bring_back, find, seal_place, waiting, write_all,
};
use steward_actors::contents::store::{ContentFilter, ContentStore, Place};
use steward_actors::contents::{Content, Said};
use steward_actors::depot;
use steward_actors::domain::clock::ManualClock;
use steward_actors::domain::rid::Rid;
use steward_actors::outward::{Call, Outward, Reply};
use steward_actors::vault::Vault;
use steward_entities::tombstone::{self, Selection};
use steward_entities::{archive, archive_place, lease, public_id};
use steward_migration::testing::TestDatabase;

use crate::{committed, on_both};

on_both!(
    a_month_goes_and_comes_back_as_it_was,
    what_was_deleted_does_not_come_back,
    files_that_were_changed_are_refused,
    months_go_to_a_bucket_and_come_back_from_there,
    a_bucket_that_is_shared_or_out_of_reach_loses_nothing,
    months_nobody_knows_are_found,
);

pub(crate) const DAY_MS: i64 = 86_400_000;
/// 2026-03-15T18:30:00Z: February is over, and so is its time for being told late.
pub(crate) const NOW_MS: i64 = 1_773_599_400_000;
pub(crate) const FEBRUARY_MS: i64 = NOW_MS - 40 * DAY_MS;

/// A bucket, or none while it is out of reach.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    files: Mutex<BTreeMap<String, Bytes>>,
    pub(crate) is_away: Mutex<bool>,
    /// Takes so many files and is away then.
    pub(crate) takes: Mutex<Option<usize>>,
}

#[async_trait::async_trait]
impl Outward for Bucket {
    async fn call(&self, call: Call) -> Result<Reply, String> {
        let answer = |status: u16, body: Bytes| {
            Ok(Reply {
                status,
                body,
                ..Reply::default()
            })
        };
        if *self.is_away.lock() {
            // Not worth another try: the tests do not wait.
            return answer(403, "<Error><Code>AccessDenied</Code></Error>".into());
        }
        let rest = call.url.strip_prefix("https://s3.example.com/b").unwrap();
        let mut files = self.files.lock();
        if let Some(query) = rest.strip_prefix('?') {
            let prefix = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("prefix="));
            let prefix = prefix.unwrap().replace("%2F", "/");
            let listed: String = files
                .iter()
                .filter(|(name, _)| name.starts_with(&prefix))
                .map(|(name, content)| {
                    format!(
                        "<Contents><Key>{name}</Key><Size>{}</Size></Contents>",
                        content.len()
                    )
                })
                .collect();
            let xml = format!(
                "<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>"
            );
            return answer(200, xml.into());
        }
        let name = rest.trim_start_matches('/').to_owned();
        match call.method {
            "PUT" => {
                let mut takes = self.takes.lock();
                match takes.as_mut() {
                    Some(0) => {
                        return answer(403, "<Error><Code>AccessDenied</Code></Error>".into());
                    }
                    Some(left) => *left -= 1,
                    None => {}
                }
                files.insert(name, call.body);
                answer(200, Bytes::new())
            }
            "GET" => match files.get(&name) {
                Some(content) => answer(200, content.clone()),
                None => answer(404, "<Error><Code>NoSuchKey</Code></Error>".into()),
            },
            _ => {
                files.remove(&name);
                answer(204, Bytes::new())
            }
        }
    }

    async fn addresses(&self, _: &str, _: u16) -> Result<Vec<SocketAddr>, String> {
        Err("not asked for".to_owned())
    }
}

impl Bucket {
    pub(crate) fn names(&self) -> Vec<String> {
        self.files.lock().keys().cloned().collect()
    }
}

/// New months go to the bucket from now on.
pub(crate) async fn choose_bucket(database: &TestDatabase, parts: &Parts) -> archive_place::Model {
    let place = depot::Place::Bucket(depot::Bucket {
        endpoint: "https://s3.example.com".into(),
        region: "eu".into(),
        bucket: "b".into(),
        prefix: "steward/".into(),
        access_key: "AKIA".into(),
        secret_key: "canary".into(),
    });
    let public_id = public_id::new("apl");
    let sealed = seal_place(&parts.vault, &public_id, &place).unwrap();
    let said = archive_place::Said {
        public_id,
        kind: "bucket".into(),
        shown: place.shown(),
        sealed: sealed.bytes,
        sealed_key_id: sealed.key_id,
        by: String::new(),
    };
    committed(database, async |txn| {
        archive_place::choose(txn, said.clone(), NOW_MS * 1_000).await
    })
    .await
}

fn parts(database: &TestDatabase) -> Parts {
    parts_by(database, Arc::default())
}

pub(crate) fn parts_by(database: &TestDatabase, outward: Arc<Bucket>) -> Parts {
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
        vault: Arc::new(Vault::open(database.dir()).unwrap()),
        outward,
        node: 1,
        busy: Arc::default(),
        clock: Arc::new(ManualClock::at_micros(NOW_MS * 1_000)),
    }
}

pub(crate) fn rid(ms: i64, n: i64) -> i64 {
    Rid::floor_of_ms(ms).0 + n
}

pub(crate) async fn run(connection: &impl ConnectionTrait, sql: &str) {
    connection.execute_unprepared(sql).await.unwrap();
}

/// Everything of the table as text, in order.
pub(crate) async fn dump(connection: &impl ConnectionTrait, sql: &str) -> Vec<String> {
    let asked = Statement::from_string(connection.get_database_backend(), sql);
    let rows = connection.query_all_raw(asked).await.unwrap();
    rows.iter()
        .map(|row| row.try_get_by_index(0).unwrap())
        .collect()
}

/// The log spelt out: every column of every call, with the names behind its ids.
pub(crate) async fn calls(database: &TestDatabase) -> Vec<String> {
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
        "knowledge",
        "cache_write_1h_tokens",
        "units",
    ];
    let each = columns.map(|column| format!("COALESCE(CAST({column} AS TEXT), '-')"));
    let sql = format!(
        "SELECT {} FROM request_log_view ORDER BY rid",
        each.join(" || '|' || ")
    );
    dump(&database.ledger_read, &sql).await
}

pub(crate) async fn tries(database: &TestDatabase) -> Vec<String> {
    let sql = "SELECT CAST(rid AS TEXT) || '|' || CAST(ordinal AS TEXT) || '|' || CAST(status_code AS TEXT) || '|' || \
        COALESCE(error_code, '-') FROM request_attempt_view ORDER BY rid, ordinal";
    dump(&database.ledger_read, sql).await
}

pub(crate) async fn furnish(database: &TestDatabase, parts: &Parts) {
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
             error_message, conversation_id, attempt_offset_us, attempt_ms, knowledge, cache_write_1h_tokens, units) \
             VALUES ({}, 9, {at}, {at}, 7, 3, 2, 1, 1, 1, 2, 5, 12, NULL, 1, 2, 3, 123456789, 200, 1, 0, 1, TRUE, TRUE, \
             {}, 'openai', 'USD', 'it''s 完成', 'c{n}', 10, 11, 'qa_{n}', {n}, {n} + 5)",
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

pub(crate) fn said(n: i64) -> Content {
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
            tools_json: "[{\"name\":\"weather\"}]".into(),
            ..Said::default()
        }),
        ..Content::default()
    }
}

pub(crate) async fn kept(parts: &Parts) -> Vec<(String, Said)> {
    let (hits, _) = parts
        .contents
        .list(&ContentFilter::default(), None, 99)
        .await
        .unwrap();
    hits.into_iter()
        .map(|hit| (hit.row.end_user, hit.said))
        .collect()
}

pub(crate) async fn archived(database: &TestDatabase, kind: &str) -> archive::Model {
    let all = archive::all(&database.control_read).await.unwrap();
    all.into_iter().find(|row| row.kind == kind).unwrap()
}

pub(crate) async fn back(parts: &Parts, row: &archive::Model) -> Result<(u64, u64), String> {
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
    if database.ledger.get_database_backend() == sea_orm::DbBackend::Postgres {
        for table in ["request_logs", "request_attempts"] {
            let astray = format!("SELECT rid::TEXT FROM {table}_default WHERE rid < {end}");
            assert_eq!(dump(&database.ledger, &astray).await, Vec::<String>::new());
        }
    }
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

/// February leaves the databases.
pub(crate) async fn forget(database: &TestDatabase) {
    let end = rid(NOW_MS - 10 * DAY_MS, 0);
    for table in ["request_logs", "request_attempts"] {
        let sql = format!("DELETE FROM {table} WHERE rid < {end}");
        run(&database.ledger, &sql).await;
    }
    std::fs::remove_file(database.dir().join("contents/2026-02.db")).unwrap();
}

async fn months_go_to_a_bucket_and_come_back_from_there(database: &TestDatabase) {
    let bucket = Arc::new(Bucket::default());
    let parts = parts_by(database, Arc::clone(&bucket));
    furnish(database, &parts).await;
    let place = choose_bucket(database, &parts).await;
    let before = (calls(database).await, kept(&parts).await);
    write_all(&parts, &|_| {}, &|| false)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        bucket.names(),
        [
            "steward/contents/2026-02/conversation_contents.parquet",
            "steward/contents/2026-02/manifest.json",
            "steward/request_logs/2026-02/manifest.json",
            "steward/request_logs/2026-02/request_attempts.parquet",
            "steward/request_logs/2026-02/request_logs.parquet",
        ]
    );
    let log = archived(database, "request_logs").await;
    let bodies = archived(database, "contents").await;
    assert_eq!((log.place_id, log.rows), (Some(place.id), 3));
    let there = are_there(&parts, &[log.clone(), bodies.clone()]).await;
    assert_eq!(there, BTreeMap::from([(log.id, true), (bodies.id, true)]));

    // The operators go back to the directory; what lies in the bucket comes back from there all the same.
    committed(database, async |txn| {
        archive_place::leave(txn, NOW_MS * 1_000).await
    })
    .await;
    forget(database).await;
    let empty = parts_by(database, Arc::clone(&bucket));
    assert_eq!(back(&empty, &log).await, Ok((3, 3)));
    assert_eq!(back(&empty, &bodies).await, Ok((3, 3)));
    let after = (calls(database).await, kept(&empty).await);
    assert_eq!((&after.0[..3], &after.1), (&before.0[..3], &before.1));
    // Nothing of what was made and fetched stays on this machine.
    for left in ["making/request_logs", "making/contents", "coming"] {
        let left = std::fs::read_dir(parts.dir.join(left)).unwrap().count();
        assert_eq!(left, 0);
    }

    *bucket.is_away.lock() = true;
    assert_eq!(
        are_there(&parts, std::slice::from_ref(&log)).await,
        BTreeMap::new()
    );
    assert!(
        back(&empty, &log)
            .await
            .unwrap_err()
            .contains("AccessDenied")
    );
    *bucket.is_away.lock() = false;
    let name = "steward/request_logs/2026-02/request_logs.parquet";
    let spoilt = Bytes::from_static(b"something else");
    let whole = bucket.files.lock().insert(name.into(), spoilt).unwrap();
    let refused = back(&empty, &log).await.unwrap_err();
    assert!(
        refused.contains("is not the one that was written"),
        "{refused}"
    );
    bucket.files.lock().insert(name.into(), whole);
    assert_eq!(back(&empty, &log).await, Ok((3, 0)));
    bucket
        .files
        .lock()
        .remove("steward/request_logs/2026-02/manifest.json");
    let there = are_there(&parts, std::slice::from_ref(&log)).await;
    assert_eq!(there, BTreeMap::from([(log.id, false)]));
}

async fn a_bucket_that_is_shared_or_out_of_reach_loses_nothing(database: &TestDatabase) {
    let bucket = Arc::new(Bucket::default());
    let parts = parts_by(database, Arc::clone(&bucket));
    furnish(database, &parts).await;
    choose_bucket(database, &parts).await;
    let write = async || write_all(&parts, &|_| {}, &|| false).await;
    // The bucket is gone after the first file: there is no manifest, and nothing counts as archived.
    *bucket.takes.lock() = Some(1);
    assert!(
        write()
            .await
            .unwrap_err()
            .to_string()
            .contains("AccessDenied")
    );
    assert_eq!(bucket.names().len(), 1);
    assert_eq!(archive::all(&database.control_read).await.unwrap(), []);
    assert_eq!(waiting(&parts).await.unwrap().len(), 2);
    *bucket.takes.lock() = None;

    // Another installation archives under the same prefix by mistake.
    let name = "steward/request_logs/2026-02/manifest.json";
    let others = r#"{"format":1,"kind":"request_logs","month":"2026-02","rids":[0,0],"written_at":0,"written_by":"x",
        "owner":"ins_other","rows":9,"files":[]}"#;
    bucket.files.lock().insert(name.into(), Bytes::from(others));
    let refused = write().await.unwrap_err().to_string();
    assert!(refused.contains("another installation"), "{refused}");
    assert_eq!(bucket.files.lock()[name], Bytes::from(others));
    bucket.files.lock().remove(name);
    // Another node has its turn, until it gives it back.
    let now = NOW_MS * 1_000;
    let taken = committed(database, async |txn| {
        lease::take(txn, "archive", 2, now, now + 1).await
    });
    assert!(taken.await);
    assert_eq!(write().await.unwrap(), None);
    committed(database, async |txn| {
        lease::give_back(txn, "archive", 2).await
    })
    .await;
    assert_eq!(write().await.unwrap().unwrap().len(), 2);
    let left = lease::holder(&database.control_read, "archive")
        .await
        .unwrap();
    assert_eq!(left, None);
}

async fn months_nobody_knows_are_found(database: &TestDatabase) {
    let bucket = Arc::new(Bucket::default());
    let parts = parts_by(database, Arc::clone(&bucket));
    furnish(database, &parts).await;
    choose_bucket(database, &parts).await;
    write_all(&parts, &|_| {}, &|| false).await.unwrap();
    let look = async || find(&parts, &|_| {}, &|| false).await.unwrap();
    assert_eq!(look().await, Found::default(), "all is known");
    // A backup of before was restored: the table knows nothing, the database has all.
    let unknown = "DELETE FROM archives";
    run(&database.control, unknown).await;
    let contents = "steward/contents/2026-02/conversation_contents.parquet";
    let lost = bucket.files.lock().remove(contents).unwrap();
    let found = look().await;
    assert_eq!(found.found, ["request_logs 2026-02"]);
    let left_out = [(
        "contents 2026-02".to_owned(),
        "files of it are missing".to_owned(),
    )];
    assert_eq!(found.left_out, left_out);
    bucket.files.lock().insert(contents.into(), lost);

    // What another installation wrote is taken up where nothing of ours can be taken for archived.
    run(&database.control, unknown).await;
    run(
        &database.control,
        "UPDATE instance SET value = 'ins_other' WHERE key = 'archive.owner'",
    )
    .await;
    let found = look().await;
    assert_eq!(found.found, Vec::<String>::new());
    assert!(
        found.left_out[0].1.contains("another installation"),
        "{found:?}"
    );
    forget(database).await;
    let empty = parts_by(database, Arc::clone(&bucket));
    let found = find(&empty, &|_| {}, &|| false).await.unwrap();
    assert_eq!(found.found, ["contents 2026-02", "request_logs 2026-02"]);
    let log = archived(database, "request_logs").await;
    assert_eq!(back(&empty, &log).await, Ok((3, 3)));

    // A manifest that points elsewhere is none.
    run(&database.control, unknown).await;
    let name = "steward/request_logs/2026-02/manifest.json";
    let text = String::from_utf8(bucket.files.lock()[name].to_vec()).unwrap();
    let evil = text.replace("request_attempts.parquet", "../../../steward.key");
    bucket.files.lock().insert(name.into(), evil.into());
    let found = look().await;
    assert!(
        found
            .left_out
            .iter()
            .any(|(month, why)| month == "request_logs 2026-02" && why.contains("cannot be read")),
        "{found:?}"
    );
}
