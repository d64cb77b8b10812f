//! A kept call as a line for fine-tuning: OpenAI's chat messages, whichever dialect it was said in. Pure.
//!
//! Tools are called by `tool_calls` of the assistant and answer as `tool` messages: Anthropic's `tool_use` and
//! `tool_result` and the items of the Responses API become these. An answer to a call that is not there any more (only the
//! newest messages are kept of a long talk) is left out: the format does not take it. Tools that were offered become
//! `tools`: whatever has a name is a function, Anthropic's `input_schema` its parameters. Calls that were kept before the
//! tools were have none.

use std::collections::HashSet;

use serde_json::{Value, json};
use steward_actors::contents::Said;

use crate::gateway::capture_text as text_of;

/// The line; `None` when nobody asked, or the model neither said anything nor called a tool.
pub(super) fn line(said: &Said) -> Option<Value> {
    let answered: Vec<Value> = serde_json::from_str(&said.tool_calls_json).unwrap_or_default();
    if said.prompt.is_empty() || (said.completion.is_empty() && answered.is_empty()) {
        return None;
    }
    let sent: Vec<Value> = serde_json::from_str(&said.messages_json).unwrap_or_default();
    let mut talk = Talk::default();
    if !said.system_prompt.is_empty() {
        talk.say("system", &said.system_prompt);
    }
    let before = talk.messages.len();
    sent.iter().for_each(|message| talk.take(message));
    // The messages did not fit, the prompt did.
    if talk.messages.len() == before {
        talk.say("user", &said.prompt);
    }
    talk.answer(&said.completion, answered.iter().map(call).collect());
    let mut line = json!({ "messages": talk.messages });
    let offered: Vec<Value> = serde_json::from_str(&said.tools_json).unwrap_or_default();
    let tools: Vec<Value> = offered.iter().filter_map(tool).collect();
    if !tools.is_empty() {
        line["tools"] = Value::Array(tools);
    }
    Some(line)
}

#[derive(Default)]
struct Talk {
    messages: Vec<Value>,
    /// Calls that were made, by id.
    called: HashSet<String>,
}

impl Talk {
    fn say(&mut self, role: &str, text: &str) {
        if !text.is_empty() {
            self.messages.push(json!({"role": role, "content": text}));
        }
    }

    /// The assistant speaks, calls tools, or both.
    fn answer(&mut self, text: &str, calls: Vec<Value>) {
        if calls.is_empty() {
            return self.say("assistant", text);
        }
        for call in &calls {
            self.called.insert(word(call, "id").to_owned());
        }
        let content = (!text.is_empty()).then_some(text);
        self.messages
            .push(json!({"role": "assistant", "content": content, "tool_calls": calls}));
    }

    /// One more call in the same breath: the Responses API tells each as an item of its own.
    fn call(&mut self, call: Value) {
        let last = self.messages.last_mut();
        let open = last.filter(|message| message["role"] == "assistant");
        match open {
            None => self.answer("", vec![call]),
            Some(message) => {
                self.called.insert(word(&call, "id").to_owned());
                match message.get_mut("tool_calls").and_then(Value::as_array_mut) {
                    Some(calls) => calls.push(call),
                    None => message["tool_calls"] = json!([call]),
                }
            }
        }
    }

    fn result(&mut self, id: &str, content: &Value) {
        if self.called.contains(id) {
            self.messages
                .push(json!({"role": "tool", "tool_call_id": id, "content": text_of(content)}));
        }
    }

