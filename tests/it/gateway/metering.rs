//! What the books say about a call: tokens, times, who, which; and that asking for usage is not noticed by the client.

use http::Method;
use serde_json::{Value, json};

use crate::fake_provider::{anthropic, openai};
use crate::support::calls::{chat, messages};
use crate::support::client::End;
use crate::support::{App, eventually};

#[track_caller]
fn tokens(record: &Value) -> (i64, i64, i64, i64, i64) {
    let field = |name: &str| {
        record[name]
            .as_i64()
            .unwrap_or_else(|| panic!("{name} in {record}"))
    };
    (
        field("prompt_tokens"),
        field("completion_tokens"),
        field("total_tokens"),
        field("cached_tokens"),
        field("reasoning_tokens"),
    )
}

#[tokio::test]
async fn usage_of_every_operation_is_recorded() {
    let app = App::serving().await;
    let prompt = openai::PROMPT_TOKENS as i64;
    let cached = openai::CACHED_TOKENS as i64;
    let reasoning = openai::REASONING_TOKENS as i64;
    let claude_prompt = (anthropic::INPUT_TOKENS
        + anthropic::CACHE_READ_TOKENS
        + anthropic::CACHE_CREATION_TOKENS) as i64;
    for (path, body, operation, expected) in [
        (
            "/v1/chat/completions",
            chat("gpt-4o+n=7+reasoning"),
            "chat",
            (prompt, 7, prompt + 7, cached, reasoning),
        ),
        (
            "/v1/completions",
            json!({"model": "gpt-4o+n=7", "prompt": "x"}),
            "completion",
            (prompt, 7, prompt + 7, cached, 0),
        ),
        (
            "/v1/responses",
            json!({"model": "gpt-4o+n=7+reasoning", "input": "x"}),
            "responses",
            (prompt, 7, prompt + 7, cached, reasoning),
        ),
        (
            "/v1/embeddings",
            json!({"model": "gpt-4o", "input": "x"}),
            "embedding",
            (prompt, 0, prompt, 0, 0),
        ),
        (
            "/v1/messages",
            messages("claude+n=7"),
            "messages",
            (
                claude_prompt,
                7,
                claude_prompt + 7,
                anthropic::CACHE_READ_TOKENS as i64,
                0,
            ),
        ),
    ] {
        for streamed in [false, true] {
            if streamed && operation == "embedding" {
                continue;
            }
            let (id, title) = if streamed {
                let mut stream = app.stream(path, &body).await;
                assert_eq!(stream.rest().await, End::Clean);
                (stream.request_id(), format!("{} streamed", body["model"]))
            } else {
                let answer = if path == "/v1/messages" {
                    app.post_claude(path, &body).await
                } else {
                    app.post(path, &body).await
                };
                (
                    answer.expect_status(200).request_id(),
                    body["model"].to_string(),
                )
            };
            let record = app.record(&id).await;
            assert_eq!(tokens(&record), expected, "{path} {title}: {record}");
            assert_eq!(record["usage_estimated"], false, "{path} {title}");
            assert_eq!(record["operation"], operation, "{path} {title}");
            assert_eq!(record["stream"], streamed, "{path} {title}");
            assert_eq!(record["status_code"], 200, "{path} {title}");
            if operation == "messages" {
                assert_eq!(
                    record["cache_write_tokens"],
                    json!(anthropic::CACHE_CREATION_TOKENS),
                    "{record}"
                );
            }
        }
    }
}

#[tokio::test]
async fn compressed_answers_are_metered_too() {
    let app = App::serving().await;
    let authorization = format!("Bearer {}", app.key);
    let headers = [
        ("authorization", authorization.as_str()),
        ("accept-encoding", "gzip, br"),
        ("content-type", "application/json"),
    ];
    for (words, encoding) in [
        ("gzip", "gzip"),
        ("br", "br"),
        ("gzip+piece_bytes=3", "gzip"),
        ("br+piece_bytes=3", "br"),
    ] {
        for streamed in [false, true] {
            let mut body = chat(&format!("gpt-4o+n=7+{words}+anyway"));
            if streamed {
                body["stream"] = json!(true);
                body["stream_options"] = json!({"include_usage": true});
            }
            let answer = app
                .http
                .call(
                    Method::POST,
                    &app.url("/v1/chat/completions"),
                    &headers,
                    body.to_string(),
                )
                .await
                .expect_status(200);
            assert_eq!(answer.header("content-encoding"), Some(encoding));
            let record = app.record(&answer.request_id()).await;
            assert_eq!(
                tokens(&record).1,
                7,
                "{words} streamed={streamed}: {record}"
            );
            assert_eq!(
                record["usage_estimated"], false,
                "{words} streamed={streamed}"
            );
        }
    }
}

