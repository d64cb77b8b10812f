//! Every refusal speaks the caller's dialect, has the right status and an id.

use http::Method;
use serde_json::{Value, json};

use crate::support::calls::{chat, messages};
use crate::support::control::account;
use crate::support::{Answer, App, Setup, eventually};

#[track_caller]
fn openai_error(answer: &Answer) -> Value {
    let body = answer.json();
    for field in ["message", "type"] {
        assert!(body["error"][field].is_string(), "{field} in {body}");
    }
    for field in ["param", "code"] {
        assert!(body["error"].get(field).is_some(), "{field} in {body}");
    }
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("application/json")
    );
    answer.request_id();
    body["error"].clone()
}

fn error(kind: &str, code: &str, param: Value) -> (String, String, Value) {
    (kind.to_owned(), code.to_owned(), param)
}

/// Its type, code and the parameter at fault.
#[track_caller]
fn told(answer: &Answer) -> (String, String, Value) {
    let error = openai_error(answer);
    let word = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
    (word("type"), word("code"), error["param"].clone())
}

#[track_caller]
fn claude_error(answer: &Answer) -> Value {
    let body = answer.json();
    assert_eq!(body["type"], "error", "{body}");
    assert!(
        body["error"]["type"].is_string() && body["error"]["message"].is_string(),
        "{body}"
    );
    answer.request_id();
    body["error"].clone()
}

async fn as_claude(app: &App, key: &str, body: impl ToString) -> Answer {
    let headers = [
        ("x-api-key", key),
        ("anthropic-version", "2023-06-01"),
        ("content-type", "application/json"),
    ];
    app.http
        .call(
            Method::POST,
            &app.url("/v1/messages"),
            &headers,
            body.to_string(),
        )
        .await
}

async fn as_openai(app: &App, key: &str, body: impl ToString) -> Answer {
    let authorization = format!("Bearer {key}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
    ];
    app.http
        .call(
            Method::POST,
            &app.url("/v1/chat/completions"),
            &headers,
            body.to_string(),
        )
        .await
}

#[tokio::test]
async fn keys_that_do_not_count() {
    let app = App::serving().await;
    let (disabled, id) = app.token(json!({"name": "disabled"})).await;
    app.patch(&format!("tokens/{id}"), json!({"enabled": false}))
        .await;
    let soon = chrono::Utc::now() + chrono::TimeDelta::milliseconds(1_500);
    let (expired, _) = app
        .token(json!({"name": "expired", "expires_at": soon.to_rfc3339()}))
        .await;
    as_openai(&app, &expired, chat("gpt-4o"))
        .await
        .expect_status(200);
    eventually("the token expires", || async {
        (as_openai(&app, &expired, chat("gpt-4o")).await.status == 401).then_some(())
    })
    .await;
    app.provider().forget();
    let flipped = {
        let mut key = app.key.clone();
        let last = key.pop().unwrap();
        key.push(if last == 'A' { 'B' } else { 'A' });
        key
    };
    let long = "x".repeat(4_000);
    // What the OpenAI SDKs look for in a key that is none.
    let unknown = "invalid_api_key";
    for (key, code) in [
        ("", unknown),
        ("sk-stw-", unknown),
        ("nonsense", unknown),
        ("sk-invalid", unknown),
        (disabled.as_str(), "token_disabled"),
        (expired.as_str(), "token_expired"),
        (flipped.as_str(), unknown),
        (long.as_str(), unknown),
    ] {
        let answer = as_openai(&app, key, chat("gpt-4o")).await;
        assert_eq!(answer.status, 401, "{key}: {}", answer.text());
        assert_eq!(openai_error(&answer)["code"], code, "{key}");
        let answer = as_claude(&app, key, messages("claude")).await;
        assert_eq!(
            (answer.status, claude_error(&answer)["type"].as_str()),
            (401, Some("authentication_error")),
            "{key}"
        );
    }
    assert!(app.provider().received().is_empty());
}

