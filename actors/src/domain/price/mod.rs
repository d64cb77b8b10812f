//! What a call costs: exact, in whole billionths of a currency.
//!
//! Pure. Money is integers from the price to the sum; the one rounding is at the end of a call, so what is
//! stored is within half a billionth of the true cost. Which price was in force is [`PriceBook`]'s; conversion
//! between currencies is for showing and limiting: [`Rate`], and of days gone by [`Rates`].

mod book;
mod charge;
mod rate;

pub use book::{PriceBook, PriceRow, is_called};
pub use charge::{Call, Charge, is_told};
pub use rate::{DayRates, Rate, Rates};

/// A price is for this many model tokens.
pub const TOKENS_PER_PRICE: i64 = 1_000_000;

/// What a provider charges in.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Currency {
    /// US dollar.
    Usd,
    /// Chinese yuan.
    Cny,
}

impl Currency {
    /// Every one there is.
    pub const ALL: [Self; 2] = [Self::Usd, Self::Cny];

    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usd => "USD",
            Self::Cny => "CNY",
        }
    }

    /// An amount in it, in the order of [`Self::ALL`].
    pub const fn charge(self, nano: i64) -> [i64; 2] {
        match self {
            Self::Usd => [nano, 0],
            Self::Cny => [0, nano],
        }
    }

    /// Reads the stored form.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|currency| currency.as_str() == text)
    }
}

/// Billionths of the currency per million model tokens (`per_call_nano`: per call, `per_unit_nano`: per unit). A negative
/// one counts as 0.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Price {
    /// Key of the row it is from; records carry it.
    pub id: i64,
    pub currency: Currency,
    pub input_nano: i64,
    pub output_nano: i64,
    /// Read from a cache; `None`: as input.
    pub cached_nano: Option<i64>,
    /// Written to a cache; `None`: as input.
    pub cache_write_nano: Option<i64>,
    /// Written to a cache that keeps it for an hour; `None`: as `cache_write_nano`.
    pub cache_write_1h_nano: Option<i64>,
    /// Reasoning; `None`: as output.
    pub reasoning_nano: Option<i64>,
    pub per_call_nano: i64,
    /// Of what the provider counts in place of tokens: the read units of a vector store.
    pub per_unit_nano: i64,
    /// What longer prompts cost; the tier with the greatest `above` that the prompt exceeds holds for the whole call, its
    /// answer too.
    pub tiers: Vec<Tier>,
}

/// The figures of prompts with more than `above` model tokens, in place of the price's own.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tier {
    pub above: i64,
    pub input_nano: i64,
    pub output_nano: i64,
    /// `None`: as input.
    pub cached_nano: Option<i64>,
    /// `None`: as input.
    pub cache_write_nano: Option<i64>,
    /// `None`: as `cache_write_nano`.
    pub cache_write_1h_nano: Option<i64>,
    /// `None`: as output.
    pub reasoning_nano: Option<i64>,
}

/// Model tokens of one call: `prompt` includes `cached` and `cache_write`, this `cache_write_1h`; `completion` includes
/// `reasoning`.
/// Parts that exceed their whole are cut to it, so that no token is paid twice.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Used {
    pub prompt: i64,
    pub completion: i64,
    pub cached: i64,
    pub cache_write: i64,
    pub cache_write_1h: i64,
    pub reasoning: i64,
    /// What the provider counts in place of tokens.
    pub units: i64,
}

impl Used {
    /// The same, with reasoning made a part of the completion where the provider counts it beside
    /// (xAI: the `total` is prompt, completion and reasoning).
    #[must_use]
    pub fn with_total(mut self, total: i64) -> Self {
        let beside = self.prompt.saturating_add(self.completion);
        if self.reasoning > 0 && total >= beside.saturating_add(self.reasoning) {
            self.completion = self.completion.saturating_add(self.reasoning);
        }
        self
    }
}

impl Price {
    /// What a prompt of so many model tokens is charged by.
    pub fn tier(&self, prompt: i64) -> Tier {
        let exceeded = self.tiers.iter().filter(|tier| prompt > tier.above);
        exceeded
            .max_by_key(|tier| tier.above)
            .copied()
            .unwrap_or(Tier {
                above: 0,
                input_nano: self.input_nano,
                output_nano: self.output_nano,
                cached_nano: self.cached_nano,
                cache_write_nano: self.cache_write_nano,
                cache_write_1h_nano: self.cache_write_1h_nano,
                reasoning_nano: self.reasoning_nano,
            })
    }

    /// Cost of one call in billionths of the currency: rounded half to even once, at the end; never negative;
    /// at most `i64::MAX`.
    pub fn cost_nano(&self, used: Used) -> i64 {
        let prompt = used.prompt.max(0);
        let cached = used.cached.clamp(0, prompt);
        let written = used.cache_write.clamp(0, prompt - cached);
        let for_an_hour = used.cache_write_1h.clamp(0, written);
        let completion = used.completion.max(0);
        let reasoning = used.reasoning.clamp(0, completion);
        let tier = self.tier(prompt);
        let cached_nano = tier.cached_nano.unwrap_or(tier.input_nano);
        let written_nano = tier.cache_write_nano.unwrap_or(tier.input_nano);
        let for_an_hour_nano = tier.cache_write_1h_nano.unwrap_or(written_nano);
        let reasoning_nano = tier.reasoning_nano.unwrap_or(tier.output_nano);
        let millionths = [
            (prompt - cached - written, tier.input_nano),
            (cached, cached_nano),
            (written - for_an_hour, written_nano),
            (for_an_hour, for_an_hour_nano),
            (completion - reasoning, tier.output_nano),
            (reasoning, reasoning_nano),
            (TOKENS_PER_PRICE, self.per_call_nano),
            (
                used.units.max(0).saturating_mul(TOKENS_PER_PRICE),
                self.per_unit_nano,
            ),
        ]
        .into_iter()
        .map(|(count, nano)| i128::from(count) * i128::from(nano.max(0)))
        .fold(0, i128::saturating_add);
        half_to_even(millionths, i128::from(TOKENS_PER_PRICE))
    }
}

/// `number / by`, neither negative, rounded half to even; at most `i64::MAX`.
fn half_to_even(number: i128, by: i128) -> i64 {
    let (whole, rest) = (number / by, number % by);
    let up = rest * 2 > by || (rest * 2 == by && whole % 2 == 1);
    i64::try_from(whole + i128::from(up)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
