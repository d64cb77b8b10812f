//! What a version of a prompt says, and how it is hashed, compared and filled in. Pure.
//!
//! The canonical form (keys sorted, no blanks, absent fields left out) is what is stored and hashed, so that a hash can
//! be checked years later, on either database, by anybody with SHA-256 at hand.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use similar::{ChangeTag, TextDiff};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::http::check;

/// Messages of a prompt at most.
const MESSAGES_MAX: usize = 50;
/// Characters of a message at most.
const TEXT_MAX: usize = 100_000;
/// Bytes of the parameters at most, as JSON.
const PARAMETERS_MAX_BYTES: usize = 16 * 1024;

/// Whose words a message is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    System,
    User,
    Assistant,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One message of a prompt; `{{name}}` in it stands for a variable.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    #[schema(max_length = 100_000)]
    pub(super) content: String,
    pub(super) role: Role,
}

/// What a version says. Its fields stand in alphabetical order: that is the canonical form.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Content {
    pub(super) messages: Vec<Message>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) parameters: Map<String, Value>,
}

impl Content {
    /// Checks what a caller sent.
    ///
    /// # Errors
    /// `validation_failed`, naming the field.
    pub(super) fn checked(self) -> Result<Self, ApiError> {
        if self.messages.is_empty() || self.messages.len() > MESSAGES_MAX {
            return Err(ApiError::invalid(
                "messages",
                format!("must be 1 to {MESSAGES_MAX}"),
            ));
        }
        for (index, message) in self.messages.iter().enumerate() {
            if message.content.is_empty() || message.content.chars().count() > TEXT_MAX {
                return Err(ApiError::invalid(
                    format!("messages[{index}].content"),
                    format!("must have 1 to {TEXT_MAX} characters"),
                ));
            }
        }
        if let Some(model) = &self.model
            && !check::is_model(model)
        {
            return Err(ApiError::invalid("model", "must be a model's name"));
        }
        let parameters = serde_json::to_vec(&self.parameters).map_err(ApiError::internal)?;
        if parameters.len() > PARAMETERS_MAX_BYTES {
            return Err(ApiError::invalid(
                "parameters",
                format!("must be at most {PARAMETERS_MAX_BYTES} bytes of JSON"),
            ));
        }
        Ok(self)
    }

    /// The form that is stored and hashed.
    ///
    /// # Errors
    /// Never for what [`Self::checked`] let through.
    pub(super) fn canonical(&self) -> Result<String, ApiError> {
        serde_json::to_string(self).map_err(ApiError::internal)
    }

    /// Reads a stored form.
    ///
    /// # Errors
    /// When the row is damaged.
    pub(super) fn stored(text: &str) -> Result<Self, ApiError> {
        serde_json::from_str(text).map_err(ApiError::internal)
    }

    /// Names of its variables, sorted.
    pub(super) fn variables(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for message in &self.messages {
            for piece in pieces(&message.content) {
                if let Piece::Variable(name) = piece {
                    names.insert(name.to_owned());
                }
            }
        }
        names
    }

    /// With its variables filled in; one without a value stays as it is written.
    pub(super) fn filled(&self, values: &Map<String, Value>) -> Vec<Message> {
        let fill = |text: &str| -> String {
            pieces(text)
                .map(|piece| match piece {
                    Piece::Text(text) => text.to_owned(),
                    Piece::Variable(name) => match values.get(name) {
                        Some(Value::String(value)) => value.clone(),
                        Some(value) => value.to_string(),
                        None => format!("{{{{{name}}}}}"),
                    },
                })
                .collect()
        };
        self.messages
            .iter()
            .map(|message| Message {
                content: fill(&message.content),
                role: message.role,
            })
            .collect()
    }

