//! `POST /api/v1/ingest/records`: finished calls as plain JSON, up to a thousand at a time.
//!
//! Every record stands for itself: those that are wrong are named by index and field, the others are booked. A
//! client's own `id` makes sending again harmless.

use actix_web::{HttpRequest, post, web};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use steward_actors::domain::price::Currency;
use steward_actors::domain::record::{COST_MAX_NANO, Operation, Record, Source, TOKENS_MAX};
use steward_actors::domain::seen;
use steward_actors::domain::snapshot::TokenView;
use utoipa::ToSchema;

use super::body;
use crate::error::{ApiError, ErrorCode};
use crate::gateway::redact;
use crate::http::extract::Json;
use crate::http::money::nano;
use crate::http::range::parse_time;
use crate::state::AppState;

/// Most records of a batch.
const RECORDS_MAX: usize = 1_000;
/// Largest body, packed or not.
const BODY_MAX_BYTES: usize = 8 << 20;
/// Longest duration: 30 days.
const DURATION_MAX_MS: i64 = 30 * 86_400_000;
/// A clock that is ahead of ours by more is not believed.
const AHEAD_MAX_MICROS: i64 = 5 * 60 * 1_000_000;
/// 2000-01-01.
const EARLIEST_MICROS: i64 = 946_684_800_000_000;
const ID_MAX_BYTES: usize = 256;

/// Finished calls.
#[derive(Debug, Deserialize, ToSchema)]
#[allow(dead_code, reason = "the document's; a batch is read record by record")]
pub(super) struct Batch {
    /// At most 1,000.
    records: Vec<ToldRecord>,
}

#[derive(Deserialize)]
struct RawBatch<'a> {
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ToldOperation {
    #[default]
    Unknown,
    Chat,
    Responses,
    Completion,
    Embedding,
    Messages,
    CountTokens,
    VectorQuery,
}

/// One finished call.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToldRecord {
    /// The client's own id of the call, at most 256 bytes; the same id with the same token is booked once within
    /// 48 hours.
    id: Option<String>,
    /// The provider's id of its answer. A call of which the gateway or a span has told already is not booked again.
    response_id: Option<String>,
    /// Who ran the model: `openai`, `anthropic`, …
    provider: String,
    /// Model asked for.
    model: String,
    /// Model that answered.
    upstream_model: Option<String>,
    #[serde(default)]
    #[schema(inline)]
    operation: ToldOperation,
    #[serde(default)]
    stream: bool,
    /// When the call was made, RFC 3339.
    request_at: String,
    /// At most 30 days.
    #[serde(default)]
    #[schema(minimum = 0)]
    duration_ms: i64,
    /// Until the first content token.
    #[schema(minimum = 0)]
    ttft_ms: Option<i64>,
    /// All input, cached and cache-written included.
    #[serde(default)]
    #[schema(minimum = 0)]
    prompt_tokens: i64,
    #[serde(default)]
    #[schema(minimum = 0)]
    completion_tokens: i64,
    /// Never less than prompt and completion together.
    #[schema(minimum = 0)]
    total_tokens: Option<i64>,
    #[serde(default)]
    #[schema(minimum = 0)]
    cached_tokens: i64,
    #[serde(default)]
    #[schema(minimum = 0)]
    cache_write_tokens: i64,
    /// Of those written to a cache: kept there for an hour.
    #[serde(default)]
    #[schema(minimum = 0)]
    cache_write_1h_tokens: i64,
    #[serde(default)]
    #[schema(minimum = 0)]
    reasoning_tokens: i64,
    /// What it cost, a decimal up to 10000 with at most nine digits after the point; without it the price in force counts.
    cost: Option<String>,
    /// `USD` or `CNY`; needed with `cost`.
    currency: Option<String>,
    /// HTTP status of the answer; 200 when absent. From 400 on the call failed.
    #[schema(minimum = 100, maximum = 599)]
    status_code: Option<i32>,
    error_code: Option<String>,
    error_message: Option<String>,
    /// The token's own app wins.
    app: Option<String>,
    /// End user.
    user: Option<String>,
    conversation_id: Option<String>,
}

/// What became of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ingested {
    /// Records that are on the books, or were recognised as told before.
    accepted: usize,
    rejected: usize,
    /// What is wrong with the others.
    errors: Vec<RecordError>,
}

/// What is wrong with a record.
#[derive(Debug, Serialize, ToSchema)]
struct RecordError {
    /// Its place in the batch, from 0.
    index: usize,
    /// Its field; `record` when the whole is meant.
    field: String,
    message: String,
}

