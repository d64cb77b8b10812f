//! Conversations that were kept, for tokens that ask for it: found, read, deleted, exported. Every reading is audited.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/conversations` | `read:conversations` |
//! | GET | `/conversations/search` | `read:conversations` |
//! | GET | `/conversations/stats` | `read:conversations` |
//! | GET | `/conversations/{id}` | `read:conversations` |
//! | DELETE | `/conversations/{id}` | `write:conversations` |
//! | POST | `/conversations/delete` | `write:conversations` |
//! | POST | `/conversations/export` | `read:conversations` |
//! | GET | `/conversations/export?ticket=` | `read:conversations` |
//!
//! `{id}` is one kept call, the id of its request; `?conversation_id=` gathers a thread. A conversation is here within a
//! second or so after its call ended. Backups made before a deletion still hold what was deleted, until they expire. The
//! audit tells that somebody searched, and by which filters, but not for what.

mod export;
mod tuning;
mod view;
mod which;

use actix_web::{HttpMessage, HttpRequest, HttpResponse, delete, get, post, web};
use serde::{Deserialize, Serialize};
use steward_actors::contents::deletion::{self, Asked};
use steward_actors::contents::store::{SearchCursor, StoreError};
use steward_actors::contents::words::Question;
use steward_actors::domain::rid::{RecordId, Rid};
use steward_entities::token;
use steward_entities::tombstone::{self, Selection};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::error::{ApiError, ErrorCode};
use crate::http::caller::Caller;
use crate::http::change::{Audit, Change};
use crate::http::download::{Asked as KeptRequest, TicketParam};
use crate::http::extract::{Json, Query};
use crate::http::job::JobAccepted;
use crate::http::page::{self, Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadConversations, WriteConversations};
use crate::http::range::{RangeQuery, TimeRange};
use crate::state::AppState;

use export::{ExportRequest, Format};
use view::{ConversationDetail, ConversationItem, SearchItem};
use which::Which;

const QUESTION_MAX_CHARS: usize = 200;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list)
        .service(search)
        .service(stats)
        .service(delete_many)
        .service(export_some)
        .service(export_by_link)
        .service(show)
        .service(remove);
}

/// What is looked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Words, beginnings of words, Chinese or Japanese text of one character and more, `"exact phrases"`; all of
    /// them must be there.
    #[param(min_length = 1, max_length = 200)]
    q: String,
}

/// What keeping conversations takes and saves.
#[derive(Debug, Serialize, ToSchema)]
struct ConversationStats {
    contents: i64,
    /// Packed for good: older than `compress_after_days`.
    compressed: i64,
    compress_after_days: u32,
    /// As it was said, in bytes.
    original_bytes: i64,
    /// As it lies on the disk, in bytes, search index apart.
    stored_bytes: i64,
    /// What packing saves, in per cent; null while there is nothing.
    saving_percent: Option<f64>,
    /// Tokens whose conversations are kept.
    tokens_logging: i64,
    /// Waiting in their journal.
    spooled: u64,
    /// Dropped from the journal because it was full.
    dropped: u64,
    /// Could not be taken into the journal since the process started.
    refused: u64,
    /// Cut short since the process started, because all calls under way held too much.
    starved: u64,
}

/// Whose conversations to delete. At least one of `token_id`, `tenant_id`, `user` or a range.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Deletion {
    token_id: Option<String>,
    tenant_id: Option<String>,
    /// Name of the end user.
    user: Option<String>,
    /// RFC 3339 or a date.
    from: Option<String>,
    /// RFC 3339 (exclusive) or a date (that day included).
    to: Option<String>,
}

