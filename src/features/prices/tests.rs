use actix_web::http::StatusCode;
use serde_json::{Value, json};
use steward_actors::domain::price::Used;
use steward_actors::domain::record::Record;
use steward_actors::domain::rid::Rid;
use steward_actors::ledger_store::{self, Batch};
use steward_entities::database::begin_write;
use steward_entities::price::{self, Figures, Listed};

use crate::testing::{Ask, START, World};

const PRICES: &str = "/api/v1/prices";
const GPT_4O: &str = "/api/v1/prices?provider=openai&model=gpt-4o";
const HOUR: i64 = 3_600_000_000;

fn figures(input_nano: i64, output_nano: i64) -> Figures {
    Figures {
        currency: "USD".into(),
        input_nano,
        output_nano,
        ..Figures::default()
    }
}

/// Takes over a list of `date` with one price of each of `models`.
async fn list(world: &World, models: &[(&str, i64)], date: i64) -> usize {
    let entries = models.iter().map(|(model, nano)| Listed {
        provider: "openai".to_owned(),
        model: (*model).to_owned(),
        figures: figures(*nano, 2 * nano),
        source: "https://example.com".to_owned(),
    });
    let txn = begin_write(&world.database.control).await.unwrap();
    let made = price::take_list(&txn, entries, date, START).await.unwrap();
    txn.commit().await.unwrap();
    made
}

