//! Runs that were kept: listed with what the books say of their calls, and removed.

use actix_web::{HttpResponse, delete, get, web};
use sea_orm::ConnectionTrait;
use serde::Serialize;
use serde_json::Value;
use steward_actors::domain::rid::RecordId;
use steward_entities::ledger::request_log::{self, RequestRow};
use steward_entities::prompt_run;
use utoipa::ToSchema;
use uuid::Uuid;

use super::keep::find;
use crate::error::ApiError;
use crate::http::change::{Audit, Change};
use crate::http::check;
use crate::http::extract::Json;
use crate::http::money::decimal;
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadPrompts, WritePrompts};
use crate::http::range::rfc3339;
use crate::state::AppState;

/// A run and what came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PromptRun {
    id: String,
    /// Number of the version.
    version: i64,
    model: String,
    token_id: String,
    #[schema(value_type = Object)]
    variables: Value,
    /// What the model said, as far as it came.
    text: String,
    /// The call's `x-request-id`.
    request_id: String,
    /// Null until the answer began.
    status_code: Option<i64>,
    /// Why there is no whole answer.
    error: Option<String>,
    created_by: String,
    created_at: String,
    /// Null while it runs, and for good when whoever asked left before its end.
    ended_at: Option<String>,
    /// What the books say; null until it is there, a moment after its end.
    call: Option<RunCall>,
}

/// What a run took.
#[derive(Debug, Serialize, ToSchema)]
struct RunCall {
    duration_ms: i64,
    ttft_ms: Option<i64>,
    prompt_tokens: i64,
    completion_tokens: i64,
    /// A decimal; null when no price was known.
    cost: Option<String>,
    currency: Option<String>,
    success: bool,
}

impl PromptRun {
    pub(super) fn of(row: prompt_run::Model, call: Option<RequestRow>) -> Self {
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            id: row.public_id,
            version: row.number,
            model: row.model,
            token_id: row.token_id,
            variables: serde_json::from_str(&row.variables).unwrap_or_default(),
            text: row.text,
            request_id: row.request_id,
            status_code: Some(row.status_code).filter(|code| *code != 0),
            error: given(row.error),
            created_by: row.created_by,
            created_at: rfc3339(row.created_at),
            ended_at: row.ended_at.map(rfc3339),
            call: call.map(|call| RunCall {
                duration_ms: call.duration_ms,
                ttft_ms: call.ttft_ms,
                prompt_tokens: call.prompt_tokens,
                completion_tokens: call.completion_tokens,
                cost: call.priced.then(|| decimal(call.cost_nano)),
                currency: call.priced.then_some(call.currency),
                success: call.success,
            }),
        }
    }
}

/// A prompt's runs, newest first.
#[utoipa::path(tag = "prompts", params(PageQuery), responses((status = 200, body = Page<PromptRun>)))]
#[get("/prompts/{id}/runs")]
pub(super) async fn runs(
    state: web::Data<AppState>,
    caller: Can<ReadPrompts>,
    id: web::Path<String>,
    page: PageRequest,
) -> Result<Json<Page<PromptRun>>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let row = find(read, &id).await?;
    let rows = prompt_run::list(read, row.id, page.rows()?).await?;
    let total = prompt_run::count(read, row.id).await?;
    let page = Page::of(rows, &page, Some(total), |row| row.id, |row| row);
    let mut items = Vec::with_capacity(page.items.len());
    for run in page.items {
        let call = call_of(&state.databases.ledger_read, &run.request_id).await?;
        items.push(PromptRun::of(run, call));
    }
    Ok(Json(Page {
        items,
        next_cursor: page.next_cursor,
        total: page.total,
        total_is_exact: page.total_is_exact,
    }))
}

async fn call_of(ledger: &impl ConnectionTrait, id: &str) -> Result<Option<RequestRow>, ApiError> {
    let Some(id) = Uuid::parse_str(id).ok().and_then(RecordId::from_uuid) else {
        return Ok(None);
    };
    let found = request_log::find(ledger, id.rid.0, id.tail.cast_signed()).await?;
    Ok(found.map(|found| found.row))
}

/// Removes a run. The call stays on the books.
#[utoipa::path(tag = "prompts", responses((status = 204)))]
#[delete("/prompts/{id}/runs/{run}")]
pub(super) async fn remove_run(
    state: web::Data<AppState>,
    caller: Can<WritePrompts>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let row = find(&state.databases.control_read, &path.0).await?;
    let change = Change::begin(&state, &caller).await?;
    if !prompt_run::remove(&change, row.id, &path.1).await? {
        return Err(ApiError::not_found("run"));
    }
    let audit = Audit::of("prompts.remove_run", "prompt", &row.public_id).with("run", &path.1);
    change.commit(audit).await?;
    Ok(HttpResponse::NoContent().finish())
}
