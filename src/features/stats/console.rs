//! Statistics as the token console's document knows them: what was used of what was granted, and how it went.

use actix_web::{get, web};
use serde::{Deserialize, Serialize};
use steward_actors::domain::calendar;
use steward_entities::ledger::total;
use steward_entities::{scope, token};
use utoipa::{IntoParams, ToSchema};

use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::http::check;
use crate::http::extract::{Json, Query};
use crate::http::permission::{Can, ReadStats};
use crate::http::range::{TimeRange, days_before, rfc3339};
use crate::state::AppState;

use super::leading::{Most, Ranked};
use super::ranking::{TopQuery, rank};
use super::which::Which;
use super::{By, CostQuery, course};

const DAYS: i64 = 7;
const DAYS_MAX: i64 = 365;
const MODELS: u64 = 20;
/// Tokens read at a time.
const STEP: u64 = 500;

/// What was used of what was granted.
#[derive(Debug, Serialize, ToSchema)]
struct ConsoleStats {
    /// Model tokens that the keys with a quota may use in their lives; null when none has one.
    total_tokens: Option<i64>,
    /// Model tokens used by all keys.
    used_tokens: i64,
    /// Of the keys with a quota; null when none has one.
    remaining_tokens: Option<i64>,
    /// Of the keys with a quota, between 0 and 100; null when none has one.
    usage_percent: Option<f64>,
    api_call_count: i64,
    /// Those with most model tokens in the last 30 days.
    models: Vec<ConsoleModel>,
}

/// One model's use.
#[derive(Debug, Serialize, ToSchema)]
struct ConsoleModel {
    model: String,
    tokens: i64,
    calls: i64,
}

/// A day's use.
#[derive(Debug, Serialize, ToSchema)]
struct ConsoleDay {
    #[schema(format = Date)]
    date: String,
    tokens: i64,
    calls: i64,
}

/// Everything the console shows, as one file.
#[derive(Debug, Serialize, ToSchema)]
struct ConsoleExport {
    #[schema(format = DateTime)]
    exported_at: String,
    stats: ConsoleStats,
    /// The last 30 days.
    usage_trend: Vec<ConsoleDay>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct HowLong {
    /// 1 to 365; 7 unless given.
    #[param(minimum = 1, maximum = 365)]
    days: Option<i64>,
}

/// What was used of what was granted.
#[utoipa::path(tag = "token console", responses((status = 200, body = ConsoleStats)))]
#[get("/stats")]
pub(crate) async fn stats(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
) -> Result<Json<ConsoleStats>, ApiError> {
    Ok(Json(used(&state, &caller).await?))
}

/// Use by day, rising, without gaps.
#[utoipa::path(tag = "token console", params(HowLong), responses((status = 200, body = Vec<ConsoleDay>)))]
#[get("/usage-trend")]
pub(crate) async fn usage_trend(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    how_long: Query<HowLong>,
) -> Result<Json<Vec<ConsoleDay>>, ApiError> {
    let days = how_long.days.unwrap_or(DAYS);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(ApiError::invalid(
            "days",
            format!("must lie between 1 and {DAYS_MAX}"),
        ));
    }
    Ok(Json(by_day(&state, &caller, days).await?))
}

/// What the console shows, as one answer to keep.
#[utoipa::path(tag = "token console", responses((status = 200, body = ConsoleExport)))]
#[get("/export")]
pub(crate) async fn export(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
) -> Result<Json<ConsoleExport>, ApiError> {
    Ok(Json(ConsoleExport {
        exported_at: rfc3339(state.clock.now_micros()),
        stats: used(&state, &caller).await?,
        usage_trend: by_day(&state, &caller, 30).await?,
    }))
}

async fn used(state: &AppState, caller: &Caller) -> Result<ConsoleStats, ApiError> {
    check::whole_installation(caller)?;
    let (mut calls, mut used, mut granted, mut used_of_granted) = (0, 0, None, 0);
    let mut page = scope::Page {
        after: None,
        limit: STEP,
    };
    let filter = token::Filter {
        with_revoked: true,
        ..token::Filter::default()
    };
    loop {
        let control = &state.databases.control_read;
        let rows = token::list(control, caller.operator.scope(), &filter, page).await?;
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let totals = total::of_tokens(&state.databases.ledger_read, &ids).await?;
        for row in &rows {
            let (requests, tokens) = totals
                .get(&row.id)
                .map_or((0, 0), |sum| (sum.total_requests, sum.total_tokens));
            calls += requests;
            used += tokens;
            if let Some(quota) = row.token_quota.filter(|_| row.revoked_at.is_none()) {
                granted = Some(granted.unwrap_or(0) + quota);
                used_of_granted += tokens.min(quota);
            }
        }
        match rows.last() {
            Some(last) if rows.len() as u64 == STEP => page.after = Some(last.id),
            _ => break,
        }
    }
    let range = TimeRange {
        from: days_before(state.clock.now_micros(), 29, state.time_zone),
        to: None,
    };
    let query = TopQuery {
        by: Some(Ranked::Model),
        sort: Some(Most::Tokens),
        limit: Some(MODELS),
    };
    let shown = CostQuery::default().shown(state);
    let top = rank(
        state,
        caller.operator.scope(),
        &query,
        Which::default(),
        range,
        &shown,
        MODELS,
    )
    .await?;
    let models = top.items.into_iter().map(|item| ConsoleModel {
        model: item.name,
        tokens: item.numbers.total_tokens,
        calls: item.numbers.request_count,
    });
    let percent = |granted: i64| super::view::share(used_of_granted * 100, granted);
    Ok(ConsoleStats {
        total_tokens: granted,
        used_tokens: used,
        remaining_tokens: granted.map(|granted| granted - used_of_granted),
        usage_percent: granted.and_then(percent),
        api_call_count: calls,
        models: models.collect(),
    })
}

async fn by_day(state: &AppState, caller: &Caller, days: i64) -> Result<Vec<ConsoleDay>, ApiError> {
    let before = u64::try_from(days - 1).unwrap_or_default();
    let range = TimeRange {
        from: days_before(state.clock.now_micros(), before, state.time_zone),
        to: None,
    };
    let scope = caller.operator.scope();
    let course = course(state, scope, Which::default(), By::Day, range).await?;
    let each = course.starts.iter().zip(&course.buckets);
    let days = each.map(|(at, counted)| ConsoleDay {
        date: calendar::date_of(state.time_zone, *at).to_string(),
        tokens: counted.measures.sum("total_tokens"),
        calls: counted.measures.sum("request_count"),
    });
    Ok(days.collect())
}
