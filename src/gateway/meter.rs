//! Reads off an answer, while it passes, what it used, who answered, and how it ended.
//!
//! Fed with the events of a stream or the bytes of a body, decoded. The path of an ordinary chunk is a few
//! substring searches; only the one or two events of a stream that carry something are parsed, and a body is
//! never held whole. It changes nothing, waits for nothing and prices nothing.

mod members;
#[cfg(test)]
mod tests;

use memchr::memmem;
use serde_json::Value;
use steward_actors::domain::record::{ERROR_MESSAGE_MAX_BYTES, NAME_MAX_BYTES, Operation, cut};

use self::members::{keys, number_of, opens, strings_of, value_at};
use super::dialect::openai;
use super::json;
use super::redact;
use super::sample::{Sample, decode_cut};
use super::scan::{Scanner, Scope, Want};
use super::sse::Event;
use super::usage::{Parts, Usage};

/// Most bytes of a body's output text looked at for an estimate.
pub const SAMPLE_MAX_BYTES: usize = 8 * 1024;
/// After this many events without a model's name none is looked for any more.
const IDENTIFY_EVENTS: u32 = 8;

const USAGE: Want = Want {
    key: "usage",
    max_bytes: 16 * 1024,
};
const ERROR: Want = Want {
    key: "error",
    max_bytes: 16 * 1024,
};
const MODEL: Want = Want {
    key: "model",
    max_bytes: 1024,
};
const ID: Want = Want {
    key: "id",
    max_bytes: 1024,
};
const GROQ: Want = Want {
    key: "x_groq",
    max_bytes: 16 * 1024,
};

/// Members of an event that matter.
const EVENT_WANTS: &[Want] = &[
    USAGE,
    ERROR,
    MODEL,
    ID,
    GROQ,
    // Only whether it is empty.
    Want {
        key: "choices",
        max_bytes: 8,
    },
    Want {
        key: "code",
        max_bytes: 256,
    },
    Want {
        key: "message",
        max_bytes: 4 * 1024,
    },
];

/// Members of a body that matter; the last three hold the output, by protocol.
const BODY_WANTS: &[Want] = &[
    USAGE,
    ERROR,
    MODEL,
    ID,
    GROQ,
    Want {
        key: "choices",
        max_bytes: 4 * SAMPLE_MAX_BYTES,
    },
    Want {
        key: "content",
        max_bytes: 4 * SAMPLE_MAX_BYTES,
    },
    Want {
        key: "output",
        max_bytes: 4 * SAMPLE_MAX_BYTES,
    },
];

/// What one event was.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Seen {
    /// It carried output: text, reasoning, a tool call. The first such event is the first token.
    pub content: bool,
    /// It ends the stream; to be held back until the call is on the books.
    pub terminal: bool,
    /// A chunk with nothing but usage; to be kept from a client that did not ask for it.
    pub usage_only: bool,
    /// The provider reported an error.
    pub error: bool,
}

/// An error the provider told, in a body or within a stream.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ProviderError {
    /// Its `code`, else its `type`.
    pub code: String,
    /// Free of what looks like a secret, cut to a record's bound.
    pub message: String,
}

/// Output text as far as it was kept.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OutputText {
    pub sample: String,
    /// Bytes of text the sample stands for, escapes as written.
    pub sampled_bytes: u64,
    /// Bytes of text there were in all, escapes as written.
    pub total_bytes: u64,
}

/// What was read by the end.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reading {
    /// As far as the provider told it.
    pub usage: Option<Usage>,
    /// The provider told it to the end; otherwise the completion has to be estimated.
    pub usage_final: bool,
    /// The model that answered.
    pub model: Option<String>,
    /// The provider's id of the answer.
    pub response_id: Option<String>,
    pub error: Option<ProviderError>,
    /// The stream's terminal event, or the body's last brace, was seen.
    pub complete: bool,
    /// Any output was seen.
    pub content: bool,
    /// For an estimate; empty for a body whose usage was told.
    pub output: OutputText,
}