#[tokio::test]
async fn usage_is_asked_for_without_the_client_noticing() {
    let app = App::serving().await;
    for (path, body) in [
        ("/v1/chat/completions", chat("gpt-4o+n=6")),
        (
            "/v1/completions",
            json!({"model": "gpt-4o+n=6", "prompt": "x"}),
        ),
    ] {
        app.provider().forget();
        let mut stream = app.stream(path, &body).await;
        assert_eq!(stream.rest().await, End::Clean);
        let sent = app.provider().received().pop().unwrap().json();
        assert_eq!(
            sent["stream_options"]["include_usage"], true,
            "{path}: asked for"
        );
        let text = stream.text();
        assert!(
            !text.contains("\"choices\":[]"),
            "{path}: the extra chunk reached the client: {text}"
        );
        assert!(!text.contains("prompt_tokens"), "{path}: {text}");
        assert!(text.ends_with("data: [DONE]\n\n"), "{path}");
        assert_eq!(
            app.record(&stream.request_id()).await["completion_tokens"],
            6
        );
    }
    // A provider that compresses although it was asked not to: the chunk is taken out all the same.
    for packed in ["gzip", "br"] {
        let model = format!("gpt-4o+n=6+{packed}+anyway");
        let mut stream = app.stream("/v1/chat/completions", &chat(&model)).await;
        assert_eq!(stream.rest().await, End::Clean, "{packed}");
        assert!(!stream.headers.contains_key("content-encoding"), "{packed}");
        let text = stream.text();
        assert!(!text.contains("\"choices\":[]"), "{packed}: {text}");
        assert!(text.ends_with("data: [DONE]\n\n"), "{packed}: {text}");
        let record = app.record(&stream.request_id()).await;
        assert_eq!(record["completion_tokens"], 6, "{packed}");
        assert_eq!(record["usage_estimated"], false, "{packed}");
    }
    // Other stream options of the client are kept; an explicit wish for usage is answered.
    let mut asked = chat("gpt-4o+n=6");
    asked["stream_options"] = json!({"include_obfuscation": false});
    let mut stream = app.stream("/v1/chat/completions", &asked).await;
    assert_eq!(stream.rest().await, End::Clean);
    assert_eq!(
        app.provider().received().pop().unwrap().json()["stream_options"]["include_obfuscation"],
        false
    );
    asked["stream_options"] = json!({"include_usage": true});
    let mut stream = app.stream("/v1/chat/completions", &asked).await;
    assert_eq!(stream.rest().await, End::Clean);
    assert!(
        stream.text().contains("\"choices\":[]"),
        "usage that was asked for must come"
    );
}

#[tokio::test]
async fn usage_is_estimated_where_the_provider_is_silent() {
    let app = App::serving().await;
    for path in ["/v1/chat/completions", "/v1/messages"] {
        for streamed in [false, true] {
            let model = "gpt-4o+n=40+no_usage";
            let body = if path == "/v1/messages" {
                messages(model)
            } else {
                chat(model)
            };
            let id = if streamed {
                let mut stream = app.stream(path, &body).await;
                assert_eq!(stream.rest().await, End::Clean);
                stream.request_id()
            } else if path == "/v1/messages" {
                app.post_claude(path, &body)
                    .await
                    .expect_status(200)
                    .request_id()
            } else {
                app.post(path, &body).await.expect_status(200).request_id()
            };
            let record = app.record(&id).await;
            assert_eq!(
                record["usage_estimated"], true,
                "{path} streamed={streamed}: {record}"
            );
            assert!(
                record["prompt_tokens"].as_i64().unwrap() > 0
                    && record["completion_tokens"].as_i64().unwrap() > 20,
                "{path} streamed={streamed}: {record}"
            );
        }
    }
}

