//! Knowledge: embedded by an account, on the books like any call, and found by what it means.

use http::Method;
use serde_json::{Value, json};

use crate::support::app::PROVIDER_KEY;
use crate::support::control::account;
use crate::support::{App, Setup, eventually};

const MODEL: &str = "text-embedding-3-small";

/// A Steward whose accounts embed by the letters of a text, and two tenants with pairs.
async fn house() -> (App, [String; 2]) {
    house_of(Setup::new()).await
}

async fn house_of(setup: Setup) -> (App, [String; 2]) {
    let setup = setup.set("RAG__EMBEDDING_MODEL", MODEL);
    let app = setup.set("ALERTS__INTERVAL_MS", 1_000).serving().await;
    for other in app.get("accounts").await["items"].as_array().unwrap() {
        let path = format!("accounts/{}", other["id"].as_str().unwrap());
        app.patch(&path, json!({"priority": 5})).await;
    }
    let mut first = account("openai", &app.provider().openai_url(), &[]);
    first["aliases"] = json!({MODEL: format!("{MODEL}+words+strict")});
    app.create("accounts", first).await;
    let mut tenants = Vec::new();
    for name in ["Kimono One", "和服店 A"] {
        let tenant = app.create("ops/tenants", json!({ "name": name })).await;
        tenants.push(tenant["id"].as_str().unwrap().to_owned());
    }
    let tenants: [String; 2] = tenants.try_into().unwrap();
    for (of, question) in [
        (0, "How do I book a fitting?"),
        (0, "租借价格是多少？"),
        (1, "租借价格是多少钱？"),
    ] {
        add(&app, &tenants[of], question).await;
    }
    (app, tenants)
}

async fn add(app: &App, tenant: &str, question: &str) -> String {
    let pair = json!({"tenant_id": tenant, "question": question, "answer": "Call us."});
    let made = app.create("ops/knowledge/qa-pairs", pair).await;
    made["id"].as_str().unwrap().to_owned()
}

async fn sync(app: &App) {
    let asked = app.api(Method::POST, "ops/knowledge/sync", None).await;
    asked.expect_status(202);
}

async fn status(app: &App, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || async {
        let status = app.get("ops/knowledge/sync/status").await;
        is_it(&status).then_some(status)
    })
    .await
}

