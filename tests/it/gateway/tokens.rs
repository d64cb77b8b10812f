//! Tokens as secrets: shown once, and every change acts on the next request.

use http::Method;
use serde_json::json;

use crate::support::calls::chat;
use crate::support::{App, eventually};

#[tokio::test]
async fn a_token_is_shown_once_and_only_its_hash_is_kept() {
    let app = App::serving().await;
    assert!(
        app.key.starts_with("sk-stw-") && app.key.len() >= 7 + 27,
        "{}",
        app.key
    );
    let shown = [
        app.get(&format!("tokens/{}", app.token_id))
            .await
            .to_string(),
        app.get("tokens").await.to_string(),
        app.api(Method::GET, "ops/logs/operations", None)
            .await
            .text(),
        app.log(),
    ];
    assert!(shown.iter().all(|s| !s.contains(&app.key)));
    let last4 = &app.key[app.key.len() - 4..];
    assert!(
        shown[0].contains(last4),
        "the last four tell it apart: {}",
        shown[0]
    );
    for file in std::fs::read_dir(app.data_dir())
        .unwrap()
        .flatten()
        .filter(|f| f.path().is_file())
    {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(
            !bytes
                .windows(app.key.len())
                .any(|w| w == app.key.as_bytes()),
            "{:?} holds the token",
            file.path()
        );
    }
}

#[tokio::test]
async fn disabling_and_deleting_act_on_the_next_request() {
    let app = App::serving().await;
    for _ in 0..10 {
        let (key, id) = app.token(json!({"name": "short-lived"})).await;
        app.post_as(&key, "/v1/chat/completions", &chat("gpt-4o"))
            .await
            .expect_status(200);
        app.patch(&format!("tokens/{id}"), json!({"enabled": false}))
            .await;
        app.post_as(&key, "/v1/chat/completions", &chat("gpt-4o"))
            .await
            .expect_status(401);
        app.patch(&format!("tokens/{id}"), json!({"enabled": true}))
            .await;
        app.post_as(&key, "/v1/chat/completions", &chat("gpt-4o"))
            .await
            .expect_status(200);
        app.remove(&format!("tokens/{id}")).await;
        app.post_as(&key, "/v1/chat/completions", &chat("gpt-4o"))
            .await
            .expect_status(401);
    }
}

#[tokio::test]
async fn a_rotated_token_lives_on_for_its_grace() {
    let app = App::serving().await;
    let (old, id) = app.token(json!({"name": "rotated"})).await;
    let rotated = app
        .api(
            Method::POST,
            &format!("tokens/{id}/rotate"),
            Some(json!({"grace_s": 3_600})),
        )
        .await;
    assert!(
        (200..300).contains(&rotated.status),
        "{} {}",
        rotated.status,
        rotated.text()
    );
    let new = rotated.json()["token"].as_str().unwrap().to_owned();
    assert_ne!(old, new);
    for key in [&old, &new] {
        app.post_as(key, "/v1/chat/completions", &chat("gpt-4o"))
            .await
            .expect_status(200);
    }
    let rotated = app
        .api(
            Method::POST,
            &format!("tokens/{id}/rotate"),
            Some(json!({"grace_s": 0})),
        )
        .await;
    let newest = rotated.json()["token"].as_str().unwrap().to_owned();
    app.post_as(&newest, "/v1/chat/completions", &chat("gpt-4o"))
        .await
        .expect_status(200);
    eventually("the old secrets end", || async {
        let mut statuses = Vec::new();
        for key in [&old, &new] {
            statuses.push(
                app.post_as(key, "/v1/chat/completions", &chat("gpt-4o"))
                    .await
                    .status,
            );
        }
        (statuses == [401, 401]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_token_tells_when_it_was_last_used() {
    let app = App::serving().await;
    app.chat("gpt-4o").await.expect_status(200);
    let token = eventually("last_used_at", || async {
        let token = app.get(&format!("tokens/{}", app.token_id)).await;
        token["last_used_at"].is_string().then_some(token)
    })
    .await;
    assert_eq!(token["total_requests"], 1, "{token}");
}

#[tokio::test]
async fn allowed_models_and_settings_act_on_the_next_request() {
    let app = App::serving().await;
    let (key, id) = app.token(json!({"name": "settings"})).await;
    app.post_as(&key, "/v1/chat/completions", &chat("gpt-4o"))
        .await
        .expect_status(200);
    app.api(
        Method::PUT,
        &format!("tokens/{id}/settings"),
        Some(json!({"allowed_models": ["gpt-4o-mini"]})),
    )
    .await
    .expect_status(200);
    app.post_as(&key, "/v1/chat/completions", &chat("gpt-4o"))
        .await
        .expect_status(403);
    app.post_as(&key, "/v1/chat/completions", &chat("gpt-4o-mini"))
        .await
        .expect_status(200);
}
