use actix_web::http::StatusCode;
use serde_json::{Value, json};
use steward_actors::domain::record::{Attempt, Operation, Record};
use steward_actors::domain::rid::Rid;
use steward_actors::ledger_store::{self, Batch, DeadLetter};

use crate::testing::{Answer, Ask, START, World};

const REQUESTS: &str = "/api/v1/logs/requests";

/// Call `n` of ten, one a minute, the tenth last.
fn call(n: i64) -> Record {
    let at = START - (10 - n) * 60_000_000;
    let failed = n % 5 == 0;
    Record {
        rid: Rid::floor_of_ms(at / 1_000).0,
        id_tail: 7_000 + n.unsigned_abs(),
        token_id: 1 + n % 2,
        token_public_id: format!("tok_{}", 1 + n % 2),
        token_name: format!("token {}", 1 + n % 2),
        account_id: 1,
        account_public_id: "acc_1".into(),
        account_name: "main".into(),
        tenant_id: n % 2,
        tenant_public_id: if n % 2 == 1 { "ten_1" } else { "" }.into(),
        tenant_name: if n % 2 == 1 { "Kimono" } else { "" }.into(),
        app: if n == 1 { "shop" } else { "" }.into(),
        end_user: format!("user-{n}"),
        mode: i32::from(n == 2),
        provider: "openai".into(),
        model: if n < 6 { "gpt-4o" } else { "gpt-5" }.into(),
        upstream_model: "gpt-4o-2024".into(),
        operation: Operation::Chat as i32,
        request_at: at,
        response_at: at + 1_500_000,
        duration_ms: 100 * n,
        ttft_ms: Some(40),
        prompt_tokens: n,
        completion_tokens: 2,
        total_tokens: n + 2,
        cost_nano: 1_500_000 * n,
        currency: if n == 3 { "USD" } else { "" }.into(),
        priced: n == 3,
        status_code: if failed { 429 } else { 200 },
        success: !failed,
        error_code: if failed { "upstream_error" } else { "" }.into(),
        error_message: if failed { "slow down" } else { "" }.into(),
        conversation_id: format!("conv-{n}"),
        prompt_version_id: if n < 4 { n } else { 0 },
        prompt_public_id: if n < 4 { "prm_1" } else { "" }.into(),
        prompt: ["", "a_b/c@1", "a_b/c@2", "axb/c@1"]
            .get(n.unsigned_abs() as usize)
            .copied()
            .unwrap_or_default()
            .into(),
        attempts: vec![Attempt {
            account_id: 1,
            account_public_id: "acc_1".into(),
            account_name: "main".into(),
            started_at: at,
            duration_ms: 90,
            status_code: 0,
            error_code: "upstream_timeout".into(),
        }],
        ..Record::default()
    }
}

async fn with_calls(world: &World) {
    let store = ledger_store::open(&world.database.ledger, world.state.time_zone);
    store.prepare(START / 1_000).await.unwrap();
    let records: Vec<(u64, Record)> = (1..=10_u64).map(|n| (n, call(n.cast_signed()))).collect();
    let batch = Batch {
        node: 0,
        entries: &records,
        upto_seq: 10,
        now_micros: START,
    };
    store.write(batch).await.unwrap();
    let letter = DeadLetter {
        seq: 11,
        rid: None,
        reason: "cannot be read".into(),
        payload: b"?".to_vec(),
    };
    store.dead_letter(0, &[letter], 11, START).await.unwrap();
}

/// The numbers of the calls listed.
fn numbers(answer: &Answer) -> Vec<i64> {
    let items = answer.body["items"].as_array().unwrap();
    let number = |item: &Value| item["duration_ms"].as_i64().unwrap() / 100;
    items.iter().map(number).collect()
}

