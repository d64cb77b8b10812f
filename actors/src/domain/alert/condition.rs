//! `error_rate > 0.1`: a metric, an operator and what it is held against, read from text or from fields.
//!
//! `change(request_count) > 0.5` holds the metric's change against the period before it: 0.5 is "half as many
//! again". A reading of words (`status`) knows only `=` and `!=`.

use std::fmt;

use thiserror::Error;

use super::metric::{self, METRICS, Metric, Unit};

/// How a reading is held against the threshold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operator {
    Gt,
    Gte,
    Lt,
    Lte,
    Eq,
    Neq,
}

impl Operator {
    /// `>` or `GT`, in either case.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_uppercase().as_str() {
            ">" | "GT" => Self::Gt,
            ">=" | "GTE" => Self::Gte,
            "<" | "LT" => Self::Lt,
            "<=" | "LTE" => Self::Lte,
            "=" | "==" | "EQ" => Self::Eq,
            "!=" | "NEQ" => Self::Neq,
            _ => return None,
        })
    }

    /// `>`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gt => ">",
            Self::Gte => ">=",
            Self::Lt => "<",
            Self::Lte => "<=",
            Self::Eq => "==",
            Self::Neq => "!=",
        }
    }

    fn holds(self, reading: f64, threshold: f64) -> bool {
        match self {
            Self::Gt => reading > threshold,
            Self::Gte => reading >= threshold,
            Self::Lt => reading < threshold,
            Self::Lte => reading <= threshold,
            Self::Eq => reading == threshold,
            Self::Neq => reading != threshold,
        }
    }
}

/// What a reading is held against.
#[derive(Clone, Debug, PartialEq)]
pub enum Threshold {
    Number(f64),
    /// Of `status`.
    Word(String),
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Word(word) => word.fmt(f),
        }
    }
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    Number(f64),
    Word(String),
    /// There was nothing to measure.
    Missing,
    /// It could not be measured, and why.
    Failed(String),
}

impl Reading {
    /// For people: what was read, in a metric's unit.
    pub fn text(&self, unit: Unit) -> String {
        let number = match self {
            Self::Number(number) => *number,
            Self::Word(word) => return word.clone(),
            Self::Missing => return "no data".to_owned(),
            Self::Failed(why) => return format!("not measured: {why}"),
        };
        let rounded = |digits: usize| {
            let text = format!("{number:.digits$}");
            match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                false => text,
            }
        };
        match unit {
            Unit::Fraction => rounded(4),
            Unit::Money => format!("{} USD", rounded(6)),
            Unit::Milliseconds => format!("{} ms", rounded(0)),
            Unit::Seconds => format!("{} s", rounded(0)),
            Unit::Days => format!("{} d", rounded(1)),
            Unit::Count | Unit::Tokens | Unit::Status => rounded(2),
        }
    }
}

/// What a condition makes of a reading.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    Breach,
    Clear,
    Missing,
    Failed,
}

/// Why a condition is none.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ConditionError {
    #[error("must read like `error_rate > 0.1`: a metric, one of > >= < <= == !=, and a value")]
    Form,
    #[error("there is no metric `{0}`; there are: {known}", known = METRICS.iter().map(|metric| metric.id).collect::<Vec<_>>().join(", "))]
    UnknownMetric(String),
    #[error("there is no operator `{0}`; there are > >= < <= == != and GT GTE LT LTE EQ NEQ")]
    UnknownOperator(String),
    #[error("`{0}` is not a finite number")]
    NotANumber(String),
    #[error("`{0}` is none of healthy, degraded, unhealthy, unknown")]
    NotAStatus(String),
    #[error("a status is compared with == or != only, and has no change")]
    StatusHasNoOrder,
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    pub metric: &'static Metric,
    /// Whether the metric's change against the period before is meant, as a fraction.
    pub change: bool,
    pub operator: Operator,
    pub threshold: Threshold,
}

/// What a `status` reads.
pub const STATUSES: [&str; 4] = ["healthy", "degraded", "unhealthy", "unknown"];

