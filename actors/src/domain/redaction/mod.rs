//! Takes personal data and secrets out of what people said to a model, before any of it touches the disk.
//!
//! Pure. Built-in rules know e-mail addresses, telephone numbers (mainland China's too), Chinese identity numbers (by
//! checksum), bank cards (by Luhn and the issuers' beginnings) and keys; an operator's own rules are regular
//! expressions, which this crate's engine runs in linear time whatever they say. JSON is redacted inside its texts and
//! numbers, so that it stays JSON; a text that is itself JSON (a tool's arguments) likewise. What providers echo in
//! error messages is another thing (the gateway's `redact`).

mod built_in;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};
use serde_json::Value;

/// Longest pattern of an operator's rule, in characters.
pub const PATTERN_MAX_CHARS: usize = 1_000;
/// Most memory one compiled pattern may take, in bytes.
const COMPILED_MAX_BYTES: usize = 1 << 20;
/// Texts that hold JSON that hold texts …: deeper than this they are taken for plain text.
const NESTED_MAX: usize = 4;

/// What of a token's conversations is kept.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum RedactionMode {
    /// Everything, as it was said.
    None,
    /// What was said, without what the rules find.
    #[default]
    Redact,
    /// Who, when, which model and how long; nothing that was said.
    MetadataOnly,
}

impl RedactionMode {
    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Redact => "redact",
            Self::MetadataOnly => "metadata_only",
        }
    }

    /// Reads the stored form. Whatever is not known is redacted: that can be mended, the opposite cannot.
    pub fn parse(text: &str) -> Self {
        match text {
            "none" => Self::None,
            "metadata_only" => Self::MetadataOnly,
            _ => Self::Redact,
        }
    }
}

/// How often each rule found something.
pub type Hits = BTreeMap<String, u32>;

/// An operator's rule, compiled.
#[derive(Clone, Debug)]
struct Custom {
    name: String,
    regex: Regex,
    replacement: String,
}

/// The rules in force. Cheap to clone (compiled patterns are shared).
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    custom: Vec<Custom>,
}

/// Compiles an operator's pattern.
///
/// # Errors
/// A sentence for the operator: too long, not a regular expression, too large once compiled, or matching nothing at all.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.is_empty() || pattern.chars().count() > PATTERN_MAX_CHARS {
        return Err(format!("must have 1 to {PATTERN_MAX_CHARS} characters"));
    }
    let regex = RegexBuilder::new(pattern)
        .size_limit(COMPILED_MAX_BYTES)
        .dfa_size_limit(COMPILED_MAX_BYTES)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                "is too large once compiled; use smaller repetition counts".to_owned()
            }
            error => format!("is not a regular expression: {error}"),
        })?;
    if regex.is_match("") {
        return Err("matches the empty text, and so everywhere".to_owned());
    }
    Ok(regex)
}

impl Redactor {
    /// The built-in rules alone.
    pub fn built_in() -> Self {
        Self::default()
    }

    /// Adds an operator's rule; it comes after the built-in ones. What it finds becomes `replacement`, to the letter.
    ///
    /// # Errors
    /// As [`compile`].
    pub fn with(mut self, name: &str, pattern: &str, replacement: &str) -> Result<Self, String> {
        self.custom.push(Custom {
            name: name.to_owned(),
            regex: compile(pattern)?,
            replacement: replacement.to_owned(),
        });
        Ok(self)
    }

    /// `text` without what the rules find. A text that is a JSON object or array stays one.
    pub fn text<'a>(&self, text: &'a str, hits: &mut Hits) -> Cow<'a, str> {
        self.nested(text, hits, 0)
    }

    /// Redacts every text and number in `value`; names of fields stay.
    pub fn json(&self, value: &mut Value, hits: &mut Hits) {
        self.value(value, hits, 0);
    }

    fn nested<'a>(&self, text: &'a str, hits: &mut Hits, depth: usize) -> Cow<'a, str> {
        let looks_like_json = text.trim_start().starts_with(['{', '[']) && depth < NESTED_MAX;
        if looks_like_json && let Ok(mut value) = serde_json::from_str::<Value>(text) {
            let before = hits.clone();
            self.value(&mut value, hits, depth + 1);
            return if *hits == before {
                Cow::Borrowed(text)
            } else {
                Cow::Owned(value.to_string())
            };
        }
        self.plain(text, hits)
    }

    fn value(&self, value: &mut Value, hits: &mut Hits, depth: usize) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(clean) = self.nested(text, hits, depth) {
                    *text = clean;
                }
            }
            Value::Number(number) => {
                let text = number.to_string();
                if text.len() >= 8
                    && let Cow::Owned(clean) = self.plain(&text, hits)
                {
                    *value = Value::String(clean);
                }
            }
            Value::Array(items) => items
                .iter_mut()
                .for_each(|item| self.value(item, hits, depth)),
            Value::Object(fields) => fields
                .values_mut()
                .for_each(|field| self.value(field, hits, depth)),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn plain<'a>(&self, text: &'a str, hits: &mut Hits) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for rule in built_in::RULES {
            if let Some(clean) = rule.apply(&text, hits) {
                text = Cow::Owned(clean);
            }
        }
        for rule in &self.custom {
            let found = rule.regex.find_iter(&text).count();
            if found > 0 {
                note(hits, &rule.name, found);
                let clean = rule
                    .regex
                    .replace_all(&text, regex::NoExpand(&rule.replacement))
                    .into_owned();
                text = Cow::Owned(clean);
            }
        }
        text
    }
}

fn note(hits: &mut Hits, name: &str, found: usize) {
    let count = hits.entry(name.to_owned()).or_default();
    *count = count.saturating_add(u32::try_from(found).unwrap_or(u32::MAX));
}
