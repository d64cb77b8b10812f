//! Issuers of user tokens: whose JWTs the gateway takes, and what their callers have.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/jwt-issuers` | `read:tokens` |
//! | POST | `/jwt-issuers` | `write:tokens` |
//! | GET | `/jwt-issuers/{id}` | `read:tokens` |
//! | PATCH | `/jwt-issuers/{id}` | `write:tokens` |
//! | DELETE | `/jwt-issuers/{id}` | `write:tokens` |
//! | POST | `/jwt-issuers/{id}/rotate` | `write:tokens` |
//! | POST | `/jwt-issuers/{id}/tokens` | `write:tokens` |
//! | POST | `/jwt-issuers/{id}/test` | `write:tokens` |
//! | GET | `/jwt-issuers/{id}/jwks` | none: public keys |
//!
//! Tenant, limits, allowed models, budgets and the choice about conversations are those of an API key that the issuer
//! names: they are set where keys are, and the key's totals are the issuer's. A change is in force at the gateway when it
//! is answered. Signing keys and shared secrets are never shown.

mod view;

use std::time::Instant;

use actix_web::http::header;
use actix_web::{HttpResponse, delete, get, patch, post, web};
use sea_orm::ActiveValue::Set;
use sea_orm::ConnectionTrait;
use serde_json::Value;
use steward_actors::domain::issuer::{Algorithm, StoredKey, keys_of_jwks};
use steward_entities::column::HiddenBytes;
use steward_entities::scope::Scope;
use steward_entities::{jwt_issuer, public_id, token};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::gateway::user_token;
use crate::http::change::{Audit, Change, refused};
use crate::http::check::{self, text};
use crate::http::egress::Reach;
use crate::http::extract::Json;
use crate::http::jwks;
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadTokens, WriteTokens};
use crate::http::precondition::{IfMatch, Tagged};
use crate::http::range::rfc3339;
use crate::issuing;
use crate::state::AppState;

use view::{
    IssuedUserToken, IssuerAlgorithm, IssuerChanges, IssuerKind, IssuerShown, IssuerTest, JwkSet,
    NewIssuer, Rotation, TestWish, TokenWish,
};

const NAME_MAX: usize = 64;
const CLAIM_MAX: usize = 300;
const USER_MAX: usize = 160;
const ISSUERS_MAX: u64 = 100;
/// Keys that were rotated out and are still taken.
const KEYS_MAX: usize = 20;
/// A shared secret shorter than the hash is guessed sooner than forged.
const SECRET_MIN: usize = 32;
const SECRET_MAX: usize = 512;
const DAY_S: i64 = 86_400;
const TTL_S: i64 = 3_600;
const GRACE_S: i64 = DAY_S;
/// Who the token of a test is for.
const TESTER: &str = "steward-test";

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list)
        .service(create)
        .service(show)
        .service(update)
        .service(remove)
        .service(rotate)
        .service(issue)
        .service(test)
        .service(published);
}

/// Issuers, newest first.
#[utoipa::path(tag = "jwt issuers", params(PageQuery), responses((status = 200, body = Page<IssuerShown>)))]
#[get("/jwt-issuers")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadTokens>,
    page: PageRequest,
) -> Result<Json<Page<IssuerShown>>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let rows = jwt_issuer::list(read, page.rows()?).await?;
    let total = jwt_issuer::count(read).await?;
    let mut shown = Vec::with_capacity(rows.len());
    for row in rows {
        let id = row.id;
        shown.push((id, shown_as(&state, read, row).await?));
    }
    Ok(Json(Page::of(
        shown,
        &page,
        Some(total),
        |(id, _)| *id,
        |(_, view)| view,
    )))
}

