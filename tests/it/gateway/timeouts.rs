//! A provider that does not connect, does not begin or stops in the middle: told in time, and recorded as 504.

use std::time::Duration;

use serde_json::json;

use crate::support::calls::{chat, messages};
use crate::support::client::{End, timed};
use crate::support::control::account;
use crate::support::{App, Setup};

async fn impatient() -> App {
    Setup::new()
        .set("GATEWAY__CONNECT_TIMEOUT_MS", 400)
        .set("GATEWAY__FIRST_BYTE_TIMEOUT_MS", 600)
        .set("GATEWAY__IDLE_TIMEOUT_MS", 700)
        .serving()
        .await
}

#[tokio::test]
async fn no_first_byte_is_a_504_in_the_callers_dialect() {
    let app = impatient().await;
    for (path, body) in [
        ("/v1/chat/completions", chat("m+delay_ms=20000")),
        ("/v1/messages", messages("c+delay_ms=20000")),
    ] {
        let (answer, took) = timed(async {
            if path == "/v1/messages" {
                app.post_claude(path, &body).await
            } else {
                app.post(path, &body).await
            }
        })
        .await;
        let answer = answer.expect_status(504);
        // Every account may be tried once.
        assert!(took < Duration::from_secs(5), "{took:?}");
        let json = answer.json();
        assert!(json["error"]["message"].is_string(), "{json}");
        if path == "/v1/messages" {
            assert_eq!(json["type"], "error");
        }
        let record = app.record(&answer.request_id()).await;
        assert_eq!(
            (
                record["status_code"].as_i64(),
                record["error_code"].as_str()
            ),
            (Some(504), Some("upstream_timeout")),
            "{record}"
        );
    }
}

#[tokio::test]
async fn a_stream_that_stops_is_cut_and_recorded_with_what_was_used() {
    let app = impatient().await;
    for (path, body) in [
        ("/v1/chat/completions", chat("m+hang_after=4")),
        ("/v1/messages", messages("c+hang_after=6")),
    ] {
        let mut stream = app.stream(path, &body).await;
        let (end, took) = timed(stream.rest()).await;
        assert!(took < Duration::from_secs(4), "{path}: {took:?}");
        let text = stream.text();
        assert!(!text.contains("[DONE]") && !text.contains("message_stop"));
        assert!(
            end == End::Broken || text.contains("error"),
            "{path}: ended cleanly: {text}"
        );
        let record = app.record(&stream.request_id()).await;
        assert_eq!(record["status_code"], 504, "{path}: {record}");
        assert!(
            record["completion_tokens"].as_i64().unwrap() > 0,
            "{record}"
        );
    }
}

#[tokio::test]
async fn a_slow_but_steady_stream_is_left_alone() {
    let app = impatient().await;
    // Longer in all than any of the time-outs, never silent for as long.
    let mut stream = app.chat_stream("m+n=8+pause_ms=250").await;
    assert_eq!(stream.rest().await, End::Clean);
    assert!(stream.text().contains("[DONE]"));
}

#[tokio::test]
async fn an_upstream_that_does_not_connect_is_given_up() {
    let app = impatient().await;
    // TEST-NET-1: packets to it go nowhere, or the network says so at once.
    app.create(
        "accounts",
        account("openai", "http://192.0.2.1:81/v1", &["nowhere"]),
    )
    .await;
    for account in app.get("accounts").await["items"].as_array().unwrap() {
        if account["models"] == json!(["*"]) {
            app.remove(&format!("accounts/{}", account["id"].as_str().unwrap()))
                .await;
        }
    }
    let (answer, took) = timed(app.chat("nowhere")).await;
    assert!(
        answer.status == 504 || answer.status == 502,
        "{} {}",
        answer.status,
        answer.text()
    );
    assert!(took < Duration::from_secs(5), "{took:?}");
}
