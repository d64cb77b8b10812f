//! Tokens as the token console's document knows them: `keys` below `/api/console`, in its words.
//!
//! The same tokens, changed by the same code; the envelope around every answer is the mounting scope's.

use actix_web::{HttpResponse, delete, get, post, web};
use serde::{Deserialize, Serialize};
use steward_entities::ledger::total;
use steward_entities::scope;
use utoipa::ToSchema;

use super::{
    Can, IfMatch, IssuedToken, Json, NewToken, ReadTokens, WriteTokens, issue, revoke, token,
};
use crate::error::ApiError;
use crate::http::precondition::Tagged;
use crate::http::range::rfc3339;
use crate::state::AppState;

/// Keys in one answer.
const KEYS_MAX: u64 = 1_000;

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
struct ConsoleKey {
    id: String,
    name: String,
    description: String,
    /// First and last characters of the secret.
    key: String,
    /// `active`, `disabled` or `expired`.
    status: &'static str,
    /// Model tokens it has used.
    used_tokens: i64,
    /// Model tokens it may use in its life; null is unlimited.
    token_quota: Option<i64>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    last_used: Option<String>,
}

/// The latest thousand tokens that are not revoked.
#[utoipa::path(tag = "token console", responses((status = 200, body = Vec<ConsoleKey>)))]
#[get("/keys")]
pub(crate) async fn keys(
    state: web::Data<AppState>,
    caller: Can<ReadTokens>,
) -> Result<Json<Vec<ConsoleKey>>, ApiError> {
    let page = scope::Page {
        after: None,
        limit: KEYS_MAX,
    };
    let filter = token::Filter::default();
    let control = &state.databases.control_read;
    let rows = token::list(control, caller.operator.scope(), &filter, page).await?;
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let totals = total::of_tokens(&state.databases.ledger_read, &ids).await?;
    let now = state.clock.now_micros();
    let each = rows.into_iter().map(|row| {
        let used = totals.get(&row.id);
        ConsoleKey {
            status: match row.expires_at {
                _ if !row.enabled => "disabled",
                Some(at) if at <= now => "expired",
                _ => "active",
            },
            id: row.public_id,
            name: row.name,
            description: row.description,
            key: format!("{}…{}", row.prefix, row.last4),
            used_tokens: used.map_or(0, |used| used.total_tokens),
            token_quota: row.token_quota,
            created_at: rfc3339(row.created_at),
            last_used: used.map(|used| rfc3339(used.last_at)),
        }
    });
    Ok(Json(each.collect()))
}

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewConsoleKey {
    name: String,
    #[serde(default)]
    description: String,
}

/// Makes a token without limits. Its secret is in this answer only.
#[utoipa::path(tag = "token console", responses((status = 201, body = IssuedToken)))]
#[post("/keys")]
pub(crate) async fn create_key(
    state: web::Data<AppState>,
    caller: Can<WriteTokens>,
    Json(new): Json<NewConsoleKey>,
) -> Result<Tagged<IssuedToken>, ApiError> {
    let new = NewToken {
        name: new.name,
        description: new.description,
        ..NewToken::default()
    };
    issue(&state, &caller, new).await
}

/// Revokes a token, at once and for good.
#[utoipa::path(tag = "token console", responses((status = 204)))]
#[delete("/keys/{id}")]
pub(crate) async fn remove_key(
    state: web::Data<AppState>,
    caller: Can<WriteTokens>,
    id: web::Path<String>,
    if_match: IfMatch,
) -> Result<HttpResponse, ApiError> {
    revoke(&state, &caller, &id, if_match).await?;
    Ok(HttpResponse::NoContent().finish())
}