/// Makes an issuer. Of another's key set the keys are fetched at once, so that a wrong address is told now.
#[utoipa::path(tag = "jwt issuers", responses((status = 201, body = IssuerShown)))]
#[post("/jwt-issuers")]
async fn create(
    state: web::Data<AppState>,
    caller: Can<WriteTokens>,
    Json(new): Json<NewIssuer>,
) -> Result<Tagged<IssuerShown>, ApiError> {
    check::whole_installation(&caller)?;
    let name = text("name", &new.name, 1, NAME_MAX)?;
    let issuer = text("issuer", &new.issuer, 1, CLAIM_MAX)?;
    let audience = text("audience", &new.audience, 1, CLAIM_MAX)?;
    let ttl_s = ttl("ttl_s", new.ttl_s)?.unwrap_or(TTL_S);
    new.expect_only_its_kinds()?;
    let read = &state.databases.control_read;
    policy(read, &new.token_id).await?;
    let public_id = public_id::new("iss");
    let mut jwks_url = None;
    let mut keys = None;
    let (kind, stored) = match new.kind {
        IssuerKind::Own => {
            let algorithm = new.algorithm.unwrap_or(IssuerAlgorithm::EdDSA);
            (jwt_issuer::OWN, vec![issuing::new_key(algorithm.into())?])
        }
        IssuerKind::Secret => (jwt_issuer::SECRET, vec![shared(new.secret.as_deref())?]),
        IssuerKind::Jwks => {
            let url = key_address(&state, new.jwks_url.as_deref())?;
            keys = Some(fetched(&state, &url).await?);
            jwks_url = Some(url);
            (jwt_issuer::JWKS, Vec::new())
        }
    };
    let sealed = issuing::seal(&state.vault, &public_id, &stored)?;
    let change = Change::begin(&state, &caller).await?;
    if jwt_issuer::count(&*change).await? >= ISSUERS_MAX {
        let why = format!("there are {ISSUERS_MAX} issuers already");
        return Err(ApiError::invalid("name", why));
    }
    let row = jwt_issuer::NewIssuer {
        public_id,
        name,
        issuer,
        audience,
        kind,
        token_id: policy(&*change, &new.token_id).await?,
        jwks_url,
        jwks: keys,
        keys_sealed: sealed.bytes,
        keys_key_id: sealed.key_id,
        ttl_s,
        enabled: new.enabled.unwrap_or(true),
        created_by: caller.operator.public_id.clone(),
    };
    let row = jwt_issuer::insert(&change, row, change.now)
        .await
        .map_err(refused("issuer"))?;
    let view = shown_as(&state, &*change, row).await?;
    let audit = Audit::of("jwt_issuers.create", "jwt_issuer", &view.id).with("created", &view);
    let made = change.created(audit, view.version, view).await?;
    state.announce_to_gateway().await;
    Ok(made)
}

/// One issuer.
#[utoipa::path(tag = "jwt issuers", responses((status = 200, body = IssuerShown)))]
#[get("/jwt-issuers/{id}")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadTokens>,
    id: web::Path<String>,
) -> Result<Tagged<IssuerShown>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let view = shown_as(&state, read, find(read, &id).await?).await?;
    Ok(Tagged::ok(view.version, view))
}

/// Changes an issuer. Its kind and its `iss` stay: another of either is another issuer.
#[utoipa::path(tag = "jwt issuers", responses((status = 200, body = IssuerShown)))]
#[patch("/jwt-issuers/{id}")]
async fn update(
    state: web::Data<AppState>,
    caller: Can<WriteTokens>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(changes): Json<IssuerChanges>,
) -> Result<Tagged<IssuerShown>, ApiError> {
    check::whole_installation(&caller)?;
    let known = find(&state.databases.control_read, &id).await?;
    let mut set = jwt_issuer::ActiveModel::default();
    if let Some(name) = &changes.name {
        set.name = Set(text("name", name, 1, NAME_MAX)?);
    }
    if let Some(audience) = &changes.audience {
        set.audience = Set(text("audience", audience, 1, CLAIM_MAX)?);
    }
    if let Some(ttl_s) = ttl("ttl_s", changes.ttl_s)? {
        set.ttl_s = Set(ttl_s);
    }
    if let Some(enabled) = changes.enabled {
        set.enabled = Set(enabled);
    }
    if changes.jwks_url.is_some() {
        expect_kind(&known, jwt_issuer::JWKS, "jwks_url")?;
        let url = key_address(&state, changes.jwks_url.as_deref())?;
        set.jwks = Set(Some(fetched(&state, &url).await?));
        set.jwks_url = Set(Some(url));
        set.jwks_fetched_at = Set(Some(state.clock.now_micros()));
    }
    if changes.secret.is_some() {
        expect_kind(&known, jwt_issuer::SECRET, "secret")?;
        let stored = shared(changes.secret.as_deref())?;
        let sealed = issuing::seal(&state.vault, &known.public_id, &[stored])?;
        set.keys_sealed = Set(HiddenBytes(sealed.bytes));
        set.keys_key_id = Set(sealed.key_id);
    }
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, &id).await?;
    if_match
        .check(row.version, &*change, "jwt_issuer", &row.public_id)
        .await?;
    if let Some(token_id) = &changes.token_id {
        set.token_id = Set(policy(&*change, token_id).await?);
    }
    let before = shown_as(&state, &*change, row.clone()).await?;
    let changed = jwt_issuer::update(&change, &row, set, change.now)
        .await
        .map_err(refused("issuer"))?;
    let after = shown_as(&state, &*change, changed).await?;
    let audit = Audit::of("jwt_issuers.update", "jwt_issuer", &after.id)
        .diff(&before, &after)
        .with("new_secret", changes.secret.is_some());
    change.commit(audit).await?;
    state.apply_to_gateway().await?;
    Ok(Tagged::ok(after.version, after))
}

