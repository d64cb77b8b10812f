use actix_web::http::StatusCode;
use serde_json::{Value, json};

use crate::testing::{Ask, World};

const TENANTS: &str = "/api/v1/ops/tenants";

#[actix_web::test]
async fn a_life_of_a_tenant() {
    life_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn a_life_of_a_tenant_postgres() {
    life_on(World::postgres().await).await;
}

async fn life_on(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let made = Ask::post(TENANTS, json!({"name": " Kimono One "})).bearer(&root);
    let made = made.to(&app).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.body["name"], "Kimono One");
    assert_eq!(made.body["status"], "active");
    let id = made.body["id"].as_str().unwrap().to_owned();
    let token = json!({"name": "app", "tenant_id": id});
    let token = Ask::post("/api/v1/tokens", token).bearer(&root);
    assert_eq!(token.to(&app).await.body["tenant_id"], json!(id));
    let suspended = |world: &World| {
        let snapshot = world.state.snapshot.load();
        let key = snapshot.tokens.values().next().unwrap();
        key.token.tenant_suspended
    };
    assert!(!suspended(&world));

    let path = format!("{TENANTS}/{id}");
    let suspend = Ask::post(&format!("{path}/suspend"), json!({"reason": "unpaid"}));
    let suspend = suspend.bearer(&root).to(&app).await;
    assert_eq!(suspend.body["status"], "suspended", "{suspend:?}");
    assert_eq!(suspend.body["suspended_reason"], "unpaid");
    assert_eq!(suspend.body["suspended_at"], "2026-03-15T18:30:00.000Z");
    // In force when it is answered.
    assert!(suspended(&world));
    let list = |query: &str| Ask::get(&format!("{TENANTS}?{query}")).bearer(&root);
    for (query, total) in [
        ("status=suspended", 1),
        ("status=active", 0),
        ("keyword=kimono", 1),
        ("q=%25", 0),
    ] {
        let found = list(query).to(&app).await;
        assert_eq!(found.body["total"], total, "{query}: {found:?}");
    }
    assert_eq!(
        list("status=gone").to(&app).await.status,
        StatusCode::BAD_REQUEST
    );

    let activate = Ask::post(&format!("{path}/activate"), json!({})).bearer(&root);
    let activate = activate.to(&app).await;
    assert_eq!(activate.body["suspended_reason"], Value::Null);
    assert!(!suspended(&world));
    let stale = Ask::patch(&path, json!({"name": "X"}))
        .bearer(&root)
        .header("if-match", "\"1\"");
    assert_eq!(stale.to(&app).await.status, StatusCode::PRECONDITION_FAILED);
    let renamed = Ask::patch(&path, json!({"name": "Kimono"})).bearer(&root);
    assert_eq!(renamed.to(&app).await.header("etag"), "\"4\"");
    let budget = json!({"monthly_budget": "1000.25", "budget_currency": "CNY"});
    let limited = Ask::patch(&path, budget).bearer(&root).to(&app).await;
    assert_eq!(limited.body["monthly_budget"], "1000.25", "{limited:?}");
    assert_eq!(limited.body["daily_budget"], Value::Null);
    let held = {
        let snapshot = world.state.snapshot.load();
        let key = snapshot.tokens.values().next().unwrap();
        key.token.tenant_budget
    };
    assert_eq!(held.monthly_nano, Some(1_000_250_000_000));
    let shown = Ask::get(&path).bearer(&root).to(&app).await;
    assert_eq!(shown.body["token_count"], 1, "{shown:?}");
    assert_eq!(shown.body["last_active_at"], Value::Null);
    let told = &world.audited("tenants.suspend").await[0];
    assert_eq!(told.details["suspended_reason"], json!([null, "unpaid"]));
}

#[actix_web::test]
async fn a_new_tenant_may_have_budgets_at_once() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let new = json!({"name": "T", "daily_budget": "20.5", "budget_currency": "CNY"});
    let made = Ask::post(TENANTS, new).bearer(&root).to(&app).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.body["daily_budget"], "20.5");
    assert_eq!(made.body["monthly_budget"], Value::Null);
    assert_eq!(made.body["budget_currency"], "CNY");
    let path = format!("{TENANTS}/{}", made.body["id"].as_str().unwrap());
    let shown = Ask::get(&path).bearer(&root).to(&app).await;
    assert_eq!(shown.header("etag"), made.header("etag"));
    let bad = json!({"name": "U", "monthly_budget": "much"});
    let bad = Ask::post(TENANTS, bad).bearer(&root).to(&app).await;
    assert_eq!(bad.body["errors"][0]["field"], "monthly_budget", "{bad:?}");
    let all = Ask::get(TENANTS).bearer(&root).to(&app).await;
    assert_eq!(all.body["total"], 1, "{all:?}");
}

