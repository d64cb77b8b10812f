//! Vectors in a store that is called over a network: a copy of the tables that answers, is filled anew when it is lost or
//! exchanged, and whose failures cost nothing but time.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::ActiveValue::Set;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use steward_actors::knowledge::find::NotFound;
use steward_actors::knowledge::outage;
use steward_actors::knowledge::shelf::Shelves;
use steward_actors::knowledge::store::{Collection, Kind, Place, VectorStore, open};
use steward_actors::outward::{Call, Outward, Reply};
use steward_entities::database::DatabaseConfig;
use steward_entities::qa_pair;
use steward_entities::scope::Scope;
use steward_migration::testing::TestDatabase;

use crate::fake_stores::pinecone::Pinecone;
use crate::fake_stores::qdrant::Qdrant;
use crate::fake_stores::{Asked, FakeStore};
use crate::knowledge_sync::{NOW, World, came_to};
use crate::on_both;

on_both!(
    pairs_are_pushed_and_the_store_answers,
    what_changes_or_goes_does_so_in_the_store,
    a_store_that_cannot_be_reached_loses_nothing_and_nothing_is_embedded_twice,
    another_store_is_filled_from_the_tables_and_memory_answers_meanwhile,
    another_model_is_no_gap_in_the_store,
    a_collection_that_is_lost_is_made_anew,
    pinecone_answers_from_a_namespace,
    an_index_of_other_dimensions_is_told,
);

/// What PostgreSQL is reached by.
#[derive(Debug)]
struct Plain;

#[async_trait]
impl Outward for Plain {
    async fn call(&self, _: Call) -> Result<Reply, String> {
        Err("it is asked for none".to_owned())
    }

    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        let found = tokio::net::lookup_host((host, port)).await;
        Ok(found.map_err(|error| error.to_string())?.collect())
    }
}

/// Names a PostgreSQL server with pgvector, in a database that its role may make others beside.
const PGVECTOR_URL_VARIABLE: &str = "STEWARD_TEST_PGVECTOR_URL";

/// A database of its own on that server, and the store in it.
async fn with_pgvector() -> (Arc<dyn VectorStore>, String) {
    let server = std::env::var(PGVECTOR_URL_VARIABLE).unwrap();
    let (base, _) = server.rsplit_once('/').unwrap();
    let name = format!("vectors_{}", uuid::Uuid::now_v7().simple());
    let connection = sea_orm::Database::connect(&server).await.unwrap();
    let made = format!("CREATE DATABASE {name}");
    connection.execute_unprepared(&made).await.unwrap();
    connection.close().await.unwrap();
    let url = format!("{base}/{name}");
    let place = Place {
        kind: Kind::Pgvector,
        url: format!("{url}?sslmode=disable"),
        api_key: String::new(),
        prefix: "steward".to_owned(),
    };
    (open(place, Arc::new(Plain)).unwrap().into(), url)
}

#[actix::test]
async fn pgvector_answers_on_postgres() {
    let (store, url) = with_pgvector().await;
    for here in [TestDatabase::sqlite().await, TestDatabase::postgres().await] {
        let mut world = World::on(&here).await;
        world.parts.store = Some(Arc::clone(&store));
        for n in 0..12 {
            world.add(0, &format!("filler number{n}")).await;
        }
        let gone = world.add(0, "rent a kimono today").await;
        world.add(0, "rent a kimono").await;
        world.add(1, "rent a kimono tomorrow").await;
        assert_eq!(world.pass().await, came_to(15, 0));
        assert_eq!((world.unsynced().await, world.parts.in_memory()), (0, 0));
        let [one, two] = world.tenants;
        let asked = "kimono to rent today";
        let near = world.found(Scope::Tenant(one), asked).await;
        assert_eq!(near, ["rent a kimono today", "rent a kimono"]);
        let theirs = world.found(Scope::Tenant(two), "rent a kimono").await;
        assert_eq!(theirs, ["rent a kimono tomorrow"]);
        assert_eq!(world.found(Scope::All, "rent a kimono").await.len(), 3);
        world.remove(&gone).await;
        world.pass().await;
        let shelves = Shelves::of(&here.control_read, &*store).await.unwrap();
        let table = shelves.by_model["first"].collection.name.clone();
        let server = sea_orm::Database::connect(&url).await.unwrap();
        let counted = format!("SELECT count(*) AS many FROM \"{table}\"");
        let counted = Statement::from_string(DbBackend::Postgres, counted);
        let counted = server.query_one_raw(counted).await.unwrap().unwrap();
        assert_eq!(counted.try_get::<i64>("", "many").unwrap(), 14);
        // A lost table is made anew.
        let lost = format!("DROP TABLE \"{table}\"");
        server.execute_unprepared(&lost).await.unwrap();
        let asked = world.parts.find(Scope::All, "rent a kimono", 3, 0.5).await;
        assert!(
            matches!(&asked, Err(NotFound::Store(failed)) if failed.is_gone),
            "{asked:?}"
        );
        world.pass().await;
        assert_eq!(world.found(Scope::All, "rent a kimono").await.len(), 2);
        // And goes with its model.
        world.parts.model = "successor".into();
        world.pass().await;
        world.pass().await;
        let left = "SELECT tablename AS name FROM pg_tables WHERE tablename LIKE 'steward\\_%'";
        let left = Statement::from_string(DbBackend::Postgres, left);
        let left = server.query_all_raw(left).await.unwrap();
        let left: Vec<String> = left
            .iter()
            .map(|row| row.try_get("", "name").unwrap())
            .collect();
        assert!(
            left.len() == 1 && left[0].starts_with("steward_successor_73_"),
            "{left:?}"
        );
        let dropped = format!("DROP TABLE \"{}\"", left[0]);
        server.execute_unprepared(&dropped).await.unwrap();
        server.close().await.unwrap();
    }
}

