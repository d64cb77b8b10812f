//! What a run's results come to: how many held, how long each step took, what failed and how often. Pure.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One token's way. A step that was not come to has no time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome<'a> {
    pub(super) issue_us: Option<i64>,
    pub(super) verify_us: Option<i64>,
    pub(super) call_us: Option<i64>,
    /// The step that failed, what failed, and the same for people.
    pub(super) failure: Option<(&'a str, &'a str, &'a str)>,
}

/// A run as a whole.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
pub(super) struct JwtTestSummary {
    /// Tokens that were tried so far.
    done: usize,
    /// All steps of which held.
    ok: usize,
    failed: usize,
    /// From the first to the last of them.
    duration_ms: i64,
    /// Tokens a second; null when it took no time.
    per_second: Option<f64>,
    issue: Option<JwtTestStep>,
    verify: Option<JwtTestStep>,
    call: Option<JwtTestStep>,
    /// What failed, most often first.
    failures: Vec<JwtTestFailure>,
    /// How the times are distributed.
    distribution: Vec<JwtTestBucket>,
}

/// How long a step took, in microseconds.
#[derive(Debug, Deserialize, PartialEq, Serialize, ToSchema)]
struct JwtTestStep {
    /// How often it was come to.
    count: usize,
    /// How often it failed.
    failed: usize,
    mean_us: f64,
    p50_us: i64,
    p95_us: i64,
    p99_us: i64,
    max_us: i64,
}

/// A failure and how often it was met.
#[derive(Debug, Deserialize, PartialEq, Serialize, ToSchema)]
struct JwtTestFailure {
    /// `issue`, `verify` or `call`.
    step: String,
    /// Stable name, such as `signature_invalid` or `rate_limit_exceeded`.
    code: String,
    /// What it said the first time.
    message: String,
    count: usize,
}

/// Steps that took less than so long, and not less than the bucket before.
#[derive(Debug, Deserialize, PartialEq, Serialize, ToSchema)]
struct JwtTestBucket {
    below_us: i64,
    issue: usize,
    verify: usize,
    call: usize,
}

/// Ends of the buckets, the same for every run so that two can be compared: 1, 2, 5, 10, 20, 50 … µs, up to 100 s.
fn ends() -> impl Iterator<Item = i64> {
    let decades = (0..8).map(|power| 10_i64.pow(power));
    decades
        .flat_map(|decade| [decade, 2 * decade, 5 * decade])
        .chain([100_000_000])
}

