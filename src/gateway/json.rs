//! Validates a JSON object in one pass and tells where its members lie, while the object still arrives.
//!
//! Exists because a request body must be judged (well-formed, an object, not absurdly nested) and three or
//! four of its fields read without building a tree of a 32 MiB document: the walk is iterative, allocates
//! nothing and hands out byte ranges. It goes as far as there are bytes and goes on when there are more, so
//! that a large body is judged by the time it is here and nobody else on the thread waits for that. It builds
//! no values; whoever needs one decodes the range it got.

mod lexemes;
#[cfg(test)]
mod tests;

use std::ops::Range;

use self::lexemes::{
    AGAIN_BYTES, PLAIN, SHORT_BYTES, check_utf8, escapes, number_end, skip_run, skip_space,
    whole_numbers,
};

/// Deepest nesting accepted: what `serde_json` accepts too, so that nothing behind us overflows.
pub const MAX_DEPTH: u32 = 127;

/// Why a body is not acceptable JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JsonFault {
    /// Not UTF-8; the offset of the first bad byte.
    #[error("the body is not valid UTF-8 at byte {0}")]
    NotUtf8(usize),
    /// Not JSON; the offset where it stops being so.
    #[error("the body is not valid JSON at byte {0}")]
    Syntax(usize),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("the body is nested too deeply")]
    TooDeep,
    /// Valid start of JSON, but not of an object.
    #[error("the body is not a JSON object")]
    NotAnObject,
}

/// Kind of a JSON value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

/// A member of the outermost object. Ranges are byte offsets into the body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// The key between its quotes, escapes as written.
    pub key: Range<usize>,
    /// The value, quotes or brackets included.
    pub value: Range<usize>,
    pub kind: Kind,
}

/// What the walk reports. All default to nothing. `body` is what is there so far, from its beginning.
pub trait Visitor {
    /// A member of the outermost object, when its value has ended.
    fn member(&mut self, _body: &[u8], _member: Member) {}
    /// A string value at any depth (no keys), between its quotes; `top` is the outermost key it lies under.
    fn text(&mut self, _body: &[u8], _top: &Range<usize>, _text: Range<usize>) {}
    /// Numbers, one after the other, at any depth below the outermost object's members.
    fn numbers(&mut self, _body: &[u8], _top: &Range<usize>, _many: u64) {}
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Expect {
    /// The outermost object.
    Start,
    Key,
    KeyOrEnd,
    Colon,
    Value,
    ValueOrEnd,
    CommaOrEnd,
    /// Nothing but white space.
    End,
}

/// A string whose end is not here yet.
#[derive(Debug)]
struct InString {
    /// Its opening quote.
    start: usize,
    is_key: bool,
    /// Everything before it is valid UTF-8.
    checked: usize,
    /// Beyond `checked` there are bytes that are not ASCII.
    high: bool,
}

/// A walk under way.
#[derive(Debug)]
pub struct Walk {
    at: usize,
    expect: Expect,
    /// One bit a level, the innermost lowest: set for an object.
    stack: u128,
    depth: u32,
    string: Option<InString>,
    /// Not to be gone on with before there are so many bytes: a number has begun.
    wait_for: usize,
    top_key: Range<usize>,
    top_value: usize,
    top_kind: Kind,
}

/// Why the walk does not go on at present.
enum Stop {
    /// The bytes end here.
    Short,
    Fault(JsonFault),
}

impl From<JsonFault> for Stop {
    fn from(fault: JsonFault) -> Self {
        Self::Fault(fault)
    }
}

/// Walks `body`, which must be one JSON object with nothing but white space around it.
///
/// # Errors
/// The first [`JsonFault`] met. Members reported before it may have been seen by the visitor.
pub fn walk(body: &[u8], visitor: &mut impl Visitor) -> Result<(), JsonFault> {
    let mut walk = Walk::new();
    walk.finish(body, visitor)
}

impl Default for Walk {
    fn default() -> Self {
        Self::new()
    }
}

impl Walk {
    /// Before the first byte.
    pub fn new() -> Self {
        Self {
            at: 0,
            expect: Expect::Start,
            stack: 0,
            depth: 0,
            string: None,
            wait_for: 0,
            top_key: 0..0,
            top_value: 0,
            top_kind: Kind::Null,
        }
    }

    /// How far it has got, in bytes.
    #[cfg(test)]
    pub(super) fn reached(&self) -> usize {
        self.at
    }

    /// Goes on as far as `body` reaches: what was there before, and more.
    ///
    /// # Errors
    /// The first [`JsonFault`] met.
    pub fn advance(&mut self, body: &[u8], visitor: &mut impl Visitor) -> Result<(), JsonFault> {
        if body.len() < self.wait_for {
            return Ok(());
        }
        match self.go(body, false, visitor) {
            Stop::Short => Ok(()),
            Stop::Fault(fault) => Err(fault),
        }
    }

