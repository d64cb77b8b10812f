//! What orchestrators ask: does the process live, may it be sent requests, how is it, and its numbers.
//!
//! | method | path | who |
//! |---|---|---|
//! | GET, HEAD | `/livez` | anybody |
//! | GET, HEAD | `/readyz` | anybody |
//! | GET, HEAD | `/health` | anybody; details from loopback only, unless the configuration opens them |
//! | GET, HEAD | `/metrics` | loopback only, unless the configuration opens it |
//!
//! Nothing here is kept: every answer is read from the parts at that moment.

mod metrics;

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, route, web};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde::Serialize;
use steward_actors::domain::health::{Kind, Status};
use steward_actors::health::Report;
use steward_actors::spool::Admission;
use steward_actors::supervision::{NodeKind, State};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::problem::Problem;
use crate::error::{ApiError, ErrorCode};
use crate::http::extract::peer_ip;
use crate::http::range::rfc3339;
use crate::state::AppState;

/// How long a database may take to answer a question about its health.
const DATABASE_WITHIN: Duration = Duration::from_secs(2);
/// Headers that say the connection's peer is not the client.
const FORWARDED: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(livez)
        .service(readyz)
        .service(health)
        .service(numbers);
}

/// Whether the process lives.
#[derive(Debug, Serialize, ToSchema)]
struct Liveness {
    /// `pass`.
    status: &'static str,
}

/// Whether the process may be sent requests.
#[derive(Debug, Serialize, ToSchema)]
struct Readiness {
    /// `ready` or `not_ready`.
    status: &'static str,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// How a part is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Pass,
    Warn,
    Fail,
}

/// How the process is, as `application/health+json`.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// The worst of the checks.
    status: Verdict,
    /// The version of Steward; with the checks only.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    /// By part: `database`, `spool`, `disk`, `supervision`, and what is looked at now and then: `accounts`, `uplink`, `jwt` …
    /// Left out for those who may not see them.
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<BTreeMap<&'static str, Vec<Check>>>,
}

/// How one part is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Check {
    /// Which one, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    component_id: Option<String>,
    status: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_value: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_unit: Option<&'static str>,
    /// What is wrong, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    time: String,
}

/// Whether the process lives.
#[utoipa::path(tag = "operations", responses((status = 200, body = Liveness)))]
#[route("/livez", method = "GET", method = "HEAD")]
async fn livez() -> HttpResponse {
    HttpResponse::Ok().json(Liveness { status: "pass" })
}

/// Whether the process may be sent requests: not while it shuts down, and not while the books can take no
/// further record. A database that is down for a while is no reason: records wait in the spool.
#[utoipa::path(tag = "operations", responses(
    (status = 200, body = Readiness),
    (status = 503, body = Readiness, description = "Send requests elsewhere."),
))]
#[route("/readyz", method = "GET", method = "HEAD")]
async fn readyz(state: web::Data<AppState>) -> HttpResponse {
    let reason = if state.is_draining() {
        Some("shutting down")
    } else if let Admission::Refuse(_) = state.spool.admits() {
        Some("the books are full")
    } else {
        None
    };
    match reason {
        None => HttpResponse::Ok().json(Readiness {
            status: "ready",
            reason,
        }),
        Some(_) => HttpResponse::ServiceUnavailable().json(Readiness {
            status: "not_ready",
            reason,
        }),
    }
}

/// How the process is. 503 when a part it cannot do without fails.
#[utoipa::path(tag = "operations", responses(
    (status = 200, body = Health, content_type = "application/health+json"),
    (status = 503, body = Health, content_type = "application/health+json", description = "A part fails."),
))]
#[route("/health", method = "GET", method = "HEAD")]
async fn health(request: HttpRequest, state: web::Data<AppState>) -> HttpResponse {
    let checks = checks(&state).await;
    let worst = checks
        .values()
        .flatten()
        .map(|check| check.status)
        .max()
        .unwrap_or(Verdict::Pass);
    let open = state.config.operations.health_details_public || is_local(&request);
    let health = Health {
        status: worst,
        version: open.then_some(env!("CARGO_PKG_VERSION")),
        checks: open.then_some(checks),
    };
    let status = match worst {
        Verdict::Fail => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    let body = serde_json::to_vec(&health).unwrap_or_default();
    HttpResponse::build(status)
        .content_type("application/health+json")
        .body(body)
}

/// Numbers of this process, in the OpenMetrics text format.
#[utoipa::path(tag = "operations", responses(
    (status = 200, body = String, content_type = "application/openmetrics-text"),
    (status = 403, body = Problem, content_type = "application/problem+json", description = "Not from here."),
))]
#[route("/metrics", method = "GET", method = "HEAD")]
async fn numbers(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    if !state.config.operations.metrics_public && !is_local(&request) {
        return Err(ApiError::new(ErrorCode::Forbidden)
            .detail("Metrics are for loopback only unless `operations.metrics_public` is set."));
    }
    let text = metrics::text(&state).map_err(ApiError::internal)?;
    Ok(HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(text))
}

