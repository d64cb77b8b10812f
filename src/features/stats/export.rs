//! Statistics as files: a trend, or a ranking, with every number the API tells, as JSON, CSV or xlsx.

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::{HttpResponse, get, web};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::extract::Query;
use crate::http::permission::{Can, ReadStats};
use crate::http::range::{RangeQuery, TimeRange};
use crate::http::sheet;
use crate::state::AppState;

use super::ranking::{Most, Ranked, Top, TopQuery, rank};
use super::which::Which;
use super::{CostQuery, Trend, TrendQuery, course};

/// Items of one exported ranking.
const ITEMS_MAX: u64 = 10_000;

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(export);
}

/// What the file is written in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum FileFormat {
    Csv,
    Json,
    Xlsx,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct How {
    #[param(inline)]
    format: FileFormat,
    /// A ranking of these instead of a trend.
    #[param(inline)]
    of: Option<Ranked>,
    /// By what a ranking is sorted, most first; `requests` unless given.
    #[param(inline)]
    sort: Option<Most>,
    /// CSV: begin with a byte-order mark, by which spreadsheets know UTF-8.
    #[serde(default)]
    bom: bool,
}

const TREND_COLUMNS: &[&str] = &["at"];
const TOP_COLUMNS: &[&str] = &["key", "id", "name", "provider", "share"];
const NUMBERS: &[&str] = &[
    "request_count",
    "success_count",
    "error_count",
    "client_error_count",
    "rate_limited_count",
    "upstream_error_count",
    "cancelled_count",
    "success_rate",
    "total_prompt_tokens",
    "total_completion_tokens",
    "total_tokens",
    "total_cached_tokens",
    "total_cache_write_tokens",
    "total_reasoning_tokens",
    "estimated_count",
    "avg_duration_ms",
    "avg_ttft_ms",
    "p50_duration_ms",
    "p95_duration_ms",
    "p99_duration_ms",
    "p50_ttft_ms",
    "p95_ttft_ms",
    "cost",
    "currency",
    "cost_usd",
    "cost_cny",
    "unpriced_count",
];
const AMOUNTS: &[&str] = &["cost", "cost_usd", "cost_cny"];

/// A trend (by hour or day), or with `of` a ranking of at most 10,000, as a file. JSON is the answer of `stats/trend` or
/// `stats/top`; the others have one line a bucket or item.
#[utoipa::path(
    tag = "stats",
    params(How, CostQuery, TrendQuery, Which, RangeQuery),
    responses((
        status = 200,
        content(
            (String = "text/csv"),
            (Trend = "application/json"),
            (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        )
    ))
)]
#[get("/stats/export")]
async fn export(
    state: web::Data<AppState>,
    caller: Can<ReadStats>,
    how: Query<How>,
    money: Query<CostQuery>,
    trend: Query<TrendQuery>,
    which: Query<Which>,
    range: TimeRange,
) -> Result<HttpResponse, ApiError> {
    let shown = money.0.shown(&state);
    let how = how.0;
    let (name, first, told) = match how.of {
        Some(by) => {
            let query = TopQuery {
                by: Some(by),
                sort: how.sort,
                limit: Some(ITEMS_MAX),
            };
            let top: Top = rank(&state, &caller, &query, which.0, range, shown, ITEMS_MAX).await?;
            ("top", TOP_COLUMNS, serde_json::to_value(top))
        }
        None => {
            let by = trend.by.unwrap_or_default();
            let course = course(&state, caller.operator.scope(), which.0, by, range).await?;
            let trend: Trend = course.told(&state, shown);
            ("trend", TREND_COLUMNS, serde_json::to_value(trend))
        }
    };
    let mut told = told.map_err(ApiError::internal)?;
    let columns = [first, NUMBERS].concat();
    let (body, media_type, ending) = match how.format {
        FileFormat::Json => (told.to_string().into_bytes(), "application/json", "json"),
        FileFormat::Csv => {
            let mark = if how.bom { "\u{feff}" } else { "" };
            let mut text = format!("{mark}{}\r\n", columns.join(","));
            for item in items(&mut told) {
                sheet::csv_line(&mut text, &columns, &item);
            }
            (text.into_bytes(), "text/csv; charset=utf-8", "csv")
        }
        FileFormat::Xlsx => {
            let items = items(&mut told);
            // Deflating a few thousand rows takes a worker's while.
            let written = web::block(move || sheet::xlsx(name, &columns, AMOUNTS, &items)).await;
            let bytes = written
                .map_err(ApiError::internal)?
                .map_err(ApiError::internal)?;
            (
                bytes,
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
                "xlsx",
            )
        }
    };
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, media_type))
        .insert_header((
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"stats-{name}.{ending}\""),
        ))
        .body(body))
}

fn items(told: &mut Value) -> Vec<Value> {
    match told["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}
