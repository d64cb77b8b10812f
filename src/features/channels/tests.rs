use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use sea_orm::ConnectionTrait;
use serde_json::json;
use steward_actors::domain::clock::Clock;
use steward_actors::domain::notice::standard_webhooks::{Secret, signature};
use steward_entities::database::begin_write;
use steward_entities::scope::Page;
use steward_entities::{alert, alert_transition, channel, outbox};
use steward_migration::testing::TestDatabase;

use crate::testing::{Ask, World};

const CHANNELS: &str = "/api/v1/ops/alerts/channels";

/// A receiver on this machine: answers 202 where the signature is the one of `secret` and 401 otherwise; `/away` leads
/// elsewhere.
async fn receiver(secret: String) -> String {
    let hook = move |request: HttpRequest, body: web::Bytes| {
        let secret = secret.clone();
        async move {
            let header = |name| {
                let value = request
                    .headers()
                    .get(name)
                    .and_then(|value| value.to_str().ok());
                value.unwrap_or_default().to_owned()
            };
            let at = header("webhook-timestamp").parse().unwrap_or_default();
            let secret = [Secret::parse(&secret).unwrap()];
            let expected = signature(&secret, &header("webhook-id"), at, &body);
            let signed = header("webhook-signature");
            match signed.split(' ').any(|one| one == expected) {
                true => HttpResponse::Accepted().body("thank you"),
                false => HttpResponse::Unauthorized().body("who are you"),
            }
        }
    };
    let server = HttpServer::new(move || {
        App::new()
            .route("/hook", web::post().to(hook.clone()))
            .route(
                "/away",
                web::post().to(|| async {
                    let to = ("location", "http://169.254.169.254/");
                    HttpResponse::Found().insert_header(to).finish()
                }),
            )
    });
    let server = server.workers(1).bind(("127.0.0.1", 0)).unwrap();
    let address = server.addrs()[0];
    #[allow(
        clippy::disallowed_methods,
        reason = "the receiver is the test's, not the product's"
    )]
    actix_web::rt::spawn(server.run());
    format!("http://{address}")
}

#[actix_web::test]
async fn channels_are_made_tested_changed_and_removed() {
    lives(World::on(TestDatabase::sqlite().await, |config| {
        config.egress.allow_private = true
    }))
    .await;
}

#[actix_web::test]
async fn channels_are_made_tested_changed_and_removed_postgres() {
    lives(World::on(TestDatabase::postgres().await, |config| {
        config.egress.allow_private = true
    }))
    .await;
}

async fn lives(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let viewer = world.signed_in("eve", "ops_viewer").await;
    let secret = Secret::generate().unwrap().reveal().to_string();
    let base = receiver(secret.clone()).await;
    let url = format!("{base}/hook?key=canary-key");
    let new = json!({"name": "hook", "kind": "webhook", "url": url, "secret": secret});
    let made = Ask::post(CHANNELS, new.clone())
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.body["secret"], secret.as_str());
    assert_eq!(made.body["address"], format!("{base}/…"));
    let barred = Ask::post(CHANNELS, new).bearer(&viewer).to(&app).await;
    assert_eq!(barred.status, StatusCode::FORBIDDEN);
    let path = format!("{CHANNELS}/{}", made.body["id"].as_str().unwrap());
    // The receiver's own answer, and it is kept.
    let test = || Ask::post(&format!("{path}/test"), json!({})).bearer(&root);
    let tried = test().to(&app).await;
    assert_eq!(tried.body["outcome"], "delivered", "{tried:?}");
    assert_eq!(
        (&tried.body["status_code"], &tried.body["response"]),
        (&json!(202), &json!("thank you"))
    );
    // A new secret: the old one signs as well, for a day.
    let rotated = Ask::post(&format!("{path}/rotate"), json!({}))
        .bearer(&root)
        .to(&app)
        .await;
    assert!(
        rotated.body["secret"]
            .as_str()
            .unwrap()
            .starts_with("whsec_"),
        "{rotated:?}"
    );
    assert_eq!(test().to(&app).await.body["status_code"], 202);
    world.clock.advance_micros(25 * 3_600_000_000);
    let root = world.signed_in("ann", "ops_admin").await;
    let viewer = world.signed_in("fay", "ops_viewer").await;
    let test = || Ask::post(&format!("{path}/test"), json!({})).bearer(&root);
    let tried = test().to(&app).await;
    assert_eq!(
        (&tried.body["outcome"], &tried.body["response"]),
        (&json!("later"), &json!("who are you"))
    );
    // A redirect is not followed.
    let away = json!({"url": format!("{base}/away")});
    let moved = Ask::patch(&path, away).bearer(&root).to(&app).await;
    assert_eq!(moved.status, StatusCode::OK, "{moved:?}");
    assert_eq!(test().to(&app).await.body["status_code"], 302);
    let kept = Ask::get(&format!("{path}/deliveries"))
        .bearer(&viewer)
        .to(&app)
        .await;
    let codes: Vec<_> = kept.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["status_code"].clone())
        .collect();
    assert_eq!(codes, [302, 401, 202, 202]);
    // Neither the address's key nor a secret is told anywhere again.
    let mut said = Ask::get(CHANNELS).bearer(&root).to(&app).await.text;
    for action in [
        "channels.create",
        "channels.update",
        "channels.rotate",
        "channels.test",
    ] {
        let rows = world.audited(action).await;
        assert!(!rows.is_empty(), "{action}");
        said.push_str(&serde_json::to_string(&rows).unwrap());
    }
    assert!(
        !said.contains("canary-key") && !said.contains("whsec_"),
        "{said}"
    );
    let gone = Ask::delete(&path).bearer(&root).to(&app).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
}

