//! Traces in virtual time: each row is a minute, what was read, where the series stands, and what was told.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection, proptest};

use super::condition::{Condition, ConditionError, Reading, Threshold, Verdict, change_against};
use super::machine::{Instance, State, Transition};
use super::rule::{NoData, Rule, Severity, duration_text, parse_duration};
use super::series::Series;
use super::silence::{Matcher, Silence};
use super::telling::Notice;
use super::{Labels, metric};

const MINUTE: i64 = 60_000_000;

fn rule(hold_minutes: u64, keep_minutes: u64, no_data: NoData) -> Rule {
    Rule {
        id: "rul_1".into(),
        name: "high_error_rate".into(),
        condition: Condition::parse("error_rate > 0.1").unwrap(),
        window: super::rule::WINDOW,
        hold_for: Duration::from_secs(hold_minutes * 60),
        keep_firing_for: Duration::from_secs(keep_minutes * 60),
        severity: Severity::Error,
        no_data,
        split_by: Vec::new(),
        filter: Vec::new(),
    }
}

/// A series under test, with a count of its incidents and maybe a silence.
#[derive(Clone, Default)]
struct Watched {
    series: Series,
    incidents: u32,
    silence: Option<Silence>,
}

impl Watched {
    fn round(&mut self, rule: &Rule, reading: &Reading, minute: i64) -> String {
        let now = minute * MINUTE;
        let labels = Labels::from([("rule".into(), rule.name.clone())]);
        let silenced = self
            .silence
            .as_ref()
            .is_some_and(|silence| silence.holds(&labels, now));
        let incidents = &mut self.incidents;
        let round = self.series.round(rule, reading, silenced, now, || {
            *incidents += 1;
            format!("#{incidents}")
        });
        let told: Vec<String> = round.notices.iter().map(ToString::to_string).collect();
        let instance = &self.series.instance;
        let error = if instance.error_since.is_some() {
            " (error)"
        } else {
            ""
        };
        format!("{}{error} {}", instance.state.as_str(), told.join(", "))
            .trim_end()
            .to_owned()
    }
}

fn reading(text: &str) -> Reading {
    match text {
        "-" => Reading::Missing,
        "!" => Reading::Failed("no database".into()),
        number => Reading::Number(number.parse().unwrap()),
    }
}

/// Runs a table of `minute reading | state and notices`.
fn trace(rule: &Rule, series: &mut Watched, table: &str) {
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (given, expected) = row.split_once('|').unwrap();
        let mut given = given.split_whitespace();
        let minute: i64 = given.next().unwrap().parse().unwrap();
        let read = reading(given.next().unwrap());
        assert_eq!(
            series.round(rule, &read, minute),
            expected.trim(),
            "in row `{row}`"
        );
    }
}

#[test]
fn alert_waits_for_the_breach_to_last() {
    trace(
        &rule(2, 0, NoData::Ok),
        &mut Watched::default(),
        "0  0.05 | inactive
         1  0.20 | pending
         2  0.20 | pending
         3  0.20 | firing fired #1
         4  0.20 | firing
         5  0.10 | inactive resolved #1
         6  0.20 | pending
         7  0.05 | inactive
         8  0.20 | pending
         9  0.20 | pending
         10 0.20 | firing fired #2",
    );
}

#[test]
fn alert_without_for_fires_at_once() {
    trace(
        &rule(0, 0, NoData::Ok),
        &mut Watched::default(),
        "0 0.2 | firing fired #1
         1 0.1 | inactive resolved #1",
    );
}

#[test]
fn alert_keeps_firing_until_it_was_clear_long_enough() {
    trace(
        &rule(0, 3, NoData::Ok),
        &mut Watched::default(),
        "0 0.2 | firing fired #1
         1 0.0 | firing
         3 0.0 | firing
         4 0.0 | inactive resolved #1
         5 0.2 | firing fired #2
         6 0.0 | firing
         8 0.2 | firing
         9 0.0 | firing
         11 0.0 | firing
         12 0.0 | inactive resolved #2",
    );
}

