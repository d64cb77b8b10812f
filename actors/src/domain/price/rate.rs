//! The exchange rate by which money in two currencies is shown, compared and limited as one. What was charged stays in
//! the currency it was charged in; no converted amount is ever stored.
//!
//! What was spent in the past is shown by the rate of its day: a rate that changes today does not change what last month
//! cost. A day has one rate, the last that came into force on it, so that its hours, its sum and its share of a
//! ranking agree.

use std::sync::Arc;

use chrono_tz::Tz;

use super::{Currency, half_to_even};
use crate::domain::calendar;

const NANO: i128 = 1_000_000_000;

/// Yuan for a dollar, in billionths; greater than zero.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate(i64);

impl Rate {
    /// A yuan for a dollar.
    pub const ONE: Self = Self(1_000_000_000);

    /// A rate of `cny_per_usd_nano` billionths of a yuan for a dollar; `None` when that is not greater than zero.
    pub const fn new(cny_per_usd_nano: i64) -> Option<Self> {
        if cny_per_usd_nano > 0 {
            Some(Self(cny_per_usd_nano))
        } else {
            None
        }
    }

    /// Billionths of a yuan for a dollar.
    pub const fn cny_per_usd_nano(self) -> i64 {
        self.0
    }

    /// Billionths of dollars and of yuan as one sum in billionths of `to`, rounded half to even once; at most
    /// `i64::MAX`. Negative amounts count as nothing.
    pub fn sum(self, [usd_nano, cny_nano]: [i64; 2], to: Currency) -> i64 {
        let (usd, cny) = (i128::from(usd_nano.max(0)), i128::from(cny_nano.max(0)));
        let rate = i128::from(self.0);
        match to {
            Currency::Usd => half_to_even(usd * rate + cny * NANO, rate),
            Currency::Cny => half_to_even(usd * rate + cny * NANO, NANO),
        }
    }
}

/// When rates came into force, microseconds since the Unix epoch, rising. Clones share everything.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rates(Arc<[(i64, Rate)]>);

impl Rates {
    /// From rates and when they came into force, in any order.
    pub fn new(mut changes: Vec<(i64, Rate)>) -> Self {
        changes.sort_by_key(|(at, _)| *at);
        Self(changes.into())
    }

    /// The rates of days; `now` holds when nothing is known of any.
    pub fn by_day(&self, zone: Tz, now: Rate) -> DayRates {
        let mut days: Vec<(i64, Rate)> = Vec::new();
        for (at, rate) in self.0.iter() {
            let day = calendar::day_of(zone, *at);
            match days.last_mut() {
                Some((known, last)) if *known == day => *last = *rate,
                _ => days.push((day, *rate)),
            }
        }
        DayRates {
            first: self.0.first().map_or(now, |(_, rate)| *rate),
            days,
        }
    }
}

/// The rate of every day.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DayRates {
    /// Of the days before the first that is known.
    first: Rate,
    /// Start of the first day of a rate, rising.
    days: Vec<(i64, Rate)>,
}

impl DayRates {
    /// The rate of the day that `at` lies in.
    pub fn of(&self, at: i64) -> Rate {
        let begun = self.days.partition_point(|(day, _)| *day <= at);
        let last = begun.checked_sub(1).map(|last| self.days[last].1);
        last.unwrap_or(self.first)
    }

    /// The rates of `[from, to)`, each with the moment it holds from, rising; the first holds from `from`.
    pub fn within(&self, (from, to): (i64, i64)) -> Vec<(i64, Rate)> {
        let mut rates = vec![(from, self.of(from))];
        for (day, rate) in self.days.iter().filter(|(day, _)| from < *day && *day < to) {
            if rates.last().is_none_or(|(_, last)| last != rate) {
                rates.push((*day, *rate));
            }
        }
        rates
    }

