//! What holds on every path of the control face: problems, ids, ETags, idempotency, lists, headers.

use http::Method;
use serde_json::{Value, json};

use crate::support::control::account;
use crate::support::{App, Setup};

#[tokio::test]
async fn failures_are_problem_documents_with_a_stable_code() {
    let app = Setup::new().start().await;
    for (method, path, body, status) in [
        (Method::GET, "tokens/tok_doesnotexist", None, 404),
        (Method::GET, "nothing/here", None, 404),
        (Method::POST, "tokens", Some(json!({})), 422),
        (
            Method::POST,
            "tokens",
            Some(json!({"name": "x", "rpm": -1})),
            422,
        ),
        (
            Method::POST,
            "tokens",
            Some(json!({"name": "x", "expires_at": "tomorrow"})),
            422,
        ),
        (
            Method::POST,
            "accounts",
            Some(
                json!({"name": "x", "provider": "p", "protocol": "carrier pigeon", "base_url": "http://x/v1", "api_key": "k", "models": ["*"]}),
            ),
            422,
        ),
        (
            Method::POST,
            "accounts",
            Some(
                json!({"name": "x", "provider": "p", "protocol": "openai", "base_url": "not a url", "api_key": "k", "models": ["*"]}),
            ),
            422,
        ),
        (Method::GET, "logs/requests?cursor=nonsense", None, 400),
        (
            Method::GET,
            "logs/requests?from=2026-02-02&to=2026-01-01",
            None,
            400,
        ),
        (Method::GET, "jobs/job_doesnotexist", None, 404),
    ] {
        let answer = app.api(method.clone(), path, body).await;
        assert!(
            answer.status == status || (status == 422 && answer.status == 400),
            "{method} {path}: {} {}",
            answer.status,
            answer.text()
        );
        assert!(
            answer
                .header("content-type")
                .unwrap()
                .starts_with("application/problem+json"),
            "{method} {path}"
        );
        let problem = answer.json();
        for field in ["type", "title", "detail", "code", "request_id"] {
            assert!(problem[field].is_string(), "{field} in {problem}");
        }
        assert_eq!(problem["status"], answer.status);
        assert_eq!(problem["request_id"], answer.request_id());
        let text = problem.to_string().to_lowercase();
        for leak in ["select ", "sqlx", "sqlite", "panicked", "src/"] {
            assert!(!text.contains(leak), "{leak} in {problem}");
        }
    }
    let broken = app
        .http
        .call(
            Method::POST,
            &app.url("/api/v1/tokens"),
            &[
                ("authorization", &format!("Bearer {}", app.admin)),
                ("content-type", "application/json"),
            ],
            "{nonsense",
        )
        .await;
    assert_eq!(broken.status, 400);
    assert!(broken.json()["code"].is_string());
}

#[tokio::test]
async fn if_match_tells_who_came_second() {
    let app = Setup::new().start().await;
    let token = app.create("tokens", json!({"name": "first"})).await;
    let account = app
        .create(
            "accounts",
            account("openai", "http://127.0.0.1:1/v1", &["x"]),
        )
        .await;
    for path in [
        format!("tokens/{}", token["id"].as_str().unwrap()),
        format!("accounts/{}", account["id"].as_str().unwrap()),
    ] {
        let etag = app
            .api(Method::GET, &path, None)
            .await
            .expect_status(200)
            .header("etag")
            .expect("an ETag")
            .to_owned();
        let change = |name: &str| Some(json!({"name": name}));
        let first = app
            .api_with(
                &app.admin,
                Method::PATCH,
                &path,
                &[("if-match", &etag)],
                change("one"),
            )
            .await
            .expect_status(200);
        assert_ne!(first.header("etag").expect("a new ETag"), etag);
        let second = app
            .api_with(
                &app.admin,
                Method::PATCH,
                &path,
                &[("if-match", &etag)],
                change("two"),
            )
            .await
            .expect_status(412);
        assert_eq!(second.json()["code"], "precondition_failed");
        assert_eq!(app.get(&path).await["name"], "one");
        app.api_with(
            &app.admin,
            Method::PATCH,
            &path,
            &[("if-match", "*")],
            change("three"),
        )
        .await
        .expect_status(200);
        app.patch(&path, json!({"name": "four"})).await;
    }
}

