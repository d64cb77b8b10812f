//! Seeded chance: the same seed gives the same demonstration, which is what makes it testable and lets an
//! interrupted history go on where it stopped.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// A stream of draws that its seed determines.
pub struct Chance(Xoshiro256PlusPlus);

/// One number out of several, well mixed (SplitMix64).
pub fn mixed(seed: u64, parts: &[u64]) -> u64 {
    parts.iter().fold(seed, |hash, part| {
        let mut z = (hash ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// A number that `text` determines.
pub fn of_text(seed: u64, text: &str) -> u64 {
    text.bytes()
        .fold(seed, |hash, byte| mixed(hash, &[u64::from(byte)]))
}

impl Chance {
    /// The stream of `seed` for the purpose that `parts` name.
    pub fn of(seed: u64, parts: &[u64]) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(mixed(seed, parts)))
    }

    /// Evenly from 0 up to, not including, 1.
    pub fn unit(&mut self) -> f64 {
        self.0.random()
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.random()
    }

    /// True with this probability.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Evenly below `count`; 0 when there is nothing to choose from.
    pub fn below(&mut self, count: usize) -> usize {
        if count == 0 {
            0
        } else {
            self.0.random_range(0..count)
        }
    }

    /// One of `items`, none of an empty list.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = self.below(items.len());
        items.get(index)
    }

    /// The index of one of `weights`, each as likely as it weighs.
    pub fn weighted(&mut self, weights: impl Iterator<Item = f64> + Clone) -> usize {
        let mut left = self.unit() * weights.clone().sum::<f64>();
        let mut last = 0;
        for (index, weight) in weights.enumerate() {
            if weight > 0.0 {
                last = index;
                if left < weight {
                    return index;
                }
                left -= weight;
            }
        }
        last
    }

    /// Around `median`; `sigma` 0.5 keeps two thirds between 0.6 and 1.65 of it. Waiting times and lengths of
    /// text are spread like this.
    pub fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        // Box–Muller.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.unit()).cos();
        median * (sigma * normal).exp()
    }

    /// The gap to the next of events that come independently, `mean` apart.
    pub fn gap(&mut self, mean: f64) -> f64 {
        -(1.0 - self.unit()).ln() * mean
    }

    /// How many of such events fall into a time in which `expected` are due.
    pub fn count(&mut self, expected: f64) -> usize {
        let mut count = 0;
        let mut passed = self.gap(1.0);
        while passed < expected {
            count += 1;
            passed += self.gap(1.0);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_spread_they_promise() {
        let mut chance = Chance::of(7, &[1]);
        let mut drawn: Vec<f64> = (0..20_001).map(|_| chance.log_normal(400.0, 0.5)).collect();
        drawn.sort_by(f64::total_cmp);
        assert!((380.0..420.0).contains(&drawn[10_000]), "{}", drawn[10_000]);
        let sigma_above = drawn[16_826] / 400.0;
        assert!((1.5..1.8).contains(&sigma_above), "{sigma_above}");
        let counted: usize = (0..2_000).map(|_| chance.count(5.0)).sum();
        assert!((9_600..10_400).contains(&counted), "{counted}");
        let heavy = (0..10_000)
            .filter(|_| chance.weighted([1.0, 0.0, 3.0].into_iter()) == 2)
            .count();
        assert!((7_200..7_800).contains(&heavy), "{heavy}");
    }

    #[test]
    fn a_seed_and_a_purpose_determine_the_draws() {
        let draw = |seed, part| Chance::of(seed, &[part]).bits();
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }
}
