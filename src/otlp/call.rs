//! Which spans are model calls, and the record each of them becomes. The one place that knows how libraries
//! differ.
//!
//! Three of their differences would count a call wrongly or twice. Of one and the same Anthropic call some tell
//! input tokens with the cached ones and some without ([`usage`]). Some calls have two spans, the
//! instrumentation's and the client library's own, which share the answer's id ([`keys`]). And the Vercel AI
//! SDK's outer span repeats the sum of its steps ([`operation`]).

use steward_actors::domain::record::{COST_MAX_NANO, Operation, Record, Source, TOKENS_MAX};
use steward_actors::domain::seen;
use steward_actors::domain::snapshot::TokenView;

use super::span::{Attributes, Context, Span};
use crate::error::catalog::ErrorCode;
use crate::gateway::redact;
use crate::gateway::scan::{Scanner, Scope, Want};
use crate::gateway::usage::Usage;

/// A clock that is ahead of ours by more is not believed.
const AHEAD_MAX_MICROS: i64 = 5 * 60 * 1_000_000;
/// 2000-01-01: nothing that emits spans is older.
const EARLIEST_MICROS: i64 = 946_684_800_000_000;
/// Greatest count believed: above it a number is noise that would poison every sum.
const COUNT_MAX: f64 = TOKENS_MAX as f64;
const NANO: f64 = 1e9;

/// Why a span that says it is a model call is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Rejected {
    #[error("a span cannot be read as one")]
    Unreadable,
    #[error("a span has no valid trace id and span id")]
    Ids,
    #[error("a span's start time is missing, before 2000 or ahead of this clock")]
    Time,
    #[error("there are more than 10000 calls in one request")]
    TooMany,
}

/// The record of a span, without an id of our own; `None` when it is no model call.
///
/// # Errors
/// It is one and cannot be taken.
pub fn record(
    context: &Context,
    span: &Span,
    token: &TokenView,
    now_micros: i64,
) -> Result<Option<Record>, Rejected> {
    let told = &span.attributes;
    let provider = provider(told);
    let Some(operation) = operation(told, provider.as_deref()) else {
        return Ok(None);
    };
    if span.span_id.len() != 8 || span.trace_id.len() != 16 || is_zero(&span.span_id) {
        return Err(Rejected::Ids);
    }
    let request_at = micros(span.start_ns);
    if request_at < EARLIEST_MICROS || request_at > now_micros.saturating_add(AHEAD_MAX_MICROS) {
        return Err(Rejected::Time);
    }
    let response_at = micros(span.end_ns).clamp(
        request_at,
        now_micros.saturating_add(AHEAD_MAX_MICROS).max(request_at),
    );
    let duration_ms = (response_at - request_at) / 1_000;
    let provider = provider.unwrap_or_default();
    let usage = usage(context, told, &provider);
    let ttft_ms = ttft_ms(span).filter(|ttft| (0..=duration_ms).contains(ttft));
    let failure = failure(span);
    let parameters = Written::read(told.text("llm.invocation_parameters"));
    let upstream_model = told.first_text(&[
        "gen_ai.response.model",
        "ai.response.model",
        "llm.response.model_name",
    ]);
    let model = told
        .first_text(&[
            "gen_ai.request.model",
            "ai.model.id",
            "llm.request.model_name",
            "llm.model_name",
            "embedding.model_name",
        ])
        .or(parameters.model.as_deref())
        .or(upstream_model);
    let app = if token.app.is_empty() {
        &context.service
    } else {
        &token.app
    };
    let cost_nano = cost_nano(told);
    let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    let owned = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let mut record = Record {
        token_id: token.id,
        token_public_id: token.public_id.clone(),
        token_name: token.name.clone(),
        tenant_id: token.tenant_id,
        tenant_public_id: token.tenant_public_id.clone(),
        tenant_name: token.tenant_name.clone(),
        app: app.clone(),
        end_user: owned(told.first_text(&[
            "user.id",
            "enduser.id",
            "gen_ai.request.user",
            "llm.user",
            "ai.telemetry.metadata.userId",
            "traceloop.association.properties.user_id",
        ])),
        conversation_id: owned(told.first_text(&[
            "gen_ai.conversation.id",
            "session.id",
            "ai.telemetry.metadata.sessionId",
            "traceloop.association.properties.session_id",
        ])),
        model: owned(model),
        upstream_model: owned(upstream_model),
        operation: operation.into(),
        stream: streams(told) || parameters.stream || ttft_ms.is_some(),
        request_at,
        response_at,
        duration_ms,
        ttft_ms,
        prompt_tokens: count(usage.prompt),
        completion_tokens: count(usage.completion),
        total_tokens: count(usage.total),
        cached_tokens: count(usage.cached),
        cache_write_tokens: count(usage.cache_write),
        cache_write_1h_tokens: count(usage.cache_write_1h),
        reasoning_tokens: count(usage.reasoning),
        cost_nano: cost_nano.unwrap_or_default(),
        currency: cost_nano.map(|_| "USD".to_owned()).unwrap_or_default(),
        priced: cost_nano.is_some(),
        status_code: failure.as_ref().map_or(200, |failure| failure.status),
        success: failure.is_none(),
        source: Source::Otlp.into(),
        seen_keys: keys(token.tenant_id, span),
        provider,
        ..Record::default()
    };
    if let Some(failure) = failure {
        record.error_code = failure.code.slug().to_owned();
        record.error_message = failure.message;
    }
    record.bound();
    Ok(Some(record))
}

