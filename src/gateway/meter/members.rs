//! Finds members in an event by substring search, without parsing it.
//!
//! Exists because nearly every chunk of a stream holds nothing to keep: whether it does is asked of bytes. A key is
//! found wherever it stands, at any depth; who needs to know where parses the event.

use memchr::memmem;

/// Keys with their quotes: within a JSON string a quote is escaped, so that a key cannot be mistaken for text.
pub(super) mod keys {
    use std::sync::LazyLock;

    use memchr::memmem::Finder;

    macro_rules! keys {
        ($($name:ident $text:literal,)*) => {
            $(pub(in crate::gateway::meter) static $name: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new($text));)*
        };
    }

    keys! {
        CONTENT "\"content\"",
        REASONING_CONTENT "\"reasoning_content\"",
        REASONING "\"reasoning\"",
        REFUSAL "\"refusal\"",
        ARGUMENTS "\"arguments\"",
        TOOL_CALLS "\"tool_calls\"",
        FUNCTION_CALL "\"function_call\"",
        AUDIO "\"audio\"",
        TEXT "\"text\"",
        THINKING "\"thinking\"",
        PARTIAL_JSON "\"partial_json\"",
        TOOL_USE "tool_use\"",
        DELTA "\"delta\"",
        USAGE "\"usage\"",
        ERROR_KEY "\"error\"",
        TYPE "\"type\"",
        SEQUENCE "\"sequence_number\"",
    }
}

/// The first byte of the value that follows the key ending at `at`, and its offset; `None` when no colon
/// follows.
fn value_start(data: &[u8], at: usize) -> Option<(usize, u8)> {
    let rest = &data[at..];
    let colon = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
    if rest[colon] != b':' {
        return None;
    }
    let rest = &rest[colon + 1..];
    let start = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
    Some((at + colon + 1 + start, rest[start]))
}

/// The string values that follow `key` in `data`, between their quotes, escapes as written.
pub(super) fn strings_of<'a>(
    data: &'a [u8],
    key: &memmem::Finder<'_>,
) -> impl Iterator<Item = &'a [u8]> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let found = from + key.find(&data[from..])?;
            from = found + key.needle().len();
            let Some((start, b'"')) = value_start(data, from) else {
                continue;
            };
            let mut end = start + 1;
            loop {
                match memchr::memchr2(b'"', b'\\', &data[end..]) {
                    Some(at) if data[end + at] == b'"' => {
                        end += at;
                        break;
                    }
                    Some(at) if end + at + 2 <= data.len() => end += at + 2,
                    // Cut inside the string.
                    _ => {
                        end = data.len();
                        break;
                    }
                }
            }
            from = (end + 1).min(data.len());
            return Some(&data[start + 1..end]);
        }
    })
}

/// Whether `key`'s value begins with `opening` and is not empty.
pub(super) fn opens(data: &[u8], key: &memmem::Finder<'_>, opening: u8) -> bool {
    let mut from = 0;
    while let Some(at) = key.find(&data[from..]) {
        from += at + key.needle().len();
        if let Some((start, byte)) = value_start(data, from)
            && byte == opening
        {
            let next = data[start + 1..]
                .iter()
                .find(|byte| !byte.is_ascii_whitespace());
            if !matches!(next, Some(b']' | b'}')) {
                return true;
            }
        }
    }
    false
}

pub(super) fn number_of(data: &[u8], key: &memmem::Finder<'_>) -> Option<u64> {
    let at = key.find(data)? + key.needle().len();
    let (start, _) = value_start(data, at)?;
    let digits = data[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    std::str::from_utf8(&data[start..start + digits])
        .ok()?
        .parse()
        .ok()
}

/// The object that follows the key ending at `at`, when it is whole.
pub(super) fn value_at(data: &[u8], at: usize) -> Option<&[u8]> {
    let (start, b'{') = value_start(data, at)? else {
        return None;
    };
    let mut values = serde_json::Deserializer::from_slice(&data[start..])
        .into_iter::<&serde_json::value::RawValue>();
    Some(values.next()?.ok()?.get().as_bytes())
}
