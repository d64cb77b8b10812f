//! The promises about reports: what is due is asked for once, what was counted arrives, and a report says why it did not.

use serde_json::{Value, json};
use steward_actors::domain::clock::Clock;
use steward_actors::domain::report::table::Table;
use steward_actors::reports::{self, Ask, look};
use steward_entities::database::begin_write;
use steward_entities::scope::{Page, Scope};
use steward_entities::{channel, job, outbox, report, report_run};
use steward_migration::testing::TestDatabase;

use crate::rounds::on_both;
use crate::world::{MINUTE, START, World};

on_both! {
    what_is_due_is_asked_for_once what_is_due_is_asked_for_once_postgres once;
    a_mail_arrives_with_its_pictures_after_an_outage a_mail_arrives_with_its_pictures_after_an_outage_postgres mailed;
    programs_and_chats_are_told programs_and_chats_are_told_postgres told;
    a_report_says_why_nobody_was_told a_report_says_why_nobody_was_told_postgres says_why;
    alerts_come_before_reports alerts_come_before_reports_postgres behind_alerts;
    a_turn_that_comes_again_is_no_other a_turn_that_comes_again_is_no_other_postgres again;
    a_run_whose_job_ended_without_it_ends a_run_whose_job_ended_without_it_ends_postgres stranded;
}

const DAY: i64 = 24 * 60 * MINUTE;

async fn add(world: &World, channel: Option<&channel::Model>) -> report::Model {
    let definition = json!({
        "range": "7d", "time_zone": "Asia/Shanghai", "filters": {}, "group_by": "model", "sort": "requests",
        "limit": 10, "columns": ["request_count", "cost"], "currency": null, "language": "zh-CN",
    });
    let schedule = json!({"every": "day", "at": "03:00"});
    let next_at = reports::next_after(Some(&schedule), &definition, START).unwrap();
    let txn = begin_write(&world.database.control).await.unwrap();
    let new = report::NewReport {
        tenant_id: None,
        name: "周报".to_owned(),
        definition,
        schedule: Some(schedule),
        channel: channel.map(|channel| channel.public_id.clone()),
        enabled: true,
        next_at,
        created_by: "opr_1".to_owned(),
    };
    let row = report::insert(&txn, new, START).await.unwrap();
    txn.commit().await.unwrap();
    // 18:30 in Greenwich is half past two there.
    assert_eq!(row.next_at, Some(START + 30 * MINUTE));
    row
}

fn table() -> Table {
    serde_json::from_value(json!({
        "from": "2026-03-09", "to": "2026-03-15", "time_zone": "Asia/Shanghai", "is_complete": true,
        "is_backfilling": false, "currency": "CNY", "group_by": "model", "columns": ["request_count", "cost"],
        "rows": [
            {"name": "gpt-4o", "id": null, "provider": "openai", "values": {"request_count": 3, "cost": "1.5"}},
            {"name": "模型", "id": null, "provider": "x", "values": {"request_count": 1, "cost": "0.5"}},
        ],
        "is_truncated": false, "totals": {"request_count": 4, "cost": "2"},
        "days": [
            {"date": "2026-03-14", "values": {"request_count": 1, "cost": "1"}},
            {"date": "2026-03-15", "values": {"request_count": 3, "cost": "1"}},
        ],
    }))
    .unwrap()
}

async fn now(world: &World, report: &report::Model) -> report::Model {
    let found = report::by_public_id(&world.database.control_read, Scope::All, &report.public_id);
    found.await.unwrap().unwrap()
}

async fn runs(world: &World, report: &report::Model) -> Vec<report_run::Model> {
    let page = Page {
        after: None,
        limit: 100,
    };
    let rows = report_run::list(&world.database.control_read, report, page);
    rows.await.unwrap()
}

/// A run that was asked for and counted.
async fn counted(world: &World, report: &report::Model) -> report_run::Model {
    let txn = begin_write(&world.database.control).await.unwrap();
    let ask = Ask {
        by: "opr_1".to_owned(),
        due_at: None,
        deliver: true,
    };
    let now = world.clock.now_micros();
    let (run, _) = reports::queue(&txn, report, ask, now).await.unwrap();
    txn.commit().await.unwrap();
    // Started again after a crash it ends once.
    for _ in 0..2 {
        let link = "https://ops.example.com/reports".to_owned();
        reports::finish(&world.database, &run, Ok(table()), link, now)
            .await
            .unwrap();
    }
    let found = report_run::by_public_id(&world.database.control_read, &run.public_id);
    found.await.unwrap().unwrap()
}

