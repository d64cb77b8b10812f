//! Files of pairs, brought in: sent, looked at, tried, and then brought in by a job.
//!
//! | method | path | permission |
//! |---|---|---|
//! | POST | `/ops/knowledge/import` | `write:knowledge` |
//! | GET | `/ops/knowledge/import/{id}` | `read:knowledge` |
//! | DELETE | `/ops/knowledge/import/{id}` | `write:knowledge` |
//! | POST | `/ops/knowledge/import/{id}/run` | `write:knowledge` |
//! | GET | `/ops/knowledge/import/{id}/errors` | `read:knowledge` |
//!
//! The file is the body, or the one file of a form ([`body`]). It goes straight to the data directory and is read once into plain rows ([`read`]), which stay there until all is
//! brought in, the import is removed, or nobody has touched it for a week. What is in them is not trusted: every row is
//! judged again in the transaction that writes it ([`job`]).

mod body;
mod job;
mod mapping;
mod read;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use actix_web::{HttpRequest, HttpResponse, delete, get, post, web};
use encoding_rs::Encoding;
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use steward_actors::tree::upkeep::job_runner::Wake;
use steward_entities::knowledge_import::{self, Model, New};
use steward_entities::scope::Scope;
use steward_entities::{job as jobs, knowledge_import_error, tenant};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{CATEGORY_MAX, whose};
use crate::error::{ApiError, ErrorCode};
use crate::http::change::{Audit, Change};
use crate::http::check::text;
use crate::http::extract::{Json, Query};
use crate::http::job::{JobAccepted, JobView};
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadKnowledge, WriteKnowledge};
use crate::http::range::rfc3339;
use crate::state::AppState;

use body::Body;
pub(crate) use job::ImportPairs;
use job::{Asked, Existing, rows_from, rows_path};
use mapping::Mapping;
use read::{Found, Unread};

/// Rows that are shown of it.
const SAMPLE_ROWS: usize = 10;
/// Characters of a cell that are shown.
const SAMPLE_CHARS: usize = 200;
/// What nobody has touched for so long is swept.
const FORGOTTEN_AFTER_MICROS: i64 = 7 * 86_400 * 1_000_000;

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(send_import)
        .service(show_import)
        .service(remove_import)
        .service(run_import)
        .service(import_errors);
}

/// Where files lie until they are brought in, and workbooks until they are sent.
pub(crate) fn dir(data_dir: &Path) -> PathBuf {
    data_dir.join("knowledge")
}

/// About the file that is sent.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Sent {
    /// Whose the pairs become; an operator of one tenant may leave it out.
    tenant_id: Option<String>,
    /// What it is called.
    #[param(max_length = 255)]
    file_name: Option<String>,
    /// Of a text, where it should not be guessed: `utf-8`, `gb18030`, `big5`, `shift_jis` or any other name of the WHATWG.
    #[param(max_length = 40)]
    encoding: Option<String>,
}

/// A row of the file.
#[derive(Debug, Serialize, ToSchema)]
struct SampleRow {
    /// As a spreadsheet numbers its rows, an editor its lines.
    row: u64,
    cells: Vec<String>,
}

/// What came of the rows so far.
#[derive(Debug, Serialize, ToSchema)]
struct ImportOutcome {
    /// Nothing was written: it says what would come of it.
    dry_run: bool,
    /// Rows that were looked at, a header included.
    rows: i64,
    created: i64,
    updated: i64,
    /// Were there already, and say the same.
    unchanged: i64,
    /// Were there already, say something else, and stayed as they are.
    kept: i64,
    bad: i64,
}

/// A file of pairs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KnowledgeImport)]
struct ImportView {
    id: String,
    tenant_id: String,
    tenant_name: String,
    file_name: String,
    file_bytes: i64,
    /// `csv` or `xlsx`.
    format: String,
    /// What a text was read as.
    encoding: Option<String>,
    delimiter: Option<String>,
    /// Rows that are not empty, a header included.
    rows: i64,
    /// The first ones, long cells cut; none once the file is no longer kept.
    sample: Vec<SampleRow>,
    /// What the first row says of the columns.
    suggestion: Mapping,
    /// The last job that worked on it.
    job: Option<JobView>,
    /// What came of that.
    outcome: Option<ImportOutcome>,
    /// When all was brought in.
    ended_at: Option<String>,
    created_by: String,
    created_at: String,
}

