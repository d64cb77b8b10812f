//! A stretch of time counted from the coarsest pieces there are: whole days, whole hours, and ragged ends from the log.

use chrono_tz::Tz;
use sea_orm::DatabaseConnection;
use steward_actors::domain::calendar;
use steward_actors::domain::rid::Rid;
use steward_entities::ledger::rollup::{self, Grain, Measures, RollupRow, RollupTable};

use crate::error::ApiError;
use crate::http::range::TimeRange;

use super::view::Counted;
use super::which::Chosen;

const HOUR_US: i64 = 3_600_000_000;
/// Longer stretches begin with a whole hour or day: nobody looks for minutes in them.
const RAGGED_MAX_US: i64 = 48 * HOUR_US;
/// The key's time is the acceptance of a call and may run ahead of `request_at` a little.
const SLACK_US: i64 = 60_000_000;
/// Keys of later calls would not fit.
const LAST_US: i64 = ((i64::MAX >> 20) - 1) * 1_000;

/// Microseconds since the Unix epoch, `[from, to)`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stretch {
    pub(super) from: i64,
    pub(super) to: i64,
    /// Nothing lies after its end: it reaches up to now.
    pub(super) is_open: bool,
}

impl Stretch {
    /// What a request asks for: up to now and the last 24 hours unless told.
    pub(super) fn asked(range: TimeRange, now: i64) -> Result<Self, ApiError> {
        let to = range.to.unwrap_or(now).min(LAST_US);
        let from = range.from.unwrap_or(to - 24 * HOUR_US).max(0);
        if from >= to {
            return Err(ApiError::invalid(
                "from",
                "must lie before the end of the stretch",
            ));
        }
        Ok(Self {
            from,
            to,
            is_open: range.to.is_none_or(|to| to >= now),
        })
    }

    /// The whole days it touches.
    pub(super) fn days(self, zone: Tz) -> Self {
        Self {
            from: calendar::day_of(zone, self.from),
            to: calendar::next_day(zone, self.to - 1),
            is_open: self.is_open,
        }
    }
}

/// Counts a stretch; tells the one that was counted, which is as long or longer.
pub(super) async fn count(
    read: &DatabaseConnection,
    zone: Tz,
    chosen: &Chosen,
    asked: Stretch,
) -> Result<(Stretch, Counted), ApiError> {
    let floor = |at: i64| match chosen.hourly {
        Some(_) => calendar::hour_of(zone, at),
        None => calendar::day_of(zone, at),
    };
    let ceil = |at: i64| {
        let below = floor(at);
        match chosen.hourly {
            _ if below == at => at,
            Some(_) => calendar::next_hour(zone, below),
            None => calendar::next_day(zone, below),
        }
    };
    let mut sum = Counted::default();
    // What rollups tell, once the ends are settled.
    let mut whole = Stretch {
        from: floor(asked.from),
        to: ceil(asked.to),
        ..asked
    };
    let (first, last) = (ceil(asked.from), floor(asked.to));
    let is_exact =
        asked.to - asked.from <= RAGGED_MAX_US && (chosen.hourly.is_some() || chosen.is_indexed);
    if is_exact && first > last {
        // Within one bucket.
        if let Some(found) = from_log(read, chosen, asked.from, asked.to).await? {
            sum.add(asked.from, &found);
            return Ok((asked, sum));
        }
    } else if is_exact {
        if let Some(head) = from_log(read, chosen, asked.from, first).await? {
            sum.add(asked.from, &head);
            whole.from = first;
        }
        // Up to now: the whole last bucket is the same.
        if !asked.is_open
            && let Some(tail) = from_log(read, chosen, last, asked.to).await?
        {
            sum.add(last, &tail);
            whole.to = last;
        }
    }
    let counted = Stretch {
        from: asked.from.min(whole.from),
        to: if asked.is_open {
            asked.to
        } else {
            asked.to.max(whole.to)
        },
        ..asked
    };
    for (table, from, to) in pieces(zone, chosen, whole) {
        for row in rows(read, zone, table, &[], (from, to), &chosen.only()).await? {
            sum.add(row.bucket, &row.measures);
        }
    }
    Ok((counted, sum))
}

/// Lookups that cost less than reading a stretch of a rollup through.
const LOOKUPS_MAX: usize = 10_000;

/// Rows of `table` as [`rollup::rows_by`] tells them. A rollup's key begins with the bucket, so that one of many callers is
/// looked up in each bucket instead of being looked for among the others of all of them.
pub(super) async fn rows(
    read: &DatabaseConnection,
    zone: Tz,
    table: &RollupTable,
    by: &[&str],
    range: (i64, i64),
    only: &[(&str, &[i64])],
) -> Result<Vec<RollupRow>, ApiError> {
    let starts = starts(zone, table, range, only);
    let mut only = only.to_vec();
    if !starts.is_empty() {
        only.push(("bucket", &starts));
    }
    Ok(rollup::rows_by(read, table, by, range, &only).await?)
}

/// The buckets of `range` where they are to be looked up one by one, else nothing.
pub(super) fn starts(
    zone: Tz,
    table: &RollupTable,
    (from, to): (i64, i64),
    only: &[(&str, &[i64])],
) -> Vec<i64> {
    let Some((_, ids)) = only.iter().find(|(key, _)| *key == table.keys[0]) else {
        return Vec::new();
    };
    let most = LOOKUPS_MAX / ids.len().max(1);
    let (mut at, next): (i64, fn(Tz, i64) -> i64) = match table.grain {
        Grain::Hour => (calendar::hour_of(zone, from), calendar::next_hour),
        Grain::Day => (calendar::day_of(zone, from), calendar::next_day),
    };
    let mut starts = Vec::new();
    while at < to {
        if starts.len() == most {
            return Vec::new();
        }
        starts.push(at);
        at = next(zone, at);
    }
    starts
}

/// Whole days, and the hours around them.
fn pieces(zone: Tz, chosen: &Chosen, whole: Stretch) -> Vec<(&'static RollupTable, i64, i64)> {
    let Some(hourly) = chosen.hourly else {
        return vec![(chosen.daily, whole.from, whole.to)];
    };
    let first = calendar::day_of(zone, whole.from);
    let first = if first == whole.from {
        first
    } else {
        calendar::next_day(zone, first)
    };
    let last = calendar::day_of(zone, whole.to);
    if first >= last {
        return vec![(hourly, whole.from, whole.to)];
    }
    vec![
        (hourly, whole.from, first),
        (chosen.daily, first, last),
        (hourly, last, whole.to),
    ]
}

async fn from_log(
    read: &DatabaseConnection,
    chosen: &Chosen,
    from: i64,
    to: i64,
) -> Result<Option<Measures>, ApiError> {
    if from >= to {
        return Ok(Some(Measures::default()));
    }
    let rid = |micros: i64| Rid::floor_of_ms(micros.clamp(0, LAST_US).div_euclid(1_000)).0;
    let rids = (rid(from - SLACK_US), rid(to + SLACK_US));
    Ok(rollup::from_log(read, (from, to), rids, &chosen.only()).await?)
}