#[actix_web::test]
async fn long_prompts_have_prices_of_their_own() {
    tiers_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn long_prompts_have_prices_of_their_own_postgres() {
    tiers_on(World::postgres().await).await;
}

async fn tiers_on(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let tier = |above: i64, input: &str| json!({"above": above, "input": input, "output": "9"});
    let body = |tiers: Value| json!({"currency": "USD", "input": "2", "output": "8", "cache_write": "2.5", "cache_write_1h": "4", "tiers": tiers});
    let mut second = tier(200_000, "4");
    second["cached"] = json!("0.4");
    let asked = body(json!([tier(32_000, "3"), second]));
    let set = Ask::put(GPT_4O, asked.clone()).bearer(&root).to(&app).await;
    assert_eq!(set.status, StatusCode::OK, "{set:?}");
    let all_of = |above: i64, input: &str, cached: Value| {
        json!({"above": above, "input": input, "output": "9", "cached": cached, "cache_write": null,
            "cache_write_1h": null, "reasoning": null})
    };
    let expected = json!([
        all_of(32_000, "3", Value::Null),
        all_of(200_000, "4", json!("0.4"))
    ]);
    assert_eq!(
        (&set.body["tiers"], &set.body["cache_write_1h"]),
        (&expected, &json!("4"))
    );
    // The gateway charges by them from then on.
    let used = |prompt| Used {
        prompt,
        completion: 1_000,
        ..Used::default()
    };
    let cost = |prompt| {
        let snapshot = world.state.snapshot.load();
        let price = snapshot.prices.find("openai", "gpt-4o", START).cloned();
        price.map(|price| price.cost_nano(used(prompt)))
    };
    assert_eq!(cost(32_000), Some(64_000_000 + 8_000_000));
    assert_eq!(cost(32_001), Some(96_003_000 + 9_000_000));
    assert_eq!(cost(200_001), Some(800_004_000 + 9_000_000));

    // The same again is no new price; one that differs in a tier only is.
    let again = Ask::put(GPT_4O, asked).bearer(&root).to(&app).await;
    assert_eq!(again.body["id"], set.body["id"]);
    let other = body(json!([tier(32_000, "3.5")]));
    let other = Ask::put(GPT_4O, other).bearer(&root).to(&app).await;
    assert_ne!(other.body["id"], set.body["id"], "{other:?}");

    for (tiers, field) in [
        (json!([tier(0, "1")]), "tiers"),
        (json!([tier(2_000, "1"), tier(1_000, "2")]), "tiers"),
        (json!([tier(1_000, "1"), tier(1_000, "2")]), "tiers"),
        (
            json!([tier(1_000, "1"), tier(2_000, "-2")]),
            "tiers[1].input",
        ),
        (json!(vec![tier(1_000, "1"); 9]), "tiers"),
    ] {
        let refused = Ask::put(GPT_4O, body(tiers)).bearer(&root).to(&app).await;
        assert_eq!(
            refused.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{refused:?}"
        );
        assert_eq!(refused.body["errors"][0]["field"], field, "{refused:?}");
    }
}

#[actix_web::test]
async fn a_life_of_a_price() {
    life_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn a_life_of_a_price_postgres() {
    life_on(World::postgres().await).await;
}

async fn life_on(world: World) {
    list(&world, &[("gpt-4o", 5_000_000_000), ("org/m", 1)], START).await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let prices = async |path: &str| Ask::get(path).bearer(&root).to(&app).await.body;
    let all = prices(PRICES).await;
    assert_eq!(
        (&all["total"], &all["items"][0]["model"]),
        (&json!(2), &json!("gpt-4o")),
        "{all}"
    );
    assert_eq!(all["items"][0]["origin"], "list");

    let mut body = json!({"currency": "CNY", "input": "2.50", "output": "10.00", "cached": "1.25"});
    let set = Ask::put(GPT_4O, body.clone()).bearer(&root).to(&app).await;
    assert_eq!(set.status, StatusCode::OK, "{set:?}");
    let expected = json!({
        "currency": "CNY", "input": "2.5", "output": "10", "cached": "1.25", "cache_write": null, "reasoning": null,
        "per_call": "0", "per_unit": "0", "origin": "operator", "source": null, "in_force": true, "removed": false, "created_by": "root",
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&set.body[field], value, "{field}");
    }
    // In force when it is answered, for dated names too, and only from then on.
    let find = |model: &str, at: i64| {
        let snapshot = world.state.snapshot.load();
        snapshot
            .prices
            .find("openai", model, at)
            .map(|price| price.input_nano)
    };
    assert_eq!(find("gpt-4o-2024-08-06", START), Some(2_500_000_000));
    assert_eq!(find("gpt-4o", START - 1), Some(5_000_000_000));

    // The same again is no new price; another one is, and may begin later.
    let again = Ask::put(GPT_4O, body.clone()).bearer(&root).to(&app).await;
    assert_eq!(again.body["id"], set.body["id"]);
    body["input"] = json!("3");
    body["valid_from"] = json!("2026-03-15T19:30:00Z");
    let later = Ask::put(GPT_4O, body).bearer(&root).to(&app).await;
    assert_eq!(later.body["in_force"], false, "{later:?}");
    assert_eq!(find("gpt-4o", START + HOUR), Some(3_000_000_000));
    let history = prices(GPT_4O).await;
    let told: Vec<(&Value, &Value)> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (&row["input"], &row["in_force"]))
        .collect();
    let expected = [("3", false), ("2.5", true), ("5", false)]
        .map(|(input, rules)| (json!(input), json!(rules)));
    assert_eq!(
        told,
        expected.each_ref().map(|(input, rules)| (input, rules))
    );

    // What somebody saw before others came is no ground for a change.
    let seen = set.header("etag").to_owned();
    let other = json!({"currency": "USD", "input": "9", "output": "9"});
    let stale = Ask::put(GPT_4O, other)
        .bearer(&root)
        .header("if-match", &seen);
    assert_eq!(stale.to(&app).await.status, StatusCode::PRECONDITION_FAILED);
    let path = format!("{PRICES}/{}", set.body["id"].as_str().unwrap());
    let one = Ask::get(&path).bearer(&root).to(&app).await;
    assert_eq!(
        (&one.body["input"], one.header("etag")),
        (&json!("2.5"), later.header("etag"))
    );

    // Taken away, both of them: the list's rules again.
    let gone = Ask::delete(GPT_4O).bearer(&root).to(&app).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(find("gpt-4o", START), Some(5_000_000_000));
    assert_eq!(find("gpt-4o", START + 2 * HOUR), Some(5_000_000_000));
    let twice = Ask::delete(GPT_4O).bearer(&root).to(&app).await;
    assert_eq!(twice.status, StatusCode::NOT_FOUND);

    let sets = serde_json::to_string(&world.audited("prices.set").await).unwrap();
    assert_eq!(world.audited("prices.set").await.len(), 2);
    assert!(
        sets.contains("\"input\":\"2.5\"") && sets.contains("openai/gpt-4o"),
        "{sets}"
    );
    assert_eq!(world.audited("prices.remove").await.len(), 1);
}

#[actix_web::test]
async fn prices_are_filtered_and_paged() {
    let world = World::sqlite().await;
    list(
        &world,
        &[("a", 1), ("b", 2), ("B-large", 3), ("c", 4)],
        START,
    )
    .await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let own = json!({"currency": "USD", "input": "1", "output": "1"});
    let path = format!("{PRICES}?provider=own&model=org%2Fslashed");
    let set = Ask::put(&path, own).bearer(&root).to(&app).await;
    assert_eq!(set.body["model"], "org/slashed");
    let names = async |query: &str| {
        let page = Ask::get(&format!("{PRICES}?{query}"))
            .bearer(&root)
            .to(&app)
            .await
            .body;
        let items = page["items"].as_array().unwrap().iter();
        let names: Vec<String> = items
            .map(|row| row["model"].as_str().unwrap().to_owned())
            .collect();
        (
            names.join(" "),
            page["next_cursor"].as_str().map(str::to_owned),
            page["total"].clone(),
        )
    };
    assert_eq!(names("q=B").await.0, "B-large b");
    assert_eq!(names("origin=operator").await.0, "org/slashed");
    assert_eq!(names("provider=openai&origin=list").await.2, 4);
    assert_eq!(names("provider=nobody&model=a").await.0, "");
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let (page, next, total) = names(&format!("limit=2{cursor}")).await;
        assert_eq!(total, 5);
        seen.push(page);
        match next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["B-large a", "b c", "org/slashed"]);
}

