//! The rules everybody has. A pattern proposes, a check decides: digits alone prove nothing. Every rule takes time in
//! proportion to the text, whatever it says.

use std::sync::LazyLock;

use regex::Regex;

use super::folding::folded;
use super::named::secret;
use super::{Hits, mail, note};
use crate::domain::secrets::PREFIXES;

/// Where something stands: first byte, and the first beyond.
pub(super) type Span = (usize, usize);

/// One built-in rule.
pub(super) struct Rule {
    name: &'static str,
    mark: &'static str,
    /// Rising, and apart from each other.
    find: fn(&str) -> Vec<Span>,
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
        name: "secret",
        mark: SECRET_MARK,
        find: secret,
    },
    Rule {
        name: "email",
        mark: "[email]",
        find: mail::addresses,
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

/// What stands where a secret stood that its name gave away.
pub(super) const SECRET_MARK: &str = "[secret]";

impl Rule {
    /// The text without what this rule finds; `None` when it finds nothing.
    pub(super) fn apply(&self, text: &str, hits: &mut Hits) -> Option<String> {
        let spelt = folded(text);
        let found = match &spelt {
            None => (self.find)(text),
            Some(spelt) => (self.find)(spelt.text())
                .into_iter()
                .map(|(start, end)| (spelt.original(start), spelt.original(end)))
                .collect(),
        };
        if found.is_empty() {
            return None;
        }
        note(hits, self.name, found.len());
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for (start, end) in found {
            out.push_str(&text[at..start]);
            out.push_str(self.mark);
            at = end;
        }
        out.push_str(&text[at..]);
        Some(out)
    }
}

/// A pattern; a test compiles every one of them.
macro_rules! pattern {
    ($name:ident, $text:expr) => {
        pub(super) static $name: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new($text).ok());
    };
}
pub(super) use pattern;

// Word boundaries are ASCII's: Chinese characters stand right beside a key or a number.
pattern!(
    PRIVATE_KEY,
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)"
);
pattern!(KEY, &key_pattern());
// As long as a secret key of AWS, and what of it could go on.
pattern!(BASE64_RUN, r"[A-Za-z0-9/+]{40,}");
pattern!(ID_CARD, r"[1-9][0-9]{5}[ .-]?[0-9]{8}[ .-]?[0-9]{3}[0-9Xx]");
pattern!(DIGITS, r"[0-9](?:[ .-]?[0-9]){12,}");
pattern!(
    PHONE,
    concat!(
        // With the country's code.
        r"(?:\+|00)[1-9][0-9]{0,2}[ .-]?(?:\([0-9]{1,4}\)[ .-]?)?[0-9]{1,5}(?:[ .-]?[0-9]{2,5}){1,4}[0-9]?",
        // A mobile of mainland China, in the groups it is written in.
        r"|(?:86[ .-]?)?1[3-9][0-9](?:[ .-]?[0-9]{4}[ .-]?[0-9]{4}|[0-9][ .-][0-9]{3}[ .-][0-9]{4}|[0-9][ .-][0-9]{4}[ .-][0-9]{3})",
        // A line of mainland China.
        r"|0[1-9][0-9]{1,2}[ -][1-9][0-9]{2,3}[ -]?[0-9]{4}|\(0[1-9][0-9]{1,2}\)[ -]?[1-9][0-9]{2,3}[ -]?[0-9]{4}",
        // North America.
        r"|(?:1[ .-])?(?:\([2-9][0-9]{2}\)[ .-]?[2-9][0-9]{2}[ .-][0-9]{4}|[2-9][0-9]{2}-[2-9][0-9]{2}-[0-9]{4}",
        r"|[2-9][0-9]{2}\.[2-9][0-9]{2}\.[0-9]{4}|[2-9][0-9]{2} [2-9][0-9]{2} [0-9]{4})"
    )
);

fn key_pattern() -> String {
    let prefixes: Vec<String> = PREFIXES.iter().map(|it| regex::escape(it)).collect();
    let prefixes = prefixes.join("|");
    [
        r"(?-u:\b)(?:whsec_[A-Za-z0-9+/=_-]{16,}|xox[abeprs]-[A-Za-z0-9-]{10,}",
        &format!("|(?:{prefixes})[A-Za-z0-9_-]{{16,}}"),
        r"|eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*",
        // Zhipu's: an id and its secret.
        r"|[0-9a-f]{32}\.[A-Za-z0-9]{16})",
    ]
    .concat()
}

