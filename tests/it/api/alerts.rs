//! Alerts through the real program: an upstream that fails makes a rule fire, a receiver on this machine gets signed
//! notices, and neither an outage of the receiver nor `kill -9` loses or reorders one.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};
use steward_actors::domain::notice::standard_webhooks::{Secret, signature};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{App, Setup, eventually};

/// What a receiver was told: id, event, and whether the signature was right.
type Told = Arc<Mutex<Vec<(String, String, bool)>>>;

/// Takes notices on `address` until the test ends.
async fn receive(address: SocketAddr, secret: &str, told: &Told) {
    let listener = TcpListener::bind(address)
        .await
        .expect("the receiver's port");
    let (secret, told) = (Secret::parse(secret).expect("a secret"), Arc::clone(told));
    #[allow(
        clippy::disallowed_methods,
        reason = "the receiver is the test's, not the product's"
    )]
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            if let Some(notice) = take(socket, &secret).await {
                told.lock().push(notice);
            }
        }
    });
}

async fn take(mut socket: TcpStream, secret: &Secret) -> Option<(String, String, bool)> {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        let mut piece = [0; 4_096];
        match socket.read(&mut piece).await.ok()? {
            0 => return None,
            n => bytes.extend_from_slice(&piece[..n]),
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_ascii_lowercase();
        let length = head
            .split("content-length: ")
            .nth(1)?
            .split("\r\n")
            .next()?;
        if body.len() >= length.parse::<usize>().ok()? {
            break (text.split("\r\n\r\n").next()?.to_owned(), body.to_owned());
        }
    };
    let header = |name: &str| {
        let line = head
            .lines()
            .find(|line| line.to_ascii_lowercase().starts_with(name));
        line.and_then(|line| line.split_once(": "))
            .map(|(_, value)| value.to_owned())
    };
    let id = header("webhook-id")?;
    let at = header("webhook-timestamp")?.parse().ok()?;
    let signed = signature(std::slice::from_ref(secret), &id, at, body.as_bytes());
    let right = header("webhook-signature")? == signed;
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    socket.write_all(answer.as_bytes()).await.ok()?;
    let told: Value = serde_json::from_str(&body).ok()?;
    Some((id, told["type"].as_str()?.to_owned(), right))
}

/// A port that nobody listens on.
async fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    listener
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
}

async fn watched(receiver: SocketAddr) -> (App, String) {
    let setup = Setup::new()
        .set("ALERTS__INTERVAL_MS", 200)
        .set("EGRESS__ALLOW_PRIVATE", true);
    let app = setup.serving().await;
    // What came with the program would fire as well.
    app.api(Method::PUT, "ops/alerts/rules", Some(json!({"rules": []})))
        .await
        .expect_status(200);
    let channel =
        json!({"name": "hook", "kind": "webhook", "url": format!("http://{receiver}/hook")});
    let channel = app.create("ops/alerts/channels", channel).await;
    let rule = json!({"name": "errors", "condition": "error_rate > 0.5", "severity": "error",
        "channels": [channel["id"]]});
    app.create("ops/alerts/rules", rule).await;
    (
        app,
        channel["secret"].as_str().expect("a secret").to_owned(),
    )
}

/// Waits until so many incidents stand in a list.
async fn incidents(app: &App, list: &str, count: u64) -> Value {
    eventually(&format!("{count} incidents in {list}"), || async {
        let found = app.get(&format!("ops/alerts/{list}")).await;
        (found["total"] == count).then_some(found)
    })
    .await
}

/// An upstream that fails, and one that does well again.
async fn trouble(app: &App) {
    app.chat("gpt-4o+status=500").await;
    incidents(app, "active", 1).await;
}

async fn recovery(app: &App) {
    for _ in 0..4 {
        app.chat("gpt-4o").await.expect_status(200);
    }
    incidents(app, "active", 0).await;
}

#[actix_web::test]
async fn a_failing_upstream_is_told_and_its_recovery_too() {
    let receiver = free_port().await;
    let (app, secret) = watched(receiver).await;
    let told = Told::default();
    receive(receiver, &secret, &told).await;
    trouble(&app).await;
    eventually("the fire", || async {
        (told.lock().len() == 1).then_some(())
    })
    .await;
    recovery(&app).await;
    eventually("the end", || async {
        (told.lock().len() == 2).then_some(())
    })
    .await;
    let told = told.lock().clone();
    let events: Vec<(&str, bool)> = told
        .iter()
        .map(|(_, event, right)| (event.as_str(), *right))
        .collect();
    assert_eq!(events, [("alert.fired", true), ("alert.resolved", true)]);
    let history = incidents(&app, "history", 1).await;
    assert_eq!(history["items"][0]["status"], "resolved");
    assert_eq!(history["items"][0]["value"], "1");
}

#[actix_web::test]
async fn an_outage_of_the_receiver_and_a_kill_lose_nothing() {
    let receiver = free_port().await;
    let (mut app, secret) = watched(receiver).await;
    trouble(&app).await;
    recovery(&app).await;
    app.kill();
    let told = Told::default();
    receive(receiver, &secret, &told).await;
    app.start_process().await;
    eventually("both notices", || async {
        (told.lock().len() >= 2).then_some(())
    })
    .await;
    let mut told = told.lock().clone();
    assert!(told.iter().all(|(.., right)| *right), "{told:?}");
    told.dedup();
    let events: Vec<&str> = told.iter().map(|(_, event, _)| event.as_str()).collect();
    assert_eq!(events, ["alert.fired", "alert.resolved"]);
}

#[actix_web::test]
async fn how_often_rules_are_evaluated_is_changed_while_it_runs() {
    let app = App::serving().await;
    app.api(Method::PUT, "ops/alerts/rules", Some(json!({"rules": []})))
        .await
        .expect_status(200);
    let rule = json!({"name": "errors", "condition": "error_rate > 0.5", "severity": "error"});
    app.create("ops/alerts/rules", rule).await;
    // The next round would be a minute away.
    let often = json!({"interval_ms": 200});
    app.api(Method::PUT, "ops/config/alerts", Some(often))
        .await
        .expect_status(200);
    trouble(&app).await;
}
