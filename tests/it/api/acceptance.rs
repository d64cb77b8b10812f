//! The operations center through the built program: every endpoint of its summary answers, with the fields that operators'
//! scripts were promised; and the list of what was promised names tests that there are.

use http::Method;
use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::{App, Setup, eventually};

/// An operator who asks for paths under `/api/v1/ops/`.
struct Operator(App);

impl Operator {
    async fn asks(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.0.api(method, &format!("ops/{path}"), body).await
    }

    /// The answer, which has these fields.
    async fn reads(&self, path: &str, fields: &[&str]) -> Value {
        let answer = self.asks(Method::GET, path, None).await;
        has(path, answer.expect_status(200).json(), fields)
    }

    /// The first of a list, which has these fields.
    async fn reads_first(&self, path: &str, fields: &[&str]) -> Value {
        let page = self.reads(path, &["items"]).await;
        has(path, page["items"][0].clone(), fields)
    }

    async fn does(&self, method: Method, path: &str, body: Value, status: u16) -> Value {
        let answer = self.asks(method, path, Some(body)).await;
        answer.expect_status(status).json()
    }

    async fn posts(&self, path: &str, status: u16) -> Answer {
        let answer = self.asks(Method::POST, path, None).await;
        answer.expect_status(status)
    }
}

fn has(path: &str, told: Value, fields: &[&str]) -> Value {
    for field in fields {
        assert!(told.get(field).is_some(), "{path}: {field} in {told}");
    }
    told
}

fn id(of: &Value) -> &str {
    of["id"].as_str().expect("an id")
}

#[tokio::test]
async fn every_endpoint_of_the_operations_center_answers() {
    let setup = Setup::new().set("ALERTS__INTERVAL_MS", 200);
    let operator = Operator(setup.serving().await);
    let tenant = tenants(&operator).await;
    templates(&operator, &tenant).await;
    knowledge(&operator, &tenant).await;
    dashboard_and_usage(&operator, &tenant).await;
    alerts(&operator).await;
    configuration(&operator).await;
    logs(&operator).await;
}

async fn tenants(operator: &Operator) -> String {
    let made = json!({"name": "Kimono One"});
    let made = operator.does(Method::POST, "tenants", made, 201).await;
    let tenant = id(&made).to_owned();
    let listed = operator
        .reads_first(
            "tenants?status=active&keyword=kimono&page_size=20",
            &[
                "id",
                "name",
                "status",
                "user_count",
                "qa_pair_count",
                "conversations_today",
                "last_active_at",
                "created_at",
            ],
        )
        .await;
    assert_eq!(listed["id"], tenant.as_str());
    let one = format!("tenants/{tenant}");
    operator.reads(&one, &["id", "name", "status"]).await;
    operator
        .reads(
            &format!("{one}/stats"),
            &[
                "total_users",
                "admin_count",
                "staff_count",
                "total_qa_pairs",
                "synced_qa_pairs",
                "avg_quality_score",
                "conversations_today",
                "conversations_week",
                "conversations_month",
                "avg_response_time_ms",
                "pending_feedbacks",
                "feedback_approval_rate",
            ],
        )
        .await;
    let reason = json!({"reason": "unpaid"});
    let path = format!("{one}/suspend");
    let suspended = operator.does(Method::POST, &path, reason, 200).await;
    assert_eq!(
        (&suspended["status"], &suspended["suspended_reason"]),
        (&json!("suspended"), &json!("unpaid"))
    );
    let active = operator.posts(&format!("{one}/activate"), 200).await.json();
    assert_eq!(active["status"], "active");
    tenant
}

async fn templates(operator: &Operator, tenant: &str) {
    let words =
        |answer: &str| json!({"question": "Returns?", "answer": answer, "category": "Shop"});
    let made = operator.does(Method::POST, "templates", words("No."), 201);
    let made = made.await;
    let one = format!("templates/{}", id(&made));
    operator
        .reads_first(
            "templates?category=Shop",
            &[
                "question",
                "answer",
                "category",
                "distributed_count",
                "tenant_count",
            ],
        )
        .await;
    let changed = operator.does(Method::PUT, &one, words("30 days."), 200);
    assert_eq!(changed.await["answer"], "30 days.");
    for to in [
        json!({"template_ids": [id(&made)], "tenant_ids": [tenant]}),
        json!({"template_ids": [id(&made)], "all_tenants": true}),
    ] {
        let job = operator.0.job("ops/templates/distribute", to).await;
        assert_eq!(job["failed"], 0, "{job}");
    }
    let removed = operator.asks(Method::DELETE, &one, None).await;
    removed.expect_status(204);
}

