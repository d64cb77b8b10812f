//! Reading metrics: from the last two hours in memory, from rollups, from the process itself.
//!
//! A metric nobody measures in this installation is missing, not zero: the rule's no-data policy decides.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{Datelike, NaiveDate};
use chrono_tz::Tz;
use sea_orm::DbErr;
use steward_entities::database::Databases;
use steward_entities::ledger::daily;
use steward_entities::ledger::dead_letter;
use steward_entities::ledger::recent as active;
use steward_entities::ledger::rollup::{self, Measures, RollupTable, TOTAL_DAILY, TOTAL_HOURLY};
use steward_entities::ledger::spent::{self, By, Spent};
use steward_entities::scope::Scope;
use steward_entities::{backup, backup_plan, channel, feedback, metrics_snapshot, qa_pair};
use tokio::sync::watch;

use crate::domain::alert::Labels;
use crate::domain::alert::condition::{Reading, UNKNOWN, change_against};
use crate::domain::alert::machine::micros;
use crate::domain::alert::rule::Rule;
use crate::domain::calendar;
use crate::domain::price::Currency;
use crate::domain::recent::Recent;
use crate::domain::ring::{Dimension, KEPT_US, SLOT_US};
use crate::domain::setting::InForce;
use crate::spool::Spool;
use crate::tree::ledger::batch_writer::delivery::Condition;

use super::outside::Outside;

/// Longest window that is read from rollups.
pub const WINDOW_MAX: Duration = Duration::from_secs(31 * 86_400);
pub(super) const HOUR_US: i64 = 3_600_000_000;
pub(super) const DAY_US: i64 = 24 * HOUR_US;

/// Where metrics come from. Clones share everything.
#[derive(Clone, Debug)]
pub struct Gauges {
    pub databases: Databases,
    pub recent: Arc<Recent>,
    pub spool: Arc<Spool>,
    pub zone: Tz,
    /// By whose exchange rates, each day's its own, costs in two currencies are compared, in dollars.
    pub settings: InForce,
    pub outside: Arc<Outside>,
    /// How the writer stands to its database.
    pub writer: watch::Receiver<Condition>,
    /// Knowledge is embedded: what is not yet, is late.
    pub embeds: bool,
    /// This node, 0 to 255: of the spool only its own is known.
    pub node: u8,
}

/// What a rule reads now.
#[derive(Clone, Debug, PartialEq)]
pub enum Read {
    /// A reading for each series.
    Series(Vec<(Labels, Reading)>),
    /// The last two hours are still being read from the log: nothing can be said yet.
    NotYet,
}

/// Why a rule can never be evaluated, in words for whoever wrote it.
///
/// # Errors
/// See there.
pub fn refuse(rule: &Rule) -> Result<(), String> {
    let named = named_labels(rule);
    let metric = rule.condition.metric.id;
    let ring = (SLOT_US / 1_000_000) as u64;
    if rule.window < Duration::from_secs(ring) || rule.window > WINDOW_MAX {
        return Err("window must lie between 10s and 31d".to_owned());
    }
    match source(metric) {
        Source::Calls => {
            if named.len() > 1 {
                return Err("calls are told apart by one label at a time".to_owned());
            }
            if let Some(label) = named.first()
                && dimension(label).is_none()
            {
                return Err(format!("calls have no label `{label}`"));
            }
            if !named.is_empty() && reach(rule) > KEPT_US {
                return Err(
                    "a rule with labels looks back two hours at most (an hour when it watches a change)"
                        .to_owned(),
                );
            }
        }
        Source::Cost => {
            if named.len() > 1 || named.iter().any(|label| spender(label).is_none()) {
                return Err(
                    "costs are told apart by one of model, app, token, account, tenant".to_owned(),
                );
            }
            if rule.condition.change && !named.is_empty() {
                return Err("the change of a cost has no labels".to_owned());
            }
        }
        Source::Components => {
            if named.iter().any(|label| label != "component") {
                return Err("components are told apart by `component` only".to_owned());
            }
            if rule.condition.change {
                return Err(format!("{metric} has no change; watch the value itself"));
            }
        }
        Source::Process => {
            if !named.is_empty() {
                return Err(format!("{metric} has no labels"));
            }
            if rule.condition.change && is_yes_or_no(metric) {
                return Err(format!(
                    "{metric} is either so or not and has no change; watch the value itself"
                ));
            }
        }
    }
    Ok(())
}

