//! Rules: what is watched. A condition is text (`error_rate > 0.1`) or fields; an edit resets a rule's series quietly.

use actix_web::{HttpResponse, delete, get, post, put, web};
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use steward_actors::alert_book::{self, Said, Settled, rule_of};
use steward_actors::domain::alert::condition::{Condition, Reading, Threshold};
use steward_actors::domain::alert::machine::State;
use steward_actors::domain::alert::metric::METRICS;
use steward_actors::domain::alert::rule::{
    NoData, Rule, SPLITS, Severity, WINDOW, duration_text, parse_duration,
};
use steward_actors::domain::alert::series::Series;
use steward_actors::domain::alert::silence::Matcher;
use steward_actors::tree::watch::alert_evaluator::Evaluate;
use steward_actors::tree::watch::alert_evaluator::measure::refuse;
use steward_entities::{alert_rule, alert_series, channel};
use utoipa::ToSchema;

use super::{console_url, tell};
use crate::error::ApiError;
use crate::http::change::{Audit, Change, refused};
use crate::http::check::{self, text};
use crate::http::extract::Json;
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadAlerts, WriteAlerts};
use crate::http::precondition::{IfMatch, Tagged};
use crate::http::range::rfc3339;
use crate::state::AppState;

const NAME_MAX: usize = 120;
const RULES_MAX: u64 = 500;
const FILTERS_MAX: usize = 10;
const CHANNELS_MAX: usize = 20;
/// Longest `for` and `keep_firing_for`.
const HOLD_MAX_S: u64 = 7 * 86_400;

/// A metric that rules can watch.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MetricShown {
    id: &'static str,
    /// `fraction`, `count`, `ms`, `money`, `tokens`, `s`, `days` or `status`.
    unit: &'static str,
    about: &'static str,
}

/// A rule.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertRuleShown {
    id: String,
    name: String,
    /// Such as `error_rate > 0.1`.
    condition: String,
    /// The condition in its parts; null when it cannot be read.
    metric: Option<String>,
    operator: Option<String>,
    threshold: Option<String>,
    /// How far a reading looks back, such as `5m`.
    window: String,
    /// How long a breach lasts before it is an alert.
    #[serde(rename = "for")]
    hold_for: String,
    /// How long it must be clear before it is over.
    keep_firing_for: String,
    severity: String,
    no_data: String,
    split_by: Vec<String>,
    filter: Vec<String>,
    /// Ids of channels; empty: those that take everything.
    channels: Vec<String>,
    enabled: bool,
    /// `inactive`, `pending` or `firing`: the worst of its series.
    state: &'static str,
    evaluated_at: Option<String>,
    /// Why it could not be evaluated then.
    error: Option<String>,
    created_at: String,
    updated_at: String,
    version: i64,
}

impl AlertRuleShown {
    fn of(row: alert_rule::Model, state: State) -> Self {
        let condition = Condition::parse(&row.condition).ok();
        let seconds = |value: i64| {
            duration_text(std::time::Duration::from_secs(value.max(0).cast_unsigned()))
        };
        Self {
            id: row.public_id,
            name: row.name,
            metric: condition.as_ref().map(|condition| match condition.change {
                true => format!("change({})", condition.metric.id),
                false => condition.metric.id.to_owned(),
            }),
            operator: condition
                .as_ref()
                .map(|condition| condition.operator.as_str().to_owned()),
            threshold: condition.map(|condition| condition.threshold.to_string()),
            condition: row.condition,
            window: seconds(row.window_s),
            hold_for: seconds(row.hold_for_s),
            keep_firing_for: seconds(row.keep_firing_for_s),
            severity: row.severity,
            no_data: row.no_data,
            split_by: row.split_by.0,
            filter: row.filter.0,
            channels: row.channels.0,
            enabled: row.enabled,
            state: state.as_str(),
            evaluated_at: row.evaluated_at.map(rfc3339),
            error: row.error,
            created_at: rfc3339(row.created_at),
            updated_at: rfc3339(row.updated_at),
            version: row.version,
        }
    }
}

