//! The list of calls: filters, order, paging; and the audit of what operators did.

use http::Method;
use serde_json::{Value, json};

use crate::support::calls::{chat, messages};
use crate::support::control::account;
use crate::support::{App, Setup, eventually};

fn ids(page: &Value) -> Vec<String> {
    page["items"]
        .as_array()
        .unwrap_or_else(|| panic!("items in {page}"))
        .iter()
        .map(|r| r["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn every_filter_narrows_the_list_to_what_it_says() {
    let app = App::serving().await;
    let (key, token_id) = app.token(json!({"name": "other", "app": "billing"})).await;
    let mut by_user = chat("gpt-4o+delay_ms=120");
    by_user["user"] = json!("anna");
    let slow = app
        .post("/v1/chat/completions", &by_user)
        .await
        .expect_status(200)
        .request_id();
    let mini = app
        .post_as(&key, "/v1/chat/completions", &chat("gpt-4o-mini"))
        .await
        .expect_status(200)
        .request_id();
    let failed = app
        .chat("m+status=400")
        .await
        .expect_status(400)
        .request_id();
    let claude = app.messages("claude").await.expect_status(200).request_id();
    for id in [&slow, &mini, &failed, &claude] {
        app.record(id).await;
    }
    let account_id = app.record(&claude).await["account_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let all = [&claude, &failed, &mini, &slow];
    for (query, expected) in [
        (String::new(), &all[..]),
        (format!("token_id={token_id}"), &[&mini]),
        (format!("account_id={account_id}"), &[&claude]),
        ("app=billing".into(), &[&mini]),
        ("user=anna".into(), &[&slow]),
        ("mode=api".into(), &all[..]),
        ("mode=web".into(), &[]),
        ("provider=anthropic".into(), &[&claude]),
        ("model=gpt-4o-mini".into(), &[&mini]),
        ("success=false".into(), &[&failed]),
        ("status_code=400".into(), &[&failed]),
        ("min_duration_ms=100".into(), &[&slow]),
        ("success=true&provider=openai".into(), &[&mini, &slow]),
        ("range=24h".into(), &all[..]),
        ("days=7".into(), &all[..]),
        ("from=2020-01-01&to=2020-01-02".into(), &[]),
        ("model=unknown".into(), &[]),
        ("token_id=tok_unknown".into(), &[]),
    ] {
        let page = app.get(&format!("logs/requests?limit=50&{query}")).await;
        assert_eq!(ids(&page).iter().collect::<Vec<_>>(), expected, "{query}");
        assert_eq!(
            page["total"].as_u64(),
            Some(expected.len() as u64),
            "{query}: {page}"
        );
    }
    for query in [
        "q=",
        "sort=-request_at",
        "sort=duration_ms",
        "sort=-total_tokens",
        "sort=status_code",
        "page=1&page_size=2",
    ] {
        app.get(&format!("logs/requests?{query}")).await;
    }
    let by_duration = app.get("logs/requests?sort=-duration_ms").await;
    assert_eq!(ids(&by_duration)[0], slow);
    let record = app.get(&format!("logs/requests/{failed}")).await;
    for field in [
        "id",
        "token_id",
        "token_name",
        "account_id",
        "account_name",
        "tenant_id",
        "app",
        "user_name",
        "mode",
        "provider",
        "model",
        "upstream_model",
        "operation",
        "stream",
        "request_at",
        "response_at",
        "duration_ms",
        "ttft_ms",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "cached_tokens",
        "cache_write_tokens",
        "cache_write_1h_tokens",
        "reasoning_tokens",
        "units",
        "usage_estimated",
        "cost",
        "currency",
        "priced",
        "status_code",
        "success",
        "error_code",
        "error_message",
        "conversation_id",
        "attempts",
        "source",
    ] {
        assert!(
            record.get(field).is_some(),
            "{field} is missing from {record}"
        );
    }
}

#[tokio::test]
async fn paging_by_key_survives_new_calls_in_between() {
    let app = App::serving().await;
    let mut made = Vec::new();
    for _ in 0..23 {
        made.push(app.chat("gpt-4o").await.expect_status(200).request_id());
    }
    app.record(made.last().unwrap()).await;
    let first = app.get("logs/requests?limit=10").await;
    let mut seen = ids(&first);
    let mut cursor = first["next_cursor"].as_str().map(str::to_owned);
    while let Some(at) = cursor {
        let newer = app.chat("gpt-4o").await.expect_status(200).request_id();
        app.record(&newer).await;
        let page = app
            .get(&format!("logs/requests?limit=10&cursor={at}"))
            .await;
        seen.extend(ids(&page));
        cursor = page["next_cursor"].as_str().map(str::to_owned);
    }
    made.reverse();
    assert_eq!(seen, made);
}

#[tokio::test]
async fn every_change_leaves_an_audit_row() {
    let app = Setup::new().start().await;
    let (_, token) = app.token(json!({"name": "audited"})).await;
    app.patch(&format!("tokens/{token}"), json!({"rpm": 5}))
        .await;
    app.remove(&format!("tokens/{token}")).await;
    let created = app
        .create(
            "accounts",
            account("openai", "http://127.0.0.1:1/v1", &["x"]),
        )
        .await;
    let account = created["id"].as_str().unwrap();
    app.patch(
        &format!("accounts/{account}"),
        json!({"api_key": "sk-a-new-secret-value"}),
    )
    .await;
    let rows = app.get("ops/logs/operations?limit=100").await;
    let text = rows.to_string();
    assert!(
        !text.contains("sk-a-new-secret-value"),
        "a secret in the audit"
    );
    let of = |target: &str| {
        rows["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|r| r["target_id"] == target)
            .count()
    };
    assert!(of(&token) >= 3, "create, change, delete: {rows}");
    assert!(of(account) >= 2, "{rows}");
    let row = &rows["items"][0];
    for field in [
        "id",
        "timestamp",
        "user_name",
        "action",
        "target_type",
        "target_id",
        "ip_address",
        "request_id",
    ] {
        assert!(!row[field].is_null(), "{field} in {row}");
    }
    assert_eq!(row["user_name"], "admin");
    // Each has an address of its own, whatever was done since.
    let id = row["id"].as_str().unwrap();
    assert_eq!(
        &app.get(&format!("ops/logs/operations/{id}")).await,
        row,
        "{id}"
    );
    app.api(Method::GET, "ops/logs/operations/opl_nobody", None)
        .await
        .expect_status(404);
    // A refused change leaves none.
    let before = rows["total"].as_u64().unwrap();
    app.api(Method::POST, "tokens", Some(json!({"rpm": -1})))
        .await;
    assert_eq!(
        app.get("ops/logs/operations?limit=1").await["total"]
            .as_u64()
            .unwrap(),
        before
    );
}

#[tokio::test]
async fn the_loss_ledger_adds_up() {
    let app = App::serving().await;
    for _ in 0..20 {
        app.chat("gpt-4o").await.expect_status(200);
        app.post_claude("/v1/messages", &messages("claude"))
            .await
            .expect_status(200);
    }
    eventually("all is stored", || async {
        let [accepted, stored, spooled, dead_lettered, dropped] = app.loss_ledger().await;
        assert_eq!(accepted, stored + spooled + dead_lettered + dropped);
        (accepted == 40 && stored == 40).then_some(())
    })
    .await;
    let metrics = app
        .http
        .call(Method::GET, &app.url("/metrics"), &[], "")
        .await
        .expect_status(200)
        .text();
    assert!(
        metrics.lines().any(|l| !l.starts_with('#')
            && l.contains("accepted")
            && l.trim_end().ends_with(" 40")),
        "{metrics}"
    );
}
