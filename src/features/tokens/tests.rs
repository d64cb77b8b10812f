use actix_web::http::StatusCode;
use serde_json::{Value, json};
use steward_actors::domain::price::Currency;
use steward_actors::domain::snapshot::TokenKey;

use crate::gateway::token_key;
use crate::testing::{Ask, World};

const TOKENS: &str = "/api/v1/tokens";

/// What a secret opens at the gateway now.
fn opens(world: &World, secret: &str) -> Option<TokenKey> {
    let snapshot = world.state.snapshot.load();
    token_key::find(&snapshot, &token_key::hash(secret)).cloned()
}

#[actix_web::test]
async fn a_life_of_a_token() {
    life_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn a_life_of_a_token_postgres() {
    life_on(World::postgres().await).await;
}

async fn life_on(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let new = json!({
        "name": "checkout", "description": "the shop", "app": "shop", "allowed_models": ["gpt-4*"],
        "rpm": 60, "tpm": 10_000, "concurrency": 4, "token_quota": 1_000_000,
        "expires_at": "2026-04-01T00:00:00Z", "enable_conversation_logging": true,
        "knowledge": true,
    });
    let made = Ask::post(TOKENS, new).bearer(&root).to(&app).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let secret = made.body["token"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("sk-stw-"));
    let path = format!("{TOKENS}/{}", made.body["id"].as_str().unwrap());
    let held = opens(&world, &secret).unwrap();
    assert_eq!(
        (
            held.token.rpm,
            held.token.app.as_str(),
            held.token.knowledge
        ),
        (Some(60), "shop", true)
    );

    // Nothing that was kept shows the secret, the audit log included.
    let shown = Ask::get(&path).bearer(&root).to(&app).await;
    assert_eq!(shown.body["token"], Value::Null);
    assert_eq!(shown.body["last4"], json!(secret[secret.len() - 4..]));
    assert_eq!(shown.body["expires_at"], "2026-04-01T00:00:00.000Z");
    assert_eq!(shown.body["last_used_at"], Value::Null);
    let told = serde_json::to_string(&world.audited("tokens.create").await).unwrap();
    assert!(
        told.contains("checkout") && !told.contains(&secret),
        "{told}"
    );

    // Missing stays, null takes a limit away, and it is in force when it is answered.
    let changes = json!({"rpm": null, "enabled": false});
    let changed = Ask::patch(&path, changes).bearer(&root).to(&app).await;
    assert_eq!(changed.body["rpm"], Value::Null, "{changed:?}");
    assert_eq!(
        (&changed.body["tpm"], changed.header("etag")),
        (&json!(10_000), "\"2\"")
    );
    assert!(!opens(&world, &secret).unwrap().token.enabled);
    assert_eq!(changed.body["knowledge"], true);
    let settings = json!({"rpm": 5, "enable_conversation_logging": false});
    let set = Ask::new(actix_web::http::Method::PUT, &format!("{path}/settings"));
    let set = set.json(settings).bearer(&root).to(&app).await;
    assert_eq!(
        (&set.body["rpm"], &set.body["tpm"]),
        (&json!(5), &Value::Null)
    );
    assert_eq!(
        (&set.body["allowed_models"], &set.body["knowledge"]),
        (&Value::Null, &json!(false))
    );
    assert!(!opens(&world, &secret).unwrap().token.knowledge);

    // A budget is in force when it is answered, keeps its number when only the currency changes, and goes with null.
    let budget = json!({"daily_budget": "20.50", "monthly_budget": "400"});
    let changed = Ask::patch(&path, budget).bearer(&root).to(&app).await;
    assert_eq!(
        (
            &changed.body["daily_budget"],
            &changed.body["budget_currency"]
        ),
        (&json!("20.5"), &json!("USD")),
        "{changed:?}"
    );
    let yuan = json!({"budget_currency": "CNY", "daily_budget": null});
    Ask::patch(&path, yuan).bearer(&root).to(&app).await;
    let held = opens(&world, &secret).unwrap().token.budget;
    assert_eq!(
        (held.daily_nano, held.monthly_nano, held.currency),
        (None, Some(400_000_000_000), Currency::Cny)
    );
    for bad in ["-1", "1e3", "1000000001", "0.0000000001", ""] {
        let wrong = Ask::patch(&path, json!({"daily_budget": bad})).bearer(&root);
        let wrong = wrong.to(&app).await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}");
        assert!(wrong.text.contains("daily_budget"), "{wrong:?}");
    }

    let rotate = Ask::post(&format!("{path}/rotate"), json!({"grace_s": 60})).bearer(&root);
    let rotated = rotate.to(&app).await;
    let fresh = rotated.body["token"].as_str().unwrap().to_owned();
    assert_eq!(
        rotated.body["previous_secret_expires_at"],
        "2026-03-15T18:31:00.000Z"
    );
    assert!(opens(&world, &fresh).unwrap().valid_until.is_none());
    assert!(opens(&world, &secret).unwrap().valid_until.is_some());

    let stale = Ask::delete(&path).bearer(&root).header("if-match", "\"1\"");
    assert_eq!(stale.to(&app).await.status, StatusCode::PRECONDITION_FAILED);
    let gone = Ask::delete(&path).bearer(&root).to(&app).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert!(opens(&world, &fresh).is_none() && opens(&world, &secret).is_none());
    let again = Ask::delete(&path).bearer(&root).to(&app).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    let with = Ask::get(&format!("{TOKENS}?with_revoked=true")).bearer(&root);
    assert_eq!(with.to(&app).await.body["total"], 1);
    let without = Ask::get(TOKENS).bearer(&root).to(&app).await;
    assert_eq!(without.body["total"], 0);
}

