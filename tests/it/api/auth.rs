//! Signing in and out: passwords, sessions, keys, throttling.

use http::Method;
use serde_json::{Value, json};

use crate::support::app::{ADMIN_PASSWORD, OPERATOR_PASSWORD};
use crate::support::{Answer, App, Setup, eventually};

/// The refresh cookie of an answer as a client would send it back.
fn cookie(answer: &Answer) -> Option<String> {
    let line = answer
        .headers
        .get_all("set-cookie")
        .iter()
        .find_map(|v| v.to_str().ok().filter(|v| v.contains("HttpOnly")))?;
    Some(line.split(';').next().unwrap().to_owned())
}

async fn log_in(app: &App, username: &str, password: &str) -> Answer {
    app.api_as(
        "",
        Method::POST,
        "auth/login",
        Some(json!({"username": username, "password": password})),
    )
    .await
}

#[tokio::test]
async fn signing_in_gives_a_short_token_and_a_strict_cookie() {
    let app = Setup::new().set("AUTH__LOGIN_ATTEMPTS", 100).start().await;
    let answer = log_in(&app, "admin", ADMIN_PASSWORD)
        .await
        .expect_status(200);
    let body = answer.json();
    assert_eq!(
        (body["token_type"].as_str(), body["expires_in"].as_u64()),
        (Some("Bearer"), Some(900))
    );
    let line = answer
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|v| v.to_str().unwrap())
        .find(|v| v.contains("HttpOnly"))
        .expect("a refresh cookie");
    assert!(
        line.contains("SameSite=Strict") && line.contains("Path="),
        "{line}"
    );
    let me = app
        .api_as(
            body["access_token"].as_str().unwrap(),
            Method::GET,
            "auth/me",
            None,
        )
        .await
        .expect_status(200)
        .json();
    assert_eq!(me["username"], "admin");

    for (username, password) in [("admin", "wrong"), ("nobody", ADMIN_PASSWORD), ("", "")] {
        let refused = log_in(&app, username, password).await;
        assert!(
            [401, 422].contains(&refused.status),
            "{username}: {}",
            refused.text()
        );
        assert!(cookie(&refused).is_none());
    }
    // Whether the name exists is nobody's business.
    let (wrong_password, wrong_name) = (
        log_in(&app, "admin", "wrong").await,
        log_in(&app, "nobody", "wrong").await,
    );
    assert_eq!(wrong_password.json()["detail"], wrong_name.json()["detail"]);
}

#[tokio::test]
async fn a_refresh_cookie_works_once_and_its_reuse_ends_the_session() {
    let app = Setup::new().start().await;
    let first = cookie(&log_in(&app, "admin", ADMIN_PASSWORD).await).unwrap();
    let refresh = |cookie: String| {
        let app = &app;
        async move {
            app.api_with(
                "",
                Method::POST,
                "auth/refresh",
                &[("cookie", &cookie)],
                None,
            )
            .await
        }
    };
    let answer = refresh(first.clone()).await.expect_status(200);
    let second = cookie(&answer).expect("a rotated cookie");
    assert_ne!(first, second);
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    app.api_as(&token, Method::GET, "auth/me", None)
        .await
        .expect_status(200);
    refresh(second.clone()).await.expect_status(200);
    // Long after its rotation the first one is a stolen one.
    let reused = refresh(first).await;
    assert_eq!(reused.status, 401, "{}", reused.text());
    refresh("steward_refresh=nonsense".to_owned())
        .await
        .expect_status(401);
}

#[tokio::test]
async fn logging_out_ends_the_session_at_once() {
    let app = Setup::new().start().await;
    let (_, vera) = app.operator("vera", "ops_viewer").await;
    let answer = log_in(&app, "admin", ADMIN_PASSWORD).await;
    let cookie = cookie(&answer).unwrap();
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let out = app
        .api_with(
            &token,
            Method::POST,
            "auth/logout",
            &[("cookie", &cookie)],
            None,
        )
        .await;
    assert!((200..300).contains(&out.status), "{}", out.text());
    app.api_with(
        "",
        Method::POST,
        "auth/refresh",
        &[("cookie", &cookie)],
        None,
    )
    .await
    .expect_status(401);
    app.api_as(&token, Method::GET, "auth/me", None)
        .await
        .expect_status(401);
    // Somebody else's session goes on.
    app.api_as(&vera, Method::GET, "auth/me", None)
        .await
        .expect_status(200);
}

#[tokio::test]
async fn guessing_passwords_is_slowed_down() {
    let app = Setup::new()
        .set("AUTH__LOGIN_ATTEMPTS", 3)
        .set("AUTH__LOGIN_WINDOW_S", 600)
        .start()
        .await;
    app.operator("anna", "ops_viewer").await;
    let mut refused: Option<Answer> = None;
    for _ in 0..10 {
        let answer = log_in(&app, "anna", "guess").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 401);
    }
    let refused = refused.expect("guessing must be stopped");
    assert!(
        refused
            .header("retry-after")
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 0
    );
    assert_eq!(refused.json()["code"], "login_throttled");
    // Not even the right password helps now: otherwise guessing would go on.
    assert_eq!(log_in(&app, "anna", OPERATOR_PASSWORD).await.status, 429);
}

