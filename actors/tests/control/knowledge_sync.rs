//! `knowledge_sync`: pairs are embedded, what fails waits and holds nothing up, and another model is no gap.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use sea_orm::ActiveValue::Set;
use steward_actors::domain::clock::ManualClock;
use steward_actors::domain::setting::{InForce, Settings};
use steward_actors::knowledge::embed::{Ask, Blame, Embedder, Failed};
use steward_actors::knowledge::find::NotFound;
use steward_actors::knowledge::sync::{Passed, pass};
use steward_actors::knowledge::{Parts, outage};
use steward_actors::supervision::ActorRef;
use steward_actors::tree::learning::knowledge_sync::{SyncNow, spec};
use steward_entities::database::begin_write;
use steward_entities::qa_pair::{self, New, Source};
use steward_entities::scope::Scope;
use steward_entities::{lease, qa_sync_failure, qa_vector, tenant};
use steward_migration::testing::TestDatabase;

use crate::{committed, eventually, on_both, supervised};

on_both!(
    pairs_are_embedded_by_tenant_and_found_by_what_they_mean,
    what_was_removed_crowds_nobody_out,
    one_bad_pair_holds_nothing_up_and_is_tried_again,
    a_model_that_cannot_be_asked_is_left_alone_and_no_pair_is_told,
    a_model_that_refuses_everything_is_not_asked_for_every_pair,
    a_tenant_that_may_not_spend_holds_nobody_else_up,
    what_changes_meanwhile_is_embedded_again_and_an_answer_costs_nothing,
    what_is_edited_or_removed_while_it_is_embedded_is_not_written_over,
    another_model_is_no_gap,
    a_model_that_never_embedded_gives_way_at_once,
    another_model_under_the_same_name_is_told_and_nothing_is_mixed,
    two_nodes_do_not_embed_at_once_and_each_finds_what_the_other_embedded,
    the_actor_embeds_when_it_starts_and_when_it_is_told,
    the_actor_hears_of_news_and_follows_its_settings_at_once,
);

pub(crate) const NOW: i64 = 1_800_000_000_000_000;

type Meanwhile = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// Counts words: texts that share some are near. Models differ in how many dimensions they have.
#[derive(Default)]
struct Words {
    /// Models that cannot be reached.
    down: Mutex<HashSet<String>>,
    /// Dimensions of a model that has others than it had.
    dimensions: Mutex<HashMap<String, usize>>,
    unpaying: Mutex<HashSet<i64>>,
    /// Of each call: its tenant and how many texts.
    calls: Mutex<Vec<(i64, usize)>>,
    /// What happens while the next call is under way.
    meanwhile: Mutex<Option<Meanwhile>>,
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Words")
    }
}

impl Words {
    fn vector(&self, model: &str, text: &str) -> Vec<f32> {
        let dimensions = self.dimensions.lock().get(model).copied();
        let dimensions = dimensions.unwrap_or(64 + model.len());
        let mut vector = vec![0.01_f32; dimensions];
        for word in text.to_lowercase().split_whitespace() {
            let sum = word
                .bytes()
                .fold(7, |sum, byte| sum * 31 + usize::from(byte));
            vector[sum % dimensions] += 1.0;
        }
        vector
    }
}

#[async_trait]
impl Embedder for Words {
    async fn embed(&self, ask: Ask) -> Result<Vec<Vec<f32>>, Failed> {
        let tenant = ask.tenant_id.unwrap_or(0);
        self.calls.lock().push((tenant, ask.texts.len()));
        let meanwhile = self.meanwhile.lock().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile().await;
        }
        if self.down.lock().contains(&ask.model) {
            return Err(Failed::of(Blame::Provider, "nobody answers"));
        }
        if self.unpaying.lock().contains(&tenant) {
            let mut failed = Failed::of(Blame::Tenant, "the budget of the day is used up");
            failed.retry_after = Some(Duration::from_secs(3_600));
            return Err(failed);
        }
        if ask.texts.iter().any(|text| text.contains("forbidden")) {
            return Err(Failed::of(Blame::Texts, "the provider answered 400"));
        }
        let texts = ask.texts.iter();
        Ok(texts.map(|text| self.vector(&ask.model, text)).collect())
    }
}

