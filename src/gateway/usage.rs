//! Reads a provider's `usage` object, whoever wrote it.
//!
//! One meaning for all: `prompt` includes what was read from and written to a cache, whatever the provider
//! calls input. Read once or twice a call, so it may be generous; it prices nothing.

use serde_json::Value;
use steward_actors::domain::record::Operation;

/// Model tokens of one call.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// All input, cached and cache-written included.
    pub prompt: u64,
    /// All output, reasoning included where the provider includes it.
    pub completion: u64,
    /// What the provider says, but never less than prompt and completion together.
    pub total: u64,
    /// Of the prompt: read from a cache.
    pub cached: u64,
    /// Of the prompt: written to a cache.
    pub cache_write: u64,
    /// Of the completion: reasoning.
    pub reasoning: u64,
}

impl Usage {
    /// The greater of both, field by field: usage within a stream is cumulative.
    pub fn max(self, other: Self) -> Self {
        Self {
            prompt: self.prompt.max(other.prompt),
            completion: self.completion.max(other.completion),
            total: self.total.max(other.total),
            cached: self.cached.max(other.cached),
            cache_write: self.cache_write.max(other.cache_write),
            reasoning: self.reasoning.max(other.reasoning),
        }
        .with_total()
    }

    /// Raises the total to what the parts add up to.
    pub fn with_total(mut self) -> Self {
        self.total = self.total.max(self.prompt.saturating_add(self.completion));
        self
    }
}

/// The parts of a usage object before they are added up: Anthropic tells some of them in one event and some
/// in a later one, and only together they make the prompt.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Parts {
    prompt: u64,
    completion: u64,
    total: u64,
    cached: u64,
    cache_write: u64,
    reasoning: u64,
    /// `prompt` does not include the cached and the written.
    exclusive: bool,
}

impl Parts {
    /// Reads the JSON of a usage object; `None` when it is not one or says nothing.
    pub fn read(operation: Operation, raw: &[u8]) -> Option<Self> {
        let usage: Value = serde_json::from_slice(raw).ok()?;
        if !usage.is_object() {
            return None;
        }
        let top = |key: &str| usage.get(key).and_then(count);
        let within = |object: &str, key: &str| usage.get(object)?.get(key).and_then(count);
        let input = |key: &str| {
            within("prompt_tokens_details", key).or_else(|| within("input_tokens_details", key))
        };
        let output = |key: &str| {
            within("completion_tokens_details", key)
                .or_else(|| within("output_tokens_details", key))
        };
        let prompt = top("prompt_tokens").or_else(|| top("input_tokens"));
        let completion = top("completion_tokens").or_else(|| top("output_tokens"));
        let total = top("total_tokens");
        let cached = input("cached_tokens")
            .or_else(|| top("cache_read_input_tokens"))
            .or_else(|| top("prompt_cache_hit_tokens"))
            .or_else(|| top("cached_tokens"));
        let written_by_age = || {
            let short = within("cache_creation", "ephemeral_5m_input_tokens");
            let long = within("cache_creation", "ephemeral_1h_input_tokens");
            (short.is_some() || long.is_some()).then(|| short.unwrap_or(0) + long.unwrap_or(0))
        };
        let cache_write = input("cache_write_tokens")
            .or_else(|| input("cache_creation_tokens"))
            .or_else(|| top("cache_creation_input_tokens"))
            .or_else(written_by_age);
        let reasoning = output("reasoning_tokens")
            .or_else(|| output("thinking_tokens"))
            .or_else(|| top("reasoning_tokens"));
        if [prompt, completion, total, cached, cache_write]
            .iter()
            .all(Option::is_none)
        {
            return None;
        }
        Some(Self {
            prompt: prompt.unwrap_or(0),
            completion: completion.unwrap_or(0),
            total: total.unwrap_or(0),
            cached: cached.unwrap_or(0),
            cache_write: cache_write.unwrap_or(0),
            reasoning: reasoning.unwrap_or(0),
            exclusive: operation == Operation::Messages && usage.get("prompt_tokens").is_none(),
        })
    }

    /// Takes a later telling of the same call into account: each count only grows.
    pub fn merge(self, later: Self) -> Self {
        Self {
            prompt: self.prompt.max(later.prompt),
            completion: self.completion.max(later.completion),
            total: self.total.max(later.total),
            cached: self.cached.max(later.cached),
            cache_write: self.cache_write.max(later.cache_write),
            reasoning: self.reasoning.max(later.reasoning),
            exclusive: self.exclusive || later.exclusive,
        }
    }

    /// The sum of it.
    pub fn usage(self) -> Usage {
        let beside = if self.exclusive {
            self.cached.saturating_add(self.cache_write)
        } else {
            0
        };
        let prompt = self.prompt.saturating_add(beside);
        // Embeddings sometimes tell only the total.
        let prompt = if prompt == 0 && self.completion == 0 {
            self.total
        } else {
            prompt
        };
        Usage {
            prompt,
            completion: self.completion,
            total: self.total,
            cached: self.cached,
            cache_write: self.cache_write,
            reasoning: self.reasoning,
        }
        .with_total()
    }
}

