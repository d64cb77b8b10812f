//! Measures as the API spells them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use steward_actors::domain::price::{Currency, DayRates};
use steward_entities::ledger::histogram::Histogram;
use steward_entities::ledger::rollup::Measures;
use utoipa::ToSchema;

use crate::http::money::decimal;

/// What costs are told in.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) rates: Arc<DayRates>,
    pub(super) currency: Currency,
}

impl Shown {
    /// Null when nothing is known; a cost of zero is one that was reckoned.
    fn cost(&self, counted: &Counted) -> Option<String> {
        let is_known = !counted.charges.is_empty() || counted.measures.sum("unpriced_count") == 0;
        is_known.then(|| decimal(self.cost_nano(counted)))
    }

    /// Billionths of what costs are told in.
    pub(super) fn cost_nano(&self, counted: &Counted) -> i64 {
        let charges = counted.charges.iter().map(|(at, charge)| (*at, *charge));
        self.rates.sum(charges, self.currency)
    }
}

/// What calls came to, and which of it was charged when: every day has an exchange rate of its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    pub(super) measures: Measures,
    /// Billionths of US dollars and of yuan, by a moment of the day they were charged on.
    charges: BTreeMap<i64, [i64; 2]>,
}

impl Counted {
    /// Adds what calls of one day came to; `at` lies within it.
    pub(super) fn add(&mut self, at: i64, measures: &Measures) {
        self.measures.merge(measures);
        let charged = [measures.sum("cost_usd_nano"), measures.sum("cost_cny_nano")];
        if charged != [0, 0] {
            let sums = self.charges.entry(at).or_default();
            for (sum, nano) in sums.iter_mut().zip(charged) {
                *sum = sum.saturating_add(nano);
            }
        }
    }
}

/// What calls came to. Averages and quantiles are null where there is nothing to take them of.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Numbers {
    pub(super) request_count: i64,
    pub(super) success_count: i64,
    pub(super) error_count: i64,
    /// Refused for what the caller sent: 4xx other than 429 and 499.
    pub(super) client_error_count: i64,
    /// Refused with 429.
    pub(super) rate_limited_count: i64,
    /// The provider failed: 5xx, or an answer cut short.
    pub(super) upstream_error_count: i64,
    /// The caller left (499).
    pub(super) cancelled_count: i64,
    /// Between 0 and 1; null without calls.
    pub(super) success_rate: Option<f64>,
    pub(super) total_prompt_tokens: i64,
    pub(super) total_completion_tokens: i64,
    pub(super) total_tokens: i64,
    pub(super) total_cached_tokens: i64,
    pub(super) total_cache_write_tokens: i64,
    pub(super) total_reasoning_tokens: i64,
    /// Calls whose provider told no usage; it was counted here.
    pub(super) estimated_count: i64,
    pub(super) avg_duration_ms: Option<f64>,
    /// Of the calls that had a first token.
    pub(super) avg_ttft_ms: Option<f64>,
    pub(super) p50_duration_ms: Option<f64>,
    pub(super) p95_duration_ms: Option<f64>,
    pub(super) p99_duration_ms: Option<f64>,
    pub(super) p50_ttft_ms: Option<f64>,
    pub(super) p95_ttft_ms: Option<f64>,
    pub(super) p99_ttft_ms: Option<f64>,
    /// What was charged, in `currency`, a decimal: charges in two currencies are one sum by each day's own exchange rate,
    /// the last that came into force on it. Null when nothing had a price.
    pub(super) cost: Option<String>,
    /// `USD` or `CNY`.
    pub(super) currency: &'static str,
    /// What was charged in US dollars.
    pub(super) cost_usd: String,
    /// What was charged in Chinese yuan.
    pub(super) cost_cny: String,
    /// Calls that used tokens and had no price.
    pub(super) unpriced_count: i64,
}

impl Numbers {
    pub(super) fn of(counted: &Counted, shown: &Shown) -> Self {
        let measures = &counted.measures;
        let sum = |column| measures.sum(column);
        let requests = sum("request_count");
        let successes = sum("success_count");
        let duration = |q| quantile(&measures.duration, q);
        let ttft = |q| quantile(&measures.ttft, q);
        let average = |sum, count| share(sum, count).map(tenths);
        Self {
            request_count: requests,
            success_count: successes,
            error_count: requests - successes,
            client_error_count: sum("client_error_count"),
            rate_limited_count: sum("rate_limited_count"),
            upstream_error_count: sum("upstream_error_count"),
            cancelled_count: sum("cancelled_count"),
            success_rate: share(successes, requests),
            total_prompt_tokens: sum("prompt_tokens"),
            total_completion_tokens: sum("completion_tokens"),
            total_tokens: sum("total_tokens"),
            total_cached_tokens: sum("cached_tokens"),
            total_cache_write_tokens: sum("cache_write_tokens"),
            total_reasoning_tokens: sum("reasoning_tokens"),
            estimated_count: sum("estimated_count"),
            avg_duration_ms: average(sum("duration_ms_sum"), requests),
            avg_ttft_ms: average(sum("ttft_ms_sum"), sum("ttft_count")),
            p50_duration_ms: duration(0.5),
            p95_duration_ms: duration(0.95),
            p99_duration_ms: duration(0.99),
            p50_ttft_ms: ttft(0.5),
            p95_ttft_ms: ttft(0.95),
            p99_ttft_ms: ttft(0.99),
            cost: shown.cost(counted),
            currency: shown.currency.as_str(),
            cost_usd: decimal(sum("cost_usd_nano")),
            cost_cny: decimal(sum("cost_cny_nano")),
            unpriced_count: sum("unpriced_count"),
        }
    }
}

/// A part of a whole; `None` of nothing.
pub(super) fn share(part: i64, whole: i64) -> Option<f64> {
    (whole != 0).then(|| part as f64 / whole as f64)
}

fn quantile(histogram: &Histogram, q: f64) -> Option<f64> {
    histogram.quantile(q).map(tenths)
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
