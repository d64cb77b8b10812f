//! JSON that is too large to be kept, or was cut off: made smaller, or whole again, without reading it into values. Pure,
//! in one pass each, and never with more memory than what is left of it.

use memchr::{memchr, memchr2};
use steward_actors::domain::redaction::end_of_whole_words;

use super::request::BINARY_MIN_BYTES;

/// Longest text left in a large body; where that is still too much, the next.
const TEXT_MAX_BYTES: [usize; 3] = [256 << 10, 16 << 10, 1 << 10];

/// `body` in at most `max` bytes, with its longest texts cut and its files told; `None` when that is not enough, or it is
/// no JSON.
pub(super) fn lean(body: &[u8], max: usize) -> Option<Vec<u8>> {
    TEXT_MAX_BYTES
        .into_iter()
        .find_map(|text_max| with_texts_of(body, text_max, max))
}

fn with_texts_of(body: &[u8], text_max: usize, max: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(quote) = memchr(b'"', &body[at..]) {
        let start = at + quote + 1;
        let end = closing(body, start)?;
        let text = &body[start..end];
        if out.len() + (start - at) + text.len().min(text_max) + 1 > max {
            return None;
        }
        out.extend_from_slice(&body[at..start]);
        if text.len() <= text_max {
            out.extend_from_slice(text);
        } else {
            out.extend_from_slice(shortened(text, text_max)?.as_bytes());
        }
        out.push(b'"');
        at = end + 1;
    }
    let rest = &body[at..];
    (out.len() + rest.len() <= max).then(|| [out.as_slice(), rest].concat())
}

/// `body`, the beginning of some JSON, as JSON: what is open is closed, the text it was cut in ends with a whole word, what
/// cannot be closed is left out.
pub(super) fn mended(body: &[u8]) -> Option<Vec<u8>> {
    let mut open: Vec<u8> = Vec::new();
    // In an object a text may be a field's name.
    let mut is_name = false;
    // Up to where it would be JSON if so many were closed.
    let mut whole = (0, 0);
    let mut at = 0;
    while let Some(byte) = body.get(at) {
        match byte {
            b'{' | b'[' => {
                is_name = *byte == b'{';
                open.push(if is_name { b'}' } else { b']' });
                whole = (at + 1, open.len());
            }
            b'}' | b']' => {
                open.pop()?;
                is_name = false;
                whole = (at + 1, open.len());
            }
            b',' => {
                whole = (at, open.len());
                is_name = open.last() == Some(&b'}');
            }
            b':' => is_name = false,
            b'"' => match closing(body, at + 1) {
                Some(end) => {
                    at = end;
                    if !is_name {
                        whole = (at + 1, open.len());
                    }
                }
                None if is_name => break,
                None => {
                    let text = shortened(&body[at + 1..], usize::MAX)?;
                    let closers = open.iter().rev().copied();
                    let parts = [&body[..=at], text.as_bytes(), b"\""].concat();
                    return Some(parts.into_iter().chain(closers).collect());
                }
            },
            _ => {}
        }
        at += 1;
    }
    let (end, many) = whole;
    let closers = open.get(..many)?.iter().rev();
    (end > 0).then(|| body[..end].iter().chain(closers).copied().collect())
}

/// Where the text that begins at `start` ends.
fn closing(body: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let found = at + memchr2(b'"', b'\\', body.get(at..)?)?;
        if body[found] == b'"' {
            return Some(found);
        }
        at = found + 2;
    }
}