#[actix_web::test]
async fn what_leads_inside_is_refused_and_bad_input_named() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    for url in [
        "http://127.0.0.1:9/hook",
        "http://localhost:9/hook",
        "http://169.254.169.254/latest",
        "http://10.1.2.3/",
        "http://[::1]/",
    ] {
        let new = json!({"name": "x", "kind": "webhook", "url": url});
        let refused = Ask::post(CHANNELS, new).bearer(&root).to(&app).await;
        assert_eq!(refused.body["code"], "egress_refused", "{url}: {refused:?}");
    }
    for (field, new) in [
        ("kind", json!({"name": "x", "kind": "pigeon"})),
        ("url", json!({"name": "x", "kind": "slack"})),
        ("to", json!({"name": "x", "kind": "email"})),
        (
            "to[0]",
            json!({"name": "x", "kind": "email", "to": ["nobody"]}),
        ),
        (
            "url",
            json!({"name": "x", "kind": "email", "to": ["a@example.com"], "url": "https://a.example"}),
        ),
    ] {
        let refused = Ask::post(CHANNELS, new).bearer(&root).to(&app).await;
        assert_eq!(refused.body["errors"][0]["field"], field, "{refused:?}");
    }
    // Without a relay the test says so.
    let new = json!({"name": "mail", "kind": "email", "to": ["a@example.com"]});
    let made = Ask::post(CHANNELS, new).bearer(&root).to(&app).await;
    let path = format!("{CHANNELS}/{}/test", made.body["id"].as_str().unwrap());
    let tried = Ask::post(&path, json!({})).bearer(&root).to(&app).await;
    assert_eq!(tried.body["outcome"], "later");
    assert!(
        tried.body["error"].as_str().unwrap().contains("smtp.url"),
        "{tried:?}"
    );
}

const RULES: &str = "/api/v1/ops/alerts/rules";

