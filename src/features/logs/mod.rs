//! The request log as operators read it, and the records no table took. Written by the ledger alone.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/logs/requests` | `read:logs` |
//! | GET | `/logs/requests/export` | `read:logs` |
//! | GET | `/logs/requests/{id}` | `read:logs` |
//! | GET | `/logs/dead-letters` | `read:logs` |
//! | POST | `/logs/dead-letters/replay` | `write:logs` |
//!
//! A record is on the books, and so in these answers, within the flush interval after the call ended.

pub(crate) mod console;
mod export;
mod given;
mod parquet;
mod which;

use actix_web::{HttpResponse, get, post, web};
use serde::Serialize;
use serde_json::json;
use steward_actors::domain::record::{Mode, Operation, Record, Source};
use steward_actors::domain::rid::{RecordId, Rid};
use steward_entities::ledger::dead_letter::{self, DeadLetterRow};
use steward_entities::ledger::request_attempt::AttemptRow;
use steward_entities::ledger::request_filter::RequestFilter;
use steward_entities::ledger::request_log::{self, RequestRow};
use steward_entities::ledger::request_page::{self, RequestCursor, RequestSort};
use steward_entities::scope::Scope;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::error::{ApiError, ErrorCode};
use crate::http::change::{Audit, Change};
use crate::http::check;
use crate::http::extract::{Json, Query};
use crate::http::job::JobAccepted;
use crate::http::money::decimal;
use crate::http::page::{self, Page, PageQuery, PageRequest, Sort};
use crate::http::permission::{Can, ReadLogs, WriteLogs};
use crate::http::range::{RangeQuery, TimeRange, rfc3339};
use crate::state::AppState;
use given::KnowledgeGiven;
use which::Which;

/// The kind of job that gives dead letters another try.
const REPLAY: &str = "dead_letters.replay";
/// Dead letters that numbered pages reach.
const LETTERS_MAX: u64 = 1_000;
/// Reads of the log that one numbered page may take.
const SKIPS_MAX: usize = 16;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list)
        // Before the one that takes any id.
        .service(export::export)
        .service(show)
        .service(dead_letters)
        .service(replay);
}

/// What the books say about a call.
#[derive(Debug, Serialize, ToSchema)]
struct RequestFacts {
    /// The `x-request-id` of its answer.
    id: String,
    token_id: Option<String>,
    token_name: Option<String>,
    /// Null when no account was involved.
    account_id: Option<String>,
    account_name: Option<String>,
    tenant_id: Option<String>,
    app: Option<String>,
    user_name: Option<String>,
    /// `api` or `web`.
    mode: &'static str,
    provider: String,
    /// Model asked for.
    model: Option<String>,
    /// Model that answered.
    upstream_model: Option<String>,
    /// `chat`, `responses`, `completion`, `embedding`, `messages`, `count_tokens`, `vector_query` or
    /// `unknown`.
    operation: &'static str,
    stream: bool,
    request_at: String,
    response_at: String,
    duration_ms: i64,
    /// Until the first content token; null when none came.
    ttft_ms: Option<i64>,
    prompt_tokens: i64,
    completion_tokens: i64,
    total_tokens: i64,
    cached_tokens: i64,
    cache_write_tokens: i64,
    /// Of those written to a cache: kept there for an hour.
    cache_write_1h_tokens: i64,
    reasoning_tokens: i64,
    /// What the provider counts in place of tokens: the read units of a vector store.
    units: i64,
    /// The provider told no usage; it was counted here.
    usage_estimated: bool,
    /// A decimal; null when no price was known.
    cost: Option<String>,
    currency: Option<String>,
    priced: bool,
    /// What the caller saw; 499 when the caller left.
    status_code: i32,
    success: bool,
    error_code: Option<String>,
    error_message: Option<String>,
    conversation_id: Option<String>,
    /// The version of a prompt that the caller named: `name@number`.
    prompt: Option<String>,
    /// `gateway`, `otlp` or `ingest`.
    source: &'static str,
}

