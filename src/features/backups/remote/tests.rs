use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::json;
use steward_entities::dashboard_stats;
use steward_entities::database::begin_write;
use steward_migration::testing::TestDatabase;

use crate::testing::{Ask, START, World};

const REMOTE: &str = "/api/v1/ops/backups/remote";
const KEY: &str = "sb_secret_canary";

/// A PostgREST on this machine that keeps nothing: 201 to who has the key, and one row, of another day's figures.
async fn postgrest() -> String {
    let handle = |request: HttpRequest, _: web::Bytes| async move {
        let key = request.headers().get("apikey");
        if key.and_then(|key| key.to_str().ok()) != Some(KEY) {
            let said = json!({"message": "Invalid API key", "hint": "Double check it."});
            return HttpResponse::Unauthorized().json(said);
        }
        if request.path() != "/rest/v1/dashboard_stats" {
            let said =
                json!({"code": "PGRST205", "message": "Could not find the table", "hint": null});
            return HttpResponse::NotFound().json(said);
        }
        let query = request.query_string();
        match request.method().as_str() {
            "POST" => HttpResponse::Created().finish(),
            "GET" if query.contains("gt.2026-03-14") => HttpResponse::Ok().json(json!([])),
            "GET" => HttpResponse::Ok().json(json!([{
                "stat_date": "2026-03-14", "daily_active_users": 1, "jwt_active_users": 0, "ai_requests": 8,
                "success_rate": 1.0, "total_tokens": 70, "cost": "0.50", "currency": "USD",
                "api_connectivity": null, "jwt_availability": null, "p95_duration_ms": null,
            }])),
            _ => HttpResponse::NoContent().finish(),
        }
    };
    let server = HttpServer::new(move || App::new().default_service(web::to(handle)));
    let server = server.workers(1).bind(("127.0.0.1", 0)).unwrap();
    let address = server.addrs()[0];
    #[allow(
        clippy::disallowed_methods,
        reason = "the remote is the test's, not the product's"
    )]
    actix_web::rt::spawn(server.run());
    format!("http://{address}")
}

async fn days(world: &World) {
    for (date, requests) in [("2026-03-14", 7), ("2026-03-15", 9)] {
        let day = dashboard_stats::Day {
            stat_date: date.into(),
            daily_active_users: 1,
            jwt_active_users: 0,
            ai_requests: requests,
            success_rate: Some(1.0),
            total_tokens: 70,
            cost: Some((500_000_000, "USD".into())),
            p95_duration_ms: None,
        };
        let txn = begin_write(&world.database.control).await.unwrap();
        dashboard_stats::put(&txn, day, START - 60_000_000)
            .await
            .unwrap();
        txn.commit().await.unwrap();
    }
}

#[actix_web::test]
async fn a_remote_is_set_tested_pushed_to_compared_and_removed() {
    lives(TestDatabase::sqlite().await).await;
}

#[actix_web::test]
async fn a_remote_is_set_tested_pushed_to_compared_and_removed_postgres() {
    lives(TestDatabase::postgres().await).await;
}

