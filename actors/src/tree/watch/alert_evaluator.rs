//! `alert_evaluator`: reads what the rules watch, and writes down what became of it.
//!
//! A reconciler: a tick or a nudge, read the state, act. A rule's round is one transaction — where its series stand,
//! incidents, the notices for the outbox — so that a process killed at any moment has told of a change or not made it.
//! All decisions are [`crate::domain::alert`]'s; sending is `notifier`'s. Several nodes on one database take turns: a
//! round that another node has just done is left out.

mod history;
pub mod measure;
pub mod outside;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use sea_orm::DbErr;
use serde::Serialize;
use steward_entities::alert_series;
use steward_entities::database::begin_write;
use steward_entities::{alert_rule, channel, public_id};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::alert_book::{Settled, Step, Telling, rule_of, series_of, silenced, silences_at};
use crate::domain::alert::condition::{Reading, Verdict};
use crate::domain::alert::machine::{State, micros};
use crate::domain::alert::rule::Rule;
use crate::domain::alert::series::Series;
use crate::domain::alert::silence::Silence;
use crate::domain::alert::telling::Known;
use crate::domain::alert::{Labels, labels_text};
use crate::domain::clock::SharedClock;
use crate::fault_point;
use crate::live::{Switchboard, Topic};
use crate::supervision::{ActorRef, ChildSpec, Incarnation};

use measure::{Gauges, Read};
use outside::Roll;

/// How often it sees whether a round is due; oftener when rounds are.
const BEAT: Duration = Duration::from_secs(1);
/// The label that names a component.
const COMPONENT: &str = "component";
/// A round that takes longer is given up; the next one begins anew.
const ROUND_WITHIN: Duration = Duration::from_secs(45);
const MINUTE_US: i64 = 60_000_000;
/// How long the last two hours may be unknown before that is an error.
const NOT_YET_MAX_US: i64 = 300_000_000;

/// What evaluator, notifier and handlers share. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    /// Rung when something was put into the outbox.
    pub filled: Arc<Notify>,
    /// When the last round ended well, microseconds since the Unix epoch; 0 before the first.
    pub last_round: Arc<AtomicI64>,
}

/// What it works with. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    /// The settings in there say how often it evaluates.
    pub gauges: Gauges,
    /// Where the console is, for links; empty when that is not known.
    pub console_url: String,
    pub board: Arc<Switchboard>,
    pub shared: Shared,
    pub clock: SharedClock,
}

/// Evaluate now.
#[derive(Clone, Copy, Debug)]
pub struct Evaluate;

impl Message for Evaluate {
    type Result = ();
}

/// The actor.
pub struct AlertEvaluator {
    parts: Parts,
    /// A round is under way: there is never more than one.
    at_work: bool,
    /// When the last one began.
    begun: Option<Instant>,
    /// Since when this incarnation runs.
    started_at: i64,
    /// The minute of the clock whose gauges were written down last.
    sampled: i64,
}

/// The child spec of `root/watch/alert_evaluator`.
pub fn spec(actor: &ActorRef<AlertEvaluator>, parts: Parts) -> ChildSpec {
    ChildSpec::new("alert_evaluator", actor, move |me| {
        AlertEvaluator::new(me, parts.clone())
    })
}

/// What a round came to.
#[derive(Debug, Default)]
pub struct Round {
    pub steps: Vec<Step>,
    /// Rules that could not be evaluated, and why.
    pub failed: Vec<(String, String)>,
    /// Notices put into the outbox.
    pub notices: usize,
}

/// What subscribers of `alerts` get.
#[derive(Serialize)]
struct News<'a> {
    steps: &'a [Step],
}

/// Tells whoever looks on, and wakes the notifier.
pub fn announce(board: &Switchboard, shared: &Shared, steps: &[Step], notices: usize) {
    if !steps.is_empty() {
        board.publish(Topic::Alerts, &News { steps });
    }
    if notices > 0 {
        shared.filled.notify_one();
    }
}

/// The nearest component that `component` stands on, directly or not, and that is breached: nothing is told of `component`
/// meanwhile.
pub fn inhibited_by<'a>(
    parents: &'a BTreeMap<String, String>,
    component: &str,
    is_breached: impl Fn(&str) -> bool,
) -> Option<&'a str> {
    const DEPTH_MAX: usize = 8;
    let mut above = parents.get(component)?;
    for _ in 0..DEPTH_MAX {
        if is_breached(above) {
            return Some(above);
        }
        above = parents.get(above)?;
    }
    None
}

/// Evaluates every rule once.
///
/// # Errors
/// When the rules themselves cannot be read or written.
pub async fn round(parts: &Parts, since_start_us: i64) -> Result<Round, DbErr> {
    let read = &parts.gauges.databases.control_read;
    let mut rules = alert_rule::all(read).await?;
    // Rules about rules come last: they count this round's failures.
    rules.sort_by_key(|row| row.condition.contains("evaluation_failed"));
    let mut round = Round::default();
    for row in rules {
        evaluate(parts, &row, since_start_us, &mut round).await?;
    }
    Ok(round)
}