/// A call.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RequestItem {
    #[serde(flatten)]
    facts: RequestFacts,
    /// Tries on accounts.
    attempts: i16,
}

/// A call and every try it took.
#[derive(Debug, Serialize, ToSchema)]
struct RequestDetail {
    #[serde(flatten)]
    facts: RequestFacts,
    tenant_name: Option<String>,
    /// The provider's own id of the call.
    upstream_request_id: Option<String>,
    /// Where the call came from, when that is recorded.
    client_ip: Option<String>,
    /// The node that served it.
    node: i16,
    /// What of its tenant's knowledge it was given as context; null when its token wants none.
    knowledge: Option<KnowledgeGiven>,
    attempts: Vec<AttemptView>,
}

/// One try on one account.
#[derive(Debug, Serialize, ToSchema)]
struct AttemptView {
    /// From 1.
    ordinal: i16,
    account_id: Option<String>,
    account_name: Option<String>,
    started_at: String,
    duration_ms: i64,
    /// The provider's; null when it gave none.
    status_code: Option<i32>,
    error_code: Option<String>,
}

/// A record no table took.
#[derive(Debug, Serialize, ToSchema)]
struct DeadLetterView {
    id: String,
    /// The node that accepted it.
    node: i32,
    /// Its number in that node's spool.
    seq: i64,
    /// When the call was accepted; null when the record cannot be read.
    accepted_at: Option<String>,
    reason: String,
    created_at: String,
    /// When a replay put it on the books.
    replayed_at: Option<String>,
}

impl From<RequestRow> for RequestFacts {
    fn from(row: RequestRow) -> Self {
        let id = RecordId {
            rid: Rid(row.rid),
            tail: row.id_tail.cast_unsigned(),
        };
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Self {
            id: id.to_string(),
            token_id: row.token_public_id,
            token_name: given(row.token_name),
            account_id: row.account_public_id,
            account_name: given(row.account_name),
            tenant_id: row.tenant_public_id,
            app: given(row.app),
            user_name: given(row.user_name),
            mode: which::mode_word(Mode::try_from(i32::from(row.mode))),
            provider: row.provider,
            model: given(row.model),
            upstream_model: given(row.upstream_model),
            operation: operation_word(Operation::try_from(i32::from(row.operation))),
            stream: row.stream,
            request_at: rfc3339(row.request_at),
            response_at: rfc3339(row.response_at),
            duration_ms: row.duration_ms,
            ttft_ms: row.ttft_ms,
            prompt_tokens: row.prompt_tokens,
            completion_tokens: row.completion_tokens,
            total_tokens: row.total_tokens,
            cached_tokens: row.cached_tokens,
            cache_write_tokens: row.cache_write_tokens,
            cache_write_1h_tokens: row.cache_write_1h_tokens,
            units: row.units,
            reasoning_tokens: row.reasoning_tokens,
            usage_estimated: row.usage_estimated,
            cost: row.priced.then(|| decimal(row.cost_nano)),
            currency: row.priced.then_some(row.currency),
            priced: row.priced,
            status_code: row.status_code,
            success: row.success,
            error_code: given(row.error_code),
            error_message: given(row.error_message),
            conversation_id: given(row.conversation_id),
            prompt: given(row.prompt),
            source: source_word(Source::try_from(i32::from(row.source))),
        }
    }
}

impl From<RequestRow> for RequestItem {
    fn from(row: RequestRow) -> Self {
        Self {
            attempts: row.attempts,
            facts: row.into(),
        }
    }
}

