use actix_web::http::StatusCode;
use bytes::Bytes;
use serde_json::json;
use steward_actors::backup::{
    Asked, BackupError, Parts, Source, drill, fill, make, newest, prove, read_manifest, verify,
};
use steward_actors::contents::store::{ContentStore, Place as ContentsPlace};
use steward_actors::depot::{self, Depot, Place};
use steward_actors::vault::Vault;
use steward_entities::database::begin_write;
use steward_entities::{backup, dashboard_stats};
use steward_migration::testing::TestDatabase;

use crate::schema::{self, Migrations};
use crate::testing::{Ask, START, World};

const BACKUPS: &str = "/api/v1/ops/backups";
const PLAN: &str = "/api/v1/ops/backups/plan";

#[actix_web::test]
async fn a_plan_is_set_tested_and_removed() {
    lives(TestDatabase::sqlite().await).await;
}

#[actix_web::test]
async fn a_plan_is_set_tested_and_removed_postgres() {
    lives(TestDatabase::postgres().await).await;
}

async fn lives(database: TestDatabase) {
    let world = World::on(database, |_| {});
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let viewer = world.signed_in("eve", "ops_viewer").await;
    let none = Ask::get(PLAN).bearer(&viewer).to(&app).await;
    assert_eq!(
        (&none.body["plan"], &none.body["newest"]),
        (&json!(null), &json!(null))
    );
    let early = Ask::post(BACKUPS, json!({})).bearer(&root).to(&app).await;
    assert_eq!(early.status, StatusCode::NOT_FOUND);
    let folder = world.database.dir().join("elsewhere");
    let new = json!({"kind": "folder", "path": folder, "keep_daily": 5});
    let barred = Ask::put(PLAN, new.clone()).bearer(&viewer).to(&app).await;
    assert_eq!(barred.status, StatusCode::FORBIDDEN);
    let set = Ask::put(PLAN, new).bearer(&root).to(&app).await;
    assert_eq!(set.status, StatusCode::OK, "{set:?}");
    let plan = &set.body["plan"];
    assert_eq!(plan["place"], folder.to_str().unwrap());
    assert_eq!(
        (&plan["keep_last"], &plan["keep_daily"], &plan["drill"]),
        (&json!(3), &json!(5), &json!(true))
    );
    assert_eq!(plan["next_at"], "2026-03-15T18:30:00.000Z");
    let test = || Ask::post(&format!("{PLAN}/test"), json!({})).bearer(&root);
    let tried = test().to(&app).await;
    assert_eq!(tried.body["works"], true, "{tried:?}");
    // A folder that cannot be one.
    let file = world.database.dir().join("file");
    std::fs::write(&file, "").unwrap();
    let new = json!({"kind": "folder", "path": file});
    Ask::put(PLAN, new).bearer(&root).to(&app).await;
    let tried = test().to(&app).await;
    assert_eq!(tried.body["works"], false);
    assert!(
        tried.body["error"].as_str().unwrap().contains("/file"),
        "{tried:?}"
    );

    let asked = Ask::post(BACKUPS, json!({})).bearer(&root).to(&app).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{asked:?}");
    assert_eq!(asked.body["job"]["kind"], "backup.database");
    let drill = Ask::post(&format!("{BACKUPS}/drill"), json!({})).bearer(&root);
    assert_eq!(drill.to(&app).await.status, StatusCode::NOT_FOUND);
    let txn = begin_write(&world.database.control).await.unwrap();
    let row = backup::begin(&txn, "steward-1".into(), "/b".into(), "job_x".into(), START);
    let row = row.await.unwrap();
    backup::complete(&txn, row.id, (9, 8, 7), START + 1_000_000)
        .await
        .unwrap();
    backup::drilled(&txn, row.id, Some("rows are others"), 12, START)
        .await
        .unwrap();
    txn.commit().await.unwrap();
    world.clock.advance_micros(61_000_000);
    let shown = Ask::get(PLAN).bearer(&viewer).to(&app).await;
    assert_eq!(shown.body["age_s"], 60);
    assert_eq!(shown.body["last_drill"]["drill_error"], "rows are others");
    let listed = Ask::get(BACKUPS).bearer(&viewer).to(&app).await;
    assert_eq!(
        (&listed.body["total"], &listed.body["items"][0]["bytes"]),
        (&json!(1), &json!(9))
    );
    let drill = Ask::post(&format!("{BACKUPS}/drill"), json!({})).bearer(&root);
    assert_eq!(drill.to(&app).await.status, StatusCode::ACCEPTED);
    let gone = Ask::delete(PLAN).bearer(&root).to(&app).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
}