async fn once(world: World) {
    let hook = channel::all(&world.database.control_read).await.unwrap();
    let report = add(&world, hook.first()).await;
    assert_eq!(look(&world.database, START).await.unwrap(), 0);
    world.minutes(30);
    // Two nodes look at the same time, and one of them again after a restart.
    let at = world.clock.now_micros();
    let (one, other) = tokio::join!(look(&world.database, at), look(&world.database, at));
    assert_eq!(one.unwrap() + other.unwrap(), 1);
    assert_eq!(look(&world.database, at).await.unwrap(), 0);
    let all = runs(&world, &report).await;
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].due_at, all[0].deliver), (report.next_at, true));
    let job = job::by_public_id(&world.database.control_read, &all[0].job_id).await;
    let job = job.unwrap().unwrap();
    assert_eq!(
        (job.kind.as_str(), job.created_by.as_str()),
        ("reports.run", "scheduler")
    );
    assert_eq!(job.params["run_id"], all[0].public_id);
    let next = now(&world, &report).await;
    assert_eq!(next.next_at, Some(START + 30 * MINUTE + DAY));
    assert_eq!(next.version, report.version, "nobody edited it");
    // Everything slept for three days: it is due once, and then at the next time.
    world.minutes(3 * 24 * 60 + 5);
    let at = world.clock.now_micros();
    assert_eq!(look(&world.database, at).await.unwrap(), 1);
    assert_eq!(look(&world.database, at).await.unwrap(), 0);
    let next = now(&world, &report).await.next_at;
    assert_eq!(next, Some(START + 30 * MINUTE + 4 * DAY));
}

async fn mailed(world: World) {
    let mail = world.channel("people", "email").await;
    let report = add(&world, Some(&mail)).await;
    let run = counted(&world, &report).await;
    let message = run.message_id.clone().unwrap();
    assert_eq!(
        (run.state.as_str(), run.result_rows),
        (report_run::DONE, Some(2))
    );
    *world.post.mail_down.lock() = true;
    assert_eq!(world.drain().await.put_off, 1);
    *world.post.mail_down.lock() = false;
    world.minutes(10);
    assert_eq!(world.drain().await.delivered, 1);
    assert_eq!(world.drain().await.delivered, 0);
    let mails = world.post.mails.lock().clone();
    let [(mail, to)] = mails.as_slice() else {
        panic!("{} mails", mails.len());
    };
    assert_eq!(to, &["ada@example.com"]);
    assert_eq!(mail.message_id, format!("<{message}@example.com>"));
    assert!(mail.subject.contains("周报"), "{}", mail.subject);
    // Requests and costs over the days, and the models that lead.
    assert_eq!(mail.images.len(), 3);
    for image in &mail.images {
        assert!(mail.html.contains(&format!("cid:{}", image.name)));
        assert_eq!(&image.bytes[1..4], b"PNG");
    }
    let csv = String::from_utf8(mail.files[0].bytes.clone()).unwrap();
    assert!(csv.contains("gpt-4o,openai,3,1.5,CNY\r\n"), "{csv}");
    let row = outbox::by_public_ids(&world.database.control_read, [message]).await;
    assert_eq!(row.unwrap()[0].state, outbox::DELIVERED);
    assert_eq!(now(&world, &report).await.last_error, None);
}

async fn told(world: World) {
    let hook = channel::all(&world.database.control_read).await.unwrap();
    let report = add(&world, hook.first()).await;
    let run = counted(&world, &report).await;
    let chat = world.channel("chat", "slack").await;
    let report = add(&world, Some(&chat)).await;
    counted(&world, &report).await;
    // An alert beside them goes its own way.
    world.rule(|_| {}).await;
    world.trace("0 down | fired").await;
    assert_eq!(world.drain().await.delivered, 4);
    let tried = world.post.tried.lock().clone();
    let bodies: Vec<Value> = tried
        .iter()
        .map(|parcel| serde_json::from_str(&parcel.body).unwrap())
        .collect();
    let report = bodies
        .iter()
        .position(|body| body["type"] == "report.ready");
    let report = report.unwrap();
    let data = &bodies[report]["data"];
    assert_eq!(data["totals"], json!({"request_count": 4, "cost": "2"}));
    assert_eq!(data["rows"][0]["values"]["request_count"], 3);
    assert_eq!(data["run_id"], run.public_id);
    let header = |name: &str| {
        let headers = tried[report].headers.iter();
        headers
            .clone()
            .find(|(known, _)| *known == name)
            .unwrap()
            .1
            .clone()
    };
    assert_eq!(Some(header("webhook-id")), run.message_id);
    assert!(header("webhook-signature").starts_with("v1,"));
    let said = bodies.iter().find_map(|body| {
        let text = body["text"].as_str()?;
        text.starts_with("周报").then_some(text)
    });
    assert!(said.unwrap().contains("openai / gpt-4o"), "{said:?}");
}

