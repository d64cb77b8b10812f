//! The promises about telling people: none is lost, a duplicate has the same id, a resolve never overtakes its fire.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sea_orm::ActiveValue::Set;
use sea_orm::ConnectionTrait;
use steward_actors::domain::clock::Clock;
use steward_actors::domain::notice::standard_webhooks::{Secret, signature};
use steward_actors::supervision::{ActorRef, Group, GroupExit, Supervisor, SupervisorHandle};
use steward_actors::tree::watch::notifier::{self, Turn, drain};
use steward_entities::database::begin_write;
use steward_entities::scope::Page;
use steward_entities::{channel, delivery, lease, outbox};
use steward_migration::testing::TestDatabase;

use crate::rounds::on_both;
use crate::world::{Does, START, World};

on_both! {
    a_receiver_that_was_down_hears_of_the_whole_incident a_receiver_that_was_down_hears_of_the_whole_incident_postgres outage;
    killed_between_sending_and_marking_it_sends_the_same_id killed_between_sending_and_marking_it_sends_the_same_id_postgres killed;
    answers_are_done_as_they_say answers_are_done_as_they_say_postgres answers;
    an_address_that_a_receiver_says_back_is_kept_nowhere an_address_that_a_receiver_says_back_is_kept_nowhere_postgres says_back;
    poison_is_put_aside_and_holds_up_nothing poison_is_put_aside_and_holds_up_nothing_postgres poison;
    after_three_days_it_is_given_up_visibly after_three_days_it_is_given_up_visibly_postgres too_old;
    people_get_one_message_for_what_comes_together people_get_one_message_for_what_comes_together_postgres together;
    a_message_is_the_same_after_every_crash a_message_is_the_same_after_every_crash_postgres same_after_crash;
    nobody_gets_a_hundred_mails nobody_gets_a_hundred_mails_postgres digests;
    patience_is_the_receivers_and_not_one_message patience_is_the_receivers_and_not_one_message_postgres patience;
    who_heard_it_fire_hears_it_end who_heard_it_fire_hears_it_end_postgres ends_are_heard;
    the_heart_beats_while_alerts_arrive the_heart_beats_while_alerts_arrive_postgres heartbeat;
    of_two_nodes_one_sends_and_the_other_takes_over of_two_nodes_one_sends_and_the_other_takes_over_postgres nodes;
}

/// As [`on_both!`], with the actor at work.
macro_rules! on_both_at_work {
    ($($sqlite:ident $postgres:ident $run:ident;)*) => {$(
        #[actix::test]
        async fn $sqlite() {
            $run(World::on(TestDatabase::sqlite().await).await).await;
        }

        #[actix::test]
        async fn $postgres() {
            $run(World::on(TestDatabase::postgres().await).await).await;
        }
    )*};
}

on_both_at_work! {
    who_shuts_down_lets_another_send_at_once who_shuts_down_lets_another_send_at_once_postgres given_back;
    who_shuts_down_with_a_notice_in_hand_keeps_the_lease who_shuts_down_with_a_notice_in_hand_keeps_the_lease_postgres kept_in_hand;
}

async fn waiting(world: &World) -> Vec<outbox::Model> {
    let mut waiting = Vec::new();
    for channel in channel::all(&world.database.control_read).await.unwrap() {
        let rows = outbox::waiting(&world.database.control_read, channel.id, 100).await;
        waiting.extend(rows.unwrap());
    }
    waiting
}

/// What became of the channel's messages, the newest first.
async fn deliveries(world: &World, channel: &channel::Model) -> Vec<delivery::Model> {
    let page = Page {
        after: None,
        limit: 10,
    };
    delivery::of_channel(&world.database.events_read, &channel.public_id, page)
        .await
        .unwrap()
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
    let kept = deliveries(&world, &hook).await;
    let outcomes: Vec<&str> = kept.iter().rev().map(|row| row.outcome.as_str()).collect();
    assert_eq!(
        outcomes,
        ["later", "later", "later", "delivered", "delivered"]
    );
    assert_eq!(kept[4].error.as_deref(), Some("connection refused"));
    assert_eq!(kept[0].status_code, Some(200));
}