/// Removes an issuer: its tokens open nothing from now on.
#[utoipa::path(tag = "jwt issuers", responses((status = 204)))]
#[delete("/jwt-issuers/{id}")]
async fn remove(
    state: web::Data<AppState>,
    caller: Can<WriteTokens>,
    id: web::Path<String>,
    if_match: IfMatch,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, &id).await?;
    if_match
        .check(row.version, &*change, "jwt_issuer", &row.public_id)
        .await?;
    jwt_issuer::remove(&change, &row).await?;
    let audit = Audit::of("jwt_issuers.remove", "jwt_issuer", &row.public_id)
        .with("name", &row.name)
        .with("issuer", &row.issuer);
    change.commit(audit).await?;
    state.apply_to_gateway().await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Has an issuer of our own sign with a new key. Tokens signed with the one before are taken for a grace period.
#[utoipa::path(tag = "jwt issuers", responses((status = 200, body = IssuerShown)))]
#[post("/jwt-issuers/{id}/rotate")]
async fn rotate(
    state: web::Data<AppState>,
    caller: Can<WriteTokens>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(rotation): Json<Rotation>,
) -> Result<Tagged<IssuerShown>, ApiError> {
    check::whole_installation(&caller)?;
    let grace_s = check::bounded("grace_s", rotation.grace_s, 0, 30 * DAY_S)?.unwrap_or(GRACE_S);
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, &id).await?;
    if_match
        .check(row.version, &*change, "jwt_issuer", &row.public_id)
        .await?;
    expect_kind(&row, jwt_issuer::OWN, "id")?;
    let until = change.now.saturating_add(grace_s.saturating_mul(1_000_000));
    let mut keys = issuing::open(&state.vault, &row)?;
    keys.retain(|key| key.valid_until.is_none_or(|until| until > change.now));
    let mut algorithm = Algorithm::EdDSA;
    for key in &mut keys {
        if key.valid_until.is_none() {
            algorithm = key.algorithm;
            key.valid_until = Some(until);
        }
    }
    if keys.len() > KEYS_MAX {
        let why = format!("has {KEYS_MAX} keys in their grace already; wait for one to end");
        return Err(ApiError::invalid("id", why));
    }
    let algorithm = rotation.algorithm.map_or(algorithm, Algorithm::from);
    keys.insert(0, issuing::new_key(algorithm)?);
    let sealed = issuing::seal(&state.vault, &row.public_id, &keys)?;
    let set = jwt_issuer::ActiveModel {
        keys_sealed: Set(HiddenBytes(sealed.bytes)),
        keys_key_id: Set(sealed.key_id),
        ..Default::default()
    };
    let changed = jwt_issuer::update(&change, &row, set, change.now)
        .await
        .map_err(refused("issuer"))?;
    let view = shown_as(&state, &*change, changed).await?;
    let audit = Audit::of("jwt_issuers.rotate", "jwt_issuer", &view.id)
        .with("kid", &keys[0].kid)
        .with("grace_s", grace_s);
    change.commit(audit).await?;
    state.apply_to_gateway().await?;
    Ok(Tagged::ok(view.version, view))
}

/// Issues a token for a user, by an issuer of our own. It is in this answer only.
#[utoipa::path(tag = "jwt issuers", responses((status = 201, body = IssuedUserToken)))]
#[post("/jwt-issuers/{id}/tokens")]
async fn issue(
    state: web::Data<AppState>,
    caller: Can<WriteTokens>,
    id: web::Path<String>,
    Json(wish): Json<TokenWish>,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let user = text("sub", &wish.sub, 1, USER_MAX)?;
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, &id).await?;
    expect_kind(&row, jwt_issuer::OWN, "id")?;
    let ttl_s = ttl("ttl_s", wish.ttl_s)?.unwrap_or(row.ttl_s);
    let keys = issuing::open(&state.vault, &row)?;
    let now_s = change.now.div_euclid(1_000_000);
    let token = issuing::sign(&row, &keys, &user, now_s, ttl_s)?;
    let audit = Audit::of("jwt_issuers.issue", "jwt_issuer", &row.public_id)
        .with("sub", &user)
        .with("ttl_s", ttl_s);
    change.commit(audit).await?;
    let expires_at = rfc3339((now_s + ttl_s).saturating_mul(1_000_000));
    Ok(HttpResponse::Created().json(IssuedUserToken {
        token,
        token_type: "Bearer",
        expires_at,
        expires_in: ttl_s,
    }))
}

