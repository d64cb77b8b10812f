//! Every actor of the running program goes wrong under load, in every way: nothing is lost, nobody else is touched, it
//! is back, and the supervision API tells why it was away.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::tree;
use crate::support::app::ADMIN_PASSWORD;
use crate::support::client::End;
use crate::support::{App, Setup, eventually};

/// Long enough for a busy machine, short enough for a test.
const SILENCE_MAX_MS: u64 = 1_000;
/// A blocked thread is given up long before it returns.
const BLOCK_MS: u64 = 8_000;

/// Callers who expect that nothing ever fails.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    callers: JoinSet<Vec<String>>,
}

impl Load {
    fn start(app: &Arc<App>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let mut callers = JoinSet::new();
        for number in 0..6 {
            let (app, stop) = (Arc::clone(app), Arc::clone(&stop));
            let answered = Arc::clone(&answered);
            callers.spawn(async move {
                let mut ids = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    if number % 2 == 0 {
                        ids.push(app.chat("gpt-4o").await.expect_status(200).request_id());
                    } else {
                        let mut stream = app.chat_stream("gpt-4o").await;
                        assert_eq!((stream.status, stream.rest().await), (200, End::Clean));
                        ids.push(stream.request_id());
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                ids
            });
        }
        Self {
            stop,
            answered,
            callers,
        }
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Ids of the answers that were seen to their end.
    async fn finish(mut self) -> HashSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut ids = HashSet::new();
        while let Some(done) = self.callers.join_next().await {
            ids.extend(done.expect("no call may fail because an actor does"));
        }
        ids
    }
}

async fn actors(app: &App) -> Vec<Value> {
    let mut all = tree(app).await;
    all.retain(|node| node["kind"] == "actor");
    all
}

fn restarts(nodes: &[Value]) -> HashMap<String, u64> {
    nodes
        .iter()
        .map(|node| {
            let id = node["id"].as_str().unwrap().to_owned();
            (id, node["restarts"].as_u64().unwrap())
        })
        .collect()
}

async fn strike(app: &App, id: &str, fault: &str) {
    let path = format!("supervision/actors/{id}/fault");
    let body = json!({"fault": fault, "block_ms": BLOCK_MS});
    let answer = app.api(Method::POST, &path, Some(body)).await;
    assert_eq!(answer.status, 202, "{id} {fault}: {}", answer.text());
}

/// Waits until the actor runs again, having been replaced; answers what the API says of its end.
async fn back(app: &App, id: &str, before: u64) -> Value {
    eventually(&format!("{id} is back"), || async {
        let node = app.get(&format!("supervision/actors/{id}")).await;
        let back = node["restarts"].as_u64().unwrap() > before && node["state"] == "running";
        back.then(|| node["last_exit"].clone())
    })
    .await
}

/// One fault, one actor after the other. Each fault has a Steward of its own: a group whose children fail again and
/// again within a minute gives up on purpose and is restarted whole, which is not what is asked here.
async fn each_actor_suffers(fault: &str, reason: &str) {
    let app = Setup::new()
        .set("SUPERVISION__FAULT_DRILLS", true)
        .set("SUPERVISION__SILENCE_MAX_MS", SILENCE_MAX_MS)
        .serving()
        .await;
    let app = Arc::new(app);
    let load = Load::start(&app);
    for id in restarts(&actors(&app).await).keys() {
        let before = restarts(&actors(&app).await);
        let calls = load.answered();
        strike(&app, id, fault).await;
        let exit = back(&app, id, before[id]).await;
        assert_eq!(exit["reason"], reason, "{id} {fault}: {exit}");
        for (other, after) in restarts(&actors(&app).await) {
            assert!(
                other == *id || after == before[&other],
                "{other} was restarted because {id} suffered {fault}"
            );
        }
        eventually("calls go on", || async {
            (load.answered() > calls).then_some(())
        })
        .await;
    }
    let ids = load.finish().await;
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
async fn any_actor_panics_under_load() {
    each_actor_suffers("panic", "panicked").await;
}

#[tokio::test]
async fn what_any_actor_started_panics_under_load() {
    each_actor_suffers("panic_spawned", "panicked").await;
}

#[tokio::test]
async fn any_actor_fails_under_load() {
    each_actor_suffers("fail", "failed").await;
}

#[tokio::test]
async fn any_actor_is_stuck_under_load() {
    each_actor_suffers("hang", "hung").await;
}

#[tokio::test]
async fn any_actor_blocks_its_thread_under_load() {
    each_actor_suffers("block", "hung").await;
}

#[tokio::test]
async fn every_actor_at_once() {
    let app = Setup::new()
        .set("SUPERVISION__FAULT_DRILLS", true)
        .set("SUPERVISION__SILENCE_MAX_MS", SILENCE_MAX_MS)
        .serving()
        .await;
    let app = Arc::new(app);
    let load = Load::start(&app);
    for fault in ["panic", "block"] {
        let before = restarts(&actors(&app).await);
        for id in before.keys() {
            strike(&app, id, fault).await;
        }
        for (id, times) in &before {
            back(&app, id, *times).await;
        }
    }
    let ids = load.finish().await;
    for id in &ids {
        app.record(id).await;
    }
    assert_eq!(app.loss_ledger().await[0], ids.len() as i64);
}

#[tokio::test]
async fn a_drill_takes_leave() {
    let app = App::serving().await;
    let path = "supervision/actors/root/ledger/batch_writer/fault";
    let body = || Some(json!({"fault": "panic"}));
    let refused = app.api(Method::POST, path, body()).await;
    assert_eq!(refused.expect_status(403).json()["code"], "forbidden");

    let app = Setup::new()
        .set("SUPERVISION__FAULT_DRILLS", true)
        .start()
        .await;
    for (path, body, status) in [
        (path, json!({"fault": "sulk"}), 422),
        (path, json!({"fault": "block", "block_ms": 0}), 422),
        (
            "supervision/actors/root/ledger/fault",
            json!({"fault": "panic"}),
            404,
        ),
        (
            "supervision/actors/root/nobody/fault",
            json!({"fault": "panic"}),
            404,
        ),
    ] {
        let answer = app.api(Method::POST, path, Some(body)).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    let (_, viewer) = app.operator("eve", "ops_viewer").await;
    let answer = app.api_as(&viewer, Method::POST, path, body()).await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn a_foundation_that_fails_again_and_again_ends_the_process_with_70_and_loses_nothing() {
    let mut app = Setup::new()
        .set("SUPERVISION__FAULT_DRILLS", true)
        .set("API__RATE_LIMIT_PER_OPERATOR", 1_000_000)
        .set("API__RATE_LIMIT_PER_ADDRESS", 1_000_000)
        .serving()
        .await;
    let id = app.chat("gpt-4o").await.expect_status(200).request_id();
    let authorization = format!("Bearer {}", app.admin);
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
    ];
    let keepers = ["settings_keeper", "snapshot_keeper"].map(|keeper| {
        app.url(&format!(
            "/api/v1/supervision/actors/root/foundation/{keeper}/fault"
        ))
    });
    // Both at once, whenever they are there: the group gives up after six failures, the root after six groups.
    // With the pauses before each restart that takes some seconds.
    let deadline = Instant::now() + Duration::from_secs(60);
    'striking: loop {
        for keeper in &keepers {
            let body = json!({"fault": "fail"}).to_string();
            let struck = app.http.try_call(Method::POST, keeper, &headers, body);
            if struck.await.is_err() {
                break 'striking; // Nobody listens any more.
            }
        }
        assert!(Instant::now() < deadline, "it goes on:\n{}", app.log());
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    assert_eq!(app.exit_code().await, Some(70), "{}", app.log());
    // The whole chain of causes, from the root to the actor.
    let log = app.log();
    let last = log
        .lines()
        .rfind(|line| line.contains("the supervision tree gave up"))
        .unwrap_or_else(|| panic!("{log}"));
    for part in ["root/foundation", "keeper"] {
        assert!(last.contains(part), "{part} in {last}");
    }
    app.start_process().await;
    app.admin = app.sign_in("admin", ADMIN_PASSWORD).await;
    assert_eq!(app.record(&id).await["status_code"], 200);
    app.chat("gpt-4o").await.expect_status(200);
}
