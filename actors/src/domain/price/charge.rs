//! What a call is charged: which calls are charged at all, by which price, and what may not be charged anew.
//!
//! The gateway asks when a call ends, and so does whoever prices the log anew: both get the same answer from the same
//! figures, which is why it is here and not at either of them.

use super::{Currency, Price, PriceBook, Used};
use crate::domain::record::{COST_MAX_NANO, Operation, Record};

/// What of a call its charge depends on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Call<'a> {
    pub provider: &'a str,
    /// Model that answered; empty when none said so.
    pub answered: &'a str,
    /// Model the caller asked for.
    pub asked: &'a str,
    /// When it was made, microseconds since the Unix epoch.
    pub at_micros: i64,
    pub used: Used,
    /// As the provider told it.
    pub total_tokens: i64,
    pub success: bool,
    /// Counting tokens is free of charge everywhere.
    pub is_count: bool,
}

/// What a call is charged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Charge {
    pub price_id: i64,
    /// Billionths of `currency`.
    pub cost_nano: i64,
    pub currency: Currency,
}

impl Call<'_> {
    /// Something was delivered: an answer, or the tokens of one that was cut. What a provider refused is not charged.
    fn was_served(&self) -> bool {
        (self.success || self.total_tokens > 0) && !self.is_count
    }
}

impl PriceBook {
    /// The price of what answered, else of what was asked for: some providers answer with names nobody publishes.
    pub fn of_call(&self, provider: &str, answered: &str, asked: &str, at: i64) -> Option<&Price> {
        let named = Some(answered).filter(|name| !name.is_empty());
        named
            .and_then(|name| self.find(provider, name, at))
            .or_else(|| self.find(provider, asked, at))
    }

    /// What a call is charged; `None`: nothing is known (unpriced), nothing was delivered, or it comes to more than one call
    /// can cost, so that the price or the count is a slip.
    pub fn charge(&self, call: &Call<'_>) -> Option<Charge> {
        if !call.was_served() {
            return None;
        }
        let price = self.of_call(call.provider, call.answered, call.asked, call.at_micros)?;
        let cost_nano = price.cost_nano(call.used.with_total(call.total_tokens));
        (cost_nano <= COST_MAX_NANO).then_some(Charge {
            price_id: price.id,
            cost_nano,
            currency: price.currency,
        })
    }

    /// Writes into a record what it is charged. One that came with a cost of its own keeps it: whoever sent it knows
    /// the invoice.
    pub fn price(&self, record: &mut Record) {
        if is_told(record.priced, record.price_id) {
            return;
        }
        let charge = self.charge(&Call {
            provider: &record.provider,
            answered: &record.upstream_model,
            asked: &record.model,
            at_micros: record.request_at,
            used: Used {
                prompt: record.prompt_tokens,
                completion: record.completion_tokens,
                cached: record.cached_tokens,
                cache_write: record.cache_write_tokens,
                cache_write_1h: record.cache_write_1h_tokens,
                reasoning: record.reasoning_tokens,
                units: record.units,
            },
            total_tokens: record.total_tokens,
            success: record.success,
            is_count: record.operation() == Operation::CountTokens,
        });
        record.priced = charge.is_some();
        record.price_id = charge.map_or(0, |charge| charge.price_id);
        record.cost_nano = charge.map_or(0, |charge| charge.cost_nano);
        record.currency = charge.map_or_else(String::new, |charge| charge.currency.as_str().into());
    }
}

/// Whether a cost came with the call instead of being reckoned here.
pub fn is_told(priced: bool, price_id: i64) -> bool {
    priced && price_id == 0
}

#[cfg(test)]
mod tests {
    use super::super::PriceRow;
    use super::*;

    const AT: i64 = 1_000;