pub(crate) fn came_to(embedded: u64, failed: u64) -> Passed {
    Passed {
        embedded,
        failed,
        again_at: None,
    }
}

pub(crate) struct World<'a> {
    database: &'a TestDatabase,
    pub(crate) parts: Parts,
    words: Arc<Words>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) tenants: [i64; 2],
}

impl<'a> World<'a> {
    pub(crate) async fn on(database: &'a TestDatabase) -> Self {
        let clock = Arc::new(ManualClock::at_micros(NOW));
        let words = Arc::new(Words::default());
        let settings = Settings {
            sync_batch: 10,
            ..Settings::default()
        };
        let parts = Parts {
            databases: (**database).clone(),
            embedder: words.clone(),
            store: None,
            settings: InForce::new(arc_swap::ArcSwap::from_pointee(settings)),
            model: "first".into(),
            clock: clock.clone(),
            node: 1,
            loaded: Arc::default(),
            news: Default::default(),
        };
        let tenants = committed(database, async |txn| {
            let mut ids = Vec::new();
            for name in ["one", "two"] {
                ids.push(tenant::insert(txn, name.to_owned(), NOW).await?.id);
            }
            Ok::<_, sea_orm::DbErr>([ids[0], ids[1]])
        });
        let tenants = tenants.await;
        Self {
            database,
            parts,
            words,
            clock,
            tenants,
        }
    }

    pub(crate) async fn add(&self, tenant: usize, question: &str) -> qa_pair::Model {
        let new = New {
            tenant_id: self.tenants[tenant],
            question: question.to_owned(),
            answer: "Yes.".to_owned(),
            category: String::new(),
            source: Source::Manual,
            template_id: None,
            quality_score: None,
            created_by: "ada".to_owned(),
        };
        committed(self.database, async |txn| {
            qa_pair::insert(txn, new.clone(), NOW).await
        })
        .await
    }

    pub(crate) async fn say(
        &self,
        pair: &qa_pair::Model,
        changes: qa_pair::ActiveModel,
    ) -> qa_pair::Model {
        committed(self.database, async |txn| {
            qa_pair::update(txn, pair, changes.clone(), NOW).await
        })
        .await
    }

    pub(crate) async fn ask(&self, pair: &qa_pair::Model, question: &str) -> qa_pair::Model {
        let changes = qa_pair::ActiveModel {
            question: Set(question.to_owned()),
            ..Default::default()
        };
        self.say(pair, changes).await
    }

    pub(crate) async fn remove(&self, pair: &qa_pair::Model) {
        committed(self.database, async |txn| qa_pair::remove(txn, pair).await).await;
    }

    pub(crate) async fn pass(&self) -> Passed {
        pass(&self.parts).await.unwrap()
    }

    pub(crate) async fn found(&self, scope: Scope, question: &str) -> Vec<String> {
        let found = self.parts.find(scope, question, 3, 0.5).await.unwrap();
        found.into_iter().map(|hit| hit.pair.question).collect()
    }

    pub(crate) async fn unsynced(&self) -> u64 {
        let filter = qa_pair::Filter {
            is_synced: Some(false),
            ..Default::default()
        };
        let read = &self.database.control_read;
        qa_pair::count(read, Scope::All, &filter).await.unwrap()
    }

    pub(crate) async fn failures(&self) -> Vec<qa_sync_failure::Model> {
        let read = &self.database.control_read;
        let found = qa_sync_failure::latest(read, Scope::All, &self.parts.model, 99).await;
        found.unwrap()
    }

    pub(crate) async fn hurry(&self) {
        let now = self.parts.clock.now_micros();
        committed(self.database, async |txn| {
            outage::hurry(txn, now).await?;
            qa_sync_failure::hurry(txn, Scope::All, now).await
        })
        .await;
    }

    pub(crate) fn calls(&self) -> Vec<(i64, usize)> {
        std::mem::take(&mut self.words.calls.lock())
    }

    pub(crate) fn may_not_spend(&self, tenant: usize) {
        self.words.unpaying.lock().insert(self.tenants[tenant]);
    }

