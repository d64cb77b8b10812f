//! Counts tokens where the provider did not: with the tokenizer of the model's family, on a sample.
//!
//! Exists for answers without usage and for streams that were cut; what it says is marked as estimated. The
//! tokenizers' tables are loaded when first needed (they take tens of megabytes and a good part of a second),
//! so call it where blocking is allowed. The work is bounded: a long text is extrapolated from its sample.

use steward_actors::domain::record::Operation;
use tiktoken_rs::{CoreBPE, cl100k_base_singleton, o200k_base_singleton};

use super::meter::{OutputText, Reading};
use super::request::{ATTACHMENT_TOKENS, PromptText};
use super::usage::Usage;

/// Most bytes of text that are really tokenized.
pub const SAMPLE_MAX_BYTES: usize = 16 * 1024;
/// Text is tokenized in pieces of this size: merging is quadratic in the length of an unbroken word.
const PIECE_BYTES: usize = 1_024;

/// A model whose estimate fails.
#[cfg(test)]
pub(super) const PANICS: &str = "a-model-that-panics";

/// What a call used, and whether that had to be estimated.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Settled {
    pub usage: Usage,
    pub estimated: bool,
}

/// Which of the two vocabularies fits a model best. Anthropic publishes none; the older one is near.
///
/// The older table takes 28 MB, the newer 45 MB, each once it is first needed. One alone would not do: they
/// agree on English and code, but of other scripts the older one counts too much (German by a third, Chinese
/// by two thirds, Russian and Arabic more than twice, Hindi almost four times), and a quota would pay for it.
fn tokenizer(model: &str) -> &'static CoreBPE {
    let name = model.rsplit('/').next().unwrap_or(model);
    let older = [
        "gpt-4-", "gpt-3", "gpt-35", "text-", "claude", "davinci", "babbage",
    ]
    .iter()
    .any(|family| name.starts_with(family));
    if older || name == "gpt-4" {
        cl100k_base_singleton()
    } else {
        o200k_base_singleton()
    }
}

/// Tokens of `text` for `model`, extrapolated beyond [`SAMPLE_MAX_BYTES`]. Blocks while a table is loaded.
pub fn count(text: &str, model: &str) -> u64 {
    if text.is_empty() {
        return 0;
    }
    #[cfg(test)]
    assert_ne!(model, PANICS, "asked for by a test");
    let tokenizer = tokenizer(model);
    let sample = &text[..text.floor_char_boundary(SAMPLE_MAX_BYTES)];
    let mut rest = sample;
    let mut tokens = 0;
    while !rest.is_empty() {
        // Break at a blank where there is one, so that no word is counted as two.
        let limit = rest.floor_char_boundary(PIECE_BYTES);
        let at = match rest.len() <= PIECE_BYTES {
            true => rest.len(),
            false => rest[..limit]
                .rfind(' ')
                .filter(|at| *at > 0)
                .unwrap_or(limit),
        };
        let (piece, after) = rest.split_at(at);
        tokens += tokenizer.count_ordinary(piece) as u64;
        rest = after;
    }
    scale(tokens, sample.len() as u64, text.len() as u64)
}

/// Tokens of a prompt, from its sample.
pub fn prompt(text: &PromptText, model: &str) -> u64 {
    let counted = count(&text.sample, model);
    scale(counted, text.sampled_bytes, text.size.text_bytes)
        + text.size.attachments * ATTACHMENT_TOKENS
        + text.size.token_ids
}

/// Tokens of an answer, from its sample.
pub fn output(text: &OutputText, model: &str) -> u64 {
    let counted = count(&text.sample, model);
    scale(counted, text.sampled_bytes, text.total_bytes)
}

fn scale(tokens: u64, sampled: u64, total: u64) -> u64 {
    if sampled == 0 || total <= sampled {
        return tokens;
    }
    u64::try_from(u128::from(tokens) * u128::from(total) / u128::from(sampled)).unwrap_or(u64::MAX)
}

/// Whether [`settle`] would have to estimate. Free of charge.
pub fn is_needed(operation: Operation, reading: &Reading) -> bool {
    !reading.usage_final && operation != Operation::CountTokens
}

