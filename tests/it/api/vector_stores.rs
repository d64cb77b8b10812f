//! Knowledge in a vector store that is called over a network: found there, and every call on the books with its price.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use crate::fake_stores::FakeStore;
use crate::fake_stores::pinecone::Pinecone;
use crate::fake_stores::qdrant::Qdrant;
use crate::support::control::account;
use crate::support::{App, Setup, eventually, stores};

const MODEL: &str = "text-embedding-3-small";
const KEY: &str = "vector-key-canary-0123456789";

/// A Steward with a tenant of two pairs, whose vectors go to a store.
async fn house<S: FakeStore>(kind: &str, store: &Arc<S>) -> (App, String) {
    let address = stores::serve(Arc::clone(store)).await;
    let app = Setup::new()
        .set("RAG__EMBEDDING_MODEL", MODEL)
        .set("SCHEDULER__AUTO_SYNC_ENABLED", false)
        .set("HEALTH__INTERVAL_MS", 200)
        .set("VECTOR_STORE__KIND", kind)
        .set("VECTOR_STORE__URL", format!("http://{address}"))
        .set("VECTOR_STORE__API_KEY", KEY)
        .serving()
        .await;
    for other in app.get("accounts").await["items"].as_array().unwrap() {
        let path = format!("accounts/{}", other["id"].as_str().unwrap());
        app.patch(&path, json!({"priority": 5})).await;
    }
    let mut first = account("openai", &app.provider().openai_url(), &[]);
    first["aliases"] = json!({MODEL: format!("{MODEL}+words")});
    app.create("accounts", first).await;
    let price = json!({"currency": "USD", "input": "0", "output": "0", "per_call": "0.002", "per_unit": "0.000016"});
    let path = format!("prices?provider={kind}&model=steward");
    app.api(Method::PUT, &path, Some(price))
        .await
        .expect_status(200);
    let tenant = app.create("ops/tenants", json!({"name": "和服店 A"})).await;
    let tenant = tenant["id"].as_str().unwrap().to_owned();
    for question in ["How do I book a fitting?", "租借价格是多少？"] {
        let pair = json!({"tenant_id": tenant, "question": question, "answer": "Call us."});
        app.create("ops/knowledge/qa-pairs", pair).await;
    }
    (app, tenant)
}

async fn status(app: &App, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let asked = app.api(Method::POST, "ops/knowledge/sync", None).await;
    asked.expect_status(202);
    eventually(what, || async {
        let status = app.get("ops/knowledge/sync/status").await;
        is_it(&status).then_some(status)
    })
    .await
}

/// Waits until the component is so; why.
async fn component(app: &App, status: &str) -> Value {
    eventually(&format!("the store is {status}"), || async {
        let list = app.get("ops/system/components").await;
        let items = list["items"].as_array().unwrap().iter();
        let mut found = items.filter(|item| item["id"] == "vector_store");
        let found = found.find(|item| item["status"] == status)?;
        assert_eq!(found["kind"], "vector_store");
        Some(found["reason"].clone())
    })
    .await
}

async fn calls(app: &App, at_least: usize) -> Vec<Value> {
    eventually("the calls are on the books", || async {
        let calls = app.get("logs/requests?app=steward&limit=100").await;
        let items = calls["items"].as_array().unwrap().iter();
        let items: Vec<Value> = items
            .filter(|call| call["operation"] == "vector_query")
            .cloned()
            .collect();
        (items.len() >= at_least).then_some(items)
    })
    .await
}

