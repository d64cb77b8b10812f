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

use std::collections::HashMap;

use actix_web::{HttpResponse, delete, get, patch, post, put, web};
use sea_orm::ActiveValue::Set;
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use steward_actors::domain::redaction::RedactionMode;
use steward_entities::column::TextList;
use steward_entities::ledger::total::{self, Total};
use steward_entities::scope::Scope;
use steward_entities::{tenant, token};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::gateway::token_key::{NewKey, TOKEN};
use crate::http::caller::Caller;
use crate::http::change::{Audit, Change, refused};
use crate::http::check::{self, bounded, text};
use crate::http::extract::{Json, Query};
use crate::http::money::{self, CurrencyCode, decimal};
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::patch::nullable;
use crate::http::permission::{Can, ReadTokens, WriteTokens};
use crate::http::precondition::{IfMatch, Tagged};
use crate::http::range::{parse_time, rfc3339};
use crate::state::AppState;

const NAME_MAX: usize = 160;
const DESCRIPTION_MAX: usize = 1_000;
const MODELS_MAX: usize = 200;
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

/// What of a token's conversations is kept.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TokenRedaction)]
enum Redaction {
    /// Everything, as it was said.
    None,
    /// What was said, without personal data and secrets.
    Redact,
    /// Who, when and which model; nothing that was said.
    MetadataOnly,
}

impl Redaction {
    fn stored(chosen: Option<Self>) -> String {
        let mode = match chosen {
            Some(Self::None) => RedactionMode::None,
            Some(Self::MetadataOnly) => RedactionMode::MetadataOnly,
            Some(Self::Redact) | None => RedactionMode::Redact,
        };
        mode.as_str().to_owned()
    }
}

impl From<RedactionMode> for Redaction {
    fn from(mode: RedactionMode) -> Self {
        match mode {
            RedactionMode::None => Self::None,
            RedactionMode::Redact => Self::Redact,
            RedactionMode::MetadataOnly => Self::MetadataOnly,
        }
    }
}

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenView {
    id: String,
    name: String,
    description: String,
    tenant_id: Option<String>,
    /// The application it stands for; null when it names none.
    app: Option<String>,
    /// First characters of the secret.
    prefix: String,
    /// Last four characters of the secret.
    last4: String,
    enabled: bool,
    expires_at: Option<String>,
    /// Models it may use, `*` at the end covering the rest; null allows every model.
    allowed_models: Option<Vec<String>>,
    /// Requests per minute; null is unlimited.
    rpm: Option<i64>,
    /// Model tokens per minute; null is unlimited.
    tpm: Option<i64>,
    /// Calls at the same time; null is unlimited.
    concurrency: Option<i64>,
    /// Model tokens it may use in its life; null is unlimited.
    token_quota: Option<i64>,
    /// What it may spend a day, a decimal in `budget_currency`; null is unlimited.
    daily_budget: Option<String>,
    /// What it may spend a month; null is unlimited.
    monthly_budget: Option<String>,
    #[schema(inline)]
    budget_currency: CurrencyCode,
    enable_conversation_logging: bool,
    /// What of its conversations is kept when they are.
    redaction: Redaction,
    /// Calls on the books.
    total_requests: i64,
    /// Model tokens on the books.
    total_tokens_used: i64,
    last_used_at: Option<String>,
    /// Until when the secret before the last rotation still works.
    previous_secret_expires_at: Option<String>,
    created_by: String,
    created_at: String,
    updated_at: String,
    revoked_at: Option<String>,
    version: i64,
}

