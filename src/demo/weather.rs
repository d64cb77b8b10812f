//! When the pretended providers have a bad quarter of an hour: a pure function of seed and time, so that
//! live traffic and history agree, and a restart changes nothing.
//!
//! In every three hours one provider has one such quarter. Besides, the history knows two longer incidents.

use super::chance::{Chance, mixed};
use super::world::SITES;

const QUARTER_MS: i64 = 15 * 60_000;
const WINDOW_MS: i64 = 12 * QUARTER_MS;
const DAY_MS: i64 = 86_400_000;

/// How a provider is at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weather {
    /// Share of calls that fail.
    pub failing: f64,
    /// Answers take so many times as long.
    pub slower: f64,
    /// Failures are refusals for too many requests rather than errors.
    pub throttled: bool,
}

/// An ordinary moment.
const FAIR: Weather = Weather {
    failing: 0.004,
    slower: 1.0,
    throttled: false,
};

/// How the provider `site` (an index of [`SITES`]) is at `now_ms`.
pub fn at(seed: u64, site: usize, now_ms: i64) -> Weather {
    let Some(known) = SITES.get(site) else {
        return FAIR;
    };
    let fair = Weather {
        failing: FAIR.failing + known.flaky,
        ..FAIR
    };
    let window = now_ms.div_euclid(WINDOW_MS);
    let mut chance = Chance::of(seed, &[0xbad, window.cast_unsigned()]);
    // A provider that serves nobody would be a quarter that nobody notices.
    let busy: Vec<usize> = (0..SITES.len())
        .filter(|index| SITES[*index].enabled)
        .collect();
    let struck = chance.pick(&busy) == Some(&site);
    let quarter = chance.below(12) as i64;
    if !struck || now_ms.rem_euclid(WINDOW_MS) / QUARTER_MS != quarter {
        return fair;
    }
    match chance.below(3) {
        0 => Weather {
            failing: 0.35,
            ..fair
        },
        1 => Weather {
            failing: 0.25,
            throttled: true,
            ..fair
        },
        _ => Weather {
            failing: 0.03,
            slower: 4.0,
            ..fair
        },
    }
}

/// The two incidents of a history that ends at `end_ms`: as [`at`], with them on top.
pub fn in_history(seed: u64, site: usize, at_ms: i64, end_ms: i64) -> Weather {
    const INCIDENTS: [(usize, i64, i64); 2] = [(0, 19, 40), (2, 6, 25)];
    let weather = at(seed, site, at_ms);
    let struck = INCIDENTS.iter().any(|(whom, days_ago, minutes)| {
        let hour = 8 + (mixed(seed, &[days_ago.cast_unsigned()]) % 6) as i64;
        let midnight = (end_ms - days_ago * DAY_MS).div_euclid(DAY_MS) * DAY_MS;
        let begin = midnight + hour * 3_600_000;
        *whom == site && (begin..begin + minutes * 60_000).contains(&at_ms)
    });
    if struck {
        Weather {
            failing: 0.85,
            slower: 2.0,
            throttled: false,
        }
    } else {
        weather
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_773_599_400_000;

    #[test]
    fn one_quarter_in_three_hours_is_bad_for_one_provider() {
        let first = START.div_euclid(WINDOW_MS) * WINDOW_MS;
        for window in 0..200 {
            let begin = first + window * WINDOW_MS;
            let bad: Vec<(usize, i64)> = (0..SITES.len())
                .flat_map(|site| (0..180).map(move |minute| (site, minute)))
                .filter(|(site, minute)| {
                    let weather = at(7, *site, begin + minute * 60_000);
                    weather.slower > 1.0 || weather.failing > FAIR.failing + SITES[*site].flaky
                })
                .collect();
            assert_eq!(bad.len(), 15, "{bad:?}");
            assert!(bad.iter().all(|(site, _)| *site == bad[0].0));
            assert_eq!(bad[14].1 - bad[0].1, 14);
            assert_eq!(bad[0].1 % 15, 0);
            assert!(SITES[bad[0].0].enabled);
        }
    }

    #[test]
    fn it_depends_on_seed_and_time_alone_and_strikes_everybody_in_turn() {
        let drawn = |seed| -> Vec<Weather> {
            (0..2_000)
                .map(|quarter| at(seed, 1, START + quarter * QUARTER_MS))
                .collect()
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        for (site, known) in SITES.iter().enumerate() {
            let struck = (0..4_000).any(|quarter| {
                let weather = at(7, site, START + quarter * QUARTER_MS);
                weather.slower > 1.0 || weather.failing > FAIR.failing + known.flaky
            });
            assert_eq!(struck, known.enabled, "{}", known.path);
        }
    }

    #[test]
    fn the_history_has_two_incidents() {
        let bad_minutes = (0..30 * 24 * 60)
            .flat_map(|minute| [0, 2].map(|site| (site, START - minute * 60_000)))
            .filter(|(site, at_ms)| in_history(7, *site, *at_ms, START).failing > 0.8)
            .count();
        assert_eq!(bad_minutes, 40 + 25);
    }
}
