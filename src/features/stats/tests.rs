use actix_web::http::StatusCode;
use serde_json::{Value, json};
use steward_actors::domain::record::Record;
use steward_actors::domain::rid::Rid;
use steward_actors::ledger_store::{self, Batch};

use crate::http::money::decimal;
use crate::testing::{Answer, Ask, START, World};

const MINUTE: i64 = 60_000_000;

/// Call `n`, `n` × 10 minutes ago; every fifth failed, every third on another model.
fn call(n: i64) -> Record {
    let at = START - n * 10 * MINUTE;
    let failed = n % 5 == 0;
    Record {
        rid: Rid::floor_of_ms(at / 1_000).0,
        id_tail: 7_000 + n.unsigned_abs(),
        token_id: 1 + n % 2,
        token_public_id: format!("tok_{}", 1 + n % 2),
        token_name: format!("token {}", 1 + n % 2),
        account_id: if failed { 0 } else { 1 },
        account_public_id: if failed { "" } else { "acc_1" }.into(),
        account_name: "main".into(),
        tenant_id: n % 2,
        tenant_public_id: if n % 2 == 1 { "ten_1" } else { "" }.into(),
        tenant_name: "Kimono".into(),
        provider: if failed { "" } else { "openai" }.into(),
        model: if n % 3 == 0 { "gpt-5" } else { "gpt-4o" }.into(),
        request_at: at,
        response_at: at + 1_000,
        duration_ms: 100 * n,
        ttft_ms: (!failed).then_some(40),
        prompt_tokens: n,
        completion_tokens: 2,
        total_tokens: n + 2,
        status_code: if failed { 429 } else { 200 },
        success: !failed,
        // A half has a price: a quarter in each currency.
        priced: n % 4 < 2,
        cost_nano: [7_100 * n, 7_100 * n, 0, 0][(n % 4) as usize],
        currency: ["USD", "CNY", "", ""][(n % 4) as usize].into(),
        ..Record::default()
    }
}

/// Calls 1 to 288: two days of them.
async fn with_calls(world: &World) {
    let store = ledger_store::open(&world.database.ledger, world.state.time_zone);
    store.prepare(START / 1_000).await.unwrap();
    let records: Vec<(u64, Record)> = (1..=288_u64).map(|n| (n, call(n.cast_signed()))).collect();
    for part in records.chunks(50) {
        let batch = Batch {
            node: 0,
            entries: part,
            upto_seq: part.last().unwrap().0,
            now_micros: START,
        };
        store.write(batch).await.unwrap();
    }
}

fn sum(numbers: impl Iterator<Item = i64>) -> (i64, i64, i64) {
    numbers.fold((0, 0, 0), |(calls, failed, tokens), n| {
        (calls + 1, failed + i64::from(n % 5 == 0), tokens + n + 2)
    })
}

fn told(numbers: &Value) -> (i64, i64, i64) {
    let number = |name: &str| numbers[name].as_i64().unwrap();
    (
        number("request_count"),
        number("error_count"),
        number("total_tokens"),
    )
}