impl TokenView {
    fn of(row: token::Model, tenants: &HashMap<i64, String>, total: Option<&Total>) -> Self {
        let previous = row.previous_hash.as_ref().and(row.previous_expires_at);
        Self {
            id: row.public_id,
            name: row.name,
            description: row.description,
            tenant_id: row.tenant_id.and_then(|id| tenants.get(&id).cloned()),
            app: Some(row.app).filter(|app| !app.is_empty()),
            prefix: row.prefix,
            last4: row.last4,
            enabled: row.enabled,
            expires_at: row.expires_at.map(rfc3339),
            allowed_models: row.allowed_models.map(|models| models.0),
            rpm: row.rpm,
            tpm: row.tpm,
            concurrency: row.concurrency,
            token_quota: row.token_quota,
            daily_budget: row.daily_budget_nano.map(decimal),
            monthly_budget: row.monthly_budget_nano.map(decimal),
            budget_currency: CurrencyCode::of(&row.budget_currency),
            enable_conversation_logging: row.enable_conversation_logging,
            redaction: RedactionMode::parse(&row.redaction).into(),
            total_requests: total.map_or(0, |total| total.total_requests),
            total_tokens_used: total.map_or(0, |total| total.total_tokens),
            last_used_at: total.map(|total| rfc3339(total.last_at)),
            previous_secret_expires_at: previous.map(rfc3339),
            created_by: row.created_by,
            created_at: rfc3339(row.created_at),
            updated_at: rfc3339(row.updated_at),
            revoked_at: row.revoked_at.map(rfc3339),
            version: row.version,
        }
    }
}

/// A token together with its secret, which is in this answer only.
#[derive(Debug, Serialize, ToSchema)]
struct IssuedToken {
    /// The secret: `sk-stw-…`.
    token: String,
    #[serde(flatten)]
    view: TokenView,
}

/// A token to make.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewToken {
    #[schema(min_length = 1, max_length = 160)]
    name: String,
    #[serde(default)]
    #[schema(max_length = 1000)]
    description: String,
    tenant_id: Option<String>,
    #[schema(max_length = 160)]
    app: Option<String>,
    /// RFC 3339, in the future.
    expires_at: Option<String>,
    enabled: Option<bool>,
    #[schema(max_items = 200)]
    allowed_models: Option<Vec<String>>,
    #[schema(minimum = 1, maximum = 1000000)]
    rpm: Option<i64>,
    #[schema(minimum = 1, maximum = 1000000000000_i64)]
    tpm: Option<i64>,
    #[schema(minimum = 1, maximum = 100000)]
    concurrency: Option<i64>,
    #[schema(minimum = 0, maximum = 1000000000000000_i64)]
    token_quota: Option<i64>,
    /// What it may spend a day: a decimal in `budget_currency`.
    #[schema(example = "20.00")]
    daily_budget: Option<String>,
    /// What it may spend a month.
    #[schema(example = "400.00")]
    monthly_budget: Option<String>,
    /// Of both budgets; `USD` unless given.
    #[serde(default)]
    #[schema(inline)]
    budget_currency: CurrencyCode,
    #[serde(default)]
    enable_conversation_logging: bool,
    /// `redact` unless said otherwise.
    redaction: Option<Redaction>,
}

/// What a token may do. Missing or null means: no limit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TokenSettings)]
struct Settings {
    #[schema(max_items = 200)]
    allowed_models: Option<Vec<String>>,
    #[schema(minimum = 1, maximum = 1000000)]
    rpm: Option<i64>,
    #[schema(minimum = 1, maximum = 1000000000000_i64)]
    tpm: Option<i64>,
    #[schema(minimum = 1, maximum = 100000)]
    concurrency: Option<i64>,
    #[schema(minimum = 0, maximum = 1000000000000000_i64)]
    token_quota: Option<i64>,
    /// What it may spend a day: a decimal in `budget_currency`.
    #[schema(example = "20.00")]
    daily_budget: Option<String>,
    /// What it may spend a month.
    #[schema(example = "400.00")]
    monthly_budget: Option<String>,
    /// Of both budgets; `USD` unless given.
    #[serde(default)]
    #[schema(inline)]
    budget_currency: CurrencyCode,
    #[serde(default)]
    enable_conversation_logging: bool,
    /// `redact` unless said otherwise.
    redaction: Option<Redaction>,
}

