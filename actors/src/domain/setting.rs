//! Settings: what operators change while the process runs. A setting's default is the configuration key of the same
//! name; a value saved in the database wins over it, and one that the environment sets wins over both.
//!
//! Pure: texts in, [`Settings`] out. Who reads the tables is `root/foundation/settings_keeper`; who changes them is the
//! control face. A setting is one entry of [`DEFINITIONS`] and one field of [`Settings`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::decimal::nano;
use super::price::{Currency, Rate, Rates};
use crate::log_feed::Level;

/// What may stand in a setting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A whole number, both bounds included.
    Whole { min: i64, max: i64 },
    /// A decimal number; bounds in billionths, both included.
    Decimal { min_nano: i64, max_nano: i64 },
    /// A number of days, both bounds included; 0 is for ever.
    Days { min: i64, max: i64 },
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// A setting that there is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Definition {
    /// Section and name, as in the configuration.
    pub key: &'static str,
    pub kind: Kind,
}

const CURRENCY: &str = "prices.currency";
/// Yuan for a dollar; its history is kept.
pub const USD_CNY: &str = "prices.usd_cny";
const KEPT: &str = "conversations.enabled";
const QUEUE: &str = "ledger.queue_capacity";
const BATCH: &str = "ledger.batch_size";
const FLUSH: &str = "ledger.flush_interval_ms";
const AGGREGATION: &str = "stats.aggregation_interval_s";
const CONNECT: &str = "gateway.connect_timeout_ms";
const FIRST_BYTE: &str = "gateway.first_byte_timeout_ms";
const IDLE: &str = "gateway.idle_timeout_ms";
const ATTEMPTS: &str = "gateway.max_attempts";
const SIDE_MAX: &str = "conversations.max_bytes_per_side";
const COMPRESS_AFTER: &str = "conversations.compress_after_days";
const PER_OPERATOR: &str = "api.rate_limit_per_operator";
const PER_ADDRESS: &str = "api.rate_limit_per_address";
const ALERTS_EVERY: &str = "alerts.interval_ms";
const GROUP_WINDOW: &str = "alerts.group_window_s";
const MAILS: &str = "alerts.mails_per_hour";
const PUSH_EVERY: &str = "push.interval_ms";
const FEEDBACK: &str = "feedback.per_minute";
const STORED_LEVEL: &str = "log.stored_level";
const REQUEST_LOGS: &str = "retention.request_logs_days";
const CONTENTS: &str = "retention.contents_days";
const SYSTEM_LOGS: &str = "retention.system_logs_days";
const HEALTH_CHECKS: &str = "retention.health_checks_days";
const METRICS_SNAPSHOTS: &str = "retention.metrics_snapshots_days";
const DELIVERIES: &str = "retention.deliveries_days";
const ALERTS: &str = "retention.alerts_days";
const ARCHIVES: &str = "archive.enabled";
const ARCHIVED_AFTER: &str = "archive.after_days";
const LEARN_EVERY: &str = "scheduler.process_interval";
const LEARNS: &str = "scheduler.auto_learn_enabled";
const SYNC_EVERY: &str = "scheduler.sync_interval";
const SYNC_BATCH: &str = "scheduler.batch_size";
const SYNCS: &str = "scheduler.auto_sync_enabled";
const TOP_K: &str = "rag.top_k";
const MIN_SCORE: &str = "rag.min_score";

const DAY_MS: i64 = 86_400_000;

const fn whole(key: &'static str, min: i64, max: i64) -> Definition {
    Definition {
        key,
        kind: Kind::Whole { min, max },
    }
}

/// Longest retention that is not for ever.
const DAYS_MAX: i64 = 36_500;

const fn days(key: &'static str, min: i64) -> Definition {
    Definition {
        key,
        kind: Kind::Days { min, max: DAYS_MAX },
    }
}

