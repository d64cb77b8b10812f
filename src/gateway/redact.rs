//! Takes secrets out of texts that others wrote: providers echo keys in their error messages.
//!
//! What looks like a key goes; what looks like an id of a request or an answer stays, because it is needed
//! to ask the provider. Redaction of conversations, by rules an operator sets, is another thing; what keys begin with and
//! which names they stand behind is one list for both (`steward_actors::domain::secrets`).

use std::borrow::Cow;

use steward_actors::domain::secrets::{self, Strength};

/// What stands where a secret stood.
pub const MARK: &str = "[redacted]";

/// Beginnings of ids that help and open nothing.
const ID_PREFIXES: &[&str] = &[
    "req_",
    "req-",
    "resp_",
    "msg_",
    "chatcmpl-",
    "cmpl-",
    "call_",
    "toolu_",
    "run_",
    "file-",
    "file_",
    "batch_",
    "thread_",
    "conv_",
    "tok_",
    "acc_",
    "ten_",
    "fc_",
    "rs_",
    "ws_",
    "org-",
    "proj_",
];
/// What only an error would begin a secret with; in ordinary texts words do.
const MORE_PREFIXES: &[&str] = &["co-"];
/// Shortest word a secret's prefix condemns.
const PREFIXED_MIN: usize = 10;
/// Shortest word that is a secret by its looks alone.
const OPAQUE_MIN: usize = 32;

/// `text` without what looks like a secret. Borrows when nothing did.
pub fn scrub(text: &str) -> Cow<'_, str> {
    match without_user_info(text) {
        None => without_words(text),
        Some(bare) => Cow::Owned(without_words(&bare).into_owned()),
    }
}

/// `text` without what stands before the host in its URLs: of `user:password@` the password, else all of it. `None` when
/// there is none.
fn without_user_info(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    let mut found = false;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        rest = after;
        let ends = |it: char| it.is_whitespace() || "/?#\"'<>`\\".contains(it);
        let authority = &after[..after.find(ends).unwrap_or(after.len())];
        if let Some((user, _)) = authority.rsplit_once('@') {
            found = true;
            if let Some((name, _)) = user.split_once(':') {
                out.push_str(name);
                out.push(':');
            }
            out.push_str(MARK);
            rest = &after[user.len()..];
        }
    }
    out.push_str(rest);
    found.then_some(out)
}

