//! Calls told of from outside: spans of real libraries (`tests/otlp`) and plain batches, onto the books.

use std::io::Write;

use http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, App, eventually};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

fn payload(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/otlp/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn packed(body: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(body).unwrap();
    gzip.finish().unwrap()
}

async fn send(app: &App, key: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let authorization = format!("Bearer {key}");
    let mut all = headers.to_vec();
    if !key.is_empty() {
        all.push(("authorization", &authorization));
    }
    app.http
        .call(Method::POST, &app.url("/v1/traces"), &all, body)
        .await
}

async fn traces(app: &App, kind: &str, body: Vec<u8>) -> Answer {
    send(app, &app.key, &[("content-type", kind)], body).await
}

async fn ingest(app: &App, body: Value) -> Answer {
    app.api_as(&app.key, Method::POST, "ingest/records", Some(body))
        .await
}

fn told(id: &str) -> Value {
    json!({"id": id, "provider": "openai", "model": "gpt-4o", "operation": "chat", "request_at": "2026-01-01T00:00:00Z",
        "duration_ms": 1200, "prompt_tokens": 10, "completion_tokens": 5})
}

/// The rows by source, once so many are on the books; another record, told last, proves that no more are coming.
async fn rows(app: &App, marker: &str, many: u64) -> Vec<Value> {
    ingest(app, json!({"records": [told(marker)]}))
        .await
        .expect_status(200);
    let page = eventually("the marker's row", || async {
        let page = app.get("logs/requests?limit=100&sort=-request_at").await;
        let newest = page["items"][0]["source"] == "ingest";
        (newest && page["total"].as_u64() >= Some(many + 1)).then_some(page)
    })
    .await;
    let items = page["items"].as_array().unwrap()[1..].to_vec();
    assert_eq!(items.len() as u64, many, "{page}");
    items
}

#[tokio::test]
async fn spans_become_rows_once_whoever_tells_of_the_call() {
    let app = App::serving().await;
    // The same answer as the first of the spans below tells of: the fake provider names it by the model.
    let call = app.chat("gpt-4o").await.expect_status(200);
    app.record(&call.request_id()).await;

    let answer = traces(&app, PROTOBUF, payload("openllmetry_openai.pb")).await;
    assert_eq!(answer.header("content-type"), Some(PROTOBUF));
    assert!(answer.expect_status(200).body.is_empty());
    // Sent again, as after a lost answer.
    traces(&app, PROTOBUF, payload("openllmetry_openai.pb"))
        .await
        .expect_status(200);
    let gzip = [("content-type", JSON), ("content-encoding", "gzip")];
    let answer = send(&app, &app.key, &gzip, packed(&payload("vercel_ai.json"))).await;
    assert_eq!(answer.expect_status(200).json(), json!({}));
    // Two spans of one call, which the Vercel SDK has told of too.
    let gzip = [("content-type", PROTOBUF), ("content-encoding", "gzip")];
    let body = packed(&payload("openinference_anthropic.pb"));
    send(&app, &app.key, &gzip, body).await.expect_status(200);

    // One by the gateway; of OpenLLMetry's four all but that one; of Vercel's four all but that one again.
    let rows = rows(&app, "marker", 1 + 3 + 3).await;
    let of = |source: &str| rows.iter().filter(|row| row["source"] == source).count();
    assert_eq!((of("gateway"), of("otlp")), (1, 6), "{rows:?}");
    let claude = rows
        .iter()
        .find(|row| row["provider"] == "anthropic")
        .unwrap();
    assert_eq!(claude["prompt_tokens"], 25);
    assert_eq!(claude["cached_tokens"], 4);
    assert_eq!(claude["cache_write_tokens"], 2);
    assert_eq!(claude["operation"], "messages");
    assert_eq!(claude["app"], "shop");
    assert_eq!(claude["user_name"], "anna");
    assert_eq!(claude["conversation_id"], "conv-7");
    let failed = rows.iter().find(|row| row["success"] == false).unwrap();
    assert_eq!(failed["status_code"], 429);
    assert_eq!(failed["error_code"], "upstream_error");
}

#[tokio::test]
async fn what_is_no_trace_request_is_refused_as_the_protocol_says() {
    let app = App::serving().await;
    assert!(
        traces(&app, PROTOBUF, Vec::new())
            .await
            .expect_status(200)
            .body
            .is_empty()
    );
    traces(&app, JSON, b"{}".to_vec()).await.expect_status(200);
    for kind in ["text/plain", "application/grpc", ""] {
        traces(&app, kind, b"{}".to_vec()).await.expect_status(415);
    }
    let odd = [("content-type", JSON), ("content-encoding", "br")];
    send(&app, &app.key, &odd, b"{}".to_vec())
        .await
        .expect_status(415);
    let odd = [("content-type", JSON), ("content-encoding", "gzip")];
    send(&app, &app.key, &odd, b"{}".to_vec())
        .await
        .expect_status(400);
    let bomb = packed(&vec![b' '; 20 << 20]);
    send(&app, &app.key, &odd, bomb).await.expect_status(413);
    let json = [("content-type", JSON)];
    send(&app, "", &json, b"{}".to_vec())
        .await
        .expect_status(401);
    let refused = send(&app, "sk-stw-nobody", &json, b"{}".to_vec()).await;
    assert_eq!(refused.expect_status(401).json()["code"], 16);
    let refused = traces(&app, JSON, b"{\"resourceSpans\": 5}".to_vec()).await;
    assert_eq!(refused.expect_status(400).json()["code"], 3);
    traces(&app, PROTOBUF, b"\xff\xff\xff".to_vec())
        .await
        .expect_status(400);
    let answer = app
        .http
        .call(Method::GET, &app.url("/v1/traces"), &[], "")
        .await;
    assert_eq!(answer.expect_status(405).header("allow"), Some("POST"));

    let span = json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "startTimeUnixNano": "7",
        "attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}]});
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]});
    let answer = traces(&app, JSON, body.to_string().into_bytes()).await;
    let told = answer.expect_status(200).json();
    assert_eq!(told["partialSuccess"]["rejectedSpans"], "1", "{told}");

    // Hostile spans: every prefix of a real payload, and the payload with every 7th byte turned.
    let real = payload("openllmetry_anthropic.pb");
    for end in 0..real.len() {
        let answer = traces(&app, PROTOBUF, real[..end].to_vec()).await;
        assert!(
            matches!(answer.status, 200 | 400),
            "{end}: {}",
            answer.status
        );
        let mut turned = real.clone();
        turned
            .iter_mut()
            .skip(end % 7)
            .step_by(7)
            .for_each(|byte| *byte ^= end as u8);
        let answer = traces(&app, PROTOBUF, turned).await;
        assert!(
            matches!(answer.status, 200 | 400),
            "{end}: {}",
            answer.status
        );
    }
}