    /// Goes to the end of `body`, after which nothing comes.
    ///
    /// # Errors
    /// The first [`JsonFault`] met.
    pub fn finish(&mut self, body: &[u8], visitor: &mut impl Visitor) -> Result<(), JsonFault> {
        match self.go(body, true, visitor) {
            Stop::Short if self.expect == Expect::End => Ok(()),
            Stop::Short => Err(JsonFault::Syntax(body.len())),
            Stop::Fault(fault) => Err(fault),
        }
    }

    fn go(&mut self, body: &[u8], last: bool, visitor: &mut impl Visitor) -> Stop {
        loop {
            if let Err(stop) = self.step(body, last, visitor) {
                return stop;
            }
        }
    }

    /// One token.
    #[inline]
    fn step(&mut self, body: &[u8], last: bool, visitor: &mut impl Visitor) -> Result<(), Stop> {
        if self.string.is_some() {
            return self.go_on_with_string(body, visitor);
        }
        self.at = skip_space(body, self.at);
        let at = self.at;
        let Some(&byte) = body.get(at) else {
            return Err(Stop::Short);
        };
        match self.expect {
            Expect::CommaOrEnd => {
                let in_object = self.stack & 1 == 1;
                self.at += 1;
                match byte {
                    b',' if in_object => self.expect = Expect::Key,
                    b',' => self.expect = Expect::Value,
                    b'}' if in_object => self.close(body, visitor),
                    b']' if !in_object => self.close(body, visitor),
                    _ => return Err(JsonFault::Syntax(at).into()),
                }
            }
            Expect::Value | Expect::ValueOrEnd => match byte {
                b'"' => self.string(body, false, visitor)?,
                b'-' | b'0'..=b'9' => self.numbers(body, last, visitor)?,
                b'{' | b'[' => {
                    if self.depth >= MAX_DEPTH {
                        return Err(JsonFault::TooDeep.into());
                    }
                    if self.depth == 1 {
                        self.top_value = at;
                        self.top_kind = if byte == b'{' {
                            Kind::Object
                        } else {
                            Kind::Array
                        };
                    }
                    self.open(byte);
                }
                b']' if self.expect == Expect::ValueOrEnd => {
                    self.at += 1;
                    self.close(body, visitor);
                }
                b't' => self.literal(body, last, b"true", Kind::True, visitor)?,
                b'f' => self.literal(body, last, b"false", Kind::False, visitor)?,
                b'n' => self.literal(body, last, b"null", Kind::Null, visitor)?,
                _ => return Err(JsonFault::Syntax(at).into()),
            },
            Expect::Key | Expect::KeyOrEnd => match byte {
                b'"' => self.string(body, true, visitor)?,
                b'}' if self.expect == Expect::KeyOrEnd => {
                    self.at += 1;
                    self.close(body, visitor);
                }
                _ => return Err(JsonFault::Syntax(at).into()),
            },
            Expect::Colon => {
                if byte != b':' {
                    return Err(JsonFault::Syntax(at).into());
                }
                self.at += 1;
                self.expect = Expect::Value;
            }
            Expect::Start => match byte {
                b'{' => self.open(byte),
                b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                    return Err(JsonFault::NotAnObject.into());
                }
                _ => return Err(JsonFault::Syntax(at).into()),
            },
            Expect::End => return Err(JsonFault::Syntax(at).into()),
        }
        Ok(())
    }

    fn open(&mut self, byte: u8) {
        let is_object = byte == b'{';
        self.stack = (self.stack << 1) | u128::from(is_object);
        self.depth += 1;
        self.at += 1;
        self.expect = if is_object {
            Expect::KeyOrEnd
        } else {
            Expect::ValueOrEnd
        };
    }

    /// The bracket before `self.at` closes an object or a list.
    fn close(&mut self, body: &[u8], visitor: &mut impl Visitor) {
        self.stack >>= 1;
        self.depth -= 1;
        self.expect = Expect::CommaOrEnd;
        match self.depth {
            0 => self.expect = Expect::End,
            1 => visitor.member(
                body,
                Member {
                    key: self.top_key.clone(),
                    value: self.top_value..self.at,
                    kind: self.top_kind,
                },
            ),
            _ => {}
        }
    }

    /// A value that is no object and no list has ended before `self.at`.
    #[inline]
    fn ended(&mut self, body: &[u8], start: usize, kind: Kind, visitor: &mut impl Visitor) {
        self.expect = Expect::CommaOrEnd;
        if self.depth == 1 {
            visitor.member(
                body,
                Member {
                    key: self.top_key.clone(),
                    value: start..self.at,
                    kind,
                },
            );
        }
    }

    fn literal(
        &mut self,
        body: &[u8],
        last: bool,
        word: &[u8],
        kind: Kind,
        visitor: &mut impl Visitor,
    ) -> Result<(), Stop> {
        let start = self.at;
        let here = &body[start..];
        if here.starts_with(word) {
            self.at += word.len();
            self.ended(body, start, kind, visitor);
            Ok(())
        } else if !last && word.starts_with(here) {
            Err(Stop::Short)
        } else {
            Err(JsonFault::Syntax(start).into())
        }
    }

