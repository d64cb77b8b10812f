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

mod provider;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::{HttpResponse, delete, get, patch, post, web};
use sea_orm::ActiveValue::Set;
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use steward_actors::domain::snapshot::Protocol;
use steward_actors::vault::{ACCOUNT_SECRET, Place, Sealed};
use steward_entities::account;
use steward_entities::column::{HiddenBytes, TextList, TextMap};
use steward_entities::public_id;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::gateway::breaker::Standing;
use crate::http::change::{Audit, Change, refused};
use crate::http::check::{self, bounded, text};
use crate::http::egress;
use crate::http::extract::Json;
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::patch::nullable;
use crate::http::permission::{Can, ReadAccounts, WriteAccounts};
use crate::http::precondition::{IfMatch, Tagged};
use crate::http::range::rfc3339;
use crate::state::AppState;
pub use provider::ProviderLists;
use provider::{AccountTest, ProviderModels};

const NAME_MAX: usize = 160;
const PROVIDER_MAX: usize = 64;
const SECRET_MAX: usize = 4_096;
/// A shorter secret would be told by its last four characters.
const LAST4_FROM: usize = 12;
const MODELS_MAX: usize = 500;
const ALIASES_MAX: usize = 500;
const PRIORITY_MAX: i64 = 1_000_000;
const WEIGHT_MAX: i64 = 1_000_000;
const CONCURRENCY_MAX: i64 = 1_000_000;

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

/// What an account's provider speaks on the wire.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum AccountProtocol {
    #[serde(rename = "openai")]
    OpenAi,
    Anthropic,
}

impl AccountProtocol {
    fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => Protocol::OpenAi.as_str(),
            Self::Anthropic => Protocol::Anthropic.as_str(),
        }
    }
}

/// What the gateway's circuit breaker thinks of an account.
#[derive(Debug, Serialize, ToSchema)]
struct BreakerState {
    /// `closed`: takes calls. `open`: takes none. `half_open`: the next call is a probe. `probing`: it is
    /// under way.
    state: &'static str,
    /// When an open breaker lets a probe pass.
    retry_after_ms: Option<u64>,
    consecutive_failures: u32,
    /// How often it opened since this process started.
    opened: u64,
    /// The provider refused the credential.
    bad_credential: bool,
}

/// An account, without its secret.
#[derive(Debug, Serialize, ToSchema)]
struct AccountShown {
    id: String,
    name: String,
    /// Whose models it has: a label that prices go by.
    provider: String,
    protocol: String,
    base_url: String,
    /// Last four characters of the secret; empty when it is too short to show them.
    last4: String,
    /// Models it serves, `*` at the end covering the rest.
    models: Vec<String>,
    /// Name the caller uses → name the provider knows.
    aliases: BTreeMap<String, String>,
    /// Lower is tried first.
    priority: i64,
    /// Share of the calls among accounts of the same priority; 0 serves only when no other can.
    weight: i64,
    /// Calls at the same time; null is unlimited.
    concurrency: Option<i64>,
    enabled: bool,
    breaker: BreakerState,
    /// Calls it is serving on this node.
    in_flight: u32,
    /// Why it cannot be used although it is enabled.
    unusable_reason: Option<String>,
    created_at: String,
    updated_at: String,
    version: i64,
}

impl AccountShown {
    fn of(row: account::Model, state: &AppState) -> Self {
        let (breaker, in_flight) = state.gateway.accounts().view(row.id);
        let condition = state.tree.snapshot_condition.load();
        let unusable = condition
            .unusable_accounts
            .iter()
            .find(|(id, _)| *id == row.public_id)
            .map(|(_, reason)| reason.clone());
        let (standing, retry_after_ms) = standing_word(breaker.standing);
        Self {
            id: row.public_id,
            name: row.name,
            provider: row.provider,
            protocol: row.protocol,
            base_url: row.base_url,
            last4: row.secret_last4,
            models: row.models.0,
            aliases: row.aliases.0,
            priority: row.priority,
            weight: row.weight,
            concurrency: row.concurrency,
            enabled: row.enabled,
            breaker: BreakerState {
                state: standing,
                retry_after_ms,
                consecutive_failures: breaker.consecutive_failures,
                opened: breaker.opened,
                bad_credential: breaker.bad_credential,
            },
            in_flight,
            unusable_reason: unusable,
            created_at: rfc3339(row.created_at),
            updated_at: rfc3339(row.updated_at),
            version: row.version,
        }
    }
}