#[tokio::test]
async fn a_record_says_who_called_what_when() {
    let app = App::serving().await;
    let tenant = app
        .api(Method::POST, "ops/tenants", Some(json!({"name": "Shop"})))
        .await;
    let tenant_id = (tenant.status == 201).then(|| tenant.json()["id"].clone());
    let mut wanted = json!({"name": "checkout", "app": "shop-app"});
    if let Some(id) = &tenant_id {
        wanted["tenant_id"] = id.clone();
    }
    let (key, token_id) = app.token(wanted).await;
    let mut body = chat("gpt-4o+delay_ms=60");
    body["user"] = json!("user-7");
    let answer = app
        .post_as(&key, "/v1/chat/completions", &body)
        .await
        .expect_status(200);
    let record = app.record(&answer.request_id()).await;
    assert_eq!(record["id"], answer.request_id());
    assert_eq!(record["token_id"], token_id);
    assert_eq!(record["app"], "shop-app");
    assert_eq!(record["user_name"], "user-7");
    assert_eq!(record["mode"], "api");
    assert_eq!(record["provider"], "openai");
    assert_eq!(record["source"], "gateway");
    assert_eq!(record["success"], true);
    assert!(
        record["account_id"].as_str().unwrap().starts_with("acc_"),
        "{record}"
    );
    if let Some(id) = tenant_id {
        assert_eq!(record["tenant_id"], id);
    }
    assert!(record["duration_ms"].as_i64().unwrap() >= 60, "{record}");
    let (from, to) = (
        record["request_at"].as_str().unwrap(),
        record["response_at"].as_str().unwrap(),
    );
    assert!(from < to && from.ends_with('Z'), "{from} {to}");

    // Headers name the application and the user where token and body do not.
    let headers = [
        ("authorization", format!("Bearer {}", app.key)),
        ("x-app-id", "from-header".into()),
        ("x-user-id", "user-8".into()),
        ("content-type", "application/json".into()),
    ];
    let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let answer = app
        .http
        .call(
            Method::POST,
            &app.url("/v1/chat/completions"),
            &headers,
            chat("gpt-4o").to_string(),
        )
        .await
        .expect_status(200);
    let record = app.record(&answer.request_id()).await;
    assert_eq!(
        (record["app"].as_str(), record["user_name"].as_str()),
        (Some("from-header"), Some("user-8"))
    );

    let mut body = messages("claude");
    body["metadata"] = json!({"user_id": "user-9"});
    let answer = app
        .post_claude("/v1/messages", &body)
        .await
        .expect_status(200);
    assert_eq!(
        app.record(&answer.request_id()).await["user_name"],
        "user-9"
    );
}

#[tokio::test]
async fn the_first_token_is_timed_by_content() {
    let app = App::serving().await;
    let mut stream = app.chat_stream("gpt-4o+n=5+stall_ms=300+pause_ms=40").await;
    assert_eq!(stream.rest().await, End::Clean);
    let record = app.record(&stream.request_id()).await;
    let (first, whole) = (
        record["ttft_ms"].as_i64().unwrap(),
        record["duration_ms"].as_i64().unwrap(),
    );
    // The role comes 300 ms in, the first word 40 ms later, the end after six more pauses.
    assert!((330..2_000).contains(&first), "{record}");
    assert!(whole >= first + 150, "{record}");
}

#[tokio::test]
async fn refusals_of_a_known_token_are_recorded_and_unknown_keys_are_not() {
    let app = App::serving().await;
    let (key, token_id) = app
        .token(json!({"name": "narrow", "allowed_models": ["gpt-4o-mini"]}))
        .await;
    let refused = app
        .post_as(&key, "/v1/chat/completions", &chat("gpt-4o"))
        .await
        .expect_status(403);
    let record = app.record(&refused.request_id()).await;
    assert_eq!(record["status_code"], 403);
    assert_eq!(record["token_id"], token_id);
    assert_eq!(record["account_id"], Value::Null);
    assert_eq!(record["error_code"], "model_not_allowed");

    let before = app.loss_ledger().await[0];
    app.post_as("sk-stw-unknown", "/v1/chat/completions", &chat("gpt-4o"))
        .await
        .expect_status(401);
    app.post_as("", "/v1/chat/completions", &chat("gpt-4o"))
        .await
        .expect_status(401);
    app.chat("gpt-4o").await.expect_status(200);
    let after = eventually("the loss ledger settles", || async {
        let [accepted, stored, ..] = app.loss_ledger().await;
        (accepted == stored).then_some(accepted)
    })
    .await;
    assert_eq!(after, before + 1);
}
