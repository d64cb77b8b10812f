//! Answers in OpenAI's shapes: chat completions, responses, embeddings, models, errors.

use serde_json::{Value, json};
use steward_actors::domain::record::Operation;

use super::answer::{Answer, Asked, Refusal};
use super::{Frame, PIECES_A_FRAME, named, paced, plain};

/// Numbers of an embedding: fewer than the real ones have, which only makes bytes.
const DIMENSIONS: usize = 64;

fn chat_usage(answer: &Answer) -> Value {
    json!({
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
    })
}

fn response_usage(answer: &Answer) -> Value {
    json!({
        "input_tokens": answer.prompt_tokens,
        "input_tokens_details": {"cached_tokens": answer.cached_tokens},
        "output_tokens": answer.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
    })
}

/// The body of an answer that does not stream.
pub fn whole(asked: &Asked, answer: &Answer) -> Value {
    match asked.operation {
        Operation::Embedding => {
            let vector = |seed: usize| -> Vec<f64> {
                (0..DIMENSIONS)
                    .map(|i| (((seed * 31 + i * 17) % 200) as f64 - 100.0) / 1_000.0)
                    .collect()
            };
            let data: Vec<Value> = (0..answer.inputs)
                .map(|index| json!({"object": "embedding", "index": index, "embedding": vector(index)}))
                .collect();
            json!({
                "object": "list", "data": data, "model": answer.answers_as,
                "usage": {"prompt_tokens": answer.prompt_tokens, "total_tokens": answer.prompt_tokens},
            })
        }
        Operation::Responses => response(answer, "completed", output(answer)),
        _ => {
            let (message, reason) = match &answer.tool {
                Some((name, arguments)) => (
                    json!({"role": "assistant", "content": null, "tool_calls": [{
                        "id": format!("call_{}", answer.id), "type": "function",
                        "function": {"name": name, "arguments": arguments},
                    }]}),
                    "tool_calls",
                ),
                None => (
                    json!({"role": "assistant", "content": answer.pieces.concat(), "refusal": null}),
                    "stop",
                ),
            };
            json!({
                "id": format!("chatcmpl-{}", answer.id), "object": "chat.completion", "created": answer.created_s,
                "model": answer.answers_as,
                "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": reason}],
                "usage": chat_usage(answer),
            })
        }
    }
}

fn output(answer: &Answer) -> Value {
    match &answer.tool {
        Some((name, arguments)) => json!([{
            "type": "function_call", "id": format!("fc_{}", answer.id), "call_id": format!("call_{}", answer.id),
            "name": name, "arguments": arguments, "status": "completed",
        }]),
        None => json!([{
            "type": "message", "id": format!("msg_{}", answer.id), "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": answer.pieces.concat(), "annotations": []}],
        }]),
    }
}

fn response(answer: &Answer, status: &str, output: Value) -> Value {
    let usage = if status == "completed" {
        response_usage(answer)
    } else {
        Value::Null
    };
    json!({
        "id": format!("resp_{}", answer.id), "object": "response", "created_at": answer.created_s, "status": status,
        "model": answer.answers_as, "output": output, "error": null, "usage": usage,
    })
}

/// The events of an answer that streams.
pub fn stream(asked: &Asked, answer: &Answer) -> Vec<Frame> {
    if asked.operation == Operation::Responses {
        return response_stream(answer);
    }
    let chunk = |delta: Value, reason: Value| {
        json!({
            "id": format!("chatcmpl-{}", answer.id), "object": "chat.completion.chunk", "created": answer.created_s,
            "model": answer.answers_as,
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}],
        })
    };
    let mut frames = vec![Frame {
        after_ms: answer.first_ms,
        bytes: plain(&chunk(json!({"role": "assistant", "content": ""}), Value::Null).to_string()),
    }];
    let mut reason = "stop";
    if let Some((name, arguments)) = &answer.tool {
        reason = "tool_calls";
        let call = json!({"tool_calls": [{
            "index": 0, "id": format!("call_{}", answer.id), "type": "function",
            "function": {"name": name, "arguments": arguments},
        }]});
        frames.push(Frame {
            after_ms: 20,
            bytes: plain(&chunk(call, Value::Null).to_string()),
        });
    }
    for pieces in answer.pieces.chunks(PIECES_A_FRAME) {
        let text = chunk(json!({"content": pieces.concat()}), Value::Null);
        frames.push(Frame {
            after_ms: paced(answer, pieces.len()),
            bytes: plain(&text.to_string()),
        });
    }
    let mut end = plain(&chunk(json!({}), json!(reason)).to_string());
    if asked.include_usage {
        let mut usage = chunk(json!({}), Value::Null);
        usage["choices"] = json!([]);
        usage["usage"] = chat_usage(answer);
        end.push_str(&plain(&usage.to_string()));
    }
    end.push_str(&plain("[DONE]"));
    frames.push(Frame {
        after_ms: 0,
        bytes: end,
    });
    frames
}

fn response_stream(answer: &Answer) -> Vec<Frame> {
    let mut number = -1;
    let mut event = |name: &str, mut data: Value| {
        number += 1;
        data["type"] = json!(name);
        data["sequence_number"] = json!(number);
        named(name, &data.to_string())
    };
    let created = response(answer, "in_progress", json!([]));
    let item = format!("msg_{}", answer.id);
    let mut frames = vec![Frame {
        after_ms: 40,
        bytes: event("response.created", json!({"response": created})),
    }];
    let mut first = answer.first_ms;
    for pieces in answer.pieces.chunks(PIECES_A_FRAME) {
        let delta = json!({"item_id": item, "output_index": 0, "content_index": 0, "delta": pieces.concat()});
        frames.push(Frame {
            after_ms: paced(answer, pieces.len()) + std::mem::take(&mut first),
            bytes: event("response.output_text.delta", delta),
        });
    }
    let completed = response(answer, "completed", output(answer));
    frames.push(Frame {
        after_ms: first,
        bytes: event("response.completed", json!({"response": completed})),
    });
    frames
}

/// The body of a refusal.
pub fn refusal(refused: &Refusal) -> Value {
    let kind = match refused.status {
        429 => "requests",
        400 | 404 => "invalid_request_error",
        _ => "server_error",
    };
    json!({"error": {"message": refused.message, "type": kind, "param": null, "code": refused.code}})
}

/// The list of models.
pub fn models(names: &[&str], owner: &str) -> Value {
    let data: Vec<Value> = names
        .iter()
        .map(|name| json!({"id": name, "object": "model", "created": 1_735_689_600, "owned_by": owner}))
        .collect();
    json!({"object": "list", "data": data})
}
