//! Which backups stay. Pure.
//!
//! The last few, and the newest of each of so many days, weeks and months that have one, counted back from the newest
//! backup: a clock that ran wild, or backups that stopped, remove nothing.

use std::collections::BTreeSet;

use chrono::{Datelike, NaiveDate};
use chrono_tz::Tz;

use crate::domain::calendar;

/// How many stay of each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Policy {
    /// At least 1.
    pub last: usize,
    pub daily: usize,
    pub weekly: usize,
    pub monthly: usize,
}

/// What a date falls into.
type Bucket = fn(NaiveDate) -> (i32, u32);

/// Keys of backups that go. `backups` are keys and times (microseconds since the Unix epoch) in any order; `proven` is the
/// newest that was restored and was all there, which stays whatever came after it.
pub fn superfluous(
    backups: &[(i64, i64)],
    proven: Option<i64>,
    policy: Policy,
    zone: Tz,
) -> Vec<i64> {
    let mut newest_first = backups.to_vec();
    newest_first.sort_unstable_by_key(|(key, at)| std::cmp::Reverse((*at, *key)));
    let mut kept: BTreeSet<i64> = newest_first
        .iter()
        .take(policy.last.max(1))
        .map(|(key, _)| *key)
        .chain(proven)
        .collect();
    let buckets: [(usize, Bucket); 3] = [
        (policy.daily, |date| (date.year(), date.ordinal())),
        (policy.weekly, |date| {
            let week = date.iso_week();
            (week.year(), week.week())
        }),
        (policy.monthly, |date| (date.year(), date.month())),
    ];
    for (many, bucket) in buckets {
        let mut seen: BTreeSet<(i32, u32)> = BTreeSet::new();
        for (key, at) in &newest_first {
            let of = bucket(calendar::date_of(zone, *at));
            if seen.contains(&of) {
                continue;
            }
            if seen.len() >= many {
                break;
            }
            seen.insert(of);
            kept.insert(*key);
        }
    }
    let gone = newest_first.into_iter().map(|(key, _)| key);
    gone.filter(|key| !kept.contains(key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;
    /// 2026-03-15T02:00:00Z, a Sunday.
    const START: i64 = 1_773_540_000_000_000;

    fn kept(every_us: i64, many: i64, policy: Policy) -> Vec<String> {
        let backups: Vec<(i64, i64)> = (0..many).map(|n| (n, START - n * every_us)).collect();
        let gone = superfluous(&backups, None, policy, Tz::UTC);
        backups
            .iter()
            .filter(|(key, _)| !gone.contains(key))
            .map(|(_, at)| calendar::date_of(Tz::UTC, *at).to_string())
            .collect()
    }

    #[test]
    fn the_newest_that_is_proven_stays() {
        let last = Policy {
            last: 1,
            daily: 0,
            weekly: 0,
            monthly: 0,
        };
        let backups = [
            (4, START),
            (3, START - DAY),
            (2, START - 2 * DAY),
            (1, START - 3 * DAY),
        ];
        assert_eq!(superfluous(&backups, Some(2), last, Tz::UTC), [3, 1]);
        assert_eq!(superfluous(&backups, None, last, Tz::UTC), [3, 2, 1]);
    }

    #[test]
    fn the_newest_of_each_day_week_and_month_stay() {
        let policy = Policy {
            last: 2,
            daily: 3,
            weekly: 3,
            monthly: 3,
        };
        assert_eq!(
            kept(DAY, 100, policy),
            [
                "2026-03-15",
                "2026-03-14",
                "2026-03-13",
                "2026-03-08",
                "2026-03-01",
                "2026-02-28",
                "2026-01-31"
            ]
        );
        // Six a day: the two last are the newest of their days.
        assert_eq!(
            kept(
                DAY / 6,
                24,
                Policy {
                    weekly: 0,
                    monthly: 0,
                    ..policy
                }
            ),
            ["2026-03-15", "2026-03-14", "2026-03-13"]
        );
    }

    #[test]
    fn one_always_stays() {
        let none = Policy {
            last: 0,
            daily: 0,
            weekly: 0,
            monthly: 0,
        };
        assert_eq!(kept(DAY, 10, none), ["2026-03-15"]);
        assert_eq!(superfluous(&[], None, none, Tz::UTC), Vec::<i64>::new());
    }
}
