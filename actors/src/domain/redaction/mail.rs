//! E-mail addresses, in any script: found at the `@`, and from there to both sides.

use super::built_in::Span;

const LOCAL_MAX_CHARS: usize = 64;
const DOMAIN_MAX_CHARS: usize = 255;
/// Top-level domains in writing without blanks, where the next word stands right behind.
const DOMAINS_WITHOUT_BLANKS: &[&str] = &[
    "中国",
    "中國",
    "公司",
    "网络",
    "網絡",
    "香港",
    "台湾",
    "台灣",
    "新加坡",
    "政务",
    "公益",
    "在线",
    "网址",
    "网站",
    "集团",
    "商城",
    "みんな",
    "コム",
    "한국",
    "닷컴",
];

/// An accent by itself, which belongs to the letter before it.
fn accent(character: char) -> bool {
    ('\u{0300}'..='\u{036f}').contains(&character)
}

/// Written without blanks: such a letter beside an address is of the sentence, unless the address is of such letters.
pub(super) fn without_blanks(character: char) -> bool {
    matches!(
        character,
        '\u{0e00}'..='\u{0eff}' | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}'
            | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}'
    )
}

pub(super) fn addresses(text: &str) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for (at, _) in text.match_indices('@') {
        let from = spans.last().map_or(0, |last| last.1);
        if at < from {
            continue;
        }
        if let (Some(start), Some(end)) = (local(text, from, at), domain(text, at + 1)) {
            spans.push((start, end));
        }
    }
    spans
}

/// Where the part before the `@` begins, `from` at the earliest.
fn local(text: &str, from: usize, at: usize) -> Option<usize> {
    let mut characters = text[from..at].char_indices().rev().take(LOCAL_MAX_CHARS);
    let (last, character) = characters.next()?;
    let sentence = !without_blanks(character);
    let fits = |character: char| {
        (character.is_alphanumeric() && !(sentence && without_blanks(character)))
            || "._%+-".contains(character)
            || accent(character)
    };
    if !fits(character) {
        return None;
    }
    let mut start = character.is_alphanumeric().then_some(from + last);
    for (place, character) in characters.take_while(|(_, character)| fits(*character)) {
        if character.is_alphanumeric() {
            start = Some(from + place);
        }
    }
    start
}

/// Where the part behind the `@` ends: at the last label that can be a top-level domain.
fn domain(text: &str, from: usize) -> Option<usize> {
    let rest = &text[from..];
    let length = rest
        .char_indices()
        .take(DOMAIN_MAX_CHARS)
        .take_while(|(_, character)| {
            character.is_alphanumeric() || accent(*character) || matches!(character, '.' | '-')
        })
        .last()
        .map(|(at, character)| at + character.len_utf8())?;
    let run = &rest[..length];
    let mut end = None;
    let mut at = 0;
    for (index, label) in run.split('.').enumerate() {
        if index > 0
            && let Some(length) = top_level(label)
        {
            end = Some(from + at + length);
        }
        let whole = !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
        // Behind an address's end may stand the next sentence.
        if !whole || (end.is_some() && label.chars().any(without_blanks)) {
            break;
        }
        at += label.len() + 1;
    }
    end
}

/// How much of a label is a top-level domain.
fn top_level(label: &str) -> Option<usize> {
    let length: usize = label
        .chars()
        .take_while(|character| {
            (character.is_alphabetic() || accent(*character)) && !without_blanks(*character)
        })
        .map(char::len_utf8)
        .sum();
    if label[..length].chars().count() >= 2 {
        return Some(length);
    }
    let known = DOMAINS_WITHOUT_BLANKS
        .iter()
        .find(|known| label.starts_with(**known));
    known.map(|known| known.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_any_script() {
        for (text, found) in [
            (
                "write to wang.lei+x@mail.example.cn please",
                vec!["wang.lei+x@mail.example.cn"],
            ),
            ("邮箱wang@example.com，谢谢", vec!["wang@example.com"]),
            ("邮箱wang@example.com谢谢", vec!["wang@example.com"]),
            ("josé.garcía@exämple.de.", vec!["josé.garcía@exämple.de"]),
            ("иван@почта.рф", vec!["иван@почта.рф"]),
            ("联系：张三@例子.中国谢谢", vec!["张三@例子.中国"]),
            ("wang@例子.公司。", vec!["wang@例子.公司"]),
            (
                "a@b.example,c@d.example",
                vec!["a@b.example", "c@d.example"],
            ),
            (
                "e\u{301}ve\u{301}@exemple.fr",
                vec!["e\u{301}ve\u{301}@exemple.fr"],
            ),
            ("张三@邮件.例子.中国", vec!["张三@邮件.例子.中国"]),
            ("a@b@c.example", vec!["b@c.example"]),
            ("user@localhost, @scope/name, pkg@1.2.3, x @ y.com", vec![]),
            ("an@", vec![]),
            ("@@..@", vec![]),
        ] {
            let spans: Vec<&str> = addresses(text)
                .into_iter()
                .map(|(start, end)| &text[start..end])
                .collect();
            assert_eq!(spans, found, "{text}");
        }
    }
}