#[test]
fn alert_follows_the_no_data_policy() {
    trace(
        &rule(0, 0, NoData::Ok),
        &mut Watched::default(),
        "0 0.2 | firing fired #1
         1 -   | inactive resolved #1",
    );
    trace(
        &rule(2, 0, NoData::Keep),
        &mut Watched::default(),
        "0 0.2 | pending
         1 -   | pending
         2 0.2 | firing fired #1
         3 -   | firing
         4 0.0 | inactive resolved #1
         5 -   | inactive",
    );
    trace(
        &rule(2, 0, NoData::Alert),
        &mut Watched::default(),
        "0 0.0 | inactive
         1 -   | pending
         2 -   | pending
         3 -   | firing fired #1
         4 0.0 | inactive resolved #1",
    );
}

#[test]
fn alert_error_moves_nothing_and_is_seen() {
    trace(
        &rule(2, 0, NoData::Ok),
        &mut Watched::default(),
        "0 0.2 | pending
         1 !   | pending (error)
         2 0.2 | firing fired #1
         3 !   | firing (error)
         4 0.2 | firing
         5 0.0 | inactive resolved #1
         6 !   | inactive (error)",
    );
}

#[test]
fn alert_silence_keeps_what_happens_and_tells_what_differs() {
    let silence = Silence {
        matchers: vec![Matcher::parse("rule = high_error_rate").unwrap()],
        from: 0,
        to: 5 * MINUTE,
    };
    let mut came_and_went = Watched {
        silence: Some(silence.clone()),
        ..Watched::default()
    };
    trace(
        &rule(0, 0, NoData::Ok),
        &mut came_and_went,
        "1 0.2 | firing
         3 0.0 | inactive
         5 0.0 | inactive
         6 0.2 | firing fired #2",
    );
    let mut still_there = Watched {
        silence: Some(silence.clone()),
        ..Watched::default()
    };
    trace(
        &rule(0, 0, NoData::Ok),
        &mut still_there,
        "1 0.2 | firing
         4 0.2 | firing
         5 0.2 | firing fired #1
         6 0.2 | firing",
    );
    let mut told_before = Watched::default();
    trace(
        &rule(0, 0, NoData::Ok),
        &mut told_before,
        "0 0.2 | firing fired #1",
    );
    told_before.silence = Some(silence);
    trace(
        &rule(0, 0, NoData::Ok),
        &mut told_before,
        "1 0.2 | firing
         5 0.2 | firing
         6 0.0 | inactive resolved #1",
    );
}

#[test]
fn alert_restart_in_the_middle_of_for_goes_on() {
    let rule = rule(5, 0, NoData::Ok);
    let mut before = Watched::default();
    trace(
        &rule,
        &mut before,
        "0 0.2 | pending
         2 0.2 | pending",
    );
    // All that a restart keeps is what was stored: a copy of the plain data.
    let mut after = before.clone();
    drop(before);
    trace(
        &rule,
        &mut after,
        "4 0.2 | pending
         5 0.2 | firing fired #1",
    );
    let mut again = after.clone();
    trace(&rule, &mut again, "6 0.2 | firing");
}

#[test]
fn alert_repeats_until_acknowledged() {
    let rule = rule(0, 0, NoData::Ok);
    let mut series = Watched::default();
    trace(
        &rule,
        &mut series,
        "0   0.2 | firing fired #1
         239 0.2 | firing
         240 0.2 | firing still #1
         241 0.2 | firing",
    );
    series.series.acknowledged = true;
    trace(
        &rule,
        &mut series,
        "480 0.2 | firing
         720 0.2 | firing
         721 0.0 | inactive resolved #1
         722 0.2 | firing fired #2",
    );
}

#[test]
fn alert_flapping_is_told_once() {
    trace(
        &rule(0, 0, NoData::Ok),
        &mut Watched::default(),
        "0  0.2 | firing fired #1
         1  0.0 | inactive resolved #1
         2  0.2 | firing fired #2
         3  0.0 | inactive resolved #2
         4  0.2 | firing fired #3
         5  0.0 | inactive flapping
         6  0.2 | firing
         7  0.0 | inactive
         61 0.0 | inactive
         62 0.0 | inactive resolved #3
         90 0.2 | firing fired #5",
    );
}