    /// Has this happen while the next call is under way.
    pub(crate) fn meanwhile(&self, what: impl Future<Output = ()> + Send + 'static) {
        *self.words.meanwhile.lock() = Some(Box::new(move || what.boxed()));
    }

    pub(crate) fn is_down(&self, model: &str, down: bool) {
        let mut all = self.words.down.lock();
        match down {
            true => all.insert(model.to_owned()),
            false => all.remove(model),
        };
    }
}

async fn pairs_are_embedded_by_tenant_and_found_by_what_they_mean(database: &TestDatabase) {
    let world = World::on(database).await;
    assert!(world.found(Scope::All, "anything").await.is_empty());
    for n in 0..12 {
        world.add(0, &format!("filler number{n}")).await;
    }
    world.add(0, "rent a kimono today").await;
    let other = world.add(1, "rent a kimono tomorrow").await;
    assert_eq!(world.pass().await, came_to(14, 0));
    let [one, two] = world.tenants;
    assert_eq!(world.calls(), [(one, 10), (one, 3), (two, 1)]);
    assert_eq!(world.unsynced().await, 0);
    assert_eq!(world.pass().await, came_to(0, 0), "nothing is left");

    let mine = Scope::Tenant(one);
    let near = world.found(mine, "kimono to rent a day").await;
    assert_eq!(near, ["rent a kimono today"]);
    let all = world.found(Scope::All, "rent a kimono tomorrow").await;
    assert_eq!(all, [other.question.as_str(), "rent a kimono today"]);
    let strict = world.parts.find(mine, "kimono", 3, 0.999).await.unwrap();
    assert!(strict.is_empty());
    world.calls();
    assert!(world.found(Scope::Tenant(-1), "kimono").await.is_empty());
    assert!(
        world.calls().is_empty(),
        "nobody is paid for nobody's pairs"
    );

    // A process that has just started has to read them first; one with a database of its own has none to wait for.
    let fresh = Parts {
        loaded: Arc::default(),
        news: Default::default(),
        ..world.parts.clone()
    };
    let early = fresh.find(mine, "kimono", 3, 0.5).await;
    assert!(matches!(early, Err(NotFound::Loading)), "{early:?}");
    fresh.refresh().await.unwrap();
    assert_eq!(fresh.in_memory(), 14);
    assert_eq!(
        fresh
            .find(mine, "rent a kimono", 3, 0.5)
            .await
            .unwrap()
            .len(),
        1
    );
}

async fn what_was_removed_crowds_nobody_out(database: &TestDatabase) {
    let world = World::on(database).await;
    let mut gone = Vec::new();
    for n in 0..130 {
        gone.push(world.add(0, &format!("rent a kimono {n}")).await);
    }
    let kept = world.add(0, "kimono return it where").await;
    world.pass().await;
    committed(database, async |txn| {
        for pair in &gone {
            qa_pair::remove(txn, pair).await?;
        }
        Ok::<_, sea_orm::DbErr>(())
    })
    .await;
    let found = world.parts.find(Scope::All, "rent a kimono", 3, 0.1).await;
    let found = found.unwrap();
    assert_eq!((found.len(), found[0].pair.id), (1, kept.id));
    assert_eq!(world.parts.in_memory(), 1, "no memory is held for them");
    // Where nobody asks, a pass forgets them.
    world.remove(&kept).await;
    world.pass().await;
    assert_eq!(world.parts.in_memory(), 0);
}

async fn one_bad_pair_holds_nothing_up_and_is_tried_again(database: &TestDatabase) {
    let world = World::on(database).await;
    for n in 0..6 {
        world.add(0, &format!("question {n}")).await;
    }
    let bad = world.add(0, "a forbidden question").await;
    assert_eq!(world.pass().await, came_to(6, 1));
    assert_eq!(world.unsynced().await, 1);
    let told = world.failures().await;
    assert_eq!(
        (told.len(), told[0].pair_id, told[0].attempts),
        (1, bad.id, 1)
    );
    assert!(told[0].is_refused);
    let next = told[0].next_at - NOW;
    assert_eq!(
        (told[0].error.as_str(), next),
        ("the provider answered 400", 30_000_000)
    );
    let theirs = Scope::Tenant(world.tenants[1]);
    let count = qa_sync_failure::count(&database.control_read, theirs, "first").await;
    assert_eq!(count.unwrap(), 0);
    world.calls();
    world.pass().await;
    assert!(world.calls().is_empty(), "it waits");
    world.clock.advance_micros(31_000_000);
    world.pass().await;
    assert_eq!(
        (world.calls().len(), world.failures().await[0].attempts),
        (1, 2)
    );
    world.ask(&bad, "an allowed question").await;
    world.hurry().await;
    assert_eq!(world.pass().await, came_to(1, 0));
    assert!(world.failures().await.is_empty());
}