    fn take(&mut self, message: &Value) {
        match word(message, "type") {
            "function_call" | "custom_tool_call" => return self.call(call(message)),
            "function_call_output" | "custom_tool_call_output" => {
                return self.result(word(message, "call_id"), &message["output"]);
            }
            _ => {}
        }
        let content = message.get("content").unwrap_or(&Value::Null);
        let parts = || content.as_array().into_iter().flatten();
        match word(message, "role") {
            "assistant" => {
                let told = message.get("tool_calls").and_then(Value::as_array);
                let used = parts().filter(|part| word(part, "type") == "tool_use");
                let calls = told.into_iter().flatten().chain(used).map(call).collect();
                self.answer(&said_in(content), calls);
            }
            "tool" => self.result(word(message, "tool_call_id"), content),
            "user" => {
                // Anthropic's tools answer within the user's message.
                for part in parts().filter(|part| word(part, "type") == "tool_result") {
                    self.result(word(part, "tool_use_id"), &part["content"]);
                }
                self.say("user", &said_in(content));
            }
            _ => {}
        }
    }
}

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The text of a content, without what is a tool's.
fn said_in(content: &Value) -> String {
    match content {
        Value::Array(parts) => {
            let is_tools = |part: &Value| matches!(word(part, "type"), "tool_use" | "tool_result");
            let said = parts.iter().filter(|part| !is_tools(part)).cloned();
            text_of(&Value::Array(said.collect()))
        }
        other => text_of(other),
    }
}

/// A call of a tool, in whichever form it came. Arguments are text, as OpenAI has them.
fn call(told: &Value) -> Value {
    let function = told.get("function").unwrap_or(told);
    let id = [word(told, "call_id"), word(told, "id")]
        .into_iter()
        .find(|id| !id.is_empty())
        .unwrap_or_default();
    let arguments = match function.get("arguments").or_else(|| function.get("input")) {
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        None | Some(Value::Null | Value::String(_)) => "{}".to_owned(),
        Some(other) => other.to_string(),
    };
    json!({"id": id, "type": "function", "function": {"name": word(function, "name"), "arguments": arguments}})
}