/// A rule to add or to put in another's place.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAlertRule {
    #[schema(min_length = 1, max_length = 120)]
    name: String,
    /// `error_rate > 0.1`, `change(request_count) > 0.5`, `status != healthy`. Instead of it: `metric`, `operator` and
    /// `threshold`.
    condition: Option<String>,
    metric: Option<String>,
    /// `>` `>=` `<` `<=` `==` `!=` or GT GTE LT LTE EQ NEQ.
    operator: Option<String>,
    threshold: Option<String>,
    /// Such as `5m`, which it is unless said otherwise.
    window: Option<String>,
    /// Such as `2m`; nothing unless said otherwise.
    #[serde(rename = "for")]
    hold_for: Option<String>,
    keep_firing_for: Option<String>,
    /// `info`, `warning`, `error` or `critical`.
    severity: String,
    /// `ok` (as clear), `keep` (as nothing) or `alert` (as a breach); `ok` unless said otherwise.
    no_data: Option<String>,
    /// `tenant`, `app`, `model`, `account` or `token`: a series for each.
    #[serde(default)]
    #[schema(max_items = 1)]
    split_by: Vec<String>,
    /// `label=value` or `label!=value`; all must fit.
    #[serde(default)]
    #[schema(max_items = 10)]
    filter: Vec<String>,
    /// Ids of channels; empty: those that take everything.
    #[serde(default)]
    #[schema(max_items = 20)]
    channels: Vec<String>,
    enabled: Option<bool>,
}

/// Every rule there is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AllAlertRules {
    #[schema(max_items = 500)]
    rules: Vec<NewAlertRule>,
}

/// A reading of the past.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PreviewPoint {
    at: String,
    /// Null: nothing to measure.
    value: Option<f64>,
}

/// When a rule would have fired.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PreviewIncident {
    fired_at: String,
    /// Null when it would still fire.
    resolved_at: Option<String>,
}

/// What a rule would have done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertPreview {
    unit: &'static str,
    /// What readings are held against; null for a status.
    threshold: Option<f64>,
    /// The last day: by the hour until two hours ago, by the minute since; with labels two hours, all that fit taken
    /// together. Empty where nothing is kept of the metric.
    points: Vec<PreviewPoint>,
    incidents: Vec<PreviewIncident>,
}

/// What can be watched.
#[utoipa::path(tag = "alert rules", responses((status = 200, body = Page<MetricShown>)))]
#[get("/ops/alerts/metrics")]
pub(super) async fn metrics(caller: Can<ReadAlerts>) -> Result<Json<Page<MetricShown>>, ApiError> {
    check::whole_installation(&caller)?;
    let each = METRICS.iter().map(|metric| MetricShown {
        id: metric.id,
        unit: metric.unit.as_str(),
        about: metric.about,
    });
    Ok(Json(Page::whole(each.collect())))
}

/// Rules, newest first.
#[utoipa::path(tag = "alert rules", params(PageQuery), responses((status = 200, body = Page<AlertRuleShown>)))]
#[get("/ops/alerts/rules")]
pub(super) async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadAlerts>,
    page: PageRequest,
) -> Result<Json<Page<AlertRuleShown>>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let rows = alert_rule::list(read, page.rows()?).await?;
    let total = alert_rule::count(read).await?;
    let active = alert_series::active(read).await?;
    let shown = |row: alert_rule::Model| {
        let worst = worst(&active, row.id);
        AlertRuleShown::of(row, worst)
    };
    Ok(Json(Page::of(
        rows,
        &page,
        Some(total),
        |row| row.id,
        shown,
    )))
}

/// Makes a rule. It is evaluated at once.
#[utoipa::path(tag = "alert rules", responses((status = 201, body = AlertRuleShown)))]
#[post("/ops/alerts/rules")]
pub(super) async fn create(
    state: web::Data<AppState>,
    caller: Can<WriteAlerts>,
    Json(new): Json<NewAlertRule>,
) -> Result<Tagged<AlertRuleShown>, ApiError> {
    check::whole_installation(&caller)?;
    let said = checked("", new)?;
    let change = Change::begin(&state, &caller).await?;
    if alert_rule::count(&*change).await? >= RULES_MAX {
        let why = format!("there are {RULES_MAX} rules already");
        return Err(ApiError::invalid("name", why));
    }
    known_channels("", &*change, &said.channels).await?;
    let by = caller.operator.public_id.clone();
    let row = alert_rule::insert(&change, said, by, change.now)
        .await
        .map_err(refused("name"))?;
    let view = AlertRuleShown::of(row, State::Inactive);
    let audit = Audit::of("alert_rules.create", "alert_rule", &view.id).with("created", &view);
    let made = change.created(audit, view.version, view).await?;
    nudge(&state);
    Ok(made)
}

