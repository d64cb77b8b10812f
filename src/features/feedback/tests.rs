use actix_web::http::{Method, StatusCode, header};
use serde_json::{Value, json};
use steward_actors::domain::record::Record;
use steward_actors::domain::rid::{RecordId, Rid};
use steward_actors::ledger_store::{self, Batch};
use steward_entities::tenant;

use crate::testing::{Answer, Ask, START, World};

const FEEDBACK: &str = "/api/v1/feedback";
const MINUTE_US: i64 = 60_000_000;

/// Two tenants with a token each, a token of nobody, and calls of theirs on the books.
struct House {
    world: World,
    root: String,
    /// Public id, row, secret of a token.
    shop: (String, i64, String),
    bank: (String, i64, String),
    lone: String,
    calls: Vec<String>,
}

fn id_of(rid: i64, tail: u64) -> String {
    let id = RecordId {
        rid: Rid(rid),
        tail,
    };
    id.to_string()
}

impl House {
    async fn on(world: World) -> Self {
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let mut tenants = Vec::new();
        for name in ["Shop", "Bank"] {
            let made = Ask::post("/api/v1/ops/tenants", json!({"name": name})).bearer(&root);
            let id = made.to(&app).await.body["id"].as_str().unwrap().to_owned();
            let token = json!({"name": name, "tenant_id": id, "redaction": "redact"});
            let token = Ask::post("/api/v1/tokens", token)
                .bearer(&root)
                .to(&app)
                .await;
            let secret = token.body["token"].as_str().unwrap().to_owned();
            let read = &world.database.control_read;
            let row = tenant::by_public_id(read, steward_entities::scope::Scope::All, &id);
            let row = row.await.unwrap().unwrap();
            tenants.push((id, row.id, secret));
        }
        let lone = Ask::post("/api/v1/tokens", json!({"name": "lone"})).bearer(&root);
        let lone = lone.to(&app).await.body["token"]
            .as_str()
            .unwrap()
            .to_owned();
        let (bank, shop) = (tenants.pop().unwrap(), tenants.pop().unwrap());
        let snapshot = world.state.snapshot.load_full();
        let key_of = |tenant: i64| {
            let mut keys = snapshot.tokens.values();
            let key = keys.find(|key| key.token.tenant_id == tenant).unwrap();
            key.token.id
        };
        let mut records = Vec::new();
        let mut calls = Vec::new();
        // Three calls of the shop, one of the bank, one of nobody, a minute apart.
        for (n, tenant, user, model) in [
            (0, shop.1, "anna", "gpt-4o"),
            (1, shop.1, "ben", "gpt-4o"),
            (2, shop.1, "", "gpt-5"),
            (3, bank.1, "anna", "gpt-4o"),
            (4, 0, "anna", "gpt-4o"),
        ] {
            let at = START - (10 - n) * MINUTE_US;
            let tail = 40 + n.unsigned_abs();
            let record = Record {
                rid: Rid::floor_of_ms(at / 1_000).0,
                id_tail: tail,
                token_id: key_of(tenant),
                token_public_id: format!("tok_{n}"),
                tenant_id: tenant,
                app: "site".into(),
                end_user: user.into(),
                model: model.into(),
                provider: "openai".into(),
                conversation_id: format!("talk-{n}"),
                request_at: at,
                response_at: at,
                status_code: 200,
                success: true,
                ..Record::default()
            };
            calls.push(id_of(record.rid, tail));
            records.push((n.unsigned_abs() + 1, record));
        }
        let store = ledger_store::open(&world.database.ledger, world.state.time_zone);
        store.prepare(START / 1_000).await.unwrap();
        let batch = Batch {
            node: 0,
            entries: &records,
            upto_seq: 5,
            now_micros: START,
        };
        store.write(batch).await.unwrap();
        Self {
            world,
            root,
            shop,
            bank,
            lone,
            calls,
        }
    }

    async fn give(&self, secret: &str, body: Value) -> Answer {
        let app = self.world.app().await;
        Ask::post(FEEDBACK, body).bearer(secret).to(&app).await
    }

    async fn get(&self, bearer: &str, query: &str) -> Answer {
        let app = self.world.app().await;
        Ask::get(&format!("{FEEDBACK}{query}"))
            .bearer(bearer)
            .to(&app)
            .await
    }

    async fn act(&self, id: &str, act: &str, note: &str) -> Answer {
        let app = self.world.app().await;
        let body = json!({"note": note});
        Ask::post(&format!("{FEEDBACK}/{id}/{act}"), body)
            .bearer(&self.root)
            .to(&app)
            .await
    }
}