async fn keeps_secrets(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let new = json!({
        "name": "pager", "kind": "pagerduty", "url": "https://93.184.216.34/v2/enqueue", "secret": "canary-routing-key",
    });
    let made = Ask::post(CHANNELS, new).bearer(&root).to(&app).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let path = format!("{CHANNELS}/{}", made.body["id"].as_str().unwrap());
    let patch = |changes: serde_json::Value| Ask::patch(&path, changes).bearer(&root);
    // Whoever may change the address must not have the key sent to themselves.
    for url in [
        "https://93.184.216.35/v2/enqueue",
        "http://93.184.216.34/v2/enqueue",
    ] {
        let away = patch(json!({ "url": url })).to(&app).await;
        assert_eq!(away.status, StatusCode::UNPROCESSABLE_ENTITY, "{away:?}");
        assert_eq!(away.body["errors"][0]["field"], "secret", "{away:?}");
    }
    let kept = Ask::get(&path).bearer(&root).to(&app).await;
    assert_eq!(kept.body["address"], "https://93.184.216.34/…");
    let same = patch(json!({"url": "https://93.184.216.34/v3/enqueue"}))
        .to(&app)
        .await;
    assert_eq!(same.status, StatusCode::OK, "{same:?}");
    let both = json!({"url": "https://93.184.216.35/v2/enqueue", "secret": "another-key"});
    let both = patch(both).to(&app).await;
    assert_eq!(both.body["address"], "https://93.184.216.35/…", "{both:?}");
    // What signs a webhook is not sent, and is another's to change.
    let hook = json!({"name": "hook", "kind": "webhook", "url": "https://93.184.216.34/hook"});
    let hook = Ask::post(CHANNELS, hook).bearer(&root).to(&app).await;
    let path = format!("{CHANNELS}/{}", hook.body["id"].as_str().unwrap());
    let away = Ask::patch(&path, json!({"url": "https://93.184.216.35/hook"}));
    let away = away.bearer(&root).to(&app).await;
    assert_eq!(away.status, StatusCode::OK, "{away:?}");
}

#[actix_web::test]
async fn a_secret_is_wanted_anew_with_another_address() {
    keeps_secrets(World::sqlite().await).await;
}

#[actix_web::test]
async fn a_secret_is_wanted_anew_with_another_address_postgres() {
    keeps_secrets(World::postgres().await).await;
}

async fn keeps_named(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let mail =
        json!({"name": "mail", "kind": "email", "to": ["a@example.com"], "takes_all": false});
    let made = Ask::post(CHANNELS, mail).bearer(&root).to(&app).await;
    let id = made.body["id"].as_str().unwrap().to_owned();
    let rule = json!({"name": "slow_and_dear", "condition": "avg_latency_ms > 9000", "severity": "warning", "channels": [id]});
    let rule = Ask::post(RULES, rule).bearer(&root).to(&app).await;
    assert_eq!(rule.status, StatusCode::CREATED, "{rule:?}");
    let path = format!("{CHANNELS}/{id}");
    let refused = Ask::delete(&path).bearer(&root).to(&app).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:?}");
    assert!(refused.text.contains("slow_and_dear"), "{refused:?}");
    let rule = format!("{RULES}/{}", rule.body["id"].as_str().unwrap());
    let gone = Ask::delete(&rule).bearer(&root).to(&app).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{gone:?}");
    let gone = Ask::delete(&path).bearer(&root).to(&app).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{gone:?}");
}

#[actix_web::test]
async fn a_channel_that_a_rule_names_is_not_removed() {
    keeps_named(World::sqlite().await).await;
}

#[actix_web::test]
async fn a_channel_that_a_rule_names_is_not_removed_postgres() {
    keeps_named(World::postgres().await).await;
}

const NOTICES: &str = "/api/v1/ops/alerts/notices";

