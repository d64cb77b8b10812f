//! What a pretended provider answers: pure, from the request, the weather and chance.

use serde_json::Value;
use steward_actors::domain::record::Operation;

use crate::demo::chance::Chance;
use crate::demo::corpus;
use crate::demo::weather::Weather;
use crate::demo::world::{self, Model};

/// Longest answer, in tokens.
const LENGTH_MAX: f64 = 700.0;
/// What the pretended models can hold, in tokens.
const CONTEXT_MAX: i64 = 16_000;
/// A prompt from this size on may have been seen before.
const CACHED_FROM: i64 = 256;

/// A request as far as it matters.
#[derive(Debug)]
pub struct Asked {
    pub operation: Operation,
    pub model: String,
    pub stream: bool,
    /// The caller wants to be told the usage of a stream.
    pub include_usage: bool,
    /// Name of the first tool on offer that was not answered yet.
    pub tool: Option<String>,
    pub question: String,
    pub prompt_tokens: i64,
    pub length_max: Option<i64>,
    /// Texts to embed.
    pub inputs: Vec<String>,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub status: u16,
    /// The provider's own code.
    pub code: &'static str,
    pub message: &'static str,
    pub retry_after_s: Option<u32>,
    pub after_ms: u64,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub id: String,
    pub answers_as: String,
    /// Text, in tokens; empty when a tool is called.
    pub pieces: Vec<String>,
    /// Name and arguments.
    pub tool: Option<(String, String)>,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub cached_tokens: i64,
    pub reasoning_tokens: i64,
    pub first_ms: u64,
    pub token_ms: f64,
    pub created_s: i64,
}

/// Reads a request body. `None` when it is not a call a model could answer.
pub fn read(operation: Operation, body: &[u8]) -> Option<Asked> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let turns = body.get("messages").or_else(|| body.get("input"));
    let question = match turns {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(list)) => list.last().map(text_of).unwrap_or_default(),
        _ => String::new(),
    };
    let told = [
        body.get("system"),
        body.get("instructions"),
        turns,
        body.get("tools"),
    ];
    let prompt_tokens = told
        .into_iter()
        .flatten()
        .map(|part| corpus::token_count(&text_of(part)))
        .sum();
    let answered = turns.and_then(Value::as_array).is_some_and(|list| {
        list.iter()
            .any(|turn| turn["role"] == "tool" || turn["type"] == "function_call_output")
    });
    let tool = body["tools"].get(0).filter(|_| !answered).and_then(|tool| {
        let name = tool.pointer("/function/name").or_else(|| tool.get("name"));
        name.and_then(Value::as_str).map(str::to_owned)
    });
    let length_max = ["max_tokens", "max_completion_tokens", "max_output_tokens"]
        .iter()
        .find_map(|name| body[*name].as_i64());
    Some(Asked {
        operation,
        model: body["model"].as_str()?.to_owned(),
        stream: body["stream"] == true,
        include_usage: body["stream_options"]["include_usage"] == true,
        tool,
        prompt_tokens,
        length_max,
        inputs: match turns {
            Some(Value::Array(list)) if !list.is_empty() => list.iter().map(text_of).collect(),
            _ => vec![question.clone()],
        },
        question,
    })
}

/// The text in any of the shapes in which protocols carry it.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(text_of).collect(),
        Value::Object(fields) => ["content", "text", "function", "description"]
            .iter()
            .filter_map(|name| fields.get(*name))
            .map(text_of)
            .collect(),
        _ => String::new(),
    }
}

/// How it goes.
///
/// # Errors
/// The provider refuses.
pub fn plan(
    asked: &Asked,
    serves: &[&str],
    weather: &Weather,
    now_ms: i64,
    chance: &mut Chance,
) -> Result<Answer, Refusal> {
    let refusal = |status, code, message, after_ms| Refusal {
        status,
        code,
        message,
        retry_after_s: None,
        after_ms,
    };
    let after_ms = chance.log_normal(140.0, 0.6) as u64;
    if !serves.contains(&asked.model.as_str()) {
        return Err(refusal(
            404,
            "model_not_found",
            "The model does not exist or you do not have access to it.",
            after_ms,
        ));
    }
    if chance.happens(weather.failing) {
        return Err(if weather.throttled || chance.happens(0.2) {
            Refusal {
                retry_after_s: Some(2 + chance.below(8) as u32),
                ..refusal(
                    429,
                    "rate_limit_exceeded",
                    "Rate limit reached for requests. Please try again later.",
                    after_ms,
                )
            }
        } else if chance.happens(0.6) {
            refusal(
                503,
                "overloaded",
                "The server is overloaded or not ready yet.",
                after_ms * 3,
            )
        } else {
            refusal(
                500,
                "server_error",
                "The server had an error while processing your request.",
                after_ms * 2,
            )
        });
    }
    if asked.prompt_tokens > CONTEXT_MAX {
        return Err(refusal(
            400,
            "context_length_exceeded",
            "This model's maximum context length is 16000 tokens.",
            after_ms,
        ));
    }
    if chance.happens(0.003) {
        return Err(refusal(
            400,
            "content_filter",
            "The request was rejected as a result of the safety system.",
            after_ms,
        ));
    }
    Ok(answer(asked, weather, now_ms, chance))
}

fn answer(asked: &Asked, weather: &Weather, now_ms: i64, chance: &mut Chance) -> Answer {
    let model: &Model = world::model_named(&asked.model);
    let embeds = asked.operation == Operation::Embedding;
    let counts = asked.operation == Operation::CountTokens;
    let mut length = chance.log_normal(model.length, 0.55).min(LENGTH_MAX) as i64 + 4;
    if let Some(most) = asked.length_max {
        length = length.min(most.max(1));
    }
    let tool = asked
        .tool
        .as_ref()
        .map(|name| (name.clone(), "{\"order_id\":\"20418\"}".to_owned()));
    let pieces = if embeds || counts || tool.is_some() {
        Vec::new()
    } else {
        corpus::answer(&asked.question, length as usize, chance)
    };
    let reasoning_tokens = if model.reasons && !pieces.is_empty() {
        (length as f64 * chance.unit() * 0.8) as i64
    } else {
        0
    };
    let cached = asked.prompt_tokens >= CACHED_FROM && chance.happens(0.5);
    let thinking_ms = reasoning_tokens as f64 * model.token_ms * 0.4;
    Answer {
        id: format!("{:016x}", chance.bits()),
        answers_as: model.answers_as.to_owned(),
        completion_tokens: if tool.is_some() {
            18
        } else {
            pieces.len() as i64 + reasoning_tokens
        },
        pieces,
        tool,
        prompt_tokens: asked.prompt_tokens,
        cached_tokens: if cached {
            asked.prompt_tokens / 64 * 48
        } else {
            0
        },
        reasoning_tokens,
        first_ms: ((chance.log_normal(model.first_ms, 0.4) + thinking_ms) * weather.slower) as u64,
        token_ms: chance.log_normal(model.token_ms, 0.2) * weather.slower,
        created_s: now_ms / 1_000,
    }
}
