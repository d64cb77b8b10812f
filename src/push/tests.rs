use actix_web::http::StatusCode;
use serde_json::json;

use crate::testing::{Answer, Ask, World};

const TICKET: &str = "/api/v1/auth/ws-ticket";

async fn ticket<B: actix_web::body::MessageBody + 'static>(
    app: &impl actix_web::dev::Service<
        actix_http::Request,
        Response = actix_web::dev::ServiceResponse<B>,
        Error = actix_web::Error,
    >,
    bearer: &str,
) -> String {
    let answer = Ask::post(TICKET, json!({})).bearer(bearer).to(app).await;
    assert_eq!(
        (answer.status, &answer.body["expires_in"]),
        (StatusCode::OK, &json!(30))
    );
    answer.body["ticket"].as_str().unwrap().to_owned()
}

fn upgrade(ticket: &str) -> Ask {
    Ask::get(&format!("/api/v1/ws?ticket={ticket}"))
        .header("host", "steward.example")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

fn refused(answer: &Answer) -> (u16, &str) {
    (
        answer.status.as_u16(),
        answer.body["code"].as_str().unwrap_or_default(),
    )
}

#[actix_web::test]
async fn a_ticket_takes_a_session_and_lives_half_a_minute() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let nobody = Ask::post(TICKET, json!({})).to(&app).await;
    assert_eq!(refused(&nobody), (401, "unauthenticated"));
    let ada = world.signed_in("ada", "ops_viewer").await;
    let late = ticket(&app, &ada).await;
    world.clock.advance_micros(30_000_000);
    assert_eq!(
        refused(&upgrade(&late).to(&app).await),
        (401, "ticket_invalid")
    );
    assert_eq!(
        refused(&upgrade("").to(&app).await),
        (401, "ticket_invalid")
    );
    assert_eq!(
        Ask::get("/api/v1/ws").to(&app).await.status,
        StatusCode::BAD_REQUEST
    );
}

#[actix_web::test]
async fn what_is_no_web_socket_or_comes_from_elsewhere_keeps_its_ticket() {
    let world = World::sqlite().await;
    let app = world.app().await;
    let ada = world.signed_in("ada", "ops_viewer").await;
    let ticket = ticket(&app, &ada).await;
    let plain = Ask::get(&format!("/api/v1/ws?ticket={ticket}"))
        .to(&app)
        .await;
    assert_eq!(refused(&plain), (400, "invalid_request"));
    let foreign = upgrade(&ticket)
        .header("origin", "https://evil.example")
        .to(&app)
        .await;
    assert_eq!(refused(&foreign), (403, "origin_refused"));
    // Still good: what follows refuses it for its holder's sake alone.
    world.state.push.close_all();
    let txn = steward_entities::database::begin_write(&world.database.control)
        .await
        .unwrap();
    let row = steward_entities::operator::by_username(&txn, "ada")
        .await
        .unwrap()
        .unwrap();
    steward_entities::operator::update(
        &txn,
        &row,
        steward_entities::operator::ActiveModel {
            enabled: sea_orm::ActiveValue::Set(false),
            ..Default::default()
        },
        1,
    )
    .await
    .unwrap();
    txn.commit().await.unwrap();
    world.state.directory.refresh().await.unwrap();
    let closed = upgrade(&ticket)
        .header("origin", "https://steward.example")
        .to(&app)
        .await;
    assert_eq!(refused(&closed), (401, "session_ended"));
    assert_eq!(
        refused(&upgrade(&ticket).to(&app).await),
        (401, "ticket_invalid"),
        "once"
    );
    assert_eq!(world.state.push.sessions(), 0);
    world.state.begin_drain();
    assert_eq!(
        refused(&upgrade(&ticket).to(&app).await),
        (503, "shutting_down")
    );
}
