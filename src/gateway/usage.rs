//! Reads a provider's `usage` object, whoever wrote it.
//!
//! One meaning for all: `prompt` includes what was read from and written to a cache, whatever the provider
//! calls input. Read once or twice a call, so it may be generous; it prices nothing.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
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
    /// Of that: kept there for an hour.
    pub cache_write_1h: u64,
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
            cache_write_1h: self.cache_write_1h.max(other.cache_write_1h),
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
    cache_write_1h: u64,
    reasoning: u64,
    /// `prompt` does not include the cached and the written.
    exclusive: bool,
}

impl Parts {
    /// Reads the JSON of a usage object; `None` when it is not one or says nothing.
    pub fn read(operation: Operation, raw: &[u8]) -> Option<Self> {
        let told: Told = serde_json::from_slice(raw).ok()?;
        let input = |of: fn(&Details) -> Count| of(&told.input).or(of(&told.input_old));
        let output = |of: fn(&Details) -> Count| of(&told.output).or(of(&told.output_old));
        let prompt = told.prompt_tokens.or(told.input_tokens);
        let completion = told.completion_tokens.or(told.output_tokens);
        let total = told.total_tokens;
        let cached = input(|details| details.cached)
            .or(told.cache_read_input_tokens)
            .or(told.prompt_cache_hit_tokens)
            .or(told.cached_tokens);
        let Details { short, long, .. } = told.cache_creation;
        let written_by_age = (short.0.is_some() || long.0.is_some())
            .then(|| short.0.unwrap_or(0) + long.0.unwrap_or(0));
        let cache_write = input(|details| details.cache_write)
            .or(input(|details| details.cache_creation))
            .or(told.cache_creation_input_tokens)
            .or(Count(written_by_age));
        let reasoning = output(|details| details.reasoning)
            .or(output(|details| details.thinking))
            .or(told.reasoning_tokens);
        if [prompt, completion, total, cached, cache_write]
            .iter()
            .all(|count| count.0.is_none())
        {
            return None;
        }
        Some(Self {
            prompt: prompt.0.unwrap_or(0),
            completion: completion.0.unwrap_or(0),
            total: total.0.unwrap_or(0),
            cached: cached.0.unwrap_or(0),
            cache_write: cache_write.0.unwrap_or(0),
            cache_write_1h: long.0.unwrap_or(0),
            reasoning: reasoning.0.unwrap_or(0),
            exclusive: operation == Operation::Messages && !told.has_prompt_tokens,
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
            cache_write_1h: self.cache_write_1h.max(later.cache_write_1h),
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
            cache_write_1h: self.cache_write_1h.min(self.cache_write),
            reasoning: self.reasoning,
        }
        .with_total()
    }
}

/// Greatest count believed: above it a provider's number is noise that would poison every sum.
const COUNT_MAX: u64 = 1 << 40;

/// A number of tokens, or anything else that was said in its place. Some providers quote their numbers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Count(Option<u64>);

impl Count {
    fn or(self, other: Self) -> Self {
        Self(self.0.or(other.0))
    }

    fn of(number: u64) -> Self {
        Self((number <= COUNT_MAX).then_some(number))
    }
}

/// Reads what is wanted of any JSON value and is `Default` where it is something else: a provider's fancy in
/// one field must not cost the others.
macro_rules! lenient {
    ($name:ident { $($visits:item)* }) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Reader;
                impl<'de> Visitor<'de> for Reader {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("anything")
                    }

                    fn visit_bool<E>(self, _: bool) -> Result<$name, E> {
                        Ok($name::default())
                    }

                    fn visit_unit<E>(self) -> Result<$name, E> {
                        Ok($name::default())
                    }

                    fn visit_i64<E>(self, _: i64) -> Result<$name, E> {
                        Ok($name::default())
                    }

                    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<$name, A::Error> {
                        while all.next_element::<IgnoredAny>()?.is_some() {}
                        Ok($name::default())
                    }

                    $($visits)*
                }
                from.deserialize_any(Reader)
            }
        }
    };
}

