//! Statistics of calls, read from the rollups that the writer keeps in the transaction of the log.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/stats/overview` | `read:stats` |
//! | GET | `/stats/trend` | `read:stats` |
//! | GET | `/stats/top` | `read:stats` |
//!
//! Hours and days are those of `stats.time_zone`. Filters are `provider` and `model` together, or one of `token_id`,
//! `account_id`, `tenant_id`, `app`; only those pairs have a rollup. What is exact: every count and sum, over the
//! stretch that the answer tells as `from` and `to`. How far that stretch may differ from the one asked for is told at
//! each handler. Quantiles lie within 1 % of the true ones. Costs are exact in the currency they were charged in
//! (`cost_usd`, `cost_cny`); `cost` is their sum by the exchange rate.

mod stretch;
mod view;
mod which;

use actix_web::{get, web};
use sea_orm::DatabaseConnection;
use serde::{Deserialize, Serialize};
use steward_actors::domain::calendar;
use steward_actors::domain::price::Rate;
use steward_entities::ledger::rollup::{
    self, ACCOUNT_DAILY, APP_DAILY, Grain, MODEL_DAILY, Measures, RollupTable, TENANT_DAILY,
    TOKEN_DAILY,
};
use steward_entities::scope::Scope;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::{ApiError, ErrorCode};
use crate::http::extract::{Json, Query};
use crate::http::money::CurrencyCode;
use crate::http::permission::{Can, ReadStats};
use crate::http::range::{RangeQuery, TimeRange, rfc3339};
use crate::state::AppState;

use stretch::Stretch;
use view::{Numbers, Shown, share};
use which::Which;

/// Buckets of one trend at most: 90 days of hours, or six years of days.
const BUCKETS_MAX: usize = 2_200;
const TOP_MAX: u64 = 100;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(overview).service(trend).service(top);
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CostQuery {
    /// What `cost` is told in; `USD` unless given.
    #[param(inline)]
    currency: Option<CurrencyCode>,
}

impl CostQuery {
    fn shown(&self, state: &AppState) -> Shown {
        Shown {
            rate: state.rate,
            currency: self.currency.unwrap_or_default().into(),
        }
    }
}

/// What calls came to in a stretch of time, and in the equally long one before it.
#[derive(Debug, Serialize, ToSchema)]
struct Overview {
    /// Beginning of what was counted.
    #[schema(format = DateTime)]
    from: String,
    /// End of what was counted (exclusive).
    #[schema(format = DateTime)]
    to: String,
    #[serde(flatten)]
    numbers: Numbers,
    previous: Previous,
}

/// The stretch before.
#[derive(Debug, Serialize, ToSchema)]
struct Previous {
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    to: String,
    #[serde(flatten)]
    numbers: Numbers,
}

/// What calls came to in a stretch of time: the last 24 hours unless asked otherwise.
///
/// A stretch of up to 48 hours is counted to the microsecond, its ragged ends from the log; longer ones begin with a
/// whole hour. Where only days are kept (a token, an account, a tenant, an app), and where an end holds more than
/// 10,000 calls, the stretch is widened to whole days or hours. `from` and `to` say what was counted.
#[utoipa::path(tag = "stats", params(CostQuery, Which, RangeQuery), responses((status = 200, body = Overview)))]
#[get("/stats/overview")]
async fn overview(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    money: Query<CostQuery>,
    which: Query<Which>,
    range: TimeRange,
) -> Result<Json<Overview>, ApiError> {
    let shown = money.0.shown(&state);
    let Query(which) = which;
    let read = &state.databases.ledger_read;
    let chosen = which.chosen(read, caller.operator.scope()).await?;
    let now = state.clock.now_micros();
    let asked = Stretch::asked(range, now)?;
    let (counted, measures) = stretch::count(read, state.time_zone, &chosen, asked).await?;
    let before = Stretch {
        from: counted.from - (asked.to - asked.from),
        to: counted.from,
        is_open: false,
    };
    let (previous, earlier) = stretch::count(read, state.time_zone, &chosen, before).await?;
    Ok(Json(Overview {
        from: rfc3339(counted.from),
        to: rfc3339(counted.to),
        numbers: Numbers::of(&measures, shown),
        previous: Previous {
            from: rfc3339(previous.from),
            to: rfc3339(previous.to),
            numbers: Numbers::of(&earlier, shown),
        },
    }))
}

/// How long the buckets of a trend are.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum By {
    #[default]
    Hour,
    Day,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TrendQuery {
    #[param(inline)]
    by: Option<By>,
}