/// See the module. One per answer.
#[derive(Debug)]
pub struct Meter {
    operation: Operation,
    parts: Option<Parts>,
    usage_final: bool,
    model: Option<String>,
    response_id: Option<String>,
    error: Option<ProviderError>,
    terminal: bool,
    content: bool,
    identify_left: u32,
    sequence: Option<u64>,
    sample: Sample,
    body: Option<Box<Scanner>>,
}

impl Meter {
    /// A meter for one answer to `operation`.
    pub fn new(operation: Operation) -> Self {
        Self {
            operation,
            parts: None,
            usage_final: false,
            model: None,
            response_id: None,
            error: None,
            terminal: false,
            content: false,
            identify_left: IDENTIFY_EVENTS,
            sequence: None,
            sample: Sample::new(),
            body: None,
        }
    }

    /// Looks at the next event of a stream.
    pub fn event(&mut self, event: &Event<'_>) -> Seen {
        let data: &[u8] = &event.data;
        if data.is_empty() && event.name.is_empty() {
            return Seen::default();
        }
        let seen = match self.operation {
            Operation::Messages | Operation::CountTokens => self.messages_event(event),
            Operation::Responses => self.responses_event(event),
            _ => self.chat_event(data),
        };
        self.content |= seen.content;
        self.terminal |= seen.terminal;
        seen
    }

    /// Looks at the next bytes of a body that is not a stream.
    pub fn body(&mut self, bytes: &[u8]) {
        self.body
            .get_or_insert_with(|| Box::new(Scanner::new(Scope::Top, BODY_WANTS)))
            .push(bytes);
    }

    /// Whether a body's outermost object was opened and is not closed yet.
    pub fn body_is_open(&self) -> bool {
        let body = self.body.as_deref();
        body.is_some_and(|body| body.begun() && !body.finished())
    }

    /// Whether the terminal event has passed.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// The `sequence_number` the next event of a Responses stream would have.
    pub fn next_sequence(&self) -> u64 {
        self.sequence.map_or(0, |last| last + 1)
    }

    /// What was read. Ask when the answer has ended, however it ended.
    pub fn reading(mut self) -> Reading {
        let mut complete = self.terminal;
        let mut output = None;
        if let Some(body) = self.body.take() {
            complete |= body.finished();
            output = self.read_body(&body);
        }
        let output = output.unwrap_or_else(|| {
            let (sample, sampled_bytes) = self.sample.read();
            OutputText {
                sample,
                sampled_bytes,
                total_bytes: self.sample.passed(),
            }
        });
        let content = self.content || output.total_bytes > 0;
        Reading {
            usage: self.parts.map(Parts::usage),
            usage_final: self.usage_final && self.parts.is_some(),
            model: self.model,
            response_id: self.response_id,
            error: self.error,
            complete,
            content,
            output,
        }
    }

    fn read_body(&mut self, body: &Scanner) -> Option<OutputText> {
        self.identify(body);
        self.read_error(body.get("error"));
        let groq = body.get("x_groq").and_then(groq_usage);
        if self.take_usage(body.get("usage")) || self.take_usage(groq.as_deref()) {
            self.usage_final = true;
        }
        let key = match self.operation {
            Operation::Chat | Operation::Completion => "choices",
            Operation::Messages => "content",
            Operation::Responses => "output",
            _ => return None,
        };
        let raw = body.get(key)?;
        let total = body.len_of(key);
        self.content |= total > 2;
        if self.usage_final {
            // Nobody will have to estimate it.
            return None;
        }
        let mut texts = Vec::new();
        let mut bytes = 0;
        let mut found = 0;
        for name in output_keys(self.operation) {
            for text in strings_of(raw, &memmem::Finder::new(name)) {
                found += text.len();
                let room = SAMPLE_MAX_BYTES - bytes;
                let part = &text[..text.len().min(room)];
                texts.extend_from_slice(part);
                bytes += part.len();
            }
        }
        let (sample, sampled) = decode_cut(&texts);
        // What lies beyond the capture is text in the same proportion.
        let scale = |bytes: usize| (bytes as u64).saturating_mul(total) / (raw.len().max(1) as u64);
        Some(OutputText {
            sample,
            sampled_bytes: sampled as u64,
            total_bytes: scale(found),
        })
    }

