//! Suspending a tenant while it is busy: what is under way ends well, and nothing more begins.

use http::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::support::calls::chat;
use crate::support::client::End;
use crate::support::{App, eventually};

const STREAMS: usize = 100;
/// So that a stream is still under way when the tenant is suspended, however slow the machine is: it ends only when its
/// provider has said so many words, each after a pause.
const MODEL: &str = "gpt-4o+n=40+pause_ms=250";

#[tokio::test]
async fn a_suspended_tenants_keys_are_refused_at_once_and_its_streams_end_well() {
    let app = App::serving().await;
    let tenant = app
        .create("ops/tenants", json!({"name": "Kimono One"}))
        .await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let (key, _) = app
        .token(json!({"name": "shop", "tenant_id": tenant}))
        .await;
    let (second, _) = app.token(json!({"name": "web", "tenant_id": tenant})).await;
    let call =
        async |key: &str, model: &str| app.post_as(key, "/v1/chat/completions", &chat(model)).await;
    call(&key, "gpt-4o").await.expect_status(200);

    let (began, mut heads) = mpsc::unbounded_channel();
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let mut body = chat(MODEL);
        body["stream"] = json!(true);
        let (http, url) = (app.http.clone(), app.url("/v1/chat/completions"));
        let (authorization, began) = (format!("Bearer {key}"), began.clone());
        streams.spawn(async move {
            let headers = [
                ("authorization", authorization.as_str()),
                ("content-type", "application/json"),
            ];
            let mut stream = http
                .begin(Method::POST, &url, &headers, body.to_string())
                .await
                .expect("a head");
            began.send(stream.status).expect("somebody listens");
            let end = stream.rest().await;
            (end, stream.text().contains("[DONE]"), stream.request_id())
        });
    }
    for _ in 0..STREAMS {
        assert_eq!(heads.recv().await, Some(200));
    }
    let open = || {
        let sent = app.provider().received_of(MODEL);
        sent.iter().filter(|one| one.ending.is_none()).count()
    };
    assert_eq!(open(), STREAMS);

    let path = format!("ops/tenants/{tenant}");
    let suspended = app
        .api(
            Method::POST,
            &format!("{path}/suspend"),
            Some(json!({"reason": "unpaid"})),
        )
        .await
        .expect_status(200)
        .json();
    assert_eq!(suspended["status"], "suspended");
    // The first request after it, with either key; the provider hears nothing of it.
    for (key, model) in [(&key, "gpt-4o+id=1"), (&second, "gpt-4o+id=2")] {
        let refused = call(key, model).await.expect_status(403).json();
        assert_eq!(refused["error"]["code"], "tenant_suspended", "{refused}");
        assert!(app.provider().received_of(model).is_empty());
    }
    assert_eq!(open(), STREAMS, "all of them were under way meanwhile");
    // Others are served, and so is the tenant as soon as it is activated.
    app.chat("gpt-4o").await.expect_status(200);
    app.api(Method::POST, &format!("{path}/activate"), None)
        .await
        .expect_status(200);
    call(&key, "gpt-4o").await.expect_status(200);

    let mut ids = Vec::new();
    while let Some(ended) = streams.join_next().await {
        let (end, is_whole, id) = ended.unwrap();
        assert_eq!((end, is_whole), (End::Clean, true));
        ids.push(id);
    }
    assert_eq!(ids.len(), STREAMS);
    for id in &ids {
        let record = app.record(id).await;
        assert_eq!(
            (&record["success"], &record["tenant_id"]),
            (&json!(true), &json!(tenant)),
            "{record}"
        );
    }

    let told = app
        .get(&format!("ops/logs/operations?target_id={tenant}"))
        .await;
    let actions: Vec<&str> = told["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["action"].as_str())
        .collect();
    assert_eq!(
        actions,
        ["tenants.activate", "tenants.suspend", "tenants.create"],
        "{told}"
    );
    // The streams, two calls that were served and two that were refused.
    let shown: Value = eventually("the tenant's calls are on the books", || async {
        let shown = app.get(&path).await;
        (shown["total_requests"] == STREAMS as i64 + 4).then_some(shown)
    })
    .await;
    assert!(shown["last_active_at"].is_string(), "{shown}");
    let stats = app.get(&format!("{path}/stats")).await;
    assert_eq!(stats["api_calls_month"], STREAMS as i64 + 4, "{stats}");
    assert_eq!(stats["trend"].as_array().unwrap().len(), 30);
}
