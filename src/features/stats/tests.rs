use std::sync::Arc;

use actix_web::http::StatusCode;
use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveEnum, ConnectionTrait, Iterable};
use serde_json::{Value, json};
use steward_actors::domain::calendar;
use steward_actors::domain::record::{Record, Source};
use steward_actors::domain::rid::Rid;
use steward_actors::ledger_store::days::count_conversations;
use steward_actors::ledger_store::{self, Batch};
use steward_entities::database::begin_write;
use steward_entities::feedback;

use steward_migration::testing::TestDatabase;

use crate::http::money::decimal;
use crate::http::range::rfc3339;
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
        end_user: format!("user {}", n % 7),
        mode: i32::from(n % 4 == 3),
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
    let records: Vec<(u64, Record)> = (1..=288_u64).map(|n| (n, call(n.cast_signed()))).collect();
    with(world, &records).await;
}

async fn with(world: &World, records: &[(u64, Record)]) {
    let store = ledger_store::open(&world.database.ledger, world.state.time_zone);
    store.prepare(START / 1_000).await.unwrap();
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

#[actix_web::test]
async fn calls_are_counted_for_the_version_of_a_prompt_that_they_name() {
    of_prompts_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn calls_are_counted_for_the_version_of_a_prompt_that_they_name_postgres() {
    of_prompts_on(World::postgres().await).await;
}

async fn of_prompts_on(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let new = json!({"name": "support/greeting", "content": "Hello"});
    let made = Ask::post("/api/v1/prompts", new)
        .bearer(&root)
        .to(&app)
        .await;
    let id = made.body["id"].as_str().unwrap().to_owned();
    // Versions 1 and 2, one of a prompt that had the name before, and calls without any.
    let named = |n: i64| {
        let (key, prompt, version) = match n % 4 {
            1 => (11, id.as_str(), 1),
            2 => (12, id.as_str(), 2),
            3 => (3, "prm_gone", 1),
            _ => (0, "", 0),
        };
        Record {
            prompt_version_id: key,
            prompt_public_id: prompt.to_owned(),
            prompt: match key {
                0 => String::new(),
                _ => format!("support/greeting@{version}"),
            },
            ..call(n)
        }
    };
    let records: Vec<(u64, Record)> = (1..=288_u64).map(|n| (n, named(n.cast_signed()))).collect();
    with(&world, &records).await;

    let path = format!("/api/v1/stats/prompts/{id}");
    let told = Ask::get(&format!("{path}?currency=USD"))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(told.status, StatusCode::OK, "{told:?}");
    let versions = told.body["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 2, "{told:?}");
    for (shown, number) in versions.iter().zip([2_i64, 1]) {
        assert_eq!(shown["version"], number, "{told:?}");
        let of: Vec<Record> = (1..=288).filter(|n| n % 4 == number).map(call).collect();
        let count = |which: fn(&Record) -> bool| of.iter().filter(|of| which(of)).count() as i64;
        assert_eq!(shown["request_count"], count(|_| true));
        assert_eq!(shown["success_count"], count(|of| of.success));
        let tokens: i64 = of.iter().map(|of| of.total_tokens).sum();
        assert_eq!(shown["total_tokens"], tokens);
        let mean = of.iter().map(|of| of.duration_ms).sum::<i64>() as f64 / of.len() as f64;
        let told = shown["avg_duration_ms"].as_f64().unwrap();
        assert!((told - mean).abs() < 0.1, "{told} {mean}");
        let cost: i64 = of
            .iter()
            .filter(|of| of.currency == "USD")
            .map(|of| of.cost_nano)
            .sum();
        assert_eq!(shown["cost_usd"], decimal(cost));
    }
    // Whole days: of three only the last is asked for.
    let today = Ask::get(&format!("{path}?range=today")).bearer(&root);
    let today = today.to(&app).await;
    let counted = today.body["versions"][0]["request_count"].as_i64().unwrap();
    let day = calendar::day_of(world.state.time_zone, START);
    let expected = (1..=288)
        .filter(|n| n % 4 == 2 && call(*n).request_at >= day)
        .count();
    assert_eq!(counted, expected as i64, "{today:?}");

    let nobody = Ask::get("/api/v1/stats/prompts/prm_nobody").bearer(&root);
    assert_eq!(nobody.to(&app).await.status, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn what_is_told_later_counts_when_it_happened() {
    told_later_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn what_is_told_later_counts_when_it_happened_postgres() {
    told_later_on(World::postgres().await).await;
}

async fn told_later_on(world: World) {
    with_calls(&world).await;
    let at = START - 205 * MINUTE;
    let late = Record {
        source: Source::Otlp.into(),
        rid: Rid::floor_of_ms(START / 1_000).0,
        request_at: at,
        response_at: at,
        ..call(4)
    };
    with(&world, &[(289, late)]).await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let ask = async |from: i64, to: i64| {
        let time = |at: i64| rfc3339(at).replace(':', "%3A");
        let path = format!("/api/v1/stats/overview?from={}&to={}", time(from), time(to));
        told(&Ask::get(&path).bearer(&root).to(&app).await.body)
    };
    // Within an hour; with the call of 210 minutes ago.
    let (calls, failed, tokens) = sum(21..=21);
    assert_eq!(
        ask(START - 210 * MINUTE, START - 202 * MINUTE).await,
        (calls + 1, failed, tokens + 6)
    );
    // With whole hours between the ends, at the beginning and not at all.
    let (calls, failed, tokens) = sum(1..=20);
    assert_eq!(ask(at, START).await, (calls + 1, failed, tokens + 6));
    assert_eq!(ask(at + 1_000, START).await, (calls, failed, tokens));
}

#[actix_web::test]
async fn the_log_and_the_rollups_count_alike() {
    alike_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn the_log_and_the_rollups_count_alike_postgres() {
    alike_on(World::postgres().await).await;
}

async fn alike_on(world: World) {
    let hour = calendar::hour_of(world.state.time_zone, START - 120 * MINUTE);
    let records: Vec<(u64, Record)> = (0..50_i64)
        .map(|n| {
            let at = hour + n * MINUTE;
            let status_code = [200, 400, 429, 404, 499, 500, 502, 200, 301][n as usize % 9];
            let record = Record {
                rid: Rid::floor_of_ms(at / 1_000).0,
                request_at: at,
                response_at: at,
                status_code,
                success: status_code == 200,
                ttft_ms: (n % 3 == 0).then_some(n),
                usage_estimated: n % 7 == 0,
                cached_tokens: n,
                cache_write_tokens: 2 * n,
                reasoning_tokens: 3 * n,
                total_tokens: if n % 11 == 0 { 0 } else { n },
                ..call(n + 1)
            };
            (n.cast_unsigned() + 1, record)
        })
        .collect();
    with(&world, &records).await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let counted = async |to: i64| {
        let time = |at: i64| rfc3339(at).replace(':', "%3A");
        let path = format!("/api/v1/stats/overview?from={}&to={}", time(hour), time(to));
        let mut told = Ask::get(&path).bearer(&root).to(&app).await.body;
        for of_the_stretch in ["from", "to", "previous"] {
            told.as_object_mut().unwrap().remove(of_the_stretch);
        }
        told
    };
    let by_rollup = counted(hour + 60 * MINUTE).await;
    assert_eq!(by_rollup["request_count"], 50);
    assert_eq!(counted(hour + 55 * MINUTE).await, by_rollup);
}

#[actix_web::test]
async fn costs_beyond_belief_leave_the_books_readable() {
    costly_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn costs_beyond_belief_leave_the_books_readable_postgres() {
    costly_on(World::postgres().await).await;
}

async fn costly_on(world: World) {
    let dear = |n: u64| Record {
        priced: true,
        cost_nano: 1 << 59,
        currency: "USD".into(),
        rid: call(4).rid + n.cast_signed(),
        ..call(4)
    };
    // Each in a transaction of its own, in one row of every rollup; the last is an ordinary one.
    for n in 1..=20 {
        with(&world, &[(n, dear(n))]).await;
    }
    with(&world, &[(21, call(4))]).await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let day = Ask::get("/api/v1/stats/overview?range=24h");
    let day = day.bearer(&root).to(&app).await;
    assert_eq!(day.body["request_count"], 21, "{day:?}");
    assert_eq!(day.body["cost_usd"], json!(decimal(1 << 60)), "{day:?}");
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
    // So are those before, of which there are as many or one more.
    let lasted = |numbers: &Value| {
        let at = |field: &str| {
            let text = numbers[field].as_str().unwrap();
            chrono::DateTime::parse_from_rfc3339(text).unwrap()
        };
        at("to") - at("from")
    };
    let more = lasted(&tenant["previous"]) - lasted(&tenant);
    assert!((0..24).contains(&more.num_hours()), "{tenant}");

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
        "overview?mode=none",
        "trend?by=hour&tenant_id=ten_1",
        "trend?by=hour&token_id=tok_1&range=90d",
        "export?format=docx",
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
async fn filters_cross_where_a_rollup_knows_them() {
    crossings_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn filters_cross_where_a_rollup_knows_them_postgres() {
    crossings_on(World::postgres().await).await;
}

async fn crossings_on(world: World) {
    with_calls(&world).await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let ask = async |path: &str| -> Value {
        let path = format!("/api/v1/{path}");
        let answer = Ask::get(&path).bearer(&root).to(&app).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        answer.body
    };
    let of = |keep: fn(i64) -> bool| sum((1..=288).filter(|n| keep(*n)));
    for (query, keep) in [
        (
            "token_id=tok_1&model=gpt-5",
            (|n| n % 2 == 0 && n % 3 == 0) as fn(i64) -> bool,
        ),
        ("token_id=tok_2&account_id=acc_1", |n| {
            n % 2 == 1 && n % 5 != 0
        }),
        ("user=user%203", |n| n % 7 == 3),
        ("user=user%203&mode=web", |n| n % 7 == 3 && n % 4 == 3),
        ("mode=web&model=gpt-4o", |n| n % 4 == 3 && n % 3 != 0),
        ("user=nobody", |_| false),
        // These have no rollup together.
        ("token_id=tok_1&provider=openai", |n| {
            n % 2 == 0 && n % 5 != 0
        }),
        ("tenant_id=ten_1&model=gpt-5", |n| n % 2 == 1 && n % 3 == 0),
        ("tenant_id=ten_1&user=user%203&mode=api", |n| {
            n % 2 == 1 && n % 7 == 3 && n % 4 != 3
        }),
        ("app=nobodys&user=user%203", |_| false),
    ] {
        let found = ask(&format!("stats/overview?range=7d&{query}")).await;
        assert_eq!(told(&found), of(keep), "{query}");
        let trend = ask(&format!("stats/trend?by=day&range=7d&{query}")).await;
        let days = trend["items"].as_array().unwrap().iter().map(told);
        let days = days.fold((0, 0, 0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2));
        assert_eq!(days, of(keep), "{query}");
    }
    // So do hours, and quantiles: 300 to 28,500 ms, each 600th once.
    let crossing = "tenant_id=ten_1&model=gpt-5";
    let hours = ask(&format!("stats/trend?by=hour&range=7d&{crossing}")).await;
    let calls = hours["items"].as_array().unwrap().iter();
    assert_eq!(calls.map(|item| told(item).0).sum::<i64>(), 48);
    let whole = ask(&format!("stats/overview?range=7d&{crossing}")).await;
    let p50 = whole["p50_duration_ms"].as_f64().unwrap();
    assert!((p50 / 14_100.0 - 1.0).abs() < 0.05, "{whole}");
    // A short stretch of a user has quantiles too, though no rollup keeps them.
    let user = ask("stats/overview?range=7d&user=user%203").await;
    assert!(user["p99_ttft_ms"].is_number(), "{user}");
    // Hours of a token are kept for a while.
    let hours = ask("stats/trend?by=hour&range=7d&token_id=tok_1").await;
    let calls: i64 = hours["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| told(item).0)
        .sum();
    assert_eq!(calls, 144);

    let ranked = async |query: &str| -> Vec<(String, i64)> {
        let top = ask(&format!("stats/top?range=7d&{query}")).await;
        let items = top["items"].as_array().unwrap().iter();
        items
            .map(|item| (item["name"].as_str().unwrap().to_owned(), told(item).0))
            .collect()
    };
    assert_eq!(
        ranked("by=mode").await,
        [("api".into(), 216), ("web".into(), 72)]
    );
    assert_eq!(ranked("by=user&limit=1").await, [("user 1".into(), 42)]);
    assert_eq!(
        ranked("by=provider").await,
        [("openai".into(), 231), (String::new(), 57)]
    );
    assert_eq!(
        ranked("by=model&token_id=tok_1").await,
        [("gpt-4o".into(), 96), ("gpt-5".into(), 48)]
    );
    assert_eq!(ranked("by=model&sort=errors&limit=1").await[0].0, "gpt-4o");
    assert_eq!(
        ranked("by=user&token_id=tok_1&limit=2").await,
        [("user 1".into(), 21), ("user 2".into(), 21)]
    );
    // Of every two of them one has the odd numbers, which go up to 287.
    for (sort, lead) in [
        ("requests", "tok_2"),
        ("cost", "tok_2"),
        ("duration", "tok_2"),
    ] {
        let path = format!("stats/top?range=7d&by=token&tenant_id=ten_1&sort={sort}");
        let top = ask(&path).await;
        let items = top["items"].as_array().unwrap();
        assert_eq!((items.len(), &items[0]["id"]), (1, &json!(lead)), "{top}");
        assert_eq!(items[0]["share"], 1.0);
    }
    let providers = ask("stats/top?range=7d&by=model&user=user%203").await;
    let first = &providers["items"][0];
    assert_eq!(
        (&first["name"], &first["provider"]),
        (&json!("gpt-4o"), &json!("openai"))
    );

    let latency = ask("stats/latency?range=7d&by=model").await;
    let means = latency["items"].as_array().unwrap().iter();
    let means: Vec<f64> = means
        .map(|item| item["avg_duration_ms"].as_f64().unwrap())
        .collect();
    assert!(
        means.len() == 4 && means.is_sorted_by(|a, b| a >= b),
        "{latency}"
    );
    // 100 to 28,800 ms, each hundred once.
    let p99 = latency["total"]["p99_duration_ms"].as_f64().unwrap();
    assert!((p99 / 28_600.0 - 1.0).abs() < 0.01, "{latency}");
    let cost = ask("stats/cost?range=7d&by=token&currency=CNY").await;
    assert_eq!(cost["items"][0]["id"], "tok_1");
    assert_eq!(cost["total"]["cost_usd"], cost["items"][0]["cost_usd"]);
    assert_eq!(cost["total"]["request_count"], 288);
    assert_eq!(cost["usd_cny"], "7.1");

    let csv = Ask::get("/api/v1/stats/export?format=csv&of=token&range=7d").bearer(&root);
    let csv = csv.to(&app).await;
    assert_eq!(csv.status, StatusCode::OK);
    let text = csv.text;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines[0].starts_with("key,id,name,provider,share,request_count,"),
        "{text}"
    );
    assert!(lines[1].starts_with("tok_"), "{text}");
    assert!(
        lines
            .iter()
            .all(|line| line.matches(',').count() == lines[0].matches(',').count())
    );
    let book = Ask::get("/api/v1/stats/export?format=xlsx&by=day&range=7d").bearer(&root);
    let book = book.to(&app).await;
    assert_eq!(book.status, StatusCode::OK);
    assert!(book.text.starts_with("PK"));
    let json = ask("stats/export?format=json&by=day&range=7d").await;
    assert_eq!(
        json["items"],
        ask("stats/trend?by=day&range=7d").await["items"]
    );

    // The operations center tells the same numbers.
    let usage = ask("ops/api-usage/stats").await;
    assert_eq!(
        (&usage["request_count"], &usage["by_provider"][0]["name"]),
        (&json!(288), &json!("openai"))
    );
    let estimate = ask("ops/api-usage/cost").await;
    assert_eq!(
        estimate["total_cost_usd"],
        ask("stats/cost?range=30d").await["total"]["cost"]
    );
    assert_eq!(estimate["by_tenant"].as_array().unwrap().len(), 2);
    assert_eq!(
        ask("ops/api-usage/by-tenant").await["items"][0]["request_count"],
        144
    );
    let days = ask("ops/dashboard/trends").await;
    assert_eq!(days["items"].as_array().unwrap().len(), 7, "{days}");
    let glance = ask("ops/dashboard/overview").await;
    assert_eq!(glance["components_status"]["spool"], "healthy", "{glance}");
    assert_eq!(days["items"][6]["api_calls"], glance["api_calls_today"]);
    // Nothing is derived while no tree runs.
    assert_eq!(ask("stats/daily-active-users").await["items"], json!([]));
    assert_eq!(ask("stats/ai-requests").await["items"], json!([]));
}

#[actix_web::test]
async fn one_tokens_and_accounts_numbers_have_names_of_their_own() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let made = Ask::post("/api/v1/tokens", json!({"name": "t"})).bearer(&root);
    let id = made.to(&app).await.body["id"].as_str().unwrap().to_owned();
    for path in ["", "/trend"] {
        let known = Ask::get(&format!("/api/v1/stats/tokens/{id}{path}")).bearer(&root);
        assert_eq!(known.to(&app).await.status, StatusCode::OK);
        for unknown in ["tokens/tok_none", "accounts/acc_none"] {
            let unknown = Ask::get(&format!("/api/v1/stats/{unknown}{path}")).bearer(&root);
            assert_eq!(unknown.to(&app).await.status, StatusCode::NOT_FOUND);
        }
    }
}

#[actix_web::test]
async fn a_day_gone_by_is_counted_anew_as_a_job() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let ask = |date: &str| Ask::post("/api/v1/stats/recount", json!({"date": date})).bearer(&root);
    let queued = ask("2001-01-31").to(&app).await;
    assert_eq!(queued.status, StatusCode::ACCEPTED, "{queued:?}");
    assert_eq!(queued.body["job"]["kind"], "stats.recount");
    for bad in ["2200-01-01", "yesterday", ""] {
        assert!(ask(bad).to(&app).await.status.is_client_error(), "{bad}");
    }
    // A day whose calls are being forgotten would seem wrong in every figure.
    let mut settings = (**world.state.settings.load()).clone();
    settings.retention.request_logs_days = 30;
    world.state.settings.store(Arc::new(settings));
    let days_ago = |days: i64| {
        let at = START - days * 24 * 60 * MINUTE;
        calendar::date_of(world.state.time_zone, at).to_string()
    };
    let kept = ask(&days_ago(29)).to(&app).await;
    assert_eq!(kept.status, StatusCode::ACCEPTED, "{kept:?}");
    for days in [30, 31, 400] {
        let gone = ask(&days_ago(days)).to(&app).await;
        assert_eq!(gone.status, StatusCode::UNPROCESSABLE_ENTITY, "{gone:?}");
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

#[actix_web::test]
async fn a_tenant_is_told_in_numbers() {
    of_tenant_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn a_tenant_is_told_in_numbers_postgres() {
    of_tenant_on(World::postgres().await).await;
}

async fn of_tenant_on(world: World) {
    with_calls(&world).await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let mut ids = Vec::new();
    for name in ["Kimono", "other"] {
        let tenant = Ask::post("/api/v1/ops/tenants", json!({"name": name})).bearer(&root);
        ids.push(tenant.to(&app).await.body["id"].clone());
    }
    let ann = world.signed_in_of_tenant("ann", "tenant_admin", 1).await;
    world.signed_in_of_tenant("ben", "tenant_staff", 1).await;
    world.signed_in_of_tenant("cat", "tenant_staff", 1).await;
    let eve = world.signed_in_of_tenant("eve", "tenant_admin", 2).await;
    for question in ["a", "b"] {
        let pair = json!({"tenant_id": ids[0], "question": question, "answer": "x"});
        let made = Ask::post("/api/v1/ops/knowledge/qa-pairs", pair).bearer(&root);
        assert_eq!(made.to(&app).await.status, StatusCode::CREATED);
    }
    feedback_of(
        &world,
        1,
        &["approved", "approved", "rejected", "resolved", "open"],
    )
    .await;
    let (databases, clock) = (&world.state.databases, &world.state.clock);
    for days_ago in [0, 1, 2] {
        let day = calendar::day_of(world.state.time_zone, START - days_ago * 1_440 * MINUTE);
        count_conversations(databases, world.state.time_zone, clock, day)
            .await
            .unwrap();
    }

    let path = format!("/api/v1/ops/tenants/{}/stats", ids[0].as_str().unwrap());
    let told = Ask::get(&format!("{path}?currency=CNY")).bearer(&root);
    let told = told.to(&app).await;
    assert_eq!(told.status, StatusCode::OK, "{told:?}");
    let told = told.body;
    // Calls are 10 minutes apart, the newest is the first; it is half past two where days are counted. The tenant has the
    // odd ones: 1 to 15 are today's. None of them names its conversation.
    for (name, wanted) in [
        ("total_users", 3),
        ("admin_count", 1),
        ("staff_count", 2),
        ("total_qa_pairs", 2),
        ("synced_qa_pairs", 0),
        ("conversations_today", 8),
        ("conversations_week", 144),
        ("conversations_month", 144),
        ("api_calls_today", 8),
        ("api_calls_month", 144),
        // Every fourth call, which is every second of the tenant's.
        ("unpriced_count", 72),
        ("total_feedbacks", 5),
        ("pending_feedbacks", 1),
    ] {
        assert_eq!(told[name], wanted, "{name}: {told}");
    }
    let rate = told["feedback_approval_rate"].as_f64().unwrap();
    assert!((rate - 2.0 / 3.0).abs() < 1e-9, "{rate}");
    let priced: i64 = (1..=288).filter(|n| n % 4 == 1).map(|n| 7_100 * n).sum();
    assert_eq!(told["estimated_cost_month"], json!(decimal(priced)));
    let priced: i64 = [1, 5, 9, 13].map(|n| 7_100 * n).iter().sum();
    assert_eq!(told["estimated_cost_today"], json!(decimal(priced)));
    assert_eq!(told["avg_quality_score"], Value::Null);

    let trend = told["trend"].as_array().unwrap();
    assert_eq!(trend.len(), 30);
    assert_eq!(trend[29]["date"], "2026-03-16");
    let calls = |day: &Value| day["api_calls"].as_i64().unwrap();
    assert_eq!(trend.iter().map(calls).sum::<i64>(), 144);
    assert_eq!((calls(&trend[29]), calls(&trend[28])), (8, 72));
    // The means are those that the statistics tell of the same days.
    let same = "/api/v1/stats/overview?range=7d&tenant_id=ten_1";
    let same = Ask::get(same).bearer(&root).to(&app).await.body;
    assert_eq!(told["avg_response_time_ms"], same["avg_duration_ms"]);
    assert_eq!(told["success_rate"], same["success_rate"]);
    assert_eq!(told["total_tokens_month"], same["total_tokens"]);

    let own = Ask::get(&path).bearer(&ann).to(&app).await;
    assert_eq!(own.body["api_calls_month"], 144, "{own:?}");
    let foreign = Ask::get(&path).bearer(&eve).to(&app).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    let quiet = format!("/api/v1/ops/tenants/{}/stats", ids[1].as_str().unwrap());
    let quiet = Ask::get(&quiet).bearer(&root).to(&app).await.body;
    assert_eq!(quiet["api_calls_month"], 0, "{quiet}");
    assert_eq!(quiet["avg_response_time_ms"], Value::Null);
    assert_eq!(quiet["feedback_approval_rate"], Value::Null);
}

/// Feedback of a tenant (its key) that stands so.
async fn feedback_of(world: &World, tenant_id: i64, states: &[&str]) {
    for (rid, state) in (1..).zip(states) {
        let new = feedback::New {
            rid,
            id_tail: rid,
            token_id: 1,
            tenant_id: Some(tenant_id),
            app: String::new(),
            end_user: String::new(),
            model: "gpt-4o".into(),
            conversation_id: String::new(),
            prompt: None,
            rating: 3,
            category: String::new(),
            comment: String::new(),
            correction: String::new(),
        };
        let txn = begin_write(&world.database.control).await.unwrap();
        let row = feedback::insert(&txn, new, START).await.unwrap();
        let status = feedback::Status::iter()
            .find(|status| status.to_value() == **state)
            .unwrap();
        let changes = feedback::ActiveModel {
            status: Set(status),
            ..Default::default()
        };
        feedback::update(&txn, &row, changes, START).await.unwrap();
        txn.commit().await.unwrap();
    }
}

#[actix_web::test]
async fn conversations_are_counted_by_their_ids_and_calls_without_one_by_themselves() {
    conversations_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn conversations_are_counted_by_their_ids_and_calls_without_one_by_themselves_postgres() {
    conversations_on(World::postgres().await).await;
}

async fn conversations_on(world: World) {
    let store = ledger_store::open(&world.database.ledger, world.state.time_zone);
    store.prepare(START / 1_000).await.unwrap();
    // Calls 1 to 12 of tenants 0 and 1 in turn: three a thread, the last three of none.
    let records: Vec<(u64, Record)> = (1..=12_u64)
        .map(|n| {
            let mut record = call(n.cast_signed());
            if n <= 9 {
                record.conversation_id = format!("thread {}", (n - 1) / 3);
            }
            (n, record)
        })
        .collect();
    let batch = Batch {
        node: 0,
        entries: &records,
        upto_seq: 12,
        now_micros: START,
    };
    store.write(batch).await.unwrap();
    let app = world.app().await;
    let counted = async |bearer: &str, query: &str| {
        let answer = Ask::get(&format!("/api/v1/stats/conversations?{query}"))
            .bearer(bearer)
            .to(&app)
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let number = |name: &str| answer.body[name].as_i64().unwrap();
        assert_eq!(answer.body["is_exact"], true);
        assert_eq!(
            number("conversations"),
            number("with_id") + number("without_id")
        );
        (number("with_id"), number("without_id"), number("calls"))
    };
    let root = world.signed_in("root", "ops_admin").await;
    // Each thread has calls of both tenants, and so is two.
    assert_eq!(counted(&root, "range=24h").await, (6, 3, 12));
    // Calls 1 to 3.
    let from = crate::http::range::rfc3339(START - 35 * MINUTE);
    assert_eq!(counted(&root, &format!("from={from}")).await, (2, 0, 3));
    let own = world.signed_in_of_tenant("tess", "ops_viewer", 1).await;
    assert_eq!(counted(&own, "range=24h").await, (3, 1, 6));

    let at_a_glance = async || {
        let answer = Ask::get("/api/v1/ops/dashboard/overview").bearer(&root);
        let told = answer.to(&app).await.body;
        assert_eq!(told["conversations_exact"], true, "{told}");
        [
            "conversations_today",
            "conversations_with_id_today",
            "calls_without_id_today",
            "conversations_week",
            "conversations_month",
        ]
        .map(|name| told[name].as_i64().unwrap())
    };
    assert_eq!(at_a_glance().await, [9, 6, 3, 9, 9]);
    // A thread's call and one of none the day before, and one ten days ago; today is remembered for a minute, and days
    // gone by are those that were counted.
    let mut yesterday = call(20);
    yesterday.conversation_id = "thread 0".into();
    let later = [(13, yesterday), (14, call(21)), (15, call(10 * 144))];
    let days: Vec<i64> = later
        .iter()
        .map(|(_, record)| calendar::day_of(world.state.time_zone, record.request_at))
        .collect();
    assert!(days[0] == days[1] && days[0] < calendar::day_of(world.state.time_zone, START));
    let batch = Batch {
        node: 0,
        entries: &later,
        upto_seq: 15,
        now_micros: START,
    };
    store.write(batch).await.unwrap();
    let (databases, clock) = (&world.state.databases, &world.state.clock);
    for day in days {
        // Any number of times.
        count_conversations(databases, world.state.time_zone, clock, day)
            .await
            .unwrap();
    }
    assert_eq!(at_a_glance().await, [9, 6, 3, 9, 9]);
    world.clock.advance_micros(60_000_000);
    // "thread 0" is one of each of its days.
    assert_eq!(at_a_glance().await, [9, 6, 3, 11, 12]);
    let today = calendar::day_of(world.state.time_zone, START);
    count_conversations(databases, world.state.time_zone, clock, today)
        .await
        .unwrap();
    let month = Ask::get("/api/v1/stats/conversations?range=30d").bearer(&root);
    let month = month.to(&app).await.body;
    assert_eq!(
        ["conversations", "with_id", "calls", "is_exact"].map(|name| &month[name]),
        [&json!(12), &json!(7), &json!(15), &json!(false)],
        "{month}"
    );
    let own = Ask::get("/api/v1/stats/conversations?range=30d").bearer(&own);
    assert_eq!(own.to(&app).await.body["calls"], 7);
    let trends = Ask::get("/api/v1/ops/dashboard/trends").bearer(&root);
    let trends = trends.to(&app).await.body;
    let day = &trends["items"][5];
    assert_eq!(
        (&day["conversations"], &day["conversations_with_id"]),
        (&json!(2), &json!(1)),
        "{trends}"
    );
}

#[actix_web::test]
async fn every_day_is_told_by_its_own_exchange_rate() {
    rates_of_days_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn every_day_is_told_by_its_own_exchange_rate_postgres() {
    rates_of_days_on(World::postgres().await).await;
}

async fn rates_of_days_on(world: World) {
    with_calls(&world).await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let ask = async |path: &str| -> Value {
        let path = format!("/api/v1/{path}");
        let answer = Ask::get(&path).bearer(&root).to(&app).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        answer.body
    };
    let before = ask("stats/cost?range=7d&currency=CNY").await;
    let save = json!({"values": {"prices.usd_cny": "8"}});
    let saved = Ask::patch("/api/v1/settings", save).bearer(&root);
    assert_eq!(saved.to(&app).await.status, StatusCode::OK);

    let today = calendar::day_of(world.state.time_zone, START);
    // Yuan, as tenths of billionths: what was charged until midnight at 7.1, and after it at 8.
    let yuan = |keep: &dyn Fn(i64) -> bool| {
        let each = (1..=288).filter(|n| keep(*n)).map(|n| {
            let rate = if call(n).request_at < today { 71 } else { 80 };
            [7_100 * n * rate, 7_100 * n * 10, 0, 0][(n % 4) as usize]
        });
        json!(decimal(each.sum::<i64>() / 10))
    };
    let everything = yuan(&|_| true);
    let cost = ask("stats/cost?range=7d&currency=CNY").await;
    assert_eq!(cost["total"]["cost"], everything, "{cost}");
    assert_ne!(cost["total"]["cost"], before["total"]["cost"]);
    assert_eq!(cost["total"]["cost_usd"], before["total"]["cost_usd"]);
    assert_eq!(cost["usd_cny"], "8");
    let rates = cost["exchange_rates"].as_array().unwrap().iter();
    let rates: Vec<&Value> = rates.map(|rate| &rate["usd_cny"]).collect();
    assert_eq!(rates, ["7.1", "8"]);
    assert_eq!(
        cost["exchange_rates"][1]["from"],
        crate::http::range::rfc3339(today)
    );
    for item in cost["items"].as_array().unwrap() {
        let (model, failed) = (&item["name"], item["provider"] != "openai");
        let of = |n: i64| (n % 3 == 0) == (model == "gpt-5") && (n % 5 == 0) == failed;
        assert_eq!(item["cost"], yuan(&of), "{item}");
    }

    // Overview, trend, its file and the operations center agree, whatever pieces they are counted from.
    let day = ask("stats/overview?range=24h&currency=CNY").await;
    assert_eq!(day["cost"], yuan(&|n| n <= 144));
    assert_eq!(day["previous"]["cost"], yuan(&|n| n > 144));
    let days = ask("stats/trend?by=day&range=7d&currency=CNY").await;
    let days = days["items"].as_array().unwrap();
    let of_today = yuan(&|n| call(n).request_at >= today);
    assert_eq!(days.last().unwrap()["cost"], of_today);
    let file = ask("stats/export?format=json&by=day&range=7d&currency=CNY").await;
    assert_eq!(file["items"].as_array().unwrap(), days);
    let glance = ask("ops/dashboard/overview?currency=CNY").await;
    assert_eq!(glance["estimated_cost_today"], of_today);
    let estimate = ask("ops/api-usage/cost").await;
    assert_eq!(estimate["total_cost_cny"], everything);
    let hours = ask("stats/trend?by=hour&range=24h&currency=CNY").await;
    let hours = hours["items"].as_array().unwrap().iter();
    let priced = hours.filter(|hour| hour["cost"].is_string() && hour["cost"] != "0");
    assert!(priced.count() > 20);

    // What ranks first depends on the rate of the day: all of token 1's dollars are worth more than they were.
    let ranked = ask("stats/top?by=token&sort=cost&range=7d&currency=USD").await;
    let costs = ranked["items"].as_array().unwrap().iter();
    let costs: Vec<f64> = costs
        .map(|item| item["cost"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(costs.is_sorted_by(|a, b| a >= b), "{ranked}");
}

/// Microseconds of an RFC 3339 time.
fn moment(text: &str) -> i64 {
    crate::http::range::parse_time(text, "test").unwrap()
}

#[actix_web::test]
async fn days_are_those_of_the_clock_on_the_wall_when_it_changes() {
    over_a_change_of_clocks(TestDatabase::sqlite().await).await;
}

#[actix_web::test]
async fn days_are_those_of_the_clock_on_the_wall_when_it_changes_postgres() {
    over_a_change_of_clocks(TestDatabase::postgres().await).await;
}

/// In Berlin clocks went from two to three on Sunday, March 29th 2026.
async fn over_a_change_of_clocks(database: TestDatabase) {
    let monday = moment("2026-03-30T09:30:00+02:00");
    let world = World::in_zone(database, chrono_tz::Europe::Berlin, monday);
    let calls = [
        "2026-03-28T23:30:00+01:00",
        // Sunday, up to half past nine: an hour less than Monday.
        "2026-03-29T00:30:00+01:00",
        "2026-03-29T09:00:00+02:00",
        "2026-03-29T12:00:00+02:00",
        "2026-03-29T23:00:00+02:00",
        // Monday.
        "2026-03-30T00:15:00+02:00",
        "2026-03-30T09:00:00+02:00",
    ];
    let records: Vec<(u64, Record)> = (1..)
        .zip(calls)
        .map(|(n, at)| {
            let at = moment(at);
            let record = Record {
                rid: Rid::floor_of_ms(at / 1_000).0,
                request_at: at,
                response_at: at + 1_000,
                ..call(1)
            };
            (n, record)
        })
        .collect();
    with(&world, &records).await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let ask = async |path: &str| -> Value {
        let path = format!("/api/v1/{path}");
        let answer = Ask::get(&path).bearer(&root).to(&app).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        answer.body
    };
    let today = ask("stats/overview?range=today").await;
    let before = &today["previous"];
    assert_eq!(
        (&today["request_count"], &before["request_count"]),
        (&json!(2), &json!(2)),
        "{today}"
    );
    assert_eq!(today["from"], "2026-03-29T22:00:00.000Z");
    assert_eq!(before["from"], "2026-03-28T23:00:00.000Z");
    assert_eq!(before["to"], "2026-03-29T07:30:00.000Z");
    let week = ask("stats/overview?range=7d").await;
    assert_eq!(week["previous"]["to"], week["from"]);

    // Half an hour after midnight so many times 24 hours ago are another date.
    let new = json!({"name": "greeting", "content": "Hello"});
    let made = Ask::post("/api/v1/prompts", new).bearer(&root);
    let id = made.to(&app).await.body["id"].as_str().unwrap().to_owned();
    world
        .clock
        .advance_micros(moment("2026-03-31T00:30:00+02:00") - monday);
    let root = world.signed_in("late", "ops_admin").await;
    let path = format!("/api/v1/stats/prompts/{id}");
    let prompts = Ask::get(&path).bearer(&root).to(&app).await.body;
    // Thirty days back: the first of March, whose day began at 23:00 UTC.
    assert_eq!(prompts["from"], "2026-02-28T23:00:00.000Z", "{prompts}");
    let jwt = Ask::get("/api/v1/stats/jwt-availability").bearer(&root);
    let jwt = jwt.to(&app).await.body;
    assert_eq!(jwt["from"], "2026-03-23T23:30:00.000Z", "{jwt}");
    assert_eq!(jwt["items"][0]["date"], "2026-03-24");
    assert_eq!(jwt["items"].as_array().unwrap().len(), 8);
}

#[actix_web::test]
async fn one_tenants_providers_are_told_however_many_calls_there_are() {
    many_of_one_tenant(World::sqlite().await).await;
}

#[actix_web::test]
async fn one_tenants_providers_are_told_however_many_calls_there_are_postgres() {
    many_of_one_tenant(World::postgres().await).await;
}

async fn many_of_one_tenant(world: World) {
    const CALLS: u64 = 20_100;
    let record = |n: u64| {
        // Two days, each with both providers and, every tenth call, another tenant.
        let day = i64::from(n % 2 == 1) * 1_440 * MINUTE;
        let at = START - day - n.cast_signed() * 1_000;
        Record {
            rid: Rid::floor_of_ms(at / 1_000).0,
            id_tail: n,
            request_at: at,
            response_at: at,
            tenant_id: if n.is_multiple_of(10) { 2 } else { 1 },
            tenant_public_id: if n.is_multiple_of(10) {
                "ten_2"
            } else {
                "ten_1"
            }
            .into(),
            provider: if n.is_multiple_of(3) {
                "azure"
            } else {
                "openai"
            }
            .into(),
            success: true,
            status_code: 200,
            priced: true,
            cost_nano: 1_000,
            currency: "USD".into(),
            ..call(1)
        }
    };
    let records: Vec<(u64, Record)> = (1..=CALLS).map(|n| (n, record(n))).collect();
    let store = ledger_store::open(&world.database.ledger, world.state.time_zone);
    store.prepare(START / 1_000).await.unwrap();
    for part in records.chunks(1_000) {
        let batch = Batch {
            node: 0,
            entries: part,
            upto_seq: part.last().unwrap().0,
            now_micros: START,
        };
        store.write(batch).await.unwrap();
    }
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let ask = async |path: &str| -> Value {
        let path = format!("/api/v1/{path}");
        let answer = Ask::get(&path).bearer(&root).to(&app).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        answer.body
    };
    let of = |provider: &str| {
        let own = records
            .iter()
            .filter(|(n, record)| !n.is_multiple_of(10) && record.provider == provider);
        own.count()
    };
    let usage = ask("ops/api-usage/stats?tenant_id=ten_1").await;
    assert_eq!(usage["request_count"], of("openai") + of("azure"));
    let told = |it: &Value, provider: &str| {
        assert_eq!(
            (&it["name"], &it["request_count"]),
            (&json!(provider), &json!(of(provider))),
            "{it}"
        );
        assert_eq!(it["cost"], json!(decimal(1_000 * of(provider) as i64)));
        assert_eq!(it["total_tokens"], 3 * of(provider));
    };
    let providers = usage["by_provider"].as_array().unwrap();
    assert_eq!(providers.len(), 2, "{usage}");
    told(&providers[0], "openai");
    told(&providers[1], "azure");
    let cost = ask("ops/api-usage/cost?tenant_id=ten_1").await;
    told(&cost["by_provider"][0], "openai");
    assert_eq!(
        cost["by_tenant"][0]["request_count"],
        of("openai") + of("azure")
    );

    // All that was told came from the rollup; the log says the same, of both days or of one, as after an upgrade.
    let execute = async |sql: String| {
        let ledger = &world.database.ledger;
        ledger.execute_unprepared(&sql).await.unwrap();
    };
    let first = calendar::day_of(
        world.state.time_zone,
        START - 1_440 * MINUTE - CALLS.cast_signed() * 1_000,
    );
    execute(format!(
        "CREATE TABLE put_by AS SELECT * FROM tenant_provider_daily WHERE bucket = {first}"
    ))
    .await;
    for since in ["bucket = ", "bucket <> "] {
        execute(format!(
            "DELETE FROM tenant_provider_daily WHERE {since}{first}"
        ))
        .await;
        let again = ask("ops/api-usage/stats?tenant_id=ten_1").await;
        assert_eq!(again, usage, "{since}");
        let again = ask("ops/api-usage/cost?tenant_id=ten_1").await;
        assert_eq!(again, cost, "{since}");
    }
    // A day that is not whole, because its calls went on after the upgrade, is the log's.
    execute(
        "INSERT INTO tenant_provider_daily SELECT * FROM put_by; \
         UPDATE tenant_provider_daily SET request_count = request_count - 1, total_tokens = 0"
            .to_owned(),
    )
    .await;
    assert_eq!(ask("ops/api-usage/stats?tenant_id=ten_1").await, usage);
    // One that is whole is not counted from the log again.
    execute(
        "UPDATE tenant_provider_daily SET request_count = request_count + 1, total_tokens = 7"
            .to_owned(),
    )
    .await;
    let kept = ask("ops/api-usage/stats?tenant_id=ten_1").await;
    let tokens = |usage: &Value| usage["by_provider"][0]["total_tokens"].as_i64().unwrap();
    assert!(tokens(&kept) < tokens(&usage), "{kept}");
    assert_eq!(kept["by_provider"][0]["request_count"], of("openai"));
}

#[actix_web::test]
async fn a_key_of_a_tenant_is_told_to_its_people_only() {
    let world = World::sqlite().await;
    with_calls(&world).await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let tenant = async |name: &str| {
        let made = Ask::post("/api/v1/ops/tenants", json!({"name": name})).bearer(&root);
        made.to(&app).await.body["id"].as_str().unwrap().to_owned()
    };
    let (own, other) = (tenant("own").await, tenant("other").await);
    let key = async |tenant: &str| {
        let new = json!({"name": "key", "tenant_id": tenant});
        let made = Ask::post("/api/v1/tokens", new).bearer(&root);
        made.to(&app).await.body["id"].as_str().unwrap().to_owned()
    };
    let (mine, theirs) = (key(&own).await, key(&other).await);
    let row = steward_entities::tenant::by_public_id(
        &world.database.control_read,
        steward_entities::scope::Scope::All,
        &own,
    );
    let own = row.await.unwrap().unwrap().id;
    let tessa = world
        .signed_in_of_tenant("tessa", "tenant_admin", own)
        .await;
    for path in ["", "/trend?by=day", "/trend?by=hour"] {
        let ask = async |id: &str| {
            let path = format!("/api/v1/stats/tokens/{id}{path}");
            Ask::get(&path).bearer(&tessa).to(&app).await.status
        };
        assert_eq!(ask(&mine).await, StatusCode::OK, "{path}");
        assert_eq!(ask(&theirs).await, StatusCode::NOT_FOUND, "{path}");
    }
}
