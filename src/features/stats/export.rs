//! Statistics as files: a trend, or a ranking, with every number the API tells, as JSON, CSV or xlsx.

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, get, web};
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::download::TicketParam;
use crate::http::extract::Query;
use crate::http::permission::{Can, ReadStats};
use crate::http::range::{RangeQuery, TimeRange};
use crate::http::sheet;
use crate::state::AppState;

use super::leading::{Most, Ranked};
use super::ranking::{Top, TopQuery, rank};
use super::which::Which;
use super::{CostQuery, Trend, TrendQuery, course};

/// Items of one exported ranking.
const ITEMS_MAX: u64 = 10_000;
/// Items that are written at a time.
const PIECE_ITEMS: usize = 200;

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
    "p99_ttft_ms",
    "cost",
    "currency",
    "cost_usd",
    "cost_cny",
    "unpriced_count",
];
const AMOUNTS: &[&str] = &["cost", "cost_usd", "cost_cny"];

/// A trend (by hour or day), or with `of` a ranking of at most 10,000, as a file. JSON is the answer of `stats/trend` or
/// `stats/top`; the others have one line a bucket or item. A workbook is zipped as a whole, the others are sent as
/// they are written.
#[utoipa::path(
    tag = "stats",
    params(How, CostQuery, TrendQuery, Which, RangeQuery, TicketParam),
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
    if let Some(by) = how.of {
        let query = TopQuery {
            by: Some(by),
            sort: how.sort,
            limit: Some(ITEMS_MAX),
        };
        let mut top: Top = rank(
            &state,
            caller.operator.scope(),
            &query,
            which.0,
            range,
            &shown,
            ITEMS_MAX,
        )
        .await?;
        let items = std::mem::take(&mut top.items);
        return file(&how, "top", TOP_COLUMNS, &top, items).await;
    }
    let by = trend.by.unwrap_or_default();
    let course = course(&state, caller.operator.scope(), which.0, by, range).await?;
    let mut trend: Trend = course.told(&state, &shown);
    let items = std::mem::take(&mut trend.items);
    file(&how, "trend", TREND_COLUMNS, &trend, items).await
}

/// `items` of `whole`, which has none left.
async fn file<T: Serialize + Send + 'static>(
    how: &How,
    name: &'static str,
    first: &[&'static str],
    whole: &impl Serialize,
    items: Vec<T>,
) -> Result<HttpResponse, ApiError> {
    let columns = [first, NUMBERS].concat();
    let (media_type, ending) = match how.format {
        FileFormat::Json => ("application/json", "json"),
        FileFormat::Csv => ("text/csv; charset=utf-8", "csv"),
        FileFormat::Xlsx => (
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "xlsx",
        ),
    };
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((CONTENT_TYPE, media_type))
        .insert_header((
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"stats-{name}.{ending}\""),
        ));
    match how.format {
        FileFormat::Json => {
            let whole = serde_json::to_string(whole).map_err(ApiError::internal)?;
            // The one list of either answer, and it is empty.
            let (head, tail) = whole
                .split_once("\"items\":[]")
                .ok_or_else(|| ApiError::internal("the answer has no items"))?;
            let (head, tail) = (format!("{head}\"items\":["), format!("]{tail}"));
            let line = |text: &mut String, at: usize, item: &T| {
                if at > 0 {
                    text.push(',');
                }
                text.push_str(&serde_json::to_string(item)?);
                Ok(())
            };
            Ok(answer.streaming(pieces(head, items, line, tail)))
        }
        FileFormat::Csv => {
            let mark = if how.bom { "\u{feff}" } else { "" };
            let head = format!("{mark}{}\r\n", columns.join(","));
            let line = move |text: &mut String, _: usize, item: &T| {
                sheet::csv_line(text, &columns, &serde_json::to_value(item)?);
                Ok(())
            };
            Ok(answer.streaming(pieces(head, items, line, String::new())))
        }
        FileFormat::Xlsx => {
            // Deflating a few thousand rows takes a worker's while.
            let written = web::block(move || {
                let rows = items.iter().map(serde_json::to_value);
                let rows = rows.collect::<Result<Vec<Value>, _>>();
                let rows = rows.map_err(ApiError::internal)?;
                sheet::xlsx(name, &columns, AMOUNTS, &rows).map_err(ApiError::internal)
            });
            let bytes = written.await.map_err(ApiError::internal)??;
            Ok(answer.body(bytes))
        }
    }
}

/// A text in pieces: the head, the items as `line` writes them, the tail.
fn pieces<T: 'static>(
    head: String,
    items: Vec<T>,
    line: impl Fn(&mut String, usize, &T) -> Result<(), serde_json::Error> + 'static,
    tail: String,
) -> impl Stream<Item = Result<Bytes, ApiError>> + 'static {
    let count = items.len();
    let mut each = items.into_iter().enumerate();
    let rows = (0..count.div_ceil(PIECE_ITEMS)).map(move |_| {
        let mut text = String::new();
        for (at, item) in each.by_ref().take(PIECE_ITEMS) {
            line(&mut text, at, &item).map_err(ApiError::internal)?;
        }
        Ok(Bytes::from(text))
    });
    let ends = [head, tail].map(|text| Ok(Bytes::from(text)));
    let [head, tail] = ends;
    stream::iter([head])
        .chain(stream::iter(rows))
        .chain(stream::iter([tail]))
}
