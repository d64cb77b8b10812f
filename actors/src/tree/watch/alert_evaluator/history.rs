//! What rules would have read over the last day, for the form that shows a rule before it is in force.
//!
//! Calls are known by ten seconds for two hours, and by the hour before: there a window of minutes reads its share of the
//! hour it lies in, which is right on the average and shows no peak. What the process and its tables come to is written
//! down every minute ([`Gauges::sample`]); of components and of what is told apart by labels nothing is kept for longer.

use std::collections::BTreeMap;
use std::sync::Arc;

use sea_orm::DbErr;
use serde_json::json;
use steward_entities::database::begin_write;
use steward_entities::ledger::rollup::{self, Measures, TOTAL_HOURLY};
use steward_entities::metrics_snapshot::{self, Measured};

use super::measure::{
    DAY_US, Gauges, HOUR_US, RESTARTS_EVER, Read, Source, change, dimension, named_labels,
    of_calls, reach, source,
};
use crate::domain::alert::Labels;
use crate::domain::alert::condition::{Condition, Reading};
use crate::domain::alert::machine::micros;
use crate::domain::alert::metric::METRICS;
use crate::domain::alert::rule::Rule;
use crate::domain::calendar;
use crate::domain::ring::{Dimension, KEPT_US};

/// How far back it goes.
const HISTORY_US: i64 = DAY_US;
const MINUTE_US: i64 = 60_000_000;
/// What `aggregator` writes down itself, as it stands and whatever the window.
const WRITTEN_ELSEWHERE: [&str; 2] = ["spool_depth", "records_dropped"];

/// Whether a metric counts what happens in its window, so that half the window has half of it.
fn is_summed(metric: &str) -> bool {
    matches!(
        metric,
        "request_count" | "prompt_tokens" | "completion_tokens" | "unpriced_calls"
    )
}

impl Gauges {
    /// Writes down what the process and its tables come to, as rules without labels read it.
    ///
    /// # Errors
    /// When a database cannot be read or written.
    pub async fn sample(&self, failed: usize, now: i64) -> Result<(), DbErr> {
        let mut values = Vec::new();
        for metric in METRICS {
            let id = metric.id;
            let Ok(condition) = Condition::parse(&format!("{id} > 0")) else {
                continue;
            };
            let rule = Rule::watching(condition);
            let reading = match source(id) {
                Source::Process if !WRITTEN_ELSEWHERE.contains(&id) => {
                    self.of_process(&rule, failed, now).await?
                }
                Source::Cost => match self.of_costs(&rule, now).await? {
                    Read::Series(mut all) => all.pop().map_or(Reading::Missing, |(_, one)| one),
                    Read::NotYet => Reading::Missing,
                },
                _ => continue,
            };
            if let Reading::Number(value) = reading {
                let (metric, dimensions) = (id, json!({}));
                values.push(Measured {
                    metric,
                    value,
                    dimensions,
                });
            }
        }
        if let Some(ask) = self.outside.restarts.get() {
            values.push(Measured {
                metric: RESTARTS_EVER,
                value: ask() as f64,
                dimensions: json!({}),
            });
        }
        let txn = begin_write(&self.databases.events).await?;
        metrics_snapshot::insert(&txn, values, now - now.rem_euclid(MINUTE_US), self.node).await?;
        txn.commit().await
    }

    /// What `rule` would have read over the last day, oldest first: by the hour until the last two hours are known, by the
    /// minute since; calls told apart by labels in those two hours only. Empty where nothing is kept of the metric.
    ///
    /// # Errors
    /// When a database cannot be read.
    pub async fn history(&self, rule: &Rule, now: i64) -> Result<Vec<(i64, Reading)>, DbErr> {
        let metric = rule.condition.metric.id;
        let is_plain = named_labels(rule).is_empty() && !rule.condition.change;
        match source(metric) {
            Source::Calls => self.calls_history(rule, now).await,
            Source::Process | Source::Cost if is_plain => self.written(rule, now).await,
            // The change of users is one of days that are over.
            Source::Process if metric != "dau" => self.written(rule, now).await,
            Source::Process | Source::Cost | Source::Components => Ok(Vec::new()),
        }
    }

