//! Operator keys: long-lived credentials with which an operator's scripts sign in, as that operator.
//!
//! Everybody manages their own, and only after signing in with a password: whoever finds a key must not be
//! able to make another one of it.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/auth/keys` | signed in |
//! | POST | `/auth/keys` | signed in with a password |
//! | DELETE | `/auth/keys/{id}` | signed in with a password |

use actix_web::{HttpResponse, delete, get, post, web};
use serde::{Deserialize, Serialize};
use steward_entities::operator_key;
use steward_entities::token::KeptSecret;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::gateway::token_key::OPERATOR_KEY;
use crate::http::change::{Audit, Change};
use crate::http::extract::Json;
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, Settled};
use crate::http::precondition::Tagged;
use crate::http::range::{parse_time, rfc3339};
use crate::state::AppState;

const NAME_MAX_CHARS: usize = 128;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list).service(create).service(remove);
}

/// An operator key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
struct KeyShown {
    id: String,
    name: String,
    /// How the secret begins.
    prefix: String,
    /// How it ends.
    last4: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// To the minute.
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
}

impl From<operator_key::Model> for KeyShown {
    fn from(row: operator_key::Model) -> Self {
        Self {
            id: row.public_id,
            name: row.name,
            prefix: row.prefix,
            last4: row.last4,
            created_at: rfc3339(row.created_at),
            expires_at: row.expires_at.map(rfc3339),
            last_used_at: row.last_used_at.map(rfc3339),
        }
    }
}

/// An operator key just made.
#[derive(Serialize, ToSchema)]
struct KeyCreated {
    #[serde(flatten)]
    shown: KeyShown,
    /// The secret, only here. Send it as `Authorization: Bearer …`.
    key: String,
}

/// An operator key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct KeyNew {
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    /// RFC 3339; never when absent.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// One's own keys, newest first.
#[utoipa::path(tag = "operator keys", params(PageQuery), responses((status = 200, body = Page<KeyShown>)))]
#[get("/auth/keys")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<Settled>,
    page: PageRequest,
) -> Result<Json<Page<KeyShown>>, ApiError> {
    let connection = &state.databases.control_read;
    let operator = caller.operator.id;
    let rows = operator_key::list(connection, operator, page.rows()?).await?;
    let total = operator_key::count(connection, operator).await?;
    Ok(Json(Page::of(
        rows,
        &page,
        Some(total),
        |row| row.id,
        KeyShown::from,
    )))
}

/// Makes a key for oneself.
#[utoipa::path(tag = "operator keys", responses((status = 201, body = KeyCreated)))]
#[post("/auth/keys")]
async fn create(
    state: web::Data<AppState>,
    caller: Can<Settled>,
    Json(new): Json<KeyNew>,
) -> Result<Tagged<KeyCreated>, ApiError> {
    caller.session()?;
    let name = new.name.trim().to_owned();
    if !(1..=NAME_MAX_CHARS).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return Err(ApiError::invalid(
            "name",
            format!("must have 1 to {NAME_MAX_CHARS} characters"),
        ));
    }
    let change = Change::begin(&state, &caller).await?;
    let expires_at = match new.expires_at.as_deref() {
        None => None,
        Some(text) => match parse_time(text, "expires_at")? {
            at if at <= change.now => {
                return Err(ApiError::invalid("expires_at", "lies in the past"));
            }
            at => Some(at),
        },
    };
    let made = OPERATOR_KEY.generate();
    let kept = KeptSecret {
        prefix: made.prefix,
        last4: made.last4,
        hash: made.hash.to_vec(),
    };
    let operator = caller.operator.id;
    let row = operator_key::insert(&change, operator, name, kept, expires_at, change.now).await?;
    let audit = Audit::of("operator_keys.create", "operator_key", &row.public_id)
        .with("name", &row.name)
        .with("expires_at", row.expires_at.map(rfc3339));
    let body = KeyCreated {
        shown: row.into(),
        key: made.secret.reveal().to_owned(),
    };
    let created = change.created(audit, 1, body).await?;
    state.directory.refresh().await?;
    Ok(created)
}

/// Revokes one of one's own keys; acts on the next request.
#[utoipa::path(tag = "operator keys", responses((status = 204)))]
#[delete("/auth/keys/{id}")]
async fn remove(
    state: web::Data<AppState>,
    caller: Can<Settled>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    caller.session()?;
    let change = Change::begin(&state, &caller).await?;
    let operator = caller.operator.id;
    let row = operator_key::by_public_id(&*change, operator, &id)
        .await?
        .filter(|row| row.revoked_at.is_none())
        .ok_or_else(|| ApiError::not_found("operator key"))?;
    operator_key::revoke(&change, operator, row.id, change.now).await?;
    change
        .commit(
            Audit::of("operator_keys.revoke", "operator_key", &row.public_id)
                .with("name", &row.name),
        )
        .await?;
    state.directory.refresh().await?;
    Ok(HttpResponse::NoContent().finish())
}