/// Greatest count believed: above it a provider's number is noise that would poison every sum.
const COUNT_MAX: u64 = 1 << 40;

fn count(value: &Value) -> Option<u64> {
    let number = match value {
        Value::Number(number) => number
            .as_u64()
            .or_else(|| number.as_f64().filter(|n| *n >= 0.0).map(|n| n as u64))?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    (number <= COUNT_MAX).then_some(number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(operation: Operation, usage: Value) -> Option<[u64; 6]> {
        let usage = Parts::read(operation, usage.to_string().as_bytes())?.usage();
        Some([
            usage.prompt,
            usage.completion,
            usage.total,
            usage.cached,
            usage.cache_write,
            usage.reasoning,
        ])
    }

    #[test]
    fn every_providers_way_of_telling_is_understood() {
        use Operation as O;
        let cases = [
            // OpenAI chat.
            (
                O::Chat,
                json!({"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":8,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":4,"accepted_prediction_tokens":0}}),
                [19, 10, 29, 8, 0, 4],
            ),
            // OpenAI responses.
            (
                O::Responses,
                json!({"input_tokens":328,"input_tokens_details":{"cached_tokens":100,"cache_write_tokens":7},"output_tokens":52,"output_tokens_details":{"reasoning_tokens":30},"total_tokens":380}),
                [328, 52, 380, 100, 7, 30],
            ),
            // Embeddings.
            (
                O::Embedding,
                json!({"prompt_tokens":8,"total_tokens":8}),
                [8, 0, 8, 0, 0, 0],
            ),
            (O::Embedding, json!({"total_tokens":8}), [8, 0, 8, 0, 0, 0]),
            // Anthropic: input excludes the cache.
            (
                O::Messages,
                json!({"input_tokens":10,"cache_creation_input_tokens":200,"cache_read_input_tokens":3000,"output_tokens":50,"output_tokens_details":{"thinking_tokens":20},"service_tier":"standard"}),
                [3210, 50, 3260, 3000, 200, 20],
            ),
            (
                O::Messages,
                json!({"input_tokens":10,"output_tokens":5,"cache_creation":{"ephemeral_5m_input_tokens":3,"ephemeral_1h_input_tokens":4}}),
                [17, 5, 22, 0, 7, 0],
            ),
            // DeepSeek.
            (
                O::Chat,
                json!({"prompt_tokens":20,"completion_tokens":2,"total_tokens":22,"prompt_cache_hit_tokens":15,"prompt_cache_miss_tokens":5}),
                [20, 2, 22, 15, 0, 0],
            ),
            // Moonshot, xAI (total includes reasoning beside the completion), LiteLLM.
            (
                O::Chat,
                json!({"prompt_tokens":20,"completion_tokens":2,"total_tokens":22,"cached_tokens":6}),
                [20, 2, 22, 6, 0, 0],
            ),
            (
                O::Chat,
                json!({"prompt_tokens":20,"completion_tokens":2,"total_tokens":122,"completion_tokens_details":{"reasoning_tokens":100}}),
                [20, 2, 122, 0, 0, 100],
            ),
            (
                O::Chat,
                json!({"prompt_tokens":300,"completion_tokens":2,"total_tokens":302,"cache_creation_input_tokens":10,"cache_read_input_tokens":200}),
                [300, 2, 302, 200, 10, 0],
            ),
            // Sloppy ones.
            (
                O::Chat,
                json!({"prompt_tokens":20.0,"completion_tokens":"3","prompt_tokens_details":null,"completion_tokens_details":[]}),
                [20, 3, 23, 0, 0, 0],
            ),
        ];
        for (operation, usage, expected) in cases {
            assert_eq!(read(operation, usage.clone()), Some(expected), "{usage}");
        }
    }

    #[test]
    fn what_says_nothing_is_nothing() {
        for usage in [
            json!(null),
            json!({}),
            json!([]),
            json!({"prompt_tokens":null}),
            json!({"prompt_tokens":-4}),
            json!({"prompt_tokens":1e300}),
        ] {
            assert_eq!(read(Operation::Chat, usage.clone()), None, "{usage}");
        }
    }

    #[test]
    fn two_tellings_of_a_message_make_one() {
        let read = |text: &str| Parts::read(Operation::Messages, text.as_bytes()).unwrap();
        let start = read(
            r#"{"input_tokens":25,"cache_read_input_tokens":100,"cache_creation_input_tokens":0,"output_tokens":1}"#,
        );
        let end = read(r#"{"output_tokens":15}"#);
        let usage = start.merge(end).usage();
        assert_eq!(
            (usage.prompt, usage.completion, usage.total),
            (125, 15, 140)
        );
        let repeated = start.merge(read(
            r#"{"input_tokens":25,"cache_read_input_tokens":100,"output_tokens":15}"#,
        ));
        assert_eq!(repeated.usage(), usage);
    }
}
