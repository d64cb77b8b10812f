//! What a request says: instructions, messages, what the user said last, and which tools it offers. Pure.

use serde_json::Value;
use steward_actors::contents::Said;
pub use steward_actors::contents::around::text_of;
use steward_actors::domain::redaction::{Hits, Redactor};

use super::bounded;

/// Of a larger body long texts and files are left out.
pub(super) const BODY_MAX_BYTES: usize = 4 << 20;
/// A text without a blank that is longer is a picture or a file, and is told instead of kept.
pub(super) const BINARY_MIN_BYTES: usize = 2 * 1024;

/// Reads a request's body into `said`; whether something was left out.
pub(super) fn read(
    body: &[u8],
    max: usize,
    rules: Option<&Redactor>,
    hits: &mut Hits,
    said: &mut Said,
) -> bool {
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else {
        return true;
    };
    without_files(&mut value);
    let mut messages = match (value.get("messages"), value.get("input")) {
        (Some(Value::Array(messages)), _) => messages.clone(),
        (_, Some(Value::Array(items))) => items.clone(),
        (_, Some(Value::String(text))) => vec![user(text)],
        _ => match value.get("prompt") {
            Some(prompt) => vec![user(&text_of(prompt))],
            None => Vec::new(),
        },
    };
    let mut system: Vec<String> = ["system", "instructions"]
        .iter()
        .filter_map(|name| value.get(*name))
        .map(text_of)
        .collect();
    system.extend(
        messages
            .iter()
            .filter(|message| {
                matches!(
                    message.get("role").and_then(Value::as_str),
                    Some("system" | "developer")
                )
            })
            .filter_map(|message| message.get("content"))
            .map(text_of),
    );
    let prompt = messages
        .iter()
        .rev()
        .filter(|message| message.get("role").and_then(Value::as_str) == Some("user"))
        .filter_map(|message| message.get("content"))
        .map(text_of)
        .find(|text| !text.is_empty())
        .unwrap_or_default();
    let (system, system_cut) = bounded(&system.join("\n\n"), max, rules, hits);
    // Found once, in the messages: what stands in two places counts once.
    let (prompt, prompt_cut) = bounded(&prompt, max, rules, &mut Hits::new());
    if let Some(rules) = rules {
        messages
            .iter_mut()
            .for_each(|message| rules.json(message, hits));
    }
    let (json, messages_cut) = newest(messages, max);
    let (tools, tools_cut) = offered(&mut value, max, rules, hits);
    said.system_prompt = system;
    said.prompt = prompt;
    said.messages_json = json;
    said.tools_json = tools;
    system_cut || prompt_cut || messages_cut || tools_cut
}

/// The tools a request offers, as many of the first as fit, as a JSON array; empty when there are none. OpenAI's older
/// `functions` are tools, too. Whether some were left out.
fn offered(
    request: &mut Value,
    max: usize,
    rules: Option<&Redactor>,
    hits: &mut Hits,
) -> (String, bool) {
    let mut tools: Vec<Value> = Vec::new();
    for name in ["tools", "functions"] {
        if let Some(Value::Array(told)) = request.get_mut(name) {
            tools.append(told);
        }
    }
    if let Some(rules) = rules {
        tools.iter_mut().for_each(|tool| rules.json(tool, hits));
    }
    let many = tools.len();
    let kept = fitting(tools.into_iter(), max);
    let cut = kept.len() < many;
    let text = if kept.is_empty() {
        String::new()
    } else {
        format!("[{}]", kept.join(","))
    };
    (text, cut)
}

fn user(text: &str) -> Value {
    serde_json::json!({"role": "user", "content": text})
}

/// As many of the newest messages as fit, as a JSON array; whether some were left out.
fn newest(messages: Vec<Value>, max: usize) -> (String, bool) {
    let many = messages.len();
    let mut kept = fitting(messages.into_iter().rev(), max);
    let cut = kept.len() < many;
    kept.reverse();
    (format!("[{}]", kept.join(",")), cut)
}

/// Values up to the first that does not fit into an array of `max` bytes, each as JSON.
fn fitting(values: impl Iterator<Item = Value>, max: usize) -> Vec<String> {
    let mut size = 2;
    values
        .map(|value| value.to_string())
        .take_while(|text| {
            size += text.len() + 1;
            size <= max
        })
        .collect()
}

/// Pictures and files become a word about them.
fn without_files(value: &mut Value) {
    match value {
        Value::String(text) => {
            let binary = text.len() >= BINARY_MIN_BYTES
                && text.is_ascii()
                && !text.bytes().any(|byte| byte.is_ascii_whitespace());
            if binary {
                *text = format!("[{} bytes left out]", text.len());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_files),
        Value::Object(fields) => fields.values_mut().for_each(without_files),
        _ => {}
    }
}
