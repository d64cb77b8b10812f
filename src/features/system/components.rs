//! Components one by one: status, latency, availability, certificate.

use actix_web::{get, web};
use serde::Serialize;
use steward_actors::domain::health::history::{History, STEP_US};
use steward_actors::domain::health::{Kind, Status};
use steward_actors::health::{HealthBoard, Report};
use steward_entities::health_check;
use utoipa::ToSchema;

use super::ComponentStatus;
use crate::error::ApiError;
use crate::http::check;
use crate::http::extract::Json;
use crate::http::permission::{Can, ReadSupervision};
use crate::http::range::rfc3339;
use crate::state::AppState;

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// Half-hours of a day: the points of a latency line.
const POINTS: usize = 48;
/// Days that are told one by one.
const BARS: usize = 30;
/// Looks of one component that are told.
const LOOKS: u64 = 100;

/// How a component is and was.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ComponentView {
    /// Such as `database` or `account:acc_…`.
    id: String,
    /// An account's own name, otherwise the id without its kind.
    name: String,
    /// `database`, `spool`, `disk`, `uplink`, `account`, `jwt`, `group`, `smtp`, `remote_backup`, `vector_store` or `scheduler`.
    kind: &'static str,
    status: ComponentStatus,
    /// Since when it has that status.
    since: String,
    /// Of the latest look; null where it means nothing.
    latency_ms: Option<u64>,
    /// When it was looked at last.
    last_check: String,
    /// The latest look at which it worked.
    last_success_at: Option<String>,
    /// Failed looks in a row that have not changed the status, or keep it.
    failures: u32,
    /// Stable name of what is wrong.
    code: Option<&'static str>,
    /// What is wrong, for people.
    reason: Option<String>,
    /// The component it stands on.
    parent: Option<String>,
    /// The one of those it stands on that is down: it explains this one.
    inhibited_by: Option<String>,
    certificate_expires_at: Option<String>,
    /// Whole days until then; negative when it is over.
    certificate_days: Option<i64>,
    /// Between 0 and 1; null when nothing is known of the time.
    uptime_24h: Option<f64>,
    uptime_7d: Option<f64>,
    uptime_30d: Option<f64>,
    /// Mean latency of each half-hour of the last 24, oldest first.
    latency: Vec<LatencyPoint>,
    /// The last thirty times 24 hours, oldest first.
    days: Vec<UptimeBar>,
}

/// A mean latency.
#[derive(Debug, Serialize, ToSchema)]
struct LatencyPoint {
    at: String,
    /// Null when there was no look with one.
    ms: Option<f64>,
}

/// A stretch of 24 hours.
#[derive(Debug, Serialize, ToSchema)]
struct UptimeBar {
    from: String,
    /// Between 0 and 1; null when nothing is known of it.
    uptime: Option<f64>,
}

/// Every component.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Components {
    items: Vec<ComponentView>,
    total: usize,
    /// The worst of them.
    status: ComponentStatus,
}

/// One component with its latest looks.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ComponentDetail {
    #[serde(flatten)]
    component: ComponentView,
    /// The latest looks, newest first.
    checks: Vec<ComponentLook>,
}

/// One look.
#[derive(Debug, Serialize, ToSchema)]
struct ComponentLook {
    at: String,
    /// The status after it.
    status: String,
    latency_ms: Option<i64>,
    reason: Option<String>,
}

pub(super) const fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Database => "database",
        Kind::Spool => "spool",
        Kind::Disk => "disk",
        Kind::Uplink => "uplink",
        Kind::Account => "account",
        Kind::Jwt => "jwt",
        Kind::Group => "group",
        Kind::Smtp => "smtp",
        Kind::RemoteBackup => "remote_backup",
        Kind::VectorStore => "vector_store",
        Kind::Scheduler => "scheduler",
    }
}

