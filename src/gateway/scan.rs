//! Captures a few members of a JSON object that arrives in pieces and may be larger than memory allows.
//!
//! An answer is relayed as it comes and never held whole; still its `usage`, `model` and `id` must be read.
//! The scanner keeps a depth counter and the bytes of the wanted members, each up to a bound. It does not
//! validate: the bytes go on to the client either way, and a wrong capture fails to parse later.

use memchr::memchr2;

/// Longest key compared; longer keys are nobody's.
const KEY_MAX_BYTES: usize = 48;
/// Most members one scanner wants.
pub const WANTS_MAX: usize = 8;

/// Where the wanted members live.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// In the outermost object.
    Top,
    /// In the object that the outermost one holds under this key.
    Inside(&'static str),
}

/// A wanted member and the most bytes of its value that are kept.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    pub key: &'static str,
    pub max_bytes: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// Between tokens; keys do not matter here.
    Plain,
    /// In the watched object, before a key.
    BeforeKey,
    /// In the watched object, inside a key.
    InKey,
    /// In the watched object, after a key, before its colon.
    BeforeColon,
    /// In the watched object, after the colon, before the value.
    BeforeValue,
    /// In the watched object, inside a member's value.
    InValue,
}

/// What was kept of a wanted member's value.
#[derive(Debug, Default)]
struct Capture {
    /// `None`: there was none.
    bytes: Option<Vec<u8>>,
    /// Kept or not.
    total: u64,
}

/// A key as far as it was read; one that is longer than any that is wanted is only known to be that.
#[derive(Debug)]
struct Key {
    bytes: [u8; KEY_MAX_BYTES],
    len: usize,
}

impl Default for Key {
    fn default() -> Self {
        Self {
            bytes: [0; KEY_MAX_BYTES],
            len: 0,
        }
    }
}

impl Key {
    fn extend(&mut self, more: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.len..self.len + more.len()) {
            room.copy_from_slice(more);
        }
        self.len = self.len.saturating_add(more.len()).min(KEY_MAX_BYTES + 1);
    }

    fn is(&self, key: &str) -> bool {
        self.bytes.get(..self.len) == Some(key.as_bytes())
    }
}

/// See the module.
#[derive(Debug)]
pub struct Scanner {
    wants: &'static [Want],
    scope: Scope,
    /// Of each wanted member.
    captured: [Capture; WANTS_MAX],
    depth: u32,
    /// Depth of the object whose keys are watched now; 0 before it has opened.
    watched: u32,
    place: Place,
    in_string: bool,
    escaped: bool,
    key: Key,
    capturing: Option<usize>,
    entering: bool,
    finished: bool,
}

impl Scanner {
    /// A scanner for one object, for [`WANTS_MAX`] members at most.
    pub fn new(scope: Scope, wants: &'static [Want]) -> Self {
        debug_assert!(wants.len() <= WANTS_MAX);
        Self {
            wants,
            scope,
            captured: Default::default(),
            depth: 0,
            watched: 0,
            place: Place::Plain,
            in_string: false,
            escaped: false,
            key: Key::default(),
            capturing: None,
            entering: false,
            finished: false,
        }
    }

