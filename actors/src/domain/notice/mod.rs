//! Notices as values: what is told, how each kind of receiver wants it written and signed, and what its answer
//! means.
//!
//! - [`standard_webhooks`]: signatures by Standard Webhooks 1.0;
//! - [`body`]: the body for each kind of receiver, [`email`] the same as a mail;
//! - [`answer`]: delivered, later, or never — chat robots say so in the body of a 200;
//! - [`backoff`]: when to try again.
//!
//! Nothing here opens a connection; the clock is the caller's.

pub mod answer;
pub mod backoff;
pub mod body;
pub mod email;
pub mod standard_webhooks;
#[cfg(test)]
mod tests;

use crate::domain::alert::Labels;
use crate::domain::alert::rule::Severity;

/// What happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    Fired,
    Resolved,
    Acknowledged,
    /// It still fires.
    Repeated,
    /// It comes and goes; said once.
    Flapping,
    /// Somebody pressed "test".
    Test,
}

impl Event {
    /// As stored.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "fired" => Self::Fired,
            "resolved" => Self::Resolved,
            "acknowledged" => Self::Acknowledged,
            "repeated" => Self::Repeated,
            "flapping" => Self::Flapping,
            "test" => Self::Test,
            _ => return None,
        })
    }

    /// As stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Resolved => "resolved",
            Self::Acknowledged => "acknowledged",
            Self::Repeated => "repeated",
            Self::Flapping => "flapping",
            Self::Test => "test",
        }
    }

    /// The payload's `type`. Whoever reads it knows an incident that still fires, or flaps, as fired.
    pub const fn webhook_type(self) -> &'static str {
        match self {
            Self::Fired | Self::Repeated | Self::Flapping => "alert.fired",
            Self::Resolved => "alert.resolved",
            Self::Acknowledged => "alert.acknowledged",
            Self::Test => "test",
        }
    }
}

/// One thing to tell. Times are microseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The same on every attempt and after every restart.
    pub id: String,
    pub event: Event,
    /// When it happened.
    pub at: i64,
    /// The incident's public id.
    pub incident: String,
    pub rule: String,
    pub severity: Severity,
    pub labels: Labels,
    /// What was measured, as text.
    pub value: String,
    /// What it was held against: `error_rate > 0.1`.
    pub condition: String,
    /// When the breach began.
    pub since: i64,
    /// Where the console shows it; empty when the console's address is not known.
    pub link: String,
}

/// A kind of receiver.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Webhook,
    Slack,
    Feishu,
    Dingtalk,
    Wecom,
    Pagerduty,
    Alertmanager,
}

impl Kind {
    /// All of them, in the order they are offered.
    pub const ALL: [Self; 7] = [
        Self::Webhook,
        Self::Slack,
        Self::Feishu,
        Self::Dingtalk,
        Self::Wecom,
        Self::Pagerduty,
        Self::Alertmanager,
    ];

    /// Whether people read it, who are served better by one message than by ten. Programs get each notice by itself.
    pub const fn is_for_people(self) -> bool {
        matches!(
            self,
            Self::Slack | Self::Feishu | Self::Dingtalk | Self::Wecom
        )
    }

    /// As written in channels.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::Feishu => "feishu",
            Self::Dingtalk => "dingtalk",
            Self::Wecom => "wecom",
            Self::Pagerduty => "pagerduty",
            Self::Alertmanager => "alertmanager",
        }
    }
}
