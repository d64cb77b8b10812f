use std::time::Duration;

use actix_web::http::StatusCode;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::probes;
use crate::testing::{Ask, START, World};

const SYSTEM: &str = "/api/v1/ops/system";

/// A world whose components are looked at, as soon as all of them have been.
async fn looked_at() -> World {
    let world = World::live().await;
    probes::attach(&world.state);
    let deadline = Instant::now() + Duration::from_secs(30);
    while world.state.tree.health.reports(START).len() < 9 {
        assert!(Instant::now() < deadline, "nobody looks");
        sleep(Duration::from_millis(20)).await;
    }
    world
}

fn component<'a>(list: &'a Value, id: &str) -> &'a Value {
    let items = list["items"].as_array().unwrap();
    items.iter().find(|item| item["id"] == id).unwrap()
}

#[actix_web::test]
async fn components_are_told_with_their_history() {
    let world = looked_at().await;
    let app = world.app().await;
    let viewer = world.signed_in("viewer", "ops_viewer").await;
    let get = |path: &str| Ask::get(&format!("{SYSTEM}/{path}")).bearer(&viewer);
    world.clock.advance_micros(60_000_000);
    // What was seen a minute ago counts no more: it is looked at again.
    let deadline = Instant::now() + Duration::from_secs(30);
    let list = loop {
        let list = get("components").to(&app).await.body;
        let items = list["items"].as_array().unwrap();
        if items.iter().all(|item| item["status"] == "healthy") {
            break list;
        }
        assert!(Instant::now() < deadline, "{list:#}");
        sleep(Duration::from_millis(20)).await;
    };
    let database = component(&list, "database");
    assert_eq!(
        (&database["status"], &database["kind"]),
        (&json!("healthy"), &json!("database"))
    );
    assert_eq!(database["uptime_24h"], 1.0);
    assert_eq!(database["days"].as_array().unwrap().len(), 30);
    assert_eq!(database["days"][0]["uptime"], Value::Null);
    assert_eq!(database["days"][29]["uptime"], 1.0);
    assert!(database["latency"][47]["ms"].is_number());
    assert_eq!(component(&list, "spool")["parent"], "disk");
    assert_eq!(component(&list, "jwt")["status"], "healthy");
    assert_eq!(component(&list, "group:ledger")["status"], "healthy");
    let status = get("status").to(&app).await.body;
    assert_eq!(status["components"]["jwt"], "healthy");
    assert_eq!(status["uptime_seconds"], 60);
    let one = get("components/database").to(&app).await.body;
    assert_eq!(one["id"], "database");
    assert_eq!(
        get("components/none").to(&app).await.status,
        StatusCode::NOT_FOUND
    );
    let env = get("env").to(&app).await.body;
    assert_eq!(
        (&env["database"], &env["time_zone"]),
        (&json!("sqlite"), &json!("Asia/Shanghai"))
    );
    assert!(env["database_version"].as_str().unwrap().starts_with("3."));
    assert_eq!(env["config"]["gateway"]["max_attempts"], 3);

    let jwt = Ask::get("/api/v1/stats/jwt-availability?range=24h")
        .bearer(&viewer)
        .to(&app)
        .await
        .body;
    assert_eq!(
        (&jwt["status"], &jwt["availability"]),
        (&json!("healthy"), &json!(1.0))
    );
    assert_eq!(jwt["items"].as_array().unwrap().len(), 2);
    let monitor = Ask::get("/api/v1/llm/monitor/status")
        .bearer(&viewer)
        .to(&app)
        .await
        .body;
    assert_eq!(
        (&monitor["total"], &monitor["connectivity"]),
        (&json!(0), &Value::Null)
    );
    world.end().await;
}

