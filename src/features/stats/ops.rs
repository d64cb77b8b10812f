//! The operations center's dashboard and API usage: the same statistics under its names, for whole days.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/ops/dashboard/overview` | `read:stats` |
//! | GET | `/ops/dashboard/trends` | `read:stats` |
//! | GET | `/ops/api-usage/stats` | `read:stats` |
//! | GET | `/ops/api-usage/cost` | `read:stats` |
//! | GET | `/ops/api-usage/trends` | `read:stats` |
//! | GET | `/ops/api-usage/by-tenant` | `read:stats` |

use std::collections::BTreeMap;

use actix_web::{get, web};
use serde::{Deserialize, Serialize};
use steward_actors::domain::calendar;
use steward_actors::spool::Admission;
use steward_actors::supervision::{NodeKind, State};
use steward_entities::ledger::daily;
use steward_entities::scope::Scope;
use steward_entities::{feedback, qa_pair, tenant};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::check;
use crate::http::extract::{Json, Query};
use crate::http::permission::{Can, ReadStats};
use crate::http::range::{RangeQuery, TimeRange, days_before};
use crate::state::AppState;

use super::conversations::{lately, of_days};
use super::leading::{Most, Ranked};
use super::ranking::{Ranking, Top, TopItem, TopQuery, rank, total};
use super::view::Numbers;
use super::which::Which;
use super::{By, CostQuery, Trend, course};

/// Providers and tenants told apart in one answer.
const LISTED_MAX: u64 = 100;
const LISTED: Ranking = Ranking {
    limit_max: LISTED_MAX,
    however_much: true,
};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(overview)
        .service(trends)
        .service(usage)
        .service(cost)
        .service(usage_trends)
        .service(by_tenant);
}

/// The installation at a glance.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DashboardOverview)]
struct Overview {
    total_tenants: u64,
    /// Those that are not suspended.
    active_tenants: u64,
    /// Distinct conversations since midnight, where calls carry an id, and each call that carries none; at most a
    /// minute old.
    conversations_today: i64,
    /// The distinct conversations among them.
    conversations_with_id_today: i64,
    /// The calls among them that carry no id.
    calls_without_id_today: i64,
    /// Those of the last seven days, today included, added up: a conversation is counted on each of its days.
    conversations_week: i64,
    /// Those of the last thirty days.
    conversations_month: i64,
    /// False when today has so many calls that they are counted every quarter of an hour.
    conversations_exact: bool,
    /// Questions and answers of all tenants.
    total_qa_pairs: i64,
    /// Those that no vector store has as they are.
    unsynced_qa_pairs: i64,
    /// Feedback nobody has dealt with.
    pending_feedbacks: u64,
    /// Since midnight.
    api_calls_today: i64,
    /// Between 0 and 1; null without calls.
    success_rate_today: Option<f64>,
    total_tokens_today: i64,
    /// Mean duration of today's calls; null without calls.
    avg_response_time_ms: Option<f64>,
    /// Distinct end users of today, however they came.
    daily_active_users: i64,
    /// A decimal; null when nothing had a price.
    estimated_cost_today: Option<String>,
    /// `USD` or `CNY`.
    currency: &'static str,
    /// Today's calls that used tokens and had no price.
    unpriced_count_today: i64,
    /// `healthy`, `degraded`, `unhealthy` or `unknown` by component: `database`, `ledger`, `spool`, `supervision`, and all of
    /// those of `ops/system/components`.
    components_status: BTreeMap<String, &'static str>,
    uptime_seconds: i64,
}

