//! Templates and the knowledge they become, through the running job runner.

use http::Method;
use serde_json::{Value, json};

use crate::support::App;

#[tokio::test]
async fn templates_reach_every_tenant_and_pairs_are_changed_many_at_once() {
    let app = App::serving().await;
    let mut tenants = Vec::new();
    for name in ["Kimono One", "和服店 A"] {
        let made = app.create("ops/tenants", json!({ "name": name })).await;
        tenants.push(made["id"].as_str().unwrap().to_owned());
    }
    let mut ids = Vec::new();
    for n in 0..120 {
        let text = json!({"question": format!("问题 {n}？"), "answer": "答案", "category": "通用"});
        ids.push(app.create("ops/templates", text).await["id"].clone());
    }
    let all = json!({"template_ids": ids, "all_tenants": true});
    let result = app.job("ops/templates/distribute", all.clone()).await;
    assert_eq!(result["counts"]["created"], 240, "{result}");
    let told: Vec<&Value> = result["tenants"].as_array().unwrap().iter().collect();
    let outcome = |tenant: &Value| {
        (
            tenant["outcome"].clone(),
            tenant["counts"]["created"].clone(),
        )
    };
    assert!(
        told.iter()
            .all(|tenant| outcome(tenant) == (json!("done"), json!(120)))
    );
    let again = app.job("ops/templates/distribute", all).await;
    assert_eq!(again["counts"]["unchanged"], 240, "{again}");
    let listed = app.get("ops/templates?limit=1").await;
    let first = &listed["items"][0];
    assert_eq!(
        (&first["distributed_count"], &first["tenant_count"]),
        (&json!(2), &json!(2))
    );

    let filter = json!({"tenant_id": tenants[0]});
    let moved = json!({"action": "change_category", "category": "新", "filter": filter});
    let moved = app.job("ops/knowledge/qa-pairs/bulk", moved).await;
    assert_eq!(moved["changed"], 120);
    // A selection goes over more than one step.
    let filter = json!({"category": "通用"});
    let gone = app.job(
        "ops/knowledge/qa-pairs/bulk",
        json!({"action": "delete", "filter": filter}),
    );
    assert_eq!(gone.await["changed"], 120);
    let overview = app.get("ops/knowledge/overview").await;
    assert_eq!(overview["by_category"], json!({"新": 120}), "{overview}");
    let told = app
        .api(
            Method::GET,
            "ops/logs/operations?action=templates.distributed",
            None,
        )
        .await
        .expect_status(200)
        .json();
    // A hundred templates a step: two steps for each of two tenants.
    assert_eq!(told["total"], 4, "{told}");
}
