use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::http::StatusCode;
use serde_json::{Value, json};
use steward_actors::domain::health::{Component, Finding, Kind, Seen};
use steward_actors::health::Probe;
use steward_actors::tree::watch::alert_evaluator::{Parts, round};

use tokio::time::{Instant, sleep};

use crate::testing::{Ask, World};

const RULES: &str = "/api/v1/ops/alerts/rules";

/// A round of the evaluator, a minute later.
async fn evaluated(world: &World) {
    world.clock.advance_micros(60_000_000);
    let tree = &world.state.tree;
    let parts = Parts {
        gauges: tree.gauges.clone(),
        console_url: String::new(),
        board: tree.live.clone(),
        shared: tree.alerts.clone(),
        clock: world.clock.clone(),
    };
    round(&parts, 0).await.unwrap();
}

#[actix_web::test]
async fn rules_are_made_edited_and_removed() {
    rules(World::sqlite().await).await;
}

#[actix_web::test]
async fn rules_are_made_edited_and_removed_postgres() {
    rules(World::postgres().await).await;
}

async fn rules(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let viewer = world.signed_in("eve", "ops_viewer").await;
    let new = json!({"name": "errors", "condition": "error_rate > 0.1", "window": "5m", "for": "2m",
        "severity": "error", "split_by": ["model"], "filter": ["model!=test"]});
    let made = Ask::post(RULES, new.clone()).bearer(&root).to(&app).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.body["for"], "2m");
    assert_eq!(made.body["metric"], "error_rate");
    let again = Ask::post(RULES, new.clone()).bearer(&root).to(&app).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let barred = Ask::post(RULES, new.clone()).bearer(&viewer).to(&app).await;
    assert_eq!(barred.status, StatusCode::FORBIDDEN);
    for (field, change) in [
        ("condition", json!({"condition": "nonsense > 1"})),
        ("condition", json!({"condition": null})),
        ("condition", json!({"window": "3h"})),
        ("condition", json!({"condition": "spool_depth > 1"})),
        ("severity", json!({"severity": "bad"})),
        ("for", json!({"for": "soon"})),
        ("no_data", json!({"no_data": "maybe"})),
        ("split_by", json!({"split_by": ["colour"]})),
        ("filter", json!({"filter": ["model"]})),
        ("channels[0]", json!({"channels": ["chn_none"]})),
    ] {
        let mut bad = new.clone();
        bad["name"] = "other".into();
        for (name, value) in change.as_object().unwrap() {
            bad[name] = value.clone();
        }
        let refused = Ask::post(RULES, bad).bearer(&root).to(&app).await;
        assert_eq!(
            refused.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{field}: {refused:?}"
        );
        assert_eq!(refused.body["errors"][0]["field"], field, "{refused:?}");
    }
    // As fields, with C's spelling of operators.
    let fields = json!({"name": "slow", "metric": "avg_latency_ms", "operator": "GT", "threshold": "5000",
        "severity": "warning"});
    let made_of_fields = Ask::post(RULES, fields).bearer(&root).to(&app).await;
    assert_eq!(made_of_fields.body["condition"], "avg_latency_ms > 5000");
    let path = format!("{RULES}/{}", made.body["id"].as_str().unwrap());
    let mut edited = new.clone();
    edited["severity"] = "critical".into();
    let put = |version: &str| {
        Ask::put(&path, edited.clone())
            .bearer(&root)
            .header("if-match", version)
    };
    assert_eq!(put("\"1\"").to(&app).await.body["version"], 2);
    assert_eq!(
        put("\"1\"").to(&app).await.status,
        StatusCode::PRECONDITION_FAILED
    );
    let diff = &world.audited("alert_rules.update").await[0].details;
    assert_eq!(diff["severity"], json!(["error", "critical"]));
    // The whole list at once: one stays as it is, one is new, one goes.
    let all = json!({"rules": [edited, {"name": "spool", "condition": "spool_depth > 5", "severity": "info"}]});
    let put = Ask::put(RULES, all).bearer(&root).to(&app).await;
    assert_eq!(put.status, StatusCode::OK, "{put:?}");
    assert_eq!(put.body["items"][0]["version"], 2);
    let listed = Ask::get(RULES).bearer(&viewer).to(&app).await;
    assert_eq!(listed.body["total"], 2);
    let gone = Ask::delete(&path).bearer(&root).to(&app).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let metrics = Ask::get("/api/v1/ops/alerts/metrics")
        .bearer(&viewer)
        .to(&app)
        .await;
    assert!(metrics.body["items"].as_array().unwrap().len() > 20);
}