/// How the rows become pairs.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ImportRun {
    /// Says what would come of it, and writes nothing.
    dry_run: bool,
    mapping: Mapping,
    /// What is done with a pair that asks the same and says something else; `keep` unless given.
    #[schema(inline)]
    existing: Option<Existing>,
    /// Of pairs for which the file names none.
    #[serde(default)]
    #[schema(max_length = 64)]
    category: String,
}

/// A row that is no pair.
#[derive(Debug, Serialize, ToSchema)]
struct ImportError {
    /// As a spreadsheet numbers its rows, an editor its lines.
    row: i64,
    /// `question`, `answer`, `category` or `quality_score`.
    field: String,
    /// `empty`, `too_long`, `control_character`, `undecodable`, `formula_failed`, `not_a_score` or `repeated`.
    reason: String,
    message: String,
}

/// Takes a file of pairs, xlsx or csv of whatever encoding and delimiter, at most 64 MiB and 1,000,000 rows, and says how it was
/// read. It is the body, or the one file of a form. Nothing is brought in yet: `run` does that. A body with an `Idempotency-Key` may have 1 MiB only.
#[utoipa::path(
    tag = "knowledge",
    params(Sent),
    request_body(content((Vec<u8> = "application/octet-stream"), (body::ImportForm = "multipart/form-data"))),
    responses((status = 201, body = ImportView))
)]
#[post("/ops/knowledge/import")]
async fn send_import(
    state: web::Data<AppState>,
    caller: Can<WriteKnowledge>,
    sent: Query<Sent>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let Query(sent) = sent;
    let scope = caller.operator.scope();
    let body = Body::of(&request, payload)?;
    let encoding = sent.encoding.filter(|label| !label.is_empty());
    if let Some(label) = &encoding
        && Encoding::for_label(label.as_bytes()).is_none()
    {
        return Err(ApiError::invalid("encoding", "is no known encoding"));
    }
    let tenant_id = whose(
        &state.databases.control_read,
        scope,
        sent.tenant_id.as_deref(),
    )
    .await?;
    let dir = dir(&state.config.data.dir);
    tokio::fs::create_dir_all(&dir)
        .await
        .map_err(ApiError::internal)?;
    let public_id = knowledge_import::new_id();
    let kept = Kept::new(dir.join(format!("{public_id}.part")));
    let rows = Kept::new(rows_path(&dir, &public_id));
    let (file_bytes, own_name) = body.receive(&kept.path).await?;
    let name = sent.file_name.or(own_name);
    let file_name = text("file_name", name.as_deref().unwrap_or("file"), 1, 255)?;
    let found = read_once(&kept.path, &rows.path, encoding).await?;
    drop(kept);
    let change = Change::begin(&state, &caller).await?;
    let new = New {
        public_id,
        tenant_id,
        file_name,
        file_bytes: i64::try_from(file_bytes).unwrap_or(i64::MAX),
        format: found.format.to_owned(),
        encoding: found.encoding,
        delimiter: found.delimiter.map(String::from),
        row_count: i64::try_from(found.rows).unwrap_or(i64::MAX),
        created_by: caller.operator.username.clone(),
        node: i64::from(state.config.node.id),
    };
    let row = knowledge_import::insert(&change, new, change.now).await?;
    let swept = sweep(&change).await?;
    let audit = Audit::of("knowledge.import_sent", "knowledge_import", &row.public_id)
        .with("file_name", &row.file_name)
        .with("rows", row.row_count);
    let view = view(&*change, &dir, row).await?;
    change.commit(audit).await?;
    rows.keep();
    for id in swept {
        let _ = tokio::fs::remove_file(rows_path(&dir, &id)).await;
    }
    Ok(HttpResponse::Created().json(view))
}

/// A file of pairs, how it was read, and how far it is brought in.
#[utoipa::path(tag = "knowledge", responses((status = 200, body = ImportView)))]
#[get("/ops/knowledge/import/{id}")]
async fn show_import(
    state: web::Data<AppState>,
    caller: Can<ReadKnowledge>,
    id: web::Path<String>,
) -> Result<Json<ImportView>, ApiError> {
    let read = &state.databases.control_read;
    let row = find(read, caller.operator.scope(), &id).await?;
    let dir = dir(&state.config.data.dir);
    Ok(Json(view(read, &dir, row).await?))
}

