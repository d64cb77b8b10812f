//! Secrets that their names give away: `password: …`, `api_key=…`, `Bearer …`. What is a type, a placeholder or code
//! behind such a name stays.

use std::sync::LazyLock;

use regex::Regex;

use super::built_in::{Span, apart, pattern};
use crate::domain::secrets::{Strength, strength};

pattern!(
    NAMED,
    concat!(
        r"(?i)(?P<name>(?:(?:api|access|secret|private|refresh|auth|account|subscription) )?[a-z_][a-z0-9_-]{0,63}",
        r"|密码|密碼|口令|密钥|秘钥|令牌|パスワード)",
        r#"(?:["'`\\]{0,3}[ \t]{0,3}(?::=|=>|[:=：＝]|是|为|為)[ \t]{0,3}|(?P<prose>[ \t]+is(?:[ \t]*[:=])?[ \t]+))(?P<quote>\\{0,2}["'`“]?)"#
    )
);
pattern!(
    SCHEME,
    r"(?i)(?-u:\b)(?:bearer|basic)[ \t]{1,3}(?P<value>[a-z0-9._~+/=-]{8,})"
);

/// Longest secret without quotes, in bytes.
const VALUE_MAX_BYTES: usize = 4 << 10;
/// Longest secret in quotes, in bytes.
const QUOTED_MAX_BYTES: usize = 200;
/// What stands behind `password:` where nobody says one.
const WORDS: &[&str] = &[
    "any",
    "bool",
    "boolean",
    "char",
    "changed",
    "empty",
    "false",
    "field",
    "hash",
    "hidden",
    "incorrect",
    "input",
    "int",
    "integer",
    "invalid",
    "missing",
    "nil",
    "none",
    "null",
    "number",
    "object",
    "optional",
    "passwd",
    "password",
    "placeholder",
    "redacted",
    "required",
    "secret",
    "self",
    "str",
    "string",
    "text",
    "this",
    "token",
    "true",
    "undefined",
    "unknown",
    "varchar",
    "wrong",
    "your",
];
/// They come before the secret, not in its place.
const SCHEMES: &[&str] = &["bearer", "basic", "digest", "negotiate"];

/// Where secrets stand behind their names.
pub(super) fn secret(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    for found in NAMED
        .as_ref()
        .into_iter()
        .flat_map(|pattern| pattern.captures_iter(text))
    {
        let (Some(all), Some(name)) = (found.get(0), found.name("name")) else {
            continue;
        };
        // Within a value that goes already.
        if spans.last().is_some_and(|last: &Span| all.end() <= last.1) {
            continue;
        }
        let Some(strength) = strength(name.as_str()) else {
            continue;
        };
        let quote = found
            .name("quote")
            .and_then(|quote| quote.as_str().chars().next_back());
        let quote = quote.filter(|quote| *quote != '\\');
        let (end, quoted) = value_end(text, all.end(), quote);
        let value = &text[all.end()..end];
        let context = Context {
            quoted,
            prose: found.name("prose").is_some(),
            called: text[end..].starts_with(['(', '[', '<']),
        };
        if is_secret(strength, value, context) {
            spans.push((all.end(), end));
        }
    }
    for found in SCHEME
        .as_ref()
        .into_iter()
        .flat_map(|pattern| pattern.captures_iter(text))
    {
        if let Some(value) = found.name("value")
            && looks_random(value.as_str())
        {
            spans.push((value.start(), value.end()));
        }
    }
    apart(spans)
}

/// Whether a field of this name holds a secret.
pub(super) fn holds_secret(name: &str, value: &str) -> bool {
    let context = Context {
        quoted: true,
        ..Context::default()
    };
    strength(name).is_some_and(|strength| is_secret(strength, value.trim(), context))
}

#[derive(Clone, Copy, Debug, Default)]
struct Context {
    quoted: bool,
    /// In a sentence: "the password is …".
    prose: bool,
    /// It goes on as code does.
    called: bool,
}

/// Where the value ends, and whether quotes say so.
fn value_end(text: &str, from: usize, quote: Option<char>) -> (usize, bool) {
    let rest = &text[from..];
    if let Some(quote) = quote {
        let closing = if quote == '“' { '”' } else { quote };
        let end = rest
            .char_indices()
            .take_while(|(at, character)| *at < QUOTED_MAX_BYTES && *character != '\n')
            .find(|(_, character)| *character == closing || *character == '\\');
        if let Some((at, _)) = end {
            return (from + at, true);
        }
    }
    let ends = |character: char| {
        !character.is_ascii()
            || character.is_ascii_whitespace()
            || character.is_ascii_control()
            || "\"'`,;<>(){}[]|\\&".contains(character)
    };
    let near = &rest[..rest.floor_char_boundary(VALUE_MAX_BYTES)];
    let value = &near[..near.find(ends).unwrap_or(near.len())];
    (
        from + value.trim_end_matches(['.', ':', '!', '?']).len(),
        false,
    )
}

fn is_secret(strength: Strength, value: &str, context: Context) -> bool {
    let is = |words: &[&str]| words.iter().any(|word| value.eq_ignore_ascii_case(word));
    let says_nothing = !value.chars().any(char::is_alphanumeric)
        || value.starts_with(['$', '<', '{', '[', '%', '*'])
        || is(WORDS)
        || is(SCHEMES);
    if says_nothing || context.called {
        return false;
    }
    let digit = value.bytes().any(|byte| byte.is_ascii_digit());
    let one_word = !value.contains(char::is_whitespace);
    let length = value.chars().count();
    // `process.env.PASSWORD`, `get_password`: code, not a password.
    let code = value
        .bytes()
        .all(|byte| byte.is_ascii_alphabetic() || byte == b'.' || byte == b'_')
        && value.contains(['.', '_']);
    match strength {
        Strength::Strong if context.prose => one_word && length >= 6 && digit,
        // Where one is, not what opens it.
        Strength::Strong if value.starts_with(['/', '~']) => false,
        Strength::Strong if context.quoted => true,
        Strength::Strong => length >= 4 && !code,
        Strength::Weak if context.quoted && !context.prose => {
            let value = SCHEMES
                .iter()
                .find_map(|scheme| strip_word(value, scheme))
                .unwrap_or(value);
            value.chars().count() >= 6 && !value.contains(char::is_whitespace) && !code
        }
        Strength::Weak => length >= 8 && (digit || length >= 20) && !code,
        Strength::Opaque => {
            let hex = value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
            one_word && (hex || (length >= 20 && looks_random(value))) && !code
        }
    }
}

fn strip_word<'a>(value: &'a str, word: &str) -> Option<&'a str> {
    let begins = value.get(..word.len())?.eq_ignore_ascii_case(word);
    let rest = value[word.len()..].trim_start();
    (begins && rest.len() < value.len() - word.len()).then_some(rest)
}

/// Not a word: digits among letters, or capitals in its middle.
fn looks_random(value: &str) -> bool {
    let digit = value.bytes().any(|byte| byte.is_ascii_digit());
    let letter = value.bytes().any(|byte| byte.is_ascii_alphabetic());
    let capitals = value.bytes().skip(1).filter(u8::is_ascii_uppercase).count();
    let small = value.bytes().filter(u8::is_ascii_lowercase).count();
    (digit && letter) || (capitals >= 2 && small >= 2)
}

#[cfg(test)]
pub(super) fn compiled() -> bool {
    NAMED.is_some() && SCHEME.is_some()
}