/// Kept calls, newest first.
///
/// A filter that few calls pass answers with fewer rows than asked for, or none, and with a cursor to go on looking.
#[utoipa::path(
    tag = "conversations",
    params(Which, RangeQuery, PageQuery),
    responses((status = 200, body = Page<ConversationItem>))
)]
#[get("/conversations")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadConversations>,
    which: Query<Which>,
    range: TimeRange,
    page: PageRequest,
) -> Result<Json<Page<ConversationItem>>, ApiError> {
    refuse_numbers(&page)?;
    let Query(which) = which;
    let audit = Audit::of("conversations.list", "conversation", "").with("filter", &which);
    let filter = which.filter(&state, caller.operator.scope(), range).await?;
    let (rows, next) = state
        .contents
        .list(&filter, page.after()?, page.limit)
        .await
        .map_err(unreadable)?;
    told(&state, &caller, audit.with("shown", rows.len())).await?;
    Ok(Json(Page {
        items: rows.into_iter().map(ConversationItem::from).collect(),
        next_cursor: next.as_ref().map(page::cursor),
        total: None,
        total_is_exact: false,
    }))
}

/// What answers a question: the best of those found newest first, with the place where they do.
///
/// Looked through are the first 60,000 words of a call, shared between what was asked and what was answered, and among
/// them up to 4,000 of the messages before and the instructions. What lies beyond is kept, but not found.
#[utoipa::path(
    tag = "conversations",
    params(Wanted, Which, RangeQuery, PageQuery),
    responses((status = 200, body = Page<SearchItem>))
)]
#[get("/conversations/search")]
async fn search(
    state: web::Data<AppState>,
    caller: Can<ReadConversations>,
    wanted: Query<Wanted>,
    which: Query<Which>,
    range: TimeRange,
    page: PageRequest,
) -> Result<Json<Page<SearchItem>>, ApiError> {
    refuse_numbers(&page)?;
    let Query(Wanted { q }) = wanted;
    let question =
        question(&q).map_err(|wrong| ApiError::new(ErrorCode::RequestInvalid).field("q", wrong))?;
    let Query(which) = which;
    // Not the question itself: the audit is for ever, and names and numbers of people are what is looked for.
    let audit = Audit::of("conversations.search", "conversation", "")
        .with("q_characters", q.chars().count())
        .with("filter", &which);
    let filter = which.filter(&state, caller.operator.scope(), range).await?;
    let found = state
        .contents
        .search(
            &filter,
            &question,
            page.after::<SearchCursor>()?,
            page.limit,
        )
        .await
        .map_err(unreadable)?;
    told(&state, &caller, audit.with("shown", found.hits.len())).await?;
    Ok(Json(Page {
        items: found.hits.into_iter().map(SearchItem::from).collect(),
        next_cursor: found.next.as_ref().map(page::cursor),
        total: None,
        total_is_exact: false,
    }))
}

/// What is looked for, else a sentence that says what is wrong with it.
fn question(q: &str) -> Result<Question, String> {
    let question = Question::parse(q);
    if question.is_empty() || q.chars().count() > QUESTION_MAX_CHARS {
        return Err(format!(
            "must hold a letter or digit and have at most {QUESTION_MAX_CHARS} characters"
        ));
    }
    Ok(question)
}

/// What keeping conversations takes and saves.
#[utoipa::path(tag = "conversations", responses((status = 200, body = ConversationStats)))]
#[get("/conversations/stats")]
async fn stats(
    state: web::Data<AppState>,
    caller: Can<ReadConversations>,
) -> Result<Json<ConversationStats>, ApiError> {
    crate::http::check::whole_installation(&caller)?;
    let totals = state.contents.totals().await.map_err(unreadable)?;
    let tokens = token::all_live(&state.databases.control_read).await?;
    let logging = tokens
        .iter()
        .filter(|token| token.enable_conversation_logging)
        .count();
    let intake = state.intake.read();
    let spool = state.intake.spool().ledger();
    let saving = (totals.original_bytes > 0).then(|| {
        let share = totals.stored_bytes as f64 / totals.original_bytes as f64;
        ((1.0 - share) * 1_000.0).round() / 10.0
    });
    Ok(Json(ConversationStats {
        contents: totals.contents,
        compressed: totals.compressed,
        compress_after_days: (state.settings.load().compress_after.as_secs() / 86_400) as u32,
        original_bytes: totals.original_bytes,
        stored_bytes: totals.stored_bytes,
        saving_percent: saving,
        tokens_logging: i64::try_from(logging).unwrap_or(i64::MAX),
        spooled: spool.spooled,
        dropped: spool.dropped,
        refused: intake.refused,
        starved: intake.starved,
    }))
}

