//! Figures of days as they are derived from the log: who was active, how many calls were made; and counting a day anew.

use actix_web::{HttpResponse, get, post, web};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::json;
use steward_actors::domain::calendar;
use steward_actors::ledger_store::recount::RECOUNT;
use steward_entities::ledger::daily;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::change::{Audit, Change};
use crate::http::check;
use crate::http::extract::Json;
use crate::http::job::JobAccepted;
use crate::http::permission::{Can, ReadStats, WriteStats};
use crate::http::range::{RangeQuery, TimeRange, days_before, rfc3339};
use crate::state::AppState;

use super::stretch::Stretch;

const DAY_US: i64 = 24 * 3_600_000_000;

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(daily_active_users)
        .service(ai_requests)
        .service(recount);
}

/// Figures of days, rising. A day without calls has no item.
#[derive(Debug, Serialize, ToSchema)]
struct Days<T: ToSchema> {
    /// Whose days they are.
    time_zone: String,
    /// Calls from before there were daily figures are still being counted: days gone by are told too low.
    is_backfilling: bool,
    items: Vec<T>,
}

/// Who was active on a day.
#[derive(Debug, Serialize, ToSchema)]
struct ActiveUsers {
    #[schema(format = Date)]
    stat_date: String,
    /// Distinct end users, however they came.
    daily_active_users: i64,
    /// Those who were signed in with a JWT.
    jwt_active_users: i64,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// A day's calls.
#[derive(Debug, Serialize, ToSchema)]
struct AiRequests {
    #[schema(format = Date)]
    stat_date: String,
    request_count: i64,
    success_count: i64,
    error_count: i64,
    /// Between 0 and 1; null without calls.
    success_rate: Option<f64>,
    prompt_tokens: i64,
    completion_tokens: i64,
    total_tokens: i64,
    #[schema(format = DateTime)]
    updated_at: String,
    /// When the day was last counted anew from the log; null when it was not.
    #[schema(format = DateTime)]
    recounted_at: Option<String>,
    /// Figures that were off then; 0 is what one wants.
    differences: Option<i64>,
}

/// Active end users of each day, those with a JWT apart: the last 30 days unless asked otherwise.
///
/// A day's figure is brought up to date every few minutes while it lasts.
#[utoipa::path(tag = "stats", params(RangeQuery), responses((status = 200, body = Days<ActiveUsers>)))]
#[get("/stats/daily-active-users")]
async fn daily_active_users(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    range: TimeRange,
) -> Result<Json<Days<ActiveUsers>>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.ledger_read;
    let found = daily::user_activity(read, days(&state, range)?).await?;
    let items = found.into_iter().map(|day| ActiveUsers {
        stat_date: day.stat_date,
        daily_active_users: day.daily_active_users,
        jwt_active_users: day.jwt_active_users,
        updated_at: rfc3339(day.updated_at),
    });
    told(&state, items.collect()).await
}

/// Calls of each day: the last 30 days unless asked otherwise.
#[utoipa::path(tag = "stats", params(RangeQuery), responses((status = 200, body = Days<AiRequests>)))]
#[get("/stats/ai-requests")]
async fn ai_requests(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    range: TimeRange,
) -> Result<Json<Days<AiRequests>>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.ledger_read;
    let found = daily::ai_requests(read, days(&state, range)?).await?;
    let items = found.into_iter().map(|day| AiRequests {
        success_rate: super::view::share(day.success_count, day.request_count),
        stat_date: day.stat_date,
        request_count: day.request_count,
        success_count: day.success_count,
        error_count: day.error_count,
        prompt_tokens: day.prompt_tokens,
        completion_tokens: day.completion_tokens,
        total_tokens: day.total_tokens,
        updated_at: rfc3339(day.updated_at),
        recounted_at: day.recounted_at.map(rfc3339),
        differences: day.differences,
    });
    told(&state, items.collect()).await
}

/// The whole days of a range; 30 of them unless it says.
fn days(state: &AppState, range: TimeRange) -> Result<(i64, i64), ApiError> {
    let now = state.clock.now_micros();
    let range = TimeRange {
        from: range
            .from
            .or_else(|| days_before(range.to.unwrap_or(now), 30, state.time_zone)),
        ..range
    };
    let days = Stretch::asked(range, now)?.days(state.time_zone);
    Ok((days.from, days.to))
}

async fn told<T: ToSchema>(state: &AppState, items: Vec<T>) -> Result<Json<Days<T>>, ApiError> {
    Ok(Json(Days {
        time_zone: state.time_zone.name().to_owned(),
        is_backfilling: daily::is_backfilling(&state.databases.ledger_read).await?,
        items,
    }))
}

/// Calls made before are removed from the log, or about to be; `None`: they stay for ever.
pub(super) fn forgotten_before(state: &AppState) -> Option<i64> {
    let days = state.settings.load().retention.request_logs_days;
    (days > 0).then(|| state.clock.now_micros() - i64::from(days) * DAY_US)
}

/// Which day to count anew.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RecountRequest {
    /// A day gone by, of the installation's time zone.
    #[schema(format = Date, example = "2026-01-31")]
    date: String,
}

/// Counts a day's calls anew from the log and tells every figure of a rollup that differs, as a job.
#[utoipa::path(tag = "stats", responses((status = 202, body = JobAccepted)))]
#[post("/stats/recount")]
async fn recount(
    state: web::Data<AppState>,
    caller: Can<WriteStats>,
    Json(request): Json<RecountRequest>,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let date: NaiveDate = request
        .date
        .parse()
        .map_err(|_| ApiError::invalid("date", "must be a day like 2026-01-31"))?;
    let today = calendar::date_of(state.time_zone, state.clock.now_micros());
    if date >= today {
        return Err(ApiError::invalid("date", "must lie before today"));
    }
    // Figures outlive the calls they were counted from; counted anew without them, every one would seem wrong.
    if let Some(cutoff) = forgotten_before(&state)
        && date <= calendar::date_of(state.time_zone, cutoff)
    {
        return Err(ApiError::invalid(
            "date",
            "must be a day whose calls are all still in the log (retention.request_logs_days)",
        ));
    }
    let change = Change::begin(&state, &caller).await?;
    let params = json!({"date": date.to_string()});
    let row = change.queue(RECOUNT, params).await?;
    let audit = Audit::of("stats.recount", "job", &row.public_id).with("date", date);
    change.queued(audit, row).await
}