/// A call as the list shows it, from its record: the moment it comes onto the books.
pub(crate) fn live(record: &Record) -> RequestItem {
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    RequestItem {
        attempts: i16::try_from(record.attempts.len()).unwrap_or(i16::MAX),
        facts: RequestFacts {
            id: record.id().to_string(),
            token_id: given(&record.token_public_id),
            token_name: given(&record.token_name),
            account_id: given(&record.account_public_id),
            account_name: given(&record.account_name),
            tenant_id: given(&record.tenant_public_id),
            app: given(&record.app),
            user_name: given(&record.end_user),
            mode: which::mode_word(Mode::try_from(record.mode)),
            provider: record.provider.clone(),
            model: given(&record.model),
            upstream_model: given(&record.upstream_model),
            operation: operation_word(Operation::try_from(record.operation)),
            stream: record.stream,
            request_at: rfc3339(record.request_at),
            response_at: rfc3339(record.response_at),
            duration_ms: record.duration_ms,
            ttft_ms: record.ttft_ms,
            prompt_tokens: record.prompt_tokens,
            completion_tokens: record.completion_tokens,
            total_tokens: record.total_tokens,
            cached_tokens: record.cached_tokens,
            cache_write_tokens: record.cache_write_tokens,
            cache_write_1h_tokens: record.cache_write_1h_tokens,
            units: record.units,
            reasoning_tokens: record.reasoning_tokens,
            usage_estimated: record.usage_estimated,
            cost: record.priced.then(|| decimal(record.cost_nano)),
            currency: record.priced.then(|| record.currency.clone()),
            priced: record.priced,
            status_code: record.status_code,
            success: record.success,
            error_code: given(&record.error_code),
            error_message: given(&record.error_message),
            conversation_id: given(&record.conversation_id),
            prompt: given(&record.prompt),
            source: source_word(Source::try_from(record.source)),
        },
    }
}

impl From<AttemptRow> for AttemptView {
    fn from(row: AttemptRow) -> Self {
        Self {
            ordinal: row.ordinal,
            account_id: row.account_public_id,
            account_name: row.account_name,
            started_at: rfc3339(row.started_at),
            duration_ms: row.duration_ms,
            status_code: Some(row.status_code).filter(|status| *status != 0),
            error_code: row.error_code.filter(|code| !code.is_empty()),
        }
    }
}

impl From<DeadLetterRow> for DeadLetterView {
    fn from(row: DeadLetterRow) -> Self {
        Self {
            id: format!("{}-{}", row.node, row.seq),
            node: row.node,
            seq: row.seq,
            accepted_at: row.rid.map(|rid| rfc3339(Rid(rid).ms() * 1_000)),
            reason: row.reason,
            created_at: rfc3339(row.created_at),
            replayed_at: row.replayed_at.map(rfc3339),
        }
    }
}

fn operation_word<E>(operation: Result<Operation, E>) -> &'static str {
    match operation {
        Ok(Operation::Chat) => "chat",
        Ok(Operation::Responses) => "responses",
        Ok(Operation::Completion) => "completion",
        Ok(Operation::Embedding) => "embedding",
        Ok(Operation::Messages) => "messages",
        Ok(Operation::CountTokens) => "count_tokens",
        Ok(Operation::VectorQuery) => "vector_query",
        Ok(Operation::Unknown) | Err(_) => "unknown",
    }
}

fn source_word<E>(source: Result<Source, E>) -> &'static str {
    match source {
        Ok(Source::Otlp) => "otlp",
        Ok(Source::Ingest) => "ingest",
        Ok(Source::Gateway) | Err(_) => "gateway",
    }
}

/// Calls, newest first unless sorted otherwise.
///
/// A filter that few calls pass answers with fewer rows than asked for, or none, and with a cursor to go on
/// looking: only a bounded stretch of the log is read per request. Other orders than the time's hold within
/// such stretches, the newest first.
#[utoipa::path(
    tag = "logs",
    params(Which, RangeQuery, PageQuery, Sort),
    responses((status = 200, body = Page<RequestItem>))
)]
#[get("/logs/requests")]
pub(crate) async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadLogs>,
    which: Query<Which>,
    range: TimeRange,
    page: PageRequest,
    sort: Sort,
) -> Result<Json<Page<RequestItem>>, ApiError> {
    let read = &state.databases.ledger_read;
    let Query(which) = which;
    let filter = which.filter(read, caller.operator.scope(), range).await?;
    let sort = which::order(&sort)?;
    let Some(start) = after_skipping(&state, &filter, sort, &page).await? else {
        return Ok(Json(Page {
            items: Vec::new(),
            next_cursor: None,
            total: None,
            total_is_exact: false,
        }));
    };
    let found = request_page::list(read, &filter, sort, start, page.limit).await?;
    let count = request_page::count(read, &filter).await?;
    Ok(Json(Page {
        items: found.rows.into_iter().map(RequestItem::from).collect(),
        next_cursor: found.next.as_ref().map(page::cursor),
        total: Some(count.total),
        total_is_exact: count.is_exact,
    }))
}

