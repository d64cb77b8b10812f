//! The fake provider does what it is told: if it did not, every other test here would say nothing.

use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::fake_provider::{Ending, FakeProvider};
use crate::support::calls::{chat, messages};
use crate::support::client::{Client, End, Streaming, timed};
use crate::support::eventually;

async fn call(
    provider: &FakeProvider,
    path: &str,
    mut body: serde_json::Value,
    streamed: bool,
) -> Result<Streaming, String> {
    body["stream"] = json!(streamed);
    let url = format!("{}{path}", provider.anthropic_url());
    Client::new()
        .begin(
            Method::POST,
            &url,
            &[("authorization", "Bearer k")],
            body.to_string(),
        )
        .await
}

#[tokio::test]
async fn streams_break_stall_and_hang_as_scripted() {
    let provider = FakeProvider::start();
    let path = "/v1/chat/completions";
    let mut cut = call(&provider, path, chat("m+cut_after=3"), true)
        .await
        .unwrap();
    assert_eq!(cut.rest().await, End::Broken);
    assert!(cut.text().contains("naïve") && !cut.text().contains("你好"));

    let mut whole = call(&provider, path, chat("m+piece_bytes=1+comments"), true)
        .await
        .unwrap();
    assert_eq!(whole.rest().await, End::Clean);
    assert!(whole.text().ends_with("data: [DONE]\n\n"));

    let (stalled, took) = timed(async {
        let mut stream = call(&provider, path, chat("m+stall_ms=200"), true)
            .await
            .unwrap();
        stream.rest().await
    })
    .await;
    assert!(stalled == End::Clean && took >= Duration::from_millis(200));

    let mut hanging = call(&provider, "/v1/messages", messages("m+hang_after=4"), true)
        .await
        .unwrap();
    hanging.until("Hello").await;
    assert!(
        tokio::time::timeout(Duration::from_millis(100), hanging.next())
            .await
            .is_err()
    );
    drop(hanging);
    let ending = eventually("the provider sees its caller leave", || async {
        provider.received_of("m+hang_after=4").pop()?.ending
    })
    .await;
    assert_eq!(ending.0, Ending::CallerLeft);

    assert!(call(&provider, path, chat("m+drop"), false).await.is_err());
    let mut short = call(&provider, path, chat("m+short"), false).await.unwrap();
    assert_eq!(short.rest().await, End::Broken);
    let mut until_closed = call(&provider, path, chat("m+close"), false).await.unwrap();
    assert_eq!(until_closed.rest().await, End::Clean);
}

#[tokio::test]
async fn failures_are_counted_and_paths_scripted() {
    let provider = FakeProvider::start();
    let path = "/v1/chat/completions";
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(
            call(
                &provider,
                path,
                chat("m+fail_times=2+status=429+retry_after=1"),
                false,
            )
            .await
            .unwrap()
            .status,
        );
    }
    assert_eq!(statuses, [429, 429, 200]);
    provider.script_path("a", &["status=500", "status=529", "ok"]);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(
            call(&provider, "/a/v1/chat/completions", chat("m"), false)
                .await
                .unwrap()
                .status,
        );
    }
    assert_eq!(statuses, [500, 529, 200, 200]);
    assert_eq!(provider.received_at("a").len(), 4);
}

#[tokio::test]
async fn requests_are_remembered_as_they_came() {
    let provider = FakeProvider::start();
    let raw = "POST /v1/chat/completions HTTP/1.1\r\nhOsT: x\r\nX-Odd:   spaced  \r\nAuthorization: Bearer k\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"mod\r\n8;x=y\r\nel\":\"m\"}\r\n0\r\n\r\n";
    let answer =
        crate::support::raw::exchange(provider.address(), raw.as_bytes(), Duration::from_secs(5))
            .await;
    assert_eq!(crate::support::raw::status(&answer), 200, "{answer}");
    let received = provider.received().pop().unwrap();
    assert_eq!(received.body, b"{\"model\":\"m\"}");
    assert!(
        String::from_utf8(received.raw_head.clone())
            .unwrap()
            .contains("\r\nhOsT: x\r\nX-Odd:   spaced  \r\n")
    );
    assert_eq!(received.model().as_deref(), Some("m"));
}

#[tokio::test]
async fn what_is_misspelt_is_refused_and_the_connection_lives() {
    let provider = FakeProvider::start();
    let path = "/v1/chat/completions";
    for (model, status) in [
        ("m+misspelt", 400),
        ("c++", 400),
        ("m+status=12", 400),
        ("m+n=many", 400),
        ("m+n=99999999999999999999", 400),
        ("m+piece_bytes=0", 200),
        ("m", 200),
    ] {
        let mut answer = call(&provider, path, chat(model), false).await.unwrap();
        assert_eq!(
            (answer.status, answer.rest().await),
            (status, End::Clean),
            "{model}"
        );
    }
}
