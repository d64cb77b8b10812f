//! Pairs that a job asked for: they are embedded and no others, each is told of, and what changes later waits as ever.

use std::time::Duration;

use sea_orm::DbErr;
use serde_json::json;
use steward_actors::domain::setting::{InForce, Settings};
use steward_actors::knowledge::asked::{forget, give_up, pass, settle};
use steward_actors::supervision::ActorRef;
use steward_actors::tree::learning::knowledge_sync::spec;
use steward_entities::qa_sync_request::{self, Counts};
use steward_entities::{job, qa_pair, qa_sync_failure};
use steward_migration::testing::TestDatabase;

use crate::knowledge_sync::{World, came_to};
use crate::{committed, eventually, on_both, supervised};

on_both!(
    what_is_asked_for_is_embedded_and_nothing_else,
    what_is_refused_is_told_and_tried_again_when_it_is_asked_for_again,
    each_pair_of_a_tenant_that_may_not_spend_is_told,
    a_model_that_is_away_is_told_at_once_and_stays_left_alone,
    what_is_edited_or_removed_meanwhile_is_meant_as_it_is_then,
    another_model_is_asked_for_too,
    what_is_asked_for_is_embedded_though_nothing_is_by_itself,
);

/// A job that asks for these.
async fn asks(world: &World<'_>, database: &TestDatabase, pairs: &[&qa_pair::Model]) -> job::Model {
    let now = world.parts.clock.now_micros();
    let ids: Vec<i64> = pairs.iter().map(|pair| pair.id).collect();
    committed(database, async |txn| {
        let job = job::insert(txn, "test", json!({}), "op".to_owned(), now).await?;
        qa_sync_failure::hurry_pairs(txn, ids.clone(), now).await?;
        qa_sync_request::ask(txn, job.id, ids.clone(), now).await?;
        Ok::<_, DbErr>(job)
    })
    .await
}

async fn stands(world: &World<'_>, job: &job::Model) -> Counts {
    let databases = &world.parts.databases;
    let counts = settle(databases, &world.parts.model, job.id, job.created_at).await;
    counts.unwrap()
}

async fn reasons(database: &TestDatabase, job: &job::Model) -> Vec<(String, i64)> {
    let reasons = qa_sync_request::reasons(&database.control_read, job.id, 9).await;
    reasons.unwrap()
}

fn counts(waiting: i64, done: i64, failed: i64) -> Counts {
    Counts {
        waiting,
        done,
        failed,
    }
}

async fn what_is_asked_for_is_embedded_and_nothing_else(database: &TestDatabase) {
    let world = World::on(database).await;
    let mut pairs = Vec::new();
    for n in 0..30 {
        pairs.push(world.add(n % 2, &format!("question number{n}")).await);
    }
    assert!(pass(&world.parts).await.unwrap().is_none(), "nobody asked");
    let chosen: Vec<_> = pairs.iter().step_by(2).collect();
    let job = asks(&world, database, &chosen).await;
    assert_eq!(stands(&world, &job).await, counts(15, 0, 0));
    let passed = pass(&world.parts).await.unwrap();
    assert_eq!(passed, Some(came_to(15, 0)));
    assert_eq!(
        world.calls(),
        [(world.tenants[0], 10), (world.tenants[0], 5)]
    );
    assert_eq!(world.unsynced().await, 15);
    assert!(
        pass(&world.parts).await.unwrap().is_none(),
        "what is done is not asked for, told or not"
    );
    assert_eq!(stands(&world, &job).await, counts(0, 15, 0));

    // What is edited afterwards waits like any other.
    world.ask(chosen[0], "another question").await;
    assert!(pass(&world.parts).await.unwrap().is_none());
    assert_eq!(stands(&world, &job).await, counts(0, 15, 0));
    assert_eq!(world.unsynced().await, 16);

    // Another job may ask for the same, and what it asked for is forgotten with it.
    let again = asks(&world, database, &chosen[..2]).await;
    assert_eq!(stands(&world, &again).await, counts(1, 1, 0));
    forget(&world.parts.databases, again.id).await.unwrap();
    assert_eq!(stands(&world, &again).await, counts(0, 0, 0));
    assert_eq!(stands(&world, &job).await, counts(0, 15, 0));
    assert!(pass(&world.parts).await.unwrap().is_none());
}

async fn what_is_refused_is_told_and_tried_again_when_it_is_asked_for_again(
    database: &TestDatabase,
) {
    let world = World::on(database).await;
    let good = world.add(0, "rent a kimono").await;
    let bad = world.add(0, "a forbidden question").await;
    let job = asks(&world, database, &[&good, &bad]).await;
    assert_eq!(pass(&world.parts).await.unwrap(), Some(came_to(1, 1)));
    assert_eq!(stands(&world, &job).await, counts(0, 1, 1));
    let told = [("the provider answered 400".to_owned(), 1)];
    assert_eq!(reasons(database, &job).await, told);

    world.clock.advance_micros(1_000_000);
    world.calls();
    let again = asks(&world, database, &[&bad]).await;
    assert_eq!(
        stands(&world, &again).await,
        counts(1, 0, 0),
        "what failed before it was asked for is not what came of it"
    );
    world.ask(&bad, "an allowed question").await;
    assert_eq!(pass(&world.parts).await.unwrap(), Some(came_to(1, 0)));
    assert_eq!(stands(&world, &again).await, counts(0, 1, 0));
    assert!(world.failures().await.is_empty());
}

