//! Stretches of time as lists and statistics take them: `from` and `to`, or a named `range`.
//!
//! A stretch is half-open: it begins with `from` and ends before `to`. Dates and named days are days of
//! the installation's time zone; where a row lies within it is the query's business.

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use utoipa::IntoParams;

use super::extract;
use crate::error::{ApiError, ErrorCode};
use crate::state::AppState;

const HOUR_US: i64 = 3_600_000_000;
const DAYS_MAX: i64 = 3_660;
/// Hours of a named range at most: a week, beyond which one counts in days.
const HOURS_MAX: i64 = 168;

/// How a stretch of time is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RangeQuery {
    /// Beginning, RFC 3339 or a date; `start_time` is the same.
    #[serde(alias = "start_time")]
    from: Option<String>,
    /// End, RFC 3339 (exclusive) or a date (that day included); `end_time` is the same.
    #[serde(alias = "end_time")]
    to: Option<String>,
    /// `1h` to `168h`, `7d`, `30d`, `90d`, `today` or `this_month`; not together with `from` and `to`.
    range: Option<String>,
    /// Since the same time of the day so many days ago; the same as `range=7d`.
    #[param(minimum = 1, maximum = 3660)]
    days: Option<i64>,
}

impl RangeQuery {
    /// Asks for what lies between two times.
    pub fn between(from: Option<String>, to: Option<String>) -> Self {
        Self {
            from,
            to,
            ..Self::default()
        }
    }

    /// Asks for a named range, such as `today`.
    pub fn named(name: &str) -> Self {
        Self {
            range: Some(name.to_owned()),
            ..Self::default()
        }
    }
}

/// A stretch of time in microseconds since the Unix epoch. Document it with `params(RangeQuery)`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TimeRange {
    /// Inclusive; `None` reaches back to the beginning.
    pub from: Option<i64>,
    /// Exclusive; `None` reaches up to now and beyond.
    pub to: Option<i64>,
}

impl TimeRange {
    /// The stretch that `query` asks for at `now_micros`; unbounded when it asks for none.
    ///
    /// # Errors
    /// `invalid_range`, naming the parameter.
    pub fn parse(query: &RangeQuery, now_micros: i64, zone: Tz) -> Result<Self, ApiError> {
        let named = match (
            query.range.as_deref().filter(|text| !text.is_empty()),
            query.days,
        ) {
            (Some(_), Some(_)) => return Err(refused("days", "cannot be combined with range")),
            (Some(name), None) => Some(Self::named(name, now_micros, zone)?),
            (None, Some(days)) => Some(Self::last_days(days, "days", now_micros, zone)?),
            (None, None) => None,
        };
        if let Some(range) = named {
            if query.from.is_some() || query.to.is_some() {
                return Err(refused("range", "cannot be combined with from and to"));
            }
            return Ok(range);
        }
        let from = query
            .from
            .as_deref()
            .map(|text| moment(text, "from", zone, false));
        let to = query
            .to
            .as_deref()
            .map(|text| moment(text, "to", zone, true));
        let range = Self {
            from: from.transpose()?,
            to: to.transpose()?,
        };
        match (range.from, range.to) {
            (Some(from), Some(to)) if from > to => Err(refused("from", "lies after to")),
            _ => Ok(range),
        }
    }

    /// Whether it has neither beginning nor end.
    pub fn is_unbounded(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    fn named(name: &str, now_micros: i64, zone: Tz) -> Result<Self, ApiError> {
        let today = DateTime::<Utc>::from_timestamp_micros(now_micros)
            .unwrap_or_default()
            .with_timezone(&zone)
            .date_naive();
        let since = |day: NaiveDate| Self {
            from: Some(start_of_day(day, zone)),
            to: None,
        };
        match name {
            "today" => Ok(since(today)),
            "this_month" => Ok(since(today.with_day(1).unwrap_or(today))),
            _ => {
                let counted = |unit: char| name.strip_suffix(unit)?.parse::<i64>().ok();
                match (counted('h'), counted('d')) {
                    (Some(hours @ 1..=HOURS_MAX), _) => Ok(Self {
                        from: Some(now_micros - hours * HOUR_US),
                        to: None,
                    }),
                    (_, Some(days @ (1 | 7 | 14 | 30 | 90 | 180 | 365))) => {
                        Self::last_days(days, "range", now_micros, zone)
                    }
                    _ => Err(refused(
                        "range",
                        "must be one of 1h, 24h, 7d, 30d, 90d, today, this_month",
                    )),
                }
            }
        }
    }

    /// Since the same time of the day so many days ago: over a change of the clocks an hour less or more.
    fn last_days(days: i64, field: &str, now_micros: i64, zone: Tz) -> Result<Self, ApiError> {
        let since = u64::try_from(days)
            .ok()
            .filter(|_| (1..=DAYS_MAX).contains(&days))
            .and_then(|days| days_before(now_micros, days, zone))
            .ok_or_else(|| refused(field, format!("must lie between 1 and {DAYS_MAX}")))?;
        Ok(Self {
            from: Some(since),
            to: None,
        })
    }
}

/// The same time of the day, by the clock on the wall, so many days before `at_micros`; `None` before time began.
///
/// Not so many times 24 hours: near midnight, after a change of the clocks, that is another date.
pub fn days_before(at_micros: i64, days: u64, zone: Tz) -> Option<i64> {
    let local = DateTime::<Utc>::from_timestamp_micros(at_micros)?
        .with_timezone(&zone)
        .naive_local();
    let since = local.checked_sub_days(Days::new(days))?;
    Some(at_local(since, zone))
}

impl FromRequest for TimeRange {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let parsed = extract::query::<RangeQuery>(request).and_then(|query| {
            let state = request
                .app_data::<web::Data<AppState>>()
                .ok_or_else(|| ApiError::internal("no state"))?;
            Self::parse(&query, state.clock.now_micros(), state.time_zone)
        });
        std::future::ready(parsed)
    }
}

