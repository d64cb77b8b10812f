//! Once a minute: values worth keeping over time, the figures of days, and the nightly recount.
//!
//! Every step can be done any number of times: a day is always derived whole.

use std::collections::BTreeSet;

use sea_orm::DbErr;
use serde_json::json;
use steward_entities::database::begin_write;
use steward_entities::ledger::{conversation_count, daily};
use steward_entities::metrics_snapshot::{self, Measured};

use crate::domain::calendar;
use crate::domain::ring::Dimension;
use crate::ledger_store::days::{count_conversations, derive_day};
use crate::ledger_store::recount::recount_day;
use crate::ledger_store::whole::{LOOKED_BACK_US, make_whole};

use super::Parts;

const MINUTE_US: i64 = 60_000_000;
/// Days without figures that are derived at a time.
const MISSING: u64 = 7;
/// A day with more calls has its conversations counted less often: that reads every one of them.
const MANY_CALLS: i64 = 200_000;
const MANY_CALLS_EVERY_US: i64 = 15 * MINUTE_US;
/// So long after midnight yesterday is recounted: calls that ran over midnight have mostly ended.
const RECOUNT_AFTER_US: i64 = 10 * MINUTE_US;

/// One round: what is measured every minute, and, when it is time to derive, the days that calls came to since then.
/// Answers the days whose conversations are to be counted at a later one. `is_first`: since the process began.
///
/// # Errors
/// When a database cannot be read or written; what was derived until then stays.
pub(super) async fn round(
    parts: &Parts,
    days: Option<&BTreeSet<i64>>,
    is_first: bool,
) -> Result<BTreeSet<i64>, DbErr> {
    let Parts {
        databases,
        zone,
        clock,
        ..
    } = parts;
    measure(parts).await?;
    let mut later = BTreeSet::new();
    let Some(days) = days else {
        return Ok(later);
    };
    if is_first {
        make_totals_whole(parts).await?;
    }
    for day in days.iter().rev() {
        let calls = derive_day(databases, *zone, clock, *day).await?;
        let known = conversation_count::counted_at(&databases.ledger_read, *day).await?;
        let wait = known.is_some_and(|at| clock.now_micros() - at < MANY_CALLS_EVERY_US);
        if calls > MANY_CALLS && wait {
            later.insert(*day);
        } else {
            count_or_wait(parts, *day, &mut later).await;
        }
    }
    let read = &databases.ledger_read;
    if !daily::is_backfilling(read).await? {
        // Not before: a day half counted would have its figures and never get better ones.
        for day in daily::missing(read, MISSING).await? {
            derive_day(databases, *zone, clock, day).await?;
            count_or_wait(parts, day, &mut later).await;
        }
    }
    recount_yesterday(parts).await?;
    Ok(later)
}

/// A day so long that the database gives up on it must not hold up the others' figures.
async fn count_or_wait(parts: &Parts, day: i64, later: &mut BTreeSet<i64>) {
    let counted = count_conversations(&parts.databases, parts.zone, &parts.clock, day);
    if let Err(error) = counted.await {
        tracing::warn!(%error, "the conversations of a day cannot be counted yet");
        later.insert(day);
    }
}

/// The minute that has just ended, into `metrics_snapshots`.
async fn measure(parts: &Parts) -> Result<(), DbErr> {
    let now = parts.clock.now_micros();
    let to = now - now.rem_euclid(MINUTE_US);
    let minute = parts
        .recent
        .between(Dimension::Total, "", to - MINUTE_US, to);
    let requests = minute.sum("request_count");
    let window = || json!({"window_s": 60});
    let mut values = vec![
        ("request_count", requests as f64, window()),
        ("total_tokens", minute.sum("total_tokens") as f64, window()),
    ];
    if requests > 0 {
        let failed = (requests - minute.sum("success_count")) as f64;
        values.push(("error_rate", failed / requests as f64, window()));
    }
    let p95s = [
        ("p95_duration_ms", minute.duration.quantile(0.95)),
        ("p95_ttft_ms", minute.ttft.quantile(0.95)),
    ];
    for (metric, value) in p95s {
        values.extend(value.map(|value| (metric, value, window())));
    }
    let books = parts.spool.ledger();
    values.push(("spool_depth", books.spooled as f64, json!({})));
    values.push(("records_dropped", books.dropped as f64, json!({})));
    if parts.recent.complete_since().is_none() {
        // The ring does not know this minute yet.
        values.retain(|(_, _, dimensions)| dimensions.get("window_s").is_none());
    }
    let values = values
        .into_iter()
        .map(|(metric, value, dimensions)| Measured {
            metric,
            value,
            dimensions,
        });
    let txn = begin_write(&parts.databases.events).await?;
    metrics_snapshot::insert(&txn, values.collect(), to, parts.node).await?;
    txn.commit().await
}

/// Days whose sums were not whole have other figures now.
async fn make_totals_whole(parts: &Parts) -> Result<(), DbErr> {
    let Parts {
        databases,
        zone,
        clock,
        ..
    } = parts;
    let since = clock.now_micros() - LOOKED_BACK_US;
    for day in make_whole(databases, since).await? {
        derive_day(databases, *zone, clock, day).await?;
    }
    Ok(())
}

/// Once a day, some time after midnight; not while earlier calls are still being counted.
async fn recount_yesterday(parts: &Parts) -> Result<(), DbErr> {
    let read = &parts.databases.ledger_read;
    let now = parts.clock.now_micros();
    let today = calendar::day_of(parts.zone, now);
    let yesterday = calendar::day_of(parts.zone, today - 1);
    if now < today + RECOUNT_AFTER_US || daily::is_backfilling(read).await? {
        return Ok(());
    }
    let rows = daily::ai_requests(read, (yesterday, today)).await?;
    if rows.iter().any(|row| row.recounted_at.is_none()) {
        let date = calendar::date_of(parts.zone, yesterday);
        recount_day(&parts.databases, parts.zone, date, &parts.clock, |_| {}).await?;
    }
    Ok(())
}
