//! Assembles an answer: out of the events of a stream as they pass, or out of a whole body at the end. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use steward_actors::contents::Said;
use steward_actors::contents::intake::{Intake, Reserved};
use steward_actors::domain::record::Operation;
use steward_actors::domain::redaction::{Hits, Redactor, end_before_number, end_of_whole_words};

use super::request::text_of;
use super::{bounded, lean};

/// Memory is reserved in pieces of this many bytes.
const RESERVE_BYTES: usize = 8 * 1024;
/// A body is JSON around its text.
const BODY_FACTOR: usize = 4;
/// Tools one answer may call.
const TOOLS_MAX: usize = 128;

/// What has been heard of an answer so far.
#[derive(Debug)]
pub(in crate::gateway) struct Heard {
    operation: Operation,
    max: usize,
    text: BTreeMap<u64, String>,
    tools: BTreeMap<u64, Tool>,
    /// Of an answer that is no stream.
    body: Vec<u8>,
    held: usize,
    reserved: usize,
    full: bool,
    memory: Reserved,
}

#[derive(Debug, Default)]
struct Tool {
    id: String,
    name: String,
    arguments: String,
}

#[derive(Deserialize)]
struct ChatChunk<'a> {
    #[serde(borrow, default)]
    choices: Vec<ChatChoice<'a>>,
}

#[derive(Deserialize)]
struct ChatChoice<'a> {
    #[serde(default)]
    index: u64,
    #[serde(borrow)]
    delta: Option<ChatDelta<'a>>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct ChatDelta<'a> {
    #[serde(borrow)]
    content: Option<Cow<'a, str>>,
    #[serde(borrow)]
    refusal: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<ChatTool<'a>>>,
}

#[derive(Deserialize)]
struct ChatTool<'a> {
    #[serde(default)]
    index: u64,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    function: Option<ChatFunction<'a>>,
}

#[derive(Deserialize)]
struct ChatFunction<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    arguments: Option<Cow<'a, str>>,
}

/// Events of the Responses API and of Anthropic's messages, as far as they matter here.
#[derive(Deserialize)]
struct TypedEvent<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(default)]
    index: u64,
    #[serde(default)]
    output_index: u64,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    item: Option<Item<'a>>,
    #[serde(borrow)]
    content_block: Option<Item<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Delta<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Parts {
        #[serde(borrow)]
        text: Option<Cow<'a, str>>,
        #[serde(borrow)]
        partial_json: Option<Cow<'a, str>>,
    },
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    call_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
}

impl Heard {
    pub(super) fn new(operation: Operation, intake: &Arc<Intake>) -> Self {
        Self {
            operation,
            max: intake.side_max(),
            text: BTreeMap::new(),
            tools: BTreeMap::new(),
            body: Vec::new(),
            held: 0,
            reserved: 0,
            full: false,
            memory: intake.reserve(),
        }
    }