/// Numbers over time.
#[derive(Debug, Serialize, ToSchema)]
struct Trend {
    #[schema(inline)]
    by: By,
    /// Start of the first bucket.
    #[schema(format = DateTime)]
    from: String,
    /// End of the last bucket (exclusive).
    #[schema(format = DateTime)]
    to: String,
    /// Whose hours and days the buckets are.
    time_zone: String,
    items: Vec<TrendItem>,
}

/// One hour or day.
#[derive(Debug, Serialize, ToSchema)]
struct TrendItem {
    /// Start of the bucket.
    #[schema(format = DateTime)]
    at: String,
    #[serde(flatten)]
    numbers: Numbers,
}

/// Numbers by hour or by day, without gaps: a bucket without calls has zeros, and null where there is nothing to average.
///
/// Every bucket that the stretch touches is told whole. Hours are kept for everything together and for provider and
/// model; for a token, an account, a tenant or an app there are days only.
#[utoipa::path(tag = "stats", params(CostQuery, TrendQuery, Which, RangeQuery), responses((status = 200, body = Trend)))]
#[get("/stats/trend")]
async fn trend(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    money: Query<CostQuery>,
    query: Query<TrendQuery>,
    which: Query<Which>,
    range: TimeRange,
) -> Result<Json<Trend>, ApiError> {
    let shown = money.0.shown(&state);
    let (Query(query), Query(which)) = (query, which);
    let read = &state.databases.ledger_read;
    let chosen = which.chosen(read, caller.operator.scope()).await?;
    let asked = Stretch::asked(range, state.clock.now_micros())?;
    let zone = state.time_zone;
    let by = query.by.unwrap_or_default();
    let (table, first, next): (&RollupTable, i64, fn(chrono_tz::Tz, i64) -> i64) = match by {
        By::Hour => (
            chosen.hourly.ok_or_else(|| {
                ApiError::invalid(
                    "by",
                    "must be day with this filter; hours are not kept for it",
                )
            })?,
            calendar::hour_of(zone, asked.from),
            calendar::next_hour,
        ),
        By::Day => (
            chosen.daily,
            calendar::day_of(zone, asked.from),
            calendar::next_day,
        ),
    };
    let mut starts = Vec::new();
    let mut at = first;
    while at < asked.to {
        if starts.len() == BUCKETS_MAX {
            return Err(ApiError::invalid(
                "from",
                format!(
                    "must leave at most {BUCKETS_MAX} buckets; ask for days or a shorter stretch"
                ),
            ));
        }
        starts.push(at);
        at = next(zone, at);
    }
    let mut buckets: Vec<Measures> = vec![Measures::default(); starts.len()];
    for row in rollup::rows(read, table, (first, at), &chosen.only()).await? {
        if let Ok(index) = starts.binary_search(&row.bucket) {
            buckets[index].merge(&row.measures);
        }
    }
    let items = starts.iter().zip(&buckets).map(|(at, measures)| TrendItem {
        at: rfc3339(*at),
        numbers: Numbers::of(measures, shown),
    });
    Ok(Json(Trend {
        by,
        from: rfc3339(first),
        to: rfc3339(at),
        time_zone: zone.name().to_owned(),
        items: items.collect(),
    }))
}

/// What is ranked.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Ranked {
    #[default]
    Model,
    Token,
    Account,
    Tenant,
    App,
}

impl Ranked {
    fn table(self) -> &'static RollupTable {
        match self {
            Self::Model => &MODEL_DAILY,
            Self::Token => &TOKEN_DAILY,
            Self::Account => &ACCOUNT_DAILY,
            Self::Tenant => &TENANT_DAILY,
            Self::App => &APP_DAILY,
        }
    }
}

/// By what they are ranked.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Most {
    #[default]
    Requests,
    Tokens,
    Cost,
}

