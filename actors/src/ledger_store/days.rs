//! The figures of a day, from its rollups and its calls: users, requests, costs, conversations.
//!
//! A day is always derived whole, so that it can be done any number of times: by the aggregator while the day runs, and by
//! whatever changes a day afterwards ([`rebuild`](super::rebuild), [`reprice`](super::reprice)). When that is, is theirs to say.

use chrono_tz::Tz;
use sea_orm::DbErr;
use steward_entities::dashboard_stats;
use steward_entities::database::{Databases, begin_write};
use steward_entities::exchange_rate;
use steward_entities::ledger::daily::{self, AiRequests, UserActivity};
use steward_entities::ledger::rollup::{self, Measures, TOTAL_DAILY};
use steward_entities::ledger::{conversation_count, recent};

use crate::domain::calendar;
use crate::domain::clock::SharedClock;
use crate::domain::price::{Currency, Rate, Rates};
use crate::domain::rid::Rid;

/// Everything that is told per day, of the day that begins at `day`; how many calls it had.
///
/// # Errors
/// When a database cannot be read or written.
pub async fn derive_day(
    databases: &Databases,
    zone: Tz,
    clock: &SharedClock,
    day: i64,
) -> Result<i64, DbErr> {
    let read = &databases.ledger_read;
    let next = calendar::next_day(zone, day);
    let mut measures = Measures::default();
    for row in rollup::rows(read, &TOTAL_DAILY, (day, next), &[]).await? {
        measures.merge(&row.measures);
    }
    let (users, jwt_users) = recent::active_users(read, day).await?;
    let now = clock.now_micros();
    let stat_date = calendar::date_of(zone, day).to_string();
    let sum = |column| measures.sum(column);
    let (requests, successes) = (sum("request_count"), sum("success_count"));
    let txn = begin_write(&databases.ledger).await?;
    daily::put(
        &txn,
        &UserActivity {
            bucket: day,
            stat_date: stat_date.clone(),
            daily_active_users: users,
            jwt_active_users: jwt_users,
            updated_at: now,
        },
        &AiRequests {
            bucket: day,
            stat_date: stat_date.clone(),
            request_count: requests,
            success_count: successes,
            error_count: requests - successes,
            prompt_tokens: sum("prompt_tokens"),
            completion_tokens: sum("completion_tokens"),
            total_tokens: sum("total_tokens"),
            updated_at: now,
            recounted_at: None,
            differences: None,
        },
    )
    .await?;
    txn.commit().await?;
    let txn = begin_write(&databases.control).await?;
    let figures = dashboard_stats::Day {
        stat_date,
        daily_active_users: users,
        jwt_active_users: jwt_users,
        ai_requests: requests,
        success_rate: (requests > 0).then(|| successes as f64 / requests as f64),
        total_tokens: sum("total_tokens"),
        cost: cost(&measures, rate_of(databases, zone, day).await?),
        p95_duration_ms: measures.duration.quantile(0.95),
    };
    dashboard_stats::put(&txn, figures, now).await?;
    txn.commit().await?;
    Ok(requests)
}

/// The exchange rate of a day; `None` while none was ever in force.
async fn rate_of(databases: &Databases, zone: Tz, day: i64) -> Result<Option<Rate>, DbErr> {
    let rates = exchange_rate::all(&databases.control_read).await?;
    let rates = rates
        .into_iter()
        .filter_map(|row| Some((row.valid_from, Rate::new(row.cny_per_usd_nano)?)));
    let rates: Vec<_> = rates.collect();
    Ok((!rates.is_empty()).then(|| Rates::new(rates).by_day(zone, Rate::ONE).of(day)))
}

/// What was charged, and in what: charges in two currencies are one sum in dollars, by the day's `rate`. `None` when
/// nothing is known.
fn cost(measures: &Measures, rate: Option<Rate>) -> Option<(i64, String)> {
    let (usd, cny) = (measures.sum("cost_usd_nano"), measures.sum("cost_cny_nano"));
    match (usd, cny) {
        (0, 0) if measures.sum("unpriced_count") > 0 => None,
        (usd, 0) => Some((usd, "USD".to_owned())),
        (0, cny) => Some((cny, "CNY".to_owned())),
        both => rate.map(|rate| (rate.sum(both.into(), Currency::Usd), "USD".to_owned())),
    }
}

/// Which conversations the calls of a day were. Reads all of them.
///
/// # Errors
/// When a database cannot be read or written.
pub async fn count_conversations(
    databases: &Databases,
    zone: Tz,
    clock: &SharedClock,
    day: i64,
) -> Result<(), DbErr> {
    let rid = |micros: i64| Rid::floor_of_ms(micros.max(0) / 1_000).0;
    let rids = rid(day)..rid(calendar::next_day(zone, day));
    let now = clock.now_micros();
    let counted = conversation_count::of_day(&databases.ledger_read, day, rids, now).await?;
    let txn = begin_write(&databases.ledger).await?;
    conversation_count::put_day(&txn, day, &counted, now).await?;
    txn.commit().await
}
