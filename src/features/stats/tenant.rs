//! One tenant in numbers, under the operations center's names: its people, knowledge, conversations, feedback and calls.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/ops/tenants/{id}/stats` | `read:tenants`, `read:stats` |
//!
//! What the tenant *is* (name, status, budgets) is the tenants' own; here is only what is counted.

use actix_web::{get, web};
use chrono::Days;
use serde::Serialize;
use steward_actors::domain::calendar;
use steward_entities::scope::Scope;
use steward_entities::{feedback, operator, qa_pair, role, tenant};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::extract::{Json, Query};
use crate::http::permission::{Can, ReadStats, ReadTenants};
use crate::http::range::TimeRange;
use crate::state::AppState;

use super::conversations::{DayCount, of_days};
use super::view::{Counted, Numbers};
use super::which::Which;
use super::{By, CostQuery, Course, course};

/// Days of the trend, today included.
const DAYS: u64 = 30;
const WEEK_DAYS: usize = 7;

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(stats);
}

/// A tenant in numbers. Days are those of `time_zone`; a month is thirty of them, today included.
#[derive(Debug, Serialize, ToSchema)]
struct TenantStats {
    /// People who belong to it.
    total_users: u64,
    /// Those with the role `tenant_admin`.
    admin_count: u64,
    /// Those with the role `tenant_staff`.
    staff_count: u64,
    /// Questions and answers of its knowledge.
    total_qa_pairs: i64,
    /// Those that the vector store has as they are.
    synced_qa_pairs: i64,
    /// Between 0 and 1, of the pairs that were judged; null while none was.
    avg_quality_score: Option<f64>,
    /// Distinct conversations since midnight, where calls carry an id, and each call that carries none; counted every
    /// minute or so.
    conversations_today: i64,
    /// Those of the last seven days, today included, added up: a conversation is counted on each of its days.
    conversations_week: i64,
    /// Those of the last thirty days.
    conversations_month: i64,
    /// Mean duration of the month's calls; null without calls.
    avg_response_time_ms: Option<f64>,
    api_calls_today: i64,
    api_calls_month: i64,
    /// Of the month's calls, between 0 and 1; null without calls.
    success_rate: Option<f64>,
    total_tokens_month: i64,
    /// A decimal; null when nothing had a price.
    estimated_cost_today: Option<String>,
    /// A decimal; null when nothing had a price.
    estimated_cost_month: Option<String>,
    /// `USD` or `CNY`.
    currency: &'static str,
    /// The month's calls that used tokens and had no price: they are not in the costs.
    unpriced_count: i64,
    total_feedbacks: i64,
    /// Feedback nobody has dealt with.
    pending_feedbacks: i64,
    /// Share of approved feedback in what was approved or rejected, between 0 and 1; null while nothing was.
    feedback_approval_rate: Option<f64>,
    /// Whose days are told.
    time_zone: String,
    /// Earlier calls are still being counted, after an upgrade or a change of `stats.time_zone`: what lies behind is told
    /// too low.
    is_backfilling: bool,
    /// The month's days, rising, without gaps.
    trend: Vec<TenantDay>,
}

/// A day of a tenant.
#[derive(Debug, Serialize, ToSchema)]
struct TenantDay {
    #[schema(format = Date)]
    date: String,
    /// Distinct conversations, where calls carry an id, and calls that carry none.
    conversations: i64,
    /// The distinct conversations among them.
    conversations_with_id: i64,
    api_calls: i64,
    error_count: i64,
    /// Mean duration of the day's calls; null without calls.
    avg_response_time_ms: Option<f64>,
    total_tokens: i64,
    /// A decimal; null when nothing had a price.
    cost: Option<String>,
}

