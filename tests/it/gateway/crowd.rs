//! Many at once: every one is served, every one is on the books, and the memory of the peak is given back.

use http::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::calls::chat;
use crate::support::client::End;
use crate::support::{App, eventually};

const CALLS: usize = 1_000;
const STREAMS: usize = 512;
/// What one waiting call or stream may take of the process's memory.
const KIB_PER_STREAM: u64 = 160;

/// This process holds both ends of every call, and the provider's.
fn allow_many_sockets() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)
        .expect("raise the limit of open files");
}

#[tokio::test]
async fn a_thousand_calls_at_once() {
    allow_many_sockets();
    let app = App::serving().await;
    app.chat("gpt-4o").await.expect_status(200);
    let before = app.anonymous_kib();
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let (http, url, authorization) = (
            app.http.clone(),
            app.url("/v1/chat/completions"),
            format!("Bearer {}", app.key),
        );
        calls.spawn(async move {
            let headers = [
                ("authorization", authorization.as_str()),
                ("content-type", "application/json"),
            ];
            http.call(
                Method::POST,
                &url,
                &headers,
                chat("gpt-4o+delay_ms=1500").to_string(),
            )
            .await
            .status
        });
    }
    eventually(
        "all of them wait at the provider at the same time",
        || async {
            (app.provider().received_of("gpt-4o+delay_ms=1500").len() == CALLS).then_some(())
        },
    )
    .await;
    let peak = app.anonymous_kib();
    println!("{before} KiB before, {peak} KiB while {CALLS} calls wait");
    assert!(
        peak < before + KIB_PER_STREAM * CALLS as u64,
        "{before} KiB became {peak} KiB"
    );
    let mut served = 0;
    while let Some(status) = calls.join_next().await {
        assert_eq!(status.unwrap(), 200);
        served += 1;
    }
    assert_eq!(served, CALLS);
    on_the_books(&app, CALLS + 1).await;
}

#[tokio::test]
async fn five_hundred_streams_at_once_take_little_memory() {
    allow_many_sockets();
    let app = App::serving().await;
    app.chat("gpt-4o").await.expect_status(200);
    let before = app.anonymous_kib();
    let mut streams = JoinSet::new();
    for number in 0..STREAMS {
        let mut body = chat(&format!("gpt-4o+n=20+pause_ms=200+id={number}"));
        body["stream"] = json!(true);
        let (http, url, authorization) = (
            app.http.clone(),
            app.url("/v1/chat/completions"),
            format!("Bearer {}", app.key),
        );
        streams.spawn(async move {
            let headers = [
                ("authorization", authorization.as_str()),
                ("content-type", "application/json"),
            ];
            let mut stream = http
                .begin(Method::POST, &url, &headers, body.to_string())
                .await
                .unwrap();
            (
                stream.status,
                stream.rest().await,
                stream.text().contains("[DONE]"),
            )
        });
    }
    eventually("all of them are under way", || async {
        let streams = app.provider().received();
        (streams.len() == STREAMS + 1).then_some(())
    })
    .await;
    let mut peak = before.max(app.anonymous_kib());
    while let Some(done) = streams.join_next().await {
        assert_eq!(done.unwrap(), (200, End::Clean, true));
        peak = peak.max(app.anonymous_kib());
    }
    let allowed = KIB_PER_STREAM * STREAMS as u64;
    println!(
        "{} KiB before, {} KiB at the peak of {STREAMS} streams",
        before, peak
    );
    assert!(peak - before < allowed, "{before} KiB became {peak} KiB");
    on_the_books(&app, STREAMS + 1).await;
}

async fn on_the_books(app: &App, count: usize) {
    eventually("all are stored", || async {
        let [accepted, stored, spooled, dead_lettered, dropped] = app.loss_ledger().await;
        assert_eq!((dead_lettered, dropped), (0, 0));
        (accepted == count as i64 && stored == accepted && spooled == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_idle_process_is_small() {
    let app = App::serving().await;
    app.chat("gpt-4o").await.expect_status(200);
    // The bar of 45 MiB for all of it is the release build's: this one maps three times the code.
    let own = app.anonymous_kib();
    println!("{own} KiB, {} KiB with the code", app.resident_kib());
    assert!(own < 45 * 1024, "{own} KiB at rest");
}