/// What moves of an enabled account, for whoever listens: nothing that counts down by itself.
#[derive(Serialize)]
pub(crate) struct LiveAccount {
    id: String,
    name: String,
    provider: String,
    /// As the breaker's state of an account.
    state: &'static str,
    consecutive_failures: u32,
    opened: u64,
    bad_credential: bool,
}

/// What the circuit breakers think of the enabled accounts now.
pub(crate) fn live(state: &AppState) -> Vec<LiveAccount> {
    let snapshot = state.snapshot.load();
    let enabled = snapshot.accounts.iter().filter(|account| account.enabled);
    enabled
        .map(|account| {
            let (breaker, _) = state.gateway.accounts().view(account.id);
            LiveAccount {
                id: account.public_id.clone(),
                name: account.name.clone(),
                provider: account.provider.clone(),
                state: standing_word(breaker.standing).0,
                consecutive_failures: breaker.consecutive_failures,
                opened: breaker.opened,
                bad_credential: breaker.bad_credential,
            }
        })
        .collect()
}

/// A breaker's standing in a word, and when it lets a probe pass.
fn standing_word(standing: Standing) -> (&'static str, Option<u64>) {
    match standing {
        Standing::Closed => ("closed", None),
        Standing::HalfOpen => ("half_open", None),
        Standing::Probing => ("probing", None),
        Standing::Open { retry_after_ms } => ("open", Some(retry_after_ms)),
    }
}

/// What of an account is told in the audit log.
#[derive(Serialize)]
struct Told<'a> {
    name: &'a str,
    provider: &'a str,
    protocol: &'a str,
    base_url: &'a str,
    last4: &'a str,
    models: &'a [String],
    aliases: &'a BTreeMap<String, String>,
    priority: i64,
    weight: i64,
    concurrency: Option<i64>,
    enabled: bool,
}

impl<'a> From<&'a account::Model> for Told<'a> {
    fn from(row: &'a account::Model) -> Self {
        Self {
            name: &row.name,
            provider: &row.provider,
            protocol: &row.protocol,
            base_url: &row.base_url,
            last4: &row.secret_last4,
            models: &row.models.0,
            aliases: &row.aliases.0,
            priority: row.priority,
            weight: row.weight,
            concurrency: row.concurrency,
            enabled: row.enabled,
        }
    }
}

/// An account to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAccount {
    #[schema(min_length = 1, max_length = 160)]
    name: String,
    #[schema(min_length = 1, max_length = 64)]
    provider: String,
    protocol: AccountProtocol,
    /// What the provider's SDK calls base URL, such as `https://api.openai.com/v1`.
    #[schema(min_length = 8, max_length = 500)]
    base_url: String,
    #[schema(min_length = 1, max_length = 4096)]
    api_key: String,
    /// `*` unless said otherwise.
    #[schema(max_items = 500)]
    models: Option<Vec<String>>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    #[schema(minimum = 0, maximum = 1000000, default = 0)]
    priority: Option<i64>,
    #[schema(minimum = 0, maximum = 1000000, default = 1)]
    weight: Option<i64>,
    #[schema(minimum = 1, maximum = 1000000)]
    concurrency: Option<i64>,
    #[schema(default = true)]
    enabled: Option<bool>,
}