    /// A number, and in a list those that follow it.
    fn numbers(&mut self, body: &[u8], last: bool, visitor: &mut impl Visitor) -> Result<(), Stop> {
        let in_list = self.stack & 1 == 0;
        let (mut many, mut by_blocks_from) = (0, self.at);
        let stopped = loop {
            let start = self.at;
            let mut passed = None;
            if in_list && start >= by_blocks_from {
                passed = whole_numbers(body, start);
                by_blocks_from = start + AGAIN_BYTES;
            }
            let (end, more) = match passed.map_or_else(|| Ok((number_end(body, start)?, 1)), Ok) {
                // It may go on in the bytes to come.
                Ok((end, _)) if end == body.len() && !last => {
                    self.expect = Expect::Value;
                    self.wait_for = end + (end - start);
                    break Err(Stop::Short);
                }
                Err(at) if at == body.len() && !last => {
                    self.expect = Expect::Value;
                    self.wait_for = at + (at - start);
                    break Err(Stop::Short);
                }
                Ok(passed) => passed,
                Err(at) => break Err(JsonFault::Syntax(at).into()),
            };
            many += more;
            self.at = end;
            if !in_list {
                self.ended(body, start, Kind::Number, visitor);
                break Ok(());
            }
            self.expect = Expect::CommaOrEnd;
            let next = match body.get(end..) {
                Some([b',', b'-' | b'0'..=b'9', ..]) => end + 1,
                Some([b',', b' ', b'-' | b'0'..=b'9', ..]) => end + 2,
                _ => break Ok(()),
            };
            self.at = next;
        };
        if many > 0 && self.depth > 1 {
            visitor.numbers(body, &self.top_key, many);
        }
        stopped
    }

    #[inline]
    fn string(
        &mut self,
        body: &[u8],
        is_key: bool,
        visitor: &mut impl Visitor,
    ) -> Result<(), Stop> {
        let start = self.at;
        // Most strings are short and plain.
        let mut at = start + 1;
        let near = (at + SHORT_BYTES).min(body.len());
        while at < near && PLAIN[body[at] as usize] {
            at += 1;
        }
        if body.get(at) == Some(&b'"') {
            self.at = at + 1;
            self.string_ended(body, start, is_key, visitor);
            return Ok(());
        }
        self.at = at;
        self.string = Some(InString {
            start,
            is_key,
            checked: at,
            high: false,
        });
        self.go_on_with_string(body, visitor)
    }

    #[inline]
    fn string_ended(
        &mut self,
        body: &[u8],
        start: usize,
        is_key: bool,
        visitor: &mut impl Visitor,
    ) {
        let text = start + 1..self.at - 1;
        if is_key {
            if self.depth == 1 {
                self.top_key = text;
            }
            self.expect = Expect::Colon;
        } else {
            visitor.text(body, &self.top_key, text);
            self.ended(body, start, Kind::String, visitor);
        }
    }

    fn go_on_with_string(&mut self, body: &[u8], visitor: &mut impl Visitor) -> Result<(), Stop> {
        let Some(string) = &mut self.string else {
            return Ok(());
        };
        let mut at = self.at;
        let ended = loop {
            at = skip_run(body, at, &mut string.high);
            match body.get(at) {
                Some(b'\\') => match escapes(body, at) {
                    Ok(end) if end > at => at = end,
                    // The rest of an escape is to come.
                    Ok(_) => break Ok(false),
                    Err(fault) => break Err(fault),
                },
                Some(b'"') => break Ok(true),
                Some(_) => break Err(JsonFault::Syntax(at)),
                None => break Ok(false),
            }
        };
        if string.high {
            // Checked here, string by string: outside of strings the grammar allows nothing but ASCII anyway.
            let closed = ended != Ok(false);
            string.checked = check_utf8(body, string.checked, at, closed)?;
            string.high = string.checked < at;
        } else {
            string.checked = at;
        }
        let (start, is_key) = (string.start, string.is_key);
        self.at = at;
        if !ended? {
            return Err(Stop::Short);
        }
        self.at += 1;
        self.string = None;
        self.string_ended(body, start, is_key, visitor);
        Ok(())
    }
}

/// The text of a string range (between its quotes); `None` when its escapes make no valid string.
pub fn decode(raw: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(raw).ok()?;
    if !text.contains('\\') {
        return Some(text.to_owned());
    }
    serde_json::from_str(&format!("\"{text}\"")).ok()
}

/// Whether the key written as `raw` is `name`, escapes resolved.
pub fn key_is(raw: &[u8], name: &str) -> bool {
    raw == name.as_bytes() || (raw.contains(&b'\\') && decode(raw).is_some_and(|key| key == name))
}