/// What a call that the provider accepted used: its own word where it gave one to the end, else an estimate
/// of what is missing. Counting tokens uses none. For calls that never reached a provider, or that it
/// refused, there is nothing to settle.
pub fn settle(
    operation: Operation,
    reading: &Reading,
    model: &str,
    prompt_text: impl FnOnce() -> PromptText,
) -> Settled {
    if operation == Operation::CountTokens {
        return Settled::default();
    }
    let told = reading.usage.unwrap_or_default();
    if !is_needed(operation, reading) {
        return Settled {
            usage: told,
            estimated: false,
        };
    }
    let completion = output(&reading.output, model).max(told.completion);
    let prompt = if told.prompt > 0 {
        told.prompt
    } else {
        prompt(&prompt_text(), model)
    };
    Settled {
        usage: Usage {
            prompt,
            completion,
            ..told
        }
        .with_total(),
        estimated: true,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::request::{PromptSize, prompt_text};
    use super::*;

    #[test]
    fn counts_are_those_of_the_models_tokenizer() {
        assert_eq!(count("Hello, world!", "gpt-4o"), 4);
        assert_eq!(count("Hello, world!", "gpt-4"), 4);
        assert_eq!(count("", "gpt-4o"), 0);
        // The newer vocabulary knows Chinese better.
        let text = "人工智能正在改变世界";
        assert!(count(text, "gpt-4o-mini") < count(text, "claude-sonnet-4-5"));
        assert_eq!(count(text, "openai/gpt-4o"), count(text, "gpt-4o"));
    }

    #[test]
    fn a_long_text_costs_bounded_work_and_is_extrapolated() {
        let words = "The quick brown fox jumps over the lazy dog. ".repeat(40_000);
        let few = count(&words[..4_500], "gpt-4o") as f64 / 4_500.0;
        let tokens = count(&words, "gpt-4o") as f64 / words.len() as f64;
        assert!((tokens / few - 1.0).abs() < 0.05);
        // An unbroken run is the worst case for merging.
        let run = "a".repeat(4 << 20);
        let started = Instant::now();
        assert!(count(&run, "gpt-4o") > 0);
        assert!(started.elapsed().as_secs() < 5);
    }

    #[test]
    fn the_providers_word_is_taken_when_it_came_to_the_end() {
        let usage = Usage {
            prompt: 5,
            completion: 6,
            total: 11,
            ..Usage::default()
        };
        let reading = Reading {
            usage: Some(usage),
            usage_final: true,
            ..Reading::default()
        };
        let settled = settle(Operation::Chat, &reading, "m", || unreachable!());
        assert_eq!((settled.usage, settled.estimated), (usage, false));
    }

    #[test]
    fn a_cut_stream_is_estimated_from_what_came() {
        let reading = Reading {
            usage: Some(Usage {
                prompt: 25,
                completion: 1,
                total: 26,
                ..Usage::default()
            }),
            output: OutputText {
                sample: "Hello, world!".into(),
                sampled_bytes: 13,
                total_bytes: 26,
            },
            ..Reading::default()
        };
        let settled = settle(Operation::Messages, &reading, "gpt-4o", || unreachable!());
        assert!(settled.estimated);
        assert_eq!(settled.usage.prompt, 25);
        assert_eq!(settled.usage.completion, 8);
        assert_eq!(settled.usage.total, 33);
    }

    #[test]
    fn a_silent_provider_is_estimated_from_both_sides() {
        let body = br#"{"model":"m","messages":[{"role":"user","content":"Hello, world!"}]}"#;
        let settled = settle(Operation::Chat, &Reading::default(), "gpt-4o", || {
            prompt_text(body, SAMPLE_MAX_BYTES)
        });
        assert!(settled.estimated);
        assert!((4..=8).contains(&settled.usage.prompt), "{settled:?}");
        let images = PromptText {
            size: PromptSize {
                attachments: 2,
                ..PromptSize::default()
            },
            ..PromptText::default()
        };
        assert_eq!(prompt(&images, "gpt-4o"), 2 * ATTACHMENT_TOKENS);
    }

    #[test]
    fn counting_tokens_uses_none() {
        let settled = settle(
            Operation::CountTokens,
            &Reading::default(),
            "m",
            || unreachable!(),
        );
        assert_eq!(settled, Settled::default());
    }
}
