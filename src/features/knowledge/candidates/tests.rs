use std::sync::Arc;

use actix_web::http::{Method, StatusCode};
use sea_orm::ActiveValue::Set;
use serde_json::{Value, json};
use steward_actors::contents::{Content, Said};
use steward_actors::domain::rid::Rid;
use steward_actors::health::LatestRound;
use steward_actors::knowledge::embed::{Ask, Embedder, Failed};
use steward_actors::knowledge::learn::{self, Learned, pass};
use steward_actors::knowledge::{self, sync};
use steward_entities::database::begin_write;
use steward_entities::feedback::{self, Status};

use crate::features::knowledge::judge;
use crate::features::knowledge::tests::{House, code};
use crate::testing::{Answer, START, World};

/// Feedback as it comes from the table.
struct Given<'a> {
    number: i64,
    tenant: Option<i64>,
    rating: i64,
    comment: &'a str,
    correction: &'a str,
    status: Status,
}

impl Given<'_> {
    fn of(number: i64, tenant: i64) -> Self {
        Self {
            number,
            tenant: Some(tenant),
            rating: 1,
            comment: "",
            correction: "",
            status: Status::Approved,
        }
    }
}

fn rid_of(number: i64) -> i64 {
    Rid::floor_of_ms(START / 1_000).0 + number
}

impl House {
    async fn give(&self, given: Given<'_>) -> feedback::Model {
        let txn = begin_write(&self.world.database.control).await.unwrap();
        let new = feedback::New {
            rid: rid_of(given.number),
            id_tail: 7,
            token_id: 1,
            tenant_id: given.tenant,
            app: String::new(),
            end_user: String::new(),
            model: "m".to_owned(),
            conversation_id: String::new(),
            prompt: None,
            rating: given.rating,
            category: String::new(),
            comment: given.comment.to_owned(),
            correction: given.correction.to_owned(),
        };
        let row = feedback::insert(&txn, new, START).await.unwrap();
        txn.commit().await.unwrap();
        self.now(&row, given.status).await
    }

    async fn now(&self, row: &feedback::Model, status: Status) -> feedback::Model {
        let txn = begin_write(&self.world.database.control).await.unwrap();
        let changes = feedback::ActiveModel {
            status: Set(status),
            ..Default::default()
        };
        let row = feedback::update(&txn, row, changes, START).await.unwrap();
        txn.commit().await.unwrap();
        row
    }

    async fn keep(&self, number: i64, prompt: &str, completion: &str) {
        let content = Content {
            rid: rid_of(number),
            id_tail: 7,
            redaction: "redact".to_owned(),
            said: Some(Said {
                prompt: prompt.to_owned(),
                completion: completion.to_owned(),
                messages_json: "[]".to_owned(),
                ..Said::default()
            }),
            ..Content::default()
        };
        self.world.state.contents.write(&[content]).await.unwrap();
    }

    async fn learnt(&self, by_itself: bool) -> Learned {
        let nearby = self.world.state.tree.knowledge.clone();
        self.learnt_beside(nearby, by_itself).await
    }

    async fn learnt_beside(&self, nearby: knowledge::Parts, by_itself: bool) -> Learned {
        let mut settings = (**self.world.state.settings.load()).clone();
        settings.learns = by_itself;
        let parts = learn::Parts {
            databases: (*self.world.database).clone(),
            contents: Arc::clone(&self.world.state.contents),
            settings: Arc::new(arc_swap::ArcSwap::from_pointee(settings)),
            clock: Arc::clone(&self.world.state.clock),
            latest: LatestRound::default(),
            nearby,
            judge,
        };
        pass(&parts).await.unwrap()
    }

    async fn candidates(&self, bearer: &str, query: &str) -> Vec<Value> {
        let path = format!("/candidates{query}");
        let found = self.ask(bearer, Method::GET, &path, Value::Null).await;
        assert_eq!(found.status, StatusCode::OK, "{found:?}");
        found.body["items"].as_array().unwrap().clone()
    }

    async fn post(&self, bearer: &str, id: &str, act: &str, body: Value) -> Answer {
        let path = format!("/candidates/{id}/{act}");
        self.ask(bearer, Method::POST, &path, body).await
    }
}

fn came_to(candidates: u64, taken: u64, withdrawn: u64) -> Learned {
    Learned {
        candidates,
        taken,
        withdrawn,
        merged: 0,
        unread: 0,
    }
}

