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

use std::collections::HashMap;

use actix_web::{get, patch, post, web};
use chrono::Days;
use sea_orm::ActiveValue::Set;
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use steward_actors::domain::calendar;
use steward_entities::ledger::conversation_count;
use steward_entities::ledger::total::{self, Total};
use steward_entities::scope::Scope;
use steward_entities::tenant::{self, Status};
use steward_entities::{feedback, operator, qa_pair, token};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::change::{Audit, Change, refused};
use crate::http::check::{self, text};
use crate::http::extract::{Json, Query};
use crate::http::money::{self, CurrencyCode, decimal};
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::patch::nullable;
use crate::http::permission::{Can, ReadTenants, WriteTenants};
use crate::http::precondition::{IfMatch, Tagged};
use crate::http::range::rfc3339;
use crate::state::AppState;

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

/// Whether a tenant's tokens open anything.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TenantStatus {
    Active,
    Suspended,
}

impl From<TenantStatus> for Status {
    fn from(status: TenantStatus) -> Self {
        match status {
            TenantStatus::Active => Self::Active,
            TenantStatus::Suspended => Self::Suspended,
        }
    }
}

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantView {
    id: String,
    name: String,
    status: TenantStatus,
    suspended_at: Option<String>,
    suspended_reason: Option<String>,
    /// What its tokens together may spend a day, a decimal in `budget_currency`; null is unlimited.
    daily_budget: Option<String>,
    /// What they may spend a month; null is unlimited.
    monthly_budget: Option<String>,
    #[schema(inline)]
    budget_currency: CurrencyCode,
    /// Operators who belong to it.
    user_count: u64,
    /// Tokens that were not deleted.
    token_count: u64,
    /// Questions and answers of its knowledge.
    qa_pair_count: u64,
    /// Feedback nobody has dealt with.
    pending_feedbacks: u64,
    /// Distinct conversations since midnight, where calls carry an id, and each call that carries none; counted every
    /// minute or so.
    conversations_today: i64,
    /// Those of the last seven days, today included, added up: a conversation is counted on each of its days.
    conversations_week: i64,
    /// Those of the last thirty days.
    conversations_month: i64,
    /// Calls on the books.
    total_requests: i64,
    /// Model tokens on the books.
    total_tokens_used: i64,
    /// When its last call ended.
    last_active_at: Option<String>,
    created_at: String,
    updated_at: String,
    version: i64,
}

/// What the other tables know of a tenant.
#[derive(Default)]
struct Figures {
    users: u64,
    tokens: u64,
    pairs: u64,
    feedback: u64,
    /// Conversations of one, seven and thirty days.
    conversations: [i64; 3],
    total: Option<Total>,
}

impl TenantView {
    fn of(row: tenant::Model, figures: Figures) -> Self {
        let total = figures.total.unwrap_or_default();
        let [today, week, month] = figures.conversations;
        Self {
            id: row.public_id,
            name: row.name,
            status: match row.status {
                Status::Active => TenantStatus::Active,
                Status::Suspended => TenantStatus::Suspended,
            },
            suspended_at: row.suspended_at.map(rfc3339),
            suspended_reason: row.suspended_reason,
            daily_budget: row.daily_budget_nano.map(decimal),
            monthly_budget: row.monthly_budget_nano.map(decimal),
            budget_currency: CurrencyCode::of(&row.budget_currency),
            user_count: figures.users,
            token_count: figures.tokens,
            qa_pair_count: figures.pairs,
            pending_feedbacks: figures.feedback,
            conversations_today: today,
            conversations_week: week,
            conversations_month: month,
            total_requests: total.total_requests,
            total_tokens_used: total.total_tokens,
            last_active_at: figures.total.map(|total| rfc3339(total.last_at)),
            created_at: rfc3339(row.created_at),
            updated_at: rfc3339(row.updated_at),
            version: row.version,
        }
    }
}

/// A tenant to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTenant {
    #[schema(min_length = 1, max_length = 160)]
    name: String,
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