/// Microseconds as RFC 3339 with milliseconds in UTC, as every time of the control face is written.
pub fn rfc3339(micros: i64) -> String {
    DateTime::<Utc>::from_timestamp_micros(micros)
        .unwrap_or_default()
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// Reads RFC 3339 as microseconds since the Unix epoch.
///
/// # Errors
/// `validation_failed`, naming `field`.
pub fn parse_time(text: &str, field: &str) -> Result<i64, ApiError> {
    exact(text).ok_or_else(|| ApiError::invalid(field, "must be a time like 2026-01-31T12:00:00Z"))
}

fn exact(text: &str) -> Option<i64> {
    // A "+" that nobody encoded arrives as a space.
    let text = text.replace(' ', "+");
    DateTime::parse_from_rfc3339(&text)
        .ok()
        .map(|time| time.timestamp_micros())
}

fn moment(text: &str, field: &str, zone: Tz, end: bool) -> Result<i64, ApiError> {
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        let day = if end {
            day.checked_add_days(Days::new(1)).unwrap_or(day)
        } else {
            day
        };
        return Ok(start_of_day(day, zone));
    }
    exact(text).ok_or_else(|| refused(field, "must be a date or a time like 2026-01-31T12:00:00Z"))
}

fn start_of_day(day: NaiveDate, zone: Tz) -> i64 {
    at_local(day.and_time(NaiveTime::MIN), zone)
}

/// The moment at which clocks show a time, the first of two. Where they skip it, as at midnight where summer time begins
/// then, it is an hour later.
fn at_local(time: NaiveDateTime, zone: Tz) -> i64 {
    zone.from_local_datetime(&time)
        .earliest()
        .or_else(|| {
            zone.from_local_datetime(&(time + chrono::TimeDelta::hours(1)))
                .earliest()
        })
        .map_or_else(
            || time.and_utc().timestamp_micros(),
            |time| time.timestamp_micros(),
        )
}