/// What to change of a token. A field that is missing stays; null takes a limit away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TokenChanges {
    #[schema(min_length = 1, max_length = 160)]
    name: Option<String>,
    #[schema(max_length = 1000)]
    description: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 160)]
    app: Option<Option<String>>,
    enabled: Option<bool>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    expires_at: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Vec<String>>, max_items = 200)]
    allowed_models: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1000000)]
    rpm: Option<Option<i64>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1000000000000_i64)]
    tpm: Option<Option<i64>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 100000)]
    concurrency: Option<Option<i64>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 1000000000000000_i64)]
    token_quota: Option<Option<i64>>,
    /// What it may spend a day: a decimal in `budget_currency`.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    daily_budget: Option<Option<String>>,
    /// What it may spend a month.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    monthly_budget: Option<Option<String>>,
    /// Of both budgets, which keep their numbers.
    #[schema(inline)]
    budget_currency: Option<CurrencyCode>,
    enable_conversation_logging: Option<bool>,
    redaction: Option<Redaction>,
}

/// How to rotate a token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
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
    let row = token::insert(
        &change,
        kept(&key),
        token::NewToken {
            tenant_id,
            app: text("app", &new.app.unwrap_or_default(), 0, NAME_MAX)?,
            name: text("name", &new.name, 1, NAME_MAX)?,
            description: text("description", &new.description, 0, DESCRIPTION_MAX)?,
            enabled: new.enabled.unwrap_or(true),
            expires_at: future(new.expires_at.as_deref(), change.now)?,
            allowed_models: models(new.allowed_models)?,
            rpm: bounded("rpm", new.rpm, 1, 1_000_000)?,
            tpm: bounded("tpm", new.tpm, 1, 1_000_000_000_000)?,
            concurrency: bounded("concurrency", new.concurrency, 1, 100_000)?,
            token_quota: bounded("token_quota", new.token_quota, 0, 1_000_000_000_000_000)?,
            daily_budget_nano: money::budget("daily_budget", new.daily_budget.as_deref())?,
            monthly_budget_nano: money::budget("monthly_budget", new.monthly_budget.as_deref())?,
            budget_currency: new.budget_currency.stored(),
            enable_conversation_logging: new.enable_conversation_logging,
            redaction: Redaction::stored(new.redaction),
            created_by: caller.operator.public_id.clone(),
        },
        change.now,
    )
    .await?;
    let tenants = tenants_of(&*change, scope, std::slice::from_ref(&row)).await?;
    let view = TokenView::of(row, &tenants, None);
    let audit = Audit::of("tokens.create", "token", &view.id).with("created", &view);
    let version = view.version;
    let token = key.secret.reveal().to_owned();
    let issued = change
        .created(audit, version, IssuedToken { token, view })
        .await?;
    state.apply_to_gateway().await?;
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
    apply(&state, caller, &id, if_match, |now| checked(changes, now)).await
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
    change.commit(audit).await?;
    state.apply_to_gateway().await?;
    let view = full(&state, caller.operator.scope(), row).await?;
    let token = key.secret.reveal().to_owned();
    Ok(Tagged::ok(view.version, IssuedToken { token, view }))
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
    state.apply_to_gateway().await
}