#[actix_web::test]
async fn tenants_come_in_the_order_asked_for() {
    order_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn tenants_come_in_the_order_asked_for_postgres() {
    order_on(World::postgres().await).await;
}

async fn order_on(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let mut ids = Vec::new();
    for name in ["beta", "Alpha", "gamma", "和服店"] {
        let made = Ask::post(TENANTS, json!({"name": name})).bearer(&root);
        ids.push(made.to(&app).await.body["id"].clone());
    }
    // Pairs: beta one, gamma two; people: Alpha one; keys: gamma two of which one is revoked, 和服店 one.
    for (tenant, question) in [(0, "a"), (2, "a"), (2, "b")] {
        let pair = json!({"tenant_id": ids[tenant], "question": question, "answer": "x"});
        let made = Ask::post("/api/v1/ops/knowledge/qa-pairs", pair).bearer(&root);
        assert_eq!(made.to(&app).await.status, StatusCode::CREATED);
    }
    world.signed_in_of_tenant("ann", "tenant_admin", 2).await;
    let mut keys = Vec::new();
    for tenant in [2, 2, 3] {
        let key = json!({"name": "k", "tenant_id": ids[tenant]});
        let made = Ask::post("/api/v1/tokens", key).bearer(&root).to(&app);
        keys.push(made.await.body["id"].as_str().unwrap().to_owned());
    }
    let revoked = Ask::delete(&format!("/api/v1/tokens/{}", keys[0])).bearer(&root);
    assert_eq!(revoked.to(&app).await.status, StatusCode::NO_CONTENT);
    for (sort, wanted) in [
        ("", ["和服店", "gamma", "Alpha", "beta"]),
        ("created_at", ["beta", "Alpha", "gamma", "和服店"]),
        ("name", ["Alpha", "beta", "gamma", "和服店"]),
        ("-name", ["和服店", "gamma", "beta", "Alpha"]),
        ("-qa_pair_count", ["gamma", "beta", "和服店", "Alpha"]),
        ("user_count", ["beta", "gamma", "和服店", "Alpha"]),
        ("-token_count", ["和服店", "gamma", "Alpha", "beta"]),
        ("-last_active_at", ["和服店", "gamma", "Alpha", "beta"]),
    ] {
        let mut names = Vec::new();
        let mut cursor = String::new();
        loop {
            let query = format!("{TENANTS}?limit=1&sort={sort}&cursor={cursor}");
            let query = query.trim_end_matches("&cursor=").to_owned();
            let page = Ask::get(&query).bearer(&root).to(&app).await;
            assert_eq!(page.status, StatusCode::OK, "{page:?}");
            assert_eq!(page.body["total"], 4);
            names.push(page.body["items"][0]["name"].as_str().unwrap().to_owned());
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(names, wanted, "{sort}");
    }
    let second = Ask::get(&format!("{TENANTS}?sort=name&limit=2&page=2&q=a"));
    let second = second.bearer(&root).to(&app).await;
    assert_eq!(second.body["items"][0]["name"], "gamma", "{second:?}");
    assert_eq!(second.body["total"], 3);
    let figures = Ask::get(&format!("{TENANTS}?sort=name")).bearer(&root);
    let figures = figures.to(&app).await.body["items"].clone();
    let of = |at: usize, name: &str| figures[at][name].as_i64().unwrap();
    assert_eq!((of(0, "user_count"), of(2, "user_count")), (1, 0));
    assert_eq!((of(2, "qa_pair_count"), of(2, "token_count")), (2, 1));

    let by_name = Ask::get(&format!("{TENANTS}?limit=1&sort=name")).bearer(&root);
    let cursor = by_name.to(&app).await.body["next_cursor"].clone();
    let cursor = cursor.as_str().unwrap();
    for bad in [
        "sort=status".to_owned(),
        format!("sort=user_count&cursor={cursor}"),
    ] {
        let refused = Ask::get(&format!("{TENANTS}?{bad}")).bearer(&root);
        assert_eq!(refused.to(&app).await.status, StatusCode::BAD_REQUEST);
    }
}