/// Today, and how the parts are.
#[utoipa::path(tag = "operations center", params(CostQuery), responses((status = 200, body = Overview)))]
#[get("/ops/dashboard/overview")]
async fn overview(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    money: Query<CostQuery>,
) -> Result<Json<Overview>, ApiError> {
    check::whole_installation(&caller)?;
    let now = state.clock.now_micros();
    let today = calendar::day_of(state.time_zone, now);
    let range = TimeRange {
        from: Some(today),
        to: None,
    };
    let shown = money.0.shown(&state);
    let calls = total(
        &state,
        caller.operator.scope(),
        Which::default(),
        range,
        &shown,
    )
    .await?;
    let active = daily::user_activity(&state.databases.ledger_read, (today, now)).await?;
    let tenants = tenant::all(&state.databases.control_read).await?;
    let conversations = lately(&state).await?;
    let every = qa_pair::Filter::default();
    let pairs = qa_pair::sums(&state.databases.control_read, Scope::All, &every).await?;
    Ok(Json(Overview {
        total_qa_pairs: pairs.total,
        unsynced_qa_pairs: pairs.total - pairs.synced,
        total_tenants: tenants.len() as u64,
        active_tenants: tenants
            .iter()
            .filter(|one| one.suspended_at.is_none())
            .count() as u64,
        conversations_today: conversations.today.all(),
        conversations_with_id_today: conversations.today.with_id,
        calls_without_id_today: conversations.today.without_id,
        conversations_week: conversations.week,
        conversations_month: conversations.month,
        conversations_exact: conversations.is_exact,
        pending_feedbacks: feedback::pending(&state.databases.control_read, Scope::All).await?,
        api_calls_today: calls.request_count,
        success_rate_today: calls.success_rate,
        total_tokens_today: calls.total_tokens,
        avg_response_time_ms: calls.avg_duration_ms,
        daily_active_users: active.last().map_or(0, |day| day.daily_active_users),
        estimated_cost_today: calls.cost,
        currency: calls.currency,
        unpriced_count_today: calls.unpriced_count,
        components_status: components(&state),
        uptime_seconds: (now - state.started_at).max(0) / 1_000_000,
    }))
}

/// How the parts are, from what they say of themselves; nothing is asked over a network.
fn components(state: &AppState) -> BTreeMap<String, &'static str> {
    const HEALTHY: &str = "healthy";
    const DEGRADED: &str = "degraded";
    const UNHEALTHY: &str = "unhealthy";
    let is_readable = state
        .tree
        .snapshot_condition
        .load()
        .unreadable_since
        .is_none();
    let writes = state
        .tree
        .ledger_condition()
        .borrow()
        .unavailable_since
        .is_none();
    let tree = state.tree.supervisor.tree_now();
    let actors = tree
        .walk()
        .into_iter()
        .filter(|node| node.kind == NodeKind::Actor);
    let mut supervision = HEALTHY;
    for actor in actors {
        match actor.state {
            State::Failed => supervision = UNHEALTHY,
            State::BackingOff if supervision == HEALTHY => supervision = DEGRADED,
            _ => {}
        }
    }
    let spool = match state.spool.admits() {
        Admission::Refuse(_) => UNHEALTHY,
        Admission::Open if !state.spool.ledger().balances() => DEGRADED,
        Admission::Open => HEALTHY,
    };
    let degraded_unless = |good: bool| if good { HEALTHY } else { DEGRADED };
    let now = [
        ("database", degraded_unless(is_readable)),
        ("ledger", degraded_unless(writes)),
        ("spool", spool),
        ("supervision", supervision),
    ];
    let looked_at = state.tree.health.reports(state.clock.now_micros());
    let mut all: BTreeMap<String, &'static str> = looked_at
        .into_iter()
        .map(|report| (report.component.id, report.status.as_str()))
        .collect();
    all.extend(now.map(|(name, status)| (name.to_owned(), status)));
    all
}

/// A day of the installation.
#[derive(Debug, Serialize, ToSchema)]
struct DashboardDay {
    #[schema(format = Date)]
    date: String,
    api_calls: i64,
    /// Between 0 and 1; null without calls.
    success_rate: Option<f64>,
    avg_response_time_ms: Option<f64>,
    total_tokens: i64,
    /// A decimal; null when nothing had a price.
    cost: Option<String>,
    daily_active_users: i64,
    /// Distinct conversations, where calls carry an id, and calls that carry none.
    conversations: i64,
    /// The distinct conversations among them.
    conversations_with_id: i64,
}