#[actix_web::test]
async fn an_incident_is_seen_acknowledged_resolved_and_rung_for() {
    incident(World::sqlite().await).await;
}

#[actix_web::test]
async fn an_incident_is_seen_acknowledged_resolved_and_rung_for_postgres() {
    incident(World::postgres().await).await;
}

async fn incident(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let viewer = world.signed_in("eve", "ops_viewer").await;
    let new = json!({"name": "spool", "condition": "spool_depth >= 0", "severity": "critical"});
    Ask::post(RULES, new).bearer(&root).to(&app).await;
    evaluated(&world).await;
    let active = "/api/v1/ops/alerts/active";
    let listed = Ask::get(active).bearer(&viewer).to(&app).await;
    assert_eq!(listed.body["total"], 1, "{listed:?}");
    let open = &listed.body["items"][0];
    assert_eq!(
        (&open["status"], &open["value"]),
        (&json!("firing"), &json!("0"))
    );
    let path = format!("/api/v1/ops/alerts/{}", open["id"].as_str().unwrap());
    let post = |what: &str, who: &str| Ask::post(&format!("{path}/{what}"), json!({})).bearer(who);
    assert_eq!(
        post("acknowledge", &viewer).to(&app).await.status,
        StatusCode::FORBIDDEN
    );
    let seen = post("acknowledge", &root).to(&app).await;
    assert_eq!(seen.body["acknowledged_by"], "root", "{seen:?}");
    post("acknowledge", &root).to(&app).await;
    assert_eq!(world.audited("alerts.acknowledge").await.len(), 1);
    assert_eq!(
        post("resolve", &root).to(&app).await.body["status"],
        "resolved"
    );
    let events = |answer: &Value| -> Vec<String> {
        let steps = answer["steps"].as_array().unwrap();
        steps
            .iter()
            .map(|step| step["event"].as_str().unwrap().to_owned())
            .collect()
    };
    let detail = Ask::get(&path).bearer(&viewer).to(&app).await;
    assert_eq!(events(&detail.body), ["fired", "acknowledged", "resolved"]);
    // Still in breach: another incident.
    evaluated(&world).await;
    let history = Ask::get("/api/v1/ops/alerts/history?severity=critical").bearer(&viewer);
    assert_eq!(history.to(&app).await.body["total"], 2);
    let bell = Ask::get("/api/v1/notifications")
        .bearer(&viewer)
        .to(&app)
        .await;
    assert_eq!(bell.body["unread"], 4, "{bell:?}");
    let number = &bell.body["items"][1]["number"];
    let read = Ask::post("/api/v1/notifications/read", json!({ "number": number })).bearer(&viewer);
    assert_eq!(read.to(&app).await.body["unread"], 1);
    let mine = Ask::get("/api/v1/notifications")
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(mine.body["unread"], 4);
}

#[actix_web::test]
async fn silences_are_made_listed_and_ended() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let silences = "/api/v1/ops/alerts/silences";
    let new = json!({"matchers": ["severity=critical"], "to": "2026-03-15T20:00:00Z", "reason": "moving house"});
    let made = Ask::post(silences, new.clone())
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.body["state"], "in_force");
    for (field, value) in [
        ("to", json!("2026-03-15T18:00:00Z")),
        ("to", json!("soon")),
        ("matchers", json!([])),
        ("reason", json!("")),
    ] {
        let mut bad = new.clone();
        bad[field] = value;
        let refused = Ask::post(silences, bad).bearer(&root).to(&app).await;
        assert_eq!(refused.body["errors"][0]["field"], field, "{refused:?}");
    }
    // In a silence nobody is told, and it is written down all the same.
    let rule = json!({"name": "spool", "condition": "spool_depth >= 0", "severity": "critical"});
    Ask::post(RULES, rule).bearer(&root).to(&app).await;
    evaluated(&world).await;
    let bell = Ask::get("/api/v1/notifications").bearer(&root);
    assert_eq!(bell.to(&app).await.body["unread"], 0);
    let end = format!("{silences}/{}/end", made.body["id"].as_str().unwrap());
    let ended = Ask::post(&end, json!({})).bearer(&root).to(&app).await;
    assert_eq!(ended.body["state"], "over", "{ended:?}");
    evaluated(&world).await;
    let bell = Ask::get("/api/v1/notifications").bearer(&root);
    assert_eq!(bell.to(&app).await.body["unread"], 1);
}