/// Books calls made elsewhere, signed in with a token. What is accepted is as safe as the gateway's own records
/// when this answers.
#[utoipa::path(
    tag = "ingest",
    security(("token" = [])),
    request_body = Batch,
    responses((status = 200, body = Ingested))
)]
#[post("/ingest/records")]
pub(super) async fn records(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<Json<Ingested>, ApiError> {
    let token = state.gateway.sign_in(request.headers()).map_err(refusal)?;
    if !is_json(&request) {
        return Err(ApiError::new(ErrorCode::MediaTypeUnsupported));
    }
    let body = body::read(&request, payload, BODY_MAX_BYTES).await;
    let body = body.map_err(ApiError::new)?;
    let batch: RawBatch<'_> = serde_json::from_slice(&body)
        .map_err(|fault| ApiError::new(ErrorCode::BodyInvalid).detail(fault.to_string()))?;
    if batch.records.len() > RECORDS_MAX {
        return Err(ApiError::invalid("records", "must be at most 1000"));
    }
    let now = state.clock.now_micros();
    let mut good = Vec::with_capacity(batch.records.len());
    let mut errors = Vec::new();
    for (index, raw) in batch.records.into_iter().enumerate() {
        match read(raw.get()).and_then(|told| record(told, &token, now)) {
            Ok(record) => good.push(record),
            Err((field, message)) => errors.push(RecordError {
                index,
                field,
                message,
            }),
        }
    }
    let accepted = good.len();
    state.gateway.book(good).await.map_err(refusal)?;
    Ok(Json(Ingested {
        accepted,
        rejected: errors.len(),
        errors,
    }))
}

fn refusal(code: ErrorCode) -> ApiError {
    match code {
        ErrorCode::LedgerFull => ApiError::new(code).retry_after_s(5),
        code => ApiError::new(code),
    }
}

fn is_json(request: &HttpRequest) -> bool {
    let value = request.headers().get("content-type");
    value.is_none_or(|value| {
        let essence = value.to_str().unwrap_or_default().split(';').next();
        essence.is_some_and(|text| text.trim().eq_ignore_ascii_case("application/json"))
    })
}

/// Field and complaint.
type Fault = (String, String);

fn read(text: &str) -> Result<ToldRecord, Fault> {
    let mut reader = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut reader).map_err(|fault| {
        let field = match fault.path().to_string() {
            path if path == "." => "record".to_owned(),
            path => path,
        };
        let message = fault.into_inner().to_string();
        let end = message.rfind(" at line ").unwrap_or(message.len());
        (field, message[..end].to_owned())
    })
}

