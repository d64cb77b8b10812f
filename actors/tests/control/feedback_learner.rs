//! `feedback_learner`: approved feedback is learned from when the interval is over, as it is set by then.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::ActiveValue::Set;
use steward_actors::domain::clock::Clock;
use steward_actors::domain::setting::Settings;
use steward_actors::health::LatestRound;
use steward_actors::knowledge::learn::Parts;
use steward_actors::supervision::ActorRef;
use steward_actors::tree::learning::feedback_learner::{LearnNow, spec};
use steward_entities::feedback::{self, Status};
use steward_entities::scope::Scope;
use steward_entities::{qa_candidate, qa_pair};
use steward_migration::testing::TestDatabase;

use crate::knowledge_sync::{NOW, World};
use crate::{committed, eventually, on_both, supervised};

on_both!(the_actor_learns_when_its_interval_is_over_and_follows_its_settings_at_once,);

fn every(seconds: u64, learns: bool) -> Arc<Settings> {
    Arc::new(Settings {
        learn_every: Duration::from_secs(seconds),
        learns,
        // As small as it may be set: more than one batch is due.
        sync_batch: 10,
        ..Settings::default()
    })
}

/// Somebody corrected an answer, and somebody approved that.
async fn corrected(world: &World<'_>, database: &TestDatabase, call: i64) {
    let new = feedback::New {
        rid: call,
        id_tail: call,
        token_id: 1,
        tenant_id: Some(world.tenants[0]),
        app: String::new(),
        end_user: String::new(),
        model: "gpt-4o".to_owned(),
        conversation_id: String::new(),
        prompt: None,
        rating: 1,
        category: String::new(),
        comment: format!("What is the rent of kimono {call}?"),
        correction: format!("{call} yuan a day."),
    };
    committed(database, async |txn| {
        let row = feedback::insert(txn, new.clone(), NOW).await?;
        let approved = feedback::ActiveModel {
            status: Set(Status::Approved),
            ..Default::default()
        };
        feedback::update(txn, &row, approved, NOW).await
    })
    .await;
}

async fn the_actor_learns_when_its_interval_is_over_and_follows_its_settings_at_once(
    database: &TestDatabase,
) {
    let world = World::on(database).await;
    let contents = crate::retention::parts(database, Settings::default()).contents;
    let mut nearby = world.parts.clone();
    // Without a model, what asks nearly the same is not looked for.
    nearby.model = "".into();
    let parts = Parts {
        databases: (**database).clone(),
        contents,
        settings: Arc::clone(&world.parts.settings),
        clock: world.clock.clone() as Arc<dyn Clock>,
        latest: LatestRound::default(),
        nearby: nearby.clone(),
        judge: |_, _| 0.5,
    };
    parts.settings.store(every(300, false));
    let read = &database.control_read;
    let candidates = async || {
        let due = qa_candidate::due_count(read, Scope::All).await.unwrap();
        let sums = qa_candidate::sums(read, Scope::All).await.unwrap();
        (due, sums.waiting, sums.taken)
    };
    for call in 1..=25 {
        corrected(&world, database, call).await;
    }
    let (actor, sync) = (ActorRef::new(8), ActorRef::new(8));
    let tree = supervised(spec(&actor, &sync, parts.clone()));
    eventually("what was there at the start", async || {
        (candidates().await == (0, 25, 0)).then_some(())
    })
    .await;

    // The interval is far away; then it is made shorter, and what is learned is taken.
    corrected(&world, database, 26).await;
    world.clock.advance_micros(60_000_000);
    assert_eq!(candidates().await, (1, 25, 0));
    parts.settings.store(every(60, true));
    eventually("the shorter interval is over", async || {
        (candidates().await == (0, 25, 1)).then_some(())
    })
    .await;
    let filter = qa_pair::Filter::default();
    assert_eq!(qa_pair::count(read, Scope::All, &filter).await.unwrap(), 1);

    // Nobody waits for the interval who asks.
    corrected(&world, database, 27).await;
    actor.try_send(LearnNow).unwrap();
    eventually("it was asked for", async || {
        (candidates().await == (0, 25, 2)).then_some(())
    })
    .await;
    tree.shutdown(Duration::from_secs(10)).await;
}