/// What was asked for; `None` when the span is no call of a model: an agent, a tool, a step, a sum.
fn operation(told: &Attributes, provider: Option<&str>) -> Option<Operation> {
    let chat = || match provider {
        Some("anthropic") => Operation::Messages,
        _ => Operation::Chat,
    };
    if let Some(kind) = told.text("openinference.span.kind") {
        return match kind {
            "LLM" => Some(chat()),
            "EMBEDDING" => Some(Operation::Embedding),
            _ => None,
        };
    }
    // The outer span of the Vercel AI SDK repeats the sum of its steps.
    if let Some(id) = told.text("ai.operationId") {
        return match id.rsplit('.').next()? {
            "doEmbed" => Some(Operation::Embedding),
            "doGenerate" | "doStream" => Some(match told.text("ai.model.provider") {
                Some(provider) if provider.ends_with(".responses") => Operation::Responses,
                Some(provider) if provider.ends_with(".completion") => Operation::Completion,
                _ => chat(),
            }),
            _ => None,
        };
    }
    if told.text("traceloop.span.kind").is_some() {
        return None;
    }
    if let Some(name) = told.first_text(&["gen_ai.operation.name", "llm.request.type"]) {
        return match name {
            "chat" | "generate_content" | "message" | "messages" => Some(chat()),
            "text_completion" | "completion" => Some(Operation::Completion),
            "embeddings" | "embedding" => Some(Operation::Embedding),
            "responses" | "response" => Some(Operation::Responses),
            "image" | "image_generation" | "audio" | "transcription" | "speech" | "rerank" => {
                Some(Operation::Unknown)
            }
            _ => None,
        };
    }
    // Before operations had names.
    let is_call = told.text("gen_ai.request.model").is_some() && provider.is_some();
    is_call.then_some(Operation::Unknown)
}

/// Who ran the model, by the name that accounts use.
fn provider(told: &Attributes) -> Option<String> {
    let name = told
        .first_text(&[
            "gen_ai.provider.name",
            "gen_ai.system",
            "llm.provider",
            "llm.system",
            "ai.model.provider",
        ])?
        .to_ascii_lowercase();
    let known = match name.as_str() {
        "az.ai.openai" | "az.ai.inference" | "azure.ai.openai" | "azure.ai.inference" | "azure" => {
            "azure"
        }
        "gcp.gemini" | "gcp.gen_ai" | "gcp.vertex_ai" | "vertex_ai" | "vertexai" | "gemini" => {
            "google"
        }
        "aws.bedrock" | "aws" | "amazon_bedrock" => "bedrock",
        "mistral_ai" | "mistralai" => "mistral",
        "moonshot_ai" => "moonshot",
        "x_ai" => "xai",
        // The Vercel AI SDK adds the interface: `openai.chat`.
        other => other.split('.').next().unwrap_or_default(),
    };
    Some(known.to_owned())
}

