//! Statistics of calls, read from the rollups that the writer keeps in the transaction of the log.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/stats/overview` | `read:stats` |
//! | GET | `/stats/trend` | `read:stats` |
//! | GET | `/stats/top` | `read:stats` |
//! | GET | `/stats/latency` | `read:stats` |
//! | GET | `/stats/cost` | `read:stats` |
//! | GET | `/stats/tokens/{id}`, `/stats/tokens/{id}/trend` | `read:stats` |
//! | GET | `/stats/accounts/{id}`, `/stats/accounts/{id}/trend` | `read:stats` |
//! | GET | `/stats/prompts/{id}` | `read:stats` |
//! | GET | `/stats/daily-active-users` | `read:stats` |
//! | GET | `/stats/ai-requests` | `read:stats` |
//! | GET | `/stats/jwt-availability` | `read:stats` |
//! | GET | `/stats/export` | `read:stats` |
//! | POST | `/stats/recount` | `write:stats` |
//! | GET | `/stats/conversations` | `read:stats` |
//! | GET | `/ops/tenants/{id}/stats` | `read:tenants`, `read:stats` |
//!
//! Hours and days are those of `stats.time_zone`. Which filters have a rollup together is told at [`which::Which`]; others are
//! counted from the log, under a budget, as are the ragged ends of a short stretch. What is exact: every count and sum,
//! over the stretch that the answer tells as `from` and `to`. How far that stretch may differ from the one asked for is
//! told at each handler. Quantiles lie within 1 % of the true ones; histograms are kept for single dimensions, so that
//! those of a token's calls of one model, or of a user, are known where the log is counted and else null. Costs are exact in the
//! currency they were charged in (`cost_usd`, `cost_cny`); `cost` is their sum by the exchange rates of the days they were charged on.

pub(crate) mod console;
pub(crate) mod conversations;
mod days;
mod export;
mod figures;
mod jwt;
mod leading;
mod one;
mod ops;
mod prompts;
mod ranking;
mod stretch;
mod tenant;
mod view;
mod which;

use std::sync::Arc;

use actix_web::{get, web};
use serde::{Deserialize, Serialize};
use steward_actors::domain::calendar;
use steward_actors::retention::HOURLY_CUBE_KEPT_MICROS;
use steward_entities::ledger::daily;
use steward_entities::scope::Scope;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::extract::{Json, Query};
use crate::http::money::CurrencyCode;
use crate::http::permission::{Can, ReadStats};
use crate::http::range::{RangeQuery, TimeRange, rfc3339};
use crate::state::AppState;

use stretch::{Books, Stretch};
use view::{Counted, Numbers, Shown};
use which::{Teller, Which};

/// Buckets of one trend at most: 90 days of hours, or six years of days.
const BUCKETS_MAX: usize = 2_200;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(overview)
        .service(trend)
        .service(conversations::conversations)
        .configure(ranking::routes)
        .configure(one::routes)
        .configure(prompts::routes)
        .configure(days::routes)
        .configure(export::routes)
        .configure(jwt::routes)
        .configure(ops::routes)
        .configure(tenant::routes);
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CostQuery {
    /// What `cost` is told in; unless given what the setting `prices.currency` says.
    #[param(inline)]
    currency: Option<CurrencyCode>,
}

impl CostQuery {
    fn shown(&self, state: &AppState) -> Shown {
        let settings = state.settings.load();
        Shown {
            rates: Arc::new(settings.rates.by_day(state.time_zone, settings.rate)),
            currency: self.currency.map_or(settings.currency, Into::into),
        }
    }
}

/// What calls came to in a stretch of time, and in the one before it: equally long, but where only whole hours or days are
/// kept, up to one of them longer. Counts of the two are to be compared by the time they were counted over.
#[derive(Debug, Serialize, ToSchema)]
struct Overview {
    /// Beginning of what was counted.
    #[schema(format = DateTime)]
    from: String,
    /// End of what was counted (exclusive).
    #[schema(format = DateTime)]
    to: String,
    /// Earlier calls are still being counted, after an upgrade or a change of `stats.time_zone`: what lies behind is told too
    /// low.
    is_backfilling: bool,
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
/// 10,000 calls, the stretch is widened to whole days or hours. `from` and `to` say what was counted. Filters that have no
/// statistics together, and quantiles of a user or of a token's calls of a model, are counted from the log: up to 20,000
/// calls of the stretch (of the token or account), to the microsecond.
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
    tell(&state, caller.operator.scope(), which.0, range, &shown).await
}