#[test]
fn alert_edited_rule_starts_over_and_tells_nobody_what_they_know() {
    let mut goes_on = Watched::default();
    trace(
        &rule(0, 0, NoData::Ok),
        &mut goes_on,
        "0 0.2 | firing fired #1",
    );
    goes_on.series.acknowledged = true;
    goes_on.series.start_over();
    let mut is_over = goes_on.clone();
    trace(
        &rule(2, 0, NoData::Ok),
        &mut goes_on,
        "1 0.2 | pending
         2 !   | pending (error)
         3 0.2 | firing
         4 0.0 | inactive resolved #1
         5 0.2 | pending
         7 0.2 | firing fired #2",
    );
    trace(
        &rule(2, 0, NoData::Ok),
        &mut is_over,
        "1 !   | inactive (error)
         2 0.2 | pending
         3 0.0 | inactive resolved #1
         4 0.0 | inactive",
    );
}

#[test]
fn alert_resolved_by_hand_comes_back_as_a_new_incident() {
    let rule = rule(0, 0, NoData::Ok);
    let mut series = Watched::default();
    trace(&rule, &mut series, "0 0.2 | firing fired #1");
    let round = series.series.resolve(false, MINUTE);
    assert_eq!(round.transition, Some((Transition::Resolved, "#1".into())));
    assert_eq!(round.notices, [Notice::Resolved("#1".into())]);
    assert_eq!(series.series.resolve(false, MINUTE).transition, None);
    trace(&rule, &mut series, "2 0.2 | firing fired #2");
}

#[test]
fn alert_clock_that_jumps_back_resolves_nothing_early() {
    let rule = rule(2, 2, NoData::Ok);
    let mut instance = Instance::default();
    assert_eq!(instance.step(&rule, Verdict::Breach, 10 * MINUTE), None);
    assert_eq!(instance.step(&rule, Verdict::Breach, 5 * MINUTE), None);
    assert_eq!(instance.state, State::Pending);
}

#[test]
fn alert_conditions_of_the_document_parse_as_they_stand() {
    for text in [
        "error_rate > 0.1",
        "avg_latency_ms > 5000",
        "pending_feedbacks > 100",
        "unsynced_qa > 50",
        "status != healthy",
        "change(request_count) >= 0.5",
    ] {
        assert_eq!(Condition::parse(text).unwrap().to_string(), text);
    }
    let spelt = Condition::parse("error_rate GTE 0.1").unwrap();
    assert_eq!(spelt, Condition::parse(" error_rate>=0.1 ").unwrap());
    assert_eq!(
        spelt,
        Condition::from_fields("error_rate", "gte", "0.1").unwrap()
    );
    assert_eq!(spelt.threshold, Threshold::Number(0.1));
}

#[test]
fn alert_conditions_that_are_none_say_why() {
    let why = |text: &str| Condition::parse(text).unwrap_err();
    assert_eq!(why(""), ConditionError::Form);
    assert_eq!(why("error_rate"), ConditionError::Form);
    assert_eq!(why("error_rate >"), ConditionError::Form);
    assert_eq!(why("cpu > 1"), ConditionError::UnknownMetric("cpu".into()));
    assert_eq!(
        why("error_rate => 1"),
        ConditionError::UnknownOperator("=>".into())
    );
    assert_eq!(
        why("error_rate > NaN"),
        ConditionError::NotANumber("NaN".into())
    );
    assert_eq!(
        why("error_rate > healthy"),
        ConditionError::NotANumber("healthy".into())
    );
    assert_eq!(
        why("status != ill"),
        ConditionError::NotAStatus("ill".into())
    );
    assert_eq!(why("status > healthy"), ConditionError::StatusHasNoOrder);
}

#[test]
fn alert_verdicts_of_readings() {
    let status = Condition::parse("status != healthy").unwrap();
    let word = |word: &str| Reading::Word(word.into());
    assert_eq!(status.judge(&word("healthy")), Verdict::Clear);
    assert_eq!(status.judge(&word("unknown")), Verdict::Breach);
    assert_eq!(status.judge(&Reading::Number(1.0)), Verdict::Failed);
    let rate = Condition::parse("error_rate > 0.1").unwrap();
    assert_eq!(rate.judge(&Reading::Number(0.1)), Verdict::Clear);
    assert_eq!(rate.judge(&Reading::Number(0.11)), Verdict::Breach);
    assert_eq!(rate.judge(&Reading::Number(f64::NAN)), Verdict::Failed);
    assert_eq!(rate.judge(&Reading::Missing), Verdict::Missing);
    assert_eq!(change_against(150.0, 100.0), Reading::Number(0.5));
    assert_eq!(change_against(150.0, 0.0), Reading::Missing);
}