/// Tenants, newest first.
#[utoipa::path(tag = "tenants", params(Which, PageQuery), responses((status = 200, body = Page<TenantView>)))]
#[get("/ops/tenants")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadTenants>,
    which: Query<Which>,
    page: PageRequest,
) -> Result<Json<Page<TenantView>>, ApiError> {
    let read = &state.databases.control_read;
    let scope = caller.operator.scope();
    let Query(which) = which;
    let filter = tenant::Filter {
        status: which.status.map(Status::from),
        search: which.keyword.or(which.q).filter(|text| !text.is_empty()),
    };
    let rows = tenant::list(read, scope, &filter, page.rows()?).await?;
    let total = tenant::count(read, scope, &filter).await?;
    let page = Page::of(rows, &page, Some(total), |row| row.id, |row| row);
    Ok(Json(Page {
        items: shown(&state, page.items).await?,
        next_cursor: page.next_cursor,
        total: page.total,
        total_is_exact: page.total_is_exact,
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
    let change = Change::begin(&state, &caller).await?;
    let row = tenant::insert(&change, name, change.now).await?;
    let view = TenantView::of(row, Figures::default());
    let audit = Audit::of("tenants.create", "tenant", &view.id).with("name", &view.name);
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

async fn shown(state: &AppState, rows: Vec<tenant::Model>) -> Result<Vec<TenantView>, ApiError> {
    let (control, ledger) = (&state.databases.control_read, &state.databases.ledger_read);
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let totals = total::of_tenants(ledger, &ids).await?;
    let conversations = conversations(state, &ids).await?;
    let mut views = Vec::with_capacity(rows.len());
    for row in rows {
        let scope = Scope::Tenant(row.id);
        let figures = Figures {
            users: operator::count(control, scope).await?,
            tokens: token::count(control, scope, &token::Filter::default()).await?,
            pairs: qa_pair::count(control, scope, &qa_pair::Filter::default()).await?,
            feedback: feedback::pending(control, scope).await?,
            conversations: conversations.get(&row.id).copied().unwrap_or_default(),
            total: totals.get(&row.id).copied(),
        };
        views.push(TenantView::of(row, figures));
    }
    Ok(views)
}

/// Conversations of the last one, seven and thirty days, today included, by tenant.
async fn conversations(
    state: &AppState,
    tenants: &[i64],
) -> Result<HashMap<i64, [i64; 3]>, ApiError> {
    let (zone, now) = (state.time_zone, state.clock.now_micros());
    let date = calendar::date_of(zone, now);
    let starts = [0, 6, 29].map(|days| {
        let first = date.checked_sub_days(Days::new(days)).unwrap_or(date);
        calendar::start_of(zone, first)
    });
    let to = calendar::next_day(zone, now);
    let read = &state.databases.ledger_read;
    let mut sums: HashMap<i64, [i64; 3]> = HashMap::new();
    for day in conversation_count::days(read, (starts[2], to), Some(tenants)).await? {
        let of_tenant = sums.entry(day.tenant_id).or_default();
        for (sum, start) in of_tenant.iter_mut().zip(starts) {
            if day.bucket >= start {
                *sum += day.with_id + day.without_id;
            }
        }
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use serde_json::{Value, json};

    use crate::testing::{Ask, World};

    const TENANTS: &str = "/api/v1/ops/tenants";

    #[actix_web::test]
    async fn a_life_of_a_tenant() {
        life_on(World::sqlite().await).await;
    }

    #[actix_web::test]
    async fn a_life_of_a_tenant_postgres() {
        life_on(World::postgres().await).await;
    }

    async fn life_on(world: World) {
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let made = Ask::post(TENANTS, json!({"name": " Kimono One "})).bearer(&root);
        let made = made.to(&app).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        assert_eq!(made.body["name"], "Kimono One");
        assert_eq!(made.body["status"], "active");
        let id = made.body["id"].as_str().unwrap().to_owned();
        let token = json!({"name": "app", "tenant_id": id});
        let token = Ask::post("/api/v1/tokens", token).bearer(&root);
        assert_eq!(token.to(&app).await.body["tenant_id"], json!(id));
        let suspended = |world: &World| {
            let snapshot = world.state.snapshot.load();
            let key = snapshot.tokens.values().next().unwrap();
            key.token.tenant_suspended
        };
        assert!(!suspended(&world));

        let path = format!("{TENANTS}/{id}");
        let suspend = Ask::post(&format!("{path}/suspend"), json!({"reason": "unpaid"}));
        let suspend = suspend.bearer(&root).to(&app).await;
        assert_eq!(suspend.body["status"], "suspended", "{suspend:?}");
        assert_eq!(suspend.body["suspended_reason"], "unpaid");
        assert_eq!(suspend.body["suspended_at"], "2026-03-15T18:30:00.000Z");
        // In force when it is answered.
        assert!(suspended(&world));
        let list = |query: &str| Ask::get(&format!("{TENANTS}?{query}")).bearer(&root);
        for (query, total) in [
            ("status=suspended", 1),
            ("status=active", 0),
            ("keyword=kimono", 1),
            ("q=%25", 0),
        ] {
            let found = list(query).to(&app).await;
            assert_eq!(found.body["total"], total, "{query}: {found:?}");
        }
        assert_eq!(
            list("status=gone").to(&app).await.status,
            StatusCode::BAD_REQUEST
        );

        let activate = Ask::post(&format!("{path}/activate"), json!({})).bearer(&root);
        let activate = activate.to(&app).await;
        assert_eq!(activate.body["suspended_reason"], Value::Null);
        assert!(!suspended(&world));
        let stale = Ask::patch(&path, json!({"name": "X"}))
            .bearer(&root)
            .header("if-match", "\"1\"");
        assert_eq!(stale.to(&app).await.status, StatusCode::PRECONDITION_FAILED);
        let renamed = Ask::patch(&path, json!({"name": "Kimono"})).bearer(&root);
        assert_eq!(renamed.to(&app).await.header("etag"), "\"4\"");
        let budget = json!({"monthly_budget": "1000.25", "budget_currency": "CNY"});
        let limited = Ask::patch(&path, budget).bearer(&root).to(&app).await;
        assert_eq!(limited.body["monthly_budget"], "1000.25", "{limited:?}");
        assert_eq!(limited.body["daily_budget"], Value::Null);
        let held = {
            let snapshot = world.state.snapshot.load();
            let key = snapshot.tokens.values().next().unwrap();
            key.token.tenant_budget
        };
        assert_eq!(held.monthly_nano, Some(1_000_250_000_000));
        let shown = Ask::get(&path).bearer(&root).to(&app).await;
        assert_eq!(shown.body["token_count"], 1, "{shown:?}");
        assert_eq!(shown.body["last_active_at"], Value::Null);
        let told = &world.audited("tenants.suspend").await[0];
        assert_eq!(told.details["suspended_reason"], json!([null, "unpaid"]));
    }
}
