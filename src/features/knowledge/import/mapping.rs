//! Which column of a file is what, and a row read by that: a pair, or why it is none. Pure.

use serde::{Deserialize, Serialize};
use steward_entities::knowledge_import_error::New as Bad;
use utoipa::ToSchema;

use crate::features::knowledge::{ANSWER_MAX, CATEGORY_MAX, QUESTION_MAX};

/// Columns by their numbers, from 0.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ImportMapping)]
pub(super) struct Mapping {
    /// The first row names the columns.
    pub(super) has_header: bool,
    #[schema(minimum = 0, maximum = 63)]
    pub(super) question: usize,
    #[schema(minimum = 0, maximum = 63)]
    pub(super) answer: usize,
    #[schema(minimum = 0, maximum = 63)]
    pub(super) category: Option<usize>,
    #[schema(minimum = 0, maximum = 63)]
    pub(super) quality_score: Option<usize>,
}

/// A row that is a pair.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) question: String,
    pub(super) answer: String,
    /// None when the file has no such column.
    pub(super) category: Option<String>,
    /// None when the file has no such column; inside, when the row has none.
    pub(super) quality_score: Option<Option<f64>>,
}

const QUESTIONS: [&str; 10] = [
    "question",
    "questions",
    "q",
    "问题",
    "问",
    "標準問題",
    "标准问题",
    "提问",
    "質問",
    "問題",
];
const ANSWERS: [&str; 10] = [
    "answer",
    "answers",
    "a",
    "答案",
    "答",
    "回答",
    "回复",
    "答复",
    "標準答案",
    "标准答案",
];
const CATEGORIES: [&str; 8] = [
    "category",
    "categories",
    "分类",
    "类别",
    "分類",
    "類別",
    "标签",
    "カテゴリ",
];
const SCORES: [&str; 6] = [
    "quality_score",
    "quality",
    "score",
    "质量",
    "质量分",
    "评分",
];
/// What a workbook holds where a formula failed.
const FAILED: [&str; 8] = [
    "#N/A",
    "#REF!",
    "#VALUE!",
    "#DIV/0!",
    "#NAME?",
    "#NUM!",
    "#NULL!",
    "#GETTING_DATA",
];

/// What the first row says of the columns; without names the first is the question and the second its answer.
pub(super) fn suggest(first: &[String]) -> Mapping {
    let named = |names: &[&str]| {
        first.iter().position(|cell| {
            let cell = cell.trim().to_lowercase();
            names.contains(&cell.as_str())
        })
    };
    let (question, answer) = (named(&QUESTIONS), named(&ANSWERS));
    let has_header = question.is_some() || answer.is_some();
    let question = question.unwrap_or(if answer == Some(0) { 1 } else { 0 });
    let other = if question == 0 { 1 } else { 0 };
    Mapping {
        has_header,
        question,
        answer: answer.unwrap_or(other),
        category: named(&CATEGORIES).filter(|_| has_header),
        quality_score: named(&SCORES).filter(|_| has_header),
    }
}