/// Every setting, in the order in which they are shown.
pub static DEFINITIONS: [Definition; 37] = [
    Definition {
        key: CURRENCY,
        kind: Kind::Choice(&["USD", "CNY"]),
    },
    Definition {
        key: USD_CNY,
        // Outside of it a digit too many or too few was typed.
        kind: Kind::Decimal {
            min_nano: 10_000_000,
            max_nano: 1_000_000_000_000,
        },
    },
    whole(CONNECT, 1, DAY_MS),
    whole(FIRST_BYTE, 1, DAY_MS),
    whole(IDLE, 1, DAY_MS),
    whole(ATTEMPTS, 1, 8),
    whole(QUEUE, 1, 10_000_000),
    whole(BATCH, 1, 100_000),
    whole(FLUSH, 1, 60_000),
    whole(AGGREGATION, 10, 86_400),
    Definition {
        key: KEPT,
        kind: Kind::Choice(&["true", "false"]),
    },
    whole(SIDE_MAX, 1_024, 1 << 20),
    whole(COMPRESS_AFTER, 1, 3_650),
    whole(PER_OPERATOR, 1, 1_000_000_000),
    whole(PER_ADDRESS, 1, 1_000_000_000),
    whole(ALERTS_EVERY, 100, 3_600_000),
    whole(GROUP_WINDOW, 0, 3_600),
    whole(MAILS, 1, 10_000),
    whole(PUSH_EVERY, 250, 10_000),
    whole(FEEDBACK, 1, 1_000_000),
    Definition {
        key: STORED_LEVEL,
        kind: Kind::Choice(&["ERROR", "WARN", "INFO"]),
    },
    // The last week is looked at again: the nightly recount, the numbers of the week.
    days(REQUEST_LOGS, 8),
    days(CONTENTS, 1),
    days(SYSTEM_LOGS, 1),
    // Availability is told over thirty days.
    days(HEALTH_CHECKS, 31),
    days(METRICS_SNAPSHOTS, 1),
    // Notices are tried for three days.
    days(DELIVERIES, 4),
    days(ALERTS, 1),
    Definition {
        key: ARCHIVES,
        kind: Kind::Choice(&["off", "on"]),
    },
    whole(ARCHIVED_AFTER, 1, 365),
    whole(LEARN_EVERY, 60, 3_600),
    Definition {
        key: LEARNS,
        kind: Kind::Choice(&["true", "false"]),
    },
    whole(SYNC_EVERY, 60, 3_600),
    whole(SYNC_BATCH, 10, 200),
    Definition {
        key: SYNCS,
        kind: Kind::Choice(&["true", "false"]),
    },
    whole(TOP_K, 1, 20),
    Definition {
        key: MIN_SCORE,
        kind: Kind::Decimal {
            min_nano: 0,
            max_nano: 1_000_000_000,
        },
    },
];

/// The setting of that name.
pub fn definition(key: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|definition| definition.key == key)
}

impl Definition {
    /// What is wrong with a value, in words that follow its name.
    ///
    /// # Errors
    /// The words.
    pub fn check(&self, text: &str) -> Result<(), String> {
        match self.kind {
            Kind::Whole { min, max } => match text.parse::<i64>() {
                Ok(number) if (min..=max).contains(&number) => Ok(()),
                _ => Err(format!(
                    "must be a whole number between {min} and {max}, got {text:?}"
                )),
            },
            Kind::Decimal { min_nano, max_nano } => match nano(text) {
                Some(number) if (min_nano..=max_nano).contains(&number) => Ok(()),
                _ => Err(format!(
                    "must be a decimal number between {} and {} such as 0.5, got {text:?}",
                    min_nano as f64 / 1e9,
                    max_nano as f64 / 1e9
                )),
            },
            Kind::Days { min, max } => match text.parse::<i64>() {
                Ok(number) if number == 0 || (min..=max).contains(&number) => Ok(()),
                _ => Err(format!(
                    "must be 0 (for ever) or a number of days between {min} and {max}, got {text:?}"
                )),
            },
            Kind::Choice(words) if words.contains(&text) => Ok(()),
            Kind::Choice(words) => {
                Err(format!("must be one of {}, got {text:?}", words.join(", ")))
            }
        }
    }
}

/// For how many days what is kept stays; 0 is for ever.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retention {
    pub request_logs_days: u32,
    pub contents_days: u32,
    pub system_logs_days: u32,
    pub health_checks_days: u32,
    pub metrics_snapshots_days: u32,
    pub deliveries_days: u32,
    pub alerts_days: u32,
}

impl Default for Retention {
    /// As shipped.
    fn default() -> Self {
        Self {
            request_logs_days: 0,
            contents_days: 0,
            system_logs_days: 30,
            health_checks_days: 32,
            metrics_snapshots_days: 90,
            deliveries_days: 90,
            alerts_days: 365,
        }
    }
}

