//! Writing down what a round of a series came to.
//!
//! Somebody was told when there was a channel to tell. Where there is none, the step is written down as untold, for all that
//! the console's bell rings, and the series remembers it: a channel which is added later hears of what fires then.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};
use serde::Serialize;
use steward_entities::column::{TextList, TextMap};
use steward_entities::{
    alert, alert_rule, alert_series, alert_silence, alert_transition, channel, outbox,
};

use super::rows::{kept_notice, row_of};
use crate::domain::alert::Labels;
use crate::domain::alert::rule::{Rule, Severity};
use crate::domain::alert::series::{Round, Series};
use crate::domain::alert::silence::{Matcher, Silence};
use crate::domain::alert::telling::Notice as Tell;
use crate::domain::notice::{Event, Notice};

/// A step of an incident, for whoever looks on.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Step {
    /// Public id of the incident.
    pub alert: String,
    pub event: &'static str,
    pub rule: String,
    pub severity: String,
    pub labels: Labels,
    pub value: String,
    /// A channel was told.
    pub told: bool,
    /// The bell rings for it.
    pub rings: bool,
}

/// What was written.
#[derive(Debug, Default)]
pub struct Settled {
    pub steps: Vec<Step>,
    /// Notices put into the outbox.
    pub notices: usize,
}

