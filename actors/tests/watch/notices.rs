//! The promises about telling people: none is lost, a duplicate has the same id, a resolve never overtakes its fire.

use std::time::Duration;

use sea_orm::ConnectionTrait;
use steward_actors::domain::notice::standard_webhooks::{Secret, signature};
use steward_actors::tree::watch::notifier::{Turn, drain};
use steward_entities::database::begin_write;
use steward_entities::scope::Page;
use steward_entities::{channel, delivery, outbox};
use steward_migration::testing::TestDatabase;

use crate::rounds::on_both;
use crate::world::{Does, START, World};

on_both! {
    a_receiver_that_was_down_hears_of_the_whole_incident a_receiver_that_was_down_hears_of_the_whole_incident_postgres outage;
    killed_between_sending_and_marking_it_sends_the_same_id killed_between_sending_and_marking_it_sends_the_same_id_postgres killed;
    answers_are_done_as_they_say answers_are_done_as_they_say_postgres answers;
    poison_is_put_aside_and_holds_up_nothing poison_is_put_aside_and_holds_up_nothing_postgres poison;
    after_three_days_it_is_given_up_visibly after_three_days_it_is_given_up_visibly_postgres too_old;
}

async fn waiting(world: &World) -> Vec<outbox::Model> {
    let mut waiting = Vec::new();
    for channel in channel::all(&world.database.control_read).await.unwrap() {
        let rows = outbox::waiting(&world.database.control_read, channel.id, 100).await;
        waiting.extend(rows.unwrap());
    }
    waiting
}

async fn outage(world: World) {
    world.rule(|_| {}).await;
    *world.post.down.lock() = true;
    world.trace("0 down | fired").await;
    assert_eq!(world.drain().await.put_off, 1);
    world.trace("1 up | resolved").await;
    world.minutes(1);
    assert_eq!(world.drain().await.put_off, 1);
    // The process ends and another starts; the receiver is still down for a day.
    world.minutes(24 * 60);
    world.drain().await;
    assert_eq!(world.post.events(), Vec::<String>::new());
    *world.post.down.lock() = false;
    world.minutes(3 * 60);
    assert_eq!(world.drain().await.delivered, 2);
    assert_eq!(world.post.events(), ["fired", "resolved"]);
    assert_eq!(waiting(&world).await, []);
    let tried = world.post.tried.lock().clone();
    let ids: Vec<String> = tried
        .iter()
        .map(|parcel| parcel.headers[1].1.clone())
        .collect();
    assert_eq!(ids.len(), 5);
    assert!(ids[..4].iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_ne!(ids[4], ids[0]);
    // Every attempt is signed for itself.
    let secret = [Secret::parse(&world.secret).unwrap()];
    for parcel in &tried {
        let header = |name| {
            let found = parcel.headers.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone()).unwrap()
        };
        let at = header("webhook-timestamp").parse().unwrap();
        let signed = signature(&secret, &header("webhook-id"), at, parcel.body.as_bytes());
        assert_eq!(header("webhook-signature"), signed);
    }
    // The channel tells how it is, and every answer was kept.
    let hook = channel::all(&world.database.control_read)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        (hook.failing_since, hook.last_error.as_deref()),
        (None, None)
    );
    let page = Page {
        after: None,
        limit: 10,
    };
    let kept = delivery::of_channel(&world.database.events_read, &hook.public_id, page)
        .await
        .unwrap();
    let outcomes: Vec<&str> = kept.iter().rev().map(|row| row.outcome.as_str()).collect();
    assert_eq!(
        outcomes,
        ["later", "later", "later", "delivered", "delivered"]
    );
    assert_eq!(kept[4].error.as_deref(), Some("connection refused"));
    assert_eq!(kept[0].status_code, Some(200));
}

async fn killed(world: World) {
    world.rule(|_| {}).await;
    world.trace("0 down | fired\n 1 up | resolved").await;
    world.post.orders.lock().push_back(Does::TakesAndHangs);
    // The process dies while the receiver has it and the answer is on its way.
    let parts = world.notifier();
    let dying = drain(&parts);
    let died = tokio::time::timeout(Duration::from_millis(300), dying).await;
    assert!(died.is_err());
    assert_eq!(world.post.events(), ["fired"]);
    assert_eq!(world.drain().await.delivered, 2);
    assert_eq!(world.post.events(), ["fired", "fired", "resolved"]);
    let taken = world.post.taken.lock().clone();
    assert_eq!(taken[0].0, taken[1].0);
}

