//! Answers in OpenAI's shapes, as the provider's documentation shows them, with a field no SDK knows.
//!
//! Pure: request and script in, bytes out. What is said is fixed, so that two runs can be compared.

use serde_json::{Value, json};

use super::script::Script;
use super::wire::{Answer, Payload};

pub const PROMPT_TOKENS: u64 = 19;
pub const CACHED_TOKENS: u64 = 4;
pub const REASONING_TOKENS: u64 = 3;
pub const CREATED: u64 = 1_741_569_952;

/// The words of an answer; more than one script and some outside the basic plane, so that cuts inside a character happen.
pub fn words(count: usize) -> Vec<String> {
    const WORDS: [&str; 5] = ["Hello", " naïve", " 你好", " 🌍", " world\n\ndata: x"];
    (0..count)
        .map(|i| {
            WORDS
                .get(i)
                .map_or_else(|| format!(" w{i}"), |w| (*w).to_owned())
        })
        .collect()
}

fn content(script: &Script) -> String {
    script.big.map_or_else(
        || words(script.outputs()).concat(),
        |bytes| "x".repeat(bytes),
    )
}

/// A stable id for a model name: two identical calls get one answer.
pub fn id_of(prefix: &str, model: &str) -> String {
    let hash = model.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{prefix}{hash:016x}")
}

fn provider_headers(model: &str) -> Vec<(String, String)> {
    [
        ("x-request-id", id_of("req_", model)),
        ("openai-organization", "fake-org".into()),
        ("openai-processing-ms", "12".into()),
        ("openai-version", "2020-10-01".into()),
        ("x-ratelimit-limit-requests", "10000".into()),
        ("x-ratelimit-remaining-requests", "9999".into()),
        ("x-unknown-provider-header", "kept".into()),
    ]
    .into_iter()
    .map(|(n, v)| (n.to_owned(), v))
    .collect()
}

/// Whether the request asks for a tool call: tools are there, nothing forbids them and none has answered yet.
fn wants_tool(request: &Value, script: &Script) -> bool {
    let offered = request
        .get("tools")
        .and_then(Value::as_array)
        .is_some_and(|t| !t.is_empty());
    let forbidden = request.get("tool_choice").and_then(Value::as_str) == Some("none");
    let answered = ["messages", "input"]
        .iter()
        .filter_map(|k| request.get(k)?.as_array())
        .any(|list| {
            list.iter().any(|m| {
                m.get("role").and_then(Value::as_str) == Some("tool")
                    || m.get("type").and_then(Value::as_str) == Some("function_call_output")
            })
        });
    script.tools || (offered && !forbidden && !answered)
}

fn tool_name(request: &Value) -> String {
    let tool = request.get("tools").and_then(|t| t.get(0));
    let name = tool.and_then(|t| t.pointer("/function/name").or_else(|| t.get("name")));
    name.and_then(Value::as_str)
        .unwrap_or("get_weather")
        .to_owned()
}

const TOOL_ARGUMENTS: [&str; 3] = ["{\"city\":", "\"Zürich", "\"}"];

fn chat_usage(script: &Script) -> Value {
    let completion = script.outputs() as u64;
    let reasoning = if script.reasoning {
        REASONING_TOKENS
    } else {
        0
    };
    json!({
        "prompt_tokens": PROMPT_TOKENS, "completion_tokens": completion, "total_tokens": PROMPT_TOKENS + completion,
        "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}
    })
}

pub fn event(data: &str, script: &Script) -> Vec<u8> {
    let end = if script.crlf { "\r\n\r\n" } else { "\n\n" };
    let comment = if script.comments {
        format!(": keep-alive{end}")
    } else {
        String::new()
    };
    format!("{comment}data: {data}{end}").into_bytes()
}

pub fn named_event(name: &str, data: &str, script: &Script) -> Vec<u8> {
    let (line, end) = if script.crlf {
        ("\r\n", "\r\n\r\n")
    } else {
        ("\n", "\n\n")
    };
    let comment = if script.comments {
        format!(": keep-alive{end}")
    } else {
        String::new()
    };
    format!("{comment}event: {name}{line}data: {data}{end}").into_bytes()
}