#[actix_web::test]
async fn a_preview_runs_the_machine_over_what_is_kept() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let measured = |value: f64| steward_entities::metrics_snapshot::Measured {
        metric: "spool_depth",
        value,
        dimensions: json!({}),
    };
    for (minute, value) in [(1, 0.0), (2, 9.0), (3, 9.0), (4, 9.0), (5, 1.0)] {
        let at = crate::testing::START - 3_600_000_000 + minute * 60_000_000;
        let rows = vec![measured(value)];
        let events = &world.database.events;
        steward_entities::metrics_snapshot::insert(events, rows, at, 0)
            .await
            .unwrap();
    }
    let rule =
        json!({"name": "x", "condition": "spool_depth > 5", "for": "2m", "severity": "info"});
    let shown = Ask::post(&format!("{RULES}/preview"), rule)
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(
        shown.body["points"].as_array().unwrap().len(),
        5,
        "{shown:?}"
    );
    assert_eq!(
        shown.body["incidents"],
        json!([{"fired_at": "2026-03-15T17:34:00.000Z", "resolved_at": "2026-03-15T17:35:00.000Z"}])
    );
    assert_eq!(shown.body["threshold"], 5.0);
}

/// `disk_2` stands on `disk_1`.
#[derive(Default)]
struct Disks {
    is_first_up: AtomicBool,
}

#[async_trait::async_trait]
impl Probe for Disks {
    fn components(&self) -> Vec<Component> {
        let disk = |id: &str| Component::own(id, Kind::Disk);
        let second = Component {
            parent: Some("disk_1".to_owned()),
            ..disk("disk_2")
        };
        vec![disk("disk_1"), second]
    }

    async fn look(&self, component: &Component) -> Finding {
        let is_up = component.id == "disk_1" && self.is_first_up.load(Ordering::Relaxed);
        Finding::of(if is_up { Seen::Up } else { Seen::Down })
    }
}

#[actix_web::test]
async fn what_stands_on_something_down_is_said_to() {
    let world = World::live().await;
    let app = world.app().await;
    let operator = world.operator("root", "ops_admin").await;
    let root = world.access(&operator);
    let disks = Arc::new(Disks::default());
    world.state.tree.health.attach(disks.clone());
    let rule = json!({"name": "down", "condition": "status != healthy", "severity": "critical"});
    let made = Ask::put(RULES, json!({ "rules": [rule] }))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    // Components that fire, what each is inhibited by, and the same told of each by itself.
    let firing = async || {
        // Every round is a minute of the clock.
        evaluated(&world).await;
        let root = world.access(&operator);
        let listed = Ask::get("/api/v1/ops/alerts/active").bearer(&root);
        let listed = listed.to(&app).await.body;
        let mut found = Vec::new();
        for item in listed["items"].as_array().unwrap() {
            let path = format!("/api/v1/ops/alerts/{}", item["id"].as_str().unwrap());
            let one = Ask::get(&path).bearer(&root).to(&app).await.body;
            assert_eq!(one["inhibited_by"], item["inhibited_by"]);
            let component = &item["labels"]["component"];
            if component.as_str().is_some_and(|id| id.starts_with("disk_")) {
                found.push((component.clone(), item["inhibited_by"].clone()));
            }
        }
        found.sort_by_key(|(component, _)| component.to_string());
        found
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    let (first, second) = (json!("disk_1"), json!("disk_2"));
    let both = [
        (first.clone(), Value::Null),
        (second.clone(), first.clone()),
    ];
    loop {
        let found = firing().await;
        if found == both {
            break;
        }
        assert!(Instant::now() < deadline, "{found:?}");
        sleep(Duration::from_millis(20)).await;
    }
    disks.is_first_up.store(true, Ordering::Relaxed);
    loop {
        let found = firing().await;
        if found == [(second.clone(), Value::Null)] {
            break;
        }
        assert!(Instant::now() < deadline, "{found:?}");
        sleep(Duration::from_millis(20)).await;
    }
    world.end().await;
}