#[actix::test]
async fn pgvector_that_cannot_be_used_says_why_on_postgres() {
    let there = TestDatabase::postgres().await;
    let DatabaseConfig::Postgres { url } = there.config() else {
        panic!("a PostgreSQL database has a URL");
    };
    let (_, rest) = url.split_once('@').unwrap();
    let place = rest.split('?').next().unwrap();
    let wrong = Place {
        kind: Kind::Pgvector,
        url: format!("postgres://nobody:canary-word@{place}?sslmode=disable"),
        api_key: String::new(),
        prefix: "steward".to_owned(),
    };
    let store = open(wrong, Arc::new(Plain)).unwrap();
    let collection = Collection {
        name: "steward_x".to_owned(),
        dimensions: 3,
    };
    let refused = store.create(&collection).await.unwrap_err();
    assert!(refused.sentence.contains("28P01"), "{}", refused.sentence);
    assert!(!refused.sentence.contains("canary"), "{}", refused.sentence);
    assert!(!refused.is_gone);
}

const KEY: &str = "vector-key-canary";

/// The wire to a fake.
struct Wire<S> {
    base: &'static str,
    store: Arc<S>,
}

impl<S> std::fmt::Debug for Wire<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.base)
    }
}

#[async_trait]
impl<S: FakeStore> Outward for Wire<S> {
    async fn call(&self, call: Call) -> Result<Reply, String> {
        let target = call.url.strip_prefix(self.base);
        let target = target.ok_or_else(|| format!("nobody lives there: {}", call.url))?;
        let key = call.headers.iter().find(|(name, _)| *name == S::KEY_HEADER);
        let (status, body) = self.store.answer(&Asked {
            method: call.method,
            target,
            key: key.map(|(_, value)| value.as_str()),
            body: &call.body,
        });
        let asks_patience = status == 429;
        Ok(Reply {
            status,
            retry_after: asks_patience.then(|| "120".to_owned()),
            body: body.to_string().into(),
        })
    }

    async fn addresses(&self, _: &str, _: u16) -> Result<Vec<SocketAddr>, String> {
        Err("it is asked for none".to_owned())
    }
}

fn opened<S: FakeStore>(kind: Kind, base: &'static str, store: &Arc<S>) -> Arc<dyn VectorStore> {
    let place = Place {
        kind,
        url: format!("{base}/"),
        api_key: KEY.to_owned(),
        prefix: "steward".to_owned(),
    };
    let store = Arc::clone(store);
    open(place, Arc::new(Wire { base, store })).unwrap().into()
}

async fn with_qdrant(database: &TestDatabase) -> (World<'_>, Arc<Qdrant>) {
    let mut world = World::on(database).await;
    let qdrant = Arc::new(Qdrant::new(KEY));
    world.parts.store = Some(opened(Kind::Qdrant, "http://127.0.0.1:6333", &qdrant));
    (world, qdrant)
}

