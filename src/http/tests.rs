//! What holds for every route, whoever serves it.

use actix_web::http::{Method, StatusCode};
use serde_json::json;

use crate::http::extract::BODY_MAX_BYTES;
use crate::testing::{Ask, World};

const USERS: &str = "/api/v1/ops/users";

#[actix_web::test]
async fn every_answer_is_named_and_protected() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let document = Ask::get("/api/v1/openapi.json").to(&app).await;
    assert_eq!(document.body["info"]["title"], "Steward");
    for path in [
        "/openapi.json",
        "/nowhere",
        "/api/v1/auth/me",
        "/api/v1/nowhere",
    ] {
        let answer = Ask::get(path).to(&app).await;
        let id: uuid::Uuid = answer.header("x-request-id").parse().unwrap();
        assert_eq!(id.get_version_num(), 7);
        assert!(
            answer
                .header("content-security-policy")
                .contains("default-src 'none'")
        );
        assert!(
            answer
                .header("content-security-policy")
                .contains("frame-ancestors 'none'")
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    assert_eq!(
        Ask::get("/api/v1/auth/me")
            .to(&app)
            .await
            .header("cache-control"),
        "no-store"
    );
}

#[actix_web::test]
async fn a_refusal_is_a_problem() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let answer = Ask::get("/api/v1/auth/me").to(&app).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(
        answer.header("www-authenticate"),
        "Bearer realm=\"steward\""
    );
    assert_eq!(
        answer.body,
        json!({
            "type": "/problems/unauthenticated",
            "title": "You are not signed in.",
            "status": 401,
            "detail": "You are not signed in.",
            "code": "unauthenticated",
            "request_id": answer.header("x-request-id"),
            "errors": [],
        })
    );
}

#[actix_web::test]
async fn unknown_paths_and_methods_are_told_apart() {
    let world = World::sqlite().await;
    let app = world.app().await;
    assert_eq!(
        Ask::get("/api/v1/nowhere").to(&app).await.status,
        StatusCode::NOT_FOUND
    );
    let answer = Ask::delete(USERS).to(&app).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.header("allow"), "GET, POST");
    let answer = Ask::new(Method::PUT, &format!("{USERS}/opr_x"))
        .to(&app)
        .await;
    assert_eq!(answer.header("allow"), "DELETE, GET, PATCH");
    assert_eq!(
        Ask::delete("/openapi.json").to(&app).await.header("allow"),
        "GET"
    );
}

