//! Takes personal data and secrets out of what people said to a model, before any of it touches the disk.
//!
//! Pure. Built-in rules know e-mail addresses, telephone numbers (mainland China's too), Chinese identity numbers (by
//! checksum), bank cards (by Luhn and the issuers' beginnings), keys, and secrets by the names they stand behind; an
//! operator's own rules are regular expressions, which this crate's engine runs in linear time whatever they say. JSON is
//! redacted inside its texts, numbers and names, so that it stays JSON; a text that is itself JSON (a tool's arguments)
//! likewise. What providers echo in error messages is another thing (the gateway's `redact`), by the same list of keys.

mod built_in;
mod folding;
mod mail;
mod named;
#[cfg(test)]
mod tests;
mod twice;

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
/// What one rule takes away may leave what another finds; so often they are asked.
const ROUNDS_MAX: usize = 4;
/// Names that the dialects' messages are made of: an operator's rule that would find one leaves it, so that a message
/// stays one.
const STRUCTURE: &[&str] = &[
    "arguments",
    "content",
    "description",
    "function",
    "id",
    "input",
    "input_schema",
    "name",
    "output",
    "parameters",
    "properties",
    "role",
    "text",
    "tool_calls",
    "type",
];

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

    /// Redacts every text, number and name of a field in `value`.
    pub fn json(&self, value: &mut Value, hits: &mut Hits) {
        self.value(value, hits, 0);
    }

    fn nested<'a>(&self, text: &'a str, hits: &mut Hits, depth: usize) -> Cow<'a, str> {
        let looks_like_json = text.trim_start().starts_with(['{', '[']) && depth < NESTED_MAX;
        if looks_like_json && let Ok((mut value, twice)) = twice::parse(text) {
            let before = hits.clone();
            self.value(&mut value, hits, depth + 1);
            // Of a name that stands twice only the last value was looked at: it alone stays.
            return if *hits == before && !twice {
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
            Value::Object(fields) => {
                for (name, mut field) in std::mem::take(fields) {
                    let secret = match &field {
                        Value::String(text) => named::holds_secret(&name, text),
                        Value::Number(number) => named::holds_secret(&name, &number.to_string()),
                        _ => false,
                    };
                    if secret {
                        note(hits, "secret", 1);
                        field = Value::String(built_in::SECRET_MARK.to_owned());
                    } else {
                        self.value(&mut field, hits, depth);
                    }
                    let name = self.name(name, hits);
                    fields.insert(free(fields, name), field);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn name(&self, name: String, hits: &mut Hits) -> String {
        if STRUCTURE.contains(&name.as_str()) {
            return name;
        }
        match self.plain(&name, hits) {
            Cow::Owned(clean) => clean,
            Cow::Borrowed(_) => name,
        }
    }

    fn plain<'a>(&self, text: &'a str, hits: &mut Hits) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for _ in 0..ROUNDS_MAX {
            let mut found = false;
            for rule in built_in::RULES {
                if let Some(clean) = rule.apply(&text, hits) {
                    text = Cow::Owned(clean);
                    found = true;
                }
            }
            if !found {
                break;
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

/// Where a text that was cut off has to end so that it does not end in a part of something: before its last word, and
/// before the number in groups that this word may belong to. Looks at the end only.
pub fn end_of_whole_words(text: &str) -> usize {
    const LOOKED_AT: usize = 8 * 1024;
    let from = text.floor_char_boundary(text.len().saturating_sub(LOOKED_AT));
    let parts = |character: char| {
        folding::plain(character).is_some_and(|plain| {
            plain.is_whitespace()
                || (!plain.is_ascii() && (!plain.is_alphabetic() || mail::without_blanks(plain)))
        })
    };
    let last = text[from..].char_indices().rfind(|(_, it)| parts(*it));
    let end = last.map_or(from, |(at, it)| from + at + it.len_utf8());
    end_before_number(&text[..end])
}

/// Where a text has to end so that it does not end in a number, in groups or not, which may be the beginning of one.
pub fn end_before_number(text: &str) -> usize {
    const LOOKED_AT: usize = 64;
    let mut end = text.len();
    let groups = text
        .char_indices()
        .rev()
        .take(LOOKED_AT)
        .map(|(at, character)| (at, folding::plain(character)))
        .take_while(|(_, plain)| {
            plain.is_none_or(|plain| plain.is_ascii_digit() || " .-()+".contains(plain))
        });
    for (at, plain) in groups {
        let digit = plain.is_some_and(|plain| plain.is_ascii_digit());
        if digit || (plain == Some('+') && end < text.len()) {
            end = at;
        }
    }
    end
}

/// A name that no other field has: two addresses leave two fields.
fn free(fields: &serde_json::Map<String, Value>, name: String) -> String {
    if !fields.contains_key(&name) {
        return name;
    }
    // As many as there are: no two fields try the same.
    (fields.len() + 1..)
        .map(|number| format!("{name} {number}"))
        .find(|name| !fields.contains_key(name))
        .unwrap_or(name)
}

fn note(hits: &mut Hits, name: &str, found: usize) {
    let count = hits.entry(name.to_owned()).or_default();
    *count = count.saturating_add(u32::try_from(found).unwrap_or(u32::MAX));
}