/// The matches that `holds` does not refuse; a refused one is searched from its second character on. Only for patterns
/// of bounded length.
fn all(
    pattern: &LazyLock<Option<Regex>>,
    text: &str,
    holds: impl Fn(&str, usize, usize) -> bool,
) -> Vec<Span> {
    let mut spans = Vec::new();
    let Some(pattern) = pattern.as_ref() else {
        return spans;
    };
    let mut at = 0;
    while let Some(found) = pattern.find_at(text, at) {
        if holds(text, found.start(), found.end()) {
            spans.push((found.start(), found.end()));
            at = found.end();
        } else {
            at = found.start() + found.as_str().chars().next().map_or(1, char::len_utf8);
        }
    }
    spans
}

/// Words that stand right before a number of somebody.
const LABELS: &[&str] = &[
    "tel",
    "telephone",
    "phone",
    "ph",
    "mobile",
    "mob",
    "cell",
    "call",
    "fax",
    "sms",
    "whatsapp",
    "wechat",
    "contact",
    "id",
    "card",
    "visa",
    "no",
    "nr",
    "num",
    "number",
];
/// The longest of them, and an escape's letter.
const LABEL_MAX: usize = 11;

/// Neither side continues the number.
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let bytes = text.as_bytes();
    let at = |place: Option<usize>| place.and_then(|place| bytes.get(place)).copied();
    let before = match at(start.checked_sub(1)) {
        Some(b'.') => !at(start.checked_sub(2)).is_some_and(|byte| byte.is_ascii_digit()),
        Some(byte) if byte.is_ascii_digit() => false,
        Some(byte) if byte.is_ascii_alphabetic() => labelled(bytes, start),
        _ => true,
    };
    let joins = at(Some(end)).is_some_and(|byte| byte.is_ascii_alphanumeric());
    let decimal =
        at(Some(end)) == Some(b'.') && at(Some(end + 1)).is_some_and(|byte| byte.is_ascii_digit());
    before && !joins && !decimal
}

/// What stands right before `start` is a word such as `tel`, or the letter of an escape (`\n`).
fn labelled(bytes: &[u8], start: usize) -> bool {
    let run = bytes[..start]
        .iter()
        .rev()
        .take(LABEL_MAX + 1)
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    let mut from = start - run;
    let before = from.checked_sub(1).map(|at| bytes[at]);
    if before == Some(b'\\') {
        from += 1;
    }
    let word = &bytes[from..start];
    let continued = before.is_some_and(|byte| byte.is_ascii_alphanumeric());
    !continued
        && (word.is_empty()
            || LABELS
                .iter()
                .any(|label| word.eq_ignore_ascii_case(label.as_bytes())))
}

fn private_key(text: &str) -> Vec<Span> {
    // Never refused, and so never searched twice.
    all(&PRIVATE_KEY, text, |_, _, _| true)
}

fn key(text: &str) -> Vec<Span> {
    let mut spans: Vec<Span> = KEY
        .as_ref()
        .into_iter()
        .flat_map(|pattern| pattern.find_iter(text))
        // `sk-` also begins ordinary hyphenated words. What is refused here holds no key further on either.
        .filter(|found| {
            let rest = found.as_str().bytes().skip(3);
            rest.into_iter()
                .any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        })
        .map(|found| (found.start(), found.end()))
        .collect();
    let aws = BASE64_RUN
        .as_ref()
        .into_iter()
        .flat_map(|pattern| pattern.find_iter(text))
        .filter(|found| is_aws_secret(text, found.start(), found.end()))
        .map(|found| (found.start(), found.end()));
    spans.extend(aws);
    apart(spans)
}

/// Spans in order; of those that meet, one that covers them all.
pub(super) fn apart(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut apart: Vec<Span> = Vec::with_capacity(spans.len());
    for (start, end) in spans {
        match apart.last_mut() {
            Some(last) if start < last.1 => last.1 = last.1.max(end),
            _ => apart.push((start, end)),
        }
    }
    apart
}