async fn lives(database: TestDatabase) {
    let world = World::on(database, |config| config.egress.allow_private = true);
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let viewer = world.signed_in("eve", "ops_viewer").await;
    let base = postgrest().await;
    days(&world).await;
    let none = Ask::get(REMOTE).bearer(&viewer).to(&app).await;
    assert_eq!(
        (&none.body["remote"], &none.body["waiting"]),
        (&json!(null), &json!(2))
    );
    let sql = none.body["table_sql"].as_str().unwrap();
    assert!(sql.starts_with("create table if not exists dashboard_stats"));
    let ask = |path: &str| Ask::post(&format!("{REMOTE}/{path}"), json!({})).bearer(&root);
    assert_eq!(ask("push").to(&app).await.status, StatusCode::NOT_FOUND);

    let new = json!({"kind": "postgrest", "url": base, "key": "wrong"});
    let barred = Ask::put(REMOTE, new.clone()).bearer(&viewer).to(&app).await;
    assert_eq!(barred.status, StatusCode::FORBIDDEN);
    let set = Ask::put(REMOTE, new).bearer(&root).to(&app).await;
    assert_eq!(set.status, StatusCode::OK, "{set:?}");
    assert_eq!(set.header("etag"), "\"1\"");
    // What it really answered.
    let tried = ask("test").to(&app).await;
    assert_eq!(
        (&tried.body["works"], &tried.body["error"]),
        (
            &json!(false),
            &json!("answered 401: Invalid API key; Double check it.")
        )
    );
    let failed = ask("push").to(&app).await;
    assert_eq!(failed.body["pushed"], 0, "{failed:?}");
    let shown = Ask::get(REMOTE).bearer(&viewer).to(&app).await;
    assert_eq!(shown.body["remote"]["attempts"], 1);
    assert_eq!(shown.body["lag_ms"], 60_000);
    // Somebody else was faster; a key for another address has to be typed again.
    let right = json!({"kind": "postgrest", "key": KEY, "keep_days": 0});
    let stale = Ask::put(REMOTE, right.clone())
        .bearer(&root)
        .header("if-match", "\"0\"")
        .to(&app)
        .await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    let set = Ask::put(REMOTE, right).bearer(&root).to(&app).await;
    assert_eq!(set.body["remote"]["address"], format!("{base}/rest/v1"));
    let away = json!({"kind": "postgrest", "url": "https://elsewhere.example"});
    let refused = Ask::put(REMOTE, away).bearer(&root).to(&app).await;
    assert_eq!(refused.body["errors"][0]["field"], "key", "{refused:?}");

    let tried = ask("test").to(&app).await;
    assert_eq!(
        (&tried.body["works"], &tried.body["status_code"]),
        (&json!(true), &json!(200)),
        "{tried:?}"
    );
    let pushed = ask("push").to(&app).await;
    assert_eq!(
        pushed.body,
        json!({"pushed": 2, "refused": 0, "error": null})
    );
    let shown = Ask::get(REMOTE).bearer(&viewer).to(&app).await;
    assert_eq!(
        (
            &shown.body["waiting"],
            &shown.body["remote"]["last_push_at"]
        ),
        (&json!(0), &json!("2026-03-15T18:30:00.000Z"))
    );
    let compared = Ask::get(&format!("{REMOTE}/comparison"))
        .bearer(&viewer)
        .to(&app)
        .await;
    assert_eq!(
        compared.body,
        json!({
            "from": "2026-03-14", "equal": 0, "only_local": ["2026-03-15"], "only_remote": [],
            "different": [{"stat_date": "2026-03-14", "field": "ai_requests", "local": "7", "remote": "8"}],
        })
    );

    let mut said = shown.text;
    for action in ["remote_backup.update", "remote_backup.test"] {
        let rows = world.audited(action).await;
        assert_eq!(rows.len(), 2, "{action}");
        said.push_str(&serde_json::to_string(&rows).unwrap());
    }
    assert!(!said.contains("canary"), "{said}");
    let gone = Ask::delete(REMOTE).bearer(&root).to(&app).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let again = Ask::delete(REMOTE).bearer(&root).to(&app).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn what_leads_inside_is_refused_and_bad_input_named() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    for (kind, url) in [
        ("postgrest", "http://127.0.0.1:9"),
        ("postgrest", "http://169.254.169.254/latest"),
        ("postgres", "postgres://u:p@localhost/d"),
        ("postgres", "postgres://u:p@10.0.0.1:5432/d?sslmode=require"),
        ("postgres", "postgres://u:p@[::1]/d"),
    ] {
        let mut new = json!({"kind": kind, "url": url});
        if kind == "postgrest" {
            new["key"] = json!(KEY);
        }
        let refused = Ask::put(REMOTE, new).bearer(&root).to(&app).await;
        assert_eq!(refused.body["code"], "egress_refused", "{url}: {refused:?}");
    }
    let postgres = "postgres://u:p@192.0.2.1/d";
    for (field, new) in [
        ("kind", json!({"kind": "pigeon"})),
        ("url", json!({"kind": "postgres"})),
        (
            "url",
            json!({"kind": "postgres", "url": "postgres:///d?host=/var/run/postgresql"}),
        ),
        (
            "url",
            json!({"kind": "postgres", "url": "postgres://u:p@h/d?sslkey=/etc/passwd"}),
        ),
        (
            "url",
            json!({"kind": "postgrest", "url": "https://a.example?x=1", "key": KEY}),
        ),
        (
            "key",
            json!({"kind": "postgrest", "url": "https://example.com"}),
        ),
        (
            "key",
            json!({"kind": "postgres", "url": "postgres://u:p@93.184.216.34/d", "key": KEY}),
        ),
        (
            "table",
            json!({"kind": "postgres", "url": "postgres://u:p@93.184.216.34/d", "table": "a;b"}),
        ),
        (
            "interval_s",
            json!({"kind": "postgres", "url": "postgres://u:p@93.184.216.34/d", "interval_s": 5}),
        ),
        (
            "keep_days",
            json!({"kind": "postgres", "url": "postgres://u:p@93.184.216.34/d", "keep_days": -1}),
        ),
    ] {
        let refused = Ask::put(REMOTE, new).bearer(&root).to(&app).await;
        assert_eq!(refused.body["errors"][0]["field"], field, "{refused:?}");
    }
    let set = json!({"kind": "postgres", "url": format!("{postgres}?sslmode=verify-full")});
    let refused = Ask::put(REMOTE, set).bearer(&root).to(&app).await;
    assert_eq!(
        refused.body["code"], "egress_refused",
        "documentation is nowhere"
    );
}
