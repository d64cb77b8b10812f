//! Prompts at work: what applications call with a version, and what operators run in the playground, is on the books.

use http::Method;
use serde_json::{Value, json};

use crate::support::{App, eventually};

/// Name and data of each event.
fn told(text: &str) -> Vec<(String, Value)> {
    let field = |event: &str, name: &str| {
        let lines = event.lines().find_map(|line| line.strip_prefix(name));
        lines.unwrap_or_default().to_owned()
    };
    text.split("\n\n")
        .filter(|event| !event.is_empty())
        .map(|event| {
            let data = serde_json::from_str(&field(event, "data: ")).unwrap_or_default();
            (field(event, "event: "), data)
        })
        .collect()
}

async fn prompt(app: &App, messages: Value) -> String {
    let new = json!({"name": "shop/hello", "messages": messages, "model": "gpt-4o", "parameters": {"temperature": 0.5}});
    let made = app.create("prompts", new).await;
    format!("prompts/{}", made["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_run_is_a_call_like_any_other_and_is_kept() {
    let app = App::serving().await;
    let messages = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello {{name}}"}]);
    let path = prompt(&app, messages).await;
    let (_, token_id) = app.token(json!({"name": "operators"})).await;
    // Each protocol has a model of its own.
    for account in app.get("accounts").await["items"].as_array().unwrap() {
        let only = match account["protocol"] == "openai" {
            true => "gpt-*",
            false => "claude-*",
        };
        let path = format!("accounts/{}", account["id"].as_str().unwrap());
        app.patch(&path, json!({"models": [only]})).await;
    }
    for model in [None, Some("claude-sonnet-4-5")] {
        let wish = json!({"version": 1, "model": model, "token_id": token_id, "variables": {"name": "李雷"}});
        let answer = app
            .api(Method::POST, &format!("{path}/run"), Some(wish))
            .await
            .expect_status(200);
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        let events = told(&answer.text());
        let (first, begun) = events.first().unwrap();
        let (last, ended) = events.last().unwrap();
        assert_eq!(
            (first.as_str(), last.as_str()),
            ("begun", "ended"),
            "{events:?}"
        );
        let said: String = events
            .iter()
            .filter(|(name, _)| name == "text")
            .map(|(_, data)| data["text"].as_str().unwrap())
            .collect();
        assert!(!said.is_empty(), "{events:?}");
        assert_eq!(ended["text"], said);
        assert_eq!(
            (&ended["error"], &ended["status_code"]),
            (&Value::Null, &json!(200))
        );
        assert_eq!(ended["id"], begun["id"]);
        let record = app.record(begun["request_id"].as_str().unwrap()).await;
        assert_eq!(record["model"], model.unwrap_or("gpt-4o"), "{record}");
        assert_eq!(
            (&record["app"], &record["prompt"], &record["token_id"]),
            (
                &json!("playground"),
                &json!("shop/hello@1"),
                &json!(token_id)
            )
        );
        assert_eq!(
            (&record["stream"], &record["success"]),
            (&json!(true), &json!(true))
        );
        assert_eq!(record["user_name"], ended["created_by"]);
    }
    let kept = eventually("the books tell of both runs", || async {
        let kept = app.get(&format!("{path}/runs")).await;
        let items = kept["items"].as_array().cloned().unwrap_or_default();
        (items.len() == 2 && items.iter().all(|run| run["call"]["success"] == true))
            .then_some(items)
    })
    .await;
    assert_eq!(kept[1]["variables"], json!({"name": "李雷"}));
    app.remove(&format!("{path}/runs/{}", kept[0]["id"].as_str().unwrap()))
        .await;
    assert_eq!(app.get(&format!("{path}/runs")).await["total"], 1);
}

#[tokio::test]
async fn a_run_that_fails_says_why_and_is_kept_too() {
    let app = App::serving().await;
    let path = prompt(&app, json!([{"role": "user", "content": "Hello {{name}}"}])).await;
    let (_, token_id) = app
        .token(json!({"name": "few", "allowed_models": ["gpt-4o"]}))
        .await;
    let run = |wish: Value| {
        let (app, path) = (&app, format!("{path}/run"));
        async move { app.api(Method::POST, &path, Some(wish)).await }
    };
    let values = json!({"name": "x"});
    let refused =
        run(json!({"version": 1, "model": "gpt-5", "token_id": token_id, "variables": values}))
            .await;
    let events = told(&refused.expect_status(200).text());
    let (_, ended) = events.last().unwrap();
    assert_eq!(ended["status_code"], 403, "{events:?}");
    assert!(
        ended["error"].as_str().unwrap().contains("gpt-5"),
        "{events:?}"
    );
    assert_eq!(ended["text"], "");
    let record = app.record(ended["request_id"].as_str().unwrap()).await;
    assert_eq!(record["error_code"], "model_not_allowed");

    for (wish, field) in [
        (
            json!({"version": 1, "token_id": token_id}),
            "variables.name",
        ),
        (
            json!({"version": 1, "token_id": "tok_nobody", "variables": values}),
            "token_id",
        ),
        (
            json!({"version": 1, "model": "*", "token_id": token_id, "variables": values}),
            "model",
        ),
    ] {
        let answer = run(wish).await.expect_status(422).json();
        assert_eq!(answer["errors"][0]["field"], field, "{answer}");
    }
    let nowhere = run(json!({"version": 9, "token_id": token_id, "variables": values})).await;
    nowhere.expect_status(404);
}
