//! Rows as files that spreadsheets open: CSV lines and xlsx workbooks, of items as the API tells them.
//!
//! What callers chose (models, apps, users) is text, never a formula, in both. Rows are flat JSON objects; columns are
//! named by whoever writes, so that a file's columns do not depend on its rows.

use rust_xlsxwriter::{Format, Workbook, Worksheet, XlsxError};
use serde_json::Value;
pub use steward_actors::domain::csv::line as csv_line;

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

    use super::xlsx;

    #[test]
    fn a_workbook_is_a_zip_of_sheets() {
        let items = [json!({"at": "2026-01-31", "calls": 3, "cost": "1.5"})];
        let bytes = xlsx("trend", &["at", "calls", "cost"], &["cost"], &items).unwrap();
        assert_eq!(&bytes[..2], b"PK");
        assert!(xlsx("a name that is longer than sheets may have", &[], &[], &[]).is_err());
    }
}
