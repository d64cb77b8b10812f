//! Where a text answers a question, and how well. Pure; the databases only say which texts do.

use super::words::{Question, Term, folded};

/// Characters shown before and after the first hit.
const BEFORE: usize = 40;
const AFTER: usize = 120;
/// Hits counted in one text; more prove nothing.
const COUNTED_MAX: usize = 50;

/// A piece of a snippet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Piece {
    pub text: String,
    /// It is what was looked for.
    pub hit: bool,
}

/// How well a text answers, and its best place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Higher is better; comparable within one question.
    pub score: f64,
    /// Empty when nothing is found in it.
    pub pieces: Vec<Piece>,
}

/// Looks for every term of the question in `text`.
pub fn find(question: &Question, text: &str) -> Found {
    let original: Vec<char> = text.chars().collect();
    let plain: Vec<char> = original.iter().copied().map(folded).collect();
    let mut score = 0.0;
    let mut hits: Vec<(usize, usize)> = Vec::new();
    for term in &question.terms {
        let places = places(term, &plain);
        let count = places.len() as f64;
        score += count / (count + 1.5);
        hits.extend(
            places
                .into_iter()
                .map(|place| (place, place + term.needle.len())),
        );
    }
    // Of two texts that say it as often, the shorter is more about it.
    let length = (plain.len() as f64 / 1_000.0).min(100.0);
    score /= 1.0 + 0.1 * length;
    hits.sort_unstable();
    Found {
        score,
        pieces: cut(&original, &hits),
    }
}

/// The beginning of a text, for where nothing is looked for.
pub fn beginning(text: &str) -> String {
    let short: String = text.chars().take(BEFORE + AFTER).collect();
    if short.len() < text.len() {
        short + "…"
    } else {
        short
    }
}

fn places(term: &Term, text: &[char]) -> Vec<usize> {
    let needle = &term.needle;
    let Some(first) = needle.first() else {
        return Vec::new();
    };
    let mut places = Vec::new();
    let mut at = 0;
    while at + needle.len() <= text.len() && places.len() < COUNTED_MAX {
        let starts = !term.at_word_start || at == 0 || !text[at - 1].is_ascii_alphanumeric();
        if text[at] == *first && starts && text[at..at + needle.len()] == needle[..] {
            places.push(at);
            at += needle.len();
        } else {
            at += 1;
        }
    }
    places
}

fn cut(text: &[char], hits: &[(usize, usize)]) -> Vec<Piece> {
    let Some(&(first, _)) = hits.first() else {
        return Vec::new();
    };
    let from = first.saturating_sub(BEFORE);
    let to = (first + AFTER).min(text.len());
    let piece = |range: std::ops::Range<usize>, hit| Piece {
        text: text[range].iter().collect(),
        hit,
    };
    let mut pieces = Vec::new();
    let mut at = from;
    for &(start, end) in hits
        .iter()
        .filter(|(start, end)| *start >= from && *end <= to)
    {
        if start < at {
            continue;
        }
        if start > at {
            pieces.push(piece(at..start, false));
        }
        pieces.push(piece(start..end, true));
        at = end;
    }
    if at < to {
        pieces.push(piece(at..to, false));
    }
    if from > 0
        && let Some(first) = pieces.first_mut()
    {
        first.text.insert(0, '…');
    }
    if to < text.len()
        && let Some(last) = pieces.last_mut()
    {
        last.text.push('…');
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(question: &str, text: &str) -> String {
        find(&Question::parse(question), text)
            .pieces
            .iter()
            .map(|piece| match piece.hit {
                true => format!("[{}]", piece.text),
                false => piece.text.clone(),
            })
            .collect()
    }

    #[test]
    fn hits_are_shown_where_they_stand() {
        assert_eq!(shown("记录", "对话记录与记录"), "对话[记录]与[记录]");
        assert_eq!(
            shown("inv", "The Invoice, reinvented"),
            "The [Inv]oice, reinvented"
        );
        assert_eq!(shown("キー", "APIキーを"), "API[キー]を");
        let long = format!("{}here{}", "x ".repeat(100), " y".repeat(200));
        let cut = shown("here", &long);
        assert!(
            cut.starts_with('…') && cut.ends_with('…') && cut.contains("[here]"),
            "{cut}"
        );
        assert_eq!(shown("absent", "text"), "");
    }

    #[test]
    fn what_says_it_more_often_ranks_higher() {
        let question = Question::parse("budget");
        let often = find(&question, "budget, budget and budget").score;
        let once = find(&question, "a budget and other things").score;
        assert!(often > once && once > 0.0);
    }
}
