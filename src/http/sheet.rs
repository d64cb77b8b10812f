//! Rows as files that spreadsheets open: CSV lines and xlsx workbooks, of items as the API tells them.
//!
//! What callers chose (models, apps, users) is text, never a formula, in both. Rows are flat JSON objects; columns are
//! named by whoever writes, so that a file's columns do not depend on its rows.

use rust_xlsxwriter::{Format, Workbook, Worksheet, XlsxError};
use serde_json::Value;

/// One line of CSV. What is null is nothing.
pub fn csv_line(text: &mut String, columns: &[&str], item: &Value) {
    for (at, column) in columns.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        match item.get(column) {
            None | Some(Value::Null) => {}
            Some(Value::String(field)) => csv_text(text, field),
            Some(other) => text.push_str(&other.to_string()),
        }
    }
    text.push_str("\r\n");
}

/// Callers choose models, apps, users and conversations: none of them may become a formula in somebody's
/// spreadsheet.
fn csv_text(text: &mut String, field: &str) {
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

/// A workbook of one sheet whose first row names the columns. Columns in `amounts` are decimal strings written as numbers.
///
/// # Errors
/// More rows than a sheet takes (1,048,576), a text above 32,767 characters.
pub fn xlsx(
    name: &str,
    columns: &[&str],
    amounts: &[&str],
    items: &[Value],
) -> Result<Vec<u8>, XlsxError> {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet().set_name(name)?;
    let bold = Format::new().set_bold();
    for (at, column) in (0_u16..).zip(columns) {
        sheet.write_string_with_format(0, at, *column, &bold)?;
    }
    sheet.set_freeze_panes(1, 0)?;
    for (row, item) in (1_u32..).zip(items) {
        xlsx_row(sheet, row, columns, amounts, item)?;
    }
    sheet.autofit();
    book.save_to_buffer()
}

/// One row of a sheet.
///
/// # Errors
/// A row or a text beyond what a sheet takes.
pub fn xlsx_row(
    sheet: &mut Worksheet,
    row: u32,
    columns: &[&str],
    amounts: &[&str],
    item: &Value,
) -> Result<(), XlsxError> {
    for (at, column) in (0_u16..).zip(columns) {
        match item.get(column) {
            None | Some(Value::Null) => {}
            Some(Value::Bool(is)) => {
                sheet.write_boolean(row, at, *is)?;
            }
            Some(Value::Number(number)) => {
                sheet.write_number(row, at, number.as_f64().unwrap_or_default())?;
            }
            Some(Value::String(text)) => {
                match text.parse::<f64>() {
                    Ok(amount) if amounts.contains(column) => {
                        sheet.write_number(row, at, amount)?
                    }
                    _ => sheet.write_string(row, at, text)?,
                };
            }
            Some(other) => {
                sheet.write_string(row, at, other.to_string())?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{csv_line, csv_text, xlsx};

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
            csv_text(&mut text, field);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn a_line_has_every_column() {
        let mut text = String::new();
        let item = json!({"id": "x", "attempts": 1, "stream": true, "model": null});
        csv_line(
            &mut text,
            &["id", "model", "nobody", "stream", "attempts"],
            &item,
        );
        assert_eq!(text, "x,,,true,1\r\n");
    }

    #[test]
    fn a_workbook_is_a_zip_of_sheets() {
        let items = [json!({"at": "2026-01-31", "calls": 3, "cost": "1.5"})];
        let bytes = xlsx("trend", &["at", "calls", "cost"], &["cost"], &items).unwrap();
        assert_eq!(&bytes[..2], b"PK");
        assert!(xlsx("a name that is longer than sheets may have", &[], &[], &[]).is_err());
    }
}
