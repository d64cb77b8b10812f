//! Components are looked at by the running program, and the gateway goes by what is found.

use http::Method;
use serde_json::{Value, json};

use crate::support::control::account;
use crate::support::{App, Setup, eventually};

fn component<'a>(list: &'a Value, id: &str) -> Option<&'a Value> {
    let items = list["items"].as_array()?;
    items.iter().find(|item| item["id"] == id)
}

async fn until(app: &App, id: &str, status: &str) -> Value {
    eventually(&format!("{id} to be {status}"), async || {
        let list = app.get("ops/system/components").await;
        component(&list, id)
            .filter(|found| found["status"] == status)
            .cloned()
    })
    .await
}

#[tokio::test]
async fn an_account_that_is_down_is_spared_before_any_call_fails_on_it() {
    let app = Setup::new()
        .set("HEALTH__ACCOUNTS", true)
        .set("HEALTH__INTERVAL_MS", 100)
        .set("HEALTH__DEADLINE_MS", 2_000)
        .serving()
        .await;
    for id in [
        "database",
        "disk",
        "spool",
        "jwt",
        "group:ledger",
        "group:watch",
    ] {
        let found = until(&app, id, "healthy").await;
        assert!(
            found["uptime_24h"].is_number() || found["uptime_24h"].is_null(),
            "{found}"
        );
    }
    // Nobody listens there; by its weight nearly every call would go there first.
    let mut body = account("openai", "http://127.0.0.1:1/v1", &["*"]);
    body["name"] = json!("nobody");
    body["weight"] = json!(1_000);
    let dead = app.create("accounts", body).await;
    let id = format!("account:{}", dead["id"].as_str().unwrap());
    let down = until(&app, &id, "unhealthy").await;
    assert_eq!(
        (&down["code"], &down["name"], &down["kind"]),
        (
            &json!("upstream_unreachable"),
            &json!("nobody"),
            &json!("account")
        )
    );
    assert!(down["failures"].as_u64().unwrap() >= 3);

    app.provider().forget();
    for _ in 0..5 {
        app.chat("m").await.expect_status(200);
    }
    let calls = eventually("the calls' records", async || {
        let list = app.get("logs/requests?limit=10").await;
        let items = list["items"].as_array()?.clone();
        (items.len() >= 5).then_some(items)
    })
    .await;
    for call in &calls {
        assert_eq!(call["attempts"], calls[0]["attempts"], "{call}");
        assert_ne!(call["account_id"], dead["id"], "{call}");
    }
    let monitor = app.get("llm/monitor/status").await;
    assert_eq!(
        (&monitor["status"], &monitor["total"]),
        (&json!("unhealthy"), &json!(3))
    );
    let share = monitor["connectivity"].as_f64().unwrap();
    assert!((share - 2.0 / 3.0).abs() < 1e-9, "{share}");
    let health = app
        .http
        .call(Method::GET, &app.url("/health"), &[], "")
        .await
        .json();
    let accounts = health["checks"]["accounts"].as_array().unwrap();
    assert!(
        accounts
            .iter()
            .any(|check| check["status"] == "warn" && check["componentId"] == json!(id))
    );

    // It is looked at anew when it is changed, and two good looks are not asked of a new address.
    let path = format!("accounts/{}", dead["id"].as_str().unwrap());
    app.patch(
        &path,
        json!({"base_url": app.provider().openai_url(), "api_key": "sk-anew"}),
    )
    .await;
    until(&app, &id, "healthy").await;
    app.remove(&path).await;
    eventually("the account to be forgotten", async || {
        let list = app.get("ops/system/components").await;
        component(&list, &id).is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_refused_credential_is_reached_and_not_down() {
    let app = Setup::new()
        .set("HEALTH__ACCOUNTS", true)
        .set("HEALTH__INTERVAL_MS", 100)
        .serving()
        .await;
    app.provider().script_path("refusing", &["status=401"]);
    let url = app.provider().openai_url_at("refusing");
    let made = app
        .create("accounts", account("openai", &url, &["other"]))
        .await;
    let id = format!("account:{}", made["id"].as_str().unwrap());
    let found = until(&app, &id, "degraded").await;
    assert_eq!(found["code"], "upstream_credential");
}