    fn chat_event(&mut self, data: &[u8]) -> Seen {
        if openai::is_done(data) {
            return Seen {
                terminal: true,
                ..Seen::default()
            };
        }
        let mut seen = Seen::default();
        if self.operation == Operation::Completion {
            seen.content = self.take_text(data, &keys::TEXT);
        } else {
            let said = self.take_text(data, &keys::CONTENT);
            seen.content = said
                || self.take_text(data, &keys::REASONING_CONTENT)
                || self.take_text(data, &keys::REASONING)
                || self.take_text(data, &keys::REFUSAL);
            if !said {
                seen.content |= self.take_text(data, &keys::ARGUMENTS);
                if !self.content && !seen.content {
                    seen.content = opens(data, &keys::TOOL_CALLS, b'[')
                        || opens(data, &keys::FUNCTION_CALL, b'{')
                        || opens(data, &keys::AUDIO, b'{');
                }
            }
        }
        let usage = opens(data, &keys::USAGE, b'{');
        let error = keys::ERROR_KEY.find(data).is_some();
        let identify = self.model.is_none() && self.identify_left > 0;
        if usage || error || identify {
            self.identify_left = self.identify_left.saturating_sub(1);
            let mut scanner = Scanner::new(Scope::Top, EVENT_WANTS);
            scanner.push(data);
            self.identify(&scanner);
            seen.error = self.read_error(scanner.get("error"));
            if usage {
                if self.take_usage(scanner.get("usage")) {
                    self.usage_final = true;
                    let empty = |raw: &[u8]| {
                        raw.iter()
                            .filter(|byte| !byte.is_ascii_whitespace())
                            .eq(b"[]")
                    };
                    seen.usage_only = scanner.get("choices").is_some_and(empty);
                } else if let Some(raw) = scanner.get("x_groq").and_then(groq_usage) {
                    self.usage_final |= self.take_usage(Some(&raw));
                }
            }
        }
        seen
    }

    fn messages_event(&mut self, event: &Event<'_>) -> Seen {
        let data: &[u8] = &event.data;
        let mut seen = Seen::default();
        match event_type(event) {
            b"content_block_delta" => {
                seen.content = self.take_text(data, &keys::TEXT)
                    || self.take_text(data, &keys::THINKING)
                    || self.take_text(data, &keys::PARTIAL_JSON);
            }
            b"content_block_start" if !self.content => {
                seen.content = keys::TOOL_USE.find(data).is_some();
            }
            b"message_start" => {
                let mut scanner = Scanner::new(Scope::Inside("message"), EVENT_WANTS);
                scanner.push(data);
                self.identify(&scanner);
                self.take_usage(scanner.get("usage"));
            }
            b"message_delta" => {
                let mut scanner = Scanner::new(Scope::Top, EVENT_WANTS);
                scanner.push(data);
                self.usage_final |= self.take_usage(scanner.get("usage"));
            }
            b"message_stop" => seen.terminal = true,
            b"error" => {
                let mut scanner = Scanner::new(Scope::Top, EVENT_WANTS);
                scanner.push(data);
                seen.error = self.read_error(scanner.get("error"));
            }
            _ => {}
        }
        seen
    }

    fn responses_event(&mut self, event: &Event<'_>) -> Seen {
        let data: &[u8] = &event.data;
        if let Some(number) = number_of(data, &keys::SEQUENCE) {
            self.sequence = Some(number);
        }
        let kind = event_type(event);
        let mut seen = Seen::default();
        if openai::ends_response(kind) {
            seen.terminal = true;
            if event.oversized {
                // Only the event's end is at hand; the usage stands there.
                if let Some(at) = memmem::rfind(data, b"\"usage\"") {
                    self.usage_final |= self.take_usage(value_at(data, at + 7));
                }
                return seen;
            }
            let mut scanner = Scanner::new(Scope::Inside("response"), EVENT_WANTS);
            scanner.push(data);
            self.identify(&scanner);
            seen.error = self.read_error(scanner.get("error"));
            self.usage_final |= self.take_usage(scanner.get("usage"));
        } else if kind.ends_with(b".delta") {
            seen.content = if memmem::find(kind, b"audio").is_some() {
                true
            } else {
                self.take_text(data, &keys::DELTA)
            };
        } else if kind == b"error" {
            // Either `{"error":{…}}` or the fields at the top.
            let mut scanner = Scanner::new(Scope::Top, EVENT_WANTS);
            scanner.push(data);
            seen.error = self.read_error(scanner.get("error")) || self.read_error(Some(data));
        } else if self.model.is_none() && self.identify_left > 0 {
            self.identify_left -= 1;
            let mut scanner = Scanner::new(Scope::Inside("response"), EVENT_WANTS);
            scanner.push(data);
            self.identify(&scanner);
        }
        seen
    }