/// One rule.
#[utoipa::path(tag = "alert rules", responses((status = 200, body = AlertRuleShown)))]
#[get("/ops/alerts/rules/{id}")]
pub(super) async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadAlerts>,
    id: web::Path<String>,
) -> Result<Tagged<AlertRuleShown>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let row = find(read, &id).await?;
    let series = alert_series::of_rule(read, row.id).await?;
    let state = worst(&series, row.id);
    Ok(Tagged::ok(row.version, AlertRuleShown::of(row, state)))
}

/// Puts a rule in another's place. What was told of it still holds: nobody is told what they know.
#[utoipa::path(tag = "alert rules", responses((status = 200, body = AlertRuleShown)))]
#[put("/ops/alerts/rules/{id}")]
pub(super) async fn update(
    state: web::Data<AppState>,
    caller: Can<WriteAlerts>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(new): Json<NewAlertRule>,
) -> Result<Tagged<AlertRuleShown>, ApiError> {
    check::whole_installation(&caller)?;
    let said = checked("", new)?;
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, &id).await?;
    if_match
        .check(row.version, &*change, "alert_rule", &row.public_id)
        .await?;
    known_channels("", &*change, &said.channels).await?;
    let changed = alert_rule::update(&change, &row, said, change.now)
        .await
        .map_err(refused("name"))?;
    let series = alert_series::of_rule(&*change, row.id).await?;
    let worst = worst(&series, row.id);
    let before = AlertRuleShown::of(row, worst);
    let after = AlertRuleShown::of(changed, worst);
    let audit = Audit::of("alert_rules.update", "alert_rule", &after.id).diff(&before, &after);
    change.commit(audit).await?;
    nudge(&state);
    Ok(Tagged::ok(after.version, after))
}

/// Puts a whole list in the place of all rules: by name, those that are there are changed, others made, the rest removed.
#[utoipa::path(tag = "alert rules", responses((status = 200, body = Page<AlertRuleShown>)))]
#[put("/ops/alerts/rules")]
pub(super) async fn replace_all(
    state: web::Data<AppState>,
    caller: Can<WriteAlerts>,
    Json(all): Json<AllAlertRules>,
) -> Result<Json<Page<AlertRuleShown>>, ApiError> {
    check::whole_installation(&caller)?;
    if all.rules.len() as u64 > RULES_MAX {
        return Err(ApiError::invalid(
            "rules",
            format!("must be at most {RULES_MAX}"),
        ));
    }
    let mut said = Vec::with_capacity(all.rules.len());
    for (index, new) in all.rules.into_iter().enumerate() {
        let prefix = format!("rules[{index}].");
        let one = checked(&prefix, new)?;
        if said
            .iter()
            .any(|(_, known): &(String, Said)| known.name == one.name)
        {
            return Err(ApiError::invalid(
                format!("{prefix}name"),
                "stands twice in the list",
            ));
        }
        said.push((prefix, one));
    }
    let change = Change::begin(&state, &caller).await?;
    let (by, now) = (&caller.operator, change.now);
    let mut gone = alert_rule::all(&*change).await?;
    let mut rows = Vec::with_capacity(said.len());
    for (prefix, said) in said {
        known_channels(&prefix, &*change, &said.channels).await?;
        let known = gone.iter().position(|row| row.name == said.name);
        let row = match known.map(|index| gone.remove(index)) {
            // What did not change is not reset.
            Some(row) if Said::from(&row) == said => row,
            Some(row) => alert_rule::update(&change, &row, said, now)
                .await
                .map_err(refused("name"))?,
            None => alert_rule::insert(&change, said, by.public_id.clone(), now)
                .await
                .map_err(refused("name"))?,
        };
        rows.push(row);
    }
    let mut settled = Settled::default();
    let removed: Vec<String> = gone.iter().map(|row| row.name.clone()).collect();
    for row in gone {
        let url = console_url(&state);
        let done = alert_book::retire(&change, &row, Some(&by.username), url, now).await?;
        settled.steps.extend(done.steps);
        settled.notices += done.notices;
        alert_rule::remove(&change, &row).await?;
    }
    let active = alert_series::active(&*change).await?;
    let shown = |row: alert_rule::Model| {
        let worst = worst(&active, row.id);
        AlertRuleShown::of(row, worst)
    };
    let shown: Vec<AlertRuleShown> = rows.into_iter().map(shown).collect();
    let audit = Audit::of("alert_rules.replace", "alert_rule", "")
        .with("rules", &shown)
        .with("removed", removed);
    change.commit(audit).await?;
    tell(&state, &settled);
    nudge(&state);
    Ok(Json(Page::whole(shown)))
}