/// One kept call, with what was said.
#[utoipa::path(tag = "conversations", responses((status = 200, body = ConversationDetail)))]
#[get("/conversations/{id}")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadConversations>,
    id: web::Path<String>,
) -> Result<Json<ConversationDetail>, ApiError> {
    let found = find(&state, &caller, &id).await?;
    let audit = Audit::of("conversations.read", "conversation", &id);
    told(&state, &caller, audit).await?;
    Ok(Json(found.into()))
}

/// Deletes one kept call. What the books say about it stays.
#[utoipa::path(tag = "conversations", responses((status = 204)))]
#[delete("/conversations/{id}")]
async fn remove(
    state: web::Data<AppState>,
    caller: Can<WriteConversations>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let rid = find(&state, &caller, &id).await?.row.rid;
    let change = Change::begin(&state, &caller).await?;
    let selection = Selection {
        rid_from: rid,
        rid_to: rid.saturating_add(1),
        ..Selection::default()
    };
    tombstone::insert(&*change, selection, String::new(), change.now).await?;
    change
        .commit(Audit::of("conversations.delete", "conversation", &id))
        .await?;
    state.contents.delete_one(rid).await.map_err(unreadable)?;
    Ok(HttpResponse::NoContent().finish())
}

/// Deletes the kept calls of a token, a tenant, an end user or a time, as a job. They do not come back; calls made after this
/// request are kept as before. A key or tenant that is not known is refused.
#[utoipa::path(tag = "conversations", responses((status = 202, body = JobAccepted)))]
#[post("/conversations/delete")]
async fn delete_many(
    state: web::Data<AppState>,
    caller: Can<WriteConversations>,
    Json(asked): Json<Deletion>,
) -> Result<HttpResponse, ApiError> {
    let range = TimeRange::parse(
        &RangeQuery::between(asked.from.clone(), asked.to.clone()),
        state.clock.now_micros(),
        state.time_zone,
    )?;
    let named = [
        ("token_id", &asked.token_id),
        ("tenant_id", &asked.tenant_id),
        ("user", &asked.user),
    ];
    // An empty filter filters nothing: taken for a condition it would delete everything.
    let empty = named
        .iter()
        .find(|(_, value)| value.as_deref().is_some_and(str::is_empty));
    if let Some((field, _)) = empty {
        return Err(ApiError::invalid(*field, "must not be empty"));
    }
    let some = named.iter().any(|(_, value)| value.is_some());
    if !some && range.is_unbounded() {
        return Err(ApiError::invalid(
            "body",
            "must name a token, a tenant, a user or a range of time",
        ));
    }
    let which = Which::of(
        asked.token_id.clone(),
        asked.tenant_id.clone(),
        asked.user.clone(),
    );
    let filter = which.known(&state, caller.operator.scope(), range).await?;
    let change = Change::begin(&state, &caller).await?;
    let now = Rid::floor_of_ms(change.now / 1_000 + 1).0;
    let params = Asked {
        rid_from: filter.rid_from.unwrap_or(0),
        rid_to: filter.rid_to.unwrap_or(now).min(now),
        token_key: filter.token_id,
        tenant_key: filter.tenant_id,
        end_user: filter.end_user,
    };
    let stored = serde_json::to_value(&params).map_err(ApiError::internal)?;
    let row = change.queue(deletion::DELETE, stored).await?;
    tombstone::insert(&*change, params.into(), row.public_id.clone(), change.now).await?;
    let audit = Audit::of("conversations.delete_many", "job", &row.public_id).with("asked", &asked);
    change.queued(audit, row).await
}