fn record(mut told: ToldRecord, token: &TokenView, now: i64) -> Result<Record, Fault> {
    let wrong = |field: &str, message: &str| Err((field.to_owned(), message.to_owned()));
    for (field, count) in [
        ("prompt_tokens", told.prompt_tokens),
        ("completion_tokens", told.completion_tokens),
        ("total_tokens", told.total_tokens.unwrap_or_default()),
        ("cached_tokens", told.cached_tokens),
        ("cache_write_tokens", told.cache_write_tokens),
        ("cache_write_1h_tokens", told.cache_write_1h_tokens),
        ("reasoning_tokens", told.reasoning_tokens),
    ] {
        if !(0..=TOKENS_MAX).contains(&count) {
            return wrong(field, "must be between 0 and 68719476736");
        }
    }
    if told.cached_tokens + told.cache_write_tokens > told.prompt_tokens {
        return wrong(
            "prompt_tokens",
            "must include the cached and the cache-written ones",
        );
    }
    if told.cache_write_1h_tokens > told.cache_write_tokens {
        return wrong(
            "cache_write_tokens",
            "must include those that are kept for an hour",
        );
    }
    if !(0..=DURATION_MAX_MS).contains(&told.duration_ms) {
        return wrong("duration_ms", "must be between 0 and 30 days");
    }
    if told
        .ttft_ms
        .is_some_and(|ttft| !(0..=told.duration_ms).contains(&ttft))
    {
        return wrong("ttft_ms", "must be between 0 and duration_ms");
    }
    if told.model.trim().is_empty() {
        return wrong("model", "must not be empty");
    }
    if told.provider.trim().is_empty() {
        return wrong("provider", "must not be empty");
    }
    // Counting tokens uses none, and nobody charges for it: those it tells are its answer.
    if matches!(told.operation, ToldOperation::CountTokens) {
        told.prompt_tokens = 0;
        told.completion_tokens = 0;
        told.total_tokens = None;
        told.cached_tokens = 0;
        told.cache_write_tokens = 0;
        told.cache_write_1h_tokens = 0;
        told.reasoning_tokens = 0;
    }
    let request_at = match parse_time(&told.request_at, "request_at") {
        Ok(at) if (EARLIEST_MICROS..=now + AHEAD_MAX_MICROS).contains(&at) => at,
        Ok(_) => return wrong("request_at", "must lie between 2000 and now"),
        Err(_) => return wrong("request_at", "must be a time like 2026-03-15T18:30:00Z"),
    };
    let status_code = told.status_code.unwrap_or(200);
    if !(100..=599).contains(&status_code) {
        return wrong("status_code", "must be between 100 and 599");
    }
    if told
        .id
        .as_ref()
        .is_some_and(|id| id.is_empty() || id.len() > ID_MAX_BYTES)
    {
        return wrong("id", "must have between 1 and 256 bytes");
    }
    let currency = told.currency.unwrap_or_default();
    let cost_nano = match &told.cost {
        None => None,
        // Sums are kept in these two; a charge in another would be lost from every one of them.
        Some(_) if Currency::parse(&currency).is_none() => {
            return wrong("currency", "must be USD or CNY; convert other charges");
        }
        Some(cost) => match nano(cost).filter(|nano| *nano <= COST_MAX_NANO) {
            Some(nano) => Some(nano),
            None => {
                return wrong(
                    "cost",
                    "must be a decimal such as 0.0125, between 0 and 10000",
                );
            }
        },
    };
    let mut seen_keys = Vec::new();
    seen_keys.extend(told.id.as_deref().map(|id| seen::client(token.id, id)));
    let response = told.response_id.as_deref();
    seen_keys.extend(response.and_then(|id| seen::response(token.tenant_id, id)));
    let success = status_code < 400;
    let app = if token.app.is_empty() {
        told.app.unwrap_or_default()
    } else {
        token.app.clone()
    };
    let error_code = match told.error_code {
        Some(code) if !success => code,
        None if !success => ErrorCode::UpstreamError.slug().to_owned(),
        _ => String::new(),
    };
    let mut record = Record {
        token_id: token.id,
        token_public_id: token.public_id.clone(),
        token_name: token.name.clone(),
        tenant_id: token.tenant_id,
        tenant_public_id: token.tenant_public_id.clone(),
        tenant_name: token.tenant_name.clone(),
        app,
        end_user: told.user.unwrap_or_default(),
        provider: told.provider.trim().to_owned(),
        model: told.model.trim().to_owned(),
        upstream_model: told.upstream_model.unwrap_or_default(),
        operation: operation(told.operation).into(),
        stream: told.stream,
        request_at,
        response_at: request_at + told.duration_ms * 1_000,
        duration_ms: told.duration_ms,
        ttft_ms: told.ttft_ms,
        prompt_tokens: told.prompt_tokens,
        completion_tokens: told.completion_tokens,
        total_tokens: told
            .total_tokens
            .unwrap_or_default()
            .max(told.prompt_tokens + told.completion_tokens),
        cached_tokens: told.cached_tokens,
        cache_write_tokens: told.cache_write_tokens,
        cache_write_1h_tokens: told.cache_write_1h_tokens,
        reasoning_tokens: told.reasoning_tokens,
        cost_nano: cost_nano.unwrap_or_default(),
        currency: if cost_nano.is_some() {
            currency
        } else {
            String::new()
        },
        priced: cost_nano.is_some(),
        status_code,
        success,
        error_code,
        error_message: redact::scrub(told.error_message.as_deref().unwrap_or_default())
            .into_owned(),
        conversation_id: told.conversation_id.unwrap_or_default(),
        source: Source::Ingest.into(),
        seen_keys,
        ..Record::default()
    };
    record.bound();
    Ok(record)
}

const fn operation(told: ToldOperation) -> Operation {
    match told {
        ToldOperation::Unknown => Operation::Unknown,
        ToldOperation::Chat => Operation::Chat,
        ToldOperation::Responses => Operation::Responses,
        ToldOperation::Completion => Operation::Completion,
        ToldOperation::Embedding => Operation::Embedding,
        ToldOperation::Messages => Operation::Messages,
        ToldOperation::CountTokens => Operation::CountTokens,
        ToldOperation::VectorQuery => Operation::VectorQuery,
    }
}
