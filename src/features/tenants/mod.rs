//! Tenants: who owns tokens. A suspended one keeps them, and they open nothing meanwhile.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/ops/tenants` | `read:tenants` |
//! | POST | `/ops/tenants` | `write:tenants` |
//! | GET | `/ops/tenants/{id}` | `read:tenants` |
//! | PATCH | `/ops/tenants/{id}` | `write:tenants` |
//! | POST | `/ops/tenants/{id}/suspend` | `write:tenants` |
//! | POST | `/ops/tenants/{id}/activate` | `write:tenants` |
//!
//! Tenants are never deleted: the books name them. A budget holds for all their tokens together,
//! by the days and months of `stats.time_zone`.

mod order;
#[cfg(test)]
mod tests;
mod view;

use actix_web::{get, patch, post, web};
use sea_orm::ActiveValue::Set;
use sea_orm::ConnectionTrait;
use serde::Deserialize;
use steward_entities::scope::Scope;
use steward_entities::tenant::{self, Status};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::change::{Audit, Change, refused};
use crate::http::check::{self, text};
use crate::http::extract::{Json, Query};
use crate::http::money::{self, CurrencyCode};
use crate::http::page::{Page, PageQuery, PageRequest, Sort};
use crate::http::patch::nullable;
use crate::http::permission::{Can, ReadTenants, WriteTenants};
use crate::http::precondition::{IfMatch, Tagged};
use crate::state::AppState;

use view::{Figures, TenantStatus, TenantView, shown};

const NAME_MAX: usize = 160;
const REASON_MAX: usize = 500;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list)
        .service(create)
        .service(show)
        .service(update)
        .service(suspend)
        .service(activate);
}

/// A tenant to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTenant {
    #[schema(min_length = 1, max_length = 160)]
    name: String,
    /// What its tokens together may spend a day: a decimal in `budget_currency`. Unlimited when absent.
    daily_budget: Option<String>,
    /// What they may spend a month.
    monthly_budget: Option<String>,
    /// Of both budgets; US dollars when absent.
    #[schema(inline)]
    budget_currency: Option<CurrencyCode>,
}

/// What to change of a tenant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TenantChanges {
    #[schema(min_length = 1, max_length = 160)]
    name: Option<String>,
    /// What its tokens together may spend a day: a decimal in `budget_currency`. Null takes the limit away.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    daily_budget: Option<Option<String>>,
    /// What they may spend a month.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    monthly_budget: Option<Option<String>>,
    /// Of both budgets, which keep their numbers.
    #[schema(inline)]
    budget_currency: Option<CurrencyCode>,
}

/// Why a tenant is suspended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Suspension {
    #[serde(default)]
    #[schema(max_length = 500)]
    reason: String,
}

/// Which tenants.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    #[param(inline)]
    status: Option<TenantStatus>,
    /// Part of the name.
    keyword: Option<String>,
    /// The same as `keyword`.
    q: Option<String>,
}

/// Tenants, newest first unless asked otherwise: `name`, `created_at`, `user_count`, `token_count`, `qa_pair_count`,
/// `pending_feedbacks`, `conversations_today`, `total_requests` and `last_active_at` are orders too.
#[utoipa::path(tag = "tenants", params(Which, Sort, PageQuery), responses((status = 200, body = Page<TenantView>)))]
#[get("/ops/tenants")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadTenants>,
    which: Query<Which>,
    sort: Sort,
    page: PageRequest,
) -> Result<Json<Page<TenantView>>, ApiError> {
    let Query(which) = which;
    let filter = tenant::Filter {
        status: which.status.map(Status::from),
        search: which.keyword.or(which.q).filter(|text| !text.is_empty()),
    };
    let scope = caller.operator.scope();
    let found = order::page(&state, scope, &filter, &sort, &page).await?;
    Ok(Json(Page {
        items: shown(&state, found.items).await?,
        next_cursor: found.next_cursor,
        total: found.total,
        total_is_exact: found.total_is_exact,
    }))
}

