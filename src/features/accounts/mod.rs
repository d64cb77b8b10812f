//! Accounts: credentials at upstream providers. The secret is stored sealed and never shown again.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/accounts` | `read:accounts` |
//! | POST | `/accounts` | `write:accounts` |
//! | GET | `/accounts/{id}` | `read:accounts` |
//! | PATCH | `/accounts/{id}` | `write:accounts` |
//! | DELETE | `/accounts/{id}` | `write:accounts` |
//! | POST | `/accounts/{id}/test` | `write:accounts` |
//! | GET | `/accounts/{id}/models` | `read:accounts` |
//!
//! Every change is in force at the gateway when it is answered. Which account gets a call is the gateway's.

mod input;
mod provider;
mod view;

use std::sync::Arc;

use actix_web::{HttpResponse, delete, get, patch, post, web};
use sea_orm::ActiveValue::Set;
use sea_orm::ConnectionTrait;
use steward_actors::vault::{ACCOUNT_SECRET, Place, Sealed};
use steward_entities::account;
use steward_entities::column::HiddenBytes;
use steward_entities::public_id;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::change::{Audit, Change, refused};
use crate::http::check::{self, bounded, text};
use crate::http::egress::{self, Reach};
use crate::http::extract::Json;
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadAccounts, WriteAccounts};
use crate::http::precondition::{IfMatch, Tagged};
use crate::state::AppState;
use input::{
    AccountChanges, CONCURRENCY_MAX, MODELS_MAX, NAME_MAX, NewAccount, PRIORITY_MAX, PROVIDER_MAX,
    WEIGHT_MAX, aliases, checked, last4, secret,
};
pub use provider::ProviderLists;
use provider::{AccountTest, ProviderModels};
use view::{AccountShown, Told};
pub(crate) use view::{LiveAccount, live};

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list)
        .service(create)
        .service(show)
        .service(update)
        .service(remove)
        .service(run_test)
        .service(list_models);
}

/// Accounts, newest first.
#[utoipa::path(tag = "accounts", params(PageQuery), responses((status = 200, body = Page<AccountShown>)))]
#[get("/accounts")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadAccounts>,
    page: PageRequest,
) -> Result<Json<Page<AccountShown>>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let rows = account::list(read, page.rows()?).await?;
    let total = account::count(read).await?;
    let shown = |row| AccountShown::of(row, &state);
    Ok(Json(Page::of(
        rows,
        &page,
        Some(total),
        |row| row.id,
        shown,
    )))
}

/// Adds an account.
#[utoipa::path(tag = "accounts", responses((status = 201, body = AccountShown)))]
#[post("/accounts")]
async fn create(
    state: web::Data<AppState>,
    caller: Can<WriteAccounts>,
    Json(new): Json<NewAccount>,
) -> Result<Tagged<AccountShown>, ApiError> {
    check::whole_installation(&caller)?;
    let base_url = egress::base_url("base_url", &new.base_url)?;
    egress::check("base_url", &base_url, Reach::Private).await?;
    let api_key = secret(new.api_key)?;
    let models = new.models.unwrap_or_else(|| vec!["*".to_owned()]);
    // The seal is bound to the id.
    let public_id = public_id::new("acc");
    let sealed = seal(&state, &public_id, &api_key)?;
    let new = account::NewAccount {
        public_id,
        name: text("name", &new.name, 1, NAME_MAX)?,
        provider: text("provider", &new.provider, 1, PROVIDER_MAX)?,
        protocol: new.protocol.as_str().to_owned(),
        base_url,
        secret_sealed: sealed.bytes,
        secret_key_id: sealed.key_id,
        secret_last4: last4(&api_key),
        models: check::models("models", models, MODELS_MAX)?,
        aliases: aliases(new.aliases)?,
        priority: bounded("priority", new.priority, 0, PRIORITY_MAX)?.unwrap_or(0),
        weight: bounded("weight", new.weight, 0, WEIGHT_MAX)?.unwrap_or(1),
        concurrency: bounded("concurrency", new.concurrency, 1, CONCURRENCY_MAX)?,
        enabled: new.enabled.unwrap_or(true),
    };
    let change = Change::begin(&state, &caller).await?;
    let row = account::insert(&change, new, change.now).await?;
    let audit =
        Audit::of("accounts.create", "account", &row.public_id).with("created", Told::from(&row));
    let version = row.version;
    let view = AccountShown::of(row, &state);
    let created = change.created(audit, version, view).await?;
    state.announce_to_gateway().await;
    Ok(created)
}

/// One account.
#[utoipa::path(tag = "accounts", responses((status = 200, body = AccountShown)))]
#[get("/accounts/{id}")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadAccounts>,
    id: web::Path<String>,
) -> Result<Tagged<AccountShown>, ApiError> {
    check::whole_installation(&caller)?;
    let row = find(&state.databases.control_read, &id).await?;
    Ok(Tagged::ok(row.version, AccountShown::of(row, &state)))
}

