//! Who and what calls most, takes longest and costs most: rankings of one dimension, over whole days.

use std::collections::{BTreeMap, HashMap};

use actix_web::{get, web};
use serde::{Deserialize, Serialize};
use steward_actors::domain::price::{Currency, Rate};
use steward_actors::domain::record::Mode;
use steward_entities::ledger::daily;
use steward_entities::ledger::rollup::{self, Grain, KEYS_MAX, MODEL_DAILY, RollupTable};
use steward_entities::scope::Scope;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::{ApiError, ErrorCode};
use crate::http::caller::Caller;
use crate::http::extract::{Json, Query};
use crate::http::money::decimal;
use crate::http::permission::{Can, ReadStats};
use crate::http::range::{RangeQuery, TimeRange, rfc3339};
use crate::state::AppState;

use super::CostQuery;
use super::stretch::{self, Books, Stretch};
use super::view::{Counted, Numbers, Shown, share};
use super::which::{Chosen, Teller, Which};

const TOP_MAX: u64 = 100;

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(top).service(latency).service(cost);
}

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

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TopQuery {
    #[param(inline)]
    pub(super) by: Option<Ranked>,
    /// By what they are ranked, most first; `requests` unless given, `cost` at `stats/cost` and `duration` at
    /// `stats/latency`.
    #[param(inline)]
    pub(super) sort: Option<Most>,
    /// 1 to 100; 10 unless given.
    #[param(minimum = 1, maximum = 100)]
    pub(super) limit: Option<u64>,
}

/// Those that lead, most first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Top {
    #[schema(inline)]
    by: Ranked,
    /// Start of the first day.
    #[schema(format = DateTime)]
    from: String,
    /// End of the last day (exclusive).
    #[schema(format = DateTime)]
    to: String,
    /// Earlier calls are still being counted, after an upgrade or a change of `stats.time_zone`: what lies behind is told too
    /// low.
    is_backfilling: bool,
    pub(super) items: Vec<TopItem>,
}

/// One of those that lead.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TopItem {
    /// Distinct within the answer; empty for calls that had none (no account was involved, no app was named).
    pub(super) key: String,
    /// Its id in the API; null where it has none (models, apps, users, nobody).
    pub(super) id: Option<String>,
    pub(super) name: String,
    /// With models only, unless another filter is given.
    pub(super) provider: Option<String>,
    #[serde(flatten)]
    pub(super) numbers: Numbers,
    /// Of all calls that pass the filters, between 0 and 1.
    share: f64,
}

/// The models (by provider), providers, tokens, accounts, tenants, apps, users or modes with most calls, tokens, cost or
/// errors, over every day that the stretch touches. What has no statistics under a filter is counted from the log: up to 20,000
/// calls of these days (of the token or account).
#[utoipa::path(tag = "stats", params(CostQuery, TopQuery, Which, RangeQuery), responses((status = 200, body = Top)))]
#[get("/stats/top")]
async fn top(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    money: Query<CostQuery>,
    query: Query<TopQuery>,
    which: Query<Which>,
    range: TimeRange,
) -> Result<Json<Top>, ApiError> {
    let shown = money.0.shown(&state);
    rank(&state, &caller, &query.0, which.0, range, &shown, TOP_MAX)
        .await
        .map(Json)
}

/// How long calls took together, and whose took longest.
#[derive(Debug, Serialize, ToSchema)]
struct Latency {
    /// Its quantiles are those of all calls, not means of the items'.
    total: Numbers,
    #[serde(flatten)]
    top: Top,
}

/// What latency was over every day that the stretch touches: quantiles of duration and of the time to the first token, of
/// all calls and of the models, tokens … that take longest in the mean.
#[utoipa::path(tag = "stats", params(CostQuery, TopQuery, Which, RangeQuery), responses((status = 200, body = Latency)))]
#[get("/stats/latency")]
async fn latency(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    money: Query<CostQuery>,
    query: Query<TopQuery>,
    which: Query<Which>,
    range: TimeRange,
) -> Result<Json<Latency>, ApiError> {
    let shown = money.0.shown(&state);
    let sort = Most::Duration;
    let (total, ranking) = ranked(&state, &caller, query.0, sort, which.0, range, &shown).await?;
    Ok(Json(Latency {
        total,
        top: ranking,
    }))
}

