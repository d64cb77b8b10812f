//! A stretch of time counted from the coarsest pieces there are: whole days, whole hours, and ragged ends from the log. What
//! no rollup knows is counted from the log altogether, if that is little.

use chrono_tz::Tz;
use sea_orm::DatabaseConnection;
use steward_actors::domain::calendar;
use steward_actors::domain::rid::Rid;
use steward_entities::ledger::log_count::{self, EDGE_BUDGET, SCAN_BUDGET, Window};
use steward_entities::ledger::rollup::{self, Grain, Measures, ROLLUPS, RollupRow, RollupTable};

use crate::error::ApiError;
use crate::http::range::{TimeRange, days_before};
use crate::state::AppState;

use super::days::forgotten_before;
use super::view::Counted;
use super::which::{Chosen, Teller};

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
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

    /// The stretch it is compared with, by the clock on the wall: of a day that still runs, yesterday up to the same time;
    /// of whole days, as many before; else what lies right before it and is as long.
    pub(super) fn before(self, zone: Tz) -> Self {
        let between = |from, to| Self {
            from,
            to,
            is_open: false,
        };
        if self.is_open
            && self.from == calendar::day_of(zone, self.to)
            && let (Some(from), Some(to)) = (
                days_before(self.from, 1, zone),
                days_before(self.to, 1, zone),
            )
            && from < to
        {
            // A time that yesterday's clocks skipped or had twice does not reach into today.
            return between(from, to.min(self.from));
        }
        let long = self.to - self.from;
        let days = u64::try_from((long + DAY_US / 2) / DAY_US).unwrap_or(0);
        let whole_days = days > 0 && days_before(self.to, days, zone) == Some(self.from);
        let from = match days_before(self.from, days, zone).filter(|_| whole_days) {
            Some(from) => from,
            None => self.from - long,
        };
        between(from, self.from)
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

/// Where statistics are read.
#[derive(Clone, Copy)]
pub(super) struct Books<'a> {
    pub(super) read: &'a DatabaseConnection,
    pub(super) zone: Tz,
    /// Calls made before may have left the log.
    log_from: i64,
}

impl<'a> Books<'a> {
    pub(super) fn of(state: &'a AppState) -> Self {
        Self {
            read: &state.databases.ledger_read,
            zone: state.time_zone,
            log_from: forgotten_before(state).unwrap_or(i64::MIN),
        }
    }
}

/// Counts a stretch; tells the one that was counted, which is as long or longer.
pub(super) async fn count(
    books: Books<'_>,
    chosen: &Chosen,
    asked: Stretch,
) -> Result<(Stretch, Counted), ApiError> {
    let Books { read, zone, .. } = books;
    let mut sum = Counted::default();
    let table = match chosen.daily {
        Teller::Rollup(table) => table,
        Teller::Log(grain) => {
            let range = (asked.from, asked.to);
            for row in logged(books, grain, &[], range, &chosen.only()).await? {
                sum.add(row.bucket, &row.measures);
            }
            return Ok((asked, sum));
        }
    };
    // Without histograms a rollup knows no quantiles; a short stretch of the log does.
    if !table.has_histograms
        && let Some(found) = scanned(
            books,
            Grain::Day,
            &[],
            (asked.from, asked.to),
            &chosen.only(),
        )
        .await?
    {
        for row in found {
            sum.add(row.bucket, &row.measures);
        }
        return Ok((asked, sum));
    }
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
    for (table, from, to) in pieces(zone, chosen.hourly, table, whole) {
        for row in kept(books, table, &[], (from, to), &chosen.only()).await? {
            sum.add(row.bucket, &row.measures);
        }
    }
    Ok((counted, sum))
}

/// Lookups that cost less than reading a stretch of a rollup through.
const LOOKUPS_MAX: usize = 10_000;

/// What calls came to in each bucket of `range`, told apart by the keys `by`.
pub(super) async fn rows(
    books: Books<'_>,
    teller: Teller,
    by: &[&str],
    range: (i64, i64),
    only: &[(&str, &[i64])],
) -> Result<Vec<RollupRow>, ApiError> {
    match teller {
        Teller::Rollup(table) => kept(books, table, by, range, only).await,
        Teller::Log(grain) => logged(books, grain, by, range, only).await,
    }
}

