//! How a kept call is shown.

use serde::Serialize;
use serde_json::Value;
use steward_actors::contents::snippet;
use steward_actors::contents::store::{FoundIn, Hit};
use steward_actors::domain::record::Operation;
use steward_actors::domain::rid::{RecordId, Rid};
use utoipa::ToSchema;

use crate::http::range::rfc3339;

/// What is known of a kept call besides what was said.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConversationFacts {
    /// Id of the request: the `x-request-id` of its answer, and its id in the log.
    id: String,
    token_id: String,
    token_name: String,
    tenant_id: Option<String>,
    app: Option<String>,
    user_name: Option<String>,
    conversation_id: Option<String>,
    provider: String,
    /// Model asked for.
    model: String,
    /// `chat`, `responses`, `completion` or `messages`.
    operation: &'static str,
    stream: bool,
    created_at: String,
    duration_ms: i64,
    prompt_tokens: i64,
    completion_tokens: i64,
    status_code: i64,
    success: bool,
    /// `none`, `redact` or `metadata_only`.
    redaction: String,
    /// How often a rule found something.
    redactions: i64,
    /// Something did not fit.
    truncated: bool,
    /// Packed for good.
    is_compressed: bool,
    /// As it was said, in bytes.
    original_bytes: i64,
    /// As it lies, in bytes.
    stored_bytes: i64,
}

/// A kept call in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConversationItem {
    #[serde(flatten)]
    facts: ConversationFacts,
    /// Beginning of what the user said last.
    prompt: String,
    /// Beginning of what the model answered.
    completion: String,
}

/// A piece of a text.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SnippetPiece {
    text: String,
    /// It is what was looked for.
    hit: bool,
}

/// A kept call that answers a question.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SearchItem {
    #[serde(flatten)]
    item: ConversationItem,
    /// Higher is better; comparable within one answer.
    score: f64,
    /// Where the snippet is from: `prompt`, `completion`, `messages` (those before) or `system_prompt`.
    field: &'static str,
    /// In order; together they are the snippet. Empty when the place lies beyond what can be shown.
    snippet: Vec<SnippetPiece>,
}

/// A kept call with what was said.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConversationDetail {
    #[serde(flatten)]
    facts: ConversationFacts,
    system_prompt: String,
    /// The messages that were sent, in the caller's own form, the oldest first.
    #[schema(value_type = Vec<Object>)]
    messages: Value,
    prompt: String,
    /// The answer, assembled.
    completion: String,
    /// Tools the model called: `{id, name, arguments}` each.
    #[schema(value_type = Vec<Object>)]
    tool_calls: Value,
    /// Tools the model was offered, in the caller's own form; empty as well for calls kept before these were.
    #[schema(value_type = Vec<Object>)]
    tools: Value,
}

fn array(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::Array(Vec::new()))
}

fn operation_word(operation: i64) -> &'static str {
    match i32::try_from(operation).map(Operation::try_from) {
        Ok(Ok(Operation::Chat)) => "chat",
        Ok(Ok(Operation::Responses)) => "responses",
        Ok(Ok(Operation::Completion)) => "completion",
        Ok(Ok(Operation::Messages)) => "messages",
        _ => "unknown",
    }
}

impl From<&Hit> for ConversationFacts {
    fn from(hit: &Hit) -> Self {
        let row = &hit.row;
        let id = RecordId {
            rid: Rid(row.rid),
            tail: row.id_tail.cast_unsigned(),
        };
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        Self {
            id: id.to_string(),
            token_id: row.token_public_id.clone(),
            token_name: row.token_name.clone(),
            tenant_id: given(&row.tenant_public_id),
            app: given(&row.app),
            user_name: given(&row.end_user),
            conversation_id: given(&row.conversation_id),
            provider: row.provider.clone(),
            model: row.model.clone(),
            operation: operation_word(row.operation),
            stream: row.stream,
            created_at: rfc3339(row.created_at),
            duration_ms: row.duration_ms,
            prompt_tokens: row.prompt_tokens,
            completion_tokens: row.completion_tokens,
            status_code: row.status_code,
            success: row.success,
            redaction: row.redaction.clone(),
            redactions: row.redactions,
            truncated: row.truncated,
            is_compressed: row.is_compressed,
            original_bytes: row.original_bytes,
            stored_bytes: row.stored_bytes,
        }
    }
}

impl From<Hit> for ConversationItem {
    fn from(hit: Hit) -> Self {
        Self {
            facts: (&hit).into(),
            prompt: snippet::beginning(&hit.said.prompt),
            completion: snippet::beginning(&hit.said.completion),
        }
    }
}

impl From<Hit> for SearchItem {
    fn from(mut hit: Hit) -> Self {
        let pieces = std::mem::take(&mut hit.pieces);
        Self {
            score: hit.score,
            field: match hit.found_in {
                FoundIn::Prompt => "prompt",
                FoundIn::Completion => "completion",
                FoundIn::Messages => "messages",
                FoundIn::SystemPrompt => "system_prompt",
            },
            snippet: pieces
                .into_iter()
                .map(|piece| SnippetPiece {
                    text: piece.text,
                    hit: piece.hit,
                })
                .collect(),
            item: hit.into(),
        }
    }
}

impl From<Hit> for ConversationDetail {
    fn from(hit: Hit) -> Self {
        Self {
            facts: (&hit).into(),
            messages: array(&hit.said.messages_json),
            tool_calls: array(&hit.said.tool_calls_json),
            tools: array(&hit.said.tools_json),
            system_prompt: hit.said.system_prompt,
            prompt: hit.said.prompt,
            completion: hit.said.completion,
        }
    }
}