fn view(board: &HealthBoard, report: Report, now: i64) -> ComponentView {
    let history = board.history(&report.component.id, now).unwrap_or_default();
    let uptime = |days: i64| history.sum(now - days * DAY_US, now + STEP_US).uptime();
    let days_left = |at: i64| (at - now).div_euclid(DAY_US);
    ComponentView {
        kind: kind_word(report.component.kind),
        status: report.status.into(),
        since: rfc3339(report.since),
        latency_ms: report.latency_ms,
        last_check: rfc3339(report.checked_at),
        last_success_at: report.last_success_at.map(rfc3339),
        failures: report.failures,
        code: report.code,
        reason: report.reason,
        inhibited_by: board.inhibited_by(&report.component.id),
        certificate_expires_at: report.certificate_expires_at.map(rfc3339),
        certificate_days: report.certificate_expires_at.map(days_left),
        uptime_24h: uptime(1),
        uptime_7d: uptime(7),
        uptime_30d: uptime(30),
        latency: latency(&history, now),
        days: days(&history, now),
        id: report.component.id,
        name: report.component.name,
        parent: report.component.parent,
    }
}

fn latency(history: &History, now: i64) -> Vec<LatencyPoint> {
    let points = history.stretches(now, POINTS, 3).into_iter();
    points
        .map(|(at, step)| LatencyPoint {
            at: rfc3339(at),
            ms: step.latency_ms(),
        })
        .collect()
}

fn days(history: &History, now: i64) -> Vec<UptimeBar> {
    let bars = history.stretches(now, BARS, 144).into_iter();
    bars.map(|(from, step)| UptimeBar {
        from: rfc3339(from),
        uptime: step.uptime(),
    })
    .collect()
}

/// Every component, by id.
#[utoipa::path(tag = "system", responses((status = 200, body = Components)))]
#[get("/ops/system/components")]
pub(super) async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadSupervision>,
) -> Result<Json<Components>, ApiError> {
    check::whole_installation(&caller)?;
    let now = state.clock.now_micros();
    let board = &state.tree.health;
    let items: Vec<ComponentView> = board
        .reports(now)
        .into_iter()
        .map(|report| view(board, report, now))
        .collect();
    Ok(Json(Components {
        total: items.len(),
        items,
        status: board.worst(now).into(),
    }))
}

/// One component with its latest looks.
#[utoipa::path(tag = "system", responses((status = 200, body = ComponentDetail)))]
#[get("/ops/system/components/{id}")]
pub(super) async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadSupervision>,
    id: web::Path<String>,
) -> Result<Json<ComponentDetail>, ApiError> {
    check::whole_installation(&caller)?;
    let now = state.clock.now_micros();
    let board = &state.tree.health;
    let report = board
        .report(&id, now)
        .ok_or_else(|| ApiError::not_found("component"))?;
    let looks = health_check::latest(&state.databases.events_read, &id, LOOKS).await?;
    Ok(Json(ComponentDetail {
        component: view(board, report, now),
        checks: looks
            .into_iter()
            .map(|look| ComponentLook {
                at: rfc3339(look.at),
                status: look.status,
                latency_ms: look.latency_ms,
                reason: look.reason,
            })
            .collect(),
    }))
}

/// What moves of a component, for whoever listens.
#[derive(Serialize)]
pub(crate) struct LiveComponent {
    id: String,
    name: String,
    kind: &'static str,
    status: &'static str,
    since: String,
    reason: Option<String>,
}

/// How the components are now.
pub(crate) fn live(state: &AppState) -> Vec<LiveComponent> {
    let reports = state.tree.health.reports(state.clock.now_micros());
    reports
        .into_iter()
        .map(|report| LiveComponent {
            kind: kind_word(report.component.kind),
            status: report.status.as_str(),
            since: rfc3339(report.since),
            reason: report.reason.filter(|_| report.status != Status::Healthy),
            id: report.component.id,
            name: report.component.name,
        })
        .collect()
}