pub(super) enum Source {
    /// Windows of calls.
    Calls,
    Cost,
    Components,
    /// One number of the process or its tables.
    Process,
}

pub(super) fn source(metric: &str) -> Source {
    match metric {
        "error_rate" | "request_count" | "avg_latency_ms" | "p50_latency_ms" | "p95_latency_ms"
        | "p99_latency_ms" | "avg_ttft_ms" | "p50_ttft_ms" | "p95_ttft_ms" | "p99_ttft_ms"
        | "prompt_tokens" | "completion_tokens" | "unpriced_calls" => Source::Calls,
        "cost_today" | "cost_month" => Source::Cost,
        "status" | "certificate_days" => Source::Components,
        _ => Source::Process,
    }
}

/// Labels that a rule splits or filters by.
pub(super) fn named_labels(rule: &Rule) -> Vec<String> {
    let filtered = rule.filter.iter().map(|matcher| &matcher.label);
    let all: BTreeSet<&String> = rule.split_by.iter().chain(filtered).collect();
    all.into_iter().cloned().collect()
}

pub(super) fn reach(rule: &Rule) -> i64 {
    let window = micros(rule.window);
    match rule.condition.change {
        true => window.saturating_mul(2),
        false => window,
    }
}

pub(super) fn dimension(label: &str) -> Option<Dimension> {
    Some(match label {
        "tenant" => Dimension::Tenant,
        "app" => Dimension::App,
        "model" => Dimension::Model,
        "account" => Dimension::Account,
        "token" => Dimension::Token,
        _ => return None,
    })
}

fn spender(label: &str) -> Option<By> {
    Some(match label {
        "tenant" => By::Tenant,
        "app" => By::App,
        "model" => By::Model,
        "account" => By::Account,
        "token" => By::Token,
        _ => return None,
    })
}

/// What calls came to, as a metric.
pub fn of_calls(metric: &str, calls: &Measures) -> Reading {
    let requests = calls.sum("request_count");
    let mean = |sum: i64, count: i64| match count {
        0 => Reading::Missing,
        count => Reading::Number(sum as f64 / count as f64),
    };
    let found = |value: Option<f64>| value.map_or(Reading::Missing, Reading::Number);
    match metric {
        "request_count" => Reading::Number(requests as f64),
        "error_rate" => mean(requests - calls.sum("success_count"), requests),
        "avg_latency_ms" => mean(calls.sum("duration_ms_sum"), requests),
        "p50_latency_ms" => found(calls.duration.quantile(0.5)),
        "p95_latency_ms" => found(calls.duration.quantile(0.95)),
        "p99_latency_ms" => found(calls.duration.quantile(0.99)),
        "avg_ttft_ms" => mean(calls.sum("ttft_ms_sum"), calls.sum("ttft_count")),
        "p50_ttft_ms" => found(calls.ttft.quantile(0.5)),
        "p95_ttft_ms" => found(calls.ttft.quantile(0.95)),
        "p99_ttft_ms" => found(calls.ttft.quantile(0.99)),
        "prompt_tokens" => Reading::Number(calls.sum("prompt_tokens") as f64),
        "completion_tokens" => Reading::Number(calls.sum("completion_tokens") as f64),
        "unpriced_calls" => Reading::Number(calls.sum("unpriced_count") as f64),
        _ => Reading::Missing,
    }
}

