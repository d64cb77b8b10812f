//! Validates a JSON object in one pass and tells where its members lie, while the object still arrives.
//!
//! Exists because a request body must be judged (well-formed, an object, not absurdly nested) and three or
//! four of its fields read without building a tree of a 32 MiB document: the walk is iterative, allocates
//! nothing and hands out byte ranges. It goes as far as there are bytes and goes on when there are more, so
//! that a large body is judged by the time it is here and nobody else on the thread waits for that. It builds
//! no values; whoever needs one decodes the range it got.

use std::ops::Range;

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

#[inline]
fn skip_space(body: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = body.get(at) {
        at += 1;
    }
    at
}

/// Bytes of a list that are looked at together.
const NUMBERS_BYTES: usize = 64;
/// Where that leads nowhere it is tried again so many bytes later.
const AGAIN_BYTES: usize = 512;

/// Of a list of whole numbers (token ids, mostly) as much as can be passed in blocks: the last comma passed, and how many
/// numbers come before it. `at` is where a number of the list begins. `None`: look at them one by one.
///
/// A block is compared without branches, each byte with the two after it, which compiles to vector instructions: a
/// request of 30 MB of numbers must not hold up the others of its thread.
fn whole_numbers(body: &[u8], mut at: usize) -> Option<(usize, u64)> {
    if !matches!(body.get(at), Some(b'1'..=b'9')) {
        return None;
    }
    let (mut last, mut many) = (None, 0);
    while let Some(block) = body[at..].first_chunk::<{ NUMBERS_BYTES + 2 }>() {
        let (mut fault, mut commas) = (false, 0_u8);
        for index in 0..NUMBERS_BYTES {
            let [here, next, then] = [block[index], block[index + 1], block[index + 2]];
            let (digit, comma, space) = (here.is_ascii_digit(), here == b',', here == b' ');
            let is_next = next.is_ascii_digit();
            fault |= !(digit | comma | space);
            // After a comma a digit or a space, after a space a digit, and a space nowhere else.
            fault |= comma & !(is_next | (next == b' '));
            fault |= space & !is_next;
            fault |= digit & (next == b' ');
            // No number but 0 begins with it.
            fault |= (comma | space) & (next == b'0') & then.is_ascii_digit();
            commas += u8::from(comma);
        }
        if fault {
            break;
        }
        if commas > 0 {
            let comma = block[..NUMBERS_BYTES]
                .iter()
                .rposition(|byte| *byte == b',')?;
            last = Some(at + comma);
            many += u64::from(commas);
        }
        at += NUMBERS_BYTES;
    }
    last.map(|comma| (comma, many))
}