/// A tool that was offered, in whichever form it came; `None` for one without a name, which a provider runs by itself.
fn tool(told: &Value) -> Option<Value> {
    let told = told
        .get("function")
        .or_else(|| told.get("custom"))
        .unwrap_or(told);
    let name = Some(word(told, "name")).filter(|name| !name.is_empty())?;
    let mut function = json!({ "name": name });
    let description = word(told, "description");
    if !description.is_empty() {
        function["description"] = json!(description);
    }
    let parameters = told.get("parameters").or_else(|| told.get("input_schema"));
    if let Some(parameters) = parameters.filter(|parameters| parameters.is_object()) {
        function["parameters"] = parameters.clone();
    }
    if told.get("strict") == Some(&Value::Bool(true)) {
        function["strict"] = json!(true);
    }
    Some(json!({"type": "function", "function": function}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(messages: Value, completion: &str, calls: Value) -> Said {
        Said {
            messages_json: messages.to_string(),
            prompt: "weather?".into(),
            completion: completion.into(),
            tool_calls_json: calls.to_string(),
            ..Said::default()
        }
    }

    fn called(id: &str, city: &str) -> Value {
        json!({"id": id, "type": "function",
            "function": {"name": "weather", "arguments": json!({"city": city}).to_string()}})
    }

    /// One talk: two tools are called at once, answer, and a third is called.
    fn expected() -> Value {
        json!({"messages": [
            {"role": "user", "content": "weather?"},
            {"role": "assistant", "content": null, "tool_calls": [called("a", "Oslo"), called("b", "Rome")]},
            {"role": "tool", "tool_call_id": "a", "content": "rain"},
            {"role": "tool", "tool_call_id": "b", "content": "sun"},
            {"role": "assistant", "content": "One more.", "tool_calls": [called("c", "Bonn")]},
        ]})
    }

    fn last() -> Value {
        json!([{"id": "c", "name": "weather", "arguments": "{\"city\":\"Bonn\"}"}])
    }

    #[test]
    fn every_dialect_becomes_the_same_line() {
        let chat = json!([
            {"role": "user", "content": "weather?"},
            {"role": "assistant", "content": null, "tool_calls": [called("a", "Oslo"), called("b", "Rome")]},
            {"role": "tool", "tool_call_id": "a", "content": "rain"},
            {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "sun"}]},
        ]);
        let messages = json!([
            {"role": "user", "content": [{"type": "text", "text": "weather?"}]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Oslo"}},
                {"type": "tool_use", "id": "b", "name": "weather", "input": {"city": "Rome"}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "rain"},
                {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "sun"}]},
            ]},
        ]);
        let item = |id: &str, city: &str| {
            json!({"type": "function_call", "id": "fc_1", "call_id": id, "name": "weather",
                "arguments": json!({"city": city}).to_string()})
        };
        let responses = json!([
            {"role": "user", "content": [{"type": "input_text", "text": "weather?"}]},
            item("a", "Oslo"),
            item("b", "Rome"),
            {"type": "function_call_output", "call_id": "a", "output": "rain"},
            {"type": "function_call_output", "call_id": "b", "output": "sun"},
        ]);
        for sent in [chat, messages, responses] {
            let line = line(&said(sent, "One more.", last())).unwrap();
            assert_eq!(line, expected(), "{line:#}");
        }
    }

    #[test]
    fn an_answer_that_only_calls_a_tool_is_one() {
        let line = |completion: &str, calls: Value| {
            let sent = json!([{"role": "user", "content": "weather?"}]);
            line(&said(sent, completion, calls))
        };
        let only = line("", last()).unwrap();
        assert_eq!(
            only["messages"][1],
            json!({"role": "assistant", "content": null, "tool_calls": [called("c", "Bonn")]})
        );
        assert_eq!(line("", json!([])), None);
        let plain = line("Sunny.", json!([])).unwrap();
        assert_eq!(
            plain["messages"][1],
            json!({"role": "assistant", "content": "Sunny."})
        );
    }

    #[test]
    fn tools_that_were_offered_are_functions_whichever_dialect_offered_them() {
        let schema = || json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
        let told = |more: Value| {
            let mut tool = json!({"name": "weather", "description": "Of a city."});
            for (name, value) in more.as_object().unwrap() {
                tool[name] = value.clone();
            }
            tool
        };
        let parameters = told(json!({"parameters": schema()}));
        let responses = told(json!({"type": "function", "parameters": schema()}));
        let anthropic =
            told(json!({"input_schema": schema(), "cache_control": {"type": "ephemeral"}}));
        let expected = json!([{"type": "function", "function": parameters}]);
        let line_of = |tools: Value| {
            let sent = json!([{"role": "user", "content": "weather?"}]);
            let mut said = said(sent, "One more.", last());
            said.tools_json = tools.to_string();
            line(&said).unwrap()
        };
        for offered in [
            expected.clone(),
            json!([parameters]),
            json!([responses, {"type": "web_search"}]),
            json!([anthropic]),
        ] {
            assert_eq!(line_of(offered.clone())["tools"], expected, "{offered}");
        }
        // What is called by a name and has no schema, and what wants one to the letter.
        let bare = json!([{"type": "bash_20250124", "name": "bash"}, {"type": "custom", "custom": {"name": "sql"}},
            {"type": "function", "function": {"name": "f", "parameters": null, "strict": true}}]);
        assert_eq!(
            line_of(bare)["tools"],
            json!([{"type": "function", "function": {"name": "bash"}}, {"type": "function", "function": {"name": "sql"}},
                {"type": "function", "function": {"name": "f", "strict": true}}])
        );
        for none in [json!([]), json!([{"type": "web_search"}]), json!("odd")] {
            let line = line_of(none);
            assert_eq!(line.get("tools"), None, "{line}");
        }
        // Kept before the tools were.
        assert_eq!(
            line(&said(json!([]), "Dry.", json!([])))
                .unwrap()
                .get("tools"),
            None
        );
    }

    #[test]
    fn what_did_not_fit_leaves_no_answer_without_its_call() {
        let cut = json!([
            {"role": "tool", "tool_call_id": "gone", "content": "rain"},
            {"role": "user", "content": "and now?"},
        ]);
        let told = line(&said(cut, "Dry.", json!([]))).unwrap();
        assert_eq!(
            told["messages"],
            json!([{"role": "user", "content": "and now?"}, {"role": "assistant", "content": "Dry."}])
        );
        let told = line(&said(json!([]), "Dry.", json!([]))).unwrap();
        assert_eq!(
            told["messages"][0],
            json!({"role": "user", "content": "weather?"})
        );
    }
}
