//! A day as the remote has it, and what differs between here and there.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use steward_entities::dashboard_stats;

use crate::domain::decimal::nano;

/// A day. Always with every field, so that rows of a batch have one shape.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct RemoteRow {
    /// `YYYY-MM-DD`.
    pub stat_date: String,
    pub daily_active_users: i64,
    pub jwt_active_users: i64,
    pub ai_requests: i64,
    pub success_rate: Option<f64>,
    pub total_tokens: i64,
    /// A decimal number of `currency`.
    pub cost: Option<String>,
    pub currency: Option<String>,
    pub api_connectivity: Option<f64>,
    pub jwt_availability: Option<f64>,
    pub p95_duration_ms: Option<f64>,
    /// RFC 3339; not told when rows are read back, and not compared.
    #[serde(default)]
    pub updated_at: String,
    #[serde(default)]
    pub synced_at: String,
}

/// Columns that are compared, in the order of [`RemoteRow`].
pub(super) const COLUMNS: [&str; 11] = [
    "stat_date",
    "daily_active_users",
    "jwt_active_users",
    "ai_requests",
    "success_rate",
    "total_tokens",
    "cost",
    "currency",
    "api_connectivity",
    "jwt_availability",
    "p95_duration_ms",
];

impl RemoteRow {
    /// A day as it is pushed at `now`.
    pub fn of(row: &dashboard_stats::Model, now: i64) -> Self {
        Self {
            stat_date: row.stat_date.clone(),
            daily_active_users: row.daily_active_users,
            jwt_active_users: row.jwt_active_users,
            ai_requests: row.ai_requests,
            success_rate: row.success_rate,
            total_tokens: row.total_tokens,
            cost: row.cost_nano.map(decimal),
            currency: row.currency.clone(),
            api_connectivity: row.api_connectivity,
            jwt_availability: row.jwt_availability,
            p95_duration_ms: row.p95_duration_ms,
            updated_at: rfc3339(row.updated_at),
            synced_at: rfc3339(now),
        }
    }

    /// What is compared, as text; costs as amounts, whatever zeros follow them, fractions to nine digits, since a number
    /// that went through JSON may come back with another last one.
    fn values(&self) -> [Option<String>; 11] {
        let float =
            |value: Option<f64>| value.map(|value| ((value * 1e9).round() / 1e9).to_string());
        let cost = self.cost.as_ref();
        [
            Some(self.stat_date.clone()),
            Some(self.daily_active_users.to_string()),
            Some(self.jwt_active_users.to_string()),
            Some(self.ai_requests.to_string()),
            float(self.success_rate),
            Some(self.total_tokens.to_string()),
            cost.map(|cost| nano(cost).map_or_else(|| cost.clone(), decimal)),
            self.currency.clone(),
            float(self.api_connectivity),
            float(self.jwt_availability),
            float(self.p95_duration_ms),
        ]
    }
}

/// A field that is not the same here and there.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Difference {
    pub stat_date: String,
    pub field: &'static str,
    pub local: Option<String>,
    pub remote: Option<String>,
}

/// What differs between here and there.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Comparison {
    /// Days that are the same.
    pub equal: usize,
    /// Days that are only here.
    pub only_local: Vec<String>,
    /// Days that are only there.
    pub only_remote: Vec<String>,
    pub different: Vec<Difference>,
}

/// Compares rows of the same stretch of days, both rising.
pub fn compare(local: &[RemoteRow], remote: &[RemoteRow]) -> Comparison {
    let mut found = Comparison::default();
    let mut theirs = remote.iter().peekable();
    for mine in local {
        while let Some(other) = theirs.next_if(|other| other.stat_date < mine.stat_date) {
            found.only_remote.push(other.stat_date.clone());
        }
        let Some(other) = theirs.next_if(|other| other.stat_date == mine.stat_date) else {
            found.only_local.push(mine.stat_date.clone());
            continue;
        };
        let pairs = mine.values().into_iter().zip(other.values());
        let before = found.different.len();
        for (field, (local, remote)) in COLUMNS.into_iter().zip(pairs) {
            if local != remote {
                found.different.push(Difference {
                    stat_date: mine.stat_date.clone(),
                    field,
                    local,
                    remote,
                });
            }
        }
        found.equal += usize::from(found.different.len() == before);
    }
    found
        .only_remote
        .extend(theirs.map(|other| other.stat_date.clone()));
    found
}

/// Billionths as a decimal number, without zeros at its end.
fn decimal(nano: i64) -> String {
    let sign = if nano < 0 { "-" } else { "" };
    let nano = nano.unsigned_abs();
    let (whole, fraction) = (nano / 1_000_000_000, nano % 1_000_000_000);
    match fraction {
        0 => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction:09}")
            .trim_end_matches('0')
            .to_owned(),
    }
}

fn rfc3339(micros: i64) -> String {
    DateTime::<Utc>::from_timestamp_micros(micros)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(date: &str, requests: i64) -> RemoteRow {
        RemoteRow {
            stat_date: date.into(),
            ai_requests: requests,
            cost: Some("1.5".into()),
            ..RemoteRow::default()
        }
    }

    #[test]
    fn what_differs_is_told_field_by_field() {
        let local = [
            day("2026-03-01", 1),
            day("2026-03-02", 2),
            day("2026-03-04", 4),
        ];
        let mut same = day("2026-03-01", 1);
        same.cost = Some("1.500000000".into());
        same.synced_at = "whenever".into();
        let remote = [
            day("2026-02-28", 0),
            same,
            day("2026-03-03", 3),
            day("2026-03-04", 5),
            day("2026-03-05", 5),
        ];
        let found = compare(&local, &remote);
        assert_eq!(found.equal, 1);
        assert_eq!(found.only_local, ["2026-03-02"]);
        assert_eq!(
            found.only_remote,
            ["2026-02-28", "2026-03-03", "2026-03-05"]
        );
        let expected = Difference {
            stat_date: "2026-03-04".into(),
            field: "ai_requests",
            local: Some("4".into()),
            remote: Some("5".into()),
        };
        assert_eq!(found.different, [expected]);
    }

    #[test]
    fn amounts_are_written_exactly() {
        for (nano, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (2_500_000_000, "2.5"),
            (-1_000_000_000, "-1"),
            (i64::MAX, "9223372036.854775807"),
            (i64::MIN, "-9223372036.854775808"),
        ] {
            assert_eq!(decimal(nano), text);
        }
    }

    #[test]
    fn rows_of_a_batch_have_one_shape() {
        let empty = serde_json::to_value(RemoteRow::default()).unwrap();
        let full = serde_json::to_value(RemoteRow {
            success_rate: Some(1.0),
            ..day("2026-03-01", 1)
        })
        .unwrap();
        let keys = |row: &serde_json::Value| -> Vec<String> {
            row.as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(keys(&empty), keys(&full));
    }
}