async fn knowledge(operator: &Operator, tenant: &str) {
    let words = json!({"tenant_id": tenant, "question": "Open?", "answer": "At nine.", "category": "Shop",
            "quality_score": 0.9});
    let path = "knowledge/qa-pairs";
    let made = operator.does(Method::POST, path, words, 201).await;
    let overview = operator
        .reads(
            "knowledge/overview",
            &[
                "total_qa_pairs",
                "by_tenant",
                "by_category",
                "by_source",
                "synced_count",
                "unsynced_count",
                "avg_quality_score",
            ],
        )
        .await;
    assert_eq!(overview["total_qa_pairs"], 2);
    let filtered = format!(
        "{path}?tenant_id={tenant}&keyword=open&category=Shop&source=manual&is_synced=false\
         &quality_min=0&quality_max=1&page_size=20"
    );
    let found = operator.reads_first(&filtered, &["question", "answer", "is_synced"]);
    assert_eq!(found.await["id"], made["id"]);
    let one = format!("{path}/{}", id(&made));
    let changed =
        json!({"question": "Open?", "answer": "At ten.", "category": "Shop", "quality_score": 0.9});
    let changed = operator.does(Method::PUT, &one, changed, 200).await;
    assert_eq!(changed["answer"], "At ten.");
    let many = json!({"action": "change_category", "category": "Hours", "ids": [id(&made)]});
    operator.0.job("ops/knowledge/qa-pairs/bulk", many).await;
    let moved = operator.reads(&one, &["category"]).await;
    assert_eq!(moved["category"], "Hours");
    operator.posts("knowledge/sync", 202).await;
    operator
        .reads("knowledge/sync/status", &["waiting_count", "failed_count"])
        .await;
    let file = "question,answer\nParking?,Behind the house.\n";
    let headers = [
        ("authorization", format!("Bearer {}", operator.0.admin)),
        ("content-type", "application/octet-stream".to_owned()),
    ];
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let url = format!("/api/v1/ops/knowledge/import?tenant_id={tenant}&file_name=pairs.csv");
    let sent = operator
        .0
        .http
        .call(Method::POST, &operator.0.url(&url), &headers, file)
        .await
        .expect_status(201)
        .json();
    let run = format!("ops/knowledge/import/{}/run", id(&sent));
    let mapping =
        json!({"dry_run": false, "mapping": {"has_header": true, "question": 0, "answer": 1}});
    operator.0.job(&run, mapping).await;
    for (format, begins) in [("csv", "\u{feff}"), ("xlsx", "PK")] {
        let path = format!("knowledge/export?format={format}&tenant_id={tenant}");
        let saved = operator.asks(Method::GET, &path, None).await;
        let saved = saved.expect_status(200).text();
        assert!(saved.starts_with(begins), "{format}");
        assert!(format != "csv" || saved.contains("Behind the house."));
    }
    let removed = operator.asks(Method::DELETE, &one, None).await;
    removed.expect_status(204);
}

async fn dashboard_and_usage(operator: &Operator, tenant: &str) {
    let app = &operator.0;
    let of = json!({"name": "shop", "tenant_id": tenant});
    let (key, _) = app.token(of).await;
    let said = crate::support::calls::chat("gpt-4o");
    for _ in 0..3 {
        let answer = app.post_as(&key, "/v1/chat/completions", &said).await;
        let id = answer.expect_status(200).request_id();
        app.record(&id).await;
    }
    let path = "dashboard/overview";
    let fields = [
        "total_tenants",
        "active_tenants",
        "conversations_today",
        "conversations_week",
        "avg_response_time_ms",
        "total_qa_pairs",
        "unsynced_qa_pairs",
        "pending_feedbacks",
        "api_calls_today",
        "estimated_cost_today",
        "components_status",
        "uptime_seconds",
    ];
    let seen = operator.reads(path, &fields).await;
    assert_eq!(seen["total_tenants"], 1);
    assert_eq!(seen["api_calls_today"], 3);
    assert_eq!(seen["conversations_today"], 3);
    let days = operator.reads("dashboard/trends", &["items"]).await;
    assert_eq!(days["items"].as_array().map(Vec::len), Some(7));

    let stats = "api-usage/stats?range=today";
    let stats = operator.reads(stats, &["request_count", "cost_usd"]).await;
    assert_eq!(stats["request_count"], 3);
    let cost = "api-usage/cost?range=today";
    let fields = ["by_provider", "by_tenant", "total_cost_cny"];
    let cost = operator.reads(cost, &fields).await;
    assert_eq!(cost["total_cost_usd"], stats["cost_usd"], "{cost}");
    operator.reads_first("api-usage/trends", &[]).await;
    let by_tenant = "api-usage/by-tenant?range=today";
    let of = operator.reads_first(by_tenant, &["request_count"]).await;
    assert_eq!(of["request_count"], 3);

    let status = ["status", "uptime_seconds", "components"];
    operator.reads("system/status", &status).await;
    let part = ["name", "status", "latency_ms", "last_check"];
    operator.reads_first("system/components", &part).await;
    operator.reads("system/env", &["version", "database"]).await;
    operator.posts("system/restart-scheduler", 200).await;
    let caches = operator.posts("system/clear-cache", 200).await.json();
    assert!(!caches["caches"].as_array().expect("caches").is_empty());
}