/// Exactly 40 characters of base64 by themselves, as mixed as chance makes them: a path of words is not.
fn is_aws_secret(text: &str, start: usize, end: usize) -> bool {
    const LEN: usize = 40;
    const TURNS_MIN: usize = 16;
    let bytes = text.as_bytes();
    let is = |byte: Option<&u8>, some: &[u8]| byte.is_some_and(|byte| some.contains(byte));
    let before = start.checked_sub(1).and_then(|at| bytes.get(at));
    if end - start != LEN || is(before, b"_-.") || is(bytes.get(end), b"=_-") {
        return false;
    }
    let class = |byte: &u8| match byte {
        b'a'..=b'z' => 0_u8,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    let run = &bytes[start..end];
    let many = |wanted: u8| run.iter().filter(|byte| class(byte) == wanted).count();
    let turns = run
        .windows(2)
        .filter(|pair| class(&pair[0]) != class(&pair[1]))
        .count();
    many(0) >= 4 && many(1) >= 4 && many(2) >= 1 && turns >= TURNS_MIN
}

fn id_card(text: &str) -> Vec<Span> {
    all(&ID_CARD, text, |text, start, end| {
        let bytes = text.as_bytes();
        // The check digit and the date prove it: a letter before is a label's.
        let before = start.checked_sub(1).map(|at| bytes[at]);
        let after = bytes.get(end);
        let digits: Vec<u8> = bytes[start..end]
            .iter()
            .copied()
            .filter(u8::is_ascii_alphanumeric)
            .collect();
        !before.is_some_and(|byte| byte.is_ascii_digit())
            && !after.is_some_and(u8::is_ascii_alphanumeric)
            && is_id_card(&digits)
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

/// Groups of digits parted by one blank, point or hyphen; a card is a run of whole groups, all but the last of four digits
/// at least: rows of smaller numbers are something else.
fn bank_card(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let runs = DIGITS.as_ref().into_iter();
    for run in runs.flat_map(|pattern| pattern.find_iter(text)) {
        let mut groups = Vec::new();
        let mut from = run.start();
        for group in run.as_str().split([' ', '.', '-']) {
            groups.push((from, from + group.len()));
            from += group.len() + 1;
        }
        let mut index = 0;
        while let Some((start, _)) = groups.get(index).copied() {
            // Seven groups are the most a card of 19 digits is written in; the longest first.
            let few = &groups[index..groups.len().min(index + 7)];
            let large = few
                .iter()
                .take_while(|(start, end)| end - start >= 4)
                .count();
            let few = &few[..few.len().min(large + 1)];
            let long = few.iter().rposition(|(_, end)| {
                is_bank_card(&text.as_bytes()[start..*end]) && stands_alone(text, start, *end)
            });
            match long {
                Some(last) => {
                    spans.push((start, few[last].1));
                    index += last + 1;
                }
                None => index += 1,
            }
        }
    }
    spans
}

/// 13 to 19 digits that begin as issuers' do and hold to Luhn.
fn is_bank_card(bytes: &[u8]) -> bool {
    let digits: Vec<u8> = bytes
        .iter()
        .filter(|byte| byte.is_ascii_digit())
        .take(20)
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

fn phone(text: &str) -> Vec<Span> {
    all(&PHONE, text, |text, start, end| {
        let found = &text[start..end];
        let digits = found.bytes().filter(u8::is_ascii_digit).count();
        (8..=17).contains(&digits)
            && stands_alone(text, start, end)
            && !is_row_of_numbers(text, start, end)
    })
}

/// Numbers that happen to have as many digits: what computers count in, round ones, or three among many.
fn is_row_of_numbers(text: &str, start: usize, end: usize) -> bool {
    let found = &text[start..end];
    let by = match found.find([' ', '.']) {
        Some(at) if !found.contains(['+', '-', '(']) => found.as_bytes()[at],
        _ => return false,
    };
    let groups: Vec<&str> = found.split(char::from(by)).collect();
    let last: u32 = groups
        .last()
        .map_or(Ok(0), |last| last.parse())
        .unwrap_or(0);
    if by == b' ' && groups.len() > 2 && last.is_power_of_two() {
        return true;
    }
    if !matches!(groups.as_slice(), [.., area, office, line] if (area.len(), office.len(), line.len()) == (3, 3, 4))
    {
        return false;
    }
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let before = start >= 2 && bytes[start - 1] == by && digit(start - 2);
    let after = bytes.get(end) == Some(&by) && digit(end + 1);
    before || after || groups.iter().all(|group| group.ends_with('0'))
}

#[cfg(test)]
pub(super) fn compiled() -> bool {
    [&PRIVATE_KEY, &KEY, &BASE64_RUN, &ID_CARD, &DIGITS, &PHONE]
        .iter()
        .all(|pattern| pattern.is_some())
}