/// The silences in force at `now`. One that cannot be read silences nobody.
///
/// # Errors
/// When the database cannot be read.
pub async fn silences_at(
    connection: &impl ConnectionTrait,
    now: i64,
) -> Result<Vec<Silence>, DbErr> {
    let rows = alert_silence::at(connection, now).await?;
    let read = |row: alert_silence::Model| {
        let matchers: Option<Vec<Matcher>> = row
            .matchers
            .0
            .iter()
            .map(|text| Matcher::parse(text))
            .collect();
        Some(Silence {
            matchers: matchers?,
            from: row.from_at,
            to: row.to_at,
        })
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Whether nobody is told of this series at `now`.
pub fn silenced(
    silences: &[Silence],
    rule: &str,
    severity: Severity,
    labels: &Labels,
    now: i64,
) -> bool {
    let mut all = labels.clone();
    all.insert("rule".to_owned(), rule.to_owned());
    all.insert("severity".to_owned(), severity.as_str().to_owned());
    silences.iter().any(|silence| silence.holds(&all, now))
}

/// Where a round is written: a transaction that holds the rule's row.
pub struct Telling<'a> {
    pub txn: &'a DatabaseTransaction,
    pub row: &'a alert_rule::Model,
    pub rule: &'a Rule,
    /// Every channel.
    pub channels: &'a [channel::Model],
    /// Where the console is; empty when that is not known.
    pub console_url: &'a str,
    /// Name of the operator who did it, if one did.
    pub operator: Option<&'a str>,
    pub now: i64,
}

impl Telling<'_> {
    /// Writes what became of a series: `before` the round, and now.
    ///
    /// # Errors
    /// When the database cannot be written; the transaction must not be committed then.
    pub async fn settle(
        &self,
        before: &Series,
        series: &Series,
        round: &Round,
        labels: &Labels,
        value: &str,
        settled: &mut Settled,
    ) -> Result<(), DbErr> {
        let was: Vec<&String> = before.incident.iter().chain(&before.carried).collect();
        let is: Vec<&String> = series.incident.iter().chain(&series.carried).collect();
        let ended: Vec<&String> = was.iter().filter(|id| !is.contains(id)).copied().collect();
        let begun = series.incident.as_ref().filter(|id| !was.contains(id));
        if let Some(id) = begun {
            self.begin(id, series, labels, value).await?;
        }
        for id in &ended {
            if let Some(alert) = alert::by_public_id(self.txn, id).await? {
                alert::resolve(self.txn, &alert, self.operator, self.now).await?;
            }
        }
        // What happened and nobody is told of is written down as well.
        for id in &ended {
            if !round.notices.contains(&Tell::Resolved((*id).clone())) {
                self.step(id, Event::Resolved, value, false, settled)
                    .await?;
            }
        }
        let mut unheard = series.unheard;
        for notice in &round.notices {
            let (id, event) = match notice {
                Tell::Fired(id) => (Some(id), Event::Fired),
                Tell::Resolved(id) => (Some(id), Event::Resolved),
                Tell::Repeated(id) => (Some(id), Event::Repeated),
                Tell::Flapping => {
                    let moved = round.transition.as_ref().map(|(_, id)| id);
                    (moved.or(is.first().copied()), Event::Flapping)
                }
            };
            let Some(alert) = self.incident(id).await? else {
                continue;
            };
            let receivers = self.receivers(&alert, event, before.unheard).await?;
            let is_heard = !receivers.is_empty();
            // Said before, to nobody: it rang then, and is no news until somebody hears it.
            let is_late = series.unheard && event == Event::Fired && before.told == series.told;
            unheard = match event {
                Event::Fired => !is_heard,
                Event::Resolved => false,
                _ => unheard && !is_heard,
            };
            if is_heard || !is_late {
                self.write(alert, event, value, (!is_late, receivers), settled)
                    .await?;
            }
        }
        if let Some(id) = begun
            && !round.notices.contains(&Tell::Fired(id.clone()))
        {
            self.step(id, Event::Fired, value, false, settled).await?;
        }
        let series = Series {
            unheard,
            ..series.clone()
        };
        alert_series::put(self.txn, row_of(self.row, labels, &series, value)).await
    }

    async fn incident(&self, id: Option<&String>) -> Result<Option<alert::Model>, DbErr> {
        match id {
            Some(id) => alert::by_public_id(self.txn, id).await,
            None => Ok(None),
        }
    }

    async fn begin(
        &self,
        id: &str,
        series: &Series,
        labels: &Labels,
        value: &str,
    ) -> Result<(), DbErr> {
        let new = alert::NewAlert {
            public_id: id.to_owned(),
            rule_id: self.row.public_id.clone(),
            rule: self.row.name.clone(),
            severity: self.row.severity.clone(),
            labels: TextMap(labels.clone()),
            condition: self.rule.condition.to_string(),
            value: value.to_owned(),
            channels: TextList(self.row.channels.0.clone()),
            active_at: series.instance.active_at.unwrap_or(self.now),
        };
        alert::insert(self.txn, new, self.now).await.map(drop)
    }

    /// Writes a step of an incident and, when it is to be told, a notice for each channel.
    pub(super) async fn step(
        &self,
        incident: &str,
        event: Event,
        value: &str,
        rings: bool,
        settled: &mut Settled,
    ) -> Result<(), DbErr> {
        let Some(alert) = alert::by_public_id(self.txn, incident).await? else {
            return Ok(());
        };
        let receivers = match rings {
            true => self.receivers(&alert, event, false).await?,
            false => Vec::new(),
        };
        self.write(alert, event, value, (rings, receivers), settled)
            .await
    }

    async fn write(
        &self,
        alert: alert::Model,
        event: Event,
        value: &str,
        (rings, receivers): (bool, Vec<&channel::Model>),
        settled: &mut Settled,
    ) -> Result<(), DbErr> {
        let told = !receivers.is_empty();
        let step = alert_transition::Step {
            alert_id: alert.id,
            event: event.as_str(),
            value,
            operator: self.operator,
            told,
            rings,
        };
        let transition = alert_transition::insert(self.txn, step, self.now).await?;
        settled.steps.push(Step {
            alert: alert.public_id.clone(),
            event: event.as_str(),
            rule: alert.rule.clone(),
            severity: alert.severity.clone(),
            labels: alert.labels.0.clone(),
            value: value.to_owned(),
            told,
            rings,
        });
        if !told {
            return Ok(());
        }
        let link = match self.console_url {
            "" => String::new(),
            base => format!("{base}/alerts?incident={}", alert.public_id),
        };
        let notice = Notice {
            // The outbox names it.
            id: String::new(),
            event,
            at: self.now,
            incident: alert.public_id.clone(),
            rule: alert.rule,
            severity: self.rule.severity,
            labels: alert.labels.0,
            value: value.to_owned(),
            condition: alert.condition,
            since: alert.active_at,
            link,
        };
        let kept = kept_notice(&notice);
        for channel in receivers {
            let new = outbox::NewNotice {
                transition_id: transition.id,
                channel_id: channel.id,
                incident: notice.incident.clone(),
                notice: kept.clone(),
            };
            outbox::insert(self.txn, new, self.now).await?;
            settled.notices += 1;
        }
        Ok(())
    }

    /// Who is told: the rule's channels when it fired, those that are enabled. Of the end also those that were disabled
    /// after they had heard of it: it waits for them. What nobody heard begin, nobody hears end.
    async fn receivers(
        &self,
        alert: &alert::Model,
        event: Event,
        unheard: bool,
    ) -> Result<Vec<&channel::Model>, DbErr> {
        let named = &alert.channels.0;
        let heard = match event {
            Event::Resolved => outbox::channels_of(self.txn, &alert.public_id).await?,
            _ => BTreeSet::new(),
        };
        let takes = |channel: &channel::Model| match named.is_empty() {
            true => channel.takes_all,
            false => named.contains(&channel.public_id),
        };
        let hears = !(unheard && event == Event::Resolved);
        let channels = self.channels.iter();
        Ok(channels
            .filter(|channel| {
                heard.contains(&channel.id) || (hears && channel.enabled && takes(channel))
            })
            .collect())
    }
}
