//! Live push over real sockets: news, replay and gaps, permissions, and sessions that end when they must.

pub mod socket;

use http::Method;
use serde_json::{Value, json};

use crate::support::{App, Setup, eventually};
use socket::{Socket, knock, ticket};

/// The message that tells of the call `id`.
fn tells_of(id: &str) -> impl Fn(&Value) -> bool + '_ {
    move |message| {
        let items = message["data"]["items"].as_array();
        message["topic"] == "requests"
            && items.is_some_and(|items| items.iter().any(|item| item["id"] == id))
    }
}

/// A call through the gateway; its id.
async fn call(app: &App) -> String {
    let answer = app.chat("gpt-4o-mini").await.expect_status(200);
    answer.header("x-request-id").expect("an id").to_owned()
}

async fn sessions(app: &App) -> u64 {
    let page = app
        .http
        .call(Method::GET, &app.url("/metrics"), &[], "")
        .await
        .text();
    let line = page
        .lines()
        .find(|line| line.starts_with("steward_push_sessions "));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
        .expect("the metric")
}

#[tokio::test]
async fn a_call_is_told_as_it_is_listed_and_the_numbers_move() {
    let app = App::serving().await;
    let mut socket = Socket::on(&app, &app.admin, &["stats", "requests"]).await;
    let before = socket.until(|message| message["topic"] == "stats").await;
    assert_eq!(before["epoch"], socket.epoch);
    assert!(before["data"]["in_flight"].is_u64(), "{before}");
    let id = call(&app).await;
    let news = socket.until(tells_of(&id)).await;
    assert_eq!(
        (&news["seq"], &news["data"]["sampled"]),
        (&json!(1), &Value::Null)
    );
    // The very row of the list.
    let listed = app.get("logs/requests?limit=1").await["items"][0].clone();
    assert_eq!(news["data"]["items"][0], listed);
    let today = |message: &Value| message["data"]["today"]["request_count"] == 1;
    socket
        .until(|message| message["topic"] == "stats" && today(message))
        .await;
    socket
        .say(json!({"op": "unsubscribe", "topics": ["stats", "requests"]}))
        .await;
    socket.say(json!({"op": "ping"})).await;
    socket.until(|message| message["op"] == "pong").await;
    call(&app).await;
    socket
        .say(json!({"op": "subscribe", "topics": ["supervision"]}))
        .await;
    let tree = socket
        .until(|message| {
            assert_ne!(message["topic"], "requests", "not any more");
            message["topic"] == "supervision"
        })
        .await;
    assert_eq!(tree["data"]["tree"]["id"], "root");
    assert_eq!(tree["data"]["ledger"]["balanced"], true);
}

#[tokio::test]
async fn who_was_away_gets_what_was_missed_or_is_told_of_a_gap() {
    let mut app = App::serving().await;
    let mut socket = Socket::on(&app, &app.admin, &["requests"]).await;
    let epoch = socket.epoch;
    let first = call(&app).await;
    let seq = socket.until(tells_of(&first)).await["seq"]
        .as_i64()
        .unwrap();
    drop(socket);
    let missed = call(&app).await;
    app.record(&missed).await;

    let since = |epoch: i64, seq: i64| json!({"op": "subscribe", "topics": ["requests"], "since": {"requests": seq}, "epoch": epoch});
    let mut back = Socket::open(&app, &app.admin).await;
    back.say(since(epoch, seq)).await;
    assert_eq!(
        back.until(|message| message["op"] != "pong").await["op"],
        "subscribed"
    );
    assert_eq!(back.until(tells_of(&missed)).await["seq"], seq + 1);
    for (epoch, seq) in [(epoch - 1, seq), (epoch, 10_000), (epoch, -1)] {
        back.say(since(epoch, seq)).await;
        let told = back.next().await;
        assert_eq!(
            (&told["topic"], &told["gap"]),
            (&json!("requests"), &json!(true)),
            "{told}"
        );
        assert_eq!(back.next().await["op"], "subscribed");
    }
    // Another process counts anew, and says so.
    app.kill();
    app.start_process().await;
    let admin = app
        .sign_in("admin", crate::support::app::ADMIN_PASSWORD)
        .await;
    let mut again = Socket::open(&app, &admin).await;
    assert_ne!(again.epoch, epoch);
    again.say(since(epoch, seq)).await;
    assert_eq!(again.next().await["gap"], true);
}