async fn says_back(world: World) {
    world.rule(|_| {}).await;
    world.trace("0 down | fired").await;
    world.post.orders.lock().push_back(Does::SaysBack);
    assert_eq!(world.drain().await.put_off, 1);
    let hook = channel::all(&world.database.control_read)
        .await
        .unwrap()
        .remove(0);
    let kept = deliveries(&world, &hook).await;
    let said = "nothing works at https://receiver.example.com/***";
    assert_eq!(kept[0].response.as_deref(), Some(said));
    let told = format!("{:?}", (&kept, &hook.last_error));
    assert!(!told.contains("kPq8Zr2LmW9xTb4V"), "{told}");
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
    // 429 with a wish, as seconds and as a date, then a redirect, which is followed nowhere.
    let orders = [
        Does::Answers(429, Some("120")),
        Does::Answers(429, Some("Sun, 15 Mar 2026 18:42:00 GMT")),
        Does::Answers(302, None),
    ];
    world.post.orders.lock().extend(orders);
    world.drain().await;
    let row = waiting(&world).await.remove(0);
    assert!(row.reason.as_deref().unwrap().starts_with("answered 429"));
    world.minutes(1);
    assert_eq!(world.drain().await, Turn::default());
    world.minutes(1);
    assert_eq!(world.drain().await.put_off, 1);
    world.minutes(9);
    assert_eq!(world.drain().await, Turn::default(), "18:41 is too early");
    world.minutes(1);
    assert_eq!(world.drain().await.put_off, 1);
    assert_eq!(waiting(&world).await[0].attempts, 3);
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
    world.trace("30 up | resolved (quiet)").await;
    assert_eq!(waiting(&world).await, []);
}

async fn patience(world: World) {
    world.rule(|_| {}).await;
    all(&world, 2, "unhealthy").await;
    let busy = Does::Answers(429, Some("120"));
    world.post.orders.lock().push_back(busy.clone());
    assert_eq!(world.drain().await.put_off, 1);
    world.seconds(100);
    assert_eq!(
        world.drain().await,
        Turn::default(),
        "it asked for patience"
    );
    assert_eq!(world.post.tried.lock().len(), 1);
    world.seconds(44);
    assert_eq!(world.drain().await.delivered, 2);
    // Somebody who changes the channel does not wait for that.
    all(&world, 2, "healthy").await;
    world.post.orders.lock().push_back(busy);
    assert_eq!(world.drain().await.put_off, 1);
    assert_eq!(world.drain().await, Turn::default());
    let read = &world.database.control_read;
    let hook = channel::all(read).await.unwrap().remove(0);
    world.set_channel(hook.id, Default::default()).await;
    assert_eq!(world.drain().await.delivered, 2);
}

async fn ends_are_heard(world: World) {
    world.rule(|_| {}).await;
    world.trace("0 down | fired").await;
    assert_eq!(world.drain().await.delivered, 1);
    let read = &world.database.control_read;
    let hook = channel::all(read).await.unwrap().remove(0);
    let set = |enabled| channel::ActiveModel {
        enabled: Set(enabled),
        ..Default::default()
    };
    world.set_channel(hook.id, set(false)).await;
    world
        .trace("1 up | resolved\n 2 down | fired (quiet)\n 3 up | resolved (quiet)")
        .await;
    assert_eq!(world.drain().await, Turn::default());
    world.set_channel(hook.id, set(true)).await;
    assert_eq!(world.drain().await.delivered, 1);
    assert_eq!(world.post.events(), ["fired", "resolved"]);
}

