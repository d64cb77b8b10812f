//! Connectivity of every account, as document A's dashboard asks for it.

use actix_web::{get, web};
use serde::Serialize;
use steward_actors::domain::health::Status;
use steward_actors::domain::health::history::STEP_US;
use utoipa::ToSchema;

use super::ComponentStatus;
use crate::error::ApiError;
use crate::http::check;
use crate::http::extract::Json;
use crate::http::permission::{Can, ReadAccounts};
use crate::http::range::rfc3339;
use crate::state::AppState;

const DAY_US: i64 = 24 * 3_600_000_000;

/// How an account's provider is reached.
#[derive(Debug, Serialize, ToSchema)]
struct Connectivity {
    account_id: String,
    name: String,
    provider: String,
    /// `openai` or `anthropic`.
    protocol: &'static str,
    enabled: bool,
    state: ComponentStatus,
    /// Since when; null when it is not looked at.
    since: Option<String>,
    latency_ms: Option<u64>,
    last_check: Option<String>,
    /// The latest look at which it worked.
    last_success: Option<String>,
    /// Between 0 and 1; null when nothing is known.
    uptime_24h: Option<f64>,
    /// What is wrong, for people.
    reason: Option<String>,
    /// Calls since this process began, as far as the account is to blame.
    calls_answered: u64,
    calls_failed: u64,
}

/// Connectivity of all accounts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MonitorStatus {
    /// The worst of the enabled ones.
    status: ComponentStatus,
    /// Enabled accounts that work, by enabled accounts of which it is known; null without one.
    connectivity: Option<f64>,
    items: Vec<Connectivity>,
    total: usize,
}

/// Connectivity of every account. No provider is asked because somebody asks this.
#[utoipa::path(tag = "system", responses((status = 200, body = MonitorStatus)))]
#[get("/llm/monitor/status")]
pub(super) async fn connectivity(
    state: web::Data<AppState>,
    caller: Can<ReadAccounts>,
) -> Result<Json<MonitorStatus>, ApiError> {
    check::whole_installation(&caller)?;
    let now = state.clock.now_micros();
    let board = &state.tree.health;
    let snapshot = state.snapshot.load_full();
    let mut seen = Vec::new();
    let mut items = Vec::new();
    for account in &snapshot.accounts {
        let id = format!("account:{}", account.public_id);
        let report = board.report(&id, now).filter(|_| account.enabled);
        let status = report
            .as_ref()
            .map_or(Status::Unknown, |report| report.status);
        if account.enabled {
            seen.push(status);
        }
        let history = board.history(&id, now).filter(|_| account.enabled);
        let traffic = state.gateway.accounts().traffic(account.id);
        items.push(Connectivity {
            account_id: account.public_id.clone(),
            name: account.name.clone(),
            provider: account.provider.clone(),
            protocol: account.protocol.as_str(),
            enabled: account.enabled,
            state: status.into(),
            since: report.as_ref().map(|report| rfc3339(report.since)),
            latency_ms: report.as_ref().and_then(|report| report.latency_ms),
            last_check: report.as_ref().map(|report| rfc3339(report.checked_at)),
            last_success: report
                .as_ref()
                .and_then(|report| report.last_success_at.map(rfc3339)),
            uptime_24h: history
                .and_then(|history| history.sum(now - DAY_US, now + STEP_US).uptime()),
            reason: report.and_then(|report| report.reason),
            calls_answered: traffic.answered,
            calls_failed: traffic.failed,
        });
    }
    let known = seen
        .iter()
        .filter(|status| **status != Status::Unknown)
        .count();
    let up = seen.iter().filter(|status| status.is_up()).count();
    let worst = [Status::Unhealthy, Status::Degraded, Status::Healthy]
        .into_iter()
        .find(|status| seen.contains(status))
        .unwrap_or_default();
    Ok(Json(MonitorStatus {
        status: worst.into(),
        connectivity: (known > 0).then(|| up as f64 / known as f64),
        total: items.len(),
        items,
    }))
}