/// Rows of `table` as [`rollup::rows_by`] tells them. A rollup's key begins with the bucket, so that one of many callers is
/// looked up in each bucket instead of being looked for among the others of all of them.
async fn kept(
    books: Books<'_>,
    table: &RollupTable,
    by: &[&str],
    range: (i64, i64),
    only: &[(&str, &[i64])],
) -> Result<Vec<RollupRow>, ApiError> {
    let starts = starts(books.zone, table, range, only);
    let mut only = only.to_vec();
    if !starts.is_empty() {
        only.push(("bucket", &starts));
    }
    Ok(rollup::rows_by(books.read, table, by, range, &only).await?)
}

/// The same counted from the log, or a sentence that says why not.
async fn logged(
    books: Books<'_>,
    grain: Grain,
    by: &[&str],
    range: (i64, i64),
    only: &[(&str, &[i64])],
) -> Result<Vec<RollupRow>, ApiError> {
    if range.0 < books.log_from {
        return Err(ApiError::invalid(
            "from",
            "must lie where all calls are still in the log (retention.request_logs_days): no statistics are kept for these \
             filters together",
        ));
    }
    let found = scanned(books, grain, by, range, only).await?;
    found.ok_or_else(|| {
        ApiError::invalid(
            "from",
            format!(
                "must leave at most {SCAN_BUDGET} calls: no statistics are kept for these filters together, so the log is \
                 counted; ask for a shorter stretch, or for fewer filters"
            ),
        )
    })
}

/// Whole days, however many calls they have. Few are counted from the log. Of many the rollup that tells these keys apart
/// has the days since it began; the rest is added up from the log by the database, day by day. Neither has quantiles.
pub(super) async fn summed(
    books: Books<'_>,
    by: &[&str],
    range: (i64, i64),
    only: &[(&str, &[i64])],
) -> Result<Vec<RollupRow>, ApiError> {
    if let Some(found) = scanned(books, Grain::Day, by, range, only).await? {
        return Ok(found);
    }
    let mut rows = Vec::new();
    let mut from_log = None;
    if let Some(table) = begun_later(by, only) {
        let starts = starts(books.zone, table, range, only);
        let mut looked_up = only.to_vec();
        if !starts.is_empty() {
            looked_up.push(("bucket", &starts));
        }
        // Asked first: a day that is whole stays so.
        let partial = rollup::partial(books.read, table, range, &looked_up).await?;
        rows = kept(books, table, by, range, only).await?;
        rows.retain(|row| !partial.contains(&row.bucket));
        from_log = Some(partial);
    }
    // What was forgotten cannot be told; what is left is.
    let mut day = calendar::day_of(books.zone, range.0.max(books.log_from));
    while day < range.1 {
        let next = calendar::next_day(books.zone, day);
        if from_log.as_ref().is_none_or(|days| days.contains(&day)) {
            let window = window((day, next));
            rows.extend(log_count::sums_by(books.read, window, by, only, day).await?);
        }
        day = next;
    }
    Ok(rows)
}

/// The rollup that tells `by` apart among calls of one key, if one does that began when calls were on the books.
fn begun_later(by: &[&str], only: &[(&str, &[i64])]) -> Option<&'static RollupTable> {
    let ([by], [(key, [_])]) = (by, only) else {
        return None;
    };
    let tells = |table: &&RollupTable| {
        table.whole_where.is_some() && table.grain == Grain::Day && table.keys == [*key, *by]
    };
    ROLLUPS.into_iter().find(tells)
}

/// The same; `None` when the log has too many calls, or no longer all.
async fn scanned(
    books: Books<'_>,
    grain: Grain,
    by: &[&str],
    range: (i64, i64),
    only: &[(&str, &[i64])],
) -> Result<Option<Vec<RollupRow>>, ApiError> {
    if range.0 < books.log_from {
        return Ok(None);
    }
    let bucket_of = |at: i64| match grain {
        Grain::Hour => calendar::hour_of(books.zone, at),
        Grain::Day => calendar::day_of(books.zone, at),
    };
    let window = window(range);
    Ok(log_count::rows_by(books.read, window, by, only, SCAN_BUDGET, bucket_of).await?)
}