#[actix_web::test]
async fn issuers_of_user_tokens_are_looked_at_by_signing_one() {
    let world = looked_at().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let post = async |path: &str, body: Value| {
        let path = format!("/api/v1/{path}");
        let made = Ask::post(&path, body).bearer(&root).to(&app).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        made.body
    };
    let token = post("tokens", json!({"name": "web users"})).await;
    let issuer = json!({"name": "own", "kind": "own", "issuer": "steward", "audience": "gateway", "token_id": token["id"]});
    let issuer = post("jwt-issuers", issuer).await;
    let secret = json!({"name": "shared", "kind": "secret", "issuer": "other", "audience": "gateway", "token_id": token["id"],
        "secret": "a secret of at least thirty-two bytes"});
    post("jwt-issuers", secret).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    let found = loop {
        let answer = Ask::get("/api/v1/stats/jwt-availability").bearer(&root);
        let answer = answer.to(&app).await.body;
        match answer["issuers"].as_array().unwrap().as_slice() {
            // Of a shared secret there is nothing to look at.
            [one] if one["status"] == "healthy" => break one.clone(),
            _ => assert!(Instant::now() < deadline, "{answer:#}"),
        }
        sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(
        (&found["id"], &found["name"], &found["reason"]),
        (&issuer["id"], &json!("own"), &Value::Null)
    );
    assert!(found["latency_ms"].is_number(), "{found}");
    world.end().await;
}

#[actix_web::test]
async fn the_scheduler_is_restarted_and_caches_are_filled_again() {
    let world = looked_at().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let viewer = world.signed_in("viewer", "ops_viewer").await;
    let post = |path: &str, body| Ask::post(&format!("{SYSTEM}/{path}"), body);
    for path in ["restart-scheduler", "clear-cache"] {
        let refused = post(path, json!({})).bearer(&viewer).to(&app).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
    }
    let restarts = || {
        let tree = world.state.tree.supervisor.tree_now();
        let nodes = tree.walk();
        nodes
            .iter()
            .find(|node| node.id == "root/learning/knowledge_sync")
            .unwrap()
            .epoch
    };
    let before = restarts();
    let done = post("restart-scheduler", json!({}))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(
        (done.status, &done.body["path"]),
        (StatusCode::OK, &json!("root/learning"))
    );
    assert!(restarts() > before);
    let outcomes: Vec<Value> = world
        .audited("system.restart_scheduler")
        .await
        .into_iter()
        .map(|row| row.details["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["restarted", "ordered"]);

    let known = world.state.tree.snapshot_condition.load().loaded_at;
    world.clock.advance_micros(1_000_000);
    let done = post("clear-cache", json!({})).bearer(&root).to(&app).await;
    assert_eq!(
        done.body["caches"],
        json!(["settings", "gateway", "operators", "provider_models"])
    );
    assert!(world.state.tree.snapshot_condition.load().loaded_at > known);
    // Written past everything that would have told of it.
    world
        .state
        .databases
        .control
        .execute_unprepared(
            "INSERT INTO settings (key, value, updated_by, updated_at) VALUES ('ledger.batch_size', '77', '', 0)",
        )
        .await
        .unwrap();
    let some = post("clear-cache", json!({"caches": ["settings"]}))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(some.body["caches"], json!(["settings"]));
    assert_eq!(world.state.settings.load().batch_records, 77);
    let some = post("clear-cache", json!({"caches": ["operators"]}))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(some.body["caches"], json!(["operators"]));
    let plain = Ask::new(
        actix_web::http::Method::POST,
        &format!("{SYSTEM}/clear-cache"),
    );
    let plain = plain.bearer(&root).to(&app).await;
    assert_eq!(plain.body["caches"].as_array().unwrap().len(), 4);
    let bad = post("clear-cache", json!({"caches": ["all"]}))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(world.audited("system.clear_cache").await.len(), 4);
    world.end().await;
}

#[actix_web::test]
async fn who_sees_one_tenant_sees_nothing_of_the_system() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let tenant = world.signed_in_of_tenant("tina", "ops_viewer", 1).await;
    for path in ["status", "components", "components/database", "env"] {
        let path = format!("{SYSTEM}/{path}");
        assert_eq!(
            Ask::get(&path).to(&app).await.status,
            StatusCode::UNAUTHORIZED
        );
        assert_eq!(
            Ask::get(&path).bearer(&tenant).to(&app).await.status,
            StatusCode::FORBIDDEN,
            "{path}"
        );
    }
}