macro_rules! on_both {
    ($($name:ident, $postgres:ident, $test:ident);* $(;)?) => {$(
        #[actix_web::test]
        async fn $name() {
            $test(House::on(World::sqlite().await).await).await;
        }

        #[actix_web::test]
        async fn $postgres() {
            $test(House::on(World::postgres().await).await).await;
        }
    )*};
}

on_both! {
    approved_feedback_becomes_pairs_once, approved_feedback_becomes_pairs_once_postgres, becomes_pairs;
    nothing_is_written_over, nothing_is_written_over_postgres, writes_over_nothing;
    what_is_no_longer_approved_teaches_nothing, what_is_no_longer_approved_teaches_nothing_postgres, is_withdrawn;
    a_person_takes_completes_and_discards, a_person_takes_completes_and_discards_postgres, is_decided;
    what_is_said_otherwise_is_learnt_anew, what_is_said_otherwise_is_learnt_anew_postgres, follows_its_feedback;
    what_says_the_same_is_counted_once, what_says_the_same_is_counted_once_postgres, is_merged;
    what_asks_nearly_the_same_waits, what_asks_nearly_the_same_waits_postgres, waits_beside_another;
    a_tenants_operator_decides_on_its_own, a_tenants_operator_decides_on_its_own_postgres, is_scoped;
}

async fn becomes_pairs(house: House) {
    let tenant = house.tenants[0].1;
    house.keep(1, "租借价格是多少？", "不知道").await;
    house
        .give(Given {
            correction: "单日三千円起。",
            ..Given::of(1, tenant)
        })
        .await;
    house.keep(2, "When do you open?", "At nine.").await;
    house
        .give(Given {
            rating: 5,
            comment: "great",
            ..Given::of(2, tenant)
        })
        .await;
    house
        .give(Given {
            correction: "never learnt",
            comment: "Why?",
            status: Status::Open,
            ..Given::of(3, tenant)
        })
        .await;
    house.give(Given::of(4, tenant)).await;
    assert_eq!(house.learnt(true).await, came_to(3, 2, 0));
    assert_eq!(
        house.learnt(true).await,
        came_to(0, 0, 0),
        "each teaches once"
    );
    let root = house.root.clone();
    let questions = house.questions(&root, "?source=feedback").await;
    assert_eq!(questions, ["When do you open?", "租借价格是多少？"]);
    let taken = house.candidates(&root, "?status=taken").await;
    assert_eq!(taken.len(), 2);
    let one = taken.last().unwrap();
    assert_eq!(one["answer"], "单日三千円起。");
    assert_eq!(one["origin"], "conversation");
    assert_eq!(one["decided_by"], Value::Null);
    let path = format!("/qa-pairs/{}", one["pair_id"].as_str().unwrap());
    let pair = house.ask(&root, Method::GET, &path, Value::Null).await;
    assert_eq!(pair.body["answer"], "单日三千円起。");
    assert_eq!(pair.body["created_by"], "feedback");
    // Nobody judged it: what can be checked of it, as it is explained.
    let explained = house
        .ask(&root, Method::GET, &format!("{path}/quality"), Value::Null)
        .await;
    let score = pair.body["quality_score"].as_f64().unwrap();
    assert!((0.5..1.0).contains(&score), "{score}");
    assert_eq!(explained.body["suggested_score"], json!(score));
    let incomplete = house.candidates(&root, "?status=incomplete").await;
    assert_eq!(incomplete.len(), 1);
    assert_eq!(incomplete[0]["missing"], "question");
    assert_eq!(incomplete[0]["suggested_score"], Value::Null);
    let status = house
        .ask(&root, Method::GET, "/learn/status", Value::Null)
        .await;
    assert_eq!(status.body["taken_count"], 2);
    assert_eq!(status.body["incomplete_count"], 1);
    assert_eq!(status.body["waiting_count"], 0);
    assert_eq!(status.body["unprocessed_count"], 0);
    assert_eq!(status.body["process_interval_seconds"], 300);
}

