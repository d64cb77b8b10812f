//! Incidents: what fires, what fired, and looking after it.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::{get, post, web};
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use steward_actors::alert_book;
use steward_actors::domain::alert::rule::Severity;
use steward_actors::tree::watch::alert_evaluator::inhibited_by;
use steward_entities::{alert, alert_rule, alert_series, alert_transition};
use utoipa::{IntoParams, ToSchema};

use super::{console_url, tell};
use crate::error::ApiError;
use crate::http::change::{Audit, Change};
use crate::http::check;
use crate::http::extract::{Json, Query};
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadAlerts, WriteAlerts};
use crate::http::range::rfc3339;
use crate::state::AppState;

/// An incident.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertShown {
    id: String,
    /// `firing`, `acknowledged` or `resolved`.
    status: &'static str,
    /// The rule's id and, as it was when it fired, its name.
    rule_id: String,
    rule: String,
    severity: String,
    labels: BTreeMap<String, String>,
    condition: String,
    /// What was measured when it fired.
    value: String,
    /// When the breach began.
    active_at: String,
    fired_at: String,
    acknowledged_at: Option<String>,
    acknowledged_by: Option<String>,
    resolved_at: Option<String>,
    /// Null when it cleared by itself.
    resolved_by: Option<String>,
    /// What this component stands on and the same rule finds down: while it is, nobody is told of this one. Null when there
    /// is none, or it is over.
    inhibited_by: Option<String>,
}

impl From<alert::Model> for AlertShown {
    fn from(row: alert::Model) -> Self {
        Self {
            id: row.public_id,
            status: match (row.resolved_at, row.acknowledged_at) {
                (Some(_), _) => "resolved",
                (None, Some(_)) => "acknowledged",
                (None, None) => "firing",
            },
            rule_id: row.rule_id,
            rule: row.rule,
            severity: row.severity,
            labels: row.labels.0,
            condition: row.condition,
            value: row.value,
            active_at: rfc3339(row.active_at),
            fired_at: rfc3339(row.fired_at),
            acknowledged_at: row.acknowledged_at.map(rfc3339),
            acknowledged_by: row.acknowledged_by,
            resolved_at: row.resolved_at.map(rfc3339),
            resolved_by: row.resolved_by,
            inhibited_by: None,
        }
    }
}

/// Which components each rule finds down, and what stands on what.
struct Below {
    parents: BTreeMap<String, String>,
    /// Public id of the rule, and the component.
    breached: BTreeSet<(String, String)>,
}

impl Below {
    async fn read(state: &AppState) -> Result<Self, ApiError> {
        let read = &state.databases.control_read;
        let rules = alert_rule::all(read).await?;
        let open = alert_series::active(read).await?;
        let down = open
            .into_iter()
            .filter(|series| series.value == "unhealthy");
        let breached = down.filter_map(|series| {
            let rule = rules.iter().find(|rule| rule.id == series.rule_id)?;
            let component = series.labels.0.get("component")?.clone();
            Some((rule.public_id.clone(), component))
        });
        Ok(Self {
            parents: state.tree.health.parents(),
            breached: breached.collect(),
        })
    }

    fn shown(&self, row: alert::Model) -> AlertShown {
        let mut shown = AlertShown::from(row);
        if shown.resolved_at.is_none()
            && let Some(component) = shown.labels.get("component")
        {
            let is_breached = |above: &str| {
                let key = (shown.rule_id.clone(), above.to_owned());
                self.breached.contains(&key)
            };
            let below = inhibited_by(&self.parents, component, is_breached);
            shown.inhibited_by = below.map(str::to_owned);
        }
        shown
    }
}

/// A step of an incident.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertStep {
    /// `fired`, `resolved`, `acknowledged`, `repeated` or `flapping`.
    event: String,
    at: String,
    value: String,
    /// Name of the operator, when one did it.
    operator: Option<String>,
    /// Whether a channel was told: not in a silence, not while it flaps, and not where there is none.
    told: bool,
}

/// An incident and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertDetail {
    #[serde(flatten)]
    alert: AlertShown,
    steps: Vec<AlertStep>,
}

/// Which incidents.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AlertQuery {
    /// `info`, `warning`, `error` or `critical`.
    severity: Option<String>,
    /// The rule's id.
    rule_id: Option<String>,
}

impl AlertQuery {
    fn filter(self, open: Option<bool>) -> Result<alert::Filter, ApiError> {
        if let Some(severity) = &self.severity
            && Severity::parse(severity).is_none()
        {
            let why = "must be info, warning, error or critical";
            return Err(ApiError::invalid("severity", why.to_owned()));
        }
        Ok(alert::Filter {
            open,
            severity: self.severity,
            rule_id: self.rule_id,
            ..alert::Filter::default()
        })
    }
}