async fn pairs_are_pushed_and_the_store_answers(database: &TestDatabase) {
    let (world, qdrant) = with_qdrant(database).await;
    for n in 0..12 {
        world.add(0, &format!("filler number{n}")).await;
    }
    let mine = world.add(0, "rent a kimono today").await;
    let other = world.add(1, "rent a kimono tomorrow").await;
    assert_eq!(world.pass().await, came_to(14, 0));
    assert_eq!((world.unsynced().await, world.parts.in_memory()), (0, 0));
    let points = qdrant.points();
    let [one, two] = world.tenants;
    assert_eq!(points.len(), 14);
    for (pair, tenant) in [(&mine, one), (&other, two)] {
        assert!(points.contains(&(pair.id as u64, tenant)), "{points:?}");
    }
    let calls = qdrant.called();
    let name = calls[0]
        .strip_prefix("PUT /collections/")
        .unwrap()
        .to_owned();
    assert!(name.starts_with("steward_first_69_"), "{name}");
    assert_eq!(
        calls[1..],
        [
            format!("PUT /collections/{name}/index?wait=true"),
            // One call for each tenant.
            format!("PUT /collections/{name}/points?wait=true"),
            format!("PUT /collections/{name}/points?wait=true"),
        ]
    );
    assert_eq!(world.pass().await, came_to(0, 0));
    assert_eq!(qdrant.called(), [""; 0], "nothing is left");

    let near = world
        .found(Scope::Tenant(one), "kimono to rent a day")
        .await;
    assert_eq!(near, ["rent a kimono today"]);
    assert_eq!(
        qdrant.called(),
        [format!("POST /collections/{name}/points/query")]
    );
    let all = world.found(Scope::All, "rent a kimono tomorrow").await;
    assert_eq!(all, ["rent a kimono tomorrow", "rent a kimono today"]);
    world.calls();
    qdrant.called();
    assert!(world.found(Scope::Tenant(-1), "kimono").await.is_empty());
    assert_eq!(
        (world.calls().len(), qdrant.called().len()),
        (0, 0),
        "nobody is asked"
    );
    // A process that has just started reads nothing into memory.
    let fresh = steward_actors::knowledge::Parts {
        loaded: Arc::default(),
        news: Default::default(),
        ..world.parts.clone()
    };
    let found = fresh
        .find(Scope::All, "rent a kimono", 3, 0.5)
        .await
        .unwrap();
    fresh.refresh().await.unwrap();
    assert_eq!((found.len(), fresh.in_memory()), (2, 0));
}

async fn what_changes_or_goes_does_so_in_the_store(database: &TestDatabase) {
    let (world, qdrant) = with_qdrant(database).await;
    let pair = world.add(0, "where are you").await;
    let gone = world.add(0, "who are you").await;
    world.pass().await;
    qdrant.called();
    let answer = qa_pair::ActiveModel {
        answer: Set("Here.".into()),
        ..Default::default()
    };
    let pair = world.say(&pair, answer).await;
    assert_eq!(world.unsynced().await, 1);
    world.pass().await;
    assert_eq!(
        (world.unsynced().await, qdrant.called().len()),
        (0, 0),
        "it asks the same"
    );
    world.ask(&pair, "when do you open").await;
    let stale = world.found(Scope::All, "where are you").await;
    assert!(!stale.contains(&"where are you".to_owned()), "{stale:?}");
    world.pass().await;
    let open = world.found(Scope::All, "when do you open").await;
    assert_eq!(
        (open[0].as_str(), world.unsynced().await),
        ("when do you open", 0)
    );
    world.remove(&gone).await;
    let left = world.found(Scope::All, "who are you").await;
    assert!(!left.contains(&gone.question), "at once: {left:?}");
    assert_eq!(qdrant.points().len(), 2);
    world.pass().await;
    assert_eq!(qdrant.points(), [(pair.id as u64, world.tenants[0])]);
    // What was removed since the last pass crowds nobody out.
    let mut many = Vec::new();
    for n in 0..130 {
        many.push(world.add(0, &format!("rent a kimono {n}")).await);
    }
    let kept = world.add(0, "kimono return it where").await;
    world.pass().await;
    for pair in &many {
        world.remove(pair).await;
    }
    let found = world
        .parts
        .find(Scope::All, "rent a kimono", 3, 0.1)
        .await
        .unwrap();
    assert!(found.iter().any(|hit| hit.pair.id == kept.id), "{found:?}");
}