/// What is in force.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// What costs are shown in unless somebody asks otherwise.
    pub currency: Currency,
    /// By which two currencies are one.
    pub rate: Rate,
    /// Those that were in force before it, and since when it is. Kept beside the settings, by whoever read them.
    pub rates: Rates,
    /// Until a connection to a provider stands, name and TLS included.
    pub connect_timeout: Duration,
    /// From sending a request to the first byte of its answer.
    pub first_byte_timeout: Duration,
    /// Longest silence inside an answer.
    pub idle_timeout: Duration,
    /// Accounts tried for one call.
    pub max_attempts: usize,
    /// Records kept in memory until they are written; more are read again from the disk.
    pub queue_records: usize,
    /// Records are written as soon as so many wait …
    pub batch_records: usize,
    /// … or so long after the first of them.
    pub flush_after: Duration,
    /// How often figures of days are derived.
    pub aggregation_every: Duration,
    /// Conversations are kept of tokens that ask for it; otherwise of none.
    pub keeps_conversations: bool,
    /// Most bytes kept of one side of a call.
    pub side_max_bytes: usize,
    /// Conversations older than this are packed for good.
    pub compress_after: Duration,
    /// Requests a minute on the control face.
    pub rate_limit_per_operator: u32,
    /// Likewise.
    pub rate_limit_per_address: u32,
    /// How often alert rules are evaluated.
    pub alerts_every: Duration,
    /// Notices for people that come within it go out as one message; zero: each by itself.
    pub group_window: Duration,
    /// Mails that a recipient gets within an hour; beyond them notices are collected for longer.
    pub mails_per_hour: usize,
    /// Between two looks at what is pushed to those who watch numbers and calls.
    pub push_every: Duration,
    /// Feedback a minute, of a token or of one user.
    pub feedback_per_minute: u32,
    /// Lines of the process's own log that are this bad, or worse, are stored.
    pub stored_level: Level,
    pub retention: Retention,
    /// Months of calls and conversations are archived; none goes before it is.
    pub archives: bool,
    /// A month is archived so many days after its end.
    pub archived_after: Duration,
    /// How often approved feedback is learned from.
    pub learn_every: Duration,
    /// What is learned becomes a pair by itself, unless one asks the same; otherwise it waits for somebody.
    pub learns: bool,
    /// How often what waits to be embedded is looked at.
    pub sync_every: Duration,
    /// Pairs embedded by one call.
    pub sync_batch: usize,
    /// Pairs are embedded as they come, not only when somebody asks.
    pub syncs: bool,
    /// Pairs that a question finds at most.
    pub top_k: u32,
    /// How near they have to be, in billionths.
    pub min_score_nano: i64,
}

/// Where readers find them.
pub type InForce = Arc<ArcSwap<Settings>>;

impl Default for Settings {
    /// As shipped.
    fn default() -> Self {
        Self {
            currency: Currency::Usd,
            rate: Rate::new(7_100_000_000).unwrap_or(Rate::ONE),
            rates: Rates::default(),
            connect_timeout: Duration::from_secs(10),
            first_byte_timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(60),
            max_attempts: 3,
            queue_records: 10_000,
            batch_records: 1_000,
            flush_after: Duration::from_millis(200),
            aggregation_every: Duration::from_secs(60),
            keeps_conversations: true,
            side_max_bytes: 256 << 10,
            compress_after: Duration::from_secs(7 * 86_400),
            rate_limit_per_operator: 1_200,
            rate_limit_per_address: 2_400,
            alerts_every: Duration::from_secs(60),
            group_window: Duration::from_secs(30),
            mails_per_hour: 20,
            push_every: Duration::from_millis(250),
            feedback_per_minute: 120,
            stored_level: Level::Warn,
            retention: Retention::default(),
            archives: false,
            archived_after: Duration::from_secs(3 * 86_400),
            learn_every: Duration::from_secs(300),
            learns: true,
            sync_every: Duration::from_secs(600),
            sync_batch: 50,
            syncs: true,
            top_k: 5,
            min_score_nano: 300_000_000,
        }
    }
}