#[tokio::test]
async fn nonsense_is_answered_and_topics_take_their_permission() {
    let app = Setup::new().start().await;
    app.create(
        "ops/roles",
        json!({"name": "counter", "permissions": ["read:stats"]}),
    )
    .await;
    let (_, bearer) = app.operator("carl", "counter").await;
    let mut socket = Socket::open(&app, &bearer).await;
    socket
        .say(json!({"op": "subscribe", "topics": ["requests", "gossip", "logs:warn", "stats"]}))
        .await;
    let mut codes = Vec::new();
    for _ in 0..3 {
        let told = socket.next().await;
        codes.push((told["topic"].clone(), told["code"].clone()));
    }
    let expected = [
        ("requests", "forbidden"),
        ("gossip", "topic_unknown"),
        ("logs:warn", "topic_unknown"),
    ];
    assert_eq!(
        codes,
        expected.map(|(topic, code)| (json!(topic), json!(code)))
    );
    assert_eq!(socket.next().await["topics"], json!(["stats"]));
    for nonsense in [
        "",
        "{",
        "null",
        "[]",
        r#"{"op":"fly"}"#,
        r#"{"op":"subscribe","topics":7}"#,
        "\u{0}",
    ] {
        socket.send(nonsense.to_owned()).await;
        let told = socket.until(|message| message["topic"] != "stats").await;
        assert_eq!(told["code"], "invalid_request", "{nonsense}: {told}");
    }
    socket
        .say(json!({"op": "subscribe", "topics": vec!["stats"; 100]}))
        .await;
    assert_eq!(
        socket.until(|message| message["op"] == "error").await["code"],
        "invalid_request"
    );
    socket.send(format!("{:20000}", "")).await;
    assert_eq!(socket.closed().await, 1009);
}

