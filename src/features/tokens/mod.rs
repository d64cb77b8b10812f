//! Tokens: the API keys that applications present to the gateway. A secret is shown once.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/tokens` | `read:tokens` |
//! | POST | `/tokens` | `write:tokens` |
//! | GET | `/tokens/{id}` | `read:tokens` |
//! | PATCH | `/tokens/{id}` | `write:tokens` |
//! | PUT | `/tokens/{id}/settings` | `write:tokens` |
//! | POST | `/tokens/{id}/rotate` | `write:tokens` |
//! | DELETE | `/tokens/{id}` | `write:tokens` |
//!
//! Every change is in force at the gateway when it is answered.
//! Budgets hold by the days and months of `stats.time_zone`.

pub(crate) mod console;
mod input;
mod view;

use actix_web::{HttpResponse, delete, get, patch, post, put, web};
use sea_orm::ConnectionTrait;
use serde::Deserialize;
use steward_entities::ledger::total;
use steward_entities::scope::Scope;
use steward_entities::{tenant, token};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::gateway::token_key::{NewKey, TOKEN};
use crate::http::caller::Caller;
use crate::http::change::{Audit, Change, refused};
use crate::http::check::bounded;
use crate::http::extract::{Json, Query};
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadTokens, WriteTokens};
use crate::http::precondition::{IfMatch, Tagged};
use crate::state::AppState;

use input::{NewToken, Settings, TokenChanges};
pub(crate) use view::TokenView;
use view::{IssuedToken, full, tenants_of};

const GRACE_DEFAULT_S: i64 = 24 * 3600;
const GRACE_MAX_S: i64 = 30 * 24 * 3600;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list)
        .service(create)
        .service(show)
        .service(update)
        .service(set)
        .service(rotate)
        .service(remove);
}

/// How to rotate a token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TokenRotation)]
struct Rotation {
    /// How long the present secret goes on working, in seconds; a day unless said otherwise, 0 ends it now.
    #[schema(minimum = 0, maximum = 2592000, default = 86400)]
    grace_s: Option<i64>,
}

/// Which tokens to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TokenFilter {
    tenant_id: Option<String>,
    app: Option<String>,
    enabled: Option<bool>,
    /// Part of the name, the description, or the shown ends of the secret.
    q: Option<String>,
    /// Also those that were deleted.
    #[serde(default)]
    #[param(required = false, default = false)]
    with_revoked: bool,
}

/// Tokens, newest first.
#[utoipa::path(tag = "tokens", params(TokenFilter, PageQuery), responses((status = 200, body = Page<TokenView>)))]
#[get("/tokens")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadTokens>,
    asked: Query<TokenFilter>,
    page: PageRequest,
) -> Result<Json<Page<TokenView>>, ApiError> {
    let Query(asked) = asked;
    let read = &state.databases.control_read;
    let scope = caller.operator.scope();
    let tenant_id = match &asked.tenant_id {
        None => None,
        // A tenant that does not exist has no tokens; the list is empty rather than unfiltered.
        Some(id) => Some(
            tenant::by_public_id(read, scope, id)
                .await?
                .map_or(0, |row| row.id),
        ),
    };
    let filter = token::Filter {
        tenant_id,
        app: asked.app.filter(|text| !text.is_empty()),
        enabled: asked.enabled,
        search: asked.q.filter(|text| !text.is_empty()),
        with_revoked: asked.with_revoked,
    };
    let rows = token::list(read, scope, &filter, page.rows()?).await?;
    let total = token::count(read, scope, &filter).await?;
    let tenants = tenants_of(read, scope, &rows).await?;
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let totals = total::of_tokens(&state.databases.ledger_read, &ids).await?;
    let shown = |row: token::Model| {
        let used = totals.get(&row.id);
        TokenView::of(row, &tenants, used)
    };
    Ok(Json(Page::of(
        rows,
        &page,
        Some(total),
        |row| row.id,
        shown,
    )))
}

/// Makes a token. Its secret is in this answer only.
#[utoipa::path(tag = "tokens", responses((status = 201, body = IssuedToken)))]
#[post("/tokens")]
async fn create(
    state: web::Data<AppState>,
    caller: Can<WriteTokens>,
    Json(new): Json<NewToken>,
) -> Result<Tagged<IssuedToken>, ApiError> {
    issue(&state, &caller, new).await
}

