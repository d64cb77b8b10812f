//! Relaying: pieces go out as they come in, the end is held back until the call is on the books, and a broken stream
//! never looks like a finished one.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fake_provider::Ending;
use crate::support::calls::{chat, messages};
use crate::support::client::{End, events};
use crate::support::{App, Setup, eventually};

#[tokio::test]
async fn the_first_events_arrive_while_the_provider_is_still_silent() {
    let app = App::serving().await;
    for (path, body, first) in [
        ("/v1/chat/completions", chat("gpt-4o+hang_after=3"), "naïve"),
        (
            "/v1/responses",
            json!({"model": "gpt-4o+hang_after=6", "input": "x"}),
            "naïve",
        ),
        (
            "/v1/completions",
            json!({"model": "gpt-4o+hang_after=2", "prompt": "x"}),
            "naïve",
        ),
        ("/v1/messages", messages("claude+hang_after=5"), "naïve"),
    ] {
        let mut stream = app.stream(path, &body).await;
        assert_eq!(stream.status, 200);
        tokio::time::timeout(Duration::from_secs(10), stream.until(first))
            .await
            .unwrap_or_else(|_| panic!("{path}: nothing came while the provider was silent"));
        let model = body["model"].as_str().unwrap();
        let sent = app.provider().received_of(model).pop().unwrap();
        assert_eq!(
            sent.ending, None,
            "{path}: the provider must still be in the middle of it"
        );
    }
}

#[tokio::test]
async fn a_head_arrives_while_the_body_is_still_awaited() {
    let app = App::serving().await;
    let began = std::time::Instant::now();
    let mut stream = app.chat_stream("gpt-4o+stall_ms=4000").await;
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "the head waited for the body"
    );
    assert_eq!(stream.rest().await, End::Clean);
}

#[tokio::test]
async fn events_keep_their_order_comments_and_bytes_however_they_are_cut() {
    let app = App::serving().await;
    for words in [
        "n=30",
        "n=30+piece_bytes=1",
        "n=30+piece_bytes=5+comments",
        "n=30+crlf",
        "n=30+crlf+comments+piece_bytes=2",
    ] {
        let mut stream = app.chat_stream(&format!("gpt-4o+{words}")).await;
        assert_eq!(stream.rest().await, End::Clean);
        let text = stream.text();
        let data = events(&text);
        assert_eq!(data.last().map(String::as_str), Some("[DONE]"), "{words}");
        let chunks: Vec<Value> = data[..data.len() - 1]
            .iter()
            .map(|d| serde_json::from_str(d).unwrap_or_else(|e| panic!("{words}: {e}: {d}")))
            .collect();
        let said: String = chunks
            .iter()
            .filter_map(|c| c.pointer("/choices/0/delta/content")?.as_str())
            .collect();
        assert_eq!(
            said,
            crate::fake_provider::openai::words(30).concat(),
            "{words}"
        );
        assert!(
            chunks
                .iter()
                .all(|c| c["choices"].as_array().is_some_and(|a| !a.is_empty())),
            "{words}: a chunk without choices was not asked for"
        );
        assert_eq!(
            text.contains(": keep-alive"),
            words.contains("comments"),
            "{words}"
        );
        assert_eq!(text.contains("\r\n"), words.contains("crlf"), "{words}");
    }
}