async fn found(app: &App, asked: Value) -> Vec<String> {
    let found = app.api(Method::POST, "knowledge/search", Some(asked)).await;
    let found = found.expect_status(200).json();
    let items = found["items"].as_array().unwrap().iter();
    items
        .map(|hit| hit["pair"]["question"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn pairs_are_embedded_by_an_account_put_on_the_books_and_found() {
    let (app, [one, two]) = house().await;
    sync(&app).await;
    let done = status(&app, "all are embedded", |status| {
        status["embedded_count"] == 3 && status["waiting_count"] == 0
    });
    let done = done.await;
    assert_eq!(
        (
            &done["active_model"],
            &done["in_memory"],
            &done["failed_count"],
            &done["outage"]
        ),
        (&json!(MODEL), &json!(3), &json!(0), &Value::Null)
    );
    let pairs = app.get("ops/knowledge/qa-pairs?is_synced=true").await;
    assert_eq!(pairs["total"], 3);

    let price = json!({"query": "请问价格是多少？", "tenant_id": one});
    assert_eq!(found(&app, price).await, ["租借价格是多少？"]);
    let book = json!({"query": "can I book a fitting", "tenant_id": one});
    assert_eq!(found(&app, book).await, ["How do I book a fitting?"]);
    let other = json!({"query": "can I book a fitting", "tenant_id": two});
    assert!(found(&app, other).await.is_empty());
    assert_eq!(found(&app, json!({"query": "价格是多少"})).await.len(), 2);
    // Settings take effect at once.
    let settings = Some(json!({"top_k": 1}));
    let saved = app.api(Method::PUT, "ops/config/rag", settings).await;
    saved.expect_status(200);
    assert_eq!(found(&app, json!({"query": "价格是多少"})).await.len(), 1);
    let wrong = json!({"query": "价格是多少", "top_k": 21});
    let wrong = app.api(Method::POST, "knowledge/search", Some(wrong)).await;
    assert_eq!(wrong.expect_status(422).json()["code"], "validation_failed");

    // Two calls that embedded, one for each tenant, and five that asked, one of them for both tenants each.
    let calls = eventually("every call is on the books", || async {
        let calls = app.get("logs/requests?app=steward").await;
        let items = calls["items"].as_array().cloned().unwrap_or_default();
        (items.len() >= 7).then_some(items)
    })
    .await;
    let of = |tenant: &Value| {
        calls
            .iter()
            .filter(|call| call["tenant_id"] == *tenant)
            .count()
    };
    assert_eq!(
        (
            calls.len(),
            of(&json!(one)),
            of(&json!(two)),
            of(&Value::Null)
        ),
        (7, 3, 2, 2),
        "{calls:?}"
    );
    for call in &calls {
        assert_eq!(
            (
                &call["operation"],
                &call["success"],
                &call["model"],
                &call["priced"]
            ),
            (
                &json!("embedding"),
                &json!(true),
                &json!(MODEL),
                &json!(true)
            )
        );
        assert!(call["account_id"].is_string() && call["token_id"].is_null());
        assert!(call["prompt_tokens"].as_i64().unwrap() > 0);
        assert!(call["cost"].is_string(), "{call}");
    }
}

#[tokio::test]
async fn what_is_refused_is_told_what_is_edited_is_found_anew_and_what_waits_raises_an_alert() {
    let (app, [one, _]) = house().await;
    let bad = add(&app, &one, "a forbidden question").await;
    sync(&app).await;
    let told = status(&app, "one failed", |status| {
        status["failed_count"] == 1 && status["embedded_count"] == 3
    });
    let told = told.await;
    assert_eq!(told["waiting_count"], 1);
    let failure = &told["failures"][0];
    assert_eq!(
        (
            &failure["pair"]["id"],
            &failure["error"],
            &failure["attempts"]
        ),
        (&json!(bad), &json!("the provider answered 400"), &json!(1))
    );
    let rule = json!({"name": "late", "condition": "unsynced_qa > 0", "severity": "warning", "channels": []});
    app.create("ops/alerts/rules", rule).await;
    eventually("what waits is an alert", || async {
        let active = app.get("ops/alerts/active").await;
        let items = active["items"].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .any(|alert| alert["rule"] == "late")
            .then_some(())
    })
    .await;
    let path = format!("ops/knowledge/qa-pairs/{bad}");
    let text = json!({"question": "An allowed question about sandals", "answer": "Yes."});
    let saved = app.api(Method::PUT, &path, Some(text)).await;
    saved.expect_status(200);
    sync(&app).await;
    status(&app, "it is well", |status| {
        status["waiting_count"] == 0 && status["failed_count"] == 0
    })
    .await;
    let sandals = json!({"query": "question about sandals", "tenant_id": one});
    assert_eq!(
        found(&app, sandals.clone()).await,
        ["An allowed question about sandals"]
    );
    app.remove(&path).await;
    assert!(found(&app, sandals).await.is_empty());
}

#[tokio::test]
async fn vectors_are_there_again_after_a_kill_and_nothing_is_embedded_twice() {
    let (mut app, [one, _]) = house().await;
    sync(&app).await;
    status(&app, "all are embedded", |status| {
        status["waiting_count"] == 0
    })
    .await;
    app.kill();
    app.start_process().await;
    let again = status(&app, "all are read", |status| status["in_memory"] == 3).await;
    assert_eq!(again["waiting_count"], 0);
    let price = json!({"query": "价格是多少？", "tenant_id": one});
    assert_eq!(found(&app, price).await, ["租借价格是多少？"]);
    let calls = eventually("what was called is on the books", || async {
        let calls = app.get("logs/requests?app=steward").await;
        let items = calls["items"].as_array().cloned().unwrap_or_default();
        (items.len() >= 3).then_some(items)
    })
    .await;
    assert_eq!(calls.len(), 3, "two that embedded, and one that asked");
}

#[tokio::test]
async fn a_provider_that_is_down_is_told_and_no_pair_is() {
    let setup = Setup::new().set(
        "RAG__EMBEDDING_MODEL",
        format!("{MODEL}+status=503+echo_key"),
    );
    let app = setup.serving().await;
    let tenant = app.create("ops/tenants", json!({"name": "one"})).await;
    add(&app, tenant["id"].as_str().unwrap(), "How do I book?").await;
    sync(&app).await;
    let told = status(&app, "the model cannot be asked", |status| {
        !status["outage"].is_null()
    });
    let told = told.await;
    assert_eq!(told["outage"]["error"], "the provider answered 503");
    assert_eq!(
        (&told["failed_count"], &told["waiting_count"]),
        (&json!(0), &json!(1))
    );
    let calls = eventually("the call is on the books", || async {
        let calls = app.get("logs/requests?app=steward").await;
        let items = calls["items"].as_array().cloned().unwrap_or_default();
        (!items.is_empty()).then_some(items)
    })
    .await;
    assert_eq!(calls[0]["status_code"], 503);
    let text = format!("{calls:?} {told} {}", app.log());
    assert!(!text.contains(PROVIDER_KEY), "{text}");
}

/// Has pairs synchronised by a job; what came of it.
async fn bulk(app: &App, which: Value) -> Value {
    let mut body = json!({"action": "sync"});
    body.as_object_mut()
        .unwrap()
        .extend(which.as_object().unwrap().clone());
    let accepted = app.api(Method::POST, "ops/knowledge/qa-pairs/bulk", Some(body));
    let accepted = accepted.await.expect_status(202).json();
    let path = format!("jobs/{}", accepted["job"]["id"].as_str().unwrap());
    eventually("the job has ended", || async {
        let job = app.get(&path).await;
        match job["state"].as_str().unwrap() {
            "succeeded" => Some(job["result"].clone()),
            "queued" | "running" => None,
            other => panic!("{other}: {job}"),
        }
    })
    .await
}

#[tokio::test]
async fn what_is_chosen_is_synchronised_and_nothing_else() {
    let setup = Setup::new().set("SCHEDULER__AUTO_SYNC_ENABLED", "false");
    let (app, [one, two]) = house_of(setup).await;
    let bad = add(&app, &one, "a forbidden question").await;
    let path = format!("ops/knowledge/qa-pairs?tenant_id={two}");
    let theirs = app.get(&path).await["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();

    let came = bulk(&app, json!({"ids": [bad, theirs]})).await;
    let refused = json!([{"error": "the provider answered 400", "pairs": 1}]);
    let expected = json!({"synced": 1, "already": 0, "failed": 1, "reasons": refused});
    assert_eq!(came, expected);
    let stands = app.get("ops/knowledge/sync/status").await;
    assert_eq!(
        (&stands["embedded_count"], &stands["waiting_count"]),
        (&json!(1), &json!(3)),
        "nobody asked for the others"
    );

    // All of a filter; what is well already is not embedded again, what failed is.
    let text = json!({"question": "An allowed question", "answer": "Yes."});
    let path = format!("ops/knowledge/qa-pairs/{bad}");
    let saved = app.api(Method::PUT, &path, Some(text)).await;
    saved.expect_status(200);
    let came = bulk(&app, json!({"filter": {}})).await;
    let expected = json!({"synced": 3, "already": 1, "failed": 0, "reasons": []});
    assert_eq!(came, expected);
    let calls = eventually("every call is on the books", || async {
        let calls = app.get("logs/requests?app=steward").await;
        let items = calls["items"].as_array().cloned().unwrap_or_default();
        (items.len() >= 3).then_some(items)
    })
    .await;
    assert_eq!(calls.len(), 3, "{calls:?}");

    // Edited afterwards it waits, and a provider that is away is told and not waited for.
    let text = json!({"question": "Another question", "answer": "Yes."});
    let saved = app.api(Method::PUT, &path, Some(text)).await;
    saved.expect_status(200);
    for account in app.get("accounts").await["items"].as_array().unwrap() {
        let path = format!("accounts/{}", account["id"].as_str().unwrap());
        app.patch(
            &path,
            json!({"base_url": "http://127.0.0.1:9", "api_key": "sk-away"}),
        )
        .await;
    }
    let came = bulk(&app, json!({"filter": {"tenant_id": one}})).await;
    assert_eq!(
        (&came["synced"], &came["already"], &came["failed"]),
        (&json!(0), &json!(2), &json!(1)),
        "{came}"
    );
    let why = came["reasons"][0]["error"].as_str().unwrap();
    assert!(
        why.starts_with(&format!("{MODEL} cannot be asked")),
        "{why}"
    );
}

#[tokio::test]
async fn who_writes_a_pair_is_told_of_those_that_ask_nearly_the_same() {
    let (app, [one, two]) = house().await;
    sync(&app).await;
    status(&app, "all are embedded", |it| it["waiting_count"] == 0).await;
    let near = async |body: Value| {
        let found = app.api(Method::POST, "ops/knowledge/similar", Some(body));
        found.await.expect_status(200).json()
    };
    let questions = |found: &Value| -> Vec<String> {
        let items = found["items"].as_array().unwrap().iter();
        items
            .map(|hit| hit["pair"]["question"].as_str().unwrap().to_owned())
            .collect()
    };
    // Of this tenant's, and not those that ask the very same.
    let asked = json!({"tenant_id": one, "question": "How do I book a fitting now?"});
    let found = near(asked.clone()).await;
    assert_eq!(questions(&found), ["How do I book a fitting?"], "{found}");
    assert_eq!(
        (&found["looked"], &found["reason"]),
        (&json!(true), &Value::Null)
    );
    let theirs = json!({"tenant_id": two, "question": "How do I book a fitting now?"});
    assert!(questions(&near(theirs).await).is_empty());
    let same = json!({"tenant_id": one, "question": "HOW do I book a fitting"});
    assert!(questions(&near(same).await).is_empty());
    // Not the pair that is edited.
    let mut edited = asked.clone();
    edited["except"] = found["items"][0]["pair"]["id"].clone();
    assert!(questions(&near(edited).await).is_empty());
    for (body, field) in [
        (json!({"question": "x"}), "tenant_id"),
        (json!({"tenant_id": one, "question": ""}), "question"),
        (
            json!({"tenant_id": one, "question": "x", "min_score": 2}),
            "min_score",
        ),
    ] {
        let refused = app.api(Method::POST, "ops/knowledge/similar", Some(body));
        let refused = refused.await.expect_status(422).json();
        assert_eq!(refused["errors"][0]["field"], field);
    }
    // Two that embedded, and four that asked, of their tenants.
    let calls = eventually("every call is on the books", || async {
        let calls = app.get("logs/requests?app=steward").await;
        let items = calls["items"].as_array().cloned().unwrap_or_default();
        (items.len() >= 6).then_some(items)
    })
    .await;
    let of_nobody = calls.iter().filter(|call| call["tenant_id"].is_null());
    assert_eq!((calls.len(), of_nobody.count()), (6, 0), "{calls:?}");

    // A model that is away keeps nobody from saving, and it is said that nobody looked.
    for account in app.get("accounts").await["items"].as_array().unwrap() {
        let path = format!("accounts/{}", account["id"].as_str().unwrap());
        app.patch(
            &path,
            json!({"base_url": "http://127.0.0.1:9", "api_key": "sk-away"}),
        )
        .await;
    }
    let found = near(asked.clone()).await;
    assert_eq!(
        (&found["looked"], &found["items"]),
        (&json!(false), &json!([]))
    );
    assert!(found["reason"].is_string(), "{found}");
    add(&app, &one, "How do I book a fitting now?").await;
}

#[tokio::test]
async fn without_a_model_nobody_looks_for_what_is_nearly_the_same() {
    let app = Setup::new().serving().await;
    let tenant = app.create("ops/tenants", json!({"name": "one"})).await;
    let asked = json!({"tenant_id": tenant["id"], "question": "How do I book?"});
    let found = app
        .api(Method::POST, "ops/knowledge/similar", Some(asked))
        .await;
    let expected = json!({"items": [], "looked": false, "reason": null});
    assert_eq!(found.expect_status(200).json(), expected);
}
