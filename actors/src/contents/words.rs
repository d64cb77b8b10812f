//! Cuts text into the words that are indexed and looked for. The same cut serves both databases.
//!
//! Chinese, Japanese and Korean have no blanks: a run of their characters becomes its pairs (`对话记录` → `对话`, `话记`,
//! `记录`) and its last character alone, so that a text of two and more characters is found as a phrase of pairs, and a
//! single one as a beginning. Everything else is cut at what is no letter or digit, in lower case.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{Said, around};

/// Longest word kept, in characters; a longer one (base64, a hash) is cut.
const WORD_MAX: usize = 40;
/// Most words of a document that are indexed; question and answer share them.
pub const WORDS_MAX: usize = 60_000;
/// Most of them that stand around: of the messages before, the newest first, and of the instructions. What stands there
/// is said again in every call of a thread.
const AROUND_MAX: usize = 4_000;
/// PostgreSQL keeps positions up to here …
const POSITION_MAX: usize = 16_383;
/// … so many of them per word …
const POSITIONS_MAX: usize = 255;
/// … and a mebibyte of words with their places in all; what stands alone comes on top.
const VECTOR_MAX_BYTES: usize = 960_000;
/// Stands before an ideograph that a vector holds by itself: in no other word.
const ALONE: char = '=';
/// In a vector that does not know all places of its words.
const PLACES_LOST: &str = "=+";
/// So many of them.
const ALONE_MAX: usize = 8_000;
/// Most terms of one question.
const TERMS_MAX: usize = 16;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Class {
    Letter,
    Ideograph,
    Other,
}

fn class(character: char) -> Class {
    match character {
        '\u{3005}'..='\u{3007}'
        | '\u{3040}'..='\u{30ff}'
        | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7af}'
        | '\u{f900}'..='\u{faff}'
        | '\u{ff66}'..='\u{ff9d}'
        | '\u{20000}'..='\u{3ffff}'
            if character != '\u{30fb}' && character != '\u{30a0}' =>
        {
            Class::Ideograph
        }
        _ if character.is_alphanumeric() => Class::Letter,
        _ => Class::Other,
    }
}

/// One character as it is compared: full-width Latin is Latin, capitals are small.
pub(super) fn folded(character: char) -> char {
    let plain = match character {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(character as u32 - 0xfee0).unwrap_or(character),
        other => other,
    };
    plain.to_lowercase().next().unwrap_or(plain)
}

/// Runs of one class, folded, in order.
fn runs(text: &str) -> Vec<(Class, Vec<char>)> {
    let mut runs: Vec<(Class, Vec<char>)> = Vec::new();
    let mut last = Class::Other;
    for character in text.chars().map(folded) {
        let class = class(character);
        if class != Class::Other {
            match runs.last_mut() {
                Some((_, run)) if last == class => run.push(character),
                _ => runs.push((class, vec![character])),
            }
        }
        last = class;
    }
    runs
}

fn pairs(run: &[char]) -> impl Iterator<Item = String> + '_ {
    run.windows(2).map(|pair| pair.iter().collect())
}

fn word(run: &[char]) -> String {
    run.iter().take(WORD_MAX).collect()
}

/// The words of what was said: the question's, the answer's, and those around, each in order; at most [`WORDS_MAX`]. Of
/// what is too long for that the beginnings of both question and answer are there.
pub fn of_document(said: &Said) -> Vec<String> {
    let mut words = of_text(&said.prompt, WORDS_MAX);
    let mut answer = of_text(&said.completion, WORDS_MAX);
    words.truncate(WORDS_MAX - answer.len().min(WORDS_MAX / 2));
    answer.truncate(WORDS_MAX - words.len());
    words.append(&mut answer);
    let mut left = AROUND_MAX.min(WORDS_MAX - words.len());
    for text in around::earlier(said).iter().chain([&said.system_prompt]) {
        if left == 0 {
            break;
        }
        let mut more = of_text(text, left);
        left -= more.len();
        words.append(&mut more);
    }
    words
}

/// The words of a text, in order; at most `most`.
fn of_text(text: &str, most: usize) -> Vec<String> {
    let mut words = Vec::new();
    for (class, run) in runs(text) {
        if words.len() >= most {
            break;
        }
        match class {
            Class::Ideograph => {
                words.extend(pairs(&run));
                words.extend(run.last().map(char::to_string));
            }
            _ => words.push(word(&run)),
        }
    }
    words.truncate(most);
    words
}

