use actix_web::http::{Method, StatusCode};
use serde_json::{Value, json};
use steward_migration::testing::TestDatabase;

use crate::testing::{Ask, World};

#[actix_web::test]
async fn a_process_that_serves_is_alive_ready_and_well() {
    let world = World::live().await;
    {
        let app = world.app().await;
        assert_eq!(Ask::get("/livez").to(&app).await.status, StatusCode::OK);
        assert_eq!(
            Ask::get("/readyz").to(&app).await.body,
            json!({"status": "ready"})
        );
        let health = Ask::get("/health").to(&app).await;
        assert_eq!(health.status, StatusCode::OK);
        assert_eq!(health.header("content-type"), "application/health+json");
        assert_eq!(health.body["status"], "pass", "{health:?}");
        for part in ["database", "spool", "disk", "supervision"] {
            assert_eq!(health.body["checks"][part][0]["status"], "pass", "{part}");
        }
        for path in ["/livez", "/readyz", "/health", "/metrics"] {
            let head = Ask::new(Method::HEAD, path).to(&app).await;
            assert_eq!(head.status, StatusCode::OK, "{path}");
            let other = Ask::delete(path).to(&app).await;
            assert_eq!(other.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        }
    }
    world.end().await;
}

#[actix_web::test]
async fn a_process_that_shuts_down_asks_for_no_more() {
    let world = World::sqlite().await;
    let app = world.app().await;
    world.state.begin_drain();
    let answer = Ask::get("/readyz").to(&app).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.body["reason"], "shutting down");
    assert_eq!(Ask::get("/livez").to(&app).await.status, StatusCode::OK);
}

#[actix_web::test]
async fn a_process_whose_books_are_full_asks_for_no_more() {
    let world = World::on(TestDatabase::sqlite().await, |config| {
        config.spool.max_bytes = 128 * 1024;
    });
    for _ in 0..3 {
        world.state.spool.append(1, &[0; 60_000]).unwrap();
    }
    let app = world.app().await;
    let answer = Ask::get("/readyz").to(&app).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.body["reason"], "the books are full");
    let alive = Ask::get("/livez").to(&app).await;
    assert_eq!(alive.status, StatusCode::OK);
}

#[actix_web::test]
async fn strangers_see_no_details() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let forwarded = |path: &str| Ask::get(path).header("x-forwarded-for", "192.0.2.1");
    for stranger in [
        forwarded("/health"),
        Ask::get("/health").from([192, 0, 2, 1]),
    ] {
        assert_eq!(stranger.to(&app).await.body["checks"], Value::Null);
    }
    for stranger in [
        forwarded("/metrics"),
        Ask::get("/metrics").from([192, 0, 2, 1]),
    ] {
        assert_eq!(stranger.to(&app).await.status, StatusCode::FORBIDDEN);
    }
    let open = World::on(TestDatabase::sqlite().await, |config| {
        config.operations.metrics_public = true;
        config.operations.health_details_public = true;
    });
    let app = open.app().await;
    assert_eq!(forwarded("/metrics").to(&app).await.status, StatusCode::OK);
    assert!(forwarded("/health").to(&app).await.body["checks"].is_object());
}

#[actix_web::test]
async fn the_numbers_are_there_and_well_formed() {
    let world = World::sqlite().await;
    world.state.spool.append(1, b"a record").unwrap();
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let account = json!({
        "name": "a", "provider": "openai", "protocol": "openai", "base_url": "http://127.0.0.1:1/v1",
        "api_key": "sk-a",
    });
    let account = Ask::post("/api/v1/accounts", account)
        .bearer(&root)
        .to(&app)
        .await;
    let id = account.body["id"].as_str().unwrap().to_owned();
    let text = Ask::get("/metrics").to(&app).await.text;
    let expected = [
        "steward_ledger_accepted_total 1".to_owned(),
        "steward_ledger_spooled 1".to_owned(),
        "steward_ledger_dropped_since_start_total{reason=\"damaged\"} 0".to_owned(),
        "steward_gateway_requests_total{class=\"2xx\"} 0".to_owned(),
        format!("steward_account_breaker{{account=\"{id}\",state=\"closed\"}} 1"),
        format!("steward_account_breaker{{account=\"{id}\",state=\"open\"}} 0"),
        "steward_actor_restarts_total{actor=\"root/ledger/batch_writer\"} 0".to_owned(),
    ];
    for line in expected {
        assert!(text.lines().any(|have| have == line), "{line}\n{text}");
    }
    assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    assert!(text.contains("\nprocess_start_time_seconds "));
    assert_eq!(text.matches("# EOF").count(), 1);
    assert!(text.ends_with("# EOF\n"));
}