impl Gauges {
    /// Reads what `rule` watches at `now`; `known` are its series so far, `failed` the rules that could not be
    /// evaluated in this round.
    ///
    /// # Errors
    /// A sentence that says why it cannot be measured.
    pub async fn read(
        &self,
        rule: &Rule,
        known: &[Labels],
        failed: usize,
        now: i64,
    ) -> Result<Read, String> {
        refuse(rule)?;
        let cannot = |error: DbErr| {
            tracing::debug!(%error, rule = rule.name, "a metric cannot be read");
            "the database cannot be read".to_owned()
        };
        match source(rule.condition.metric.id) {
            Source::Calls if reach(rule) <= KEPT_US => Ok(self.of_ring(rule, known, now)),
            Source::Calls => self.of_rollups(rule, now).await.map_err(cannot),
            Source::Cost if rule.condition.change => {
                let reading = self.change_of_cost(rule.condition.metric.id, now).await;
                Ok(Read::Series(vec![(
                    Labels::new(),
                    reading.map_err(cannot)?,
                )]))
            }
            Source::Cost => self.of_costs(rule, now).await.map_err(cannot),
            Source::Components if rule.condition.metric.id == "certificate_days" => {
                Ok(self.of_certificates(rule, now))
            }
            Source::Components => Ok(self.of_components(rule)),
            Source::Process => {
                let reading = match rule.condition.change {
                    true if rule.condition.metric.id == "dau" => self.change_of_users(now).await,
                    true => self.change_of_process(rule, failed, now).await,
                    false => self.of_process(rule, failed, now).await,
                };
                Ok(Read::Series(vec![(
                    Labels::new(),
                    reading.map_err(cannot)?,
                )]))
            }
        }
    }

    fn of_ring(&self, rule: &Rule, known: &[Labels], now: i64) -> Read {
        let reach = reach(rule);
        match self.recent.complete_since() {
            // Slots and minutes round down: what lies just before the window is complete as well, or not needed.
            Some(since) if since <= now - reach + 2 * 60_000_000 => {}
            _ => return Read::NotYet,
        }
        let window = micros(rule.window);
        let end = now + SLOT_US;
        let metric = rule.condition.metric.id;
        let judged = |parts: &[(Dimension, Arc<str>)]| {
            let of = |from: i64, to: i64| {
                let mut all = Measures::default();
                for (dimension, name) in parts {
                    all.merge(&self.recent.between(*dimension, name, from, to));
                }
                of_calls(metric, &all)
            };
            let reading = of(now - window, end);
            match rule.condition.change {
                false => reading,
                true => change(&reading, &of(now - 2 * window, now - window)),
            }
        };
        let named = named_labels(rule);
        let Some((label, dimension)) = named
            .first()
            .and_then(|label| Some((label, dimension(label)?)))
        else {
            let total = [(Dimension::Total, Arc::from(""))];
            return Read::Series(vec![(Labels::new(), judged(&total))]);
        };
        let mut names: BTreeSet<Arc<str>> = self.recent.names(dimension).into_iter().collect();
        names.extend(
            known
                .iter()
                .filter_map(|labels| labels.get(label).map(|name| Arc::from(name.as_str()))),
        );
        names.retain(|name| rule.concerns(&Labels::from([(label.clone(), name.to_string())])));
        let parts: Vec<(Dimension, Arc<str>)> =
            names.into_iter().map(|name| (dimension, name)).collect();
        if rule.split_by.is_empty() {
            return Read::Series(vec![(Labels::new(), judged(&parts))]);
        }
        let each = parts.into_iter().map(|part| {
            let labels = Labels::from([(label.clone(), part.1.to_string())]);
            (labels, judged(&[part]))
        });
        Read::Series(each.collect())
    }

    /// Whole hours, or days beyond a week.
    async fn of_rollups(&self, rule: &Rule, now: i64) -> Result<Read, DbErr> {
        let window = micros(rule.window);
        let metric = rule.condition.metric.id;
        let reading = of_calls(metric, &self.calls(now - window, now).await?);
        let reading = match rule.condition.change {
            false => reading,
            true => {
                let before = self.calls(now - 2 * window, now - window).await?;
                change(&reading, &of_calls(metric, &before))
            }
        };
        Ok(Read::Series(vec![(Labels::new(), reading)]))
    }

    async fn calls(&self, from: i64, to: i64) -> Result<Measures, DbErr> {
        let read = &self.databases.ledger_read;
        let (table, from, to) = if to - from > 7 * DAY_US {
            let from = calendar::day_of(self.zone, from);
            (&TOTAL_DAILY, from, to)
        } else {
            (&TOTAL_HOURLY, calendar::hour_of(self.zone, from), to)
        };
        let mut all = Measures::default();
        for row in rollup::rows(read, table, (from, to), &[]).await? {
            all.merge(&row.measures);
        }
        Ok(all)
    }