/// What calls cost together, and whose most of it was.
#[derive(Debug, Serialize, ToSchema)]
struct Cost {
    total: Numbers,
    /// Yuan for a dollar: the rate in force now.
    #[schema(example = "7.10")]
    usd_cny: String,
    /// The rates of the days, by which charges in two currencies are one sum, rising.
    exchange_rates: Vec<ExchangeRate>,
    #[serde(flatten)]
    top: Top,
}

/// An exchange rate and since when it was the days'.
#[derive(Debug, Serialize, ToSchema)]
struct ExchangeRate {
    /// Start of the first day, or of the stretch.
    #[schema(format = DateTime)]
    from: String,
    /// Yuan for a dollar.
    #[schema(example = "7.10")]
    usd_cny: String,
}

/// What calls cost over every day that the stretch touches, and the models, tokens … that cost most.
#[utoipa::path(tag = "stats", params(CostQuery, TopQuery, Which, RangeQuery), responses((status = 200, body = Cost)))]
#[get("/stats/cost")]
async fn cost(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    money: Query<CostQuery>,
    query: Query<TopQuery>,
    which: Query<Which>,
    range: TimeRange,
) -> Result<Json<Cost>, ApiError> {
    let shown = money.0.shown(&state);
    let sort = Most::Cost;
    let days = Stretch::asked(range, state.clock.now_micros())?.days(state.time_zone);
    let (total, ranking) = ranked(&state, &caller, query.0, sort, which.0, range, &shown).await?;
    let usd_cny = |rate: Rate| decimal(rate.cny_per_usd_nano());
    let rates = shown.rates.within((days.from, days.to)).into_iter();
    let rates = rates.map(|(from, rate)| ExchangeRate {
        from: rfc3339(from),
        usd_cny: usd_cny(rate),
    });
    Ok(Json(Cost {
        total,
        usd_cny: usd_cny(state.rate()),
        exchange_rates: rates.collect(),
        top: ranking,
    }))
}

/// A sum and who leads in it, by `sort` unless asked otherwise.
async fn ranked(
    state: &AppState,
    caller: &Caller,
    query: TopQuery,
    sort: Most,
    which: Which,
    range: TimeRange,
    shown: &Shown,
) -> Result<(Numbers, Top), ApiError> {
    let query = TopQuery {
        sort: Some(query.sort.unwrap_or(sort)),
        ..query
    };
    let total = total(state, caller, which.clone(), range, shown).await?;
    let ranking = rank(state, caller, &query, which, range, shown, TOP_MAX).await?;
    Ok((total, ranking))
}

/// The sum over every day that the stretch touches.
pub(super) async fn total(
    state: &AppState,
    caller: &Caller,
    which: Which,
    range: TimeRange,
    shown: &Shown,
) -> Result<Numbers, ApiError> {
    let read = &state.databases.ledger_read;
    let chosen = which.chosen(read, caller.operator.scope()).await?;
    let days = Stretch::asked(range, state.clock.now_micros())?.days(state.time_zone);
    let mut sum = Counted::default();
    let (range, only) = ((days.from, days.to), chosen.only());
    for row in stretch::rows(Books::of(state), chosen.daily, &[], range, &only).await? {
        sum.add(row.bucket, &row.measures);
    }
    Ok(Numbers::of(&sum, shown))
}

/// Who leads by what, where.
struct Leading<'a> {
    books: Books<'a>,
    chosen: &'a Chosen,
    /// Whole days.
    range: (i64, i64),
    sort: Most,
    shown: &'a Shown,
    limit: u64,
}

/// Those that lead, most first.
struct Led {
    /// What tells them apart.
    keys: &'static [&'static str],
    most: Vec<[i64; KEYS_MAX]>,
    /// Of each of `most`.
    items: Vec<Counted>,
    /// Calls that pass the filters, of whomever.
    all: i64,
}

