//! A token's limits: calls a minute, model tokens a minute, calls at once, a quota; they hold for streams too.

use http::Method;
use serde_json::json;

use crate::support::calls::{chat, messages};
use crate::support::client::End;
use crate::support::{App, eventually};

#[tokio::test]
async fn calls_a_minute() {
    let app = App::serving().await;
    let (key, token_id) = app.token(json!({"name": "slow", "rpm": 3})).await;
    for _ in 0..3 {
        app.post_as(&key, "/v1/chat/completions", &chat("gpt-4o"))
            .await
            .expect_status(200);
    }
    let refused = app
        .post_as(&key, "/v1/chat/completions", &chat("gpt-4o"))
        .await
        .expect_status(429);
    let wait: u64 = refused
        .header("retry-after")
        .expect("retry-after")
        .parse()
        .expect("seconds");
    assert!((1..=61).contains(&wait), "{wait} s");
    assert_eq!(refused.json()["error"]["code"], "rate_limit_exceeded");
    let record = app.record(&refused.request_id()).await;
    assert_eq!(
        (record["status_code"].as_i64(), record["token_id"].as_str()),
        (Some(429), Some(token_id.as_str()))
    );
    // Another token is none the wiser, and a wider limit acts on the next call.
    app.chat("gpt-4o").await.expect_status(200);
    app.patch(&format!("tokens/{token_id}"), json!({"rpm": 100}))
        .await;
    app.post_as(&key, "/v1/chat/completions", &chat("gpt-4o"))
        .await
        .expect_status(200);
}

#[tokio::test]
async fn model_tokens_a_minute_settle_on_the_real_count() {
    let app = App::serving().await;
    let (key, _) = app.token(json!({"name": "thrifty", "tpm": 2_000})).await;
    // 19 + 1,500 tokens; the reservation before is far smaller.
    app.post_as(&key, "/v1/chat/completions", &chat("gpt-4o+n=1500"))
        .await
        .expect_status(200);
    app.post_as(&key, "/v1/chat/completions", &chat("gpt-4o+n=600"))
        .await;
    let refused = app
        .post_as(&key, "/v1/chat/completions", &chat("gpt-4o"))
        .await
        .expect_status(429);
    assert!(refused.header("retry-after").is_some());
}

#[tokio::test]
async fn calls_at_once_hold_for_streams_and_are_given_back() {
    let app = App::serving().await;
    let (key, _) = app
        .token(json!({"name": "two at once", "concurrency": 2}))
        .await;
    let holder = |model: &'static str| {
        let authorization = format!("Bearer {key}");
        let (http, url) = (app.http.clone(), app.url("/v1/chat/completions"));
        async move {
            let mut body = chat(model);
            body["stream"] = json!(true);
            http.begin(
                Method::POST,
                &url,
                &[
                    ("authorization", &authorization),
                    ("content-type", "application/json"),
                ],
                body.to_string(),
            )
            .await
            .unwrap()
        }
    };
    let mut first = holder("gpt-4o+hang_after=2").await;
    first.until("Hello").await;
    let mut second = holder("gpt-4o+n=5+pause_ms=100").await;
    second.until("Hello").await;
    let refused = app
        .post_as(&key, "/v1/chat/completions", &chat("gpt-4o"))
        .await
        .expect_status(429);
    // The word SDKs know, and in the books the limit it was.
    assert_eq!(refused.json()["error"]["code"], "rate_limit_exceeded");
    let record = app.record(&refused.request_id()).await;
    assert_eq!(record["error_code"], "concurrency_limit_exceeded");
    assert_eq!(second.rest().await, End::Clean);
    app.post_as(&key, "/v1/chat/completions", &chat("gpt-4o"))
        .await
        .expect_status(200);
    drop(first);
    // Both places are free again.
    let mut third = holder("gpt-4o+hang_after=2").await;
    third.until("Hello").await;
    eventually("the place of the stream that was left", || async {
        (app.post_as(&key, "/v1/chat/completions", &chat("gpt-4o"))
            .await
            .status
            == 200)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_quota_of_tokens_ends() {
    let app = App::serving().await;
    let (key, token_id) = app
        .token(json!({"name": "quota", "token_quota": 100}))
        .await;
    app.post_as(&key, "/v1/chat/completions", &chat("gpt-4o+n=95"))
        .await
        .expect_status(200);
    let refused = eventually("the quota is noticed", || async {
        let answer = app
            .post_as(&key, "/v1/chat/completions", &chat("gpt-4o"))
            .await;
        (answer.status == 429).then_some(answer)
    })
    .await;
    assert_eq!(refused.json()["error"]["code"], "insufficient_quota");
    app.patch(
        &format!("tokens/{token_id}"),
        json!({"token_quota": 1_000_000}),
    )
    .await;
    app.post_as(&key, "/v1/chat/completions", &chat("gpt-4o"))
        .await
        .expect_status(200);
}

#[tokio::test]
async fn limits_speak_the_callers_dialect() {
    let app = App::serving().await;
    let (key, _) = app.token(json!({"name": "one", "rpm": 1})).await;
    let call = || async {
        let headers = [
            ("x-api-key", key.as_str()),
            ("anthropic-version", "2023-06-01"),
            ("content-type", "application/json"),
        ];
        app.http
            .call(
                Method::POST,
                &app.url("/v1/messages"),
                &headers,
                messages("claude").to_string(),
            )
            .await
    };
    call().await.expect_status(200);
    let refused = call().await.expect_status(429);
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
    assert!(refused.header("retry-after").is_some());
}

#[tokio::test]
async fn a_budget_learns_of_what_is_charged_later() {
    let app = App::serving().await;
    let budget = json!({"name": "frugal", "daily_budget": "1"});
    let (key, _) = app.token(budget).await;
    let body = chat("house-model");
    let call = || app.post_as(&key, "/v1/chat/completions", &body);
    // It has no price: it costs nothing yet.
    let first = call().await.expect_status(200);
    let record = app.record(&first.request_id()).await;
    assert_eq!(record["priced"], false);
    let price = json!({"currency": "USD", "input": "1000000", "output": "1000000", "valid_from": "2020-01-01T00:00:00Z"});
    let path = format!(
        "prices?provider={}&model=house-model",
        record["provider"].as_str().unwrap()
    );
    let set = app.api(Method::PUT, &path, Some(price)).await;
    assert!((200..300).contains(&set.status), "{}", set.text());
    let result = app.job("prices/recalculate", json!({})).await;
    assert_eq!(result["changed"], 1, "{result}");
    let refused = call().await.expect_status(429);
    assert_eq!(refused.json()["error"]["code"], "insufficient_quota");
}
