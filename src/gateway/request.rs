//! Reads from a request body the few fields a decision needs, in one pass, without building a tree.
//!
//! The body goes upstream as it came; this module only looks. It answers where the fields lie, so that
//! [`inject`](super::inject) can replace one of them without touching the rest.

use std::ops::Range;

use steward_actors::domain::record::{NAME_MAX_BYTES, cut};

use super::json::{self, JsonFault, Kind, Member, Visitor, Walk};

/// Completion tokens reserved for a call that names no bound.
pub const COMPLETION_DEFAULT_TOKENS: u64 = 1_024;
/// Most completion tokens reserved for a call: clients name bounds far above what they use.
pub const COMPLETION_RESERVED_MAX_TOKENS: u64 = 4_096;
/// Prompt tokens reserved for an image or another binary part.
pub const ATTACHMENT_TOKENS: u64 = 800;
/// A string value longer than this without a space is taken for binary data.
const BINARY_MIN_BYTES: usize = 1_024;
/// Longest model name read; a longer one is nobody's model.
const MODEL_MAX_BYTES: usize = 512;

/// A longer object within the request is judged, but not looked into.
const NESTED_MAX_BYTES: usize = 64 * 1024;

/// What a request says about itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RequestHead {
    /// Absent when missing, empty or not a string.
    pub model: Option<String>,
    pub stream: bool,
    /// `stream_options.include_usage`, when said.
    pub include_usage: Option<bool>,
    /// `user`, else `metadata.user_id`, else `safety_identifier`; cut to a record's bound.
    pub user: Option<String>,
    /// `conversation` (a string or its `id`), else `metadata.conversation` or `metadata.conversation_id`,
    /// else `previous_response_id`; cut to a record's bound.
    pub conversation: Option<String>,
    /// The greatest of `max_tokens`, `max_completion_tokens`, `max_output_tokens`.
    pub max_tokens: Option<u64>,
    pub prompt: PromptSize,
    pub(super) spans: Spans,
}

/// Rough size of a prompt.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PromptSize {
    /// Bytes of text, JSON escapes included.
    pub text_bytes: u64,
    /// Binary parts (images, audio, files).
    pub attachments: u64,
    /// Numbers in `input` or `prompt`: prompts given as token ids.
    pub token_ids: u64,
}

impl PromptSize {
    /// Rough count of prompt tokens, good enough to reserve by.
    pub fn tokens(self) -> u64 {
        self.text_bytes.div_ceil(4) + self.attachments * ATTACHMENT_TOKENS + self.token_ids
    }
}

/// Where the editable fields lie in the body.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Spans {
    /// Every `model` value (JSON allows the key twice; readers differ in which they take).
    pub(super) models: Vec<Range<usize>>,
    /// The last `stream_options` value and whether it is an object.
    pub(super) stream_options: Option<(Range<usize>, bool)>,
    /// The last `include_usage` value inside it.
    pub(super) include_usage: Option<Range<usize>>,
    /// `stream_options` is an object with at least one member.
    pub(super) options_filled: bool,
    /// Offset after the outermost `{`.
    pub(super) body_start: usize,
    /// The outermost object has at least one member.
    pub(super) body_filled: bool,
    /// The last values of `messages`, `input`, `system` and `instructions`, and what they are.
    pub(super) messages: Option<(Range<usize>, Kind)>,
    pub(super) input: Option<(Range<usize>, Kind)>,
    pub(super) system: Option<(Range<usize>, Kind)>,
    pub(super) instructions: Option<(Range<usize>, Kind)>,
}

impl Spans {
    /// What lies at `place` of the body is `len` bytes long now, and what lay behind it lies elsewhere.
    pub(super) fn moved(&mut self, place: &Range<usize>, len: usize) {
        let kinds = [
            &mut self.messages,
            &mut self.input,
            &mut self.system,
            &mut self.instructions,
        ];
        let valued = kinds.into_iter().flatten().map(|(span, _)| span);
        let options = self.stream_options.iter_mut().map(|(span, _)| span);
        let usage = self.include_usage.iter_mut();
        let spans = self.models.iter_mut();
        for span in spans.chain(options).chain(usage).chain(valued) {
            for offset in [&mut span.start, &mut span.end] {
                if *offset >= place.end {
                    *offset = *offset - place.len() + len;
                }
            }
        }
    }
}

impl RequestHead {
    /// Completion tokens to reserve.
    pub fn completion_tokens(&self) -> u64 {
        self.max_tokens
            .unwrap_or(COMPLETION_DEFAULT_TOKENS)
            .min(COMPLETION_RESERVED_MAX_TOKENS)
    }

    /// The body names its model more than once.
    pub fn model_is_ambiguous(&self) -> bool {
        self.spans.models.len() > 1
    }
}