/// Days of the installation, rising, without gaps.
#[derive(Debug, Serialize, ToSchema)]
struct DashboardTrends {
    /// Whose days they are.
    time_zone: String,
    /// `USD` or `CNY`.
    currency: &'static str,
    items: Vec<DashboardDay>,
}

/// Days: the last seven unless asked otherwise.
#[utoipa::path(tag = "operations center", params(CostQuery, RangeQuery), responses((status = 200, body = DashboardTrends)))]
#[get("/ops/dashboard/trends")]
async fn trends(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    money: Query<CostQuery>,
    range: TimeRange,
) -> Result<Json<DashboardTrends>, ApiError> {
    check::whole_installation(&caller)?;
    let shown = money.0.shown(&state);
    let range = days_or(&state, range, 7);
    let course = course(
        &state,
        caller.operator.scope(),
        Which::default(),
        By::Day,
        range,
    )
    .await?;
    let first = course.starts.first().copied().unwrap_or(course.to);
    let active = daily::user_activity(&state.databases.ledger_read, (first, course.to)).await?;
    let conversations = of_days(&state, (first, course.to), None).await?;
    let each = course.starts.iter().zip(&course.buckets);
    let items = each.map(|(at, counted)| {
        let talks = conversations.get(at).copied().unwrap_or_default();
        let numbers = Numbers::of(counted, &shown);
        let users = active.iter().find(|day| day.bucket == *at);
        DashboardDay {
            date: calendar::date_of(state.time_zone, *at).to_string(),
            api_calls: numbers.request_count,
            success_rate: numbers.success_rate,
            avg_response_time_ms: numbers.avg_duration_ms,
            total_tokens: numbers.total_tokens,
            cost: numbers.cost,
            daily_active_users: users.map_or(0, |day| day.daily_active_users),
            conversations: talks.all(),
            conversations_with_id: talks.with_id,
        }
    });
    Ok(Json(DashboardTrends {
        time_zone: state.time_zone.name().to_owned(),
        currency: shown.currency.as_str(),
        items: items.collect(),
    }))
}

/// Whose calls.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfTenant {
    /// Calls of this tenant only; all of them unless given.
    tenant_id: Option<String>,
}

impl OfTenant {
    fn which(&self) -> Which {
        Which {
            tenant_id: self.tenant_id.clone().filter(|id| !id.is_empty()),
            ..Which::default()
        }
    }
}

/// Calls of a stretch, and by provider.
#[derive(Debug, Serialize, ToSchema)]
struct ApiUsage {
    #[serde(flatten)]
    total: Numbers,
    by_provider: Vec<TopItem>,
}

/// Calls of the stretch (30 days unless asked otherwise) in whole days, and by provider. Providers of one tenant
/// have no quantiles where the stretch has more than 20,000 calls.
#[utoipa::path(tag = "operations center", params(CostQuery, OfTenant, RangeQuery), responses((status = 200, body = ApiUsage)))]
#[get("/ops/api-usage/stats")]
async fn usage(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    money: Query<CostQuery>,
    of: Query<OfTenant>,
    range: TimeRange,
) -> Result<Json<ApiUsage>, ApiError> {
    check::whole_installation(&caller)?;
    let shown = money.0.shown(&state);
    let range = days_or(&state, range, 30);
    let by_provider = listed(Ranked::Provider, Most::Requests);
    let which = of.0.which();
    let providers = rank(
        &state,
        caller.operator.scope(),
        &by_provider,
        which,
        range,
        &shown,
        LISTED,
    )
    .await?;
    Ok(Json(ApiUsage {
        total: total(&state, caller.operator.scope(), of.0.which(), range, &shown).await?,
        by_provider: providers.items,
    }))
}

