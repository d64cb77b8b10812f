use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use actix_web::HttpServer;
use actix_web::http::StatusCode;
use serde_json::{Value, json};
use steward_entities::jwt_test;

use super::run::{Watch, perform};
use crate::testing::{Ask, World};

const TESTS: &str = "/api/v1/jwt-tests";
const ISSUERS: &str = "/api/v1/jwt-issuers";

/// The world at its own front door.
fn listening(world: &World) -> SocketAddr {
    let state = world.state.clone();
    let server = HttpServer::new(move || crate::http::routes::app(state.clone()));
    let server = server.workers(1).bind(("127.0.0.1", 0)).unwrap();
    let address = server.addrs()[0];
    #[allow(
        clippy::disallowed_methods,
        reason = "the server is the test's, not the product's"
    )]
    actix_web::rt::spawn(server.run());
    address
}

/// What a job would do.
async fn runs(world: &World, address: SocketAddr, id: &str) -> Result<Value, String> {
    let read = &world.state.databases.control_read;
    let test = jwt_test::by_public_id(read, id).await.unwrap().unwrap();
    let reached = AtomicU8::new(0);
    let watch = Watch {
        progress: &|per_cent| reached.store(per_cent, Ordering::Relaxed),
        is_cancelled: &|| false,
    };
    let done = perform(&world.state, address, test, watch).await;
    assert_eq!(reached.load(Ordering::Relaxed), 100);
    done
}

async fn tokens_are_tried_and_every_result_is_kept(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let viewer = world.signed_in("viewer", "ops_viewer").await;
    let address = listening(&world);
    let token = Ask::post("/api/v1/tokens", json!({"name": "web users"}));
    let token = token.bearer(&root).to(&app).await;
    let token_id = token.body["id"].as_str().unwrap();
    let issuer = json!({"name": "own", "kind": "own", "issuer": "steward", "audience": "gateway", "token_id": token_id});
    let issuer = Ask::post(ISSUERS, issuer).bearer(&root).to(&app).await;
    let issuer_id = issuer.body["id"].as_str().unwrap().to_owned();
    let make = async |more: Value| {
        let mut body = json!({"issuer_id": issuer_id, "count": 7, "concurrency": 3});
        let more = more.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(more);
        Ask::post(TESTS, body).bearer(&root).to(&app).await
    };
    let id_of = |made: &Value| made["test"]["id"].as_str().unwrap().to_owned();

    // Issued, verified, and let in.
    let made = make(json!({"call": "models"})).await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{}", made.text);
    assert_eq!(
        (&made.body["job"]["kind"], &made.body["test"]["state"]),
        (&json!("jwt_tests.run"), &json!("queued"))
    );
    let first = id_of(&made.body);
    let done = runs(&world, address, &first).await.unwrap();
    assert_eq!((&done["ok"], &done["failed"]), (&json!(7), &json!(0)));
    let path = format!("{TESTS}/{first}");
    let shown = Ask::get(&path).bearer(&viewer).to(&app).await;
    let results = shown.body["results"].as_array().unwrap();
    assert_eq!(results.len(), 7, "{}", shown.text);
    for (at, result) in results.iter().enumerate() {
        assert_eq!(
            (&result["number"], &result["ok"], &result["status"]),
            (&json!(at + 1), &json!(true), &json!(200))
        );
        for step in ["issue_us", "verify_us", "call_us"] {
            assert!(result[step].as_i64().unwrap() > 0, "{step}: {result}");
        }
    }
    let summary = &shown.body["summary"];
    assert_eq!(
        (&summary["done"], &summary["call"]["count"]),
        (&json!(7), &json!(7))
    );
    assert!(!summary["distribution"].as_array().unwrap().is_empty());

    // Nothing called: no time of a call. Run again, as after a crash, it has its results once.
    let second = id_of(&make(json!({})).await.body);
    for _ in 0..2 {
        runs(&world, address, &second).await.unwrap();
    }
    let shown = Ask::get(&format!("{TESTS}/{second}"))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(shown.body["results"].as_array().unwrap().len(), 7);
    assert!(shown.body["summary"]["call"].is_null());

    // What the gateway refuses is said as it says it.
    let chat = json!({"call": "chat", "model": "gpt-4o", "count": 2});
    let third = id_of(&make(chat).await.body);
    let done = runs(&world, address, &third).await.unwrap();
    assert_eq!((&done["ok"], &done["failed"]), (&json!(0), &json!(2)));
    let shown = Ask::get(&format!("{TESTS}/{third}"))
        .bearer(&root)
        .to(&app)
        .await;
    let failure = &shown.body["summary"]["failures"][0];
    assert_eq!(
        (&failure["step"], &failure["code"], &failure["count"]),
        (&json!("call"), &json!("no_account"), &json!(2)),
        "{}",
        shown.text
    );
    assert!(shown.body["results"][0]["request_id"].is_string());

    // A token that was given: tried as it is, and forgotten with the end of the run.
    let given = json!({"token": "canary.canary.canary", "count": 1});
    let fourth = id_of(&make(given).await.body);
    runs(&world, address, &fourth).await.unwrap();
    let read = &world.state.databases.control_read;
    let row = jwt_test::by_public_id(read, &fourth)
        .await
        .unwrap()
        .unwrap();
    assert!(row.token_sealed.is_none() && row.finished_at.is_some());
    let shown = Ask::get(&format!("{TESTS}/{fourth}"))
        .bearer(&root)
        .to(&app)
        .await;
    let result = &shown.body["results"][0];
    assert_eq!(
        (&result["failed_at"], &result["code"], &result["issue_us"]),
        (&json!("verify"), &json!("malformed"), &Value::Null)
    );
    let audited = world.audited("jwt_tests.create").await;
    assert_eq!(audited.len(), 4);
    assert!(!serde_json::to_string(&audited).unwrap().contains("canary"));
    assert!(!shown.text.contains("canary"));

    // Past runs, newest first, of one issuer.
    let list = Ask::get(&format!("{TESTS}?issuer_id={issuer_id}&limit=2")).bearer(&viewer);
    let list = list.to(&app).await;
    assert_eq!(
        (&list.body["total"], &list.body["items"][0]["id"]),
        (&json!(4), &json!(fourth))
    );
    assert!(list.body["next_cursor"].is_string());
    let none = Ask::get(&format!("{TESTS}?issuer_id=iss_other")).bearer(&viewer);
    assert_eq!(none.to(&app).await.body["total"], 0);

    // An issuer that is off is told by every result, not by the run.
    let off = Ask::patch(&format!("{ISSUERS}/{issuer_id}"), json!({"enabled": false}));
    assert_eq!(off.bearer(&root).to(&app).await.status, StatusCode::OK);
    let fifth = id_of(&make(json!({"count": 1})).await.body);
    runs(&world, address, &fifth).await.unwrap();
    let shown = Ask::get(&format!("{TESTS}/{fifth}"))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(shown.body["results"][0]["code"], "issuer_unknown");
}