async fn evaluate(
    parts: &Parts,
    row: &alert_rule::Model,
    since_start_us: i64,
    round: &mut Round,
) -> Result<(), DbErr> {
    let databases = &parts.gauges.databases;
    let now = parts.clock.now_micros();
    let known = alert_series::of_rule(&databases.control_read, row.id).await?;
    let labels: Vec<Labels> = known.iter().map(|row| row.labels.0.clone()).collect();
    let rule = rule_of(row);
    // Before it is read: what is looked at for the first time in between is not taken for missing.
    let roll = parts.gauges.outside.roll();
    let reading = match &rule {
        Err(why) => Err(why.clone()),
        Ok(_) if !row.enabled => Ok(Read::Series(Vec::new())),
        Ok(rule) => {
            parts
                .gauges
                .read(rule, &labels, round.failed.len(), now)
                .await
        }
    };
    let failure = match reading {
        Ok(Read::NotYet) if since_start_us < NOT_YET_MAX_US => return Ok(()),
        Ok(Read::NotYet) => Some("the last two hours cannot be read from the log".to_owned()),
        Ok(Read::Series(_)) => None,
        Err(ref why) => Some(why.clone()),
    };
    if let Some(why) = &failure {
        round.failed.push((row.name.clone(), why.clone()));
    }
    let readings = match (reading, &failure) {
        (Ok(Read::Series(readings)), _) => readings,
        (_, why) => {
            let failed = Reading::Failed(why.clone().unwrap_or_default());
            labels
                .iter()
                .map(|labels| (labels.clone(), failed.clone()))
                .collect()
        }
    };

    let txn = begin_write(&databases.control).await?;
    let Some(held) = alert_rule::hold(&txn, row.id).await? else {
        return Ok(());
    };
    let half = micros(parts.gauges.settings.load().alerts_every) / 2;
    let just_done = held
        .evaluated_at
        .is_some_and(|at| (0..half).contains(&(now - at)));
    if held.version != row.version || just_done {
        return Ok(());
    }
    let mut settled = Settled::default();
    if let Ok(rule) = &rule {
        let channels = channel::all(&txn).await?;
        let telling = Telling {
            txn: &txn,
            row: &held,
            rule,
            channels: &channels,
            console_url: &parts.console_url,
            operator: None,
            now,
        };
        let quiet = Quiet {
            silences: silences_at(&txn, now).await?,
            parents: parts.gauges.outside.parents(),
            roll,
        };
        step_all(&telling, &quiet, readings, &mut settled).await?;
    }
    alert_rule::evaluated(&txn, row.id, failure, now).await?;
    if settled.notices > 0 {
        fault_point::reached("alert_evaluator.telling");
    }
    txn.commit().await?;
    if settled.notices > 0 {
        fault_point::reached("alert_evaluator.told");
    }
    announce(&parts.board, &parts.shared, &settled.steps, settled.notices);
    round.notices += settled.notices;
    round.steps.append(&mut settled.steps);
    Ok(())
}

/// Why nobody is told of a series, though it is evaluated and kept as ever, or why nothing can be said of it.
struct Quiet {
    silences: Vec<Silence>,
    /// What each component stands on.
    parents: BTreeMap<String, String>,
    roll: Roll,
}