/// The value that so many of a hundred do not exceed, of rising values.
fn percentile(rising: &[i64], per_cent: usize) -> i64 {
    let rank = (rising.len() * per_cent).div_ceil(100);
    rising
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

fn step(mut times: Vec<i64>, failed: usize) -> Option<JwtTestStep> {
    times.sort_unstable();
    let max_us = *times.last()?;
    Some(JwtTestStep {
        count: times.len(),
        failed,
        mean_us: times.iter().map(|us| *us as f64).sum::<f64>() / times.len() as f64,
        p50_us: percentile(&times, 50),
        p95_us: percentile(&times, 95),
        p99_us: percentile(&times, 99),
        max_us,
    })
}

fn distribution([issue, verify, call]: [&[i64]; 3]) -> Vec<JwtTestBucket> {
    let mut buckets = Vec::new();
    let mut from = 0;
    for below_us in ends() {
        let within = |us: &&i64| (from..below_us).contains(*us);
        let held = |times: &[i64]| match below_us {
            // Whatever takes longer is as good as endless.
            100_000_000 => times.iter().filter(|us| **us >= from).count(),
            _ => times.iter().filter(within).count(),
        };
        buckets.push(JwtTestBucket {
            below_us,
            issue: held(issue),
            verify: held(verify),
            call: held(call),
        });
        from = below_us;
    }
    let is_used = |bucket: &JwtTestBucket| bucket.issue + bucket.verify + bucket.call > 0;
    let first = buckets.iter().position(is_used);
    let last = buckets.iter().rposition(is_used);
    match (first, last) {
        (Some(first), Some(last)) => buckets.drain(first..=last).collect(),
        _ => Vec::new(),
    }
}

/// Of `outcomes`, which took `duration_us` together.
pub(super) fn of(outcomes: &[Outcome<'_>], duration_us: i64) -> JwtTestSummary {
    let times = |of: fn(&Outcome<'_>) -> Option<i64>| -> Vec<i64> {
        outcomes.iter().filter_map(of).collect()
    };
    let issue = times(|one| one.issue_us);
    let verify = times(|one| one.verify_us);
    let call = times(|one| one.call_us);
    let failures = outcomes.iter().filter_map(|one| one.failure);
    let mut told: Vec<JwtTestFailure> = Vec::new();
    for (step, code, message) in failures.clone() {
        let known = told
            .iter_mut()
            .find(|one| one.step == step && one.code == code);
        match known {
            Some(known) => known.count += 1,
            None => told.push(JwtTestFailure {
                step: step.to_owned(),
                code: code.to_owned(),
                message: message.to_owned(),
                count: 1,
            }),
        }
    }
    told.sort_by_key(|one| std::cmp::Reverse(one.count));
    let failed_at = |name: &str| failures.clone().filter(|(step, ..)| *step == name).count();
    let failed = failures.clone().count();
    JwtTestSummary {
        done: outcomes.len(),
        ok: outcomes.len() - failed,
        failed,
        duration_ms: duration_us / 1_000,
        per_second: (duration_us > 0).then(|| outcomes.len() as f64 * 1e6 / duration_us as f64),
        distribution: distribution([&issue, &verify, &call]),
        issue: step(issue, failed_at("issue")),
        verify: step(verify, failed_at("verify")),
        call: step(call, failed_at("call")),
        failures: told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_met() {
        let hundred: Vec<i64> = (1..=100).collect();
        for (per_cent, value) in [(50, 50), (95, 95), (99, 99), (100, 100)] {
            assert_eq!(percentile(&hundred, per_cent), value);
        }
        assert_eq!(percentile(&[7], 50), 7);
        assert_eq!(percentile(&[7, 9], 50), 7);
        assert_eq!(percentile(&[7, 9], 95), 9);
        assert_eq!(percentile(&[], 50), 0);
    }

    #[test]
    fn a_run_is_summed_up() {
        let call = |call_us, failure| Outcome {
            issue_us: Some(10),
            verify_us: Some(30),
            call_us: Some(call_us),
            failure,
        };
        let limited = Some(("call", "rate_limit_exceeded", "Too many."));
        let summary = of(
            &[
                call(1_000, None),
                call(4_000, limited),
                call(
                    4_500,
                    Some(("call", "rate_limit_exceeded", "Still too many.")),
                ),
                Outcome {
                    issue_us: Some(10),
                    verify_us: Some(20),
                    call_us: None,
                    failure: Some(("verify", "expired", "It has expired.")),
                },
            ],
            2_000_000,
        );
        assert_eq!((summary.done, summary.ok, summary.failed), (4, 1, 3));
        assert_eq!(
            (summary.duration_ms, summary.per_second),
            (2_000, Some(2.0))
        );
        let call = summary.call.unwrap();
        assert_eq!(
            (call.count, call.failed, call.p50_us, call.max_us),
            (3, 2, 4_000, 4_500)
        );
        assert_eq!(summary.verify.unwrap().failed, 1);
        let failures: Vec<_> = summary
            .failures
            .iter()
            .map(|one| (one.code.as_str(), one.count, one.message.as_str()))
            .collect();
        assert_eq!(
            failures,
            [
                ("rate_limit_exceeded", 2, "Too many."),
                ("expired", 1, "It has expired.")
            ]
        );
        let of_bucket = |below: i64| {
            let bucket = summary
                .distribution
                .iter()
                .find(|one| one.below_us == below);
            bucket.map(|one| (one.issue, one.verify, one.call))
        };
        assert_eq!(of_bucket(10), None);
        assert_eq!(of_bucket(20), Some((4, 0, 0)));
        assert_eq!(of_bucket(50), Some((0, 4, 0)));
        assert_eq!(of_bucket(2_000), Some((0, 0, 1)));
        assert_eq!(of_bucket(5_000), Some((0, 0, 2)));
        assert_eq!(summary.distribution.last().unwrap().below_us, 5_000);
    }

    #[test]
    fn nothing_comes_to_nothing_and_the_endless_are_counted() {
        let empty = of(&[], 0);
        assert_eq!((empty.done, empty.per_second), (0, None));
        assert!(empty.issue.is_none() && empty.distribution.is_empty());
        let endless = Outcome {
            call_us: Some(1_000_000_000),
            ..Outcome::default()
        };
        let summary = of(&[endless], 1);
        assert_eq!(summary.distribution.len(), 1);
        assert_eq!(summary.distribution[0].call, 1);
    }
}