#[actix_web::test]
async fn tokens_are_found_by_every_filter() {
    found_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn tokens_are_found_by_every_filter_postgres() {
    found_on(World::postgres().await).await;
}

async fn found_on(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let tenant = Ask::post("/api/v1/ops/tenants", json!({"name": "T"})).bearer(&root);
    let tenant = tenant.to(&app).await.body["id"].clone();
    for new in [
        json!({"name": "one", "app": "shop"}),
        json!({"name": "two", "enabled": false, "tenant_id": tenant}),
        json!({"name": "three 100%"}),
    ] {
        let made = Ask::post(TOKENS, new).bearer(&root).to(&app).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    }
    let tenant = tenant.as_str().unwrap();
    let owned = Ask::get(&format!("{TOKENS}?tenant_id={tenant}")).bearer(&root);
    let owned = owned.to(&app).await;
    assert_eq!(owned.body["items"][0]["tenant_name"], "T", "{owned:?}");
    for (query, names) in [
        ("", json!(["three 100%", "two", "one"])),
        ("app=shop", json!(["one"])),
        ("enabled=false", json!(["two"])),
        (&format!("tenant_id={tenant}"), json!(["two"])),
        ("tenant_id=ten_x", json!([])),
        ("q=THREE", json!(["three 100%"])),
        ("q=%25", json!(["three 100%"])),
        ("limit=2", json!(["three 100%", "two"])),
        ("page=2&page_size=2", json!(["one"])),
    ] {
        let found = Ask::get(&format!("{TOKENS}?{query}"))
            .bearer(&root)
            .to(&app)
            .await;
        let items = found.body["items"].as_array().unwrap();
        let seen: Vec<&Value> = items.iter().map(|item| &item["name"]).collect();
        assert_eq!(json!(seen), names, "{query}: {found:?}");
    }
    let nul = Ask::get(&format!("{TOKENS}?q=a%00b"))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(nul.status, StatusCode::BAD_REQUEST);
}

#[actix_web::test]
async fn what_is_wrong_with_a_token_is_named() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    for (new, field) in [
        (json!({"name": ""}), "name"),
        (json!({"name": "a\u{0}"}), "name"),
        (json!({"name": "a", "tenant_id": "ten_\u{0}"}), "tenant_id"),
        (json!({"name": "a", "tenant_id": "ten_x"}), "tenant_id"),
        (json!({"name": "a", "rpm": 0}), "rpm"),
        (json!({"name": "a", "rpm": i64::MAX}), "rpm"),
        (json!({"name": "a", "token_quota": -1}), "token_quota"),
        (
            json!({"name": "a", "allowed_models": ["a", "*b"]}),
            "allowed_models[1]",
        ),
        (
            json!({"name": "a", "expires_at": "2026-03-15T18:30:00Z"}),
            "expires_at",
        ),
        (json!({"name": "a", "expires_at": "soon"}), "expires_at"),
        (json!({"name": "a", "hash": "x"}), "hash"),
    ] {
        let answer = Ask::post(TOKENS, new.clone()).bearer(&root).to(&app).await;
        assert_eq!(answer.status.as_u16(), 422, "{new}: {answer:?}");
        assert_eq!(
            answer.body["errors"][0]["field"], field,
            "{new}: {answer:?}"
        );
    }
}

/// A secret is shown once: an answer that is lost would lose it for ever.
#[actix_web::test]
async fn a_secret_is_shown_also_when_the_gateway_cannot_be_told() {
    let world = World::untold().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let made = Ask::post(TOKENS, json!({"name": "checkout"}))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert!(made.body["token"].is_string());
    let path = format!("{TOKENS}/{}", made.body["id"].as_str().unwrap());
    let anew = Ask::post(&format!("{path}/rotate"), json!({}))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(anew.status, StatusCode::OK, "{anew:?}");
    assert_ne!(anew.body["token"], made.body["token"]);
    // What is to stop at once is another matter: whoever asked is told that it has not yet.
    let off = Ask::patch(&path, json!({"enabled": false}))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(off.status, StatusCode::SERVICE_UNAVAILABLE, "{off:?}");
}