/// The row as a pair.
///
/// # Errors
/// The first thing that is wrong with it.
pub(super) fn line(row_number: u64, cells: &[String], mapping: &Mapping) -> Result<Line, Bad> {
    let of = |column: usize| cells.get(column).map_or("", String::as_str);
    let bad = |field, reason, message: String| Bad {
        row_number: i64::try_from(row_number).unwrap_or(i64::MAX),
        field,
        reason,
        message,
    };
    let text = |field: &'static str, column: usize, min: usize, max: usize, lines: bool| {
        let text = of(column).trim().replace("\r\n", "\n");
        let length = text.chars().count();
        let is_control = |one: char| one.is_control() && !(lines && matches!(one, '\n' | '\t'));
        if length < min {
            return Err(bad(field, "empty", "must not be empty".into()));
        }
        if length > max {
            let message = format!("must have at most {max} characters");
            return Err(bad(field, "too_long", message));
        }
        if text.contains('\u{fffd}') {
            let message = "has characters that the encoding of the file does not know";
            return Err(bad(field, "undecodable", message.into()));
        }
        if text.chars().any(is_control) {
            return Err(bad(
                field,
                "control_character",
                "must have no control character".into(),
            ));
        }
        if FAILED.contains(&text.as_str()) {
            let message = format!("is {text}: the formula in the sheet failed");
            return Err(bad(field, "formula_failed", message));
        }
        Ok(text)
    };
    let question = text("question", mapping.question, 1, QUESTION_MAX, true)?;
    let answer = text("answer", mapping.answer, 1, ANSWER_MAX, true)?;
    let category = match mapping.category {
        None => None,
        Some(column) => Some(text("category", column, 0, CATEGORY_MAX, false)?),
    };
    let quality_score = match mapping.quality_score.map(|column| of(column).trim()) {
        None => None,
        Some("") => Some(None),
        Some(written) => match written.parse::<f64>() {
            Ok(score) if (0.0..=1.0).contains(&score) => Some(Some(score)),
            _ => {
                let message = "must be a number between 0 and 1".to_owned();
                return Err(bad("quality_score", "not_a_score", message));
            }
        },
    };
    Ok(Line {
        question,
        answer,
        category,
        quality_score,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(row: &[&str]) -> Vec<String> {
        row.iter().map(|&cell| cell.to_owned()).collect()
    }

    #[test]
    fn columns_are_known_by_their_names_in_any_order() {
        let found = suggest(&cells(&["ID", "分类", "答案", " 问题 ", "Quality"]));
        assert_eq!(
            found,
            Mapping {
                has_header: true,
                question: 3,
                answer: 2,
                category: Some(1),
                quality_score: Some(4)
            }
        );
        let one = suggest(&cells(&["Answer", "what people ask"]));
        assert_eq!((one.has_header, one.question, one.answer), (true, 1, 0));
        let none = suggest(&cells(&["How do I book?", "Call us.", "Score"]));
        assert_eq!((none.has_header, none.question, none.answer), (false, 0, 1));
        assert_eq!(none.quality_score, None);
    }

    #[test]
    fn a_row_is_a_pair_or_says_why_not() {
        let mapping = suggest(&cells(&["question", "answer", "category", "quality"]));
        let good = line(2, &cells(&["Q", "A\r\nB", "", "0.5"]), &mapping).unwrap();
        assert_eq!(good.answer, "A\nB");
        assert_eq!(
            (good.category.as_deref(), good.quality_score),
            (Some(""), Some(Some(0.5)))
        );
        let short = line(2, &cells(&["Q", "A"]), &mapping).unwrap();
        assert_eq!(short.quality_score, Some(None));
        let long = "界".repeat(QUESTION_MAX + 1);
        for (row, field, reason) in [
            (vec!["", "A"], "question", "empty"),
            (vec!["Q", " "], "answer", "empty"),
            (vec![&long, "A"], "question", "too_long"),
            (vec!["Q", "a\u{7}"], "answer", "control_character"),
            (
                vec!["Q", "A", "two\nlines"],
                "category",
                "control_character",
            ),
            (vec!["Q", "a\u{fffd}"], "answer", "undecodable"),
            (vec!["Q", "#N/A"], "answer", "formula_failed"),
            (vec!["Q", "A", "", "1.5"], "quality_score", "not_a_score"),
            (vec!["Q", "A", "", "good"], "quality_score", "not_a_score"),
        ] {
            let bad = line(7, &cells(&row), &mapping).unwrap_err();
            assert_eq!((bad.row_number, bad.field, bad.reason), (7, field, reason));
        }
        let bare = Mapping {
            category: None,
            quality_score: None,
            ..mapping
        };
        let bare = line(2, &cells(&["Q", "A", "x"]), &bare).unwrap();
        assert_eq!((bare.category, bare.quality_score), (None, None));
    }
}