/// Exports a selection or what a filter finds, newest first, or what answers a question, as the search ranks it; streamed:
/// `json` (one array), `jsonl` (a line a call) or `openai` (lines for fine-tuning in OpenAI's format, whichever provider
/// answered: `{"messages": […], "tools": […]}` with `tool_calls` and what tools answered; calls without an answer left out).
#[utoipa::path(
    tag = "conversations",
    responses((
        status = 200,
        content((String = "application/x-ndjson"), (Vec<serde_json::Value> = "application/json"))
    ))
)]
#[post("/conversations/export")]
async fn export_some(
    state: web::Data<AppState>,
    caller: Can<ReadConversations>,
    Json(asked): Json<ExportRequest>,
) -> Result<HttpResponse, ApiError> {
    file(&state, &caller, asked).await
}

/// The same by a link: what to export was said when the ticket was asked for.
#[utoipa::path(
    tag = "conversations",
    params(TicketParam),
    responses((
        status = 200,
        content((String = "application/x-ndjson"), (Vec<serde_json::Value> = "application/json"))
    ))
)]
#[get("/conversations/export")]
async fn export_by_link(
    state: web::Data<AppState>,
    caller: Can<ReadConversations>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let asked = request.extensions_mut().remove::<KeptRequest>();
    let KeptRequest(asked) = asked.ok_or_else(|| ApiError::new(ErrorCode::TicketInvalid))?;
    let asked = serde_json::from_value(asked)
        .map_err(|cause| ApiError::invalid("body", cause.to_string()))?;
    file(&state, &caller, asked).await
}

async fn file(
    state: &AppState,
    caller: &Caller,
    asked: ExportRequest,
) -> Result<HttpResponse, ApiError> {
    let audit = Audit::of("conversations.export", "conversation", "")
        .with("q_characters", asked.q.as_ref().map(|q| q.chars().count()))
        .with("asked", &asked);
    let plan = export::plan(state, caller.operator.scope(), asked).await?;
    told(state, caller, audit).await?;
    let (kind, name) = match plan.format {
        Format::Json => ("application/json", "conversations.json"),
        Format::Jsonl | Format::Openai => ("application/x-ndjson", "conversations.jsonl"),
    };
    Ok(HttpResponse::Ok()
        .content_type(kind)
        .insert_header((
            "content-disposition",
            format!("attachment; filename=\"{name}\""),
        ))
        .streaming(export::stream(std::sync::Arc::clone(&state.contents), plan)))
}

async fn find(
    state: &AppState,
    caller: &Caller,
    id: &str,
) -> Result<steward_actors::contents::store::Hit, ApiError> {
    let missing = || ApiError::not_found("conversation");
    let id = Uuid::parse_str(id)
        .ok()
        .and_then(RecordId::from_uuid)
        .ok_or_else(missing)?;
    state
        .contents
        .find(id.rid.0, id.tail.cast_signed())
        .await
        .map_err(unreadable)?
        .filter(|found| which::may_see(caller.operator.scope(), found.row.tenant_id))
        .ok_or_else(missing)
}

/// Writes down who read what, before it is answered.
async fn told(state: &AppState, caller: &Caller, audit: Audit) -> Result<(), ApiError> {
    Change::begin(state, caller).await?.commit(audit).await
}

fn refuse_numbers(page: &PageRequest) -> Result<(), ApiError> {
    if page.offset > 0 {
        return Err(ApiError::new(ErrorCode::RequestInvalid)
            .field("page", "is not known here; follow next_cursor instead"));
    }
    Ok(())
}

fn unreadable(error: StoreError) -> ApiError {
    match error {
        StoreError::Database(error) => error.into(),
        other => ApiError::internal(other.to_string()),
    }
}