pub fn error(status: u16, script: &Script, key: &str) -> Value {
    let (kind, code) = match status {
        400 => ("invalid_request_error", Some("invalid_value")),
        401 => ("invalid_request_error", Some("invalid_api_key")),
        403 => ("invalid_request_error", Some("unsupported_country")),
        404 => ("invalid_request_error", Some("model_not_found")),
        429 => ("requests", Some("rate_limit_exceeded")),
        _ => ("server_error", None),
    };
    let message = if script.echo_key {
        format!("Incorrect API key provided: {key}")
    } else {
        format!("The fake provider was told to answer {status}")
    };
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

pub fn answer(operation: &str, request: &Value, model: &str, script: &Script) -> Answer {
    let streamed = request.get("stream").and_then(Value::as_bool) == Some(true);
    let payload = match (operation, streamed) {
        ("chat/completions", false) => {
            Payload::Whole(chat(request, model, script).to_string().into_bytes())
        }
        ("chat/completions", true) => Payload::Events(chat_stream(request, model, script)),
        ("completions", false) => {
            Payload::Whole(completion(model, script).to_string().into_bytes())
        }
        ("completions", true) => Payload::Events(completion_stream(request, model, script)),
        ("responses", false) => Payload::Whole(
            response(request, model, script, "completed")
                .to_string()
                .into_bytes(),
        ),
        ("responses", true) => Payload::Events(response_stream(request, model, script)),
        _ => Payload::Whole(embeddings(request, model, script).to_string().into_bytes()),
    };
    Answer {
        status: 200,
        headers: provider_headers(model),
        payload,
    }
}

/// What a stream says when the provider fails in its middle; `/v1/responses` has a shape of its own.
pub fn error_event(operation: &str, index: usize, script: &Script) -> Vec<u8> {
    if operation == "responses" {
        let data = json!({"type": "error", "code": "server_error", "message": "The server had an error", "param": null, "sequence_number": index});
        return named_event("error", &data.to_string(), script);
    }
    let data = json!({"error": {"message": "The server had an error", "type": "server_error", "param": null, "code": null}});
    event(&data.to_string(), script)
}

fn chat(request: &Value, model: &str, script: &Script) -> Value {
    let (message, finish) = if wants_tool(request, script) {
        let call = json!({"id": "call_fake_1", "type": "function", "function": {"name": tool_name(request), "arguments": TOOL_ARGUMENTS.concat()}});
        (
            json!({"role": "assistant", "content": null, "tool_calls": [call], "refusal": null, "annotations": []}),
            "tool_calls",
        )
    } else {
        (
            json!({"role": "assistant", "content": content(script), "refusal": null, "annotations": []}),
            "stop",
        )
    };
    let mut body = json!({
        "id": id_of("chatcmpl-", model), "object": "chat.completion", "created": CREATED, "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
        "service_tier": "default", "system_fingerprint": "fp_fake", "x_unknown_field": {"kept": [1, null, 1.50]}
    });
    if !script.no_usage {
        body["usage"] = chat_usage(script);
    }
    body
}

fn chat_stream(request: &Value, model: &str, script: &Script) -> Vec<Vec<u8>> {
    let usage_wanted = request
        .pointer("/stream_options/include_usage")
        .and_then(Value::as_bool)
        == Some(true)
        && !script.no_usage;
    let chunk = |delta: Value, finish: Option<&str>| {
        let mut body = json!({
            "id": id_of("chatcmpl-", model), "object": "chat.completion.chunk", "created": CREATED, "model": model,
            "service_tier": "default", "system_fingerprint": "fp_fake", "obfuscation": "aB3",
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]
        });
        if usage_wanted {
            body["usage"] = Value::Null;
        }
        event(&body.to_string(), script)
    };
    let mut events = Vec::new();
    if wants_tool(request, script) {
        events.push(chunk(json!({"role": "assistant", "content": null, "tool_calls": [{"index": 0, "id": "call_fake_1", "type": "function", "function": {"name": tool_name(request), "arguments": ""}}], "refusal": null}), None));
        for part in TOOL_ARGUMENTS {
            events.push(chunk(
                json!({"tool_calls": [{"index": 0, "function": {"arguments": part}}]}),
                None,
            ));
        }
        events.push(chunk(json!({}), Some("tool_calls")));
    } else {
        events.push(chunk(
            json!({"role": "assistant", "content": "", "refusal": null}),
            None,
        ));
        for word in words(script.outputs()) {
            events.push(chunk(json!({"content": word}), None));
        }
        events.push(chunk(json!({}), Some("stop")));
    }
    if usage_wanted {
        let body = json!({
            "id": id_of("chatcmpl-", model), "object": "chat.completion.chunk", "created": CREATED, "model": model,
            "service_tier": "default", "system_fingerprint": "fp_fake", "choices": [], "usage": chat_usage(script), "obfuscation": "x"
        });
        events.push(event(&body.to_string(), script));
    }
    if !script.no_done {
        events.push(event("[DONE]", script));
    }
    events
}

