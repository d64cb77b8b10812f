//! How rules, series and notices are kept, and read back.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use steward_entities::alert_series::Moments;
use steward_entities::column::TextMap;
use steward_entities::{alert_rule, alert_series, outbox};

use crate::domain::alert::condition::Condition;
use crate::domain::alert::machine::{Instance, State};
use crate::domain::alert::rule::{NoData, Rule, Severity};
use crate::domain::alert::series::Series;
use crate::domain::alert::silence::Matcher;
use crate::domain::alert::telling::{Known, Told};
use crate::domain::alert::{Labels, labels_text};
use crate::domain::notice::{Event, Notice};

/// What a rule says, as its row has it.
pub type Said = alert_rule::Said;

/// Who did it, when nobody did.
pub const ROBOT: Option<&str> = None;

/// Reads a rule.
///
/// # Errors
/// A sentence that says what cannot be read: the row was written by hand, or by a newer program.
pub fn rule_of(row: &alert_rule::Model) -> Result<Rule, String> {
    let seconds = |name: &str, value: i64| {
        u64::try_from(value)
            .map(Duration::from_secs)
            .map_err(|_| format!("{name} is negative"))
    };
    let filter = row.filter.0.iter().map(|text| {
        Matcher::parse(text)
            .ok_or_else(|| format!("`{text}` is no `label=value` or `label!=value`"))
    });
    Ok(Rule {
        id: row.public_id.clone(),
        name: row.name.clone(),
        condition: Condition::parse(&row.condition).map_err(|why| format!("condition {why}"))?,
        window: seconds("window", row.window_s)?,
        hold_for: seconds("for", row.hold_for_s)?,
        keep_firing_for: seconds("keep_firing_for", row.keep_firing_for_s)?,
        severity: Severity::parse(&row.severity)
            .ok_or_else(|| format!("there is no severity `{}`", row.severity))?,
        no_data: NoData::parse(&row.no_data)
            .ok_or_else(|| format!("there is no policy `{}`", row.no_data))?,
        split_by: row.split_by.0.clone(),
        filter: filter.collect::<Result<_, _>>()?,
    })
}

/// Reads a series. What cannot be read of it starts over.
pub fn series_of(row: &alert_series::Model) -> Series {
    let incident = row.told_incident.clone();
    let what = match (row.told_what.as_deref(), incident) {
        (Some("firing"), Some(incident)) => Some(Known::Firing(incident)),
        (Some("resolved"), Some(incident)) => Some(Known::Resolved(incident)),
        (Some("flapping"), open) => Some(Known::Flapping { open }),
        _ => None,
    };
    Series {
        instance: Instance {
            state: State::parse(&row.state).unwrap_or_default(),
            active_at: row.active_at,
            clear_since: row.clear_since,
            error_since: row.error_since,
            changes: row.changes.0.clone(),
        },
        incident: row.incident.clone(),
        acknowledged: row.acknowledged,
        told: what.map(|what| Told {
            what,
            at: row.told_at.unwrap_or_default(),
        }),
        carried: row.carried.clone(),
        unheard: row.unheard,
    }
}

/// A series as its row.
pub(super) fn row_of(
    rule: &alert_rule::Model,
    labels: &Labels,
    series: &Series,
    value: &str,
) -> alert_series::Model {
    let (told_what, told_incident) = match series.told.as_ref().map(|told| &told.what) {
        None => (None, None),
        Some(Known::Firing(incident)) => (Some("firing"), Some(incident.clone())),
        Some(Known::Resolved(incident)) => (Some("resolved"), Some(incident.clone())),
        Some(Known::Flapping { open }) => (Some("flapping"), open.clone()),
    };
    alert_series::Model {
        id: 0,
        rule_id: rule.id,
        labels_key: labels_text(labels),
        labels: TextMap(labels.clone()),
        rule_version: rule.version,
        state: series.instance.state.as_str().to_owned(),
        active_at: series.instance.active_at,
        clear_since: series.instance.clear_since,
        error_since: series.instance.error_since,
        changes: Moments(series.instance.changes.clone()),
        incident: series.incident.clone(),
        acknowledged: series.acknowledged,
        told_what: told_what.map(str::to_owned),
        told_incident,
        told_at: series.told.as_ref().map(|told| told.at),
        carried: series.carried.clone(),
        unheard: series.unheard,
        value: value.to_owned(),
    }
}

/// A notice as the outbox keeps it: everything but its id, which is the row's.
#[derive(Deserialize, Serialize)]
struct Kept {
    event: String,
    at: i64,
    incident: String,
    rule: String,
    severity: String,
    labels: Labels,
    value: String,
    condition: String,
    since: i64,
    link: String,
}

/// The text an outbox row keeps of a notice.
pub fn kept_notice(notice: &Notice) -> String {
    let kept = Kept {
        event: notice.event.as_str().to_owned(),
        at: notice.at,
        incident: notice.incident.clone(),
        rule: notice.rule.clone(),
        severity: notice.severity.as_str().to_owned(),
        labels: notice.labels.clone(),
        value: notice.value.clone(),
        condition: notice.condition.clone(),
        since: notice.since,
        link: notice.link.clone(),
    };
    // Maps of texts and numbers: there is nothing in it that JSON cannot say.
    serde_json::to_string(&kept).unwrap_or_default()
}

/// Reads the notice of an outbox row.
///
/// # Errors
/// A sentence that says what cannot be read.
pub fn notice_of(row: &outbox::Model) -> Result<Notice, String> {
    let kept: Kept = serde_json::from_str(&row.notice)
        .map_err(|cause| format!("the notice cannot be read: {cause}"))?;
    Ok(Notice {
        id: row.public_id.clone(),
        event: Event::parse(&kept.event)
            .ok_or_else(|| format!("the notice tells of an unknown event `{}`", kept.event))?,
        at: kept.at,
        incident: kept.incident,
        rule: kept.rule,
        severity: Severity::parse(&kept.severity)
            .ok_or_else(|| format!("the notice has an unknown severity `{}`", kept.severity))?,
        labels: kept.labels,
        value: kept.value,
        condition: kept.condition,
        since: kept.since,
        link: kept.link,
    })
}
