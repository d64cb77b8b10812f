//! The exchange rate by which money in two currencies is shown, compared and limited as one. What was charged stays in
//! the currency it was charged in; no converted amount is ever stored.

use super::{Currency, half_to_even};

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