    /// The value of `key` as written, when it was seen whole or cut at its bound.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        let at = self.wants.iter().position(|want| want.key == key)?;
        self.captured[at].bytes.as_deref()
    }

    /// How many bytes the value of `key` has, kept or not.
    pub fn len_of(&self, key: &str) -> u64 {
        self.wants
            .iter()
            .position(|want| want.key == key)
            .map_or(0, |at| self.captured[at].total)
    }

    /// Whether the outermost object has been opened.
    pub fn begun(&self) -> bool {
        self.watched > 0 || self.finished
    }

    /// Whether the outermost object has been closed.
    pub fn finished(&self) -> bool {
        self.finished
    }

    /// Takes the next piece.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut at = 0;
        let mut from = 0;
        while at < bytes.len() {
            if self.in_string {
                at = self.string(bytes, at);
                continue;
            }
            if self.depth > self.watched && self.watched > 0 && self.place == Place::InValue {
                at = self.nested(bytes, at);
                continue;
            }
            let byte = bytes[at];
            match byte {
                b'"' => {
                    self.in_string = true;
                    match self.place {
                        Place::BeforeKey => {
                            self.place = Place::InKey;
                            self.key = Key::default();
                        }
                        Place::BeforeValue => from = self.value_starts(at, None),
                        _ => {}
                    }
                }
                b'{' | b'[' => {
                    if self.place == Place::BeforeValue {
                        from = self.value_starts(at, Some(byte));
                    }
                    self.depth += 1;
                    let opens =
                        byte == b'{' && (self.entering || (self.depth == 1 && self.watched == 0));
                    if opens {
                        self.watched = self.depth;
                        self.place = Place::BeforeKey;
                        self.entering = false;
                    }
                }
                b'}' | b']' => {
                    if self.depth == self.watched && self.watched > 0 {
                        self.value_ends(&bytes[from.min(at)..at]);
                        if self.depth == 2 {
                            // Back in the outermost object, whose other members are not ours.
                            self.watched = 1;
                            self.place = Place::InValue;
                        } else {
                            self.place = Place::Plain;
                            self.finished = true;
                        }
                    }
                    self.depth = self.depth.saturating_sub(1);
                }
                b',' if self.depth == self.watched && self.watched > 0 => {
                    self.value_ends(&bytes[from.min(at)..at]);
                    self.place = Place::BeforeKey;
                }
                b':' if self.place == Place::BeforeColon => self.place = Place::BeforeValue,
                b' ' | b'\n' | b'\r' | b'\t' => {}
                _ if self.place == Place::BeforeValue => from = self.value_starts(at, None),
                _ => {}
            }
            at += 1;
        }
        if self.capturing.is_some() {
            self.keep(&bytes[from..]);
        }
    }

    /// Inside a member's value that is an object or a list: to where it has closed, or begun a string that
    /// these bytes do not end. Nothing matters here but what opens and what closes.
    fn nested(&mut self, bytes: &[u8], mut at: usize) -> usize {
        loop {
            at = next_structural(bytes, at);
            let Some(byte) = bytes.get(at) else {
                return at;
            };
            at += 1;
            match byte {
                b'"' => loop {
                    let Some(found) = string_break(&bytes[at..]) else {
                        self.in_string = true;
                        return bytes.len();
                    };
                    at += found + 1;
                    if bytes[at - 1] == b'"' {
                        break;
                    }
                    if at == bytes.len() {
                        self.in_string = true;
                        self.escaped = true;
                        return at;
                    }
                    at += 1;
                },
                b'{' | b'[' => self.depth += 1,
                _ => {
                    self.depth -= 1;
                    if self.depth == self.watched {
                        return at;
                    }
                }
            }
        }
    }

    fn string(&mut self, bytes: &[u8], at: usize) -> usize {
        let rest = &bytes[at..];
        if self.escaped {
            self.escaped = false;
            if self.place == Place::InKey {
                self.key.extend(&rest[..1]);
            }
            return at + 1;
        }
        let found = string_break(rest);
        let run = found.unwrap_or(rest.len());
        if self.place == Place::InKey {
            self.key.extend(&rest[..run]);
        }
        let Some(found) = found else {
            return bytes.len();
        };
        if rest[found] == b'\\' {
            self.escaped = true;
        } else {
            self.in_string = false;
            if self.place == Place::InKey {
                self.place = Place::BeforeColon;
            }
        }
        at + found + 1
    }

    /// A member's value starts at `at`; answers where the capture starts.
    fn value_starts(&mut self, at: usize, opens: Option<u8>) -> usize {
        self.place = Place::InValue;
        let outer = self.watched == 1;
        match self.scope {
            Scope::Inside(parent) if outer => {
                self.entering = opens == Some(b'{') && self.key.is(parent);
            }
            _ => {
                self.capturing = self.wants.iter().position(|want| self.key.is(want.key));
                if let Some(index) = self.capturing {
                    // The last of duplicate keys counts, as with every JSON reader we know.
                    self.captured[index] = Capture {
                        bytes: Some(Vec::new()),
                        total: 0,
                    };
                }
            }
        }
        at
    }

    fn value_ends(&mut self, rest: &[u8]) {
        if self.capturing.is_some() {
            self.keep(rest);
            self.capturing = None;
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let Some(index) = self.capturing else { return };
        let capture = &mut self.captured[index];
        capture.total += bytes.len() as u64;
        if let Some(kept) = &mut capture.bytes {
            let room = self.wants[index].max_bytes.saturating_sub(kept.len());
            kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }
}

/// Eight bytes at a time: whether one of them is `byte`. Above a byte that is, others may be marked wrongly.
#[inline]
const fn marks(word: u64, byte: u8) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let differs = word ^ (ONES * byte as u64);
    differs.wrapping_sub(ONES) & !differs & TOPS
}