impl Settings {
    fn of(texts: &BTreeMap<&'static str, String>) -> Result<Self, String> {
        let text = |key: &str| texts.get(key).map_or("", String::as_str);
        let whole = |key: &'static str| {
            let number = text(key).parse::<u32>();
            number.map_err(|_| format!("{key} must be a whole number"))
        };
        Ok(Self {
            currency: Currency::parse(text(CURRENCY))
                .ok_or_else(|| format!("{CURRENCY} must be a currency"))?,
            rate: nano(text(USD_CNY))
                .and_then(Rate::new)
                .ok_or_else(|| format!("{USD_CNY} must be greater than 0"))?,
            rates: Rates::default(),
            connect_timeout: Duration::from_millis(whole(CONNECT)?.into()),
            first_byte_timeout: Duration::from_millis(whole(FIRST_BYTE)?.into()),
            idle_timeout: Duration::from_millis(whole(IDLE)?.into()),
            max_attempts: whole(ATTEMPTS)? as usize,
            queue_records: whole(QUEUE)? as usize,
            batch_records: whole(BATCH)? as usize,
            flush_after: Duration::from_millis(whole(FLUSH)?.into()),
            aggregation_every: Duration::from_secs(whole(AGGREGATION)?.into()),
            keeps_conversations: text(KEPT) == "true",
            side_max_bytes: whole(SIDE_MAX)? as usize,
            compress_after: Duration::from_secs(u64::from(whole(COMPRESS_AFTER)?) * 86_400),
            rate_limit_per_operator: whole(PER_OPERATOR)?,
            rate_limit_per_address: whole(PER_ADDRESS)?,
            alerts_every: Duration::from_millis(whole(ALERTS_EVERY)?.into()),
            group_window: Duration::from_secs(whole(GROUP_WINDOW)?.into()),
            mails_per_hour: whole(MAILS)? as usize,
            push_every: Duration::from_millis(whole(PUSH_EVERY)?.into()),
            feedback_per_minute: whole(FEEDBACK)?,
            stored_level: Level::parse(text(STORED_LEVEL))
                .ok_or_else(|| format!("{STORED_LEVEL} must be a level"))?,
            retention: Retention {
                request_logs_days: whole(REQUEST_LOGS)?,
                contents_days: whole(CONTENTS)?,
                system_logs_days: whole(SYSTEM_LOGS)?,
                health_checks_days: whole(HEALTH_CHECKS)?,
                metrics_snapshots_days: whole(METRICS_SNAPSHOTS)?,
                deliveries_days: whole(DELIVERIES)?,
                alerts_days: whole(ALERTS)?,
            },
            archives: text(ARCHIVES) == "on",
            archived_after: Duration::from_secs(u64::from(whole(ARCHIVED_AFTER)?) * 86_400),
            learn_every: Duration::from_secs(whole(LEARN_EVERY)?.into()),
            learns: text(LEARNS) == "true",
            sync_every: Duration::from_secs(whole(SYNC_EVERY)?.into()),
            sync_batch: whole(SYNC_BATCH)? as usize,
            syncs: text(SYNCS) == "true",
            top_k: whole(TOP_K)?,
            min_score_nano: nano(text(MIN_SCORE))
                .ok_or_else(|| format!("{MIN_SCORE} must be a decimal number"))?,
        })
    }
}

/// What a setting is when nobody saved a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Written {
    pub text: String,
    /// The environment sets it: saved values do not count.
    pub is_locked: bool,
}

/// The configuration's say in it: a default for every definition, and the settings that they make.
#[derive(Clone, Debug)]
pub struct Defaults {
    each: BTreeMap<&'static str, Written>,
    settings: Settings,
}

/// A saved value that is not in force: an older or newer version took it for a good one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unusable {
    pub key: String,
    pub problem: String,
}