/// Calls made in `range`.
fn window((from, to): (i64, i64)) -> Window {
    let rid = |micros: i64| Rid::floor_of_ms(micros.clamp(0, LAST_US).div_euclid(1_000)).0;
    Window {
        at: (from, to),
        rids: (rid(from - SLACK_US), rid(to + SLACK_US)),
    }
}

/// The buckets of `range` where they are to be looked up one by one, else nothing.
pub(super) fn starts(
    zone: Tz,
    table: &RollupTable,
    (from, to): (i64, i64),
    only: &[(&str, &[i64])],
) -> Vec<i64> {
    let first = table.keys.first();
    let Some((_, ids)) = only.iter().find(|(key, _)| first == Some(key)) else {
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
fn pieces(
    zone: Tz,
    hourly: Option<&'static RollupTable>,
    daily: &'static RollupTable,
    whole: Stretch,
) -> Vec<(&'static RollupTable, i64, i64)> {
    let Some(hourly) = hourly else {
        return vec![(daily, whole.from, whole.to)];
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
        (daily, first, last),
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
    let window = window((from, to));
    Ok(log_count::sum(read, window, &chosen.only(), EDGE_BUDGET).await?)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use chrono_tz::Europe::Berlin;

    use super::*;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text)
            .expect("a time")
            .timestamp_micros()
    }

    fn before(from: &str, to: &str, is_open: bool) -> (i64, i64) {
        let (from, to) = (at(from), at(to));
        let before = Stretch { from, to, is_open }.before(Berlin);
        assert!(!before.is_open);
        (before.from, before.to)
    }

    #[test]
    fn a_running_day_is_compared_with_yesterday_up_to_the_same_time() {
        // An ordinary day.
        assert_eq!(
            before(
                "2026-03-11T00:00:00+01:00",
                "2026-03-11T09:30:00+01:00",
                true
            ),
            (
                at("2026-03-10T00:00:00+01:00"),
                at("2026-03-10T09:30:00+01:00")
            )
        );
        // Clocks went forward on the 29th at two: its half past nine is eight and a half hours after midnight.
        assert_eq!(
            before(
                "2026-03-29T00:00:00+01:00",
                "2026-03-29T09:30:00+02:00",
                true
            ),
            (
                at("2026-03-28T00:00:00+01:00"),
                at("2026-03-28T09:30:00+01:00")
            )
        );
        assert_eq!(
            before(
                "2026-03-30T00:00:00+02:00",
                "2026-03-30T09:30:00+02:00",
                true
            ),
            (
                at("2026-03-29T00:00:00+01:00"),
                at("2026-03-29T09:30:00+02:00")
            )
        );
        // Half past two was skipped on the 29th.
        assert_eq!(
            before(
                "2026-03-30T00:00:00+02:00",
                "2026-03-30T02:30:00+02:00",
                true
            ),
            (
                at("2026-03-29T00:00:00+01:00"),
                at("2026-03-29T03:30:00+02:00")
            )
        );
    }

    #[test]
    fn whole_days_are_compared_with_as_many_before_and_the_rest_with_what_is_as_long() {
        // Seven days over the change of the clocks, and the seven before it.
        assert_eq!(
            before(
                "2026-03-24T09:30:00+01:00",
                "2026-03-31T09:30:00+02:00",
                true
            ),
            (
                at("2026-03-17T09:30:00+01:00"),
                at("2026-03-24T09:30:00+01:00")
            )
        );
        assert_eq!(
            before(
                "2026-03-31T00:00:00+02:00",
                "2026-04-07T00:00:00+02:00",
                false
            ),
            (
                at("2026-03-24T00:00:00+01:00"),
                at("2026-03-31T00:00:00+02:00")
            )
        );
        // The last 24 hours are hours.
        assert_eq!(
            before(
                "2026-03-28T09:30:00+01:00",
                "2026-03-29T10:30:00+02:00",
                true
            ),
            (
                at("2026-03-27T09:30:00+01:00"),
                at("2026-03-28T09:30:00+01:00")
            )
        );
        // A stretch of the past that begins at midnight is no running day.
        assert_eq!(
            before(
                "2026-03-11T00:00:00+01:00",
                "2026-03-11T06:00:00+01:00",
                false
            ),
            (
                at("2026-03-10T18:00:00+01:00"),
                at("2026-03-11T00:00:00+01:00")
            )
        );
    }
}
