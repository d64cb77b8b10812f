//! Feedback: right after the answer, by who called and by who is signed in, until it is dealt with.

use http::Method;
use serde_json::{Value, json};

use crate::support::calls::chat;
use crate::support::{App, Setup, eventually};

#[tokio::test]
async fn an_answer_can_be_judged_as_soon_as_it_is_there() {
    let setup = Setup::new().set("ALERTS__INTERVAL_MS", 1_000);
    let app = setup.serving().await;
    let policy = json!({"name": "shop", "app": "shop", "enable_conversation_logging": true, "redaction": "none"});
    let (secret, _) = app.token(policy).await;
    let answer = app
        .post_as(&secret, "/v1/chat/completions", &chat("gpt-4o"))
        .await;
    let id = answer.expect_status(200).request_id();
    // At once: the record may still be on its way to the books.
    let told =
        json!({"request_id": id, "rating": "down", "category": "wrong", "correction": "你好"});
    let made = app
        .api_as(&secret, Method::POST, "feedback", Some(told.clone()))
        .await;
    let made = made.expect_status(201).json();
    let again = app
        .api_as(&secret, Method::POST, "feedback", Some(told))
        .await;
    assert_eq!(again.expect_status(200).json()["id"], made["id"]);
    let path = format!("feedback/{}", made["id"].as_str().unwrap());
    let shown = eventually("the conversation is beside it", || async {
        let shown = app.get(&path).await;
        (shown["conversation_kept"] == true).then_some(shown)
    })
    .await;
    assert_eq!(
        (&shown["request_id"], &shown["correction"]),
        (&json!(id), &json!("你好"))
    );
    let rule = json!({"name": "backlog", "condition": "pending_feedbacks > 0", "severity": "warning", "channels": []});
    app.create("ops/alerts/rules", rule).await;
    // The evaluator reads the metric: it fires by itself.
    eventually("the backlog is an alert", || async {
        let active = app.get("ops/alerts/active").await;
        let items = active["items"].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .any(|alert| alert["rule"] == "backlog")
            .then_some(())
    })
    .await;
    let note = Some(json!({"note": "corrected"}));
    let resolved = app
        .api(Method::POST, &format!("{path}/resolve"), note)
        .await;
    assert_eq!(resolved.expect_status(200).json()["status"], "resolved");
    let late = json!({"request_id": id, "rating": "up"});
    let late = app
        .api_as(&secret, Method::POST, "feedback", Some(late))
        .await;
    assert_eq!(late.expect_status(409).json()["code"], "feedback_handled");
}

#[tokio::test]
async fn signed_in_users_judge_their_own_calls_only() {
    let app = App::serving().await;
    let (_, token_id) = app.token(json!({"name": "web users"})).await;
    let issuer = json!({"name": "own", "kind": "own", "issuer": "steward", "audience": "gateway", "token_id": token_id});
    let issuer = app.create("jwt-issuers", issuer).await;
    let tokens = format!("jwt-issuers/{}/tokens", issuer["id"].as_str().unwrap());
    let mut jwt = Vec::new();
    for user in ["anna", "ben"] {
        let issued = app.create(&tokens, json!({ "sub": user })).await;
        jwt.push(issued["token"].as_str().unwrap().to_owned());
    }
    let answer = app
        .post_as(&jwt[0], "/v1/chat/completions", &chat("gpt-4o"))
        .await;
    let id = answer.expect_status(200).request_id();
    let told = |user: &str| json!({"request_id": id, "rating": 5, "user": user});
    let own = app
        .api_as(&jwt[0], Method::POST, "feedback", Some(told("ben")))
        .await
        .expect_status(201)
        .json();
    let shown = app
        .get(&format!("feedback/{}", own["id"].as_str().unwrap()))
        .await;
    assert_eq!(shown["user_name"], "anna", "whatever the body says");
    let other = app
        .api_as(&jwt[1], Method::POST, "feedback", Some(told("ben")))
        .await;
    assert_eq!(other.expect_status(404).json()["code"], "not_found");
    let broken = format!("{}x", jwt[0]);
    let broken = app
        .api_as(&broken, Method::POST, "feedback", Some(told("anna")))
        .await;
    let broken: Value = broken.expect_status(401).json();
    assert_eq!(broken["code"], "user_token_invalid", "{broken}");
}