    /// As one text, for reading and comparing.
    pub(super) fn as_text(&self) -> String {
        let mut text = String::new();
        if let Some(model) = &self.model {
            text.push_str(&format!("model: {model}\n"));
        }
        for (name, value) in &self.parameters {
            text.push_str(&format!("{name}: {value}\n"));
        }
        for message in &self.messages {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&format!("# {}\n", message.role.as_str()));
            text.push_str(message.content.trim_end_matches('\n'));
            text.push('\n');
        }
        text
    }
}

enum Piece<'a> {
    Text(&'a str),
    Variable(&'a str),
}

/// Splits a text at its variables. What only looks like one (`{{`, a name with a blank in it) is text.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some((name, after)) = variable(rest) {
            rest = after;
            return Some(Piece::Variable(name));
        }
        // At least one character, so that what is no variable is passed over.
        let first = rest.chars().next().map_or(1, char::len_utf8);
        let next = rest[first..].find("{{").map_or(rest.len(), |at| first + at);
        let (head, tail) = rest.split_at(next);
        rest = tail;
        Some(Piece::Text(head))
    })
}

/// The variable that `text` begins with, and what follows it.
fn variable(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix("{{")?.split_once("}}")?;
    let name = name.trim();
    let fits = !name.is_empty()
        && name.len() <= 64
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    fits.then_some((name, after))
}

/// SHA-256 of a canonical content, hexadecimal.
pub(super) fn content_hash(canonical: &str) -> String {
    hex::encode(Sha256::digest(canonical))
}

/// What a version's hash covers.
pub(super) struct Signed<'a> {
    /// Empty for the first version.
    pub(super) parent_hash: &'a str,
    pub(super) number: i64,
    pub(super) author: &'a str,
    /// Microseconds since the Unix epoch.
    pub(super) created_at: i64,
    pub(super) message: &'a str,
    pub(super) content_hash: &'a str,
}

impl Signed<'_> {
    /// SHA-256 over all of it, hexadecimal. Every part is preceded by its length, so that no two lists of parts hash the
    /// same bytes.
    pub(super) fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(b"prompt version 1\n");
        for part in [
            self.parent_hash,
            &self.number.to_string(),
            self.author,
            &self.created_at.to_string(),
            self.message,
            self.content_hash,
        ] {
            hasher.update(part.len().to_string());
            hasher.update(b":");
            hasher.update(part);
            hasher.update(b"\n");
        }
        hex::encode(hasher.finalize())
    }
}

/// What became of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum LineChange {
    Kept,
    Added,
    Removed,
}

/// A stretch of a line.
#[derive(Debug, Eq, PartialEq, Serialize, ToSchema)]
pub(super) struct Stretch {
    text: String,
    /// These words differ from the line that this one replaces, or that replaces it.
    changed: bool,
}

/// One line of a comparison.
#[derive(Debug, Eq, PartialEq, Serialize, ToSchema)]
pub(super) struct DiffLine {
    change: LineChange,
    /// Its number in the earlier text, from 1; null when it was added.
    before: Option<usize>,
    /// Its number in the later text, from 1; null when it was removed.
    after: Option<usize>,
    words: Vec<Stretch>,
}

