//! What operators do to incidents and rules.

use sea_orm::{DatabaseTransaction, DbErr};
use steward_entities::{alert, alert_rule, alert_series, channel};

use super::rows::{rule_of, series_of};
use super::settle::{Settled, Telling, silenced, silences_at};
use crate::domain::alert::condition::Condition;
use crate::domain::alert::rule::{NoData, Rule, Severity, WINDOW};
use crate::domain::alert::telling::Known;
use crate::domain::notice::Event;

/// Somebody looks after the incident from now on: no reminders. Whoever was told that it fires is told.
///
/// # Errors
/// When the database cannot be written.
pub async fn acknowledge(
    txn: &DatabaseTransaction,
    alert: &alert::Model,
    operator: &str,
    console_url: &str,
    now: i64,
) -> Result<(alert::Model, Settled), DbErr> {
    let changed = alert::acknowledge(txn, alert, operator, now).await?;
    let mut settled = Settled::default();
    let Some(held) = hold(txn, alert).await? else {
        return Ok((changed, settled));
    };
    let mut told = false;
    if let Some(row) = &held.series {
        let mut series = series_of(row);
        told = series.told.as_ref().map(|told| &told.what)
            == Some(&Known::Firing(alert.public_id.clone()))
            && !held.is_silenced(txn, row, now).await?;
        series.acknowledged = true;
        let kept = super::rows::row_of(&held.row, &row.labels.0, &series, &row.value);
        // An edit of the rule that no round has seen yet is still to be seen.
        let kept = alert_series::Model {
            rule_version: row.rule_version,
            ..kept
        };
        alert_series::put(txn, kept).await?;
    }
    let channels = channel::all(txn).await?;
    held.telling(txn, &channels, console_url, operator, now)
        .step(
            &alert.public_id,
            Event::Acknowledged,
            &alert.value,
            told,
            &mut settled,
        )
        .await?;
    Ok((changed, settled))
}

/// Ends an incident by hand. A breach that goes on is a new one.
///
/// # Errors
/// When the database cannot be written.
pub async fn resolve(
    txn: &DatabaseTransaction,
    alert: &alert::Model,
    operator: &str,
    console_url: &str,
    now: i64,
) -> Result<Settled, DbErr> {
    let mut settled = Settled::default();
    let held = hold(txn, alert).await?;
    let (Some(held), Some(row)) = (&held, held.as_ref().and_then(|held| held.series.as_ref()))
    else {
        alert::resolve(txn, alert, Some(operator), now).await?;
        return Ok(settled);
    };
    let before = series_of(row);
    let mut series = before.clone();
    let is_silenced = held.is_silenced(txn, row, now).await?;
    series.carried = None;
    let round = series.resolve(is_silenced, now);
    let channels = channel::all(txn).await?;
    let telling = held.telling(txn, &channels, console_url, operator, now);
    telling
        .settle(
            &before,
            &series,
            &round,
            &row.labels.0,
            &row.value,
            &mut settled,
        )
        .await?;
    Ok(settled)
}

/// A rule goes: what of it fires is over, and who was told that it fires is told.
///
/// # Errors
/// When the database cannot be written.
pub async fn retire(
    txn: &DatabaseTransaction,
    row: &alert_rule::Model,
    operator: Option<&str>,
    console_url: &str,
    now: i64,
) -> Result<Settled, DbErr> {
    let mut settled = Settled::default();
    // Whoever takes a rule's series before the rule waits for a round, and the round for it.
    let Some(row) = alert_rule::hold(txn, row.id).await? else {
        return Ok(settled);
    };
    let rule = rule_of(&row).unwrap_or_else(|_| unreadable(&row));
    let channels = channel::all(txn).await?;
    let telling = Telling {
        txn,
        row: &row,
        rule: &rule,
        channels: &channels,
        console_url,
        operator,
        now,
    };
    for kept in alert_series::of_rule(txn, row.id).await? {
        let before = series_of(&kept);
        let mut series = before.clone();
        let round = series.retire(now);
        telling
            .settle(
                &before,
                &series,
                &round,
                &kept.labels.0,
                &kept.value,
                &mut settled,
            )
            .await?;
        alert_series::remove(txn, row.id, &kept.labels_key).await?;
    }
    Ok(settled)
}

/// The rule of an incident, held, and the series it is of.
struct Held {
    row: alert_rule::Model,
    rule: Rule,
    series: Option<alert_series::Model>,
}

async fn hold(txn: &DatabaseTransaction, alert: &alert::Model) -> Result<Option<Held>, DbErr> {
    let Some(found) = alert_rule::by_public_id(txn, &alert.rule_id).await? else {
        return Ok(None);
    };
    let Some(row) = alert_rule::hold(txn, found.id).await? else {
        return Ok(None);
    };
    Ok(Some(Held {
        rule: rule_of(&row).unwrap_or_else(|_| unreadable(&row)),
        series: alert_series::of_incident(txn, &alert.public_id).await?,
        row,
    }))
}

impl Held {
    async fn is_silenced(
        &self,
        txn: &DatabaseTransaction,
        series: &alert_series::Model,
        now: i64,
    ) -> Result<bool, DbErr> {
        let silences = silences_at(txn, now).await?;
        let rule = &self.rule;
        Ok(silenced(
            &silences,
            &rule.name,
            rule.severity,
            &series.labels.0,
            now,
        ))
    }

    fn telling<'a>(
        &'a self,
        txn: &'a DatabaseTransaction,
        channels: &'a [channel::Model],
        console_url: &'a str,
        operator: &'a str,
        now: i64,
    ) -> Telling<'a> {
        Telling {
            txn,
            row: &self.row,
            rule: &self.rule,
            channels,
            console_url,
            operator: Some(operator),
            now,
        }
    }
}

/// Stands in for a rule that cannot be read, so that what it left behind can still be ended.
fn unreadable(row: &alert_rule::Model) -> Rule {
    Rule {
        id: row.public_id.clone(),
        name: row.name.clone(),
        condition: Condition {
            metric: &crate::domain::alert::metric::METRICS[0],
            change: false,
            operator: crate::domain::alert::condition::Operator::Gt,
            threshold: crate::domain::alert::condition::Threshold::Number(0.0),
        },
        window: WINDOW,
        hold_for: std::time::Duration::ZERO,
        keep_firing_for: std::time::Duration::ZERO,
        severity: Severity::Error,
        no_data: NoData::Keep,
        split_by: Vec::new(),
        filter: Vec::new(),
    }
}