impl Defaults {
    /// Asks for the default of every definition.
    ///
    /// # Errors
    /// The first key whose default is none, and what is wrong with it.
    pub fn new(
        mut of: impl FnMut(&'static str) -> Written,
    ) -> Result<Self, (&'static str, String)> {
        let mut each = BTreeMap::new();
        let mut texts = BTreeMap::new();
        for definition in &DEFINITIONS {
            let default = of(definition.key);
            definition
                .check(&default.text)
                .map_err(|problem| (definition.key, problem))?;
            texts.insert(definition.key, default.text.clone());
            each.insert(definition.key, default);
        }
        let settings = Settings::of(&texts).map_err(|problem| (CURRENCY, problem))?;
        Ok(Self { each, settings })
    }

    /// As long as nothing is saved.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The default of a definition.
    pub fn of(&self, definition: &Definition) -> Option<&Written> {
        self.each.get(definition.key)
    }

    /// What is in force when these values are saved, and which of them cannot be.
    pub fn with(&self, saved: &BTreeMap<String, String>) -> (Settings, Vec<Unusable>) {
        let mut unusable = Vec::new();
        let mut texts = BTreeMap::new();
        for (key, default) in &self.each {
            let value = saved.get(*key).filter(|_| !default.is_locked);
            let checked = value
                .zip(definition(key))
                .map(|(value, definition)| definition.check(value).map(|()| value.clone()));
            let text = match checked {
                Some(Ok(text)) => text,
                Some(Err(problem)) => {
                    unusable.push(Unusable {
                        key: (*key).to_owned(),
                        problem,
                    });
                    default.text.clone()
                }
                None => default.text.clone(),
            };
            texts.insert(*key, text);
        }
        match Settings::of(&texts) {
            Ok(settings) => (settings, unusable),
            Err(problem) => {
                unusable.push(Unusable {
                    key: String::new(),
                    problem,
                });
                (self.settings.clone(), unusable)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults(locked: &str) -> Defaults {
        let text = |key: &str| match key {
            CURRENCY => "USD",
            USD_CNY => "7.10",
            SIDE_MAX => "262144",
            COMPRESS_AFTER => "7",
            KEPT => "true",
            FIRST_BYTE => "120000",
            IDLE => "60000",
            ATTEMPTS => "3",
            BATCH => "1000",
            ALERTS_EVERY => "60000",
            FLUSH => "200",
            PUSH_EVERY => "250",
            AGGREGATION => "60",
            PER_OPERATOR => "1200",
            STORED_LEVEL => "WARN",
            ARCHIVES => "off",
            ARCHIVED_AFTER => "3",
            SYNCS | LEARNS => "true",
            TOP_K => "5",
            MIN_SCORE => "0.3",
            PER_ADDRESS => "2400",
            _ => "60",
        };
        Defaults::new(|key| Written {
            text: text(key).into(),
            is_locked: key == locked,
        })
        .unwrap()
    }

    fn saved(values: &[(&str, &str)]) -> BTreeMap<String, String> {
        let each = values
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()));
        each.collect()
    }

    #[test]
    fn a_saved_value_wins_unless_the_environment_has_one() {
        let values = saved(&[(USD_CNY, "6.95"), (CURRENCY, "CNY"), ("gone.key", "1")]);
        let (settings, unusable) = defaults("").with(&values);
        assert_eq!(settings.rate.cny_per_usd_nano(), 6_950_000_000);
        assert_eq!((settings.currency, unusable), (Currency::Cny, vec![]));
        assert_eq!(settings.compress_after, Duration::from_secs(7 * 86_400));
        let (settings, _) = defaults(USD_CNY).with(&values);
        assert_eq!(settings.rate.cny_per_usd_nano(), 7_100_000_000);
        assert_eq!(settings.currency, Currency::Cny);
    }

    #[test]
    fn what_cannot_be_is_told_and_its_default_holds() {
        let values = saved(&[(USD_CNY, "0"), (SIDE_MAX, "1"), (CURRENCY, "CNY")]);
        let (settings, unusable) = defaults("").with(&values);
        let keys: Vec<&str> = unusable.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(keys, [SIDE_MAX, USD_CNY]);
        let expected = Settings {
            currency: Currency::Cny,
            ..defaults("").settings().clone()
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn every_bound_is_a_value_and_what_lies_beyond_is_none() {
        for definition in &DEFINITIONS {
            let (good, bad) = match definition.kind {
                Kind::Whole { min, max } => (
                    vec![min.to_string(), max.to_string()],
                    vec![(min - 1).to_string(), (max + 1).to_string(), "many".into()],
                ),
                Kind::Days { min, max } => (
                    vec!["0".into(), min.to_string(), max.to_string()],
                    vec!["-1".into(), (max + 1).to_string(), "ever".into()],
                ),
                Kind::Decimal { min_nano, max_nano } => {
                    const ONE: i64 = 1_000_000_000;
                    let written = |nano: i64| format!("{}.{:09}", nano / ONE, nano % ONE);
                    let mut bad = vec![written(max_nano + 1), "-1".into(), "7,1".into()];
                    if min_nano > 0 {
                        bad.push(written(min_nano - 1));
                    }
                    (vec![written(min_nano), written(max_nano)], bad)
                }
                Kind::Choice(words) => (
                    words.iter().map(|&word| word.to_owned()).collect(),
                    vec!["EUR".into(), String::new()],
                ),
            };
            for text in good {
                assert_eq!(definition.check(&text), Ok(()), "{}", definition.key);
                let values = saved(&[(definition.key, &text)]);
                assert_eq!(
                    defaults("").with(&values).1,
                    [],
                    "{}: {text}",
                    definition.key
                );
            }
            for text in bad {
                assert!(
                    definition.check(&text).is_err(),
                    "{}: {text}",
                    definition.key
                );
            }
        }
    }
}