#[actix_web::test]
async fn tokens_are_tried_and_every_result_is_kept_sqlite() {
    tokens_are_tried_and_every_result_is_kept(World::sqlite().await).await;
}

#[actix_web::test]
async fn tokens_are_tried_and_every_result_is_kept_postgres() {
    tokens_are_tried_and_every_result_is_kept(World::postgres().await).await;
}

#[actix_web::test]
async fn a_run_that_is_stopped_keeps_what_it_has() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let token = Ask::post("/api/v1/tokens", json!({"name": "web users"}));
    let token = token.bearer(&root).to(&app).await;
    let issuer = json!({"name": "own", "kind": "own", "issuer": "steward", "audience": "gateway", "token_id": token.body["id"]});
    let issuer = Ask::post(ISSUERS, issuer).bearer(&root).to(&app).await;
    let body = json!({"issuer_id": issuer.body["id"], "count": 100, "concurrency": 1});
    let made = Ask::post(TESTS, body).bearer(&root).to(&app).await;
    let id = made.body["test"]["id"].as_str().unwrap();
    let read = &world.state.databases.control_read;
    let test = jwt_test::by_public_id(read, id).await.unwrap().unwrap();
    let is_over = AtomicBool::new(false);
    let watch = Watch {
        progress: &|per_cent| is_over.store(per_cent >= 10, Ordering::Relaxed),
        is_cancelled: &|| is_over.load(Ordering::Relaxed),
    };
    let nowhere = ([127, 0, 0, 1], 1).into();
    let stopped = perform(&world.state, nowhere, test, watch).await;
    assert_eq!(stopped, Err("it was stopped".to_owned()));
    let shown = Ask::get(&format!("{TESTS}/{id}"))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(shown.body["results"].as_array().unwrap().len(), 10);
    assert_eq!(shown.body["summary"]["done"], 10);
}

#[actix_web::test]
async fn who_may_and_what_is_refused() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let viewer = world.signed_in("viewer", "ops_viewer").await;
    let tenant = world.signed_in_of_tenant("tina", "ops_admin", 1).await;
    let token = Ask::post("/api/v1/tokens", json!({"name": "web users"}));
    let token = token.bearer(&root).to(&app).await;
    let issuer = json!({"name": "own", "kind": "own", "issuer": "steward", "audience": "gateway", "token_id": token.body["id"]});
    let issuer = Ask::post(ISSUERS, issuer).bearer(&root).to(&app).await;
    let good = json!({"issuer_id": issuer.body["id"], "count": 1});
    assert_eq!(
        Ask::get(TESTS).to(&app).await.status,
        StatusCode::UNAUTHORIZED
    );
    let refused = Ask::get(TESTS).bearer(&tenant).to(&app).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let refused = Ask::post(TESTS, good.clone())
        .bearer(&viewer)
        .to(&app)
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    for (field, value) in [
        ("issuer_id", json!("iss_none")),
        ("count", json!(0)),
        ("count", json!(1_001)),
        ("concurrency", json!(51)),
        ("model", json!("gpt-4o")),
        ("token", json!("x".repeat(9_000))),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let refused = Ask::post(TESTS, body).bearer(&root).to(&app).await;
        assert_eq!(
            refused.body["errors"][0]["field"],
            json!(field),
            "{}",
            refused.text
        );
    }
    let mut nameless = good;
    nameless["call"] = json!("chat");
    let refused = Ask::post(TESTS, nameless).bearer(&root).to(&app).await;
    assert_eq!(refused.body["errors"][0]["field"], "model");
    let missing = Ask::get(&format!("{TESTS}/jwt_none"))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}
