//! Who leads: what is ranked by what, counted by the shortest rollup that tells it apart, or from the log.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use steward_actors::domain::price::{Currency, Rate};
use steward_entities::ledger::rollup::{
    self, Grain, KEYS_MAX, RollupRow, RollupTable, TOTAL_DAILY,
};
use utoipa::ToSchema;

use super::stretch::{self, Books};
use super::view::{Counted, Shown};
use super::which::{Chosen, Teller};
use crate::error::ApiError;

/// What is ranked.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ranked {
    #[default]
    Model,
    Provider,
    Token,
    Account,
    Tenant,
    App,
    User,
    Mode,
}

impl Ranked {
    /// The keys that tell them apart, the one that names them first; where rollups know no provider, the second set.
    const fn keys(self) -> [&'static [&'static str]; 2] {
        match self {
            Self::Model => [&["model_id", "provider_id"], &["model_id"]],
            Self::Provider => [&["provider_id"]; 2],
            Self::Token => [&["token_id"]; 2],
            Self::Account => [&["account_id"]; 2],
            Self::Tenant => [&["tenant_id"]; 2],
            Self::App => [&["app_id"]; 2],
            Self::User => [&["end_user_id"]; 2],
            Self::Mode => [&["mode"]; 2],
        }
    }
}

/// By what they are ranked.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Most {
    #[default]
    Requests,
    Tokens,
    Cost,
    Errors,
    /// The mean one.
    Duration,
}

impl Most {
    /// The measure in SQL.
    fn most(self, shown: &Shown, days: (i64, i64)) -> String {
        match self {
            Self::Requests => "sum(request_count)".to_owned(),
            Self::Tokens => "sum(total_tokens)".to_owned(),
            Self::Errors => "sum(request_count) - sum(success_count)".to_owned(),
            // Never divides by zero, which PostgreSQL refuses.
            Self::Duration => {
                "coalesce(sum(duration_ms_sum) * 1.0 / nullif(sum(request_count), 0), 0)".to_owned()
            }
            Self::Cost => cost_in_sql(shown, days),
        }
    }
}

impl Most {
    /// The measure of what was counted.
    fn value(self, counted: &Counted, shown: &Shown) -> f64 {
        let sum = |column| counted.measures.sum(column) as f64;
        match self {
            Self::Requests => sum("request_count"),
            Self::Tokens => sum("total_tokens"),
            Self::Errors => sum("request_count") - sum("success_count"),
            Self::Duration => sum("duration_ms_sum") / sum("request_count").max(1.0),
            Self::Cost => shown.cost_nano(counted) as f64,
        }
    }
}

/// The sum of what was charged on days in `[from, to)`, each by its own exchange rate. A rank needs no exact conversion: a
/// float does.
fn cost_in_sql(shown: &Shown, days: (i64, i64)) -> String {
    let factor = |rate: Rate| rate.cny_per_usd_nano() as f64 / 1e9;
    let rates = shown.rates.within(days);
    let [(_, rate)] = rates[..] else {
        let mut by_day = "CASE".to_owned();
        for (from, rate) in rates.iter().rev() {
            by_day.push_str(&format!(" WHEN bucket >= {from} THEN {:.9}", factor(*rate)));
        }
        by_day.push_str(" END");
        return match shown.currency {
            Currency::Usd => format!("sum(cost_usd_nano + cost_cny_nano / {by_day})"),
            Currency::Cny => format!("sum(cost_usd_nano * {by_day} + cost_cny_nano)"),
        };
    };
    format!(
        "sum(cost_usd_nano) * {:.9} + sum(cost_cny_nano)",
        factor(rate)
    )
}

/// Who leads by what, where.
pub(super) struct Leading<'a> {
    pub(super) books: Books<'a>,
    pub(super) chosen: &'a Chosen,
    /// Whole days.
    pub(super) range: (i64, i64),
    pub(super) sort: Most,
    pub(super) shown: &'a Shown,
    pub(super) limit: u64,
    /// See [`Ranking`](super::ranking::Ranking).
    pub(super) however_much: bool,
}

