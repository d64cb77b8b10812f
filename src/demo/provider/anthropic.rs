//! Answers in Anthropic's shapes: messages, token counts, models, errors.

use serde_json::{Value, json};
use steward_actors::domain::record::Operation;

use super::answer::{Answer, Asked, Refusal};
use super::{Frame, PIECES_A_FRAME, named, paced};

fn usage(answer: &Answer, output_tokens: i64) -> Value {
    json!({
        "input_tokens": answer.prompt_tokens - answer.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": answer.cached_tokens,
        "output_tokens": output_tokens,
    })
}

fn message(answer: &Answer, content: Value, reason: Value, output_tokens: i64) -> Value {
    json!({
        "id": format!("msg_{}", answer.id), "type": "message", "role": "assistant", "model": answer.answers_as,
        "content": content, "stop_reason": reason, "stop_sequence": null, "usage": usage(answer, output_tokens),
    })
}

fn tool_input(arguments: &str) -> Value {
    serde_json::from_str(arguments).unwrap_or_default()
}

/// The body of an answer that does not stream.
pub fn whole(asked: &Asked, answer: &Answer) -> Value {
    if asked.operation == Operation::CountTokens {
        return json!({"input_tokens": answer.prompt_tokens});
    }
    let (content, reason) = match &answer.tool {
        Some((name, arguments)) => (
            json!([{"type": "tool_use", "id": format!("toolu_{}", answer.id), "name": name, "input": tool_input(arguments)}]),
            "tool_use",
        ),
        None => (
            json!([{"type": "text", "text": answer.pieces.concat()}]),
            "end_turn",
        ),
    };
    message(answer, content, json!(reason), answer.completion_tokens)
}

/// The events of an answer that streams.
pub fn stream(answer: &Answer) -> Vec<Frame> {
    let event = |name: &str, mut data: Value| {
        data["type"] = json!(name);
        named(name, &data.to_string())
    };
    let start = message(answer, json!([]), Value::Null, 1);
    let (block, reason) = match &answer.tool {
        Some((name, _)) => (
            json!({"type": "tool_use", "id": format!("toolu_{}", answer.id), "name": name, "input": {}}),
            "tool_use",
        ),
        None => (json!({"type": "text", "text": ""}), "end_turn"),
    };
    let mut begin = event("message_start", json!({"message": start}));
    begin.push_str(&event(
        "content_block_start",
        json!({"index": 0, "content_block": block}),
    ));
    let mut frames = vec![Frame {
        after_ms: answer.first_ms,
        bytes: begin,
    }];
    if let Some((_, arguments)) = &answer.tool {
        let delta =
            json!({"index": 0, "delta": {"type": "input_json_delta", "partial_json": arguments}});
        frames.push(Frame {
            after_ms: 20,
            bytes: event("content_block_delta", delta),
        });
    }
    for pieces in answer.pieces.chunks(PIECES_A_FRAME) {
        let delta = json!({"index": 0, "delta": {"type": "text_delta", "text": pieces.concat()}});
        frames.push(Frame {
            after_ms: paced(answer, pieces.len()),
            bytes: event("content_block_delta", delta),
        });
    }
    let mut end = event("content_block_stop", json!({"index": 0}));
    end.push_str(&event(
        "message_delta",
        json!({
            "delta": {"stop_reason": reason, "stop_sequence": null},
            "usage": {"output_tokens": answer.completion_tokens},
        }),
    ));
    end.push_str(&event("message_stop", json!({})));
    frames.push(Frame {
        after_ms: 0,
        bytes: end,
    });
    frames
}

/// The body of a refusal.
pub fn refusal(refused: &Refusal) -> Value {
    let kind = match refused.status {
        429 => "rate_limit_error",
        400 => "invalid_request_error",
        404 => "not_found_error",
        503 | 529 => "overloaded_error",
        _ => "api_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": refused.message}})
}

/// The list of models.
pub fn models(names: &[&str]) -> Value {
    let data: Vec<Value> = names
        .iter()
        .map(|name| json!({"type": "model", "id": name, "display_name": name, "created_at": "2025-09-29T00:00:00Z"}))
        .collect();
    json!({"data": data, "has_more": false, "first_id": names.first(), "last_id": names.last()})
}
