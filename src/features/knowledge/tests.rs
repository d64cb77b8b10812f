use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::http::{Method, StatusCode};
use sea_orm::ActiveValue::Set;
use serde_json::{Value, json};
use steward_entities::database::begin_write;
use steward_entities::qa_sync_request::{self, Counts};
use steward_entities::scope::Scope;
use steward_entities::{instance, job, qa_pair, tenant};

use super::ChangeMany;
use super::bulk::{KIND, categorise};
use crate::testing::{Answer, Ask, START, World};

const KNOWLEDGE: &str = "/api/v1/ops/knowledge";

pub(super) struct House {
    pub(super) world: World,
    pub(super) root: String,
    /// Public id and key of two tenants.
    pub(super) tenants: Vec<(String, i64)>,
}

impl House {
    pub(super) async fn on(world: World) -> Self {
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let role = json!({"name": "keeper", "permissions": ["read:knowledge", "write:knowledge"]});
        Ask::post("/api/v1/ops/roles", role)
            .bearer(&root)
            .to(&app)
            .await;
        let mut tenants = Vec::new();
        for name in ["Kimono One", "和服店 A"] {
            let made = Ask::post("/api/v1/ops/tenants", json!({"name": name})).bearer(&root);
            let id = made.to(&app).await.body["id"].as_str().unwrap().to_owned();
            let read = &world.database.control_read;
            let row = tenant::by_public_id(read, Scope::All, &id).await;
            tenants.push((id, row.unwrap().unwrap().id));
        }
        Self {
            world,
            root,
            tenants,
        }
    }