/// Whether the request was made on this machine, not through a proxy on it.
fn is_local(request: &HttpRequest) -> bool {
    let forwarded = |name: &&str| request.headers().contains_key(*name);
    peer_ip(request).is_loopback() && !FORWARDED.iter().any(forwarded)
}

async fn checks(state: &AppState) -> BTreeMap<&'static str, Vec<Check>> {
    let now = rfc3339(state.clock.now_micros());
    let check = |component: Option<&str>, status, output: Option<String>| Check {
        component_id: component.map(str::to_owned),
        status,
        observed_value: None,
        observed_unit: None,
        output,
        time: now.clone(),
    };
    let databases = &state.databases;
    let mut database = Vec::new();
    for (name, connection) in [
        ("control", &databases.control_read),
        ("ledger", &databases.ledger_read),
    ] {
        // The process goes on without them for a while: what it needs is in memory and in the spool.
        database.push(match answers(connection).await {
            true => check(Some(name), Verdict::Pass, None),
            false => check(
                Some(name),
                Verdict::Warn,
                Some("It does not answer.".to_owned()),
            ),
        });
    }
    let writer = state.tree.ledger_condition().borrow().clone();
    if let Some(since) = writer.unavailable_since {
        let output = format!("The ledger takes no records since {}.", rfc3339(since));
        database.push(check(Some("ledger_writer"), Verdict::Warn, Some(output)));
    }
    let condition = state.tree.snapshot_condition.load();
    if let Some(since) = condition.unreadable_since {
        let output = format!(
            "The control tables cannot be read since {}.",
            rfc3339(since)
        );
        database.push(check(Some("snapshot"), Verdict::Warn, Some(output)));
    }

    let stats = state.spool.stats();
    let spool = match state.spool.admits() {
        Admission::Refuse(_) => check(
            None,
            Verdict::Fail,
            Some("It takes no further record; calls are refused.".to_owned()),
        ),
        Admission::Open if !state.spool.ledger().balances() => check(
            None,
            Verdict::Warn,
            Some("The books do not balance.".to_owned()),
        ),
        Admission::Open => check(None, Verdict::Pass, None),
    };
    let spool = Check {
        observed_value: Some(stats.spooled),
        observed_unit: Some("records"),
        ..spool
    };
    let floor = state.config.spool.min_free_bytes;
    let disk = Check {
        observed_value: Some(stats.free_bytes),
        observed_unit: Some("bytes"),
        ..if stats.free_bytes < floor.saturating_mul(2) && stats.free_bytes > 0 {
            let output = format!("Little is free; at {floor} bytes the books count as full.");
            check(None, Verdict::Warn, Some(output))
        } else {
            check(None, Verdict::Pass, None)
        }
    };
    let tree = state.tree.supervisor.tree_now();
    let down: Vec<Check> = tree
        .walk()
        .into_iter()
        .filter(|node| node.kind == NodeKind::Actor)
        .filter(|node| {
            matches!(
                node.state,
                State::BackingOff | State::Failed | State::Stopped
            )
        })
        .map(|node| {
            let reason = node.last_exit.as_ref().map_or("", |exit| exit.reason);
            let output = format!("It is down ({reason}).");
            check(Some(&node.id), Verdict::Warn, Some(output))
        })
        .collect();
    let supervision = match down.is_empty() {
        true => vec![check(None, Verdict::Pass, None)],
        false => down,
    };
    let mut checks = BTreeMap::from([
        ("database", database),
        ("spool", vec![spool]),
        ("disk", vec![disk]),
        ("supervision", supervision),
    ]);
    for report in state.tree.health.reports(state.clock.now_micros()) {
        if let Some(part) = part_of(report.component.kind) {
            checks.entry(part).or_default().push(looked_at(report));
        }
    }
    checks
}

/// Where a component is told that is looked at now and then; the others were just asked.
fn part_of(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Database | Kind::Spool | Kind::Disk | Kind::Group => None,
        Kind::Uplink => Some("uplink"),
        Kind::Account => Some("accounts"),
        Kind::Jwt => Some("jwt"),
        Kind::Smtp => Some("smtp"),
        Kind::RemoteBackup => Some("remote_backup"),
        Kind::VectorStore => Some("vector_store"),
        Kind::Scheduler => Some("scheduler"),
    }
}

/// The process serves without any of them: the worst they come to is a warning.
fn looked_at(report: Report) -> Check {
    Check {
        component_id: Some(report.component.id),
        status: match report.status {
            Status::Healthy | Status::Unknown => Verdict::Pass,
            Status::Degraded | Status::Unhealthy => Verdict::Warn,
        },
        observed_value: report.latency_ms,
        observed_unit: report.latency_ms.map(|_| "ms"),
        output: report.reason.filter(|_| report.status != Status::Healthy),
        time: rfc3339(report.checked_at),
    }
}

async fn answers(connection: &DatabaseConnection) -> bool {
    let asked = connection.execute_unprepared("SELECT 1");
    matches!(
        tokio::time::timeout(DATABASE_WITHIN, asked).await,
        Ok(Ok(_))
    )
}

#[cfg(test)]
mod tests;