#[tokio::test]
async fn disabling_an_operator_acts_at_once() {
    let app = Setup::new().start().await;
    let (anna, token) = app.operator("anna", "ops_admin").await;
    app.api_as(&token, Method::GET, "tokens", None)
        .await
        .expect_status(200);
    app.patch(&format!("ops/users/{anna}"), json!({"enabled": false}))
        .await;
    app.api_as(&token, Method::GET, "tokens", None)
        .await
        .expect_status(401);
    let refused = log_in(&app, "anna", OPERATOR_PASSWORD).await;
    assert!([401, 403].contains(&refused.status), "{}", refused.text());
}

#[tokio::test]
async fn operator_keys_sign_scripts_in_until_they_are_revoked() {
    let app = Setup::new().start().await;
    let created = app
        .create("auth/keys", json!({"name": "nightly script"}))
        .await;
    let key = created["key"].as_str().expect("the key, once").to_owned();
    app.api_as(&key, Method::GET, "tokens", None)
        .await
        .expect_status(200);
    assert!(!app.get("auth/keys").await.to_string().contains(&key));
    app.remove(&format!("auth/keys/{}", created["id"].as_str().unwrap()))
        .await;
    app.api_as(&key, Method::GET, "tokens", None)
        .await
        .expect_status(401);
}

#[tokio::test]
async fn changing_the_password_needs_the_old_one_and_ends_other_sessions() {
    let app = Setup::new().start().await;
    let other = app.sign_in("admin", ADMIN_PASSWORD).await;
    let change = |old: &str, new: &str| json!({"current_password": old, "new_password": new});
    let refused = app
        .api(
            Method::POST,
            "auth/password",
            Some(change("wrong", "another long password")),
        )
        .await;
    assert!((400..500).contains(&refused.status), "{}", refused.text());
    let weak = app
        .api(
            Method::POST,
            "auth/password",
            Some(change(ADMIN_PASSWORD, "short")),
        )
        .await;
    assert_eq!(weak.status, 422, "{}", weak.text());
    let done = app
        .api(
            Method::POST,
            "auth/password",
            Some(change(ADMIN_PASSWORD, "another long password")),
        )
        .await;
    assert!((200..300).contains(&done.status), "{}", done.text());
    app.api_as(&other, Method::GET, "auth/me", None)
        .await
        .expect_status(401);
    assert_eq!(log_in(&app, "admin", ADMIN_PASSWORD).await.status, 401);
    app.sign_in("admin", "another long password").await;
}

#[tokio::test]
async fn without_a_valid_bearer_nothing_is_told() {
    let app = Setup::new().start().await;
    // A token signed by nobody: the algorithm "none", and one with a foreign key.
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhZG1pbiIsImV4cCI6NDEwMjQ0NDgwMH0.";
    let foreign = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZG1pbiIsImV4cCI6NDEwMjQ0NDgwMH0.c2lnbmF0dXJl";
    let mut altered = app.admin.clone();
    altered.truncate(altered.len() - 2);
    for bearer in [
        "",
        "nonsense",
        none,
        foreign,
        &altered,
        "sk-stw-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ] {
        for path in [
            "tokens",
            "accounts",
            "logs/requests",
            "supervision/tree",
            "ops/users",
            "auth/me",
            "jobs/x",
        ] {
            let answer = app.api_as(bearer, Method::GET, path, None).await;
            assert_eq!(
                answer.status,
                401,
                "{path} with {bearer}: {}",
                answer.text()
            );
            let problem: Value = answer.json();
            assert_eq!(
                (problem["status"].as_u64(), problem["code"].is_string()),
                (Some(401), true),
                "{problem}"
            );
        }
    }
}

#[tokio::test]
async fn the_first_password_is_printed_once_when_none_was_given() {
    let app = Setup::new().set("LOG__FORMAT", "text").start().await;
    drop(app);
    // Its own start, without STEWARD_ADMIN_PASSWORD.
    let directory = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let log = directory.path().join("log");
    let file = std::fs::File::create(&log).unwrap();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_steward"))
        .args([
            "serve",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--data-dir",
        ])
        .arg(directory.path().join("data"))
        .env_remove("STEWARD_ADMIN_PASSWORD")
        .env("NO_COLOR", "1")
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    let http = crate::support::client::Client::new();
    let url = format!("http://127.0.0.1:{port}/api/v1/auth/login");
    // One of the words printed is the password.
    let signed_in = eventually("the printed password signs in", || async {
        let said = std::fs::read_to_string(&log).unwrap();
        let words: Vec<_> = said
            .split(|c: char| c.is_whitespace() || "\"'`".contains(c))
            .filter(|w| (12..80).contains(&w.len()) && !w.contains(':') && !w.contains('/'))
            .collect();
        let near = words.iter().rev().take(40);
        for word in near {
            let body =
                json!({"username": "admin", "password": word.trim_matches(['.', ','])}).to_string();
            if let Ok(answer) = http
                .try_call(
                    Method::POST,
                    &url,
                    &[("content-type", "application/json")],
                    body,
                )
                .await
                && answer.status == 200
            {
                return Some(());
            }
        }
        None
    });
    let outcome = tokio::time::timeout(std::time::Duration::from_secs(20), signed_in).await;
    let _ = child.kill();
    let _ = child.wait();
    outcome
        .unwrap_or_else(|_| panic!("no password in: {}", std::fs::read_to_string(&log).unwrap()));
}