/// Removes a rule. What of it fires is over; its incidents stay.
#[utoipa::path(tag = "alert rules", responses((status = 204)))]
#[delete("/ops/alerts/rules/{id}")]
pub(super) async fn remove(
    state: web::Data<AppState>,
    caller: Can<WriteAlerts>,
    id: web::Path<String>,
    if_match: IfMatch,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, &id).await?;
    if_match
        .check(row.version, &*change, "alert_rule", &row.public_id)
        .await?;
    let (by, now) = (&caller.operator.username, change.now);
    let url = console_url(&state);
    let settled = alert_book::retire(&change, &row, Some(by), url, now).await?;
    alert_rule::remove(&change, &row).await?;
    let audit =
        Audit::of("alert_rules.remove", "alert_rule", &row.public_id).with("name", &row.name);
    change.commit(audit).await?;
    tell(&state, &settled);
    Ok(HttpResponse::NoContent().finish())
}

/// Runs a rule over the last day, in the very machine that rules run in. Nothing is stored, and nobody is told.
#[utoipa::path(tag = "alert rules", responses((status = 200, body = AlertPreview)))]
#[post("/ops/alerts/rules/preview")]
pub(super) async fn preview(
    state: web::Data<AppState>,
    caller: Can<ReadAlerts>,
    Json(new): Json<NewAlertRule>,
) -> Result<Json<AlertPreview>, ApiError> {
    check::whole_installation(&caller)?;
    let rule = rule("", &row_of(checked("", new)?))?;
    let now = state.clock.now_micros();
    let history = state.tree.gauges.history(&rule, now).await?;
    let mut series = Series::default();
    let mut incidents: Vec<PreviewIncident> = Vec::new();
    for (at, reading) in &history {
        let was = series.instance.state;
        series.round(&rule, reading, false, *at, String::new);
        match (was == State::Firing, series.instance.state == State::Firing) {
            (false, true) => incidents.push(PreviewIncident {
                fired_at: rfc3339(*at),
                resolved_at: None,
            }),
            (true, false) => {
                if let Some(last) = incidents.last_mut() {
                    last.resolved_at = Some(rfc3339(*at));
                }
            }
            _ => {}
        }
    }
    let points = history.into_iter().map(|(at, reading)| PreviewPoint {
        at: rfc3339(at),
        value: match reading {
            Reading::Number(value) => Some(value),
            Reading::Word(_) | Reading::Missing | Reading::Failed(_) => None,
        },
    });
    Ok(Json(AlertPreview {
        unit: rule.condition.unit().as_str(),
        threshold: match rule.condition.threshold {
            Threshold::Number(number) => Some(number),
            Threshold::Word(_) => None,
        },
        points: points.collect(),
        incidents,
    }))
}

/// The evaluator looks at once; if it is too busy, at its next round.
fn nudge(state: &AppState) {
    let _ = state.tree.alert_evaluator.try_send(Evaluate);
}

fn worst(series: &[alert_series::Model], rule_id: i64) -> State {
    let of_rule = series.iter().filter(|row| row.rule_id == rule_id);
    let states: Vec<State> = of_rule.filter_map(|row| State::parse(&row.state)).collect();
    match () {
        () if states.contains(&State::Firing) => State::Firing,
        () if states.contains(&State::Pending) => State::Pending,
        () => State::Inactive,
    }
}

