//! The life of the process and its tree: start, restart of a part under load, stop.

mod drills;
mod start;
mod time_zone;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use serde_json::Value;

use crate::support::app::ADMIN_PASSWORD;
use crate::support::calls::chat;
use crate::support::client::End;
use crate::support::{App, Setup, eventually};

fn nodes(node: &Value, found: &mut Vec<Value>) {
    found.push(node.clone());
    for child in node["children"].as_array().into_iter().flatten() {
        nodes(child, found);
    }
}

async fn tree(app: &App) -> Vec<Value> {
    let mut found = Vec::new();
    nodes(&app.get("supervision/tree").await, &mut found);
    found
}

#[tokio::test]
async fn the_tree_is_told() {
    let app = App::serving().await;
    let all = tree(&app).await;
    let ids: Vec<_> = all.iter().map(|n| n["id"].as_str().unwrap()).collect();
    for id in [
        "root",
        "root/ledger",
        "root/ledger/request_logger",
        "root/ledger/batch_writer",
    ] {
        assert!(ids.contains(&id), "{id} in {ids:?}");
    }
    for node in &all {
        for field in ["kind", "state", "restarts"] {
            assert!(node.get(field).is_some(), "{field} in {node}");
        }
        if node["kind"] == "actor" {
            for field in ["depth", "capacity", "processed", "p50_us", "p99_us"] {
                assert!(node.get(field).is_some(), "{field} in {node}");
            }
        }
    }
    let one = app.get("supervision/actors/root/ledger/batch_writer").await;
    assert_eq!(one["id"], "root/ledger/batch_writer");
    let missing = app
        .api(Method::GET, "supervision/actors/root/nobody", None)
        .await;
    assert_eq!(missing.status, 404);
}

#[tokio::test]
async fn restarting_any_actor_under_load_loses_nothing() {
    let app = Arc::new(App::serving().await);
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (app, stop) = (Arc::clone(&app), Arc::clone(&stop));
        load.spawn(async move {
            let mut ids = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                if number % 2 == 0 {
                    ids.push(app.chat("gpt-4o").await.expect_status(200).request_id());
                } else {
                    let mut stream = app.chat_stream("gpt-4o").await;
                    assert_eq!(
                        (stream.status, stream.rest().await),
                        (200, End::Clean),
                        "{}",
                        stream.text()
                    );
                    ids.push(stream.request_id());
                }
            }
            ids
        });
    }
    let actors: Vec<_> = tree(&app)
        .await
        .into_iter()
        .filter(|n| n["kind"] == "actor")
        .map(|n| n["id"].as_str().unwrap().to_owned())
        .collect();
    assert!(!actors.is_empty());
    for id in actors.iter().chain(&actors) {
        let before = app.get(&format!("supervision/actors/{id}")).await["restarts"]
            .as_u64()
            .unwrap();
        let answer = app
            .api(
                Method::POST,
                &format!("supervision/actors/{id}/restart"),
                None,
            )
            .await;
        assert!(
            (200..300).contains(&answer.status),
            "{id}: {} {}",
            answer.status,
            answer.text()
        );
        eventually(&format!("{id} is back"), || async {
            let node = app.get(&format!("supervision/actors/{id}")).await;
            (node["restarts"].as_u64().unwrap() > before && node["state"] == "running")
                .then_some(())
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut ids = HashSet::new();
    while let Some(done) = load.join_next().await {
        ids.extend(done.expect("no call may fail for a restart"));
    }
    assert!(ids.len() > 20, "{} calls are no load", ids.len());
    for id in &ids {
        app.record(id).await;
    }
    let [accepted, stored, spooled, dead_lettered, dropped] = app.loss_ledger().await;
    assert_eq!(
        (accepted, spooled, dead_lettered, dropped),
        (stored, 0, 0, 0)
    );
    assert_eq!(accepted, ids.len() as i64);
}

#[tokio::test]
async fn sigterm_lets_streams_end_and_exits_with_zero() {
    let mut app = App::serving().await;
    let mut stream = app.chat_stream("gpt-4o+n=30+pause_ms=50").await;
    stream.until("Hello").await;
    let id = stream.request_id();
    app.terminate();
    eventually("readiness is withdrawn", || async {
        let answer = app
            .http
            .try_call(Method::GET, &app.url("/readyz"), &[], "")
            .await;
        answer.map_or(true, |a| a.status != 200).then_some(())
    })
    .await;
    assert_eq!(stream.rest().await, End::Clean);
    assert!(stream.text().contains("[DONE]"));
    drop(stream);
    assert_eq!(app.exit_code().await, Some(0), "{}", app.log());
    app.start_process().await;
    app.admin = app.sign_in("admin", ADMIN_PASSWORD).await;
    assert_eq!(app.record(&id).await["status_code"], 200);
}

#[tokio::test]
async fn a_stream_longer_than_the_drain_is_cut_and_recorded() {
    let mut app = Setup::new()
        .set("SERVER__DRAIN_TIMEOUT_MS", 800)
        .serving()
        .await;
    let mut stream = app.chat_stream("gpt-4o+hang_after=4").await;
    stream.until("naïve").await;
    let id = stream.request_id();
    app.terminate();
    let end = stream.rest().await;
    assert!(
        end == End::Broken || stream.text().contains("error"),
        "{}",
        stream.text()
    );
    assert_eq!(app.exit_code().await, Some(0), "{}", app.log());
    app.start_process().await;
    app.admin = app.sign_in("admin", ADMIN_PASSWORD).await;
    let record = app.record(&id).await;
    assert_eq!(record["success"], false, "{record}");
}

#[tokio::test]
async fn a_restart_keeps_everything_and_a_second_process_is_refused() {
    let mut app = App::serving().await;
    let id = app.chat("gpt-4o").await.expect_status(200).request_id();
    let second = app
        .command(&["serve", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert!(
        !second.status.success(),
        "two processes on one data directory"
    );
    app.chat("gpt-4o").await.expect_status(200);
    app.terminate();
    assert_eq!(app.exit_code().await, Some(0));
    app.start_process().await;
    app.admin = app.sign_in("admin", ADMIN_PASSWORD).await;
    app.record(&id).await;
    app.post("/v1/chat/completions", &chat("gpt-4o"))
        .await
        .expect_status(200);
}
