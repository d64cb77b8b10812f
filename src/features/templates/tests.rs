use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use sea_orm::ActiveValue::Set;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::{Value, json};
use steward_entities::database::begin_write;
use steward_entities::qa_pair::{self, Filter};
use steward_entities::scope::{Page, Scope};
use steward_entities::{job, tenant};

use super::distribute::{Distribute, Job, Watch};
use crate::testing::{Answer, Ask, START, World};

const TEMPLATES: &str = "/api/v1/ops/templates";
const ALL: Page = Page {
    after: None,
    limit: 1_000,
};

struct House {
    world: World,
    root: String,
    /// Public id and key of three tenants.
    tenants: Vec<(String, i64)>,
}

impl House {
    async fn on(world: World) -> Self {
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let mut tenants = Vec::new();
        for name in ["Kimono One", "和服店 A", "和服店 B"] {
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

    async fn ask(&self, method: Method, path: &str, body: Value) -> Answer {
        let app = self.world.app().await;
        let ask = Ask::new(method, &format!("{TEMPLATES}{path}")).bearer(&self.root);
        ask.json(body).to(&app).await
    }

    async fn get(&self, path: &str) -> Value {
        let app = self.world.app().await;
        let ask = Ask::get(&format!("{TEMPLATES}{path}")).bearer(&self.root);
        let answer = ask.to(&app).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body
    }

    async fn template(&self, question: &str, answer: &str, category: &str) -> String {
        let body = json!({"question": question, "answer": answer, "category": category});
        let made = self.ask(Method::POST, "", body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        made.body["id"].as_str().unwrap().to_owned()
    }

    /// Asks for a distribution and does the job; its result.
    async fn distribute(&self, body: Value) -> Value {
        let accepted = self.ask(Method::POST, "/distribute", body).await;
        assert_eq!(accepted.status, StatusCode::ACCEPTED, "{accepted:?}");
        self.run(accepted.body["job"]["id"].as_str().unwrap()).await
    }

    async fn run(&self, id: &str) -> Value {
        let row = job::by_public_id(&self.world.database.control_read, id).await;
        let row = row.unwrap().unwrap();
        let kind = Distribute {
            databases: (*self.world.database).clone(),
            clock: Arc::clone(&self.world.state.clock),
            news: self.world.state.tree.knowledge.news.clone(),
        };
        let job = Job {
            id: row.public_id,
            created_by: row.created_by,
            params: row.params,
        };
        let watch = Watch {
            progress: &|_| {},
            is_cancelled: &|| false,
        };
        kind.perform(job, watch).await.unwrap()
    }

    async fn pairs(&self, tenant: usize) -> Vec<qa_pair::Model> {
        let scope = Scope::Tenant(self.tenants[tenant].1);
        let read = &self.world.database.control_read;
        qa_pair::list(read, scope, &Filter::default(), ALL)
            .await
            .unwrap()
    }

    /// What a tenant does to its pair.
    async fn edits(&self, tenant: usize, answer: &str) {
        let pair = self.pairs(tenant).await.remove(0);
        let txn = begin_write(&self.world.database.control).await.unwrap();
        let changes = qa_pair::ActiveModel {
            answer: Set(answer.to_owned()),
            ..Default::default()
        };
        qa_pair::update(&txn, &pair, changes, START).await.unwrap();
        txn.commit().await.unwrap();
    }

    async fn states(&self, id: &str) -> Vec<String> {
        let told = self.get(&format!("/{id}/tenants")).await;
        let items = told["items"].as_array().unwrap();
        // Newest tenant first.
        let states = items.iter().rev();
        states
            .map(|item| item["state"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn code(answer: &Answer) -> (u16, &str) {
    let code = answer.body["code"].as_str().unwrap_or_default();
    (answer.status.as_u16(), code)
}

#[actix_web::test]
async fn templates_are_kept_found_and_changed() {
    kept_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn templates_are_kept_found_and_changed_postgres() {
    kept_on(World::postgres().await).await;
}

async fn kept_on(world: World) {
    let house = House::on(world).await;
    let price = house
        .template(" 租借价格是多少？ ", "三千円起。\r\n含税。", "价格")
        .await;
    let book = house.template("How do I book?", "Call us.", "").await;
    let same = json!({"question": "租借价格 是多少?", "answer": "x"});
    assert_eq!(
        code(&house.ask(Method::POST, "", same).await),
        (409, "conflict")
    );
    for (body, field) in [
        (json!({"question": " ", "answer": "x"}), "question"),
        (
            json!({"question": "x".repeat(1_001), "answer": "x"}),
            "question",
        ),
        (json!({"question": "x", "answer": ""}), "answer"),
        (
            json!({"question": "x", "answer": "x", "category": "a\nb"}),
            "category",
        ),
    ] {
        let refused = house.ask(Method::POST, "", body).await;
        assert_eq!(code(&refused), (422, "validation_failed"));
        assert_eq!(refused.body["errors"][0]["field"], field);
    }
    let shown = house.get(&format!("/{price}")).await;
    assert_eq!(shown["question"], "租借价格是多少？");
    assert_eq!(shown["answer"], "三千円起。\n含税。");
    assert_eq!(
        [
            &shown["distributed_count"],
            &shown["tenant_count"],
            &shown["revision"]
        ],
        [&json!(0), &json!(3), &json!(1)]
    );
    for (query, expected) in [
        ("", vec![&book, &price]),
        ("?category=%E4%BB%B7%E6%A0%BC", vec![&price]),
        ("?keyword=BOOK", vec![&book]),
        ("?q=%E5%90%AB%E7%A8%8E", vec![&price]),
        ("?category=", vec![&book]),
        ("?outdated=true", vec![]),
        ("?page_size=1&page=2", vec![&price]),
    ] {
        let found = house.get(query).await;
        let ids: Vec<&str> = found["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, expected, "{query}");
    }
    let categories = house.get("/categories").await;
    assert_eq!(
        categories["items"],
        json!([{"category": "", "templates": 1}, {"category": "价格", "templates": 1}])
    );

    let path = format!("/{price}");
    let text = json!({"question": "租借价格是多少？", "answer": "四千円起。", "category": "价格"});
    let changed = house.ask(Method::PUT, &path, text.clone()).await;
    assert_eq!(changed.body["revision"], 2, "{changed:?}");
    // Said again it is no revision.
    assert_eq!(
        house.ask(Method::PUT, &path, text.clone()).await.body["revision"],
        2
    );
    let app = house.world.app().await;
    let stale = Ask::put(&format!("{TEMPLATES}{path}"), text)
        .bearer(&house.root)
        .header("if-match", "\"1\"");
    assert_eq!(code(&stale.to(&app).await), (412, "precondition_failed"));
    let taken = json!({"question": "how do I book", "answer": "x"});
    assert_eq!(
        code(&house.ask(Method::PUT, &path, taken).await),
        (409, "conflict")
    );
    let told = &house.world.audited("templates.update").await[1];
    assert_eq!(told.details["revision"], json!([1, 2]));

    // Not for those of one tenant, nor for who only reads.
    let role = json!({"name": "keeper", "permissions": ["read:templates", "write:templates"]});
    Ask::post("/api/v1/ops/roles", role)
        .bearer(&house.root)
        .to(&app)
        .await;
    let own = house
        .world
        .signed_in_of_tenant("own", "keeper", house.tenants[0].1)
        .await;
    let viewer = house.world.signed_in("viewer", "ops_viewer").await;
    for (bearer, method, path) in [
        (&own, Method::GET, String::new()),
        (&own, Method::GET, format!("/{price}")),
        (&own, Method::GET, format!("/{price}/tenants")),
        (&own, Method::DELETE, format!("/{price}")),
        (&viewer, Method::DELETE, format!("/{price}")),
        (&viewer, Method::POST, "/distribute/preview".to_owned()),
        (&own, Method::POST, "/distribute".to_owned()),
    ] {
        let body = json!({"template_ids": [price], "all_tenants": true});
        let ask = Ask::new(method.clone(), &format!("{TEMPLATES}{path}")).bearer(bearer);
        let answer = match method {
            Method::POST => ask.json(body),
            _ => ask,
        };
        assert_eq!(
            code(&answer.to(&app).await),
            (403, "forbidden"),
            "{method} {path}"
        );
    }

    let gone = Ask::delete(&format!("{TEMPLATES}{path}"))
        .bearer(&house.root)
        .to(&app)
        .await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(
        code(&house.ask(Method::GET, &path, Value::Null).await),
        (404, "not_found")
    );
}

#[actix_web::test]
async fn a_tenants_own_words_are_never_overwritten_unasked() {
    handed_out_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn a_tenants_own_words_are_never_overwritten_unasked_postgres() {
    handed_out_on(World::postgres().await).await;
}

async fn handed_out_on(world: World) {
    let house = House::on(world).await;
    let id = house
        .template("退款政策是什么？", "七天内全额退款。", "政策")
        .await;
    // The third tenant asks the same by itself.
    let txn = begin_write(&house.world.database.control).await.unwrap();
    let own = qa_pair::New {
        tenant_id: house.tenants[2].1,
        question: "退款政策是什么".into(),
        answer: "不退。".into(),
        category: String::new(),
        source: qa_pair::Source::Manual,
        template_id: None,
        quality_score: None,
        created_by: "owner".into(),
    };
    qa_pair::insert(&txn, own, START).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(
        house.states(&id).await,
        ["missing", "missing", "own_question"]
    );

    let all = json!({"template_ids": [id], "all_tenants": true});
    let preview = house
        .ask(Method::POST, "/distribute/preview", all.clone())
        .await;
    let told = |preview: &Answer| {
        ["creates", "updates", "unchanged", "conflict_count"]
            .map(|name| preview.body[name].as_u64().unwrap())
    };
    assert_eq!(told(&preview), [2, 0, 0, 1], "{preview:?}");
    let conflict = &preview.body["conflicts"][0];
    assert_eq!(conflict["state"], "own_question");
    assert_eq!(conflict["tenant_name"], "和服店 B");
    assert_eq!(
        (&conflict["answer"], &conflict["pair"]["answer"]),
        (&json!("七天内全额退款。"), &json!("不退。"))
    );
    assert!(house.pairs(0).await.is_empty(), "a preview changes nothing");

    let result = house.distribute(all.clone()).await;
    let counts = |result: &Value| {
        [
            "created",
            "updated",
            "replaced",
            "kept",
            "skipped",
            "unchanged",
        ]
        .map(|name| result["counts"][name].as_u64().unwrap())
    };
    assert_eq!(counts(&result), [2, 0, 0, 0, 1, 0], "{result}");
    assert_eq!(result["tenants"].as_array().unwrap().len(), 3);
    let pair = house.pairs(0).await.remove(0);
    assert_eq!(
        (pair.answer.as_str(), pair.category.as_str(), pair.source),
        ("七天内全额退款。", "政策", qa_pair::Source::Template)
    );
    assert_eq!(house.pairs(2).await[0].answer, "不退。");
    assert_eq!(house.get(&format!("/{id}")).await["distributed_count"], 2);
    let audited = house.world.audited("templates.distributed").await;
    assert_eq!(audited.len(), 2, "{audited:?}");
    assert_eq!(audited[0].operator_name, "root");
    assert_eq!(house.world.audited("templates.distribute").await.len(), 1);

    // One tenant edits, then the template changes.
    house.edits(1, "三天。").await;
    let changed =
        json!({"question": "退款政策是什么？", "answer": "三十天内全额退款。", "category": "政策"});
    house.ask(Method::PUT, &format!("/{id}"), changed).await;
    assert_eq!(
        house.states(&id).await,
        ["outdated", "edited_outdated", "own_question"]
    );
    let shown = house.get("?outdated=true").await;
    assert_eq!(
        (&shown["total"], &shown["items"][0]["outdated_count"]),
        (&json!(1), &json!(2))
    );
    let preview = house
        .ask(Method::POST, "/distribute/preview", all.clone())
        .await;
    assert_eq!(told(&preview), [0, 1, 0, 2]);

    // The list and what is told of each tenant go by one rule: who says by itself what the template says is up to date.
    house.edits(1, "三十天内全额退款。").await;
    assert_eq!(
        house.states(&id).await,
        ["outdated", "current", "own_question"]
    );
    assert_eq!(house.get(&format!("/{id}")).await["outdated_count"], 1);
    house.edits(1, "三天。").await;
    assert_eq!(house.get(&format!("/{id}")).await["outdated_count"], 2);

    // Nothing was said of its words: they stay, and are asked about again.
    let result = house.distribute(all.clone()).await;
    assert_eq!(counts(&result), [0, 1, 0, 0, 2, 0], "{result}");
    assert_eq!(house.pairs(0).await[0].answer, "三十天内全额退款。");
    assert_eq!(house.pairs(1).await[0].answer, "三天。");
    assert_eq!(
        house.states(&id).await,
        ["current", "edited_outdated", "own_question"]
    );

    // Kept: decided until the template changes again.
    let seen = house.pairs(1).await[0].version;
    let decide = |action: &str, version: i64| {
        json!({"template_ids": [id], "tenant_ids": [house.tenants[1].0], "decisions": [
            {"template_id": id, "tenant_id": house.tenants[1].0, "action": action, "pair_version": version}]})
    };
    let result = house.distribute(decide("keep", seen)).await;
    assert_eq!(counts(&result), [0, 0, 0, 1, 0, 0]);
    assert_eq!(
        house.states(&id).await,
        ["current", "edited", "own_question"]
    );
    assert_eq!(house.get("?outdated=true").await["total"], 0);
    let again = json!({"question": "退款政策是什么？", "answer": "不退。", "category": "政策"});
    house.ask(Method::PUT, &format!("/{id}"), again).await;
    assert_eq!(house.states(&id).await[1], "edited_outdated");

    // Words that were changed since somebody decided on them are not what was decided on.
    house.edits(1, "五天。").await;
    let result = house.distribute(decide("replace", seen)).await;
    assert_eq!(counts(&result), [0, 0, 0, 0, 1, 0], "{result}");
    assert_eq!(house.pairs(1).await[0].answer, "五天。");
    let result = house.distribute(decide("replace", seen + 1)).await;
    assert_eq!(counts(&result), [0, 0, 1, 0, 0, 0], "{result}");
    assert_eq!(house.pairs(1).await[0].answer, "不退。");
    assert_eq!(house.pairs(1).await.len(), 1);

    // Removed by the tenant: made again only when somebody says so.
    let txn = begin_write(&house.world.database.control).await.unwrap();
    qa_pair::remove(&txn, &house.pairs(0).await[0])
        .await
        .unwrap();
    txn.commit().await.unwrap();
    assert_eq!(house.states(&id).await[0], "removed");
    let result = house.distribute(all.clone()).await;
    assert_eq!(counts(&result)[..4], [0, 0, 0, 0], "{result}");
    assert!(house.pairs(0).await.is_empty());
    let replace = json!({"template_ids": [id], "all_tenants": true, "on_conflict": "replace"});
    let accepted = house.ask(Method::POST, "/distribute", replace).await;
    let job = accepted.body["job"]["id"].as_str().unwrap().to_owned();
    let result = house.run(&job).await;
    assert_eq!(counts(&result), [0, 0, 2, 0, 0, 1], "{result}");
    assert_eq!(house.pairs(0).await.len(), 1);
    // The pair that asked the same was taken over, not doubled.
    assert_eq!(house.pairs(2).await.len(), 1);
    assert_eq!(house.pairs(2).await[0].answer, "不退。");
    assert_eq!(house.states(&id).await, ["current", "current", "current"]);
    // Started again after a crash it tells the same and does nothing twice.
    let audited = house.world.audited("templates.distributed").await.len();
    assert_eq!(counts(&house.run(&job).await), counts(&result));
    assert_eq!(house.pairs(0).await.len(), 1);
    assert_eq!(
        house.world.audited("templates.distributed").await.len(),
        audited
    );

    // Without the template the pairs are the tenants' own.
    let app = house.world.app().await;
    Ask::delete(&format!("{TEMPLATES}/{id}"))
        .bearer(&house.root)
        .to(&app)
        .await;
    let pair = house.pairs(1).await.remove(0);
    assert_eq!((pair.template_id, pair.answer.as_str()), (None, "不退。"));
}

/// On SQLite nobody else writes meanwhile.
#[actix_web::test]
async fn a_tenant_that_edits_while_it_is_handed_out_keeps_its_words() {
    let house = House::on(World::postgres().await).await;
    let id = house.template("Returns?", "30 days.", "Shop").await;
    house
        .distribute(json!({"template_ids": [id], "all_tenants": true}))
        .await;
    let better = json!({"question": "Returns?", "answer": "60 days.", "category": "Shop"});
    let path = format!("/{id}");
    let changed = house.ask(Method::PUT, &path, better).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    let database = &house.world.database;
    let pair = house.pairs(0).await.remove(0);
    let edit = begin_write(&database.control).await.unwrap();
    let changes = qa_pair::ActiveModel {
        answer: Set("None.".to_owned()),
        ..Default::default()
    };
    qa_pair::update(&edit, &pair, changes, START).await.unwrap();
    let everybody = json!({"template_ids": [id], "all_tenants": true});
    let distribution = house.distribute(everybody);
    let commits = async {
        let waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let waits = async || {
            let waiting = Statement::from_string(DbBackend::Postgres, waiting);
            let row = database.control_read.query_one_raw(waiting).await;
            row.unwrap().is_some()
        };
        while !waits().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        edit.commit().await.unwrap();
    };
    let both = Box::pin(async { tokio::join!(distribution, commits) });
    let both = tokio::time::timeout(Duration::from_secs(30), both).await;
    let (result, ()) = both.unwrap();
    assert_eq!(result["failed"], 0, "{result}");
    assert_eq!(result["counts"]["updated"], 2, "{result}");
    assert_eq!(result["counts"]["skipped"], 1, "{result}");
    for (tenant, answer) in ["None.", "60 days.", "60 days."].iter().enumerate() {
        assert_eq!(house.pairs(tenant).await.remove(0).answer, *answer);
    }
}

#[actix_web::test]
async fn a_distribution_names_what_there_is() {
    let house = House::on(World::sqlite().await).await;
    let id = house.template("Q", "A", "").await;
    let tenant = &house.tenants[0].0;
    for (body, field) in [
        (
            json!({"template_ids": [], "all_tenants": true}),
            "template_ids",
        ),
        (
            json!({"template_ids": [id, "tpl_x"], "all_tenants": true}),
            "template_ids[1]",
        ),
        (json!({"template_ids": [id]}), "tenant_ids"),
        (
            json!({"template_ids": [id], "tenant_ids": []}),
            "tenant_ids",
        ),
        (
            json!({"template_ids": [id], "tenant_ids": [tenant], "all_tenants": true}),
            "tenant_ids",
        ),
        (
            json!({"template_ids": [id], "tenant_ids": [tenant, "ten_x"]}),
            "tenant_ids[1]",
        ),
    ] {
        for path in ["/distribute", "/distribute/preview"] {
            let refused = house.ask(Method::POST, path, body.clone()).await;
            assert_eq!(code(&refused), (422, "validation_failed"), "{body}");
            assert_eq!(refused.body["errors"][0]["field"], field, "{body}");
        }
    }
    let wrong = json!({"template_ids": [id], "all_tenants": true, "on_conflict": "overwrite"});
    let refused = house.ask(Method::POST, "/distribute", wrong).await;
    assert_eq!(code(&refused), (422, "validation_failed"));
}
