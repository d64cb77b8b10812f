//! What crosses the gateway, what does not, and how it says no.

use steward_actors::domain::snapshot::Protocol;
use steward_actors::spool::SpoolConfig;

use super::fake::{Fake, Step, json};
use super::house::{account, at, read_answer, token, with};

#[actix_web::test]
async fn credentials_and_private_headers_stay_on_their_side() {
    let fake = Fake::new(vec![vec![Step::Send(json("200 OK", "{}"))]]).await;
    let upstream = fake.clone();
    with(vec![account(1, Protocol::Anthropic, &fake)], token(), &[&fake], |_, _| {}, |house| async move {
        let headers = format!(
            "x-api-key: {}\r\nanthropic-version: 2023-06-01\r\nanthropic-beta: b1\r\nx-app-id: shop\r\nx-user-id: u7\r\nx-conversation-id: c3\r\n",
            house.secret
        );
        let body = r#"{"model":"claude","max_tokens":5,"messages":[],"later":[1, 2]}"#;
        let (seen, _) = read_answer(&mut house.send("POST", "/v1/messages?beta=true", &headers, body).await).await;
        assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
        assert!(seen.contains("x-upstream-request-id: up-1") && seen.contains("openai-version: v9"), "{seen}");
        assert!(!seen.contains("set-cookie"), "{seen}");
        let request = upstream.seen.borrow()[0].clone();
        assert!(request.head.starts_with("POST /v1/messages?beta=true HTTP/1.1"), "{}", request.head);
        assert!(request.head.contains("x-api-key: sk-upstream-secret") && request.head.contains("anthropic-beta: b1"));
        assert!(!request.head.contains("sk-stw-") && !request.head.contains("x-app-id"), "{}", request.head);
        assert_eq!(request.body, body, "the body goes on as it came");
        let record = house.record().await;
        assert_eq!((record.app.as_str(), record.end_user.as_str(), record.conversation_id.as_str()), ("shop", "u7", "c3"));
    })
    .await;
}

#[actix_web::test]
async fn an_alias_changes_the_models_name_and_nothing_else() {
    let fake = Fake::new(vec![vec![Step::Send(json("200 OK", "{}"))]]).await;
    let upstream = fake.clone();
    at(&fake, |house| async move {
        let body = r#"{ "model" : "nick", "input":"x" }"#;
        read_answer(&mut house.post("/v1/embeddings", body).await).await;
        assert_eq!(
            upstream.seen.borrow()[0].body,
            body.replace("nick", "real-name")
        );
        assert!(
            upstream.seen.borrow()[0]
                .head
                .starts_with("POST /v1/embeddings ")
        );
        assert_eq!(house.record().await.model, "nick");
    })
    .await;
}

#[actix_web::test]
async fn what_is_refused_is_refused_in_the_callers_dialect() {
    let fake = Fake::new(vec![vec![Step::Stall]]).await;
    let small =
        |config: &mut crate::config::Gateway, _: &mut SpoolConfig| config.max_body_bytes = 2_048;
    with(
        vec![account(1, Protocol::OpenAi, &fake)],
        token(),
        &[&fake],
        small,
        |house| async move {
            let large = "x".repeat(4_096);
            for (method, path, body, status, wanted) in [
                (
                    "POST",
                    "/v1/chat/completions",
                    large.as_str(),
                    413,
                    "request_too_large",
                ),
                ("POST", "/v1/chat/completions", "[1]", 400, "invalid_json"),
                ("POST", "/v1/chat/completions", "{}", 400, "model_missing"),
                ("GET", "/v1/chat/completions", "", 405, "method_not_allowed"),
                ("POST", "/v1/nothing", "{}", 404, "not_found"),
                (
                    "POST",
                    "/v1/messages",
                    r#"{"model":"m"}"#,
                    400,
                    r#""type":"invalid_request_error""#,
                ),
                (
                    "GET",
                    "/v1/messages/batches",
                    "",
                    404,
                    r#""type":"not_found_error""#,
                ),
            ] {
                let headers = format!("authorization: Bearer {}\r\n", house.secret);
                let (seen, complete) =
                    read_answer(&mut house.send(method, path, &headers, body).await).await;
                assert!(
                    complete && seen.starts_with(&format!("HTTP/1.1 {status}")),
                    "{path}: {seen}"
                );
                assert!(
                    seen.contains(wanted) && seen.contains("x-request-id: "),
                    "{path}: {seen}"
                );
            }
        },
    )
    .await;
}

#[actix_web::test]
async fn models_are_told_in_the_callers_dialect_and_only_those_it_may_use() {
    let listed = r#"{"object":"list","data":[{"id":"gpt-4o","object":"model","owned_by":"openai"},{"id":"o1","object":"model"}]}"#;
    let fake = Fake::new(vec![vec![Step::Send(json("200 OK", listed))]]).await;
    let upstream = fake.clone();
    let mut limited = token();
    limited.allowed_models = Some(vec![
        "gpt-*".into(),
        "org/*".into(),
        "nick".into(),
        "claude-x".into(),
    ]);
    let mut named = account(2, Protocol::OpenAi, &fake);
    named.models = vec!["org/llama".into()];
    let mut anthropic = account(3, Protocol::Anthropic, &fake);
    anthropic.models = vec!["claude-x".into()];
    let accounts = vec![account(1, Protocol::OpenAi, &fake), named, anthropic];
    with(
        accounts,
        limited,
        &[&fake],
        |_, _| {},
        |house| async move {
            let headers = format!("authorization: Bearer {}\r\n", house.secret);
            for _ in 0..2 {
                let (seen, _) =
                    read_answer(&mut house.send("GET", "/v1/models", &headers, "").await).await;
                let body: serde_json::Value =
                    serde_json::from_str(seen.split("\r\n\r\n").nth(1).unwrap()).unwrap();
                let ids: Vec<_> = body["data"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|m| m["id"].as_str().unwrap())
                    .collect();
                assert_eq!(ids, ["gpt-4o", "nick", "org/llama"]);
            }
            assert_eq!(upstream.seen.borrow().len(), 1, "the list is remembered");
            let (seen, _) = read_answer(
                &mut house
                    .send("GET", "/v1/models/org/llama", &headers, "")
                    .await,
            )
            .await;
            assert!(seen.contains(r#""id":"org/llama""#), "{seen}");
            let (seen, _) =
                read_answer(&mut house.send("GET", "/v1/models/o1", &headers, "").await).await;
            assert!(
                seen.starts_with("HTTP/1.1 404") && seen.contains("model_not_found"),
                "{seen}"
            );
            let anthropic = format!("{headers}anthropic-version: 2023-06-01\r\n");
            let (seen, _) =
                read_answer(&mut house.send("GET", "/v1/models", &anthropic, "").await).await;
            assert!(
                seen.contains(r#""display_name":"claude-x""#)
                    && seen.contains(r#""has_more":false"#),
                "{seen}"
            );
            assert_eq!(house.spool.ledger().accepted, 0);
        },
    )
    .await;
}