impl Most {
    /// The measure in SQL. A rank needs no exact conversion: a float does.
    fn most(self, rate: Rate) -> String {
        match self {
            Self::Requests => "sum(request_count)".to_owned(),
            Self::Tokens => "sum(total_tokens)".to_owned(),
            Self::Cost => format!(
                "sum(cost_usd_nano) * {:.9} + sum(cost_cny_nano)",
                rate.cny_per_usd_nano() as f64 / 1e9
            ),
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TopQuery {
    #[param(inline)]
    by: Option<Ranked>,
    /// By what they are ranked, most first; `requests` unless given.
    #[param(inline)]
    sort: Option<Most>,
    /// 1 to 100; 10 unless given.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u64>,
}

/// What is called most.
#[derive(Debug, Serialize, ToSchema)]
struct Top {
    #[schema(inline)]
    by: Ranked,
    /// Start of the first day.
    #[schema(format = DateTime)]
    from: String,
    /// End of the last day (exclusive).
    #[schema(format = DateTime)]
    to: String,
    items: Vec<TopItem>,
}

/// One of those called most.
#[derive(Debug, Serialize, ToSchema)]
struct TopItem {
    /// Distinct within the answer; empty for calls that had none (no account was involved, no app was named).
    key: String,
    /// Its id in the API; null where it has none (models, apps, nobody).
    id: Option<String>,
    name: String,
    /// With models only.
    provider: Option<String>,
    request_count: i64,
    error_count: i64,
    /// Between 0 and 1.
    success_rate: Option<f64>,
    total_tokens: i64,
    p95_duration_ms: Option<f64>,
    /// As in the overview.
    cost: Option<String>,
    /// `USD` or `CNY`.
    currency: &'static str,
    /// What was charged in US dollars.
    cost_usd: String,
    /// What was charged in Chinese yuan.
    cost_cny: String,
    /// Calls that used tokens and had no price.
    unpriced_count: i64,
    /// Of all calls, between 0 and 1.
    share: f64,
}

/// The models (by provider), tokens, accounts, tenants or apps with most calls, tokens or cost, over every day that the stretch touches.
#[utoipa::path(tag = "stats", params(CostQuery, TopQuery, RangeQuery), responses((status = 200, body = Top)))]
#[get("/stats/top")]
async fn top(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    money: Query<CostQuery>,
    query: Query<TopQuery>,
    range: TimeRange,
) -> Result<Json<Top>, ApiError> {
    let shown = money.0.shown(&state);
    let Query(query) = query;
    if caller.operator.scope() != Scope::All {
        return Err(ApiError::new(ErrorCode::Forbidden)
            .detail("Rankings span tenants; ask an operator of the installation."));
    }
    let limit = query.limit.unwrap_or(10);
    if !(1..=TOP_MAX).contains(&limit) {
        return Err(ApiError::invalid(
            "limit",
            format!("must lie between 1 and {TOP_MAX}"),
        ));
    }
    let by = query.by.unwrap_or_default();
    let read = &state.databases.ledger_read;
    let asked = Stretch::asked(range, state.clock.now_micros())?;
    let days = asked.days(state.time_zone);
    let items = ranked(read, &query, days, limit, shown).await?;
    Ok(Json(Top {
        by,
        from: rfc3339(days.from),
        to: rfc3339(days.to),
        items,
    }))
}

async fn ranked(
    read: &DatabaseConnection,
    query: &TopQuery,
    days: Stretch,
    limit: u64,
    shown: Shown,
) -> Result<Vec<TopItem>, ApiError> {
    let by = query.by.unwrap_or_default();
    let most = query.sort.unwrap_or_default().most(shown.rate);
    let table = by.table();
    debug_assert_eq!(table.grain, Grain::Day);
    let (most, all) = rollup::most(read, table, &most, (days.from, days.to), limit).await?;
    let ids: Vec<i64> = most.iter().map(|keys| keys[0]).collect();
    let mut items: Vec<Measures> = vec![Measures::default(); most.len()];
    let only: [(&str, &[i64]); 1] = [(table.keys[0], &ids)];
    for row in rollup::rows(read, table, (days.from, days.to), &only).await? {
        if let Some(index) = most.iter().position(|keys| *keys == row.keys) {
            items[index].merge(&row.measures);
        }
    }
    let names = rollup::names(read, table.keys[0], &ids).await?;
    let providers = match by {
        Ranked::Model => {
            let ids: Vec<i64> = most.iter().map(|keys| keys[1]).collect();
            rollup::names(read, "provider_id", &ids).await?
        }
        _ => Vec::new(),
    };
    let each = most.iter().zip(&items).map(|(keys, measures)| {
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
        let numbers = Numbers::of(measures, shown);
        TopItem {
            key,
            id,
            name,
            provider,
            request_count: numbers.request_count,
            error_count: numbers.error_count,
            success_rate: numbers.success_rate,
            total_tokens: numbers.total_tokens,
            p95_duration_ms: numbers.p95_duration_ms,
            cost: numbers.cost,
            currency: numbers.currency,
            cost_usd: numbers.cost_usd,
            cost_cny: numbers.cost_cny,
            unpriced_count: numbers.unpriced_count,
            share: share(numbers.request_count, all).unwrap_or_default(),
        }
    });
    Ok(each.collect())
}

#[cfg(test)]
mod tests;
