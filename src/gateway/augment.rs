//! A call is given context: what the house itself answers to similar questions stands in the request before it leaves.
//!
//! Pure: a body and what was found in, a body out. One place of the body changes, every other byte stays as it came, so that
//! what is edited later ([`inject`](super::inject)) finds its places. Chat completions get one `system` message before the
//! first that is none, Anthropic's messages a text at the end of `system`, responses one at the end of `instructions`: what
//! the caller put there stays in front, where providers' caches look for it. Who gets it and how it is found is
//! [`knowledge`](super::knowledge)'s.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use steward_actors::domain::record::Operation;

use super::json::{self, Kind};
use super::request::RequestHead;

/// Bytes of context at most; pairs that do not fit as a whole are left out.
pub const CONTEXT_MAX_BYTES: usize = 24 * 1024;
/// Of what the user says, so much is looked for: as much as a pair's question may have.
pub const QUESTION_MAX_CHARS: usize = 1_000;
/// Turns that are longer are not looked through: others on this thread would wait for it.
const TURNS_MAX_BYTES: usize = 4 << 20;

const INTRODUCTION: &str = "What follows are this house's own answers to questions like the user's. Use them where they \
    fit the question, before what you know otherwise; say nothing of those that do not fit, nor of this list.";

/// Why a call is given nothing, whatever the house knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unfit {
    /// No user says anything in words, or there is no place for the context.
    NoQuestion,
    /// There is too much to look through.
    TooLarge,
}

/// What is asked, and where an answer would go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Opening {
    /// The text of the last user message that has one.
    pub question: String,
    place: Range<usize>,
    form: Form,
}

/// What is written at the place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    /// A system message, and a comma.
    Message,
    /// More text within a string.
    More { after_text: bool },
    /// One more block of a list.
    Block { after_another: bool },
    /// A member of the body, and a comma.
    Member(&'static str),
    /// A value.
    Value,
}

#[derive(Deserialize)]
struct Turn<'a> {
    #[serde(borrow, default)]
    role: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

impl Turn<'_> {
    /// What nobody can read is nobody's.
    fn of(raw: &RawValue) -> Turn<'_> {
        serde_json::from_str(raw.get()).unwrap_or(Turn {
            role: Cow::Borrowed(""),
            content: None,
        })
    }

    fn is_instruction(&self) -> bool {
        matches!(&*self.role, "system" | "developer")
    }

    /// What a user says in words.
    fn question(&self) -> Option<String> {
        (self.role == "user")
            .then(|| words(self.content?))
            .flatten()
    }
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
}

/// The words of a content: a string, or the texts among its parts.
fn words(content: &RawValue) -> Option<String> {
    let raw = content.get();
    let text = if raw.starts_with('"') {
        serde_json::from_str(raw).ok()?
    } else {
        let parts: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
        let texts = parts.iter().filter_map(|raw| {
            let part: Part<'_> = serde_json::from_str(raw.get()).ok()?;
            let is_text = matches!(&*part.kind, "text" | "input_text");
            part.text.filter(|_| is_text)
        });
        texts.collect::<Vec<_>>().join("\n")
    };
    short(&text)
}

fn short(text: &str) -> Option<String> {
    let text: String = text.trim().chars().take(QUESTION_MAX_CHARS).collect();
    (!text.is_empty()).then_some(text)
}

/// Looks for the question of a call, of which `head` was read.
///
/// # Errors
/// See [`Unfit`]. Calls that are no chat ask nothing.
pub fn look(body: &[u8], head: &RequestHead, operation: Operation) -> Result<Opening, Unfit> {
    let spans = &head.spans;
    match operation {
        Operation::Chat => {
            let (question, before) = turns(body, spans.messages.as_ref())?;
            Ok(Opening {
                question,
                place: before..before,
                form: Form::Message,
            })
        }
        Operation::Messages => {
            let (question, _) = turns(body, spans.messages.as_ref())?;
            open(body, head, question, "system", spans.system.as_ref())
        }
        Operation::Responses => {
            let question = match &spans.input {
                Some((span, Kind::String)) => {
                    let text = json::decode(&body[span.start + 1..span.end - 1]);
                    text.and_then(|text| short(&text))
                        .ok_or(Unfit::NoQuestion)?
                }
                input => turns(body, input.as_ref())?.0,
            };
            let given = spans.instructions.as_ref();
            open(body, head, question, "instructions", given)
        }
        _ => Err(Unfit::NoQuestion),
    }
}