#[test]
fn alert_silences_hold_for_what_they_name() {
    let labels = Labels::from([("model".into(), "gpt-4o".into())]);
    let silence = |matchers: &[&str]| Silence {
        matchers: matchers
            .iter()
            .map(|text| Matcher::parse(text).unwrap())
            .collect(),
        from: 10,
        to: 20,
    };
    assert!(silence(&["model=gpt-4o"]).holds(&labels, 10));
    assert!(!silence(&["model=gpt-4o"]).holds(&labels, 9));
    assert!(!silence(&["model=gpt-4o"]).holds(&labels, 20));
    assert!(silence(&["model!=other", "app="]).holds(&labels, 15));
    assert!(!silence(&["model=gpt-4o", "app=shop"]).holds(&labels, 15));
    assert!(!silence(&[]).holds(&labels, 15));
    assert_eq!(Matcher::parse("model"), None);
    assert_eq!(Matcher::parse("=x"), None);
}

#[test]
fn alert_durations_read_as_they_are_written() {
    for (text, seconds) in [
        ("90s", 90),
        ("5m", 300),
        ("2h", 7_200),
        ("1d", 86_400),
        ("0s", 0),
    ] {
        let duration = Duration::from_secs(seconds);
        assert_eq!(parse_duration(text), Some(duration));
        assert_eq!(duration_text(duration), text);
    }
    assert_eq!(parse_duration("1h30m"), Some(Duration::from_secs(5_400)));
    assert_eq!(parse_duration("0"), Some(Duration::ZERO));
    for text in ["", "5", "m", "5x", "-5m", "99999999999999999999d"] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
}

#[test]
fn alert_metric_ids_are_unique() {
    let mut ids: Vec<&str> = metric::METRICS.iter().map(|metric| metric.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), metric::METRICS.len());
}

/// What may happen to a series in a minute.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Read(&'static str),
    Silence(bool),
    Edit,
    Acknowledge,
    Resolve,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => prop_oneof![Just("0.2"), Just("0.0"), Just("-"), Just("!")].prop_map(Happening::Read),
        1 => any::<bool>().prop_map(Happening::Silence),
        1 => prop_oneof![
            Just(Happening::Edit),
            Just(Happening::Acknowledge),
            Just(Happening::Resolve)
        ],
    ]
}

proptest! {
    /// Whatever happens, whoever is told hears of each incident once, hears it end before the next begins, and in
    /// the end knows how it stands.
    #[test]
    fn alert_story_that_is_told_makes_sense(
        happenings in collection::vec(happening(), 0..200),
        hold in 0_u64..4,
        keep in 0_u64..4,
    ) {
        let rule = rule(hold, keep, NoData::Ok);
        let mut series = Series::default();
        let (mut silenced, mut count) = (false, 0_u32);
        let (mut open, mut heard): (Option<String>, HashSet<String>) = (None, HashSet::new());
        let mut listen = |notices: Vec<Notice>| {
            for notice in notices {
                match notice {
                    Notice::Fired(incident) => {
                        assert_eq!(open, None, "{incident} began before another ended");
                        assert!(heard.insert(incident.clone()), "{incident} was told twice");
                        open = Some(incident);
                    }
                    Notice::Resolved(incident) => {
                        assert_eq!(open.take(), Some(incident), "ended without having begun");
                    }
                    Notice::Repeated(incident) => assert_eq!(open, Some(incident)),
                    Notice::Flapping => {}
                }
            }
            open.clone()
        };
        let mut minute = 0;
        for happening in happenings {
            minute += 1;
            match happening {
                Happening::Read(text) => {
                    let round = series.round(&rule, &reading(text), silenced, minute * MINUTE, || {
                        count += 1;
                        format!("#{count}")
                    });
                    listen(round.notices);
                }
                Happening::Silence(on) => silenced = on,
                Happening::Edit => series.start_over(),
                Happening::Acknowledge => series.acknowledged = true,
                Happening::Resolve => {
                    listen(series.resolve(silenced, minute * MINUTE).notices);
                }
            }
        }
        // Loud, and clear for long enough to be over and calm.
        for _ in 0..70 {
            minute += 1;
            let quiet = series.round(&rule, &Reading::Number(0.0), false, minute * MINUTE, String::new);
            listen(quiet.notices);
        }
        assert_eq!(listen(Vec::new()), None);
        assert_eq!(series.incident, None);
    }
}
