//! Signing in: a password becomes a short-lived access token and a session that renews it.
//!
//! Whatever ends a session (signing out, a new password, a stolen refresh secret) raises the operator's
//! epoch, so access tokens already handed out end with the next request; other devices renew theirs unseen.
//!
//! | method | path | permission |
//! |---|---|---|
//! | POST | `/auth/login` | none |
//! | POST | `/auth/refresh` | the session's cookie |
//! | POST | `/auth/logout` | signed in, or the session's cookie |
//! | POST | `/auth/password` | signed in |
//! | GET | `/auth/me` | signed in |

mod doorman;
mod session_cookie;

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, get, post, web};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter};
use serde::{Deserialize, Serialize};
use steward_entities::column::HiddenText;
use steward_entities::database::begin_write;
use steward_entities::session::{self, NewSession, Presented};
use steward_entities::{change::ChangeError, operator};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

pub use doorman::Doorman;
pub use session_cookie::CookieKey;
use session_cookie::RefreshSecret;

use crate::error::{ApiError, ErrorCode};
use crate::http::caller::{self, Caller, Via};
use crate::http::change::{Audit, Change, refused};
use crate::http::directory::OperatorView;
use crate::http::extract::{ClientAddress, Json};
use crate::http::passwords;
use crate::http::permission::{Can, Permissions, SignedIn};
use crate::http::request_id;
use crate::state::AppState;

/// Two tabs may renew with the same secret this long after the first of them did.
const GRACE_US: i64 = 10_000_000;
const USER_AGENT_MAX_BYTES: usize = 256;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(login)
        .service(refresh)
        .service(logout)
        .service(change_password)
        .service(me);
}

/// User name and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Credentials {
    username: String,
    password: String,
}

/// A new password, and the one in force as proof.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordChange {
    current_password: String,
    #[schema(min_length = 8)]
    new_password: String,
}

/// An access token. The session that renews it is in a cookie.
#[derive(Serialize, ToSchema)]
struct Access {
    /// Send it as `Authorization: Bearer …`.
    access_token: String,
    token_type: &'static str,
    /// Seconds.
    expires_in: i64,
    /// The password was chosen by somebody else.
    must_change_password: bool,
}

/// Who is signed in.
#[derive(Serialize, ToSchema)]
struct Me {
    id: String,
    username: String,
    display_name: String,
    role: String,
    /// Every single permission.
    permissions: Vec<String>,
    must_change_password: bool,
}

/// Signs in.
#[utoipa::path(tag = "auth", security(()), responses(
    (status = 200, body = Access, headers(("set-cookie" = String, description = "The session, for /api/v1/auth/refresh"))),
    (status = 401, description = "User name or password is wrong.", body = crate::error::problem::Problem, content_type = "application/problem+json"),
))]
#[post("/auth/login")]
async fn login(
    state: web::Data<AppState>,
    request: HttpRequest,
    ClientAddress(address): ClientAddress,
    Json(credentials): Json<Credentials>,
) -> Result<HttpResponse, ApiError> {
    let Credentials { username, password } = credentials;
    if password.len() > passwords::MAX_BYTES {
        return Err(ApiError::new(ErrorCode::CredentialsWrong));
    }
    state.doorman.admit(&username, address)?;
    let row = operator::by_username(&state.databases.control_read, &username).await?;
    let hash = row.as_ref().map(|row| row.password_hash.0.as_str());
    let matches = state.passwords.verify(&password, hash).await?;
    let known = row.as_ref().map(|row| row.username.clone());
    let Some(row) = row.filter(|row| matches && row.enabled) else {
        // Only a name that there is: who types into the wrong field types a password.
        tracing::warn!(%address, username = known, "a sign-in failed");
        return Err(ApiError::new(ErrorCode::CredentialsWrong));
    };
    state.doorman.welcome(&username, address);

    let caller = arriving(&row, address);
    let change = Change::begin(&state, &caller).await?;
    // The password may have been changed, or the account closed, while it was being checked.
    let row = operator::by_id(&*change, row.id)
        .await?
        .filter(|now| now.enabled && now.password_hash == row.password_hash)
        .ok_or_else(|| ApiError::new(ErrorCode::CredentialsWrong))?;
    let (session, secret) = begin_session(&state, &change, &row, &request, address).await?;
    operator::record_login(&change, row.id, change.now).await?;
    let audit = Audit::of("auth.login", "session", &session);
    change.commit(audit).await?;
    state.directory.refresh().await?;
    granted(&state, &request, &row, &session, Some(secret))
}