#[tokio::test]
async fn what_nobody_charges_for_is_no_unpriced_model() {
    let app = App::serving().await;
    let call = |operation: &str, model: &str, tokens: i64| {
        json!({"provider": "anthropic", "model": model, "operation": operation,
            "request_at": chrono::Utc::now().to_rfc3339(), "duration_ms": 5, "prompt_tokens": tokens})
    };
    let told = json!({"records": [
        call("count_tokens", "counted", 500),
        call("vector_query", "looked-for", 0),
        call("chat", "unheard-of", 7),
    ]});
    ingest(&app, told).await.expect_status(200);
    // The last of the batch is listed: what came before it is on the books as well.
    let unpriced = eventually("the call without a price", || async {
        let told = app.get("prices/unpriced").await;
        (told["items"] != json!([])).then_some(told)
    })
    .await;
    assert_eq!(unpriced["items"].as_array().unwrap().len(), 1, "{unpriced}");
    assert_eq!(unpriced["items"][0]["model"], "unheard-of");
    let told = app.get("logs/requests?model=counted").await;
    assert_eq!(told["items"][0]["total_tokens"], 0, "{told}");
}

#[tokio::test]
async fn a_batch_is_booked_record_by_record_and_once() {
    let app = App::serving().await;
    let mut priced = told("b");
    priced["cost"] = json!("0.0125");
    priced["currency"] = json!("USD");
    let mut late = told("c");
    late["request_at"] = json!("2999-01-01T00:00:00Z");
    let mut unknown = told("d");
    unknown["tokens"] = json!(5);
    let mut odd = told("e");
    odd["prompt_tokens"] = json!("many");
    let batch = json!({"records": [told("a"), late, priced, unknown, odd, 5]});
    let answer = ingest(&app, batch.clone()).await.expect_status(200).json();
    assert_eq!(
        (&answer["accepted"], &answer["rejected"]),
        (&json!(2), &json!(4)),
        "{answer}"
    );
    let places: Vec<_> = answer["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            (
                error["index"].as_u64().unwrap(),
                error["field"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(places[0], (1, "request_at"), "{answer}");
    assert_eq!(places[1].0, 3, "{answer}");
    assert_eq!(places[2], (4, "prompt_tokens"), "{answer}");
    assert_eq!(places[3].0, 5, "{answer}");
    // Again, and by another token: ids are a token's own.
    ingest(&app, batch).await.expect_status(200);
    let (other, _) = app.token(json!({"name": "other"})).await;
    app.api_as(
        &other,
        Method::POST,
        "ingest/records",
        Some(json!({"records": [told("a")]})),
    )
    .await
    .expect_status(200);
    let rows = rows(&app, "marker", 3).await;
    let costs: Vec<_> = rows.iter().filter_map(|row| row["cost"].as_str()).collect();
    // One was told; the others are reckoned by the list: 10 tokens at 2.50 and 5 at 10.00 for a million.
    assert_eq!(costs, ["0.000075", "0.0125", "0.000075"], "{rows:?}");
    assert!(
        rows.iter()
            .all(|row| row["request_at"] == "2026-01-01T00:00:00.000Z")
    );

    // What would be lost from every sum, or break it, is no cost.
    for (cost, currency, field) in [
        ("1000", "EUR", "currency"),
        ("10000.01", "USD", "cost"),
        ("9223372036.854775807", "CNY", "cost"),
        ("-1", "USD", "cost"),
    ] {
        let mut wrong = told("f");
        (wrong["cost"], wrong["currency"]) = (json!(cost), json!(currency));
        let answer = ingest(&app, json!({"records": [wrong]})).await;
        let answer = answer.expect_status(200).json();
        assert_eq!(answer["errors"][0]["field"], field, "{answer}");
    }

    let many: Vec<Value> = (0..1_001).map(|n| told(&n.to_string())).collect();
    ingest(&app, json!({"records": many}))
        .await
        .expect_status(422);
    ingest(&app, json!([])).await.expect_status(400);
    for bearer in ["", app.admin.as_str()] {
        app.api_as(
            bearer,
            Method::POST,
            "ingest/records",
            Some(json!({"records": []})),
        )
        .await
        .expect_status(401);
    }
}