    pub(super) async fn of_costs(&self, rule: &Rule, now: i64) -> Result<Read, DbErr> {
        let today = calendar::day_of(self.zone, now);
        let from = match rule.condition.metric.id {
            "cost_today" => today,
            _ => month_of(self.zone, today),
        };
        let to = calendar::next_day(self.zone, today);
        let settings = self.settings.load();
        let rates = settings.rates.by_day(self.zone, settings.rate);
        let dollars = |spent: &[&Spent]| {
            let charges = spent.iter().map(|one| (one.day, one.charged));
            Reading::Number(rates.sum(charges, Currency::Usd) as f64 / 1_000_000_000.0)
        };
        let read = &self.databases.ledger_read;
        let named = named_labels(rule);
        let label = named.first();
        let by = label.and_then(|label| spender(label)).unwrap_or(By::Model);
        let spent = spent::by_name(read, by, (from, to)).await?;
        let fits = |one: &&Spent| match label {
            None => true,
            Some(label) => rule.concerns(&Labels::from([(label.clone(), one.name.clone())])),
        };
        let spent: Vec<&Spent> = spent.iter().filter(fits).collect();
        if let (Some(label), false) = (label, rule.split_by.is_empty()) {
            let each = spent.chunk_by(|a, b| a.name == b.name).map(|days| {
                let name = days[0].name.clone();
                (Labels::from([(label.clone(), name)]), dollars(days))
            });
            return Ok(Read::Series(each.collect()));
        }
        Ok(Read::Series(vec![(Labels::new(), dollars(&spent))]))
    }

    /// Against the same stretch of the period before: the hours of today that are over and as many of yesterday, the days of
    /// this month that are over and as many of the month before.
    async fn change_of_cost(&self, metric: &str, now: i64) -> Result<Reading, DbErr> {
        let today = calendar::day_of(self.zone, now);
        let (table, (from, to), before) = match metric {
            "cost_today" => {
                let hour = calendar::hour_of(self.zone, now);
                let yesterday = calendar::day_of(self.zone, today - 1);
                (&TOTAL_HOURLY, (today, hour), yesterday)
            }
            _ => {
                let month = month_of(self.zone, today);
                let before = calendar::day_of(self.zone, month - 1);
                (&TOTAL_DAILY, (month, today), month_of(self.zone, before))
            }
        };
        let to_before = before.saturating_add(to - from).min(from);
        let spent = self.spent(table, (from, to)).await?;
        let spent_before = self.spent(table, (before, to_before)).await?;
        Ok(change_against(spent, spent_before))
    }

    /// Dollars, by the rate of each day.
    async fn spent(&self, table: &RollupTable, range: (i64, i64)) -> Result<f64, DbErr> {
        let settings = self.settings.load();
        let rates = settings.rates.by_day(self.zone, settings.rate);
        let rows = rollup::rows(&self.databases.ledger_read, table, range, &[]).await?;
        let charges = rows.iter().map(|row| {
            let charged = ["cost_usd_nano", "cost_cny_nano"].map(|sum| row.measures.sum(sum));
            (calendar::day_of(self.zone, row.bucket), charged)
        });
        Ok(rates.sum(charges, Currency::Usd) as f64 / 1_000_000_000.0)
    }

    /// Every component is a series of its own, split or not: one that is down does not hide behind another.
    fn of_components(&self, rule: &Rule) -> Read {
        let Some(ask) = self.outside.components.get() else {
            return Read::NotYet;
        };
        let components = ask();
        if components.is_empty() {
            // Nobody has looked yet.
            return Read::NotYet;
        }
        let each = components.into_iter().map(|(name, status)| {
            let labels = Labels::from([("component".to_owned(), name)]);
            // What is not known is no news of it, unless that is what is asked for.
            let reading = match status {
                UNKNOWN if !rule.condition.asks_for(UNKNOWN) => Reading::Missing,
                status => Reading::Word(status.to_owned()),
            };
            (labels, reading)
        });
        Read::Series(each.filter(|(labels, _)| rule.concerns(labels)).collect())
    }