#[actix_web::test]
async fn what_is_wrong_with_a_price_is_named_and_who_may_not_is_refused() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let good = json!({"currency": "USD", "input": "1", "output": "1"});
    for (field, value, says) in [
        ("currency", json!("EUR"), "CNY"),
        ("currency", json!("EUR"), "USD"),
        ("input", json!("-1"), "decimal"),
        ("input", json!("1000001"), "1000000"),
        ("output", json!("0.0000000001"), "decimal"),
        ("cached", json!("1e3"), "decimal"),
        ("reasoning", json!(1.5), "reasoning"),
        ("valid_from", json!("soon"), "valid_from"),
        ("valid_from", json!("2200-01-01T00:00:00Z"), "2100"),
        ("price", json!("1"), "price"),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let refused = Ask::put(GPT_4O, body).bearer(&root).to(&app).await;
        assert_eq!(
            refused.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{field}: {refused:?}"
        );
        assert!(
            refused.text.contains(field) && refused.text.contains(says),
            "{refused:?}"
        );
    }
    for query in [
        "provider=openai&model=gpt-*",
        "provider=&model=m",
        "provider=openai&model=",
    ] {
        let path = format!("{PRICES}?{query}");
        let refused = Ask::put(&path, good.clone()).bearer(&root).to(&app).await;
        assert_eq!(
            refused.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{query}: {refused:?}"
        );
    }
    let missing = Ask::put(PRICES, good.clone()).bearer(&root).to(&app).await;
    assert!(missing.status.is_client_error(), "{missing:?}");
    assert_eq!(
        Ask::get(PRICES).bearer(&root).to(&app).await.body["total"],
        0
    );

    let viewer = world.signed_in("viewer", "ops_viewer").await;
    let refused = Ask::put(GPT_4O, good).bearer(&viewer).to(&app).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let refused = Ask::delete(GPT_4O).bearer(&viewer).to(&app).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(
        Ask::get(PRICES).to(&app).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[actix_web::test]
async fn a_list_is_taken_over_once_and_keeps_its_history() {
    taken_over_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn a_list_is_taken_over_once_and_keeps_its_history_postgres() {
    taken_over_on(World::postgres().await).await;
}

async fn taken_over_on(world: World) {
    assert_eq!(list(&world, &[("a", 10), ("b", 20)], START).await, 2);
    assert_eq!(list(&world, &[("a", 10), ("b", 20)], START).await, 0);
    // An operator's, then a later list that changes one, adds one and has lost one.
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let own = json!({"currency": "USD", "input": "7", "output": "7"});
    let path = format!("{PRICES}?provider=openai&model=c");
    Ask::put(&path, own).bearer(&root).to(&app).await;
    let later = START + HOUR;
    assert_eq!(list(&world, &[("a", 11), ("c", 30)], later).await, 2);
    // An older program finds a newer list and leaves it alone.
    assert_eq!(list(&world, &[("a", 10), ("b", 20)], START).await, 0);
    world.state.apply_to_gateway().await.unwrap();
    let prices = world.state.snapshot.load().prices.clone();
    let find = |model: &str, at| {
        prices
            .find("openai", model, at)
            .map(|price| price.input_nano)
    };
    assert_eq!(
        [find("a", 0), find("a", later - 1), find("a", later)],
        [Some(10), Some(10), Some(11)]
    );
    assert_eq!(find("b", later), Some(20));
    assert_eq!(
        [find("c", 0), find("c", START), find("c", later)],
        [Some(30), Some(7_000_000_000), Some(7_000_000_000)]
    );
}

/// Four calls of one day: one priced, one without tokens, two unpriced.
async fn with_calls(world: &World) {
    let call = |n: u64, model: &str, tokens: i64, priced: bool| {
        let at = START - n.cast_signed() * 60_000_000;
        let record = Record {
            rid: Rid::floor_of_ms(at / 1_000).0,
            id_tail: n,
            provider: "openai".into(),
            model: model.into(),
            request_at: at,
            response_at: at,
            prompt_tokens: tokens,
            total_tokens: tokens,
            status_code: 200,
            success: true,
            priced,
            ..Record::default()
        };
        (n, record)
    };
    let entries = [
        call(1, "known", 5, true),
        call(2, "empty", 0, false),
        call(3, "unknown", 7, false),
        call(4, "unknown", 8, false),
        call(5, "rare", 100, false),
    ];
    let store = ledger_store::open(&world.database.ledger, world.state.time_zone);
    store.prepare(START / 1_000).await.unwrap();
    let batch = Batch {
        node: 0,
        entries: &entries,
        upto_seq: 5,
        now_micros: START,
    };
    store.write(batch).await.unwrap();
}

#[actix_web::test]
async fn unpriced_models_are_listed_most_called_first() {
    unpriced_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn unpriced_models_are_listed_most_called_first_postgres() {
    unpriced_on(World::postgres().await).await;
}

async fn unpriced_on(world: World) {
    with_calls(&world).await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let unpriced = format!("{PRICES}/unpriced");
    let asked = Ask::get(&unpriced).bearer(&root).to(&app).await;
    let told = |model: &str, calls: i64, tokens: i64, priced: bool| {
        json!({
            "provider": "openai", "model": model, "unpriced_count": calls, "total_tokens": tokens,
            "last_seen": "2026-03-15T16:00:00.000Z", "is_priced_now": priced,
        })
    };
    let expected = json!([told("unknown", 2, 15, false), told("rare", 1, 100, false)]);
    assert_eq!(asked.body["items"], expected, "{asked:?}");
    let price = json!({"currency": "USD", "input": "1", "output": "1"});
    let path = format!("{PRICES}?provider=openai&model=rare");
    Ask::put(&path, price).bearer(&root).to(&app).await;
    let asked = Ask::get(&format!("{unpriced}?range=7d"))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(asked.body["items"][1], told("rare", 1, 100, true));
    let before = format!("{unpriced}?from=2026-03-01&to=2026-03-02");
    let before = Ask::get(&before).bearer(&root).to(&app).await;
    assert_eq!(before.body["items"], json!([]));
    assert_eq!(before.body["from"], "2026-02-28T16:00:00.000Z");
}

#[actix_web::test]
async fn the_past_is_charged_anew_by_a_job() {
    let world = World::live().await;
    with_calls(&world).await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let viewer = world.signed_in("viewer", "ops_viewer").await;
    let overview = async || {
        let path = "/api/v1/stats/overview?range=7d";
        Ask::get(path).bearer(&root).to(&app).await.body
    };
    assert_eq!(overview().await["unpriced_count"], 3);
    // A price that held already when the calls were made.
    let price = json!({
        "currency": "CNY", "input": "1000", "output": "0", "valid_from": "2026-03-01T00:00:00Z",
    });
    let path = format!("{PRICES}?provider=openai&model=unknown");
    let set = Ask::put(&path, price).bearer(&root).to(&app).await;
    assert_eq!(set.status, StatusCode::OK, "{set:?}");
    let recalculate = format!("{PRICES}/recalculate");
    let barred = Ask::post(&recalculate, json!({}))
        .bearer(&viewer)
        .to(&app)
        .await;
    assert_eq!(barred.status, StatusCode::FORBIDDEN);
    let bad = Ask::post(&recalculate, json!({"from": "soon"})).bearer(&root);
    assert!(bad.to(&app).await.status.is_client_error());
    let asked = json!({"from": "2026-03-01", "provider": "openai"});
    let accepted = Ask::post(&recalculate, asked).bearer(&root).to(&app).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{accepted:?}");
    assert_eq!(accepted.body["job"]["kind"], "prices.recalculate");
    let job = format!(
        "/api/v1/jobs/{}",
        accepted.body["job"]["id"].as_str().unwrap()
    );
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let ended = loop {
        let now = Ask::get(&job).bearer(&root).to(&app).await.body;
        if !["queued", "running"].contains(&now["state"].as_str().unwrap()) {
            break now;
        }
        assert!(std::time::Instant::now() < deadline, "{now}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(ended["state"], "succeeded", "{ended}");
    // 7 and 8 tokens at a thousandth of a yuan; "known" came with its own cost, "rare" has no price still.
    assert_eq!(
        ended["result"],
        json!({"calls": 5, "changed": 2, "unpriced": 1}),
        "{ended}"
    );
    let after = overview().await;
    assert_eq!(
        (&after["unpriced_count"], &after["cost_cny"]),
        (&json!(1), &json!("0.015")),
        "{after}"
    );
    let unpriced = Ask::get(&format!("{PRICES}/unpriced"))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(
        unpriced.body["items"].as_array().unwrap().len(),
        1,
        "{unpriced:?}"
    );
    assert_eq!(world.audited("prices.recalculate").await.len(), 1);
    world.end().await;
}