async fn a_model_that_cannot_be_asked_is_left_alone_and_no_pair_is_told(database: &TestDatabase) {
    let world = World::on(database).await;
    for n in 0..25 {
        world.add(0, &format!("question {n}")).await;
    }
    world.is_down("first", true);
    let mut passed = came_to(0, 0);
    passed.again_at = Some(NOW + 30_000_000);
    assert_eq!(world.pass().await, passed);
    assert_eq!((world.calls().len(), world.failures().await.len()), (1, 0));
    // A restart does not ask sooner; time does, and somebody who wants it.
    assert_eq!((world.pass().await, world.calls().len()), (passed, 0));
    world.clock.advance_micros(30_000_000);
    let again = world.pass().await.again_at.unwrap() - NOW;
    assert_eq!((world.calls().len(), again), (1, 90_000_000));
    let known = outage::all(&database.control_read).await.unwrap();
    let known = &known["first"];
    assert_eq!(
        (known.attempts, known.error.as_str()),
        (2, "nobody answers")
    );
    world.is_down("first", false);
    world.hurry().await;
    assert_eq!(world.pass().await, came_to(25, 0));
    assert!(
        outage::all(&database.control_read)
            .await
            .unwrap()
            .is_empty()
    );
}

async fn a_model_that_refuses_everything_is_not_asked_for_every_pair(database: &TestDatabase) {
    let world = World::on(database).await;
    for n in 0..60 {
        world.add(0, &format!("forbidden {n}")).await;
    }
    let passed = world.pass().await;
    assert!(
        passed.again_at.is_some() && passed.embedded == 0,
        "{passed:?}"
    );
    assert_eq!(world.calls().len(), 16);
    assert_eq!(world.failures().await.len() as u64, passed.failed);
    assert!(passed.failed < 16);
}

async fn a_tenant_that_may_not_spend_holds_nobody_else_up(database: &TestDatabase) {
    let world = World::on(database).await;
    for n in 0..25 {
        world.add(0, &format!("question {n}")).await;
    }
    world.add(1, "another question").await;
    world.words.unpaying.lock().insert(world.tenants[0]);
    assert_eq!(world.pass().await, came_to(1, 10));
    assert_eq!(
        world.calls(),
        [(world.tenants[0], 10), (world.tenants[1], 1)]
    );
    let told = world.failures().await;
    assert!(
        told.iter()
            .all(|one| !one.is_refused && one.next_at == NOW + 3_600_000_000)
    );
    world.words.unpaying.lock().clear();
    world.hurry().await;
    assert_eq!(world.pass().await, came_to(25, 0));
    assert!(world.failures().await.is_empty());
}

async fn what_changes_meanwhile_is_embedded_again_and_an_answer_costs_nothing(
    database: &TestDatabase,
) {
    let world = World::on(database).await;
    let pair = world.add(0, "where are you").await;
    world.pass().await;
    world.calls();
    let answer = qa_pair::ActiveModel {
        answer: Set("Here.".into()),
        ..Default::default()
    };
    let pair = world.say(&pair, answer).await;
    assert_eq!(world.unsynced().await, 1);
    assert_eq!(world.pass().await, came_to(0, 0));
    assert_eq!((world.unsynced().await, world.calls()), (0, vec![]));
    world.ask(&pair, "when do you open").await;
    // It is not what it asked any more, and not yet what it asks.
    assert!(world.found(Scope::All, "where are you").await.is_empty());
    assert_eq!(world.pass().await, came_to(1, 0));
    let open = world.found(Scope::All, "when do you open").await;
    assert_eq!(open, ["when do you open"]);
    assert!(world.found(Scope::All, "where are").await.is_empty());
}