/// Renews the access token with the session's cookie, which changes every time. A cookie that was already
/// exchanged ends the session: somebody else has it.
#[utoipa::path(tag = "auth", security(()), responses(
    (status = 200, body = Access),
    (status = 401, description = "The session has ended.", body = crate::error::problem::Problem, content_type = "application/problem+json"),
))]
#[post("/auth/refresh")]
async fn refresh(
    state: web::Data<AppState>,
    request: HttpRequest,
    ClientAddress(address): ClientAddress,
) -> Result<HttpResponse, ApiError> {
    let ended = || ApiError::new(ErrorCode::SessionEnded);
    let presented = RefreshSecret::of(&request).ok_or_else(ended)?;
    let txn = begin_write(&state.databases.control).await?;
    let now = state.clock.now_micros();
    let found = session::by_refresh_hash(&txn, &presented.hash()).await?;
    let (session, current) = match found {
        Some(Presented::Current(session)) => (session, true),
        Some(Presented::Previous(session)) => (session, false),
        // Only a secret that was once issued says that somebody else has it.
        None if !presented.is_ours(&state.session_cookies) => return Err(ended()),
        None => match by_public_id(&txn, presented.session()).await? {
            Some(session) => (session, false),
            None => return Err(ended()),
        },
    };
    if session.revoked_at.is_some() || session.expires_at <= now {
        return Err(ended());
    }
    let row = operator::by_id(&txn, session.operator_id)
        .await?
        .ok_or_else(ended)?;
    if !row.enabled {
        return Err(ended());
    }
    if current {
        let secret = RefreshSecret::generate(&session.public_id);
        let expires_at = now.saturating_add(session_us(&state));
        session::rotate(&txn, &session, secret.hash(), expires_at, now)
            .await
            .map_err(|error| match error {
                ChangeError::Database(error) => error.into(),
                _ => ended(),
            })?;
        txn.commit().await?;
        return granted(&state, &request, &row, &session.public_id, Some(secret));
    }
    let known_before = session.previous_hash.as_deref() == Some(presented.hash().as_slice());
    if known_before && (0..=GRACE_US).contains(&(now - session.rotated_at)) {
        // The other tab has the new cookie, and so has this one: they share it.
        txn.rollback().await?;
        return granted(&state, &request, &row, &session.public_id, None);
    }
    drop(txn);
    tracing::warn!(%address, operator = row.username, "an exchanged refresh secret came back; the session was ended");
    let caller = arriving(&row, address);
    let change = Change::begin(&state, &caller).await?;
    session::revoke_family(&change, &session.family, change.now).await?;
    raise_epoch(&change, row.id).await?;
    let audit = Audit::of("auth.refresh_reused", "session", &session.public_id);
    change.commit(audit).await?;
    state.directory.refresh().await?;
    Err(ended())
}

/// Signs out. Every access token of the operator ends now; other devices renew theirs.
#[utoipa::path(tag = "auth", security(()), responses(
    (status = 204),
    (status = 401, description = "Nobody is signed in.", body = crate::error::problem::Problem, content_type = "application/problem+json"),
    (status = 403, description = "Signed in with an operator key.", body = crate::error::problem::Problem, content_type = "application/problem+json"),
))]
#[post("/auth/logout")]
async fn logout(
    state: web::Data<AppState>,
    request: HttpRequest,
    ClientAddress(address): ClientAddress,
) -> Result<HttpResponse, ApiError> {
    let by_cookie = match RefreshSecret::of(&request) {
        Some(secret) => {
            session::by_refresh_hash(&state.databases.control_read, &secret.hash()).await?
        }
        None => None,
    };
    let (caller, session_id) = match (caller::authenticate(&request).await, by_cookie) {
        (Ok(caller), _) => {
            let id = caller.session()?.to_owned();
            (caller, id)
        }
        (Err(_), Some(Presented::Current(session) | Presented::Previous(session))) => {
            let row = operator::by_id(&state.databases.control_read, session.operator_id)
                .await?
                .ok_or_else(|| ApiError::new(ErrorCode::Unauthenticated))?;
            (arriving(&row, address), session.public_id)
        }
        (Err(error), None) => return Err(error),
    };
    let change = Change::begin(&state, &caller).await?;
    let operator = caller.operator.id;
    if let Some(row) = session::by_public_id(&*change, operator, &session_id).await? {
        session::revoke_family(&change, &row.family, change.now).await?;
    }
    raise_epoch(&change, operator).await?;
    change
        .commit(Audit::of("auth.logout", "session", &session_id))
        .await?;
    state.directory.refresh().await?;
    Ok(HttpResponse::NoContent()
        .cookie(session_cookie::removal(&request))
        .finish())
}