/// Where a page begins; `None` when the list ends before it. Numbered pages read over what lies before them.
async fn after_skipping(
    state: &AppState,
    filter: &RequestFilter,
    sort: RequestSort,
    page: &PageRequest,
) -> Result<Option<Option<RequestCursor>>, ApiError> {
    let read = &state.databases.ledger_read;
    let mut after = page.after::<RequestCursor>()?;
    let mut left = page.offset;
    for _ in 0..SKIPS_MAX {
        if left == 0 {
            return Ok(Some(after));
        }
        let limit = left.min(request_page::LIMIT_MAX);
        let skipped = request_page::list(read, filter, sort, after, limit).await?;
        left -= skipped.rows.len() as u64;
        match skipped.next {
            Some(next) => after = Some(next),
            None => return Ok(None),
        }
    }
    Err(ApiError::new(ErrorCode::ScanBudgetExceeded)
        .detail("The numbered page lies too deep for this filter; follow next_cursor instead."))
}

/// One call.
#[utoipa::path(tag = "logs", responses((status = 200, body = RequestDetail)))]
#[get("/logs/requests/{id}")]
pub(crate) async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadLogs>,
    id: web::Path<String>,
) -> Result<Json<RequestDetail>, ApiError> {
    let missing = || ApiError::not_found("request");
    let id = Uuid::parse_str(&id)
        .ok()
        .and_then(RecordId::from_uuid)
        .ok_or_else(missing)?;
    let read = &state.databases.ledger_read;
    let found = request_log::find(read, id.rid.0, id.tail.cast_signed())
        .await?
        .filter(|found| match caller.operator.scope() {
            Scope::All => true,
            Scope::Tenant(own) => found.row.tenant_id == own,
        })
        .ok_or_else(missing)?;
    let row = found.row;
    let knowledge = given::given(&state, &caller, row.knowledge.as_deref()).await?;
    Ok(Json(RequestDetail {
        knowledge,
        tenant_name: row.tenant_name.clone(),
        upstream_request_id: row.upstream_request_id.clone(),
        client_ip: row.client_ip.clone(),
        node: row.node,
        attempts: found.attempts.into_iter().map(AttemptView::from).collect(),
        facts: row.into(),
    }))
}

/// Records no table took, newest first.
#[utoipa::path(tag = "logs", params(PageQuery), responses((status = 200, body = Page<DeadLetterView>)))]
#[get("/logs/dead-letters")]
pub(crate) async fn dead_letters(
    state: web::Data<AppState>,
    caller: Can<ReadLogs>,
    page: PageRequest,
) -> Result<Json<Page<DeadLetterView>>, ApiError> {
    check::whole_installation(&caller)?;
    let rows = page.rows()?;
    if rows.limit > LETTERS_MAX {
        return Err(ApiError::new(ErrorCode::RequestInvalid)
            .field("page", "lies too deep; follow next_cursor instead"));
    }
    let read = &state.databases.ledger_read;
    let rows = dead_letter::list(read, rows.after, rows.limit).await?;
    let page = Page::of(rows, &page, None, |row| row.id, DeadLetterView::from);
    Ok(Json(page))
}

/// Gives every dead letter another try, after whatever refused it was mended.
#[utoipa::path(tag = "logs", responses((status = 202, body = JobAccepted)))]
#[post("/logs/dead-letters/replay")]
pub(crate) async fn replay(
    state: web::Data<AppState>,
    caller: Can<WriteLogs>,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let row = change.queue(REPLAY, json!({})).await?;
    let audit = Audit::of("dead_letters.replay", "job", &row.public_id);
    change.queued(audit, row).await
}

#[cfg(test)]
mod tests;