/// A tenant in numbers: now, today, and over thirty days.
#[utoipa::path(tag = "tenants", params(CostQuery), responses((status = 200, body = TenantStats)))]
#[get("/ops/tenants/{id}/stats")]
async fn stats(
    state: web::Data<AppState>,
    caller: Can<ReadTenants>,
    _numbers: Can<ReadStats>,
    id: web::Path<String>,
    money: Query<CostQuery>,
) -> Result<Json<TenantStats>, ApiError> {
    let control = &state.databases.control_read;
    let row = tenant::by_public_id(control, caller.operator.scope(), &id)
        .await?
        .ok_or_else(|| ApiError::not_found("tenant"))?;
    let own = Scope::Tenant(row.id);
    let people = operator::by_role(control, own).await?;
    let holding = |role: &str| people.get(role).copied().unwrap_or_default();
    let pairs = qa_pair::sums(control, own, &qa_pair::Filter::default()).await?;
    let given = feedback::sums(control, own, &feedback::Filter::default()).await?;

    let shown = money.0.shown(&state);
    let month = month(&state, own).await?;
    let between = (month.starts.first().copied().unwrap_or(month.to), month.to);
    let talks = of_days(&state, between, Some(&[row.id][..])).await?;
    let talked = |at: &i64| talks.get(at).copied().unwrap_or_default();
    let lately = |days: usize| -> i64 {
        let latest = month.starts.iter().rev().take(days);
        latest.map(|at| talked(at).all()).sum()
    };
    let all = Numbers::of(&sum(&month), &shown);
    let trend: Vec<TenantDay> = month
        .starts
        .iter()
        .zip(&month.buckets)
        .map(|(at, counted)| {
            let date = calendar::date_of(state.time_zone, *at).to_string();
            TenantDay::of(date, talked(at), Numbers::of(counted, &shown))
        })
        .collect();
    let today = trend.last();
    Ok(Json(TenantStats {
        total_users: people.values().sum(),
        admin_count: holding(role::TENANT_ADMIN),
        staff_count: holding(role::TENANT_STAFF),
        total_qa_pairs: pairs.total,
        synced_qa_pairs: pairs.synced,
        avg_quality_score: pairs.avg_quality,
        conversations_today: lately(1),
        conversations_week: lately(WEEK_DAYS),
        conversations_month: lately(month.starts.len()),
        avg_response_time_ms: all.avg_duration_ms,
        api_calls_today: today.map_or(0, |day| day.api_calls),
        api_calls_month: all.request_count,
        success_rate: all.success_rate,
        total_tokens_month: all.total_tokens,
        estimated_cost_today: today.and_then(|day| day.cost.clone()),
        estimated_cost_month: all.cost,
        currency: all.currency,
        unpriced_count: all.unpriced_count,
        total_feedbacks: given.total,
        pending_feedbacks: given.pending,
        feedback_approval_rate: share(given.approved, given.approved + given.rejected),
        time_zone: state.time_zone.name().to_owned(),
        is_backfilling: month.is_backfilling,
        trend,
    }))
}

impl TenantDay {
    fn of(date: String, talks: DayCount, numbers: Numbers) -> Self {
        Self {
            date,
            conversations: talks.all(),
            conversations_with_id: talks.with_id,
            api_calls: numbers.request_count,
            error_count: numbers.error_count,
            avg_response_time_ms: numbers.avg_duration_ms,
            total_tokens: numbers.total_tokens,
            cost: numbers.cost,
        }
    }
}

/// The last [`DAYS`] of the tenant that `own` is.
async fn month(state: &AppState, own: Scope) -> Result<Course, ApiError> {
    let (zone, now) = (state.time_zone, state.clock.now_micros());
    let today = calendar::date_of(zone, now);
    let first = today.checked_sub_days(Days::new(DAYS - 1)).unwrap_or(today);
    let range = TimeRange {
        from: Some(calendar::start_of(zone, first)),
        to: Some(calendar::next_day(zone, now)),
    };
    course(state, own, Which::default(), By::Day, range).await
}

/// All days of a course together; each of them has charges and an exchange rate of its own.
fn sum(course: &Course) -> Counted {
    let mut sum = Counted::default();
    for (at, counted) in course.starts.iter().zip(&course.buckets) {
        sum.add(*at, &counted.measures);
    }
    sum
}

fn share(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