#[tokio::test]
async fn a_repeated_post_with_its_idempotency_key_makes_one_thing() {
    let app = Setup::new().start().await;
    let make = |body: Value| {
        let app = &app;
        async move {
            app.api_with(
                &app.admin,
                Method::POST,
                "tokens",
                &[("idempotency-key", "try-1")],
                Some(body),
            )
            .await
        }
    };
    let first = make(json!({"name": "once"}))
        .await
        .expect_status(201)
        .json();
    let again = make(json!({"name": "once"})).await;
    assert_eq!(again.status, 201, "{}", again.text());
    assert_eq!(again.json()["id"], first["id"]);
    let other = make(json!({"name": "another"})).await;
    assert_eq!(other.status, 422, "{}", other.text());
    let named = app.get("tokens?limit=200").await["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|t| t["name"] == "once")
        .count();
    assert_eq!(named, 1);
}

#[tokio::test]
async fn lists_page_by_cursor_without_gaps_or_doubles() {
    let app = Setup::new().start().await;
    for number in 0..25 {
        app.create("tokens", json!({"name": format!("token {number}")}))
            .await;
    }
    let mut seen = Vec::new();
    let mut path = "tokens?limit=10".to_owned();
    let mut pages = 0;
    loop {
        let page = app.get(&path).await;
        pages += 1;
        seen.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|t| t["id"].as_str().unwrap().to_owned()),
        );
        assert!(
            page["total"].is_u64() && page["total_is_exact"].is_boolean(),
            "{page}"
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("tokens?limit=10&cursor={cursor}"),
            None => break,
        }
        assert!(pages < 10, "a list without end");
    }
    assert_eq!((seen.len(), pages), (25, 3));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 25);
    for query in ["limit=0", "limit=100000", "limit=x", "limit=-1"] {
        let answer = app.api(Method::GET, &format!("tokens?{query}"), None).await;
        assert!(
            answer.status == 200 || (400..500).contains(&answer.status),
            "{query}: {}",
            answer.status
        );
        if answer.status == 200 {
            assert!(
                answer.json()["items"].as_array().unwrap().len() <= 200,
                "{query}"
            );
        }
    }
}

#[tokio::test]
async fn every_answer_has_an_id_and_guards_the_browser() {
    let app = App::serving().await;
    for path in [
        "/livez",
        "/readyz",
        "/health",
        "/openapi.json",
        "/api/v1/tokens",
        "/api/v1/nothing",
        "/v1/models",
        "/nothing",
    ] {
        let answer = app.http.call(Method::GET, &app.url(path), &[], "").await;
        answer.request_id();
        if !path.starts_with("/v1") {
            assert_eq!(
                answer.header("x-content-type-options"),
                Some("nosniff"),
                "{path}"
            );

            assert!(answer.header("content-security-policy").is_some(), "{path}");
        }
        assert!(
            answer.header("server").is_none_or(|s| !s.contains('/')),
            "{path}"
        );
    }
    // A request id of the client is not taken for ours.
    let answer = app
        .http
        .call(
            Method::GET,
            &app.url("/livez"),
            &[("x-request-id", "mine")],
            "",
        )
        .await;
    assert_ne!(answer.header("x-request-id"), Some("mine"));
    // Another site may not read the answers.
    let cross = app
        .http
        .call(
            Method::GET,
            &app.url("/api/v1/tokens"),
            &[("origin", "https://evil.example")],
            "",
        )
        .await;
    assert!(
        cross
            .header("access-control-allow-origin")
            .is_none_or(|v| v != "*" && v != "https://evil.example")
    );
}

#[tokio::test]
async fn asking_too_often_is_told() {
    let app = Setup::new()
        .set("API__RATE_LIMIT_PER_OPERATOR", 20)
        .start()
        .await;
    let mut statuses = Vec::new();
    for _ in 0..40 {
        let answer = app.api(Method::GET, "auth/me", None).await;
        if answer.status == 429 {
            assert!(
                answer
                    .header("retry-after")
                    .unwrap()
                    .parse::<u64>()
                    .unwrap()
                    >= 1
            );
            assert_eq!(answer.json()["code"], "too_many_requests");
        }
        statuses.push(answer.status);
    }
    assert!(
        statuses.contains(&200) && statuses.contains(&429),
        "{statuses:?}"
    );
}