async fn what_is_edited_or_removed_while_it_is_embedded_is_not_written_over(
    database: &TestDatabase,
) {
    let world = World::on(database).await;
    let edited = world.add(0, "where are you").await;
    let removed = world.add(0, "who are you").await;
    world.add(0, "what are you").await;
    let control = database.control.clone();
    let meanwhile = async move {
        let txn = begin_write(&control).await.unwrap();
        let changes = qa_pair::ActiveModel {
            question: Set("when do you open".into()),
            ..Default::default()
        };
        qa_pair::update(&txn, &edited, changes, NOW).await.unwrap();
        qa_pair::remove(&txn, &removed).await.unwrap();
        txn.commit().await.unwrap();
    };
    *world.words.meanwhile.lock() = Some(Box::new(move || meanwhile.boxed()));
    world.pass().await;
    assert_eq!((world.unsynced().await, world.parts.in_memory()), (1, 1));
    world.calls();
    assert_eq!(world.pass().await, came_to(1, 0));
    assert_eq!((world.unsynced().await, world.parts.in_memory()), (0, 2));
    let open = world.found(Scope::All, "when do you open").await;
    assert_eq!(open[0], "when do you open");
}

async fn another_model_is_no_gap(database: &TestDatabase) {
    let mut world = World::on(database).await;
    world.add(0, "rent a kimono").await;
    let edited = world.add(0, "opening hours").await;
    world.pass().await;
    world.parts.model = "successor".into();
    world.is_down("successor", true);
    world.add(0, "return the shoes").await;
    world.ask(&edited, "closing hours").await;
    world.pass().await;
    // The one before answers, also for what came since.
    let active = async |world: &World<'_>| world.parts.active().await.unwrap().unwrap();
    assert_eq!(active(&world).await, "first");
    for asked in ["return the shoes", "rent a kimono", "closing hours"] {
        assert_eq!(world.found(Scope::All, asked).await, [asked]);
    }

    // A text that the new one will not have is not waited for; the others are, however they come.
    let refused = world.add(0, "a forbidden question").await;
    world.is_down("successor", false);
    world.clock.advance_micros(31_000_000);
    world.pass().await;
    assert_eq!(active(&world).await, "successor");
    assert_eq!(world.parts.loaded.load_full().unwrap().model, "successor");
    for asked in ["return the shoes", "rent a kimono", "closing hours"] {
        assert_eq!(world.found(Scope::All, asked).await, [asked]);
    }
    assert_eq!(world.failures().await[0].pair_id, refused.id);
    // What the one before embedded goes with the next pass.
    let kept = async |model| qa_vector::count(&database.control_read, Scope::All, model).await;
    assert_eq!(kept("first").await.unwrap(), 3);
    world.pass().await;
    assert_eq!(kept("first").await.unwrap(), 0);
    assert_eq!(
        (kept("successor").await.unwrap(), world.parts.in_memory()),
        (3, 3)
    );
}

async fn a_model_that_never_embedded_gives_way_at_once(database: &TestDatabase) {
    let mut world = World::on(database).await;
    world.add(0, "rent a kimono").await;
    world.is_down("first", true);
    world.pass().await;
    world.parts.model = "successor".into();
    assert_eq!(world.pass().await, came_to(1, 0));
    assert_eq!(world.parts.active().await.unwrap().unwrap(), "successor");
    assert_eq!(world.found(Scope::All, "rent a kimono").await.len(), 1);
    assert!(
        outage::all(&database.control_read)
            .await
            .unwrap()
            .is_empty()
    );
}

