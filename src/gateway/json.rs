//! Validates a JSON object in one pass and tells where its members lie.
//!
//! Exists because a request body must be judged (well-formed, an object, not absurdly nested) and three or
//! four of its fields read without building a tree of a 32 MiB document: the walk is iterative, allocates
//! nothing and hands out byte ranges. It builds no values; whoever needs one decodes the range it got.

use std::ops::Range;

use memchr::memchr2;

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

/// What the walk reports. Both default to nothing.
pub trait Visitor {
    /// A member of the outermost object, when its value has ended.
    fn member(&mut self, _member: Member) {}
    /// A string value at any depth (no keys), between its quotes; `top` is the outermost key it lies under.
    fn text(&mut self, _top: &Range<usize>, _text: Range<usize>) {}
    /// A number at any depth below the outermost object's members.
    fn number(&mut self, _top: &Range<usize>) {}
}

#[derive(Clone, Copy, PartialEq)]
enum Expect {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    CommaOrEnd,
}

/// Walks `body`, which must be one JSON object with nothing but white space around it.
///
/// # Errors
/// The first [`JsonFault`] met. Members reported before it may have been seen by the visitor.
pub fn walk(body: &[u8], visitor: &mut impl Visitor) -> Result<(), JsonFault> {
    let mut at = skip_space(body, 0);
    match body.get(at) {
        Some(b'{') => at += 1,
        Some(b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
            return Err(JsonFault::NotAnObject);
        }
        _ => return Err(JsonFault::Syntax(at)),
    }
    // One bit a level, the innermost lowest: set for an object.
    let mut stack: u128 = 1;
    let mut depth: u32 = 1;
    let mut expect = Expect::KeyOrEnd;
    let mut top_key = 0..0;
    let mut top_value = 0;
    let mut top_kind = Kind::Null;
    loop {
        at = skip_space(body, at);
        let Some(&byte) = body.get(at) else {
            return Err(JsonFault::Syntax(at));
        };
        match expect {
            Expect::Key | Expect::KeyOrEnd => {
                if byte == b'}' && expect == Expect::KeyOrEnd {
                    expect = Expect::CommaOrEnd;
                    continue;
                }
                if byte != b'"' {
                    return Err(JsonFault::Syntax(at));
                }
                let end = string_end(body, at)?;
                let key = at + 1..end - 1;
                at = skip_space(body, end);
                if body.get(at) != Some(&b':') {
                    return Err(JsonFault::Syntax(at));
                }
                at += 1;
                if depth == 1 {
                    top_key = key;
                }
                expect = Expect::Value;
            }
            Expect::Value | Expect::ValueOrEnd => {
                if byte == b']' && expect == Expect::ValueOrEnd {
                    expect = Expect::CommaOrEnd;
                    continue;
                }
                let start = at;
                let kind = match byte {
                    b'{' | b'[' => {
                        if depth >= MAX_DEPTH {
                            return Err(JsonFault::TooDeep);
                        }
                        if depth == 1 {
                            top_value = start;
                            top_kind = if byte == b'{' {
                                Kind::Object
                            } else {
                                Kind::Array
                            };
                        }
                        stack = (stack << 1) | u128::from(byte == b'{');
                        depth += 1;
                        at += 1;
                        expect = if byte == b'{' {
                            Expect::KeyOrEnd
                        } else {
                            Expect::ValueOrEnd
                        };
                        continue;
                    }
                    b'"' => {
                        at = string_end(body, at)?;
                        visitor.text(&top_key, start + 1..at - 1);
                        Kind::String
                    }
                    b't' => {
                        at = literal(body, at, b"true")?;
                        Kind::True
                    }
                    b'f' => {
                        at = literal(body, at, b"false")?;
                        Kind::False
                    }
                    b'n' => {
                        at = literal(body, at, b"null")?;
                        Kind::Null
                    }
                    b'-' | b'0'..=b'9' => {
                        at = number_end(body, at)?;
                        if depth > 1 {
                            visitor.number(&top_key);
                        }
                        Kind::Number
                    }
                    _ => return Err(JsonFault::Syntax(at)),
                };
                if depth == 1 {
                    visitor.member(Member {
                        key: top_key.clone(),
                        value: start..at,
                        kind,
                    });
                }
                expect = Expect::CommaOrEnd;
            }
            Expect::CommaOrEnd => {
                let in_object = stack & 1 == 1;
                match byte {
                    b',' => {
                        at += 1;
                        expect = if in_object {
                            Expect::Key
                        } else {
                            Expect::Value
                        };
                    }
                    b'}' if in_object => at += 1,
                    b']' if !in_object => at += 1,
                    _ => return Err(JsonFault::Syntax(at)),
                }
                if byte != b',' {
                    stack >>= 1;
                    depth -= 1;
                    match depth {
                        0 => break,
                        1 => visitor.member(Member {
                            key: top_key.clone(),
                            value: top_value..at,
                            kind: top_kind,
                        }),
                        _ => {}
                    }
                }
            }
        }
    }
    match skip_space(body, at) {
        end if end == body.len() => Ok(()),
        rest => Err(JsonFault::Syntax(rest)),
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

#[inline]
fn skip_space(body: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = body.get(at) {
        at += 1;
    }
    at
}

fn literal(body: &[u8], at: usize, word: &[u8]) -> Result<usize, JsonFault> {
    if body[at..].starts_with(word) {
        Ok(at + word.len())
    } else {
        Err(JsonFault::Syntax(at))
    }
}

fn number_end(body: &[u8], start: usize) -> Result<usize, JsonFault> {
    #[inline]
    fn digits(body: &[u8], mut at: usize) -> usize {
        while at < body.len() && body[at].is_ascii_digit() {
            at += 1;
        }
        at
    }
    fn some_digits(body: &[u8], at: usize) -> Result<usize, JsonFault> {
        match digits(body, at) {
            end if end > at => Ok(end),
            end => Err(JsonFault::Syntax(end)),
        }
    }
    let mut at = start;
    if body[at] == b'-' {
        at += 1;
    }
    at = if body.get(at) == Some(&b'0') {
        at + 1
    } else {
        some_digits(body, at)?
    };
    if body.get(at) == Some(&b'.') {
        at = some_digits(body, at + 1)?;
    }
    if let Some(b'e' | b'E') = body.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = body.get(at) {
            at += 1;
        }
        at = some_digits(body, at)?;
    }
    Ok(at)
}

/// Bytes of a string that are looked at one by one before the search goes by blocks.
const SHORT_BYTES: usize = 32;
/// A block stays in the first-level cache between the two looks taken at it.
const BLOCK_BYTES: usize = 4 * 1024;

/// Bytes that end the plain run of a string: quote, backslash, control characters.
const ENDS_RUN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

/// `start` is the opening quote; answers the offset after the closing one. UTF-8 is checked here, string by
/// string, because outside of strings the grammar allows nothing but ASCII anyway.
fn string_end(body: &[u8], start: usize) -> Result<usize, JsonFault> {
    let mut at = start + 1;
    let mut high = 0_u8;
    loop {
        // Most strings are short, and so are the runs between escapes.
        let short = (at + SHORT_BYTES).min(body.len());
        while at < short && !ENDS_RUN[body[at] as usize] {
            high |= body[at];
            at += 1;
        }
        if at == short {
            while at < body.len() {
                let block = &body[at..(at + BLOCK_BYTES).min(body.len())];
                let found = memchr2(b'"', b'\\', block);
                let run = &block[..found.unwrap_or(block.len())];
                // Folds, not `any`: without the early exit the compiler vectorises them.
                high |= run.iter().fold(0, |bits, byte| bits | byte);
                if run.iter().fold(false, |bad, byte| bad | (*byte < 0x20)) {
                    return Err(JsonFault::Syntax(at));
                }
                at += run.len();
                if found.is_some() {
                    break;
                }
            }
        }
        match body.get(at) {
            Some(b'"') => {
                if high >= 0x80
                    && let Err(fault) = std::str::from_utf8(&body[start + 1..at])
                {
                    return Err(JsonFault::NotUtf8(start + 1 + fault.valid_up_to()));
                }
                return Ok(at + 1);
            }
            Some(b'\\') => match body.get(at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at += 2,
                Some(b'u')
                    if body
                        .get(at + 2..at + 6)
                        .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) =>
                {
                    at += 6;
                }
                _ => return Err(JsonFault::Syntax(at)),
            },
            _ => return Err(JsonFault::Syntax(at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    #[derive(Default)]
    struct Members(Vec<Member>);
    impl Visitor for Members {
        fn member(&mut self, member: Member) {
            self.0.push(member);
        }
    }

    fn accepts(body: &[u8]) -> bool {
        walk(body, &mut Members::default()).is_ok()
    }

    #[test]
    fn members_are_reported_with_their_ranges() {
        let body = br#" { "a" : 1 , "b":{"c":[1,{"a":2}]}, "d" : "x\"y" } "#;
        let mut seen = Members::default();
        walk(body, &mut seen).unwrap();
        let shown: Vec<(&[u8], &[u8])> = seen
            .0
            .iter()
            .map(|m| (&body[m.key.clone()], &body[m.value.clone()]))
            .collect();
        assert_eq!(
            shown,
            [
                (&b"a"[..], &b"1"[..]),
                (b"b", br#"{"c":[1,{"a":2}]}"#),
                (b"d", br#""x\"y""#)
            ]
        );
    }

    #[test]
    fn ten_thousand_levels_are_refused_not_recursed_into() {
        for open in ["[", "{\"a\":"] {
            let body = format!("{{\"a\":{}", open.repeat(10_000));
            assert_eq!(
                walk(body.as_bytes(), &mut Members::default()),
                Err(JsonFault::TooDeep)
            );
        }
        let fits = format!("{{\"a\":{}{}}}", "[".repeat(126), "]".repeat(126));
        assert!(accepts(fits.as_bytes()));
        assert!(serde_json::from_str::<serde_json::Value>(&fits).is_ok());
    }

    #[test]
    fn what_is_not_an_object_is_told_apart_from_what_is_not_json() {
        let fault = |body: &[u8]| walk(body, &mut Members::default()).unwrap_err();
        assert_eq!(fault(b"[1]"), JsonFault::NotAnObject);
        assert_eq!(fault(b"\"x\""), JsonFault::NotAnObject);
        assert_eq!(fault(b""), JsonFault::Syntax(0));
        assert_eq!(fault(b"{\"a\":1}}"), JsonFault::Syntax(7));
        assert_eq!(fault(b"{\"a\":\"\xff\"}"), JsonFault::NotUtf8(6));
    }

    fn json_like() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"\"",
            "\"\\u00e9\"",
            "\"\\x\"",
            "\"\n\"",
            "1",
            "-0",
            "01",
            "1.",
            "1.5e+3",
            "e",
            "true",
            "fals",
            "null",
            " ",
            "\n",
            "\"",
            "\\",
        ]);
        prop::collection::vec(piece, 0..14)
            .prop_map(|pieces| format!("{{\"k\":{}}}", pieces.concat()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn it_accepts_exactly_what_serde_json_accepts(body in json_like()) {
            prop_assert_eq!(accepts(body.as_bytes()), serde_json::from_str::<IgnoredAny>(&body).is_ok(), "{}", body);
        }

        #[test]
        fn it_never_panics(body: Vec<u8>) {
            let _ = accepts(&body);
        }
    }
}
