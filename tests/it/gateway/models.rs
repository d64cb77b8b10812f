//! `/v1/models`: in the caller's shape, and only what the token may use.

use http::Method;
use serde_json::{Value, json};

use crate::support::control::account;
use crate::support::{App, Setup};

async fn list(app: &App, key: &str, headers: &[(&str, &str)], path: &str) -> (u16, Value) {
    let authorization = format!("Bearer {key}");
    let mut all = vec![("authorization", authorization.as_str())];
    all.extend_from_slice(headers);
    let answer = app.http.call(Method::GET, &app.url(path), &all, "").await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn models_are_listed_in_the_callers_shape() {
    let app = Setup::new().serving().await;
    for listed in app.get("accounts").await["items"].as_array().unwrap() {
        app.remove(&format!("accounts/{}", listed["id"].as_str().unwrap()))
            .await;
    }
    let mut openai = account(
        "openai",
        &app.provider().openai_url(),
        &["gpt-4o", "gpt-4o-mini"],
    );
    openai["aliases"] = json!({"fast": "gpt-4o-mini"});
    app.create("accounts", openai).await;
    app.create(
        "accounts",
        account(
            "anthropic",
            &app.provider().anthropic_url(),
            &["claude-sonnet-4-5"],
        ),
    )
    .await;

    let ids = |body: &Value| {
        body["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (status, body) = list(&app, &app.key, &[], "/v1/models").await;
    assert_eq!((status, body["object"].as_str()), (200, Some("list")));
    for id in ["gpt-4o", "gpt-4o-mini", "fast"] {
        assert!(ids(&body).contains(&id.to_owned()), "{id} in {body}");
    }
    let first = &body["data"][0];
    assert!(
        first["object"] == "model" && first["created"].is_u64() && first["owned_by"].is_string(),
        "{first}"
    );

    let version = [("anthropic-version", "2023-06-01")];
    let (status, body) = list(&app, &app.key, &version, "/v1/models").await;
    assert_eq!(status, 200);
    assert!(
        ids(&body).contains(&"claude-sonnet-4-5".to_owned()),
        "{body}"
    );
    let claude = body["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["id"] == "claude-sonnet-4-5")
        .unwrap();
    assert!(
        claude["type"] == "model"
            && claude["display_name"].is_string()
            && claude["created_at"].is_string()
            && claude.get("lifecycle").is_some(),
        "{claude}"
    );
    assert!(
        body["has_more"] == false && body["first_id"].is_string() && body["last_id"].is_string(),
        "{body}"
    );

    let (status, body) = list(&app, &app.key, &[], "/v1/models/gpt-4o").await;
    assert_eq!(
        (status, body["id"].as_str(), body["object"].as_str()),
        (200, Some("gpt-4o"), Some("model"))
    );
    let (status, body) = list(&app, &app.key, &[], "/v1/models/gpt-9").await;
    assert_eq!(
        (status, body["error"]["code"].as_str()),
        (404, Some("model_not_found"))
    );
    let (status, body) = list(&app, &app.key, &version, "/v1/models/claude-sonnet-4-5").await;
    assert_eq!((status, body["type"].as_str()), (200, Some("model")));

    let (narrow, _) = app
        .token(json!({"name": "narrow", "allowed_models": ["gpt-4o-mini"]}))
        .await;
    let (_, body) = list(&app, &narrow, &[], "/v1/models").await;
    assert_eq!(ids(&body), ["gpt-4o-mini"]);
    let (status, _) = list(&app, &narrow, &[], "/v1/models/gpt-4o").await;
    assert!([403, 404].contains(&status));
    let (status, _) = list(&app, "sk-invalid", &[], "/v1/models").await;
    assert_eq!(status, 401);
}
