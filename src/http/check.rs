//! Checks of inputs that several resources share. A refusal names the field; nothing is corrected silently
//! except blanks around a text.
//!
//! Where characters no database takes are refused is `extract`: before any handler sees them.

use super::caller::Caller;
use crate::error::{ApiError, ErrorCode};

/// Longest model name or pattern, in bytes: what a record keeps of it.
const MODEL_MAX_BYTES: usize = 160;

/// `value` without the blanks around it, `min` to `max` characters, none of them a control character.
///
/// # Errors
/// `validation_failed`, naming `field`.
pub fn text(field: &str, value: &str, min: usize, max: usize) -> Result<String, ApiError> {
    let value = value.trim();
    let length = value.chars().count();
    if length < min || length > max || value.chars().any(char::is_control) {
        return Err(ApiError::invalid(
            field,
            format!("must have {min} to {max} characters, none of them a control character"),
        ));
    }
    Ok(value.to_owned())
}

/// The same for what people write: several lines, whose ends are `\n`, and tabs.
///
/// # Errors
/// `validation_failed`, naming `field`.
pub fn prose(field: &str, value: &str, min: usize, max: usize) -> Result<String, ApiError> {
    let value = value.trim().replace("\r\n", "\n");
    let length = value.chars().count();
    let is_written = |one: char| !one.is_control() || matches!(one, '\n' | '\t');
    if length < min || length > max || !value.chars().all(is_written) {
        return Err(ApiError::invalid(
            field,
            format!("must have {min} to {max} characters, none of them a control character"),
        ));
    }
    Ok(value)
}

/// `value`, if there is one, between `min` and `max`, both included.
///
/// # Errors
/// `validation_failed`, naming `field`.
pub fn bounded(
    field: &str,
    value: Option<i64>,
    min: i64,
    max: i64,
) -> Result<Option<i64>, ApiError> {
    match value {
        Some(number) if !(min..=max).contains(&number) => Err(ApiError::invalid(
            field,
            format!("must lie between {min} and {max}"),
        )),
        value => Ok(value),
    }
}

/// At most `max` model names, each of which may be a beginning followed by `*`.
///
/// # Errors
/// `validation_failed`, naming the entry of `field`.
pub fn models(field: &str, patterns: Vec<String>, max: usize) -> Result<Vec<String>, ApiError> {
    if patterns.len() > max {
        return Err(ApiError::invalid(field, format!("must be at most {max}")));
    }
    for (index, pattern) in patterns.iter().enumerate() {
        let plain = pattern.strip_suffix('*').unwrap_or(pattern);
        if pattern.is_empty() || (!plain.is_empty() && !is_model(plain)) {
            return Err(ApiError::invalid(
                format!("{field}[{index}]"),
                "must be a model's name, or the beginning of one followed by *",
            ));
        }
    }
    Ok(patterns)
}

/// Whether `name` could name one model.
pub fn is_model(name: &str) -> bool {
    (1..=MODEL_MAX_BYTES).contains(&name.len())
        && !name.contains('*')
        && name.trim() == name
        && !name.chars().any(char::is_control)
}

/// Refuses operators who see one tenant only: for what belongs to the installation as a whole.
///
/// # Errors
/// `forbidden`.
pub fn whole_installation(caller: &Caller) -> Result<(), ApiError> {
    match caller.operator.tenant_id {
        None => Ok(()),
        Some(_) => Err(ApiError::new(ErrorCode::Forbidden)
            .detail("Operators of one tenant do not see what belongs to the whole installation.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_trimmed_and_counted_in_characters() {
        assert_eq!(text("name", "  界界 ", 1, 2).unwrap(), "界界");
        for bad in ["", "   ", "界界界", "a\u{7}", "a\nb"] {
            let bound = if bad.contains('\n') { 10 } else { 2 };
            assert!(text("name", bad, 1, bound).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn prose_has_lines() {
        assert_eq!(prose("note", " a\r\n\tb\n", 1, 4).unwrap(), "a\n\tb");
        for bad in ["", "abcde", "a\u{7}"] {
            assert!(prose("note", bad, 1, 4).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn models_may_end_in_a_star_only() {
        let list = |names: &[&str]| {
            let names = names.iter().map(|&name| name.to_owned()).collect();
            models("models", names, 3).map_err(|error| error.to_string())
        };
        assert!(list(&["*", "gpt-4*", "org/model:free"]).is_ok());
        for bad in ["", "*a", "a**", " a", "a\u{0}", &"x".repeat(161)] {
            assert!(list(&[bad]).unwrap_err().contains("models[0]"), "{bad:?}");
        }
        assert!(list(&["a", "b", "c", "d"]).is_err());
    }
}