    fn of_certificates(&self, rule: &Rule, now: i64) -> Read {
        let Some(ask) = self.outside.certificates.get() else {
            return Read::NotYet;
        };
        let each = ask().into_iter().map(|(name, expires_at)| {
            let days = expires_at.saturating_sub(now) as f64 / DAY_US as f64;
            let labels = Labels::from([("component".to_owned(), name)]);
            (labels, Reading::Number(days))
        });
        Read::Series(each.filter(|(labels, _)| rule.concerns(labels)).collect())
    }

    /// Of the last two days that are over: what today came to so far says nothing against a whole day.
    async fn change_of_users(&self, now: i64) -> Result<Reading, DbErr> {
        let today = calendar::day_of(self.zone, now);
        let day_before = |day: i64| calendar::day_of(self.zone, day - 1);
        let yesterday = day_before(today);
        let read = &self.databases.ledger_read;
        let (users, _) = active::active_users(read, yesterday).await?;
        let (before, _) = active::active_users(read, day_before(yesterday)).await?;
        Ok(change_against(users as f64, before as f64))
    }

    /// Against what was written down a window ago; of what is counted in windows, against the window before.
    async fn change_of_process(
        &self,
        rule: &Rule,
        failed: usize,
        now: i64,
    ) -> Result<Reading, DbErr> {
        let window = micros(rule.window);
        let before = match rule.condition.metric.id {
            "records_dropped" => self.counted_before("records_dropped", window, now).await?,
            "actor_restarts" => self.counted_before(RESTARTS_EVER, window, now).await?,
            metric => self.written_at(metric, now - window).await?,
        };
        let Some(before) = before else {
            return Ok(Reading::Missing);
        };
        let reading = self.of_process(rule, failed, now).await?;
        Ok(change(&reading, &Reading::Number(before)))
    }

    /// What was counted in the window before the present one, of a count that grows and may begin anew.
    async fn counted_before(
        &self,
        metric: &str,
        window: i64,
        now: i64,
    ) -> Result<Option<f64>, DbErr> {
        let last = self.written_at(metric, now - window).await?;
        let first = self.written_at(metric, now - 2 * window).await?;
        Ok(first.zip(last).map(|(first, last)| match first <= last {
            true => last - first,
            false => last,
        }))
    }

    /// Values are written down at every evaluation, every minute at most: one that is older than this was written before
    /// Steward was away.
    pub(super) fn written_within(&self) -> i64 {
        let every = micros(self.settings.load().alerts_every);
        (every + MINUTE_US).max(10 * MINUTE_US)
    }

    /// What this node wrote down of a metric at a moment, or shortly before it.
    async fn written_at(&self, metric: &str, at: i64) -> Result<Option<f64>, DbErr> {
        let read = &self.databases.events_read;
        let rows =
            metrics_snapshot::list(read, metric, (at - self.written_within(), at + 1)).await?;
        let own = rows.iter().rev();
        let mut own = own.filter(|row| row.node == i64::from(self.node));
        Ok(own.next().map(|row| row.value))
    }

    /// Records lost in the rule's window. What the spool counts goes back to the day its directory was made, and each
    /// minute what it came to is kept, over a restart too.
    async fn lost(&self, dropped: u64, rule: &Rule, now: i64) -> Result<f64, DbErr> {
        let read = &self.databases.events_read;
        let at = now - micros(rule.window);
        let before = metrics_snapshot::newest(read, "records_dropped", self.node, at).await?;
        Ok((dropped as f64 - before.unwrap_or(0.0)).max(0.0))
    }

    /// Restarts in the rule's window. Counted since the process began: a count that fell is one that began anew.
    async fn restarted(&self, ever: u64, rule: &Rule, now: i64) -> Result<f64, DbErr> {
        let read = &self.databases.events_read;
        let at = now - micros(rule.window);
        let before = metrics_snapshot::newest(read, RESTARTS_EVER, self.node, at).await?;
        let ever = ever as f64;
        Ok(match before {
            Some(before) if before <= ever => ever - before,
            _ => ever,
        })
    }