/// Tries an issuer: of our own, or with a secret we share, a token is signed and taken as the gateway takes it; of another,
/// its keys are fetched, and new ones are in force at once. A token that is sent along is looked at instead.
#[utoipa::path(tag = "jwt issuers", responses((status = 200, body = IssuerTest)))]
#[post("/jwt-issuers/{id}/test")]
async fn test(
    state: web::Data<AppState>,
    caller: Can<WriteTokens>,
    id: web::Path<String>,
    Json(asked): Json<TestWish>,
) -> Result<Json<IssuerTest>, ApiError> {
    check::whole_installation(&caller)?;
    let row = find(&state.databases.control_read, &id).await?;
    let begun = Instant::now();
    let now = state.clock.now_micros();
    let presented = match asked.token {
        Some(token) => Some(token.trim().to_owned()),
        None if row.kind == jwt_issuer::JWKS => None,
        None => {
            let keys = issuing::open(&state.vault, &row)?;
            let now_s = now.div_euclid(1_000_000);
            Some(issuing::sign(&row, &keys, TESTER, now_s, TTL_S)?)
        }
    };
    let mut answer = match (presented, &row.jwks_url) {
        (Some(token), _) => {
            let taken = user_token::check(&state.snapshot.load(), &token, now);
            IssuerTest::of_token(&row.public_id, taken)
        }
        (None, Some(url)) => match jwks::fetch(&state, url).await {
            Ok(set) => {
                let known = row.jwks.as_ref().map(keys_of_jwks).unwrap_or_default();
                let found = keys_of_jwks(&set).len();
                jwks::keep(&state, &row.public_id, &known, set).await?;
                IssuerTest::of_keys(found)
            }
            Err(cause) => IssuerTest::failed(cause.slug(), cause.to_string()),
        },
        (None, None) => IssuerTest::failed("jwks_url", "It has no address of a key set.".into()),
    };
    answer.latency_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let change = Change::begin(&state, &caller).await?;
    let audit = Audit::of("jwt_issuers.test", "jwt_issuer", &row.public_id)
        .with("ok", answer.ok)
        .with("code", answer.code);
    change.commit(audit).await?;
    Ok(Json(answer))
}

/// The public keys of an issuer of our own, as others fetch them to verify its tokens: a JWK set. Empty for HS256, whose
/// key is a secret.
#[utoipa::path(tag = "jwt issuers", security(()), responses((status = 200, body = JwkSet)))]
#[get("/jwt-issuers/{id}/jwks")]
async fn published(
    state: web::Data<AppState>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let snapshot = state.snapshot.load();
    let issuer = snapshot
        .issuers
        .values()
        .find(|issuer| issuer.is_own && issuer.public_id == *id)
        .ok_or_else(|| ApiError::not_found("issuer"))?;
    let set = JwkSet::of(issuer, state.clock.now_micros());
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .json(set))
}

async fn find(connection: &impl ConnectionTrait, id: &str) -> Result<jwt_issuer::Model, ApiError> {
    jwt_issuer::by_public_id(connection, id)
        .await?
        .ok_or_else(|| ApiError::not_found("issuer"))
}

async fn shown_as(
    state: &AppState,
    connection: &impl ConnectionTrait,
    row: jwt_issuer::Model,
) -> Result<IssuerShown, ApiError> {
    let policy = token::by_id(connection, row.token_id).await?;
    let keys = issuing::open(&state.vault, &row).unwrap_or_default();
    Ok(IssuerShown::of(row, policy, &keys))
}

/// The key of the token whose settings the callers have.
async fn policy(connection: &impl ConnectionTrait, id: &str) -> Result<i64, ApiError> {
    let found = token::by_public_id(connection, Scope::All, id).await?;
    found
        .filter(|row| row.revoked_at.is_none())
        .map(|row| row.id)
        .ok_or_else(|| ApiError::invalid("token_id", "there is no such API key"))
}

fn ttl(field: &str, ttl_s: Option<i64>) -> Result<Option<i64>, ApiError> {
    check::bounded(field, ttl_s, 60, 30 * DAY_S)
}

fn shared(secret: Option<&str>) -> Result<StoredKey, ApiError> {
    let secret = secret.unwrap_or_default();
    if !(SECRET_MIN..=SECRET_MAX).contains(&secret.len()) {
        let why = format!("must have {SECRET_MIN} to {SECRET_MAX} bytes");
        return Err(ApiError::invalid("secret", why));
    }
    Ok(issuing::shared(secret))
}

fn key_address(state: &AppState, url: Option<&str>) -> Result<String, ApiError> {
    let reach = Reach::of(state.config.egress.allow_private);
    jwks::address("jwks_url", url.unwrap_or_default(), reach)
}

async fn fetched(state: &AppState, url: &str) -> Result<Value, ApiError> {
    let fetched = jwks::fetch(state, url).await;
    fetched.map_err(|cause| jwks::refused("jwks_url", &cause))
}

fn expect_kind(row: &jwt_issuer::Model, kind: &str, field: &str) -> Result<(), ApiError> {
    match row.kind == kind {
        true => Ok(()),
        false => Err(ApiError::invalid(
            field,
            format!("is for issuers of the kind {kind} only"),
        )),
    }
}

#[cfg(test)]
mod tests;