/// What calls are reckoned to have cost.
#[derive(Debug, Serialize, ToSchema)]
struct CostEstimate {
    /// All of it in US dollars, a decimal; null when nothing had a price.
    total_cost_usd: Option<String>,
    /// All of it in Chinese yuan, a decimal; null when nothing had a price.
    total_cost_cny: Option<String>,
    /// Calls that used tokens and had no price: they are not in the sums.
    unpriced_count: i64,
    by_provider: Vec<TopItem>,
    by_tenant: Vec<TopItem>,
}

/// What calls of the stretch (30 days unless asked otherwise) are reckoned to have cost, in whole days.
#[utoipa::path(tag = "operations center", params(CostQuery, OfTenant, RangeQuery), responses((status = 200, body = CostEstimate)))]
#[get("/ops/api-usage/cost")]
async fn cost(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    money: Query<CostQuery>,
    of: Query<OfTenant>,
    range: TimeRange,
) -> Result<Json<CostEstimate>, ApiError> {
    use steward_actors::domain::price::Currency;

    check::whole_installation(&caller)?;
    let shown = money.0.shown(&state);
    let range = days_or(&state, range, 30);
    let mut lists = Vec::new();
    for by in [Ranked::Provider, Ranked::Tenant] {
        let query = listed(by, Most::Cost);
        let which = of.0.which();
        lists.push(
            rank(
                &state,
                caller.operator.scope(),
                &query,
                which,
                range,
                &shown,
                LISTED,
            )
            .await?,
        );
    }
    let sum = async |currency| {
        let shown = super::Shown {
            currency,
            ..shown.clone()
        };
        total(&state, caller.operator.scope(), of.0.which(), range, &shown).await
    };
    let (usd, cny) = (sum(Currency::Usd).await?, sum(Currency::Cny).await?);
    let mut lists = lists.into_iter().map(|top| top.items);
    Ok(Json(CostEstimate {
        total_cost_usd: usd.cost,
        total_cost_cny: cny.cost,
        unpriced_count: usd.unpriced_count,
        by_provider: lists.next().unwrap_or_default(),
        by_tenant: lists.next().unwrap_or_default(),
    }))
}

/// Calls by day: the last 30 unless asked otherwise.
#[utoipa::path(tag = "operations center", params(CostQuery, OfTenant, RangeQuery), responses((status = 200, body = Trend)))]
#[get("/ops/api-usage/trends")]
async fn usage_trends(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    money: Query<CostQuery>,
    of: Query<OfTenant>,
    range: TimeRange,
) -> Result<Json<Trend>, ApiError> {
    let range = days_or(&state, range, 30);
    let scope = caller.operator.scope();
    let course = course(&state, scope, of.0.which(), By::Day, range).await?;
    Ok(Json(course.told(&state, &money.0.shown(&state))))
}

/// Tenants by cost, over whole days: the last 30 unless asked otherwise. Calls of no tenant have an empty name.
#[utoipa::path(tag = "operations center", params(CostQuery, RangeQuery), responses((status = 200, body = Top)))]
#[get("/ops/api-usage/by-tenant")]
async fn by_tenant(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    money: Query<CostQuery>,
    range: TimeRange,
) -> Result<Json<Top>, ApiError> {
    let shown = money.0.shown(&state);
    let range = days_or(&state, range, 30);
    let query = listed(Ranked::Tenant, Most::Cost);
    let which = Which::default();
    let top = rank(
        &state,
        caller.operator.scope(),
        &query,
        which,
        range,
        &shown,
        LISTED,
    )
    .await?;
    Ok(Json(top))
}

fn listed(by: Ranked, sort: Most) -> TopQuery {
    TopQuery {
        by: Some(by),
        sort: Some(sort),
        limit: Some(LISTED_MAX),
    }
}

/// The range asked for; without a beginning it has so many days, its last one included.
fn days_or(state: &AppState, range: TimeRange, days: u64) -> TimeRange {
    let end = range.to.unwrap_or_else(|| state.clock.now_micros());
    TimeRange {
        from: range
            .from
            .or_else(|| days_before(end, days - 1, state.time_zone)),
        ..range
    }
}