async fn heartbeat(world: World) {
    const URL: &str = "https://watchdog.example.com/beat";
    let parts = notifier::Parts {
        heartbeat_url: URL.to_owned(),
        ..world.notifier()
    };
    let beats = async |round_ended: bool| {
        if round_ended {
            let now = world.clock.now_micros();
            parts.shared.last_round.store(now, Ordering::Release);
        }
        notifier::beat(&parts).await;
        let tried = world.post.tried.lock();
        tried.iter().filter(|parcel| parcel.url == URL).count()
    };
    assert_eq!(beats(false).await, 0, "no round has ended yet");
    for minute in 1..=5 {
        world.minutes(1);
        assert_eq!(beats(true).await, minute);
    }
    // Rounds are a minute apart: two may be missed, and not a third.
    world.minutes(2);
    assert_eq!(beats(false).await, 6);
    world.minutes(1);
    assert_eq!(beats(false).await, 6);
    assert_eq!(beats(true).await, 7);

    // The only channel takes nothing: nobody would hear of anything.
    world.rule(|_| {}).await;
    *world.post.down.lock() = true;
    all(&world, 1, "unhealthy").await;
    assert_eq!(world.drain().await.put_off, 1);
    world.minutes(9);
    assert_eq!(beats(true).await, 8);
    world.minutes(1);
    assert_eq!(beats(true).await, 8);
    *world.post.down.lock() = false;
    assert_eq!(world.drain().await.delivered, 1);
    assert_eq!(beats(true).await, 9);

    // Nothing fails, and yet nothing goes out.
    all(&world, 1, "healthy").await;
    world.minutes(19);
    assert_eq!(beats(true).await, 10);
    world.minutes(1);
    assert_eq!(beats(true).await, 10);
    assert_eq!(world.drain().await.delivered, 1);
    assert_eq!(beats(true).await, 11);

    // Its receiver is gone, and there is no other.
    world.minutes(61);
    all(&world, 1, "unhealthy").await;
    world.post.orders.lock().push_back(Does::Answers(410, None));
    world.drain().await;
    assert_eq!(beats(true).await, 11);
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

/// Components `0` to `many` go down or come up in one round.
async fn all(world: &World, many: usize, status: &'static str) {
    const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let others = NAMES.iter().take(many).map(|name| (*name, status, ""));
    *world.others.lock() = others.collect();
    world.round("healthy").await;
}

async fn together(world: World) {
    world.adjust(|settings| settings.group_window = Duration::from_secs(60));
    let chat = world.channel("chat", "slack").await;
    world.channel("mail", "email").await;
    world.rule(|_| {}).await;
    all(&world, 3, "unhealthy").await;
    // Programs hear of each at once; people have to wait a little, and hear of all.
    assert_eq!(world.drain().await.delivered, 3);
    assert_eq!(world.post.events(), ["fired", "fired", "fired"]);
    assert_eq!(world.post.mails.lock().len(), 0);
    world.seconds(40);
    all(&world, 4, "unhealthy").await;
    world.seconds(19);
    assert_eq!(world.drain().await.delivered, 1);
    world.seconds(1);
    assert_eq!(world.drain().await.delivered, 2);
    let (mail, _) = world.post.mails.lock()[0].clone();
    assert_eq!(mail.subject, "[FIRING:4] component_down");
    assert_eq!(mail.references.split(' ').count(), 4);
    assert!(mail.references.starts_with(&mail.thread));
    for component in ["a", "b", "c", "d"] {
        let line =
            format!("[FIRING:critical] component_down – component={component}: status != healthy");
        assert!(mail.text.contains(&line), "{line} in {}", mail.text);
    }
    let posted = world.post.tried.lock().last().unwrap().body.clone();
    let posted: serde_json::Value = serde_json::from_str(&posted).unwrap();
    let text = posted["text"].as_str().unwrap();
    assert!(text.starts_with("[FIRING:4] component_down\n"), "{text}");
    assert!(
        text.ends_with("https://steward.example.com/ops/alerts"),
        "{text}"
    );
    assert_eq!(waiting(&world).await, []);
    let kept = deliveries(&world, &chat).await;
    assert_eq!(kept.len(), 1, "one message, one answer");

    // One by itself reads as ever.
    world.minutes(1);
    all(&world, 4, "healthy").await;
    world.minutes(1);
    world.drain().await;
    let (mail, _) = world.post.mails.lock()[1].clone();
    assert_eq!(mail.subject, "[RESOLVED:4] component_down");
    all(&world, 1, "unhealthy").await;
    world.minutes(1);
    world.drain().await;
    let (mail, _) = world.post.mails.lock()[2].clone();
    assert_eq!(
        mail.subject,
        "[FIRING:critical] component_down – component=a"
    );
}

async fn same_after_crash(world: World) {
    world.adjust(|settings| settings.group_window = Duration::from_secs(30));
    let txn = begin_write(&world.database.control).await.unwrap();
    let hook = channel::all(&txn).await.unwrap().remove(0);
    channel::remove(&txn, &hook).await.unwrap();
    txn.commit().await.unwrap();
    world.channel("mail", "email").await;
    world.rule(|_| {}).await;
    all(&world, 2, "unhealthy").await;
    world.seconds(30);
    *world.post.mail_hangs.lock() = true;
    let parts = world.notifier();
    let died = tokio::time::timeout(Duration::from_millis(300), drain(&parts)).await;
    assert!(
        died.is_err(),
        "the relay has the mail, and the process dies"
    );
    *world.post.mail_hangs.lock() = false;
    // More comes meanwhile; what was gathered stays what it was.
    all(&world, 3, "unhealthy").await;
    world.minutes(2);
    assert_eq!(world.drain().await.delivered, 2);
    let mails = world.post.mails.lock().clone();
    let ids: Vec<&str> = mails
        .iter()
        .map(|(mail, _)| mail.message_id.as_str())
        .collect();
    assert_eq!(ids.len(), 3);
    assert_eq!((ids[0], &mails[0].0), (ids[1], &mails[1].0));
    assert_ne!(ids[2], ids[0]);
    assert_eq!(
        mails[2].0.subject,
        "[FIRING:critical] component_down – component=c"
    );

    // A relay that takes nothing for a while: the end waits behind the beginning, in a message of its own.
    *world.post.mail_down.lock() = true;
    all(&world, 4, "unhealthy").await;
    world.minutes(1);
    assert_eq!(world.drain().await.put_off, 1);
    all(&world, 4, "healthy").await;
    world.minutes(1);
    assert_eq!(world.drain().await.put_off, 1);
    *world.post.mail_down.lock() = false;
    world.minutes(60);
    assert_eq!(world.drain().await.delivered, 2);
    let mails = world.post.mails.lock().clone();
    let subjects: Vec<&str> = mails[3..]
        .iter()
        .map(|(mail, _)| mail.subject.as_str())
        .collect();
    let fired = "[FIRING:critical] component_down – component=d";
    assert_eq!(subjects, [fired, "[RESOLVED:4] component_down"]);
}

async fn digests(world: World) {
    world.adjust(|settings| settings.mails_per_hour = 5);
    world.channel("mail", "email").await;
    world.channel("the same person", "email").await;
    world.rule(|_| {}).await;
    // Ten alerts at once, each by itself: to two channels that lead to one mailbox.
    all(&world, 10, "unhealthy").await;
    for _ in 0..10 {
        world.drain().await;
        world.seconds(30);
    }
    let mails = || world.post.mails.lock().len();
    assert!((5..=6).contains(&mails()), "{} mails", mails());
    let at_once = mails();
    world.minutes(15);
    world.drain().await;
    world.drain().await;
    assert_eq!(mails(), at_once + 2, "a digest for each channel");
    assert_eq!(waiting(&world).await, [], "none is lost");
    // Every alert is told once to each.
    let told: usize = {
        let mails = world.post.mails.lock();
        let lines = mails
            .iter()
            .map(|(mail, _)| mail.text.matches("component=").count());
        lines.sum()
    };
    assert_eq!(told, 20);
}

async fn nodes(world: World) {
    world.rule(|_| {}).await;
    world.trace("0 down | fired\n 1 up | resolved").await;
    world.post.orders.lock().push_back(Does::TakesAndHangs);
    let (first, second) = (world.notifier_of(1), world.notifier_of(2));
    let died = tokio::time::timeout(Duration::from_millis(300), drain(&first)).await;
    assert!(died.is_err());
    // The first has the notice in hand; the second leaves it alone until the first is as good as dead.
    assert_eq!(drain(&second).await.unwrap(), Turn::default());
    world.seconds(59);
    assert_eq!(drain(&second).await.unwrap(), Turn::default());
    assert_eq!(world.post.events(), ["fired"]);
    world.seconds(1);
    assert_eq!(drain(&second).await.unwrap().delivered, 2);
    assert_eq!(world.post.events(), ["fired", "fired", "resolved"]);
    let taken = world.post.taken.lock().clone();
    assert_eq!(taken[0].0, taken[1].0, "a duplicate carries the same id");
    // The first comes back and finds the other at it; who sends goes on sending.
    world.trace("2 down | fired").await;
    assert_eq!(drain(&first).await.unwrap(), Turn::default());
    assert_eq!(drain(&second).await.unwrap().delivered, 1);
    world.trace("4 up | resolved\n 5 down | fired").await;
    assert_eq!(drain(&second).await.unwrap().delivered, 2);
    assert_eq!(drain(&first).await.unwrap(), Turn::default());
    assert_eq!(world.post.events().len(), 6, "nothing twice");
}

/// Both nodes at it all the time, on one database: everything arrives once and in order.
#[tokio::test]
async fn two_nodes_that_look_at_the_same_time_send_nothing_twice_postgres() {
    let world = World::on(TestDatabase::postgres().await).await;
    world.rule(|_| {}).await;
    let (first, second) = (world.notifier_of(1), world.notifier_of(2));
    for minute in 0..20 {
        // So seldom that nothing flaps.
        world.minutes(30);
        let status = if minute % 2 == 0 {
            "unhealthy"
        } else {
            "healthy"
        };
        world.round(status).await;
        let (one, two) = tokio::join!(drain(&first), drain(&second));
        let (one, two) = (one.unwrap().delivered, two.unwrap().delivered);
        assert!(one == 0 || two == 0, "{one} and {two} in minute {minute}");
    }
    world.minutes(2);
    drain(&first).await.unwrap();
    drain(&second).await.unwrap();
    let taken = world.post.taken.lock().clone();
    let ids: std::collections::HashSet<&String> = taken.iter().map(|(id, _)| id).collect();
    assert_eq!((ids.len(), taken.len()), (20, 20));
    let events: Vec<&str> = taken.iter().map(|(_, event)| event.as_str()).collect();
    assert!(
        events.chunks(2).all(|pair| pair == ["fired", "resolved"]),
        "{events:?}"
    );
}

/// The actor of the first node.
fn at_work(world: &World) -> SupervisorHandle {
    let child = notifier::spec(&ActorRef::new(8), world.notifier_of(1));
    Supervisor::new(Group::new("root").child(child))
        .unwrap()
        .start()
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "not seen: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn holder(world: &World) -> Option<i64> {
    let read = &world.database.control_read;
    let held = lease::holder(read, "notifier").await.unwrap();
    held.map(|held| held.node)
}

async fn given_back(world: World) {
    world.rule(|_| {}).await;
    world.trace("0 down | fired").await;
    let first = at_work(&world);
    eventually("the fire", || world.post.events().len() == 1).await;
    assert_eq!(holder(&world).await, Some(1));
    let ended = first.shutdown(Duration::from_secs(10)).await;
    assert_eq!(
        ended,
        GroupExit::Shutdown {
            unclean: Vec::new()
        }
    );
    assert_eq!(holder(&world).await, None);
    // Before the lease would have ended by itself.
    world.seconds(40);
    assert_eq!(world.round("healthy").await, "resolved");
    assert_eq!(drain(&world.notifier_of(2)).await.unwrap().delivered, 1);
    assert_eq!(world.post.events(), ["fired", "resolved"]);
    assert_eq!(holder(&world).await, Some(2));
}

async fn kept_in_hand(world: World) {
    world.rule(|_| {}).await;
    world.trace("0 down | fired").await;
    world.post.orders.lock().push_back(Does::TakesAndHangs);
    let first = at_work(&world);
    eventually("the fire", || world.post.events().len() == 1).await;
    let ended = first.shutdown(Duration::from_secs(10)).await;
    assert_eq!(
        ended,
        GroupExit::Shutdown {
            unclean: Vec::new()
        }
    );
    // Nobody knows what the receiver has: until the lease is over the second node leaves it alone.
    assert_eq!(holder(&world).await, Some(1));
    let second = world.notifier_of(2);
    assert_eq!(drain(&second).await.unwrap(), Turn::default());
    world.minutes(1);
    assert_eq!(drain(&second).await.unwrap().delivered, 1);
    let taken = world.post.taken.lock().clone();
    assert_eq!(taken[0], taken[1], "the same notice under the same id");
}
