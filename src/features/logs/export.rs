//! The request log as a file: CSV, JSON, JSON lines or Parquet, in the order of the list, newest first.
//!
//! Read by key in short bounded steps, each on a read-only connection of its own, so that the longest export
//! holds neither memory nor the log's files; rows that come meanwhile are not in it. A client that leaves ends
//! it, since nobody asks for the next step any more. Tries on accounts and contents are not in it.

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::web::{self, Bytes};
use actix_web::{HttpResponse, get};
use futures_util::{StreamExt, TryStreamExt, stream};
use sea_orm::{DatabaseConnection, DbErr};
use serde::{Deserialize, Serialize};
use steward_entities::ledger::request_filter::RequestFilter;
use steward_entities::ledger::request_log::RequestRow;
use steward_entities::ledger::request_page::{self, RequestCursor, RequestSort};
use utoipa::{IntoParams, ToSchema};

use super::{RequestItem, Which, parquet};
use crate::error::ApiError;
use crate::http::download::TicketParam;
use crate::http::extract::Query;
use crate::http::permission::{Can, ReadLogs};
use crate::http::range::{RangeQuery, TimeRange};
use crate::http::sheet;
use crate::state::AppState;

/// Rows of a step: well under a millisecond of a worker's time to write down.
const STEP_ROWS: u64 = 500;

/// What the file is written in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum LogFormat {
    Csv,
    Json,
    Jsonl,
    Parquet,
}

/// How the file is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct How {
    #[param(inline)]
    format: LogFormat,
    /// CSV: begin with a byte-order mark, by which spreadsheets know UTF-8.
    #[serde(default)]
    bom: bool,
}

/// Every call that passes the filters, as a file.
///
/// JSON is one array of the list's items, JSON lines one item a line. In CSV a text that a spreadsheet would
/// take for a formula stands behind an apostrophe. In Parquet times are timestamps and costs decimals. An answer that breaks off is a file that is not whole.
#[utoipa::path(
    tag = "logs",
    params(How, Which, RangeQuery, TicketParam),
    responses((
        status = 200,
        content(
            (String = "text/csv"),
            (Vec<RequestItem> = "application/json"),
            (String = "application/x-ndjson"),
            (Vec<u8> = "application/vnd.apache.parquet"),
        )
    ))
)]
#[get("/logs/requests/export")]
pub(crate) async fn export(
    state: web::Data<AppState>,
    caller: Can<ReadLogs>,
    how: Query<How>,
    which: Query<Which>,
    range: TimeRange,
) -> Result<HttpResponse, ApiError> {
    let Query(How { format, bom }) = how;
    let Query(which) = which;
    let read = state.databases.ledger_read.clone();
    let filter = which.filter(&read, caller.operator.scope(), range).await?;
    let (media_type, ending, lines) = match format {
        LogFormat::Csv => ("text/csv; charset=utf-8", "csv", Some(Lines::Csv)),
        LogFormat::Json => ("application/json", "json", Some(Lines::Json)),
        LogFormat::Jsonl => ("application/x-ndjson", "jsonl", Some(Lines::Jsonl)),
        LogFormat::Parquet => ("application/vnd.apache.parquet", "parquet", None),
    };
    let file = match lines {
        None => parquet::stream(read, filter)?.left_stream(),
        Some(lines) => {
            let file = Writing {
                read,
                filter,
                lines,
                place: Place::Head { bom },
            };
            stream::try_unfold(file, Writing::step).right_stream()
        }
    };
    let name = format!("attachment; filename=\"requests.{ending}\"");
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, media_type))
        .insert_header((CONTENT_DISPOSITION, name))
        .streaming(file.map_err(|cause| {
            tracing::warn!(%cause, "an export of the request log broke off");
            actix_web::Error::from(cause)
        })))
}

/// The formats that are written a line after the other.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Lines {
    Csv,
    Json,
    Jsonl,
}

/// Where the writing stands.
enum Place {
    /// Nothing is written.
    Head { bom: bool },
    Rows {
        after: Option<RequestCursor>,
        /// No row is written.
        first: bool,
    },
    /// Everything is.
    Done,
}

struct Writing {
    read: DatabaseConnection,
    filter: RequestFilter,
    lines: Lines,
    place: Place,
}

impl Writing {
    /// The next piece of the file. A step that fails breaks the answer off.
    async fn step(mut self) -> Result<Option<(Bytes, Self)>, ApiError> {
        match self.place {
            Place::Done => Ok(None),
            Place::Head { bom } => {
                self.place = Place::Rows {
                    after: None,
                    first: true,
                };
                let head = head(self.lines, bom);
                Ok(Some((Bytes::from(head), self)))
            }
            Place::Rows { after, first } => self.rows(after, first).await.map(Some),
        }
    }

    async fn rows(
        mut self,
        mut after: Option<RequestCursor>,
        mut first: bool,
    ) -> Result<(Bytes, Self), ApiError> {
        let mut text = String::new();
        // A sparse filter gives pages without rows.
        loop {
            let page = self.page(after).await?;
            for row in page.rows {
                write(self.lines, &mut text, row, first)?;
                first = false;
            }
            match page.next {
                None => {
                    if self.lines == Lines::Json {
                        text.push_str("]\n");
                    }
                    self.place = Place::Done;
                    return Ok((Bytes::from(text), self));
                }
                next => after = next,
            }
            if !text.is_empty() {
                self.place = Place::Rows { after, first };
                return Ok((Bytes::from(text), self));
            }
        }
    }

    async fn page(&self, after: Option<RequestCursor>) -> Result<request_page::RequestPage, DbErr> {
        let sort = RequestSort::Newest;
        request_page::list(&self.read, &self.filter, sort, after, STEP_ROWS).await
    }
}

fn head(lines: Lines, bom: bool) -> String {
    match lines {
        Lines::Csv => {
            let mark = if bom { "\u{feff}" } else { "" };
            format!("{mark}{}\r\n", COLUMNS.join(","))
        }
        Lines::Json => "[".to_owned(),
        Lines::Jsonl => String::new(),
    }
}

fn write(lines: Lines, text: &mut String, row: RequestRow, first: bool) -> Result<(), ApiError> {
    let item = RequestItem::from(row);
    match lines {
        Lines::Csv => sheet::csv_line(
            text,
            &COLUMNS,
            &serde_json::to_value(&item).map_err(ApiError::internal)?,
        ),
        Lines::Json | Lines::Jsonl => {
            if lines == Lines::Json && !first {
                text.push_str(",\n");
            }
            text.push_str(&serde_json::to_string(&item).map_err(ApiError::internal)?);
            if lines == Lines::Jsonl {
                text.push('\n');
            }
        }
    }
    Ok(())
}

/// The list's fields, in its order.
pub(super) const COLUMNS: [&str; 38] = [
    "id",
    "token_id",
    "token_name",
    "account_id",
    "account_name",
    "tenant_id",
    "app",
    "user_name",
    "mode",
    "provider",
    "model",
    "upstream_model",
    "operation",
    "stream",
    "request_at",
    "response_at",
    "duration_ms",
    "ttft_ms",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "units",
    "usage_estimated",
    "cost",
    "currency",
    "priced",
    "status_code",
    "success",
    "error_code",
    "error_message",
    "conversation_id",
    "prompt",
    "source",
    "attempts",
];