#[actix_web::test]
async fn keys_of_a_bucket_are_sealed_and_bad_input_is_named() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let bucket = |changes: serde_json::Value| {
        let mut new = json!({
            "kind": "bucket", "endpoint": "https://93.184.216.34", "bucket": "b", "prefix": "/steward/",
            "access_key": "AKIA-canary", "secret_key": "canary-secret",
        });
        for (key, value) in changes.as_object().unwrap() {
            new[key] = value.clone();
        }
        new
    };
    for (field, new) in [
        ("kind", json!({"kind": "tape"})),
        ("path", json!({"kind": "folder"})),
        ("path", json!({"kind": "folder", "path": "relative"})),
        ("path", json!({"kind": "folder", "path": "/a/../etc"})),
        ("bucket", bucket(json!({"bucket": "a/b"}))),
        ("prefix", bucket(json!({"prefix": "../x"}))),
        ("endpoint", bucket(json!({"endpoint": "ftp://a"}))),
        ("secret_key", bucket(json!({"secret_key": null}))),
        ("interval_s", bucket(json!({"interval_s": 1}))),
        ("keep_last", bucket(json!({"keep_last": 0}))),
        ("keep_daily", bucket(json!({"keep_daily": -1}))),
    ] {
        let refused = Ask::put(PLAN, new).bearer(&root).to(&app).await;
        assert_eq!(refused.body["errors"][0]["field"], field, "{refused:?}");
    }
    for endpoint in ["http://127.0.0.1:9000", "http://169.254.169.254"] {
        let new = bucket(json!({ "endpoint": endpoint }));
        let refused = Ask::put(PLAN, new).bearer(&root).to(&app).await;
        assert_eq!(refused.body["code"], "egress_refused", "{refused:?}");
    }
    let set = Ask::put(PLAN, bucket(json!({})))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(
        set.body["plan"]["place"], "https://93.184.216.34/b/steward/",
        "{set:?}"
    );
    // The keys stay as long as the place does, and are not told.
    let kept = json!({"kind": "bucket", "keep_last": 9});
    let kept = Ask::put(PLAN, kept).bearer(&root).to(&app).await;
    assert_eq!(kept.body["plan"]["keep_last"], 9, "{kept:?}");
    let away = json!({"kind": "bucket", "bucket": "mine"});
    let away = Ask::put(PLAN, away).bearer(&root).to(&app).await;
    assert_eq!(away.body["errors"][0]["field"], "access_key", "{away:?}");
    let audited = world.audited("backup_plan.update").await;
    let said = format!("{}{}", kept.text, serde_json::to_string(&audited).unwrap());
    assert!(!said.contains("canary"), "{said}");
}

/// A world with a few rows of every kind, and a backup of it.
async fn backed_up(world: &World) -> (Source, Box<dyn Depot>, String) {
    for day in 1..=9 {
        let figures = dashboard_stats::Day {
            stat_date: format!("2026-03-0{day}"),
            daily_active_users: day,
            jwt_active_users: 0,
            ai_requests: day,
            success_rate: Some(0.1 * day as f64),
            total_tokens: 7,
            cost: Some((1_234_567, "USD".into())),
            p95_duration_ms: None,
        };
        let txn = begin_write(&world.database.control).await.unwrap();
        dashboard_stats::put(&txn, figures, START).await.unwrap();
        txn.commit().await.unwrap();
    }
    world.signed_in("\u{754c} '; --", "ops_admin").await;
    let source = world.state.tree.backups.source.clone();
    let place = Place::Folder {
        path: world.database.dir().join("depot"),
    };
    let outward = world.state.tree.backups.outward.clone();
    let depot = depot::open(&place, outward, world.state.clock.clone());
    let name = "steward-20260315T183000Z-00000001".to_owned();
    let asked = Asked {
        name: &name,
        at_micros: START,
        progress: &|_| {},
        is_cancelled: &|| false,
    };
    make(&source, depot.as_ref(), &asked).await.unwrap();
    (source, depot, name)
}