async fn each_pair_of_a_tenant_that_may_not_spend_is_told(database: &TestDatabase) {
    let world = World::on(database).await;
    let mut pairs = Vec::new();
    for n in 0..25 {
        pairs.push(world.add(0, &format!("question number{n}")).await);
    }
    pairs.push(world.add(1, "another question").await);
    world.may_not_spend(0);
    let job = asks(&world, database, &pairs.iter().collect::<Vec<_>>()).await;
    assert_eq!(pass(&world.parts).await.unwrap(), Some(came_to(1, 25)));
    assert_eq!(world.calls().len(), 2, "one was enough to know");
    assert_eq!(stands(&world, &job).await, counts(0, 1, 25));
    let told = [("the budget of the day is used up".to_owned(), 25)];
    assert_eq!(reasons(database, &job).await, told);
}

async fn a_model_that_is_away_is_told_at_once_and_stays_left_alone(database: &TestDatabase) {
    let world = World::on(database).await;
    let one = world.add(0, "rent a kimono").await;
    world.add(0, "return the shoes").await;
    world.is_down("first", true);
    let job = asks(&world, database, &[&one]).await;
    pass(&world.parts).await.unwrap();
    assert_eq!(stands(&world, &job).await, counts(0, 0, 1));
    let told = [("first cannot be asked: nobody answers".to_owned(), 1)];
    assert_eq!(reasons(database, &job).await, told);
    assert!(world.failures().await.is_empty(), "no pair is to blame");

    // Asked for while it is left alone, it waits; whoever runs the job has it tried at once.
    world.clock.advance_micros(1_000_000);
    let later = asks(&world, database, &[&one]).await;
    world.calls();
    assert!(pass(&world.parts).await.unwrap().is_none());
    assert_eq!(stands(&world, &later).await, counts(1, 0, 0));
    world.is_down("first", false);
    world.hurry().await;
    assert_eq!(pass(&world.parts).await.unwrap(), Some(came_to(1, 0)));
    assert_eq!(stands(&world, &later).await, counts(0, 1, 0));
    assert_eq!(world.unsynced().await, 1);
    give_up(&world.parts.databases, later.id, "late")
        .await
        .unwrap();
    assert_eq!(stands(&world, &later).await, counts(0, 1, 0));
}

async fn what_is_edited_or_removed_meanwhile_is_meant_as_it_is_then(database: &TestDatabase) {
    let world = World::on(database).await;
    let edited = world.add(0, "rent a kimono").await;
    let removed = world.add(0, "return the shoes").await;
    let job = asks(&world, database, &[&edited, &removed]).await;
    let (databases, pairs) = (world.parts.databases.clone(), (edited, removed));
    world.meanwhile(async move {
        let txn = steward_entities::database::begin_write(&databases.control);
        let txn = txn.await.unwrap();
        let changes = qa_pair::ActiveModel {
            question: sea_orm::ActiveValue::Set("when do you open".into()),
            ..Default::default()
        };
        let now = crate::knowledge_sync::NOW;
        qa_pair::update(&txn, &pairs.0, changes, now).await.unwrap();
        qa_pair::remove(&txn, &pairs.1).await.unwrap();
        txn.commit().await.unwrap();
    });
    pass(&world.parts).await.unwrap();
    assert_eq!(stands(&world, &job).await, counts(1, 0, 0));
    assert_eq!(pass(&world.parts).await.unwrap(), Some(came_to(1, 0)));
    assert_eq!(stands(&world, &job).await, counts(0, 1, 0));
    assert_eq!(world.unsynced().await, 0);
}

async fn another_model_is_asked_for_too(database: &TestDatabase) {
    let mut world = World::on(database).await;
    let one = world.add(0, "rent a kimono").await;
    world.add(0, "return the shoes").await;
    world.pass().await;
    // All are synchronised, by a model that is given up.
    world.parts.model = "successor".into();
    let job = asks(&world, database, &[&one]).await;
    assert_eq!(stands(&world, &job).await, counts(1, 0, 0));
    assert_eq!(pass(&world.parts).await.unwrap(), Some(came_to(1, 0)));
    assert_eq!(stands(&world, &job).await, counts(0, 1, 0));
    // It has not got all: the one before answers.
    let active = world.parts.active().await.unwrap();
    assert_eq!(active.as_deref(), Some("first"));
}

async fn what_is_asked_for_is_embedded_though_nothing_is_by_itself(database: &TestDatabase) {
    let mut world = World::on(database).await;
    let settings = Settings {
        syncs: false,
        ..Settings::default()
    };
    world.parts.settings = InForce::new(arc_swap::ArcSwap::from_pointee(settings));
    let one = world.add(0, "rent a kimono").await;
    world.add(0, "return the shoes").await;
    let actor = ActorRef::new(8);
    let tree = supervised(spec(&actor, world.parts.clone()));
    let job = asks(&world, database, &[&one]).await;
    eventually("it is embedded", async || {
        (stands(&world, &job).await == counts(0, 1, 0)).then_some(())
    })
    .await;
    assert_eq!(world.unsynced().await, 1);
    tree.shutdown(Duration::from_secs(10)).await;
}