/// Compares two texts line by line, and the words of lines that took each other's place.
pub(super) fn diff(before: &str, after: &str) -> Vec<DiffLine> {
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    for operation in diff.ops() {
        for change in diff.iter_inline_changes(operation) {
            let words = change
                .iter_strings_lossy()
                .map(|(changed, text)| Stretch {
                    text: text.trim_end_matches('\n').to_owned(),
                    changed,
                })
                .filter(|stretch| !stretch.text.is_empty())
                .collect();
            lines.push(DiffLine {
                change: match change.tag() {
                    ChangeTag::Equal => LineChange::Kept,
                    ChangeTag::Insert => LineChange::Added,
                    ChangeTag::Delete => LineChange::Removed,
                },
                before: change.old_index().map(|index| index + 1),
                after: change.new_index().map(|index| index + 1),
                words,
            });
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn of(text: &str) -> Content {
        Content {
            messages: vec![Message {
                content: text.to_owned(),
                role: Role::User,
            }],
            model: None,
            parameters: Map::new(),
        }
    }

    #[test]
    fn variables_are_names_in_double_braces() {
        let content = of("Dear {{ name }}, {{a b}} {{}} {{x}}{{name}} {{{y}}} {{unclosed");
        let names: Vec<String> = content.variables().into_iter().collect();
        assert_eq!(names, ["name", "x", "y"]);
        let values = json!({"name": "李雷", "x": 3});
        let filled = content.filled(values.as_object().unwrap());
        assert_eq!(
            filled[0].content,
            "Dear 李雷, {{a b}} {{}} 3李雷 {{{y}}} {{unclosed"
        );
    }

    #[test]
    fn the_canonical_form_is_fixed() {
        let content = Content {
            model: Some("gpt-4o".into()),
            parameters: json!({"top_p": 1, "temperature": 0.2})
                .as_object()
                .unwrap()
                .clone(),
            ..of("Hi {{who}}\n")
        };
        let canonical = content.canonical().unwrap();
        assert_eq!(
            canonical,
            r#"{"messages":[{"content":"Hi {{who}}\n","role":"user"}],"model":"gpt-4o","parameters":{"temperature":0.2,"top_p":1}}"#
        );
        assert_eq!(Content::stored(&canonical).unwrap(), content);
        assert_eq!(
            content_hash(&of("x").canonical().unwrap()),
            content_hash(r#"{"messages":[{"content":"x","role":"user"}]}"#)
        );
    }

    #[test]
    fn a_hash_covers_every_part() {
        let signed = |parent_hash, number, author, message, content_hash| {
            Signed {
                parent_hash,
                number,
                author,
                created_at: 5,
                message,
                content_hash,
            }
            .hash()
        };
        let all = [
            signed("", 1, "ann", "first", "c"),
            signed("p", 1, "ann", "first", "c"),
            signed("", 2, "ann", "first", "c"),
            signed("", 1, "bob", "first", "c"),
            signed("", 1, "ann", "other", "c"),
            signed("", 1, "ann", "first", "d"),
            signed("", 1, "annfirst", "", "c"),
        ];
        let distinct: BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn lines_and_their_words_are_compared() {
        let lines = diff("a\nthe red fox\nz\n", "a\nthe blue fox\nz\n");
        let changes: Vec<LineChange> = lines.iter().map(|line| line.change).collect();
        use LineChange::{Added, Kept, Removed};
        assert_eq!(changes, [Kept, Removed, Added, Kept]);
        let words = |line: &DiffLine| -> Vec<String> {
            line.words
                .iter()
                .filter(|word| word.changed)
                .map(|word| word.text.clone())
                .collect()
        };
        assert_eq!(words(&lines[1]), ["red"]);
        assert_eq!(words(&lines[2]), ["blue"]);
        assert_eq!((lines[3].before, lines[3].after), (Some(3), Some(3)));
    }

    proptest! {
        #[test]
        fn filling_in_nothing_changes_nothing_but_blanks_in_names(text in "[a-z{} \u{4e00}-\u{4e10}]{0,40}") {
            let content = of(&text);
            let filled = content.filled(&Map::new());
            let squeezed = |text: &str| text.replace(' ', "");
            prop_assert_eq!(squeezed(&filled[0].content), squeezed(&text));
        }

        #[test]
        fn a_diff_holds_both_texts(before in "([a-c ]{0,4}\n){0,8}", after in "([a-c ]{0,4}\n){0,8}") {
            let lines = diff(&before, &after);
            let side = |left_out: LineChange| -> String {
                lines
                    .iter()
                    .filter(|line| line.change != left_out)
                    .map(|line| {
                        let text: String = line.words.iter().map(|word| word.text.as_str()).collect();
                        text + "\n"
                    })
                    .collect()
            };
            prop_assert_eq!(side(LineChange::Added), before);
            prop_assert_eq!(side(LineChange::Removed), after);
        }
    }
}