/// Reads a request body.
///
/// # Errors
/// [`JsonFault`]: not UTF-8, not JSON, not an object, nested too deeply. Of duplicate keys the last counts.
pub fn parse(body: &[u8]) -> Result<RequestHead, JsonFault> {
    Reading::new().finish(body)
}

/// The reading of a body that is still arriving. What is wrong with it is told at the end.
#[derive(Debug)]
pub struct Reading {
    walk: Walk,
    reader: Reader,
    fault: Option<JsonFault>,
}

impl Default for Reading {
    fn default() -> Self {
        Self::new()
    }
}

impl Reading {
    /// Before the first byte.
    pub fn new() -> Self {
        Self {
            walk: Walk::new(),
            reader: Reader {
                head: RequestHead::default(),
                conversation: [None, None, None],
                user: [None, None, None],
                last_top: usize::MAX,
                top_is_prompt: Prompt::No,
            },
            fault: None,
        }
    }

    /// Reads on as far as `body` reaches: what was there before, and more.
    pub fn advance(&mut self, body: &[u8]) {
        if self.fault.is_none() {
            self.fault = self.walk.advance(body, &mut self.reader).err();
        }
    }

    /// How far it has got, in bytes.
    #[cfg(test)]
    pub(super) fn reached(&self) -> usize {
        self.walk.reached()
    }

    /// The whole body is here.
    ///
    /// # Errors
    /// As [`parse`].
    pub fn finish(mut self, body: &[u8]) -> Result<RequestHead, JsonFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.walk.finish(body, &mut self.reader)?;
        let mut head = self.reader.head;
        head.conversation = self.reader.conversation.into_iter().flatten().next();
        head.user = self.reader.user.into_iter().flatten().next();
        head.spans.body_start = body.iter().position(|byte| *byte == b'{').unwrap_or(0) + 1;
        Ok(head)
    }
}

/// Which part of the prompt a top-level key holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Prompt {
    No,
    Text,
    /// May also be a list of token ids.
    TextOrIds,
}

#[derive(Debug)]
struct Reader {
    head: RequestHead,
    conversation: [Option<String>; 3],
    user: [Option<String>; 3],
    last_top: usize,
    top_is_prompt: Prompt,
}

impl Reader {
    fn prompt(&mut self, body: &[u8], top: &Range<usize>) -> Prompt {
        if self.last_top != top.start {
            self.last_top = top.start;
            self.top_is_prompt = prompt_key(&body[top.clone()]);
        }
        self.top_is_prompt
    }
}

/// A string value that is not empty and not absurdly long.
fn string(body: &[u8], value: &Range<usize>, kind: Kind) -> Option<String> {
    if kind != Kind::String || value.len() > 16 * 1024 {
        return None;
    }
    json::decode(&body[value.start + 1..value.end - 1]).filter(|text| !text.is_empty())
}

fn name(body: &[u8], value: &Range<usize>, kind: Kind) -> Option<String> {
    let mut text = string(body, value, kind)?;
    cut(&mut text, NAME_MAX_BYTES);
    Some(text)
}

fn prompt_key(key: &[u8]) -> Prompt {
    match key {
        b"input" | b"prompt" => Prompt::TextOrIds,
        b"messages" | b"system" | b"instructions" | b"tools" | b"functions" | b"documents"
        | b"suffix" => Prompt::Text,
        _ => Prompt::No,
    }
}