async fn issue(
    state: &AppState,
    caller: &Caller,
    new: NewToken,
) -> Result<Tagged<IssuedToken>, ApiError> {
    let change = Change::begin(state, caller).await?;
    let scope = caller.operator.scope();
    let tenant_id = match (&new.tenant_id, scope) {
        (None, Scope::Tenant(own)) => Some(own),
        (None, Scope::All) => None,
        (Some(id), _) => Some(
            tenant::by_public_id(&*change, scope, id)
                .await?
                .ok_or_else(|| ApiError::invalid("tenant_id", "names no tenant"))?
                .id,
        ),
    };
    let key = TOKEN.generate();
    let by = caller.operator.public_id.clone();
    let new = new.checked(tenant_id, by, change.now)?;
    let row = token::insert(&change, kept(&key), new, change.now).await?;
    let tenants = tenants_of(&*change, scope, std::slice::from_ref(&row)).await?;
    let view = TokenView::of(row, &tenants, None);
    let audit = Audit::of("tokens.create", "token", &view.id).with("created", &view);
    let version = view.version;
    let token = key.secret.reveal().to_owned();
    let issued = change
        .created(audit, version, IssuedToken { token, view })
        .await?;
    state.announce_to_gateway().await;
    Ok(issued)
}

/// One token.
#[utoipa::path(tag = "tokens", responses((status = 200, body = TokenView)))]
#[get("/tokens/{id}")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadTokens>,
    id: web::Path<String>,
) -> Result<Tagged<TokenView>, ApiError> {
    let row = token::by_public_id(&state.databases.control_read, caller.operator.scope(), &id)
        .await?
        .ok_or_else(|| ApiError::not_found("token"))?;
    let view = full(&state, caller.operator.scope(), row).await?;
    Ok(Tagged::ok(view.version, view))
}

/// Changes a token.
#[utoipa::path(tag = "tokens", responses((status = 200, body = TokenView)))]
#[patch("/tokens/{id}")]
async fn update(
    state: web::Data<AppState>,
    caller: Can<WriteTokens>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(changes): Json<TokenChanges>,
) -> Result<Tagged<TokenView>, ApiError> {
    apply(&state, caller, &id, if_match, |now| changes.checked(now)).await
}

/// Sets what a token may do, as a whole: what is missing becomes unlimited.
#[utoipa::path(tag = "tokens", responses((status = 200, body = TokenView)))]
#[put("/tokens/{id}/settings")]
async fn set(
    state: web::Data<AppState>,
    caller: Can<WriteTokens>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(settings): Json<Settings>,
) -> Result<Tagged<TokenView>, ApiError> {
    replace(&state, caller, &id, if_match, settings).await
}

/// Sets what a token may do, under the name that older documents use.
#[utoipa::path(tag = "tokens", responses((status = 200, body = TokenView)))]
#[put("/{id}/settings")]
pub(crate) async fn set_by_old_name(
    state: web::Data<AppState>,
    caller: Can<WriteTokens>,
    id: web::Path<String>,
    if_match: IfMatch,
    settings: Json<Settings>,
) -> Result<Tagged<TokenView>, ApiError> {
    replace(&state, caller, &id, if_match, settings.0).await
}

