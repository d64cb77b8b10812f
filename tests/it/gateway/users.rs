//! Users of an issuer call as `web`, with the limits and models of its API key, and are counted apart.

use serde_json::{Value, json};

use crate::support::calls::chat;
use crate::support::{App, Setup, eventually};

/// An issuer of our own, with the key of `token` for its callers; its path.
async fn issuer(app: &App, token: Value) -> (String, String) {
    let (_, token_id) = app.token(token).await;
    let body = json!({"name": "own", "kind": "own", "issuer": "steward", "audience": "gateway", "token_id": token_id});
    let made = app.create("jwt-issuers", body).await;
    (
        format!("jwt-issuers/{}", made["id"].as_str().unwrap()),
        token_id,
    )
}

async fn issued(app: &App, issuer: &str, user: &str) -> String {
    let issued = app
        .create(&format!("{issuer}/tokens"), json!({ "sub": user }))
        .await;
    issued["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_user_calls_with_a_token_of_an_issuer() {
    let mut app = App::serving().await;
    let policy = json!({"name": "web users", "allowed_models": ["gpt-*"], "app": "shop", "enable_conversation_logging": true, "redaction": "none"});
    let (issuer, token_id) = issuer(&app, policy).await;
    let jwt = issued(&app, &issuer, "user-42").await;

    let mut body = chat("gpt-4o");
    body["user"] = json!("somebody else");
    let answer = app.post_as(&jwt, "/v1/chat/completions", &body).await;
    let id = answer.expect_status(200).request_id();
    let record = app.record(&id).await;
    let told = [
        &record["mode"],
        &record["user_name"],
        &record["token_id"],
        &record["app"],
    ];
    assert_eq!(told, ["web", "user-42", token_id.as_str(), "shop"]);
    // The conversation is kept, as the key has it, under the user who signed in.
    let kept = eventually("the conversation is kept", || async {
        let path = format!("conversations/{id}");
        let answer = app.api(http::Method::GET, &path, None).await;
        (answer.status == 200).then(|| answer.json())
    })
    .await;
    assert_eq!(kept["user_name"], "user-42", "{kept}");
    // What the key may not, its users may not.
    let other = chat("other");
    let other = app.post_as(&jwt, "/v1/chat/completions", &other).await;
    assert_eq!(other.status, 403);
    let models = app
        .http
        .call(
            http::Method::GET,
            &app.url("/v1/models"),
            &[("authorization", &format!("Bearer {jwt}"))],
            String::new(),
        )
        .await
        .expect_status(200)
        .json();
    assert!(models["data"].is_array());
    // No user tells of calls that were made elsewhere.
    let records = Some(json!({"records": []}));
    let told = app
        .api_as(&jwt, http::Method::POST, "ingest/records", records)
        .await;
    assert_eq!(told.status, 401, "{}", told.text());
    // Among the active users of a day, those who signed in are told apart. They are counted at every start, and then
    // every few minutes.
    body["user"] = json!("nobody vouches for");
    let unsigned = app.post("/v1/chat/completions", &body).await;
    app.record(&unsigned.expect_status(200).request_id()).await;
    app.kill();
    app.start_process().await;
    eventually("the users of today", || async {
        let days = app.get("stats/daily-active-users?range=today").await;
        let today = days["items"].as_array()?.last()?.clone();
        let counted = [&today["daily_active_users"], &today["jwt_active_users"]];
        (counted == [2, 1]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn users_share_the_limits_of_their_issuers_key_streams_too() {
    let app = App::serving().await;
    let (issuer, token_id) = issuer(&app, json!({"name": "web users", "rpm": 2})).await;
    let users = [
        issued(&app, &issuer, "ada").await,
        issued(&app, &issuer, "bob").await,
        issued(&app, &issuer, "eve").await,
    ];
    let mut streamed = chat("gpt-4o");
    streamed["stream"] = json!(true);
    let first = app.post_as(&users[0], "/v1/chat/completions", &streamed);
    let first = first.await.expect_status(200);
    assert!(first.text().contains("[DONE]"), "{}", first.text());
    let second = app
        .post_as(&users[1], "/v1/chat/completions", &chat("gpt-4o"))
        .await;
    second.expect_status(200);
    let third = app
        .post_as(&users[2], "/v1/chat/completions", &streamed)
        .await;
    let third = third.expect_status(429);
    assert_eq!(third.json()["error"]["code"], "rate_limit_exceeded");
    assert!(third.header("retry-after").is_some());
    // A call that was refused is on the books too, with its user.
    let refused = app.record(&third.request_id()).await;
    assert_eq!(
        [&refused["mode"], &refused["user_name"]],
        ["web", "eve"],
        "{refused}"
    );
    // The key's own switch closes the door at once.
    app.patch(&format!("tokens/{token_id}"), json!({"enabled": false}))
        .await;
    let closed = app
        .post_as(&users[1], "/v1/chat/completions", &chat("gpt-4o"))
        .await;
    assert_eq!(closed.json()["error"]["code"], "token_disabled");
}

/// One Steward signs, another trusts its published keys, and learns of new ones from the first token that bears one.
#[tokio::test]
async fn keys_of_another_are_fetched_anew_when_a_token_bears_an_unknown_one() {
    let mut signing = Setup::new().start().await;
    let (issuer, _) = issuer(&signing, json!({"name": "web users"})).await;
    let app = Setup::new()
        .set("EGRESS__ALLOW_PRIVATE", true)
        // Nobody looks by the clock while this lasts.
        .set("HEALTH__INTERVAL_MS", 3_600_000)
        .serving()
        .await;
    let (_, token_id) = app.token(json!({"name": "web users"})).await;
    let jwks_url = signing.url(&format!("/api/v1/{issuer}/jwks"));
    let body = json!({"name": "theirs", "kind": "jwks", "issuer": "steward", "audience": "gateway", "token_id": token_id, "jwks_url": jwks_url});
    app.create("jwt-issuers", body).await;
    let call = async |jwt: &str| {
        app.post_as(jwt, "/v1/chat/completions", &chat("gpt-4o"))
            .await
    };
    let before = issued(&signing, &issuer, "ada").await;
    call(&before).await.expect_status(200);

    let rotate = Some(json!({"grace_s": 0}));
    let path = format!("{issuer}/rotate");
    let rotated = signing.api(http::Method::POST, &path, rotate).await;
    rotated.expect_status(200);
    let after = issued(&signing, &issuer, "ada").await;
    let refused = call(&after).await.expect_status(401);
    assert_eq!(refused.json()["error"]["code"], "user_token_invalid");
    eventually("the new key is known", || async {
        (call(&after).await.status == 200).then_some(())
    })
    .await;
    // What was rotated out without grace is gone here as well.
    assert_eq!(call(&before).await.status, 401);
    // An issuer that is away signs nobody out.
    signing.kill();
    call(&after).await.expect_status(200);
}

/// The test bench signs, verifies and calls through the front door, as a job.
#[tokio::test]
async fn the_test_bench_makes_real_calls() {
    let app = App::serving().await;
    let (issuer, _) = issuer(&app, json!({"name": "web users", "rpm": 5})).await;
    let issuer_id = issuer.rsplit('/').next().unwrap();
    let body = json!({"issuer_id": issuer_id, "count": 8, "concurrency": 2, "call": "chat", "model": "gpt-4o"});
    let done = app.job("jwt-tests", body).await;
    assert_eq!([&done["ok"], &done["failed"]], [5, 3], "{done}");
    let path = format!("jwt-tests/{}", done["test_id"].as_str().unwrap());
    let shown = app.get(&path).await;
    assert_eq!(shown["state"], "succeeded");
    let failure = &shown["summary"]["failures"][0];
    assert_eq!(failure["code"], "rate_limit_exceeded", "{shown}");
    let results = shown["results"].as_array().unwrap();
    let called = results.iter().find(|result| result["status"] == 200);
    let record = app.record(called.unwrap()["request_id"].as_str().unwrap());
    let record = record.await;
    assert_eq!(
        [&record["mode"], &record["user_name"]],
        ["web", "steward-jwt-test"]
    );
}