fn refused(field: &str, message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::RangeInvalid).field(field, message)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{Ask, World};

    // 2026-03-15T18:30:00Z, which is already the 16th in Shanghai.
    const NOW: i64 = 1_773_599_400_000_000;
    const SHANGHAI: Tz = chrono_tz::Asia::Shanghai;

    fn parse(from: &str, to: &str, range: &str, days: Option<i64>) -> Result<TimeRange, ApiError> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let query = RangeQuery {
            from: some(from),
            to: some(to),
            range: some(range),
            days,
        };
        TimeRange::parse(&query, NOW, SHANGHAI)
    }

    fn shown(range: TimeRange) -> (Option<String>, Option<String>) {
        (range.from.map(rfc3339), range.to.map(rfc3339))
    }

    #[test]
    fn named_days_are_local() {
        assert_eq!(rfc3339(NOW), "2026-03-15T18:30:00.000Z");
        let from = |range: &str| rfc3339(parse("", "", range, None).unwrap().from.unwrap());
        assert_eq!(from("today"), "2026-03-15T16:00:00.000Z");
        assert_eq!(from("this_month"), "2026-02-28T16:00:00.000Z");
        assert_eq!(from("24h"), "2026-03-14T18:30:00.000Z");
        assert_eq!(from("1h"), "2026-03-15T17:30:00.000Z");
        assert_eq!(from("168h"), from("7d"));
        assert_eq!(
            parse("", "", "7d", None).unwrap(),
            parse("", "", "", Some(7)).unwrap()
        );
        assert!(parse("", "", "", None).unwrap().is_unbounded());
    }

    #[test]
    fn days_ago_it_was_the_same_time_of_the_day() {
        let berlin = chrono_tz::Europe::Berlin;
        for (now, days, from) in [
            // Clocks went forward on the 29th: 7 × 24 hours ago it was the 24th.
            ("2026-04-01T00:30:00+02:00", 7, "2026-03-25T00:30:00+01:00"),
            // They went back on the 25th: 7 × 24 hours ago it was the 26th already.
            ("2026-10-31T23:30:00+01:00", 7, "2026-10-24T23:30:00+02:00"),
            // A time that was skipped, and one that came twice.
            ("2026-03-30T02:30:00+02:00", 1, "2026-03-29T03:30:00+02:00"),
            ("2026-10-26T02:30:00+01:00", 1, "2026-10-25T02:30:00+02:00"),
        ] {
            let query = RangeQuery {
                days: Some(days),
                ..RangeQuery::default()
            };
            let range = TimeRange::parse(&query, exact(now).unwrap(), berlin).unwrap();
            assert_eq!(range.from, exact(from), "{now}");
        }
    }

    #[test]
    fn days_before_a_change_of_the_clocks_are_dates() {
        let berlin = chrono_tz::Europe::Berlin;
        for (at, days, before) in [
            // 6 × 24 hours before the first it was the 23rd, before the second the 25th.
            ("2026-10-28T23:30:00+01:00", 6, "2026-10-22T23:30:00+02:00"),
            ("2026-04-01T00:30:00+02:00", 6, "2026-03-26T00:30:00+01:00"),
            ("2026-10-28T23:30:00+01:00", 0, "2026-10-28T23:30:00+01:00"),
        ] {
            let found = days_before(exact(at).unwrap(), days, berlin);
            assert_eq!(found, exact(before), "{at}");
        }
    }

    #[test]
    fn a_date_as_the_end_includes_its_day() {
        let range = parse("2026-03-01", "2026-03-02", "", None).unwrap();
        let day = |text: &str| Some(text.to_owned());
        assert_eq!(
            shown(range),
            (
                day("2026-02-28T16:00:00.000Z"),
                day("2026-03-02T16:00:00.000Z")
            )
        );
        let exact = parse("2026-03-01T00:00:00 08:00", "", "", None).unwrap();
        assert_eq!(shown(exact).0, day("2026-02-28T16:00:00.000Z"));
    }

    #[test]
    fn contradictions_and_nonsense_are_refused() {
        for bad in [
            ("2026-03-02", "2026-03-01T00:00:00Z", "", None),
            ("yesterday", "", "", None),
            ("", "", "8y", None),
            ("", "", "0h", None),
            ("", "", "169h", None),
            ("", "", "-1h", None),
            ("", "", "h", None),
            ("", "", "today", Some(1)),
            ("2026-03-02", "", "today", None),
            ("", "", "", Some(0)),
            ("", "", "", Some(i64::MAX)),
        ] {
            let error = parse(bad.0, bad.1, bad.2, bad.3).unwrap_err();
            assert_eq!(error.code(), ErrorCode::RangeInvalid, "{bad:?}");
        }
    }

    /// The ranges that the console offers, as its source spells them.
    fn offered() -> Vec<&'static str> {
        let source = include_str!("../../static/src/kit/useTimeRange.ts");
        let (_, rest) = source.split_once("export const presets = [").unwrap();
        let (list, _) = rest.split_once(']').unwrap();
        list.split(',')
            .map(|name| name.trim().trim_matches('\''))
            .collect()
    }

    #[actix_web::test]
    async fn whatever_the_console_offers_is_understood_wherever_a_range_is_taken() {
        let document = serde_json::to_value(crate::http::openapi::openapi()).unwrap();
        let takes_range = |operation: &Value| {
            let parameters = operation["parameters"].as_array();
            parameters.is_some_and(|all| all.iter().any(|one| one["name"] == "range"))
        };
        let paths: Vec<String> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(_, path)| takes_range(&path["get"]))
            .map(|(path, _)| path.replace("{id}", "nobody"))
            .collect();
        assert!(paths.len() > 20, "{paths:?}");
        let presets = offered();
        assert!(presets.contains(&"1h") && presets.len() > 4, "{presets:?}");

        let world = World::sqlite().await;
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let ask = async |path: &str, range: &str| {
            let path = format!("{path}?range={range}");
            Ask::get(&path).bearer(&root).to(&app).await
        };
        for path in &paths {
            // What it says without a word of the range: some have no such record, some ask for more.
            let usual = ask(path, "7d").await.status;
            for range in &presets {
                let answer = ask(path, range).await;
                assert_eq!(answer.status, usual, "{path} {range}: {answer:?}");
                assert_ne!(answer.body["code"], "invalid_range", "{path} {range}");
            }
        }
    }
}
