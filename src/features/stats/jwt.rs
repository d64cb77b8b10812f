//! Whether tokens could be issued: the share of the time in which a token just signed was accepted. Operators' own tokens,
//! and those of every issuer of user tokens.

use actix_web::{get, web};
use serde::Serialize;
use steward_actors::domain::calendar;
use steward_actors::domain::health::history::STEP_US;
use steward_actors::health::{HealthBoard, Report};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::check;
use crate::http::extract::Json;
use crate::http::permission::{Can, ReadStats};
use crate::http::range::{RangeQuery, TimeRange, days_before, rfc3339};
use crate::probes::{ISSUER, JWT};
use crate::state::AppState;

/// Looked at unless asked otherwise.
const DAYS: u64 = 7;
/// As far back as it is known.
const DAYS_MAX: u64 = 30;

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(availability);
}

/// A day.
#[derive(Debug, Serialize, ToSchema)]
struct JwtDay {
    #[schema(format = Date)]
    date: String,
    /// Between 0 and 1; null when nobody looked.
    availability: Option<f64>,
    /// Mean time to sign and read a token back; null when nobody looked.
    latency_ms: Option<f64>,
}

/// Whether tokens could be issued.
#[derive(Debug, Serialize, ToSchema)]
struct JwtAvailability {
    /// `healthy`, `degraded`, `unhealthy` or `unknown`, now.
    status: &'static str,
    /// Over the stretch, between 0 and 1; null when nobody looked.
    availability: Option<f64>,
    /// When it was looked at last.
    last_check: Option<String>,
    /// What is wrong, for people.
    reason: Option<String>,
    from: String,
    to: String,
    /// Days of the stretch, rising.
    items: Vec<JwtDay>,
    /// Issuers of user tokens that can be looked at: not those that share a secret.
    issuers: Vec<JwtIssuerAvailability>,
}

/// Whether an issuer's tokens could be issued here, or its keys be fetched.
#[derive(Debug, Serialize, ToSchema)]
struct JwtIssuerAvailability {
    id: String,
    name: String,
    /// `healthy`, `degraded`, `unhealthy` or `unknown`, now.
    status: &'static str,
    /// Over the stretch, between 0 and 1; null when nobody looked.
    availability: Option<f64>,
    /// Of the latest look.
    latency_ms: Option<u64>,
    last_check: String,
    /// What is wrong, for people.
    reason: Option<String>,
}

fn issuers(board: &HealthBoard, (from, end): (i64, i64), now: i64) -> Vec<JwtIssuerAvailability> {
    let of_issuer = |report: Report| {
        let id = report.component.id.strip_prefix(ISSUER)?.to_owned();
        let history = board.history(&report.component.id, now).unwrap_or_default();
        Some(JwtIssuerAvailability {
            id,
            name: report.component.name,
            status: report.status.as_str(),
            availability: history.sum(from, end).uptime(),
            latency_ms: report.latency_ms,
            last_check: rfc3339(report.checked_at),
            reason: report.reason,
        })
    };
    board
        .reports(now)
        .into_iter()
        .filter_map(of_issuer)
        .collect()
}

/// How much of the time tokens could be issued and were accepted: the last seven days unless asked otherwise, thirty at
/// most, to ten minutes.
#[utoipa::path(tag = "stats", params(RangeQuery), responses((status = 200, body = JwtAvailability)))]
#[get("/stats/jwt-availability")]
async fn availability(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    range: TimeRange,
) -> Result<Json<JwtAvailability>, ApiError> {
    check::whole_installation(&caller)?;
    let now = state.clock.now_micros();
    let zone = state.time_zone;
    let to = range.to.unwrap_or(now).min(now);
    let from = range
        .from
        .or_else(|| days_before(to, DAYS, zone))
        .unwrap_or(to);
    let first = days_before(now, DAYS_MAX, zone).unwrap_or(from);
    let from = from.max(first).min(to);
    let board = &state.tree.health;
    let report = board.report(JWT, now);
    let history = board.history(JWT, now).unwrap_or_default();
    let end = to + STEP_US;
    let mut items = Vec::new();
    let mut day = calendar::day_of(zone, from);
    while day <= to {
        let next = calendar::next_day(zone, day);
        // Steps that lie across midnight count for the day they begin in.
        let sum = history.sum(day.max(from), next.min(end) - STEP_US + 1);
        items.push(JwtDay {
            date: calendar::date_of(zone, day).to_string(),
            availability: sum.uptime(),
            latency_ms: sum.latency_ms(),
        });
        day = next;
    }
    Ok(Json(JwtAvailability {
        status: report
            .as_ref()
            .map_or("unknown", |report| report.status.as_str()),
        availability: history.sum(from, end).uptime(),
        last_check: report.as_ref().map(|report| rfc3339(report.checked_at)),
        reason: report.and_then(|report| report.reason),
        from: rfc3339(from),
        to: rfc3339(to),
        items,
        issuers: issuers(board, (from, end), now),
    }))
}