/// The same as a literal of PostgreSQL's `tsvector`, within its bounds: of a very long document it does not know where
/// all words stand, and says so; whether they follow each other has to be looked up in the document then.
pub fn as_tsvector(words: &[String]) -> String {
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut bytes = 0;
    let mut lost = false;
    for (index, word) in words.iter().enumerate() {
        if bytes > VECTOR_MAX_BYTES {
            break;
        }
        let known = places.entry(word).or_default();
        if known.is_empty() {
            // A byte to align, two for how many places there are.
            bytes += word.len() + 3;
        }
        if index < POSITION_MAX && known.len() < POSITIONS_MAX {
            known.push(index + 1);
            bytes += 2;
        } else {
            lost = true;
        }
    }
    // Every ideograph by itself: looked for alone it is found as one word, not as the beginning of so many.
    let alone: BTreeSet<char> = places
        .keys()
        .flat_map(|word| word.chars())
        .filter(|character| class(*character) == Class::Ideograph)
        .collect();
    let mut literal = String::with_capacity(bytes * 2);
    for (word, places) in places {
        let _ = write!(literal, "'{word}'");
        for (index, place) in places.iter().enumerate() {
            let _ = write!(literal, "{}{place}", if index == 0 { ':' } else { ',' });
        }
        literal.push(' ');
    }
    for character in alone.into_iter().take(ALONE_MAX) {
        let _ = write!(literal, "'{ALONE}{character}' ");
    }
    if lost {
        let _ = write!(literal, "'{PLACES_LOST}' ");
    }
    literal
}

/// One thing looked for: words that follow each other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Term {
    words: Vec<String>,
    /// The last word may go on.
    prefix: bool,
    /// As it stands in a text, folded; for showing where.
    pub(super) needle: Vec<char>,
    /// It begins where a word begins.
    pub(super) at_word_start: bool,
}

/// What is looked for: every term must be there.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Question {
    pub(super) terms: Vec<Term>,
}

impl Question {
    /// Reads what somebody typed: words and beginnings of words, any run of ideographs, and `"exact phrases"`.
    pub fn parse(text: &str) -> Self {
        let mut terms = Vec::new();
        for (index, part) in text.split('"').enumerate() {
            if index % 2 == 1 {
                terms.extend(phrase(part));
                continue;
            }
            for (class, run) in runs(part) {
                terms.push(match (class, run.as_slice()) {
                    (Class::Ideograph, [_, _, ..]) => Term {
                        words: pairs(&run).collect(),
                        prefix: false,
                        needle: run,
                        at_word_start: false,
                    },
                    _ => Term {
                        words: vec![word(&run)],
                        prefix: true,
                        at_word_start: class == Class::Letter,
                        needle: run,
                    },
                });
            }
        }
        terms.truncate(TERMS_MAX);
        Self { terms }
    }

    /// Nothing in it can be looked for.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// For SQLite's `MATCH`.
    pub fn as_fts5(&self) -> String {
        self.joined(" AND ", |term| {
            let star = if term.prefix { "*" } else { "" };
            format!("\"{}\"{star}", term.words.join(" "))
        })
    }

    /// Whether it asks for words that follow each other.
    pub(super) fn has_phrases(&self) -> bool {
        self.terms.iter().any(|term| term.words.len() > 1)
    }

    /// Whether every phrase of it stands in these words. Words by themselves are not looked for: an index finds them.
    pub(super) fn follows_in(&self, words: &[String]) -> bool {
        self.terms
            .iter()
            .filter(|term| term.words.len() > 1)
            .all(|term| {
                let last = term.words.len() - 1;
                words.windows(term.words.len()).any(|stretch| {
                    stretch[..last] == term.words[..last]
                        && match term.prefix {
                            true => stretch[last].starts_with(&term.words[last]),
                            false => stretch[last] == term.words[last],
                        }
                })
            })
    }

    /// A literal of PostgreSQL's `tsquery`. Of a document whose vector does not know all places it finds what has the
    /// words of a phrase anywhere.
    pub fn as_tsquery(&self) -> String {
        self.joined(" & ", |term| {
            if let [word] = term.words.as_slice()
                && is_ideograph(word)
            {
                return format!("('{ALONE}{word}')");
            }
            let last = term.words.len() - 1;
            let words: Vec<String> = term
                .words
                .iter()
                .enumerate()
                .map(|(index, word)| {
                    let star = if term.prefix && index == last {
                        ":*"
                    } else {
                        ""
                    };
                    format!("'{word}'{star}")
                })
                .collect();
            if last == 0 {
                return format!("({})", words[0]);
            }
            format!(
                "(({}) | ({} & '{PLACES_LOST}'))",
                words.join(" <-> "),
                words.join(" & ")
            )
        })
    }