    fn book(per_call_nano: i64) -> PriceBook {
        PriceBook::new(
            ["gpt-4o", "asked"]
                .into_iter()
                .zip(7..)
                .map(|(model, id)| PriceRow {
                    provider: "openai".into(),
                    model: model.into(),
                    valid_from: AT,
                    from_list: true,
                    removed: false,
                    price: Price {
                        id,
                        currency: Currency::Usd,
                        input_nano: 2_500_000_000,
                        output_nano: 10_000_000_000,
                        cached_nano: Some(1_250_000_000),
                        cache_write_nano: None,
                        cache_write_1h_nano: None,
                        reasoning_nano: None,
                        per_call_nano,
                        per_unit_nano: 0,
                        tiers: Vec::new(),
                    },
                }),
        )
    }

    fn record() -> Record {
        Record {
            provider: "openai".into(),
            model: "asked".into(),
            upstream_model: "gpt-4o-2024-08-06".into(),
            request_at: AT,
            prompt_tokens: 1_117,
            cached_tokens: 1_024,
            completion_tokens: 46,
            total_tokens: 1_163,
            success: true,
            ..Record::default()
        }
    }

    fn priced(mut record: Record, per_call_nano: i64) -> (i64, bool, i64, String) {
        book(per_call_nano).price(&mut record);
        (
            record.price_id,
            record.priced,
            record.cost_nano,
            record.currency,
        )
    }

    #[test]
    fn a_charge_that_no_call_comes_to_is_none() {
        let mut call = record();
        call.total_tokens = 1 << 36;
        call.completion_tokens = 1 << 36;
        assert_eq!(priced(call, 0), (0, false, 0, String::new()));
        let (id, is_priced, ..) = priced(record(), COST_MAX_NANO - 10_000_000_000);
        assert_eq!((id, is_priced), (7, true));
        assert!(!priced(record(), COST_MAX_NANO).1);
    }

    #[test]
    fn what_answered_is_charged_else_what_was_asked() {
        let cost = 232_500 + 1_280_000 + 460_000;
        assert_eq!(priced(record(), 0), (7, true, cost, "USD".into()));
        for answered in ["", "a-name-nobody-publishes"] {
            let record = Record {
                upstream_model: answered.into(),
                ..record()
            };
            assert_eq!(
                priced(record, 0),
                (8, true, cost, "USD".into()),
                "{answered}"
            );
        }
    }

    #[test]
    fn what_has_no_price_is_unpriced_and_not_free() {
        let nothing = (0, false, 0, String::new());
        for record in [
            Record {
                request_at: AT - 1,
                ..record()
            },
            Record {
                provider: "azure".into(),
                ..record()
            },
            Record {
                upstream_model: "x".into(),
                model: "y".into(),
                ..record()
            },
        ] {
            assert_eq!(priced(record, 0), nothing);
        }
    }

    #[test]
    fn only_what_was_delivered_is_charged() {
        let empty = Record {
            prompt_tokens: 0,
            cached_tokens: 0,
            completion_tokens: 0,
            total_tokens: 0,
            ..record()
        };
        // An answer without tokens is charged by the call.
        assert_eq!(priced(empty.clone(), 9), (7, true, 9, "USD".into()));
        let refused = Record {
            success: false,
            ..empty.clone()
        };
        assert!(!priced(refused, 9).1);
        let counted = Record {
            operation: Operation::CountTokens.into(),
            ..empty
        };
        assert!(!priced(counted, 9).1);
        // Cut, but tokens came.
        let cut = Record {
            success: false,
            ..record()
        };
        assert_eq!(priced(cut, 9).2, 232_500 + 1_280_000 + 460_000 + 9);
    }

    #[test]
    fn a_cost_that_came_with_the_call_stays() {
        let told = Record {
            priced: true,
            cost_nano: 5,
            currency: "EUR".into(),
            ..record()
        };
        assert_eq!(priced(told, 0), (0, true, 5, "EUR".into()));
        // One of ours is reckoned again, and is unpriced when there is no price any more.
        let ours = Record {
            priced: true,
            price_id: 3,
            cost_nano: 5,
            model: "y".into(),
            upstream_model: String::new(),
            ..record()
        };
        assert_eq!(priced(ours, 0), (0, false, 0, String::new()));
    }
}
