//! Pairs as a file that spreadsheets open, and that an import takes back: xlsx or CSV, newest first.
//!
//! Read by key in short steps. CSV goes out as it is read; a workbook is written to the disk a row at a time, since its
//! beginning is only known at its end, and sent from there. Neither holds more than a step.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::path::Path;

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::web::{self, Bytes};
use actix_web::{HttpResponse, get};
use futures_util::{TryStreamExt, stream};
use rust_xlsxwriter::{Format as Look, Workbook};
use sea_orm::DatabaseConnection;
use serde::{Deserialize, Serialize};
use steward_entities::qa_pair::{self, Filter};
use steward_entities::scope::{self, Scope};
use tokio::io::AsyncReadExt;
use utoipa::{IntoParams, ToSchema};

use super::{Which, import, view};
use crate::error::ApiError;
use crate::http::download::TicketParam;
use crate::http::extract::Query;
use crate::http::permission::{Can, ReadKnowledge};
use crate::http::sheet;
use crate::state::AppState;

/// Pairs of a step.
const STEP: u64 = 500;
/// Pairs that a sheet takes, its first row being their names.
const SHEET_MAX: u64 = 1_048_575;
const CHUNK_BYTES: usize = 64 * 1024;
/// What an import reads comes first.
const COLUMNS: [&str; 10] = [
    "question",
    "answer",
    "category",
    "quality_score",
    "source",
    "tenant_name",
    "id",
    "created_by",
    "created_at",
    "updated_at",
];
const WIDTHS: [f64; 10] = [40.0, 70.0, 16.0, 12.0, 10.0, 20.0, 28.0, 14.0, 24.0, 24.0];

/// What the file is written in.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    #[default]
    Csv,
    Xlsx,
}

/// How the file is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct How {
    /// `csv` unless given.
    #[serde(default)]
    #[param(inline, required = false)]
    format: Format,
    /// CSV: begin with a byte-order mark, without which Excel takes the text for the machine's own encoding.
    #[serde(default = "yes")]
    #[param(default = true)]
    bom: bool,
}

fn yes() -> bool {
    true
}

/// Every pair that the filters find, as a file; an import takes it back. In CSV a text that a spreadsheet would take for a formula
/// stands behind an apostrophe. An answer that breaks off is a file that is not whole.
#[utoipa::path(
    tag = "knowledge",
    params(How, Which, TicketParam),
    responses((
        status = 200,
        content(
            (String = "text/csv"),
            (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        )
    ))
)]
#[get("/ops/knowledge/export")]
pub(super) async fn export(
    state: web::Data<AppState>,
    caller: Can<ReadKnowledge>,
    how: Query<How>,
    which: Query<Which>,
) -> Result<HttpResponse, ApiError> {
    let Query(How { format, bom }) = how;
    let read = state.databases.control_read.clone();
    let (scope, filter) = which.0.found(&read, caller.operator.scope()).await?;
    let pairs = Pairs {
        read,
        scope,
        filter,
        after: None,
    };
    let mut answer = HttpResponse::Ok();
    match format {
        Format::Csv => {
            let head = format!(
                "{}{}\r\n",
                if bom { "\u{feff}" } else { "" },
                COLUMNS.join(",")
            );
            let lines = stream::try_unfold((Some(head), pairs), lines);
            Ok(answer
                .insert_header((CONTENT_TYPE, "text/csv; charset=utf-8"))
                .insert_header((
                    CONTENT_DISPOSITION,
                    "attachment; filename=\"knowledge.csv\"",
                ))
                .streaming(lines.map_err(broke_off)))
        }
        Format::Xlsx => {
            if qa_pair::count(&pairs.read, scope, &pairs.filter).await? > SHEET_MAX {
                let message = format!("csv, since a sheet takes {SHEET_MAX} pairs");
                return Err(ApiError::invalid("format", format!("must be {message}")));
            }
            let dir = import::dir(&state.config.data.dir);
            let file = workbook(pairs, &dir).await?;
            let chunks = stream::try_unfold(tokio::fs::File::from_std(file), chunk);
            Ok(answer
                .insert_header((
                    CONTENT_TYPE,
                    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
                ))
                .insert_header((
                    CONTENT_DISPOSITION,
                    "attachment; filename=\"knowledge.xlsx\"",
                ))
                .streaming(chunks.map_err(|error| broke_off(ApiError::internal(error)))))
        }
    }
}

