//! Where local hours and days begin. Buckets of statistics are instants (microseconds since the Unix epoch), so an
//! hour that a clock shows twice in autumn is two buckets, and a day has 23, 24 or 25 of them.
//!
//! Pure: the writer counts by it and readers ask by it, so both must get their buckets here.

use chrono::{
    DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, Offset as _, TimeDelta, TimeZone as _, Utc,
};
use chrono_tz::Tz;

const HOUR_US: i64 = 3_600_000_000;
/// Offsets of zones change at multiples of this.
const QUARTER_US: i64 = HOUR_US / 4;

fn utc(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

/// The start of the local hour that `micros` lies in.
pub fn hour_of(zone: Tz, micros: i64) -> i64 {
    let offset = zone
        .offset_from_utc_datetime(&utc(micros).naive_utc())
        .fix();
    let offset_us = i64::from(offset.local_minus_utc()) * 1_000_000;
    micros - (micros + offset_us).rem_euclid(HOUR_US)
}

/// The start of the local day that `micros` lies in.
pub fn day_of(zone: Tz, micros: i64) -> i64 {
    start_of(zone, utc(micros).with_timezone(&zone).date_naive())
}

/// The start of the local hour after the one that begins at `hour`.
pub fn next_hour(zone: Tz, hour: i64) -> i64 {
    hour_of(zone, hour + HOUR_US)
}

/// The start of the local day after the one that `micros` lies in.
pub fn next_day(zone: Tz, micros: i64) -> i64 {
    let day = utc(micros).with_timezone(&zone).date_naive();
    start_of(zone, day.checked_add_days(Days::new(1)).unwrap_or(day))
}

/// The local date that `micros` lies in.
pub fn date_of(zone: Tz, micros: i64) -> NaiveDate {
    utc(micros).with_timezone(&zone).date_naive()
}

/// The first instant of a date: its midnight, the earlier of two, or what follows where clocks skip it.
pub fn start_of(zone: Tz, date: NaiveDate) -> i64 {
    moment_of(zone, date.and_time(NaiveTime::MIN))
}

/// When clocks show a time: the first of two moments, or what follows where clocks skip it.
pub fn moment_of(zone: Tz, time: NaiveDateTime) -> i64 {
    (0..96)
        .filter_map(|quarters| {
            let local = time.checked_add_signed(TimeDelta::minutes(15 * quarters))?;
            zone.from_local_datetime(&local).earliest()
        })
        .next()
        .map_or_else(
            || time.and_utc().timestamp_micros(),
            |at| at.timestamp_micros(),
        )
}

/// Buckets of many instants that mostly follow one another.
#[derive(Debug)]
pub struct Buckets {
    zone: Tz,
    quarter: i64,
    hour: i64,
    day: i64,
}

impl Buckets {
    pub fn new(zone: Tz) -> Self {
        Self {
            zone,
            quarter: i64::MIN,
            hour: 0,
            day: 0,
        }
    }

    /// Starts of the local hour and the local day.
    pub fn of(&mut self, micros: i64) -> (i64, i64) {
        let quarter = micros.div_euclid(QUARTER_US);
        if quarter != self.quarter {
            self.quarter = quarter;
            self.hour = hour_of(self.zone, micros);
            self.day = day_of(self.zone, micros);
        }
        (self.hour, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text)
            .unwrap()
            .timestamp_micros()
    }

    #[test]
    fn days_have_as_many_hours_as_the_clock_gives_them() {
        for (zone, within, start, hours) in [
            (
                Tz::Europe__Berlin,
                "2026-03-29T12:00:00Z",
                "2026-03-28T23:00:00Z",
                23,
            ),
            (
                Tz::Europe__Berlin,
                "2026-10-25T12:00:00Z",
                "2026-10-24T22:00:00Z",
                25,
            ),
            (
                Tz::Europe__Berlin,
                "2026-07-01T22:00:00Z",
                "2026-07-01T22:00:00Z",
                24,
            ),
            (
                Tz::Asia__Kolkata,
                "2026-07-01T18:29:59Z",
                "2026-06-30T18:30:00Z",
                24,
            ),
            // No midnight: clocks go from 23:59 to 01:00.
            (
                Tz::Africa__Cairo,
                "2026-04-24T12:00:00Z",
                "2026-04-23T22:00:00Z",
                23,
            ),
        ] {
            let day = day_of(zone, at(within));
            assert_eq!(day, at(start), "{zone} {within}");
            let next = next_day(zone, day);
            let mut count = 0;
            let mut hour = hour_of(zone, day);
            assert_eq!(hour, day);
            while hour < next {
                assert_eq!(day_of(zone, hour), day);
                count += 1;
                hour = next_hour(zone, hour);
            }
            assert_eq!((hour, count), (next, hours), "{zone} {within}");
        }
    }

    #[test]
    fn hours_of_a_zone_that_is_half_an_hour_off() {
        let kolkata = Tz::Asia__Kolkata;
        assert_eq!(
            hour_of(kolkata, at("2026-01-01T00:29:59Z")),
            at("2025-12-31T23:30:00Z")
        );
        assert_eq!(
            hour_of(kolkata, at("2026-01-01T00:30:00Z")),
            at("2026-01-01T00:30:00Z")
        );
    }

    #[test]
    fn remembered_buckets_are_the_calculated_ones() {
        for zone in [
            Tz::Europe__Berlin,
            Tz::Asia__Kolkata,
            Tz::Asia__Kathmandu,
            Tz::UTC,
        ] {
            let mut buckets = Buckets::new(zone);
            let start = at("2026-10-24T20:00:00Z");
            for minute in 0..(36 * 60) {
                let micros = start + minute * 60_000_000 + 59_999_999;
                assert_eq!(
                    buckets.of(micros),
                    (hour_of(zone, micros), day_of(zone, micros))
                );
            }
        }
    }
}