/// Model tokens, in this house's meaning: the prompt includes what came from a cache and what went into one.
fn usage(context: &Context, told: &Attributes, provider: &str) -> Usage {
    let count = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| told.number(name))
            .filter(|count| (0.0..=COUNT_MAX).contains(count))
            .map_or(0, |count| count as u64)
    };
    let prompt = count(&[
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.usage.prompt_tokens",
        "llm.token_count.prompt",
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
        "ai.usage.tokens",
    ]);
    let cached = count(&[
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
        "ai.usage.inputTokenDetails.cacheReadTokens",
        "ai.usage.cachedInputTokens",
    ]);
    let cache_write = count(&[
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
        "ai.usage.inputTokenDetails.cacheWriteTokens",
    ]);
    let beside = cached.saturating_add(cache_write);
    // OpenLIT passes on Anthropic's own number, which leaves the cached ones out; Anthropic's client and the
    // others add them up. A prompt that is smaller than its part does not include it, whoever says so.
    let is_exclusive = (is_openlit(context) && provider == "anthropic") || beside > prompt;
    let prompt = if is_exclusive {
        prompt.saturating_add(beside)
    } else {
        prompt
    };
    let completion = count(&[
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.usage.completion_tokens",
        "llm.token_count.completion",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
    ]);
    let total = count(&[
        "gen_ai.usage.total_tokens",
        "llm.usage.total_tokens",
        "llm.token_count.total",
        "ai.usage.totalTokens",
        "gen_ai.client.token.usage",
    ]);
    Usage {
        // Embeddings sometimes tell only the total.
        prompt: if prompt == 0 && completion == 0 {
            total
        } else {
            prompt
        },
        completion,
        total,
        cached,
        cache_write,
        // Nobody tells it.
        cache_write_1h: 0,
        reasoning: count(&[
            "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.usage.reasoning_tokens",
            "llm.token_count.completion_details.reasoning",
            "ai.usage.outputTokenDetails.reasoningTokens",
            "ai.usage.reasoningTokens",
        ]),
    }
    .with_total()
}

fn is_openlit(context: &Context) -> bool {
    context.scope == "openlit" || context.scope.starts_with("openlit.")
}

/// What the sender says it cost, in US dollars. Nothing says zero for a model whose price it does not know.
fn cost_nano(told: &Attributes) -> Option<i64> {
    let cost = told.number("gen_ai.usage.cost")?;
    let nano = (cost * NANO).round();
    (nano > 0.0 && nano <= COST_MAX_NANO as f64).then_some(nano as i64)
}

fn streams(told: &Attributes) -> bool {
    [
        "gen_ai.is_streaming",
        "gen_ai.request.is_stream",
        "gen_ai.request.stream",
        "llm.is_streaming",
    ]
    .iter()
    .any(|name| told.truth(name) == Some(true))
        || told
            .text("ai.operationId")
            .is_some_and(|id| id.ends_with(".doStream"))
}

fn ttft_ms(span: &Span) -> Option<i64> {
    let told = &span.attributes;
    let seconds = [
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.server.time_to_first_token",
    ];
    let told_ms = seconds
        .iter()
        .find_map(|name| told.number(name))
        .map(|seconds| seconds * 1_000.0)
        .or(told.number("ai.response.msToFirstChunk"))
        .filter(|ms| *ms > 0.0);
    match told_ms {
        Some(ms) => Some(ms.round() as i64),
        None => {
            let nanos = span.first_token_ns?.checked_sub(span.start_ns)?;
            i64::try_from(nanos / 1_000_000).ok()
        }
    }
}

struct Failure {
    status: i32,
    code: ErrorCode,
    message: String,
}