    /// The next event of a stream.
    pub(super) fn event(&mut self, data: &[u8]) {
        if self.full || data.first() != Some(&b'{') {
            return;
        }
        match self.operation {
            Operation::Messages | Operation::Responses => {
                if let Ok(event) = serde_json::from_slice::<TypedEvent<'_>>(data) {
                    self.typed(event);
                }
            }
            _ => {
                if let Ok(chunk) = serde_json::from_slice::<ChatChunk<'_>>(data) {
                    chunk
                        .choices
                        .into_iter()
                        .for_each(|choice| self.choice(choice));
                }
            }
        }
    }

    /// The next bytes of a body that is no stream.
    pub(in crate::gateway) fn body(&mut self, plain: &[u8]) {
        if self.full {
            return;
        }
        let left = (self.max * BODY_FACTOR).saturating_sub(self.body.len());
        let fits = &plain[..plain.len().min(left)];
        if self.room(fits.len()) {
            self.body.extend_from_slice(fits);
        }
        self.full |= fits.len() < plain.len();
    }

    fn choice(&mut self, choice: ChatChoice<'_>) {
        let index = choice.index;
        if let Some(text) = choice.text {
            self.say(index, &text);
        }
        let Some(delta) = choice.delta else { return };
        for text in [delta.content, delta.refusal].into_iter().flatten() {
            self.say(index, &text);
        }
        for call in delta.tool_calls.into_iter().flatten() {
            // Several choices may call tools of the same number.
            let key = index << 32 | call.index;
            let function = call.function;
            let (name, arguments) =
                function.map_or((None, None), |function| (function.name, function.arguments));
            self.call(key, call.id, name, arguments);
        }
    }

    fn typed(&mut self, event: TypedEvent<'_>) {
        let index = event.index.max(event.output_index);
        match (&*event.kind, event.delta) {
            ("response.output_text.delta" | "response.refusal.delta", Some(Delta::Text(text))) => {
                self.say(index, &text);
            }
            (
                "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta",
                Some(Delta::Text(text)),
            ) => {
                self.call(index, None, None, Some(text));
            }
            ("content_block_delta", Some(Delta::Parts { text, partial_json })) => {
                if let Some(text) = text {
                    self.say(index, &text);
                }
                if let Some(json) = partial_json {
                    self.call(index, None, None, Some(json));
                }
            }
            _ => {}
        }
        for item in [event.item, event.content_block].into_iter().flatten() {
            let begins = matches!(
                &*event.kind,
                "response.output_item.added" | "content_block_start"
            );
            match &*item.kind {
                "function_call" | "tool_use" | "server_tool_use" | "custom_tool_call" if begins => {
                    self.call(index, item.call_id.or(item.id), item.name, None);
                }
                "text" if begins => {
                    if let Some(text) = item.text {
                        self.say(index, &text);
                    }
                }
                _ => {}
            }
        }
    }

    fn say(&mut self, index: u64, text: &str) {
        if !text.is_empty() && self.room(text.len()) {
            self.text.entry(index).or_default().push_str(text);
        }
    }

    fn call(
        &mut self,
        index: u64,
        id: Option<Cow<'_, str>>,
        name: Option<Cow<'_, str>>,
        arguments: Option<Cow<'_, str>>,
    ) {
        let size = [&id, &name, &arguments]
            .into_iter()
            .flatten()
            .map(|text| text.len())
            .sum();
        if self.tools.len() >= TOOLS_MAX || !self.room(size) {
            self.full = true;
            return;
        }
        let tool = self.tools.entry(index).or_default();
        if let Some(id) = id {
            tool.id = id.into_owned();
        }
        if let Some(name) = name {
            tool.name.push_str(&name);
        }
        if let Some(arguments) = arguments {
            tool.arguments.push_str(&arguments);
        }
    }

    /// Takes note of bytes to be held; from the first that do not fit nothing more is heard.
    fn room(&mut self, bytes: usize) -> bool {
        let max = match self.text.is_empty() && self.tools.is_empty() {
            // A body; its text is cut when it is read.
            true => self.max * BODY_FACTOR,
            false => self.max,
        };
        if self.full || self.held + bytes > max {
            self.full = true;
            return false;
        }
        while self.held + bytes > self.reserved {
            let piece = RESERVE_BYTES.max(self.held + bytes - self.reserved);
            if !self.memory.grow(piece) {
                self.full = true;
                return false;
            }
            self.reserved += piece;
        }
        self.held += bytes;
        true
    }

    /// Puts what was heard into `said`; whether something was left out. An answer that is not `whole` ended anywhere.
    pub(super) fn read(
        mut self,
        max: usize,
        rules: Option<&Redactor>,
        whole: bool,
        hits: &mut Hits,
        said: &mut Said,
    ) -> bool {
        let mut cut = self.full;
        if !self.body.is_empty() {
            match serde_json::from_slice::<Value>(&self.body) {
                Ok(value) => self.whole(&value),
                Err(_) => {
                    cut = true;
                    let mended = lean::mended(&self.body);
                    if let Some(value) = mended.and_then(|it| serde_json::from_slice(&it).ok()) {
                        self.whole(&value);
                    }
                }
            }
        }
        // What was heard event by event may end in a part of something that the rules would know as a whole. All of
        // it: several choices speak at once.
        let streamed = self.body.is_empty();
        let (full, broken) = (self.full && streamed, !whole && streamed && rules.is_some());
        let trim = |text: &mut String| {
            if full {
                text.truncate(end_of_whole_words(text));
            } else if broken {
                text.truncate(end_before_number(text));
            }
        };
        let texts: Vec<String> = self
            .text
            .into_values()
            .map(|mut text| {
                trim(&mut text);
                text
            })
            .filter(|text| !text.is_empty())
            .collect();
        let (completion, completion_cut) = bounded(&texts.join("\n\n"), max, rules, hits);
        said.completion = completion;
        let mut tools: Vec<Value> = self
            .tools
            .into_values()
            .map(|mut tool| {
                trim(&mut tool.arguments);
                json!({"id": tool.id, "name": tool.name, "arguments": tool.arguments})
            })
            .collect();
        if let Some(rules) = rules {
            tools.iter_mut().for_each(|tool| rules.json(tool, hits));
        }
        if !tools.is_empty() {
            let text = Value::Array(tools).to_string();
            if text.len() <= max {
                said.tool_calls_json = text;
            } else {
                cut = true;
            }
        }
        cut || completion_cut
    }

    /// A whole answer, in whichever dialect.
    fn whole(&mut self, value: &Value) {
        let list = |name: &str| {
            value
                .get(name)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
        };
        let text = |value: Option<&Value>| value.map(text_of).unwrap_or_default();
        for (index, choice) in (0_u64..).zip(list("choices")) {
            let message = choice.get("message");
            let said = message.and_then(|message| message.get("content"));
            let refusal = message.and_then(|message| message.get("refusal"));
            let said = [text(said), text(refusal), text(choice.get("text"))].concat();
            self.text.insert(index, said);
            let calls = message.and_then(|message| message.get("tool_calls"));
            for (number, call) in
                (0_u64..).zip(calls.and_then(Value::as_array).into_iter().flatten())
            {
                let function = call.get("function");
                let part = |name| text(function.and_then(|function| function.get(name)));
                let tool = Tool {
                    id: text(call.get("id")),
                    name: part("name"),
                    arguments: part("arguments"),
                };
                self.tools.insert(index << 32 | number, tool);
            }
        }
        for (index, item) in (0_u64..).zip(list("output").chain(list("content"))) {
            let arguments = match (item.get("arguments"), item.get("input")) {
                (Some(Value::String(text)), _) | (_, Some(Value::String(text))) => text.clone(),
                (_, Some(input)) => input.to_string(),
                _ => String::new(),
            };
            match item.get("type").and_then(Value::as_str) {
                Some("function_call" | "tool_use" | "server_tool_use" | "custom_tool_call") => {
                    let tool = Tool {
                        id: text(item.get("call_id").or_else(|| item.get("id"))),
                        name: text(item.get("name")),
                        arguments,
                    };
                    self.tools.insert(index, tool);
                }
                Some("message" | "text") => {
                    self.text.insert(index, text_of(item));
                }
                _ => {}
            }
        }
    }
}