    /// What was written down every minute by this node.
    async fn written(&self, rule: &Rule, now: i64) -> Result<Vec<(i64, Reading)>, DbErr> {
        let metric = rule.condition.metric.id;
        // Of losses it is written how many there were ever.
        let window = match metric {
            "records_dropped" => micros(rule.window),
            _ => 0,
        };
        let since = now - HISTORY_US;
        // What it is compared with lies a window back.
        let apart = match rule.condition.change {
            true => micros(rule.window),
            false => 0,
        };
        let read = &self.databases.events_read;
        let reach = window + apart + self.written_within();
        let mut rows = metrics_snapshot::list(read, metric, (since - reach, now)).await?;
        rows.retain(|row| row.node == i64::from(self.node));
        let reading = |row: &metrics_snapshot::Model| {
            let until = rows.partition_point(|one| one.at <= row.at - window);
            let before = match (window, until.checked_sub(1)) {
                (0, _) | (_, None) => 0.0,
                (_, Some(last)) => rows[last].value,
            };
            Reading::Number((row.value - before).max(0.0))
        };
        let compared = |row: &metrics_snapshot::Model| {
            if !rule.condition.change {
                return reading(row);
            }
            let at = row.at - apart;
            let until = rows.partition_point(|one| one.at <= at);
            let before = until.checked_sub(1).map(|last| &rows[last]);
            match before.filter(|before| before.at >= at - self.written_within()) {
                Some(before) => change(&reading(row), &reading(before)),
                None => Reading::Missing,
            }
        };
        let shown = rows.iter().filter(|row| row.at >= since);
        Ok(shown.map(|row| (row.at, compared(row))).collect())
    }

    async fn calls_history(&self, rule: &Rule, now: i64) -> Result<Vec<(i64, Reading)>, DbErr> {
        let known_from = (now - KEPT_US).max(self.recent.complete_since().unwrap_or(now));
        // The first moment before which all that the rule looks back on is known by ten seconds.
        let by_minute = known_from + reach(rule);
        let mut history = match named_labels(rule).is_empty() {
            true => self.by_hour(rule, by_minute, now).await?,
            false => Vec::new(),
        };
        let mut at = by_minute + (-by_minute).rem_euclid(MINUTE_US);
        while at <= now {
            history.push((at, self.in_ring(rule, at)));
            at += MINUTE_US;
        }
        Ok(history)
    }

    /// At the end of each hour that is over, until `before`.
    async fn by_hour(
        &self,
        rule: &Rule,
        before: i64,
        now: i64,
    ) -> Result<Vec<(i64, Reading)>, DbErr> {
        let metric = rule.condition.metric.id;
        let window = micros(rule.window);
        let span = window.max(HOUR_US);
        let share = match is_summed(metric) {
            true => window as f64 / span as f64,
            false => 1.0,
        };
        let looked_back = span * if rule.condition.change { 2 } else { 1 };
        let first = calendar::hour_of(self.zone, now - HISTORY_US);
        let read = &self.databases.ledger_read;
        let from = calendar::hour_of(self.zone, first - looked_back);
        let mut hours: BTreeMap<i64, Measures> = BTreeMap::new();
        for row in rollup::rows(read, &TOTAL_HOURLY, (from, now), &[]).await? {
            hours.entry(row.bucket).or_default().merge(&row.measures);
        }
        let of = |from: i64, to: i64| {
            let mut all = Measures::default();
            for measures in hours.range(from..to).map(|(_, measures)| measures) {
                all.merge(measures);
            }
            match of_calls(metric, &all) {
                Reading::Number(value) => Reading::Number(value * share),
                other => other,
            }
        };
        let mut history = Vec::new();
        let mut end = calendar::next_hour(self.zone, first);
        while end <= now && end < before {
            let reading = of(end - span, end);
            history.push((
                end,
                match rule.condition.change {
                    false => reading,
                    true => change(&reading, &of(end - 2 * span, end - span)),
                },
            ));
            end = calendar::next_hour(self.zone, end);
        }
        Ok(history)
    }

    fn in_ring(&self, rule: &Rule, at: i64) -> Reading {
        let metric = rule.condition.metric.id;
        let parts: Vec<(Dimension, Arc<str>)> = match named_labels(rule).first() {
            None => vec![(Dimension::Total, Arc::from(""))],
            Some(label) => dimension(label).map_or_else(Vec::new, |dimension| {
                let names = self.recent.names(dimension).into_iter();
                let fits = |name: &Arc<str>| {
                    rule.concerns(&Labels::from([(label.clone(), name.to_string())]))
                };
                names.filter(fits).map(|name| (dimension, name)).collect()
            }),
        };
        let window = micros(rule.window);
        let of = |from: i64, to: i64| {
            let mut all = Measures::default();
            for (dimension, name) in &parts {
                all.merge(&self.recent.between(*dimension, name, from, to));
            }
            of_calls(metric, &all)
        };
        let reading = of(at - window, at);
        match rule.condition.change {
            false => reading,
            true => change(&reading, &of(at - 2 * window, at - window)),
        }
    }
}