#[tokio::test]
async fn models_that_cannot_be_had() {
    let app = Setup::new().serving().await;
    for listed in app.get("accounts").await["items"].as_array().unwrap() {
        app.remove(&format!("accounts/{}", listed["id"].as_str().unwrap()))
            .await;
    }
    let none = app.chat("gpt-4o").await.expect_status(503);
    assert_eq!(
        told(&none),
        error("server_error", "no_account", Value::Null)
    );
    let none = app.messages("claude").await.expect_status(503);
    assert_eq!(claude_error(&none)["type"], "api_error");

    app.create(
        "accounts",
        account("openai", &app.provider().openai_url(), &["gpt-4o"]),
    )
    .await;
    app.create(
        "accounts",
        account("anthropic", &app.provider().anthropic_url(), &["claude"]),
    )
    .await;
    let at_fault = || json!("model");
    let unknown = app.chat("gpt-9").await.expect_status(404);
    let wrong = "invalid_request_error";
    assert_eq!(told(&unknown), error(wrong, "model_not_found", at_fault()));
    let unknown = app.messages("claude-9").await.expect_status(404);
    assert_eq!(claude_error(&unknown)["type"], "not_found_error");

    let other = app.chat("claude").await.expect_status(400);
    assert_eq!(
        told(&other),
        error(wrong, "model_on_other_protocol", at_fault())
    );
    assert!(
        openai_error(&other)["message"]
            .as_str()
            .unwrap()
            .contains("claude")
    );
    let other = app.messages("gpt-4o").await.expect_status(400);
    assert_eq!(claude_error(&other)["type"], "invalid_request_error");

    let (narrow, _) = app
        .token(json!({"name": "narrow", "allowed_models": ["claude"]}))
        .await;
    let refused = as_openai(&app, &narrow, chat("gpt-4o"))
        .await
        .expect_status(403);
    let forbidden = error("permission_error", "model_not_allowed", at_fault());
    assert_eq!(told(&refused), forbidden);
    let refused = as_claude(&app, &narrow, messages("gpt-4o"))
        .await
        .expect_status(403);
    assert_eq!(claude_error(&refused)["type"], "permission_error");
    assert!(app.provider().received().is_empty());
}

#[tokio::test]
async fn bodies_that_say_nothing() {
    let app = App::serving().await;
    let (unreadable, nameless) = ("invalid_json", "model_missing");
    for (body, code) in [
        ("", unreadable),
        ("{", unreadable),
        ("[]", unreadable),
        ("null", unreadable),
        ("\"text\"", unreadable),
        ("42", unreadable),
        ("{\"messages\":[]}", nameless),
        ("{\"model\":7,\"messages\":[]}", nameless),
        ("{\"model\":\"\"}", nameless),
        ("{\"model\":null}", nameless),
        ("{\"model\":\"gpt-4o\"} trailing", unreadable),
        ("\u{feff}{}", unreadable),
        ("{'model':'gpt-4o'}", unreadable),
        ("{\"model\":\"gpt-4o\",}", unreadable),
    ] {
        let answer = as_openai(&app, &app.key, body).await;
        assert_eq!(answer.status, 400, "{body:?}: {}", answer.text());
        let (kind, told, _) = told(&answer);
        assert_eq!(
            (kind.as_str(), told.as_str()),
            ("invalid_request_error", code),
            "{body:?}"
        );
        let answer = as_claude(&app, &app.key, body).await;
        assert_eq!(
            (answer.status, claude_error(&answer)["type"].as_str()),
            (400, Some("invalid_request_error")),
            "{body:?}"
        );
    }
    assert!(app.provider().received().is_empty());
    app.chat("gpt-4o").await.expect_status(200);
}

#[tokio::test]
async fn addresses_and_methods_that_do_not_exist() {
    let app = App::serving().await;
    let authorization = format!("Bearer {}", app.key);
    for path in [
        "/v1",
        "/v1/",
        "/v1/unknown",
        "/v1/chat",
        "/v1/files",
        "/v1/prompts",
        "/v1/prompts/",
        "/v1/chat/completions/extra",
    ] {
        let answer = app
            .http
            .call(
                Method::POST,
                &app.url(path),
                &[("authorization", &authorization)],
                "{}",
            )
            .await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        assert_eq!(openai_error(&answer)["code"], "not_found", "{path}");
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = app
            .http
            .call(
                method.clone(),
                &app.url("/v1/chat/completions"),
                &[("authorization", &authorization)],
                "",
            )
            .await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("POST"), "{method}");
        assert_eq!(
            openai_error(&answer)["code"],
            "method_not_allowed",
            "{method}"
        );
    }
}

#[tokio::test]
async fn the_body_limit_is_told_and_a_body_below_it_passes() {
    let app = Setup::new()
        .set("GATEWAY__MAX_BODY_BYTES", 1_000_000)
        .serving()
        .await;
    let body = |bytes: usize| json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "x".repeat(bytes)}]});
    app.post("/v1/chat/completions", &body(990_000))
        .await
        .expect_status(200);
    let refused = app
        .post("/v1/chat/completions", &body(1_100_000))
        .await
        .expect_status(413);
    assert_eq!(openai_error(&refused)["code"], "request_too_large");
    let refused = app
        .post_claude("/v1/messages", &body(1_100_000))
        .await
        .expect_status(413);
    assert_eq!(claude_error(&refused)["type"], "request_too_large");
    app.chat("gpt-4o").await.expect_status(200);
}

#[tokio::test]
async fn a_body_of_32_mib_passes_by_default() {
    let app = App::serving().await;
    let frame = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": ""}]})
        .to_string()
        .len();
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "x".repeat((32 << 20) - frame)}]});
    assert_eq!(body.to_string().len(), 32 << 20);
    app.post("/v1/chat/completions", &body)
        .await
        .expect_status(200);
    assert_eq!(
        app.provider().received().pop().unwrap().body.len(),
        32 << 20
    );
}
