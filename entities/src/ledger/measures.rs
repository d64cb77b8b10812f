//! What one call adds to the books, and what many came to: the same numbers whether rollups kept them or the log is counted.

use sea_orm::{DbErr, QueryResult};

use super::histogram::Histogram;

/// Columns that are sums, in the order of [`Measures::sums`].
pub const SUMS: [&str; 19] = [
    "request_count",
    "success_count",
    "client_error_count",
    "rate_limited_count",
    "upstream_error_count",
    "cancelled_count",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "estimated_count",
    "unpriced_count",
    "duration_ms_sum",
    "ttft_ms_sum",
    "ttft_count",
    "cost_usd_nano",
    "cost_cny_nano",
];

/// A sum that is greater stays what it is: a billion dollars a day, from whoever reports such costs, must not make a number
/// that no column holds and with it every later call of that day unwritable.
const COST_SUM_MAX_NANO: i64 = 1 << 60;

/// How an upsert adds to a column of [`SUMS`]; `stored` qualifies the row that is there.
pub fn adding(sum: &str, stored: &str) -> String {
    match sum {
        "cost_usd_nano" | "cost_cny_nano" => format!(
            "{sum} = CASE WHEN {stored}{sum} > {COST_SUM_MAX_NANO} - excluded.{sum} THEN {COST_SUM_MAX_NANO} \
             ELSE {stored}{sum} + excluded.{sum} END"
        ),
        _ => format!("{sum} = {stored}{sum} + excluded.{sum}"),
    }
}

/// What one call adds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Fact {
    pub duration_ms: i64,
    pub ttft_ms: Option<i64>,
    /// Prompt, completion, total, cached, cache write, reasoning.
    pub tokens: [i64; 6],
    pub status_code: i32,
    pub success: bool,
    pub usage_estimated: bool,
    pub priced: bool,
    /// Billionths, in the currency it was charged in: US dollars, Chinese yuan. At most one is not 0.
    pub cost_nano: [i64; 2],
}

impl Fact {
    /// A charge as [`Self::cost_nano`]. Other currencies are not charged in.
    pub fn charge(cost_nano: i64, currency: &str) -> [i64; 2] {
        match currency {
            "USD" => [cost_nano, 0],
            "CNY" => [0, cost_nano],
            _ => [0, 0],
        }
    }

    /// What it adds to each of [`SUMS`]. A failure has one class: 499 the caller left, 429, other 4xx, and everything
    /// else (5xx, answers cut short) the provider. Unpriced are calls that used tokens and had no price.
    pub fn sums(&self) -> [i64; SUMS.len()] {
        let mut class = [0_i64; 4];
        if !self.success {
            class[match self.status_code {
                429 => 1,
                499 => 3,
                400..=498 => 0,
                _ => 2,
            }] = 1;
        }
        let [client, limited, upstream, cancelled] = class;
        let [prompt, completion, total, cached, cache_write, reasoning] = self.tokens;
        [
            1,
            i64::from(self.success),
            client,
            limited,
            upstream,
            cancelled,
            prompt,
            completion,
            total,
            cached,
            cache_write,
            reasoning,
            i64::from(self.usage_estimated),
            i64::from(!self.priced && total > 0),
            self.duration_ms.max(0),
            self.ttft_ms.unwrap_or_default().max(0),
            i64::from(self.ttft_ms.is_some()),
            self.cost_nano[0],
            self.cost_nano[1],
        ]
    }
}

/// What calls came to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Measures {
    pub sums: [i64; SUMS.len()],
    pub duration: Histogram,
    pub ttft: Histogram,
}

impl Measures {
    /// The sum of a column of [`SUMS`]; 0 for another name.
    pub fn sum(&self, column: &str) -> i64 {
        let index = SUMS.iter().position(|name| *name == column);
        index.map_or(0, |index| self.sums[index])
    }

    pub fn add(&mut self, fact: &Fact) {
        self.add_sums(&fact.sums());
        self.duration.add(fact.duration_ms);
        if let Some(ttft) = fact.ttft_ms {
            self.ttft.add(ttft);
        }
    }

    pub fn add_sums(&mut self, sums: &[i64; SUMS.len()]) {
        for (mine, theirs) in self.sums.iter_mut().zip(sums) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.add_sums(&other.sums);
        self.duration.merge(&other.duration);
        self.ttft.merge(&other.ttft);
    }
}

/// The log's columns that [`fact`] reads, in order.
pub(super) const FACT_COLUMNS: &str = "duration_ms, ttft_ms, prompt_tokens, completion_tokens, total_tokens, \
     cached_tokens, cache_write_tokens, reasoning_tokens, status_code, success, usage_estimated, priced, \
     cost_nano, currency";
/// How many they are.
pub(super) const FACT_LEN: usize = 14;

pub(super) fn fact(row: &QueryResult, at: usize) -> Result<Fact, DbErr> {
    let mut tokens = [0; 6];
    for (index, tokens) in tokens.iter_mut().enumerate() {
        *tokens = row.try_get_by_index(at + 2 + index)?;
    }
    Ok(Fact {
        duration_ms: row.try_get_by_index(at)?,
        ttft_ms: row.try_get_by_index(at + 1)?,
        tokens,
        status_code: row.try_get_by_index(at + 8)?,
        success: row.try_get_by_index(at + 9)?,
        usage_estimated: row.try_get_by_index(at + 10)?,
        priced: row.try_get_by_index(at + 11)?,
        cost_nano: Fact::charge(
            row.try_get_by_index(at + 12)?,
            &row.try_get_by_index::<String>(at + 13)?,
        ),
    })
}