/// What of a component is not known, in a word.
pub const UNKNOWN: &str = "unknown";

impl Condition {
    /// Whether it compares with this word.
    pub fn asks_for(&self, word: &str) -> bool {
        matches!(&self.threshold, Threshold::Word(wanted) if wanted == word)
    }

    /// Reads a condition's text.
    ///
    /// # Errors
    /// [`ConditionError`], in words for whoever typed it.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        let text = text.trim();
        let name_end = text
            .find(|c: char| !(c.is_ascii_alphanumeric() || "_()".contains(c)))
            .ok_or(ConditionError::Form)?;
        let (metric, rest) = text.split_at(name_end);
        let rest = rest.trim_start();
        let operator_end = if rest.starts_with(['>', '<', '=', '!']) {
            rest.find(|c: char| !"><=!".contains(c))
        } else {
            rest.find(char::is_whitespace)
        };
        let (operator, threshold) = rest.split_at(operator_end.ok_or(ConditionError::Form)?);
        Self::from_fields(metric, operator, threshold.trim())
    }

    /// The same from fields: `error_rate`, `GT` or `>`, `0.1`.
    ///
    /// # Errors
    /// [`ConditionError`], in words for whoever typed it.
    pub fn from_fields(
        metric: &str,
        operator: &str,
        threshold: &str,
    ) -> Result<Self, ConditionError> {
        if metric.is_empty() || threshold.is_empty() {
            return Err(ConditionError::Form);
        }
        let inner = metric
            .strip_prefix("change(")
            .and_then(|rest| rest.strip_suffix(')'));
        let change = inner.is_some();
        let id = inner.unwrap_or(metric);
        let metric =
            metric::by_id(id).ok_or_else(|| ConditionError::UnknownMetric(id.to_owned()))?;
        let operator = Operator::parse(operator)
            .ok_or_else(|| ConditionError::UnknownOperator(operator.to_owned()))?;
        let threshold = if metric.unit == Unit::Status {
            if change || !matches!(operator, Operator::Eq | Operator::Neq) {
                return Err(ConditionError::StatusHasNoOrder);
            }
            if !STATUSES.contains(&threshold) {
                return Err(ConditionError::NotAStatus(threshold.to_owned()));
            }
            Threshold::Word(threshold.to_owned())
        } else {
            let number: f64 = threshold
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
                .ok_or_else(|| ConditionError::NotANumber(threshold.to_owned()))?;
            Threshold::Number(number)
        };
        Ok(Self {
            metric,
            change,
            operator,
            threshold,
        })
    }

    /// What its readings are: a change is a fraction, whatever changes.
    pub fn unit(&self) -> Unit {
        match self.change {
            true => Unit::Fraction,
            false => self.metric.unit,
        }
    }

    /// Holds a reading against the threshold.
    pub fn judge(&self, reading: &Reading) -> Verdict {
        let breach = match (reading, &self.threshold) {
            (Reading::Missing, _) => return Verdict::Missing,
            (Reading::Number(value), Threshold::Number(threshold)) if value.is_finite() => {
                self.operator.holds(*value, *threshold)
            }
            (Reading::Word(value), Threshold::Word(threshold)) => {
                (value == threshold) == (self.operator == Operator::Eq)
            }
            (Reading::Number(_) | Reading::Word(_) | Reading::Failed(_), _) => {
                return Verdict::Failed;
            }
        };
        if breach {
            Verdict::Breach
        } else {
            Verdict::Clear
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.change {
            ("change(", ")")
        } else {
            ("", "")
        };
        write!(
            f,
            "{open}{}{close} {} {}",
            self.metric.id,
            self.operator.as_str(),
            self.threshold
        )
    }
}

/// Change of `now` against `before` as a fraction; nothing when there was nothing to change from.
pub fn change_against(now: f64, before: f64) -> Reading {
    if before == 0.0 {
        return Reading::Missing;
    }
    Reading::Number((now - before) / before.abs())
}