async fn a_store_that_cannot_be_reached_loses_nothing_and_nothing_is_embedded_twice(
    database: &TestDatabase,
) {
    let (world, qdrant) = with_qdrant(database).await;
    world.add(0, "rent a kimono").await;
    world.add(1, "return the shoes").await;
    qdrant.refuse(Some((429, "Too many requests with vector-key-canary")));
    let passed = world.pass().await;
    // As long as it asked for.
    assert_eq!(
        (passed.embedded, passed.again_at),
        (2, Some(NOW + 120_000_000))
    );
    assert_eq!(
        (world.unsynced().await, world.failures().await.len()),
        (2, 0)
    );
    let known = outage::all(&database.control_read).await.unwrap();
    let error = &known[outage::STORE].error;
    assert!(error.contains("429") && !error.contains(KEY), "{error}");
    // Memory answers meanwhile, and another pass asks nobody.
    assert_eq!(
        world.found(Scope::All, "rent a kimono").await,
        ["rent a kimono"]
    );
    world.calls();
    qdrant.called();
    world.pass().await;
    assert_eq!((world.calls().len(), qdrant.called().len()), (0, 0));
    qdrant.refuse(None);
    world.hurry().await;
    assert_eq!(world.pass().await, came_to(0, 0));
    assert_eq!((world.calls().len(), world.unsynced().await), (0, 0));
    assert_eq!(qdrant.points().len(), 2);
    assert!(
        outage::all(&database.control_read)
            .await
            .unwrap()
            .is_empty()
    );
    // It breaks off between two tenants: what it has already may come again.
    world.add(0, "opening hours").await;
    qdrant.refuse(Some((503, "down")));
    world.pass().await;
    let asked = world.parts.find(Scope::All, "opening hours", 3, 0.5).await;
    assert!(
        matches!(&asked, Err(NotFound::Store(failed)) if failed.status == 503),
        "{asked:?}"
    );
    qdrant.refuse(None);
    assert_eq!(
        world.found(Scope::All, "rent a kimono").await,
        ["rent a kimono"]
    );
    world.hurry().await;
    world.pass().await;
    assert_eq!(
        world.found(Scope::All, "opening hours").await,
        ["opening hours"]
    );
}

async fn another_store_is_filled_from_the_tables_and_memory_answers_meanwhile(
    database: &TestDatabase,
) {
    let (mut world, first) = with_qdrant(database).await;
    world.add(0, "rent a kimono").await;
    let gone = world.add(0, "return the shoes").await;
    world.pass().await;
    let second = Arc::new(Qdrant::new(KEY));
    let there = opened(Kind::Qdrant, "http://elsewhere:6333", &second);
    let here = world.parts.store.replace(there);
    world.calls();
    second.refuse(Some((503, "not yet")));
    world.pass().await;
    assert_eq!(
        world.found(Scope::All, "rent a kimono").await,
        ["rent a kimono"]
    );
    assert_eq!((world.parts.in_memory(), world.calls().len()), (2, 1));
    second.refuse(None);
    world.hurry().await;
    world.pass().await;
    assert_eq!((world.parts.in_memory(), second.points().len()), (0, 2));
    assert_eq!(world.calls().len(), 0, "nothing is embedded twice");
    // Without any store memory answers, and what the first one was left with is not believed afterwards.
    world.parts.store = None;
    world.remove(&gone).await;
    world.pass().await;
    assert_eq!(
        world.found(Scope::All, "rent a kimono").await,
        ["rent a kimono"]
    );
    assert_eq!(world.parts.in_memory(), 1);
    world.parts.store = here;
    world.clock.advance_micros(1);
    world.pass().await;
    let collections = first.collections.lock().unwrap().clone();
    let counts: Vec<usize> = collections.values().map(|one| one.points.len()).collect();
    let (mut sorted, names) = (counts, collections.len());
    sorted.sort_unstable();
    assert_eq!(
        (names, sorted),
        (2, vec![1, 2]),
        "a collection of its own each time"
    );
    assert_eq!(
        world.found(Scope::All, "rent a kimono").await,
        ["rent a kimono"]
    );
}

async fn another_model_is_no_gap_in_the_store(database: &TestDatabase) {
    let (mut world, qdrant) = with_qdrant(database).await;
    world.add(0, "rent a kimono").await;
    world.pass().await;
    world.parts.model = "successor".into();
    world.is_down("successor", true);
    world.add(0, "return the shoes").await;
    world.pass().await;
    let active = async |world: &World<'_>| world.parts.active().await.unwrap().unwrap();
    assert_eq!(active(&world).await, "first");
    for asked in ["return the shoes", "rent a kimono"] {
        assert_eq!(world.found(Scope::All, asked).await, [asked]);
    }
    world.is_down("successor", false);
    world.clock.advance_micros(31_000_000);
    world.pass().await;
    assert_eq!(active(&world).await, "successor");
    assert_eq!(qdrant.collections.lock().unwrap().len(), 2);
    assert_eq!(
        world.found(Scope::All, "return the shoes").await,
        ["return the shoes"]
    );
    // The one before goes with the next pass, there as well.
    world.pass().await;
    assert_eq!(qdrant.points().len(), 2);
    let name = qdrant
        .collections
        .lock()
        .unwrap()
        .keys()
        .next()
        .unwrap()
        .clone();
    assert!(name.starts_with("steward_successor_73_"), "{name}");
    assert_eq!(
        world.found(Scope::All, "rent a kimono").await,
        ["rent a kimono"]
    );
}

