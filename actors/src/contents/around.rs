//! What stands around a question and its answer: the instructions, and what was said before. Pure.

use serde_json::Value;

use super::Said;

/// The texts of the messages before the last question, the newest first.
pub fn earlier(said: &Said) -> Vec<String> {
    let messages: Vec<Value> = serde_json::from_str(&said.messages_json).unwrap_or_default();
    let mut asked = false;
    messages
        .iter()
        .rev()
        .filter(|message| {
            let role = message.get("role").and_then(Value::as_str);
            !matches!(role, Some("system" | "developer"))
        })
        .map(text_of)
        .filter(|text| {
            // The question itself stands apart.
            let question = !asked && *text == said.prompt;
            asked |= question;
            !question && !text.is_empty()
        })
        .collect()
}

/// The text of a content: a text, or the texts of its parts.
pub fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .map(text_of)
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join("\n"),
        Value::Object(part) => ["text", "content", "input_text", "output_text", "refusal"]
            .iter()
            .find_map(|name| part.get(*name))
            .map(text_of)
            .unwrap_or_default(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_before_comes_newest_first_and_without_the_question() {
        let said = Said {
            messages_json: serde_json::json!([
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "again"},
                {"role": "assistant", "content": [{"type": "text", "text": "Hello."}]},
                {"role": "assistant", "content": null},
                {"role": "user", "content": "again"},
            ])
            .to_string(),
            prompt: "again".into(),
            ..Said::default()
        };
        assert_eq!(earlier(&said), ["Hello.", "again"]);
        assert!(earlier(&Said::default()).is_empty());
    }
}