/// At most `max` bytes of a text as JSON writes it, up to a whole word; of a file only how large it is.
fn shortened(text: &[u8], max: usize) -> Option<String> {
    let beginning = &text[..text.len().min(BINARY_MIN_BYTES)];
    let is_file = beginning.len() == BINARY_MIN_BYTES
        && beginning.is_ascii()
        && !beginning.iter().any(u8::is_ascii_whitespace);
    if is_file {
        return Some(format!("[{} bytes left out]", text.len()));
    }
    let cut = &text[..text.len().min(max)];
    let cut = match std::str::from_utf8(cut) {
        Ok(text) => text,
        // In the middle of a character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&cut[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let words = &cut[..end_of_whole_words(cut)];
    Some(words[..whole_escapes(words.as_bytes())].to_owned())
}

/// Up to where every escape is whole, and no half of a pair is left.
fn whole_escapes(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr(b'\\', &text[at..]) {
        let start = at + found;
        let high = text
            .get(start + 2)
            .is_some_and(|byte| matches!(byte, b'd' | b'D'))
            && text
                .get(start + 3)
                .is_some_and(|byte| matches!(byte, b'8' | b'9' | b'a' | b'b' | b'A' | b'B'));
        let length = match text.get(start + 1) {
            Some(b'u') if high => 12,
            Some(b'u') => 6,
            _ => 2,
        };
        if start + length > text.len() {
            return start;
        }
        at = start + length;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn parsed(text: &[u8]) -> Value {
        serde_json::from_slice(text)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(text)))
    }

    #[test]
    fn long_texts_are_cut_and_files_told() {
        let picture = format!("data:image/png;base64,{}", "iVBORw0K".repeat(200_000));
        let long = "wörter \\ \"你好\" \n😀 6222 0212 3456 7890 ".repeat(20_000);
        let body = json!({"model": "m", "messages": [{"role": "user", "content": [
            {"type": "text", "text": long}, {"image_url": {"url": picture}}]}, {"role": "user", "content": "And now?"}]});
        let body = body.to_string().into_bytes();
        assert!(body.len() > 2 << 20);
        let small = lean(&body, 1 << 20).unwrap();
        assert!(small.len() <= 1 << 20);
        let value = parsed(&small);
        let kept = value["messages"][0]["content"][0]["text"].as_str().unwrap();
        assert!(long.starts_with(kept) && kept.len() > 200 << 10);
        assert_eq!(
            value["messages"][0]["content"][1]["image_url"]["url"],
            format!("[{} bytes left out]", picture.len())
        );
        assert_eq!(value["messages"][1]["content"], "And now?");
        // Many texts, none of them long.
        let many = json!(vec!["a b c d ".repeat(100); 5_000]).to_string();
        assert!(lean(many.as_bytes(), 1 << 20).is_none());
        assert!(lean(b"\"open", 10).is_none());
    }

    #[test]
    fn what_was_cut_off_is_closed() {
        for (cut, whole) in [
            (
                r#"{"a":[1,{"b":"two words and ha"#,
                json!({"a": [1, {"b": "two words and "}]}),
            ),
            (
                r#"{"a":[1,{"b":"two"},{"c"#,
                json!({"a": [1, {"b": "two"}, {}]}),
            ),
            (r#"{"a":1,"b":tr"#, json!({"a": 1})),
            (r#"{"a":1,"b":"#, json!({"a": 1})),
            (r#"[1,22"#, json!([1])),
            (r#"{"a":{"b":1}"#, json!({"a": {"b": 1}})),
            (r#"["x y\u00"#, json!(["x "])),
        ] {
            assert_eq!(parsed(&mended(cut.as_bytes()).unwrap()), whole, "{cut}");
        }
        assert_eq!(mended(b"no JSON"), None);
    }

    proptest! {
        #[test]
        fn json_that_was_cut_anywhere_is_json_again(texts in prop::collection::vec("\\PC{0,20}", 1..5), at in 0.0..1.0_f64) {
            let value = json!({"choices": [{"message": {"content": texts, "n": 1.5, "none": null}}], "x": {"y": texts}});
            let text = value.to_string();
            let cut = 1 + (at * (text.len() - 1) as f64) as usize;
            let again = mended(&text.as_bytes()[..cut]).unwrap();
            prop_assert!(serde_json::from_slice::<Value>(&again).is_ok(), "{}", String::from_utf8_lossy(&again));
        }
    }
}