fn failure(span: &Span) -> Option<Failure> {
    let told = &span.attributes;
    let kind = told.first_text(&["error.type", "exception.type"]);
    if !span.failed && told.text("error.type").is_none() {
        return None;
    }
    let kind = kind.unwrap_or_default();
    let message = match span.status_message.trim() {
        "" => told.text("exception.message").unwrap_or(kind),
        message => message,
    };
    let http = [
        "http.response.status_code",
        "http.status_code",
        "error.type",
    ]
    .iter()
    .find_map(|name| told.number(name))
    .filter(|status| (400.0..600.0).contains(status))
    .map(|status| status as i32);
    let status = http
        .or_else(|| named_status(kind))
        .or_else(|| quoted_status(message))
        .unwrap_or(500);
    Some(Failure {
        status,
        code: match status {
            499 => ErrorCode::ClientClosed,
            504 => ErrorCode::UpstreamTimeout,
            _ => ErrorCode::UpstreamError,
        },
        // Providers repeat the key they were sent.
        message: redact::scrub(message).into_owned(),
    })
}

/// The status behind an exception's name, as the official clients call them.
fn named_status(kind: &str) -> Option<i32> {
    let name = kind.rsplit(['.', ':']).next()?;
    Some(match name {
        "BadRequestError" => 400,
        "AuthenticationError" => 401,
        "PermissionDeniedError" => 403,
        "NotFoundError" => 404,
        "ConflictError" => 409,
        "UnprocessableEntityError" => 422,
        "RateLimitError" => 429,
        "CancelledError" | "AbortError" | "APIUserAbortError" | "GeneratorExit" => 499,
        "APIConnectionError" | "ConnectError" => 502,
        "ServiceUnavailableError" => 503,
        "APITimeoutError" | "APIConnectionTimeoutError" | "TimeoutError" | "timeout" => 504,
        "OverloadedError" => 529,
        _ => return None,
    })
}

/// The status in `… Error code: 429 - …`, as the Python clients print it.
fn quoted_status(message: &str) -> Option<i32> {
    let (_, rest) = message.split_once("Error code: ")?;
    let status = rest.get(..3)?.parse().ok()?;
    (400..600).contains(&status).then_some(status)
}

/// What JSON in an attribute says.
#[derive(Default)]
struct Written {
    id: Option<String>,
    model: Option<String>,
    stream: bool,
}

impl Written {
    /// Of a text that may have been cut.
    fn read(text: Option<&str>) -> Self {
        const WANTS: &[Want] = &[
            Want {
                key: "id",
                max_bytes: 300,
            },
            Want {
                key: "model",
                max_bytes: 300,
            },
            Want {
                key: "stream",
                max_bytes: 8,
            },
        ];
        let Some(text) = text else {
            return Self::default();
        };
        let mut scanner = Scanner::new(Scope::Top, WANTS);
        scanner.push(text.as_bytes());
        let string = |key| {
            let text: String = serde_json::from_slice(scanner.get(key)?).ok()?;
            Some(text).filter(|text| !text.is_empty())
        };
        Self {
            id: string("id"),
            model: string("model"),
            stream: scanner.get("stream").is_some_and(|raw| raw == b"true"),
        }
    }
}

/// By what the call is recognised when it is told of again: the span itself, and the provider's id of its
/// answer, which OpenInference has only within the answer.
fn keys(tenant_id: i64, span: &Span) -> Vec<i64> {
    let told = &span.attributes;
    let response = told
        .first_text(&["gen_ai.response.id", "ai.response.id"])
        .map(str::to_owned)
        .or_else(|| Written::read(told.text("output.value")).id);
    let mut keys = vec![seen::span(tenant_id, &span.trace_id, &span.span_id)];
    keys.extend(response.and_then(|id| seen::response(tenant_id, &id)));
    keys
}

fn micros(nanos: u64) -> i64 {
    i64::try_from(nanos / 1_000).unwrap_or(i64::MAX)
}

fn is_zero(id: &[u8]) -> bool {
    id.iter().all(|byte| *byte == 0)
}