/// Whether the text looks like base64 or a data URL rather than something a model reads as words.
pub(super) fn is_binary(text: &[u8]) -> bool {
    text.len() > BINARY_MIN_BYTES
        && (text.starts_with(b"data:")
            || text[..256]
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_".contains(byte)))
}

impl Visitor for Reader {
    fn text(&mut self, body: &[u8], top: &Range<usize>, text: Range<usize>) {
        if self.prompt(body, top) == Prompt::No {
            return;
        }
        if is_binary(&body[text.clone()]) {
            self.head.prompt.attachments += 1;
        } else {
            self.head.prompt.text_bytes += text.len() as u64;
        }
    }

    fn numbers(&mut self, body: &[u8], top: &Range<usize>, many: u64) {
        if self.prompt(body, top) == Prompt::TextOrIds {
            self.head.prompt.token_ids += many;
        }
    }

    fn member(&mut self, body: &[u8], member: Member) {
        let Member { key, value, kind } = member;
        self.head.spans.body_filled = true;
        let raw = &body[key];
        let decoded;
        let key = if raw.contains(&b'\\') {
            decoded = json::decode(raw).unwrap_or_default();
            decoded.as_bytes()
        } else {
            raw
        };
        match key {
            b"model" => {
                self.head.model =
                    string(body, &value, kind).filter(|model| model.len() <= MODEL_MAX_BYTES);
                self.head.spans.models.push(value);
            }
            b"stream" => self.head.stream = kind == Kind::True,
            b"stream_options" => {
                self.head.include_usage = None;
                self.head.spans.include_usage = None;
                self.head.spans.options_filled = false;
                if kind == Kind::Object {
                    for inner in members(body, &value) {
                        self.head.spans.options_filled = true;
                        if json::key_is(&body[inner.key], "include_usage") {
                            self.head.include_usage = match inner.kind {
                                Kind::True => Some(true),
                                Kind::False => Some(false),
                                _ => None,
                            };
                            self.head.spans.include_usage = Some(inner.value);
                        }
                    }
                }
                self.head.spans.stream_options = Some((value, kind == Kind::Object));
            }
            b"messages" => self.head.spans.messages = Some((value, kind)),
            b"input" => self.head.spans.input = Some((value, kind)),
            b"system" => self.head.spans.system = Some((value, kind)),
            b"instructions" => self.head.spans.instructions = Some((value, kind)),
            b"user" => self.user[0] = name(body, &value, kind),
            b"safety_identifier" => self.user[2] = name(body, &value, kind),
            b"metadata" if kind == Kind::Object => {
                for inner in members(body, &value) {
                    let text = name(body, &inner.value, inner.kind);
                    match &body[inner.key] {
                        b"user_id" => self.user[1] = text,
                        b"conversation" | b"conversation_id" => self.conversation[1] = text,
                        _ => {}
                    }
                }
            }
            b"conversation" => {
                self.conversation[0] = match kind {
                    Kind::Object => members(body, &value)
                        .into_iter()
                        .rfind(|inner| &body[inner.key.clone()] == b"id")
                        .and_then(|inner| name(body, &inner.value, inner.kind)),
                    _ => name(body, &value, kind),
                };
            }
            b"previous_response_id" => self.conversation[2] = name(body, &value, kind),
            b"max_tokens" | b"max_completion_tokens" | b"max_output_tokens"
                if kind == Kind::Number =>
            {
                let said = std::str::from_utf8(&body[value])
                    .ok()
                    .and_then(|text| text.parse::<u64>().ok());
                self.head.max_tokens = self.head.max_tokens.max(said);
            }
            _ => {}
        }
    }
}

/// The members of a nested object that the walk has already found well-formed, with offsets into `body`; none
/// of an object so large that going through it again would take its time.
fn members(body: &[u8], object: &Range<usize>) -> Vec<Member> {
    struct Collect(Vec<Member>, usize);
    impl Visitor for Collect {
        fn member(&mut self, _: &[u8], mut member: Member) {
            let by = self.1;
            member.key = member.key.start + by..member.key.end + by;
            member.value = member.value.start + by..member.value.end + by;
            self.0.push(member);
        }
    }
    let mut found = Collect(Vec::new(), object.start);
    if object.len() > NESTED_MAX_BYTES {
        return found.0;
    }
    // It was walked as part of the body, so it cannot fail; if it did, nothing was found.
    let _ = json::walk(&body[object.clone()], &mut found);
    found.0
}

/// A sample of the prompt's text for an estimate, and how much there is in all.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PromptText {
    /// Up to the asked number of bytes, escapes resolved.
    pub sample: String,
    /// Bytes of text the sample was taken from, escapes as written.
    pub sampled_bytes: u64,
    pub size: PromptSize,
}

