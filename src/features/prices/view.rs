//! Prices as they are told, and which of a model's rules. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use steward_actors::domain::price::PriceBook;
use steward_actors::snapshot_source::price_row;
use steward_entities::price::{Figures, Model, Tier};
use utoipa::ToSchema;

use crate::http::money;
use crate::http::range::rfc3339;

use super::Origin;

/// What is charged: decimal strings in the currency, per million model tokens.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, ToSchema)]
pub(super) struct Charged {
    /// `USD` or `CNY`.
    currency: String,
    input: String,
    output: String,
    /// Null: as input.
    cached: Option<String>,
    /// Null: as input.
    cache_write: Option<String>,
    /// Kept in the cache for an hour. Null: as `cache_write`.
    cache_write_1h: Option<String>,
    /// Null: as output.
    reasoning: Option<String>,
    /// Per call, beside the tokens.
    per_call: String,
    /// Per unit that the provider counts in place of tokens.
    per_unit: String,
    /// What longer prompts cost, by rising `above`; none: all cost the same.
    tiers: Vec<TierShown>,
}

/// What every model token of a call costs whose prompt has more than `above`, those of its answer too.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, ToSchema)]
pub(super) struct TierShown {
    above: i64,
    input: String,
    output: String,
    /// Null: as input.
    cached: Option<String>,
    /// Null: as input.
    cache_write: Option<String>,
    /// Null: as `cache_write`.
    cache_write_1h: Option<String>,
    /// Null: as output.
    reasoning: Option<String>,
}

impl TierShown {
    fn of(tier: Tier) -> Self {
        Self {
            above: tier.above,
            input: money::decimal(tier.input_nano),
            output: money::decimal(tier.output_nano),
            cached: tier.cached_nano.map(money::decimal),
            cache_write: tier.cache_write_nano.map(money::decimal),
            cache_write_1h: tier.cache_write_1h_nano.map(money::decimal),
            reasoning: tier.reasoning_nano.map(money::decimal),
        }
    }
}

impl Charged {
    pub(super) fn of(row: &Model) -> Self {
        Self {
            currency: row.currency.clone(),
            input: money::decimal(row.input_nano),
            output: money::decimal(row.output_nano),
            cached: row.cached_nano.map(money::decimal),
            cache_write: row.cache_write_nano.map(money::decimal),
            cache_write_1h: row.cache_write_1h_nano.map(money::decimal),
            reasoning: row.reasoning_nano.map(money::decimal),
            per_call: money::decimal(row.per_call_nano),
            per_unit: money::decimal(row.per_unit_nano),
            tiers: row.figures().tiers.into_iter().map(TierShown::of).collect(),
        }
    }
}

/// A price of a model.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct PriceShown {
    id: String,
    #[serde(skip)]
    key: i64,
    provider: String,
    model: String,
    #[serde(flatten)]
    pub(super) charged: Charged,
    /// From when on it holds; the list's first price of a model holds for all times.
    #[schema(format = DateTime)]
    valid_from: String,
    #[schema(inline)]
    origin: Origin,
    /// Where the figures were read; null when nobody said.
    source: Option<String>,
    /// It ends the operator's prices before it; its figures mean nothing.
    removed: bool,
    /// Calls are charged by it now.
    in_force: bool,
    /// Name of the operator; `list` for the list's.
    created_by: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// Of the model's prices together: rises with each that is added.
    pub(super) version: i64,
}

impl PriceShown {
    /// One of a model's `history`.
    pub(super) fn of(row: Model, history: &[Model], now: i64) -> Self {
        let in_force = ruling(history, now) == Some(row.id);
        Self::told(row, in_force, version(history))
    }

    fn told(row: Model, in_force: bool, version: i64) -> Self {
        Self {
            charged: Charged::of(&row),
            id: row.public_id,
            key: row.id,
            provider: row.provider,
            model: row.model,
            valid_from: rfc3339(row.valid_from),
            origin: if row.from_list {
                Origin::List
            } else {
                Origin::Operator
            },
            source: Some(row.source).filter(|source| !source.is_empty()),
            removed: row.removed,
            in_force,
            created_by: row.created_by,
            created_at: rfc3339(row.created_at),
            version,
        }
    }

    pub(super) fn key(&self) -> i64 {
        self.key
    }

    pub(super) fn provider(&self) -> &str {
        &self.provider
    }

    pub(super) fn model(&self) -> &str {
        &self.model
    }

    pub(super) fn origin(&self) -> Origin {
        self.origin
    }
}

/// The id of the row that rules at `now`, of one model's.
fn ruling(history: &[Model], now: i64) -> Option<i64> {
    let first = history.first()?;
    let book = PriceBook::new(history.iter().cloned().filter_map(price_row));
    let price = book.find(&first.provider, &first.model, now)?;
    Some(price.id)
}

/// Rises with every price that is added to a model's; 0 without one.
pub(super) fn version(history: &[Model]) -> i64 {
    history.iter().map(|row| row.id).max().unwrap_or(0)
}

/// One model's rows, each with whether it rules.
pub(super) fn shown(history: Vec<Model>, now: i64) -> Vec<PriceShown> {
    let (ruling, version) = (ruling(&history, now), version(&history));
    let told = |row: Model| {
        let in_force = ruling == Some(row.id);
        PriceShown::told(row, in_force, version)
    };
    history.into_iter().map(told).collect()
}

/// Of every model's rows the one that rules, by provider and model.
pub(super) fn in_force(rows: Vec<Model>, now: i64) -> Vec<PriceShown> {
    let mut models: BTreeMap<(String, String), Vec<Model>> = BTreeMap::new();
    for row in rows {
        let key = (row.provider.clone(), row.model.clone());
        models.entry(key).or_default().push(row);
    }
    let rules = |history: Vec<Model>| {
        let (ruling, version) = (ruling(&history, now)?, version(&history));
        let row = history.into_iter().find(|row| row.id == ruling)?;
        Some(PriceShown::told(row, true, version))
    };
    models.into_values().filter_map(rules).collect()
}

/// When rows have to end the operator's prices so that none rules from `now` on, with the figures each ends: now, if
/// one rules, and where each of those yet to come begins. `history` has the latest first.
pub(super) fn ends(history: &[Model], now: i64) -> Vec<(i64, Figures)> {
    let operators = || history.iter().filter(|row| !row.from_list);
    let at = |moment: i64| {
        let ruling = operators().find(|row| row.valid_from <= moment)?;
        (!ruling.removed).then(|| (moment, ruling.figures()))
    };
    let later = operators().map(|row| row.valid_from);
    let moments: BTreeSet<i64> = later.filter(|from| *from > now).chain([now]).collect();
    moments.into_iter().filter_map(at).collect()
}