async fn another_model_under_the_same_name_is_told_and_nothing_is_mixed(database: &TestDatabase) {
    let world = World::on(database).await;
    world.add(0, "rent a kimono").await;
    world.pass().await;
    world.words.dimensions.lock().insert("first".into(), 8);
    world.add(0, "return the shoes").await;
    let passed = world.pass().await;
    assert!(
        passed.again_at.is_some() && passed.embedded == 0,
        "{passed:?}"
    );
    let known = outage::all(&database.control_read).await.unwrap();
    let error = &known["first"].error;
    assert!(
        error.contains("8 dimensions") && error.contains("69"),
        "{error}"
    );
    let asked = world.parts.find(Scope::All, "rent a kimono", 3, 0.5).await;
    assert!(matches!(asked, Err(NotFound::Unembedded(_))), "{asked:?}");
}

async fn two_nodes_do_not_embed_at_once_and_each_finds_what_the_other_embedded(
    database: &TestDatabase,
) {
    let world = World::on(database).await;
    let other = Parts {
        node: 2,
        loaded: Arc::default(),
        news: Default::default(),
        ..world.parts.clone()
    };
    world.add(0, "rent a kimono").await;
    committed(database, async |txn| {
        lease::take(txn, "knowledge_sync", 2, NOW, NOW + 1_000_000).await
    })
    .await;
    assert_eq!(
        (world.pass().await, world.calls().len()),
        (came_to(0, 0), 0)
    );
    assert_eq!(pass(&other).await.unwrap(), came_to(1, 0));
    // Given back when it was through; and a clock that is behind hides nothing.
    let behind = Arc::new(ManualClock::at_micros(NOW - 5_000_000));
    let late = Parts {
        clock: behind,
        ..world.parts.clone()
    };
    world.add(0, "return the shoes").await;
    assert_eq!(pass(&late).await.unwrap(), came_to(1, 0));
    other.refresh().await.unwrap();
    assert_eq!(other.in_memory(), 2);
    let found = other.find(Scope::All, "return the shoes", 3, 0.5).await;
    assert_eq!(found.unwrap().len(), 1);
}

async fn the_actor_embeds_when_it_starts_and_when_it_is_told(database: &TestDatabase) {
    let world = World::on(database).await;
    world.add(0, "rent a kimono").await;
    let actor = ActorRef::new(8);
    let tree = supervised(spec(&actor, world.parts.clone()));
    let synced = async || (world.unsynced().await == 0).then_some(());
    eventually("the first pair is embedded", synced).await;
    world.add(0, "return the shoes").await;
    // The clock stands still: it is not due, but wanted.
    actor.try_send(SyncNow).unwrap();
    eventually("the second pair is embedded", synced).await;
    tree.shutdown(Duration::from_secs(10)).await;
}

async fn the_actor_hears_of_news_and_follows_its_settings_at_once(database: &TestDatabase) {
    let world = World::on(database).await;
    let every = |seconds| Settings {
        sync_batch: 10,
        sync_every: Duration::from_secs(seconds),
        ..Settings::default()
    };
    world.parts.settings.store(Arc::new(every(600)));
    world.add(0, "rent a kimono").await;
    let actor = ActorRef::new(8);
    let tree = supervised(spec(&actor, world.parts.clone()));
    let synced = async || (world.unsynced().await == 0).then_some(());
    eventually("the first pair is embedded", synced).await;
    // Written and told of: a while after the last pass, and long before the interval is over.
    world.add(0, "return the shoes").await;
    world.parts.news.tell();
    world.clock.advance_micros(5_000_000);
    eventually("what was told of is embedded", synced).await;
    assert!(!world.parts.news.is_told());
    // Not told of, and the interval far away; then the interval is made shorter.
    world.add(0, "wash the obi").await;
    world.clock.advance_micros(60_000_000);
    world.parts.settings.store(Arc::new(every(60)));
    eventually("the shorter interval is over", synced).await;
    // Off: nobody embeds what is told of, until it is on again.
    let mut off = every(60);
    off.syncs = false;
    world.parts.settings.store(Arc::new(off));
    world.add(0, "fold the sleeves").await;
    world.parts.news.tell();
    world.clock.advance_micros(600_000_000);
    // Whoever asks for it by name is served all the same: the actor has looked at the clock by then.
    let looks = world.calls().len();
    actor.try_send(SyncNow).unwrap();
    eventually("it was asked for", synced).await;
    assert_eq!((looks, world.calls().len()), (3, 1));
    tree.shutdown(Duration::from_secs(10)).await;
}
