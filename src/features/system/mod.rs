//! The system as operators see it: whether its components are well, what it runs on, and two things to do about it.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/ops/system/status` | `read:supervision` |
//! | GET | `/ops/system/components` | `read:supervision` |
//! | GET | `/ops/system/components/{id}` | `read:supervision` |
//! | GET | `/ops/system/env` | `read:supervision` |
//! | POST | `/ops/system/restart-scheduler` | `write:supervision` |
//! | POST | `/ops/system/clear-cache` | `write:supervision` |
//! | GET | `/llm/monitor/status` | `read:accounts` |
//!
//! Statuses come from the board that `health_prober` fills: nothing is looked at because somebody asks.

mod care;
mod components;
mod env;
mod monitor;

use std::collections::BTreeMap;

use actix_web::{get, web};
use serde::Serialize;
use steward_actors::domain::health::Status;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::check;
use crate::http::extract::Json;
use crate::http::permission::{Can, ReadSupervision};
use crate::http::range::rfc3339;
use crate::state::AppState;

pub(crate) use components::{LiveComponent, live};

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(overall)
        .service(components::list)
        .service(components::show)
        .service(env::environment)
        .service(care::restart_scheduler)
        .service(care::clear_cache)
        .service(monitor::connectivity);
}

/// How a component is.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ComponentStatus {
    Healthy,
    /// It works, and something is wrong with it.
    Degraded,
    Unhealthy,
    /// Nobody can say.
    Unknown,
}

impl From<Status> for ComponentStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Healthy => Self::Healthy,
            Status::Degraded => Self::Degraded,
            Status::Unhealthy => Self::Unhealthy,
            Status::Unknown => Self::Unknown,
        }
    }
}

/// How the whole is.
#[derive(Debug, Serialize, ToSchema)]
struct SystemStatus {
    /// The worst of the components; `unknown` only while nothing was looked at.
    status: ComponentStatus,
    /// By component.
    components: BTreeMap<String, ComponentStatus>,
    healthy: u64,
    degraded: u64,
    unhealthy: u64,
    unknown: u64,
    version: &'static str,
    /// 0 to 255.
    node: u8,
    started_at: String,
    uptime_seconds: i64,
    /// It is shutting down.
    draining: bool,
}

/// How the whole is.
#[utoipa::path(tag = "system", responses((status = 200, body = SystemStatus)))]
#[get("/ops/system/status")]
async fn overall(
    state: web::Data<AppState>,
    caller: Can<ReadSupervision>,
) -> Result<Json<SystemStatus>, ApiError> {
    check::whole_installation(&caller)?;
    let now = state.clock.now_micros();
    let reports = state.tree.health.reports(now);
    let many = |status| {
        reports
            .iter()
            .filter(|report| report.status == status)
            .count() as u64
    };
    Ok(Json(SystemStatus {
        status: state.tree.health.worst(now).into(),
        healthy: many(Status::Healthy),
        degraded: many(Status::Degraded),
        unhealthy: many(Status::Unhealthy),
        unknown: many(Status::Unknown),
        components: reports
            .into_iter()
            .map(|report| (report.component.id, report.status.into()))
            .collect(),
        version: env!("CARGO_PKG_VERSION"),
        node: state.config.node.id,
        started_at: rfc3339(state.started_at),
        uptime_seconds: (now - state.started_at).max(0) / 1_000_000,
        draining: state.is_draining(),
    }))
}

#[cfg(test)]
mod tests;
