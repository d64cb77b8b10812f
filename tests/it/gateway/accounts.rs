//! Which account is asked, what happens when it fails, and that nothing is tried twice once a byte has gone out.

use http::Method;
use serde_json::{Value, json};

use crate::support::calls::chat;
use crate::support::client::End;
use crate::support::control::account;
use crate::support::{Answer, App, Setup, eventually};

/// Accounts for `model` at paths of their own, in this order of priority, on top of the usual ones.
async fn accounts(app: &App, model: &str, paths: &[&str]) -> Vec<String> {
    let mut ids = Vec::new();
    for (priority, path) in paths.iter().enumerate() {
        let mut body = account("openai", &app.provider().openai_url_at(path), &[model]);
        body["priority"] = json!(priority);
        ids.push(
            app.create("accounts", body).await["id"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    ids
}

/// An application whose only accounts are the ones a test makes.
async fn without_accounts(setup: Setup) -> App {
    let app = setup.serving().await;
    for account in app.get("accounts").await["items"]
        .as_array()
        .unwrap()
        .clone()
    {
        app.remove(&format!("accounts/{}", account["id"].as_str().unwrap()))
            .await;
    }
    app
}

fn calls(app: &App, paths: &[&str]) -> Vec<usize> {
    paths
        .iter()
        .map(|p| app.provider().received_at(p).len())
        .collect()
}

/// Which of two paths serves first: the convention for `priority` is the product's, the tests only ask that it holds.
async fn first_and_second<'a>(app: &App, model: &str, paths: [&'a str; 2]) -> [&'a str; 2] {
    app.chat(model).await.expect_status(200);
    let first = calls(app, &paths);
    assert_eq!(first.iter().sum::<usize>(), 1);
    for _ in 0..5 {
        app.chat(model).await.expect_status(200);
    }
    let after = calls(app, &paths);
    assert!(
        after.contains(&6) && after.contains(&0),
        "priority must decide: {after:?}"
    );
    if after[0] == 6 {
        paths
    } else {
        [paths[1], paths[0]]
    }
}

#[tokio::test]
async fn a_failure_before_the_first_byte_goes_to_the_next_account() {
    let app = without_accounts(Setup::new().set("GATEWAY__BREAKER_FAILURES", 1_000)).await;
    accounts(&app, "m", &["a", "b"]).await;
    let [first, second] = first_and_second(&app, "m", ["a", "b"]).await;
    for failure in [
        "status=429+retry_after=1",
        "status=500",
        "status=502",
        "status=503",
    ] {
        for streamed in [false, true] {
            app.provider().forget();
            app.provider().script_path(first, &[failure]);
            let id = if streamed {
                let mut stream = app.chat_stream("m").await;
                assert_eq!(
                    (stream.status, stream.rest().await),
                    (200, End::Clean),
                    "{failure}"
                );
                stream.request_id()
            } else {
                app.chat("m").await.expect_status(200).request_id()
            };
            assert_eq!(
                app.provider().received_at(second).len(),
                1,
                "{failure} streamed={streamed}"
            );
            let record = app.record(&id).await;
            assert_eq!(
                (record["status_code"].as_i64(), record["success"].as_bool()),
                (Some(200), Some(true)),
                "{failure}"
            );
            let attempts = match &record["attempts"] {
                Value::Array(list) => list.len() as i64,
                count => count
                    .as_i64()
                    .unwrap_or_else(|| panic!("attempts in {record}")),
            };
            // A cool-down after `retry-after` may spare the first account the second call.
            assert!(
                attempts == 2 || (attempts == 1 && streamed),
                "{failure} streamed={streamed}: {record}"
            );
        }
    }
}

#[tokio::test]
async fn a_call_that_was_sent_and_never_answered_is_not_made_again() {
    let app = without_accounts(Setup::new()).await;
    accounts(&app, "m", &["a", "b"]).await;
    let [first, second] = first_and_second(&app, "m", ["a", "b"]).await;
    app.provider().forget();
    app.provider().script_path(first, &["drop"]);
    // It may have been carried out, and paid for.
    let answer = app.chat("m").await.expect_status(502);
    assert_eq!(app.provider().received_at(second).len(), 0);
    assert_eq!(
        app.record(&answer.request_id()).await["error_code"],
        "upstream_broken"
    );
}

#[tokio::test]
async fn an_account_that_cannot_be_reached_is_passed_over() {
    let app = without_accounts(Setup::new()).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    // Both orders, since the convention for `priority` is the product's.
    for priority in [0, 100] {
        let mut body = account("openai", &format!("http://127.0.0.1:{port}/v1"), &["m"]);
        body["name"] = json!(format!("unreachable {priority}"));
        body["priority"] = json!(priority);
        app.create("accounts", body).await;
    }
    let mut body = account("openai", &app.provider().openai_url_at("b"), &["m"]);
    body["priority"] = json!(50);
    app.create("accounts", body).await;
    for _ in 0..4 {
        app.chat("m").await.expect_status(200);
    }
}

#[tokio::test]
async fn the_callers_own_mistakes_are_not_tried_elsewhere() {
    let app = without_accounts(Setup::new()).await;
    accounts(&app, "m", &["a", "b"]).await;
    let [first, second] = first_and_second(&app, "m", ["a", "b"]).await;
    for status in [400, 404, 413, 422] {
        app.provider().forget();
        app.provider()
            .script_path(first, &[&format!("status={status}")]);
        let answer = app.chat("m").await.expect_status(status);
        assert_eq!(
            app.provider().received_at(second).len(),
            0,
            "{status} was tried on another account"
        );
        assert_eq!(
            app.record(&answer.request_id()).await["status_code"],
            status
        );
    }
}

#[tokio::test]
async fn nothing_is_retried_once_a_byte_has_gone_out() {
    let app = without_accounts(Setup::new()).await;
    accounts(&app, "m", &["a", "b"]).await;
    let [first, second] = first_and_second(&app, "m", ["a", "b"]).await;
    app.provider().forget();
    app.provider().script_path(first, &["cut_after=2"]);
    let mut stream = app.chat_stream("m").await;
    let _ = stream.rest().await;
    assert!(!stream.text().contains("[DONE]"));
    assert_eq!(app.provider().received_at(second).len(), 0);
}

#[tokio::test]
async fn the_providers_own_error_comes_back_when_no_account_is_left() {
    let app = App::serving().await;
    for status in [429, 500, 503, 529] {
        let openai = app
            .chat(&format!("m{status}+status={status}"))
            .await
            .expect_status(status);
        assert_eq!(
            openai.json()["error"]["message"],
            format!("The fake provider was told to answer {status}")
        );
        let claude = app
            .messages(&format!("c{status}+status={status}"))
            .await
            .expect_status(status);
        assert_eq!(claude.json()["type"], "error");
        assert_eq!(
            claude.json()["error"]["message"],
            format!("The fake provider was told to answer {status}")
        );
        let record = app.record(&claude.request_id()).await;
        assert_eq!(
            (record["status_code"].as_u64(), record["success"].as_bool()),
            (Some(u64::from(status)), Some(false))
        );
    }
    let page = app.chat("mhtml+status=502+html").await.expect_status(502);
    assert!(!page.body.is_empty());
}

#[tokio::test]
async fn the_breaker_opens_spares_the_account_and_closes_again() {
    let app = without_accounts(
        Setup::new()
            .set("GATEWAY__BREAKER_FAILURES", 3)
            .set("GATEWAY__BREAKER_OPEN_MS", 700),
    )
    .await;
    accounts(&app, "m", &["a", "b"]).await;
    let [first, second] = first_and_second(&app, "m", ["a", "b"]).await;
    app.provider().script_path(first, &["status=500"]);
    app.provider().forget();
    for _ in 0..12 {
        app.chat("m").await.expect_status(200);
    }
    let tried = app.provider().received_at(first).len();
    assert!(
        (3..=5).contains(&tried),
        "an open breaker must spare the account: tried {tried} times"
    );
    assert_eq!(app.provider().received_at(second).len(), 12);
    app.provider().script_path(first, &["ok"]);
    eventually("the account is used again", || async {
        app.provider().forget();
        app.chat("m").await.expect_status(200);
        (app.provider().received_at(first).len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn all_accounts_down_is_a_clear_503_with_a_time_to_come_back() {
    let app = without_accounts(
        Setup::new()
            .set("GATEWAY__BREAKER_FAILURES", 2)
            .set("GATEWAY__BREAKER_OPEN_MS", 60_000),
    )
    .await;
    accounts(&app, "m", &["a"]).await;
    app.provider().script_path("a", &["drop"]);
    let mut last: Option<Answer> = None;
    for _ in 0..4 {
        last = Some(app.chat("m").await);
    }
    let last = last.unwrap();
    assert_eq!(last.status, 503, "{}", last.text());
    assert!(last.header("retry-after").is_some());
    assert!(last.json()["error"]["message"].is_string());
    assert!(app.provider().received_at("a").len() <= 3);
}

#[tokio::test]
async fn an_unreachable_upstream_is_a_502() {
    let app = without_accounts(Setup::new()).await;
    // A port that nobody listens on: bound and left.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    app.create(
        "accounts",
        account("openai", &format!("http://127.0.0.1:{port}/v1"), &["m"]),
    )
    .await;
    let answer = app.chat("m").await.expect_status(502);
    assert!(answer.json()["error"]["message"].is_string());
    let record = app.record(&answer.request_id()).await;
    assert_eq!(
        (
            record["status_code"].as_i64(),
            record["error_code"].as_str()
        ),
        (Some(502), Some("upstream_unreachable"))
    );
    assert!(
        !answer.text().contains(&port.to_string()),
        "the upstream's address is not the client's business: {}",
        answer.text()
    );
}

#[tokio::test]
async fn weights_share_the_calls() {
    let app = without_accounts(Setup::new()).await;
    for (path, weight) in [("a", 3), ("b", 1)] {
        let mut body = account("openai", &app.provider().openai_url_at(path), &["m"]);
        body["weight"] = json!(weight);
        app.create("accounts", body).await;
    }
    for _ in 0..80 {
        app.chat("m").await.expect_status(200);
    }
    let shares = calls(&app, &["a", "b"]);
    assert!(shares[0] > shares[1] && shares[1] > 4, "{shares:?}");
}

#[tokio::test]
async fn an_accounts_concurrency_limit_holds_for_streams() {
    let app = without_accounts(Setup::new()).await;
    let mut body = account("openai", &app.provider().openai_url_at("a"), &["m"]);
    body["concurrency"] = json!(2);
    app.create("accounts", body).await;
    app.provider().script_path("a", &["hang_after=2"]);
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = app.chat_stream("m").await;
        stream.until("Hello").await;
        held.push(stream);
    }
    let refused = app.chat("m").await.expect_status(503);
    assert_eq!(
        app.record(&refused.request_id()).await["error_code"],
        "upstream_busy"
    );
    drop(held);
    app.provider().script_path("a", &["ok"]);
    eventually("a place is free again", || async {
        (app.chat("m").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_changed_or_removed_account_acts_on_the_next_call() {
    let app = without_accounts(Setup::new()).await;
    let ids = accounts(&app, "m", &["a"]).await;
    app.chat("m").await.expect_status(200);
    app.patch(
        &format!("accounts/{}", ids[0]),
        json!({"base_url": app.provider().openai_url_at("moved"), "api_key": "sk-new-key"}),
    )
    .await;
    app.chat("m").await.expect_status(200);
    let sent = app
        .provider()
        .received_at("moved")
        .pop()
        .expect("the new address");
    assert_eq!(sent.header("authorization"), Some("Bearer sk-new-key"));
    app.patch(&format!("accounts/{}", ids[0]), json!({"enabled": false}))
        .await;
    assert!(app.chat("m").await.status >= 404);
    app.patch(&format!("accounts/{}", ids[0]), json!({"enabled": true}))
        .await;
    app.chat("m").await.expect_status(200);
    app.remove(&format!("accounts/{}", ids[0])).await;
    assert!(app.chat("m").await.status >= 404);
}

#[tokio::test]
async fn an_accounts_secret_is_never_shown_again_nor_stored_readable() {
    let app = App::serving().await;
    let created = app
        .create(
            "accounts",
            account("openai", "http://127.0.0.1:1/v1", &["x"]),
        )
        .await;
    let id = created["id"].as_str().unwrap();
    let secret = crate::support::app::PROVIDER_KEY;
    let shown = [
        app.get(&format!("accounts/{id}")).await.to_string(),
        app.get("accounts").await.to_string(),
        app.api(Method::GET, "ops/logs/operations", None)
            .await
            .text(),
        app.log(),
    ];
    assert!(shown.iter().all(|s| !s.contains(secret)));
    for file in std::fs::read_dir(app.data_dir())
        .unwrap()
        .flatten()
        .filter(|f| f.path().is_file())
    {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(
            !bytes.windows(secret.len()).any(|w| w == secret.as_bytes()),
            "{:?} holds the secret",
            file.path()
        );
    }
    assert_eq!(chat("x")["model"], "x");
}

#[tokio::test]
async fn a_provider_that_echoes_the_key_does_not_reveal_it() {
    let app = App::serving().await;
    let answer = app.chat("m+status=401+echo_key").await;
    assert!(answer.status >= 400);
    assert!(
        !answer.text().contains(crate::support::app::PROVIDER_KEY),
        "{}",
        answer.text()
    );
    let record = app.record(&answer.request_id()).await;
    assert!(
        !record
            .to_string()
            .contains(crate::support::app::PROVIDER_KEY),
        "{record}"
    );
}