impl Leading<'_> {
    async fn of(&self, by: Ranked) -> Result<Led, ApiError> {
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
        let measure = self.sort.most(self.shown, self.range);
        let mut only = self.chosen.only();
        let starts = stretch::starts(zone, table, self.range, &only);
        let mut looked_up = only.clone();
        if !starts.is_empty() {
            looked_up.push(("bucket", &starts));
        }
        let most = rollup::most(
            read, table, keys, &measure, self.range, &looked_up, self.limit,
        )
        .await?;
        // All calls are counted by every rollup: the shortest knows as well.
        let counting = match self.chosen.daily {
            Teller::Rollup(daily) if !only.is_empty() => daily,
            _ => &MODEL_DAILY,
        };
        let all = rollup::calls(read, counting, self.range, &only).await?;
        let ids: Vec<i64> = most.iter().map(|keys| keys[0]).collect();
        only.push((keys[0], &ids));
        let mut items: Vec<Counted> = vec![Counted::default(); most.len()];
        let places: HashMap<_, _> = most.iter().zip(0_usize..).collect();
        let teller = Teller::Rollup(table);
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
        let mut found: BTreeMap<[i64; KEYS_MAX], Counted> = BTreeMap::new();
        let (teller, only) = (Teller::Log(Grain::Day), self.chosen.only());
        for row in stretch::rows(self.books, teller, keys, self.range, &only).await? {
            let counted = found.entry(row.keys).or_default();
            counted.add(row.bucket, &row.measures);
        }
        let each = found.values();
        let all = each.map(|it| it.measures.sum("request_count")).sum();
        let mut found: Vec<_> = found.into_iter().collect();
        let value = |counted: &Counted| self.sort.value(counted, self.shown);
        // Stable: equal ones stay in the order of their keys, as the database has them.
        found.sort_by(|(_, one), (_, other)| value(other).total_cmp(&value(one)));
        found.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
        let (most, items) = found.into_iter().unzip();
        Ok(Led {
            keys,
            most,
            items,
            all,
        })
    }
}

/// See [`top`].
pub(super) async fn rank(
    state: &AppState,
    caller: &Caller,
    query: &TopQuery,
    which: Which,
    range: TimeRange,
    shown: &Shown,
    limit_max: u64,
) -> Result<Top, ApiError> {
    if caller.operator.scope() != Scope::All {
        return Err(ApiError::new(ErrorCode::Forbidden)
            .detail("Rankings span tenants; ask an operator of the installation."));
    }
    let limit = query.limit.unwrap_or(10);
    if !(1..=limit_max).contains(&limit) {
        return Err(ApiError::invalid(
            "limit",
            format!("must lie between 1 and {limit_max}"),
        ));
    }
    let by = query.by.unwrap_or_default();
    let read = &state.databases.ledger_read;
    let chosen = which.chosen(read, Scope::All).await?;
    let days = Stretch::asked(range, state.clock.now_micros())?.days(state.time_zone);
    let range = (days.from, days.to);
    let leading = Leading {
        books: Books::of(state),
        chosen: &chosen,
        range,
        sort: query.sort.unwrap_or_default(),
        shown,
        limit,
    };
    let Led {
        keys,
        most,
        items,
        all,
    } = leading.of(by).await?;
    let ids: Vec<i64> = most.iter().map(|keys| keys[0]).collect();
    let names = match by {
        Ranked::Mode => modes(&ids),
        _ => rollup::names(read, keys[0], &ids).await?,
    };
    let providers = match keys {
        [_, provider] => {
            let ids: Vec<i64> = most.iter().map(|keys| keys[1]).collect();
            rollup::names(read, provider, &ids).await?
        }
        _ => Vec::new(),
    };
    let each = most.iter().zip(&items).map(|(keys, counted)| {
        let found = names.iter().find(|(id, _, _)| *id == keys[0]);
        let (id, name) = found.map_or((None, String::new()), |(_, id, name)| {
            (id.clone(), name.clone())
        });
        let provider = providers.iter().find(|(id, _, _)| *id == keys[1]);
        let provider = provider.map(|(_, _, name)| name.clone());
        let key = match (&id, &provider) {
            (Some(id), _) => id.clone(),
            (None, Some(provider)) => format!("{provider}/{name}"),
            (None, None) => name.clone(),
        };
        let numbers = Numbers::of(counted, shown);
        let share = share(numbers.request_count, all).unwrap_or_default();
        TopItem {
            key,
            id,
            name,
            provider,
            numbers,
            share,
        }
    });
    Ok(Top {
        by,
        from: rfc3339(days.from),
        to: rfc3339(days.to),
        is_backfilling: daily::is_backfilling(read).await?,
        items: each.collect(),
    })
}

fn modes(ids: &[i64]) -> Vec<(i64, Option<String>, String)> {
    let name = |id: i64| match i32::try_from(id)
        .ok()
        .and_then(|id| Mode::try_from(id).ok())
    {
        Some(Mode::Web) => "web",
        _ => "api",
    };
    ids.iter()
        .map(|id| (*id, None, name(*id).to_owned()))
        .collect()
}