async fn replace(
    state: &AppState,
    caller: Can<WriteTokens>,
    id: &str,
    if_match: IfMatch,
    settings: Settings,
) -> Result<Tagged<TokenView>, ApiError> {
    apply(state, caller, id, if_match, |_| {
        Ok(token::ActiveModel {
            allowed_models: Set(models(settings.allowed_models)?.map(TextList)),
            rpm: Set(bounded("rpm", settings.rpm, 1, 1_000_000)?),
            tpm: Set(bounded("tpm", settings.tpm, 1, 1_000_000_000_000)?),
            concurrency: Set(bounded("concurrency", settings.concurrency, 1, 100_000)?),
            token_quota: Set(bounded(
                "token_quota",
                settings.token_quota,
                0,
                1_000_000_000_000_000,
            )?),
            daily_budget_nano: Set(money::budget(
                "daily_budget",
                settings.daily_budget.as_deref(),
            )?),
            monthly_budget_nano: Set(money::budget(
                "monthly_budget",
                settings.monthly_budget.as_deref(),
            )?),
            budget_currency: Set(settings.budget_currency.stored()),
            enable_conversation_logging: Set(settings.enable_conversation_logging),
            redaction: Set(Redaction::stored(settings.redaction)),
            ..Default::default()
        })
    })
    .await
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

fn checked(changes: TokenChanges, now: i64) -> Result<token::ActiveModel, ApiError> {
    let mut row = token::ActiveModel::default();
    if let Some(name) = changes.name {
        row.name = Set(text("name", &name, 1, NAME_MAX)?);
    }
    if let Some(description) = changes.description {
        row.description = Set(text("description", &description, 0, DESCRIPTION_MAX)?);
    }
    if let Some(app) = changes.app {
        row.app = Set(text("app", &app.unwrap_or_default(), 0, NAME_MAX)?);
    }
    if let Some(enabled) = changes.enabled {
        row.enabled = Set(enabled);
    }
    if let Some(expires_at) = changes.expires_at {
        row.expires_at = Set(future(expires_at.as_deref(), now)?);
    }
    if let Some(allowed) = changes.allowed_models {
        row.allowed_models = Set(models(allowed)?.map(TextList));
    }
    if let Some(rpm) = changes.rpm {
        row.rpm = Set(bounded("rpm", rpm, 1, 1_000_000)?);
    }
    if let Some(tpm) = changes.tpm {
        row.tpm = Set(bounded("tpm", tpm, 1, 1_000_000_000_000)?);
    }
    if let Some(concurrency) = changes.concurrency {
        row.concurrency = Set(bounded("concurrency", concurrency, 1, 100_000)?);
    }
    if let Some(quota) = changes.token_quota {
        row.token_quota = Set(bounded("token_quota", quota, 0, 1_000_000_000_000_000)?);
    }
    if let Some(daily) = changes.daily_budget {
        row.daily_budget_nano = Set(money::budget("daily_budget", daily.as_deref())?);
    }
    if let Some(monthly) = changes.monthly_budget {
        row.monthly_budget_nano = Set(money::budget("monthly_budget", monthly.as_deref())?);
    }
    if let Some(currency) = changes.budget_currency {
        row.budget_currency = Set(currency.stored());
    }
    if let Some(enabled) = changes.enable_conversation_logging {
        row.enable_conversation_logging = Set(enabled);
    }
    if let Some(redaction) = changes.redaction {
        row.redaction = Set(Redaction::stored(Some(redaction)));
    }
    Ok(row)
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

async fn full(state: &AppState, scope: Scope, row: token::Model) -> Result<TokenView, ApiError> {
    let tenants = tenants_of(
        &state.databases.control_read,
        scope,
        std::slice::from_ref(&row),
    )
    .await?;
    let totals = total::of_tokens(&state.databases.ledger_read, &[row.id]).await?;
    let used = totals.get(&row.id);
    Ok(TokenView::of(row, &tenants, used))
}

/// Public ids of the tenants that `rows` belong to.
async fn tenants_of(
    connection: &impl ConnectionTrait,
    scope: Scope,
    rows: &[token::Model],
) -> Result<HashMap<i64, String>, ApiError> {
    let ids: Vec<i64> = rows.iter().filter_map(|row| row.tenant_id).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let tenants = tenant::by_ids(connection, scope, ids).await?;
    Ok(tenants
        .into_iter()
        .map(|row| (row.id, row.public_id))
        .collect())
}

fn kept(key: &NewKey) -> token::KeptSecret {
    token::KeptSecret {
        prefix: key.prefix.clone(),
        last4: key.last4.clone(),
        hash: key.hash.to_vec(),
    }
}

fn future(value: Option<&str>, now: i64) -> Result<Option<i64>, ApiError> {
    let Some(value) = value else { return Ok(None) };
    let at = parse_time(value, "expires_at")?;
    if at <= now {
        return Err(ApiError::invalid("expires_at", "must lie in the future"));
    }
    Ok(Some(at))
}

fn models(patterns: Option<Vec<String>>) -> Result<Option<Vec<String>>, ApiError> {
    patterns
        .map(|patterns| check::models("allowed_models", patterns, MODELS_MAX))
        .transpose()
}

#[cfg(test)]
mod tests;