fn code(answer: &Answer) -> (u16, &str) {
    let code = answer.body["code"].as_str().unwrap_or_default();
    (answer.status.as_u16(), code)
}

fn ids(answer: &Answer) -> Vec<&str> {
    let items = answer.body["items"].as_array().unwrap();
    items
        .iter()
        .map(|row| row["id"].as_str().unwrap())
        .collect()
}

#[actix_web::test]
async fn feedback_is_given_once_replaced_and_kept_once_dealt_with() {
    given_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn feedback_is_given_once_replaced_and_kept_once_dealt_with_postgres() {
    given_on(World::postgres().await).await;
}

async fn given_on(world: World) {
    let house = House::on(world).await;
    let (shop, call) = (house.shop.2.as_str(), house.calls[0].as_str());
    let first = json!({"request_id": call, "rating": "down"});
    let made = house.give(shop, first.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(
        (&made.body["rating"], &made.body["status"]),
        (&json!(1), &json!("open"))
    );
    let id = made.body["id"].as_str().unwrap().to_owned();
    // Sent again it is the same.
    let again = house.give(shop, first.clone()).await;
    assert_eq!((again.status, &again.body), (StatusCode::OK, &made.body));
    // What comes later is added; what is left out stays.
    house.world.clock.advance_micros(MINUTE_US);
    let more = json!({"request_id": call, "rating": 2, "category": "wrong",
        "comment": " It said 5.\r\nWrite to boss@example.com ", "correction": "It is 6."});
    assert_eq!(house.give(shop, more).await.status, StatusCode::OK);
    let rated = json!({"request_id": call, "rating": 1});
    let rated = house.give(shop, rated).await;
    assert_eq!(rated.body["created_at"], made.body["created_at"]);
    assert_ne!(rated.body["updated_at"], made.body["updated_at"]);
    let shown = house.get(&house.root, &format!("/{id}")).await;
    let (told, body) = (|name: &str| shown.body[name].clone(), &shown.body);
    assert_eq!(told("request_id"), call);
    assert_eq!(told("user_name"), "anna", "the call's own user");
    assert_eq!(told("tenant_id"), house.shop.0.as_str());
    assert_eq!(told("tenant_name"), "Shop");
    assert_eq!(
        (told("model"), told("app")),
        (json!("gpt-4o"), json!("site"))
    );
    assert_eq!(told("conversation_id"), "talk-0");
    assert_eq!(
        (told("rating"), told("category")),
        (json!(1), json!("wrong"))
    );
    assert_eq!(told("correction"), "It is 6.");
    assert_eq!(told("conversation_kept"), false);
    // The token's rules hold for what people write, too.
    let comment = told("comment").as_str().unwrap().to_owned();
    assert!(comment.starts_with("It said 5.\nWrite to "), "{body}");
    assert!(!comment.contains("boss@example.com"), "{body}");

    // Somebody else's opinion of the same call is another.
    let other = json!({"request_id": call, "rating": 5, "user": "carl"});
    assert_eq!(house.give(shop, other).await.status, StatusCode::CREATED);
    assert_eq!(house.get(&house.root, "").await.body["total"], 2);

    let approved = house.act(&id, "approve", "good catch").await;
    assert_eq!(approved.body["status"], "approved", "{approved:?}");
    assert_eq!(approved.body["resolution"], "good catch");
    assert_eq!(approved.body["handled_by"], "root");
    assert_eq!(approved.body["handled_at"], "2026-03-15T18:31:00.000Z");
    assert_eq!(
        code(&house.act(&id, "approve", "").await),
        (409, "conflict")
    );
    // What says nothing new is as good as before; the rest comes too late.
    let late = house
        .give(shop, json!({"request_id": call, "rating": 5}))
        .await;
    assert_eq!(code(&late), (409, "feedback_handled"));
    let same = house
        .give(shop, json!({"request_id": call, "rating": 1}))
        .await;
    assert_eq!(
        (same.status, &same.body["status"]),
        (StatusCode::OK, &json!("approved"))
    );
    // A decision may be another, and be taken back.
    assert_eq!(
        house.act(&id, "reject", "").await.body["status"],
        "rejected"
    );
    let open = house.act(&id, "reopen", "").await;
    assert_eq!(
        (&open.body["status"], &open.body["handled_at"]),
        (&json!("open"), &Value::Null)
    );
    let late = house
        .give(shop, json!({"request_id": call, "rating": 5}))
        .await;
    assert_eq!(late.status, StatusCode::OK);
    let told = &house.world.audited("feedback.approve").await[0];
    assert_eq!(
        (told.target_id.as_str(), &told.details["note"]),
        (id.as_str(), &json!("good catch"))
    );
    assert_eq!(told.details["status"], json!(["open", "approved"]));
    assert_eq!(house.world.audited("feedback.reopen").await.len(), 1);
    // Who saw an older one is told so.
    let app = house.world.app().await;
    let stale = Ask::post(&format!("{FEEDBACK}/{id}/resolve"), json!({"note": "x"}))
        .bearer(&house.root)
        .header("if-match", "\"1\"");
    assert_eq!(code(&stale.to(&app).await), (412, "precondition_failed"));
}

#[actix_web::test]
async fn only_those_whose_call_it_was_may_say_something_of_it() {
    refused_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn only_those_whose_call_it_was_may_say_something_of_it_postgres() {
    refused_on(World::postgres().await).await;
}

async fn refused_on(world: World) {
    let house = House::on(world).await;
    let of = |n: usize| json!({"request_id": house.calls[n], "rating": 4});
    for (secret, call, expected) in [
        (&house.bank.2, 0, (404, "not_found")),
        (&house.shop.2, 4, (404, "not_found")),
        (&house.lone, 0, (404, "not_found")),
        (&house.lone, 4, (201, "")),
        (&house.bank.2, 3, (201, "")),
    ] {
        let answer = house.give(secret, of(call)).await;
        assert_eq!(code(&answer), expected, "{call} {answer:?}");
    }
    let app = house.world.app().await;
    let nobody = Ask::post(FEEDBACK, of(0)).to(&app).await;
    assert_eq!(code(&nobody), (401, "token_missing"));
    assert_eq!(
        code(&house.give("sk-stw-none", of(0)).await),
        (401, "token_invalid")
    );
    assert_eq!(code(&house.give(&house.root, of(0)).await).0, 401);
    let request_id = &house.calls[0];
    for (body, field) in [
        (json!({"request_id": "7", "rating": 1}), "request_id"),
        (json!({"request_id": request_id, "rating": 6}), "rating"),
        (json!({"request_id": request_id, "rating": "meh"}), "rating"),
        (
            json!({"request_id": request_id, "rating": 1, "category": "x".repeat(65)}),
            "category",
        ),
        (
            json!({"request_id": request_id, "rating": 1, "comment": "x".repeat(4_001)}),
            "comment",
        ),
        (
            json!({"request_id": request_id, "rating": 1, "prompt": "none@1"}),
            "prompt",
        ),
        (json!({"request_id": request_id}), "body"),
    ] {
        let answer = house.give(&house.shop.2, body).await;
        assert_eq!(code(&answer), (422, "validation_failed"), "{answer:?}");
        assert_eq!(answer.body["errors"][0]["field"], field, "{answer:?}");
    }
    // A call that is long over and not on the books never was; one that has just ended may come.
    let old = id_of(Rid::floor_of_ms(START / 1_000 - 3_600_000).0, 9);
    let young = id_of(Rid::floor_of_ms(START / 1_000 - 1_000).0, 9);
    let old = house
        .give(&house.shop.2, json!({"request_id": old, "rating": 1}))
        .await;
    assert_eq!(code(&old), (404, "not_found"));
    let young = house
        .give(&house.shop.2, json!({"request_id": young, "rating": 1}))
        .await;
    assert_eq!(code(&young), (409, "call_not_booked"));
    assert_eq!(young.header("retry-after"), "2");
    // A suspended tenant says nothing.
    let path = format!("/api/v1/ops/tenants/{}/suspend", house.bank.0);
    Ask::post(&path, json!({}))
        .bearer(&house.root)
        .to(&app)
        .await;
    assert_eq!(
        code(&house.give(&house.bank.2, of(3)).await),
        (403, "tenant_suspended")
    );
}

#[actix_web::test]
async fn too_much_feedback_at_once_is_refused() {
    let world =
        World::with_environment([("STEWARD__FEEDBACK__PER_MINUTE".to_owned(), "2".to_owned())]);
    let house = House::on(world.await).await;
    let of = json!({"request_id": house.calls[0], "rating": 4});
    for _ in 0..2 {
        assert!(
            house
                .give(&house.shop.2, of.clone())
                .await
                .status
                .is_success()
        );
    }
    let refused = house.give(&house.shop.2, of.clone()).await;
    assert_eq!(code(&refused), (429, "too_many_requests"));
    assert_eq!(refused.header("retry-after"), "30");
    // Another token has its own count.
    let other = json!({"request_id": house.calls[3], "rating": 4});
    assert_eq!(
        house.give(&house.bank.2, other).await.status,
        StatusCode::CREATED
    );
}

#[actix_web::test]
async fn pages_of_other_origins_send_it_where_they_may() {
    let allowed = "https://shop.example.com";
    let world = World::with_environment([(
        "STEWARD__FEEDBACK__ALLOWED_ORIGINS".to_owned(),
        format!("https://x.example, {allowed}"),
    )]);
    let house = House::on(world.await).await;
    let app = house.world.app().await;
    let ask = |method, origin| Ask::new(method, FEEDBACK).header("origin", origin);
    let preflight = ask(Method::OPTIONS, allowed).to(&app).await;
    assert_eq!(preflight.status, StatusCode::NO_CONTENT);
    assert_eq!(preflight.header("access-control-allow-origin"), allowed);
    assert!(
        preflight
            .header("access-control-allow-headers")
            .contains("authorization")
    );
    let other = ask(Method::OPTIONS, "https://evil.example").to(&app).await;
    assert_eq!(code(&other), (403, "origin_refused"));
    // A page may read why it was refused, too.
    let body = json!({"request_id": house.calls[0], "rating": 9});
    let refused = ask(Method::POST, allowed)
        .json(body.clone())
        .bearer(&house.shop.2);
    let refused = refused.to(&app).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.header("access-control-allow-origin"), allowed);
    let elsewhere = ask(Method::POST, "https://evil.example")
        .json(body)
        .bearer(&house.shop.2);
    let elsewhere = elsewhere.to(&app).await;
    assert!(
        !elsewhere
            .headers
            .contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
    );
}

#[actix_web::test]
async fn operators_find_count_and_see_their_own() {
    counted_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn operators_find_count_and_see_their_own_postgres() {
    counted_on(World::postgres().await).await;
}

async fn counted_on(world: World) {
    let house = House::on(world).await;
    let app = house.world.app().await;
    let prompt = json!({"name": "greet", "content": "Hello"});
    let prompt = Ask::post("/api/v1/prompts", prompt)
        .bearer(&house.root)
        .to(&app)
        .await;
    assert_eq!(prompt.status, StatusCode::CREATED, "{prompt:?}");
    let mut made = Vec::new();
    for (secret, n, body) in [
        (
            &house.shop.2,
            0,
            json!({"rating": 1, "category": "wrong", "comment": "nonsense", "correction": "6"}),
        ),
        (&house.shop.2, 1, json!({"rating": 5, "prompt": "greet"})),
        (
            &house.shop.2,
            2,
            json!({"rating": 4, "category": "wrong", "prompt": "greet@1"}),
        ),
        (&house.bank.2, 3, json!({"rating": 2, "category": "slow"})),
    ] {
        let mut body = body;
        body["request_id"] = json!(house.calls[n]);
        let answer = house.give(secret, body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        made.push(answer.body["id"].as_str().unwrap().to_owned());
        house.world.clock.advance_micros(MINUTE_US);
    }
    house.act(&made[0], "approve", "").await;
    house.world.clock.advance_micros(2 * MINUTE_US);
    house.act(&made[3], "reject", "").await;

    for (query, expected) in [
        ("".to_owned(), vec![3, 2, 1, 0]),
        ("?limit=2".to_owned(), vec![3, 2]),
        ("?page=2&page_size=3".to_owned(), vec![0]),
        ("?status=open".to_owned(), vec![2, 1]),
        ("?status=approved".to_owned(), vec![0]),
        ("?rating_max=2".to_owned(), vec![3, 0]),
        ("?rating_min=4".to_owned(), vec![2, 1]),
        ("?category=wrong".to_owned(), vec![2, 0]),
        ("?model=gpt-5".to_owned(), vec![2]),
        ("?user=ben".to_owned(), vec![1]),
        ("?app=other".to_owned(), vec![]),
        ("?has_correction=true".to_owned(), vec![0]),
        ("?prompt=greet".to_owned(), vec![2, 1]),
        ("?prompt=greet@2".to_owned(), vec![]),
        ("?q=NONSENSE".to_owned(), vec![0]),
        ("?q=%25".to_owned(), vec![]),
        (format!("?tenant_id={}", house.bank.0), vec![3]),
        ("?tenant_id=ten_none".to_owned(), vec![]),
        (format!("?request_id={}", house.calls[1]), vec![1]),
        ("?range=24h".to_owned(), vec![3, 2, 1, 0]),
        ("?to=2026-03-01".to_owned(), vec![]),
    ] {
        let found = house.get(&house.root, &query).await;
        let expected: Vec<&str> = expected.iter().map(|&n: &usize| made[n].as_str()).collect();
        assert_eq!(ids(&found), expected, "{query}");
    }
    let bad = house.get(&house.root, "?rating_min=9").await;
    assert_eq!(code(&bad), (422, "validation_failed"));

    let stats = house.get(&house.root, "/stats").await;
    let told = |name: &str| stats.body[name].clone();
    for (name, expected) in [
        ("total", json!(4)),
        ("pending", json!(2)),
        ("approved", json!(1)),
        ("rejected", json!(1)),
        ("resolved", json!(0)),
        ("good", json!(2)),
        ("bad", json!(2)),
        ("with_correction", json!(1)),
        ("avg_rating", json!(3.0)),
        ("good_rate", json!(0.5)),
        ("approval_rate", json!(0.5)),
        ("categories", json!(["wrong", "slow"])),
        // Four minutes for the first, three for the last.
        (
            "resolution_time",
            json!({"count": 2, "avg_ms": 210_000, "p50_ms": 180_000, "p95_ms": 240_000}),
        ),
    ] {
        assert_eq!(told(name), expected, "{name} {stats:?}");
    }
    let trend = told("trend");
    let trend = trend.as_array().unwrap();
    assert_eq!(trend.len(), 30, "{trend:?}");
    // Shanghai's day: it is the 16th there.
    let last = trend.last().unwrap();
    assert_eq!(
        (&last["date"], &last["total"]),
        (&json!("2026-03-16"), &json!(4))
    );
    assert_eq!(last["avg_rating"], 3.0);
    let names = |list: &str| -> Vec<(Value, i64)> {
        let parts = stats.body[list].as_array().unwrap();
        let part = |part: &Value| (part["name"].clone(), part["total"].as_i64().unwrap());
        parts.iter().map(part).collect()
    };
    assert_eq!(
        names("by_model"),
        [(json!("gpt-4o"), 3), (json!("gpt-5"), 1)]
    );
    assert_eq!(names("by_app"), [(json!("site"), 4)]);
    assert_eq!(
        names("by_category"),
        [(json!("wrong"), 2), (Value::Null, 1), (json!("slow"), 1)]
    );
    let by_prompt = &stats.body["by_prompt"][0];
    assert_eq!(by_prompt["prompt"], json!({"name": "greet", "version": 1}));
    assert_eq!(
        (&by_prompt["total"], &by_prompt["avg_rating"]),
        (&json!(2), &json!(4.5))
    );
    let far = house.get(&house.root, "/stats?from=2020-01-01").await;
    assert_eq!(code(&far), (400, "scan_budget_exceeded"));

    // The prompt's versions tell it, too.
    let path = format!(
        "/api/v1/prompts/{}/versions",
        prompt.body["id"].as_str().unwrap()
    );
    let versions = Ask::get(&path).bearer(&house.root).to(&app).await;
    let told = &versions.body["items"][0]["feedback"];
    assert_eq!(
        told,
        &json!({"total": 2, "good": 2, "bad": 0, "avg_rating": 4.5})
    );

    // Those of one tenant see theirs, and nothing else of it.
    let role = json!({"name": "clerk", "permissions": ["read:feedback", "write:feedback"]});
    let role = Ask::post("/api/v1/ops/roles", role)
        .bearer(&house.root)
        .to(&app)
        .await;
    assert_eq!(role.status, StatusCode::CREATED, "{role:?}");
    let clerk = house
        .world
        .signed_in_of_tenant("clerk", "clerk", house.bank.1)
        .await;
    let seen = house.get(&clerk, "").await;
    assert_eq!(ids(&seen), [made[3].as_str()]);
    assert_eq!(house.get(&clerk, "/stats").await.body["total"], 1);
    assert_eq!(
        house
            .get(&clerk, &format!("?tenant_id={}", house.shop.0))
            .await
            .body["total"],
        0
    );
    assert_eq!(
        code(&house.get(&clerk, &format!("/{}", made[0])).await),
        (404, "not_found")
    );
    let act = Ask::post(&format!("{FEEDBACK}/{}/reject", made[0]), json!({})).bearer(&clerk);
    assert_eq!(code(&act.to(&app).await), (404, "not_found"));
    let viewer = house.world.signed_in("viewer", "ops_viewer").await;
    assert_eq!(house.get(&viewer, "").await.body["total"], 4);
    let act = Ask::post(&format!("{FEEDBACK}/{}/reject", made[1]), json!({})).bearer(&viewer);
    assert_eq!(code(&act.to(&app).await), (403, "forbidden"));

    let overview = Ask::get("/api/v1/ops/dashboard/overview").bearer(&house.root);
    let overview = overview.to(&app).await;
    assert_eq!(overview.body["pending_feedbacks"], 2, "{overview:?}");
}