async fn writes_over_nothing(house: House) {
    let (root, tenant) = (house.root.clone(), house.tenants[0].1);
    let old = house.add(0, "How much is it?", "", None).await;
    // The other tenant's pair is none of its business.
    house.add(1, "Where are you?", "", None).await;
    for (number, comment, correction) in [
        (1, "how much IS it", "3,000 yen."),
        (2, "Where are you?", "In Kyoto."),
        (3, "When do you close?", "At six."),
        (4, "when do you close", "At six."),
        (5, "When do you close?", "At seven."),
    ] {
        house
            .give(Given {
                comment,
                correction,
                ..Given::of(number, tenant)
            })
            .await;
    }
    // The fourth says what the third became.
    let learned = Learned {
        merged: 1,
        ..came_to(4, 2, 0)
    };
    assert_eq!(house.learnt(true).await, learned);
    let taken = house.candidates(&root, "?status=taken&q=close").await;
    assert_eq!(
        (taken.len(), &taken[0]["feedback_count"]),
        (1, &json!(2)),
        "{taken:?}"
    );
    let waiting = house.candidates(&root, "?status=waiting").await;
    let answers: Vec<&str> = waiting
        .iter()
        .map(|one| one["answer"].as_str().unwrap())
        .collect();
    assert_eq!(answers, ["At seven.", "3,000 yen."]);
    let much = waiting.last().unwrap();
    assert_eq!(much["same"][0]["id"], json!(old));
    assert_eq!(much["same"].as_array().unwrap().len(), 1);
    let path = format!("/qa-pairs/{old}");
    let pair = house.ask(&root, Method::GET, &path, Value::Null).await;
    assert_eq!(
        (&pair.body["answer"], &pair.body["version"]),
        (&json!("A"), &json!(1))
    );

    // A person decides: refused as a second one, then said instead of it.
    let id = much["id"].as_str().unwrap();
    let mut body =
        json!({"question": "How much is it?", "answer": "3,000 yen a day.", "category": "Prices"});
    let refused = house.post(&root, id, "take", body.clone()).await;
    assert_eq!(code(&refused), (409, "conflict"));
    body["replaces"] = waiting[0]["id"].clone();
    let refused = house.post(&root, id, "take", body.clone()).await;
    assert_eq!(code(&refused), (422, "validation_failed"));
    body["replaces"] = json!(old);
    let taken = house.post(&root, id, "take", body).await;
    assert_eq!(taken.status, StatusCode::OK, "{taken:?}");
    assert_eq!(taken.body["pair_id"], json!(old));
    assert_eq!(taken.body["decided_by"], "root");
    let pair = house.ask(&root, Method::GET, &path, Value::Null).await;
    assert_eq!(pair.body["answer"], "3,000 yen a day.");
    assert_eq!(pair.body["is_synced"], false);
}

async fn is_withdrawn(house: House) {
    let (root, tenant) = (house.root.clone(), house.tenants[0].1);
    let row = house
        .give(Given {
            comment: "Why?",
            correction: "Because.",
            ..Given::of(1, tenant)
        })
        .await;
    assert_eq!(house.learnt(false).await, came_to(1, 0, 0));
    assert_eq!(house.candidates(&root, "").await.len(), 1);
    let row = house.now(&row, Status::Open).await;
    assert_eq!(house.learnt(false).await, came_to(0, 0, 1));
    assert!(house.candidates(&root, "").await.is_empty());
    let row = house.now(&row, Status::Approved).await;
    assert_eq!(house.learnt(false).await, came_to(1, 0, 0));
    let id = house.candidates(&root, "").await[0]["id"].clone();
    let gone = house
        .post(&root, id.as_str().unwrap(), "discard", Value::Null)
        .await;
    assert_eq!(gone.status, StatusCode::OK, "{gone:?}");
    // What somebody decided on stays decided.
    let row = house.now(&row, Status::Rejected).await;
    house.now(&row, Status::Approved).await;
    assert_eq!(house.learnt(true).await, came_to(0, 0, 0));
    assert_eq!(house.candidates(&root, "?status=discarded").await.len(), 1);
}