/// Forgets a file. What was brought in of it stays.
#[utoipa::path(tag = "knowledge", responses((status = 204)))]
#[delete("/ops/knowledge/import/{id}")]
async fn remove_import(
    state: web::Data<AppState>,
    caller: Can<WriteKnowledge>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, caller.operator.scope(), &id).await?;
    at_rest(&*change, &row).await?;
    knowledge_import::remove(&change, row.id).await?;
    let audit = Audit::of(
        "knowledge.import_removed",
        "knowledge_import",
        &row.public_id,
    )
    .with("file_name", &row.file_name);
    change.commit(audit).await?;
    let dir = dir(&state.config.data.dir);
    let _ = tokio::fs::remove_file(rows_path(&dir, &row.public_id)).await;
    Ok(HttpResponse::NoContent().finish())
}

/// Brings the rows in, or tries to without writing anything, as a job. A pair is known by its question: the same file once more
/// changes nothing. Interrupted, it goes on where it stood.
#[utoipa::path(tag = "knowledge", responses((status = 202, body = JobAccepted)))]
#[post("/ops/knowledge/import/{id}/run")]
async fn run_import(
    state: web::Data<AppState>,
    caller: Can<WriteKnowledge>,
    id: web::Path<String>,
    Json(run): Json<ImportRun>,
) -> Result<HttpResponse, ApiError> {
    let category = text("category", &run.category, 0, CATEGORY_MAX)?;
    let columns = [
        ("mapping.question", Some(run.mapping.question)),
        ("mapping.answer", Some(run.mapping.answer)),
        ("mapping.category", run.mapping.category),
        ("mapping.quality_score", run.mapping.quality_score),
    ];
    for (at, (field, column)) in columns.iter().enumerate() {
        if column.is_some_and(|column| column > 63) {
            return Err(ApiError::invalid(*field, "must be a column from 0 to 63"));
        }
        if column.is_some() && columns[..at].iter().any(|(_, other)| other == column) {
            return Err(ApiError::invalid(*field, "must be a column of its own"));
        }
    }
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, caller.operator.scope(), &id).await?;
    at_rest(&*change, &row).await?;
    if row.ended_at.is_some() {
        return Err(ApiError::new(ErrorCode::Conflict).detail(
            "All of it is brought in already; send the file again to bring it in once more.",
        ));
    }
    let asked = Asked {
        import: row.public_id.clone(),
        dry_run: run.dry_run,
        mapping: run.mapping,
        existing: run.existing.unwrap_or(Existing::Keep),
        category,
    };
    let params = serde_json::to_value(&asked).map_err(ApiError::internal)?;
    let author = caller.operator.public_id.clone();
    let (kind, now) = (job::KIND, change.now);
    let job = match row.node {
        Some(node) => jobs::insert_on(&change, node, kind, params, author, now).await?,
        None => jobs::insert(&change, kind, params, author, now).await?,
    };
    knowledge_import_error::clear(&change, row.id).await?;
    let job_id = job.public_id.clone();
    let row = knowledge_import::begin(&change, row, job_id, run.dry_run, change.now).await?;
    let audit = Audit::of("knowledge.import", "knowledge_import", &row.public_id)
        .with("job", &job.public_id)
        .with("asked", &run);
    let answer = change
        .accepted(audit, JobAccepted { job: job.into() })
        .await?;
    // It would look by itself in a second; that it cannot be told is no failure.
    let _ = state.tree.job_runner.try_send(Wake);
    Ok(answer)
}

/// The rows of a file that the last job found to be no pairs, in the file's order; of one file 10,000 are kept.
#[utoipa::path(tag = "knowledge", params(PageQuery), responses((status = 200, body = Page<ImportError>)))]
#[get("/ops/knowledge/import/{id}/errors")]
async fn import_errors(
    state: web::Data<AppState>,
    caller: Can<ReadKnowledge>,
    id: web::Path<String>,
    page: PageRequest,
) -> Result<Json<Page<ImportError>>, ApiError> {
    let read = &state.databases.control_read;
    let row = find(read, caller.operator.scope(), &id).await?;
    let wanted = page.rows()?;
    let found = knowledge_import_error::list(read, row.id, wanted.after, wanted.limit).await?;
    let total = u64::try_from(row.bad.min(job::ERRORS_MAX)).unwrap_or(0);
    let show = |row: knowledge_import_error::Model| ImportError {
        row: row.row_number,
        field: row.field,
        reason: row.reason,
        message: row.message,
    };
    Ok(Json(Page::of(
        found,
        &page,
        Some(total),
        |row| row.id,
        show,
    )))
}