#[actix_web::test]
async fn a_backup_that_was_touched_is_refused() {
    let world = World::sqlite().await;
    let (source, depot, name) = backed_up(&world).await;
    assert_eq!(newest(depot.as_ref()).await.unwrap(), name);
    let vault = &source.vault;
    let whole = async || {
        let manifest = read_manifest(depot.as_ref(), vault, &name).await?;
        verify(depot.as_ref(), vault, &manifest).await
    };
    whole().await.unwrap();
    let files = depot.list("").await.unwrap();
    assert!(files.len() >= 5, "{files:?}");
    for file in &files {
        let content = depot.get(&file.name).await.unwrap();
        for at in [0, content.len() / 2, content.len() - 2] {
            let mut touched = content.to_vec();
            touched[at] ^= 1;
            depot.put(&file.name, touched.into()).await.unwrap();
            let refused = whole().await;
            assert!(
                matches!(
                    refused,
                    Err(BackupError::Damaged(_) | BackupError::Vault(_))
                ),
                "{}: {refused:?}",
                file.name
            );
        }
        let short = content.slice(..content.len() - 1);
        depot.put(&file.name, short).await.unwrap();
        // A manifest ends in a line's end, which nobody needs.
        if !file.name.ends_with(".json") {
            assert!(whole().await.is_err(), "{}", file.name);
        }
        depot.remove(&file.name).await.unwrap();
        assert!(whole().await.is_err(), "{}", file.name);
        depot.put(&file.name, content).await.unwrap();
    }
    // Parts that were exchanged.
    let part = |section: &str| format!("{name}/{section}-00000.part");
    let (ledger, control) = (part("ledger"), part("control"));
    let (a, b): (Bytes, Bytes) = (
        depot.get(&ledger).await.unwrap(),
        depot.get(&control).await.unwrap(),
    );
    depot.put(&ledger, b.clone()).await.unwrap();
    depot.put(&control, a.clone()).await.unwrap();
    assert!(whole().await.is_err());
    depot.put(&ledger, a).await.unwrap();
    depot.put(&control, b).await.unwrap();
    whole().await.unwrap();
    // Nothing of it can be read without the key file, and nothing of it is in the clear.
    let other = tempfile::tempdir().unwrap();
    let stranger = Vault::open(other.path()).unwrap();
    let refused = read_manifest(depot.as_ref(), &stranger, &name).await;
    assert!(matches!(refused, Err(BackupError::Vault(_))), "{refused:?}");
    for file in depot.list("").await.unwrap() {
        let content = depot.get(&file.name).await.unwrap();
        let text = String::from_utf8_lossy(&content);
        assert!(
            !text.contains("root") && !text.contains("argon2"),
            "{}",
            file.name
        );
    }
}

#[actix_web::test]
async fn rows_that_went_astray_after_a_restore_are_found() {
    let world = World::sqlite().await;
    let (source, depot, name) = backed_up(&world).await;
    let manifest = read_manifest(depot.as_ref(), &source.vault, &name)
        .await
        .unwrap();
    for (sql, what) in [
        (
            "UPDATE steward.dashboard_stats SET ai_requests = 8 WHERE stat_date = '2026-03-07'",
            "control.dashboard_stats.ai_requests adds up to 46, not 45",
        ),
        (
            "UPDATE steward.dashboard_stats SET currency = 'CNY' WHERE stat_date = '2026-03-07'",
            "rows of control.dashboard_stats are others",
        ),
        (
            "DELETE FROM steward.dashboard_stats WHERE stat_date = '2026-03-07'",
            "control.dashboard_stats has 8 rows, not 9",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let config = steward_entities::database::DatabaseConfig::Sqlite {
            dir: dir.path().to_path_buf(),
        };
        let there = steward_entities::database::Databases::open(&config)
            .await
            .unwrap();
        let contents = ContentStore::new(
            ContentsPlace::Files(dir.path().join("contents")),
            there.control_read.clone(),
            schema::contents(),
        );
        let ground = (&there, contents.as_ref());
        let filled = fill(
            depot.as_ref(),
            &source.vault,
            &manifest,
            ground,
            &Migrations,
        );
        let expected = filled.await.unwrap();
        prove(&expected, &there, &contents).await.unwrap();
        let sql = sql.replace("steward.", "");
        sea_orm::ConnectionTrait::execute_unprepared(&there.control, &sql)
            .await
            .unwrap();
        let differs = prove(&expected, &there, &contents).await.unwrap_err();
        assert_eq!(
            differs.to_string(),
            format!("the restored data differ: {what}")
        );
        there.close().await;
    }
}

/// The gateway takes no calls on a disk without room for their records, so a drill must not be what fills it.
async fn makes_room(world: World) {
    let (_, depot, name) = backed_up(&world).await;
    let txn = begin_write(&world.database.control).await.unwrap();
    let row = backup::begin(&txn, name, "/b".into(), "job_x".into(), START);
    let row = row.await.unwrap();
    backup::complete(&txn, row.id, (9, 8, 7), START)
        .await
        .unwrap();
    txn.commit().await.unwrap();
    let noted = async || {
        let read = &world.database.control_read;
        let row = backup::by_public_id(read, &row.public_id).await.unwrap();
        let row = row.unwrap();
        (row.drill_works, row.drill_error.unwrap_or_default())
    };
    let full = Parts {
        keep_free_bytes: u64::MAX,
        ..world.state.tree.backups.clone()
    };
    let refused = drill(&full, &row, depot.as_ref()).await.unwrap_err();
    assert!(refused.to_string().contains("no room"), "{refused}");
    assert_eq!(noted().await, (Some(false), refused.to_string()));
    let parts = &world.state.tree.backups;
    drill(parts, &row, depot.as_ref()).await.unwrap();
    assert_eq!(noted().await, (Some(true), String::new()));
}

#[actix_web::test]
async fn a_drill_that_would_fill_the_disk_is_refused_and_noted() {
    makes_room(World::sqlite().await).await;
}

#[actix_web::test]
async fn a_drill_that_would_fill_the_disk_is_refused_and_noted_postgres() {
    makes_room(World::postgres().await).await;
}