fn without_words(text: &str) -> Cow<'_, str> {
    let mut out: Option<String> = None;
    let mut copied = 0;
    let mut at = 0;
    let mut expecting = false;
    while at < text.len() {
        let rest = &text[at..];
        let len = rest
            .bytes()
            .position(|byte| !is_word(byte))
            .unwrap_or(rest.len());
        if len == 0 {
            let step = rest.chars().next().map_or(1, char::len_utf8);
            // Between a name and its secret may stand a colon, an equals sign, quotes and spaces.
            if expecting
                && !matches!(
                    rest.as_bytes()[0],
                    b':' | b'=' | b'"' | b'\'' | b' ' | b'\\'
                )
            {
                expecting = false;
            }
            at += step;
            continue;
        }
        let word = rest[..len].trim_end_matches(['.', '/']);
        let word_end = at + word.len();
        let bare = word.trim_start_matches(['/', '.', '+', '-', '_']);
        let start = word_end - bare.len();
        let scheme = bare.eq_ignore_ascii_case("bearer") || bare.eq_ignore_ascii_case("basic");
        let secret = (expecting && !scheme && bare.len() >= 6) || is_secret(bare);
        if secret {
            let out = out.get_or_insert_with(|| String::with_capacity(text.len()));
            out.push_str(&text[copied..start]);
            out.push_str(MARK);
            copied = word_end;
        }
        expecting = scheme || names_secret(bare) || (expecting && bare.is_empty());
        at += len;
    }
    match out {
        None => Cow::Borrowed(text),
        Some(mut out) => {
            out.push_str(&text[copied..]);
            Cow::Owned(out)
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.+/*~".contains(&byte)
}

/// After which the next word is a secret. A path is no name, and `pwd` is more often a directory here.
fn names_secret(word: &str) -> bool {
    let known = matches!(
        secrets::strength(word),
        Some(Strength::Strong | Strength::Weak)
    );
    known && !word.contains('/') && !word.eq_ignore_ascii_case("pwd")
}

fn is_secret(word: &str) -> bool {
    if word.len() < PREFIXED_MIN {
        return false;
    }
    // A secret may be a segment of a path; the whole word goes then.
    let by_prefix = word.split('/').any(|segment| {
        segment.len() >= PREFIXED_MIN
            && secrets::PREFIXES
                .iter()
                .chain(MORE_PREFIXES)
                .any(|prefix| segment.starts_with(prefix))
            // `sk-` also begins ordinary hyphenated words; a key has a digit or a mask, or is long.
            && (segment.len() >= 20
                || segment
                    .bytes()
                    .any(|byte| byte.is_ascii_digit() || byte == b'*'))
    });
    if by_prefix {
        return true;
    }
    if word.starts_with("eyJ") && word.bytes().filter(|byte| *byte == b'.').count() == 2 {
        return true;
    }
    if ID_PREFIXES.iter().any(|prefix| word.starts_with(prefix)) {
        return false;
    }
    word.split(['.', '/', '-']).any(is_opaque) || is_opaque_base64(word)
}

/// A long run of hex or of mixed letters and digits without any punctuation.
fn is_opaque(run: &str) -> bool {
    if run.len() < OPAQUE_MIN {
        return false;
    }
    let digits = run.bytes().filter(u8::is_ascii_digit).count();
    let hex = run.bytes().all(|byte| byte.is_ascii_hexdigit());
    let upper = run.bytes().any(|byte| byte.is_ascii_uppercase());
    let lower = run.bytes().any(|byte| byte.is_ascii_lowercase());
    (hex && digits >= 4) || (digits >= 2 && upper && lower)
}

/// Base64 with `+` and `/` in it, which no path has.
fn is_opaque_base64(word: &str) -> bool {
    word.len() >= 40
        && !word.contains('.')
        && !word.contains("//")
        && word.split('/').all(|part| part.len() != 1)
        && word.contains('+')
        && is_opaque(&word.replace(['+', '/', '-', '_'], "x"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_that_providers_echo_are_taken_out() {
        let cases = [
            (
                "Incorrect API key provided: sk-proj-abc123DEF456ghi789. You can find your API key at https://platform.openai.com/account/api-keys.",
                "Incorrect API key provided: [redacted]. You can find your API key at https://platform.openai.com/account/api-keys.",
            ),
            (
                "Incorrect API key provided: sk-abcd***************wxyz.",
                "Incorrect API key provided: [redacted].",
            ),
            (
                "bad header 'Authorization: Bearer hunter2hunter2'",
                "bad header 'Authorization: Bearer [redacted]'",
            ),
            (
                "{\"api_key\":\"abcdefgh\",\"n\":1}",
                "{\"api_key\":\"[redacted]\",\"n\":1}",
            ),
            (
                "https://x.example/v1?key=AIzaSyA1234567890abcdefghijklmnopqrstuv&alt=sse",
                "https://x.example/v1?key=[redacted]&alt=sse",
            ),
            (
                "GET /v1?api_key=secret99&x=1",
                "GET /v1?api_key=[redacted]&x=1",
            ),
            (
                "OPENAI_API_KEY=abcdefgh refused",
                "OPENAI_API_KEY=[redacted] refused",
            ),
            ("GET /v1/x/sk-abc123def456 failed", "GET /[redacted] failed"),
            (
                "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcDEF123 is expired",
                "jwt [redacted] is expired",
            ),
            (
                "token 0123456789abcdef0123456789abcdef rejected",
                "token [redacted] rejected",
            ),
            (
                "aws AKIAIOSFODNN7EXAMPLE / wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY1",
                "aws [redacted] / [redacted]",
            ),
            (
                "sk-stw-0123456789ABCDEFGHIJKLMNOPQRSTUVabcdef",
                "[redacted]",
            ),
            (
                "cannot reach postgres://ada:hunter2@db.example:5432/x and \"https://t0ken@hooks.example/a@b\"",
                "cannot reach postgres://ada:[redacted]@db.example:5432/x and \"https://[redacted]@hooks.example/a@b\"",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(scrub(text), expected);
        }
    }

    #[test]
    fn words_and_ids_stay() {
        for text in [
            "The model `gpt-4o-2024-08-06` does not exist or you do not have access to it.",
            "request id req_011CSHoEeqs5C35K2UUqR7Fy, response chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
            "0199d2c0-7e2f-7b3c-9a54-2f1d3c4b5a69",
            "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
            "see https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching for details",
            "messages.0.content.1.image.source.base64.data: 界 unexpected",
            "a task-oriented, risk-averse pk-something",
            "",
        ] {
            assert_eq!(scrub(text), text);
            assert!(matches!(scrub(text), Cow::Borrowed(_)));
        }
    }

    proptest! {
        #[test]
        fn a_key_of_ours_never_survives(before in "\\PC{0,20}", after in "[ .,;\"')}]\\PC{0,20}") {
            let key = crate::gateway::token_key::TOKEN.generate();
            let text = format!("{before} {}{after}", key.secret.reveal());
            prop_assert!(!scrub(&text).contains(key.secret.reveal()), "{}", text);
        }

        #[test]
        fn any_text_is_survived(text in "\\PC*") {
            let once = scrub(&text).into_owned();
            prop_assert_eq!(scrub(&once).into_owned(), once);
        }
    }
}
