//! The request log as a file: CSV, JSON or JSON lines, in the order of the list, newest first.
//!
//! Read by key in short bounded steps, each on a read-only connection of its own, so that the longest export
//! holds neither memory nor the log's files; rows that come meanwhile are not in it. A client that leaves ends
//! it, since nobody asks for the next step any more. Tries on accounts and contents are not in it.

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::web::{self, Bytes};
use actix_web::{HttpResponse, get};
use futures_util::{TryStreamExt, stream};
use sea_orm::{DatabaseConnection, DbErr};
use serde::{Deserialize, Serialize};
use steward_entities::ledger::request_filter::RequestFilter;
use steward_entities::ledger::request_log::RequestRow;
use steward_entities::ledger::request_page::{self, RequestCursor, RequestSort};
use utoipa::{IntoParams, ToSchema};

use super::{RequestItem, Which};
use crate::error::ApiError;
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
pub(super) enum Format {
    Csv,
    Json,
    Jsonl,
}

/// How the file is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct How {
    #[param(inline)]
    format: Format,
    /// CSV: begin with a byte-order mark, by which spreadsheets know UTF-8.
    #[serde(default)]
    bom: bool,
}

/// Every call that passes the filters, as a file.
///
/// JSON is one array of the list's items, JSON lines one item a line. In CSV a text that a spreadsheet would
/// take for a formula stands behind an apostrophe. An answer that breaks off is a file that is not whole.
#[utoipa::path(
    tag = "logs",
    params(How, Which, RangeQuery),
    responses((
        status = 200,
        content(
            (String = "text/csv"),
            (Vec<RequestItem> = "application/json"),
            (String = "application/x-ndjson"),
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
    let (media_type, ending) = match format {
        Format::Csv => ("text/csv; charset=utf-8", "csv"),
        Format::Json => ("application/json", "json"),
        Format::Jsonl => ("application/x-ndjson", "jsonl"),
    };
    let file = Writing {
        read,
        filter,
        format,
        place: Place::Head { bom },
    };
    let name = format!("attachment; filename=\"requests.{ending}\"");
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, media_type))
        .insert_header((CONTENT_DISPOSITION, name))
        .streaming(stream::try_unfold(file, Writing::step).map_err(|cause| {
            tracing::warn!(%cause, "an export of the request log broke off");
            actix_web::Error::from(cause)
        })))
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
    format: Format,
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
                let head = head(self.format, bom);
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
                write(self.format, &mut text, row, first)?;
                first = false;
            }
            match page.next {
                None => {
                    if self.format == Format::Json {
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

fn head(format: Format, bom: bool) -> String {
    match format {
        Format::Csv => {
            let mark = if bom { "\u{feff}" } else { "" };
            format!("{mark}{}\r\n", COLUMNS.join(","))
        }
        Format::Json => "[".to_owned(),
        Format::Jsonl => String::new(),
    }
}

fn write(format: Format, text: &mut String, row: RequestRow, first: bool) -> Result<(), ApiError> {
    let item = RequestItem::from(row);
    match format {
        Format::Csv => sheet::csv_line(
            text,
            &COLUMNS,
            &serde_json::to_value(&item).map_err(ApiError::internal)?,
        ),
        Format::Json | Format::Jsonl => {
            if format == Format::Json && !first {
                text.push_str(",\n");
            }
            text.push_str(&serde_json::to_string(&item).map_err(ApiError::internal)?);
            if format == Format::Jsonl {
                text.push('\n');
            }
        }
    }
    Ok(())
}

/// The list's fields, in its order.
const COLUMNS: [&str; 33] = [
    "id",
    "token_id",
    "account_id",
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
    "reasoning_tokens",
    "usage_estimated",
    "cost",
    "currency",
    "priced",
    "status_code",
    "success",
    "error_code",
    "error_message",
    "conversation_id",
    "source",
    "attempts",
];
