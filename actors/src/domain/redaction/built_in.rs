//! The rules everybody has. A pattern proposes, a check decides: digits alone prove nothing.

use std::sync::LazyLock;

use regex::Regex;

use super::{Hits, note};

/// One built-in rule.
pub(super) struct Rule {
    name: &'static str,
    mark: &'static str,
    find: fn(&str, usize) -> Option<(usize, usize)>,
}

/// In order: what is surest goes first.
pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "private_key",
        mark: "[private_key]",
        find: private_key,
    },
    Rule {
        name: "key",
        mark: "[key]",
        find: key,
    },
    Rule {
        name: "email",
        mark: "[email]",
        find: email,
    },
    Rule {
        name: "id_card",
        mark: "[id_card]",
        find: id_card,
    },
    Rule {
        name: "bank_card",
        mark: "[bank_card]",
        find: bank_card,
    },
    Rule {
        name: "phone",
        mark: "[phone]",
        find: phone,
    },
];

impl Rule {
    /// The text without what this rule finds; `None` when it finds nothing.
    pub(super) fn apply(&self, text: &str, hits: &mut Hits) -> Option<String> {
        let mut out = String::new();
        let mut at = 0;
        let mut found = 0;
        while let Some((start, end)) = (self.find)(text, at) {
            out.push_str(&text[at..start]);
            out.push_str(self.mark);
            at = end;
            found += 1;
        }
        if found == 0 {
            return None;
        }
        out.push_str(&text[at..]);
        note(hits, self.name, found);
        Some(out)
    }
}

/// A pattern of this file; a test compiles every one of them.
macro_rules! pattern {
    ($name:ident, $text:expr) => {
        static $name: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new($text).ok());
    };
}

// Word boundaries are ASCII's: Chinese characters stand right beside a key or a number.
pattern!(
    PRIVATE_KEY,
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)"
);
pattern!(
    KEY,
    r"(?-u:\b)(?:(?:sk|pk|rk|ok)[-_][A-Za-z0-9_-]{16,}|(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abeprs]-[A-Za-z0-9-]{10,}|AIza[0-9A-Za-z_-]{30,}|hf_[A-Za-z0-9]{20,}|gsk_[A-Za-z0-9]{20,}|xai-[A-Za-z0-9]{20,}|eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*)"
);
pattern!(
    EMAIL,
    r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,8}[A-Za-z]{2,24}"
);
pattern!(ID_CARD, r"[1-9][0-9]{16}[0-9Xx]");
pattern!(DIGITS, r"[0-9](?:[ -]?[0-9]){12,}");
pattern!(
    PHONE,
    r"(?:\+|00)[1-9][0-9]{0,2}[ .-]?(?:\([0-9]{1,4}\)[ .-]?)?[0-9]{1,5}(?:[ .-]?[0-9]{2,5}){1,4}|(?:86[ -]?)?1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}|0[1-9][0-9]{1,2}-[1-9][0-9]{6,7}|\([2-9][0-9]{2}\) ?[2-9][0-9]{2}-[0-9]{4}|[2-9][0-9]{2}-[2-9][0-9]{2}-[0-9]{4}"
);

/// The first match from `at` on that `holds`; a refused one is searched from its second character on.
fn first(
    pattern: &LazyLock<Option<Regex>>,
    text: &str,
    mut at: usize,
    holds: impl Fn(&str, usize, usize) -> bool,
) -> Option<(usize, usize)> {
    let pattern = pattern.as_ref()?;
    while let Some(found) = pattern.find_at(text, at) {
        if holds(text, found.start(), found.end()) {
            return Some((found.start(), found.end()));
        }
        at = found.start() + found.as_str().chars().next().map_or(1, char::len_utf8);
    }
    None
}

/// Neither side continues the number.
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let bytes = text.as_bytes();
    let before = start.checked_sub(1).map(|at| bytes[at]);
    let after = bytes.get(end).copied();
    let joins = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let decimal = after == Some(b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
    !joins(before) && before != Some(b'.') && !joins(after) && !decimal
}

