//! When a report is due: every day, week or month at a time of the clock of its time zone.
//!
//! Due once a day at most, whatever clocks do: a time that comes twice counts the first time, one that is skipped comes as
//! soon as clocks go on. A month without the 31st has it on its last day.

use chrono::{Datelike, Days, NaiveDate, NaiveTime};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::domain::calendar;

/// Longer than any month and its neighbour.
const LOOK_DAYS: u64 = 70;
const CLOCK: &str = "%H:%M";

/// How often.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "every", rename_all = "snake_case")]
pub enum Every {
    Day,
    Week {
        /// 1 (Monday) to 7.
        weekday: u32,
    },
    Month {
        /// 1 to 31.
        day: u32,
    },
}

/// See the module.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Schedule {
    #[serde(flatten)]
    pub every: Every,
    /// Hours and minutes.
    #[serde(with = "clock")]
    pub at: NaiveTime,
}

impl Schedule {
    /// The first moment after `now` at which it is due.
    pub fn next_after(&self, zone: Tz, now: i64) -> Option<i64> {
        let today = calendar::date_of(zone, now);
        (0..LOOK_DAYS)
            .filter_map(|ahead| today.checked_add_days(Days::new(ahead)))
            .filter(|date| self.is_on(*date))
            .map(|date| calendar::moment_of(zone, date.and_time(self.at)))
            .find(|moment| *moment > now)
    }

    fn is_on(&self, date: NaiveDate) -> bool {
        match self.every {
            Every::Day => true,
            Every::Week { weekday } => date.weekday().number_from_monday() == weekday,
            Every::Month { day } => date.day() == day.min(u32::from(date.num_days_in_month())),
        }
    }
}

/// Reads `07:30`.
pub fn time_of_day(text: &str) -> Option<NaiveTime> {
    let time = NaiveTime::parse_from_str(text, CLOCK).ok()?;
    // Blanks and missing noughts are read as well; they are not written.
    (time.format(CLOCK).to_string() == text).then_some(time)
}

mod clock {
    use chrono::NaiveTime;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(at: &NaiveTime, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&at.format(super::CLOCK))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<NaiveTime, D::Error> {
        let text = String::deserialize(from)?;
        super::time_of_day(&text).ok_or_else(|| D::Error::custom("is no time such as 07:30"))
    }
}
