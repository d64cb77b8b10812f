//! `steward alert test FILE`: alert rules against written-down readings, in virtual time, before they go live.
//!
//! A file holds `[[rule]]`s and `[[test]]`s. A test names a rule, gives one reading per interval (`0.05 0.2x3 - !`: a
//! value, a value three times, no data, a failure to measure) and says what must be so at which time. Readings may be of
//! several series, each with the labels that the rule splits by, and a test may have silences. It runs the very code the
//! rules run in; metrics are not measured, channels not looked up, and nobody is told anything.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Deserialize;
use steward_actors::alert_book::silenced;
use steward_actors::domain::alert::condition::{Condition, Reading, STATUSES, Threshold, UNKNOWN};
use steward_actors::domain::alert::machine::micros;
use steward_actors::domain::alert::rule::{self, NoData, Rule, Severity, parse_duration};
use steward_actors::domain::alert::series::Series;
use steward_actors::domain::alert::silence::{Matcher, Silence};
use steward_actors::domain::alert::{Labels, labels_text};
use steward_actors::tree::watch::alert_evaluator::measure::refuse;

/// Readings a test may have: a month of minutes.
const READINGS_MAX: usize = 50_000;

/// What came of a file's tests.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Report {
    /// A line per test, and one per thing that was not as expected.
    pub text: String,
    pub failed: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<RuleEntry>,
    #[serde(default)]
    test: Vec<TestEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleEntry {
    name: String,
    condition: String,
    window: Option<String>,
    #[serde(rename = "for")]
    hold_for: Option<String>,
    keep_firing_for: Option<String>,
    severity: String,
    no_data: Option<String>,
    #[serde(default)]
    split_by: Vec<String>,
    #[serde(default)]
    filter: Vec<String>,
    /// Taken as they are: which channels there are is known to a running Steward only.
    #[serde(default, rename = "channels")]
    _channels: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestEntry {
    name: String,
    rule: String,
    interval: Option<String>,
    series: SeriesEntry,
    #[serde(default)]
    silence: Vec<SilenceEntry>,
    expect: Vec<Expectation>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SeriesEntry {
    /// Of the one series that a rule without `split_by` has.
    One(String),
    Each(Vec<LabelledEntry>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelledEntry {
    labels: Labels,
    readings: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SilenceEntry {
    /// `model=gpt-4o`, `rule!=r`; all must fit.
    matchers: Vec<String>,
    from: String,
    to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    at: String,
    /// Which series; need not be said of the only one.
    labels: Option<Labels>,
    /// `inactive`, `pending` or `firing`.
    state: Option<String>,
    /// What is told in that round, such as `["fired #1"]`.
    told: Option<Vec<String>>,
    /// Whether the reading counts as failed.
    error: Option<bool>,
}

/// Where a series stood after a round.
struct Stand {
    state: &'static str,
    error: bool,
    told: Vec<String>,
}

/// Runs the tests of a file's text.
///
/// # Errors
/// A sentence that says what cannot be read; no test was run then.
pub(crate) fn run(text: &str) -> Result<Report, String> {
    let file: File = toml::from_str(text).map_err(|cause| cause.to_string())?;
    if file.test.is_empty() {
        return Err("the file holds no [[test]]".to_owned());
    }
    let mut rules = Vec::with_capacity(file.rule.len());
    for entry in &file.rule {
        let rule = read_rule(entry).map_err(|why| format!("rule {}: {why}", entry.name))?;
        if rules.iter().any(|known: &Rule| known.name == rule.name) {
            return Err(format!("rule {}: there are two of that name", rule.name));
        }
        rules.push(rule);
    }
    let mut report = Report {
        text: String::new(),
        failed: 0,
    };
    for test in &file.test {
        let complaints =
            run_test(test, &rules).map_err(|why| format!("test {}: {why}", test.name))?;
        let word = if complaints.is_empty() {
            "ok    "
        } else {
            "FAILED"
        };
        // Writing to a String cannot fail.
        let _ = writeln!(report.text, "{word} {}", test.name);
        for complaint in &complaints {
            let _ = writeln!(report.text, "       {complaint}");
        }
        report.failed += usize::from(!complaints.is_empty());
    }
    Ok(report)
}

/// The rules of a file's text.
///
/// # Errors
/// A sentence that says what cannot be read.
pub(crate) fn rules(text: &str) -> Result<Vec<Rule>, String> {
    let file: File = toml::from_str(text).map_err(|cause| cause.to_string())?;
    let read = |entry| read_rule(entry).map_err(|why| format!("rule {}: {why}", entry.name));
    file.rule.iter().map(read).collect()
}

fn run_test(test: &TestEntry, rules: &[Rule]) -> Result<Vec<String>, String> {
    let rule = rules
        .iter()
        .find(|rule| rule.name == test.rule)
        .ok_or_else(|| format!("there is no rule {}", test.rule))?;
    let interval = duration(
        "interval",
        test.interval.as_deref(),
        Duration::from_secs(60),
    )?;
    if interval.is_zero() {
        return Err("interval: must be longer than nothing".to_owned());
    }
    let silences: Vec<Silence> = test.silence.iter().map(silence).collect::<Result<_, _>>()?;
    let mut series = Vec::new();
    for (labels, text) in test.series.each() {
        let is_known = series.iter().any(|(known, _)| *known == labels);
        if is_known || !has_labels(rule, &labels) {
            let wanted = match rule.condition.metric.is_by_component() {
                true => "component".to_owned(),
                false => rule.split_by.join(", "),
            };
            return Err(format!(
                "series {}: each has other values of what the rule splits by ({wanted})",
                labels_text(&labels)
            ));
        }
        let stands = replay((rule, &labels), &readings(rule, text)?, &silences, interval);
        series.push((labels, stands));
    }
    if test.expect.is_empty() {
        return Err("expects nothing".to_owned());
    }
    let mut complaints = Vec::new();
    for expected in &test.expect {
        let at = duration("at", Some(&expected.at), Duration::ZERO)?;
        let round = usize::try_from(at.as_secs() / interval.as_secs()).unwrap_or(usize::MAX);
        if at.as_secs() % interval.as_secs() != 0 {
            return Err(format!(
                "at {}: is no multiple of the interval",
                expected.at
            ));
        }
        let stands = match (&expected.labels, series.as_slice()) {
            (None, [(_, only)]) => only,
            (None, _) => {
                let why = "say by `labels` of which series";
                return Err(format!("at {}: {why}", expected.at));
            }
            (Some(labels), all) => {
                let found = all.iter().find(|(known, _)| known == labels);
                &found
                    .ok_or_else(|| format!("at {}: there is no such series", expected.at))?
                    .1
            }
        };
        let stand = stands
            .get(round)
            .ok_or_else(|| format!("at {}: is after the last reading", expected.at))?;
        complaints.extend(
            compare(expected, stand)?
                .into_iter()
                .map(|complaint| format!("at {}: {complaint}", expected.at)),
        );
    }
    Ok(complaints)
}

impl SeriesEntry {
    fn each(&self) -> Vec<(Labels, &str)> {
        match self {
            Self::One(readings) => vec![(Labels::new(), readings)],
            Self::Each(all) => all
                .iter()
                .map(|one| (one.labels.clone(), one.readings.as_str()))
                .collect(),
        }
    }
}

fn silence(entry: &SilenceEntry) -> Result<Silence, String> {
    let matchers = entry.matchers.iter().map(|text| {
        Matcher::parse(text).ok_or_else(|| format!("silence: `{text}` must read like model=gpt-4o"))
    });
    Ok(Silence {
        matchers: matchers.collect::<Result<_, _>>()?,
        from: micros(duration("from", Some(&entry.from), Duration::ZERO)?),
        to: micros(duration("to", Some(&entry.to), Duration::ZERO)?),
    })
}

/// Whether the rule makes series of such labels. Components are told apart always, and need not be named for a test.
fn has_labels(rule: &Rule, labels: &Labels) -> bool {
    if rule.condition.metric.is_by_component() {
        return labels.keys().all(|label| label == "component");
    }
    labels.len() == rule.split_by.len()
        && rule.split_by.iter().all(|label| labels.contains_key(label))
}

fn replay(
    (rule, labels): (&Rule, &Labels),
    readings: &[Reading],
    silences: &[Silence],
    interval: Duration,
) -> Vec<Stand> {
    // What the filter leaves out is never looked at.
    let concerns = labels.is_empty() || rule.concerns(labels);
    let mut series = Series::default();
    let mut incidents = 0_u32;
    let mut now = 0_i64;
    readings
        .iter()
        .map(|reading| {
            let reading = if concerns { reading } else { &Reading::Missing };
            let is_quiet = silenced(silences, &rule.name, rule.severity, labels, now);
            let round = series.round(rule, reading, is_quiet, now, || {
                incidents += 1;
                format!("#{incidents}")
            });
            now = now.saturating_add(micros(interval));
            Stand {
                state: series.instance.state.as_str(),
                error: series.instance.error_since.is_some(),
                told: round.notices.iter().map(ToString::to_string).collect(),
            }
        })
        .collect()
}

fn compare(expected: &Expectation, stand: &Stand) -> Result<Vec<String>, String> {
    let mut complaints = Vec::new();
    if expected.state.is_none() && expected.told.is_none() && expected.error.is_none() {
        return Err(format!("at {}: expects nothing", expected.at));
    }
    if let Some(state) = &expected.state {
        if !["inactive", "pending", "firing"].contains(&state.as_str()) {
            return Err(format!(
                "at {}: state must be inactive, pending or firing",
                expected.at
            ));
        }
        if state != stand.state {
            complaints.push(format!("expected {state}, is {}", stand.state));
        }
    }
    if let Some(told) = &expected.told
        && *told != stand.told
    {
        complaints.push(format!("expected told {told:?}, is {:?}", stand.told));
    }
    if let Some(error) = expected.error
        && error != stand.error
    {
        complaints.push(format!("expected error {error}, is {}", stand.error));
    }
    Ok(complaints)
}

fn read_rule(entry: &RuleEntry) -> Result<Rule, String> {
    let matchers = entry.filter.iter().map(|text| {
        Matcher::parse(text).ok_or_else(|| format!("filter: `{text}` must read like model=gpt-4o"))
    });
    let rule = Rule {
        id: entry.name.clone(),
        name: entry.name.clone(),
        condition: Condition::parse(&entry.condition).map_err(|why| format!("condition: {why}"))?,
        window: duration("window", entry.window.as_deref(), rule::WINDOW)?,
        hold_for: duration("for", entry.hold_for.as_deref(), Duration::ZERO)?,
        keep_firing_for: duration(
            "keep_firing_for",
            entry.keep_firing_for.as_deref(),
            Duration::ZERO,
        )?,
        severity: Severity::parse(&entry.severity)
            .ok_or("severity: must be info, warning, error or critical")?,
        no_data: match entry.no_data.as_deref() {
            None => NoData::default(),
            Some(text) => NoData::parse(text).ok_or("no_data: must be ok, keep or alert")?,
        },
        split_by: entry.split_by.clone(),
        filter: matchers.collect::<Result<_, _>>()?,
    };
    refuse(&rule)?;
    Ok(rule)
}

fn duration(field: &str, text: Option<&str>, absent: Duration) -> Result<Duration, String> {
    text.map_or(Ok(absent), |text| {
        parse_duration(text)
            .ok_or_else(|| format!("{field}: `{text}` must read like 90s, 5m, 1h30m or 0"))
    })
}

fn readings(rule: &Rule, text: &str) -> Result<Vec<Reading>, String> {
    let mut readings = Vec::new();
    for word in text.split_whitespace() {
        let (value, times) = match word.rsplit_once('x') {
            Some((value, times)) => {
                let times: usize = times
                    .parse()
                    .map_err(|_| format!("series: `{word}` must read like 0.2x3"))?;
                (value, times)
            }
            None => (word, 1),
        };
        let reading = match (value, &rule.condition.threshold) {
            ("-", _) => Reading::Missing,
            // As it is measured: no news, unless that is what is asked for.
            (UNKNOWN, Threshold::Word(_)) if !rule.condition.asks_for(UNKNOWN) => Reading::Missing,
            ("!", _) => Reading::Failed("as the test says".to_owned()),
            (word, Threshold::Word(_)) if STATUSES.contains(&word) => {
                Reading::Word(word.to_owned())
            }
            (_, Threshold::Word(_)) => {
                return Err(format!(
                    "series: `{word}` must be {}, - or !",
                    STATUSES.join(", ")
                ));
            }
            (number, Threshold::Number(_)) => Reading::Number(
                number
                    .parse()
                    .map_err(|_| format!("series: `{word}` must be a number, - or !"))?,
            ),
        };
        if readings.len().saturating_add(times) > READINGS_MAX {
            return Err(format!("series: has more than {READINGS_MAX} readings"));
        }
        readings.extend(std::iter::repeat_n(reading, times));
    }
    Ok(readings)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The default rules, with tests of their own.
    const DEFAULTS: &str = include_str!("../config/alert_rules.toml");

    fn with(rule: &str, test: &str) -> Result<Report, String> {
        run(&format!(
            "[[rule]]\nname = \"r\"\ncondition = \"error_rate > 0.1\"\nseverity = \"error\"\n{rule}\n\
             [[test]]\nname = \"t\"\nrule = \"r\"\n{test}\n"
        ))
    }

    #[test]
    fn alert_default_rules_do_what_their_tests_say() {
        let report = run(DEFAULTS).unwrap();
        assert_eq!(report.failed, 0, "{}", report.text);
    }

    #[test]
    fn alert_test_says_what_was_not_as_expected() {
        let report = with(
            "for = \"1m\"",
            "series = \"0.2 0.2 0\"\nexpect = [{ at = \"0\", state = \"firing\" }, { at = \"1m\", told = [\"fired #1\"] }, { at = \"2m\", state = \"inactive\", error = false }]",
        )
        .unwrap();
        assert_eq!(
            report,
            Report {
                text: "FAILED t\n       at 0: expected firing, is pending\n".into(),
                failed: 1
            }
        );
    }

    #[test]
    fn alert_test_tells_series_apart_and_knows_filters_and_silences() {
        let rule = "split_by = [\"model\"]\nfilter = [\"model!=batch\"]\nchannels = [\"ops\"]";
        let series = "series = [{ labels = { model = \"a\" }, readings = \"0.2 0.2 0\" }, \
             { labels = { model = \"b\" }, readings = \"0x3\" }, { labels = { model = \"batch\" }, readings = \"0.9x3\" }]";
        let silences = "silence = [{ matchers = [\"model=a\"], from = \"0\", to = \"1m\" }]";
        let expect = |all: &str| {
            let test = format!("{series}\n{silences}\nexpect = [{all}]");
            with(rule, &test).map(|report| report.text)
        };
        let a = |rest: &str| format!("{{ labels = {{ model = \"a\" }}, {rest} }}");
        let as_it_is = [
            a("at = \"0\", state = \"firing\", told = []"),
            a("at = \"1m\", told = [\"fired #1\"]"),
            "{ labels = { model = \"b\" }, at = \"2m\", state = \"inactive\" }".to_owned(),
            "{ labels = { model = \"batch\" }, at = \"2m\", state = \"inactive\" }".to_owned(),
        ];
        assert_eq!(expect(&as_it_is.join(", ")).unwrap(), "ok     t\n");
        assert!(
            expect("{ at = \"0\", state = \"firing\" }")
                .unwrap_err()
                .contains("of which series")
        );
        let nobody = "{ labels = { model = \"z\" }, at = \"0\", state = \"firing\" }";
        assert!(expect(nobody).unwrap_err().contains("no such series"));
        let other = "series = [{ labels = { app = \"a\" }, readings = \"0\" }]\nexpect = []";
        assert!(with(rule, other).unwrap_err().contains("splits by (model)"));
        assert!(with("split_by = [\"weather\"]", "series = \"0\"\nexpect = []").is_err());
    }

    #[test]
    fn alert_test_refuses_what_it_cannot_read() {
        let expect = "expect = [{ at = \"0\", state = \"inactive\" }]";
        let refused =
            |rule: &str, test: &str| with(rule, &format!("{test}\n{expect}")).unwrap_err();
        assert!(refused("for = \"1x\"", "series = \"0\"").contains("rule r: for: `1x`"));
        assert!(refused("", "series = \"a\"").contains("must be a number"));
        assert!(refused("", "series = \"0x99999\"").contains("more than 50000"));
        assert!(refused("", "series = \"\"").contains("after the last reading"));
        assert!(refused("", "series = \"0\"\ninterval = \"0\"").contains("longer than nothing"));
        assert!(refused("nonsense = 1", "series = \"0\"").contains("unknown field"));
        let status = "[[rule]]\nname = \"r\"\ncondition = \"status != healthy\"\nseverity = \"error\"\n[[test]]\nname = \"t\"\nrule = \"r\"\nseries = \"heathy\"\nexpect = []";
        assert!(run(status).unwrap_err().contains("must be healthy"));
        assert!(run("").unwrap_err().contains("no [[test]]"));
    }
}
