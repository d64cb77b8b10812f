//! What can be said of a pair without asking anybody. Pure.
//!
//! The score that is stored is somebody's judgement (typed, or from a file) and is never changed by this; only a pair that was
//! learnt without anybody starts with what is found here ([`judge`]). Beside it the page
//! shows what a reader could check, each with its weight, and what they come to: where a judgement is far from it, one of
//! the two deserves a second look. Whether an answer is true is not known here.

use serde::Serialize;
use utoipa::ToSchema;

/// Half a year without a change: worth reading again.
const FRESH_DAYS: f64 = 180.0;
/// By now nobody knows whether it still holds.
const STALE_DAYS: f64 = 730.0;
const DAY_MICROS: f64 = 86_400_000_000.0;

/// What is looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Aspect {
    /// The question says enough, and is no essay.
    QuestionLength,
    /// The answer says more than a word or two, and can be read in one go.
    AnswerLength,
    /// The answer does not merely repeat the question.
    AnswerOwnWords,
    /// It has a category.
    Category,
    /// No other pair of the tenant asks the same.
    Unique,
    /// It was written or looked through lately.
    Fresh,
}

/// One aspect of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct QualityFactor {
    #[schema(inline)]
    pub(super) aspect: Aspect,
    /// Share of the whole; all come to 1.
    pub(super) weight: f64,
    /// 0 to 1.
    pub(super) score: f64,
}

/// What is known of a pair.
pub(super) struct Pair<'a> {
    pub(super) question: &'a str,
    pub(super) answer: &'a str,
    pub(super) category: &'a str,
    /// Others of the tenant that ask the same.
    pub(super) others: usize,
    pub(super) age_micros: i64,
}

/// How long a text is in words or in the characters of scripts that do without blanks.
fn units(text: &str) -> usize {
    let wide = |one: char| matches!(u32::from(one), 0x2e80..=0x9fff | 0xac00..=0xd7af | 0xf900..=0xfaff | 0x20000..=0x3ffff);
    let characters = text.chars().filter(|&one| wide(one)).count();
    let words = text
        .split(|one: char| one.is_whitespace() || wide(one))
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .count();
    // Two characters say about as much as a word.
    words + characters.div_ceil(2)
}

/// 1 between `low` and `high`, less the further away.
fn between(value: usize, low: usize, high: usize) -> f64 {
    let (value, low, high) = (value as f64, low as f64, high as f64);
    match value {
        _ if value < low => value / low,
        _ if value > high => (high / value).max(0.0),
        _ => 1.0,
    }
}

/// How much of the answer is not the question again, by pairs of neighbouring characters.
fn own_words(question: &str, answer: &str) -> f64 {
    let pairs = |text: &str| {
        let text: Vec<char> = text
            .to_lowercase()
            .chars()
            .filter(|one| one.is_alphanumeric())
            .collect();
        text.windows(2)
            .map(|two| (two[0], two[1]))
            .collect::<std::collections::HashSet<_>>()
    };
    let (question, answer) = (pairs(question), pairs(answer));
    if answer.is_empty() {
        return 0.0;
    }
    let own = answer.difference(&question).count() as f64 / answer.len() as f64;
    // An answer may well take up half of the question.
    (own * 2.0).min(1.0)
}

/// Every aspect of it.
pub(super) fn factors(pair: &Pair<'_>) -> [QualityFactor; 6] {
    let factor = |aspect, weight, score: f64| QualityFactor {
        aspect,
        weight,
        score: (score.clamp(0.0, 1.0) * 100.0).round() / 100.0,
    };
    let age_days = pair.age_micros as f64 / DAY_MICROS;
    let fresh = 1.0 - (age_days - FRESH_DAYS) / (STALE_DAYS - FRESH_DAYS);
    [
        factor(
            Aspect::QuestionLength,
            0.15,
            between(units(pair.question), 3, 40),
        ),
        factor(
            Aspect::AnswerLength,
            0.3,
            between(units(pair.answer), 6, 400),
        ),
        factor(
            Aspect::AnswerOwnWords,
            0.2,
            own_words(pair.question, pair.answer),
        ),
        factor(
            Aspect::Category,
            0.1,
            f64::from(u8::from(!pair.category.is_empty())),
        ),
        factor(Aspect::Unique, 0.15, 1.0 / (1.0 + pair.others as f64)),
        factor(Aspect::Fresh, 0.1, fresh),
    ]
}

/// What they come to.
pub(super) fn suggested(factors: &[QualityFactor]) -> f64 {
    let sum: f64 = factors
        .iter()
        .map(|factor| factor.weight * factor.score)
        .sum();
    (sum * 100.0).round() / 100.0
}

/// What a new question and answer come to that nobody has judged, and that nothing else of the tenant asks.
pub(crate) fn judge(question: &str, answer: &str) -> f64 {
    suggested(&factors(&Pair {
        question,
        answer,
        category: "",
        others: 0,
        age_micros: 0,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(question: &str, answer: &str) -> [QualityFactor; 6] {
        factors(&Pair {
            question,
            answer,
            category: "x",
            others: 0,
            age_micros: 0,
        })
    }

    fn score(factors: &[QualityFactor], aspect: Aspect) -> f64 {
        factors
            .iter()
            .find(|factor| factor.aspect == aspect)
            .unwrap()
            .score
    }

    #[test]
    fn the_weights_come_to_one_and_a_good_pair_to_nearly_that() {
        for (question, answer) in [
            (
                "How do I book a fitting?",
                "Call us, or choose a day in the calendar on our page.",
            ),
            ("租借价格是多少？", "单日三千円起，含税；详情请见价目表。"),
        ] {
            let factors = of(question, answer);
            let weights: f64 = factors.iter().map(|factor| factor.weight).sum();
            assert!((weights - 1.0).abs() < 1e-9);
            assert!(suggested(&factors) > 0.95, "{factors:?}");
        }
    }

    #[test]
    fn each_aspect_costs_what_it_is_about() {
        let echo = of("How do I book a fitting?", "How do I book a fitting?");
        assert_eq!(score(&echo, Aspect::AnswerOwnWords), 0.0);
        assert!(score(&of("How do I book?", "Yes."), Aspect::AnswerLength) < 0.2);
        assert!(
            score(
                &of("?", "Call us, please, between nine and five."),
                Aspect::QuestionLength
            ) < 0.1
        );
        let aged = |days: i64, others, category| {
            factors(&Pair {
                question: "How do I book?",
                answer: "Call us.",
                category,
                others,
                age_micros: days * 86_400_000_000,
            })
        };
        assert_eq!(score(&aged(100, 0, "x"), Aspect::Fresh), 1.0);
        assert_eq!(score(&aged(455, 0, "x"), Aspect::Fresh), 0.5);
        assert_eq!(score(&aged(4_000, 0, "x"), Aspect::Fresh), 0.0);
        assert_eq!(score(&aged(0, 1, "x"), Aspect::Unique), 0.5);
        assert_eq!(score(&aged(0, 0, ""), Aspect::Category), 0.0);
    }
}