/// The last question among the turns, and where the first begins that is no instruction.
fn turns(body: &[u8], given: Option<&(Range<usize>, Kind)>) -> Result<(String, usize), Unfit> {
    let Some((span, Kind::Array)) = given else {
        return Err(Unfit::NoQuestion);
    };
    if span.len() > TURNS_MAX_BYTES {
        return Err(Unfit::TooLarge);
    }
    let raws: Vec<&RawValue> =
        serde_json::from_slice(&body[span.clone()]).map_err(|_| Unfit::NoQuestion)?;
    let question = raws.iter().rev().find_map(|raw| Turn::of(raw).question());
    let first = raws.iter().find(|raw| !Turn::of(raw).is_instruction());
    let (Some(question), Some(first)) = (question, first) else {
        return Err(Unfit::NoQuestion);
    };
    Ok((question, first.get().as_ptr().addr() - body.as_ptr().addr()))
}

/// The end of a member that may be missing, a text or a list of blocks.
fn open(
    body: &[u8],
    head: &RequestHead,
    question: String,
    key: &'static str,
    given: Option<&(Range<usize>, Kind)>,
) -> Result<Opening, Unfit> {
    let (place, form) = match given {
        None => {
            let at = head.spans.body_start;
            (at..at, Form::Member(key))
        }
        Some((span, kind)) => {
            let end = span.end - 1;
            // Of values with something around it; a number may have one digit only.
            let inside = body.get(span.start + 1..end).unwrap_or_default();
            match kind {
                Kind::Null => (span.clone(), Form::Value),
                Kind::String => {
                    let after_text = !inside.is_empty();
                    (end..end, Form::More { after_text })
                }
                Kind::Array if key == "system" => {
                    let after_another = !inside.trim_ascii().is_empty();
                    (end..end, Form::Block { after_another })
                }
                _ => return Err(Unfit::NoQuestion),
            }
        }
    };
    Ok(Opening {
        question,
        place,
        form,
    })
}

/// The context that these pairs of a question and its answer make, the nearest first, and which of them are in it. `None` when
/// not one fits.
pub fn context<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> Option<(String, Vec<usize>)> {
    let mut text = INTRODUCTION.to_owned();
    let mut which = Vec::new();
    for (index, (question, answer)) in pairs.enumerate() {
        let pair = format!("\n\nQuestion: {question}\nAnswer: {answer}");
        if text.len() + pair.len() <= CONTEXT_MAX_BYTES {
            text.push_str(&pair);
            which.push(index);
        }
    }
    (!which.is_empty()).then_some((text, which))
}

/// The body with the context in it; `head` says afterwards where things lie now, and that the prompt is longer.
pub fn put(body: &Bytes, head: &mut RequestHead, opening: &Opening, context: &str) -> Bytes {
    let value = written(opening.form, context);
    let place = &opening.place;
    let edited = [&body[..place.start], &value, &body[place.end..]].concat();
    head.spans.moved(place, value.len());
    head.prompt.text_bytes += context.len() as u64;
    edited.into()
}

fn written(form: Form, context: &str) -> Vec<u8> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let text = match form {
        Form::Message => format!(r#"{{"role":"system","content":{}}},"#, quoted(context)),
        Form::More { after_text } => {
            let lead = if after_text { "\n\n" } else { "" };
            let whole = quoted(&[lead, context].concat());
            whole[1..whole.len() - 1].to_owned()
        }
        Form::Block { after_another } => {
            let comma = if after_another { "," } else { "" };
            format!(r#"{comma}{{"type":"text","text":{}}}"#, quoted(context))
        }
        // There are others: at least the turns.
        Form::Member(key) => format!(r#""{key}":{},"#, quoted(context)),
        Form::Value => quoted(context),
    };
    text.into_bytes()
}

#[cfg(test)]
mod tests;