async fn page_of(
    state: &AppState,
    filter: alert::Filter,
    page: PageRequest,
) -> Result<Json<Page<AlertShown>>, ApiError> {
    let read = &state.databases.control_read;
    let rows = alert::list(read, &filter, page.rows()?).await?;
    let total = alert::count(read, &filter).await?;
    let below = Below::read(state).await?;
    let key = |row: &alert::Model| row.id;
    Ok(Json(Page::of(rows, &page, Some(total), key, |row| {
        below.shown(row)
    })))
}

/// Incidents that fire, newest first.
#[utoipa::path(tag = "alerts", params(AlertQuery, PageQuery), responses((status = 200, body = Page<AlertShown>)))]
#[get("/ops/alerts/active")]
pub(super) async fn active(
    state: web::Data<AppState>,
    caller: Can<ReadAlerts>,
    Query(query): Query<AlertQuery>,
    page: PageRequest,
) -> Result<Json<Page<AlertShown>>, ApiError> {
    check::whole_installation(&caller)?;
    page_of(&state, query.filter(Some(true))?, page).await
}

/// Every incident, those that fire included, newest first.
#[utoipa::path(tag = "alerts", params(AlertQuery, PageQuery), responses((status = 200, body = Page<AlertShown>)))]
#[get("/ops/alerts/history")]
pub(super) async fn history(
    state: web::Data<AppState>,
    caller: Can<ReadAlerts>,
    Query(query): Query<AlertQuery>,
    page: PageRequest,
) -> Result<Json<Page<AlertShown>>, ApiError> {
    check::whole_installation(&caller)?;
    page_of(&state, query.filter(None)?, page).await
}

/// One incident, and what became of it.
#[utoipa::path(tag = "alerts", responses((status = 200, body = AlertDetail)))]
#[get("/ops/alerts/{id}")]
pub(super) async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadAlerts>,
    id: web::Path<String>,
) -> Result<Json<AlertDetail>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let row = find(read, &id).await?;
    let steps = alert_transition::of_alert(read, row.id).await?;
    let steps = steps.into_iter().map(|step| AlertStep {
        event: step.event,
        at: rfc3339(step.at),
        value: step.value,
        operator: step.operator,
        told: step.told,
    });
    Ok(Json(AlertDetail {
        alert: Below::read(&state).await?.shown(row),
        steps: steps.collect(),
    }))
}

/// Says that somebody looks after it: no reminders from now on. Doing it again changes nothing.
#[utoipa::path(tag = "alerts", responses((status = 200, body = AlertShown)))]
#[post("/ops/alerts/{id}/acknowledge")]
pub(super) async fn acknowledge(
    state: web::Data<AppState>,
    caller: Can<WriteAlerts>,
    id: web::Path<String>,
) -> Result<Json<AlertShown>, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, &id).await?;
    if row.resolved_at.is_some() || row.acknowledged_at.is_some() {
        return Ok(Json(row.into()));
    }
    let (by, now) = (&caller.operator.username, change.now);
    let (changed, settled) =
        alert_book::acknowledge(&change, &row, by, console_url(&state), now).await?;
    let audit = Audit::of("alerts.acknowledge", "alert", &row.public_id).with("rule", &row.rule);
    change.commit(audit).await?;
    tell(&state, &settled);
    Ok(Json(changed.into()))
}

/// Ends it by hand. A breach that goes on is a new incident. Doing it again changes nothing.
#[utoipa::path(tag = "alerts", responses((status = 200, body = AlertShown)))]
#[post("/ops/alerts/{id}/resolve")]
pub(super) async fn resolve(
    state: web::Data<AppState>,
    caller: Can<WriteAlerts>,
    id: web::Path<String>,
) -> Result<Json<AlertShown>, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, &id).await?;
    if row.resolved_at.is_some() {
        return Ok(Json(row.into()));
    }
    let (by, now) = (&caller.operator.username, change.now);
    let settled = alert_book::resolve(&change, &row, by, console_url(&state), now).await?;
    let changed = find(&*change, &id).await?;
    let audit = Audit::of("alerts.resolve", "alert", &row.public_id).with("rule", &row.rule);
    change.commit(audit).await?;
    tell(&state, &settled);
    Ok(Json(changed.into()))
}

async fn find(connection: &impl ConnectionTrait, id: &str) -> Result<alert::Model, ApiError> {
    alert::by_public_id(connection, id)
        .await?
        .ok_or_else(|| ApiError::not_found("alert"))
}
