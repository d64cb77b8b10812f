//! Who and what calls most, takes longest and costs most: rankings of one dimension, over whole days.

use actix_web::{get, web};
use serde::{Deserialize, Serialize};
use steward_actors::domain::price::Rate;
use steward_actors::domain::record::Mode;
use steward_entities::ledger::daily;
use steward_entities::ledger::rollup;
use steward_entities::scope::Scope;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::{ApiError, ErrorCode};
use crate::http::extract::{Json, Query};
use crate::http::money::decimal;
use crate::http::permission::{Can, ReadStats};
use crate::http::range::{RangeQuery, TimeRange, rfc3339};
use crate::state::AppState;

use super::CostQuery;
use super::leading::{Leading, Led, Most, Ranked};
use super::stretch::{self, Books, Stretch};
use super::view::{Counted, Numbers, Shown, share};
use super::which::Which;

/// How a ranking is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranking {
    pub(super) limit_max: u64,
    /// What no rollup tells is counted from the log however much that is, then without quantiles; else it is refused.
    pub(super) however_much: bool,
}

impl From<u64> for Ranking {
    fn from(limit_max: u64) -> Self {
        Self {
            limit_max,
            however_much: false,
        }
    }
}

const TOP_MAX: u64 = 100;

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(top).service(latency).service(cost);
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
    pub(super) is_backfilling: bool,
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
    let scope = caller.operator.scope();
    rank(&state, scope, &query.0, which.0, range, &shown, TOP_MAX)
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
    let scope = caller.operator.scope();
    let (total, ranking) = ranked(&state, scope, query.0, sort, which.0, range, &shown).await?;
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
    let scope = caller.operator.scope();
    let (total, ranking) = ranked(&state, scope, query.0, sort, which.0, range, &shown).await?;
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
    scope: Scope,
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
    let total = total(state, scope, which.clone(), range, shown).await?;
    let ranking = rank(state, scope, &query, which, range, shown, TOP_MAX).await?;
    Ok((total, ranking))
}

/// The sum over every day that the stretch touches.
pub(super) async fn total(
    state: &AppState,
    scope: Scope,
    which: Which,
    range: TimeRange,
    shown: &Shown,
) -> Result<Numbers, ApiError> {
    let read = &state.databases.ledger_read;
    let chosen = which.chosen(read, scope).await?;
    let days = Stretch::asked(range, state.clock.now_micros())?.days(state.time_zone);
    let mut sum = Counted::default();
    let (range, only) = ((days.from, days.to), chosen.only());
    for row in stretch::rows(Books::of(state), chosen.daily, &[], range, &only).await? {
        sum.add(row.bucket, &row.measures);
    }
    Ok(Numbers::of(&sum, shown))
}

/// See [`top`].
pub(super) async fn rank(
    state: &AppState,
    scope: Scope,
    query: &TopQuery,
    which: Which,
    range: TimeRange,
    shown: &Shown,
    ranking: impl Into<Ranking>,
) -> Result<Top, ApiError> {
    if scope != Scope::All {
        return Err(ApiError::new(ErrorCode::Forbidden)
            .detail("Rankings span tenants; ask an operator of the installation."));
    }
    let limit = query.limit.unwrap_or(10);
    let ranking = ranking.into();
    let limit_max = ranking.limit_max;
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
        however_much: ranking.however_much,
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
