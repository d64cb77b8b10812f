//! Which days a report tells of, by the date on which it is made.
//!
//! Whole days: what is sent every week can be compared. Which date it is depends on the report's time zone; where a day
//! begins is the statistics' business.

use std::fmt;

use chrono::{Datelike, Days, Months, NaiveDate};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::domain::calendar;

/// Days of one report at most.
pub const DAYS_MAX: u32 = 366;

/// See the module. Written `7d`, `last_week`, `last_month`, `this_month` or `2026-01-01..2026-01-31`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Range {
    /// So many whole days, the last of which is yesterday.
    LastDays(u32),
    /// Monday to Sunday of the week before.
    LastWeek,
    /// The calendar month before.
    LastMonth,
    /// From the first of the month up to today, which is not over.
    ThisMonth,
    /// Both included.
    Between(NaiveDate, NaiveDate),
}

/// Days from the first to the last, both included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Dates {
    pub first: NaiveDate,
    pub last: NaiveDate,
}

impl Range {
    /// Reads it as written.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "last_week" => return Some(Self::LastWeek),
            "last_month" => return Some(Self::LastMonth),
            "this_month" => return Some(Self::ThisMonth),
            _ => {}
        }
        if let Some(days) = text.strip_suffix('d') {
            let is_plain = days.bytes().all(|byte| byte.is_ascii_digit());
            let days = days.parse().ok().filter(|_| is_plain)?;
            return (1..=DAYS_MAX)
                .contains(&days)
                .then_some(Self::LastDays(days));
        }
        let (first, last) = text.split_once("..")?;
        let date = |text: &str| {
            let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
            // Blanks and missing noughts are read as well; they are not written.
            date.filter(|date| date.to_string() == text)
        };
        let (first, last) = (date(first)?, date(last)?);
        let days = (last - first).num_days();
        (0..i64::from(DAYS_MAX))
            .contains(&days)
            .then_some(Self::Between(first, last))
    }

    /// The days meant by whoever looks at the calendar of `zone` at `now`.
    pub fn dates(self, zone: Tz, now: i64) -> Dates {
        let today = calendar::date_of(zone, now);
        let back = |from: NaiveDate, days: u32| {
            from.checked_sub_days(Days::new(days.into()))
                .unwrap_or(from)
        };
        let first_of_month = today.with_day(1).unwrap_or(today);
        let (first, last) = match self {
            Self::LastDays(days) => (back(today, days), back(today, 1)),
            Self::LastWeek => {
                let monday = back(today, today.weekday().num_days_from_monday());
                (back(monday, 7), back(monday, 1))
            }
            Self::LastMonth => {
                let before = first_of_month.checked_sub_months(Months::new(1));
                (before.unwrap_or(first_of_month), back(first_of_month, 1))
            }
            Self::ThisMonth => (first_of_month, today),
            Self::Between(first, last) => (first, last),
        };
        Dates { first, last }
    }
}

impl Dates {
    /// From the start of the first day to the end of the last, as `zone` has them: microseconds since the Unix epoch, the
    /// end exclusive.
    pub fn stretch(self, zone: Tz) -> (i64, i64) {
        let after = self
            .last
            .checked_add_days(Days::new(1))
            .unwrap_or(self.last);
        (
            calendar::start_of(zone, self.first),
            calendar::start_of(zone, after),
        )
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LastDays(days) => write!(f, "{days}d"),
            Self::LastWeek => f.write_str("last_week"),
            Self::LastMonth => f.write_str("last_month"),
            Self::ThisMonth => f.write_str("this_month"),
            Self::Between(first, last) => write!(f, "{first}..{last}"),
        }
    }
}

impl From<Range> for String {
    fn from(range: Range) -> Self {
        range.to_string()
    }
}

impl TryFrom<String> for Range {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("is no range of days")
    }
}