    pub(super) async fn ask(
        &self,
        bearer: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> Answer {
        let app = self.world.app().await;
        let ask = Ask::new(method, &format!("{KNOWLEDGE}{path}")).bearer(bearer);
        match body {
            Value::Null => ask.to(&app).await,
            body => ask.json(body).to(&app).await,
        }
    }

    pub(super) async fn put_file(&self, bearer: &str, path: &str, file: Vec<u8>) -> Answer {
        let app = self.world.app().await;
        let ask = Ask::new(Method::POST, &format!("{KNOWLEDGE}{path}")).bearer(bearer);
        ask.bytes(file).to(&app).await
    }

    pub(super) async fn add(
        &self,
        tenant: usize,
        question: &str,
        category: &str,
        score: Option<f64>,
    ) -> String {
        let body = json!({"tenant_id": self.tenants[tenant].0, "question": question, "answer": "A",
            "category": category, "quality_score": score});
        let made = self.ask(&self.root, Method::POST, "/qa-pairs", body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        made.body["id"].as_str().unwrap().to_owned()
    }

    pub(super) async fn questions(&self, bearer: &str, query: &str) -> Vec<String> {
        let path = format!("/qa-pairs{query}");
        let found = self.ask(bearer, Method::GET, &path, Value::Null).await;
        let items = found.body["items"]
            .as_array()
            .unwrap_or_else(|| panic!("{found:?}"));
        items
            .iter()
            .map(|item| item["question"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Asks for a job and does it; what it changed.
    async fn bulk(&self, bearer: &str, body: Value) -> Value {
        let accepted = self.ask(bearer, Method::POST, "/qa-pairs/bulk", body).await;
        assert_eq!(accepted.status, StatusCode::ACCEPTED, "{accepted:?}");
        let id = accepted.body["job"]["id"].as_str().unwrap();
        let row = job::by_public_id(&self.world.database.control_read, id).await;
        let row = row.unwrap().unwrap();
        let kind = ChangeMany {
            databases: (*self.world.database).clone(),
            clock: Arc::clone(&self.world.state.clock),
            model: "".into(),
        };
        let who = (row.public_id, row.created_by);
        kind.perform(row.params, who, &|_| {}, &|| false)
            .await
            .unwrap()
    }
}

pub(super) fn code(answer: &Answer) -> (u16, &str) {
    let code = answer.body["code"].as_str().unwrap_or_default();
    (answer.status.as_u16(), code)
}

#[actix_web::test]
async fn pairs_are_found_by_every_filter_and_kept_by_their_tenants() {
    kept_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn pairs_are_found_by_every_filter_and_kept_by_their_tenants_postgres() {
    kept_on(World::postgres().await).await;
}

async fn kept_on(world: World) {
    let house = House::on(world).await;
    let root = &house.root;
    let price = house.add(0, "租借价格是多少？", "价格", Some(0.95)).await;
    house.add(0, "How do I book?", "预约", Some(0.5)).await;
    house.add(1, "租借价格是多少？", "价格", None).await;
    let tenant = house.tenants[1].0.clone();
    for (query, expected) in [
        (
            String::new(),
            vec!["租借价格是多少？", "How do I book?", "租借价格是多少？"],
        ),
        (format!("?tenant_id={tenant}"), vec!["租借价格是多少？"]),
        ("?tenant_id=ten_x".into(), vec![]),
        ("?keyword=BOOK".into(), vec!["How do I book?"]),
        (
            "?category=%E9%A2%84%E7%BA%A6".into(),
            vec!["How do I book?"],
        ),
        ("?source=template".into(), vec![]),
        ("?is_synced=true".into(), vec![]),
        ("?quality_min=0.9".into(), vec!["租借价格是多少？"]),
        ("?quality_max=0.5".into(), vec!["How do I book?"]),
        ("?page=2&page_size=2".into(), vec!["租借价格是多少？"]),
    ] {
        assert_eq!(house.questions(root, &query).await, expected, "{query}");
    }
    let overview = house.ask(root, Method::GET, "/overview", Value::Null).await;
    assert_eq!(
        overview.body,
        json!({
            "total_qa_pairs": 3,
            "by_tenant": {house.tenants[0].0.clone(): 2, tenant.clone(): 1},
            "by_category": {"价格": 2, "预约": 1},
            "by_source": {"manual": 3},
            "synced_count": 0,
            "unsynced_count": 3,
            "avg_quality_score": 0.725,
        })
    );

    // One that asks the same is told of, and added only when that is wanted.
    let mut same =
        json!({"tenant_id": house.tenants[0].0, "question": "租借价格 是多少?", "answer": "B"});
    let refused = house
        .ask(root, Method::POST, "/qa-pairs", same.clone())
        .await;
    assert_eq!(code(&refused), (409, "conflict"));
    assert!(
        refused.body["detail"].as_str().unwrap().contains(&price),
        "{refused:?}"
    );
    same["allow_duplicate"] = json!(true);
    let made = house.ask(root, Method::POST, "/qa-pairs", same).await;
    assert_eq!(made.status, StatusCode::CREATED);
    for (body, field) in [
        (json!({"question": "x", "answer": "x"}), "tenant_id"),
        (
            json!({"tenant_id": "ten_x", "question": "x", "answer": "x"}),
            "tenant_id",
        ),
        (
            json!({"tenant_id": tenant, "question": "", "answer": "x"}),
            "question",
        ),
        (
            json!({"tenant_id": tenant, "question": "x", "answer": "x", "quality_score": 1.5}),
            "quality_score",
        ),
    ] {
        let refused = house.ask(root, Method::POST, "/qa-pairs", body).await;
        assert_eq!(code(&refused), (422, "validation_failed"));
        assert_eq!(refused.body["errors"][0]["field"], field);
    }

    let path = format!("/qa-pairs/{price}");
    let text = json!({"question": "价格？", "answer": "四千円。", "category": "价格"});
    let changed = house.ask(root, Method::PUT, &path, text.clone()).await;
    assert_eq!(changed.body["answer"], "四千円。", "{changed:?}");
    assert_eq!(changed.body["quality_score"], 0.95, "left out, it stays");
    let app = house.world.app().await;
    let stale = Ask::put(&format!("{KNOWLEDGE}{path}"), text.clone())
        .bearer(root)
        .header("if-match", "\"1\"");
    assert_eq!(code(&stale.to(&app).await), (412, "precondition_failed"));
    let told = &house.world.audited("knowledge.update").await[0];
    assert_eq!(told.details["answer"], json!(["A", "四千円。"]));

    // Those of a tenant keep theirs, and nobody else's.
    let own = house
        .world
        .signed_in_of_tenant("own", "keeper", house.tenants[1].1)
        .await;
    assert_eq!(house.questions(&own, "").await, ["租借价格是多少？"]);
    let other = format!("?tenant_id={}", house.tenants[0].0);
    assert!(house.questions(&own, &other).await.is_empty());
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let body = if method == Method::PUT {
            text.clone()
        } else {
            Value::Null
        };
        let refused = house.ask(&own, method, &path, body).await;
        assert_eq!(code(&refused), (404, "not_found"));
    }
    let theirs = json!({"tenant_id": house.tenants[0].0, "question": "x", "answer": "x"});
    let refused = house.ask(&own, Method::POST, "/qa-pairs", theirs).await;
    assert_eq!(code(&refused), (422, "validation_failed"));
    let mine = json!({"question": "営業時間は？", "answer": "九時から。"});
    let made = house.ask(&own, Method::POST, "/qa-pairs", mine).await;
    assert_eq!(made.body["tenant_id"], json!(tenant), "{made:?}");
    let overview = house.ask(&own, Method::GET, "/overview", Value::Null).await;
    assert_eq!(overview.body["total_qa_pairs"], 2);
    let gone = house.ask(root, Method::DELETE, &path, Value::Null).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let viewer = house.world.signed_in("viewer", "ops_viewer").await;
    assert_eq!(house.questions(&viewer, "").await.len(), 4);
    let refused = house
        .ask(
            &viewer,
            Method::POST,
            "/qa-pairs",
            json!({"question": "x", "answer": "x"}),
        )
        .await;
    assert_eq!(code(&refused), (403, "forbidden"));

    let dashboard = Ask::get("/api/v1/ops/dashboard/overview")
        .bearer(root)
        .to(&app)
        .await;
    assert_eq!(
        (
            &dashboard.body["total_qa_pairs"],
            &dashboard.body["unsynced_qa_pairs"]
        ),
        (&json!(4), &json!(4))
    );
    let shown = Ask::get(&format!("/api/v1/ops/tenants/{tenant}"))
        .bearer(root)
        .to(&app)
        .await;
    assert_eq!(shown.body["qa_pair_count"], 2, "{shown:?}");
}

#[actix_web::test]
async fn many_are_changed_at_once_and_no_others() {
    changed_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn many_are_changed_at_once_and_no_others_postgres() {
    changed_on(World::postgres().await).await;
}

async fn changed_on(world: World) {
    let house = House::on(world).await;
    let root = &house.root;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(
            house
                .add(n % 2, &format!("Question {n}"), "old", None)
                .await,
        );
    }
    let changed = house
        .bulk(root, json!({"action": "change_category", "category": "new", "ids": [ids[0], ids[1], "qa_none"]}))
        .await;
    assert_eq!(changed, json!({"changed": 2}));
    assert_eq!(
        house.questions(root, "?category=new").await,
        ["Question 1", "Question 0"]
    );
    // Of a filter, and of one tenant: what is so already is not changed again.
    let filter = json!({"tenant_id": house.tenants[0].0});
    let again = json!({"action": "change_category", "category": "new", "filter": filter});
    assert_eq!(house.bulk(root, again).await, json!({"changed": 2}));
    // Those of a tenant reach their own only, whatever they name.
    let own = house
        .world
        .signed_in_of_tenant("own", "keeper", house.tenants[1].1)
        .await;
    let all = json!({"action": "delete", "ids": ids});
    assert_eq!(house.bulk(&own, all).await, json!({"changed": 2}));
    assert_eq!(
        house.questions(root, "").await,
        ["Question 4", "Question 2", "Question 0"]
    );
    // What comes after the request is not meant.
    let accepted = json!({"action": "delete", "filter": {}});
    let accepted = house
        .ask(root, Method::POST, "/qa-pairs/bulk", accepted)
        .await;
    house.add(0, "Later", "", None).await;
    let row = job::by_public_id(
        &house.world.database.control_read,
        accepted.body["job"]["id"].as_str().unwrap(),
    );
    let row = row.await.unwrap().unwrap();
    let kind = ChangeMany {
        databases: (*house.world.database).clone(),
        clock: Arc::clone(&house.world.state.clock),
        model: "".into(),
    };
    let who = (row.public_id, row.created_by);
    let stopped = kind
        .perform(row.params.clone(), who.clone(), &|_| {}, &|| true)
        .await;
    assert_eq!(stopped.unwrap_err(), "stopped after 0 pairs");
    let done = kind.perform(row.params, who, &|_| {}, &|| false).await;
    assert_eq!(done.unwrap(), json!({"changed": 3}));
    assert_eq!(house.questions(root, "").await, ["Later"]);
    let told = &house.world.audited("knowledge.changed").await[0];
    assert_eq!(
        (
            told.operator_name.as_str(),
            told.details["pairs"].as_array().unwrap().len()
        ),
        ("root", 3)
    );

    let sync = json!({"action": "sync", "filter": {}});
    let refused = house.ask(root, Method::POST, "/qa-pairs/bulk", sync).await;
    assert_eq!(code(&refused), (409, "conflict"), "no model is configured");
    for (body, field) in [
        (json!({"action": "delete"}), "ids"),
        (json!({"action": "delete", "ids": []}), "ids"),
        (
            json!({"action": "delete", "ids": ["x"], "filter": {}}),
            "ids",
        ),
        (
            json!({"action": "change_category", "ids": ["x"]}),
            "category",
        ),
    ] {
        let refused = house.ask(root, Method::POST, "/qa-pairs/bulk", body).await;
        assert_eq!(code(&refused), (422, "validation_failed"));
        assert_eq!(refused.body["errors"][0]["field"], field);
    }
}

#[actix_web::test]
async fn who_edits_a_pair_meanwhile_ends_no_change_of_many() {
    edited_meanwhile_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn who_edits_a_pair_meanwhile_ends_no_change_of_many_postgres() {
    edited_meanwhile_on(World::postgres().await).await;
}

/// On PostgreSQL others write between a step's read and its write.
async fn edited_meanwhile_on(world: World) {
    let house = House::on(world).await;
    let control = &house.world.database.control;
    let id = house.add(0, "How?", "old", None).await;
    let row = async || {
        let found = qa_pair::by_public_id(control, Scope::All, &id).await;
        found.unwrap().unwrap()
    };
    let read = row().await;
    let txn = begin_write(control).await.unwrap();
    let edit = qa_pair::ActiveModel {
        answer: Set("Like this.".to_owned()),
        ..Default::default()
    };
    qa_pair::update(&txn, &read, edit, START).await.unwrap();
    assert!(categorise(&txn, &read, "new", START).await.unwrap());
    txn.commit().await.unwrap();
    let now = row().await;
    assert_eq!(
        (now.answer.as_str(), now.category.as_str(), now.version),
        ("Like this.", "new", 3)
    );
    // What says so already, or is gone, is no change.
    let txn = begin_write(control).await.unwrap();
    assert!(!categorise(&txn, &read, "new", START).await.unwrap());
    qa_pair::remove(&txn, &now).await.unwrap();
    assert!(!categorise(&txn, &now, "other", START).await.unwrap());
    txn.commit().await.unwrap();
}

#[actix_web::test]
async fn a_category_is_in_no_vector_and_what_is_written_is_told() {
    told_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn a_category_is_in_no_vector_and_what_is_written_is_told_postgres() {
    told_on(World::postgres().await).await;
}

async fn told_on(world: World) {
    let house = House::on(world).await;
    let (root, news) = (&house.root, &house.world.state.tree.knowledge.news);
    // The clock stands still, so that nobody hears of it.
    assert!(!news.is_told());
    let id = house.add(0, "How?", "old", None).await;
    assert!(news.is_told());
    let control = &house.world.database.control;
    let row = async || {
        let found = qa_pair::by_public_id(control, Scope::All, &id).await;
        found.unwrap().unwrap()
    };
    let current = row().await;
    let txn = begin_write(control).await.unwrap();
    qa_pair::is_synced_now(&txn, &current, START).await.unwrap();
    txn.commit().await.unwrap();
    let path = format!("/qa-pairs/{id}");
    let say = |answer: &str, category: &str| json!({"question": "How?", "answer": answer, "category": category});
    house.ask(root, Method::PUT, &path, say("A", "new")).await;
    let shown = house.ask(root, Method::GET, &path, Value::Null).await;
    assert_eq!(
        (&shown.body["category"], &shown.body["is_synced"]),
        (&json!("new"), &json!(true))
    );
    let found = house.questions(root, "?is_synced=true").await;
    assert_eq!(found, ["How?"]);
    house.ask(root, Method::PUT, &path, say("B", "new")).await;
    assert!(house.questions(root, "?is_synced=true").await.is_empty());
    assert_eq!(house.questions(root, "?is_synced=false").await, ["How?"]);
}

#[actix_web::test]
async fn a_job_to_synchronise_is_not_told_of_what_failed_before_it() {
    waits_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn a_job_to_synchronise_is_not_told_of_what_failed_before_it_postgres() {
    waits_on(World::postgres().await).await;
}

/// The job was asked for, its model was away while it waited for its turn, and then it is stopped.
async fn waits_on(world: World) {
    let house = House::on(world).await;
    let world = &house.world;
    house.add(0, "rent a kimono", "c", None).await;
    let now = world.state.clock.now_micros();
    let everything = json!({"action": "sync", "tenant_key": null, "upto_key": i64::MAX});
    let txn = begin_write(&world.database.control).await.unwrap();
    let row = job::insert(&txn, KIND, everything, "op".to_owned(), now).await;
    let outage = json!({"m": {"attempts": 1, "error": "nobody answers", "failed_at": now + 1_000_000,
        "next_at": now + 9_000_000}});
    instance::put(&txn, "knowledge_outages", &outage.to_string())
        .await
        .unwrap();
    txn.commit().await.unwrap();
    let row = row.unwrap();
    world.clock.advance_micros(5_000_000);
    let kind = ChangeMany {
        databases: (*world.database).clone(),
        clock: Arc::clone(&world.state.clock),
        model: "m".into(),
    };
    // Marking looks twice whether it is to stop, and waiting once it was looked what has come of the pairs.
    let looks = AtomicUsize::new(0);
    let stopped = kind
        .synchronise(
            serde_json::from_value(row.params).unwrap(),
            &row.public_id,
            &|_| {},
            &|| looks.fetch_add(1, Ordering::Relaxed) == 2,
        )
        .await;
    let why = "stopped; what was embedded stays".to_owned();
    assert_eq!(stopped, Err(why), "the outage is older than the job's turn");
    let read = &world.database.control_read;
    assert_eq!(
        qa_sync_request::counts(read, row.id).await.unwrap(),
        Counts::default(),
        "nobody asks for them any more"
    );
}

#[actix_web::test]
async fn pairs_that_ask_the_same_are_told_and_made_one() {
    made_one_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn pairs_that_ask_the_same_are_told_and_made_one_postgres() {
    made_one_on(World::postgres().await).await;
}

async fn made_one_on(world: World) {
    let house = House::on(world).await;
    let root = &house.root;
    let tenant = house.tenants[0].0.clone();
    let first = house.add(0, "租借价格是多少？", "价格", None).await;
    let again = json!({"tenant_id": tenant, "question": "租借价格 是多少?", "answer": "四千円。", "allow_duplicate": true});
    let again = house.ask(root, Method::POST, "/qa-pairs", again).await;
    let again = again.body["id"].as_str().unwrap().to_owned();
    let other = house.add(1, "租借价格是多少？", "", None).await;
    house.add(0, "How do I book?", "", None).await;

    let told = house
        .ask(root, Method::GET, "/duplicates", Value::Null)
        .await;
    assert_eq!(told.body["total"], 1, "{told:?}");
    let ids = |group: &Value| -> Vec<String> {
        let pairs = group["pairs"].as_array().unwrap().iter();
        pairs
            .map(|pair| pair["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        ids(&told.body["items"][0]),
        [first.as_str(), again.as_str()]
    );
    assert_eq!(told.body["items"].as_array().unwrap().len(), 1);
    // Before somebody writes one, even when it is only one.
    let asked = format!(
        "/duplicates?tenant_id={}&question=%E7%A7%9F%E5%80%9F%E4%BB%B7%E6%A0%BC%E6%98%AF%E5%A4%9A%E5%B0%91",
        house.tenants[1].0
    );
    let told = house.ask(root, Method::GET, &asked, Value::Null).await;
    assert_eq!(ids(&told.body["items"][0]), [other.as_str()]);

    let path = format!("/qa-pairs/{first}");
    let quality = house
        .ask(root, Method::GET, &format!("{path}/quality"), Value::Null)
        .await;
    assert_eq!(quality.body["quality_score"], Value::Null);
    let unique = |quality: &Answer| {
        let factors = quality.body["factors"].as_array().unwrap();
        let unique = factors.iter().find(|factor| factor["aspect"] == "unique");
        unique.unwrap()["score"].clone()
    };
    assert_eq!(unique(&quality), 0.5, "{quality:?}");
    let before = quality.body["suggested_score"].as_f64().unwrap();

    // Nobody else's, and not itself.
    for wrong in [&other, &first, &"qa_x".to_owned()] {
        let merge = json!({"question": "租借价格？", "answer": "三千円起。", "merged": [wrong]});
        let refused = house
            .ask(root, Method::POST, &format!("{path}/merge"), merge)
            .await;
        assert_eq!(code(&refused), (422, "validation_failed"));
        assert_eq!(refused.body["errors"][0]["field"], "merged[0]");
    }
    let merge = json!({"question": "租借价格是多少？", "answer": "三千円起，四千円止，均含税。", "category": "价格", "quality_score": 0.9, "merged": [again]});
    let app = house.world.app().await;
    let stale = Ask::post(&format!("{KNOWLEDGE}{path}/merge"), merge.clone())
        .bearer(root)
        .header("if-match", "\"7\"");
    assert_eq!(code(&stale.to(&app).await), (412, "precondition_failed"));
    let merged = house
        .ask(root, Method::POST, &format!("{path}/merge"), merge)
        .await;
    assert_eq!(merged.status, StatusCode::OK, "{merged:?}");
    assert_eq!(merged.body["quality_score"], 0.9);
    assert_eq!(
        house.questions(root, &format!("?tenant_id={tenant}")).await,
        ["How do I book?", "租借价格是多少？"]
    );
    let told = &house.world.audited("knowledge.merge").await[0];
    assert_eq!(told.details["merged"], json!([again]));
    let told = house
        .ask(root, Method::GET, "/duplicates", Value::Null)
        .await;
    assert_eq!(told.body, json!({"items": [], "total": 0}));
    let quality = house
        .ask(root, Method::GET, &format!("{path}/quality"), Value::Null)
        .await;
    assert_eq!(unique(&quality), 1.0);
    assert!(quality.body["suggested_score"].as_f64().unwrap() > before);

    let own = house
        .world
        .signed_in_of_tenant("own", "keeper", house.tenants[1].1)
        .await;
    for (method, path, body) in [
        (Method::GET, format!("{path}/quality"), Value::Null),
        (
            Method::POST,
            format!("{path}/merge"),
            json!({"question": "x", "answer": "x", "merged": []}),
        ),
    ] {
        let refused = house.ask(&own, method, &path, body).await;
        assert_eq!(code(&refused), (404, "not_found"));
    }
}