#[actix_web::test]
async fn numbers_are_those_of_the_log() {
    numbers_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn numbers_are_those_of_the_log_postgres() {
    numbers_on(World::postgres().await).await;
}

async fn numbers_on(world: World) {
    with_calls(&world).await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let ask = async |path: &str| -> Answer {
        let path = format!("/api/v1/stats/{path}");
        let answer = Ask::get(&path).bearer(&root).to(&app).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        answer
    };
    // A call exactly 24 hours ago is in; what came before is the previous stretch.
    let day = ask("overview?range=24h").await.body;
    assert_eq!(told(&day), sum(1..=144), "{day}");
    assert_eq!(told(&day["previous"]), sum(145..=288), "{day}");
    assert_eq!(day["rate_limited_count"], 28);
    assert_eq!(day["success_rate"], json!(116.0 / 144.0));
    assert_eq!(day["avg_duration_ms"], 7250.0);
    let p50 = day["p50_duration_ms"].as_f64().unwrap();
    assert!((p50 - 7_200.0).abs() <= 72.1, "{p50}");
    // Exact in what was charged; one sum by the rate, 7.10 yuan for a dollar.
    let charged = |rest: i64| (1..=144).filter(|n| n % 4 == rest).sum::<i64>();
    let (usd, cny) = (7_100 * charged(0), 7_100 * charged(1));
    assert_eq!(day["cost_usd"], json!(decimal(usd)), "{day}");
    assert_eq!(day["cost_cny"], json!(decimal(cny)));
    assert_eq!(day["cost"], json!(decimal(usd + 1_000 * charged(1))));
    assert_eq!(
        (&day["currency"], &day["unpriced_count"]),
        (&json!("USD"), &json!(72))
    );
    let yuan = ask("overview?range=24h&currency=CNY").await.body;
    assert_eq!(
        yuan["cost"],
        json!(decimal(7_100 * 71 * charged(0) / 10 + cny))
    );
    assert_eq!(yuan["currency"], "CNY");
    assert_eq!(told(&ask("overview?range=7d").await.body), sum(1..=288));

    let models = ask("overview?range=24h&model=gpt-5&provider=openai")
        .await
        .body;
    assert_eq!(
        told(&models),
        sum((1..=144).filter(|n| n % 3 == 0 && n % 5 != 0))
    );
    // A token's ragged days come from the log.
    let token = ask("overview?range=24h&token_id=tok_1").await.body;
    assert_eq!(told(&token), sum((1..=144).filter(|n| n % 2 == 0)));
    let nobody = ask("overview?range=24h&token_id=tok_9").await.body;
    assert_eq!(told(&nobody), (0, 0, 0));
    assert_eq!(nobody["success_rate"], Value::Null);
    assert_eq!(nobody["cost"], "0");
    // A tenant's days are whole, and the answer says so.
    let tenant = ask("overview?range=24h&tenant_id=ten_1").await.body;
    let from = tenant["from"].as_str().unwrap().to_owned();
    let start = chrono::DateTime::parse_from_rfc3339(&from)
        .unwrap()
        .timestamp_micros();
    assert!(start < START - 24 * 60 * MINUTE);
    let since = (START - start) / (10 * MINUTE);
    assert_eq!(told(&tenant), sum((1..=since).filter(|n| n % 2 == 1)));

    for (query, hours) in [("by=hour&range=24h", 24), ("by=day&range=7d", 7)] {
        let trend = ask(&format!("trend?{query}")).await.body;
        let items = trend["items"].as_array().unwrap();
        assert!(items.len() >= hours, "{trend}");
        let calls: i64 = items.iter().map(|item| told(item).0).sum();
        let start = chrono::DateTime::parse_from_rfc3339(trend["from"].as_str().unwrap()).unwrap();
        let since = (START - start.timestamp_micros()) / (10 * MINUTE);
        assert_eq!(calls, since.min(288), "{trend}");
        assert_eq!(items[0]["at"], trend["from"]);
        assert_eq!(trend["time_zone"], "Asia/Shanghai");
    }
    let empty = ask("trend?by=day&range=30d").await.body;
    assert_eq!(empty["items"][0]["request_count"], 0);
    assert_eq!(empty["items"][0]["p95_duration_ms"], Value::Null);

    let top = ask("top?by=model&range=7d").await.body;
    assert_eq!(top["items"][0]["name"], "gpt-4o");
    assert_eq!(top["items"][0]["provider"], "openai");
    let calls: i64 = top["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["request_count"].as_i64().unwrap())
        .sum();
    assert_eq!(calls, 288);
    let top = ask("top?by=account&range=7d&limit=1").await.body;
    assert_eq!(top["items"][0]["id"], "acc_1", "{top}");
    assert_eq!(top["items"][0]["share"], json!(231.0 / 288.0));

    let dear = ask("top?by=token&range=7d&sort=cost&currency=CNY")
        .await
        .body;
    // Token 1 has the calls in dollars, 2 those in yuan.
    let ids = |top: &Value| -> Vec<Value> {
        let items = top["items"].as_array().unwrap();
        items.iter().map(|item| item["id"].clone()).collect()
    };
    assert_eq!(ids(&dear), ["tok_1", "tok_2"], "{dear}");
    assert_eq!(dear["items"][1]["cost_usd"], "0");
    assert_eq!(dear["items"][1]["cost"], dear["items"][1]["cost_cny"]);

    for bad in [
        "overview?currency=EUR",
        "top?sort=name",
        "overview?token_id=tok_1&model=gpt-5",
        "trend?by=hour&token_id=tok_1",
        "trend?by=hour&from=2001-01-01",
        "trend?by=week",
        "top?limit=0",
        "overview?from=2200-01-01",
    ] {
        let path = format!("/api/v1/stats/{bad}");
        let answer = Ask::get(&path).bearer(&root).to(&app).await;
        assert!(
            answer.status == StatusCode::BAD_REQUEST
                || answer.status == StatusCode::UNPROCESSABLE_ENTITY,
            "{bad}: {answer:?}"
        );
    }
}

#[actix_web::test]
async fn a_tenants_operator_is_told_the_tenants_numbers_only() {
    let world = World::sqlite().await;
    with_calls(&world).await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let tenant = Ask::post("/api/v1/ops/tenants", json!({"name": "T"})).bearer(&root);
    assert_eq!(tenant.to(&app).await.status, StatusCode::CREATED);
    let ann = world.signed_in_of_tenant("ann", "ops_viewer", 1).await;
    let look = |path: &str| Ask::get(&format!("/api/v1/stats/{path}")).bearer(&ann);
    let own = look("overview?range=7d").to(&app).await;
    assert_eq!(told(&own.body), sum((1..=288).filter(|n| n % 2 == 1)));
    let foreign = look("overview?range=7d&tenant_id=ten_7").to(&app).await;
    assert_eq!(told(&foreign.body), (0, 0, 0));
    for whole in ["overview?model=gpt-5", "overview?token_id=tok_1", "top"] {
        let answer = look(whole).to(&app).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{whole}");
    }
}