    fn identify(&mut self, scanner: &Scanner) {
        let name = |raw: Option<&[u8]>| {
            let quoted = raw?.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
            let mut text = json::decode(quoted)?;
            cut(&mut text, NAME_MAX_BYTES);
            Some(text).filter(|text| !text.is_empty())
        };
        if self.model.is_none() {
            self.model = name(scanner.get("model"));
        }
        if self.response_id.is_none() {
            self.response_id = name(scanner.get("id"));
        }
    }

    /// Whether it was a usage object that says something.
    fn take_usage(&mut self, raw: Option<&[u8]>) -> bool {
        let Some(parts) = raw.and_then(|raw| Parts::read(self.operation, raw)) else {
            return false;
        };
        self.parts = Some(self.parts.map_or(parts, |before| before.merge(parts)));
        true
    }

    fn read_error(&mut self, raw: Option<&[u8]>) -> bool {
        let Some(error) = raw
            .and_then(|raw| serde_json::from_slice::<Value>(raw).ok())
            .and_then(|value| provider_error(&value))
        else {
            return false;
        };
        self.error.get_or_insert(error);
        true
    }

    /// Counts the text under `key`; whether there was any.
    fn take_text(&mut self, data: &[u8], key: &memmem::Finder<'_>) -> bool {
        let mut any = false;
        for text in strings_of(data, key) {
            any |= !text.is_empty();
            self.sample.push(text);
        }
        any
    }
}

/// Reads an error object (`{"message","type","code"}`), or an error that is a bare string.
pub fn provider_error(value: &Value) -> Option<ProviderError> {
    let text = |key: &str| match &value[key] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let (code, message) = match value {
        Value::String(message) => (String::new(), message.clone()),
        Value::Object(_) => {
            let code = text("code").or_else(|| text("type")).unwrap_or_default();
            let message = text("message").unwrap_or_default();
            if code.is_empty() && message.is_empty() {
                return None;
            }
            (code, message)
        }
        _ => return None,
    };
    let mut code = redact::scrub(&code).into_owned();
    cut(&mut code, 64);
    // Bound the work before the scrubbing, and again what it made longer.
    let mut message = message;
    cut(&mut message, 4 * ERROR_MESSAGE_MAX_BYTES);
    let mut message = redact::scrub(&message).into_owned();
    cut(&mut message, ERROR_MESSAGE_MAX_BYTES);
    Some(ProviderError { code, message })
}

fn groq_usage(raw: &[u8]) -> Option<Vec<u8>> {
    let value: Value = serde_json::from_slice(raw).ok()?;
    Some(value.get("usage")?.to_string().into_bytes())
}

fn output_keys(operation: Operation) -> &'static [&'static str] {
    match operation {
        Operation::Chat => &["\"content\"", "\"reasoning_content\"", "\"arguments\""],
        Operation::Completion => &["\"text\""],
        Operation::Messages => &["\"text\"", "\"thinking\""],
        Operation::Responses => &["\"text\"", "\"arguments\""],
        _ => &[],
    }
}

/// An event's type: its name, or the `type` of its data where a provider sends no names.
fn event_type<'a>(event: &'a Event<'_>) -> &'a [u8] {
    if !event.name.is_empty() {
        return event.name;
    }
    strings_of(&event.data, &keys::TYPE).next().unwrap_or(b"")
}