/// Makes a tenant.
#[utoipa::path(tag = "tenants", responses((status = 201, body = TenantView)))]
#[post("/ops/tenants")]
async fn create(
    state: web::Data<AppState>,
    caller: Can<WriteTenants>,
    Json(new): Json<NewTenant>,
) -> Result<Tagged<TenantView>, ApiError> {
    check::whole_installation(&caller)?;
    let name = text("name", &new.name, 1, NAME_MAX)?;
    let daily = money::budget("daily_budget", new.daily_budget.as_deref())?;
    let monthly = money::budget("monthly_budget", new.monthly_budget.as_deref())?;
    let currency = new.budget_currency.map(CurrencyCode::stored);
    let change = Change::begin(&state, &caller).await?;
    let mut row = tenant::insert(&change, name, change.now).await?;
    if daily.is_some() || monthly.is_some() || currency.is_some() {
        let limits = tenant::ActiveModel {
            daily_budget_nano: Set(daily),
            monthly_budget_nano: Set(monthly),
            budget_currency: Set(currency.unwrap_or_else(|| row.budget_currency.clone())),
            ..Default::default()
        };
        row = tenant::update(&change, &row, limits, change.now)
            .await
            .map_err(refused("name"))?;
    }
    let view = TenantView::of(row, Figures::default());
    let audit = Audit::of("tenants.create", "tenant", &view.id)
        .with("name", &view.name)
        .with("daily_budget", &view.daily_budget)
        .with("monthly_budget", &view.monthly_budget)
        .with("budget_currency", view.budget_currency);
    let version = view.version;
    let created = change.created(audit, version, view).await?;
    state.announce_to_gateway().await;
    Ok(created)
}

/// One tenant.
#[utoipa::path(tag = "tenants", responses((status = 200, body = TenantView)))]
#[get("/ops/tenants/{id}")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadTenants>,
    id: web::Path<String>,
) -> Result<Tagged<TenantView>, ApiError> {
    let row = find(&state.databases.control_read, caller.operator.scope(), &id).await?;
    answer(&state, row).await
}

/// Renames a tenant, or sets what it may spend.
#[utoipa::path(tag = "tenants", responses((status = 200, body = TenantView)))]
#[patch("/ops/tenants/{id}")]
async fn update(
    state: web::Data<AppState>,
    caller: Can<WriteTenants>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(changes): Json<TenantChanges>,
) -> Result<Tagged<TenantView>, ApiError> {
    let mut row = tenant::ActiveModel::default();
    if let Some(name) = changes.name {
        row.name = Set(text("name", &name, 1, NAME_MAX)?);
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
    let changed = apply(&state, caller, &id, if_match, "tenants.update", row);
    changed.await
}

/// Suspends a tenant; its tokens open nothing from the next request on.
#[utoipa::path(tag = "tenants", responses((status = 200, body = TenantView)))]
#[post("/ops/tenants/{id}/suspend")]
async fn suspend(
    state: web::Data<AppState>,
    caller: Can<WriteTenants>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(suspension): Json<Suspension>,
) -> Result<Tagged<TenantView>, ApiError> {
    let reason = text("reason", &suspension.reason, 0, REASON_MAX)?;
    let row = tenant::ActiveModel {
        status: Set(Status::Suspended),
        suspended_at: Set(Some(state.clock.now_micros())),
        suspended_reason: Set(Some(reason).filter(|reason| !reason.is_empty())),
        ..Default::default()
    };
    apply(&state, caller, &id, if_match, "tenants.suspend", row).await
}

/// Opens a suspended tenant's tokens again, from the next request on.
#[utoipa::path(tag = "tenants", responses((status = 200, body = TenantView)))]
#[post("/ops/tenants/{id}/activate")]
async fn activate(
    state: web::Data<AppState>,
    caller: Can<WriteTenants>,
    id: web::Path<String>,
    if_match: IfMatch,
) -> Result<Tagged<TenantView>, ApiError> {
    let row = tenant::ActiveModel {
        status: Set(Status::Active),
        suspended_at: Set(None),
        suspended_reason: Set(None),
        ..Default::default()
    };
    apply(&state, caller, &id, if_match, "tenants.activate", row).await
}

/// One change: written with its audit row, in force before it is answered.
async fn apply(
    state: &AppState,
    caller: Can<WriteTenants>,
    id: &str,
    if_match: IfMatch,
    action: &'static str,
    changes: tenant::ActiveModel,
) -> Result<Tagged<TenantView>, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(state, &caller).await?;
    let row = find(&*change, Scope::All, id).await?;
    if_match
        .check(row.version, &*change, "tenant", &row.public_id)
        .await?;
    let changed = tenant::update(&change, &row, changes, change.now)
        .await
        .map_err(refused("name"))?;
    let before = TenantView::of(row, Figures::default());
    let after = TenantView::of(changed.clone(), Figures::default());
    change
        .commit(Audit::of(action, "tenant", &after.id).diff(&before, &after))
        .await?;
    state.apply_to_gateway().await?;
    answer(state, changed).await
}

async fn find(
    connection: &impl ConnectionTrait,
    scope: Scope,
    id: &str,
) -> Result<tenant::Model, ApiError> {
    tenant::by_public_id(connection, scope, id)
        .await?
        .ok_or_else(|| ApiError::not_found("tenant"))
}

async fn answer(state: &AppState, row: tenant::Model) -> Result<Tagged<TenantView>, ApiError> {
    let version = row.version;
    let view = shown(state, vec![row]).await?.pop();
    view.map(|view| Tagged::ok(version, view))
        .ok_or_else(|| ApiError::not_found("tenant"))
}