async fn answers(world: World) {
    world.rule(|_| {}).await;
    world.trace("0 down | fired").await;
    // 429 with a wish, then a redirect, which is followed nowhere.
    let orders = [Does::Answers(429, Some("120")), Does::Answers(302, None)];
    world.post.orders.lock().extend(orders);
    world.drain().await;
    let row = waiting(&world).await.remove(0);
    assert!(row.reason.as_deref().unwrap().starts_with("answered 429"));
    world.minutes(1);
    assert_eq!(world.drain().await, Turn::default());
    world.minutes(1);
    assert_eq!(world.drain().await.put_off, 1);
    assert_eq!(waiting(&world).await[0].attempts, 2);
    // Gone: the channel is disabled and says why.
    world.post.orders.lock().push_back(Does::Answers(410, None));
    world.minutes(10);
    world.drain().await;
    let hook = channel::all(&world.database.control_read)
        .await
        .unwrap()
        .remove(0);
    assert!(!hook.enabled);
    assert!(hook.disabled_reason.unwrap().contains("410"));
    // Nothing more goes there.
    world.trace("20 up | resolved").await;
    assert_eq!(waiting(&world).await, []);
}

async fn poison(world: World) {
    world.rule(|_| {}).await;
    world.trace("0 down | fired").await;
    let spoil = "UPDATE outbox SET notice = '{\"event\":'";
    world
        .database
        .control
        .execute_unprepared(spoil)
        .await
        .unwrap();
    world.trace("1 up | resolved").await;
    let turn = world.drain().await;
    assert_eq!((turn.quarantined, turn.delivered), (1, 1));
    let hook = channel::all(&world.database.control_read)
        .await
        .unwrap()
        .remove(0);
    let rows = outbox::of_channel(&world.database.control_read, hook.id, 10)
        .await
        .unwrap();
    assert_eq!(rows[1].state, outbox::QUARANTINED);
    assert!(
        rows[1]
            .reason
            .as_deref()
            .unwrap()
            .contains("cannot be read")
    );
}

async fn too_old(world: World) {
    world.rule(|_| {}).await;
    *world.post.down.lock() = true;
    world.trace("0 down | fired").await;
    world.drain().await;
    world.minutes(72 * 60);
    assert_eq!(world.drain().await.given_up, 1);
    let hook = channel::all(&world.database.control_read)
        .await
        .unwrap()
        .remove(0);
    let rows = outbox::of_channel(&world.database.control_read, hook.id, 10)
        .await
        .unwrap();
    assert_eq!(rows[0].state, outbox::GIVEN_UP);
    assert!(
        rows[0]
            .reason
            .as_deref()
            .unwrap()
            .contains("connection refused")
    );
    assert!(hook.failing_since.is_some());
}

#[tokio::test]
async fn a_dead_channel_holds_up_no_other_and_mails_stand_in_a_thread() {
    let world = World::on(TestDatabase::sqlite().await).await;
    world.channel("mail", "email").await;
    world.rule(|_| {}).await;
    *world.post.down.lock() = true;
    world.trace("0 down | fired\n 1 up | resolved").await;
    let turn = world.drain().await;
    assert_eq!((turn.delivered, turn.put_off), (2, 1));
    let mails = world.post.mails.lock().clone();
    assert_eq!(mails[0].1, ["ada@example.com"]);
    assert!(
        mails[0]
            .0
            .subject
            .starts_with("[FIRING:critical] component_down")
    );
    assert_eq!(mails[0].0.thread, mails[1].0.thread);
    assert_ne!(mails[0].0.message_id, mails[1].0.message_id);
    assert!(
        mails[0]
            .0
            .text
            .contains("https://steward.example.com/ops/alerts?incident=alt_")
    );
}

#[tokio::test]
async fn days_of_a_dead_channel_hold_up_no_other() {
    let world = World::on(TestDatabase::sqlite().await).await;
    world.rule(|_| {}).await;
    world.trace("0 down | fired").await;
    let [first] = &waiting(&world).await[..] else {
        panic!("one notice for one channel")
    };
    *world.post.down.lock() = true;
    let txn = begin_write(&world.database.control).await.unwrap();
    for more in 1..=600 {
        let again = outbox::NewNotice {
            transition_id: first.transition_id + 1_000 + more,
            channel_id: first.channel_id,
            incident: first.incident.clone(),
            notice: first.notice.clone(),
        };
        outbox::insert(&txn, again, START).await.unwrap();
    }
    txn.commit().await.unwrap();
    world.channel("mail", "email").await;
    world.trace("1 up | resolved").await;
    let turn = world.drain().await;
    assert_eq!((turn.delivered, turn.put_off), (1, 1));
    assert_eq!(world.post.mails.lock().len(), 1);
}