    /// What was charged, by a moment within its day, as one sum in `to`; every rate's share is rounded once.
    pub fn sum(&self, charges: impl IntoIterator<Item = (i64, [i64; 2])>, to: Currency) -> i64 {
        let mut by_rate: Vec<(Rate, [i64; 2])> = Vec::new();
        for (at, charge) in charges {
            let rate = self.of(at);
            match by_rate.iter_mut().find(|(known, _)| *known == rate) {
                Some((_, sums)) => {
                    for (sum, nano) in sums.iter_mut().zip(charge) {
                        *sum = sum.saturating_add(nano);
                    }
                }
                None => by_rate.push((rate, charge)),
            }
        }
        let each = by_rate.into_iter().map(|(rate, sums)| rate.sum(sums, to));
        each.fold(0, i64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sums_are_exact_and_rounded_once() {
        let rate = Rate::new(7_200_000_000).unwrap();
        let both = [1_000_000_000, 3_600_000_000];
        assert_eq!(rate.sum(both, Currency::Usd), 1_500_000_000);
        assert_eq!(rate.sum(both, Currency::Cny), 10_800_000_000);
        // 1 / 7.2 = 0.138…; 4 / 7.2 = 0.55…
        assert_eq!(rate.sum([0, 1], Currency::Usd), 0);
        assert_eq!(rate.sum([0, 4], Currency::Usd), 1);
        assert_eq!(rate.sum([-5, -5], Currency::Cny), 0);
        assert_eq!(rate.sum([i64::MAX, i64::MAX], Currency::Cny), i64::MAX);
        assert_eq!(Rate::new(0), None);
        assert_eq!(Rate::new(-1), None);
    }

    #[test]
    fn a_day_has_the_last_rate_that_came_into_force_on_it() {
        const HOUR: i64 = 3_600_000_000;
        let day = |day: i64, hour: i64| (day * 24 + hour) * HOUR;
        let rate = |tenths: i64| Rate::new(tenths * 100_000_000).unwrap();
        // In Shanghai days begin at 16:00 UTC of the day before.
        let zone = Tz::Asia__Shanghai;
        let changes = vec![
            (day(12, 15), rate(80)),
            (0, rate(70)),
            (day(12, 3), rate(75)),
            (day(20, 16), rate(60)),
        ];
        let rates = Rates::new(changes).by_day(zone, Rate::ONE);
        assert_eq!(rates.of(-1), rate(70));
        assert_eq!(rates.of(day(11, 16) - 1), rate(70));
        assert_eq!(
            rates.of(day(11, 16)),
            rate(80),
            "all of the day it changed on"
        );
        assert_eq!(rates.of(day(20, 16) - 1), rate(80));
        assert_eq!(rates.of(day(20, 16)), rate(60));
        assert_eq!(
            rates.within((day(11, 0), day(20, 16))),
            [(day(11, 0), rate(70)), (day(11, 16), rate(80))]
        );
        let yuan = |at| (at, [0, 4_800_000_000]);
        let spent = [yuan(day(5, 0)), yuan(day(12, 0)), yuan(day(30, 0))];
        // 4.8 / 7 + 4.8 / 8 + 4.8 / 6
        assert_eq!(rates.sum(spent, Currency::Usd), 2_085_714_286);
        assert_eq!(rates.sum(spent, Currency::Cny), 14_400_000_000);
        let dollars = [
            (day(5, 0), [1_000_000_000, 0]),
            (day(30, 0), [1_000_000_000, 0]),
        ];
        assert_eq!(rates.sum(dollars, Currency::Cny), 13_000_000_000);
        // A first change holds for its whole day, and what was before it for all days before.
        let first = Rates::new(vec![(day(12, 3), rate(70)), (day(12, 3), rate(75))]);
        let first = first.by_day(zone, Rate::ONE);
        assert_eq!(
            (first.of(day(11, 15)), first.of(day(12, 0))),
            (rate(70), rate(75))
        );
        let unknown = Rates::default().by_day(zone, rate(71));
        assert_eq!(unknown.of(day(5, 0)), rate(71));
    }

    proptest! {
        #[test]
        fn one_currency_alone_stays_what_it_is(nano in 0..i64::MAX, rate in 1..1_000_000_000_000_i64) {
            let rate = Rate::new(rate).unwrap();
            prop_assert_eq!(rate.sum([nano, 0], Currency::Usd), nano);
            prop_assert_eq!(rate.sum([0, nano], Currency::Cny), nano);
        }

        #[test]
        fn more_is_never_less(usd in 0..i64::MAX, cny in 0..i64::MAX, more in 0..1_000_i64, rate in 1..1_000_000_000_000_i64) {
            let rate = Rate::new(rate).unwrap();
            for to in Currency::ALL {
                prop_assert!(rate.sum([usd.saturating_add(more), cny], to) >= rate.sum([usd, cny], to));
            }
        }
    }
}