#[actix_web::test]
async fn calls_are_found_by_every_filter() {
    found_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn calls_are_found_by_every_filter_postgres() {
    found_on(World::postgres().await).await;
}

async fn found_on(world: World) {
    with_calls(&world).await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    for (query, expected) in [
        ("", vec![10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ("limit=3", vec![10, 9, 8]),
        ("page=2&page_size=4", vec![6, 5, 4, 3]),
        ("page=4&page_size=4", vec![]),
        ("sort=request_at&limit=2", vec![1, 2]),
        ("sort=-total_tokens&limit=2", vec![10, 9]),
        ("sort=duration_ms&limit=2", vec![1, 2]),
        ("token_id=tok_1", vec![10, 8, 6, 4, 2]),
        ("token_id=tok_9", vec![]),
        ("account_id=acc_1&limit=1", vec![10]),
        ("tenant_id=ten_1", vec![9, 7, 5, 3, 1]),
        ("app=shop", vec![1]),
        ("user=user-4", vec![4]),
        ("user_name=user-4", vec![4]),
        ("mode=web", vec![2]),
        ("provider=anthropic", vec![]),
        ("model=gpt-5", vec![10, 9, 8, 7, 6]),
        ("prompt=a_b/c", vec![2, 1]),
        ("prompt=a_b/c%402", vec![2]),
        ("prompt=a_b/c%402&token_id=tok_1", vec![2]),
        ("prompt=a_b/c&account_id=acc_1&sort=request_at", vec![1, 2]),
        ("prompt=A_b/c", vec![]),
        ("prompt=a_b/c%403", vec![]),
        ("prompt=", vec![10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ("success=false", vec![10, 5]),
        ("status_code=429", vec![10, 5]),
        ("min_duration_ms=900", vec![10, 9]),
        ("q=SLOW", vec![10, 5]),
        ("q=conv-7", vec![7]),
        ("q=%25", vec![]),
        ("from=2026-03-15T18:27:00Z", vec![10, 9, 8, 7]),
        ("to=2026-03-15T18:22:00Z", vec![1]),
        ("from=1000-01-01&to=9999-12-31&limit=1", vec![10]),
        ("days=7&limit=1", vec![10]),
        ("range=24h&success=true&token_id=tok_2&limit=1", vec![9]),
    ] {
        let found = Ask::get(&format!("{REQUESTS}?{query}"))
            .bearer(&root)
            .to(&app)
            .await;
        assert_eq!(found.status, StatusCode::OK, "{query}: {found:?}");
        assert_eq!(numbers(&found), expected, "{query}");
    }
    for bad in [
        "mode=fax",
        "sort=cost",
        "user=a&user_name=b",
        "status_code=x",
        "q=%00",
    ] {
        let answer = Ask::get(&format!("{REQUESTS}?{bad}"))
            .bearer(&root)
            .to(&app)
            .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}: {answer:?}");
    }
    // Every page once, none twice, in both orders.
    for sort in ["-request_at", "request_at", "-duration_ms"] {
        let mut seen = Vec::new();
        let mut next = String::new();
        loop {
            let path = format!("{REQUESTS}?limit=3&sort={sort}{next}");
            let page = Ask::get(&path).bearer(&root).to(&app).await;
            seen.extend(numbers(&page));
            assert_eq!(page.body["total"], 10);
            match page.body["next_cursor"].as_str() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => break,
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (1..=10).collect::<Vec<i64>>(), "{sort}");
    }
}

#[actix_web::test]
async fn a_call_is_shown_with_its_tries_and_by_its_own_id_only() {
    shown_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn a_call_is_shown_with_its_tries_and_by_its_own_id_only_postgres() {
    shown_on(World::postgres().await).await;
}

async fn shown_on(world: World) {
    with_calls(&world).await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let listed = Ask::get(&format!("{REQUESTS}?user=user-3"))
        .bearer(&root)
        .to(&app)
        .await;
    let item = &listed.body["items"][0];
    let expected = json!({
        "id": call(3).id().to_string(), "token_id": "tok_2", "token_name": "token 2",
        "account_id": "acc_1", "account_name": "main", "tenant_id": "ten_1",
        "app": null, "user_name": "user-3", "mode": "api", "provider": "openai", "model": "gpt-4o",
        "upstream_model": "gpt-4o-2024", "operation": "chat", "stream": false,
        "request_at": "2026-03-15T18:23:00.000Z", "response_at": "2026-03-15T18:23:01.500Z",
        "duration_ms": 300, "ttft_ms": 40, "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5,
        "cached_tokens": 0, "cache_write_tokens": 0, "cache_write_1h_tokens": 0, "reasoning_tokens": 0, "units": 0, "usage_estimated": false,
        "cost": "0.0045", "currency": "USD", "priced": true, "status_code": 200, "success": true,
        "error_code": null, "error_message": null, "conversation_id": "conv-3", "attempts": 1,
        "prompt": "axb/c@1", "source": "gateway",
    });
    assert_eq!(item, &expected);
    let id = item["id"].as_str().unwrap();
    let shown = Ask::get(&format!("{REQUESTS}/{id}"))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(shown.body["tenant_name"], "Kimono", "{shown:?}");
    assert_eq!(shown.body["attempts"][0]["error_code"], "upstream_timeout");
    assert_eq!(shown.body["attempts"][0]["status_code"], Value::Null);
    let mut guess = call(3).id();
    guess.tail += 1;
    for wrong in [
        guess.to_string(),
        "x".into(),
        uuid::Uuid::new_v4().to_string(),
    ] {
        let answer = Ask::get(&format!("{REQUESTS}/{wrong}"))
            .bearer(&root)
            .to(&app)
            .await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{wrong}");
    }
}

#[actix_web::test]
async fn a_tenants_operator_sees_the_tenants_calls_only() {
    let world = World::sqlite().await;
    with_calls(&world).await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let tenant = Ask::post("/api/v1/ops/tenants", json!({"name": "T"})).bearer(&root);
    assert_eq!(tenant.to(&app).await.status, StatusCode::CREATED);
    let ann = world.signed_in_of_tenant("ann", "ops_viewer", 1).await;
    let look = |query: &str| Ask::get(&format!("{REQUESTS}?{query}")).bearer(&ann);
    assert_eq!(numbers(&look("").to(&app).await), [9, 7, 5, 3, 1]);
    assert_eq!(numbers(&look("token_id=tok_1").to(&app).await), [0_i64; 0]);
    let foreign = Ask::get(&format!("{REQUESTS}/{}", call(2).id())).bearer(&ann);
    assert_eq!(foreign.to(&app).await.status, StatusCode::NOT_FOUND);
    let whole = Ask::get("/api/v1/logs/dead-letters").bearer(&ann);
    assert_eq!(whole.to(&app).await.status, StatusCode::FORBIDDEN);
}

#[actix_web::test]
async fn dead_letters_are_listed_and_replayed_by_a_job() {
    let world = World::live().await;
    with_calls(&world).await;
    {
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let listed = Ask::get("/api/v1/logs/dead-letters")
            .bearer(&root)
            .to(&app)
            .await;
        assert_eq!(listed.body["items"][0]["id"], "0-11", "{listed:?}");
        assert_eq!(listed.body["items"][0]["reason"], "cannot be read");
        let replay = || {
            Ask::post("/api/v1/logs/dead-letters/replay", json!({}))
                .bearer(&root)
                .header("idempotency-key", "again")
        };
        let asked = replay().to(&app).await;
        assert_eq!(asked.status, StatusCode::ACCEPTED, "{asked:?}");
        let repeated = replay().to(&app).await;
        assert_eq!(
            (repeated.status, &repeated.body),
            (asked.status, &asked.body)
        );
        let job = format!("/api/v1/jobs/{}", asked.body["job"]["id"].as_str().unwrap());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            let now = Ask::get(&job).bearer(&root).to(&app).await;
            if now.body["state"] == "succeeded" {
                assert_eq!(now.body["result"], json!({"stored": 0, "refused": 1}));
                break;
            }
            assert!(std::time::Instant::now() < deadline, "{now:?}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(world.audited("dead_letters.replay").await.len(), 1);
    }
    world.end().await;
}
