//! Tickets for downloads: a page asks for one, then has the browser fetch the file by a link, straight to the disk.
//!
//! | method | path | permission |
//! |---|---|---|
//! | POST | `/auth/download-ticket` | what the file takes |
//!
//! Which files there are, and what a ticket is worth, is said in `http::download`. Of this process: where several serve one
//! address, the file is fetched where the ticket is from.

use actix_web::{post, web};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::{ApiError, ErrorCode};
use crate::http::download::{Download, FILES};
use crate::http::extract::Json;
use crate::http::permission::{Can, Settled};
use crate::http::ticket::LIVES_S;
use crate::state::AppState;

/// A thousand ids fit.
const ASKED_MAX_BYTES: usize = 64 * 1024;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(issue);
}

/// What is to be fetched.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DownloadRequest {
    /// Path of the file without its query.
    #[schema(example = "/api/v1/logs/requests/export")]
    path: String,
    /// `/api/v1/conversations/export`: what its POST takes. For the others null: they say it in their query.
    #[serde(default)]
    body: Option<Value>,
}

/// A ticket.
#[derive(Debug, Serialize, ToSchema)]
struct DownloadTicket {
    /// For `GET <path>?ticket=`, once.
    ticket: String,
    /// Seconds.
    expires_in: i64,
}

/// A ticket for one download, so that a browser can fetch a file by a link: what fetches it then need send no header.
#[utoipa::path(tag = "auth", responses((status = 200, body = DownloadTicket)))]
#[post("/auth/download-ticket")]
async fn issue(
    state: web::Data<AppState>,
    caller: Can<Settled>,
    Json(asked): Json<DownloadRequest>,
) -> Result<Json<DownloadTicket>, ApiError> {
    let Some(file) = FILES.iter().find(|file| file.path == asked.path) else {
        let paths: Vec<&str> = FILES.iter().map(|file| file.path).collect();
        let message = format!("must be one of {}", paths.join(", "));
        return Err(ApiError::invalid("path", message));
    };
    if !caller.operator.permissions.allow(file.permission) {
        return Err(ApiError::new(ErrorCode::Forbidden)
            .detail(format!("It takes the permission {}.", file.permission)));
    }
    match &asked.body {
        None if file.takes_body => {
            return Err(ApiError::invalid("body", "must say what to export"));
        }
        Some(_) if !file.takes_body => {
            return Err(ApiError::invalid("body", "must be left out for this file"));
        }
        Some(body) if body.to_string().len() > ASKED_MAX_BYTES => {
            let message = format!("must have at most {ASKED_MAX_BYTES} bytes");
            return Err(ApiError::invalid("body", message));
        }
        _ => {}
    }
    let download = Download::new(file, asked.body, &caller);
    let ticket = state
        .downloads
        .issue(download, state.clock.now_micros())
        .ok_or_else(|| ApiError::new(ErrorCode::Overloaded).retry_after_s(5))?;
    Ok(Json(DownloadTicket {
        ticket,
        expires_in: LIVES_S,
    }))
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use serde_json::{Value, json};

    use crate::testing::{Answer, Ask, World};

    const TICKET: &str = "/api/v1/auth/download-ticket";
    const CALLS: &str = "/api/v1/logs/requests/export";
    const CONVERSATIONS: &str = "/api/v1/conversations/export";

    fn code(answer: &Answer) -> (u16, &str) {
        let code = answer.body["code"].as_str();
        (answer.status.as_u16(), code.unwrap_or_default())
    }

    #[actix_web::test]
    async fn a_link_fetches_one_file_once() {
        let world = World::sqlite().await;
        let app = world.app().await;
        let ada = world.signed_in("ada", "ops_viewer").await;
        let ticket = async |body: Value| {
            let answer = Ask::post(TICKET, body).bearer(&ada).to(&app).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            answer.body["ticket"].as_str().unwrap().to_owned()
        };
        let link = async |path: &str, ticket: &str| {
            let path = format!("{path}?format=csv&ticket={ticket}&range=7d");
            Ask::get(&path).to(&app).await
        };
        let calls = ticket(json!({"path": CALLS})).await;
        let file = link(CALLS, &calls).await;
        assert_eq!(file.status, StatusCode::OK, "{file:?}");
        assert_eq!(
            file.header("content-disposition"),
            "attachment; filename=\"requests.csv\""
        );
        assert!(file.text.starts_with("id,token_id,"), "{file:?}");
        assert_eq!(code(&link(CALLS, &calls).await), (401, "ticket_invalid"));

        // Another file, anything that is no file, too late: nothing is fetched.
        let calls = ticket(json!({"path": CALLS})).await;
        let other = link("/api/v1/stats/export", &calls).await;
        assert_eq!(code(&other), (401, "ticket_invalid"));
        assert_eq!(code(&link(CALLS, &calls).await), (401, "ticket_invalid"));
        let calls = ticket(json!({"path": CALLS})).await;
        let list = link("/api/v1/logs/requests", &calls).await;
        assert_eq!(code(&list), (401, "unauthenticated"));
        world.clock.advance_micros(30_000_000);
        assert_eq!(code(&link(CALLS, &calls).await), (401, "ticket_invalid"));

        // Whoever signs out takes their tickets along.
        let calls = ticket(json!({"path": CALLS})).await;
        let out = Ask::new(actix_web::http::Method::POST, "/api/v1/auth/logout").bearer(&ada);
        assert!(out.to(&app).await.status.is_success());
        assert_eq!(code(&link(CALLS, &calls).await), (401, "session_ended"));
    }

    #[actix_web::test]
    async fn a_ticket_takes_what_its_file_takes_and_keeps_what_was_asked() {
        let world = World::sqlite().await;
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let ada = world.signed_in("ada", "ops_viewer").await;
        let ask =
            async |bearer: &str, body: Value| Ask::post(TICKET, body).bearer(bearer).to(&app).await;
        let asked = json!({"path": CONVERSATIONS, "body": {"format": "json"}});
        assert_eq!(code(&ask(&ada, asked.clone()).await), (403, "forbidden"));
        for (bad, field) in [
            (json!({"path": "/api/v1/tokens"}), "path"),
            (json!({"path": CALLS, "body": {}}), "body"),
            (json!({"path": CONVERSATIONS}), "body"),
            (
                json!({"path": CONVERSATIONS, "body": {"ids": ["x".repeat(70_000)]}}),
                "body",
            ),
        ] {
            let refused = ask(&root, bad).await;
            assert_eq!(code(&refused), (422, "validation_failed"), "{refused:?}");
            assert_eq!(refused.body["errors"][0]["field"], field);
        }
        let issued = ask(&root, asked).await;
        let ticket = issued.body["ticket"].as_str().unwrap();
        let link = Ask::get(&format!("{CONVERSATIONS}?ticket={ticket}"));
        let file = link.to(&app).await;
        assert_eq!((file.status, file.text.as_str()), (StatusCode::OK, "[]\n"));
        assert_eq!(world.audited("conversations.export").await.len(), 1);
        let without = Ask::get(CONVERSATIONS).bearer(&root).to(&app).await;
        assert_eq!(code(&without), (401, "ticket_invalid"));
        let nonsense = json!({"path": CONVERSATIONS, "body": {"format": "pdf"}});
        let issued = ask(&root, nonsense).await;
        let ticket = issued.body["ticket"].as_str().unwrap();
        let link = Ask::get(&format!("{CONVERSATIONS}?ticket={ticket}"));
        assert_eq!(code(&link.to(&app).await), (422, "validation_failed"));
    }
}