async fn is_decided(house: House) {
    let (root, tenant) = (house.root.clone(), house.tenants[0].1);
    house
        .give(Given {
            correction: "Because.",
            ..Given::of(1, tenant)
        })
        .await;
    house
        .give(Given {
            tenant: None,
            comment: "Whose?",
            correction: "Nobody's.",
            ..Given::of(2, tenant)
        })
        .await;
    assert_eq!(house.learnt(true).await, came_to(2, 0, 0));
    let both = house.candidates(&root, "?status=incomplete").await;
    let (lone, mute) = (&both[0], &both[1]);
    assert_eq!(
        (&lone["missing"], &mute["missing"]),
        (&json!("tenant"), &json!("question"))
    );

    let id = lone["id"].as_str().unwrap();
    let body = json!({"question": "Whose?", "answer": "Nobody's."});
    let refused = house.post(&root, id, "take", body.clone()).await;
    assert_eq!(
        code(&refused),
        (422, "validation_failed"),
        "whose it becomes"
    );
    let mut body = body;
    body["tenant_id"] = json!(house.tenants[1].0);
    let taken = house.post(&root, id, "take", body.clone()).await;
    assert_eq!(taken.body["status"], "taken", "{taken:?}");
    let again = house.post(&root, id, "take", body).await;
    assert_eq!(code(&again), (409, "conflict"));
    assert!(again.body["detail"].as_str().unwrap().contains("root"));
    let late = house.post(&root, id, "discard", Value::Null).await;
    assert_eq!(code(&late), (409, "conflict"));

    let id = mute["id"].as_str().unwrap();
    let discarded = house.post(&root, id, "discard", Value::Null).await;
    assert_eq!(discarded.body["status"], "discarded");
    let again = house.post(&root, id, "discard", Value::Null).await;
    assert_eq!(code(&again), (409, "conflict"));
    // People change their minds, and the words.
    let body = json!({"question": "Why?", "answer": "Because it rained.", "quality_score": 0.9});
    let taken = house.post(&root, id, "take", body).await;
    assert_eq!(taken.body["status"], "taken", "{taken:?}");
    let path = format!("/qa-pairs/{}", taken.body["pair_id"].as_str().unwrap());
    let pair = house.ask(&root, Method::GET, &path, Value::Null).await;
    assert_eq!(
        (
            &pair.body["question"],
            &pair.body["quality_score"],
            &pair.body["source"]
        ),
        (&json!("Why?"), &json!(0.9), &json!("feedback"))
    );
    // The pair is removed: what was decided stays.
    house.ask(&root, Method::DELETE, &path, Value::Null).await;
    let taken = house.candidates(&root, "?status=taken&q=because").await;
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert_eq!(taken[0]["pair_id"], Value::Null);
    let none = house.post(&root, "qac_x", "discard", Value::Null).await;
    assert_eq!(code(&none), (404, "not_found"));
}

async fn is_scoped(house: House) {
    for (number, tenant) in [(1, 0), (2, 1)] {
        house
            .give(Given {
                comment: "Why?",
                correction: "Because.",
                ..Given::of(number, house.tenants[tenant].1)
            })
            .await;
    }
    assert_eq!(house.learnt(false).await, came_to(2, 0, 0));
    let root = house.root.clone();
    let tenant = house.tenants[0].1;
    let keeper = house
        .world
        .signed_in_of_tenant("own", "keeper", tenant)
        .await;
    let own = house.candidates(&keeper, "").await;
    assert_eq!(own.len(), 1);
    assert_eq!(own[0]["tenant_id"], json!(house.tenants[0].0));
    let all = house.candidates(&root, "").await;
    let other = all
        .iter()
        .find(|one| one["tenant_id"] != own[0]["tenant_id"])
        .unwrap();
    let hidden = house
        .post(
            &keeper,
            other["id"].as_str().unwrap(),
            "discard",
            Value::Null,
        )
        .await;
    assert_eq!(code(&hidden), (404, "not_found"));
    let status = house
        .ask(&keeper, Method::GET, "/learn/status", Value::Null)
        .await;
    assert_eq!(status.body["waiting_count"], 1);
    let by_tenant = format!("?tenant_id={}", house.tenants[1].0);
    assert!(house.candidates(&keeper, &by_tenant).await.is_empty());
    assert_eq!(house.candidates(&root, &by_tenant).await.len(), 1);
}

impl House {
    /// The user says something else; whoever reopened it approves it again.
    async fn says(&self, row: &feedback::Model, correction: &str) -> feedback::Model {
        let open = self.now(row, Status::Open).await;
        let txn = begin_write(&self.world.database.control).await.unwrap();
        let changes = feedback::ActiveModel {
            correction: Set(correction.to_owned()),
            ..Default::default()
        };
        let said = feedback::update(&txn, &open, changes, START).await.unwrap();
        txn.commit().await.unwrap();
        self.now(&said, Status::Approved).await
    }
}

async fn follows_its_feedback(house: House) {
    let (root, tenant) = (house.root.clone(), house.tenants[0].1);
    let row = house
        .give(Given {
            comment: "When do you open?",
            correction: "At nine.",
            ..Given::of(1, tenant)
        })
        .await;
    assert_eq!(house.learnt(false).await, came_to(1, 0, 0));
    // Reopened, corrected and approved between two passes.
    let row = house.says(&row, "At ten.").await;
    assert_eq!(house.learnt(false).await, came_to(1, 0, 0));
    let all = house.candidates(&root, "").await;
    assert_eq!(
        (all.len(), &all[0]["answer"], &all[0]["status"]),
        (1, &json!("At ten."), &json!("waiting"))
    );
    // Decided on: the same words stay decided, others are for somebody to decide.
    let id = all[0]["id"].as_str().unwrap();
    let body = json!({"question": "When do you open?", "answer": "At ten."});
    let taken = house.post(&root, id, "take", body).await;
    assert_eq!(taken.status, StatusCode::OK, "{taken:?}");
    let row = house.says(&row, "At ten.").await;
    assert_eq!(house.learnt(true).await, came_to(0, 0, 0));
    house.says(&row, "At eleven.").await;
    assert_eq!(house.learnt(true).await, came_to(1, 0, 0));
    let all = house.candidates(&root, "").await;
    assert_eq!(
        (all.len(), &all[0]["answer"], &all[0]["status"]),
        (1, &json!("At eleven."), &json!("waiting"))
    );
    assert_eq!(all[0]["same"][0]["answer"], "At ten.");
    assert_eq!(all[0]["decided_by"], Value::Null);
}

