//! Answers in Anthropic's shapes; see `openai.rs` for the rules.

use serde_json::{Value, json};

use super::openai::{id_of, named_event, words};
use super::script::Script;
use super::wire::{Answer, Payload};

pub const INPUT_TOKENS: u64 = 19;
pub const CACHE_READ_TOKENS: u64 = 4;
pub const CACHE_CREATION_TOKENS: u64 = 2;

const TOOL_INPUT: [&str; 4] = ["", "{\"city\":", "\"Zürich", "\"}"];

pub fn provider_headers(model: &str) -> Vec<(String, String)> {
    [
        ("request-id", id_of("req_", model)),
        ("anthropic-organization-id", "fake-org".into()),
        ("anthropic-ratelimit-requests-limit", "4000".into()),
        ("anthropic-ratelimit-requests-remaining", "3999".into()),
        ("x-unknown-provider-header", "kept".into()),
    ]
    .into_iter()
    .map(|(n, v)| (n.to_owned(), v))
    .collect()
}

fn wants_tool(request: &Value, script: &Script) -> bool {
    let offered = request
        .get("tools")
        .and_then(Value::as_array)
        .is_some_and(|t| !t.is_empty());
    let forbidden = request.pointer("/tool_choice/type").and_then(Value::as_str) == Some("none");
    let answered = request
        .get("messages")
        .and_then(Value::as_array)
        .is_some_and(|messages| {
            messages
                .iter()
                .filter_map(|m| m.get("content")?.as_array())
                .flatten()
                .any(|c| c.get("type").and_then(Value::as_str) == Some("tool_result"))
        });
    script.tools || (offered && !forbidden && !answered)
}

fn tool_name(request: &Value) -> String {
    request
        .pointer("/tools/0/name")
        .and_then(Value::as_str)
        .unwrap_or("get_weather")
        .to_owned()
}

fn usage(output_tokens: u64) -> Value {
    json!({"input_tokens": INPUT_TOKENS, "cache_creation_input_tokens": CACHE_CREATION_TOKENS, "cache_read_input_tokens": CACHE_READ_TOKENS,
        "cache_creation": {"ephemeral_5m_input_tokens": CACHE_CREATION_TOKENS, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output_tokens, "service_tier": "standard"})
}

pub fn error(status: u16, script: &Script, key: &str) -> Value {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    let message = if script.echo_key {
        format!("invalid x-api-key: {key}")
    } else {
        format!("The fake provider was told to answer {status}")
    };
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_fake"})
}

pub fn error_event(script: &Script) -> Vec<u8> {
    named_event(
        "error",
        &json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
            .to_string(),
        script,
    )
}

pub fn answer(operation: &str, request: &Value, model: &str, script: &Script) -> Answer {
    let streamed = request.get("stream").and_then(Value::as_bool) == Some(true);
    let payload = match (operation, streamed) {
        ("messages/count_tokens", _) => Payload::Whole(
            json!({"input_tokens": INPUT_TOKENS})
                .to_string()
                .into_bytes(),
        ),
        (_, true) => Payload::Events(message_stream(request, model, script)),
        (_, false) => Payload::Whole(message(request, model, script).to_string().into_bytes()),
    };
    Answer {
        status: 200,
        headers: provider_headers(model),
        payload,
    }
}

fn message(request: &Value, model: &str, script: &Script) -> Value {
    let text = script.big.map_or_else(
        || words(script.outputs()).concat(),
        |bytes| "x".repeat(bytes),
    );
    let (content, stop) = if wants_tool(request, script) {
        (
            json!([{"type": "tool_use", "id": "toolu_fake_1", "name": tool_name(request), "input": {"city": "Zürich"}}]),
            "tool_use",
        )
    } else {
        (json!([{"type": "text", "text": text}]), "end_turn")
    };
    let mut body = json!({"id": id_of("msg_", model), "type": "message", "role": "assistant", "model": model, "content": content,
        "stop_reason": stop, "stop_sequence": null, "usage": usage(script.outputs() as u64), "x_unknown_field": {"kept": true}});
    if script.no_usage {
        // The real one always tells; a compatible one may not.
        body.as_object_mut().map(|o| o.remove("usage"));
    }
    body
}

fn message_stream(request: &Value, model: &str, script: &Script) -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    let mut push = |name: &str, mut data: Value| {
        data["type"] = json!(name);
        events.push(named_event(name, &data.to_string(), script));
    };
    let mut start = json!({"id": id_of("msg_", model), "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage(1)});
    if script.no_usage {
        start.as_object_mut().map(|o| o.remove("usage"));
    }
    push("message_start", json!({"message": start}));
    let stop = if wants_tool(request, script) {
        push(
            "content_block_start",
            json!({"index": 0, "content_block": {"type": "tool_use", "id": "toolu_fake_1", "name": tool_name(request), "input": {}}}),
        );
        push("ping", json!({}));
        for part in TOOL_INPUT {
            push(
                "content_block_delta",
                json!({"index": 0, "delta": {"type": "input_json_delta", "partial_json": part}}),
            );
        }
        "tool_use"
    } else {
        push(
            "content_block_start",
            json!({"index": 0, "content_block": {"type": "text", "text": ""}}),
        );
        push("ping", json!({}));
        for word in words(script.outputs()) {
            push(
                "content_block_delta",
                json!({"index": 0, "delta": {"type": "text_delta", "text": word}}),
            );
        }
        "end_turn"
    };
    push("content_block_stop", json!({"index": 0}));
    let mut delta = json!({"delta": {"stop_reason": stop, "stop_sequence": null}});
    if !script.no_usage {
        delta["usage"] = json!({"output_tokens": script.outputs()});
    }
    push("message_delta", delta);
    push("message_stop", json!({}));
    events
}

pub fn models() -> Value {
    json!({"data": [model("claude-sonnet-4-5"), model("claude-haiku-4-5")], "has_more": false, "first_id": "claude-sonnet-4-5", "last_id": "claude-haiku-4-5"})
}

pub fn model(id: &str) -> Value {
    json!({"type": "model", "id": id, "display_name": id, "created_at": "2025-09-29T00:00:00Z"})
}
