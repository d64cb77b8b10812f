//! Lines of CSV: flat JSON objects under columns that the writer names.
//!
//! What callers chose (models, apps, users) is text, never a formula.

use serde_json::Value;

/// One line of CSV. What is null is nothing.
pub fn line(text: &mut String, columns: &[&str], item: &Value) {
    for (at, column) in columns.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        match item.get(column) {
            None | Some(Value::Null) => {}
            Some(Value::String(field)) => text_field(text, field),
            Some(other) => text.push_str(&other.to_string()),
        }
    }
    text.push_str("\r\n");
}

/// Callers choose models, apps, users and conversations: none of them may become a formula in somebody's
/// spreadsheet.
fn text_field(text: &mut String, field: &str) {
    let is_number = field.parse::<f64>().is_ok();
    let is_formula = !is_number && field.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let is_quoted = is_formula || field.contains(['"', ',', '\r', '\n']);
    if !is_quoted {
        text.push_str(field);
        return;
    }
    text.push('"');
    if is_formula {
        text.push('\'');
    }
    text.push_str(&field.replace('"', "\"\""));
    text.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{line, text_field};

    #[test]
    fn texts_are_quoted_where_they_must_be_and_no_formula_gets_through() {
        for (field, expected) in [
            ("gpt-4o", "gpt-4o"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "\"'=1+1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("-2", "-2"),
            ("-2+3", "\"'-2+3\""),
            ("+cmd|' /C calc'!A0", "\"'+cmd|' /C calc'!A0\""),
            ("\t=1", "\"'\t=1\""),
            ("你好", "你好"),
        ] {
            let mut text = String::new();
            text_field(&mut text, field);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn a_line_has_every_column() {
        let mut text = String::new();
        let item = json!({"id": "x", "attempts": 1, "stream": true, "model": null});
        line(
            &mut text,
            &["id", "model", "nobody", "stream", "attempts"],
            &item,
        );
        assert_eq!(text, "x,,,true,1\r\n");
    }
}
