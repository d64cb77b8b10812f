//! Answers in OpenAI's shapes: chat completions, responses, embeddings, models, errors.

use serde_json::{Value, json};
use steward_actors::domain::record::Operation;

use super::answer::{Answer, Asked, Refusal};
use crate::demo::chance::{self, Chance};

use super::{Frame, PIECES_A_FRAME, named, paced, plain};

/// Numbers of an embedding: fewer than the real ones have, which only makes bytes.
const DIMENSIONS: usize = 128;

/// The direction of a text: that of its words, and of every two neighbours of what is written without blanks. Texts that
/// share many of them are near to each other, which is all that a demonstration needs.
fn vector(text: &str) -> Vec<f64> {
    let mut sum = vec![0.0; DIMENSIONS];
    let lower = text.to_lowercase();
    for word in lower.split(|one: char| !one.is_alphanumeric()) {
        let letters: Vec<char> = word.chars().collect();
        let parts: Vec<String> = match letters.iter().any(|one| !one.is_ascii()) {
            true => letters.windows(2).map(String::from_iter).collect(),
            false => vec![word.to_owned()],
        };
        for part in parts.iter().filter(|part| !part.is_empty()) {
            let mut chance = Chance::of(chance::of_text(0, part), &[]);
            for number in &mut sum {
                *number += chance.unit() - 0.5;
            }
        }
    }
    let length = sum.iter().map(|number| number * number).sum::<f64>().sqrt();
    if length > 0.0 {
        sum.iter_mut().for_each(|number| *number /= length);
    } else {
        sum[0] = 1.0;
    }
    sum
}

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
            let data: Vec<Value> = asked
                .inputs
                .iter()
                .enumerate()
                .map(|(index, text)| json!({"object": "embedding", "index": index, "embedding": vector(text)}))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_share_words_are_near() {
        let near = |one: &str, other: &str| -> f64 {
            let (one, other) = (vector(one), vector(other));
            one.iter().zip(&other).map(|(a, b)| a * b).sum()
        };
        let asked = "how do I wash my sleeping bag?";
        assert!(near(asked, "How do I wash a down sleeping bag?") > 0.6);
        assert!(near(asked, "Do you wrap gifts?") < 0.3);
        assert!(
            near("沙发套怎么洗", "沙发套可以机洗吗？")
                > near("沙发套怎么洗", "床垫有多少天试睡？") + 0.2
        );
        assert!((near(asked, asked) - 1.0).abs() < 1e-9 && near("?", "?") > 0.99);
    }
}