/// Collects the prompt's text, at most `max_bytes` of it. For estimates, off the hot path.
pub fn prompt_text(body: &[u8], max_bytes: usize) -> PromptText {
    struct Collect {
        max_bytes: usize,
        found: PromptText,
    }
    impl Visitor for Collect {
        fn text(&mut self, body: &[u8], top: &Range<usize>, text: Range<usize>) {
            let raw = &body[text];
            if prompt_key(&body[top.clone()]) == Prompt::No {
                return;
            }
            if is_binary(raw) {
                self.found.size.attachments += 1;
                return;
            }
            self.found.size.text_bytes += raw.len() as u64;
            let room = self
                .max_bytes
                .saturating_sub(self.found.sampled_bytes as usize);
            if room == 0 {
                return;
            }
            let mut part = &raw[..raw.len().min(room)];
            self.found.sampled_bytes += part.len() as u64;
            // The cut may have fallen inside a character or an escape: step back until it decodes.
            for _ in 0..12 {
                if let Some(text) = json::decode(part) {
                    self.found.sample.push_str(&text);
                    self.found.sample.push('\n');
                    break;
                }
                match part.split_last() {
                    Some((_, shorter)) => part = shorter,
                    None => break,
                }
            }
        }

        fn numbers(&mut self, body: &[u8], top: &Range<usize>, many: u64) {
            if prompt_key(&body[top.clone()]) == Prompt::TextOrIds {
                self.found.size.token_ids += many;
            }
        }
    }
    let mut collect = Collect {
        max_bytes,
        found: PromptText::default(),
    };
    // A body that is not JSON was refused long before; whatever was found until then is the answer.
    let _ = json::walk(body, &mut collect);
    collect.found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_chat_request_is_read() {
        let body = br#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hello"}],"stream":true,
            "stream_options":{"include_usage":false},"user":"u-1","max_tokens":16,"max_completion_tokens":32}"#;
        let head = parse(body).unwrap();
        assert_eq!(head.model.as_deref(), Some("gpt-4o"));
        assert!(head.stream);
        assert_eq!(head.include_usage, Some(false));
        assert_eq!(head.user.as_deref(), Some("u-1"));
        assert_eq!(head.max_tokens, Some(32));
        assert_eq!(head.completion_tokens(), 32);
        assert_eq!(head.prompt.text_bytes, 9);
    }

    #[test]
    fn an_anthropic_request_is_read() {
        let body = br#"{"model":"claude-sonnet-4-5","max_tokens":1024,"system":"Be kind","metadata":{"user_id":"u-2","conversation":"c-9"},"messages":[]}"#;
        let head = parse(body).unwrap();
        assert_eq!(head.user.as_deref(), Some("u-2"));
        assert_eq!(head.conversation.as_deref(), Some("c-9"));
        assert_eq!(head.max_tokens, Some(1024));
        assert!(!head.stream);
    }

    #[test]
    fn conversations_of_the_responses_api_are_read() {
        let of = |body: &str| parse(body.as_bytes()).unwrap().conversation;
        assert_eq!(
            of(r#"{"previous_response_id":"resp_1"}"#).as_deref(),
            Some("resp_1")
        );
        assert_eq!(
            of(r#"{"conversation":"conv_1","previous_response_id":"resp_1"}"#).as_deref(),
            Some("conv_1")
        );
        assert_eq!(
            of(r#"{"conversation":{"id":"conv_2"}}"#).as_deref(),
            Some("conv_2")
        );
        assert_eq!(of(r#"{"conversation":null}"#), None);
    }

    #[test]
    fn the_last_of_duplicate_keys_counts_and_escaped_keys_are_seen() {
        let head =
            parse(br#"{"model":"a","mod\u0065l":"b\u00e9","stream":true,"stream":false}"#).unwrap();
        assert_eq!(head.model.as_deref(), Some("bé"));
        assert!(head.model_is_ambiguous());
        assert!(!head.stream);
        assert_eq!(parse(br#"{"model":"a","model":3}"#).unwrap().model, None);
    }

    #[test]
    fn images_and_token_ids_are_counted_apart_from_text() {
        let image = format!("data:image/png;base64,{}", "A".repeat(2_000_000));
        let body = json!({"model":"m","messages":[{"content":[{"type":"text","text":"what"},{"image_url":{"url":image}}]}]});
        let head = parse(body.to_string().as_bytes()).unwrap();
        assert_eq!(head.prompt.attachments, 1);
        assert!(head.prompt.tokens() < 900);
        let ids = parse(br#"{"input":[[1,2,3],[4]],"temperature":1}"#).unwrap();
        assert_eq!(ids.prompt.token_ids, 4);
    }

    #[test]
    fn prompt_text_is_bounded_and_cut_cleanly() {
        let body = json!({"messages":[{"content":"界\"\n".repeat(1_000)}]}).to_string();
        for max in [0, 1, 2, 3, 10, 100] {
            let text = prompt_text(body.as_bytes(), max);
            assert!(text.sampled_bytes as usize <= max);
            assert!(text.sample.len() <= max + 1);
            assert_eq!(text.size.text_bytes, 7_000);
        }
    }

    proptest! {
        #[test]
        fn it_reads_what_a_full_parse_reads(model in "\\PC{1,20}", stream: bool, include: Option<bool>, user in "\\PC{1,20}", max in 0u64..100_000, pretty: bool) {
            let mut body = json!({"model": model, "stream": stream, "user": user, "max_tokens": max, "messages": [{"content": user}]});
            if let Some(include) = include {
                body["stream_options"] = json!({"x": {"include_usage": 1}, "include_usage": include});
            }
            let text = if pretty { serde_json::to_string_pretty(&body).unwrap() } else { body.to_string() };
            let head = parse(text.as_bytes()).unwrap();
            prop_assert_eq!(head.model, Some(model));
            prop_assert_eq!(head.stream, stream);
            prop_assert_eq!(head.include_usage, include);
            prop_assert_eq!(head.user, Some(user));
            prop_assert_eq!(head.max_tokens, Some(max));
        }

        #[test]
        fn it_never_panics(body: Vec<u8>, max in 0usize..50) {
            let _ = parse(&body);
            let _ = prompt_text(&body, max);
        }
    }
}