/// What to change of an account. A field that is missing stays; null takes the limit of concurrency away.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AccountChanges {
    #[schema(min_length = 1, max_length = 160)]
    name: Option<String>,
    #[schema(min_length = 1, max_length = 64)]
    provider: Option<String>,
    protocol: Option<AccountProtocol>,
    #[schema(min_length = 8, max_length = 500)]
    base_url: Option<String>,
    /// Replaces the secret.
    #[schema(min_length = 1, max_length = 4096)]
    api_key: Option<String>,
    #[schema(max_items = 500)]
    models: Option<Vec<String>>,
    aliases: Option<BTreeMap<String, String>>,
    #[schema(minimum = 0, maximum = 1000000)]
    priority: Option<i64>,
    #[schema(minimum = 0, maximum = 1000000)]
    weight: Option<i64>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1000000)]
    concurrency: Option<Option<i64>>,
    enabled: Option<bool>,
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
    egress::check("base_url", &base_url).await?;
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
    state.apply_to_gateway().await?;
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
        egress::check("base_url", &base_url).await?;
        row.base_url = Set(base_url);
    }
    checked(&mut row, &changes)?;
    let api_key = changes.api_key.map(secret).transpose()?;

    let change = Change::begin(&state, &caller).await?;
    let current = find(&*change, &id).await?;
    if_match
        .check(current.version, &*change, "account", &current.public_id)
        .await?;
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

/// Checks everything but the address and the secret, and sets it.
fn checked(row: &mut account::ActiveModel, changes: &AccountChanges) -> Result<(), ApiError> {
    if let Some(name) = &changes.name {
        row.name = Set(text("name", name, 1, NAME_MAX)?);
    }
    if let Some(provider) = &changes.provider {
        row.provider = Set(text("provider", provider, 1, PROVIDER_MAX)?);
    }
    if let Some(protocol) = changes.protocol {
        row.protocol = Set(protocol.as_str().to_owned());
    }
    if let Some(models) = &changes.models {
        let models = check::models("models", models.clone(), MODELS_MAX)?;
        row.models = Set(TextList(models));
    }
    if let Some(given) = &changes.aliases {
        row.aliases = Set(aliases(given.clone())?);
    }
    if let Some(priority) = bounded("priority", changes.priority, 0, PRIORITY_MAX)? {
        row.priority = Set(priority);
    }
    if let Some(weight) = bounded("weight", changes.weight, 0, WEIGHT_MAX)? {
        row.weight = Set(weight);
    }
    if let Some(concurrency) = changes.concurrency {
        row.concurrency = Set(bounded("concurrency", concurrency, 1, CONCURRENCY_MAX)?);
    }
    if let Some(enabled) = changes.enabled {
        row.enabled = Set(enabled);
    }
    Ok(())
}

fn seal(state: &AppState, public_id: &str, secret: &str) -> Result<Sealed, ApiError> {
    let place = Place::account_secret(public_id);
    state
        .vault
        .seal(ACCOUNT_SECRET, place, secret.as_bytes())
        .map_err(ApiError::internal)
}

/// What can be sent in a header.
fn secret(text: String) -> Result<String, ApiError> {
    let text = text.trim().to_owned();
    if !(1..=SECRET_MAX).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(ApiError::invalid(
            "api_key",
            format!("must have 1 to {SECRET_MAX} visible ASCII characters"),
        ));
    }
    Ok(text)
}

fn last4(secret: &str) -> String {
    match secret.len().checked_sub(4) {
        Some(from) if secret.len() >= LAST4_FROM => secret[from..].to_owned(),
        _ => String::new(),
    }
}

fn aliases(given: BTreeMap<String, String>) -> Result<TextMap, ApiError> {
    if given.len() > ALIASES_MAX {
        return Err(ApiError::invalid(
            "aliases",
            format!("must be at most {ALIASES_MAX}"),
        ));
    }
    for (alias, model) in &given {
        if !check::is_model(alias) || !check::is_model(model) {
            return Err(ApiError::invalid(
                "aliases",
                "must lead from one model's name to another",
            ));
        }
    }
    Ok(TextMap(given))
}

#[cfg(test)]
mod tests;