fn broke_off(cause: ApiError) -> actix_web::Error {
    tracing::warn!(%cause, "an export of knowledge broke off");
    cause.into()
}

/// The pairs that are left to write.
struct Pairs {
    read: DatabaseConnection,
    scope: Scope,
    filter: Filter,
    after: Option<i64>,
}

impl Pairs {
    /// The next ones as the API shows them; none when all are written.
    async fn next(&mut self) -> Result<Vec<serde_json::Value>, ApiError> {
        let page = scope::Page {
            after: self.after,
            limit: STEP,
        };
        let rows = qa_pair::list(&self.read, self.scope, &self.filter, page).await?;
        self.after = rows.last().map(|row| row.id).or(self.after);
        let views = view::of(&self.read, self.scope, rows).await?;
        let items = views.iter().map(serde_json::to_value);
        items.collect::<Result<_, _>>().map_err(ApiError::internal)
    }
}

async fn lines(
    (head, mut pairs): (Option<String>, Pairs),
) -> Result<Option<(Bytes, (Option<String>, Pairs))>, ApiError> {
    let is_begun = head.is_none();
    let mut text = head.unwrap_or_default();
    let items = pairs.next().await?;
    for item in &items {
        sheet::csv_line(&mut text, &COLUMNS, item);
    }
    match items.is_empty() && is_begun {
        true => Ok(None),
        false => Ok(Some((Bytes::from(text), (None, pairs)))),
    }
}

/// A file without a name, that is gone when it is closed.
fn nameless(dir: &Path) -> io::Result<File> {
    let path = dir.join(format!("{}.part", uuid::Uuid::new_v4()));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

async fn workbook(mut pairs: Pairs, dir: &Path) -> Result<File, ApiError> {
    tokio::fs::create_dir_all(dir)
        .await
        .map_err(ApiError::internal)?;
    let mut book = Workbook::new();
    book.set_tempdir(dir).map_err(ApiError::internal)?;
    let page = book.add_worksheet_with_constant_memory();
    page.set_name("knowledge").map_err(ApiError::internal)?;
    let bold = Look::new().set_bold();
    for (at, (column, width)) in (0_u16..).zip(COLUMNS.into_iter().zip(WIDTHS)) {
        page.set_column_width(at, width)
            .map_err(ApiError::internal)?;
        page.write_string_with_format(0, at, column, &bold)
            .map_err(ApiError::internal)?;
    }
    page.set_freeze_panes(1, 0).map_err(ApiError::internal)?;
    let mut row = 0;
    loop {
        let items = pairs.next().await?;
        if items.is_empty() {
            break;
        }
        let page = book.worksheet_from_index(0).map_err(ApiError::internal)?;
        for item in items.iter().take((SHEET_MAX - u64::from(row)) as usize) {
            row += 1;
            sheet::xlsx_row(page, row, &COLUMNS, &[], item).map_err(ApiError::internal)?;
        }
    }
    let mut file = nameless(dir).map_err(ApiError::internal)?;
    let saving = tokio::task::spawn_blocking(move || {
        let saved = book.save_to_writer(&mut file).map_err(io::Error::other);
        saved.and_then(|()| file.seek(SeekFrom::Start(0)))?;
        Ok::<_, io::Error>(file)
    });
    let saved = saving.await.map_err(ApiError::internal)?;
    saved.map_err(ApiError::internal)
}

async fn chunk(mut file: tokio::fs::File) -> io::Result<Option<(Bytes, tokio::fs::File)>> {
    let mut bytes = vec![0; CHUNK_BYTES];
    let length = file.read(&mut bytes).await?;
    bytes.truncate(length);
    Ok((length > 0).then(|| (Bytes::from(bytes), file)))
}