/// Steps every series of a rule: those that were read, and those that were not.
async fn step_all(
    telling: &Telling<'_>,
    quiet: &Quiet,
    readings: Vec<(Labels, Reading)>,
    settled: &mut Settled,
) -> Result<(), DbErr> {
    let (rule, row, now) = (telling.rule, telling.row, telling.now);
    let mut kept: BTreeMap<String, alert_series::Model> =
        alert_series::of_rule(telling.txn, row.id)
            .await?
            .into_iter()
            .map(|row| (row.labels_key.clone(), row))
            .collect();
    let mut readings: BTreeMap<String, (Labels, Reading)> = readings
        .into_iter()
        .map(|(labels, reading)| (labels_text(&labels), (labels, reading)))
        .collect();
    let component = |labels: &Labels| labels.get(COMPONENT).cloned().unwrap_or_default();
    let by_component = rule.condition.metric.is_by_component();
    for (key, series) in &kept {
        let labels = &series.labels.0;
        // A process that has just started has not looked at everything yet: what was known of the rest stands.
        if row.enabled && by_component && quiet.roll.is_awaited(&component(labels)) {
            continue;
        }
        readings
            .entry(key.clone())
            .or_insert_with(|| (labels.clone(), Reading::Missing));
    }
    let is_down = |reading: &Reading| {
        *reading == Reading::Word("unhealthy".to_owned())
            && rule.condition.judge(reading) == Verdict::Breach
    };
    let breached: BTreeSet<String> = readings
        .values()
        .filter(|(_, reading)| is_down(reading))
        .filter_map(|(labels, _)| labels.get(COMPONENT).cloned())
        .collect();
    for (key, (labels, reading)) in readings {
        let known = kept.remove(&key);
        let before = known.as_ref().map(series_of).unwrap_or_default();
        let mut series = before.clone();
        let value = reading.text(rule.condition.unit());
        let is_gone = by_component && quiet.roll.is_gone(&component(&labels));
        if !row.enabled || is_gone || !belongs(rule, &labels) {
            let done = series.retire(now);
            telling
                .settle(&before, &series, &done, &labels, &value, settled)
                .await?;
            alert_series::remove(telling.txn, row.id, &key).await?;
            continue;
        }
        if known
            .as_ref()
            .is_some_and(|known| known.rule_version != row.version)
        {
            series.start_over();
        }
        let is_quiet = silenced(&quiet.silences, &rule.name, rule.severity, &labels, now)
            || labels.get(COMPONENT).is_some_and(|component| {
                inhibited_by(&quiet.parents, component, |above| breached.contains(above)).is_some()
            });
        let mut done = series.round(rule, &reading, is_quiet, now, || public_id::new("alt"));
        if !is_quiet && done.notices.is_empty() {
            done.notices.extend(series.say_again());
        }
        let idle = is_idle(&series);
        if known.is_none() && idle {
            continue;
        }
        telling
            .settle(&before, &series, &done, &labels, &value, settled)
            .await?;
        if idle && reading == Reading::Missing {
            alert_series::remove(telling.txn, row.id, &key).await?;
        }
    }
    Ok(())
}

/// Whether the rule, as it is now, makes a series of these labels.
fn belongs(rule: &Rule, labels: &Labels) -> bool {
    let of_components = rule.condition.metric.is_by_component();
    let has: BTreeSet<&str> = labels.keys().map(String::as_str).collect();
    let makes: BTreeSet<&str> = match of_components {
        true => BTreeSet::from([COMPONENT]),
        false => rule.split_by.iter().map(String::as_str).collect(),
    };
    has == makes && (makes.is_empty() || rule.concerns(labels))
}

/// Whether there is nothing to remember of it.
fn is_idle(series: &Series) -> bool {
    series.instance.state == State::Inactive
        && series.instance.error_since.is_none()
        && series.instance.changes.is_empty()
        && series.incident.is_none()
        && series.carried.is_none()
        && match series.told.as_ref().map(|told| &told.what) {
            None | Some(Known::Resolved(_)) => true,
            Some(Known::Firing(_) | Known::Flapping { .. }) => false,
        }
}

impl AlertEvaluator {
    /// One that has evaluated nothing yet.
    pub fn new(_me: Incarnation<Self>, parts: Parts) -> Self {
        Self {
            started_at: parts.clock.now_micros(),
            parts,
            at_work: false,
            begun: None,
            sampled: i64::MIN,
        }
    }

    /// Looks as often as the setting says, also when it says otherwise than a moment ago.
    fn beat(&mut self, ctx: &mut Context<Self>) {
        let every = self.parts.gauges.settings.load().alerts_every;
        if self.begun.is_none_or(|begun| begun.elapsed() >= every) {
            self.look(ctx);
        }
        ctx.run_later(every.min(BEAT), Self::beat);
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.at_work, true) {
            return;
        }
        self.begun = Some(Instant::now());
        let parts = self.parts.clone();
        let now = parts.clock.now_micros();
        let since_start = now - self.started_at;
        let minute = now.div_euclid(MINUTE_US);
        let samples = std::mem::replace(&mut self.sampled, minute) != minute;
        let work = async move {
            let home = parts.gauges.databases.clone();
            let evaluating = home.at_home(async move {
                let round = round(&parts, since_start).await?;
                let failed = round.failed.len();
                if samples && let Err(error) = parts.gauges.sample(failed, now).await {
                    tracing::debug!(%error, "a minute of gauges is not kept");
                }
                Ok(round)
            });
            tokio::time::timeout(ROUND_WITHIN, evaluating)
                .await
                .unwrap_or_else(|_| Err(DbErr::Custom("no answer in time".to_owned())))
        };
        ctx.spawn(work.into_actor(self).map(|result, this, _| {
            this.at_work = false;
            match result {
                Ok(round) => {
                    let now = this.parts.clock.now_micros();
                    this.parts.shared.last_round.store(now, Ordering::Release);
                    for (rule, reason) in &round.failed {
                        tracing::warn!(rule, reason, "an alert rule cannot be evaluated");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "alert rules cannot be evaluated; trying again at the next round");
                }
            }
        }));
    }
}

impl Actor for AlertEvaluator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.beat(ctx);
    }
}

impl Handler<Evaluate> for AlertEvaluator {
    type Result = ();

    fn handle(&mut self, _: Evaluate, ctx: &mut Context<Self>) {
        self.look(ctx);
    }
}