/// Those that lead, most first.
pub(super) struct Led {
    /// What tells them apart.
    pub(super) keys: &'static [&'static str],
    pub(super) most: Vec<[i64; KEYS_MAX]>,
    /// Of each of `most`.
    pub(super) items: Vec<Counted>,
    /// Calls that pass the filters, of whomever.
    pub(super) all: i64,
}

impl Leading<'_> {
    pub(super) async fn of(&self, by: Ranked) -> Result<Led, ApiError> {
        let known = by.keys().into_iter().find_map(|keys| {
            let teller = self.chosen.days_by(keys);
            matches!(teller, Teller::Rollup(_)).then_some((keys, teller))
        });
        match known {
            Some((keys, Teller::Rollup(table))) => self.of_rollup(keys, table).await,
            _ => self.of_log(by.keys()[0]).await,
        }
    }

    async fn of_rollup(
        &self,
        keys: &'static [&'static str],
        table: &'static RollupTable,
    ) -> Result<Led, ApiError> {
        let Books { read, zone, .. } = self.books;
        let mut only = self.chosen.only();
        // All calls are counted by every rollup: the shortest knows as well.
        let counting = match self.chosen.daily {
            Teller::Rollup(daily) if !only.is_empty() => daily,
            _ => &TOTAL_DAILY,
        };
        let all = rollup::calls(read, counting, self.range, &only).await?;
        let teller = Teller::Rollup(table);
        let starts = stretch::starts(zone, table, self.range, &only);
        if !starts.is_empty() && !table.has_histograms {
            // One caller's rows are few: they are read once, instead of once for the rank and once more for those that lead.
            let rows = stretch::rows(self.books, teller, keys, self.range, &only).await?;
            return Ok(self.led(keys, grouped(rows), all));
        }
        let measure = self.sort.most(self.shown, self.range);
        let mut looked_up = only.clone();
        if !starts.is_empty() {
            looked_up.push(("bucket", &starts));
        }
        let most = rollup::most(
            read, table, keys, &measure, self.range, &looked_up, self.limit,
        )
        .await?;
        let ids: Vec<i64> = most.iter().map(|keys| keys[0]).collect();
        only.push((keys[0], &ids));
        let mut items: Vec<Counted> = vec![Counted::default(); most.len()];
        let places: HashMap<_, _> = most.iter().zip(0_usize..).collect();
        for row in stretch::rows(self.books, teller, keys, self.range, &only).await? {
            if let Some(index) = places.get(&row.keys) {
                items[*index].add(row.bucket, &row.measures);
            }
        }
        Ok(Led {
            keys,
            most,
            items,
            all,
        })
    }

    /// Of calls that no rollup tells apart so.
    async fn of_log(&self, keys: &'static [&'static str]) -> Result<Led, ApiError> {
        let (teller, only) = (Teller::Log(Grain::Day), self.chosen.only());
        let rows = match self.however_much {
            true => stretch::summed(self.books, keys, self.range, &only).await?,
            false => stretch::rows(self.books, teller, keys, self.range, &only).await?,
        };
        let found = grouped(rows);
        let each = found.values();
        let all = each.map(|it| it.measures.sum("request_count")).sum();
        Ok(self.led(keys, found, all))
    }

    /// Those that lead of all that were found.
    fn led(
        &self,
        keys: &'static [&'static str],
        found: BTreeMap<[i64; KEYS_MAX], Counted>,
        all: i64,
    ) -> Led {
        let mut found: Vec<_> = found.into_iter().collect();
        let value = |counted: &Counted| self.sort.value(counted, self.shown);
        // Stable: equal ones stay in the order of their keys, as the database has them.
        found.sort_by(|(_, one), (_, other)| value(other).total_cmp(&value(one)));
        found.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
        let (most, items) = found.into_iter().unzip();
        Led {
            keys,
            most,
            items,
            all,
        }
    }
}

/// What rows come to for each of their keys.
fn grouped(rows: Vec<RollupRow>) -> BTreeMap<[i64; KEYS_MAX], Counted> {
    let mut found: BTreeMap<[i64; KEYS_MAX], Counted> = BTreeMap::new();
    for row in rows {
        let counted = found.entry(row.keys).or_default();
        counted.add(row.bucket, &row.measures);
    }
    found
}