#[tokio::test]
async fn responses_keep_their_sequence_numbers() {
    let app = App::serving().await;
    let mut stream = app
        .stream(
            "/v1/responses",
            &json!({"model": "gpt-4o+n=20+piece_bytes=3", "input": "x"}),
        )
        .await;
    assert_eq!(stream.rest().await, End::Clean);
    let numbers: Vec<u64> = events(&stream.text())
        .iter()
        .map(|d| {
            serde_json::from_str::<Value>(d).unwrap()["sequence_number"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    assert!(stream.text().contains("event: response.completed"));
}

#[tokio::test]
async fn a_finished_stream_is_on_the_books_when_its_end_is_seen() {
    let app = App::serving().await;
    let before = app.loss_ledger().await[0];
    for (number, (path, body, end)) in [
        ("/v1/chat/completions", chat("gpt-4o"), "[DONE]"),
        (
            "/v1/responses",
            json!({"model": "gpt-4o", "input": "x"}),
            "response.completed",
        ),
        ("/v1/messages", messages("claude"), "message_stop"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut stream = app.stream(path, &body).await;
        stream.until(end).await;
        assert_eq!(
            app.loss_ledger().await[0],
            before + number as i64 + 1,
            "{path}: accepted when the terminal event is seen"
        );
        assert_eq!(stream.rest().await, End::Clean);
        let record = app.record(&stream.request_id()).await;
        assert_eq!(record["status_code"], 200);
        assert_eq!(record["success"], true);
        assert_eq!(record["stream"], true);
    }
}

#[tokio::test]
async fn a_stream_cut_by_the_provider_never_ends_cleanly() {
    let app = App::serving().await;
    for (path, body) in [
        ("/v1/chat/completions", chat("gpt-4o+cut_after=3")),
        (
            "/v1/responses",
            json!({"model": "gpt-4o+cut_after=7", "input": "x"}),
        ),
        ("/v1/messages", messages("claude+cut_after=5")),
        ("/v1/messages", messages("claude+cut_after=5+gzip+anyway")),
    ] {
        let mut stream = app.stream(path, &body).await;
        let end = stream.rest().await;
        let text = stream.text();
        assert!(
            !text.contains("[DONE]")
                && !text.contains("message_stop")
                && !text.contains("response.completed"),
            "{path}: {text}"
        );
        let told = text.contains("\"error\"") || text.contains("event: error");
        assert!(
            end == End::Broken || told,
            "{path}: a cut stream ended cleanly: {text}"
        );
        let record = app.record(&stream.request_id()).await;
        assert_eq!(record["status_code"], 502, "{path}: {record}");
        assert_eq!(record["success"], false);
        assert!(
            record["completion_tokens"].as_i64().unwrap() > 0,
            "{path}: what was used so far: {record}"
        );
    }
}

#[tokio::test]
async fn a_stream_without_its_terminal_event_is_passed_on_as_it_is() {
    let app = App::serving().await;
    let mut stream = app.chat_stream("gpt-4o+no_done").await;
    assert_eq!(stream.rest().await, End::Clean);
    assert!(!stream.text().contains("[DONE]"));
    assert_eq!(app.record(&stream.request_id()).await["status_code"], 200);
}

#[tokio::test]
async fn an_error_event_of_the_provider_passes_and_is_recorded() {
    let app = App::serving().await;
    for (path, body, needle) in [
        (
            "/v1/chat/completions",
            chat("gpt-4o+error_after=3"),
            "The server had an error",
        ),
        (
            "/v1/messages",
            messages("claude+error_after=4"),
            "overloaded_error",
        ),
    ] {
        let mut stream = app.stream(path, &body).await;
        let _ = stream.rest().await;
        assert!(stream.text().contains(needle), "{path}: {}", stream.text());
        let record = app.record(&stream.request_id()).await;
        assert_eq!(record["success"], false, "{path}: {record}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_upstream_call_within_a_second() {
    let app = App::serving().await;
    for (path, model) in [
        ("/v1/chat/completions", "gpt-4o+n=2000+pause_ms=20"),
        ("/v1/chat/completions", "gpt-4o+hang_after=3"),
        ("/v1/messages", "claude+n=2000+pause_ms=20"),
    ] {
        let body = if path == "/v1/messages" {
            messages(model)
        } else {
            chat(model)
        };
        let mut stream = app.stream(path, &body).await;
        stream.until("naïve").await;
        let id = stream.request_id();
        drop(stream);
        let left = std::time::Instant::now();
        let sent = eventually("the provider sees the caller leave", || async {
            app.provider()
                .received_of(model)
                .pop()
                .filter(|r| r.ending.is_some())
        })
        .await;
        let (ending, at) = sent.ending.unwrap();
        assert_eq!(ending, Ending::CallerLeft, "{model}");
        assert!(
            at.saturating_duration_since(left) < Duration::from_secs(1),
            "{model}: cancelled after {:?}",
            at - left
        );
        let record = app.record(&id).await;
        assert_eq!(record["status_code"], 499, "{record}");
        assert!(
            record["completion_tokens"].as_i64().unwrap() > 0,
            "{record}"
        );
        assert_eq!(record["error_code"], "client_closed_request");
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_first_byte_cancels_too() {
    let app = App::serving().await;
    let model = "gpt-4o+delay_ms=30000";
    let authorization = format!("Bearer {}", app.key);
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
    ];
    let url = app.url("/v1/chat/completions");
    let call = app
        .http
        .begin(http::Method::POST, &url, &headers, chat(model).to_string());
    assert!(
        tokio::time::timeout(Duration::from_millis(500), call)
            .await
            .is_err(),
        "no answer so early"
    );
    let left = std::time::Instant::now();
    let sent = eventually("the provider sees the caller leave", || async {
        app.provider()
            .received_of(model)
            .pop()
            .filter(|r| r.ending.is_some())
    })
    .await;
    assert!(
        left.elapsed() < Duration::from_millis(1_500),
        "{:?}",
        left.elapsed()
    );
    assert_eq!(sent.ending.unwrap().0, Ending::CallerLeft);
    let record = eventually("the record of a call that was given up", || async {
        let list = app.get("logs/requests?limit=5").await;
        list["items"]
            .as_array()?
            .iter()
            .find(|r| r["model"] == model)
            .cloned()
    })
    .await;
    assert_eq!(record["status_code"], 499);
}

#[tokio::test]
async fn many_streams_at_once_all_end_whole() {
    let app = Setup::new().serving().await;
    let mut streams = tokio::task::JoinSet::new();
    for number in 0..64 {
        let mut stream = app
            .chat_stream(&format!("gpt-4o+n=40+pause_ms=5+id={number}"))
            .await;
        assert_eq!(stream.status, 200, "stream {number}");
        streams.spawn(async move { (stream.rest().await, stream) });
    }
    let mut ids = std::collections::HashSet::new();
    while let Some(done) = streams.join_next().await {
        let (end, stream) = done.unwrap();
        let (id, text) = (stream.request_id(), stream.text());
        if end != End::Clean || !text.contains("[DONE]") || !text.contains(" w39") {
            let record = app.record(&id).await;
            panic!("{end:?} {:?} {record}\n{text}", stream.cause);
        }
        ids.insert(id);
    }
    assert_eq!(ids.len(), 64);
    for id in ids {
        app.record(&id).await;
    }
}