/// Checks what can be checked without a database; `prefix` stands before the names of fields.
fn checked(prefix: &str, new: NewAlertRule) -> Result<Said, ApiError> {
    let field = |name: &str| format!("{prefix}{name}");
    let condition = match (new.condition, new.metric, new.operator, new.threshold) {
        (Some(text), None, None, None) => Condition::parse(&text),
        (None, Some(metric), Some(operator), Some(threshold)) => {
            Condition::from_fields(metric.trim(), operator.trim(), threshold.trim())
        }
        _ => {
            let why = "give `condition`, or `metric`, `operator` and `threshold`";
            return Err(ApiError::invalid(field("condition"), why));
        }
    };
    let condition =
        condition.map_err(|why| ApiError::invalid(field("condition"), why.to_string()))?;
    let seconds = |name: &str, text: Option<String>, otherwise: u64, max: u64| match text {
        None => Ok(otherwise.cast_signed()),
        Some(text) => match parse_duration(&text).map(|length| length.as_secs()) {
            Some(seconds) if seconds <= max => Ok(seconds.cast_signed()),
            _ => {
                let most = duration_text(std::time::Duration::from_secs(max));
                let why = format!("must be a duration such as 90s, 5m or 1h30m, at most {most}");
                Err(ApiError::invalid(field(name), why))
            }
        },
    };
    if Severity::parse(&new.severity).is_none() {
        let why = "must be info, warning, error or critical";
        return Err(ApiError::invalid(field("severity"), why));
    }
    let no_data = new
        .no_data
        .unwrap_or_else(|| NoData::Ok.as_str().to_owned());
    if NoData::parse(&no_data).is_none() {
        return Err(ApiError::invalid(
            field("no_data"),
            "must be ok, keep or alert",
        ));
    }
    if new
        .split_by
        .iter()
        .any(|label| !SPLITS.contains(&label.as_str()))
    {
        let why = format!("must be one of {}", SPLITS.join(", "));
        return Err(ApiError::invalid(field("split_by"), why));
    }
    let fits = |text: &String| Matcher::parse(text).is_some() && text.len() <= 300;
    if new.filter.len() > FILTERS_MAX || !new.filter.iter().all(fits) {
        let why = format!("must be at most {FILTERS_MAX}, each like model=gpt-4o or app!=batch");
        return Err(ApiError::invalid(field("filter"), why));
    }
    if new.channels.len() > CHANNELS_MAX {
        let why = format!("must be at most {CHANNELS_MAX}");
        return Err(ApiError::invalid(field("channels"), why));
    }
    let said = Said {
        name: text(&field("name"), &new.name, 1, NAME_MAX)?,
        condition: condition.to_string(),
        window_s: seconds("window", new.window, WINDOW.as_secs(), 31 * 86_400)?,
        hold_for_s: seconds("for", new.hold_for, 0, HOLD_MAX_S)?,
        keep_firing_for_s: seconds("keep_firing_for", new.keep_firing_for, 0, HOLD_MAX_S)?,
        severity: new.severity,
        no_data,
        split_by: new.split_by,
        filter: new.filter,
        channels: new.channels,
        enabled: new.enabled.unwrap_or(true),
    };
    let made = rule(prefix, &row_of(said.clone()))?;
    refuse(&made).map_err(|why| ApiError::invalid(field("condition"), why))?;
    Ok(said)
}

fn rule(prefix: &str, row: &alert_rule::Model) -> Result<Rule, ApiError> {
    rule_of(row).map_err(|why| ApiError::invalid(format!("{prefix}condition"), why))
}

/// A row that was never stored.
fn row_of(said: Said) -> alert_rule::Model {
    use steward_entities::column::TextList;
    alert_rule::Model {
        id: 0,
        public_id: String::new(),
        name: said.name,
        condition: said.condition,
        window_s: said.window_s,
        hold_for_s: said.hold_for_s,
        keep_firing_for_s: said.keep_firing_for_s,
        severity: said.severity,
        no_data: said.no_data,
        split_by: TextList(said.split_by),
        filter: TextList(said.filter),
        channels: TextList(said.channels),
        enabled: said.enabled,
        evaluated_at: None,
        error: None,
        created_by: String::new(),
        created_at: 0,
        updated_at: 0,
        version: 0,
    }
}

async fn known_channels(
    prefix: &str,
    connection: &impl ConnectionTrait,
    named: &[String],
) -> Result<(), ApiError> {
    if named.is_empty() {
        return Ok(());
    }
    let known = channel::all(connection).await?;
    for (index, id) in named.iter().enumerate() {
        if !known.iter().any(|channel| channel.public_id == *id) {
            let field = format!("{prefix}channels[{index}]");
            return Err(ApiError::invalid(field, "there is no such channel"));
        }
    }
    Ok(())
}

async fn find(connection: &impl ConnectionTrait, id: &str) -> Result<alert_rule::Model, ApiError> {
    alert_rule::by_public_id(connection, id)
        .await?
        .ok_or_else(|| ApiError::not_found("alert rule"))
}