async fn says_why(world: World) {
    let chat = world.channel("chat", "slack").await;
    let report = add(&world, Some(&chat)).await;
    let txn = begin_write(&world.database.control).await.unwrap();
    channel::disable(&txn, chat.id, "it is gone", START)
        .await
        .unwrap();
    txn.commit().await.unwrap();
    let run = counted(&world, &report).await;
    let why = "the channel chat is disabled (it is gone)";
    assert_eq!(
        (run.state.as_str(), run.message_id),
        (report_run::DONE, None)
    );
    assert_eq!(run.delivery_error.as_deref(), Some(why));
    let row = now(&world, &report).await;
    assert_eq!(row.last_error.as_deref(), Some(why));
    assert_eq!(row.last_run_at, Some(START));
    let txn = begin_write(&world.database.control).await.unwrap();
    channel::remove(&txn, &chat).await.unwrap();
    txn.commit().await.unwrap();
    let run = counted(&world, &report).await;
    let why = run.delivery_error.unwrap();
    assert!(why.starts_with("the channel was removed"), "{why}");
    // One that takes reports again clears it.
    let hook = channel::all(&world.database.control_read).await.unwrap();
    let txn = begin_write(&world.database.control).await.unwrap();
    let changes = report::ActiveModel {
        channel: sea_orm::ActiveValue::Set(Some(hook[0].public_id.clone())),
        ..report::ActiveModel::default()
    };
    let row = now(&world, &report).await;
    report::update(&txn, &row, changes, START).await.unwrap();
    txn.commit().await.unwrap();
    counted(&world, &report).await;
    assert_eq!(now(&world, &report).await.last_error, None);
    assert_eq!(world.drain().await.delivered, 1);
    // A report that is removed takes what waits of it along: it is put aside, visibly.
    let run = counted(&world, &report).await;
    let txn = begin_write(&world.database.control).await.unwrap();
    report::remove(&txn, &report).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(world.drain().await.quarantined, 1);
    let row = outbox::by_public_ids(&world.database.control_read, run.message_id).await;
    assert_eq!(row.unwrap()[0].state, outbox::QUARANTINED);
}

async fn stranded(world: World) {
    let report = add(&world, None).await;
    world.minutes(30);
    let at = world.clock.now_micros();
    assert_eq!(look(&world.database, at).await.unwrap(), 1);
    look(&world.database, at).await.unwrap();
    let run = runs(&world, &report).await.remove(0);
    assert_eq!(run.state, report_run::QUEUED, "its job waits");
    let job = job::by_public_id(&world.database.control_read, &run.job_id).await;
    let job = job.unwrap().unwrap();
    let txn = begin_write(&world.database.control).await.unwrap();
    job::request_cancel(&txn, job.id, at).await.unwrap();
    txn.commit().await.unwrap();
    look(&world.database, at).await.unwrap();
    let run = runs(&world, &report).await.remove(0);
    assert_eq!(run.state, report_run::FAILED);
    let why = Some("its job was cancelled".to_owned());
    assert_eq!(
        (run.error, now(&world, &report).await.last_error),
        (why.clone(), why)
    );
}

async fn behind_alerts(world: World) {
    world.adjust(|settings| settings.mails_per_hour = 3);
    let mail = world.channel("people", "email").await;
    let report = add(&world, Some(&mail)).await;
    for _ in 0..4 {
        counted(&world, &report).await;
    }
    world.rule(|_| {}).await;
    world.trace("0 down | fired").await;
    // One report a turn, and none before an alert.
    for sent in 1..=3 {
        world.drain().await;
        assert!(world.post.mails.lock().len() <= sent + 1);
    }
    let subjects = |world: &World| {
        let mails = world.post.mails.lock();
        mails
            .iter()
            .map(|(mail, _)| mail.subject.clone())
            .collect::<Vec<_>>()
    };
    let told = subjects(&world);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].contains("FIRING"), "{told:?}");
    // The hour's mails are used up: reports wait until there is room again, and then all go.
    world.minutes(20);
    world.drain().await;
    assert_eq!(subjects(&world).len(), 3);
    world.minutes(45);
    for _ in 0..3 {
        world.drain().await;
    }
    let told = subjects(&world);
    assert_eq!(
        told.iter().filter(|one| one.contains("周报")).count(),
        4,
        "{told:?}"
    );
}

/// As on a node whose clock is behind: the turn that was asked for is due once more, beside another report's.
async fn again(world: World) {
    let hook = channel::all(&world.database.control_read).await.unwrap();
    let report = add(&world, hook.first()).await;
    world.minutes(30);
    let at = world.clock.now_micros();
    assert_eq!(look(&world.database, at).await.unwrap(), 1);
    let txn = begin_write(&world.database.control).await.unwrap();
    let changes = report::ActiveModel {
        next_at: sea_orm::ActiveValue::Set(report.next_at),
        ..report::ActiveModel::default()
    };
    let row = now(&world, &report).await;
    report::update(&txn, &row, changes, at).await.unwrap();
    txn.commit().await.unwrap();
    let other = add(&world, hook.first()).await;
    assert_eq!(look(&world.database, at).await.unwrap(), 1);
    assert_eq!(
        (
            runs(&world, &report).await.len(),
            runs(&world, &other).await.len()
        ),
        (1, 1)
    );
    assert_eq!(
        now(&world, &report).await.next_at,
        Some(START + 30 * MINUTE + DAY)
    );
}