/// The first byte for which `marked` sets the top bit of its place in a word; `is` says the same of one byte.
#[inline]
fn first(bytes: &[u8], marked: impl Fn(u64) -> u64, is: impl Fn(u8) -> bool) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let found = marked(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(index * 8 + (found.trailing_zeros() / 8) as usize);
        }
    }
    let at = rest.iter().position(|byte| is(*byte))?;
    Some(bytes.len() - rest.len() + at)
}

/// The next quote or backslash. Most strings are shorter than a search by vectors is worth.
#[inline]
fn string_break(bytes: &[u8]) -> Option<usize> {
    const SHORT: usize = 64;
    let (near, far) = bytes.split_at(bytes.len().min(SHORT));
    let marked = |word| marks(word, b'"') | marks(word, b'\\');
    match first(near, marked, |byte| matches!(byte, b'"' | b'\\')) {
        None if !far.is_empty() => memchr2(b'"', b'\\', far).map(|at| at + SHORT),
        found => found,
    }
}

/// The next byte that opens or closes something, be it a string; the length when there is none. Long stretches
/// without one (the numbers of an embedding) are skipped by blocks, which the compiler vectorises.
#[inline]
fn next_structural(bytes: &[u8], mut at: usize) -> usize {
    const BLOCK: usize = 64;
    // Bit 0x20 is all that tells `[` from `{` and `]` from `}`.
    const FOLD: u64 = 0x2020_2020_2020_2020;
    let marked =
        |word: u64| marks(word, b'"') | marks(word | FOLD, b'{') | marks(word | FOLD, b'}');
    let is = |byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']');
    let near = &bytes[at..(at + BLOCK).min(bytes.len())];
    if let Some(found) = first(near, marked, is) {
        return at + found;
    }
    at += near.len();
    for block in bytes[at..].chunks_exact(BLOCK) {
        let mut hit = 0_u8;
        for byte in block {
            let folded = byte | 0x20;
            hit |= u8::from(*byte == b'"') | u8::from(folded == b'{') | u8::from(folded == b'}');
        }
        if hit != 0 {
            break;
        }
        at += BLOCK;
    }
    first(&bytes[at..], marked, is).map_or(bytes.len(), |found| at + found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const WANTS: &[Want] = &[
        Want {
            key: "usage",
            max_bytes: 200,
        },
        Want {
            key: "model",
            max_bytes: 200,
        },
        Want {
            key: "a",
            max_bytes: 200,
        },
    ];

    fn scan(scope: Scope, body: &[u8], piece: usize) -> Scanner {
        let mut scanner = Scanner::new(scope, WANTS);
        for part in body.chunks(piece.max(1)) {
            scanner.push(part);
        }
        scanner
    }

    fn value(scanner: &Scanner, key: &str) -> Option<Value> {
        scanner
            .get(key)
            .map(|raw| serde_json::from_slice(raw).unwrap())
    }

    #[test]
    fn only_the_members_of_the_watched_object_count() {
        let body = br#"{"x":{"usage":{"no":1}},"y":["usage",{"model":"no"}],"s":"\"usage\":{","usage" : {"n":[1,2,{"}":"]"}]} ,"model":"m\"x","z":1}"#;
        for piece in 1..body.len() {
            let scanner = scan(Scope::Top, body, piece);
            assert_eq!(value(&scanner, "usage"), Some(json!({"n":[1,2,{"}":"]"}]})));
            assert_eq!(value(&scanner, "model"), Some(json!("m\"x")));
            assert!(scanner.finished());
        }
    }

    #[test]
    fn members_inside_a_named_object_are_found() {
        let body = br#"{"type":"response.completed","usage":0,"other":{"usage":1},"response":{"tools":[{"usage":{"no":1}}],"usage":{"n":2},"model":null},"usage":3}"#;
        for piece in 1..body.len() {
            let scanner = scan(Scope::Inside("response"), body, piece);
            assert_eq!(value(&scanner, "usage"), Some(json!({"n":2})), "{piece}");
            assert_eq!(value(&scanner, "model"), Some(Value::Null));
            assert!(scanner.finished());
        }
    }

    #[test]
    fn a_long_key_is_nobodys_however_it_is_cut() {
        let long = format!("usage{}", "e".repeat(2 * KEY_MAX_BYTES));
        let body = format!(r#"{{"{long}":1,"model":2,"usag":3}}"#);
        for piece in 1..body.len() {
            let scanner = scan(Scope::Top, body.as_bytes(), piece);
            assert_eq!(scanner.get("usage"), None, "{piece}");
            assert_eq!(value(&scanner, "model"), Some(json!(2)), "{piece}");
        }
    }

    #[test]
    fn a_capture_is_cut_at_its_bound_and_its_length_still_counted() {
        let body = format!("{{\"a\":\"{}\",\"model\":1}}", "x".repeat(100_000));
        let scanner = scan(Scope::Top, body.as_bytes(), 1_000);
        assert_eq!(scanner.get("a").map(<[u8]>::len), Some(200));
        assert_eq!(scanner.len_of("a"), 100_002);
        assert_eq!(value(&scanner, "model"), Some(json!(1)));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            "[a-z\"\\\\{}\\[\\],: ]{0,6}".prop_map(Value::from)
        ];
        let key = prop_oneof![
            Just("usage".to_owned()),
            Just("model".to_owned()),
            Just("response".to_owned()),
            "[a-c\"\\\\]{1,3}"
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(key.clone(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect()))
            ]
        })
    }

    proptest! {
        #[test]
        fn it_captures_what_a_full_parse_finds(fields in prop::collection::btree_map("usage|model|response|[a-c]", any_json(), 0..5), piece in 1usize..20, pretty: bool) {
            let body = Value::Object(fields.into_iter().collect());
            let text = if pretty { serde_json::to_string_pretty(&body).unwrap() } else { body.to_string() };
            let short = |found: Option<&Value>| found.filter(|v| v.to_string().len() < 60).cloned();
            let top = scan(Scope::Top, text.as_bytes(), piece);
            let inside = scan(Scope::Inside("response"), text.as_bytes(), piece);
            for want in WANTS {
                if let Some(expected) = short(body.get(want.key)) {
                    prop_assert_eq!(value(&top, want.key), Some(expected));
                } else if body.get(want.key).is_none() {
                    prop_assert!(top.get(want.key).is_none());
                }
                let nested = body.get("response").and_then(|r| r.get(want.key));
                if let Some(expected) = short(nested) {
                    prop_assert_eq!(value(&inside, want.key), Some(expected));
                } else if nested.is_none() {
                    prop_assert!(inside.get(want.key).is_none());
                }
            }
        }
    }
}