/// A notice of an incident for a channel, ended as said.
async fn ended(
    world: &World,
    (channel_id, transition_id, incident): (i64, i64, &str),
    (state, reason): (&'static str, &str),
    at: i64,
) -> outbox::Model {
    let txn = begin_write(&world.database.control).await.unwrap();
    let new = outbox::NewNotice {
        transition_id,
        channel_id,
        incident: incident.to_owned(),
        notice: "{".to_owned(),
    };
    let row = outbox::insert(&txn, new, at).await.unwrap();
    outbox::finish(&txn, &[row.id], state, Some(reason), at + 1)
        .await
        .unwrap();
    txn.commit().await.unwrap();
    row
}

/// An incident that began then, and is over at `end`.
async fn incident(world: &World, id: &str, at: i64, end: Option<i64>) -> i64 {
    let txn = begin_write(&world.database.control).await.unwrap();
    let new = alert::NewAlert {
        public_id: id.to_owned(),
        rule_id: "alr_x".to_owned(),
        rule: "too many errors".to_owned(),
        severity: "error".to_owned(),
        labels: Default::default(),
        condition: "error_rate > 0.1".to_owned(),
        value: "0.5".to_owned(),
        channels: Default::default(),
        active_at: at,
    };
    let row = alert::insert(&txn, new, at).await.unwrap();
    if let Some(end) = end {
        alert::resolve(&txn, &row, None, end).await.unwrap();
    }
    let step = alert_transition::Step {
        alert_id: row.id,
        event: "fired",
        value: "0.5",
        operator: None,
        told: true,
        rings: true,
    };
    let step = alert_transition::insert(&txn, step, at).await.unwrap();
    txn.commit().await.unwrap();
    step.id
}

async fn tells_what_nobody_got(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let viewer = world.signed_in("eve", "ops_viewer").await;
    // Nobody sends while this looks: the channel is off.
    let new =
        json!({"name": "chat", "kind": "slack", "url": "https://8.8.8.8/x", "enabled": false});
    let made = Ask::post(CHANNELS, new).bearer(&root).to(&app).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let read = &world.database.control_read;
    let hook = channel::all(read).await.unwrap().remove(0).id;
    let now = world.clock.now_micros();
    let begun = now - 4 * 86_400_000_000;
    for id in ["alt_a", "alt_c", "alt_d", "alt_e", "alt_f", "alt_g"] {
        incident(&world, id, begun, None).await;
    }
    let poison = ended(
        &world,
        (hook, 101, "alt_a"),
        (outbox::QUARANTINED, "cannot be read"),
        begun,
    )
    .await;
    let dead = ended(
        &world,
        (hook, 102, "alt_b"),
        (outbox::GIVEN_UP, "answered 400"),
        begun,
    )
    .await;
    let later = ended(&world, (hook, 103, "alt_b"), (outbox::DELIVERED, ""), begun).await;

    // A page at a time, newest first; what was delivered is not among them.
    let list = |query: &str| Ask::get(&format!("{NOTICES}/undelivered{query}")).bearer(&viewer);
    let first = list("?limit=1").to(&app).await;
    assert_eq!(first.status, StatusCode::OK, "{first:?}");
    assert_eq!(
        (&first.body["total"], &first.body["items"][0]["id"]),
        (&json!(2), &json!(dead.public_id))
    );
    let next = first.body["next_cursor"].as_str().unwrap();
    let second = list(&format!("?limit=1&cursor={next}")).to(&app).await;
    let one = &second.body["items"][0];
    assert_eq!(one["id"], poison.public_id.as_str(), "{second:?}");
    assert_eq!(
        (
            &one["state"],
            &one["reason"],
            &one["channel_name"],
            &one["kind"]
        ),
        (
            &json!("quarantined"),
            &json!("cannot be read"),
            &json!("chat"),
            &json!("alert")
        )
    );
    assert!(second.body["next_cursor"].is_null());

    // Who may only look changes nothing.
    let act = |row: &outbox::Model, what: &str| {
        Ask::post(&format!("{NOTICES}/{}/{what}", row.public_id), json!({}))
    };
    let barred = act(&poison, "send").bearer(&viewer).to(&app).await;
    assert_eq!(barred.status, StatusCode::FORBIDDEN);
    // An alert does not begin after its end was told.
    let overtaken = act(&dead, "send").bearer(&root).to(&app).await;
    assert_eq!(
        (overtaken.status, &overtaken.body["code"]),
        (StatusCode::CONFLICT, &json!("conflict"))
    );
    for what in ["send", "discard"] {
        let refused = act(&later, what).bearer(&root).to(&app).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{what}: {refused:?}");
    }
    // Twice is once; the id stays, and its three days begin anew.
    for _ in 0..2 {
        let sent = act(&poison, "send").bearer(&root).to(&app).await;
        assert_eq!(
            (sent.status, &sent.body["state"]),
            (StatusCode::OK, &json!("waiting")),
            "{sent:?}"
        );
        let gone = act(&dead, "discard").bearer(&root).to(&app).await;
        assert_eq!(
            (gone.status, &gone.body["state"]),
            (StatusCode::OK, &json!("discarded")),
            "{gone:?}"
        );
    }
    assert_eq!(world.audited("notices.send").await.len(), 1);
    assert_eq!(world.audited("notices.discard").await.len(), 1);
    let waiting = outbox::waiting(read, hook, 10).await.unwrap();
    let (row, at) = (&waiting[0], world.clock.now_micros());
    assert_eq!(
        (waiting.len(), &row.public_id, row.attempts),
        (1, &poison.public_id, 0)
    );
    assert_eq!((row.created_at, row.next_at, row.done_at), (at, at, None));
    assert_eq!(list("").to(&app).await.body["total"], 0);
    let unknown = Ask::post(&format!("{NOTICES}/msg_none/send"), json!({})).bearer(&root);
    assert_eq!(unknown.to(&app).await.status, StatusCode::NOT_FOUND);

    // Of a message of several all go again, as that message; where the receiver has a part, the rest goes by itself.
    let gather = async |incidents: [(i64, &str, &'static str); 2], batch: &str| {
        let mut rows = Vec::new();
        for (step, incident, state) in incidents {
            rows.push(ended(&world, (hook, step, incident), (state, "why"), at).await);
        }
        let spell = format!(
            "UPDATE outbox SET batch = '{batch}' WHERE id IN ({}, {})",
            rows[0].id, rows[1].id
        );
        world
            .database
            .control
            .execute_unprepared(&spell)
            .await
            .unwrap();
        let sent = act(&rows[0], "send").bearer(&root).to(&app).await;
        assert_eq!(sent.status, StatusCode::OK, "{sent:?}");
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let waiting = outbox::waiting(read, hook, 10).await.unwrap();
        let those = waiting.into_iter().filter(|row| ids.contains(&row.id));
        those.map(|row| row.batch).collect::<Vec<_>>()
    };
    let whole = [
        (104, "alt_c", outbox::GIVEN_UP),
        (105, "alt_d", outbox::GIVEN_UP),
    ];
    assert_eq!(
        gather(whole, "msg_whole").await,
        [Some("msg_whole".to_owned()), Some("msg_whole".to_owned())]
    );
    let part = [
        (106, "alt_e", outbox::QUARANTINED),
        (107, "alt_f", outbox::DELIVERED),
    ];
    assert_eq!(gather(part, "msg_part").await, [None]);

    // Of an incident that is over only its end may still be told.
    let step = incident(&world, "alt_over", at, Some(at + 60)).await;
    // What was one message with it goes without it, as a new one.
    let mixed = [
        (108, "alt_g", outbox::GIVEN_UP),
        (step, "alt_over", outbox::GIVEN_UP),
    ];
    assert_eq!(gather(mixed, "msg_mixed").await, [None]);
    // An incident that nobody knows any more is over.
    let gone = ended(
        &world,
        (hook, 109, "alt_gone"),
        (outbox::GIVEN_UP, "answered 400"),
        at,
    )
    .await;
    let refused = act(&gone, "send").bearer(&root).to(&app).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:?}");
    let all = Page {
        after: None,
        limit: 50,
    };
    let begin = outbox::undelivered(read, all).await.unwrap();
    let begin = begin
        .into_iter()
        .find(|row| row.incident == "alt_over")
        .unwrap();
    let over = act(&begin, "send").bearer(&root).to(&app).await;
    assert_eq!(over.status, StatusCode::CONFLICT, "{over:?}");
    let end = ended(
        &world,
        (hook, 110, "alt_over"),
        (outbox::GIVEN_UP, "answered 400"),
        at + 60,
    )
    .await;
    let told = list("").to(&app).await;
    assert_eq!(
        told.body["items"][0]["subject"], "too many errors",
        "{told:?}"
    );
    for row in [&end, &begin] {
        let sent = act(row, "send").bearer(&root).to(&app).await;
        assert_eq!(sent.status, StatusCode::OK, "{sent:?}");
    }
    // Nobody took either: the beginning is as old as it was, however often it is sent.
    let txn = begin_write(&world.database.control).await.unwrap();
    outbox::finish(
        &txn,
        &[begin.id, end.id],
        outbox::GIVEN_UP,
        Some("why"),
        at + 90,
    )
    .await
    .unwrap();
    txn.commit().await.unwrap();
    let over = act(&begin, "send").bearer(&root).to(&app).await;
    assert_eq!(over.status, StatusCode::CONFLICT, "{over:?}");
}

#[actix_web::test]
async fn what_nobody_got_is_listed_sent_again_and_discarded() {
    tells_what_nobody_got(World::sqlite().await).await;
}

#[actix_web::test]
async fn what_nobody_got_is_listed_sent_again_and_discarded_postgres() {
    tells_what_nobody_got(World::postgres().await).await;
}
