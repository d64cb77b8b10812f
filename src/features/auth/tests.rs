use actix_web::http::StatusCode;
use serde_json::json;
use steward_migration::testing::TestDatabase;

use crate::testing::{Answer, Ask, World};

const COOKIE: &str = "steward_session";

/// The session's cookie as the browser would send it back.
fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie");
    let value = set.split(';').next().unwrap_or_default().to_owned();
    assert!(value.starts_with(COOKIE), "{set}");
    value
}

fn login(username: &str, password: &str) -> Ask {
    Ask::post(
        "/api/v1/auth/login",
        json!({"username": username, "password": password}),
    )
}

fn refresh(cookie: &str) -> Ask {
    Ask::new(actix_web::http::Method::POST, "/api/v1/auth/refresh").header("cookie", cookie)
}

fn me(access: &str) -> Ask {
    Ask::get("/api/v1/auth/me").bearer(access)
}

#[actix_web::test]
async fn signing_in_and_out() {
    signing_in_and_out_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn signing_in_and_out_postgres() {
    signing_in_and_out_on(World::postgres().await).await;
}

async fn signing_in_and_out_on(world: World) {
    let app = world.app().await;
    world.operator("ada", "ops_viewer").await;
    let wrong = login("ada", "wrong password").to(&app).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert_eq!(wrong.body["code"], "invalid_credentials");
    let unknown = login("nobody", "wrong password").to(&app).await;
    assert_eq!(unknown.body["detail"], wrong.body["detail"]);

    let first = login("ada", World::PASSWORD).to(&app).await;
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(first.body["token_type"], "Bearer");
    assert_eq!(first.body["expires_in"], 900);
    let set = first.header("set-cookie");
    for part in ["HttpOnly", "SameSite=Strict", "Path=/api/v1/auth"] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Secure"));
    let access = first.body["access_token"].as_str().unwrap();
    let shown = me(access).to(&app).await;
    assert_eq!(shown.body["username"], "ada");
    let permissions = shown.body["permissions"].as_array().unwrap();
    assert!(permissions.contains(&json!("read:tokens")));
    assert!(!permissions.contains(&json!("read:conversations")));

    let second = login("ada", World::PASSWORD).to(&app).await;
    let gone = Ask::new(actix_web::http::Method::POST, "/api/v1/auth/logout")
        .bearer(access)
        .to(&app)
        .await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(me(access).to(&app).await.body["code"], "session_ended");
    assert_eq!(
        refresh(&cookie(&first)).to(&app).await.status,
        StatusCode::UNAUTHORIZED
    );
    let other = second.body["access_token"].as_str().unwrap();
    assert_eq!(me(other).to(&app).await.status, StatusCode::UNAUTHORIZED);
    let renewed = refresh(&cookie(&second)).to(&app).await;
    assert_eq!(renewed.status, StatusCode::OK);
    let other = renewed.body["access_token"].as_str().unwrap();
    assert_eq!(me(other).to(&app).await.status, StatusCode::OK);
}

#[actix_web::test]
async fn an_access_token_expires_and_the_cookie_renews_it() {
    let world = World::sqlite().await;
    let app = world.app().await;
    world.operator("ada", "ops_viewer").await;
    let first = login("ada", World::PASSWORD).to(&app).await;
    world.clock.advance_micros(901_000_000);
    let access = first.body["access_token"].as_str().unwrap();
    assert_eq!(me(access).to(&app).await.body["code"], "session_ended");
    let renewed = refresh(&cookie(&first)).to(&app).await;
    assert_ne!(cookie(&renewed), cookie(&first));
    let access = renewed.body["access_token"].as_str().unwrap();
    assert_eq!(me(access).to(&app).await.status, StatusCode::OK);
    world.clock.advance_micros(31 * 86_400_000_000);
    assert_eq!(
        refresh(&cookie(&renewed)).to(&app).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[actix_web::test]
async fn a_stolen_refresh_secret_ends_the_session() {
    refresh_reuse_on(World::sqlite().await).await;
}

#[actix_web::test]
async fn a_stolen_refresh_secret_ends_the_session_postgres() {
    refresh_reuse_on(World::postgres().await).await;
}

async fn refresh_reuse_on(world: World) {
    let app = world.app().await;
    world.operator("ada", "ops_viewer").await;
    for old_by in [1, 2] {
        let first = login("ada", World::PASSWORD).to(&app).await;
        let mut latest = refresh(&cookie(&first)).to(&app).await;
        let tab = refresh(&cookie(&first)).to(&app).await;
        assert_eq!(tab.status, StatusCode::OK, "a second tab, moments later");
        assert_eq!(tab.header("set-cookie"), "");
        for _ in 1..old_by {
            latest = refresh(&cookie(&latest)).to(&app).await;
        }
        world.clock.advance_micros(11_000_000);
        let thief = refresh(&cookie(&first)).to(&app).await;
        assert_eq!(thief.status, StatusCode::UNAUTHORIZED);
        assert_eq!(
            refresh(&cookie(&latest)).to(&app).await.status,
            StatusCode::UNAUTHORIZED
        );
        let access = latest.body["access_token"].as_str().unwrap();
        assert_eq!(me(access).to(&app).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(world.audited("auth.refresh_reused").await.len(), old_by);
    }
}

#[actix_web::test]
async fn who_only_knows_a_sessions_id_ends_nobodys_session() {
    let world = World::sqlite().await;
    let app = world.app().await;
    world.operator("ada", "ops_viewer").await;
    world.operator("eve", "ops_viewer").await;
    let ada = login("ada", World::PASSWORD).to(&app).await;
    let eve = login("eve", World::PASSWORD).to(&app).await;
    let value = |answer: &Answer| cookie(answer).split_once('=').unwrap().1.to_owned();
    let session = value(&ada).split('.').next().unwrap().to_owned();
    // Once issued, for another session, and long exchanged.
    let eves = value(&eve).split_once('.').unwrap().1.to_owned();
    let renewed = refresh(&cookie(&eve)).to(&app).await;
    refresh(&cookie(&renewed)).to(&app).await;
    let (random, tag) = ("A".repeat(43), "B".repeat(43));
    for made_up in [
        format!("{session}.anything"),
        format!("{session}.{random}.{tag}"),
        format!("{session}.."),
        format!("{session}.{eves}"),
    ] {
        let refused = refresh(&format!("{COOKIE}={made_up}")).to(&app).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{made_up}");
    }
    assert!(world.audited("auth.refresh_reused").await.is_empty());
    let access = ada.body["access_token"].as_str().unwrap();
    assert_eq!(me(access).to(&app).await.status, StatusCode::OK);
    let renewed = refresh(&cookie(&ada)).to(&app).await;
    assert_eq!(renewed.status, StatusCode::OK);
}

#[actix_web::test]
async fn failures_to_sign_in_are_throttled_by_the_clock() {
    let world = World::sqlite().await;
    let app = world.app().await;
    world.operator("ada", "ops_viewer").await;
    for _ in 0..5 {
        let answer = login("ada", "wrong password").to(&app).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    let right = login("ada", World::PASSWORD).to(&app).await;
    assert_eq!(right.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(right.body["code"], "login_throttled");
    assert_eq!(right.header("retry-after"), "300");
    world.clock.advance_micros(300_000_000);
    assert_eq!(
        login("ada", World::PASSWORD).to(&app).await.status,
        StatusCode::OK
    );
}

#[actix_web::test]
async fn a_new_password_ends_every_other_session() {
    let world = World::sqlite().await;
    let app = world.app().await;
    world.operator("ada", "ops_viewer").await;
    let other = login("ada", World::PASSWORD).to(&app).await;
    let mine = login("ada", World::PASSWORD).to(&app).await;
    let access = mine.body["access_token"].as_str().unwrap();
    let change = |current: &str, new: &str| {
        let body = json!({"current_password": current, "new_password": new});
        Ask::post("/api/v1/auth/password", body).bearer(access)
    };
    let wrong = change("not it at all", "a new password").to(&app).await;
    assert_eq!(wrong.body["errors"][0]["field"], "current_password");
    let weak = change(World::PASSWORD, "short").to(&app).await;
    assert_eq!(weak.body["code"], "password_weak");
    let changed = change(World::PASSWORD, "a new password").to(&app).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    let renewed = changed.body["access_token"].as_str().unwrap();
    assert_eq!(me(renewed).to(&app).await.status, StatusCode::OK);
    assert_eq!(me(access).to(&app).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        refresh(&cookie(&other)).to(&app).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        login("ada", World::PASSWORD).to(&app).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        login("ada", "a new password").to(&app).await.status,
        StatusCode::OK
    );
}

#[actix_web::test]
async fn keys_sign_in_but_make_no_keys() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let access = world.signed_in("ada", "ops_viewer").await;
    let made = Ask::post("/api/v1/auth/keys", json!({"name": "cron"}))
        .bearer(&access)
        .to(&app)
        .await;
    assert_eq!(made.status, StatusCode::CREATED);
    let key = made.body["key"].as_str().unwrap();
    assert!(key.ends_with(made.body["last4"].as_str().unwrap()));
    assert_eq!(me(key).to(&app).await.body["username"], "ada");
    let listed = Ask::get("/api/v1/auth/keys").bearer(key).to(&app).await;
    assert_eq!(listed.body["total"], 1);
    assert!(!listed.body.to_string().contains(key));
    assert!(
        !serde_json::to_string(&world.audited("operator_keys.create").await)
            .unwrap()
            .contains(key)
    );
    let more = Ask::post("/api/v1/auth/keys", json!({"name": "x"}))
        .bearer(key)
        .to(&app)
        .await;
    assert_eq!(more.status, StatusCode::FORBIDDEN);
    let path = format!("/api/v1/auth/keys/{}", made.body["id"].as_str().unwrap());
    assert_eq!(
        Ask::delete(&path).bearer(&access).to(&app).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(me(key).to(&app).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        Ask::delete(&path).bearer(&access).to(&app).await.status,
        StatusCode::NOT_FOUND
    );
}

#[actix_web::test]
async fn a_key_expires_by_the_clock() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let access = world.signed_in("ada", "ops_viewer").await;
    let past = json!({"name": "x", "expires_at": "2020-01-01T00:00:00Z"});
    let refused = Ask::post("/api/v1/auth/keys", past)
        .bearer(&access)
        .to(&app)
        .await;
    assert_eq!(refused.body["errors"][0]["field"], "expires_at");
    let soon = json!({"name": "x", "expires_at": "2026-03-15T18:31:00Z"});
    let made = Ask::post("/api/v1/auth/keys", soon)
        .bearer(&access)
        .to(&app)
        .await;
    let key = made.body["key"].as_str().unwrap();
    assert_eq!(me(key).to(&app).await.status, StatusCode::OK);
    world.clock.advance_micros(60_000_000);
    assert_eq!(me(key).to(&app).await.status, StatusCode::UNAUTHORIZED);
}

#[actix_web::test]
async fn requests_are_limited_per_operator_and_per_address() {
    let world = World::on(TestDatabase::sqlite().await, |config| {
        config.api.rate_limit_per_operator = 3;
        config.api.rate_limit_per_address = 5;
    });
    let app = world.app().await;
    let access = world.signed_in("ada", "ops_viewer").await;
    for _ in 0..3 {
        assert_eq!(me(&access).to(&app).await.status, StatusCode::OK);
    }
    let limited = me(&access).to(&app).await;
    assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(limited.header("retry-after"), "20");
    assert_eq!(
        me("garbage").to(&app).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        me("garbage").to(&app).await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    world.clock.advance_micros(60_000_000);
    assert_eq!(me(&access).to(&app).await.status, StatusCode::OK);
}