fn completion(model: &str, script: &Script) -> Value {
    let mut body = json!({"id": id_of("cmpl-", model), "object": "text_completion", "created": CREATED, "model": model,
        "choices": [{"text": content(script), "index": 0, "logprobs": null, "finish_reason": "stop"}]});
    if !script.no_usage {
        body["usage"] = chat_usage(script);
    }
    body
}

fn completion_stream(request: &Value, model: &str, script: &Script) -> Vec<Vec<u8>> {
    let usage_wanted = request
        .pointer("/stream_options/include_usage")
        .and_then(Value::as_bool)
        == Some(true)
        && !script.no_usage;
    let chunk = |choices: Value, usage: Value| {
        let mut body = json!({"id": id_of("cmpl-", model), "object": "text_completion", "created": CREATED, "model": model, "choices": choices});
        if usage_wanted {
            body["usage"] = usage;
        }
        event(&body.to_string(), script)
    };
    let mut events: Vec<_> = words(script.outputs())
        .into_iter()
        .map(|word| {
            chunk(
                json!([{"text": word, "index": 0, "logprobs": null, "finish_reason": null}]),
                Value::Null,
            )
        })
        .collect();
    events.push(chunk(
        json!([{"text": "", "index": 0, "logprobs": null, "finish_reason": "stop"}]),
        Value::Null,
    ));
    if usage_wanted {
        events.push(chunk(json!([]), chat_usage(script)));
    }
    if !script.no_done {
        events.push(event("[DONE]", script));
    }
    events
}