async fn alerts(operator: &Operator) {
    let rules = operator.reads("alerts/rules", &["items"]).await;
    let names: Vec<&str> = rules["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|rule| rule["name"].as_str())
        .collect();
    for name in [
        "high_error_rate",
        "slow_response",
        "pending_feedbacks",
        "sync_delay",
        "component_down",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let rule = json!({"name": "called", "condition": "request_count > 2", "severity": "warning"});
    let rules = json!({"rules": [rule]});
    operator.does(Method::PUT, "alerts/rules", rules, 200).await;
    let found = eventually("an alert that the rule found", || async {
        let page = operator.reads("alerts/active", &["items"]).await;
        page["items"].as_array()?.first().cloned()
    })
    .await;
    assert_eq!(
        (&found["rule"], &found["severity"]),
        (&json!("called"), &json!("warning"))
    );
    let one = format!("alerts/{}", id(&found));
    for (step, status) in [("acknowledge", "acknowledged"), ("resolve", "resolved")] {
        let done = operator.posts(&format!("{one}/{step}"), 200).await.json();
        assert_eq!(done["status"], status);
    }
    let past = operator.reads("alerts/history", &["items"]).await;
    let past = past["items"].as_array().expect("incidents");
    let resolved = past.iter().find(|one| one["id"] == found["id"]);
    assert_eq!(resolved.expect("the incident")["resolved_by"], "admin");
}

async fn configuration(operator: &Operator) {
    let categories = operator.reads("config/categories", &["items"]).await;
    for (category, key, default, other) in [
        ("scheduler", "process_interval", 300, 600),
        ("scheduler", "sync_interval", 600, 900),
        ("scheduler", "batch_size", 50, 20),
        ("rag", "top_k", 5, 7),
    ] {
        let listed = categories["items"].as_array().expect("categories");
        assert!(listed.iter().any(|one| one["category"] == category));
        let path = format!("config/{category}");
        let now = operator.reads(&path, &["config"]).await;
        assert_eq!(now["config"][key], default, "{now}");
        let changed = operator.does(Method::PUT, &path, json!({key: other}), 200);
        assert_eq!(changed.await["config"][key], other);
        let beyond = operator.does(Method::PUT, &path, json!({key: 1_000_000}), 422);
        let beyond = beyond.await;
        assert_eq!(beyond["code"], "validation_failed", "{beyond}");
        let reset = operator.posts(&format!("{path}/reset"), 200).await.json();
        assert_eq!(reset["config"][key], default);
    }
}

async fn logs(operator: &Operator) {
    let lines = "logs/query?level=WARN&start_time=2020-01-01&keyword=a";
    operator.reads(lines, &["items"]).await;
    operator.reads("logs/stats", &["levels", "total"]).await;
    let done = operator
        .reads_first("logs/operations", &["action", "user_name", "ip_address"])
        .await;
    assert_eq!(done["user_name"], "admin");
    let saved = operator.asks(Method::GET, "logs/export", None).await;
    let saved = saved.expect_status(200).text();
    for line in saved.lines() {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        assert!(line["message"].is_string(), "{line}");
    }
}

/// A line of the list names its tests as "`file`: name" (browser) or "`file`: `function`".
#[test]
fn what_was_promised_names_tests_that_there_are() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = std::fs::read_to_string(root.join("docs/acceptance.md")).expect("the list");
    let mut lines = 0;
    for line in list.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        let [_, tests] = cells[..] else {
            panic!("two cells: {line}");
        };
        if !tests.contains('`') {
            continue;
        }
        lines += 1;
        for test in tests.split("<br>") {
            let (file, name) = test.split_once(": ").expect(line);
            let file = file.trim().trim_matches('`');
            let source = std::fs::read_to_string(root.join(file)).expect(file);
            let name = name.trim().trim_matches('`');
            let is_there = source.contains(&format!("fn {name}("))
                || source.contains(&format!("test('{name}'"))
                || source.contains(&format!("test(\"{name}\""));
            assert!(is_there, "{file} has no test {name:?}");
        }
    }
    assert!(lines > 30, "{lines} lines with tests");
}
