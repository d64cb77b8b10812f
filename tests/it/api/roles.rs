//! Who may do what.

use http::Method;
use serde_json::json;

use crate::support::Setup;

#[tokio::test]
async fn a_viewer_reads_and_changes_nothing() {
    let app = Setup::new().start().await;
    let (_, vera) = app.operator("vera", "ops_viewer").await;
    let token = app.create("tokens", json!({"name": "x"})).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for path in [
        "tokens",
        "accounts",
        "logs/requests",
        "supervision/tree",
        "supervision/ledger",
        "ops/users",
        "ops/roles",
        "ops/logs/operations",
    ] {
        app.api_as(&vera, Method::GET, path, None)
            .await
            .expect_status(200);
    }
    for (method, path, body) in [
        (
            Method::POST,
            "tokens".to_owned(),
            Some(json!({"name": "y"})),
        ),
        (
            Method::PATCH,
            format!("tokens/{token}"),
            Some(json!({"name": "y"})),
        ),
        (Method::DELETE, format!("tokens/{token}"), None),
        (
            Method::POST,
            format!("tokens/{token}/rotate"),
            Some(json!({})),
        ),
        (
            Method::POST,
            "accounts".to_owned(),
            Some(crate::support::control::account(
                "openai",
                "http://127.0.0.1:1/v1",
                &["x"],
            )),
        ),
        (
            Method::POST,
            "ops/users".to_owned(),
            Some(
                json!({"username": "z", "password": "a long enough password", "role": "ops_admin", "display_name": "Z"}),
            ),
        ),
        (
            Method::POST,
            "supervision/actors/root/ledger/batch_writer/restart".to_owned(),
            None,
        ),
    ] {
        let refused = app.api_as(&vera, method.clone(), &path, body).await;
        assert_eq!(refused.status, 403, "{method} {path}: {}", refused.text());
        assert_eq!(refused.json()["code"], "forbidden");
    }
    assert_eq!(
        app.get("tokens").await["items"].as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let app = Setup::new().start().await;
    let me = app.get("auth/me").await["id"].as_str().unwrap().to_owned();
    for body in [json!({"enabled": false}), json!({"role": "ops_viewer"})] {
        let refused = app
            .api(Method::PATCH, &format!("ops/users/{me}"), Some(body))
            .await;
        assert_eq!(refused.status, 409, "{}", refused.text());
    }
    let refused = app
        .api(Method::DELETE, &format!("ops/users/{me}"), None)
        .await;
    assert!((400..500).contains(&refused.status), "{}", refused.text());
}

#[tokio::test]
async fn a_role_of_ones_own_holds() {
    let app = Setup::new().start().await;
    app.create(
        "ops/roles",
        json!({"name": "key_clerk", "permissions": ["read:tokens", "write:tokens"]}),
    )
    .await;
    let (_, karl) = app.operator("karl", "key_clerk").await;
    app.api_as(
        &karl,
        Method::POST,
        "tokens",
        Some(json!({"name": "made by Karl"})),
    )
    .await
    .expect_status(201);
    for path in ["accounts", "ops/users", "logs/requests"] {
        app.api_as(&karl, Method::GET, path, None)
            .await
            .expect_status(403);
    }
}