async fn is_merged(house: House) {
    let (root, tenant) = (house.root.clone(), house.tenants[0].1);
    let mut rows = Vec::new();
    for (number, comment, correction) in [
        (1, "Where are you?", "In Kyoto."),
        (2, "where are you", "in kyoto"),
        (3, "Where are you?", "In Nara."),
    ] {
        let given = Given {
            comment,
            correction,
            ..Given::of(number, tenant)
        };
        rows.push(house.give(given).await);
    }
    // The other tenant's says the same, and is no business of theirs.
    house
        .give(Given {
            comment: "Where are you?",
            correction: "In Kyoto.",
            ..Given::of(4, house.tenants[1].1)
        })
        .await;
    let learned = Learned {
        merged: 1,
        ..came_to(3, 0, 0)
    };
    assert_eq!(house.learnt(false).await, learned);
    let own = format!("?tenant_id={}", house.tenants[0].0);
    let counts = async || -> Vec<(Value, Value)> {
        let found = house.candidates(&root, &own).await;
        let both = |one: &Value| (one["answer"].clone(), one["feedback_count"].clone());
        found.iter().map(both).collect()
    };
    assert_eq!(
        counts().await,
        [
            (json!("In Nara."), json!(1)),
            (json!("In Kyoto."), json!(2))
        ]
    );
    let merged = house.candidates(&root, "?status=merged").await;
    assert_eq!(merged.len(), 1);
    let id = merged[0]["id"].as_str().unwrap();
    let refused = house.post(&root, id, "discard", Value::Null).await;
    assert_eq!(code(&refused), (409, "conflict"));
    // The one that it was counted at is withdrawn: it stands for itself.
    house.now(&rows[0], Status::Rejected).await;
    assert_eq!(house.learnt(false).await, came_to(1, 0, 1));
    assert_eq!(
        counts().await,
        [(json!("in kyoto"), json!(1)), (json!("In Nara."), json!(1))]
    );
}

/// Texts that share words are near.
#[derive(Debug)]
struct Words;

#[async_trait::async_trait]
impl Embedder for Words {
    async fn embed(&self, ask: Ask) -> Result<Vec<Vec<f32>>, Failed> {
        let vector = |text: &String| {
            let mut vector = vec![0.01_f32; 64];
            for word in text.split_whitespace() {
                let sum = word
                    .bytes()
                    .fold(7, |sum, byte| sum * 31 + usize::from(byte));
                vector[sum % 64] += 1.0;
            }
            vector
        };
        Ok(ask.texts.iter().map(vector).collect())
    }
}

async fn waits_beside_another(house: House) {
    let (root, tenant) = (house.root.clone(), house.tenants[0].1);
    let pair = house
        .add(0, "how much is it to rent a red kimono", "", None)
        .await;
    let nearby = knowledge::Parts {
        embedder: Arc::new(Words),
        model: "words".into(),
        loaded: Arc::default(),
        ..house.world.state.tree.knowledge.clone()
    };
    assert_eq!(sync::pass(&nearby).await.unwrap().embedded, 1);
    for (number, comment) in [
        (1, "how much is it to rent a blue kimono"),
        (2, "where do you wash the obi"),
    ] {
        house
            .give(Given {
                comment,
                correction: "It depends.",
                ..Given::of(number, tenant)
            })
            .await;
    }
    assert_eq!(
        house.learnt_beside(nearby, true).await,
        came_to(2, 1, 0),
        "the one that nothing is near to"
    );
    let waiting = house.candidates(&root, "?status=waiting").await;
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    assert_eq!(
        waiting[0]["question"],
        "how much is it to rent a blue kimono"
    );
    assert_eq!(waiting[0]["alike"]["id"], json!(pair));
    assert_eq!(waiting[0]["same"], json!([]));
}