fn response(request: &Value, model: &str, script: &Script, status: &str) -> Value {
    let output = if status != "completed" {
        json!([])
    } else if wants_tool(request, script) {
        json!([{"id": "fc_fake_1", "type": "function_call", "status": "completed", "call_id": "call_fake_1", "name": tool_name(request), "arguments": TOOL_ARGUMENTS.concat()}])
    } else {
        json!([{"id": "msg_fake_1", "type": "message", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": content(script), "annotations": [], "logprobs": []}]}])
    };
    let outputs = script.outputs() as u64;
    let usage = if status == "completed" && !script.no_usage {
        json!({"input_tokens": PROMPT_TOKENS, "input_tokens_details": {"cached_tokens": CACHED_TOKENS, "cache_write_tokens": 0},
            "output_tokens": outputs, "output_tokens_details": {"reasoning_tokens": if script.reasoning { REASONING_TOKENS } else { 0 }},
            "total_tokens": PROMPT_TOKENS + outputs})
    } else {
        Value::Null
    };
    json!({
        "id": id_of("resp_", model), "object": "response", "created_at": CREATED, "status": status, "background": false,
        "error": null, "incomplete_details": null, "instructions": null, "max_output_tokens": null, "model": model,
        "output": output, "parallel_tool_calls": true, "previous_response_id": null, "reasoning": {"effort": null, "summary": null},
        "service_tier": "default", "store": true, "temperature": 1.0, "text": {"format": {"type": "text"}}, "tool_choice": "auto",
        "tools": [], "top_p": 1.0, "truncation": "disabled", "usage": usage, "user": null, "metadata": {}, "x_unknown_field": "kept"
    })
}

fn response_stream(request: &Value, model: &str, script: &Script) -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    let mut push = |name: &str, mut data: Value| {
        data["type"] = json!(name);
        data["sequence_number"] = json!(events.len());
        events.push(named_event(name, &data.to_string(), script));
    };
    push(
        "response.created",
        json!({"response": response(request, model, script, "in_progress")}),
    );
    push(
        "response.in_progress",
        json!({"response": response(request, model, script, "in_progress")}),
    );
    if wants_tool(request, script) {
        let item = |status: &str, arguments: &str| json!({"id": "fc_fake_1", "type": "function_call", "status": status, "call_id": "call_fake_1", "name": tool_name(request), "arguments": arguments});
        push(
            "response.output_item.added",
            json!({"output_index": 0, "item": item("in_progress", "")}),
        );
        for part in TOOL_ARGUMENTS {
            push(
                "response.function_call_arguments.delta",
                json!({"item_id": "fc_fake_1", "output_index": 0, "delta": part}),
            );
        }
        push(
            "response.function_call_arguments.done",
            json!({"item_id": "fc_fake_1", "name": tool_name(request), "output_index": 0, "arguments": TOOL_ARGUMENTS.concat()}),
        );
        push(
            "response.output_item.done",
            json!({"output_index": 0, "item": item("completed", &TOOL_ARGUMENTS.concat())}),
        );
    } else {
        let text = words(script.outputs()).concat();
        let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
        push(
            "response.output_item.added",
            json!({"output_index": 0, "item": {"id": "msg_fake_1", "type": "message", "status": "in_progress", "role": "assistant", "content": []}}),
        );
        push(
            "response.content_part.added",
            json!({"item_id": "msg_fake_1", "output_index": 0, "content_index": 0, "part": part("")}),
        );
        for word in words(script.outputs()) {
            push(
                "response.output_text.delta",
                json!({"item_id": "msg_fake_1", "output_index": 0, "content_index": 0, "delta": word, "logprobs": []}),
            );
        }
        push(
            "response.output_text.done",
            json!({"item_id": "msg_fake_1", "output_index": 0, "content_index": 0, "text": text, "logprobs": []}),
        );
        push(
            "response.content_part.done",
            json!({"item_id": "msg_fake_1", "output_index": 0, "content_index": 0, "part": part(&text)}),
        );
        push(
            "response.output_item.done",
            json!({"output_index": 0, "item": {"id": "msg_fake_1", "type": "message", "status": "completed", "role": "assistant", "content": [part(&text)]}}),
        );
    }
    push(
        "response.completed",
        json!({"response": response(request, model, script, "completed")}),
    );
    events
}

fn embeddings(request: &Value, model: &str, script: &Script) -> Value {
    const VECTOR: [f32; 4] = [0.25, -0.5, 0.125, 1.0];
    let count = request
        .get("input")
        .and_then(Value::as_array)
        .filter(|a| a.iter().any(|v| v.is_string()))
        .map_or(1, Vec::len);
    let vector = if request.get("encoding_format").and_then(Value::as_str) == Some("base64") {
        use base64::Engine as _;
        let bytes: Vec<u8> = VECTOR.iter().flat_map(|f| f.to_le_bytes()).collect();
        json!(base64::engine::general_purpose::STANDARD.encode(bytes))
    } else {
        json!(VECTOR)
    };
    let texts = request.get("input").and_then(Value::as_array);
    let of_text = |i: usize| texts.and_then(|all| all.get(i)).and_then(Value::as_str);
    let data: Vec<_> = (0..count)
        .map(|i| match of_text(i).filter(|_| script.words) {
            Some(text) => {
                json!({"object": "embedding", "index": i, "embedding": pairs_of_letters(text)})
            }
            None => json!({"object": "embedding", "index": i, "embedding": vector}),
        })
        .collect();
    let mut body = json!({"object": "list", "data": data, "model": model});
    if !script.no_usage {
        body["usage"] = json!({"prompt_tokens": PROMPT_TOKENS, "total_tokens": PROMPT_TOKENS});
    }
    body
}

/// How often each pair of letters stands in `text`, as a vector.
fn pairs_of_letters(text: &str) -> Vec<f32> {
    let letters: Vec<char> = text
        .to_lowercase()
        .chars()
        .filter(|one| one.is_alphanumeric())
        .collect();
    let mut vector = vec![0.01; 256];
    for pair in letters.windows(2) {
        let sum = pair
            .iter()
            .fold(7_usize, |sum, letter| sum * 31 + *letter as usize);
        vector[sum % 256] += 1.0;
    }
    vector
}

pub fn models() -> Value {
    let model =
        |id: &str| json!({"id": id, "object": "model", "created": CREATED, "owned_by": "fake"});
    json!({"object": "list", "data": [model("gpt-4o"), model("gpt-4o-mini"), model("text-embedding-3-small")]})
}

pub fn model(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": CREATED, "owned_by": "fake"})
}