lenient!(Count {
    fn visit_u64<E>(self, number: u64) -> Result<Count, E> {
        Ok(Count::of(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Count, E> {
        Ok(if number >= 0.0 { Count::of(number as u64) } else { Count::default() })
    }

    fn visit_str<E>(self, text: &str) -> Result<Count, E> {
        Ok(text.parse().map_or(Count::default(), Count::of))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Count, A::Error> {
        while all.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Count::default())
    }
});

/// What the objects within a usage object tell; every name belongs to one kind of them only.
#[derive(Debug, Default)]
struct Details {
    cached: Count,
    cache_write: Count,
    cache_creation: Count,
    reasoning: Count,
    thinking: Count,
    short: Count,
    long: Count,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum DetailName {
    CachedTokens,
    CacheWriteTokens,
    CacheCreationTokens,
    ReasoningTokens,
    ThinkingTokens,
    #[serde(rename = "ephemeral_5m_input_tokens")]
    Short,
    #[serde(rename = "ephemeral_1h_input_tokens")]
    Long,
    #[serde(other)]
    Other,
}

lenient!(Details {
    fn visit_u64<E>(self, _: u64) -> Result<Details, E> {
        Ok(Details::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Details, E> {
        Ok(Details::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Details, E> {
        Ok(Details::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Details, A::Error> {
        let mut told = Details::default();
        while let Some(name) = all.next_key()? {
            let count = match name {
                DetailName::CachedTokens => &mut told.cached,
                DetailName::CacheWriteTokens => &mut told.cache_write,
                DetailName::CacheCreationTokens => &mut told.cache_creation,
                DetailName::ReasoningTokens => &mut told.reasoning,
                DetailName::ThinkingTokens => &mut told.thinking,
                DetailName::Short => &mut told.short,
                DetailName::Long => &mut told.long,
                DetailName::Other => {
                    all.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            // Of duplicate keys the last counts.
            *count = all.next_value()?;
        }
        Ok(told)
    }
});

/// A usage object as it is written.
#[derive(Debug, Default)]
struct Told {
    prompt_tokens: Count,
    has_prompt_tokens: bool,
    input_tokens: Count,
    completion_tokens: Count,
    output_tokens: Count,
    total_tokens: Count,
    cache_read_input_tokens: Count,
    cache_creation_input_tokens: Count,
    prompt_cache_hit_tokens: Count,
    cached_tokens: Count,
    reasoning_tokens: Count,
    /// `prompt_tokens_details`.
    input: Details,
    /// `input_tokens_details`.
    input_old: Details,
    /// `completion_tokens_details`.
    output: Details,
    /// `output_tokens_details`.
    output_old: Details,
    cache_creation: Details,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Name {
    PromptTokens,
    InputTokens,
    CompletionTokens,
    OutputTokens,
    TotalTokens,
    CacheReadInputTokens,
    CacheCreationInputTokens,
    PromptCacheHitTokens,
    CachedTokens,
    ReasoningTokens,
    PromptTokensDetails,
    InputTokensDetails,
    CompletionTokensDetails,
    OutputTokensDetails,
    CacheCreation,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Told {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Told;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a usage object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Told, A::Error> {
                let mut told = Told::default();
                while let Some(name) = all.next_key()? {
                    let count = match name {
                        Name::PromptTokens => {
                            told.has_prompt_tokens = true;
                            &mut told.prompt_tokens
                        }
                        Name::InputTokens => &mut told.input_tokens,
                        Name::CompletionTokens => &mut told.completion_tokens,
                        Name::OutputTokens => &mut told.output_tokens,
                        Name::TotalTokens => &mut told.total_tokens,
                        Name::CacheReadInputTokens => &mut told.cache_read_input_tokens,
                        Name::CacheCreationInputTokens => &mut told.cache_creation_input_tokens,
                        Name::PromptCacheHitTokens => &mut told.prompt_cache_hit_tokens,
                        Name::CachedTokens => &mut told.cached_tokens,
                        Name::ReasoningTokens => &mut told.reasoning_tokens,
                        within => {
                            let details = match within {
                                Name::PromptTokensDetails => &mut told.input,
                                Name::InputTokensDetails => &mut told.input_old,
                                Name::CompletionTokensDetails => &mut told.output,
                                Name::OutputTokensDetails => &mut told.output_old,
                                Name::CacheCreation => &mut told.cache_creation,
                                _ => {
                                    all.next_value::<IgnoredAny>()?;
                                    continue;
                                }
                            };
                            *details = all.next_value()?;
                            continue;
                        }
                    };
                    *count = all.next_value()?;
                }
                Ok(told)
            }
        }
        from.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests;
