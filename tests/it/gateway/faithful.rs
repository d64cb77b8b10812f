//! Transparent means: the provider gets what the client sent, the client gets what the provider sent, byte for byte,
//! except for secrets and what belongs to one connection only.

use http::Method;
use serde_json::json;

use crate::support::app::PROVIDER_KEY;
use crate::support::{Answer, App};

/// A body no serializer would write: odd spacing, key order, escapes, numbers, a key that comes twice.
const ODD_BODY: &str = "{ \"zeta\" : 1.50e+1 , \"model\":\"gpt-4o\",\n\t\"messages\":[{\"role\":\"user\",\"content\":\"na\\u00efve \u{1f30d} \\/ \"}],\
    \"thinking\":{\"type\":\"adaptive\"},\"between_tools\":[ ],\"zeta\":12345678901234567890, \"user\":\"u 1\" }";

async fn post_text(app: &App, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let authorization = format!("Bearer {}", app.key);
    let mut all = vec![
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
    ];
    all.extend_from_slice(headers);
    app.http
        .call(Method::POST, &app.url(path), &all, body.to_owned())
        .await
}

#[tokio::test]
async fn bodies_pass_untouched_both_ways() {
    let app = App::serving().await;
    for (path, headers, body) in [
        ("/v1/chat/completions", &[][..], ODD_BODY.to_owned()),
        ("/v1/completions", &[], ODD_BODY.to_owned()),
        ("/v1/responses", &[], ODD_BODY.to_owned()),
        ("/v1/embeddings", &[], ODD_BODY.to_owned()),
        (
            "/v1/messages",
            &[("anthropic-version", "2023-06-01")],
            ODD_BODY.to_owned(),
        ),
        (
            "/v1/messages/count_tokens",
            &[("anthropic-version", "2023-06-01")],
            ODD_BODY.to_owned(),
        ),
        // Streams whose client asked for usage itself: nothing to inject.
        (
            "/v1/chat/completions",
            &[],
            ODD_BODY.replacen(
                "{ ",
                "{ \"stream\" :true, \"stream_options\":{ \"include_usage\":true },",
                1,
            ),
        ),
        (
            "/v1/responses",
            &[],
            ODD_BODY.replacen("{ ", "{ \"stream\" :true, ", 1),
        ),
        (
            "/v1/messages",
            &[("anthropic-version", "2023-06-01")],
            ODD_BODY.replacen("{ ", "{ \"stream\" :true, ", 1),
        ),
    ] {
        app.provider().forget();
        let through = post_text(&app, path, headers, &body)
            .await
            .expect_status(200);
        let sent = app
            .provider()
            .received()
            .pop()
            .expect("one request upstream");
        assert_eq!(sent.target, path);
        assert_eq!(
            String::from_utf8(sent.body).unwrap(),
            body,
            "{path}: the body that reached the provider"
        );

        let direct_url = format!("{}{path}", app.provider().anthropic_url());
        let mut all = vec![
            ("authorization", "Bearer k"),
            ("content-type", "application/json"),
        ];
        all.extend_from_slice(headers);
        let direct = app
            .http
            .call(Method::POST, &direct_url, &all, body.clone())
            .await;
        assert_eq!(
            through.text(),
            direct.text(),
            "{path}: the body that reached the client"
        );
        assert_eq!(
            through.header("content-type"),
            direct.header("content-type"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn encoded_and_oddly_framed_answers_pass_untouched() {
    let app = App::serving().await;
    for words in [
        "gzip",
        "br",
        "chunked",
        "close",
        "piece_bytes=1",
        "piece_bytes=1+chunked",
        "big=2000000",
        "big=2000000+gzip+chunked",
        "garbage",
    ] {
        let body = json!({"model": format!("m+{words}"), "messages": []}).to_string();
        let accept = [("accept-encoding", "gzip, br")];
        let through = post_text(&app, "/v1/chat/completions", &accept, &body).await;
        let direct_url = format!("{}/chat/completions", app.provider().openai_url());
        let direct = app
            .http
            .call(
                Method::POST,
                &direct_url,
                &[("authorization", "Bearer k"), accept[0]],
                body,
            )
            .await;
        assert_eq!(through.status, 200, "{words}: {}", through.text());
        assert_eq!(
            through.header("content-encoding"),
            direct.header("content-encoding"),
            "{words}"
        );
        assert!(
            through.body == direct.body,
            "{words}: {} bytes became {}",
            direct.body.len(),
            through.body.len()
        );
    }
    for words in [
        "gzip+anyway",
        "br+anyway",
        "piece_bytes=1",
        "piece_bytes=3+crlf+comments",
        "close",
        "no_done",
        "n=2000",
    ] {
        let body = json!({"model": format!("m+{words}"), "messages": [], "stream": true, "stream_options": {"include_usage": true}}).to_string();
        let accept = [("accept-encoding", "gzip, br")];
        let through = post_text(&app, "/v1/chat/completions", &accept, &body).await;
        let direct_url = format!("{}/chat/completions", app.provider().openai_url());
        let direct = app
            .http
            .call(
                Method::POST,
                &direct_url,
                &[("authorization", "Bearer k"), accept[0]],
                body,
            )
            .await;
        assert_eq!(
            through.header("content-encoding"),
            direct.header("content-encoding"),
            "streamed {words}"
        );
        assert!(
            through.body == direct.body,
            "streamed {words}: {} became {}",
            direct.text(),
            through.text()
        );
    }
}

#[tokio::test]
async fn provider_headers_come_back_and_private_ones_do_not() {
    let app = App::serving().await;
    let answer = app.chat("gpt-4o+cookies").await.expect_status(200);
    for (name, value) in [
        ("openai-organization", "fake-org"),
        ("openai-processing-ms", "12"),
        ("openai-version", "2020-10-01"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-unknown-provider-header", "kept"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    for name in [
        "set-cookie",
        "alt-svc",
        "strict-transport-security",
        "keep-alive",
        "proxy-authenticate",
    ] {
        assert_ne!(
            answer.header(name).unwrap_or_default(),
            "__cf_bm=secret; path=/; HttpOnly",
            "{name}"
        );
        if name != "strict-transport-security" {
            assert_eq!(
                answer.header(name),
                None,
                "{name} must not come from the provider"
            );
        }
    }
    let upstream_id = answer
        .header("x-upstream-request-id")
        .expect("the provider's request id");
    assert!(upstream_id.starts_with("req_"), "{upstream_id}");
    assert_ne!(answer.request_id(), upstream_id);
    assert_eq!(answer.headers.get_all("x-request-id").iter().count(), 1);

    let claude = app.messages("claude-sonnet-4-5").await.expect_status(200);
    assert!(
        claude
            .header("request-id")
            .is_some_and(|v| v.starts_with("req_")),
        "Anthropic's request-id passes"
    );
    assert_eq!(
        claude.header("anthropic-ratelimit-requests-limit"),
        Some("4000")
    );

    let limited = app
        .chat("gpt-4o+status=429+retry_after=7+retry_after_ms=7000")
        .await;
    assert_eq!(
        (
            limited.status,
            limited.header("retry-after"),
            limited.header("retry-after-ms")
        ),
        (429, Some("7"), Some("7000"))
    );
}

#[tokio::test]
async fn client_headers_go_on_but_for_secrets_and_the_connections_own() {
    let app = App::serving().await;
    let headers = [
        ("openai-organization", "org-of-the-client"),
        ("openai-beta", "assistants=v2"),
        ("x-stainless-lang", "python"),
        ("user-agent", "OpenAI/Python 3.52.0"),
        ("x-custom", "kept"),
        ("cookie", "session=secret"),
        ("connection", "keep-alive, x-for-one-hop"),
        ("x-for-one-hop", "gone"),
        ("proxy-authorization", "Basic secret"),
        ("te", "trailers"),
        ("x-api-key", app.key.as_str()),
    ];
    post_text(
        &app,
        "/v1/chat/completions",
        &headers,
        &json!({"model": "gpt-4o", "messages": []}).to_string(),
    )
    .await
    .expect_status(200);
    let sent = app.provider().received().pop().unwrap();
    for (name, value) in [
        ("openai-beta", "assistants=v2"),
        ("user-agent", "OpenAI/Python 3.52.0"),
        ("x-custom", "kept"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(sent.header_values(name), [value], "{name}");
    }
    for name in [
        "cookie",
        "openai-organization", // goes with the credential, which is the account's
        "x-for-one-hop",
        "proxy-authorization",
        "te",
        "x-forwarded-for",
        "forwarded",
    ] {
        assert_eq!(sent.header(name), None, "{name} must not go upstream");
    }
    assert_eq!(
        sent.header_values("authorization"),
        [format!("Bearer {PROVIDER_KEY}")]
    );
    assert_eq!(
        sent.header_values("host"),
        [app.provider().address().to_string()]
    );
    let raw = String::from_utf8_lossy(&sent.raw_head).into_owned();
    assert!(
        !raw.contains(&app.key),
        "the client's token reached the provider: {raw}"
    );

    for signed_in_by in ["x-api-key", "authorization"] {
        let value = if signed_in_by == "x-api-key" {
            app.key.clone()
        } else {
            format!("Bearer {}", app.key)
        };
        let headers = [
            (signed_in_by, value.as_str()),
            ("anthropic-version", "2026-10-21"),
            ("anthropic-beta", "new-2026-01-01"),
            ("content-type", "application/json"),
        ];
        app.http
            .call(
                Method::POST,
                &app.url("/v1/messages"),
                &headers,
                crate::support::calls::messages("claude-sonnet-4-5").to_string(),
            )
            .await
            .expect_status(200);
        let sent = app.provider().received().pop().unwrap();
        assert_eq!(
            sent.header_values("x-api-key"),
            [PROVIDER_KEY],
            "signed in by {signed_in_by}"
        );
        assert_eq!(sent.header_values("anthropic-version"), ["2026-10-21"]);
        assert_eq!(sent.header_values("anthropic-beta"), ["new-2026-01-01"]);
        assert!(!String::from_utf8_lossy(&sent.raw_head).contains(&app.key));
    }
}

#[tokio::test]
async fn queries_go_on_and_redirects_are_not_followed() {
    let app = App::serving().await;
    post_text(
        &app,
        "/v1/chat/completions?api-version=2024-10-21&x=%20a",
        &[],
        r#"{"model":"gpt-4o","messages":[]}"#,
    )
    .await
    .expect_status(200);
    assert_eq!(
        app.provider().received().pop().unwrap().target,
        "/v1/chat/completions?api-version=2024-10-21&x=%20a"
    );

    app.provider().forget();
    let answer = app.chat("gpt-4o+redirect").await;
    assert!(answer.status >= 300, "{}", answer.status);
    assert!(
        app.provider()
            .received()
            .iter()
            .all(|r| r.target != "/v1/elsewhere"),
        "a redirect was followed"
    );
}

#[tokio::test]
async fn an_alias_changes_the_model_and_nothing_else() {
    let app = App::serving().await;
    let url = app.provider().openai_url_at("aliased");
    let mut account = crate::support::control::account("openai", &url, &["gpt-4o"]);
    account["aliases"] = json!({"fast": "gpt-4o+n=3"});
    account["priority"] = json!(0);
    app.create("accounts", account).await;
    let body = "{ \"zeta\" : 1.0, \"messages\":[ {\"content\":\"\\\"model\\\": \\\"fast\\\"\"} ],\"model\" :  \"fast\" ,\"tail\":[1,  2]}";
    // The account for every model may be chosen as well; ask until the aliased one was.
    for _ in 0..40 {
        let answer = post_text(&app, "/v1/chat/completions", &[], body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        if let Some(sent) = app.provider().received_at("aliased").pop() {
            assert_eq!(
                String::from_utf8(sent.body).unwrap(),
                body.replacen(":  \"fast\"", ":  \"gpt-4o+n=3\"", 1)
            );
            let record = app.record(&answer.request_id()).await;
            assert_eq!(
                (record["model"].as_str(), record["upstream_model"].as_str()),
                (Some("fast"), Some("gpt-4o+n=3"))
            );
            return;
        }
    }
    panic!("the account with the alias was never chosen");
}