async fn find(
    connection: &impl ConnectionTrait,
    scope: Scope,
    id: &str,
) -> Result<Model, ApiError> {
    knowledge_import::by_public_id(connection, scope, id)
        .await?
        .ok_or_else(|| ApiError::not_found("import"))
}

async fn job_of(
    connection: &impl ConnectionTrait,
    row: &Model,
) -> Result<Option<jobs::Model>, ApiError> {
    match &row.job_id {
        None => Ok(None),
        Some(id) => Ok(jobs::by_public_id(connection, id).await?),
    }
}

/// Refuses while a job works on it.
async fn at_rest(connection: &impl ConnectionTrait, row: &Model) -> Result<(), ApiError> {
    match job_of(connection, row).await? {
        Some(job) if !job.state.is_final() => Err(ApiError::new(ErrorCode::InUse).detail(format!(
            "{} works on it; stop it, or wait until it has ended.",
            job.public_id
        ))),
        _ => Ok(()),
    }
}

/// Forgets what nobody has touched for a week, in the transaction of whoever came next; the files can go afterwards.
async fn sweep(change: &Change<'_>) -> Result<Vec<String>, ApiError> {
    let mut swept = Vec::new();
    let before = change.now - FORGOTTEN_AFTER_MICROS;
    for row in knowledge_import::untouched_since(&**change, before).await? {
        if at_rest(&**change, &row).await.is_ok() {
            knowledge_import::remove(change, row.id).await?;
            swept.push(row.public_id);
        }
    }
    Ok(swept)
}

async fn view(
    connection: &impl ConnectionTrait,
    dir: &Path,
    row: Model,
) -> Result<ImportView, ApiError> {
    let path = rows_path(dir, &row.public_id);
    let reading = tokio::task::spawn_blocking(move || rows_from(&path, 0, SAMPLE_ROWS)).await;
    // Brought in, swept, or in another node's directory.
    let rows = reading
        .map_err(ApiError::internal)?
        .map_or_else(|_| Vec::new(), |(rows, _)| rows);
    let first = rows.first().map_or(&[][..], |(_, cells)| cells);
    let job = job_of(connection, &row).await?;
    let owner = tenant::by_ids(connection, Scope::All, [row.tenant_id])
        .await?
        .pop();
    let (tenant_id, tenant_name) =
        owner.map_or_else(Default::default, |owner| (owner.public_id, owner.name));
    let outcome = row.job_id.is_some().then_some(ImportOutcome {
        dry_run: row.dry_run,
        rows: row.rows_done,
        created: row.created,
        updated: row.updated,
        unchanged: row.unchanged,
        kept: row.kept,
        bad: row.bad,
    });
    Ok(ImportView {
        suggestion: mapping::suggest(first),
        sample: rows
            .into_iter()
            .map(|(row, cells)| SampleRow {
                row,
                cells: cells
                    .iter()
                    .map(|cell| cell.chars().take(SAMPLE_CHARS).collect())
                    .collect(),
            })
            .collect(),
        id: row.public_id,
        tenant_id,
        tenant_name,
        file_name: row.file_name,
        file_bytes: row.file_bytes,
        format: row.format,
        encoding: row.encoding,
        delimiter: row.delimiter,
        rows: row.row_count,
        job: job.map(JobView::from),
        outcome,
        ended_at: row.ended_at.map(rfc3339),
        created_by: row.created_by,
        created_at: rfc3339(row.created_at),
    })
}

async fn read_once(from: &Path, to: &Path, encoding: Option<String>) -> Result<Found, ApiError> {
    let (from, to) = (from.to_owned(), to.to_owned());
    let reading = move || read::plain_rows(&from, &to, encoding.as_deref());
    let reading = tokio::task::spawn_blocking(reading).await;
    match reading.map_err(ApiError::internal)? {
        Ok(found) => Ok(found),
        Err(Unread::Disk(error)) => Err(ApiError::internal(error)),
        Err(Unread::Refused(sentence)) => Err(ApiError::invalid("file", sentence)),
    }
}

/// A file that goes when this does, unless it is kept.
struct Kept {
    path: PathBuf,
    stays: bool,
}

impl Kept {
    fn new(path: PathBuf) -> Self {
        Self { path, stays: false }
    }

    fn keep(mut self) {
        self.stays = true;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.stays {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
