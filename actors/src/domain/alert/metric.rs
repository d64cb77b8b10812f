//! The metrics a rule can watch. Their ids are fixed: rules in databases and scripts hold them.

/// What a metric's readings are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    /// 0 to 1.
    Fraction,
    /// How many.
    Count,
    /// Milliseconds.
    Milliseconds,
    /// Of the installation's currency.
    Money,
    /// Tokens of models.
    Tokens,
    /// Seconds.
    Seconds,
    /// Days.
    Days,
    /// One of `healthy`, `degraded`, `unhealthy`, `unknown`; compared with `=` and `!=` only.
    Status,
}

impl Unit {
    /// As shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fraction => "fraction",
            Self::Count => "count",
            Self::Milliseconds => "ms",
            Self::Money => "money",
            Self::Tokens => "tokens",
            Self::Seconds => "s",
            Self::Days => "days",
            Self::Status => "status",
        }
    }
}

/// A metric of the table; two of the same id are the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Metric {
    /// What rules call it.
    pub id: &'static str,
    pub unit: Unit,
    /// One sentence for the console and the API document.
    pub about: &'static str,
}

const fn of(id: &'static str, unit: Unit, about: &'static str) -> Metric {
    Metric { id, unit, about }
}

/// Every metric, in the order they are shown.
pub const METRICS: &[Metric] = &[
    of(
        "error_rate",
        Unit::Fraction,
        "Failed calls of all calls in the window.",
    ),
    of("request_count", Unit::Count, "Calls in the window."),
    of(
        "avg_latency_ms",
        Unit::Milliseconds,
        "Mean duration of a call.",
    ),
    of(
        "p50_latency_ms",
        Unit::Milliseconds,
        "Half of the calls took at most this.",
    ),
    of(
        "p95_latency_ms",
        Unit::Milliseconds,
        "95 of 100 calls took at most this.",
    ),
    of(
        "p99_latency_ms",
        Unit::Milliseconds,
        "99 of 100 calls took at most this.",
    ),
    of(
        "avg_ttft_ms",
        Unit::Milliseconds,
        "Mean time to the first token.",
    ),
    of(
        "p50_ttft_ms",
        Unit::Milliseconds,
        "Half of the streams began within this.",
    ),
    of(
        "p95_ttft_ms",
        Unit::Milliseconds,
        "95 of 100 streams began within this.",
    ),
    of(
        "p99_ttft_ms",
        Unit::Milliseconds,
        "99 of 100 streams began within this.",
    ),
    of(
        "cost_today",
        Unit::Money,
        "Spent since midnight; its change: the hours that are over against the same of yesterday.",
    ),
    of(
        "cost_month",
        Unit::Money,
        "Spent since the first of the month; its change: the days that are over against as many of the month before.",
    ),
    of(
        "prompt_tokens",
        Unit::Tokens,
        "Tokens sent to models in the window.",
    ),
    of(
        "completion_tokens",
        Unit::Tokens,
        "Tokens answered by models in the window.",
    ),
    of(
        "dau",
        Unit::Count,
        "Users active today; its change: yesterday against the day before.",
    ),
    of(
        "pending_feedbacks",
        Unit::Count,
        "Feedback nobody has looked at.",
    ),
    of(
        "unsynced_qa",
        Unit::Count,
        "Questions and answers not yet in the vector store.",
    ),
    of("status", Unit::Status, "How a component is."),
    of(
        "spool_depth",
        Unit::Count,
        "Records accepted and not yet on the books.",
    ),
    of(
        "records_dropped",
        Unit::Count,
        "Records that were lost in the window.",
    ),
    of(
        "dead_letters",
        Unit::Count,
        "Records set aside because the tables would not take them, until they are replayed.",
    ),
    of(
        "stray_rows",
        Unit::Count,
        "Records that no month's partition claimed; counted once an hour.",
    ),
    of(
        "recount_differences",
        Unit::Count,
        "Figures of the statistics that a recount from the log found to be off within the last two days.",
    ),
    of(
        "actor_restarts",
        Unit::Count,
        "Restarts of actors in the window.",
    ),
    of(
        "backup_age",
        Unit::Seconds,
        "Since the last backup that was made, or since a plan was set when there has never been one.",
    ),
    of(
        "drill_failed",
        Unit::Count,
        "1 when the backup that was restored last was not all there, or could not be restored; 0 when it was.",
    ),
    of(
        "unpriced_calls",
        Unit::Count,
        "Calls in the window that no price was found for.",
    ),
    of(
        "certificate_days",
        Unit::Days,
        "Until the certificate of a component expires.",
    ),
    of(
        "evaluation_failed",
        Unit::Count,
        "Rules that cannot be evaluated at present.",
    ),
    of(
        "channels_failing",
        Unit::Count,
        "Notice channels that take nothing, or were disabled by their receiver.",
    ),
];

impl Metric {
    /// Whether every component is a series of its own, named by the label `component`.
    pub fn is_by_component(&self) -> bool {
        matches!(self.id, "status" | "certificate_days")
    }
}

/// The metric of that id.
pub fn by_id(id: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.id == id)
}
