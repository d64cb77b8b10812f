//! A rule: a condition, how long it is looked back and waited, and what to do in doubt.

use std::time::Duration;

use super::Labels;
use super::condition::Condition;
use super::silence::Matcher;

/// How grave an alert is, lightest first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    Info,
    Warning,
    Error,
    Critical,
}

impl Severity {
    /// As written in rules.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "info" => Self::Info,
            "warning" => Self::Warning,
            "error" => Self::Error,
            "critical" => Self::Critical,
            _ => return None,
        })
    }

    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// What a missing reading counts as.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum NoData {
    /// As a clear one: nobody called, so nothing failed.
    #[default]
    Ok,
    /// As nothing: all stays as it is.
    Keep,
    /// As a breach: silence is the alarm.
    Alert,
}

impl NoData {
    /// As written in rules.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "ok" => Self::Ok,
            "keep" => Self::Keep,
            "alert" => Self::Alert,
            _ => return None,
        })
    }

    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Keep => "keep",
            Self::Alert => "alert",
        }
    }
}

/// Labels a rule can be split by.
pub const SPLITS: [&str; 6] = ["tenant", "app", "model", "account", "token", "component"];
/// Window of a rule that names none.
pub const WINDOW: Duration = Duration::from_secs(300);

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Public id.
    pub id: String,
    pub name: String,
    pub condition: Condition,
    /// How far a reading looks back.
    pub window: Duration,
    /// How long a breach lasts before it is an alert.
    pub hold_for: Duration,
    /// How long it must be clear before it is over.
    pub keep_firing_for: Duration,
    pub severity: Severity,
    pub no_data: NoData,
    /// Labels that make a series each; see [`SPLITS`].
    pub split_by: Vec<String>,
    /// Only series that fit all of these.
    pub filter: Vec<Matcher>,
}

impl Rule {
    /// One that only looks: for measuring, not for telling anybody.
    pub(crate) fn watching(condition: Condition) -> Self {
        Self {
            id: String::new(),
            name: String::new(),
            condition,
            window: WINDOW,
            hold_for: Duration::ZERO,
            keep_firing_for: Duration::ZERO,
            severity: Severity::Info,
            no_data: NoData::Ok,
            split_by: Vec::new(),
            filter: Vec::new(),
        }
    }

    /// Whether a series is this rule's business.
    pub fn concerns(&self, labels: &Labels) -> bool {
        self.filter.iter().all(|matcher| matcher.fits(labels))
    }
}

/// Reads `90s`, `5m`, `2h`, `1d`, `1h30m` or `0`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut total: u64 = 0;
    let mut digits = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        let number: u64 = digits.parse().ok()?;
        total = total.checked_add(number.checked_mul(unit)?)?;
        digits.clear();
    }
    (digits.is_empty() && !text.is_empty()).then_some(Duration::from_secs(total))
}

/// Writes what [`parse_duration`] reads, in the largest unit that is exact.
pub fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => "0s".to_owned(),
        _ if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}
