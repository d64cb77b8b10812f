//! What there is that grows old: one entry each. How long it stays is a setting where somebody might want it otherwise.

use steward_entities::expiry::{self, Expiring};

use crate::domain::setting::Settings;

/// Something that grows old.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// Calls: who, what, how long, how much. Not what was said.
    RequestLogs,
    /// What was said.
    Contents,
    SystemLogs,
    HealthChecks,
    MetricsSnapshots,
    Deliveries,
    Outbox,
    Alerts,
    HourlyCounts,
    Sessions,
    IdempotencyKeys,
}

/// Which database it is in.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Home {
    Control,
    Ledger,
    Events,
    Contents,
}

/// A request may be repeated with the same idempotency key for a day.
const ANSWER_DAYS: u32 = 1;
/// Expired sessions stay this long, to tell a stolen refresh secret from an unknown one.
const SESSION_DAYS: u32 = 7;
/// Counts by the hour of every token, account, mode and model; those by the day stay for ever.
const HOURLY_DAYS: u32 = 35;
/// The same in microseconds.
pub const HOURLY_CUBE_KEPT_MICROS: i64 = HOURLY_DAYS as i64 * 24 * 3_600_000_000;

impl Kind {
    /// Everything, in the order in which it is looked at: what is short first.
    pub const ALL: [Self; 11] = [
        Self::Sessions,
        Self::IdempotencyKeys,
        Self::Outbox,
        Self::Alerts,
        Self::MetricsSnapshots,
        Self::HealthChecks,
        Self::Deliveries,
        Self::SystemLogs,
        Self::HourlyCounts,
        Self::Contents,
        Self::RequestLogs,
    ];

    /// As the table is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RequestLogs => "request_logs",
            Self::Contents => "contents",
            Self::SystemLogs => "system_logs",
            Self::HealthChecks => "health_checks",
            Self::MetricsSnapshots => "metrics_snapshots",
            Self::Deliveries => "deliveries",
            Self::Outbox => "outbox",
            Self::Alerts => "alerts",
            Self::HourlyCounts => "usage_stats_hourly",
            Self::Sessions => "sessions",
            Self::IdempotencyKeys => "idempotency_keys",
        }
    }

    /// Where it is.
    pub const fn home(self) -> Home {
        match self {
            Self::RequestLogs | Self::HourlyCounts => Home::Ledger,
            Self::Contents => Home::Contents,
            Self::SystemLogs | Self::HealthChecks | Self::MetricsSnapshots | Self::Deliveries => {
                Home::Events
            }
            Self::Outbox | Self::Alerts | Self::Sessions | Self::IdempotencyKeys => Home::Control,
        }
    }

    /// Its table; `None` for what is not in one.
    pub const fn table(self) -> Option<&'static Expiring> {
        match self {
            Self::RequestLogs => Some(&expiry::REQUEST_LOGS),
            Self::Contents => None,
            Self::SystemLogs => Some(&expiry::SYSTEM_LOGS),
            Self::HealthChecks => Some(&expiry::HEALTH_CHECKS),
            Self::MetricsSnapshots => Some(&expiry::METRICS_SNAPSHOTS),
            Self::Deliveries => Some(&expiry::DELIVERIES),
            Self::Outbox => Some(&expiry::OUTBOX),
            Self::Alerts => Some(&expiry::ALERTS),
            Self::HourlyCounts => Some(&expiry::USAGE_STATS_HOURLY),
            Self::Sessions => Some(&expiry::SESSIONS),
            Self::IdempotencyKeys => Some(&expiry::IDEMPOTENCY_KEYS),
        }
    }

    /// Whether its age is a record id rather than a time.
    pub const fn by_rid(self) -> bool {
        matches!(self, Self::RequestLogs | Self::Contents)
    }

    /// The setting that says for how many days it stays; `None` where that is fixed.
    pub const fn setting(self) -> Option<&'static str> {
        match self {
            Self::RequestLogs => Some("retention.request_logs_days"),
            Self::Contents => Some("retention.contents_days"),
            Self::SystemLogs => Some("retention.system_logs_days"),
            Self::HealthChecks => Some("retention.health_checks_days"),
            Self::MetricsSnapshots => Some("retention.metrics_snapshots_days"),
            Self::Deliveries | Self::Outbox => Some("retention.deliveries_days"),
            Self::Alerts => Some("retention.alerts_days"),
            Self::HourlyCounts | Self::Sessions | Self::IdempotencyKeys => None,
        }
    }

    /// For how many days it stays; 0 is for ever.
    pub fn days(self, settings: &Settings) -> u32 {
        let set = &settings.retention;
        match self {
            Self::RequestLogs => set.request_logs_days,
            Self::Contents => set.contents_days,
            Self::SystemLogs => set.system_logs_days,
            Self::HealthChecks => set.health_checks_days,
            Self::MetricsSnapshots => set.metrics_snapshots_days,
            Self::Deliveries | Self::Outbox => set.deliveries_days,
            Self::Alerts => set.alerts_days,
            Self::HourlyCounts => HOURLY_DAYS,
            Self::Sessions => SESSION_DAYS,
            Self::IdempotencyKeys => ANSWER_DAYS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::setting::definition;

    #[test]
    fn each_is_looked_at_once_and_its_setting_is_one() {
        let mut names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            if let Some(setting) = kind.setting() {
                assert!(definition(setting).is_some(), "{setting}");
            }
            assert!(kind.table().is_none() == (kind == Kind::Contents));
        }
    }
}