/// Changes one's own password. Every other session ends; this one goes on with the token in the answer.
#[utoipa::path(tag = "auth", responses((status = 200, body = Access)))]
#[post("/auth/password")]
async fn change_password(
    state: web::Data<AppState>,
    request: HttpRequest,
    caller: Can<SignedIn>,
    Json(wanted): Json<PasswordChange>,
) -> Result<HttpResponse, ApiError> {
    caller.session()?;
    let username = &caller.operator.username;
    passwords::check_choice(&wanted.new_password, username, "new_password")?;
    if wanted.new_password == wanted.current_password {
        return Err(ApiError::new(ErrorCode::PasswordWeak)
            .field("new_password", "must differ from the current one"));
    }
    state.doorman.admit(username, caller.address)?;
    let row = operator::by_id(&state.databases.control_read, caller.operator.id)
        .await?
        .ok_or_else(|| ApiError::new(ErrorCode::SessionEnded))?;
    let hash = Some(row.password_hash.0.as_str());
    if !state
        .passwords
        .verify(&wanted.current_password, hash)
        .await?
    {
        return Err(ApiError::new(ErrorCode::ValidationFailed)
            .field("current_password", "is not the current password"));
    }
    state.doorman.welcome(username, caller.address);
    let new_hash = state.passwords.hash(&wanted.new_password).await?;

    let change = Change::begin(&state, &caller).await?;
    let changes = operator::ActiveModel {
        password_hash: Set(HiddenText(new_hash)),
        must_change_password: Set(false),
        epoch: Set(row.epoch + 1),
        ..Default::default()
    };
    let row = operator::update(&change, &row, changes, change.now)
        .await
        .map_err(refused("username"))?;
    session::revoke_all(&change, row.id, change.now).await?;
    let (session, secret) = begin_session(&state, &change, &row, &request, caller.address).await?;
    let audit = Audit::of("auth.password", "operator", &row.public_id);
    change.commit(audit).await?;
    state.directory.refresh().await?;
    granted(&state, &request, &row, &session, Some(secret))
}

/// Who is signed in, and what they may do.
#[utoipa::path(tag = "auth", responses((status = 200, body = Me)))]
#[get("/auth/me")]
async fn me(caller: Can<SignedIn>) -> Json<Me> {
    let operator = &caller.operator;
    Json(Me {
        id: operator.public_id.clone(),
        username: operator.username.clone(),
        display_name: operator.display_name.clone(),
        role: operator.role.clone(),
        permissions: operator.permissions.effective(),
        must_change_password: operator.must_change_password,
    })
}

/// Somebody who is proving who they are with this very request. They may do nothing else with it.
fn arriving(row: &operator::Model, address: IpAddr) -> Caller {
    Caller {
        operator: Arc::new(OperatorView::of(row, Permissions::default())),
        via: Via::Session(String::new()),
        address,
        request_id: request_id::current().unwrap_or_default(),
        idempotency: None,
    }
}

async fn begin_session(
    state: &AppState,
    change: &Change<'_>,
    row: &operator::Model,
    request: &HttpRequest,
    address: IpAddr,
) -> Result<(String, RefreshSecret), ApiError> {
    let user_agent = request
        .headers()
        .get(actix_web::http::header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let user_agent = &user_agent[..user_agent.floor_char_boundary(USER_AGENT_MAX_BYTES)];
    let random = RefreshSecret::random();
    let new = NewSession {
        operator_id: row.id,
        refresh_hash: RefreshSecret::hash_of(&random),
        ip: address.to_string(),
        user_agent: user_agent.to_owned(),
        expires_at: change.now.saturating_add(session_us(state)),
    };
    let session = session::insert(change, new, change.now).await?;
    let secret = RefreshSecret::new(&session.public_id, random);
    Ok((session.public_id, secret))
}

fn granted(
    state: &AppState,
    request: &HttpRequest,
    row: &operator::Model,
    session: &str,
    secret: Option<RefreshSecret>,
) -> Result<HttpResponse, ApiError> {
    let now = state.clock.now_micros();
    let access_token = state
        .access
        .issue(&row.public_id, row.epoch, &row.role, session, now)
        .map_err(ApiError::internal)?;
    let mut response = HttpResponse::Ok();
    if let Some(secret) = secret {
        let ttl_s = state.config.auth.refresh_token_ttl_s;
        response.cookie(secret.into_cookie(request, &state.session_cookies, ttl_s));
    }
    Ok(response.json(Access {
        access_token,
        token_type: "Bearer",
        expires_in: state.access.ttl_s(),
        must_change_password: row.must_change_password,
    }))
}

fn session_us(state: &AppState) -> i64 {
    i64::try_from(state.config.auth.refresh_token_ttl_s)
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000_000)
}

/// Ends every access token of the operator. Not an edit: the row's version stays.
async fn raise_epoch(txn: &DatabaseTransaction, operator_id: i64) -> Result<(), DbErr> {
    operator::Entity::update_many()
        .col_expr(
            operator::Column::Epoch,
            Expr::col(operator::Column::Epoch).add(1),
        )
        .filter(operator::Column::Id.eq(operator_id))
        .exec(txn)
        .await?;
    Ok(())
}

async fn by_public_id(
    txn: &DatabaseTransaction,
    public_id: &str,
) -> Result<Option<session::Model>, DbErr> {
    session::Entity::find()
        .filter(session::Column::PublicId.eq(public_id))
        .one(txn)
        .await
}

#[cfg(test)]
mod tests;