fn private_key(text: &str, at: usize) -> Option<(usize, usize)> {
    first(&PRIVATE_KEY, text, at, |_, _, _| true)
}

fn key(text: &str, at: usize) -> Option<(usize, usize)> {
    first(&KEY, text, at, |text, start, end| {
        let found = &text[start..end];
        // `sk-` also begins ordinary hyphenated words.
        found
            .bytes()
            .skip(3)
            .any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
    })
}

fn email(text: &str, at: usize) -> Option<(usize, usize)> {
    first(&EMAIL, text, at, |_, _, _| true)
}

fn id_card(text: &str, at: usize) -> Option<(usize, usize)> {
    first(&ID_CARD, text, at, |text, start, end| {
        stands_alone(text, start, end) && is_id_card(&text.as_bytes()[start..end])
    })
}

/// Birth date and check digit of a Chinese identity number (GB 11643).
fn is_id_card(digits: &[u8]) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    const CHECKS: &[u8; 11] = b"10X98765432";
    let number = |range: std::ops::Range<usize>| {
        digits[range]
            .iter()
            .fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'))
    };
    let (year, month, day) = (number(6..10), number(10..12), number(12..14));
    let born = (1850..2150).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    let sum: u32 = digits
        .iter()
        .zip(WEIGHTS)
        .map(|(digit, weight)| u32::from(digit - b'0') * weight)
        .sum();
    born && digits[17].to_ascii_uppercase() == CHECKS[(sum % 11) as usize]
}

/// Groups of digits parted by one blank or hyphen; a card is a run of whole groups.
fn bank_card(text: &str, at: usize) -> Option<(usize, usize)> {
    let pattern = DIGITS.as_ref()?;
    let mut from = at;
    while let Some(run) = pattern.find_at(text, from) {
        let bytes = run.as_str().as_bytes();
        let mut starts = vec![0];
        starts.extend((1..bytes.len()).filter(|at| !bytes[at - 1].is_ascii_digit()));
        let ends: Vec<usize> = starts[1..]
            .iter()
            .map(|start| start - 1)
            .chain([bytes.len()])
            .collect();
        for (index, start) in starts.iter().enumerate() {
            // Seven groups are the most a card of 19 digits is written in; the longest first.
            for end in ends[index..].iter().take(7).rev() {
                let (start, end) = (run.start() + start, run.start() + end);
                if is_bank_card(&text.as_bytes()[start..end]) && stands_alone(text, start, end) {
                    return Some((start, end));
                }
            }
        }
        from = run.end();
    }
    None
}

/// 13 to 19 digits that begin as issuers' do and hold to Luhn.
fn is_bank_card(bytes: &[u8]) -> bool {
    let digits: Vec<u8> = bytes
        .iter()
        .filter(|byte| byte.is_ascii_digit())
        .map(|byte| byte - b'0')
        .collect();
    if !(13..=19).contains(&digits.len()) {
        return false;
    }
    let four = digits[..4]
        .iter()
        .fold(0_u16, |sum, digit| sum * 10 + u16::from(*digit));
    let issued = matches!(
        four,
        4000..=4999
            | 5100..=5599
            | 2221..=2720
            | 3400..=3499
            | 3700..=3799
            | 3000..=3059
            | 3600..=3699
            | 3800..=3999
            | 3528..=3589
            | 6000..=6999
            | 9558..=9559
            | 8100..=8171
            | 2200..=2204
    );
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let value = u32::from(*digit) * if place % 2 == 1 { 2 } else { 1 };
            if value > 9 { value - 9 } else { value }
        })
        .sum();
    issued && sum.is_multiple_of(10)
}

fn phone(text: &str, at: usize) -> Option<(usize, usize)> {
    first(&PHONE, text, at, |text, start, end| {
        let digits = text[start..end].bytes().filter(u8::is_ascii_digit).count();
        (8..=17).contains(&digits) && stands_alone(text, start, end)
    })
}

#[cfg(test)]
pub(super) fn compiled() -> bool {
    [&PRIVATE_KEY, &KEY, &EMAIL, &ID_CARD, &DIGITS, &PHONE]
        .iter()
        .all(|pattern| pattern.is_some())
}