/// Where the number that begins at `start` ends, or where it stops being one.
#[inline]
fn number_end(body: &[u8], start: usize) -> Result<usize, usize> {
    #[inline]
    fn digits(body: &[u8], mut at: usize) -> usize {
        while at < body.len() && body[at].is_ascii_digit() {
            at += 1;
        }
        at
    }
    #[inline]
    fn some_digits(body: &[u8], at: usize) -> Result<usize, usize> {
        match digits(body, at) {
            end if end > at => Ok(end),
            end => Err(end),
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
const BLOCK_BYTES: usize = 64;

/// ASCII that stands for itself in a string: no quote, no backslash, no control character.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0x20;
    while byte < 0x80 {
        table[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    table
};

/// The next quote, backslash or control character; the length when there is none. `high` is set when a byte
/// before it is not ASCII.
fn skip_run(body: &[u8], mut at: usize, high: &mut bool) -> usize {
    let ends = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let mut bits = 0_u8;
    let near = (at + SHORT_BYTES).min(body.len());
    while at < near && !ends(body[at]) {
        bits |= body[at];
        at += 1;
    }
    if at == near {
        // Folds without an early exit: the compiler vectorises them.
        for block in body[at..].chunks_exact(BLOCK_BYTES) {
            let stop = block.iter().fold(0, |stop, &byte| {
                stop | u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\')
            });
            if stop != 0 {
                break;
            }
            bits |= block.iter().fold(0, |bits, byte| bits | byte);
            at += BLOCK_BYTES;
        }
        while at < body.len() && !ends(body[at]) {
            bits |= body[at];
            at += 1;
        }
    }
    *high |= bits >= 0x80;
    at
}

/// Passes over the escapes that follow one another from `at` on, which is a backslash; `at` itself when the
/// bytes end within the first.
fn escapes(body: &[u8], mut at: usize) -> Result<usize, JsonFault> {
    while let Some(b'\\') = body.get(at) {
        match body.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at += 2,
            Some(b'u') => match body.get(at + 2..at + 6) {
                Some([a, b, c, d])
                    if a.is_ascii_hexdigit()
                        & b.is_ascii_hexdigit()
                        & c.is_ascii_hexdigit()
                        & d.is_ascii_hexdigit() =>
                {
                    at += 6;
                }
                None if body[at + 2..].iter().all(u8::is_ascii_hexdigit) => break,
                _ => return Err(JsonFault::Syntax(at)),
            },
            None => break,
            Some(_) => return Err(JsonFault::Syntax(at)),
        }
    }
    Ok(at)
}

/// Checks what lies between; answers up to where it is valid, which is all of it unless the bytes end within
/// a character that may still be completed.
fn check_utf8(body: &[u8], from: usize, to: usize, ended: bool) -> Result<usize, JsonFault> {
    let text = &body[from..to];
    if simdutf8::basic::from_utf8(text).is_ok() {
        return Ok(to);
    }
    match std::str::from_utf8(text) {
        Ok(_) => Ok(to),
        Err(fault) if fault.error_len().is_none() && !ended && to == body.len() => {
            Ok(from + fault.valid_up_to())
        }
        Err(fault) => Err(JsonFault::NotUtf8(from + fault.valid_up_to())),
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
        fn member(&mut self, _: &[u8], member: Member) {
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

    /// Everything that is reported.
    #[derive(Debug, Default, PartialEq)]
    struct Seen {
        members: Vec<Member>,
        texts: Vec<(Range<usize>, Range<usize>)>,
        numbers: u64,
    }
    impl Visitor for Seen {
        fn member(&mut self, _: &[u8], member: Member) {
            self.members.push(member);
        }
        fn text(&mut self, body: &[u8], top: &Range<usize>, text: Range<usize>) {
            assert!(std::str::from_utf8(&body[text.clone()]).is_ok());
            self.texts.push((top.clone(), text));
        }
        fn numbers(&mut self, _: &[u8], _: &Range<usize>, many: u64) {
            self.numbers += many;
        }
    }

    fn any_json() -> impl Strategy<Value = String> {
        use serde_json::Value;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,80}|[a-z\n\"\\\\]{0,90}|[一-龥é]{0,50}".prop_map(Value::from),
        ];
        let tree = leaf.prop_recursive(3, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-zé\"]{0,40}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        (
            prop::collection::btree_map("[a-z]{1,4}", tree, 0..5),
            any::<bool>(),
        )
            .prop_map(|(map, pretty)| {
                let object = Value::Object(map.into_iter().collect());
                if pretty {
                    format!("{object:#}")
                } else {
                    object.to_string()
                }
            })
    }

    #[test]
    fn a_number_that_arrives_digit_by_digit_is_not_read_over_and_over() {
        let digits = 1 << 20;
        let body = [&b"{\"a\":"[..], &vec![b'7'; digits], b"}"].concat();
        let mut walk = Walk::new();
        let mut looked_at = 0;
        for end in (0..body.len()).step_by(1024) {
            if end >= walk.wait_for {
                looked_at += end - walk.at;
            }
            walk.advance(&body[..end], &mut Members::default()).unwrap();
        }
        walk.finish(&body, &mut Members::default()).unwrap();
        assert!(looked_at < 4 * digits, "{looked_at}");
    }

    /// Lists as clients write them, and with one byte that is another: what can be passed in blocks is judged as
    /// what is looked at one by one.
    fn number_lists() -> impl Strategy<Value = Vec<u8>> {
        let number = prop_oneof![
            9 => (0..200_000_u32).prop_map(|number| number.to_string()),
            1 => prop::sample::select(vec!["0", "-7", "1.5e3", "00", "07", "1 "]).prop_map(str::to_owned),
        ];
        let plain = (0..200_000_u32).prop_map(|number| number.to_string());
        let separator = prop::sample::select(vec![",", ", "]);
        let list = prop_oneof![
            3 => prop::collection::vec(plain, 0..200),
            1 => prop::collection::vec(number, 0..60),
        ];
        let other = prop::option::of((
            any::<prop::sample::Index>(),
            prop::sample::select(&b",, 0-.e]\"a9\n"[..]),
        ));
        (list, separator, other).prop_map(|(list, separator, other)| {
            let mut body = format!("{{\"a\":[{}]}}", list.join(separator)).into_bytes();
            if let Some((at, byte)) = other {
                let at = at.index(body.len());
                body[at] = byte;
            }
            body
        })
    }

    proptest! {
        #[test]
        fn lists_of_numbers_are_judged_as_a_parser_judges_them(body in number_lists(), cut in any::<prop::sample::Index>()) {
            let parsed = serde_json::from_slice::<serde_json::Value>(&body);
            let mut whole = Seen::default();
            let walked = walk(&body, &mut whole);
            // Whatever its size: a number that no machine number holds is one all the same.
            let is_json = serde_json::from_slice::<IgnoredAny>(&body).is_ok() && body[0] == b'{';
            prop_assert_eq!(walked.is_ok(), is_json, "{}", String::from_utf8_lossy(&body));
            let mut parts = Seen::default();
            let mut walk = Walk::new();
            let begun = walk.advance(&body[..cut.index(body.len() + 1)], &mut parts);
            if walked.is_ok() {
                begun.unwrap();
                walk.finish(&body, &mut parts).unwrap();
                prop_assert_eq!(parts.numbers, whole.numbers);
                if let Ok(object) = parsed && let Some(list) = object["a"].as_array() && list.iter().all(serde_json::Value::is_number) {
                    prop_assert_eq!(whole.numbers, list.len() as u64);
                }
            }
        }
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

        #[test]
        fn in_whatever_pieces_it_arrives_the_same_is_seen(
            body in prop_oneof![
                4 => json_like().prop_map(String::into_bytes),
                4 => any_json().prop_map(String::into_bytes),
                1 => prop::collection::vec(prop::sample::select(b"{}[]\",:\\u0041n1-e. \xc3\xa9\xff".to_vec()), 0..60)
                    .prop_map(|rest| [&b"{\"k\":\""[..], &rest, b"\"}"].concat()),
            ],
            mut cuts in prop::collection::vec(0usize..400, 0..12),
        ) {
            let mut whole = Seen::default();
            let expected = walk(&body, &mut whole);
            cuts.retain(|cut| *cut <= body.len());
            cuts.sort_unstable();
            let mut pieces = Seen::default();
            let mut walk = Walk::new();
            let outcome = cuts
                .iter()
                .try_for_each(|cut| walk.advance(&body[..*cut], &mut pieces))
                .and_then(|()| walk.finish(&body, &mut pieces));
            prop_assert_eq!(outcome, expected, "{:?}", String::from_utf8_lossy(&body));
            if expected.is_ok() {
                prop_assert_eq!(pieces, whole);
            }
        }
    }
}