/// Gives a token a new secret; the old one lives on for a grace period.
#[utoipa::path(tag = "tokens", responses((status = 200, body = IssuedToken)))]
#[post("/tokens/{id}/rotate")]
async fn rotate(
    state: web::Data<AppState>,
    caller: Can<WriteTokens>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(rotation): Json<Rotation>,
) -> Result<Tagged<IssuedToken>, ApiError> {
    let grace_s = bounded("grace_s", rotation.grace_s, 0, GRACE_MAX_S)?.unwrap_or(GRACE_DEFAULT_S);
    let change = Change::begin(&state, &caller).await?;
    let row = live(&*change, caller.operator.scope(), &id).await?;
    if_match
        .check(row.version, &*change, "token", &row.public_id)
        .await?;
    let key = TOKEN.generate();
    let until = change.now + grace_s * 1_000_000;
    let row = token::rotate(&change, &row, kept(&key), until, change.now)
        .await
        .map_err(refused("name"))?;
    let audit = Audit::of("tokens.rotate", "token", &row.public_id)
        .with("name", &row.name)
        .with("grace_s", grace_s);
    let scope = caller.operator.scope();
    let tenants = tenants_of(&*change, scope, std::slice::from_ref(&row)).await?;
    // A ledger that cannot be read must not keep a leaked key in force.
    let totals = total::of_tokens(&state.databases.ledger_read, &[row.id]).await;
    let totals = totals.unwrap_or_default();
    let used = totals.get(&row.id);
    let view = TokenView::of(row, &tenants, used);
    let token = key.secret.reveal().to_owned();
    let version = view.version;
    let issued = change
        .answered(audit, version, IssuedToken { token, view })
        .await?;
    state.announce_to_gateway().await;
    Ok(issued)
}

/// Closes a token for good; acts on its next request. What it did stays on the books.
#[utoipa::path(tag = "tokens", responses((status = 204)))]
#[delete("/tokens/{id}")]
async fn remove(
    state: web::Data<AppState>,
    caller: Can<WriteTokens>,
    id: web::Path<String>,
    if_match: IfMatch,
) -> Result<HttpResponse, ApiError> {
    revoke(&state, &caller, &id, if_match).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn revoke(
    state: &AppState,
    caller: &Caller,
    id: &str,
    if_match: IfMatch,
) -> Result<(), ApiError> {
    let change = Change::begin(state, caller).await?;
    let row = live(&*change, caller.operator.scope(), id).await?;
    if_match
        .check(row.version, &*change, "token", &row.public_id)
        .await?;
    token::revoke(&change, &row, change.now)
        .await
        .map_err(refused("name"))?;
    change
        .commit(Audit::of("tokens.remove", "token", &row.public_id).with("name", &row.name))
        .await?;
    state.apply_to_gateway().await?;
    state.gateway.limits().forget(row.id);
    Ok(())
}

async fn replace(
    state: &AppState,
    caller: Can<WriteTokens>,
    id: &str,
    if_match: IfMatch,
    settings: Settings,
) -> Result<Tagged<TokenView>, ApiError> {
    apply(state, caller, id, if_match, |_| settings.checked()).await
}

/// One change: checked, written with its audit row, in force before it is answered.
async fn apply(
    state: &AppState,
    caller: Can<WriteTokens>,
    id: &str,
    if_match: IfMatch,
    changes: impl FnOnce(i64) -> Result<token::ActiveModel, ApiError>,
) -> Result<Tagged<TokenView>, ApiError> {
    let scope = caller.operator.scope();
    let change = Change::begin(state, &caller).await?;
    let row = live(&*change, scope, id).await?;
    if_match
        .check(row.version, &*change, "token", &row.public_id)
        .await?;
    let changes = changes(change.now)?;
    let changed = token::update(&change, &row, changes, change.now)
        .await
        .map_err(refused("name"))?;
    let tenants = tenants_of(&*change, scope, std::slice::from_ref(&row)).await?;
    let before = TokenView::of(row, &tenants, None);
    let after = TokenView::of(changed.clone(), &tenants, None);
    change
        .commit(Audit::of("tokens.update", "token", &after.id).diff(&before, &after))
        .await?;
    state.apply_to_gateway().await?;
    let view = full(state, scope, changed).await?;
    Ok(Tagged::ok(view.version, view))
}

/// The token, if it was not closed.
async fn live(
    connection: &impl ConnectionTrait,
    scope: Scope,
    id: &str,
) -> Result<token::Model, ApiError> {
    token::by_public_id(connection, scope, id)
        .await?
        .filter(|row| row.revoked_at.is_none())
        .ok_or_else(|| ApiError::not_found("token"))
}

fn kept(key: &NewKey) -> token::KeptSecret {
    token::KeptSecret {
        prefix: key.prefix.clone(),
        last4: key.last4.clone(),
        hash: key.hash.to_vec(),
    }
}

#[cfg(test)]
mod tests;