#[tokio::test]
async fn a_ticket_opens_once_and_only_from_our_own_pages() {
    let app = Setup::new()
        .set("SERVER__ALLOWED_ORIGINS", "https://ops.example")
        .start()
        .await;
    let used = ticket(&app, &app.admin).await;
    let own = format!("http://{}", app.address);
    assert_eq!(
        knock(&app, &used, Some("https://evil.example")).await.0,
        403
    );
    let (status, open) = knock(&app, &used, Some(&own)).await;
    assert_eq!(status, 101);
    assert_eq!(knock(&app, &used, Some(&own)).await.0, 401);
    assert_eq!(knock(&app, "made-up", None).await.0, 401);
    let new = json!({"username": "nina", "password": "the administrator's choice", "role": "ops_viewer", "display_name": "Nina", "must_change_password": true});
    app.create("ops/users", new).await;
    let given = app.sign_in("nina", "the administrator's choice").await;
    let refused = app
        .api_as(&given, Method::POST, "auth/ws-ticket", None)
        .await;
    assert_eq!(
        refused.expect_status(403).json()["code"],
        "password_change_required"
    );
    let listed = ticket(&app, &app.admin).await;
    assert_eq!(
        knock(&app, &listed, Some("https://ops.example")).await.0,
        101
    );
    eventually("one session", || async {
        (sessions(&app).await == 1).then_some(())
    })
    .await;
    drop(open);
    eventually("no session", || async {
        (sessions(&app).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn whoever_loses_standing_loses_their_sockets_at_once() {
    let app = Setup::new().start().await;
    let mut bystander = Socket::on(&app, &app.admin, &["jobs"]).await;

    let (_, out) = app.operator("olga", "ops_viewer").await;
    let mut socket = Socket::on(&app, &out, &["stats"]).await;
    app.api_as(&out, Method::POST, "auth/logout", None)
        .await
        .expect_status(204);
    assert_eq!(socket.closed().await, 4401, "signed out");

    let (id, disabled) = app.operator("dora", "ops_viewer").await;
    let mut socket = Socket::on(&app, &disabled, &["stats"]).await;
    app.patch(&format!("ops/users/{id}"), json!({"enabled": false}))
        .await;
    assert_eq!(socket.closed().await, 4401, "disabled");

    app.create(
        "ops/roles",
        json!({"name": "counter", "permissions": ["read:stats"]}),
    )
    .await;
    let (id, moved) = app.operator("mona", "ops_viewer").await;
    let mut socket = Socket::on(&app, &moved, &["supervision"]).await;
    app.patch(&format!("ops/users/{id}"), json!({"role": "counter"}))
        .await;
    assert_eq!(socket.closed().await, 4401, "another role");

    bystander.say(json!({"op": "ping"})).await;
    bystander.until(|message| message["op"] == "pong").await;
}

#[tokio::test]
async fn a_reader_that_stalls_is_let_go_and_the_others_stay() {
    let app = Setup::new()
        .set("SERVER__HEARTBEAT_MS", 200)
        .serving()
        .await;
    let stalled = Socket::on(&app, &app.admin, &["stats", "requests"]).await;
    let mut reader = Socket::on(&app, &app.admin, &["requests"]).await;
    let gone = async {
        let deadline = tokio::time::Instant::now() + crate::support::PATIENCE;
        while sessions(&app).await != 1 {
            assert!(tokio::time::Instant::now() < deadline, "it is still there");
            // The other one reads, and so answers its pings.
            reader.say(json!({"op": "ping"})).await;
            reader.until(|message| message["op"] == "pong").await;
        }
    };
    assert_eq!(stalled.stall_until(gone).await, 4408);
    let id = call(&app).await;
    reader.until(tells_of(&id)).await;
}

/// Waits until nobody is there; `meanwhile` is done between two looks.
async fn until_gone(app: &App, mut meanwhile: impl AsyncFnMut()) {
    let deadline = tokio::time::Instant::now() + crate::support::PATIENCE;
    while sessions(app).await != 0 {
        assert!(tokio::time::Instant::now() < deadline, "it is still there");
        meanwhile().await;
    }
}

#[tokio::test]
async fn writing_is_no_sign_of_life_of_a_client_that_never_reads() {
    let app = Setup::new()
        .set("SERVER__HEARTBEAT_MS", 200)
        .serving()
        .await;
    let mut socket = Socket::open(&app, &app.admin).await;
    until_gone(&app, async || {
        socket.try_say(json!({"op": "ping"})).await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_asks_on_and_on_and_never_reads_is_let_go_before_its_heart_is_missed() {
    let app = App::serving().await;
    let mut socket = Socket::open(&app, &app.admin).await;
    // More answers than anybody is owed: the heartbeat of fifteen seconds has no time to miss it.
    for _ in 0..4_000 {
        if !socket.try_say(json!({"op": "ping"})).await {
            break;
        }
    }
    until_gone(&app, async || {}).await;
}

#[tokio::test]
async fn a_process_that_goes_down_says_so() {
    let mut app = Setup::new().start().await;
    let mut socket = Socket::on(&app, &app.admin, &["stats"]).await;
    app.terminate();
    assert_eq!(socket.closed().await, 1001);
    drop(socket);
    assert_eq!(app.exit_code().await, Some(0));
}

#[tokio::test]
async fn jobs_and_breakers_are_followed() {
    let app = App::serving().await;
    let mut socket = Socket::on(&app, &app.admin, &["jobs", "health"]).await;
    let health = socket.until(|message| message["topic"] == "health").await;
    let accounts = health["data"]["accounts"].as_array().unwrap();
    assert_eq!(accounts.len(), 2);
    assert!(
        accounts.iter().all(|account| account["state"] == "closed"),
        "{health}"
    );
    let job = app
        .api(Method::POST, "logs/dead-letters/replay", Some(json!({})))
        .await;
    let id = job.expect_status(202).json()["job"]["id"].clone();
    let done =
        |message: &Value| message["data"]["id"] == id && message["data"]["state"] == "succeeded";
    socket.until(done).await;
}

#[tokio::test]
async fn the_log_is_followed_and_read() {
    let app = Setup::new().start().await;
    let mut socket = Socket::on(&app, &app.admin, &["logs:WARN"]).await;
    let wrong = json!({"username": "admin", "password": "sk-ant-0123456789abcdef0123456789"});
    app.api_as("", Method::POST, "auth/login", Some(wrong))
        .await
        .expect_status(401);
    let failed = |message: &Value| {
        let lines = message["data"]["lines"].as_array();
        lines.is_some_and(|lines| {
            lines
                .iter()
                .any(|line| line["message"] == "a sign-in failed")
        })
    };
    let news = socket.until(failed).await;
    assert_eq!(news["topic"], "logs:WARN");
    let line = &news["data"]["lines"][0];
    assert_eq!(
        (&line["level"], &line["fields"]["username"]),
        (&json!("WARN"), &json!("admin"))
    );
    assert!(line["request_id"].is_string(), "{line}");
    let listed = app.get("ops/logs/query?level=WARN&keyword=ADMIN").await;
    assert_eq!(&listed["items"][0], line);
    let everything = app.get("ops/logs/query?limit=200").await.to_string();
    assert!(everything.contains("listening") && !everything.contains("0123456789abcdef"));
}