/// Pushed, found, on the books, and told of when the store is gone.
async fn is_found_and_on_the_books<S: FakeStore>(kind: &str, store: Arc<S>) -> (App, String) {
    let (app, tenant) = house(kind, &store).await;
    let done = status(&app, "all is pushed", |it| {
        it["store"]["answers"] == true && it["waiting_count"] == 0
    })
    .await;
    assert_eq!(
        (
            &done["waiting_count"],
            &done["in_memory"],
            &done["store"]["waiting_count"]
        ),
        (&json!(0), &json!(0), &json!(0)),
        "{done}"
    );
    assert_eq!(
        (&done["store"]["kind"], &done["store"]["outage"]),
        (&json!(kind), &Value::Null)
    );
    let collection = done["store"]["collection"].as_str().unwrap();
    assert!(
        collection.starts_with("steward_text_embedding_3_small_"),
        "{collection}"
    );
    let asked = json!({"query": "请问价格是多少？", "tenant_id": tenant});
    let found = app.api(Method::POST, "knowledge/search", Some(asked)).await;
    let found = found.expect_status(200).json();
    assert_eq!(
        found["items"][0]["pair"]["question"], "租借价格是多少？",
        "{found}"
    );

    component(&app, "healthy").await;
    // Made, pushed, and asked; that it is looked at costs nothing and is on no book.
    let calls = calls(&app, 3).await;
    assert_eq!(calls.len(), 3, "{calls:?}");
    for call in &calls {
        assert_eq!(
            (&call["provider"], &call["model"], &call["upstream_model"]),
            (&json!(kind), &json!("steward"), &json!(collection))
        );
        assert_eq!(
            (&call["success"], &call["status_code"], &call["priced"]),
            (&json!(true), &json!(200), &json!(true))
        );
        // What Pinecone reads it counts in units; nobody else counts any.
        let cost = if call["units"] == 0 {
            "0.002"
        } else {
            "0.00208"
        };
        assert_eq!(
            (&call["cost"], &call["currency"]),
            (&json!(cost), &json!("USD")),
            "{call}"
        );
    }
    let mut units: Vec<i64> = calls
        .iter()
        .filter_map(|call| call["units"].as_i64())
        .collect();
    units.sort_unstable();
    let asked = i64::from(kind == "pinecone") * 5;
    assert_eq!(units, [0, 0, asked], "{calls:?}");
    let of_tenant = calls
        .iter()
        .filter(|call| call["tenant_id"] == json!(tenant));
    assert_eq!(of_tenant.count(), 2, "{calls:?}");
    let shown = format!("{} {calls:?} {done}", app.log());
    assert!(!shown.contains(KEY), "{shown}");
    let environment = app.get("ops/system/env").await;
    assert!(!environment.to_string().contains(KEY), "{environment}");
    (app, tenant)
}

#[tokio::test]
async fn pinecone_answers_and_its_calls_are_on_the_books_with_their_price() {
    let pinecone = Arc::new(Pinecone::new(KEY, None));
    is_found_and_on_the_books("pinecone", Arc::clone(&pinecone)).await;
    assert_eq!(pinecone.records().len(), 2);
}

#[tokio::test]
async fn qdrant_answers_and_its_calls_are_on_the_books_with_their_price() {
    let qdrant = Arc::new(Qdrant::new(KEY));
    let (app, tenant) = is_found_and_on_the_books("qdrant", Arc::clone(&qdrant)).await;
    assert_eq!(qdrant.points().len(), 2);
    qdrant.refuse(Some((503, "Service is overloaded")));
    let asked = json!({"query": "请问价格是多少？", "tenant_id": tenant});
    let refused = app
        .api(Method::POST, "knowledge/search", Some(asked.clone()))
        .await;
    let refused = refused.expect_status(503).json();
    assert!(
        refused["detail"].as_str().unwrap().contains("vector store"),
        "{refused}"
    );
    let failed = calls(&app, 4).await;
    let failed: Vec<&Value> = failed
        .iter()
        .filter(|call| call["success"] == false)
        .collect();
    assert_eq!(
        (
            failed.len(),
            &failed[0]["status_code"],
            &failed[0]["priced"]
        ),
        (1, &json!(503), &json!(false))
    );

    // A pair that comes meanwhile waits, is told of, and is pushed when the store is back.
    let pair =
        json!({"tenant_id": tenant, "question": "Where are the sandals?", "answer": "There."});
    app.create("ops/knowledge/qa-pairs", pair).await;
    let told = status(&app, "the store cannot be asked", |it| {
        !it["store"]["outage"].is_null()
    })
    .await;
    assert_eq!(
        (&told["outage"], &told["store"]["waiting_count"]),
        (&Value::Null, &json!(1))
    );
    assert_eq!(
        told["waiting_count"], 1,
        "not synchronised before it is there"
    );
    let why = component(&app, "unhealthy").await.to_string();
    assert!(
        why.contains("One vector waits to be pushed") && why.contains("503"),
        "{why}"
    );
    qdrant.refuse(None);
    // The vector is there a moment before the outage is over.
    status(&app, "it is pushed", |it| {
        it["waiting_count"] == 0 && it["store"]["outage"].is_null()
    })
    .await;
    assert_eq!(qdrant.points().len(), 3);
    component(&app, "healthy").await;
}