/// Changes an account. What was held against it (its circuit breaker) is forgotten.
#[utoipa::path(tag = "accounts", responses((status = 200, body = AccountShown)))]
#[patch("/accounts/{id}")]
async fn update(
    state: web::Data<AppState>,
    caller: Can<WriteAccounts>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(changes): Json<AccountChanges>,
) -> Result<Tagged<AccountShown>, ApiError> {
    check::whole_installation(&caller)?;
    let mut row = account::ActiveModel::default();
    if let Some(base_url) = &changes.base_url {
        let base_url = egress::base_url("base_url", base_url)?;
        egress::check("base_url", &base_url, Reach::Private).await?;
        row.base_url = Set(base_url);
    }
    checked(&mut row, &changes)?;
    let api_key = changes.api_key.map(secret).transpose()?;

    let change = Change::begin(&state, &caller).await?;
    let current = find(&*change, &id).await?;
    if_match
        .check(current.version, &*change, "account", &current.public_id)
        .await?;
    let elsewhere = |to: &String| egress::leads_elsewhere(&current.base_url, to);
    if api_key.is_none() && row.base_url.try_as_ref().is_some_and(elsewhere) {
        return Err(ApiError::invalid(
            "api_key",
            "must be given anew: the base URL leads to another server, which is not sent the key that was kept",
        ));
    }
    if let Some(api_key) = &api_key {
        let sealed = seal(&state, &current.public_id, api_key)?;
        row.secret_sealed = Set(HiddenBytes(sealed.bytes));
        row.secret_key_id = Set(sealed.key_id);
        row.secret_last4 = Set(last4(api_key));
    }
    let changed = account::update(&change, &current, row, change.now)
        .await
        .map_err(refused("name"))?;
    let mut audit = Audit::of("accounts.update", "account", &changed.public_id)
        .diff(&Told::from(&current), &Told::from(&changed));
    if api_key.is_some() {
        audit = audit.with("api_key", "replaced");
    }
    change.commit(audit).await?;
    state.apply_to_gateway().await?;
    state.gateway.accounts().reset(changed.id);
    let version = changed.version;
    Ok(Tagged::ok(version, AccountShown::of(changed, &state)))
}

/// Takes an account out of use for good and forgets its secret. What it did stays on the books.
#[utoipa::path(tag = "accounts", responses((status = 204)))]
#[delete("/accounts/{id}")]
async fn remove(
    state: web::Data<AppState>,
    caller: Can<WriteAccounts>,
    id: web::Path<String>,
    if_match: IfMatch,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, &id).await?;
    if_match
        .check(row.version, &*change, "account", &row.public_id)
        .await?;
    account::remove(&change, &row, change.now)
        .await
        .map_err(refused("name"))?;
    change
        .commit(Audit::of("accounts.remove", "account", &row.public_id).with("name", &row.name))
        .await?;
    state.apply_to_gateway().await?;
    state.gateway.accounts().forget(row.id);
    Ok(HttpResponse::NoContent().finish())
}

/// Asks the provider for its models with the account's credential: does the account work? Takes at most ten
/// seconds and no model tokens.
#[utoipa::path(tag = "accounts", responses((status = 200, body = AccountTest)))]
#[post("/accounts/{id}/test")]
async fn run_test(
    state: web::Data<AppState>,
    caller: Can<WriteAccounts>,
    id: web::Path<String>,
) -> Result<Json<AccountTest>, ApiError> {
    check::whole_installation(&caller)?;
    let row = find(&state.databases.control_read, &id).await?;
    Ok(Json(provider::test(&state, &row).await))
}

/// The models that the provider lists for this account, at most a minute old.
#[utoipa::path(tag = "accounts", responses((status = 200, body = ProviderModels)))]
#[get("/accounts/{id}/models")]
async fn list_models(
    state: web::Data<AppState>,
    caller: Can<ReadAccounts>,
    id: web::Path<String>,
) -> Result<Json<Arc<ProviderModels>>, ApiError> {
    check::whole_installation(&caller)?;
    let row = find(&state.databases.control_read, &id).await?;
    Ok(Json(provider::models(&state, &row).await))
}

async fn find(connection: &impl ConnectionTrait, id: &str) -> Result<account::Model, ApiError> {
    account::by_public_id(connection, id)
        .await?
        .ok_or_else(|| ApiError::not_found("account"))
}

fn seal(state: &AppState, public_id: &str, secret: &str) -> Result<Sealed, ApiError> {
    let place = Place::account_secret(public_id);
    state
        .vault
        .seal(ACCOUNT_SECRET, place, secret.as_bytes())
        .map_err(ApiError::internal)
}

#[cfg(test)]
mod tests;