    fn joined(&self, by: &str, spell: impl Fn(&Term) -> String) -> String {
        self.terms.iter().map(spell).collect::<Vec<_>>().join(by)
    }
}

/// One ideograph, which the vector holds by itself.
fn is_ideograph(word: &str) -> bool {
    let mut characters = word.chars();
    characters
        .next()
        .is_some_and(|first| class(first) == Class::Ideograph)
        && characters.next().is_none()
}

/// Words exactly as they follow each other in a document.
fn phrase(text: &str) -> Option<Term> {
    let runs = runs(text);
    let count = runs.len();
    let (_, last) = runs.last()?;
    let prefix = class(*last.first()?) == Class::Ideograph && last.len() == 1;
    let at_word_start = runs
        .first()
        .is_some_and(|(class, _)| *class == Class::Letter);
    let mut words = Vec::new();
    for (index, (class, run)) in runs.iter().enumerate() {
        match class {
            Class::Ideograph => {
                words.extend(pairs(run));
                if index + 1 < count || run.len() == 1 {
                    words.extend(run.last().map(char::to_string));
                }
            }
            _ => words.push(word(run)),
        }
    }
    Some(Term {
        words,
        prefix,
        needle: text.trim().chars().map(folded).collect(),
        at_word_start,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_cut_into_pairs_and_words() {
        let said = Said {
            prompt: "对话记录 GPT-4o, ＡＰＩ".into(),
            completion: "記".into(),
            system_prompt: "Be brief.".into(),
            messages_json: r#"[{"role":"user","content":"before"}]"#.into(),
            ..Said::default()
        };
        assert_eq!(
            of_document(&said),
            [
                "对话", "话记", "记录", "录", "gpt", "4o", "api", "記", "before", "be", "brief"
            ]
        );
    }

    #[test]
    fn question_and_answer_share_the_room() {
        let numbered = |name: &str, many: usize| -> String {
            (0..many).map(|number| format!("{name}{number} ")).collect()
        };
        let said = |asked: usize, answered: usize| Said {
            prompt: numbered("q", asked),
            completion: numbered("a", answered),
            system_prompt: numbered("s", 9_000),
            ..Said::default()
        };
        let counted = |asked, answered| {
            let words = of_document(&said(asked, answered));
            assert!(words.len() <= WORDS_MAX);
            ["q", "a", "s"].map(|of| words.iter().filter(|word| word.starts_with(of)).count())
        };
        assert_eq!(counted(90_000, 90_000), [30_000, 30_000, 0]);
        assert_eq!(counted(90_000, 10), [59_990, 10, 0]);
        assert_eq!(counted(10, 90_000), [10, 59_990, 0]);
        assert_eq!(counted(58_000, 10), [58_000, 10, 1_990]);
        assert_eq!(counted(10, 10), [10, 10, AROUND_MAX]);
    }

    #[test]
    fn questions_are_spelt_for_both_databases() {
        let question = Question::parse("对话记 录 Invoi \"due Date\"");
        assert_eq!(
            question.as_fts5(),
            "\"对话 话记\" AND \"录\"* AND \"invoi\"* AND \"due date\""
        );
        assert_eq!(
            question.as_tsquery(),
            "(('对话' <-> '话记') | ('对话' & '话记' & '=+')) & ('=录') & ('invoi':*) \
             & (('due' <-> 'date') | ('due' & 'date' & '=+'))"
        );
        let follows = |text: &str| question.follows_in(&of_text(text, WORDS_MAX));
        assert!(follows("due date 对话记录"));
        assert!(!follows("date due 对话记录") && !follows("due date 话记对话"));
        assert!(Question::parse(" ?! \"\" '").is_empty());
    }

    #[test]
    fn a_vector_stays_within_its_bounds() {
        let words = of_text(&"文字と word ".repeat(20_000), WORDS_MAX);
        assert_eq!(words.len(), WORDS_MAX);
        let vector = as_tsvector(&words);
        assert!(vector.len() < 1_000_000 && vector.ends_with("'=+' "));
        assert_eq!(
            as_tsvector(&["b".into(), "a".into(), "b".into()]),
            "'a':2 'b':1,3 "
        );
        assert_eq!(
            as_tsvector(&of_text("对话录", WORDS_MAX)),
            "'对话':1 '录':3 '话录':2 '=对' '=录' '=话' "
        );
    }
}