    pub(super) async fn of_process(
        &self,
        rule: &Rule,
        failed: usize,
        now: i64,
    ) -> Result<Reading, DbErr> {
        let metric = rule.condition.metric.id;
        let books = self.spool.ledger();
        Ok(match metric {
            "spool_depth" => Reading::Number(books.spooled as f64),
            "records_dropped" => Reading::Number(self.lost(books.dropped, rule, now).await?),
            "dead_letters" => {
                let waiting = dead_letter::waiting(&self.databases.ledger_read).await?;
                Reading::Number(waiting as f64)
            }
            "stray_rows" => Reading::Number(self.writer.borrow().stray_rows as f64),
            "recount_differences" => {
                let since = now - RECOUNTS_REMEMBERED_US;
                let off = daily::differences_since(&self.databases.ledger_read, since).await?;
                Reading::Number(off as f64)
            }
            "evaluation_failed" => Reading::Number(failed as f64),
            "actor_restarts" => match self.outside.restarts.get() {
                Some(ask) => Reading::Number(self.restarted(ask(), rule, now).await?),
                None => Reading::Missing,
            },
            "channels_failing" => {
                let rows = channel::all(&self.databases.control_read).await?;
                let failing = rows.iter().filter(|row| {
                    row.disabled_reason.is_some() || (row.enabled && row.fails_at(now))
                });
                Reading::Number(failing.count() as f64)
            }
            "dau" => {
                let today = calendar::day_of(self.zone, now);
                let (users, _) = active::active_users(&self.databases.ledger_read, today).await?;
                Reading::Number(users as f64)
            }
            "backup_age" => {
                let read = &self.databases.control_read;
                let newest = backup::newest(read).await?;
                let at = match newest.and_then(|row| row.finished_at) {
                    Some(at) => Some(at),
                    // Wanted, and there has never been one: as old as the wish.
                    None => backup_plan::get(read)
                        .await?
                        .filter(|plan| plan.enabled)
                        .map(|plan| plan.created_at),
                };
                at.map_or(Reading::Missing, |at| {
                    Reading::Number((now - at).max(0) as f64 / 1e6)
                })
            }
            "drill_failed" => {
                let last = backup::last_drilled(&self.databases.control_read).await?;
                last.map_or(Reading::Missing, |row| {
                    let failed = row.drill_works == Some(false);
                    Reading::Number(f64::from(u8::from(failed)))
                })
            }
            "pending_feedbacks" => {
                let waiting = feedback::pending(&self.databases.control_read, Scope::All).await?;
                Reading::Number(waiting as f64)
            }
            "unsynced_qa" if self.embeds => {
                let waiting = qa_pair::Filter {
                    is_synced: Some(false),
                    ..qa_pair::Filter::default()
                };
                let read = &self.databases.control_read;
                Reading::Number(qa_pair::count(read, Scope::All, &waiting).await? as f64)
            }
            // Measured by capabilities that may not be there: embedding, certificates.
            _ => Reading::Missing,
        })
    }
}

/// Metrics that are 0 or 1: their change says nothing.
fn is_yes_or_no(metric: &str) -> bool {
    metric == "drill_failed"
}

const MINUTE_US: i64 = 60_000_000;

/// What the restarts since the process began are written down as, for the windows of rules.
pub(super) const RESTARTS_EVER: &str = "actor_restarts_ever";

/// A recount is made every night; what it found is told of until the next but one.
const RECOUNTS_REMEMBERED_US: i64 = 2 * DAY_US;

pub(super) fn change(now: &Reading, before: &Reading) -> Reading {
    match (now, before) {
        (Reading::Number(now), Reading::Number(before)) => change_against(*now, *before),
        _ => Reading::Missing,
    }
}

fn month_of(zone: Tz, today: i64) -> i64 {
    let date = calendar::date_of(zone, today);
    let first = NaiveDate::from_ymd_opt(date.year(), date.month(), 1).unwrap_or(date);
    calendar::start_of(zone, first)
}
