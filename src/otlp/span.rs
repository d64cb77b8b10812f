//! A span as far as it matters here.
//!
//! Attributes are kept by a closed list of names: prompts and answers that instrumentations attach can be
//! megabytes, and none of them is a number of the books.

use std::collections::BTreeMap;

use steward_actors::domain::record::cut;

/// Longest text kept of an attribute; OpenInference's answers have their id within it.
const TEXT_MAX_BYTES: usize = 2 * 1024;

/// Every attribute that is looked at, sorted.
const WANTED: &[&str] = &[
    "ai.model.id",
    "ai.model.provider",
    "ai.operationId",
    "ai.response.id",
    "ai.response.model",
    "ai.response.msToFirstChunk",
    "ai.telemetry.metadata.sessionId",
    "ai.telemetry.metadata.userId",
    "ai.usage.cachedInputTokens",
    "ai.usage.completionTokens",
    "ai.usage.inputTokenDetails.cacheReadTokens",
    "ai.usage.inputTokenDetails.cacheWriteTokens",
    "ai.usage.inputTokens",
    "ai.usage.outputTokenDetails.reasoningTokens",
    "ai.usage.outputTokens",
    "ai.usage.promptTokens",
    "ai.usage.reasoningTokens",
    "ai.usage.tokens",
    "ai.usage.totalTokens",
    "embedding.model_name",
    "enduser.id",
    "error.type",
    "exception.message",
    "exception.type",
    "gen_ai.client.token.usage",
    "gen_ai.conversation.id",
    "gen_ai.is_streaming",
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.is_stream",
    "gen_ai.request.model",
    "gen_ai.request.stream",
    "gen_ai.request.user",
    "gen_ai.response.id",
    "gen_ai.response.model",
    "gen_ai.response.time_to_first_chunk",
    "gen_ai.server.time_to_first_token",
    "gen_ai.system",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.completion_tokens",
    "gen_ai.usage.cost",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.prompt_tokens",
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "gen_ai.usage.total_tokens",
    "http.response.status_code",
    "http.status_code",
    "llm.invocation_parameters",
    "llm.is_streaming",
    "llm.model_name",
    "llm.provider",
    "llm.request.model_name",
    "llm.request.type",
    "llm.response.model_name",
    "llm.system",
    "llm.token_count.completion",
    "llm.token_count.completion_details.reasoning",
    "llm.token_count.prompt",
    "llm.token_count.prompt_details.cache_read",
    "llm.token_count.prompt_details.cache_write",
    "llm.token_count.total",
    "llm.usage.completion_tokens",
    "llm.usage.prompt_tokens",
    "llm.usage.total_tokens",
    "llm.user",
    "openinference.span.kind",
    "output.value",
    "service.name",
    "session.id",
    "traceloop.association.properties.session_id",
    "traceloop.association.properties.user_id",
    "traceloop.span.kind",
    "user.id",
];

/// Events by which libraries tell that the first token is here.
const FIRST_TOKEN: [&str; 4] = [
    "ai.stream.firstChunk",
    "gen_ai.content.completion.chunk",
    "llm.content.completion.chunk",
    "First Token Stream Event",
];

/// A value that can be compared or counted. Arrays, maps and bytes are none.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Int(i64),
    Double(f64),
    Bool(bool),
}

impl Value {
    /// A text, cut to what is kept of one.
    pub fn text(mut text: String) -> Self {
        cut(&mut text, TEXT_MAX_BYTES);
        text.shrink_to_fit();
        Self::Text(text)
    }
}

/// Attributes by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(BTreeMap<&'static str, Value>);

impl Attributes {
    /// Whether a value of this name would be kept.
    pub fn wants(name: &str) -> bool {
        WANTED.binary_search(&name).is_ok()
    }

    /// Keeps the value when its name is on the list; of two of one name the later.
    pub fn put(&mut self, name: &str, value: Value) {
        if let Ok(at) = WANTED.binary_search(&name) {
            self.0.insert(WANTED[at], value);
        }
    }

    /// A text that is not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name)? {
            Value::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()),
            _ => None,
        }
    }

    /// The first of `names` that is a text.
    pub fn first_text(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.text(name))
    }

    /// A number, whichever way it was written.
    pub fn number(&self, name: &str) -> Option<f64> {
        let number = match self.0.get(name)? {
            Value::Int(int) => *int as f64,
            Value::Double(double) => *double,
            Value::Text(text) => text.trim().parse().ok()?,
            Value::Bool(_) => return None,
        };
        number.is_finite().then_some(number)
    }

    /// A truth, whichever way it was written.
    pub fn truth(&self, name: &str) -> Option<bool> {
        match self.0.get(name)? {
            Value::Bool(truth) => Some(*truth),
            Value::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Value::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }
}

/// What a span lies in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    /// `service.name` of the resource.
    pub service: String,
    /// Name of the instrumentation scope.
    pub scope: String,
}

/// A span.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Span {
    pub trace_id: Vec<u8>,
    pub span_id: Vec<u8>,
    /// Nanoseconds since the Unix epoch.
    pub start_ns: u64,
    /// Nanoseconds since the Unix epoch.
    pub end_ns: u64,
    /// Its status is an error.
    pub failed: bool,
    pub status_message: String,
    pub attributes: Attributes,
    /// When the first token's event was, nanoseconds since the Unix epoch.
    pub first_token_ns: Option<u64>,
}

impl Span {
    /// Takes an event into account: the first token's time, and what an exception says.
    pub fn event(&mut self, name: &str, time_ns: u64, attributes: &Attributes) {
        if FIRST_TOKEN.contains(&name) && time_ns > 0 {
            self.first_token_ns = Some(self.first_token_ns.map_or(time_ns, |at| at.min(time_ns)));
        }
        for (name, value) in &attributes.0 {
            if name.starts_with("exception.") || *name == "ai.response.msToFirstChunk" {
                self.attributes.put(name, value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_for_searching() {
        assert!(WANTED.is_sorted_by(|left, right| left < right));
    }

    #[test]
    fn what_is_not_on_the_list_is_not_kept() {
        let mut attributes = Attributes::default();
        attributes.put("gen_ai.input.messages", Value::text("x".into()));
        attributes.put("gen_ai.system", Value::text("y".repeat(10_000)));
        assert_eq!(attributes.0.len(), 1);
        assert_eq!(attributes.text("gen_ai.system").map(str::len), Some(2_048));
    }
}