#[actix_web::test]
async fn a_refused_body_names_the_field() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let send = |body: &str| {
        Ask::new(Method::POST, USERS)
            .bearer(&root)
            .header("content-type", "application/json")
            .body(body)
    };
    for (body, status, field) in [
        ("{", 400, None),
        ("", 400, None),
        ("\u{0}", 400, None),
        (r#"{"username":"a","role":"ops_viewer"} x"#, 400, None),
        ("[]", 422, Some("body")),
        (
            r#"{"username":1,"role":"ops_viewer"}"#,
            422,
            Some("username"),
        ),
        (r#"{"username":"a"}"#, 422, Some("body")),
        (
            r#"{"username":"a","role":"ops_viewer","x":1}"#,
            422,
            Some("x"),
        ),
        (
            r#"{"username":"a b","role":"ops_viewer"}"#,
            422,
            Some("username"),
        ),
        (r#"{"username":"a","role":"nobody"}"#, 422, Some("role")),
        (
            r#"{"username":"a","role":"ops_viewer","display_name":"\u0000"}"#,
            422,
            Some("display_name"),
        ),
    ] {
        let answer = send(body).to(&app).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {answer:?}");
        if let Some(field) = field {
            assert_eq!(
                answer.body["errors"][0]["field"], field,
                "{body}: {answer:?}"
            );
        }
    }
    // Depth is refused, not recursed into, wherever it is looked at.
    let nested = format!(r#"{{"username":{}"#, "[".repeat(10_000));
    assert!(send(&nested).to(&app).await.status.is_client_error());
    let long = " ".repeat(BODY_MAX_BYTES + 1);
    assert_eq!(
        send(&long).to(&app).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let text = Ask::new(Method::POST, USERS)
        .bearer(&root)
        .header("content-type", "text/plain")
        .body("{}");
    assert_eq!(
        text.to(&app).await.status,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
}

#[actix_web::test]
async fn a_refused_query_names_the_parameter() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let answer = Ask::get(&format!("{USERS}?limit=many"))
        .bearer(&root)
        .to(&app)
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.body["errors"][0]["field"], "limit");
}

#[actix_web::test]
async fn a_panic_is_answered_and_the_next_request_served() {
    use actix_web::middleware::from_fn;
    use actix_web::{App, HttpResponse, web};

    async fn fall() -> HttpResponse {
        panic!("a secret detail")
    }
    let app = App::new()
        .wrap(from_fn(super::middleware::frame))
        .route("/fall", web::get().to(fall))
        .route("/stand", web::get().to(HttpResponse::Ok));
    let app = actix_web::test::init_service(app).await;
    let answer = Ask::get("/fall").to(&app).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.body["code"], "internal_error");
    assert_eq!(answer.body["request_id"], answer.header("x-request-id"));
    assert!(!answer.body.to_string().contains("secret"));
    assert_eq!(Ask::get("/stand").to(&app).await.status, StatusCode::OK);
}

#[actix_web::test]
async fn who_may_not_ask_is_told_so_before_what_is_wrong_with_the_body() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let viewer = world.signed_in("ada", "ops_viewer").await;
    for (bearer, expected) in [
        ("sk-stw-garbage", StatusCode::UNAUTHORIZED),
        (viewer.as_str(), StatusCode::FORBIDDEN),
    ] {
        // Who there is has to be read from the database, which takes longer than looking at a body.
        world.state.directory.outdate();
        let answer = Ask::new(Method::POST, "/api/v1/tokens")
            .bearer(bearer)
            .body("{");
        assert_eq!(answer.to(&app).await.status, expected);
    }
}

/// Every operation, asked by everybody: who may is what the permission in the signature says.
#[actix_web::test]
async fn roles_and_permissions() {
    let world = World::live().await;
    let app = world.app().await;
    let admin = world.signed_in("root", "ops_admin").await;
    let viewer = world.signed_in("ada", "ops_viewer").await;
    let document = super::openapi::openapi();
    let mut asked = 0;
    for (path, item) in &document.paths.paths {
        // A key set is for everybody who checks a token with it.
        let open = path.contains("/auth/")
            || path.ends_with("/jwks")
            || ["/api/v1/instance/public", "/api/v1/ws"].contains(&path.as_str());
        // Applications send records and feedback, with a token of theirs; a socket is opened by a ticket.
        let applications = path.starts_with("/api/v1/ingest/") || path == "/api/v1/feedback";
        if !path.starts_with("/api/v1/") || open || applications {
            continue;
        }
        let concrete = path.replace('{', "x_").replace('}', "");
        for (method, there) in [
            (Method::GET, item.get.is_some()),
            (Method::POST, item.post.is_some()),
            (Method::PUT, item.put.is_some()),
            (Method::PATCH, item.patch.is_some()),
            (Method::DELETE, item.delete.is_some()),
        ] {
            if !there {
                continue;
            }
            asked += 1;
            let ask = || Ask::new(method.clone(), &concrete);
            let case = format!("{method} {path}");
            assert_eq!(
                ask().to(&app).await.status,
                StatusCode::UNAUTHORIZED,
                "{case}"
            );
            let garbage = ask().bearer("sk-stw-garbage").to(&app).await;
            assert_eq!(garbage.status, StatusCode::UNAUTHORIZED, "{case}");
            let by_viewer = ask().bearer(&viewer).to(&app).await.status;
            let by_admin = ask().bearer(&admin).to(&app).await.status;
            assert_ne!(by_admin, StatusCode::FORBIDDEN, "{case}");
            assert!(!by_admin.is_server_error(), "{case}");
            // Asked with a body, and changes nothing but how far the asker has read.
            let reads = path.ends_with("/fill")
                || [
                    "/api/v1/redaction-rules/test",
                    "/api/v1/notifications/read",
                    "/api/v1/ops/alerts/rules/preview",
                    "/api/v1/knowledge/search",
                ]
                .contains(&path.as_str());
            // What people said is for those who need it.
            let kept_back = path.starts_with("/api/v1/conversations");
            assert_eq!(
                by_viewer == StatusCode::FORBIDDEN,
                (method != Method::GET && !reads) || kept_back,
                "{case}: {by_viewer}"
            );
        }
    }
    assert!(asked >= 10, "{asked}");
    world.end().await;
}

#[actix_web::test]
async fn a_file_is_made_again_whatever_key_it_was_asked_for_with() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    for _ in 0..2 {
        let ask = Ask::post(
            "/api/v1/conversations/export",
            serde_json::json!({"ids": []}),
        );
        let file = ask.bearer(&root).header("idempotency-key", "again");
        let file = file.to(&app).await;
        assert_eq!(file.status, StatusCode::OK, "{file:?}");
        let media_type = file.headers.get("content-type").unwrap();
        assert_eq!(media_type, "application/x-ndjson");
        assert!(!file.headers.contains_key("idempotency-replayed"));
    }
    world.end().await;
}

#[actix_web::test]
async fn a_change_by_another_process_acts_within_a_second() {
    use std::time::{Duration, Instant};

    use crate::features::operators::offline;

    let world = World::sqlite().await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let me = || Ask::get("/api/v1/auth/me").bearer(&root);
    assert_eq!(me().to(&app).await.status, StatusCode::OK);
    let clock = &*world.state.clock;
    offline::set_operator_password(&world.database, "root", "another one", clock)
        .await
        .unwrap();
    let changed = Instant::now();
    while me().to(&app).await.status != StatusCode::UNAUTHORIZED {
        assert!(changed.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[actix_web::test]
async fn the_living_tree_brings_a_change_into_force() {
    let world = World::live().await;
    world.state.apply_to_gateway().await.unwrap();
    assert_eq!(world.state.tree.supervisor.tree().await.id, "root");
    world.end().await;
}