async fn pinecone_answers_from_a_namespace(database: &TestDatabase) {
    let mut world = World::on(database).await;
    let pinecone = Arc::new(Pinecone::new(KEY, Some(69)));
    let base = "https://steward-abc.svc.aped-1.pinecone.io";
    world.parts.store = Some(opened(Kind::Pinecone, base, &pinecone));
    let gone = world.add(0, "rent a kimono today").await;
    let edited = world.add(0, "opening hours").await;
    world.add(1, "rent a kimono tomorrow").await;
    assert_eq!(world.pass().await, came_to(3, 0));
    assert_eq!((world.unsynced().await, world.parts.in_memory()), (0, 0));
    let [one, two] = world.tenants;
    let mut tenants: Vec<i64> = pinecone
        .records()
        .into_iter()
        .map(|(_, tenant)| tenant)
        .collect();
    tenants.sort_unstable();
    assert_eq!(tenants, [one, one, two]);
    let mine = world.found(Scope::Tenant(one), "kimono to rent").await;
    assert_eq!(mine, ["rent a kimono today"]);
    let all = world.found(Scope::All, "rent a kimono tomorrow").await;
    assert_eq!(all, ["rent a kimono tomorrow", "rent a kimono today"]);
    world.ask(&edited, "closing hours").await;
    world.remove(&gone).await;
    world.pass().await;
    assert_eq!(pinecone.records().len(), 2);
    assert_eq!(
        world.found(Scope::All, "closing hours").await[0],
        "closing hours"
    );
    // A namespace that is gone with its last vector is no failure.
    let (_, namespaces) = pinecone.take();
    assert_eq!(namespaces, 1);
    world.remove(&edited).await;
    world.pass().await;
    assert!(
        outage::all(&database.control_read)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(world.found(Scope::All, "closing hours").await.is_empty());
}

async fn an_index_of_other_dimensions_is_told(database: &TestDatabase) {
    let mut world = World::on(database).await;
    let pinecone = Arc::new(Pinecone::new(KEY, Some(768)));
    let base = "https://steward-abc.svc.aped-1.pinecone.io";
    world.parts.store = Some(opened(Kind::Pinecone, base, &pinecone));
    world.add(0, "rent a kimono").await;
    world.pass().await;
    let known = outage::all(&database.control_read).await.unwrap();
    let error = &known[outage::STORE].error;
    assert!(error.contains("768") && error.contains("69"), "{error}");
    assert_eq!(
        world.found(Scope::All, "rent a kimono").await,
        ["rent a kimono"]
    );
    assert_eq!(world.unsynced().await, 1);
}

async fn a_collection_that_is_lost_is_made_anew(database: &TestDatabase) {
    let (world, qdrant) = with_qdrant(database).await;
    world.add(0, "rent a kimono").await;
    world.pass().await;
    qdrant.collections.lock().unwrap().clear();
    let asked = world.parts.find(Scope::All, "rent a kimono", 3, 0.5).await;
    assert!(
        matches!(&asked, Err(NotFound::Store(failed)) if failed.is_gone),
        "{asked:?}"
    );
    world.parts.refresh().await.unwrap();
    assert_eq!(
        world.found(Scope::All, "rent a kimono").await,
        ["rent a kimono"]
    );
    assert_eq!(world.parts.in_memory(), 1, "memory answers");
    world.pass().await;
    assert_eq!((qdrant.points().len(), world.parts.in_memory()), (1, 0));
    // Noticed by a push as well.
    qdrant.collections.lock().unwrap().clear();
    world.add(0, "return the shoes").await;
    world.pass().await;
    world.hurry().await;
    world.pass().await;
    assert_eq!((qdrant.points().len(), world.unsynced().await), (2, 0));
    // Somebody else's key opens nothing, and is not told.
    let wrong = Place {
        kind: Kind::Qdrant,
        url: "http://127.0.0.1:6333".to_owned(),
        api_key: "other-canary".to_owned(),
        prefix: "steward".to_owned(),
    };
    let wire = Wire {
        base: "http://127.0.0.1:6333",
        store: qdrant,
    };
    let wrong = open(wrong, Arc::new(wire)).unwrap();
    let collection = Collection {
        name: "steward_x".to_owned(),
        dimensions: 3,
    };
    let refused = wrong.create(&collection).await.unwrap_err();
    assert_eq!((refused.status, refused.is_gone), (401, false));
    assert!(!refused.sentence.contains("canary"), "{}", refused.sentence);
}