async fn tell(
    state: &AppState,
    scope: Scope,
    which: Which,
    range: TimeRange,
    shown: &Shown,
) -> Result<Json<Overview>, ApiError> {
    let read = &state.databases.ledger_read;
    let chosen = which.chosen(read, scope).await?;
    let now = state.clock.now_micros();
    let asked = Stretch::asked(range, now)?;
    let books = Books::of(state);
    let (stretch, counted) = stretch::count(books, &chosen, asked).await?;
    let (previous, earlier) =
        stretch::count(books, &chosen, stretch.before(state.time_zone)).await?;
    Ok(Json(Overview {
        from: rfc3339(stretch.from),
        to: rfc3339(stretch.to),
        is_backfilling: daily::is_backfilling(read).await?,
        numbers: Numbers::of(&counted, shown),
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
    /// Earlier calls are still being counted, after an upgrade or a change of `stats.time_zone`: what lies behind is told too
    /// low.
    is_backfilling: bool,
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
/// Every bucket that the stretch touches is told whole. Hours are kept for good for everything together and for provider and
/// model, and for 35 days for tokens, accounts and modes and their models; for a tenant, an app or a user there are days
/// only. Filters that have no statistics together are counted from the log, up to 20,000 calls of the stretch (of the token
/// or account).
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
    let by = query.by.unwrap_or_default();
    let course = course(&state, caller.operator.scope(), which.0, by, range).await?;
    Ok(Json(course.told(&state, &shown)))
}

/// A bucket after another, without gaps.
struct Course {
    by: By,
    /// Start of each bucket.
    starts: Vec<i64>,
    buckets: Vec<Counted>,
    /// End of the last one.
    to: i64,
    is_backfilling: bool,
}

impl Course {
    fn told(&self, state: &AppState, shown: &Shown) -> Trend {
        let each = self.starts.iter().zip(&self.buckets);
        let items = each.map(|(at, counted)| TrendItem {
            at: rfc3339(*at),
            numbers: Numbers::of(counted, shown),
        });
        Trend {
            by: self.by,
            from: rfc3339(self.starts.first().copied().unwrap_or(self.to)),
            to: rfc3339(self.to),
            time_zone: state.time_zone.name().to_owned(),
            is_backfilling: self.is_backfilling,
            items: items.collect(),
        }
    }
}

async fn course(
    state: &AppState,
    scope: Scope,
    which: Which,
    by: By,
    range: TimeRange,
) -> Result<Course, ApiError> {
    let read = &state.databases.ledger_read;
    let chosen = which.chosen(read, scope).await?;
    let now = state.clock.now_micros();
    let asked = Stretch::asked(range, now)?;
    let zone = state.time_zone;
    let (teller, first, next): (Teller, i64, fn(chrono_tz::Tz, i64) -> i64) = match by {
        By::Hour => {
            let Some((teller, forgets)) = chosen.hours() else {
                return Err(ApiError::invalid(
                    "by",
                    "must be day with this filter; hours are not kept for it",
                ));
            };
            let first = calendar::hour_of(zone, asked.from);
            if forgets && first < now - HOURLY_CUBE_KEPT_MICROS {
                return Err(ApiError::invalid(
                    "from",
                    "must lie within the last 35 days: hours of these calls are not kept longer; ask for days",
                ));
            }
            (teller, first, calendar::next_hour)
        }
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
    let mut buckets: Vec<Counted> = vec![Counted::default(); starts.len()];
    let range = (first, at);
    for row in stretch::rows(Books::of(state), teller, &[], range, &chosen.only()).await? {
        if let Ok(index) = starts.binary_search(&row.bucket) {
            buckets[index].add(row.bucket, &row.measures);
        }
    }
    Ok(Course {
        by,
        starts,
        buckets,
        to: at,
        is_backfilling: daily::is_backfilling(read).await?,
    })
}

#[cfg(test)]
mod tests;
